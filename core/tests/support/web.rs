use super::World;
use bytes::Bytes;
use rustor_core::{
    error::HttpError,
    id::{FetchId, TorrentId},
    input::{ByteRange, FetchHead, Input, ReadBuffer},
    status::WebSeedStatus,
};
use std::{collections::VecDeque, ops::Range};

/// A web server's side of one request for a part of a file.
#[derive(Clone)]
pub struct Download {
    world: World,
    number: usize,
}

/// What the world knows of it.
pub(super) struct State {
    pub(super) fetch: FetchId,
    url: String,
    range: ByteRange,
    has_head: bool,
    pub(super) reading: Option<u32>,
    outbox: VecDeque<Result<Bytes, HttpError>>,
    pub(super) is_over: bool,
    /// The byte of the file that is to be sent next.
    next: usize,
}

/// What comes of a socket at once.
const CHUNK: usize = 30_000;

impl State {
    pub(super) fn new(fetch: FetchId, url: String, range: ByteRange) -> State {
        State { fetch, url, range, has_head: false, reading: None, outbox: VecDeque::new(), is_over: false, next: 0 }
    }

    /// What the engine reads next, if it reads.
    pub(super) fn deliver(&mut self) -> Option<Input> {
        let limit = self.reading.filter(|_| !self.is_over)? as usize;
        let mut result = self.outbox.pop_front()?;
        if let Ok(data) = &mut result
            && data.len() > limit.min(CHUNK)
        {
            self.outbox.push_front(Ok(data.split_off(limit.min(CHUNK))));
        }
        self.reading = None;
        let result = result.map(|data| ReadBuffer { allocation: data.len() as u32, data });
        self.is_over = !result.as_ref().is_ok_and(|buffer| !buffer.data.is_empty());
        Some(Input::FetchBody { fetch: self.fetch, result })
    }
}

impl World {
    /// The requests for parts of files that are under way, the oldest first.
    pub fn downloads(&self) -> Vec<Download> {
        let inner = self.0.borrow();
        let open = inner.downloads.iter().enumerate().filter(|(_, download)| !download.is_over);
        open.map(|(number, _)| Download { world: self.clone(), number }).collect()
    }

    /// The only request that is under way.
    pub fn download(&self) -> Download {
        let mut downloads = self.downloads();
        assert_eq!(downloads.len(), 1, "{:?}", downloads.iter().map(Download::url).collect::<Vec<_>>());
        downloads.remove(0)
    }

    /// How many requests there were in all.
    pub fn download_count(&self) -> usize {
        self.0.borrow().downloads.len()
    }

    /// Servers answer all requests well until there are none. `file` gives what lies at a URL.
    pub fn web_serves(&self, file: impl Fn(&str) -> Option<Bytes>) {
        while let Some(download) = self.downloads().into_iter().find(|download| !download.has_head()) {
            match file(&download.url()) {
                Some(file) => download.serves(&file),
                None => download.says(404),
            }
        }
    }

    pub fn web_seeds(&self, torrent: TorrentId) -> Vec<WebSeedStatus> {
        self.0.borrow().engine.web_seeds(torrent)
    }
}

impl Download {
    pub fn url(&self) -> String {
        self.state(|state| state.url.clone())
    }

    /// What tells requests apart.
    pub fn url_and_range(&self) -> (String, Range<u64>) {
        (self.url(), self.range())
    }

    /// The bytes of the file that were asked for.
    pub fn range(&self) -> Range<u64> {
        self.state(|state| state.range.start..state.range.start + state.range.length.get())
    }

    /// It has ended, or the engine has given it up.
    pub fn is_over(&self) -> bool {
        self.state(|state| state.is_over)
    }

    /// How many bytes the engine waits for, at most.
    pub fn awaited(&self) -> Option<u32> {
        self.state(|state| state.reading)
    }

    pub fn has_head(&self) -> bool {
        self.state(|state| state.has_head)
    }

    /// Answers with what was asked for, out of `file`.
    pub fn serves(&self, file: &Bytes) {
        self.begins(file);
        let range = self.range();
        self.sends(file.slice(range.start as usize..range.end as usize));
    }

    /// Answers that what was asked for out of `file` comes.
    pub fn begins(&self, file: &Bytes) {
        let range = self.state(|state| state.range);
        let (length, total) = (Some(range.length.get()), Some(file.len() as u64));
        self.state(|state| state.next = range.start as usize);
        self.heads(FetchHead { status: 206, length, range: Some(range), total, retry_after: None });
    }

    /// Answers with this status.
    pub fn says(&self, status: u16) {
        self.heads(FetchHead { status, ..FetchHead::default() });
    }

    /// Answers that all of a file comes.
    pub fn begins_whole(&self, file: &Bytes) {
        self.heads(FetchHead { status: 200, length: Some(file.len() as u64), ..FetchHead::default() });
    }

    pub fn heads(&self, head: FetchHead) {
        let fetch = self.state(|state| {
            state.has_head = true;
            state.fetch
        });
        self.world.input(Input::FetchHead { fetch, result: Ok(head) });
    }

    /// The server cannot be reached.
    pub fn fails(&self) {
        let fetch = self.state(|state| {
            state.is_over = true;
            state.fetch
        });
        self.world.input(Input::FetchHead { fetch, result: Err(HttpError::Failed("refused".to_owned())) });
    }

    /// Sends the next bytes of `file`, behind those that came so.
    pub fn sends_next(&self, file: &Bytes, count: usize) {
        let start = self.state(|state| state.next).min(file.len());
        let end = file.len().min(start + count);
        self.state(|state| state.next = end);
        self.sends(file.slice(start..end));
    }

    /// Sends a part of the body.
    pub fn sends(&self, data: impl Into<Bytes>) {
        self.puts(Ok(data.into()));
    }

    /// The body ends.
    pub fn ends(&self) {
        self.puts(Ok(Bytes::new()));
    }

    /// The connection breaks.
    pub fn breaks(&self) {
        self.puts(Err(HttpError::Failed("broken".to_owned())));
    }

    /// How many bytes the engine has not read.
    pub fn unread(&self) -> usize {
        self.state(|state| state.outbox.iter().flatten().map(Bytes::len).sum())
    }

    fn puts(&self, data: Result<Bytes, HttpError>) {
        let input = self.state(|state| {
            state.outbox.push_back(data);
            state.deliver()
        });
        input.into_iter().for_each(|input| self.world.input(input));
    }

    fn state<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.world.0.borrow_mut().downloads[self.number])
    }
}
