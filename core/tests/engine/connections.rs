//! How many connections there are, and when a peer is tried again.

use crate::{
    BLOCK,
    support::{Content, Peer, World},
};
use rustor_core::{command::Command, config::Limits, peer::CloseReason, time::Duration, wire::Message};
use std::net::SocketAddr;

const TRACKER: &str = "http://tracker.test/announce";

fn content() -> Content {
    Content::new(4 * BLOCK as usize, BLOCK)
}

fn addresses(count: u32) -> Vec<SocketAddr> {
    (0..count).map(|number| SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8 + 1], 6881))).collect()
}

#[test]
fn only_so_many_connections_are_being_opened_at_once() {
    let (world, content) = (World::with(|config| config.half_open_limit = 3), content());
    world.adds(&content, |add| add.peers = addresses(10));
    assert_eq!(world.dials().len(), 3);
    let first = world.dials()[0].to_string();
    world.answers(&first);
    assert_eq!(world.dials().len(), 3, "one that stands makes room for another try");
    let second = world.dials()[0].to_string();
    world.refuses(&second);
    assert_eq!(world.dials().len(), 3, "and so does one that was refused");
}

#[test]
fn the_limit_of_half_open_connections_holds_across_torrents_and_none_starves() {
    let world = World::with(|config| config.half_open_limit = 2);
    let contents = [content(), Content::new(5, 5), Content::new(6, 6)];
    for (number, content) in contents.iter().enumerate() {
        world.adds(content, |add| add.peers = vec![SocketAddr::from(([10, 0, 0, number as u8], 6881))]);
    }
    assert_eq!(world.dials().len(), 2);
    world.seconds(11);
    assert!(world.dials().contains(&"10.0.0.2:6881".parse().unwrap()));
}

#[test]
fn a_torrent_has_only_so_many_connections() {
    let (world, content) = (World::with(|config| config.limits.connections_per_torrent = 2), content());
    world.adds(&content, |add| add.peers = addresses(5));
    assert_eq!(world.dials().len(), 2);
    let peer = world.joins(&content, "10.9.0.1:5000");
    assert!(peer.is_closed());
    let first = world.dials()[0].to_string();
    world.refuses(&first);
    assert_eq!(world.dials().len(), 2, "a place that becomes free is taken");
}

#[test]
fn the_engine_has_only_so_many_connections() {
    let (world, content) = (World::with(|config| config.limits.connections = 3), content());
    world.leeches(&content);
    let peers: Vec<_> = (1..=5).map(|number| world.joins(&content, &format!("10.0.0.{number}:5000"))).collect();
    assert_eq!(world.refused(), 2);
    assert!(!peers[2].is_closed() && peers[3].is_closed());
    peers[0].ends();
    world.joins(&content, "10.0.0.6:5000");
    assert_eq!(world.refused(), 2);
}

#[test]
fn raised_limits_take_effect_at_once() {
    let (world, content) = (World::with(|config| config.limits.connections_per_torrent = 1), content());
    world.adds(&content, |add| add.peers = addresses(5));
    assert_eq!(world.dials().len(), 1);
    world.does(Command::SetLimits(Limits { connections_per_torrent: 4, ..Limits::default() }));
    assert_eq!(world.dials().len(), 4);
}

#[test]
fn a_peer_that_cannot_be_reached_is_tried_ever_more_seldom_and_then_forgotten() {
    let (world, content) = (World::new(), Content::tracked(4 * BLOCK as usize, BLOCK, &[&[TRACKER]]));
    let torrent = world.leeches(&content);
    world.tracker_answers(TRACKER, &["10.0.0.1:6881"]);
    for wait in [30, 60, 120, 240] {
        world.refuses("10.0.0.1:6881");
        world.seconds(wait - 1);
        assert!(world.dials().is_empty(), "{wait}");
        world.seconds(2);
        assert_eq!(world.dials().len(), 1, "{wait}");
    }
    world.refuses("10.0.0.1:6881");
    world.seconds(7200);
    assert!(world.dials().is_empty());
    assert_eq!(world.status(torrent).known_peers, 0);
}

#[test]
fn a_peer_that_the_owner_named_is_tried_for_ever() {
    let (world, content) = (World::new(), content());
    world.adds(&content, |add| add.peers = addresses(1));
    for _ in 0..20 {
        world.refuses("10.0.0.1:6881");
        let silence = (0..=360).take_while(|_| {
            world.seconds(10);
            world.dials().is_empty()
        });
        assert!(silence.count() <= 360, "an hour is the longest wait");
    }
}

