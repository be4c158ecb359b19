//! Peers that misbehave cost only themselves.

use crate::{
    BLOCK,
    support::{Content, Peer, World},
};
use rustor_core::{
    id::TorrentId,
    peer::{CloseReason, ProtocolError},
    time::Duration,
    wire::{Block, Message, WireError},
};

fn content() -> Content {
    Content::new(10 * BLOCK as usize, 2 * BLOCK)
}

/// A download with a good seed that serves it and another peer, which has just shaken hands.
fn download() -> (World, Content, TorrentId, Peer, Peer) {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let good = world.seed_joins(&content, "10.0.0.1:5000");
    let bad = world.joins(&content, "10.0.0.66:5000");
    (world, content, torrent, good, bad)
}

/// The bad peer is gone for this reason, and the download goes on as if it had never been.
fn costs_only_itself(world: &World, content: &Content, torrent: TorrentId, good: &Peer, bad: &Peer, error: ProtocolError) {
    assert_eq!(bad.reason(), Some(CloseReason::Protocol(error)));
    good.says(Message::Unchoke);
    good.serves(content);
    assert_eq!(world.status(torrent).pieces_verified, content.pieces());
    assert!(world.disk(|disk| disk.holds("folder", content)));
}

#[test]
fn a_piece_never_asked_for() {
    let (world, content, torrent, good, bad) = download();
    bad.says(content.message(content.blocks(0)[0]));
    costs_only_itself(&world, &content, torrent, &good, &bad, ProtocolError::Block);
}

#[test]
fn blocks_that_are_not_those_asked_for() {
    let wrong = |block: Block, change: fn(&mut Block)| {
        let mut wrong = block;
        change(&mut wrong);
        wrong
    };
    let changes: [fn(&mut Block); 5] = [
        |block| block.length -= 1,
        |block| block.length = 0,
        |block| block.offset += 1,
        |block| block.piece = 1000,
        |block| block.offset = u32::MAX,
    ];
    for change in changes {
        let (world, content, torrent, good, bad) = download();
        bad.says_all([content.bitfield([0]), Message::Unchoke]);
        let block = wrong(bad.hears_requests()[0], change);
        bad.says(Message::Piece {
            piece: block.piece,
            offset: block.offset,
            data: bytes::Bytes::from(vec![0; block.length as usize]).into(),
        });
        costs_only_itself(&world, &content, torrent, &good, &bad, ProtocolError::Block);
    }
}

#[test]
fn a_block_that_is_longer_than_any() {
    let (world, content, torrent, good, bad) = download();
    bad.says_bytes([&(9 + (128u32 << 10) + 1).to_be_bytes()[..], &[7], &[0; 8]].concat());
    let announced = matches!(bad.reason(), Some(CloseReason::Protocol(ProtocolError::Wire(WireError::MessageTooLong { .. }))));
    assert!(announced);
    good.says(Message::Unchoke);
    good.serves(&content);
    assert_eq!(world.status(torrent).pieces_verified, content.pieces());
}

#[test]
fn a_message_of_two_gigabytes_is_refused_before_any_of_it_comes() {
    let (world, content, torrent, good, bad) = download();
    bad.says_bytes(0x8000_0000_u32.to_be_bytes().to_vec());
    assert!(matches!(bad.reason(), Some(CloseReason::Protocol(ProtocolError::Wire(WireError::MessageTooLong { id: None, .. })))));
    good.says(Message::Unchoke);
    good.serves(&content);
    assert_eq!(world.status(torrent).pieces_verified, content.pieces());
}

#[test]
fn requests_that_are_impossible() {
    let impossible = [
        Block { piece: 5, offset: 0, length: BLOCK },
        Block { piece: u32::MAX, offset: 0, length: BLOCK },
        Block { piece: 0, offset: 2 * BLOCK, length: 1 },
        Block { piece: 0, offset: BLOCK + 1, length: BLOCK },
        Block { piece: 0, offset: u32::MAX, length: u32::MAX },
        Block { piece: 0, offset: 0, length: 0 },
        Block { piece: 0, offset: 0, length: (128 << 10) + 1 },
    ];
    for block in impossible {
        let (world, content, torrent, good, bad) = download();
        bad.says(Message::Request(block));
        costs_only_itself(&world, &content, torrent, &good, &bad, ProtocolError::Request);
    }
}

