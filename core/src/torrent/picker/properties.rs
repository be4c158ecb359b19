//! Random sequences of everything that can happen, against a model that recounts all.

use super::*;
use crate::{
    rng::{Rng, Seed},
    torrent::geometry::BLOCK_LENGTH,
};
use proptest::prelude::*;
use std::{vec, vec::Vec};

const PEERS: u32 = 5;

/// Something happens to a peer, a piece, a block, as far as these numbers make sense.
#[derive(Clone, Copy, Debug)]
enum Step {
    Join { peer: u32, density: u32 },
    Leave { peer: u32 },
    Have { peer: u32, piece: u32 },
    Lose { peer: u32, piece: u32 },
    Pick { peer: u32, count: usize, speed: Speed },
    Receive { peer: u32, nth: usize },
    Release { peer: u32, nth: usize },
    ReceiveLate { peer: u32, piece: u32, index: u32 },
    Verify { nth: usize },
    Fail { nth: usize, restrict_to: Option<u32> },
    Vanish { piece: u32 },
    Prefer { piece: u32, priority: Priority },
    Sequential(bool),
}

fn step(pieces: u32, blocks: u32) -> impl Strategy<Value = Step> {
    let speed = prop::sample::select(vec![Speed::Slow, Speed::Medium, Speed::Fast]);
    let priority = prop::sample::select(vec![Priority::High, Priority::Normal, Priority::Low, Priority::Skip]);
    let (peer, piece) = (0..PEERS, 0..pieces + 1);
    prop_oneof![
        3 => (peer.clone(), 0u32..=4).prop_map(|(peer, density)| Step::Join { peer, density }),
        1 => peer.clone().prop_map(|peer| Step::Leave { peer }),
        4 => (peer.clone(), piece.clone()).prop_map(|(peer, piece)| Step::Have { peer, piece }),
        1 => (peer.clone(), piece.clone()).prop_map(|(peer, piece)| Step::Lose { peer, piece }),
        12 => (peer.clone(), 1usize..6, speed).prop_map(|(peer, count, speed)| Step::Pick { peer, count, speed }),
        16 => (peer.clone(), any::<usize>()).prop_map(|(peer, nth)| Step::Receive { peer, nth }),
        3 => (peer.clone(), any::<usize>()).prop_map(|(peer, nth)| Step::Release { peer, nth }),
        1 => (peer.clone(), piece.clone(), 0..blocks).prop_map(|(peer, piece, index)| Step::ReceiveLate { peer, piece, index }),
        3 => any::<usize>().prop_map(|nth| Step::Verify { nth }),
        1 => (any::<usize>(), prop::option::of(peer)).prop_map(|(nth, restrict_to)| Step::Fail { nth, restrict_to }),
        1 => piece.clone().prop_map(|piece| Step::Vanish { piece }),
        1 => (piece, priority).prop_map(|(piece, priority)| Step::Prefer { piece, priority }),
        1 => any::<bool>().prop_map(Step::Sequential),
    ]
}

#[derive(Clone, Debug, Default)]
struct ModelBlock {
    asked: Vec<u32>,
    from: Option<u32>,
}

#[derive(Clone, Debug, Default)]
struct ModelPiece {
    blocks: Vec<ModelBlock>,
    verified: bool,
    priority: Priority,
    kept_for: Option<u32>,
}

impl ModelPiece {
    fn wanted(&self) -> bool {
        !self.verified && self.priority != Priority::Skip
    }

    fn complete(&self) -> bool {
        !self.verified && self.blocks.iter().all(|block| block.from.is_some())
    }

    fn begun(&self) -> bool {
        !self.verified && (self.kept_for.is_some() || self.blocks.iter().any(|block| block.from.is_some() || !block.asked.is_empty()))
    }

    fn has_free(&self) -> bool {
        self.blocks.iter().any(|block| block.from.is_none() && block.asked.is_empty())
    }

