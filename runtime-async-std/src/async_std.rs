use std::future::Future;

use ::async_std::task;
use rustor_runtime::{Client, ClientConfig, StartError};

use crate::adapter::{AsyncIo, Executor};

/// async-std's executor.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStd;

impl Executor for AsyncStd {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(task::spawn(task));
    }
}

/// async-std as [`Runtime`](rustor_runtime::adapter::Runtime).
pub type AsyncStdRuntime = AsyncIo<AsyncStd>;

/// Starts an engine on async-std's executor, from any thread.
///
/// The engine goes on in the background until [`Client::shutdown`], or until the last clone of the client is dropped.
pub fn start(config: ClientConfig) -> Result<Client, StartError> {
    let (client, host) = Client::start(AsyncStdRuntime::default(), config)?;
    drop(task::spawn(host));
    Ok(client)
}

/// Runs an application with an engine of its own on the calling thread, and shuts the engine down once it is done.
pub fn run<F: Future>(config: ClientConfig, application: impl FnOnce(Client) -> F) -> Result<F::Output, StartError> {
    task::block_on(async {
        let client = start(config)?;
        let output = application(client.clone()).await;
        client.shutdown().await;
        Ok(output)
    })
}
