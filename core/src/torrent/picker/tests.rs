use super::*;
use crate::{
    rng::{Rng, Seed},
    torrent::geometry::BLOCK_LENGTH,
};
use std::{collections::BTreeSet, vec, vec::Vec};

/// A picker of `pieces` pieces of `blocks` blocks each, and what its owner would keep.
struct Fixture {
    picker: Picker<u32>,
    rng: Rng,
    cursors: BTreeMap<u32, PeerCursor>,
}

impl Fixture {
    fn new(pieces: u32, blocks: u32) -> Fixture {
        Fixture::with(pieces, blocks, PickerConfig { random_first_pieces: 0, ..PickerConfig::default() })
    }

    fn with(pieces: u32, blocks: u32, config: PickerConfig) -> Fixture {
        let length = blocks * BLOCK_LENGTH;
        let geometry = Geometry::new(u64::from(pieces) * u64::from(length), length).unwrap();
        Fixture { picker: Picker::new(geometry, config), rng: Rng::new(Seed::from_u64(1)), cursors: BTreeMap::new() }
    }

    fn pick(&mut self, peer: u32, has: PeerPieces<'_>, count: usize) -> Vec<(u32, u32)> {
        self.pick_at(peer, has, Speed::Slow, count)
    }

    fn pick_at(&mut self, peer: u32, has: PeerPieces<'_>, speed: Speed, count: usize) -> Vec<(u32, u32)> {
        let mut out = vec![];
        let cursor = self.cursors.entry(peer).or_default();
        self.picker.pick(&Source { peer, has, speed }, cursor, count, &mut self.rng, &mut out);
        self.picker.assert_consistent();
        out.into_iter().map(|block| (block.piece, block.offset / BLOCK_LENGTH)).collect()
    }

    fn block(&self, (piece, index): (u32, u32)) -> Block {
        self.picker.geometry().block(piece, index).unwrap()
    }

    fn received(&mut self, peer: u32, block: (u32, u32)) -> Received<u32> {
        let received = self.picker.received(peer, self.block(block));
        self.picker.assert_consistent();
        received
    }

    fn released(&mut self, peer: u32, block: (u32, u32)) {
        self.picker.released(peer, self.block(block));
        self.picker.assert_consistent();
    }

    fn verified(&mut self, piece: u32) {
        self.picker.piece_verified(piece);
        self.picker.assert_consistent();
    }
}

fn bitfield(length: u32, pieces: impl IntoIterator<Item = u32>) -> Bitfield {
    let mut bitfield = Bitfield::new(length);
    for piece in pieces {
        assert!(bitfield.set(piece));
    }
    bitfield
}

fn new(piece_complete: bool, cancel: &[u32]) -> Received<u32> {
    Received::New { piece_complete, cancel: cancel.into() }
}

const ALL: PeerPieces<'static> = PeerPieces::All;

#[test]
fn blocks_of_one_piece_are_requested_in_order_before_another_is_begun() {
    let mut fixture = Fixture::new(10, 4);
    fixture.picker.peer_joined(ALL);
    let first = fixture.pick(1, ALL, 3);
    let piece = first[0].0;
    assert_eq!(first, [(piece, 0), (piece, 1), (piece, 2)]);
    let second = fixture.pick(1, ALL, 3);
    assert_eq!(second[0], (piece, 3));
    assert_ne!(second[1].0, piece);
    assert_eq!(second[1..], [(second[1].0, 0), (second[1].0, 1)]);
}

#[test]
fn begun_pieces_come_first_and_the_nearest_to_completion_of_them() {
    let mut fixture = Fixture::new(10, 4);
    fixture.picker.peer_joined(ALL);
    let (near, far) = (bitfield(10, [3]), bitfield(10, [7]));
    fixture.pick(1, PeerPieces::Some(&far), 2);
    fixture.pick(2, PeerPieces::Some(&near), 3);
    assert_eq!(fixture.pick(3, ALL, 4)[..3], [(3, 3), (7, 2), (7, 3)]);
}

