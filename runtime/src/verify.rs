//! Holds what is on disk against a torrent, without an engine: what `rustor verify` does.

use crate::disk::{
    fault::{DiskResult, fault},
    hash::{Source, hash_all},
    plain::open_if_there,
    torrent::path_below,
};
use rustor_core::{error::DiskError, storage::Layout};
use std::{
    fmt,
    fs::{self, File},
    io::{self, ErrorKind},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether each piece is there and good.
    pub pieces: Vec<bool>,
    /// The files in the torrent's order, padding files left out.
    pub files: Vec<FileReport>,
}

/// What [`verify`] found of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// Where it is, or should be.
    pub path: PathBuf,
    /// What there is of it.
    pub state: FileState,
}

/// What there is of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileState {
    /// It is there, and no piece of it is known to be bad.
    Ok,
    /// It is not there.
    Missing,
    /// Something is there that is no file.
    NotAFile,
    /// It is there, with another length.
    WrongLength {
        /// Bytes that the torrent says.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// It has the right length, but not the right content.
    ///
    /// A bad piece is held against all its files, since nothing tells which of them is wrong; unless one of them is missing,
    /// or has the wrong length: that one explains it.
    Damaged {
        /// How many of its pieces are bad.
        bad_pieces: u32,
    },
}

impl Report {
    /// Whether everything is there and nothing is wrong.
    pub fn is_complete(&self) -> bool {
        self.pieces.iter().all(|good| *good) && self.wrong_files().next().is_none()
    }

    /// The files with which something is wrong.
    pub fn wrong_files(&self) -> impl Iterator<Item = &FileReport> {
        self.files.iter().filter(|file| file.state != FileState::Ok)
    }
}

impl fmt::Display for FileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileState::Ok => f.write_str("ok"),
            FileState::Missing => f.write_str("missing"),
            FileState::NotAFile => f.write_str("not a file"),
            FileState::WrongLength { expected, found } if found < expected => {
                write!(f, "too short: {found} of {expected} bytes")
            }
            FileState::WrongLength { expected, found } => write!(f, "too long: {found} bytes instead of {expected}"),
            FileState::Damaged { bad_pieces: 1 } => f.write_str("damaged: 1 bad piece"),
            FileState::Damaged { bad_pieces } => write!(f, "damaged: {bad_pieces} bad pieces"),
        }
    }
}

/// Hashes what is below `folder` of the torrent that `layout` and `digests` (20 bytes a piece) describe, on `threads` threads.
///
/// `progress` is told how many bytes are done, now and then, from any of the threads. What is missing or wrong is part of the
/// report; an error is only what keeps it from being made, such as a file that may not be read. Nothing on disk is changed.
///
/// ```
/// use rustor_core::storage::{Layout, LayoutFile};
/// use rustor_runtime::verify::{FileState, verify};
///
/// let file = LayoutFile { path: vec!["no such file".into()], length: 1, padding: false };
/// let layout = Layout::new(vec![file], 16 << 10).expect("a piece length above zero");
/// let report = verify(&layout, &[0; 20], ".".as_ref(), 1.try_into()?, |_done| {})?;
/// assert_eq!(report.pieces, [false]);
/// assert_eq!(report.files[0].state, FileState::Missing);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify(
    layout: &Layout,
    digests: &[u8],
    folder: &Path,
    threads: NonZeroUsize,
    progress: impl Fn(u64) + Sync,
) -> Result<Report, Box<DiskError>> {
    let paths: Vec<PathBuf> = layout.files().iter().map(|file| path_below(folder, file)).collect();
    let mut states = Vec::with_capacity(paths.len());
    for (file, path) in layout.files().iter().zip(&paths) {
        states.push(if file.padding { FileState::Ok } else { state_of(path, file.length)? });
    }
    let (digests, _) = digests.as_chunks::<20>();
    let pieces = Mutex::new(vec![false; layout.piece_count() as usize]);
    let source = || OnDisk { paths: &paths, states: &states };
    let found = |piece: u32, digest: Option<[u8; 20]>| {
        let good = digest.is_some() && digest.as_ref() == digests.get(piece as usize);
        if let Some(place) = pieces.lock().unwrap_or_else(PoisonError::into_inner).get_mut(piece as usize) {
            *place = good;
        }
    };
    hash_all(layout, threads, source, found, progress)?;
    let pieces = pieces.into_inner().unwrap_or_else(PoisonError::into_inner);
    blame(layout, &pieces, &mut states);
    let files = layout.files().iter().zip(paths).zip(states);
    let files = files.filter(|((file, _), _)| !file.padding).map(|((_, path), state)| FileReport { path, state }).collect();
    Ok(Report { pieces, files })
}

