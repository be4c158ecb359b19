use crate::{
    disk::Disk,
    network::{Link, Pipe, departure},
    payload::Payload,
};
use bytes::Bytes;
use rustor_core::{
    action::Action,
    command::{AddTorrent, Command, Reply},
    config::Config,
    engine::Engine,
    error::{HttpError, ResolveError, StreamError},
    event::Event,
    id::{ConnectionId, IncomingId, TorrentId},
    input::{HttpReply, Input, ReadBuffer},
    record::{Recorder, Transcript},
    rng::{Purpose, Rng, Seed},
    time::{Duration, Instant},
    tracker::{TrackerServer, TrackerServerConfig},
};
use sha1::{Digest, Sha1};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
};

/// Which node of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(usize);

/// Engines, what connects them, and one clock for all.
#[derive(Debug)]
pub struct World {
    now: Instant,
    rng: Rng,
    nodes: Vec<Node>,
    streams: Vec<Stream>,
    /// What will happen, by time and then in the order in which it was decided.
    queue: BTreeMap<(Instant, u64), Happening>,
    sequence: u64,
    tracker: Option<TrackerServer>,
    /// Datagrams of a hundred that are lost.
    datagram_loss: u64,
    /// Of engines that are gone.
    transcripts: Vec<Transcript>,
    recording: bool,
}

/// The name of the world's tracker.
const TRACKER_HOST: &str = "tracker.sim";
const TRACKER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 254);
/// Milliseconds from a node to the tracker.
const TRACKER_DELAY: u64 = 20;

#[derive(Debug)]
struct Node {
    engine: Engine,
    config: Config,
    transcript: Transcript,
    /// What the engine was told, if the world is recorded.
    recording: Option<(Recorder, Vec<u8>)>,
    disk: Disk,
    link: Link,
    uplink_free_at: Instant,
    address: SocketAddr,
    /// Each connection's stream, and which end of it this is.
    connections: BTreeMap<ConnectionId, (usize, usize)>,
    events: Vec<Event>,
    /// When the engine is woken next.
    woken_at: Option<Instant>,
    alive: bool,
}

/// A stream between two nodes. Side 0 opened it.
#[derive(Debug)]
struct Stream {
    sides: [Side; 2],
    /// What side 0 reads, what side 1 reads.
    pipes: [Pipe; 2],
}

#[derive(Debug)]
struct Side {
    node: usize,
    connection: Option<ConnectionId>,
    reading: Option<usize>,
    /// A write that waits for room.
    writing: Option<Vec<Bytes>>,
}

#[derive(Debug)]
enum Happening {
    Input(usize, Box<Input>),
    Wake(usize),
    /// A SYN reaches its target.
    Syn(usize),
    /// Bytes reach a side.
    Arrival(usize, usize, Bytes),
    /// The end of the stream reaches a side.
    End(usize, usize),
}

impl World {
    /// An empty world whose every draw follows from `seed`.
    pub fn new(seed: u64) -> World {
        World {
            now: Instant::ZERO,
            rng: Rng::new(Seed::from_u64(seed)).fork(Purpose::Simulation, 1),
            nodes: Vec::new(),
            streams: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            tracker: None,
            datagram_loss: 0,
            transcripts: Vec::new(),
            recording: false,
        }
    }

    /// Records what the engines of all nodes added from now on are told.
    #[must_use]
    pub fn recorded(mut self) -> World {
        self.recording = true;
        self
    }

    /// Adds a node with the default configuration.
    pub fn node(&mut self, link: Link) -> NodeId {
        self.node_with(link, Config::default())
    }

    /// Adds a node.
    pub fn node_with(&mut self, link: Link, config: Config) -> NodeId {
        let number = self.nodes.len();
        let address = SocketAddr::from(([10, (number >> 16) as u8, (number >> 8) as u8, number as u8], 6881));
        let (engine, transcript, recording) = self.start(&config);
        self.nodes.push(Node {
            engine,
            config,
            transcript,
            recording,
            disk: Disk::default(),
            link,
            uplink_free_at: Instant::ZERO,
            address,
            connections: BTreeMap::new(),
            events: Vec::new(),
            woken_at: None,
            alive: true,
        });
        self.input(number, Input::Listening(address));
        NodeId(number)
    }

    /// Adds a tracker that serves HTTP and UDP as `tracker.sim`, on any port.
    pub fn add_tracker(&mut self) {
        let seed = Seed::from_u64(self.rng.next_u64());
        self.tracker = Some(TrackerServer::new(TrackerServerConfig::default(), seed));
    }

    /// Takes the tracker away again.
    pub fn remove_tracker(&mut self) {
        self.tracker = None;
    }

