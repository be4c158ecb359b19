//! Super-seeding (BEP 16): how one seed brings a torrent into the world with little more than one upload.
//!
//! The seed poses as a peer that has nothing and offers each peer one piece, a different one. The next one comes only once the first
//! was seen at another peer: then it was passed on, and need not be sent again. Nobody is asked for more than that: where a peer is
//! alone, where its piece does not spread, or where it does not fetch what it was offered, it gets another piece after a while.
//!
//! A [`SuperSeed`] is a pure data structure beside the connections of one torrent. A have, an offer, a peer that fetches: the logarithm of
//! what there is; a peer that comes or goes: as many steps as it has pieces.

use super::picker::PeerPieces;
use crate::{
    time::{Duration, Instant},
    util::Bitfield,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec,
    vec::Vec,
};

/// Which piece is offered to whom. `P` is whatever names a peer for the caller.
#[derive(Debug)]
pub struct SuperSeed<P> {
    config: SuperSeedConfig,
    peers: BTreeMap<P, Peer>,
    /// How many peers hold each piece, and how many are fetching it from us.
    spread: Vec<Spread>,
    /// All pieces: those first that fewest peers hold or will hold.
    order: BTreeSet<(u32, Spread, u32)>,
    /// Pieces whose takers wait for them to be seen elsewhere.
    passing: BTreeMap<u32, Vec<P>>,
    /// Peers for which there was only what others have, too.
    starved: BTreeSet<P>,
    /// Peers to which something is to be offered, as far as the caller has not heard of them.
    news: BTreeSet<P>,
    deadlines: BTreeSet<(Instant, P)>,
    /// Peers that hold everything.
    seeds: u32,
}

/// How patient a [`SuperSeed`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuperSeedConfig {
    /// A peer that has its piece gets another one, although nobody else has the first, after this. So does a peer for which only
    /// pieces are left that others have. Default 30 s.
    pub passing_timeout: Duration,
    /// A peer that has fetched nothing for so long of what it was offered gets another piece, and its own is offered to others. Default
    /// 120 s: it may wait for its turn among those who are unchoked.
    pub fetching_timeout: Duration,
}

