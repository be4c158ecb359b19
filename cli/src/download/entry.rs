use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use rustor_runtime::disk::free_space;
use rustor_tokio::core::{id::TorrentId, status::TorrentStatus};
use serde_json::Value;

use crate::{
    output::{Bytes, Output, safe},
    steps,
};

/// A torrent on the engine's list.
pub(super) struct Entry {
    pub(super) id: TorrentId,
    /// While a magnet link's metadata is to come: what the link says.
    pub(super) name: String,
    pub(super) info_hash: String,
    /// Where it will lie; `None` while a magnet link's metadata is to come.
    pub(super) path: Option<PathBuf>,
    /// Whether there is any way to find peers.
    pub(super) findable: bool,
    /// What there is to say at the beginning has been said.
    pub(super) begun: bool,
    pub(super) since: Instant,
    pub(super) outcome: Option<Outcome>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All that is wanted is on disk.
    Complete,
    /// And enough of it was given to others.
    Shared,
    Failed,
}

impl Entry {
    pub(super) fn new(id: TorrentId, name: String, info_hash: String, path: Option<PathBuf>, findable: bool) -> Entry {
        Entry { id, name, info_hash, path, findable, begun: false, since: Instant::now(), outcome: None }
    }

    /// Whether all that is wanted is on disk.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Complete | Outcome::Shared))
    }

    /// Warns, at the beginning of a download, of what may keep it from its end.
    pub(super) fn begin(&mut self, output: &Output, status: &TorrentStatus, folder: &Path) {
        if self.begun {
            return;
        }
        self.begun = true;
        let name = safe(&self.name);
        if !self.findable {
            output
                .warning(format_args!("{name}: the torrent names no tracker; wait for a peer to connect, or name one with --peer IP:PORT"));
        }
        let missing = status.wanted.saturating_sub(status.wanted_verified);
        if let Some(free) = free_space(folder).filter(|free| *free < missing) {
            let folder = safe(&folder.to_string_lossy()).into_owned();
            output.warning(format_args!("{name}: {} are missing, and {folder} has room for {}", Bytes(missing), Bytes(free)));
        }
    }

    /// That a step was taken, for programs.
    pub(super) fn step(&self, event: &str, more: Value) -> Value {
        steps::step(event, &self.name, &self.info_hash, more)
    }
}

/// Since when nothing has come.
pub(super) struct Idle {
    amount: u64,
    pub(super) since: Instant,
}

impl Idle {
    pub(super) fn new() -> Idle {
        Idle { amount: 0, since: Instant::now() }
    }

    pub(super) fn look(&mut self, list: &[TorrentStatus]) {
        let amount = list.iter().fold(0u64, |sum, status| {
            sum.saturating_add(status.downloaded - status.wasted.min(status.downloaded))
                .saturating_add(status.checked)
                .saturating_add(status.verified)
                .saturating_add(status.metadata.into())
        });
        if amount != self.amount {
            *self = Idle { amount, since: Instant::now() };
        }
    }
}
