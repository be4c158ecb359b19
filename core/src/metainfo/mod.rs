//! Torrent files: reading, checking and creating them.

/// Placeholder until the room is furnished.
#[derive(Clone, Debug)]
pub struct Metainfo;
/// Placeholder until the room is furnished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InfoHash(pub [u8; 20]);