#[test]
fn a_peer_stays_with_the_piece_that_it_already_sends() {
    let mut fixture = Fixture::new(10, 4);
    fixture.picker.peer_joined(ALL);
    let (near, far) = (bitfield(10, [3]), bitfield(10, [3, 7]));
    fixture.pick(1, PeerPieces::Some(&bitfield(10, [7])), 1);
    assert_eq!(fixture.pick(2, PeerPieces::Some(&far), 1), [(7, 1)]);
    fixture.pick(3, PeerPieces::Some(&near), 3);
    assert_eq!(fixture.pick(2, PeerPieces::Some(&far), 3), [(7, 2), (7, 3), (3, 3)]);
}

#[test]
fn fast_peer_does_not_wait_for_a_slow_one_to_complete_a_piece() {
    let mut fixture = Fixture::new(3, 4);
    fixture.picker.peer_joined(ALL);
    let slow = fixture.pick_at(1, ALL, Speed::Slow, 1)[0].0;
    let fast = fixture.pick_at(2, ALL, Speed::Fast, 2)[0].0;
    assert_ne!(slow, fast);
    // Nor does a slow one delay the fast one's piece, while there is something else.
    assert_eq!(fixture.pick_at(3, ALL, Speed::Slow, 3), [(slow, 1), (slow, 2), (slow, 3)]);
    let other = fixture.pick_at(3, ALL, Speed::Slow, 4)[0].0;
    assert!(other != fast && other != slow);
    assert_eq!(fixture.pick_at(1, ALL, Speed::Slow, 1), [(fast, 2)]);
}

#[test]
fn piece_that_a_slow_peer_gave_up_is_taken_over_by_a_fast_one() {
    let mut fixture = Fixture::new(3, 4);
    fixture.picker.peer_joined(ALL);
    let slow = fixture.pick(1, ALL, 2);
    fixture.received(1, slow[0]);
    fixture.released(1, slow[1]);
    assert_eq!(fixture.pick_at(2, ALL, Speed::Fast, 1), [slow[1]]);
}

#[test]
fn rarest_piece_comes_first() {
    let mut fixture = Fixture::new(5, 1);
    fixture.picker.peer_joined(ALL);
    for pieces in [vec![0, 1, 2, 3], vec![0, 1, 2], vec![0, 1], vec![0]] {
        fixture.picker.peer_joined(PeerPieces::Some(&bitfield(5, pieces)));
    }
    assert_eq!([0, 1, 2, 3, 4].map(|piece| fixture.picker.availability(piece)), [5, 4, 3, 2, 1]);
    assert_eq!(fixture.picker.rarest(), Rarest { availability: 1, pieces: 1 });
    let order: Vec<_> = fixture.pick(1, ALL, 5).into_iter().map(|(piece, _)| piece).collect();
    assert_eq!(order, [4, 3, 2, 1, 0]);
}

