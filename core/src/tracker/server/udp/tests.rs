use super::*;
use crate::tracker::udp::{UdpAnswer, UdpTrackerClient, UdpTrackerConfig};
use alloc::format;

fn tracker() -> TrackerServer {
    TrackerServer::new(TrackerServerConfig::default(), Seed::from_u64(1))
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn announce() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([1; 20]),
        peer_id: [2; 20],
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: AnnounceEvent::Started,
        peers_wanted: None,
        key: Some(6),
        tracker_id: None,
    }
}

fn connect(tracker: &mut TrackerServer, now: Instant, from: &str) -> u64 {
    let answer = tracker.handle_udp(now, address(from), &Request::Connect.encode(5)).unwrap();
    match Response::decode(&answer, false, 0) {
        Some((Response::Connect(connection), 5)) => connection,
        other => panic!("{other:?}"),
    }
}

fn announce_with(tracker: &mut TrackerServer, now: Instant, from: &str, connection: u64) -> Option<Response> {
    let request = Request::Announce { connection, announce: announce(), url_data: Vec::new() };
    let answer = tracker.handle_udp(now, address(from), &request.encode(9))?;
    Some(Response::decode(&answer, address(from).ip().to_canonical().is_ipv6(), 999).unwrap().0)
}

#[test]
fn a_connection_id_serves_its_address_for_two_minutes_at_least_and_three_at_most() {
    for start in [0, 59_999_999, 60_000_000, 90_000_000] {
        let mut tracker = tracker();
        let start = Instant::from_micros(start);
        let connection = connect(&mut tracker, start, "10.0.0.1:1000");
        let mut works = |from, second| announce_with(&mut tracker, start + Duration::from_secs(second), from, connection).is_some();
        assert!(works("10.0.0.1:1000", 0) && works("10.0.0.1:2000", 120) && works("[::ffff:10.0.0.1]:1", 1));
        assert!(!works("10.0.0.1:1000", 180));
        assert!(!works("10.0.0.2:1000", 0));
    }
}

#[test]
fn connection_ids_cannot_be_made_up() {
    let mut tracker = tracker();
    let mut other = TrackerServer::new(TrackerServerConfig::default(), Seed::from_u64(2));
    let connection = connect(&mut other, Instant::ZERO, "10.0.0.1:1");
    for connection in [0, 1, u64::MAX, 0x417_2710_1980, connection] {
        assert_eq!(announce_with(&mut tracker, Instant::ZERO, "10.0.0.1:1", connection), None);
    }
    assert_eq!(tracker.totals().peers, 0);
    let scrape = Request::Scrape { connection, info_hashes: Vec::new() };
    assert_eq!(tracker.handle_udp(Instant::ZERO, address("10.0.0.1:1"), &scrape.encode(1)), None);
}

#[test]
fn an_asker_gets_peers_of_its_own_family() {
    let mut tracker = tracker();
    for ip in ["10.0.0.1", "10.0.0.2", "2001:db8::1"] {
        let request = AnnounceRequest { peer_id: [ip.len() as u8; 20], key: Some(ip.len() as u32), ..announce() };
        let request = AnnounceRequest { port: ip.as_bytes()[ip.len() - 1].into(), ..request };
        tracker.announce(Instant::ZERO, ip.parse().unwrap(), &request, Families::Own).unwrap();
    }
    for (from, count) in [("10.0.0.9:1", 1), ("[2001:db8::9]:1", 1)] {
        let connection = connect(&mut tracker, Instant::ZERO, from);
        let Some(Response::Announce(response)) = announce_with(&mut tracker, Instant::ZERO, from, connection) else { panic!() };
        assert_eq!(response.peers.len(), count);
        assert!(response.peers.iter().all(|peer| peer.address.is_ipv6() == from.starts_with('[')));
    }
}

#[test]
fn answers_fit_a_datagram() {
    let mut tracker = TrackerServer::new(TrackerServerConfig { max_peers_given: 1000, ..Default::default() }, Seed::from_u64(1));
    for number in 0..1000_u16 {
        let [high, low] = number.to_be_bytes();
        let request = AnnounceRequest { peer_id: [low; 20], key: Some(number.into()), ..announce() };
        tracker.announce(Instant::ZERO, IpAddr::from([10, 0, high, low]), &request, Families::Own).unwrap();
        let v6 = IpAddr::from([0x2001, 0, 0, 0, 0, 0, 0, number]);
        tracker.announce(Instant::ZERO, v6, &request, Families::Own).unwrap();
    }
    for (from, least) in [("10.9.0.9:1", 1300), ("[2001:db8::9]:1", 1300)] {
        let connection = connect(&mut tracker, Instant::ZERO, from);
        let announce = AnnounceRequest { peers_wanted: Some(1000), ..announce() };
        let request = Request::Announce { connection, announce, url_data: Vec::new() };
        let answer = tracker.handle_udp(Instant::ZERO, address(from), &request.encode(9)).unwrap();
        assert!((least..=1400).contains(&answer.len()), "{}", answer.len());
    }
}

#[test]
fn a_refusal_is_an_error_packet() {
    let config = TrackerServerConfig { allowed: Some(BTreeSet::new()), ..Default::default() };
    let mut tracker = TrackerServer::new(config, Seed::from_u64(1));
    let connection = connect(&mut tracker, Instant::ZERO, "10.0.0.1:1");
    let response = announce_with(&mut tracker, Instant::ZERO, "10.0.0.1:1", connection);
    assert_eq!(response, Some(Response::Error("this torrent is not tracked here".into())));
}

#[test]
fn our_client_and_our_tracker_understand_each_other() {
    let mut tracker = tracker();
    let mut client = UdpTrackerClient::new(UdpTrackerConfig::default(), Rng::new(Seed::from_u64(3)));
    let at = address("10.0.0.99:6969");
    let hashes = [InfoHash([1; 20]), InfoHash([9; 20])];
    let mut now = Instant::ZERO;
    let mut results = Vec::new();
    for number in 1..=3_u8 {
        now += Duration::from_secs(50);
        let from = address(&format!("10.0.0.{number}:5000"));
        let request = AnnounceRequest { peer_id: [number; 20], key: Some(number.into()), ..announce() };
        client.announce(now, at, "udp://tracker:6969/announce", request);
        client.scrape(now, at, &hashes);
        while let Some(datagram) = client.poll_datagram() {
            assert_eq!(datagram.to, at);
            if let Some(answer) = tracker.handle_udp(now, from, &datagram.payload) {
                client.handle_datagram(now, at, &answer);
            }
        }
        // The next one is another host, for which the connection id does not count.
        results.extend(core::iter::from_fn(|| client.poll_result()).map(|(_, result)| result));
        client = UdpTrackerClient::new(UdpTrackerConfig::default(), Rng::new(Seed::from_u64(number.into())));
    }
    assert_eq!(results.len(), 6);
    let Ok(UdpAnswer::Announce(last)) = &results[4] else { panic!("{results:?}") };
    assert_eq!(last.peers.len(), 2);
    assert_eq!((last.interval, last.counts.incomplete), (Some(Duration::from_secs(600)), Some(3)));
    let Ok(UdpAnswer::Scrape(swarms)) = &results[5] else { panic!("{results:?}") };
    assert_eq!(swarms.iter().map(|(_, counts)| counts.incomplete).collect::<Vec<_>>(), [Some(3), Some(0)]);
}
