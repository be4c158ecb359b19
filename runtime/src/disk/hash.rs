use super::position;
use bytes::Bytes;
use rustor_core::storage::{Digest, Fingerprint, Layout, Span};
use sha1::{Digest as _, Sha1};
use std::{
    fs::File,
    io,
    num::NonZeroUsize,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
};

/// Bytes of a block, and so of what one fingerprint is of (BEP 3's practice).
const BLOCK: usize = 16 << 10;

/// Bytes read at once for hashing: enough to make system calls cheap, little enough to still be in the cache when hashed.
const READ: usize = 256 << 10;

/// Bytes of pieces that are looked up in the layout at once.
const GROUP: u64 = 1 << 30;

/// The digest of `segments`, one behind the other.
pub(crate) fn digest_of(segments: &[Bytes]) -> Digest {
    let mut hasher = Sha1::new();
    segments.iter().for_each(|segment| hasher.update(segment));
    hasher.finalize().into()
}

/// The fingerprints of the blocks that `segments` make up, one behind the other; the last block may be short.
pub(crate) fn fingerprints_of(segments: &[Bytes]) -> Vec<Fingerprint> {
    let mut prints = Vec::with_capacity(segments.iter().map(Bytes::len).sum::<usize>().div_ceil(BLOCK));
    let mut hasher = Sha1::new();
    let mut left = BLOCK;
    let mut finish = |hasher: &mut Sha1| {
        let digest: Digest = hasher.finalize_reset().into();
        let mut print = Fingerprint::default();
        print.copy_from_slice(&digest[..8]);
        prints.push(print);
    };
    for segment in segments {
        let mut rest = &segment[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(left));
            hasher.update(now);
            left -= now.len();
            rest = later;
            if left == 0 {
                finish(&mut hasher);
                left = BLOCK;
            }
        }
    }
    if left < BLOCK {
        finish(&mut hasher);
    }
    prints
}

/// Where the bytes to hash come from.
pub(crate) trait Source {
    /// What keeps bytes from being read, other than that they are not there.
    type Error;

    /// The file of this number; `None` if there is none.
    fn open(&mut self, file: u32) -> Result<Option<File>, Self::Error>;

    /// Where `span` lies if its file is kept aside in the part file: there, each run with its position and length.
    fn aside(&mut self, _span: Span) -> Result<Option<Aside>, Self::Error> {
        Ok(None)
    }

    /// `error` came when `file` was read.
    fn failed(&mut self, file: u32, error: io::Error) -> Self::Error;
}

/// Bytes of a file that is kept aside.
pub(crate) struct Aside {
    /// The part file; `None` if there is none.
    pub(crate) file: Option<File>,
    /// Positions and lengths, in order.
    pub(crate) runs: Vec<(u64, u64)>,
}

