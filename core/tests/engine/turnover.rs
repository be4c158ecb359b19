//! Which connections are kept: useless ones make room for others, useful ones never do, and nothing flaps.

use crate::{
    BLOCK,
    support::{Content, Peer, World},
};
use rustor_core::{
    command::Command,
    config::Limits,
    input::Input,
    peer::{CloseReason, canonical_priority},
    time::Duration,
    wire::{
        Message,
        extension::{ExtensionMessage, PexFlags, PexMessage, PexPeer},
    },
};
use std::{cmp::Reverse, net::SocketAddr};

fn content() -> Content {
    Content::new(400 * BLOCK as usize, 4 * BLOCK)
}

/// A world with room for so many connections of a torrent.
fn room(connections: u32) -> (World, Content) {
    (World::with(|config| config.limits.connections_per_torrent = connections), content())
}

fn joins(world: &World, content: &Content, numbers: std::ops::RangeInclusive<u8>) -> Vec<Peer> {
    numbers.map(|number| world.joins(content, &format!("10.0.0.{number}:5000"))).collect()
}

fn minutes(world: &World, peers: &[Peer], minutes: u32) {
    for _ in 0..minutes {
        world.seconds(60);
        peers.iter().filter(|peer| !peer.is_closed()).for_each(|peer| peer.says(Message::KeepAlive));
    }
}

fn closed(peers: &[Peer]) -> usize {
    peers.iter().filter(|peer| peer.is_closed()).count()
}

#[test]
fn who_was_never_of_use_makes_room_after_five_minutes() {
    let (world, content) = room(3);
    world.leeches(&content);
    // Seeds, which never unchoke us.
    let useless: Vec<Peer> = (1..=3).map(|number| world.seed_joins(&content, &format!("10.0.0.{number}:5000"))).collect();
    minutes(&world, &useless, 4);
    assert!(world.joins(&content, "10.0.1.1:5000").is_closed(), "nobody has to go so soon");
    minutes(&world, &useless, 2);
    let newcomer = world.joins(&content, "10.0.1.2:5000");
    assert!(!newcomer.is_closed());
    assert_eq!(closed(&useless), 1);
    let gone = useless.iter().find(|peer| peer.is_closed()).unwrap();
    assert_eq!(gone.reason(), Some(CloseReason::NoUse));
}

#[test]
fn while_we_download_leechers_that_neither_give_nor_take_make_room_after_two_choke_rounds() {
    let (world, content) = room(3);
    world.leeches(&content);
    let idle = joins(&world, &content, 1..=3);
    world.seconds(19);
    assert!(world.joins(&content, "10.0.1.1:5000").is_closed(), "nobody has to go so soon");
    world.seconds(21);
    assert!(!world.joins(&content, "10.0.1.2:5000").is_closed());
    assert_eq!(closed(&idle), 1);
    assert!(world.joins(&content, "10.0.1.3:5000").is_closed(), "one at a time, and not often");
}

#[test]
fn the_only_peer_that_answers_makes_no_room_for_those_that_do_not() {
    let (world, content) = room(3);
    let torrent = world.leeches(&content);
    let idle = joins(&world, &content, 1..=1);
    let silent = (1..=7).map(|number| SocketAddr::from(([10, 0, 1, number], 5000))).collect();
    world.does(Command::AddPeers { torrent, peers: silent });
    minutes(&world, &idle, 10);
    assert_eq!(closed(&idle), 0);
}

#[test]
fn a_seed_that_comes_where_there_is_no_room_takes_the_place_of_the_leecher_that_gives_least() {
    let (world, content) = room(32);
    world.leeches(&content);
    let leechers = joins(&world, &content, 1..=30);
    // Sixteen are given back to, for eight slots; nobody of them is given up for a stranger.
    leechers[..20].iter().zip(0..).for_each(|(peer, number)| peer.says(content.bitfield(number..number + 1)));
    leechers[..20].iter().for_each(|peer| peer.says(Message::Unchoke));
    leechers[..16].iter().for_each(|peer| peer.serves_some(&content, 1));
    let mut seeds = Vec::new();
    for number in 1..=14 {
        let seed = world.stranger(&format!("10.0.1.{number}:5000"));
        seed.shakes_hands(&content);
        assert!(!seed.is_closed(), "it may be a seed");
        seed.has_all(&content);
        assert!(!seed.is_closed());
        seeds.push(seed);
    }
    assert_eq!((closed(&leechers[..16]), closed(&leechers[16..])), (0, 14));
    let gone = leechers.iter().find(|peer| peer.is_closed()).unwrap();
    assert_eq!(gone.reason(), Some(CloseReason::NoUse));
    let late = world.seed_joins(&content, "10.0.2.1:5000");
    assert_eq!((late.reason(), closed(&leechers[..16])), (Some(CloseReason::Limit), 0));
}

