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
/// What is received of a datagram to a multicast group: more than an Ethernet carries in one frame.
const MULTICAST_SIZE: usize = 2048;

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
    /// How long that is.
    longest: usize,
    /// The multicast group that it is for, if it is for one.
    group: Option<SocketAddr>,
}

impl<D: Datagram> Mailer<D> {
    pub(crate) fn new(mailbox: &Arc<Mailbox>, place: usize, socket: D) -> Mailer<D> {
        let source = SourceWaker::new(mailbox, Source::Datagram(place));
        let waker = Waker::from(source.clone());
        Mailer { socket, waker, source, outgoing: VecDeque::new(), buffer: None, longest: DATAGRAM_SIZE, group: None }
    }

    /// For a member of a multicast group.
    pub(crate) fn member(mailbox: &Arc<Mailbox>, place: usize, socket: D, group: SocketAddr) -> Mailer<D> {
        Mailer { longest: MULTICAST_SIZE, group: Some(group), ..Mailer::new(mailbox, place, socket) }
    }

    /// The multicast group that it is for, if it is for one.
    pub(crate) fn group(&self) -> Option<SocketAddr> {
        self.group
    }

    /// Whether it can send to addresses of the family that `remote` is of. Members of groups speak to their groups alone.
    pub(crate) fn reaches(&self, remote: &SocketAddr) -> bool {
        self.group.is_none() && self.socket.local_address().is_ok_and(|local| local.is_ipv4() == remote.is_ipv4())
    }

    /// Sends, best effort.
    pub(crate) fn send(&mut self, remote: SocketAddr, payload: Bytes) {
        if self.buffer.is_none() {
            self.buffer = Some(vec![0; self.longest].into());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{adapter::Stream, host::wake::Mail};

    enum NoStream {}

    impl Stream for NoStream {
        fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            match *self {}
        }
        fn poll_write(&mut self, _: &mut Context<'_>, _: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
            match *self {}
        }
        fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            match *self {}
        }
        fn local_address(&self) -> io::Result<SocketAddr> {
            match *self {}
        }
    }

    /// Fails with these, in order; "not now" after that.
    struct Failing(VecDeque<ErrorKind>);

    impl Listener for Failing {
        type Stream = NoStream;

        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(NoStream, SocketAddr)>> {
            self.0.pop_front().map_or(Poll::Pending, |kind| Poll::Ready(Err(kind.into())))
        }
        fn local_address(&self) -> io::Result<SocketAddr> {
            Err(ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn a_listener_that_fails_rests_and_one_that_lost_a_connection_does_not() {
        let kinds = [ErrorKind::ConnectionAborted, ErrorKind::Other, ErrorKind::Other];
        let mut acceptor = Acceptor::new(&Arc::new(Mailbox::new()), 0, Failing(kinds.into()));
        let now = Instant::now();
        let mut accept = |now| {
            acceptor.accept(now, |_, _| {});
            (acceptor.listener.0.len(), acceptor.rests_until())
        };
        assert_eq!(accept(now), (1, Some(now + REST)));
        assert_eq!(accept(now), (1, Some(now + REST)));
        let later = now + REST;
        assert_eq!(accept(later), (0, Some(later + REST)));
        assert_eq!(accept(later + REST), (0, None));
    }

    /// Takes some datagrams, then none; has the same datagram for ever.
    struct Socket {
        takes: usize,
        sent: Vec<Bytes>,
    }

    impl Datagram for Socket {
        fn poll_receive(&mut self, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
            buffer[..2].copy_from_slice(b"hi");
            Poll::Ready(Ok((2, ([127, 0, 0, 1], 1).into())))
        }
        fn poll_send(&mut self, _: &mut Context<'_>, payload: &[u8], _: SocketAddr) -> Poll<io::Result<usize>> {
            if self.takes == 0 {
                return Poll::Pending;
            }
            self.takes -= 1;
            self.sent.push(Bytes::copy_from_slice(payload));
            Poll::Ready(Ok(payload.len()))
        }
        fn local_address(&self) -> io::Result<SocketAddr> {
            Ok(([0, 0, 0, 0], 6881).into())
        }
    }

    #[test]
    fn datagrams_wait_for_a_full_socket_but_not_without_end() {
        let mut mailer = Mailer::new(&Arc::new(Mailbox::new()), 0, Socket { takes: 1, sent: Vec::new() });
        let remote = SocketAddr::from(([127, 0, 0, 1], 1));
        assert!(mailer.reaches(&remote) && !mailer.reaches(&"[::1]:1".parse().unwrap()));
        let datagrams: Vec<_> = (0..=u8::MAX).map(|number| Bytes::copy_from_slice(&[number])).collect();
        for datagram in &datagrams {
            mailer.send(remote, datagram.clone());
        }
        assert_eq!(mailer.socket.sent, datagrams[..1]);
        mailer.socket.takes = usize::MAX;
        mailer.drive(|_, _| {});
        assert_eq!(mailer.socket.sent, datagrams[..=OUTGOING]);
    }

    #[test]
    fn a_flood_of_datagrams_leaves_room_for_others() {
        let mailbox = Arc::new(Mailbox::new());
        let mut mailer = Mailer::new(&mailbox, 7, Socket { takes: 1, sent: Vec::new() });
        // Nobody listens before something was sent.
        mailer.drive(|_, _| panic!("nobody asked"));
        mailer.send(([127, 0, 0, 1], 1).into(), Bytes::from_static(b"x"));
        let mut received = 0;
        mailer.drive(|_, payload| {
            assert_eq!(payload, "hi");
            received += 1;
        });
        assert_eq!(received, BURST);
        let mut mail = Mail::default();
        mailbox.take(&mut mail);
        assert_eq!(mail.ready.last(), Some(&Source::Datagram(7)));
    }
}
