use super::Engine;
use crate::{
    id::ConnectionId,
    peer::{Connection, Holdings, ProtocolError},
    torrent::{SourceId, Suggesting, Torrent, picker::PeerCursor},
    util::Bitfield,
    wire::{Block, Message},
};
use alloc::vec::Vec;
use bytes::Bytes;

impl Engine {
    /// What a message of a peer means. An error closes the connection.
    pub(super) fn message(&mut self, id: ConnectionId, message: Message, share: u64) -> Result<(), ProtocolError> {
        let tells = matches!(message, Message::Bitfield(_) | Message::HaveAll | Message::HaveNone | Message::Have(_));
        self.understand(id, message, share)?;
        if tells && self.connections.get(id).is_some_and(|connection| connection.on_trial) {
            self.judge(id);
        }
        Ok(())
    }

    fn understand(&mut self, id: ConnectionId, message: Message, share: u64) -> Result<(), ProtocolError> {
        match message {
            Message::KeepAlive | Message::Unknown { .. } => Ok(()),
            Message::Choke => {
                self.choked(id, true);
                Ok(())
            }
            Message::Unchoke => {
                self.choked(id, false);
                Ok(())
            }
            // What follows from that is drawn once all messages of the read are through.
            Message::Interested | Message::NotInterested => {
                let now = self.now;
                if let Some(connection) = self.connections.get_mut(id) {
                    if connection.peer_interested && message == Message::NotInterested {
                        connection.last_useful = now;
                    }
                    connection.peer_interested = message == Message::Interested;
                }
                Ok(())
            }
            Message::Have(piece) => self.have(id, piece),
            Message::Bitfield(bytes) => self.bitfield(id, &bytes),
            Message::Request(block) => self.requested(id, block),
            Message::Cancel(block) => {
                self.cancelled(id, block);
                Ok(())
            }
            Message::Piece { piece, offset, data } => {
                let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
                self.block_arrived(id, Block { piece, offset, length }, data, share)
            }
            // The DHT is not spoken here; a port costs nothing.
            Message::Port(_) => Ok(()),
            Message::Suggest(_) | Message::HaveAll | Message::HaveNone | Message::Reject(_) | Message::AllowedFast(_) => {
                self.fast_message(id, &message)
            }
            Message::Extended { id: kind, payload } => self.extended(id, kind, &payload),
        }
    }

    fn choked(&mut self, id: ConnectionId, choking: bool) {
        let now = self.now;
        let Some((connection, torrent)) = self.pair(id) else { return };
        connection.peer_choking = choking;
        if !choking {
            return;
        }
        let asked_for = match &mut connection.download {
            // The peer will reject each request, or answer it yet (BEP 6); what is kept for it should not have to wait so long.
            Some(download) if connection.is_fast => {
                download.progressed(now);
                Vec::new()
            }
            // What was asked for is answered no more (BEP 3), so others may be asked.
            Some(download) => download.release(),
            None => Vec::new(),
        };
        let any = torrent.picker.peer_gone(SourceId::Peer(id), asked_for);
        let torrent = torrent.id;
        self.blocks_freed(torrent, any);
        self.arm_connection(id);
    }

    pub(super) fn have(&mut self, id: ConnectionId, piece: u32) -> Result<(), ProtocolError> {
        if let Some(early) = self.early(id) {
            early.change(piece, true);
            return Ok(());
        }
        let Some((connection, torrent)) = self.pair(id) else { return Ok(()) };
        let pieces = torrent.geometry.piece_count();
        if piece >= pieces {
            return Err(ProtocolError::PieceOutOfRange);
        }
        let Holdings::Some(bitfield) = &mut connection.holdings else { return Ok(()) };
        if !bitfield.set(piece) {
            return Ok(());
        }
        torrent.picker.peer_has(bitfield, piece, &mut connection.cursor);
        if bitfield.is_full() {
            connection.holdings = Holdings::All;
        }
        if torrent.selection.wants(piece) && !torrent.has_announced(piece) {
            connection.interesting += 1;
        }
        self.super_seed_has(id, &[piece]);
        self.suggested_seen(id, [piece]);
        self.holdings_changed(id);
        Ok(())
    }

