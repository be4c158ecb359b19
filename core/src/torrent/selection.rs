use super::{Geometry, picker::Priority};
use crate::{choices::Choices, storage::Layout, util::Bitfield};
use alloc::{vec, vec::Vec};

/// What of a torrent is wanted, as its owner's choices say.
#[derive(Debug)]
pub(crate) struct Selection {
    /// A bit for each file.
    pub(crate) files: Bitfield,
    /// The pieces with bytes of wanted files; `None` if that is every piece.
    pieces: Option<Bitfield>,
    /// Bytes of wanted pieces.
    pub(crate) bytes: u64,
    /// Bytes of wanted pieces that are verified.
    pub(crate) verified: u64,
}

impl Selection {
    /// What `choices` want of a torrent of which the pieces `verified` are there.
    pub(crate) fn new(layout: &Layout, geometry: &Geometry, choices: &Choices, verified: &Bitfield) -> Selection {
        let mut files = Bitfield::new(layout.files().len() as u32);
        for file in 0..files.len() {
            if choices.file(file) != Priority::Skip {
                files.set(file);
            }
        }
        let mut pieces = Bitfield::full(geometry.piece_count());
        if !files.is_full() {
            for (piece, priority) in (0..).zip(priorities(layout, choices).unwrap_or_default()) {
                if priority == Priority::Skip {
                    pieces.clear(piece);
                }
            }
        }
        let sum = |pieces: &mut dyn Iterator<Item = u32>| pieces.map(|piece| u64::from(geometry.piece_size(piece))).sum();
        Selection {
            bytes: if pieces.is_full() { geometry.total_length() } else { sum(&mut pieces.iter()) },
            verified: sum(&mut verified.iter().filter(|piece| pieces.get(*piece))),
            files,
            pieces: Some(pieces).filter(|pieces| !pieces.is_full()),
        }
    }

    /// Whether `piece` holds bytes of a wanted file.
    pub(crate) fn wants(&self, piece: u32) -> bool {
        self.pieces.as_ref().is_none_or(|pieces| pieces.get(piece))
    }

    /// Whether every wanted piece is verified.
    pub(crate) fn is_finished(&self) -> bool {
        self.verified >= self.bytes
    }

    /// `piece` of `length` bytes is verified now.
    pub(crate) fn piece_verified(&mut self, piece: u32, length: u32) {
        if self.wants(piece) {
            self.verified += u64::from(length);
        }
    }
}

/// How much each piece is wanted: as much as the best of the files that it holds bytes of. `None` if all are [`Priority::Normal`].
/// Pieces of padding alone are wanted if every file is.
pub(crate) fn priorities(layout: &Layout, choices: &Choices) -> Option<Vec<Priority>> {
    if choices.files.is_empty() && choices.other_files == Priority::Normal && !choices.first_and_last {
        return None;
    }
    let mut priorities: Vec<Option<Priority>> = vec![None; layout.piece_count() as usize];
    let mut better = |piece: u32, priority: Priority| {
        if let Some(known) = priorities.get_mut(piece as usize) {
            *known = Some(known.map_or(priority, |known| known.min(priority)));
        }
    };
    let mut all = true;
    for (number, _) in layout.files().iter().enumerate().filter(|(_, file)| !file.padding) {
        let (pieces, priority) = (layout.pieces_of(number), choices.file(number as u32));
        all &= priority != Priority::Skip;
        if choices.first_and_last && priority != Priority::Skip && !pieces.is_empty() {
            better(pieces.start, Priority::High);
            better(pieces.end.saturating_sub(1), Priority::High);
        }
        pieces.for_each(|piece| better(piece, priority));
    }
    let padding = if all { Priority::Normal } else { Priority::Skip };
    Some(priorities.into_iter().map(|priority| priority.unwrap_or(padding)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LayoutFile;
    use Priority::{High, Low, Normal, Skip};
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    fn layout(lengths: &[u64]) -> Layout {
        let file = |length: &u64| LayoutFile { path: vec!["x".into()], length: *length, padding: false };
        Layout::new(lengths.iter().map(file).collect(), 10).unwrap()
    }

    #[test]
    fn a_piece_is_wanted_as_much_as_the_best_of_its_files() {
        let layout = layout(&[25, 10, 0, 25]);
        let files = [(0, Skip), (1, Low), (2, High)];
        let choices = Choices { files: files.into(), ..Choices::default() };
        assert_eq!(priorities(&layout, &choices), Some(vec![Skip, Skip, Low, Normal, Normal, Normal]));
        let choices = Choices { files: files.into(), first_and_last: true, ..Choices::default() };
        assert_eq!(priorities(&layout, &choices), Some(vec![Skip, Skip, High, High, Normal, High]));
        assert_eq!(priorities(&layout, &Choices::default()), None);
    }

    proptest! {
        #[test]
        fn wanted_are_exactly_the_pieces_with_bytes_of_wanted_files(
            lengths in prop::collection::vec(0u64..40, 0..8),
            skipped in prop::collection::vec(any::<bool>(), 8),
            verified in prop::collection::vec(any::<bool>(), 40),
        ) {
            let layout = layout(&lengths);
            let geometry = Geometry::new(layout.total_length(), 10).unwrap();
            let skip = (0..).zip(&skipped).filter(|(_, skip)| **skip).map(|(file, _)| (file, Skip));
            let choices = Choices { files: skip.collect::<BTreeMap<_, _>>(), ..Choices::default() };
            let mut have = Bitfield::new(layout.piece_count());
            for (piece, _) in (0..).zip(&verified).filter(|(_, held)| **held) {
                have.set(piece);
            }
            let selection = Selection::new(&layout, &geometry, &choices, &have);
            let (mut bytes, mut held) = (0, 0);
            for piece in 0..layout.piece_count() {
                let spans = layout.spans(piece, 0, layout.piece_size(piece));
                let wanted = spans.iter().any(|span| !skipped[span.file as usize]);
                prop_assert_eq!(selection.wants(piece), wanted);
                bytes += u64::from(wanted) * u64::from(layout.piece_size(piece));
                held += u64::from(wanted && have.get(piece)) * u64::from(layout.piece_size(piece));
            }
            prop_assert_eq!((selection.bytes, selection.verified), (bytes, held));
        }
    }
}
