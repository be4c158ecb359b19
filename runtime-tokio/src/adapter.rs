use std::{
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Instant,
};

use rustor_runtime::adapter::{Datagram, Listener, Runtime, Stream, Timer, socket};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::Handle,
    time::Sleep,
};

/// A running tokio runtime, with its I/O and time drivers enabled, as [`Runtime`].
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    handle: Handle,
}

impl TokioRuntime {
    /// The runtime that this is called on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[track_caller]
    pub fn current() -> TokioRuntime {
        TokioRuntime { handle: Handle::current() }
    }
}

impl From<Handle> for TokioRuntime {
    fn from(handle: Handle) -> TokioRuntime {
        TokioRuntime { handle }
    }
}

impl Runtime for TokioRuntime {
    type Stream = TokioStream;
    type Listener = TokioListener;
    type Datagram = TokioDatagram;
    type Timer = TokioTimer;

    async fn connect(&self, remote: SocketAddr) -> io::Result<TokioStream> {
        let stream = TcpStream::connect(remote).await?;
        stream.set_nodelay(true)?;
        Ok(TokioStream { stream })
    }

    fn listen(&self, local: SocketAddr) -> io::Result<TokioListener> {
        let _context = self.handle.enter();
        Ok(TokioListener { listener: TcpListener::from_std(socket::listener(local)?)? })
    }

    fn datagram(&self, socket: std::net::UdpSocket) -> io::Result<TokioDatagram> {
        let _context = self.handle.enter();
        Ok(TokioDatagram { socket: UdpSocket::from_std(socket)? })
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer { handle: self.handle.clone(), sleep: None }
    }

    async fn resolve(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(task));
    }

    fn yield_now(&self, context: &mut Context<'_>) {
        // Tokio's own yield, other than a plain wake-up, comes back only after the I/O driver has had its turn.
        let _ = pin!(tokio::task::yield_now()).poll(context);
    }
}

/// A TCP stream of tokio's.
#[derive(Debug)]
pub struct TokioStream {
    stream: TcpStream,
}

impl Stream for TokioStream {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }
}

/// A listening TCP socket of tokio's.
#[derive(Debug)]
pub struct TokioListener {
    listener: TcpListener,
}

impl Listener for TokioListener {
    type Stream = TokioStream;

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(TokioStream, SocketAddr)>> {
        let (stream, remote) = ready!(self.listener.poll_accept(context))?;
        stream.set_nodelay(true)?;
        Poll::Ready(Ok((TokioStream { stream }, remote)))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A UDP socket of tokio's.
#[derive(Debug)]
pub struct TokioDatagram {
    socket: UdpSocket,
}

impl Datagram for TokioDatagram {
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = ReadBuf::new(buffer);
        let remote = ready!(self.socket.poll_recv_from(context, &mut buffer))?;
        Poll::Ready(Ok((buffer.filled().len(), remote)))
    }

    fn poll_send(&mut self, context: &mut Context<'_>, payload: &[u8], remote: SocketAddr) -> Poll<io::Result<usize>> {
        self.socket.poll_send_to(context, payload, remote)
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// A timer of tokio's, exact to a millisecond.
#[derive(Debug)]
pub struct TokioTimer {
    handle: Handle,
    /// None until the first deadline.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer for TokioTimer {
    fn reset(&mut self, deadline: Instant) {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(deadline.into()),
            None => {
                let _context = self.handle.enter();
                self.sleep = Some(Box::pin(tokio::time::sleep_until(deadline.into())));
            }
        }
    }

    fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}
