//! Who wants nothing more says so, and two of them part (BEP 21).

use crate::{
    BLOCK,
    support::{Content, World},
};
use rustor_core::{
    peer::CloseReason,
    wire::{
        Message,
        extension::{ExtensionHandshake, ExtensionIds},
    },
};

fn content() -> Content {
    Content::new(4 * BLOCK as usize, BLOCK)
}

fn wants_nothing() -> ExtensionHandshake {
    ExtensionHandshake { upload_only: Some(true), metadata_size: Some(100), ids: ExtensionIds::OURS, ..ExtensionHandshake::default() }
}

#[test]
fn a_seed_says_that_it_wants_nothing_and_a_leecher_says_nothing() {
    let content = content();
    for has_all in [true, false] {
        let world = World::new();
        if has_all {
            world.seeds(&content)
        } else {
            world.leeches(&content)
        };
        let peer = world.joins_extended(&content, "10.0.0.1:5000", ExtensionHandshake::default());
        let said: Vec<_> = peer.hears_introductions().iter().map(|handshake| handshake.upload_only).collect();
        assert_eq!(said, [has_all.then_some(true)]);
    }
}

#[test]
fn who_completes_says_so_to_everyone() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let leecher = world.joins_extended(&content, "10.0.0.1:5000", ExtensionHandshake::default());
    leecher.says(Message::HaveNone);
    leecher.hears();
    let seed = world.joins_fast(&content, "10.0.0.2:5000");
    seed.says_all([Message::HaveAll, Message::Unchoke]);
    seed.serves(&content);
    let said: Vec<_> = leecher.hears_introductions().iter().map(|handshake| handshake.upload_only).collect();
    assert_eq!(said, [Some(true)]);
    assert!(!leecher.is_closed());
}

#[test]
fn two_that_want_nothing_part() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins_extended(&content, "10.0.0.1:5000", wants_nothing());
    assert_eq!(peer.reason(), Some(CloseReason::NoUse));
}

#[test]
fn who_wants_nothing_any_more_is_let_go_when_it_says_so() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins_extended(&content, "10.0.0.1:5000", ExtensionHandshake::default());
    peer.says_all([content.bitfield([0, 1]), Message::Interested]);
    assert!(!peer.is_closed());
    peer.introduces_itself(wants_nothing());
    assert_eq!(peer.reason(), Some(CloseReason::NoUse));
}

#[test]
fn who_wants_nothing_is_let_go_once_we_have_everything() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let partial = world.joins_extended(&content, "10.0.0.1:5000", wants_nothing());
    partial.says(content.bitfield([0]));
    assert!(partial.heard(&Message::Interested), "it still has something for us");
    let seed = world.joins_fast(&content, "10.0.0.2:5000");
    seed.says_all([Message::HaveAll, Message::Unchoke]);
    seed.serves(&content);
    assert_eq!(partial.reason(), Some(CloseReason::NoUse));
}

/// Some say that they want nothing as long as they do not know what there is.
#[test]
fn who_comes_for_metadata_may_stay() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins_extended(&content, "10.0.0.1:5000", ExtensionHandshake { metadata_size: None, ..wants_nothing() });
    peer.says(Message::HaveNone);
    assert!(!peer.is_closed());
    peer.introduces_itself(wants_nothing());
    assert_eq!(peer.reason(), Some(CloseReason::NoUse));
}

#[test]
fn a_partial_seed_that_we_called_is_not_called_again_while_we_want_nothing() {
    let (world, content) = (World::new(), content());
    world.has(&content, 0..4);
    world.adds(&content, |add| add.peers.push("10.0.0.1:5000".parse().expect("an address")));
    let peer = world.answers("10.0.0.1:5000");
    peer.shakes_hands_with(&content, rustor_core::wire::Reserved::default().with_extension());
    peer.introduces_itself(wants_nothing());
    assert_eq!(peer.reason(), Some(CloseReason::NoUse));
    world.seconds(3600);
    assert_eq!(world.dials(), []);
}
