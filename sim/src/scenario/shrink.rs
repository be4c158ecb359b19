//! A failing scenario is made smaller as long as it fails in the same way.

use super::{Group, Policy, Scenario, Trouble};
use crate::{
    checks::Violation,
    disk,
    network::{self, Link, Nat},
    report::Report,
    services::WebSeed,
    units::{Size, Span},
};

/// What is left of a failing scenario.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest scenario that was found.
    pub scenario: Scenario,
    /// What it violates.
    pub violation: Violation,
    /// How many were tried, and how many of them still failed.
    pub tried: usize,
    /// Steps that led here.
    pub steps: usize,
}

impl Scenario {
    /// If this scenario fails: the smallest that fails in the same way, as far as leaving out and simplifying one thing at a time leads.
    /// At most `tries` runs are spent on it.
    pub fn shrink(&self, tries: usize) -> Option<Shrunk> {
        self.shrink_by(tries, Scenario::run)
    }

    /// The same, with runs of another kind: in a world of one's own, or with a bug that was planted.
    pub fn shrink_by(&self, tries: usize, mut run: impl FnMut(&Scenario) -> Report) -> Option<Shrunk> {
        let violation = run(self).violations.into_iter().next()?;
        let mut shrunk = Shrunk { scenario: self.clone(), violation, tried: 1, steps: 0 };
        // What did not help is tried again only once all else was: most of the time it would not help now, either.
        let (mut at, mut in_vain) = (0, 0);
        while shrunk.tried < tries {
            let mut smaller = shrunk.scenario.smaller(shrunk.violation.at);
            if in_vain >= smaller.len() {
                break;
            }
            at %= smaller.len();
            let smaller = smaller.swap_remove(at);
            shrunk.tried += 1;
            let violation = run(&smaller).violations.into_iter().next();
            if let Some(violation) = violation.filter(|violation| violation.invariant == shrunk.violation.invariant) {
                shrunk = Shrunk { scenario: smaller, violation, steps: shrunk.steps + 1, ..shrunk };
                in_vain = 0;
            } else {
                (at, in_vain) = (at + 1, in_vain + 1);
            }
        }
        Some(shrunk)
    }

    /// Scenarios with a little less, those that save most first. This one fails `at` a time in microseconds.
    fn smaller(&self, at: u64) -> Vec<Scenario> {
        let mut all = Vec::new();
        let mut with = |change: &dyn Fn(&mut Scenario)| {
            let mut other = self.clone();
            change(&mut other);
            if other != *self && other.check().is_ok() {
                all.push(other);
            }
        };
        // A run that ends right behind the failure also spares all others what comes after.
        let shorter = |span: u64| Some(Span(span)).filter(|span| self.ends.is_none_or(|ends| *span < ends));
        for span in [at / 2, at + 1].into_iter().filter_map(shorter) {
            with(&|scenario| (scenario.ends, scenario.finish_within) = (Some(span), None));
        }
        (0..self.faults.len()).for_each(|index| with(&|scenario| drop(scenario.faults.remove(index))));
        for index in 0..self.groups.len() {
            let name = &self.groups[index].name;
            with(&|scenario| {
                scenario.groups.remove(index);
                scenario.faults.retain(|fault| !fault.trouble.names().contains(&name.as_str()));
                scenario.groups.iter_mut().for_each(|group| group.knows.retain(|known| known != name));
            });
        }
        for index in 0..self.web_seeds.len() {
            let name = &self.web_seeds[index].name;
            with(&|scenario| {
                scenario.web_seeds.remove(index);
                scenario.faults.retain(|fault| !matches!(&fault.trouble, Trouble::Web { server, .. } if server == name));
            });
            with(&|scenario| scenario.web_seeds[index] = WebSeed { name: name.clone(), ..WebSeed::default() });
        }
        for index in 0..self.groups.len() {
            let count = self.groups[index].count;
            with(&|scenario| scenario.groups[index].count = 1.min(count));
            with(&|scenario| scenario.groups[index].count = count / 2);
            with(&|scenario| scenario.groups[index].count = count.saturating_sub(1));
        }
        let length = self.length();
        let piece = self.torrent.piece.0;
        with(&|scenario| scenario.torrent.files = vec![Size(1)]);
        with(&|scenario| scenario.torrent.files = vec![Size(length)]);
        with(&|scenario| scenario.torrent.files = vec![Size((length / 2).max(1))]);
        let fewer = (length.div_ceil(piece) - 1) * piece;
        with(&|scenario| scenario.torrent.files = vec![Size(if fewer > 0 { fewer } else { length })]);
        with(&|scenario| scenario.torrent.piece = Size(16 << 10));
        with(&|scenario| scenario.network = network::Settings::default());
        with(&|scenario| scenario.shuffle_ties = false);
        with(&|scenario| scenario.torrent.private = false);
        with(&|scenario| scenario.torrent.tracker = super::TrackerKind::Http);
        for index in 0..self.groups.len() {
            let plain = Group::default();
            let mut group = |change: &dyn Fn(&mut Group)| with(&|scenario| change(&mut scenario.groups[index]));
            group(&|group| group.policy = Policy::default());
            self.groups[index].policy.simpler().iter().for_each(|simpler| group(&|group| group.policy = simpler.clone()));
            group(&|group| group.disk = disk::Settings::default());
            group(&|group| {
                let disk::Settings { crash_at, crash_again, crash_takes_power, .. } = group.disk;
                group.disk = disk::Settings { crash_at, crash_again, crash_takes_power, ..disk::Settings::default() };
            });
            group(&|group| group.disk.crash_takes_power = false);
            group(&|group| group.link = Link { nat: group.link.nat.clone(), ..Link::default() });
            group(&|group| group.link = Link { up: group.link.up, down: group.link.down, ..plain.link.clone() });
            group(&|group| group.link.nat = None);
            group(&|group| group.link.nat = group.link.nat.as_ref().map(|_| Nat::default()));
            group(&|group| (group.arrives, group.every) = (Span::ZERO, Span::ZERO));
            group(&|group| group.leaves = None);
            group(&|group| group.magnet = false);
            group(&|group| group.v6 = false);
            group(&|group| group.mutations = 0);
            group(&|group| group.knows.clear());
        }
        for index in 0..self.faults.len() {
            with(&|scenario| scenario.faults[index].at = Span(scenario.faults[index].at.0 / 2));
            with(&|scenario| scenario.faults[index].lasts = scenario.faults[index].lasts.map(|span| Span(span.0 / 2)));
        }
        all
    }
}
