use rustor_core::{
    action::Action,
    event::Event,
    id::{ConnectionId, DiskJobId, FetchId, HttpId, TorrentId},
    input::Input,
    storage::DiskOperation,
};
use std::collections::{BTreeMap, BTreeSet};

/// Checks what the engine says against what its contract promises, and panics where it does not hold.
#[derive(Default)]
pub struct Audit {
    streams: BTreeMap<ConnectionId, Busy>,
    /// Ids are never used twice.
    gone: BTreeSet<ConnectionId>,
    jobs: BTreeMap<DiskJobId, (TorrentId, bool)>,
    requests: BTreeSet<HttpId>,
    /// Whether something is asked of each download.
    fetches: BTreeMap<FetchId, bool>,
    /// Downloads that ended by themselves: the engine may have given them up before it heard of that.
    ended_fetches: BTreeSet<FetchId>,
    /// Torrents whose files are open; `false` once they are being closed.
    storage: BTreeMap<TorrentId, bool>,
    removed: BTreeSet<TorrentId>,
    shut_down: bool,
}

#[derive(Default)]
struct Busy {
    connecting: bool,
    reading: bool,
    writing: bool,
}

/// More than this the engine never hands out for one connection at once.
const LONGEST_WRITE: usize = 2 << 20;

impl Audit {
    pub fn action(&mut self, action: &Action) {
        match action {
            Action::Connect { connection, .. } => self.opens(*connection, true),
            Action::Accept { connection, .. } => self.opens(*connection, false),
            Action::Read { connection, limit } => {
                let stream = self.stream(*connection, action);
                assert!(!stream.connecting, "a read on a stream that does not stand: {action:?}");
                assert!(!std::mem::replace(&mut stream.reading, true), "a second read: {action:?}");
                assert!(*limit > 0);
            }
            Action::Write { connection, buffers } => {
                let stream = self.stream(*connection, action);
                assert!(!stream.connecting, "a write on a stream that does not stand: {action:?}");
                assert!(!std::mem::replace(&mut stream.writing, true), "a second write: {action:?}");
                assert!(buffers.iter().all(|buffer| !buffer.is_empty()) && !buffers.is_empty());
                assert!(buffers.iter().map(|buffer| buffer.len()).sum::<usize>() <= LONGEST_WRITE);
            }
            Action::Close { connection } => {
                self.stream(*connection, action);
                self.streams.remove(connection);
                self.gone.insert(*connection);
            }
            Action::Disk { job, torrent, operation } => self.disk(*job, *torrent, operation),
            Action::Http { request, .. } => assert!(self.requests.insert(*request), "the id of a request that is under way"),
            Action::Fetch { fetch, .. } => assert!(self.fetches.insert(*fetch, true).is_none(), "the id of a download that is under way"),
            Action::FetchRead { fetch, limit } => {
                let asked = self.fetches.insert(*fetch, true);
                assert_eq!(asked, Some(false), "a read before the last one, or the head, came, or of no download: {action:?}");
                assert!(*limit > 0);
            }
            Action::FetchCancel { fetch } => {
                let known = self.fetches.remove(fetch).is_some() || self.ended_fetches.remove(fetch);
                assert!(known, "no such download: {action:?}");
            }
            Action::Refuse { .. } | Action::Resolve { .. } | Action::SendDatagram { .. } | Action::Multicast { .. } => {}
        }
        assert!(!self.shut_down, "nothing is left to do after the shutdown: {action:?}");
    }

    pub fn input(&mut self, input: &Input) {
        match input {
            Input::Connected { connection, .. } => self.answered(*connection, |stream| stream.connecting = false),
            Input::Read { connection, .. } => self.answered(*connection, |stream| stream.reading = false),
            Input::Written { connection, .. } => self.answered(*connection, |stream| stream.writing = false),
            Input::Disk { job, .. } => drop(self.jobs.remove(job)),
            Input::Http { request, .. } => drop(self.requests.remove(request)),
            Input::FetchHead { fetch, result: Err(_) } => self.fetch_ends(*fetch),
            Input::FetchHead { fetch, .. } => self.fetches.get_mut(fetch).into_iter().for_each(|asked| *asked = false),
            Input::FetchBody { fetch, result } => match result {
                Ok(buffer) if !buffer.data.is_empty() => self.fetches.get_mut(fetch).into_iter().for_each(|asked| *asked = false),
                _ => self.fetch_ends(*fetch),
            },
            _ => {}
        }
    }

    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Removed { torrent } => {
                assert!(self.removed.insert(*torrent), "removed twice");
                assert!(!self.storage.contains_key(torrent), "its files are still open");
                assert!(self.jobs.values().all(|(of, _)| of != torrent), "its disk jobs are still under way");
            }
            Event::ShutDown => {
                assert!(!std::mem::replace(&mut self.shut_down, true), "shut down twice");
                assert!(self.streams.is_empty() && self.storage.is_empty() && self.jobs.is_empty() && self.fetches.is_empty());
            }
            _ => {}
        }
    }

    fn fetch_ends(&mut self, fetch: FetchId) {
        if self.fetches.remove(&fetch).is_some() {
            self.ended_fetches.insert(fetch);
        }
    }

    fn opens(&mut self, connection: ConnectionId, connecting: bool) {
        assert!(!self.gone.contains(&connection), "an id of a connection that is gone");
        let known = self.streams.insert(connection, Busy { connecting, ..Busy::default() });
        assert!(known.is_none(), "an id of a connection that stands");
    }

    fn stream(&mut self, connection: ConnectionId, action: &Action) -> &mut Busy {
        self.streams.get_mut(&connection).unwrap_or_else(|| panic!("no such connection: {action:?}"))
    }

    fn answered(&mut self, connection: ConnectionId, f: impl FnMut(&mut Busy)) {
        self.streams.get_mut(&connection).into_iter().for_each(f);
    }

    fn disk(&mut self, job: DiskJobId, torrent: TorrentId, operation: &DiskOperation) {
        assert!(!self.removed.contains(&torrent), "a job for a torrent that is gone: {operation:?}");
        let others = self.jobs.values().filter(|(of, _)| *of == torrent).count();
        let is_close = matches!(operation, DiskOperation::Close { .. });
        match operation {
            DiskOperation::Open { .. } => {
                assert_eq!(others, 0, "open waits until everything from before is answered");
                assert_ne!(self.storage.insert(torrent, true), Some(false), "opened while being closed");
            }
            DiskOperation::Close { .. } => {
                assert_eq!(others, 0, "close comes after everything else was answered");
                assert_eq!(self.storage.remove(&torrent), Some(true), "closed without being open");
            }
            _ => {
                assert_eq!(self.storage.get(&torrent), Some(&true), "not open: {operation:?}");
                let opening = self.jobs.values().any(|(of, exclusive)| of == &torrent && *exclusive);
                assert!(!opening, "asked before open was answered: {operation:?}");
            }
        }
        let exclusive = is_close || matches!(operation, DiskOperation::Open { .. });
        assert!(self.jobs.insert(job, (torrent, exclusive)).is_none(), "the id of a job that is under way");
    }
}
