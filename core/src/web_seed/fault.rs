use crate::error::HttpError;
use core::fmt;

/// What a web seed did wrong. The server is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebSeedFault {
    /// It cannot be reached, or the connection to it broke.
    Unreachable(HttpError),
    /// It answered with this status.
    Status(u16),
    /// It has too much to do (status 503 or 429).
    Busy,
    /// It sent another part of the file than the one asked for.
    WrongRange,
    /// Its file is shorter or longer than the torrent's.
    WrongLength,
    /// The body ended before its time.
    Truncated,
    /// It sends whole files only, and too little of them is missing.
    IgnoresRanges,
    /// It said nothing for too long.
    Silent,
    /// What it sent does not fit the torrent's hashes.
    BadData,
}

impl fmt::Display for WebSeedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WebSeedFault::Unreachable(error) => error.fmt(f),
            WebSeedFault::Status(404 | 410) => f.write_str("the server does not have the file"),
            WebSeedFault::Status(401 | 403) => f.write_str("the server does not give the file out"),
            WebSeedFault::Status(416) => f.write_str("the server's file is shorter than the torrent's"),
            WebSeedFault::Status(status) => write!(f, "the server answered with status {status}"),
            WebSeedFault::Busy => f.write_str("the server is busy"),
            WebSeedFault::WrongRange => f.write_str("the server sent another part of the file than the one asked for"),
            WebSeedFault::WrongLength => f.write_str("the server's file has another length than the torrent's"),
            WebSeedFault::Truncated => f.write_str("the server closed the connection before the end of its answer"),
            WebSeedFault::IgnoresRanges => f.write_str("the server sends whole files only, and little of them is missing"),
            WebSeedFault::Silent => f.write_str("the server said nothing for too long"),
            WebSeedFault::BadData => f.write_str("the server's file does not fit the torrent's hashes"),
        }
    }
}

impl core::error::Error for WebSeedFault {}
