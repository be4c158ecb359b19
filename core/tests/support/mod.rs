//! One engine in a scripted world: virtual time, a disk in memory, trackers that wait for their cue, and peers that speak raw wire
//! bytes. Every action is checked against the contract on its way (see `audit`).

#![allow(dead_code, missing_docs, unreachable_pub, clippy::disallowed_types, reason = "each test program uses another part")]

mod audit;
mod content;
mod disk;
mod extended;
mod peer;
mod trackers;
mod web;

pub use content::Content;
pub use disk::{Disk, Job};
pub use peer::{Peer, handshake};
pub use trackers::Announce;

use audit::Audit;
use bytes::Bytes;
use peer::Stream;
use rustor_core::{
    action::Action,
    choices::{Choices, Priority},
    command::{AddTorrent, Command, CommandError, Reply},
    config::Config,
    engine::{Engine, Explanation, PieceExplanation},
    error::{DiskErrorKind, StreamError},
    event::Event,
    id::{ConnectionId, DiskJobId, IncomingId, ResolveId, TorrentId},
    input::{Input, ReadBuffer},
    metainfo::InfoHash,
    peer::CloseReason,
    record::{AddressMask, Recorder},
    rng::Seed,
    status::{FileStatus, PeerStatus, TorrentState, TorrentStatus},
    storage::DiskOperation,
    time::{Duration, Instant},
    wire::{PeerId, Reserved, extension::ExtensionHandshake},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    rc::Rc,
};

/// A handle: clones lead to the same world.
#[derive(Clone)]
pub struct World(Rc<RefCell<Inner>>);

struct Inner {
    engine: Engine,
    now: Instant,
    audit: Audit,
    inputs: VecDeque<Input>,
    streams: Vec<Stream>,
    by_connection: BTreeMap<ConnectionId, usize>,
    dials: Vec<(ConnectionId, SocketAddr)>,
    disk: Disk,
    disk_held: bool,
    jobs: Vec<(DiskJobId, TorrentId, DiskOperation)>,
    announces: Vec<Announce>,
    look_ups: Vec<(ResolveId, String, u16)>,
    downloads: Vec<web::State>,
    datagrams: Vec<(Instant, SocketAddr, Bytes)>,
    multicasts: Vec<(Instant, SocketAddr, Bytes)>,
    events: Vec<Event>,
    refused: usize,
    timeouts: u32,
    deferred: u32,
    watch: Option<Watch>,
    recording: Option<(Recorder, Vec<u8>)>,
    mask: Option<AddressMask>,
}

/// Keeps what the engine asks for, and what it knew of a torrent then.
struct Watch {
    info_hash: InfoHash,
    inputs: u64,
    seen: Vec<Seen>,
}

/// Something that the engine asked for.
pub struct Seen {
    /// After how many inputs.
    pub inputs: u64,
    /// The engine knew what the watched torrent consists of.
    pub metadata: bool,
    pub action: Action,
}

impl World {
    pub fn new() -> World {
        World::with(|_| {})
    }

    /// A world that is recorded; `mask` keeps addresses out of the recording.
    pub fn recorded(mask: Option<AddressMask>) -> World {
        World::made(|_| {}, true, mask)
    }

    /// With a changed configuration.
    pub fn with(change: impl FnOnce(&mut Config)) -> World {
        World::made(change, false, None)
    }

    fn made(change: impl FnOnce(&mut Config), recorded: bool, mask: Option<AddressMask>) -> World {
        let mut config = Config::default();
        change(&mut config);
        let now = Instant::from_micros(1_000_000);
        let mut recording = Vec::new();
        let recorder = recorded.then(|| Recorder::new(Seed::from_u64(7), &config, now, &mut recording));
        let world = World(Rc::new(RefCell::new(Inner {
            engine: Engine::new(config, Seed::from_u64(7), now),
            now,
            audit: Audit::default(),
            inputs: VecDeque::new(),
            streams: Vec::new(),
            by_connection: BTreeMap::new(),
            dials: Vec::new(),
            disk: Disk::default(),
            disk_held: false,
            jobs: Vec::new(),
            announces: Vec::new(),
            look_ups: Vec::new(),
            downloads: Vec::new(),
            datagrams: Vec::new(),
            multicasts: Vec::new(),
            events: Vec::new(),
            refused: 0,
            timeouts: 0,
            deferred: 0,
            watch: None,
            recording: recorder.map(|recorder| (recorder, recording)),
            mask,
        })));
        world.input(Input::Listening(SocketAddr::from(([0, 0, 0, 0], 6881))));
        world
    }

