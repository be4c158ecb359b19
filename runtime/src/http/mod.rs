//! HTTP/1.1 over an adapter's own streams: a client for trackers and web seeds, and the server of `rustor tracker`.
//!
//! Both sides are written once for all runtimes. The client follows redirects, speaks TLS, unpacks gzip, and believes no
//! server: every size, count and wait has a limit that the caller sets.
//!
//! ```no_run
//! use rustor_runtime::adapter::Runtime;
//! use rustor_runtime::http::{HttpClient, HttpError, Request, Roots};
//!
//! async fn peers(runtime: &impl Runtime) -> Result<bytes::Bytes, HttpError> {
//!     let client = HttpClient::new(Roots::system());
//!     let request = Request::get("https://tracker.example/announce?info_hash=…");
//!     Ok(client.get(runtime, request).await?.body)
//! }
//! ```

mod address;
mod client;
mod connect;
mod decode;
mod error;
mod incoming;
mod permits;
mod request;
pub mod server;
mod stream;
mod tls;
mod url;
mod wire;

pub use address::{AddressFamily, is_private};
pub use client::HttpClient;
pub use error::{HttpError, TlsError};
pub use request::{ByteRange, ContentRange, Request, Response, ResponseHead};
pub use stream::ResponseStream;
pub use tls::Roots;

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use std::time::{Duration, Instant};

use crate::adapter::Timer;

/// The moment that lies `duration` ahead, or a year where there is no such moment.
fn ahead(duration: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + duration.min(YEAR)
}

/// The output of `future`, or `None` once `timer` expires before it.
async fn unless_expired<T: Timer, F: Future>(timer: &mut T, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.poll_expired(context).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests;
