use alloc::{boxed::Box, vec};

/// A set of piece indices below a fixed length, one bit each, in the wire's own order: bit 7 of byte 0 is piece 0 (BEP 3).
///
/// Spare bits at the end are always zero, so two bitfields are equal exactly if they hold the same pieces.
#[derive(Clone, PartialEq, Eq)]
pub struct Bitfield {
    bytes: Box<[u8]>,
    length: u32,
    count: u32,
}

impl Bitfield {
    /// `length` pieces, none of them held.
    pub fn new(length: u32) -> Bitfield {
        Bitfield { bytes: vec![0; (length as usize).div_ceil(8)].into_boxed_slice(), length, count: 0 }
    }

    /// `length` pieces, all of them held.
    pub fn full(length: u32) -> Bitfield {
        let mut bytes = vec![0xff; (length as usize).div_ceil(8)].into_boxed_slice();
        if let Some(last) = bytes.last_mut() {
            *last &= !spare_bits(length);
        }
        Bitfield { bytes, length, count: length }
    }

    /// What a peer or a resume file says; `None` if the number of bytes does not fit `length` or a spare bit is set.
    pub fn from_bytes(length: u32, bytes: &[u8]) -> Option<Bitfield> {
        if bytes.len() != (length as usize).div_ceil(8) || bytes.last().is_some_and(|last| last & spare_bits(length) != 0) {
            return None;
        }
        let count = bytes.iter().map(|byte| byte.count_ones()).sum();
        Some(Bitfield { bytes: bytes.into(), length, count })
    }

    /// Adds `index`; `true` if it was missing. An index past the end is ignored.
    pub fn set(&mut self, index: u32) -> bool {
        if index >= self.length || self.get(index) {
            return false;
        }
        self.bytes[index as usize / 8] |= 0x80 >> (index % 8);
        self.count += 1;
        true
    }

    /// Takes `index` out; `true` if it was there.
    pub fn clear(&mut self, index: u32) -> bool {
        if !self.get(index) {
            return false;
        }
        self.bytes[index as usize / 8] &= !(0x80 >> (index % 8));
        self.count -= 1;
        true
    }

    /// Whether `index` is held; `false` past the end.
    pub fn get(&self, index: u32) -> bool {
        index < self.length && self.bytes[index as usize / 8] & (0x80 >> (index % 8)) != 0
    }

    /// How many pieces there are, held or not.
    pub fn len(&self) -> u32 {
        self.length
    }

    /// How many pieces are held.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether no piece is held.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether every piece is held.
    pub fn is_full(&self) -> bool {
        self.count == self.length
    }

    /// The bytes as they go on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The pieces held, ascending; skips empty bytes.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.bytes
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte != 0)
            .flat_map(|(at, byte)| (0..8).filter(move |bit| byte & (0x80 >> bit) != 0).map(move |bit| at as u32 * 8 + bit))
    }

    /// The pieces that are not held, in order.
    pub fn missing(&self) -> impl Iterator<Item = u32> + '_ {
        let lacking = self.bytes.iter().enumerate().filter(|(_, byte)| **byte != 0xff);
        let bits = lacking.flat_map(|(at, byte)| (0..8).filter(move |bit| byte & (0x80 >> bit) == 0).map(move |bit| at as u32 * 8 + bit));
        bits.take_while(|piece| *piece < self.length)
    }

    /// The first piece held from `index` on.
    pub fn first_from(&self, index: u32) -> Option<u32> {
        let at = index as usize / 8;
        let masked = |(place, byte): (usize, &u8)| (place, if place == at { byte & (0xff >> (index % 8)) } else { *byte });
        let (place, byte) = self.bytes.iter().enumerate().skip(at).map(masked).find(|(_, byte)| *byte != 0)?;
        Some(place as u32 * 8 + byte.leading_zeros())
    }

    /// Takes every piece away that `other` holds.
    pub fn remove_all(&mut self, other: &Bitfield) {
        for (ours, theirs) in self.bytes.iter_mut().zip(&other.bytes) {
            *ours &= !theirs;
        }
        self.count = self.bytes.iter().map(|byte| byte.count_ones()).sum();
    }

    /// Whether `other` holds a piece that this one does not.
    pub fn lacks_any_of(&self, other: &Bitfield) -> bool {
        self.bytes.iter().zip(&other.bytes).any(|(ours, theirs)| theirs & !ours != 0)
    }
}

impl core::fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} of {} pieces", self.count, self.length)
    }
}

/// The bits of the last byte that stand for no piece.
const fn spare_bits(length: u32) -> u8 {
    match length % 8 {
        0 => 0,
        used => 0xff >> used,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::BTreeSet, vec::Vec};

    #[test]
    fn spare_bits_and_wrong_lengths_are_refused() {
        assert!(Bitfield::from_bytes(9, &[0xff, 0x80]).is_some());
        assert!(Bitfield::from_bytes(9, &[0xff, 0x40]).is_none());
        assert!(Bitfield::from_bytes(9, &[0xff]).is_none());
        assert!(Bitfield::from_bytes(9, &[0xff, 0x80, 0]).is_none());
        assert!(Bitfield::from_bytes(0, &[]).is_some());
        assert_eq!(Bitfield::full(9).as_bytes(), [0xff, 0x80]);
        assert!(!Bitfield::new(8).set(8));
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(length in 0u32..100, steps in prop::collection::vec((any::<bool>(), 0u32..110), 0..200)) {
            let (mut ours, mut model) = (Bitfield::new(length), BTreeSet::new());
            for (add, index) in steps {
                if add {
                    prop_assert_eq!(ours.set(index), index < length && model.insert(index));
                } else {
                    prop_assert_eq!(ours.clear(index), model.remove(&index));
                }
            }
            prop_assert_eq!(ours.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(ours.missing().collect::<Vec<_>>(), (0..length).filter(|index| !model.contains(index)).collect::<Vec<_>>());
            prop_assert_eq!(ours.count() as usize, model.len());
            prop_assert_eq!(Bitfield::from_bytes(length, ours.as_bytes()), Some(ours));
        }
    }
}