fn state_of(path: &Path, expected: u64) -> DiskResult<FileState> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Ok(FileState::NotAFile),
        Ok(metadata) if metadata.len() != expected => Ok(FileState::WrongLength { expected, found: metadata.len() }),
        Ok(_) => Ok(FileState::Ok),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(FileState::Missing),
        Err(error) => Err(fault(path, error)),
    }
}

/// Holds bad pieces against the files that look right so far.
fn blame(layout: &Layout, pieces: &[bool], states: &mut [FileState]) {
    let mut bad = vec![0u32; states.len()];
    for (piece, _) in (0..).zip(pieces).filter(|(_, good)| !**good) {
        let spans = layout.spans(piece, 0, layout.piece_size(piece));
        let explained = spans.iter().any(|span| match states.get(span.file as usize) {
            Some(FileState::Missing | FileState::NotAFile) => true,
            Some(FileState::WrongLength { found, .. }) => span.offset + span.length > *found,
            _ => false,
        });
        if explained {
            continue;
        }
        for span in spans {
            if let Some(bad) = bad.get_mut(span.file as usize) {
                *bad += 1;
            }
        }
    }
    for (number, (state, bad_pieces)) in states.iter_mut().zip(bad).enumerate() {
        let padding = layout.files().get(number).is_some_and(|file| file.padding);
        if *state == FileState::Ok && bad_pieces > 0 && !padding {
            *state = FileState::Damaged { bad_pieces };
        }
    }
}

struct OnDisk<'a> {
    paths: &'a [PathBuf],
    states: &'a [FileState],
}

