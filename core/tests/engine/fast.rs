//! The fast extension (BEP 6): each request is answered exactly once, and a newcomer gets a few pieces while it is choked.

use crate::{
    BLOCK,
    support::{Content, Peer, World},
};
use proptest::prelude::*;
use rustor_core::{
    peer::{CloseReason, ProtocolError},
    torrent::allowed_fast,
    wire::{Block, Message},
};
use std::collections::BTreeMap;

/// Forty pieces of two blocks.
fn content() -> Content {
    Content::new(80 * BLOCK as usize, 2 * BLOCK)
}

/// A seed, and a peer with the fast extension that it has unchoked and that has too many pieces to be granted any.
fn seeding(content: &Content) -> (World, Peer) {
    let world = World::new();
    world.seeds(content);
    let peer = world.joins_fast(content, "10.0.0.1:5000");
    peer.says_all([content.bitfield(0..20), Message::Interested]);
    assert!(peer.heard(&Message::Unchoke));
    peer.hears();
    (world, peer)
}

/// A leecher, and a seed with the fast extension that has unchoked it. The requests wait to be heard.
fn leeching(content: &Content) -> (World, Peer) {
    let world = World::new();
    world.leeches(content);
    let peer = world.joins_fast(content, "10.0.0.1:5000");
    peer.says_all([Message::HaveAll, Message::Unchoke]);
    assert!(peer.heard(&Message::HaveNone) && peer.heard(&Message::Interested));
    (world, peer)
}

fn protocol(error: ProtocolError) -> Option<CloseReason> {
    Some(CloseReason::Protocol(error))
}

/// The pieces that everyone grants to the peer at 10.0.0.1.
fn set(content: &Content) -> Vec<u32> {
    allowed_fast([10, 0, 0, 1].into(), &content.info_hash(), content.pieces(), 10)
}

// What is agreed on

#[test]
fn the_bit_is_set_in_our_handshake() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    assert!(peer.heard_handshake().expect("a handshake").reserved.fast());
}

#[test]
fn its_messages_close_the_connection_of_who_did_not_offer_it() {
    let content = content();
    let block = content.blocks(0)[0];
    for message in [Message::HaveAll, Message::HaveNone, Message::Suggest(0), Message::AllowedFast(0), Message::Reject(block)] {
        let world = World::new();
        world.leeches(&content);
        let peer = world.joins(&content, "10.0.0.1:5000");
        peer.says(message.clone());
        assert_eq!(peer.reason(), protocol(ProtocolError::Unexpected), "{message:?}");
    }
}

#[test]
fn who_did_not_offer_it_hears_none_of_its_messages() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 0), content());
    world.seeds(&content);
    let peer = world.joins(&content, "10.0.0.1:5000");
    peer.says_all([content.bitfield([0]), Message::Interested, Message::Request(content.blocks(1)[0])]);
    peer.says(Message::Cancel(content.blocks(1)[0]));
    assert_eq!(peer.hears(), [content.bitfield(0..40)]);
}

// What a peer has

#[test]
fn exactly_one_message_says_what_we_have_and_it_comes_first() {
    let content = content();
    for (pieces, expected) in [(0..40, Message::HaveAll), (0..0, Message::HaveNone), (3..5, content.bitfield(3..5))] {
        let world = World::new();
        world.has(&content, pieces);
        world.leeches(&content);
        let peer = world.joins_fast(&content, "10.0.0.1:5000");
        let tells = |message: &Message| matches!(message, Message::HaveAll | Message::HaveNone | Message::Bitfield(_));
        let heard = peer.hears();
        assert_eq!(heard[0], expected);
        assert_eq!(heard.iter().filter(|message| tells(message)).count(), 1);
    }
}

#[test]
fn have_all_makes_a_seed_and_have_none_a_newcomer() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let seed = world.joins_fast(&content, "10.0.0.1:5000");
    seed.says(Message::HaveAll);
    assert!(seed.heard(&Message::Interested));
    let newcomer = world.joins_fast(&content, "10.0.0.2:5000");
    newcomer.says(Message::HaveNone);
    assert!(!newcomer.heard(&Message::Interested));
    assert_eq!((world.status(torrent).seeds, world.status(torrent).peers), (1, 2));
}

