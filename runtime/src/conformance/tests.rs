//! The scenarios over the smallest runtime there is: a reactor for the sockets, a thread for each task.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::Instant;

use async_io::Async;

use crate::adapter::{self, Runtime, socket};

fn run<F: Future<Output = ()>>(scenario: impl FnOnce(Threads) -> F) {
    async_io::block_on(scenario(Threads));
}

crate::conformance!(run);

#[derive(Clone)]
struct Threads;

impl Runtime for Threads {
    type Stream = Stream;
    type Listener = Listener;
    type Datagram = Datagram;
    type Timer = Timer;

    async fn connect(&self, remote: SocketAddr) -> io::Result<Stream> {
        let stream = Async::<TcpStream>::connect(remote).await?;
        stream.get_ref().set_nodelay(true)?;
        Ok(Stream(stream))
    }

    fn listen(&self, local: SocketAddr) -> io::Result<Listener> {
        Ok(Listener(Async::new(socket::listener(local)?)?))
    }

    fn datagram(&self, socket: UdpSocket) -> io::Result<Datagram> {
        Ok(Datagram(Async::new(socket)?))
    }

    fn timer(&self) -> Timer {
        Timer { deadline: None, timer: async_io::Timer::never() }
    }

    async fn resolve(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok((host.as_str(), port).to_socket_addrs()?.collect())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        thread::spawn(|| async_io::block_on(task));
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

struct Stream(Async<TcpStream>);

impl adapter::Stream for Stream {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        attempt(|| self.0.get_ref().read(buffer), || self.0.poll_readable(context))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        attempt(|| self.0.get_ref().write_vectored(buffers), || self.0.poll_writable(context))
    }

    fn poll_shutdown(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get_ref().shutdown(Shutdown::Write))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }
}

struct Listener(Async<TcpListener>);

impl adapter::Listener for Listener {
    type Stream = Stream;

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        let accepted = attempt(|| self.0.get_ref().accept(), || self.0.poll_readable(context));
        let (stream, remote) = ready!(accepted)?;
        stream.set_nodelay(true)?;
        Poll::Ready(Ok((Stream(Async::new(stream)?), remote)))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }
}

struct Datagram(Async<UdpSocket>);

impl adapter::Datagram for Datagram {
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        attempt(|| self.0.get_ref().recv_from(buffer), || self.0.poll_readable(context))
    }

    fn poll_send(&mut self, context: &mut Context<'_>, payload: &[u8], remote: SocketAddr) -> Poll<io::Result<usize>> {
        attempt(|| self.0.get_ref().send_to(payload, remote), || self.0.poll_writable(context))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }
}

struct Timer {
    deadline: Option<Instant>,
    timer: async_io::Timer,
}

impl adapter::Timer for Timer {
    fn reset(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
        self.timer.set_at(deadline);
    }

    fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.deadline {
            None => Poll::Pending,
            Some(deadline) if deadline <= Instant::now() => Poll::Ready(()),
            Some(_) => Pin::new(&mut self.timer).poll(context).map(|_| ()),
        }
    }
}
