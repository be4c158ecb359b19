//! Recordings without addresses: the world is spoken to as ever, the recording knows none of it, and its replay is exact.

use crate::{
    BLOCK,
    support::{Content, World},
};
use bytes::Bytes;
use rustor_core::{
    command::{Command, TorrentSource},
    engine::Engine,
    event::Event,
    input::Input,
    record::{AddressMask, Replay},
    rng::Seed,
    time::Instant,
    tracker::{
        AnnounceResponse, TrackerPeer,
        udp::{Request, Response},
    },
    wire::{
        Message,
        extension::{ExtensionMessage, PexFlags, PexMessage, PexPeer},
    },
};
use std::net::{IpAddr, SocketAddr};

const HTTP: &str = "http://tracker.example:8080/0123456789abcdef0123/announce?passkey=fedcba9876543210fedc";
const UDP: &str = "udp://udp.example:6969/announce?key=secretsecret";
const OWNERS: &str = "81.2.69.11:6881";
const TRACKERS: &str = "81.2.69.22:6881";
const DICTIONARY: &str = "81.2.69.33:6881";
const UDP_TRACKER: &str = "81.2.69.44:6969";
const UDP_TRACKERS: &str = "81.2.69.55:6881";
const EXCHANGED: &str = "81.2.69.66:6881";
const SIX: &str = "[2a00:1450:4001:81b::200e]:6881";
const INCOMING: &str = "81.2.69.77:50000";
const OURS: &str = "81.2.69.88";

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn mask() -> Option<AddressMask> {
    Some(AddressMask::new(Seed::from_u64(3)))
}

fn contains(recording: &[u8], part: &[u8]) -> bool {
    recording.windows(part.len()).any(|window| window == part)
}

/// That none of the addresses and names that stand for the world of these tests is in a recording, in any form.
fn tells_nothing(recording: &[u8]) {
    for address in [OWNERS, TRACKERS, DICTIONARY, UDP_TRACKER, UDP_TRACKERS, EXCHANGED, SIX, INCOMING].map(at) {
        let (text, octets) = match address.ip() {
            IpAddr::V4(ip) => (ip.to_string(), ip.octets().to_vec()),
            IpAddr::V6(ip) => (ip.to_string(), ip.octets().to_vec()),
        };
        assert!(!contains(recording, text.as_bytes()) && !contains(recording, &octets), "{address}");
    }
    let IpAddr::V4(ours) = OURS.parse().unwrap() else { panic!("IPv4") };
    assert!(!contains(recording, &ours.octets()), "our own address");
    for secret in ["example", "0123456789abcdef", "fedcba9876543210", "secretsecret"] {
        assert!(!contains(recording, secret.as_bytes()), "{secret}");
    }
}

/// That the engine says the same again when it is told what was recorded; how it stands then.
fn replays(recording: Bytes) -> Engine {
    let mut rerun = Replay::new(recording.clone()).expect("a recording").rerun();
    rerun.advance(Instant::MAX, |_, _| {}).expect("the same again");
    assert!(rerun.checkpoints() > 0);
    rerun.into_engine()
}

