//! What is written to a peer. Everything is encoded here, when the connection is free to write and not before: until then choke,
//! cancel and changes of mind still act on it.

use super::{Engine, extended::push_extended, rates::BLOCK_HEAD, upload::given_while_choked};
use crate::{
    action::Action,
    config::Config,
    error::StreamError,
    id::ConnectionId,
    peer::{CloseReason, Connection},
    torrent::{Suggesting, Torrent},
    wire::{Block, Encoder, Handshake, Message, Reserved},
};
use alloc::vec::Vec;
use bytes::Bytes;

impl Engine {
    /// Lets every connection on the list say what it has to say.
    pub(super) fn flush(&mut self) {
        let mut dirty = core::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.dirty = false;
                self.flush_connection(id);
            }
        }
        // The list's memory is used again.
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
    }

    fn flush_connection(&mut self, id: ConnectionId) {
        let room = self.write_allowance(id);
        self.flush_with(id, room);
    }

    /// Lets a connection say what it has to say, and blocks of up to `room` bytes: at least one, if that is not zero. Returns how many bytes
    /// that are in all.
    pub(super) fn flush_with(&mut self, id: ConnectionId, room: u64) -> u64 {
        self.read_ahead(id);
        let keep_alive_interval = self.config.keep_alive_interval;
        let now = self.now;
        let Some((connection, torrent)) = self.pair(id) else { return 0 };
        if connection.writing {
            connection.unsaid = true;
            return 0;
        }
        let silent = now.since(connection.last_sent) >= keep_alive_interval;
        // Interest comes before the requests that it allows.
        let was_interested = connection.am_interested;
        connection.am_interested = connection.is_open() && connection.interesting > 0 && !torrent.is_finished() && torrent.is_active();
        if was_interested && !connection.am_interested {
            connection.last_useful = now;
        }
        let suggestions = self.suggest(id);
        let mut requests = Vec::new();
        self.pick(id, &mut requests);
        let (now, config, peer_id) = (self.now, &self.config, self.peer_id);
        let mut encoder = core::mem::take(&mut self.encoder);
        let Some(connection) = self.connections.get_mut(id) else { return 0 };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return 0 };
        let mut sent = 0;
        if connection.handshake_due {
            connection.handshake_due = false;
            let handshake = Handshake { reserved: Reserved::default().with_extension().with_fast(), info_hash: torrent.info_hash, peer_id };
            encoder.push_handshake(&handshake);
        }
        if connection.is_open() {
            let poses = torrent.super_seed.as_ref().is_some_and(|seed| seed.poses_to(id));
            greet(connection, torrent, poses, config, &mut encoder);
            suggestions.iter().for_each(|piece| encoder.push(Message::Suggest(*piece)));
            if let Some(seed) = &mut torrent.super_seed
                && let Some(piece) = seed.offer(now, id)
            {
                encoder.push(Message::Have(piece));
            }
            push_extended(connection, torrent, &self.listening, config.upload_queue_limit, &mut encoder);
            for block in connection.download.iter_mut().flat_map(|download| core::mem::take(&mut download.cancels)) {
                encoder.push(Message::Cancel(block));
            }
            requests.iter().for_each(|block: &Block| encoder.push(Message::Request(*block)));
            if !encoder.is_empty() {
                // What goes along costs next to nothing.
                haves(connection, torrent, poses, &mut encoder);
            }
            connection.unsaid = connection.have_cursor < torrent.have_announced;
            let geometry = torrent.geometry;
            let mut given = false;
            sent = blocks(connection, now, room, &mut encoder, |block| {
                if let Some(seed) = &mut torrent.super_seed {
                    seed.sent(now, id, block.piece, block.length.into(), geometry.piece_size(block.piece).into());
                }
                if let Suggesting::Now(suggestions) = &mut torrent.suggesting
                    && block.offset.saturating_add(block.length) >= geometry.piece_size(block.piece)
                {
                    suggestions.sent(now, block.piece, id);
                    given = true;
                }
            });
            // The next suggestion follows.
            connection.unsaid |= given;
            if encoder.is_empty() && silent {
                encoder.push(Message::KeepAlive);
            }
        }
        let buffers = encoder.take();
        let poses = torrent.super_seed.is_some();
        self.encoder = encoder;
        if poses {
            // What was sent may make it somebody's turn.
            self.pump_super_seed(id);
        }
        self.write(id, buffers, sent)
    }

    /// Hands a write to the host, with so much payload in it; returns how many bytes it has in all.
    fn write(&mut self, id: ConnectionId, buffers: Vec<Bytes>, payload: u64) -> u64 {
        let now = self.now;
        let bytes: usize = buffers.iter().map(Bytes::len).sum();
        let Some((connection, torrent)) = self.pair(id).filter(|_| bytes > 0) else { return 0 };
        (connection.writing, connection.last_sent) = (true, now);
        let torrent = torrent.id;
        self.actions.push_back(Action::Write { connection: id, buffers });
        self.count_upload(torrent, bytes);
        self.count_payload(torrent, payload);
        // What was handed out has made room to read ahead.
        self.read_ahead(id);
        self.arm_connection(id);
        bytes as u64
    }

    pub(super) fn on_written(&mut self, id: ConnectionId, result: Result<(), StreamError>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.writing = false;
        let waits = connection.upload.as_ref().is_some_and(|upload| upload.pending() > 0);
        match result {
            Ok(()) => {
                if core::mem::take(&mut connection.unsaid) || waits {
                    self.mark_dirty(id);
                }
                self.listen_on(id);
            }
            Err(error) => self.close(id, CloseReason::Stream(error)),
        }
    }
}

