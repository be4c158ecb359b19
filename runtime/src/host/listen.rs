//! The sockets that others find us by.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::wake::{Mailbox, Source, SourceWaker};
use crate::{
    adapter::{Datagram, Listener, Runtime},
    client::StartError,
};

/// Streams taken in, or datagrams received, before others have their turn.
const BURST: usize = 64;
/// How long a listener rests that cannot take streams in: for want of file descriptors, as a rule.
const REST: Duration = Duration::from_millis(100);
/// Ports tried where any will do but every address needs the same.
const PORT_ATTEMPTS: usize = 16;
/// Datagrams that wait for a full socket; further ones are lost, as datagrams may be.
const OUTGOING: usize = 64;
/// The longest datagram there is.
const DATAGRAM_SIZE: usize = 1 << 16;

/// Listeners on all `addresses` with the same port; with port 0, one that is free on all of them.
///
/// An IPv6 address that this machine does not have is left out as long as there is another.
pub(crate) fn listen<R: Runtime>(runtime: &R, addresses: &[IpAddr], port: u16) -> Result<Vec<R::Listener>, StartError> {
    let mut addresses = addresses.to_vec();
    addresses.sort();
    let mut attempt = 1;
    'attempts: loop {
        let (mut listeners, mut missing, mut chosen) = (Vec::new(), None, port);
        for address in &addresses {
            let address = SocketAddr::new(*address, chosen);
            match runtime.listen(address).and_then(|listener| Ok((listener.local_address()?.port(), listener))) {
                Ok((port, listener)) => {
                    chosen = port;
                    listeners.push(listener);
                }
                Err(error) => {
                    let taken = error.kind() == ErrorKind::AddrInUse;
                    if taken && port == 0 && attempt < PORT_ATTEMPTS {
                        attempt += 1;
                        continue 'attempts;
                    }
                    let fault = StartError::Listen { address, error };
                    if !address.is_ipv6() || taken {
                        return Err(fault);
                    }
                    missing = Some(fault);
                }
            }
        }
        return match missing {
            Some(fault) if listeners.is_empty() => Err(fault),
            _ => Ok(listeners),
        };
    }
}

/// A listener and its waker.
pub(crate) struct Acceptor<L> {
    pub(crate) listener: L,
    waker: Waker,
    source: Arc<SourceWaker>,
    /// It failed and is left alone until then.
    rests_until: Option<Instant>,
}

impl<L: Listener> Acceptor<L> {
    pub(crate) fn new(mailbox: &Arc<Mailbox>, place: usize, listener: L) -> Acceptor<L> {
        let source = SourceWaker::new(mailbox, Source::Listener(place));
        let waker = Waker::from(source.clone());
        // The runtime gets to know the waker at a first look.
        waker.wake_by_ref();
        Acceptor { listener, waker, source, rests_until: None }
    }

    /// Takes in what has come. Comes back to itself where there may be more.
    pub(crate) fn accept(&mut self, now: Instant, mut take: impl FnMut(L::Stream, SocketAddr)) {
        if self.rests_until.is_some_and(|until| until > now) {
            return;
        }
        self.rests_until = None;
        self.source.clear();
        for _ in 0..BURST {
            match self.listener.poll_accept(&mut Context::from_waker(&self.waker)) {
                Poll::Ready(Ok((stream, remote))) => take(stream, remote),
                // What became of one connection says nothing of the others.
                Poll::Ready(Err(error)) if concerns_one_connection(&error) => {}
                Poll::Ready(Err(_)) => {
                    self.rests_until = Some(now + REST);
                    return;
                }
                Poll::Pending => return,
            }
        }
        self.waker.wake_by_ref();
    }

    /// When to try again, if it rests.
    pub(crate) fn rests_until(&self) -> Option<Instant> {
        self.rests_until
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted | ErrorKind::TimedOut)
}

/// Whether the process or the system has no file descriptor left.
pub(crate) fn out_of_descriptors(error: &io::Error) -> bool {
    // EMFILE and ENFILE are the same numbers on every Unix; the third is WSAEMFILE.
    matches!(error.raw_os_error(), Some(23 | 24)) && cfg!(unix) || error.raw_os_error() == Some(10024) && cfg!(windows)
}

/// A datagram socket, its waker, and what waits to be sent.
pub(crate) struct Mailer<D> {
    socket: D,
    waker: Waker,
    source: Arc<SourceWaker>,
    outgoing: VecDeque<(SocketAddr, Bytes)>,
    /// Where datagrams are received into; none before the first was sent, because nobody expects one before.
    buffer: Option<Box<[u8]>>,
}

impl<D: Datagram> Mailer<D> {
    pub(crate) fn new(mailbox: &Arc<Mailbox>, place: usize, socket: D) -> Mailer<D> {
        let source = SourceWaker::new(mailbox, Source::Datagram(place));
        Mailer { socket, waker: Waker::from(source.clone()), source, outgoing: VecDeque::new(), buffer: None }
    }

    /// Whether it can send to addresses of the family that `remote` is of.
    pub(crate) fn reaches(&self, remote: &SocketAddr) -> bool {
        self.socket.local_address().is_ok_and(|local| local.is_ipv4() == remote.is_ipv4())
    }

    /// Sends, best effort.
    pub(crate) fn send(&mut self, remote: SocketAddr, payload: Bytes) {
        if self.buffer.is_none() {
            self.buffer = Some(vec![0; DATAGRAM_SIZE].into());
            self.waker.wake_by_ref();
        }
        if self.outgoing.len() < OUTGOING {
            self.outgoing.push_back((remote, payload));
        }
        self.flush();
    }

    fn flush(&mut self) {
        while let Some((remote, payload)) = self.outgoing.front() {
            // An error concerns this one datagram, or an earlier one: either is lost.
            if self.socket.poll_send(&mut Context::from_waker(&self.waker), payload, *remote).is_pending() {
                return;
            }
            self.outgoing.pop_front();
        }
    }

    /// Sends what waits and receives what has come. Comes back to itself where there may be more.
    pub(crate) fn drive(&mut self, mut receive: impl FnMut(SocketAddr, Bytes)) {
        self.source.clear();
        self.flush();
        let Some(buffer) = &mut self.buffer else { return };
        for _ in 0..BURST {
            match self.socket.poll_receive(&mut Context::from_waker(&self.waker), buffer) {
                Poll::Ready(Ok((length, remote))) => receive(remote, Bytes::copy_from_slice(&buffer[..length])),
                // "Port unreachable" and the like, about a datagram sent earlier.
                Poll::Ready(Err(_)) => {}
                Poll::Pending => return,
            }
        }
        self.waker.wake_by_ref();
    }
}
