//! The HTTP server against clients that behave, and against some that do not.

use core::future::{Future, poll_fn};
use core::task::Poll;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use super::support::on_thread;
use crate::adapter::{Listener, Runtime};
use crate::http::server::{Limits, Response, serve};
use crate::http::{HttpClient, Request, Roots};

/// Enough for what has to time out; nothing that has to succeed depends on it.
const SHORT: Duration = Duration::from_millis(50);

/// Limits whose waits never end within a scenario.
fn patient() -> Limits {
    let long = Duration::from_secs(86_400);
    Limits { request_timeout: long, idle_timeout: long, ..Limits::default() }
}

/// A server under test, which answers every request with its method and target.
struct Running {
    address: SocketAddr,
    stop: Stop,
    /// Closed once the server has shut down.
    done: Receiver<()>,
}

impl Running {
    fn start<R: Runtime>(runtime: &R, limits: Limits) -> Self {
        let listener = runtime.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_address().unwrap();
        let (stop, (guard, done)) = (Stop::default(), mpsc::channel());
        let (until, server) = (stop.clone(), runtime.clone());
        runtime.spawn(async move {
            serve(&server, listener, limits, |_, request| Response::text(200, format!("<{}>", request.target)), until.requested()).await;
            drop(guard);
        });
        Self { address, stop, done }
    }
}

#[derive(Clone, Default)]
struct Stop(Arc<Mutex<(bool, Option<Waker>)>>);

