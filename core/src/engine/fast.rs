//! The fast extension (BEP 6): on if both sides set its bit, which we always do.
//!
//! What it changes elsewhere: a choke does not end what we asked for (`messages`), and what we do not answer is rejected (`upload`).
//! What a first seed suggests is in `suggest`; nobody else suggests anything: the disk has no favourites, and what is rare the peers know better.

use super::Engine;
use crate::{
    choices::Priority,
    id::ConnectionId,
    peer::{Arrival, Connection, ProtocolError},
    torrent::{
        SourceId, Torrent, allowed_fast,
        picker::{PeerCursor, PeerPieces, Source, Speed},
    },
    util::Bitfield,
    wire::{Block, Message},
};
use alloc::vec::Vec;

impl Engine {
    /// A message of the fast extension.
    pub(super) fn fast_message(&mut self, id: ConnectionId, message: &Message) -> Result<(), ProtocolError> {
        let config = &self.config;
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return Ok(()) };
        if !connection.is_fast {
            return Err(ProtocolError::Unexpected);
        }
        let known = torrent.metainfo().is_some();
        let exists = |piece: u32| !known || piece < torrent.geometry.piece_count();
        match *message {
            Message::HaveAll => self.have_all(id),
            Message::HaveNone => return self.have_none(id),
            Message::Suggest(piece) | Message::AllowedFast(piece) if !exists(piece) => return Err(ProtocolError::PieceOutOfRange),
            Message::Suggest(piece) => connection.make_fast(config).suggest(piece),
            Message::AllowedFast(piece) => connection.make_fast(config).allow(piece),
            Message::Reject(block) => return self.rejected(id, block),
            _ => {}
        }
        self.mark_dirty(id);
        Ok(())
    }

    /// A peer has nothing: it can only say so before it says that it has something.
    fn have_none(&mut self, id: ConnectionId) -> Result<(), ProtocolError> {
        let Some((connection, torrent)) = self.pair(id) else { return Ok(()) };
        let early = connection.download.as_ref().is_some_and(|download| download.early.is_some());
        if early || connection.holdings.count(torrent.geometry.piece_count()) > 0 {
            return Err(ProtocolError::Bitfield);
        }
        self.grant_fast(id);
        self.super_seed_ready(id);
        Ok(())
    }

    /// A peer will not answer a request of ours.
    fn rejected(&mut self, id: ConnectionId, block: Block) -> Result<(), ProtocolError> {
        let (now, config) = (self.now, &self.config);
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return Ok(()) };
        let arrival = connection.download.as_mut().map_or(Arrival::Unasked, |download| download.rejected(block));
        match arrival {
            Arrival::Unasked => return Err(ProtocolError::Reject),
            Arrival::Late => return Ok(()),
            Arrival::Expected => {}
        }
        torrent.picker.released(SourceId::Peer(id), block);
        if let Some(download) = &mut connection.download {
            match &mut download.fast {
                // It thought better of it.
                Some(fast) if connection.peer_choking => fast.disallow(block.piece),
                _ if connection.peer_choking => {}
                _ => download.refuses(now, block.piece, config),
            }
        }
        self.arm_connection(id);
        Ok(())
    }

    /// Lets a peer that has few pieces fetch some while it is choked, as soon as it is known what it has.
    pub(super) fn grant_fast(&mut self, id: ConnectionId) {
        // Who alone has something to give has no time for what everybody may have.
        if self.config.allowed_fast_pieces == 0 || self.brings_into_the_world(id) {
            return;
        }
        let (config, few) = (&self.config, self.config.allowed_fast_pieces);
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return };
        let granted = connection.fast().is_some_and(|fast| fast.grants());
        let poses = torrent.super_seed.as_ref().is_some_and(|seed| seed.poses_to(id));
        if granted || poses || !connection.is_fast || torrent.metainfo().is_none() || !has_few(connection, torrent, few) {
            return;
        }
        for piece in allowed_fast(connection.remote.ip(), &torrent.info_hash, torrent.geometry.piece_count(), few) {
            if !connection.holdings.has(piece) {
                connection.make_fast(config).grant(piece, torrent.geometry.piece_size(piece));
            }
        }
        self.mark_dirty(id);
    }

    /// Adds to `out` blocks of the pieces that a peer lets us fetch while it chokes us, or of those that it suggests: at most `room`.
    pub(super) fn pick_few(&mut self, id: ConnectionId, room: usize, speed: Speed, out: &mut Vec<Block>) {
        let Some((connection, torrent)) = self.pair(id) else { return };
        let Some(download) = &mut connection.download else { return };
        let refused = download.refused().to_vec();
        let Some(fast) = &mut download.fast else { return };
        let (choking, holdings) = (connection.peer_choking, &connection.holdings);
        let picker = &mut torrent.picker;
        let of_use = |piece: &u32| holdings.has(*piece) && picker.wants(*piece) && !refused.contains(piece);
        let pieces: Vec<u32> = if choking {
            fast.allowed().iter().copied().filter(of_use).collect()
        } else {
            // What the owner wants first comes before what the peer would like.
            let wanted = |piece: &u32| !torrent.choices.sequential && picker.priority(*piece) <= Priority::Normal;
            fast.retain_suggested(|piece| of_use(piece) && wanted(piece));
            fast.suggested().to_vec()
        };
        if pieces.is_empty() || room == 0 {
            return;
        }
        let mut few = Bitfield::new(torrent.geometry.piece_count());
        for piece in pieces {
            few.set(piece);
        }
        let source = Source { peer: SourceId::Peer(id), has: PeerPieces::Some(&few), speed };
        let before = out.len();
        let mut anywhere = PeerCursor::default();
        let cursor = if choking { &mut fast.cursor } else { &mut anywhere };
        picker.pick(&source, cursor, room, &mut torrent.picker_rng, out);
        if out.len() == before && !choking {
            // Others fetch them.
            fast.retain_suggested(|_| false);
        }
    }
}

/// Whether a peer may still fetch pieces while it is choked: it has nothing to trade.
pub(super) fn has_few(connection: &Connection, torrent: &Torrent, few: u32) -> bool {
    let pieces = torrent.geometry.piece_count();
    connection.holdings.count(pieces) < few.min(pieces)
}
