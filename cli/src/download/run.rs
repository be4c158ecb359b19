use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustor_runtime::{
    disk::free_space,
    http::{HttpClient, Request, Roots},
};
use rustor_tokio::{
    AddOptions, Client, ClientError, EventStream, TokioRuntime,
    core::{
        command::CommandError,
        error::DiskErrorKind,
        event::Event,
        id::TorrentId,
        metainfo::Metainfo,
        status::{TorrentState, TorrentStatus},
        storage::Allocation,
    },
};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::Download;
use crate::{
    failure::{Exit, Failure},
    output::{Bytes, Output, Rate, Span, Transfers, percent, safe},
    reporter::Reporter,
    session,
    signals::{Signals, same_command},
    torrent_file,
};

/// Between two looks at the torrents where bars can move, and where not.
const LOOKS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// A torrent to be had.
pub(super) enum Wanted {
    Torrent(Box<Metainfo>),
    Url(String),
}

/// How torrents are added.
#[derive(Clone)]
pub(super) struct Template {
    pub(super) folder: PathBuf,
    pub(super) peers: Vec<SocketAddr>,
    pub(super) allocation: Allocation,
    pub(super) resume: bool,
}

/// One run of the command.
pub(super) struct Run<'a> {
    download: &'a Download,
    output: &'a Output,
    client: Client,
    signals: Signals,
    events: EventStream,
    tasks: JoinSet<News>,
    entries: Vec<Entry>,
    reporter: Reporter<'a>,
    transfers: Transfers<'a>,
    idle: Idle,
    any_failed: bool,
    disk_full: bool,
}

/// Something that was waited for has come about.
enum News {
    /// A torrent is on the engine's list (`None` if it was there before), or could not be had.
    Added(Result<Option<Entry>, Failure>),
    /// All of it is on disk, or its disk failed.
    Settled(TorrentId, Result<(), ClientError>),
}

/// A torrent on the engine's list.
struct Entry {
    id: TorrentId,
    name: String,
    info_hash: String,
    path: PathBuf,
    /// Whether there is any way to find peers.
    findable: bool,
    /// What there is to say at the beginning has been said.
    begun: bool,
    since: Instant,
    outcome: Option<Outcome>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Complete,
    Failed,
}

/// Why waiting came to an end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Settled,
    Interrupted,
    GaveUp,
}

