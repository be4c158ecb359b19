//! What an engine does, told as stories about one engine and peers, disks and trackers that follow a script.

#[path = "../support/mod.rs"]
mod support;

mod downloads;
mod handshakes;
mod holdings;
mod misbehaviour;
mod uploads;

/// What a block is long.
const BLOCK: u32 = 16384;
