use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use rustor_tokio::{
    AddOptions, Client, ClientError, EventStream,
    core::{
        choices::{Choices, Priority},
        command::TorrentSource,
        event::Event,
        id::TorrentId,
        metainfo::{Info, Magnet, Metainfo},
        status::{TorrentState, TorrentStatus},
        storage::Layout,
    },
};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    choices::Sharing,
    failure::{Exit, Failure},
    output::{Output, Transfers, safe, shared},
    reporter::Reporter,
    session::{self, Network, addresses},
    signals::Signals,
    steps,
    torrent_file::{Named, load_named},
    verify::{check, hint, summary},
};

/// Share what is on disk with others, until Ctrl-C.
///
/// With a magnet link, peers are asked first what it stands for.
#[derive(Debug, Args)]
pub(crate) struct Seed {
    /// The torrent file, '-' for standard input; or a magnet link
    #[arg(value_name = "TORRENT|MAGNET")]
    torrent: PathBuf,
    /// The folder that holds what the torrent names
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Hash all that is there, whatever an earlier run remembers
    #[arg(long)]
    recheck: bool,
    /// Write JSON, a line for each step, for programs
    #[arg(long)]
    json: bool,
    /// A peer to try, besides those that trackers name; may be given several times
    #[arg(long = "peer", value_name = "IP:PORT", help_heading = "Peers")]
    peers: Vec<SocketAddr>,
    #[command(flatten)]
    sharing: Sharing,
    #[command(flatten)]
    network: Network,
}

/// What came of it.
enum Served {
    Ended(Exit),
    /// Not all is there: nothing was served.
    NotAll(Box<Metainfo>),
}

/// What was found on disk.
enum Found {
    All,
    NotAll,
    Interrupted,
}

