use super::{PeerPieces, Picker, Priority, Source, choice::may_help};
use crate::{rng::Rng, torrent::geometry::Block};
use alloc::vec::Vec;
use core::ops::{Bound, Range};

/// For sources that send long runs of pieces rather than blocks: web seeds (BEP 19).
///
/// Such a source chooses a run, and claims its pieces as it comes near them. What is claimed is asked of it as blocks are of a peer, so
/// that nobody else fetches it; what is only ahead in the run is not, and peers may take it.
impl<P: Copy + Ord> Picker<P> {
    /// The run of pieces that `source` had best send next: of the best priority, the longest gap; or the first one, when sequential. A
    /// piece that is kept for this source comes before all. Looks at every piece.
    ///
    /// `heading` are the pieces that other such sources will come to next. Of a gap that begins there, the second half is meant.
    pub fn choose_run(&self, source: &Source<'_, P>, heading: &[u32]) -> Option<Range<u32>> {
        let kept = self.restricted.range((source.peer, 0)..=(source.peer, u32::MAX)).map(|(_, piece)| *piece);
        if let Some(piece) = kept.into_iter().find(|piece| self.can_claim(*piece, source)) {
            return Some(piece..piece + 1);
        }
        if self.fresh_count == 0 && self.open.is_empty() {
            return None;
        }
        let (mut best, mut priority): (Option<Range<u32>>, Priority) = (None, Priority::Skip);
        let mut run = 0..0;
        for piece in 0..self.geometry.piece_count() {
            let can_claim = self.can_claim(piece, source);
            if can_claim && run.end == piece && !run.is_empty() && self.priority(piece) == self.priority(run.start) {
                run.end = piece + 1;
                continue;
            }
            self.weigh(&run, heading, &mut best, &mut priority);
            run = if can_claim { piece..piece + 1 } else { 0..0 };
        }
        self.weigh(&run, heading, &mut best, &mut priority);
        best
    }

    /// Asks `source` for all that is asked of nobody in `piece`, to be sent as a part of its run. Whether there is anything.
    pub fn claim(&mut self, source: &Source<'_, P>, piece: u32) -> bool {
        if !self.can_claim(piece, source) {
            return false;
        }
        let blocks = self.geometry.blocks_in(piece);
        self.change(piece, |picker| {
            picker.begun.entry(piece).or_insert_with(|| super::Begun::new(blocks, picker.verifications)).claim(source.peer, source.speed)
                > 0
        })
    }

    /// In endgame: also asks `source` for what is missing of one piece that others were asked for, and returns the piece.
    pub fn claim_again(&mut self, source: &Source<'_, P>, rng: &mut Rng) -> Option<u32> {
        if !self.endgame() {
            return None;
        }
        let start = rng.below(u64::from(self.geometry.piece_count())) as u32;
        let limit = self.config.endgame_requests as usize;
        let ranges = [(Bound::Included(start), Bound::Unbounded), (Bound::Unbounded, Bound::Excluded(start))];
        let mut begun = ranges.into_iter().flat_map(|range| self.begun.range(range)).take(self.config.open_limit as usize);
        let piece = *begun
            .find(|(piece, begun)| {
                let open = (0..begun.len()).any(|block| begun.may_ask_again(block, source.peer, limit));
                open && self.wants(**piece) && may_help(begun, source.peer) && source.has.contains(**piece)
            })?
            .0;
        self.change(piece, |picker| {
            let begun = picker.begun.get_mut(&piece)?;
            (1..limit).for_each(|requesters| begun.take_again(source.peer, requesters, |_| true));
            Some(piece)
        })
    }

    /// Takes back all that `peer` was asked for in `pieces`. Whether that was anything.
    pub fn release_run(&mut self, peer: P, pieces: Range<u32>) -> bool {
        let begun: Vec<u32> = self.begun_in(pieces).map(|(piece, _)| *piece).collect();
        let mut released = false;
        for piece in begun {
            let asked: Vec<Block> = self.asked_in(peer, piece).collect();
            released |= !asked.is_empty();
            asked.into_iter().for_each(|block| self.released(peer, block));
        }
        released
    }

    /// The first block of `pieces`, but for those that end before `offset` in the first of them, that `peer` was asked for, that is wanted, and that has
    /// not come.
    pub fn next_asked(&self, peer: P, pieces: Range<u32>, offset: u32) -> Option<Block> {
        let first = pieces.start;
        let begun = self.begun_in(pieces).filter(|(piece, _)| self.wants(**piece));
        begun.flat_map(|(piece, _)| self.asked_in(peer, *piece)).find(|block| block.piece > first || block.offset + block.length > offset)
    }

    /// The last block of `piece` that `peer` was asked for and that has not come.
    pub fn last_asked(&self, peer: P, piece: u32) -> Option<Block> {
        self.asked_in(peer, piece).last()
    }

