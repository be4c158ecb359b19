//! The adapter's own promises: sockets, timers, look-ups and tasks.

use std::{
    future::{Future, poll_fn},
    io::{ErrorKind, IoSlice, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use futures_channel::oneshot;

use super::support::{both, on_thread};
use crate::adapter::{Datagram, Listener, Runtime, Stream, Timer};

/// Longer than anyone waits.
const NEVER: Duration = Duration::from_secs(86_400);

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Two ends of one connection: the accepted and the connected.
async fn pair<R: Runtime>(runtime: &R) -> (R::Stream, R::Stream) {
    let mut listener = runtime.listen(loopback()).unwrap();
    let address = listener.local_address().unwrap();
    let (accepted, connected) = both(poll_fn(|context| listener.poll_accept(context)), runtime.connect(address)).await;
    let ((accepted, remote), connected) = (accepted.unwrap(), connected.unwrap());
    assert_eq!(connected.local_address().unwrap(), remote);
    assert_eq!(accepted.local_address().unwrap(), address);
    (accepted, connected)
}

async fn read(stream: &mut impl Stream, most: usize) -> Vec<u8> {
    let mut buffer = vec![0; most];
    let length = poll_fn(|context| stream.poll_read(context, &mut buffer)).await.unwrap();
    buffer.truncate(length);
    buffer
}

async fn read_exactly(stream: &mut impl Stream, length: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < length {
        let some = read(stream, length - all.len()).await;
        assert!(!some.is_empty(), "the stream ended after {} of {length} bytes", all.len());
        all.extend(some);
    }
    all
}

async fn write(stream: &mut impl Stream, mut data: &[u8]) {
    while !data.is_empty() {
        let taken = poll_fn(|context| stream.poll_write(context, &[IoSlice::new(data)])).await.unwrap();
        data = &data[taken..];
    }
}

/// Sets a flag and passes the wake-up on.
struct Flag {
    set: AtomicBool,
    task: Mutex<Waker>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.set.store(true, Ordering::SeqCst);
        self.task.lock().unwrap().wake_by_ref();
    }
}

impl Flag {
    fn new() -> Arc<Flag> {
        Arc::new(Flag { set: AtomicBool::new(false), task: Mutex::new(Waker::noop().clone()) })
    }

    /// Waits until the waker made of it was woken.
    async fn is_set(self: &Arc<Flag>) {
        poll_fn(|context| {
            context.waker().clone_into(&mut self.task.lock().unwrap());
            if self.set.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

pub async fn a_stream_carries_both_ways<R: Runtime>(runtime: R) {
    let (mut accepted, mut connected) = pair(&runtime).await;
    write(&mut connected, b"question").await;
    assert_eq!(read_exactly(&mut accepted, 8).await, b"question");
    write(&mut accepted, b"answer").await;
    assert_eq!(read_exactly(&mut connected, 6).await, b"answer");
}

pub async fn where_nobody_listens_the_connection_is_refused<R: Runtime>(runtime: R) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = runtime.connect(address).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

pub async fn an_address_in_use_is_told<R: Runtime>(runtime: R) {
    let listener = runtime.listen(loopback()).unwrap();
    let error = runtime.listen(listener.local_address().unwrap()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

pub async fn the_end_of_one_direction_leaves_the_other<R: Runtime>(runtime: R) {
    let (mut accepted, mut connected) = pair(&runtime).await;
    write(&mut connected, b"last words").await;
    poll_fn(|context| connected.poll_shutdown(context)).await.unwrap();
    assert_eq!(read_exactly(&mut accepted, 10).await, b"last words");
    assert_eq!(read(&mut accepted, 10).await, b"");
    write(&mut accepted, b"farewell").await;
    assert_eq!(read_exactly(&mut connected, 8).await, b"farewell");
}

pub async fn a_dropped_stream_ends<R: Runtime>(runtime: R) {
    let (mut accepted, connected) = pair(&runtime).await;
    drop(connected);
    assert_eq!(read(&mut accepted, 10).await, b"");
}

pub async fn one_write_takes_many_buffers<R: Runtime>(runtime: R) {
    let (mut accepted, mut connected) = pair(&runtime).await;
    let buffers = [&b"head"[..], b"", b"block", b"tail"].map(IoSlice::new);
    let taken = poll_fn(|context| connected.poll_write(context, &buffers)).await.unwrap();
    assert_eq!(taken, 13);
    assert_eq!(read_exactly(&mut accepted, 13).await, b"headblocktail");
}

pub async fn a_full_stream_goes_on_once_the_other_side_reads<R: Runtime>(runtime: R) {
    let (mut accepted, mut connected) = pair(&runtime).await;
    // More than the system buffers.
    let data: Vec<u8> = (0..40_000_000u32).map(|byte| (byte % 251) as u8).collect();
    let flag = Flag::new();
    let waker = Waker::from(flag.clone());
    let mut taken = 0;
    while let Poll::Ready(written) = connected.poll_write(&mut Context::from_waker(&waker), &[IoSlice::new(&data[taken..])]) {
        taken += written.unwrap();
        assert!(taken < data.len(), "nothing ever filled up");
    }
    if taken == 0 {
        // Nothing is written before the runtime has seen that it can be.
        flag.is_set().await;
    }
    let (read, ()) = both(read_exactly(&mut accepted, data.len()), write(&mut connected, &data[taken..])).await;
    assert!(read == data);
}

pub async fn reading_and_writing_wake_separately<R: Runtime>(runtime: R) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (stream, peer) = both(
        runtime.connect(listener.local_addr().unwrap()),
        on_thread(move || {
            let (peer, _) = listener.accept().unwrap();
            peer
        }),
    )
    .await;
    let (mut stream, mut peer): (_, TcpStream) = (stream.unwrap(), peer);
    let (early, reader, writer) = (Flag::new(), Flag::new(), Flag::new());
    for flag in [&early, &reader] {
        let waker = Waker::from(flag.clone());
        assert!(stream.poll_read(&mut Context::from_waker(&waker), &mut [0; 8]).is_pending());
    }
    let waker = Waker::from(writer.clone());
    let block = vec![7; 1 << 20];
    while stream.poll_write(&mut Context::from_waker(&waker), &[IoSlice::new(&block)]).is_ready() {}
    let mut peer = on_thread(move || {
        peer.write_all(b"x").unwrap();
        peer
    })
    .await;
    // The latest reader counts.
    reader.is_set().await;
    assert_eq!(read(&mut stream, 8).await, b"x");
    peer.shutdown(Shutdown::Write).unwrap();
    // Reads until the stream is dropped below.
    std::thread::spawn(move || std::io::copy(&mut peer, &mut std::io::sink()));
    writer.is_set().await;
    assert_eq!(read(&mut stream, 8).await, b"");
}

pub async fn datagrams_arrive_whole_with_their_sender<R: Runtime>(runtime: R) {
    let (mut one, mut other) = (runtime.bind(loopback()).unwrap(), runtime.bind(loopback()).unwrap());
    let (from, to) = (one.local_address().unwrap(), other.local_address().unwrap());
    for payload in [&b"first"[..], b"", b"third"] {
        let sent = poll_fn(|context| one.poll_send(context, payload, to)).await.unwrap();
        assert_eq!(sent, payload.len());
    }
    let mut buffer = [0; 3];
    for expected in [&b"fir"[..], b"", b"thi"] {
        let (length, sender) = poll_fn(|context| other.poll_receive(context, &mut buffer)).await.unwrap();
        assert_eq!((&buffer[..length], sender), (expected, from));
    }
}

pub async fn timers_expire_in_order_and_stay_expired<R: Runtime>(runtime: R) {
    let (mut early, mut late) = (runtime.timer(), runtime.timer());
    let now = Instant::now();
    late.reset(now + Duration::from_millis(20));
    early.reset(now + Duration::from_millis(2));
    poll_fn(|context| {
        let _ = early.poll_expired(context);
        late.poll_expired(context)
    })
    .await;
    assert!(now.elapsed() >= Duration::from_millis(20));
    for _ in 0..2 {
        let mut context = Context::from_waker(Waker::noop());
        assert!(early.poll_expired(&mut context).is_ready() && late.poll_expired(&mut context).is_ready());
    }
    late.reset(now + NEVER);
    assert!(late.poll_expired(&mut Context::from_waker(Waker::noop())).is_pending());
}

pub async fn a_timer_that_was_never_set_never_expires<R: Runtime>(runtime: R) {
    let mut timer = runtime.timer();
    assert!(timer.poll_expired(&mut Context::from_waker(Waker::noop())).is_pending());
}

pub async fn a_waiting_timer_can_be_set_to_earlier<R: Runtime>(runtime: R) {
    let mut timer = runtime.timer();
    timer.reset(Instant::now() + NEVER);
    assert!(timer.poll_expired(&mut Context::from_waker(Waker::noop())).is_pending());
    timer.reset(Instant::now() + Duration::from_millis(1));
    poll_fn(|context| timer.poll_expired(context)).await;
    timer.reset(Instant::now());
    poll_fn(|context| timer.poll_expired(context)).await;
}

pub async fn addresses_resolve_to_themselves<R: Runtime>(runtime: R) {
    for address in ["127.0.0.1:80", "[::1]:443"] {
        let address: SocketAddr = address.parse().unwrap();
        let resolved = runtime.resolve(address.ip().to_string(), address.port()).await.unwrap();
        assert_eq!(resolved, [address]);
    }
}

pub async fn a_task_runs_by_itself<R: Runtime>(runtime: R) {
    let (done, result) = oneshot::channel();
    runtime.spawn(async move { done.send(1).unwrap() });
    assert_eq!(result.await, Ok(1));
}

pub async fn a_task_that_yields_comes_back_after_the_others<R: Runtime>(runtime: R) {
    let (mut accepted, mut connected) = pair(&runtime).await;
    write(&mut connected, b"x").await;
    // Whoever yields again and again lets what comes from outside come through.
    let mut buffer = [0];
    poll_fn(|context| match accepted.poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer) {
        Poll::Ready(length) => {
            assert_eq!(length.unwrap(), 1);
            Poll::Ready(())
        }
        Poll::Pending => {
            runtime.yield_now(context);
            Poll::Pending
        }
    })
    .await;
}

/// Keeps the compiler from asking for more than an adapter needs.
#[allow(dead_code)]
fn futures_of_adapters_are_send<R: Runtime>(runtime: &R) {
    fn is_send(_: impl Future + Send) {}
    is_send(runtime.connect(loopback()));
    is_send(runtime.resolve(String::new(), 0));
}