impl Seed {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let ended = self.run_to_end(output);
        if let (Err(failure), true) = (&ended, self.json) {
            output.result(steps::failed(&failure.to_string()))?;
        }
        ended
    }

    fn run_to_end(&self, output: &Output) -> Result<Exit, Failure> {
        let named = load_named(output, &self.torrent)?;
        // A seeder must never write, and the engine is told of a torrent only where there is nothing to be written.
        if let Named::Torrent(metainfo) = &named
            && !lengths_fit(&metainfo.info, &self.folder)
        {
            return self.refuse(output, metainfo);
        }
        if !self.folder.is_dir() {
            let folder = self.folder.to_string_lossy();
            return self.cannot(output, &Failure::about(safe(&folder), "no such folder, and so nothing to be seeded"));
        }
        let served = session::run(async {
            let mut signals = Signals::new()?;
            let client = self.network.start(output, self.sharing.rates(None))?;
            let served = self.serve(output, &client, &mut signals, named).await;
            session::shut_down(&client, &mut signals, output).await;
            served
        })?;
        match served {
            Served::Ended(exit) => Ok(exit),
            Served::NotAll(metainfo) => self.refuse(output, &metainfo),
        }
    }

    /// Serves until it is told to stop, or has given enough.
    async fn serve(&self, output: &Output, client: &Client, signals: &mut Signals, named: Named) -> Result<Served, Failure> {
        let mut events = client.events();
        let mut reporter = Reporter::new(output);
        let (torrent, metainfo) = match named {
            Named::Torrent(metainfo) => {
                let options = AddOptions { paused: true, choices: self.sharing.choices(), ..self.options(*metainfo.clone()) };
                (client.add(options).await.map_err(|error| Failure::about(safe(metainfo.info.name()), error))?, *metainfo)
            }
            Named::Magnet(magnet) => match self.ask(output, client, signals, &mut events, &mut reporter, *magnet).await? {
                Some(described) => described,
                None => return Ok(Served::Ended(Exit::Failed)),
            },
        };
        if !lengths_fit(&metainfo.info, &self.folder) {
            return Ok(Served::NotAll(Box::new(metainfo)));
        }
        let shown = safe(metainfo.info.name()).into_owned();
        let about = |error: ClientError| Failure::about(&shown, error);
        match self.look(output, client, signals, &mut events, torrent, &shown).await? {
            Found::All => {}
            Found::NotAll => return Ok(Served::NotAll(Box::new(metainfo))),
            Found::Interrupted => return Ok(Served::Ended(Exit::Failed)),
        }
        client.choose(torrent, self.sharing.choices()).await.map_err(about)?;
        client.resume(torrent).await.map_err(about)?;
        output.note(format_args!("seeding {shown} on {}; Ctrl-C stops", addresses(client.listen_addresses())));
        let step = |event: &str, more| steps::step(event, metainfo.info.name(), &metainfo.info_hash().to_string(), more);
        if self.json {
            let listening: Vec<String> = client.listen_addresses().iter().map(ToString::to_string).collect();
            output.result(step("seeding", json!({ "listening": listening })))?;
        }
        let findable = !metainfo.trackers.is_empty();
        if !findable {
            output.warning(format_args!("{shown}: the torrent names no tracker: only those find it who are told its address"));
        }
        reporter.add(torrent, metainfo.info.name(), findable);
        let mut transfers = Transfers::new(output);
        let mut looks = looks(output);
        loop {
            tokio::select! {
                biased;
                () = signals.next() => return Ok(Served::Ended(Exit::Done)),
                event = events.next() => match event {
                    Some(Event::Failed { torrent: failed, error }) if failed == torrent => return Err(Failure::about(&shown, error)),
                    Some(event) => reporter.tell(&event),
                    None => return Err(Failure::new("internal error: the engine has stopped")),
                },
                _ = looks.tick() => {
                    let status = client.status(torrent).await.map_err(about)?;
                    // Nobody else pauses it.
                    if self.sharing.has_goal() && status.state == TorrentState::Paused {
                        output.note(shared(&status));
                        if self.json {
                            output.result(step("goal_reached", json!({ "uploaded": status.uploaded })))?;
                        }
                        return Ok(Served::Ended(Exit::Done));
                    }
                    self.tell(output, &mut transfers, &status)?;
                }
            }
        }
    }

    /// Asks peers what a magnet link stands for; `None` if it was interrupted.
    ///
    /// Nothing of it is wanted as long as it is not known to be there.
    async fn ask(
        &self,
        output: &Output,
        client: &Client,
        signals: &mut Signals,
        events: &mut EventStream,
        reporter: &mut Reporter<'_>,
        magnet: Magnet,
    ) -> Result<Option<(TorrentId, Metainfo)>, Failure> {
        let said = magnet.name.as_deref().map_or("the magnet link".into(), |name| safe(name).into_owned());
        let about = |error: ClientError| Failure::about(&said, error);
        let findable = !magnet.trackers.is_empty() || !magnet.peers.is_empty() || !self.peers.is_empty();
        let choices = Choices { other_files: Priority::Skip, ..self.sharing.choices() };
        let torrent = client.add(AddOptions { choices, ..self.options(magnet) }).await.map_err(about)?;
        reporter.add(torrent, &client.status(torrent).await.map_err(about)?.name, findable);
        let mut transfers = Transfers::new(output);
        let mut looks = looks(output);
        loop {
            if let Some(metainfo) = client.metainfo(torrent).await.map_err(about)? {
                if self.json {
                    let (info, hash) = (&metainfo.info, metainfo.info_hash().to_string());
                    output.result(steps::step("metadata", info.name(), &hash, steps::metadata(info)))?;
                }
                return Ok(Some((torrent, metainfo)));
            }
            loop {
                tokio::select! {
                    biased;
                    () = signals.next() => return Ok(None),
                    event = events.next() => match event {
                        Some(Event::MetadataReceived { .. }) => break,
                        Some(Event::MetadataUnusable { reason, .. }) => return Err(about(ClientError::Metadata(reason))),
                        Some(event) => reporter.tell(&event),
                        None => return Err(Failure::new("internal error: the engine has stopped")),
                    },
                    _ = looks.tick() => {
                        let status = client.status(torrent).await.map_err(about)?;
                        reporter.watch(&status);
                        self.tell(output, &mut transfers, &status)?;
                    }
                }
            }
        }
    }

    /// Waits until the engine knows what is on disk.
    async fn look(
        &self,
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
                        self.tell(output, &mut transfers, &status)?;
                    }
                }
            }
        }
    }

    /// Tells how far things are, in the way that was asked for.
    fn tell(&self, output: &Output, transfers: &mut Transfers<'_>, status: &TorrentStatus) -> Result<(), Failure> {
        if self.json {
            return output.result(steps::progress(status));
        }
        transfers.update(status);
        Ok(())
    }

    fn options(&self, source: impl Into<TorrentSource>) -> AddOptions {
        AddOptions { peers: self.peers.clone(), resume: !self.recheck, ..AddOptions::new(source, &self.folder) }
    }

    /// Says what is wrong with what is on disk.
    fn refuse(&self, output: &Output, metainfo: &Metainfo) -> Result<Exit, Failure> {
        let name = safe(metainfo.info.name());
        let report = check(output, metainfo, &self.folder)?;
        for wrong in report.wrong_files() {
            output.warning(format_args!("{}: {}", safe(&wrong.path.display().to_string()), wrong.state));
        }
        let exit = self.cannot(output, &Failure::about(name, format_args!("cannot be seeded: {}", summary(&report))))?;
        if let Some(hint) = hint(&metainfo.info, &self.folder, &report) {
            output.note(hint);
        }
        Ok(exit)
    }

    /// What is on disk is not what is to be served.
    fn cannot(&self, output: &Output, failure: &Failure) -> Result<Exit, Failure> {
        output.error(failure);
        if self.json {
            output.result(steps::failed(&failure.to_string()))?;
        }
        Ok(Exit::Verification)
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
