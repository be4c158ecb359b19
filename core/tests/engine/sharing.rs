//! What makes a whole swarm quick: the first seed's suggestions (BEP 6), work that is taken off slow peers, slots for those who give, and
//! haves for those who wait for them.

use crate::{
    BLOCK,
    support::{Content, Peer, World},
};
use rustor_core::{
    time::Duration,
    wire::{Block, Message},
};
use std::collections::BTreeSet;

/// Forty pieces of four blocks.
fn content() -> Content {
    Content::new(160 * BLOCK as usize, 4 * BLOCK)
}

fn suggested(peer: &Peer) -> Vec<u32> {
    let piece = |message| if let Message::Suggest(piece) = message { Some(piece) } else { None };
    peer.hears().into_iter().filter_map(piece).collect()
}

/// Newcomers that a seed has unchoked.
fn newcomers(world: &World, content: &Content, numbers: std::ops::RangeInclusive<u8>) -> Vec<Peer> {
    let joins = |number| {
        let peer = world.joins_fast(content, &format!("10.0.0.{number}:5000"));
        peer.says_all([Message::HaveNone, Message::Interested]);
        peer
    };
    numbers.map(joins).collect()
}

// The first seed

#[test]
fn a_first_seed_suggests_each_piece_to_one_peer_alone() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let mut seen = BTreeSet::new();
    for peer in newcomers(&world, &content, 1..=4) {
        let pieces = suggested(&peer);
        assert!(!pieces.is_empty());
        assert!(pieces.into_iter().all(|piece| seen.insert(piece)));
    }
}

#[test]
fn what_was_fetched_is_followed_by_another_suggestion() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let [peer] = &newcomers(&world, &content, 1..=1)[..] else { panic!("one peer") };
    let first = suggested(peer);
    peer.says_all(content.blocks(first[0]).into_iter().map(Message::Request));
    let told = peer.hears();
    let next: Vec<_> = told.iter().filter(|message| matches!(message, Message::Suggest(piece) if !first.contains(piece))).collect();
    assert_eq!(next.len(), 1, "{told:?}");
}

#[test]
fn where_there_is_another_seed_nothing_is_suggested() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    world.joins_fast(&content, "10.0.0.9:5000").says(Message::HaveAll);
    assert!(newcomers(&world, &content, 1..=2).iter().all(|peer| suggested(peer).is_empty()));
}

#[test]
fn a_first_seed_grants_newcomers_nothing() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 0), content());
    world.seeds(&content);
    assert!(newcomers(&world, &content, 1..=2).iter().all(|peer| peer.hears_allowed_fast().is_empty()));
}

#[test]
fn a_first_seed_keeps_the_slots_of_those_who_pass_on_what_it_gives() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 2), content());
    let torrent = world.seeds(&content);
    let peers = newcomers(&world, &content, 1..=6);
    let generous = &peers[0];
    let mut choked = false;
    for round in 0..12 {
        peers.iter().for_each(|peer| peer.says(Message::KeepAlive));
        for piece in suggested(generous) {
            generous.says_all(content.blocks(piece).into_iter().map(Message::Request));
            // A third peer has got it from somebody.
            peers[1 + round % 5].says(Message::Have(piece));
        }
        world.seconds(10);
        let status = world.peers(torrent);
        choked |= status.iter().any(|peer| peer.remote == generous.remote() && peer.am_choking);
    }
    assert!(!choked);
}

#[test]
fn a_first_seed_comes_back_to_those_who_once_passed_something_on_before_it_serves_those_who_never_did() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 3), content());
    let torrent = world.seeds(&content);
    let peers = newcomers(&world, &content, 1..=8);
    let mut passed = Vec::new();
    let mut served = [0; 8];
    for round in 0..40 {
        peers.iter().for_each(|peer| peer.says(Message::KeepAlive));
        for peer in &peers[..2] {
            for piece in suggested(peer) {
                peer.says_all(content.blocks(piece).into_iter().map(Message::Request));
                if round < 4 && !passed.contains(&piece) {
                    passed.push(piece);
                    peers[2 + round].says(Message::Have(piece));
                }
            }
        }
        world.seconds(10);
        // They have not passed anything on for two rounds at least.
        if round >= 8 {
            let unchoked = world.peers(torrent).into_iter().filter(|peer| !peer.am_choking);
            unchoked.for_each(|peer| served[peers.iter().position(|other| other.remote() == peer.remote).expect("a newcomer")] += 1);
        }
    }
    let (proven, strangers) = (served[0].min(served[1]), served[2..].iter().max().copied().unwrap_or_default());
    assert!(proven >= 28 && strangers <= 16, "{served:?}");
}

