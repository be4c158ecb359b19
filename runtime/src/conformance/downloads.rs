//! Whole downloads between clients of this machine.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rustor_core::event::Event;
use rustor_core::metainfo::Magnet;
use rustor_core::status::TorrentState;
use rustor_core::wire::{Handshake, PeerId, Reserved};

use super::lab::{Lab, address, wait_for};
use super::support::{Server, join, loopback, ok, on_thread, wait_for_close};
use crate::adapter::Runtime;
use crate::{AddOptions, Client, ClientConfig, ClientError};

pub async fn a_torrent_goes_from_one_client_to_another<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 1_000_000);
    let (seeder, leecher) = (lab.start("seeder"), lab.start("leecher"));
    let seeded = seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    seeder.wait_finished(seeded).await.unwrap();

    let mut events = leecher.events();
    let options = AddOptions { peers: vec![address(&seeder)], ..AddOptions::new(payload.metainfo.clone(), lab.folder("leech")) };
    let torrent = leecher.add(options).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));

    let status = leecher.status(torrent).await.unwrap();
    assert_eq!((status.state, status.verified, status.downloaded), (TorrentState::Seeding, 1_000_000, 1_000_000));
    assert_eq!(leecher.list().await.unwrap().len(), 1);
    let (mut verified, mut finished) = (0, false);
    while !finished {
        match events.next().await.unwrap() {
            Event::PieceVerified { .. } => verified += 1,
            Event::Finished { .. } => finished = true,
            _ => {}
        }
    }
    assert_eq!((verified, events.lost()), (payload.pieces(), 0));
    leecher.shutdown().await;
    seeder.shutdown().await;
}

pub async fn a_whole_magnet_needs_no_more_than_the_address_of_a_peer<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 1_000_000);
    let (seeder, leecher) = (lab.start("seeder"), lab.start("leecher"));
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();

    let magnet: Magnet = format!("magnet:?xt=urn:btih:{}&dn=called", payload.metainfo.info_hash()).parse().unwrap();
    let options = AddOptions::new(magnet, lab.folder("leech"));
    let mut events = leecher.events();
    let torrent = leecher.add(options.clone()).await.unwrap();
    let status = leecher.status(torrent).await.unwrap();
    assert_eq!((status.state, status.metadata, status.name.as_str()), (TorrentState::FetchingMetadata, false, "called"));
    assert_eq!(leecher.metainfo(torrent).await.unwrap(), None);
    leecher.add_peers(torrent, vec![address(&seeder)]).await.unwrap();
    wait_for(&mut events, |event| matches!(event, Event::MetadataReceived { .. })).await;
    assert_eq!(leecher.metainfo(torrent).await.unwrap().unwrap().info, payload.metainfo.info);
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
    leecher.shutdown().await;
    seeder.shutdown().await;

    // What the link stands for was saved, and nobody is asked again.
    let leecher = lab.start("leecher");
    let torrent = leecher.add(options).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    assert_eq!(leecher.status(torrent).await.unwrap().name, payload.metainfo.info.name());
}

pub async fn several_leechers_help_each_other<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 2_000_000);
    let seeder = lab.start("seeder");
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    let mut leechers: Vec<(Client, _, PathBuf)> = Vec::new();
    for number in 0..4 {
        let name = format!("leecher {number}");
        let (leecher, folder) = (lab.start(&name), lab.folder(&name));
        let peers = [&seeder].into_iter().chain(leechers.iter().map(|(leecher, ..)| leecher)).map(address).collect();
        let torrent = leecher.add(AddOptions { peers, ..AddOptions::new(payload.metainfo.clone(), &folder) }).await.unwrap();
        leechers.push((leecher, torrent, folder));
    }
    for (leecher, torrent, folder) in leechers {
        leecher.wait_finished(torrent).await.unwrap();
        assert!(payload.is_in(&folder));
    }
}

pub async fn a_later_session_believes_resume_data_that_fits_the_files<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 300_000);
    let options = AddOptions::new(payload.metainfo.clone(), &payload.folder);
    let first = lab.start("client");
    let torrent = first.add(options.clone()).await.unwrap();
    first.wait_finished(torrent).await.unwrap();
    first.shutdown().await;
    assert_eq!(fs::read_dir(lab.folder("client.state")).unwrap().count(), 1);

    // What the file's stamps vouch for is not read again: equal length and time hide the damage, without resume data nothing does.
    let file = payload.folder.join("payload");
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, vec![0; 300_000]).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    for (resume, expected) in [(true, payload.pieces()), (false, 0)] {
        let client = lab.start("client");
        let mut events = client.events();
        client.add(AddOptions { resume, paused: true, ..options.clone() }).await.unwrap();
        let checked = wait_for(&mut events, |event| matches!(event, Event::Checked { .. })).await;
        assert!(matches!(checked, Event::Checked { verified, .. } if verified == expected), "{checked:?}");
        client.shutdown().await;
    }
}

