//! A small tracker: who is in which swarm, for as long as they keep announcing.

mod http;
mod swarm;
mod udp;

pub use self::http::HttpReply;
use self::swarm::{Peer, PeerKey, Role, Swarm, SwarmKey};
use super::{AnnounceEvent, AnnounceRequest, AnnounceResponse, SwarmCounts, TrackerPeer};
use crate::{
    metainfo::InfoHash,
    rng::{Purpose, Rng, Seed},
    time::{Duration, Instant},
    util::Slab,
};
use alloc::collections::{BTreeMap, BTreeSet};
use core::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// A tracker as a machine: requests and time in, answers out.
///
/// IPv4 and IPv6 members of a torrent are one swarm. A member is its address; announced from another with the same peer id and key, it
/// moves there (BEP 7). Members that fall silent are dropped, a few with each call: no call does work that grows with the swarms.
#[derive(Debug)]
pub struct TrackerServer {
    config: TrackerServerConfig,
    rng: Rng,
    /// Of its UDP side.
    secret: [u8; 20],
    torrents: BTreeMap<InfoHash, SwarmKey>,
    swarms: Slab<Swarm, Swarm>,
    peers: Slab<Peer, Peer>,
    /// The ends of the list of all peers in the order of their last announces.
    oldest: Option<PeerKey>,
    newest: Option<PeerKey>,
}

/// What a tracker can be tuned by.
#[derive(Clone, Debug)]
pub struct TrackerServerConfig {
    /// How often clients are told to announce. 10 minutes. A member silent for twice as long is dropped.
    pub interval: Duration,
    /// How often clients are allowed to announce. 1 minute. Told, not enforced.
    pub min_interval: Duration,
    /// How many peers a client gets that does not say how many it wants. 50.
    pub default_peers: u32,
    /// The most peers a client gets. 200.
    pub max_peers_given: u32,
    /// The most torrents tracked at a time; one without members is none. 100,000.
    pub max_torrents: usize,
    /// The most members listed of one torrent; those beyond are served, but not listed. 100,000.
    pub max_peers_per_torrent: usize,
    /// The most members listed of all torrents together. 1,000,000, of about 300 bytes each.
    pub max_peers: usize,
    /// The most torrents answered about in one scrape; the rest is left out. 100.
    pub max_scrape: usize,
    /// If given, only these torrents are tracked.
    pub allowed: Option<BTreeSet<InfoHash>>,
}

impl Default for TrackerServerConfig {
    fn default() -> Self {
        TrackerServerConfig {
            interval: Duration::from_secs(10 * 60),
            min_interval: Duration::from_secs(60),
            default_peers: 50,
            max_peers_given: 200,
            max_torrents: 100_000,
            max_peers_per_torrent: 100_000,
            max_peers: 1_000_000,
            max_scrape: 100,
            allowed: None,
        }
    }
}

/// Of which address families an answer tells peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// Of the asker's own, as UDP trackers must.
    Own,
    /// Of the asker's own first, and of the other where that leaves room.
    Both,
}

/// Why an announce is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The torrent is not one that is tracked here.
    NotTracked,
    /// No further torrent fits.
    Full,
    /// `stopped` for a member that had another key.
    WrongKey,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NotTracked => "this torrent is not tracked here",
            Refusal::Full => "this tracker is full",
            Refusal::WrongKey => "wrong key",
        })
    }
}

impl core::error::Error for Refusal {}

/// How much a tracker tracks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackerServerTotals {
    /// Torrents with members.
    pub torrents: usize,
    /// Members of all torrents, each address family for itself.
    pub peers: usize,
}

impl TrackerServer {
    /// A tracker that tracks nothing yet.
    pub fn new(config: TrackerServerConfig, seed: Seed) -> TrackerServer {
        TrackerServer {
            config,
            rng: Rng::new(seed).fork(Purpose::TrackerServer, 0),
            secret: udp::secret(seed),
            torrents: BTreeMap::new(),
            swarms: Slab::new(),
            peers: Slab::new(),
            oldest: None,
            newest: None,
        }
    }

    /// Takes in what a client at `remote` announces, and tells it of others.
    ///
    /// A client that listens on port 0 is served, but not listed.
    pub fn announce(
        &mut self,
        now: Instant,
        remote: IpAddr,
        request: &AnnounceRequest,
        families: Families,
    ) -> Result<AnnounceResponse, Refusal> {
        self.expire(now);
        if self.config.allowed.as_ref().is_some_and(|allowed| !allowed.contains(&request.info_hash)) {
            return Err(Refusal::NotTracked);
        }
        let address = SocketAddr::new(remote.to_canonical(), request.port);
        if request.event == AnnounceEvent::Stopped {
            self.leave(address, request)?;
        } else if request.port != 0 {
            self.join(now, address, request)?;
        }
        let mut response = AnnounceResponse {
            interval: Some(self.config.interval),
            min_interval: Some(self.config.min_interval),
            external_ip: Some(address.ip()),
            counts: SwarmCounts { complete: Some(0), incomplete: Some(0), downloaded: Some(0), downloaders: Some(0) },
            ..AnnounceResponse::default()
        };
        let swarm = self.torrents.get(&request.info_hash).and_then(|key| self.swarms.get_mut(*key));
        if let Some(swarm) = swarm {
            response.counts = swarm.counts();
            if request.event != AnnounceEvent::Stopped {
                let wanted = request.peers_wanted.unwrap_or(self.config.default_peers).min(self.config.max_peers_given);
                let role = Role::of(request);
                let is_asker = |peer: &Peer| peer.address == address || peer.is(request);
                swarm.choose(&mut self.peers, &mut self.rng, address.is_ipv6(), families, role, wanted as usize, |peer| {
                    if !is_asker(peer) {
                        response.peers.push(TrackerPeer { address: peer.address, peer_id: Some(peer.peer_id) });
                    }
                    !is_asker(peer)
                });
            }
        }
        Ok(response)
    }

