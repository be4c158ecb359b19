use super::{
    DiskConfig,
    fault::{DiskResult, fault, misuse, wrong_kind},
    files::OpenFiles,
    hash::{self, PieceHasher, Source},
    position,
    segments::Rest,
};
use crate::{
    buffer::{Buffer, BufferPool},
    resume,
};
use bytes::Bytes;
use rustor_core::{
    error::{DiskError, DiskErrorKind},
    id::TorrentId,
    storage::{Allocation, Digest, DiskOperation, DiskOutput, FileStamp, Layout, LayoutFile, Span},
};
use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind},
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::UNIX_EPOCH,
};

/// All torrents' files: does what workers are told to, from any thread.
pub(crate) struct Storage {
    torrents: Mutex<HashMap<TorrentId, Arc<Torrent>>>,
    resume_files: Mutex<HashMap<TorrentId, PathBuf>>,
    open_files: OpenFiles,
    /// From the smallest buffers to the largest.
    buffers: [BufferPool; 3],
}

/// Where one torrent's files are.
struct Torrent {
    layout: Arc<Layout>,
    folder: PathBuf,
    allocation: Allocation,
    /// Held while a file is created or opened for writing; the files share these locks by their numbers.
    opening: [Mutex<()>; 8],
    saving: Mutex<()>,
}

impl Storage {
    pub(crate) fn new(config: &DiskConfig) -> Storage {
        let buffers = [16 << 10, 64 << 10, config.read_buffer].map(|size| BufferPool::new(size, config.kept_buffers));
        Storage { torrents: Mutex::default(), resume_files: Mutex::default(), open_files: OpenFiles::new(config.open_files), buffers }
    }

    pub(crate) fn set_resume_file(&self, torrent: TorrentId, path: PathBuf) {
        lock(&self.resume_files).insert(torrent, path);
    }

    /// Does one job.
    pub(crate) fn perform(&self, hasher: &mut PieceHasher, id: TorrentId, operation: DiskOperation) -> DiskResult<DiskOutput> {
        match operation {
            DiskOperation::Open { layout, folder, allocation } => self.open(id, layout, folder.into(), allocation),
            DiskOperation::Prepare => self.prepare(&*self.torrent(id)?),
            DiskOperation::Store { segments, spans, digest, fingerprints, piece: _ } => {
                self.store(id, &*self.torrent(id)?, segments, &spans, &digest, fingerprints)
            }
            DiskOperation::Read { spans, length } => self.read(id, &*self.torrent(id)?, &spans, length),
            DiskOperation::Verify { first, digests } => self.verify(id, &*self.torrent(id)?, hasher, first, &digests),
            DiskOperation::Stamp => Ok(DiskOutput::Stamps(self.torrent(id)?.stamps()?)),
            DiskOperation::SaveResume { data } => self.save_resume(id, &*self.torrent(id)?, &data),
            DiskOperation::Close { forget, delete } => self.close(id, forget, delete),
        }
    }

    fn torrent(&self, id: TorrentId) -> DiskResult<Arc<Torrent>> {
        lock(&self.torrents).get(&id).cloned().ok_or_else(|| misuse("disk worker", "the torrent is not open"))
    }

    fn open(&self, id: TorrentId, layout: Arc<Layout>, folder: PathBuf, allocation: Allocation) -> DiskResult<DiskOutput> {
        if let Some(unsafe_file) = layout.files().iter().find(|file| !stays_below(&file.path)) {
            return Err(misuse(unsafe_file.path.join("/"), "this path leads out of the download folder"));
        }
        let torrent = Torrent { layout, folder, allocation, opening: Default::default(), saving: Mutex::default() };
        let stamps = torrent.stamps()?;
        self.open_files.close_torrent(id);
        lock(&self.torrents).insert(id, Arc::new(torrent));
        Ok(DiskOutput::Opened(stamps))
    }

