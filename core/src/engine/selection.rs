//! What the owner wants of a torrent: files, their order, and a change of mind at any time.

use super::{Engine, disk::DiskPurpose};
use crate::{
    choices::Choices,
    command::CommandError,
    id::{ConnectionId, TorrentId},
    peer::Connection,
    storage::DiskOperation,
    torrent::Torrent,
};
use alloc::vec::Vec;

impl Engine {
    pub(super) fn choose(&mut self, id: TorrentId, choices: Choices) -> Result<(), CommandError> {
        let torrent = self.torrents.get_mut(id).ok_or(CommandError::NoSuchTorrent)?;
        let was_finished = torrent.is_finished();
        let exchanged = torrent.exchanges_peers();
        let rates = choices.rates;
        // The same choices again are no news to save.
        if torrent.choices != choices {
            torrent.resume_changed = true;
            torrent.resume_due.get_or_insert(self.now + self.config.resume_interval);
        }
        torrent.choices = choices;
        let switched = torrent.exchanges_peers() != exchanged;
        torrent.select();
        let active = torrent.is_active();
        let is_finished = torrent.is_finished();
        self.drop_unwanted(id);
        self.recount_interest(id);
        self.prepare_files(id);
        if active && is_finished && !was_finished {
            self.finished(id);
        } else if active && was_finished && !is_finished {
            self.goes_on(id);
        }
        self.set_torrent_rates(id, rates);
        self.watch_goal(id);
        self.choose_super_seeding(id);
        self.pump_web_seeds(id);
        self.blocks_freed(id, true);
        if switched {
            self.peer_exchange_changed(id);
        }
        self.discover_locally(id);
        self.arm_torrent(id);
        Ok(())
    }

    /// Tells the disk which files are wanted, unless it knows. One telling is under way at a time; a change meanwhile is told next.
    pub(super) fn prepare_files(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id).filter(|torrent| torrent.may_prepare()) else { return };
        let wanted = torrent.selection.files.clone();
        if torrent.preparing || torrent.prepared_for.as_ref() == Some(&wanted) {
            return;
        }
        torrent.preparing = true;
        torrent.prepared_for = Some(wanted.clone());
        self.disk(id, DiskPurpose::Prepare, DiskOperation::Prepare { wanted });
    }

    /// The disk knows which files were wanted when it was told.
    pub(super) fn files_prepared(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.preparing = false;
        let told = torrent.prepared_for.as_ref() == Some(&torrent.selection.files);
        if !told {
            self.prepare_files(id);
        } else if torrent.is_preparing() {
            self.prepared(id);
        }
    }

    /// Counts again, for every peer, the pieces for which it is interesting.
    fn recount_interest(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get(id) else { return };
        for id in &torrent.connections {
            if let Some(connection) = self.connections.get_mut(*id).filter(|connection| connection.is_open()) {
                connection.interesting = torrent.interesting_in(connection);
            }
        }
        let connections: Vec<ConnectionId> = torrent.connections.iter().copied().collect();
        for connection in connections {
            self.mark_dirty(connection);
        }
    }

    /// Begun pieces that are not wanted any more are given up, and what was asked for of them is cancelled.
    fn drop_unwanted(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let begun = torrent.picker.begun().filter(|begun| begun.received < begun.blocks).map(|begun| begun.piece);
        let unwanted: Vec<u32> = begun.filter(|piece| !torrent.selection.wants(*piece)).collect();
        if unwanted.is_empty() {
            return;
        }
        let mut charge = 0u64;
        for piece in &unwanted {
            charge = charge.saturating_add(torrent.assembly.drop_piece(*piece));
            torrent.picker.piece_failed(*piece);
        }
        for id in &torrent.connections {
            let Some(download) = self.connections.get_mut(*id).and_then(|connection| connection.download.as_mut()) else { continue };
            download.cancel_pieces(&unwanted);
        }
        self.release_blocks(charge);
    }

    /// There is more to fetch again, although all that was wanted was there.
    fn goes_on(&mut self, id: TorrentId) {
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.seeding_ends(now);
        torrent.announcer.update(now);
        // Seeds were of no use until now.
        let connected = torrent.connections.iter().filter_map(|id| self.connections.get(*id)).map(|connection| connection.remote).collect();
        torrent.peers.revive(now, &connected);
        self.wants_changed(id);
        self.announce(id);
        self.connect_peers(id);
    }
}

impl Torrent {
    /// Draws the consequences of the owner's choices for what is fetched, and in which order.
    pub(crate) fn select(&mut self) {
        self.selection = crate::torrent::Selection::new(&self.layout, &self.geometry, &self.choices, &self.verified);
        self.picker.set_sequential(self.choices.sequential);
        let priorities = crate::torrent::priorities(&self.layout, &self.choices);
        for piece in 0..self.geometry.piece_count() {
            let priority = priorities.as_ref().and_then(|priorities| priorities.get(piece as usize));
            self.picker.set_priority(piece, priority.copied().unwrap_or_default());
        }
    }

    /// For how many pieces a peer is interesting: those it has, which are wanted, and which peers were not told that we have.
    pub(crate) fn interesting_in(&self, connection: &Connection) -> u32 {
        if connection.holdings.count(self.geometry.piece_count()) == 0 {
            return 0;
        }
        let announced = self.announced();
        let missing = (0..announced.len()).filter(|piece| !announced.get(*piece) && self.selection.wants(*piece));
        missing.filter(|piece| connection.holdings.has(*piece)).count() as u32
    }
}
