use super::Content;
use rustor_core::{
    error::{DiskError, DiskErrorKind},
    id::TorrentId,
    storage::{DiskOperation, DiskOutput, FileStamp, Fingerprint, Layout, Span},
    wire::BLOCK_LENGTH,
};
use sha1::{Digest, Sha1};
use std::{collections::BTreeMap, sync::Arc};

/// Files in memory, and a counter for their times.
#[derive(Default)]
pub struct Disk {
    pub files: BTreeMap<String, File>,
    pub resume: BTreeMap<String, bytes::Bytes>,
    open: BTreeMap<TorrentId, (Arc<Layout>, String)>,
    clock: i64,
    /// Operations of this kind fail so.
    pub fault: Option<(Job, DiskErrorKind)>,
    /// All that was ever done, in order.
    pub done: Vec<Job>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    pub data: Vec<u8>,
    pub modified: i64,
}

/// What a disk was asked to do, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    Open,
    Prepare,
    /// Which piece.
    Store(u32),
    /// How many bytes.
    Read(u32),
    /// From which piece.
    Verify(u32),
    Stamp,
    SaveResume,
    Close {
        forget: bool,
        delete: bool,
    },
}

impl Job {
    pub fn of(operation: &DiskOperation) -> Job {
        match operation {
            DiskOperation::Open { .. } => Job::Open,
            DiskOperation::Prepare => Job::Prepare,
            DiskOperation::Store { piece, .. } => Job::Store(*piece),
            DiskOperation::Read { length, .. } => Job::Read(*length),
            DiskOperation::Verify { first, .. } => Job::Verify(*first),
            DiskOperation::Stamp => Job::Stamp,
            DiskOperation::SaveResume { .. } => Job::SaveResume,
            DiskOperation::Close { forget, delete } => Job::Close { forget: *forget, delete: *delete },
        }
    }

    /// Whether both are of one kind, whatever their details.
    pub fn is_like(self, other: Job) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl Disk {
    /// Puts a piece where it belongs, as somebody else than the engine.
    pub fn put_piece(&mut self, folder: &str, content: &Content, piece: u32) {
        let spans = content.layout.spans(piece, 0, content.layout.piece_size(piece));
        self.write(&content.layout, folder, &spans, &content.piece(piece));
        // Empty files hold no piece, but belong to whoever has everything.
        for file in content.layout.files().iter().filter(|file| file.length == 0 && !file.padding) {
            self.files.entry(path(folder, &file.path)).or_default();
        }
    }

    /// Whether the files hold exactly the content.
    pub fn holds(&self, folder: &str, content: &Content) -> bool {
        let mut start = 0;
        content.layout.files().iter().all(|file| {
            let expected = content.data.slice(start..start + file.length as usize);
            start += file.length as usize;
            let found = self.files.get(&path(folder, &file.path));
            if file.padding { found.is_none() } else { found.is_some_and(|found| found.data == expected) }
        })
    }

    pub fn count(&self, kind: Job) -> usize {
        self.done.iter().filter(|job| job.is_like(kind)).count()
    }

    pub fn perform(&mut self, torrent: TorrentId, operation: DiskOperation) -> Result<DiskOutput, Box<DiskError>> {
        let job = Job::of(&operation);
        self.done.push(job);
        if let Some((kind, error)) = self.fault
            && job.is_like(kind)
        {
            return Err(Box::new(DiskError { kind: error, path: "folder/file".to_owned(), message: "as the test wants".to_owned() }));
        }
        if let DiskOperation::Open { layout, folder, .. } = operation {
            self.open.insert(torrent, (layout, folder));
            return Ok(DiskOutput::Opened(self.stamps(torrent)));
        }
        if matches!(job, Job::Close { .. }) && !self.open.contains_key(&torrent) {
            // Opening it had failed.
            return Ok(DiskOutput::Done);
        }
        let (layout, folder) = self.open.get(&torrent).cloned().unwrap_or_else(|| panic!("{job:?}, but nothing is open"));
        Ok(match operation {
            DiskOperation::Open { .. } => unreachable!("handled above"),
            DiskOperation::Prepare => {
                for file in layout.files().iter().filter(|file| file.length == 0 && !file.padding) {
                    self.files.entry(path(&folder, &file.path)).or_default();
                }
                DiskOutput::Done
            }
            DiskOperation::Store { segments, spans, digest, fingerprints, .. } => {
                let data = segments.concat();
                if Sha1::digest(&data)[..] != digest {
                    return Ok(DiskOutput::Mismatch(prints(&data)));
                }
                self.write(&layout, &folder, &spans, &data);
                DiskOutput::Stored(if fingerprints { prints(&data) } else { Vec::new() })
            }
            DiskOperation::Read { spans, length } => match self.read(&layout, &folder, &spans) {
                Some(data) => {
                    assert_eq!(data.len(), length as usize);
                    DiskOutput::Read(data.into())
                }
                None => {
                    let (path, message) = ("folder/file".to_owned(), "missing".to_owned());
                    return Err(Box::new(DiskError { kind: DiskErrorKind::Missing, path, message }));
                }
            },
            DiskOperation::Verify { first, digests } => {
                let valid = |(piece, digest): (u32, &[u8])| {
                    let spans = layout.spans(piece, 0, layout.piece_size(piece));
                    self.read(&layout, &folder, &spans).is_some_and(|data| Sha1::digest(&data)[..] == *digest)
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
                    layout.files().iter().for_each(|file| drop(self.files.remove(&path(&folder, &file.path))));
                }
                DiskOutput::Done
            }
        })
    }

    fn write(&mut self, layout: &Layout, folder: &str, spans: &[Span], data: &[u8]) {
        self.clock += 1;
        let mut at = 0;
        for Span { file, offset, length } in spans {
            let end = at + *length as usize;
            let file = &layout.files()[*file as usize];
            if !file.padding {
                let entry = self.files.entry(path(folder, &file.path)).or_default();
                entry.data.resize(entry.data.len().max(file.length as usize), 0);
                entry.data[*offset as usize..(offset + length) as usize].copy_from_slice(&data[at..end]);
                entry.modified = self.clock;
            }
            at = end;
        }
    }

    fn read(&self, layout: &Layout, folder: &str, spans: &[Span]) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        for Span { file, offset, length } in spans {
            let file = &layout.files()[*file as usize];
            match self.files.get(&path(folder, &file.path)) {
                _ if file.padding => data.resize(data.len() + *length as usize, 0),
                found => data.extend(found?.data.get(*offset as usize..(offset + length) as usize)?),
            }
        }
        Some(data)
    }

    fn stamps(&self, torrent: TorrentId) -> Vec<Option<FileStamp>> {
        let Some((layout, folder)) = self.open.get(&torrent) else { return Vec::new() };
        let stamp = |file: &File| FileStamp { length: file.data.len() as u64, modified: file.modified };
        layout.files().iter().map(|file| self.files.get(&path(folder, &file.path)).map(stamp)).collect()
    }
}

fn path(folder: &str, components: &[String]) -> String {
    format!("{folder}/{}", components.join("/"))
}

fn prints(piece: &[u8]) -> Vec<Fingerprint> {
    piece.chunks(BLOCK_LENGTH as usize).map(|block| Sha1::digest(block)[..8].try_into().expect("eight bytes")).collect()
}
