use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use rustor_core::event::Event;

/// Events that wait for a subscriber; then the oldest go.
const WAITING: usize = 4096;

/// The events of an engine, from [`Client::events`](crate::Client::events) on.
///
/// Who does not keep up loses the oldest events; [`EventStream::lost`] tells how many.
#[derive(Debug)]
pub struct EventStream {
    feed: Arc<Feed>,
}

impl EventStream {
    /// The next event; `None` once the engine has stopped. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next event if there is one already, or the news that none will come.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut state = self.feed.lock();
        if let Some(event) = state.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// How many events were lost so far because they were not taken in time.
    pub fn lost(&self) -> u64 {
        self.feed.lock().lost
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        let mut state = self.feed.lock();
        state.ended = true;
        state.events = VecDeque::new();
    }
}

/// The other end of an [`EventStream`]. Dropped, it ends the stream.
#[derive(Debug)]
pub(crate) struct Publisher {
    feed: Arc<Feed>,
}

pub(crate) fn channel() -> (Publisher, EventStream) {
    let feed = Arc::new(Feed::default());
    (Publisher { feed: feed.clone() }, EventStream { feed })
}

impl Publisher {
    /// Tells the subscriber; `false` if it is not interested any more.
    pub(crate) fn publish(&self, event: &Event) -> bool {
        let mut state = self.feed.lock();
        if state.ended {
            return false;
        }
        if state.events.len() >= WAITING {
            state.events.pop_front();
            state.lost += 1;
        }
        state.events.push_back(event.clone());
        wake(state);
        true
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let mut state = self.feed.lock();
        state.ended = true;
        wake(state);
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let waker = mem::take(&mut state.waker);
    // Not under the lock: who is woken may look at once.
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[derive(Debug, Default)]
struct Feed(Mutex<State>);

impl Feed {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    lost: u64,
    /// One of the two ends is gone.
    ended: bool,
    waker: Option<Waker>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(stream: &mut EventStream) -> Poll<Option<Event>> {
        stream.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    fn event(piece: u32) -> Event {
        Event::PieceVerified { torrent: rustor_core::id::TorrentId::from_bits(0), piece }
    }

    #[test]
    fn who_does_not_keep_up_loses_the_oldest_and_is_told_how_many() {
        let (publisher, mut stream) = channel();
        for piece in 0..WAITING as u32 + 3 {
            assert!(publisher.publish(&event(piece)));
        }
        assert_eq!(poll(&mut stream), Poll::Ready(Some(event(3))));
        assert_eq!(stream.lost(), 3);
    }

    #[test]
    fn a_stream_ends_after_its_last_event() {
        let (publisher, mut stream) = channel();
        assert!(publisher.publish(&event(1)));
        drop(publisher);
        assert_eq!(poll(&mut stream), Poll::Ready(Some(event(1))));
        assert_eq!(poll(&mut stream), Poll::Ready(None));
    }

    #[test]
    fn a_publisher_hears_that_its_subscriber_is_gone() {
        let (publisher, stream) = channel();
        assert!(publisher.publish(&event(1)));
        drop(stream);
        assert!(!publisher.publish(&event(2)));
    }
}
