//! UDP trackers: the packets (BEP 15) with their extension (BEP 41), and the client's side as a machine.
//!
//! All numbers are big-endian. Packets are checked for their minimum size, never for equality: later versions may append to them.

mod client;
#[cfg(test)]
mod tests;

pub use client::*;

use super::{AnnounceEvent, AnnounceRequest, AnnounceResponse, SwarmCounts, compact, http::readable};
use crate::{metainfo::InfoHash, time::Duration};
use alloc::{string::String, vec::Vec};

/// The most info-hashes of one scrape, so that question and answer fit a datagram.
pub const MAX_SCRAPE: usize = 74;

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for a connection id, which proves that the client's address is not forged.
    Connect,
    /// Joins, stays in or leaves a swarm.
    Announce {
        /// What a [`Response::Connect`] gave.
        connection: u64,
        /// The announce. There is no room for a tracker id, and [`AnnounceEvent::Paused`] becomes [`AnnounceEvent::None`].
        announce: AnnounceRequest,
        /// Path and query of the tracker's URL (BEP 41); empty if there is neither.
        url_data: Vec<u8>,
    },
    /// Asks for the sizes of swarms.
    Scrape {
        /// What a [`Response::Connect`] gave.
        connection: u64,
        /// The torrents, [`MAX_SCRAPE`] at most.
        info_hashes: Vec<InfoHash>,
    },
}

impl Request {
    /// The datagram that makes this request.
    pub fn encode(&self, transaction: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        let (connection, action) = match self {
            Request::Connect => (PROTOCOL_ID, CONNECT),
            Request::Announce { connection, .. } => (*connection, ANNOUNCE),
            Request::Scrape { connection, .. } => (*connection, SCRAPE),
        };
        out.extend_from_slice(&connection.to_be_bytes());
        out.extend_from_slice(&action.to_be_bytes());
        out.extend_from_slice(&transaction.to_be_bytes());
        match self {
            Request::Connect => {}
            Request::Announce { announce, url_data, .. } => {
                out.extend_from_slice(announce.info_hash.as_bytes());
                out.extend_from_slice(&announce.peer_id);
                out.extend_from_slice(&announce.downloaded.to_be_bytes());
                out.extend_from_slice(&announce.left.to_be_bytes());
                out.extend_from_slice(&announce.uploaded.to_be_bytes());
                out.extend_from_slice(&event_code(announce.event).to_be_bytes());
                // The IP field: 0 makes the tracker take the datagram's source.
                out.extend_from_slice(&[0; 4]);
                out.extend_from_slice(&announce.key.unwrap_or(0).to_be_bytes());
                let peers_wanted = announce.peers_wanted.map_or(-1, |wanted| i32::try_from(wanted).unwrap_or(i32::MAX));
                out.extend_from_slice(&peers_wanted.to_be_bytes());
                out.extend_from_slice(&announce.port.to_be_bytes());
                for chunk in url_data.chunks(255) {
                    out.extend_from_slice(&[URL_DATA, u8::try_from(chunk.len()).unwrap_or(u8::MAX)]);
                    out.extend_from_slice(chunk);
                }
            }
            Request::Scrape { info_hashes, .. } => {
                info_hashes.iter().take(MAX_SCRAPE).for_each(|info_hash| out.extend_from_slice(info_hash.as_bytes()));
            }
        }
        out
    }

    /// The request in `datagram` and its transaction id; `None` if it is none.
    pub fn decode(datagram: &[u8]) -> Option<(Request, u32)> {
        let mut reader = Reader(datagram);
        let connection = u64::from_be_bytes(reader.take()?);
        let action = u32::from_be_bytes(reader.take()?);
        let transaction = u32::from_be_bytes(reader.take()?);
        let request = match action {
            CONNECT if connection == PROTOCOL_ID => Request::Connect,
            ANNOUNCE => {
                let info_hash = InfoHash(reader.take()?);
                let peer_id = reader.take()?;
                let [downloaded, left, uploaded] =
                    [reader.take()?, reader.take()?, reader.take()?].map(|bytes: [u8; 8]| u64::from_be_bytes(bytes));
                let event = event_of(u32::from_be_bytes(reader.take()?));
                let _ip: [u8; 4] = reader.take()?;
                let key = Some(u32::from_be_bytes(reader.take()?));
                let peers_wanted = i32::from_be_bytes(reader.take()?).try_into().ok();
                let port = u16::from_be_bytes(reader.take()?);
                let announce =
                    AnnounceRequest { info_hash, peer_id, port, uploaded, downloaded, left, event, peers_wanted, key, tracker_id: None };
                Request::Announce { connection, announce, url_data: url_data(reader.0) }
            }
            SCRAPE => {
                let (hashes, _) = reader.0.as_chunks::<20>();
                Request::Scrape { connection, info_hashes: hashes.iter().take(MAX_SCRAPE).map(|hash| InfoHash(*hash)).collect() }
            }
            _ => return None,
        };
        Some((request, transaction))
    }
}

