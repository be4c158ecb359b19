//! The scenarios that every adapter has to pass.

use std::future::Future;

use rustor_tokio::TokioRuntime;
use tokio::runtime::{Builder, Runtime};

fn play<F: Future<Output = ()>>(runtime: Runtime, scenario: impl FnOnce(TokioRuntime) -> F) {
    runtime.block_on(async { scenario(TokioRuntime::current()).await });
}

mod on_one_thread {
    use super::*;

    fn run<F: Future<Output = ()>>(scenario: impl FnOnce(TokioRuntime) -> F) {
        play(Builder::new_current_thread().enable_all().build().unwrap(), scenario);
    }

    rustor_runtime::conformance!(run);
}

mod on_several_threads {
    use super::*;

    fn run<F: Future<Output = ()>>(scenario: impl FnOnce(TokioRuntime) -> F) {
        play(Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(), scenario);
    }

    rustor_runtime::conformance!(run);
}
