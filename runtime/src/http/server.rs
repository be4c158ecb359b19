//! A small HTTP/1.1 server: GET and HEAD, short answers, strict limits. Enough for a tracker.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

pub use super::incoming::{Method, Request, RequestError, RequestReader};
use super::permits::{Permit, Permits};
use super::{ahead, unless_expired};
use crate::adapter::{Listener, Runtime, Stream, Timer};

/// How long to wait after the operating system refused to accept, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What clients may ask of a server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time; more wait in the operating system's queue. 1024 unless changed.
    pub maximum_connections: usize,
    /// The largest request line and headers together, in bytes. 8 KiB unless changed.
    pub maximum_head: usize,
    /// How long a request may take to arrive once begun, and its answer to be taken. 10 s unless changed.
    pub request_timeout: Duration,
    /// How long a connection may be silent between requests, and before the first. 15 s unless changed.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            maximum_connections: 1024,
            maximum_head: 8 * 1024,
            request_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(15),
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code, for example 200.
    pub status: u16,
    /// The value of `Content-Type`, for example `text/plain`.
    pub content_type: &'static str,
    /// The body. A HEAD request gets its length only.
    pub body: Bytes,
}

impl Response {
    /// An answer in plain text.
    pub fn text(status: u16, text: impl Into<Bytes>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: text.into() }
    }
}

/// Accepts connections from `listener` and has `handler` answer their requests until `shutdown` is ready.
///
/// `handler` is called for one request at a time and holds up all others, so it must not wait for anything. After
/// `shutdown`, connections without a request under way are closed at once, the others have one request time-out to finish.
pub async fn serve<R, H>(runtime: &R, mut listener: R::Listener, limits: Limits, handler: H, shutdown: impl Future<Output = ()> + Send)
where
    R: Runtime,
    H: FnMut(SocketAddr, &Request) -> Response + Send + 'static,
{
    let mut shutdown = pin!(shutdown);
    let handler = Arc::new(Mutex::new(handler));
    let permits = Permits::new(limits.maximum_connections);
    let mut timer = runtime.timer();
    let mut is_paused = false;
    loop {
        let accepted = poll_fn(|context| {
            if shutdown.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            if is_paused && timer.poll_expired(context).is_pending() {
                return Poll::Pending;
            }
            is_paused = false;
            if !permits.poll_available(context) {
                return Poll::Pending;
            }
            listener.poll_accept(context).map(Some)
        });
        match accepted.await {
            None => break,
            Some(Ok((stream, remote))) => {
                let connection = Connection { limits: limits.clone(), handler: handler.clone(), remote, permit: permits.take() };
                runtime.spawn(connection.run(stream, runtime.timer()));
            }
            Some(Err(error)) => {
                let concerns_one_connection =
                    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted);
                if !concerns_one_connection {
                    is_paused = true;
                    timer.reset(ahead(ACCEPT_PAUSE));
                }
            }
        }
    }
    drop(listener);
    permits.stop();
    timer.reset(ahead(limits.request_timeout));
    // Whoever is not done by now does not get to hold up the shutdown.
    let _ = unless_expired(&mut timer, permits.all_returned()).await;
}

/// Sends `response` with one vectored write where the socket takes it all.
///
/// `keep_alive` tells the client whether it may send another request; closing the connection is left to the caller.
pub async fn write_response<S: Stream>(stream: &mut S, method: Method, response: &Response, keep_alive: bool) -> io::Result<()> {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let allow = if response.status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Connection: {connection}\r\n\r\n",
        response.status,
        reason(response.status),
        response.content_type,
        response.body.len(),
    );
    let mut head = head.as_bytes();
    let mut body: &[u8] = if method == Method::Head { &[] } else { &response.body };
    while !head.is_empty() || !body.is_empty() {
        let written = poll_fn(|context| stream.poll_write(context, &[IoSlice::new(head), IoSlice::new(body)])).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let of_head = written.min(head.len());
        head = head.get(of_head..).unwrap_or_default();
        body = body.get(written - of_head..).unwrap_or_default();
    }
    Ok(())
}

struct Connection<H> {
    limits: Limits,
    handler: Arc<Mutex<H>>,
    remote: SocketAddr,
    permit: Permit,
}

impl<H: FnMut(SocketAddr, &Request) -> Response> Connection<H> {
    async fn run<S: Stream, T: Timer>(self, stream: S, mut timer: T) {
        let mut reader = RequestReader::new(stream, self.limits.maximum_head);
        loop {
            timer.reset(ahead(self.limits.idle_timeout));
            if !self.begins(&mut reader, &mut timer).await {
                return;
            }
            timer.reset(ahead(self.limits.request_timeout));
            let Some(exchanged) = unless_expired(&mut timer, self.exchange(&mut reader)).await else { return };
            match exchanged {
                Ok(Next::KeepAlive) => {}
                Ok(Next::Close) => {
                    let _ = unless_expired(&mut timer, close(reader)).await;
                    return;
                }
                // A client that went away needs no answer.
                Err(_) => return,
            }
            yield_now().await;
        }
    }

    /// Waits for the first bytes of a request; `false` where none should be waited for any longer.
    async fn begins<S: Stream, T: Timer>(&self, reader: &mut RequestReader<S>, timer: &mut T) -> bool {
        poll_fn(|context| {
            if reader.has_unread() {
                return Poll::Ready(true);
            }
            if self.permit.poll_stopping(context) || timer.poll_expired(context).is_ready() {
                return Poll::Ready(false);
            }
            reader.poll_fill(context).map(|read| read.is_ok_and(|length| length > 0))
        })
        .await
    }

    async fn exchange<S: Stream>(&self, reader: &mut RequestReader<S>) -> io::Result<Next> {
        let (method, response, keep_alive) = match reader.next().await {
            Ok(None) => return Ok(Next::Close),
            Ok(Some(request)) => {
                let mut handler = self.handler.lock().unwrap_or_else(PoisonError::into_inner);
                let response = handler(self.remote, &request);
                (request.method, response, request.keep_alive && !self.permit.is_stopping())
            }
            Err(RequestError::Connection(error)) => return Err(error),
            Err(error) => (Method::Get, Response::text(error.status(), error.to_string()), false),
        };
        write_response(reader.stream(), method, &response, keep_alive).await?;
        Ok(if keep_alive { Next::KeepAlive } else { Next::Close })
    }
}

enum Next {
    KeepAlive,
    Close,
}

/// Closes so that the answer arrives: dropping a socket with something unread in it takes back what was sent.
async fn close<S: Stream>(mut reader: RequestReader<S>) -> io::Result<()> {
    const MAXIMUM_IGNORED: usize = 256 * 1024;

    poll_fn(|context| reader.stream().poll_shutdown(context)).await?;
    let mut ignored = 0;
    while ignored < MAXIMUM_IGNORED {
        reader.discard();
        match poll_fn(|context| reader.poll_fill(context)).await? {
            0 => break,
            length => ignored += length,
        }
    }
    Ok(())
}

/// Lets other tasks run before going on: requests that were sent in one go could otherwise keep the thread.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context: &mut Context<'_>| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        // The text is optional and clients ignore it.
        _ => "",
    }
}
