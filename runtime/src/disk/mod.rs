//! Stub.
use rustor_core::{
    error::DiskError,
    id::{DiskJobId, TorrentId},
    storage::{DiskOperation, DiskOutput},
};
use std::{path::PathBuf, sync::Arc};
/// Stub.
#[derive(Clone, Debug, Default)]
pub struct DiskConfig;
/// Stub.
pub struct DiskWorkers;
impl DiskWorkers {
    /// Stub.
    pub fn start(
        _: DiskConfig,
        _: Arc<dyn Fn(DiskJobId, Result<DiskOutput, Box<DiskError>>) + Send + Sync>,
    ) -> std::io::Result<DiskWorkers> {
        Ok(DiskWorkers)
    }
    /// Stub.
    pub fn stop(&mut self) {}
    /// Stub.
    pub fn submit(&self, _: DiskJobId, _: TorrentId, _: DiskOperation) {}
    /// Stub.
    pub fn set_resume_file(&self, _: TorrentId, _: PathBuf) {}
}
