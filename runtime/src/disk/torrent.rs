use super::{
    durable::Doubtful,
    fault::{DiskResult, fault, gone, misuse},
    plain::{look_at, stamp_of},
    presence::Presence,
    storage::lock,
};
use rustor_core::storage::{Allocation, FileStamp, Layout, LayoutFile, Parts, Span};
use std::{
    collections::BTreeSet,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};

/// Where one torrent's files are.
pub(super) struct Torrent {
    pub(super) layout: Arc<Layout>,
    pub(super) folder: PathBuf,
    pub(super) allocation: Allocation,
    /// Where the part file is.
    pub(super) parts: PathBuf,
    /// What of it is in the part file. Held for writing while that changes, for reading by whatever reads or writes the files.
    pub(super) aside: RwLock<Aside>,
    /// Held while a file is created or opened for writing; the files share these locks by their numbers.
    pub(super) opening: [Mutex<()>; 8],
    pub(super) saving: Mutex<()>,
    pub(super) doubtful: Doubtful,
    pub(super) presence: Presence,
}

impl Torrent {
    pub(super) fn path(&self, file: &LayoutFile) -> PathBuf {
        path_below(&self.folder, file)
    }

    /// Where a file is, or the part file.
    pub(super) fn path_of(&self, number: u32) -> Option<PathBuf> {
        if number == PARTS { Some(self.parts.clone()) } else { self.file(number).map(|file| self.path(file)) }
    }

    pub(super) fn file(&self, number: u32) -> Option<&LayoutFile> {
        self.layout.files().get(number as usize)
    }

    /// The files that are there on disk.
    pub(super) fn files(&self) -> impl Iterator<Item = (u32, &LayoutFile)> {
        (0..).zip(self.layout.files()).filter(|(_, file)| !file.padding)
    }

    pub(super) fn opening_lock(&self, number: u32) -> MutexGuard<'_, ()> {
        lock(&self.opening[number as usize % self.opening.len()])
    }

    /// Whether `spans` are `length` bytes, all of them in files of this torrent.
    pub(super) fn check(&self, spans: &[Span], length: u64) -> DiskResult<()> {
        let inside = |span: &Span| {
            self.file(span.file).is_some_and(|file| span.offset.checked_add(span.length).is_some_and(|end| end <= file.length))
        };
        if spans.iter().all(inside) && spans.iter().map(|span| span.length).sum::<u64>() == length {
            return Ok(());
        }
        Err(misuse(self.folder.display().to_string(), "a job does not fit the torrent's files"))
    }

    /// A file is there. Empty ones are made anew at any time: nothing can be missing in them.
    pub(super) fn found(&self, number: u32) {
        if self.file(number).is_none_or(|file| file.length > 0) {
            self.presence.found(number);
        }
    }

    /// Fails if the file was there, and is not any more.
    pub(super) fn check_presence(&self, number: u32, path: &Path) -> DiskResult<()> {
        if self.presence.is_gone(number) { Err(gone(path)) } else { Ok(()) }
    }

    pub(super) fn stamps(&self, aside: &Aside) -> DiskResult<Vec<Option<FileStamp>>> {
        let parts = look_at(&self.parts)?.map(|found| FileStamp { aside: true, ..stamp_of(&found) });
        let stamp = |(number, file): (u32, &LayoutFile)| match file {
            file if file.padding => Ok(None),
            _ if aside.holds(number) => Ok(parts),
            file => Ok(look_at(&self.path(file))?.as_ref().map(stamp_of)),
        };
        (0..).zip(self.layout.files()).map(stamp).collect()
    }

    pub(super) fn aside(&self) -> RwLockReadGuard<'_, Aside> {
        self.aside.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where an earlier session left a part file: what is missing may be in it.
    pub(super) fn look_for_parts(&self) -> DiskResult<()> {
        let mut aside = self.aside.write().unwrap_or_else(PoisonError::into_inner);
        if look_at(&self.parts)?.is_some() {
            self.found(PARTS);
            for (number, file) in self.files() {
                if look_at(&self.path(file))?.is_none() {
                    aside.files.insert(number);
                }
            }
        }
        Ok(())
    }

    /// Deletes the files, then the folders that are empty now; the download folder itself stays. Goes on after an error, and
    /// tells the first one.
    pub(super) fn delete(&self) -> DiskResult<()> {
        let mut result = Ok(());
        let mut folders = BTreeSet::new();
        for (_, file) in self.files() {
            let path = self.path(file);
            let _ = fs::remove_file(coming(&path, &self.parts));
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

/// What of a torrent is kept in its part file.
pub(super) struct Aside {
    pub(super) slots: Parts,
    /// Places of the files that are neither wanted nor there.
    pub(super) files: BTreeSet<u32>,
}

impl Aside {
    pub(super) fn new(layout: &Layout) -> Aside {
        Aside { slots: Parts::new(layout), files: BTreeSet::new() }
    }

    pub(super) fn holds(&self, number: u32) -> bool {
        self.files.contains(&number)
    }
}

/// The part file's number among the open files: no torrent has so many.
pub(super) const PARTS: u32 = u32::MAX;

/// Where the file at `path` is put together from what the part file holds of it: beside it, since folders may lie on different disks;
/// always the same, so that crashes do not pile up rubbish.
pub(super) fn coming(path: &Path, parts: &Path) -> PathBuf {
    let mut name = parts.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

/// Where `file` of a torrent is that was put into `folder`.
pub(crate) fn path_below(folder: &Path, file: &LayoutFile) -> PathBuf {
    let mut path = folder.to_path_buf();
    path.extend(&file.path);
    path
}