#[test]
fn a_peer_that_left_is_tried_again_after_half_a_minute() {
    let (world, content) = (World::new(), content());
    world.adds(&content, |add| add.peers = addresses(1));
    let peer = world.answers("10.0.0.1:6881");
    peer.shakes_hands(&content);
    peer.ends();
    world.seconds(29);
    assert!(world.dials().is_empty());
    world.seconds(2);
    assert_eq!(world.dials().len(), 1);
}

#[test]
fn a_peer_that_breaks_the_protocol_each_time_is_forgotten() {
    let (world, content) = (World::new(), Content::tracked(4 * BLOCK as usize, BLOCK, &[&[TRACKER]]));
    let torrent = world.leeches(&content);
    world.tracker_answers(TRACKER, &["10.0.0.1:6881"]);
    for _ in 0..5 {
        while world.dials().is_empty() {
            world.seconds(10);
        }
        let peer = world.answers("10.0.0.1:6881");
        peer.says_bytes(&b"no handshake"[..]);
        assert!(peer.is_closed());
    }
    world.seconds(7200);
    assert!(world.dials().is_empty());
    assert_eq!(world.status(torrent).known_peers, 0);
}

#[test]
fn a_seed_does_not_call_seeds() {
    let (world, content) = (World::new(), content());
    let torrent = world.adds(&content, |add| add.peers = addresses(1));
    let peer = world.answers("10.0.0.1:6881");
    peer.shakes_hands(&content);
    peer.says_all([content.bitfield(0..4), Message::Unchoke]);
    peer.serves(&content);
    assert_eq!(peer.reason(), Some(CloseReason::NoUse));
    world.seconds(7200);
    assert!(world.dials().is_empty());
    // Until it lacks something again.
    world.disk(|disk| disk.files.clear());
    world.does(Command::Recheck(torrent));
    world.seconds(1);
    assert_eq!(world.dials(), ["10.0.0.1:6881".parse().unwrap()]);
}

#[test]
fn peers_are_called_again_after_a_pause() {
    let (world, content) = (World::new(), content());
    let torrent = world.adds(&content, |add| add.peers = addresses(2));
    world.refuses("10.0.0.1:6881");
    world.does(Command::Pause(torrent));
    assert!(world.dials().is_empty(), "what was being opened is given up");
    world.seconds(3600);
    assert!(world.dials().is_empty());
    world.does(Command::Resume(torrent));
    assert_eq!(world.dials().len(), 2);
}

#[test]
fn a_late_answer_for_a_connection_that_is_gone_does_nothing() {
    use rustor_core::input::Input;
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = world.seed_joins(&content, "10.0.0.1:5000");
    let connection = peer.connection().unwrap();
    world.does(Command::Pause(torrent));
    world.does(Command::Resume(torrent));
    let other = world.joins(&content, "10.0.0.2:5000");
    assert_eq!(other.connection().unwrap().index(), connection.index(), "its place has a new tenant");
    for result in [Ok(()), Err(rustor_core::error::StreamError::Reset)] {
        world.input(Input::Connected { connection, result });
        world.input(Input::Written { connection, result });
    }
    world.input(Input::Read { connection, result: Err(rustor_core::error::StreamError::Reset) });
    assert!(!other.is_closed());
}

#[test]
fn torrents_have_their_turns_though_everybody_refuses() {
    let world = World::with(|config| config.half_open_limit = 1);
    for number in 0..3u8 {
        let content = Content::new(10 + usize::from(number), 10);
        world.adds(&content, |add| add.peers = (1..6).map(|host| SocketAddr::from(([10, 0, number, host], 6881))).collect());
    }
    let mut turns = [0; 3];
    for _ in 0..7 {
        let dialed = world.dials()[0].to_string();
        turns[dialed.split('.').nth(2).and_then(|number| number.parse::<usize>().ok()).unwrap()] += 1;
        world.refuses(&dialed);
    }
    assert!(turns.iter().all(|turns| *turns >= 2), "{turns:?}");
}

#[test]
fn who_connects_and_says_nothing_leaves_room_for_others() {
    let (world, content) = (World::with(|config| config.limits.connections = 200), content());
    world.seeds(&content);
    let comes = |number: u32| {
        world.passes(Duration::from_millis(10));
        world.stranger(&format!("10.0.1.{number}:5000"))
    };
    let silent: Vec<Peer> = (0..60).map(comes).collect();
    assert_eq!(silent.iter().position(|peer| !peer.is_closed()), Some(10), "a quarter of all connections, the oldest go");
    assert!(silent[10..].iter().all(|peer| !peer.is_closed()));
    let peer = world.joins(&content, "10.0.0.1:5000");
    assert!(peer.heard_handshake().is_some());
    (60..120).for_each(|number| drop(comes(number)));
    assert!(!peer.is_closed(), "who has said what it wants is none of them");
}
