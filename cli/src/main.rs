//! `rustor`, a BitTorrent client for the terminal.
#![forbid(unsafe_code)]

mod choices;
mod create;
mod demo;
mod download;
mod failure;
mod magnet;
mod output;
mod replay;
mod reporter;
mod scrape;
mod seed;
mod session;
mod show;
mod signals;
mod sim;
mod steps;
mod torrent_file;
mod tracker;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{failure::Exit, output::Output};

/// A BitTorrent client: downloads, shares, makes and checks torrents.
#[derive(Debug, Parser)]
#[command(
    name = "rustor",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = EXIT_CODES
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Say only what was asked for, and errors
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Tell everything that happens
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    verbose: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t, hide_possible_values = false)]
    color: output::Color,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed or stopped before it was done, 2 wrong usage, 3 data missing or wrong,
130 ended at once by a second Ctrl-C.
Results go to standard output, everything else to standard error.";

#[derive(Debug, Subcommand)]
enum Command {
    Download(download::Download),
    Seed(seed::Seed),
    Create(create::Create),
    Verify(verify::Verify),
    Show(show::Show),
    Magnet(magnet::Magnet),
    Scrape(scrape::Scrape),
    Tracker(tracker::Tracker),
    Demo(demo::Demo),
    Sim(sim::Sim),
    Replay(replay::Replay),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.quiet, cli.verbose, cli.color);
    let exit = match &cli.command {
        Command::Download(download) => download.run(&output),
        Command::Seed(seed) => seed.run(&output),
        Command::Create(create) => create.run(&output),
        Command::Verify(verify) => verify.run(&output),
        Command::Show(show) => show.run(&output),
        Command::Magnet(magnet) => magnet.run(&output),
        Command::Scrape(scrape) => scrape.run(&output),
        Command::Tracker(tracker) => tracker.run(&output),
        Command::Demo(demo) => demo.run(&output),
        Command::Sim(sim) => sim.run(&output),
        Command::Replay(replay) => replay.run(&output),
    };
    let exit = exit.unwrap_or_else(|failure| {
        output.error(&failure);
        Exit::Failed
    });
    exit.into()
}
