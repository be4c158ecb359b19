//! Disk workers: threads that hash, write, read and look at the files of torrents, so that the engine's thread never waits for
//! a disk.
//!
//! [`DiskWorkers::submit`] takes the engine's [`Action::Disk`](rustor_core::action::Action::Disk) as it is, and the answer comes
//! through the function that the host gave. Several workers may be at one torrent, even at one file: nothing they do depends on
//! a file's cursor, and no lock is held while a file is read or written.
//!
//! What waits for the disk to have written things back, such as [`Stamp`](DiskOperation::Stamp), is done by a second crew of as many
//! threads: it may take seconds, and nobody else is to wait for it.
//!
//! What they do to a user's files, in short:
//!
//! - Nothing is created before the engine asks for it. A file gets its full length with its first byte; it takes room only for
//!   what was written, unless full allocation was asked for. (Windows takes room for all of it.)
//! - A file that is longer than the torrent says is cut when the torrent is prepared for downloading, or first written.
//! - Padding files are never created (BEP 47).
//! - Files that are not wanted are never created. What stored pieces hold of them is kept in a hidden part file in the download folder,
//!   which goes when nothing needs it any more; if such a file is wanted after all, its bytes are brought from there.
//!   A file that is there already is used, wanted or not.
//! - A file that somebody takes away or replaces while the torrent is open is missed: no new one is made in its place, and what is there
//!   instead is neither believed nor written to, until the torrent is opened again and looked at.
//! - Symbolic links inside the download folder are followed, since people spread their data over disks with them. No link is
//!   ever created, and names from a torrent cannot lead out of the folder.
//! - Deleting removes what the torrent names and the folders that this leaves empty, nothing else.
//!
//! ```
//! use bytes::Bytes;
//! use rustor_core::{id::{DiskJobId, TorrentId}, storage::{Allocation, DiskOperation, DiskOutput, Layout, LayoutFile}};
//! use rustor_runtime::disk::{DiskConfig, DiskWorkers};
//! use std::sync::{Arc, mpsc};
//!
//! let (answers, answered) = mpsc::channel();
//! let workers = DiskWorkers::start(DiskConfig::default(), Arc::new(move |job, result| {
//!     let _ = answers.send((job, result));
//! }))?;
//! let file = LayoutFile { path: vec!["no such file".into()], length: 1, padding: false };
//! let layout = Arc::new(Layout::new(vec![file], 16 << 10).expect("a piece length above zero"));
//! let (job, torrent) = (DiskJobId::from_bits(0), TorrentId::from_bits(0));
//! let parts = ".no such parts".into();
//! workers.submit(job, torrent, DiskOperation::Open { layout, folder: ".".into(), allocation: Allocation::Sparse, parts });
//! assert_eq!(answered.recv()?, (job, Ok(DiskOutput::Opened(vec![None]))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod durable;
pub(crate) mod fault;
mod files;
pub(crate) mod hash;
pub(crate) mod plain;
mod position;
mod presence;
mod queue;
mod segments;
pub(crate) mod storage;
#[cfg(test)]
mod tests;
pub(crate) mod torrent;

use fault::{DiskResult, misuse};
use hash::PieceHasher;
use queue::{Queue, Urgency};
use rustor_core::{
    error::DiskError,
    id::{DiskJobId, TorrentId},
    storage::{DiskOperation, DiskOutput},
};
use std::{
    any::Any,
    fmt, io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};
use storage::Storage;

/// How disk workers work.
#[derive(Clone, Copy, Debug)]
pub struct DiskConfig {
    /// How many threads, and as many again that wait for the disk to write things back. Default: as many as the machine has processors,
    /// between 1 and 4: more hash no faster than a network delivers, and queue up at the disk.
    pub threads: NonZeroUsize,
    /// Files that are kept open, of all torrents together. Default 256: a quarter of the file descriptors that a process
    /// may usually have.
    pub open_files: usize,
    /// The longest read that is served from reused memory. Default 256 KiB, the engine's own limit for one.
    pub read_buffer: usize,
    /// Buffers for reads that are kept for their next use, of each of three sizes. Default 32.
    pub kept_buffers: usize,
}

impl Default for DiskConfig {
    fn default() -> DiskConfig {
        let processors = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let most = const { NonZeroUsize::new(4).unwrap() };
        DiskConfig { threads: processors.min(most), open_files: 256, read_buffer: 256 << 10, kept_buffers: 32 }
    }
}

/// Takes the answer to a job, on a worker's thread. Must not wait for long: the worker waits with it.
pub type Complete = dyn Fn(DiskJobId, Result<DiskOutput, Box<DiskError>>) + Send + Sync;

