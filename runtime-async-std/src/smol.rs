//! The same on smol's executor.

use std::future::Future;

use rustor_runtime::{Client, ClientConfig, StartError};

use crate::adapter::{AsyncIo, Executor};

/// smol's global executor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smol;

impl Executor for Smol {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        ::smol::spawn(task).detach();
    }
}

/// smol as [`Runtime`](rustor_runtime::adapter::Runtime).
pub type SmolRuntime = AsyncIo<Smol>;

/// Starts an engine on smol's global executor, from any thread.
///
/// The engine goes on in the background until [`Client::shutdown`], or until the last clone of the client is dropped.
pub fn start(config: ClientConfig) -> Result<Client, StartError> {
    let (client, host) = Client::start(SmolRuntime::default(), config)?;
    ::smol::spawn(host).detach();
    Ok(client)
}

/// Runs an application with an engine of its own on the calling thread, and shuts the engine down once it is done.
pub fn run<F: Future>(config: ClientConfig, application: impl FnOnce(Client) -> F) -> Result<F::Output, StartError> {
    ::smol::block_on(async {
        let client = start(config)?;
        let output = application(client.clone()).await;
        client.shutdown().await;
        Ok(output)
    })
}
