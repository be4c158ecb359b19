//! How a torrent is cut into pieces and blocks.

pub use crate::wire::{BLOCK_LENGTH, Block};

/// The lengths of a torrent and of its pieces, and how pieces are cut into blocks of [`BLOCK_LENGTH`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    total_length: u64,
    piece_length: u32,
    piece_count: u32,
}

impl Geometry {
    /// A torrent of `total_length` bytes in pieces of `piece_length`; `None` if that is zero, if the pieces do not fit a `u32`,
    /// or the total 63 bits.
    pub fn new(total_length: u64, piece_length: u32) -> Option<Geometry> {
        if piece_length == 0 || total_length > i64::MAX as u64 {
            return None;
        }
        let piece_count = u32::try_from(total_length.div_ceil(u64::from(piece_length))).ok()?;
        Some(Geometry { total_length, piece_length, piece_count })
    }

    /// Bytes in all.
    pub fn total_length(&self) -> u64 {
        self.total_length
    }

    /// Bytes a piece; the last one may be shorter.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// How many pieces there are; zero only if there are no bytes.
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// Bytes of `piece`; zero past the end.
    pub fn piece_size(&self, piece: u32) -> u32 {
        let start = u64::from(piece) * u64::from(self.piece_length);
        self.total_length.saturating_sub(start).min(u64::from(self.piece_length)) as u32
    }

    /// Blocks of `piece`; zero past the end.
    pub fn blocks_in(&self, piece: u32) -> u32 {
        self.piece_size(piece).div_ceil(BLOCK_LENGTH)
    }

    /// Blocks of all pieces.
    pub fn block_count(&self) -> u64 {
        let Some(last) = self.piece_count.checked_sub(1) else { return 0 };
        u64::from(last) * u64::from(self.blocks_in(0)) + u64::from(self.blocks_in(last))
    }

    /// Block number `index` of `piece`; `None` past the end of either.
    pub fn block(&self, piece: u32, index: u32) -> Option<Block> {
        let offset = index.checked_mul(BLOCK_LENGTH)?;
        let length = self.piece_size(piece).checked_sub(offset)?.min(BLOCK_LENGTH);
        (length > 0).then_some(Block { piece, offset, length })
    }

    /// Which block of its piece `block` is; `None` unless it is exactly one of those that [`Geometry::block`] gives.
    pub fn index_of(&self, block: Block) -> Option<u32> {
        let index = block.offset / BLOCK_LENGTH;
        (self.block(block.piece, index) == Some(block)).then_some(index)
    }

    /// Whether `block`, of whatever offset and length, lies within its piece: what a peer may ask of us.
    pub fn contains(&self, block: Block) -> bool {
        block.length > 0 && u64::from(block.offset) + u64::from(block.length) <= u64::from(self.piece_size(block.piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(piece: u32, offset: u32, length: u32) -> Block {
        Block { piece, offset, length }
    }

    #[test]
    fn last_piece_and_last_block_may_be_shorter() {
        let geometry = Geometry::new(2 * 40_000 + 20_000, 40_000).unwrap();
        assert_eq!(geometry.piece_count(), 3);
        assert_eq!([0, 1, 2, 3].map(|piece| geometry.piece_size(piece)), [40_000, 40_000, 20_000, 0]);
        assert_eq!([0, 2, 3].map(|piece| geometry.blocks_in(piece)), [3, 2, 0]);
        assert_eq!(geometry.block(0, 2), Some(block(0, 32_768, 7_232)));
        assert_eq!(geometry.block(2, 1), Some(block(2, 16_384, 3_616)));
        assert_eq!(geometry.block(2, 2), None);
        assert_eq!(geometry.block(3, 0), None);
        assert_eq!(geometry.block_count(), 8);
    }

    #[test]
    fn impossible_lengths_are_refused() {
        assert_eq!(Geometry::new(1, 0), None);
        assert_eq!(Geometry::new(i64::MAX as u64 + 1, u32::MAX), None);
        assert_eq!(Geometry::new(1 << 33, 1), None);
        assert_eq!(Geometry::new(0, 1).map(|geometry| geometry.block_count()), Some(0));
    }

    #[test]
    fn only_whole_blocks_have_an_index_but_any_range_within_a_piece_may_be_asked_for() {
        let geometry = Geometry::new(100_000, 40_000).unwrap();
        assert_eq!(geometry.index_of(block(1, 16_384, 16_384)), Some(1));
        assert_eq!(geometry.index_of(block(1, 16_384, 16_383)), None);
        assert_eq!(geometry.index_of(block(1, 16_383, 16_384)), None);
        assert_eq!(geometry.index_of(block(3, 0, 16_384)), None);
        assert!(geometry.contains(block(1, 39_999, 1)));
        assert!(!geometry.contains(block(1, 39_999, 2)));
        assert!(!geometry.contains(block(1, 1, 0)));
        assert!(!geometry.contains(block(2, u32::MAX, u32::MAX)));
    }

    proptest! {
        #[test]
        fn blocks_tile_the_torrent(total in 0u64..2_000_000, length in 1u32..200_000) {
            let geometry = Geometry::new(total, length).unwrap();
            let (mut bytes, mut count) = (0, 0);
            for piece in 0..geometry.piece_count() {
                let mut offset = 0;
                for index in 0..geometry.blocks_in(piece) {
                    let block = geometry.block(piece, index).unwrap();
                    prop_assert_eq!(block.offset, offset);
                    prop_assert_eq!(geometry.index_of(block), Some(index));
                    prop_assert!(geometry.contains(block));
                    offset += block.length;
                    count += 1;
                }
                prop_assert_eq!(offset, geometry.piece_size(piece));
                bytes += u64::from(offset);
            }
            prop_assert_eq!(bytes, total);
            prop_assert_eq!(count, geometry.block_count());
        }
    }
}
