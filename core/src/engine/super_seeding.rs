//! Super-seeding (BEP 16): who has everything poses as one who has nothing, and offers each peer one piece at a time.
//!
//! Who is offered what is decided by [`SuperSeed`]. It ends by itself when another seed is there, and is not begun again before the owner
//! chooses it anew or the torrent starts anew.

use super::Engine;
use crate::{
    id::{ConnectionId, TorrentId},
    torrent::{picker::PeerPieces, super_seed::SuperSeed},
};
use alloc::{boxed::Box, vec::Vec};

impl Engine {
    /// Begins or ends super-seeding as the owner chose. Peers that are connected when it begins know already what we have.
    pub(super) fn choose_super_seeding(&mut self, id: TorrentId) {
        let (now, config) = (self.now, self.config.super_seed);
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let wanted = torrent.choices.super_seeding && torrent.is_complete() && torrent.is_active();
        if !wanted || torrent.super_seed.is_some() {
            if !wanted {
                self.end_super_seeding(id);
            }
            return;
        }
        let mut seed = Box::new(SuperSeed::new(torrent.geometry.piece_count(), config));
        for id in &torrent.connections {
            if let Some(connection) = self.connections.get(*id).filter(|connection| connection.is_open()) {
                seed.witness_joined(now, *id, connection.holdings.view());
            }
        }
        if !seed.has_company() {
            torrent.super_seed = Some(seed);
            self.wants_changed(id);
        }
    }

    /// Poses no longer: those to whom we did are told of everything.
    pub(super) fn end_super_seeding(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let Some(seed) = torrent.super_seed.take() else { return };
        torrent.have_log = (0..torrent.geometry.piece_count()).collect();
        torrent.have_announced = torrent.have_log.len() as u32;
        torrent.have_insisted = torrent.have_announced;
        for id in &torrent.connections {
            if let Some(connection) = self.connections.get_mut(*id) {
                connection.have_cursor = if seed.poses_to(*id) { 0 } else { torrent.have_announced };
            }
        }
        self.wants_changed(id);
    }

    /// A peer has shaken hands: we pose to it.
    pub(super) fn pose_to(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some((connection, torrent)) = self.pair(id) else { return };
        if let Some(seed) = &mut torrent.super_seed {
            seed.peer_joined(now, id);
            if !connection.is_fast {
                // Who has nothing need not say so.
                seed.peer_ready(id);
            }
        }
        self.pump_super_seed(id);
    }

    /// A peer has said what it has.
    pub(super) fn super_seed_ready(&mut self, id: ConnectionId) {
        let Some((connection, torrent)) = self.pair(id) else { return };
        let wants = connection.extended.as_ref().is_none_or(|extended| !extended.upload_only);
        if let Some(seed) = torrent.super_seed.as_mut().filter(|_| wants) {
            seed.peer_ready(id);
        }
        self.pump_super_seed(id);
    }

    /// A peer has these pieces, which it did not have before.
    pub(super) fn super_seed_has(&mut self, id: ConnectionId, pieces: &[u32]) {
        let now = self.now;
        let Some((_, torrent)) = self.pair(id) else { return };
        let Some(seed) = &mut torrent.super_seed else { return };
        for piece in pieces {
            seed.peer_has(now, id, *piece);
        }
        self.pump_super_seed(id);
    }

    /// Lets those have their next piece whose turn has come; ends it where another seed is there.
    pub(super) fn pump_super_seed(&mut self, id: ConnectionId) {
        if let Some(torrent) = self.connections.get(id).and_then(|connection| connection.torrent) {
            self.super_seed_due(torrent);
        }
    }

    /// Looks at what time has brought.
    pub(super) fn super_seed_due(&mut self, id: TorrentId) {
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let Some(seed) = &mut torrent.super_seed else { return };
        if seed.has_company() {
            return self.end_super_seeding(id);
        }
        seed.handle_timeout(now);
        let due: Vec<ConnectionId> = core::iter::from_fn(|| seed.poll()).collect();
        for connection in due {
            self.mark_dirty(connection);
        }
        self.arm_torrent(id);
    }

    /// A peer that says that it has everything.
    pub(super) fn super_seed_meets(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some((connection, torrent)) = self.pair(id) else { return };
        if connection.holdings.is_seed()
            && let Some(seed) = &mut torrent.super_seed
        {
            // It never joins as one to pose to again: the torrent has another seed.
            seed.witness_joined(now, id, PeerPieces::All);
            self.pump_super_seed(id);
        }
    }
}
