//! Why things are as they are, as people are told it.

use crate::{
    BLOCK,
    support::{Content, World, only},
};
use rustor_core::{
    command::Command,
    engine::{DownloadReason, Explanation, PickOrder, PieceState, TorrentReason, UploadReason},
    torrent::choker::Stance,
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
    let upload = |why: &Explanation| {
        peers.each_ref().map(|peer| why.peers.iter().find(|known| known.remote == peer.remote()).map(|known| known.upload))
    };
    let why = world.explains(torrent);
    let (taken, has, waits) = (UploadReason::NoSlot { taken: 1, slots: 1 }, UploadReason::HasSlot, UploadReason::Waits);
    assert_eq!(upload(&why), [Some(has), Some(waits), Some(UploadReason::WantsNothing)]);
    assert_eq!(why.stance, Stance::Seeding);
    assert!(why.next_choke_round.is_some_and(|wait| wait.as_secs() == 10), "{why:?}");
    peers[2].says(Message::Interested);
    assert_eq!(upload(&world.explains(torrent)), [Some(has), Some(waits), Some(taken)]);
    // What was said of the next round comes true.
    world.seconds(10);
    assert_eq!(upload(&world.explains(torrent)), [Some(taken), Some(has), Some(taken)], "it keeps the slot for three rounds");
    world.seconds(20);
    assert_eq!(upload(&world.explains(torrent)), [Some(taken), Some(has), Some(waits)]);
}

#[test]
fn a_leecher_says_that_who_gives_nothing_is_choked_though_slots_are_free() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 4), content());
    let torrent = world.leeches(&content);
    let giver = world.joins(&content, "10.0.0.1:5000");
    giver.says(content.bitfield([0, 1]));
    giver.says(Message::Unchoke);
    giver.sends(&content, &[content.blocks(0), content.blocks(1)].concat());
    let takers = ["10.0.0.2:5000", "10.0.0.3:5000", "10.0.0.4:5000"].map(|remote| world.joins(&content, remote));
    giver.says(Message::Interested);
    takers.iter().for_each(|taker| taker.says(Message::Interested));
    world.seconds(10);
    let why = world.explains(torrent);
    assert_eq!(why.stance, Stance::Leeching);
    let of = |reason: UploadReason| why.peers.iter().filter(|peer| peer.upload == reason).count();
    assert_eq!((of(UploadReason::HasSlot), of(UploadReason::Optimistic), of(UploadReason::GivesNothing)), (1, 1, 2), "{why:?}");
    assert_eq!(why.peers[0].merit, content.blocks(0).len() as u64 * 2 * u64::from(BLOCK));
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
