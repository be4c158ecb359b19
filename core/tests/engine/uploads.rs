//! What a peer gets from us: only what it may have, and what it still wants (BEP 3).

use crate::{
    BLOCK,
    support::{Content, Job, Peer, World},
};
use rustor_core::wire::{Block, Message};

fn content() -> Content {
    Content::new(40 * BLOCK as usize, 4 * BLOCK)
}

/// A seed, and a peer that it has unchoked.
fn seeding() -> (World, Content, Peer) {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says(Message::Interested);
    assert!(peer.heard(&Message::Unchoke));
    peer.hears();
    (world, content, peer)
}

#[test]
fn choked_peer_gets_nothing() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says(Message::Request(content.blocks(0)[0]));
    assert!(!peer.is_closed(), "a request may have crossed a choke");
    assert_eq!(peer.hears_blocks(), []);
    assert_eq!(world.disk(|disk| disk.count(Job::Read(0))), 0);
}

#[test]
fn an_unchoked_peer_gets_what_it_asks_for() {
    let (_, content, peer) = seeding();
    let blocks = content.blocks(3);
    peer.says_all(blocks.iter().copied().map(Message::Request));
    let expected: Vec<_> = blocks.iter().map(|block| content.message(*block)).collect();
    assert_eq!(peer.hears(), expected);
}

#[test]
fn requests_of_odd_length_are_answered_up_to_128_kib() {
    let content = Content::new(300 << 10, 256 << 10);
    let world = World::new();
    world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says(Message::Interested);
    peer.hears();
    for block in [
        Block { piece: 0, offset: 1, length: 1 },
        Block { piece: 0, offset: 7, length: 128 << 10 },
        Block { piece: 1, offset: 100, length: 999 },
    ] {
        peer.says(Message::Request(block));
        assert_eq!(peer.hears(), [content.message(block)]);
    }
}

#[test]
fn contiguous_requests_become_one_disk_read() {
    let (world, content, peer) = seeding();
    peer.says_all(content.blocks(0).into_iter().chain(content.blocks(1)).map(Message::Request));
    assert_eq!(world.disk(|disk| disk.count(Job::Read(0))), 1);
    assert_eq!(peer.hears_blocks().len(), 8);
}

#[test]
fn a_piece_that_we_lack_is_not_sent() {
    let (world, content) = (World::new(), content());
    world.has(&content, [1]);
    world.leeches(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says(Message::Interested);
    peer.says_all([Message::Request(content.blocks(0)[0]), Message::Request(content.blocks(1)[0])]);
    assert!(!peer.is_closed());
    assert_eq!(peer.hears_blocks(), [content.blocks(1)[0]]);
}

#[test]
fn a_cancelled_request_is_not_sent() {
    let (world, content, peer) = seeding();
    let blocks = content.blocks(0);
    // Waiting to be read, being read, and read: a cancel reaches all three.
    peer.says_all([Message::Request(blocks[0]), Message::Cancel(blocks[0])]);
    assert_eq!(peer.hears(), []);
    world.disk_holds();
    peer.says(Message::Request(blocks[1]));
    peer.says(Message::Cancel(blocks[1]));
    world.disk_catches_up();
    assert_eq!(peer.hears(), []);
    peer.takes_no_writes();
    peer.says(Message::Request(blocks[2]));
    peer.says(Message::Request(blocks[3]));
    peer.says(Message::Cancel(blocks[3]));
    peer.takes_writes();
    assert_eq!(peer.hears_blocks(), [blocks[2]], "what was handed to the host still goes");
}

#[test]
fn a_cancel_of_what_was_never_asked_for_is_harmless() {
    let (_, content, peer) = seeding();
    peer.says_all([Message::Cancel(Block { piece: u32::MAX, offset: 5, length: u32::MAX }), Message::Request(content.blocks(0)[0])]);
    assert_eq!(peer.hears_blocks(), [content.blocks(0)[0]]);
}

/// Two peers and one slot: when the seed's slot goes to the other, the first is choked.
fn two_peers_and_one_slot() -> (World, Content, Peer, Peer) {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 1), content());
    world.seeds(&content);
    let [one, other] = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.joins(&content, remote));
    one.says(Message::Interested);
    assert!(one.heard(&Message::Unchoke));
    other.says(Message::Interested);
    one.hears();
    other.hears();
    (world, content, one, other)
}

#[test]
fn a_choke_drops_what_waits_but_not_what_was_handed_to_the_host() {
    let (world, content, one, other) = two_peers_and_one_slot();
    one.takes_no_writes();
    one.says_all((0..10).flat_map(|piece| content.blocks(piece)).map(Message::Request));
    for _ in 0..4 {
        world.seconds(10);
        if other.heard(&Message::Unchoke) {
            break;
        }
    }
    one.takes_writes();
    let heard = one.hears();
    let choke = heard.iter().position(|message| *message == Message::Choke).expect("a choke");
    assert!(choke >= 1, "the write under way comes first");
    assert_eq!(heard.len(), choke + 1, "nothing comes after the choke");
    assert!(heard.len() < 40);
}

/// A choke and an unchoke while the peer takes no writes: if requests were dropped on the way, the peer must hear of it, or it would
/// wait for them for ever.
#[test]
fn a_choke_that_is_taken_back_unsaid_loses_no_request() {
    let (world, content, one, other) = two_peers_and_one_slot();
    one.takes_no_writes();
    let blocks: Vec<Block> = (0..10).flat_map(|piece| content.blocks(piece)).collect();
    one.says_all(blocks.iter().copied().map(Message::Request));
    for _ in 0..10 {
        world.seconds(10);
        if other.heard(&Message::Unchoke) {
            break;
        }
    }
    other.ends();
    one.takes_writes();
    let heard = one.hears();
    let after = heard.iter().rposition(|message| *message == Message::Choke).map_or(0, |at| at + 1);
    let choked_and_unchoked = after > 0 && heard[after..].contains(&Message::Unchoke);
    let answered = heard.iter().filter(|message| matches!(message, Message::Piece { .. })).count();
    assert!(choked_and_unchoked || answered == blocks.len(), "{answered} of {} blocks came, and no choke", blocks.len());
}

#[test]
fn requests_that_follow_an_unchoke_after_a_choke_are_served() {
    let (world, content, one, other) = two_peers_and_one_slot();
    for _ in 0..4 {
        world.seconds(10);
    }
    assert!(one.heard(&Message::Choke) && other.heard(&Message::Unchoke));
    other.ends();
    assert!(one.heard(&Message::Unchoke));
    one.says(Message::Request(content.blocks(2)[1]));
    assert_eq!(one.hears_blocks(), [content.blocks(2)[1]]);
}

#[test]
fn a_read_that_the_disk_finishes_after_the_peer_is_gone_is_dropped() {
    let (world, content, peer) = seeding();
    world.disk_holds();
    peer.says(Message::Request(content.blocks(0)[0]));
    assert_eq!(world.jobs(), [Job::Read(BLOCK)]);
    peer.ends();
    world.disk_catches_up();
    assert!(peer.is_closed());
}
