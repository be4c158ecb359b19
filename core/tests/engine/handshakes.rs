//! Shaking hands (BEP 3), and with whom not.

use crate::{
    BLOCK,
    support::{Content, World, handshake},
};
use rustor_core::{
    command::Command,
    peer::CloseReason,
    wire::{Handshake, Message, PeerId},
};

fn content() -> Content {
    Content::new(4 * BLOCK as usize, BLOCK)
}

#[test]
fn a_handshake_is_answered_and_carries_our_peer_id() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    let heard = peer.heard_handshake().expect("an answer");
    assert_eq!((heard.info_hash, heard.peer_id), (content.info_hash(), world.our_peer_id()));
    assert_eq!(&heard.peer_id.0[..8], b"-Ru0100-");
    assert_eq!(peer.hears(), [content.bitfield(0..4)]);
}

#[test]
fn who_asks_for_another_torrent_is_closed_without_an_answer() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins(&Content::new(5, 5), "10.0.0.1:5000");
    assert!(peer.is_closed());
    assert_eq!(peer.heard_bytes(), 0);
}

#[test]
fn who_asks_for_a_paused_torrent_is_closed_without_an_answer() {
    let (world, content) = (World::new(), content());
    let torrent = world.seeds(&content);
    world.does(Command::Pause(torrent));
    let peer = world.joins(&content, "10.0.0.1:5000");
    assert!(peer.is_closed());
    assert_eq!(peer.heard_bytes(), 0);
}

#[test]
fn a_peer_that_we_connected_to_and_that_answers_for_another_torrent_is_closed_and_tried_later() {
    let (world, content) = (World::new(), content());
    world.adds(&content, |add| add.peers = vec!["10.0.0.1:6881".parse().unwrap()]);
    let peer = world.answers("10.0.0.1:6881");
    assert_eq!(peer.heard_handshake().map(|heard| heard.info_hash), Some(content.info_hash()), "who connects speaks first");
    peer.shakes_hands(&Content::new(5, 5));
    assert!(peer.is_closed());
    world.seconds(29);
    assert!(world.dials().is_empty());
    world.seconds(2);
    assert_eq!(world.dials(), ["10.0.0.1:6881".parse().unwrap()]);
}

#[test]
fn the_answer_does_not_wait_for_the_peer_id() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.stranger("10.0.0.1:5000");
    let said = handshake(&content, peer.remote()).encode();
    peer.says_bytes(said[..47].to_vec());
    assert_eq!(peer.heard_bytes(), 0);
    peer.says_bytes(said[47..48].to_vec());
    assert_eq!(peer.heard_bytes(), Handshake::LENGTH);
    peer.says_bytes(said[48..].to_vec());
    assert_eq!(peer.hears(), [content.bitfield(0..4)]);
}

#[test]
fn another_protocol_is_closed_at_its_first_byte() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.stranger("10.0.0.1:5000");
    peer.says_bytes(&b"G"[..]);
    assert!(peer.is_closed());
}

#[test]
fn all_may_come_one_byte_at_a_time() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = world.stranger("10.0.0.1:5000");
    let mut bytes = handshake(&content, peer.remote()).encode().to_vec();
    content.bitfield(0..4).encode(&mut bytes);
    Message::Unchoke.encode(&mut bytes);
    bytes.into_iter().for_each(|byte| peer.says_bytes(vec![byte]));
    let requests = peer.hears_requests();
    assert_eq!(requests.len(), 4);
    let mut bytes = Vec::new();
    requests.into_iter().for_each(|block| content.message(block).encode(&mut bytes));
    bytes.chunks(1).for_each(|byte| peer.says_bytes(byte.to_vec()));
    assert_eq!(world.status(torrent).pieces_verified, 4);
    assert!(world.disk(|disk| disk.holds("folder", &content)));
}

#[test]
fn who_does_not_finish_the_handshake_in_time_is_closed_however_busily_it_dribbles() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let silent = world.stranger("10.0.0.1:5000");
    let dribbling = world.stranger("10.0.0.2:5000");
    let said = handshake(&content, dribbling.remote()).encode();
    for byte in &said[..9] {
        dribbling.says_bytes(vec![*byte]);
        world.seconds(1);
    }
    assert!(!silent.is_closed() && !dribbling.is_closed());
    world.seconds(1);
    assert!(silent.is_closed() && dribbling.is_closed());
}

