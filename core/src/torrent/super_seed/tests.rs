use super::*;
use crate::rng::{Purpose, Rng, Seed};
use proptest::prelude::*;

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

/// Peers that have nothing, and what each is offered.
fn offered(pieces: u32, peers: u32) -> (SuperSeed<u32>, Vec<Option<u32>>) {
    let mut seed = SuperSeed::new(pieces, SuperSeedConfig::default());
    (0..peers).for_each(|peer| seed.peer_joined(at(0), peer));
    (0..peers).for_each(|peer| seed.peer_ready(peer));
    let offers = (0..peers).map(|peer| seed.offer(at(0), peer)).collect();
    (seed, offers)
}

#[test]
fn each_peer_is_offered_one_piece_and_each_another() {
    let (mut seed, offers) = offered(10, 4);
    assert_eq!(offers, [Some(0), Some(1), Some(2), Some(3)]);
    assert_eq!((0..4).map(|peer| seed.offer(at(0), peer)).collect::<Vec<_>>(), [None; 4]);
    assert!(seed.may_ask(1, 1) && !seed.may_ask(1, 0) && seed.poses_to(1));
}

#[test]
fn nothing_is_offered_to_a_peer_before_it_is_known_what_it_has() {
    let mut seed = SuperSeed::new(3, SuperSeedConfig::default());
    seed.peer_joined(at(0), 1);
    assert_eq!((seed.poll(), seed.offer(at(0), 1)), (None, None));
    seed.peer_has(at(0), 1, 0);
    seed.peer_ready(1);
    assert_eq!((seed.poll(), seed.offer(at(0), 1)), (Some(1), Some(1)));
}

#[test]
fn the_next_piece_comes_when_another_peer_has_the_last_one() {
    let (mut seed, _) = offered(10, 2);
    while seed.poll().is_some() {}
    seed.peer_has(at(1), 0, 0);
    assert_eq!((seed.poll(), seed.offer(at(1), 0)), (None, None), "it is to give it on first");
    seed.peer_has(at(2), 1, 0);
    assert_eq!((seed.poll(), seed.offer(at(2), 0)), (Some(0), Some(2)));
    assert_eq!(seed.offer(at(2), 1), None, "it has not fetched its own");
}

#[test]
fn who_gets_its_piece_when_others_have_it_already_goes_on_at_once() {
    let (mut seed, _) = offered(10, 2);
    seed.peer_has(at(1), 1, 0);
    seed.peer_has(at(2), 0, 0);
    assert_eq!(seed.offer(at(2), 0), Some(2));
}

#[test]
fn a_lone_leecher_gets_one_piece_after_the_other() {
    let (mut seed, _) = offered(3, 1);
    for next in 1..3 {
        seed.peer_has(at(1), 0, next - 1);
        assert_eq!(seed.offer(at(1), 0), Some(next));
    }
    seed.peer_has(at(1), 0, 2);
    assert!(seed.has_company());
    assert_eq!(seed.offer(at(1), 0), None);
}

#[test]
fn who_is_left_alone_goes_on() {
    let (mut seed, _) = offered(10, 2);
    seed.peer_has(at(1), 0, 0);
    seed.peer_left(1);
    // What the other was offered is free again.
    assert_eq!(seed.offer(at(1), 0), Some(1));
}

#[test]
fn a_piece_that_does_not_spread_keeps_its_owner_waiting_for_half_a_minute_only() {
    let (mut seed, _) = offered(10, 2);
    while seed.poll().is_some() {}
    seed.peer_has(at(1), 0, 0);
    assert_eq!(seed.next_deadline(), Some(at(31)));
    seed.handle_timeout(at(31));
    assert_eq!((seed.poll(), seed.offer(at(31), 0)), (Some(0), Some(2)));
}

#[test]
fn a_piece_that_is_not_fetched_is_offered_to_others_and_may_still_be_asked_for() {
    let (mut seed, _) = offered(2, 2);
    seed.served(at(50), 0);
    seed.handle_timeout(at(120));
    assert_eq!(seed.offer(at(120), 0), None, "it was sent something in between");
    assert_eq!(seed.offer(at(120), 1), None, "the other piece is on its way");
    seed.handle_timeout(at(170));
    assert_eq!(seed.offer(at(170), 1), Some(0));
    assert!(seed.may_ask(0, 0) && seed.may_ask(1, 1));
}

#[test]
fn what_everyone_can_have_of_others_is_offered_only_to_who_waits_for_it() {
    let (mut seed, _) = offered(2, 2);
    seed.peer_has(at(1), 0, 0);
    seed.peer_has(at(1), 1, 0);
    while seed.poll().is_some() {}
    assert_eq!(seed.offer(at(1), 0), None, "the other piece is being fetched by another");
    seed.handle_timeout(at(31));
    assert_eq!((seed.poll(), seed.offer(at(31), 0)), (Some(0), Some(1)));
}

#[test]
fn a_piece_whose_only_owner_leaves_goes_to_who_starves() {
    let (mut seed, _) = offered(2, 3);
    assert_eq!(seed.offer(at(0), 2), None);
    while seed.poll().is_some() {}
    seed.peer_left(1);
    assert_eq!((seed.poll(), seed.offer(at(1), 2)), (Some(2), Some(1)));
}

