//! Torrents come, are checked, start, pause, fail and end; and what they leave behind for the next session.

use super::{Engine, disk::DiskPurpose, timers::Timer};
use crate::{
    choices::{Choices, Priority},
    command::{AddTorrent, CommandError, TorrentSource},
    event::Event,
    id::TorrentId,
    metainfo::{InfoHash, Metainfo},
    peer::CloseReason,
    rng::Purpose,
    storage::{DiskOperation, FileStamp, Layout},
    time::Duration,
    torrent::{
        Assembly, Blame, Checking, Earlier, Ending, Geometry, GoalWatch, PeerList, PeerSource, Phase, Resume, ResumePeer, Selection,
        Suggesting, Torrent,
        choker::Choker,
        picker::{PeerCursor, Picker},
    },
    tracker::{Announcer, Reach},
    util::{Bitfield, Lane, RateMeter},
};
use alloc::{collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};
use bytes::Bytes;
use core::net::SocketAddr;

impl Engine {
    // Commands

    pub(super) fn add(&mut self, add: AddTorrent) -> Result<TorrentId, CommandError> {
        if self.shutting_down {
            return Err(CommandError::ShuttingDown);
        }
        let info_hash = add.source.info_hash().ok_or(CommandError::NoInfoHash)?;
        if let Some(known) = self.by_info_hash.get(&info_hash) {
            return Err(CommandError::AlreadyAdded(*known));
        }
        let from_magnet = matches!(add.source, TorrentSource::Magnet(_));
        let choices = with_selection(add.choices, &add.source);
        let named = match &add.source {
            TorrentSource::Magnet(magnet) => magnet.peers.clone(),
            TorrentSource::Metainfo(_) => Vec::new(),
        };
        let source = known(add.source, info_hash, add.resume.as_ref());
        let trackers = match &source {
            TorrentSource::Metainfo(metainfo) => metainfo.trackers.clone(),
            TorrentSource::Magnet(magnet) => magnet.trackers.iter().map(|url| Vec::from([url.clone()])).collect(),
        };
        let (layout, geometry) = match &source {
            TorrentSource::Metainfo(metainfo) => Torrent::shape(metainfo),
            // Until the metadata is there: nothing.
            TorrentSource::Magnet(_) => Layout::new(Vec::new(), 1).zip(Geometry::new(0, 1)),
        }
        .ok_or(CommandError::Impossible)?;
        let metadata = matches!(source, TorrentSource::Metainfo(_));
        let (saved, waiting) = if metadata { (add.resume, None) } else { (None, add.resume) };
        let resume = saved.and_then(|data| Resume::decode(&data, info_hash, &layout).ok());
        let private = matches!(&source, TorrentSource::Metainfo(metainfo) if metainfo.info.is_private());
        let number = self.torrents_added;
        self.torrents_added += 1;
        let mut announcer_config = self.config.announcer.clone();
        if private {
            announcer_config.reach = Reach::OneTracker;
        }
        let choices = match &resume {
            Some(resume) => choices.or(resume.choices.clone()),
            None => choices,
        };
        let earlier = Earlier::of(resume.as_ref());
        let mut announcer = Announcer::new(trackers, announcer_config, self.rng.fork(Purpose::Announcer, number));
        if let Some(resume) = &resume {
            announcer.restore(&resume.trackers);
        }
        let mut peers = PeerList::new(self.rng.fork(Purpose::PeerList, number));
        peers.set_own(self.own_addresses);
        let choker = Choker::new(self.rng.fork(Purpose::Choker, number));
        let rates = choices.rates;
        let picker = Picker::new(geometry, (&self.config).into());
        let picker_rng = self.rng.fork(Purpose::Picker, number);
        let id = self.torrents.insert_with(|id| Torrent {
            id,
            info_hash,
            source,
            from_magnet,
            selection: Selection::new(&layout, &geometry, &choices, &Bitfield::new(geometry.piece_count())),
            choices,
            saved: waiting,
            layout: Arc::new(layout),
            geometry,
            folder: add.folder,
            allocation: add.allocation,
            phase: Phase::Settling,
            paused: add.paused,
            error: None,
            epoch: 0,
            disk_jobs: 0,
            unfinished: BTreeMap::new(),
            keeping: 0,
            storing: 0,
            preparing: false,
            prepared_for: None,
            verified: Bitfield::new(geometry.piece_count()),
            verified_bytes: 0,
            picker,
            picker_rng,
            endgame: false,
            assembly: Assembly::default(),
            blame: Blame::default(),
            have_log: Vec::new(),
            have_announced: 0,
            have_due: None,
            have_rest_due: None,
            tells_seeds: false,
            connections: Default::default(),
            open: 0,
            peers,
            web_seeds: Vec::new(),
            exchange: None,
            choker,
            choke_due: None,
            super_seed: None,
            suggesting: Suggesting::default(),
            files_known: false,
            announcer,
            resume,
            resume_changed: false,
            saving: false,
            save_again: false,
            resume_due: None,
            connected_at: None,
            next_turnover: self.now,
            room_due: None,
            goal: GoalWatch::default(),
            downloaded: 0,
            uploaded: 0,
            wasted: 0,
            seeding_since: None,
            seeded: Duration::ZERO,
            earlier,
            download_meter: RateMeter::default(),
            upload_meter: RateMeter::default(),
            download_lane: Lane::new(),
            upload_lane: Lane::new(),
            armed: None,
        });
        self.by_info_hash.insert(info_hash, id);
        self.set_torrent_rates(id, rates);
        if let Some(torrent) = self.torrents.get_mut(id) {
            add.peers.iter().for_each(|peer| torrent.learn(self.now, *peer, PeerSource::Owner, &self.config));
            torrent.learn_saved(self.now, &self.config);
        }
        if metadata {
            if !private && !add.paused {
                self.resolve_peers(id, named);
            }
            self.settle(id)
        } else {
            self.fetch_metadata(id)
        }
        Ok(id)
    }

