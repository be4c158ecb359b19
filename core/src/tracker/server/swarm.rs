//! The members of one torrent, so arranged that a random few are chosen without looking at the rest.

use super::{
    super::{AnnounceEvent, AnnounceRequest, SwarmCounts},
    Families,
};
use crate::{
    metainfo::InfoHash,
    rng::Rng,
    time::Instant,
    util::{Key, Slab},
};
use alloc::{collections::BTreeMap, vec::Vec};
use core::net::SocketAddr;

pub(super) type SwarmKey = Key<Swarm>;
pub(super) type PeerKey = Key<Peer>;

/// A member, at one address.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) swarm: SwarmKey,
    pub(super) address: SocketAddr,
    pub(super) peer_id: [u8; 20],
    pub(super) key: Option<u32>,
    pub(super) announced: Instant,
    /// Its neighbours in the server's list of all peers.
    pub(super) older: Option<PeerKey>,
    pub(super) newer: Option<PeerKey>,
    role: Role,
    /// Its place among the peers of its family and role.
    position: usize,
    /// It announced the end of its download.
    completed: bool,
    /// Its client is counted at its address of the other family.
    counted_elsewhere: bool,
}

impl Peer {
    pub(super) fn new(swarm: SwarmKey, address: SocketAddr, request: &AnnounceRequest) -> Peer {
        Peer {
            swarm,
            address,
            peer_id: request.peer_id,
            key: request.key,
            announced: Instant::ZERO,
            older: None,
            newer: None,
            role: Role::of(request),
            position: usize::MAX,
            completed: false,
            counted_elsewhere: false,
        }
    }

    /// Whether `request` comes from the same client, wherever from.
    pub(super) fn is(&self, request: &AnnounceRequest) -> bool {
        self.peer_id == request.peer_id && self.key == request.key
    }
}

/// What a member has and wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Downloader,
    PartialSeed,
    Seed,
}

impl Role {
    pub(super) fn of(request: &AnnounceRequest) -> Role {
        match request.event {
            _ if request.left == 0 => Role::Seed,
            AnnounceEvent::Paused => Role::PartialSeed,
            _ => Role::Downloader,
        }
    }
}

/// The members of one family, by role.
#[derive(Debug, Default)]
struct Family {
    downloaders: Vec<PeerKey>,
    partial_seeds: Vec<PeerKey>,
    seeds: Vec<PeerKey>,
}

impl Family {
    fn list(&mut self, role: Role) -> &mut Vec<PeerKey> {
        match role {
            Role::Downloader => &mut self.downloaders,
            Role::PartialSeed => &mut self.partial_seeds,
            Role::Seed => &mut self.seeds,
        }
    }

