//! The scenarios that every adapter has to pass, on both executors.

use std::future::Future;

mod on_async_std {
    use rustor_async_std::AsyncStdRuntime;

    use super::*;

    fn run<F: Future<Output = ()>>(scenario: impl FnOnce(AsyncStdRuntime) -> F) {
        async_std::task::block_on(scenario(AsyncStdRuntime::default()));
    }

    rustor_runtime::conformance!(run);
}

mod on_smol {
    use rustor_async_std::smol::SmolRuntime;

    use super::*;

    fn run<F: Future<Output = ()>>(scenario: impl FnOnce(SmolRuntime) -> F) {
        smol::block_on(scenario(SmolRuntime::default()));
    }

    rustor_runtime::conformance!(run);
}
