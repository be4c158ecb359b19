//! From a magnet link to a download, over the connections that gave the metadata.

use crate::{
    BLOCK,
    support::{Content, World, handshake},
};
use rustor_core::{
    command::{AddTorrent, Command, Reply},
    metainfo::Magnet,
    status::TorrentState,
    wire::{
        Handshake, Message, Reserved,
        extension::{ExtensionHandshake, ExtensionIds, ExtensionMessage, MetadataMessage},
    },
};

#[test]
fn who_gave_the_metadata_hears_at_once_what_is_wanted_and_what_is_given() {
    let (world, content) = (World::new(), Content::new(4 * BLOCK as usize, BLOCK));
    world.has(&content, 0..1);
    let magnet: Magnet = format!("magnet:?xt=urn:btih:{}", content.info_hash()).parse().unwrap();
    let Ok(Reply::Added(torrent)) = world.command(Command::Add(Box::new(AddTorrent::new(magnet, "folder")))) else { panic!("refused") };
    let peer = world.stranger("10.0.0.1:5000");
    let extended = Handshake { reserved: Reserved::default().with_extension(), ..handshake(&content, peer.remote()) };
    peer.says_bytes(extended.encode().to_vec());
    let info = content.metainfo().info.raw().clone();
    let say = |message: ExtensionMessage| peer.says(message.encode(&ExtensionIds::OURS).unwrap());
    peer.says_all([content.bitfield(1..4), Message::Interested]);
    let (ids, metadata_size) = (ExtensionIds::OURS, Some(info.len() as u32));
    say(ExtensionMessage::Handshake(Box::new(ExtensionHandshake { ids, metadata_size, ..ExtensionHandshake::default() })));
    assert_eq!(world.state(torrent), TorrentState::FetchingMetadata);
    say(ExtensionMessage::Metadata(MetadataMessage::Data { piece: 0, total_size: metadata_size, data: info }));
    assert_eq!(world.state(torrent), TorrentState::Downloading);
    let heard = peer.hears();
    assert!(heard.contains(&Message::Interested) && heard.contains(&Message::Unchoke), "{heard:?}");
}
