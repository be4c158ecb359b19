//! Fetching: what is asked of whom, how much of it, and what happens to what does not come (BEP 3).

use crate::{
    BLOCK,
    support::{Content, World},
};
use rustor_core::{
    event::Event,
    time::Duration,
    wire::{Block, Message, extension::ExtensionHandshake},
};
use std::collections::BTreeSet;

fn sorted(mut blocks: Vec<Block>) -> Vec<Block> {
    blocks.sort();
    blocks
}

#[test]
fn a_whole_torrent_comes_from_one_seed() {
    let content = Content::new(1_000_000, 4 * BLOCK);
    let world = World::new();
    let torrent = world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    seed.serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
    let status = world.status(torrent);
    assert_eq!((status.verified, status.downloaded, status.wasted), (1_000_000, 1_000_000, 0));
    assert_eq!(world.count_events(|event| *event == Event::Finished { torrent }), 1);
    assert_eq!(world.count_events(|event| matches!(event, Event::PieceVerified { .. })), content.pieces() as usize);
}

#[test]
fn nothing_is_asked_of_a_peer_that_chokes_us() {
    let content = Content::new(10 * BLOCK as usize, BLOCK);
    let world = World::new();
    world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    world.seconds(60);
    assert_eq!(seed.hears_requests(), []);
    assert!(seed.heard(&Message::Interested));
}

#[test]
fn interest_comes_before_the_first_request() {
    let content = Content::new(10 * BLOCK as usize, BLOCK);
    let world = World::new();
    world.leeches(&content);
    let seed = world.joins(&content, "10.0.0.1:5000");
    seed.says_all([content.bitfield(0..10), Message::Unchoke]);
    let heard = seed.hears();
    assert_eq!(heard[0], Message::Interested);
    assert_eq!(heard.len(), 11);
}

#[test]
fn requests_are_whole_blocks_of_pieces_that_the_peer_has() {
    let content = Content::new(10 * 50_000 - 1000, 50_000);
    let world = World::new();
    world.leeches(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says_all([content.bitfield([2, 9]), Message::Unchoke]);
    let expected: Vec<Block> = content.blocks(2).into_iter().chain(content.blocks(9)).collect();
    assert_eq!(sorted(peer.hears_requests()), expected);
    assert!(expected.iter().all(|block| block.length <= BLOCK));
}

#[test]
fn a_begun_piece_is_finished_before_another_is_begun() {
    let content = Content::new(64 * BLOCK as usize, 8 * BLOCK);
    let world = World::new();
    world.leeches(&content);
    let [one, other] = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.seed_joins(&content, remote));
    one.says(Message::Unchoke);
    let asked = one.hears_requests();
    let pieces: BTreeSet<u32> = asked.iter().map(|block| block.piece).collect();
    assert_eq!((asked.len(), pieces.len()), (16, 2), "whole pieces, one after the other");
    one.sends(&content, &asked[..4]);
    one.ends();
    other.says(Message::Unchoke);
    let rest = other.hears_requests();
    assert_eq!(rest[..4].iter().map(|block| block.piece).collect::<BTreeSet<_>>(), [asked[0].piece].into(), "strict priority");
    assert!(rest.iter().all(|block| !asked[..4].contains(block)));
}

#[test]
fn a_window_of_requests_is_kept_full_and_grows_with_the_rate() {
    let content = Content::new(3000 * BLOCK as usize, 16 * BLOCK);
    let world = World::new();
    world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let mut queue = seed.hears_requests();
    assert_eq!(queue.len(), 16);
    let mut longest = 0;
    // A megabyte a second, in steps of a tenth: the window shall come to cover some three seconds.
    for _ in 0..200 {
        let now: Vec<Block> = queue.drain(..queue.len().min(6)).collect();
        seed.sends(&content, &now);
        queue.extend(seed.hears_requests());
        longest = longest.max(queue.len());
        assert!(!queue.is_empty(), "the pipe never runs dry");
        world.passes(Duration::from_millis(100));
    }
    assert!((100..=500).contains(&longest), "{longest} blocks ahead");
}

#[test]
fn a_slow_peer_is_asked_for_little() {
    let content = Content::new(1000 * BLOCK as usize, 16 * BLOCK);
    let world = World::new();
    world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let mut queue = seed.hears_requests();
    for _ in 0..60 {
        seed.sends(&content, &[queue.remove(0)]);
        queue.extend(seed.hears_requests());
        world.passes(Duration::from_secs(3));
    }
    assert!(queue.len() <= 16, "{} blocks ahead of a peer that sends one in three seconds", queue.len());
}

