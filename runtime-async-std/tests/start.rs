//! The ways of this crate to start an engine.

use rustor_async_std::{AddOptions, AsyncStdRuntime, Client, ClientConfig, ClientError, StartError, smol::SmolRuntime};
use rustor_runtime::{
    adapter::Runtime,
    conformance::lab::{Lab, Payload, address},
};

async fn an_engine_runs_beside_its_program<R: Runtime>(runtime: R, start: fn(ClientConfig) -> Result<Client, StartError>) {
    let lab = Lab::new(&runtime);
    let payload = lab.payload("seed", 300_000);
    let (seeder, leecher) = (start(lab.config("seeder")).unwrap(), start(lab.config("leecher")).unwrap());
    seeder.add(AddOptions::new(payload.metainfo.clone(), &payload.folder)).await.unwrap();
    let options = AddOptions::new(payload.metainfo.clone(), lab.folder("leech"));
    let torrent = leecher.add(AddOptions { peers: vec![address(&seeder)], ..options }).await.unwrap();
    leecher.wait_finished(torrent).await.unwrap();
    assert!(payload.is_in(&lab.folder("leech")));
    leecher.shutdown().await;
    seeder.shutdown().await;
}

#[test]
fn an_engine_runs_beside_its_program_on_async_std() {
    async_std::task::block_on(an_engine_runs_beside_its_program(AsyncStdRuntime::default(), rustor_async_std::start));
}

#[test]
fn an_engine_runs_beside_its_program_on_smol() {
    smol::block_on(an_engine_runs_beside_its_program(SmolRuntime::default(), rustor_async_std::smol::start));
}

async fn verify(client: Client, payload: Payload) -> Result<(), ClientError> {
    let torrent = client.add(AddOptions::new(payload.metainfo, payload.folder)).await?;
    client.wait_finished(torrent).await
}

#[test]
fn a_program_without_a_runtime_can_run_async_std() {
    let lab = Lab::new(&AsyncStdRuntime::default());
    let payload = lab.payload("seed", 100_000);
    rustor_async_std::run(lab.config("client"), |client| verify(client, payload)).unwrap().unwrap();
}

#[test]
fn a_program_without_a_runtime_can_run_smol() {
    let lab = Lab::new(&SmolRuntime::default());
    let payload = lab.payload("seed", 100_000);
    rustor_async_std::smol::run(lab.config("client"), |client| verify(client, payload)).unwrap().unwrap();
}
