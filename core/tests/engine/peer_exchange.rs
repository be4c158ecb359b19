//! Peers tell each other of peers (BEP 11), and which client is which (BEP 20).

use crate::{
    BLOCK,
    support::{Content, Peer, World},
};
use rustor_core::{
    choices::Choices,
    command::Command,
    id::TorrentId,
    peer::{CloseReason, ProtocolError},
    torrent::PeerSource,
    wire::{
        Message, PeerId,
        extension::{Extension, ExtensionIds, ExtensionMessage, MetadataMessage, PexFlags, PexMessage, PexPeer},
    },
};
use std::net::SocketAddr;

fn content() -> Content {
    Content::new(4 * BLOCK as usize, BLOCK)
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn told(peers: &[&str]) -> ExtensionMessage {
    let added = peers.iter().map(|address| PexPeer { address: at(address), flags: PexFlags::default() }).collect();
    ExtensionMessage::PeerExchange(PexMessage { added, dropped: Vec::new() })
}

/// What a peer was told since the last call: who was added, who dropped.
fn hears(peer: &Peer) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    let messages = peer.hears_exchange();
    assert!(messages.len() <= 1, "more than one message: {messages:?}");
    let message = messages.into_iter().next().unwrap_or_default();
    (message.added.iter().map(|peer| peer.address).collect(), message.dropped)
}

fn switches(world: &World, torrent: TorrentId, peer_exchange: bool) {
    world.does(Command::Choose { torrent, choices: Box::new(Choices { peer_exchange, ..Choices::default() }) });
}

#[test]
fn a_peer_is_soon_told_who_is_connected_and_where_they_listen() {
    let (world, content) = (World::new(), content());
    world.adds(&content, |add| add.peers = vec![at("10.0.1.1:6881"), at("[2001:db8::1]:6881")]);
    world.extended_answers(&content, "10.0.1.1:6881");
    world.answers("[2001:db8::1]:6881").shakes_hands(&content);
    world.extended_joins(&content, "10.0.0.2:50000", Some(7000));
    // Of these it is not known where they listen.
    world.extended_joins(&content, "10.0.0.3:50000", None);
    world.joins(&content, "10.0.0.4:50000");
    let peer = world.extended_joins(&content, "10.0.0.5:50000", Some(8000));
    assert_eq!(hears(&peer), (vec![], vec![]));
    world.seconds(2);
    assert_eq!(hears(&peer), (vec![at("10.0.1.1:6881"), at("10.0.0.2:7000"), at("[2001:db8::1]:6881")], vec![]));
}

#[test]
fn nobody_is_told_of_itself() {
    let (world, content) = (World::new(), content());
    world.adds(&content, |add| add.peers = vec![at("10.0.1.1:6881")]);
    let outgoing = world.extended_answers(&content, "10.0.1.1:6881");
    let incoming = world.extended_joins(&content, "10.0.0.2:50000", Some(7000));
    world.seconds(2);
    assert_eq!(hears(&outgoing), (vec![at("10.0.0.2:7000")], vec![]));
    assert_eq!(hears(&incoming), (vec![at("10.0.1.1:6881")], vec![]));
}

#[test]
fn later_a_peer_hears_what_has_changed_once_a_minute_at_most() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let peer = world.extended_joins(&content, "10.0.0.1:50000", None);
    let early = world.extended_joins(&content, "10.0.0.2:50000", Some(7000));
    world.seconds(2);
    assert_eq!(hears(&peer), (vec![at("10.0.0.2:7000")], vec![]));
    let third = world.extended_joins(&content, "10.0.0.3:50000", Some(7000));
    let flicker = world.extended_joins(&content, "10.0.0.4:50000", Some(7000));
    early.ends();
    flicker.ends();
    world.seconds(59);
    assert_eq!(hears(&peer), (vec![], vec![]));
    world.seconds(1);
    assert_eq!(hears(&peer), (vec![at("10.0.0.3:7000")], vec![at("10.0.0.2:7000")]));
    // Nothing changes for long; then news need not wait for a minute.
    for _ in 0..10 {
        world.seconds(60);
        peer.says(Message::KeepAlive);
        third.says(Message::KeepAlive);
    }
    world.extended_joins(&content, "10.0.0.5:50000", Some(7000));
    world.seconds(2);
    assert_eq!(hears(&peer), (vec![at("10.0.0.5:7000")], vec![]));
}

