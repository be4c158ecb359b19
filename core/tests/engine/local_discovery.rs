//! Peers of the same network find each other by multicast (BEP 14), but not those of private torrents (BEP 27).

use crate::{
    BLOCK,
    support::{Content, Peer, World, handshake},
};
use proptest::prelude::*;
use rustor_core::{
    action::Action,
    choices::Choices,
    command::{AddTorrent, Command, TorrentSource},
    config::Config,
    engine::Engine,
    id::TorrentId,
    input::Input,
    local_discovery::{LOCAL_GROUPS, LocalAnnounce},
    metainfo::{InfoHash, Magnet},
    rng::Seed,
    time::{Duration, Instant},
    wire::{
        Handshake, Message, Reserved,
        extension::{Extension, ExtensionHandshake, ExtensionIds, ExtensionMessage, MetadataMessage},
    },
};
use std::net::SocketAddr;

fn content() -> Content {
    Content::new(4 * BLOCK as usize, BLOCK)
}

/// A torrent of its own for each number.
fn numbered(number: usize) -> Content {
    Content::new(number * BLOCK as usize, BLOCK)
}

fn private() -> Content {
    Content::private(4 * BLOCK as usize, BLOCK, &[&["http://tracker.test/announce"]])
}

/// What was announced over IPv4 since the last call, and when.
fn announced(world: &World) -> Vec<(Instant, LocalAnnounce)> {
    let heard = world.multicasts().into_iter().filter(|(_, group, _)| group.is_ipv4());
    heard.map(|(at, _, payload)| (at, LocalAnnounce::parse(&payload).expect("an announce"))).collect()
}

/// How many seconds after the world's begin, and of which torrents, announces came.
fn times(world: &World, begin: Instant) -> Vec<(u64, Vec<InfoHash>)> {
    announced(world).into_iter().map(|(at, announce)| (at.since(begin).as_secs(), announce.info_hashes)).collect()
}

/// Somebody announces the torrent.
fn hears(world: &World, from: &str, info_hash: InfoHash, cookie: Option<&str>) {
    let announce = LocalAnnounce { port: 7000, info_hashes: vec![info_hash], cookie: cookie.map(ToOwned::to_owned) };
    world.input(Input::Multicast { remote: from.parse().unwrap(), payload: announce.encode(LOCAL_GROUPS[0]).into() });
}

fn without_local_discovery() -> Choices {
    Choices { local_discovery: false, ..Choices::default() }
}

#[test]
fn a_torrent_is_announced_as_soon_as_it_is_ready_and_then_every_five_minutes() {
    let (world, content) = (World::new(), content());
    let begin = world.now();
    world.disk_holds();
    world.leeches(&content);
    world.seconds(3);
    assert!(world.multicasts().is_empty(), "nobody could be served yet");
    world.disk_catches_up();
    world.seconds(700);
    let announces = announced(&world);
    assert_eq!(announces.iter().map(|(at, _)| at.since(begin).as_secs()).collect::<Vec<_>>(), [3, 303, 603]);
    assert!(announces.iter().all(|(_, announce)| announce.port == 6881 && announce.info_hashes == [content.info_hash()]));
}

#[test]
fn many_torrents_are_announced_at_most_once_a_minute() {
    let world = World::new();
    let begin = world.now();
    let contents: Vec<Content> = (1..=3).map(numbered).collect();
    for content in &contents {
        world.leeches(content);
        world.seconds(1);
    }
    let hashes: Vec<InfoHash> = contents.iter().map(Content::info_hash).collect();
    let mut later = hashes[1..].to_vec();
    later.sort();
    world.seconds(357);
    assert_eq!(times(&world, begin), [(0, vec![hashes[0]]), (60, hashes[1..].to_vec()), (300, vec![hashes[0]])]);
    world.seconds(5);
    assert_eq!(times(&world, begin), [(360, later)]);
}

#[test]
fn both_families_are_announced_to_where_we_listen_on_both() {
    let (world, content) = (World::new(), content());
    world.input(Input::Listening("[::]:6882".parse().unwrap()));
    world.leeches(&content);
    world.seconds(1);
    let heard = world.multicasts();
    assert_eq!(heard.iter().map(|(_, group, _)| *group).collect::<Vec<_>>(), LOCAL_GROUPS);
    let ports: Vec<u16> = heard.iter().map(|(_, _, payload)| LocalAnnounce::parse(payload).unwrap().port).collect();
    assert_eq!(ports, [6881, 6882]);
}

