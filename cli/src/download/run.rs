use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf, time::Duration};

use rustor_tokio::{
    AddOptions, Client, ClientError, EventStream,
    core::{
        choices::{Choices, Priority},
        command::{CommandError, TorrentSource},
        error::DiskErrorKind,
        event::Event,
        id::TorrentId,
        metainfo::{InfoHash, Magnet, Metainfo},
        status::TorrentState,
    },
};
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    Download,
    entry::{Entry, Idle, Outcome},
    obtain::{Wanted, fetch, metadata},
};
use crate::{
    failure::{Exit, Failure},
    output::{Bytes, Count, Output, Rate, Span, Transfers, percent, plural, safe, shared},
    reporter::Reporter,
    session,
    signals::{Signals, same_command},
    steps,
};

/// Between two looks at the torrents where bars can move, and where not.
const LOOKS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// One run of the command.
pub(super) struct Run<'a> {
    download: &'a Download,
    output: &'a Output,
    client: Client,
    signals: Signals,
    events: EventStream,
    tasks: JoinSet<News>,
    entries: Vec<Entry>,
    /// Where torrents will lie, and which.
    places: BTreeMap<PathBuf, InfoHash>,
    reporter: Reporter<'a>,
    transfers: Transfers<'a>,
    idle: Idle,
    any_failed: bool,
    disk_full: bool,
}

/// Something that was waited for has come about.
enum News {
    /// A torrent file has come, or could not be had.
    Fetched(Result<Metainfo, Failure>),
    /// A torrent is on the engine's list (`None` if it was there before), or could not be had.
    Added(Result<Option<Box<Added>>, Failure>),
    /// Peers have told what a magnet link stands for.
    Described(TorrentId, Selected, Result<Metainfo, ClientError>),
    /// All of it is on disk, or its disk failed.
    Settled(TorrentId, Result<(), ClientError>),
}

struct Added {
    entry: Entry,
    /// `None` for a torrent file.
    link: Option<Link>,
}

/// What matters of a magnet link once its torrent is on the list.
struct Link {
    /// All that has happened since before that.
    events: EventStream,
    selected: Selected,
}

