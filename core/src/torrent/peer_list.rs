use super::{PeerSource, PeerSources};
use crate::{
    config::Config,
    peer::{OwnAddresses, canonical_priority},
    rng::Rng,
    time::{Duration, Instant},
    util::push,
};
use alloc::{boxed::Box, collections::BTreeSet, vec::Vec};
use core::{
    cmp::Reverse,
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
};

/// The peers of one torrent that we know of: which to try next, which to leave alone.
///
/// Peers that never failed come first, those of higher priority (BEP 40) before others as far as we know our own address, in random
/// order otherwise; a failure makes a peer wait, twice as long each time.
///
/// Each torrent has such a list, and it may be long: a peer costs some 50 bytes. Finding one takes a binary search; a list in order is
/// moved by four bytes a peer when one comes or goes.
#[derive(Debug)]
pub struct PeerList {
    /// In no order; other lists name them by their place here.
    peers: Vec<KnownPeer>,
    /// All of them, by address.
    by_address: Vec<u32>,
    /// Those that may be tried, by when.
    candidates: Vec<u32>,
    /// By [`ban_key`].
    banned: BTreeSet<SocketAddr>,
    /// How many of them only strangers vouch for.
    strangers: usize,
    own: OwnAddresses,
    rng: Rng,
}

#[derive(Debug)]
struct KnownPeer {
    known_by: ShortAddress,
    standing: Standing,
    /// KiB that went one way or the other.
    exchanged: u32,
    failures: u8,
    seed: bool,
    /// It has shaken hands once.
    good: bool,
    sources: PeerSources,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It may be tried from then on; the least of those that may goes first.
    Candidate { at: Instant, tie: u32 },
    /// It is connected, or was passed over.
    Away,
    /// Useless for ever: ourselves, or banned.
    Dead,
}

/// An address that takes half the room of a [`SocketAddr`] where it is IPv4, as most are.
#[derive(Debug)]
enum ShortAddress {
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl From<SocketAddr> for ShortAddress {
    fn from(address: SocketAddr) -> ShortAddress {
        match address {
            SocketAddr::V4(v4) => ShortAddress::V4(v4),
            SocketAddr::V6(v6) => ShortAddress::V6(Box::new(v6)),
        }
    }
}

/// So many seeds are too many for everybody to call them at once.
const SEVERAL: usize = 4;

impl KnownPeer {
    fn address(&self) -> SocketAddr {
        match &self.known_by {
            ShortAddress::V4(v4) => SocketAddr::V4(*v4),
            ShortAddress::V6(v6) => SocketAddr::V6(**v6),
        }
    }

    /// When it may be tried and before whom, if it is a candidate.
    fn turn(&self) -> Option<(Instant, u32, SocketAddr)> {
        match self.standing {
            Standing::Candidate { at, tie } => Some((at, tie, self.address())),
            Standing::Away | Standing::Dead => None,
        }
    }

    fn is_dead(&self) -> bool {
        self.standing == Standing::Dead
    }
}

impl PeerList {
    /// An empty list.
    pub fn new(rng: Rng) -> PeerList {
        PeerList {
            peers: Vec::new(),
            by_address: Vec::new(),
            candidates: Vec::new(),
            banned: BTreeSet::new(),
            strangers: 0,
            own: OwnAddresses::default(),
            rng,
        }
    }

    /// Learns of a peer from `sources`; `true` if it is new and may be tried. What cannot be a peer's address is ignored.
    ///
    /// Peers that only strangers vouch for (peer exchange, local discovery, whoever connects to us) take up half of the room at most.
    pub fn add(&mut self, now: Instant, address: SocketAddr, sources: impl Into<PeerSources>, config: &Config) -> bool {
        let address = canonical(address);
        let new = self.insert(address, sources.into(), config);
        if new {
            self.schedule(address, now);
        }
        new
    }

    /// A peer that connected to us says that it listens at `address`. It is no candidate as long as it is connected; if this is `true`,
    /// the end of its connection must be told by [`PeerList::failed`] or [`PeerList::disconnected`]. It is not if the address is no
    /// news of this peer alone, or if it was not known before and `learn` forbids to learn it.
    pub fn met(&mut self, address: SocketAddr, learn: bool, config: &Config) -> bool {
        let address = canonical(address);
        let Some(peer) = self.peer(address) else {
            return learn && self.insert(address, PeerSource::Incoming.into(), config);
        };
        if peer.turn().is_none() {
            return false;
        }
        self.withdraw(address, Standing::Away);
        true
    }

