use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rustor_tokio::core::{
    event::Event,
    id::TorrentId,
    status::{TorrentState, TorrentStatus},
};

use crate::output::{Count, Output, plural, safe};

/// How long a download may be without peers before that is told.
const PATIENCE: Duration = Duration::from_secs(15);

/// Tells in words what happens: what may worry people always, everything with `--verbose`.
pub(crate) struct Reporter<'a> {
    output: &'a Output,
    torrents: BTreeMap<TorrentId, Known>,
}

struct Known {
    name: String,
    /// Of each tracker that was heard of, why it failed last; `None` if it answered.
    trackers: BTreeMap<String, Option<String>>,
    warnings: Vec<String>,
    /// Whether there is any way to find peers.
    findable: bool,
    lonely_since: Instant,
    lonely_told: bool,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(output: &'a Output) -> Reporter<'a> {
        Reporter { output, torrents: BTreeMap::new() }
    }

    /// A torrent that events will be about; `findable` if there is any way to find its peers.
    pub(crate) fn add(&mut self, torrent: TorrentId, name: &str, findable: bool) {
        let known = Known {
            name: safe(name).into_owned(),
            trackers: BTreeMap::new(),
            warnings: Vec::new(),
            findable,
            lonely_since: Instant::now(),
            lonely_told: false,
        };
        self.torrents.insert(torrent, known);
    }

    /// A magnet link's metadata has told the torrent's true name.
    pub(crate) fn rename(&mut self, torrent: TorrentId, name: &str) {
        if let Some(known) = self.torrents.get_mut(&torrent) {
            known.name = safe(name).into_owned();
        }
    }

    pub(crate) fn tell(&mut self, event: &Event) {
        let output = self.output;
        match event {
            Event::TrackerFailed { torrent, url, reason } => {
                let Some(known) = self.torrents.get_mut(torrent) else { return };
                let (url, reason) = (safe(url), safe(reason));
                let last = known.trackers.insert(url.clone().into_owned(), Some(reason.clone().into_owned()));
                // Trackers are asked again and again; the same trouble is told once.
                if output.is_verbose() || last.flatten().as_deref() != Some(&reason) {
                    output.warning(format_args!("{}: tracker {url}: {reason}", known.name));
                }
            }
            Event::TrackerReplied { torrent, url, peers, warning } => {
                let Some(known) = self.torrents.get_mut(torrent) else { return };
                let url = safe(url);
                let last = known.trackers.insert(url.clone().into_owned(), None);
                let count = Count(*peers as u64);
                let line = format!("{}: tracker {url} named {count} peer{}", known.name, plural(*peers as u64));
                // Good news after bad is for everyone.
                if matches!(last, Some(Some(_))) {
                    output.note(line)
                } else {
                    output.detail(line)
                }
                if let Some(warning) = warning
                    && !known.warnings.contains(warning)
                {
                    output.warning(format_args!("{}: tracker {url} says: {}", known.name, safe(warning)));
                    // A tracker that never says the same twice is not worth remembering.
                    if known.warnings.len() < 16 {
                        known.warnings.push(warning.clone());
                    }
                }
            }
            Event::WebSeedFailed { torrent, url, reason } => {
                let Some(known) = self.torrents.get_mut(torrent) else { return };
                let (url, reason) = (safe(url), safe(reason));
                // As with trackers: it is asked again and again, and the same trouble is told once.
                let last = known.trackers.insert(url.clone().into_owned(), Some(reason.clone().into_owned()));
                if output.is_verbose() || last.flatten().as_deref() != Some(&reason) {
                    output.warning(format_args!("{}: web seed {url}: {reason}", known.name));
                }
            }
            Event::WebSeedBanned { torrent, url } => {
                let Some(known) = self.torrents.get(torrent) else { return };
                output.warning(format_args!("{}: web seed {}: its file does not fit the torrent's hashes", known.name, safe(url)));
            }
            _ if !output.is_verbose() => {}
            Event::Checked { torrent, verified, pieces } => {
                self.detail(torrent, format_args!("{} of {} pieces are there", Count((*verified).into()), Count((*pieces).into())));
            }
            Event::PieceFailed { torrent, piece } => {
                self.detail(torrent, format_args!("piece {piece} came damaged; it is fetched again"));
            }
            Event::PeerConnected { torrent, remote } => self.detail(torrent, format_args!("peer {remote} connected")),
            Event::PeerDisconnected { torrent, remote, reason } => {
                self.detail(torrent, format_args!("peer {remote} is gone: {reason}"));
            }
            Event::PeerBanned { torrent, remote } => {
                self.detail(torrent, format_args!("peer {remote} sent bad data and is banned"));
            }
            _ => {}
        }
    }

    /// Tells, once in a while of it, that a download has nobody to download from.
    pub(crate) fn watch(&mut self, status: &TorrentStatus) {
        let Some(known) = self.torrents.get_mut(&status.torrent) else { return };
        let needs_peers = matches!(status.state, TorrentState::Downloading | TorrentState::FetchingMetadata);
        // What comes without peers comes from a web seed.
        if status.peers > 0 || status.download_rate > 0 || !needs_peers {
            known.lonely_since = Instant::now();
            known.lonely_told = false;
        } else if !known.lonely_told && known.lonely_since.elapsed() >= PATIENCE {
            known.lonely_told = true;
            let trackers = match known.trackers.values().flatten().count() {
                0 if known.trackers.is_empty() && !known.findable => "no tracker is named",
                0 if known.trackers.is_empty() => "no tracker has answered",
                failed if failed == known.trackers.len() => "no tracker answers",
                _ => "the trackers know none that can be reached",
            };
            let metadata = if status.metadata { "" } else { " to ask for the metadata" };
            self.output.note(format_args!("{}: no peers{metadata}: {trackers}. Still trying; --peer IP:PORT names one", known.name));
        }
    }

    fn detail(&self, torrent: &TorrentId, what: std::fmt::Arguments<'_>) {
        if let Some(known) = self.torrents.get(torrent) {
            self.output.detail(format_args!("{}: {what}", known.name));
        }
    }
}
