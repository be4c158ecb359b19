use super::{Armed, TokenBucket};
use crate::time::Instant;
use alloc::collections::VecDeque;

/// Traffic in one direction under one limit: how much may pass now, and who waits, first come first served.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    bucket: Option<TokenBucket>,
    waiting: VecDeque<T>,
    /// It waits in a lane itself.
    pub(crate) listed: bool,
    pub(crate) armed: Armed,
}

impl<T: Copy + PartialEq> Lane<T> {
    /// Without a limit, and nobody waits.
    pub(crate) fn new() -> Lane<T> {
        Lane { bucket: None, waiting: VecDeque::new(), listed: false, armed: None }
    }

    /// Limits to so many bytes a second from now on, or not any more. If `unit` is not zero, so many go at once or not at all.
    pub(crate) fn set_limit(&mut self, limit: Option<u64>, unit: u32, now: Instant) {
        match (limit, &mut self.bucket) {
            (Some(rate), Some(bucket)) => bucket.set_rate(rate, now),
            (Some(rate), None) => self.bucket = Some(TokenBucket::in_units(rate, unit, now)),
            (None, _) => self.bucket = None,
        }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.bucket.is_some()
    }

    /// Bytes that may pass now.
    pub(crate) fn available(&mut self, now: Instant) -> u64 {
        self.bucket.as_mut().map_or(u64::MAX, |bucket| bucket.available(now))
    }

    /// Bytes that are worth waiting for.
    pub(crate) fn quantum(&self) -> u64 {
        self.bucket.as_ref().map_or(u64::MAX, TokenBucket::quantum)
    }

    /// Whether `want` bytes, or as many of them as are worth waiting for, may pass now.
    pub(crate) fn may_pass(&mut self, want: u64, now: Instant) -> bool {
        self.bucket.as_mut().is_none_or(|bucket| bucket.available(now) >= want.min(bucket.turn()))
    }

    /// When a turn may pass.
    pub(crate) fn ready_at(&mut self, now: Instant) -> Instant {
        self.bucket.as_mut().map_or(now, |bucket| {
            bucket.available(now);
            bucket.ready_at()
        })
    }

    pub(crate) fn is_ready(&mut self, now: Instant) -> bool {
        self.ready_at(now) <= now
    }

    /// `taken` bytes were taken for what became `passed` bytes.
    pub(crate) fn settle(&mut self, taken: u64, passed: u64, now: Instant) {
        let Some(bucket) = &mut self.bucket else { return };
        if passed > taken {
            bucket.take(passed - taken, now);
        } else if passed < taken {
            bucket.give_back(taken - passed, now);
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn wait(&mut self, who: T) {
        self.waiting.push_back(who);
    }

    /// Takes out who has waited longest.
    pub(crate) fn next(&mut self) -> Option<T> {
        let next = self.waiting.pop_front();
        if self.waiting.is_empty() {
            // Most lanes never see anyone wait again.
            self.waiting = VecDeque::new();
        }
        next
    }

    /// `who` waits no longer.
    pub(crate) fn leave(&mut self, who: T) {
        self.waiting.retain(|waiting| *waiting != who);
    }
}
