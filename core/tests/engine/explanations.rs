//! Why things are as they are, as people are told it.

use crate::{
    BLOCK,
    support::{Content, World, only},
};
use rustor_core::{
    command::Command,
    engine::{DownloadReason, PickOrder, PieceState, TorrentReason, UploadReason},
    wire::Message,
};

fn content() -> Content {
    Content::new(20 * BLOCK as usize, 2 * BLOCK)
}

#[test]
fn a_download_without_peers_says_when_trackers_and_peers_are_tried_again() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    assert!(matches!(world.explains(torrent).torrent[..], [TorrentReason::NobodyKnown { .. }]));
    world.does(Command::AddPeers { torrent, peers: vec!["10.0.0.1:5000".parse().unwrap()] });
    world.refuses("10.0.0.1:5000");
    let [TorrentReason::NobodyConnected { known: 1, next_attempt: Some(wait) }] = world.explains(torrent).torrent[..] else {
        panic!("{:?}", world.explains(torrent));
    };
    assert_eq!(wait.as_secs(), 30);
    world.does(Command::Pause(torrent));
    assert_eq!(world.explains(torrent).torrent, [TorrentReason::Paused]);
}

#[test]
fn a_download_says_who_chokes_and_who_owes_what() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let poor = world.joins(&content, "10.0.0.1:5000");
    assert_eq!(world.explains(torrent).torrent, [TorrentReason::NobodyHasMore { peers: 1 }]);
    let seed = world.seed_joins(&content, "10.0.0.2:5000");
    assert_eq!(world.explains(torrent).torrent, [TorrentReason::AllChoke { peers: 1 }]);
    seed.says(Message::Unchoke);
    let why = world.explains(torrent);
    assert!(matches!(why.torrent[..], [TorrentReason::Fetching { peers: 1, .. }]), "{why:?}");
    let download = |remote| why.peers.iter().find(|peer| peer.remote == remote).map(|peer| peer.download);
    assert_eq!(download(poor.remote()), Some(DownloadReason::HasNothing));
    assert!(matches!(download(seed.remote()), Some(DownloadReason::Owes { .. })));
    world.seconds(61);
    let why = world.explains(torrent);
    assert!(why.peers.iter().any(|peer| matches!(peer.download, DownloadReason::Snubs { .. })), "{why:?}");
}

#[test]
fn a_seeder_says_why_a_peer_is_choked() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 1), content());
    let torrent = world.seeds(&content);
    assert_eq!(world.explains(torrent).torrent, [TorrentReason::Complete]);
    let peers = ["10.0.0.1:5000", "10.0.0.2:5000", "10.0.0.3:5000"].map(|remote| world.joins(&content, remote));
    peers[0].says(Message::Interested);
    peers[1].says(Message::Interested);
    let why = world.explains(torrent);
    let upload = |peer: usize| why.peers.iter().find(|known| known.remote == peers[peer].remote()).map(|known| known.upload);
    assert_eq!(upload(0), Some(UploadReason::HasSlot));
    assert_eq!(upload(1), Some(UploadReason::NoSlot { taken: 1, slots: 1 }));
    assert_eq!(upload(2), Some(UploadReason::WantsNothing));
    assert!(why.next_choke_round.is_some_and(|wait| wait.as_secs() == 10), "{why:?}");
}

#[test]
fn a_piece_says_how_far_it_is_and_what_it_waits_for() {
    let (world, content) = (World::new(), content());
    let torrent = world.adds(&content, |add| add.choices.sequential = true);
    let state = |piece| world.explains_piece(torrent, piece).map(|why| why.state);
    assert_eq!((state(0), state(9), state(10)), (Some(PieceState::NobodyHasIt), Some(PieceState::NobodyHasIt), None));
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says(content.bitfield([0, 1]));
    assert_eq!((state(0), state(2)), (Some(PieceState::HoldersChoke), Some(PieceState::NobodyHasIt)));
    peer.says(Message::Unchoke);
    assert_eq!(state(0), Some(PieceState::Begun { blocks: 2, received: 0, requested: 2 }));
    peer.sends(&content, &content.blocks(0)[..1]);
    let why = world.explains_piece(torrent, 0).unwrap();
    assert_eq!(why.state, PieceState::Begun { blocks: 2, received: 1, requested: 1 });
    assert_eq!((why.order, why.availability, why.asked), (PickOrder::Sequential, 1, vec![(peer.remote(), 1)]));
    assert_eq!(world.explains(torrent).peers[0].owes, [(0, 1), (1, 2)]);
    world.disk_holds();
    peer.sends(&content, &content.blocks(0)[1..]);
    assert_eq!(state(0), Some(PieceState::Storing));
    world.disk_catches_up();
    assert_eq!(state(0), Some(PieceState::Verified));
}

#[test]
fn a_piece_of_a_file_that_nobody_wants_says_so() {
    let (world, content) = (World::new(), Content::files(&[("a", 2 * BLOCK as usize), ("b", 2 * BLOCK as usize)], 2 * BLOCK));
    let torrent = world.adds(&content, |add| add.choices = only(&[1]));
    world.seed_joins(&content, "10.0.0.1:5000");
    let state = |piece| world.explains_piece(torrent, piece).map(|why| why.state);
    assert_eq!((state(0), state(1)), (Some(PieceState::NotWanted), Some(PieceState::HoldersChoke)));
}
