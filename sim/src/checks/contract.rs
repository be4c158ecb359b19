use super::{Finding, Invariant, check};
use crate::network::End;
use rustor_core::{
    action::Action,
    config::Config,
    event::Event,
    id::{ConnectionId, DiskJobId, FetchId, HttpId, TorrentId},
    input::Input,
    storage::DiskOperation,
};
use std::collections::{BTreeMap, BTreeSet};

/// Checks what one engine says against what its contract promises, and keeps its connections for the host.
#[derive(Debug, Default)]
pub(crate) struct Contract {
    /// By the index of their ids: the last generation that was seen, and the connection while it is open.
    lines: Vec<(u64, Option<Line>)>,
    /// How many are open, and how many of them do not stand yet.
    open: u32,
    half_open: u32,
    jobs: BTreeMap<DiskJobId, (TorrentId, Job)>,
    requests: BTreeSet<HttpId>,
    /// What is fetched from web seeds, and what its host has to answer.
    fetches: BTreeMap<FetchId, Fetching>,
    /// Torrents whose files are open; `false` once they are being closed.
    storage: BTreeMap<TorrentId, bool>,
    removed: BTreeSet<TorrentId>,
    shut_down: bool,
}

/// One connection of an engine.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) id: ConnectionId,
    /// Its end of the stream, once there is one.
    pub(crate) end: Option<End>,
    pub(crate) witness: super::wire::Witness,
    connecting: bool,
    /// A read is under way: the engine has taken in all that came before.
    pub(crate) reading: bool,
    pub(crate) writing: bool,
}

impl Line {
    /// Nothing keeps the engine from saying what it has to say.
    pub(crate) fn may_speak(&self) -> bool {
        !self.writing && !self.witness.is_cut()
    }
}

/// What a disk job does, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    /// Nothing else is under way for its torrent.
    Alone,
    Reads,
    Verifies,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetching {
    Opening,
    Open,
    Reading,
}

/// How many bytes an engine with this configuration hands out for one connection at once, at most: blocks for a quarter of a second, of which
/// the last is not cut; all requests, cancels, haves and rejects that may be due; parts of metadata, and what is said once.
fn longest_write(config: &Config, pieces: u32) -> usize {
    const BLOCKS: usize = 256 << 10;
    const METADATA: usize = (128 << 10) + (16 << 10);
    const MESSAGES: usize = 8192;
    const REST: usize = 16 << 10;
    let requests = config.request_maximum.max(config.request_initial).max(config.request_minimum) as usize;
    let blocks = BLOCKS + config.upload_block_limit as usize + 13 * most_waiting(config);
    blocks + 2 * 17 * requests + (17 + 2 * 9) * MESSAGES + METADATA + pieces as usize / 8 + REST
}

/// How many requests of one peer an engine keeps, at most: of one that takes nothing four times as many as it tells.
pub(crate) fn most_waiting(config: &Config) -> usize {
    4 * config.upload_queue_limit as usize + 1
}

impl Contract {
    /// The connection with this id, while it is open.
    pub(crate) fn line(&mut self, id: ConnectionId) -> Option<&mut Line> {
        self.lines.get_mut(id.index())?.1.as_mut().filter(|line| line.id == id)
    }

    /// The same, only to look at it.
    pub(crate) fn find(&self, id: ConnectionId) -> Option<&Line> {
        self.lines.get(id.index())?.1.as_ref().filter(|line| line.id == id)
    }

    /// Whether the disk reads something for the engine.
    pub(crate) fn reads_from_disk(&self) -> bool {
        self.jobs.values().any(|(_, job)| *job == Job::Reads)
    }

