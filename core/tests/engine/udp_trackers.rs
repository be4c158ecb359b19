//! UDP trackers that drop, delay, duplicate and forge answers: the schedule of BEP 15 is kept to the second.

use crate::{
    BLOCK,
    support::{Content, World},
};
use proptest::prelude::*;
use rustor_core::{
    command::Command,
    event::Event,
    input::Input,
    rng::Seed,
    time::{Duration, Instant},
    tracker::{
        AnnounceEvent, AnnounceResponse, SwarmCounts, TrackerPeer, TrackerServer, TrackerServerConfig,
        udp::{Request, Response},
    },
};
use std::{collections::BTreeSet, net::SocketAddr};

const URL: &str = "udp://tracker.test:6969/announce?key=1";
const TRACKER: &str = "10.0.0.99:6969";

fn content() -> Content {
    Content::tracked(4 * BLOCK as usize, BLOCK, &[&[URL]])
}

fn tracker() -> SocketAddr {
    TRACKER.parse().unwrap()
}

/// A world that follows BEP 15 to the end, in place of giving up after 105 seconds.
fn patient() -> World {
    World::with(|config| config.udp_tracker.max_retransmissions = 8)
}

/// A datagram that went to the tracker.
#[derive(Clone, Debug)]
struct Sent {
    at: Instant,
    request: Request,
    transaction: u32,
}

impl Sent {
    fn kind(&self) -> &'static str {
        match self.request {
            Request::Connect => "connect",
            Request::Announce { .. } => "announce",
            Request::Scrape { .. } => "scrape",
        }
    }
}

/// The tracker's name leads to its address.
fn resolves(world: &World) {
    for (resolve, host, port) in world.takes_look_ups() {
        assert_eq!((host.as_str(), port), ("tracker.test", 6969));
        world.input(Input::Resolved { resolve, result: Ok(vec![tracker()]) });
    }
}

fn sent(world: &World) -> Vec<Sent> {
    let datagrams = world.datagrams().into_iter().map(|(at, to, payload)| {
        assert_eq!(to, tracker());
        let (request, transaction) = Request::decode(&payload).expect("a request");
        Sent { at, request, transaction }
    });
    datagrams.collect()
}

#[track_caller]
fn only(world: &World) -> Sent {
    let sent = sent(world);
    let [only] = &sent[..] else { panic!("{sent:?}") };
    only.clone()
}

fn answers(world: &World, response: &Response, transaction: u32) {
    says(world, TRACKER, response.encode(transaction));
}

fn says(world: &World, from: &str, payload: Vec<u8>) {
    world.input(Input::Datagram { remote: from.parse().unwrap(), payload: payload.into() });
}

/// Lets this many seconds pass; what was sent meanwhile, and exactly how long after `begin`.
fn log(world: &World, begin: Instant, seconds: u64) -> Vec<String> {
    world.seconds(seconds);
    let sent = sent(world);
    let second = |at: Instant| {
        assert_eq!(at.since(begin).as_micros() % 1_000_000, 0, "to the second");
        at.since(begin).as_secs()
    };
    sent.iter().map(|sent| format!("{} {}", second(sent.at), sent.kind())).collect()
}

fn peers(peers: &[&str]) -> Response {
    let peers = peers.iter().map(|peer| TrackerPeer::new(peer.parse().unwrap())).collect();
    let counts = SwarmCounts { complete: Some(0), incomplete: Some(0), ..SwarmCounts::default() };
    Response::Announce(AnnounceResponse { interval: Some(Duration::from_secs(1800)), counts, peers, ..AnnounceResponse::default() })
}

fn replies(world: &World) -> usize {
    world.count_events(|event| matches!(event, Event::TrackerReplied { .. }))
}

fn failures(world: &World) -> usize {
    world.count_events(|event| matches!(event, Event::TrackerFailed { .. }))
}

