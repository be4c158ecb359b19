//! Looks through what a torrent is to be made of, and hashes it. The torrent file itself is the engine's to write.

use crate::disk::{
    fault::{DiskResult, fault},
    hash::{Source, hash_all},
    plain::{look_at, open_if_there, stamp_of},
};
use rustor_core::{
    error::DiskError,
    storage::{FileStamp, Layout, LayoutFile},
};
use std::{
    fmt,
    fs::{self, File},
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// What is to become a torrent: a file, or a folder with all that is in it.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The file or folder itself.
    pub root: PathBuf,
    /// Its name, which becomes the torrent's.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// The files, sorted by their paths, name by name and each by its bytes: the same everywhere. Never empty.
    pub files: Vec<ScannedFile>,
    /// Folders with nothing in them: a torrent has no place for them.
    pub empty_folders: Vec<PathBuf>,
}

/// One file of a [`Scan`].
#[derive(Clone, Debug)]
pub struct ScannedFile {
    /// Its folders and name below [`Scan::root`]; if that is a file, its name alone.
    pub path: Vec<String>,
    /// Bytes.
    pub length: u64,
    stamp: FileStamp,
}

/// Why something does not become a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateError {
    /// Something cannot be read.
    Disk(Box<DiskError>),
    /// A name is not valid UTF-8, which names in torrents are.
    NotUtf8(PathBuf),
    /// Something is neither a file nor a folder nor a link to one.
    NotAFile(PathBuf),
    /// A link leads to a folder that it is itself in.
    Loop(PathBuf),
    /// There are no bytes to share.
    Empty(PathBuf),
    /// A file changed while it was read.
    Changed(PathBuf),
    /// The piece length is zero, or so small that there are too many pieces.
    PieceLength(u32),
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CreateError::Disk(error) => error.fmt(f),
            CreateError::NotUtf8(path) => write!(f, "{}: the name is not valid UTF-8", path.display()),
            CreateError::NotAFile(path) => write!(f, "{}: neither a file nor a folder", path.display()),
            CreateError::Loop(path) => write!(f, "{}: the link leads back to a folder that it is in", path.display()),
            CreateError::Empty(path) => write!(f, "{}: nothing to share, there is not a byte in it", path.display()),
            CreateError::Changed(path) => write!(f, "{}: the file changed while it was read", path.display()),
            CreateError::PieceLength(length) => write!(f, "a piece length of {length} does not do"),
        }
    }
}

impl std::error::Error for CreateError {}

impl From<Box<DiskError>> for CreateError {
    fn from(error: Box<DiskError>) -> CreateError {
        CreateError::Disk(error)
    }
}

impl Scan {
    /// Bytes of all files together.
    pub fn total_length(&self) -> u64 {
        self.files.iter().fold(0, |total, file| total.saturating_add(file.length))
    }

    fn path_of(&self, file: &ScannedFile) -> PathBuf {
        let mut path = self.root.clone();
        if self.is_folder {
            path.extend(&file.path);
        }
        path
    }
}

/// Looks through `path`, a file or a folder. Links are followed, hidden files are taken along; what cannot be is an error.
pub fn scan(path: &Path) -> Result<Scan, CreateError> {
    let metadata = fs::metadata(path).map_err(|error| fault(path, error))?;
    // Resolved only if there is no name to see, as in `..`: a link keeps its own name.
    let named = match path.file_name() {
        Some(_) => path.to_path_buf(),
        None => path.canonicalize().map_err(|error| fault(path, error))?,
    };
    let name = named.file_name().ok_or_else(|| CreateError::NotUtf8(named.clone()))?;
    let name = name.to_str().ok_or_else(|| CreateError::NotUtf8(named.clone()))?.to_owned();
    let mut scan = Scan { root: path.into(), name, is_folder: metadata.is_dir(), files: Vec::new(), empty_folders: Vec::new() };
    if scan.is_folder {
        look_through(&mut scan, path, &mut Vec::new(), &mut Vec::new())?;
        scan.files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        scan.empty_folders.sort_unstable();
    } else if metadata.is_file() {
        scan.files.push(ScannedFile { path: vec![scan.name.clone()], length: metadata.len(), stamp: stamp_of(&metadata) });
    } else {
        return Err(CreateError::NotAFile(path.into()));
    }
    if scan.files.iter().all(|file| file.length == 0) {
        return Err(CreateError::Empty(path.into()));
    }
    Ok(scan)
}