/// The places of the files that a magnet link selects.
type Selected = Vec<RangeInclusive<u32>>;

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
            places: BTreeMap::new(),
            reporter: Reporter::new(output),
            transfers: Transfers::new(output),
            idle: Idle::new(),
            any_failed: false,
            disk_full: false,
        }
    }

    /// Downloads all that is wanted, and goes on seeding where that was asked for.
    pub(super) async fn finish(mut self, wanted: Vec<Wanted>) -> Result<Exit, Failure> {
        for wanted in each_once(wanted) {
            match wanted {
                Wanted::Torrent(metainfo) => self.take(*metainfo)?,
                Wanted::Magnet(magnet) => self.take_magnet(*magnet),
                Wanted::Url(url) => {
                    let output = self.output.clone();
                    self.tasks.spawn(async move { News::Fetched(fetch(&output, &url).await) });
                }
            }
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
        for line in &unfinished {
            self.output.note(line);
        }
        let complete = self.entries.iter().all(Entry::is_complete) && !self.entries.is_empty();
        let exit = if complete && !self.any_failed && (end == End::Settled || self.download.stays()) { Exit::Done } else { Exit::Failed };
        if !unfinished.is_empty() || self.entries.iter().any(|entry| entry.outcome == Some(Outcome::Failed)) {
            let first = if self.disk_full { "make room, and" } else { "to go on," };
            self.output.note(format_args!("what has come is kept; {first} say the same again: {}", safe(&same_command())));
        }
        Ok(exit)
    }

    /// Has the engine download a torrent.
    fn take(&mut self, mut metainfo: Metainfo) -> Result<(), Failure> {
        let (name, info_hash) = (metainfo.info.name().to_owned(), metainfo.info_hash());
        let choices = match self.download.choices_for(&metainfo.info, &[]) {
            Ok(choices) => choices,
            Err(reason) => return self.fail(&Failure::about(safe(&name), reason)),
        };
        let path = match self.place(&name, info_hash) {
            Ok(path) => path,
            Err(failure) => return self.fail(&failure),
        };
        add_missing(&mut metainfo.web_seeds, &self.download.web_seeds);
        let findable = !self.download.peers.is_empty() || !metainfo.trackers.is_empty() || !metainfo.web_seeds.is_empty();
        let options = AddOptions { choices: choices.clone(), ..self.options(metainfo) };
        let client = self.client.clone();
        self.tasks.spawn(async move {
            let added = match client.add(options).await {
                // Where nothing is said, everything is wanted, whatever an earlier run was told.
                Ok(id) => client.choose(id, choices).await.map(|()| id),
                Err(error) => Err(error),
            };
            News::Added(match added {
                Ok(id) => {
                    let entry = Entry::new(id, name, info_hash.to_string(), Some(path), findable);
                    Ok(Some(Box::new(Added { entry, link: None })))
                }
                // Named twice: one is enough.
                Err(ClientError::Command(CommandError::AlreadyAdded(_))) => Ok(None),
                Err(error) => Err(Failure::about(safe(&name), error)),
            })
        });
        Ok(())
    }

    /// Has the engine find out what a magnet link stands for, and download that.
    fn take_magnet(&mut self, mut magnet: Magnet) {
        add_missing(&mut magnet.web_seeds, &self.download.web_seeds);
        let findable = !self.download.peers.is_empty() || !magnet.trackers.is_empty() || !magnet.peers.is_empty();
        let said = magnet.name.clone().unwrap_or_else(|| "the magnet link".into());
        let selected = magnet.selected.clone();
        // Nothing is wanted until it is known what there is, and where it would lie.
        let choices = Choices { other_files: Priority::Skip, ..self.download.choices() };
        let options = AddOptions { choices, ..self.options(magnet) };
        let client = self.client.clone();
        self.tasks.spawn(async move {
            let events = client.events();
            let added = match client.add(options).await {
                Ok(id) => client.status(id).await.map(Some),
                Err(ClientError::Command(CommandError::AlreadyAdded(_))) => Ok(None),
                Err(error) => Err(error),
            };
            News::Added(match added {
                Ok(Some(status)) => {
                    let entry = Entry::new(status.torrent, status.name, status.info_hash.to_string(), None, findable);
                    Ok(Some(Box::new(Added { entry, link: Some(Link { events, selected }) })))
                }
                Ok(None) => Ok(None),
                Err(error) => Err(Failure::about(safe(&said), error)),
            })
        });
    }

    fn options(&self, source: impl Into<TorrentSource>) -> AddOptions {
        let download = self.download;
        let (peers, allocation) = (download.peers.clone(), download.allocation());
        AddOptions { peers, allocation, resume: !download.recheck, ..AddOptions::new(source, &download.folder) }
    }

    /// Where a torrent of this name will lie, unless another one will lie there.
    fn place(&mut self, name: &str, info_hash: InfoHash) -> Result<PathBuf, Failure> {
        let path = self.download.path(name);
        let owner = *self.places.entry(path.clone()).or_insert(info_hash);
        if owner == info_hash {
            return Ok(path);
        }
        let message = "another torrent of this name is downloaded to the same folder; get it by itself, with another -o";
        Err(Failure::about(safe(name), message))
    }

    async fn wait(&mut self) -> Result<End, Failure> {
        let mut looks = interval(LOOKS[usize::from(!self.output.is_live())]);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let seeds = self.download.stays() && self.entries.iter().any(|entry| entry.outcome == Some(Outcome::Complete));
            if self.tasks.is_empty() && !seeds {
                return Ok(End::Settled);
            }
            tokio::select! {
                biased;
                () = self.signals.next() => return Ok(End::Interrupted),
                Some(news) = self.tasks.join_next(), if !self.tasks.is_empty() => match news {
                    Ok(news) => self.learn(news).await?,
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

    async fn learn(&mut self, news: News) -> Result<(), Failure> {
        match news {
            News::Fetched(Ok(metainfo)) => self.take(metainfo),
            News::Fetched(Err(failure)) | News::Added(Err(failure)) => self.fail(&failure),
            News::Added(Ok(None)) => Ok(()),
            News::Added(Ok(Some(added))) => {
                self.added(*added);
                Ok(())
            }
            News::Described(torrent, selected, Ok(metainfo)) => self.described(torrent, &selected, &metainfo).await,
            News::Described(torrent, _, Err(error)) => self.torrent_failed(torrent, &error),
            News::Settled(torrent, Ok(())) => self.settled(torrent).await,
            News::Settled(torrent, Err(error)) => self.torrent_failed(torrent, &error),
        }
    }

    fn added(&mut self, added: Added) {
        let Added { entry, link } = added;
        let torrent = entry.id;
        self.reporter.add(torrent, &entry.name, entry.findable);
        self.entries.push(entry);
        let Some(Link { mut events, selected }) = link else { return self.wait_for(torrent) };
        let client = self.client.clone();
        self.tasks.spawn(async move { News::Described(torrent, selected, metadata(&client, torrent, &mut events).await) });
    }

    fn wait_for(&mut self, torrent: TorrentId) {
        let client = self.client.clone();
        self.tasks.spawn(async move { News::Settled(torrent, client.wait_finished(torrent).await) });
    }

    /// What a magnet link stands for is known: sees to it that it is downloaded as a torrent file would be.
    async fn described(&mut self, torrent: TorrentId, selected: &[RangeInclusive<u32>], metainfo: &Metainfo) -> Result<(), Failure> {
        let info = &metainfo.info;
        let placed = self.place(info.name(), info.info_hash());
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == torrent) else { return Ok(()) };
        entry.name = info.name().to_owned();
        self.reporter.rename(torrent, info.name());
        let files = info.files().iter().filter(|file| !file.is_padding()).count() as u64;
        let (name, size) = (safe(&entry.name), Bytes(info.total_length()));
        self.output.note(format_args!("{name}: the metadata is here: {size} in {} file{}", Count(files), plural(files)));
        if self.download.json {
            self.output.result(entry.step("metadata", steps::metadata(info)))?;
        }
        let chosen = placed.and_then(|path| {
            let choices = self.download.choices_for(info, selected).map_err(|reason| Failure::about(&name, reason))?;
            entry.path = Some(path);
            Ok(choices)
        });
        let choices = match chosen {
            Ok(choices) => choices,
            Err(failure) => {
                entry.outcome = Some(Outcome::Failed);
                self.transfers.forget(torrent);
                // Paused it keeps what was learned for the next time.
                let _ = self.client.pause(torrent).await;
                return self.fail(&failure);
            }
        };
        if let Err(error) = self.client.choose(torrent, choices).await {
            return self.torrent_failed(torrent, &error);
        }
        self.wait_for(torrent);
        Ok(())
    }

    async fn settled(&mut self, torrent: TorrentId) -> Result<(), Failure> {
        let status = self.client.status(torrent).await.ok();
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == torrent) else { return Ok(()) };
        entry.outcome = Some(Outcome::Complete);
        let (time, downloaded) = (entry.since.elapsed(), status.as_ref().map_or(0, |status| status.downloaded));
        let wanted = status.map_or(0, |status| status.wanted);
        let name = safe(&entry.name);
        if !self.download.stays() {
            self.transfers.forget(torrent);
        }
        if downloaded == 0 {
            self.output.note(format_args!("{name}: all {} are there", Bytes(wanted)));
        } else {
            let rate = (downloaded as f64 / time.as_secs_f64().max(0.001)) as u64;
            self.output.note(format_args!("{name}: done, {} in {} ({})", Bytes(downloaded), Span(time), Rate(rate)));
        }
        let path = entry.path.as_deref().unwrap_or(&self.download.folder).display().to_string();
        if self.download.json {
            return self.output.result(entry.step("finished", json!({ "path": path })));
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
        if self.download.json { self.output.result(steps::failed(&failure.to_string())) } else { Ok(()) }
    }

    /// Shows how far things are.
    async fn look(&mut self) -> Result<(), Failure> {
        let Ok(list) = self.client.list().await else { return Ok(()) };
        self.idle.look(&list);
        for status in &list {
            self.reporter.watch(status);
            let Some(entry) = self.entries.iter_mut().find(|entry| entry.id == status.torrent) else { continue };
            let over = match entry.outcome {
                Some(Outcome::Failed | Outcome::Shared) => true,
                Some(Outcome::Complete) => !self.download.stays(),
                None => status.state == TorrentState::Failed,
            };
            if over {
                continue;
            }
            if entry.path.is_some() && status.state == TorrentState::Downloading {
                entry.begin(self.output, status, &self.download.folder);
            }
            // Nobody else pauses a torrent here.
            if entry.outcome == Some(Outcome::Complete) && status.state == TorrentState::Paused {
                entry.outcome = Some(Outcome::Shared);
                self.transfers.forget(status.torrent);
                self.output.note(shared(status));
                if self.download.json {
                    self.output.result(entry.step("goal_reached", json!({ "uploaded": status.uploaded })))?;
                }
            } else if self.download.json {
                self.output.result(steps::progress(status))?;
            } else {
                self.transfers.update(status);
            }
        }
        Ok(())
    }

    /// A line for each torrent that is not all there, with how much of it is.
    async fn unfinished(&self) -> Vec<String> {
        let list = self.client.list().await.unwrap_or_default();
        let unfinished = self.entries.iter().filter(|entry| entry.outcome.is_none());
        let line = |entry: &Entry| {
            let name = safe(&entry.name);
            match list.iter().find(|status| status.torrent == entry.id) {
                Some(status) if !status.metadata => format!("{name}: stopped before its metadata came"),
                status => {
                    let percent = status.map_or(0, |status| percent(status.wanted_verified, status.wanted));
                    format!("{name}: stopped at {percent}%")
                }
            }
        };
        unfinished.map(line).collect()
    }
}

/// What is named twice is wanted once, with all trackers and web seeds that are said: which of several would be added first is not known.
fn each_once(all: Vec<Wanted>) -> Vec<Wanted> {
    let hash_of = |wanted: &Wanted| match wanted {
        Wanted::Torrent(metainfo) => Some(metainfo.info_hash()),
        Wanted::Magnet(magnet) => magnet.info_hash(),
        Wanted::Url(_) => None,
    };
    let mut once: Vec<Wanted> = Vec::new();
    for wanted in all {
        let hash = hash_of(&wanted);
        let known = once.iter_mut().find(|known| hash.is_some() && hash_of(known) == hash);
        match (known, wanted) {
            (None, wanted) => once.push(wanted),
            (Some(Wanted::Torrent(known)), Wanted::Magnet(magnet)) => known_by_link(known, &magnet),
            (Some(known), Wanted::Torrent(mut metainfo)) => {
                if let Wanted::Magnet(magnet) = known {
                    known_by_link(&mut metainfo, magnet);
                    *known = Wanted::Torrent(metainfo);
                }
            }
            (Some(Wanted::Magnet(known)), Wanted::Magnet(magnet)) => {
                add_missing(&mut known.trackers, &magnet.trackers);
                add_missing(&mut known.web_seeds, &magnet.web_seeds);
                known.peers.extend(magnet.peers);
            }
            (Some(_), _) => {}
        }
    }
    once
}

/// Takes over where a link says that a torrent is to be found. A private one is for its own trackers alone (BEP 27).
fn known_by_link(metainfo: &mut Metainfo, magnet: &Magnet) {
    if metainfo.info.is_private() {
        return;
    }
    let new = magnet.trackers.iter().filter(|url| !metainfo.trackers.iter().flatten().any(|known| known == *url));
    let new: Vec<Vec<String>> = new.map(|url| vec![url.clone()]).collect();
    metainfo.trackers.extend(new);
    add_missing(&mut metainfo.web_seeds, &magnet.web_seeds);
}

fn add_missing(known: &mut Vec<String>, more: &[String]) {
    for url in more {
        if !known.contains(url) {
            known.push(url.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(text: &str) -> Wanted {
        Wanted::Magnet(Box::new(text.parse().expect("a magnet link")))
    }

    #[test]
    fn a_link_that_is_given_twice_is_wanted_once_with_the_trackers_of_both() {
        let hash = "03a35cf8faeed34e7d382460dff25a76e79af716";
        let all = vec![
            link(&format!("magnet:?xt=urn:btih:{}", hash.to_uppercase())),
            link("magnet:?xt=urn:btih:f1b426132fc1278a05ea9a25d3d63c6a95edc403"),
            link(&format!("magnet:?xt=urn:btih:{hash}&tr=http://a/announce&x.pe=10.0.0.1:1")),
            link(&format!("magnet:?xt=urn:btih:{hash}&tr=http://a/announce&tr=http://b/announce")),
        ];
        let once = each_once(all);
        assert_eq!(once.len(), 2);
        let Wanted::Magnet(first) = &once[0] else { panic!("a link") };
        assert_eq!(first.trackers, ["http://a/announce", "http://b/announce"]);
        assert_eq!(first.peers.len(), 1);
    }

    #[test]
    fn a_torrent_and_a_link_to_it_are_one_with_the_trackers_of_both_unless_it_is_private() {
        let text = |private: &str| {
            format!("d8:announce12:http://a/ann4:infod6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:{}{private}ee", "h".repeat(20))
        };
        for (private, trackers) in [("", 2), ("7:privatei1e", 1)] {
            let metainfo = Metainfo::parse(text(private).into()).expect("a torrent");
            let hash = metainfo.info_hash();
            let torrent = || Wanted::Torrent(Box::new(metainfo.clone()));
            let linked = || link(&format!("magnet:?xt=urn:btih:{hash}&tr=http://a/ann&tr=http://b/ann&ws=http://c/"));
            for all in [vec![torrent(), linked()], vec![linked(), torrent()], vec![linked(), linked(), torrent(), torrent()]] {
                let once = each_once(all);
                let [Wanted::Torrent(one)] = &once[..] else { panic!("one torrent") };
                assert_eq!(one.trackers.iter().flatten().count(), trackers);
                assert_eq!(one.web_seeds.len(), trackers - 1);
            }
        }
    }
}
