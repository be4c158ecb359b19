//! What a server may send, byte by byte, without a network: the client reads it from memory.

use core::future::{Future, ready};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use proptest::prelude::*;

use super::{HttpClient, Request, Roots};
use crate::adapter::{Datagram, Listener, Runtime, Stream, Timer};

/// A runtime all of whose connections lead to a server that sends `answer`, in parts of at most `part` bytes, and closes.
#[derive(Clone)]
struct Memory {
    answer: Vec<u8>,
    part: usize,
}

impl Runtime for Memory {
    type Stream = Memory;
    type Listener = Memory;
    type Datagram = Memory;
    type Timer = Memory;

    fn connect(&self, _remote: SocketAddr) -> impl Future<Output = io::Result<Memory>> + Send {
        ready(Ok(self.clone()))
    }

    fn listen(&self, _local: SocketAddr) -> io::Result<Memory> {
        unreachable!()
    }

    fn datagram(&self, _socket: UdpSocket) -> io::Result<Memory> {
        unreachable!()
    }

    fn timer(&self) -> Memory {
        self.clone()
    }

    async fn resolve(&self, _host: String, _port: u16) -> io::Result<Vec<SocketAddr>> {
        unreachable!()
    }

    fn spawn(&self, _task: impl Future<Output = ()> + Send + 'static) {
        unreachable!()
    }
}

impl Stream for Memory {
    fn poll_read(&mut self, _context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let length = self.answer.len().min(self.part).min(buffer.len());
        buffer[..length].copy_from_slice(&self.answer[..length]);
        self.answer.drain(..length);
        Poll::Ready(Ok(length))
    }

    fn poll_write(&mut self, _context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buffers.iter().map(|buffer| buffer.len()).sum()))
    }

    fn poll_shutdown(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        unreachable!()
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        unreachable!()
    }
}

impl Listener for Memory {
    type Stream = Memory;

    fn poll_accept(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<(Memory, SocketAddr)>> {
        unreachable!()
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        unreachable!()
    }
}

impl Datagram for Memory {
    fn poll_receive(&mut self, _context: &mut Context<'_>, _buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        unreachable!()
    }

    fn poll_send(&mut self, _context: &mut Context<'_>, _payload: &[u8], _remote: SocketAddr) -> Poll<io::Result<usize>> {
        unreachable!()
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        unreachable!()
    }
}

impl Timer for Memory {
    fn reset(&mut self, _deadline: Instant) {}

    fn poll_expired(&mut self, _context: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// What the client makes of `answer`, in a form to compare.
fn outcome(answer: &[u8], part: usize) -> Result<(u16, Vec<u8>), String> {
    let runtime = Memory { answer: answer.to_vec(), part };
    let client = HttpClient::new(Roots::none());
    let request = Request { maximum_body: 300, ..Request::get("http://192.0.2.1/") };
    let mut getting = pin!(client.get(&runtime, request));
    match getting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => Ok((response.head.status, response.body.to_vec())),
        Poll::Ready(Err(error)) => Err(error.to_string()),
        Poll::Pending => panic!("it waits although everything is there"),
    }
}

/// Answers that are nearly right.
fn answer() -> impl Strategy<Value = Vec<u8>> {
    let packed = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 0x4c, 4, 0, 0x43, 0xbe, 0xb7, 0xe8, 1, 0, 0, 0];
    let header = prop::sample::select(vec![
        "Content-Length: 5\r\n",
        "Content-Length: 22\r\n",
        "Content-Length: 500\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: x\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Content-Encoding: gzip\r\n",
        "Content-Encoding: deflate\r\n",
        "Content-Range: bytes 0-4/5\r\n",
        "Location: /\r\n",
        "Location: \r\n",
        "X:\r\n",
        "X\r\n",
        "Bad Name: x\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "\r\n",
    ]);
    let body = prop_oneof![
        prop::sample::select(vec![
            "hello",
            "5\r\nhello\r\n",
            "0\r\n\r\n",
            "0\r\n",
            "a: b\r\n",
            "\r\n",
            "5;x=y\r\nhe",
            "fffffffffffffffff\r\n",
            "-1\r\n"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        Just(packed.to_vec()),
        Just([b"16\r\n".as_slice(), &packed, b"\r\n"].concat()),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    let status = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 206 \r\n",
        "HTTP/1.1 304 x\r\n",
        "HTTP/1.1 302 x\r\n",
        "HTTP/1.1 101 x\r\n",
        "HTTP/1.1 999\r\n",
        "HTTP/1.1 000\r\n",
        "",
    ]);
    (status, prop::collection::vec(header, 0..4), any::<bool>(), prop::collection::vec(body, 0..5)).prop_map(
        |(status, headers, ends, body)| {
            let mut answer = [status.as_bytes(), headers.concat().as_bytes()].concat();
            if ends {
                answer.extend_from_slice(b"\r\n");
            }
            answer.extend(body.concat());
            answer
        },
    )
}

proptest! {
    #[test]
    fn any_split_of_an_answer_means_the_same(answer in answer(), part in 1usize..40) {
        // Of two faults in one answer either may be seen first.
        let (split, whole) = (outcome(&answer, part).ok(), outcome(&answer, usize::MAX).ok());
        prop_assert_eq!(split, whole, "{}", answer.escape_ascii());
    }

    #[test]
    fn no_bytes_can_break_the_client(answer in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = outcome(&answer, usize::MAX);
    }
}

#[test]
fn answers_in_memory_are_understood() {
    assert_eq!(outcome(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 1), Ok((200, b"hi".to_vec())));
}
