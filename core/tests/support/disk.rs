use super::Content;
use rustor_core::{
    error::{DiskError, DiskErrorKind},
    id::TorrentId,
    storage::{DiskOperation, DiskOutput, FileStamp, Fingerprint, Kept, Layout, Parts, Span},
    util::Bitfield,
    wire::BLOCK_LENGTH,
};
use sha1::{Digest, Sha1};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Files in memory, and a counter for their times.
#[derive(Default)]
pub struct Disk {
    pub files: BTreeMap<String, File>,
    pub resume: BTreeMap<String, bytes::Bytes>,
    open: BTreeMap<TorrentId, Open>,
    clock: i64,
    /// Operations of this kind fail so.
    pub fault: Option<(Job, DiskErrorKind)>,
    /// All that was ever done, in order.
    pub done: Vec<Job>,
}

#[derive(Clone)]
struct Open {
    layout: Arc<Layout>,
    folder: String,
    /// Where the part file is.
    parts: String,
    /// Places of the files that are kept aside.
    aside: BTreeSet<u32>,
    /// Places of the files that were there at any time.
    there: BTreeSet<u32>,
    /// Those of them that the engine knows to be gone.
    told: BTreeSet<u32>,
}

impl Open {
    fn new(layout: Arc<Layout>, folder: String, parts: String, aside: BTreeSet<u32>) -> Open {
        Open { layout, folder, parts, aside, there: BTreeSet::new(), told: BTreeSet::new() }
    }
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
    /// Which piece.
    Keep(u32),
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
            DiskOperation::Prepare { .. } => Job::Prepare,
            DiskOperation::Keep { piece, .. } => Job::Keep(*piece),
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
        let layout = Arc::new(content.layout.clone());
        let open = Open::new(layout, folder.into(), String::new(), BTreeSet::new());
        self.write(&open, &spans, &content.piece(piece));
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
        if let DiskOperation::Open { layout, folder, parts, .. } = operation {
            let parts = format!("{folder}/{parts}");
            let missing =
                (0..).zip(layout.files()).filter(|(_, file)| !file.padding && !self.files.contains_key(&path(&folder, &file.path)));
            let aside = missing.filter(|_| self.files.contains_key(&parts)).map(|(place, _)| place).collect();
            self.open.insert(torrent, Open::new(layout, folder, parts, aside));
            self.find(torrent);
            return Ok(DiskOutput::Opened(self.stamps(torrent)));
        }
        if matches!(job, Job::Close { .. }) && !self.open.contains_key(&torrent) {
            // Opening it had failed.
            return Ok(DiskOutput::Done);
        }
        let open = self.open.get(&torrent).cloned().unwrap_or_else(|| panic!("{job:?}, but nothing is open"));
        let Open { layout, folder, .. } = open.clone();
        if let Some(place) = self.misses(torrent, &operation) {
            let (path, message) = (path(&folder, &layout.files()[place as usize].path), "taken away".to_owned());
            return Err(Box::new(DiskError { kind: DiskErrorKind::Missing, path, message }));
        }
        let output = match operation {
            DiskOperation::Open { .. } => unreachable!("handled above"),
            DiskOperation::Prepare { wanted } => {
                self.prepare(torrent, &wanted);
                DiskOutput::Done
            }
            DiskOperation::Keep { runs, .. } => {
                for Kept { spans, segments } in runs {
                    self.write(&open, &spans, &segments.concat());
                }
                DiskOutput::Done
            }
            DiskOperation::Store { segments, spans, digest, fingerprints, .. } => {
                let data = segments.concat();
                if Sha1::digest(&data)[..] != digest {
                    return Ok(DiskOutput::Mismatch(prints(&data)));
                }
                self.write(&open, &spans, &data);
                DiskOutput::Stored(if fingerprints { prints(&data) } else { Vec::new() })
            }
            DiskOperation::Read { spans, length } => match self.read(&open, &spans) {
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
                    self.read(&open, &spans).is_some_and(|data| Sha1::digest(&data)[..] == *digest)
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
                if forget || delete {
                    self.files.remove(&open.parts);
                }
                if delete {
                    layout.files().iter().for_each(|file| drop(self.files.remove(&path(&folder, &file.path))));
                }
                DiskOutput::Done
            }
        };
        self.find(torrent);
        Ok(output)
    }

    /// Notes which files there are.
    fn find(&mut self, torrent: TorrentId) {
        let Some(open) = self.open.get_mut(&torrent) else { return };
        let files = (0..).zip(open.layout.files()).filter(|(_, file)| self.files.contains_key(&path(&open.folder, &file.path)));
        open.there.extend(files.map(|(place, _)| place));
    }

    /// A file that was there and is gone, if the operation is to tell of it.
    fn misses(&mut self, torrent: TorrentId, operation: &DiskOperation) -> Option<u32> {
        let open = self.open.get_mut(&torrent)?;
        let is_gone = |place: &&u32| {
            !open.aside.contains(place) && !self.files.contains_key(&path(&open.folder, &open.layout.files()[**place as usize].path))
        };
        let mut gone = open.there.iter().filter(is_gone).copied();
        match operation {
            DiskOperation::Prepare { .. } => gone.next(),
            DiskOperation::Store { spans, .. } => gone.find(|place| spans.iter().any(|span| span.file == *place)),
            DiskOperation::Stamp => {
                let untold: Vec<u32> = gone.filter(|place| !open.told.contains(place)).collect();
                open.told.extend(&untold);
                untold.first().copied()
            }
            _ => None,
        }
    }

    /// Brings wanted files out of the part file, and keeps the others aside.
    fn prepare(&mut self, torrent: TorrentId, wanted: &Bitfield) {
        let mut open = self.open[&torrent].clone();
        for (place, file) in (0..).zip(open.layout.files()).filter(|(_, file)| !file.padding) {
            let own = path(&open.folder, &file.path);
            if !wanted.get(place) {
                if !self.files.contains_key(&own) {
                    open.aside.insert(place);
                }
                continue;
            }
            if open.aside.remove(&place)
                && let Some(parts) = self.files.get(&open.parts)
            {
                let whole = Span { file: place, offset: 0, length: file.length };
                let (mut data, mut found) = (Vec::new(), false);
                for (position, length) in Parts::new(&open.layout).locate(&open.layout, whole) {
                    let (from, to) = (position as usize, (position + length) as usize);
                    found |= parts.data.get(from..to).is_some();
                    data.extend(parts.data.get(from..to).map_or(vec![0; length as usize], <[u8]>::to_vec));
                }
                if found {
                    self.clock += 1;
                    self.files.insert(own.clone(), File { data, modified: self.clock });
                }
            }
            if file.length == 0 {
                self.files.entry(own).or_default();
            }
        }
        if open.aside.is_empty() {
            self.files.remove(&open.parts);
        }
        self.open.insert(torrent, open);
    }

    /// Where each run of `span` is: path, position, length.
    fn places(open: &Open, span: Span) -> Vec<(String, usize, usize)> {
        if open.aside.contains(&span.file) {
            let runs = Parts::new(&open.layout).locate(&open.layout, span).collect::<Vec<_>>();
            return runs.into_iter().map(|(position, length)| (open.parts.clone(), position as usize, length as usize)).collect();
        }
        let path = path(&open.folder, &open.layout.files()[span.file as usize].path);
        vec![(path, span.offset as usize, span.length as usize)]
    }

    fn write(&mut self, open: &Open, spans: &[Span], mut data: &[u8]) {
        self.clock += 1;
        for span in spans {
            let file = &open.layout.files()[span.file as usize];
            let (now, later) = data.split_at(span.length as usize);
            data = later;
            let mut rest = now;
            for (path, position, length) in if file.padding { Vec::new() } else { Disk::places(open, *span) } {
                let entry = self.files.entry(path).or_default();
                let own = if open.aside.contains(&span.file) { 0 } else { file.length as usize };
                entry.data.resize(entry.data.len().max(own).max(position + length), 0);
                let (now, later) = rest.split_at(length);
                entry.data[position..position + length].copy_from_slice(now);
                entry.modified = self.clock;
                rest = later;
            }
        }
    }

    fn read(&self, open: &Open, spans: &[Span]) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        for span in spans {
            if open.layout.files()[span.file as usize].padding {
                data.resize(data.len() + span.length as usize, 0);
                continue;
            }
            for (path, position, length) in Disk::places(open, *span) {
                data.extend(self.files.get(&path)?.data.get(position..position + length)?);
            }
        }
        Some(data)
    }

    fn stamps(&self, torrent: TorrentId) -> Vec<Option<FileStamp>> {
        let Some(open) = self.open.get(&torrent) else { return Vec::new() };
        let stamp = |(place, file): (u32, &rustor_core::storage::LayoutFile)| {
            let aside = open.aside.contains(&place);
            let path = if aside { open.parts.clone() } else { path(&open.folder, &file.path) };
            self.files.get(&path).map(|file| FileStamp { length: file.data.len() as u64, modified: file.modified, aside })
        };
        (0..).zip(open.layout.files()).map(stamp).collect()
    }
}

fn path(folder: &str, components: &[String]) -> String {
    format!("{folder}/{}", components.join("/"))
}

fn prints(piece: &[u8]) -> Vec<Fingerprint> {
    piece.chunks(BLOCK_LENGTH as usize).map(|block| Sha1::digest(block)[..8].try_into().expect("eight bytes")).collect()
}
