//! The piece picker: which blocks are requested from which peer.
//!
//! A [`Picker`] belongs to one torrent. It knows how rare each piece is and how far each has come, and answers
//! [`Picker::pick`] by BEP 3's rules: begun pieces first, the first few pieces at random, then the rarest, and in endgame the last
//! missing blocks from several peers at once. It is a pure data structure: no time, no bytes, and randomness is handed in.
//!
//! # A piece's way
//!
//! *Fresh* pieces are wanted and not begun. The first request makes a piece *begun*; it is complete when all its blocks came, and
//! waits for [`Picker::piece_verified`] or [`Picker::piece_failed`]. A begun piece of which nothing is requested and nothing came
//! is fresh again.
//!
//! # Cost
//!
//! A `have`, a block that comes, a seed that joins or leaves: the same however many pieces and peers there are. A pick looks at
//! the begun pieces of which blocks are free (their number is limited), then at no more than [`PickerConfig::probes`] pieces in
//! order of rarity. If the peer has none of these, its own pieces are searched: a few words of its bitfield at a random place,
//! then the whole of it, but a [`PeerCursor`] remembers the part in which there was nothing, so that it is not searched again until
//! something changes.
//!
//! A torrent without peers holds a bit a piece, one with peers 8 bytes and a bit more, a complete one nothing.

mod availability;
mod begun;
mod choice;
mod ledger;
mod pieces;
#[cfg(test)]
mod properties;
mod runs;
#[cfg(test)]
mod tests;

pub use choice::{PeerCursor, Source, Speed};
pub use pieces::PeerPieces;

use super::geometry::{Block, Geometry};
use crate::{config::Config, util::Bitfield};
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec,
    vec::Vec,
};
use availability::Order;
use begun::Begun;
use smallvec::SmallVec;

/// Decides which blocks to request from which peer. `P` is whatever names a peer for the caller.
#[derive(Debug)]
pub struct Picker<P> {
    geometry: Geometry,
    config: PickerConfig,
    sequential: bool,
    keeps_gaps: bool,

    // What is so.
    /// The pieces that were verified; none once that is all of them.
    have: Option<Bitfield>,
    /// Empty as long as all are [`Priority::Normal`].
    priorities: Vec<Priority>,
    begun: BTreeMap<u32, Begun<P>>,
    /// Peers that hold every piece.
    seeds: u32,
    /// The other peers.
    leechers: u32,

    // What follows from it.
    /// Built for the first peer that holds a part, or the first pick; dropped with the last peer.
    order: Option<Box<Order>>,
    /// The begun pieces that have free blocks for anyone, by priority and then by how few blocks are free.
    open: BTreeSet<(Priority, u32, u32)>,
    /// The pieces that are kept for one peer.
    restricted: BTreeSet<(P, u32)>,
    /// Fresh pieces of [`Priority::High`].
    high: BTreeSet<u32>,
    /// How many pieces were verified since the picker is there: the clock by which pieces that lag behind are told.
    verifications: u32,
    /// Pieces that are fresh.
    fresh_count: u32,
    /// Pieces that are wanted and not verified.
    wanted_count: u32,
    /// Blocks of such pieces that have not come.
    missing_blocks: u64,
    /// Bytes of begun pieces that are not complete.
    begun_bytes: u64,
    /// Changes whenever a piece becomes fresh.
    epoch: u32,
    /// How many pieces and words the last pick looked at.
    #[cfg(test)]
    last_steps: u32,
}

/// How a [`Picker`] behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PickerConfig {
    /// Pieces fetched at random before the rarest come first. Default 4 (BEP 3): a newcomer has something to trade sooner if it
    /// does not start with what only few peers can send.
    pub random_first_pieces: u32,
    /// Bytes of begun pieces over which no further piece is begun, unless the peer has none of them. Complete ones do not count.
    /// Default 64 MiB.
    pub begun_limit: u64,
    /// Begun pieces with free blocks over which no further piece is begun, unless the peer has none of them. Default 256: bounds
    /// the search for one that suits a peer.
    pub open_limit: u32,
    /// Peers that may owe us the same block in endgame. Default 3.
    pub endgame_requests: u32,
    /// A block that was asked of a slower peer before this many pieces were verified is asked of a faster one, too, if sequential.
    /// Default 2.
    pub sequential_patience: u32,
    /// Pieces looked at in order of rarity before the peer's own are searched. Default 64: a peer that holds a tenth of the pieces
    /// is served by rarity in 999 of 1,000 picks.
    pub probes: u32,
}

