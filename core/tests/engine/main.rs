//! What an engine does, told as stories about one engine and peers, disks and trackers that follow a script.

#[path = "../support/mod.rs"]
mod support;

mod choking;
mod disk_faults;
mod downloads;
mod handshakes;
mod holdings;
mod lifecycle;
mod misbehaviour;
mod resume;
mod shapes;
mod uploads;

/// What a block is long.
const BLOCK: u32 = 16384;
