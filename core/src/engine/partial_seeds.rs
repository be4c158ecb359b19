//! Partial seeds (BEP 21): whoever wants nothing more says so, and two of them part.

use super::Engine;
use crate::{
    id::{ConnectionId, TorrentId},
    peer::{CloseReason, Connection},
    torrent::Torrent,
    wire::extension::Extension,
};
use alloc::vec::Vec;

impl Engine {
    /// What a torrent wants has changed: lets peers know whether that is nothing, and parts with those that want nothing, either.
    pub(super) fn wants_changed(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get(id) else { return };
        let connections: Vec<ConnectionId> = torrent.connections.iter().copied().collect();
        for id in connections {
            let Some((connection, torrent)) = self.pair(id) else { continue };
            if let Some(extended) = &mut connection.extended
                && extended.told_upload_only != torrent.is_upload_only()
            {
                extended.handshake_due = true;
            }
            self.mark_dirty(id);
            self.part_if_useless(id);
        }
    }

    /// Closes a connection over which nothing more can go.
    pub(super) fn part_if_useless(&mut self, id: ConnectionId) {
        let Some((connection, torrent)) = self.pair(id) else { return };
        if !connection.is_open() || !is_useless(connection, torrent) {
            return;
        }
        if let Some(address) = connection.listens_at() {
            // As far as we are concerned it is one: not to be called again as long as we want nothing.
            torrent.peers.set_seed(address, true);
        }
        self.close(id, CloseReason::NoUse);
    }
}

/// Whether neither side wants anything of the other.
fn is_useless(connection: &Connection, torrent: &Torrent) -> bool {
    torrent.is_complete() && (connection.holdings.is_seed() || wants_nothing(connection, torrent))
}

/// Whether a peer says that it wants nothing, and means not only that it does not know yet what there is: it may have come with a magnet
/// link, for metadata.
fn wants_nothing(connection: &Connection, torrent: &Torrent) -> bool {
    connection.extended.as_ref().is_some_and(|extended| {
        let knows = extended.has_metadata || connection.holdings.count(torrent.geometry.piece_count()) > 0;
        extended.upload_only && (knows || extended.ids.get(Extension::Metadata).is_none())
    })
}