/// What a tracker sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// A connection id, of use to the client for one minute.
    Connect(u64),
    /// Peers, of the address family that the datagrams travel in.
    Announce(AnnounceResponse),
    /// The sizes of the swarms asked for, in the same order.
    Scrape(Vec<SwarmCounts>),
    /// Why the tracker refuses, in words safe to print.
    Error(String),
}

impl Response {
    /// The datagram that gives this response. Peers must be of one family.
    pub fn encode(&self, transaction: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        let action = match self {
            Response::Connect(_) => CONNECT,
            Response::Announce(_) => ANNOUNCE,
            Response::Scrape(_) => SCRAPE,
            Response::Error(_) => ERROR,
        };
        let mut number = |number: u32| out.extend_from_slice(&number.to_be_bytes());
        number(action);
        number(transaction);
        match self {
            Response::Connect(connection) => out.extend_from_slice(&connection.to_be_bytes()),
            Response::Announce(response) => {
                number(response.interval.map_or(0, |interval| u32::try_from(interval.as_secs()).unwrap_or(u32::MAX)));
                number(response.counts.incomplete.unwrap_or(0));
                number(response.counts.complete.unwrap_or(0));
                response.peers.iter().for_each(|peer| compact::encode(&mut out, peer.address));
            }
            Response::Scrape(swarms) => {
                for counts in swarms {
                    for count in [counts.complete, counts.downloaded, counts.incomplete] {
                        number(count.unwrap_or(0));
                    }
                }
            }
            Response::Error(reason) => out.extend_from_slice(reason.as_bytes()),
        }
        out
    }

    /// The response in `datagram`, which came over IPv6 if `v6`, and its transaction id; `None` if it is none.
    ///
    /// Peers beyond `max_peers` are dropped.
    pub fn decode(datagram: &[u8], v6: bool, max_peers: usize) -> Option<(Response, u32)> {
        let mut reader = Reader(datagram);
        let action = u32::from_be_bytes(reader.take()?);
        let transaction = u32::from_be_bytes(reader.take()?);
        let response = match action {
            CONNECT => Response::Connect(u64::from_be_bytes(reader.take()?)),
            ANNOUNCE => {
                let [interval, incomplete, complete] =
                    [reader.take()?, reader.take()?, reader.take()?].map(|bytes: [u8; 4]| u32::from_be_bytes(bytes));
                let mut peers = Vec::new();
                // What does not fill a peer is something that a later version appended.
                let stride = if v6 { compact::STRIDE_V6 } else { compact::STRIDE_V4 };
                let list = reader.0.get(..reader.0.len() / stride * stride)?;
                let decode = if v6 { compact::decode_v6 } else { compact::decode_v4 };
                decode(list, &mut peers, max_peers).ok()?;
                Response::Announce(AnnounceResponse {
                    interval: Some(Duration::from_secs(interval.into())),
                    counts: SwarmCounts { complete: Some(complete), incomplete: Some(incomplete), ..SwarmCounts::default() },
                    peers,
                    ..AnnounceResponse::default()
                })
            }
            SCRAPE => {
                let (swarms, _) = reader.0.as_chunks::<12>();
                let counts = |swarm: &[u8; 12]| {
                    let mut reader = Reader(swarm);
                    let mut number = || reader.take().map(u32::from_be_bytes);
                    SwarmCounts { complete: number(), downloaded: number(), incomplete: number(), downloaders: None }
                };
                Response::Scrape(swarms.iter().take(MAX_SCRAPE).map(counts).collect())
            }
            ERROR => Response::Error(readable(reader.0)),
            _ => return None,
        };
        Some((response, transaction))
    }
}

/// Host and port of a UDP tracker's URL, as they stand there; `None` for other URLs.
pub fn authority_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest.get(..end).filter(|_| scheme.eq_ignore_ascii_case("udp"))
}

/// Path and query of a tracker's URL, as BEP 41 sends them.
pub fn url_data_of(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or_default();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find(['/', '?']).and_then(|start| rest.get(start..)).unwrap_or_default()
}

/// The URL data in the options behind an announce (BEP 41), all parts joined.
fn url_data(options: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut reader = Reader(options);
    while let Some([option]) = reader.take() {
        match option {
            END_OF_OPTIONS => break,
            NO_OPERATION => continue,
            _ => {}
        }
        // All others have a length.
        let Some([length]) = reader.take() else { break };
        let Some(content) = reader.slice(length.into()) else { break };
        if option == URL_DATA {
            data.extend_from_slice(content);
        }
    }
    data
}

fn event_code(event: AnnounceEvent) -> u32 {
    match event {
        AnnounceEvent::None | AnnounceEvent::Paused => 0,
        AnnounceEvent::Completed => 1,
        AnnounceEvent::Started => 2,
        AnnounceEvent::Stopped => 3,
    }
}

fn event_of(code: u32) -> AnnounceEvent {
    match code {
        1 => AnnounceEvent::Completed,
        2 => AnnounceEvent::Started,
        3 => AnnounceEvent::Stopped,
        _ => AnnounceEvent::None,
    }
}

/// The part of a datagram not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (slice, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(slice)
    }
}

const PROTOCOL_ID: u64 = 0x417_2710_1980;
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const URL_DATA: u8 = 2;