#[test]
fn as_long_as_nothing_changes_peer_exchange_wakes_nobody() {
    let wakes = |peer_exchange: bool| {
        let (world, content) = (World::new(), content());
        world.adds(&content, |add| add.choices.peer_exchange = peer_exchange);
        let join = |number| world.extended_joins(&content, &format!("10.0.0.{number}:50000"), Some(7000));
        let peers: Vec<Peer> = (1..=20).map(join).collect();
        let mut before = 0;
        for minute in 0..30 {
            if minute == 3 {
                before = world.wakes();
            }
            // Both sides say something, so that no keep-alive is due.
            let request = || ExtensionMessage::Metadata(MetadataMessage::Request { piece: 0 });
            peers.iter().for_each(|peer| peer.says_extended(request()));
            world.seconds(60);
        }
        world.wakes() - before
    };
    assert_eq!(wakes(true), wakes(false));
}

#[test]
fn a_crowd_is_told_of_in_parts_and_lost_in_parts() {
    let (world, content) = (World::with(|config| config.limits.connections_per_torrent = 400), content());
    world.leeches(&content);
    let crowd: Vec<Peer> = (0..200).map(|number| world.extended_joins(&content, &format!("10.1.0.{number}:50000"), Some(7000))).collect();
    let peer = world.extended_joins(&content, "10.0.0.1:50000", Some(7000));
    let (mut added, mut dropped) = (Vec::new(), Vec::new());
    let mut minute = || {
        world.seconds(60);
        crowd.iter().chain([&peer]).filter(|peer| !peer.is_closed()).for_each(|peer| peer.says(Message::KeepAlive));
        let news = hears(&peer);
        let counts = (news.0.len(), news.1.len());
        added.extend(news.0);
        dropped.extend(news.1);
        counts
    };
    assert_eq!([minute(), minute(), minute(), minute()], [(100, 0), (50, 0), (50, 0), (0, 0)]);
    crowd.iter().take(120).for_each(Peer::ends);
    assert_eq!([minute(), minute(), minute(), minute()], [(0, 50), (0, 50), (0, 20), (0, 0)]);
    let expected = |count: u8| (0..count).map(|number| SocketAddr::from(([10, 1, 0, number], 7000))).collect::<Vec<_>>();
    added.sort();
    dropped.sort();
    assert_eq!((added, dropped), (expected(200), expected(120)));
}

#[test]
fn flags_tell_seeds_and_whom_we_reached() {
    let (world, content) = (World::new(), content());
    world.adds(&content, |add| add.peers = vec![at("10.0.1.1:6881"), at("10.0.1.2:6881")]);
    world.extended_answers(&content, "10.0.1.1:6881").has_all(&content);
    world.extended_answers(&content, "10.0.1.2:6881");
    world.extended_joins(&content, "10.0.0.3:50000", Some(7000)).introduces(|handshake| handshake.upload_only = Some(true));
    world.extended_joins(&content, "10.0.0.4:50000", Some(7000));
    let peer = world.extended_joins(&content, "10.0.0.5:50000", None);
    world.seconds(2);
    let mut heard: Vec<_> = peer.hears_exchange().remove(0).added.into_iter().map(|peer| (peer.address.to_string(), peer.flags)).collect();
    heard.sort();
    let expected = [
        ("10.0.0.3:7000", PexFlags::SEED),
        ("10.0.0.4:7000", PexFlags::default()),
        ("10.0.1.1:6881", PexFlags::SEED | PexFlags::REACHABLE),
        ("10.0.1.2:6881", PexFlags::REACHABLE),
    ];
    assert_eq!(heard, expected.map(|(address, flags)| (address.to_owned(), flags)));
}

#[test]
fn peers_that_a_peer_tells_of_are_tried() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = world.extended_joins(&content, "10.0.0.1:50000", None);
    peer.says_extended(told(&["10.0.1.1:6881", "[2001:db8::1]:6881", "10.0.1.1:6882", "127.0.0.1:6881", "10.0.1.2:0"]));
    let mut dials = world.dials();
    dials.sort();
    assert_eq!(dials, [at("10.0.1.1:6881"), at("[2001:db8::1]:6881")], "one for each address, and none that means us ourselves");
    world.answers("10.0.1.1:6881").shakes_hands(&content);
    let sources: Vec<_> = world.peers(torrent).iter().map(|peer| peer.source).collect();
    assert_eq!(sources, [PeerSource::Incoming, PeerSource::PeerExchange]);
}

#[test]
fn who_is_dropped_stays_connected_and_known() {
    let (world, content) = (World::new(), content());
    let torrent = world.adds(&content, |add| add.peers = vec![at("10.0.1.1:6881"), at("10.0.1.2:6881")]);
    let friend = world.extended_answers(&content, "10.0.1.1:6881");
    world.refuses("10.0.1.2:6881");
    let peer = world.extended_joins(&content, "10.0.0.1:50000", None);
    let dropped = vec![at("10.0.1.1:6881"), at("10.0.1.2:6881")];
    peer.says_extended(ExtensionMessage::PeerExchange(PexMessage { added: Vec::new(), dropped }));
    assert!(!friend.is_closed());
    assert_eq!(world.status(torrent).known_peers, 2);
}

