use super::*;
use crate::rng::{Rng, Seed};
use proptest::prelude::*;
use std::collections::BTreeMap;

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
fn seeds_are_tried_first_where_there_are_several() {
    let (mut list, config) = list();
    for last in 1..=9 {
        list.add(Instant::from_micros(last.into()), address(last), PeerSource::PeerExchange, &config);
    }
    list.failed(Instant::from_micros(10), address(8), &config);
    for last in [2, 3, 4, 5, 7, 8, 10] {
        list.said_to_be_seed(address(last));
    }
    let now = Instant::from_micros(20);
    let order: Vec<SocketAddr> = core::iter::from_fn(|| list.next(now, false)).collect();
    // Of the first four nobody knew that there would be several, and one could not be reached.
    assert_eq!(order, [7, 1, 2, 3, 4, 5, 6, 9].map(address));
    assert_eq!(list.next(Instant::MAX, true), None, "a seed passes over all that are said to be seeds");
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

/// What may happen to a peer.
#[derive(Clone, Debug)]
enum Happens {
    Learnt(PeerSource),
    Met,
    Tried,
    Failed,
    Disconnected(u64),
    Preferred(u32),
    Banned,
    Restarted,
    Retained,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => prop_oneof![Just(PeerSource::Tracker), Just(PeerSource::PeerExchange)].prop_map(Happens::Learnt),
        1 => Just(Happens::Met),
        3 => Just(Happens::Tried),
        3 => Just(Happens::Failed),
        2 => (0u64..100).prop_map(Happens::Disconnected),
        1 => (0u32..3).prop_map(Happens::Preferred),
        1 => Just(Happens::Banned),
        1 => Just(Happens::Restarted),
        1 => Just(Happens::Retained),
    ]
}

impl PeerList {
    /// Panics where a list of places is not what follows from the peers.
    fn assert_consistent(&self) {
        let by_address: Vec<SocketAddr> = self.by_address.iter().map(|place| self.peers[*place as usize].address()).collect();
        assert_eq!(by_address.len(), self.peers.len());
        assert!(by_address.is_sorted_by(|one, next| one < next));
        let turns: Vec<_> = self.waiting().map(KnownPeer::turn).collect();
        assert!(turns.iter().all(Option::is_some) && turns.is_sorted_by(|one, next| one < next));
        assert_eq!(turns.len(), self.peers.iter().filter(|peer| peer.turn().is_some()).count());
        assert_eq!(self.strangers, self.peers.iter().filter(|peer| peer.sources.are_strangers()).count());
    }
}

proptest! {
    #[test]
    fn whatever_happens_all_lists_name_the_same_peers_and_the_next_is_the_one_that_waits_longest(
        story in prop::collection::vec((happens(), 1u8..20), 0..200)
    ) {
        let (mut list, config) = list();
        for (moment, (happens, last)) in (0..).zip(story) {
            let (now, peer) = (Instant::from_micros(moment), address(last));
            match happens {
                Happens::Learnt(source) => {
                    let known = list.peer(peer).is_some() || list.is_banned(peer);
                    prop_assert_eq!(list.add(now, peer, source, &config), !known);
                }
                Happens::Met => {
                    list.met(peer, true, &config);
                }
                Happens::Tried => {
                    let due: BTreeMap<_, _> = list.peers.iter().filter_map(|peer| Some((peer.turn()?, peer.address()))).collect();
                    let first = due.first_key_value().filter(|((at, ..), _)| *at <= now).map(|(_, first)| *first);
                    prop_assert_eq!(list.peek(now, false), first);
                    prop_assert_eq!(list.next(now, false), first);
                    prop_assert!(first.is_none_or(|first| list.peer(first).unwrap().turn().is_none()));
                }
                Happens::Failed => list.failed(now, peer, &config),
                Happens::Disconnected(wait) => list.disconnected(now, peer, Duration::from_micros(wait)),
                Happens::Preferred(rank) => list.prefer(peer, rank),
                Happens::Banned => {
                    list.ban(peer);
                    prop_assert!(list.peer(peer).is_none_or(KnownPeer::is_dead));
                }
                Happens::Restarted => list.restart(now),
                Happens::Retained => list.retain(PeerSources::suit_private),
            }
            list.assert_consistent();
        }
    }
}
