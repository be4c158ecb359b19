//! The engine on tokio.
//!
//! [`start`] puts an engine on the runtime that it is called on; [`run`] brings a runtime of its own, for programs that have
//! none. Both give a [`Client`], the handle by which the program adds torrents and watches them.
//!
//! ```no_run
//! use rustor_tokio::{AddOptions, ClientConfig, core::metainfo::Metainfo};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = rustor_tokio::start(ClientConfig::default())?;
//! let metainfo = Metainfo::parse(std::fs::read("debian.torrent")?.into())?;
//! let torrent = client.add(AddOptions::new(metainfo, "downloads")).await?;
//! client.wait_finished(torrent).await?;
//! client.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! One thread is enough for an engine, and fastest: on a runtime of several threads the engine still uses one at a time.
//! Disk and hashing have threads of their own in either case.
#![forbid(unsafe_code)]

mod adapter;

use std::future::Future;

pub use adapter::{TokioDatagram, TokioListener, TokioRuntime, TokioStream, TokioTimer};
pub use rustor_runtime::{AddOptions, Client, ClientConfig, ClientError, EventStream, StartError, core};
use tokio::{runtime::Builder, task::unconstrained};

/// Starts an engine on the tokio runtime that this is called on.
///
/// The engine goes on in the background until [`Client::shutdown`], or until the last clone of the client is dropped.
///
/// # Panics
///
/// Outside a tokio runtime, or on one whose I/O or time driver is not enabled.
#[track_caller]
pub fn start(config: ClientConfig) -> Result<Client, StartError> {
    let runtime = TokioRuntime::current();
    let (client, host) = Client::start(runtime, config)?;
    // The host divides its time among its connections itself; tokio's own budget would only make it look at them again.
    drop(tokio::spawn(unconstrained(host)));
    Ok(client)
}

/// Runs an application with an engine of its own, on the calling thread, and shuts the engine down once it is done.
///
/// # Panics
///
/// On a thread that drives an asynchronous runtime already: use [`start`] there.
pub fn run<F: Future>(config: ClientConfig, application: impl FnOnce(Client) -> F) -> Result<F::Output, StartError> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::System)?;
    runtime.block_on(async {
        let client = start(config)?;
        let output = application(client.clone()).await;
        client.shutdown().await;
        Ok(output)
    })
}
