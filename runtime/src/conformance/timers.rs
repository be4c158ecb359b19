//! Timers: never early, never lost, in order.

use core::future::poll_fn;
use core::task::{Context, Poll};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use super::support::{Bell, expired};
use crate::adapter::{Runtime, Timer};

const LONG: Duration = Duration::from_secs(86_400);

fn poll<T: Timer>(timer: &mut T, bell: &Bell) -> Poll<()> {
    timer.poll_expired(&mut Context::from_waker(&bell.waker()))
}

pub async fn a_timer_that_is_not_set_never_expires<R: Runtime>(runtime: R) {
    let (mut unset, mut set) = (runtime.timer(), runtime.timer());
    assert!(poll(&mut unset, &Bell::default()).is_pending());
    set.reset(Instant::now() + Duration::from_millis(5));
    expired(&mut set).await;
    assert!(poll(&mut unset, &Bell::default()).is_pending());
}

pub async fn a_timer_is_never_early<R: Runtime>(runtime: R) {
    let mut timer = runtime.timer();
    for micros in [0, 1, 100, 999, 1000, 1001, 5000, 12_345] {
        let deadline = Instant::now() + Duration::from_micros(micros);
        timer.reset(deadline);
        expired(&mut timer).await;
        assert!(Instant::now() >= deadline);
    }
}

pub async fn an_expired_timer_stays_so_until_it_is_set_again<R: Runtime>(runtime: R) {
    let (mut timer, bell) = (runtime.timer(), Bell::default());
    timer.reset(Instant::now());
    expired(&mut timer).await;
    assert!(poll(&mut timer, &bell).is_ready() && poll(&mut timer, &bell).is_ready());
    timer.reset(Instant::now() + LONG);
    assert!(poll(&mut timer, &bell).is_pending());
    timer.reset(Instant::now());
    expired(&mut timer).await;
}

pub async fn a_waiting_timer_can_be_set_to_earlier_and_to_later<R: Runtime>(runtime: R) {
    let (mut timer, mut other, bell) = (runtime.timer(), runtime.timer(), Bell::default());
    timer.reset(Instant::now() + LONG);
    assert!(poll(&mut timer, &bell).is_pending());
    timer.reset(Instant::now() + Duration::from_millis(5));
    if poll(&mut timer, &bell).is_pending() {
        bell.rung().await;
    }
    expired(&mut timer).await;

    let soon = Instant::now() + Duration::from_millis(5);
    timer.reset(soon);
    let _ = poll(&mut timer, &bell);
    timer.reset(Instant::now() + LONG);
    assert!(poll(&mut timer, &bell).is_pending());
    other.reset(soon + Duration::from_millis(5));
    expired(&mut other).await;
    assert!(poll(&mut timer, &bell).is_pending());
}

/// Notes its number when it is woken for the first time.
struct Note {
    number: u64,
    order: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        let mut order = self.order.lock().unwrap();
        if !order.contains(&self.number) {
            order.push(self.number);
        }
    }
}

pub async fn under_load_timers_wake_in_the_order_of_their_deadlines<R: Runtime>(runtime: R) {
    const COUNT: u64 = 40;
    let done = Arc::new(AtomicBool::new(false));
    for _ in 0..4 {
        let (done, on) = (done.clone(), runtime.clone());
        runtime.spawn(poll_fn(move |context| {
            if done.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            on.yield_now(context);
            Poll::Pending
        }));
    }
    let mut lead = Duration::from_millis(20);
    let order = loop {
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = Instant::now() + lead;
        let mut timers = Vec::new();
        for step in 0..COUNT {
            // 17 and 40 have no common divisor: every number once, in no order.
            let number = step * 17 % COUNT;
            let mut timer = runtime.timer();
            timer.reset(first + Duration::from_millis(2 * number));
            let waker = Waker::from(Arc::new(Note { number, order: order.clone() }));
            let _ = timer.poll_expired(&mut Context::from_waker(&waker));
            timers.push(timer);
        }
        // A machine too busy to set them all in time sets them again, with more time.
        if Instant::now() >= first {
            lead *= 2;
            continue;
        }
        let mut last = runtime.timer();
        last.reset(first + Duration::from_millis(2 * COUNT));
        expired(&mut last).await;
        // The last was set last and is due last, so all others were woken or are about to be.
        while order.lock().unwrap().len() < COUNT as usize {
            last.reset(Instant::now() + Duration::from_millis(1));
            expired(&mut last).await;
        }
        break order;
    };
    done.store(true, Ordering::Relaxed);
    assert_eq!(*order.lock().unwrap(), (0..COUNT).collect::<Vec<_>>());
}

pub async fn thousands_of_timers_expire_each<R: Runtime>(runtime: R) {
    let start = Instant::now();
    let mut timers: Vec<R::Timer> = (0..2000).map(|_| runtime.timer()).collect();
    for (number, timer) in timers.iter_mut().enumerate() {
        timer.reset(start + Duration::from_micros(number as u64 * 7919 % 20_000));
    }
    poll_fn(|context| {
        timers.retain_mut(|timer| timer.poll_expired(context).is_pending());
        if timers.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
