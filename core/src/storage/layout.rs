use crate::metainfo::{File, Info};
use alloc::{string::String, vec::Vec};
use smallvec::SmallVec;

/// A run of bytes in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The file's place in [`Layout::files`].
    pub file: u32,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// How many bytes; never zero.
    pub length: u64,
}

/// Where the pieces of a torrent lie: its files one behind the other, cut into pieces of one length (BEP 3).
///
/// ```
/// use rustor_core::storage::{Layout, LayoutFile, Span};
///
/// let file = |name: &str, length| LayoutFile { path: vec![name.into()], length, padding: false };
/// let layout = Layout::new(vec![file("a", 10), file("empty", 0), file("b", 7)], 8).unwrap();
/// assert_eq!(layout.piece_count(), 3);
/// // The second piece holds the end of `a` and the beginning of `b`.
/// let ends = [Span { file: 0, offset: 8, length: 2 }, Span { file: 2, offset: 0, length: 6 }];
/// assert_eq!(layout.spans(1, 0, layout.piece_size(1)).as_slice(), ends);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    files: Vec<LayoutFile>,
    /// Where each file begins in the torrent; one more at the end, the total.
    starts: Vec<u64>,
    piece_length: u32,
}

/// One file of a [`Layout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutFile {
    /// Its folders and name below the download folder: safe, unique, never empty.
    pub path: Vec<String>,
    /// Bytes.
    pub length: u64,
    /// A pad file (BEP 47): reads as zeros, is never written.
    pub padding: bool,
}

impl Layout {
    /// The files of a torrent, each below the folder that a torrent of many files names. `None` if its lengths do not fit together,
    /// which those of a parsed torrent always do. Symbolic links have no content: like padding, they are never written.
    pub fn of(info: &Info) -> Option<Layout> {
        let file = |file: &File| LayoutFile {
            path: info.root().into_iter().chain(file.components()).map(String::from).collect(),
            length: file.length(),
            padding: file.is_padding() || file.attributes().symlink,
        };
        Layout::new(info.files().iter().map(file).collect(), info.piece_length())
    }

    /// Lays `files` one behind the other. `None` if the piece length is zero, the total does not fit 63 bits, or a piece's
    /// number does not fit 32 bits.
    pub fn new(files: Vec<LayoutFile>, piece_length: u32) -> Option<Layout> {
        if piece_length == 0 {
            return None;
        }
        let mut starts = Vec::with_capacity(files.len() + 1);
        let mut total = 0u64;
        for file in &files {
            starts.push(total);
            total = total.checked_add(file.length).filter(|total| *total <= i64::MAX as u64)?;
        }
        starts.push(total);
        u32::try_from(total.div_ceil(u64::from(piece_length))).ok()?;
        Some(Layout { files, starts, piece_length })
    }

    /// The files, in the torrent's order.
    pub fn files(&self) -> &[LayoutFile] {
        &self.files
    }

    /// Bytes in all, padding included.
    pub fn total_length(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Where `file` begins in the torrent, in bytes; the total past the last file.
    pub fn start_of(&self, file: u32) -> u64 {
        self.starts.get(file as usize).copied().unwrap_or_else(|| self.total_length())
    }

    /// Bytes a piece; the last one may be shorter.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        self.total_length().div_ceil(u64::from(self.piece_length)) as u32
    }

    /// Bytes of `piece`; zero past the end.
    pub fn piece_size(&self, piece: u32) -> u32 {
        let start = u64::from(piece) * u64::from(self.piece_length);
        self.total_length().saturating_sub(start).min(u64::from(self.piece_length)) as u32
    }

    /// The spans of `length` bytes from `offset` in `piece`, in order: on into the next pieces if `length` leads there, cut off at
    /// the torrent's end. Empty files have none, padding files have.
    pub fn spans(&self, piece: u32, offset: u32, length: u32) -> SmallVec<[Span; 2]> {
        let start = u64::from(piece) * u64::from(self.piece_length) + u64::from(offset);
        let end = start.saturating_add(u64::from(length)).min(self.total_length());
        let mut spans = SmallVec::new();
        let mut at = start;
        // The last file that begins at or before `start`: what lies before it cannot hold the byte.
        let mut file = self.starts.partition_point(|begin| *begin <= start).saturating_sub(1);
        while at < end {
            let (Some(begin), Some(limit)) = (self.starts.get(file), self.starts.get(file + 1)) else { break };
            let length = end.min(*limit).saturating_sub(at);
            if length > 0 {
                spans.push(Span { file: file as u32, offset: at - begin, length });
            }
            at += length;
            file += 1;
        }
        spans
    }

