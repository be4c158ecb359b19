use rustor_core::{
    rng::Rng,
    time::{Duration, Instant},
};
use std::collections::BinaryHeap;

/// Virtual time, and what will happen in it: one queue for everything, in microseconds.
///
/// What happens at the same microsecond happens in the order in which it was decided, or, with a seed for it, in an order that the
/// seed draws: no run should depend on such luck. Nothing here sleeps: time jumps to whatever comes next.
#[derive(Debug)]
pub struct Agenda<T> {
    now: Instant,
    /// What comes first, the very next last; there is something here unless there is nothing at all.
    soon: Vec<Entry<T>>,
    /// What comes after all of that.
    later: BinaryHeap<Entry<T>>,
    decided: u64,
    shuffle: Option<Rng>,
}

/// What comes earlier is greater, as [`BinaryHeap`] wants it.
#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    /// The seed's draw, and behind it the order of decision.
    draw: u32,
    decided: u64,
    what: T,
}

/// So many are taken from the heap at once.
const AHEAD: usize = 16;
/// Once there are more, most go back.
const MOST: usize = 64;

impl<T> Agenda<T> {
    /// An empty agenda at time zero; ties are shuffled if there is something to draw from.
    pub fn new(shuffle: Option<Rng>) -> Agenda<T> {
        Agenda { now: Instant::ZERO, soon: Vec::with_capacity(AHEAD), later: BinaryHeap::new(), decided: 0, shuffle }
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Lets `what` happen at `at`; now, if that has passed.
    pub fn at(&mut self, at: Instant, what: T) {
        let draw = self.shuffle.as_mut().map_or(0, Rng::next_u32);
        self.decided += 1;
        let entry = Entry { at: at.max(self.now), draw, decided: self.decided, what };
        match self.soon.first() {
            Some(last) if entry < *last => self.later.push(entry),
            _ => {
                let place = self.soon.partition_point(|other| *other < entry);
                self.soon.insert(place, entry);
                if self.soon.len() > MOST {
                    self.later.extend(self.soon.drain(..MOST - AHEAD));
                }
            }
        }
    }

    /// Lets `what` happen in `delay`.
    pub fn after(&mut self, delay: Duration, what: T) {
        self.at(self.now + delay, what);
    }

    /// Goes on to what happens next, if that is not after `end`; otherwise to `end`.
    pub fn next(&mut self, end: Instant) -> Option<T> {
        if self.soon.last().is_none_or(|entry| entry.at > end) {
            self.now = self.now.max(end);
            return None;
        }
        let entry = self.soon.pop()?;
        self.now = entry.at;
        if self.soon.is_empty() {
            self.soon.extend(std::iter::from_fn(|| self.later.pop()).take(AHEAD));
            self.soon.reverse();
        }
        Some(entry.what)
    }

    /// What happens next.
    pub fn peek(&self) -> Option<&T> {
        self.soon.last().map(|entry| &entry.what)
    }

    /// How much was ever put on the agenda.
    pub fn decided(&self) -> u64 {
        self.decided
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |entry: &Self| (entry.at, entry.draw, entry.decided);
        key(other).cmp(&key(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert_eq, proptest};
    use rustor_core::rng::Seed;

    fn order(shuffle: Option<Rng>) -> Vec<u64> {
        let mut agenda = Agenda::new(shuffle);
        for number in 0..20 {
            agenda.at(Instant::from_micros(5 + number / 10), number);
        }
        std::iter::from_fn(|| agenda.next(Instant::MAX)).collect()
    }

    #[test]
    fn what_happens_at_once_happens_in_the_order_of_decision() {
        assert_eq!(order(None), (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn a_seed_shuffles_what_happens_at_once_and_nothing_else() {
        let shuffled = order(Some(Rng::new(Seed::from_u64(1))));
        assert_eq!(shuffled, order(Some(Rng::new(Seed::from_u64(1)))));
        assert_ne!(shuffled, order(Some(Rng::new(Seed::from_u64(2)))));
        let (mut first, mut second) = (shuffled[..10].to_vec(), shuffled[10..].to_vec());
        first.sort();
        second.sort();
        assert_eq!([first, second].concat(), (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn time_goes_to_the_end_and_not_beyond() {
        let mut agenda = Agenda::new(None);
        agenda.at(Instant::from_micros(10), ());
        assert_eq!(agenda.next(Instant::from_micros(9)), None);
        assert_eq!(agenda.now(), Instant::from_micros(9));
        assert_eq!(agenda.next(Instant::from_micros(20)), Some(()));
        assert_eq!(agenda.now(), Instant::from_micros(10));
    }

    proptest! {
        /// Whatever is decided while other things happen, all comes in the order of time and of decision.
        #[test]
        fn order_is_by_time_and_then_by_decision(steps in proptest::collection::vec((0u64..2000, 0usize..3), 0..400)) {
            let mut agenda = Agenda::new(None);
            let (mut waiting, mut decided) = (Vec::new(), 0);
            let take = |agenda: &mut Agenda<(u64, u32)>, waiting: &mut Vec<(u64, u32)>| {
                waiting.sort_unstable();
                let first = (!waiting.is_empty()).then(|| waiting.remove(0));
                prop_assert_eq!(agenda.peek().copied(), first);
                prop_assert_eq!(agenda.next(Instant::MAX), first);
                Ok(first)
            };
            for (delay, takes) in steps {
                let at = agenda.now().as_micros() + delay;
                agenda.at(Instant::from_micros(at), (at, decided));
                waiting.push((at, decided));
                decided += 1;
                for _ in 0..takes.min(waiting.len()) {
                    take(&mut agenda, &mut waiting)?;
                }
            }
            while take(&mut agenda, &mut waiting)?.is_some() {}
        }
    }
}
