//! The handle that applications hold: starting, asking, giving up, stopping.

use std::fs;
use std::net::TcpListener;

use rustor_core::command::CommandError;
use rustor_core::event::Event;
use rustor_core::record::{Replay, Told};

use super::lab::{Lab, abandon, address, wait_for};
use super::support::spawn;
use crate::adapter::Runtime;
use crate::{AddOptions, Client, ClientConfig, ClientError, StartError};

pub async fn a_removed_torrent_is_gone_with_its_files_if_that_was_asked_for<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 100_000);
    let client = lab.start("client");
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

pub async fn after_a_shutdown_everything_says_so<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 1000);
    let client = lab.start("client");
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

pub async fn a_recorded_session_replays_to_the_same_actions<R: Runtime>(runtime: R) {
    for mask_addresses in [false, true] {
        a_session_is_recorded(&Lab::new(&runtime), mask_addresses).await;
    }
}

async fn a_session_is_recorded<R: Runtime>(lab: &Lab<R>, mask_addresses: bool) {
    let payload = lab.payload("seed", 3_000_000);
    let file = lab.folder("recordings").join("leecher");
    let recorded = ClientConfig { record: Some(file.clone()), mask_addresses, ..lab.config("leecher") };
    let (seeder, leecher) = (lab.start("seeder"), lab.start_with(recorded));
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    let options = AddOptions { peers: vec![address(&seeder)], ..AddOptions::new(payload.metainfo.clone(), lab.folder("leech")) };
    let torrent = leecher.add(options).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    leecher.shutdown().await;
    let recording = fs::read(file).unwrap();
    assert!(recording.len() < payload.data.len() / 32, "{} bytes", recording.len());
    let replay = Replay::new(recording.into()).unwrap();
    // Checkpoints compare all that was said; the last one stands at the end.
    assert!(matches!(replay.clone().last().unwrap().unwrap().what, Told::Checkpoint(_)));
    assert!(replay.transcript().unwrap().entries() > 500);
    seeder.shutdown().await;
}

pub async fn the_last_handle_to_go_shuts_the_engine_down<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let (client, host) = Client::start(runtime.clone(), lab.config("client")).unwrap();
    let (mut events, clone) = (client.events(), client.clone());
    let host = spawn(&runtime, host);
    drop(client);
    assert_eq!(clone.list().await, Ok(Vec::new()));
    drop(clone);
    host.join().await;
    assert_eq!(wait_for(&mut events, |event| *event == Event::ShutDown).await, Event::ShutDown);
}

pub async fn a_host_that_is_dropped_leaves_nobody_waiting<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 100_000);
    let (client, host) = Client::start(runtime.clone(), lab.config("client")).unwrap();
    let mut events = client.events();
    let host = spawn(&runtime, host);
    let torrent = client.add(AddOptions::new(payload.metainfo, lab.folder("leech"))).await.unwrap();
    let waiter = client.clone();
    let waiting = spawn(&runtime, async move { waiter.wait_finished(torrent).await });
    wait_for(&mut events, |event| matches!(event, Event::Checked { .. })).await;
    drop(host);
    assert_eq!(waiting.join().await, Err(ClientError::Stopped));
    client.shutdown().await;
    assert_eq!(events.next().await, None);
}

pub async fn what_was_asked_for_is_done_even_if_nobody_waits_for_the_answer<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 100_000);
    let client = lab.start("client");
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
    let lab = Lab::new(&runtime);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Client::start(runtime.clone(), ClientConfig { port, ..lab.config("client") }).err().unwrap();
    assert!(matches!(error, StartError::Listen { .. }));
    assert_eq!(error.to_string(), format!("port {port} is in use by another program"));
}

pub async fn all_addresses_get_the_same_port<R: Runtime>(runtime: R) {
    let lab = Lab::new(&runtime);
    let config = lab.config("client");
    let client = lab.start_with(ClientConfig { listen: ClientConfig::default().listen, ..config });
    let addresses = client.listen_addresses();
    assert!(addresses[0].is_ipv4());
    assert!(addresses.iter().all(|address| address.port() == addresses[0].port() && address.port() != 0));
}