#[test]
fn a_tracker_that_answers_gives_peers() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    resolves(&world);
    let connect = only(&world);
    assert_eq!(connect.request, Request::Connect);
    answers(&world, &Response::Connect(77), connect.transaction);
    let sent = only(&world);
    let Request::Announce { connection: 77, announce, url_data } = sent.request else { panic!("{sent:?}") };
    assert_eq!((announce.info_hash, announce.port, announce.left), (content.info_hash(), 6881, 4 * u64::from(BLOCK)));
    assert_eq!((announce.event, announce.peer_id), (AnnounceEvent::Started, world.our_peer_id().0));
    assert_eq!(url_data, b"/announce?key=1", "as BEP 41 wants it");
    answers(&world, &peers(&["10.0.0.1:6881", "10.0.0.2:0"]), sent.transaction);
    assert_eq!(world.dials(), ["10.0.0.1:6881".parse().unwrap()]);
    assert_eq!((replies(&world), failures(&world)), (1, 0));
    assert!(log(&world, world.now(), 1700).is_empty());
}

#[test]
fn a_tracker_that_drops_everything_is_asked_after_15_seconds_and_then_half_as_often_each_time() {
    let world = patient();
    let begin = world.now();
    world.leeches(&content());
    resolves(&world);
    let expected = ["0 connect", "15 connect", "45 connect", "105 connect", "225 connect", "465 connect", "945 connect"];
    assert_eq!(log(&world, begin, 1904), expected);
    assert_eq!(log(&world, begin, 2000), ["1905 connect", "3825 connect"]);
    world.seconds(7665 - 3904 - 1);
    assert_eq!(failures(&world), 0);
    world.seconds(1);
    assert_eq!(failures(&world), 1);
}

#[test]
fn usually_the_next_tracker_has_its_turn_before_that() {
    let world = World::new();
    let begin = world.now();
    world.leeches(&Content::tracked(BLOCK as usize, BLOCK, &[&[URL], &["http://second.test/announce"]]));
    world.takes_announce("http://second.test");
    resolves(&world);
    assert_eq!(log(&world, begin, 104), ["0 connect", "15 connect", "45 connect"]);
    assert_eq!(failures(&world), 0);
    world.seconds(1);
    assert_eq!(failures(&world), 1);
}

#[test]
fn a_tracker_that_drops_announces_is_asked_for_a_new_connection_id_once_the_old_one_expired() {
    let world = patient();
    let begin = world.now();
    world.leeches(&content());
    resolves(&world);
    let transaction = only(&world).transaction;
    world.seconds(2);
    answers(&world, &Response::Connect(77), transaction);
    let announce = only(&world);
    assert_eq!(log(&world, begin, 224), ["17 announce", "47 announce", "107 connect"]);
    world.seconds(1);
    let connect = only(&world);
    assert_eq!((connect.at.since(begin).as_secs(), connect.kind()), (227, "connect"));
    // The new id is used at once, and what is announced is the same announce.
    answers(&world, &Response::Connect(78), connect.transaction);
    let again = only(&world);
    assert!(matches!(again.request, Request::Announce { connection: 78, .. }), "{again:?}");
    assert_eq!(again.transaction, announce.transaction);
    answers(&world, &peers(&[]), again.transaction);
    assert_eq!(replies(&world), 1);
}

#[test]
fn a_delayed_answer_counts_until_it_is_given_up_and_not_after() {
    let answer_after = |seconds| {
        let (world, begin) = (World::new(), Instant::from_micros(1_000_000));
        world.leeches(&content());
        resolves(&world);
        let connect = only(&world);
        answers(&world, &Response::Connect(77), connect.transaction);
        let announce = only(&world);
        let log = log(&world, begin, seconds);
        answers(&world, &peers(&["10.0.0.1:6881"]), announce.transaction);
        (log, replies(&world), failures(&world), world.dials().len())
    };
    let retransmissions = ["15 announce", "45 announce"].map(str::to_owned).to_vec();
    assert_eq!(answer_after(14), (vec![], 1, 0, 1));
    assert_eq!(answer_after(104), (retransmissions.clone(), 1, 0, 1));
    assert_eq!(answer_after(105), (retransmissions, 0, 1, 0));
}

