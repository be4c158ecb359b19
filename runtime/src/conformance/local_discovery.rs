//! Clients of one network find each other by multicast, whatever they were told of trackers and peers: nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustor_core::event::Event;
use rustor_core::local_discovery::LOCAL_GROUPS;

use super::lab::{Lab, Payload, wait_for};
use super::support::on_thread;
use crate::adapter::{Runtime, multicast};
use crate::{AddOptions, ClientConfig};

pub async fn clients_of_one_network_find_each_other<R: Runtime>(runtime: R) {
    if !on_thread(is_possible).await {
        eprintln!("skipped: this machine hears nothing of what it says to a multicast group");
        return;
    }
    let lab = Lab::new(&runtime);
    let payload = payload(&lab, "seed");
    let start = |name: &str| lab.start_with(ClientConfig { listen: vec![Ipv4Addr::UNSPECIFIED.into()], ..lab.config(name) });
    let (seeder, leecher) = (start("seeder"), start("leecher"));
    let seeded = seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    seeder.wait_finished(seeded).await.unwrap();
    // Whoever comes later announces itself to who is there, and is connected to.
    let mut events = leecher.events();
    let torrent = leecher.add(AddOptions::new(payload.metainfo.clone(), lab.folder("leech"))).await.unwrap();
    wait_for(&mut events, |event| matches!(event, Event::PeerConnected { .. })).await;
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
}

/// A torrent that no other scenario, process or machine has.
fn payload<R: Runtime>(lab: &Lab<R>, folder: &str) -> Payload {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    lab.payload(folder, 100_000 + process::id() as usize % 100_000 * 10 + NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Whether one member of a group hears another on this machine.
fn is_possible() -> bool {
    let group = SocketAddr::new(LOCAL_GROUPS[0].ip(), 6773);
    let (one, other) = (multicast::join(group), multicast::join(group));
    one.iter().zip(&other).any(|(one, other)| {
        other.set_nonblocking(false).unwrap();
        other.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        one.send_to(b"?", group).is_ok() && other.recv_from(&mut [0; 10]).is_ok()
    })
}
