//! Liveness: once everything that was to happen has happened, the network around a connected set of nodes that together have the file is
//! healed, everything else is frozen as it is, and every honest leecher of the set must finish in time.

use super::Run;
use crate::{
    adversary::Mischief,
    checks::Invariant,
    network::Settings,
    scenario::{Group, Role, Scenario, TrackerKind, Trouble},
    services::WebFault,
    units::{Rate, Span},
};
use rustor_core::{
    config::Config,
    rng::Purpose,
    time::{Duration, Instant},
    wire::BLOCK_LENGTH,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
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
    /// How long they have.
    patience: Patience,
}

#[cfg(test)]
impl Core {
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }
}

/// Requests are for so much.
const BLOCK: u64 = BLOCK_LENGTH as u64;
/// Jobs of a disk one after the other besides those: files are opened, checked and synced, a few times.
const JOBS: u128 = 60;
/// What is lost is sent again after this, in microseconds; see the network.
const RETRANSMISSION: u128 = 200_000;
/// In seconds: after this the engine gives a UDP tracker up.
const UDP_GIVE_UP: u64 = 105;
/// Owners let a torrent go on that has failed, and start a program that has died, after this; a few times.
const OWNER: Duration = Duration::from_secs(30);
/// Connections of an adversary to one victim, besides the first.
const TWINS: usize = 4;
/// Draws of a set before all are taken who can be.
const TRIES: usize = 8;
/// So long after all else has settled disks go on doing what they should not.
const DISKS: Duration = Duration::from_secs(30);
/// How long, on average, a node lives and is away that dies again and again.
const LIFE: Duration = Duration::from_secs(12);
/// How many times the least time it may take: no order of things is the best one.
const TIMES: u32 = 2;
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
        let patience = self.patience(&core);
        self.end = now + if core.is_whole && !core.leechers.is_empty() { patience.total() } else { IN_VAIN };
        self.core = Some(Core { patience, ..core });
    }

    /// Where nothing is ever wrong there is nothing to heal, and who has what may be known only after that: then it is decided anew.
    pub(super) fn decide_again(&mut self) {
        if self.scenario.faults.is_empty() && self.core.as_ref().is_some_and(|core| !core.is_whole) {
            let core = self.choose();
            if core.is_whole && !core.leechers.is_empty() {
                self.heal();
            }
        }
    }

    /// Whether all leechers of the healed set have finished in time, if they could.
    pub(super) fn check_liveness(&mut self) {
        let now = self.world.now();
        let Some(core) = self.core.as_ref().filter(|core| core.is_whole && !core.leechers.is_empty()) else { return };
        let node_of = |node: &usize| &self.world.nodes[*node];
        let late: Vec<&str> = core
            .leechers
            .iter()
            .filter(|node| !self.is_done(**node) && node_of(node).is_blameless())
            .map(|node| node_of(node).name.as_str())
            .collect();
        let what = || format!("{} did not finish within {}", late.join(", "), core.patience);
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
        // Through those who give nothing, or do not stay, nothing reaches others: they come last.
        let (mut left, stay): (Vec<usize>, Vec<usize>) = nodes.iter().partition(|node| !self.passes_on(**node));
        left.extend(stay);
        let mut best = Core { members: Vec::new(), leechers: Vec::new(), is_whole: false, patience: Patience(Vec::new()) };
        while let Some(first) = left.pop() {
            let mut members = vec![first];
            let mut at = 0;
            while let Some(node) = members.get(at).copied() {
                let (near, far) = left.into_iter().partition(|other| self.passes_on(node) && self.can_meet(node, *other));
                let near: Vec<usize> = near;
                members.extend(near);
                left = far;
                at += 1;
            }
            members.sort_unstable();
            let is_leecher = |node: &usize| {
                let group = self.group_of(*node).map(|group| &self.scenario.groups[group]);
                group.is_some_and(|group| matches!(group.role, Role::Leecher | Role::Partial(_)))
            };
            let leechers: Vec<usize> = members.iter().copied().filter(is_leecher).collect();
            // A web server has files, but tells nobody what they are, nor does who does not stay.
            let told = members.iter().any(|node| self.passes_on(*node) && self.knows_metadata(*node));
            let served = self.world.web_seed_serves() && (told || leechers.iter().all(|node| self.knows_metadata(*node)));
            let is_whole = served || self.holders(&members).iter().all(|holders| !holders.is_empty());
            let part = Core { members, leechers, is_whole, patience: Patience(Vec::new()) };
            if (part.is_whole, part.leechers.len()) > (best.is_whole, best.leechers.len()) || best.members.is_empty() {
                best = part;
            }
        }
        best
    }

    /// Whether others get from a node what it has got.
    fn passes_on(&self, node: usize) -> bool {
        self.stays(node) && self.world.nodes[node].config.limits.upload_slots > 0
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

    /// It is still there when it has finished.
    fn stays(&self, node: usize) -> bool {
        self.group_of(node).is_some_and(|group| self.scenario.groups[group].leaves.is_none())
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
            // Whoever loses its power may lose what it has.
            let stays = self.passes_on(*index) && !node.disk.may_lose();
            let verified = node.torrents.first().and_then(|(torrent, _)| node.host()?.engine.verified(*torrent));
            if let Some(verified) = verified.filter(|_| stays) {
                verified.iter().for_each(|piece| holders[piece as usize].push(*index));
            }
        }
        holders
    }

    /// How long a healed set may take: twice what links, disks and round trips need, and what engines wait for by their own
    /// configuration. Each wait has its reason in this scenario, or it is not granted; of waits that run at the same time it is the longest.
    fn patience(&self, core: &Core) -> Patience {
        let (scenario, world) = (self.scenario, &self.world);
        let nodes = || core.members.iter().map(|node| &world.nodes[*node]);
        let longest = |of: &dyn Fn(&Config) -> Duration| nodes().map(|node| of(&node.config)).max().unwrap_or_default();
        let fault = |is: &dyn Fn(&Trouble) -> bool| scenario.faults.iter().any(|fault| is(&fault.trouble));
        let group = |node: &usize| self.group_of(*node).map(|group| &scenario.groups[group]);
        let some_group = |is: &dyn Fn(&Group) -> bool| core.members.iter().filter_map(group).any(is);
        let settled = Duration::from_micros(scenario.settled());
        let mut patience = Patience(Vec::new());

        // Whoever dies of its disk later may have to begin again.
        let restarts = u32::from(some_group(&|group| group.disk.crash_at.is_some()));
        patience.add("transfer", self.transfer(core) * (TIMES * (1 + restarts)));
        patience.add("what was slow on its way", self.slowed(core));
        patience.add("connect and handshake", longest(&|config| config.connect_timeout + config.handshake_timeout));
        // Everybody who wants something has its turn at a slot of those who have what is rarest.
        let slots_of = |node: &usize| world.nodes[*node].config.limits.upload_slots;
        let holders = self.holders(&core.members);
        let slots = holders.iter().map(|holders| holders.iter().map(slots_of).sum::<u32>()).filter(|slots| *slots > 0).min().unwrap_or(1);
        let turns = self.claimants(core).div_ceil(slots);
        patience.add("choke rounds", longest(&|config| config.choke_interval * config.optimistic_rounds) * turns);

        // What may pass until those who need each other have met.
        let mut meeting = vec![("", Duration::ZERO)];
        let silenced = fault(&|trouble| {
            matches!(trouble, Trouble::PowerFailure(_) | Trouble::Dark(_) | Trouble::Partition { .. } | Trouble::Loss { .. })
        });
        let powerless = restarts > 0 && some_group(&|group| group.disk.crash_takes_power);
        let forgets = |idle: Span| idle.duration() <= longest(&|config| config.keep_alive_interval);
        let forgotten = core.members.iter().any(|node| world.network.link(*node).nat.as_ref().is_some_and(|nat| forgets(nat.tcp_idle)));
        let dead = if silenced || powerless || forgotten {
            // The other end of a connection is gone, and nobody has said so.
            longest(&|config| config.idle_timeout.max(config.write_timeout))
        } else {
            Duration::ZERO
        };
        let translated = core.members.iter().any(|node| world.network.link(*node).nat.is_some());
        let broken = fault(&|trouble| matches!(trouble, Trouble::Crash(_) | Trouble::Sever(_) | Trouble::Slow { .. }));
        let gone = scenario.groups.iter().any(|group| group.leaves.is_some());
        let failed = dead > Duration::ZERO || restarts > 0 || translated || broken || gone;
        if failed {
            // Who did not answer is called again after ever longer, but hardly longer than has passed already, and then forgotten.
            // Whom the owner has named is not, and there may be nobody else to tell of it.
            let named = scenario.torrent.tracker == TrackerKind::None;
            let doublings = |config: &Config| if named { 16 } else { config.reconnect_attempts.saturating_sub(2).min(16) };
            let last = |config: &Config| (config.reconnect_interval * (1 << doublings(config))).min(config.reconnect_maximum);
            let back_off = longest(&|config| config.reconnect_interval.max(last(config).min(settled)));
            meeting.push(("silence and reconnect", dead + back_off));
        }
        if scenario.torrent.tracker != TrackerKind::None {
            let untracked = fault(&|trouble| matches!(trouble, Trouble::Tracker(_) | Trouble::Names(_)));
            let mut wait = Duration::ZERO;
            if failed || untracked || !self.is_acquainted(core) {
                let shortest = longest(&|config| config.announcer.shortest_interval);
                let interval = scenario.torrent.interval.duration().max(shortest);
                wait = interval + longest(&|config| interval * config.announcer.jitter_percent / 100);
            }
            if untracked {
                // A request may still be under way; then it is back-off, as with peers.
                let timeout = longest(&|config| config.tracker_timeout);
                let udp = Duration::from_secs(if scenario.torrent.tracker == TrackerKind::Udp { UDP_GIVE_UP } else { 0 });
                let back_off = |config: &Config| config.announcer.first_retry_refused.max(settled).min(config.announcer.longest_retry);
                wait = wait.max(timeout.max(udp) + longest(&back_off));
            }
            meeting.push(("tracker", wait));
        }
        let most = world.nodes.len() + TWINS * scenario.adversaries(Mischief::Twins);
        let fewest = nodes().map(|node| node.config.limits.connections_per_torrent as usize).min().unwrap_or(most);
        if fewest < most && scenario.torrent.tracker == TrackerKind::None {
            // Whoever nobody else is known to waits for a place until others have all.
            let waves = most.div_ceil(fewest.max(1)) as u32;
            patience.add("places", self.transfer(core) * (TIMES * (waves - 1)));
        }
        if fewest < most {
            meeting.push(("turnover", longest(&|config| config.useless_time)));
        }
        if translated {
            // Who is met at last may be silent for want of anything to say, until a router has forgotten it: then one follows the other.
            meeting.into_iter().filter(|(_, span)| *span > Duration::ZERO).for_each(|(reason, span)| patience.add(reason, span));
        } else {
            meeting.into_iter().max_by_key(|(_, span)| *span).into_iter().for_each(|(reason, span)| patience.add(reason, span));
        }

        // What the ill-willed owe others are asked for after this; who sends a little now and then has longer.
        let ill = (0..world.nodes.len()).filter(|node| !world.nodes[*node].is_blameless() && world.tracker != Some(*node));
        let trickles = |role| matches!(role, Role::Adversary(Mischief::HalfBlocks | Mischief::Dribble));
        let owed = ill.map(|node| {
            let trickles = group(&node).is_some_and(|group| trickles(group.role));
            // Whoever trickles may be asked once more, just before somebody better is met.
            longest(&|config| if trickles { config.block_timeout * 2 } else { config.snub_timeout })
        });
        owed.max().into_iter().for_each(|span| patience.add("snubbing", span));
        if core.leechers.iter().any(|node| !self.knows_metadata(*node)) {
            let liars = (scenario.adversaries(Mischief::WrongMetadata) + scenario.adversaries(Mischief::HugeMetadata)) as u32;
            let wait = |config: &Config| config.metadata.request_timeout + config.metadata.retry_interval;
            patience.add("metadata", longest(&|config| wait(config) + config.metadata.candidate_time * liars));
        }
        if fault(&|trouble| matches!(trouble, Trouble::Web { .. })) {
            // If peers have it all, a server that is silent only keeps what it was asked for.
            patience.add("web seed's silence", longest(&|config| config.web_seed.silence_timeout));
            if holders.iter().any(Vec::is_empty) {
                let lacks = |fault| matches!(fault, WebFault::Missing | WebFault::WrongLength | WebFault::Busy { .. });
                let missing = fault(&|trouble| matches!(trouble, Trouble::Web { fault, .. } if lacks(*fault)));
                let most = if missing { Duration::MAX } else { settled };
                patience.add("web seed's failures", longest(&|config| config.web_seed.retry_maximum.min(most)));
            }
        }
        if restarts > 0 || some_group(&|group| group.disk.errors > 0) || fault(&|trouble| matches!(trouble, Trouble::Disk { .. })) {
            patience.add("owners", OWNER);
        }
        patience
    }

    /// How long what was sent while links were slower may still be on its way: a segment to them from everybody, and one from them.
    fn slowed(&self, core: &Core) -> Duration {
        let bytes = u128::from(self.scenario.network.segment.0.max(64 << 10));
        let everybody = (self.world.nodes.len() + self.scenario.web_seeds.len()) as u128;
        let mut longest = 0;
        for fault in &self.scenario.faults {
            let Trouble::Slow { nodes, by } = &fault.trouble else { continue };
            for node in self.nodes(nodes).into_iter().filter(|node| core.members.contains(node)) {
                let Some(group) = self.group_of(node) else { continue };
                let link = &self.scenario.groups[group].link;
                let takes = |rate: Option<Rate>, segments: u128| {
                    rate.map_or(0, |rate| segments * bytes * 1_000_000 * u128::from(*by) / u128::from(rate.0.max(1)))
                };
                longest = longest.max(takes(link.down, everybody) + takes(link.up, 1));
            }
        }
        Duration::from_micros(u64::try_from(longest).unwrap_or(u64::MAX / 4))
    }

    /// Who wants something of the healed set: its leechers, and all who mean ill or are not in it.
    fn claimants(&self, core: &Core) -> u32 {
        let outside = self.world.nodes.len() - core.members.len() - usize::from(self.world.tracker.is_some());
        (core.leechers.len() + outside) as u32
    }

    /// What links, disks and round trips need at least.
    fn transfer(&self, core: &Core) -> Duration {
        let world = &self.world;
        let rates = |node: usize| {
            let (link, limits) = (world.network.link(node), &world.nodes[node].config.limits);
            let rate = |link: Option<Rate>, limit: Option<u64>| {
                let limit = limit.unwrap_or(u64::MAX);
                u128::from(link.map_or(u64::MAX, |rate| rate.0).min(limit).clamp(1, 1 << 40))
            };
            let up = if limits.upload_slots == 0 { 0 } else { rate(link.up, limits.rates.upload) };
            (up, rate(link.down, limits.rates.download))
        };
        let micros = |bytes: u128, rate: u128| bytes.saturating_mul(1_000_000) / rate.max(1);
        let (length, claimants) = (u128::from(self.scenario.length()), u128::from(self.claimants(core)));
        let slowest = core.leechers.iter().map(|node| rates(*node).1).min().unwrap_or(u128::MAX);
        let mut all: u128 = core.members.iter().map(|node| rates(*node).0).sum();
        let mut least = micros(length, slowest);
        if world.web_seed_serves() {
            all += u128::from(world.web_rate());
        } else {
            // What only one has, that one has to send.
            let holders = self.holders(&core.members);
            let mut alone = BTreeMap::<usize, u128>::new();
            for holders in &holders {
                if let [only] = holders[..] {
                    *alone.entry(only).or_default() += u128::from(self.payload.piece_length());
                }
            }
            least = alone.into_iter().map(|(node, bytes)| micros(bytes, rates(node).0)).fold(least, u128::max);
        }
        if self.scenario.network.families_apart {
            // It may all have to pass through one that has both.
            let between = core.members.iter().map(|node| rates(*node).0).filter(|up| *up > 0).min();
            least = least.max(micros(length, between.unwrap_or(1)));
        }
        // Whoever asks gets its part.
        least = least.max(micros(length * claimants, all));
        // So much may be under way at a time, there and back, and what is lost takes longer.
        let links = || core.members.iter().map(|node| world.network.link(*node));
        let trip = u128::from(4 * links().map(|link| link.delay.0 + link.jitter.0).max().unwrap_or_default());
        let fewest = |of: &dyn Fn(&Config) -> u64| core.members.iter().map(|node| of(&world.nodes[*node].config)).min().unwrap_or(BLOCK);
        let Settings { window, segment, .. } = self.scenario.network;
        let ahead = fewest(&|config| u64::from(config.request_maximum) * BLOCK).min(window.0);
        let trips = length.div_ceil(u128::from(ahead.max(1))) * trip;
        let loss = links().map(|link| u128::from(link.loss)).max().unwrap_or_default();
        let lost = length.div_ceil(u128::from(segment.0)) * loss * (RETRANSMISSION + trip) / 100;
        // A peer's blocks are read one after the other, as far ahead as may be.
        let groups = core.members.iter().filter_map(|node| self.group_of(*node)).map(|group| &self.scenario.groups[group]);
        let latency = u128::from(groups.map(|group| group.disk.latency[1].0).max().unwrap_or_default());
        let read = fewest(&|config| u64::from(config.upload_buffer.min(config.upload_read_limit)).max(BLOCK));
        let disk = (length.div_ceil(u128::from(read)) + JOBS) * latency;
        Duration::from_micros(u64::try_from(least + trips + lost + disk).unwrap_or(u64::MAX / 1000))
    }

    /// They are all connected, one by way of another, and need not ask a tracker.
    fn is_acquainted(&self, core: &Core) -> bool {
        let nodes = &self.world.nodes;
        let members: BTreeMap<IpAddr, usize> = core.members.iter().map(|node| (nodes[*node].address.ip(), *node)).collect();
        let mut near: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for node in &core.members {
            let torrent = nodes[*node].torrents.first().zip(nodes[*node].host());
            let peers = torrent.map(|((torrent, _), host)| host.engine.peers(*torrent)).unwrap_or_default();
            for other in peers.iter().filter_map(|peer| members.get(&peer.remote.ip()).copied()) {
                near.entry(*node).or_default().push(other);
                near.entry(other).or_default().push(*node);
            }
        }
        let mut met: BTreeSet<usize> = core.members.first().copied().into_iter().collect();
        let mut next: Vec<usize> = met.iter().copied().collect();
        while let Some(node) = next.pop() {
            next.extend(near.get(&node).into_iter().flatten().copied().filter(|other| met.insert(*other)));
        }
        met.len() == core.members.len()
    }
}

/// What a healed set is granted, term by term.
#[derive(Debug)]
struct Patience(Vec<(&'static str, Duration)>);

impl Patience {
    /// Grants so long for a reason; what is granted for the same reason again comes on top.
    fn add(&mut self, reason: &'static str, span: Duration) {
        match self.0.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, granted)) => *granted = granted.saturating_add(span),
            None => self.0.push((reason, span)),
        }
    }

    fn total(&self) -> Duration {
        self.0.iter().fold(Duration::ZERO, |total, (_, span)| total.saturating_add(*span))
    }
}

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.total().as_secs_f64())?;
        for (index, (reason, span)) in self.0.iter().enumerate() {
            write!(f, "{}{reason} {:.1} s", if index == 0 { ": " } else { ", " }, span.as_secs_f64())?;
        }
        Ok(())
    }
}

impl Scenario {
    /// How many adversaries of a kind there are.
    fn adversaries(&self, mischief: Mischief) -> usize {
        let groups = self.groups.iter().filter(|group| group.role == Role::Adversary(mischief));
        groups.map(|group| group.count as usize).sum()
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