#[test]
fn a_peer_that_knew_everything_before_may_ask_for_everything() {
    let mut seed = SuperSeed::new(3, SuperSeedConfig::default());
    seed.witness_joined(at(0), 1, PeerPieces::Some(&Bitfield::new(3)));
    seed.peer_ready(1);
    assert!(!seed.poses_to(1) && seed.may_ask(1, 2));
    assert_eq!((seed.poll(), seed.offer(at(0), 1)), (None, None));
    seed.witness_joined(at(0), 2, PeerPieces::All);
    assert!(seed.has_company());
    seed.peer_lost(2, 0);
    assert!(!seed.has_company());
}

/// A swarm in rounds: the seed sends one offered piece a round, each peer gives one piece to one other.
fn uploads_until_somebody_is_complete(pieces: u32, peers: u32, seed: u64) -> u32 {
    let mut rng = Rng::new(Seed::from_u64(seed)).fork(Purpose::Simulation, 0);
    let mut machine = SuperSeed::new(pieces, SuperSeedConfig::default());
    (0..peers).for_each(|peer| machine.peer_joined(at(0), peer));
    (0..peers).for_each(|peer| machine.peer_ready(peer));
    let mut has = vec![Bitfield::new(pieces); peers as usize];
    let mut wanted: Vec<(u32, u32)> = Vec::new();
    let mut uploads = 0;
    for round in 0..100_000 {
        let now = at(round);
        machine.handle_timeout(now);
        while machine.poll().is_some() {}
        wanted.extend((0..peers).filter_map(|peer| machine.offer(now, peer).map(|piece| (peer, piece))));
        wanted.retain(|(peer, piece)| !has[*peer as usize].get(*piece));
        let mut haves = Vec::new();
        if let Some(at) = rng.index(wanted.len()) {
            uploads += 1;
            haves.push(wanted.remove(at));
        }
        for from in 0..peers {
            let to = rng.below(u64::from(peers)) as u32;
            let of_use: Vec<u32> = has[from as usize].iter().filter(|piece| !has[to as usize].get(*piece)).collect();
            haves.extend(rng.index(of_use.len()).map(|at| (to, of_use[at])));
        }
        for (peer, piece) in haves {
            has[peer as usize].set(piece);
            machine.peer_has(now, peer, piece);
        }
        if machine.has_company() {
            return uploads;
        }
    }
    panic!("nobody becomes complete");
}

#[test]
fn one_upload_and_a_tenth_bring_a_seed_into_the_world() {
    for (pieces, peers) in [(100, 2), (100, 5), (300, 20), (300, 50)] {
        let uploads = uploads_until_somebody_is_complete(pieces, peers, 5);
        assert!(uploads <= pieces + pieces / 10, "{uploads} uploads of {pieces} pieces to {peers} peers");
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_sums_are_right_and_nobody_is_offered_what_it_has(
        steps in prop::collection::vec((0u8..8, 0u32..5, 0u32..6, 0u64..200), 0..200),
    ) {
        let mut seed: SuperSeed<u32> = SuperSeed::new(6, SuperSeedConfig::default());
        let mut now = 0;
        for (action, peer, piece, time) in steps {
            match action {
                0 => seed.peer_joined(at(now), peer),
                1 => seed.peer_left(peer),
                2 => seed.peer_ready(peer),
                3 | 4 => seed.peer_has(at(now), peer, piece),
                5 => seed.peer_lost(peer, piece),
                6 => {
                    now += time;
                    seed.handle_timeout(at(now));
                    prop_assert!(seed.next_deadline().is_none_or(|next| next > at(now)));
                }
                _ => {
                    let has = seed.peers.get(&peer).map(|state| state.has.clone());
                    if let Some(piece) = seed.offer(at(now), peer) {
                        prop_assert!(!has.expect("it is there").get(piece));
                        prop_assert!(seed.may_ask(peer, piece));
                    }
                }
            }
            for piece in 0..6 {
                let copies = seed.peers.values().filter(|state| state.has.get(piece)).count() as u32;
                let offers = seed.peers.values().filter(|state| state.stage == Some(Stage::Fetching(piece))).count() as u32;
                let spread = Spread { copies, offers };
                prop_assert_eq!(seed.spread[piece as usize], spread);
                prop_assert!(seed.order.contains(&(copies + offers, spread, piece)));
            }
            prop_assert_eq!(seed.order.len(), 6);
            for (piece, peer) in seed.passing.iter().flat_map(|(piece, peers)| peers.iter().map(move |peer| (piece, peer))) {
                prop_assert_eq!(seed.peers[peer].stage, Some(Stage::Passing(*piece)));
            }
            for peer in &seed.starved {
                prop_assert_eq!(seed.peers[peer].stage, Some(Stage::Starved));
            }
            prop_assert_eq!(seed.deadlines.len(), seed.peers.values().filter(|state| state.deadline.is_some()).count());
        }
    }
}
