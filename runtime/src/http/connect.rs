use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::url::Url;
use super::{AddressFamily, HttpError, ahead, is_private};
use crate::adapter::{Runtime, Timer};

/// How long one address has the field to itself before the next is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// More addresses of a host than this are not tried.
const MAXIMUM_ADDRESSES: usize = 8;

/// The addresses to try for `url`, best first, the families by turns (RFC 8305, section 4).
///
/// `from_public` says that a server on the public internet sent us here, which rules private addresses out.
pub(super) async fn addresses<R: Runtime>(
    runtime: &R,
    url: &Url,
    family: Option<AddressFamily>,
    from_public: bool,
) -> Result<Vec<SocketAddr>, HttpError> {
    let host = url.host();
    let found = match host.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, url.port())],
        Err(_) => {
            let resolving = runtime.resolve(host.to_owned(), url.port());
            resolving.await.map_err(|error| HttpError::Resolve { host: host.to_owned(), error })?
        }
    };
    if found.is_empty() {
        return Err(HttpError::NoAddress { host: host.to_owned(), family: None });
    }
    let wanted: Vec<SocketAddr> =
        found.into_iter().filter(|address| family.is_none_or(|family| family == AddressFamily::of(*address))).collect();
    let Some(first) = wanted.first().copied() else {
        return Err(HttpError::NoAddress { host: host.to_owned(), family });
    };
    let allowed: Vec<SocketAddr> = wanted.into_iter().filter(|address| !(from_public && is_private(address.ip()))).collect();
    if allowed.is_empty() {
        return Err(HttpError::RedirectToPrivate(first.ip()));
    }
    Ok(by_turns(allowed))
}

/// Connects to the first of `addresses` that answers, giving each `patience`.
///
/// An address that fails makes room for the next at once; one that is silent gets company after a short while ("happy
/// eyeballs", RFC 8305), so that a family that leads nowhere costs a moment and not a time-out.
pub(super) async fn connect<R: Runtime>(
    runtime: &R,
    addresses: &[SocketAddr],
    patience: Duration,
) -> Result<(R::Stream, SocketAddr), HttpError> {
    let mut race = Race {
        runtime,
        waiting: addresses.iter().copied(),
        running: Vec::new(),
        next_start: None,
        timer: runtime.timer(),
        patience,
        last_error: HttpError::Timeout,
    };
    poll_fn(|context| race.poll(context)).await
}

struct Race<'a, R: Runtime> {
    runtime: &'a R,
    waiting: core::iter::Copied<core::slice::Iter<'a, SocketAddr>>,
    running: Vec<Attempt<'a, R::Stream>>,
    /// When the next address may join; `None` is at once.
    next_start: Option<Instant>,
    timer: R::Timer,
    patience: Duration,
    last_error: HttpError,
}

struct Attempt<'a, S> {
    address: SocketAddr,
    deadline: Instant,
    future: Pin<Box<dyn Future<Output = io::Result<S>> + Send + 'a>>,
}

impl<R: Runtime> Race<'_, R> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(R::Stream, SocketAddr), HttpError>> {
        loop {
            let now = Instant::now();
            if self.next_start.is_none_or(|start| start <= now)
                && let Some(address) = self.waiting.next()
            {
                let future = Box::pin(self.runtime.connect(address));
                self.running.push(Attempt { address, deadline: ahead(self.patience), future });
                self.next_start = Some(now + HEAD_START);
            }
            if let Some(winner) = self.poll_running(context, now) {
                return Poll::Ready(Ok(winner));
            }
            let mut wake = self.running.iter().map(|attempt| attempt.deadline).min();
            if self.waiting.len() > 0 {
                match self.next_start {
                    Some(start) => wake = Some(wake.map_or(start, |wake| wake.min(start))),
                    None => continue,
                }
            }
            let Some(wake) = wake else {
                return Poll::Ready(Err(core::mem::replace(&mut self.last_error, HttpError::Timeout)));
            };
            self.timer.reset(wake);
            if self.timer.poll_expired(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn poll_running(&mut self, context: &mut Context<'_>, now: Instant) -> Option<(R::Stream, SocketAddr)> {
        let mut index = 0;
        while let Some(attempt) = self.running.get_mut(index) {
            let address = attempt.address;
            self.last_error = match attempt.future.as_mut().poll(context) {
                Poll::Ready(Ok(stream)) => return Some((stream, address)),
                Poll::Ready(Err(error)) => HttpError::Connect { address, error },
                Poll::Pending if attempt.deadline <= now => HttpError::connect_timeout(address, self.patience),
                Poll::Pending => {
                    index += 1;
                    continue;
                }
            };
            self.running.remove(index);
            self.next_start = None;
        }
        None
    }
}

/// Orders `addresses` by turns of their families, beginning with the first one's, and cuts them to a sane number.
fn by_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let begins_with_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv4() == begins_with_v4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    while ordered.len() < MAXIMUM_ADDRESSES {
        match (first.next(), second.next()) {
            (None, None) => break,
            (one, other) => ordered.extend(one.into_iter().chain(other)),
        }
    }
    ordered.truncate(MAXIMUM_ADDRESSES);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_keep_their_own_order() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"]);
        let ordered = addresses(&["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"]);
        assert_eq!(by_turns(given), ordered);
        let many = vec!["1.0.0.1:1".parse().unwrap(); 100];
        assert_eq!(by_turns(many).len(), MAXIMUM_ADDRESSES);
    }
}
