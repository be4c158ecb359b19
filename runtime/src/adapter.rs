//! The seam between this crate and a runtime: sockets, timers, name look-ups and tasks.
//!
//! Everything above this seam (the host loop, HTTP, TLS) is written once. An adapter crate implements [`Runtime`] and
//! the four small traits it names, and nothing else. The traits are poll-based rather than `async fn`s because the host
//! loop polls thousands of sockets from one task and must not allocate a future for each read.
//!
//! The rules that all `poll_` methods share:
//!
//! - `Poll::Pending` means that the context's waker will be woken once trying again may help. Only the context of the
//!   latest call counts, separately for each method.
//! - No method blocks the calling thread.
//! - Dropping a socket closes it; dropping a future of [`Runtime::connect`] or [`Runtime::resolve`] abandons it.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};

pub(crate) mod multicast;
pub mod socket;

/// What a runtime must offer. An adapter crate implements this and nothing else.
///
/// A value is a cheap handle: clones share the runtime they stand for.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A connected TCP stream.
    type Stream: Stream;
    /// A listening TCP socket.
    type Listener: Listener<Stream = Self::Stream>;
    /// A bound UDP socket.
    type Datagram: Datagram;
    /// A timer that can be set again and again.
    type Timer: Timer;

    /// Connects to `remote` with `TCP_NODELAY` set on the resulting stream.
    ///
    /// There is no time-out but the operating system's: a caller that wants one races this against a [`Timer`].
    fn connect(&self, remote: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Listens on `local`; port 0 lets the operating system choose. Accepted streams have `TCP_NODELAY` set.
    ///
    /// Adapters build on [`socket::listener`], so that address reuse and IPv6 behave the same everywhere.
    fn listen(&self, local: SocketAddr) -> io::Result<Self::Listener>;

    /// Takes over a UDP socket that never blocks.
    fn datagram(&self, socket: UdpSocket) -> io::Result<Self::Datagram>;

    /// Binds a UDP socket to `local`; port 0 lets the operating system choose.
    fn bind(&self, local: SocketAddr) -> io::Result<Self::Datagram> {
        self.datagram(socket::datagram(local)?)
    }

    /// Makes a timer that is not set yet.
    fn timer(&self) -> Self::Timer;

    /// Looks up the addresses of `host`, each with `port`, in the order in which to try them.
    ///
    /// A host that is an address in text form resolves to itself. An empty answer counts as a failed look-up for callers.
    fn resolve(&self, host: String, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Runs `task` in the background until it is done. The runtime may drop it unfinished when it shuts down.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Has the task of `context` polled again, after other tasks and, where the runtime can tell, pending I/O had their turn.
    fn yield_now(&self, context: &mut Context<'_>) {
        context.waker().wake_by_ref();
    }
}

/// A connected TCP stream, readable and writable at the same time.
pub trait Stream: Send + Unpin + 'static {
    /// Reads up to `buffer.len()` bytes and returns how many; 0 is the end of the stream (for a `buffer` that is not empty).
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes a prefix of `buffers`, in order, in one vectored write, and returns its length in bytes.
    fn poll_write(&mut self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Ends the write side; reading goes on. What was written before is still delivered.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The address of this end.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// A listening TCP socket.
pub trait Listener: Send + Unpin + 'static {
    /// What it accepts.
    type Stream: Stream;

    /// Accepts one connection and returns it with the address of its other end.
    ///
    /// Errors that concern only the connection (`ConnectionAborted`) may be returned too: the listener stays usable.
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Self::Stream, SocketAddr)>>;

    /// The address listened on, with the port that the operating system chose.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// A bound UDP socket.
pub trait Datagram: Send + Unpin + 'static {
    /// Receives one datagram: its length, cut to `buffer.len()`, and its sender.
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>>;

    /// Sends `payload` as one datagram and returns its length in bytes.
    fn poll_send(&mut self, context: &mut Context<'_>, payload: &[u8], remote: SocketAddr) -> Poll<io::Result<usize>>;

    /// The address bound to, with the port that the operating system chose.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// A timer that can be set again and again.
pub trait Timer: Send + Unpin + 'static {
    /// Sets the timer to expire at `deadline`, in place of any deadline it had.
    ///
    /// This wakes nobody by itself: call [`poll_expired`](Timer::poll_expired) afterwards.
    fn reset(&mut self, deadline: Instant);

    /// Ready once the deadline has passed, and at every further call until the next [`reset`](Timer::reset).
    /// A timer that was never set never expires.
    fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// A [`Stream`] behind the `futures-io` traits, for libraries that speak those.
#[derive(Debug)]
pub struct FuturesStream<S>(pub S);

impl<S: Stream> AsyncRead for FuturesStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(context, buffer)
    }
}

impl<S: Stream> AsyncWrite for FuturesStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.0.poll_write(context, buffers)
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket has no buffer of ours to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(context)
    }
}
