use super::{PeerPieces, Picker, Priority, begun::Begun};
use crate::{rng::Rng, torrent::geometry::Block};
use alloc::vec::Vec;
use core::ops::Bound;

/// The peer that blocks are to be requested from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, P> {
    /// Its name.
    pub peer: P,
    /// What may be requested of it: what it holds, or the allowed-fast part of that while it chokes us (BEP 6).
    pub has: PeerPieces<'a>,
    /// How fast it sends.
    pub speed: Speed,
}

/// How fast a peer sends, roughly. Peers of one kind share pieces; a fast one does not wait for a slow one to complete a piece.
/// The borders are for the caller to draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Speed {
    /// Slow, or not known yet.
    #[default]
    Slow,
    /// Between the two.
    Medium,
    /// Sends a piece in seconds.
    Fast,
}

/// What the picker remembers of its last picks for one peer: keep it beside the connection. A new one is always right, and costs
/// only the search that it would have saved. One cursor belongs to one set of pieces: use another for an allowed-fast set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCursor {
    /// The piece that the peer was last asked for, and one more; 0 for none.
    last: u32,
    /// Words of 64 pieces before which the peer holds no fresh piece, as of `epoch`.
    word: u32,
    epoch: u32,
}

impl PeerCursor {
    /// The peer holds `piece` now.
    pub(super) fn found(&mut self, piece: u32) {
        self.word = self.word.min(piece / 64);
    }
}

/// Words of a peer's own pieces that are searched at once.
const WINDOW: usize = 16;

/// Pieces looked at in search of one that nobody else holds.
const ALONE_PROBES: u32 = 16;

/// Blocks that are looked at in one pick in endgame, from a random begun piece on.
const ENDGAME_LOOKS: usize = 4096;

impl<P: Copy + Ord> Picker<P> {
    /// Adds up to `count` blocks to `out` which are to be requested from `source`, in order, and notes that they are.
    ///
    /// Each must be answered in the end by [`Picker::received`], [`Picker::released`] or [`Picker::peer_gone`]. Blocks come from,
    /// first to last:
    ///
    /// 1. the piece that this peer was last asked for, so that a piece comes from few peers and in order,
    /// 2. pieces that are kept for this peer ([`Picker::restrict`]),
    /// 3. begun pieces that peers of the same speed fetch or nobody does; the nearest to completion first. But if others hold the next of
    ///    these as well, and there is a fresh one that only this peer holds: that one, within the limits on begun pieces,
    /// 4. a fresh piece: random while only a few pieces are verified, then the rarest of the best priority, any of equally rare
    ///    ones; or the first, when sequential. Not if the limits on begun pieces are reached,
    /// 5. other begun pieces,
    /// 6. beyond the limits, a fresh piece if the peer holds none of those begun,
    /// 7. in endgame, blocks that others were asked for; those with the fewest requests first, never twice of the same peer. Ask
    ///    with a small `count` then: what comes twice is waste.
    pub fn pick(&mut self, source: &Source<'_, P>, cursor: &mut PeerCursor, count: usize, rng: &mut Rng, out: &mut Vec<Block>) {
        let target = out.len().saturating_add(count);
        let mut steps = 0;
        if self.sequential && !self.is_complete() {
            self.take_overdue(source, target, &mut steps, out);
        }
        while out.len() < target && !self.is_complete() {
            let Some(piece) = self.choose(source, cursor, rng, &mut steps) else { break };
            let before = out.len();
            self.take(piece, source, target - before, out);
            cursor.last = piece.saturating_add(1);
            if out.len() == before {
                break;
            }
        }
        if out.len() < target && self.endgame() {
            self.take_again(source, target, rng, out);
        }
        #[cfg(test)]
        {
            self.last_steps = steps;
        }
    }