    /// A peer has a piece no longer (BEP 54).
    pub(super) fn dont_have(&mut self, id: ConnectionId, piece: u32) -> Result<(), ProtocolError> {
        if let Some(early) = self.early(id) {
            early.change(piece, false);
            return Ok(());
        }
        let Some((connection, torrent)) = self.pair(id) else { return Ok(()) };
        let pieces = torrent.geometry.piece_count();
        if piece >= pieces {
            return Err(ProtocolError::PieceOutOfRange);
        }
        if !connection.holdings.has(piece) {
            return Ok(());
        }
        let rest = connection.holdings.without(&[piece], pieces);
        torrent.picker.peer_lost(&rest, piece);
        connection.holdings = Holdings::Some(rest);
        if torrent.selection.wants(piece) && !torrent.has_announced(piece) {
            connection.interesting = connection.interesting.saturating_sub(1);
        }
        list_seed(connection, torrent, false);
        // With the fast extension it rejects what it was asked for, as usual; without, that is understood.
        let asked_for = match &mut connection.download {
            Some(download) if !connection.is_fast => download.release_piece(piece),
            _ => Vec::new(),
        };
        let any = torrent.picker.peer_gone(SourceId::Peer(id), asked_for);
        if let Some(seed) = &mut torrent.super_seed {
            seed.peer_lost(id, piece);
        }
        let torrent = torrent.id;
        self.update_flags(id);
        self.pump_super_seed(id);
        self.blocks_freed(torrent, any);
        self.mark_dirty(id);
        Ok(())
    }

    /// A peer has everything.
    pub(super) fn have_all(&mut self, id: ConnectionId) {
        if let Some(early) = self.early(id) {
            early.all = true;
            return;
        }
        let Some((connection, torrent)) = self.pair(id) else { return };
        match &connection.holdings {
            Holdings::All => return,
            // Who says that it has all, and not, and has all again, makes us count no more than what it lacked.
            Holdings::Some(known) if !known.is_empty() => {
                let news: Vec<u32> = known.missing().collect();
                torrent.suggesting = Suggesting::Over;
                return news.into_iter().for_each(|piece| {
                    let _ = self.have(id, piece);
                });
            }
            Holdings::Some(_) => {}
        }
        torrent.picker.peer_left(connection.holdings.view());
        connection.holdings = Holdings::All;
        torrent.suggesting = Suggesting::Over;
        connection.cursor = PeerCursor::default();
        torrent.picker.peer_joined(connection.holdings.view());
        connection.interesting = torrent.interesting_in(connection);
        self.super_seed_meets(id);
        self.holdings_changed(id);
    }

    pub(super) fn bitfield(&mut self, id: ConnectionId, bytes: &Bytes) -> Result<(), ProtocolError> {
        if let Some(early) = self.early(id) {
            early.bitfield = Some(bytes.clone());
            return Ok(());
        }
        let Some((connection, torrent)) = self.pair(id) else { return Ok(()) };
        let pieces = Bitfield::from_bytes(torrent.geometry.piece_count(), bytes).ok_or(ProtocolError::Bitfield)?;
        // BEP 3: "bitfield is only ever sent as the first message". Real clients say other things before it, and aria2 sends another
        // one where it is shorter than the haves it stands for. A peer loses nothing by that, and pays with its own bytes.
        match &connection.holdings {
            Holdings::All => return Ok(()),
            Holdings::Some(known) if !known.is_empty() => {
                let news: Vec<u32> = pieces.iter().filter(|piece| !known.get(*piece)).collect();
                return news.into_iter().try_for_each(|piece| self.have(id, piece));
            }
            Holdings::Some(_) => {}
        }
        let news: Vec<u32> = if torrent.is_complete() { pieces.iter().collect() } else { Vec::new() };
        torrent.picker.peer_left(connection.holdings.view());
        connection.holdings = Holdings::new(pieces);
        connection.cursor = PeerCursor::default();
        torrent.picker.peer_joined(connection.holdings.view());
        connection.interesting = torrent.interesting_in(connection);
        self.super_seed_has(id, &news);
        self.suggested_seen(id, news);
        self.super_seed_ready(id);
        self.grant_fast(id);
        self.holdings_changed(id);
        Ok(())
    }

    /// A peer has more than before: perhaps something that we want, perhaps everything.
    fn holdings_changed(&mut self, id: ConnectionId) {
        let Some((connection, torrent)) = self.pair(id) else { return };
        let seed = connection.holdings.is_seed();
        if let Some(fast) = connection.fast_mut() {
            fast.cursor = PeerCursor::default();
        }
        list_seed(connection, torrent, seed);
        if seed {
            self.update_flags(id);
        }
        self.mark_dirty(id);
        self.part_if_useless(id);
    }
}

/// Lets the list of peers know whether one has everything. Most that is heard of what peers have does not change that.
fn list_seed(connection: &mut Connection, torrent: &mut Torrent, seed: bool) {
    if connection.listed_seed == Some(seed) {
        return;
    }
    if let Some(address) = connection.listens_at() {
        torrent.peers.set_seed(address, seed);
        connection.listed_seed = Some(seed);
    }
}
