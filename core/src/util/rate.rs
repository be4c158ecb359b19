use crate::time::{Duration, Instant};

/// How many bytes a second went by lately: a ring of half-second buckets, four seconds in all, integers only.
///
/// Four seconds are short enough to follow a peer that speeds up and long enough to ride out bursts.
#[derive(Clone, Debug, Default)]
pub struct RateMeter {
    buckets: [u32; BUCKETS],
    /// The half-second that the newest bucket counts.
    tick: u32,
    /// The half-second in which counting began, so that a young meter does not divide by four seconds.
    started: u32,
    running: bool,
}

const BUCKETS: usize = 8;
const BUCKET_MICROS: u64 = 500_000;

impl RateMeter {
    /// Counts `bytes` that went by at `now`.
    pub fn add(&mut self, now: Instant, bytes: u64) {
        let tick = tick(now);
        if !self.running || tick.saturating_sub(self.tick) >= BUCKETS as u32 {
            *self = RateMeter { tick, started: tick, running: true, ..RateMeter::default() };
        }
        for passed in self.tick + 1..=tick {
            self.buckets[passed as usize % BUCKETS] = 0;
        }
        self.tick = self.tick.max(tick);
        let bucket = &mut self.buckets[self.tick as usize % BUCKETS];
        *bucket = bucket.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Bytes a second over the last four seconds, or since counting began.
    pub fn rate(&self, now: Instant) -> u64 {
        let tick = tick(now);
        if !self.running || tick.saturating_sub(self.tick) >= BUCKETS as u32 {
            return 0;
        }
        let oldest = tick.saturating_sub(BUCKETS as u32 - 1);
        let sum: u64 = (oldest.max(self.started)..=self.tick).map(|tick| u64::from(self.buckets[tick as usize % BUCKETS])).sum();
        let from = u64::from(oldest.max(self.started)) * BUCKET_MICROS;
        // A meter that has just begun has seen too little to divide by.
        let covered = now.as_micros().saturating_sub(from).max(BUCKET_MICROS / 2);
        sum * 1_000_000 / covered
    }

    /// For how long counting has gone on without a pause of four seconds.
    pub fn age(&self, now: Instant) -> Duration {
        if self.running { now.since(Instant::from_micros(u64::from(self.started) * BUCKET_MICROS)) } else { Duration::ZERO }
    }
}

fn tick(now: Instant) -> u32 {
    (now.as_micros() / BUCKET_MICROS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_flow_is_measured_exactly_and_silence_fades_it() {
        let mut meter = RateMeter::default();
        let at = |millis: u64| Instant::from_micros(millis * 1000);
        for step in 0..100 {
            meter.add(at(step * 100), 1000);
        }
        assert_eq!(meter.rate(at(9_999)), 10_000 * 3999 / 3999 + 2);
        assert!(meter.rate(at(12_000)) < 6_000);
        assert_eq!(meter.rate(at(20_000)), 0);
        assert_eq!(RateMeter::default().rate(at(0)), 0);
    }

    #[test]
    fn a_burst_of_one_moment_is_not_divided_by_zero() {
        let mut meter = RateMeter::default();
        meter.add(Instant::ZERO, 1_000_000);
        assert_eq!(meter.rate(Instant::ZERO), 4_000_000);
    }
}
