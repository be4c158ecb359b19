//! What every host of the engine needs, written once.

pub mod buffer;
pub mod create;
pub mod disk;
pub mod resume;
pub mod verify;