/// Hashes all pieces of `layout` on `threads` threads, each with a source of its own.
///
/// `found` gets each piece's digest, `None` if not all of it is there; `progress` now and then the number of bytes done. Both are
/// called from all the threads, in no order.
pub(crate) fn hash_all<S: Source>(
    layout: &Layout,
    threads: NonZeroUsize,
    source: impl Fn() -> S + Sync,
    found: impl Fn(u32, Option<Digest>) + Sync,
    progress: impl Fn(u64) + Sync,
) -> Result<(), S::Error>
where
    S::Error: Send,
{
    /// Bytes that a thread takes on at once.
    const RUN: u32 = 4 << 20;
    let run = (RUN / layout.piece_length()).max(1);
    let runs = layout.piece_count().div_ceil(run);
    let (next, done, failure) = (AtomicU32::new(0), AtomicU64::new(0), Mutex::new(None));
    let work = || {
        let (mut hasher, mut source) = (PieceHasher::default(), source());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= runs {
                break;
            }
            let pieces = number * run..(number * run).saturating_add(run).min(layout.piece_count());
            let bytes: u64 = pieces.clone().map(|piece| u64::from(layout.piece_size(piece))).sum();
            if let Err(error) = hasher.hash(layout, pieces, &mut source, &found) {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                next.store(runs, Ordering::Relaxed);
                break;
            }
            progress(done.fetch_add(bytes, Ordering::Relaxed) + bytes);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.get().min(runs as usize) {
            scope.spawn(work);
        }
        work();
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Hashes pieces from disk. Keeps its buffer for the next time.
#[derive(Default)]
pub(crate) struct PieceHasher {
    buffer: Vec<u8>,
    /// The digest of so many zeros.
    zeros: Option<(u32, Digest)>,
}

impl PieceHasher {
    /// Hashes `pieces` from one end to the other, and gives `found` each one's digest: `None` if not all of it is there.
    pub(crate) fn hash<S: Source>(
        &mut self,
        layout: &Layout,
        pieces: Range<u32>,
        source: &mut S,
        found: impl FnMut(u32, Option<Digest>),
    ) -> Result<(), S::Error> {
        self.buffer.resize(READ, 0);
        let mut progress =
            Progress { layout, piece: pieces.start, left: layout.piece_size(pieces.start), hasher: Some(Sha1::new()), found };
        let piece_length = u64::from(layout.piece_length());
        let group = (GROUP / piece_length).max(1) as usize;
        for first in pieces.clone().step_by(group) {
            let last = u64::from(first) + group as u64;
            let start = u64::from(first) * piece_length;
            let end = last.min(u64::from(pieces.end)).saturating_mul(piece_length).min(layout.total_length());
            let Ok(length) = u32::try_from(end.saturating_sub(start)) else { break };
            for span in layout.spans(first, 0, length) {
                let Some(file) = layout.files().get(span.file as usize) else { break };
                if file.padding {
                    self.hash_padding(span.length, &mut progress);
                    continue;
                }
                if let Some(Aside { file, runs }) = source.aside(span)? {
                    for (position, length) in runs {
                        match &file {
                            Some(file) => {
                                self.hash_span(file, position, length, &mut progress).map_err(|error| source.failed(span.file, error))?
                            }
                            None => progress.miss(length),
                        }
                    }
                    continue;
                }
                match source.open(span.file)? {
                    Some(file) => {
                        self.hash_span(&file, span.offset, span.length, &mut progress).map_err(|error| source.failed(span.file, error))?
                    }
                    None => progress.miss(span.length),
                }
            }
        }
        Ok(())
    }

    fn hash_padding(&mut self, mut length: u64, progress: &mut Progress<'_, impl FnMut(u32, Option<Digest>)>) {
        let zeros = length.min(self.buffer.len() as u64) as usize;
        self.buffer[..zeros].fill(0);
        while length > 0 {
            let now = length.min(self.buffer.len() as u64);
            progress.feed(&self.buffer[..now as usize]);
            length -= now;
        }
    }

    fn hash_span(
        &mut self,
        file: &File,
        offset: u64,
        length: u64,
        progress: &mut Progress<'_, impl FnMut(u32, Option<Digest>)>,
    ) -> io::Result<()> {
        position::read_ahead(file, offset, length);
        let end = offset + length;
        let mut at = offset;
        while at < end {
            if progress.at_boundary() {
                let hole = position::hole_at(file, at).min(end - at);
                let passed = self.pass_hole(hole, progress);
                if passed > 0 {
                    at += passed;
                    continue;
                }
            }
            let wanted = progress.convenient(self.buffer.len()).min(end - at) as usize;
            let count = position::read_at(file, &mut self.buffer[..wanted], at)?;
            progress.feed(&self.buffer[..count]);
            at += count as u64;
            if count < wanted {
                progress.miss(end - at);
                break;
            }
        }
        Ok(())
    }

    /// Passes over the pieces that lie in a hole of `length` bytes as a whole: what a piece of zeros hashes to is known. The
    /// number of bytes passed.
    fn pass_hole(&mut self, length: u64, progress: &mut Progress<'_, impl FnMut(u32, Option<Digest>)>) -> u64 {
        let mut passed = 0;
        while progress.left > 0 && length - passed >= u64::from(progress.left) {
            let size = progress.left;
            let digest = match self.zeros {
                Some((known, digest)) if known == size => digest,
                _ => {
                    let digest = digest_of_zeros(size);
                    self.zeros = Some((size, digest));
                    digest
                }
            };
            passed += u64::from(size);
            progress.finish(Some(digest));
        }
        passed
    }
}

/// How far the hashing of a run of pieces has come.
struct Progress<'a, F> {
    layout: &'a Layout,
    piece: u32,
    /// Bytes of `piece` that are still to come; zero only past the last piece.
    left: u32,
    /// `None` if bytes of `piece` are missing.
    hasher: Option<Sha1>,
    found: F,
}

impl<F: FnMut(u32, Option<Digest>)> Progress<'_, F> {
    fn at_boundary(&self) -> bool {
        self.left == self.layout.piece_size(self.piece)
    }

    /// How many bytes to read at once, at most `most`: up to the end of a piece if that can be reached.
    fn convenient(&self, most: usize) -> u64 {
        let (most, left, piece) = (most as u64, u64::from(self.left), u64::from(self.layout.piece_length()));
        if left == 0 || left > most { most } else { left + (most - left) / piece * piece }
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.left > 0 {
            let (now, later) = bytes.split_at(bytes.len().min(self.left as usize));
            if let Some(hasher) = &mut self.hasher {
                hasher.update(now);
            }
            bytes = later;
            self.pass(now.len() as u32);
        }
    }

    fn miss(&mut self, mut length: u64) {
        while length > 0 && self.left > 0 {
            let now = length.min(u64::from(self.left));
            self.hasher = None;
            length -= now;
            self.pass(now as u32);
        }
    }

    fn pass(&mut self, length: u32) {
        self.left -= length;
        if self.left == 0 {
            let digest = self.hasher.take().map(|hasher| hasher.finalize().into());
            self.finish(digest);
        }
    }

    fn finish(&mut self, digest: Option<Digest>) {
        (self.found)(self.piece, digest);
        self.piece = self.piece.saturating_add(1);
        self.left = self.layout.piece_size(self.piece);
        self.hasher = Some(Sha1::new());
    }
}

