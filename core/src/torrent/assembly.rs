use crate::{
    id::ConnectionId,
    wire::{BLOCK_LENGTH, Payload},
};
use alloc::{collections::BTreeMap, vec::Vec};
use bytes::Bytes;
use core::net::SocketAddr;

/// The blocks that came of pieces that are not complete yet, as they lie in their read buffers.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    pieces: BTreeMap<u32, Vec<Option<Gathered>>>,
}

#[derive(Debug)]
struct Gathered {
    data: Payload,
    source: Source,
    charge: u64,
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
    /// Who sent each block.
    pub(crate) sources: Vec<Source>,
    /// Its part of the block budget.
    pub(crate) charge: u64,
}

impl Assembly {
    /// Keeps the block at `offset` of `piece`, which consists of `blocks` blocks, and costs the budget `charge` bytes.
    pub(crate) fn insert(&mut self, piece: u32, blocks: u32, offset: u32, data: Payload, source: Source, charge: u64) {
        let gathered = self.pieces.entry(piece).or_insert_with(|| (0..blocks).map(|_| None).collect());
        if let Some(place) = gathered.get_mut((offset / BLOCK_LENGTH) as usize) {
            *place = Some(Gathered { data, source, charge });
        }
    }

    /// Takes `piece` out, if all of its blocks are here.
    pub(crate) fn take(&mut self, piece: u32) -> Option<Assembled> {
        if !self.pieces.get(&piece)?.iter().all(Option::is_some) {
            return None;
        }
        let gathered = self.pieces.remove(&piece)?;
        let mut assembled =
            Assembled { segments: Vec::with_capacity(gathered.len() + 4), sources: Vec::with_capacity(gathered.len()), charge: 0 };
        for block in gathered.into_iter().flatten() {
            assembled.segments.extend(block.data);
            assembled.sources.push(block.source);
            assembled.charge += block.charge;
        }
        Some(assembled)
    }

    /// Drops everything; returns what it cost the budget.
    pub(crate) fn clear(&mut self) -> u64 {
        let charge = self.pieces.values().flatten().flatten().map(|block| block.charge).sum();
        self.pieces.clear();
        charge
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
        assembly.insert(7, 2, BLOCK_LENGTH, block(2, 10), source, 20);
        assert!(assembly.take(7).is_none());
        assembly.insert(7, 2, 0, block(1, BLOCK_LENGTH as usize), source, 30);
        let assembled = assembly.take(7).unwrap();
        assert_eq!(assembled.segments.iter().map(|segment| segment[0]).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(assembled.charge, 50);
        assert!(assembly.take(7).is_none());
        assert_eq!(assembly.clear(), 0);
    }
}
