use rustor_core::{
    rng::Rng,
    time::{Duration, Instant},
};
use std::{
    cmp::Ordering,
    collections::{BinaryHeap, binary_heap::PeekMut},
};

/// Virtual time, and what will happen in it: one queue for everything, in microseconds. Nothing here sleeps: time jumps to whatever
/// comes next.
///
/// Whatever is on the agenda concerns a node, or everybody. What happens at the same microsecond happens in the order of those who
/// decided it, and of their decisions; or, with a seed for it, in an order that the seed draws: no run should depend on such luck.
///
/// # Lookahead
///
/// In a large world a node's state has left the processor's caches whenever its next event comes, and fetching it takes longer than the
/// event. But nothing that a node does reaches another one sooner than the shortest way between two of them takes. So with that as its
/// [`lookahead`](Agenda::set_lookahead), an agenda takes a stretch of time that is shorter, and in it one node after the other, each with
/// all that it has in it: each still sees all that concerns it in the order of time, and what comes of it is the same (conservative
/// lookahead, as in parallel simulation: Chandy and Misra 1979). Time as [`Agenda::now`] tells it then goes back when the next node's
/// turn comes, within one stretch. What concerns everybody ends a stretch, and has passed for all at once.
#[derive(Debug)]
pub struct Agenda<T> {
    now: Instant,
    /// Whose turn it is.
    whose: u32,
    /// This stretch: what comes first, the very next last.
    soon: Vec<Entry<T>>,
    /// Where it ends: what comes then, or later, waits.
    horizon: Instant,
    /// What comes after all of that.
    later: BinaryHeap<Entry<T>>,
    lookahead: Duration,
    decided: u64,
    shuffle: Option<Rng>,
}

/// What comes earlier is greater, as [`BinaryHeap`] wants it.
#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    /// The seed's draw, and behind it who decided and the order of decision.
    draw: u32,
    whom: u32,
    order: u64,
    what: T,
}

/// Whom something concerns that concerns all nodes, and perhaps the world.
pub(crate) const EVERYBODY: usize = (1 << DECIDER_BITS) - 1;
const DECIDER_BITS: u32 = 24;
const ORDER_BITS: u32 = 64 - DECIDER_BITS;

/// So many are taken from the heap at once, without lookahead.
const AHEAD: usize = 16;
/// Once there are more, most go back.
const MOST: usize = 64;

impl<T> Agenda<T> {
    /// An empty agenda at time zero, without lookahead; ties are shuffled if there is something to draw from.
    pub fn new(shuffle: Option<Rng>) -> Agenda<T> {
        Agenda {
            now: Instant::ZERO,
            whose: EVERYBODY as u32,
            soon: Vec::with_capacity(AHEAD),
            horizon: Instant::ZERO,
            later: BinaryHeap::new(),
            lookahead: Duration::ZERO,
            decided: 0,
            shuffle,
        }
    }

    /// From now on, what a node does concerns others in `lookahead` at the earliest; nothing is known of that if it is zero.
    pub fn set_lookahead(&mut self, lookahead: Duration) {
        self.stow();
        self.lookahead = lookahead;
    }

    /// The present, for whoever's turn it is.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Whether a node may be told something now: it is its turn, or everybody's.
    pub fn is_turn_of(&self, node: usize) -> bool {
        self.lookahead == Duration::ZERO || [node, EVERYBODY].contains(&(self.whose as usize))
    }

    /// Lets `what` happen at `at`, to a node or to everybody; now, if that has passed. With lookahead, what concerns others than those whose
    /// turn it is happens in the next stretch at the earliest.
    pub fn at(&mut self, at: Instant, whom: usize, what: T) {
        self.decided_by(self.whose as usize, at, whom, what);
    }