#[test]
fn duplicates_change_nothing() {
    let world = World::new();
    world.leeches(&content());
    resolves(&world);
    let connect = only(&world);
    for connection in [77, 77, 78] {
        answers(&world, &Response::Connect(connection), connect.transaction);
    }
    let announce = only(&world);
    assert!(matches!(announce.request, Request::Announce { connection: 77, .. }), "the first counts: {announce:?}");
    for peer in ["10.0.0.1:6881", "10.0.0.1:6881", "10.0.0.2:6881"] {
        answers(&world, &peers(&[peer]), announce.transaction);
    }
    answers(&world, &Response::Error("not you".into()), announce.transaction);
    assert_eq!((world.dials().len(), replies(&world), failures(&world)), (1, 1, 0));
}

/// Datagrams that look like answers to `transaction`, and are not the tracker's, or not answers to what was asked.
fn forgeries(transaction: u32, asked: &Request) -> Vec<(String, Vec<u8>)> {
    let poison = peers(&["66.6.6.6:666"]);
    let mut forgeries = Vec::new();
    for response in [Response::Connect(666), poison.clone(), Response::Error("go away".into())] {
        for from in ["66.6.6.6:6969", "10.0.0.99:6970", "[2001:db8::99]:6969"] {
            forgeries.push((from.to_owned(), response.encode(transaction)));
        }
        for wrong in [transaction ^ 1, transaction.wrapping_add(1), 0] {
            forgeries.push((TRACKER.to_owned(), response.encode(wrong)));
        }
        forgeries.push((TRACKER.to_owned(), response.encode(transaction)[..7].to_vec()));
    }
    // From the tracker's address, but of another kind than what was asked.
    let other = if *asked == Request::Connect { poison } else { Response::Connect(666) };
    forgeries.push((TRACKER.to_owned(), other.encode(transaction)));
    forgeries.push((TRACKER.to_owned(), Response::Scrape(vec![SwarmCounts::default()]).encode(transaction)));
    let mut unknown = Response::Connect(666).encode(transaction);
    unknown[3] = 9;
    forgeries.push((TRACKER.to_owned(), unknown));
    forgeries.push((TRACKER.to_owned(), Vec::new()));
    forgeries
}

#[test]
fn forged_answers_change_nothing_and_the_schedule_least_of_all() {
    let world = World::new();
    let begin = world.now();
    let torrent = world.leeches(&content());
    resolves(&world);
    let connect = only(&world);
    let forge = |about: &Sent| {
        for (from, payload) in forgeries(about.transaction, &about.request) {
            says(&world, &from, payload);
        }
    };
    forge(&connect);
    assert_eq!(log(&world, begin, 20), ["15 connect"]);
    forge(&connect);
    answers(&world, &Response::Connect(77), connect.transaction);
    let announce = only(&world);
    assert!(matches!(announce.request, Request::Announce { connection: 77, .. }));
    forge(&announce);
    assert_eq!(log(&world, begin, 30), ["50 announce"], "the second retransmission comes 30 seconds after what it repeats");
    forge(&announce);
    assert_eq!((replies(&world), failures(&world), world.status(torrent).known_peers), (0, 0, 0));
    answers(&world, &peers(&["10.0.0.1:6881"]), announce.transaction);
    assert_eq!((replies(&world), world.dials().len()), (1, 1));
}

#[test]
fn many_torrents_of_one_tracker_share_a_connection_id_for_a_minute() {
    let world = World::new();
    let torrents: Vec<Content> = (1..=4).map(|pieces| Content::tracked(pieces * BLOCK as usize, BLOCK, &[&[URL]])).collect();
    let add = |content: &Content| {
        world.leeches(content);
        resolves(&world);
    };
    add(&torrents[0]);
    add(&torrents[1]);
    let connect = only(&world);
    answers(&world, &Response::Connect(77), connect.transaction);
    let with = |id: u64, count: usize| {
        let sent = sent(&world);
        let fits = |sent: &Sent| matches!(sent.request, Request::Announce { connection, .. } if connection == id);
        assert!(sent.len() == count && sent.iter().all(fits), "{sent:?}");
        sent.iter().for_each(|sent| answers(&world, &peers(&[]), sent.transaction));
    };
    with(77, 2);
    world.seconds(59);
    add(&torrents[2]);
    with(77, 1);
    world.seconds(1);
    add(&torrents[3]);
    let connect = only(&world);
    assert_eq!(connect.request, Request::Connect);
    answers(&world, &Response::Connect(78), connect.transaction);
    with(78, 1);
    assert_eq!(replies(&world), 4);
}

