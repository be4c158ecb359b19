//! A seed that shows each peer one piece at a time (BEP 16).

use crate::{
    BLOCK,
    support::{Content, Peer, World},
};
use rustor_core::{
    choices::Choices,
    command::Command,
    id::TorrentId,
    peer::CloseReason,
    wire::{Message, extension::ExtensionHandshake},
};

/// Twenty pieces of two blocks.
fn content() -> Content {
    Content::new(40 * BLOCK as usize, 2 * BLOCK)
}

fn super_seeding(content: &Content) -> (World, TorrentId) {
    let world = World::new();
    world.has(content, 0..content.pieces());
    let torrent = world.adds(content, |add| add.choices.super_seeding = true);
    (world, torrent)
}

/// A peer that has nothing, and what it is offered.
fn newcomer(world: &World, content: &Content, remote: &str) -> (Peer, u32) {
    let peer = world.joins_fast(content, remote);
    assert_eq!(peer.hears(), [Message::HaveNone]);
    peer.says_all([Message::HaveNone, Message::Interested]);
    let offered = peer.hears_haves();
    assert_eq!(offered.len(), 1);
    (peer, offered[0])
}

/// The peer fetches what it was offered, and says that it has it.
fn fetches(peer: &Peer, content: &Content, piece: u32) {
    peer.says_all(content.blocks(piece).into_iter().map(Message::Request));
    assert_eq!(peer.hears_blocks(), content.blocks(piece));
    peer.says(Message::Have(piece));
}

#[test]
fn everyone_hears_that_we_have_nothing_and_then_of_another_piece() {
    let content = content();
    let (world, _) = super_seeding(&content);
    let (one, first) = newcomer(&world, &content, "10.0.0.1:5000");
    let (_, second) = newcomer(&world, &content, "10.0.0.2:5000");
    assert_ne!(first, second);
    assert_eq!(one.hears_allowed_fast(), []);
    // Who does not know the fast extension is told nothing, which means the same.
    let simple = world.joins(&content, "10.0.0.3:5000");
    let offered = simple.hears();
    assert!(matches!(offered[..], [Message::Have(piece)] if piece != first && piece != second), "{offered:?}");
}

#[test]
fn only_what_was_offered_is_sent() {
    let content = content();
    let (world, _) = super_seeding(&content);
    let (peer, offered) = newcomer(&world, &content, "10.0.0.1:5000");
    let hidden = content.blocks((offered + 1) % 20)[0];
    peer.says(Message::Request(hidden));
    assert_eq!((peer.hears_blocks(), peer.hears_rejects()), (vec![], vec![hidden]));
    fetches(&peer, &content, offered);
}

#[test]
fn the_next_piece_is_offered_when_the_first_was_seen_elsewhere() {
    let content = content();
    let (world, _) = super_seeding(&content);
    let (one, first) = newcomer(&world, &content, "10.0.0.1:5000");
    let (other, second) = newcomer(&world, &content, "10.0.0.2:5000");
    fetches(&one, &content, first);
    world.seconds(20);
    assert_eq!(one.hears_haves(), []);
    other.says(Message::Have(first));
    let next = one.hears_haves();
    assert!(next.len() == 1 && next[0] != first && next[0] != second);
    assert_eq!(other.hears_haves(), []);
}

#[test]
fn a_lone_leecher_gets_everything_piece_by_piece() {
    let content = content();
    let (world, torrent) = super_seeding(&content);
    let (peer, mut piece) = newcomer(&world, &content, "10.0.0.1:5000");
    for number in 1..=20 {
        fetches(&peer, &content, piece);
        match peer.is_closed() {
            true => assert_eq!((number, peer.reason()), (20, Some(CloseReason::NoUse))),
            false => piece = peer.hears_haves()[0],
        }
    }
    assert!(peer.is_closed());
    assert_eq!(world.status(torrent).uploaded, content.data.len() as u64);
}

#[test]
fn a_piece_that_does_not_spread_is_followed_by_another_after_a_while() {
    let content = content();
    let (world, _) = super_seeding(&content);
    let (one, first) = newcomer(&world, &content, "10.0.0.1:5000");
    newcomer(&world, &content, "10.0.0.2:5000");
    fetches(&one, &content, first);
    world.seconds(31);
    assert_eq!(one.hears_haves().len(), 1);
}

#[test]
fn another_seed_ends_it() {
    let content = content();
    let (world, _) = super_seeding(&content);
    let (peer, offered) = newcomer(&world, &content, "10.0.0.1:5000");
    let seed = world.joins_fast(&content, "10.0.0.2:5000");
    seed.says(Message::HaveAll);
    assert_eq!(seed.reason(), Some(CloseReason::NoUse));
    let mut told = peer.hears_haves();
    told.extend([offered]);
    told.sort();
    told.dedup();
    assert_eq!(told, (0..20).collect::<Vec<_>>());
    let late = world.joins_fast(&content, "10.0.0.3:5000");
    assert_eq!(late.hears(), [Message::HaveAll]);
}

#[test]
fn the_owner_ends_it_and_begins_it_again() {
    let content = content();
    let (world, torrent) = super_seeding(&content);
    let peer = world.joins_extended(&content, "10.0.0.1:5000", ExtensionHandshake::default());
    peer.says(Message::HaveNone);
    assert_eq!(peer.hears_introductions()[0].upload_only, None, "who wants nothing could have everything");
    peer.hears();
    let choose = |super_seeding| {
        world.does(Command::Choose { torrent, choices: Box::new(Choices { super_seeding, ..Choices::default() }) });
    };
    choose(false);
    assert_eq!(peer.hears_introductions()[0].upload_only, Some(true));
    assert!(peer.hears_haves().len() >= 19);
    choose(true);
    peer.says(Message::Interested);
    let block = content.blocks(7)[0];
    peer.says(Message::Request(block));
    assert_eq!(peer.hears_blocks(), [block], "who knows everything may have everything");
    newcomer(&world, &content, "10.0.0.2:5000");
}

#[test]
fn who_is_not_complete_does_not_pose() {
    let (world, content) = (World::new(), content());
    world.has(&content, 0..5);
    world.adds(&content, |add| add.choices.super_seeding = true);
    let peer = world.joins_fast(&content, "10.0.0.1:5000");
    assert_eq!(peer.hears(), [content.bitfield(0..5)]);
}