#[test]
fn have_all_again_changes_nothing_and_have_none_after_something_is_refused() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    let peer = world.joins_fast(&content, "10.0.0.1:5000");
    peer.says_all([Message::Have(3), Message::HaveAll, Message::HaveAll]);
    assert_eq!(world.peers(torrent)[0].pieces, 40);
    peer.says(Message::HaveNone);
    assert_eq!(peer.reason(), protocol(ProtocolError::Bitfield));
}

#[test]
fn two_seeds_part_at_have_all() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins_fast(&content, "10.0.0.1:5000");
    peer.says(Message::HaveAll);
    assert_eq!(peer.reason(), Some(CloseReason::NoUse));
}

#[test]
fn pieces_that_do_not_exist_are_refused() {
    let content = content();
    for message in [Message::Suggest(40), Message::AllowedFast(u32::MAX)] {
        let world = World::new();
        world.leeches(&content);
        let peer = world.joins_fast(&content, "10.0.0.1:5000");
        peer.says_all([Message::HaveNone, message]);
        assert_eq!(peer.reason(), protocol(ProtocolError::PieceOutOfRange));
    }
}

// What is asked of us

#[test]
fn a_request_while_choked_is_rejected() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins_fast(&content, "10.0.0.1:5000");
    peer.says(content.bitfield(0..20));
    let block = content.blocks(30)[0];
    peer.says(Message::Request(block));
    assert_eq!((peer.hears_rejects(), peer.hears_blocks()), (vec![block], vec![]));
}

#[test]
fn a_request_for_what_we_lack_is_rejected() {
    let (world, content) = (World::new(), content());
    world.has(&content, [1]);
    world.leeches(&content);
    let peer = world.joins_fast(&content, "10.0.0.1:5000");
    peer.says_all([content.bitfield(20..40), Message::Interested]);
    let (lacked, had) = (content.blocks(0)[0], content.blocks(1)[0]);
    peer.says_all([Message::Request(lacked), Message::Request(had)]);
    assert_eq!((peer.hears_rejects(), peer.hears_blocks()), (vec![lacked], vec![had]));
}

#[test]
fn who_asks_for_ever_and_does_not_read_the_rejects_is_listened_to_no_longer() {
    let content = content();
    let world = World::with(|config| config.upload_queue_limit = 100);
    world.seeds(&content);
    let peer = world.joins_fast(&content, "10.0.0.1:5000");
    peer.says(content.bitfield(0..20));
    peer.takes_no_writes();
    for _ in 0..600 {
        peer.says(Message::Request(content.blocks(30)[0]));
    }
    assert!(!peer.is_read());
    world.seconds(10);
    assert!(!peer.is_read() && !peer.is_closed());
    peer.takes_writes();
    assert_eq!(peer.hears_rejects().len(), 600);
}

#[test]
fn a_cancel_is_answered_by_a_reject_unless_the_block_is_on_its_way() {
    let content = content();
    let (world, peer) = seeding(&content);
    let blocks: Vec<Block> = (20..23).flat_map(|piece| content.blocks(piece)).collect();
    // Waiting to be read, being read, read, and on its way.
    peer.says_all([Message::Request(blocks[0]), Message::Cancel(blocks[0])]);
    assert_eq!(peer.hears(), [Message::Reject(blocks[0])]);
    world.disk_holds();
    peer.says(Message::Request(blocks[1]));
    peer.says(Message::Cancel(blocks[1]));
    assert_eq!(peer.hears(), [Message::Reject(blocks[1])]);
    world.disk_catches_up();
    assert_eq!(peer.hears(), []);
    peer.takes_no_writes();
    peer.says(Message::Request(blocks[2]));
    peer.says(Message::Request(blocks[3]));
    peer.says_all([Message::Cancel(blocks[3]), Message::Cancel(blocks[2])]);
    peer.takes_writes();
    assert_eq!(peer.hears(), [content.message(blocks[2]), Message::Reject(blocks[3])]);
}

#[test]
fn one_cancel_of_a_block_that_was_asked_for_twice_leaves_one_request() {
    let content = content();
    let (world, peer) = seeding(&content);
    let block = content.blocks(20)[0];
    world.disk_holds();
    peer.says_all([Message::Request(block), Message::Request(block), Message::Cancel(block)]);
    world.disk_catches_up();
    assert_eq!((peer.hears_rejects(), peer.hears_blocks()), (vec![block], vec![block]));
}

