//! Liveness: once everything that was to happen has happened, the network around a connected set of nodes that together have the file is
//! healed, everything else is frozen as it is, and every honest leecher of the set must finish in time.

use super::Run;
use crate::{
    checks::Invariant,
    scenario::{Fault, Role, Scenario, TrackerKind, Trouble},
    services::WebFault,
    units::Rate,
};
use rustor_core::{
    rng::Purpose,
    time::{Duration, Instant},
    web_seed::WebSeedConfig,
};

/// The nodes that must come to an end of it.
#[derive(Debug)]
pub(super) struct Core {
    /// All of them.
    members: Vec<usize>,
    /// The leechers among them.
    pub(super) leechers: Vec<usize>,
    /// They have everything between them.
    is_whole: bool,
}

/// Draws of a set before all are taken who can be.
const TRIES: usize = 8;
/// How many times the time that links need by themselves it may take. Those who mean ill take their part of every link.
const TIMES: u64 = 4;
/// So long after all else has settled disks go on doing what they should not.
const DISKS: Duration = Duration::from_secs(30);
/// How long, on average, a node lives and is away that dies again and again.
const LIFE: Duration = Duration::from_secs(12);
/// Without anything to wait for, this much later nothing happens any more.
const IN_VAIN: Duration = Duration::from_secs(600);

impl Run<'_> {
    /// Heals the network around a set of nodes, and says until when they have time.
    pub(super) fn heal(&mut self) {
        let core = self.choose();
        let now = self.world.now();
        self.healed.clone_from(&core.members);
        let whole: Vec<usize> = core.members.iter().copied().chain(self.world.services()).collect();
        self.world.network.heal(&whole);
        core.members.iter().for_each(|node| self.world.nodes[*node].disk.heal());
        self.refresh();
        self.end = now + if core.is_whole && !core.leechers.is_empty() { Duration::from_micros(self.bound(&core)) } else { IN_VAIN };
        self.core = Some(core);
    }

    /// Whether all leechers of the healed set have finished in time, if they could.
    pub(super) fn check_liveness(&mut self) {
        let now = self.world.now();
        let Some(core) = self.core.as_ref().filter(|core| core.is_whole) else { return };
        let node_of = |node: &usize| &self.world.nodes[*node];
        let late: Vec<&str> = core
            .leechers
            .iter()
            .filter(|node| !self.is_done(**node) && node_of(node).is_blameless())
            .map(|node| node_of(node).name.as_str())
            .collect();
        let what = || format!("{} did not finish", late.join(", "));
        self.world.checks.hold(now, "", Invariant::Liveness, late.is_empty(), what);
    }

    /// A connected set of nodes that together have the file. If some faults are for good, a set that is drawn; otherwise all who can be.
    fn choose(&self) -> Core {
        let able = |node: &usize| {
            let node = &self.world.nodes[*node];
            node.is_blameless() && (node.alive || node.returns) && node.host().is_some() && !node.torrents.is_empty()
        };
        let all: Vec<usize> = self.cast.iter().filter_map(|(_, _, node)| *node).filter(able).collect();
        let for_good = self.scenario.faults.iter().any(|fault| fault.lasts.is_none() && fault.trouble.lasts());
        let mut rng = self.world.rng.fork(Purpose::Simulation, 500);
        let drawn = (0..if for_good { TRIES } else { 0 }).map(|_| {
            let some: Vec<usize> = all.iter().copied().filter(|_| rng.below(100) < 60).collect();
            self.connected(&some)
        });
        drawn.into_iter().find(|core| core.is_whole && !core.leechers.is_empty()).unwrap_or_else(|| self.connected(&all))
    }

    /// The largest part of some nodes in which each can be reached by another; one that has everything, if there is one.
    fn connected(&self, nodes: &[usize]) -> Core {
        // Through those who give nothing, or do not stay, nothing reaches others: they are at the edge.
        let mut left = nodes.to_vec();
        left.sort_by_key(|node| self.passes_on(*node));
        let mut best = Core { members: Vec::new(), leechers: Vec::new(), is_whole: false };
        while let Some(first) = left.pop() {
            let mut members = vec![first];
            let mut at = 0;
            while let Some(node) = members.get(at).copied() {
                at += 1;
                if !self.passes_on(node) {
                    continue;
                }
                let (near, far) = left.into_iter().partition(|other| self.can_meet(node, *other));
                let near: Vec<usize> = near;
                members.extend(near);
                left = far;
            }
            members.sort_unstable();
            let is_leecher = |node: &usize| {
                let group = self.group_of(*node).map(|group| &self.scenario.groups[group]);
                group.is_some_and(|group| matches!(group.role, Role::Leecher | Role::Partial(_)))
            };
            let leechers = members.iter().copied().filter(is_leecher).collect();
            // A web server has files, but tells nobody what they are.
            let served = self.world.web_seed_serves() && members.iter().any(|node| self.knows_metadata(*node));
            let is_whole = served || self.holders(&members).iter().all(|holders| !holders.is_empty());
            let part = Core { members, leechers, is_whole };
            if (part.is_whole, part.leechers.len()) > (best.is_whole, best.leechers.len()) || best.members.is_empty() {
                best = part;
            }
        }
        best
    }

    /// Whether others get from a node what it has got.
    fn passes_on(&self, node: usize) -> bool {
        let stays = self.group_of(node).is_some_and(|group| self.scenario.groups[group].leaves.is_none());
        stays && self.world.nodes[node].config.limits.upload_slots > 0
    }

    /// Whether one of two nodes can connect to the other, and hears of it.
    fn can_meet(&self, one: usize, other: usize) -> bool {
        let [a, b] = [one, other].map(|node| &self.world.nodes[node]);
        let open = [one, other].iter().any(|node| self.world.network.link(*node).nat.is_none());
        let addresses = |node| self.world.network.addresses(node);
        let told = match self.scenario.torrent.tracker {
            TrackerKind::Http => true,
            // Over UDP, a tracker tells of peers of the asker's family only.
            TrackerKind::Udp => addresses(one).any(|address| addresses(other).any(|other| address.is_ipv4() == other.is_ipv4())),
            TrackerKind::None => false,
        };
        let named = addresses(other).any(|address| a.named.contains(&address.ip()))
            || addresses(one).any(|address| b.named.contains(&address.ip()));
        open && self.world.network.have_a_family_in_common(one, other) && (told || named)
    }

    fn knows_metadata(&self, node: usize) -> bool {
        let node = &self.world.nodes[node];
        node.torrents.first().is_some_and(|(torrent, _)| node.host().is_some_and(|host| host.engine.metainfo(*torrent).is_some()))
    }

    /// Who serves each piece, of some nodes, and stays.
    fn holders(&self, nodes: &[usize]) -> Vec<Vec<usize>> {
        let mut holders = vec![Vec::new(); self.payload.pieces() as usize];
        for index in nodes {
            let node = &self.world.nodes[*index];
            let verified = node.torrents.first().and_then(|(torrent, _)| node.host()?.engine.verified(*torrent));
            // Whoever loses its power may lose what it has.
            if let Some(verified) = verified.filter(|_| self.passes_on(*index) && !node.disk.may_lose()) {
                verified.iter().for_each(|piece| holders[piece as usize].push(*index));
            }
        }
        holders
    }

    /// How long a healed set may take, in microseconds: many times what its links need, and on top what engines wait for.
    fn bound(&self, core: &Core) -> u64 {
        let rates = |node: usize| {
            let (link, limits) = (self.world.network.link(node), &self.world.nodes[node].config.limits);
            let rate = |link: Option<Rate>, limit: Option<u64>| {
                let limit = limit.unwrap_or(u64::MAX);
                u128::from(link.map_or(u64::MAX, |rate| rate.0).min(limit).clamp(1, 1 << 40))
            };
            let up = if limits.upload_slots == 0 { 0 } else { rate(link.up, limits.rates.upload) };
            (up, rate(link.down, limits.rates.download))
        };
        let length = u128::from(self.scenario.length());
        let slowest = core.leechers.iter().map(|node| rates(*node).1).min().unwrap_or(u128::MAX);
        let all: u128 = core.members.iter().map(|node| rates(*node).0).sum();
        let mut least = (length / slowest.max(1)).max(length * core.leechers.len() as u128 * 1_000_000 / all.max(1) / 1_000_000);
        if !self.world.web_seed_serves() {
            // What only one has, that one has to send; and all that is there, those who have it.
            let holders = self.holders(&core.members);
            let mut alone = std::collections::BTreeMap::<usize, u128>::new();
            for holders in &holders {
                if let [only] = holders[..] {
                    *alone.entry(only).or_default() += u128::from(self.payload.piece_length());
                }
            }
            least = alone.into_iter().map(|(node, bytes)| bytes / rates(node).0.max(1)).fold(least, u128::max);
        } else {
            let web = self.world.web_rate().max(1);
            least = least.max(length * core.leechers.len() as u128 / (all + u128::from(web)));
        }
        if self.scenario.network.families_apart {
            // It may all have to pass through one that has both.
            let between = core.members.iter().map(|node| rates(*node).0).filter(|up| *up > 0).min();
            least = least.max(length / between.unwrap_or(1));
        }
        let links = u64::try_from(least.saturating_mul(1_000_000)).unwrap_or(u64::MAX / 1000);
        links.saturating_mul(TIMES).saturating_add(self.scenario.timers())
    }
}

