//! What every host of the engine needs, written once.

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
pub mod verify;

pub use client::{AddOptions, Client, ClientConfig, ClientError, EventStream, StartError};
pub use host::Host;
pub use rustor_core as core;
