use super::{
    DiskConfig,
    durable::{self, Doubt, Sync, Synced},
    fault::{DiskResult, fault, gone, misuse},
    files::{Name, OpenFiles},
    hash::{self, PieceHasher, Source},
    plain::{create_folder, is_out_of_handles, look_at, open_any, open_if_there, plain, read_all, remove_if_there},
    position,
    presence::{Place, place_of, seems_deleted},
    segments::Rest,
    torrent::{Aside, PARTS, Torrent, coming},
};
use crate::{
    buffer::{Buffer, BufferPool},
    resume,
};
use bytes::Bytes;
use rustor_core::{
    error::{DiskError, DiskErrorKind},
    id::TorrentId,
    storage::{Allocation, Digest, DiskOperation, DiskOutput, Kept, Layout, LayoutFile, Span},
    util::Bitfield,
};
use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, IoSlice},
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

/// All torrents' files: does what workers are told to, from any thread.
pub(crate) struct Storage {
    torrents: Mutex<HashMap<TorrentId, Arc<Torrent>>>,
    resume_files: Mutex<HashMap<TorrentId, PathBuf>>,
    open_files: OpenFiles,
    /// From the smallest buffers to the largest.
    buffers: [BufferPool; 3],
    sync: Box<Sync>,
}

impl Storage {
    pub(crate) fn new(config: &DiskConfig) -> Storage {
        Storage::with_sync(config, Box::new(durable::sync))
    }

    pub(super) fn with_sync(config: &DiskConfig, sync: Box<Sync>) -> Storage {
        let buffers = [16 << 10, 64 << 10, config.read_buffer].map(|size| BufferPool::new(size, config.kept_buffers));
        let open_files = OpenFiles::new(config.open_files);
        Storage { torrents: Mutex::default(), resume_files: Mutex::default(), open_files, buffers, sync }
    }

    pub(crate) fn set_resume_file(&self, torrent: TorrentId, path: PathBuf) {
        lock(&self.resume_files).insert(torrent, path);
    }

    /// Does one job.
    pub(crate) fn perform(&self, hasher: &mut PieceHasher, id: TorrentId, operation: DiskOperation) -> DiskResult<DiskOutput> {
        match operation {
            DiskOperation::Open { layout, folder, allocation, parts } => self.open(id, layout, folder.into(), allocation, &parts),
            DiskOperation::Prepare { wanted } => self.prepare(id, &*self.torrent(id)?, &wanted),
            DiskOperation::Store { segments, spans, digest, fingerprints, piece: _ } => {
                self.store(id, &*self.torrent(id)?, segments, &spans, &digest, fingerprints)
            }
            DiskOperation::Read { spans, length } => self.read(id, &*self.torrent(id)?, &spans, length),
            DiskOperation::Verify { first, digests } => self.verify(id, &*self.torrent(id)?, hasher, first, &digests),
            DiskOperation::Keep { runs, piece: _ } => {
                let torrent = self.torrent(id)?;
                for Kept { spans, segments } in runs {
                    self.write(id, &torrent, &segments, &spans)?;
                }
                Ok(DiskOutput::Done)
            }
            DiskOperation::Stamp => self.stamp(id, &*self.torrent(id)?),
            DiskOperation::SaveResume { data } => self.save_resume(id, &*self.torrent(id)?, &data),
            DiskOperation::Close { forget, delete } => self.close(id, forget, delete),
        }
    }

    fn torrent(&self, id: TorrentId) -> DiskResult<Arc<Torrent>> {
        lock(&self.torrents).get(&id).cloned().ok_or_else(|| misuse("disk worker", "the torrent is not open"))
    }