impl Default for PickerConfig {
    fn default() -> PickerConfig {
        PickerConfig {
            random_first_pieces: 4,
            begun_limit: 64 << 20,
            open_limit: 256,
            endgame_requests: 3,
            sequential_patience: 2,
            probes: 64,
        }
    }
}

impl From<&Config> for PickerConfig {
    fn from(config: &Config) -> PickerConfig {
        PickerConfig {
            random_first_pieces: config.random_first_pieces,
            begun_limit: config.begun_limit,
            endgame_requests: config.endgame_requests,
            ..PickerConfig::default()
        }
    }
}

/// How much the owner wants a piece. The lesser comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Before all others.
    High,
    /// As it comes.
    #[default]
    Normal,
    /// After all others.
    Low,
    /// Not at all.
    Skip,
}

/// What a block that came is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<P> {
    /// It was not asked of this peer, or is no block of ours: drop it.
    Unrequested,
    /// It had come before: drop it.
    Duplicate,
    /// Keep it.
    New {
        /// It was the last one: the piece waits for its verification.
        piece_complete: bool,
        /// The other peers that were asked for it and should be told that it is no longer wanted.
        cancel: SmallVec<[P; 2]>,
    },
}

/// How far a begun piece has come, in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceProgress {
    /// The piece's index.
    pub piece: u32,
    /// How many blocks it has.
    pub blocks: u32,
    /// How many of them came.
    pub received: u32,
    /// How many of them are asked of someone.
    pub requested: u32,
}

/// How often the swarm holds its rarest pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rarest {
    /// How many peers hold each of the rarest pieces, seeds included, we not.
    pub availability: u32,
    /// How many pieces are as rare as that.
    pub pieces: u32,
}

impl<P: Copy + Ord> Picker<P> {
    /// A picker of which no piece is held; all are wanted.
    pub fn new(geometry: Geometry, config: PickerConfig) -> Picker<P> {
        Picker::resumed(geometry, config, Bitfield::new(geometry.piece_count()))
    }

    /// A picker of which the pieces `have` are verified already; the others are wanted. A bitfield of another length counts as
    /// empty.
    pub fn resumed(geometry: Geometry, config: PickerConfig, have: Bitfield) -> Picker<P> {
        let mut picker = Picker::seeding(geometry, config);
        let have = if have.len() == geometry.piece_count() { have } else { Bitfield::new(geometry.piece_count()) };
        if !have.is_full() {
            picker.have = Some(have);
            picker.recount();
        }
        picker
    }

    /// The picker of a complete torrent: it holds no tables.
    pub fn seeding(geometry: Geometry, config: PickerConfig) -> Picker<P> {
        Picker {
            geometry,
            config,
            sequential: false,
            keeps_gaps: false,
            have: None,
            priorities: Vec::new(),
            begun: BTreeMap::new(),
            seeds: 0,
            leechers: 0,
            order: None,
            open: BTreeSet::new(),
            restricted: BTreeSet::new(),
            high: BTreeSet::new(),
            verifications: 0,
            fresh_count: 0,
            wanted_count: 0,
            missing_blocks: 0,
            begun_bytes: 0,
            epoch: 0,
            #[cfg(test)]
            last_steps: 0,
        }
    }

    /// How the torrent is cut.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Takes pieces in their order rather than the rarest first: begun ones before fresh ones, those of [`Priority::High`] before the
    /// others; [`Priority::Low`] counts for nothing. Whoever reads along waits for the first missing block, so all peers help with the
    /// first piece, whatever their speed, and what a slow one holds up is asked of a faster one, too.
    pub fn set_sequential(&mut self, sequential: bool) {
        self.sequential = sequential;
    }

    /// Of equally rare pieces takes those at the end of a gap, so that gaps stay long for sources that fill them from the beginning (BEP 19).
    pub fn set_keeps_gaps(&mut self, keeps_gaps: bool) {
        self.keeps_gaps = keeps_gaps;
    }

    // Who has what.

    /// A peer tells what it holds: its bitfield, "have all", or an empty bitfield for one that told nothing.
    pub fn peer_joined(&mut self, has: PeerPieces<'_>) {
        if self.is_complete() {
            return;
        }
        match has {
            PeerPieces::Some(bitfield) if !bitfield.is_full() => {
                self.leechers += 1;
                if !bitfield.is_empty() {
                    self.order().shift(bitfield, true);
                }
            }
            _ => self.seeds += 1,
        }
    }

