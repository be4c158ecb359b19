//! Fetching: requests, blocks, pieces, haves.

use super::{Engine, disk::DiskPurpose, web_seeds::give_way};
use crate::{
    event::Event,
    id::{ConnectionId, TorrentId},
    peer::{Arrival, Connection, Download, ProtocolError},
    storage::{DiskOperation, Fingerprint},
    time::Duration,
    torrent::{
        Source, SourceId,
        picker::{self, PeerPieces, Received, Speed},
    },
    wire::{Block, Payload},
};
use alloc::{boxed::Box, vec::Vec};

/// Blocks that a peer with nothing else to do is asked for although others were.
const ENDGAME_BATCH: usize = 16;

/// Less than this nobody is relieved of: what is under way by then would come twice.
const WORTH_RELIEF: Duration = Duration::from_secs(1);

/// So many seeds at most are told what we have. Where there are more, none of them is the first, which has to know who passes things on.
const FEW_SEEDS: usize = 4;

/// A fast peer sends a piece in ten seconds, a slow one takes longer than a minute.
pub(super) fn speed(rate: u64, piece_length: u32) -> Speed {
    match rate.saturating_mul(10) {
        tenfold if tenfold >= u64::from(piece_length) => Speed::Fast,
        tenfold if tenfold.saturating_mul(6) >= u64::from(piece_length) => Speed::Medium,
        _ => Speed::Slow,
    }
}