    fn open(&self, id: TorrentId, layout: Arc<Layout>, folder: PathBuf, allocation: Allocation, parts: &str) -> DiskResult<DiskOutput> {
        if !stays_below(&[parts.to_owned()]) {
            return Err(misuse(parts, "this is no name for a part file"));
        }
        if let Some(unsafe_file) = layout.files().iter().find(|file| !stays_below(&file.path)) {
            return Err(misuse(unsafe_file.path.join("/"), "this path leads out of the download folder"));
        }
        let (parts, aside) = (folder.join(parts), RwLock::new(Aside::new(&layout)));
        let before = lock(&self.torrents).get(&id).cloned();
        let doubtful = before.map(|before| before.doubtful.hand_over()).unwrap_or_default();
        let (opening, saving, presence) = Default::default();
        let torrent = Torrent { layout, folder, allocation, parts, aside, opening, saving, doubtful, presence };
        torrent.look_for_parts()?;
        let stamps = torrent.stamps(&torrent.aside())?;
        let there = (0..).zip(&stamps).filter(|(_, stamp)| stamp.is_some_and(|stamp| !stamp.aside));
        there.for_each(|(number, _)| torrent.found(number));
        self.open_files.close_torrent(id);
        lock(&self.torrents).insert(id, Arc::new(torrent));
        Ok(DiskOutput::Opened(stamps))
    }

    /// Makes ready for the `wanted` files, and lets the others be kept aside as far as they are not there already.
    fn prepare(&self, id: TorrentId, torrent: &Torrent, wanted: &Bitfield) -> DiskResult<DiskOutput> {
        let mut aside = torrent.aside.write().unwrap_or_else(PoisonError::into_inner);
        create_folder(&torrent.folder)?;
        let mut folders = BTreeSet::new();
        for (number, file) in torrent.files() {
            let path = torrent.path(file);
            if !wanted.get(number) {
                if !aside.holds(number) && self.find(id, torrent, number, &path)?.is_none() {
                    aside.files.insert(number);
                }
                continue;
            }
            if let Some((_, parents)) = file.path.split_last()
                && !parents.is_empty()
                && folders.insert(parents)
            {
                create_folder(path.parent().unwrap_or(&torrent.folder))?;
            }
            if aside.holds(number) {
                self.bring(torrent, &aside, number, file)?;
                aside.files.remove(&number);
            }
            let found = self.find(id, torrent, number, &path)?;
            let reserve = torrent.allocation == Allocation::Full && file.length > 0;
            let empty_and_missing = file.length == 0 && found.is_none();
            if reserve || empty_and_missing || found.is_some_and(|found| found > file.length) {
                let _opening = torrent.opening_lock(number);
                let (opened, length) = self.create(&path)?;
                torrent.found(number);
                if length > file.length {
                    opened.set_len(file.length).map_err(|error| fault(&path, error))?;
                }
                if reserve {
                    position::reserve(&opened, length.min(file.length), file.length).map_err(|error| fault(&path, error))?;
                }
            }
        }
        let needed = |number: &u32| torrent.file(*number).is_some_and(|file| file.length > 0);
        if !aside.files.iter().any(needed) {
            torrent.presence.forget(PARTS);
            self.open_files.close((id, PARTS));
            remove_if_there(&torrent.parts)?;
        }
        Ok(DiskOutput::Done)
    }

    /// How long the file at `path` is; `None` if nothing is there, nor ever was.
    fn find(&self, id: TorrentId, torrent: &Torrent, number: u32, path: &Path) -> DiskResult<Option<u64>> {
        let found = look_at(path)?.map(|found| found.len());
        match found {
            Some(_) => torrent.found(number),
            None => torrent.presence.lost(number),
        }
        if torrent.presence.is_gone(number) {
            self.open_files.close((id, number));
            return Err(gone(path));
        }
        Ok(found)
    }