impl Scenario {
    /// What engines may wait for once all is well, in microseconds.
    fn timers(&self) -> u64 {
        // Who got no answer waits ever longer, but hardly longer than it has waited already, nor than half an hour.
        let back_off = self.settled().min(1_800_000_000);
        // What a web server did not have it is asked for again later.
        let missing = |fault: &Fault| matches!(fault.trouble, Trouble::Web { fault: WebFault::Missing, .. });
        let retry = if self.faults.iter().any(missing) { WebSeedConfig::default().retry_maximum.as_micros() as u64 } else { 0 };
        // A tracker that names nobody is asked again after its interval. Whoever is silent is given up after two or three minutes, a few
        // of them one after the other.
        self.torrent.interval.0 + back_off + retry + 300_000_000
    }

    /// The latest that the run may be healed, for who wants to know beforehand.
    pub(super) fn healed_at(&self) -> Instant {
        // Disks that do wrong all the time do so for a while, and those whose nodes die again and again until that has come to its end.
        let disks = self.groups.iter().map(|group| &group.disk);
        let trouble = disks.map(|disk| {
            let wrong = if disk.errors > 0 || disk.misdirected > 0 { DISKS.as_micros() as u64 } else { 0 };
            wrong.max(u64::from(disk.crash_again) * LIFE.as_micros() as u64)
        });
        Instant::from_micros(self.settled().saturating_add(trouble.max().unwrap_or_default()).saturating_add(1))
    }
}
