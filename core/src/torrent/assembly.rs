use crate::{
    id::ConnectionId,
    util::{Bitfield, push},
    wire::{BLOCK_LENGTH, Payload},
};
use alloc::{collections::BTreeMap, vec, vec::Vec};
use bytes::Bytes;
use core::{mem, net::SocketAddr};

/// The blocks that came of pieces that are not complete yet, as they lie in their read buffers.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    pieces: BTreeMap<u32, Gathering>,
}

/// What came of one piece. A peer has many of them under way: what blocks have in common is here only once.
#[derive(Debug)]
struct Gathering {
    /// By their place in the piece.
    blocks: Vec<Option<Gathered>>,
    /// The slices of all blocks, those of a block side by side, in the order in which they came.
    slices: Vec<Bytes>,
    /// Who sent any of it, each once; `None` if that was in an earlier session.
    sources: Vec<Option<Source>>,
    charge: u64,
}

/// One block of a [`Gathering`]: its place in the lists there.
#[derive(Clone, Copy, Debug)]
struct Gathered {
    first_slice: u32,
    slices: u32,
    source: u32,
}

/// Who sent a block, and who is to blame if it is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A peer, wherever it connects from next.
    Peer(SocketAddr),
    /// The web seed at this place of the torrent's list.
    WebSeed(u32),
}

/// Of whom blocks are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SourceId {
    Peer(ConnectionId),
    /// The web seed at this place of the torrent's list.
    WebSeed(u32),
}

/// All blocks of one piece.
#[derive(Debug)]
pub(crate) struct Assembled {
    /// Its bytes, in order.
    pub(crate) segments: Vec<Bytes>,
    /// Who sent each block; `None` for those of an earlier session.
    pub(crate) sources: Vec<Option<Source>>,
    /// Its part of the block budget.
    pub(crate) charge: u64,
}

/// The blocks that came of a piece that is not complete.
#[derive(Debug)]
pub(crate) struct Incomplete {
    pub(crate) piece: u32,
    /// Which blocks.
    pub(crate) blocks: Bitfield,
    /// Blocks side by side: the offset of the first, and their bytes.
    pub(crate) runs: Vec<(u32, Vec<Bytes>)>,
    /// Their part of the block budget.
    pub(crate) charge: u64,
}

impl Assembly {
    /// Keeps the block at `offset` of `piece`, which consists of `blocks` blocks, and costs the budget `charge` bytes.
    pub(crate) fn insert(&mut self, piece: u32, blocks: u32, offset: u32, data: Payload, source: Option<Source>, charge: u64) {
        let gathering = self.pieces.entry(piece).or_insert_with(|| Gathering::new(blocks));
        gathering.insert((offset / BLOCK_LENGTH) as usize, data, source, charge);
    }

    /// Takes `piece` out, if all of its blocks are here.
    pub(crate) fn take(&mut self, piece: u32) -> Option<Assembled> {
        if !self.pieces.get(&piece)?.blocks.iter().all(Option::is_some) {
            return None;
        }
        let mut gathering = self.pieces.remove(&piece)?;
        let blocks = mem::take(&mut gathering.blocks);
        let mut assembled = Assembled {
            segments: Vec::with_capacity(gathering.slices.len()),
            sources: Vec::with_capacity(blocks.len()),
            charge: gathering.charge,
        };
        for block in blocks.into_iter().flatten() {
            assembled.segments.extend(gathering.take_slices(block));
            assembled.sources.push(gathering.sources.get(block.source as usize).copied().flatten());
        }
        Some(assembled)
    }

    /// Whether the block at `offset` of `piece` is here.
    pub(crate) fn has(&self, piece: u32, offset: u32) -> bool {
        let block = self.pieces.get(&piece).and_then(|gathering| gathering.blocks.get((offset / BLOCK_LENGTH) as usize));
        block.is_some_and(Option::is_some)
    }

    /// What all that is here costs the budget, and how many bytes it is.
    pub(crate) fn held(&self) -> (u64, u64) {
        let bytes = |gathering: &Gathering| gathering.slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
        self.pieces.values().fold((0, 0), |(charge, held), piece| (charge + piece.charge, held + bytes(piece)))
    }

    /// Takes everything out: of each piece which blocks there are, as runs of blocks that lie side by side, each with its offset, and
    /// what they cost the budget.
    pub(crate) fn take_all(&mut self) -> Vec<Incomplete> {
        mem::take(&mut self.pieces).into_iter().map(|(piece, gathering)| gathering.into_incomplete(piece)).collect()
    }

