//! Peer exchange (BEP 11): which peers a torrent tells of, and what it takes from others.
//!
//! A torrent has one [`PexLog`] of the peers that it is connected to, and each connection a [`PexCursor`] into it. A message costs what has
//! changed since the last one, not what there is. What comes in goes through a [`PexFilter`].
//!
//! Neither knows about private torrents (BEP 27): those must have no log at all.

use crate::{
    time::{Duration, Instant},
    torrent::canonical,
    wire::extension::{PexFlags, PexMessage, PexPeer},
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::net::{IpAddr, SocketAddr};

/// The shortest time between two messages to the same peer (BEP 11).
pub const PEX_INTERVAL: Duration = Duration::from_secs(60);

/// The most peers that a message adds, and the most that it drops (BEP 11).
pub const PEX_LIMIT: usize = 50;

/// The most peers that the first message to a peer adds: what others are known to take.
pub const FIRST_PEX_LIMIT: usize = 100;

/// The peers that a torrent is connected to, and those it has lost lately.
///
/// A peer is told of whom we are connected to when the message is made; of a loss, if it was told of that peer. Who came and went in
/// between is never mentioned.
#[derive(Debug, Default)]
pub struct PexLog {
    /// When each peer came, counted in [`PexLog::clock`].
    connected: BTreeMap<SocketAddr, u64>,
    /// The same, by that count.
    arrivals: BTreeMap<u64, PexPeer>,
    /// Who went, and when it had come. The first is number `departed`.
    departures: VecDeque<(SocketAddr, u64)>,
    departed: u64,
    /// How many cursors stand before which departure.
    readers: BTreeMap<u64, u32>,
    clock: u64,
}

/// What one peer was told: its place in a [`PexLog`].
#[derive(Debug)]
pub struct PexCursor {
    /// All arrivals before this one have been told, or were over when they could have been.
    arrivals: u64,
    /// The same of departures.
    departures: u64,
    /// No message before then.
    next: Instant,
    first: bool,
}

impl PexLog {
    /// An empty log.
    pub fn new() -> PexLog {
        PexLog::default()
    }

    /// A connection stands, and its handshake is done. `address` is where the peer accepts connections: for one that came to us, the port that
    /// its extension handshake names.
    pub fn connected(&mut self, address: SocketAddr, flags: PexFlags) {
        let address = canonical(address);
        let peer = PexPeer { address, flags };
        let arrival = *self.connected.entry(address).or_insert(self.clock);
        self.arrivals.insert(arrival, peer);
        self.clock = self.clock.max(arrival.saturating_add(1));
    }

    /// Whether a connection to `address` stands.
    pub fn is_connected(&self, address: SocketAddr) -> bool {
        self.connected.contains_key(&canonical(address))
    }

    /// A connection is gone. Does nothing if that was known.
    pub fn disconnected(&mut self, address: SocketAddr) {
        let address = canonical(address);
        let Some(arrival) = self.connected.remove(&address) else { return };
        self.arrivals.remove(&arrival);
        self.departures.push_back((address, arrival));
        self.trim();
    }

    /// A peer wants messages: one that has been told nothing yet.
    pub fn join(&mut self) -> PexCursor {
        let departures = self.end();
        *self.readers.entry(departures).or_default() += 1;
        PexCursor { arrivals: 0, departures, next: Instant::ZERO, first: true }
    }

    /// The peer wants no more messages.
    pub fn leave(&mut self, cursor: PexCursor) {
        self.forget_reader(cursor.departures);
        self.trim();
    }

    /// When there may be something to tell the peer; `None` as long as nothing changes.
    pub fn next_deadline(&self, cursor: &PexCursor) -> Option<Instant> {
        let arrived = self.arrivals.last_key_value().is_some_and(|(arrival, _)| *arrival >= cursor.arrivals);
        (arrived || cursor.departures < self.end()).then_some(cursor.next)
    }

    /// What there is to tell the peer at `receiver`, unless it is too early or there is nothing. The message must be sent.
    pub fn poll_message(&mut self, now: Instant, cursor: &mut PexCursor, receiver: SocketAddr) -> Option<PexMessage> {
        if now < cursor.next {
            return None;
        }
        let receiver = canonical(receiver);
        let told = cursor.arrivals;
        self.forget_reader(cursor.departures);
        let mut dropped = BTreeSet::new();
        while let Some((address, arrival)) = self.departure(cursor.departures)
            && dropped.len() < PEX_LIMIT
        {
            cursor.departures += 1;
            if arrival < told && address != receiver {
                dropped.insert(address);
            }
        }
        *self.readers.entry(cursor.departures).or_default() += 1;
        let mut added = Vec::new();
        // Who is told of new peers must know of all losses, or it could not be known which of these it was told of.
        if cursor.departures == self.end() {
            let limit = if cursor.first { FIRST_PEX_LIMIT } else { PEX_LIMIT };
            for (arrival, peer) in self.arrivals.range(told..) {
                if added.len() >= limit {
                    break;
                }
                cursor.arrivals = arrival.saturating_add(1);
                // Lost and met again: as far as the receiver knows, it never was away.
                if !dropped.remove(&peer.address) && peer.address != receiver {
                    added.push(*peer);
                }
            }
        }
        self.trim();
        let message = PexMessage { added, dropped: dropped.into_iter().collect() };
        if message.is_empty() {
            return None;
        }
        cursor.next = now + PEX_INTERVAL;
        cursor.first = false;
        Some(message)
    }

    fn end(&self) -> u64 {
        self.departed.saturating_add(self.departures.len() as u64)
    }

    fn departure(&self, number: u64) -> Option<(SocketAddr, u64)> {
        self.departures.get(usize::try_from(number.checked_sub(self.departed)?).ok()?).copied()
    }

    fn forget_reader(&mut self, departures: u64) {
        if let Some(count) = self.readers.get_mut(&departures) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.readers.remove(&departures);
            }
        }
    }

    /// Forgets the departures that all know of.
    fn trim(&mut self) {
        let needed = self.readers.first_key_value().map_or(self.end(), |(first, _)| *first);
        while self.departed < needed && self.departures.pop_front().is_some() {
            self.departed = self.departed.saturating_add(1);
        }
    }
}