    /// The size of a swarm; `None` if it has no members.
    pub fn scrape(&self, info_hash: &InfoHash) -> Option<SwarmCounts> {
        self.torrents.get(info_hash).and_then(|key| self.swarms.get(*key)).map(Swarm::counts)
    }

    /// How much is tracked.
    pub fn totals(&self) -> TrackerServerTotals {
        TrackerServerTotals { torrents: self.torrents.len(), peers: self.peers.len() }
    }

    /// Drops members that fell silent, a bounded number at a time; call again while [`TrackerServer::next_deadline`] has come.
    pub fn expire(&mut self, now: Instant) {
        for _ in 0..MAX_EXPIRED_AT_ONCE {
            match self.oldest {
                Some(oldest) if self.next_deadline().is_some_and(|deadline| deadline <= now) => self.remove(oldest),
                _ => break,
            }
        }
    }

    /// When the next member falls out unless it announces.
    pub fn next_deadline(&self) -> Option<Instant> {
        let oldest = self.peers.get(self.oldest?)?;
        Some(oldest.announced + self.config.interval.saturating_mul(2))
    }

    fn join(&mut self, now: Instant, address: SocketAddr, request: &AnnounceRequest) -> Result<(), Refusal> {
        let key = match self.torrents.get(&request.info_hash) {
            Some(key) => *key,
            None if self.torrents.len() >= self.config.max_torrents => return Err(Refusal::Full),
            None if self.peers.len() >= self.config.max_peers || self.config.max_peers_per_torrent == 0 => return Ok(()),
            None => {
                let key = self.swarms.insert(Swarm::new(request.info_hash));
                self.torrents.insert(request.info_hash, key);
                key
            }
        };
        let Some(swarm) = self.swarms.get_mut(key) else { return Ok(()) };
        let peer = match swarm.find(&self.peers, address, request) {
            Some(peer) => {
                self.unlink(peer);
                peer
            }
            None if self.peers.len() >= self.config.max_peers || swarm.len() >= self.config.max_peers_per_torrent => return Ok(()),
            None => self.peers.insert(Peer::new(key, address, request)),
        };
        if let Some(swarm) = self.swarms.get_mut(key) {
            swarm.update(&mut self.peers, peer, address, request);
        }
        self.link(peer, now);
        Ok(())
    }

    fn leave(&mut self, address: SocketAddr, request: &AnnounceRequest) -> Result<(), Refusal> {
        let swarm = self.torrents.get(&request.info_hash).and_then(|key| self.swarms.get(*key));
        let Some(key) = swarm.and_then(|swarm| swarm.find(&self.peers, address, request)) else { return Ok(()) };
        let Some(peer) = self.peers.get(key) else { return Ok(()) };
        if peer.key.is_some() && peer.key != request.key {
            return Err(Refusal::WrongKey);
        }
        self.remove(key);
        Ok(())
    }

    fn remove(&mut self, key: PeerKey) {
        self.unlink(key);
        let Some(swarm_key) = self.peers.get(key).map(|peer| peer.swarm) else { return };
        if let Some(swarm) = self.swarms.get_mut(swarm_key) {
            swarm.remove(&mut self.peers, key);
            if swarm.len() == 0 {
                self.torrents.remove(&swarm.info_hash);
                self.swarms.remove(swarm_key);
            }
        }
        self.peers.remove(key);
    }

    /// Puts a peer that just announced at the end of the list.
    fn link(&mut self, key: PeerKey, now: Instant) {
        let before = self.newest.replace(key);
        // A host whose clock went backwards must not break the list's order.
        let latest = before.and_then(|before| self.peers.get(before)).map_or(now, |before| before.announced.max(now));
        if let Some(peer) = self.peers.get_mut(key) {
            (peer.older, peer.newer, peer.announced) = (before, None, latest);
        }
        match before.and_then(|before| self.peers.get_mut(before)) {
            Some(before) => before.newer = Some(key),
            None => self.oldest = Some(key),
        }
    }

    fn unlink(&mut self, key: PeerKey) {
        let Some((older, newer)) = self.peers.get(key).map(|peer| (peer.older, peer.newer)) else { return };
        match older.and_then(|older| self.peers.get_mut(older)) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| self.peers.get_mut(newer)) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
    }
}

/// How many members are dropped in one call at most.
const MAX_EXPIRED_AT_ONCE: usize = 256;

#[cfg(test)]
mod tests;
