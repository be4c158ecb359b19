use super::fetch::piece_length;
use crate::{metainfo::InfoHash, time::Instant, wire::extension::METADATA_PIECE_LENGTH};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use bytes::{Bytes, BytesMut};
use core::cmp::Reverse;
use sha1::{Digest, Sha1};

/// Metadata of one claimed length: who claims it, and what came of it.
#[derive(Debug)]
pub(super) struct Candidate<P> {
    size: u32,
    /// Who claims this length. Liars are not among them.
    members: BTreeSet<P>,
    /// How often it was given up or turned out wrong.
    attempts: u32,
    /// Several peers together sent bytes that do not fit: now one at a time has to send all.
    alone: bool,
    /// Only while it is pursued.
    attempt: Option<Attempt<P>>,
}

#[derive(Debug)]
struct Attempt<P> {
    expires: Instant,
    /// What came from whom.
    copies: BTreeMap<P, BTreeMap<u32, Box<[u8]>>>,
    /// Bytes in all copies.
    stored: u64,
    /// The peer that has to send all, where one has.
    lone_peer: Option<P>,
    /// For each piece, of how many peers it is asked now, or [`HAVE`]. Where one peer has to send all, it alone counts.
    askers: Vec<u8>,
    /// Pieces that are not there.
    missing: usize,
}

/// The piece is there.
const HAVE: u8 = u8::MAX;

impl<P: Copy + Ord> Candidate<P> {
    pub(super) fn new(size: u32) -> Candidate<P> {
        Candidate { size, members: BTreeSet::new(), attempts: 0, alone: false, attempt: None }
    }

    pub(super) fn join(&mut self, peer: P) {
        self.members.insert(peer);
    }

    /// The peer is gone. As long as no one is suspected, its pieces stay: the next peer may complete them.
    pub(super) fn leave(&mut self, peer: P) {
        if self.alone {
            self.discard(peer);
        }
        self.members.remove(&peer);
        if let Some(attempt) = &mut self.attempt
            && attempt.lone_peer == Some(peer)
        {
            attempt.lone_peer = None;
        }
    }

    /// The peer lies: neither it nor its pieces count any more.
    pub(super) fn discard(&mut self, peer: P) {
        self.members.remove(&peer);
        let Some(attempt) = &mut self.attempt else { return };
        let copy = attempt.copies.remove(&peer).unwrap_or_default();
        attempt.stored = attempt.stored.saturating_sub(copy.values().map(|data| data.len() as u64).sum());
        if attempt.lone_peer == Some(peer) {
            attempt.lone_peer = None;
        }
        if !self.alone {
            for piece in copy.into_keys() {
                attempt.lose(piece);
            }
        }
    }

