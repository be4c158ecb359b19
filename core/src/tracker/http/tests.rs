use super::*;
use crate::bencode;
use alloc::{string::ToString, vec};
use core::net::SocketAddr;
use proptest::prelude::*;

const MAX: usize = 1000;

fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash(*b"\x12\x34\x56\x78\x9a\xbc\xde\xf1\x23\x45\x67\x89\xab\xcd\xef\x12\x34\x56\x78\x9a"),
        peer_id: *b"-RT0100-abc.def~ghi ",
        port: 6881,
        uploaded: 1,
        downloaded: 2,
        left: u64::MAX,
        event: AnnounceEvent::Started,
        peers_wanted: Some(50),
        key: Some(0xab),
        tracker_id: None,
    }
}

fn decode(body: &[u8]) -> Result<AnnounceResponse, TrackerFailure> {
    decode_announce(200, body, MAX)
}

fn garbled(body: &[u8]) -> GarbledResponse {
    match decode(body) {
        Err(TrackerFailure::Garbled(garbled)) => garbled,
        other => panic!("{other:?}"),
    }
}

fn address(text: &str) -> TrackerPeer {
    TrackerPeer::new(text.parse().unwrap())
}

#[test]
fn an_announce_is_a_url_with_everything_escaped() {
    let hash = "info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A&peer_id=-RT0100-abc.def~ghi%20";
    let rest = "&port=6881&uploaded=1&downloaded=2&left=18446744073709551615&compact=1&numwant=50&key=000000AB&event=started";
    assert_eq!(announce_url("http://t/announce", &request()), ["http://t/announce?", hash, rest].concat());
    let plain =
        AnnounceRequest { event: AnnounceEvent::None, peers_wanted: None, key: None, tracker_id: Some(b"a&b".to_vec()), ..request() };
    assert!(announce_url("http://t/announce", &plain).ends_with("&compact=1&trackerid=a%26b"));
}

#[test]
fn a_passkey_in_the_trackers_url_is_kept() {
    for (tracker, start) in [
        ("http://t/announce?passkey=1%20a", "http://t/announce?passkey=1%20a&info_hash="),
        ("http://t/announce?", "http://t/announce?info_hash="),
        ("http://t/announce?a&", "http://t/announce?a&info_hash="),
        ("http://t/key/announce#part", "http://t/key/announce?info_hash="),
        ("http://t:80", "http://t:80?info_hash="),
    ] {
        assert!(announce_url(tracker, &request()).starts_with(start), "{tracker}");
    }
}

#[test]
fn the_scrape_url_replaces_announce_after_the_last_slash_of_the_path() {
    let hashes = [InfoHash(*b"aaaaaaaaaaaaaaaaaaaa"), InfoHash([0xff; 20])];
    let with = |tracker| scrape_url(tracker, &hashes[..1]);
    let asked = "info_hash=aaaaaaaaaaaaaaaaaaaa";
    for (tracker, scrape) in [
        ("http://example.com/announce", "http://example.com/scrape?"),
        ("http://example.com/x/announce", "http://example.com/x/scrape?"),
        ("http://example.com/announce.php", "http://example.com/scrape.php?"),
        ("http://example.com/announce?x2%0644", "http://example.com/scrape?x2%0644&"),
        ("http://example.com/announce?x=2/4", "http://example.com/scrape?x=2/4&"),
        ("https://announce/announce", "https://announce/scrape?"),
        ("http://t/announce/announce", "http://t/announce/scrape?"),
    ] {
        assert_eq!(with(tracker), Some([scrape, asked].concat()), "{tracker}");
    }
    for tracker in [
        "http://example.com/a",
        "http://example.com/x%064announce",
        "http://announce",
        "http://t/announce/x",
        "http://t?/announce",
        "announce",
    ] {
        assert_eq!(with(tracker), None, "{tracker}");
    }
    assert_eq!(scrape_url("http://t/announce", &hashes), Some(["http://t/scrape?", asked, "&info_hash=", &"%FF".repeat(20)].concat()));
}