#[test]
fn messages_of_extensions_that_were_not_agreed_on() {
    let block = Block { piece: 0, offset: 0, length: BLOCK };
    for message in [Message::HaveAll, Message::HaveNone, Message::Suggest(0), Message::AllowedFast(0), Message::Reject(block)] {
        let (world, content, torrent, good, bad) = download();
        bad.says(message);
        costs_only_itself(&world, &content, torrent, &good, &bad, ProtocolError::Unexpected);
    }
}

#[test]
fn messages_of_the_wrong_length() {
    for bytes in [&[0, 0, 0, 2, 0, 0][..], &[0, 0, 0, 1, 4], &[0, 0, 0, 12, 6], &[0, 0, 0, 4, 7]] {
        let (_, _, _, _, bad) = download();
        bad.says_bytes(bytes.to_vec());
        assert!(matches!(bad.reason(), Some(CloseReason::Protocol(ProtocolError::Wire(_)))), "{bytes:?}");
    }
}

#[test]
fn unknown_messages_are_skipped() {
    let (world, content, torrent, good, other) = download();
    other.says_bytes([&[0, 0, 0, 5, 99][..], &[1, 2, 3, 4]].concat());
    other.says(Message::Port(6881));
    assert!(!other.is_closed());
    good.says(Message::Unchoke);
    good.serves(&content);
    assert_eq!(world.status(torrent).pieces_verified, content.pieces());
}

#[test]
fn who_is_silent_is_closed_after_two_and_a_half_minutes() {
    let (world, _, _, _, silent) = download();
    world.seconds(149);
    assert!(!silent.is_closed());
    world.seconds(2);
    assert_eq!(silent.reason(), Some(CloseReason::IdleTimeout));
}

#[test]
fn keep_alives_keep_a_connection_and_come_from_us_too() {
    let (world, _, _, _, quiet) = download();
    for _ in 0..10 {
        world.seconds(119);
        quiet.says(Message::KeepAlive);
    }
    assert!(!quiet.is_closed());
    let heard = quiet.hears();
    assert!(heard.iter().all(|message| *message == Message::KeepAlive));
    assert_eq!(heard.len(), 11, "one for every hundred seconds");
}

#[test]
fn an_idle_connection_costs_a_few_wakes_an_hour() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    let before = world.wakes();
    for _ in 0..60 {
        world.seconds(60);
        peer.says(Message::KeepAlive);
    }
    let wakes = world.wakes() - before - 60;
    assert!(!peer.is_closed());
    assert!(wakes < 200, "{wakes} wakes");
}

#[test]
fn who_takes_nothing_is_closed() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says(Message::Interested);
    peer.takes_no_writes();
    peer.says(Message::Request(content.blocks(0)[0]));
    for _ in 0..4 {
        world.seconds(29);
        peer.says(Message::KeepAlive);
    }
    assert!(!peer.is_closed());
    world.seconds(5);
    assert_eq!(peer.reason(), Some(CloseReason::WriteTimeout));
}

#[test]
fn a_flood_of_requests_is_read_no_further_than_it_is_answered_and_nothing_of_it_is_dropped() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says(Message::Interested);
    peer.takes_no_writes();
    let block = content.blocks(0)[0];
    for _ in 0..10 {
        peer.says_all((0..2000).map(|_| Message::Request(block)));
    }
    assert!(world.disk(|disk| disk.count(crate::support::Job::Read(0))) <= 80, "1 MiB is read ahead, not more");
    assert!(!peer.is_read(), "nobody listens to more");
    world.seconds(60);
    assert!(!peer.is_closed() && !peer.is_read(), "who takes nothing may say four times as much, not everything");
    peer.takes_writes();
    assert!(!peer.is_closed());
    assert_eq!(peer.hears_blocks().len(), 20_000);
}

#[test]
fn a_peer_that_reads_only_once_it_has_said_all_is_listened_to() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says(Message::Interested);
    peer.takes_no_writes();
    let block = content.blocks(0)[0];
    for _ in 0..6 {
        peer.says_all((0..1000).map(|_| Message::Request(block)));
    }
    assert!(!peer.is_read());
    world.seconds(3);
    assert!(peer.is_read(), "all that it said was read");
    let before = world.wakes();
    world.seconds(30);
    assert!(world.wakes() - before < 20);
    peer.takes_writes();
    assert_eq!(peer.hears_blocks().len(), 6000);
}