    /// Where the address was learned; empty if it is not known.
    pub fn sources(&self, address: SocketAddr) -> PeerSources {
        self.peer(address).map(|peer| peer.sources).unwrap_or_default()
    }

    /// Takes out the next peer to try, if one is due. It is no candidate again before [`PeerList::failed`] or
    /// [`PeerList::disconnected`]. `skip_seeds` passes over those known to have everything.
    pub fn next(&mut self, now: Instant, skip_seeds: bool) -> Option<SocketAddr> {
        loop {
            let peer = self.peers.get_mut(*self.candidates.first()? as usize)?;
            let (_, _, address) = peer.turn().filter(|(at, ..)| *at <= now)?;
            peer.standing = Standing::Away;
            let passed_over = skip_seeds && peer.seed;
            self.candidates.remove(0);
            if !passed_over {
                return Some(address);
            }
        }
    }

    /// What [`PeerList::next`] would give, left where it is.
    pub fn peek(&self, now: Instant, skip_seeds: bool) -> Option<SocketAddr> {
        let due = self.waiting().take_while(|peer| peer.turn().is_some_and(|(at, ..)| at <= now));
        due.into_iter().find(|peer| !(skip_seeds && peer.seed)).map(|peer| peer.address())
    }

    /// By which addresses peers know us: the order of those that become candidates from now on follows from it.
    pub fn set_own(&mut self, own: OwnAddresses) {
        self.own = own;
    }

    /// When the next peer is due, if any waits.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.waiting().next()?.turn().map(|(at, ..)| at)
    }

    /// A connection to `address`, or its handshake, came to nothing.
    pub fn failed(&mut self, now: Instant, address: SocketAddr, config: &Config) {
        let Some(peer) = self.peer_mut(address) else { return };
        peer.failures = peer.failures.saturating_add(1);
        if peer.is_dead() {
            return;
        }
        let failures = peer.failures;
        // Whom the owner or a link names may be the only one there is.
        let named = peer.sources.contains(PeerSource::Owner) || peer.sources.contains(PeerSource::Magnet);
        if failures >= config.reconnect_attempts && !named {
            self.forget(address);
            return;
        }
        let doublings = u32::from(failures - 1).min(16);
        let wait = config.reconnect_interval.saturating_mul(1 << doublings).min(config.reconnect_maximum);
        self.schedule(canonical(address), now + wait);
    }

    /// The handshake with `address` was good: earlier failures are forgiven.
    pub fn succeeded(&mut self, address: SocketAddr) {
        if let Some(peer) = self.peer_mut(address) {
            peer.failures = 0;
            peer.good = true;
        }
    }

    /// A good connection to `address` has ended.
    pub fn disconnected(&mut self, now: Instant, address: SocketAddr, wait: Duration) {
        if self.peer(address).is_some_and(|peer| !peer.is_dead()) {
            self.schedule(canonical(address), now + wait);
        }
    }

    /// Learns whether `address` has everything.
    pub fn set_seed(&mut self, address: SocketAddr, seed: bool) {
        if let Some(peer) = self.peer_mut(address) {
            peer.seed = seed;
        }
    }

    /// Somebody says that `address` has everything. Where there are several such, it is tried before others, if it may be tried at all: a
    /// seed gives to everybody. A single one that everybody calls has the wrong peers in the end: those that were first. Those that
    /// we are connected to tell themselves what they have.
    pub fn said_to_be_seed(&mut self, address: SocketAddr) {
        let several = self.peers.iter().filter(|peer| peer.seed).take(SEVERAL).count() == SEVERAL;
        let Some(peer) = self.peer_mut(address).filter(|peer| !peer.seed) else { return };
        let Standing::Candidate { tie, .. } = peer.standing else { return };
        peer.seed = true;
        if several && peer.failures == 0 {
            self.schedule_as(canonical(address), Instant::ZERO, tie);
        }
    }

    /// `address` is ourselves: never try it again.
    pub fn is_ourselves(&mut self, address: SocketAddr) {
        self.withdraw(address, Standing::Dead);
    }

    /// Never speak to this peer again; whether that is news. Whoever else lives at the same address is banned with it, except on a
    /// loopback address, where only the port tells peers apart.
    pub fn ban(&mut self, address: SocketAddr) -> bool {
        let news = self.banned.insert(ban_key(address));
        let known: Vec<SocketAddr> = self.peers.iter().map(|peer| peer.address()).filter(|known| self.is_banned(*known)).collect();
        for address in known {
            self.is_ourselves(address);
        }
        news
    }

