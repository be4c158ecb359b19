//! TCP: connecting, accepting, ends, resets, back-pressure.

use core::future::poll_fn;
use core::task::{Context, Poll};
use std::collections::BTreeSet;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::support::{Bell, accept, loopback, on_thread, read, read_to_end, write, write_all};
use crate::adapter::{Listener, Runtime, Stream, Timer};

/// The other end of one connection, played on a thread of its own.
struct Peer<T> {
    address: SocketAddr,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Peer<T> {
    fn playing(play: impl FnOnce(TcpStream) -> T + Send + 'static) -> Self {
        Self::at(loopback()[0], play)
    }

    fn at(local: SocketAddr, play: impl FnOnce(TcpStream) -> T + Send + 'static) -> Self {
        let listener = TcpListener::bind(local).unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, thread: thread::spawn(move || play(listener.accept().unwrap().0)) }
    }

    async fn done(self) -> T {
        on_thread(|| self.thread.join().unwrap()).await
    }
}

/// Bytes of which every stretch tells where it is from.
fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|place| (place % 251) as u8).collect()
}

/// Writes the pattern from `sent` on until the stream takes no more, and rings `bell` once it does again.
fn fill<S: Stream>(stream: &mut S, sent: &mut usize, bell: &Bell) {
    let data = pattern(0, 251 + (64 << 10));
    let waker = bell.waker();
    let mut context = Context::from_waker(&waker);
    while let Poll::Ready(taken) = stream.poll_write(&mut context, &[IoSlice::new(&data[*sent % 251..])]) {
        *sent += taken.unwrap();
    }
}

pub async fn bytes_go_both_ways<R: Runtime>(runtime: R) {
    for local in loopback() {
        let peer = Peer::at(local, |mut stream| {
            let mut request = [0; 5];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&[&request[..], b", indeed"].concat()).unwrap();
            stream.peer_addr().unwrap()
        });
        let mut stream = runtime.connect(peer.address).await.unwrap();
        write_all(&mut stream, b"hello").await.unwrap();
        assert_eq!(read_to_end(&mut stream).await.unwrap(), b"hello, indeed");
        assert_eq!(stream.local_address().unwrap(), peer.done().await);
    }
}

pub async fn a_refused_connection_is_an_error<R: Runtime>(runtime: R) {
    for local in loopback() {
        let closed = TcpListener::bind(local).unwrap().local_addr().unwrap();
        let error = runtime.connect(closed).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}

pub async fn a_connection_that_nobody_answers_can_be_given_up<R: Runtime>(runtime: R) {
    if !cfg!(target_os = "linux") {
        return; // Elsewhere no address of this machine is silent.
    }
    // A listener that takes nobody in, and whose queue is full: the system drops what else arrives.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&loopback()[0].into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let queued = move || {
        let attempt = || TcpStream::connect_timeout(&address, Duration::from_millis(20)).ok();
        core::iter::from_fn(attempt).collect::<Vec<_>>()
    };
    let _queued = on_thread(queued).await;

    let mut connecting = Box::pin(runtime.connect(address));
    let mut timer = runtime.timer();
    timer.reset(Instant::now() + Duration::from_millis(20));
    let connected = poll_fn(|context| match connecting.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result.is_ok()),
        Poll::Pending => timer.poll_expired(context).map(|()| false),
    });
    assert!(!connected.await);
}

pub async fn our_side_can_end_alone<R: Runtime>(runtime: R) {
    let peer = Peer::playing(|mut stream| {
        let mut request = Vec::new();
        stream.read_to_end(&mut request).unwrap();
        stream.write_all(&pattern(0, 100_000)).unwrap();
        request
    });
    let mut stream = runtime.connect(peer.address).await.unwrap();
    write_all(&mut stream, b"all of it").await.unwrap();
    poll_fn(|context| stream.poll_shutdown(context)).await.unwrap();
    assert_eq!(read_to_end(&mut stream).await.unwrap(), pattern(0, 100_000));
    assert_eq!(peer.done().await, b"all of it");
}