/// Hashes the pieces of what was scanned, on `threads` threads. `progress` is told how many bytes are done, now and then, from
/// any of the threads.
///
/// ```
/// use rustor_runtime::create::{hash, scan};
///
/// let scan = scan("Cargo.toml".as_ref())?;
/// let digests = hash(&scan, 16 << 10, 2.try_into()?, |_done| {})?;
/// assert_eq!(digests.len() as u64, scan.total_length().div_ceil(16 << 10));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn hash(scan: &Scan, piece_length: u32, threads: NonZeroUsize, progress: impl Fn(u64) + Sync) -> Result<Vec<[u8; 20]>, CreateError> {
    let files = scan.files.iter().map(|file| LayoutFile { path: file.path.clone(), length: file.length, padding: false });
    let layout = Layout::new(files.collect(), piece_length).ok_or(CreateError::PieceLength(piece_length))?;
    let digests = Mutex::new(vec![None; layout.piece_count() as usize]);
    let found = |piece: u32, digest| {
        if let Some(place) = digests.lock().unwrap_or_else(PoisonError::into_inner).get_mut(piece as usize) {
            *place = digest;
        }
    };
    hash_all(&layout, threads, || Scanned(scan), found, progress)?;
    for file in &scan.files {
        let path = scan.path_of(file);
        if look_at(&path)?.as_ref().map(stamp_of) != Some(file.stamp) {
            return Err(CreateError::Changed(path));
        }
    }
    let digests = digests.into_inner().unwrap_or_else(PoisonError::into_inner);
    digests.into_iter().collect::<Option<_>>().ok_or_else(|| CreateError::Changed(scan.root.clone()))
}

/// Adds what is in `folder` to `scan`. `names` lead to it from the root; `inside` are the folders that it is in, links resolved.
fn look_through(scan: &mut Scan, folder: &Path, names: &mut Vec<String>, inside: &mut Vec<PathBuf>) -> Result<(), CreateError> {
    let failed = |error| fault(folder, error);
    let resolved = folder.canonicalize().map_err(failed)?;
    if inside.contains(&resolved) {
        return Err(CreateError::Loop(folder.into()));
    }
    inside.push(resolved);
    let mut is_empty = true;
    for entry in fs::read_dir(folder).map_err(failed)? {
        is_empty = false;
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let metadata = fs::metadata(&path).map_err(|error| fault(&path, error))?;
        names.push(entry.file_name().into_string().map_err(|_| CreateError::NotUtf8(path.clone()))?);
        if metadata.is_dir() {
            look_through(scan, &path, names, inside)?;
        } else if metadata.is_file() {
            scan.files.push(ScannedFile { path: names.clone(), length: metadata.len(), stamp: stamp_of(&metadata) });
        } else {
            return Err(CreateError::NotAFile(path));
        }
        names.pop();
    }
    inside.pop();
    if is_empty {
        scan.empty_folders.push(folder.into());
    }
    Ok(())
}

struct Scanned<'a>(&'a Scan);