#[test]
fn who_cannot_be_reached_from_the_network_does_not_announce() {
    // Every world listens on all addresses, so this is an engine by itself.
    let mut engine = Engine::new(Config::default(), Seed::from_u64(1), Instant::ZERO);
    let mut now = Instant::ZERO;
    let magnet: Magnet = "magnet:?xt=urn:btih:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d".parse().unwrap();
    let add = AddTorrent::new(TorrentSource::Magnet(magnet), "folder");
    engine.command(now, Command::Add(Box::new(add))).unwrap();
    engine.handle(now, Input::Listening("127.0.0.1:6881".parse().unwrap()));
    let says = |engine: &mut Engine| {
        let actions = std::iter::from_fn(|| engine.poll_action());
        actions.filter(|action| matches!(action, Action::Multicast { .. })).count()
    };
    for _ in 0..10 {
        now += Duration::from_secs(60);
        engine.handle(now, Input::Timeout);
        assert_eq!(says(&mut engine), 0);
    }
    // Once it can be reached, it does, in the family in which it can.
    engine.handle(now, Input::Listening("[::]:6881".parse().unwrap()));
    engine.handle(now + Duration::from_secs(1), Input::Timeout);
    assert_eq!(says(&mut engine), 1);
}

#[test]
fn what_stands_still_is_not_announced() {
    let (world, content) = (World::new(), content());
    let torrent = world.seeds(&content);
    world.seconds(1);
    assert_eq!(announced(&world).len(), 1);
    world.does(Command::Pause(torrent));
    world.seconds(1000);
    hears(&world, "192.168.1.7:6771", content.info_hash(), None);
    assert_eq!((announced(&world).len(), world.dials()), (0, vec![]));
    world.does(Command::Resume(torrent));
    world.seconds(1);
    assert_eq!(announced(&world).len(), 1);
    world.does(Command::Remove { torrent, delete_data: false });
    world.seconds(1000);
    assert!(announced(&world).is_empty() && !world.is_listed(torrent));
}

#[test]
fn who_is_heard_is_connected_to() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    hears(&world, "192.168.1.7:6771", content.info_hash(), Some("another"));
    assert_eq!(world.dials(), ["192.168.1.7:7000".parse().unwrap()], "the address is the datagram's, the port is what it says");
    let peer = world.answers("192.168.1.7:7000");
    peer.shakes_hands(&content);
    peer.has_all(&content);
    peer.says(Message::Unchoke);
    peer.serves(&content);
    assert_eq!(world.status(torrent).verified, 4 * u64::from(BLOCK));
    // Announced again, it is the same peer.
    hears(&world, "192.168.1.7:6771", content.info_hash(), Some("another"));
    assert_eq!((world.dials(), world.status(torrent).known_peers), (vec![], 1));
}

#[test]
fn a_peer_of_one_link_is_reached_through_that_link() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    hears(&world, "[fe80::7%3]:6771", content.info_hash(), None);
    assert_eq!(world.dials(), ["[fe80::7%3]:7000".parse().unwrap()]);
}

#[test]
fn our_own_announce_is_known_by_its_cookie() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    world.seconds(1);
    let (_, _, payload) = world.multicasts().remove(0);
    world.input(Input::Multicast { remote: "192.168.1.2:6771".parse().unwrap(), payload });
    assert!(world.dials().is_empty());
}

#[test]
fn announces_of_torrents_that_are_not_ours_and_garbage_are_ignored() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    hears(&world, "192.168.1.7:6771", InfoHash([3; 20]), None);
    for payload in [&b""[..], b"BT-SEARCH * HTTP/1.1\r\n", b"\xff\xff", &[b'x'; 3000]] {
        world.input(Input::Multicast { remote: "192.168.1.7:6771".parse().unwrap(), payload: payload.into() });
    }
    // Nor is what was sent to us alone.
    let announce = LocalAnnounce { port: 7000, info_hashes: vec![content.info_hash()], cookie: None };
    world.input(Input::Datagram { remote: "192.168.1.7:6771".parse().unwrap(), payload: announce.encode(LOCAL_GROUPS[0]).into() });
    assert!(world.dials().is_empty());
}

#[test]
fn private_torrents_are_neither_announced_nor_heard_of() {
    let (world, content) = (World::new(), private());
    let torrent = world.leeches(&content);
    hears(&world, "192.168.1.7:6771", content.info_hash(), None);
    world.seconds(1000);
    assert_eq!((world.multicasts().len(), world.status(torrent).known_peers), (0, 0));
}

#[test]
fn the_owner_may_say_no_and_change_their_mind() {
    let (world, content) = (World::new(), content());
    let torrent = world.adds(&content, |add| add.choices = without_local_discovery());
    world.seconds(400);
    hears(&world, "192.168.1.7:6771", content.info_hash(), None);
    assert_eq!((world.multicasts().len(), world.dials().len()), (0, 0));
    world.does(Command::Choose { torrent, choices: Box::default() });
    world.seconds(1);
    assert_eq!(announced(&world).len(), 1);
    world.does(Command::Choose { torrent, choices: Box::new(without_local_discovery()) });
    world.seconds(400);
    hears(&world, "192.168.1.7:6771", content.info_hash(), None);
    assert_eq!((world.multicasts().len(), world.dials().len()), (0, 0));
}

#[test]
fn a_configuration_without_it_is_silent_and_deaf() {
    let (world, content) = (World::with(|config| config.local_discovery = None), content());
    world.leeches(&content);
    hears(&world, "192.168.1.7:6771", content.info_hash(), None);
    world.seconds(400);
    assert_eq!((world.multicasts().len(), world.dials().len()), (0, 0));
}

