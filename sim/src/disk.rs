use bytes::Bytes;
use rustor_core::{
    error::{DiskError, DiskErrorKind},
    id::TorrentId,
    storage::{DiskOperation, DiskOutput, FileStamp, Fingerprint, Kept, Layout, Parts, Span},
};
use sha1::{Digest, Sha1};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The disk of one node: files in memory, with a clock of its own for their times.
#[derive(Debug, Default)]
pub struct Disk {
    files: BTreeMap<String, File>,
    open: BTreeMap<TorrentId, Open>,
    resume: BTreeMap<String, Bytes>,
    clock: i64,
    fault: Option<DiskFault>,
    /// Bytes of payload written.
    pub written: u64,
}

/// What a disk is made to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// No write finds room.
    Full,
}

#[derive(Clone, Debug)]
struct Open {
    layout: Arc<Layout>,
    folder: String,
    /// Where the part file is.
    parts: String,
    /// Places of the files that are kept aside in it.
    aside: BTreeSet<u32>,
}

#[derive(Debug, Default)]
struct File {
    /// What was written, as runs of the shared payload: by offset.
    runs: BTreeMap<u64, Bytes>,
    length: u64,
    modified: i64,
}

impl Disk {
    /// Puts a file there, as if it had always been.
    pub fn put(&mut self, path: &str, data: Bytes) {
        self.clock += 1;
        let length = data.len() as u64;
        self.files.insert(path.to_owned(), File { runs: [(0, data)].into(), length, modified: self.clock });
    }

    /// A file's content, if it is there; what was never written is zero.
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        let file = self.files.get(path)?;
        Some(file.read(0, file.length))
    }

    /// Changes bytes of a file, and its time with them.
    pub fn damage(&mut self, path: &str, offset: u64, data: Bytes) {
        self.clock += 1;
        let clock = self.clock;
        if let Some(file) = self.files.get_mut(path) {
            file.write(offset, data);
            file.modified = clock;
        }
    }

    /// Deletes a file.
    pub fn delete(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// What resume data is kept for the torrents in `folder`.
    pub fn resume(&self, folder: &str) -> Option<Bytes> {
        self.resume.get(folder).cloned()
    }

    /// Makes the disk fail from now on, or work again.
    pub fn set_fault(&mut self, fault: Option<DiskFault>) {
        self.fault = fault;
    }

    /// Forgets what was open: its owner is gone.
    pub fn crash(&mut self) {
        self.open.clear();
    }

    /// Does what a disk worker does.
    pub fn perform(&mut self, torrent: TorrentId, operation: DiskOperation) -> Result<DiskOutput, Box<DiskError>> {
        if let DiskOperation::Open { layout, folder, parts, .. } = operation {
            let mut open = Open { layout, parts: format!("{folder}/{parts}"), folder, aside: BTreeSet::new() };
            if self.files.contains_key(&open.parts) {
                let missing = |place: &u32| !self.files.contains_key(&open.path(*place));
                open.aside = open.places().filter(missing).collect();
            }
            self.open.insert(torrent, open);
            return Ok(DiskOutput::Opened(self.stamps(torrent)));
        }
        let Some(open) = self.open.get(&torrent) else { return Err(fault(DiskErrorKind::Other, "nothing is open")) };
        let mut open = open.clone();
        let layout = open.layout.clone();
        Ok(match operation {
            DiskOperation::Open { .. } => unreachable!("handled above"),
            DiskOperation::Prepare { wanted } => {
                for place in open.places() {
                    if !wanted.get(place) {
                        if !self.files.contains_key(&open.path(place)) {
                            open.aside.insert(place);
                        }
                        continue;
                    }
                    if open.aside.remove(&place) {
                        self.bring(&open, place);
                    }
                    if layout.files()[place as usize].length == 0 {
                        self.files.entry(open.path(place)).or_default();
                    }
                }
                if open.aside.is_empty() {
                    self.files.remove(&open.parts);
                }
                self.open.insert(torrent, open);
                DiskOutput::Done
            }
            DiskOperation::Keep { runs, .. } => {
                for Kept { spans, segments } in runs {
                    self.write(&open, &spans, &segments.concat().into());
                }
                DiskOutput::Done
            }
            DiskOperation::Store { segments, spans, digest, fingerprints, .. } => {
                let piece: Bytes = segments.concat().into();
                let good = Sha1::digest(&piece)[..] == digest;
                if !good {
                    return Ok(DiskOutput::Mismatch(prints(&piece)));
                }
                if self.fault == Some(DiskFault::Full) {
                    return Err(fault(DiskErrorKind::Full, &open.path(spans[0].file)));
                }
                self.write(&open, &spans, &piece);
                DiskOutput::Stored(if fingerprints { prints(&piece) } else { Vec::new() })
            }
            DiskOperation::Read { spans, .. } => {
                let mut data = Vec::new();
                for span in spans {
                    let found = self.read(&open, span).ok_or_else(|| fault(DiskErrorKind::Missing, &open.path(span.file)))?;
                    data.extend(found);
                }
                DiskOutput::Read(data.into())
            }
            DiskOperation::Verify { first, digests } => {
                let valid = |(piece, digest): (u32, &[u8])| {
                    let mut hash = Sha1::new();
                    for span in layout.spans(piece, 0, layout.piece_size(piece)) {
                        match self.read(&open, span) {
                            Some(data) => hash.update(data),
                            None => return false,
                        }
                    }
                    hash.finalize()[..] == *digest
                };
                DiskOutput::Verified((first..).zip(digests.chunks(20)).map(valid).collect())
            }
            DiskOperation::Stamp => DiskOutput::Stamps(self.stamps(torrent)),
            DiskOperation::SaveResume { data } => {
                self.resume.insert(open.folder, data);
                DiskOutput::Done
            }
            DiskOperation::Close { forget, delete } => {
                self.open.remove(&torrent);
                if forget {
                    self.resume.remove(&open.folder);
                }
                if forget || delete {
                    self.files.remove(&open.parts);
                }
                if delete {
                    open.places().for_each(|place| drop(self.files.remove(&open.path(place))));
                }
                DiskOutput::Done
            }
        })
    }

    fn stamps(&self, torrent: TorrentId) -> Vec<Option<FileStamp>> {
        let Some(open) = self.open.get(&torrent) else { return Vec::new() };
        let stamp = |place: u32| {
            let aside = open.aside.contains(&place);
            let path = if aside { open.parts.clone() } else { open.path(place) };
            self.files.get(&path).map(|file| FileStamp { length: file.length, modified: file.modified, aside })
        };
        (0..open.layout.files().len() as u32).map(stamp).collect()
    }

    /// Brings what the part file holds of a file to where it belongs.
    fn bring(&mut self, open: &Open, place: u32) {
        let aside = Open { aside: [place].into(), ..open.clone() };
        let length = open.layout.files()[place as usize].length;
        let starts = open.layout.pieces_of(place as usize);
        for piece in starts {
            let spans = open.layout.spans(piece, 0, open.layout.piece_size(piece));
            if let Some(span) = spans.into_iter().find(|span| span.file == place)
                && let Some(data) = self.read(&aside, span)
            {
                self.write(open, &[span], &data.into());
            }
        }
        debug_assert!(self.files.get(&open.path(place)).is_none_or(|file| file.length == length));
    }

    fn write(&mut self, open: &Open, spans: &[Span], data: &Bytes) {
        self.clock += 1;
        let mut at = 0;
        for span in spans {
            let file = &open.layout.files()[span.file as usize];
            let aside = open.aside.contains(&span.file);
            for (path, position, length) in open.runs(*span) {
                let end = at + length as usize;
                if !file.padding {
                    let entry = self.files.entry(path).or_default();
                    entry.write(position, data.slice(at..end));
                    if !aside {
                        entry.length = entry.length.max(file.length);
                    }
                    entry.modified = self.clock;
                    self.written += length;
                }
                at = end;
            }
        }
    }

    /// The bytes of `span`, if all of them are there.
    fn read(&self, open: &Open, span: Span) -> Option<Vec<u8>> {
        if open.layout.files()[span.file as usize].padding {
            return Some(vec![0; span.length as usize]);
        }
        let mut data = Vec::new();
        for (path, position, length) in open.runs(span) {
            data.extend(self.files.get(&path).filter(|file| file.length >= position + length)?.read(position, length));
        }
        Some(data)
    }
}

