//! Private torrents (BEP 27): nothing leaks out of them. A property over whatever peers, trackers, networks and owners do, and stories of
//! the moment at which a magnet link turns out to be private.

use crate::{
    BLOCK,
    support::{Content, Peer, Seen, World},
};
use bytes::Bytes;
use proptest::prelude::*;
use rustor_core::{
    action::Action,
    choices::Choices,
    command::{AddTorrent, Command, Reply, TorrentSource},
    id::{ConnectionId, ResolveId, TorrentId},
    input::Input,
    local_discovery::{LOCAL_GROUPS, LocalAnnounce},
    metainfo::{InfoHash, Magnet},
    peer::CloseReason,
    time::Duration,
    torrent::{PeerSource, Resume, ResumePeer},
    util::Bitfield,
    wire::{
        Decoder, HandshakeDecoder, Limits, Message,
        extension::{
            Extension, ExtensionHandshake, ExtensionIds, ExtensionMessage, METADATA_PIECE_LENGTH, MetadataMessage, PexFlags, PexMessage,
            PexPeer,
        },
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

/// The private torrent's trackers; the last one speaks UDP.
const TRACKERS: [&str; 4] = ["http://0.test/a", "http://1.test/a", "http://2.test/a", "udp://3.test:1"];
const PUBLIC_TRACKER: &str = "http://public.test/a";

/// Who names the addresses of `10.<number>.0.0/16`; below that, trackers do.
const EXCHANGE: u8 = 100;
const LOCAL: u8 = 101;
const INCOMING: u8 = 102;
const LINK: u8 = 103;
const SAVED: u8 = 104;
const OWNER: u8 = 105;
const SAVED_FROM_TRACKER: u8 = 106;
const PUBLIC: u8 = 200;
const UDP_TRACKER: &str = "10.210.0.1:1";

fn address(range: u8, host: u8) -> SocketAddr {
    SocketAddr::from(([10, range, 0, host + 1], 6881))
}

fn range(address: SocketAddr) -> u8 {
    if let IpAddr::V4(ip) = address.ip() { ip.octets()[1] } else { u8::MAX }
}

fn content() -> Content {
    Content::private(4 * BLOCK as usize, BLOCK, &[&TRACKERS[..2], &[TRACKERS[2]], &[TRACKERS[3]]])
}

fn other() -> Content {
    Content::tracked(2 * BLOCK as usize, BLOCK, &[&[PUBLIC_TRACKER]])
}

fn link(content: &Content) -> Magnet {
    let trackers: String = TRACKERS.iter().map(|url| format!("&tr={url}")).collect();
    format!("magnet:?xt=urn:btih:{}{trackers}&x.pe=link.test:6881&x.pe=again.test:6881", content.info_hash()).parse().expect("a link")
}

// What must not happen

/// Follows all that the engine asks for, and panics where something leaks.
struct Judge {
    private: InfoHash,
    streams: BTreeMap<ConnectionId, Stream>,
    /// The addresses that each tracker has named so far, and how many answers there were when it answered last.
    named: [BTreeSet<SocketAddr>; TRACKERS.len()],
    answered: [u64; TRACKERS.len()],
    answers: u64,
    /// The tracker whose peers are connected, with its last answer then; several where it may be either.
    in_use: BTreeMap<usize, u64>,
    switched: bool,
    /// Announces to trackers of the private torrent that are not answered, made when it was known to be private.
    announces: BTreeSet<String>,
    /// What became known of UDP trackers, and of peers that the link names.
    look_ups: BTreeMap<ResolveId, String>,
    inputs: u64,
}

struct Stream {
    /// Where to; `None` if it came in.
    remote: Option<SocketAddr>,
    torrent: Option<InfoHash>,
    handshake: HandshakeDecoder,
    decoder: Decoder,
}

impl Judge {
    fn new(content: &Content) -> Judge {
        Judge {
            private: content.info_hash(),
            streams: BTreeMap::new(),
            named: Default::default(),
            answered: [0; TRACKERS.len()],
            answers: 1,
            in_use: BTreeMap::new(),
            switched: false,
            announces: BTreeSet::new(),
            look_ups: BTreeMap::new(),
            inputs: 0,
        }
    }

    fn tracker_named(&mut self, tracker: usize, peers: &[SocketAddr]) {
        self.answers += 1;
        self.answered[tracker] = self.answers;
        self.named[tracker].extend(peers);
    }

    fn judges(&mut self, seen: Vec<Seen>) {
        let mut known = false;
        for Seen { inputs, metadata, action } in seen {
            if inputs != self.inputs && known {
                self.judges_connections();
            }
            (self.inputs, known) = (inputs, metadata);
            self.judges_action(known, action);
        }
        if known {
            self.judges_connections();
        }
    }

    fn judges_action(&mut self, known: bool, action: Action) {
        let stream =
            |remote| Stream { remote, torrent: None, handshake: HandshakeDecoder::new(), decoder: Decoder::new(Limits::default()) };
        match action {
            Action::Connect { connection, remote } => drop(self.streams.insert(connection, stream(Some(remote)))),
            Action::Accept { connection, .. } => drop(self.streams.insert(connection, stream(None))),
            Action::Close { connection } => drop(self.streams.remove(&connection)),
            Action::Write { connection, buffers } => self.judges_write(known, connection, buffers),
            Action::Http { url, .. } => {
                let Some(tracker) = TRACKERS.iter().find(|tracker| url.starts_with(**tracker)) else {
                    assert!(url.starts_with(PUBLIC_TRACKER), "a request to {url}");
                    return;
                };
                if known && !url.contains("event=stopped") {
                    assert!(self.announces.is_empty(), "announced to {tracker} while {:?} is asked (BEP 27)", self.announces);
                    self.announces.insert(url);
                }
            }
            Action::Resolve { resolve, host, .. } => {
                assert!(!known || host == "3.test", "a look-up of {host}");
                self.look_ups.insert(resolve, host);
            }
            Action::Multicast { payload, .. } => {
                let announced = LocalAnnounce::parse(&payload).expect("a proper announce").info_hashes;
                assert!(!known || !announced.contains(&self.private), "announced to the local network");
            }
            Action::SendDatagram { remote, .. } => assert_eq!(remote.to_string(), UDP_TRACKER, "a datagram"),
            _ => {}
        }
    }

    fn judges_write(&mut self, known: bool, connection: ConnectionId, buffers: Vec<Bytes>) {
        let Some(stream) = self.streams.get_mut(&connection) else { return };
        for mut data in buffers {
            if stream.torrent.is_none()
                && let Some(handshake) = stream.handshake.push(&mut data).expect("a proper handshake")
            {
                stream.torrent = Some(handshake.info_hash);
            }
            stream.decoder.push(data);
        }
        while let Some(message) = stream.decoder.next().expect("proper messages") {
            let Message::Extended { id, payload } = message else { continue };
            let is_private = stream.torrent == Some(self.private);
            match ExtensionMessage::parse(id, &payload).expect("proper messages") {
                Some(ExtensionMessage::PeerExchange(told)) => {
                    assert!(!(is_private && known), "peer exchange: {told:?}");
                    let addresses = told.added.iter().map(|peer| peer.address).chain(told.dropped);
                    assert!(is_private || addresses.clone().all(|address| range(address) == PUBLIC), "others are told of its peers");
                }
                Some(ExtensionMessage::Handshake(said)) if is_private && known => {
                    assert_eq!(said.ids.get(Extension::PeerExchange), None, "peer exchange is offered");
                }
                _ => {}
            }
        }
    }

    /// After an input: whom the engine has connected to, or tries to. There must be one tracker that named them all, and it must have
    /// answered later than the one in use before.
    fn judges_connections(&mut self) {
        let outgoing = self.streams.values().filter(|stream| stream.torrent.is_none_or(|torrent| torrent == self.private));
        let needs_tracker = |remote: &SocketAddr| !matches!(range(*remote), PUBLIC | OWNER);
        let mut remotes: BTreeSet<SocketAddr> = outgoing.filter_map(|stream| stream.remote).filter(needs_tracker).collect();
        if !self.switched {
            remotes.retain(|remote| range(*remote) != SAVED_FROM_TRACKER);
        }
        if remotes.is_empty() {
            return;
        }
        let before = &self.in_use;
        let later = |tracker: usize| before.values().any(|since| self.answered[tracker] > *since);
        let may_be = |tracker: &usize| before.is_empty() || before.contains_key(tracker) || later(*tracker);
        let now: BTreeMap<usize, u64> = (0..TRACKERS.len())
            .filter(|tracker| remotes.is_subset(&self.named[*tracker]) && may_be(tracker))
            .map(|tracker| (tracker, self.answered[tracker]))
            .collect();
        assert!(!now.is_empty(), "no tracker in use named {remotes:?}; before: {before:?}");
        self.switched |= !before.is_empty() && !before.keys().any(|tracker| now.contains_key(tracker));
        self.in_use = now;
    }
}

// What happens

#[derive(Clone, Debug)]
enum Step {
    Incoming { host: u8, port: Option<u16>, public: bool },
    Dial { at: usize, accept: bool },
    Says { peer: usize, message: Said },
    Ends { peer: usize },
    Metadata { peer: usize, good: bool },
    Tracker { at: usize, answer: Answer },
    Resolves { at: usize, good: bool },
    Udp { answer: Answer },
    LocalAnnounce { host: u8, port: u16 },
    Datagram(Vec<u8>),
    Command(u8),
    Time { millis: u64 },
}

#[derive(Clone, Debug)]
enum Said {
    Exchange { added: Vec<(u8, u8)>, dropped: Vec<(u8, u8)> },
    Introduction { port: Option<u16>, size: Option<u32>, exchange: Option<u8>, metadata: Option<u8> },
    Extended { id: u8, payload: Vec<u8> },
    Message(Message),
    Bytes(Vec<u8>),
}

#[derive(Clone, Debug)]
enum Answer {
    Fails,
    Refuses,
    Garbage,
    Names { hosts: Vec<u8>, other: Option<(u8, u8)> },
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    File,
    Magnet,
    /// Of which an earlier session has the metadata.
    SavedMagnet,
}

fn somebody() -> impl Strategy<Value = (u8, u8)> {
    (prop_oneof![0u8..4, Just(EXCHANGE), LOCAL..=SAVED_FROM_TRACKER], 0u8..6)
}

fn said() -> impl Strategy<Value = Said> {
    let somebodies = || prop::collection::vec(somebody(), 0..6);
    let port = || prop::option::weighted(0.8, prop_oneof![Just(6881u16), any::<u16>()]);
    let id = || prop::option::of(prop_oneof![Just(0u8), 1u8..4]);
    prop_oneof![
        6 => (somebodies(), somebodies()).prop_map(|(added, dropped)| Said::Exchange { added, dropped }),
        4 => (port(), prop::option::of(prop_oneof![0u32..1000, any::<u32>()]), id(), id())
            .prop_map(|(port, size, exchange, metadata)| Said::Introduction { port, size, exchange, metadata }),
        1 => (0u8..5, prop::collection::vec(any::<u8>(), 0..30)).prop_map(|(id, payload)| Said::Extended { id, payload }),
        3 => prop_oneof![
            Just(Message::KeepAlive), Just(Message::Unchoke), Just(Message::Interested), (0u32..4).prop_map(Message::Have),
            Just(Message::Bitfield((&[0xf0][..]).into())),
        ].prop_map(Said::Message),
        1 => prop::collection::vec(any::<u8>(), 0..30).prop_map(Said::Bytes),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        2 => Just(Answer::Fails),
        1 => Just(Answer::Refuses),
        1 => Just(Answer::Garbage),
        6 => (prop::collection::vec(0u8..6, 0..4), prop::option::weighted(0.1, somebody())).prop_map(|(hosts, other)| Answer::Names { hosts, other }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let peer = || 0usize..10;
    let millis = prop_oneof![3 => 0u64..5_000, 3 => 5_000u64..100_000, 1 => 100_000u64..4_000_000];
    prop_oneof![
        6 => (0u8..6, prop::option::weighted(0.8, prop_oneof![Just(6881u16), 1u16..9]), prop::bool::weighted(0.2))
            .prop_map(|(host, port, public)| Step::Incoming { host, port, public }),
        9 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(at, accept)| Step::Dial { at, accept }),
        12 => (peer(), said()).prop_map(|(peer, message)| Step::Says { peer, message }),
        1 => peer().prop_map(|peer| Step::Ends { peer }),
        3 => (peer(), prop::bool::weighted(0.8)).prop_map(|(peer, good)| Step::Metadata { peer, good }),
        8 => (any::<usize>(), answer()).prop_map(|(at, answer)| Step::Tracker { at, answer }),
        4 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(at, good)| Step::Resolves { at, good }),
        4 => answer().prop_map(|answer| Step::Udp { answer }),
        2 => (0u8..6, any::<u16>()).prop_map(|(host, port)| Step::LocalAnnounce { host, port }),
        1 => prop::collection::vec(any::<u8>(), 0..100).prop_map(Step::Datagram),
        4 => (0u8..9).prop_map(Step::Command),
        6 => millis.prop_map(|millis| Step::Time { millis }),
    ]
}

struct Scene {
    world: World,
    private: Content,
    public: Content,
    torrent: TorrentId,
    judge: Judge,
    /// In the order of their coming; the latest are chosen by the lowest numbers.
    peers: Vec<Peer>,
    /// Requests to the UDP tracker that are not answered.
    datagrams: Vec<Bytes>,
    look_ups: BTreeSet<ResolveId>,
}

impl Scene {
    fn new(kind: Kind) -> Scene {
        let (world, private, public) = (World::new(), content(), other());
        world.watches(&private);
        let source = match kind {
            Kind::File => TorrentSource::Metainfo(private.metainfo()),
            Kind::Magnet | Kind::SavedMagnet => TorrentSource::Magnet(link(&private)),
        };
        let mut add = AddTorrent::new(source, "folder");
        add.peers = vec![address(OWNER, 0)];
        if !matches!(kind, Kind::Magnet) {
            add.resume = Some(saved(&private));
        }
        let Ok(Reply::Added(torrent)) = world.command(Command::Add(Box::new(add))) else { panic!("it is added") };
        world.adds(&public, |add| (add.folder, add.peers) = ("public".to_owned(), vec![address(PUBLIC, 0)]));
        let judge = Judge::new(&private);
        let mut scene =
            Scene { world, private, public, torrent, judge, peers: Vec::new(), datagrams: Vec::new(), look_ups: BTreeSet::new() };
        scene.judges();
        scene
    }

    fn judges(&mut self) {
        let seen = self.world.seen();
        self.datagrams.extend(seen.iter().filter_map(|seen| match &seen.action {
            Action::SendDatagram { payload, .. } => Some(payload.clone()),
            _ => None,
        }));
        self.judge.judges(seen);
    }

    fn happens(&mut self, step: Step) {
        match step {
            Step::Incoming { host, port, public } => {
                let (content, range) = if public { (&self.public, PUBLIC) } else { (&self.private, INCOMING) };
                let remote = SocketAddr::new(address(range, host).ip(), 50_000 + self.peers.len() as u16);
                let peer = self.world.extended_joins(content, &remote.to_string(), port);
                self.peers.push(peer);
            }
            Step::Dial { at, accept } => {
                let dials = self.world.dials();
                let Some(remote) = at.checked_rem(dials.len()).map(|at| dials[at]) else { return };
                if accept {
                    let content = if range(remote) == PUBLIC { &self.public } else { &self.private };
                    let peer = self.world.extended_answers(content, &remote.to_string());
                    self.peers.push(peer);
                } else {
                    self.world.refuses(&remote.to_string());
                }
            }
            Step::Says { peer, message } => self.peer(peer).into_iter().for_each(|peer| says(&peer, &message)),
            Step::Ends { peer } => self.peer(peer).iter().for_each(Peer::ends),
            Step::Metadata { peer, good } => {
                let Some(peer) = self.peer(peer) else { return };
                let info = self.private.metainfo().info.raw().clone();
                peer.introduces(|said| said.metadata_size = Some(info.len() as u32));
                for message in peer.hears_metadata() {
                    let MetadataMessage::Request { piece } = message else { continue };
                    assert!((info.len() as u32) < METADATA_PIECE_LENGTH, "one piece");
                    let data = if good { info.clone() } else { vec![b'x'; info.len()].into() };
                    let answer = MetadataMessage::Data { piece, total_size: Some(info.len() as u32), data };
                    if !peer.is_closed() {
                        peer.says_extended(ExtensionMessage::Metadata(answer));
                    }
                }
            }
            Step::Tracker { at, answer } => {
                let announces = self.world.announces();
                let Some(announce) = at.checked_rem(announces.len()).map(|at| &announces[at]) else { return };
                self.tracker(&announce.url, announce.event() == Some("stopped"), answer);
            }
            Step::Resolves { at, good } => {
                let look_ups = self.world.look_ups();
                let open: Vec<_> = look_ups.iter().filter(|(resolve, ..)| !self.look_ups.contains(resolve)).collect();
                let Some((resolve, host, _)) = at.checked_rem(open.len()).map(|at| open[at]) else { return };
                self.look_ups.insert(*resolve);
                let addresses = match host.as_str() {
                    "3.test" => vec![UDP_TRACKER.parse().expect("an address")],
                    _ => (0..4).map(|host| address(LINK, host)).collect(),
                };
                self.world.input(Input::Resolved { resolve: *resolve, result: if good { Ok(addresses) } else { Ok(Vec::new()) } });
            }
            Step::Udp { answer } => self.udp(answer),
            Step::LocalAnnounce { host, port } => {
                let announce = LocalAnnounce { port, info_hashes: vec![self.private.info_hash()], cookie: None };
                let payload: Bytes = announce.encode(LOCAL_GROUPS[0]).into();
                self.world.input(Input::Multicast { remote: address(LOCAL, host), payload: payload.clone() });
                // And straight to us, which no honest one would do.
                self.world.input(Input::Datagram { remote: address(LOCAL, host), payload });
            }
            Step::Datagram(payload) => {
                self.world.input(Input::Datagram { remote: UDP_TRACKER.parse().expect("an address"), payload: payload.into() });
            }
            Step::Command(command) => self.command(command),
            Step::Time { millis } => self.world.passes(Duration::from_millis(millis)),
        }
        self.judges();
    }

    /// One that is connected; the latest first.
    fn peer(&self, at: usize) -> Option<Peer> {
        self.peers.iter().rev().filter(|peer| !peer.is_closed()).nth(at).cloned()
    }

    fn tracker(&mut self, url: &str, stopped: bool, answer: Answer) {
        let tracker = TRACKERS.iter().position(|tracker| url.starts_with(tracker));
        self.judge.announces.remove(url);
        match answer {
            Answer::Fails => self.world.tracker_fails(url),
            Answer::Refuses => self.world.tracker_says(url, (&b"d14:failure reason2:noe"[..]).into()),
            Answer::Garbage => self.world.tracker_says(url, (&b"garbage"[..]).into()),
            Answer::Names { hosts, other } => {
                let range = tracker.map_or(PUBLIC, |tracker| tracker as u8);
                let mut peers: Vec<SocketAddr> = hosts.into_iter().map(|host| address(range, host)).collect();
                peers.extend(other.filter(|_| tracker.is_some()).map(|(range, host)| address(range, host)));
                if let Some(tracker) = tracker.filter(|_| !stopped) {
                    self.judge.tracker_named(tracker, &peers);
                }
                let text: Vec<String> = peers.iter().map(SocketAddr::to_string).collect();
                self.world.tracker_answers(url, &text.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
    }

    fn udp(&mut self, answer: Answer) {
        let Some(request) = (!self.datagrams.is_empty()).then(|| self.datagrams.remove(0)) else { return };
        let is_connect = request.len() == 16;
        let transaction = if is_connect { &request[12..16] } else { &request[12..16] };
        let mut reply = vec![0, 0, 0, u8::from(!is_connect)];
        reply.extend(transaction);
        match answer {
            Answer::Fails => return,
            Answer::Refuses => {
                reply[3] = 3;
                reply.extend(b"no");
            }
            Answer::Garbage => reply.truncate(6),
            Answer::Names { .. } if is_connect => reply.extend([7; 8]),
            Answer::Names { hosts, .. } => {
                let stopped = request[80..84] == [0, 0, 0, 3];
                let peers: Vec<SocketAddr> = hosts.into_iter().map(|host| address(3, host)).collect();
                if !stopped {
                    self.judge.tracker_named(3, &peers);
                }
                reply.extend([0, 0, 7, 8, 0, 0, 0, 1, 0, 0, 0, 1]);
                for peer in peers {
                    let IpAddr::V4(ip) = peer.ip() else { continue };
                    reply.extend(ip.octets());
                    reply.extend(peer.port().to_be_bytes());
                }
            }
        }
        self.world.input(Input::Datagram { remote: UDP_TRACKER.parse().expect("an address"), payload: reply.into() });
    }

    fn command(&mut self, command: u8) {
        let torrent = self.torrent;
        if command == 0 {
            // Whoever stands still waits for no answer.
            self.judge.announces.clear();
        }
        self.world.does(match command {
            0 => Command::Pause(torrent),
            1 | 2 => Command::Resume(torrent),
            3 => Command::Recheck(torrent),
            4 => Command::AddPeers { torrent, peers: (0..3).map(|host| address(OWNER, host)).collect() },
            5 => Command::Announce(torrent),
            6 => Command::Choose { torrent, choices: Box::new(Choices { peer_exchange: false, ..Choices::default() }) },
            _ => Command::Choose { torrent, choices: Box::default() },
        });
    }
}

/// What an earlier session, which perhaps knew no better, left.
fn saved(content: &Content) -> Bytes {
    let peer = |range, host, from_tracker| ResumePeer { address: address(range, host), from_tracker };
    let resume = Resume {
        verified: Bitfield::new(content.pieces()),
        files: vec![None],
        uploaded: 0,
        downloaded: 0,
        peers: vec![peer(SAVED, 0, false), peer(SAVED, 1, false), peer(SAVED_FROM_TRACKER, 0, true)],
        info: Some(content.metainfo().info.raw().clone()),
    };
    resume.encode(content.info_hash()).into()
}

fn says(peer: &Peer, said: &Said) {
    match said {
        Said::Exchange { added, dropped } => {
            // Who tells the public torrent something tells it of its own peers.
            let own = (range(peer.remote()) == PUBLIC).then_some(PUBLIC);
            let somebody = |(range, host): &(u8, u8)| address(own.unwrap_or(*range), *host);
            let added = added.iter().map(|peer| PexPeer { address: somebody(peer), flags: PexFlags::default() }).collect();
            let dropped = dropped.iter().map(somebody).collect();
            peer.says_extended(ExtensionMessage::PeerExchange(PexMessage { added, dropped }));
        }
        Said::Introduction { port, size, exchange, metadata } => {
            let mut ids = ExtensionIds::default();
            // Only the ids by which the judge understands what is said.
            for (extension, id) in [(Extension::PeerExchange, exchange), (Extension::Metadata, metadata)] {
                ids = id.map_or(ids, |id| ids.with(extension, if id == 0 { 0 } else { extension.our_id() }));
            }
            let handshake = ExtensionHandshake { ids, listen_port: *port, metadata_size: *size, ..ExtensionHandshake::default() };
            peer.says_extended(ExtensionMessage::Handshake(handshake.into()));
        }
        Said::Extended { id, payload } => peer.says(Message::Extended { id: *id, payload: payload.clone().into() }),
        Said::Message(message) => peer.says(message.clone()),
        Said::Bytes(bytes) => peer.says_bytes(bytes.clone()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_leaks_out_of_a_private_torrent(
        kind in prop::sample::select(vec![Kind::File, Kind::Magnet, Kind::Magnet, Kind::SavedMagnet]),
        steps in prop::collection::vec(step(), 0..100),
    ) {
        let mut scene = Scene::new(kind);
        for step in steps {
            scene.happens(step);
        }
    }
}

// Stories

const ONE: &str = TRACKERS[0];
const TWO: &str = TRACKERS[1];

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn tracked() -> Content {
    Content::private(4 * BLOCK as usize, BLOCK, &[&[ONE], &[TWO]])
}

fn adds_link(world: &World, content: &Content, parameters: &str, peers: Vec<SocketAddr>) -> TorrentId {
    let link: Magnet = format!("magnet:?xt=urn:btih:{}{parameters}", content.info_hash()).parse().expect("a link");
    let add = AddTorrent { peers, ..AddTorrent::new(link, "folder") };
    let Ok(Reply::Added(torrent)) = world.command(Command::Add(Box::new(add))) else { panic!("it is added") };
    torrent
}

/// The peer says that it has the metadata, and gives it.
fn gives_metadata(peer: &Peer, content: &Content) {
    let info = content.metainfo().info.raw().clone();
    peer.introduces(|said| said.metadata_size = Some(info.len() as u32));
    let data = MetadataMessage::Data { piece: 0, total_size: Some(info.len() as u32), data: info };
    peer.says_extended(ExtensionMessage::Metadata(data));
}

fn tells(peer: &Peer, addresses: &[&str]) {
    let added = addresses.iter().map(|address| PexPeer { address: at(address), flags: PexFlags::default() }).collect();
    peer.says_extended(ExtensionMessage::PeerExchange(PexMessage { added, dropped: Vec::new() }));
}

#[test]
fn a_private_torrent_neither_offers_peer_exchange_nor_heeds_it() {
    let (world, content) = (World::new(), tracked());
    let torrent = world.leeches(&content);
    let peer = world.extended_joins(&content, "10.0.0.1:50000", Some(7000));
    world.extended_joins(&content, "10.0.0.2:50000", Some(7000));
    tells(&peer, &["10.0.1.1:6881"]);
    world.does(Command::Choose { torrent, choices: Box::default() });
    world.seconds(100);
    let heard = peer.hears_extended();
    let [ExtensionMessage::Handshake(said)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(said.ids.mentioned(Extension::PeerExchange), None);
    assert!(world.dials().is_empty());
    assert!(!peer.is_closed());
}

#[test]
fn who_came_to_a_private_torrent_by_itself_is_not_tried_once_it_is_gone() {
    let (world, content) = (World::new(), tracked());
    let torrent = world.leeches(&content);
    world.tracker_answers(ONE, &["10.0.0.2:7000"]);
    world.refuses("10.0.0.2:7000");
    let (stranger, known) =
        (world.extended_joins(&content, "10.0.0.1:50000", Some(7000)), world.extended_joins(&content, "10.0.0.2:50000", Some(7000)));
    world.seconds(100);
    assert!(world.dials().is_empty(), "it is connected");
    assert_eq!(world.status(torrent).known_peers, 1);
    stranger.ends();
    known.ends();
    world.seconds(31);
    assert_eq!(world.dials(), [at("10.0.0.2:7000")]);
}

#[test]
fn a_private_torrent_takes_only_its_trackers_peers_from_resume_data() {
    let content = content();
    let world = World::new();
    let add = |add: &mut AddTorrent| add.resume = Some(saved(&content));
    world.adds(&content, add);
    assert_eq!(world.dials(), [address(SAVED_FROM_TRACKER, 0)]);
    let world = World::new();
    let public = Content::new(4 * BLOCK as usize, BLOCK);
    world.adds(&public, |add| add.resume = Some(saved(&public)));
    assert_eq!(world.dials().len(), 3);
}

#[test]
fn the_resume_data_of_a_private_torrent_tells_which_peers_its_tracker_named() {
    let (world, content) = (World::new(), tracked());
    world.adds(&content, |add| add.peers = vec![at("10.0.0.3:6881")]);
    world.tracker_answers(ONE, &["10.0.0.1:6881"]);
    let peer = world.answers("10.0.0.1:6881");
    peer.shakes_hands(&content);
    peer.says_all([content.bitfield([0]), Message::Unchoke]);
    peer.serves(&content);
    world.seconds(60);
    let saved = world.disk(|disk| disk.resume.get("folder").cloned()).expect("it was saved");
    let world = World::new();
    world.adds(&content, |add| add.resume = Some(saved));
    assert_eq!(world.dials(), [at("10.0.0.1:6881")]);
}

#[test]
fn when_a_magnet_link_turns_out_to_be_private_only_its_trackers_and_its_owners_peers_stay() {
    let (world, content) = (World::new(), tracked());
    let torrent = adds_link(&world, &content, &format!("&tr={ONE}&tr={TWO}&x.pe=link.test:1"), vec![at("10.0.3.1:6881")]);
    world.tracker_answers(ONE, &["10.0.1.1:6881", "10.0.1.2:6881", "10.0.1.3:7000"]);
    let (look_up, ..) = world.look_ups()[0].clone();
    let named = world.extended_answers(&content, "10.0.1.1:6881");
    let owners = world.extended_answers(&content, "10.0.3.1:6881");
    let stranger = world.extended_joins(&content, "10.0.4.1:50000", Some(7000));
    world.refuses("10.0.1.3:7000");
    let named_and_came = world.extended_joins(&content, "10.0.1.3:50000", Some(7000));
    tells(&stranger, &["10.0.2.1:6881", "10.0.2.2:6881"]);
    let told = world.extended_answers(&content, "10.0.2.1:6881");
    assert_eq!(world.dials(), [at("10.0.1.2:6881"), at("10.0.2.2:6881")]);
    for peer in [&named, &owners, &stranger, &named_and_came, &told] {
        assert_eq!(peer.hears_introductions()[0].ids, ExtensionIds::OURS);
        peer.has_all(&content);
    }

    gives_metadata(&named, &content);
    assert!(world.status(torrent).metadata);
    assert!([&stranger, &told].iter().all(|peer| peer.is_closed()));
    assert_eq!(stranger.reason(), Some(CloseReason::TorrentStopped));
    for peer in [&named, &owners, &named_and_came] {
        assert!(!peer.is_closed(), "{}", peer.remote());
        let said = peer.hears_introductions().pop().expect("it is told");
        assert_eq!(said.ids.mentioned(Extension::PeerExchange), Some(0));
    }
    assert_eq!(world.dials(), [at("10.0.1.2:6881")], "the other try is called off");
    world.input(Input::Resolved { resolve: look_up, result: Ok(vec![at("10.0.5.1:6881")]) });
    tells(&named, &["10.0.2.3:6881"]);
    world.seconds(40);
    assert!(world.dials().iter().all(|dial| dial.to_string().starts_with("10.0.1.")), "{:?}", world.dials());
    // And the download goes on where it is.
    named.says(Message::Unchoke);
    named.serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn when_a_magnet_link_turns_out_to_be_private_one_tracker_is_used_from_then_on() {
    let (world, content) = (World::new(), tracked());
    let torrent = adds_link(&world, &content, &format!("&tr={ONE}&tr={TWO}"), vec![at("10.0.3.1:6881")]);
    world.tracker_answers(ONE, &["10.0.1.1:6881"]);
    let owners = world.extended_answers(&content, "10.0.3.1:6881");
    gives_metadata(&owners, &content);
    // The answer comes too late: its peers are not those of the tracker in use. It hears that we left.
    world.tracker_answers(TWO, &["10.0.2.1:6881"]);
    assert_eq!(world.announces().iter().map(|announce| announce.event()).collect::<Vec<_>>(), [Some("stopped")]);
    world.tracker_answers(TWO, &["10.0.2.2:6881"]);
    assert_eq!(world.dials(), [at("10.0.1.1:6881")]);
    world.answers("10.0.1.1:6881").shakes_hands(&content);
    assert_eq!(world.peers(torrent).iter().map(|peer| peer.source).collect::<Vec<_>>(), [PeerSource::Owner, PeerSource::Tracker]);
    // The one in use fails, and the other one takes over: all peers go but the owner's.
    while world.announces().is_empty() {
        owners.says(Message::KeepAlive);
        world.seconds(60);
    }
    world.tracker_fails(ONE);
    world.tracker_answers(TWO, &["10.0.2.3:6881"]);
    let mut dials = world.dials();
    dials.sort();
    assert_eq!(dials, [at("10.0.2.3:6881"), at("10.0.3.1:6881")]);
    assert!(world.peers(torrent).is_empty());
}

#[test]
fn what_several_trackers_named_is_forgotten_when_a_magnet_link_turns_out_to_be_private() {
    let (world, content) = (World::new(), tracked());
    let torrent = adds_link(&world, &content, &format!("&tr={ONE}&tr={TWO}"), vec![at("10.0.3.1:6881")]);
    world.tracker_answers(ONE, &["10.0.1.1:6881"]);
    world.tracker_answers(TWO, &["10.0.2.1:6881"]);
    let owners = world.extended_answers(&content, "10.0.3.1:6881");
    let one = world.extended_answers(&content, "10.0.1.1:6881");
    gives_metadata(&owners, &content);
    assert!(one.is_closed() && !owners.is_closed());
    assert!(world.dials().is_empty());
    assert_eq!(world.status(torrent).known_peers, 1);
    assert_eq!(world.announces().iter().map(|announce| announce.event()).collect::<Vec<_>>(), [Some("stopped")]);
    world.seconds(301);
    world.tracker_answers(ONE, &["10.0.1.1:6881"]);
    assert!(world.dials().contains(&at("10.0.1.1:6881")));
}
