//! What the owner wants.

use crate::{
    choices::Choices,
    config::Limits,
    id::TorrentId,
    metainfo::{InfoHash, Magnet, Metainfo},
    storage::Allocation,
};
use alloc::{boxed::Box, string::String, vec::Vec};
use bytes::Bytes;
use core::{fmt, net::SocketAddr};

/// Something that the owner wants done.
#[derive(Clone, Debug)]
pub enum Command {
    /// Take a torrent in. Answered by [`Reply::Added`].
    Add(Box<AddTorrent>),
    /// Stop a torrent's traffic, and tell its trackers. It stays listed.
    Pause(TorrentId),
    /// Let a paused or failed torrent go on.
    Resume(TorrentId),
    /// Take a torrent off the list. [`Event::Removed`](crate::event::Event::Removed) tells when all of it is gone.
    Remove {
        /// Which torrent.
        torrent: TorrentId,
        /// Delete its files, too.
        delete_data: bool,
    },
    /// Hash all that is on disk again.
    Recheck(TorrentId),
    /// Try these peers.
    AddPeers {
        /// Whose peers.
        torrent: TorrentId,
        /// Where they listen.
        peers: Vec<SocketAddr>,
    },
    /// Ask the trackers for peers as soon as they allow it.
    Announce(TorrentId),
    /// Choose anew what to fetch and how, while running or not.
    Choose {
        /// For which torrent.
        torrent: TorrentId,
        /// What counts from now on.
        choices: Box<Choices>,
    },
    /// Change limits while running.
    SetLimits(Limits),
    /// Tell all trackers, save and close everything. [`Event::ShutDown`](crate::event::Event::ShutDown) tells when it is done.
    ShutDown,
}

/// A torrent to take in.
#[derive(Clone, Debug)]
pub struct AddTorrent {
    /// Where it comes from.
    pub source: TorrentSource,
    /// The folder that its files' paths are below. The engine hands it to the disk workers and never looks into it.
    pub folder: String,
    /// What an earlier session saved.
    pub resume: Option<Bytes>,
    /// Peers to try at once.
    pub peers: Vec<SocketAddr>,
    /// How files get their length.
    pub allocation: Allocation,
    /// List it, but do not start it.
    pub paused: bool,
    /// What the owner chooses for it. Where this is as by default, what an earlier session saved counts: see [`Choices::or`].
    pub choices: Choices,
}

impl AddTorrent {
    /// A torrent that starts at once, wants every file, and has no past.
    pub fn new(source: impl Into<TorrentSource>, folder: impl Into<String>) -> AddTorrent {
        AddTorrent {
            source: source.into(),
            folder: folder.into(),
            resume: None,
            peers: Vec::new(),
            allocation: Allocation::default(),
            paused: false,
            choices: Choices::default(),
        }
    }
}

/// What names a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TorrentSource {
    /// A torrent file: says what it consists of.
    Metainfo(Metainfo),
    /// A magnet link: its metadata comes from peers (BEP 9), or from what an earlier session saved. The files that it selects (BEP 53)
    /// count where [`AddTorrent::choices`] say nothing of files.
    Magnet(Magnet),
}

impl TorrentSource {
    /// The hash that names the torrent; `None` for a magnet link without one of version 1.
    pub fn info_hash(&self) -> Option<InfoHash> {
        match self {
            TorrentSource::Metainfo(metainfo) => Some(metainfo.info_hash()),
            TorrentSource::Magnet(magnet) => magnet.info_hash(),
        }
    }
}

impl From<Metainfo> for TorrentSource {
    fn from(metainfo: Metainfo) -> TorrentSource {
        TorrentSource::Metainfo(metainfo)
    }
}

impl From<Magnet> for TorrentSource {
    fn from(magnet: Magnet) -> TorrentSource {
        TorrentSource::Magnet(magnet)
    }
}

/// What a [`Command`] brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The new torrent's id.
    Added(TorrentId),
    /// It is done, or under way.
    Done,
}

/// Why a [`Command`] was refused. The caller is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// No torrent has this id, or not any more.
    NoSuchTorrent,
    /// The torrent is listed already, under this id.
    AlreadyAdded(TorrentId),
    /// The torrent's lengths do not fit together; a parsed torrent file's always do.
    Impossible,
    /// A magnet link names no torrent of version 1.
    NoInfoHash,
    /// [`Command::ShutDown`] came before.
    ShuttingDown,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommandError::NoSuchTorrent => "no such torrent",
            CommandError::AlreadyAdded(_) => "the torrent is listed already",
            CommandError::Impossible => "the torrent's lengths do not fit together",
            CommandError::NoInfoHash => "the magnet link has no info-hash of version 1 (urn:btih)",
            CommandError::ShuttingDown => "the engine is shutting down",
        })
    }
}

impl core::error::Error for CommandError {}
