use std::{fs, path::PathBuf};

use clap::Args;
use rustor_sim::{Report, Scenario, units::Span};

use super::run::tell;
use crate::{
    failure::{Exit, Failure},
    output::{Output, bar_style, plural},
};

/// Draw scenarios and run them, until one fails: then make it as small as it gets.
#[derive(Debug, Args)]
pub(crate) struct Random {
    /// How many scenarios
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    seeds: u64,
    /// The seed of the first; the others follow
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    first: u64,
    /// Take it for a failure if an honest leecher needs longer than this, such as 10min: finds what is slow
    #[arg(long, value_name = "TIME")]
    finish_within: Option<Span>,
    /// Runs that may be spent on making a failing scenario smaller
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    tries: usize,
    /// Where a failing scenario is written to
    #[arg(short, long, value_name = "FILE", default_value = "failing.toml")]
    output: PathBuf,
    /// Write the report of what failed as JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Random {
    pub(super) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let bar = indicatif::ProgressBar::new(self.seeds);
        let bar = if output.is_live() { output.bars().add(bar) } else { indicatif::ProgressBar::hidden() };
        bar.set_style(bar_style(output, "{msg} {bar} {pos} of {len}"));
        let (mut virtual_seconds, mut checks) = (0.0, 0u64);
        for seed in self.first..self.first.saturating_add(self.seeds) {
            let scenario = Scenario { finish_within: self.finish_within, ..Scenario::draw(seed) };
            let report = scenario.run();
            if !report.is_good() {
                bar.finish_and_clear();
                return self.failed(seed, &scenario, &report, output);
            }
            virtual_seconds += report.seconds;
            checks += report.checked.values().sum::<u64>();
            bar.set_message(format!("{:.0} h of virtual time", virtual_seconds / 3600.0));
            bar.inc(1);
        }
        bar.finish_and_clear();
        let (seeds, hours) = (self.seeds, virtual_seconds / 3600.0);
        output.note(format_args!("{seeds} scenario{} held: {hours:.1} h of virtual time, {checks} checks.", plural(seeds)));
        Ok(Exit::Done)
    }

    fn failed(&self, seed: u64, scenario: &Scenario, report: &Report, output: &Output) -> Result<Exit, Failure> {
        tell(report, self.json, output)?;
        output.note(format_args!("Making the scenario of seed {seed} smaller, in at most {} runs …", self.tries));
        let shrunk = scenario.shrink(self.tries);
        let smallest = shrunk.as_ref().map_or(scenario, |shrunk| &shrunk.scenario);
        fs::write(&self.output, smallest.to_string()).map_err(|error| Failure::about(self.output.display(), error))?;
        if let Some(shrunk) = &shrunk {
            output.note(format_args!("After {} runs: {}", shrunk.tried, shrunk.violation));
        }
        let within = self.finish_within.map(|within| format!(" --finish-within \"{within}\"")).unwrap_or_default();
        output.note(format_args!("Repeat it with:  rustor sim random --first {seed} --seeds 1{within}"));
        output.note(format_args!("What is left of it:  rustor sim run {}", self.output.display()));
        Ok(Exit::Failed)
    }
}