#[test]
fn a_compact_answer_of_both_families_is_read() {
    let body = [
        &b"d8:completei3e10:downloadedi9e11:external ip4:\x7f\x00\x00\x0110:incompletei4e8:intervali1800e12:min intervali60e5:peers12:"[..],
        b"\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x00\x01",
        b"6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1",
        b"10:tracker id2:xy15:warning message3:hey7:unknownlee",
    ]
    .concat();
    let response = decode(&body).unwrap();
    assert_eq!(response.peers, [address("1.2.3.4:6881"), address("5.6.7.8:1"), address("[2001:db8::1]:6881")]);
    assert_eq!((response.interval, response.min_interval), (Some(Duration::from_secs(1800)), Some(Duration::from_secs(60))));
    assert_eq!(response.tracker_id.as_deref(), Some(&b"xy"[..]));
    assert_eq!(response.warning.as_deref(), Some("hey"));
    assert_eq!(response.external_ip, Some("127.0.0.1".parse().unwrap()));
    let counts = SwarmCounts { complete: Some(3), incomplete: Some(4), downloaded: Some(9), downloaders: None };
    assert_eq!(response.counts, counts);
}

#[test]
fn peers_as_dictionaries_are_read_even_though_compact_was_asked_for() {
    let body = [
        &b"d5:peersl"[..],
        b"d2:ip7:1.2.3.47:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti6881ee",
        b"d2:ip11:2001:db8::14:porti2ee",
        b"d2:ip14:::ffff:9.8.7.64:porti3ee",
        // Names, bad ports, missing keys and other values are skipped.
        b"d2:ip11:example.com4:porti1ee",
        b"d2:ip7:1.2.3.44:porti0eed2:ip7:1.2.3.44:porti65536eed2:ip7:1.2.3.44:porti-1ee",
        b"d2:ip7:1.2.3.4edei5e",
        b"ee",
    ]
    .concat();
    let peers = decode(&body).unwrap().peers;
    let known = TrackerPeer { peer_id: Some([b'a'; 20]), ..address("1.2.3.4:6881") };
    assert_eq!(peers, [known, address("[2001:db8::1]:2"), address("9.8.7.6:3")]);
}

#[test]
fn a_compact_list_of_the_wrong_length_is_an_error() {
    assert_eq!(garbled(b"d5:peers5:12345e"), GarbledResponse::Stride(6));
    assert_eq!(garbled(b"d6:peers617:12345678901234567e"), GarbledResponse::Stride(18));
    assert_eq!(garbled(b"d5:peersi1ee"), GarbledResponse::Value("peers"));
    assert_eq!(garbled(b"d6:peers6lee"), GarbledResponse::Value("peers6"));
}

#[test]
fn peers_that_cannot_be_reached_are_dropped() {
    let response = decode(b"d5:peers18:\x01\x02\x03\x04\0\0\0\0\0\0\0\x01\xe0\0\0\x01\0\x01e").unwrap();
    assert_eq!(response.peers, []);
}

#[test]
fn more_peers_than_the_limit_are_dropped() {
    let mut body = b"d5:peers60:".to_vec();
    body.extend([1; 60]);
    body.extend(b"6:peers636:");
    body.extend([0x20; 36]);
    body.push(b'e');
    for (limit, count) in [(0, 0), (3, 3), (11, 11), (MAX, 12)] {
        assert_eq!(decode_announce(200, &body, limit).unwrap().peers.len(), count);
    }
    let list = [&b"d5:peersl"[..], &b"d2:ip7:1.2.3.44:porti1ee".repeat(50), b"ee"].concat();
    assert_eq!(decode_announce(200, &list, 7).unwrap().peers.len(), 7);
}

