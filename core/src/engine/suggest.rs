//! Suggestions of a seed (BEP 6): see [`Suggestions`].

use super::Engine;
use crate::{
    id::ConnectionId,
    peer::Holdings,
    torrent::{Suggesting, Suggestions, Torrent},
    util::Bitfield,
};
use alloc::{boxed::Box, vec::Vec};

impl Engine {
    /// The pieces to suggest to a peer now.
    pub(super) fn suggest(&mut self, id: ConnectionId) -> Vec<u32> {
        let Some((connection, torrent)) = self.pair(id) else { return Vec::new() };
        let fetches = connection.is_open() && connection.is_fast && !connection.am_choking && connection.peer_interested;
        if !fetches || !torrent.is_complete() || !torrent.is_active() || torrent.super_seed.is_some() {
            return Vec::new();
        }
        self.begin_to_suggest(id);
        let now = self.now;
        let Some((connection, torrent)) = self.pair(id) else { return Vec::new() };
        let Torrent { suggesting: Suggesting::Now(suggestions), picker_rng, .. } = torrent else { return Vec::new() };
        core::iter::from_fn(|| suggestions.next(now, id, connection.holdings.view(), picker_rng)).collect()
    }

    /// Looks, once, whether there is anything that nobody has.
    fn begin_to_suggest(&mut self, id: ConnectionId) {
        let Some(torrent) = self.connections.get(id).and_then(|connection| self.torrents.get(connection.torrent?)) else { return };
        if !matches!(torrent.suggesting, Suggesting::NotYet) {
            return;
        }
        let mut unseen = Bitfield::full(torrent.geometry.piece_count());
        for other in torrent.connections.iter().filter_map(|id| self.connections.get(*id)).filter(|other| other.is_open()) {
            match &other.holdings {
                Holdings::All => unseen = Bitfield::new(unseen.len()),
                Holdings::Some(holdings) => unseen.remove_all(holdings),
            }
        }
        if let Some((_, torrent)) = self.pair(id) {
            torrent.suggesting = if unseen.is_empty() { Suggesting::Over } else { Suggesting::Now(Box::new(Suggestions::new(unseen))) };
        }
    }

    /// Whether a peer's torrent is a swarm's first copy, which others wait for.
    pub(super) fn brings_into_the_world(&mut self, id: ConnectionId) -> bool {
        if self.pair(id).is_some_and(|(_, torrent)| torrent.is_complete()) {
            self.begin_to_suggest(id);
        }
        self.pair(id).is_some_and(|(_, torrent)| matches!(torrent.suggesting, Suggesting::Now(_)))
    }

    /// A peer has `pieces`.
    pub(super) fn suggested_seen(&mut self, id: ConnectionId, pieces: impl IntoIterator<Item = u32>) {
        let now = self.now;
        let Some((_, torrent)) = self.pair(id) else { return };
        let Suggesting::Now(suggestions) = &mut torrent.suggesting else { return };
        let served: Vec<ConnectionId> = pieces.into_iter().filter_map(|piece| suggestions.seen(now, piece, id)).collect();
        if suggestions.is_over() {
            torrent.suggesting = Suggesting::Over;
        }
        served.into_iter().for_each(|peer| self.mark_dirty(peer));
    }

    /// A peer fetches nothing from us for now.
    pub(super) fn suggested_in_vain(&mut self, id: ConnectionId) {
        if let Some((_, Torrent { suggesting: Suggesting::Now(suggestions), .. })) = self.pair(id) {
            suggestions.unserved(id);
        }
    }
}
