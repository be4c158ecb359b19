use super::{Error, Options, Value, decode::check};
use alloc::vec::Vec;

/// Where the lists and dictionaries of an input end, noted while it is checked, so that reading it skips them in one step.
///
/// Worth its memory for whole torrent files; for the short messages of trackers and peers, [`decode`](super::decode()) is as fast. It
/// can be used again and keeps its memory, which is never more than the input's own length.
#[derive(Debug, Default)]
pub struct Outline {
    entries: Vec<Entry>,
    /// The entry of the innermost list or dictionary that is open.
    open: usize,
    limit: usize,
}

impl Outline {
    /// Without memory yet.
    pub const fn new() -> Outline {
        Outline { entries: Vec::new(), open: 0, limit: 0 }
    }

    /// Decodes one value that fills `input`, as [`Options::decode`] does; the same value comes out, only faster to look into.
    pub fn decode<'a>(&'a mut self, input: &'a [u8], options: Options) -> Result<Value<'a>, Error> {
        self.entries.clear();
        self.open = 0;
        // Real torrents have far fewer. Where there are more, none are kept, and reading scans instead.
        self.limit = if u32::try_from(input.len()).is_ok() { input.len() / size_of::<Entry>() } else { 0 };
        self.entries.reserve(self.limit.min(64));
        let length = check(input, options, self)?;
        let raw = options.whole(input, length)?;
        Ok(Value::trusted(raw, if self.limit > 0 { &self.entries } else { &[] }))
    }
}

/// A list or dictionary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Its bytes; while it is open, where it starts.
    length: u32,
    /// How many lists and dictionaries it is, with all inside; while it is open, the entry of the one around it.
    count: u32,
}

impl Entry {
    pub(super) fn length(self) -> usize {
        self.length as usize
    }

    pub(super) fn count(self) -> usize {
        self.count as usize
    }
}

/// Hears of the lists and dictionaries that the decoder comes by.
pub(super) trait Notes {
    fn open(&mut self, at: usize);
    fn close(&mut self, end: usize);
}

/// Not interested.
impl Notes for () {
    fn open(&mut self, _at: usize) {}
    fn close(&mut self, _end: usize) {}
}

impl Notes for Outline {
    fn open(&mut self, at: usize) {
        if self.entries.len() >= self.limit {
            self.limit = 0;
            return;
        }
        let around = core::mem::replace(&mut self.open, self.entries.len());
        // Both fit: the limit sees to it that the input's length does.
        self.entries.push(Entry { length: at as u32, count: around as u32 });
    }

    fn close(&mut self, end: usize) {
        let length = self.entries.len();
        if self.limit > 0
            && let Some(entry) = self.entries.get_mut(self.open)
        {
            let around = entry.count();
            *entry = Entry { length: (end - entry.length()) as u32, count: (length - self.open) as u32 };
            self.open = around;
        }
    }
}