    /// All open connections.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter_map(|(_, line)| line.as_ref())
    }

    /// How many connections were open at once, at most.
    pub(crate) fn lines_at_most(&self) -> usize {
        self.lines.len()
    }

    /// Takes a connection out that was closed.
    pub(crate) fn close(&mut self, id: ConnectionId) -> Option<Line> {
        let half_open = self.line(id)?.connecting;
        self.open -= 1;
        self.half_open -= u32::from(half_open);
        self.lines.get_mut(id.index())?.1.take()
    }

    /// What an engine with this configuration, and a torrent of so many pieces, wants done.
    pub(crate) fn action(&mut self, action: &Action, config: &Config, pieces: u32) -> Finding {
        use Invariant::{BoundedBuffers, Contract};
        check(!self.shut_down, Contract, || format!("after the shutdown: {action:?}"))?;
        match action {
            Action::Connect { connection, .. } => self.opens(*connection, true, config),
            Action::Accept { connection, .. } => self.opens(*connection, false, config),
            Action::Read { connection, limit } => {
                check(*limit <= config.read_limit.max(1), BoundedBuffers, || format!("a read of {limit} bytes"))?;
                let line = self.open_line(*connection, action)?;
                check(!line.connecting && *limit > 0, Contract, || format!("a read on a stream that does not stand: {action:?}"))?;
                check(!std::mem::replace(&mut line.reading, true), Contract, || format!("a second read: {action:?}"))
            }
            Action::Write { connection, buffers } => {
                let line = self.open_line(*connection, action)?;
                check(!line.connecting, Contract, || format!("a write on a stream that does not stand: {connection:?}"))?;
                check(!std::mem::replace(&mut line.writing, true), Contract, || format!("a second write: {connection:?}"))?;
                let whole = !buffers.is_empty() && buffers.iter().all(|buffer| !buffer.is_empty());
                check(whole, Contract, || format!("an empty write: {connection:?}"))?;
                let length = buffers.iter().map(|buffer| buffer.len()).sum::<usize>();
                check(length <= longest_write(config, pieces), BoundedBuffers, || format!("{length} bytes in one write"))
            }
            Action::Close { connection } => self.open_line(*connection, action).map(drop),
            Action::Disk { job, torrent, operation } => self.disk(*job, *torrent, operation, config),
            Action::Http { request, body_limit, .. } => {
                check(*body_limit <= config.tracker_body_limit, BoundedBuffers, || format!("an answer of {body_limit} bytes"))?;
                check(self.requests.insert(*request), Contract, || "the id of a request that is under way".to_owned())
            }
            Action::Fetch { fetch, .. } => {
                let fresh = self.fetches.insert(*fetch, Fetching::Opening).is_none();
                check(fresh, Contract, || "the id of a fetch that is under way".to_owned())
            }
            Action::FetchRead { fetch, limit } => {
                check(*limit <= config.read_limit.max(1), BoundedBuffers, || format!("a read of {limit} bytes of a file"))?;
                let before = self.fetches.insert(*fetch, Fetching::Reading);
                check(before == Some(Fetching::Open) && *limit > 0, Contract, || format!("a read of a fetch that is {before:?}"))
            }
            Action::FetchCancel { fetch } => {
                self.fetches.remove(fetch);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn input(&mut self, input: &Input) {
        match input {
            Input::Connected { connection, .. } => {
                let connecting = self.line(*connection).is_some_and(|line| std::mem::take(&mut line.connecting));
                self.half_open -= u32::from(connecting);
            }
            Input::Read { connection, .. } => self.line(*connection).into_iter().for_each(|line| line.reading = false),
            Input::Written { connection, .. } => self.line(*connection).into_iter().for_each(|line| line.writing = false),
            Input::Disk { job, .. } => drop(self.jobs.remove(job)),
            Input::Http { request, .. } => drop(self.requests.remove(request)),
            Input::FetchHead { fetch, result: Err(_) } | Input::FetchBody { fetch, result: Err(_) } => drop(self.fetches.remove(fetch)),
            Input::FetchBody { fetch, result: Ok(buffer) } if buffer.data.is_empty() => drop(self.fetches.remove(fetch)),
            Input::FetchHead { fetch, .. } | Input::FetchBody { fetch, .. } => {
                self.fetches.entry(*fetch).and_modify(|state| *state = Fetching::Open);
            }
            _ => {}
        }
    }

    pub(crate) fn event(&mut self, event: &Event) -> Finding {
        let contract = |holds: bool, what: &str| check(holds, Invariant::Contract, || what.to_owned());
        match event {
            Event::Removed { torrent } => {
                contract(self.removed.insert(*torrent), "removed twice")?;
                contract(!self.storage.contains_key(torrent), "removed while its files are still open")?;
                contract(self.jobs.values().all(|(of, _)| of != torrent), "removed while disk jobs are still under way")
            }
            Event::ShutDown => {
                contract(!std::mem::replace(&mut self.shut_down, true), "shut down twice")?;
                let idle = self.lines().next().is_none() && self.fetches.is_empty() && self.storage.is_empty() && self.jobs.is_empty();
                contract(idle, "shut down while something is open")
            }
            _ => Ok(()),
        }
    }

    fn opens(&mut self, id: ConnectionId, connecting: bool, config: &Config) -> Finding {
        if self.lines.len() <= id.index() {
            self.lines.reserve_exact(id.index() + 1 - self.lines.len());
            self.lines.resize_with(id.index() + 1, Default::default);
        }
        let (next, line) = &mut self.lines[id.index()];
        let generation = id.to_bits() >> 32;
        check(line.is_none() && generation >= *next, Invariant::Contract, || format!("an id that was used before: {id:?}"))?;
        *next = generation + 1;
        *line = Some(Line { id, end: None, witness: super::wire::Witness::default(), connecting, reading: false, writing: false });
        self.open += 1;
        self.half_open += u32::from(connecting);
        let (open, half_open) = (self.open, self.half_open);
        let bounded = open <= config.limits.connections && half_open <= config.half_open_limit;
        check(bounded, Invariant::BoundedBuffers, || format!("{open} connections, of which {half_open} do not stand yet"))
    }

    fn open_line(&mut self, id: ConnectionId, action: &Action) -> Result<&mut Line, (Invariant, String)> {
        let what = match action {
            Action::Read { .. } => "a read",
            Action::Write { .. } => "a write",
            _ => "a close",
        };
        self.line(id).ok_or_else(|| (Invariant::ClosedConnection, format!("{what} on connection {id:?}, which is not open")))
    }

    fn disk(&mut self, job: DiskJobId, torrent: TorrentId, operation: &DiskOperation, config: &Config) -> Finding {
        let contract = |holds: bool, what: &str| check(holds, Invariant::Contract, || format!("{what}: torrent {torrent:?}"));
        contract(!self.removed.contains(&torrent), "a job for a torrent that is gone")?;
        let others = self.jobs.values().filter(|(of, _)| *of == torrent).count();
        let mut kind = Job::Other;
        match operation {
            DiskOperation::Open { .. } => {
                kind = Job::Alone;
                contract(others == 0, "opened before everything from before was answered")?;
                contract(self.storage.insert(torrent, true) != Some(false), "opened while being closed")?;
            }
            DiskOperation::Close { .. } => {
                kind = Job::Alone;
                contract(others == 0, "closed before everything else was answered")?;
                contract(self.storage.remove(&torrent) == Some(true), "closed without being open")?;
            }
            _ => {
                contract(self.storage.get(&torrent) == Some(&true), "a job for files that are not open")?;
                let of_this = |what: Job| self.jobs.values().filter(move |(of, job)| *of == torrent && *job == what).count();
                contract(of_this(Job::Alone) == 0, "a job before opening was answered")?;
                let bounded =
                    |holds: bool| check(holds, Invariant::BoundedBuffers, || format!("a disk job too large, or too many: {operation:?}"));
                match operation {
                    DiskOperation::Read { length, .. } => {
                        kind = Job::Reads;
                        bounded(*length <= config.upload_read_limit.max(config.upload_block_limit))?;
                    }
                    DiskOperation::Verify { .. } => {
                        kind = Job::Verifies;
                        bounded((of_this(kind) as u32) < config.checking_jobs.max(1))?;
                    }
                    _ => {}
                }
            }
        }
        contract(self.jobs.insert(job, (torrent, kind)).is_none(), "the id of a job that is under way")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_are_those_of_the_configuration() {
        let config = Config {
            read_limit: 1000,
            half_open_limit: 1,
            request_maximum: 4,
            request_initial: 4,
            upload_queue_limit: 10,
            ..Config::default()
        };
        let [connection, other, third] = [0, 1, 2].map(ConnectionId::from_bits);
        let mut contract = Contract::default();
        let mut does = |action: Action| contract.action(&action, &config, 100).err().map(|(invariant, _)| invariant);
        let remote = std::net::SocketAddr::from(([10, 0, 0, 1], 1));
        assert_eq!(does(Action::Accept { incoming: rustor_core::id::IncomingId(1), connection }), None);
        assert_eq!(does(Action::Read { connection, limit: 1001 }), Some(Invariant::BoundedBuffers));
        assert_eq!(does(Action::Read { connection, limit: 1000 }), None);
        let bytes = |length: usize| vec![vec![0; length].into()];
        assert_eq!(does(Action::Write { connection, buffers: bytes(longest_write(&config, 100)) }), None);
        assert_eq!(does(Action::Connect { connection: other, remote }), None);
        assert_eq!(does(Action::Connect { connection: third, remote }), Some(Invariant::BoundedBuffers));
        contract.input(&Input::Written { connection, result: Ok(()) });
        let buffers = bytes(longest_write(&config, 100) + 1);
        let finding = contract.action(&Action::Write { connection, buffers }, &config, 100);
        assert_eq!(finding.err().map(|(invariant, _)| invariant), Some(Invariant::BoundedBuffers));
    }
}
