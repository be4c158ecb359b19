use crate::time::{Duration, Instant};

/// A rate limit: how many bytes may go by now. Integers only, exact to a millionth of a byte.
///
/// It fills at its rate and holds a quarter of a second's worth, so that a host that wakes a little late loses nothing, and a pause is
/// not followed by a flood. What had to go although there was no room is a debt, of four seconds' worth at most.
///
/// What cannot be cut goes whole, as soon as there is room for it or for three quarters of what it holds: the rest is a debt, which may be as
/// much as eight such units.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// Bytes a second.
    rate: u64,
    /// Bytes that go at once or not at all; zero if any number does.
    unit: u64,
    /// Millionths of bytes; below zero in debt.
    level: i128,
    /// When `level` was true.
    filled: Instant,
}

/// Faster than anything, and slow enough to be multiplied by any time.
const FASTEST: u64 = 1 << 50;
/// The least that [`TokenBucket::quantum`] is, in bytes.
const LEAST_QUANTUM: u64 = 64;
const MILLIONTHS: i128 = 1_000_000;

impl TokenBucket {
    /// A bucket for `rate` bytes a second, with one [quantum](TokenBucket::quantum) in it. A rate of zero lets nothing pass.
    pub fn new(rate: u64, now: Instant) -> TokenBucket {
        TokenBucket::in_units(rate, 0, now)
    }

    /// As [`TokenBucket::new`], for what goes in units of `unit` bytes.
    pub fn in_units(rate: u64, unit: u32, now: Instant) -> TokenBucket {
        let mut bucket = TokenBucket { rate: rate.min(FASTEST), unit: unit.into(), level: 0, filled: now };
        bucket.level = if rate > 0 { millionths(bucket.quantum()) } else { 0 };
        bucket
    }

    /// Bytes a second.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Changes the rate; what is in the bucket stays there as far as it fits.
    pub fn set_rate(&mut self, rate: u64, now: Instant) {
        self.fill(now);
        self.rate = rate.min(FASTEST);
        self.level = self.level.clamp(self.floor(), self.burst());
    }

    /// Whole bytes that may go by now.
    pub fn available(&mut self, now: Instant) -> u64 {
        self.fill(now);
        u64::try_from(self.level / MILLIONTHS).unwrap_or(0)
    }

    /// `bytes` go by, whether there was room for them or not.
    pub fn take(&mut self, bytes: u64, now: Instant) {
        self.fill(now);
        self.level = self.level.saturating_sub(millionths(bytes)).max(self.floor());
    }

    /// `bytes` that were taken did not go by after all.
    pub fn give_back(&mut self, bytes: u64, now: Instant) {
        self.fill(now);
        self.level = self.level.saturating_add(millionths(bytes)).min(self.burst());
    }

    /// A sixteenth of a second's worth, in bytes: waiting for less would wake the host too often.
    pub fn quantum(&self) -> u64 {
        (self.rate / 16).max(LEAST_QUANTUM)
    }

    /// Bytes for which there must be room before anything goes: a [quantum](TokenBucket::quantum), but enough for a unit, or three quanta if
    /// that is less. So a host that wakes a little late still loses nothing.
    pub fn turn(&self) -> u64 {
        self.unit.min(self.quantum().saturating_mul(3)).max(self.quantum())
    }

