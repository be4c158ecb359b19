//! Our own tracker, served over both of its protocols.

use core::future::{pending, poll_fn};
use core::task::Poll;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};

use futures_channel::oneshot;
use rustor_core::event::Event;
use rustor_core::metainfo::InfoHash;
use rustor_core::tracker::udp::{Request, Response};
use rustor_core::tracker::{AnnounceEvent, AnnounceRequest, ScrapeError, TrackerFailure, TrackerServerConfig, http};

use super::lab::{Lab, wait_for};
use super::support::{Server, Task, loopback, on_thread, spawn};
use crate::adapter::{Datagram, Listener, Runtime};
use crate::http::{HttpClient, Roots};
use crate::tracker::{Tracker, open};
use crate::{AddOptions, ClientConfig, scrape};

/// A tracker at this address that serves for as long as the task is kept.
fn tracker<R: Runtime>(runtime: &R, local: SocketAddr) -> (Tracker, SocketAddr, [Task<()>; 2]) {
    let tracker = Tracker::new(TrackerServerConfig::default()).unwrap();
    let (listener, socket) = open(runtime, local).unwrap();
    let address = socket.local_address().unwrap();
    let (over_http, over_udp, on) = (tracker.clone(), tracker.clone(), runtime.clone());
    let http = spawn(runtime, async move { over_http.serve_http(&on, listener, pending()).await });
    let on = runtime.clone();
    let udp = spawn(runtime, async move { over_udp.serve_udp(&on, socket, pending()).await });
    (tracker, address, [http, udp])
}

pub async fn both_protocols_share_a_port_and_a_shutdown_frees_it<R: Runtime>(runtime: R) {
    for local in loopback() {
        let (listener, socket) = open(&runtime, local).unwrap();
        let address = listener.local_address().unwrap();
        assert_eq!(socket.local_address().unwrap(), address);
        assert!(open(&runtime, address).is_err());
        let (stop, stopped) = oneshot::channel::<()>();
        let on = runtime.clone();
        let tracker = Tracker::new(TrackerServerConfig::default()).unwrap();
        let udp = spawn(&runtime, async move { tracker.serve_udp(&on, socket, async { stopped.await.unwrap_or_default() }).await });
        drop((listener, stop));
        udp.join().await;
        assert!(open(&runtime, address).is_ok());
    }
}

pub async fn peers_find_each_other_by_our_own_tracker_over_udp<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    for local in loopback() {
        let (tracker, address, _serving) = tracker(&runtime, local);
        let family = if local.is_ipv4() { "four" } else { "six" };
        let mut payload = lab.payload(&format!("seed {family}"), 100_000);
        payload.metainfo.trackers = vec![vec![format!("udp://{address}/announce")]];
        let start = |name: &str| {
            let name = format!("{name} {family}");
            lab.start_with(ClientConfig { listen: vec![local.ip()], ..lab.config(&name) })
        };
        let (seeder, leecher) = (start("seeder"), start("leecher"));
        let mut events = seeder.events();
        seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
        wait_for(&mut events, |event| matches!(event, Event::TrackerReplied { peers: 0, .. })).await;
        assert_eq!(tracker.totals().peers, 1);

        let mut events = leecher.events();
        let folder = lab.folder(&format!("leech {family}"));
        let torrent = leecher.add(AddOptions::new(payload.metainfo.clone(), &folder)).await.unwrap();
        wait_for(&mut events, |event| matches!(event, Event::TrackerReplied { peers: 1, .. })).await;
        leecher.wait_finished(torrent).await.unwrap();
        assert!(payload.is_in(&folder));
        // Whoever leaves says so.
        leecher.shutdown().await;
        seeder.shutdown().await;
        until(&runtime, || tracker.totals().peers == 0).await;
    }
}

pub async fn who_has_not_proven_its_address_is_not_answered<R: Runtime>(runtime: R) {
    for local in loopback() {
        let (tracker, address, _serving) = tracker(&runtime, local);
        let connected = on_thread(move || {
            let socket = UdpSocket::bind(local).unwrap();
            let ask = |request: Request, transaction| socket.send_to(&request.encode(transaction), address).unwrap();
            let answer = || {
                let mut buffer = [0; 2048];
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                assert_eq!(from, address);
                Response::decode(&buffer[..length], local.is_ipv6(), 10).unwrap()
            };
            let announce = |connection| Request::Announce { connection, announce: request(), url_data: Vec::new() };
            socket.send_to(b"what is this?", address).unwrap();
            ask(announce(0x1234_5678_9abc_def0), 1);
            ask(Request::Scrape { connection: 0, info_hashes: vec![request().info_hash] }, 2);
            ask(Request::Connect, 3);
            // Answers come in order, so what came before was not answered.
            let (Response::Connect(connection), 3) = answer() else { panic!("the connection id is expected") };
            ask(announce(connection), 4);
            assert!(matches!(answer(), (Response::Announce(_), 4)));
            ask(Request::Scrape { connection, info_hashes: vec![request().info_hash] }, 5);
            let (Response::Scrape(swarms), 5) = answer() else { panic!("the size of the swarm is expected") };
            swarms
        });
        let swarms = connected.await;
        assert_eq!((swarms[0].incomplete, swarms[0].complete, tracker.totals().peers), (Some(1), Some(0), 1));
    }
}

pub async fn swarms_are_counted_over_both_protocols<R: Runtime>(runtime: R) {
    let client = HttpClient::new(Roots::none());
    for local in loopback() {
        let (_, address, _serving) = tracker(&runtime, local);
        let (here, elsewhere) = (request().info_hash, InfoHash([9; 20]));
        on_thread(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let target = http::announce_url("/announce", &request());
            write!(stream, "GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap();
        })
        .await;
        for scheme in ["http", "udp"] {
            let url = format!("{scheme}://{address}/announce");
            let swarms = scrape(&runtime, &client, &url, &[elsewhere, here]).await.unwrap().swarms;
            let counts = swarms.iter().find(|(info_hash, _)| *info_hash == here).unwrap().1;
            assert_eq!((counts.complete, counts.incomplete, counts.downloaded), (Some(0), Some(1), Some(0)), "{url}");
        }
    }
}

pub async fn what_a_tracker_does_not_tell_is_an_error<R: Runtime>(runtime: R) {
    let client = HttpClient::new(Roots::none());
    let server = Server::answering(["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]);
    let error = scrape(&runtime, &client, &server.url("/announce"), &[request().info_hash]).await;
    assert_eq!(error, Err(ScrapeError::Failed(TrackerFailure::Status(404))));
    let error = scrape(&runtime, &client, "http://localhost/", &[request().info_hash]).await;
    assert_eq!(error, Err(ScrapeError::NoConvention));
    let error = scrape(&runtime, &client, "udp://no-such-host.invalid:1/announce", &[request().info_hash]).await;
    assert!(matches!(error, Err(ScrapeError::Failed(TrackerFailure::Unreachable(_)))), "{error:?}");
}

fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([1; 20]),
        peer_id: [2; 20],
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: AnnounceEvent::Started,
        peers_wanted: None,
        key: None,
        tracker_id: None,
    }
}

/// Waits for what other tasks bring about.
async fn until<R: Runtime>(runtime: &R, condition: impl Fn() -> bool) {
    poll_fn(|context| {
        if condition() {
            return Poll::Ready(());
        }
        runtime.yield_now(context);
        Poll::Pending
    })
    .await;
}