impl<'a> Run<'a> {
    pub(super) fn new(download: &'a Download, output: &'a Output, client: Client, signals: Signals) -> Run<'a> {
        Run {
            download,
            output,
            events: client.events(),
            client,
            signals,
            tasks: JoinSet::new(),
            entries: Vec::new(),
            reporter: Reporter::new(output),
            transfers: Transfers::new(output),
            idle: Idle { amount: 0, since: Instant::now() },
            any_failed: false,
            disk_full: false,
        }
    }

    /// Downloads all that is wanted, and goes on seeding where that was asked for.
    pub(super) async fn finish(mut self, wanted: Vec<Wanted>) -> Result<Exit, Failure> {
        for wanted in wanted {
            self.begin(wanted);
        }
        let end = self.wait().await?;
        let unfinished = if end == End::Settled { Vec::new() } else { self.unfinished().await };
        for entry in &self.entries {
            self.transfers.forget(entry.id);
        }
        if end == End::Interrupted {
            self.output.detail("stopping");
        }
        session::shut_down(&self.client, &mut self.signals, self.output).await;
        for (name, percent) in &unfinished {
            self.output.note(format_args!("{name}: stopped at {percent}%"));
        }
        let complete = self.entries.iter().all(|entry| entry.outcome == Some(Outcome::Complete)) && !self.entries.is_empty();
        let exit = if complete && !self.any_failed && (end == End::Settled || self.download.seed) { Exit::Done } else { Exit::Failed };
        if !unfinished.is_empty() || self.entries.iter().any(|entry| entry.outcome == Some(Outcome::Failed)) {
            let first = if self.disk_full { "make room, and" } else { "to go on," };
            self.output.note(format_args!("what has come is kept; {first} say the same again: {}", safe(&same_command())));
        }
        Ok(exit)
    }

    fn begin(&mut self, wanted: Wanted) {
        let (client, output, template) = (self.client.clone(), self.output.clone(), self.download.template());
        self.tasks.spawn(async move {
            let metainfo = match wanted {
                Wanted::Torrent(metainfo) => Ok(*metainfo),
                Wanted::Url(url) => fetch(&output, &url).await,
            };
            News::Added(match metainfo {
                Ok(metainfo) => add(&client, template, metainfo).await,
                Err(failure) => Err(failure),
            })
        });
    }

    async fn wait(&mut self) -> Result<End, Failure> {
        let mut looks = interval(LOOKS[usize::from(!self.output.is_live())]);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.tasks.is_empty() && !(self.download.seed && self.has(Outcome::Complete)) {
                return Ok(End::Settled);
            }
            tokio::select! {
                biased;
                () = self.signals.next() => return Ok(End::Interrupted),
                Some(news) = self.tasks.join_next(), if !self.tasks.is_empty() => match news {
                    Ok(News::Added(added)) => self.added(added)?,
                    Ok(News::Settled(torrent, result)) => self.settled(torrent, result).await?,
                    Err(_) => return Err(Failure::new("internal error: a task has panicked")),
                },
                event = self.events.next() => match event {
                    Some(event) => self.heard(&event)?,
                    None => return Err(Failure::new("internal error: the engine has stopped")),
                },
                _ = looks.tick() => {
                    self.look().await?;
                    if let Some(timeout) = self.download.timeout()
                        && self.idle.since.elapsed() >= timeout
                        && !self.tasks.is_empty()
                    {
                        self.fail(&Failure::new(format_args!("nothing has come for {}", Span(timeout))))?;
                        return Ok(End::GaveUp);
                    }
                }
            }
        }
    }

    fn added(&mut self, added: Result<Option<Entry>, Failure>) -> Result<(), Failure> {
        let entry = match added {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(()),
            Err(failure) => return self.fail(&failure),
        };
        self.reporter.add(entry.id, &entry.name);
        let (client, torrent) = (self.client.clone(), entry.id);
        self.entries.push(entry);
        self.tasks.spawn(async move { News::Settled(torrent, client.wait_finished(torrent).await) });
        Ok(())
    }

    async fn settled(&mut self, torrent: TorrentId, result: Result<(), ClientError>) -> Result<(), Failure> {
        if let Err(error) = result {
            return self.torrent_failed(torrent, &error);
        }
        let status = self.client.status(torrent).await.ok();
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == torrent) else { return Ok(()) };
        entry.outcome = Some(Outcome::Complete);
        let (time, downloaded) = (entry.since.elapsed(), status.as_ref().map_or(0, |status| status.downloaded));
        let total = status.map_or(0, |status| status.total);
        let name = safe(&entry.name);
        if !self.download.seed {
            self.transfers.forget(torrent);
        }
        if downloaded == 0 {
            self.output.note(format_args!("{name}: all {} are there", Bytes(total)));
        } else {
            let rate = (downloaded as f64 / time.as_secs_f64().max(0.001)) as u64;
            self.output.note(format_args!("{name}: done, {} in {} ({})", Bytes(downloaded), Span(time), Rate(rate)));
        }
        let path = entry.path.display();
        if self.download.json {
            let (name, info_hash, path) = (&entry.name, &entry.info_hash, path.to_string());
            return self.output.result(json!({ "event": "finished", "name": name, "info_hash": info_hash, "path": path }));
        }
        self.output.result(path)
    }

    fn heard(&mut self, event: &Event) -> Result<(), Failure> {
        self.reporter.tell(event);
        // While it is being waited for, the news comes the other way.
        if let Event::Failed { torrent, error } = event
            && self.entries.iter().any(|entry| entry.id == *torrent && entry.outcome == Some(Outcome::Complete))
        {
            return self.torrent_failed(*torrent, &ClientError::Disk(error.clone()));
        }
        Ok(())
    }

    fn torrent_failed(&mut self, torrent: TorrentId, error: &ClientError) -> Result<(), Failure> {
        self.transfers.forget(torrent);
        self.disk_full |= matches!(error, ClientError::Disk(error) if error.kind == DiskErrorKind::Full);
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == torrent) else { return Ok(()) };
        entry.outcome = Some(Outcome::Failed);
        let failure = Failure::about(safe(&entry.name), error);
        self.fail(&failure)
    }

    fn fail(&mut self, failure: &Failure) -> Result<(), Failure> {
        self.any_failed = true;
        self.output.error(failure);
        if self.download.json { self.output.result(json!({ "event": "failed", "message": failure.to_string() })) } else { Ok(()) }
    }

    /// Shows how far things are.
    async fn look(&mut self) -> Result<(), Failure> {
        let Ok(list) = self.client.list().await else { return Ok(()) };
        self.idle.look(&list);
        for status in &list {
            self.reporter.watch(status);
            let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == status.torrent) else { continue };
            let over = match entry.outcome {
                Some(Outcome::Failed) => true,
                Some(Outcome::Complete) => !self.download.seed,
                None => status.state == TorrentState::Failed,
            };
            if over {
                continue;
            }
            if !entry.begun && status.state == TorrentState::Downloading {
                entry.begun = true;
                begin(self.output, entry, status, &self.download.folder);
            }
            if self.download.json {
                self.output.result(progress(status))?;
            } else {
                self.transfers.update(status);
            }
        }
        Ok(())
    }

    /// Names of torrents that are not all there, and how much of them is, in per cent.
    async fn unfinished(&self) -> Vec<(String, u64)> {
        let list = self.client.list().await.unwrap_or_default();
        let unfinished = self.entries.iter().filter(|entry| entry.outcome.is_none());
        let percent = |id| list.iter().find(|status| status.torrent == id).map_or(0, |status| percent(status.verified, status.total));
        unfinished.map(|entry| (safe(&entry.name).into_owned(), percent(entry.id))).collect()
    }

    fn has(&self, outcome: Outcome) -> bool {
        self.entries.iter().any(|entry| entry.outcome == Some(outcome))
    }
}

