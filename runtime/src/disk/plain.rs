//! Plain files, and errors in place of whatever else stands where one should be.

use super::{
    fault::{DiskResult, fault, wrong_kind},
    position,
};
use rustor_core::{
    error::{DiskError, DiskErrorKind},
    storage::FileStamp,
};
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind},
    path::Path,
    time::UNIX_EPOCH,
};

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
    FileStamp { length: metadata.len(), modified, aside: false }
}

pub(crate) fn open_any(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Opening a pipe must not wait for its other end. For plain files the flag means nothing.
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    }
    options.open(path)
}

/// Makes sure that a plain file was opened.
pub(crate) fn plain(opened: io::Result<File>, path: &Path) -> DiskResult<File> {
    let file = opened.map_err(|error| fault(path, error))?;
    let metadata = file.metadata().map_err(|error| fault(path, error))?;
    if metadata.is_file() { Ok(file) } else { Err(not_plain(path, &metadata)) }
}

fn not_plain(path: &Path, metadata: &Metadata) -> Box<DiskError> {
    let what = if metadata.is_dir() { "is a folder, but a file is needed" } else { "is not a plain file" };
    wrong_kind(path, what)
}

#[cfg(unix)]
pub(crate) fn is_out_of_handles(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(not(unix))]
pub(crate) fn is_out_of_handles(_error: &io::Error) -> bool {
    false
}

/// Fills `buffer`, or fails.
pub(crate) fn read_all(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let count = position::read_at(file, buffer, offset)?;
    if count == buffer.len() { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

pub(crate) fn remove_if_there(path: &Path) -> DiskResult<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(fault(path, error)),
        _ => Ok(()),
    }
}

pub(crate) fn create_folder(path: &Path) -> DiskResult<()> {
    fs::create_dir_all(path).map_err(|error| fault(path, error))
}
