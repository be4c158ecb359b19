//! The disk of one node: what is written, and apart from that what is durable.
//!
//! A job takes effect when it is answered, after a delay of its own, so that jobs end in any order. When a node dies, jobs under way
//! are cut off: of a write, the sectors that a draw decides are there. If its power fails, of all that was written within
//! [`Settings::write_back`] draws decide what is there, sector by sector, and of the lengths and times of files apart from that. Only
//! what came before a [`Stamp`](DiskOperation::Stamp) is there for certain; and resume data whose
//! [`SaveResume`](DiskOperation::SaveResume) was answered, as hosts write it to another file, sync that, and give it the name. Of a save
//! that was cut off, the old data are there, or the new, and never a mixture.
//!
//! What is written is what was given, wherever it goes. A disk also knows what was changed behind its owner's back: by bits that rot and by
//! writes that go astray. So much of it, and nothing else, may be other than what an engine thinks, until it is written again or looked at.

mod durable;
mod file;
mod open;
mod ranges;
#[cfg(test)]
mod tests;

use crate::{
    payload::Payload,
    units::{Size, Span as Time},
};
use bytes::Bytes;
use durable::{Content, Durable};
use file::File;
use open::{Given, Open, Part};
use ranges::Ranges;
use rustor_core::{
    error::{DiskError, DiskErrorKind},
    id::{DiskJobId, TorrentId},
    rng::Rng,
    storage::{DiskOperation, DiskOutput, FileStamp, Fingerprint, Kept},
    time::{Duration, Instant},
};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How a disk behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// The shortest and the longest time that a job takes.
    pub latency: [Time; 2],
    /// What a write that is cut off keeps or loses as a whole: 512 B or 4 KiB.
    pub sector: Size,
    /// How long after it was answered a write may still be lost when the power fails, unless it was asked for before.
    pub write_back: Time,
    /// Of a thousand jobs, so many fail: to open files, to make them ready, to read or write them or resume data, to make them durable.
    pub errors: u16,
    /// Of a thousand reads, so many bring less than was asked for; the host reads on, which takes as long again.
    pub short_reads: u16,
    /// Of a thousand writes, so many go to the wrong place and are answered as if they had not.
    pub misdirected: u16,
    /// The node dies at its so-manieth job, counted from 1, and comes back after ten seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crash_at: Option<u64>,
    /// In so many further lives it dies again, in each one job later than in the one before: jobs are counted anew in each.
    #[serde(skip_serializing_if = "is_zero")]
    pub crash_again: u32,
    /// It is the power that fails then: nobody is told, and what was not durable may be gone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub crash_takes_power: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        let latency = [Time::millis(1), Time::millis(1)];
        Settings {
            latency,
            sector: Size(4096),
            write_back: Time::seconds(5),
            errors: 0,
            short_reads: 0,
            misdirected: 0,
            crash_at: None,
            crash_again: 0,
            crash_takes_power: false,
        }
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How many times as long as another job a sync takes.
const SYNC: u64 = 20;

/// What a disk is made to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFault {
    /// No write finds room.
    Full,
    /// Nothing can be read or written.
    Broken,
    /// Files end before their time: reads find less than there should be.
    Short,
}

/// Files in memory, with a clock of their own.
#[derive(Debug)]
pub struct Disk {
    settings: Settings,
    files: BTreeMap<String, File>,
    open: BTreeMap<TorrentId, Arc<Open>>,
    resume: BTreeMap<String, Bytes>,
    /// Few at a time.
    under_way: Vec<Job>,
    /// Kept only if power may fail.
    durable: Option<Durable>,
    clock: i64,
    fault: Option<DiskFault>,
    jobs: u64,
    /// What was changed behind its owner's back, and neither written nor verified since.
    changed: Ranges,
    /// What of that its owner has verified since, and not yet saved: a crash lets it believe again what it believed before.
    unsaved: Ranges,
    /// Something of that was read.
    misled: bool,
    /// Bytes of payload written.
    pub written: u64,
}

#[derive(Debug)]
struct Job {
    id: DiskJobId,
    torrent: TorrentId,
    operation: DiskOperation,
    /// How many writes were answered before it.
    writes: u64,
}