#[test]
fn those_who_only_say_that_they_have_everything_drive_out_no_more_than_half() {
    let (world, content) = room(32);
    world.leeches(&content);
    let leechers = joins(&world, &content, 1..=30);
    let seeds: Vec<Peer> = (1..=40).map(|number| world.seed_joins(&content, &format!("10.0.1.{number}:5000"))).collect();
    assert_eq!((closed(&leechers), closed(&seeds)), (16, 24));
    // One that gives is none of them.
    seeds[0].says(Message::Unchoke);
    seeds[0].serves_some(&content, 1);
    assert!(!world.seed_joins(&content, "10.0.2.1:5000").is_closed());
    assert_eq!(closed(&leechers), 17);
}

#[test]
fn a_leecher_that_comes_where_there_is_no_room_has_to_go_once_it_has_said_what_it_has() {
    let (world, content) = room(32);
    world.leeches(&content);
    let leechers = joins(&world, &content, 1..=30);
    let some = world.joins(&content, "10.0.1.1:5000");
    assert!(!some.is_closed(), "it may be a seed");
    some.says(content.bitfield(0..4));
    let none = world.joins_fast(&content, "10.0.1.2:5000");
    none.says(Message::HaveNone);
    assert_eq!((some.reason(), none.reason()), (Some(CloseReason::Limit), Some(CloseReason::Limit)));
    assert_eq!(closed(&leechers), 0);
}

#[test]
fn who_says_nothing_of_what_it_has_does_not_keep_the_place_of_those_that_are_tried() {
    let (world, content) = room(32);
    world.leeches(&content);
    // Seeds: they make no room so soon.
    let seeds: Vec<Peer> = (1..=30).map(|number| world.seed_joins(&content, &format!("10.0.0.{number}:5000"))).collect();
    let silent = joins(&world, &content, 101..=102);
    assert!(world.joins(&content, "10.0.1.1:5000").is_closed(), "two are on trial");
    world.seconds(10);
    assert!(!world.joins(&content, "10.0.1.2:5000").is_closed());
    assert_eq!((closed(&seeds), closed(&silent)), (0, 1));
}

#[test]
fn who_lacks_nothing_takes_in_whoever_comes() {
    let (world, content) = room(32);
    world.seeds(&content);
    let leechers = joins(&world, &content, 1..=32);
    leechers.iter().for_each(|peer| peer.says(content.bitfield(0..1)));
    assert_eq!(closed(&leechers), 0);
    let late = world.joins(&content, "10.0.1.1:5000");
    assert_eq!((late.is_closed(), closed(&leechers)), (true, 0));
}

/// Lets as many of the called answer, and counts those that are called next.
fn calls(world: &World, content: &Content, seconds: u64) -> (usize, Vec<Peer>) {
    world.seconds(seconds);
    let dials = world.dials();
    let peers = dials.iter().map(|remote| world.answers(&remote.to_string()));
    (dials.len(), peers.inspect(|peer| peer.shakes_hands(content)).collect())
}

#[test]
fn beyond_three_quarters_of_the_connections_peers_are_called_one_by_one() {
    let (world, content) = (World::with(|config| (config.limits.connections_per_torrent, config.half_open_limit) = (32, 100)), content());
    world.adds(&content, |add| add.peers = (1..=60).map(|number| SocketAddr::from(([10, 0, number, 1], 6881))).collect());
    let (called, peers) = calls(&world, &content, 0);
    assert_eq!(called, 24);
    let (mut slowly, mut all) = (Vec::new(), peers);
    for _ in 0..8 {
        let (called, peers) = calls(&world, &content, 2);
        slowly.push(called);
        all.extend(peers);
    }
    // Two places are for peers that come to us.
    assert_eq!(slowly, [1, 1, 1, 1, 1, 1, 0, 0]);
    assert_eq!(closed(&all), 0);
}