    /// When there will be room for a [turn](TokenBucket::turn).
    pub fn ready_at(&self) -> Instant {
        let missing = millionths(self.turn()).saturating_sub(self.level).max(0);
        if self.rate == 0 {
            return Instant::MAX;
        }
        let rate = i128::from(self.rate);
        let micros = missing.saturating_add(rate - 1) / rate;
        self.filled + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn fill(&mut self, now: Instant) {
        let passed = i128::from(now.since(self.filled).as_micros() as u64);
        self.filled = self.filled.max(now);
        self.level = self.level.saturating_add(passed.saturating_mul(i128::from(self.rate))).min(self.burst());
    }

    fn burst(&self) -> i128 {
        if self.rate == 0 { 0 } else { millionths(self.quantum().saturating_mul(4)) }
    }

    fn floor(&self) -> i128 {
        -millionths(self.rate.saturating_mul(4).max(self.unit.saturating_mul(8)))
    }
}

fn millionths(bytes: u64) -> i128 {
    i128::from(bytes).saturating_mul(MILLIONTHS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn what_is_taken_comes_back_at_the_rate() {
        let mut bucket = TokenBucket::new(16_000, at(0));
        assert_eq!(bucket.available(at(0)), 1000);
        bucket.take(1000, at(0));
        assert_eq!(bucket.ready_at(), at(62_500));
        assert_eq!(bucket.available(at(62_499)), 999);
        assert_eq!(bucket.available(at(62_500)), 1000);
        assert_eq!(bucket.available(at(60_000_000)), 4000, "a quarter of a second's worth, however long the pause");
    }

    #[test]
    fn a_debt_is_paid_off_before_anything_else_goes() {
        let mut bucket = TokenBucket::new(16_000, at(0));
        bucket.take(9000, at(0));
        assert_eq!(bucket.available(at(500_000)), 0);
        assert_eq!(bucket.ready_at(), at(562_500));
        bucket.take(u64::MAX, at(562_500));
        assert_eq!(bucket.ready_at(), at(562_500 + 4_062_500), "four seconds' worth at most");
    }

    #[test]
    fn what_cannot_be_cut_goes_whole_and_is_paid_off_before_the_next() {
        let mut bucket = TokenBucket::in_units(1_000, 16_000, at(0));
        assert_eq!((bucket.turn(), bucket.ready_at()), (192, at(128_000)), "three quarters of what it holds");
        assert_eq!(bucket.available(at(1_000_000)), 256);
        bucket.take(16_000, at(1_000_000));
        assert_eq!(bucket.ready_at(), at(16_936_000));
        bucket.set_rate(100_000, at(16_936_000));
        assert_eq!((bucket.turn(), bucket.ready_at()), (16_000, at(17_094_080)), "room for all of it");
        bucket.set_rate(1_000_000, at(18_000_000));
        assert_eq!(bucket.turn(), 62_500);
    }

    #[test]
    fn a_rate_of_zero_lets_nothing_pass_and_is_never_ready() {
        let mut bucket = TokenBucket::new(0, at(0));
        assert_eq!(bucket.available(at(u64::MAX)), 0);
        assert_eq!(bucket.ready_at(), Instant::MAX);
        bucket.set_rate(1, at(u64::MAX));
        assert_eq!(bucket.available(at(u64::MAX)), 0);
    }

    proptest! {
        /// Over any time, what passes is the rate's worth, give or take what the bucket holds.
        #[test]
        fn never_more_and_hardly_less_than_the_rate(rate in 1u64..1 << 51, steps in prop::collection::vec(1u64..200_000, 1..200)) {
            let mut bucket = TokenBucket::new(rate, at(0));
            let (mut now, mut passed) = (0, 0u128);
            for step in steps {
                now += step;
                let available = bucket.available(at(now));
                bucket.take(available, at(now));
                passed += u128::from(available);
            }
            let exact = u128::from(bucket.rate()) * u128::from(now) / 1_000_000;
            let slack = u128::from(bucket.quantum());
            prop_assert!(passed <= exact + slack);
            // Every step fits into the bucket, so nothing is lost.
            prop_assert!(passed + 1 >= exact);
        }

        #[test]
        fn it_is_ready_when_it_says_and_not_before(rate in 1u64..1 << 40, unit in 0u32..100_000, taken in 0u64..1 << 40) {
            let mut bucket = TokenBucket::in_units(rate, unit, at(0));
            bucket.take(taken, at(0));
            let ready = bucket.ready_at();
            prop_assert!(bucket.clone().available(ready) >= bucket.turn());
            if ready > at(0) {
                prop_assert!(bucket.available(at(ready.as_micros() - 1)) < bucket.turn());
            }
        }

        /// The same for units that go whole: what passes is the rate's worth, give or take one of them and what the bucket holds.
        #[test]
        fn units_keep_the_rate(rate in 1u64..1 << 20, unit in 1u32..20_000) {
            let mut bucket = TokenBucket::in_units(rate, unit, at(0));
            let (mut now, mut passed) = (0, 0u128);
            for _ in 0..100 {
                now = bucket.ready_at().as_micros();
                prop_assert!(bucket.available(at(now)) >= bucket.turn());
                bucket.take(unit.into(), at(now));
                passed += u128::from(unit);
            }
            let exact = u128::from(rate) * u128::from(now) / 1_000_000;
            prop_assert!(passed <= exact + u128::from(rate / 4).max(256) + u128::from(unit));
            prop_assert!(passed + u128::from(bucket.turn()) + 1 >= exact);
        }
    }
}
