//! Rate limits: which connection may read or write next, and how much.
//!
//! What passes is paid for when the host is told to read or write, to the whole engine's limit and to the torrent's; what a read does
//! not bring is given back. Whoever finds too little waits: connections in their torrent's lane, torrents in the engine's, each in
//! turn. One timer a lane wakes them when there is room for a sixteenth of a second's worth.
//!
//! Reads are paid for before anyone knows whether the peer has something to say. So a read that may wait for long is a short one: it
//! doubles each time that it comes back full.
//!
//! Messages of the protocol are counted but never wait; blocks do, and each goes whole: nothing can be said in the midst of a message, and a
//! peer that gives us something is to hear at once what we ask for. Where the limit is too low for a block to be saved up in a quarter of a
//! second, it goes on credit, and nobody else has a turn until it is paid off.

use super::{Engine, timers::Timer};
use crate::{
    choices::RateLimits,
    id::{ConnectionId, TorrentId},
    peer::Withheld,
    time::Instant,
    torrent::Torrent,
    util::Lane,
};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    Download,
    Upload,
}

/// The limits of the whole engine, and the torrents that wait for them.
#[derive(Debug)]
pub(super) struct Lanes {
    download: Lane<TorrentId>,
    upload: Lane<TorrentId>,
}

/// Nobody's turn is shorter than a block and its head, as long as there is room for it.
const SLICE: u64 = 16_397;
/// What goes at once or not at all.
const fn unit(direction: Direction) -> u32 {
    match direction {
        Direction::Download => 0,
        Direction::Upload => SLICE as u32,
    }
}

/// The head of a block's message, in bytes.
pub(super) const BLOCK_HEAD: u64 = 13;
/// The shortest read, in bytes; for less nobody has a turn.
const LEAST_TURN: u64 = 64;
/// What web seeds may fetch at once, in [quanta](crate::util::TokenBucket::quantum): half a second's worth.
const BATCH: u64 = 8;

impl Lanes {
    pub(super) fn new(rates: RateLimits, now: Instant) -> Lanes {
        let mut lanes = Lanes { download: Lane::new(), upload: Lane::new() };
        lanes.set_limits(rates, now);
        lanes
    }

    fn set_limits(&mut self, rates: RateLimits, now: Instant) {
        self.download.set_limit(rates.download, unit(Direction::Download), now);
        self.upload.set_limit(rates.upload, unit(Direction::Upload), now);
    }

    fn of(&mut self, direction: Direction) -> &mut Lane<TorrentId> {
        match direction {
            Direction::Download => &mut self.download,
            Direction::Upload => &mut self.upload,
        }
    }
}

fn lane_of(torrent: &mut Torrent, direction: Direction) -> &mut Lane<ConnectionId> {
    match direction {
        Direction::Download => &mut torrent.download_lane,
        Direction::Upload => &mut torrent.upload_lane,
    }
}

impl Engine {
    // Limits

    /// The owner has changed the limits of the whole engine.
    pub(super) fn set_rates(&mut self, rates: RateLimits) {
        self.lanes.set_limits(rates, self.now);
        self.pump_rates(Direction::Download);
        self.pump_rates(Direction::Upload);
    }

    /// The owner has changed the limits of a torrent.
    pub(super) fn set_torrent_rates(&mut self, id: TorrentId, rates: RateLimits) {
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.download_lane.set_limit(rates.download, unit(Direction::Download), now);
        torrent.upload_lane.set_limit(rates.upload, unit(Direction::Upload), now);
        for direction in [Direction::Download, Direction::Upload] {
            self.list(direction, id);
            self.pump_rates(direction);
        }
    }

    /// The lane of a torrent has room again.
    pub(super) fn torrent_rate_due(&mut self, direction: Direction, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        lane_of(torrent, direction).armed = None;
        self.list(direction, id);
        self.pump_rates(direction);
    }

    /// The engine's lane has room again.
    pub(super) fn rate_due(&mut self, direction: Direction) {
        self.lanes.of(direction).armed = None;
        self.pump_rates(direction);
    }