#[test]
fn a_failure_reason_is_the_trackers_refusal_whatever_the_status() {
    for status in [200, 400, 404] {
        let failure = decode_announce(status, b"d14:failure reason14:not registered5:peers5:12345e", MAX).unwrap_err();
        assert_eq!(failure, TrackerFailure::Refused { reason: "not registered".into(), retry: Retry::Unstated });
        assert_eq!(failure.to_string(), "the tracker refused: not registered");
    }
    let retry = |body: &[u8]| match decode(body) {
        Err(TrackerFailure::Refused { retry, .. }) => retry,
        other => panic!("{other:?}"),
    };
    assert_eq!(retry(b"d14:failure reason1:x8:retry in5:nevere"), Retry::Never);
    assert_eq!(retry(b"d14:failure reason1:x8:retry ini7ee"), Retry::After(Duration::from_secs(420)));
    assert_eq!(retry(b"d14:failure reason1:x8:retry in1:7e"), Retry::After(Duration::from_secs(420)));
    assert_eq!(retry(b"d14:failure reason1:x8:retry ini-7ee"), Retry::Unstated);
    assert_eq!(retry(b"d14:failure reasoni1ee"), Retry::Unstated);
}

#[test]
fn what_is_no_answer_gets_one_clear_line() {
    let line = |status, body: &[u8]| decode_announce(status, body, MAX).unwrap_err().to_string();
    assert_eq!(line(200, b""), "the tracker's answer is empty");
    for page in [&b"<!DOCTYPE html><html>"[..], b" \r\n<HTML>", b"\xef\xbb\xbf<?xml version", b"<html"] {
        assert_eq!(line(200, page), "the tracker answered with a web page, not bencode");
    }
    assert_eq!(line(200, b"not found"), "the tracker's answer is not bencode");
    assert_eq!(line(200, b"d8:interval"), "the tracker's answer is not bencode");
    assert_eq!(line(200, &b"l".repeat(10_000)), "the tracker's answer is not bencode");
    assert_eq!(line(200, b"i5e"), "the tracker's answer is not a dictionary");
    assert_eq!(line(404, b"<html>"), "the tracker answered HTTP status 404");
    assert_eq!(line(503, b""), "the tracker answered HTTP status 503");
    assert_eq!(line(500, b"d8:intervali1ee"), "the tracker answered HTTP status 500");
}

#[test]
fn careless_trackers_are_understood() {
    // Keys unsorted and repeated, bytes after the end, numbers negative, huge, or in strings.
    let response =
        decode(b"d5:peers6:\x01\x02\x03\x04\0\x018:interval4:18005:peers6:\x01\x02\x03\x04\0\x0212:min intervali-5ee\r\n").unwrap();
    assert_eq!(response.peers, [address("1.2.3.4:1")]);
    assert_eq!((response.interval, response.min_interval), (Some(Duration::from_secs(1800)), Some(Duration::ZERO)));
    let response = decode(b"d8:completei99999999999e10:incomplete1:x8:intervali99999999999999999999eee").unwrap();
    assert_eq!((response.counts.complete, response.counts.incomplete, response.interval), (Some(u32::MAX), None, None));
    assert_eq!(decode(b"d11:external ip5:12345e").unwrap().external_ip, None);
    assert_eq!(decode(b"de").unwrap(), AnnounceResponse::default());
}

#[test]
fn an_external_address_is_packed_bytes_of_either_family() {
    let external = |body: &[u8]| decode(body).unwrap().external_ip.unwrap().to_string();
    assert_eq!(external(b"d11:external ip4:\x01\x02\x03\x04e"), "1.2.3.4");
    assert_eq!(external(b"d11:external ip16:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01e"), "2001:db8::1");
    assert_eq!(external(b"d11:external ip16:\0\0\0\0\0\0\0\0\0\0\xff\xff\x01\x02\x03\x04e"), "1.2.3.4");
}

#[test]
fn a_trackers_words_cannot_command_a_terminal_or_fill_it() {
    assert_eq!(decode(b"d14:failure reason9:\x1b[31m\nrede").unwrap_err().to_string(), "the tracker refused: [31m red");
    let long = bencode::dictionary(|entries| entries.key(b"failure reason").bytes(&vec![0xff; 100_000]));
    assert!(decode(&long).unwrap_err().to_string().len() < 2000);
}