    fn prepare(&self, torrent: &Torrent) -> DiskResult<DiskOutput> {
        create_folder(&torrent.folder)?;
        let mut folders = BTreeSet::new();
        for (number, file) in torrent.files() {
            let path = torrent.path(file);
            if let Some((_, parents)) = file.path.split_last()
                && !parents.is_empty()
                && folders.insert(parents)
            {
                create_folder(path.parent().unwrap_or(&torrent.folder))?;
            }
            let found = look_at(&path)?.map(|found| found.len());
            let reserve = torrent.allocation == Allocation::Full && file.length > 0;
            let empty_and_missing = file.length == 0 && found.is_none();
            if reserve || empty_and_missing || found.is_some_and(|found| found > file.length) {
                let _opening = torrent.opening_lock(number);
                let (opened, length) = self.create(&path)?;
                if length > file.length {
                    opened.set_len(file.length).map_err(|error| fault(&path, error))?;
                }
                if reserve {
                    position::reserve(&opened, length.min(file.length), file.length).map_err(|error| fault(&path, error))?;
                }
            }
        }
        Ok(DiskOutput::Done)
    }

    fn store(
        &self,
        id: TorrentId,
        torrent: &Torrent,
        segments: Vec<Bytes>,
        spans: &[Span],
        digest: &Digest,
        fingerprints: bool,
    ) -> DiskResult<DiskOutput> {
        if hash::digest_of(&segments) != *digest {
            return Ok(DiskOutput::Mismatch(hash::fingerprints_of(&segments)));
        }
        let length: u64 = segments.iter().map(|segment| segment.len() as u64).sum();
        torrent.check(spans, length)?;
        let mut rest = Rest::of(&segments);
        let mut slices = Vec::new();
        for span in spans {
            slices.clear();
            rest.take(span.length, &mut slices);
            let Some(file) = torrent.file(span.file).filter(|file| !file.padding) else { continue };
            let opened = self.open_for_writing(id, torrent, span.file, file)?;
            position::write_at(&opened, &mut slices, span.offset).map_err(|error| fault(&torrent.path(file), error))?;
        }
        Ok(DiskOutput::Stored(if fingerprints { hash::fingerprints_of(&segments) } else { Vec::new() }))
    }

    fn read(&self, id: TorrentId, torrent: &Torrent, spans: &[Span], length: u32) -> DiskResult<DiskOutput> {
        torrent.check(spans, u64::from(length))?;
        let mut buffer = self.buffer(length as usize);
        let mut rest = &mut buffer[..length as usize];
        for span in spans {
            let (now, later) = rest.split_at_mut(span.length as usize);
            rest = later;
            let Some(file) = torrent.file(span.file) else { continue };
            if file.padding {
                now.fill(0);
                continue;
            }
            let opened = self.open_for_reading(id, torrent, span.file, file)?;
            match position::read_at(&opened, now, span.offset) {
                Ok(count) if count == now.len() => {}
                Ok(_) => return Err(fault(&torrent.path(file), ErrorKind::UnexpectedEof.into())),
                Err(error) => return Err(fault(&torrent.path(file), error)),
            }
        }
        Ok(DiskOutput::Read(buffer.freeze(length as usize)))
    }

    fn verify(&self, id: TorrentId, torrent: &Torrent, hasher: &mut PieceHasher, first: u32, digests: &[u8]) -> DiskResult<DiskOutput> {
        let (digests, _) = digests.as_chunks::<20>();
        let mut fits = vec![false; digests.len()];
        let end = first.saturating_add(u32::try_from(digests.len()).unwrap_or(u32::MAX)).min(torrent.layout.piece_count());
        // Files are opened afresh: what an earlier handle leads to may have been moved away since.
        let mut source = OnDisk { torrent, opened: |file| self.open_files.close((id, file)) };
        hasher.hash(&torrent.layout, first..end, &mut source, |piece, digest| {
            let place = (piece - first) as usize;
            if let (Some(fits), Some(expected)) = (fits.get_mut(place), digests.get(place)) {
                *fits = digest.as_ref() == Some(expected);
            }
        })?;
        Ok(DiskOutput::Verified(fits))
    }

    fn save_resume(&self, id: TorrentId, torrent: &Torrent, data: &[u8]) -> DiskResult<DiskOutput> {
        let path = lock(&self.resume_files).get(&id).cloned();
        if let Some(path) = path {
            let _saving = lock(&torrent.saving);
            resume::save(&path, data).map_err(|error| fault(&path, error))?;
        }
        Ok(DiskOutput::Done)
    }