    pub(super) fn pause(&mut self, id: TorrentId) -> Result<(), CommandError> {
        let torrent = self.torrents.get_mut(id).ok_or(CommandError::NoSuchTorrent)?;
        torrent.paused = true;
        if torrent.takes_peers() {
            self.keep_unfinished(id);
            self.stand_still(id, Phase::Paused);
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, id: TorrentId) -> Result<(), CommandError> {
        let torrent = self.torrents.get_mut(id).ok_or(CommandError::NoSuchTorrent)?;
        torrent.paused = false;
        match torrent.phase {
            Phase::Paused | Phase::Failed if torrent.metainfo().is_none() => self.fetch_metadata(id),
            Phase::Paused => self.prepare(id),
            Phase::Failed => self.reopen(id),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn recheck(&mut self, id: TorrentId) -> Result<(), CommandError> {
        let torrent = self.torrents.get_mut(id).ok_or(CommandError::NoSuchTorrent)?;
        if matches!(torrent.phase, Phase::Ending(_)) {
            return Err(CommandError::NoSuchTorrent);
        }
        if torrent.metainfo().is_none() {
            return Ok(());
        }
        torrent.resume = None;
        self.stand_still(id, Phase::Settling);
        if let Some(torrent) = self.torrents.get_mut(id) {
            // What was saved says more than is known now.
            torrent.resume_changed = true;
        }
        self.reopen(id);
        Ok(())
    }

    pub(super) fn remove(&mut self, id: TorrentId, delete: bool) -> Result<(), CommandError> {
        let torrent = self.torrents.get(id).ok_or(CommandError::NoSuchTorrent)?;
        if matches!(torrent.phase, Phase::Ending(_)) {
            return Err(CommandError::NoSuchTorrent);
        }
        self.end(id, true, delete);
        Ok(())
    }

    pub(super) fn add_peers(&mut self, id: TorrentId, peers: Vec<SocketAddr>, source: PeerSource) -> Result<(), CommandError> {
        let torrent = self.torrents.get_mut(id).ok_or(CommandError::NoSuchTorrent)?;
        for peer in peers {
            torrent.learn(self.now, peer, source, &self.config);
        }
        self.connect_peers(id);
        self.arm_torrent(id);
        Ok(())
    }

    pub(super) fn shut_down(&mut self) {
        if self.shutting_down {
            return;
        }
        self.shutting_down = true;
        let torrents: Vec<TorrentId> = self.torrents.keys().collect();
        for id in torrents {
            self.end(id, false, false);
        }
        // Whoever has not yet shaken hands belongs to no torrent.
        let strangers: Vec<_> = self.connections.keys().collect();
        for connection in strangers {
            self.close(connection, CloseReason::TorrentStopped);
        }
        self.shut_down_if_empty();
    }

    // The way up

    /// Goes on with whatever waited for the disk to have answered everything.
    pub(super) fn settle(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id).filter(|torrent| torrent.disk_jobs == 0) else { return };
        match torrent.phase {
            Phase::Settling => {
                torrent.phase = Phase::Opening;
                torrent.files_known = false;
                let operation = DiskOperation::Open {
                    layout: torrent.layout.clone(),
                    folder: torrent.folder.clone(),
                    allocation: torrent.allocation,
                    parts: parts_name(torrent.info_hash),
                };
                self.disk(id, DiskPurpose::Open, operation);
            }
            // A magnet link without metadata has nothing on disk.
            Phase::Ending(Ending::Settling { .. }) if torrent.metainfo().is_none() => self.closed(id),
            // What was stored while it was ending is saved, too.
            Phase::Ending(Ending::Settling { forget: false, .. }) if torrent.resume_changed && torrent.files_known => self.save_resume(id),
            Phase::Ending(Ending::Settling { forget, delete }) => {
                torrent.phase = Phase::Ending(Ending::Closing);
                self.disk(id, DiskPurpose::Close, DiskOperation::Close { forget, delete });
            }
            _ => {}
        }
    }

    /// Forgets what is known of the disk and looks again, once it has answered everything from before.
    fn reopen(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.epoch = torrent.epoch.wrapping_add(1);
        torrent.error = None;
        torrent.phase = Phase::Settling;
        torrent.verified = Bitfield::new(torrent.geometry.piece_count());
        torrent.verified_bytes = 0;
        torrent.picker = Picker::new(torrent.geometry, (&self.config).into());
        torrent.select();
        (torrent.preparing, torrent.prepared_for) = (false, None);
        torrent.unfinished.clear();
        torrent.blame = Blame::default();
        torrent.have_log = Vec::new();
        torrent.have_announced = 0;
        (torrent.have_due, torrent.have_rest_due) = (None, None);
        self.settle(id);
    }

    /// The disk has looked at what files are there.
    pub(super) fn opened(&mut self, id: TorrentId, stamps: Vec<Option<FileStamp>>) {
        let Some(torrent) = self.torrents.get_mut(id).filter(|torrent| matches!(torrent.phase, Phase::Opening)) else { return };
        let checking = Checking::new(&torrent.layout, &stamps, torrent.resume.as_ref());
        torrent.phase = Phase::Checking(checking, stamps);
        self.check(id);
    }

    /// Keeps the disk busy with hashing what must be hashed; goes on once all of it is.
    fn check(&mut self, id: TorrentId) {
        let config = &self.config;
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let Phase::Checking(checking, _) = &mut torrent.phase else { return };
        let mut runs = Vec::new();
        while checking.jobs < config.checking_jobs.max(1)
            && let Some(run) = checking.next_run(&torrent.layout, config.checking_bytes)
        {
            checking.jobs += 1;
            runs.push(run);
        }
        let idle = checking.jobs == 0;
        for (first, pieces) in runs {
            let Some(digests) = self.torrents.get(id).and_then(|torrent| torrent.metainfo()?.info.piece_hashes(first, pieces)) else {
                continue;
            };
            self.disk(id, DiskPurpose::Verify { first, pieces }, DiskOperation::Verify { first, digests });
        }
        if idle {
            self.checked(id);
        }
    }

    pub(super) fn hashed(&mut self, id: TorrentId, first: u32, valid: &[bool]) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let Phase::Checking(checking, _) = &mut torrent.phase else { return };
        checking.jobs = checking.jobs.saturating_sub(1);
        checking.checked(&torrent.layout, first, valid);
        self.check(id);
    }

    /// What is on disk is known.
    fn checked(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let Phase::Checking(checking, stamps) = core::mem::replace(&mut torrent.phase, Phase::Paused) else { return };
        let pieces = torrent.geometry.piece_count();
        torrent.files_known = true;
        torrent.verified_bytes = checking.verified.iter().map(|piece| u64::from(torrent.geometry.piece_size(piece))).sum();
        torrent.verified = checking.verified;
        torrent.unfinished = checking.unfinished;
        torrent.picker = Picker::resumed(torrent.geometry, (&self.config).into(), torrent.verified.clone());
        torrent.select();
        self.adopt_connections(id);
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        // Resume data that still holds need not be written again.
        let kept = torrent
            .resume
            .as_ref()
            .is_some_and(|resume| resume.verified == torrent.verified && resume.files == stamps && resume.choices == torrent.choices);
        let chosen = torrent.choices != Choices::default();
        // What was claimed before must not be believed any longer, even if nothing of it is left.
        let claimed = torrent.resume.as_ref().is_some_and(|resume| !resume.verified.is_empty());
        torrent.resume_changed |= !kept && (!torrent.verified.is_empty() || torrent.from_magnet || chosen || claimed);
        let verified = torrent.verified.count();
        // Whoever has everything writes nothing: files may lie on a disk that cannot be written to.
        let lengths = torrent.layout.files().iter().zip(&stamps).filter(|(file, _)| !file.padding);
        let whole =
            torrent.is_complete() && lengths.into_iter().all(|(file, stamp)| stamp.is_some_and(|stamp| stamp.is_whole(file.length)));
        if whole {
            torrent.prepared_for = Some(torrent.selection.files.clone());
        }
        let paused = torrent.paused;
        self.event(Event::Checked { torrent: id, verified, pieces });
        if paused {
            // Whoever gave the metadata may still be there.
            self.stand_still(id, Phase::Paused);
        } else if whole {
            self.prepared(id);
        } else {
            self.prepare(id);
        }
    }

    /// Connections from the time when a magnet link's metadata was fetched go on: the picker learns of them, and they of what is here.
    fn adopt_connections(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id).filter(|torrent| !torrent.connections.is_empty()) else { return };
        torrent.have_log = torrent.verified.iter().collect();
        torrent.have_announced = torrent.have_log.len() as u32;
        for id in &torrent.connections {
            let Some(connection) = self.connections.get_mut(*id).filter(|connection| connection.is_open()) else { continue };
            torrent.picker.peer_joined(connection.holdings.view());
            connection.cursor = PeerCursor::default();
            connection.interesting = torrent.interesting_in(connection);
        }
    }