    /// Drops what came of `piece`; returns what it cost the budget.
    pub(crate) fn drop_piece(&mut self, piece: u32) -> u64 {
        self.pieces.remove(&piece).map_or(0, |gathering| gathering.charge)
    }

    /// Drops everything; returns what it cost the budget.
    pub(crate) fn clear(&mut self) -> u64 {
        mem::take(&mut self.pieces).into_values().map(|gathering| gathering.charge).sum()
    }
}

impl Gathering {
    fn new(blocks: u32) -> Gathering {
        Gathering { blocks: vec![None; blocks as usize], slices: Vec::new(), sources: Vec::new(), charge: 0 }
    }

    fn insert(&mut self, index: usize, data: Payload, source: Option<Source>, charge: u64) {
        let Some(place) = self.blocks.get_mut(index) else { return };
        // Whoever sent a block has often sent the one before.
        let known = self.sources.iter().rposition(|known| *known == source);
        let source = known.unwrap_or_else(|| {
            push(&mut self.sources, 1, source);
            self.sources.len() - 1
        });
        let first_slice = self.slices.len() as u32;
        data.into_iter().for_each(|slice| push(&mut self.slices, 4, slice));
        *place = Some(Gathered { first_slice, slices: self.slices.len() as u32 - first_slice, source: source as u32 });
        self.charge = self.charge.saturating_add(charge);
    }

    fn take_slices(&mut self, block: Gathered) -> impl Iterator<Item = Bytes> {
        self.slices.iter_mut().skip(block.first_slice as usize).take(block.slices as usize).map(mem::take)
    }

    fn into_incomplete(mut self, piece: u32) -> Incomplete {
        let blocks = mem::take(&mut self.blocks);
        let mut incomplete = Incomplete { piece, blocks: Bitfield::new(blocks.len() as u32), runs: Vec::new(), charge: self.charge };
        let mut goes_on = false;
        for (index, block) in (0..).zip(blocks) {
            let Some(block) = block else {
                goes_on = false;
                continue;
            };
            incomplete.blocks.set(index);
            if !goes_on {
                incomplete.runs.push((index * BLOCK_LENGTH, Vec::new()));
            }
            goes_on = true;
            if let Some((_, segments)) = incomplete.runs.last_mut() {
                segments.extend(self.take_slices(block));
            }
        }
        incomplete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_whole_when_its_last_block_came_in_whatever_order() {
        let source = Source::Peer(SocketAddr::from(([1, 2, 3, 4], 5)));
        let mut assembly = Assembly::default();
        let block = |byte: u8, length: usize| Payload::from(Bytes::from(alloc::vec![byte; length]));
        assembly.insert(7, 2, BLOCK_LENGTH, block(2, 10), Some(source), 20);
        assert!(assembly.take(7).is_none());
        assembly.insert(7, 2, 0, block(1, BLOCK_LENGTH as usize), Some(source), 30);
        let assembled = assembly.take(7).unwrap();
        assert_eq!(assembled.segments.iter().map(|segment| segment[0]).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(assembled.charge, 50);
        assert!(assembly.take(7).is_none());
        assert_eq!(assembly.clear(), 0);
    }

    #[test]
    fn what_is_incomplete_is_taken_out_in_runs() {
        let mut assembly = Assembly::default();
        let block = |byte: u8| Payload::from(Bytes::from(alloc::vec![byte; BLOCK_LENGTH as usize]));
        for index in [3, 0, 1] {
            assembly.insert(7, 5, index * BLOCK_LENGTH, block(index as u8), None, 10);
        }
        assert!(assembly.has(7, BLOCK_LENGTH) && !assembly.has(7, 2 * BLOCK_LENGTH) && !assembly.has(8, 0));
        let [incomplete] = &assembly.take_all()[..] else { panic!("one piece") };
        assert_eq!((incomplete.piece, incomplete.charge, incomplete.blocks.iter().collect::<Vec<_>>()), (7, 30, alloc::vec![0, 1, 3]));
        let runs = incomplete.runs.iter().map(|(offset, segments)| (*offset, segments.iter().map(|bytes| bytes[0]).collect()));
        assert_eq!(runs.collect::<Vec<_>>(), [(0, alloc::vec![0, 1]), (3 * BLOCK_LENGTH, alloc::vec![3])]);
        assert_eq!(assembly.clear(), 0);
    }
}
