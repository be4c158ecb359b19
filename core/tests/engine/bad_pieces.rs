//! Pieces that do not fit their hash: who is to blame, and how the true ones come.

use crate::{
    BLOCK,
    support::{Content, Peer, World},
};
use rustor_core::{
    command::Command,
    event::Event,
    id::TorrentId,
    peer::CloseReason,
    wire::{Block, Message},
};

fn bans(world: &World) -> Vec<String> {
    let mut banned = Vec::new();
    world.count_events(|event| {
        if let Event::PeerBanned { remote, .. } = event {
            banned.push(remote.ip().to_string());
        }
        false
    });
    banned
}

fn sends_bad(peer: &Peer, content: &Content, blocks: &[Block]) {
    blocks.iter().for_each(|block| peer.says(content.bad_message(*block)));
}

/// One piece of two blocks, and two peers that were asked for one block each.
fn shared_piece() -> (World, Content, TorrentId, [Peer; 2]) {
    let content = Content::new(2 * BLOCK as usize, 2 * BLOCK);
    let world = World::with(|config| (config.request_initial, config.request_minimum) = (1, 1));
    let torrent = world.leeches(&content);
    let peers = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.seed_joins(&content, remote));
    (world, content, torrent, peers)
}

#[test]
fn who_sent_all_of_a_bad_piece_is_banned_and_the_piece_fetched_again() {
    let content = Content::new(8 * BLOCK as usize, 2 * BLOCK);
    let world = World::new();
    let torrent = world.leeches(&content);
    let bad = world.seed_joins(&content, "10.0.0.66:5000");
    bad.says(Message::Unchoke);
    let asked = bad.hears_requests();
    sends_bad(&bad, &content, &asked[..2]);
    assert_eq!(bad.reason(), Some(CloseReason::Banned));
    assert_eq!(world.count_events(|event| matches!(event, Event::PieceFailed { .. })), 1);
    assert_eq!(bans(&world), ["10.0.0.66"]);
    assert_eq!(world.status(torrent).wasted, 2 * u64::from(BLOCK));
    let good = world.seed_joins(&content, "10.0.0.1:5000");
    good.says(Message::Unchoke);
    good.serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn a_bad_piece_never_touches_the_disk_and_is_announced_to_nobody() {
    let content = Content::new(2 * BLOCK as usize, 2 * BLOCK);
    let world = World::new();
    world.leeches(&content);
    let watcher = world.joins(&content, "10.0.0.2:5000");
    let bad = world.seed_joins(&content, "10.0.0.66:5000");
    bad.says(Message::Unchoke);
    sends_bad(&bad, &content, &bad.hears_requests());
    world.seconds(1);
    assert!(world.disk(|disk| disk.files.is_empty()));
    assert_eq!(watcher.hears(), []);
}

#[test]
fn of_two_senders_the_guilty_one_is_found_and_the_innocent_one_stays() {
    for guilty in [0, 1] {
        let (world, content, torrent, peers) = shared_piece();
        let [bad, good] = if guilty == 0 { [&peers[0], &peers[1]] } else { [&peers[1], &peers[0]] };
        peers.iter().for_each(|peer| peer.says(Message::Unchoke));
        let (bad_block, good_block) = (bad.hears_requests(), good.hears_requests());
        assert_eq!((bad_block.len(), good_block.len()), (1, 1));
        good.sends(&content, &good_block);
        bad.hears();
        sends_bad(bad, &content, &bad_block);
        assert!(!bad.is_closed() && !good.is_closed(), "nobody is blamed without proof");
        // The piece is asked of one of them alone. Whoever that is, in the end a true copy comes.
        for _ in 0..4 {
            if !bad.is_closed() {
                sends_bad(bad, &content, &bad.hears_requests());
            }
            if !good.is_closed() {
                good.sends(&content, &good.hears_requests());
            }
        }
        assert!(world.disk(|disk| disk.holds("folder", &content)));
        assert!(bad.is_closed(), "guilty: {guilty}");
        assert_eq!(bans(&world), [bad.remote().ip().to_string()], "once, and nobody else");
        assert_eq!(world.status(torrent).pieces_verified, 1);
    }
}

#[test]
fn after_a_failure_a_piece_is_asked_of_one_peer_alone() {
    let (world, content, _, [one, other]) = shared_piece();
    [&one, &other].into_iter().for_each(|peer| peer.says(Message::Unchoke));
    one.sends(&content, &one.hears_requests());
    one.hears();
    sends_bad(&other, &content, &other.hears_requests()[..1]);
    world.seconds(1);
    let (of_one, of_other) = (one.hears_requests().len(), other.hears_requests().len());
    assert!(of_one == 0 || of_other == 0, "{of_one} of the one, {of_other} of the other");
    assert!(of_one + of_other > 0);
}

#[test]
fn a_piece_kept_for_a_peer_that_leaves_is_fetched_from_others() {
    let (world, content, _, [one, other]) = shared_piece();
    [&one, &other].into_iter().for_each(|peer| peer.says(Message::Unchoke));
    one.sends(&content, &one.hears_requests());
    one.hears();
    sends_bad(&other, &content, &other.hears_requests()[..1]);
    let kept = if one.hears_requests().is_empty() { [&other, &one] } else { [&one, &other] };
    kept[0].ends();
    kept[1].serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn a_piece_kept_for_a_peer_that_was_not_asked_for_it_yet_is_fetched_from_others_at_once() {
    for leaves in [true, false] {
        let (world, content, _, [one, other]) = shared_piece();
        [&one, &other].into_iter().for_each(|peer| peer.says(Message::Unchoke));
        let (of_one, of_other) = (one.hears_requests(), other.hears_requests());
        one.sends(&content, &of_one);
        // The piece will be kept for the one who joined last. It does not hear of that, because it takes nothing that is written.
        other.takes_no_writes();
        other.says(Message::Interested);
        sends_bad(&other, &content, &of_other[..1]);
        assert_eq!(world.count_events(|event| matches!(event, Event::PieceFailed { .. })), 1);
        one.hears();
        if leaves {
            other.ends()
        } else {
            other.says(Message::Choke)
        }
        assert!(!one.hears_requests().is_empty(), "leaves: {leaves}");
    }
}

#[test]
fn a_banned_peer_is_neither_let_in_nor_called_nor_learnt_of_again() {
    let content = Content::new(8 * BLOCK as usize, 2 * BLOCK);
    let world = World::new();
    let torrent = world.adds(&content, |add| add.peers = vec!["10.0.0.66:6881".parse().unwrap()]);
    let bad = world.answers("10.0.0.66:6881");
    bad.shakes_hands(&content);
    bad.says_all([content.bitfield(0..4), Message::Unchoke]);
    sends_bad(&bad, &content, &bad.hears_requests()[..2]);
    assert_eq!(bad.reason(), Some(CloseReason::Banned));
    let again = world.joins(&content, "10.0.0.66:40000");
    assert!(again.is_closed());
    world.does(Command::AddPeers { torrent, peers: vec!["10.0.0.66:6881".parse().unwrap(), "10.0.0.66:6882".parse().unwrap()] });
    world.seconds(7200);
    assert!(world.dials().is_empty());
}

#[test]
fn other_peers_at_a_banned_address_are_not_called_either() {
    let content = Content::new(8 * BLOCK as usize, 2 * BLOCK);
    let world = World::with(|config| config.limits.connections_per_torrent = 1);
    let remotes = ["10.0.0.66:6881", "10.0.0.66:6882"];
    world.adds(&content, |add| add.peers = remotes.map(|remote| remote.parse().unwrap()).to_vec());
    let first = world.dials()[0].to_string();
    let bad = world.answers(&first);
    bad.shakes_hands(&content);
    bad.says_all([content.bitfield(0..4), Message::Unchoke]);
    sends_bad(&bad, &content, &bad.hears_requests()[..2]);
    for _ in 0..60 {
        assert_eq!(world.dials(), [], "it was known before the ban");
        world.seconds(5);
    }
}

#[test]
fn several_peers_at_a_loopback_address_are_told_apart_by_their_port() {
    let content = Content::new(8 * BLOCK as usize, 2 * BLOCK);
    let world = World::new();
    world.leeches(&content);
    let bad = world.seed_joins(&content, "127.0.0.1:5001");
    let good = world.seed_joins(&content, "127.0.0.1:5002");
    bad.says(Message::Unchoke);
    sends_bad(&bad, &content, &bad.hears_requests()[..2]);
    assert!(bad.is_closed() && !good.is_closed());
    good.says(Message::Unchoke);
    good.serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn who_is_banned_for_several_pieces_is_told_of_once() {
    for bad_remote in ["10.0.0.66:5000", "127.0.0.1:5000"] {
        let content = Content::new(16 * BLOCK as usize, 2 * BLOCK);
        let world = World::with(|config| (config.request_initial, config.request_minimum, config.request_maximum) = (1, 1, 1));
        world.leeches(&content);
        let bad = world.seed_joins(&content, bad_remote);
        let good = world.seed_joins(&content, "127.0.0.1:5001");
        world.disk_holds();
        [&bad, &good].into_iter().for_each(|peer| peer.says(Message::Unchoke));
        // Each sends one block of two pieces.
        for _ in 0..2 {
            let (of_bad, of_good) = (bad.hears_requests(), good.hears_requests());
            good.sends(&content, &of_good);
            sends_bad(&bad, &content, &of_bad);
        }
        world.disk_catches_up();
        assert_eq!(world.count_events(|event| matches!(event, Event::PieceFailed { .. })), 2);
        assert!(!bad.is_closed());
        good.serves(&content);
        if !bad.is_closed() {
            bad.ends();
            good.serves(&content);
        }
        assert!(world.disk(|disk| disk.holds("folder", &content)));
        assert_eq!(bans(&world), [bad.remote().ip().to_string()], "{bad_remote}");
    }
}

/// A piece of eight blocks to which one of two peers has put a bad one. It waits for the disk, which is yet to say so.
fn failing_piece() -> (World, Content, [Peer; 2]) {
    let content = Content::new(8 * BLOCK as usize, 8 * BLOCK);
    let world = World::with(|config| (config.request_initial, config.request_minimum, config.request_maximum) = (1, 1, 1));
    world.leeches(&content);
    let [bad, good] = ["10.0.0.66:5000", "10.0.0.1:5000"].map(|remote| world.seed_joins(&content, remote));
    world.disk_holds();
    [&bad, &good].into_iter().for_each(|peer| peer.says(Message::Unchoke));
    sends_bad(&bad, &content, &bad.hears_requests());
    for _ in 0..8 {
        [&bad, &good].into_iter().for_each(|peer| peer.sends(&content, &peer.hears_requests()));
    }
    assert_eq!(world.jobs().len(), 1);
    (world, content, [bad, good])
}

#[test]
fn a_piece_that_failed_goes_to_one_who_sent_nothing_of_it() {
    let (world, content, [bad, good]) = failing_piece();
    let clean = world.seed_joins(&content, "10.0.0.2:5000");
    clean.says(Message::Unchoke);
    // The others have sent us more.
    world.disk_catches_up();
    assert_eq!(clean.hears_requests().len(), 1);
    world.seconds(30);
    assert_eq!((bad.hears_requests(), good.hears_requests()), (vec![], vec![]));
    clean.says(content.message(content.blocks(0)[0]));
    clean.serves(&content);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
    assert_eq!(bans(&world), ["10.0.0.66"]);
}

#[test]
fn who_brings_a_piece_that_failed_in_drops_does_not_keep_it() {
    for another in [true, false] {
        let (world, content, [bad, good]) = failing_piece();
        let another = another.then(|| world.seed_joins(&content, "10.0.0.2:5000"));
        let slow = world.seed_joins(&content, "10.0.0.3:5000");
        another.iter().chain([&slow]).for_each(|peer| peer.says(Message::Unchoke));
        world.disk_catches_up();
        // A block in twenty seconds: it is not silent, and snubs nobody.
        for _ in 0..3 {
            assert_eq!(bad.hears_requests().len() + good.hears_requests().len(), 0);
            assert!(another.iter().all(|another| another.hears_requests().is_empty()));
            slow.serves_some(&content, 1);
            world.seconds(20);
        }
        world.seconds(1);
        assert!(!slow.is_closed() && !slow.hears_cancels().is_empty());
        match &another {
            Some(another) => {
                // It gets all of what is missing, and the others still nothing.
                assert_eq!(bad.hears_requests().len() + good.hears_requests().len(), 0);
                another.serves(&content);
            }
            None => good.serves(&content),
        }
        assert!(world.disk(|disk| disk.holds("folder", &content)), "{}", another.is_some());
        assert_eq!(bans(&world), ["10.0.0.66"]);
    }
}