    fn clear(&mut self) {
        self.blocks.fill(ModelBlock::default());
        self.kept_for = None;
    }
}

struct Peer {
    has: Bitfield,
    cursor: PeerCursor,
    /// What it still owes, by our books; the picker may have forgotten some of it when a piece failed.
    asked: Vec<Block>,
}

struct World {
    picker: Picker<u32>,
    rng: Rng,
    /// For the model's own choices.
    dice: Rng,
    peers: BTreeMap<u32, Peer>,
    pieces: Vec<ModelPiece>,
    log: Vec<(u32, Block)>,
}

impl World {
    fn new(pieces: u32, blocks: u32, config: PickerConfig, seed: u64) -> World {
        let length = blocks * BLOCK_LENGTH;
        // The last piece has a short block at its end.
        let geometry = Geometry::new(u64::from(pieces) * u64::from(length) - 1, length).unwrap();
        let pieces = (0..pieces)
            .map(|piece| ModelPiece { blocks: vec![ModelBlock::default(); geometry.blocks_in(piece) as usize], ..ModelPiece::default() });
        World {
            picker: Picker::new(geometry, config),
            rng: Rng::new(Seed::from_u64(seed)),
            dice: Rng::new(Seed::from_u64(!seed)),
            peers: BTreeMap::new(),
            pieces: pieces.collect(),
            log: vec![],
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join { peer, density } => self.join(peer, density),
            Step::Leave { peer } => self.leave(peer),
            Step::Have { peer, piece } => {
                if let Some(peer) = self.peers.get_mut(&peer)
                    && peer.has.set(piece)
                {
                    self.picker.peer_has(&peer.has, piece, &mut peer.cursor);
                }
            }
            Step::Lose { peer, piece } => {
                if let Some(peer) = self.peers.get_mut(&peer)
                    && peer.has.clear(piece)
                {
                    self.picker.peer_lost(&peer.has, piece);
                }
            }
            Step::Pick { peer, count, speed } => {
                self.pick(peer, count, speed);
            }
            Step::Receive { peer, nth } => self.receive(peer, nth),
            Step::Release { peer, nth } => {
                if let Some(block) = self.take_asked(peer, nth) {
                    self.picker.released(peer, block);
                    self.release(peer, block);
                }
            }
            Step::ReceiveLate { peer, piece, index } => self.receive_late(peer, piece, index),
            Step::Verify { nth } => {
                if let Some(piece) = self.nth_complete(nth) {
                    assert!(self.picker.piece_verified(piece));
                    self.pieces[piece as usize].clear();
                    self.pieces[piece as usize].verified = true;
                }
            }
            Step::Fail { nth, restrict_to } => {
                if let Some(piece) = self.nth_complete(nth) {
                    let model = &mut self.pieces[piece as usize];
                    let blamed: BTreeSet<_> = model.blocks.iter().filter_map(|block| block.from).collect();
                    model.clear();
                    assert!(self.picker.piece_failed(piece).into_iter().eq(blamed));
                    if let Some(peer) = restrict_to.filter(|peer| self.peers.contains_key(peer)) {
                        self.picker.restrict(piece, Some(peer));
                        let model = &mut self.pieces[piece as usize];
                        model.kept_for = model.wanted().then_some(peer);
                    }
                }
            }
            Step::Vanish { piece } => {
                let peers = self.peers.values().map(|peer| PeerPieces::Some(&peer.has));
                self.picker.piece_lost(piece, peers);
                if let Some(piece) = self.pieces.get_mut(piece as usize) {
                    piece.verified = false;
                }
            }
            Step::Prefer { piece, priority } => {
                if !self.picker.is_complete() {
                    self.picker.set_priority(piece, priority);
                    if let Some(piece) = self.pieces.get_mut(piece as usize) {
                        piece.priority = priority;
                    }
                }
            }
            Step::Sequential(sequential) => self.picker.set_sequential(sequential),
        }
        if self.picker.is_complete() {
            self.pieces.iter_mut().for_each(|piece| piece.priority = Priority::Normal);
        }
        self.check();
    }