impl Disk {
    /// An empty disk; one whose power may fail must know that from the start.
    pub fn new(settings: Settings, power_may_fail: bool) -> Disk {
        Disk {
            settings,
            files: BTreeMap::new(),
            open: BTreeMap::new(),
            resume: BTreeMap::new(),
            under_way: Vec::new(),
            durable: power_may_fail.then(Durable::default),
            clock: 0,
            fault: None,
            jobs: 0,
            changed: Ranges::default(),
            unsaved: Ranges::default(),
            misled: false,
            written: 0,
        }
    }

    /// Puts a torrent's files there, as if they had always been.
    pub fn put(&mut self, folder: &str, payload: &Payload) {
        self.put_pieces(folder, payload, |_| true);
    }

    /// Puts some pieces of a torrent there.
    pub fn put_pieces(&mut self, folder: &str, payload: &Payload, mut which: impl FnMut(u32) -> bool) {
        self.clock += 1;
        let length = u64::from(payload.piece_length());
        let wanted: Vec<bool> = (0..payload.pieces()).map(&mut which).collect();
        for (path, begin, end) in &payload.files {
            let mut file = File { base: *begin, length: end - begin, modified: self.clock, ..File::default() };
            for (piece, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
                let (from, to) = ((piece as u64 * length).max(*begin), ((piece as u64 + 1) * length).min(*end));
                if from < to {
                    file.write_true(from - begin, to - from);
                }
            }
            let path = format!("{folder}/{path}");
            self.files.insert(path.clone(), file);
            self.settled(&path);
        }
    }

    /// A file's content, if it is there; what was never written is zero.
    pub fn get(&self, path: &str, payload: &Payload) -> Option<Bytes> {
        let file = self.files.get(path)?;
        Some(file.read(0, file.length, payload))
    }

    /// Whether all of a torrent's files are there, and true.
    pub fn holds(&self, folder: &str, payload: &Payload) -> bool {
        payload.files.iter().all(|(path, begin, end)| {
            let file = self.files.get(&format!("{folder}/{path}"));
            file.is_some_and(|file| file.length == end - begin && file.is_true(0, file.length, payload))
        })
    }

    /// Whether a piece of a torrent is there, and true. The engine that says so is not asked where it would be.
    pub fn holds_piece(&self, folder: &str, piece: u32, payload: &Payload) -> bool {
        places(folder, piece, payload).all(|(path, offset, length)| {
            let file = self.files.get(&path);
            file.is_some_and(|file| file.is_true(offset, length, payload))
        })
    }

    /// Whether an engine has a reason to take this piece for what it was: nothing of it was changed behind its back.
    pub fn is_unchanged(&self, folder: &str, piece: u32, payload: &Payload) -> bool {
        self.changed.is_empty()
            || places(folder, piece, payload).all(|(path, offset, length)| !self.changed.touch(&path, offset, offset + length))
    }

    /// Nothing on it was changed behind its owner's back that was not written again or verified since.
    pub fn has_nothing_changed(&self) -> bool {
        self.changed.is_empty()
    }

    /// Nothing on it is changed behind its owner's back, nor was anybody ever given what was.
    pub fn is_sound(&self) -> bool {
        !self.misled && self.changed.is_empty()
    }

    /// Whether the power may still fail at one of its jobs.
    pub(crate) fn may_lose(&self) -> bool {
        let to_come = self.settings.crash_at.is_some_and(|at| self.jobs < at) || self.settings.crash_again > 0;
        self.settings.crash_takes_power && to_come
    }

    /// Changes bytes of a file, and its time with them: whoever opens it later can know.
    pub fn damage(&mut self, path: &str, offset: u64, data: Bytes) {
        self.clock += 1;
        if !self.open.is_empty() {
            self.changed.add(path, offset, offset + data.len() as u64);
        }
        if let Some(file) = self.files.get_mut(path) {
            file.write(offset, data);
            file.modified = self.clock;
        }
        self.settled(path);
    }

