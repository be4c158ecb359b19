use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use rustor_tokio::{
    AddOptions, Client, ClientError, EventStream,
    core::{
        event::Event,
        id::TorrentId,
        metainfo::{Info, Metainfo},
        status::TorrentState,
        storage::Layout,
    },
};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    failure::{Exit, Failure},
    output::{Output, Transfers, safe},
    reporter::Reporter,
    session::{self, Network, addresses},
    signals::Signals,
    torrent_file,
    verify::{check, hint, summary},
};

/// Share what is on disk with others, until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Seed {
    /// The torrent file; '-' for standard input
    #[arg(value_name = "TORRENT")]
    torrent: PathBuf,
    /// The folder that holds what the torrent names
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Hash all that is there, whatever an earlier run remembers
    #[arg(long)]
    recheck: bool,
    #[command(flatten)]
    network: Network,
}

/// What was found on disk.
enum Found {
    All,
    NotAll,
    Interrupted,
}

impl Seed {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let metainfo = torrent_file::load(output, &self.torrent)?;
        // A seeder must never write, and the engine is told of a torrent only where there is nothing to be written.
        if !lengths_fit(&metainfo.info, &self.folder) {
            return self.refuse(output, &metainfo);
        }
        let exit = session::run(async {
            let mut signals = Signals::new()?;
            let client = self.network.start(output)?;
            let exit = self.serve(output, &client, &mut signals, metainfo.clone()).await;
            session::shut_down(&client, &mut signals, output).await;
            exit
        })?;
        exit.map_or_else(|| self.refuse(output, &metainfo), Ok)
    }

    /// Serves until it is told to stop; `None` if not all is there.
    async fn serve(&self, output: &Output, client: &Client, signals: &mut Signals, metainfo: Metainfo) -> Result<Option<Exit>, Failure> {
        let name = metainfo.info.name().to_owned();
        let shown = safe(&name).into_owned();
        let has_trackers = !metainfo.trackers.is_empty();
        let mut events = client.events();
        let options = AddOptions { paused: true, resume: !self.recheck, ..AddOptions::new(metainfo, &self.folder) };
        let about = |error: ClientError| Failure::about(&shown, error);
        let torrent = client.add(options).await.map_err(about)?;
        match look(output, client, signals, &mut events, torrent, &shown).await? {
            Found::All => {}
            Found::NotAll => return Ok(None),
            Found::Interrupted => return Ok(Some(Exit::Failed)),
        }
        client.resume(torrent).await.map_err(about)?;
        output.note(format_args!("seeding {shown} on {}; Ctrl-C stops", addresses(client.listen_addresses())));
        if !has_trackers {
            output.warning(format_args!("{shown}: the torrent names no tracker: only those find it who are told its address"));
        }
        let mut reporter = Reporter::new(output);
        reporter.add(torrent, &name);
        let mut transfers = Transfers::new(output);
        let mut looks = looks(output);
        loop {
            tokio::select! {
                biased;
                () = signals.next() => return Ok(Some(Exit::Done)),
                event = events.next() => match event {
                    Some(Event::Failed { torrent: failed, error }) if failed == torrent => return Err(Failure::about(&shown, error)),
                    Some(event) => reporter.tell(&event),
                    None => return Err(Failure::new("internal error: the engine has stopped")),
                },
                _ = looks.tick() => transfers.update(&client.status(torrent).await.map_err(about)?),
            }
        }
    }

    /// Says what is wrong with what is on disk.
    fn refuse(&self, output: &Output, metainfo: &Metainfo) -> Result<Exit, Failure> {
        let name = safe(metainfo.info.name());
        let report = check(output, metainfo, &self.folder)?;
        for wrong in report.wrong_files() {
            output.warning(format_args!("{}: {}", safe(&wrong.path.display().to_string()), wrong.state));
        }
        output.error(&Failure::about(name, format_args!("cannot be seeded: {}", summary(&report))));
        if let Some(hint) = hint(&metainfo.info, &self.folder, &report) {
            output.note(hint);
        }
        Ok(Exit::Verification)
    }
}

/// Waits until the engine knows what is on disk.
async fn look(
    output: &Output,
    client: &Client,
    signals: &mut Signals,
    events: &mut EventStream,
    torrent: TorrentId,
    shown: &str,
) -> Result<Found, Failure> {
    let mut transfers = Transfers::new(output);
    let mut looks = looks(output);
    loop {
        tokio::select! {
            biased;
            () = signals.next() => return Ok(Found::Interrupted),
            event = events.next() => match event {
                Some(Event::Checked { verified, pieces, .. }) => return Ok(if verified == pieces { Found::All } else { Found::NotAll }),
                Some(Event::Failed { error, .. }) => return Err(Failure::about(shown, error)),
                Some(_) => {}
                None => return Err(Failure::new("internal error: the engine has stopped")),
            },
            _ = looks.tick() => {
                let status = client.status(torrent).await.map_err(|error| Failure::about(shown, error))?;
                if status.state == TorrentState::Checking {
                    transfers.update(&status);
                }
            }
        }
    }
}

fn looks(output: &Output) -> tokio::time::Interval {
    let mut looks = interval(Duration::from_millis(if output.is_live() { 200 } else { 1000 }));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// Whether each file is there and has its length.
fn lengths_fit(info: &Info, folder: &Path) -> bool {
    Layout::of(info).is_some_and(|layout| {
        layout.files().iter().filter(|file| !file.padding).all(|file| {
            let path = file.path.iter().fold(folder.to_path_buf(), |path, name| path.join(name));
            path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() == file.length)
        })
    })
}
