use bytes::Bytes;
use rustor_core::{
    metainfo::Metainfo,
    rng::{Purpose, Rng, Seed},
};
use sha1::{Digest, Sha1};

/// A torrent and its content, made from a seed. All nodes of a world share one copy of it.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The torrent.
    pub metainfo: Metainfo,
    /// Its bytes.
    pub data: Bytes,
}

impl Payload {
    /// A single file of `length` bytes in pieces of `piece_length`, announced to the world's tracker over HTTP.
    pub fn new(name: &str, length: usize, piece_length: usize, seed: u64) -> Payload {
        Payload::with_tracker(name, length, piece_length, seed, "http://tracker.sim/announce")
    }

    /// The same, with another tracker.
    pub fn with_tracker(name: &str, length: usize, piece_length: usize, seed: u64, tracker: &str) -> Payload {
        let mut data = vec![0; length];
        Rng::new(Seed::from_u64(seed)).fork(Purpose::Simulation, 0).fill(&mut data);
        let mut torrent = Vec::new();
        torrent.extend(format!("d8:announce{}:{tracker}4:infod6:lengthi{length}e4:name{}:{name}", tracker.len(), name.len()).bytes());
        let hashes: Vec<u8> = data.chunks(piece_length).flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
        torrent.extend(format!("12:piece lengthi{piece_length}e6:pieces{}:", hashes.len()).bytes());
        torrent.extend(hashes);
        torrent.extend(b"ee");
        let metainfo = Metainfo::parse(torrent.into()).expect("a torrent made here is well-formed");
        Payload { metainfo, data: data.into() }
    }
}
