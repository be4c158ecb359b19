//! [`Level::Fluid`](super::Level): every way with something to send flows at its max-min fair share of its sender's uplink and its
//! receiver's downlink.
//!
//! Shares are computed for all flows at once by progressive filling. That is done anew when flows come and go: at once in a small
//! world, [`SETTLE`] later in a large one, and until then a new flow gets what an equal division of its two links would give it.

use super::{Event, Events, NEGLIGIBLE, Network, StreamKey};
use crate::agenda::EVERYBODY;
use rustor_core::time::{Duration, Instant};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

/// All flows.
#[derive(Debug, Default)]
pub(super) struct Fluid {
    flows: BTreeMap<(StreamKey, usize), Flow>,
    /// How many flows leave each node and reach it.
    counts: Vec<[u32; 2]>,
    settling: bool,
    stamps: u32,
}

#[derive(Debug)]
struct Flow {
    from: u32,
    to: u32,
    /// Bytes a second.
    rate: u64,
    /// Bytes of the segment, and how many of them had not left when.
    segment: u64,
    left: u64,
    since: Instant,
    /// Tells the event that is waited for from those that came to nothing.
    stamp: u32,
}

/// Where there is no limit.
const UNLIMITED: u64 = 10_000_000_000;
/// Flows up to which shares are always exact.
const FEW: usize = 256;
/// How long shares may be out of date in a large world.
const SETTLE: Duration = Duration::from_millis(20);

impl Flow {
    fn progress(&mut self, now: Instant) {
        let passed = now.since(self.since).as_micros();
        self.left = self.left.saturating_sub((u128::from(self.rate) * passed / 1_000_000) as u64);
        self.since = now;
    }

    fn ends(&self) -> Instant {
        let micros = (u128::from(self.left) * 1_000_000).div_ceil(u128::from(self.rate.max(1)));
        self.since + Duration::from_micros(micros as u64)
    }
}

impl Network {
    pub(super) fn flow<W: From<Event>>(&mut self, key: StreamKey, side: usize, agenda: &mut Events<W>) {
        if self.fluid.flows.contains_key(&(key, side)) {
            return;
        }
        let Some(segment) = self.next_segment(key, side) else { return };
        let Some([from, to]) = self.nodes_of(key, side) else { return };
        if segment <= NEGLIGIBLE {
            self.segment_leaves(key, side, segment, agenda.now(), agenda);
            return self.send_more(key, side, agenda);
        }
        self.fluid.counts.resize(self.places.len(), [0, 0]);
        self.fluid.counts[from][0] += 1;
        self.fluid.counts[to][1] += 1;
        let share = |rate: Option<crate::units::Rate>, flows: u32| rate.map_or(UNLIMITED, |rate| rate.0 / u64::from(flows));
        let rate = share(self.places[from].link.up, self.fluid.counts[from][0]);
        let rate = rate.min(share(self.places[to].link.down, self.fluid.counts[to][1])).max(1);
        self.fluid.stamps = self.fluid.stamps.wrapping_add(1);
        let stamp = self.fluid.stamps;
        let flow = Flow { from: from as u32, to: to as u32, rate, segment, left: segment, since: agenda.now(), stamp };
        agenda.at(flow.ends(), flow.from as usize, Event::Flowed(key, side, stamp).into());
        self.fluid.flows.insert((key, side), flow);
        self.unsettle(agenda);
    }

    pub(super) fn flowed<W: From<Event>>(&mut self, key: StreamKey, side: usize, stamp: u32, agenda: &mut Events<W>) {
        let Some(flow) = self.fluid.flows.get(&(key, side)).filter(|flow| flow.stamp == stamp) else { return };
        let now = agenda.now();
        self.segment_leaves(key, side, flow.segment, now, agenda);
        match self.next_segment(key, side) {
            Some(segment) => {
                let Some(flow) = self.fluid.flows.get_mut(&(key, side)) else { return };
                (flow.segment, flow.left, flow.since) = (segment, segment, now);
                agenda.at(flow.ends(), flow.from as usize, Event::Flowed(key, side, stamp).into());
            }
            None => self.end_flow(key, side, agenda),
        }
    }

    /// A flow has nothing to send now, or its stream is gone.
    pub(super) fn end_flow<W: From<Event>>(&mut self, key: StreamKey, side: usize, agenda: &mut Events<W>) {
        let Some(flow) = self.fluid.flows.remove(&(key, side)) else { return };
        self.fluid.counts[flow.from as usize][0] -= 1;
        self.fluid.counts[flow.to as usize][1] -= 1;
        self.unsettle(agenda);
    }

