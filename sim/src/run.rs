//! A scenario is run: its cast comes and goes, its faults begin and end, and what can be seen of it is written down.

mod liveness;
#[cfg(test)]
mod tests;

use crate::{
    agenda::EVERYBODY,
    checks::Invariant,
    node::{Brain, Node},
    payload::Payload,
    report::{Member, Report, Sample, Stopwatch},
    scenario::{Role, Scenario, ScenarioError, Step, TrackerKind, Trouble},
    units::Rate,
    world::{FOLDER, Happening, NodeId, Options, World},
};
use rustor_core::{
    rng::Purpose,
    time::{Duration, Instant},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// A scenario on its way.
#[derive(Debug)]
pub struct Run<'a> {
    scenario: &'a Scenario,
    payload: Payload,
    world: World,
    /// Everybody, group by group: the group, the number in it, and the node once it is there.
    cast: Vec<(usize, u32, Option<usize>)>,
    samples: Vec<Sample>,
    sample_interval: Duration,
    /// Which group each node is of.
    groups: BTreeMap<usize, usize>,
    /// Faults that have begun and not ended.
    active: BTreeSet<usize>,
    /// Nodes with which something is wrong.
    changed: BTreeSet<usize>,
    /// Nodes whose network and disks are healed, for good.
    healed: Vec<usize>,
    /// Who has left after it had finished.
    gone: BTreeSet<usize>,
    /// Who must finish, once that is decided.
    core: Option<liveness::Core>,
    /// When the run ends at the latest.
    end: Instant,
    #[cfg(feature = "planted-bugs")]
    bug: Option<crate::planted::PlantedBug>,
}

/// What is wrong with a node now.
#[derive(Debug, Default)]
struct Change<'a>(Vec<&'a Trouble>);

/// Up to so many nodes, everything is looked at with each sample.
const FEW: usize = 60;

impl Scenario {
    /// Runs it to its end.
    pub fn run(&self) -> Report {
        self.run_with(|_| {})
    }

    /// Runs it to its end, and lets `watch` look at it with each sample.
    pub fn run_with(&self, watch: impl FnMut(&Sample)) -> Report {
        Run::new(self).complete(watch)
    }

    /// The same, and what the engine of one node was told, for [`rustor_core::record::Replay`]: `leechers/3`. If the node dies on the way,
    /// its last life is what is told of.
    ///
    /// # Errors
    ///
    /// If the scenario has no such node with an engine, or if it did not come before the end.
    pub fn run_recording(&self, node: &str, watch: impl FnMut(&Sample)) -> Result<(Report, Vec<u8>), ScenarioError> {
        let engine = |member: &usize| !matches!(self.group_of(*member).role, Role::Adversary(_));
        let [member] = self.named(node)[..] else { return Err(ScenarioError::new(format!("\"{node}\" names no single node"))) };
        if !engine(&member) {
            return Err(ScenarioError::new(format!("\"{node}\" has no engine")));
        }
        let mut run = Run::new(self);
        let group = self.group_of(member);
        run.world.options.record_node = Some(if node == group.name { format!("{node}/0") } else { node.to_owned() });
        let report = run.complete(watch);
        let recording = run.world.finish_recording();
        Ok((report, recording.ok_or_else(|| ScenarioError::new(format!("\"{node}\" had not come when the run ended")))?))
    }

    /// Runs it with engines that make a mistake.
    #[cfg(feature = "planted-bugs")]
    pub fn run_planted(&self, bug: crate::planted::PlantedBug) -> Report {
        Run::planted(self, bug).complete(|_| {})
    }
}

impl Run<'_> {
    fn complete(&mut self, mut watch: impl FnMut(&Sample)) -> Report {
        let stopwatch = Stopwatch::start();
        let run = self;
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut seen = 0;
            while run.advance() {
                run.samples[seen..].iter().for_each(&mut watch);
                seen = run.samples.len();
            }
        }));
        if let Err(panic) = result {
            let now = run.world.now();
            run.world.checks.hold(now, "", Invariant::NoPanic, false, || said(&*panic));
        } else {
            run.finish();
        }
        run.report(&stopwatch)
    }
}