    /// What was recorded so far, with a checkpoint at its end.
    pub fn recording(&self) -> Bytes {
        let inner = &mut *self.0.borrow_mut();
        let (recorder, recording) = inner.recording.as_mut().expect("the world is recorded");
        recorder.checkpoint(recording);
        recording.clone().into()
    }

    // Torrents

    /// Adds a torrent of which nothing is on disk.
    pub fn leeches(&self, content: &Content) -> TorrentId {
        self.adds(content, |_| {})
    }

    /// Adds a torrent of which everything is on disk.
    pub fn seeds(&self, content: &Content) -> TorrentId {
        self.has(content, 0..content.pieces());
        self.leeches(content)
    }

    /// Adds a torrent with changes to how.
    pub fn adds(&self, content: &Content, change: impl FnOnce(&mut AddTorrent)) -> TorrentId {
        let mut add = AddTorrent::new(content.metainfo(), "folder");
        change(&mut add);
        match self.command(Command::Add(Box::new(add))) {
            Ok(Reply::Added(torrent)) => torrent,
            other => panic!("adding a torrent brought {other:?}"),
        }
    }

    /// Puts the bytes of pieces on disk, before or behind the engine's back.
    pub fn has(&self, content: &Content, pieces: impl IntoIterator<Item = u32>) {
        pieces.into_iter().for_each(|piece| self.disk(|disk| disk.put_piece("folder", content, piece)));
    }

    pub fn command(&self, command: Command) -> Result<Reply, CommandError> {
        let reply = {
            let inner = &mut *self.0.borrow_mut();
            inner.watch.iter_mut().for_each(|watch| watch.inputs += 1);
            let command = match &mut inner.mask {
                Some(mask) => mask.command(command),
                None => command,
            };
            if let Some((recorder, recording)) = &mut inner.recording {
                recorder.command(inner.now, &command, recording);
            }
            inner.engine.command(inner.now, command)
        };
        self.settles();
        reply
    }

    /// A command that must be accepted.
    pub fn does(&self, command: Command) {
        self.command(command).expect("the command is accepted");
    }

    pub fn find(&self, content: &Content) -> Option<TorrentId> {
        self.0.borrow().engine.find(content.info_hash())
    }

    pub fn torrent_of(&self, content: &Content) -> TorrentId {
        self.find(content).expect("the torrent is listed")
    }

    pub fn status(&self, torrent: TorrentId) -> TorrentStatus {
        self.0.borrow().engine.torrent(torrent).expect("the torrent is listed")
    }

    pub fn files(&self, torrent: TorrentId) -> Vec<FileStatus> {
        self.0.borrow().engine.files(torrent)
    }

    pub fn choices(&self, torrent: TorrentId) -> Choices {
        self.0.borrow().engine.choices(torrent).expect("the torrent is listed").clone()
    }

    /// The owner wants these files only.
    pub fn wants(&self, torrent: TorrentId, files: &[u32]) {
        self.chooses(torrent, |choices| *choices = only(files));
    }

    /// The owner changes what was chosen.
    pub fn chooses(&self, torrent: TorrentId, change: impl FnOnce(&mut Choices)) {
        let mut choices = self.choices(torrent);
        change(&mut choices);
        self.does(Command::Choose { torrent, choices: Box::new(choices) });
    }

    pub fn state(&self, torrent: TorrentId) -> TorrentState {
        self.status(torrent).state
    }

