use super::{ROUND_TRIP, parts};
use crate::{
    payload::Payload,
    units::{Rate, Span},
    world::{Happening, World},
};
use bytes::{Bytes, BytesMut};
use rustor_core::{
    error::HttpError,
    id::FetchId,
    input::{ByteRange, FetchHead, Input, ReadBuffer},
    time::{Duration, Instant},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU64,
};

/// A web server that has the torrent's files (BEP 19), as `http://name.sim/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebSeed {
    /// Its name.
    pub name: String,
    /// What it sends, to all together; no limit if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up: Option<Rate>,
    /// What it adds to the way to it.
    pub delay: Span,
}

impl WebSeed {
    fn host(&self) -> String {
        format!("{}.sim", self.name)
    }

    /// Where it says that the files are.
    pub fn url(&self) -> String {
        format!("http://{}/", self.host())
    }
}

/// What is wrong with a web server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebFault {
    /// It is not there.
    Absent,
    /// It takes connections in and says nothing.
    Silent,
    /// It takes so long before it answers.
    Slow(Span),
    /// Some of its bytes are wrong.
    WrongBytes,
    /// It does not have the files (404).
    Missing,
    /// It has too much to do, and says when to come again (503).
    Busy {
        /// In so many seconds.
        retry: u32,
    },
    /// It sends all of a file where a part was asked for.
    IgnoresRanges,
    /// It closes the connection half way.
    Truncated,
    /// It goes on sending after the end.
    Endless,
    /// Its files have another length.
    WrongLength,
    /// Whoever comes is sent on without end.
    Moved,
}

/// A web server, and what is wrong with it now.
#[derive(Debug)]
pub(crate) struct WebServer {
    pub(crate) host: String,
    pub(crate) addresses: [IpAddr; 2],
    pub(crate) fault: Option<WebFault>,
    /// It has sent wrong bytes.
    pub(crate) lied: bool,
    settings: WebSeed,
    payload: Payload,
    /// When its way out is free again.
    free: Instant,
    downloads: BTreeMap<(usize, FetchId), Download>,
}

/// What somebody fetches.
#[derive(Debug)]
struct Download {
    /// Where in the payload the body begins, comes next, and ends.
    start: u64,
    at: u64,
    end: u64,
    /// How much is to be read.
    limit: u32,
    /// It has bytes beyond its end.
    endless: bool,
}

/// The most that is read at once.
const SEGMENT: u64 = 64 << 10;
/// What even the fastest server needs for that.
const LEAST: Duration = Duration::from_millis(1);
/// Who is cut off is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

impl World {
    /// Adds a web server that has a torrent's files.
    pub fn add_web_seed(&mut self, seed: &WebSeed, payload: &Payload) {
        let number = self.web_servers.len() as u8;
        self.web_servers.push(WebServer {
            host: seed.host(),
            addresses: [Ipv4Addr::new(10, 255, 254, number).into(), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0xffff, 1, number.into()).into()],
            fault: None,
            lied: false,
            settings: seed.clone(),
            payload: payload.clone(),
            free: Instant::ZERO,
            downloads: BTreeMap::new(),
        });
    }

    /// Lets a web server do wrong from now on, or not any more.
    pub fn set_web_fault(&mut self, name: &str, fault: Option<WebFault>) {
        let named = self.web_servers.iter_mut().filter(|server| server.settings.name == name);
        named.for_each(|server| server.fault = fault);
    }

    /// A node begins to fetch a part of a file.
    pub(crate) fn fetch(&mut self, node: usize, fetch: FetchId, url: &str, range: ByteRange) {
        let (host, target) = parts(url);
        let (looked_up, found) = self.resolve(host);
        let failed = |message: &str| Some(Err(HttpError::Failed(message.to_owned())));
        let (delay, result) = match found {
            Err(message) => (looked_up, failed(message)),
            Ok(addresses) => match self.web_servers.iter().position(|server| server.addresses == addresses) {
                Some(server) if self.reaches_web(node, server) => {
                    let (delay, result) = self.web_servers[server].answer(node, fetch, target, range);
                    (looked_up + delay, result)
                }
                None if !self.network.is_dark(node) => (Duration::from_secs(10), failed("timed out")),
                _ => (Duration::from_secs(100), failed("timed out")),
            },
        };
        if let Some(result) = result {
            let life = self.nodes[node].life;
            self.agenda.after(delay, node, Happening::Input(node, life, Box::new(Input::FetchHead { fetch, result })));
        }
    }

    /// A node reads on.
    pub(crate) fn fetch_read(&mut self, node: usize, fetch: FetchId, limit: u32) {
        let now = self.now();
        let life = self.nodes[node].life;
        let key = (node, fetch);
        let Some(server) = self.web_servers.iter_mut().find(|server| server.downloads.contains_key(&key)) else { return };
        let Some(download) = server.downloads.get_mut(&key) else { return };
        let left = if download.endless { SEGMENT } else { download.end - download.at };
        download.limit = u64::from(limit).min(SEGMENT).min(left) as u32;
        let rate = server.settings.up;
        server.free = server.free.max(now) + rate.map_or(Duration::ZERO, |rate| took(download.limit, rate));
        let at = server.free.max(self.network.book_inbound(node, download.limit.into(), now)).max(now + LEAST);
        self.agenda.at(at, node, Happening::Fetched(node, life, fetch));
    }

    /// What a node wanted to read is there.
    pub(crate) fn fetched(&mut self, node: usize, fetch: FetchId) {
        let key = (node, fetch);
        let Some(index) = self.web_servers.iter().position(|server| server.downloads.contains_key(&key)) else { return };
        let reached = self.reaches_web(node, index);
        let server = &mut self.web_servers[index];
        if !reached || server.fault == Some(WebFault::Silent) {
            let life = self.nodes[node].life;
            return self.agenda.after(RETRY, node, Happening::Fetched(node, life, fetch));
        }
        let result = server.send(key);
        self.nodes[node].fetched += result.as_ref().map_or(0, |buffer| buffer.data.len() as u64);
        self.tell(node, Input::FetchBody { fetch, result });
    }

    /// A node gives up what it fetches.
    pub(crate) fn fetch_cancel(&mut self, node: usize, fetch: FetchId) {
        for server in &mut self.web_servers {
            server.downloads.remove(&(node, fetch));
        }
    }

    /// A node is gone.
    pub(crate) fn end_fetches(&mut self, node: usize) {
        self.web_servers.iter_mut().for_each(|server| server.downloads.retain(|(of, _), _| *of != node));
    }

    /// What those send that do what they should, in bytes a second.
    pub(crate) fn web_rate(&self) -> u64 {
        let sound = self.web_servers.iter().filter(|server| server.fault.is_none() && !server.lied);
        sound.map(|server| server.settings.up.map_or(u64::from(u32::MAX), |rate| rate.0)).sum()
    }

    /// Whether some web server has everything and does what it should.
    pub(crate) fn web_seed_serves(&self) -> bool {
        self.web_servers.iter().any(|server| server.fault.is_none() && !server.lied)
    }
}