#[test]
fn equally_rare_pieces_are_picked_at_random_and_the_same_for_the_same_seed() {
    let order = |seed| {
        let mut fixture = Fixture::new(64, 1);
        fixture.rng = Rng::new(Seed::from_u64(seed));
        fixture.picker.peer_joined(ALL);
        fixture.pick(1, ALL, 64)
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    let firsts: BTreeSet<_> = (0..64).map(|seed| order(seed)[0].0).collect();
    assert!(firsts.len() > 30, "{firsts:?}");
}

#[test]
fn first_pieces_are_random_and_the_rest_by_rarity() {
    let rare = |seed| {
        let mut fixture = Fixture::with(200, 1, PickerConfig { random_first_pieces: 2, ..PickerConfig::default() });
        fixture.rng = Rng::new(Seed::from_u64(seed));
        fixture.picker.peer_joined(ALL);
        fixture.picker.peer_joined(PeerPieces::Some(&bitfield(200, 1..200)));
        let mut rarest_at = None;
        for turn in 0..3 {
            let picked = fixture.pick(1, ALL, 1)[0];
            if picked.0 == 0 {
                rarest_at = Some(turn);
            }
            fixture.received(1, picked);
            fixture.verified(picked.0);
        }
        rarest_at
    };
    let turns: Vec<_> = (0..20).map(rare).collect();
    assert!(turns.iter().all(|turn| turn.is_some()), "the third piece is the rarest at the latest: {turns:?}");
    assert!(turns.iter().filter(|turn| **turn == Some(2)).count() > 15, "the first two are not chosen by rarity: {turns:?}");
}

#[test]
fn priority_comes_before_rarity_and_skipped_pieces_are_never_picked() {
    let mut fixture = Fixture::new(5, 1);
    fixture.picker.peer_joined(ALL);
    fixture.picker.peer_joined(PeerPieces::Some(&bitfield(5, [0, 1, 2])));
    fixture.picker.set_priority(0, Priority::High);
    fixture.picker.set_priority(1, Priority::High);
    fixture.picker.set_priority(1, Priority::Normal);
    fixture.picker.set_priority(3, Priority::Low);
    fixture.picker.set_priority(4, Priority::Skip);
    assert_eq!(fixture.picker.missing_blocks(), 4);
    let order: Vec<_> = fixture.pick(1, ALL, 9).into_iter().map(|(piece, _)| piece).collect();
    assert_eq!(order[0], 0);
    assert_eq!(order[1..3].iter().copied().collect::<BTreeSet<_>>(), [1, 2].into());
    assert_eq!(order[3..], [3]);
    for piece in 0..4 {
        fixture.received(1, (piece, 0));
        fixture.verified(piece);
    }
    assert!(fixture.picker.is_finished() && !fixture.picker.is_complete());
    assert_eq!(fixture.picker.missing_bytes(), u64::from(BLOCK_LENGTH));
    fixture.picker.set_priority(4, Priority::Low);
    assert!(!fixture.picker.is_finished());
    assert_eq!(fixture.pick(1, ALL, 9), [(4, 0)]);
}

#[test]
fn sequential_begins_with_what_is_wanted_most() {
    let mut fixture = Fixture::new(10, 1);
    fixture.picker.set_sequential(true);
    fixture.picker.peer_joined(ALL);
    fixture.picker.set_priority(9, Priority::High);
    fixture.picker.set_priority(4, Priority::High);
    fixture.picker.set_priority(0, Priority::Low);
    assert_eq!(fixture.pick(1, ALL, 4), [(4, 0), (9, 0), (0, 0), (1, 0)]);
}

#[test]
fn sequential_peers_of_every_speed_help_with_the_first_piece() {
    let mut fixture = Fixture::new(10, 4);
    fixture.picker.set_sequential(true);
    fixture.picker.peer_joined(ALL);
    assert_eq!(fixture.pick_at(1, ALL, Speed::Slow, 1), [(0, 0)]);
    assert_eq!(fixture.pick_at(2, ALL, Speed::Fast, 4), [(0, 1), (0, 2), (0, 3), (1, 0)]);
    assert_eq!(fixture.pick_at(1, ALL, Speed::Slow, 1), [(1, 1)]);
}

#[test]
fn sequential_does_not_stall_on_a_slow_peers_block() {
    let mut fixture = Fixture::new(10, 1);
    fixture.picker.set_sequential(true);
    fixture.picker.peer_joined(ALL);
    fixture.picker.peer_joined(ALL);
    assert_eq!(fixture.pick_at(1, ALL, Speed::Slow, 1), [(0, 0)]);
    for piece in 1..3 {
        assert_eq!(fixture.pick_at(2, ALL, Speed::Fast, 1), [(piece, 0)], "it gets some time");
        fixture.received(2, (piece, 0));
        fixture.verified(piece);
    }
    assert_eq!(fixture.pick_at(3, ALL, Speed::Slow, 1), [(3, 0)], "another slow peer would be no help");
    assert_eq!(fixture.pick_at(2, ALL, Speed::Fast, 2), [(0, 0), (4, 0)]);
    assert_eq!(fixture.pick_at(4, ALL, Speed::Fast, 1), [(5, 0)], "two are enough");
    assert_eq!(fixture.received(2, (0, 0)), new(true, &[1]));
}

#[test]
fn sequential_takes_the_first_pieces_that_the_peer_holds() {
    let mut fixture = Fixture::new(300, 1);
    fixture.picker.set_sequential(true);
    fixture.picker.peer_joined(ALL);
    let some = bitfield(300, [7, 70, 250]);
    fixture.picker.peer_joined(PeerPieces::Some(&some));
    assert_eq!(fixture.pick(1, ALL, 3), [(0, 0), (1, 0), (2, 0)]);
    assert_eq!(fixture.pick(2, PeerPieces::Some(&some), 2), [(7, 0), (70, 0)]);
    // What became free again before the peer's cursor is found again.
    fixture.released(2, (7, 0));
    assert_eq!(fixture.pick(2, PeerPieces::Some(&some), 2), [(7, 0), (250, 0)]);
}

#[test]
fn no_more_is_begun_at_the_limit_except_for_a_peer_that_cannot_help_with_what_is() {
    let limit = u64::from(2 * 4 * BLOCK_LENGTH);
    let config = PickerConfig { random_first_pieces: 0, begun_limit: limit, ..PickerConfig::default() };
    let mut fixture = Fixture::with(10, 4, config);
    let (some, other) = (bitfield(10, [0, 1, 2]), bitfield(10, [5, 6]));
    fixture.picker.peer_joined(PeerPieces::Some(&some));
    fixture.picker.peer_joined(PeerPieces::Some(&other));
    assert_eq!(fixture.pick(1, PeerPieces::Some(&some), 100).len(), 8);
    assert_eq!(fixture.pick(2, PeerPieces::Some(&other), 100).len(), 4);
    // A complete piece makes room.
    let piece = fixture.picker.begun().next().unwrap().piece;
    for index in 0..4 {
        fixture.received(1, (piece, index));
    }
    assert_eq!(fixture.pick(1, PeerPieces::Some(&some), 100), []);
    let mut fixture = Fixture::with(10, 4, config);
    fixture.picker.peer_joined(PeerPieces::Some(&some));
    fixture.pick(1, PeerPieces::Some(&some), 100);
    let piece = fixture.picker.begun().next().unwrap().piece;
    for index in 0..4 {
        fixture.received(1, (piece, index));
    }
    assert_eq!(fixture.pick(1, PeerPieces::Some(&some), 100).len(), 4);
}

#[test]
fn endgame_asks_others_too_and_cancels_what_came() {
    let mut fixture = Fixture::with(2, 2, PickerConfig { endgame_requests: 2, ..PickerConfig::default() });
    fixture.picker.peer_joined(ALL);
    let first = fixture.pick(1, ALL, 3);
    assert!(!fixture.picker.endgame());
    let last = fixture.pick(2, ALL, 1);
    assert!(fixture.picker.endgame());
    let blocks: BTreeSet<_> = first.iter().chain(&last).copied().collect();
    assert_eq!(blocks.len(), 4);

    // A peer is asked for a block but once, a block of two peers at most.
    assert_eq!(fixture.pick(1, ALL, 9), last);
    assert_eq!(fixture.pick(1, ALL, 9), []);
    let again = fixture.pick(3, ALL, 2);
    assert!(again.len() == 2 && again.iter().all(|block| first.contains(block)));
    assert_eq!(fixture.pick(2, ALL, 9).len(), 1);
    assert_eq!(fixture.pick(4, ALL, 9), []);

    assert_eq!(fixture.received(1, last[0]), new(false, &[2]));
    assert_eq!(fixture.received(2, last[0]), Received::Duplicate);
    // One of two requesters refuses: the block is still asked of the other.
    fixture.released(3, again[0]);
    assert_eq!(fixture.received(3, again[0]), Received::Unrequested);
    assert!(matches!(fixture.received(1, again[0]), Received::New { cancel, .. } if cancel.is_empty()));
}

#[test]
fn endgame_prefers_blocks_with_the_fewest_requests() {
    let mut fixture = Fixture::new(1, 3);
    fixture.picker.peer_joined(ALL);
    fixture.pick(1, ALL, 3);
    assert_eq!(fixture.pick(2, ALL, 2), [(0, 0), (0, 1)]);
    assert_eq!(fixture.pick(3, ALL, 2), [(0, 2), (0, 0)]);
    assert_eq!(fixture.pick(4, ALL, 3), [(0, 1), (0, 2)]);
}

#[test]
fn complete_pieces_waiting_for_verification_are_no_endgame() {
    let mut fixture = Fixture::new(1, 1);
    fixture.picker.peer_joined(ALL);
    fixture.pick(1, ALL, 1);
    assert_eq!(fixture.received(1, (0, 0)), new(true, &[]));
    assert!(!fixture.picker.endgame());
    assert!(fixture.picker.wants(0));
    assert_eq!(fixture.pick(2, ALL, 1), []);
}

#[test]
fn only_what_was_asked_of_a_peer_counts_unless_it_comes_late() {
    let mut fixture = Fixture::new(2, 2);
    fixture.picker.peer_joined(ALL);
    assert_eq!(fixture.received(1, (0, 0)), Received::Unrequested);
    let block = fixture.pick(1, ALL, 1)[0];
    assert_eq!(fixture.received(2, block), Received::Unrequested);
    let short = Block { length: 1, ..fixture.block(block) };
    assert_eq!(fixture.picker.received(1, short), Received::Unrequested);

    fixture.released(1, block);
    assert_eq!(fixture.received(1, block), Received::Unrequested);
    assert_eq!(fixture.pick(2, ALL, 1).len(), 1);
    let asked = fixture.pick(3, ALL, 3);
    assert_eq!(fixture.picker.received_late(1, fixture.block(asked[0])), new(false, &[3]));
    fixture.picker.assert_consistent();
    assert_eq!(fixture.picker.received_late(1, fixture.block(asked[0])), Received::Duplicate);
    fixture.verified(asked[0].0);
    assert_eq!(fixture.received(3, asked[0]), Received::Duplicate);
}

#[test]
fn late_block_of_a_piece_that_is_no_longer_begun_is_welcome() {
    let mut fixture = Fixture::new(2, 2);
    fixture.picker.peer_joined(ALL);
    let block = fixture.pick(1, ALL, 1)[0];
    fixture.picker.peer_gone(1, [fixture.block(block)]);
    assert_eq!(fixture.picker.begun().count(), 0);
    assert_eq!(fixture.picker.received_late(1, fixture.block(block)), new(false, &[]));
    fixture.picker.assert_consistent();
    assert_eq!(fixture.picker.begun().collect::<Vec<_>>(), [PieceProgress { piece: block.0, blocks: 2, received: 1, requested: 0 }]);
}

#[test]
fn what_a_peer_leaves_behind_goes_to_others() {
    let mut fixture = Fixture::new(1, 4);
    fixture.picker.peer_joined(ALL);
    let blocks = fixture.pick(1, ALL, 3);
    fixture.received(1, blocks[1]);
    fixture.released(1, blocks[0]);
    fixture.picker.peer_gone(1, [fixture.block(blocks[2])]);
    assert_eq!(fixture.pick(2, ALL, 4), [(0, 0), (0, 2), (0, 3)]);
}

#[test]
fn failed_piece_is_fetched_anew_from_one_peer_only() {
    let mut fixture = Fixture::new(2, 2);
    fixture.picker.peer_joined(ALL);
    let piece = fixture.pick(1, ALL, 1)[0].0;
    assert_eq!(fixture.pick(2, ALL, 1), [(piece, 1)]);
    fixture.received(2, (piece, 1));
    fixture.received(1, (piece, 0));
    assert_eq!(fixture.picker.contributors(piece).as_slice(), [1, 2]);
    assert_eq!(fixture.picker.piece_failed(piece).as_slice(), [1, 2]);
    assert_eq!(fixture.picker.missing_blocks(), 4);
    fixture.picker.restrict(piece, Some(2));
    assert!(fixture.pick(1, ALL, 4).iter().all(|block| block.0 != piece));
    assert_eq!(fixture.pick(2, ALL, 1), [(piece, 0)]);
    // Not even in endgame.
    assert_eq!(fixture.pick(3, ALL, 9).len(), 2);
    assert_eq!(fixture.pick(2, ALL, 1), [(piece, 1)]);
    fixture.received(2, (piece, 0));
    fixture.received(2, (piece, 1));
    assert_eq!(fixture.picker.piece_failed(piece).as_slice(), [2]);
    fixture.picker.assert_consistent();
    assert_eq!(fixture.pick(1, ALL, 9).len(), 2);
}

#[test]
fn piece_kept_for_a_peer_is_free_for_all_when_it_is_gone_or_does_not_send() {
    let mut fixture = Fixture::new(1, 2);
    fixture.picker.peer_joined(ALL);
    fixture.picker.restrict(0, Some(1));
    assert_eq!(fixture.pick(2, ALL, 1), []);
    fixture.picker.peer_gone(1, []);
    assert_eq!(fixture.picker.begun().count(), 0);
    assert_eq!(fixture.pick(2, ALL, 1), [(0, 0)]);
    fixture.released(2, (0, 0));

    fixture.picker.restrict(0, Some(1));
    fixture.pick(1, ALL, 2);
    fixture.received(1, (0, 0));
    fixture.released(1, (0, 1));
    assert_eq!(fixture.pick(2, ALL, 1), [(0, 1)]);
}

#[test]
fn peers_that_complete_are_counted_as_seeds_and_can_lose_a_piece_again() {
    let mut fixture = Fixture::new(3, 1);
    let mut has = bitfield(3, [0, 1]);
    let other = bitfield(3, [1]);
    fixture.picker.peer_joined(PeerPieces::Some(&has));
    fixture.picker.peer_joined(PeerPieces::Some(&other));
    has.set(2);
    fixture.picker.peer_has(&has, 2, &mut PeerCursor::default());
    fixture.picker.assert_consistent();
    assert_eq!((fixture.picker.seeds, fixture.picker.leechers), (1, 1));
    let availability = |fixture: &Fixture| [0, 1, 2].map(|piece| fixture.picker.availability(piece));
    assert_eq!(availability(&fixture), [1, 2, 1]);
    has.clear(0);
    fixture.picker.peer_lost(&has, 0);
    fixture.picker.assert_consistent();
    assert_eq!(availability(&fixture), [0, 2, 1]);
    assert_eq!(fixture.picker.rarest(), Rarest { availability: 0, pieces: 1 });
    fixture.picker.peer_left(PeerPieces::Some(&has));
    fixture.picker.peer_left(PeerPieces::Some(&other));
    assert_eq!(availability(&fixture), [0, 0, 0]);
    assert!(fixture.picker.order.is_none());
}

#[test]
fn seeds_touch_no_piece() {
    let mut fixture = Fixture::new(100_000, 1);
    for _ in 0..1000 {
        fixture.picker.peer_joined(ALL);
    }
    assert_eq!(fixture.picker.availability(99_999), 1000);
    assert!(fixture.picker.order.is_none());
}

#[test]
fn complete_torrent_holds_no_tables_and_learns_availability_anew_when_a_piece_is_lost() {
    let mut fixture = Fixture::new(3, 1);
    fixture.picker.set_priority(0, Priority::High);
    fixture.picker.peer_joined(ALL);
    for piece in 0..3 {
        assert!(fixture.picker.piece_verified(piece));
        assert!(!fixture.picker.piece_verified(piece));
    }
    fixture.picker.assert_consistent();
    assert!(fixture.picker.is_complete() && fixture.picker.is_finished());
    assert_eq!(fixture.picker.missing_bytes(), 0);
    assert_eq!((fixture.picker.availability(0), fixture.pick(1, ALL, 1)), (0, vec![]));

    let some = bitfield(3, [1]);
    fixture.picker.piece_lost(1, [ALL, PeerPieces::Some(&some)]);
    fixture.picker.assert_consistent();
    assert!(!fixture.picker.has(1) && fixture.picker.wants(1));
    assert_eq!([0, 1, 2].map(|piece| fixture.picker.availability(piece)), [1, 2, 1]);
    assert_eq!(fixture.pick(2, PeerPieces::Some(&some), 2), [(1, 0)]);
}

#[test]
fn torrent_without_bytes_is_complete() {
    let fixture = Fixture::new(0, 1);
    assert!(fixture.picker.is_complete());
    assert!(!fixture.picker.has(0));
}

#[test]
fn interest_is_in_wanted_pieces_that_were_not_verified() {
    let mut fixture = Fixture::new(10, 1);
    let has = bitfield(10, [0, 1, 2, 9]);
    fixture.verified(0);
    assert_eq!(fixture.picker.interesting_count(PeerPieces::Some(&has)), 3);
    assert_eq!(fixture.picker.interesting_count(ALL), 9);
    fixture.picker.set_priority(9, Priority::Skip);
    assert_eq!(fixture.picker.interesting_count(PeerPieces::Some(&has)), 2);
    assert_eq!(fixture.picker.interesting_count(ALL), 8);
    assert_eq!([0, 1, 9, 10].map(|piece| fixture.picker.wants(piece)), [false, true, false, false]);
}

#[test]
fn indices_past_the_end_change_nothing() {
    let mut fixture = Fixture::new(3, 1);
    let long = Bitfield::full(100);
    fixture.picker.peer_joined(PeerPieces::Some(&bitfield(3, [])));
    fixture.picker.peer_has(&long, 3, &mut PeerCursor::default());
    fixture.picker.peer_lost(&long, u32::MAX);
    fixture.picker.set_priority(3, Priority::Skip);
    fixture.picker.restrict(3, Some(1));
    fixture.picker.piece_lost(3, []);
    assert!(!fixture.picker.piece_verified(3));
    assert!(fixture.picker.piece_failed(3).is_empty());
    fixture.picker.released(1, Block { piece: u32::MAX, offset: u32::MAX, length: u32::MAX });
    assert_eq!(fixture.picker.availability(3), 0);
    fixture.picker.assert_consistent();
}

/// 100,000 pieces, held by 50 peers each, except those of `rare`.
fn crowd(config: PickerConfig) -> Fixture {
    let mut fixture = Fixture::with(100_000, 1, config);
    for _ in 0..50 {
        fixture.picker.peer_joined(PeerPieces::Some(&bitfield(100_000, 1..100_000)));
    }
    fixture
}

#[test]
fn peer_with_one_piece_of_many_is_searched_once_and_then_remembered() {
    let config = PickerConfig { random_first_pieces: 0, begun_limit: u64::MAX, ..PickerConfig::default() };
    let mut fixture = crowd(config);
    let mut has = bitfield(100_000, [77_777]);
    fixture.picker.peer_joined(PeerPieces::Some(&has));
    assert_eq!(fixture.pick(1, PeerPieces::Some(&has), 1), [(77_777, 0)]);
    let words = 100_000 / 64 + 1;
    assert!(fixture.picker.last_steps <= 64 + words + 64);
    fixture.pick(1, PeerPieces::Some(&has), 1);
    assert!(fixture.picker.last_steps <= 64 + words);
    for _ in 0..100 {
        assert_eq!(fixture.pick(1, PeerPieces::Some(&has), 1), []);
        assert!(fixture.picker.last_steps <= 70, "{}", fixture.picker.last_steps);
    }
    // What it gets then is found without a search from the start.
    has.set(99_990);
    fixture.picker.peer_has(&has, 99_990, fixture.cursors.get_mut(&1).unwrap());
    assert_eq!(fixture.pick(1, PeerPieces::Some(&has), 1), [(99_990, 0)]);
    assert!(fixture.picker.last_steps <= 110, "{}", fixture.picker.last_steps);
}

#[test]
fn picks_cost_the_same_on_average_however_few_pieces_a_peer_holds() {
    for every in [1, 3, 10, 100, 1000] {
        let config = PickerConfig { random_first_pieces: 0, begun_limit: u64::MAX, ..PickerConfig::default() };
        let mut fixture = crowd(config);
        let has = bitfield(100_000, (1..100_000).step_by(every));
        fixture.picker.peer_joined(PeerPieces::Some(&has));
        let (mut steps, picks) = (0, has.count().min(1000));
        for _ in 0..picks {
            let mut out = vec![];
            let source = Source { peer: 1, has: PeerPieces::Some(&has), speed: Speed::Slow };
            fixture.picker.pick(&source, fixture.cursors.entry(1).or_default(), 1, &mut fixture.rng, &mut out);
            assert_eq!(out.len(), 1);
            steps += fixture.picker.last_steps;
        }
        assert!(steps / picks <= 64 + 2 * 16 + 20, "{every}: {}", steps / picks);
    }
}

#[test]
fn idle_torrent_is_small() {
    assert!(size_of::<Picker<u64>>() <= 320, "{}", size_of::<Picker<u64>>());
    assert!(size_of::<PeerCursor>() <= 12);
    let mut fixture = Fixture::new(100_000, 1);
    fixture.picker.peer_joined(PeerPieces::Some(&Bitfield::new(100_000)));
    assert!(fixture.picker.order.is_none());
    fixture.picker.peer_joined(PeerPieces::Some(&bitfield(100_000, [0])));
    let bytes = fixture.picker.order.as_ref().unwrap().bytes();
    assert!(bytes <= 100_000 * 8 + 100_000 / 8 + 100, "{bytes}");
}
