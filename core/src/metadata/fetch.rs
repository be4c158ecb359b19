use super::candidate::Candidate;
use crate::{
    metainfo::InfoHash,
    time::{Duration, Instant},
    wire::extension::METADATA_PIECE_LENGTH,
};
use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use bytes::Bytes;
use core::cmp::Reverse;

/// Gets the info dictionary of a torrent from peers, of whom none is believed (BEP 9). It tries for ever.
///
/// A *peer* is whatever the caller names it by: a connection, or an address. Peers claim how long the metadata is; each claimed
/// length is a *candidate* with pieces of its own, and several are pursued at once. Pieces come from several peers together. If the
/// whole does not fit the hash and one peer sent it all, that peer lies. If several did, the candidate goes on with one peer alone at
/// a time, until one has sent a whole that fits; who sent other bytes before then turns out to have lied. Nobody else does: silence and
/// rejects only make a peer wait, longer each time.
///
/// Call [`poll_request`](Self::poll_request) and [`poll_event`](Self::poll_event) until they say `None`, after every call that
/// takes the time and whenever [`next_deadline`](Self::next_deadline) has passed.
#[derive(Debug)]
pub struct MetadataFetch<P> {
    info_hash: InfoHash,
    config: MetadataConfig,
    peers: BTreeMap<P, Peer>,
    /// By claimed length in bytes.
    candidates: BTreeMap<u32, Candidate<P>>,
    /// When requests time out: every one that is under way.
    timeouts: BTreeSet<(Instant, P, u32)>,
    /// When peers that wait may be asked again.
    waiting: BTreeSet<(Instant, P)>,
    events: VecDeque<MetadataEvent<P>>,
    /// How many peers ever came.
    arrivals: u64,
    done: bool,
}

/// The limits of a [`MetadataFetch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataConfig {
    /// The longest metadata that is accepted, in bytes. Default 32 MiB: the largest torrents in practice have a few.
    pub size_limit: u32,
    /// Memory for pieces of all candidates, in bytes, counted as if they were complete. Default 64 MiB. One candidate is pursued even if it
    /// needs more.
    pub memory_limit: u64,
    /// Candidates pursued at once. Default 8: a swarm tells one length, and a few liars others.
    pub candidate_limit: usize,
    /// While other candidates wait, one gives its place up after so long, twice as long each time. Default 60 s.
    pub candidate_time: Duration,
    /// A request not answered for so long is made elsewhere. Default 10 s. A later answer is still welcome.
    pub request_timeout: Duration,
    /// Requests that one peer has to answer at a time. Default 4: 64 KiB, which most metadata does not exceed.
    pub requests_per_peer: usize,
    /// Peers that are asked for the same piece at a time, once all pieces are asked for. Default 3.
    pub requests_per_piece: u8,
    /// A peer that rejected a request or let it time out is not asked for so long, twice as long each time. Default 10 s.
    pub retry_interval: Duration,
    /// The longest that a peer is not asked. Default 5 min.
    pub retry_maximum: Duration,
}

impl Default for MetadataConfig {
    fn default() -> MetadataConfig {
        MetadataConfig {
            size_limit: 32 << 20,
            memory_limit: 64 << 20,
            candidate_limit: 8,
            candidate_time: Duration::from_secs(60),
            request_timeout: Duration::from_secs(10),
            requests_per_peer: 4,
            requests_per_piece: 3,
            retry_interval: Duration::from_secs(10),
            retry_maximum: Duration::from_secs(300),
        }
    }
}

/// What came of a [`MetadataFetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataEvent<P> {
    /// The metadata: the bytes of the info dictionary, which fit the info-hash. Comes once; nothing more is asked for.
    Complete(Bytes),
    /// This peer sent bytes that are not the metadata. It is not asked again, as long as it is not removed.
    Liar(P),
}

#[derive(Debug, Default)]
struct Peer {
    /// The candidate that it stands for; `None` as long as it claims nothing.
    size: Option<u32>,
    /// What it was asked for and has not answered, and when that times out. `None`: it did, and an answer is still welcome.
    asked: BTreeMap<u32, Option<Instant>>,
    /// Entries of `asked` that have not timed out.
    outstanding: usize,
    /// It rejected, or was silent, and is not asked before then.
    waits_until: Option<Instant>,
    failures: u32,
    /// Who came earlier is asked first, all else being equal: whoever goes and comes again and again keeps nobody else from being asked.
    arrival: u64,
    /// It lied, or claims what cannot be true: it is not asked at all.
    useless: bool,
}