pub async fn a_paused_torrent_stands_still_until_it_is_resumed<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 300_000);
    let (seeder, leecher) = (lab.start("seeder"), lab.start("leecher"));
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    let mut events = leecher.events();
    let options = AddOptions::new(payload.metainfo.clone(), lab.folder("leech"));
    let torrent = leecher.add(AddOptions { peers: vec![address(&seeder)], paused: true, ..options }).await.unwrap();
    wait_for(&mut events, |event| matches!(event, Event::Checked { .. })).await;
    let status = leecher.status(torrent).await.unwrap();
    assert_eq!((status.state, status.peers), (TorrentState::Paused, 0));
    leecher.resume(torrent).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    leecher.pause(torrent).await.unwrap();
    assert_eq!(leecher.status(torrent).await.unwrap().state, TorrentState::Paused);
    // It is complete all the same.
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
}

pub async fn a_recheck_finds_what_was_damaged_and_fetches_it_again<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 300_000);
    let (seeder, leecher) = (lab.start("seeder"), lab.start("leecher"));
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    let folder = lab.folder("leech");
    let options = AddOptions { peers: vec![address(&seeder)], ..AddOptions::new(payload.metainfo.clone(), &folder) };
    let torrent = leecher.add(options).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    let mut damaged = payload.data.clone();
    damaged[100_000] ^= 1;
    fs::write(folder.join("payload"), damaged).unwrap();
    let mut events = leecher.events();
    leecher.recheck(torrent).await.unwrap();
    let checked = wait_for(&mut events, |event| matches!(event, Event::Checked { .. })).await;
    assert!(matches!(checked, Event::Checked { verified, .. } if verified == payload.pieces() - 1), "{checked:?}");
    leecher.add_peers(torrent, vec![address(&seeder)]).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&folder));
}

pub async fn a_disk_that_fails_ends_the_wait<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 100_000);
    let client = lab.start("client");
    let folder = lab.folder("leech");
    // A folder stands where the file must be.
    fs::create_dir(folder.join("payload")).unwrap();
    let torrent = client.add(AddOptions::new(payload.metainfo.clone(), &folder)).await.unwrap();
    let error = client.wait_finished(torrent).await.unwrap_err();
    assert!(matches!(&error, ClientError::Disk(error) if error.path.contains("payload")), "{error:?}");
    fs::remove_dir(folder.join("payload")).unwrap();
    fs::write(folder.join("payload"), &payload.data).unwrap();
    client.resume(torrent).await.unwrap();
    client.wait_finished(torrent).await.unwrap();
}

pub async fn peers_come_from_a_tracker<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let mut payload = lab.payload("seed", 100_000);
    let (seeder, leecher) = (lab.start("seeder"), lab.start("leecher"));
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    let tracker = TcpListener::bind("127.0.0.1:0").unwrap();
    // By its name, so that the whole way is gone.
    let url = format!("http://localhost:{}/announce", tracker.local_addr().unwrap().port());
    let port = address(&seeder).port().to_be_bytes();
    let serve = move || {
        let (mut stream, _) = tracker.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let mut body = b"d8:intervali1800e5:peers6:\x7f\0\0\x01".to_vec();
        body.extend_from_slice(&port);
        body.push(b'e');
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all(&[head.into_bytes(), body].concat()).unwrap();
        String::from_utf8(request).unwrap()
    };
    let served = thread::spawn(serve);
    payload.metainfo.trackers = vec![vec![url]];
    let torrent = leecher.add(AddOptions::new(payload.metainfo.clone(), lab.folder("leech"))).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
    let request = served.join().unwrap();
    assert!(request.contains(&format!("port={}", address(&leecher).port())), "{request}");
}

pub async fn shutdown_in_the_middle_loses_nothing_that_was_verified<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 4_000_000);
    let (seeder, leecher) = (lab.start("seeder"), lab.start("leecher"));
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    let mut events = leecher.events();
    let options = AddOptions::new(payload.metainfo.clone(), lab.folder("leech"));
    let options = AddOptions { peers: vec![address(&seeder)], ..options };
    let torrent = leecher.add(options.clone()).await.unwrap();
    wait_for(&mut events, |event| matches!(event, Event::PieceVerified { .. })).await;
    let (waiter, other) = (leecher.clone(), leecher.clone());
    let stop = join(leecher.shutdown(), other.shutdown());
    let (waited, ((), ())) = join(waiter.wait_finished(torrent), stop).await;
    assert!(matches!(waited, Ok(()) | Err(ClientError::Stopped)), "{waited:?}");
    let mut verified = 1;
    while let Some(event) = events.next().await {
        verified += u32::from(matches!(event, Event::PieceVerified { .. }));
    }

    let leecher = lab.start("leecher");
    let mut events = leecher.events();
    let torrent = leecher.add(options).await.unwrap();
    let checked = wait_for(&mut events, |event| matches!(event, Event::Checked { .. })).await;
    assert!(matches!(checked, Event::Checked { verified: kept, .. } if kept >= verified), "{verified}, {checked:?}");
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
}

