//! The HTTP client against servers that behave, and against all kinds that do not.

use core::num::NonZeroU64;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::support::{Rerouted, Server, ok, on_thread, redirect, wait_for_close};
use crate::adapter::Runtime;
use crate::http::{AddressFamily, ByteRange, ContentRange, HttpClient, HttpError, Request, Response, Roots};

/// Enough for what has to time out; nothing that has to succeed depends on it.
const SHORT: Duration = Duration::from_millis(50);

async fn get<R: Runtime>(runtime: &R, request: Request) -> Result<Response, HttpError> {
    HttpClient::new(Roots::none()).get(runtime, request).await
}

async fn get_answer<R: Runtime>(runtime: &R, answer: impl Into<Vec<u8>>) -> Result<Response, HttpError> {
    let server = Server::answering([answer]);
    get(runtime, Request::get(server.url("/"))).await
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn packed(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

pub async fn a_request_says_who_asks_for_what<R: Runtime>(runtime: R) {
    let server = Server::answering([ok("")]);
    get(&runtime, Request::get(server.url("/announce?info_hash=%00%ff&left=0#top"))).await.unwrap();
    let request = server.requests.recv().unwrap();
    let lines: Vec<&str> = request.trim_end().split("\r\n").collect();
    let expected = [
        "GET /announce?info_hash=%00%ff&left=0 HTTP/1.1",
        &format!("Host: {}", server.address),
        concat!("User-Agent: RusTor/", env!("CARGO_PKG_VERSION")),
        "Accept-Encoding: gzip",
        "Connection: close",
    ];
    assert_eq!(lines, expected);
}

pub async fn a_body_of_known_length_arrives_whole<R: Runtime>(runtime: R) {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello and more";
    let response = get_answer(&runtime, answer).await.unwrap();
    assert_eq!(response.head.status, 200);
    assert_eq!(response.head.content_type.as_deref(), Some("text/plain"));
    assert_eq!(response.head.content_length, Some(5));
    assert_eq!(response.body, "hello");

    let large = "x".repeat(300_000);
    assert_eq!(get_answer(&runtime, ok(&large)).await.unwrap().body, large);
}

pub async fn a_chunked_body_is_joined<R: Runtime>(runtime: R) {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let large = "y".repeat(100_000);
    let body = format!("5\r\nhello\r\n1;a=b\r\n \r\n{:X}\r\n{large}\r\n0\r\nTrailer: x\r\n\r\n", large.len());
    let response = get_answer(&runtime, format!("{head}{body}")).await.unwrap();
    assert_eq!(response.body, format!("hello {large}"));
}

pub async fn a_body_can_end_with_the_connection<R: Runtime>(runtime: R) {
    assert_eq!(get_answer(&runtime, "HTTP/1.0 200 OK\r\n\r\nd8:intervali1800ee").await.unwrap().body, "d8:intervali1800ee");
    assert_eq!(get_answer(&runtime, "HTTP/1.1 200 OK\r\n\r\n").await.unwrap().body, "");
}

pub async fn an_answer_without_a_body_is_complete<R: Runtime>(runtime: R) {
    let response = get_answer(&runtime, "HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n").await.unwrap();
    assert_eq!((response.head.status, response.body.as_ref()), (204, &b""[..]));
    assert_eq!(get_answer(&runtime, packed(b"")).await.unwrap().body, "");
}

pub async fn gzip_is_unpacked<R: Runtime>(runtime: R) {
    let body = b"d8:intervali1800e5:peers0:e".repeat(2000);
    assert_eq!(get_answer(&runtime, packed(&gzip(&body))).await.unwrap().body, body);
}

pub async fn a_zip_bomb_is_stopped<R: Runtime>(runtime: R) {
    let bomb = gzip(&vec![0; 8 << 20]);
    let error = get_answer(&runtime, packed(&bomb)).await.unwrap_err();
    assert_eq!(error.to_string(), "the server's answer is larger than 1048576 bytes");
}

pub async fn a_cut_gzip_body_is_an_error<R: Runtime>(runtime: R) {
    let body = gzip(b"hello");
    let error = get_answer(&runtime, packed(&body[..body.len() - 1])).await.unwrap_err();
    assert_eq!(error.to_string(), "the server's answer is malformed: its compressed body is cut off or damaged");
}

pub async fn an_error_status_is_an_answer<R: Runtime>(runtime: R) {
    let response = get_answer(&runtime, "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nwhat?").await.unwrap();
    assert_eq!((response.head.status, response.body.as_ref()), (404, &b"what?"[..]));
    let response = get_answer(&runtime, "HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    assert_eq!((response.head.status, response.head.retry_after), (503, Some(Duration::from_secs(120))));
}

pub async fn interim_answers_are_skipped<R: Runtime>(runtime: R) {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    assert_eq!(get_answer(&runtime, hint.repeat(2) + &ok("hello")).await.unwrap().body, "hello");
    let error = get_answer(&runtime, hint.repeat(1000)).await.unwrap_err();
    assert_eq!(error.to_string(), "the server's answer is malformed: it never gets past interim answers");
}

pub async fn redirects_are_followed<R: Runtime>(runtime: R) {
    let last = Server::answering([redirect(302, "../c?y=ü"), redirect(303, "d"), ok("hello")]);
    let first = Server::answering([redirect(301, "/a/b"), redirect(307, "b2"), redirect(308, &last.url("/x/y/z"))]);
    let mut request = Request::get(first.url("/?q"));
    request.maximum_redirects = 5;
    let response = get(&runtime, request).await.unwrap();
    assert_eq!((response.body.as_ref(), response.head.url), (&b"hello"[..], last.url("/x/d")));
    let targets = |server: &Server| -> Vec<String> {
        server.requests.try_iter().map(|request| request.split(' ').nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!(targets(&first), ["/?q", "/a/b", "/a/b2"]);
    assert_eq!(targets(&last), ["/x/y/z", "/x/c?y=%C3%BC", "/x/d"]);
}

pub async fn a_redirect_loop_ends<R: Runtime>(runtime: R) {
    let server = Server::answering([redirect(302, "/"), redirect(302, "/"), redirect(302, "/")]);
    let mut request = Request::get(server.url("/"));
    request.maximum_redirects = 2;
    let error = get(&runtime, request).await.unwrap_err();
    assert_eq!(error.to_string(), "the server redirected more than 2 times");
    assert_eq!(server.requests.iter().count(), 3);
}

pub async fn a_redirect_to_nowhere_is_an_error<R: Runtime>(runtime: R) {
    let error = get_answer(&runtime, "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n").await.unwrap_err();
    assert_eq!(error.to_string(), "the server's answer is malformed: it redirects without saying where");
    let error = get_answer(&runtime, redirect(302, "ftp://a.example/")).await.unwrap_err();
    assert!(matches!(error, HttpError::UnsupportedScheme(scheme) if scheme == "ftp"));
    let error = get_answer(&runtime, redirect(302, "http://")).await.unwrap_err();
    assert!(matches!(error, HttpError::BadUrl(_)));
}

pub async fn a_redirect_into_a_private_network_is_refused<R: Runtime>(runtime: R) {
    let inside = Server::answering([ok("secret")]);
    let port = inside.address.port();
    let public = Server::answering([
        redirect(302, &format!("http://127.0.0.1:{port}/")),
        redirect(302, "http://innocent.example/"),
        redirect(302, "http://mixed.example/"),
    ]);
    let runtime = Rerouted::new(runtime)
        .name("public.example", &["203.0.113.1"])
        .name("innocent.example", &["192.168.0.1", "::1"])
        .name("mixed.example", &["192.168.0.1", "203.0.113.2"])
        .route("203.0.113.1", Some(public.address))
        .route("203.0.113.2", Some(inside.address));

    let error = get(&runtime, Request::get("http://public.example/")).await.unwrap_err();
    assert_eq!(error.to_string(), "the server redirected into a private network, to 127.0.0.1");
    // What counts is the address, whatever the name.
    let error = get(&runtime, Request::get("http://public.example/")).await.unwrap_err();
    assert!(matches!(error, HttpError::RedirectToPrivate(address) if address.to_string() == "192.168.0.1"));
    // Of a name with both kinds the public one is used.
    assert_eq!(get(&runtime, Request::get("http://public.example/")).await.unwrap().body, "secret");
}

pub async fn a_redirect_between_public_servers_is_followed<R: Runtime>(runtime: R) {
    let second = Server::answering([ok("hello")]);
    let first = Server::answering([redirect(302, "http://second.example/")]);
    let runtime = Rerouted::new(runtime)
        .name("first.example", &["203.0.113.1"])
        .name("second.example", &["203.0.113.2"])
        .route("203.0.113.1", Some(first.address))
        .route("203.0.113.2", Some(second.address));
    let response = get(&runtime, Request::get("http://first.example/")).await.unwrap();
    assert_eq!((response.body.as_ref(), response.head.url.as_str()), (&b"hello"[..], "http://second.example/"));
}

pub async fn a_cut_answer_is_an_error<R: Runtime>(runtime: R) {
    for cut in [
        "",
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let error = get_answer(&runtime, cut).await.unwrap_err();
        assert_eq!(error.to_string(), "the server closed the connection before the end of its answer", "{cut:?}");
    }
}

pub async fn an_endless_body_is_stopped<R: Runtime>(runtime: R) {
    let until_close = ("", vec![b'x'; 4096]);
    let chunked = ("Transfer-Encoding: chunked\r\n", b"400\r\n".iter().copied().chain([b'x'; 1024]).chain(*b"\r\n").collect());
    for (header, part) in [until_close, chunked] {
        let server = Server::playing(1, move |mut stream, _| {
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{header}\r\n").as_bytes()).unwrap();
            while stream.write_all(&part).is_ok() {}
        });
        let error = get(&runtime, Request::get(server.url("/"))).await.unwrap_err();
        assert!(matches!(error, HttpError::TooLarge { maximum: 0x10_0000 }), "{header:?}: {error}");
    }
}

pub async fn a_body_announced_too_large_is_not_begun<R: Runtime>(runtime: R) {
    // The server never sends a byte of it: waiting for one would wait forever.
    let server = Server::playing(1, |mut stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n").unwrap();
        wait_for_close(stream);
    });
    let error = get(&runtime, Request::get(server.url("/"))).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { .. }), "{error}");
}

pub async fn endless_headers_are_stopped<R: Runtime>(runtime: R) {
    for part in ["x".repeat(4096), format!("X-Header: {}\r\n", "x".repeat(1000)), "a: b\r\n".repeat(100)] {
        let server = Server::playing(1, move |mut stream, _| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
            while stream.write_all(part.as_bytes()).is_ok() {}
        });
        let error = get(&runtime, Request::get(server.url("/"))).await.unwrap_err();
        assert!(matches!(error, HttpError::Malformed(_)), "{error}");
    }
}

pub async fn endless_packaging_is_stopped<R: Runtime>(runtime: R) {
    let trailers = ("Transfer-Encoding: chunked\r\n", b"0\r\n".to_vec(), b"a: b\r\n".repeat(500));
    let chunk_size = ("Transfer-Encoding: chunked\r\n", Vec::new(), b"0".repeat(1000));
    // Empty stored blocks: packed data that never amounts to anything.
    let blocks = ("Content-Encoding: gzip\r\n", gzip(b"")[..10].to_vec(), [0, 0, 0, 0xff, 0xff].repeat(500));
    for (header, first, part) in [trailers, chunk_size, blocks] {
        let server = Server::playing(1, move |mut stream, _| {
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{header}\r\n").as_bytes()).unwrap();
            let _ = stream.write_all(&first);
            while stream.write_all(&part).is_ok() {}
        });
        let error = get(&runtime, Request::get(server.url("/"))).await.unwrap_err();
        assert!(matches!(error, HttpError::TooLarge { .. } | HttpError::Malformed(_)), "{header:?}: {error}");
    }
}

pub async fn what_is_not_http_is_an_error<R: Runtime>(runtime: R) {
    for garbage in
        ["SSH-2.0-OpenSSH_9.9\r\n", "\u{13}BitTorrent protocol\r\n\r\n", "\n\n\n<html>\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n"]
    {
        let error = get_answer(&runtime, garbage).await.unwrap_err();
        assert_eq!(error.to_string(), "the server's answer is malformed: it is not HTTP/1", "{garbage:?}");
    }
    for garbage in [
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n",
    ] {
        let error = get_answer(&runtime, garbage).await.unwrap_err();
        assert!(matches!(error, HttpError::Malformed(_)), "{garbage:?}: {error}");
    }
}

pub async fn a_silent_server_times_out<R: Runtime>(runtime: R) {
    for said in ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"] {
        let server = Server::playing(1, move |mut stream, _| {
            stream.write_all(said.as_bytes()).unwrap();
            wait_for_close(stream);
        });
        let mut request = Request::get(server.url("/"));
        request.timeout = SHORT;
        let error = get(&runtime, request).await.unwrap_err();
        assert!(matches!(error, HttpError::Timeout), "{error}");
    }
}

