//! Memory for blocks: while the disk is behind, peers wait.

use crate::{
    BLOCK,
    support::{Content, Job, Peer, World},
};
use rustor_core::{
    command::Command,
    peer::{CloseReason, ProtocolError},
    wire::{Block, Message},
};

/// A download whose budget is two pieces of two blocks.
fn tight() -> (World, Content, Peer) {
    let content = Content::new(40 * BLOCK as usize, 2 * BLOCK);
    let world = World::with(|config| config.block_budget = 4 * u64::from(BLOCK));
    world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    (world, content, seed)
}

#[test]
fn at_the_budget_reads_wait_for_the_disk_and_go_on_after_it() {
    let (world, content, seed) = tight();
    world.disk_holds();
    let requests = seed.hears_requests();
    seed.sends(&content, &requests);
    assert!(!seed.is_read());
    assert_eq!(world.jobs().len(), 2, "two pieces are on their way to the disk, and the rest is not read");
    world.disk_does(0);
    assert!(seed.is_read() || world.jobs().len() == 2, "what became free is used");
    world.disk_catches_up();
    seed.serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn a_slice_counts_with_all_the_memory_that_it_keeps() {
    let (world, content, seed) = tight();
    world.disk_holds();
    let requests = seed.hears_requests();
    // One piece, but each of its blocks lies in a buffer of eight blocks.
    for block in &requests[..2] {
        let mut bytes = Vec::new();
        content.message(*block).encode(&mut bytes);
        seed.says_in_buffer(bytes.into(), 8 * BLOCK);
    }
    assert_eq!(world.jobs().len(), 1);
    assert!(!seed.is_read());
    world.disk_catches_up();
    assert!(seed.is_read());
}

#[test]
fn without_work_for_the_disk_reading_goes_on_whatever_is_held() {
    // Pieces longer than the budget can only complete if more is read.
    let content = Content::new(64 * BLOCK as usize, 16 * BLOCK);
    let world = World::with(|config| config.block_budget = u64::from(BLOCK));
    world.leeches(&content);
    let seeds = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.seed_joins(&content, remote));
    seeds.iter().for_each(|seed| seed.says(Message::Unchoke));
    for _ in 0..20 {
        for seed in seeds.iter().filter(|seed| !seed.is_closed()) {
            seed.sends(&content, &seed.hears_requests());
        }
    }
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn a_pause_gives_the_memory_of_begun_pieces_back() {
    let (world, content, seed) = tight();
    let other_content = Content::new(10 * BLOCK as usize, BLOCK);
    world.adds(&other_content, |add| add.folder = "other".to_owned());
    let other = world.seed_joins(&other_content, "10.0.0.2:5000");
    world.disk_holds();
    let requests = seed.hears_requests();
    seed.sends(&content, &requests[..3]);
    other.says(Message::Unchoke);
    let of_other = other.hears_requests();
    other.sends(&other_content, &of_other[..1]);
    assert!(!other.is_read());
    let torrent = world.torrent_of(&content);
    world.does(Command::Pause(torrent));
    world.disk_catches_up();
    other.sends(&other_content, &of_other[1..]);
    other.serves(&other_content);
    assert!(world.disk(|disk| disk.holds("other", &other_content)));
}

#[test]
fn who_waits_for_our_disk_is_neither_snubbing_nor_silent() {
    let (world, content, seed) = tight();
    world.disk_holds();
    seed.sends(&content, &seed.hears_requests()[..4]);
    assert!(!seed.is_read());
    for _ in 0..20 {
        world.seconds(30);
    }
    assert!(!seed.is_closed());
    assert_eq!(seed.hears_cancels(), [], "it could not send although it may have wanted to");
    world.disk_catches_up();
    world.seconds(30);
    assert_eq!(seed.hears_cancels(), [], "its time begins anew");
    assert!(seed.is_read());
}

#[test]
fn a_handshake_does_not_wait_for_the_disk() {
    let (world, content, seed) = tight();
    world.disk_holds();
    seed.sends(&content, &seed.hears_requests()[..4]);
    assert!(!seed.is_read());
    let other = world.joins(&content, "10.0.0.2:5000");
    world.seconds(20);
    assert!(!other.is_closed() && other.heard_handshake().is_some());
}

#[test]
fn a_peer_that_leaves_while_it_waits_is_forgotten() {
    let (world, content, seed) = tight();
    world.disk_holds();
    seed.sends(&content, &seed.hears_requests()[..4]);
    let torrent = world.torrent_of(&content);
    world.does(Command::Pause(torrent));
    assert!(seed.is_closed());
    world.disk_catches_up();
    assert_eq!(world.status(torrent).pieces_verified, 2);
}

#[test]
fn what_is_read_ahead_for_a_peer_that_does_not_take_it_is_bounded() {
    let content = Content::new(400 * BLOCK as usize, 16 * BLOCK);
    let world = World::new();
    world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says(Message::Interested);
    peer.takes_no_writes();
    peer.says_all((0..25).flat_map(|piece| content.blocks(piece)).map(Message::Request));
    let read: u32 = world.disk(|disk| disk.done.iter().map(|job| if let Job::Read(length) = job { *length } else { 0 }).sum());
    assert!((1 << 20..=(1 << 20) + (512 << 10)).contains(&read), "{read} bytes");
    peer.takes_writes();
    assert_eq!(peer.hears_blocks().len(), 400);
}

/// A peer lets us ask and chokes us by turns, so that it may be late with much; all that it was asked for in the end.
fn asked_by_turns(peer: &Peer, turns: usize) -> Vec<Block> {
    let mut asked = Vec::new();
    for _ in 0..turns {
        peer.says(Message::Unchoke);
        asked.extend(peer.hears_requests());
        peer.says(Message::Choke);
    }
    asked
}

#[test]
fn late_blocks_begin_no_more_pieces_than_requests_do() {
    let content = Content::new(200 * BLOCK as usize, 2 * BLOCK);
    let limit = 8;
    let world = World::with(|config| config.begun_limit = limit * u64::from(2 * BLOCK));
    let torrent = world.leeches(&content);
    let peer = world.seed_joins(&content, "10.0.0.66:5000");
    assert!(asked_by_turns(&peer, 20).len() >= 100);
    // One block of each piece: none is ever complete.
    (0..100).for_each(|piece| peer.says(content.message(content.blocks(piece)[0])));
    assert!(!peer.is_closed());
    let status = world.status(torrent);
    assert_eq!((status.downloaded, status.wasted), (100 * u64::from(BLOCK), (100 - limit) * u64::from(BLOCK)));
    // Those that were begun go on.
    peer.says(Message::Unchoke);
    peer.serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn who_chokes_again_and_again_saves_up_no_right_to_send_unasked() {
    let content = Content::new(200 * BLOCK as usize, 2 * BLOCK);
    let world = World::with(|config| (config.request_initial, config.request_maximum) = (50, 64));
    world.leeches(&content);
    let peer = world.seed_joins(&content, "10.0.0.66:5000");
    assert!(asked_by_turns(&peer, 20).len() >= 1000);
    let block = content.message(content.blocks(0)[0]);
    (0..256).for_each(|_| peer.says(block.clone()));
    assert!(!peer.is_closed(), "four times what it may be asked for at once");
    peer.says(block);
    assert_eq!(peer.reason(), Some(CloseReason::Protocol(ProtocolError::Block)));
}
