//! Who may download from us (BEP 3): slots, reciprocity, optimistic unchokes, and turns while seeding.

use crate::{
    BLOCK,
    support::{Content, Peer, World},
};
use rustor_core::{command::Command, config::Limits, id::TorrentId, wire::Message};
use std::collections::BTreeSet;

fn content() -> Content {
    Content::new(400 * BLOCK as usize, 4 * BLOCK)
}

fn unchoked(world: &World, torrent: TorrentId) -> BTreeSet<String> {
    world.peers(torrent).iter().filter(|peer| !peer.am_choking).map(|peer| peer.remote.ip().to_string()).collect()
}

/// A world with so many slots, and so many interested peers that have nothing we want.
fn crowd(slots: u32, peers: u32, seeding: bool) -> (World, Content, TorrentId, Vec<Peer>) {
    let (world, content) = (World::with(|config| config.limits.upload_slots = slots), content());
    let torrent = if seeding {
        world.seeds(&content)
    } else {
        world.has(&content, 0..50);
        world.leeches(&content)
    };
    let peers = (1..=peers).map(|number| {
        let peer = world.joins(&content, &format!("10.0.0.{number}:5000"));
        peer.says(Message::Interested);
        peer
    });
    let peers = peers.collect();
    (world, content, torrent, peers)
}

fn keep_alive(peers: &[Peer]) {
    peers.iter().for_each(|peer| peer.says(Message::KeepAlive));
}

#[test]
fn whoever_comes_while_a_slot_is_free_is_unchoked_at_once() {
    let (world, _, torrent, peers) = crowd(3, 5, true);
    assert_eq!(unchoked(&world, torrent).len(), 3);
    assert!(peers[0].heard(&Message::Unchoke) && !peers[4].heard(&Message::Unchoke));
}

#[test]
fn who_is_not_interested_takes_no_slot() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 2), content());
    let torrent = world.seeds(&content);
    world.joins(&content, "10.0.0.1:5000");
    world.seconds(30);
    assert!(unchoked(&world, torrent).is_empty());
}

#[test]
fn who_has_finished_gives_first_to_those_that_gave() {
    let (world, content, torrent, strangers) = crowd(3, 8, false);
    // Two that have half of what is missing each, and want the other half.
    let givers = [(50..75, "10.1.0.1"), (75..100, "10.1.0.2")].map(|(pieces, ip)| {
        let giver = world.joins(&content, &format!("{ip}:5000"));
        giver.says_all([content.bitfield(pieces), Message::Interested, Message::Unchoke]);
        giver.serves(&content);
        giver
    });
    assert!(givers.iter().all(|giver| !giver.is_closed()));
    let mut trial = BTreeSet::new();
    for round in 0..30 {
        world.seconds(10);
        keep_alive(&strangers);
        keep_alive(&givers);
        let unchoked = unchoked(&world, torrent);
        assert_eq!(unchoked.len(), 3);
        assert!(unchoked.contains("10.1.0.1") && unchoked.contains("10.1.0.2"), "round {round}: {unchoked:?}");
        trial.extend(unchoked);
    }
    assert_eq!(trial.len(), 10, "everybody has a turn in the last slot: {trial:?}");
}

#[test]
fn a_slot_that_becomes_free_is_given_on_at_once() {
    let (world, _, torrent, peers) = crowd(2, 3, true);
    peers[0].ends();
    assert_eq!(unchoked(&world, torrent), ["10.0.0.2".to_owned(), "10.0.0.3".to_owned()].into());
}

#[test]
fn a_slot_of_someone_who_wants_nothing_more_goes_to_someone_who_does() {
    let (world, _, torrent, peers) = crowd(2, 3, true);
    peers[0].says(Message::NotInterested);
    world.seconds(10);
    assert_eq!(unchoked(&world, torrent), ["10.0.0.2".to_owned(), "10.0.0.3".to_owned()].into());
}

#[test]
fn who_wants_nothing_and_then_something_again_gets_no_slot_beyond_their_number() {
    let (world, _, torrent, peers) = crowd(2, 6, true);
    peers[0].says(Message::NotInterested);
    peers[1].says(Message::NotInterested);
    assert!(unchoked(&world, torrent).len() <= 2);
    peers[2].says_all([Message::NotInterested, Message::Interested]);
    peers[3].says_all([Message::NotInterested, Message::Interested]);
    assert!(unchoked(&world, torrent).len() <= 2, "{:?}", unchoked(&world, torrent));
    peers[0].says(Message::Interested);
    peers[1].says(Message::Interested);
    assert!(unchoked(&world, torrent).len() <= 2, "{:?}", unchoked(&world, torrent));
}