#[test]
fn a_torrent_that_was_removed_is_not_announced_for_any_longer_than_its_end_may_take() {
    let world = World::new();
    let torrent = world.leeches(&content());
    resolves(&world);
    let connect = only(&world);
    answers(&world, &Response::Connect(77), connect.transaction);
    let started = only(&world);
    answers(&world, &peers(&[]), started.transaction);
    world.does(Command::Remove { torrent, delete_data: false });
    resolves(&world);
    let stopped = only(&world);
    assert!(matches!(&stopped.request, Request::Announce { announce, .. } if announce.event == AnnounceEvent::Stopped));
    world.seconds(9);
    assert!(world.is_listed(torrent));
    world.seconds(1);
    assert!(!world.is_listed(torrent), "nobody waits for a tracker that is gone");
}

/// What becomes of a datagram, and of what follows from it.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// Seconds on the way there and back; lost if there are none.
    delays: (Option<u64>, Option<u64>),
    /// Seconds until the answer comes a second time.
    duplicate: Option<u64>,
    /// Seconds until forged answers come.
    forgery: Option<u64>,
}

fn fate() -> impl Strategy<Value = Fate> {
    let delay = || prop_oneof![2 => Just(None), 3 => (1..3u64).prop_map(Some), 2 => (3..50u64).prop_map(Some)];
    let seldom = || prop_oneof![2 => Just(None), 1 => (1..100u64).prop_map(Some)];
    (delay(), delay(), seldom(), seldom()).prop_map(|(there, back, duplicate, forgery)| Fate { delays: (there, back), duplicate, forgery })
}

/// The schedule of BEP 15 as the text has it, of one announce after the other.
#[derive(Debug, Default)]
struct Schedule {
    /// When the last datagram went out, and how often it was repeated.
    last: Option<(Instant, u32)>,
    connection: Option<(u64, Instant)>,
    /// The transactions that an answer must carry.
    connect: Option<u32>,
    announce: Option<u32>,
    answered: usize,
    given_up: usize,
}

const RETRANSMISSIONS: u32 = 3;

impl Schedule {
    fn wait(repeated: u32) -> Duration {
        Duration::from_secs(15 << repeated)
    }

    /// Nothing more is sent of an announce whose last wait is over.
    fn passes(&mut self, now: Instant) {
        if self.last.is_some_and(|(at, repeated)| repeated == RETRANSMISSIONS && at + Schedule::wait(repeated) <= now) {
            self.given_up += 1;
            (self.last, self.connect, self.announce) = (None, None, None);
        }
    }

    /// A datagram goes out because it is time, or because a new announce begins.
    fn sends(&mut self, sent: &Sent) {
        self.passes(sent.at);
        let repeated = match self.last {
            Some((at, repeated)) => {
                assert_eq!(sent.at, at + Schedule::wait(repeated), "to the second: {sent:?}");
                repeated + 1
            }
            None => 0,
        };
        assert!(repeated <= RETRANSMISSIONS);
        self.goes_out(sent, repeated);
    }

