use bytes::Bytes;
use rustor_core::{
    error::{DiskError, DiskErrorKind},
    id::TorrentId,
    storage::{DiskOperation, DiskOutput, FileStamp, Fingerprint, Layout, Span},
};
use sha1::{Digest, Sha1};
use std::{collections::BTreeMap, sync::Arc};

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

#[derive(Debug)]
struct Open {
    layout: Arc<Layout>,
    folder: String,
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
        if let DiskOperation::Open { layout, folder, .. } = operation {
            self.open.insert(torrent, Open { layout, folder });
            return Ok(DiskOutput::Opened(self.stamps(torrent)));
        }
        let Some(open) = self.open.get(&torrent) else { return Err(fault(DiskErrorKind::Other, "nothing is open")) };
        let paths: Vec<String> = open.layout.files().iter().map(|file| format!("{}/{}", open.folder, file.path.join("/"))).collect();
        let (layout, folder) = (open.layout.clone(), open.folder.clone());
        Ok(match operation {
            DiskOperation::Open { .. } => unreachable!("handled above"),
            DiskOperation::Prepare => {
                for (file, path) in layout.files().iter().zip(&paths) {
                    if file.length == 0 && !file.padding {
                        self.files.entry(path.clone()).or_default();
                    }
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
                    return Err(fault(DiskErrorKind::Full, &paths[spans[0].file as usize]));
                }
                self.clock += 1;
                let mut at = 0;
                for Span { file, offset, length } in spans {
                    let end = at + length as usize;
                    if !layout.files()[file as usize].padding {
                        let entry = self.files.entry(paths[file as usize].clone()).or_default();
                        entry.write(offset, piece.slice(at..end));
                        entry.length = entry.length.max(layout.files()[file as usize].length);
                        entry.modified = self.clock;
                        self.written += length;
                    }
                    at = end;
                }
                DiskOutput::Stored(if fingerprints { prints(&piece) } else { Vec::new() })
            }
            DiskOperation::Read { spans, .. } => {
                let mut data = Vec::new();
                for span in spans {
                    let path = &paths[span.file as usize];
                    match self.files.get(path) {
                        Some(file) if file.length >= span.offset + span.length => data.extend(file.read(span.offset, span.length)),
                        _ => return Err(fault(DiskErrorKind::Missing, path)),
                    }
                }
                DiskOutput::Read(data.into())
            }
            DiskOperation::Verify { first, digests } => {
                let valid = |(piece, digest): (u32, &[u8])| {
                    let mut hash = Sha1::new();
                    for span in layout.spans(piece, 0, layout.piece_size(piece)) {
                        match self.files.get(&paths[span.file as usize]) {
                            Some(file) if file.length >= span.offset + span.length => hash.update(file.read(span.offset, span.length)),
                            _ => return false,
                        }
                    }
                    hash.finalize()[..] == *digest
                };
                DiskOutput::Verified((first..).zip(digests.chunks(20)).map(valid).collect())
            }
            DiskOperation::Stamp => DiskOutput::Stamps(self.stamps(torrent)),
            DiskOperation::SaveResume { data } => {
                self.resume.insert(folder, data);
                DiskOutput::Done
            }
            DiskOperation::Close { forget, delete } => {
                self.open.remove(&torrent);
                if forget {
                    self.resume.remove(&folder);
                }
                if delete {
                    paths.iter().for_each(|path| drop(self.files.remove(path)));
                }
                DiskOutput::Done
            }
        })
    }

    fn stamps(&self, torrent: TorrentId) -> Vec<Option<FileStamp>> {
        let Some(open) = self.open.get(&torrent) else { return Vec::new() };
        let stamp = |path: String| self.files.get(&path).map(|file| FileStamp { length: file.length, modified: file.modified });
        open.layout.files().iter().map(|file| stamp(format!("{}/{}", open.folder, file.path.join("/")))).collect()
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
