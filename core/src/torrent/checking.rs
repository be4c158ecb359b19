use super::Resume;
use crate::{
    storage::{FileStamp, Layout},
    util::Bitfield,
};
use alloc::collections::BTreeMap;

/// What must be hashed before a torrent may start: as little as resume data and the files' sizes and times allow.
#[derive(Debug)]
pub(crate) struct Checking {
    /// Pieces still to be handed to the disk.
    to_check: Bitfield,
    next: u32,
    /// Jobs under way.
    pub(crate) jobs: u32,
    /// Pieces known to be good.
    pub(crate) verified: Bitfield,
    /// Of pieces known not to be complete: the blocks that an earlier session wrote.
    pub(crate) unfinished: BTreeMap<u32, Bitfield>,
    /// Bytes looked at, of pieces that had to be hashed.
    pub(crate) checked: u64,
}

impl Checking {
    /// Compares what is there with what an earlier session left. A piece is hashed if its files could hold it and cannot be trusted:
    /// a file is trusted if it has the very size and time that the resume data names.
    pub(crate) fn new(layout: &Layout, stamps: &[Option<FileStamp>], resume: Option<&Resume>) -> Checking {
        let pieces = layout.piece_count();
        let mut verified = Bitfield::new(pieces);
        let mut to_check = Bitfield::new(pieces);
        let mut unfinished = BTreeMap::new();
        let trusted = |file: usize| resume.is_some_and(|resume| resume.files.get(file) == stamps.get(file));
        for piece in 0..pieces {
            let spans = layout.spans(piece, 0, layout.piece_size(piece));
            let real = || spans.iter().filter(|span| layout.files().get(span.file as usize).is_some_and(|file| !file.padding));
            let there = real().all(|span| {
                let stamp = stamps.get(span.file as usize).copied().flatten();
                stamp.is_some_and(|stamp| stamp.aside || stamp.length >= span.offset + span.length)
            });
            // What is not there cannot be good, even if resume data from after it went away says that nothing has changed.
            if !there {
                continue;
            }
            match resume.filter(|_| real().all(|span| trusted(span.file as usize))) {
                Some(resume) if resume.verified.get(piece) => drop(verified.set(piece)),
                Some(resume) => unfinished.extend(resume.unfinished.get(&piece).map(|blocks| (piece, blocks.clone()))),
                None => drop(to_check.set(piece)),
            }
        }
        Checking { to_check, next: 0, jobs: 0, verified, unfinished, checked: 0 }
    }

    /// The next run of pieces to hash: the first one and how many, at most `limit` bytes if they are more than one.
    pub(crate) fn next_run(&mut self, layout: &Layout, limit: u32) -> Option<(u32, u32)> {
        while self.next < self.to_check.len() && !self.to_check.get(self.next) {
            self.next += 1;
        }
        let first = self.next;
        let mut bytes = 0u32;
        while self.to_check.get(self.next) {
            bytes = bytes.saturating_add(layout.piece_size(self.next));
            if bytes > limit && self.next > first {
                break;
            }
            self.next += 1;
        }
        (self.next > first).then_some((first, self.next - first))
    }

    /// What one run brought.
    pub(crate) fn checked(&mut self, layout: &Layout, first: u32, valid: &[bool]) {
        for (piece, valid) in (first..).zip(valid) {
            self.checked += u64::from(layout.piece_size(piece));
            if *valid {
                self.verified.set(piece);
            }
        }
    }

    /// Bytes of all pieces that are hashed or were.
    #[cfg(test)]
    fn to_check(&self) -> alloc::vec::Vec<u32> {
        self.to_check.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LayoutFile;
    use alloc::{vec, vec::Vec};

    fn layout() -> Layout {
        let file = |name: &str, length| LayoutFile { path: vec![name.into()], length, padding: false };
        Layout::new(vec![file("a", 25), file("b", 15), file("empty", 0)], 10).unwrap()
    }

    fn stamp(length: u64, modified: i64) -> Option<FileStamp> {
        Some(FileStamp { length, modified, aside: false })
    }

    fn resume(files: Vec<Option<FileStamp>>) -> Resume {
        let mut verified = Bitfield::new(4);
        verified.set(0);
        verified.set(3);
        Resume { files, ..Resume::new(verified) }
    }

    #[test]
    fn without_files_nothing_is_hashed() {
        let checking = Checking::new(&layout(), &[None, None, None], None);
        assert!(checking.to_check().is_empty() && checking.verified.is_empty());
    }

    #[test]
    fn unchanged_files_are_believed() {
        let stamps = vec![stamp(25, 1), stamp(15, 1), stamp(0, 1)];
        let checking = Checking::new(&layout(), &stamps, Some(&resume(stamps.clone())));
        assert!(checking.to_check().is_empty());
        assert_eq!(checking.verified.iter().collect::<Vec<_>>(), [0, 3]);
    }

    #[test]
    fn a_changed_file_is_hashed_and_with_it_the_pieces_that_reach_into_it() {
        let stamps = vec![stamp(25, 1), stamp(15, 2), stamp(0, 1)];
        let checking = Checking::new(&layout(), &stamps, Some(&resume(vec![stamp(25, 1), stamp(15, 1), stamp(0, 1)])));
        assert_eq!(checking.to_check(), [2, 3]);
        assert_eq!(checking.verified.iter().collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn what_a_short_file_cannot_hold_is_not_hashed() {
        let stamps = vec![stamp(20, 1), stamp(15, 1), None];
        let mut checking = Checking::new(&layout(), &stamps, None);
        assert_eq!(checking.to_check(), [0, 1, 3]);
        assert_eq!(checking.next_run(&layout(), 15), Some((0, 1)));
        assert_eq!(checking.next_run(&layout(), 20), Some((1, 1)));
        assert_eq!(checking.next_run(&layout(), 20), Some((3, 1)));
        assert_eq!(checking.next_run(&layout(), 20), None);
    }
}