    /// Flips bits of all files; their times stay, so that nobody notices.
    pub fn rot(&mut self, bits: u32, payload: &Payload, rng: &mut Rng) {
        let lengths: Vec<(String, u64)> =
            self.files.iter().filter(|(_, file)| file.length > 0).map(|(path, file)| (path.clone(), file.length)).collect();
        let mut changed = BTreeSet::new();
        for _ in 0..bits {
            let Some((path, length)) = rng.index(lengths.len()).map(|index| &lengths[index]) else { return };
            let Some(file) = self.files.get_mut(path) else { return };
            let offset = rng.below(*length);
            let byte = file.read(offset, 1, payload)[0] ^ (1 << rng.below(8));
            file.write(offset, vec![byte].into());
            self.changed.add(path, offset, offset + 1);
            changed.insert(path.as_str());
        }
        changed.into_iter().for_each(|path| self.settled(path));
    }

    /// Deletes a file.
    pub fn delete(&mut self, path: &str) {
        if let Some(file) = self.files.remove(path)
            && !self.open.is_empty()
        {
            self.changed.add(path, 0, file.length);
        }
        self.settled(path);
    }

    /// What resume data is kept for the torrents in `folder`.
    pub fn resume(&self, folder: &str) -> Option<Bytes> {
        self.resume.get(folder).cloned()
    }

    /// Makes the disk fail from now on, or work again.
    pub fn set_fault(&mut self, fault: Option<DiskFault>) {
        self.fault = fault;
    }

    /// Lets the disk work from now on.
    pub(crate) fn heal(&mut self) {
        self.fault = None;
        (self.settings.errors, self.settings.misdirected) = (0, 0);
    }

    /// Whether it is the power that fails when the node dies at a job of its disk.
    pub(crate) fn takes_power(&self) -> bool {
        self.settings.crash_takes_power
    }

    /// Takes a job in. It is due after the delay that is returned; the second says whether the node dies of it.
    pub fn begin(&mut self, job: DiskJobId, torrent: TorrentId, operation: DiskOperation, rng: &mut Rng) -> (Duration, bool) {
        self.jobs += 1;
        let reads_on = matches!(operation, DiskOperation::Read { .. })
            && self.settings.short_reads > 0
            && rng.below(1000) < u64::from(self.settings.short_reads);
        // A sync takes longer than anything else.
        let times = if self.durable.is_some() && matches!(operation, DiskOperation::Stamp) { SYNC } else { 1 };
        let writes = self.durable.as_ref().map_or(0, Durable::writes);
        self.under_way.push(Job { id: job, torrent, operation, writes });
        let [shortest, longest] = self.settings.latency;
        let mut latency = || shortest.0 + if longest > shortest { rng.below(longest.0 - shortest.0 + 1) } else { 0 };
        let micros = latency() * times + if reads_on { latency() } else { 0 };
        (Duration::from_micros(micros), self.settings.crash_at == Some(self.jobs))
    }

    /// Whether a torrent's files are being made ready.
    pub(crate) fn is_making_ready(&self, torrent: TorrentId) -> bool {
        self.under_way.iter().any(|job| job.torrent == torrent && matches!(job.operation, DiskOperation::Prepare { .. }))
    }

    /// Whose job it is, while it is under way.
    pub(crate) fn torrent_of(&self, job: DiskJobId) -> Option<TorrentId> {
        self.under_way.iter().find(|known| known.id == job).map(|known| known.torrent)
    }

    /// Does a job and answers it; `None` if it was cut off.
    pub fn finish(&mut self, now: Instant, job: DiskJobId, payload: &Payload, rng: &mut Rng) -> Option<Result<DiskOutput, Box<DiskError>>> {
        let place = self.under_way.iter().position(|known| known.id == job)?;
        let Job { torrent, operation, writes, .. } = self.under_way.swap_remove(place);
        if let Some(durable) = &mut self.durable {
            durable.written_back(Instant::from_micros(now.as_micros().saturating_sub(self.settings.write_back.0)));
        }
        Some(self.perform(now, torrent, operation, writes, payload, rng))
    }