    /// The piece of which blocks are to be taken next.
    fn choose(&mut self, source: &Source<'_, P>, cursor: &mut PeerCursor, rng: &mut Rng, steps: &mut u32) -> Option<u32> {
        let last = cursor.last.checked_sub(1).filter(|last| !self.sequential && self.can_take(*last, source));
        if last.is_some() {
            return last;
        }
        let restricted = self.restricted_to(source.peer).inspect(|_| *steps += 1).find(|piece| self.can_take(*piece, source));
        if restricted.is_some() {
            return restricted;
        }
        if self.sequential {
            let open = self.open.iter().inspect(|_| *steps += 1).filter(|(_, _, piece)| source.has.contains(*piece));
            let first = open.min_by_key(|(priority, _, piece)| (*priority != Priority::High, *piece)).map(|(_, _, piece)| *piece);
            if first.is_some() {
                return first;
            }
        }
        let (mut open, mut other) = (None, None);
        for (_, _, piece) in &self.open {
            *steps += 1;
            if !source.has.contains(*piece) {
                continue;
            }
            if self.begun.get(piece).is_some_and(|begun| begun.suits(source.speed)) {
                open = Some(*piece);
                break;
            }
            other = other.or(Some(*piece));
        }
        let within_limits = self.begun_bytes < self.config.begun_limit && (self.open.len() as u64) < u64::from(self.config.open_limit);
        if let Some(open) = open {
            let alone = if within_limits { self.choose_alone(open, source, rng, steps) } else { None };
            return alone.or(Some(open));
        }
        if within_limits && let Some(fresh) = self.choose_fresh(source, cursor, rng, steps) {
            return Some(fresh);
        }
        if other.is_some() || within_limits || self.holds_begun(source, steps) {
            return other;
        }
        self.choose_fresh(source, cursor, rng, steps)
    }

    /// Whether a free block of `piece` may be requested from `source`.
    fn can_take(&self, piece: u32, source: &Source<'_, P>) -> bool {
        let Some(begun) = self.begun.get(&piece) else { return false };
        begun.free() > 0 && may_help(begun, source.peer) && self.wants(piece) && source.has.contains(piece)
    }

    /// Whether `source` can help with one of the begun pieces that are not complete, even if all of it is asked of others just now.
    /// Looks at no more than the limit of open pieces.
    fn holds_begun(&self, source: &Source<'_, P>, steps: &mut u32) -> bool {
        let incomplete = self.begun.iter().inspect(|_| *steps += 1).filter(|(_, begun)| begun.missing() > 0 && !begun.is_claimed());
        incomplete
            .take(self.config.open_limit as usize)
            .any(|(piece, begun)| source.has.contains(*piece) && may_help(begun, source.peer) && self.wants(*piece))
    }

    /// A fresh piece that of all peers only this one holds, to be begun before `open` is gone on with, which others hold as well: while
    /// the one spends its time on what all could send, all wait for the one.
    fn choose_alone(&mut self, open: u32, source: &Source<'_, P>, rng: &mut Rng, steps: &mut u32) -> Option<u32> {
        let shared = self.availability(open) > 1;
        if !shared || self.sequential || self.fresh_count == 0 || self.seeds > u32::from(source.has.is_all()) {
            return None;
        }
        let (seeds, priority, order) = (self.seeds, self.priority(open), self.order());
        let piece = order.rarest(&source.has, ALONE_PROBES, rng, steps)?;
        let alone = seeds + order.level(piece) == 1;
        (alone && self.priority(piece) <= priority).then_some(piece)
    }

    /// A piece to begin.
    fn choose_fresh(&mut self, source: &Source<'_, P>, cursor: &mut PeerCursor, rng: &mut Rng, steps: &mut u32) -> Option<u32> {
        if self.fresh_count == 0 {
            return None;
        }
        let (has, probes, epoch) = (&source.has, self.config.probes, self.epoch);
        let (is_sequential, is_newcomer) = (self.sequential, self.have_count() < self.config.random_first_pieces);
        if is_sequential {
            let high = self.high.iter().take(probes as usize).inspect(|_| *steps += 1).find(|piece| has.contains(**piece)).copied();
            if high.is_some() {
                return high;
            }
        }
        let order = self.order();
        if !is_sequential {
            let random = if is_newcomer { order.random(has, probes, rng, steps) } else { None };
            let found = random.or_else(|| order.rarest(has, probes, rng, steps));
            if let Some(found) = found {
                return Some(if self.keeps_gaps { self.end_of_gap(found, has, steps) } else { found });
            }
        }

        // The peer has none of those: search what it has.
        if cursor.epoch != epoch {
            (cursor.epoch, cursor.word) = (epoch, 0);
        }
        let barren = order.first_word(has, cursor.word as usize..order.words(), steps);
        cursor.word = barren as u32;
        if is_sequential {
            return order.first_in(has, barren);
        }
        // Somewhere at random first, so that peers which hold the same do not all send the same.
        let somewhere = barren + rng.index(order.words() - barren)?;
        order.best_in(has, somewhere..somewhere + WINDOW, steps).or_else(|| order.best_in(has, barren..barren + WINDOW, steps))
    }

