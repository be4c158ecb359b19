//! Clients on loopback: everything between an application's call and another client's disk.

use std::{
    fs,
    future::{Future, poll_fn},
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
};

use rustor_core::{command::CommandError, event::Event, status::TorrentState};

use super::{
    lab::{Lab, address, background},
    support::both,
};
use crate::{AddOptions, Client, ClientConfig, ClientError, EventStream, StartError, adapter::Runtime};

/// The first event that `fits`; all before it are dropped.
async fn wait_for(events: &mut EventStream, fits: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = events.next().await.expect("the engine goes on");
        if fits(&event) {
            return event;
        }
    }
}

/// Polls a future once and drops it.
fn abandon(future: impl Future) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

pub async fn a_torrent_goes_from_one_client_to_another<R: Runtime>(runtime: R) {
    let lab = Lab::new();
    let payload = lab.payload("seed", 1_000_000);
    let (seeder, leecher) = (lab.start(&runtime, "seeder"), lab.start(&runtime, "leecher"));
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

pub async fn several_threads_and_several_leechers_do_as_well<R: Runtime>(runtime: R) {
    let lab = Lab::new();
    let payload = lab.payload("seed", 2_000_000);
    let seeder = lab.start(&runtime, "seeder");
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    let mut leechers: Vec<(Client, _, PathBuf)> = Vec::new();
    for number in 0..4 {
        let name = format!("leecher {number}");
        let (leecher, folder) = (lab.start(&runtime, &name), lab.folder(&name));
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
    let lab = Lab::new();
    let payload = lab.payload("seed", 300_000);
    let options = AddOptions::new(payload.metainfo.clone(), &payload.folder);
    let first = lab.start(&runtime, "client");
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
        let client = lab.start(&runtime, "client");
        let mut events = client.events();
        client.add(AddOptions { resume, paused: true, ..options.clone() }).await.unwrap();
        let checked = wait_for(&mut events, |event| matches!(event, Event::Checked { .. })).await;
        assert!(matches!(checked, Event::Checked { verified, .. } if verified == expected), "{checked:?}");
        client.shutdown().await;
    }
}

pub async fn a_paused_torrent_stands_still_until_it_is_resumed<R: Runtime>(runtime: R) {
    let lab = Lab::new();
    let payload = lab.payload("seed", 300_000);
    let (seeder, leecher) = (lab.start(&runtime, "seeder"), lab.start(&runtime, "leecher"));
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

pub async fn a_removed_torrent_is_gone_with_its_files_if_that_was_asked_for<R: Runtime>(runtime: R) {
    let lab = Lab::new();
    let payload = lab.payload("seed", 100_000);
    let client = lab.start(&runtime, "client");
    let options = AddOptions::new(payload.metainfo.clone(), &payload.folder);
    for delete_data in [false, true] {
        let torrent = client.add(options.clone()).await.unwrap();
        client.wait_finished(torrent).await.unwrap();
        assert_eq!(client.add(options.clone()).await, Err(ClientError::Command(CommandError::AlreadyAdded(torrent))));
        client.remove(torrent, delete_data).await.unwrap();
        assert_eq!(payload.is_in(&payload.folder), !delete_data);
        let nothing = ClientError::Command(CommandError::NoSuchTorrent);
        assert_eq!(client.status(torrent).await, Err(nothing.clone()));
        assert_eq!(client.peers(torrent).await, Err(nothing.clone()));
        assert_eq!(client.wait_finished(torrent).await, Err(nothing.clone()));
        assert_eq!(client.remove(torrent, false).await, Err(nothing));
        assert_eq!(client.list().await, Ok(Vec::new()));
    }
    assert_eq!(fs::read_dir(lab.folder("client.state")).unwrap().count(), 0);
}

pub async fn a_recheck_finds_what_was_damaged_and_fetches_it_again<R: Runtime>(runtime: R) {
    let lab = Lab::new();
    let payload = lab.payload("seed", 300_000);
    let (seeder, leecher) = (lab.start(&runtime, "seeder"), lab.start(&runtime, "leecher"));
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
    let lab = Lab::new();
    let payload = lab.payload("seed", 100_000);
    let client = lab.start(&runtime, "client");
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
    let lab = Lab::new();
    let mut payload = lab.payload("seed", 100_000);
    let (seeder, leecher) = (lab.start(&runtime, "seeder"), lab.start(&runtime, "leecher"));
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    let tracker = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/announce", tracker.local_addr().unwrap());
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
    let lab = Lab::new();
    let payload = lab.payload("seed", 4_000_000);
    let (seeder, leecher) = (lab.start(&runtime, "seeder"), lab.start(&runtime, "leecher"));
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    let mut events = leecher.events();
    let options = AddOptions::new(payload.metainfo.clone(), lab.folder("leech"));
    let options = AddOptions { peers: vec![address(&seeder)], ..options };
    let torrent = leecher.add(options.clone()).await.unwrap();
    wait_for(&mut events, |event| matches!(event, Event::PieceVerified { .. })).await;
    let (waiter, other) = (leecher.clone(), leecher.clone());
    let waiting = both(waiter.wait_finished(torrent), both(leecher.shutdown(), other.shutdown()));
    assert!(matches!(waiting.await.0, Ok(()) | Err(ClientError::Stopped)));
    let mut verified = 1;
    while let Some(event) = events.next().await {
        verified += u32::from(matches!(event, Event::PieceVerified { .. }));
    }

    let leecher = lab.start(&runtime, "leecher");
    let mut events = leecher.events();
    let torrent = leecher.add(options).await.unwrap();
    let checked = wait_for(&mut events, |event| matches!(event, Event::Checked { .. })).await;
    assert!(matches!(checked, Event::Checked { verified: kept, .. } if kept >= verified), "{verified}, {checked:?}");
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
}

pub async fn after_a_shutdown_everything_says_so<R: Runtime>(runtime: R) {
    let lab = Lab::new();
    let payload = lab.payload("seed", 1000);
    let client = lab.start(&runtime, "client");
    let mut events = client.events();
    client.shutdown().await;
    client.shutdown().await;
    assert_eq!(client.list().await, Err(ClientError::Stopped));
    assert_eq!(client.add(AddOptions::new(payload.metainfo, payload.folder)).await, Err(ClientError::Stopped));
    assert_eq!(wait_for(&mut events, |event| *event == Event::ShutDown).await, Event::ShutDown);
    assert_eq!(events.next().await, None);
    assert_eq!(client.events().next().await, None);
    // Its port is free again.
    TcpListener::bind(address(&client)).unwrap();
}

pub async fn the_last_handle_to_go_shuts_the_engine_down<R: Runtime>(runtime: R) {
    let lab = Lab::new();
    let (client, host) = Client::start(runtime.clone(), lab.config("client")).unwrap();
    let (mut events, clone) = (client.events(), client.clone());
    let ended = background(&runtime, host);
    drop(client);
    assert_eq!(clone.list().await, Ok(Vec::new()));
    drop(clone);
    ended.await.unwrap();
    assert_eq!(wait_for(&mut events, |event| *event == Event::ShutDown).await, Event::ShutDown);
}

pub async fn a_host_that_is_dropped_leaves_nobody_waiting<R: Runtime>(runtime: R) {
    let lab = Lab::new();
    let payload = lab.payload("seed", 100_000);
    let (client, mut host) = Client::start(runtime, lab.config("client")).unwrap();
    let mut events = client.events();
    let mut application = Box::pin(async {
        let torrent = client.add(AddOptions::new(payload.metainfo, lab.folder("leech"))).await.unwrap();
        wait_for(&mut events, |event| matches!(event, Event::Checked { .. })).await;
        torrent
    });
    let torrent = poll_fn(|context| {
        assert!(pin!(&mut host).poll(context).is_pending());
        application.as_mut().poll(context)
    })
    .await;
    drop(application);
    let mut waiting = pin!(client.wait_finished(torrent));
    poll_fn(|context| {
        assert!(waiting.as_mut().poll(context).is_pending() && pin!(&mut host).poll(context).is_pending());
        assert!(waiting.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    drop(host);
    assert_eq!(waiting.await, Err(ClientError::Stopped));
    assert_eq!(client.list().await, Err(ClientError::Stopped));
    client.shutdown().await;
    while events.next().await.is_some() {}
}

pub async fn what_was_asked_for_is_done_even_if_nobody_waits_for_the_answer<R: Runtime>(runtime: R) {
    let lab = Lab::new();
    let payload = lab.payload("seed", 100_000);
    let client = lab.start(&runtime, "client");
    let mut events = client.events();
    let torrent = client.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    for _ in 0..100 {
        abandon(client.wait_finished(torrent));
        abandon(client.list());
    }
    client.wait_finished(torrent).await.unwrap();
    abandon(client.remove(torrent, false));
    wait_for(&mut events, |event| matches!(event, Event::Removed { .. })).await;
    abandon(client.shutdown());
    assert_eq!(wait_for(&mut events, |event| *event == Event::ShutDown).await, Event::ShutDown);
}

pub async fn a_port_in_use_is_named<R: Runtime>(runtime: R) {
    let lab = Lab::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Client::start(runtime.clone(), ClientConfig { port, ..lab.config("client") }).err().unwrap();
    assert!(matches!(error, StartError::Listen { .. }));
    assert_eq!(error.to_string(), format!("port {port} is in use by another program"));
}

pub async fn all_addresses_get_the_same_port<R: Runtime>(runtime: R) {
    let lab = Lab::new();
    let config = lab.config("client");
    let (client, _host) = Client::start(runtime, ClientConfig { listen: ClientConfig::default().listen, ..config }).unwrap();
    let addresses = client.listen_addresses();
    assert!(addresses[0].is_ipv4());
    assert!(addresses.iter().all(|address| address.port() == addresses[0].port() && address.port() != 0));
}
