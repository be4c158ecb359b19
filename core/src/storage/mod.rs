//! Storage: pieces as spans of files, the jobs that disk workers do, and the memory that blocks may take.

mod job;
mod layout;

pub use job::{Allocation, Digest, DiskOperation, DiskOutput, FileStamp, Fingerprint};
pub use layout::{Layout, LayoutFile, Span};
