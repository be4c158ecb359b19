mod entry;
mod obtain;
mod run;

use std::{
    convert::Infallible,
    ffi::OsString,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum, builder::TypedValueParser};
use rustor_tokio::core::{choices::Choices, metainfo::Info, storage::Allocation};

use self::{obtain::Wanted, run::Run};
use crate::{
    choices::{Selection, Sharing},
    create::web_url,
    failure::{Exit, Failure},
    output::{Output, parse_rate, safe},
    session::{self, Network},
    signals::Signals,
    torrent_file::{Named, load_named},
};

/// Download what torrent files and magnet links name.
///
/// What is there already, whole or in part, is not fetched again: the same command goes on where an earlier one stopped.
#[derive(Debug, Args)]
pub(crate) struct Download {
    /// Torrent files, http and https URLs of them, or magnet links; '-' for standard input
    #[arg(value_name = "FILE|URL|MAGNET", required = true, value_parser = source())]
    sources: Vec<Source>,
    /// The folder to download to
    #[arg(short = 'o', long = "output", value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Go on seeding when all is there, until Ctrl-C
    #[arg(long)]
    seed: bool,
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
    selection: Selection,
    /// Fetch pieces in their order, for whoever reads along
    #[arg(long, help_heading = "Files")]
    sequential: bool,
    /// How files get their room on disk
    #[arg(long, value_enum, value_name = "HOW", default_value_t, help_heading = "Files")]
    allocate: Allocate,
    /// A peer to try, besides those that trackers name; may be given several times
    #[arg(long = "peer", value_name = "IP:PORT", help_heading = "Peers")]
    peers: Vec<SocketAddr>,
    /// URL of a web server that has the files, too; may be given several times
    #[arg(long = "web-seed", value_name = "URL", value_parser = web_url, help_heading = "Peers")]
    web_seeds: Vec<String>,
    /// Receive no more than so many bytes a second, such as 500k or 1.5M
    #[arg(long, value_name = "RATE", value_parser = parse_rate, help_heading = "Limits")]
    max_down: Option<u64>,
    #[command(flatten)]
    sharing: Sharing,
    #[command(flatten)]
    network: Network,
}

/// Where a torrent comes from.
#[derive(Clone, Debug)]
enum Source {
    /// A torrent file, or a magnet link.
    Named(PathBuf),
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
            Ok(text) => Source::Named(text.into()),
            Err(argument) => Source::Named(argument.into()),
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
                Source::Named(path) => match load_named(output, path) {
                    Ok(Named::Torrent(metainfo)) => wanted.push(Wanted::Torrent(metainfo)),
                    Ok(Named::Magnet(magnet)) => wanted.push(Wanted::Magnet(magnet)),
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
            let client = self.network.start(output, self.sharing.rates(self.max_down))?;
            let exit = Run::new(self, output, client, signals).finish(wanted).await?;
            Ok(if any_failed { Exit::Failed } else { exit })
        })
    }

    /// Whether there is something to do after the last byte has come.
    fn stays(&self) -> bool {
        self.seed || self.sharing.has_goal()
    }

    /// What is chosen for every torrent, whatever is in it.
    fn choices(&self) -> Choices {
        Choices { sequential: self.sequential, ..self.sharing.choices() }
    }

    /// What is chosen for this torrent, of which a magnet link selects `selected`; why that cannot be, in words for people.
    fn choices_for(&self, info: &Info, selected: &[RangeInclusive<u32>]) -> Result<Choices, String> {
        let mut choices = self.choices();
        self.selection.apply(info, selected, &mut choices)?;
        Ok(choices)
    }

    fn allocation(&self) -> Allocation {
        match self.allocate {
            Allocate::Sparse => Allocation::Sparse,
            Allocate::Full => Allocation::Full,
        }
    }

    /// Where what is called `name` will lie.
    fn path(&self, name: &str) -> PathBuf {
        Path::join(&self.folder, name)
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout.map(Duration::from_secs)
    }
}