fn adds_magnet(world: &World, content: &Content) -> TorrentId {
    let magnet: Magnet = format!("magnet:?xt=urn:btih:{}", content.info_hash()).parse().unwrap();
    world.adds(content, |add| add.source = TorrentSource::Magnet(magnet))
}

/// The peer at `remote`, which was dialed, gives the metadata.
fn gives_metadata(world: &World, content: &Content, remote: &str) -> Peer {
    let peer = world.answers(remote);
    let hello = Handshake { reserved: Reserved::default().with_extension(), ..handshake(content, remote.parse().unwrap()) };
    peer.says_bytes(hello.encode().to_vec());
    let info = content.metainfo().info.raw().clone();
    let ids = ExtensionIds::OURS;
    let known = ExtensionHandshake { ids, metadata_size: Some(info.len() as u32), ..ExtensionHandshake::default() };
    peer.says(ExtensionMessage::Handshake(Box::new(known)).encode(&ids).unwrap());
    let asked = peer.hears().into_iter().any(|message| {
        let Message::Extended { id, payload } = message else { return false };
        let message = ExtensionMessage::parse(id, &payload);
        id == ids.get(Extension::Metadata).unwrap()
            && matches!(message, Ok(Some(ExtensionMessage::Metadata(MetadataMessage::Request { piece: 0 }))))
    });
    assert!(asked, "the metadata is asked for");
    let data = MetadataMessage::Data { piece: 0, total_size: Some(info.len() as u32), data: info };
    peer.says(ExtensionMessage::Metadata(data).encode(&ids).unwrap());
    peer
}

#[test]
fn a_magnet_link_is_announced_and_goes_on_being_so_with_its_metadata() {
    let (world, content) = (World::new(), content());
    let begin = world.now();
    adds_magnet(&world, &content);
    hears(&world, "192.168.1.7:6771", content.info_hash(), None);
    let peer = gives_metadata(&world, &content, "192.168.1.7:7000");
    for _ in 0..4 {
        world.seconds(100);
        peer.says(Message::KeepAlive);
    }
    assert_eq!(times(&world, begin), [(0, vec![content.info_hash()]), (300, vec![content.info_hash()])]);
    assert!(!peer.is_closed());
}

#[test]
fn a_magnet_link_that_turns_out_to_be_private_falls_silent_and_forgets_whom_it_heard() {
    let (world, content) = (World::new(), private());
    let torrent = adds_magnet(&world, &content);
    for host in [7, 8] {
        hears(&world, &format!("192.168.1.{host}:6771"), content.info_hash(), None);
    }
    world.seconds(1);
    assert_eq!(announced(&world).len(), 1);
    let peer = gives_metadata(&world, &content, "192.168.1.7:7000");
    assert!(peer.is_closed());
    assert_eq!(world.status(torrent).known_peers, 0);
    hears(&world, "192.168.1.9:6771", content.info_hash(), None);
    world.seconds(1000);
    assert_eq!((world.multicasts().len(), world.dials().len(), world.status(torrent).known_peers), (0, 0, 0));
}

/// What may happen around a torrent.
#[derive(Clone, Debug)]
enum Step {
    Hear(u8),
    Pause,
    Resume,
    Recheck,
    Choose(bool),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<u8>().prop_map(Step::Hear),
        Just(Step::Pause),
        Just(Step::Resume),
        Just(Step::Recheck),
        any::<bool>().prop_map(Step::Choose),
        (0..500u16).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_announces_keep_their_distance_and_private_torrents_leak_nothing(steps in proptest::collection::vec(step(), 0..30)) {
        let (world, public, private) = (World::new(), content(), private());
        let (one, other) = (world.leeches(&public), world.leeches(&private));
        let both = |command: fn(TorrentId) -> Command| [one, other].into_iter().for_each(|torrent| world.does(command(torrent)));
        for step in steps {
            match step {
                Step::Hear(host) => {
                    hears(&world, &format!("192.168.1.{host}:6771"), private.info_hash(), None);
                    hears(&world, &format!("192.168.2.{host}:6771"), public.info_hash(), None);
                }
                Step::Pause => both(Command::Pause),
                Step::Resume => both(Command::Resume),
                Step::Recheck => both(Command::Recheck),
                Step::Choose(local_discovery) => {
                    for torrent in [one, other] {
                        let choices = Choices { local_discovery, ..Choices::default() };
                        world.does(Command::Choose { torrent, choices: choices.into() });
                    }
                }
                Step::Wait(seconds) => world.seconds(seconds.into()),
            }
        }
        let announces = announced(&world);
        prop_assert!(announces.iter().all(|(_, announce)| announce.info_hashes == [public.info_hash()]));
        prop_assert!(announces.windows(2).all(|pair| pair[1].0.since(pair[0].0).as_secs() >= 60));
        prop_assert_eq!(world.status(other).known_peers, 0);
        let leaked = |dial: &SocketAddr| dial.to_string().starts_with("192.168.1.");
        prop_assert!(!world.dials().iter().any(leaked));
    }
}
