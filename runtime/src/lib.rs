//! What every host of the engine needs, written once: the loop, disk workers, HTTP and HTTPS, resume files.
//!
//! A program uses this crate through an adapter for its runtime, such as `rustor-tokio`. [`Client::start`] takes the adapter's
//! [`Runtime`](adapter::Runtime) and gives two things: a [`Client`], the handle by which the program adds torrents and watches
//! them, and a [`Host`], the future that does the work and has to be spawned.
//!
//! ```no_run
//! use rustor_runtime::{AddOptions, Client, ClientConfig, adapter::Runtime, core::metainfo::Metainfo};
//!
//! async fn download<R: Runtime>(runtime: R) -> Result<(), Box<dyn std::error::Error>> {
//!     let (client, host) = Client::start(runtime.clone(), ClientConfig::default())?;
//!     runtime.spawn(host);
//!     let metainfo = Metainfo::parse(std::fs::read("debian.torrent")?.into())?;
//!     let torrent = client.add(AddOptions::new(metainfo, "downloads")).await?;
//!     client.wait_finished(torrent).await?;
//!     client.shutdown().await;
//!     Ok(())
//! }
//! ```
//!
//! Other parts stand on their own: [`create`] makes torrents, [`verify`] checks files, [`tracker`] serves as a tracker,
//! [`scrape`] asks one, [`http`] is a client and a small server, [`disk`] does the engine's disk jobs for hosts of another kind.

pub mod adapter;
pub mod buffer;
mod client;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod create;
pub mod disk;
mod host;
pub mod http;
pub mod resume;
mod scrape;
pub mod tracker;
pub mod verify;

pub use client::{AddOptions, Client, ClientConfig, ClientError, EventStream, StartError};
pub use host::Host;
pub use rustor_core as core;
pub use scrape::scrape;
