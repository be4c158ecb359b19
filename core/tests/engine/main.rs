//! What an engine does, told as stories about one engine and peers, disks and trackers that follow a script.

#[path = "../support/mod.rs"]
mod support;

mod bad_pieces;
mod budget;
mod chaos;
mod choking;
mod connections;
mod disk_faults;
mod donthave;
mod downloads;
mod explanations;
mod fast;
mod handshakes;
mod holdings;
mod lifecycle;
mod local_discovery;
mod magnet_peers;
mod magnets;
mod masked_recordings;
mod misbehaviour;
mod partial_seeds;
mod peer_exchange;
mod private;
mod rate_limits;
mod resume;
mod seeding_goals;
mod selection;
mod shapes;
mod sharing;
mod super_seeding;
mod trackers;
mod turnover;
mod udp_trackers;
mod uploads;
mod web_seeds;

/// What a block is long.
const BLOCK: u32 = 16384;
