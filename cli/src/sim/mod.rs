//! Whole swarms in virtual time: scenarios from files, and scenarios drawn from seeds.

mod compare;
mod random;
mod run;

use clap::{Args, Subcommand};

use crate::{
    failure::{Exit, Failure},
    output::Output,
};

/// Simulate whole swarms in virtual time, decided by one seed.
#[derive(Debug, Args)]
pub(crate) struct Sim {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Random(random::Random),
    Compare(compare::Compare),
}

impl Sim {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        match &self.command {
            Command::Run(run) => run.run(output),
            Command::Random(random) => random.run(output),
            Command::Compare(compare) => compare.run(output),
        }
    }
}
