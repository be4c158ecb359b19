//! What theory says of a scenario: how long its distribution takes at least, by its links alone.

use super::{Group, Role, Scenario, TrackerKind};
use crate::{
    network::{Level, Link},
    services::ROUND_TRIP,
};
use rustor_core::time::Duration;
use serde::Serialize;

/// A time that no client can beat: so long it takes at least until the last leecher has everything.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// Who found it.
    pub source: &'static str,
    /// What it says. F: the length; N: the number of leechers; M: the number of pieces; C: the upload rate of everybody; u_s: that of all
    /// seeds; Σu: that of all leechers; d_min: the least download rate.
    pub formula: &'static str,
    /// How long, in seconds.
    pub seconds: f64,
}

/// Any rates, and a content that can be divided at will: Kumar and Ross, Peer-Assisted File Distribution: The Minimum Distribution Time,
/// 2006.
const KUMAR_ROSS: (&str, &str) = ("Kumar, Ross 2006", "max{F/u_s, F/d_min, N·F/(u_s + Σu)}");

/// One seed and equal upload rates, and pieces that are passed on once they are complete: Mundinger, Weber and Weiss, Optimal Scheduling of
/// Peer-to-Peer File Dissemination, 2008.
const MUNDINGER_WEBER_WEISS: (&str, &str) = ("Mundinger, Weber, Weiss 2008", "(1 + ⌊log₂N⌋/M)·F/C");

impl Scenario {
    /// What theory says of this scenario, as far as it is of a kind that theory speaks of. Faults are left out of account: they only make
    /// it slower.
    pub fn bounds(&self) -> Vec<Bound> {
        // Leechers that begin with a part of it are beyond both.
        if self.groups.iter().any(|group| matches!(group.role, Role::Partial(_)) && group.count > 0) {
            return Vec::new();
        }
        let found = [(KUMAR_ROSS, Some(self.ideal() as f64 / 1e6)), (MUNDINGER_WEBER_WEISS, self.equal_rates_bound())];
        let bound = |((source, formula), seconds): ((_, _), Option<f64>)| Some(Bound { source, formula, seconds: seconds? });
        found.into_iter().filter_map(bound).filter(|bound| bound.seconds > 0.0).collect()
    }

    /// How long it takes at least until what one node does concerns another: the shortest way between two of them. It is not known where
    /// flows share links, as each new one concerns all others at once.
    pub(crate) fn lookahead(&self) -> Duration {
        if self.network.level == Level::Fluid {
            return Duration::ZERO;
        }
        let tracker = (self.torrent.tracker == TrackerKind::Udp).then(Link::default);
        let links = self.groups.iter().flat_map(|group| std::iter::repeat_n(&group.link, group.count.min(2) as usize));
        let mut delays: Vec<u64> = links.chain(&tracker).map(|link| link.delay.0).collect();
        delays.sort_unstable();
        Duration::from_micros(delays.iter().take(2).sum()).min(ROUND_TRIP)
    }

    /// How long the distribution takes at best, in microseconds, for content that can be divided at will.
    pub fn ideal(&self) -> u64 {
        let (mut seeds, mut all, mut leechers) = (0u128, 0u128, 0u128);
        let mut slowest = u128::from(u64::MAX);
        let unlimited = u128::from(u32::MAX);
        for group in &self.groups {
            let count = u128::from(group.count);
            let up = if group.gives() { group.link.up.map_or(unlimited, |rate| u128::from(rate.0)) } else { 0 };
            match group.role {
                Role::Adversary(_) => continue,
                Role::Seed => seeds += up * count,
                Role::Leecher | Role::Partial(_) => {
                    leechers += count;
                    slowest = slowest.min(group.link.down.map_or(unlimited, |rate| u128::from(rate.0)));
                }
            }
            all += up * count;
        }
        for server in &self.web_seeds {
            let up = server.up.map_or(unlimited, |rate| u128::from(rate.0));
            (seeds, all) = (seeds + up, all + up);
        }
        let length = u128::from(self.length()) * 1_000_000;
        let seconds = [length / seeds.max(1), length / slowest.max(1), leechers * length / all.max(1)];
        // Without a seed, the partial ones have to do.
        let seconds = if seeds == 0 { &seconds[1..] } else { &seconds[..] };
        u64::try_from(seconds.iter().copied().max().unwrap_or_default()).unwrap_or(u64::MAX / 1000)
    }

    /// Mundinger, Weber and Weiss, where there is one seed and everybody gives at the same rate.
    fn equal_rates_bound(&self) -> Option<f64> {
        let present: Vec<&Group> = self.groups.iter().filter(|group| group.count > 0).collect();
        let count = |role: Role| present.iter().filter(|group| group.role == role).map(|group| group.count).sum::<u32>();
        let (leechers, rate) = (count(Role::Leecher), present.first()?.link.up?);
        let equal = present.iter().all(|group| group.gives() && group.link.up == Some(rate));
        let no_others = present.iter().all(|group| matches!(group.role, Role::Seed | Role::Leecher));
        if !equal || !no_others || count(Role::Seed) != 1 || !self.web_seeds.is_empty() {
            return None;
        }
        let pieces = self.length().div_ceil(self.torrent.piece.0);
        let steps = 1.0 + f64::from(leechers.checked_ilog2()?) / pieces as f64;
        Some(steps * self.length() as f64 / rate.0 as f64)
    }
}

impl Group {
    /// Its nodes unchoke peers, as everybody does but free riders.
    pub(crate) fn gives(&self) -> bool {
        self.policy.upload_slots != Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Rate;

    fn scenario(rates: &[(Role, u32, u64)]) -> Scenario {
        let text = "name = \"theory\"\ngroup = []\n[torrent]\nfiles = [\"100 MiB\"]\npiece = \"256 KiB\"";
        let mut scenario: Scenario = text.parse().expect("it makes sense");
        for (role, count, up) in rates {
            let mut group = Group { role: *role, count: *count, ..Group::default() };
            (group.link.up, group.link.down) = (Some(Rate(up << 20)), Some(Rate(8 << 20)));
            scenario.groups.push(group);
        }
        scenario
    }

    fn seconds(rates: &[(Role, u32, u64)]) -> Vec<f64> {
        scenario(rates).bounds().iter().map(|bound| bound.seconds).collect()
    }

    #[test]
    fn equal_rates_are_bound_by_both() {
        // (1 + 9/400) · 100 s, and N·F / ((N + 1)·C), which is less than F/u_s.
        assert_eq!(seconds(&[(Role::Seed, 1, 1), (Role::Leecher, 1000, 1)]), [100.0, 102.25]);
        assert_eq!(seconds(&[(Role::Seed, 1, 1), (Role::Leecher, 1, 1)]), [100.0, 100.0]);
    }

    #[test]
    fn unequal_rates_are_bound_by_whatever_is_scarce() {
        assert_eq!(seconds(&[(Role::Seed, 1, 20), (Role::Leecher, 9, 21)]), [12.5], "a download link");
        assert_eq!(seconds(&[(Role::Seed, 1, 2), (Role::Leecher, 9, 20)]), [50.0], "the seed's upload");
        assert_eq!(seconds(&[(Role::Seed, 1, 4), (Role::Leecher, 8, 1), (Role::Leecher, 2, 4)]), [50.0], "everybody's upload");
    }

    #[test]
    fn theory_does_not_speak_of_leechers_that_begin_with_a_part() {
        assert_eq!(seconds(&[(Role::Seed, 1, 1), (Role::Partial(50), 3, 1)]), [0.0; 0]);
    }
}
