//! What scenarios are played with: servers that follow a script, a runtime that sees another internet.

use core::future::{Future, poll_fn};
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::task::Wake;
use std::thread;

use futures_channel::oneshot;

use crate::adapter::{Listener, Runtime, Stream, Timer};

/// This machine in every family of addresses that it has, IPv4 first, with any port.
pub fn loopback() -> Vec<SocketAddr> {
    let families = ["127.0.0.1:0", "[::1]:0"].map(|address| address.parse().unwrap());
    families.into_iter().filter(|address| TcpListener::bind(*address).is_ok()).collect()
}

pub async fn accept<L: Listener>(listener: &mut L) -> io::Result<(L::Stream, SocketAddr)> {
    poll_fn(|context| listener.poll_accept(context)).await
}

pub async fn read<S: Stream>(stream: &mut S, buffer: &mut [u8]) -> io::Result<usize> {
    poll_fn(|context| stream.poll_read(context, buffer)).await
}

pub async fn read_to_end<S: Stream>(stream: &mut S) -> io::Result<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match read(stream, &mut buffer).await? {
            0 => return Ok(all),
            length => all.extend_from_slice(&buffer[..length]),
        }
    }
}

pub async fn write<S: Stream>(stream: &mut S, data: &[u8]) -> io::Result<usize> {
    poll_fn(|context| stream.poll_write(context, &[IoSlice::new(data)])).await
}

pub async fn write_all<S: Stream>(stream: &mut S, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        data = &data[write(stream, data).await?..];
    }
    Ok(())
}

/// Waits for a timer that was set.
pub async fn expired<T: Timer>(timer: &mut T) {
    poll_fn(|context| timer.poll_expired(context)).await;
}

/// Both, side by side.
pub async fn join<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
    let (mut one, mut other) = (Box::pin(one), Box::pin(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none() {
            first = ready(one.as_mut().poll(context));
        }
        if second.is_none() {
            second = ready(other.as_mut().poll(context));
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.unwrap(), second.unwrap())
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// A task that runs in the background; dropped or cancelled, it is dropped by its runtime.
pub struct Task<T> {
    result: oneshot::Receiver<T>,
    /// Never used: its being there keeps the task going.
    _alive: oneshot::Sender<()>,
}

pub fn spawn<R: Runtime, T: Send + 'static>(runtime: &R, task: impl Future<Output = T> + Send + 'static) -> Task<T> {
    let (done, result) = oneshot::channel();
    let (_alive, mut cancelled) = oneshot::channel();
    let (mut task, mut done) = (Box::pin(task), Some(done));
    runtime.spawn(poll_fn(move |context| {
        if Pin::new(&mut cancelled).poll(context).is_ready() {
            return Poll::Ready(());
        }
        task.as_mut().poll(context).map(|output| drop(done.take().map(|done| done.send(output))))
    }));
    Task { result, _alive }
}

impl<T> Task<T> {
    /// Waits for its result. Panics if the task did.
    pub async fn join(self) -> T {
        self.result.await.expect("the task ends well")
    }
}

/// A waker of its own, to see which of several is woken.
#[derive(Clone, Default)]
pub struct Bell(Arc<Mutex<Rings>>);

#[derive(Default)]
struct Rings {
    rung: bool,
    listener: Option<Waker>,
}

impl Bell {
    pub fn waker(&self) -> Waker {
        Waker::from(Arc::new(self.clone()))
    }

    /// Waits until it was rung since it was listened to last.
    pub async fn rung(&self) {
        poll_fn(|context| {
            let mut rings = self.0.lock().unwrap();
            if core::mem::take(&mut rings.rung) {
                return Poll::Ready(());
            }
            rings.listener = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let mut rings = self.0.lock().unwrap();
        rings.rung = true;
        let listener = rings.listener.take();
        drop(rings);
        if let Some(listener) = listener {
            listener.wake();
        }
    }
}

/// A server on a thread of its own.
pub struct Server {
    pub address: SocketAddr,
    /// The heads of the requests that came, in order.
    pub requests: Receiver<String>,
}

impl Server {
    /// Answers the first connection with the first answer, and so on, closing each. Then it is gone.
    pub fn answering<const N: usize>(answers: [impl Into<Vec<u8>>; N]) -> Self {
        let mut answers = answers.map(Into::into).into_iter();
        Self::playing(N, move |mut stream, _| {
            // A client that saw enough may be gone before the end.
            let _ = stream.write_all(&answers.next().unwrap());
        })
    }

    /// Takes `connections` connections, one after the other, and lets `play` answer on each: it gets the stream and the
    /// head of the request.
    pub fn playing(connections: usize, mut play: impl FnMut(TcpStream, &str) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::channel();
        thread::spawn(move || {
            for _ in 0..connections {
                let Ok((mut stream, _)) = listener.accept() else { return };
                let request = read_head(&mut stream);
                let _ = sender.send(request.clone());
                play(stream, &request);
            }
        });
        Self { address, requests }
    }

    /// The URL of `path` at this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Reads up to the empty line, or to the end.
pub fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.extend_from_slice(&byte);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Waits until the other side closes the connection.
pub fn wait_for_close(mut stream: impl Read) {
    let mut ignored = [0; 1024];
    while matches!(stream.read(&mut ignored), Ok(1..)) {}
}

/// An answer with status 200, this body, and its length.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// An answer that redirects to `location`.
pub fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

/// The result of `work`, done on a thread of its own: what blocks must not block the runtime under test.
pub async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let shared = Arc::new(Mutex::new((None, None::<Waker>)));
    let there = shared.clone();
    thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        let mut shared = there.lock().unwrap();
        shared.0 = Some(result);
        if let Some(waker) = shared.1.take() {
            waker.wake();
        }
    });
    let result = poll_fn(|context: &mut Context<'_>| {
        let mut shared = shared.lock().unwrap();
        if let Some(result) = shared.0.take() {
            return Poll::Ready(result);
        }
        shared.1 = Some(context.waker().clone());
        Poll::Pending
    });
    result.await.unwrap_or_else(|panic| resume_unwind(panic))
}