    /// The same, where two may decide it, and chance has it which of them does: it counts as decided by `who`.
    pub fn decided_by(&mut self, who: usize, at: Instant, whom: usize, what: T) {
        let draw = self.shuffle.as_mut().map_or(0, Rng::next_u32);
        self.decided += 1;
        let order = (who as u64) << ORDER_BITS | self.decided;
        let entry = Entry { at: at.max(self.now), draw, whom: whom as u32, order, what };
        if self.lookahead > Duration::ZERO {
            self.put_by_turn(entry);
        } else if self.soon.first().is_some_and(|last| entry < *last) {
            self.later.push(entry);
        } else {
            let place = self.soon.partition_point(|other| *other < entry);
            self.soon.insert(place, entry);
            if self.soon.len() > MOST {
                self.later.extend(self.soon.drain(..MOST - AHEAD));
            }
        }
    }

    fn put_by_turn(&mut self, mut entry: Entry<T>) {
        if entry.whom != self.whose || entry.at >= self.horizon {
            if self.whose != EVERYBODY as u32 {
                entry.at = entry.at.max(self.horizon);
            }
            return self.later.push(entry);
        }
        // What is left of this turn is at the end, and not much.
        let before = |other: &Entry<T>| other.whom == entry.whom && *other > entry;
        let place = self.soon.len() - self.soon.iter().rev().take_while(|other| before(other)).count();
        self.soon.insert(place, entry);
    }

    /// Lets `what` happen in `delay`.
    pub fn after(&mut self, delay: Duration, whom: usize, what: T) {
        self.at(self.now + delay, whom, what);
    }

    /// Goes on to what happens next, if that is not after `end`; otherwise to `end`.
    pub fn next(&mut self, end: Instant) -> Option<T> {
        if self.lookahead > Duration::ZERO && self.horizon.since(end) > Duration::from_micros(1) {
            self.stow();
        }
        if self.soon.is_empty() {
            self.begin_stretch(end);
        }
        if self.soon.last().is_none_or(|entry| entry.at > end) {
            (self.now, self.whose) = (self.now.max(end), EVERYBODY as u32);
            return None;
        }
        let entry = self.soon.pop()?;
        (self.now, self.whose) = (entry.at, entry.whom);
        if self.soon.is_empty() && self.lookahead == Duration::ZERO {
            self.begin_stretch(end);
        }
        Some(entry.what)
    }

    /// Everything waits for the next stretch.
    fn stow(&mut self) {
        self.later.extend(self.soon.drain(..));
        self.horizon = self.now;
    }

    fn begin_stretch(&mut self, end: Instant) {
        if self.lookahead == Duration::ZERO {
            self.soon.extend(std::iter::from_fn(|| self.later.pop()).take(AHEAD));
            return self.soon.reverse();
        }
        let Some(first) = self.later.peek() else { return };
        self.horizon = (first.at + self.lookahead).min(end + Duration::from_micros(1));
        while let Some(entry) = self.later.peek_mut().filter(|entry| entry.at < self.horizon) {
            let is_for_everybody = entry.whom == EVERYBODY as u32;
            if is_for_everybody {
                self.horizon = entry.at;
            }
            // It is a stretch of its own.
            if !is_for_everybody || self.soon.is_empty() {
                self.soon.push(PeekMut::pop(entry));
            }
            if is_for_everybody {
                break;
            }
        }
        self.soon.sort_unstable_by(Entry::turn);
    }

    /// What happens next.
    pub fn peek(&self) -> Option<&T> {
        let first = self.later.peek();
        if let (None, Some(first), true) = (self.soon.last(), first, self.lookahead > Duration::ZERO) {
            let stretch = self.later.iter().filter(|entry| entry.at < first.at + self.lookahead);
            let end = stretch.clone().filter(|entry| entry.whom == EVERYBODY as u32).max();
            let next = stretch.filter(|entry| end.is_none_or(|end| *entry > end)).max_by(|one, other| one.turn(other));
            return next.or(end).map(|entry| &entry.what);
        }
        self.soon.last().map(|entry| &entry.what)
    }

    /// How much was ever put on the agenda.
    pub fn decided(&self) -> u64 {
        self.decided
    }
}

