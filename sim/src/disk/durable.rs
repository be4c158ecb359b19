//! What of a disk's files outlives a failure of the power.

use super::file::File;
use bytes::Bytes;
use rustor_core::{rng::Rng, time::Instant};
use std::collections::{BTreeMap, BTreeSet};

/// Files as they would be found after a failure of the power, and the writes of which nobody knows whether they are there yet.
///
/// As real systems do it, this one writes things back in no particular order: of two writes the later one may be durable and the
/// earlier one not, of one write some sectors, and a file's length and time may be without any of the content that they tell of.
#[derive(Debug, Default)]
pub(super) struct Durable {
    files: BTreeMap<String, File>,
    /// The oldest first.
    pending: Vec<Write>,
    /// How many there ever were.
    writes: u64,
}

#[derive(Debug)]
struct Write {
    number: u64,
    at: Instant,
    path: String,
    offset: u64,
    content: Content,
    /// What the file was like after it, its content left out.
    after: File,
}

#[derive(Debug)]
pub(super) enum Content {
    /// So many bytes as in the payload.
    True(u64),
    Other(Bytes),
}

impl Durable {
    /// A file was written to; `file` is what it is like now.
    pub(super) fn wrote(&mut self, at: Instant, path: &str, offset: u64, content: Content, file: &File) {
        let after = File { base: file.base, length: file.length, modified: file.modified, ..File::default() };
        self.pending.push(Write { number: self.writes, at, path: path.to_owned(), offset, content, after });
        self.writes += 1;
    }

    /// What was written until then is durable.
    pub(super) fn written_back(&mut self, until: Instant) {
        let later = self.pending.partition_point(|write| write.at <= until);
        for write in self.pending.drain(..later) {
            write.apply(self.files.entry(write.path.clone()).or_default());
        }
    }

    /// How many writes there were so far.
    pub(super) fn writes(&self) -> u64 {
        self.writes
    }

    /// Of all writes, the first `writes` to these files are durable.
    pub(super) fn synced<'a>(&mut self, paths: impl Iterator<Item = &'a str>, writes: u64) {
        let paths: BTreeSet<&str> = paths.collect();
        let (synced, pending): (Vec<Write>, _) =
            std::mem::take(&mut self.pending).into_iter().partition(|write| write.number < writes && paths.contains(&*write.path));
        self.pending = pending;
        for write in synced {
            write.apply(self.files.entry(write.path.clone()).or_default());
        }
    }

    /// A file was changed behind its owner's back: it is as it is, `None` for gone.
    pub(super) fn is(&mut self, path: &str, file: Option<&File>) {
        self.pending.retain(|write| write.path != path);
        match file {
            Some(file) => drop(self.files.insert(path.to_owned(), file.clone())),
            None => drop(self.files.remove(path)),
        }
    }

    /// The power fails: what is found afterwards.
    pub(super) fn power_fails(&mut self, sector: u64, rng: &mut Rng) -> BTreeMap<String, File> {
        let mut pending: BTreeMap<String, Vec<Write>> = BTreeMap::new();
        std::mem::take(&mut self.pending).into_iter().for_each(|write| pending.entry(write.path.clone()).or_default().push(write));
        for (path, writes) in pending {
            let before = self.files.get(&path);
            // Length and time go together, and not with the content.
            let told = writes.last().map(|write| &write.after).filter(|_| rng.below(2) == 0);
            let Some((length, modified)) = told.or(before).map(|file| (file.length, file.modified)) else { continue };
            let file = self.files.entry(path).or_default();
            writes.into_iter().for_each(|write| write.apply_in_part(file, sector, rng));
            file.cut(length);
            file.modified = modified;
        }
        self.files.clone()
    }
}

impl Write {
    fn apply(&self, file: &mut File) {
        file.base = self.after.base;
        match &self.content {
            Content::True(length) => file.write_true(self.offset, *length),
            Content::Other(bytes) => file.write(self.offset, bytes.clone()),
        }
        (file.length, file.modified) = (self.after.length, self.after.modified);
    }

    /// Some sectors of it.
    fn apply_in_part(&self, file: &mut File, sector: u64, rng: &mut Rng) {
        file.base = self.after.base;
        let length = match &self.content {
            Content::True(length) => *length,
            Content::Other(bytes) => bytes.len() as u64,
        };
        let mut offset = self.offset;
        while offset < self.offset + length {
            let end = ((offset / sector + 1) * sector).min(self.offset + length);
            if rng.below(2) == 0 {
                match &self.content {
                    Content::True(_) => file.write_true(offset, end - offset),
                    Content::Other(bytes) => {
                        file.write(offset, bytes.slice((offset - self.offset) as usize..(end - self.offset) as usize));
                    }
                }
            }
            offset = end;
        }
    }
}
