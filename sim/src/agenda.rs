use rustor_core::{
    rng::Rng,
    time::{Duration, Instant},
};
use std::{cmp::Reverse, collections::BinaryHeap};

/// Virtual time, and what will happen in it: one queue for everything, in microseconds.
///
/// What happens at the same microsecond happens in the order in which it was decided, or, with a seed for it, in an order that the
/// seed draws: no run should depend on such luck. Nothing here sleeps: time jumps to whatever comes next.
#[derive(Debug)]
pub struct Agenda<T> {
    now: Instant,
    queue: BinaryHeap<Reverse<Entry<T>>>,
    decided: u64,
    shuffle: Option<Rng>,
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    /// The seed's draw, and behind it the order of decision.
    tie: (u32, u64),
    what: T,
}

impl<T> Agenda<T> {
    /// An empty agenda at time zero; ties are shuffled if there is something to draw from.
    pub fn new(shuffle: Option<Rng>) -> Agenda<T> {
        Agenda { now: Instant::ZERO, queue: BinaryHeap::new(), decided: 0, shuffle }
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Lets `what` happen at `at`; now, if that has passed.
    pub fn at(&mut self, at: Instant, what: T) {
        let draw = self.shuffle.as_mut().map_or(0, Rng::next_u32);
        self.decided += 1;
        self.queue.push(Reverse(Entry { at: at.max(self.now), tie: (draw, self.decided), what }));
    }

    /// Lets `what` happen in `delay`.
    pub fn after(&mut self, delay: Duration, what: T) {
        self.at(self.now + delay, what);
    }

    /// Goes on to what happens next, if that is not after `end`; otherwise to `end`.
    pub fn next(&mut self, end: Instant) -> Option<T> {
        if self.queue.peek().is_none_or(|Reverse(entry)| entry.at > end) {
            self.now = self.now.max(end);
            return None;
        }
        let Reverse(entry) = self.queue.pop()?;
        self.now = entry.at;
        Some(entry.what)
    }

    /// What happens next.
    pub fn peek(&self) -> Option<&T> {
        self.queue.peek().map(|Reverse(entry)| &entry.what)
    }

    /// How much was ever put on the agenda.
    pub fn decided(&self) -> u64 {
        self.decided
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.tie) == (other.at, other.tie)
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
        (self.at, self.tie).cmp(&(other.at, other.tie))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