    fn join(&mut self, name: u32, density: u32) {
        self.leave(name);
        let mut has = Bitfield::new(self.pieces.len() as u32);
        for piece in 0..has.len() {
            if self.dice.below(4) < u64::from(density) {
                has.set(piece);
            }
        }
        self.picker.peer_joined(if density == 4 { PeerPieces::All } else { PeerPieces::Some(&has) });
        self.peers.insert(name, Peer { has, cursor: PeerCursor::default(), asked: vec![] });
    }

    fn leave(&mut self, name: u32) {
        let Some(peer) = self.peers.remove(&name) else { return };
        self.picker.peer_left(PeerPieces::Some(&peer.has));
        self.picker.peer_gone(name, peer.asked.iter().copied());
        for block in peer.asked {
            self.release(name, block);
        }
        for piece in self.pieces.iter_mut().filter(|piece| piece.kept_for == Some(name)) {
            piece.kept_for = None;
        }
    }

    fn pick(&mut self, name: u32, count: usize, speed: Speed) -> usize {
        let Some(peer) = self.peers.get_mut(&name) else { return 0 };
        let mut picked = vec![];
        let source = Source { peer: name, has: PeerPieces::Some(&peer.has), speed };
        let (endgame, mut twice) = (self.picker.endgame(), false);
        self.picker.pick(&source, &mut peer.cursor, count, &mut self.rng, &mut picked);
        assert!(picked.len() <= count);
        for block in &picked {
            let index = self.picker.geometry().index_of(*block).unwrap() as usize;
            let piece = &mut self.pieces[block.piece as usize];
            assert!(piece.wanted() && peer.has.get(block.piece), "{block:?} is not of use or not there");
            assert!(piece.kept_for.is_none_or(|only| only == name), "{block:?} is kept for another");
            let asked = &mut piece.blocks[index].asked;
            assert!(!asked.contains(&name), "{block:?} twice of the same peer");
            assert!(asked.is_empty() || asked.len() < self.picker.config.endgame_requests as usize);
            assert!(!endgame || !asked.is_empty() || piece.kept_for == Some(name), "free block in endgame");
            asked.push(name);
            twice |= asked.len() > 1;
            assert!(piece.blocks[index].from.is_none());
            peer.asked.push(*block);
            self.log.push((name, *block));
        }
        assert!(!twice || self.nothing_free() || self.picker.sequential, "a block twice before endgame");
        if picked.len() < count {
            let peer = &self.peers[&name];
            let useful =
                |piece: &&(u32, &ModelPiece)| piece.1.wanted() && peer.has.get(piece.0) && piece.1.kept_for.is_none_or(|only| only == name);
            let pieces: Vec<_> = (0..).zip(&self.pieces).collect();
            let begun = pieces.iter().filter(|piece| piece.1.begun()).filter(useful);
            assert!(begun.clone().all(|piece| !piece.1.has_free()), "a begun piece was overlooked");
            let holds_begun = begun.clone().any(|piece| !piece.1.complete());
            if !(holds_begun && self.at_limit()) {
                assert!(!pieces.iter().filter(useful).any(|piece| piece.1.has_free()), "a fresh piece was overlooked");
            }
        }
        picked.len()
    }

    fn receive(&mut self, name: u32, nth: usize) {
        let Some(block) = self.take_asked(name, nth) else { return };
        let index = self.picker.geometry().index_of(block).unwrap() as usize;
        let piece = &mut self.pieces[block.piece as usize];
        let model = &mut piece.blocks[index];
        let expected = if piece.verified || model.from.is_some() {
            Received::Duplicate
        } else if model.asked.contains(&name) {
            model.asked.retain(|other| *other != name);
            model.from = Some(name);
            let cancel = core::mem::take(&mut model.asked);
            Received::New { piece_complete: piece.complete(), cancel: cancel.into() }
        } else {
            Received::Unrequested
        };
        assert_eq!(self.picker.received(name, block), expected);
        if let Received::New { cancel, .. } = expected {
            for other in cancel {
                self.peers.get_mut(&other).unwrap().asked.retain(|asked| *asked != block);
            }
        }
    }

