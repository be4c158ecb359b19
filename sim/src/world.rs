use crate::{
    adversary::{Adversary, Mischief},
    agenda::Agenda,
    checks::{Checks, Invariant, contract::Contract, limits::Limits},
    disk::{self, Disk},
    host::overhear,
    network::{self, End, Link, Network, Traffic},
    node::{Brain, Host, Node},
    payload::Payload,
    scenario::Step,
    services::{Get, NameFault, TRACKER_ADDRESSES, TRACKER_NAME, TRACKER_PORT, Tracker, WebServer},
    units::Span,
};
use bytes::Bytes;
use rustor_core::{
    command::{AddTorrent, Command, Reply, TorrentSource},
    config::Config,
    engine::Engine,
    event::Event,
    id::{DiskJobId, FetchId, TorrentId},
    input::Input,
    record::{Recorder, Transcript},
    rng::{Purpose, Rng, Seed},
    time::{Duration, Instant},
};
use sha1::{Digest, Sha1};
use std::{
    collections::BTreeSet,
    net::{Ipv6Addr, SocketAddr},
};

/// Which node of a [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub(crate) usize);

/// Engines and others, what connects them, and one clock for all.
///
/// Everything that happens stands on one [`Agenda`]. Whatever comes from it is told to whom it concerns, an engine, the network or
/// a disk, and what these want done goes back onto the agenda.
#[derive(Debug)]
pub struct World {
    pub(crate) agenda: Agenda<Happening>,
    pub(crate) network: Network,
    pub(crate) nodes: Vec<Node>,
    pub(crate) payloads: Vec<Payload>,
    pub(crate) checks: Checks,
    pub(crate) rng: Rng,
    pub(crate) options: Options,
    /// What was said by engines that are gone.
    past: Sha1,
    pub(crate) statistics: Statistics,
    /// What is wrong with name servers.
    pub(crate) names: Option<NameFault>,
    pub(crate) web_servers: Vec<WebServer>,
    /// Which node is the tracker.
    pub(crate) tracker: Option<usize>,
    /// What it adds to the way to it.
    pub(crate) tracker_delay: Span,
    /// Steps that the agenda has come to, for whoever runs the scenario.
    pub(crate) due: Vec<Step>,
    /// What engines are told and say, once somebody wants to read it.
    pub(crate) overheard: Option<Vec<String>>,
}

/// Of which families a node has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    V4,
    V6,
    Both,
}

/// How much of a world's working is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Keep what each engine is told, to replay it.
    pub record: bool,
    /// Keep what the engine of the node with this name is told.
    pub record_node: Option<String>,
    /// Keep the events that engines tell.
    pub keep_events: bool,
    /// Draw the order of what happens at the same microsecond.
    pub shuffle_ties: bool,
    /// What holds for all links.
    pub network: network::Settings,
    /// Disks remember how to undo what is not durable yet.
    pub power_may_fail: bool,
}

/// What the world counts as it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    /// Inputs to engines.
    pub inputs: u64,
    /// Actions of engines.
    pub actions: u64,
    /// Everything that came from the agenda.
    pub happenings: u64,
}

/// What stands on the agenda.
#[derive(Debug)]
pub(crate) enum Happening {
    Network(network::Event),
    /// An answer to a node, if it still lives that life.
    Input(usize, u32, Box<Input>),
    /// An engine is to be woken.
    Wake(usize, u32),
    Disk(usize, u32, DiskJobId),
    /// What a node wanted to read of a file on the web is there.
    Fetched(usize, u32, FetchId),
    /// A request over HTTP reaches the tracker.
    Asked(Box<Get>),
    /// A tracker's answer goes out.
    Reply(usize, Box<(SocketAddr, Bytes)>),
    /// A node's owner lets a failed torrent go on.
    Resume(usize, u32, TorrentId),
    /// An adversary's time has come.
    Adversary(usize),
    /// A node dies of a disk job.
    DiskCrash(usize, u32),
    Restart(usize),
    Step(Step),
}

impl From<network::Event> for Happening {
    fn from(event: network::Event) -> Happening {
        Happening::Network(event)
    }
}

/// The first node's number among what is drawn from.
const NODES: u64 = 1 << 32;

/// The folder on every node's disk.
pub(crate) const FOLDER: &str = "downloads";

impl Default for Options {
    fn default() -> Options {
        Options {
            record: false,
            record_node: None,
            keep_events: true,
            shuffle_ties: false,
            network: network::Settings::default(),
            power_may_fail: false,
        }
    }
}

