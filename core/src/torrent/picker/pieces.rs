use crate::util::Bitfield;

/// What a peer holds.
#[derive(Clone, Copy, Debug)]
pub enum PeerPieces<'a> {
    /// Every piece: a seed, which needs no bitfield.
    All,
    /// These.
    Some(&'a Bitfield),
}

impl PeerPieces<'_> {
    /// Whether the peer holds `piece`.
    pub fn contains(&self, piece: u32) -> bool {
        match self {
            PeerPieces::All => true,
            PeerPieces::Some(bitfield) => bitfield.get(piece),
        }
    }

    /// Whether the peer holds every piece.
    pub fn is_all(&self) -> bool {
        match self {
            PeerPieces::All => true,
            PeerPieces::Some(bitfield) => bitfield.is_full(),
        }
    }

    /// 64 pieces from `at * 64` on, the first in the highest bit. Bits past the end may be anything.
    pub(super) fn word(&self, at: usize) -> u64 {
        match self {
            PeerPieces::All => u64::MAX,
            PeerPieces::Some(bitfield) => {
                let bytes = bitfield.as_bytes().get(at * 8..).unwrap_or(&[]);
                let mut word = [0; 8];
                for (to, from) in word.iter_mut().zip(bytes) {
                    *to = *from;
                }
                u64::from_be_bytes(word)
            }
        }
    }
}

/// The bit of `piece` in its word.
pub(super) const fn bit(piece: u32) -> u64 {
    1 << (63 - piece % 64)
}

/// The pieces whose bits are set in `word`, which is number `at`; ascending.
pub(super) fn pieces_of_word(at: usize, mut word: u64) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        let piece = at as u32 * 64 + word.leading_zeros();
        (word != 0).then(|| {
            word &= !bit(piece);
            piece
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn words_hold_what_the_bitfield_holds(length in 0u32..300, set in prop::collection::vec(0u32..300, 0..100)) {
            let mut bitfield = Bitfield::new(length);
            for piece in set {
                bitfield.set(piece);
            }
            let words = (0..(length as usize).div_ceil(64)).flat_map(|at| pieces_of_word(at, PeerPieces::Some(&bitfield).word(at)));
            prop_assert_eq!(words.collect::<Vec<_>>(), bitfield.iter().collect::<Vec<_>>());
            prop_assert_eq!(PeerPieces::Some(&bitfield).word(5), 0);
        }
    }
}