impl Source for Scanned<'_> {
    type Error = Box<DiskError>;

    fn open(&mut self, file: u32) -> DiskResult<Option<File>> {
        self.0.files.get(file as usize).map_or(Ok(None), |file| open_if_there(&self.0.path_of(file)))
    }

    fn failed(&mut self, file: u32, error: io::Error) -> Box<DiskError> {
        let path = self.0.files.get(file as usize).map(|file| self.0.path_of(file));
        fault(path.as_deref().unwrap_or(&self.0.root), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha1::{Digest, Sha1};

    const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

    fn folder_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn paths(scan: &Scan) -> Vec<String> {
        scan.files.iter().map(|file| file.path.join("/")).collect()
    }

    #[test]
    fn a_folder_is_taken_whole_and_in_one_order() {
        let folder = folder_with(&[("b", b"4444"), ("a/z", b"22"), ("a-b", b"333"), (".hidden", b"1"), ("a/ü", b""), ("B", b"5")]);
        fs::create_dir(folder.path().join("nothing")).unwrap();
        let scan = scan(folder.path()).unwrap();
        assert_eq!(paths(&scan), [".hidden", "B", "a/z", "a/ü", "a-b", "b"]);
        assert_eq!(scan.name, folder.path().file_name().unwrap().to_str().unwrap());
        assert_eq!(scan.empty_folders, [folder.path().join("nothing")]);
        let digests = hash(&scan, 4, TWO, |_| {}).unwrap();
        let expected: Vec<[u8; 20]> = b"15223334444".chunks(4).map(|piece| Sha1::digest(piece).into()).collect();
        assert_eq!(digests, expected);
    }

    #[test]
    fn a_single_file_is_its_own_torrent() {
        let folder = folder_with(&[("film", b"hello")]);
        let scan = scan(&folder.path().join("film")).unwrap();
        assert_eq!((scan.name.as_str(), scan.is_folder, paths(&scan)), ("film", false, vec!["film".to_owned()]));
        assert_eq!(hash(&scan, 16, TWO, |_| {}).unwrap(), [<[u8; 20]>::from(Sha1::digest(b"hello"))]);
    }

    #[test]
    fn a_path_that_ends_in_dots_gets_the_folders_name() {
        let folder = folder_with(&[("album/inner/song", b"la"), ("album/song", b"la")]);
        let scan = scan(&folder.path().join("album").join("inner").join("..")).unwrap();
        assert_eq!(scan.name, "album");
    }

    #[test]
    fn nothing_to_share_is_an_error() {
        let folder = folder_with(&[("a", b""), ("b/c", b"")]);
        assert_eq!(scan(folder.path()).unwrap_err(), CreateError::Empty(folder.path().into()));
        assert!(matches!(scan(&folder.path().join("no such file")), Err(CreateError::Disk(_))));
    }

    #[test]
    fn a_file_that_grows_shrinks_or_goes_while_it_is_read_is_named() {
        let folder = folder_with(&[("a", b"0123456789"), ("b", b"0123456789")]);
        let scan = scan(folder.path()).unwrap();
        let path = folder.path().join("b");
        for content in [&b"012345678"[..], b"0123456789a"] {
            fs::write(&path, content).unwrap();
            assert_eq!(hash(&scan, 4, TWO, |_| {}), Err(CreateError::Changed(path.clone())));
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(hash(&scan, 4, TWO, |_| {}), Err(CreateError::Changed(path)));
    }

    #[test]
    fn piece_lengths_that_do_not_do_are_refused() {
        let folder = folder_with(&[("a", b"0123456789")]);
        let scan = scan(folder.path()).unwrap();
        assert_eq!(hash(&scan, 0, TWO, |_| {}), Err(CreateError::PieceLength(0)));
    }

    #[cfg(unix)]
    mod unix {
        use super::*;
        use std::os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener};

        #[test]
        fn links_are_followed_but_not_in_circles() {
            let other = folder_with(&[("far", b"away")]);
            let folder = folder_with(&[("near", b"by")]);
            symlink(other.path(), folder.path().join("folder")).unwrap();
            symlink(other.path().join("far"), folder.path().join("file")).unwrap();
            assert_eq!(paths(&scan(folder.path()).unwrap()), ["file", "folder/far", "near"]);
            symlink(folder.path(), other.path().join("back")).unwrap();
            let back = folder.path().join("folder").join("back");
            assert_eq!(scan(folder.path()).unwrap_err(), CreateError::Loop(back));
        }

        #[test]
        fn dead_links_special_files_and_odd_names_are_errors_that_name_them() {
            let folder = folder_with(&[("a", b"a")]);
            let path = folder.path().join("dead");
            symlink("nowhere", &path).unwrap();
            assert!(matches!(scan(folder.path()), Err(CreateError::Disk(error)) if error.path == path.display().to_string()));
            fs::remove_file(path).unwrap();
            let path = folder.path().join("socket");
            let _listener = UnixListener::bind(&path).unwrap();
            assert_eq!(scan(folder.path()).unwrap_err(), CreateError::NotAFile(path.clone()));
            fs::remove_file(path).unwrap();
            let path = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
            // Not every file system takes such a name.
            if fs::write(&path, "x").is_ok() {
                assert_eq!(scan(folder.path()).unwrap_err(), CreateError::NotUtf8(path));
            }
        }
    }
}