impl World {
    /// An empty world whose every draw follows from `seed`.
    pub fn new(seed: u64) -> World {
        World::with_options(seed, Options::default())
    }

    /// The same, with options.
    pub fn with_options(seed: u64, options: Options) -> World {
        let root = Rng::new(Seed::from_u64(seed));
        let fork = |instance| root.fork(Purpose::Simulation, instance);
        World {
            agenda: Agenda::new(options.shuffle_ties.then(|| fork(3))),
            network: Network::new(options.network.clone(), fork(2)),
            nodes: Vec::new(),
            payloads: Vec::new(),
            checks: Checks::default(),
            rng: fork(1),
            options,
            past: Sha1::new(),
            statistics: Statistics::default(),
            names: None,
            web_servers: Vec::new(),
            tracker: None,
            tracker_delay: Span::ZERO,
            due: Vec::new(),
            overheard: None,
        }
    }

    /// Records what the engines of all nodes added from now on are told.
    #[must_use]
    pub fn recorded(mut self) -> World {
        self.options.record = true;
        self
    }

    /// Adds a node with the default configuration.
    pub fn node(&mut self, link: Link) -> NodeId {
        self.node_with(link, Config::default())
    }

    /// Adds a node.
    pub fn node_with(&mut self, link: Link, config: Config) -> NodeId {
        let name = format!("node {}", self.nodes.len());
        self.engine_node(name, link, config, disk::Settings::default(), Families::V4)
    }

    /// Adds a node with an engine.
    pub(crate) fn engine_node(&mut self, name: String, link: Link, config: Config, disk: disk::Settings, families: Families) -> NodeId {
        let host = self.start(&name, &config);
        let node = self.join(name, link, Brain::Engine(Box::new(host)), config, disk, families);
        self.listen(node);
        NodeId(node)
    }

    /// Adds somebody who means ill, and has a whole copy of a torrent to do it with.
    pub fn add_adversary(&mut self, name: &str, link: Link, payload: &Payload, mischief: Mischief, victims: &[SocketAddr]) -> NodeId {
        self.adversary_node(name, link, payload, mischief, victims, Families::V4)
    }

    /// The same, with addresses of these families.
    pub(crate) fn adversary_node(
        &mut self,
        name: &str,
        link: Link,
        payload: &Payload,
        mischief: Mischief,
        victims: &[SocketAddr],
        families: Families,
    ) -> NodeId {
        let rng = self.rng.fork(Purpose::Simulation, 100 + self.nodes.len() as u64);
        let mut adversary = Adversary::new(mischief, payload.clone(), rng);
        victims.iter().for_each(|victim| adversary.learn(*victim));
        let brain = Brain::Adversary(Box::new(adversary));
        let node = self.join(name.to_owned(), link, brain, Config::default(), disk::Settings::default(), families);
        self.agenda.after(Duration::ZERO, node, Happening::Adversary(node));
        NodeId(node)
    }

    /// Adds a tracker that serves HTTP and UDP as `tracker.sim`, on any port.
    pub fn add_tracker(&mut self) {
        self.add_tracker_with(Span::seconds(600));
    }

    /// The same, for clients that come again after `interval`.
    pub fn add_tracker_with(&mut self, interval: Span) {
        let seed = Seed::from_u64(self.rng.next_u64());
        let brain = Brain::Tracker(Box::new(Tracker::new(seed, interval)));
        let node = self.join(TRACKER_NAME.to_owned(), Link::default(), brain, Config::default(), disk::Settings::default(), Families::Both);
        self.tracker = Some(node);
    }

    /// Which node the tracker is, to part others from it.
    pub fn tracker(&self) -> Option<NodeId> {
        self.tracker.map(NodeId)
    }

    /// Moves the tracker so much further away from everybody: added to each way.
    pub fn set_tracker_delay(&mut self, delay: Span) {
        self.tracker_delay = delay;
        if let Some(tracker) = self.tracker {
            let plain = Link::default();
            let link = Link { delay: Span(plain.delay.0 + delay.0), ..plain };
            self.network.set_link(tracker, link, &mut self.agenda);
        }
    }

    /// An engine hears where it can be reached.
    fn listen(&mut self, node: usize) {
        self.network.addresses(node).for_each(|address| self.tell(node, Input::Listening(address)));
    }

