use std::{fs, path::PathBuf};

use clap::Args;
use rustor_sim::{first_difference, until_in};

use super::run::read;
use crate::{
    failure::{Exit, Failure},
    output::{Output, safe},
};

/// Run a scenario here and in another build of this command, and show the first thing that engines do otherwise.
///
/// It is found by bisection, in some thirty runs of each build, and shown with what engines were told and said on both sides. Ends with 1 if
/// there is a difference.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The scenario: a TOML file
    scenario: PathBuf,
    /// The other build: a 'rustor' from before a change, or of another profile
    #[arg(value_name = "COMMAND")]
    other: PathBuf,
    /// Another seed than the scenario's
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

impl Compare {
    pub(super) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let scenario = read(&self.scenario, self.seed)?;
        // What lies in this folder is meant before what is found in the search path.
        let other = fs::canonicalize(&self.other).unwrap_or_else(|_| self.other.clone());
        let mut asked = 0;
        let mut end = None;
        let here = |at| {
            let moment = scenario.until(at);
            asked += 1;
            output.detail(format_args!("{asked}: after {} happenings", moment.happenings));
            // The first that is asked for is the end.
            end.get_or_insert_with(|| moment.clone());
            Ok(moment)
        };
        let there = |at| until_in(&other, &self.scenario, scenario.seed, at);
        let difference = first_difference(u64::MAX, here, there).map_err(Failure::new)?;
        if let Some(difference) = difference {
            output.result(format_args!("one is this build, the other {}", safe(&self.other.to_string_lossy())))?;
            output.result(difference.to_string().trim_end())?;
            return Ok(Exit::Failed);
        }
        if let Some(end) = end {
            output.result(format_args!("no difference in {} happenings: {}", end.happenings, end.hash))?;
        }
        Ok(Exit::Done)
    }
}
