//! The client's side of UDP trackers as a machine: connection ids, retransmission, and which answer belongs to what.

use super::{
    super::{AnnounceRequest, AnnounceResponse, Retry, SwarmCounts, TrackerFailure},
    Request, Response, url_data_of,
};
use crate::{
    metainfo::InfoHash,
    rng::Rng,
    time::{Duration, Instant},
    util::{Key, Slab},
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::{mem, net::SocketAddr};

/// Announces to and scrapes from any number of UDP trackers.
///
/// After every call the owner sends what [`poll_datagram`](UdpTrackerClient::poll_datagram) gives, and takes the results from
/// [`poll_result`](UdpTrackerClient::poll_result). Announces to one tracker share its connection id, and one request for it.
#[derive(Debug)]
pub struct UdpTrackerClient {
    config: UdpTrackerConfig,
    rng: Rng,
    exchanges: Slab<Exchange, Exchange>,
    trackers: BTreeMap<SocketAddr, Tracker>,
    /// The exchange behind each transaction id that an answer may carry.
    transactions: BTreeMap<u32, ExchangeKey>,
    deadlines: BTreeSet<(Instant, ExchangeKey)>,
    datagrams: VecDeque<Datagram>,
    results: VecDeque<(UdpExchangeId, Result<UdpAnswer, TrackerFailure>)>,
}

/// What the client of UDP trackers can be tuned by.
#[derive(Clone, Debug)]
pub struct UdpTrackerConfig {
    /// How long to wait for an answer at first; doubles with each retransmission. 15 seconds (BEP 15).
    pub first_timeout: Duration,
    /// After how many retransmissions to give up. 8 (BEP 15), which takes more than two hours; after 2 it would be 105 seconds.
    pub max_retransmissions: u32,
    /// For how long a connection id serves. 1 minute (BEP 15).
    pub connection_lifetime: Duration,
    /// The most peers taken from one answer. 1000.
    pub max_peers: usize,
}

impl Default for UdpTrackerConfig {
    fn default() -> Self {
        UdpTrackerConfig {
            first_timeout: Duration::from_secs(15),
            max_retransmissions: 8,
            connection_lifetime: Duration::from_secs(60),
            max_peers: 1000,
        }
    }
}

/// An announce or scrape under way; never the same for two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UdpExchangeId(ExchangeKey);

/// A datagram to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where to.
    pub to: SocketAddr,
    /// What.
    pub payload: Vec<u8>,
}

/// What a tracker answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpAnswer {
    /// To an announce.
    Announce(AnnounceResponse),
    /// To a scrape: each torrent asked for, as far as the answer goes.
    Scrape(Vec<(InfoHash, SwarmCounts)>),
}

type ExchangeKey = Key<Exchange>;

/// So many peers are asked for once an announce was not answered: the answer may have been too long for a link on its way. With so many
/// addresses of IPv6 it has 560 bytes, which pass wherever IPv4 does (RFC 791).
const FEW_PEERS: u32 = 30;

#[derive(Debug)]
struct Exchange {
    tracker: SocketAddr,
    /// With a connection id that is filled in when the request is sent.
    request: Request,
    transaction: u32,
    retransmissions: u32,
    /// The request itself has been sent, not only one for a connection id.
    asked: bool,
    /// Zero while it waits for another's connection.
    deadline: Option<Instant>,
}

#[derive(Debug, Default)]
struct Tracker {
    /// The connection id, and until when it serves.
    connection: Option<(u64, Instant)>,
    /// The exchange that asks for a connection id, and the transaction id by which it does.
    leader: Option<(ExchangeKey, u32)>,
    /// The exchanges that wait for what the leader gets.
    waiting: VecDeque<ExchangeKey>,
    exchanges: usize,
}

impl UdpTrackerClient {
    /// A client with nothing under way.
    pub fn new(config: UdpTrackerConfig, rng: Rng) -> UdpTrackerClient {
        UdpTrackerClient {
            config,
            rng,
            exchanges: Slab::new(),
            trackers: BTreeMap::new(),
            transactions: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            datagrams: VecDeque::new(),
            results: VecDeque::new(),
        }
    }

