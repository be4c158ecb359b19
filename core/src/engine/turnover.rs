//! Which connections are kept when there is room for fewer: useless ones make room for peers of which nothing is known, and if the owner
//! lowers a limit, the worst ones go.
//!
//! So that nothing flaps, only what was of no use for minutes makes room, one at a time and not often; and who had to go is not taken
//! in instead of another for an hour, unless there is room anyway.

use super::Engine;
use crate::{
    id::{ConnectionId, TorrentId},
    peer::{CloseReason, Connection, Stage, Standing},
    time::Instant,
};
use alloc::{collections::VecDeque, vec::Vec};
use core::net::IpAddr;

/// Who had to make room, and when; and when somebody may have to again.
#[derive(Debug, Default)]
pub(super) struct Turnover {
    next: Instant,
    replaced: VecDeque<(Instant, IpAddr)>,
    /// Room is being made for someone: nobody else is to take it.
    pub(super) reserved: bool,
}

/// Addresses that are remembered to have made room.
const REPLACED: usize = 1000;

/// Whether there is room for a peer that comes to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is taken in.
    Free,
    /// It is taken in until it has said what it has: a seed is worth more than a leecher that gives nothing.
    OnTrial,
    /// It is sent away.
    None,
}

/// Of so many connections one is kept for peers on trial, and none of a handful.
const PLACES: usize = 16;
/// For each upload slot, so many leechers that give us something are not given up for seeds.
const PARTNERS: usize = 2;
/// So many may always come to us without having said for which torrent.
const STRANGERS: usize = 48;
/// Fewer connections than these are too few to leave room for others.
pub(super) const HANDFUL: usize = 8;

impl Engine {
    /// Closes the worst connection, of a torrent or of all, if it is of no use, for the sake of a peer at `candidate`.
    pub(super) fn make_room(&mut self, scope: Option<TorrentId>, candidate: IpAddr) -> bool {
        let (now, config) = (self.now, &self.config);
        let next = match scope {
            Some(torrent) => self.torrents.get(torrent).map_or(Instant::MAX, |torrent| torrent.next_turnover),
            None => self.turnover.next,
        };
        if scope.is_some_and(|torrent| self.calls_within_a_handful(torrent)) {
            return false;
        }
        let replaced = &mut self.turnover.replaced;
        while replaced.front().is_some_and(|(at, _)| now.since(*at) >= config.reconnect_maximum) {
            replaced.pop_front();
        }
        if now < next || replaced.iter().any(|(_, ip)| *ip == candidate) {
            return false;
        }
        // Whether somebody is found or not: the next search is not before that.
        let next = now + config.turnover_interval;
        match scope.and_then(|torrent| self.torrents.get_mut(torrent)) {
            Some(torrent) => torrent.next_turnover = next,
            None => self.turnover.next = next,
        }
        let worst = self.standings(scope).into_iter().min().filter(|(standing, _)| standing.is_replaceable());
        let Some((_, id)) = worst else { return false };
        if let Some(connection) = self.connections.get(id) {
            self.turnover.replaced.push_back((now, connection.remote.ip().to_canonical()));
        }
        if self.turnover.replaced.len() > REPLACED {
            self.turnover.replaced.pop_front();
        }
        self.turnover.reserved = true;
        self.close(id, CloseReason::NoUse);
        self.turnover.reserved = false;
        true
    }

    /// Whether of the few places of a torrent one is taken by somebody who is only being called, and soon free if nobody answers: the only
    /// peer that can be reached is not to make room for another that cannot.
    fn calls_within_a_handful(&self, id: TorrentId) -> bool {
        let few = (self.config.limits.connections_per_torrent as usize) < HANDFUL;
        let Some(torrent) = self.torrents.get(id).filter(|_| few) else { return false };
        torrent.connections.iter().filter_map(|id| self.connections.get(*id)).any(|open| matches!(open.stage, Stage::Connecting))
    }

    /// Of those who came to us and have not said for which torrent, the one that has been silent longest goes once they are too many and it
    /// had some time: without knowing any torrent, one host could otherwise take all connections there are.
    pub(super) fn limit_strangers(&mut self) {
        let most = (self.config.limits.connections as usize / 4).max(STRANGERS);
        if self.connections.len() < most {
            return;
        }
        let stranger = |id: &ConnectionId| self.connections.get(*id).is_some_and(|open| open.torrent.is_none());
        let strangers: Vec<ConnectionId> = self.connections.keys().filter(stranger).collect();
        let since = |id: &ConnectionId| self.connections.get(*id).map(|open| open.since);
        let oldest = strangers.iter().min_by_key(|id| since(id)).filter(|_| strangers.len() >= most);
        let late = |id: &&ConnectionId| since(id).is_some_and(|since| self.now.since(since) >= self.config.handshake_timeout / 4);
        if let Some(oldest) = oldest.filter(late) {
            self.close(*oldest, CloseReason::Limit);
        }
    }

