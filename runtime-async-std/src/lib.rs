//! The engine on async-std, or on smol.
//!
//! [`start`] puts an engine on async-std's executor; [`run`] does so for the length of a program. Both give a [`Client`], the
//! handle by which the program adds torrents and watches them.
//!
//! ```no_run
//! use rustor_async_std::{AddOptions, ClientConfig, core::metainfo::Metainfo};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = rustor_async_std::start(ClientConfig::default())?;
//! let metainfo = Metainfo::parse(std::fs::read("debian.torrent")?.into())?;
//! let torrent = client.add(AddOptions::new(metainfo, "downloads")).await?;
//! client.wait_finished(torrent).await?;
//! client.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # The executor is a feature
//!
//! async-std is [no longer developed](https://rustsec.org/advisories/RUSTSEC-2025-0052): its authors recommend smol. Therefore
//! nothing of it is used here but its executor. Sockets and timers are those of `async-io`, name look-ups run on the threads of
//! `blocking`: async-std and smol stand on both crates, and both are looked after. What tasks run on is chosen by feature:
//!
//! | feature | functions | runtime |
//! |---|---|---|
//! | `async-std` (default) | [`start`], [`run`] | [`AsyncStdRuntime`] |
//! | `smol` | `smol::start`, `smol::run` | `smol::SmolRuntime` |
//!
//! A program on async-std changes nothing; one on smol takes this crate with `default-features = false, features = ["smol"]`, and
//! has no async-std among its dependencies. With both features there are both. A further executor needs an [`Executor`] of one
//! method, and [`Client::start`] with [`AsyncIo`] around it.
#![forbid(unsafe_code)]

mod adapter;
#[cfg(feature = "async-std")]
mod async_std;
#[cfg(feature = "smol")]
pub mod smol;

pub use adapter::{AsyncIo, AsyncIoDatagram, AsyncIoListener, AsyncIoStream, AsyncIoTimer, Executor};
pub use rustor_runtime::{AddOptions, Client, ClientConfig, ClientError, EventStream, StartError, core};

#[cfg(feature = "async-std")]
pub use self::async_std::{AsyncStd, AsyncStdRuntime, run, start};