impl Default for SuperSeedConfig {
    fn default() -> SuperSeedConfig {
        SuperSeedConfig { passing_timeout: Duration::from_secs(30), fetching_timeout: Duration::from_secs(120) }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Spread {
    copies: u32,
    offers: u32,
}

#[derive(Debug)]
struct Peer {
    has: Bitfield,
    /// `None` for one that knows all that we have.
    stage: Option<Stage>,
    /// What it was offered and does not have: one piece, and those that it did not fetch in time.
    shown: Vec<u32>,
    deadline: Option<Instant>,
    /// When it was last offered or sent something.
    served: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not said yet what it has.
    New,
    /// Something may be offered to it: of what others have, too, only if it has waited for that.
    Due { waited: bool },
    /// There was nothing for it.
    Starved,
    /// It is to fetch this piece.
    Fetching(u32),
    /// It has this piece and is to give it on.
    Passing(u32),
}

/// Pieces that are looked at for one that a peer lacks.
const PROBES: usize = 1024;

/// Pieces that a peer did not fetch and may still ask for.
const SHOWN: usize = 16;

impl<P: Copy + Ord> SuperSeed<P> {
    /// For a torrent of so many pieces, all of which we have. Nobody is connected.
    pub fn new(pieces: u32, config: SuperSeedConfig) -> SuperSeed<P> {
        SuperSeed {
            config,
            peers: BTreeMap::new(),
            spread: vec![Spread::default(); pieces as usize],
            order: (0..pieces).map(|piece| (0, Spread::default(), piece)).collect(),
            passing: BTreeMap::new(),
            starved: BTreeSet::new(),
            news: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            seeds: 0,
        }
    }

    // Who is there and has what.

    /// A peer connects, to which we pose. Nothing is offered to it before [`SuperSeed::peer_ready`].
    pub fn peer_joined(&mut self, now: Instant, peer: P) {
        self.join(now, peer, Some(Stage::New));
    }

    /// A peer that knew before what we have. Nothing is offered to it, and it may ask for everything.
    pub fn witness_joined(&mut self, now: Instant, peer: P, has: PeerPieces<'_>) {
        self.join(now, peer, None);
        for piece in (0..self.spread.len() as u32).filter(|piece| has.contains(*piece)) {
            self.peer_has(now, peer, piece);
        }
    }

    /// A peer has said what it has: something can be offered to it.
    pub fn peer_ready(&mut self, peer: P) {
        if self.peers.get(&peer).is_some_and(|state| state.stage == Some(Stage::New)) {
            self.becomes_due(peer, false);
        }
    }

    /// A peer has `piece`, from us or from another. Repetitions and pieces that do not exist are ignored.
    pub fn peer_has(&mut self, now: Instant, peer: P, piece: u32) {
        let alone = self.peers.len() == 1;
        let Some(state) = self.peers.get_mut(&peer).filter(|state| state.has.len() > piece) else { return };
        if !state.has.set(piece) {
            return;
        }
        self.seeds += u32::from(state.has.is_full());
        state.shown.retain(|shown| *shown != piece);
        let fetched = state.stage == Some(Stage::Fetching(piece));
        let copies = self.change(piece, |spread| {
            spread.copies += 1;
            spread.offers = spread.offers.saturating_sub(fetched.into());
            spread.copies
        });
        if fetched && copies < 2 && !alone {
            self.enter(peer, Stage::Passing(piece), Some(now + self.config.passing_timeout));
            self.passing.entry(piece).or_default().push(peer);
        } else if fetched {
            self.becomes_due(peer, false);
        }
        if copies >= 2 {
            self.seen_elsewhere(piece);
        }
    }

    /// A peer has `piece` no longer (BEP 54).
    pub fn peer_lost(&mut self, peer: P, piece: u32) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let was_seed = state.has.is_full();
        if state.has.clear(piece) {
            self.seeds = self.seeds.saturating_sub(was_seed.into());
            self.change(piece, |spread| spread.copies = spread.copies.saturating_sub(1));
        }
    }

    /// A peer is gone.
    pub fn peer_left(&mut self, peer: P) {
        self.enter(peer, Stage::Starved, None);
        let Some(state) = self.peers.remove(&peer) else { return };
        self.starved.remove(&peer);
        self.news.remove(&peer);
        self.seeds = self.seeds.saturating_sub(state.has.is_full().into());
        for piece in state.has.iter() {
            self.change(piece, |spread| spread.copies = spread.copies.saturating_sub(1));
        }
        // Who is left alone has nobody to pass anything on to.
        if self.peers.len() == 1
            && let Some(piece) = self.passing.keys().next().copied()
        {
            self.seen_elsewhere(piece);
        }
    }

    /// Something was sent to a peer: it fetches what it was offered.
    pub fn served(&mut self, now: Instant, peer: P) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.served = now;
        }
    }

    // What follows.

    /// The next peer for which [`SuperSeed::offer`] has become worth calling.
    pub fn poll(&mut self) -> Option<P> {
        self.news.pop_first()
    }

    /// The piece to tell `peer` of now, if it is its turn: the one that fewest others have or were offered.
    pub fn offer(&mut self, now: Instant, peer: P) -> Option<u32> {
        let state = self.peers.get(&peer)?;
        let Some(Stage::Due { waited }) = state.stage else { return None };
        let lacks = |(_, _, piece): &&(u32, Spread, u32)| !state.has.get(*piece) && !state.shown.contains(piece);
        let (level, _, piece) = self.order.iter().take(PROBES).find(lacks).copied().unwrap_or((u32::MAX, Spread::default(), u32::MAX));
        if piece == u32::MAX || (level > 0 && !waited) {
            let again = (piece != u32::MAX).then(|| now + self.config.passing_timeout);
            self.enter(peer, Stage::Starved, again);
            self.starved.insert(peer);
            return None;
        }
        self.enter(peer, Stage::Fetching(piece), Some(now + self.config.fetching_timeout));
        self.change(piece, |spread| spread.offers += 1);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.served = now;
            if state.shown.len() >= SHOWN {
                state.shown.remove(0);
            }
            state.shown.push(piece);
        }
        Some(piece)
    }

    /// Whether we pose to `peer` as someone who has nothing.
    pub fn poses_to(&self, peer: P) -> bool {
        self.peers.get(&peer).is_some_and(|state| state.stage.is_some())
    }

    /// Whether `peer` may ask for `piece`: it was offered, or the peer knows that we have everything.
    pub fn may_ask(&self, peer: P, piece: u32) -> bool {
        self.peers.get(&peer).is_none_or(|state| state.stage.is_none() || state.shown.contains(&piece))
    }

    /// Whether another peer has everything: then super-seeding has done its work.
    pub fn has_company(&self) -> bool {
        self.seeds > 0
    }

    /// When to call [`SuperSeed::handle_timeout`] at the latest.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Lets those have another piece who have waited long enough.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, peer)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            let Some(state) = self.peers.get(&peer) else { return };
            let stage = state.stage.unwrap_or(Stage::New);
            let later = state.served + self.config.fetching_timeout;
            if matches!(stage, Stage::Fetching(_)) && later > now {
                self.set_deadline(peer, Some(later));
            } else {
                self.becomes_due(peer, stage == Stage::Starved);
            }
        }
    }

    // Helpers

    fn join(&mut self, now: Instant, peer: P, stage: Option<Stage>) {
        self.peer_left(peer);
        let has = Bitfield::new(self.spread.len() as u32);
        self.peers.insert(peer, Peer { has, stage, shown: Vec::new(), deadline: None, served: now });
    }

    /// `piece` is at more than one peer, or there is nobody else to give it to: whoever waits for that need not any more.
    fn seen_elsewhere(&mut self, piece: u32) {
        for peer in self.passing.remove(&piece).unwrap_or_default() {
            self.becomes_due(peer, false);
        }
    }

    fn becomes_due(&mut self, peer: P, waited: bool) {
        self.enter(peer, Stage::Due { waited }, None);
        self.news.insert(peer);
    }

    /// Leads a peer from one stage to the next.
    fn enter(&mut self, peer: P, stage: Stage, deadline: Option<Instant>) {
        let Some(before) = self.peers.get_mut(&peer).and_then(|state| state.stage.as_mut()) else { return };
        let before = core::mem::replace(before, stage);
        self.set_deadline(peer, deadline);
        match before {
            // Unless it has it by now, which was counted then.
            Stage::Fetching(piece) if self.peers.get(&peer).is_some_and(|state| !state.has.get(piece)) => {
                self.change(piece, |spread| spread.offers = spread.offers.saturating_sub(1));
            }
            Stage::Passing(piece) => {
                if let Some(waiting) = self.passing.get_mut(&piece) {
                    waiting.retain(|other| *other != peer);
                    if waiting.is_empty() {
                        self.passing.remove(&piece);
                    }
                }
            }
            Stage::Starved => {
                self.starved.remove(&peer);
            }
            _ => {}
        }
    }

    fn set_deadline(&mut self, peer: P, at: Option<Instant>) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        if let Some(before) = core::mem::replace(&mut state.deadline, at) {
            self.deadlines.remove(&(before, peer));
        }
        self.deadlines.extend(at.map(|at| (at, peer)));
    }

    /// Lets `f` change how far a piece has spread. If nobody has it now, nor will have it soon, those who starve get it.
    fn change<R: Default>(&mut self, piece: u32, f: impl FnOnce(&mut Spread) -> R) -> R {
        let Some(spread) = self.spread.get_mut(piece as usize) else { return R::default() };
        let level = |spread: &Spread| spread.copies.saturating_add(spread.offers);
        let before = *spread;
        let result = f(spread);
        let after = *spread;
        self.order.remove(&(level(&before), before, piece));
        self.order.insert((level(&after), after, piece));
        if level(&after) == 0 && level(&before) > 0 {
            for peer in core::mem::take(&mut self.starved) {
                self.becomes_due(peer, false);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests;