    fn goes_out(&mut self, sent: &Sent, repeated: u32) {
        let connected = self.connection.filter(|(_, until)| sent.at < *until);
        match (&sent.request, connected) {
            (Request::Connect, None) => {
                assert!(self.connect.is_none_or(|transaction| transaction == sent.transaction), "the same question has the same id");
                self.connect = Some(sent.transaction);
            }
            (Request::Announce { connection, .. }, Some((id, _))) => {
                assert_eq!(*connection, id);
                assert!(self.announce.is_none_or(|transaction| transaction == sent.transaction));
                self.announce = Some(sent.transaction);
            }
            (request, connected) => panic!("{request:?} with {connected:?}"),
        }
        self.last = Some((sent.at, repeated));
    }

    /// A datagram comes in; what `follows` was sent at once.
    fn hears(&mut self, now: Instant, from: SocketAddr, payload: &[u8], follows: &[Sent]) {
        self.passes(now);
        let answer = Response::decode(payload, false, 100).filter(|_| from == tracker());
        match (answer, self.last) {
            (Some((Response::Connect(id), transaction)), Some((_, repeated))) if self.connect == Some(transaction) => {
                self.connect = None;
                self.connection = Some((id, now + Duration::from_secs(60)));
                let [announce] = follows else { panic!("announced as soon as it can be: {follows:?}") };
                self.goes_out(announce, repeated);
                return;
            }
            (Some((Response::Announce(_), transaction)), Some(_)) if self.announce == Some(transaction) => {
                self.answered += 1;
                (self.last, self.connect, self.announce) = (None, None, None);
            }
            _ => {}
        }
        assert!(follows.is_empty(), "{follows:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_the_network_does_to_datagrams_the_schedule_is_kept(fates in prop::collection::vec(fate(), 1..40)) {
        let world = World::with(|config| {
            config.udp_tracker.max_retransmissions = RETRANSMISSIONS;
            config.local_discovery = None;
        });
        let mut server = TrackerServer::new(TrackerServerConfig::default(), Seed::from_u64(3));
        let from: SocketAddr = "10.0.0.1:6881".parse().unwrap();
        let mut schedule = Schedule::default();
        let mut fates = fates.iter().cycle();
        // When, a number that tells datagrams apart, from where, and what.
        let mut on_the_way: BTreeSet<(u64, usize, SocketAddr, Vec<u8>)> = BTreeSet::new();
        let mut number = 0;
        world.leeches(&content());
        let mut fresh = Vec::new();
        for second in 0..7200 {
            resolves(&world);
            for datagram in sent(&world) {
                schedule.sends(&datagram);
                fresh.push(datagram);
            }
            // What arrives now.
            while let Some(first) = on_the_way.pop_first() {
                if first.0 > second {
                    on_the_way.insert(first);
                    break;
                }
                let (_, _, remote, payload) = first;
                if remote == from {
                    // It was on its way to the tracker.
                    let (fate, payload) = (fates.next().unwrap(), server.handle_udp(world.now(), from, &payload));
                    for delay in [fate.delays.1, fate.duplicate].into_iter().flatten() {
                        on_the_way.extend(payload.iter().map(|payload| (second + delay, number, tracker(), payload.clone())));
                        number += 1;
                    }
                    continue;
                }
                world.input(Input::Datagram { remote, payload: payload.clone().into() });
                let follows = sent(&world);
                schedule.hears(world.now(), remote, &payload, &follows);
                fresh.extend(follows);
            }
            // What becomes of what was sent.
            for datagram in fresh.drain(..) {
                let fate = fates.next().unwrap();
                let payload = datagram.request.encode(datagram.transaction);
                on_the_way.extend(fate.delays.0.map(|delay| (second + delay, number, from, payload)));
                number += 1;
                for (forger, payload) in fate.forgery.iter().flat_map(|_| forgeries(datagram.transaction, &datagram.request)) {
                    on_the_way.insert((second + fate.forgery.unwrap_or(1), number, forger.parse().unwrap(), payload));
                    number += 1;
                }
            }
            world.seconds(1);
            schedule.passes(world.now());
        }
        for datagram in sent(&world) {
            schedule.sends(&datagram);
        }
        prop_assert_eq!((replies(&world), failures(&world)), (schedule.answered, schedule.given_up));
        prop_assert!(schedule.answered + schedule.given_up > 0);
    }
}
