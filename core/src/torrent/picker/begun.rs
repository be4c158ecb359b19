use super::{Received, Speed};
use alloc::{vec, vec::Vec};
use smallvec::{SmallVec, smallvec};

/// How far one block of a begun piece has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BlockState<P> {
    /// Asked of nobody.
    Free,
    /// Asked of these peers: one, or in endgame several. Never empty.
    Requested(SmallVec<[P; 2]>),
    /// It came from this peer.
    Received(P),
}

/// A piece of which a block was requested or received, or which is kept for one peer.
#[derive(Clone, Debug)]
pub(super) struct Begun<P> {
    blocks: Vec<BlockState<P>>,
    free: u32,
    requested: u32,
    /// No block before this one is free.
    first_free: u32,
    /// The kind of peers that fetch it.
    speed: Speed,
    /// All of it was claimed by a source that sends long runs: until something of it comes or is released it holds no memory.
    claimed: bool,
    /// The one peer that may be asked for it.
    pub(super) restricted_to: Option<P>,
}

impl<P: Copy + Ord> Begun<P> {
    pub(super) fn new(blocks: u32) -> Begun<P> {
        Begun {
            blocks: vec![BlockState::Free; blocks as usize],
            free: blocks,
            requested: 0,
            first_free: 0,
            speed: Speed::Slow,
            claimed: false,
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

    pub(super) fn blocks(&self) -> &[BlockState<P>] {
        &self.blocks
    }

    /// Whether there is nothing to remember: the piece is as good as not begun.
    pub(super) fn is_untouched(&self) -> bool {
        self.free as usize == self.blocks.len() && self.restricted_to.is_none()
    }

    /// Whether a peer of this speed disturbs nobody who is faster or slower.
    pub(super) fn suits(&self, speed: Speed) -> bool {
        self.requested == 0 || self.speed == speed
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
                *block = BlockState::Requested(smallvec![peer]);
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
        for (index, block) in (0..).zip(&mut self.blocks) {
            if let BlockState::Requested(peers) = block
                && peers.len() == requesters
                && !peers.contains(&peer)
            {
                if !wanted(index) {
                    return;
                }
                peers.push(peer);
            }
        }
    }

    /// Forgets that `peer` was asked for block `index`; whether it was.
    pub(super) fn release(&mut self, index: u32, peer: P) -> bool {
        let Some(block) = self.blocks.get_mut(index as usize) else { return false };
        let BlockState::Requested(peers) = block else { return false };
        let Some(at) = peers.iter().position(|other| *other == peer) else { return false };
        peers.remove(at);
        if peers.is_empty() {
            self.claimed = false;
            *block = BlockState::Free;
            self.free += 1;
            self.requested -= 1;
            self.first_free = self.first_free.min(index);
        }
        true
    }

    /// Block `index` came from `peer`, which must have been asked for it unless it is `late`.
    pub(super) fn receive(&mut self, index: u32, peer: P, late: bool) -> Received<P> {
        let Some(block) = self.blocks.get_mut(index as usize) else { return Received::Unrequested };
        let cancel = match block {
            BlockState::Received(_) => return Received::Duplicate,
            BlockState::Requested(peers) if late || peers.contains(&peer) => {
                self.requested -= 1;
                peers.retain(|other| *other != peer);
                core::mem::take(peers)
            }
            BlockState::Free if late => {
                self.free -= 1;
                SmallVec::new()
            }
            _ => return Received::Unrequested,
        };
        *block = BlockState::Received(peer);
        self.claimed = false;
        Received::New { piece_complete: self.missing() == 0, cancel }
    }

    /// Whether any block is asked of `peer`.
    pub(super) fn asks(&self, peer: P) -> bool {
        self.requested > 0 && self.blocks.iter().any(|block| matches!(block, BlockState::Requested(peers) if peers.contains(&peer)))
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
}