    /// Finds room for a peer at `candidate` that comes to a torrent.
    pub(super) fn place_for(&mut self, id: TorrentId, candidate: IpAddr) -> Place {
        let (now, trial) = (self.now, self.config.handshake_timeout);
        let limit = self.config.limits.connections_per_torrent as usize;
        let Some(torrent) = self.torrents.get(id) else { return Place::None };
        // Who lacks nothing needs no seed.
        let places = if torrent.metainfo().is_none() || torrent.is_finished() { 0 } else { trials(limit) };
        let taken = torrent.connections.len();
        if taken < limit - places || self.make_room(Some(id), candidate) {
            return Place::Free;
        }
        if taken < limit {
            return Place::OnTrial;
        }
        let Some(torrent) = self.torrents.get(id) else { return Place::None };
        let is_over = |id: &&ConnectionId| self.connections.get(**id).is_some_and(|open| open.on_trial && now.since(open.since) >= trial);
        let Some(silent) = torrent.connections.iter().find(is_over).copied() else { return Place::None };
        self.close(silent, CloseReason::Limit);
        Place::OnTrial
    }

    /// A peer on trial has said what it has: a seed takes the place of the worst leecher, but not of one of the best that give us something,
    /// and not if half of all are seeds that never gave us anything: who only says that it is one is to drive nobody out. Anybody else has
    /// to go.
    pub(super) fn judge(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.on_trial = false;
        let (seed, torrent) = (connection.holdings.is_seed(), connection.torrent);
        let limit = self.config.limits.connections_per_torrent as usize;
        let Some(torrent) = torrent.and_then(|torrent| self.torrents.get(torrent)) else { return };
        // Others may have left meanwhile.
        if torrent.connections.len() <= limit - trials(limit) {
            return;
        }
        let connections = || torrent.connections.iter().filter_map(|id| self.connections.get(*id));
        let promises = connections().filter(|open| open.holdings.is_seed() && open.downloaded() == 0).count();
        let leeches =
            |(_, id): &(Standing, ConnectionId)| self.connections.get(*id).is_some_and(|open| !open.on_trial && !open.holdings.is_seed());
        let torrent = torrent.id;
        let mut leechers: Vec<(Standing, ConnectionId)> = self.standings(Some(torrent)).into_iter().filter(leeches).collect();
        leechers.sort();
        let partners = leechers.len().saturating_sub(PARTNERS * self.config.limits.upload_slots as usize);
        let gives = |id: ConnectionId| self.connections.get(id).is_some_and(Connection::lets_us_ask);
        let worst = leechers.iter().enumerate().find(|(rank, (_, id))| *rank < partners || !gives(*id)).map(|(_, one)| *one);
        let Some((_, worst)) = worst.filter(|_| seed && promises <= limit / 2) else { return self.close(id, CloseReason::Limit) };
        self.turnover.reserved = true;
        self.close(worst, CloseReason::NoUse);
        self.turnover.reserved = false;
    }

    /// The owner has changed how many connections there may be: the worst ones go.
    pub(super) fn enforce_limits(&mut self) {
        let limits = self.config.limits;
        let torrents: Vec<(TorrentId, usize)> = self.torrents.iter().map(|(id, torrent)| (id, torrent.connections.len())).collect();
        let of_torrents = torrents.into_iter().map(|(id, count)| (Some(id), count, limits.connections_per_torrent));
        for (scope, count, limit) in of_torrents.collect::<Vec<_>>() {
            self.close_worst(scope, count.saturating_sub(limit as usize));
        }
        self.close_worst(None, self.connections.len().saturating_sub(limits.connections as usize));
    }

    fn close_worst(&mut self, scope: Option<TorrentId>, count: usize) {
        if count == 0 {
            return;
        }
        let mut standings = self.standings(scope);
        standings.sort();
        self.turnover.reserved = true;
        for (_, id) in standings.into_iter().take(count) {
            self.close(id, CloseReason::Limit);
        }
        self.turnover.reserved = false;
    }

    /// All connections, of a torrent or of all, and what they are worth.
    fn standings(&self, scope: Option<TorrentId>) -> Vec<(Standing, ConnectionId)> {
        let standing = |id: ConnectionId| {
            let connection = self.connections.get(id)?;
            let seeding = connection.torrent.and_then(|torrent| self.torrents.get(torrent)).is_some_and(|torrent| torrent.is_seeding());
            Some((connection.standing(self.now, seeding, &self.own_addresses, &self.config), id))
        };
        match scope {
            Some(torrent) => {
                self.torrents.get(torrent).into_iter().flat_map(|torrent| &torrent.connections).copied().filter_map(standing).collect()
            }
            None => self.connections.keys().filter_map(standing).collect(),
        }
    }

    /// What is known of our own addresses has changed: peers are tried in the order that follows from it.
    pub(super) fn own_addresses_changed(&mut self) {
        let own = self.own_addresses;
        for (_, torrent) in self.torrents.iter_mut() {
            torrent.peers.set_own(own);
        }
    }
}

/// How many of a torrent's connections are kept for peers on trial.
pub(super) fn trials(limit: usize) -> usize {
    if limit <= HANDFUL { 0 } else { limit.div_ceil(PLACES) }
}