#[test]
fn a_choke_lets_a_peer_that_asked_too_much_be_heard_again() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 1), content());
    world.seeds(&content);
    let [one, other] = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.joins(&content, remote));
    one.says(Message::Interested);
    one.takes_no_writes();
    one.says_all((0..9000).map(|_| Message::Request(content.blocks(0)[0])).chain([Message::NotInterested]));
    other.says(Message::Interested);
    for _ in 0..8 {
        world.seconds(10);
        other.says(Message::KeepAlive);
    }
    assert!(!one.is_read());
    one.takes_writes();
    assert!(one.is_read() && !one.is_closed());
    assert!(world.peers(world.torrent_of(&content)).iter().any(|peer| !peer.peer_interested));
}

/// Transmission asks for ten seconds ahead if nobody tells it a limit, and waits for a minute for what was dropped.
#[test]
fn thousands_of_requests_ahead_are_all_answered() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says(Message::Interested);
    let block = content.blocks(0)[0];
    peer.says_all((0..6000).map(|_| Message::Request(block)));
    world.seconds(1);
    assert_eq!(peer.hears_blocks().len(), 6000);
}

/// A byte now and then is no silence; but a block has to come to its end some time.
#[test]
fn who_dribbles_a_byte_a_minute_keeps_no_blocks() {
    let (world, content, torrent, good, slow) = download();
    slow.says_all([content.bitfield(0..5), Message::Unchoke]);
    let owed = slow.hears_requests();
    assert_eq!(owed.len(), 10, "everything is asked of the slow one");
    let mut block = Vec::new();
    content.message(owed[0]).encode(&mut block);
    slow.says_bytes(block[..20].to_vec());
    // The good one is not asked for the same, because there is no endgame for it yet.
    for byte in &block[20..25] {
        world.passes(Duration::from_secs(50));
        good.says(Message::KeepAlive);
        slow.says_bytes(vec![*byte]);
    }
    assert_eq!(slow.hears_cancels().len(), 10);
    good.says(Message::Unchoke);
    good.serves(&content);
    assert_eq!(world.status(torrent).pieces_verified, content.pieces());
}

#[test]
fn a_flood_of_choke_and_unchoke_is_answered_once_a_read() {
    let (world, content, torrent, good, peer) = download();
    peer.says(content.bitfield(0..5));
    peer.hears();
    for _ in 0..20 {
        peer.says_all((0..1000).map(|at| if at % 2 == 0 { Message::Unchoke } else { Message::Choke }));
    }
    assert!(peer.hears().len() <= 20 * 10, "requests may go out only where a read ends unchoked");
    good.says(Message::Unchoke);
    good.serves(&content);
    assert_eq!(world.status(torrent).pieces_verified, content.pieces());
}

#[test]
fn a_flood_of_interest_is_answered_once_a_read() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.hears();
    for _ in 0..20 {
        peer.says_all((0..1000).map(|at| if at % 2 == 0 { Message::NotInterested } else { Message::Interested }));
    }
    assert_eq!(peer.hears(), [Message::Unchoke]);
}

#[test]
fn a_stream_that_breaks_or_ends_is_closed() {
    let (world, _, torrent, good, bad) = download();
    bad.breaks();
    good.ends();
    assert!(matches!(bad.reason(), Some(CloseReason::Stream(_))));
    assert_eq!(good.reason(), Some(CloseReason::ClosedByPeer));
    assert_eq!(world.status(torrent).peers, 0);
}

#[test]
fn who_dribbles_the_blocks_it_owes_does_not_stop_the_download() {
    let (world, content, torrent, good, slow) = download();
    slow.says_all([content.bitfield(0..5), Message::Unchoke]);
    let owed = slow.hears_requests();
    assert_eq!(owed.len(), 10, "everything is asked of the slow one");
    let mut block = Vec::new();
    content.message(owed[0]).encode(&mut block);
    slow.says_bytes(block[..20].to_vec());
    good.says(Message::Unchoke);
    for byte in &block[20..40] {
        slow.says_bytes(vec![*byte]);
        good.serves(&content);
        world.passes(Duration::from_secs(30));
    }
    assert_eq!(world.status(torrent).pieces_verified, content.pieces());
}