impl<'a> Run<'a> {
    /// A run at its beginning.
    pub fn new(scenario: &'a Scenario) -> Run<'a> {
        let power = |trouble: &Trouble| matches!(trouble, Trouble::PowerFailure(_));
        let options = Options {
            record: false,
            record_node: None,
            keep_events: false,
            shuffle_ties: scenario.shuffle_ties,
            network: scenario.network.clone(),
            power_may_fail: scenario.faults.iter().any(|fault| power(&fault.trouble))
                || scenario.groups.iter().any(|group| group.disk.crash_at.is_some() && group.disk.crash_takes_power),
        };
        let mut world = World::with_options(scenario.seed, options);
        world.agenda.set_lookahead(scenario.lookahead());
        let members = scenario.groups.iter().enumerate();
        let cast: Vec<_> = members.flat_map(|(group, details)| (0..details.count).map(move |number| (group, number, None))).collect();
        if scenario.torrent.tracker != TrackerKind::None {
            world.add_tracker_with(scenario.torrent.interval);
            world.set_tracker_delay(scenario.torrent.tracker_delay);
        }
        let payload = scenario.payload();
        scenario.web_seeds.iter().for_each(|seed| world.add_web_seed(seed, &payload));
        for (index, (group, number, _)) in cast.iter().enumerate() {
            let group = &scenario.groups[*group];
            let at = Duration::from_micros(group.arrives.0 + group.every.0 * u64::from(*number));
            world.agenda.after(at, EVERYBODY, Happening::Step(Step::Arrive(index)));
        }
        for (index, fault) in scenario.faults.iter().enumerate() {
            world.agenda.after(fault.at.duration(), EVERYBODY, Happening::Step(Step::Begin(index)));
            if let Some(lasts) = fault.lasts {
                world.agenda.after(fault.at.duration() + lasts.duration(), EVERYBODY, Happening::Step(Step::End(index)));
            }
        }
        let ideal = scenario.ideal();
        let sample_interval = Duration::from_micros((ideal / 40).clamp(500_000, 30_000_000));
        world.agenda.after(sample_interval, EVERYBODY, Happening::Step(Step::Sample));
        let end = scenario.ends.map_or(Instant::MAX, |ends| Instant::from_micros(ends.0));
        if scenario.ends.is_none() {
            world.agenda.at(scenario.healed_at(), EVERYBODY, Happening::Step(Step::Heal));
        }
        Run {
            scenario,
            payload,
            world,
            cast,
            samples: Vec::new(),
            sample_interval,
            groups: BTreeMap::new(),
            active: BTreeSet::new(),
            changed: BTreeSet::new(),
            healed: Vec::new(),
            gone: BTreeSet::new(),
            core: None,
            end,
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }

    /// A run at its beginning, with engines that make a mistake.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn planted(scenario: &'a Scenario, bug: crate::planted::PlantedBug) -> Run<'a> {
        let mut run = Run::new(scenario);
        run.bug = Some(bug);
        use crate::planted::PlantedBug::{LosesBlocks, LosesBytes};
        run.world.network.leaks = u32::from(matches!(bug, LosesBytes | LosesBlocks));
        run.world.network.owns_up = bug == LosesBlocks;
        run
    }

    /// Lets the next thing happen. `false` if nothing is left to wait for.
    pub fn advance(&mut self) -> bool {
        if !self.world.step(self.end) || !self.world.checks.violations().is_empty() {
            return false;
        }
        while let Some(step) = self.world.due.pop() {
            if !self.take(step) {
                return false;
            }
        }
        true
    }

    /// The same, and what engines are told and say as it happens, in the order of time.
    pub(crate) fn overhear(&mut self) -> Vec<String> {
        self.world.overheard = Some(Vec::new());
        self.advance();
        self.world.overheard.take().unwrap_or_default()
    }

    /// Everything as it is now.
    pub fn world(&self) -> &World {
        &self.world
    }

    fn take(&mut self, step: Step) -> bool {
        match step {
            Step::Arrive(member) => self.arrive(member),
            Step::Revive(node) => {
                self.revive(node);
                self.refresh();
            }
            Step::Begin(fault) => self.begin(fault),
            Step::End(fault) => self.end(fault),
            Step::Heal => self.heal(),
            Step::Sample => {
                self.sample();
                self.decide_again();
                if self.is_over() {
                    return false;
                }
                self.world.agenda.after(self.sample_interval, EVERYBODY, Happening::Step(Step::Sample));
            }
        }
        self.world.deliver();
        true
    }

    fn arrive(&mut self, member: usize) {
        let (group, number, _) = self.cast[member];
        let details = &self.scenario.groups[group];
        let name = format!("{}/{number}", details.name);
        let peers = self.known_to(group);
        let node = match details.role {
            Role::Adversary(mischief) => {
                self.world.adversary_node(&name, details.link.clone(), &self.payload, mischief, &peers, details.families()).0
            }
            role => {
                let (link, disk, config) = (details.link.clone(), details.disk.clone(), details.policy.config());
                let id = self.world.engine_node(name, link, config, disk, details.families());
                self.world.nodes[id.0].magnet = details.magnet;
                self.world.nodes[id.0].mutations = details.mutations.into();
                #[cfg(feature = "planted-bugs")]
                if let (Some(bug), Some(host)) = (self.bug, self.world.nodes[id.0].host_mut()) {
                    host.tamper = Some(crate::planted::Tamper::new(bug));
                    if bug == crate::planted::PlantedBug::IgnoresLimits {
                        let limits = rustor_core::config::Limits { rates: Default::default(), ..host.engine.config().limits };
                        self.world.command(id, rustor_core::command::Command::SetLimits(limits));
                    }
                }
                let payload = &self.payload;
                let Node { disk, had, .. } = &mut self.world.nodes[id.0];
                match role {
                    Role::Seed => disk.put(FOLDER, payload),
                    Role::Partial(percent) => {
                        let mut rng = self.world.rng.fork(Purpose::Simulation, 1000 + member as u64);
                        disk.put_pieces(FOLDER, payload, |piece| {
                            let has = rng.below(100) < u64::from(percent);
                            *had += if has {
                                payload.slice(u64::from(piece) * u64::from(payload.piece_length()), payload.piece_length().into()).len()
                                    as u64
                            } else {
                                0
                            };
                            has
                        });
                    }
                    _ => {}
                }
                self.world.add(id, &self.payload, &peers);
                id.0
            }
        };
        self.cast[member].2 = Some(node);
        self.groups.insert(node, group);
        // Who means ill hears of whoever comes later, too.
        let rogues = self.cast.iter().filter(|(other, ..)| matches!(self.scenario.groups[*other].role, Role::Adversary(_)));
        let hear = rogues.filter(|(other, ..)| self.knows(*other, group)).filter_map(|(_, _, rogue)| *rogue);
        for rogue in hear.filter(|rogue| *rogue != node).collect::<Vec<_>>() {
            self.world.betray(node, rogue);
        }
        self.suffer();
    }

    /// What goes wrong just now goes wrong for who has come, too.
    fn suffer(&mut self) {
        let scenario = self.scenario;
        if self.active.is_empty() {
            return;
        }
        for index in self.active.clone() {
            if let Trouble::Partition { from, to, one_way } = &scenario.faults[index].trouble {
                self.world.network.mend(index);
                self.cut(index, from, to, *one_way);
            }
        }
        self.refresh();
    }

    /// The addresses that nodes of a group know when they come.
    fn known_to(&self, group: usize) -> Vec<SocketAddr> {
        let here = self.cast.iter().filter(|(other, ..)| self.knows(group, *other)).filter_map(|(_, _, node)| *node);
        here.flat_map(|node| self.world.network.addresses(node)).collect()
    }

    /// Whether nodes of a group know those of another: if it is said so; adversaries know everybody who is honest if nothing is said.
    fn knows(&self, group: usize, other: usize) -> bool {
        let [group, other] = [group, other].map(|index| &self.scenario.groups[index]);
        let ill = |role| matches!(role, Role::Adversary(_));
        let everybody = group.knows.is_empty() && ill(group.role) && !ill(other.role);
        everybody || group.knows.contains(&other.name)
    }

    fn peers_of(&self, node: usize) -> Vec<SocketAddr> {
        let member = self.cast.iter().find(|(_, _, here)| *here == Some(node));
        member.map(|(group, _, _)| self.known_to(*group)).unwrap_or_default()
    }

    fn nodes(&self, name: &str) -> Vec<usize> {
        self.scenario.named(name).into_iter().filter_map(|member| self.cast[member].2).collect()
    }

    /// The same, or a service.
    fn places(&self, name: &str) -> Vec<usize> {
        let is_group = !self.scenario.named(name).is_empty();
        if is_group { self.nodes(name) } else { self.world.service(name).into_iter().collect() }
    }

    fn begin(&mut self, index: usize) {
        let scenario = self.scenario;
        self.active.insert(index);
        match &scenario.faults[index].trouble {
            Trouble::Crash(nodes) => self.nodes(nodes).into_iter().for_each(|node| self.world.crash(node, false)),
            Trouble::PowerFailure(nodes) => self.nodes(nodes).into_iter().for_each(|node| self.world.crash(node, true)),
            Trouble::Partition { from, to, one_way } => self.cut(index, from, to, *one_way),
            Trouble::Sever(nodes) => {
                for node in self.nodes(nodes) {
                    let lines = self.world.nodes[node].host().into_iter().flat_map(|host| host.contract.lines());
                    let ends: Vec<_> = lines.filter_map(|line| line.end).collect();
                    ends.into_iter().for_each(|end| self.world.network.sever(end));
                }
            }
            Trouble::Rot { nodes, bits } => {
                for node in self.nodes(nodes) {
                    self.world.nodes[node].disk.rot(*bits, &self.payload, &mut self.world.rng);
                }
            }
            _ => {}
        }
        self.refresh();
    }

    fn cut(&mut self, index: usize, from: &str, to: &str, one_way: bool) {
        let (from, to) = (self.places(from), self.places(to));
        if !one_way {
            self.world.network.cut(index, to.clone(), from.clone());
        }
        self.world.network.cut(index, from, to);
    }

    /// Starts a node again that has died, unless something else keeps it from that, or it has gone for good.
    fn revive(&mut self, node: usize) {
        let held = self.active.iter().any(|index| match &self.scenario.faults[*index].trouble {
            Trouble::Crash(nodes) | Trouble::PowerFailure(nodes) => self.nodes(nodes).contains(&node) && !self.healed.contains(&node),
            _ => false,
        });
        if held || self.gone.contains(&node) {
            // The end of what holds it brings it back, if anything does.
            self.world.nodes[node].returns = false;
        } else {
            let peers = self.peers_of(node);
            self.world.revive(node, &peers);
        }
    }

    fn end(&mut self, index: usize) {
        let scenario = self.scenario;
        self.active.remove(&index);
        match &scenario.faults[index].trouble {
            Trouble::Crash(nodes) | Trouble::PowerFailure(nodes) => self.nodes(nodes).into_iter().for_each(|node| self.revive(node)),
            Trouble::Partition { .. } => self.world.network.mend(index),
            _ => {}
        }
        self.refresh();
    }

    /// Makes links, disks and services what the faults of this moment make of them.
    fn refresh(&mut self) {
        let scenario = self.scenario;
        let troubles: Vec<&Trouble> = self.active.iter().map(|index| &scenario.faults[*index].trouble).collect();
        let healed = |node: usize| self.healed.contains(&node);
        let of_nodes =
            |trouble: &&Trouble| matches!(trouble, Trouble::Dark(_) | Trouble::Slow { .. } | Trouble::Loss { .. } | Trouble::Disk { .. });
        let mut changes: BTreeMap<usize, Change<'_>> = self.changed.iter().map(|node| (*node, Change::default())).collect();
        for trouble in troubles.iter().copied().filter(of_nodes) {
            for node in trouble.names().into_iter().flat_map(|name| self.nodes(name)).filter(|node| !healed(*node)) {
                changes.entry(node).or_default().0.push(trouble);
            }
        }
        self.changed = changes.iter().filter(|(_, change)| !change.0.is_empty()).map(|(node, _)| *node).collect();
        for (node, Change(troubles)) in changes {
            let Some(group) = self.group_of(node) else { continue };
            let mut link = scenario.groups[group].link.clone();
            let mut dark = !self.world.nodes[node].alive && self.world.options.power_may_fail;
            let mut fault = None;
            for trouble in troubles {
                match trouble {
                    Trouble::Dark(_) => dark = true,
                    Trouble::Slow { by, .. } => {
                        let slower = |rate: Option<Rate>| rate.map(|rate| Rate((rate.0 / by.max(&1)).max(1)));
                        (link.up, link.down) = (slower(link.up), slower(link.down));
                    }
                    Trouble::Loss { percent, burst, .. } => (link.loss, link.burst) = (*percent.min(&90), *burst),
                    Trouble::Disk { fault: wrong, .. } => fault = Some(*wrong),
                    _ => {}
                }
            }
            self.world.network.set_link(node, link, &mut self.world.agenda);
            self.world.network.set_dark(node, dark);
            self.world.nodes[node].disk.set_fault(fault);
        }
        // Trackers and name servers belong to the network that is healed.
        let is_whole = self.core.is_some() || !self.healed.is_empty();
        let tracker = troubles.iter().rev().find_map(|trouble| if let Trouble::Tracker(fault) = trouble { Some(*fault) } else { None });
        if let Some(Brain::Tracker(server)) = self.world.tracker.map(|node| &mut self.world.nodes[node].brain) {
            server.fault = tracker.filter(|_| !is_whole);
        }
        let names = troubles.iter().rev().find_map(|trouble| if let Trouble::Names(fault) = trouble { Some(*fault) } else { None });
        self.world.set_name_fault(names.filter(|_| !is_whole));
        for seed in &scenario.web_seeds {
            let fault = troubles.iter().rev().find_map(|trouble| match trouble {
                Trouble::Web { server, fault } if *server == seed.name => Some(*fault),
                _ => None,
            });
            self.world.set_web_fault(&seed.name, fault);
        }
    }

    /// Which group a node is of.
    fn group_of(&self, node: usize) -> Option<usize> {
        self.groups.get(&node).copied()
    }

    /// Honest leechers, here or to come.
    fn leechers(&self) -> impl Iterator<Item = (&(usize, u32, Option<usize>), &crate::scenario::Group)> {
        let with_group = |member: &'_ (usize, u32, Option<usize>)| &self.scenario.groups[member.0];
        let members = self.cast.iter().map(move |member| (member, with_group(member)));
        members.filter(|(_, group)| matches!(group.role, Role::Leecher | Role::Partial(_)))
    }

    /// Everything has passed and everybody who was to finish has.
    fn is_over(&self) -> bool {
        let settled = self.core.is_some();
        let done = |node: Option<usize>| node.is_some_and(|node| self.is_done(node));
        self.scenario.ends.is_none() && settled && self.leechers().all(|((_, _, node), _)| done(*node))
    }

    /// It has everything, or it goes nowhere any more. Whoever had finished and has lost something must finish again.
    fn is_done(&self, node: usize) -> bool {
        let node = &self.world.nodes[node];
        if node.alive { node.whole } else { !node.returns }
    }

    fn sample(&mut self) {
        let now = self.world.now();
        let mut sample = Sample { at: now.as_micros(), capacity: Some(0), ..Sample::default() };
        let pieces = u64::from(self.payload.pieces());
        let mut held = 0;
        let mut leaving = Vec::new();
        for ((_, _, node), group) in self.leechers() {
            let Some(node) = *node else { continue };
            let state = &self.world.nodes[node];
            let verified = |host: &crate::node::Host| host.engine.verified(state.torrents.first()?.0).map(|verified| verified.count());
            held += u64::from(state.host().and_then(verified).unwrap_or_default());
            sample.here += u32::from(state.alive);
            sample.finished += u32::from(state.finished.is_some());
            sample.uploaded += state.transferred().0;
            if state.alive && group.gives() {
                let up = self.world.network.link(node).up;
                sample.capacity = sample.capacity.zip(up).map(|(capacity, up)| capacity + up.0);
            }
            if let (Some(finished), Some(leaves), true) = (state.finished, group.leaves, state.alive)
                && now.since(finished) >= leaves.duration()
            {
                leaving.push(node);
            }
        }
        sample.held = held as f64 / (pieces * self.leechers().count().max(1) as u64) as f64;
        self.samples.push(sample);
        for node in leaving {
            self.world.crash(node, false);
            self.gone.insert(node);
        }
        if self.world.nodes.len() <= FEW {
            self.world.audit();
        } else {
            for _ in 0..5 {
                let node = self.world.rng.below(self.world.nodes.len() as u64) as usize;
                self.world.recount(node);
                self.world.check_claims(node);
            }
        }
    }

    /// The last look.
    fn finish(&mut self) {
        let now = self.world.now();
        if self.world.checks.violations().is_empty() {
            self.world.audit();
        }
        if self.scenario.ends.is_some() || !self.world.checks.violations().is_empty() {
            return;
        }
        self.check_liveness();
        if let Some(within) = self.scenario.finish_within {
            let longest = self.longest();
            self.world.checks.hold(now, "", Invariant::Liveness, longest <= within.0, || {
                format!("the last one took {} s, not {within}", longest as f64 / 1e6)
            });
        }
    }

    /// The longest time that an honest leecher took, in microseconds.
    fn longest(&self) -> u64 {
        let nodes = self.leechers().filter_map(|((_, _, node), _)| *node).map(|node| &self.world.nodes[node]);
        let now = self.world.now();
        nodes.map(|node| node.finished.unwrap_or(now).since(node.started.unwrap_or(now)).as_micros() as u64).max().unwrap_or_default()
    }

    /// What came of it.
    pub(crate) fn report(&self, stopwatch: &Stopwatch) -> Report {
        let mut members = Vec::new();
        for ((group, _, node), _) in self.leechers() {
            let Some(node) = node.map(|node| &self.world.nodes[node]) else { continue };
            let (sent, received) = node.transferred();
            let started = node.started.unwrap_or_default().as_micros();
            let finished = node.finished.map(Instant::as_micros);
            let (received, had) = (received + node.fetched, node.had);
            members.push(Member { group: *group, started, finished, sent, received, had });
        }
        let world = &self.world;
        let peers = world.nodes.len();
        Report::new(self.scenario, members, self.samples.clone(), world, peers, stopwatch)
    }
}

/// What somebody who panicked said.
pub(crate) fn said(panic: &dyn std::any::Any) -> String {
    let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_default()
}

impl From<NodeId> for usize {
    fn from(node: NodeId) -> usize {
        node.0
    }
}
