//! What happened: the host tells the engine.

use crate::{
    error::{DiskError, HttpError, ResolveError, StreamError},
    id::{ConnectionId, DiskJobId, FetchId, HttpId, IncomingId, ResolveId},
    storage::DiskOutput,
};
use alloc::{boxed::Box, vec::Vec};
use bytes::Bytes;
use core::{net::SocketAddr, num::NonZeroU64};

/// Something that happened outside the engine.
///
/// Each action that starts something is answered by exactly one of these, in any order and after any delay;
/// answers for ids that are gone meanwhile do nothing.
#[derive(Clone, Debug)]
pub enum Input {
    /// [`Engine::next_deadline`](crate::engine::Engine::next_deadline) has passed. Harmless at any other time.
    Timeout,
    /// A listener of the host's is open at this address; its port is what trackers are told.
    Listening(SocketAddr),
    /// A listener took in a stream. Answered by [`Action::Accept`](crate::action::Action::Accept)
    /// or [`Action::Refuse`](crate::action::Action::Refuse).
    Incoming {
        /// The host's name for it.
        incoming: IncomingId,
        /// Who connected.
        remote: SocketAddr,
    },
    /// Answers [`Action::Connect`](crate::action::Action::Connect).
    Connected {
        /// Which connection.
        connection: ConnectionId,
        /// Whether the stream stands.
        result: Result<(), StreamError>,
    },
    /// Answers [`Action::Read`](crate::action::Action::Read).
    Read {
        /// Which connection.
        connection: ConnectionId,
        /// What came.
        result: Result<ReadBuffer, StreamError>,
    },
    /// Answers [`Action::Write`](crate::action::Action::Write): all of it was taken by the socket, or the stream is broken.
    Written {
        /// Which connection.
        connection: ConnectionId,
        /// Whether everything was taken.
        result: Result<(), StreamError>,
    },
    /// Answers [`Action::Disk`](crate::action::Action::Disk).
    Disk {
        /// Which job.
        job: DiskJobId,
        /// What came of it.
        result: Result<DiskOutput, Box<DiskError>>,
    },
    /// Answers [`Action::Http`](crate::action::Action::Http).
    Http {
        /// Which request.
        request: HttpId,
        /// What the server said, redirects followed, body decompressed.
        result: Result<HttpReply, HttpError>,
    },
    /// Answers [`Action::Fetch`](crate::action::Action::Fetch): the body, if there is one, waits to be read.
    FetchHead {
        /// Which download.
        fetch: FetchId,
        /// What the server said before the body. After an error the download is over.
        result: Result<FetchHead, HttpError>,
    },
    /// Answers [`Action::FetchRead`](crate::action::Action::FetchRead).
    FetchBody {
        /// Which download.
        fetch: FetchId,
        /// The next bytes; none at the end of the body. After that, or an error, the download is over. A body that ends before its
        /// announced length is an error.
        result: Result<ReadBuffer, HttpError>,
    },
    /// Answers [`Action::Resolve`](crate::action::Action::Resolve).
    Resolved {
        /// Which look-up.
        resolve: ResolveId,
        /// The host's addresses in the resolver's order.
        result: Result<Vec<SocketAddr>, ResolveError>,
    },
    /// A datagram came in on one of the host's sockets.
    Datagram {
        /// Where it says it came from.
        remote: SocketAddr,
        /// Its payload.
        payload: Bytes,
    },
    /// A datagram came in that somebody sent to a group of [`Action::Multicast`](crate::action::Action::Multicast). What was sent to
    /// this machine alone must not be passed on as one: it may come from anywhere.
    Multicast {
        /// Where it says it came from.
        remote: SocketAddr,
        /// Its payload.
        payload: Bytes,
    },
}

/// What one read brought.
#[derive(Clone, Debug)]
pub struct ReadBuffer {
    /// The bytes; empty at the end of the stream.
    pub data: Bytes,
    /// How many bytes of memory stay taken while any slice of `data` lives, at least `data.len()`.
    /// Budgets count this, because a slice pins its whole buffer.
    pub allocation: u32,
}

/// What an HTTP server says before a body that is fetched part by part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchHead {
    /// The status of the last answer, after redirects.
    pub status: u16,
    /// The length that the body is announced with, in bytes.
    pub length: Option<u64>,
    /// The part of the file that the body is, as the server says (`Content-Range`).
    pub range: Option<ByteRange>,
    /// The whole file's length as told with the part.
    pub total: Option<u64>,
    /// How many seconds to stay away (`Retry-After`).
    pub retry_after: Option<u32>,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Where it begins, in bytes from the file's start.
    pub start: u64,
    /// How many bytes it has; never zero.
    pub length: NonZeroU64,
}

/// What an HTTP server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReply {
    /// The status of the last answer, after redirects.
    pub status: u16,
    /// Its body, decompressed.
    pub body: Bytes,
}
