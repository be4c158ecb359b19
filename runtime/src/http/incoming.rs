use core::error::Error;
use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};
use std::io;

use crate::adapter::Stream;

/// Headers that a request may have.
const MAXIMUM_HEADERS: usize = 64;

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Head and body of the answer.
    Get,
    /// The answer's head only.
    Head,
}

/// A request as it arrived. None that the server hands on has a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What it wants.
    pub method: Method,
    /// Path and query as they were sent, percent-encoding and all. Begins with a slash.
    pub target: String,
    /// The `Host` header: the name that the client knows this server by, with its port.
    pub host: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
    /// Whether the client may send another request on the same connection.
    pub keep_alive: bool,
}

impl Request {
    /// The target before its question mark.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The target after its question mark; empty where there is none.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Reads one request's head off the front of `bytes` and returns it with its length, or `None` while it is incomplete.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, RequestError> {
        let mut headers = [httparse::EMPTY_HEADER; MAXIMUM_HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        let length = match head.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(RequestError::TooLarge),
            Err(_) => return Err(RequestError::Malformed),
        };
        let method = match head.method {
            Some("GET") => Method::Get,
            Some("HEAD") => Method::Head,
            _ => return Err(RequestError::Method),
        };
        let target = origin_form(head.path.unwrap_or_default()).ok_or(RequestError::Malformed)?;
        let mut request = Self { method, target: target.to_owned(), host: None, user_agent: None, keep_alive: head.version == Some(1) };
        for header in head.headers.iter() {
            let value = || String::from_utf8_lossy(header.value).trim().to_owned();
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("Host") {
                request.host = Some(value());
            } else if is("User-Agent") {
                request.user_agent = Some(value());
            } else if is("Connection") {
                for option in value().split(',').map(str::trim) {
                    if option.eq_ignore_ascii_case("close") {
                        request.keep_alive = false;
                    } else if option.eq_ignore_ascii_case("keep-alive") {
                        request.keep_alive = true;
                    }
                }
            } else if is("Transfer-Encoding") || (is("Content-Length") && value() != "0") {
                return Err(RequestError::Body);
            }
        }
        Ok(Some((request, length)))
    }
}

/// Why a request was not understood.
#[derive(Debug)]
pub enum RequestError {
    /// It is not HTTP/1, or ends in the middle.
    Malformed,
    /// Its head is larger than allowed.
    TooLarge,
    /// It is neither GET nor HEAD.
    Method,
    /// It brings a body.
    Body,
    /// The connection broke.
    Connection(io::Error),
}

impl RequestError {
    /// The status code to answer with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed | Self::Connection(_) => 400,
            Self::TooLarge => 431,
            Self::Method => 405,
            Self::Body => 413,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => formatter.write_str("the request is malformed"),
            Self::TooLarge => formatter.write_str("the request's headers are too large"),
            Self::Method => formatter.write_str("only GET and HEAD are understood"),
            Self::Body => formatter.write_str("a request must not have a body"),
            Self::Connection(error) => write!(formatter, "the connection broke: {error}"),
        }
    }
}

impl Error for RequestError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connection(error) => Some(error),
            _ => None,
        }
    }
}

/// Reads the requests of one connection, one after the other, also where a client sends several without waiting.
#[derive(Debug)]
pub struct RequestReader<S> {
    stream: S,
    buffer: Vec<u8>,
    maximum_head: usize,
}

impl<S: Stream> RequestReader<S> {
    /// A reader that takes requests whose heads are no larger than `maximum_head` bytes.
    pub fn new(stream: S, maximum_head: usize) -> Self {
        Self { stream, buffer: Vec::new(), maximum_head }
    }

    /// The connection, to answer on.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The next request, or `None` where the client ended the connection between requests.
    ///
    /// After an error nothing more can be read; it deserves an answer with its [status](RequestError::status).
    pub async fn next(&mut self) -> Result<Option<Request>, RequestError> {
        loop {
            if let Some((request, length)) = Request::parse(&self.buffer)? {
                if length > self.maximum_head {
                    return Err(RequestError::TooLarge);
                }
                self.buffer.drain(..length);
                return Ok(Some(request));
            }
            if self.buffer.len() >= self.maximum_head {
                return Err(RequestError::TooLarge);
            }
            if poll_fn(|context| self.poll_fill(context)).await.map_err(RequestError::Connection)? == 0 {
                // Empty lines between requests are nothing.
                let is_empty = self.buffer.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
                return if is_empty { Ok(None) } else { Err(RequestError::Malformed) };
            }
        }
    }

    /// Whether something was read that no request was made of yet.
    pub(super) fn has_unread(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Forgets what was read.
    pub(super) fn discard(&mut self) {
        self.buffer.clear();
    }

    /// Reads more and returns how much; 0 is the end.
    pub(super) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut bytes = [0; 4096];
        self.stream.poll_read(context, &mut bytes).map_ok(|length| {
            self.buffer.extend_from_slice(bytes.get(..length).unwrap_or_default());
            length
        })
    }
}

/// Path and query of a request target, which a client may also send as a whole URL (RFC 9112, section 3.2).
fn origin_form(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return Some(target);
    }
    let (_, rest) = target.split_once("://")?;
    Some(rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Request {
        Request::parse(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn path_and_query_are_kept_as_sent() {
        let request = parsed("GET /announce?info_hash=%00%ff&x=a?b HTTP/1.1\r\nHost: a:1\r\nUser-Agent: x/1 \r\n\r\n");
        assert_eq!((request.path(), request.query()), ("/announce", "info_hash=%00%ff&x=a?b"));
        assert_eq!((request.host.as_deref(), request.user_agent.as_deref()), (Some("a:1"), Some("x/1")));
        assert_eq!(parsed("HEAD http://a.example/x?y HTTP/1.1\r\n\r\n").target, "/x?y");
        assert_eq!(parsed("GET http://a.example HTTP/1.1\r\n\r\n").target, "/");
    }

    #[test]
    fn connections_stay_open_as_each_version_says() {
        assert!(parsed("GET / HTTP/1.1\r\n\r\n").keep_alive);
        assert!(!parsed("GET / HTTP/1.1\r\nconnection: TE, Close\r\n\r\n").keep_alive);
        assert!(!parsed("GET / HTTP/1.0\r\n\r\n").keep_alive);
        assert!(parsed("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
    }

    #[test]
    fn what_is_no_plain_request_is_refused() {
        let refused = |text: &str| Request::parse(text.as_bytes()).unwrap_err().status();
        assert_eq!(refused("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), 405);
        assert_eq!(refused("GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), 413);
        assert_eq!(refused("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), 413);
        assert_eq!(refused("GET announce HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(refused("GET / HTTP/2.0\r\n\r\n"), 400);
        assert_eq!(refused("\x13BitTorrent protocol\r\n"), 400);
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65))), 431);
    }

    proptest! {
        #[test]
        fn no_bytes_can_break_the_parser(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((request, length))) = Request::parse(&bytes) {
                prop_assert!(length <= bytes.len());
                prop_assert!(request.target.starts_with('/'));
            }
        }
    }
}