impl WebServer {
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.settings.name == name
    }

    /// The head of the answer, and when it is there; `None` if it never comes.
    fn answer(&mut self, node: usize, fetch: FetchId, target: &str, range: ByteRange) -> (Duration, Option<Result<FetchHead, HttpError>>) {
        let delay = ROUND_TRIP + self.settings.delay.duration().saturating_mul(2);
        let failed = |message: &str| Some(Err(HttpError::Failed(message.to_owned())));
        let status = |status| Some(Ok(FetchHead { status, length: Some(0), ..FetchHead::default() }));
        let file = self.payload.files.iter().find(|(path, _, _)| target.strip_prefix('/') == Some(path));
        let Some((_, begin, end)) = file else { return (delay, status(404)) };
        let length = end - begin;
        let (first, last) = (range.start, range.start.saturating_add(range.length.get()).min(length));
        let Some(sent) = last.checked_sub(first).and_then(NonZeroU64::new) else { return (delay, status(416)) };
        let mut download = Download { start: begin + first, at: begin + first, end: begin + last, limit: 0, endless: false };
        let part = ByteRange { start: first, length: sent };
        let mut head = FetchHead { status: 206, length: Some(sent.get()), range: Some(part), total: Some(length), retry_after: None };
        let extra = if let Some(WebFault::Slow(span)) = self.fault { span.duration() } else { Duration::ZERO };
        match self.fault {
            Some(WebFault::Absent) => return (delay, failed("connection refused")),
            Some(WebFault::Moved) => return (delay.saturating_mul(10), failed("too many redirects")),
            Some(WebFault::Silent) => return (delay, None),
            Some(WebFault::Missing) => return (delay, status(404)),
            Some(WebFault::Busy { retry }) => {
                return (delay, Some(Ok(FetchHead { status: 503, retry_after: Some(retry), ..FetchHead::default() })));
            }
            Some(WebFault::WrongLength) => head.total = Some(length + 1),
            Some(WebFault::IgnoresRanges) => {
                head = FetchHead { status: 200, length: Some(length), ..FetchHead::default() };
                (download.start, download.at, download.end) = (*begin, *begin, *end);
            }
            Some(WebFault::Endless) => (head.length, download.endless) = (None, true),
            Some(WebFault::WrongBytes | WebFault::Truncated | WebFault::Slow(_)) | None => {}
        }
        self.downloads.insert((node, fetch), download);
        (delay + extra, Some(Ok(head)))
    }

    /// The next bytes of a download.
    fn send(&mut self, key: (usize, FetchId)) -> Result<ReadBuffer, HttpError> {
        let fault = self.fault;
        let Some(download) = self.downloads.get_mut(&key) else { return Err(HttpError::Failed("there is no such download".to_owned())) };
        let half_way = (download.end - download.start) / 2;
        let breaks = match fault {
            Some(WebFault::Absent) => true,
            Some(WebFault::Truncated) => download.at - download.start >= half_way,
            _ => false,
        };
        if breaks {
            self.downloads.remove(&key);
            return Err(HttpError::Failed("the connection was closed in the middle of the answer".to_owned()));
        }
        let mut data = self.payload.slice(download.at, u64::from(download.limit).min(download.end.saturating_sub(download.at)));
        download.at += data.len() as u64;
        if data.is_empty() && download.endless {
            data = BytesMut::zeroed(download.limit as usize).freeze();
        }
        if fault == Some(WebFault::WrongBytes) && !data.is_empty() {
            let mut wrong = data.to_vec();
            wrong[data.len() / 2] ^= 1;
            data = Bytes::from(wrong);
            self.lied = true;
        }
        if data.is_empty() {
            self.downloads.remove(&key);
        }
        Ok(ReadBuffer { allocation: data.len() as u32, data })
    }
}

/// How long so many bytes take.
fn took(bytes: u32, rate: Rate) -> Duration {
    Duration::from_micros(u64::from(bytes) * 1_000_000 / rate.0.max(1))
}