impl<P: Copy + Ord> MetadataFetch<P> {
    /// Knows no peer yet.
    pub fn new(info_hash: InfoHash, config: MetadataConfig) -> MetadataFetch<P> {
        MetadataFetch {
            info_hash,
            config,
            peers: BTreeMap::new(),
            candidates: BTreeMap::new(),
            timeouts: BTreeSet::new(),
            waiting: BTreeSet::new(),
            events: VecDeque::new(),
            arrivals: 0,
            done: false,
        }
    }

    /// A peer that knows the metadata exchange said hello, or said it again. Its first `metadata_size` (in bytes) counts for good. Without
    /// one, the peer is asked for the first piece now and then: it may have got the metadata since.
    pub fn add_peer(&mut self, now: Instant, peer: P, metadata_size: Option<u32>) {
        if self.done {
            return;
        }
        let arrivals = &mut self.arrivals;
        let known = self.peers.entry(peer).or_insert_with(|| {
            *arrivals += 1;
            Peer { arrival: *arrivals, ..Peer::default() }
        });
        let Some(size) = metadata_size.filter(|_| known.size.is_none() && !known.useless) else { return };
        if size == 0 || size > self.config.size_limit {
            known.useless = true;
            self.forget_requests(peer);
            return;
        }
        known.size = Some(size);
        // What it rejected before it did not have. Who says the size has the metadata now.
        known.failures = 0;
        if let Some(until) = known.waits_until.take() {
            self.waiting.remove(&(until, peer));
        }
        self.candidates.entry(size).or_insert_with(|| Candidate::new(size)).join(peer);
        self.choose_candidates(now);
    }

    /// The peer is gone, and what it was asked for with it.
    pub fn remove_peer(&mut self, now: Instant, peer: P) {
        self.forget_requests(peer);
        let Some(gone) = self.peers.remove(&peer) else { return };
        if let Some(until) = gone.waits_until {
            self.waiting.remove(&(until, peer));
        }
        if let Some(size) = gone.size
            && let Some(candidate) = self.candidates.get_mut(&size)
        {
            candidate.leave(peer);
        }
        self.choose_candidates(now);
    }

    /// The next request to make: of whom, and for which piece.
    pub fn poll_request(&mut self, now: Instant) -> Option<(P, u32)> {
        if self.done {
            return None;
        }
        self.pass_time(now);
        let (peer, piece) = self.choose_request()?;
        let deadline = now + self.config.request_timeout;
        let asked = self.peers.get_mut(&peer)?;
        asked.asked.insert(piece, Some(deadline));
        asked.outstanding += 1;
        self.timeouts.insert((deadline, peer, piece));
        if let Some(candidate) = asked.size.and_then(|size| self.candidates.get_mut(&size)) {
            candidate.asked(peer, piece);
        }
        Some((peer, piece))
    }

    /// A peer sent a piece. What it was not asked for is ignored.
    pub fn handle_data(&mut self, now: Instant, peer: P, piece: u32, total_size: Option<u32>, data: &[u8]) {
        if !self.answered(peer, piece) {
            return;
        }
        let Some(sender) = self.peers.get(&peer) else { return };
        // It was asked without having claimed anything: now it does.
        let claimed = match sender.size {
            Some(size) => size,
            None => {
                self.add_peer(now, peer, Some(total_size.unwrap_or_default()));
                let Some(size) = self.peers.get(&peer).and_then(|peer| peer.size) else { return };
                size
            }
        };
        let Some(candidate) = self.candidates.get_mut(&claimed) else { return };
        if data.len() != piece_length(claimed, piece) as usize {
            self.expose(now, peer);
            return;
        }
        candidate.store(peer, piece, data);
        if let Some(sender) = self.peers.get_mut(&peer) {
            sender.failures = 0;
            // Slow is not silent: who answers late is asked on.
            if let Some(until) = sender.waits_until.take() {
                self.waiting.remove(&(until, peer));
            }
        }
        self.check(now, claimed, peer);
    }

    /// A peer will not give a piece. It is asked again later, and others now.
    pub fn handle_reject(&mut self, now: Instant, peer: P, piece: u32) {
        if self.answered(peer, piece) {
            self.let_wait(now, peer);
        }
    }