    pub fn is_listed(&self, torrent: TorrentId) -> bool {
        self.0.borrow().engine.torrent(torrent).is_some()
    }

    pub fn peers(&self, torrent: TorrentId) -> Vec<PeerStatus> {
        let inner = self.0.borrow();
        let mut peers = inner.engine.peers(torrent);
        if let Some(mask) = &inner.mask {
            peers.iter_mut().for_each(|peer| peer.remote = mask.address(peer.remote));
        }
        peers
    }

    pub fn availability(&self, torrent: TorrentId) -> Option<Vec<u32>> {
        self.0.borrow().engine.availability(torrent)
    }

    pub fn explains(&self, torrent: TorrentId) -> Explanation {
        self.0.borrow().engine.explain(torrent).expect("the torrent is listed")
    }

    pub fn explains_piece(&self, torrent: TorrentId, piece: u32) -> Option<PieceExplanation> {
        self.0.borrow().engine.explain_piece(torrent, piece)
    }

    pub fn our_peer_id(&self) -> PeerId {
        PeerId(self.0.borrow().engine.peer_id())
    }

    // Peers

    /// A stranger connects and says nothing yet.
    pub fn stranger(&self, remote: &str) -> Peer {
        let remote: SocketAddr = remote.parse().expect("an address");
        let (number, incoming) = {
            let inner = &mut *self.0.borrow_mut();
            inner.streams.push(Stream::new(remote));
            (inner.streams.len() - 1, IncomingId(inner.streams.len() as u64 - 1))
        };
        self.input(Input::Incoming { incoming, remote });
        Peer::new(self.clone(), number)
    }

    /// A peer connects, and hands have been shaken. What the engine said with its handshake waits to be heard.
    pub fn joins(&self, content: &Content, remote: &str) -> Peer {
        let peer = self.stranger(remote);
        peer.shakes_hands(content);
        peer
    }

    /// A peer that speaks the fast extension connects (BEP 6).
    pub fn joins_fast(&self, content: &Content, remote: &str) -> Peer {
        let peer = self.stranger(remote);
        peer.shakes_hands_with(content, Reserved::default().with_fast());
        peer
    }

    /// A peer that speaks the extension protocol connects (BEP 10), and says this of itself.
    pub fn joins_extended(&self, content: &Content, remote: &str, handshake: ExtensionHandshake) -> Peer {
        let peer = self.stranger(remote);
        peer.shakes_hands_with(content, Reserved::default().with_fast().with_extension());
        peer.introduces_itself(handshake);
        peer
    }

    /// A peer with all pieces connects.
    pub fn seed_joins(&self, content: &Content, remote: &str) -> Peer {
        let peer = self.joins(content, remote);
        peer.has_all(content);
        peer
    }

    /// The addresses that the engine tries to reach now.
    pub fn dials(&self) -> Vec<SocketAddr> {
        self.0.borrow().dials.iter().map(|(_, remote)| *remote).collect()
    }

    /// One of those answers.
    pub fn answers(&self, remote: &str) -> Peer {
        let (connection, remote) = self.takes_dial(remote);
        let number = {
            let inner = &mut *self.0.borrow_mut();
            let number = inner.streams.len();
            inner.streams.push(Stream::new(remote));
            inner.streams[number].connection = Some(connection);
            inner.by_connection.insert(connection, number);
            number
        };
        self.input(Input::Connected { connection, result: Ok(()) });
        Peer::new(self.clone(), number)
    }

    /// One of those refuses.
    pub fn refuses(&self, remote: &str) {
        let (connection, _) = self.takes_dial(remote);
        self.input(Input::Connected { connection, result: Err(StreamError::Refused) });
    }

    fn takes_dial(&self, remote: &str) -> (ConnectionId, SocketAddr) {
        let remote: SocketAddr = remote.parse().expect("an address");
        let dials = &mut self.0.borrow_mut().dials;
        let at = dials.iter().position(|(_, dialed)| *dialed == remote).unwrap_or_else(|| panic!("{remote} was not dialed: {dials:?}"));
        dials.remove(at)
    }