    fn join(&mut self, name: String, link: Link, brain: Brain, config: Config, disk: disk::Settings, families: Families) -> usize {
        let number = self.nodes.len();
        let honest = matches!(brain, Brain::Engine(_));
        let [_, a, b, c] = (number as u32).to_be_bytes();
        let [v4, v6] = match &brain {
            Brain::Tracker(_) => TRACKER_ADDRESSES.map(|ip| SocketAddr::new(ip, TRACKER_PORT)),
            _ => [
                // In a network of its own, as most are: what depends on networks should not take all for neighbours.
                SocketAddr::from(([10, c, b, a + 1], 6881)),
                SocketAddr::from((Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, u16::from(a), u16::from_be_bytes([b, c])), 6881)),
            ],
        };
        let address = if families == Families::V6 { v6 } else { v4 };
        self.network.join(address, link);
        if families == Families::Both {
            self.network.also_at(number, v6);
        }
        self.nodes.push(Node {
            name,
            address,
            brain,
            disk: Box::new(Disk::new(disk, self.options.power_may_fail)),
            config: Box::new(config),
            honest,
            alive: true,
            life: 0,
            torrents: Vec::new(),
            pieces: 0,
            private: false,
            sent: 0,
            received: 0,
            fetched: 0,
            had: 0,
            started: None,
            finished: None,
            whole: false,
            mutations: 0,
            returns: false,
            magnet: false,
            named: BTreeSet::new(),
            rng: self.rng.fork(Purpose::Simulation, NODES + number as u64),
        });
        number
    }

    /// Where a node listens; in IPv4, if it has both families.
    pub fn address(&self, node: NodeId) -> SocketAddr {
        self.nodes[node.0].address
    }

    /// A node's disk.
    pub fn disk(&mut self, node: NodeId) -> &mut Disk {
        &mut self.nodes[node.0].disk
    }

    /// A node's engine; panics if the node is none.
    pub fn engine(&self, node: NodeId) -> &Engine {
        &self.host(node).engine
    }

    /// All engines that run, and the names of their nodes.
    pub fn engines(&self) -> impl Iterator<Item = (&str, &Engine)> {
        let alive = self.nodes.iter().filter(|node| node.alive);
        alive.filter_map(|node| Some((node.name.as_str(), &node.host()?.engine)))
    }

    /// What a node's engine has told so far.
    pub fn events(&self, node: NodeId) -> &[Event] {
        &self.host(node).events
    }

    /// Virtual time.
    pub fn now(&self) -> Instant {
        self.agenda.now()
    }

    /// What was looked at, and what did not hold.
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// What happened so far.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Bytes of all streams.
    pub fn traffic(&self) -> Traffic {
        self.network.traffic()
    }

    /// The network, to change links or to part nodes.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    /// A hash over everything that all engines were told and said, in hexadecimal: equal hashes mean equal runs.
    pub fn hash(&self) -> String {
        let mut hash = self.past.clone();
        let hosts = self.nodes.iter().filter_map(Node::host);
        hosts.for_each(|host| hash.update(host.transcript.hash()));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What a node's engine was told and said, as a running hash.
    pub fn transcript(&self, node: NodeId) -> &Transcript {
        &self.host(node).transcript
    }

    /// What a node's engine was told, if the world is [`World::recorded`].
    pub fn recording(&self, node: NodeId) -> Option<&[u8]> {
        self.host(node).recording.as_ref().map(|recording| recording.1.as_slice())
    }

    /// The recording of the last life of the node that [`Options::record_node`] names, with a checkpoint at its end. There is none if no
    /// such node with an engine ever came.
    pub(crate) fn finish_recording(&mut self) -> Option<Vec<u8>> {
        let name = self.options.record_node.clone()?;
        let node = self.nodes.iter_mut().find(|node| node.name == name)?;
        let (recorder, recording) = &mut **node.host_mut()?.recording.as_mut()?;
        recorder.checkpoint(recording);
        Some(std::mem::take(recording))
    }

    fn host(&self, node: NodeId) -> &Host {
        self.nodes[node.0].host().expect("the node has an engine")
    }

    /// Adds a torrent to a node, with resume data if its disk has any.
    pub fn add(&mut self, node: NodeId, payload: &Payload, peers: &[SocketAddr]) -> TorrentId {
        let index = self.known(payload);
        let now = self.now();
        let node = node.0;
        self.nodes[node].started.get_or_insert(now);
        self.nodes[node].named.extend(peers.iter().map(SocketAddr::ip));
        let source: TorrentSource = if self.nodes[node].magnet { payload.magnet().into() } else { payload.metainfo.clone().into() };
        let resume = self.nodes[node].disk.resume(FOLDER);
        let add = AddTorrent { resume, peers: peers.to_vec(), ..AddTorrent::new(source, FOLDER) };
        let Reply::Added(torrent) = self.say(node, Command::Add(Box::new(add))) else {
            panic!("adding a torrent is answered by its id");
        };
        let state = &mut self.nodes[node];
        if state.torrents.is_empty() {
            (state.pieces, state.private) = (payload.pieces(), payload.is_private());
        }
        state.torrents.push((torrent, index));
        self.settle(node);
        torrent
    }

    /// Adds a torrent to a node by its magnet link.
    pub fn add_by_magnet(&mut self, node: NodeId, payload: &Payload, peers: &[SocketAddr]) -> TorrentId {
        self.nodes[node.0].magnet = true;
        self.add(node, payload, peers)
    }

    /// Puts a torrent's content on a node's disk, and adds the torrent.
    pub fn add_seed(&mut self, node: NodeId, payload: &Payload) -> TorrentId {
        self.nodes[node.0].disk.put(FOLDER, payload);
        self.add(node, payload, &[])
    }

    /// Gives a node's engine a command; panics if it is refused.
    pub fn command(&mut self, node: NodeId, command: Command) -> Reply {
        let reply = self.say(node.0, command);
        self.settle(node.0);
        reply
    }

    /// Whether a node's disk holds exactly the payload, and its engine knows.
    pub fn is_complete(&self, node: NodeId, payload: &Payload) -> bool {
        let node = &self.nodes[node.0];
        let done = |host: &Host| host.engine.torrents().iter().any(|torrent| torrent.pieces_verified == torrent.pieces);
        node.host().is_some_and(done) && node.disk.holds(FOLDER, payload)
    }

    /// Kills a node at once: its streams end, what was under way is lost, its disk stays.
    pub fn kill(&mut self, node: NodeId) {
        self.crash(node.0, false);
    }

    /// Kills a node. If its power fails nobody is told, and its disk has only what was durable.
    pub(crate) fn crash(&mut self, node: usize, power: bool) {
        if !std::mem::replace(&mut self.nodes[node].alive, false) {
            return;
        }
        let mut ends: Vec<End> = Vec::new();
        let state = &mut self.nodes[node];
        (state.sent, state.received) = state.transferred();
        match &mut state.brain {
            Brain::Engine(host) => {
                ends.extend(host.contract.lines().filter_map(|line| line.end));
                host.contract = Contract::default();
            }
            Brain::Adversary(adversary) => ends.extend(adversary.close_all()),
            Brain::Tracker(_) => {}
        }
        for end in ends {
            if power { self.network.vanish(end, &mut self.agenda) } else { self.network.close(end, &mut self.agenda) }
        }
        self.end_fetches(node);
        self.network.set_dark(node, power);
        self.network.set_deaf(node, true);
        let (torrents, payloads) = (&self.nodes[node].torrents.clone(), &self.payloads);
        let payload = |id| torrents.iter().find(|(torrent, _)| *torrent == id).map(|(_, index)| payloads[*index].clone());
        let Node { disk, rng, .. } = &mut self.nodes[node];
        disk.crash(self.agenda.now(), power, payload, rng);
    }

    /// Starts a killed node again, with a new engine on the same disk. It does not know its torrents any more.
    pub fn restart(&mut self, node: NodeId) {
        let node = node.0;
        self.network.set_dark(node, false);
        self.network.set_deaf(node, false);
        let config = self.nodes[node].config.clone();
        let name = self.nodes[node].name.clone();
        #[allow(unused_mut, reason = "only a planted bug changes it")]
        let mut new = self.start(&name, &config);
        let state = &mut self.nodes[node];
        (state.alive, state.life) = (true, state.life + 1);
        state.torrents.clear();
        (state.pieces, state.private) = (0, false);
        (state.returns, state.whole) = (false, false);
        match &mut state.brain {
            Brain::Engine(host) => {
                #[cfg(feature = "planted-bugs")]
                {
                    new.tamper = host.tamper.take();
                    new.tamper.iter_mut().for_each(crate::planted::Tamper::restarted);
                }
                self.past.update(host.transcript.hash());
                **host = new;
                self.listen(node);
            }
            Brain::Adversary(_) => self.agenda.after(Duration::ZERO, node, Happening::Adversary(node)),
            Brain::Tracker(_) => {}
        }
    }

    /// Starts a node again with the torrents that it had.
    pub(crate) fn revive(&mut self, node: usize, peers: &[SocketAddr]) {
        if self.nodes[node].alive {
            return;
        }
        let torrents = std::mem::take(&mut self.nodes[node].torrents);
        self.restart(NodeId(node));
        for (_, index) in torrents {
            let payload = self.payloads[index].clone();
            self.add(NodeId(node), &payload, peers);
        }
    }

    fn start(&mut self, name: &str, config: &Config) -> Host {
        let (seed, now) = (Seed::from_u64(self.rng.next_u64()), self.now());
        overhear(&mut self.overheard, now, name, "begins with", config);
        let mut recording = Vec::new();
        let wanted = self.options.record || self.options.record_node.as_deref() == Some(name);
        let recorder = wanted.then(|| Recorder::new(seed, config, now, &mut recording));
        Host {
            engine: Engine::new(config.clone(), seed, now),
            contract: Contract::default(),
            limits: Limits::new(config.limits.rates, now).map(Box::new),
            transcript: Transcript::new(seed, config, now),
            recording: recorder.map(|recorder| Box::new((recorder, recording))),
            most_requests: config.request_maximum.max(config.request_initial).max(config.request_minimum) as usize,
            events: Vec::new(),
            over_budget: false,
            reads_on: false,
            woken_at: None,
            #[cfg(feature = "planted-bugs")]
            tamper: None,
        }
    }

    fn known(&mut self, payload: &Payload) -> usize {
        let hash = payload.metainfo.info_hash();
        self.payloads.iter().position(|known| known.metainfo.info_hash() == hash).unwrap_or_else(|| {
            self.payloads.push(payload.clone());
            self.network.knows(payload.framed.clone());
            self.payloads.len() - 1
        })
    }

    /// Lets time pass until `done`, at most `seconds`; whether it came to that. Panics at the first check that fails.
    pub fn run_until(&mut self, done: impl Fn(&World) -> bool, seconds: u64) -> bool {
        let end = self.now() + Duration::from_secs(seconds);
        loop {
            if done(self) {
                return true;
            }
            if !self.step(end) {
                return false;
            }
            assert_eq!(self.checks.violations(), []);
        }
    }

    /// Lets the next thing happen, if there is any before `end`.
    pub(crate) fn step(&mut self, end: Instant) -> bool {
        let Some(happening) = self.agenda.next(end) else { return false };
        self.statistics.happenings += 1;
        self.happen(happening);
        self.deliver();
        true
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Network(event) => self.network.happen(event, &mut self.agenda),
            Happening::Input(node, life, input) if self.lives(node, life) => self.tell(node, *input),
            Happening::Wake(node, life) if self.lives(node, life) => {
                let now = self.agenda.now();
                // What an earlier deadline has replaced comes to nothing.
                if let Some(host) = self.nodes[node].host_mut().filter(|host| host.woken_at == Some(now)) {
                    host.woken_at = None;
                    self.tell(node, Input::Timeout);
                }
            }
            Happening::Fetched(node, life, fetch) if self.lives(node, life) => self.fetched(node, fetch),
            Happening::Asked(get) => self.asked(*get),
            Happening::Reply(node, reply) => {
                let (to, payload) = *reply;
                self.network.send_datagram(node, to, payload, &mut self.agenda);
            }
            Happening::Disk(node, life, job) if self.lives(node, life) => self.disk_done(node, job),
            Happening::Resume(node, life, torrent) if self.lives(node, life) => {
                let failed = |host: &Host| host.engine.torrent(torrent).is_some_and(|status| status.error.is_some());
                if self.nodes[node].host().is_some_and(failed) {
                    self.command(NodeId(node), Command::Resume(torrent));
                }
            }
            Happening::Adversary(node) if self.nodes[node].alive => self.scheme(node),
            Happening::DiskCrash(node, life) if self.lives(node, life) => {
                let power = self.nodes[node].disk.takes_power();
                self.crash(node, power);
                self.nodes[node].returns = true;
                self.agenda.after(Duration::from_secs(10), node, Happening::Restart(node));
            }
            Happening::Restart(node) => self.due.push(Step::Revive(node)),
            Happening::Step(step) => self.due.push(step),
            _ => {}
        }
    }

    fn lives(&self, node: usize, life: u32) -> bool {
        self.nodes[node].alive && self.nodes[node].life == life
    }

    /// Looks at everything that is too dear to look at each time: all counts against each other.
    pub(crate) fn audit(&mut self) {
        let now = self.now();
        let agree = self.network.counts_agree();
        self.checks.hold(now, "", Invariant::Conservation, agree, || {
            format!("{:?} and {} under way", self.network.traffic(), self.network.under_way())
        });
        self.compare_ends();
        for node in 0..self.nodes.len() {
            self.recount(node);
            self.check_claims(node);
        }
    }
}