/// Threads that work for the engine's disk jobs.
///
/// Each submitted job is answered exactly once, also if a worker panics over it and also at shutdown. Dropping the workers
/// waits until everything submitted is done and answered.
pub struct DiskWorkers {
    queue: Arc<Queue<Job>>,
    /// What waits for the disk.
    patient: Arc<Queue<Job>>,
    storage: Arc<Storage>,
    threads: Vec<JoinHandle<()>>,
}

struct Job {
    id: DiskJobId,
    torrent: TorrentId,
    operation: DiskOperation,
}

type Perform = dyn Fn(&mut PieceHasher, TorrentId, DiskOperation) -> DiskResult<DiskOutput> + Send + Sync;

impl DiskWorkers {
    /// Starts the threads. `complete` gets the answers. Fails if the system gives not a single thread.
    pub fn start(config: DiskConfig, complete: Arc<Complete>) -> io::Result<DiskWorkers> {
        DiskWorkers::with_storage(config, Arc::new(Storage::new(&config)), complete)
    }

    fn with_storage(config: DiskConfig, storage: Arc<Storage>, complete: Arc<Complete>) -> io::Result<DiskWorkers> {
        let performing = Arc::clone(&storage);
        let perform = move |hasher: &mut PieceHasher, torrent, operation| performing.perform(hasher, torrent, operation);
        DiskWorkers::start_with(config, storage, Arc::new(perform), complete)
    }

    fn start_with(config: DiskConfig, storage: Arc<Storage>, perform: Arc<Perform>, complete: Arc<Complete>) -> io::Result<DiskWorkers> {
        let [queue, patient] = [(); 2].map(|()| Arc::new(Queue::new()));
        // Made first: should a thread not start, these end what did.
        let mut workers = DiskWorkers { queue, patient, storage, threads: Vec::new() };
        for (name, queue) in [("disk", Arc::clone(&workers.queue)), ("disk-sync", Arc::clone(&workers.patient))] {
            for number in 0..config.threads.get() {
                let (queue, perform, complete) = (Arc::clone(&queue), Arc::clone(&perform), Arc::clone(&complete));
                let spawned = thread::Builder::new().name(format!("{name}-{number}")).spawn(move || work(&queue, &*perform, &*complete));
                match spawned {
                    Ok(thread) => workers.threads.push(thread),
                    Err(error) if number == 0 => return Err(error),
                    // Fewer do, too.
                    Err(_) => break,
                }
            }
        }
        Ok(workers)
    }

    /// Puts a job in. Its answer comes later, and may come before the answers of jobs that were put in earlier.
    pub fn submit(&self, job: DiskJobId, torrent: TorrentId, operation: DiskOperation) {
        let (queue, urgency) = match operation {
            DiskOperation::Read { .. } => (&self.queue, Urgency::Upload),
            DiskOperation::Verify { .. } => (&self.queue, Urgency::Background),
            DiskOperation::Stamp | DiskOperation::SaveResume { .. } => (&self.patient, Urgency::Normal),
            _ => (&self.queue, Urgency::Normal),
        };
        queue.push(urgency, Job { id: job, torrent, operation });
    }

    /// Says where the torrent's resume file is, before the engine's first job for it. Without a path, saving resume data does
    /// nothing, successfully.
    pub fn set_resume_file(&self, torrent: TorrentId, path: PathBuf) {
        self.storage.set_resume_file(torrent, path);
    }

    /// Waits until everything that was submitted is done and answered, and ends the threads. The same as dropping it.
    pub fn shut_down(self) {}
}

impl Drop for DiskWorkers {
    fn drop(&mut self) {
        self.queue.close();
        self.patient.close();
        for thread in self.threads.drain(..) {
            // Where the last handle is dropped inside `complete`, its thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl fmt::Debug for DiskWorkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskWorkers({} threads)", self.threads.len())
    }
}

/// Bytes that a user may still write where `path` is, or will be; `None` if the system does not say.
#[cfg(unix)]
pub fn free_space(path: &Path) -> Option<u64> {
    let path = std::path::absolute(path).ok()?;
    let system = path.ancestors().find_map(|ancestor| rustix::fs::statvfs(ancestor).ok())?;
    system.f_bavail.checked_mul(system.f_frsize)
}

/// Bytes that a user may still write where `path` is, or will be; `None` if the system does not say.
#[cfg(not(unix))]
pub fn free_space(_path: &Path) -> Option<u64> {
    None
}

fn work(queue: &Queue<Job>, perform: &Perform, complete: &Complete) {
    let mut hasher = PieceHasher::default();
    while let Some(Job { id, torrent, operation }) = queue.pop() {
        let result = catch_unwind(AssertUnwindSafe(|| perform(&mut hasher, torrent, operation))).unwrap_or_else(|panic| {
            hasher = PieceHasher::default();
            Err(misuse("disk worker", &format!("internal error: {}", words_of(&*panic))))
        });
        // A host that panics over an answer has had it; the other jobs still need this thread.
        let _ = catch_unwind(AssertUnwindSafe(|| complete(id, result)));
    }
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}