    /// The node dies: what was under way is cut off. If the power fails, what was not yet durable is there in part.
    pub fn crash(&mut self, now: Instant, power: bool, payload: impl Fn(TorrentId) -> Option<Payload>, rng: &mut Rng) {
        self.under_way.sort_by_key(|job| job.id);
        for Job { torrent, operation, .. } in std::mem::take(&mut self.under_way) {
            let (Some(open), Some(payload)) = (self.open.get(&torrent).cloned(), payload(torrent)) else { continue };
            match operation {
                _ if self.fault.is_some() => {}
                DiskOperation::Store { segments, spans, digest, .. } => {
                    if let Some(given) = open.checked(&segments, &spans, &digest, &payload) {
                        self.clock += 1;
                        given.parts(&spans).for_each(|part| self.write_torn(now, part, &open, &payload, rng));
                    }
                }
                DiskOperation::Keep { runs, .. } => {
                    for Kept { spans, segments } in runs {
                        self.clock += 1;
                        let given = Given::unchecked(&segments);
                        given.parts(&spans).for_each(|part| self.write_torn(now, part, &open, &payload, rng));
                    }
                }
                // The name is given before the end, or it is not: there is nothing between.
                DiskOperation::SaveResume { data } if rng.below(2) == 0 => drop(self.resume.insert(open.folder.clone(), data)),
                _ => {}
            }
        }
        if let Some(durable) = self.durable.as_mut().filter(|_| power) {
            self.files = durable.power_fails(self.settings.sector.0.max(1), rng);
        }
        self.open.clear();
        self.changed.append(&mut self.unsaved);
        if let Some(at) = self.settings.crash_at.filter(|_| self.settings.crash_again > 0) {
            self.settings.crash_again -= 1;
            (self.settings.crash_at, self.jobs) = (Some(at + 1), 0);
        }
    }

