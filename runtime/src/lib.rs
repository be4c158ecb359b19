//! What every host of the engine needs, written once.

pub mod adapter;
pub mod buffer;
