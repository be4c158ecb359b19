//! Storage: pieces as spans of files, the jobs that disk workers do, and the memory that blocks may take.

mod job;
mod layout;
mod parts;

pub use job::{Allocation, Digest, DiskOperation, DiskOutput, FileStamp, Fingerprint, Kept};
pub use layout::{Layout, LayoutFile, Span};
pub use parts::Parts;
