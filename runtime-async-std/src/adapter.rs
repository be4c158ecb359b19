use std::{
    future::Future,
    io::{self, IoSlice, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use async_io::Async;
use blocking::unblock;
use rustor_runtime::adapter::{Datagram, Listener, Runtime, Stream, Timer, socket};

/// What runs tasks.
///
/// Sockets, timers and name look-ups need no executor, so this is all that an adapter for a further one has to say.
pub trait Executor: Clone + Send + Sync + 'static {
    /// Runs `task` in the background until it is done.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);
}

/// Sockets and timers of `async-io`, which async-std and smol share, and the tasks of an executor, as [`Runtime`].
///
/// Needs nothing to be running: the reactor behind the sockets starts with the first of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncIo<E>(pub E);

impl<E: Executor> Runtime for AsyncIo<E> {
    type Stream = AsyncIoStream;
    type Listener = AsyncIoListener;
    type Datagram = AsyncIoDatagram;
    type Timer = AsyncIoTimer;

    async fn connect(&self, remote: SocketAddr) -> io::Result<AsyncIoStream> {
        AsyncIoStream::new(Async::<TcpStream>::connect(remote).await?)
    }

    fn listen(&self, local: SocketAddr) -> io::Result<AsyncIoListener> {
        Ok(AsyncIoListener { listener: Async::new_nonblocking(socket::listener(local)?)? })
    }

    fn datagram(&self, socket: UdpSocket) -> io::Result<AsyncIoDatagram> {
        Ok(AsyncIoDatagram { socket: Async::new_nonblocking(socket)? })
    }

    fn timer(&self) -> AsyncIoTimer {
        AsyncIoTimer { deadline: None, timer: async_io::Timer::never() }
    }

    async fn resolve(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        unblock(move || Ok((host, port).to_socket_addrs()?.collect())).await
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }
}

/// A TCP stream on `async-io`.
#[derive(Debug)]
pub struct AsyncIoStream {
    stream: Async<TcpStream>,
}

impl AsyncIoStream {
    fn new(stream: Async<TcpStream>) -> io::Result<AsyncIoStream> {
        stream.get_ref().set_nodelay(true)?;
        Ok(AsyncIoStream { stream })
    }
}

impl Stream for AsyncIoStream {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        attempt(|| self.stream.get_ref().read(buffer), || self.stream.poll_readable(context))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        attempt(|| self.stream.get_ref().write_vectored(buffers), || self.stream.poll_writable(context))
    }

    fn poll_shutdown(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.get_ref().shutdown(Shutdown::Write))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().local_addr()
    }
}

/// A listening TCP socket on `async-io`.
#[derive(Debug)]
pub struct AsyncIoListener {
    listener: Async<TcpListener>,
}

impl Listener for AsyncIoListener {
    type Stream = AsyncIoStream;

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(AsyncIoStream, SocketAddr)>> {
        let accepted = attempt(|| self.listener.get_ref().accept(), || self.listener.poll_readable(context));
        let (stream, remote) = ready!(accepted)?;
        Poll::Ready(Ok((AsyncIoStream::new(Async::new(stream)?)?, remote)))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.get_ref().local_addr()
    }
}

/// A UDP socket on `async-io`.
#[derive(Debug)]
pub struct AsyncIoDatagram {
    socket: Async<UdpSocket>,
}

impl Datagram for AsyncIoDatagram {
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        attempt(|| self.socket.get_ref().recv_from(buffer), || self.socket.poll_readable(context))
    }

    fn poll_send(&mut self, context: &mut Context<'_>, payload: &[u8], remote: SocketAddr) -> Poll<io::Result<usize>> {
        attempt(|| self.socket.get_ref().send_to(payload, remote), || self.socket.poll_writable(context))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }
}

/// Tries until it is done or would block, and then asks to be woken.
fn attempt<T>(mut operation: impl FnMut() -> io::Result<T>, mut poll_ready: impl FnMut() -> Poll<io::Result<()>>) -> Poll<io::Result<T>> {
    loop {
        match operation() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(poll_ready())?,
            result => return Poll::Ready(result),
        }
    }
}

/// A timer of `async-io`'s.
#[derive(Debug)]
pub struct AsyncIoTimer {
    /// None until it is set for the first time.
    deadline: Option<Instant>,
    timer: async_io::Timer,
}

impl Timer for AsyncIoTimer {
    fn reset(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
        self.timer.set_at(deadline);
    }

    fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.deadline {
            // The timer itself would expire only once.
            Some(deadline) if deadline <= Instant::now() => Poll::Ready(()),
            Some(_) => Pin::new(&mut self.timer).poll(context).map(|_| ()),
            None => Poll::Pending,
        }
    }
}