/// Pieces that are told of with one write: 72 KiB.
const HAVE_BATCH: usize = 8192;

/// All that is said once, or whenever it has changed: the bitfield, choke and interest, and the pieces that have come.
/// To whom we pose as one who has nothing is told of no piece here.
fn greet(connection: &mut Connection, torrent: &Torrent, poses: bool, config: &Config, encoder: &mut Encoder) {
    if connection.greeting_due {
        connection.greeting_due = false;
        connection.have_cursor = torrent.have_announced;
        let announced = torrent.announced();
        match connection.is_fast {
            true if poses || announced.is_empty() => encoder.push(Message::HaveNone),
            true if announced.is_full() => encoder.push(Message::HaveAll),
            // BEP 3 lets a peer that has nothing leave the bitfield out.
            false if poses || announced.is_empty() => {}
            _ => encoder.push(Message::Bitfield(Bytes::copy_from_slice(announced.as_bytes()))),
        }
    }
    if connection.told_choking != connection.am_choking {
        connection.told_choking = connection.am_choking;
        encoder.push(if connection.am_choking { Message::Choke } else { Message::Unchoke });
        if connection.am_choking
            && let Some(mut upload) = connection.upload.take()
        {
            // Only now: had the choke been taken back unsaid, the peer would still wait for what it asked for.
            upload.choke(|block| given_while_choked(connection, torrent, config, block));
            connection.upload = Some(upload);
        }
    }
    let fast = connection.is_fast;
    if let Some(upload) = &mut connection.upload {
        // After the choke that they follow from, so that nothing is asked for again.
        if fast {
            upload.take_rejects().for_each(|block| encoder.push(Message::Reject(block)));
        } else {
            upload.drop_rejects();
        }
    }
    for piece in connection.fast_mut().into_iter().flat_map(|fast| fast.tell()) {
        encoder.push(Message::AllowedFast(piece));
    }
    haves(connection, torrent, poses, encoder);
    if connection.told_interested != connection.am_interested {
        connection.told_interested = connection.am_interested;
        encoder.push(if connection.am_interested { Message::Interested } else { Message::NotInterested });
    }
}

/// The pieces that have come since the peer was last told. If we pose as one who has nothing it is told of none here.
fn haves(connection: &mut Connection, torrent: &Torrent, poses: bool, encoder: &mut Encoder) {
    let announced = torrent.have_log.get(..torrent.have_announced as usize).unwrap_or(&torrent.have_log);
    let news = announced.get(connection.have_cursor as usize..).filter(|_| !poses).unwrap_or_default();
    for piece in news.iter().take(HAVE_BATCH) {
        connection.have_cursor += 1;
        // Whoever has it will not ask for it; but a swarm's only seeds want to know who passes on what they give.
        if !connection.holdings.has(*piece) || (torrent.tells_seeds && connection.holdings.is_seed()) {
            encoder.push(Message::Have(*piece));
        }
    }
}

/// Blocks that the peer waits for, as many as go out at once: with their heads no more than `room`, but for the first. Returns how many bytes
/// of payload they are.
fn blocks(connection: &mut Connection, now: crate::time::Instant, room: u64, encoder: &mut Encoder, mut note: impl FnMut(Block)) -> u64 {
    let Some(upload) = &mut connection.upload else { return 0 };
    let limit = upload.batch(now).min(room);
    let (mut sent, mut left) = (0, room);
    while sent < limit
        && let Some(length) = upload.next_ready()
        && (sent == 0 || length + BLOCK_HEAD <= left)
        && let Some((block, data)) = upload.take_ready()
    {
        sent += data.len() as u64;
        left = left.saturating_sub(length + BLOCK_HEAD);
        note(block);
        encoder.push(Message::Piece { piece: block.piece, offset: block.offset, data: data.into() });
    }
    if sent > 0 {
        upload.sent(now, sent);
        connection.last_useful = now;
    }
    sent
}
