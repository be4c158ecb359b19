//! What clients and trackers tell each other, whichever protocol carries it.

use crate::{metainfo::InfoHash, time::Duration};
use alloc::{string::String, vec::Vec};
use core::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// Why a client announces itself (BEP 3, `event`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnnounceEvent {
    /// Nothing happened: one of the announces made at the tracker's interval.
    #[default]
    None,
    /// The first announce of a session.
    Started,
    /// The download has just completed. Never sent by a client that was complete when it started.
    Completed,
    /// The client leaves the swarm.
    Stopped,
    /// The client is a partial seed: it has all that it wants, but not all (BEP 21). UDP trackers hear [`AnnounceEvent::None`].
    Paused,
}

/// What a client tells a tracker, and asks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The client's peer id.
    pub peer_id: [u8; 20],
    /// Where the client listens; its address is that of the request.
    pub port: u16,
    /// Bytes of payload uploaded since `started`.
    pub uploaded: u64,
    /// Bytes of payload downloaded since `started`.
    pub downloaded: u64,
    /// Bytes missing; 0 makes the client a seed.
    pub left: u64,
    /// What happened.
    pub event: AnnounceEvent,
    /// How many peers to answer with; `None` leaves it to the tracker.
    pub peers_wanted: Option<u32>,
    /// By which the tracker knows the client again at another address (BEP 7).
    pub key: Option<u32>,
    /// What the tracker asked to be told, if this is not the first announce.
    pub tracker_id: Option<Vec<u8>>,
}

/// A tracker's answer to an announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceResponse {
    /// How long to wait before the next regular announce.
    pub interval: Option<Duration>,
    /// How long to wait before any next announce.
    pub min_interval: Option<Duration>,
    /// To be sent back with later announces.
    pub tracker_id: Option<Vec<u8>>,
    /// Members of the swarm, of both address families.
    pub peers: Vec<TrackerPeer>,
    /// The swarm's size as the tracker counts it.
    pub counts: SwarmCounts,
    /// The address that our announce came from, as the tracker saw it (BEP 24). One vote, not the truth.
    pub external_ip: Option<IpAddr>,
    /// Something the tracker's operator wants the user to read.
    pub warning: Option<String>,
}

impl AnnounceResponse {
    /// Adds the answer to the same announce made from an address of the other family (BEP 7): the peers of both, the longer
    /// intervals. Peers told by both are there twice.
    pub fn merge(&mut self, other: AnnounceResponse) {
        self.interval = self.interval.max(other.interval);
        self.min_interval = self.min_interval.max(other.min_interval);
        self.tracker_id = self.tracker_id.take().or(other.tracker_id);
        self.peers.extend(other.peers);
        self.counts.complete = self.counts.complete.max(other.counts.complete);
        self.counts.incomplete = self.counts.incomplete.max(other.counts.incomplete);
        self.counts.downloaded = self.counts.downloaded.max(other.counts.downloaded);
        self.counts.downloaders = self.counts.downloaders.max(other.counts.downloaders);
        self.external_ip = self.external_ip.or(other.external_ip);
        self.warning = self.warning.take().or(other.warning);
    }
}

/// A tracker's answer to a scrape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeResponse {
    /// The swarms that the tracker knows of those asked for.
    pub swarms: Vec<(InfoHash, SwarmCounts)>,
    /// How long to wait before any next scrape.
    pub min_interval: Option<Duration>,
}

/// A peer that a tracker told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerPeer {
    /// Where it listens; the port is never 0.
    pub address: SocketAddr,
    /// Its peer id, which only the older dictionary form carries.
    pub peer_id: Option<[u8; 20]>,
}

impl TrackerPeer {
    /// A peer known by its address alone.
    pub const fn new(address: SocketAddr) -> TrackerPeer {
        TrackerPeer { address, peer_id: None }
    }
}

/// How many there are in a swarm, each `None` where the tracker does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwarmCounts {
    /// Peers that have everything.
    pub complete: Option<u32>,
    /// Peers that do not, partial seeds among them.
    pub incomplete: Option<u32>,
    /// Downloads ever completed.
    pub downloaded: Option<u32>,
    /// Peers that are downloading: the incomplete ones without the partial seeds (BEP 21).
    pub downloaders: Option<u32>,
}

/// Why an announce or a scrape brought nothing. Displayed as one line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackerFailure {
    /// No answer: name resolution, connection, TLS or a time-out. The host says what.
    Unreachable(String),
    /// An answer with this HTTP status, and nothing of the protocol in it.
    Status(u16),
    /// An answer that makes no sense.
    Garbled(GarbledResponse),
    /// The tracker understood and refused.
    Refused {
        /// Its own words, safe to print.
        reason: String,
        /// When to ask again.
        retry: Retry,
    },
}

impl fmt::Display for TrackerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrackerFailure::Unreachable(why) => f.write_str(why),
            TrackerFailure::Status(status) => write!(f, "the tracker answered HTTP status {status}"),
            TrackerFailure::Garbled(garbled) => garbled.fmt(f),
            TrackerFailure::Refused { reason, .. } => write!(f, "the tracker refused: {reason}"),
        }
    }
}

impl core::error::Error for TrackerFailure {}

/// When a tracker that refused wants to be asked again (BEP 31, `retry in`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retry {
    /// It did not say.
    #[default]
    Unstated,
    /// Not before this has passed.
    After(Duration),
    /// Never.
    Never,
}

/// What is wrong with a tracker's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GarbledResponse {
    /// It has no bytes.
    Empty,
    /// It is HTML.
    WebPage,
    /// It is neither bencode nor anything we know.
    NotBencode,
    /// It is bencode, but not a dictionary.
    NotDictionary,
    /// It is a dictionary without anything that answers an announce.
    NoAnnounce,
    /// A key's value is of the wrong type or out of range.
    Value(&'static str),
    /// A compact list's length is no multiple of this many bytes.
    Stride(usize),
    /// A datagram ends too early.
    Short,
}

impl fmt::Display for GarbledResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GarbledResponse::Empty => f.write_str("the tracker's answer is empty"),
            GarbledResponse::WebPage => f.write_str("the tracker answered with a web page, not bencode"),
            GarbledResponse::NotBencode => f.write_str("the tracker's answer is not bencode"),
            GarbledResponse::NotDictionary => f.write_str("the tracker's answer is not a dictionary"),
            GarbledResponse::NoAnnounce => f.write_str("the tracker's answer says nothing of an announce"),
            GarbledResponse::Value(key) => write!(f, "the tracker's answer has a bad value for \"{key}\""),
            GarbledResponse::Stride(stride) => {
                write!(f, "the tracker's list of peers has a length that is no multiple of {stride}")
            }
            GarbledResponse::Short => f.write_str("the tracker's answer is cut short"),
        }
    }
}

impl core::error::Error for GarbledResponse {}