    fn perform(
        &mut self,
        now: Instant,
        torrent: TorrentId,
        operation: DiskOperation,
        writes: u64,
        payload: &Payload,
        rng: &mut Rng,
    ) -> Result<DiskOutput, Box<DiskError>> {
        let errors = u64::from(self.settings.errors);
        let fails = move |rng: &mut Rng| errors > 0 && rng.below(1000) < errors;
        if let DiskOperation::Open { layout, folder, .. } = operation {
            if fails(rng) {
                return Err(fault(DiskErrorKind::Other, &folder));
            }
            self.open.insert(torrent, Arc::new(Open::new(layout, folder, payload)));
            return Ok(DiskOutput::Opened(self.stamps(torrent)));
        }
        let Some(open) = self.open.get(&torrent).cloned() else { return Err(fault(DiskErrorKind::Other, "nothing is open")) };
        let reads = matches!(operation, DiskOperation::Read { .. } | DiskOperation::Verify { .. });
        let touches_content = reads || matches!(operation, DiskOperation::Store { .. } | DiskOperation::Keep { .. });
        if touches_content && (self.fault == Some(DiskFault::Broken) || rng.below(1000) < u64::from(self.settings.errors)) {
            return Err(fault(DiskErrorKind::Other, open.path(0)));
        }
        if matches!(operation, DiskOperation::Prepare { .. } | DiskOperation::SaveResume { .. }) && fails(rng) {
            return Err(fault(DiskErrorKind::Other, &open.folder));
        }
        if self.fault == Some(DiskFault::Short) && matches!(operation, DiskOperation::Read { .. }) {
            return Err(fault(DiskErrorKind::Missing, open.path(0)));
        }
        if self.fault == Some(DiskFault::Full) && matches!(operation, DiskOperation::SaveResume { .. }) {
            return Err(fault(DiskErrorKind::Full, &open.folder));
        }
        Ok(match operation {
            DiskOperation::Open { .. } => unreachable!("handled above"),
            // Scenarios want every file: nothing is kept aside.
            DiskOperation::Prepare { wanted: _ } => {
                for (number, file) in open.layout.files().iter().enumerate() {
                    if file.length == 0 && !file.padding {
                        self.file(open.path(number as u32));
                    }
                }
                DiskOutput::Done
            }
            DiskOperation::Store { segments, spans, digest, fingerprints, .. } => {
                let Some(given) = open.checked(&segments, &spans, &digest, payload) else {
                    return Ok(DiskOutput::Mismatch(prints(&segments.concat())));
                };
                if self.fault == Some(DiskFault::Full) {
                    return Err(fault(DiskErrorKind::Full, open.path(spans[0].file)));
                }
                let astray = rng.below(1000) < u64::from(self.settings.misdirected);
                self.clock += 1;
                given.parts(&spans).for_each(|part| self.store(now, part, &open, payload, astray));
                DiskOutput::Stored(if fingerprints { prints(&segments.concat()) } else { Vec::new() })
            }
            DiskOperation::Keep { runs, .. } => {
                if self.fault == Some(DiskFault::Full) {
                    return Err(fault(DiskErrorKind::Full, open.path(0)));
                }
                self.clock += 1;
                for Kept { spans, segments } in runs {
                    // Nobody has checked these: blocks of a piece that is not complete.
                    Given::unchecked(&segments).parts(&spans).for_each(|part| self.write(now, part, part.offset, &open, payload));
                }
                DiskOutput::Done
            }
            DiskOperation::Read { spans, .. } => {
                let parts = spans.iter().map(|span| {
                    let path = open.path(span.file);
                    match self.files.get(path) {
                        Some(file) if file.length >= span.offset + span.length => {
                            let changed = self.changed.touch(path, span.offset, span.offset + span.length);
                            self.misled |= changed && !file.is_true(span.offset, span.length, payload);
                            Ok(file.read(span.offset, span.length, payload))
                        }
                        _ => Err(fault(DiskErrorKind::Missing, path)),
                    }
                });
                let mut parts = parts.collect::<Result<Vec<Bytes>, _>>()?;
                DiskOutput::Read(if parts.len() == 1 { parts.remove(0) } else { parts.concat().into() })
            }
            DiskOperation::Verify { first, digests } => {
                let digests = (first..).zip(digests.as_chunks::<20>().0);
                let valid = digests.map(|(piece, digest)| self.verify(&open, piece, digest, payload)).collect();
                DiskOutput::Verified(valid)
            }
            DiskOperation::Stamp => {
                if fails(rng) || self.fault == Some(DiskFault::Broken) {
                    return Ok(DiskOutput::Stamps(vec![None; open.layout.files().len()]));
                }
                if let Some(durable) = &mut self.durable {
                    durable.synced(open.paths(), writes);
                }
                DiskOutput::Stamps(self.stamps(torrent))
            }
            DiskOperation::SaveResume { data } => {
                self.resume.insert(open.folder.clone(), data);
                self.unsaved = Ranges::default();
                DiskOutput::Done
            }
            DiskOperation::Close { forget, delete } => {
                self.open.remove(&torrent);
                if forget {
                    self.resume.remove(&open.folder);
                }
                if delete {
                    open.paths().for_each(|path| self.delete(path));
                }
                DiskOutput::Done
            }
        })
    }

    /// The file with this path, which is there from now on.
    fn file(&mut self, path: &str) -> &mut File {
        if !self.files.contains_key(path) {
            self.files.insert(path.to_owned(), File::default());
        }
        self.files.get_mut(path).expect("it was put there if it was not")
    }

    /// A file was changed behind its owner's back.
    fn settled(&mut self, path: &str) {
        if let Some(durable) = &mut self.durable {
            durable.is(path, self.files.get(path));
        }
    }

    /// Writes to a file of a torrent, which gets its length by that, at `offset`.
    fn write(&mut self, now: Instant, part: Part<'_>, offset: u64, open: &Open, payload: &Payload) {
        let details = &open.layout.files()[part.file as usize];
        if details.padding {
            return;
        }
        let (clock, path) = (self.clock, open.path(part.file));
        let content = open.content(offset, part, payload);
        let file = self.file(path);
        (file.base, file.modified) = (open.base(part.file), clock);
        match &content {
            Content::True(length) => file.write_true(offset, *length),
            Content::Other(bytes) => file.write(offset, bytes.clone()),
        }
        file.length = file.length.max(details.length);
        if let Some(durable) = &mut self.durable {
            durable.wrote(now, path, offset, content, &self.files[path]);
        }
        if !self.changed.is_empty() || !self.unsaved.is_empty() {
            self.changed.remove(path, offset, offset + part.length);
            self.unsaved.remove(path, offset, offset + part.length);
        }
    }

