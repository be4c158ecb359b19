use rustor_core::{choices::RateLimits, time::Instant};

/// Watches one engine's rate limits from outside: what passes in any span of time is the rate's worth and what may come at once.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    ways: [Way; 2],
}

#[derive(Debug, Default)]
struct Way {
    /// Bytes a second, and bytes that may come at once.
    limit: Option<(u64, u64)>,
    /// What has passed and is not paid off, in millionths of bytes.
    level: u128,
    since: Instant,
}

/// A direction of a rate limit.
pub(crate) const DOWN: usize = 0;
pub(crate) const UP: usize = 1;

/// What stands before a block.
const HEAD: u64 = 13;
/// A block as most ask for it, and its head: what is never cut.
const BLOCK: u64 = 16_384 + HEAD;

impl Limits {
    /// `None` if nothing is limited.
    pub(crate) fn new(rates: RateLimits, now: Instant) -> Option<Limits> {
        let way = |rate: Option<u64>, burst: fn(u64) -> u64| Way { limit: rate.map(|rate| (rate, burst(rate))), level: 0, since: now };
        // An engine saves up a quarter of a second's worth and pays for reads before anything comes: for half a second's worth of what web
        // seeds send, and a sixteenth's for each of three that begin later.
        let ways = [way(rates.download, |rate| rate * 15 / 16 + 2 * BLOCK), way(rates.upload, |rate| rate / 4 + BLOCK)];
        ways.iter().any(|way| way.limit.is_some()).then_some(Limits { ways })
    }

    /// Blocks of so many bytes may be sent, and are not cut.
    pub(crate) fn blocks_of(&mut self, bytes: u32) {
        if let Some((rate, burst)) = &mut self.ways[UP].limit {
            *burst = (*burst).max(*rate / 4 + u64::from(bytes) + HEAD);
        }
    }

    /// Bytes pass. What is over the limit, if anything.
    pub(crate) fn pass(&mut self, way: usize, bytes: u64, now: Instant) -> Option<u64> {
        let way = &mut self.ways[way];
        let (rate, burst) = way.limit?;
        way.level = way.level.saturating_sub(now.since(way.since).as_micros() * u128::from(rate)) + u128::from(bytes) * 1_000_000;
        way.since = now;
        u64::try_from(way.level / 1_000_000).ok()?.checked_sub(burst).filter(|over| *over > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_the_rate_and_the_burst_passes_and_a_byte_more_does_not() {
        let mut limits = Limits::new(RateLimits { download: None, upload: Some(1000) }, Instant::ZERO).unwrap();
        let at = Instant::from_micros;
        assert_eq!(limits.pass(DOWN, u64::MAX / 2, at(0)), None);
        assert_eq!(limits.pass(UP, 250 + BLOCK, at(0)), None);
        assert_eq!(limits.pass(UP, 500, at(500_000)), None);
        assert_eq!(limits.pass(UP, 1, at(500_000)), Some(1));
        assert_eq!(limits.pass(UP, 0, at(600_000_000)), None);
        limits.blocks_of(100_000);
        assert_eq!(limits.pass(UP, 250 + 100_000 + HEAD, at(600_000_000)), None);
        assert_eq!(limits.pass(UP, 1, at(600_000_000)), Some(1));
    }
}
