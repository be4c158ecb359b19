//! From a magnet link to a download, over the connections that gave the metadata.

use crate::{
    BLOCK,
    support::{Content, Peer, World, handshake},
};
use rustor_core::{
    choices::Priority,
    command::{AddTorrent, Command, Reply},
    id::TorrentId,
    metainfo::Magnet,
    status::TorrentState,
    wire::{
        Handshake, Message, Reserved,
        extension::{ExtensionHandshake, ExtensionIds, ExtensionMessage, MetadataMessage},
    },
};
use std::ops::Range;

/// A magnet link of which so much is wanted until its owner knows better, and a peer that has these pieces and gives the metadata.
fn described(world: &World, content: &Content, other_files: Priority, has: Range<u32>) -> (TorrentId, Peer) {
    let magnet: Magnet = format!("magnet:?xt=urn:btih:{}", content.info_hash()).parse().unwrap();
    let mut add = AddTorrent::new(magnet, "folder");
    add.choices.other_files = other_files;
    let Ok(Reply::Added(torrent)) = world.command(Command::Add(Box::new(add))) else { panic!("refused") };
    let peer = world.stranger("10.0.0.1:5000");
    let extended = Handshake { reserved: Reserved::default().with_extension(), ..handshake(content, peer.remote()) };
    peer.says_bytes(extended.encode().to_vec());
    let info = content.metainfo().info.raw().clone();
    let say = |message: ExtensionMessage| peer.says(message.encode(&ExtensionIds::OURS).unwrap());
    peer.says_all([content.bitfield(has), Message::Interested]);
    let (ids, metadata_size) = (ExtensionIds::OURS, Some(info.len() as u32));
    say(ExtensionMessage::Handshake(Box::new(ExtensionHandshake { ids, metadata_size, ..ExtensionHandshake::default() })));
    assert_eq!(world.state(torrent), TorrentState::FetchingMetadata);
    say(ExtensionMessage::Metadata(MetadataMessage::Data { piece: 0, total_size: metadata_size, data: info }));
    (torrent, peer)
}

#[test]
fn who_gave_the_metadata_hears_at_once_what_is_wanted_and_what_is_given() {
    let (world, content) = (World::new(), Content::new(4 * BLOCK as usize, BLOCK));
    world.has(&content, 0..1);
    let (torrent, peer) = described(&world, &content, Priority::Normal, 1..4);
    assert_eq!(world.state(torrent), TorrentState::Downloading);
    let heard = peer.hears();
    assert!(heard.contains(&Message::Interested) && heard.contains(&Message::Unchoke), "{heard:?}");
}

#[test]
fn a_seed_that_gave_the_metadata_stays_while_the_owner_chooses() {
    let (world, content) = (World::new(), Content::new(4 * BLOCK as usize, BLOCK));
    world.disk_holds();
    let (torrent, peer) = described(&world, &content, Priority::Skip, 0..4);
    world.does(Command::Choose { torrent, choices: Box::default() });
    world.disk_catches_up();
    assert_eq!((world.state(torrent), peer.is_closed()), (TorrentState::Downloading, false));
    assert!(peer.heard(&Message::Interested));
}

#[test]
fn a_seed_that_gave_the_metadata_stays_however_long_the_owner_takes_to_choose() {
    let (world, content) = (World::new(), Content::new(4 * BLOCK as usize, BLOCK));
    let (torrent, peer) = described(&world, &content, Priority::Skip, 0..4);
    assert_eq!((world.state(torrent), peer.is_closed()), (TorrentState::Seeding, false), "nothing is wanted yet");
    world.seconds(20);
    world.does(Command::Choose { torrent, choices: Box::default() });
    assert_eq!((world.state(torrent), peer.is_closed()), (TorrentState::Downloading, false));
    assert!(peer.heard(&Message::Interested));
}
