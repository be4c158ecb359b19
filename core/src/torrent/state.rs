use super::{
    Assembly, Blame, Checking, Geometry, GoalWatch, PeerExchange, PeerList, PeerSource, PeerSources, Resume, ResumePeer, Selection,
    SourceId, WebSource, choker::Choker, picker::Picker, suggest::Suggesting, super_seed::SuperSeed,
};
use crate::{
    choices::{Choices, Priority},
    command::TorrentSource,
    config::Config,
    error::DiskError,
    id::{ConnectionId, TorrentId},
    metadata::MetadataFetch,
    metainfo::{InfoHash, Magnet, Metainfo, sanitise},
    rng::Rng,
    storage::{Allocation, FileStamp, Layout},
    time::{Duration, Instant},
    tracker::{Announcer, Statistics},
    util::{Armed, Bitfield, Lane, RateMeter},
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};
use bytes::Bytes;
use core::net::SocketAddr;

/// One torrent, from its addition to its removal.
#[derive(Debug)]
pub(crate) struct Torrent {
    pub(crate) id: TorrentId,
    pub(crate) info_hash: InfoHash,
    pub(crate) source: TorrentSource,
    /// It came as a magnet link: only resume data keeps its metadata.
    pub(crate) from_magnet: bool,
    pub(crate) choices: Choices,
    /// What of it they want.
    pub(crate) selection: Selection,
    /// What an earlier session saved, until there is metadata to read it by.
    pub(crate) saved: Option<Bytes>,
    pub(crate) layout: Arc<Layout>,
    pub(crate) geometry: Geometry,
    pub(crate) folder: String,
    pub(crate) allocation: Allocation,

    pub(crate) phase: Phase,
    /// The owner wants it to stand still, whatever it is doing now.
    pub(crate) paused: bool,
    pub(crate) error: Option<Box<DiskError>>,
    /// Raised whenever what the disk said before no longer counts.
    pub(crate) epoch: u32,
    /// Disk jobs under way, of any epoch.
    pub(crate) disk_jobs: u32,
    /// The disk is being told which files are wanted.
    pub(crate) preparing: bool,
    /// What it was told last.
    pub(crate) prepared_for: Option<Bitfield>,
    /// Blocks on disk of pieces that are not verified, by the piece's index.
    pub(crate) unfinished: BTreeMap<u32, Bitfield>,
    /// Pieces of which such blocks are being written.
    pub(crate) keeping: u32,
    /// Pieces handed to the disk and not yet stored.
    pub(crate) storing: u32,

    /// The pieces verified and stored.
    pub(crate) verified: Bitfield,
    /// Bytes of them.
    pub(crate) verified_bytes: u64,
    pub(crate) picker: Picker<SourceId>,
    pub(crate) picker_rng: Rng,
    /// Every missing block was asked of someone when blocks were last picked.
    pub(crate) endgame: bool,
    pub(crate) assembly: Assembly,
    pub(crate) blame: Blame,
    /// Pieces verified since peers were first told, in order; each peer has a cursor into it.
    pub(crate) have_log: Vec<u32>,
    /// How much of the log peers may be told: it moves in steps, so that haves go out together.
    pub(crate) have_announced: u32,
    pub(crate) have_due: Option<Instant>,
    /// When the rest hears of what is announced.
    pub(crate) have_rest_due: Option<Instant>,
    /// Seeds hear of new pieces, too: there are few.
    pub(crate) tells_seeds: bool,

    pub(crate) connections: BTreeSet<ConnectionId>,
    /// Those of them that have shaken hands.
    pub(crate) open: u32,
    pub(crate) peers: PeerList,
    /// When we last called a peer.
    pub(crate) connected_at: Option<Instant>,
    /// When a connection may make room for another at the earliest.
    pub(crate) next_turnover: Instant,
    /// When to look whether one can, if there are peers to try and no room.
    pub(crate) room_due: Option<Instant>,
    /// In the order in which the torrent names them; none before it is active for the first time.
    pub(crate) web_seeds: Vec<WebSource>,
    /// Never there where peers may not be told of peers; and not before one wants to be.
    pub(crate) exchange: Option<Box<PeerExchange>>,
    pub(crate) choker: Choker,
    pub(crate) choke_due: Option<Instant>,
    /// There while we pose as a peer that has nothing (BEP 16).
    pub(crate) super_seed: Option<Box<SuperSeed<ConnectionId>>>,
    /// What peers are told to fetch, while we alone have it (BEP 6).
    pub(crate) suggesting: Suggesting,
    pub(crate) announcer: Announcer,

