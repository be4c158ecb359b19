//! Web seeds (BEP 19): servers that have a torrent's files, and send parts of them over HTTP.
//!
//! A [`WebSeed`] is what is known of one such server: where its files lie, which of them it lacks, and when it may be asked again. It is
//! given runs of bytes of the torrent to fetch, says which requests these need, and judges what the server answers. It fetches nothing
//! itself, does not know which pieces are missing, and does not look at the bytes.
//!
//! ```
//! use rustor_core::{
//!     input::FetchHead,
//!     metainfo::Info,
//!     storage::Layout,
//!     time::Instant,
//!     web_seed::{WebSeed, WebSeedConfig, WebSeedStep},
//! };
//!
//! let info = Info::parse("d6:lengthi3e4:name5:a.bin12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae".into())?;
//! let layout = Layout::of(&info).unwrap();
//! let mut seed = WebSeed::new("http://mirror.example/", WebSeedConfig::default()).unwrap();
//! let now = Instant::ZERO;
//! seed.begin(now, 0..3);
//! let Some(WebSeedStep::Fetch { url, range }) = seed.poll(now, &info, &layout) else { panic!() };
//! assert_eq!((url.as_str(), range.start, range.length.get()), ("http://mirror.example/a.bin", 0, 3));
//! let head = FetchHead { status: 206, range: Some(range), total: Some(3), ..FetchHead::default() };
//! seed.handle_head(now, &layout, Ok(head)).unwrap();
//! assert_eq!(seed.poll(now, &info, &layout), Some(WebSeedStep::Read));
//! assert_eq!(seed.handle_body(now, Ok("abc".into())), Ok((0, "abc".into())));
//! assert!(seed.is_idle());
//! # Ok::<(), rustor_core::metainfo::Error>(())
//! ```

mod cutter;
mod fault;
#[cfg(test)]
mod tests;
mod url;

pub use cutter::BlockCutter;
pub use fault::WebSeedFault;
pub use url::file_url;

use crate::{
    error::HttpError,
    input::{ByteRange, FetchHead},
    metainfo::Info,
    storage::{Layout, Span},
    time::{Duration, Instant},
    torrent::{geometry::BLOCK_LENGTH, picker::PeerPieces},
    util::{Bitfield, RateMeter},
};
use alloc::{borrow::ToOwned, collections::BTreeSet, string::String};
use bytes::Bytes;
use core::{num::NonZeroU64, ops::Range};

/// How web seeds are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSeedConfig {
    /// Give up on a server that says nothing for so long. Default 30 s.
    pub silence_timeout: Duration,
    /// Ask a server again after this, doubled for each failure in a row, up to [`WebSeedConfig::retry_maximum`]. Default 10 s.
    pub retry_interval: Duration,
    /// The longest wait before a server is asked again, whatever it says itself; and when a file that it did not have is asked for
    /// again. Default 1 h.
    pub retry_maximum: Duration,
    /// Web seeds of one torrent that are fetched from at once. Default 4.
    pub active_limit: u32,
    /// Web seeds of one torrent that are used at all; further URLs are ignored. Default 64.
    pub url_limit: u32,
    /// Pieces are kept for a web seed as far ahead as it comes in this time. Default 10 s.
    pub claim_time: Duration,
    /// The least that is kept for a web seed, in bytes. Default 4 MiB.
    pub claim_minimum: u64,
    /// The most that is kept for a web seed, in bytes. Default 64 MiB.
    pub claim_maximum: u64,
}

impl Default for WebSeedConfig {
    fn default() -> WebSeedConfig {
        WebSeedConfig {
            silence_timeout: Duration::from_secs(30),
            retry_interval: Duration::from_secs(10),
            retry_maximum: Duration::from_secs(3600),
            active_limit: 4,
            url_limit: 64,
            claim_time: Duration::from_secs(10),
            claim_minimum: 4 << 20,
            claim_maximum: 64 << 20,
        }
    }
}

/// One web seed of one torrent.
#[derive(Debug)]
pub struct WebSeed {
    url: String,
    config: WebSeedConfig,
    state: State,
    /// Files that the server does not have, or not as the torrent has them.
    missing: BTreeSet<u32>,
    /// The pieces that this leaves; `None` is all.
    holdings: Option<Bitfield>,
    /// When missing files are asked for again.
    forget_missing: Option<Instant>,
    ignores_ranges: bool,
    /// Faults since it last sent a good part.
    faults: u32,
    last_fault: Option<WebSeedFault>,
    downloaded: u64,
    meter: RateMeter,
}

