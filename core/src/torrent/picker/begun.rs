use super::{Received, Speed};
use alloc::{vec, vec::Vec};
use core::ops::Range;
use smallvec::SmallVec;

/// How far one block of a begun piece has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockState<P> {
    /// Asked of nobody.
    Free,
    /// Asked of this peer, and in endgame perhaps of others as well.
    Requested(P),
    /// It came from this peer.
    Received(P),
    /// It came in an earlier session.
    Kept,
}

/// A piece of which a block was requested or received, or which is kept for one peer.
#[derive(Clone, Debug)]
pub(super) struct Begun<P> {
    blocks: Vec<BlockState<P>>,
    /// Who else was asked for requested blocks, by the block; of one block in the order in which they were.
    also: Vec<(u32, P)>,
    free: u32,
    requested: u32,
    /// No block before this one is free.
    first_free: u32,
    /// The kind of peers that fetch it.
    speed: Speed,
    /// All of it was claimed by a source that sends long runs: until something of it comes or is released it holds no memory.
    claimed: bool,
    /// The picker's count of verifications when blocks were last asked for.
    pub(super) asked_at: u32,
    /// The one peer that may be asked for it.
    pub(super) restricted_to: Option<P>,
}

impl<P: Copy + Ord> Begun<P> {
    pub(super) fn new(blocks: u32, asked_at: u32) -> Begun<P> {
        Begun {
            blocks: vec![BlockState::Free; blocks as usize],
            also: Vec::new(),
            free: blocks,
            requested: 0,
            first_free: 0,
            speed: Speed::Slow,
            claimed: false,
            asked_at,
            restricted_to: None,
        }
    }

    /// Asks `peer` for all free blocks, as a part of a run; how many these were.
    pub(super) fn claim(&mut self, peer: P, speed: Speed) -> u32 {
        let free = self.free;
        self.take(peer, speed, free as usize, |_| {});
        self.claimed |= free as usize == self.blocks.len();
        free
    }

    /// Whether it is claimed as a whole, and nothing of it came.
    pub(super) fn is_claimed(&self) -> bool {
        self.claimed
    }

    /// Blocks asked of nobody.
    pub(super) fn free(&self) -> u32 {
        self.free
    }

    /// Blocks asked of someone and not yet received.
    pub(super) fn requested(&self) -> u32 {
        self.requested
    }

    /// Blocks that have not come.
    pub(super) fn missing(&self) -> u32 {
        self.free + self.requested
    }

    /// Blocks in all.
    pub(super) fn len(&self) -> u32 {
        self.blocks.len() as u32
    }