    fn prepare(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.phase = Phase::Preparing;
        torrent.prepared_for = None;
        self.prepare_files(id);
    }

    /// All is ready: peers and trackers may be spoken to.
    pub(super) fn prepared(&mut self, id: TorrentId) {
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        if matches!(torrent.phase, Phase::Ending(_) | Phase::Failed) {
            return;
        }
        if torrent.paused {
            self.stand_still(id, Phase::Paused);
            return;
        }
        torrent.phase = Phase::Active;
        torrent.announcer.start(now);
        if torrent.connections.is_empty() {
            torrent.peers.restart(now);
        }
        let finished = torrent.is_finished();
        if finished {
            torrent.seeding_since.get_or_insert(now);
            self.event(Event::Finished { torrent: id });
            self.watch_goal(id);
        }
        self.restore_unfinished(id);
        self.start_web_seeds(id);
        // Whoever gave a magnet link's metadata is there already, and waits to hear what we want.
        self.wants_changed(id);
        self.choose_super_seeding(id);
        self.blocks_freed(id, true);
        self.fill_slots(id);
        self.announce(id);
        self.discover_locally(id);
        self.connect_peers(id);
        self.save_resume(id);
        self.arm_torrent(id);
    }

    // The way down

    /// Ends all traffic of a torrent, tells its trackers, and lets it stand in `phase`; `false` if it is ending for good.
    pub(super) fn stand_still(&mut self, id: TorrentId, phase: Phase) -> bool {
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(id).filter(|torrent| !matches!(torrent.phase, Phase::Ending(_))) else { return false };
        torrent.seeding_ends(now);
        // What was given, and for how long, is worth a line even if no piece has come.
        torrent.resume_changed |= torrent.is_active() && (torrent.uploaded > 0 || torrent.downloaded > 0 || !torrent.seeded.is_zero());
        torrent.phase = phase;
        torrent.announcer.stop(now);
        torrent.goal.stop(now);
        torrent.choke_due = None;
        torrent.super_seed = None;
        let charge = torrent.assembly.clear();
        self.stop_web_seeds(id);
        self.close_all(id, CloseReason::TorrentStopped);
        self.release_blocks(charge);
        if let Some(torrent) = self.torrents.get_mut(id) {
            // The blocks of pieces that are not complete are gone; complete ones are the disk's already.
            let begun = torrent.picker.begun().filter(|begun| begun.received < begun.blocks);
            for piece in begun.map(|begun| begun.piece).collect::<Vec<_>>() {
                torrent.picker.piece_failed(piece);
            }
        }
        self.wanting.remove(&id);
        if let Some(torrent) = self.torrents.get_mut(id) {
            torrent.room_due = None;
        }
        self.announce(id);
        self.discover_locally(id);
        self.save_resume(id);
        self.arm_torrent(id);
        true
    }