    fn close(&self, id: TorrentId, forget: bool, delete: bool) -> DiskResult<DiskOutput> {
        self.open_files.close_torrent(id);
        let torrent = lock(&self.torrents).remove(&id);
        let resume_file = lock(&self.resume_files).remove(&id);
        let deleted = torrent.filter(|_| delete).map_or(Ok(()), |torrent| torrent.delete());
        if let Some(path) = resume_file.filter(|_| forget) {
            resume::remove(&path).map_err(|error| fault(&path, error))?;
        }
        deleted.map(|()| DiskOutput::Done)
    }

    fn open_for_reading(&self, id: TorrentId, torrent: &Torrent, number: u32, file: &LayoutFile) -> DiskResult<Arc<File>> {
        if let Some(opened) = self.open_files.get((id, number), false) {
            return Ok(opened);
        }
        let path = torrent.path(file);
        let opened = self.open_plain(OpenOptions::new().read(true), &path)?;
        Ok(self.open_files.insert((id, number), opened, false))
    }

    /// Opens a file that a piece is to be written to, and sees to its folder and its length.
    fn open_for_writing(&self, id: TorrentId, torrent: &Torrent, number: u32, file: &LayoutFile) -> DiskResult<Arc<File>> {
        if let Some(opened) = self.open_files.get((id, number), true) {
            return Ok(opened);
        }
        let _opening = torrent.opening_lock(number);
        if let Some(opened) = self.open_files.get((id, number), true) {
            return Ok(opened);
        }
        let path = torrent.path(file);
        let (opened, length) = self.create(&path)?;
        if length != file.length {
            opened.set_len(file.length).map_err(|error| fault(&path, error))?;
        }
        Ok(self.open_files.insert((id, number), opened, true))
    }

    /// The file at `path` for reading and writing, created if need be together with its folders, and how long it is.
    fn create(&self, path: &Path) -> DiskResult<(File, u64)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let opened = match self.open_plain(&mut options, path) {
            Err(error) if error.kind == DiskErrorKind::Missing => {
                create_folder(path.parent().unwrap_or(path))?;
                self.open_plain(&mut options, path)?
            }
            other => other?,
        };
        let length = opened.metadata().map_err(|error| fault(path, error))?.len();
        Ok((opened, length))
    }

    /// Opens a plain file; if the process has too many open already, closes all of ours that nobody uses, and tries once more.
    fn open_plain(&self, options: &mut OpenOptions, path: &Path) -> DiskResult<File> {
        match open_any(options, path) {
            Err(error) if is_out_of_handles(&error) => {
                self.open_files.close_all();
                plain(open_any(options, path), path)
            }
            opened => plain(opened, path),
        }
    }

    /// Memory for a read of `length` bytes.
    fn buffer(&self, length: usize) -> Buffer {
        match self.buffers.iter().find(|pool| pool.buffer_size() >= length) {
            Some(pool) => pool.take(),
            None => BufferPool::new(length, 0).take(),
        }
    }
}

impl Torrent {
    fn path(&self, file: &LayoutFile) -> PathBuf {
        path_below(&self.folder, file)
    }

    fn file(&self, number: u32) -> Option<&LayoutFile> {
        self.layout.files().get(number as usize)
    }

    /// The files that are there on disk.
    fn files(&self) -> impl Iterator<Item = (u32, &LayoutFile)> {
        (0..).zip(self.layout.files()).filter(|(_, file)| !file.padding)
    }

    fn opening_lock(&self, number: u32) -> MutexGuard<'_, ()> {
        lock(&self.opening[number as usize % self.opening.len()])
    }

    /// Whether `spans` are `length` bytes, all of them in files of this torrent.
    fn check(&self, spans: &[Span], length: u64) -> DiskResult<()> {
        let inside = |span: &Span| {
            self.file(span.file).is_some_and(|file| span.offset.checked_add(span.length).is_some_and(|end| end <= file.length))
        };
        if spans.iter().all(inside) && spans.iter().map(|span| span.length).sum::<u64>() == length {
            return Ok(());
        }
        Err(misuse(self.folder.display().to_string(), "a job does not fit the torrent's files"))
    }

    fn stamps(&self) -> DiskResult<Vec<Option<FileStamp>>> {
        let stamp = |file: &LayoutFile| Ok(if file.padding { None } else { look_at(&self.path(file))?.as_ref().map(stamp_of) });
        self.layout.files().iter().map(stamp).collect()
    }

    /// Deletes the files, then the folders that are empty now; the download folder itself stays. Goes on after an error, and
    /// tells the first one.
    fn delete(&self) -> DiskResult<()> {
        let mut result = Ok(());
        let mut folders = BTreeSet::new();
        for (_, file) in self.files() {
            let path = self.path(file);
            match fs::remove_file(&path) {
                Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                    result = result.and(Err(fault(&path, error)));
                }
                _ => {}
            }
            folders.extend((1..file.path.len()).map(|depth| &file.path[..depth]));
        }
        // In reverse order, what is inside a folder comes before it.
        for folder in folders.iter().rev() {
            // Whatever else is in there is not ours, and keeps the folder.
            let _ = fs::remove_dir(self.folder.join(folder.iter().collect::<PathBuf>()));
        }
        result
    }
}

