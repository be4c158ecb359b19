//! One torrent: its pieces, its peers, its policies.
