use super::{Layout, Span};
use alloc::vec::Vec;

/// Where the bytes of files that are kept aside lie in the part file.
///
/// A piece that holds bytes of wanted and of other files must be stored whole, so that it can be hashed and given to others; but the
/// other files are not to appear. Their bytes go to the part file. It has no table of contents that a crash could damage: the pieces
/// in which files meet have one slot each, in their order, and a byte's place in its slot is its place in its piece. So the file is
/// no longer than those pieces together, and bytes have the same place whatever is wanted.
///
/// Other pieces lie within one file, and are fetched for that one only. If one is stored just as its file is no longer wanted, it has a
/// place behind all slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The pieces in which files meet, ascending.
    shared: Vec<u32>,
    piece_length: u64,
}

impl Parts {
    /// The slots of a torrent.
    pub fn new(layout: &Layout) -> Parts {
        let mut shared = Vec::new();
        let mut before = None;
        for (number, _) in layout.files().iter().enumerate().filter(|(_, file)| !file.padding && file.length > 0) {
            let pieces = layout.pieces_of(number);
            if before == Some(pieces.start) && shared.last() != before.as_ref() {
                shared.push(pieces.start);
            }
            before = pieces.end.checked_sub(1);
        }
        Parts { shared, piece_length: layout.piece_length().into() }
    }

    /// Where the bytes of `span` lie, in order: position in the part file and length, one for each piece.
    pub fn locate<'a>(&'a self, layout: &Layout, span: Span) -> impl Iterator<Item = (u64, u64)> + 'a {
        let mut at = layout.start_of(span.file).saturating_add(span.offset);
        let end = at.saturating_add(span.length);
        core::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let (piece, offset) = (at / self.piece_length, at % self.piece_length);
            let length = (self.piece_length - offset).min(end - at);
            at += length;
            Some((self.slot(piece).saturating_mul(self.piece_length).saturating_add(offset), length))
        })
    }

    /// The pieces in which files meet, ascending.
    pub fn shared(&self) -> &[u32] {
        &self.shared
    }

    fn slot(&self, piece: u64) -> u64 {
        let shared = u32::try_from(piece).ok().and_then(|piece| self.shared.binary_search(&piece).ok());
        shared.map_or((self.shared.len() as u64).saturating_add(piece), |slot| slot as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LayoutFile;
    use proptest::prelude::*;
    use std::{collections::BTreeSet, format, vec, vec::Vec};

    fn layout(lengths: &[u64], piece_length: u32) -> Layout {
        let file =
            |(number, length): (usize, &u64)| LayoutFile { path: vec![format!("{number}")], length: *length, padding: number % 4 == 3 };
        Layout::new(lengths.iter().enumerate().map(file).collect(), piece_length).unwrap()
    }

    #[test]
    fn only_pieces_in_which_files_meet_have_slots() {
        let layout = layout(&[25, 15, 5, 5, 10, 0, 7], 10);
        let parts = Parts::new(&layout);
        assert_eq!(parts.shared(), [2], "a border at a piece's end, padding and empty files share nothing");
        let tail = Span { file: 0, offset: 18, length: 7 };
        assert_eq!(parts.locate(&layout, tail).collect::<Vec<_>>(), [(10 + 18, 2), (0, 5)]);
        assert_eq!(parts.locate(&layout, Span { file: 1, offset: 0, length: 5 }).collect::<Vec<_>>(), [(5, 5)]);
    }

    proptest! {
        #[test]
        fn every_byte_has_a_place_of_its_own_and_shared_ones_are_in_front(
            lengths in prop::collection::vec(0u64..30, 0..12),
            piece_length in 1u32..20,
        ) {
            let layout = layout(&lengths, piece_length);
            let parts = Parts::new(&layout);
            let mut places = BTreeSet::new();
            for (file, length) in (0..).zip(&lengths) {
                let mut offset = 0;
                for (position, run) in parts.locate(&layout, Span { file, offset: 0, length: *length }) {
                    let piece = ((layout.start_of(file) + offset) / u64::from(piece_length)) as u32;
                    let spans = layout.spans(piece, 0, layout.piece_size(piece));
                    let real = spans.iter().filter(|span| !layout.files()[span.file as usize].padding).count();
                    let shared = parts.shared().len() as u64 * u64::from(piece_length);
                    prop_assert_eq!(real > 1, position < shared);
                    prop_assert!((position..position + run).all(|at| places.insert(at)));
                    offset += run;
                }
                prop_assert_eq!(offset, *length);
            }
        }
    }
}