pub async fn shutdown_does_not_wait_for_those_who_never_answer<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let mut payload = lab.payload("seed", 100_000);
    // A tracker that answers once, and a peer that takes the connection and says nothing.
    let mut answers = 0;
    let tracker = Server::playing(2, move |mut stream, _| {
        answers += 1;
        match answers {
            1 => stream.write_all(ok("d8:intervali1800e5:peers0:e").as_bytes()).unwrap(),
            _ => wait_for_close(stream),
        }
    });
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    payload.metainfo.trackers = vec![vec![tracker.url("/announce")]];
    let mut config = lab.config("leecher");
    config.engine.announcer.stop_timeout = Duration::from_millis(50);
    let leecher = lab.start_with(config);
    let mut events = leecher.events();
    let peers = vec![silent.local_addr().unwrap()];
    let options = AddOptions { peers, ..AddOptions::new(payload.metainfo.clone(), lab.folder("leech")) };
    let torrent = leecher.add(options).await.unwrap();
    wait_for(&mut events, |event| matches!(event, Event::TrackerReplied { .. })).await;
    let (mut accepted, _) = on_thread(move || silent.accept().unwrap()).await;
    // More work that is not waited for: every piece is read again.
    leecher.recheck(torrent).await.unwrap();
    leecher.shutdown().await;
    assert_eq!(wait_for(&mut events, |event| *event == Event::ShutDown).await, Event::ShutDown);
    let mut greeting = Vec::new();
    // A reset says the same: it is over.
    let _ = accepted.read_to_end(&mut greeting);
    assert!(tracker.requests.try_iter().last().is_some_and(|request| request.contains("event=stopped")));
}

pub async fn a_torrent_comes_over_ipv6<R: Runtime>(runtime: R) {
    let Some(here) = loopback().into_iter().find(|address| address.is_ipv6()) else { return };
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 200_000);
    let at = |name| lab.start_with(ClientConfig { listen: vec![here.ip()], ..lab.config(name) });
    let (seeder, leecher) = (at("seeder"), at("leecher"));
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    let options = AddOptions { peers: vec![address(&seeder)], ..AddOptions::new(payload.metainfo.clone(), lab.folder("leech")) };
    assert!(options.peers[0].is_ipv6());
    let torrent = leecher.add(options).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
}

pub async fn among_two_hundred_connections_a_leecher_is_served<R: Runtime>(runtime: R) {
    const CROWD: u32 = 200;
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 1_000_000);
    let mut config = lab.config("seeder");
    config.engine.limits.connections_per_torrent = CROWD + 1;
    let (seeder, leecher) = (lab.start_with(config), lab.start("leecher"));
    let mut events = seeder.events();
    let seeded = seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    seeder.wait_finished(seeded).await.unwrap();

    let (remote, info_hash) = (address(&seeder), payload.metainfo.info_hash());
    let shake_hands = move || {
        let hello = |number| {
            let mut peer_id = *b"-XX0000-............";
            peer_id[8..12].copy_from_slice(&u32::to_be_bytes(number));
            let mut stream = TcpStream::connect(remote).unwrap();
            stream.write_all(&Handshake { reserved: Reserved::default(), info_hash, peer_id: PeerId(peer_id) }.encode()).unwrap();
            stream
        };
        let mut crowd: Vec<TcpStream> = (0..CROWD).map(hello).collect();
        for stream in &mut crowd {
            let mut answer = [0; Handshake::LENGTH];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer[28..48], info_hash.0);
        }
        crowd
    };
    let crowd = on_thread(shake_hands).await;
    assert_eq!(seeder.status(seeded).await.unwrap().peers, CROWD);
    let options = AddOptions { peers: vec![remote], ..AddOptions::new(payload.metainfo.clone(), lab.folder("leech")) };
    let torrent = leecher.add(options).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
    assert!(seeder.peers(seeded).await.unwrap().len() >= CROWD as usize);
    drop(crowd);
    for _ in 0..CROWD {
        wait_for(&mut events, |event| matches!(event, Event::PeerDisconnected { .. })).await;
    }
}
