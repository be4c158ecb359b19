//! Torrent files: reading, checking and creating them.

mod hash;

pub use hash::{InfoHash, InfoHashError};

/// Placeholder until the room is furnished.
#[derive(Clone, Debug)]
pub struct Metainfo;