#[test]
fn few_seeds_hear_what_we_have_and_many_do_not() {
    for (seeds, told) in [(1, 1), (4, 4), (5, 0)] {
        let content = content();
        let world = World::new();
        world.leeches(&content);
        let peers: Vec<Peer> = (1..=seeds).map(|number| world.seed_joins(&content, &format!("10.0.0.{number}:5000"))).collect();
        let giver = &peers[0];
        giver.says(Message::Unchoke);
        giver.hears_requests().chunks(1).for_each(|block| giver.sends(&content, block));
        world.seconds(3);
        let hears = |peer: &&Peer| peer.hears().iter().any(|message| matches!(message, Message::Have(_)));
        assert_eq!(peers.iter().filter(hears).count(), told);
    }
}

// Slow peers

/// A leecher that has asked one peer for all that there is, and another one that has the same.
fn waiting(content: &Content) -> (World, Peer, Peer, Vec<Block>) {
    let world = World::with(|config| config.request_initial = 160);
    world.leeches(content);
    let slow = world.seed_joins(content, "10.0.0.1:5000");
    let idle = world.seed_joins(content, "10.0.0.2:5000");
    slow.says(Message::Unchoke);
    let asked = slow.hears_requests();
    (world, slow, idle, asked)
}

#[test]
fn a_peer_with_nothing_to_do_gets_what_a_slow_one_would_come_to_last() {
    let content = content();
    let (world, slow, idle, asked) = waiting(&content);
    assert_eq!(asked.len(), 160);
    // One block a second: the last one is more than two minutes away.
    for block in asked.chunks(1).take(4) {
        slow.sends(&content, block);
        world.seconds(1);
    }
    idle.says(Message::Unchoke);
    let taken = idle.hears_requests();
    assert!(!taken.is_empty());
    let cancelled: BTreeSet<Block> = slow.hears_cancels().into_iter().collect();
    assert_eq!(cancelled, taken.iter().copied().collect(), "each is asked of one peer alone");
    assert!(taken.iter().all(|block| asked[80..].contains(block)), "the latter half");
    idle.sends(&content, &taken);
    assert!(!idle.is_closed() && !slow.is_closed());
}

#[test]
fn what_comes_soon_is_left_to_whoever_sends_it() {
    let content = Content::new(8 * BLOCK as usize, 4 * BLOCK);
    let (world, slow, idle, asked) = waiting(&content);
    // Eight blocks a second: all is here in less than that.
    slow.sends(&content, &asked[..1]);
    world.passes(Duration::from_millis(125));
    slow.sends(&content, &asked[1..2]);
    idle.says(Message::Unchoke);
    assert_eq!(slow.hears_cancels(), []);
}

// Haves

#[test]
fn who_waits_for_a_piece_hears_of_it_at_once_and_who_is_served_hears_with_the_rest() {
    let (world, content) = (World::new(), content());
    world.has(&content, 0..10);
    world.leeches(&content);
    let waiting = world.joins_fast(&content, "10.0.0.1:5000");
    let served = world.joins_fast(&content, "10.0.0.2:5000");
    waiting.says(content.bitfield(0..10));
    served.says_all([Message::HaveNone, Message::Interested]);
    served.takes_no_writes();
    served.says_all(content.blocks(3).into_iter().map(Message::Request));
    let seed = world.seed_joins(&content, "10.0.0.3:5000");
    seed.says(Message::Unchoke);
    let asked = seed.hears_requests();
    seed.sends(&content, &asked[..4]);
    world.passes(Duration::from_millis(60));
    assert_eq!(waiting.hears_haves(), [asked[0].piece]);
    assert_eq!(served.hears_haves(), []);
    served.takes_writes();
    world.seconds(1);
    assert_eq!(served.hears_haves(), [asked[0].piece]);
}

// Those who give

#[test]
fn while_somebody_gives_only_one_slot_goes_to_a_stranger() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 4), content());
    world.has(&content, 0..10);
    let torrent = world.leeches(&content);
    let giver = world.joins_fast(&content, "10.0.0.1:5000");
    giver.says_all([content.bitfield(10..40), Message::Interested, Message::Unchoke]);
    let strangers: Vec<Peer> = newcomers(&world, &content, 2..=6);
    for _ in 0..10 {
        let asked = giver.hears_requests();
        giver.sends(&content, &asked[..asked.len().min(2)]);
        strangers.iter().for_each(|peer| peer.says(Message::KeepAlive));
        world.seconds(10);
    }
    let unchoked = world.peers(torrent).iter().filter(|peer| !peer.am_choking && peer.peer_interested).count();
    assert_eq!(unchoked, 2, "the giver and one on trial");
}
