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

/// Where the pieces of a torrent lie: its files one behind the other (BEP 3).
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

    /// Lays `files` one behind the other. `None` if the piece length is zero or the total does not fit 63 bits.
    pub fn new(files: Vec<LayoutFile>, piece_length: u32) -> Option<Layout> {
        let mut starts = Vec::with_capacity(files.len() + 1);
        let mut total = 0u64;
        for file in &files {
            starts.push(total);
            total = total.checked_add(file.length).filter(|total| *total <= i64::MAX as u64)?;
        }
        starts.push(total);
        (piece_length > 0).then_some(Layout { files, starts, piece_length })
    }

    /// The files, in the torrent's order.
    pub fn files(&self) -> &[LayoutFile] {
        &self.files
    }

    /// Bytes in all, padding included.
    pub fn total_length(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Bytes a piece; the last one may be shorter.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// How many pieces there are.
    pub fn piece_count(&self) -> u32 {
        u32::try_from(self.total_length().div_ceil(u64::from(self.piece_length))).unwrap_or(u32::MAX)
    }

    /// Bytes of `piece`; zero past the end.
    pub fn piece_size(&self, piece: u32) -> u32 {
        let start = u64::from(piece) * u64::from(self.piece_length);
        self.total_length().saturating_sub(start).min(u64::from(self.piece_length)) as u32
    }

    /// The spans of `length` bytes from `offset` in `piece`, in order, cut off at the torrent's end. Empty files have none.
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