#[test]
fn what_a_gone_peer_owed_is_asked_of_others() {
    let content = Content::new(40 * BLOCK as usize, 8 * BLOCK);
    let world = World::new();
    world.leeches(&content);
    let [one, other] = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.seed_joins(&content, remote));
    one.says(Message::Unchoke);
    let owed = one.hears_requests();
    one.sends(&content, &owed[..3]);
    other.says(Message::Unchoke);
    one.ends();
    other.serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn what_a_choking_peer_owed_is_asked_of_others_and_taken_if_it_comes_late() {
    let content = Content::new(16 * BLOCK as usize, 8 * BLOCK);
    let world = World::new();
    let torrent = world.leeches(&content);
    let [one, other] = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.seed_joins(&content, remote));
    one.says(Message::Unchoke);
    let owed = one.hears_requests();
    assert_eq!(owed.len(), 16);
    one.says(Message::Choke);
    // This one was on its way.
    one.sends(&content, &owed[..1]);
    assert!(!one.is_closed());
    other.says(Message::Unchoke);
    let asked = other.hears_requests();
    assert_eq!(sorted(asked.clone()), sorted(owed[1..].to_vec()));
    other.sends(&content, &asked);
    other.serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
    assert_eq!(world.status(torrent).wasted, 0);
}

#[test]
fn what_a_snubbing_peer_owes_is_asked_of_others() {
    let content = Content::new(16 * BLOCK as usize, 8 * BLOCK);
    let world = World::new();
    let torrent = world.leeches(&content);
    let [snubber, other] = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.joins(&content, remote));
    snubber.says_all([content.bitfield(0..2), Message::Unchoke]);
    let owed = snubber.hears_requests();
    assert_eq!(owed.len(), 16);
    other.says(content.bitfield([1]));
    world.seconds(61);
    assert!(world.peers(torrent).iter().any(|peer| peer.snubbed));
    assert_eq!(sorted(snubber.hears_cancels()), sorted(owed.clone()), "it hears that it need not hurry any more");
    assert!(snubber.hears_requests().len() <= 1, "one request at a time");
    other.says_all([Message::Have(0), Message::Unchoke]);
    other.serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn a_snubbing_peer_is_the_last_to_be_asked_again() {
    let content = Content::new(BLOCK as usize, BLOCK);
    let world = World::with(|config| config.endgame_requests = 1);
    world.leeches(&content);
    let [snubber, other] = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.seed_joins(&content, remote));
    [&snubber, &other].iter().for_each(|peer| peer.says(Message::Unchoke));
    assert_eq!([&snubber, &other].map(|peer| peer.hears_requests().len()), [1, 0], "nothing is asked twice");
    world.seconds(61);
    assert_eq!([&snubber, &other].map(|peer| peer.hears_requests().len()), [0, 1]);
}

#[test]
fn what_a_peer_owes_that_asks_without_end_is_asked_of_others() {
    // What it sends would stand behind its requests, which are not read before it has taken what it asked for.
    let content = Content::new(4 * BLOCK as usize, BLOCK);
    let world = World::with(|config| (config.endgame_requests, config.upload_queue_limit) = (1, 4));
    world.has(&content, [0, 1, 2]);
    let torrent = world.leeches(&content);
    let [flooder, other] = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.joins(&content, remote));
    flooder.says_all([content.bitfield(0..4), Message::Unchoke, Message::Interested]);
    assert_eq!(flooder.hears_requests().len(), 1);
    other.says_all([content.bitfield(0..4), Message::Unchoke]);
    for _ in 0..61 {
        // It takes one block a second, and asks for more than that.
        flooder.takes_no_writes();
        (0..10).for_each(|_| flooder.says(Message::Request(content.blocks(0)[0])));
        assert!(!flooder.is_read());
        flooder.takes_writes();
        world.seconds(1);
    }
    assert!(world.peers(torrent).iter().any(|peer| peer.snubbed));
    assert_eq!(other.hears_requests(), content.blocks(3));
}

#[test]
fn a_snubbing_peer_hears_of_all_that_was_cancelled_even_if_it_takes_nothing_for_long() {
    let content = Content::new(3 * BLOCK as usize, 4 * BLOCK);
    let world = World::new();
    world.leeches(&content);
    let [snubber, other] = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.seed_joins(&content, remote));
    snubber.says(Message::Unchoke);
    let owed = snubber.hears_requests();
    assert_eq!(owed.len(), 3);
    snubber.takes_no_writes();
    other.says(Message::Unchoke);
    let asked = other.hears_requests();
    other.sends(&content, &asked[..1]);
    other.sends(&content, &asked[1..2]);
    world.seconds(61);
    snubber.takes_writes();
    assert_eq!(sorted(snubber.hears_cancels()), sorted(owed));
}