/// Two peers and one slot: when the seed's slot goes to the other, the first is choked.
#[test]
fn a_choke_comes_before_the_rejects_that_it_causes_and_spares_nothing_else() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 1), content());
    world.seeds(&content);
    let [one, other] = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.joins_fast(&content, remote));
    one.says_all([content.bitfield(0..20), Message::Interested]);
    other.says_all([content.bitfield(0..20), Message::Interested]);
    one.hears();
    one.takes_no_writes();
    let blocks: Vec<Block> = (20..40).flat_map(|piece| content.blocks(piece)).collect();
    one.says_all(blocks.iter().copied().map(Message::Request));
    for _ in 0..4 {
        world.seconds(10);
        if other.heard(&Message::Unchoke) {
            break;
        }
    }
    one.takes_writes();
    let heard = one.hears();
    let choke = heard.iter().position(|message| *message == Message::Choke).expect("a choke");
    let answer = |message: &Message| match message {
        Message::Piece { piece, offset, .. } => Some(Block { piece: *piece, offset: *offset, length: BLOCK }),
        Message::Reject(block) => Some(*block),
        _ => None,
    };
    assert!(heard[..choke].iter().all(|message| matches!(message, Message::Piece { .. })));
    assert!(heard[choke + 1..].iter().all(|message| matches!(message, Message::Reject(_))));
    let mut answers: Vec<Block> = heard.iter().filter_map(answer).collect();
    answers.sort();
    assert_eq!(answers, blocks);
}

// What may be had while choked

#[test]
fn a_newcomer_is_granted_the_canonical_set_and_gets_it_while_choked() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 0), content());
    world.seeds(&content);
    let peer = world.joins_fast(&content, "10.0.0.1:5000");
    assert_eq!(peer.hears(), [Message::HaveAll], "nothing is granted before it is known what the peer has");
    peer.says_all([Message::HaveNone, Message::Interested]);
    let granted = peer.hears_allowed_fast();
    assert_eq!(granted, set(&content));
    let blocks: Vec<Block> = granted.iter().flat_map(|piece| content.blocks(*piece)).collect();
    peer.says_all(blocks.iter().copied().map(Message::Request));
    assert_eq!((peer.hears_blocks(), peer.hears_rejects()), (blocks, vec![]));
    let other = (0..40).find(|piece| !granted.contains(piece)).expect("most are not granted");
    peer.says(Message::Request(content.blocks(other)[0]));
    assert_eq!(peer.hears(), [Message::Reject(content.blocks(other)[0])]);
}

#[test]
fn a_granted_piece_can_be_had_twice_but_not_for_ever() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 0), content());
    world.seeds(&content);
    let peer = world.joins_fast(&content, "10.0.0.1:5000");
    peer.says(Message::HaveNone);
    let block = content.blocks(peer.hears_allowed_fast()[0])[0];
    for _ in 0..10 {
        peer.says(Message::Request(block));
    }
    // Twice each of its two blocks.
    assert_eq!((peer.hears_blocks().len(), peer.hears_rejects().len()), (4, 6));
}

#[test]
fn who_has_ten_pieces_is_no_newcomer() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 0), content());
    world.seeds(&content);
    let rich = world.joins_fast(&content, "10.0.0.1:5000");
    rich.says(content.bitfield(0..10));
    assert_eq!(rich.hears_allowed_fast(), []);
    let newcomer = world.joins_fast(&content, "10.0.0.2:5000");
    newcomer.says(Message::HaveNone);
    let granted = newcomer.hears_allowed_fast();
    let last = *granted.last().expect("ten");
    newcomer.says_all((0..40).filter(|piece| *piece != last).take(10).map(Message::Have));
    newcomer.says(Message::Request(content.blocks(last)[0]));
    assert_eq!(newcomer.hears_rejects(), [content.blocks(last)[0]], "it has something to trade now");
}

#[test]
fn nothing_is_granted_over_ipv6() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    let peer = world.joins_fast(&content, "[2001:db8::1]:5000");
    peer.says(Message::HaveNone);
    assert_eq!(peer.hears_allowed_fast(), []);
}

