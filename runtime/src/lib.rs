//! What every host of the engine needs, written once.

pub mod adapter;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod http;
