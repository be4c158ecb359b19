use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts a server's connections, and tells them when to stop.
#[derive(Debug, Clone)]
pub(super) struct Permits {
    shared: Arc<Mutex<Shared>>,
}

/// One connection's place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    permits: Permits,
    key: u64,
}

#[derive(Debug)]
struct Shared {
    maximum: usize,
    is_stopping: bool,
    next_key: u64,
    /// Who holds a permit, each with whom to wake when it is time to stop.
    held: BTreeMap<u64, Option<Waker>>,
    /// Who waits for a permit to come back.
    waiting: Option<Waker>,
}

impl Permits {
    pub(super) fn new(maximum: usize) -> Self {
        let shared = Shared { maximum, is_stopping: false, next_key: 0, held: BTreeMap::new(), waiting: None };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Whether a permit can be taken; if not, the context is woken when one comes back.
    pub(super) fn poll_available(&self, context: &Context<'_>) -> bool {
        let mut shared = self.lock();
        let is_available = shared.held.len() < shared.maximum;
        if !is_available {
            shared.waiting = Some(context.waker().clone());
        }
        is_available
    }

    pub(super) fn take(&self) -> Permit {
        let mut shared = self.lock();
        let key = shared.next_key;
        shared.next_key += 1;
        shared.held.insert(key, None);
        Permit { permits: self.clone(), key }
    }

    /// Tells all holders to stop.
    pub(super) fn stop(&self) {
        let wakers: Vec<Waker> = {
            let mut shared = self.lock();
            shared.is_stopping = true;
            shared.held.values_mut().filter_map(Option::take).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until no permit is held.
    pub(super) async fn all_returned(&self) {
        poll_fn(|context| {
            let mut shared = self.lock();
            if shared.held.is_empty() {
                return Poll::Ready(());
            }
            shared.waiting = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    pub(super) fn is_stopping(&self) -> bool {
        self.permits.lock().is_stopping
    }

    /// Whether it is time to stop; if not, the context is woken when it is.
    pub(super) fn poll_stopping(&self, context: &Context<'_>) -> bool {
        let mut shared = self.permits.lock();
        if !shared.is_stopping
            && let Some(waker) = shared.held.get_mut(&self.key)
        {
            *waker = Some(context.waker().clone());
        }
        shared.is_stopping
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let waiting = {
            let mut shared = self.permits.lock();
            shared.held.remove(&self.key);
            shared.waiting.take()
        };
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}