    /// Of whom block `index` was asked, if it has not come: the first of them first.
    pub(super) fn requesters(&self, index: u32) -> impl Iterator<Item = P> + '_ {
        let first = match self.blocks.get(index as usize) {
            Some(BlockState::Requested(peer)) => Some(*peer),
            _ => None,
        };
        let also = self.also.get(self.also_asked(index)).unwrap_or_default();
        first.into_iter().chain(also.iter().map(|(_, peer)| *peer))
    }

    /// Whether `peer` was asked for block `index`, and it has not come.
    pub(super) fn is_asked(&self, index: u32, peer: P) -> bool {
        self.requesters(index).any(|other| other == peer)
    }

    /// Whether fewer than `limit` others, and at least one, were asked for block `index`.
    pub(super) fn may_ask_again(&self, index: u32, peer: P, limit: usize) -> bool {
        let requesters = self.requesters(index).count();
        (1..limit).contains(&requesters) && !self.is_asked(index, peer)
    }

    /// The part of `also` that is about block `index`.
    fn also_asked(&self, index: u32) -> Range<usize> {
        let start = self.also.partition_point(|(block, _)| *block < index);
        let length = self.also.get(start..).unwrap_or_default().iter().take_while(|(block, _)| *block == index).count();
        start..start + length
    }

    /// Whether there is nothing to remember: the piece is as good as not begun.
    pub(super) fn is_untouched(&self) -> bool {
        self.free as usize == self.blocks.len() && self.restricted_to.is_none()
    }

    /// Whether a peer of this speed disturbs nobody who is faster or slower.
    pub(super) fn suits(&self, speed: Speed) -> bool {
        self.requested == 0 || self.speed == speed
    }

    /// Whether a peer of this speed would send sooner what was asked of others.
    pub(super) fn is_slower_than(&self, speed: Speed) -> bool {
        self.requested > 0 && self.speed < speed
    }

    /// Asks `peer` for up to `limit` free blocks, the first ones; gives their indices to `taken`.
    pub(super) fn take(&mut self, peer: P, speed: Speed, limit: usize, mut taken: impl FnMut(u32)) {
        if self.requested == 0 {
            self.speed = speed;
        }
        let mut left = limit.min(self.free as usize);
        for (index, block) in (self.first_free..).zip(self.blocks.iter_mut().skip(self.first_free as usize)) {
            if left == 0 {
                break;
            }
            if *block == BlockState::Free {
                *block = BlockState::Requested(peer);
                self.free -= 1;
                self.requested += 1;
                left -= 1;
                taken(index);
            }
            self.first_free = index + 1;
        }
    }

    /// Asks `peer` also for blocks that exactly `requesters` others were asked for, while `wanted` says so.
    pub(super) fn take_again(&mut self, peer: P, requesters: usize, mut wanted: impl FnMut(u32) -> bool) {
        for index in 0..self.len() {
            if self.requesters(index).count() == requesters && requesters > 0 && !self.is_asked(index, peer) {
                if !wanted(index) {
                    return;
                }
                self.also.insert(self.also_asked(index).end, (index, peer));
            }
        }
    }

    /// Forgets that `peer` was asked for block `index`; whether it was.
    pub(super) fn release(&mut self, index: u32, peer: P) -> bool {
        let also = self.also_asked(index);
        let Some(BlockState::Requested(first)) = self.blocks.get_mut(index as usize) else { return false };
        if *first != peer {
            let among = self.also.get(also.clone()).unwrap_or_default().iter().position(|(_, other)| *other == peer);
            return among.map(|at| self.also.remove(also.start + at)).is_some();
        }
        if !also.is_empty() {
            (_, *first) = self.also.remove(also.start);
            return true;
        }
        if let Some(block) = self.blocks.get_mut(index as usize) {
            *block = BlockState::Free;
        }
        self.claimed = false;
        self.free += 1;
        self.requested -= 1;
        self.first_free = self.first_free.min(index);
        true
    }

    /// Block `index` came from `peer`, which must have been asked for it unless it is `late`.
    pub(super) fn receive(&mut self, index: u32, peer: P, late: bool) -> Received<P> {
        let Some(block) = self.blocks.get(index as usize).copied() else { return Received::Unrequested };
        let cancel = match block {
            BlockState::Received(_) | BlockState::Kept => return Received::Duplicate,
            BlockState::Requested(_) if late || self.is_asked(index, peer) => {
                self.requested -= 1;
                let others = self.requesters(index).filter(|other| *other != peer).collect();
                self.also.drain(self.also_asked(index));
                others
            }
            BlockState::Free if late => {
                self.free -= 1;
                SmallVec::new()
            }
            _ => return Received::Unrequested,
        };
        if let Some(block) = self.blocks.get_mut(index as usize) {
            *block = BlockState::Received(peer);
        }
        self.claimed = false;
        Received::New { piece_complete: self.missing() == 0, cancel }
    }

    /// Block `index`, if it is free, came in an earlier session.
    pub(super) fn keep(&mut self, index: u32) {
        if let Some(block) = self.blocks.get_mut(index as usize).filter(|block| **block == BlockState::Free) {
            *block = BlockState::Kept;
            self.free -= 1;
        }
    }

    /// Whether any block is asked of `peer`.
    pub(super) fn asks(&self, peer: P) -> bool {
        self.requested > 0 && (self.blocks.contains(&BlockState::Requested(peer)) || self.also.iter().any(|(_, other)| *other == peer))
    }

    /// The peers whose blocks the piece is made of, each once, ascending.
    pub(super) fn contributors(&self) -> SmallVec<[P; 4]> {
        let mut contributors: SmallVec<[P; 4]> = SmallVec::new();
        for block in &self.blocks {
            if let BlockState::Received(peer) = block
                && let Err(at) = contributors.binary_search(peer)
            {
                contributors.insert(at, *peer);
            }
        }
        contributors
    }

    /// Recounts everything; no block may be asked of more than `most` peers, and of none twice.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self, most: usize)
    where
        P: core::fmt::Debug,
    {
        let count = |counted: fn(&BlockState<P>) -> bool| self.blocks.iter().filter(|block| counted(block)).count() as u32;
        let requested = count(|block| matches!(block, BlockState::Requested(_)));
        assert_eq!((self.free, self.requested), (count(|block| *block == BlockState::Free), requested));
        assert!(self.also.is_sorted_by_key(|(block, _)| *block));
        assert!(self.also.iter().all(|(block, _)| matches!(self.blocks[*block as usize], BlockState::Requested(_))));
        for block in 0..self.len() {
            let peers: Vec<P> = self.requesters(block).collect();
            assert!(peers.len() <= most && peers.iter().enumerate().all(|(at, peer)| !peers[..at].contains(peer)));
        }
    }
}
