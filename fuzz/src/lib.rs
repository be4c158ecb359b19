//! The bodies of the fuzz targets, which stable tests replay.
//!
//! A body takes any bytes and panics if the engine breaks a promise on them. [`TARGETS`] names them all; `tests/replay.rs` runs each
//! over `corpus/<name>/`, and `fuzz_targets/<name>.rs` hands it to libFuzzer.

mod bencode;
mod magnet;
mod metainfo;
mod tracker;
mod wire;

pub use bencode::bencode;
pub use magnet::magnet;
pub use metainfo::metainfo;
pub use tracker::{tracker_reply, tracker_request, udp_tracker};
pub use wire::wire;

/// The body of a fuzz target.
pub type Body = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Body)] = &[
    ("bencode", bencode),
    ("metainfo", metainfo),
    ("magnet", magnet),
    ("tracker_reply", tracker_reply),
    ("tracker_request", tracker_request),
    ("udp_tracker", udp_tracker),
    ("wire", wire),
];
