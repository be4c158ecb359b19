//! Torrent files: reading, checking and creating them.

mod hash;

pub use hash::{InfoHash, InfoHashError};
