//! Torrents of unusual shape.

use crate::{
    BLOCK,
    support::{Content, Job, World},
};
use rustor_core::{status::TorrentState, wire::Message};

/// A torrent of this shape comes from a seed, goes to a leecher, and is found again.
fn works(content: &Content) {
    let world = World::new();
    let torrent = world.leeches(content);
    if content.pieces() > 0 {
        let seed = world.seed_joins(content, "10.0.0.1:5000");
        seed.says(Message::Unchoke);
        seed.serves(content);
    }
    assert_eq!(world.state(torrent), TorrentState::Seeding);
    assert!(world.disk(|disk| disk.holds("folder", content)));
    let leecher = world.joins(content, "10.0.0.2:5000");
    leecher.says(Message::Interested);
    leecher.hears();
    for piece in 0..content.pieces() {
        leecher.says_all(content.blocks(piece).into_iter().map(Message::Request));
        assert_eq!(leecher.hears(), content.blocks(piece).into_iter().map(|block| content.message(block)).collect::<Vec<_>>());
    }
    let again = World::new();
    again.disk(|disk| disk.files = world.disk(|disk| std::mem::take(&mut disk.files)));
    let torrent = again.leeches(content);
    assert_eq!((again.state(torrent), again.status(torrent).pieces_verified), (TorrentState::Seeding, content.pieces()));
}

#[test]
fn a_torrent_of_one_byte() {
    works(&Content::new(1, BLOCK));
    works(&Content::new(1, 1));
}

#[test]
fn a_torrent_of_no_bytes_is_complete_at_once() {
    let content = Content::files(&[("empty", 0), ("nothing", 0)], BLOCK);
    works(&content);
    let world = World::new();
    world.leeches(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    assert!(!peer.is_closed());
    assert_eq!(peer.hears(), []);
    peer.says(Message::Have(0));
    assert!(peer.is_closed());
}

#[test]
fn files_shorter_than_a_block() {
    works(&Content::files(&[("a", 1), ("b", 100), ("empty", 0), ("c", 16383), ("d", 16385), ("e", 1)], BLOCK));
    works(&Content::files(&[("a", 1), ("b", 2), ("c", 3)], 1));
}

#[test]
fn pieces_shorter_than_a_block_and_odd_ones() {
    works(&Content::new(1000, 7));
    works(&Content::new(200_000, 16_385));
    works(&Content::new(200_000, 200_000));
    works(&Content::new(200_000, 1 << 30));
}

#[test]
fn pad_files_are_served_as_zeros_and_never_written() {
    works(&Content::files(&[("a", 5000), (".pad1", 16384 - 5000), ("b", 40_000), (".pad2", 32768 * 2 - 40_000 - 16384)], 2 * BLOCK));
}

#[test]
fn a_piece_that_is_all_padding_needs_no_peer_to_seed_it() {
    let content = Content::files(&[("a", BLOCK as usize), (".pad1", 3 * BLOCK as usize), ("b", BLOCK as usize)], BLOCK);
    let world = World::new();
    world.has(&content, [0, 4]);
    let torrent = world.leeches(&content);
    assert_eq!(world.state(torrent), TorrentState::Seeding);
}

#[test]
fn a_seed_writes_nothing() {
    let content = Content::files(&[("a", 5000), ("b", 40_000), ("empty", 0)], BLOCK);
    let world = World::new();
    world.seeds(&content);
    assert_eq!(world.disk(|disk| (disk.count(Job::Prepare), disk.count(Job::Store(0)))), (0, 0));
}

#[test]
fn many_pieces_are_checked_a_few_jobs_at_a_time() {
    let content = Content::new(40 << 20, 1 << 20);
    let world = World::new();
    world.has(&content, 0..40);
    world.disk_holds();
    let torrent = world.leeches(&content);
    world.disk_does_next(Job::Open);
    assert_eq!(world.jobs(), [Job::Verify(0), Job::Verify(4), Job::Verify(8), Job::Verify(12)]);
    world.disk_does(3);
    assert_eq!((world.status(torrent).checked, world.state(torrent)), (4 << 20, TorrentState::Checking));
    assert_eq!(world.jobs().len(), 4);
    world.disk_catches_up();
    assert_eq!(world.state(torrent), TorrentState::Seeding);
}

#[test]
fn a_piece_that_is_all_padding_is_asked_of_nobody() {
    let content = Content::files(&[("a", BLOCK as usize), (".pad1", 3 * BLOCK as usize), ("b", BLOCK as usize)], BLOCK);
    let world = World::new();
    let torrent = world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let mut asked = Vec::new();
    loop {
        let requests = seed.hears_requests();
        if requests.is_empty() {
            break;
        }
        asked.extend(requests.iter().map(|block| block.piece));
        seed.sends(&content, &requests);
    }
    asked.sort();
    assert_eq!((asked, world.state(torrent)), (vec![0, 4], TorrentState::Seeding));
}