impl Open {
    fn path(&self, place: u32) -> String {
        format!("{}/{}", self.folder, self.layout.files()[place as usize].path.join("/"))
    }

    /// The files that may be on disk.
    fn places(&self) -> impl Iterator<Item = u32> + use<> {
        let layout = self.layout.clone();
        (0..layout.files().len() as u32).filter(move |place| !layout.files()[*place as usize].padding)
    }

    /// Where the bytes of `span` are: file, position and length.
    fn runs(&self, span: Span) -> Vec<(String, u64, u64)> {
        if self.aside.contains(&span.file) {
            let runs = Parts::new(&self.layout);
            return runs.locate(&self.layout, span).map(|(position, length)| (self.parts.clone(), position, length)).collect();
        }
        vec![(self.path(span.file), span.offset, span.length)]
    }
}

impl File {
    fn write(&mut self, offset: u64, data: Bytes) {
        let end = offset + data.len() as u64;
        self.length = self.length.max(end);
        // Earlier runs that reach into the new one are cut; pieces seldom overlap.
        let overlapping: Vec<u64> =
            self.runs.range(..end).filter(|(start, run)| *start + run.len() as u64 > offset).map(|(start, _)| *start).collect();
        for start in overlapping {
            let run = self.runs.remove(&start).unwrap_or_default();
            if start < offset {
                self.runs.insert(start, run.slice(..(offset - start) as usize));
            }
            if start + run.len() as u64 > end {
                self.runs.insert(end, run.slice((end - start) as usize..));
            }
        }
        self.runs.insert(offset, data);
    }

    fn read(&self, offset: u64, length: u64) -> Vec<u8> {
        let mut data = vec![0; length as usize];
        for (start, run) in self.runs.range(..offset + length) {
            let from = offset.max(*start);
            let to = (offset + length).min(start + run.len() as u64);
            if from < to {
                data[(from - offset) as usize..(to - offset) as usize]
                    .copy_from_slice(&run[(from - start) as usize..(to - start) as usize]);
            }
        }
        data
    }
}

fn prints(piece: &[u8]) -> Vec<Fingerprint> {
    piece.chunks(16384).map(|block| Sha1::digest(block)[..8].try_into().expect("a digest has eight bytes")).collect()
}

fn fault(kind: DiskErrorKind, path: &str) -> Box<DiskError> {
    Box::new(DiskError { kind, path: path.to_owned(), message: "simulated".to_owned() })
}
