//! Everything that holds over any runtime holds over tokio's.

use std::future::Future;

use rustor_runtime::conformance::lab::Lab;
use rustor_tokio::{AddOptions, TokioRuntime};
use tokio::runtime::Builder;

/// Scenarios on one thread.
mod one_thread {
    use super::*;

    fn run<F: Future<Output = ()>>(scenario: impl FnOnce(TokioRuntime) -> F) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { scenario(TokioRuntime::current()).await });
    }

    rustor_runtime::adapter_conformance!(run);
    rustor_runtime::http_conformance!(run);
    rustor_runtime::client_conformance!(run);
}

/// Scenarios on several threads.
mod threads {
    use super::*;

    fn run<F: Future<Output = ()>>(scenario: impl FnOnce(TokioRuntime) -> F) {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async { scenario(TokioRuntime::current()).await });
    }

    rustor_runtime::adapter_conformance!(run);
    rustor_runtime::client_conformance!(run);
}

#[test]
fn a_program_without_a_runtime_can_run_one() {
    let lab = Lab::new();
    let payload = lab.payload("seed", 100_000);
    let finished = rustor_tokio::run(lab.config("client"), async |client| {
        let torrent = client.add(AddOptions::new(payload.metainfo, &payload.folder)).await?;
        client.wait_finished(torrent).await
    });
    finished.unwrap().unwrap();
}

#[tokio::test]
async fn a_program_with_a_runtime_can_use_its_own() {
    let lab = Lab::new();
    let client = rustor_tokio::start(lab.config("client")).unwrap();
    assert_eq!(client.list().await, Ok(Vec::new()));
    client.shutdown().await;
}
