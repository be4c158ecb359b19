use std::{
    future::Future,
    io::{self, IoSlice},
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use rustor_runtime::adapter::{Listener, Runtime, Stream, Timer};
use rustor_tokio::{TokioDatagram, TokioListener, TokioRuntime, TokioStream, TokioTimer};

/// The most that goes out in one write: small enough for all streams to get their turns.
const PORTION: usize = 16 << 10;

/// Tokio on a machine whose link to the world is slow in one direction: all its streams together send so many bytes a second.
#[derive(Clone, Debug)]
pub(super) struct SlowUplink {
    runtime: TokioRuntime,
    link: Arc<Link>,
}

#[derive(Debug)]
struct Link {
    bytes_per_second: u64,
    free_from: Mutex<Instant>,
}

impl SlowUplink {
    pub(super) fn new(runtime: TokioRuntime, bytes_per_second: u64) -> SlowUplink {
        let link = Link { bytes_per_second: bytes_per_second.max(1), free_from: Mutex::new(Instant::now()) };
        SlowUplink { runtime, link: Arc::new(link) }
    }

    fn stream(&self, stream: TokioStream) -> SlowStream {
        SlowStream { stream, link: self.link.clone(), timer: self.runtime.timer() }
    }
}

impl Runtime for SlowUplink {
    type Stream = SlowStream;
    type Listener = SlowListener;
    type Datagram = TokioDatagram;
    type Timer = TokioTimer;

    async fn connect(&self, remote: SocketAddr) -> io::Result<SlowStream> {
        Ok(self.stream(self.runtime.connect(remote).await?))
    }

    fn listen(&self, local: SocketAddr) -> io::Result<SlowListener> {
        Ok(SlowListener { listener: self.runtime.listen(local)?, uplink: self.clone() })
    }

    fn datagram(&self, socket: UdpSocket) -> io::Result<TokioDatagram> {
        self.runtime.datagram(socket)
    }

    fn timer(&self) -> TokioTimer {
        self.runtime.timer()
    }

    fn resolve(&self, host: String, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        let runtime = self.runtime.clone();
        async move { runtime.resolve(host, port).await }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }
}

/// A listener behind a slow uplink.
pub(super) struct SlowListener {
    listener: TokioListener,
    uplink: SlowUplink,
}

impl Listener for SlowListener {
    type Stream = SlowStream;

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(SlowStream, SocketAddr)>> {
        let (stream, remote) = ready!(self.listener.poll_accept(context))?;
        Poll::Ready(Ok((self.uplink.stream(stream), remote)))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_address()
    }
}

/// A stream behind a slow uplink.
pub(super) struct SlowStream {
    stream: TokioStream,
    link: Arc<Link>,
    timer: TokioTimer,
}

impl Stream for SlowStream {
    fn poll_read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_read(context, buffer)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Some(first) = buffers.iter().find(|buffer| !buffer.is_empty()) else { return Poll::Ready(Ok(0)) };
        loop {
            let free_from = *self.link.free_from.lock().unwrap_or_else(PoisonError::into_inner);
            if free_from <= Instant::now() {
                break;
            }
            self.timer.reset(free_from);
            ready!(self.timer.poll_expired(context));
        }
        let portion = &first[..first.len().min(PORTION)];
        let written = ready!(self.stream.poll_write(context, &[IoSlice::new(portion)]))?;
        let time = Duration::from_nanos((written as u64).saturating_mul(1_000_000_000) / self.link.bytes_per_second);
        let mut free_from = self.link.free_from.lock().unwrap_or_else(PoisonError::into_inner);
        // Timers are late by up to a millisecond: what the link could have sent meanwhile is made up for.
        let now = Instant::now();
        *free_from = (*free_from).max(now.checked_sub(Duration::from_millis(5)).unwrap_or(now)) + time;
        Poll::Ready(Ok(written))
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(context)
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_address()
    }
}