    /// Brings what the part file holds of a file to where it belongs: first under another name, so that after a crash either the part
    /// file or the file itself has it.
    fn bring(&self, torrent: &Torrent, aside: &Aside, number: u32, file: &LayoutFile) -> DiskResult<()> {
        let Some(parts) = open_if_there(&torrent.parts)? else {
            torrent.presence.lost(PARTS);
            return torrent.check_presence(PARTS, &torrent.parts);
        };
        let length = parts.metadata().map_err(|error| fault(&torrent.parts, error))?.len();
        let path = torrent.path(file);
        if look_at(&path)?.is_some() {
            // Somebody else has put it there meanwhile; it is theirs, and looked at before it is believed.
            return Err(gone(&path));
        }
        let coming = coming(&path, &torrent.parts);
        let mut target: Option<File> = None;
        let mut buffer = vec![0; 64 << 10];
        let mut offset = 0;
        for (position, run) in aside.slots.locate(&torrent.layout, Span { file: number, offset: 0, length: file.length }) {
            let end = position.saturating_add(run).min(length);
            let mut at = position;
            while at < end {
                let hole = position::hole_at(&parts, at).min(end - at);
                if hole > 0 {
                    at += hole;
                    continue;
                }
                let wanted = (end - at).min(buffer.len() as u64) as usize;
                let count = position::read_at(&parts, &mut buffer[..wanted], at).map_err(|error| fault(&torrent.parts, error))?;
                if count == 0 {
                    break;
                }
                let target = match &mut target {
                    Some(target) => target,
                    None => {
                        let (created, _) = self.create(&coming)?;
                        created.set_len(0).and_then(|()| created.set_len(file.length)).map_err(|error| fault(&coming, error))?;
                        target.insert(created)
                    }
                };
                let written = position::write_at(target, &mut [IoSlice::new(&buffer[..count])], offset + (at - position));
                written.inspect_err(|_| drop(fs::remove_file(&coming))).map_err(|error| fault(&path, error))?;
                at += count as u64;
            }
            offset += run;
        }
        if let Some(target) = target {
            // The part file may go next.
            (self.sync)(&target).and_then(|()| fs::rename(&coming, &path)).map_err(|error| fault(&path, error))?;
            torrent.doubtful.follows(number, PARTS);
        }
        Ok(())
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
        self.write(id, torrent, &segments, spans)?;
        Ok(DiskOutput::Stored(if fingerprints { hash::fingerprints_of(&segments) } else { Vec::new() }))
    }

    /// Writes `segments`, which are the bytes of `spans`.
    fn write(&self, id: TorrentId, torrent: &Torrent, segments: &[Bytes], spans: &[Span]) -> DiskResult<()> {
        let length: u64 = segments.iter().map(|segment| segment.len() as u64).sum();
        torrent.check(spans, length)?;
        let aside = torrent.aside();
        let mut rest = Rest::of(segments);
        let mut slices = Vec::new();
        for span in spans {
            let file = torrent.file(span.file).filter(|file| !file.padding);
            if file.is_some() && aside.holds(span.file) {
                let parts = self.open_parts(id, torrent, true)?;
                for (position, length) in aside.slots.locate(&torrent.layout, *span) {
                    slices.clear();
                    rest.take(length, &mut slices);
                    position::write_at(&parts, &mut slices, position).map_err(|error| fault(&torrent.parts, error))?;
                }
                torrent.doubtful.add(PARTS, Doubt::Written);
                self.check_written(id, torrent, PARTS, &parts)?;
                continue;
            }
            slices.clear();
            rest.take(span.length, &mut slices);
            let Some(file) = file else { continue };
            let opened = self.open_for_writing(id, torrent, span.file, file)?;
            position::write_at(&opened, &mut slices, span.offset).map_err(|error| fault(&torrent.path(file), error))?;
            torrent.doubtful.add(span.file, Doubt::Written);
            self.check_written(id, torrent, span.file, &opened)?;
        }
        Ok(())
    }