pub async fn a_dribbling_server_times_out<R: Runtime>(runtime: R) {
    // Something always comes, and it never amounts to an answer.
    let server = Server::playing(1, |mut stream, _| {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(b"x").is_ok() {
            // Half a wait, half a check whether the client is still there.
            if matches!(stream.read(&mut [0]), Ok(0)) {
                return;
            }
        }
    });
    let mut request = Request::get(server.url("/"));
    request.timeout = SHORT;
    let error = get(&runtime, request).await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout), "{error}");
}

pub async fn a_refused_connection_is_told<R: Runtime>(runtime: R) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = get(&runtime, Request::get(format!("http://{address}/"))).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{address} refused the connection"));
}

pub async fn a_name_that_is_unknown_is_told<R: Runtime>(runtime: R) {
    let runtime = Rerouted::new(runtime).name("empty.example", &[]);
    let error = get(&runtime, Request::get("http://tracker.example/")).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot resolve tracker.example: no such name");
    let error = get(&runtime, Request::get("http://empty.example/")).await.unwrap_err();
    assert_eq!(error.to_string(), "empty.example has no address");
    for url in ["tracker.example", "udp://tracker.example:80"] {
        let error = get(&runtime, Request::get(url)).await.unwrap_err();
        assert!(matches!(error, HttpError::BadUrl(_) | HttpError::UnsupportedScheme(_)), "{error}");
    }
}

