//! What a peer says that it has, and the interest that follows from it (BEP 3).

use crate::{
    BLOCK,
    support::{Content, World},
};
use rustor_core::{
    peer::{CloseReason, ProtocolError},
    time::Duration,
    wire::{Message, WireError},
};

fn content() -> Content {
    Content::new(10 * BLOCK as usize, BLOCK)
}

fn protocol(error: ProtocolError) -> Option<CloseReason> {
    Some(CloseReason::Protocol(error))
}

#[test]
fn a_bitfield_with_spare_bits_set_is_refused() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says(Message::Bitfield(vec![0xff, 0xe0].into()));
    assert_eq!(peer.reason(), protocol(ProtocolError::Bitfield));
}

#[test]
fn a_bitfield_of_the_wrong_length_is_refused() {
    for (length, too_long) in [(0, false), (1, false), (3, true)] {
        let (world, content) = (World::new(), content());
        world.leeches(&content);
        let peer = world.joins(&content, "10.0.0.1:5000");
        peer.says(Message::Bitfield(vec![0; length].into()));
        let refused_unread = matches!(peer.reason(), Some(CloseReason::Protocol(ProtocolError::Wire(WireError::MessageTooLong { .. }))));
        assert!(refused_unread == too_long && (too_long || peer.reason() == protocol(ProtocolError::Bitfield)), "{length}");
    }
}

/// BEP 3 wants it first, but real clients say other things before it.
#[test]
fn a_bitfield_after_another_message_counts() {
    for (first, known) in [(Message::Unchoke, 4), (Message::Interested, 4), (Message::Have(3), 4), (Message::Have(9), 5)] {
        let (world, content) = (World::new(), content());
        let torrent = world.leeches(&content);
        let peer = world.joins(&content, "10.0.0.1:5000");
        peer.says_all([first, content.bitfield(2..6)]);
        assert_eq!(world.peers(torrent)[0].pieces, known);
    }
}

/// aria2 sends another bitfield where it is shorter than the haves it stands for.
#[test]
fn a_later_bitfield_adds_to_what_is_known() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says_all([content.bitfield(0..3), content.bitfield(2..5)]);
    assert_eq!(world.peers(torrent)[0].pieces, 5);
    peer.says(Message::Bitfield(vec![0xff, 0xff].into()));
    assert_eq!(peer.reason(), protocol(ProtocolError::Bitfield));
}

#[test]
fn a_bitfield_may_follow_a_keep_alive() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says_all([Message::KeepAlive, content.bitfield(0..3)]);
    assert_eq!(world.peers(torrent)[0].pieces, 3);
}

#[test]
fn a_have_out_of_range_is_refused() {
    for piece in [10, u32::MAX] {
        let (world, content) = (World::new(), content());
        world.leeches(&content);
        let peer = world.joins(&content, "10.0.0.1:5000");
        peer.says(Message::Have(piece));
        assert_eq!(peer.reason(), protocol(ProtocolError::PieceOutOfRange));
    }
}

#[test]
fn a_repeated_have_changes_nothing() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says_all([Message::Have(3), Message::Have(3), Message::Have(3)]);
    assert_eq!(world.peers(torrent)[0].pieces, 1);
    assert_eq!(peer.hears(), [Message::Interested]);
    peer.says(Message::Unchoke);
    peer.serves(&content);
    world.seconds(1);
    assert_eq!(peer.hears(), [Message::NotInterested], "counted once, so gone once");
}

#[test]
fn haves_make_a_seed_of_a_peer() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says_all((0..10).map(Message::Have));
    assert_eq!((world.status(torrent).seeds, world.peers(torrent)[0].pieces), (1, 10));
}

#[test]
fn who_has_nothing_sends_no_bitfield_and_hears_no_interest() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    assert_eq!(peer.hears(), []);
}

#[test]
fn interest_is_told_also_while_choked() {
    let (world, content) = (World::new(), content());
    world.has(&content, [0, 1]);
    world.leeches(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says(content.bitfield([0, 1]));
    assert_eq!(peer.hears(), [content.bitfield([0, 1])], "it has nothing new");
    peer.says(Message::Have(2));
    assert_eq!(peer.hears(), [Message::Interested]);
}

#[test]
fn interest_ends_when_another_peer_brought_the_last_piece_of_use() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let one = world.joins(&content, "10.0.0.1:5000");
    let other = world.joins(&content, "10.0.0.2:5000");
    one.says(content.bitfield([4]));
    other.says(content.bitfield([4, 5]));
    assert!(one.heard(&Message::Interested) && other.heard(&Message::Interested));
    other.says(Message::Unchoke);
    other.sends(&content, &content.blocks(4));
    world.passes(Duration::from_millis(100));
    assert!(one.heard(&Message::NotInterested), "while it still chokes us");
    assert!(!other.heard(&Message::NotInterested), "it has another piece of use");
    one.says(Message::Have(6));
    assert!(one.heard(&Message::Interested));
}

#[test]
fn a_stored_piece_is_told_to_all_who_lack_it_and_to_nobody_else() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    let owner = world.joins(&content, "10.0.0.2:5000");
    owner.says(content.bitfield([3]));
    let newcomer = world.joins(&content, "10.0.0.3:5000");
    seed.says(Message::Unchoke);
    let requests = seed.hears_requests();
    world.disk_holds();
    seed.sends(&content, &requests.iter().copied().filter(|block| block.piece == 3).collect::<Vec<_>>());
    world.seconds(1);
    assert_eq!(newcomer.hears_haves(), [], "not before it is on disk");
    world.disk_catches_up();
    world.seconds(1);
    assert_eq!(newcomer.hears_haves(), [3]);
    assert_eq!(seed.hears_haves(), []);
    assert_eq!(owner.hears_haves(), []);
}

#[test]
fn who_joins_between_a_piece_and_its_announcement_hears_of_it_once() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    let requests = seed.hears_requests();
    seed.sends(&content, &requests[..1]);
    let piece = requests[0].piece;
    let early = world.joins(&content, "10.0.0.2:5000");
    world.seconds(1);
    let late = world.joins(&content, "10.0.0.3:5000");
    assert_eq!(early.hears(), [Message::Have(piece)]);
    assert_eq!(late.hears(), [content.bitfield([piece])]);
}

#[test]
fn two_seeds_part() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.seed_joins(&content, "10.0.0.1:5000");
    assert_eq!(peer.reason(), Some(CloseReason::NoUse));
}

#[test]
fn seeds_are_let_go_once_we_have_everything() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    let leecher = world.joins(&content, "10.0.0.2:5000");
    seed.says(Message::Unchoke);
    seed.serves(&content);
    assert_eq!(seed.reason(), Some(CloseReason::NoUse));
    assert!(!leecher.is_closed());
    let mut told = leecher.hears_haves();
    told.sort();
    assert_eq!(told, (0..10).collect::<Vec<_>>());
}

#[test]
fn how_many_peers_hold_each_piece_is_told_until_every_piece_is_here() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    assert_eq!(world.availability(torrent), Some(vec![0; 10]));
    let [some, all] = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.joins(&content, remote));
    some.says_all([content.bitfield(0..3), Message::Have(9)]);
    all.says(content.bitfield(0..10));
    assert_eq!(world.availability(torrent), Some(vec![2, 2, 2, 1, 1, 1, 1, 1, 1, 2]));
    some.breaks();
    assert_eq!(world.availability(torrent), Some(vec![1; 10]));
    all.says(Message::Unchoke);
    all.serves(&content);
    assert_eq!(world.availability(torrent), None);
}