#[derive(Debug)]
enum State {
    Idle,
    /// It is left alone until then.
    Waiting(Instant),
    Running(Run),
    Banned,
}

#[derive(Debug)]
struct Run {
    /// The byte of the torrent that comes next.
    at: u64,
    end: u64,
    request: Request,
    /// When the server last said something, or was asked.
    progress: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// None: one is to be made.
    None,
    /// The head is to come. Asked for so many bytes, from so far into the file.
    Opening { file: u32, start: u64, length: u64 },
    /// The body began at one byte of the torrent, and is of use up to another.
    Open { from: u64, until: u64, reading: bool },
}

/// What a [`WebSeed`] needs done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebSeedStep {
    /// Ask the server for this. Answered by [`WebSeed::handle_head`].
    Fetch {
        /// The file's URL.
        url: String,
        /// The part of it.
        range: ByteRange,
    },
    /// Read on. Answered by [`WebSeed::handle_body`].
    Read,
    /// Nothing needs to be fetched for these zeros: they pad (BEP 47).
    Padding {
        /// Where in the torrent they lie.
        offset: u64,
        /// How many.
        length: u32,
    },
}

/// Less than this is no part that a server may cut a range down to.
const SHORTEST_PART: u64 = BLOCK_LENGTH as u64;

/// So many bytes of one body, or all of it, let a server's earlier faults be forgotten.
const GOOD_PART: u64 = 64 << 10;

/// Files that a server may lack one after the other before it is left alone for a while.
const MISSING_IN_A_ROW: u32 = 3;

impl WebSeed {
    /// A web seed at `url` as the torrent names it; `None` if that is neither `http:` nor `https:`.
    pub fn new(url: &str, config: WebSeedConfig) -> Option<WebSeed> {
        url::is_supported(url).then(|| WebSeed {
            url: url.to_owned(),
            config,
            state: State::Idle,
            missing: BTreeSet::new(),
            holdings: None,
            forget_missing: None,
            ignores_ranges: false,
            faults: 0,
            last_fault: None,
            downloaded: 0,
            meter: RateMeter::default(),
        })
    }

    /// Begins to fetch these bytes of the torrent, from the first to the last. Only when [idle](WebSeed::is_idle).
    pub fn begin(&mut self, now: Instant, run: Range<u64>) {
        if self.is_idle() && !run.is_empty() {
            self.state = State::Running(Run { at: run.start, end: run.end, request: Request::None, progress: now });
        }
    }

    /// Ends the run: nothing more of it is needed.
    pub fn end(&mut self) {
        if matches!(self.state, State::Running(_)) {
            self.state = State::Idle;
        }
    }

    /// Lets the run end before `end`: what is behind comes from elsewhere.
    pub fn shorten(&mut self, end: u64) {
        if let State::Running(run) = &mut self.state
            && end > run.at
        {
            run.end = run.end.min(end);
            if let Request::Open { until, .. } = &mut run.request {
                *until = run.end.min(*until);
            }
        }
    }

    /// What is to be done next; `None` if that is to wait, for an answer or for the next run.
    pub fn poll(&mut self, now: Instant, info: &Info, layout: &Layout) -> Option<WebSeedStep> {
        let State::Running(run) = &mut self.state else { return None };
        match &mut run.request {
            Request::Open { reading: false, .. } => {
                if let Request::Open { reading, .. } = &mut run.request {
                    *reading = true;
                }
                run.progress = now;
                Some(WebSeedStep::Read)
            }
            Request::Opening { .. } | Request::Open { .. } => None,
            Request::None => {
                let Some(span) = span_at(layout, run.at, run.end).filter(|span| span.length > 0) else {
                    self.state = State::Idle;
                    return None;
                };
                if layout.files().get(span.file as usize).is_some_and(|file| file.padding) {
                    let offset = run.at;
                    let length = span.length.min(u64::from(BLOCK_LENGTH));
                    run.at += length;
                    if run.at >= run.end {
                        self.state = State::Idle;
                    }
                    return Some(WebSeedStep::Padding { offset, length: length as u32 });
                }
                let (Some(url), Some(length)) = (file_url(&self.url, info, span.file as usize), NonZeroU64::new(span.length)) else {
                    self.state = State::Idle;
                    return None;
                };
                run.request = Request::Opening { file: span.file, start: span.offset, length: span.length };
                run.progress = now;
                Some(WebSeedStep::Fetch { url, range: ByteRange { start: span.offset, length } })
            }
        }
    }

