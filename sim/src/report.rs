use crate::{
    checks::{Invariant, Violation},
    network::Traffic,
    scenario::Scenario,
    world::World,
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, time::Duration};

/// What came of a run. Times are in seconds, lengths in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario's name and seed.
    pub name: String,
    /// What every draw followed from.
    pub seed: u64,
    /// Virtual time from the beginning to the end.
    pub seconds: f64,
    /// Honest leechers, and how many of them finished.
    pub leechers: usize,
    /// How many of them have everything.
    pub finished: usize,
    /// How long they took, from their arrival.
    pub completion: Option<Distribution>,
    /// The same, group by group.
    pub groups: BTreeMap<String, Distribution>,
    /// The time that the links alone would need: Kumar and Ross (2006).
    pub ideal_seconds: f64,
    /// What part of their upload rate leechers used, from when they held a tenth of everything until they held nine.
    pub upload_utilisation: Option<f64>,
    /// Jain's index over what each leecher sent for what it received: 1 if all gave equally.
    pub fairness: f64,
    /// Payload that was received and not needed, as a part of what was needed.
    pub waste: f64,
    /// A hash over everything that all engines were told and said.
    pub hash: String,
    /// Everything that happened, what engines were told, and what they wanted done.
    pub happenings: u64,
    /// Inputs to engines.
    pub inputs: u64,
    /// Actions of engines.
    pub actions: u64,
    /// Bytes of all streams.
    pub traffic: Traffic,
    /// How often each invariant was looked at.
    pub checked: BTreeMap<&'static str, u64>,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// How the swarm developed.
    pub samples: Vec<Sample>,
    /// What this cost; differs from run to run.
    pub cost: Cost,
}

/// What a run cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// Real time.
    pub seconds: f64,
    /// Happenings, inputs and actions in a second of real time.
    pub events_a_second: f64,
    /// Memory of the whole process for each node, where the system tells.
    pub bytes_a_peer: Option<u64>,
}

/// How a number is distributed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distribution {
    /// How many there are.
    pub count: usize,
    /// The least.
    pub first: f64,
    /// The mean.
    pub mean: f64,
    /// Half are at most this.
    pub median: f64,
    /// 95 of 100 are at most this.
    pub percentile_95: f64,
    /// The greatest.
    pub last: f64,
}

/// The swarm at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// In microseconds.
    pub at: u64,
    /// What part of the torrent leechers hold, on average.
    pub held: f64,
    /// Leechers that are here.
    pub here: u32,
    /// Leechers that have finished.
    pub finished: u32,
    /// Payload that leechers have sent so far.
    pub uploaded: u64,
}

/// One honest leecher at the end.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) group: String,
    pub(crate) took: Option<u64>,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) up: Option<u64>,
}

impl Report {
    pub(crate) fn new(
        scenario: &Scenario,
        members: Vec<Member>,
        samples: Vec<Sample>,
        world: &World,
        peers: usize,
        took: Duration,
    ) -> Report {
        let times = |members: &[&Member]| members.iter().filter_map(|member| member.took).map(|micros| micros as f64 / 1e6).collect();
        let mut groups: BTreeMap<String, Vec<&Member>> = BTreeMap::new();
        members.iter().for_each(|member| groups.entry(member.group.clone()).or_default().push(member));
        let groups = groups.into_iter().filter_map(|(name, members)| Some((name, Distribution::of(times(&members))?))).collect();
        let all: Vec<&Member> = members.iter().collect();
        let statistics = world.statistics();
        let seconds = took.as_secs_f64();
        let received: u64 = members.iter().map(|member| member.received).sum();
        let finished = members.iter().filter(|member| member.took.is_some()).count();
        let needed = scenario.length() * finished as u64;
        let everyone = finished == members.len() && needed > 0;
        let events = statistics.happenings + statistics.inputs + statistics.actions;
        Report {
            name: scenario.name.clone(),
            seed: scenario.seed,
            seconds: world.now().as_micros() as f64 / 1e6,
            leechers: members.len(),
            finished,
            completion: Distribution::of(times(&all)),
            groups,
            ideal_seconds: scenario.ideal() as f64 / 1e6,
            upload_utilisation: utilisation(&members, &samples),
            fairness: jain(members.iter().map(|member| member.sent as f64 / member.received.max(1) as f64)),
            waste: if everyone { received as f64 / needed as f64 - 1.0 } else { 0.0 },
            hash: world.hash(),
            happenings: statistics.happenings,
            inputs: statistics.inputs,
            actions: statistics.actions,
            traffic: world.traffic(),
            checked: Invariant::all().map(|invariant| (invariant.name(), world.checks().looked(invariant))).collect(),
            violations: world.checks().violations().to_vec(),
            samples,
            cost: Cost {
                seconds,
                events_a_second: events as f64 / seconds.max(1e-9),
                bytes_a_peer: resident().map(|bytes| bytes / peers.max(1) as u64),
            },
        }
    }

