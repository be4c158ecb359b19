//! What the engine can be asked: a picture of its torrents and peers at one moment.

use crate::{choices::Priority, error::DiskError, id::TorrentId, metainfo::InfoHash, time::Instant, torrent::PeerSource};
use alloc::{boxed::Box, string::String, vec::Vec};
use core::net::SocketAddr;

/// What a torrent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TorrentState {
    /// Asking peers what a magnet link stands for (BEP 9).
    FetchingMetadata,
    /// Looking at what is on disk.
    Checking,
    /// Fetching.
    Downloading,
    /// Everything wanted is here.
    Seeding,
    /// Its owner paused it.
    Paused,
    /// Its disk failed; see [`TorrentStatus::error`].
    Failed,
    /// Saying goodbye before its removal.
    Stopping,
}

/// A torrent at one moment. Lengths are in bytes, rates in bytes a second.
#[derive(Clone, Debug, PartialEq)]
pub struct TorrentStatus {
    /// Which torrent.
    pub torrent: TorrentId,
    /// Its name, safe to show and to use as a file name; while there is no metadata, what the magnet link says, or its info-hash.
    pub name: String,
    /// Whether its metadata is there: what it consists of is known.
    pub metadata: bool,
    /// Its info-hash.
    pub info_hash: InfoHash,
    /// What it is doing.
    pub state: TorrentState,
    /// Why it failed, if it did.
    pub error: Option<Box<DiskError>>,
    /// All its bytes.
    pub total: u64,
    /// Bytes of verified pieces.
    pub verified: u64,
    /// Bytes of wanted pieces: those that hold any byte of a wanted file.
    pub wanted: u64,
    /// Bytes of wanted pieces that are verified.
    pub wanted_verified: u64,
    /// While checking: bytes looked at so far.
    pub checked: u64,
    /// Pieces in all.
    pub pieces: u32,
    /// Pieces verified.
    pub pieces_verified: u32,
    /// Payload that came from peers in this session, wasted bytes included.
    pub downloaded: u64,
    /// Payload that went to peers in this session.
    pub uploaded: u64,
    /// Payload that was of no use: duplicates and bad pieces.
    pub wasted: u64,
    /// Payload coming in, averaged over the last seconds.
    pub download_rate: u64,
    /// Payload going out, averaged over the last seconds.
    pub upload_rate: u64,
    /// Peers that have shaken hands.
    pub peers: u32,
    /// Those of them that have everything.
    pub seeds: u32,
    /// Peers known, connected or not.
    pub known_peers: u32,
    /// When its trackers will be asked next.
    pub next_announce: Option<Instant>,
}

/// What an engine holds at one moment, counted anew from what is there: for hosts that compare it with the caps of
/// [`Config`](crate::config::Config).
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffers {
    /// What the blocks that came and are not yet on disk cost [`Config::block_budget`](crate::config::Config::block_budget).
    pub blocks: u64,
    /// The same, as it is counted on the way.
    pub budgeted: u64,
    /// Bytes of those of them that wait for others of their piece.
    pub gathered: u64,
    /// Bytes that are being read or were read ahead for a peer, of the one with the most; all of a read until its last block has gone.
    pub read_ahead: u64,
    /// Requests of a peer that wait for an answer, of the one with the most.
    pub requests: usize,
}

/// A web seed at one moment (BEP 19). Rates are in bytes a second.
#[derive(Clone, Debug, PartialEq)]
pub struct WebSeedStatus {
    /// Its URL, as the torrent names it.
    pub url: String,
    /// What it is doing.
    pub state: WebSeedState,
    /// What went wrong last, in words for people, if nothing good came since.
    pub fault: Option<String>,
    /// Bytes of files that came from it in this session, of use or not.
    pub downloaded: u64,
    /// Bytes that come from it, averaged over the last seconds.
    pub download_rate: u64,
}

/// What a web seed is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebSeedState {
    /// Nothing: nothing of what it has is needed.
    Idle,
    /// Sending.
    Active,
    /// It failed, or is busy, and is left alone until then.
    Waiting(Instant),
    /// It sent bad data, and is not asked again.
    Banned,
}

/// A file of a torrent at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// Its place in the torrent, padding files included, from 0: what [`Choices::files`](crate::choices::Choices::files) name it by.
    pub place: u32,
    /// Its folders and name below the download folder.
    pub path: Vec<String>,
    /// Its bytes.
    pub length: u64,
    /// Those of them in verified pieces.
    pub verified: u64,
    /// How much it is wanted.
    pub priority: Priority,
}

/// A peer at one moment. Rates are in bytes a second.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStatus {
    /// Where it is.
    pub remote: SocketAddr,
    /// Its peer id.
    pub peer_id: [u8; 20],
    /// It connected to us.
    pub incoming: bool,
    /// Where we know it from.
    pub source: PeerSource,
    /// What program it is, as it says itself (BEP 10) or as its peer id tells (BEP 20).
    pub client: Option<String>,
    /// Pieces that it has.
    pub pieces: u32,
    /// We choke it.
    pub am_choking: bool,
    /// We want something that it has.
    pub am_interested: bool,
    /// It chokes us.
    pub peer_choking: bool,
    /// It wants something that we have.
    pub peer_interested: bool,
    /// It owes us blocks and has sent none for a minute.
    pub snubbed: bool,
    /// Blocks that it owes us.
    pub requests: u32,
    /// Payload from it.
    pub downloaded: u64,
    /// Payload to it.
    pub uploaded: u64,
    /// Payload from it, averaged over the last seconds.
    pub download_rate: u64,
    /// Payload to it, averaged over the last seconds.
    pub upload_rate: u64,
}
