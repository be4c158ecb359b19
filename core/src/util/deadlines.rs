use crate::time::Instant;
use alloc::collections::BTreeSet;

/// The deadlines of everything that has one: each object registers its earliest only.
///
/// The object remembers what it registered (an `Armed`), so there is never more than one entry for it.
#[derive(Debug)]
pub struct Deadlines<T> {
    queue: BTreeSet<(Instant, T)>,
}

/// When an object's timer is registered for, if it is.
pub type Armed = Option<Instant>;

impl<T: Copy + Ord> Deadlines<T> {
    /// None registered.
    pub fn new() -> Self {
        Deadlines { queue: BTreeSet::new() }
    }

    /// Makes `object` fire at `at` or earlier. An earlier registration stands: idle timers re-arm when they fire.
    pub fn arm(&mut self, armed: &mut Armed, object: T, at: Instant) {
        if armed.is_none_or(|standing| at < standing) {
            self.disarm(armed, object);
            self.queue.insert((at, object));
            *armed = Some(at);
        }
    }

    /// Takes the registration of `object` back.
    pub fn disarm(&mut self, armed: &mut Armed, object: T) {
        if let Some(standing) = armed.take() {
            self.queue.remove(&(standing, object));
        }
    }

    /// Takes out the first object that is due at `now`; its `Armed` must then be set to `None`.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        let first = *self.queue.first().filter(|(at, _)| *at <= now)?;
        self.queue.remove(&first);
        Some(first.1)
    }

    /// The earliest of all.
    pub fn first(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }
}

impl<T: Copy + Ord> Default for Deadlines<T> {
    fn default() -> Self {
        Deadlines::new()
    }
}