fn digest_of_zeros(length: u32) -> Digest {
    let zeros = [0; BLOCK];
    let mut hasher = Sha1::new();
    let mut left = length as usize;
    while left > 0 {
        let now = left.min(BLOCK);
        hasher.update(&zeros[..now]);
        left -= now;
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustor_core::storage::LayoutFile;
    use std::{fs, path::PathBuf};

    struct Folder(PathBuf);

    impl Source for Folder {
        type Error = io::Error;

        fn open(&mut self, file: u32) -> io::Result<Option<File>> {
            Ok(File::open(self.0.join(file.to_string())).ok())
        }

        fn failed(&mut self, _file: u32, error: io::Error) -> io::Error {
            error
        }
    }

    /// A file of the torrent, and what is on disk of it: bytes, then a hole; or nothing at all.
    #[derive(Clone, Debug)]
    struct TestFile {
        length: u64,
        padding: bool,
        data: Vec<u8>,
        found: Option<u64>,
    }

    impl TestFile {
        /// Its bytes, with zeros for what is missing, and where that begins.
        fn bytes(&self) -> (Vec<u8>, usize) {
            let found = if self.padding { self.length } else { self.found.unwrap_or(0) } as usize;
            let mut bytes = if self.padding { Vec::new() } else { self.data.clone() };
            bytes.truncate(found);
            bytes.resize(self.length as usize, 0);
            (bytes, found)
        }
    }

    prop_compose! {
        fn test_file()(
            length in prop_oneof![Just(0u64), 1u64..200, 1u64..1_000_000],
            cut in prop_oneof![4 => Just(0u64), 1 => 1u64..100],
            missing in prop::bool::weighted(0.1),
            padding in prop::bool::weighted(0.2),
            data in prop::collection::vec(any::<u8>(), 0..2000),
        ) -> TestFile {
            TestFile { length, padding, data, found: (!missing).then(|| length.saturating_sub(cut)) }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn every_piece_has_the_digest_of_its_bytes_or_none(
            files in prop::collection::vec(test_file(), 1..6),
            piece_length in prop_oneof![100u32..1000, 10_000u32..100_000, 200_000u32..600_000, Just(1 << 18)],
            threads in 1usize..4,
        ) {
            let folder = tempfile::tempdir().unwrap();
            for (number, file) in files.iter().enumerate() {
                if let (Some(found), false) = (file.found, file.padding) {
                    let path = folder.path().join(number.to_string());
                    fs::write(&path, &file.data[..file.data.len().min(found as usize)]).unwrap();
                    File::options().write(true).open(path).unwrap().set_len(found).unwrap();
                }
            }
            let (mut bytes, mut missing) = (Vec::new(), Vec::new());
            for file in &files {
                let (content, found) = file.bytes();
                missing.push(bytes.len() + found..bytes.len() + content.len());
                bytes.extend(content);
            }
            let is_missing = |piece: Range<usize>| missing.iter().any(|gap| gap.start.max(piece.start) < gap.end.min(piece.end));
            let starts = (0..).step_by(piece_length as usize);
            let digests = bytes.chunks(piece_length as usize).zip(starts);
            let expected: Vec<_> = digests
                .map(|(piece, start)| vec![(!is_missing(start..start + piece.len())).then(|| Digest::from(Sha1::digest(piece)))])
                .collect();
            let names = files.iter().map(|file| LayoutFile { path: vec!["x".into()], length: file.length, padding: file.padding });
            let layout = Layout::new(names.collect(), piece_length).unwrap();
            let actual = Mutex::new(vec![Vec::new(); expected.len()]);
            let (threads, most) = (NonZeroUsize::new(threads).unwrap(), AtomicU64::new(0));
            hash_all(
                &layout,
                threads,
                || Folder(folder.path().into()),
                |piece, digest| actual.lock().unwrap()[piece as usize].push(digest),
                |done| {
                    most.fetch_max(done, Ordering::Relaxed);
                },
            )
            .unwrap();
            prop_assert_eq!(actual.into_inner().unwrap(), expected);
            prop_assert_eq!(most.into_inner(), layout.total_length());
        }

        #[test]
        fn fingerprints_do_not_depend_on_the_segments(
            lengths in prop::collection::vec(0usize..40_000, 0..6),
            seed in any::<u8>(),
        ) {
            let segments: Vec<Bytes> = lengths.iter().map(|length| (0..*length).map(|at| (at / 7) as u8 ^ seed).collect()).collect();
            let whole = segments.concat();
            let expected: Vec<Fingerprint> = whole.chunks(BLOCK).map(|block| Sha1::digest(block)[..8].try_into().unwrap()).collect();
            prop_assert_eq!(fingerprints_of(&segments), expected);
            prop_assert_eq!(digest_of(&segments), Digest::from(Sha1::digest(&whole)));
        }
    }
}