    /// Writes part of a piece where it belongs; elsewhere, if it goes astray.
    fn store(&mut self, now: Instant, part: Part<'_>, open: &Open, payload: &Payload, astray: bool) {
        let details = &open.layout.files()[part.file as usize];
        if details.padding {
            return;
        }
        let elsewhere = (part.offset + 4096) % details.length.saturating_sub(part.length).max(1);
        let at = if astray { elsewhere } else { part.offset };
        self.write(now, part, at, open, payload);
        if at != part.offset {
            // Neither place holds what its owner thinks it does.
            for start in [at, part.offset] {
                self.changed.add(open.path(part.file), start, start + part.length);
            }
        }
        self.written += part.length;
    }

    /// Of a write that was cut off, some sectors are there.
    fn write_torn(&mut self, now: Instant, part: Part<'_>, open: &Open, payload: &Payload, rng: &mut Rng) {
        if open.layout.files()[part.file as usize].padding {
            return;
        }
        for part in part.sectors(self.settings.sector.0.max(1)) {
            if rng.below(2) == 0 {
                self.write(now, part, part.offset, open, payload);
            }
        }
    }

    /// Whether what is there of a piece hashes to `digest`. Whoever asks knows from now on what is there.
    fn verify(&mut self, open: &Open, piece: u32, digest: &[u8; 20], payload: &Payload) -> bool {
        if !self.changed.is_empty() {
            for span in open.layout.spans(piece, 0, open.layout.piece_size(piece)) {
                let (path, end) = (open.path(span.file), span.offset + span.length);
                if self.changed.touch(path, span.offset, end) {
                    self.unsaved.add(path, span.offset, end);
                }
                self.changed.remove(path, span.offset, end);
            }
        }
        // The digest of the true piece stands in the torrent: only others are hashed.
        if open.is_true() && self.holds_piece(&open.folder, piece, payload) {
            return payload.metainfo.info.piece_hash(piece) == Some(digest);
        }
        self.digest(open, piece, payload).is_some_and(|found| found == *digest)
    }

    fn digest(&self, open: &Open, piece: u32, payload: &Payload) -> Option<[u8; 20]> {
        let mut hash = Sha1::new();
        for span in open.layout.spans(piece, 0, open.layout.piece_size(piece)) {
            let file = self.files.get(open.path(span.file)).filter(|file| file.length >= span.offset + span.length)?;
            hash.update(file.read(span.offset, span.length, payload));
        }
        Some(hash.finalize().into())
    }

    fn stamps(&self, torrent: TorrentId) -> Vec<Option<FileStamp>> {
        let Some(open) = self.open.get(&torrent) else { return Vec::new() };
        let stamp = |path: &str| self.files.get(path).map(|file| FileStamp { length: file.length, modified: file.modified, aside: false });
        (0..open.layout.files().len()).map(|file| stamp(open.path(file as u32))).collect()
    }
}

/// Where a piece lies by the payload's own account: files, offsets in them, and lengths.
fn places<'a>(folder: &'a str, piece: u32, payload: &'a Payload) -> impl Iterator<Item = (String, u64, u64)> + 'a {
    let start = u64::from(piece) * u64::from(payload.piece_length());
    let end = start + u64::from(payload.piece_length());
    let first = payload.files.partition_point(|(_, _, stop)| *stop <= start);
    let files = payload.files[first..].iter().take_while(move |(_, begin, _)| *begin < end);
    files.filter(|(_, begin, stop)| begin < stop).map(move |(path, begin, stop)| {
        let (from, to) = (start.max(*begin), end.min(*stop));
        (format!("{folder}/{path}"), from - begin, to - from)
    })
}

fn prints(piece: &[u8]) -> Vec<Fingerprint> {
    piece.chunks(16384).map(|block| Sha1::digest(block)[..8].try_into().expect("a digest has eight bytes")).collect()
}

fn fault(kind: DiskErrorKind, path: &str) -> Box<DiskError> {
    Box::new(DiskError { kind, path: path.to_owned(), message: "simulated".to_owned() })
}
