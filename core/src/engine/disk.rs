use super::Engine;
use crate::{
    action::Action,
    error::{DiskError, DiskErrorKind},
    event::Event,
    id::{ConnectionId, DiskJobId, TorrentId},
    storage::{DiskOperation, DiskOutput},
    torrent::{Phase, Resume, Source},
    util::Bitfield,
};
use alloc::{boxed::Box, vec::Vec};

/// What a disk job is for, and so what its answer means.
#[derive(Debug)]
pub(super) struct DiskJob {
    pub(super) torrent: TorrentId,
    /// The torrent's epoch when the job was given out: answers from an earlier one no longer count.
    pub(super) epoch: u32,
    pub(super) purpose: DiskPurpose,
}

#[derive(Debug)]
pub(super) enum DiskPurpose {
    Open,
    Prepare,
    Verify {
        first: u32,
        pieces: u32,
    },
    Store {
        piece: u32,
        sources: Vec<Option<Source>>,
        charge: u64,
    },
    Upload {
        connection: ConnectionId,
    },
    /// Blocks of a piece that is not complete are written.
    Keep {
        piece: u32,
        blocks: Bitfield,
        charge: u64,
    },
    /// Such blocks are read again.
    Restore {
        piece: u32,
        offset: u32,
    },
    /// The files' stamps, for resume data that is otherwise known.
    Stamp {
        resume: Box<Resume>,
        /// Files were missing when this was asked before.
        again: bool,
    },
    SaveResume,
    Close,
}

impl Engine {
    pub(super) fn disk(&mut self, torrent: TorrentId, purpose: DiskPurpose, operation: DiskOperation) -> Option<DiskJobId> {
        let state = self.torrents.get_mut(torrent)?;
        state.disk_jobs += 1;
        let job = self.disk_jobs.insert(DiskJob { torrent, epoch: state.epoch, purpose });
        self.actions.push_back(Action::Disk { job, torrent, operation });
        Some(job)
    }

    pub(super) fn on_disk(&mut self, id: DiskJobId, result: Result<DiskOutput, Box<DiskError>>) {
        let Some(job) = self.disk_jobs.remove(id) else { return };
        let Some(torrent) = self.torrents.get_mut(job.torrent) else { return };
        torrent.disk_jobs = torrent.disk_jobs.saturating_sub(1);
        let current = torrent.epoch == job.epoch;
        if let DiskPurpose::Store { charge, .. } = job.purpose {
            torrent.storing = torrent.storing.saturating_sub(1);
            self.storing = self.storing.saturating_sub(1);
            self.release_blocks(charge);
        }
        if let DiskPurpose::Keep { charge, .. } = job.purpose {
            self.release_blocks(charge);
        }
        match (job.purpose, result) {
            (DiskPurpose::Close, _) => self.closed(job.torrent),
            (DiskPurpose::Stamp { resume, again: false }, Err(error)) if current && error.kind == DiskErrorKind::Missing => {
                // What was verified is not true any more. The other files keep their stamps.
                self.disk(job.torrent, DiskPurpose::Stamp { resume, again: true }, DiskOperation::Stamp);
                self.fail(job.torrent, error);
            }
            // Resume data that cannot be saved costs time at the next start, nothing else.
            (DiskPurpose::SaveResume, _) | (DiskPurpose::Stamp { .. }, Err(_)) => self.saved(job.torrent),
            (DiskPurpose::Stamp { .. }, _) if !current => self.saved(job.torrent),
            (DiskPurpose::Keep { piece, blocks, .. }, result) => self.kept(job.torrent, piece, &blocks, current && result.is_ok()),
            (_, _) if !current => {}
            (DiskPurpose::Restore { piece, offset }, Ok(DiskOutput::Read(data))) => self.restored(job.torrent, piece, offset, &data),
            (DiskPurpose::Restore { piece, .. }, _) => self.not_restored(job.torrent, piece),
            (DiskPurpose::Store { piece, sources, .. }, Ok(DiskOutput::Stored(fingerprints))) => {
                self.stored(job.torrent, piece, sources, &fingerprints);
            }
            (DiskPurpose::Store { piece, sources, .. }, Ok(DiskOutput::Mismatch(fingerprints))) => {
                self.mismatched(job.torrent, piece, sources, fingerprints);
            }
            (DiskPurpose::Upload { connection }, Ok(DiskOutput::Read(data))) => self.upload_read(connection, id, &data),
            (DiskPurpose::Open, Ok(DiskOutput::Opened(stamps))) => self.opened(job.torrent, stamps),
            (DiskPurpose::Verify { first, pieces }, Ok(DiskOutput::Verified(valid))) => {
                debug_assert_eq!(valid.len(), pieces as usize);
                self.hashed(job.torrent, first, &valid);
            }
            (DiskPurpose::Prepare, Ok(_)) => self.files_prepared(job.torrent),
            (DiskPurpose::Stamp { resume, .. }, Ok(DiskOutput::Stamps(stamps))) => self.stamped(job.torrent, *resume, stamps),
            (DiskPurpose::Store { piece, .. }, Err(error)) => {
                if let Some(torrent) = self.torrents.get_mut(job.torrent) {
                    torrent.picker.piece_failed(piece);
                }
                self.fail(job.torrent, error);
            }
            (_, Err(error)) => self.fail(job.torrent, error),
            // The host answered something else than what was asked.
            (purpose, Ok(output)) => debug_assert!(false, "{purpose:?} was answered by {output:?}"),
        }
        self.settle(job.torrent);
    }

    /// A torrent stands still because of its disk, until its owner resumes it.
    pub(super) fn fail(&mut self, id: TorrentId, error: Box<DiskError>) {
        // What fails together is one failure.
        let Some(torrent) = self.torrents.get_mut(id).filter(|torrent| !matches!(torrent.phase, Phase::Failed)) else { return };
        torrent.error = Some(error.clone());
        if self.stand_still(id, Phase::Failed) {
            self.event(Event::Failed { torrent: id, error });
        }
    }
}
