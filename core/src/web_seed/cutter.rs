use crate::{
    torrent::geometry::{BLOCK_LENGTH, Block, Geometry},
    wire::{Payload, PayloadAssembly},
};
use bytes::Bytes;

/// Cuts a run of bytes into a torrent's blocks, without copying what is long.
#[derive(Debug, Default)]
pub struct BlockCutter {
    /// The byte of the torrent that is to come next.
    at: u64,
    /// The part of a block that came.
    partial: Option<(Block, PayloadAssembly)>,
    /// What that part costs.
    charge: u64,
}

impl BlockCutter {
    /// Takes `data` in, which lies in the torrent from `offset` on, and tells `block` of each block that is complete with it, and of
    /// what it costs: `share` is the cost of 256 bytes of `data`.
    ///
    /// What does not follow on what came before begins anew, with the next block that begins there or behind.
    pub fn push(&mut self, geometry: &Geometry, offset: u64, mut data: Bytes, share: u64, mut block: impl FnMut(Block, Payload, u64)) {
        if self.at != offset {
            (self.partial, self.charge) = (None, 0);
        }
        self.at = offset.saturating_add(data.len() as u64);
        let mut at = offset;
        while !data.is_empty() {
            let piece_length = u64::from(geometry.piece_length());
            let Ok(piece) = u32::try_from(at / piece_length) else { return };
            let within = (at % piece_length) as u32;
            let Some(current) = geometry.block(piece, within / BLOCK_LENGTH) else { return };
            // So much of the block lies before `at`, and so much of `data` lies in the block.
            let before = within.saturating_sub(current.offset);
            let missing = current.length.saturating_sub(before) as usize;
            let fragment = data.split_to(missing.min(data.len()));
            at += fragment.len() as u64;
            let begun = match self.partial.take() {
                Some(begun) if before > 0 => Some(begun),
                _ if before == 0 => {
                    self.charge = 0;
                    Some((current, PayloadAssembly::default()))
                }
                // The block's beginning never came.
                _ => None,
            };
            let Some((current, mut assembly)) = begun else { continue };
            self.charge += (fragment.len() as u64 * share) >> 8;
            let is_last = fragment.len() == missing;
            assembly.add(fragment, missing);
            if is_last {
                block(current, assembly.into_payload(), self.charge);
            } else {
                self.partial = Some((current, assembly));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{vec, vec::Vec};

    proptest! {
        #[test]
        fn however_a_run_is_cut_its_whole_blocks_come_out(
            length in 1u64..200_000, piece in 1u32..60_000, start: prop::sample::Index, cuts in prop::collection::vec(1usize..40_000, 1..20)
        ) {
            let geometry = Geometry::new(length, piece).unwrap();
            let content: Vec<u8> = (0..length).map(|at| (at / 7) as u8).collect();
            let start = start.index(length as usize);
            let (mut cutter, mut blocks, mut at) = (BlockCutter::default(), vec![], start);
            for cut in cuts.iter().cycle() {
                if at == content.len() {
                    break;
                }
                let end = content.len().min(at + cut);
                let data = Bytes::copy_from_slice(&content[at..end]);
                cutter.push(&geometry, at as u64, data, 256, |block, data, charge| {
                    assert_eq!((data.len(), charge), (block.length as usize, block.length.into()));
                    blocks.push((block, data.into_bytes()));
                });
                at = end;
            }
            let all = (0..geometry.piece_count()).flat_map(|piece| (0..).map_while(move |index| geometry.block(piece, index)));
            let begin = |block: &Block| block.piece as usize * piece as usize + block.offset as usize;
            let expected: Vec<Block> = all.filter(|block| begin(block) >= start).collect();
            prop_assert_eq!(blocks.iter().map(|(block, _)| *block).collect::<Vec<_>>(), expected);
            for (block, data) in blocks {
                prop_assert_eq!(&content[begin(&block)..begin(&block) + data.len()], &data[..]);
            }
        }
    }

    #[test]
    fn what_does_not_follow_begins_anew() {
        let geometry = Geometry::new(65_536, 32_768).unwrap();
        let mut cutter = BlockCutter::default();
        let data = || Bytes::from(vec![0; 16_384]);
        let mut count = 0;
        cutter.push(&geometry, 100, data(), 256, |_, _, _| count += 1);
        cutter.push(&geometry, 20_000, data(), 256, |_, _, _| count += 1);
        assert_eq!(count, 0);
        cutter.push(&geometry, 36_384, data(), 256, |block, _, _| assert_eq!((block.piece, block.offset), (1, 0)));
    }
}
