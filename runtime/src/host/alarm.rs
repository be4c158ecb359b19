//! The one timer of a host.

use std::{
    sync::Arc,
    task::{Context, Waker},
    time::Instant,
};

use super::wake::{Mailbox, Source, SourceWaker};
use crate::adapter::Timer;

/// Wakes the host at its next deadline.
///
/// Deadlines move on with almost every message, nearly always to later. Only an earlier one touches the timer: for a later
/// one it rings too early once, which costs less.
pub(crate) struct Alarm<T> {
    timer: T,
    waker: Waker,
    source: Arc<SourceWaker>,
    /// When it will ring.
    armed: Option<Instant>,
}

impl<T: Timer> Alarm<T> {
    pub(crate) fn new(mailbox: &Arc<Mailbox>, timer: T) -> Alarm<T> {
        let source = SourceWaker::new(mailbox, Source::Timer);
        Alarm { timer, waker: Waker::from(source.clone()), source, armed: None }
    }

    /// Rings at `deadline` or earlier; `true` if it rings already.
    pub(crate) fn set(&mut self, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else { return false };
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return false;
        }
        self.timer.reset(deadline);
        self.source.clear();
        let rings = self.timer.poll_expired(&mut Context::from_waker(&self.waker)).is_ready();
        self.armed = (!rings).then_some(deadline);
        rings
    }

    /// It has woken the host.
    pub(crate) fn rang(&mut self) {
        self.source.clear();
        self.armed = None;
    }
}
