use crate::{
    checks::{Invariant, Violation},
    network::Traffic,
    scenario::{Bound, Role, Scenario},
    world::World,
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

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
    /// From the arrival of the first leecher until the last one had everything, if all have.
    pub distribution_seconds: Option<f64>,
    /// What theory says that this takes at least, and how many times as long it took.
    pub bounds: Vec<Multiple>,
    /// Groups with the same link that came at the same time: which of them was done earlier.
    pub comparisons: Vec<Comparison>,
    /// The upload utilisation of leechers after ramp-up: payload that they sent, as a part of what their uplinks could have carried. It is
    /// taken from the first sample at which they hold a tenth of everything on average to the last one before they hold nine tenths, or
    /// the first of them has finished: as long as everybody wants something, so that nobody's uplink need be idle. Free riders' uplinks
    /// do not count. `None` if there is no such time, or an uplink without limit.
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
    /// Time of a processor, where the system tells.
    pub cpu_seconds: Option<f64>,
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

/// How long the distribution took, compared with what theory says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Multiple {
    /// What theory says.
    #[serde(flatten)]
    pub bound: Bound,
    /// How many times as long it took; `None` if not all have finished.
    pub multiple: Option<f64>,
}

/// Two groups of leechers that could have been equally fast.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The one whose members mostly were done first.
    pub earlier: String,
    /// The other.
    pub later: String,
    /// Of all pairs of a member of the one and a member of the other, in so many the former was done first; ties count half.
    pub part: f64,
    /// Every member of the one was done before every member of the other.
    pub entirely: bool,
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
    /// Bytes a second that the uplinks carry of leechers that are here and unchoke others; `None` if one has no limit.
    pub capacity: Option<u64>,
}

/// One honest leecher at the end.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its place in the scenario's list.
    pub(crate) group: usize,
    /// In microseconds.
    pub(crate) started: u64,
    pub(crate) finished: Option<u64>,
    pub(crate) sent: u64,
    /// From peers and web seeds.
    pub(crate) received: u64,
    /// From the start.
    pub(crate) had: u64,
}

impl Member {
    fn seconds(&self) -> Option<f64> {
        Some((self.finished? - self.started) as f64 / 1e6)
    }
}