    /// The server has answered.
    ///
    /// # Errors
    ///
    /// What is wrong with the answer. The run is over then, and the server is left alone for a while.
    pub fn handle_head(&mut self, now: Instant, layout: &Layout, head: Result<FetchHead, HttpError>) -> Result<(), WebSeedFault> {
        let State::Running(Run { at, request: Request::Opening { file, start, length }, .. }) = self.state else { return Ok(()) };
        let head = match head {
            Ok(head) => head,
            Err(error) => return Err(self.fail(now, WebSeedFault::Unreachable(error))),
        };
        let file_length = layout.files().get(file as usize).map_or(0, |file| file.length);
        let part = match head.status {
            206 => match head.range {
                Some(part) if head.total.is_some_and(|total| total != file_length) => {
                    let _ = part;
                    return Err(self.lacks(now, layout, file, WebSeedFault::WrongLength));
                }
                Some(part) if part.start == start && part.length.get() <= length => part.length.get(),
                _ => return Err(self.fail(now, WebSeedFault::WrongRange)),
            },
            200 if head.length.is_some_and(|found| found != file_length) => {
                return Err(self.lacks(now, layout, file, WebSeedFault::WrongLength));
            }
            // The whole file begins like its first part.
            200 if start == 0 => length,
            200 => {
                self.ignores_ranges = true;
                self.state = State::Idle;
                return Ok(());
            }
            429 | 503 => return Err(self.busy(now, head)),
            // Where there is no such part, there is another file.
            401 | 403 | 404 | 410 | 416 => return Err(self.lacks(now, layout, file, WebSeedFault::Status(head.status))),
            status => return Err(self.fail(now, WebSeedFault::Status(status))),
        };
        if part < length.min(SHORTEST_PART) {
            return Err(self.fail(now, WebSeedFault::WrongRange));
        }
        if let State::Running(run) = &mut self.state {
            run.request = Request::Open { from: at, until: at.saturating_add(part).min(run.end), reading: false };
            run.progress = now;
        }
        Ok(())
    }

    /// A part of the body has come; none is its end. Gives the bytes that are of use and where in the torrent they lie.
    ///
    /// # Errors
    ///
    /// What is wrong with it. The run is over then, and the server is left alone for a while.
    pub fn handle_body(&mut self, now: Instant, data: Result<Bytes, HttpError>) -> Result<(u64, Bytes), WebSeedFault> {
        let State::Running(run) = &mut self.state else { return Ok((0, Bytes::new())) };
        let Request::Open { from, until, reading } = &mut run.request else { return Ok((0, Bytes::new())) };
        *reading = false;
        let mut data = match data {
            Ok(data) if data.is_empty() => return Err(self.fail(now, WebSeedFault::Truncated)),
            Ok(data) => data,
            Err(error) => return Err(self.fail(now, WebSeedFault::Unreachable(error))),
        };
        let (offset, from, until) = (run.at, *from, *until);
        data.truncate(usize::try_from(until.saturating_sub(offset)).unwrap_or(usize::MAX));
        run.at = offset.saturating_add(data.len() as u64);
        run.progress = now;
        // A server that gets so far does what it is for.
        let is_good = run.at >= until || run.at - from >= GOOD_PART;
        if run.at >= until {
            run.request = Request::None;
        }
        if run.at >= run.end {
            self.state = State::Idle;
        }
        self.downloaded = self.downloaded.saturating_add(data.len() as u64);
        self.meter.add(now, data.len() as u64);
        if is_good {
            (self.faults, self.last_fault) = (0, None);
        }
        Ok((offset, data))
    }

