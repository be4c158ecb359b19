//! The example of a host without any runtime (`core/examples/blocking.rs`) downloads from a client.

use std::net::TcpListener;

use rustor_runtime::{
    conformance::lab::{Lab, address},
    core::{event::Event, rng::Seed},
};
use rustor_tokio::{AddOptions, TokioRuntime};

#[allow(dead_code, unreachable_pub, missing_docs, reason = "it is a program of its own")]
#[path = "../../core/examples/blocking.rs"]
mod blocking;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_blocking_sockets_downloads_from_a_client() {
    let lab = Lab::new(&TokioRuntime::current());
    let payload = lab.payload("seed", 1_000_000);
    let (seeder, folder) = (lab.start("seeder"), lab.folder("leech"));
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    // The other peer is not there.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (metainfo, peers) = (payload.metainfo.clone(), vec![closed, address(&seeder)]);
    let into = folder.to_str().unwrap().to_owned();
    let downloading = tokio::task::spawn_blocking(move || {
        let mut verified = 0;
        let count = |event: &Event| verified += u32::from(matches!(event, Event::PieceVerified { .. }));
        blocking::download(metainfo, into, peers, Seed::from_u64(1), count).map_err(|error| error.to_string())?;
        Ok::<_, String>(verified)
    });
    assert_eq!(downloading.await.unwrap(), Ok(payload.pieces()));
    assert!(payload.is_in(&folder));
}