#[test]
fn messages_that_come_too_often_are_ignored_and_then_cost_the_connection() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = world.extended_joins(&content, "10.0.0.1:50000", None);
    let mut sent = 0;
    while !peer.is_closed() {
        sent += 1;
        peer.says_extended(told(&[&format!("10.0.1.{sent}:6881")]));
    }
    assert!(sent > 3, "a few are forgiven");
    assert_eq!(peer.reason(), Some(CloseReason::Protocol(ProtocolError::PeerExchange)));
    assert_eq!(world.status(torrent).known_peers, 2);
    assert!(world.extended_joins(&content, "10.0.0.2:50000", None).connection().is_some());
}

#[test]
fn garbage_costs_the_sender_its_connection_and_nobody_else_anything() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let bystander = world.extended_joins(&content, "10.0.0.2:50000", None);
    for (number, garbage) in ["", "le", "d5:added5:12345e", "d8:dropped65:12345e", "i1e"].into_iter().enumerate() {
        let peer = world.extended_joins(&content, &format!("10.0.0.1:{}", 50000 + number), None);
        peer.says(Message::Extended { id: Extension::PeerExchange.our_id(), payload: garbage.into() });
        assert!(peer.is_closed(), "{garbage}");
    }
    assert!(!bystander.is_closed());
    assert!(world.dials().is_empty());
}

#[test]
fn strangers_cannot_crowd_out_the_peers_of_trackers() {
    let (world, content) =
        (World::with(|config| config.known_peers_limit = 20), Content::tracked(4 * BLOCK as usize, BLOCK, &[&["http://t/a"]]));
    let torrent = world.leeches(&content);
    for number in 0..4 {
        let peer = world.extended_joins(&content, &format!("10.0.0.{number}:50000"), None);
        let addresses: Vec<String> = (0..50).map(|place| format!("10.9.{number}.{place}:1")).collect();
        peer.says_extended(told(&addresses.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    assert_eq!(world.status(torrent).known_peers, 10);
    world.tracker_answers("http://t/a", &["10.0.1.1:6881", "10.0.1.2:6881"]);
    assert_eq!(world.status(torrent).known_peers, 12);
}

#[test]
fn switched_off_it_is_not_offered_and_nothing_is_heeded() {
    let (world, content) = (World::new(), content());
    world.adds(&content, |add| add.choices.peer_exchange = false);
    let peer = world.extended_joins(&content, "10.0.0.1:50000", Some(7000));
    world.extended_joins(&content, "10.0.0.2:50000", Some(7000));
    peer.says_extended(told(&["10.0.1.1:6881"]));
    let introductions = peer.hears_introductions();
    assert_eq!(introductions.len(), 1);
    assert_eq!(introductions[0].ids.mentioned(Extension::PeerExchange), None);
    world.seconds(100);
    assert_eq!(hears(&peer), (vec![], vec![]));
    assert!(world.dials().is_empty());
}

#[test]
fn it_can_be_switched_off_and_on_while_peers_are_connected() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = world.extended_joins(&content, "10.0.0.1:50000", None);
    world.extended_joins(&content, "10.0.0.2:50000", Some(7000));
    assert_eq!(peer.hears_introductions()[0].ids, ExtensionIds::OURS);
    world.seconds(2);
    assert_eq!(hears(&peer).0, [at("10.0.0.2:7000")]);

    switches(&world, torrent, false);
    assert_eq!(peer.hears_introductions()[0].ids, ExtensionIds::OURS.with(Extension::PeerExchange, 0));
    world.extended_joins(&content, "10.0.0.3:50000", Some(7000));
    peer.says_extended(told(&["10.0.1.1:6881"]));
    world.seconds(100);
    assert_eq!((hears(&peer), world.dials()), ((vec![], vec![]), vec![]));

    switches(&world, torrent, true);
    assert_eq!(peer.hears_introductions()[0].ids, ExtensionIds::OURS);
    world.seconds(2);
    assert_eq!(hears(&peer).0, [at("10.0.0.2:7000"), at("10.0.0.3:7000")]);
    switches(&world, torrent, true);
    assert!(peer.hears_extended().is_empty(), "nothing has changed");
}

#[test]
fn a_message_that_waits_to_be_written_is_not_said_once_it_is_switched_off() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = world.extended_joins(&content, "10.0.0.1:50000", None);
    world.extended_joins(&content, "10.0.0.2:50000", Some(7000));
    peer.hears();
    peer.takes_no_writes();
    // The answer to this is under way, so that the exchange has to wait.
    peer.says(Message::Interested);
    world.seconds(10);
    switches(&world, torrent, false);
    peer.takes_writes();
    let heard = peer.hears_extended();
    assert!(matches!(heard[..], [ExtensionMessage::Handshake(_)]), "{heard:?}");
}

#[test]
fn a_peer_that_does_not_want_to_be_told_is_not_told() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let (one, other) =
        (world.extended_joins(&content, "10.0.0.1:50000", Some(7000)), world.extended_joins(&content, "10.0.0.2:50000", Some(7000)));
    one.introduces(|handshake| handshake.ids = ExtensionIds::default().with(Extension::PeerExchange, 0));
    world.seconds(2);
    assert_eq!(hears(&one), (vec![], vec![]));
    assert_eq!(hears(&other).0, [at("10.0.0.1:7000")]);
    // It changes its mind.
    one.introduces(|handshake| handshake.ids = ExtensionIds::OURS);
    world.seconds(2);
    assert_eq!(hears(&one).0, [at("10.0.0.2:7000")]);
}