    /// Whether a block of `piece` may be asked of `source` before endgame.
    pub(crate) fn can_claim(&self, piece: u32, source: &Source<'_, P>) -> bool {
        let open = |begun: &super::Begun<P>| begun.free() > 0 && may_help(begun, source.peer);
        self.wants(piece) && source.has.contains(piece) && self.begun.get(&piece).is_none_or(open)
    }

    /// The last of the fresh pieces that follow on `piece`, are as rare, and are held, too; `piece` itself if they go on for long: it is
    /// where the gap then ends.
    pub(super) fn end_of_gap(&self, piece: u32, has: &PeerPieces<'_>, steps: &mut u32) -> u32 {
        let Some(order) = &self.order else { return piece };
        let standing = |piece: u32| (order.class(piece), order.level(piece));
        let alike = |next: &u32| *next < self.geometry.piece_count() && standing(*next) == standing(piece) && has.contains(*next);
        let follow = (piece.saturating_add(1)..).take(LONG_GAP).inspect(|_| *steps += 1).take_while(alike).count();
        if follow == LONG_GAP { piece } else { piece + follow as u32 }
    }

    fn asked_in(&self, peer: P, piece: u32) -> impl Iterator<Item = Block> + '_ {
        let begun = self.begun.get(&piece).into_iter();
        let asked = begun.flat_map(move |begun| (0..begun.len()).filter(move |block| begun.is_asked(*block, peer)));
        asked.filter_map(move |index| self.geometry.block(piece, index))
    }

    fn begun_in(&self, pieces: Range<u32>) -> impl Iterator<Item = (&u32, &super::Begun<P>)> {
        // An empty range would be a panic.
        self.begun.range(pieces.start..pieces.end.max(pieces.start))
    }

    /// Keeps `run`, or its second half, if it is better than what was found before.
    fn weigh(&self, run: &Range<u32>, heading: &[u32], best: &mut Option<Range<u32>>, best_priority: &mut Priority) {
        let mut run = run.clone();
        if heading.contains(&run.start) {
            // The source that is coming needs the first piece at least.
            run.start += run.len() as u32 / 2 + run.len() as u32 % 2;
        }
        if run.is_empty() {
            return;
        }
        let priority = self.priority(run.start);
        let better = best.as_ref().is_none_or(|best| !self.sequential && run.len() > best.len());
        if priority < *best_priority || (priority == *best_priority && better) {
            (*best, *best_priority) = (Some(run), priority);
        }
    }
}

/// Pieces behind one of which a gap is so long that it may be cut in two.
const LONG_GAP: usize = 256;

#[cfg(test)]
mod tests {
    use super::{
        super::{PeerCursor, PickerConfig, Received, Speed},
        *,
    };
    use crate::{
        rng::{Purpose, Seed},
        torrent::Geometry,
        util::Bitfield,
    };

    const BLOCK: u32 = 16384;
    const ALL: PeerPieces<'static> = PeerPieces::All;