impl Stop {
    fn request(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    fn requested(self) -> impl Future<Output = ()> + Send {
        poll_fn(move |context| {
            let mut state = self.0.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            state.1 = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

/// Sends `request` in one go and returns everything that comes back until the server closes.
async fn exchange(address: SocketAddr, request: impl Into<Vec<u8>>) -> String {
    let request = request.into();
    on_thread(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&request).unwrap();
        read_to_end(&mut stream)
    })
    .await
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Reads exactly one answer of the server under test.
fn read_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b">") {
        stream.read_exact(&mut byte).unwrap();
        answer.extend_from_slice(&byte);
    }
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

pub async fn the_client_is_answered<R: Runtime>(runtime: R) {
    let server = Running::start(&runtime, patient());
    let client = HttpClient::new(Roots::none());
    let response = client.get(&runtime, Request::get(format!("http://{}/announce?x=%00", server.address))).await.unwrap();
    assert_eq!((response.head.status, response.body.as_ref()), (200, &b"</announce?x=%00>"[..]));
}

pub async fn requests_sent_in_one_go_are_answered_in_order<R: Runtime>(runtime: R) {
    let server = Running::start(&runtime, patient());
    let mut requests: String = (0..300).map(|number| format!("GET /{number} HTTP/1.1\r\n\r\n")).collect();
    requests.push_str("GET /last HTTP/1.1\r\nConnection: close\r\n\r\n");
    let answers = exchange(server.address, requests).await;
    let bodies: Vec<&str> = answers.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
    let expected: Vec<String> = (0..300).map(|number| format!("/{number}")).chain(["/last".to_owned()]).collect();
    assert_eq!(bodies, expected);
}

pub async fn head_gets_the_length_only<R: Runtime>(runtime: R) {
    let server = Running::start(&runtime, patient());
    let answer = exchange(server.address, "HEAD /abc HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("\r\nContent-Length: 6\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

pub async fn a_client_of_version_1_0_sees_the_end<R: Runtime>(runtime: R) {
    let server = Running::start(&runtime, patient());
    let answer = exchange(server.address, "GET /old HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("</old>"), "{answer}");
}

pub async fn a_request_may_come_byte_by_byte<R: Runtime>(runtime: R) {
    let server = Running::start(&runtime, patient());
    let answer = on_thread(move || {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" {
            stream.write_all(&[*byte]).unwrap();
        }
        // The client may even be done sending.
        stream.shutdown(Shutdown::Write).unwrap();
        read_to_end(&mut stream)
    })
    .await;
    assert!(answer.ends_with("</slow>"), "{answer}");
}

pub async fn other_methods_are_refused<R: Runtime>(runtime: R) {
    let server = Running::start(&runtime, patient());
    let answer = exchange(server.address, "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").await;
    assert!(status(&answer) == "405" && answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
    let answer = exchange(server.address, "GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(status(&answer), "413");
}

pub async fn a_head_too_large_is_refused<R: Runtime>(runtime: R) {
    let server = Running::start(&runtime, patient());
    for rest in
        ["x".repeat(100_000), format!(" HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(9000)), " HTTP/1.1\r\n".to_owned() + &"a:b\r\n".repeat(100)]
    {
        let answer = exchange(server.address, format!("GET /{rest}")).await;
        assert_eq!(status(&answer), "431", "{answer}");
    }
}

pub async fn garbage_is_refused<R: Runtime>(runtime: R) {
    let server = Running::start(&runtime, patient());
    for garbage in ["\u{13}BitTorrent protocol\r\n\r\n", "GET announce HTTP/1.1\r\n\r\n", "GET / HTTP/3\r\n\r\n"] {
        let answer = exchange(server.address, garbage).await;
        assert_eq!(status(&answer), "400", "{answer}");
        assert!(answer.ends_with("the request is malformed"), "{answer}");
    }
}

pub async fn a_silent_client_is_dropped<R: Runtime>(runtime: R) {
    let server = Running::start(&runtime, Limits { idle_timeout: SHORT, ..patient() });
    assert_eq!(exchange(server.address, "").await, "");
}

pub async fn a_client_that_never_finishes_is_dropped<R: Runtime>(runtime: R) {
    let server = Running::start(&runtime, Limits { request_timeout: SHORT, ..patient() });
    assert_eq!(exchange(server.address, "GET / HTTP/1.1\r\nHost: ").await, "");
}

pub async fn connections_beyond_the_limit_wait<R: Runtime>(runtime: R) {
    let server = Running::start(&runtime, Limits { maximum_connections: 1, ..patient() });
    on_thread(move || {
        let mut first = TcpStream::connect(server.address).unwrap();
        first.write_all(b"GET /1 HTTP/1.1\r\n\r\n").unwrap();
        read_answer(&mut first);
        let mut second = TcpStream::connect(server.address).unwrap();
        second.write_all(b"GET /2 HTTP/1.1\r\n\r\n").unwrap();
        second.set_read_timeout(Some(SHORT)).unwrap();
        assert!(second.read(&mut [0]).is_err(), "the only place is taken");
        second.set_read_timeout(None).unwrap();
        drop(first);
        assert!(read_answer(&mut second).ends_with("</2>"));
    })
    .await;
}

pub async fn shutdown_closes_idle_connections<R: Runtime>(runtime: R) {
    let server = Running::start(&runtime, patient());
    on_thread(move || {
        let mut idle = TcpStream::connect(server.address).unwrap();
        idle.write_all(b"GET /1 HTTP/1.1\r\n\r\n").unwrap();
        read_answer(&mut idle);
        let mut busy = TcpStream::connect(server.address).unwrap();
        busy.write_all(b"GET /2 HTTP/1.1\r\n\r\nGET /3 ").unwrap();
        read_answer(&mut busy);

        server.stop.request();
        assert_eq!(read_to_end(&mut idle), "");
        // A request that was begun is still answered, with the word that it was the last.
        busy.write_all(b"HTTP/1.1\r\n\r\nGET /4 HTTP/1.1\r\n\r\n").unwrap();
        let answer = read_to_end(&mut busy);
        assert!(answer.contains("\r\nConnection: close\r\n") && answer.ends_with("</3>"), "{answer}");
        drop(busy);
        assert!(server.done.recv().is_err(), "the server has shut down");
        assert!(TcpStream::connect(server.address).is_err(), "nobody listens any more");
    })
    .await;
}
