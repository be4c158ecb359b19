use super::{
    Engine,
    timers::Timer,
    turnover::{HANDFUL, Place, trials},
};
use crate::{
    action::Action,
    error::StreamError,
    event::Event,
    id::{ConnectionId, IncomingId, TorrentId},
    input::ReadBuffer,
    metainfo::InfoHash,
    peer::{CloseReason, Connection, Extended, Holdings, ProtocolError, Stage, Withheld},
    time::Duration,
    torrent::{SourceId, Suggesting, Torrent, canonical},
    util::Bitfield,
    wire::{Handshake, Limits},
};
use alloc::{boxed::Box, vec::Vec};
use bytes::Bytes;
use core::net::SocketAddr;

/// Two connections to the same peer that were begun within this time of each other crossed on the way.
const CROSSING: Duration = Duration::from_secs(5);

/// How often a leecher that has many connections calls another peer.
const UNHURRIED: Duration = Duration::from_secs(2);

impl Engine {
    // Opening

    /// Opens connections for a torrent, as far as it wants more, knows whom to try, and the limits allow.
    pub(super) fn connect_peers(&mut self, id: TorrentId) {
        let limits = self.config.limits;
        let limit = limits.connections_per_torrent as usize;
        // If everybody called others until they have as many as they may, newcomers would find no room with anybody but newcomers, and
        // whoever lacks one would call all the others in turn. So it is done slowly from here on.
        let many = (limit - limit / 4).max(limit.min(HANDFUL));
        let mut replaces = false;
        while let Some(torrent) = self.torrents.get_mut(id).filter(|torrent| torrent.takes_peers() && !self.shutting_down) {
            if torrent.peers.next_deadline().is_none_or(|at| at > self.now) {
                break;
            }
            let finished = torrent.is_finished();
            if self.half_open >= self.config.half_open_limit {
                self.wanting.insert(id);
                return;
            }
            let taken = torrent.connections.len();
            let beyond = torrent.connected_at.filter(|_| taken >= many && !finished).map(|at| at + UNHURRIED);
            let torrent_full = taken >= if finished { many } else { limit - trials(limit) } && !replaces;
            if let Some(at) = beyond.filter(|at| *at > self.now && !torrent_full && !replaces) {
                torrent.room_due = Some(torrent.room_due.map_or(at, |due| due.min(at)));
                self.wanting.insert(id);
                return;
            }
            if torrent_full || self.connections.len() >= limits.connections as usize {
                let candidate = torrent.peers.peek(self.now, finished);
                let scope = torrent_full.then_some(id);
                if candidate.is_some_and(|candidate| self.make_room(scope, candidate.ip())) {
                    replaces = true;
                    continue;
                }
                self.wanting.insert(id);
                if let Some(torrent) = self.torrents.get_mut(id).filter(|_| candidate.is_some()) {
                    torrent.room_due.get_or_insert(self.now + self.config.turnover_interval);
                }
                return;
            }
            if torrent.next_connect() > self.now {
                break;
            }
            let Some(remote) = torrent.peers.next(self.now, finished) else { break };
            (torrent.connected_at, replaces) = (Some(self.now), false);
            let connection = self.connections.insert(Connection::outgoing(self.now, remote, id));
            torrent.connections.insert(connection);
            self.half_open += 1;
            self.actions.push_back(Action::Connect { connection, remote });
            self.arm_connection(connection);
        }
        self.wanting.remove(&id);
    }

    /// Room has become free: lets the torrents that found none try again, each in turn, until there is none.
    pub(super) fn connect_wanting(&mut self) {
        let mut waiting = core::mem::take(&mut self.wanting);
        let after = waiting.split_off(&self.wanting_next);
        let mut turns = after.into_iter().chain(waiting);
        for id in turns.by_ref() {
            self.connect_peers(id);
            self.arm_torrent(id);
            // With thousands of torrents it matters that the others are not asked in vain, and that they come first next time.
            let full = self.half_open >= self.config.half_open_limit || self.connections.len() >= self.config.limits.connections as usize;
            if full && self.wanting.contains(&id) {
                break;
            }
        }
        if let Some(next) = turns.next() {
            self.wanting_next = next;
            self.wanting.insert(next);
        }
        self.wanting.extend(turns);
    }

