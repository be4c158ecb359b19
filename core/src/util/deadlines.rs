use crate::time::Instant;
use alloc::collections::BTreeSet;

/// The deadlines of everything that has one: each object registers its earliest only.
///
/// The object remembers what it registered (an `Armed`), so there is never more than one entry for it.
#[derive(Debug)]
pub struct Deadlines<T> {
    queue: BTreeSet<(Instant, T)>,
    /// The first of `queue`, which is looked at with every input.
    first: Option<(Instant, T)>,
}

/// When an object's timer is registered for, if it is.
pub type Armed = Option<Instant>;

impl<T: Copy + Ord> Deadlines<T> {
    /// None registered.
    pub fn new() -> Self {
        Deadlines { queue: BTreeSet::new(), first: None }
    }

    /// Makes `object` fire at `at` or earlier. An earlier registration stands: idle timers re-arm when they fire.
    pub fn arm(&mut self, armed: &mut Armed, object: T, at: Instant) {
        if armed.is_none_or(|standing| at < standing) {
            self.disarm(armed, object);
            self.queue.insert((at, object));
            self.first = Some(self.first.map_or((at, object), |first| first.min((at, object))));
            *armed = Some(at);
        }
    }

    /// Takes the registration of `object` back.
    pub fn disarm(&mut self, armed: &mut Armed, object: T) {
        if let Some(standing) = armed.take() {
            self.remove((standing, object));
        }
    }

    /// Takes out the first object that is due at `now`; its `Armed` must then be set to `None`.
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        let first = self.first.filter(|(at, _)| *at <= now)?;
        self.remove(first);
        Some(first.1)
    }

    /// The earliest of all.
    pub fn first(&self) -> Option<Instant> {
        self.first.map(|(at, _)| at)
    }

    fn remove(&mut self, entry: (Instant, T)) {
        self.queue.remove(&entry);
        if self.first == Some(entry) {
            self.first = self.queue.first().copied();
        }
    }
}

impl<T: Copy + Ord> Default for Deadlines<T> {
    fn default() -> Self {
        Deadlines::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::BTreeMap, vec::Vec};

    proptest! {
        #[test]
        fn each_object_fires_once_at_the_earliest_of_its_deadlines(story in prop::collection::vec((0u8..8, 0u64..50, 0u8..3), 0..100)) {
            let mut deadlines = Deadlines::new();
            let mut armed = [None; 8];
            let mut expected = BTreeMap::new();
            for (object, at, what) in story {
                let at = Instant::from_micros(at);
                let place = &mut armed[usize::from(object)];
                match what {
                    0 => {
                        deadlines.arm(place, object, at);
                        let earliest = expected.get(&object).map_or(at, |standing: &Instant| at.min(*standing));
                        expected.insert(object, earliest);
                    }
                    1 => {
                        deadlines.disarm(place, object);
                        expected.remove(&object);
                    }
                    _ => {
                        let due: Vec<u8> = core::iter::from_fn(|| deadlines.pop(at)).collect();
                        let mut meant: Vec<(Instant, u8)> = expected.iter().map(|(object, at)| (*at, *object)).filter(|(due, _)| *due <= at).collect();
                        meant.sort_unstable();
                        prop_assert_eq!(&due, &meant.iter().map(|(_, object)| *object).collect::<Vec<_>>());
                        due.iter().for_each(|object| armed[usize::from(*object)] = None);
                        expected.retain(|object, _| !due.contains(object));
                    }
                }
                prop_assert_eq!(deadlines.first(), expected.values().min().copied());
            }
        }
    }
}