/// A torrent's files, opened for one job.
struct OnDisk<'a, F> {
    torrent: &'a Torrent,
    opened: F,
}

impl<F: Fn(u32)> Source for OnDisk<'_, F> {
    type Error = Box<DiskError>;

    fn open(&mut self, number: u32) -> DiskResult<Option<File>> {
        (self.opened)(number);
        let Some(file) = self.torrent.file(number) else { return Ok(None) };
        open_if_there(&self.torrent.path(file))
    }

    fn failed(&mut self, number: u32, error: io::Error) -> Box<DiskError> {
        let path = self.torrent.file(number).map(|file| self.torrent.path(file));
        fault(path.as_deref().unwrap_or(&self.torrent.folder), error)
    }
}

/// Where `file` of a torrent is that was put into `folder`.
pub(crate) fn path_below(folder: &Path, file: &LayoutFile) -> PathBuf {
    let mut path = folder.to_path_buf();
    path.extend(&file.path);
    path
}

/// The file at `path`, for reading; `None` if nothing is there.
pub(crate) fn open_if_there(path: &Path) -> DiskResult<Option<File>> {
    match plain(open_any(OpenOptions::new().read(true), path), path) {
        Err(error) if error.kind == DiskErrorKind::Missing => Ok(None),
        other => other.map(Some),
    }
}

/// What the system tells of the file at `path`; `None` if nothing is there.
pub(crate) fn look_at(path: &Path) -> DiskResult<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
        Ok(metadata) => Err(not_plain(path, &metadata)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fault(path, error)),
    }
}

/// What tells a changed file from an unchanged one.
pub(crate) fn stamp_of(metadata: &Metadata) -> FileStamp {
    let nanoseconds = |duration: std::time::Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    let modified = match metadata.modified().map(|modified| modified.duration_since(UNIX_EPOCH)) {
        Ok(Ok(after)) => nanoseconds(after),
        Ok(Err(before)) => -nanoseconds(before.duration()),
        // A system without such times cannot tell: the length has to do.
        Err(_) => 0,
    };
    FileStamp { length: metadata.len(), modified }
}

fn open_any(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Opening a pipe must not wait for its other end. For plain files the flag means nothing.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    options.open(path)
}

/// Makes sure that a plain file was opened.
fn plain(opened: io::Result<File>, path: &Path) -> DiskResult<File> {
    let file = opened.map_err(|error| fault(path, error))?;
    let metadata = file.metadata().map_err(|error| fault(path, error))?;
    if metadata.is_file() { Ok(file) } else { Err(not_plain(path, &metadata)) }
}

fn not_plain(path: &Path, metadata: &Metadata) -> Box<DiskError> {
    let what = if metadata.is_dir() { "is a folder, but a file is needed" } else { "is not a plain file" };
    wrong_kind(path, what)
}

#[cfg(unix)]
fn is_out_of_handles(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(not(unix))]
fn is_out_of_handles(_error: &io::Error) -> bool {
    false
}

fn create_folder(path: &Path) -> DiskResult<()> {
    fs::create_dir_all(path).map_err(|error| fault(path, error))
}

/// Whether a file of this name is below the folder that it is joined to. Names from torrents have been made safe long before;
/// this is the last door.
fn stays_below(path: &[String]) -> bool {
    let is_name = |name: &String| {
        let mut components = Path::new(name).components();
        matches!((components.next(), components.next()), (Some(Component::Normal(only)), None) if only == name.as_str())
    };
    !path.is_empty() && path.iter().all(is_name)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
