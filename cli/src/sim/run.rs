use std::{
    cell::Cell,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::Args;
use rustor_sim::{Report, Sample, Scenario};

use crate::{
    failure::{Exit, Failure},
    output::{Output, bar_style},
};

/// Run a scenario, and report what came of it.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The scenario: a TOML file
    scenario: PathBuf,
    /// Another seed than the scenario's
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Run it with so many seeds that follow each other, and report means and how sure they are; ends with the first run that fails
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Runs at a time; each needs a processor and the memory of a whole swarm. The results are the same
    #[arg(long, value_name = "NUMBER", default_value = "1", requires = "seeds")]
    jobs: NonZeroUsize,
    /// Write the report as JSON, for programs
    #[arg(long)]
    json: bool,
    /// Stop after so much has happened, and tell the hash until then, what was told and said last, and what happens next: 'rustor sim
    /// compare' finds the first difference between two builds with it
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["json", "plot", "seeds"])]
    until: Option<u64>,
    /// Write down what the engine of a node such as leechers/3 is told, for 'rustor replay'
    #[arg(long, num_args = 2, value_names = ["NODE", "FILE"], conflicts_with_all = ["seeds", "until"])]
    record: Option<Vec<String>>,
    /// Draw the swarm over time into this file, as SVG
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    plot: Option<PathBuf>,
}

impl Run {
    pub(super) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let scenario = read(&self.scenario, self.seed)?;
        if !scenario.about.is_empty() {
            output.detail(&scenario.about);
        }
        if let Some(happenings) = self.until {
            output.result(scenario.until(happenings))?;
            return Ok(Exit::Done);
        }
        if let Some(seeds) = self.seeds {
            return self.study(&scenario, seeds, output);
        }
        let report = match self.record.as_deref() {
            Some([node, file]) => {
                let (report, recording) = watch(&scenario, output, |watch| scenario.run_recording(node, watch))
                    .map_err(|error| Failure::about(self.scenario.display(), error))?;
                fs::write(file, recording).map_err(|error| Failure::about(file, error))?;
                report
            }
            _ => watch(&scenario, output, |watch| scenario.run_with(watch)),
        };
        if let Some(path) = &self.plot {
            fs::write(path, report.plot()).map_err(|error| Failure::about(path.display(), error))?;
        }
        tell(&report, self.json, output)?;
        Ok(if report.is_good() { Exit::Done } else { Exit::Failed })
    }

    fn study(&self, scenario: &Scenario, seeds: u64, output: &Output) -> Result<Exit, Failure> {
        let bar = indicatif::ProgressBar::new(seeds).with_message(scenario.name.clone());
        let bar = if output.is_live() { output.bars().add(bar) } else { indicatif::ProgressBar::hidden() };
        bar.set_style(bar_style(output, "{msg} {bar} {pos} of {len} seeds {prefix}"));
        bar.tick();
        let study = scenario.study(seeds, self.jobs, |report| {
            bar.inc(1);
            if let Some(times) = report.completion {
                bar.set_prefix(format!("seed {}: last leecher after {:.1} s", report.seed, times.last));
            }
        });
        bar.finish_and_clear();
        match study {
            Ok(study) if self.json => output.result(format_args!("{:#}", serde_json::to_value(&study).map_err(Failure::new)?))?,
            Ok(study) => output.result(study.to_string().trim_end())?,
            Err(report) => {
                tell(&report, self.json, output)?;
                output.note(format_args!("Repeat it with:  rustor sim run {} --seed {}", self.scenario.display(), report.seed));
                return Ok(Exit::Failed);
            }
        }
        Ok(Exit::Done)
    }
}

/// Reads a scenario, and gives it another seed.
pub(super) fn read(path: &Path, seed: Option<u64>) -> Result<Scenario, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::about(path.display(), error))?;
    let mut scenario: Scenario = text.parse().map_err(|error| Failure::about(path.display(), error))?;
    scenario.seed = seed.unwrap_or(scenario.seed);
    Ok(scenario)
}

/// Runs a scenario with a bar that moves, where one can.
fn watch<T>(scenario: &Scenario, output: &Output, run: impl FnOnce(&mut dyn FnMut(&Sample)) -> T) -> T {
    if !output.is_live() {
        return run(&mut |_| {});
    }
    let bar = indicatif::ProgressBar::new(1000).with_message(scenario.name.clone());
    bar.set_style(bar_style(output, "{msg} {bar} {prefix}"));
    let bar = output.bars().add(bar);
    let held = Cell::new(0);
    let result = run(&mut |sample| {
        held.set(held.get().max((sample.held * 1000.0) as u64));
        bar.set_position(held.get());
        bar.set_prefix(format!("{:.0} s, {} of {} finished", sample.at as f64 / 1e6, sample.finished, sample.here));
    });
    bar.finish_and_clear();
    result
}

/// Writes a report for people or for programs.
pub(super) fn tell(report: &Report, json: bool, output: &Output) -> Result<(), Failure> {
    if json {
        let value = serde_json::to_value(report).map_err(Failure::new)?;
        return output.result(format_args!("{value:#}"));
    }
    output.result(report.to_string().trim_end())
}