    /// What came of it so far; call until `None`.
    pub fn poll_event(&mut self) -> Option<MetadataEvent<P>> {
        self.events.pop_front()
    }

    /// When to call [`poll_request`](Self::poll_request) at the latest, if nothing else happens before.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.done {
            return None;
        }
        let timeout = self.timeouts.first().map(|(at, ..)| *at);
        let retry = self.waiting.first().map(|(at, _)| *at);
        let others_wait = self.candidates.values().any(|candidate| !candidate.is_pursued());
        let expiry = self.candidates.values().filter(|_| others_wait).filter_map(Candidate::expires).min();
        [timeout, retry, expiry].into_iter().flatten().min()
    }

    /// Whether the metadata is there.
    pub fn is_complete(&self) -> bool {
        self.done
    }

    /// Everything that is due at `now`.
    fn pass_time(&mut self, now: Instant) {
        while let Some((at, peer, piece)) = self.timeouts.first().copied()
            && at <= now
        {
            self.timeouts.pop_first();
            let Some(silent) = self.peers.get_mut(&peer) else { continue };
            if let Some(deadline) = silent.asked.get_mut(&piece)
                && deadline.take().is_some()
            {
                silent.outstanding = silent.outstanding.saturating_sub(1);
                if let Some(candidate) = silent.size.and_then(|size| self.candidates.get_mut(&size)) {
                    candidate.given_up(peer, piece);
                }
                self.let_wait(now, peer);
            }
        }
        while let Some((at, peer)) = self.waiting.first().copied()
            && at <= now
        {
            self.waiting.pop_first();
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.waits_until = None;
            }
        }
        if self.candidates.values().any(|candidate| candidate.expires().is_some_and(|at| at <= now)) {
            self.choose_candidates(now);
        }
    }

    /// The peer with the least to do that can be asked for something, and for what.
    fn choose_request(&mut self) -> Option<(P, u32)> {
        let mut best: Option<((usize, u64), P, u32)> = None;
        for candidate in self.candidates.values_mut().filter(|candidate| candidate.is_pursued()) {
            let peers = &self.peers;
            candidate.choose_lone_peer(|peer| peers.get(&peer).filter(|peer| peer.may_be_asked()).map(|peer| peer.arrival));
            for peer in candidate.sources() {
                let Some(state) = peers.get(&peer) else { continue };
                let rank = (state.outstanding, state.arrival);
                let better = best.is_none_or(|(least, ..)| rank < least);
                if !better || !state.may_be_asked() || state.outstanding >= self.config.requests_per_peer {
                    continue;
                }
                let not_asked = |piece| !matches!(state.asked.get(&piece), Some(Some(_)));
                if let Some(piece) = candidate.next_piece(self.config.requests_per_piece, not_asked) {
                    best = Some((rank, peer, piece));
                }
            }
        }
        match best {
            Some((_, peer, piece)) => Some((peer, piece)),
            None => {
                let silent = |peer: &Peer| peer.size.is_none() && peer.may_be_asked() && peer.outstanding == 0;
                self.peers.iter().find(|(_, peer)| silent(peer)).map(|(peer, _)| (*peer, 0))
            }
        }
    }

    /// Takes an answer in; whether it was asked for.
    fn answered(&mut self, peer: P, piece: u32) -> bool {
        let Some(state) = self.peers.get_mut(&peer) else { return false };
        let Some(deadline) = state.asked.remove(&piece) else { return false };
        if let Some(deadline) = deadline {
            state.outstanding = state.outstanding.saturating_sub(1);
            self.timeouts.remove(&(deadline, peer, piece));
            if let Some(candidate) = state.size.and_then(|size| self.candidates.get_mut(&size)) {
                candidate.given_up(peer, piece);
            }
        }
        !state.useless
    }

    /// The peer is not asked for a while.
    fn let_wait(&mut self, now: Instant, peer: P) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        // Several requests that time out together are one failure.
        if state.waits_until.is_some_and(|until| until > now) {
            return;
        }
        let wait = self.config.retry_interval.saturating_mul(1 << state.failures.min(16)).min(self.config.retry_maximum);
        state.failures = state.failures.saturating_add(1);
        if let Some(earlier) = state.waits_until.replace(now + wait) {
            self.waiting.remove(&(earlier, peer));
        }
        self.waiting.insert((now + wait, peer));
    }

    /// Checks the hash if all pieces that `peer` could have completed are there.
    fn check(&mut self, now: Instant, size: u32, peer: P) {
        let Some(candidate) = self.candidates.get_mut(&size) else { return };
        let Some(whole) = candidate.complete(peer) else { return };
        if whole.info_hash() == self.info_hash {
            let metadata = whole.to_bytes();
            let mut events = core::mem::take(&mut self.events);
            events.extend(candidate.liars(&metadata).into_iter().map(MetadataEvent::Liar));
            events.push_back(MetadataEvent::Complete(metadata));
            *self = MetadataFetch { events, done: true, ..MetadataFetch::new(self.info_hash, self.config) };
            return;
        }
        match whole.only_contributor() {
            Some(liar) => self.expose(now, liar),
            None => candidate.go_alone(),
        }
    }

    /// The peer is a liar, and what it sent is worth nothing.
    fn expose(&mut self, now: Instant, peer: P) {
        self.forget_requests(peer);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.useless = true;
        }
        // It may have left and come back with another claim since it sent its pieces.
        self.candidates.values_mut().for_each(|candidate| candidate.discard(peer));
        self.events.push_back(MetadataEvent::Liar(peer));
        self.choose_candidates(now);
    }

    fn forget_requests(&mut self, peer: P) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let mut candidate = state.size.and_then(|size| self.candidates.get_mut(&size));
        let asked = core::mem::take(&mut state.asked);
        state.outstanding = 0;
        for (piece, deadline) in asked {
            if let Some(deadline) = deadline {
                self.timeouts.remove(&(deadline, peer, piece));
                if let Some(candidate) = candidate.as_deref_mut() {
                    candidate.given_up(peer, piece);
                }
            }
        }
    }

    /// Decides which candidates are pursued. First come those that had the fewest attempts and have the most peers; none overtakes
    /// another because it is smaller, so that each gets its turn.
    fn choose_candidates(&mut self, now: Instant) {
        self.candidates.retain(|_, candidate| !candidate.is_empty());
        if self.candidates.values().all(Candidate::is_pursued) {
            return;
        }
        self.give_up(|candidate| candidate.expires().is_some_and(|at| at <= now));
        let waiting = self.candidates.iter().filter(|(_, candidate)| !candidate.is_pursued());
        let mut waiting: Vec<_> = waiting.map(|(size, candidate)| (candidate.attempts(), Reverse(candidate.peers()), *size)).collect();
        waiting.sort_unstable();
        for (attempts, _, size) in waiting {
            if !self.has_room_for(size) {
                self.give_up(|candidate| !candidate.has_peers());
            }
            if !self.has_room_for(size) {
                return;
            }
            let time = self.config.candidate_time.saturating_mul(1 << attempts.min(16));
            if let Some(candidate) = self.candidates.get_mut(&size) {
                candidate.pursue(now + time);
            }
        }
    }

    fn has_room_for(&self, size: u32) -> bool {
        let pursued = self.candidates.values().filter(|candidate| candidate.is_pursued());
        let (number, memory) = pursued.fold((0, 0u64), |(number, memory), candidate| (number + 1, memory + candidate.memory()));
        let candidate = self.candidates.get(&size).map_or(0, Candidate::memory);
        number == 0 || (number < self.config.candidate_limit && memory.saturating_add(candidate) <= self.config.memory_limit)
    }

    /// Pursues those candidates no longer that are `over`.
    fn give_up(&mut self, over: impl Fn(&Candidate<P>) -> bool) {
        let mut idle: Vec<P> = Vec::new();
        self.candidates.retain(|_, candidate| {
            if candidate.is_pursued() && over(candidate) {
                candidate.give_up();
                idle.extend(candidate.members());
            }
            candidate.is_pursued() || candidate.has_peers()
        });
        idle.into_iter().for_each(|peer| self.forget_requests(peer));
    }
}

impl Peer {
    fn may_be_asked(&self) -> bool {
        !self.useless && self.waits_until.is_none()
    }
}

/// How long piece `piece` of metadata of `size` bytes is; 0 if there is no such piece.
pub(super) fn piece_length(size: u32, piece: u32) -> u32 {
    let start = u64::from(piece) * u64::from(METADATA_PIECE_LENGTH);
    u64::from(size).saturating_sub(start).min(METADATA_PIECE_LENGTH.into()) as u32
}