    /// Lets happen what is due.
    ///
    /// # Errors
    ///
    /// If the server has been silent for too long. The run is over then.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), WebSeedFault> {
        if self.forget_missing.is_some_and(|at| at <= now) {
            self.forget_missing = None;
            self.missing.clear();
            self.holdings = None;
        }
        match &self.state {
            State::Waiting(until) if *until <= now => self.state = State::Idle,
            State::Running(run) if self.silence_deadline(run).is_some_and(|at| at <= now) => {
                return Err(self.fail(now, WebSeedFault::Silent));
            }
            _ => {}
        }
        Ok(())
    }

    /// It sent bad data: nothing more is fetched from it (BEP 19). Whether that is news.
    pub fn ban(&mut self) -> bool {
        self.last_fault = Some(WebSeedFault::BadData);
        !matches!(core::mem::replace(&mut self.state, State::Banned), State::Banned)
    }

    /// It answers with whole files only, and for too little of use: it is left alone for a while, as after a fault.
    pub fn set_aside(&mut self, now: Instant) -> WebSeedFault {
        self.fail(now, WebSeedFault::IgnoresRanges)
    }

    /// When to call [`WebSeed::handle_timeout`].
    pub fn next_deadline(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Waiting(until) => Some(*until),
            State::Running(run) => self.silence_deadline(run),
            State::Idle | State::Banned => None,
        };
        [own, self.forget_missing].into_iter().flatten().min()
    }

    /// Its URL as the torrent names it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether a run may begin.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether a run is under way.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    /// Whether it was banned.
    pub fn is_banned(&self) -> bool {
        matches!(self.state, State::Banned)
    }

    /// Whether a request is under way. If not, whatever download the last one began is to be given up.
    pub fn is_requesting(&self) -> bool {
        matches!(&self.state, State::Running(run) if run.request != Request::None)
    }

    /// Until when it is left alone, if it is.
    pub fn waits_until(&self) -> Option<Instant> {
        match self.state {
            State::Waiting(until) => Some(until),
            _ => None,
        }
    }

    /// The bytes of the torrent that are still to come in this run.
    pub fn run(&self) -> Option<Range<u64>> {
        match &self.state {
            State::Running(run) => Some(run.at..run.end),
            _ => None,
        }
    }

    /// Whether it answers with whole files where parts are asked for. Only runs from the beginning of a file make sense then.
    pub fn ignores_ranges(&self) -> bool {
        self.ignores_ranges
    }

    /// The pieces that it has, as far as is known.
    pub fn holdings(&self) -> PeerPieces<'_> {
        self.holdings.as_ref().map_or(PeerPieces::All, PeerPieces::Some)
    }

    /// What went wrong last, if nothing good came since.
    pub fn last_fault(&self) -> Option<&WebSeedFault> {
        self.last_fault.as_ref()
    }

    /// Bytes of files that came from it, of use or not.
    pub fn downloaded(&self) -> u64 {
        self.downloaded
    }

    /// Bytes a second that come from it.
    pub fn rate(&self, now: Instant) -> u64 {
        self.meter.rate(now)
    }

    fn silence_deadline(&self, run: &Run) -> Option<Instant> {
        // Between two reads it is we who are silent.
        let waits = matches!(run.request, Request::Opening { .. } | Request::Open { reading: true, .. });
        waits.then(|| run.progress + self.config.silence_timeout)
    }

    /// Leaves the server alone, the longer the more often it failed.
    fn fail(&mut self, now: Instant, fault: WebSeedFault) -> WebSeedFault {
        self.faults = self.faults.saturating_add(1);
        self.state = State::Waiting(now + self.back_off(self.faults));
        self.last_fault = Some(fault.clone());
        fault
    }

    /// The server is busy, which is no fault (BEP 19), and may say for how long.
    fn busy(&mut self, now: Instant, head: FetchHead) -> WebSeedFault {
        let fault = self.fail(now, WebSeedFault::Busy);
        if let Some(seconds) = head.retry_after {
            // Even who wants to be asked again at once gets a moment.
            let wait = Duration::from_secs(seconds.max(1).into()).min(self.config.retry_maximum);
            self.state = State::Waiting(now + wait);
        }
        fault
    }

    /// The server does not have `file`; others it may have.
    fn lacks(&mut self, now: Instant, layout: &Layout, file: u32, fault: WebSeedFault) -> WebSeedFault {
        self.missing.insert(file);
        let holdings = self.holdings.get_or_insert_with(|| Bitfield::full(layout.piece_count()));
        for piece in layout.pieces_of(file as usize) {
            holdings.clear(piece);
        }
        self.forget_missing.get_or_insert(now + self.config.retry_maximum);
        let fault = self.fail(now, fault);
        if self.faults <= MISSING_IN_A_ROW {
            self.state = State::Idle;
        }
        fault
    }

    fn back_off(&self, faults: u32) -> Duration {
        let factor = 1u32.checked_shl(faults.saturating_sub(1)).unwrap_or(u32::MAX);
        self.config.retry_interval.saturating_mul(factor).min(self.config.retry_maximum)
    }
}

/// The first span of the torrent's bytes from `at` on, up to `end` at most.
fn span_at(layout: &Layout, at: u64, end: u64) -> Option<Span> {
    if at >= end {
        return None;
    }
    let piece_length = u64::from(layout.piece_length());
    let (piece, offset) = (u32::try_from(at / piece_length).ok()?, (at % piece_length) as u32);
    let span = layout.spans(piece, offset, 1).into_iter().next()?;
    let file_left = layout.files().get(span.file as usize)?.length.saturating_sub(span.offset);
    Some(Span { length: file_left.min(end - at), ..span })
}