    /// What our files hold was looked at, and the disk was not asked to open them anew since.
    pub(crate) files_known: bool,
    pub(crate) resume: Option<Resume>,
    /// Something changed that resume data should tell.
    pub(crate) resume_changed: bool,
    /// It is on its way to the disk, and it is to be saved again after that: what is saved last must be what was noted last.
    pub(crate) saving: bool,
    pub(crate) save_again: bool,
    pub(crate) resume_due: Option<Instant>,

    pub(crate) goal: GoalWatch,
    pub(crate) downloaded: u64,
    pub(crate) uploaded: u64,
    pub(crate) wasted: u64,
    /// When it last began to seed, if it does.
    pub(crate) seeding_since: Option<Instant>,
    /// How long it did before that, in this session.
    pub(crate) seeded: Duration,
    /// What earlier sessions did.
    pub(crate) earlier: Earlier,
    pub(crate) download_meter: RateMeter,
    pub(crate) upload_meter: RateMeter,
    pub(crate) download_lane: Lane<ConnectionId>,
    pub(crate) upload_lane: Lane<ConnectionId>,
    pub(crate) armed: Armed,
}

/// What all sessions before this one did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Earlier {
    pub(crate) uploaded: u64,
    pub(crate) downloaded: u64,
    pub(crate) seeding: Duration,
}

impl Earlier {
    pub(crate) fn of(resume: Option<&Resume>) -> Earlier {
        resume.map_or(Earlier::default(), |resume| Earlier {
            uploaded: resume.uploaded,
            downloaded: resume.downloaded,
            seeding: resume.seeding,
        })
    }
}

/// What a torrent is doing.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Peers are asked what the torrent consists of.
    Metadata(Box<MetadataFetch<(ConnectionId, SocketAddr)>>),
    /// Waits until the disk has answered everything from before.
    Settling,
    /// The disk looks at what files are there.
    Opening,
    /// What is there is being hashed.
    Checking(Checking, Vec<Option<FileStamp>>),
    /// The disk makes room.
    Preparing,
    /// Peers and trackers are spoken to.
    Active,
    /// It stands still; what is on disk is known.
    Paused,
    /// It stands still; what is on disk must be looked at again.
    Failed,
    /// Goodbye.
    Ending(Ending),
}

/// The steps of a torrent's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Waits until the disk has answered everything.
    Settling { forget: bool, delete: bool },
    /// The disk closes the files.
    Closing,
    /// Waits until the trackers know.
    Trackers,
}

/// What trackers are told to be missing as long as there is no metadata, in bytes.
const UNKNOWN_LENGTH: u64 = 16 << 10;

/// How often one who has all that it wants calls a peer. Whoever is to get something calls, too; and those who know each other have often
/// finished at the same time, and would call each other for nothing.
const UNHURRIED: Duration = Duration::from_millis(500);

impl Torrent {
    /// Files and pieces of a torrent; `None` if its lengths do not fit together.
    pub(crate) fn shape(metainfo: &Metainfo) -> Option<(Layout, Geometry)> {
        let layout = Layout::of(&metainfo.info)?;
        let geometry = Geometry::new(layout.total_length(), layout.piece_length())?;
        Some((layout, geometry))
    }

    /// What it consists of, if that is known.
    pub(crate) fn metainfo(&self) -> Option<&Metainfo> {
        match &self.source {
            TorrentSource::Metainfo(metainfo) => Some(metainfo),
            TorrentSource::Magnet(_) => None,
        }
    }

    /// What people call it.
    pub(crate) fn name(&self) -> String {
        match &self.source {
            TorrentSource::Metainfo(metainfo) => metainfo.info.name().into(),
            TorrentSource::Magnet(Magnet { name: Some(name), .. }) => sanitise(name.as_bytes()),
            TorrentSource::Magnet(_) => self.info_hash.to_string(),
        }
    }

    /// Whether anybody may know of its peers, and be one (BEP 27). What a magnet link stands for counts as public until the metadata
    /// says otherwise.
    pub(crate) fn is_public(&self) -> bool {
        !self.metainfo().is_some_and(|metainfo| metainfo.info.is_private())
    }

    /// Whether peers may be told of peers (BEP 11).
    pub(crate) fn exchanges_peers(&self) -> bool {
        self.choices.peer_exchange && self.is_public()
    }

    /// Learns of a peer: the one way in, through which a private torrent takes only what it may know.
    pub(crate) fn learn(&mut self, now: Instant, address: SocketAddr, sources: impl Into<PeerSources>, config: &Config) {
        let sources = sources.into();
        if self.is_public() || sources.suit_private() {
            self.peers.add(now, address, sources, config);
        }
    }