#[test]
fn peers_are_met_at_their_addresses_wherever_these_came_from() {
    let content = Content::tracked(8 * BLOCK as usize, BLOCK, &[&[HTTP], &[UDP]]);
    let world = World::recorded(mask());
    let torrent = world.adds(&content, |add| add.peers = vec![at(OWNERS)]);

    // Trackers are asked at their real URLs, and what they name is called.
    let announces = world.announces();
    let announce = announces.iter().find(|announce| announce.url.starts_with(HTTP)).expect("an announce");
    assert_eq!(announce.parameter("passkey"), Some("fedcba9876543210fedc"));
    assert_eq!(announce.event(), Some("started"));
    let body =
        format!("d8:intervali1800e5:peersld2:ip10:81.2.69.334:porti6881eed2:ip7:a.b.com4:porti1eee15:warning message20:ask {OURS} first");
    world.tracker_says(HTTP, (body + "e").into());
    let [(resolve, host, port)] = &world.takes_look_ups()[..] else { panic!("one name") };
    assert_eq!((host.as_str(), *port), ("udp.example", 6969));
    world.input(Input::Resolved { resolve: *resolve, result: Ok(vec![at(UDP_TRACKER)]) });
    let sent = |world: &World| {
        let [(_, to, payload)] = &world.datagrams()[..] else { panic!("one datagram") };
        assert_eq!(*to, at(UDP_TRACKER));
        Request::decode(payload).expect("a request")
    };
    let (Request::Connect, transaction) = sent(&world) else { panic!("a connect") };
    let from = |response: Response, transaction| Input::Datagram { remote: at(UDP_TRACKER), payload: response.encode(transaction).into() };
    world.input(from(Response::Connect(5), transaction));
    let (Request::Announce { url_data, .. }, transaction) = sent(&world) else { panic!("an announce") };
    assert_eq!(url_data, b"/announce?key=secretsecret");
    let response = AnnounceResponse { peers: vec![TrackerPeer::new(at(UDP_TRACKERS))], ..AnnounceResponse::default() };
    world.input(from(Response::Announce(response), transaction));
    let mut dials = world.dials();
    dials.sort();
    assert_eq!(dials, [OWNERS, DICTIONARY, UDP_TRACKERS].map(at));
    let warned =
        |event: &Event| matches!(event, Event::TrackerReplied { url, warning: Some(warning), .. } if url == HTTP && warning.contains(OURS));
    assert_eq!(world.count_events(warned), 1, "the owner is told what the tracker said");

    // Peers tell of peers, in both directions.
    let owners = world.answers(OWNERS);
    owners.offers_extensions(&content);
    owners.introduces(|hello| hello.your_ip = Some(OURS.parse().unwrap()));
    owners.has_all(&content);
    let peer = |address: &str| PexPeer { address: at(address), flags: PexFlags::default() };
    owners.says_extended(ExtensionMessage::PeerExchange(PexMessage { added: vec![peer(EXCHANGED), peer(SIX)], dropped: vec![] }));
    assert!([EXCHANGED, SIX].iter().all(|address| world.dials().contains(&at(address))));
    let incoming = world.extended_joins(&content, INCOMING, Some(7000));
    world.seconds(2);
    let heard = incoming.hears_extended();
    assert!(heard.iter().any(|said| matches!(said, ExtensionMessage::Handshake(hello) if hello.your_ip == Some(at(INCOMING).ip()))));
    let told = |said: &ExtensionMessage| matches!(said, ExtensionMessage::PeerExchange(told) if told.added[0].address == at(OWNERS));
    assert!(heard.iter().any(told), "{heard:?}");

    assert!(world.peers(torrent).iter().any(|peer| peer.remote == at(OWNERS)));

    // And blocks come.
    owners.says(Message::Unchoke);
    owners.serves(&content);
    assert_eq!(world.count_events(|event| matches!(event, Event::Finished { .. })), 1);

    let recording = world.recording();
    tells_nothing(&recording);
    let engine = replays(recording);
    assert_eq!(engine.torrents()[0].pieces_verified, 8);
    let [leecher] = &engine.peers(engine.torrents()[0].torrent)[..] else { panic!("whoever still wants something is still there") };
    assert!(leecher.remote != at(INCOMING) && leecher.remote.port() == at(INCOMING).port());
}

#[test]
fn resume_data_on_disk_is_the_real_one_and_comes_back() {
    let content = Content::tracked(4 * BLOCK as usize, BLOCK, &[&[HTTP]]);
    let old = World::recorded(mask());
    old.adds(&content, |add| add.peers = vec![at(OWNERS)]);
    old.tracker_says(HTTP, Bytes::from_static(b"d8:intervali1800e5:peers0:10:tracker id2:mee"));
    let peer = old.answers(OWNERS);
    peer.shakes_hands(&content);
    peer.says_all([content.bitfield([1]), Message::Unchoke]);
    peer.serves(&content);
    old.does(Command::ShutDown);
    let resume = old.disk(|disk| disk.resume["folder"].clone());
    assert!(contains(&resume, HTTP.as_bytes()), "a session without a mask can go on with it");
    tells_nothing(&old.recording());

    let world = World::recorded(Some(AddressMask::new(Seed::from_u64(4))));
    let files = old.disk(|disk| disk.files.clone());
    world.disk(|disk| disk.files = files);
    let torrent = world.adds(&content, |add| add.resume = Some(resume.clone()));
    assert_eq!(world.status(torrent).pieces_verified, 1);
    assert_eq!(world.dials(), [at(OWNERS)]);
    assert_eq!(world.announced(HTTP).parameter("trackerid"), Some("me"));
    let recording = world.recording();
    tells_nothing(&recording);
    replays(recording);
}

#[test]
fn a_magnet_links_peers_and_trackers_are_masked() {
    let content = Content::new(4 * BLOCK as usize, BLOCK);
    let world = World::recorded(mask());
    let link = format!("magnet:?xt=urn:btih:{}&tr={HTTP}&x.pe=peer.example:1&x.pe={OWNERS}&x.secret=example", content.info_hash());
    let link = link.replace("?passkey=", "%3Fpasskey%3D");
    let source: TorrentSource = link.parse::<rustor_core::metainfo::Magnet>().expect("a link").into();
    world.adds(&content, |add| add.source = source);
    let mut names: Vec<_> = world.look_ups().into_iter().map(|(_, host, _)| host).collect();
    names.sort();
    assert_eq!(names, ["81.2.69.11", "peer.example"]);
    world.tracker_says(HTTP, Bytes::from_static(b"d14:failure reason37:no such torrent at tracker.example:80e"));
    let failed = |event: &Event| matches!(event, Event::TrackerFailed { reason, .. } if reason.contains("tracker.example"));
    assert_eq!(world.count_events(failed), 1);
    let recording = world.recording();
    tells_nothing(&recording);
    replays(recording);
}

#[test]
fn without_a_mask_addresses_stand_in_a_recording() {
    let content = Content::tracked(4 * BLOCK as usize, BLOCK, &[&[HTTP]]);
    let world = World::recorded(None);
    world.adds(&content, |add| add.peers = vec![at(OWNERS)]);
    let recording = world.recording();
    assert!(contains(&recording, &[81, 2, 69, 11]) && contains(&recording, HTTP.as_bytes()));
    replays(recording);
}