    fn receive_late(&mut self, name: u32, piece: u32, index: u32) {
        let Some(block) = self.picker.geometry().block(piece, index) else { return };
        let model = &mut self.pieces[piece as usize];
        let asked = model.blocks[index as usize].asked.contains(&name);
        let may_begin = self.picker.begun_bytes < self.picker.config.begun_limit;
        let welcome = ((model.wanted() && may_begin) || model.begun()) && model.kept_for.is_none_or(|only| only == name);
        let received = self.picker.received_late(name, block);
        match received {
            Received::Duplicate => assert!(model.verified || model.blocks[index as usize].from.is_some()),
            Received::Unrequested => assert!(!welcome && !asked),
            Received::New { piece_complete, cancel } => {
                assert!(welcome || asked);
                let mut others = core::mem::take(&mut model.blocks[index as usize].asked);
                others.retain(|other| *other != name);
                assert_eq!(cancel.to_vec(), others);
                model.blocks[index as usize].from = Some(name);
                assert_eq!(piece_complete, model.complete());
                for peer in self.peers.values_mut() {
                    peer.asked.retain(|asked| *asked != block);
                }
            }
        }
    }

    /// The model's side of a release.
    fn release(&mut self, name: u32, block: Block) {
        let index = self.picker.geometry().index_of(block).unwrap() as usize;
        let piece = &mut self.pieces[block.piece as usize];
        let asked = &mut piece.blocks[index].asked;
        let released = asked.contains(&name);
        asked.retain(|other| *other != name);
        if released && piece.kept_for == Some(name) && !piece.blocks.iter().any(|block| block.asked.contains(&name)) {
            piece.kept_for = None;
        }
    }

    fn take_asked(&mut self, name: u32, nth: usize) -> Option<Block> {
        let peer = self.peers.get_mut(&name)?;
        let at = nth.checked_rem(peer.asked.len())?;
        Some(peer.asked.remove(at))
    }

    fn nth_complete(&self, nth: usize) -> Option<u32> {
        let complete: Vec<_> = (0..).zip(&self.pieces).filter(|(_, piece)| piece.complete()).map(|(piece, _)| piece).collect();
        complete.get(nth.checked_rem(complete.len())?).copied()
    }

    fn nothing_free(&self) -> bool {
        self.pieces.iter().all(|piece| !piece.wanted() || !piece.has_free() || piece.kept_for.is_some())
    }

    fn at_limit(&self) -> bool {
        let incomplete = (0..).zip(&self.pieces).filter(|(_, piece)| piece.wanted() && piece.begun() && !piece.complete());
        let bytes: u64 = incomplete.map(|(piece, _)| u64::from(self.picker.geometry().piece_size(piece))).sum();
        let open = self.pieces.iter().filter(|piece| piece.wanted() && piece.begun() && piece.has_free() && piece.kept_for.is_none());
        bytes >= self.picker.config.begun_limit || open.count() >= self.picker.config.open_limit as usize
    }

