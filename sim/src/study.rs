//! One scenario with many seeds: what it shows on average, and how surely.

use crate::{report::Report, scenario::Scenario};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroUsize,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

/// What came of the runs of a scenario with seeds that follow each other. All of it follows from the seeds, but for the time of the
/// processor.
#[derive(Clone, Debug, Serialize)]
pub struct Study {
    /// The scenario's name.
    pub name: String,
    /// The first seed.
    pub first: u64,
    /// How many there were.
    pub seeds: u64,
    /// What was measured, over all runs.
    pub measures: Vec<Measure>,
    /// What was measured, run by run.
    pub runs: Vec<StudyRun>,
}

/// A number that each run gave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measure {
    /// What it is, and its unit.
    pub name: String,
    /// How many runs gave it.
    pub count: usize,
    /// The mean.
    pub mean: f64,
    /// The 95 % confidence interval of the mean reaches so far to both sides of it, by Student's t-distribution; `None` for a single run.
    pub margin: Option<f64>,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub greatest: f64,
}

/// One run of a study.
#[derive(Clone, Debug, Serialize)]
pub struct StudyRun {
    /// What every draw followed from.
    pub seed: u64,
    /// The run's hash: see [`Report::hash`].
    pub hash: String,
    /// What was measured.
    pub values: BTreeMap<String, f64>,
}

impl Scenario {
    /// Runs it with its own seed and those that follow it, `seeds` in all, in so many threads at a time; each needs the memory of a whole
    /// swarm. `watch` looks at each run that is done, in any order.
    ///
    /// # Errors
    ///
    /// The report of the first seed with which an invariant does not hold; then no further runs are begun.
    pub fn study(&self, seeds: u64, jobs: NonZeroUsize, mut watch: impl FnMut(&Report)) -> Result<Study, Box<Report>> {
        let last = self.seed.saturating_add(seeds);
        let (next, end) = (AtomicU64::new(self.seed), AtomicU64::new(last));
        let mut reports = BTreeMap::new();
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            for _ in 0..jobs.get() {
                let (sender, next, end) = (sender.clone(), &next, &end);
                scope.spawn(move || {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end.load(Ordering::Relaxed) {
                            break;
                        }
                        let report = Scenario { seed, ..self.clone() }.run();
                        if !report.is_good() {
                            // Those before it are run to their end: one of them may be the first that fails.
                            end.fetch_min(seed, Ordering::Relaxed);
                        }
                        if sender.send(report).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            for report in receiver {
                watch(&report);
                reports.insert(report.seed, report);
            }
        });
        match reports.values().find(|report| !report.is_good()) {
            Some(failed) => Err(Box::new(failed.clone())),
            None => Ok(Study::new(self, reports.values())),
        }
    }
}

impl Study {
    fn new<'a>(scenario: &Scenario, reports: impl Iterator<Item = &'a Report>) -> Study {
        let mut names: Vec<String> = Vec::new();
        let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut runs = Vec::new();
        for report in reports {
            let measured = measured(report);
            for (name, value) in &measured {
                if !values.contains_key(name) {
                    names.push(name.clone());
                }
                values.entry(name.clone()).or_default().push(*value);
            }
            runs.push(StudyRun { seed: report.seed, hash: report.hash.clone(), values: measured.into_iter().collect() });
        }
        let measures = names.into_iter().filter_map(|name| Measure::of(values.remove(&name)?, name)).collect();
        Study { name: scenario.name.clone(), first: scenario.seed, seeds: runs.len() as u64, measures, runs }
    }

    /// What was measured under a name.
    pub fn measure(&self, name: &str) -> Option<&Measure> {
        self.measures.iter().find(|measure| measure.name == name)
    }
}