    /// Takes a torrent off the list, step by step: traffic, resume data, disk, trackers.
    fn end(&mut self, id: TorrentId, forget: bool, delete: bool) {
        if !forget {
            self.keep_unfinished(id);
        }
        if !self.stand_still(id, Phase::Ending(Ending::Settling { forget, delete })) {
            return;
        }
        self.settle(id);
    }

    /// The disk has closed a torrent's files.
    pub(super) fn closed(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.phase = Phase::Ending(Ending::Trackers);
        self.finish_ending(id);
    }

    /// Forgets a torrent once its trackers know.
    pub(super) fn finish_ending(&mut self, id: TorrentId) {
        let over = |torrent: &&mut Torrent| matches!(torrent.phase, Phase::Ending(Ending::Trackers)) && torrent.announcer.is_stopped();
        let Some(torrent) = self.torrents.get_mut(id).filter(over) else { return };
        self.timers.disarm(&mut torrent.armed, Timer::Torrent(id));
        let info_hash = torrent.info_hash;
        self.by_info_hash.remove(&info_hash);
        self.leave_lanes(id);
        self.torrents.remove(id);
        self.event(Event::Removed { torrent: id });
        self.shut_down_if_empty();
    }

    fn shut_down_if_empty(&mut self) {
        if self.shutting_down && self.torrents.is_empty() {
            self.event(Event::ShutDown);
        }
    }