    /// Announces to the tracker at the address `tracker`, to which `url`'s host resolves.
    ///
    /// A tracker that resolves to both families gets one announce at each, with the same key (BEP 7).
    pub fn announce(&mut self, now: Instant, tracker: SocketAddr, url: &str, request: AnnounceRequest) -> UdpExchangeId {
        let url_data = url_data_of(url).as_bytes().to_vec();
        self.start(now, tracker, Request::Announce { connection: 0, announce: request, url_data })
    }

    /// Asks the tracker at the address `tracker` for the sizes of swarms, of [`super::MAX_SCRAPE`] at most; more are left out.
    pub fn scrape(&mut self, now: Instant, tracker: SocketAddr, info_hashes: &[InfoHash]) -> UdpExchangeId {
        let info_hashes = info_hashes.iter().take(super::MAX_SCRAPE).copied().collect();
        self.start(now, tracker, Request::Scrape { connection: 0, info_hashes })
    }

    /// Forgets what is under way; there will be no result.
    pub fn cancel(&mut self, now: Instant, id: UdpExchangeId) {
        self.remove(now, id.0);
    }

    /// Takes in a datagram that came from `from`. What answers nothing that was asked there is ignored.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let from = canonical(from);
        let Some((response, transaction)) = Response::decode(datagram, from.is_ipv6(), self.config.max_peers) else { return };
        let Some(key) = self.transactions.get(&transaction).copied() else { return };
        let Some(exchange) = self.exchanges.get(key).filter(|exchange| exchange.tracker == from) else { return };
        let connects = exchange.transaction != transaction;
        match (response, &exchange.request) {
            (Response::Connect(connection), _) if connects => self.connected(now, from, connection),
            (Response::Error(reason), _) => {
                let failure = TrackerFailure::Refused { reason, retry: Retry::Unstated };
                if connects {
                    self.fail_all(now, key, &failure);
                } else {
                    // It may be the connection id that it does not like.
                    if let Some(tracker) = self.trackers.get_mut(&from) {
                        tracker.connection = None;
                    }
                    self.finish(now, key, Err(failure));
                }
            }
            (Response::Announce(response), Request::Announce { .. }) if !connects => {
                self.finish(now, key, Ok(UdpAnswer::Announce(response)));
            }
            (Response::Scrape(swarms), Request::Scrape { info_hashes, .. }) if !connects => {
                let swarms = info_hashes.iter().copied().zip(swarms).collect();
                self.finish(now, key, Ok(UdpAnswer::Scrape(swarms)));
            }
            _ => {}
        }
    }

    /// Sends again what was not answered in time, and gives up what was sent often enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, key)) = self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            let Some(exchange) = self.exchanges.get_mut(key) else { break };
            exchange.retransmissions += 1;
            if exchange.retransmissions > self.config.max_retransmissions {
                self.fail_all(now, key, &TrackerFailure::Unreachable("the tracker does not answer".into()));
            } else {
                self.transmit(now, key);
            }
        }
    }

    /// The next datagram to be sent.
    pub fn poll_datagram(&mut self) -> Option<Datagram> {
        self.datagrams.pop_front()
    }

    /// The next announce or scrape that ended, and how.
    pub fn poll_result(&mut self) -> Option<(UdpExchangeId, Result<UdpAnswer, TrackerFailure>)> {
        self.results.pop_front()
    }

    /// When to call [`UdpTrackerClient::handle_timeout`] at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    fn start(&mut self, now: Instant, tracker: SocketAddr, request: Request) -> UdpExchangeId {
        let address = canonical(tracker);
        self.trackers.retain(|_, tracker| tracker.exchanges > 0 || tracker.connection(now).is_some());
        self.trackers.entry(address).or_default().exchanges += 1;
        let transaction = self.new_transaction();
        let exchange = Exchange { tracker: address, request, transaction, retransmissions: 0, asked: false, deadline: None };
        let key = self.exchanges.insert(exchange);
        self.transactions.insert(transaction, key);
        self.transmit(now, key);
        UdpExchangeId(key)
    }

    /// Sends what brings an exchange on: its request, or where a connection id is missing a request for that, if none is under way.
    fn transmit(&mut self, now: Instant, key: ExchangeKey) {
        let unused = self.new_transaction();
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        let Some(tracker) = self.trackers.get_mut(&exchange.tracker) else { return };
        if let Some(deadline) = exchange.deadline.take() {
            self.deadlines.remove(&(deadline, key));
        }
        let payload = match (tracker.connection(now), tracker.leader) {
            (Some(id), _) => {
                match &mut exchange.request {
                    Request::Announce { connection, announce, .. } => {
                        *connection = id;
                        if exchange.asked {
                            announce.peers_wanted = Some(announce.peers_wanted.map_or(FEW_PEERS, |wanted| wanted.min(FEW_PEERS)));
                        }
                    }
                    Request::Scrape { connection, .. } => *connection = id,
                    Request::Connect => {}
                }
                exchange.asked = true;
                exchange.request.encode(exchange.transaction)
            }
            (None, Some((leader, _))) if leader != key => {
                tracker.waiting.push_back(key);
                return;
            }
            (None, leader) => {
                let (_, transaction) = *tracker.leader.insert(leader.unwrap_or((key, unused)));
                self.transactions.insert(transaction, key);
                Request::Connect.encode(transaction)
            }
        };
        let timeout = self.config.first_timeout.saturating_mul(1 << exchange.retransmissions.min(31));
        let deadline = now + timeout;
        exchange.deadline = Some(deadline);
        self.deadlines.insert((deadline, key));
        self.datagrams.push_back(Datagram { to: exchange.tracker, payload });
    }

    fn connected(&mut self, now: Instant, from: SocketAddr, connection: u64) {
        let Some(tracker) = self.trackers.get_mut(&from) else { return };
        tracker.connection = Some((connection, now + self.config.connection_lifetime));
        let waiting = mem::take(&mut tracker.waiting);
        let leader = tracker.leader.take().map(|(leader, transaction)| {
            self.transactions.remove(&transaction);
            leader
        });
        for key in leader.into_iter().chain(waiting) {
            self.transmit(now, key);
        }
    }

    /// Ends an exchange and all that wait for the connection that it asked for.
    fn fail_all(&mut self, now: Instant, key: ExchangeKey, failure: &TrackerFailure) {
        let tracker = self.exchanges.get(key).and_then(|exchange| self.trackers.get_mut(&exchange.tracker));
        let waiting = tracker.filter(|tracker| tracker.leader.is_some_and(|(leader, _)| leader == key));
        let waiting = waiting.map(|tracker| mem::take(&mut tracker.waiting)).unwrap_or_default();
        for key in core::iter::once(key).chain(waiting) {
            self.finish(now, key, Err(failure.clone()));
        }
    }

    fn finish(&mut self, now: Instant, key: ExchangeKey, result: Result<UdpAnswer, TrackerFailure>) {
        self.results.push_back((UdpExchangeId(key), result));
        self.remove(now, key);
    }

    fn remove(&mut self, now: Instant, key: ExchangeKey) {
        let Some(exchange) = self.exchanges.remove(key) else { return };
        self.transactions.remove(&exchange.transaction);
        if let Some(deadline) = exchange.deadline {
            self.deadlines.remove(&(deadline, key));
        }
        let Some(tracker) = self.trackers.get_mut(&exchange.tracker) else { return };
        tracker.exchanges = tracker.exchanges.saturating_sub(1);
        tracker.waiting.retain(|waiting| *waiting != key);
        if let Some((_, transaction)) = tracker.leader.take_if(|(leader, _)| *leader == key) {
            self.transactions.remove(&transaction);
            if let Some(next) = tracker.waiting.pop_front() {
                self.transmit(now, next);
            }
        }
    }

    fn new_transaction(&mut self) -> u32 {
        loop {
            let transaction = self.rng.next_u32();
            if !self.transactions.contains_key(&transaction) {
                return transaction;
            }
        }
    }
}

impl Tracker {
    fn connection(&self, now: Instant) -> Option<u64> {
        self.connection.filter(|(_, until)| now < *until).map(|(connection, _)| connection)
    }
}

/// An IPv4 address is one even where a dual-stack socket shows it as IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