    /// Shares are no longer fair.
    pub(super) fn unsettle<W: From<Event>>(&mut self, agenda: &mut Events<W>) {
        if !self.fluid.settling && !self.fluid.flows.is_empty() {
            self.fluid.settling = true;
            let delay = if self.fluid.flows.len() <= FEW { Duration::ZERO } else { SETTLE };
            agenda.after(delay, EVERYBODY, Event::Settle.into());
        }
    }

    pub(super) fn settle<W: From<Event>>(&mut self, agenda: &mut Events<W>) {
        self.fluid.settling = false;
        let now = agenda.now();
        let capacity: Vec<u64> = self
            .places
            .iter()
            .flat_map(|place| [place.link.up, place.link.down])
            .map(|rate| rate.map_or(UNLIMITED, |rate| rate.0))
            .collect();
        let ends: Vec<[usize; 2]> = self.fluid.flows.values().map(|flow| [2 * flow.from as usize, 2 * flow.to as usize + 1]).collect();
        let rates = max_min(&capacity, &ends);
        for (((key, side), flow), rate) in self.fluid.flows.iter_mut().zip(rates) {
            let rate = rate.max(1);
            if rate != flow.rate {
                flow.progress(now);
                flow.rate = rate;
                self.fluid.stamps = self.fluid.stamps.wrapping_add(1);
                flow.stamp = self.fluid.stamps;
                agenda.at(flow.ends(), flow.from as usize, Event::Flowed(*key, *side, flow.stamp).into());
            }
        }
    }
}

/// Max-min fair rates of flows that each take two links, by progressive filling: the link with the smallest share for each of its
/// flows decides them; what they leave of their other links is shared by the rest.
fn max_min(capacity: &[u64], flows: &[[usize; 2]]) -> Vec<u64> {
    let mut rest = capacity.to_vec();
    let mut open = vec![0u32; capacity.len()];
    flows.iter().flatten().for_each(|link| open[*link] += 1);
    // The flows of each link, one link after the other.
    let mut start = vec![0u32; capacity.len() + 1];
    for (link, count) in open.iter().enumerate() {
        start[link + 1] = start[link] + count;
    }
    let mut fill = start.clone();
    let mut members = vec![0u32; flows.len() * 2];
    for (flow, links) in flows.iter().enumerate() {
        for link in links {
            members[fill[*link] as usize] = flow as u32;
            fill[*link] += 1;
        }
    }
    let share = |link: usize, rest: &[u64], open: &[u32]| rest[link] / u64::from(open[link]);
    let mut heap: BinaryHeap<Reverse<(u64, usize)>> =
        (0..capacity.len()).filter(|link| open[*link] > 0).map(|link| Reverse((share(link, &rest, &open), link))).collect();
    let mut rates = vec![None; flows.len()];
    while let Some(Reverse((value, link))) = heap.pop() {
        if open[link] == 0 {
            continue;
        }
        // Shares only grow: what is out of date goes back with its present value.
        let present = share(link, &rest, &open);
        if present > value {
            heap.push(Reverse((present, link)));
            continue;
        }
        for flow in &members[start[link] as usize..start[link + 1] as usize] {
            let flow = *flow as usize;
            if rates[flow].is_none() {
                rates[flow] = Some(value);
                for other in flows[flow] {
                    rest[other] = rest[other].saturating_sub(value);
                    open[other] -= 1;
                }
            }
        }
    }
    rates.into_iter().map(Option::unwrap_or_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_narrow_link_leaves_goes_to_the_others() {
        // Three flows out of link 0 (90), one of them into link 1 (10).
        assert_eq!(max_min(&[90, 10, 100], &[[0, 1], [0, 2], [0, 2]]), [10, 40, 40]);
    }

    proptest! {
        /// Max-min fair means: no link is over its capacity, and each flow has a full link on which none is faster.
        #[test]
        fn shares_are_max_min_fair(
            capacity in proptest::collection::vec(1u64..1000, 6),
            flows in proptest::collection::vec((0usize..3, 3usize..6), 1..20),
        ) {
            let capacity: Vec<u64> = capacity.iter().map(|capacity| capacity * 1000).collect();
            let flows: Vec<[usize; 2]> = flows.into_iter().map(|(from, to)| [from, to]).collect();
            let rates = max_min(&capacity, &flows);
            let on = |link: usize| flows.iter().zip(&rates).filter(move |(flow, _)| flow.contains(&link)).map(|(_, rate)| *rate);
            for (link, capacity) in capacity.iter().enumerate() {
                prop_assert!(on(link).sum::<u64>() <= *capacity);
            }
            for (flow, rate) in flows.iter().zip(&rates) {
                let bottleneck = |link: &usize| {
                    let full = on(*link).sum::<u64>() + 40 >= capacity[*link];
                    full && on(*link).all(|other| other <= rate + 40)
                };
                prop_assert!(flow.iter().any(bottleneck), "{flows:?} {rates:?}");
            }
        }
    }
}
