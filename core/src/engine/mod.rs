//! The engine: owns the parts, routes inputs, drains actions.
//!
//! What happens for an input is spread over the files of this room by subject:
//!
//! - `lifecycle`: torrents come, are checked, start, pause, fail, end; resume data
//! - `connections`: opening, accepting, handshakes, closing; `turnover`: which are kept
//! - `messages`: what a peer's message means
//! - `extended`: the extension protocol; `metadata`: what a magnet link stands for; `peer_exchange`: peers that peers tell of
//! - `fast`: the fast extension; `suggest`: what a first seed suggests; `partial_seeds`: who wants nothing more; `super_seeding`: who shows little
//! - `download`: requests, blocks, pieces, haves
//! - `selection`: which files are wanted, and what follows when that changes
//! - `unfinished`: pieces that are not complete when a torrent stands still
//! - `upload`: blocks that peers ask for, choke rounds
//! - `flush`: what is written to a peer, encoded as late as possible
//! - `rates`: rate limits; `goal`: when seeding ends
//! - `trackers`: announces
//! - `web_seeds`: files fetched from web servers
//! - `local`: peers of the local network
//! - `disk`: answers of disk jobs; `timers`: what is due when
//! - `query`: what the owner may ask; `explain`: why things are as they are

mod connections;
mod disk;
mod download;
mod explain;
mod extended;
mod fast;
mod flush;
mod goal;
mod lifecycle;
mod local;
mod messages;
mod metadata;
mod partial_seeds;
mod peer_exchange;
mod query;
mod rates;
mod selection;
mod suggest;
mod super_seeding;
mod timers;
mod trackers;
mod turnover;
mod unfinished;
mod upload;
mod web_seeds;

use crate::{
    action::Action,
    command::{Command, CommandError, Reply},
    config::Config,
    event::Event,
    id::{ConnectionId, ConnectionKind, DiskJobKind, FetchKind, HttpKind, ResolveKind, TorrentId, TorrentKind},
    input::Input,
    local_discovery::LocalDiscovery,
    metainfo::InfoHash,
    peer::{Connection, OwnAddresses},
    rng::{Purpose, Rng, Seed},
    time::Instant,
    torrent::{PeerSource, Torrent},
    tracker::udp::{UdpExchangeId, UdpTrackerClient},
    util::{Armed, Deadlines, Key, Slab},
    wire::{Encoder, PeerId},
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use disk::DiskJob;
pub use explain::{DownloadReason, Explanation, PeerExplanation, PickOrder, PieceExplanation, PieceState, TorrentReason, UploadReason};
use rates::Lanes;
use timers::Timer;
use trackers::{AnnounceKind, HttpPurpose, PendingAnnounce, Resolving};
use turnover::Turnover;

/// Actions and events for which an engine keeps room although there are none: what a burst took beyond it is given back.
const QUEUE: usize = 8;

/// A BitTorrent engine: any number of torrents, all their peers and trackers. Does no I/O itself.
///
/// See the [crate's front page](crate) for the run loop.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    rng: Rng,
    now: Instant,
    peer_id: PeerId,
    listening: Vec<core::net::SocketAddr>,
    own_addresses: OwnAddresses,
    shutting_down: bool,

    torrents: Slab<TorrentKind, Torrent>,
    by_info_hash: BTreeMap<InfoHash, TorrentId>,
    /// How many torrents were ever added: numbers their streams of randomness.
    torrents_added: u64,

    connections: Slab<ConnectionKind, Connection>,
    /// Outgoing connections that do not stand yet.
    half_open: u32,
    /// Torrents that know peers to try and found no room for another connection.
    wanting: BTreeSet<TorrentId>,
    /// Whose turn among these it is, or that of the next one behind it.
    wanting_next: TorrentId,
    turnover: Turnover,
    /// Connections with something to say.
    dirty: Vec<ConnectionId>,
    /// Connections whose next read waits for the disk.
    withheld: VecDeque<ConnectionId>,
    /// What rate limits let pass, and who waits for them.
    lanes: Lanes,

    disk_jobs: Slab<DiskJobKind, DiskJob>,
    /// What blocks that came and are not yet on disk take of [`Config::block_budget`].
    blocks_held: u64,
    /// Pieces being stored, of all torrents.
    storing: u32,

    http: Slab<HttpKind, HttpPurpose>,
    fetches: Slab<FetchKind, (TorrentId, u32)>,
    /// Torrents whose web seeds wait for the disk.
    withheld_web_seeds: BTreeSet<TorrentId>,
    resolves: Slab<ResolveKind, Resolving>,
    announces: Slab<AnnounceKind, PendingAnnounce>,
    udp: UdpTrackerClient,
    udp_announces: BTreeMap<UdpExchangeId, Key<AnnounceKind>>,
    udp_armed: Armed,
    /// None if the configuration says so.
    local: Option<LocalDiscovery>,
    local_armed: Armed,

    timers: Deadlines<Timer>,
    encoder: Encoder,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
}