pub async fn the_other_side_can_end_alone<R: Runtime>(runtime: R) {
    let peer = Peer::playing(|mut stream| {
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest
    });
    let mut stream = runtime.connect(peer.address).await.unwrap();
    assert_eq!(read(&mut stream, &mut [0; 10]).await.unwrap(), 0);
    write_all(&mut stream, &pattern(0, 100_000)).await.unwrap();
    poll_fn(|context| stream.poll_shutdown(context)).await.unwrap();
    assert_eq!(peer.done().await, pattern(0, 100_000));
}

pub async fn a_reset_is_told_from_an_end<R: Runtime>(runtime: R) {
    let (go_on, wait) = mpsc::channel();
    let peer = Peer::playing(move |stream| {
        wait.recv().unwrap();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let mut stream = runtime.connect(peer.address).await.unwrap();
    let bell = Bell::default();
    assert!(stream.poll_read(&mut Context::from_waker(&bell.waker()), &mut [0; 10]).is_pending());
    go_on.send(()).unwrap();
    bell.rung().await;
    assert_eq!(read(&mut stream, &mut [0; 10]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(write_all(&mut stream, b"anyone?").await.is_err());
}

pub async fn a_stream_that_nobody_reads_takes_no_more<R: Runtime>(runtime: R) {
    let (go_on, wait) = mpsc::channel();
    let peer = Peer::playing(move |mut stream| {
        wait.recv().unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        assert!(received == pattern(0, received.len()));
        received.len()
    });
    let mut stream = runtime.connect(peer.address).await.unwrap();
    let (bell, mut sent) = (Bell::default(), 0);
    fill(&mut stream, &mut sent, &bell);
    let stalled = sent;
    go_on.send(()).unwrap();
    while sent < stalled + (1 << 20) {
        bell.rung().await;
        fill(&mut stream, &mut sent, &bell);
    }
    poll_fn(|context| stream.poll_shutdown(context)).await.unwrap();
    assert_eq!(peer.done().await, sent);
}

pub async fn several_buffers_go_out_in_one_write<R: Runtime>(runtime: R) {
    let peer = Peer::playing(|mut stream| {
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        received
    });
    let mut stream = runtime.connect(peer.address).await.unwrap();
    let buffers = [&b""[..], b"head", b"", b"block"].map(IoSlice::new);
    assert_eq!(poll_fn(|context| stream.poll_write(context, &buffers)).await.unwrap(), 9);
    drop(stream);
    assert_eq!(peer.done().await, b"headblock");
}

pub async fn any_number_of_buffers_goes_out_in_order<R: Runtime>(runtime: R) {
    let peer = Peer::playing(|mut stream| {
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        received
    });
    let mut stream = runtime.connect(peer.address).await.unwrap();
    // More than a system takes at once, empty ones among them.
    let data = pattern(0, 5000 * 20);
    let buffers: Vec<&[u8]> =
        (0..5000).flat_map(|number| [&data[number * 20..][..number % 21], &data[number * 20..][number % 21..20]]).collect();
    let (mut slices, mut sent) = (buffers.iter().map(|buffer| IoSlice::new(buffer)).collect::<Vec<_>>(), 0);
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let taken = poll_fn(|context| stream.poll_write(context, left)).await.unwrap();
        sent += taken;
        // Empty buffers at the front are taken off even where nothing was written.
        IoSlice::advance_slices(&mut left, taken);
    }
    assert_eq!(sent, data.len());
    drop(stream);
    assert!(peer.done().await == data);
}

pub async fn reading_and_writing_wait_separately<R: Runtime>(runtime: R) {
    let (steps, step) = mpsc::channel();
    let peer = Peer::playing(move |mut stream| {
        step.recv().unwrap();
        stream.write_all(b"x").unwrap();
        step.recv().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap()
    });
    let mut stream = runtime.connect(peer.address).await.unwrap();
    let (readable, writable, mut sent) = (Bell::default(), Bell::default(), 0);
    assert!(stream.poll_read(&mut Context::from_waker(&readable.waker()), &mut [0]).is_pending());
    fill(&mut stream, &mut sent, &writable);
    // What writing waits for did not take reading's place,
    steps.send(()).unwrap();
    readable.rung().await;
    assert_eq!(read(&mut stream, &mut [0]).await.unwrap(), 1);
    assert!(stream.poll_read(&mut Context::from_waker(&readable.waker()), &mut [0]).is_pending());
    // nor the other way round.
    steps.send(()).unwrap();
    writable.rung().await;
    sent += write(&mut stream, b"x").await.unwrap();
    drop(stream);
    assert_eq!(peer.done().await, sent);
}

pub async fn the_latest_context_is_woken<R: Runtime>(runtime: R) {
    let (go_on, wait) = mpsc::channel();
    let peer = Peer::playing(move |mut stream| {
        wait.recv().unwrap();
        stream.write_all(b"x").unwrap();
    });
    let mut stream = runtime.connect(peer.address).await.unwrap();
    let (earlier, latest) = (Bell::default(), Bell::default());
    for bell in [&earlier, &latest] {
        assert!(stream.poll_read(&mut Context::from_waker(&bell.waker()), &mut [0]).is_pending());
    }
    go_on.send(()).unwrap();
    latest.rung().await;
    assert_eq!(read(&mut stream, &mut [0]).await.unwrap(), 1);
    peer.done().await;
}

pub async fn a_dropped_stream_is_closed<R: Runtime>(runtime: R) {
    let peer = Peer::playing(|mut stream| stream.read_to_end(&mut Vec::new()).unwrap());
    let mut stream = runtime.connect(peer.address).await.unwrap();
    assert!(stream.poll_read(&mut Context::from_waker(&Bell::default().waker()), &mut [0]).is_pending());
    drop(stream);
    assert_eq!(peer.done().await, 0);
}

pub async fn a_listener_takes_in_everyone<R: Runtime>(runtime: R) {
    for local in loopback() {
        let mut listener = runtime.listen(local).unwrap();
        let address = listener.local_address().unwrap();
        assert_ne!(address.port(), 0);
        let connect = move || (0..20).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>();
        let connected = on_thread(connect).await;
        let mut remotes = BTreeSet::new();
        for _ in 0..20 {
            let (stream, remote) = accept(&mut listener).await.unwrap();
            assert_eq!(stream.local_address().unwrap(), address);
            remotes.insert(remote);
        }
        assert_eq!(remotes, connected.iter().map(|stream| stream.local_addr().unwrap()).collect());
    }
}

pub async fn a_waiting_listener_is_woken<R: Runtime>(runtime: R) {
    let mut listener = runtime.listen(loopback()[0]).unwrap();
    let address = listener.local_address().unwrap();
    let bell = Bell::default();
    // Again and again: a wake-up that comes once only is not enough.
    for _ in 0..3 {
        assert!(listener.poll_accept(&mut Context::from_waker(&bell.waker())).is_pending());
        let mut ours = on_thread(move || TcpStream::connect(address).unwrap()).await;
        bell.rung().await;
        let (mut stream, remote) = accept(&mut listener).await.unwrap();
        assert_eq!(remote, ours.local_addr().unwrap());
        write_all(&mut stream, b"welcome").await.unwrap();
        drop(stream);
        let mut greeting = String::new();
        ours.read_to_string(&mut greeting).unwrap();
        assert_eq!(greeting, "welcome");
    }
}

pub async fn a_port_is_taken_until_its_listener_is_dropped<R: Runtime>(runtime: R) {
    let listener = runtime.listen(loopback()[0]).unwrap();
    let address = listener.local_address().unwrap();
    assert_eq!(runtime.listen(address).err().unwrap().kind(), ErrorKind::AddrInUse);
    drop(listener);
    assert_eq!(runtime.listen(address).unwrap().local_address().unwrap(), address);
}

pub async fn many_streams_at_once_each_get_their_own<R: Runtime>(runtime: R) {
    let mut listener = runtime.listen(loopback()[0]).unwrap();
    let address = listener.local_address().unwrap();
    let mut pairs = Vec::new();
    for number in 0..100 {
        let ours = runtime.connect(address).await.unwrap();
        let (theirs, remote) = accept(&mut listener).await.unwrap();
        assert_eq!(remote, ours.local_address().unwrap());
        pairs.push((number, ours, theirs));
    }
    for (number, ours, _) in &mut pairs {
        write_all(ours, &pattern(*number, 1000)).await.unwrap();
    }
    for (number, ours, mut theirs) in pairs {
        drop(ours);
        assert_eq!(read_to_end(&mut theirs).await.unwrap(), pattern(number, 1000));
    }
}