    fn check(&self) {
        self.picker.assert_consistent();
        let missing = self.pieces.iter().filter(|piece| piece.wanted()).flat_map(|piece| &piece.blocks);
        let missing = missing.filter(|block| block.from.is_none()).count();
        assert_eq!(self.picker.missing_blocks(), missing as u64);
        assert_eq!(self.picker.endgame(), missing > 0 && self.nothing_free());
        assert_eq!(self.picker.is_complete(), self.pieces.iter().all(|piece| piece.verified));
        assert_eq!(self.picker.is_finished(), !self.pieces.iter().any(|piece| piece.wanted()));
        let begun = (0..).zip(&self.pieces).filter(|(_, piece)| piece.begun()).map(|(piece, _)| piece);
        assert!(self.picker.begun().map(|begun| begun.piece).eq(begun));
        let mut left = 0;
        let holders = |piece| self.peers.values().filter(|peer| peer.has.get(piece)).count() as u32;
        for (piece, model) in (0..).zip(&self.pieces) {
            assert_eq!(self.picker.has(piece), model.verified);
            assert_eq!(self.picker.wants(piece), model.wanted());
            left += if model.verified { 0 } else { u64::from(self.picker.geometry().piece_size(piece)) };
            if !self.picker.is_complete() {
                assert_eq!(self.picker.availability(piece), holders(piece));
            }
        }
        assert_eq!(self.picker.missing_bytes(), left);
        if !self.picker.is_complete() {
            let all: Vec<_> = (0..self.pieces.len() as u32).map(holders).collect();
            let availability = all.iter().copied().min().unwrap_or(0);
            let pieces = all.iter().filter(|holders| **holders == availability).count() as u32;
            assert_eq!(self.picker.rarest(), Rarest { availability, pieces });
        }
        for peer in self.peers.values() {
            let count = (0..).zip(&self.pieces).filter(|(piece, model)| model.wanted() && peer.has.get(*piece)).count();
            assert_eq!(self.picker.interesting_count(PeerPieces::Some(&peer.has)), count as u32);
        }
    }

    /// A seed, alone and well-behaved, sends all that is missing.
    fn finish(&mut self) {
        for name in 0..PEERS {
            self.leave(name);
        }
        self.join(0, 4);
        self.check();
        let missing = self.picker.missing_blocks();
        let mut picks = 0;
        while !self.picker.is_finished() {
            let picked = self.pick(0, 3, Speed::Fast);
            picks += picked as u64;
            let complete = self.pieces.iter().any(|piece| piece.wanted() && piece.complete());
            assert!(picked > 0 || complete, "nothing is under way and nothing is picked");
            for _ in 0..picked {
                self.receive(0, 0);
            }
            while let Some(piece) = (0..).zip(&self.pieces).find(|(_, piece)| piece.complete()).map(|(piece, _)| piece) {
                self.picker.piece_verified(piece);
                self.pieces[piece as usize].clear();
                self.pieces[piece as usize].verified = true;
            }
            self.check();
        }
        assert_eq!(picks, missing, "each block once");
    }
}

fn scenario() -> impl Strategy<Value = (u32, u32, PickerConfig, u64, Vec<Step>)> {
    let config = (0u32..3, prop_oneof![Just(u64::MAX), 0u64..200_000], 1u32..200, 1u32..4, 0u32..10, 0u32..3).prop_map(
        |(random_first_pieces, begun_limit, open_limit, endgame_requests, probes, sequential_patience)| PickerConfig {
            random_first_pieces,
            begun_limit,
            open_limit,
            endgame_requests,
            probes,
            sequential_patience,
        },
    );
    (1u32..150, 1u32..5, config, any::<u64>()).prop_flat_map(|(pieces, blocks, config, seed)| {
        // Small torrents reach their end within the steps.
        let pieces = if seed % 4 == 0 { pieces } else { pieces % 8 + 1 };
        (Just(pieces), Just(blocks), Just(config), Just(seed), prop::collection::vec(step(pieces, blocks), 0..200))
    })
}

proptest! {
    #[test]
    fn behaves_like_the_model((pieces, blocks, config, seed, steps) in scenario()) {
        let mut world = World::new(pieces, blocks, config, seed);
        for step in steps {
            world.step(step);
        }
        world.finish();
    }

    #[test]
    fn same_seed_and_same_steps_pick_the_same((pieces, blocks, config, seed, steps) in scenario()) {
        let run = || {
            let mut world = World::new(pieces, blocks, config, seed);
            steps.iter().for_each(|step| world.step(*step));
            world.log
        };
        prop_assert_eq!(run(), run());
    }
}