    // Resume data

    /// Has resume data written, if it has changed: first the disk tells the files' sizes and times, then they are saved together
    /// with what was verified before that.
    pub(super) fn save_resume(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.resume_due = None;
        // What files hold is not claimed before it is known, nor is the disk asked for anything after they were closed.
        let closed = !torrent.files_known || matches!(torrent.phase, Phase::Ending(Ending::Closing | Ending::Trackers));
        // What is about to be forgotten, or looked at again, need not be made durable first.
        let in_vain = matches!(torrent.phase, Phase::Settling | Phase::Ending(Ending::Settling { forget: true, .. }));
        // Of a magnet link without metadata there is nothing to save, nor anything on disk. What is being kept is to be told, too.
        if closed || in_vain || torrent.metainfo().is_none() || torrent.keeping > 0 || !torrent.resume_changed {
            return;
        }
        if torrent.saving {
            torrent.save_again = true;
            return;
        }
        (torrent.resume_changed, torrent.saving) = (false, true);
        let earlier = torrent.earlier;
        let resume = Resume {
            verified: torrent.verified.clone(),
            files: Vec::new(),
            unfinished: torrent.unfinished.clone(),
            choices: torrent.choices.clone(),
            uploaded: earlier.uploaded.saturating_add(torrent.uploaded),
            downloaded: earlier.downloaded.saturating_add(torrent.downloaded),
            seeding: earlier.seeding.saturating_add(torrent.seeding_time(self.now)),
            trackers: torrent.announcer.saved(),
            peers: torrent
                .peers
                .best()
                .into_iter()
                .map(|(address, sources)| ResumePeer { address, from_tracker: sources.contains(PeerSource::Tracker) })
                .collect(),
            info: torrent.metainfo().filter(|_| torrent.from_magnet).map(|metainfo| metainfo.info.raw().clone()),
        };
        self.disk(id, DiskPurpose::Stamp { resume: resume.into(), again: false }, DiskOperation::Stamp);
    }

