//! What an engine does, told as stories about one engine and peers, disks and trackers that follow a script.

#[path = "../support/mod.rs"]
mod support;

mod bad_pieces;
mod budget;
mod chaos;
mod choking;
mod connections;
mod disk_faults;
mod downloads;
mod explanations;
mod fast;
mod handshakes;
mod holdings;
mod lifecycle;
mod local_discovery;
mod magnets;
mod misbehaviour;
mod peer_exchange;
mod resume;
mod selection;
mod shapes;
mod trackers;
mod uploads;

/// What a block is long.
const BLOCK: u32 = 16384;