#[test]
fn a_peer_that_came_to_us_is_tried_where_it_listens_once_it_is_gone() {
    let (world, content) = (World::new(), content());
    let torrent = world.adds(&content, |add| add.peers = vec![at("10.0.0.1:7000")]);
    world.refuses("10.0.0.1:7000");
    let peer = world.extended_joins(&content, "10.0.0.1:50000", Some(7000));
    let other = world.extended_joins(&content, "10.0.0.2:50000", Some(7000));
    other.introduces(|handshake| handshake.listen_port = Some(7001));
    assert_eq!(world.status(torrent).known_peers, 2, "the port that it named first counts");
    world.seconds(100);
    assert!(world.dials().is_empty(), "it is connected");
    peer.ends();
    world.seconds(31);
    assert_eq!(world.dials(), [at("10.0.0.1:7000")]);
    other.ends();
    world.seconds(31);
    assert!(world.dials().contains(&at("10.0.0.2:7000")));
}

#[test]
fn two_connections_that_crossed_leave_one_and_no_further_try() {
    let id = |greater: bool| PeerId([if greater { 0xff } else { 0 }; 20]);
    for greater in [true, false] {
        let (world, content) = (World::new(), content());
        let (remote, torrent) = ("10.0.0.1:7000", world.leeches(&content));
        world.does(Command::AddPeers { torrent, peers: vec![at(remote)] });
        let incoming = world.stranger(&remote.replace("7000", "50000"));
        incoming.offers_extensions_as(&content, id(greater));
        incoming.introduces(|handshake| handshake.listen_port = Some(7000));
        let outgoing = world.answers(remote);
        outgoing.offers_extensions_as(&content, id(greater));
        assert_eq!((incoming.is_closed(), outgoing.is_closed()), (!greater, greater), "the greater id's own connection stays");
        for _ in 0..10 {
            [&incoming, &outgoing].into_iter().filter(|peer| !peer.is_closed()).for_each(|peer| peer.says(Message::KeepAlive));
            world.seconds(60);
            assert!(world.dials().is_empty());
        }
    }
}

#[test]
fn resume_data_keeps_where_peers_listen() {
    let (world, content) = (World::new(), content());
    let torrent = world.seeds(&content);
    let peer = world.extended_joins(&content, "10.0.0.1:50000", Some(7000));
    world.chooses(torrent, |choices| choices.sequential = true);
    world.seconds(60);
    assert!(!peer.is_closed());
    let saved = world.disk(|disk| disk.resume.get("folder").cloned()).expect("it was saved");
    let world = World::new();
    let torrent = world.adds(&content, |add| add.resume = Some(saved));
    assert_eq!(world.dials(), [at("10.0.0.1:7000")]);
    world.answers("10.0.0.1:7000").shakes_hands(&content);
    assert_eq!(world.peers(torrent)[0].source, PeerSource::Resume);
}

#[test]
fn peers_are_known_by_what_they_say_they_are_and_else_by_their_id() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let one = world.stranger("10.0.0.1:50000");
    one.offers_extensions_as(&content, PeerId(*b"-TR4060-abcdefghijkl"));
    let other = world.stranger("10.0.0.2:50000");
    other.shakes_hands_as(&content, PeerId([1; 20]));
    let client = |at: usize| world.peers(torrent)[at].client.clone();
    assert_eq!((client(0).as_deref(), client(1)), (Some("Transmission 4.0.6"), None));
    one.introduces(|handshake| handshake.client = Some("Something 7".into()));
    assert_eq!(client(0).as_deref(), Some("Something 7"));
}