    /// The pieces that hold bytes of `file`; empty for an empty file.
    pub fn pieces_of(&self, file: usize) -> core::ops::Range<u32> {
        match (self.starts.get(file), self.starts.get(file + 1)) {
            (Some(begin), Some(end)) if end > begin => {
                let length = u64::from(self.piece_length);
                (begin / length) as u32..end.div_ceil(length) as u32
            }
            _ => 0..0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{format, vec};

    fn layout(lengths: &[u64], piece_length: u32) -> Layout {
        let file =
            |(number, length): (usize, &u64)| LayoutFile { path: vec![format!("{number}")], length: *length, padding: number % 3 == 2 };
        Layout::new(lengths.iter().enumerate().map(file).collect(), piece_length).unwrap()
    }

    /// Every byte of the torrent in order, as (file, offset).
    fn bytes(lengths: &[u64]) -> Vec<(u32, u64)> {
        lengths.iter().enumerate().flat_map(|(file, length)| (0..*length).map(move |offset| (file as u32, offset))).collect()
    }

    fn bytes_of(spans: &[Span]) -> Vec<(u32, u64)> {
        spans.iter().flat_map(|span| (span.offset..span.offset + span.length).map(|offset| (span.file, offset))).collect()
    }

    #[test]
    fn totals_beyond_63_bits_and_piece_numbers_beyond_32_are_refused() {
        let file = |length| LayoutFile { path: vec!["a".into()], length, padding: false };
        let half = 1u64 << 62;
        assert!(Layout::new(vec![file(half), file(half)], u32::MAX).is_none());
        assert!(Layout::new(vec![file(u64::MAX), file(2)], u32::MAX).is_none());
        assert!(Layout::new(vec![file(half), file(half - 1)], u32::MAX).is_some());
        assert!(Layout::new(vec![file(half), file(half - 1)], 1 << 30).is_none());
        assert!(Layout::new(vec![file(u64::from(u32::MAX))], 1).is_some());
        assert!(Layout::new(vec![file(u64::from(u32::MAX) + 1)], 1).is_none());
        assert!(Layout::new(vec![file(1)], 0).is_none());
    }

    #[test]
    fn the_last_byte_of_the_largest_torrent_is_found() {
        let layout = layout(&[1 << 62, (1 << 62) - 1], u32::MAX);
        let last = layout.piece_count() - 1;
        let spans = layout.spans(last, layout.piece_size(last) - 1, u32::MAX);
        assert_eq!(spans.as_slice(), [Span { file: 1, offset: (1 << 62) - 2, length: 1 }]);
        assert_eq!(layout.pieces_of(1).end, layout.piece_count());
    }

    #[test]
    fn nothing_has_no_pieces() {
        for lengths in [&[][..], &[0, 0, 0]] {
            let layout = layout(lengths, 16);
            assert_eq!((layout.piece_count(), layout.total_length(), layout.piece_size(0)), (0, 0, 0));
            assert!(layout.spans(0, 0, 16).is_empty());
            assert_eq!(layout.pieces_of(0), 0..0);
        }
    }

    #[test]
    fn spans_past_the_end_are_cut_off() {
        let layout = layout(&[10], 8);
        assert_eq!(layout.piece_size(1), 2);
        assert_eq!(layout.piece_size(2), 0);
        assert_eq!(bytes_of(&layout.spans(1, 1, 100)), [(0, 9)]);
        assert!(layout.spans(1, 2, 1).is_empty());
        assert!(layout.spans(u32::MAX, u32::MAX, u32::MAX).is_empty());
        assert_eq!(layout.pieces_of(7), 0..0);
    }

    proptest! {
        #[test]
        fn the_pieces_cover_every_byte_once_and_in_order(
            lengths in prop::collection::vec(prop_oneof![Just(0u64), Just(1), 0u64..40], 0..12),
            piece_length in 1u32..50,
        ) {
            let layout = layout(&lengths, piece_length);
            let mut covered = Vec::new();
            for piece in 0..layout.piece_count() {
                let spans = layout.spans(piece, 0, layout.piece_size(piece));
                prop_assert!(layout.piece_size(piece) > 0);
                prop_assert!(spans.iter().all(|span| span.length > 0));
                prop_assert!(spans.windows(2).all(|pair| pair[0].file < pair[1].file), "one span a file");
                covered.extend(bytes_of(&spans));
            }
            prop_assert_eq!(covered, bytes(&lengths));
            prop_assert_eq!(layout.piece_size(layout.piece_count()), 0);
        }

        #[test]
        fn any_range_is_the_same_range_of_the_torrent(
            lengths in prop::collection::vec(0u64..30, 0..8),
            piece_length in 1u32..20,
            piece in 0u32..12,
            offset in 0u32..40,
            length in 0u32..80,
        ) {
            let all = bytes(&lengths);
            let start = (piece as usize * piece_length as usize + offset as usize).min(all.len());
            let end = (start + length as usize).min(all.len());
            prop_assert_eq!(bytes_of(&layout(&lengths, piece_length).spans(piece, offset, length)), &all[start..end]);
        }

        #[test]
        fn the_pieces_of_a_file_are_those_with_a_span_in_it(
            lengths in prop::collection::vec(0u64..30, 1..8),
            piece_length in 1u32..20,
        ) {
            let layout = layout(&lengths, piece_length);
            for file in 0..lengths.len() {
                let holds = |piece: &u32| layout.spans(*piece, 0, layout.piece_size(*piece)).iter().any(|span| span.file as usize == file);
                let expected: Vec<u32> = (0..layout.piece_count()).filter(holds).collect();
                prop_assert_eq!(layout.pieces_of(file).collect::<Vec<_>>(), expected);
            }
        }
    }
}