/// Takes from one peer's messages what may be tried: it limits how many there are, and what they say.
#[derive(Clone, Copy, Debug)]
pub struct PexFilter {
    /// Messages that may still come, in time: each takes one interval.
    credit: Instant,
    surplus: u8,
}

/// The peer sends peer exchange again and again before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyMessages;

impl core::fmt::Display for TooManyMessages {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("sends peer exchange far more often than once a minute")
    }
}

impl core::error::Error for TooManyMessages {}

impl PexFilter {
    /// For a new connection.
    pub const fn new() -> PexFilter {
        PexFilter { credit: Instant::ZERO, surplus: 0 }
    }

    /// The peers to try of a message that came from `sender`, which may be none. Messages that come too early are ignored; a few are
    /// forgiven, for real clients keep to the minute only roughly.
    ///
    /// Of several peers at one IP address only the first is taken, so that nobody is sent to knock at all doors of another. Loopback
    /// and link-local addresses mean something to the sender's neighbours only.
    ///
    /// # Errors
    ///
    /// [`TooManyMessages`] if too many came too early: the connection may be closed.
    pub fn accept(&mut self, now: Instant, sender: IpAddr, message: &PexMessage) -> Result<Vec<PexPeer>, TooManyMessages> {
        if now + TOLERANCE < self.credit {
            self.surplus = self.surplus.saturating_add(1);
            return if self.surplus > FORGIVEN { Err(TooManyMessages) } else { Ok(Vec::new()) };
        }
        self.surplus = self.surplus.saturating_sub(1);
        self.credit = self.credit.max(now) + PEX_INTERVAL;
        let sender = sender.to_canonical();
        let mut seen = BTreeSet::new();
        let mut peers = message.added.clone();
        peers.retain(|peer| {
            let ip = peer.address.ip().to_canonical();
            let near = !is_local(ip) || is_local(sender);
            near && (ip.is_loopback() || seen.insert(ip))
        });
        Ok(peers)
    }
}

impl Default for PexFilter {
    fn default() -> PexFilter {
        PexFilter::new()
    }
}

/// How far ahead of the minutes a peer may be. This lets two messages through at once, and one a minute after that.
const TOLERANCE: Duration = Duration::from_secs(75);

/// Early messages that do not cost a peer its connection; a message in time makes up for an early one.
const FORGIVEN: u8 = 10;

fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
