use super::{PeerSource, PeerSources};
use crate::{
    config::Config,
    peer::{OwnAddresses, canonical_priority},
    rng::Rng,
    time::{Duration, Instant},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::{
    cmp::Reverse,
    net::{SocketAddr, SocketAddrV6},
};

/// The peers of one torrent that we know of: which to try next, which to leave alone.
///
/// Peers that never failed come first, those of higher priority (BEP 40) before others as far as we know our own address, in random
/// order otherwise; a failure makes a peer wait, twice as long each time.
#[derive(Debug)]
pub struct PeerList {
    peers: BTreeMap<SocketAddr, KnownPeer>,
    /// Those that may be tried, by when.
    candidates: BTreeSet<(Instant, u32, SocketAddr)>,
    /// By [`ban_key`].
    banned: BTreeSet<SocketAddr>,
    /// How many of them only strangers vouch for.
    strangers: usize,
    own: OwnAddresses,
    rng: Rng,
}

#[derive(Clone, Copy, Debug)]
struct KnownPeer {
    /// Its place among the candidates, if it is one; connected and useless peers are not.
    candidate: Option<(Instant, u32)>,
    failures: u8,
    /// Useless for ever: ourselves, or banned.
    dead: bool,
    seed: bool,
    /// It has shaken hands once.
    good: bool,
    /// KiB that went one way or the other.
    exchanged: u32,
    sources: PeerSources,
}

impl PeerList {
    /// An empty list.
    pub fn new(rng: Rng) -> PeerList {
        PeerList {
            peers: BTreeMap::new(),
            candidates: BTreeSet::new(),
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
        let Some(peer) = self.peers.get_mut(&address) else {
            return learn && self.insert(address, PeerSource::Incoming.into(), config);
        };
        let Some((at, tie)) = peer.candidate.take() else { return false };
        self.candidates.remove(&(at, tie, address));
        true
    }

    /// Where the address was learned; empty if it is not known.
    pub fn sources(&self, address: SocketAddr) -> PeerSources {
        self.peers.get(&canonical(address)).map(|peer| peer.sources).unwrap_or_default()
    }

    /// Takes out the next peer to try, if one is due. It is no candidate again before [`PeerList::failed`] or
    /// [`PeerList::disconnected`]. `skip_seeds` passes over those known to have everything.
    pub fn next(&mut self, now: Instant, skip_seeds: bool) -> Option<SocketAddr> {
        loop {
            let (at, tie, address) = *self.candidates.first().filter(|(at, ..)| *at <= now)?;
            self.candidates.remove(&(at, tie, address));
            let peer = self.peers.get_mut(&address)?;
            peer.candidate = None;
            if !(skip_seeds && peer.seed) {
                return Some(address);
            }
        }
    }

    /// What [`PeerList::next`] would give, left where it is.
    pub fn peek(&self, now: Instant, skip_seeds: bool) -> Option<SocketAddr> {
        let due = self.candidates.iter().take_while(|(at, ..)| *at <= now).map(|(.., address)| *address);
        due.into_iter().find(|address| self.peers.get(address).is_some_and(|peer| !(skip_seeds && peer.seed)))
    }

    /// By which addresses peers know us: the order of those that become candidates from now on follows from it.
    pub fn set_own(&mut self, own: OwnAddresses) {
        self.own = own;
    }

    /// When the next peer is due, if any waits.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.candidates.first().map(|(at, ..)| *at)
    }

    /// A connection to `address`, or its handshake, came to nothing.
    pub fn failed(&mut self, now: Instant, address: SocketAddr, config: &Config) {
        let Some(peer) = self.peers.get_mut(&canonical(address)) else { return };
        peer.failures = peer.failures.saturating_add(1);
        if peer.dead {
            return;
        }
        // Whom the owner or a link names may be the only one there is.
        let named = peer.sources.contains(PeerSource::Owner) || peer.sources.contains(PeerSource::Magnet);
        if peer.failures >= config.reconnect_attempts && !named {
            self.forget(address);
            return;
        }
        let doublings = u32::from(peer.failures - 1).min(16);
        let wait = config.reconnect_interval.saturating_mul(1 << doublings).min(config.reconnect_maximum);
        self.schedule(canonical(address), now + wait);
    }

    /// The handshake with `address` was good: earlier failures are forgiven.
    pub fn succeeded(&mut self, address: SocketAddr) {
        if let Some(peer) = self.peers.get_mut(&canonical(address)) {
            peer.failures = 0;
            peer.good = true;
        }
    }

    /// A good connection to `address` has ended.
    pub fn disconnected(&mut self, now: Instant, address: SocketAddr, wait: Duration) {
        if self.peers.get(&canonical(address)).is_some_and(|peer| !peer.dead) {
            self.schedule(canonical(address), now + wait);
        }
    }

    /// Learns whether `address` has everything.
    pub fn set_seed(&mut self, address: SocketAddr, seed: bool) {
        if let Some(peer) = self.peers.get_mut(&canonical(address)) {
            peer.seed = seed;
        }
    }

    /// Somebody says that `address` has everything. Those that we are connected to tell that themselves.
    pub fn said_to_be_seed(&mut self, address: SocketAddr) {
        if let Some(peer) = self.peers.get_mut(&canonical(address)).filter(|peer| peer.candidate.is_some()) {
            peer.seed = true;
        }
    }

    /// `address` is ourselves: never try it again.
    pub fn is_ourselves(&mut self, address: SocketAddr) {
        if let Some(peer) = self.peers.get_mut(&canonical(address)) {
            peer.dead = true;
            if let Some((at, tie)) = peer.candidate.take() {
                self.candidates.remove(&(at, tie, canonical(address)));
            }
        }
    }

    /// Never speak to this peer again; whether that is news. Whoever else lives at the same address is banned with it, except on a
    /// loopback address, where only the port tells peers apart.
    pub fn ban(&mut self, address: SocketAddr) -> bool {
        let news = self.banned.insert(ban_key(address));
        let known: Vec<SocketAddr> = self.peers.keys().copied().filter(|known| self.is_banned(*known)).collect();
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
        let alive: Vec<SocketAddr> = self.peers.iter().filter(|(_, peer)| !peer.dead).map(|(address, _)| *address).collect();
        for address in alive {
            self.schedule(address, now);
        }
    }

    /// Peers that were passed over, or sent away, because they have everything may be tried again: we want something now. Those in `connected` are.
    pub fn revive(&mut self, now: Instant, connected: &BTreeSet<SocketAddr>) {
        let useful = |(address, peer): &(&SocketAddr, &KnownPeer)| {
            let waits = peer.candidate.is_none_or(|(at, _)| at > now);
            !peer.dead && peer.seed && waits && !connected.contains(address)
        };
        let seeds: Vec<SocketAddr> = self.peers.iter().filter(useful).map(|(address, _)| *address).collect();
        for address in seeds {
            self.schedule(address, now);
        }
    }

    /// Forgets the peers of which `keep` is false, but not who is banned.
    pub fn retain(&mut self, keep: impl Fn(PeerSources) -> bool) {
        let gone: Vec<SocketAddr> = self.peers.iter().filter(|(_, peer)| !keep(peer.sources)).map(|(address, _)| *address).collect();
        gone.into_iter().for_each(|address| self.forget(address));
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
        let alive = self.peers.iter().filter(|(_, peer)| !peer.dead && peer.failures == 0);
        let mut ranked: Vec<_> = alive.map(|(address, peer)| (Reverse((peer.exchanged, peer.good)), *address, peer.sources)).collect();
        ranked.sort_by_key(|(worth, address, _)| (*worth, *address));
        ranked.into_iter().map(|(_, address, sources)| (address, sources)).collect()
    }

    /// So many bytes of payload went to `address` or came from it.
    pub fn exchanged(&mut self, address: SocketAddr, bytes: u64) {
        if let Some(peer) = self.peers.get_mut(&canonical(address)) {
            peer.exchanged = peer.exchanged.saturating_add(u32::try_from(bytes >> 10).unwrap_or(u32::MAX));
        }
    }

    /// A peer that is known and was not tried yet was worth it in an earlier session: it is tried before others, those of a lesser `rank`
    /// first.
    pub fn prefer(&mut self, address: SocketAddr, rank: u32) {
        let address = canonical(address);
        if let Some((at, _)) = self.peers.get(&address).and_then(|peer| peer.candidate) {
            self.schedule_as(address, at, rank);
        }
    }

    /// Notes a peer, which is no candidate yet; `true` if it is new.
    fn insert(&mut self, address: SocketAddr, sources: PeerSources, config: &Config) -> bool {
        if let Some(peer) = self.peers.get_mut(&address) {
            let all = peer.sources.union(sources);
            if peer.sources.are_strangers() && !all.are_strangers() {
                self.strangers = self.strangers.saturating_sub(1);
            }
            peer.sources = all;
            return false;
        }
        let usable = address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast();
        let full = self.peers.len() >= config.known_peers_limit
            || (sources.are_strangers() && self.strangers >= config.known_peers_limit.div_ceil(2));
        if !usable || full || self.is_banned(address) {
            return false;
        }
        self.strangers += usize::from(sources.are_strangers());
        let peer = KnownPeer { candidate: None, failures: 0, dead: false, seed: false, good: false, exchanged: 0, sources };
        self.peers.insert(address, peer);
        true
    }

    fn schedule(&mut self, address: SocketAddr, at: Instant) {
        let priority = self.own.toward(address).and_then(|own| canonical_priority(own, address));
        let tie = priority.map_or_else(|| self.rng.next_u32(), |priority| !priority);
        self.schedule_as(address, at, tie);
    }

    fn schedule_as(&mut self, address: SocketAddr, at: Instant, tie: u32) {
        let Some(peer) = self.peers.get_mut(&address) else { return };
        if let Some((at, tie)) = peer.candidate.replace((at, tie)) {
            self.candidates.remove(&(at, tie, address));
        }
        self.candidates.insert((at, tie, address));
    }

    fn forget(&mut self, address: SocketAddr) {
        let address = canonical(address);
        let Some(gone) = self.peers.remove(&address) else { return };
        self.strangers = self.strangers.saturating_sub(usize::from(gone.sources.are_strangers()));
        if let Some((at, tie)) = gone.candidate {
            self.candidates.remove(&(at, tie, address));
        }
    }
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
mod tests {
    use super::*;
    use crate::rng::Seed;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 6881))
    }

    fn list() -> (PeerList, Config) {
        (PeerList::new(Rng::new(Seed::from_u64(1))), Config::default())
    }

    #[test]
    fn a_failing_peer_waits_twice_as_long_each_time_and_is_forgotten_in_the_end() {
        let (mut list, config) = list();
        let mut now = Instant::ZERO;
        assert!(list.add(now, address(1), PeerSource::Tracker, &config));
        assert!(!list.add(now, address(1), PeerSource::Tracker, &config));
        for wait in [30, 60, 120, 240] {
            assert_eq!(list.next(now, false), Some(address(1)));
            list.failed(now, address(1), &config);
            assert_eq!(list.next_deadline(), Some(now + Duration::from_secs(wait)));
            now += Duration::from_secs(wait);
        }
        assert_eq!(list.next(now, false), Some(address(1)));
        list.failed(now, address(1), &config);
        assert!(list.is_empty());
        assert_eq!(list.next_deadline(), None);
    }

    #[test]
    fn a_banned_address_is_neither_tried_nor_learnt_again() {
        let (mut list, config) = list();
        list.add(Instant::ZERO, address(1), PeerSource::Tracker, &config);
        list.ban(address(1));
        assert_eq!(list.next(Instant::MAX, false), None);
        assert!(list.is_banned(SocketAddr::from(([10, 0, 0, 1], 1))));
        assert!(!list.add(Instant::ZERO, SocketAddr::from(([10, 0, 0, 1], 7)), PeerSource::Tracker, &config));
    }

    #[test]
    fn peers_of_an_earlier_session_are_tried_in_the_order_of_their_worth() {
        let (mut list, config) = list();
        for last in 1..=5 {
            list.add(Instant::ZERO, address(last), PeerSource::Tracker, &config);
        }
        list.succeeded(address(4));
        list.exchanged(address(2), 5 << 10);
        list.exchanged(address(3), 7 << 10);
        list.failed(Instant::ZERO, address(1), &config);
        let best = [3, 2, 4, 5].map(address);
        assert_eq!(list.best().into_iter().map(|(address, _)| address).collect::<Vec<_>>(), best);
        let mut next = PeerList::new(Rng::new(Seed::from_u64(2)));
        next.add(Instant::ZERO, address(9), PeerSource::Tracker, &config);
        for (rank, address) in (0..).zip(best) {
            next.add(Instant::ZERO, address, PeerSource::Resume, &config);
            next.prefer(address, rank);
        }
        assert_eq!(core::array::from_fn(|_| next.next(Instant::ZERO, false)), [3, 2, 4, 5, 9].map(|last| Some(address(last))));
    }

    #[test]
    fn seeds_are_passed_over_by_a_seed_only() {
        let (mut list, config) = list();
        list.add(Instant::ZERO, address(1), PeerSource::Tracker, &config);
        list.set_seed(address(1), true);
        assert_eq!(list.next(Instant::ZERO, true), None);
        list.disconnected(Instant::ZERO, address(1), Duration::ZERO);
        assert_eq!(list.next(Instant::ZERO, false), Some(address(1)));
    }

    #[test]
    fn addresses_that_cannot_be_a_peers_are_ignored() {
        let (mut list, config) = list();
        for bad in ["0.0.0.0:1", "1.2.3.4:0", "224.0.0.1:5", "[::]:4"] {
            assert!(!list.add(Instant::ZERO, bad.parse().unwrap(), PeerSource::Tracker, &config), "{bad}");
        }
        assert!(list.add(Instant::ZERO, "[::ffff:1.2.3.4]:5".parse().unwrap(), PeerSource::Tracker, &config));
        assert!(!list.add(Instant::ZERO, "1.2.3.4:5".parse().unwrap(), PeerSource::Tracker, &config));
    }

    #[test]
    fn whom_the_owner_named_is_never_forgotten() {
        for (source, kept) in [(PeerSource::Owner, true), (PeerSource::Magnet, true), (PeerSource::Tracker, false)] {
            let (mut list, config) = list();
            list.add(Instant::ZERO, address(1), source, &config);
            for _ in 0..100 {
                list.failed(Instant::ZERO, address(1), &config);
            }
            assert_eq!(list.len() == 1, kept, "{source}");
            assert!(list.next_deadline().is_none_or(|at| at == Instant::ZERO + config.reconnect_maximum));
        }
    }

    #[test]
    fn a_peer_that_came_to_us_is_not_tried_until_it_is_gone() {
        let (mut list, config) = list();
        list.add(Instant::ZERO, address(1), PeerSource::Tracker, &config);
        assert!(list.met(address(1), true, &config));
        assert!(list.met(address(2), true, &config));
        assert!(!list.met(address(2), true, &config), "another one claims to be there, too");
        assert!(!list.met(address(3), false, &config));
        assert_eq!((list.len(), list.next(Instant::MAX, false)), (2, None));
        assert_eq!(list.sources(address(1)).best(), Some(PeerSource::Tracker));
        assert_eq!(list.sources(address(2)).best(), Some(PeerSource::Incoming));
        assert_eq!(list.best().len(), 2);
        list.disconnected(Instant::ZERO, address(2), Duration::ZERO);
        assert_eq!(list.next(Instant::ZERO, false), Some(address(2)));
    }

    #[test]
    fn strangers_take_up_half_of_the_room_at_most() {
        let (mut list, mut config) = list();
        config.known_peers_limit = 10;
        for number in 1..=10 {
            list.add(Instant::ZERO, address(number), PeerSource::PeerExchange, &config);
        }
        assert_eq!(list.len(), 5);
        // A tracker vouches for one of them: that makes room for another stranger.
        assert!(!list.add(Instant::ZERO, address(1), PeerSource::Tracker, &config));
        assert!(list.met(address(11), true, &config));
        assert!(!list.add(Instant::ZERO, address(12), PeerSource::LocalDiscovery, &config));
        for number in 20..=30 {
            list.add(Instant::ZERO, address(number), PeerSource::Tracker, &config);
        }
        assert_eq!(list.len(), 10);
        list.retain(PeerSources::suit_private);
        assert_eq!(list.len(), 5);
        assert!(list.add(Instant::ZERO, address(12), PeerSource::LocalDiscovery, &config));
    }
}
