use super::durable::Content;
use crate::payload::Payload;
use bytes::Bytes;
use rustor_core::storage::{Layout, Span};
use sha1::{Digest, Sha1};
use std::sync::Arc;

/// A torrent's files as an engine has named them, and what the world knows of each.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) layout: Arc<Layout>,
    pub(super) folder: String,
    files: Vec<OpenFile>,
    /// The engine's layout is the payload's: a piece of the one is the same piece of the other.
    is_true: bool,
}

#[derive(Debug)]
struct OpenFile {
    path: String,
    /// Where in the payload the file with this path begins and ends; none of the payload's files may have it.
    place: Option<(u64, u64)>,
}

/// Bytes to be written, one behind the other, as they were given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    segments: &'a [Bytes],
    /// They are known to be the payload's from there on.
    truth: Option<u64>,
}

/// Bytes on their way to one place in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    given: Given<'a>,
    /// Where among them they begin, and how many they are.
    from: u64,
    pub(super) length: u64,
    /// Where they go.
    pub(super) file: u32,
    pub(super) offset: u64,
}

impl Open {
    pub(super) fn new(layout: Arc<Layout>, folder: String, payload: &Payload) -> Open {
        let place = |number: usize, path: &str| {
            let guess = payload.files.get(number).filter(|file| file.0 == path);
            guess.or_else(|| payload.files.iter().find(|file| file.0 == path)).map(|(_, begin, end)| (*begin, *end))
        };
        let file = |(number, path): (usize, String)| OpenFile { place: place(number, &path), path: format!("{folder}/{path}") };
        let files: Vec<OpenFile> = layout.files().iter().map(|file| file.path.join("/")).enumerate().map(file).collect();
        let same = |(number, file): (usize, &OpenFile)| {
            let [begin, end] = [number, number + 1].map(|number| layout.start_of(number as u32));
            file.place == Some((begin, end))
        };
        let is_true =
            layout.piece_length() == payload.piece_length() && files.len() == payload.files.len() && files.iter().enumerate().all(same);
        Open { layout, folder, files, is_true }
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| &*file.path)
    }

    pub(super) fn path(&self, file: u32) -> &str {
        &self.files[file as usize].path
    }

    /// Where in the payload a file begins; anywhere, if it holds nothing of it.
    pub(super) fn base(&self, file: u32) -> u64 {
        self.files[file as usize].place.map_or(0, |(begin, _)| begin)
    }

    /// Whether what this engine calls a piece is what the payload does.
    pub(super) fn is_true(&self) -> bool {
        self.is_true
    }

    /// What was given for these spans, if it hashes to `digest`. The true piece at its own place is known by a look at its address, and
    /// its digest stands in the torrent; all else is hashed.
    pub(super) fn checked<'a>(&self, segments: &'a [Bytes], spans: &[Span], digest: &[u8; 20], payload: &Payload) -> Option<Given<'a>> {
        let slices = || segments.iter().map(|segment| &segment[..]);
        let truth = || {
            let first = spans.first()?;
            let start = self.files[first.file as usize].place?.0 + first.offset;
            let (length, given) = (u64::from(payload.piece_length()), slices().map(|slice| slice.len() as u64).sum::<u64>());
            let whole = start.is_multiple_of(length) && payload.slice(start, length).len() as u64 == given;
            let piece = (whole && payload.is_true(start, slices())).then_some((start / length) as u32)?;
            Some((start, payload.metainfo.info.piece_hash(piece)?))
        };
        let (truth, fits) = match truth() {
            Some((start, hash)) => (Some(start), hash == digest),
            None => {
                let mut hash = Sha1::new();
                slices().for_each(|slice| hash.update(slice));
                (None, hash.finalize()[..] == digest[..])
            }
        };
        fits.then_some(Given { segments, truth })
    }

    /// What a file is to hold from `offset` on. Bytes that are the payload's at this very place need not be kept once more.
    pub(super) fn content(&self, offset: u64, part: Part<'_>, payload: &Payload) -> Content {
        let place = self.files[part.file as usize].place.filter(|(begin, end)| begin + offset + part.length <= *end);
        let is_true = place.is_some_and(|(begin, _)| {
            part.given.truth.is_some_and(|truth| truth + part.from == begin + offset) || payload.is_true(begin + offset, part.slices())
        });
        if is_true { Content::True(part.length) } else { Content::Other(part.slices().collect::<Vec<_>>().concat().into()) }
    }
}

impl<'a> Given<'a> {
    /// Bytes that nobody has looked at.
    pub(super) fn unchecked(segments: &'a [Bytes]) -> Given<'a> {
        Given { segments, truth: None }
    }

    /// What of them goes to each span.
    pub(super) fn parts(self, spans: &[Span]) -> impl Iterator<Item = Part<'a>> {
        let mut at = 0;
        spans.iter().map(move |span| {
            let from = at;
            at += span.length;
            Part { given: self, from, length: span.length, file: span.file, offset: span.offset }
        })
    }
}

impl<'a> Part<'a> {
    /// Its sectors, each by itself.
    pub(super) fn sectors(self, sector: u64) -> impl Iterator<Item = Part<'a>> {
        let (mut offset, stop) = (self.offset, self.offset + self.length);
        std::iter::from_fn(move || {
            let from = offset;
            offset = ((from / sector + 1) * sector).min(stop);
            (from < stop).then(|| Part { from: self.from + (from - self.offset), length: offset - from, offset: from, ..self })
        })
    }

    fn slices(self) -> impl Iterator<Item = &'a [u8]> {
        let (mut skip, mut left) = (self.from as usize, self.length as usize);
        self.given.segments.iter().filter_map(move |segment| {
            let from = skip.min(segment.len());
            let to = segment.len().min(from + left);
            (skip, left) = (skip - from, left - (to - from));
            (from < to).then(|| &segment[from..to])
        })
    }
}
