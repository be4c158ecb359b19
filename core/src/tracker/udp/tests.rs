use super::*;
use crate::{
    rng::{Rng, Seed},
    time::Instant,
    tracker::{Retry, TrackerFailure},
};
use alloc::{format, vec};
use core::net::{IpAddr, SocketAddr};
use proptest::prelude::*;

const TRACKER: &str = "10.0.0.1:6969";
const URL: &str = "udp://tracker.example.com:6969/announce";

/// A client at work, its time, and what it sends.
struct Scene {
    client: UdpTrackerClient,
    start: Instant,
    now: Instant,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(UdpTrackerConfig::default(), 1)
    }

    fn with(config: UdpTrackerConfig, seed: u64) -> Scene {
        let start = Instant::from_micros(1_000_000_000);
        Scene { client: UdpTrackerClient::new(config, Rng::new(Seed::from_u64(seed))), start, now: start }
    }

    fn at(&mut self, second: u64) {
        self.now = self.start + Duration::from_secs(second);
    }

    fn announce(&mut self) -> UdpExchangeId {
        self.client.announce(self.now, address(TRACKER), URL, announce())
    }

    fn sent(&mut self) -> Vec<(Request, u32)> {
        core::iter::from_fn(|| self.client.poll_datagram())
            .map(|datagram| Request::decode(&datagram.payload).expect("requests are well-formed"))
            .collect()
    }

    fn only(&mut self) -> (Request, u32) {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    fn answer(&mut self, response: &Response, transaction: u32) {
        self.client.handle_datagram(self.now, address(TRACKER), &response.encode(transaction));
    }

    /// Runs the timers until `second`, and says when what was sent.
    fn run_until(&mut self, second: u64) -> Vec<String> {
        let mut log = Vec::new();
        let end = self.start + Duration::from_secs(second);
        while let Some(deadline) = self.client.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = deadline;
            self.client.handle_timeout(self.now);
            let second = (self.now - self.start).as_secs();
            log.extend(self.sent().iter().map(|(request, _)| format!("{second} {}", name(request))));
        }
        self.now = end;
        log
    }

    fn results(&mut self) -> Vec<(UdpExchangeId, Result<UdpAnswer, TrackerFailure>)> {
        core::iter::from_fn(|| self.client.poll_result()).collect()
    }
}

fn name(request: &Request) -> &'static str {
    match request {
        Request::Connect => "connect",
        Request::Announce { .. } => "announce",
        Request::Scrape { .. } => "scrape",
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn announce() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([1; 20]),
        peer_id: [2; 20],
        port: 6881,
        uploaded: 3,
        downloaded: 4,
        left: 5,
        event: AnnounceEvent::Started,
        peers_wanted: None,
        key: Some(6),
        tracker_id: None,
    }
}

fn peers() -> Response {
    Response::Announce(AnnounceResponse { interval: Some(Duration::from_secs(1800)), ..AnnounceResponse::default() })
}