impl Engine {
    /// An engine without torrents. The same seed and the same inputs give the same actions.
    pub fn new(config: Config, seed: Seed, now: Instant) -> Engine {
        let rng = Rng::new(seed);
        let peer_id = PeerId::random(config.peer_id_prefix, &mut rng.fork(Purpose::PeerId, 0));
        let lanes = Lanes::new(config.limits.rates, now);
        let udp = UdpTrackerClient::new(config.udp_tracker.clone(), rng.fork(Purpose::UdpTracker, 0));
        let local = config.local_discovery.map(|config| LocalDiscovery::new(config, &mut rng.fork(Purpose::LocalDiscovery, 0)));
        Engine {
            config,
            rng,
            now,
            peer_id,
            listening: Vec::new(),
            own_addresses: OwnAddresses::default(),
            shutting_down: false,
            torrents: Slab::new(),
            by_info_hash: BTreeMap::new(),
            torrents_added: 0,
            connections: Slab::new(),
            half_open: 0,
            wanting: BTreeSet::new(),
            wanting_next: TorrentId::from_bits(0),
            turnover: Turnover::default(),
            dirty: Vec::new(),
            withheld: VecDeque::new(),
            lanes,
            disk_jobs: Slab::new(),
            blocks_held: 0,
            storing: 0,
            http: Slab::new(),
            fetches: Slab::new(),
            withheld_web_seeds: BTreeSet::new(),
            resolves: Slab::new(),
            announces: Slab::new(),
            udp,
            udp_announces: BTreeMap::new(),
            udp_armed: None,
            local,
            local_armed: None,
            timers: Deadlines::new(),
            encoder: Encoder::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Tells the engine what happened, and when. Cannot fail: whatever a peer, a tracker or a disk does is dealt with.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.advance(now);
        match input {
            Input::Timeout => {}
            Input::Listening(address) => {
                self.listening.push(address);
                self.own_addresses.listening(address);
                self.own_addresses_changed();
                self.arm_local();
            }
            Input::Incoming { incoming, remote } => self.on_incoming(incoming, remote),
            Input::Connected { connection, result } => self.on_connected(connection, result),
            Input::Read { connection, result } => self.on_read(connection, result),
            Input::Written { connection, result } => self.on_written(connection, result),
            Input::Disk { job, result } => self.on_disk(job, result),
            Input::Http { request, result } => self.on_http(request, result),
            Input::FetchHead { fetch, result } => self.on_fetch_head(fetch, result),
            Input::FetchBody { fetch, result } => self.on_fetch_body(fetch, result),
            Input::Resolved { resolve, result } => self.on_resolved(resolve, result),
            Input::Datagram { remote, payload } => self.on_datagram(remote, &payload),
            Input::Multicast { remote, payload } => self.on_multicast(remote, &payload),
        }
    }

    /// Tells the engine what its owner wants.
    ///
    /// # Errors
    ///
    /// If the command names a torrent that is not there, adds one that is, or comes after [`Command::ShutDown`].
    pub fn command(&mut self, now: Instant, command: Command) -> Result<Reply, CommandError> {
        self.advance(now);
        match command {
            Command::Add(add) => return self.add(*add).map(Reply::Added),
            Command::Pause(torrent) => self.pause(torrent)?,
            Command::Resume(torrent) => self.resume(torrent)?,
            Command::Remove { torrent, delete_data } => self.remove(torrent, delete_data)?,
            Command::Recheck(torrent) => self.recheck(torrent)?,
            Command::AddPeers { torrent, peers } => self.add_peers(torrent, peers, PeerSource::Owner)?,
            Command::Announce(torrent) => self.announce_now(torrent)?,
            Command::Choose { torrent, choices } => self.choose(torrent, *choices)?,
            Command::SetLimits(limits) => {
                self.config.limits = limits;
                self.set_rates(limits.rates);
                self.enforce_limits();
                self.connect_wanting();
            }
            Command::ShutDown => self.shut_down(),
        }
        Ok(Reply::Done)
    }

    /// What the host must do next; `None` once all is said.
    pub fn poll_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            if self.dirty.is_empty() {
                self.actions.shrink_to(QUEUE);
                return None;
            }
            self.flush();
        }
    }

    /// What the owner may want to know next.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if event.is_none() {
            self.events.shrink_to(QUEUE);
        }
        event
    }

    /// When to call [`Engine::handle`] with [`Input::Timeout`] at the latest. After [`Engine::poll_action`] has said `None`
    /// this lies in the future.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.first()
    }

    /// Time never goes backwards, and whatever is due comes before what happens now.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.fire_timers();
    }

    fn event(&mut self, event: Event) {
        if self.events.len() >= self.config.event_limit {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}
