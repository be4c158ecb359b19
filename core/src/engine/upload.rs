//! Serving: blocks that peers ask for, and who may ask.

use super::{Engine, disk::DiskPurpose};
use crate::{
    id::{ConnectionId, DiskJobId, TorrentId},
    peer::ProtocolError,
    storage::DiskOperation,
    torrent::choker::Candidate,
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
        if !torrent.geometry.contains(block) || block.length > config.upload_block_limit {
            return Err(ProtocolError::Request);
        }
        // A request that crossed our choke, or one for what we do not have, is not answered (BEP 3). A choke that was not told yet
        // may be taken back.
        if (connection.am_choking && connection.told_choking) || !torrent.verified.get(block.piece) {
            return Ok(());
        }
        connection.upload().ask(block, config);
        self.mark_dirty(id);
        Ok(())
    }

    /// Lets the disk read what a peer waits for, as far as its buffer has room.
    pub(super) fn read_ahead(&mut self, id: ConnectionId) {
        loop {
            let config = &self.config;
            let Some(connection) = self.connections.get_mut(id).filter(|connection| !connection.am_choking) else { return };
            let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return };
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
        let mut used = 0;
        let mut waiting = Vec::new();
        let mut idle = Vec::new();
        for id in &torrent.connections {
            let Some(connection) = self.connections.get(*id).filter(|connection| connection.is_open()) else { continue };
            match (connection.peer_interested, connection.am_choking) {
                (true, true) => waiting.push((connection.choke_changed, *id)),
                (true, false) => used += 1,
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
        for (_, id) in waiting.into_iter().take(free) {
            self.set_choking(id, false);
        }
        self.arm_torrent(id);
    }

    /// Decides anew who may ask, every ten seconds while anyone wants to (BEP 3).
    pub(super) fn choke_round(&mut self, id: TorrentId) {
        let (now, config) = (self.now, &self.config);
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.choke_due = None;
        if !torrent.is_active() {
            return;
        }
        let trial = config.choke_interval * config.optimistic_rounds * 3;
        let mut candidates = Vec::new();
        let mut others = Vec::new();
        for id in &torrent.connections {
            let Some(connection) = self.connections.get_mut(*id).filter(|connection| connection.is_open()) else { continue };
            let received = connection.received_in_rounds();
            if connection.peer_interested {
                candidates.push(Candidate {
                    connection: *id,
                    received,
                    unchoked: !connection.am_choking,
                    changed: connection.choke_changed,
                    snubbed: connection.is_snubbed(),
                    new: now.since(connection.since) < trial,
                });
            } else if !connection.am_choking {
                others.push(*id);
            }
        }
        if candidates.is_empty() && others.is_empty() {
            return;
        }
        torrent.choke_due = Some(now + config.choke_interval);
        let seeding = torrent.is_finished();
        let unchoked = torrent.choker.round(&candidates, config.limits.upload_slots as usize, config.optimistic_rounds, seeding);
        for candidate in &candidates {
            self.set_choking(candidate.connection, !unchoked.contains(&candidate.connection));
        }
        // A peer that wants nothing now may keep its slot as long as nobody else needs it: it can go on at once when it does.
        let spare = (self.config.limits.upload_slots as usize).saturating_sub(candidates.len());
        for id in others.into_iter().skip(spare) {
            self.set_choking(id, true);
        }
    }

    fn set_choking(&mut self, id: ConnectionId, choking: bool) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.set_choking(now, choking) {
            self.mark_dirty(id);
        }
    }
}