    /// Whether this peer is banned.
    pub fn is_banned(&self, address: SocketAddr) -> bool {
        self.banned.contains(&ban_key(address))
    }

    /// Every peer may be tried now, as after a pause. None may be connected.
    pub fn restart(&mut self, now: Instant) {
        self.schedule_all(now, |peer| !peer.is_dead());
    }

    /// Peers that were passed over, or sent away, because they have everything may be tried again: we want something now. Those in `connected` are.
    pub fn revive(&mut self, now: Instant, connected: &BTreeSet<SocketAddr>) {
        self.schedule_all(now, |peer| {
            let waits = peer.turn().is_none_or(|(at, ..)| at > now);
            !peer.is_dead() && peer.seed && waits && !connected.contains(&peer.address())
        });
    }

    /// Forgets the peers of which `keep` is false, but not who is banned.
    pub fn retain(&mut self, keep: impl Fn(PeerSources) -> bool) {
        self.peers.retain(|peer| keep(peer.sources));
        self.strangers = self.peers.iter().filter(|peer| peer.sources.are_strangers()).count();
        self.by_address = (0..self.peers.len() as u32).collect();
        self.by_address.sort_unstable_by_key(|place| address_at(&self.peers, *place));
        self.order_candidates();
    }

    /// How many peers are known.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether no peer is known.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// The addresses known to be good or not yet tried, and where they came from, those worth trying first in front: who has exchanged
    /// most with us, then who has shaken hands, then the others. What a resume file keeps.
    pub fn best(&self) -> Vec<(SocketAddr, PeerSources)> {
        let alive = self.peers.iter().filter(|peer| !peer.is_dead() && peer.failures == 0);
        let mut ranked: Vec<_> = alive.map(|peer| (Reverse((peer.exchanged, peer.good)), peer.address(), peer.sources)).collect();
        ranked.sort_by_key(|(worth, address, _)| (*worth, *address));
        ranked.into_iter().map(|(_, address, sources)| (address, sources)).collect()
    }

    /// So many bytes of payload went to `address` or came from it.
    pub fn exchanged(&mut self, address: SocketAddr, bytes: u64) {
        if let Some(peer) = self.peer_mut(address) {
            peer.exchanged = peer.exchanged.saturating_add(u32::try_from(bytes >> 10).unwrap_or(u32::MAX));
        }
    }

    /// A peer that is known and was not tried yet was worth it in an earlier session: it is tried before others, those of a lesser `rank`
    /// first.
    pub fn prefer(&mut self, address: SocketAddr, rank: u32) {
        let address = canonical(address);
        if let Some((at, ..)) = self.peer(address).and_then(KnownPeer::turn) {
            self.schedule_as(address, at, rank);
        }
    }

    /// Notes a peer, which is no candidate yet; `true` if it is new.
    fn insert(&mut self, address: SocketAddr, sources: PeerSources, config: &Config) -> bool {
        let index = match self.index_of(address) {
            Ok(index) => {
                if let Some(peer) = self.by_address.get(index).and_then(|place| self.peers.get_mut(*place as usize)) {
                    let all = peer.sources.union(sources);
                    if peer.sources.are_strangers() && !all.are_strangers() {
                        self.strangers = self.strangers.saturating_sub(1);
                    }
                    peer.sources = all;
                }
                return false;
            }
            Err(index) => index,
        };
        let usable = address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast();
        let full = self.peers.len() >= config.known_peers_limit
            || (sources.are_strangers() && self.strangers >= config.known_peers_limit.div_ceil(2));
        if !usable || full || self.is_banned(address) {
            return false;
        }
        self.strangers += usize::from(sources.are_strangers());
        let place = self.peers.len() as u32;
        push(
            &mut self.peers,
            4,
            KnownPeer { known_by: address.into(), standing: Standing::Away, exchanged: 0, failures: 0, seed: false, good: false, sources },
        );
        self.by_address.insert(index, place);
        true
    }

    fn schedule(&mut self, address: SocketAddr, at: Instant) {
        let tie = self.tie(address);
        self.schedule_as(address, at, tie);
    }

    /// What decides between `address` and others that may be tried from the same moment on.
    fn tie(&mut self, address: SocketAddr) -> u32 {
        let priority = self.own.toward(address).and_then(|own| canonical_priority(own, address));
        priority.map_or_else(|| self.rng.next_u32(), |priority| !priority)
    }