    /// Resume data was saved, or could not be.
    pub(super) fn saved(&mut self, id: TorrentId) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.saving = false;
        if core::mem::take(&mut torrent.save_again) {
            self.save_resume(id);
        }
    }

    pub(super) fn stamped(&mut self, id: TorrentId, mut resume: Resume, stamps: Vec<Option<FileStamp>>) {
        let Some(torrent) = self.torrents.get(id) else { return };
        resume.files = stamps;
        // A piece that was written since `verified` was noted, or is being written, may stand in a file whose stamp looks as if nothing
        // had happened since. Such files are hashed if the next session begins with what is saved now.
        let storing = torrent.picker.begun().filter(|begun| begun.received == begun.blocks).map(|begun| begun.piece);
        let unnamed = torrent.verified.iter().filter(|piece| !resume.verified.get(*piece)).chain(storing);
        let mut aside_changed = false;
        for span in unnamed.flat_map(|piece| torrent.layout.spans(piece, 0, torrent.layout.piece_size(piece))) {
            if let Some(stamp) = resume.files.get_mut(span.file as usize) {
                aside_changed |= stamp.take().is_some_and(|stamp| stamp.aside);
            }
        }
        if aside_changed {
            // All of them have the part file's stamp.
            resume.files.iter_mut().filter(|stamp| stamp.is_some_and(|stamp| stamp.aside)).for_each(|stamp| *stamp = None);
        }
        let data = resume.encode(torrent.info_hash).into();
        self.disk(id, DiskPurpose::SaveResume, DiskOperation::SaveResume { data });
    }
}

/// A magnet link whose metadata an earlier session saved is as good as a torrent file.
fn known(source: TorrentSource, info_hash: InfoHash, saved: Option<&Bytes>) -> TorrentSource {
    let TorrentSource::Magnet(magnet) = source else { return source };
    match saved.and_then(|saved| Resume::info(saved, info_hash)) {
        Some(info) => TorrentSource::Metainfo(Metainfo {
            trackers: magnet.trackers.iter().map(|url| Vec::from([url.clone()])).collect(),
            web_seeds: magnet.web_seeds,
            ..Metainfo::from_info(info)
        }),
        None => TorrentSource::Magnet(magnet),
    }
}

/// What the part file is called: hidden, one for each torrent, and beside the files, so that it is on the disk that has room for them
/// and goes where the folder goes.
fn parts_name(info_hash: InfoHash) -> String {
    format!(".{info_hash}.parts")
}

/// The owner's choices, and where they say nothing of files, the link's (BEP 53).
fn with_selection(mut choices: Choices, source: &TorrentSource) -> Choices {
    if let TorrentSource::Magnet(magnet) = source
        && !magnet.selected.is_empty()
        && choices.files.is_empty()
        && choices.other_files == Priority::Normal
    {
        choices.other_files = Priority::Skip;
        let places = magnet.selected.iter().cloned().flatten().take(SELECTION_LIMIT);
        choices.files = places.map(|place| (place, Priority::Normal)).collect();
    }
    choices
}

/// Files that a magnet link may select: `so=0-4294967295` is to cost nothing.
const SELECTION_LIMIT: usize = 100_000;
