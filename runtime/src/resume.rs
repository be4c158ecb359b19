//! Resume files: where they are, and how they are read and replaced.
//!
//! What is in them is the engine's business. A file is named after the torrent and the folder that it is downloaded to, so that
//! the same torrent in two folders has two.

use bytes::Bytes;
use sha1::{Digest, Sha1};
use std::{
    env,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

/// Longer files are not resume files.
const MOST: u64 = 64 << 20;

/// The folder for resume files of the user: `rustor` in `$XDG_STATE_HOME` or `~/.local/state`, on a Mac in
/// `~/Library/Application Support`, on Windows in `%LOCALAPPDATA%`. `None` if the user has no home.
pub fn state_folder() -> Option<PathBuf> {
    // What is not absolute is to be ignored, says the XDG specification.
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        absolute("LOCALAPPDATA")
    } else if cfg!(target_vendor = "apple") {
        absolute("HOME").map(|home| home.join("Library").join("Application Support"))
    } else {
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local").join("state")))
    };
    Some(base?.join("rustor"))
}

/// Where in `state_folder` the resume file is of the torrent with this info-hash, downloaded to `folder`.
pub fn resume_path(state_folder: &Path, info_hash: [u8; 20], folder: &Path) -> PathBuf {
    // The folder need not exist yet, so links in it cannot be resolved: then it would change its name on being created.
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let absolute: PathBuf = absolute.components().collect();
    let place: [u8; 20] = Sha1::digest(absolute.as_os_str().as_encoded_bytes()).into();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    state_folder.join(format!("{}-{}.resume", hex(&info_hash), hex(&place[..4])))
}

/// What an earlier session saved; `None` if there is nothing, nothing readable, or more than 64 MiB.
pub fn load(path: &Path) -> Option<Bytes> {
    let mut data = Vec::new();
    let count = File::open(path).ok()?.take(MOST + 1).read_to_end(&mut data).ok()?;
    (count as u64 <= MOST).then(|| data.into())
}

/// Replaces the file at `path` by `data`: after a crash at any moment there is either all of the old or all of the new content.
pub fn save(path: &Path, data: &[u8]) -> io::Result<()> {
    let temporary = temporary_for(path);
    let mut file = match create_private(&temporary) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create_private_folder(folder_of(path))?;
            create_private(&temporary)?
        }
        other => other?,
    };
    let written = file.write_all(data).and_then(|()| file.sync_all());
    drop(file);
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    // Some file systems cannot sync a folder. The rename was atomic all the same.
    #[cfg(unix)]
    let _ = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Removes the file at `path` and what an interrupted [`save`] left of it. No error if there is nothing.
pub fn remove(path: &Path) -> io::Result<()> {
    let _ = fs::remove_file(temporary_for(path));
    match fs::remove_file(path) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(error),
        _ => Ok(()),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Beside the file, because a rename does not cross file systems; always the same, so that crashes do not pile up rubbish.
fn temporary_for(path: &Path) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(".new");
    path.with_file_name(name)
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").join("b").join("torrent.resume");
        assert_eq!(load(&path), None);
        save(&path, b"a long first version").unwrap();
        save(&path, b"short").unwrap();
        assert_eq!(load(&path).as_deref(), Some(&b"short"[..]));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(load(&path), None);
    }

    #[test]
    fn a_crash_while_saving_leaves_the_old_version_and_does_not_hinder_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("torrent.resume");
        save(&path, b"old").unwrap();
        fs::write(temporary_for(&path), b"half of a much longer new vers").unwrap();
        assert_eq!(load(&path).as_deref(), Some(&b"old"[..]));
        save(&path, b"new").unwrap();
        assert_eq!(load(&path).as_deref(), Some(&b"new"[..]));
    }

    #[test]
    fn a_failed_save_leaves_no_rubbish() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in the way");
        fs::create_dir_all(path.join("full")).unwrap();
        assert!(save(&path, b"data").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_look() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rustor").join("torrent.resume");
        save(&path, b"data").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0, 0));
    }

    #[test]
    fn absurdly_long_files_are_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("torrent.resume");
        File::create(&path).unwrap().set_len(MOST + 1).unwrap();
        assert_eq!(load(&path), None);
    }

    #[test]
    fn a_name_says_which_torrent_and_which_folder() {
        let name = |hash, folder: &str| resume_path(Path::new("/state"), [hash; 20], Path::new(folder));
        assert_eq!(name(0xab, "/data"), name(0xab, "/data/./"));
        assert_eq!(name(0xab, "data"), name(0xab, env::current_dir().unwrap().join("data").to_str().unwrap()));
        assert_ne!(name(0xab, "/data"), name(0xab, "/date"));
        assert_ne!(name(0xab, "/data"), name(0xac, "/data"));
        let file = name(0xab, "/data").file_name().unwrap().to_str().unwrap().to_owned();
        assert!(file.starts_with(&format!("{}-", "ab".repeat(20))) && file.ends_with(".resume"), "{file}");
        assert_eq!(file.len(), 40 + 1 + 8 + ".resume".len());
    }
}