/// A runtime whose internet is what the scenario says: names mean what it says, addresses lead where it says.
#[derive(Clone)]
pub struct Rerouted<R> {
    pub inner: R,
    pub names: BTreeMap<&'static str, Vec<IpAddr>>,
    /// Where an address leads; to silence where `None`. What is not in here is reached as it is.
    pub routes: BTreeMap<IpAddr, Option<SocketAddr>>,
}

impl<R: Runtime> Rerouted<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, names: BTreeMap::new(), routes: BTreeMap::new() }
    }

    pub fn name(mut self, name: &'static str, addresses: &[&str]) -> Self {
        self.names.insert(name, addresses.iter().map(|address| address.parse().unwrap()).collect());
        self
    }

    pub fn route(mut self, from: &str, to: Option<SocketAddr>) -> Self {
        self.routes.insert(from.parse().unwrap(), to);
        self
    }
}

impl<R: Runtime> Runtime for Rerouted<R> {
    type Stream = R::Stream;
    type Listener = R::Listener;
    type Datagram = R::Datagram;
    type Timer = R::Timer;

    async fn connect(&self, remote: SocketAddr) -> io::Result<R::Stream> {
        match self.routes.get(&remote.ip()) {
            Some(Some(elsewhere)) => self.inner.connect(*elsewhere).await,
            Some(None) => core::future::pending().await,
            None => self.inner.connect(remote).await,
        }
    }

    fn listen(&self, local: SocketAddr) -> io::Result<R::Listener> {
        self.inner.listen(local)
    }

    fn datagram(&self, socket: UdpSocket) -> io::Result<R::Datagram> {
        self.inner.datagram(socket)
    }

    fn timer(&self) -> R::Timer {
        self.inner.timer()
    }

    async fn resolve(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self.names.get(host.as_str()) {
            Some(addresses) => Ok(addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()),
            None => Err(io::Error::other("no such name")),
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.spawn(task);
    }
}