    /// How many incoming streams were refused.
    pub fn refused(&self) -> usize {
        self.0.borrow().refused
    }

    // Disk

    pub fn disk<R>(&self, f: impl FnOnce(&mut Disk) -> R) -> R {
        f(&mut self.0.borrow_mut().disk)
    }

    /// From now on the disk answers only when told to.
    pub fn disk_holds(&self) {
        self.0.borrow_mut().disk_held = true;
    }

    /// What the disk was asked for and has not answered.
    pub fn jobs(&self) -> Vec<Job> {
        self.0.borrow().jobs.iter().map(|(_, _, operation)| Job::of(operation)).collect()
    }

    /// The disk does the job at this place of [`World::jobs`], and answers.
    pub fn disk_does(&self, at: usize) {
        let (job, result) = {
            let inner = &mut *self.0.borrow_mut();
            let (job, torrent, operation) = inner.jobs.remove(at);
            (job, inner.disk.perform(torrent, operation))
        };
        self.input(Input::Disk { job, result });
    }

    /// The disk does the first job of this kind.
    pub fn disk_does_next(&self, kind: Job) {
        let jobs = self.jobs();
        self.disk_does(jobs.iter().position(|job| job.is_like(kind)).unwrap_or_else(|| panic!("no {kind:?} among {jobs:?}")));
    }

    /// The disk answers everything, now and from now on.
    pub fn disk_catches_up(&self) {
        self.0.borrow_mut().disk_held = false;
        while !self.jobs().is_empty() {
            self.disk_does(0);
        }
    }

    /// Operations of this kind fail from now on.
    pub fn disk_fails(&self, kind: Job) {
        self.disk(|disk| disk.fault = Some((kind, DiskErrorKind::Full)));
    }

    pub fn disk_works(&self) {
        self.disk(|disk| disk.fault = None);
    }

    // Datagrams

    /// The datagrams sent since the last call: when, where to, and what.
    pub fn datagrams(&self) -> Vec<(Instant, SocketAddr, Bytes)> {
        std::mem::take(&mut self.0.borrow_mut().datagrams)
    }

    /// What was said to multicast groups since the last call.
    pub fn multicasts(&self) -> Vec<(Instant, SocketAddr, Bytes)> {
        std::mem::take(&mut self.0.borrow_mut().multicasts)
    }

    // Trackers

    /// Announces under way, not answered yet.
    pub fn announces(&self) -> Vec<Announce> {
        self.0.borrow().announces.clone()
    }

    /// Names that were looked up.
    pub fn look_ups(&self) -> Vec<(ResolveId, String, u16)> {
        self.0.borrow().look_ups.clone()
    }

    /// The same; what answers them is up to the test.
    pub fn takes_look_ups(&self) -> Vec<(ResolveId, String, u16)> {
        std::mem::take(&mut self.0.borrow_mut().look_ups)
    }

    /// The tracker answers the oldest announce that goes to `url`.
    pub fn tracker_answers(&self, url: &str, peers: &[&str]) {
        self.tracker_says(url, trackers::response(1800, peers));
    }

    /// The tracker answers with this body.
    pub fn tracker_says(&self, url: &str, body: Bytes) {
        let announce = self.takes_announce(url);
        self.input(Input::Http { request: announce.request, result: Ok(trackers::reply(body)) });
    }

    /// The tracker answers the oldest announce that goes to `url`, which is given back.
    pub fn announced(&self, url: &str) -> Announce {
        let announce = self.announces().into_iter().find(|announce| announce.url.starts_with(url));
        self.tracker_answers(url, &[]);
        announce.expect("an announce that was answered")
    }

    /// The tracker cannot be reached.
    pub fn tracker_fails(&self, url: &str) {
        let announce = self.takes_announce(url);
        self.input(Input::Http { request: announce.request, result: Err(rustor_core::error::HttpError::Failed("unreachable".to_owned())) });
    }