    pub(super) fn on_connected(&mut self, id: ConnectionId, result: Result<(), StreamError>) {
        let Some(connection) = self.connections.get_mut(id).filter(|connection| matches!(connection.stage, Stage::Connecting)) else {
            return;
        };
        self.half_open = self.half_open.saturating_sub(1);
        // From here on it counts as standing, so that closing it does not count it as half open again.
        connection.stage = Stage::Handshake(Box::default());
        if let Err(error) = result {
            return self.close(id, CloseReason::Stream(error));
        }
        (connection.since, connection.last_received, connection.last_sent) = (self.now, self.now, self.now);
        connection.handshake_due = true;
        self.mark_dirty(id);
        self.read(id);
        self.arm_connection(id);
        self.connect_wanting();
    }

    pub(super) fn on_incoming(&mut self, incoming: IncomingId, remote: SocketAddr) {
        self.limit_strangers();
        let full = self.connections.len() >= self.config.limits.connections as usize;
        if self.shutting_down || (full && !self.make_room(None, remote.ip().to_canonical())) {
            self.actions.push_back(Action::Refuse { incoming });
            return;
        }
        let connection = self.connections.insert(Connection::incoming(self.now, canonical(remote)));
        self.actions.push_back(Action::Accept { incoming, connection });
        self.read(connection);
        self.arm_connection(connection);
    }

    // Reading

    /// Asks for the next bytes, unless blocks wait for the disk already and it has work to do. Handshakes bring no blocks.
    pub(super) fn read(&mut self, id: ConnectionId) {
        let is_full = self.budget_is_used_up();
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.reading || connection.withheld.is_some() {
            return;
        }
        if !connection.is_open() {
            return self.issue_read(id, self.config.read_limit.max(1), 0);
        }
        if connection.asks_too_much(self.now, &self.config) {
            return self.withhold(id, Withheld::Requests);
        }
        if is_full {
            self.withheld.push_back(id);
            return self.withhold(id, Withheld::Disk);
        }
        self.read_at_rate(id);
    }

