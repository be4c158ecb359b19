//! Stub.
use rustor_core::metainfo::InfoHash;
use std::path::{Path, PathBuf};
/// Stub.
pub fn state_folder() -> Option<PathBuf> {
    None
}
/// Stub.
pub fn resume_path(folder: &Path, _: InfoHash, _: &Path) -> PathBuf {
    folder.into()
}
/// Stub.
pub fn load(_: &Path) -> Option<bytes::Bytes> {
    None
}