    /// Takes an announce away; what answers it later is up to the test.
    pub fn takes_announce(&self, url: &str) -> Announce {
        let announces = &mut self.0.borrow_mut().announces;
        let at = announces.iter().position(|announce| announce.url.starts_with(url));
        announces.remove(at.unwrap_or_else(|| panic!("no announce to {url} is under way: {announces:?}")))
    }

    // Everything at once

    /// Keeps all actions from now on, for [`World::seen`].
    pub fn watches(&self, content: &Content) {
        self.0.borrow_mut().watch = Some(Watch { info_hash: content.info_hash(), inputs: 0, seen: Vec::new() });
    }

    /// What the engine asked for since the last call, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.0.borrow_mut().watch.as_mut().map(|watch| std::mem::take(&mut watch.seen)).unwrap_or_default()
    }

    // Time and events

    pub fn now(&self) -> Instant {
        self.0.borrow().now
    }

    /// Lets time pass, waking the engine whenever it asked for it.
    pub fn passes(&self, duration: Duration) {
        let end = self.now() + duration;
        let mut wakes = 0;
        loop {
            let deadline = self.0.borrow().engine.next_deadline();
            let Some(at) = deadline.filter(|at| *at <= end) else { break };
            wakes += 1;
            assert!(wakes < 100_000, "the engine wants to be woken all the time");
            self.0.borrow_mut().now = at;
            self.input(Input::Timeout);
        }
        self.0.borrow_mut().now = end;
        self.input(Input::Timeout);
    }

    /// How often the engine was woken by its own deadlines so far.
    pub fn wakes(&self) -> u32 {
        self.0.borrow().timeouts
    }

    pub fn seconds(&self, seconds: u64) {
        self.passes(Duration::from_secs(seconds));
    }

    /// All events since the last call.
    pub fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.borrow_mut().events)
    }

    /// How many events of those not yet taken are like this.
    pub fn count_events(&self, mut like: impl FnMut(&Event) -> bool) -> usize {
        self.0.borrow().events.iter().filter(|event| like(event)).count()
    }

    /// Why the peer at `remote` was let go, as told by the events so far.
    pub fn reason(&self, remote: SocketAddr) -> Option<CloseReason> {
        self.0.borrow().events.iter().rev().find_map(|event| match event {
            Event::PeerDisconnected { remote: gone, reason, .. } if *gone == remote => Some(*reason),
            _ => None,
        })
    }

    // The loop

    pub fn input(&self, input: Input) {
        self.0.borrow_mut().handle(input);
        self.settles();
    }

    /// The next inputs come before the engine is asked what to do.
    pub fn defers(&self, inputs: u32) {
        self.0.borrow_mut().deferred = inputs;
    }

    /// The engine is asked what to do after each input again.
    pub fn undefer(&self) {
        self.0.borrow_mut().deferred = 0;
        self.settles();
    }

    /// Does what the engine asks for, until it asks for nothing more.
    pub fn settles(&self) {
        let inner = &mut *self.0.borrow_mut();
        if inner.deferred > 0 {
            inner.deferred -= 1;
            return;
        }
        loop {
            while let Some(action) = inner.engine.poll_action() {
                inner.recording.iter_mut().for_each(|(recorder, _)| recorder.action(&action));
                let action = match &mut inner.mask {
                    Some(mask) => mask.action(action),
                    None => action,
                };
                inner.audit.action(&action);
                inner.watches(&action);
                inner.act(action);
            }
            while let Some(event) = inner.engine.poll_event() {
                inner.recording.iter_mut().for_each(|(recorder, _)| recorder.event(&event));
                let event = match &inner.mask {
                    Some(mask) => mask.event(event),
                    None => event,
                };
                inner.audit.event(&event);
                inner.events.push(event);
            }
            inner.recording.iter_mut().for_each(|(recorder, _)| recorder.drained());
            match inner.inputs.pop_front() {
                Some(input) => inner.handle(input),
                None => break,
            }
        }
        let deadline = inner.engine.next_deadline();
        assert!(deadline.is_none_or(|at| at > inner.now), "after a drain the next deadline must lie in the future");
    }
}