    /// Has the host read, of which `granted` bytes are paid for.
    pub(super) fn issue_read(&mut self, id: ConnectionId, limit: u32, granted: u32) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        (connection.reading, connection.read_granted) = (true, granted);
        self.actions.push_back(Action::Read { connection: id, limit });
    }

    /// Nothing is read from a peer for a while, and that is not its doing.
    pub(super) fn withhold(&mut self, id: ConnectionId, reason: Withheld) {
        let now = self.now;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.withhold(now, reason);
        }
        if reason == Withheld::Requests {
            self.arm_connection(id);
        }
    }

    /// What a peer was not heard for is over.
    pub(super) fn listen_again(&mut self, id: ConnectionId) {
        let now = self.now;
        if let Some(connection) = self.connections.get_mut(id) {
            connection.listen_again(now);
            self.arm_connection(id);
        }
    }

    /// The disk has taken blocks in: whoever waited for that may read again.
    pub(super) fn release_blocks(&mut self, charge: u64) {
        self.blocks_held = self.blocks_held.saturating_sub(charge);
        if self.budget_is_used_up() {
            return;
        }
        for id in core::mem::take(&mut self.withheld) {
            self.listen_again(id);
            self.read(id);
        }
        for torrent in core::mem::take(&mut self.withheld_web_seeds) {
            self.pump_web_seeds(torrent);
        }
    }

    pub(super) fn on_read(&mut self, id: ConnectionId, result: Result<ReadBuffer, StreamError>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.reading = false;
        let granted = core::mem::take(&mut connection.read_granted);
        let torrent = connection.torrent;
        let came = result.as_ref().map_or(0, |buffer| buffer.data.len());
        connection.read_came(granted, came);
        self.settle_read(torrent, granted, came);
        let Some(connection) = self.connections.get_mut(id) else { return };
        let ReadBuffer { mut data, allocation } = match result {
            Ok(buffer) if buffer.data.is_empty() => return self.close(id, CloseReason::ClosedByPeer),
            Ok(buffer) => buffer,
            Err(error) => return self.close(id, CloseReason::Stream(error)),
        };
        connection.last_received = self.now;
        let length = data.len() as u64;
        if let Stage::Handshake(decoder) = &mut connection.stage {
            match decoder.push(&mut data) {
                Ok(None) => {
                    let asked_for = decoder.info_hash();
                    return self.handshake_begun(id, asked_for);
                }
                Ok(Some(handshake)) => self.handshake(id, &handshake),
                Err(error) => return self.close(id, CloseReason::Protocol(ProtocolError::Wire(error))),
            }
        }
        // What a block costs the budget, for each of its bytes: its share of the whole allocation, in 1/256.
        let share = (u64::from(allocation).max(length) << 8) / length;
        self.listen(id, data, share);
    }

    /// Takes in what a peer says, and reads on.
    fn listen(&mut self, id: ConnectionId, data: Bytes, share: u64) {
        let was_interested = self.connections.get(id).is_some_and(|connection| connection.peer_interested);
        self.messages(id, data, share);
        let rejected = |connection: &mut Connection| {
            let freed = connection.download.as_mut().is_some_and(|download| core::mem::take(&mut download.freed));
            connection.torrent.filter(|_| freed)
        };
        if let Some(torrent) = self.connections.get_mut(id).and_then(rejected) {
            self.blocks_freed(torrent, true);
        }
        if let Some(connection) = self.connections.get_mut(id) {
            if connection.decoder.pending_piece().is_some()
                && let Some(download) = &mut connection.download
            {
                download.progressed(self.now);
            }
            // Who comes while a slot is free need not wait for the next round. Once a read: interest may flap in between.
            let comes = connection.torrent.filter(|_| connection.peer_interested && !was_interested);
            self.mark_dirty(id);
            self.read(id);
            if let Some(torrent) = comes {
                self.fill_slots(torrent);
            }
        }
    }

    /// A peer that had asked for too much has taken some of it: goes on with what it said after that.
    pub(super) fn listen_on(&mut self, id: ConnectionId) {
        let (now, config) = (self.now, &self.config);
        let resumes = |open: &&Connection| open.withheld == Some(Withheld::Requests) && !open.asks_too_much(now, config);
        if self.connections.get(id).filter(resumes).is_some() {
            self.listen_again(id);
            // What the read was that brought these bytes is forgotten; blocks are rare behind so many requests.
            self.listen(id, Bytes::new(), 1 << 8);
        }
    }

    fn messages(&mut self, id: ConnectionId, data: Bytes, share: u64) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.decoder.push(data);
        while let Some(connection) = self.connections.get_mut(id) {
            if connection.asks_too_much(self.now, &self.config) {
                // The rest stays in the decoder.
                return;
            }
            match connection.decoder.next() {
                Ok(Some(message)) => {
                    if let Err(error) = self.message(id, message, share) {
                        return self.close(id, CloseReason::Protocol(error));
                    }
                }
                Ok(None) => return,
                Err(error) => return self.close(id, CloseReason::Protocol(ProtocolError::Wire(error))),
            }
        }
    }

    // Handshake

    /// A part of a handshake came. If it names a torrent that we do not have, there is nothing to wait for; if it names one that we
    /// have, the answer need not wait for the peer id.
    fn handshake_begun(&mut self, id: ConnectionId, info_hash: Option<InfoHash>) {
        if let Some(info_hash) = info_hash
            && !self.assign(id, info_hash)
        {
            return;
        }
        self.read(id);
    }

    /// Binds an incoming connection to the torrent it asks for, and checks what an outgoing one answered. Closes it and says `false`
    /// where that is impossible.
    fn assign(&mut self, id: ConnectionId, info_hash: InfoHash) -> bool {
        let known = self.by_info_hash.get(&info_hash).copied();
        let Some(connection) = self.connections.get_mut(id) else { return false };
        if connection.torrent.is_some() {
            let right = connection.torrent == known;
            if !right {
                self.close(id, CloseReason::Protocol(ProtocolError::WrongTorrent));
            }
            return right;
        }
        let remote = connection.remote;
        let welcome = |torrent: &&Torrent| torrent.takes_peers() && !torrent.peers.is_banned(remote);
        let welcome = known.filter(|known| self.torrents.get(*known).filter(welcome).is_some());
        let place = welcome.map(|known| self.place_for(known, remote.ip()));
        let Some(connection) = self.connections.get_mut(id) else { return false };
        let torrent = known.and_then(|known| self.torrents.get_mut(known)).filter(|torrent| torrent.takes_peers());
        let reason = match torrent {
            None => CloseReason::UnknownTorrent,
            Some(torrent) if torrent.peers.is_banned(connection.remote) => CloseReason::Banned,
            Some(_) if place == Some(Place::None) => CloseReason::Limit,
            Some(torrent) => {
                torrent.connections.insert(id);
                connection.torrent = known;
                connection.on_trial = place == Some(Place::OnTrial);
                connection.handshake_due = true;
                self.mark_dirty(id);
                return true;
            }
        };
        self.close(id, reason);
        false
    }

    fn handshake(&mut self, id: ConnectionId, handshake: &Handshake) {
        if !self.assign(id, handshake.info_hash) {
            return;
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return };
        if handshake.peer_id == self.peer_id {
            if !connection.incoming {
                torrent.peers.is_ourselves(connection.remote);
            }
            return self.close(id, CloseReason::Ourselves);
        }
        let (incoming, remote, since) = (connection.incoming, connection.remote, connection.since);
        // Of two connections with the same peer one is kept. If they crossed, both sides must keep the same one: that which the
        // side with the greater peer id has opened. Otherwise the older one stays.
        let other = torrent.connections.iter().copied().find(|other| {
            let twin = self.connections.get(*other);
            *other != id && twin.is_some_and(|twin| twin.is_open() && twin.peer_id == handshake.peer_id)
        });
        if let Some(other) = other {
            let crossed = self.connections.get(other).is_some_and(|twin| twin.incoming != incoming && since.since(twin.since) < CROSSING);
            let ours_wins = self.peer_id > handshake.peer_id;
            if !crossed || ours_wins == incoming {
                self.close(id, CloseReason::Duplicate);
                // Where the other came from may have become known by this one.
                return self.listens(other);
            }
            self.close(other, CloseReason::Duplicate);
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return };
        connection.peer_id = handshake.peer_id;
        connection.is_fast = handshake.reserved.fast();
        connection.stage = Stage::Open;
        connection.since = self.now;
        connection.choke_changed = self.now;
        if torrent.metainfo().is_some() {
            connection.decoder.set_limits(Limits::default().for_pieces(torrent.geometry.piece_count()));
        }
        connection.extended = handshake.reserved.extension().then(|| Box::new(Extended::new()));
        connection.greeting_due = true;
        connection.holdings = Holdings::Some(Bitfield::new(torrent.geometry.piece_count()));
        torrent.picker.peer_joined(connection.holdings.view());
        connection.have_cursor = torrent.have_announced;
        torrent.open += 1;
        let torrent_id = torrent.id;
        if !incoming {
            torrent.peers.succeeded(remote);
            self.listens(id);
        }
        let torrent = torrent_id;
        self.event(Event::PeerConnected { torrent, remote });
        self.pose_to(id);
        self.mark_dirty(id);
        self.arm_connection(id);
    }

    // Closing

    /// Ends a connection, whatever its stage, and gives back all that it held.
    pub(super) fn close(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(mut connection) = self.connections.remove(id) else { return };
        self.timers.disarm(&mut connection.armed, Timer::Connection(id));
        self.actions.push_back(Action::Close { connection: id });
        if matches!(connection.stage, Stage::Connecting) {
            self.half_open = self.half_open.saturating_sub(1);
        }
        if let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) {
            torrent.connections.remove(&id);
            let torrent_id = torrent.id;
            if connection.is_open() {
                torrent.open = torrent.open.saturating_sub(1);
                let asked_for = connection.download.as_mut().map(|download| download.release()).unwrap_or_default();
                let any = torrent.picker.peer_gone(SourceId::Peer(id), asked_for);
                torrent.picker.peer_left(connection.holdings.view());
                if let Some(seed) = &mut torrent.super_seed {
                    seed.peer_left(id);
                }
                if let Suggesting::Now(suggestions) = &mut torrent.suggesting {
                    suggestions.gone(id);
                }
                self.metadata_peer_gone(torrent_id, id, connection.remote);
                self.exchange_gone(torrent_id, id, &mut connection);
                self.event(Event::PeerDisconnected { torrent: torrent_id, remote: connection.remote, reason });
                self.blocks_freed(torrent_id, any);
                self.super_seed_due(torrent_id);
                if !connection.am_choking {
                    self.fill_slots(torrent_id);
                }
            }
            self.remember(torrent_id, &connection, reason);
            self.arm_torrent(torrent_id);
        }
        if let Some(torrent) = connection.torrent {
            let waits_to_write = connection.upload.as_ref().is_some_and(|upload| upload.waits);
            self.leave_lane_of(torrent, id, connection.withheld == Some(Withheld::Rate), waits_to_write);
            self.settle_read(connection.torrent, connection.read_granted, 0);
        }
        if !self.wanting.is_empty() && !self.turnover.reserved {
            self.connect_wanting();
        }
    }

    /// What the end of a connection means for trying the peer again.
    fn remember(&mut self, id: TorrentId, connection: &Connection, reason: CloseReason) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let listed = !connection.incoming || connection.extended.as_ref().is_some_and(|extended| extended.listed);
        let Some(remote) = connection.listens_at().filter(|_| listed) else { return };
        let now = self.now;
        torrent.peers.exchanged(remote, connection.downloaded().saturating_add(connection.uploaded()));
        match reason {
            CloseReason::Ourselves | CloseReason::Banned => {}
            // It stays connected by another way.
            CloseReason::Duplicate if connection.incoming => {}
            CloseReason::TorrentStopped => torrent.peers.disconnected(now, remote, Duration::ZERO),
            CloseReason::NoUse => torrent.peers.disconnected(now, remote, self.config.reconnect_maximum),
            _ if connection.is_open() && !matches!(reason, CloseReason::Protocol(_)) => {
                torrent.peers.disconnected(now, remote, self.config.reconnect_interval);
            }
            _ => torrent.peers.failed(now, remote, &self.config),
        }
    }

    /// Ends all connections of a torrent.
    pub(super) fn close_all(&mut self, id: TorrentId, reason: CloseReason) {
        let connections: Vec<ConnectionId> =
            self.torrents.get(id).map(|torrent| torrent.connections.iter().copied().collect()).unwrap_or_default();
        for connection in connections {
            self.close(connection, reason);
        }
    }

    /// Never speaks to a peer again, on this connection or another.
    pub(super) fn ban(&mut self, id: TorrentId, remote: SocketAddr) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let news = torrent.peers.ban(remote);
        let banned = |connection: &&ConnectionId| {
            self.connections.get(**connection).is_some_and(|open| open.remote == remote || torrent.peers.is_banned(open.remote))
        };
        let connections: Vec<ConnectionId> = torrent.connections.iter().filter(banned).copied().collect();
        if news {
            self.event(Event::PeerBanned { torrent: id, remote });
        }
        for connection in connections {
            self.close(connection, CloseReason::Banned);
        }
    }

    // Helpers

    /// Puts a connection on the list of those with something to say.
    pub(super) fn mark_dirty(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(id);
        }
    }

    /// A connection together with its torrent, if it has one.
    pub(super) fn pair(&mut self, id: ConnectionId) -> Option<(&mut Connection, &mut Torrent)> {
        let connection = self.connections.get_mut(id)?;
        let torrent = self.torrents.get_mut(connection.torrent?)?;
        Some((connection, torrent))
    }
}
