use super::*;
use crate::tracker::{
    TrackerFailure,
    http::{announce_url, decode_announce, decode_scrape, scrape_url},
};
use proptest::prelude::*;

const ME: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(1, 2, 3, 4));
const BASE: &str = "/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=6881&left=1";

fn tracker() -> TrackerServer {
    TrackerServer::new(TrackerServerConfig::default(), Seed::from_u64(1))
}

fn get(tracker: &mut TrackerServer, ip: &str, target: &str) -> Vec<u8> {
    let reply = tracker.handle_http(Instant::ZERO, ip.parse().unwrap(), target);
    assert_eq!(reply.status, 200);
    reply.body
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_announce_is_answered_in_compact_form_unless_the_asker_wants_another() {
    let mut tracker = tracker();
    get(&mut tracker, "10.0.0.1", BASE);
    get(&mut tracker, "2001:db8::1", &BASE.replace("bbb", "ccc"));
    let asker = BASE.replace("bbb", "ddd");
    let compact = get(&mut tracker, "10.0.0.2", &asker);
    assert_eq!(
        compact,
        [
            &b"d8:completei0e10:downloadedi0e11:downloadersi3e11:external ip4:\x0a\x00\x00\x0210:incompletei3e8:intervali600e"[..],
            b"12:min intervali60e5:peers6:\x0a\x00\x00\x01\x1a\xe16:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1e",
        ]
        .concat()
    );
    let dictionaries = text(&get(&mut tracker, "10.0.0.2", &[&asker, "&compact=0"].concat()));
    assert!(dictionaries.contains("d2:ip8:10.0.0.17:peer id20:bbbbbbbbbbbbbbbbbbbb4:porti6881ee"), "{dictionaries}");
    assert!(dictionaries.contains("2:ip11:2001:db8::1"), "{dictionaries}");
    let bare = text(&get(&mut tracker, "10.0.0.2", &[&asker, "&compact=0&no_peer_id=1"].concat()));
    assert!(!bare.contains("peer id"), "{bare}");
}

#[test]
fn an_asker_of_ipv6_learns_its_address_in_16_bytes() {
    let body = get(&mut tracker(), "2001:db8::7", BASE);
    assert_eq!(decode_announce(200, &body, 9).unwrap().external_ip, Some("2001:db8::7".parse().unwrap()));
}

#[test]
fn bad_requests_get_a_reason() {
    for (target, reason) in [
        ("/announce", "info_hash is missing"),
        ("/announce?info_hash=aaaaaaaaaaaaaaaaaaaa", "peer_id is missing"),
        ("/announce?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb", "port is missing"),
        ("/announce?info_hash=aaaaaaaaaaaaaaaaaaa", "info_hash is not 20 bytes, percent-encoded"),
        ("/announce?info_hash=%zzaaaaaaaaaaaaaaaaaaa", "info_hash is not 20 bytes, percent-encoded"),
        ("/announce?peer_id=", "peer_id is not 20 bytes, percent-encoded"),
        ("/announce?port=65536", "port is not a number in its range"),
        ("/announce?left=x", "left is not a number in its range"),
        ("/scrape", "info_hash is missing: this tracker does not list all its torrents"),
        ("/scrape?info_hash=a", "info_hash is not 20 bytes, percent-encoded"),
    ] {
        let body = get(&mut tracker(), "10.0.0.1", target);
        match decode_announce(200, &body, 9) {
            Err(TrackerFailure::Refused { reason: found, .. }) => assert_eq!(found, reason, "{target}"),
            other => panic!("{target}: {other:?}"),
        }
    }
    assert_eq!(tracker().handle_http(Instant::ZERO, ME, "/favicon.ico").status, 404);
}

#[test]
fn what_clients_really_send_is_understood() {
    let mut tracker = tracker();
    get(&mut tracker, "10.0.0.1", BASE);
    let asker = BASE.replace("bbb", "ccc");
    for odd in ["&numwant=-1", "&event=", "&event=unknown", "&key=", "&left=-1", "&ip=8.8.8.8", "&&&", "&x", "&supportcrypto=1"] {
        let body = get(&mut tracker, "10.0.0.2", &[&asker, odd].concat());
        assert_eq!(decode_announce(200, &body, 9).unwrap().peers.len(), 1, "{odd}");
    }
    assert_eq!(tracker.totals().peers, 2);
}

#[test]
fn keys_of_any_form_are_told_apart() {
    assert_eq!(key_of(b"0000ABCD"), 0xabcd);
    assert_eq!(key_of(b"abcd"), 0xabcd);
    assert_ne!(key_of(b"hUd0kK3n"), key_of(b"hUd0kK3m"));
    assert_ne!(key_of(b"0123456789abcdef"), key_of(b"0123456789abcdee"));
}

#[test]
fn a_scrape_answers_about_several_torrents_and_leaves_out_unknown_ones() {
    let mut tracker = tracker();
    get(&mut tracker, "10.0.0.1", BASE);
    get(&mut tracker, "10.0.0.2", &BASE.replace("left=1", "left=0").replace("aaa", "\u{7f}aa"));
    let known = InfoHash([b'a'; 20]);
    let hashes = [known, InfoHash([0; 20]), known];
    let url = scrape_url("http://t/announce", &hashes).unwrap();
    let body = get(&mut tracker, "10.0.0.9", url.strip_prefix("http://t").unwrap());
    let response = decode_scrape(200, &body, 9).unwrap();
    let counts = SwarmCounts { complete: Some(0), incomplete: Some(1), downloaded: Some(0), downloaders: Some(1) };
    assert_eq!(response.swarms, [(known, counts)]);
}

#[test]
fn people_see_how_much_is_tracked() {
    let mut tracker = tracker();
    get(&mut tracker, "10.0.0.1", BASE);
    assert_eq!(text(&get(&mut tracker, "10.0.0.1", "/stats")), "{\"torrents\":1,\"peers\":1}\n");
    tracker.handle_http(Instant::MAX, ME, "/stats");
    assert_eq!(tracker.totals().peers, 0);
}

fn requests() -> impl Strategy<Value = AnnounceRequest> {
    let events = prop::sample::select(alloc::vec![
        AnnounceEvent::None,
        AnnounceEvent::Started,
        AnnounceEvent::Completed,
        AnnounceEvent::Stopped,
        AnnounceEvent::Paused,
    ]);
    let tracker_ids = prop::option::of(prop::collection::vec(any::<u8>(), 1..20));
    let ids = (any::<[u8; 20]>(), any::<[u8; 20]>(), any::<u16>());
    (ids, any::<[u64; 3]>(), events, any::<Option<u32>>(), any::<Option<u32>>(), tracker_ids).prop_map(
        |((info_hash, peer_id, port), [uploaded, downloaded, left], event, peers_wanted, key, tracker_id)| AnnounceRequest {
            info_hash: InfoHash(info_hash),
            peer_id,
            port,
            uploaded,
            downloaded,
            left,
            event,
            peers_wanted,
            key,
            tracker_id,
        },
    )
}

proptest! {
    #[test]
    fn what_the_client_asks_is_what_the_tracker_hears(request in requests()) {
        let url = announce_url("http://t/announce?passkey=1", &request);
        let query = parse_announce(url.split_once('?').unwrap().1).unwrap();
        prop_assert_eq!(query.request, request);
        prop_assert_eq!(query.form, Form::Compact);
    }

    #[test]
    fn what_the_tracker_answers_is_what_the_client_reads(requests in prop::collection::vec((any::<IpAddr>(), requests()), 1..30)) {
        let mut tracker = tracker();
        for (ip, request) in requests {
            let request = AnnounceRequest { info_hash: InfoHash([1; 20]), ..request };
            let answer = tracker.announce(Instant::ZERO, ip, &request, Families::Both);
            let Ok(mut answer) = answer else { continue };
            let read = |form| decode_announce(200, &encode_announce(&answer, form), 1000).unwrap();
            let whole = read(Form::Dictionaries { peer_ids: true });
            let compact = read(Form::Compact);
            answer.peers.retain(|peer| !peer.address.ip().is_unspecified() && !peer.address.ip().is_multicast());
            prop_assert_eq!(whole, answer.clone());
            answer.peers.iter_mut().for_each(|peer| peer.peer_id = None);
            answer.peers.sort_by_key(|peer| peer.address.is_ipv6());
            prop_assert_eq!(compact, answer);
        }
    }

    #[test]
    fn any_target_gets_an_answer(target in "(/(announce|scrape)\\?)?[ -~]{0,60}", more in ".{0,40}") {
        let mut tracker = tracker();
        let reply = tracker.handle_http(Instant::ZERO, ME, &[target, more].concat());
        prop_assert!(reply.status == 404 || bencode::decode(&reply.body).is_ok() || reply.content_type != TEXT);
    }
}