#[test]
fn who_has_finished_calls_without_hurry_and_not_those_that_are_said_to_have_everything() {
    let (world, content) = (World::new(), content());
    let torrent = world.seeds(&content);
    world.does(Command::AddPeers { torrent, peers: (1..=4).map(|number| SocketAddr::from(([10, 0, number, 1], 6881))).collect() });
    let mut called = Vec::new();
    for _ in 0..8 {
        called.push(calls(&world, &content, 0).0);
        world.passes(Duration::from_millis(250));
    }
    assert_eq!(called, [1, 0, 1, 0, 1, 0, 1, 0]);

    let told = |address: [u8; 4], flags| PexPeer { address: (address, 6881).into(), flags };
    let added = vec![told([10, 1, 1, 1], PexFlags::SEED), told([10, 1, 2, 1], PexFlags::default()), told([10, 1, 3, 1], PexFlags::SEED)];
    let peer = world.extended_joins(&content, "10.2.0.1:50000", None);
    peer.says_extended(ExtensionMessage::PeerExchange(PexMessage { added, dropped: Vec::new() }));
    world.seconds(2);
    assert_eq!(world.dials(), ["10.1.2.1:6881".parse().unwrap()]);
}

#[test]
fn peers_that_are_known_are_tried_in_the_place_of_useless_ones() {
    let (world, content) = room(2);
    let torrent = world.leeches(&content);
    let useless = joins(&world, &content, 1..=2);
    world.does(Command::AddPeers { torrent, peers: vec!["10.0.2.1:6881".parse().unwrap()] });
    assert!(world.dials().is_empty());
    minutes(&world, &useless, 4);
    assert!(world.dials().is_empty());
    while world.dials().is_empty() {
        world.seconds(5);
        useless.iter().filter(|peer| !peer.is_closed()).for_each(|peer| peer.says(Message::KeepAlive));
    }
    assert_eq!(world.dials(), ["10.0.2.1:6881".parse().unwrap()]);
    assert!(world.now().as_micros() < 322_000_000, "{:?}", world.now());
    assert_eq!(closed(&useless), 1);
}

#[test]
fn who_sends_now_and_then_never_makes_room() {
    let (world, content) = room(3);
    let torrent = world.leeches(&content);
    world.does(Command::AddPeers { torrent, peers: vec!["10.0.2.1:6881".parse().unwrap()] });
    world.refuses("10.0.2.1:6881");
    let useful: Vec<Peer> = (1..=3).map(|number| world.seed_joins(&content, &format!("10.0.0.{number}:5000"))).collect();
    useful.iter().for_each(|peer| peer.says(Message::Unchoke));
    for minute in 0..60 {
        for _ in 0..2 {
            useful.iter().for_each(|peer| peer.serves_some(&content, 1));
            world.seconds(30);
        }
        assert!(world.joins(&content, &format!("10.0.1.{}:5000", minute + 1)).is_closed());
    }
    assert_eq!(closed(&useful), 0);
}

#[test]
fn who_waits_for_a_slot_of_a_seed_never_makes_room() {
    let (world, content) = room(6);
    world.seeds(&content);
    let peers = joins(&world, &content, 1..=6);
    peers[1..].iter().for_each(|peer| peer.says(Message::Interested));
    minutes(&world, &peers, 30);
    let newcomers: Vec<Peer> = (1..=3)
        .map(|number| {
            minutes(&world, &peers, 1);
            world.joins(&content, &format!("10.0.1.{number}:5000"))
        })
        .collect();
    assert!(peers[0].is_closed(), "who wants nothing does");
    assert_eq!((closed(&peers), closed(&newcomers)), (1, 2));
}

#[test]
fn who_snubs_us_for_long_makes_room_before_who_only_pauses() {
    let (world, content) = room(2);
    world.leeches(&content);
    let peers: Vec<Peer> = (1..=2).map(|number| world.seed_joins(&content, &format!("10.0.0.{number}:5000"))).collect();
    for peer in &peers {
        peer.says(Message::Unchoke);
        peer.serves_some(&content, 2);
    }
    peers[0].says(Message::Choke);
    minutes(&world, &peers, 7);
    assert!(!world.joins(&content, "10.0.1.1:5000").is_closed());
    assert!(!peers[0].is_closed() && peers[1].is_closed());
}