#[test]
fn a_choke_spares_requests_for_granted_pieces() {
    let (world, content) = (World::with(|config| config.limits.upload_slots = 1), content());
    world.seeds(&content);
    let [one, other] = ["10.0.0.1:5000", "10.0.1.2:5000"].map(|remote| world.joins_fast(&content, remote));
    one.says_all([Message::HaveNone, Message::Interested]);
    other.says_all([Message::HaveNone, Message::Interested]);
    let granted = one.hears_allowed_fast();
    one.hears();
    let blocks: Vec<Block> = (0..40).flat_map(|piece| content.blocks(piece)).collect();
    world.disk_holds();
    one.says_all(blocks.iter().copied().map(Message::Request));
    for _ in 0..4 {
        world.seconds(10);
        if other.heard(&Message::Unchoke) {
            break;
        }
    }
    assert!(one.heard(&Message::Choke));
    world.disk_catches_up();
    let (mut came, mut rejected) = (one.hears_blocks(), one.hears_rejects());
    came.sort();
    rejected.sort();
    let (expected, others): (Vec<Block>, Vec<Block>) = blocks.into_iter().partition(|block| granted.contains(&block.piece));
    assert_eq!((came, rejected), (expected, others));
}

#[test]
fn pieces_that_a_peer_lets_us_have_are_asked_for_while_choked() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let peer = world.joins_fast(&content, "10.0.0.1:5000");
    peer.says_all([content.bitfield(0..20), Message::AllowedFast(3), Message::AllowedFast(30), Message::AllowedFast(5)]);
    let mut asked = peer.hears_requests();
    asked.sort();
    assert_eq!(asked, [content.blocks(3), content.blocks(5)].concat(), "only those that it has");
    peer.sends(&content, &asked);
    world.seconds(1);
    assert_eq!(world.status(world.torrent_of(&content)).pieces_verified, 2);
    assert_eq!(peer.hears_requests(), []);
    // Allowed-fast is not have, but once it has the piece, too, it can be had.
    peer.says(Message::Have(30));
    assert_eq!(peer.hears_requests(), content.blocks(30));
}

#[test]
fn a_piece_that_a_peer_does_not_give_after_all_is_not_asked_for_again_while_choked() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let peer = world.joins_fast(&content, "10.0.0.1:5000");
    peer.says_all([Message::HaveAll, Message::AllowedFast(3)]);
    let asked = peer.hears_requests();
    peer.says_all(asked.into_iter().map(Message::Reject));
    world.seconds(120);
    assert_eq!(peer.hears_requests(), []);
    peer.says(Message::Unchoke);
    assert!(!peer.hears_requests().is_empty());
}

// What we ask for

#[test]
fn a_rejected_block_is_asked_of_another_peer() {
    let content = Content::new(4 * BLOCK as usize, 2 * BLOCK);
    let (world, one) = leeching(&content);
    let asked = one.hears_requests();
    assert_eq!(asked.len(), 4);
    let other = world.joins_fast(&content, "10.0.0.2:5000");
    other.says(Message::HaveAll);
    one.says(Message::Reject(asked[2]));
    other.says(Message::Unchoke);
    assert_eq!(other.hears_requests()[0], asked[2]);
    assert_eq!(one.hears_requests(), []);
}

#[test]
fn a_reject_of_what_was_not_asked_for_closes_the_connection() {
    let content = content();
    let (_, peer) = leeching(&content);
    let asked = peer.hears_requests();
    peer.says(Message::Reject(asked[0]));
    assert!(!peer.is_closed());
    peer.says(Message::Reject(asked[0]));
    assert_eq!(peer.reason(), protocol(ProtocolError::Reject));
}

#[test]
fn a_choke_does_not_end_requests_but_rejects_do() {
    let content = Content::new(4 * BLOCK as usize, 2 * BLOCK);
    let (world, one) = leeching(&content);
    let asked = one.hears_requests();
    let other = world.joins_fast(&content, "10.0.0.2:5000");
    other.says(Message::HaveAll);
    one.says(Message::Choke);
    // In endgame it may be asked for the same blocks; nothing was freed.
    assert_eq!(world.peers(world.torrent_of(&content))[0].requests, 4);
    one.sends(&content, &asked[..1]);
    one.says_all(asked[1..].iter().copied().map(Message::Reject));
    assert!(!one.is_closed());
    assert_eq!(world.peers(world.torrent_of(&content))[0].requests, 0);
    world.seconds(100);
    assert_eq!(one.hears_requests(), [], "not while choked");
    one.says(Message::Unchoke);
    assert_eq!(one.hears_requests().len(), 3);
}

