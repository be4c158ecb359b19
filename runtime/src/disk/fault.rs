use rustor_core::error::{DiskError, DiskErrorKind};
use std::{
    io::{self, ErrorKind},
    path::Path,
};

/// What a disk operation of ours comes to.
pub(crate) type DiskResult<T> = Result<T, Box<DiskError>>;

/// What `error` at `path` means for the engine, naming the file or folder that is at fault.
pub(crate) fn fault(path: &Path, error: io::Error) -> Box<DiskError> {
    let kind = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DiskErrorKind::Full,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => DiskErrorKind::PermissionDenied,
        ErrorKind::NotFound | ErrorKind::UnexpectedEof => DiskErrorKind::Missing,
        ErrorKind::IsADirectory => return wrong_kind(path, "is a folder, but a file is needed"),
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            let file = path.ancestors().find(|ancestor| ancestor.metadata().is_ok_and(|metadata| !metadata.is_dir()));
            return wrong_kind(file.unwrap_or(path), "is a file, but a folder is needed");
        }
        _ => DiskErrorKind::Other,
    };
    Box::new(DiskError { kind, path: path.display().to_string(), message: in_words(&error) })
}

/// Something of the wrong kind stands at `path`.
pub(crate) fn wrong_kind(path: &Path, message: &str) -> Box<DiskError> {
    Box::new(DiskError { kind: DiskErrorKind::WrongKind, path: path.display().to_string(), message: message.into() })
}

/// The file that was at `path` is not there any more.
pub(crate) fn gone(path: &Path) -> Box<DiskError> {
    let message = "was taken away or replaced while it was in use".into();
    Box::new(DiskError { kind: DiskErrorKind::Missing, path: path.display().to_string(), message })
}

/// A fault that is not the disk's: a job that does not fit its torrent.
pub(crate) fn misuse(path: impl Into<String>, message: &str) -> Box<DiskError> {
    Box::new(DiskError { kind: DiskErrorKind::Other, path: path.into(), message: message.into() })
}

/// The operating system's words without its number.
fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_fault_is_told_apart() {
        let kind = |kind: ErrorKind| fault(Path::new("/nowhere/at/all"), kind.into()).kind;
        assert_eq!(kind(ErrorKind::StorageFull), DiskErrorKind::Full);
        assert_eq!(kind(ErrorKind::QuotaExceeded), DiskErrorKind::Full);
        assert_eq!(kind(ErrorKind::PermissionDenied), DiskErrorKind::PermissionDenied);
        assert_eq!(kind(ErrorKind::ReadOnlyFilesystem), DiskErrorKind::PermissionDenied);
        assert_eq!(kind(ErrorKind::NotFound), DiskErrorKind::Missing);
        assert_eq!(kind(ErrorKind::UnexpectedEof), DiskErrorKind::Missing);
        assert_eq!(kind(ErrorKind::NotADirectory), DiskErrorKind::WrongKind);
        assert_eq!(kind(ErrorKind::IsADirectory), DiskErrorKind::WrongKind);
        assert_eq!(kind(ErrorKind::TimedOut), DiskErrorKind::Other);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_systems_words_come_without_its_number() {
        let error = fault(Path::new("/data/film"), io::Error::from_raw_os_error(28));
        assert_eq!((error.kind, error.message.as_str()), (DiskErrorKind::Full, "No space left on device"));
        assert_eq!(error.to_string(), "no space left for /data/film");
    }

    #[test]
    fn the_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let below = file.join("a").join("b");
        let error = fault(&below, ErrorKind::NotADirectory.into());
        assert_eq!(error.path, file.display().to_string());
        assert_eq!(error.message, "is a file, but a folder is needed");
    }
}