/// These files and no others.
pub fn only(files: &[u32]) -> Choices {
    let files = files.iter().map(|place| (*place, Priority::Normal)).collect();
    Choices { files, other_files: Priority::Skip, ..Choices::default() }
}

impl Inner {
    fn watches(&mut self, action: &Action) {
        let Some(watch) = &mut self.watch else { return };
        let torrent = self.engine.find(watch.info_hash).and_then(|torrent| self.engine.torrent(torrent));
        let metadata = torrent.is_some_and(|torrent| torrent.metadata);
        watch.seen.push(Seen { inputs: watch.inputs, metadata, action: action.clone() });
    }

    fn handle(&mut self, input: Input) {
        self.audit.input(&input);
        self.watch.iter_mut().for_each(|watch| watch.inputs += 1);
        self.timeouts += u32::from(matches!(input, Input::Timeout));
        let input = match &mut self.mask {
            Some(mask) => mask.input(input),
            None => input,
        };
        if let Some((recorder, recording)) = &mut self.recording {
            recorder.input(self.now, &input, recording);
        }
        self.engine.handle(self.now, input);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect { connection, remote } => self.dials.push((connection, remote)),
            Action::Accept { incoming, connection } => {
                let number = incoming.0 as usize;
                self.streams[number].connection = Some(connection);
                self.by_connection.insert(connection, number);
            }
            Action::Refuse { incoming } => {
                self.refused += 1;
                self.streams[incoming.0 as usize].is_closed = true;
            }
            Action::Read { connection, limit } => {
                if let Some(number) = self.by_connection.get(&connection).copied() {
                    self.streams[number].reading = Some(limit);
                    self.deliver(number);
                }
            }
            Action::Write { connection, buffers } => {
                let Some(number) = self.by_connection.get(&connection).copied() else { return };
                let stream = &mut self.streams[number];
                if stream.takes_writes {
                    stream.hear(&buffers);
                    self.inputs.push_back(Input::Written { connection, result: Ok(()) });
                } else {
                    stream.writing = Some(buffers);
                }
            }
            Action::Close { connection } => {
                self.dials.retain(|(dialed, _)| *dialed != connection);
                if let Some(number) = self.by_connection.remove(&connection) {
                    self.streams[number].close();
                }
            }
            Action::Disk { job, torrent, operation } => {
                if self.disk_held {
                    self.jobs.push((job, torrent, operation));
                } else {
                    let result = self.disk.perform(torrent, operation);
                    self.inputs.push_back(Input::Disk { job, result });
                }
            }
            Action::Http { request, url, .. } => self.announces.push(Announce::new(request, url)),
            Action::Fetch { fetch, url, range } => self.downloads.push(web::State::new(fetch, url, range)),
            Action::FetchRead { fetch, limit } => {
                let download = self.downloads.iter_mut().find(|download| download.fetch == fetch).expect("a download that was begun");
                download.reading = Some(limit);
                self.inputs.extend(download.deliver());
            }
            Action::FetchCancel { fetch } => {
                let download = self.downloads.iter_mut().find(|download| download.fetch == fetch).expect("a download that was begun");
                download.is_over = true;
            }
            Action::Resolve { resolve, host, port } => self.look_ups.push((resolve, host, port)),
            Action::SendDatagram { remote, payload } => self.datagrams.push((self.now, remote, payload)),
            Action::Multicast { group, payload } => self.multicasts.push((self.now, group, payload)),
        }
    }

    /// Gives the engine what a peer has said, if it reads.
    fn deliver(&mut self, number: usize) {
        let stream = &mut self.streams[number];
        let (Some(limit), Some(connection)) = (stream.reading, stream.connection) else { return };
        let Some(data) = stream.takes(limit as usize) else { return };
        stream.reading = None;
        let allocation = data.len() as u32;
        self.inputs.push_back(Input::Read { connection, result: Ok(ReadBuffer { data, allocation }) });
    }
}
