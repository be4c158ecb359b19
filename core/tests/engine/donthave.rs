//! Pieces that peers take back (BEP 54).

use crate::{
    BLOCK,
    support::{Content, Peer, World},
};
use rustor_core::{
    peer::{CloseReason, ProtocolError},
    time::Duration,
    wire::{
        Message,
        extension::{Extension, ExtensionHandshake, ExtensionIds},
    },
};

fn content() -> Content {
    Content::new(10 * BLOCK as usize, BLOCK)
}

fn dont_have(piece: u32) -> Message {
    Message::Extended { id: Extension::DontHave.our_id(), payload: piece.to_be_bytes().to_vec().into() }
}

/// A peer that speaks extensions, but not the fast one, and does not say that it knows this one.
fn joins(world: &World, content: &Content) -> Peer {
    let peer = world.stranger("10.0.0.1:5000");
    peer.shakes_hands_with(content, rustor_core::wire::Reserved::default().with_extension());
    peer
}

#[test]
fn we_say_that_we_understand_it() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let peer = joins(&world, &content);
    let ids = peer.hears_introductions()[0].ids;
    assert_eq!(ids.get(Extension::DontHave), ExtensionIds::OURS.get(Extension::DontHave));
}

#[test]
fn a_piece_that_is_taken_back_is_not_asked_for_and_interest_ends_with_the_last_one() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = joins(&world, &content);
    peer.says(content.bitfield([3, 4]));
    assert!(peer.heard(&Message::Interested));
    peer.says(dont_have(3));
    assert_eq!(world.peers(torrent)[0].pieces, 1);
    peer.says(Message::Unchoke);
    assert_eq!(peer.hears_requests(), content.blocks(4));
    peer.says(dont_have(4));
    assert!(peer.heard(&Message::NotInterested));
    peer.says(Message::Have(3));
    assert!(peer.heard(&Message::Interested));
    assert_eq!(peer.hears_requests(), content.blocks(3));
}

#[test]
fn a_seed_that_takes_a_piece_back_is_a_leecher_and_becomes_a_seed_again() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = joins(&world, &content);
    peer.has_all(&content);
    assert_eq!(world.status(torrent).seeds, 1);
    peer.says(dont_have(9));
    assert_eq!((world.status(torrent).seeds, world.peers(torrent)[0].pieces), (0, 9));
    peer.says(Message::Have(9));
    assert_eq!(world.status(torrent).seeds, 1);
}

#[test]
fn without_the_fast_extension_requests_for_the_piece_are_asked_of_another() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let peer = joins(&world, &content);
    peer.says_all([content.bitfield([3]), Message::Unchoke]);
    assert_eq!(peer.hears_requests(), content.blocks(3));
    let other = world.joins(&content, "10.0.0.2:5000");
    other.says(content.bitfield([3]));
    peer.says(dont_have(3));
    other.says(Message::Unchoke);
    assert_eq!(other.hears_requests(), content.blocks(3));
    // It had been sent before.
    peer.sends(&content, &content.blocks(3));
    assert!(!peer.is_closed());
    assert_eq!(world.status(world.torrent_of(&content)).pieces_verified, 1);
}

#[test]
fn with_the_fast_extension_requests_stand_until_they_are_rejected() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = world.joins_extended(&content, "10.0.0.1:5000", ExtensionHandshake::default());
    peer.says_all([content.bitfield([3]), Message::Unchoke]);
    let asked = peer.hears_requests();
    peer.says(dont_have(3));
    assert_eq!(world.peers(torrent)[0].requests, 1);
    peer.says(Message::Reject(asked[0]));
    assert_eq!(world.peers(torrent)[0].requests, 0);
    assert_eq!(peer.hears_requests(), []);
}

#[test]
fn a_piece_that_was_never_there_is_ignored_and_one_that_does_not_exist_refused() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = joins(&world, &content);
    peer.says_all([content.bitfield([3]), dont_have(4), dont_have(4)]);
    assert_eq!(world.peers(torrent)[0].pieces, 1);
    peer.says(dont_have(10));
    assert_eq!(peer.reason(), Some(CloseReason::Protocol(ProtocolError::PieceOutOfRange)));
}

#[test]
fn a_piece_that_comes_and_goes_for_ever_costs_little() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = joins(&world, &content);
    peer.has_all(&content);
    peer.says(Message::Unchoke);
    let mut requests = peer.hears_requests();
    for _ in 0..100 {
        peer.says_all((0..100).flat_map(|_| [dont_have(5), Message::Have(5)]));
    }
    world.passes(Duration::from_secs(1));
    assert_eq!((world.status(torrent).seeds, world.peers(torrent)[0].pieces), (1, 10));
    // What 20,000 messages bring about is at most a request and the like for each read.
    requests.extend(peer.hears_requests());
    assert!(peer.hears().len() + requests.len() <= 300);
    peer.sends(&content, &requests);
    peer.serves(&content);
    assert!(world.status(torrent).pieces_verified >= 9);
}

#[test]
fn who_has_all_and_not_and_all_again_is_a_seed_like_any_other() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let (peer, other) = (world.stranger("10.0.0.1:5000"), world.joins(&content, "10.0.0.2:5000"));
    peer.shakes_hands_with(&content, rustor_core::wire::Reserved::default().with_extension().with_fast());
    other.says(content.bitfield([5, 7]));
    peer.says(Message::HaveAll);
    for _ in 0..10 {
        peer.says_all([dont_have(5), dont_have(9), Message::HaveAll]);
        assert_eq!(world.status(torrent).seeds, 1);
        assert_eq!(world.availability(torrent), Some(vec![1, 1, 1, 1, 1, 2, 1, 2, 1, 1]));
    }
    peer.says(Message::Unchoke);
    peer.serves(&content);
    assert_eq!(world.status(torrent).pieces_verified, 10);
}