    /// A torrent is gone.
    pub(super) fn leave_lanes(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        for direction in [Direction::Download, Direction::Upload] {
            let lane = lane_of(torrent, direction);
            self.timers.disarm(&mut lane.armed, Timer::TorrentRate(direction, id));
            if core::mem::take(&mut lane.listed) {
                self.lanes.of(direction).leave(id);
            }
        }
    }

    // Reads

    /// A connection reads on, or waits until it may.
    pub(super) fn read_at_rate(&mut self, id: ConnectionId) {
        let longest = self.config.read_limit.max(1);
        let Some((connection, torrent)) = self.pair(id) else { return self.issue_read(id, longest, 0) };
        let (torrent, doublings) = (torrent.id, connection.read_doublings);
        if !self.is_limited(Direction::Download, torrent) {
            return self.issue_read(id, longest, 0);
        }
        let want = self.wanted_read(torrent, doublings);
        let allowance = self.allowance(Direction::Download, torrent, want);
        if allowance == 0 {
            self.withhold(id, Withheld::Rate);
            return self.wait(Direction::Download, torrent, id);
        }
        self.pay(Direction::Download, torrent, allowance, 0);
        self.issue_read(id, allowance as u32, allowance as u32);
    }

    /// A read is over that was paid for `granted` bytes, or the connection is.
    pub(super) fn settle_read(&mut self, torrent: Option<TorrentId>, granted: u32, read: usize) {
        let (granted, read) = (u64::from(granted), read as u64);
        let Some(torrent) = torrent else { return self.lanes.download.settle(granted, read, self.now) };
        self.pay(Direction::Download, torrent, read, granted);
        if granted > read {
            self.list(Direction::Download, torrent);
            self.pump_rates(Direction::Download);
        }
    }

    /// How long a read is worth paying for: little as long as nobody knows whether anything comes, twice as much each time that it
    /// was too short.
    fn wanted_read(&mut self, torrent: TorrentId, doublings: u8) -> u64 {
        let longest = u64::from(self.config.read_limit.max(1));
        let all = self.connections.len() as u64;
        let Some(state) = self.torrents.get(torrent) else { return longest };
        let of_torrent = state.connections.len() as u64;
        let share = (self.lanes.download.quantum() / all.max(1)).min(state.download_lane.quantum() / of_torrent.max(1));
        share.max(LEAST_TURN).saturating_mul(1 << doublings.min(32)).min(longest)
    }

    /// It is a connection's turn to read: up to `share` bytes. Returns how many it takes.
    fn granted_read(&mut self, id: ConnectionId, share: u64) -> u64 {
        let longest = u64::from(self.config.read_limit.max(1));
        let Some((connection, torrent)) = self.pair(id) else { return 0 };
        if connection.withheld != Some(Withheld::Rate) {
            return 0;
        }
        let (torrent, doublings) = (torrent.id, connection.read_doublings);
        let limited = self.is_limited(Direction::Download, torrent);
        let granted = if limited { self.wanted_read(torrent, doublings).min(share) } else { longest };
        self.pay(Direction::Download, torrent, granted, 0);
        self.listen_again(id);
        self.issue_read(id, granted as u32, if limited { granted as u32 } else { 0 });
        granted
    }

    // Writes

    /// How many bytes of blocks, their heads included, a connection may write now: none if nothing waits, or if it has to wait for its turn;
    /// otherwise at least one block, however long.
    pub(super) fn write_allowance(&mut self, id: ConnectionId) -> u64 {
        let now = self.now;
        let Some((connection, torrent)) = self.pair(id) else { return 0 };
        if connection.writing || !connection.is_open() {
            return 0;
        }
        let Some(upload) = &mut connection.upload else { return 0 };
        let want = upload.sendable(now);
        if want == 0 || upload.waits {
            return 0;
        }
        let torrent = torrent.id;
        if !self.is_limited(Direction::Upload, torrent) {
            return u64::MAX;
        }
        let allowance = self.allowance(Direction::Upload, torrent, want + BLOCK_HEAD);
        if allowance == 0 {
            if let Some(upload) = self.connections.get_mut(id).and_then(|connection| connection.upload.as_mut()) {
                upload.waits = true;
            }
            self.wait(Direction::Upload, torrent, id);
        }
        allowance
    }

