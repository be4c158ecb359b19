//! What every host of the engine needs, written once.

pub mod buffer;