    /// Nothing that was looked at failed to hold.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }
}

impl Distribution {
    /// The distribution of some numbers; `None` if there are none.
    pub fn of(mut numbers: Vec<f64>) -> Option<Distribution> {
        numbers.sort_by(f64::total_cmp);
        let count = numbers.len();
        let at = |hundredths: usize| numbers.get((count * hundredths).div_ceil(100).saturating_sub(1)).copied();
        let mean = numbers.iter().sum::<f64>() / count.max(1) as f64;
        let (first, last) = (*numbers.first()?, *numbers.last()?);
        Some(Distribution { count, first, mean, median: at(50)?, percentile_95: at(95)?, last })
    }
}

/// Jain's index of fairness: 1 if all numbers are equal, 1/n if all but one are zero.
fn jain(numbers: impl Iterator<Item = f64> + Clone) -> f64 {
    let (sum, squares, count) = numbers.fold((0.0, 0.0, 0.0), |(sum, squares, count), x| (sum + x, squares + x * x, count + 1.0));
    if squares == 0.0 { 1.0 } else { sum * sum / (count * squares) }
}

/// What part of their upload rate leechers used while the swarm was in full swing.
fn utilisation(members: &[Member], samples: &[Sample]) -> Option<f64> {
    let capacity: u64 = members.iter().map(|member| member.up).sum::<Option<u64>>()?;
    let first = samples.iter().find(|sample| sample.held >= 0.1)?;
    let last = samples.iter().rev().find(|sample| sample.held <= 0.9 && sample.at > first.at)?;
    let seconds = (last.at - first.at) as f64 / 1e6;
    Some((last.uploaded - first.uploaded) as f64 / (capacity as f64 * seconds))
}

/// Memory of this process that is in use, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, seed {}: {:.1} s of virtual time in {:.2} s", self.name, self.seed, self.seconds, self.cost.seconds)?;
        writeln!(f, "  finished      {} of {} leechers", self.finished, self.leechers)?;
        for (name, times) in self.groups.iter().map(|(name, times)| (name.as_str(), times)) {
            let Distribution { first, median, percentile_95, last, .. } = times;
            writeln!(f, "  {name:<13} first {first:.1} s, half {median:.1} s, 95 % {percentile_95:.1} s, last {last:.1} s")?;
        }
        writeln!(f, "  links' bound  {:.1} s", self.ideal_seconds)?;
        if let Some(utilisation) = self.upload_utilisation {
            writeln!(f, "  upload used   {:.1} %", utilisation * 100.0)?;
        }
        writeln!(f, "  fairness      {:.3}, waste {:.2} %", self.fairness, self.waste * 100.0)?;
        let events = self.happenings + self.inputs + self.actions;
        write!(f, "  events        {events}, {:.0} a second", self.cost.events_a_second)?;
        match self.cost.bytes_a_peer {
            Some(bytes) => writeln!(f, "; {} KiB a peer", bytes / 1024)?,
            None => writeln!(f)?,
        }
        writeln!(f, "  checks        {}", self.checked.values().sum::<u64>())?;
        writeln!(f, "  hash          {}", self.hash)?;
        self.violations.iter().try_for_each(|violation| writeln!(f, "  FAILED        {violation}"))
    }
}
