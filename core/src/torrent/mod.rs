//! One torrent: its pieces, its peers, its policies.

pub mod geometry;
pub mod picker;