    /// Lets so many datagrams of a hundred be lost.
    pub fn set_datagram_loss(&mut self, percent: u64) {
        self.datagram_loss = percent;
    }

    /// Where a node listens.
    pub fn address(&self, node: NodeId) -> SocketAddr {
        self.nodes[node.0].address
    }

    /// A node's disk.
    pub fn disk(&mut self, node: NodeId) -> &mut Disk {
        &mut self.nodes[node.0].disk
    }

    /// A node's engine.
    pub fn engine(&self, node: NodeId) -> &Engine {
        &self.nodes[node.0].engine
    }

    /// What a node's engine has told so far.
    pub fn events(&self, node: NodeId) -> &[Event] {
        &self.nodes[node.0].events
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A hash over everything that all engines were told and said, in hexadecimal: equal hashes mean equal runs.
    pub fn hash(&self) -> String {
        let mut hash = Sha1::new();
        let nodes = self.nodes.iter().map(|node| &node.transcript);
        self.transcripts.iter().chain(nodes).for_each(|transcript| hash.update(transcript.hash()));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What a node's engine was told and said, as a running hash.
    pub fn transcript(&self, node: NodeId) -> &Transcript {
        &self.nodes[node.0].transcript
    }

    /// What a node's engine was told, if the world is [`World::recorded`].
    pub fn recording(&self, node: NodeId) -> Option<&[u8]> {
        self.nodes[node.0].recording.as_ref().map(|(_, recording)| recording.as_slice())
    }

    /// Adds a torrent to a node, with resume data if its disk has any.
    pub fn add(&mut self, node: NodeId, payload: &Payload, peers: &[SocketAddr]) -> TorrentId {
        let resume = self.nodes[node.0].disk.resume("downloads");
        let add = AddTorrent { resume, peers: peers.to_vec(), ..AddTorrent::new(payload.metainfo.clone(), "downloads") };
        match self.command(node, Command::Add(Box::new(add))) {
            Reply::Added(torrent) => torrent,
            Reply::Done => panic!("adding a torrent is answered by its id"),
        }
    }

    /// Puts a torrent's content on a node's disk, and adds the torrent.
    pub fn add_seed(&mut self, node: NodeId, payload: &Payload) -> TorrentId {
        let path = format!("downloads/{}", payload.metainfo.info.name());
        self.nodes[node.0].disk.put(&path, payload.data.clone());
        self.add(node, payload, &[])
    }

    /// Gives a node's engine a command; panics if it is refused.
    pub fn command(&mut self, node: NodeId, command: Command) -> Reply {
        let state = &mut self.nodes[node.0];
        state.transcript.command(self.now, &command);
        if let Some((recorder, recording)) = &mut state.recording {
            recorder.command(self.now, &command, recording);
        }
        let reply = state.engine.command(self.now, command).expect("the command is valid");
        self.drain(node.0);
        reply
    }

    /// Whether a node's disk holds exactly the payload.
    pub fn is_complete(&self, node: NodeId, payload: &Payload) -> bool {
        let node = &self.nodes[node.0];
        let done = node.engine.torrents().first().is_some_and(|torrent| torrent.pieces_verified == torrent.pieces);
        done && node.disk.get(&format!("downloads/{}", payload.metainfo.info.name())).is_some_and(|data| data == payload.data)
    }

    /// Kills a node at once: its streams end, what was under way is lost, its disk stays.
    pub fn kill(&mut self, node: NodeId) {
        self.nodes[node.0].alive = false;
        let connections: Vec<ConnectionId> = self.nodes[node.0].connections.keys().copied().collect();
        for connection in connections {
            self.close(node.0, connection);
        }
        self.nodes[node.0].disk.crash();
    }

    /// Starts a killed node again, with a new engine on the same disk.
    pub fn restart(&mut self, node: NodeId) {
        let config = self.nodes[node.0].config.clone();
        let (engine, transcript, recording) = self.start(&config);
        let state = &mut self.nodes[node.0];
        self.transcripts.push(std::mem::replace(&mut state.transcript, transcript));
        (state.engine, state.recording) = (engine, recording);
        state.alive = true;
        state.woken_at = None;
        state.events.clear();
        // Answers for the old engine are lost with it.
        self.queue.retain(|_, happening| !matches!(happening, Happening::Input(to, _) | Happening::Wake(to) if *to == node.0));
        self.input(node.0, Input::Listening(self.nodes[node.0].address));
    }

    fn start(&mut self, config: &Config) -> (Engine, Transcript, Option<(Recorder, Vec<u8>)>) {
        let (seed, now) = (Seed::from_u64(self.rng.next_u64()), self.now);
        let mut recording = Vec::new();
        let recorder = self.recording.then(|| Recorder::new(seed, config, now, &mut recording));
        let recorder = recorder.map(|recorder| (recorder, recording));
        (Engine::new(config.clone(), seed, now), Transcript::new(seed, config, now), recorder)
    }

    /// Lets time pass until `done`, at most `seconds`; whether it came to that.
    pub fn run_until(&mut self, done: impl Fn(&World) -> bool, seconds: u64) -> bool {
        let end = self.now + Duration::from_secs(seconds);
        loop {
            if done(self) {
                return true;
            }
            let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= end) else {
                self.now = end;
                return false;
            };
            let ((at, _), happening) = entry.remove_entry();
            self.now = self.now.max(at);
            self.happen(happening);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Input(node, input) => self.input(node, *input),
            Happening::Wake(node) => {
                self.nodes[node].woken_at = None;
                self.input(node, Input::Timeout);
            }
            Happening::Syn(stream) => self.syn(stream),
            Happening::Arrival(stream, side, data) => {
                self.streams[stream].pipes[side].arrive(data);
                self.pump(stream, side);
            }
            Happening::End(stream, side) => {
                self.streams[stream].pipes[side].ended = true;
                self.pump(stream, side);
            }
        }
    }

    fn input(&mut self, node: usize, input: Input) {
        if !self.nodes[node].alive {
            return;
        }
        let state = &mut self.nodes[node];
        state.transcript.input(self.now, &input);
        if let Some((recorder, recording)) = &mut state.recording {
            recorder.input(self.now, &input, recording);
        }
        state.engine.handle(self.now, input);
        self.drain(node);
    }

    fn drain(&mut self, node: usize) {
        while let Some(action) = self.nodes[node].engine.poll_action() {
            self.nodes[node].transcript.action(self.now, &action);
            self.act(node, action);
        }
        while let Some(event) = self.nodes[node].engine.poll_event() {
            self.nodes[node].transcript.event(self.now, &event);
            self.nodes[node].events.push(event);
        }
        if let Some((recorder, _)) = &mut self.nodes[node].recording {
            recorder.drained();
        }
        let deadline = self.nodes[node].engine.next_deadline();
        assert!(deadline.is_none_or(|at| at > self.now), "after a drain the next deadline must lie in the future");
        if let Some(at) = deadline
            && self.nodes[node].woken_at.is_none_or(|woken| at < woken)
        {
            self.nodes[node].woken_at = Some(at);
            self.later(at, Happening::Wake(node));
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Connect { connection, remote } => {
                let target = self.nodes.iter().position(|node| node.address == remote && node.alive);
                let Some(target) = target else {
                    return self.answer(node, 20, Input::Connected { connection, result: Err(StreamError::Refused) });
                };
                let stream = self.streams.len();
                let side = |node, connection| Side { node, connection, reading: None, writing: None };
                let sides = [side(node, Some(connection)), side(target, None)];
                self.streams.push(Stream { sides, pipes: Default::default() });
                self.nodes[node].connections.insert(connection, (stream, 0));
                let at = self.now + self.delay(node, target);
                self.later(at, Happening::Syn(stream));
            }
            Action::Accept { incoming, connection } => {
                let stream = incoming.0 as usize;
                self.streams[stream].sides[1].connection = Some(connection);
                self.nodes[node].connections.insert(connection, (stream, 1));
                let opener = self.streams[stream].sides[0].node;
                let delay = self.delay(node, opener).as_millis() as u64;
                if let Some(connection) = self.streams[stream].sides[0].connection {
                    self.answer(opener, delay, Input::Connected { connection, result: Ok(()) });
                }
            }
            Action::Refuse { incoming } => {
                let side = &self.streams[incoming.0 as usize].sides[0];
                if let Some(connection) = side.connection {
                    self.answer(side.node, 20, Input::Connected { connection, result: Err(StreamError::Reset) });
                }
            }
            Action::Read { connection, limit } => {
                if let Some((stream, side)) = self.nodes[node].connections.get(&connection).copied() {
                    self.streams[stream].sides[side].reading = Some(limit as usize);
                    self.pump(stream, side);
                }
            }
            Action::Write { connection, buffers } => {
                if let Some((stream, side)) = self.nodes[node].connections.get(&connection).copied() {
                    self.streams[stream].sides[side].writing = Some(buffers);
                    self.push(stream, side);
                }
            }
            Action::Close { connection } => self.close(node, connection),
            Action::Disk { job, torrent, operation } => {
                let result = self.nodes[node].disk.perform(torrent, operation);
                self.answer(node, 1, Input::Disk { job, result });
            }
            Action::Http { request, url, .. } => {
                let target = url.split_once(TRACKER_HOST).and_then(|(_, rest)| Some(&rest[rest.find('/')?..]));
                let ip = self.nodes[node].address.ip();
                let result = match (&mut self.tracker, target) {
                    (Some(tracker), Some(target)) => {
                        let reply = tracker.handle_http(self.now, ip, target);
                        Ok(HttpReply { status: reply.status, body: reply.body.into() })
                    }
                    _ => Err(HttpError::Failed("there is no such server in this world".to_owned())),
                };
                self.answer(node, 2 * TRACKER_DELAY, Input::Http { request, result });
            }
            Action::Resolve { resolve, host, port } => {
                let known = host == TRACKER_HOST && self.tracker.is_some();
                let address = SocketAddr::from((TRACKER_ADDRESS, port));
                let result = if known { Ok(vec![address]) } else { Err(ResolveError("there is no such name in this world".to_owned())) };
                self.answer(node, TRACKER_DELAY, Input::Resolved { resolve, result });
            }
            // Every node lives in a network of its own.
            Action::Multicast { .. } => {}
            Action::SendDatagram { remote, payload } => {
                let (from, lost) = (self.nodes[node].address, self.rng.below(100) < self.datagram_loss);
                let Some(tracker) = self.tracker.as_mut().filter(|_| remote.ip() == TRACKER_ADDRESS && !lost) else { return };
                if let Some(reply) = tracker.handle_udp(self.now, from, &payload) {
                    self.answer(node, 2 * TRACKER_DELAY, Input::Datagram { remote, payload: reply.into() });
                }
            }
        }
    }

    fn syn(&mut self, stream: usize) {
        let [opener, target] = [0, 1].map(|side| self.streams[stream].sides[side].node);
        if self.streams[stream].sides[0].connection.is_none() {
            return;
        }
        let remote = SocketAddr::new(self.nodes[opener].address.ip(), 40_000 + (stream % 20_000) as u16);
        self.input(target, Input::Incoming { incoming: IncomingId(stream as u64), remote });
    }

    /// Lets a side read what has arrived for it.
    fn pump(&mut self, stream: usize, side: usize) {
        let Stream { sides, pipes } = &mut self.streams[stream];
        let (Some(limit), Some(connection)) = (sides[side].reading, sides[side].connection) else { return };
        let node = sides[side].node;
        let data = match pipes[side].take(limit) {
            Some(data) => data,
            None if pipes[side].ended => Bytes::new(),
            None => return,
        };
        sides[side].reading = None;
        let allocation = data.len() as u32;
        self.later(self.now, Happening::Input(node, Box::new(Input::Read { connection, result: Ok(ReadBuffer { data, allocation }) })));
        self.push(stream, 1 - side);
    }

    /// Lets a side's write go on, if there is room.
    fn push(&mut self, stream: usize, side: usize) {
        let node = self.streams[stream].sides[side].node;
        let other = self.streams[stream].sides[1 - side].node;
        if !self.streams[stream].pipes[1 - side].has_room() {
            return;
        }
        let Some(buffers) = self.streams[stream].sides[side].writing.take() else { return };
        let delay = self.delay(node, other);
        let mut last = self.now;
        for data in buffers {
            self.streams[stream].pipes[1 - side].send(data.len());
            let state = &mut self.nodes[node];
            last = departure(self.now, &mut state.uplink_free_at, &state.link, data.len());
            self.later(last + delay, Happening::Arrival(stream, 1 - side, data));
        }
        if let Some(connection) = self.streams[stream].sides[side].connection {
            self.later(last, Happening::Input(node, Box::new(Input::Written { connection, result: Ok(()) })));
        }
    }

    fn close(&mut self, node: usize, connection: ConnectionId) {
        let Some((stream, side)) = self.nodes[node].connections.remove(&connection) else { return };
        let other = self.streams[stream].sides[1 - side].node;
        let this = &mut self.streams[stream].sides[side];
        (this.connection, this.reading, this.writing) = (None, None, None);
        // The end comes after everything that was sent before.
        let at = self.now.max(self.nodes[node].uplink_free_at) + self.delay(node, other);
        self.later(at, Happening::End(stream, 1 - side));
    }

    fn delay(&self, from: usize, to: usize) -> Duration {
        self.nodes[from].link.delay + self.nodes[to].link.delay
    }

    fn answer(&mut self, node: usize, millis: u64, input: Input) {
        self.later(self.now + Duration::from_millis(millis), Happening::Input(node, Box::new(input)));
    }

    fn later(&mut self, at: Instant, happening: Happening) {
        self.queue.insert((at, self.sequence), happening);
        self.sequence += 1;
    }
}