#[test]
fn a_snubbing_peer_that_sends_again_is_forgiven() {
    let content = Content::new(64 * BLOCK as usize, 8 * BLOCK);
    let world = World::new();
    let torrent = world.leeches(&content);
    let peer = world.seed_joins(&content, "10.0.0.1:5000");
    peer.says(Message::Unchoke);
    let owed = peer.hears_requests();
    world.seconds(61);
    assert!(world.peers(torrent)[0].snubbed);
    let asked = peer.hears_requests();
    assert_eq!(asked.len(), 1);
    peer.sends(&content, &asked);
    assert!(!world.peers(torrent)[0].snubbed);
    // And what it sends late of what was cancelled is no fault.
    peer.sends(&content, &owed[8..10]);
    assert!(!peer.is_closed());
    peer.serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn in_endgame_the_last_blocks_are_asked_of_two_and_cancelled_with_the_slower() {
    let content = Content::new(8 * BLOCK as usize, 8 * BLOCK);
    let world = World::new();
    let torrent = world.leeches(&content);
    let slow = world.seed_joins(&content, "10.0.0.1:5000");
    slow.says(Message::Unchoke);
    let owed = slow.hears_requests();
    assert_eq!(owed, content.blocks(0));
    let fast = world.seed_joins(&content, "10.0.0.2:5000");
    fast.says(Message::Unchoke);
    let twice = fast.hears_requests();
    assert_eq!(sorted(twice.clone()), owed, "asked for a second time");
    fast.sends(&content, &twice[..1]);
    assert_eq!(slow.hears_cancels(), [twice[0]]);
    // The cancelled block was on its way: it is wasted, and no fault.
    slow.sends(&content, &twice[..1]);
    assert!(!slow.is_closed());
    assert_eq!(world.status(torrent).wasted, u64::from(BLOCK));
    slow.sends(&content, &twice[1..2]);
    assert_eq!(fast.hears_cancels(), [twice[1]]);
    fast.sends(&content, &twice[2..]);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn no_block_is_asked_of_two_peers_before_endgame() {
    let content = Content::new(200 * BLOCK as usize, 8 * BLOCK);
    let world = World::new();
    world.leeches(&content);
    let peers = ["10.0.0.1:5000", "10.0.0.2:5000", "10.0.0.3:5000"].map(|remote| world.seed_joins(&content, remote));
    peers.iter().for_each(|peer| peer.says(Message::Unchoke));
    let mut seen = BTreeSet::new();
    for peer in peers.iter().cycle().take(30) {
        let asked = peer.hears_requests();
        for block in &asked {
            assert!(seen.insert(*block), "{block:?} was asked for twice");
        }
        if seen.len() > 150 {
            return;
        }
        peer.sends(&content, &asked);
    }
}

#[test]
fn the_same_block_twice_closes_the_peer_that_sent_it() {
    let content = Content::new(64 * BLOCK as usize, 8 * BLOCK);
    let world = World::new();
    world.leeches(&content);
    let peer = world.seed_joins(&content, "10.0.0.1:5000");
    peer.says(Message::Unchoke);
    let block = peer.hears_requests()[0];
    peer.sends(&content, &[block, block]);
    assert!(peer.is_closed(), "it was asked for once");
}

#[test]
fn rare_pieces_come_first() {
    let content = Content::new(20 * BLOCK as usize, BLOCK);
    let world = World::with(|config| config.random_first_pieces = 0);
    world.leeches(&content);
    for number in 2..6 {
        let common = world.joins(&content, &format!("10.0.0.{number}:5000"));
        common.says(content.bitfield((0..20).filter(|piece| *piece != 13 && *piece != 17)));
    }
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let first: BTreeSet<u32> = seed.hears_requests()[..2].iter().map(|block| block.piece).collect();
    assert_eq!(first, [13, 17].into());
}

#[test]
fn no_more_is_asked_for_than_a_peer_queues() {
    let (world, content) = (World::new(), Content::new(200 * BLOCK as usize, 4 * BLOCK));
    world.leeches(&content);
    let handshake = ExtensionHandshake { request_queue: Some(3), ..ExtensionHandshake::default() };
    let peer = world.joins_extended(&content, "10.0.0.1:5000", handshake);
    peer.says_all([Message::HaveAll, Message::Unchoke]);
    let mut waiting = peer.hears_requests();
    for _ in 0..50 {
        assert_eq!(waiting.len(), 3);
        peer.sends(&content, &[waiting.remove(0)]);
        waiting.extend(peer.hears_requests());
    }
}

#[test]
fn who_comes_with_nothing_to_do_gets_all_that_one_who_snubs_us_still_owes() {
    let (world, content) = (World::with(|config| config.endgame_requests = 1), Content::new(BLOCK as usize, BLOCK));
    let torrent = world.leeches(&content);
    let snubber = world.seed_joins(&content, "10.0.0.1:5000");
    snubber.says(Message::Unchoke);
    assert_eq!(snubber.hears_requests().len(), 1);
    world.seconds(70);
    assert!(world.peers(torrent)[0].snubbed);
    assert_eq!(snubber.hears_requests().len(), 1, "there is nobody else");
    let other = world.seed_joins(&content, "10.0.0.2:5000");
    other.says(Message::Unchoke);
    other.serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}
