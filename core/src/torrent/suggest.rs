//! What the first seed of a swarm suggests to whom (BEP 6), and who deserves it.
//!
//! A peer sees only its neighbours, and takes a piece for rare that somebody else has just fetched from the same seed. The seed knows
//! better: as long as there are pieces that nobody has, it suggests each of them to one peer alone, so that all of them come into the world
//! with little more than one upload. Unlike super-seeding (BEP 16) that hides nothing: whoever wants something else may ask for it.
//!
//! A piece that a peer keeps to itself is as good as lost to the swarm. So a piece counts as given once a third peer has it, whoever
//! passed it on is remembered for a while, and what was not passed on is suggested to somebody else.

use super::picker::PeerPieces;
use crate::{
    id::ConnectionId,
    rng::Rng,
    time::{Duration, Instant},
    util::Bitfield,
};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

/// Whether there is anything to suggest.
#[derive(Debug, Default)]
pub(crate) enum Suggesting {
    /// Nobody has fetched anything from us yet.
    #[default]
    NotYet,
    /// There are, or may soon be, pieces that nobody else has.
    Now(Box<Suggestions<ConnectionId>>),
    /// Every piece is in the world.
    Over,
}

/// Which pieces were suggested to whom. `P` is whatever names a peer for the caller.
#[derive(Debug)]
pub(crate) struct Suggestions<P> {
    /// Nobody has these but perhaps one who keeps them to himself, and they are suggested to nobody.
    unseen: Bitfield,
    /// What was suggested and neither sent nor seen; a few for each peer.
    open: BTreeMap<P, Vec<u32>>,
    /// Pieces that went to these peers, and that nobody has yet who did not get them from us.
    passing: BTreeMap<u32, Vec<P>>,
    /// The same pieces in the order in which they went.
    since: VecDeque<(Instant, u32)>,
    /// How many pieces each peer has passed on in this choke round and in the one before; peers that ever did stay here.
    passed: BTreeMap<P, [u32; 2]>,
}

/// Suggestions to one peer that are open: as much as it asks for ahead, or it would go on with what it thinks of itself.
const OPEN: usize = 4;

/// A piece is suggested to somebody else if for so long nobody got it from the one who has it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pieces that are looked at for one that a peer lacks.
const PROBES: usize = 16;