#[test]
fn a_scrape_answer_is_read() {
    let body = [
        &b"d5:filesd20:xxxxxxxxxxxxxxxxxxxxd8:completei11e10:downloadedi13772e10:incompletei19ee"[..],
        b"20:yyyyyyyyyyyyyyyyyyyyd8:completei21e10:downloadedi206e11:downloadersi5e10:incompletei20ee",
        // A key that is no hash and a swarm that is no dictionary are skipped.
        b"3:badde20:zzzzzzzzzzzzzzzzzzzzi1ee5:flagsd20:min_request_intervali900eee",
    ]
    .concat();
    let response = decode_scrape(200, &body, MAX).unwrap();
    let first = SwarmCounts { complete: Some(11), incomplete: Some(19), downloaded: Some(13772), downloaders: None };
    let second = SwarmCounts { complete: Some(21), incomplete: Some(20), downloaded: Some(206), downloaders: Some(5) };
    assert_eq!(response.swarms, [(InfoHash([b'x'; 20]), first), (InfoHash([b'y'; 20]), second)]);
    assert_eq!(response.min_interval, Some(Duration::from_secs(900)));
    assert_eq!(decode_scrape(200, &body, 1).unwrap().swarms.len(), 1);
    assert!(matches!(decode_scrape(200, b"d14:failure reason2:noe", MAX), Err(TrackerFailure::Refused { .. })));
    assert_eq!(decode_scrape(200, b"de", MAX), Err(TrackerFailure::Garbled(GarbledResponse::Value("files"))));
}

#[test]
fn answers_of_both_families_merge_into_one() {
    let mut v4 = decode(b"d8:completei1e8:intervali60e5:peers6:\x01\x02\x03\x04\0\x01e").unwrap();
    let v6 = decode(b"d8:completei5e11:external ip4:\x01\x02\x03\x048:intervali90e6:peers618:aaaaaaaaaaaaaaaabbe").unwrap();
    v4.merge(v6);
    assert_eq!((v4.peers.len(), v4.counts.complete, v4.interval), (2, Some(5), Some(Duration::from_secs(90))));
    assert!(v4.external_ip.is_some());
}

fn socket() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), 1..u16::MAX)
        .prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
        .prop_filter("reachable", |address| !address.ip().is_unspecified() && !address.ip().is_multicast())
}

proptest! {
    #[test]
    fn any_peers_come_back_from_both_forms(addresses in proptest::collection::vec(socket(), 0..50)) {
        let packed = |v4| {
            let mut out = Vec::new();
            addresses.iter().filter(|address| address.is_ipv4() == v4).for_each(|address| compact::encode(&mut out, *address));
            out
        };
        let body = bencode::dictionary(|entries| {
            entries.key(b"peers").bytes(&packed(true));
            entries.key(b"peers6").bytes(&packed(false));
        });
        let mut expected = addresses.clone();
        expected.sort_by_key(|address| address.is_ipv6());
        let found: Vec<_> = decode(&body).unwrap().peers.iter().map(|peer| peer.address).collect();
        prop_assert_eq!(&found, &expected);
        let body = bencode::dictionary(|entries| {
            entries.key(b"peers").list(|peers| {
                for address in &addresses {
                    peers.item().dictionary(|peer| {
                        peer.key(b"ip").str(&address.ip().to_string());
                        peer.key(b"port").unsigned(address.port().into());
                    });
                }
            });
        });
        let found: Vec<_> = decode(&body).unwrap().peers.iter().map(|peer| peer.address).collect();
        prop_assert_eq!(found, addresses);
    }

    #[test]
    fn whatever_comes_is_an_answer_or_one_line(status in 100..600_u16, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for failure in [decode_announce(status, &body, MAX).err(), decode_scrape(status, &body, MAX).err()].into_iter().flatten() {
            prop_assert!(!failure.to_string().contains('\n'));
        }
    }
}

#[test]
fn an_answer_to_something_else_is_none() {
    assert_eq!(decode_announce(200, b"d5:filesdee", MAX), Err(TrackerFailure::Garbled(GarbledResponse::NoAnnounce)));
    assert!(decode_announce(200, b"de", MAX).is_ok(), "which is what some say to who leaves");
}
