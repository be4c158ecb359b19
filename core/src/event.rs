//! What the owner may want to know.

use crate::{error::DiskError, id::TorrentId, peer::CloseReason};
use alloc::{boxed::Box, string::String};
use core::net::SocketAddr;

/// Something worth telling people or programs. Nothing depends on it: a host may drop events.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A magnet link's metadata is here: what the torrent consists of is known.
    MetadataReceived {
        /// Whose.
        torrent: TorrentId,
    },
    /// A magnet link stands for something that no client could make sense of. The torrent stands still.
    MetadataUnusable {
        /// Whose.
        torrent: TorrentId,
        /// What is wrong with it, in words for people.
        reason: String,
    },
    /// What is on disk has been looked at; `verified` of `pieces` are there.
    Checked {
        /// Whose.
        torrent: TorrentId,
        /// How many pieces are there and good.
        verified: u32,
        /// How many there are in all.
        pieces: u32,
    },
    /// A piece has come, fitted its hash, and is on disk.
    PieceVerified {
        /// Whose.
        torrent: TorrentId,
        /// Which piece.
        piece: u32,
    },
    /// A piece has come and did not fit its hash; it is fetched again.
    PieceFailed {
        /// Whose.
        torrent: TorrentId,
        /// Which piece.
        piece: u32,
    },
    /// Every wanted piece is verified and on disk.
    Finished {
        /// Whose.
        torrent: TorrentId,
    },
    /// The torrent has given what its owner wants it to give, and pauses. If it is resumed, it seeds until other choices are made.
    GoalReached {
        /// Whose.
        torrent: TorrentId,
    },
    /// The torrent stands still until its owner resumes it.
    Failed {
        /// Whose.
        torrent: TorrentId,
        /// What the disk did not do.
        error: Box<DiskError>,
    },
    /// A tracker answered.
    TrackerReplied {
        /// Whose.
        torrent: TorrentId,
        /// The tracker.
        url: String,
        /// How many peers it named.
        peers: usize,
        /// What it wants people to know (`warning message`).
        warning: Option<String>,
    },
    /// A tracker did not answer, or not well.
    TrackerFailed {
        /// Whose.
        torrent: TorrentId,
        /// The tracker.
        url: String,
        /// Why, in words for people.
        reason: String,
    },
    /// A peer has shaken hands.
    PeerConnected {
        /// Whose.
        torrent: TorrentId,
        /// The peer.
        remote: SocketAddr,
    },
    /// A peer that had shaken hands is gone.
    PeerDisconnected {
        /// Whose.
        torrent: TorrentId,
        /// The peer.
        remote: SocketAddr,
        /// Who ended it, and why.
        reason: CloseReason,
    },
    /// A peer sent bad data and will not be spoken to again.
    PeerBanned {
        /// Whose.
        torrent: TorrentId,
        /// The peer.
        remote: SocketAddr,
    },
    /// A web seed did not do what it was asked, and is left alone for a while.
    WebSeedFailed {
        /// Whose.
        torrent: TorrentId,
        /// The web seed, as the torrent names it.
        url: String,
        /// Why, in words for people.
        reason: String,
    },
    /// A web seed sent bad data and will not be asked again (BEP 19).
    WebSeedBanned {
        /// Whose.
        torrent: TorrentId,
        /// The web seed, as the torrent names it.
        url: String,
    },
    /// The torrent is gone, and so is all that was under way for it.
    Removed {
        /// Whose.
        torrent: TorrentId,
    },
    /// All trackers know, everything is saved and closed: the host may stop.
    ShutDown,
}