impl Source for OnDisk<'_> {
    type Error = Box<DiskError>;

    fn open(&mut self, file: u32) -> DiskResult<Option<File>> {
        match (self.paths.get(file as usize), self.states.get(file as usize)) {
            (Some(path), Some(FileState::Ok | FileState::WrongLength { .. })) => open_if_there(path),
            _ => Ok(None),
        }
    }

    fn failed(&mut self, file: u32, error: io::Error) -> Box<DiskError> {
        fault(self.paths.get(file as usize).map_or(Path::new(""), PathBuf::as_path), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustor_core::storage::LayoutFile;
    use sha1::{Digest, Sha1};
    use std::sync::atomic::{AtomicU64, Ordering};

    /// `a` 10 bytes, `empty`, 2 bytes of padding, `d/b` 20 bytes, `c` 5 bytes, in pieces of 8.
    fn torrent() -> (tempfile::TempDir, Layout, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let file = |path: &[&str], length, padding| LayoutFile { path: path.iter().map(|name| (*name).into()).collect(), length, padding };
        let files = vec![
            file(&["a"], 10, false),
            file(&["empty"], 0, false),
            file(&[".pad", "2"], 2, true),
            file(&["d", "b"], 20, false),
            file(&["c"], 5, false),
        ];
        let content: Vec<u8> = (1..=10).chain([0, 0]).chain(101..=125).collect();
        fs::create_dir(folder.path().join("d")).unwrap();
        fs::write(folder.path().join("a"), &content[..10]).unwrap();
        fs::write(folder.path().join("empty"), "").unwrap();
        fs::write(folder.path().join("d").join("b"), &content[12..32]).unwrap();
        fs::write(folder.path().join("c"), &content[32..]).unwrap();
        let digests = content.chunks(8).flat_map(|piece| Sha1::digest(piece).to_vec()).collect();
        (folder, Layout::new(files, 8).unwrap(), digests)
    }

    fn check(folder: &tempfile::TempDir, layout: &Layout, digests: &[u8]) -> (Vec<u32>, Vec<FileState>) {
        let report = verify(layout, digests, folder.path(), NonZeroUsize::new(2).unwrap(), |_| {}).unwrap();
        assert_eq!(report.pieces.len(), 5);
        let states: Vec<FileState> = report.files.iter().map(|file| file.state).collect();
        let bad: Vec<u32> = (0..).zip(&report.pieces).filter(|(_, good)| !**good).map(|(piece, _)| piece).collect();
        assert_eq!(report.is_complete(), bad.is_empty() && states.iter().all(|state| *state == FileState::Ok));
        (bad, states)
    }

    #[test]
    fn an_intact_torrent_is_complete() {
        let (folder, layout, digests) = torrent();
        let done = AtomicU64::new(0);
        let report = verify(&layout, &digests, folder.path(), NonZeroUsize::MIN, |bytes| done.store(bytes, Ordering::Relaxed)).unwrap();
        assert!(report.is_complete());
        assert_eq!(report.files.len(), 4, "padding is no file");
        assert_eq!(report.files[2].path, folder.path().join("d").join("b"));
        assert_eq!(done.into_inner(), layout.total_length());
    }

    #[test]
    fn flipped_truncated_and_deleted_files_are_told_apart() {
        use FileState::*;
        let (folder, layout, digests) = torrent();
        // Piece 2 is all in `b`.
        let mut bytes = fs::read(folder.path().join("d").join("b")).unwrap();
        bytes[5] ^= 1;
        fs::write(folder.path().join("d").join("b"), bytes).unwrap();
        assert_eq!(check(&folder, &layout, &digests), (vec![2], vec![Ok, Ok, Damaged { bad_pieces: 1 }, Ok]));
        fs::write(folder.path().join("a"), [1; 3]).unwrap();
        let short = WrongLength { expected: 10, found: 3 };
        assert_eq!(check(&folder, &layout, &digests), (vec![0, 1, 2], vec![short, Ok, Damaged { bad_pieces: 1 }, Ok]));
        fs::remove_file(folder.path().join("empty")).unwrap();
        fs::remove_dir_all(folder.path().join("d")).unwrap();
        assert_eq!(check(&folder, &layout, &digests), (vec![0, 1, 2, 3], vec![short, Missing, Missing, Ok]));
    }

    #[test]
    fn a_bad_piece_is_held_against_all_its_files_unless_one_explains_it() {
        use FileState::*;
        let (folder, layout, digests) = torrent();
        // Piece 4 is all in `c`; the last bytes of `a` share piece 1 with the first of `b`.
        fs::write(folder.path().join("a"), [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]).unwrap();
        let damaged = Damaged { bad_pieces: 1 };
        assert_eq!(check(&folder, &layout, &digests), (vec![1], vec![damaged, Ok, damaged, Ok]));
        fs::remove_file(folder.path().join("a")).unwrap();
        assert_eq!(check(&folder, &layout, &digests), (vec![0, 1], vec![Missing, Ok, Ok, Ok]));
    }

    #[test]
    fn a_file_that_is_too_long_is_named_although_its_pieces_are_good() {
        let (folder, layout, digests) = torrent();
        fs::write(folder.path().join("empty"), "x").unwrap();
        let long = FileState::WrongLength { expected: 0, found: 1 };
        assert_eq!(check(&folder, &layout, &digests), (vec![], vec![FileState::Ok, long, FileState::Ok, FileState::Ok]));
        assert_eq!(long.to_string(), "too long: 1 bytes instead of 0");
    }

    #[test]
    fn folders_in_the_place_of_files_and_files_in_the_place_of_folders_are_reported() {
        let (folder, layout, digests) = torrent();
        fs::remove_file(folder.path().join("c")).unwrap();
        fs::create_dir(folder.path().join("c")).unwrap();
        fs::remove_dir_all(folder.path().join("d")).unwrap();
        fs::write(folder.path().join("d"), "").unwrap();
        let (_, states) = check(&folder, &layout, &digests);
        assert_eq!(states[2..], [FileState::Missing, FileState::NotAFile]);
    }

    #[test]
    fn too_few_digests_make_bad_pieces() {
        let (folder, layout, digests) = torrent();
        let (bad, _) = check(&folder, &layout, &digests[..60]);
        assert_eq!(bad, [3, 4]);
    }
}