#[test]
fn who_forgets_to_reject_does_not_keep_blocks_from_others() {
    let content = Content::new(4 * BLOCK as usize, 2 * BLOCK);
    let (world, one) = leeching(&content);
    let asked = one.hears_requests();
    one.says(Message::Choke);
    world.seconds(29);
    assert_eq!(world.peers(world.torrent_of(&content))[0].requests, 4);
    world.seconds(2);
    assert_eq!(world.peers(world.torrent_of(&content))[0].requests, 0);
    // What comes in spite of that is welcome.
    one.says(Message::Reject(asked[0]));
    one.sends(&content, &asked[1..]);
    assert!(!one.is_closed());
    assert_eq!(world.status(world.torrent_of(&content)).wasted, 0);
}

#[test]
fn who_rejects_everything_is_asked_less_and_less_often() {
    let content = content();
    let (world, peer) = leeching(&content);
    let mut asked = 0;
    for _ in 0..100 {
        for _ in 0..100 {
            let requests = peer.hears_requests();
            asked += requests.len();
            if requests.is_empty() {
                break;
            }
            peer.says_all(requests.into_iter().map(Message::Reject));
            assert!(!peer.is_closed());
        }
        world.seconds(1);
        peer.says(Message::KeepAlive);
    }
    assert!((1..=200).contains(&asked), "{asked} requests in 100 seconds");
}

#[test]
fn a_piece_that_is_rejected_does_not_keep_us_from_the_others() {
    let content = content();
    let (world, peer) = leeching(&content);
    let mut waiting = peer.hears_requests();
    let refused = waiting[0].piece;
    let (mut sent, mut rejects) = (0, 0);
    while let Some(block) = waiting.pop() {
        if block.piece == refused {
            rejects += 1;
            peer.says(Message::Reject(block));
        } else {
            sent += 1;
            peer.sends(&content, &[block]);
        }
        waiting.extend(peer.hears_requests());
    }
    assert_eq!((sent, rejects), (78, 2));
    world.seconds(10);
    assert_eq!(peer.hears_requests(), content.blocks(refused), "once more after a while");
}

#[test]
fn a_suggested_piece_is_asked_for_first() {
    let (world, content) = (World::new(), Content::new(2000 * BLOCK as usize, BLOCK));
    world.leeches(&content);
    let peer = world.joins_fast(&content, "10.0.0.1:5000");
    peer.says_all([Message::HaveAll, Message::Suggest(1234), Message::Suggest(77), Message::Unchoke]);
    let first: Vec<u32> = peer.hears_requests().iter().map(|block| block.piece).take(2).collect();
    assert!(first.contains(&1234) && first.contains(&77), "{first:?}");
}

// Whatever happens

/// What a peer does, or what happens to it.
#[derive(Clone, Debug)]
enum Step {
    Request(u32, u32),
    Cancel(usize),
    Have(u32),
    OtherIsInterested(bool),
    Writes(bool),
    DiskHolds,
    DiskDoes(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0u32..45, 0u32..2).prop_map(|(piece, block)| Step::Request(piece.min(39), block)),
        4 => any::<usize>().prop_map(Step::Cancel),
        1 => (0u32..40).prop_map(Step::Have),
        2 => any::<bool>().prop_map(Step::OtherIsInterested),
        3 => any::<bool>().prop_map(Step::Writes),
        1 => Just(Step::DiskHolds),
        3 => any::<usize>().prop_map(Step::DiskDoes),
        3 => (1u64..15).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Requests, cancels, chokes, slow disks and slow streams in any order: each request is answered by one piece or one reject.
    #[test]
    fn each_request_ends_in_exactly_one_piece_or_reject(
        has in prop::sample::select(vec![0u32, 25, 40]),
        knows in 0u32..12,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let content = content();
        let world = World::with(|config| {
            (config.limits.upload_slots, config.upload_queue_limit, config.upload_buffer) = (1, 20, 3 * BLOCK);
        });
        world.has(&content, 0..has);
        world.leeches(&content);
        let peer = world.joins_fast(&content, "10.0.0.1:5000");
        peer.says_all([content.bitfield(0..knows), Message::Interested]);
        let other = world.joins_fast(&content, "10.0.0.2:5000");
        other.says(content.bitfield(0..knows));
        let mut asked: Vec<Block> = Vec::new();
        for step in steps {
            match step {
                Step::Request(piece, block) => {
                    let block = content.blocks(piece)[block as usize];
                    asked.push(block);
                    peer.says(Message::Request(block));
                }
                Step::Cancel(at) => {
                    if let Some(block) = asked.get(at % asked.len().max(1)) {
                        peer.says(Message::Cancel(*block));
                    }
                }
                Step::Have(piece) => peer.says(Message::Have(piece)),
                Step::OtherIsInterested(true) => other.says(Message::Interested),
                Step::OtherIsInterested(false) => other.says(Message::NotInterested),
                Step::Writes(true) => peer.takes_writes(),
                Step::Writes(false) => peer.takes_no_writes(),
                Step::DiskHolds => world.disk_holds(),
                Step::DiskDoes(at) => match world.jobs().len() {
                    0 => {}
                    jobs => world.disk_does(at % jobs),
                },
                Step::Wait(seconds) => world.seconds(seconds),
            }
        }
        peer.takes_writes();
        world.disk_catches_up();
        // Whoever is choked hears of it at the latest when the round is over.
        world.seconds(60);
        let mut balance: BTreeMap<Block, i32> = BTreeMap::new();
        asked.iter().for_each(|block| *balance.entry(*block).or_default() += 1);
        peer.hears_blocks().iter().chain(&peer.hears_rejects()).for_each(|block| *balance.entry(*block).or_default() -= 1);
        balance.retain(|_, left| *left != 0);
        prop_assert!(balance.is_empty(), "unanswered, or answered too often: {:?}", balance);
    }