#[test]
fn nothing_oscillates_over_an_hour() {
    let (world, content) = room(3);
    let torrent = world.leeches(&content);
    let known: Vec<SocketAddr> = (1..=4).map(|number| SocketAddr::from(([10, 0, 2, number], 6881))).collect();
    world.does(Command::AddPeers { torrent, peers: known });
    let mut peers: Vec<Peer> = Vec::new();
    let mut connections = 0;
    for _ in 0..360 {
        // All are useless, and whoever is let go comes back at once.
        for dial in world.dials() {
            let peer = world.answers(&dial.to_string());
            peer.shakes_hands(&content);
            connections += 1;
            peers.push(peer);
        }
        for number in 1..=5 {
            let remote: SocketAddr = format!("10.0.0.{number}:5000").parse().unwrap();
            if !peers.iter().any(|peer| peer.remote() == remote && !peer.is_closed()) {
                let peer = world.joins(&content, &remote.to_string());
                connections += usize::from(!peer.is_closed());
                peers.push(peer);
            }
        }
        world.seconds(10);
        peers.retain(|peer| !peer.is_closed());
        peers.iter().for_each(|peer| peer.says(Message::KeepAlive));
        assert!(world.peers(torrent).len() <= 3);
    }
    // Nine peers have their turn, and those that were tried may be tried again where there happens to be room.
    assert!((9..=12).contains(&connections), "{connections} connections");
}

#[test]
fn a_handshake_counts_and_is_waited_for() {
    let world = World::with(|config| config.limits.connections = 2);
    let content = content();
    world.leeches(&content);
    let strangers = ["10.0.0.1:1", "10.0.0.2:1"].map(|remote| world.stranger(remote));
    world.stranger("10.0.0.3:1");
    assert_eq!((world.refused(), closed(&strangers)), (1, 0));
}

#[test]
fn the_limit_of_all_torrents_lets_the_most_useless_of_all_go() {
    let world = World::with(|config| config.limits.connections = 4);
    let (one, two) = (content(), Content::new(390 * BLOCK as usize, 4 * BLOCK));
    world.leeches(&one);
    world.adds(&two, |add| add.folder = "other".to_owned());
    let useful = joins(&world, &one, 1..=2);
    let useless: Vec<Peer> = (1..=2).map(|number| world.joins(&two, &format!("10.0.3.{number}:5000"))).collect();
    for peer in &useful {
        peer.has_all(&one);
        peer.says(Message::Unchoke);
    }
    for _ in 0..6 {
        useful.iter().for_each(|peer| peer.serves_some(&one, 1));
        minutes(&world, &[&useful[..], &useless].concat(), 1);
    }
    assert!(!world.joins(&one, "10.0.1.1:5000").is_closed());
    world.stranger("10.0.1.2:5000");
    assert_eq!((closed(&useful), closed(&useless), world.refused()), (0, 1, 1), "one at a time");
    world.seconds(21);
    assert!(!world.joins(&one, "10.0.1.3:5000").is_closed());
    assert_eq!((closed(&useful), closed(&useless)), (0, 2));
}

#[test]
fn a_lowered_limit_closes_the_worst() {
    let (world, content) = room(10);
    world.leeches(&content);
    let peers: Vec<Peer> = (1..=6).map(|number| world.seed_joins(&content, &format!("10.0.0.{number}:5000"))).collect();
    for (number, peer) in peers.iter().enumerate() {
        peer.says(Message::Unchoke);
        peer.serves_some(&content, number);
    }
    minutes(&world, &peers, 4);
    peers[4..].iter().for_each(|peer| peer.serves_some(&content, 1));
    minutes(&world, &peers, 2);
    world.does(Command::SetLimits(Limits { connections_per_torrent: 2, ..Limits::default() }));
    assert_eq!(closed(&peers), 4);
    assert!(!peers[4].is_closed() && !peers[5].is_closed());
    assert_eq!(peers[0].reason(), Some(CloseReason::Limit));
    world.does(Command::SetLimits(Limits { connections: 1, ..Limits::default() }));
    assert!(!peers[5].is_closed() && peers[4].is_closed());
}

#[test]
fn peers_are_called_in_the_order_of_their_canonical_priority() {
    let (world, content) = (World::with(|config| config.half_open_limit = 100), content());
    let own: SocketAddr = "123.213.32.10:6881".parse().unwrap();
    world.input(Input::Listening(own));
    let peers: Vec<SocketAddr> = (1..=40).map(|number| SocketAddr::from(([98, number, number * 3, 1], 1000))).collect();
    world.adds(&content, |add| add.peers = peers.clone());
    let mut expected = peers;
    expected.sort_by_key(|peer| Reverse(canonical_priority(own, *peer)));
    assert_eq!(world.dials(), expected);
}
