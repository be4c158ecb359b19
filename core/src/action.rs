//! What the host must do now.

use crate::{
    id::{ConnectionId, DiskJobId, FetchId, HttpId, IncomingId, ResolveId, TorrentId},
    input::ByteRange,
    storage::DiskOperation,
};
use alloc::{string::String, vec::Vec};
use bytes::Bytes;
use core::net::SocketAddr;

/// Something that the host must do, in the order of [`Engine::poll_action`](crate::engine::Engine::poll_action).
#[derive(Clone, Debug)]
pub enum Action {
    /// Open a TCP stream. Answered by [`Input::Connected`](crate::input::Input::Connected).
    Connect {
        /// The new connection's id.
        connection: ConnectionId,
        /// Where to.
        remote: SocketAddr,
    },
    /// Adopt a stream that was announced by [`Input::Incoming`](crate::input::Input::Incoming). Not answered.
    Accept {
        /// The host's name for the stream.
        incoming: IncomingId,
        /// The engine's name for it from now on.
        connection: ConnectionId,
    },
    /// Drop a stream that was announced by [`Input::Incoming`](crate::input::Input::Incoming). Not answered.
    Refuse {
        /// The host's name for the stream.
        incoming: IncomingId,
    },
    /// Read once, as soon as there is something. Answered by [`Input::Read`](crate::input::Input::Read).
    /// At most one is under way for a connection.
    Read {
        /// Which connection.
        connection: ConnectionId,
        /// At most this many bytes: how rate limits and back-pressure reach the socket. Never zero.
        limit: u32,
    },
    /// Write all buffers, in order. Answered by [`Input::Written`](crate::input::Input::Written).
    /// At most one is under way for a connection.
    Write {
        /// Which connection.
        connection: ConnectionId,
        /// What to write; never empty.
        buffers: Vec<Bytes>,
    },
    /// Close the stream at once, or stop opening it. Not answered itself; what was under way on the connection may still
    /// be answered, or not.
    Close {
        /// Which connection.
        connection: ConnectionId,
    },
    /// Work for a disk worker. Answered by [`Input::Disk`](crate::input::Input::Disk). Jobs may run side by side and end in any
    /// order: the engine itself waits where order matters.
    Disk {
        /// The job's id.
        job: DiskJobId,
        /// Whose storage.
        torrent: TorrentId,
        /// What to do.
        operation: DiskOperation,
    },
    /// GET a URL. Answered by [`Input::Http`](crate::input::Input::Http).
    Http {
        /// The request's id.
        request: HttpId,
        /// `http:` or `https:`.
        url: String,
        /// Which addresses of the server may be used (BEP 7).
        family: Option<AddressFamily>,
        /// Give up on bodies longer than this many bytes, after decompression.
        body_limit: u32,
        /// Give up after this many milliseconds, name look-up included.
        timeout_millis: u32,
    },
    /// GET a part of a file, redirects followed, without unpacking anything, and without a limit in time: the engine gives up by itself.
    /// Answered by [`Input::FetchHead`](crate::input::Input::FetchHead); the body then waits to be read.
    Fetch {
        /// The download's id.
        fetch: FetchId,
        /// `http:` or `https:`.
        url: String,
        /// The part to ask for.
        range: ByteRange,
    },
    /// Read once of the body, as soon as there is something. Answered by [`Input::FetchBody`](crate::input::Input::FetchBody).
    /// At most one is under way for a download.
    FetchRead {
        /// Which download.
        fetch: FetchId,
        /// At most this many bytes: how rate limits and back-pressure reach the socket. Never zero.
        limit: u32,
    },
    /// Give a download up and close its connection. Not answered itself; what was under way may still be answered, or not. Means nothing
    /// where the download has just ended by itself: with an error, or with the end of its body.
    FetchCancel {
        /// Which download.
        fetch: FetchId,
    },
    /// Look a name up. Answered by [`Input::Resolved`](crate::input::Input::Resolved).
    Resolve {
        /// The look-up's id.
        resolve: ResolveId,
        /// A domain name or an address in text form.
        host: String,
        /// The port that the addresses are to carry.
        port: u16,
    },
    /// Send a datagram from the socket of the address's family, best effort. Not answered.
    SendDatagram {
        /// Where to.
        remote: SocketAddr,
        /// Its payload.
        payload: Bytes,
    },
    /// Send a datagram to a multicast group, in each network that this machine is part of, with a TTL above 1, best effort. Not
    /// answered. The first for a group joins it: from then on, what comes there is
    /// [`Input::Multicast`](crate::input::Input::Multicast).
    Multicast {
        /// The group, and the port that all its members share.
        group: SocketAddr,
        /// Its payload.
        payload: Bytes,
    },
}

/// One of the two families of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl AddressFamily {
    /// The family of `address`.
    pub fn of(address: &SocketAddr) -> AddressFamily {
        if address.is_ipv4() { AddressFamily::V4 } else { AddressFamily::V6 }
    }
}