impl Engine {
    /// Picks the blocks to ask a peer for now, as many as its window has room for, and adds them to `out`.
    pub(super) fn pick(&mut self, id: ConnectionId, out: &mut Vec<Block>) {
        let (now, config) = (self.now, &self.config);
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return };
        if !connection.lets_us_ask() || !connection.am_interested || !torrent.is_active() {
            return;
        }
        let download = connection.download.get_or_insert_with(|| Box::new(Download::new(config)));
        download.hurried = torrent.choices.sequential;
        let told = connection.extended.as_ref().and_then(|extended| extended.request_queue).unwrap_or(u32::MAX);
        let mut room = download.room(config).min((told as usize).saturating_sub(download.outstanding()));
        if room > 0 && !connection.peer_choking && torrent.picker.endgame() && download.outstanding() == 0 {
            self.relieve(id, room, out);
            if !out.is_empty() {
                return self.note_requests(id, out);
            }
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return };
        let Some(download) = &mut connection.download else { return };
        if room > 0 && !connection.peer_choking && torrent.picker.endgame() {
            // Rather than that something comes twice, a web seed gives up what it would have come to last.
            give_way(torrent, connection.holdings.view());
        }
        if torrent.picker.endgame() {
            // What is asked for twice may come twice: only a peer that has nothing else to do is worth that.
            room = if download.outstanding() == 0 { room.min(ENDGAME_BATCH) } else { 0 };
        }
        if room == 0 {
            return;
        }
        let speed = speed(download.rate(now), torrent.geometry.piece_length());
        if connection.fast().is_some() {
            self.pick_few(id, room, speed, out);
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return };
        let Some(download) = &mut connection.download else { return };
        if !connection.peer_choking {
            let room = room.saturating_sub(out.len());
            let refused = download.refused();
            let rest = (!refused.is_empty()).then(|| connection.holdings.without(refused, torrent.geometry.piece_count()));
            // What the cursor knows of all that the peer has holds for a part of it, but not the other way round.
            let mut cursor = connection.cursor;
            let (has, cursor) = match &rest {
                Some(rest) => (PeerPieces::Some(rest), &mut cursor),
                None => (connection.holdings.view(), &mut connection.cursor),
            };
            let source = picker::Source { peer: SourceId::Peer(id), has, speed };
            torrent.picker.pick(&source, cursor, room, &mut torrent.picker_rng, out);
        }
        if out.is_empty() && download.outstanding() == 0 && !connection.peer_choking {
            self.relieve(id, room, out);
        }
        self.note_requests(id, out);
    }

    /// `blocks` are asked of a peer now.
    fn note_requests(&mut self, id: ConnectionId, blocks: &[Block]) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return };
        let Some(download) = &mut connection.download else { return };
        download.requested(now, blocks);
        // Peers with nothing to do are looked at again when the last free blocks are gone: they may now be asked for others' blocks.
        let endgame = torrent.picker.endgame();
        let begins = endgame && !core::mem::replace(&mut torrent.endgame, endgame);
        torrent.endgame = endgame;
        let torrent = torrent.id;
        self.blocks_freed(torrent, begins);
    }

    /// A peer lets us ask, and of all that it has everything is asked of others: it gets the latter half of what the one owes us that
    /// will take longest, for the more peers send at once the sooner we and those whom we serve have it.
    fn relieve(&mut self, id: ConnectionId, room: usize, out: &mut Vec<Block>) {
        let now = self.now;
        let Some(connection) = self.connections.get(id) else { return };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get(torrent)) else { return };
        let Some(download) = connection.download.as_ref().filter(|download| !download.snubbed) else { return };
        let speed = speed(download.rate(now), torrent.geometry.piece_length());
        let of_use = |block: &Block| connection.holdings.has(block.piece) && !download.refused().contains(&block.piece);
        let mut slowest = None;
        for other in torrent.connections.iter().filter(|other| **other != id) {
            let Some(download) = self.connections.get(*other).and_then(|other| other.download.as_ref()) else { continue };
            let backlog = download.backlog(now, WORTH_RELIEF).map(|backlog| (backlog, *other));
            if let Some(((_, blocks), _)) = backlog
                && backlog > slowest
                && download.latest().take(blocks).any(|block| of_use(&block))
            {
                slowest = backlog;
            }
        }
        let Some(((_, most), slowest)) = slowest else { return };
        let Some(owed) = self.connections.get(slowest).and_then(|slowest| slowest.download.as_ref()) else { return };
        let blocks: Vec<Block> = owed.latest().take(most).filter(of_use).take(room).collect();
        let Some(slowest_download) = self.connections.get_mut(slowest).and_then(|slowest| slowest.download.as_mut()) else { return };
        let cancelled = blocks.iter().all(|block| slowest_download.cancel(*block));
        debug_assert!(cancelled);
        self.mark_dirty(slowest);
        let Some((connection, torrent)) = self.pair(id) else { return };
        for block in &blocks {
            torrent.picker.released(SourceId::Peer(slowest), *block);
        }
        let source = picker::Source { peer: SourceId::Peer(id), has: connection.holdings.view(), speed };
        torrent.picker.pick(&source, &mut connection.cursor, blocks.len(), &mut torrent.picker_rng, out);
    }

    /// A block has come from a peer.
    pub(super) fn block_arrived(&mut self, id: ConnectionId, block: Block, data: Payload, share: u64) -> Result<(), ProtocolError> {
        let now = self.now;
        let config = &self.config;
        let Some(connection) = self.connections.get_mut(id) else { return Ok(()) };
        let Some(torrent) = connection.torrent.and_then(|torrent| self.torrents.get_mut(torrent)) else { return Ok(()) };
        let length = u64::from(block.length);
        torrent.downloaded += length;
        torrent.download_meter.add(now, length);
        let download = connection.download(config);
        download.total = download.total.saturating_add(length);
        let arrival = download.arrived(now, block, config);
        let received = match arrival {
            _ if !torrent.is_active() => Received::Unrequested,
            Arrival::Expected => torrent.picker.received(SourceId::Peer(id), block),
            Arrival::Late => torrent.picker.received_late(SourceId::Peer(id), block),
            Arrival::Unasked => return Err(ProtocolError::Block),
        };
        let Received::New { piece_complete, cancel } = received else {
            torrent.wasted += length;
            return Ok(());
        };
        connection.last_useful = now;
        let (torrent, source) = (torrent.id, Source::Peer(connection.remote));
        self.keep_block(torrent, block, data, source, (length * share) >> 8);
        self.cancel_elsewhere(torrent, block, &cancel);
        if piece_complete {
            self.store(torrent, block.piece);
        }
        Ok(())
    }

    /// Keeps a block that was missing until its piece is complete.
    pub(super) fn keep_block(&mut self, id: TorrentId, block: Block, data: Payload, source: Source, charge: u64) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let blocks = torrent.geometry.blocks_in(block.piece);
        torrent.assembly.insert(block.piece, blocks, block.offset, data, Some(source), charge);
        self.blocks_held += charge;
    }

    /// A block has come that others were asked for, too.
    pub(super) fn cancel_elsewhere(&mut self, id: TorrentId, block: Block, others: &[SourceId]) {
        for other in others {
            match other {
                SourceId::Peer(other) => {
                    if let Some(download) = self.connections.get_mut(*other).and_then(|other| other.download.as_mut())
                        && download.cancel(block)
                    {
                        self.mark_dirty(*other);
                    }
                }
                SourceId::WebSeed(place) => {
                    if let Some(web) = self.torrents.get_mut(id).and_then(|torrent| torrent.web_seeds.get_mut(*place as usize)) {
                        web.robbed = true;
                    }
                }
            }
        }
    }

    /// All blocks of a piece are here: to the disk with them, which looks at the hash first.
    pub(super) fn store(&mut self, id: TorrentId, piece: u32) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let Some(assembled) = torrent.assembly.take(piece) else { return };
        let Some(digest) = torrent.metainfo().and_then(|metainfo| metainfo.info.piece_hash(piece).copied()) else { return };
        let spans = torrent.layout.spans(piece, 0, torrent.layout.piece_size(piece));
        let fingerprints = torrent.blame.suspects(piece);
        torrent.storing += 1;
        self.storing += 1;
        let purpose = DiskPurpose::Store { piece, sources: assembled.sources, charge: assembled.charge };
        self.disk(id, purpose, DiskOperation::Store { piece, segments: assembled.segments, spans, digest, fingerprints });
    }

    /// A piece fitted its hash and is on disk.
    pub(super) fn stored(&mut self, id: TorrentId, piece: u32, sources: Vec<Option<Source>>, fingerprints: &[Fingerprint]) {
        drop(sources);
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.unfinished.remove(&piece);
        torrent.picker.piece_verified(piece);
        torrent.blame.end_trial(piece);
        if !torrent.verified.set(piece) {
            return;
        }
        let length = torrent.geometry.piece_size(piece);
        torrent.verified_bytes += u64::from(length);
        torrent.selection.piece_verified(piece, length);
        torrent.have_log.push(piece);
        let have_due = now + self.config.have_delay;
        torrent.have_due = Some(torrent.have_due.map_or(have_due, |at| at.min(have_due)));
        torrent.resume_changed = true;
        torrent.resume_due.get_or_insert(now + self.config.resume_interval);
        let guilty = if fingerprints.is_empty() { Vec::new() } else { torrent.blame.good_copy(piece, fingerprints) };
        // What was still under way when it ceased to be wanted finishes nothing.
        let finishes = torrent.is_finished() && torrent.is_active() && torrent.selection.wants(piece);
        self.event(Event::PieceVerified { torrent: id, piece });
        for source in guilty {
            self.ban_source(id, source);
        }
        if finishes {
            self.finished(id);
        }
        self.arm_torrent(id);
    }

    /// A piece did not fit its hash. Whoever is certainly to blame is banned; the piece is fetched again, from one peer alone, so that
    /// if it fails again there is no doubt: best from one that sent nothing of what failed.
    pub(super) fn mismatched(&mut self, id: TorrentId, piece: u32, sources: Vec<Option<Source>>, fingerprints: Vec<Fingerprint>) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.wasted += u64::from(torrent.geometry.piece_size(piece));
        torrent.unfinished.remove(&piece);
        torrent.picker.piece_failed(piece);
        let Some(blame) = self.torrents.get(id).map(|torrent| &torrent.blame) else { return };
        let clean = |source| !sources.contains(&Some(source)) && !blame.is_doubtful(piece, source);
        let trusted = self.most_useful(id, piece, clean).map(SourceId::Peer);
        let trusted = trusted.or_else(|| self.able_web_seed(id, piece, &sources));
        let trusted = trusted.or_else(|| self.most_useful(id, piece, |_| true).map(SourceId::Peer));
        self.keep_for(id, piece, trusted, None);
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let guilty = torrent.blame.bad_copy(piece, sources, fingerprints);
        self.event(Event::PieceFailed { torrent: id, piece });
        if let Some(source) = guilty {
            self.ban_source(id, source);
        }
        self.blocks_freed(id, true);
        self.arm_torrent(id);
    }

    /// What is missing of a piece that failed is fetched from one source alone, if there is one; `slow` had it before.
    fn keep_for(&mut self, id: TorrentId, piece: u32, only: Option<SourceId>, slow: Option<Source>) {
        let (now, patience) = (self.now, self.config.snub_timeout);
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.picker.restrict(piece, only);
        match torrent.picker.kept_for(piece).and_then(|_| torrent.picker.progress(piece)) {
            Some(progress) => torrent.blame.on_trial(now, patience, piece, progress.blocks - progress.received, slow),
            None => torrent.blame.end_trial(piece),
        }
    }

    /// Whoever has a piece that failed to itself brings half of what is missing in the time that silence is borne. Otherwise somebody else
    /// gets the rest, first those who sent nothing of what failed, and in the end everybody: what it brings in drops would hold up the whole.
    pub(super) fn trials_due(&mut self, id: TorrentId) {
        let now = self.now;
        let Some(torrent) = self.torrents.get(id) else { return };
        for piece in torrent.blame.trials_due(now) {
            let Some(torrent) = self.torrents.get(id) else { return };
            let missing = torrent.picker.progress(piece).map_or(0, |progress| progress.blocks - progress.received);
            let Some(only) = torrent.picker.kept_for(piece).filter(|_| missing > 0) else {
                self.keep_for(id, piece, None, None);
                continue;
            };
            if torrent.blame.goes_well(piece, missing) {
                self.keep_for(id, piece, Some(only), None);
                continue;
            }
            let slow = self.give_up(id, piece, only);
            let Some(torrent) = self.torrents.get(id) else { return };
            let clean = |source| Some(source) != slow && !torrent.blame.is_doubtful(piece, source);
            let next = self.most_useful(id, piece, clean).map(SourceId::Peer);
            self.keep_for(id, piece, next, slow);
            self.blocks_freed(id, true);
        }
    }

    /// Nothing of `piece` is awaited from a source any more. Gives its name.
    fn give_up(&mut self, id: TorrentId, piece: u32, source: SourceId) -> Option<Source> {
        let peer = match source {
            SourceId::WebSeed(place) => return Some(Source::WebSeed(place)),
            SourceId::Peer(peer) => peer,
        };
        let torrent = self.torrents.get_mut(id)?;
        let connection = self.connections.get_mut(peer)?;
        let blocks = connection.download.as_mut().map(|download| download.cancel_pieces(&[piece])).unwrap_or_default();
        blocks.into_iter().for_each(|block| torrent.picker.released(source, block));
        let remote = connection.remote;
        self.mark_dirty(peer);
        Some(Source::Peer(remote))
    }

    /// A peer owes us blocks and sends none: others shall have them.
    pub(super) fn snub(&mut self, id: ConnectionId) {
        let now = self.now;
        let Some((connection, torrent)) = self.pair(id) else { return };
        let Some(download) = &mut connection.download else { return };
        let asked_for = if connection.peer_choking {
            // It has forgotten to reject what it will not send; or it has sent it, and what it sends is on its way for a minute.
            let asked_for = download.release();
            download.cancels.extend(&asked_for);
            let fast = download.fast.iter_mut();
            fast.for_each(|fast| asked_for.iter().for_each(|block| fast.disallow(block.piece)));
            asked_for
        } else {
            download.snub(now)
        };
        torrent.picker.peer_gone(SourceId::Peer(id), asked_for);
        let torrent = torrent.id;
        self.blocks_freed(torrent, true);
    }

    /// Blocks have become free that other peers may be asked for: those with room in their windows get to say so.
    pub(super) fn blocks_freed(&mut self, id: TorrentId, any: bool) {
        self.wake_peers(id, any);
        if any {
            self.pump_web_seeds(id);
        }
    }

    /// As [`Engine::blocks_freed`], for peers alone.
    pub(super) fn wake_peers(&mut self, id: TorrentId, any: bool) {
        if !any {
            return;
        }
        let Some(torrent) = self.torrents.get(id).filter(|torrent| torrent.is_active()) else { return };
        let connections: Vec<ConnectionId> = torrent.connections.iter().copied().collect();
        let mut last = Vec::new();
        for id in connections {
            let waits = |connection: &&Connection| connection.is_open() && connection.lets_us_ask() && connection.am_interested;
            match self.connections.get(id).filter(waits) {
                // It would take what it has just been relieved of.
                Some(connection) if connection.is_snubbed() => last.push(id),
                Some(_) => self.mark_dirty(id),
                None => {}
            }
        }
        last.into_iter().for_each(|id| self.mark_dirty(id));
    }

    /// The peer that has sent us most, of those that hold `piece` and let us have it, and of which `may` says so.
    fn most_useful(&self, id: TorrentId, piece: u32, may: impl Fn(Source) -> bool) -> Option<ConnectionId> {
        let able = |connection: &Connection| {
            let gives = connection.is_open() && !connection.peer_choking && connection.holdings.has(piece);
            gives && may(Source::Peer(connection.remote))
        };
        let torrent = self.torrents.get(id)?;
        let open = torrent.connections.iter().filter_map(|id| Some((*id, self.connections.get(*id)?)));
        let able = open.filter(|(_, connection)| able(connection));
        able.max_by_key(|(id, connection)| (!connection.is_snubbed(), connection.downloaded(), *id)).map(|(id, _)| id)
    }

    /// Lets peers be told of the pieces that have come since they were last told: at once those whom that may give something to do.
    pub(super) fn announce_haves(&mut self, id: TorrentId) {
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.have_due = None;
        let from = torrent.have_announced as usize;
        torrent.have_announced = torrent.have_log.len() as u32;
        let news: Vec<u32> = torrent.have_log.get(from..).unwrap_or_default().to_vec();
        let mut told = Vec::new();
        let mut rest = false;
        let mut seeds = 0;
        for id in &torrent.connections {
            let Some(connection) = self.connections.get_mut(*id).filter(|connection| connection.is_open()) else { continue };
            seeds += usize::from(connection.holdings.is_seed());
            if connection.waits_for_haves() {
                told.push(*id);
            } else {
                rest = true;
            }
            let held = news.iter().filter(|piece| torrent.selection.wants(**piece) && connection.holdings.has(**piece)).count() as u32;
            connection.interesting = connection.interesting.saturating_sub(held);
        }
        torrent.tells_seeds = seeds <= FEW_SEEDS;
        if rest {
            torrent.have_rest_due.get_or_insert(now + self.config.have_patience);
        }
        told.into_iter().for_each(|connection| self.mark_dirty(connection));
    }

    /// Lets those be told who did not need to know at once.
    pub(super) fn announce_to_the_rest(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.have_rest_due = None;
        let announced = torrent.have_announced;
        let behind = |id: &ConnectionId| self.connections.get(*id).is_some_and(|peer| peer.is_open() && peer.have_cursor < announced);
        let told: Vec<ConnectionId> = torrent.connections.iter().copied().filter(behind).collect();
        told.into_iter().for_each(|connection| self.mark_dirty(connection));
    }

    /// The last wanted piece has come, or what was missing is no longer wanted.
    pub(super) fn finished(&mut self, id: TorrentId) {
        let now = self.now;
        self.announce_haves(id);
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        if torrent.is_complete() {
            torrent.announcer.complete(now);
        } else {
            // A partial seed has not completed; trackers hear that it is one (BEP 21) as soon as they allow.
            torrent.announcer.update(now);
        }
        torrent.seeding_since.get_or_insert(now);
        self.stop_web_seeds(id);
        self.event(Event::Finished { torrent: id });
        self.watch_goal(id);
        self.save_resume(id);
        self.announce(id);
        self.wants_changed(id);
        self.choose_super_seeding(id);
    }
}
