use std::{cell::Cell, fs, path::PathBuf};

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
    /// Write the report as JSON, for programs
    #[arg(long)]
    json: bool,
    /// Stop after so much has happened, and tell the hash until then and what happens next: the first difference between two builds is
    /// found by bisection
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["json", "plot"])]
    until: Option<u64>,
    /// Draw the swarm over time into this file, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

impl Run {
    pub(super) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let text = fs::read_to_string(&self.scenario).map_err(|error| Failure::about(self.scenario.display(), error))?;
        let mut scenario: Scenario = text.parse().map_err(|error| Failure::about(self.scenario.display(), error))?;
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        if !scenario.about.is_empty() {
            output.detail(&scenario.about);
        }
        if let Some(happenings) = self.until {
            output.result(scenario.until(happenings))?;
            return Ok(Exit::Done);
        }
        let report = watch(&scenario, output);
        if let Some(path) = &self.plot {
            fs::write(path, report.plot()).map_err(|error| Failure::about(path.display(), error))?;
        }
        tell(&report, self.json, output)?;
        Ok(if report.is_good() { Exit::Done } else { Exit::Failed })
    }
}

/// Runs a scenario with a bar that moves, where one can.
fn watch(scenario: &Scenario, output: &Output) -> Report {
    if !output.is_live() {
        return scenario.run();
    }
    let bar = indicatif::ProgressBar::new(1000).with_message(scenario.name.clone());
    bar.set_style(bar_style(output, "{msg} {bar} {prefix}"));
    let bar = output.bars().add(bar);
    let held = Cell::new(0);
    let report = scenario.run_with(|sample: &Sample| {
        held.set(held.get().max((sample.held * 1000.0) as u64));
        bar.set_position(held.get());
        bar.set_prefix(format!("{:.0} s, {} of {} finished", sample.at as f64 / 1e6, sample.finished, sample.here));
    });
    bar.finish_and_clear();
    report
}

/// Writes a report for people or for programs.
pub(super) fn tell(report: &Report, json: bool, output: &Output) -> Result<(), Failure> {
    if json {
        let value = serde_json::to_value(report).map_err(Failure::new)?;
        return output.result(format_args!("{value:#}"));
    }
    output.result(report.to_string().trim_end())
}