    fn source(peer: u32) -> Source<'static, u32> {
        Source { peer, has: ALL, speed: Speed::Fast }
    }

    /// Pieces of two blocks each; those of `have` are verified.
    fn picker(have: &str) -> Picker<u32> {
        let geometry = Geometry::new(have.len() as u64 * 2 * u64::from(BLOCK), 2 * BLOCK).unwrap();
        let mut verified = Bitfield::new(have.len() as u32);
        for (piece, _) in have.bytes().enumerate().filter(|(_, letter)| *letter == b'Y') {
            verified.set(piece as u32);
        }
        Picker::resumed(geometry, PickerConfig::default(), verified)
    }

    fn rng() -> Rng {
        Rng::new(Seed::from_u64(1)).fork(Purpose::Picker, 0)
    }

    #[test]
    fn a_run_is_the_biggest_gap_from_its_beginning() {
        // The picture of BEP 19.
        assert_eq!(picker("YYnnnnYnnY").choose_run(&source(1), &[]), Some(2..6));
        assert_eq!(picker("YnYYnnn").choose_run(&source(1), &[]), Some(4..7));
        assert_eq!(picker("YYYY").choose_run(&source(1), &[]), None);
    }

    #[test]
    fn a_gap_that_another_is_heading_into_is_shared() {
        let picker = picker("YnnnnnnnYnn");
        assert_eq!(picker.choose_run(&source(1), &[1]), Some(5..8));
        assert_eq!(self::picker("Yn").choose_run(&source(1), &[1]), None, "the last piece is left to it");
    }

    #[test]
    fn what_is_claimed_is_asked_of_nobody_else_and_what_is_ahead_is() {
        let mut picker = picker("nnnn");
        assert!(picker.claim(&source(1), 0));
        assert!(!picker.claim(&source(2), 0));
        assert_eq!(picker.choose_run(&source(2), &[]), Some(1..4));
        let mut out = Vec::new();
        picker.pick(&source(3), &mut PeerCursor::default(), 6, &mut rng(), &mut out);
        assert!(out.iter().all(|block| block.piece != 0) && out.len() == 6);
        picker.assert_consistent();
    }

    #[test]
    fn claims_do_not_keep_peers_from_beginning_pieces() {
        let geometry = Geometry::new(64 * 2 * u64::from(BLOCK), 2 * BLOCK).unwrap();
        let config = PickerConfig { begun_limit: 4 * u64::from(BLOCK), ..PickerConfig::default() };
        let mut picker = Picker::new(geometry, config);
        (0..32).for_each(|piece| assert!(picker.claim(&source(1), piece)));
        let mut out = Vec::new();
        picker.pick(&source(2), &mut PeerCursor::default(), 1, &mut rng(), &mut out);
        assert_eq!(out.len(), 1);
        picker.assert_consistent();
    }

    #[test]
    fn a_run_that_ends_gives_back_what_did_not_come() {
        let mut picker = picker("nnn");
        (0..3).for_each(|piece| assert!(picker.claim(&source(1), piece)));
        let block = |piece, offset| Block { piece, offset, length: BLOCK };
        assert!(matches!(picker.received(1, block(0, 0)), Received::New { .. }));
        assert_eq!(picker.next_asked(1, 0..3, 0), Some(block(0, BLOCK)));
        assert_eq!(picker.next_asked(1, 1..3, BLOCK), Some(block(1, BLOCK)));
        assert_eq!(picker.next_asked(1, 1..3, BLOCK - 1), Some(block(1, 0)), "a block that is coming just now");
        assert_eq!(picker.last_asked(1, 2), Some(block(2, BLOCK)));
        assert!(picker.release_run(1, 0..3));
        assert!(!picker.release_run(1, 0..3));
        assert_eq!(picker.next_asked(1, 0..3, 0), None);
        // The rest of the begun piece belongs to the gap.
        assert_eq!(picker.choose_run(&source(2), &[]), Some(0..3));
        picker.assert_consistent();
    }

    #[test]
    fn peers_fill_gaps_from_the_end_where_that_is_wanted() {
        let mut picker = picker("YYYYnnnnnnYnnY");
        picker.set_keeps_gaps(true);
        let (mut cursor, mut rng, mut out) = (PeerCursor::default(), rng(), Vec::new());
        picker.peer_joined(ALL);
        for _ in 0..8 {
            let before = picker.choose_run(&source(1), &[]).unwrap();
            out.clear();
            picker.pick(&source(3), &mut cursor, 2, &mut rng, &mut out);
            let after = picker.choose_run(&source(1), &[]);
            // No gap is ever cut in two: the biggest one stays, or loses its end.
            assert!(after.is_none_or(|after| after.start == before.start && after.end + 1 >= before.end || before.len() <= 2));
        }
    }

    #[test]
    fn priorities_and_sequence_come_before_length() {
        let mut picker = picker("nnnnnnnn");
        picker.set_priority(6, Priority::High);
        picker.set_priority(0, Priority::Skip);
        assert_eq!(picker.choose_run(&source(1), &[]), Some(6..7));
        picker.set_priority(6, Priority::Skip);
        assert_eq!(picker.choose_run(&source(1), &[]), Some(1..6));
        picker.set_priority(2, Priority::Skip);
        assert_eq!(picker.choose_run(&source(1), &[]), Some(3..6));
        picker.set_sequential(true);
        assert_eq!(picker.choose_run(&source(1), &[]), Some(1..2));
    }

    #[test]
    fn a_piece_kept_for_the_source_comes_first_and_one_kept_for_another_not_at_all() {
        let mut picker = picker("nnnn");
        picker.restrict(3, Some(1));
        picker.restrict(0, Some(2));
        assert_eq!(picker.choose_run(&source(1), &[]), Some(3..4));
        assert_eq!(picker.choose_run(&source(5), &[]), Some(1..3));
        assert!(!picker.claim(&source(5), 0));
    }

    #[test]
    fn in_endgame_a_piece_of_others_is_claimed_too() {
        let mut picker = picker("Yn");
        assert_eq!(picker.claim_again(&source(1), &mut rng()), None);
        let mut out = Vec::new();
        picker.pick(&source(2), &mut PeerCursor::default(), 99, &mut rng(), &mut out);
        assert_eq!(picker.claim_again(&source(1), &mut rng()), Some(1));
        assert_eq!(picker.claim_again(&source(1), &mut rng()), None, "once is enough");
        let Received::New { cancel, .. } = picker.received(1, out[0]) else { panic!() };
        assert_eq!(cancel.as_slice(), [2]);
        picker.assert_consistent();
    }
}
