//! A tracker's host: [`TrackerServer`] behind an HTTP port, and behind the UDP port of the same number.

use core::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};
use std::{
    fmt,
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant as Moment,
};

use rustor_core::{
    rng::Seed,
    time::Instant,
    tracker::{TrackerServer, TrackerServerConfig, TrackerServerTotals},
};

use crate::{
    adapter::{Datagram, Listener, Runtime},
    http::server::{Limits, Request, Response, serve},
};

/// Ports tried where any will do but TCP and UDP need the same.
const PORT_ATTEMPTS: usize = 16;
/// Datagrams answered before other tasks have their turn.
const BURST: usize = 64;
/// What a datagram is cut to: scrapes of as many torrents as are answered about fit, and all of an announce that counts.
const DATAGRAM_SIZE: usize = 2048;

/// A tracker. Clones share what it tracks, so that it can be served on any number of sockets.
#[derive(Clone)]
pub struct Tracker {
    server: Arc<Mutex<TrackerServer>>,
    /// Its time is counted from here.
    origin: Moment,
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker").field("totals", &self.lock().totals()).finish_non_exhaustive()
    }
}

impl Tracker {
    /// A tracker that tracks nothing yet and is not served anywhere.
    ///
    /// # Errors
    ///
    /// If the operating system gives no randomness.
    pub fn new(config: TrackerServerConfig) -> io::Result<Tracker> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Tracker { server: Arc::new(Mutex::new(TrackerServer::new(config, Seed(seed)))), origin: Moment::now() })
    }

    /// Answers requests over HTTP until `shutdown` is ready and those under way are answered.
    pub async fn serve_http<R: Runtime>(&self, runtime: &R, listener: R::Listener, shutdown: impl Future<Output = ()> + Send) {
        let tracker = self.clone();
        let handler = move |remote: SocketAddr, request: &Request| {
            let reply = tracker.lock().handle_http(tracker.now(), remote.ip(), &request.target);
            Response { status: reply.status, content_type: reply.content_type, body: reply.body.into() }
        };
        serve(runtime, listener, Limits::default(), handler, shutdown).await;
    }

    /// Answers datagrams (BEP 15) until `shutdown` is ready.
    pub async fn serve_udp<R: Runtime>(&self, runtime: &R, mut socket: R::Datagram, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = pin!(shutdown);
        let mut buffer = [0; DATAGRAM_SIZE];
        let mut answer: Option<(SocketAddr, Vec<u8>)> = None;
        poll_fn(|context| {
            if shutdown.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            for _ in 0..BURST {
                if let Some((to, payload)) = &answer {
                    // Whatever error it is: the answer is lost, as datagrams may be, and the client asks again.
                    if socket.poll_send(context, payload, *to).is_pending() {
                        return Poll::Pending;
                    }
                    answer = None;
                }
                match socket.poll_receive(context, &mut buffer) {
                    Poll::Ready(Ok((length, from))) => {
                        let datagram = buffer.get(..length).unwrap_or_default();
                        answer = self.lock().handle_udp(self.now(), from, datagram).map(|payload| (from, payload));
                    }
                    // "Port unreachable" and the like, about an earlier answer.
                    Poll::Ready(Err(_)) => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
            runtime.yield_now(context);
            Poll::Pending
        })
        .await;
    }

    /// How much is tracked now.
    pub fn totals(&self) -> TrackerServerTotals {
        let mut server = self.lock();
        server.expire(self.now());
        server.totals()
    }

    fn lock(&self) -> MutexGuard<'_, TrackerServer> {
        // Whatever panicked under it: who is tracked stays tracked.
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }
}

/// The two sockets of a tracker at `local`, for HTTP and for UDP, on one port; with port 0, one that is free for both.
pub fn open<R: Runtime>(runtime: &R, local: SocketAddr) -> io::Result<(R::Listener, R::Datagram)> {
    let mut attempt = 1;
    loop {
        let listener = runtime.listen(local)?;
        match runtime.bind(SocketAddr::new(local.ip(), listener.local_address()?.port())) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && local.port() == 0 && attempt < PORT_ATTEMPTS => attempt += 1,
            bound => return bound.map(|socket| (listener, socket)),
        }
    }
}