    /// A peer is gone that held `has` at last. What was asked of it is told by [`Picker::peer_gone`].
    pub fn peer_left(&mut self, has: PeerPieces<'_>) {
        match has {
            PeerPieces::Some(bitfield) if !bitfield.is_full() => {
                self.leechers = self.leechers.saturating_sub(1);
                if let Some(order) = &mut self.order {
                    order.shift(bitfield, false);
                }
            }
            _ => self.seeds = self.seeds.saturating_sub(1),
        }
        if self.seeds == 0 && self.leechers == 0 {
            self.order = None;
        }
    }

    /// A peer has one piece more: `has` is its bitfield with `piece` already in it. Tell each piece once.
    pub fn peer_has(&mut self, has: &Bitfield, piece: u32, cursor: &mut PeerCursor) {
        cursor.found(piece);
        if self.is_complete() || !self.is_piece(piece) {
            return;
        }
        let order = self.order();
        order.raise(piece);
        if has.is_full() {
            // Its holdings are no longer counted at each piece but once: it is a seed now.
            order.sink();
            self.seeds += 1;
            self.leechers = self.leechers.saturating_sub(1);
        }
    }

    /// A peer has one piece less (BEP 54): `has` is its bitfield with `piece` no longer in it. A seed needs its bitfield by then.
    pub fn peer_lost(&mut self, has: &Bitfield, piece: u32) {
        if self.is_complete() || !self.is_piece(piece) {
            return;
        }
        let was_seed = has.count().saturating_add(1) == has.len();
        let order = self.order();
        if was_seed {
            order.lift();
        }
        order.lower(piece);
        if was_seed {
            self.seeds = self.seeds.saturating_sub(1);
            self.leechers += 1;
        }
    }

    /// How many peers hold `piece`. Not known, and zero, once the torrent is complete.
    pub fn availability(&self, piece: u32) -> u32 {
        let level = self.order.as_ref().filter(|_| self.is_piece(piece)).map_or(0, |order| order.level(piece));
        self.seeds + level
    }

    /// How often the rarest pieces are held: the whole part of what others call distributed copies. Not known, and zero, once the
    /// torrent is complete.
    pub fn rarest(&self) -> Rarest {
        let (level, pieces) = self.order.as_ref().map_or((0, self.geometry.piece_count()), |order| order.lowest_level());
        Rarest { availability: self.seeds + level, pieces }
    }

    // What we have and want.

