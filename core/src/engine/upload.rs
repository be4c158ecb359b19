//! Serving: blocks that peers ask for, and who may ask.

use super::{Engine, disk::DiskPurpose, fast::has_few};
use crate::{
    config::Config,
    id::{ConnectionId, DiskJobId, TorrentId},
    peer::{Connection, ProtocolError},
    storage::DiskOperation,
    torrent::{
        Suggesting, Torrent,
        choker::{Candidate, Stance},
    },
    wire::Block,
};
use alloc::vec::Vec;
use bytes::Bytes;

impl Engine {
    /// A peer asks for a block.
    pub(super) fn requested(&mut self, id: ConnectionId, block: Block) -> Result<(), ProtocolError> {
        let config = &self.config;
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return Ok(()) };
        if torrent.metainfo().is_none() && connection.is_fast {
            // We said that we have nothing.
            connection.upload().refuse(block);
            self.answers_due(id);
            return Ok(());
        }
        if !torrent.geometry.contains(block) || block.length > config.upload_block_limit {
            return Err(ProtocolError::Request);
        }
        // A choke that was not told yet may be taken back.
        let choked = connection.am_choking && connection.told_choking;
        let shown = torrent.super_seed.as_ref().is_none_or(|seed| seed.may_ask(id, block.piece));
        let given = shown && torrent.verified.get(block.piece) && (!choked || given_while_choked(connection, torrent, config, block));
        // A request that crossed our choke, or one for what we do not have, is rejected (BEP 6), or else not answered (BEP 3).
        if given {
            connection.upload().ask(block);
        } else if connection.is_fast {
            connection.upload().refuse(block);
        }
        self.answers_due(id);
        Ok(())
    }

    /// A peer no longer asks for a block.
    pub(super) fn cancelled(&mut self, id: ConnectionId, block: Block) {
        if let Some(upload) = self.connections.get_mut(id).and_then(|connection| connection.upload.as_mut()) {
            upload.cancel(block);
        }
        self.answers_due(id);
    }

    /// Lets rejects go out, if the peer knows what they are.
    fn answers_due(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let fast = connection.is_fast;
        let Some(upload) = &mut connection.upload else { return };
        if !fast {
            upload.drop_rejects();
        }
        self.mark_dirty(id);
    }

    /// Lets the disk read what a peer waits for, as far as its buffer has room.
    pub(super) fn read_ahead(&mut self, id: ConnectionId) {
        loop {
            let config = &self.config;
            let Some(connection) = self.connections.get_mut(id).filter(|connection| !connection.am_choking || connection.told_choking)
            else {
                return;
            };
            let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return };
            // Once a peer was told that it is choked, only what it may have in spite of that is left.
            let Some(upload) = &mut connection.upload else { return };
            let Some(run) = upload.next_run(torrent.geometry.piece_length(), config) else { return };
            let spans = torrent.layout.spans(run.piece, run.offset, run.length);
            let (torrent, length) = (torrent.id, run.length);
            let purpose = DiskPurpose::Upload { connection: id };
            let Some(job) = self.disk(torrent, purpose, DiskOperation::Read { spans, length }) else { return };
            if let Some(upload) = self.connections.get_mut(id).and_then(|connection| connection.upload.as_mut()) {
                upload.reading(job, run);
            }
        }
    }

    pub(super) fn upload_read(&mut self, id: ConnectionId, job: DiskJobId, data: &Bytes) {
        if let Some(upload) = self.connections.get_mut(id).and_then(|connection| connection.upload.as_mut()) {
            upload.read(job, data);
            self.mark_dirty(id);
        }
    }

    /// Gives free slots to interested peers, those that have waited longest first.
    pub(super) fn fill_slots(&mut self, id: TorrentId) {
        let (now, slots) = (self.now, self.config.limits.upload_slots as usize);
        let Some(torrent) = self.torrents.get_mut(id).filter(|torrent| torrent.is_active()) else { return };
        let (mut used, mut strangers, mut givers) = (0, 0, 0);
        let leeching = !torrent.is_finished();
        let mut waiting = Vec::new();
        let mut idle = Vec::new();
        for id in &torrent.connections {
            let Some(connection) = self.connections.get(*id).filter(|connection| connection.is_open()) else { continue };
            let gives = connection.download.as_ref().is_some_and(|download| download.came_lately());
            givers += usize::from(gives && leeching && connection.peer_interested);
            match (connection.peer_interested, connection.am_choking) {
                // Who has finished is grateful.
                (true, true) => waiting.push((!leeching && connection.downloaded() == 0, connection.choke_changed, *id, gives)),
                (true, false) => {
                    used += 1;
                    strangers += usize::from(!gives);
                }
                (false, true) => {}
                (false, false) => idle.push(*id),
            }
        }
        if !waiting.is_empty() || used > 0 {
            torrent.choke_due.get_or_insert(now + self.config.choke_interval);
        }
        waiting.sort();
        let free = slots.saturating_sub(used);
        // Who keeps a slot without wanting anything makes room for who does.
        for id in idle.into_iter().skip(free.saturating_sub(waiting.len())) {
            self.set_choking(id, true);
        }
        if givers > 0 {
            // Somebody pays for slots: of the others there is the one on trial.
            waiting.retain(|(.., gives)| *gives || core::mem::replace(&mut strangers, 1) == 0);
        }
        for (_, _, id, _) in waiting.into_iter().take(free) {
            self.set_choking(id, false);
        }
        self.arm_torrent(id);
    }

    /// Decides anew who may ask, every ten seconds while anyone wants to (BEP 3).
    pub(super) fn choke_round(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.choke_due = None;
        if !torrent.is_active() {
            return;
        }
        let Some(torrent) = self.torrents.get(id) else { return };
        let (candidates, stance) = self.candidates(torrent);
        let others: Vec<ConnectionId> =
            self.open_peers(torrent).filter(|(_, open)| !open.peer_interested && !open.am_choking).map(|(id, _)| id).collect();
        if stance == Stance::Leeching {
            for id in &torrent.connections {
                if let Some(connection) = self.connections.get_mut(*id).filter(|connection| connection.is_open()) {
                    connection.end_round();
                }
            }
        }
        if candidates.is_empty() && others.is_empty() {
            return;
        }
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.choke_due = Some(self.now + self.config.choke_interval);
        if let Suggesting::Now(suggestions) = &mut torrent.suggesting {
            suggestions.end_round();
        }
        let slots = self.config.limits.upload_slots as usize;
        let unchoked = torrent.choker.round(&candidates, slots, self.config.optimistic_rounds, stance);
        for candidate in &candidates {
            self.set_choking(candidate.connection, !unchoked.contains(&candidate.connection));
        }
        // A peer that wants nothing now may keep its slot as long as nobody else needs it: it can go on at once when it does.
        let spare = slots.saturating_sub(candidates.len());
        for id in others.into_iter().skip(spare) {
            self.set_choking(id, true);
        }
    }

    /// Those who want something of a torrent, as its choker sees them now, and what is wanted of them.
    pub(super) fn candidates(&self, torrent: &Torrent) -> (Vec<Candidate>, Stance) {
        let trial = self.config.choke_interval * self.config.optimistic_rounds * 3;
        let stance = match &torrent.suggesting {
            // While there are pieces that nobody else has, whoever passes them on gives us what we want.
            Suggesting::Now(_) => Stance::First,
            _ if torrent.is_finished() => Stance::Seeding,
            _ => Stance::Leeching,
        };
        let candidate = |(id, open): (ConnectionId, &Connection)| {
            let (received, passes_on) = match &torrent.suggesting {
                Suggesting::Now(suggestions) => (suggestions.passed_on(id).into(), suggestions.passes_on(id)),
                _ if stance == Stance::Seeding => (open.downloaded(), false),
                _ => (open.received_in_rounds(), false),
            };
            Candidate {
                connection: id,
                received,
                passes_on,
                unchoked: !open.am_choking,
                changed: open.choke_changed,
                snubbed: open.is_snubbed(),
                new: self.now.since(open.since) < trial,
            }
        };
        (self.open_peers(torrent).filter(|(_, open)| open.peer_interested).map(candidate).collect(), stance)
    }

    /// A torrent's peers that have shaken hands.
    pub(super) fn open_peers<'a>(&'a self, torrent: &'a Torrent) -> impl Iterator<Item = (ConnectionId, &'a Connection)> {
        let connections = torrent.connections.iter().filter_map(|id| Some((*id, self.connections.get(*id)?)));
        connections.filter(|(_, connection)| connection.is_open())
    }

    fn set_choking(&mut self, id: ConnectionId, choking: bool) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.set_choking(now, choking) {
            if choking {
                self.suggested_in_vain(id);
            }
            self.mark_dirty(id);
        }
    }
}

/// Whether a peer may have a block although we choke it: of a piece that it was granted, as long as it has few.
pub(super) fn given_while_choked(connection: &mut Connection, torrent: &Torrent, config: &Config, block: Block) -> bool {
    has_few(connection, torrent, config.allowed_fast_pieces) && connection.fast_mut().is_some_and(|fast| fast.spend(block))
}
