//! What every host of the engine needs, written once.

pub mod buffer;
pub mod disk;
pub mod resume;