#[test]
fn never_more_are_unchoked_than_there_are_slots() {
    for seeding in [true, false] {
        let (world, _, torrent, peers) = crowd(4, 12, seeding);
        for _ in 0..30 {
            world.seconds(10);
            keep_alive(&peers);
            assert!(unchoked(&world, torrent).len() <= 4);
        }
    }
}

#[test]
fn without_slots_nobody_is_unchoked() {
    for seeding in [true, false] {
        let (world, _, torrent, peers) = crowd(0, 3, seeding);
        for _ in 0..10 {
            world.seconds(10);
            keep_alive(&peers);
            assert!(unchoked(&world, torrent).is_empty(), "seeding: {seeding}");
        }
    }
}

#[test]
fn a_seed_serves_everyone_in_turn() {
    let (world, _, torrent, peers) = crowd(2, 6, true);
    let mut served = BTreeSet::new();
    for _ in 0..18 {
        served.extend(unchoked(&world, torrent));
        world.seconds(10);
        keep_alive(&peers);
    }
    assert_eq!(served.len(), 6);
}

#[test]
fn leeching_the_slots_go_to_those_that_send_and_one_to_anyone() {
    let (world, content, torrent, idle) = crowd(3, 6, false);
    let generous = ["10.0.1.1:5000", "10.0.1.2:5000"].map(|remote| {
        let peer = world.seed_joins(&content, remote);
        peer.says_all([Message::Interested, Message::Unchoke]);
        peer
    });
    let mut optimistic = BTreeSet::new();
    for round in 0..24 {
        for peer in &generous {
            peer.serves_some(&content, 2);
        }
        keep_alive(&idle);
        world.seconds(10);
        if round > 3 {
            let now = unchoked(&world, torrent);
            assert!(now.contains("10.0.1.1") && now.contains("10.0.1.2"), "round {round}: {now:?}");
            optimistic.extend(now.into_iter().filter(|remote| remote.starts_with("10.0.0.")));
        }
    }
    assert!(optimistic.len() >= 3, "others get their chance: {optimistic:?}");
}

#[test]
fn the_optimistic_unchoke_stays_for_thirty_seconds() {
    let (world, _, torrent, peers) = crowd(1, 5, false);
    world.seconds(1);
    let mut changes = Vec::new();
    let mut before = unchoked(&world, torrent);
    for second in 0..300 {
        world.seconds(1);
        if second % 60 == 0 {
            keep_alive(&peers);
        }
        let now = unchoked(&world, torrent);
        assert_eq!(now.len(), 1);
        if now != before {
            changes.push(second);
            before = now;
        }
    }
    assert!(changes.len() >= 4, "{changes:?}");
    assert!(changes.windows(2).all(|pair| (pair[1] - pair[0]) % 30 == 0), "{changes:?}");
}

#[test]
fn a_peer_that_snubs_us_keeps_no_regular_slot() {
    let (world, content, torrent, _idle) = crowd(2, 0, false);
    let [snubber, fair, third] = ["10.0.1.1:5000", "10.0.1.2:5000", "10.0.1.3:5000"].map(|remote| {
        let peer = world.joins(&content, remote);
        peer.says_all([content.bitfield(50..100), Message::Interested]);
        peer
    });
    snubber.says(Message::Unchoke);
    let owed = snubber.hears_requests();
    snubber.sends(&content, &owed[..6]);
    fair.says(Message::Unchoke);
    let mut kept = 0;
    for round in 0..12 {
        fair.serves_some(&content, 1);
        keep_alive(&[snubber.clone(), third.clone()]);
        world.seconds(10);
        let now = unchoked(&world, torrent);
        assert!(now.contains("10.0.1.2") || round < 3, "{now:?}");
        kept += u32::from(round >= 6 && now.contains("10.0.1.1"));
    }
    assert!(kept < 6, "only by way of the optimistic unchoke");
}

#[test]
fn more_slots_are_given_with_the_next_round() {
    let (world, _, torrent, _peers) = crowd(1, 5, true);
    assert_eq!(unchoked(&world, torrent).len(), 1);
    world.does(Command::SetLimits(Limits { upload_slots: 4, ..Limits::default() }));
    world.seconds(10);
    assert_eq!(unchoked(&world, torrent).len(), 4);
}

#[test]
fn a_torrent_in_which_nobody_wants_anything_is_not_woken_for_rounds() {
    let (world, _, _, peers) = crowd(2, 1, true);
    peers[0].ends();
    world.seconds(10);
    let before = world.wakes();
    world.seconds(3600);
    // Twelve of them to announce the torrent to the local network.
    assert!(world.wakes() - before <= 2 + 12, "{} wakes", world.wakes() - before);
}
