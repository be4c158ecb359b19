//! Torrents that come from web servers (BEP 19).

use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use rustor_core::event::Event;
use rustor_core::metainfo::Metainfo;
use rustor_core::status::{TorrentState, WebSeedState};

use super::lab::{Lab, address, wait_for};
use super::support::{Server, on_thread, redirect, wait_for_close};
use crate::adapter::Runtime;
use crate::{AddOptions, ClientConfig};

/// The part of a file that a request asks for: its first byte and the byte behind its last.
fn asked_for(request: &str) -> (usize, usize) {
    let range = request.lines().find_map(|line| line.strip_prefix("Range: bytes=")).expect("a request for a part");
    let (first, last) = range.split_once('-').unwrap();
    (first.parse().unwrap(), last.parse::<usize>().unwrap() + 1)
}

/// Says that what `request` asks for comes, and sends at most `length` bytes of it.
fn send_part(stream: &mut TcpStream, request: &str, file: &[u8], length: usize) {
    let (start, end) = asked_for(request);
    let range = format!("bytes {start}-{}/{}", end - 1, file.len());
    let head = format!("HTTP/1.1 206 Partial Content\r\nContent-Range: {range}\r\nContent-Length: {}\r\n\r\n", end - start);
    // A client that has enough may be gone before the end.
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&file[start..end.min(start.saturating_add(length))]);
}

/// One that asks again at once.
fn hurried<R: Runtime>(lab: &Lab<R>) -> ClientConfig {
    let mut config = lab.config("leecher");
    config.engine.web_seed.retry_interval = Duration::from_millis(5);
    config
}

pub async fn a_torrent_comes_from_a_web_server_alone<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 3_000_000);
    let file = payload.data.clone();
    let server = Server::playing(1, move |mut stream, request| send_part(&mut stream, request, &file, usize::MAX));
    let mirror = Server::answering([redirect(302, &server.url("/elsewhere?a=b"))]);
    let leecher = lab.start("leecher");
    let metainfo = Metainfo { web_seeds: vec![mirror.url("/pub/")], ..payload.metainfo.clone() };
    let torrent = leecher.add(AddOptions::new(metainfo, lab.folder("leech"))).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
    assert!(mirror.requests.recv().unwrap().starts_with("GET /pub/payload HTTP/1.1\r\n"));
    assert!(server.requests.recv().unwrap().starts_with("GET /elsewhere?a=b HTTP/1.1\r\n"));
    let status = leecher.status(torrent).await.unwrap();
    assert_eq!((status.state, status.downloaded, status.wasted), (TorrentState::Seeding, 3_000_000, 0));
    let seeds = leecher.web_seeds(torrent).await.unwrap();
    assert_eq!((seeds.len(), seeds[0].state, seeds[0].downloaded), (1, WebSeedState::Idle, 3_000_000));
    leecher.shutdown().await;
}

pub async fn what_a_web_server_breaks_off_it_is_asked_for_again<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 1_000_000);
    let file = payload.data.clone();
    // A third of a megabyte at a time.
    let server = Server::playing(9, move |mut stream, request| send_part(&mut stream, request, &file, 333_333));
    let leecher = lab.start_with(hurried(&lab));
    let metainfo = Metainfo { web_seeds: vec![server.url("/payload")], ..payload.metainfo.clone() };
    let torrent = leecher.add(AddOptions::new(metainfo, lab.folder("leech"))).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
    let starts: Vec<usize> = server.requests.try_iter().map(|request| asked_for(&request).0).collect();
    assert_eq!(starts[..3], [0, 327_680, 655_360], "from the block that was broken off");
}

pub async fn a_web_server_stops_half_way_and_a_peer_appears<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 1_000_000);
    let file = payload.data.clone();
    let server = Server::playing(1, move |mut stream, request| send_part(&mut stream, request, &file, 500_000));
    let (seeder, leecher) = (lab.start("seeder"), lab.start_with(hurried(&lab)));
    let mut events = leecher.events();
    let metainfo = Metainfo { web_seeds: vec![server.url("/payload")], ..payload.metainfo.clone() };
    let torrent = leecher.add(AddOptions::new(metainfo, lab.folder("leech"))).await.unwrap();
    wait_for(&mut events, |event| matches!(event, Event::WebSeedFailed { .. })).await;
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    leecher.add_peers(torrent, vec![address(&seeder)]).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
}

pub async fn a_pause_closes_the_connection_to_a_web_server<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 1_000_000);
    let file = payload.data.clone();
    let (gone, is_gone) = mpsc::channel();
    // One half of the file comes, and then nothing; and the second time everything.
    let mut rest = 500_000;
    let server = Server::playing(2, move |mut stream, request| {
        send_part(&mut stream, request, &file, rest);
        rest = usize::MAX;
        wait_for_close(stream);
        let _ = gone.send(());
    });
    let leecher = lab.start("leecher");
    let mut events = leecher.events();
    let metainfo = Metainfo { web_seeds: vec![server.url("/payload")], ..payload.metainfo.clone() };
    let torrent = leecher.add(AddOptions::new(metainfo, lab.folder("leech"))).await.unwrap();
    wait_for(&mut events, |event| matches!(event, Event::PieceVerified { .. })).await;
    leecher.pause(torrent).await.unwrap();
    let is_gone = on_thread(move || is_gone.recv().map(|()| is_gone).unwrap()).await;
    leecher.resume(torrent).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
    on_thread(move || is_gone.recv().unwrap()).await;
}