#[test]
fn a_connection_that_does_not_stand_in_time_is_given_up() {
    let (world, content) = (World::new(), content());
    world.adds(&content, |add| add.peers = vec!["10.0.0.1:6881".parse().unwrap()]);
    world.seconds(9);
    assert_eq!(world.dials().len(), 1);
    world.seconds(2);
    assert!(world.dials().is_empty());
}

#[test]
fn we_recognise_ourselves_as_a_caller() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.stranger("10.0.0.1:5000");
    peer.shakes_hands_as(&content, world.our_peer_id());
    assert!(peer.is_closed());
    assert_eq!(peer.heard_bytes(), 0);
}

#[test]
fn we_recognise_ourselves_at_the_other_end_and_never_call_again() {
    let (world, content) = (World::new(), content());
    let torrent = world.adds(&content, |add| add.peers = vec!["10.0.0.1:6881".parse().unwrap()]);
    let peer = world.answers("10.0.0.1:6881");
    peer.shakes_hands_as(&content, world.our_peer_id());
    assert!(peer.is_closed());
    world.does(Command::AddPeers { torrent, peers: vec!["10.0.0.1:6881".parse().unwrap()] });
    world.seconds(7200);
    assert!(world.dials().is_empty());
}

#[test]
fn of_two_connections_from_the_same_peer_the_older_one_stays() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let id = PeerId([b'x'; 20]);
    let [older, newer] = ["10.0.0.1:5000", "10.0.0.1:5001"].map(|remote| world.stranger(remote));
    older.shakes_hands_as(&content, id);
    newer.shakes_hands_as(&content, id);
    assert!(!older.is_closed() && newer.is_closed());
}

#[test]
fn the_same_peer_may_connect_again_once_its_old_connection_is_gone() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let id = PeerId([b'x'; 20]);
    let older = world.stranger("10.0.0.1:5000");
    older.shakes_hands_as(&content, id);
    older.ends();
    assert_eq!(older.reason(), Some(CloseReason::ClosedByPeer));
    let newer = world.stranger("10.0.0.1:5001");
    newer.shakes_hands_as(&content, id);
    assert!(!newer.is_closed());
}

/// Both sides decide without asking the other, so both must keep that which the one with the greater peer id has opened.
#[test]
fn of_connections_that_crossed_both_sides_keep_the_same_one() {
    for (their_id, we_keep_ours) in [(PeerId([0; 20]), true), (PeerId([0xff; 20]), false)] {
        for ours_is_first in [true, false] {
            let (world, content) = (World::new(), content());
            let torrent = world.adds(&content, |add| add.peers = vec!["10.0.0.1:6881".parse().unwrap()]);
            let ours = world.answers("10.0.0.1:6881");
            let theirs = world.stranger("10.0.0.1:5000");
            let order = if ours_is_first { [&ours, &theirs] } else { [&theirs, &ours] };
            order.into_iter().for_each(|peer| peer.shakes_hands_as(&content, their_id));
            assert_eq!(ours.is_closed(), !we_keep_ours, "{their_id:?}, ours first: {ours_is_first}");
            assert_eq!(theirs.is_closed(), we_keep_ours, "{their_id:?}, ours first: {ours_is_first}");
            assert_eq!(world.status(torrent).peers, 1);
        }
    }
}

#[test]
fn we_offer_the_extension_protocol_and_tell_a_peer_its_address_and_how_much_we_queue() {
    let (world, content) = (World::with(|config| config.upload_queue_limit = 77), content());
    world.leeches(&content);
    for remote in ["10.0.0.1:5000", "[2001:db8::1]:5000"] {
        let peer = world.extended_joins(&content, remote, None);
        assert_eq!(peer.heard_handshake().expect("an answer").reserved.0[5] & 0x10, 0x10);
        let said = peer.hears_introductions().remove(0);
        assert_eq!((said.your_ip, said.request_queue), (Some(peer.remote().ip()), Some(77)));
    }
}