/// What a study takes from a run.
fn measured(report: &Report) -> Vec<(String, f64)> {
    let mut measured = Vec::new();
    let mut add = |name: &str, value: Option<f64>| measured.extend(value.map(|value| (name.to_owned(), value)));
    add("leechers finished", Some(report.finished as f64));
    add("last leecher, s", report.completion.map(|times| times.last));
    add("median leecher, s", report.completion.map(|times| times.median));
    for (group, times) in report.groups.iter().filter(|_| report.groups.len() > 1) {
        add(&format!("last of {group}, s"), Some(times.last));
        add(&format!("median of {group}, s"), Some(times.median));
    }
    for bound in &report.bounds {
        add(&format!("multiple of {}", bound.bound.source), bound.multiple);
    }
    for comparison in &report.comparisons {
        // One order for all seeds, whoever was earlier with this one.
        let (one, other, part) = match comparison.earlier < comparison.later {
            true => (&comparison.earlier, &comparison.later, comparison.part),
            false => (&comparison.later, &comparison.earlier, 1.0 - comparison.part),
        };
        add(&format!("{one} before {other}, % of pairs"), Some(part * 100.0));
    }
    add("upload utilisation, %", report.upload_utilisation.map(|used| used * 100.0));
    add("fairness, Jain's index", Some(report.fairness));
    add("waste, %", Some(report.waste * 100.0));
    add("CPU, s", report.cost.cpu_seconds);
    measured
}

impl Measure {
    fn of(values: Vec<f64>, name: String) -> Option<Measure> {
        let count = values.len();
        let (least, greatest) = (values.iter().copied().reduce(f64::min)?, values.iter().copied().reduce(f64::max)?);
        let mean = values.iter().sum::<f64>() / count as f64;
        let margin = (count > 1).then(|| {
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1) as f64;
            student(count - 1) * (variance / count as f64).sqrt()
        });
        Some(Measure { name, count, mean, margin, least, greatest })
    }
}

/// The 97.5 % quantile of Student's t-distribution with so many degrees of freedom; between the rows of the table the greater one.
fn student(freedom: usize) -> f64 {
    const UP_TO_30: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101,
        2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    match freedom {
        0 => f64::INFINITY,
        1..=30 => UP_TO_30[freedom - 1],
        31..40 => 2.042,
        40..60 => 2.021,
        60..120 => 2.000,
        120..1000 => 1.980,
        _ => 1.962,
    }
}

impl fmt::Display for Study {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Study { name, first, seeds, measures, .. } = self;
        let last = first.saturating_add(seeds.saturating_sub(1));
        writeln!(f, "{name}, seeds {first} to {last}: in all of {seeds} runs every invariant held")?;
        let width = measures.iter().map(|measure| measure.name.chars().count()).max().unwrap_or_default();
        writeln!(f, "  {:<width$}  {:>10}  {:>23}  {:>10}  {:>10}", "", "mean", "95 % interval", "least", "greatest")?;
        for Measure { name, count, mean, margin, least, greatest } in measures {
            let interval = match margin {
                Some(margin) => format!("{:>10.3} … {:>10.3}", mean - margin, mean + margin),
                None => "-".to_owned(),
            };
            write!(f, "  {name:<width$}  {mean:>10.3}  {interval:>23}  {least:>10.3}  {greatest:>10.3}")?;
            if (*count as u64) < *seeds {
                write!(f, "  in {count} runs")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_students() {
        // By hand: mean 5, variance 10/3, t with 3 degrees of freedom.
        let measure = Measure::of(vec![3.0, 4.0, 6.0, 7.0], "x".to_owned()).expect("there are numbers");
        assert_eq!((measure.mean, measure.least, measure.greatest), (5.0, 3.0, 7.0));
        assert!((measure.margin.expect("more than one") - 3.182 * (10.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-9);
        assert_eq!(Measure::of(vec![1.0], "x".to_owned()).and_then(|measure| measure.margin), None);
        assert_eq!(Measure::of(Vec::new(), "x".to_owned()), None);
    }

    #[test]
    fn students_factor_falls_with_every_degree_of_freedom() {
        let factors: Vec<f64> = (1..2000).map(student).collect();
        assert!(factors.windows(2).all(|pair| pair[0] >= pair[1]));
    }
}
