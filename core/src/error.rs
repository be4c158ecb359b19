//! Errors, grouped by who is to blame: the network, the disk, the HTTP server, the caller.
//!
//! What is wrong with a torrent file is in [`metainfo`](crate::metainfo), what is wrong with a peer's bytes in
//! [`wire`](crate::wire) and [`peer`](crate::peer), what is wrong with a tracker's answer in [`tracker`](crate::tracker).

use alloc::string::String;
use core::fmt;

/// Why a stream could not be opened or is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamError {
    /// Nobody listens there.
    Refused,
    /// No way leads there.
    Unreachable,
    /// The other side, or something on the way, reset it.
    Reset,
    /// The operating system gave up waiting.
    TimedOut,
    /// No file descriptor, port or memory was left on our side.
    OutOfResources,
    /// Anything else.
    Other,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StreamError::Refused => "connection refused",
            StreamError::Unreachable => "host unreachable",
            StreamError::Reset => "connection reset",
            StreamError::TimedOut => "timed out",
            StreamError::OutOfResources => "out of sockets or memory",
            StreamError::Other => "connection broken",
        })
    }
}

impl core::error::Error for StreamError {}

/// What the disk did not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// What kind of fault, as far as it changes what to do.
    pub kind: DiskErrorKind,
    /// The file or folder at fault, as the host names it.
    pub path: String,
    /// The operating system's words.
    pub message: String,
}

/// The faults of a disk that are worth telling apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskErrorKind {
    /// No space, or no quota, is left.
    Full,
    /// A file or folder may not be read or written.
    PermissionDenied,
    /// A file is missing, shorter than it must be, or not the one that was there before.
    Missing,
    /// A file stands where a folder must be, or the other way round.
    WrongKind,
    /// The device failed, or anything else.
    Other,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DiskErrorKind::Full => write!(f, "no space left for {}", self.path),
            DiskErrorKind::PermissionDenied => write!(f, "permission denied: {}", self.path),
            DiskErrorKind::Missing => write!(f, "missing, too short or replaced: {}", self.path),
            DiskErrorKind::WrongKind => write!(f, "{}: {}", self.path, self.message),
            DiskErrorKind::Other => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

impl core::error::Error for DiskError {}

/// Why an HTTP request brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The server has no address of the family that was asked for (BEP 7: skip the family).
    NoAddress,
    /// Anything else, in words for people.
    Failed(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HttpError::NoAddress => f.write_str("the server has no address of this family"),
            HttpError::Failed(message) => f.write_str(message),
        }
    }
}

impl core::error::Error for HttpError {}

/// Why a name has no address, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveError(pub String);

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for ResolveError {}
