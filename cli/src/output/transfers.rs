use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use rustor_tokio::core::{
    id::TorrentId,
    status::{TorrentState, TorrentStatus},
};

use super::{
    Bytes, Output, Rate, Span, plural,
    progress::{bar_style, percent},
    safe,
};

/// Columns for a name.
const NAME: usize = 28;
/// Between two lines about a torrent where nothing can move.
const INTERVAL: Duration = Duration::from_secs(5);
/// The same for a torrent that only seeds.
const SEEDING_INTERVAL: Duration = Duration::from_secs(60);
/// The least between two such lines, if there is news worth a line.
const NEWS_INTERVAL: Duration = Duration::from_secs(1);

/// How far torrents are: a bar for each on a terminal, lines now and then elsewhere.
pub(crate) struct Transfers<'a> {
    output: &'a Output,
    rows: BTreeMap<TorrentId, Row>,
}

struct Row {
    bar: Option<ProgressBar>,
    last: Instant,
    last_line: String,
    /// Tenths of the torrent that the last line told of.
    tenths: u64,
}

impl<'a> Transfers<'a> {
    pub(crate) fn new(output: &'a Output) -> Transfers<'a> {
        Transfers { output, rows: BTreeMap::new() }
    }

    /// Shows the news of a torrent, if it is time.
    pub(crate) fn update(&mut self, status: &TorrentStatus) {
        let output = self.output;
        let row = self.rows.entry(status.torrent).or_insert_with(|| Row::new(output, &status.name));
        let (done, total) = amounts(status);
        if let Some(bar) = &row.bar {
            // A magnet link's name may be another than that of the torrent.
            bar.set_prefix(column(&status.name));
            bar.set_length(total.max(1));
            bar.set_position(if total == 0 && status.metadata { 1 } else { done });
            bar.set_message(text(status));
            return;
        }
        let tenths = if status.metadata { percent(done, total) / 10 } else { 0 };
        let interval = match status.state {
            TorrentState::Seeding => SEEDING_INTERVAL,
            _ if tenths > row.tenths => NEWS_INTERVAL,
            _ => INTERVAL,
        };
        if row.last.elapsed() < interval {
            return;
        }
        row.last = Instant::now();
        row.tenths = tenths;
        let line = format!("{}: {}", safe(&status.name), text(status));
        if line != row.last_line {
            output.note(&line);
            row.last_line = line;
        }
    }

    /// Shows nothing more of a torrent.
    pub(crate) fn forget(&mut self, torrent: TorrentId) {
        self.rows.remove(&torrent);
    }
}

/// That the goal of seeding is reached.
pub(crate) fn shared(status: &TorrentStatus) -> String {
    format!("{}: seeded as long as was asked for, {} sent", safe(&status.name), Bytes(status.uploaded))
}

impl Row {
    fn new(output: &Output, name: &str) -> Row {
        let bar = output.is_live().then(|| {
            let bar = output.bars().add(ProgressBar::new(1).with_prefix(column(name)));
            bar.set_style(bar_style(output, "{prefix:28} {bar} {msg}"));
            bar
        });
        Row { bar, last: Instant::now(), last_line: String::new(), tenths: 0 }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A name cut to its column.
fn column(name: &str) -> String {
    let name = safe(name);
    if name.chars().count() <= NAME { name.into_owned() } else { name.chars().take(NAME - 1).chain(['…']).collect() }
}

/// What the bar is about: bytes done, and in all.
fn amounts(status: &TorrentStatus) -> (u64, u64) {
    match status.state {
        TorrentState::Checking => (status.checked, status.total),
        _ => (status.wanted_verified, status.wanted),
    }
}

fn text(status: &TorrentStatus) -> String {
    let (done, total) = amounts(status);
    let percent = percent(done, total);
    let peers = format!("{} peer{}", status.peers, plural(status.peers.into()));
    match status.state {
        TorrentState::FetchingMetadata => format!("asking for metadata, {peers}"),
        TorrentState::Checking => format!("checking what is there, {percent}%"),
        TorrentState::Seeding => {
            format!("seeding, {} sent, {}, {peers}", Bytes(status.uploaded), Rate(status.upload_rate))
        }
        TorrentState::Downloading => {
            let left = (total - done.min(total)).checked_div(status.download_rate);
            let left = left.map(|seconds| format!(", {} left", Span(Duration::from_secs(seconds)))).unwrap_or_default();
            format!("{percent}% of {}, {}, {peers}{left}", Bytes(total), Rate(status.download_rate))
        }
        TorrentState::Paused => format!("{percent}%, paused"),
        TorrentState::Failed => format!("{percent}%, failed"),
        TorrentState::Stopping => format!("{percent}%, stopping"),
    }
}