    fn count(&self, role: Role) -> usize {
        match role {
            Role::Downloader => self.downloaders.len(),
            Role::PartialSeed => self.partial_seeds.len(),
            Role::Seed => self.seeds.len(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Swarm {
    pub(super) info_hash: InfoHash,
    by_address: BTreeMap<SocketAddr, PeerKey>,
    /// The latest member of each peer id, the families apart (`true` is IPv6).
    by_id: BTreeMap<(bool, [u8; 20]), PeerKey>,
    v4: Family,
    v6: Family,
    /// How many of the members are counted at their address of the other family.
    doubles: [usize; 3],
    downloaded: u32,
}

impl Swarm {
    pub(super) fn new(info_hash: InfoHash) -> Swarm {
        Swarm {
            info_hash,
            by_address: BTreeMap::new(),
            by_id: BTreeMap::new(),
            v4: Family::default(),
            v6: Family::default(),
            doubles: [0; 3],
            downloaded: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_address.len()
    }

    /// A client that announces from both families is counted once (BEP 7).
    pub(super) fn counts(&self) -> SwarmCounts {
        let count = |role: Role| {
            let doubles = self.doubles.get(role as usize).copied().unwrap_or(0);
            let count = (self.v4.count(role) + self.v6.count(role)).saturating_sub(doubles);
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let downloaders = count(Role::Downloader);
        SwarmCounts {
            complete: Some(count(Role::Seed)),
            incomplete: Some(downloaders.saturating_add(count(Role::PartialSeed))),
            downloaded: Some(self.downloaded),
            downloaders: Some(downloaders),
        }
    }

    /// The member that announces from `address`: the one that did before, or the same client from elsewhere, known by its key.
    pub(super) fn find(&self, peers: &Slab<Peer, Peer>, address: SocketAddr, request: &AnnounceRequest) -> Option<PeerKey> {
        let moved = || {
            let key = *self.by_id.get(&(address.is_ipv6(), request.peer_id))?;
            (request.key.is_some() && peers.get(key)?.is(request)).then_some(key)
        };
        self.by_address.get(&address).copied().or_else(moved)
    }

    /// Lists a peer as `request` from `address` describes it, whether it was listed before or not.
    pub(super) fn update(&mut self, peers: &mut Slab<Peer, Peer>, key: PeerKey, address: SocketAddr, request: &AnnounceRequest) {
        self.remove(peers, key);
        let Some(peer) = peers.get_mut(key) else { return };
        if peer.peer_id != request.peer_id {
            // Another client took the address over.
            peer.completed = false;
        }
        peer.address = address;
        peer.peer_id = request.peer_id;
        peer.key = request.key;
        peer.role = Role::of(request);
        let completes = request.event == AnnounceEvent::Completed && peer.role == Role::Seed && !peer.completed;
        peer.completed |= completes;
        let twin = self.twin(peers, key);
        if completes && !twin.and_then(|twin| peers.get(twin)).is_some_and(|twin| twin.completed) {
            self.downloaded = self.downloaded.saturating_add(1);
        }
        self.insert(peers, key, twin.is_some());
    }

    fn insert(&mut self, peers: &mut Slab<Peer, Peer>, key: PeerKey, counted_elsewhere: bool) {
        let Some(peer) = peers.get_mut(key) else { return };
        let family = if peer.address.is_ipv6() { &mut self.v6 } else { &mut self.v4 };
        let list = family.list(peer.role);
        peer.position = list.len();
        list.push(key);
        peer.counted_elsewhere = counted_elsewhere;
        if let Some(doubles) = self.doubles.get_mut(peer.role as usize) {
            *doubles = doubles.saturating_add(usize::from(counted_elsewhere));
        }
        self.by_address.insert(peer.address, key);
        self.by_id.insert((peer.address.is_ipv6(), peer.peer_id), key);
    }

    /// Takes a peer off the lists, if it is on them.
    pub(super) fn remove(&mut self, peers: &mut Slab<Peer, Peer>, key: PeerKey) {
        let Some(peer) = peers.get_mut(key).filter(|peer| peer.position != usize::MAX) else { return };
        let family = if peer.address.is_ipv6() { &mut self.v6 } else { &mut self.v4 };
        let list = family.list(peer.role);
        let position = core::mem::replace(&mut peer.position, usize::MAX);
        let was_counted = !core::mem::replace(&mut peer.counted_elsewhere, false);
        self.by_address.remove(&peer.address);
        if let Some(doubles) = self.doubles.get_mut(peer.role as usize) {
            *doubles = doubles.saturating_sub(usize::from(!was_counted));
        }
        let id = (peer.address.is_ipv6(), peer.peer_id);
        if position < list.len() {
            list.swap_remove(position);
        }
        if let Some(moved) = list.get(position).and_then(|moved| peers.get_mut(*moved)) {
            moved.position = position;
        }
        let twin = self.twin(peers, key);
        if self.by_id.get(&id) == Some(&key) {
            self.by_id.remove(&id);
        }
        if let Some(twin) = twin.and_then(|twin| peers.get_mut(twin)).filter(|twin| was_counted && twin.counted_elsewhere) {
            twin.counted_elsewhere = false;
            if let Some(doubles) = self.doubles.get_mut(twin.role as usize) {
                *doubles = doubles.saturating_sub(1);
            }
        }
    }

    /// The same client at its address of the other family.
    fn twin(&self, peers: &Slab<Peer, Peer>, key: PeerKey) -> Option<PeerKey> {
        let peer = peers.get(key)?;
        let twin = *self.by_id.get(&(!peer.address.is_ipv6(), peer.peer_id))?;
        (peer.key.is_some() && peers.get(twin)?.key == peer.key).then_some(twin)
    }

    /// Offers random members to `take`, each once, until it took `wanted`. Who wants nothing more gets only those who do.
    #[allow(clippy::too_many_arguments, reason = "each is a different thing, and there is one caller")]
    pub(super) fn choose(
        &mut self,
        peers: &mut Slab<Peer, Peer>,
        rng: &mut Rng,
        v6: bool,
        families: Families,
        role: Role,
        wanted: usize,
        mut take: impl FnMut(&Peer) -> bool,
    ) {
        let (own, other) = if v6 { (&mut self.v6, &mut self.v4) } else { (&mut self.v4, &mut self.v6) };
        let mut missing = wanted;
        // A few may not be taken: the asker itself, at this and that address. Many only if somebody plays tricks.
        let mut attempts = wanted.saturating_add(8);
        for family in [Some(own), (families == Families::Both).then_some(other)].into_iter().flatten() {
            let roles: &[Role] = match role {
                Role::Downloader => &[Role::Downloader, Role::PartialSeed, Role::Seed],
                Role::PartialSeed | Role::Seed => &[Role::Downloader],
            };
            // How many of each list were offered; those stand at its front.
            let mut offered = [0; 3];
            let mut left: usize = roles.iter().map(|role| family.count(*role)).sum();
            while missing > 0 && attempts > 0 && left > 0 {
                attempts -= 1;
                let mut draw = rng.below(left as u64) as usize;
                left -= 1;
                for (role, offered) in roles.iter().zip(&mut offered) {
                    let list = family.list(*role);
                    let rest = list.len() - *offered;
                    if draw < rest {
                        let chosen = *offered + draw;
                        swap(list, peers, *offered, chosen);
                        if let Some(peer) = list.get(*offered).and_then(|key| peers.get(*key)) {
                            missing -= usize::from(take(peer));
                        }
                        *offered += 1;
                        break;
                    }
                    draw -= rest;
                }
            }
        }
    }
}

fn swap(list: &mut [PeerKey], peers: &mut Slab<Peer, Peer>, one: usize, other: usize) {
    if one == other || one.max(other) >= list.len() {
        return;
    }
    list.swap(one, other);
    for position in [one, other] {
        if let Some(peer) = list.get(position).and_then(|key| peers.get_mut(*key)) {
            peer.position = position;
        }
    }
}