    /// Whether there is nothing to keep it for.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.attempt.as_ref().is_none_or(|attempt| attempt.copies.is_empty())
    }

    pub(super) fn has_peers(&self) -> bool {
        !self.members.is_empty()
    }

    /// How many peers claim it.
    pub(super) fn peers(&self) -> usize {
        self.members.len()
    }

    pub(super) fn members(&self) -> impl Iterator<Item = P> + '_ {
        self.members.iter().copied()
    }

    /// How often it was given up or turned out wrong.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(super) fn is_pursued(&self) -> bool {
        self.attempt.is_some()
    }

    /// When it gives its place up to others that wait.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.attempt.as_ref().map(|attempt| attempt.expires)
    }

    /// The most bytes that it stores: with a suspicion, one peer's pieces beside all earlier ones.
    pub(super) fn memory(&self) -> u64 {
        u64::from(self.size).saturating_mul(2)
    }

    pub(super) fn pursue(&mut self, expires: Instant) {
        let pieces = self.size.div_ceil(METADATA_PIECE_LENGTH) as usize;
        self.attempt =
            Some(Attempt { expires, copies: BTreeMap::new(), stored: 0, lone_peer: None, askers: alloc::vec![0; pieces], missing: pieces });
    }

    pub(super) fn give_up(&mut self) {
        self.attempt = None;
        self.attempts = self.attempts.saturating_add(1);
    }

    /// From now on one peer has to send all. What came before is kept, for it is still one peer's word each.
    pub(super) fn go_alone(&mut self) {
        self.alone = true;
        self.attempts = self.attempts.saturating_add(1);
        if let Some(attempt) = &mut self.attempt {
            attempt.copies.retain(|peer, _| self.members.contains(peer));
            attempt.stored = attempt.copies.values().flat_map(BTreeMap::values).map(|data| data.len() as u64).sum();
            attempt.lone_peer = None;
        }
    }

    /// Makes sure that, where one peer has to send all, it is one that may be asked, which is to say that it has an `arrival`: of those the
    /// one that has sent the most, and then the one that came first.
    pub(super) fn choose_lone_peer(&mut self, arrival: impl Fn(P) -> Option<u64>) {
        let Some(attempt) = self.attempt.as_mut().filter(|_| self.alone) else { return };
        if attempt.lone_peer.is_some_and(|peer| arrival(peer).is_some()) {
            return;
        }
        let sent = |peer: P| attempt.copies.get(&peer).map_or(0, BTreeMap::len);
        let able = self.members.iter().filter_map(|peer| Some((sent(*peer), Reverse(arrival(*peer)?), *peer)));
        let Some((_, _, best)) = able.max() else { return };
        attempt.lone_peer = Some(best);
        attempt.askers.fill(0);
        attempt.missing = attempt.askers.len();
        let copy = attempt.copies.get(&best);
        let pieces: Vec<u32> = copy.into_iter().flat_map(BTreeMap::keys).copied().collect();
        pieces.into_iter().for_each(|piece| attempt.gain(piece));
    }

    /// The peers that may be asked for pieces.
    pub(super) fn sources(&self) -> impl Iterator<Item = P> + '_ {
        let lone = self.attempt.as_ref().and_then(|attempt| attempt.lone_peer);
        let all = self.members.iter().copied().filter(|_| !self.alone);
        lone.filter(|_| self.alone).into_iter().chain(all)
    }

    /// The piece that is asked of the fewest peers, if these are fewer than `limit`, of those that `may_be_asked` for.
    pub(super) fn next_piece(&self, limit: u8, may_be_asked: impl Fn(u32) -> bool) -> Option<u32> {
        let attempt = self.attempt.as_ref().filter(|attempt| attempt.missing > 0)?;
        let pieces = attempt.askers.iter().zip(0u32..).filter(|(askers, _)| **askers < limit);
        let mut best: Option<(u8, u32)> = None;
        for (askers, piece) in pieces {
            if best.is_none_or(|(least, _)| *askers < least) && may_be_asked(piece) {
                best = Some((*askers, piece));
                if *askers == 0 {
                    break;
                }
            }
        }
        best.map(|(_, piece)| piece)
    }

    /// The peer is asked for the piece now.
    pub(super) fn asked(&mut self, peer: P, piece: u32) {
        self.count(peer, piece, |askers| askers.saturating_add(1).min(HAVE - 1));
    }

    /// The peer is not asked for the piece any more.
    pub(super) fn given_up(&mut self, peer: P, piece: u32) {
        self.count(peer, piece, |askers| askers.saturating_sub(1));
    }

    /// The peer sent the piece, which has the right length.
    pub(super) fn store(&mut self, peer: P, piece: u32, data: &[u8]) {
        let (limit, alone) = (self.memory(), self.alone);
        let Some(attempt) = &mut self.attempt else { return };
        let Some(askers) = attempt.askers.get(piece as usize) else { return };
        if !alone && *askers == HAVE {
            return;
        }
        if attempt.stored.saturating_add(data.len() as u64) > limit {
            // Only the one that has to send all is worth the memory.
            attempt.copies.retain(|other, _| *other == peer || Some(*other) == attempt.lone_peer);
            attempt.stored = attempt.copies.values().flat_map(BTreeMap::values).map(|data| data.len() as u64).sum();
        }
        let copy = attempt.copies.entry(peer).or_default();
        if copy.insert(piece, data.into()).is_none() {
            attempt.stored = attempt.stored.saturating_add(data.len() as u64);
        }
        if !alone || attempt.lone_peer == Some(peer) {
            attempt.gain(piece);
        }
    }

    /// All of it, if `peer` sent the last piece that was missing.
    pub(super) fn complete(&self, peer: P) -> Option<Whole<'_, P>> {
        let attempt = self.attempt.as_ref()?;
        let count = attempt.askers.len();
        let complete = if self.alone { attempt.copies.get(&peer)?.len() == count } else { attempt.missing == 0 };
        if !complete {
            return None;
        }
        let mut pieces = BTreeMap::new();
        for (sender, copy) in attempt.copies.iter().filter(|(sender, _)| !self.alone || **sender == peer) {
            pieces.extend(copy.iter().map(|(piece, data)| (*piece, (*sender, &data[..]))));
        }
        (pieces.len() == count).then_some(Whole(pieces))
    }

    /// Who sent something else than the truth, `metadata`.
    pub(super) fn liars(&self, metadata: &[u8]) -> Vec<P> {
        let true_piece = |piece: u32| {
            let start = piece.saturating_mul(METADATA_PIECE_LENGTH) as usize;
            metadata.get(start..start.saturating_add(piece_length(self.size, piece) as usize))
        };
        let copies = self.attempt.iter().flat_map(|attempt| &attempt.copies);
        let lying = copies.filter(|(_, copy)| copy.iter().any(|(piece, data)| true_piece(*piece) != Some(data)));
        lying.map(|(peer, _)| *peer).collect()
    }

    fn count(&mut self, peer: P, piece: u32, change: impl Fn(u8) -> u8) {
        let Some(attempt) = &mut self.attempt else { return };
        if (!self.alone || attempt.lone_peer == Some(peer))
            && let Some(askers) = attempt.askers.get_mut(piece as usize).filter(|askers| **askers != HAVE)
        {
            *askers = change(*askers);
        }
    }
}

impl<P> Attempt<P> {
    fn gain(&mut self, piece: u32) {
        if let Some(askers) = self.askers.get_mut(piece as usize).filter(|askers| **askers != HAVE) {
            *askers = HAVE;
            self.missing = self.missing.saturating_sub(1);
        }
    }

    fn lose(&mut self, piece: u32) {
        if let Some(askers) = self.askers.get_mut(piece as usize).filter(|askers| **askers == HAVE) {
            *askers = 0;
            self.missing = self.missing.saturating_add(1);
        }
    }
}

/// Every piece, and who sent it.
pub(super) struct Whole<'a, P>(BTreeMap<u32, (P, &'a [u8])>);

impl<P: Copy + Ord> Whole<'_, P> {
    pub(super) fn info_hash(&self) -> InfoHash {
        let mut hash = Sha1::new();
        self.0.values().for_each(|(_, data)| hash.update(data));
        InfoHash(hash.finalize().into())
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        self.0.values().for_each(|(_, data)| bytes.extend_from_slice(data));
        bytes.freeze()
    }

    pub(super) fn only_contributor(&self) -> Option<P> {
        let (first, _) = self.0.values().next()?;
        self.0.values().all(|(peer, _)| peer == first).then_some(*first)
    }
}