impl<T> Entry<T> {
    /// The order within a stretch: node by node.
    fn turn(&self, other: &Self) -> Ordering {
        other.whom.cmp(&self.whom).then_with(|| self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |entry: &Self| (entry.at, entry.draw, entry.order);
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
            agenda.at(Instant::from_micros(5 + number / 10), 0, number);
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
        agenda.at(Instant::from_micros(10), 0, ());
        assert_eq!(agenda.next(Instant::from_micros(9)), None);
        assert_eq!(agenda.now(), Instant::from_micros(9));
        assert_eq!(agenda.next(Instant::from_micros(20)), Some(()));
        assert_eq!(agenda.now(), Instant::from_micros(10));
    }

    #[test]
    fn with_lookahead_each_has_its_turn_and_everybody_ends_a_stretch() {
        let mut agenda = Agenda::new(None);
        agenda.set_lookahead(Duration::from_micros(10));
        for (at, whom) in [(3, 1), (4, 0), (5, 1), (7, EVERYBODY), (8, 1), (9, 0), (17, 0), (18, 0)] {
            agenda.at(Instant::from_micros(at), whom, (at, whom));
        }
        let mut order = Vec::new();
        while let (Some(next), Some(happens)) = (agenda.peek().copied(), agenda.next(Instant::MAX)) {
            assert_eq!(next, happens);
            assert_eq!(agenda.now(), Instant::from_micros(happens.0));
            order.push(happens);
            if happens == (4, 0) {
                agenda.after(Duration::from_micros(1), 0, (5, 0));
                // Sooner than anybody else can know of it: it waits until the stretch is over.
                agenda.after(Duration::from_micros(1), 1, (7, 1));
            }
        }
        let everybody = (7, EVERYBODY);
        assert_eq!(order, [(4, 0), (5, 0), (3, 1), (5, 1), (7, 1), everybody, (9, 0), (17, 0), (8, 1), (18, 0)]);
    }

    #[test]
    fn an_end_in_the_midst_of_a_stretch_holds() {
        let mut agenda = Agenda::new(None);
        agenda.set_lookahead(Duration::from_micros(10));
        (0..6).for_each(|number| agenda.at(Instant::from_micros(number), (number % 2) as usize, number));
        let until = |agenda: &mut Agenda<u64>, end: u64| std::iter::from_fn(|| agenda.next(Instant::from_micros(end))).collect::<Vec<_>>();
        assert_eq!(agenda.next(Instant::MAX), Some(0));
        assert_eq!(until(&mut agenda, 3), [2, 1, 3]);
        assert_eq!(until(&mut agenda, 4), [4]);
        assert_eq!(until(&mut agenda, 9), [5]);
        assert_eq!(agenda.now(), Instant::from_micros(9));
    }

    proptest! {
        /// Whatever is decided while other things happen, all comes in the order of time, of deciders and of their decisions.
        #[test]
        fn order_is_by_time_and_then_by_decision(steps in proptest::collection::vec((0u64..2000, 0usize..3), 0..400)) {
            let mut agenda = Agenda::new(None);
            let (mut waiting, mut decided, mut decider) = (Vec::new(), 0, EVERYBODY);
            let take = |agenda: &mut Agenda<(u64, usize, u32)>, waiting: &mut Vec<(u64, usize, u32)>| {
                waiting.sort_unstable();
                let first = (!waiting.is_empty()).then(|| waiting.remove(0));
                prop_assert_eq!(agenda.peek().copied(), first);
                prop_assert_eq!(agenda.next(Instant::MAX), first);
                Ok(first)
            };
            for (delay, takes) in steps {
                let at = agenda.now().as_micros() + delay;
                agenda.at(Instant::from_micros(at), 0, (at, decider, decided));
                waiting.push((at, decider, decided));
                decided += 1;
                for _ in 0..takes.min(waiting.len()) {
                    take(&mut agenda, &mut waiting)?;
                    decider = 0;
                }
            }
            while take(&mut agenda, &mut waiting)?.is_some() {}
        }
    }
}