    fn read(&self, id: TorrentId, torrent: &Torrent, spans: &[Span], length: u32) -> DiskResult<DiskOutput> {
        torrent.check(spans, u64::from(length))?;
        let aside = torrent.aside();
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
            if aside.holds(span.file) {
                let parts = self.open_parts(id, torrent, false)?;
                let mut rest = now;
                for (position, length) in aside.slots.locate(&torrent.layout, *span) {
                    let (now, later) = rest.split_at_mut(length as usize);
                    rest = later;
                    read_all(&parts, now, position).map_err(|error| fault(&torrent.parts, error))?;
                }
                continue;
            }
            let opened = self.open_for_reading(id, torrent, span.file, file)?;
            read_all(&opened, now, span.offset).map_err(|error| fault(&torrent.path(file), error))?;
        }
        Ok(DiskOutput::Read(buffer.freeze(length as usize)))
    }

    fn verify(&self, id: TorrentId, torrent: &Torrent, hasher: &mut PieceHasher, first: u32, digests: &[u8]) -> DiskResult<DiskOutput> {
        let (digests, _) = digests.as_chunks::<20>();
        let mut fits = vec![false; digests.len()];
        let end = first.saturating_add(u32::try_from(digests.len()).unwrap_or(u32::MAX)).min(torrent.layout.piece_count());
        // Files are opened afresh: what an earlier handle leads to may have been moved away since.
        let aside = torrent.aside();
        let opened = |file| {
            self.open_files.close((id, file));
            torrent.doubtful.add(file, Doubt::Found);
        };
        let mut source = OnDisk { torrent, aside: &aside, opened };
        hasher.hash(&torrent.layout, first..end, &mut source, |piece, digest| {
            let place = (piece - first) as usize;
            if let (Some(fits), Some(expected)) = (fits.get_mut(place), digests.get(place)) {
                *fits = digest.as_ref() == Some(expected);
            }
        })?;
        Ok(DiskOutput::Verified(fits))
    }

    /// What tells of each file whether it is as it was, once what it holds is durable.
    fn stamp(&self, id: TorrentId, torrent: &Torrent) -> DiskResult<DiskOutput> {
        let mut left = torrent.doubtful.settle(|number, doubt| {
            // Some systems let only those sync a file who may write to it.
            match self.open_files.get((id, number), !cfg!(unix)) {
                Some(opened) => synced((self.sync)(&opened), doubt),
                None => self.sync_closed(torrent, number, doubt),
            }
        });
        let aside = torrent.aside();
        let mut stamps = torrent.stamps(&aside)?;
        let missing = (0..).zip(&stamps).filter(|(number, stamp)| stamp.is_none() && !aside.holds(*number));
        missing.for_each(|(number, _)| torrent.presence.lost(number));
        // Written is what is open, while the time is of what the path leads to.
        for (number, opened) in self.open_files.of_torrent(id) {
            if self.compare(id, torrent, number, &opened)? == Place::Copy {
                left.insert(number);
            }
        }
        if let Some(path) = torrent.presence.tell().and_then(|number| torrent.path_of(number)) {
            return Err(gone(&path));
        }
        for (number, stamp) in (0..).zip(&mut stamps) {
            let number = if stamp.is_some_and(|stamp| stamp.aside) { PARTS } else { number };
            if left.contains(&number) || torrent.presence.is_gone(number) {
                *stamp = None;
            }
        }
        Ok(DiskOutput::Stamps(stamps))
    }

    /// Compares a file that was opened with what is in its place now. If that is not the same file, it is no longer kept open.
    fn compare(&self, id: TorrentId, torrent: &Torrent, number: u32, opened: &File) -> DiskResult<Place> {
        let Some(path) = torrent.path_of(number) else { return Ok(Place::Same) };
        let place = place_of(opened, look_at(&path)?.as_ref()).map_err(|error| fault(&path, error))?;
        match place {
            Place::Same => return Ok(place),
            Place::Copy => torrent.doubtful.add(number, Doubt::Found),
            Place::Other => torrent.presence.lost(number),
        }
        self.open_files.close((id, number));
        Ok(place)
    }

    /// Makes sure that what was just written to a file is not gone already. That it was moved is found by the next stamp.
    fn check_written(&self, id: TorrentId, torrent: &Torrent, number: u32, opened: &File) -> DiskResult<()> {
        if seems_deleted(opened)
            && self.compare(id, torrent, number, opened)? != Place::Same
            && let Some(path) = torrent.path_of(number)
        {
            torrent.presence.lost(number);
            return Err(gone(&path));
        }
        Ok(())
    }

    /// Keeps a file open, in place of others.
    fn keep_open(&self, name: Name, file: File, writable: bool) -> Arc<File> {
        let (file, closing) = self.open_files.insert(name, file, writable);
        self.close_files(closing);
        file
    }

    /// Closes files that others made room for: the last moment at which it shows that they were replaced.
    fn close_files(&self, closing: Vec<(Name, Arc<File>)>) {
        for ((id, number), opened) in closing {
            if let Ok(torrent) = self.torrent(id) {
                // What cannot be looked at now has no stamp later.
                let _ = self.compare(id, &torrent, number, &opened);
            }
        }
    }

    fn sync_closed(&self, torrent: &Torrent, number: u32, doubt: Doubt) -> Synced {
        let Some(path) = torrent.path_of(number) else { return Synced::Yes };
        let mut options = OpenOptions::new();
        // Who opens a file for writing, others may take for a writer.
        let options = if cfg!(unix) { options.read(true) } else { options.write(true) };
        match self.open_plain(options, &path) {
            Ok(opened) => synced((self.sync)(&opened), doubt),
            Err(error) if error.kind == DiskErrorKind::PermissionDenied && doubt == Doubt::Found => Synced::Yes,
            Err(_) => Synced::NotYet,
        }
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
        let deleted = torrent.as_ref().filter(|_| delete).map_or(Ok(()), |torrent| torrent.delete());
        if let Some(torrent) = torrent.filter(|_| forget || delete) {
            remove_if_there(&torrent.parts)?;
        }
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
        torrent.check_presence(number, &path)?;
        let opened = self.open_plain(OpenOptions::new().read(true), &path)?;
        torrent.found(number);
        Ok(self.keep_open((id, number), opened, false))
    }

    /// The part file; created if it is to be written.
    fn open_parts(&self, id: TorrentId, torrent: &Torrent, write: bool) -> DiskResult<Arc<File>> {
        if let Some(opened) = self.open_files.get((id, PARTS), write) {
            return Ok(opened);
        }
        let _opening = torrent.opening_lock(PARTS);
        if let Some(opened) = self.open_files.get((id, PARTS), write) {
            return Ok(opened);
        }
        let opened = if write {
            self.open_or_create(torrent, PARTS, &torrent.parts)?.0
        } else {
            torrent.check_presence(PARTS, &torrent.parts)?;
            self.open_plain(OpenOptions::new().read(true), &torrent.parts)?
        };
        torrent.found(PARTS);
        Ok(self.keep_open((id, PARTS), opened, write))
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
        let (opened, length) = self.open_or_create(torrent, number, &path)?;
        if length != file.length {
            opened.set_len(file.length).map_err(|error| fault(&path, error))?;
        }
        torrent.found(number);
        Ok(self.keep_open((id, number), opened, true))
    }

    /// A file of a torrent for reading and writing, and how long it is. Created if it was not there before: else it would be full of gaps.
    fn open_or_create(&self, torrent: &Torrent, number: u32, path: &Path) -> DiskResult<(File, u64)> {
        torrent.check_presence(number, path)?;
        if !torrent.presence.was_there(number) {
            return self.create(path);
        }
        let opened = self.open_plain(OpenOptions::new().read(true).write(true), path);
        let opened = opened.inspect_err(|error| {
            if error.kind == DiskErrorKind::Missing {
                torrent.presence.lost(number);
            }
        })?;
        let length = opened.metadata().map_err(|error| fault(path, error))?.len();
        Ok((opened, length))
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
                self.close_files(self.open_files.close_all());
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

fn synced(answer: io::Result<()>, doubt: Doubt) -> Synced {
    match answer {
        Ok(()) => Synced::Yes,
        // Who may not write to a file has not written to it.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && doubt == Doubt::Found => Synced::Yes,
        Err(_) => Synced::Lost,
    }
}

/// A torrent's files, opened for one job.
struct OnDisk<'a, F> {
    torrent: &'a Torrent,
    aside: &'a Aside,
    opened: F,
}

impl<F: Fn(u32)> Source for OnDisk<'_, F> {
    type Error = Box<DiskError>;

    fn open(&mut self, number: u32) -> DiskResult<Option<File>> {
        (self.opened)(number);
        let Some(file) = self.torrent.file(number) else { return Ok(None) };
        open_if_there(&self.torrent.path(file))
    }

    fn aside(&mut self, span: Span) -> DiskResult<Option<hash::Aside>> {
        if !self.aside.holds(span.file) {
            return Ok(None);
        }
        self.torrent.doubtful.add(PARTS, Doubt::Found);
        let runs = self.aside.slots.locate(&self.torrent.layout, span).collect();
        Ok(Some(hash::Aside { file: open_if_there(&self.torrent.parts)?, runs }))
    }

    fn failed(&mut self, number: u32, error: io::Error) -> Box<DiskError> {
        let path = self.torrent.file(number).map(|file| self.torrent.path(file));
        fault(path.as_deref().unwrap_or(&self.torrent.folder), error)
    }
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