impl<P: Copy + Ord> Suggestions<P> {
    /// For pieces that nobody has.
    pub(crate) fn new(unseen: Bitfield) -> Suggestions<P> {
        let (open, passing, since, passed) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new(), BTreeMap::new());
        Suggestions { unseen, open, passing, since, passed }
    }

    /// Each piece has been seen at somebody who did not get it from us.
    pub(crate) fn is_over(&self) -> bool {
        self.unseen.is_empty() && self.open.is_empty() && self.passing.is_empty()
    }

    /// The next piece to suggest to `peer`, which fetches from us and `has` these already, if there is one: any of those that nobody has.
    pub(crate) fn next(&mut self, now: Instant, peer: P, has: PeerPieces<'_>, rng: &mut Rng) -> Option<u32> {
        while let Some((since, piece)) = self.since.front().copied()
            && now.since(since) >= PATIENCE
        {
            self.since.pop_front();
            if self.passing.remove(&piece).is_some() {
                self.unseen.set(piece);
            }
        }
        if self.unseen.is_empty() || self.open.get(&peer).is_some_and(|open| open.len() >= OPEN) {
            return None;
        }
        let mut from = rng.below(self.unseen.len().into()) as u32;
        for _ in 0..PROBES {
            let piece = self.unseen.first_from(from).or_else(|| self.unseen.first_from(0))?;
            if !has.contains(piece) {
                self.unseen.clear(piece);
                self.open.entry(peer).or_default().push(piece);
                return Some(piece);
            }
            from = piece.saturating_add(1);
        }
        None
    }

    /// All of `piece` has been sent to `peer`.
    pub(crate) fn sent(&mut self, now: Instant, piece: u32, peer: P) {
        if self.close(piece, peer) || self.unseen.clear(piece) {
            self.since.push_back((now, piece));
            self.passing.insert(piece, Vec::from([peer]));
        } else if let Some(holders) = self.passing.get_mut(&piece)
            && !holders.contains(&peer)
        {
            holders.push(peer);
        }
    }

    /// `peer` has `piece`. Who is due for his next suggestion, if it was suggested to somebody else.
    pub(crate) fn seen(&mut self, now: Instant, piece: u32, peer: P) -> Option<P> {
        if let Some(holders) = self.passing.get(&piece) {
            if !holders.contains(&peer) {
                // Of several nobody knows who it was.
                if let [passer] = holders[..] {
                    let passed = self.passed.entry(passer).or_default();
                    passed[0] = passed[0].saturating_add(1);
                }
                self.passing.remove(&piece);
            }
            return None;
        }
        if self.close(piece, peer) {
            self.passing.insert(piece, Vec::from([peer]));
            self.since.push_back((now, piece));
            return Some(peer);
        }
        self.unseen.clear(piece);
        let suggested_to = self.open.iter().find(|(_, open)| open.contains(&piece)).map(|(peer, _)| *peer)?;
        self.close(piece, suggested_to);
        Some(suggested_to)
    }

    /// Takes `piece` off what is suggested to `peer`; whether it was.
    fn close(&mut self, piece: u32, peer: P) -> bool {
        let Some(open) = self.open.get_mut(&peer) else { return false };
        let before = open.len();
        open.retain(|other| *other != piece);
        let was = open.len() < before;
        if open.is_empty() {
            self.open.remove(&peer);
        }
        was
    }

    /// `peer` will fetch nothing for now: others shall have what was suggested to it.
    pub(crate) fn unserved(&mut self, peer: P) {
        for piece in self.open.remove(&peer).unwrap_or_default() {
            self.unseen.set(piece);
        }
    }

    /// `peer` is gone, and with it what it alone had.
    pub(crate) fn gone(&mut self, peer: P) {
        self.unserved(peer);
        self.passed.remove(&peer);
        self.passing.retain(|piece, holders| {
            holders.retain(|holder| *holder != peer);
            if holders.is_empty() {
                self.unseen.set(*piece);
            }
            !holders.is_empty()
        });
    }

    /// How many pieces `peer` has passed on lately.
    pub(crate) fn passed_on(&self, peer: P) -> u32 {
        self.passed.get(&peer).map_or(0, |[now, before]| now.saturating_add(*before))
    }

    /// Whether `peer` has ever passed anything on.
    pub(crate) fn passes_on(&self, peer: P) -> bool {
        self.passed.contains_key(&peer)
    }

    /// A choke round has ended.
    pub(crate) fn end_round(&mut self) {
        self.passed.values_mut().for_each(|[now, before]| (*before, *now) = (*now, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;
    use alloc::collections::BTreeSet;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn suggestions(pieces: u32) -> (Suggestions<u32>, Rng, Bitfield) {
        (Suggestions::new(Bitfield::full(pieces)), Rng::new(Seed::from_u64(1)), Bitfield::new(pieces))
    }

    fn all(suggestions: &mut Suggestions<u32>, now: u64, peer: u32, has: &Bitfield, rng: &mut Rng) -> Vec<u32> {
        core::iter::from_fn(|| suggestions.next(at(now), peer, PeerPieces::Some(has), rng)).collect()
    }

    #[test]
    fn each_piece_is_suggested_to_one_peer_alone_and_a_few_at_a_time() {
        let (mut suggestions, mut rng, nothing) = suggestions(20);
        let mut seen = BTreeSet::new();
        for peer in 0..5 {
            let pieces = all(&mut suggestions, 0, peer, &nothing, &mut rng);
            assert_eq!(pieces.len(), 4);
            assert!(pieces.iter().all(|piece| seen.insert(*piece)));
        }
        assert_eq!(suggestions.next(at(0), 5, PeerPieces::Some(&nothing), &mut rng), None);
    }

    #[test]
    fn what_a_peer_did_not_fetch_is_suggested_to_others_unless_somebody_has_it() {
        let (mut suggestions, mut rng, nothing) = suggestions(2);
        let pieces = all(&mut suggestions, 0, 1, &nothing, &mut rng);
        assert_eq!(suggestions.seen(at(1), pieces[0], 3), Some(1));
        suggestions.unserved(1);
        assert_eq!(all(&mut suggestions, 1, 2, &nothing, &mut rng), [pieces[1]]);
    }

    #[test]
    fn a_piece_is_in_the_world_once_a_third_peer_has_it_and_who_passed_it_on_is_known() {
        let (mut suggestions, mut rng, nothing) = suggestions(1);
        assert_eq!(all(&mut suggestions, 0, 1, &nothing, &mut rng), [0]);
        suggestions.sent(at(1), 0, 1);
        assert_eq!(suggestions.seen(at(1), 0, 1), None);
        assert!(!suggestions.is_over());
        assert_eq!(suggestions.passed_on(1), 0);
        suggestions.seen(at(2), 0, 2);
        assert!(suggestions.is_over());
        assert_eq!(suggestions.passed_on(1), 1);
        suggestions.end_round();
        assert_eq!(suggestions.passed_on(1), 1);
        suggestions.end_round();
        assert_eq!(suggestions.passed_on(1), 0);
        assert!(suggestions.passes_on(1) && !suggestions.passes_on(2));
        suggestions.gone(1);
        assert!(!suggestions.passes_on(1));
    }

    #[test]
    fn who_got_it_from_us_does_not_show_that_somebody_passed_it_on() {
        let (mut suggestions, mut rng, nothing) = suggestions(1);
        all(&mut suggestions, 0, 1, &nothing, &mut rng);
        suggestions.sent(at(1), 0, 1);
        suggestions.sent(at(2), 0, 2);
        suggestions.seen(at(2), 0, 2);
        assert!(!suggestions.is_over());
        suggestions.seen(at(3), 0, 3);
        assert!(suggestions.is_over());
        assert_eq!([1, 2].map(|peer| suggestions.passed_on(peer)), [0, 0], "nobody knows which of them it was");
    }

    #[test]
    fn what_a_peer_keeps_to_itself_is_suggested_to_another() {
        let (mut suggestions, mut rng, nothing) = suggestions(1);
        all(&mut suggestions, 0, 1, &nothing, &mut rng);
        suggestions.sent(at(1), 0, 1);
        assert_eq!(all(&mut suggestions, 60, 2, &nothing, &mut rng), []);
        assert_eq!(all(&mut suggestions, 61, 1, &Bitfield::full(1), &mut rng), [], "it has it");
        assert_eq!(all(&mut suggestions, 61, 2, &nothing, &mut rng), [0]);
        suggestions.sent(at(62), 0, 2);
        suggestions.gone(2);
        assert_eq!(all(&mut suggestions, 63, 3, &nothing, &mut rng), [0], "it went with its only other holder");
    }
}