    /// Requests up to `limit` free blocks of `piece`.
    fn take(&mut self, piece: u32, source: &Source<'_, P>, limit: usize, out: &mut Vec<Block>) {
        let geometry = self.geometry;
        self.change(piece, |picker| {
            let now = picker.verifications;
            let begun = picker.begun.entry(piece).or_insert_with(|| Begun::new(geometry.blocks_in(piece), now));
            begun.asked_at = now;
            begun.take(source.peer, source.speed, limit, |index| out.extend(geometry.block(piece, index)));
        });
    }

    /// Where sequential: the first piece that is not complete may wait for a slow peer while others bring what comes after it. Requests
    /// blocks of it that were asked of one slower peer alone, for some time.
    fn take_overdue(&mut self, source: &Source<'_, P>, target: usize, steps: &mut u32, out: &mut Vec<Block>) {
        let (geometry, now, patience) = (self.geometry, self.verifications, self.config.sequential_patience);
        let (priorities, limit) = (&self.priorities, self.config.open_limit as usize);
        let wanted = |piece: u32| priorities.get(piece as usize) != Some(&Priority::Skip);
        let incomplete = self.begun.iter_mut().filter(|(piece, begun)| begun.missing() > 0 && wanted(**piece)).take(limit);
        let Some((piece, begun)) = incomplete.inspect(|_| *steps += 1).next() else { return };
        let overdue = now.wrapping_sub(begun.asked_at) >= patience && begun.is_slower_than(source.speed);
        if !overdue || self.config.endgame_requests < 2 || !may_help(begun, source.peer) || !source.has.contains(*piece) {
            return;
        }
        begun.take_again(source.peer, 1, |index| {
            let more = out.len() < target;
            if more {
                out.extend(geometry.block(*piece, index));
            }
            more
        });
    }

    /// Requests blocks that others were asked for, until `out` has `target` blocks.
    fn take_again(&mut self, source: &Source<'_, P>, target: usize, rng: &mut Rng, out: &mut Vec<Block>) {
        let geometry = self.geometry;
        let start = rng.below(u64::from(geometry.piece_count())) as u32;
        for requests in 1..self.config.endgame_requests as usize {
            let mut looks = 0;
            'search: for range in [(Bound::Included(start), Bound::Unbounded), (Bound::Unbounded, Bound::Excluded(start))] {
                for (piece, begun) in self.begun.range_mut(range) {
                    looks += 1;
                    let wanted = self.priorities.get(*piece as usize) != Some(&Priority::Skip);
                    if begun.requested() == 0 || !wanted || !may_help(begun, source.peer) || !source.has.contains(*piece) {
                        continue;
                    }
                    looks += begun.len() as usize;
                    begun.take_again(source.peer, requests, |index| {
                        let more = out.len() < target;
                        if more {
                            out.extend(geometry.block(*piece, index));
                        }
                        more
                    });
                    if out.len() >= target || looks > ENDGAME_LOOKS {
                        break 'search;
                    }
                }
            }
            if out.len() >= target {
                return;
            }
        }
    }
}

/// Whether the piece is kept for nobody else than `peer`.
pub(super) fn may_help<P: Copy + Ord>(begun: &Begun<P>, peer: P) -> bool {
    begun.restricted_to.is_none_or(|only| only == peer)
}