    /// It is a connection's turn to write: blocks of up to `share` bytes, but at least one. Returns how many bytes go out.
    fn granted_write(&mut self, id: ConnectionId, share: u64) -> u64 {
        let Some(upload) = self.connections.get_mut(id).and_then(|connection| connection.upload.as_mut()) else { return 0 };
        upload.waits = false;
        self.flush_with(id, share)
    }

    /// `bytes` go out to a peer.
    pub(super) fn count_upload(&mut self, torrent: TorrentId, bytes: usize) {
        self.pay(Direction::Upload, torrent, bytes as u64, 0);
    }

    // Web seeds

    /// How many bytes a torrent may begin to fetch now from elsewhere than a peer, or when to ask again. What it begins to fetch it pays
    /// for by [`Engine::pay_download`].
    ///
    /// It is half a second's worth for all downloads from web seeds together, since all that was paid for may come at one moment; but at
    /// least a quantum for each.
    pub(super) fn may_download(&mut self, torrent: TorrentId) -> Result<u64, Instant> {
        let now = self.now;
        if !self.is_limited(Direction::Download, torrent) {
            return Ok(u64::MAX);
        }
        // Those of other torrents count if one limit is for all.
        let all = self.lanes.download.is_limited();
        let granted = |(id, place): &(TorrentId, u32)| Some(self.torrents.get(*id)?.web_seeds.get(*place as usize)?.granted);
        let fetches = self.fetches.iter().map(|(_, fetch)| fetch).filter(|(id, _)| all || *id == torrent);
        let under_way: u64 = fetches.filter_map(granted).sum();
        let Some(state) = self.torrents.get_mut(torrent) else { return Err(Instant::MAX) };
        let lane = &mut state.download_lane;
        let ready = lane.ready_at(now).max(self.lanes.download.ready_at(now));
        let quantum = lane.quantum().min(self.lanes.download.quantum());
        let batch = quantum.saturating_mul(BATCH).saturating_sub(under_way).max(quantum);
        if ready <= now { Ok(batch) } else { Err(ready) }
    }

    /// `passed` bytes come from elsewhere than a peer, for which `paid` were taken before. They count, whatever the limit.
    pub(super) fn pay_download(&mut self, torrent: TorrentId, passed: u64, paid: u64) {
        self.pay(Direction::Download, torrent, passed, paid);
        if paid > passed {
            self.list(Direction::Download, torrent);
            self.pump_rates(Direction::Download);
        }
    }

    // Turns

    /// Whoever waits gets what there is, each torrent and each of its connections in turn.
    fn pump_rates(&mut self, direction: Direction) {
        let now = self.now;
        let lane = self.lanes.of(direction);
        if lane.waiting() == 0 {
            return;
        }
        if lane.is_ready(now) {
            let turn = (lane.available(now) / lane.waiting() as u64).max(SLICE);
            while self.has_room(direction, None)
                && let Some(torrent) = self.lanes.of(direction).next()
            {
                self.serve_torrent(direction, torrent, turn);
            }
        }
        self.arm_lane(direction);
    }

    /// A torrent's turn: its connections get up to `turn` bytes.
    fn serve_torrent(&mut self, direction: Direction, id: TorrentId, turn: u64) {
        if let Some(torrent) = self.torrents.get_mut(id) {
            lane_of(torrent, direction).listed = false;
        }
        // Of what remains of a turn there is no block.
        let least = if direction == Direction::Upload { SLICE } else { LEAST_TURN };
        let mut left = turn;
        loop {
            let room = self.room(direction, id).min(left);
            if left < least || !self.has_room(direction, Some(id)) {
                break;
            }
            let Some(torrent) = self.torrents.get_mut(id) else { return };
            let lane = lane_of(torrent, direction);
            let share = (room / lane.waiting().max(1) as u64).max(SLICE).min(room);
            let Some(connection) = lane.next() else { break };
            let used = match direction {
                Direction::Download => self.granted_read(connection, share),
                Direction::Upload => self.granted_write(connection, share),
            };
            left = left.saturating_sub(used);
        }
        self.list(direction, id);
    }

