//! The ways of this crate to start an engine.

use rustor_runtime::conformance::lab::{Lab, address};
use rustor_tokio::{AddOptions, TokioRuntime};
use tokio::runtime::Runtime;

#[tokio::test]
async fn an_engine_runs_beside_its_program() {
    let lab = Lab::new(&TokioRuntime::current());
    let payload = lab.payload("seed", 300_000);
    let seeder = rustor_tokio::start(lab.config("seeder")).unwrap();
    let leecher = rustor_tokio::start(lab.config("leecher")).unwrap();
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    let options = AddOptions::new(payload.metainfo.clone(), lab.folder("leech"));
    let torrent = leecher.add(AddOptions { peers: vec![address(&seeder)], ..options }).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
    leecher.shutdown().await;
    seeder.shutdown().await;
}

#[test]
fn a_program_without_a_runtime_can_run_one() {
    let elsewhere = Runtime::new().unwrap();
    let lab = Lab::new(&TokioRuntime::from(elsewhere.handle().clone()));
    let payload = lab.payload("seed", 100_000);
    let finished = rustor_tokio::run(lab.config("client"), async |client| {
        let torrent = client.add(AddOptions::new(payload.metainfo, &payload.folder)).await?;
        client.wait_finished(torrent).await
    });
    finished.unwrap().unwrap();
}