    /// Learns of the peers that an earlier session knew.
    pub(crate) fn learn_saved(&mut self, now: Instant, config: &Config) {
        let saved = self.resume.as_ref().map(|resume| resume.peers.clone()).unwrap_or_default();
        for (rank, ResumePeer { address, from_tracker }) in (0..).zip(saved) {
            let sources = PeerSources::from(PeerSource::Resume);
            self.learn(now, address, if from_tracker { sources.with(PeerSource::Tracker) } else { sources }, config);
            self.peers.prefer(address, rank);
        }
    }

    /// Whether every piece is verified, wanted or not: we are a seed.
    pub(crate) fn is_complete(&self) -> bool {
        self.verified.is_full() && self.metainfo().is_some()
    }

    /// Whether every wanted piece is verified: there is nothing to fetch. Where others are missing, we are a partial seed (BEP 21).
    pub(crate) fn is_finished(&self) -> bool {
        self.metainfo().is_some() && self.selection.is_finished()
    }

    /// There is something to fetch again, or traffic ends.
    pub(crate) fn seeding_ends(&mut self, now: Instant) {
        if let Some(since) = self.seeding_since.take() {
            self.seeded += now.since(since);
        }
    }

    /// How long it has been seeding in this session.
    pub(crate) fn seeding_time(&self, now: Instant) -> Duration {
        self.seeded + self.seeding_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Whether the disk can be told which files are wanted: it knows what files there are, and is not about to fail or to end.
    pub(crate) fn may_prepare(&self) -> bool {
        matches!(self.phase, Phase::Preparing | Phase::Active)
    }

    pub(crate) fn is_preparing(&self) -> bool {
        matches!(self.phase, Phase::Preparing)
    }

    /// Whether nothing more is wanted, and peers may know it (BEP 21).
    ///
    /// Before it is active, and as long as nothing at all is wanted, its owner is still to choose what is wanted of a magnet link, and
    /// whoever gave the metadata has it.
    pub(crate) fn is_upload_only(&self) -> bool {
        let chosen = self.selection.bytes > 0 || self.is_complete();
        self.is_active() && self.is_finished() && chosen && self.super_seed.is_none()
    }

    /// Whether connections may be opened and taken in.
    pub(crate) fn takes_peers(&self) -> bool {
        matches!(self.phase, Phase::Active | Phase::Metadata(_))
    }

    /// Bytes of the files that the owner wants.
    pub(crate) fn wanted_length(&self) -> u64 {
        let wanted = |(place, _): &(usize, _)| self.choices.file(u32::try_from(*place).unwrap_or(u32::MAX)) != Priority::Skip;
        let files = self.layout.files().iter().enumerate().filter(|(_, file)| !file.padding);
        files.filter(wanted).map(|(_, file)| file.length).sum()
    }

    /// Whether it gives and takes nothing.
    pub(crate) fn is_seeding(&self) -> bool {
        self.is_active() && self.is_complete()
    }

    pub(crate) fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Active)
    }

    /// When another peer may be called at the earliest.
    pub(crate) fn next_connect(&self) -> Instant {
        self.connected_at.filter(|_| self.is_finished()).map_or(Instant::ZERO, |at| at + UNHURRIED)
    }

    /// Bytes that are missing.
    pub(crate) fn left(&self) -> u64 {
        if self.metainfo().is_none() {
            // Nobody knows; but trackers take whoever lacks nothing for a seed.
            return UNKNOWN_LENGTH;
        }
        self.layout.total_length().saturating_sub(self.verified_bytes)
    }

    /// What trackers are told.
    pub(crate) fn statistics(&self, peers_wanted: u32) -> Statistics {
        Statistics {
            uploaded: self.uploaded,
            downloaded: self.downloaded,
            left: self.left(),
            peers_wanted,
            peers_known: u32::try_from(self.peers.len()).unwrap_or(u32::MAX),
            // Wanting nothing more and being complete is still one and the same.
            partial_seed: self.is_finished() && !self.is_complete(),
        }
    }

    /// The pieces that peers are told of when they connect: those verified, less those of the log not yet announced.
    pub(crate) fn announced(&self) -> Bitfield {
        let mut announced = self.verified.clone();
        for piece in self.have_log.iter().skip(self.have_announced as usize) {
            announced.clear(*piece);
        }
        announced
    }

    /// Whether peers know of `piece`: verified, and not only in the part of the log that they have not been told.
    pub(crate) fn has_announced(&self, piece: u32) -> bool {
        self.verified.get(piece) && !self.have_log.iter().skip(self.have_announced as usize).any(|logged| *logged == piece)
    }
}
