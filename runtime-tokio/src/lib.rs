//! The engine on tokio.
#![forbid(unsafe_code)]

mod adapter;

pub use adapter::{TokioDatagram, TokioListener, TokioRuntime, TokioStream, TokioTimer};