pub async fn a_missing_address_family_is_told<R: Runtime>(runtime: R) {
    let runtime = Rerouted::new(runtime).name("old.example", &["203.0.113.1"]);
    for (host, missing) in [("old.example", "old.example"), ("127.0.0.1", "127.0.0.1")] {
        let mut request = Request::get(format!("http://{host}/"));
        request.address_family = Some(AddressFamily::V6);
        let error = get(&runtime, request).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{missing} has no IPv6 address"));
    }
}

pub async fn the_family_asked_for_is_used<R: Runtime>(runtime: R) {
    let four = Server::answering([ok("four")]);
    let six = Server::answering([ok("six")]);
    let runtime = Rerouted::new(runtime)
        .name("both.example", &["203.0.113.1", "2001:db8::1"])
        .route("203.0.113.1", Some(four.address))
        .route("2001:db8::1", Some(six.address));
    for (family, expected) in [(AddressFamily::V6, "six"), (AddressFamily::V4, "four")] {
        let mut request = Request::get("http://both.example/");
        request.address_family = Some(family);
        assert_eq!(get(&runtime, request).await.unwrap().body, expected);
    }
}

pub async fn the_next_address_is_tried_where_one_refuses<R: Runtime>(runtime: R) {
    let server = Server::answering([ok("hello")]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let runtime = Rerouted::new(runtime)
        .name("many.example", &["203.0.113.1", "203.0.113.2", "203.0.113.3"])
        .route("203.0.113.1", Some(closed))
        .route("203.0.113.2", Some(closed))
        .route("203.0.113.3", Some(server.address));
    assert_eq!(get(&runtime, Request::get("http://many.example/")).await.unwrap().body, "hello");
}

pub async fn the_next_address_is_tried_beside_a_silent_one<R: Runtime>(runtime: R) {
    let server = Server::answering([ok("hello")]);
    let runtime = Rerouted::new(runtime)
        .name("both.example", &["2001:db8::1", "203.0.113.1"])
        .route("2001:db8::1", None)
        .route("203.0.113.1", Some(server.address));
    let mut request = Request::get("http://both.example/");
    // The silent address never uses up its patience.
    request.connect_timeout = Duration::from_secs(86_400);
    request.timeout = Duration::from_secs(86_400);
    assert_eq!(get(&runtime, request).await.unwrap().body, "hello");
}

pub async fn silent_addresses_time_out<R: Runtime>(runtime: R) {
    let runtime = Rerouted::new(runtime)
        .name("silent.example", &["203.0.113.1", "203.0.113.2"])
        .route("203.0.113.1", None)
        .route("203.0.113.2", None);
    let mut request = Request::get("http://silent.example/");
    request.connect_timeout = SHORT;
    let error = get(&runtime, request.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to 203.0.113.2:80: no answer within 50ms");
    request.connect_timeout = Duration::from_secs(86_400);
    request.timeout = SHORT;
    assert!(matches!(get(&runtime, request).await, Err(HttpError::Timeout)));
}

pub async fn a_range_is_asked_for_and_told<R: Runtime>(runtime: R) {
    let partial = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 10-14/100\r\nContent-Length: 5\r\n\r\nhello";
    let packed = "HTTP/1.1 206 Partial Content\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello";
    let server = Server::answering([partial.to_owned(), ok("the whole file"), packed.to_owned()]);
    let range = ByteRange { start: 10, length: NonZeroU64::new(5).unwrap() };
    let request = Request { range: Some(range), ..Request::get(server.url("/file")) };

    let response = get(&runtime, request.clone()).await.unwrap();
    assert_eq!((response.head.status, response.body.as_ref()), (206, &b"hello"[..]));
    assert_eq!(response.head.content_range, Some(ContentRange { range, total: Some(100) }));
    let head = server.requests.recv().unwrap();
    assert!(head.contains("\r\nRange: bytes=10-14\r\n") && head.contains("\r\nAccept-Encoding: identity\r\n"), "{head}");

    // A server may not know ranges: the caller sees it by the status.
    let response = get(&runtime, request.clone()).await.unwrap();
    assert_eq!((response.head.status, response.head.content_range), (200, None));
    assert!(matches!(get(&runtime, request).await, Err(HttpError::UnsupportedEncoding(_))));
}

pub async fn a_body_is_streamed_as_it_comes<R: Runtime>(runtime: R) {
    // The server sends the second part only once the first has come out at the other end.
    let (go_on, wait) = mpsc::channel();
    let server = Server::playing(1, move |mut stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").unwrap();
        wait.recv().unwrap();
        stream.write_all(b"after").unwrap();
    });
    let client = HttpClient::new(Roots::none());
    let mut stream = client.open(&runtime, Request::get(server.url("/"))).await.unwrap();
    assert_eq!(stream.head().content_length, Some(10));
    let mut first = Vec::new();
    while first.len() < 5 {
        first.extend_from_slice(&stream.next_chunk().await.unwrap().unwrap());
    }
    assert_eq!(first, b"first");
    go_on.send(()).unwrap();
    let mut second = Vec::new();
    while let Some(chunk) = stream.next_chunk().await.unwrap() {
        assert!(!chunk.is_empty());
        second.extend_from_slice(&chunk);
    }
    assert_eq!(second, b"after");
    assert_eq!(stream.next_chunk().await.unwrap(), None);
}

pub async fn the_deadline_of_a_stream_can_be_moved<R: Runtime>(runtime: R) {
    let server = Server::playing(1, |mut stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").unwrap();
        wait_for_close(stream);
    });
    let mut request = Request::get(server.url("/"));
    request.timeout = Duration::from_secs(86_400);
    let mut stream = HttpClient::new(Roots::none()).open(&runtime, request).await.unwrap();
    stream.set_deadline(Instant::now() + SHORT);
    assert!(matches!(stream.next_chunk().await, Err(HttpError::Timeout)));
    assert!(stream.next_chunk().await.is_err(), "a stream that failed has not ended well");
}

pub async fn user_and_password_are_sent<R: Runtime>(runtime: R) {
    let server = Server::answering([ok("")]);
    get(&runtime, Request::get(format!("http://user:secret@{}/", server.address))).await.unwrap();
    let head = server.requests.recv().unwrap().to_ascii_lowercase();
    assert!(head.contains(&format!("\r\nhost: {}\r\n", server.address)), "{head}");
    assert!(head.contains("\r\nauthorization: basic dxnlcjpzzwnyzxq=\r\n"), "{head}");
}

pub async fn a_request_can_be_a_task_of_its_own<R: Runtime>(runtime: R) {
    let server = Server::answering([ok("hello")]);
    let (sender, receiver) = mpsc::channel();
    let (task, request) = (runtime.clone(), Request::get(server.url("/")));
    runtime.spawn(async move {
        sender.send(get(&task, request).await).unwrap();
    });
    assert_eq!(on_thread(move || receiver.recv().unwrap()).await.unwrap().body, "hello");
}