    fn schedule_as(&mut self, address: SocketAddr, at: Instant, tie: u32) {
        let Some(place) = self.withdraw(address, Standing::Candidate { at, tie }) else { return };
        let turn = Some((at, tie, address));
        let index = self.candidates.partition_point(|other| turn_at(&self.peers, *other) < turn);
        self.candidates.insert(index, place);
    }

    /// Makes candidates for `now` of those that `are_meant`.
    fn schedule_all(&mut self, now: Instant, are_meant: impl Fn(&KnownPeer) -> bool) {
        for index in 0..self.by_address.len() {
            let peer = self.by_address.get(index).and_then(|place| self.peers.get(*place as usize));
            let Some(address) = peer.filter(|peer| are_meant(peer)).map(|peer| peer.address()) else { continue };
            let tie = self.tie(address);
            if let Some(peer) = self.peer_mut(address) {
                peer.standing = Standing::Candidate { at: now, tie };
            }
        }
        self.order_candidates();
    }

    /// Lists the candidates anew.
    fn order_candidates(&mut self) {
        let places = (0..).zip(&self.peers).filter(|(_, peer)| peer.turn().is_some()).map(|(place, _)| place);
        self.candidates = places.collect();
        self.candidates.sort_unstable_by_key(|place| turn_at(&self.peers, *place));
    }

    /// Takes a peer out of the candidates, if it is one, for what it is from now on; says its place.
    fn withdraw(&mut self, address: SocketAddr, standing: Standing) -> Option<u32> {
        let place = *self.by_address.get(self.index_of(canonical(address)).ok()?)?;
        if let Some(index) = self.candidate_index(place) {
            self.candidates.remove(index);
        }
        self.peers.get_mut(place as usize)?.standing = standing;
        Some(place)
    }

    fn forget(&mut self, address: SocketAddr) {
        let Some(place) = self.withdraw(address, Standing::Away) else { return };
        let Ok(index) = self.index_of(canonical(address)) else { return };
        // The last one takes over its place.
        let last = self.peers.len().saturating_sub(1) as u32;
        if let Some(candidate) = self.candidate_index(last).and_then(|index| self.candidates.get_mut(index)) {
            *candidate = place;
        }
        let last = address_at(&self.peers, last).and_then(|last| self.index_of(last).ok());
        if let Some(last) = last.and_then(|index| self.by_address.get_mut(index)) {
            *last = place;
        }
        self.by_address.remove(index);
        let gone = self.peers.swap_remove(place as usize);
        self.strangers = self.strangers.saturating_sub(usize::from(gone.sources.are_strangers()));
    }

    fn candidate_index(&self, place: u32) -> Option<usize> {
        let turn = turn_at(&self.peers, place)?;
        self.candidates.binary_search_by_key(&Some(turn), |other| turn_at(&self.peers, *other)).ok()
    }

    /// The candidates in their order.
    fn waiting(&self) -> impl Iterator<Item = &KnownPeer> {
        self.candidates.iter().filter_map(|place| self.peers.get(*place as usize))
    }

    /// Where `address` stands in the list by address, or belongs.
    fn index_of(&self, address: SocketAddr) -> Result<usize, usize> {
        self.by_address.binary_search_by_key(&Some(address), |place| address_at(&self.peers, *place))
    }

    fn peer(&self, address: SocketAddr) -> Option<&KnownPeer> {
        let place = self.by_address.get(self.index_of(canonical(address)).ok()?)?;
        self.peers.get(*place as usize)
    }

    fn peer_mut(&mut self, address: SocketAddr) -> Option<&mut KnownPeer> {
        let place = self.by_address.get(self.index_of(canonical(address)).ok()?)?;
        self.peers.get_mut(*place as usize)
    }
}

fn address_at(peers: &[KnownPeer], place: u32) -> Option<SocketAddr> {
    peers.get(place as usize).map(|peer| peer.address())
}

fn turn_at(peers: &[KnownPeer], place: u32) -> Option<(Instant, u32, SocketAddr)> {
    peers.get(place as usize)?.turn()
}

/// The same peer has one name only: an IPv4 address that a dual-stack socket shows as IPv6 is IPv4. An address of one link keeps the
/// link, without which it leads nowhere.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into(),
        _ => SocketAddr::new(address.ip().to_canonical(), address.port()),
    }
}

/// What a peer is banned by: its IP address, and its port only where the address tells nobody apart.
fn ban_key(address: SocketAddr) -> SocketAddr {
    let address = canonical(address);
    if address.ip().is_loopback() { address } else { SocketAddr::new(address.ip(), 0) }
}

#[cfg(test)]
mod tests;
