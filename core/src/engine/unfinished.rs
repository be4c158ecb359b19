//! Pieces that are not complete when a torrent stands still: their blocks go to the disk, unverified, and come back when it goes on.

use super::{Engine, disk::DiskPurpose};
use crate::{
    id::TorrentId,
    storage::{DiskOperation, Kept},
    util::Bitfield,
    wire::{BLOCK_LENGTH, Payload},
};
use alloc::vec::Vec;
use bytes::Bytes;

impl Engine {
    /// Writes what came of pieces that are not complete.
    pub(super) fn keep_unfinished(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id).filter(|torrent| torrent.is_active()) else { return };
        let layout = torrent.layout.clone();
        let incomplete = torrent.assembly.take_all();
        torrent.keeping += incomplete.len() as u32;
        for piece in &incomplete {
            torrent.picker.piece_failed(piece.piece);
        }
        for incomplete in incomplete {
            let piece = incomplete.piece;
            let run = |(offset, segments): (u32, Vec<Bytes>)| {
                let length = segments.iter().map(Bytes::len).sum::<usize>() as u32;
                Kept { spans: layout.spans(piece, offset, length), segments }
            };
            let runs = incomplete.runs.into_iter().map(run).collect();
            let purpose = DiskPurpose::Keep { piece, blocks: incomplete.blocks, charge: incomplete.charge };
            self.disk(id, purpose, DiskOperation::Keep { piece, runs });
        }
    }

    /// The disk is done with one of them. What it could not write is fetched again, no more.
    pub(super) fn kept(&mut self, id: TorrentId, piece: u32, blocks: &Bitfield, good: bool) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.keeping = torrent.keeping.saturating_sub(1);
        if good {
            let known = torrent.unfinished.entry(piece).or_insert_with(|| Bitfield::new(blocks.len()));
            for block in blocks.iter() {
                known.set(block);
            }
            torrent.resume_changed = true;
        }
        if torrent.keeping == 0 {
            self.save_resume(id);
        }
    }

    /// Reads back what an earlier session, or this one before a pause, wrote of pieces that were not complete. Nobody is asked for it
    /// meanwhile.
    pub(super) fn restore_unfinished(&mut self, id: TorrentId) {
        let (limit, most) = (self.config.begun_limit.min(self.config.block_budget), self.config.upload_read_limit / BLOCK_LENGTH);
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let mut reads = Vec::new();
        let mut bytes = 0u64;
        for (piece, blocks) in &torrent.unfinished {
            if bytes >= limit || !torrent.picker.restore(*piece, blocks) {
                continue;
            }
            let mut at = 0;
            while at < blocks.len() {
                let length = (at..blocks.len()).take(most.max(1) as usize).take_while(|block| blocks.get(*block)).count() as u32;
                if length > 0 {
                    let offset = at * BLOCK_LENGTH;
                    let size = torrent.geometry.piece_size(*piece).saturating_sub(offset).min(length * BLOCK_LENGTH);
                    bytes += u64::from(size);
                    reads.push((*piece, offset, torrent.layout.spans(*piece, offset, size), size));
                }
                at += length.max(1);
            }
        }
        for (piece, offset, spans, length) in reads {
            self.disk(id, DiskPurpose::Restore { piece, offset }, DiskOperation::Read { spans, length });
        }
    }

    /// Blocks of `piece`, from `offset` on, are back from the disk.
    pub(super) fn restored(&mut self, id: TorrentId, piece: u32, offset: u32, data: &Bytes) {
        let Some(torrent) = self.torrents.get_mut(id).filter(|torrent| torrent.is_active()) else { return };
        if torrent.picker.progress(piece).is_none() {
            return;
        }
        let blocks = torrent.geometry.blocks_in(piece);
        for start in (0..data.len()).step_by(BLOCK_LENGTH as usize) {
            let offset = offset.saturating_add(start as u32);
            if torrent.assembly.has(piece, offset) {
                continue;
            }
            let block = data.slice(start..data.len().min(start + BLOCK_LENGTH as usize));
            let charge = block.len() as u64;
            torrent.assembly.insert(piece, blocks, offset, Payload::from(block), None, charge);
            self.blocks_held += charge;
        }
        if torrent.picker.progress(piece).is_some_and(|progress| progress.received == progress.blocks) {
            self.store(id, piece);
        }
    }

    /// What was written of `piece` cannot be read back: all of it is fetched again.
    pub(super) fn not_restored(&mut self, id: TorrentId, piece: u32) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.unfinished.remove(&piece);
        if !torrent.is_active() || torrent.picker.progress(piece).is_none() {
            return;
        }
        torrent.picker.piece_failed(piece);
        let charge = torrent.assembly.drop_piece(piece);
        self.release_blocks(charge);
        self.blocks_freed(id, true);
    }
}