#[test]
fn the_packets_are_those_of_the_text() {
    assert_eq!(Request::Connect.encode(0x0102_0304), b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\x01\x02\x03\x04");
    let request = Request::Announce { connection: 0x1112_1314_1516_1718, announce: announce(), url_data: Vec::new() };
    let expected = [
        &b"\x11\x12\x13\x14\x15\x16\x17\x18\0\0\0\x01\x01\x02\x03\x04"[..],
        &[1; 20],
        &[2; 20],
        b"\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x03",
        b"\0\0\0\x02\0\0\0\0\0\0\0\x06\xff\xff\xff\xff\x1a\xe1",
    ]
    .concat();
    assert_eq!(expected.len(), 98);
    assert_eq!(request.encode(0x0102_0304), expected);
    let request = Request::Scrape { connection: 1, info_hashes: vec![InfoHash([7; 20]); 100] };
    assert_eq!(request.encode(2).len(), 16 + 20 * 74);
}

#[test]
fn events_have_their_codes_and_paused_is_none() {
    use AnnounceEvent::{Completed, None, Paused, Started, Stopped};
    for (event, code) in [(None, 0), (Completed, 1), (Started, 2), (Stopped, 3), (Paused, 0)] {
        let announce = AnnounceRequest { event, ..announce() };
        let packet = Request::Announce { connection: 0, announce, url_data: Vec::new() }.encode(0);
        assert_eq!(packet[80..84], [0, 0, 0, code]);
        assert_eq!(packet[84..88], [0; 4], "the IP field");
    }
}

#[test]
fn path_and_query_of_the_url_follow_the_announce() {
    let data = url_data_of("udp://tracker.example.com:80/dir?a=b&c=d");
    assert_eq!(data, "/dir?a=b&c=d");
    let packet = |data: &str| Request::Announce { connection: 0, announce: announce(), url_data: data.into() }.encode(0);
    assert_eq!(&packet(data)[98..], b"\x02\x0c/dir?a=b&c=d");
    assert_eq!(packet("").len(), 98);
    let long = "x".repeat(600);
    let options = packet(&long).split_off(98);
    assert_eq!((options.len(), options[1], options[257 + 1], options[2 * 257 + 1]), (600 + 6, 255, 255, 90));
    for (url, data) in [
        ("udp://t:80", ""),
        ("udp://t:80/", "/"),
        ("udp://t:80?x", "?x"),
        ("udp://t:80/a#b", "/a"),
        ("udp://[::1]:80/announce", "/announce"),
    ] {
        assert_eq!(url_data_of(url), data, "{url}");
    }
}

#[test]
fn options_without_and_with_a_length_byte_are_told_apart() {
    for (options, data) in [
        (&b"\x02\x0c/dir?a=b&c=d"[..], &b"/dir?a=b&c=d"[..]),
        (b"\x02\x0c/dir?a=b&c=d\x01\x01\x00", b"/dir?a=b&c=d"),
        (b"\x02\x00", b""),
        (b"\x02\x02ab\x01\x02\x00\x09\x03xyz\x02\x01c", b"abc"),
        (b"\x02\x02ab\x00\x02\x01c", b"ab"),
        (b"\x01\x01\x01", b""),
        // Cut short.
        (b"\x02", b""),
        (b"\x02\x05ab", b""),
        (b"", b""),
    ] {
        assert_eq!(url_data(options), data, "{options:?}");
    }
}

#[test]
fn packets_may_be_longer_than_the_text_says_but_not_shorter() {
    let responses = [(Response::Connect(9), 16), (peers(), 20), (Response::Scrape(Vec::new()), 8), (Response::Error("no".into()), 10)];
    for (response, least) in responses {
        let mut packet = response.encode(7);
        assert_eq!(packet.len(), least);
        if !matches!(response, Response::Error(_)) {
            let exact = Response::decode(&packet, false, 99);
            packet.extend([1, 2, 3]);
            assert_eq!(Response::decode(&packet, false, 99), exact);
            assert!(exact.is_some());
            assert_eq!(Response::decode(&packet[..least - 1], false, 99), None);
        }
    }
    let mut request = Request::Announce { connection: 0, announce: announce(), url_data: Vec::new() }.encode(7);
    assert_eq!(Request::decode(&request[..97]), None);
    request.push(0);
    assert!(Request::decode(&request).is_some());
    assert_eq!(Request::decode(&Request::Connect.encode(7)[..15]), None);
    assert_eq!(Request::decode(&[0; 16]), None, "a connect without the protocol's number");
}

#[test]
fn the_stride_of_peers_is_that_of_the_packets_family() {
    let mut packet = peers().encode(7);
    packet.extend(b"\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x1a\xe1\x20\x01\x0d\xb8\x00\x01");
    let addresses = |v6| match Response::decode(&packet, v6, 99) {
        Some((Response::Announce(response), 7)) => response.peers.iter().map(|peer| format!("{}", peer.address)).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(addresses(false), ["1.2.3.4:6881", "5.6.7.8:6881", "32.1.13.184:1"]);
    assert_eq!(addresses(true), ["[102:304:1ae1:506:708:1ae1:2001:db8]:1"]);
}

// The text's examples, second by second.

#[test]
fn a_normal_announce() {
    let mut scene = Scene::new();
    let id = scene.announce();
    let (request, transaction) = scene.only();
    assert_eq!(request, Request::Connect);
    scene.at(1);
    scene.answer(&Response::Connect(77), transaction);
    let (request, transaction) = scene.only();
    assert_eq!(request, Request::Announce { connection: 77, announce: announce(), url_data: b"/announce".to_vec() });
    scene.at(3);
    scene.answer(&peers(), transaction);
    let results = scene.results();
    assert!(matches!(&results[..], [(answered, Ok(UdpAnswer::Announce(_)))] if *answered == id), "{results:?}");
    assert_eq!(scene.client.next_deadline(), None);
}

#[test]
fn a_connect_that_times_out() {
    let mut scene = Scene::new();
    scene.announce();
    assert_eq!(name(&scene.only().0), "connect");
    assert_eq!(scene.run_until(224), ["15 connect", "45 connect", "105 connect"]);
    let log = scene.run_until(10_000);
    assert_eq!(log, ["225 connect", "465 connect", "945 connect", "1905 connect", "3825 connect"]);
    let results = scene.results();
    assert!(matches!(&results[..], [(_, Err(TrackerFailure::Unreachable(_)))]), "{results:?}");
    assert_eq!(scene.client.next_deadline(), None);
}

#[test]
fn an_announce_that_times_out_connects_again_once_the_connection_id_expired() {
    let mut scene = Scene::new();
    scene.announce();
    let (_, transaction) = scene.only();
    // The text's client has its answer at 1 and announces at 2; ours announces at once.
    scene.at(2);
    scene.answer(&Response::Connect(77), transaction);
    assert_eq!(name(&scene.only().0), "announce");
    let log = scene.run_until(300);
    assert_eq!(log, ["17 announce", "47 announce", "107 connect", "227 connect"]);
}

#[test]
fn what_was_not_answered_is_asked_again_for_few_peers() {
    let mut scene = Scene::new();
    let wanted = |request: &Request| match request {
        Request::Announce { announce, .. } => announce.peers_wanted,
        other => panic!("{other:?}"),
    };
    scene.client.announce(scene.now, address(TRACKER), URL, AnnounceRequest { peers_wanted: Some(200), ..announce() });
    let (_, transaction) = scene.only();
    scene.at(15);
    scene.client.handle_timeout(scene.now);
    assert_eq!(name(&scene.only().0), "connect");
    scene.answer(&Response::Connect(77), transaction);
    assert_eq!(wanted(&scene.only().0), Some(200), "only the connect was lost");
    scene.at(45);
    scene.client.handle_timeout(scene.now);
    let (request, _) = scene.only();
    assert_eq!(wanted(&request), Some(30));
    // Whoever wants none, or fewer, gets no more.
    scene.client.announce(scene.now, address(TRACKER), URL, AnnounceRequest { peers_wanted: Some(0), ..announce() });
    assert_eq!(wanted(&scene.only().0), Some(0));
    scene.at(60);
    scene.client.handle_timeout(scene.now);
    assert_eq!(wanted(&scene.only().0), Some(0));
}

#[test]
fn many_requests_share_a_connection_id_for_a_minute() {
    let mut scene = Scene::new();
    scene.announce();
    let (_, transaction) = scene.only();
    scene.at(1);
    scene.answer(&Response::Connect(77), transaction);
    let (_, transaction) = scene.only();
    scene.at(3);
    scene.answer(&peers(), transaction);
    for second in [4, 60] {
        scene.at(second);
        scene.announce();
        let (request, transaction) = scene.only();
        assert!(matches!(request, Request::Announce { connection: 77, .. }), "{request:?}");
        scene.answer(&peers(), transaction);
    }
    scene.at(62);
    let tracker = address(TRACKER);
    scene.announce();
    scene.client.scrape(scene.now, tracker, &[InfoHash([1; 20])]);
    scene.client.scrape(scene.now, tracker, &[InfoHash([2; 20])]);
    scene.announce();
    let (request, transaction) = scene.only();
    assert_eq!(request, Request::Connect, "one for all");
    scene.at(64);
    scene.answer(&Response::Connect(78), transaction);
    let sent = scene.sent();
    assert_eq!(sent.iter().map(|(request, _)| name(request)).collect::<Vec<_>>(), ["announce", "scrape", "scrape", "announce"]);
    // Answered in any order.
    for (request, transaction) in sent.iter().rev() {
        let response = if name(request) == "scrape" { Response::Scrape(vec![SwarmCounts::default()]) } else { peers() };
        scene.answer(&response, *transaction);
    }
    let results = scene.results();
    assert_eq!(results.len(), 3 + 4);
    assert!(results.iter().all(|(_, result)| result.is_ok()));
}

#[test]
fn answers_are_checked_for_source_transaction_and_action() {
    let mut scene = Scene::new();
    scene.announce();
    let (_, transaction) = scene.only();
    let good = Response::Connect(77).encode(transaction);
    for from in ["10.0.0.2:6969", "10.0.0.1:6970", "[::1]:6969"] {
        scene.client.handle_datagram(scene.now, address(from), &good);
    }
    scene.answer(&Response::Connect(77), transaction ^ 1);
    scene.answer(&peers(), transaction);
    scene.answer(&Response::Scrape(Vec::new()), transaction);
    scene.client.handle_datagram(scene.now, address(TRACKER), &good[..15]);
    scene.client.handle_datagram(scene.now, address(TRACKER), b"");
    assert_eq!((scene.sent(), scene.results()), (Vec::new(), Vec::new()));
    // A dual-stack socket shows IPv4 addresses as IPv6.
    scene.client.handle_datagram(scene.now, address("[::ffff:10.0.0.1]:6969"), &good);
    let (_, transaction) = scene.only();
    scene.answer(&Response::Connect(77), transaction);
    scene.answer(&Response::Scrape(Vec::new()), transaction);
    assert_eq!((scene.sent(), scene.results()), (Vec::new(), Vec::new()));
    scene.answer(&peers(), transaction);
    assert_eq!(scene.results().len(), 1);
    scene.answer(&peers(), transaction);
    assert_eq!(scene.results(), []);
}

#[test]
fn a_late_answer_still_counts() {
    let mut scene = Scene::new();
    scene.announce();
    let (_, transaction) = scene.only();
    scene.answer(&Response::Connect(77), transaction);
    let (_, transaction) = scene.only();
    let log = scene.run_until(110);
    assert_eq!(log.last().unwrap(), "105 connect");
    scene.answer(&peers(), transaction);
    assert_eq!(scene.results().len(), 1);
    assert_eq!(scene.client.next_deadline(), None);
}

#[test]
fn an_error_is_the_trackers_refusal() {
    let mut scene = Scene::new();
    scene.announce();
    let (_, transaction) = scene.only();
    scene.answer(&Response::Connect(77), transaction);
    let (_, transaction) = scene.only();
    scene.answer(&Response::Error("bad\x1b hash".into()), transaction);
    let failure = TrackerFailure::Refused { reason: "bad  hash".into(), retry: Retry::Unstated };
    assert_eq!(scene.results().pop().unwrap().1, Err(failure));
    scene.announce();
    assert_eq!(scene.only().0, Request::Connect, "the connection id may have been what it refused");
}

#[test]
fn who_waits_for_a_connection_shares_its_fate_but_not_a_cancellation() {
    let mut scene = Scene::new();
    let first = scene.announce();
    let second = scene.announce();
    assert_eq!(scene.sent().len(), 1);
    scene.client.cancel(scene.now, first);
    assert_eq!(scene.only().0, Request::Connect);
    scene.announce();
    assert_eq!(scene.run_until(10_000).len(), 8);
    let results = scene.results();
    assert_eq!(results.len(), 2);
    assert!(results.iter().any(|(id, _)| *id == second));
    assert_eq!(scene.client.next_deadline(), None);
}

#[test]
fn a_scrape_shorter_than_asked_for_is_taken_as_far_as_it_goes() {
    let mut scene = Scene::new();
    scene.client.scrape(scene.now, address(TRACKER), &[InfoHash([1; 20]), InfoHash([2; 20])]);
    let (_, transaction) = scene.only();
    scene.answer(&Response::Connect(77), transaction);
    let (_, transaction) = scene.only();
    let counts = SwarmCounts { complete: Some(1), downloaded: Some(2), incomplete: Some(3), downloaders: None };
    scene.answer(&Response::Scrape(vec![counts]), transaction);
    assert_eq!(scene.results().pop().unwrap().1, Ok(UdpAnswer::Scrape(vec![(InfoHash([1; 20]), counts)])));
}

#[test]
fn nothing_is_kept_of_trackers_no_longer_used() {
    let mut scene = Scene::with(UdpTrackerConfig { max_retransmissions: 0, ..UdpTrackerConfig::default() }, 1);
    for number in 0..50_u8 {
        scene.client.announce(scene.now, SocketAddr::from(([10, 0, 0, number], 1)), URL, announce());
        let end = 20 * (u64::from(number) + 1);
        scene.run_until(end);
    }
    assert_eq!(scene.results().len(), 50);
    let state = format!("{:?}", scene.client);
    assert!(!state.contains("10.0.0.40"), "{state}");
}

#[test]
fn transaction_ids_come_from_the_seed() {
    let first = |seed| {
        let mut scene = Scene::with(UdpTrackerConfig::default(), seed);
        scene.announce();
        scene.only().1
    };
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
}

fn requests() -> impl Strategy<Value = Request> {
    let events = prop::sample::select(vec![AnnounceEvent::None, AnnounceEvent::Started, AnnounceEvent::Completed, AnnounceEvent::Stopped]);
    let fields = (any::<[u8; 20]>(), any::<[u8; 20]>(), any::<u16>(), any::<[u64; 3]>(), events, any::<u32>());
    let announces = (any::<u64>(), fields, prop::option::of(0..i32::MAX as u32), prop::collection::vec(any::<u8>(), 0..600)).prop_map(
        |(connection, (info_hash, peer_id, port, [uploaded, downloaded, left], event, key), peers_wanted, url_data)| {
            let info_hash = InfoHash(info_hash);
            let key = Some(key);
            let announce =
                AnnounceRequest { info_hash, peer_id, port, uploaded, downloaded, left, event, peers_wanted, key, tracker_id: None };
            Request::Announce { connection, announce, url_data }
        },
    );
    let hashes = prop::collection::vec(any::<[u8; 20]>().prop_map(InfoHash), 0..74);
    let scrapes = (any::<u64>(), hashes).prop_map(|(connection, info_hashes)| Request::Scrape { connection, info_hashes });
    prop_oneof![Just(Request::Connect), announces, scrapes]
}

fn responses() -> impl Strategy<Value = (bool, Response)> {
    let peers = any::<bool>().prop_flat_map(|v6| {
        let ip = move |bytes: [u8; 16]| match bytes {
            // Made reachable: neither unspecified, nor multicast, nor IPv4 in disguise.
            [_, rest @ ..] if v6 => IpAddr::from(core::array::from_fn::<u8, 16, _>(|at| if at == 0 { 0x20 } else { rest[at - 1] })),
            [_, a, b, c, ..] => IpAddr::from([10, a, b, c]),
        };
        let peer =
            (any::<[u8; 16]>(), 1..=u16::MAX).prop_map(move |(bytes, port)| crate::tracker::TrackerPeer::new((ip(bytes), port).into()));
        (Just(v6), prop::collection::vec(peer, 0..30))
    });
    let announces = (peers, any::<[u32; 3]>()).prop_map(|((v6, peers), [interval, complete, incomplete])| {
        let counts = SwarmCounts { complete: Some(complete), incomplete: Some(incomplete), ..SwarmCounts::default() };
        let interval = Some(Duration::from_secs(interval.into()));
        (v6, Response::Announce(AnnounceResponse { interval, counts, peers, ..AnnounceResponse::default() }))
    });
    let counts = any::<[u32; 3]>().prop_map(|[complete, downloaded, incomplete]| SwarmCounts {
        complete: Some(complete),
        downloaded: Some(downloaded),
        incomplete: Some(incomplete),
        downloaders: None,
    });
    prop_oneof![
        any::<u64>().prop_map(|connection| (false, Response::Connect(connection))),
        announces,
        prop::collection::vec(counts, 0..74).prop_map(|swarms| (false, Response::Scrape(swarms))),
        "[a-z]{0,40}".prop_map(|reason| (false, Response::Error(reason))),
    ]
}

proptest! {
    #[test]
    fn requests_come_back_as_they_were(request in requests(), transaction in any::<u32>()) {
        prop_assert_eq!(Request::decode(&request.encode(transaction)), Some((request, transaction)));
    }

    #[test]
    fn responses_come_back_as_they_were((v6, response) in responses(), transaction in any::<u32>()) {
        prop_assert_eq!(Response::decode(&response.encode(transaction), v6, 1000), Some((response, transaction)));
    }

    /// Datagrams lost, doubled and forged: every exchange ends once, and nothing is left behind.
    #[test]
    fn every_exchange_ends_once(steps in prop::collection::vec((0..6_u8, any::<u16>()), 0..80)) {
        let mut scene = Scene::with(UdpTrackerConfig { max_retransmissions: 2, ..UdpTrackerConfig::default() }, 3);
        let mut open = Vec::new();
        let mut sent: Vec<(Request, u32)> = Vec::new();
        let mut ended = Vec::new();
        for (step, number) in steps {
            match step {
                0 => open.push(scene.announce()),
                1 => open.push(scene.client.scrape(scene.now, address(TRACKER), &[InfoHash([1; 20])])),
                2 if !open.is_empty() => scene.client.cancel(scene.now, open.remove(usize::from(number) % open.len())),
                3 => {
                    scene.now += Duration::from_secs(u64::from(number) % 50);
                    scene.client.handle_timeout(scene.now);
                }
                _ if !sent.is_empty() => {
                    let (request, transaction) = &sent[usize::from(number) % sent.len()];
                    let response = match request {
                        _ if number % 7 == 0 => Response::Error("no".into()),
                        Request::Connect => Response::Connect(1),
                        Request::Announce { .. } => peers(),
                        Request::Scrape { .. } => Response::Scrape(vec![SwarmCounts::default()]),
                    };
                    scene.answer(&response, *transaction);
                }
                _ => {}
            }
            sent.extend(scene.sent());
            prop_assert!(scene.client.next_deadline().is_none_or(|deadline| deadline > scene.now || step != 3));
            for (id, _) in scene.results() {
                if let Some(place) = open.iter().position(|open| *open == id) {
                    open.remove(place);
                }
                prop_assert!(!ended.contains(&id));
                ended.push(id);
            }
        }
        scene.run_until(1_000_000);
        let results = scene.results();
        prop_assert_eq!(results.len(), open.len());
        prop_assert!(results.iter().all(|(id, _)| open.contains(id)));
    }

    #[test]
    fn any_datagram_is_read_or_refused(datagram in prop::collection::vec(any::<u8>(), 0..200), action in 0..5_u8, v6 in any::<bool>()) {
        let mut scene = Scene::new();
        scene.announce();
        scene.client.handle_datagram(scene.now, address(TRACKER), &datagram);
        let mut datagram = datagram;
        for (at, byte) in [(0, 0), (1, 0), (2, 0), (3, action), (8, 0), (9, 0), (10, 0), (11, action)] {
            if let Some(place) = datagram.get_mut(at) {
                *place = byte;
            }
        }
        let _ = Request::decode(&datagram);
        if let Some((Response::Announce(response), _)) = Response::decode(&datagram, v6, 5) {
            prop_assert!(response.peers.len() <= 5 && response.peers.iter().all(|peer| peer.address.is_ipv6() == v6 || v6));
        }
    }
}