    /// Whether there is room for somebody's turn in the engine's lane, and in that of a torrent.
    fn has_room(&mut self, direction: Direction, id: Option<TorrentId>) -> bool {
        let now = self.now;
        let all = self.lanes.of(direction);
        let of_torrent = id.and_then(|id| self.torrents.get_mut(id)).map(|torrent| lane_of(torrent, direction));
        match direction {
            Direction::Download => all.available(now) >= LEAST_TURN && of_torrent.is_none_or(|lane| lane.available(now) >= LEAST_TURN),
            Direction::Upload => all.is_ready(now) && of_torrent.is_none_or(|lane| lane.is_ready(now)),
        }
    }

    /// Up to `want` bytes, if they are there and nobody was here before.
    fn allowance(&mut self, direction: Direction, id: TorrentId, want: u64) -> u64 {
        let room = self.room(direction, id);
        let now = self.now;
        let all = self.lanes.of(direction);
        let (all_wait, all_quantum, all_may) = (all.waiting() > 0 && all.is_limited(), all.quantum(), all.may_pass(want, now));
        let Some(torrent) = self.torrents.get_mut(id) else { return 0 };
        let lane = lane_of(torrent, direction);
        let is_room = match direction {
            Direction::Download => room >= want.min(lane.quantum()).min(all_quantum),
            Direction::Upload => all_may && lane.may_pass(want, now),
        };
        if all_wait || lane.waiting() > 0 || !is_room { 0 } else { room.min(want) }
    }

    /// Bytes that both limits let pass.
    fn room(&mut self, direction: Direction, id: TorrentId) -> u64 {
        let now = self.now;
        let room = self.lanes.of(direction).available(now);
        self.torrents.get_mut(id).map_or(0, |torrent| lane_of(torrent, direction).available(now)).min(room)
    }

    fn is_limited(&mut self, direction: Direction, id: TorrentId) -> bool {
        self.lanes.of(direction).is_limited() || self.torrents.get_mut(id).is_some_and(|torrent| lane_of(torrent, direction).is_limited())
    }

    /// `passed` bytes go by for which `paid` were taken before.
    fn pay(&mut self, direction: Direction, id: TorrentId, passed: u64, paid: u64) {
        let now = self.now;
        self.lanes.of(direction).settle(paid, passed, now);
        if let Some(torrent) = self.torrents.get_mut(id) {
            lane_of(torrent, direction).settle(paid, passed, now);
        }
    }

    fn wait(&mut self, direction: Direction, torrent: TorrentId, id: ConnectionId) {
        if let Some(torrent) = self.torrents.get_mut(torrent) {
            lane_of(torrent, direction).wait(id);
        }
        self.list(direction, torrent);
    }

    /// Lets a torrent whose connections wait stand in the engine's lane, or first wait for its own.
    fn list(&mut self, direction: Direction, id: TorrentId) {
        let (now, soonest) = (self.now, self.soonest());
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let lane = lane_of(torrent, direction);
        if lane.waiting() == 0 || lane.listed {
            return;
        }
        let ready = lane.ready_at(now);
        if ready > now {
            if ready < Instant::MAX {
                self.timers.arm(&mut lane.armed, Timer::TorrentRate(direction, id), ready.max(soonest));
            }
            return;
        }
        lane.listed = true;
        self.lanes.of(direction).wait(id);
        self.arm_lane(direction);
    }

    fn arm_lane(&mut self, direction: Direction) {
        let (now, soonest) = (self.now, self.soonest());
        let lane = match direction {
            Direction::Download => &mut self.lanes.download,
            Direction::Upload => &mut self.lanes.upload,
        };
        if lane.waiting() == 0 {
            return;
        }
        let ready = lane.ready_at(now);
        if ready < Instant::MAX {
            self.timers.arm(&mut lane.armed, Timer::Rate(direction), ready.max(soonest));
        }
    }

    /// A connection that waited for either is gone.
    pub(super) fn leave_lane_of(&mut self, torrent: TorrentId, id: ConnectionId, reads: bool, writes: bool) {
        let Some(torrent) = self.torrents.get_mut(torrent) else { return };
        if reads {
            torrent.download_lane.leave(id);
        }
        if writes {
            torrent.upload_lane.leave(id);
        }
    }
}
