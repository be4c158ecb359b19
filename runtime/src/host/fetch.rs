//! Files that are downloaded part by part: each by a task of its own, which reads only when it is told to.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use rustor_core::{
    error::HttpError,
    id::FetchId,
    input::{ByteRange, FetchHead, Input, ReadBuffer},
};

use super::{
    errand::{Answer, http_error},
    wake::Mailbox,
};
use crate::{
    adapter::Runtime,
    http::{self, HttpClient, Request, ResponseHead},
};

/// It is the engine that gives up.
const FOR_EVER: Duration = Duration::MAX;

/// The downloads that are under way.
#[derive(Default)]
pub(crate) struct Fetches {
    orders: BTreeMap<FetchId, Orders>,
}

impl Fetches {
    /// Begins a download.
    pub(crate) fn begin<R: Runtime>(&mut self, runtime: &R, mailbox: &Arc<Mailbox>, http: HttpClient, fetch: FetchId, request: Request) {
        let orders = Orders::default();
        runtime.spawn(download(fetch, request, http, runtime.clone(), mailbox.clone(), orders.0.clone()));
        self.orders.insert(fetch, orders);
    }

    /// Lets a download read once.
    pub(crate) fn read(&self, fetch: FetchId, limit: u32) {
        if let Some(orders) = self.orders.get(&fetch) {
            orders.0.change(|state| state.limit = Some(limit));
        }
    }

    /// Ends a download.
    pub(crate) fn cancel(&mut self, fetch: FetchId) {
        self.orders.remove(&fetch);
    }

    /// Whether `input` is not the answer of a download that was cancelled meanwhile.
    pub(crate) fn lets_pass(&mut self, input: &Input) -> bool {
        let (fetch, is_last) = match input {
            Input::FetchHead { fetch, result } => (fetch, result.is_err()),
            Input::FetchBody { fetch, result } => (fetch, !result.as_ref().is_ok_and(|buffer| !buffer.data.is_empty())),
            _ => return true,
        };
        let is_known = self.orders.contains_key(fetch);
        if is_last {
            self.orders.remove(fetch);
        }
        is_known
    }

    /// Ends all.
    pub(crate) fn clear(&mut self) {
        self.orders.clear();
    }
}

/// The request for a part of a file.
pub(crate) fn request(url: String, range: ByteRange) -> Request {
    let range = http::ByteRange { start: range.start, length: range.length };
    Request { range: Some(range), maximum_body: usize::MAX, timeout: FOR_EVER, ..Request::get(url) }
}

/// What a download's task is to do. Dropping it ends the task.
#[derive(Default)]
struct Orders(Arc<Shared>);

impl Drop for Orders {
    fn drop(&mut self) {
        self.0.change(|state| state.is_cancelled = true);
    }
}

#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    /// Read at most so many bytes.
    limit: Option<u32>,
    is_cancelled: bool,
    waker: Option<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the download is cancelled; if not, its task is woken by the next change.
    fn is_cancelled(&self, context: &Context<'_>) -> bool {
        let mut state = self.lock();
        state.waker = Some(context.waker().clone());
        state.is_cancelled
    }

    /// How much to read; `None` once the download is cancelled.
    async fn next_read(&self) -> Option<u32> {
        poll_fn(|context| {
            if self.is_cancelled(context) {
                return Poll::Ready(None);
            }
            self.lock().limit.take().map_or(Poll::Pending, |limit| Poll::Ready(Some(limit)))
        })
        .await
    }

    /// The output of `future`; `None` if the download is cancelled before.
    async fn unless_cancelled<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if self.is_cancelled(context) {
                return Poll::Ready(None);
            }
            future.as_mut().poll(context).map(Some)
        })
        .await
    }
}

async fn download<R: Runtime>(fetch: FetchId, request: Request, http: HttpClient, runtime: R, mailbox: Arc<Mailbox>, orders: Arc<Shared>) {
    let given_up = || HttpError::Failed("the download was given up".into());
    let mut answer = Answer::new(&mailbox, Input::FetchHead { fetch, result: Err(given_up()) });
    let opened = orders.unless_cancelled(http.open(&runtime, request)).await;
    let Some(opened) = opened else { return answer.withdraw() };
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(error) => return answer.is(Input::FetchHead { fetch, result: Err(http_error(&error)) }),
    };
    answer.is(Input::FetchHead { fetch, result: Ok(head(stream.head())) });
    drop(answer);

    let mut rest = Bytes::new();
    while let Some(limit) = orders.next_read().await {
        let mut answer = Answer::new(&mailbox, Input::FetchBody { fetch, result: Err(given_up()) });
        let is_first = rest.is_empty();
        if is_first {
            match orders.unless_cancelled(stream.next_chunk()).await {
                None => return answer.withdraw(),
                Some(Ok(chunk)) => rest = chunk.unwrap_or_default(),
                Some(Err(error)) => return answer.is(Input::FetchBody { fetch, result: Err(http_error(&error)) }),
            }
        }
        // What is left of a part is a slice of the same memory, which is counted once.
        let allocation = if is_first { rest.len() } else { 0 };
        let data = rest.split_to(rest.len().min(limit as usize));
        let is_last = data.is_empty();
        let allocation = u32::try_from(allocation.max(data.len())).unwrap_or(u32::MAX);
        answer.is(Input::FetchBody { fetch, result: Ok(ReadBuffer { data, allocation }) });
        if is_last {
            return;
        }
    }
}

fn head(head: &ResponseHead) -> FetchHead {
    let range = head.content_range.map(|part| ByteRange { start: part.range.start, length: part.range.length });
    FetchHead {
        status: head.status,
        length: head.content_length,
        range,
        total: head.content_range.and_then(|part| part.total),
        retry_after: head.retry_after.map(|wait| u32::try_from(wait.as_secs()).unwrap_or(u32::MAX)),
    }
}