    /// The pieces that were verified.
    pub fn have(&self) -> PeerPieces<'_> {
        self.have.as_ref().map_or(PeerPieces::All, PeerPieces::Some)
    }

    /// Whether `piece` was verified.
    pub fn has(&self, piece: u32) -> bool {
        self.is_piece(piece) && self.have().contains(piece)
    }

    /// How many pieces were verified.
    pub fn have_count(&self) -> u32 {
        self.have.as_ref().map_or(self.geometry.piece_count(), Bitfield::count)
    }

    /// Whether every piece was verified, wanted or not.
    pub fn is_complete(&self) -> bool {
        self.have.is_none()
    }

    /// Whether every wanted piece was verified.
    pub fn is_finished(&self) -> bool {
        self.wanted_count == 0
    }

    /// Blocks of wanted pieces that have not come.
    pub fn missing_blocks(&self) -> u64 {
        self.missing_blocks
    }

    /// Bytes of pieces that were not verified, wanted or not: what trackers are told as `left`.
    pub fn missing_bytes(&self) -> u64 {
        let Some(have) = &self.have else { return 0 };
        let last = self.geometry.piece_count().saturating_sub(1);
        let shorter = if have.get(last) { 0 } else { self.geometry.piece_length() - self.geometry.piece_size(last) };
        u64::from(have.len() - have.count()) * u64::from(self.geometry.piece_length()) - u64::from(shorter)
    }

    /// How much `piece` is wanted.
    pub fn priority(&self, piece: u32) -> Priority {
        self.priorities.get(piece as usize).copied().unwrap_or_default()
    }

    /// Says how much `piece` is wanted. A begun piece stays begun, and what was asked for is still welcome. Peers' interest in
    /// it may change with [`Picker::wants`]. A complete torrent forgets priorities.
    pub fn set_priority(&mut self, piece: u32, priority: Priority) {
        if self.is_complete() || !self.is_piece(piece) || self.priority(piece) == priority {
            return;
        }
        if self.priorities.is_empty() {
            self.priorities = vec![Priority::default(); self.geometry.piece_count() as usize];
        }
        self.change(piece, |picker| picker.priorities[piece as usize] = priority);
    }

    /// Whether a peer that holds `piece` is interesting for it: it is wanted and not verified.
    pub fn wants(&self, piece: u32) -> bool {
        self.is_piece(piece) && !self.have().contains(piece) && self.priority(piece) != Priority::Skip
    }

    /// How many pieces of a peer are wanted and not verified. Looks at all pieces, so keep the number: it changes with each
    /// `have`, and for everyone who holds a piece with its verification and loss and with its priority.
    pub fn interesting_count(&self, has: PeerPieces<'_>) -> u32 {
        let Some(have) = &self.have else { return 0 };
        match has {
            PeerPieces::All => self.wanted_count,
            PeerPieces::Some(has) if self.priorities.is_empty() => {
                has.as_bytes().iter().zip(have.as_bytes()).map(|(has, have)| (has & !have).count_ones()).sum()
            }
            PeerPieces::Some(has) => has.iter().filter(|piece| self.wants(*piece)).count() as u32,
        }
    }

    // How pieces come and go.

    /// `peer` has sent `block`.
    pub fn received(&mut self, peer: P, block: Block) -> Received<P> {
        self.receive(peer, block, false)
    }

    /// `peer` has sent `block` after its request was released: it had timed out, say. The block is taken if it is still missing, but begins
    /// no piece beyond [`PickerConfig::begun_limit`]: nobody chose it, and whoever sends many such would fill the memory.
    pub fn received_late(&mut self, peer: P, block: Block) -> Received<P> {
        self.receive(peer, block, true)
    }

    /// The blocks of `piece` that `blocks` names came in an earlier session and need not be fetched. Does nothing if the piece is not
    /// wanted, or begun already; whether it did.
    pub fn restore(&mut self, piece: u32, blocks: &Bitfield) -> bool {
        if !self.wants(piece) || self.begun.contains_key(&piece) || blocks.is_empty() {
            return false;
        }
        let count = self.geometry.blocks_in(piece);
        self.change(piece, |picker| {
            let begun = picker.begun.entry(piece).or_insert_with(|| Begun::new(count, picker.verifications));
            blocks.iter().for_each(|index| begun.keep(index));
        });
        true
    }

    /// How far `piece` has come, if it is begun.
    pub fn progress(&self, piece: u32) -> Option<PieceProgress> {
        let begun = self.begun.get(&piece)?;
        let blocks = begun.len();
        Some(PieceProgress { piece, blocks, received: blocks - begun.missing(), requested: begun.requested() })
    }

    /// `peer` will not send `block` after all: it was rejected, cancelled or is overdue. Others may be asked for it. A piece that
    /// was kept for this peer no longer is, if nothing of it is asked of the peer any more.
    pub fn released(&mut self, peer: P, block: Block) {
        let Some(index) = self.geometry.index_of(block) else { return };
        self.change(block.piece, |picker| {
            let Some(begun) = picker.begun.get_mut(&block.piece) else { return };
            if begun.release(index, peer) && begun.restricted_to == Some(peer) && !begun.asks(peer) {
                begun.restricted_to = None;
            }
        });
    }

    /// `peer` is gone and will send none of `requested`. No piece is kept for it any more. Whether others may be asked for
    /// something now that they could not be asked for before.
    pub fn peer_gone(&mut self, peer: P, requested: impl IntoIterator<Item = Block>) -> bool {
        let kept: Vec<u32> = self.restricted_to(peer).collect();
        let mut freed = !kept.is_empty();
        for block in requested {
            freed = true;
            self.released(peer, block);
        }
        for piece in kept {
            self.restrict(piece, None);
        }
        freed
    }

    /// `piece` is verified and stored, or was found so on disk. Whether that is news.
    pub fn piece_verified(&mut self, piece: u32) -> bool {
        if !self.is_piece(piece) || self.have().contains(piece) {
            return false;
        }
        self.verifications = self.verifications.wrapping_add(1);
        self.change(piece, |picker| {
            picker.begun.remove(&piece);
            if let Some(have) = &mut picker.have {
                have.set(piece);
            }
        });
        if self.have.as_ref().is_some_and(Bitfield::is_full) {
            self.have = None;
            self.priorities = Vec::new();
            self.order = None;
            (self.seeds, self.leechers) = (0, 0);
        }
        true
    }

    /// All that came of `piece` is gone: its hash did not fit, or it could not be stored. It must be fetched again. Gives the
    /// peers whose blocks it was made of, ascending: if that is one, it is to blame.
    pub fn piece_failed(&mut self, piece: u32) -> SmallVec<[P; 4]> {
        let contributors = self.contributors(piece);
        if self.begun.contains_key(&piece) {
            self.change(piece, |picker| picker.begun.remove(&piece));
        }
        contributors
    }

    /// A verified piece is missing or damaged after all. If the torrent was complete, the availability of pieces is learned anew
    /// from what the connected `peers` hold; otherwise these are ignored.
    pub fn piece_lost<'a>(&mut self, piece: u32, peers: impl IntoIterator<Item = PeerPieces<'a>>) {
        if !self.has(piece) {
            return;
        }
        if self.have.is_none() {
            self.have = Some(Bitfield::full(self.geometry.piece_count()));
            for has in peers {
                self.peer_joined(has);
            }
        }
        self.change(piece, |picker| picker.have.as_mut().map(|have| have.clear(piece)));
    }

    /// Keeps what is missing of `piece` for one peer, or with `None` for nobody. After a failure this tells whether that peer is
    /// to blame. Ends by itself if the peer is gone or its last request in the piece is released.
    pub fn restrict(&mut self, piece: u32, peer: Option<P>) {
        let begins = peer.is_some() && self.wants(piece);
        if !begins && !self.begun.contains_key(&piece) {
            return;
        }
        let blocks = self.geometry.blocks_in(piece);
        self.change(piece, |picker| {
            picker.begun.entry(piece).or_insert_with(|| Begun::new(blocks, picker.verifications)).restricted_to = peer
        });
    }

    /// The one peer that `piece` is kept for, if it is for one.
    pub fn kept_for(&self, piece: u32) -> Option<P> {
        self.begun.get(&piece)?.restricted_to
    }

    /// The peers that sent blocks of `piece`, which is begun or complete and not yet verified: each once, ascending.
    pub fn contributors(&self, piece: u32) -> SmallVec<[P; 4]> {
        self.begun.get(&piece).map(Begun::contributors).unwrap_or_default()
    }

    /// The begun pieces, complete ones that wait for their verification included; ascending.
    pub fn begun(&self) -> impl Iterator<Item = PieceProgress> + '_ {
        self.begun.iter().map(|(piece, begun)| PieceProgress {
            piece: *piece,
            blocks: begun.len(),
            received: begun.len() - begun.missing(),
            requested: begun.requested(),
        })
    }

    /// Whether every missing block of wanted pieces is asked of someone, or kept for someone.
    pub fn endgame(&self) -> bool {
        self.missing_blocks > 0 && self.fresh_count == 0 && self.open.is_empty()
    }

    fn is_piece(&self, piece: u32) -> bool {
        piece < self.geometry.piece_count()
    }

    fn receive(&mut self, peer: P, block: Block, late: bool) -> Received<P> {
        let Some(index) = self.geometry.index_of(block) else { return Received::Unrequested };
        if self.has(block.piece) {
            return Received::Duplicate;
        }
        let may_begin = late && self.wants(block.piece) && self.begun_bytes < self.config.begun_limit;
        if !may_begin && !self.begun.contains_key(&block.piece) {
            return Received::Unrequested;
        }
        let blocks = self.geometry.blocks_in(block.piece);
        self.change(block.piece, |picker| {
            let begun = picker.begun.entry(block.piece).or_insert_with(|| Begun::new(blocks, picker.verifications));
            let late = late && begun.restricted_to.is_none_or(|only| only == peer);
            begun.receive(index, peer, late)
        })
    }

    /// The pieces that are kept for `peer`.
    fn restricted_to(&self, peer: P) -> impl Iterator<Item = u32> + '_ {
        self.restricted.range((peer, 0)..=(peer, u32::MAX)).map(|(_, piece)| *piece)
    }

    fn order(&mut self) -> &mut Order {
        let order = self.order.take();
        let order = order.unwrap_or_else(|| Box::new(Order::new(self.geometry.piece_count(), |piece| self.standing(piece).class)));
        self.order.insert(order)
    }
}