    /// Answers, chokes, cancels and silence in any order: no answer is taken for a fault, and the engine gets everything once
    /// we behave.
    #[test]
    fn whatever_a_peer_answers_no_request_is_lost(steps in prop::collection::vec((0u8..8, any::<prop::sample::Index>()), 1..100)) {
        let content = Content::new(20 * BLOCK as usize, 2 * BLOCK);
        let world = World::new();
        let torrent = world.leeches(&content);
        let [one, other] = ["10.0.0.1:5000", "10.0.0.2:5000"].map(|remote| world.joins_fast(&content, remote));
        let peers = [(&one, Message::HaveAll), (&other, content.bitfield((0..10).filter(|piece| piece % 2 == 0)))];
        for (peer, has) in &peers {
            peer.says_all([has.clone(), Message::Unchoke, Message::AllowedFast(2)]);
        }
        let mut owed: [Vec<Block>; 2] = Default::default();
        for (action, index) in steps {
            let at = usize::from(action % 2);
            let (peer, _) = &peers[at];
            owed[at].extend(peer.hears_requests());
            let taken = (!owed[at].is_empty()).then(|| owed[at].remove(index.index(owed[at].len())));
            match (action / 2, taken) {
                (0, Some(block)) => peer.says(Message::Reject(block)),
                (1, Some(block)) => peer.sends(&content, &[block]),
                (2, Some(block)) => {
                    // Fast peers choke, then reject: all but what may be had in spite of it.
                    owed[at].push(block);
                    peer.says(Message::Choke);
                    let (kept, rejected): (Vec<Block>, Vec<Block>) = owed[at].drain(..).partition(|block| block.piece == 2);
                    owed[at] = kept;
                    rejected.into_iter().for_each(|block| peer.says(Message::Reject(block)));
                }
                (_, taken) => {
                    owed[at].extend(taken);
                    peer.says(Message::Unchoke);
                    world.seconds(7);
                    peers.iter().for_each(|(peer, _)| peer.says(Message::KeepAlive));
                }
            }
            if peer.is_closed() {
                prop_assert_eq!(peer.reason(), Some(CloseReason::NoUse));
                break;
            }
        }
        for _ in 0..40 {
            for (at, (peer, _)) in peers.iter().enumerate() {
                if peer.is_closed() {
                    continue;
                }
                peer.says(Message::Unchoke);
                let owed = std::mem::take(&mut owed[at]);
                peer.sends(&content, &owed);
                peer.serves(&content);
            }
            world.seconds(20);
        }
        prop_assert_eq!(world.status(torrent).pieces_verified, 10);
    }
}

#[test]
fn what_a_peer_that_chokes_us_never_answers_is_cancelled_before_it_is_asked_for_again() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let peer = world.joins_fast(&content, "10.0.0.1:5000");
    peer.says_all([content.bitfield([3]), Message::AllowedFast(3)]);
    let asked = peer.hears_requests();
    assert_eq!(asked, content.blocks(3));
    world.seconds(61);
    assert_eq!(peer.hears_cancels(), asked);
    peer.says(Message::Unchoke);
    assert_eq!(peer.hears_requests(), asked);
    // What it had sent all the time was asked for, too.
    peer.sends(&content, &asked);
    peer.sends(&content, &asked);
    assert!(!peer.is_closed());
}