impl Report {
    pub(crate) fn new(
        scenario: &Scenario,
        members: Vec<Member>,
        samples: Vec<Sample>,
        world: &World,
        peers: usize,
        stopwatch: &Stopwatch,
    ) -> Report {
        let mut groups: BTreeMap<usize, Vec<Option<f64>>> = BTreeMap::new();
        members.iter().for_each(|member| groups.entry(member.group).or_default().push(member.seconds()));
        let distribution = |times: &[Option<f64>]| Distribution::of(times.iter().flatten().copied().collect());
        let name = |group: &usize| scenario.groups[*group].name.clone();
        let comparisons = comparisons(scenario, &groups);
        let groups = groups.iter().filter_map(|(group, times)| Some((name(group), distribution(times)?))).collect();
        let last = members.iter().map(|member| member.finished).collect::<Option<Vec<u64>>>().and_then(|all| all.into_iter().max());
        let first = members.iter().map(|member| member.started).min();
        let distribution_seconds = last.zip(first).map(|(last, first)| (last - first) as f64 / 1e6);
        let multiple = |bound: Bound| Multiple { bound, multiple: distribution_seconds.map(|seconds| seconds / bound.seconds) };
        let statistics = world.statistics();
        let seconds = stopwatch.started.elapsed().as_secs_f64();
        let received: u64 = members.iter().map(|member| member.received).sum();
        let finished = members.iter().filter(|member| member.finished.is_some()).count();
        let needed: u64 = members.iter().map(|member| scenario.length() - member.had).sum();
        let everyone = finished == members.len() && needed > 0;
        let events = statistics.happenings + statistics.inputs + statistics.actions;
        Report {
            name: scenario.name.clone(),
            seed: scenario.seed,
            seconds: world.now().as_micros() as f64 / 1e6,
            leechers: members.len(),
            finished,
            completion: Distribution::of(members.iter().filter_map(Member::seconds).collect()),
            groups,
            distribution_seconds,
            bounds: scenario.bounds().into_iter().map(multiple).collect(),
            comparisons,
            upload_utilisation: utilisation(&samples),
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
                cpu_seconds: stopwatch.cpu_seconds(),
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

/// Each pair of groups of leechers with the same link that come at the same time.
fn comparisons(scenario: &Scenario, groups: &BTreeMap<usize, Vec<Option<f64>>>) -> Vec<Comparison> {
    let leechers = |number: &usize| matches!(scenario.groups[*number].role, Role::Leecher);
    let mut comparisons = Vec::new();
    for (one, ones) in groups.iter().filter(|(number, _)| leechers(number)) {
        for (other, others) in groups.range(one + 1..).filter(|(number, _)| leechers(number)) {
            let (a, b) = (&scenario.groups[*one], &scenario.groups[*other]);
            if a.link == b.link && (a.arrives, a.every) == (b.arrives, b.every) {
                let part = part_earlier(ones, others);
                let (earlier, later, part) = if part < 0.5 { (b, a, 1.0 - part) } else { (a, b, part) };
                let (earlier, later) = (earlier.name.clone(), later.name.clone());
                comparisons.push(Comparison { earlier, later, part, entirely: part == 1.0 });
            }
        }
    }
    comparisons
}

/// Of all pairs, in so many the one's time is shorter than the other's. Who has not finished is later than who has.
fn part_earlier(ones: &[Option<f64>], others: &[Option<f64>]) -> f64 {
    let time = |time: &Option<f64>| time.unwrap_or(f64::INFINITY);
    let mut sorted: Vec<f64> = others.iter().map(time).collect();
    sorted.sort_by(f64::total_cmp);
    // Twice the number, as ties count half.
    let earlier =
        |one: f64| sorted.len() * 2 - sorted.partition_point(|other| *other < one) - sorted.partition_point(|other| *other <= one);
    let total: usize = ones.iter().map(time).map(earlier).sum();
    total as f64 / (2 * ones.len() * sorted.len()).max(1) as f64
}

/// See [`Report::upload_utilisation`].
fn utilisation(samples: &[Sample]) -> Option<f64> {
    let from = samples.iter().position(|sample| sample.held >= 0.1)?;
    let rest = &samples[from..];
    let end = rest.iter().position(|sample| sample.held > 0.9 || sample.finished > 0).unwrap_or(rest.len());
    let window = &rest[..end];
    let mut capacity = 0.0;
    for pair in window.windows(2) {
        capacity += pair[0].capacity? as f64 * (pair[1].at - pair[0].at) as f64 / 1e6;
    }
    let sent = window.last()?.uploaded - window.first()?.uploaded;
    (capacity > 0.0).then(|| sent as f64 / capacity)
}

/// What a run costs, from its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    started: Instant,
    cpu: Option<Duration>,
}

impl Stopwatch {
    /// A run begins, on this thread.
    pub(crate) fn start() -> Stopwatch {
        Stopwatch { started: Instant::now(), cpu: cpu_time() }
    }

    fn cpu_seconds(&self) -> Option<f64> {
        Some((cpu_time()? - self.cpu?).as_secs_f64())
    }
}

/// What this thread had of the processor, where the system tells.
fn cpu_time() -> Option<Duration> {
    let status = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    status.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
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
        for Multiple { bound, multiple } in &self.bounds {
            write!(f, "  bound         {:.1} s: {} ({})", bound.seconds, bound.formula, bound.source)?;
            match multiple {
                Some(multiple) => writeln!(f, "; took {multiple:.2} times as long")?,
                None => writeln!(f)?,
            }
        }
        for Comparison { earlier, later, part, entirely } in &self.comparisons {
            let of_all = if *entirely { "each before each" } else { "not each before each" };
            writeln!(f, "  same links    {earlier} before {later} in {:.1} % of pairs, {of_all}", part * 100.0)?;
        }
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