/// Warns, at the beginning of a download, of what may keep it from its end.
fn begin(output: &Output, entry: &Entry, status: &TorrentStatus, folder: &Path) {
    let name = safe(&entry.name);
    if !entry.findable {
        output.warning(format_args!("{name}: the torrent names no tracker; wait for a peer to connect, or name one with --peer IP:PORT"));
    }
    let missing = status.total - status.verified.min(status.total);
    if let Some(free) = free_space(folder).filter(|free| *free < missing) {
        let folder = safe(&folder.to_string_lossy()).into_owned();
        output.warning(format_args!("{name}: {} are missing, and {folder} has room for {}", Bytes(missing), Bytes(free)));
    }
}

/// Since when nothing has come.
struct Idle {
    amount: u64,
    since: Instant,
}

impl Idle {
    fn look(&mut self, list: &[TorrentStatus]) {
        let amount = list.iter().fold(0u64, |sum, status| {
            sum.saturating_add(status.downloaded - status.wasted.min(status.downloaded))
                .saturating_add(status.checked)
                .saturating_add(status.verified)
        });
        if amount != self.amount {
            *self = Idle { amount, since: Instant::now() };
        }
    }
}

async fn add(client: &Client, template: Template, metainfo: Metainfo) -> Result<Option<Entry>, Failure> {
    let Template { folder, peers, allocation, resume } = template;
    let (name, info_hash) = (metainfo.info.name().to_owned(), metainfo.info_hash().to_string());
    let (path, findable) = (folder.join(&name), !peers.is_empty() || !metainfo.trackers.is_empty());
    let options = AddOptions { peers, allocation, resume, ..AddOptions::new(metainfo, folder) };
    match client.add(options).await {
        Ok(id) => Ok(Some(Entry { id, name, info_hash, path, findable, begun: false, since: Instant::now(), outcome: None })),
        // Named twice: one is enough.
        Err(ClientError::Command(CommandError::AlreadyAdded(_))) => Ok(None),
        Err(error) => Err(Failure::about(safe(&name), error)),
    }
}

/// Gets the torrent file at `url`.
async fn fetch(output: &Output, url: &str) -> Result<Metainfo, Failure> {
    let shown = safe(url).into_owned();
    output.detail(format_args!("fetching {shown}"));
    let request = Request { maximum_body: torrent_file::LARGEST, ..Request::get(url) };
    let response = HttpClient::new(Roots::system()).get(&TokioRuntime::current(), request).await;
    let response = response.map_err(|error| Failure::about(&shown, error))?;
    if response.head.status != 200 {
        return Err(Failure::about(shown, format_args!("the server answered with status {}", response.head.status)));
    }
    torrent_file::parse(output, &shown, response.body)
}

/// How far a torrent is, for programs. Keys may be added, never renamed.
fn progress(status: &TorrentStatus) -> serde_json::Value {
    let state = match status.state {
        TorrentState::FetchingMetadata => "fetching metadata",
        TorrentState::Checking => "checking",
        TorrentState::Downloading => "downloading",
        TorrentState::Seeding => "seeding",
        TorrentState::Paused => "paused",
        TorrentState::Failed => "failed",
        TorrentState::Stopping => "stopping",
    };
    json!({
        "event": "progress",
        "name": status.name,
        "info_hash": status.info_hash.to_string(),
        "state": state,
        "verified": status.verified,
        "total": status.total,
        "downloaded": status.downloaded,
        "uploaded": status.uploaded,
        "download_rate": status.download_rate,
        "upload_rate": status.upload_rate,
        "peers": status.peers,
    })
}
