mod run;

use std::{convert::Infallible, ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, builder::TypedValueParser};
use rustor_tokio::core::storage::Allocation;

use self::run::{Run, Template, Wanted};
use crate::{
    failure::{Exit, Failure},
    output::{Output, safe},
    session::{self, Network},
    signals::Signals,
    torrent_file,
};

/// Download what torrent files name.
///
/// What is there already, whole or in part, is not fetched again: the same command goes on where an earlier one stopped.
#[derive(Debug, Args)]
pub(crate) struct Download {
    /// Torrent files, or http and https URLs of them; '-' for standard input
    #[arg(value_name = "FILE|URL", required = true, value_parser = source())]
    sources: Vec<Source>,
    /// The folder to download to
    #[arg(short = 'o', long = "output", value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// A peer to try, besides those that trackers name; may be given several times
    #[arg(long = "peer", value_name = "IP:PORT")]
    peers: Vec<SocketAddr>,
    /// Go on seeding when all is there, until Ctrl-C
    #[arg(long)]
    seed: bool,
    /// How files get their room on disk
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    allocate: Allocate,
    /// Hash all that is there, whatever an earlier run remembers
    #[arg(long)]
    recheck: bool,
    /// Give up once nothing has come for so long [default: never]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Write JSON, a line for each step, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: Network,
}

/// Where a torrent file is.
#[derive(Clone, Debug)]
enum Source {
    File(PathBuf),
    Url(String),
}

/// How files get their room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Allocate {
    /// Bit by bit, as data comes
    #[default]
    Sparse,
    /// All of it before the download begins
    Full,
}

fn source() -> impl TypedValueParser<Value = Source> {
    clap::builder::OsStringValueParser::new().try_map(|argument: OsString| -> Result<Source, Infallible> {
        let is_url = |text: &str| {
            let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
            scheme.is_some_and(|scheme| scheme == "http" || scheme == "https")
        };
        Ok(match argument.into_string() {
            Ok(text) if is_url(&text) => Source::Url(text),
            Ok(text) => Source::File(text.into()),
            Err(argument) => Source::File(argument.into()),
        })
    })
}

impl Download {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let folder = safe(&self.folder.to_string_lossy()).into_owned();
        if self.folder.metadata().is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(Failure::about(folder, "this is a file, but a folder to download to is needed; -o names another one"));
        }
        let mut wanted = Vec::new();
        let mut any_failed = false;
        for source in &self.sources {
            match source {
                Source::Url(url) => wanted.push(Wanted::Url(url.clone())),
                Source::File(path) => match torrent_file::load(output, path) {
                    Ok(metainfo) => wanted.push(Wanted::Torrent(Box::new(metainfo))),
                    Err(failure) => {
                        output.error(&failure);
                        any_failed = true;
                    }
                },
            }
        }
        if wanted.is_empty() {
            return Ok(Exit::Failed);
        }
        session::run(async {
            let signals = Signals::new()?;
            let client = self.network.start(output)?;
            let exit = Run::new(self, output, client, signals).finish(wanted).await?;
            Ok(if any_failed { Exit::Failed } else { exit })
        })
    }

    fn template(&self) -> Template {
        let allocation = match self.allocate {
            Allocate::Sparse => Allocation::Sparse,
            Allocate::Full => Allocation::Full,
        };
        Template { folder: self.folder.clone(), peers: self.peers.clone(), allocation, resume: !self.recheck }
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout.map(Duration::from_secs)
    }
}
