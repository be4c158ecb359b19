use super::*;
use crate::{
    metainfo::InfoHash,
    rng::{Rng, Seed},
    time::{Duration, Instant},
    wire::extension::{METADATA_PIECE_LENGTH, MetadataMessage},
};
use alloc::{collections::BTreeSet, vec, vec::Vec};
use bytes::Bytes;
use proptest::prelude::*;

const PIECE: usize = METADATA_PIECE_LENGTH as usize;
const START: Instant = Instant::ZERO;

/// Metadata of so many bytes, each piece different.
fn metadata(length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    Rng::new(Seed::from_u64(length as u64)).fill(&mut bytes);
    bytes.into()
}

fn fetch(metadata: &Bytes) -> MetadataFetch<u32> {
    MetadataFetch::new(InfoHash::of(metadata), MetadataConfig::default())
}

fn piece_of(metadata: &Bytes, piece: u32) -> Bytes {
    let start = piece as usize * PIECE;
    metadata.slice(start..metadata.len().min(start + PIECE))
}

fn requests(fetch: &mut MetadataFetch<u32>, now: Instant) -> Vec<(u32, u32)> {
    core::iter::from_fn(|| fetch.poll_request(now)).collect()
}

fn send(fetch: &mut MetadataFetch<u32>, now: Instant, peer: u32, piece: u32, metadata: &Bytes) {
    fetch.handle_data(now, peer, piece, Some(metadata.len() as u32), &piece_of(metadata, piece));
}

fn after(seconds: u64) -> Instant {
    START + Duration::from_secs(seconds)
}

#[test]
fn pieces_are_asked_of_several_peers_at_once() {
    let metadata = metadata(5 * PIECE + 7);
    let mut fetch = fetch(&metadata);
    for peer in 0..3 {
        fetch.add_peer(START, peer, Some(metadata.len() as u32));
    }
    let first = requests(&mut fetch, START);
    let pieces: BTreeSet<u32> = first.iter().take(6).map(|(_, piece)| *piece).collect();
    assert_eq!(pieces, (0..6).collect(), "each piece once before any twice");
    assert_eq!(first.iter().take(6).map(|(peer, _)| *peer).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
    assert_eq!(first.len(), 12, "at most four of each peer");
    for (peer, piece) in first.into_iter().take(6) {
        send(&mut fetch, START, peer, piece, &metadata);
    }
    assert_eq!(fetch.poll_event(), Some(MetadataEvent::Complete(metadata)));
    assert_eq!(fetch.poll_event(), None);
    assert!(fetch.is_complete() && fetch.next_deadline().is_none() && fetch.poll_request(START).is_none());
}

#[test]
fn a_size_of_nothing_or_beyond_the_limit_is_not_even_asked_for() {
    let mut fetch = fetch(&metadata(1));
    for (peer, size) in [(1, 0), (2, (32 << 20) + 1), (3, u32::MAX)] {
        fetch.add_peer(START, peer, Some(size));
    }
    assert_eq!(fetch.poll_request(START), None);
    assert_eq!(fetch.next_deadline(), None);
}

#[test]
fn no_size_is_believed_and_several_are_pursued() {
    let metadata = metadata(2 * PIECE);
    let mut fetch = fetch(&metadata);
    fetch.add_peer(START, 1, Some(30 << 20));
    fetch.add_peer(START, 2, Some(PIECE as u32));
    fetch.add_peer(START, 3, Some(metadata.len() as u32));
    fetch.add_peer(START, 3, Some(7));
    let asked: BTreeSet<u32> = requests(&mut fetch, START).iter().map(|(peer, _)| *peer).collect();
    assert_eq!(asked, BTreeSet::from([1, 2, 3]));
    send(&mut fetch, START, 2, 0, &metadata.slice(..PIECE));
    assert_eq!(fetch.poll_event(), Some(MetadataEvent::Liar(2)));
    send(&mut fetch, START, 3, 0, &metadata);
    send(&mut fetch, START, 3, 1, &metadata);
    assert_eq!(fetch.poll_event(), Some(MetadataEvent::Complete(metadata)));
}

#[test]
fn a_rejected_piece_is_asked_of_another_and_later_of_the_same_peer() {
    let metadata = metadata(10);
    let mut fetch = fetch(&metadata);
    fetch.add_peer(START, 1, Some(10));
    assert_eq!(requests(&mut fetch, START), [(1, 0)]);
    fetch.handle_reject(START, 1, 0);
    assert_eq!(requests(&mut fetch, START), []);
    assert_eq!(fetch.next_deadline(), Some(after(10)));
    fetch.add_peer(after(1), 2, Some(10));
    assert_eq!(requests(&mut fetch, after(1)), [(2, 0)]);
    fetch.handle_reject(after(1), 2, 0);
    assert_eq!(requests(&mut fetch, after(10)), [(1, 0)]);
    fetch.handle_reject(after(10), 1, 0);
    assert_eq!(requests(&mut fetch, after(11)), [(2, 0)]);
    assert_eq!(requests(&mut fetch, after(29)), [(2, 0)][..0], "the second wait is twice as long");
    send(&mut fetch, after(29), 2, 0, &metadata);
    assert_eq!(fetch.poll_event(), Some(MetadataEvent::Complete(metadata)));
}

#[test]
fn a_reject_of_what_was_not_asked_for_changes_nothing() {
    let metadata = metadata(10);
    let mut fetch = fetch(&metadata);
    fetch.add_peer(START, 1, Some(10));
    fetch.handle_reject(START, 1, 0);
    fetch.handle_reject(START, 9, 0);
    assert_eq!(requests(&mut fetch, START), [(1, 0)]);
}

#[test]
fn silence_is_given_ten_seconds_and_a_late_answer_is_welcome() {
    let metadata = metadata(10);
    let mut fetch = fetch(&metadata);
    fetch.add_peer(START, 1, Some(10));
    assert_eq!(requests(&mut fetch, START), [(1, 0)]);
    assert_eq!(fetch.next_deadline(), Some(after(10)));
    assert_eq!(requests(&mut fetch, after(10)), []);
    assert_eq!(fetch.next_deadline(), Some(after(20)));
    send(&mut fetch, after(15), 1, 0, &metadata);
    assert_eq!(fetch.poll_event(), Some(MetadataEvent::Complete(metadata)));
}

#[test]
fn data_that_nobody_asked_for_is_ignored() {
    let metadata = metadata(10);
    let mut fetch = fetch(&metadata);
    send(&mut fetch, START, 1, 0, &metadata);
    fetch.add_peer(START, 1, Some(10));
    send(&mut fetch, START, 1, 0, &metadata);
    assert_eq!(fetch.poll_event(), None);
    assert_eq!(requests(&mut fetch, START), [(1, 0)]);
}

#[test]
fn every_piece_but_the_last_has_16384_bytes() {
    let metadata = metadata(PIECE + 5);
    for (piece, length) in [(0, PIECE - 1), (0, 5), (1, 4), (1, 6), (1, 0)] {
        let mut fetch = fetch(&metadata);
        fetch.add_peer(START, 1, Some(metadata.len() as u32));
        assert_eq!(requests(&mut fetch, START), [(1, 0), (1, 1)]);
        fetch.handle_data(START, 1, piece, None, &vec![0; length]);
        assert_eq!(fetch.poll_event(), Some(MetadataEvent::Liar(1)), "{length} bytes for piece {piece}");
        assert_eq!(requests(&mut fetch, after(1000)), []);
    }
}

#[test]
fn who_sent_all_of_a_wrong_whole_is_the_liar() {
    let metadata = metadata(2 * PIECE);
    let wrong = self::metadata(2 * PIECE + 1).slice(1..);
    let mut fetch = fetch(&metadata);
    fetch.add_peer(START, 1, Some(metadata.len() as u32));
    requests(&mut fetch, START);
    send(&mut fetch, START, 1, 0, &wrong);
    send(&mut fetch, START, 1, 1, &metadata);
    assert_eq!(fetch.poll_event(), Some(MetadataEvent::Liar(1)));
    fetch.add_peer(START, 1, Some(metadata.len() as u32));
    assert_eq!(requests(&mut fetch, START), []);
    fetch.add_peer(START, 2, Some(metadata.len() as u32));
    assert_eq!(requests(&mut fetch, START), [(2, 0), (2, 1)]);
}

#[test]
fn of_several_who_sent_a_wrong_whole_only_the_liar_is_named() {
    let metadata = metadata(3 * PIECE);
    let wrong = self::metadata(3 * PIECE + 1).slice(1..);
    let config = MetadataConfig { requests_per_piece: 1, ..MetadataConfig::default() };
    let mut fetch = MetadataFetch::new(InfoHash::of(&metadata), config);
    for peer in 1..=3 {
        fetch.add_peer(START, peer, Some(metadata.len() as u32));
    }
    let answer = |fetch: &mut MetadataFetch<u32>, peer, piece| {
        send(fetch, START, peer, piece, if peer == 3 { &wrong } else { &metadata });
    };
    let first = requests(&mut fetch, START);
    assert_eq!(first, [(1, 0), (2, 1), (3, 2)]);
    first.into_iter().for_each(|(peer, piece)| answer(&mut fetch, peer, piece));
    assert_eq!(fetch.poll_event(), None, "nobody is accused yet");

    let mut liars = Vec::new();
    let complete = loop {
        match fetch.poll_event() {
            Some(MetadataEvent::Liar(liar)) => liars.push(liar),
            Some(MetadataEvent::Complete(bytes)) => break bytes,
            None => {}
        }
        let alone = requests(&mut fetch, START);
        assert!(alone.len() <= 2, "what the peer sent before is not asked for again");
        assert!(alone.iter().all(|(peer, _)| *peer == alone[0].0), "one alone at a time");
        alone.into_iter().for_each(|(peer, piece)| answer(&mut fetch, peer, piece));
    };
    assert_eq!((complete, liars), (metadata, vec![3]));
}

#[test]
fn a_peer_that_claims_no_size_is_asked_for_the_first_piece() {
    let metadata = metadata(PIECE + 1);
    let mut fetch = fetch(&metadata);
    fetch.add_peer(START, 1, None);
    assert_eq!(requests(&mut fetch, START), [(1, 0)]);
    fetch.handle_reject(START, 1, 0);
    assert_eq!(requests(&mut fetch, after(9)), []);
    assert_eq!(requests(&mut fetch, after(10)), [(1, 0)], "it may have got the metadata since");
    send(&mut fetch, after(10), 1, 0, &metadata);
    assert_eq!(requests(&mut fetch, after(10)), [(1, 1)], "its answer said how long all is, and counts");
    send(&mut fetch, after(10), 1, 1, &metadata);
    assert_eq!(fetch.poll_event(), Some(MetadataEvent::Complete(metadata)));
}

#[test]
fn a_size_said_in_a_later_handshake_counts() {
    let mut fetch = fetch(&metadata(10));
    fetch.add_peer(START, 1, None);
    assert_eq!(requests(&mut fetch, START), [(1, 0)]);
    fetch.handle_reject(START, 1, 0);
    fetch.add_peer(after(1), 1, Some(PIECE as u32 + 1));
    assert_eq!(requests(&mut fetch, after(1)), [(1, 0), (1, 1)], "it has the metadata now, and is asked at once");
}

#[test]
fn what_a_peer_sent_before_it_left_is_completed_by_the_next() {
    let metadata = metadata(2 * PIECE);
    let mut fetch = fetch(&metadata);
    fetch.add_peer(START, 1, Some(metadata.len() as u32));
    requests(&mut fetch, START);
    send(&mut fetch, START, 1, 1, &metadata);
    fetch.remove_peer(START, 1);
    assert_eq!(fetch.next_deadline(), None);
    fetch.add_peer(after(3600), 2, Some(metadata.len() as u32));
    assert_eq!(requests(&mut fetch, after(3600)), [(2, 0)]);
    send(&mut fetch, after(3600), 2, 0, &metadata);
    assert_eq!(fetch.poll_event(), Some(MetadataEvent::Complete(metadata)));
}

#[test]
fn candidates_share_a_bounded_memory_and_each_gets_its_turn() {
    let metadata = metadata(10);
    let config = MetadataConfig { candidate_limit: 2, ..MetadataConfig::default() };
    let mut fetch = MetadataFetch::new(InfoHash::of(&metadata), config);
    for peer in 1..=5 {
        fetch.add_peer(START, peer, Some(peer));
    }
    fetch.add_peer(START, 10, Some(10));
    let mut asked = BTreeSet::new();
    let mut now = START;
    while !asked.contains(&10) {
        let now_asked: BTreeSet<u32> = requests(&mut fetch, now).iter().map(|(peer, _)| *peer).collect();
        assert!(now_asked.len() <= 2);
        asked.extend(now_asked);
        let next = fetch.next_deadline().unwrap();
        assert!(next > now);
        now = next;
        assert!(now < after(600), "it has its turn");
    }
    assert_eq!(asked.len(), 6, "the others had theirs before");
}

#[test]
fn metadata_is_served_in_pieces_of_16_kib_and_everything_else_rejected() {
    let metadata = metadata(PIECE + 5);
    let serve = MetadataServe::new(metadata.clone());
    let mut quota = MetadataQuota::default();
    let data = |piece: u32| MetadataMessage::Data { piece, total_size: Some(PIECE as u32 + 5), data: piece_of(&metadata, piece) };
    assert_eq!(serve.answer(START, &mut quota, 0), data(0));
    assert_eq!(serve.answer(START, &mut quota, 1), data(1));
    assert_eq!(serve.answer(START, &mut quota, 2), MetadataMessage::Reject { piece: 2 });
    assert_eq!(serve.answer(START, &mut quota, u32::MAX), MetadataMessage::Reject { piece: u32::MAX });
}

#[test]
fn who_asks_for_more_than_twice_the_metadata_is_rejected_for_a_minute() {
    let metadata = metadata(PIECE + 5);
    let serve = MetadataServe::new(metadata);
    let (mut quota, mut other) = (MetadataQuota::default(), MetadataQuota::default());
    let given =
        |quota: &mut MetadataQuota, now| (0..10).filter(|_| matches!(serve.answer(now, quota, 1), MetadataMessage::Data { .. })).count();
    assert_eq!(given(&mut quota, START), 4);
    assert_eq!(given(&mut quota, after(59)), 0);
    assert_eq!(given(&mut other, after(59)), 4, "each peer has its own");
    assert_eq!(given(&mut quota, after(60)), 4);
}

/// What a peer does.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Serves the truth, unless asked too often.
    Honest,
    /// Claims some other length, and serves bytes of that length.
    WrongSize(u32),
    /// Serves wrong bytes, of these pieces modulo 8.
    WrongBytes(u8),
    /// Sends pieces of the wrong length.
    WrongLength,
    /// Never answers.
    Silent,
    /// Rejects everything.
    Rejects,
    /// Claims nothing and rejects everything.
    KnowsNothing,
    /// Answers the first few requests, and then never again.
    FallsSilent(u8),
    /// Comes back again and again, with nothing to say.
    Leaves,
}

#[derive(Clone, Debug)]
struct SimulatedPeer {
    manner: Manner,
    latency: Duration,
    answers: u8,
    quota: MetadataQuota,
}

/// Steps that no download needs: some liars come back every millisecond of a day.
const MOST_STEPS: u32 = 200_000;

/// Runs a fetch among these peers until it is complete; returns how long it took and who was called a liar.
fn simulate(metadata: &Bytes, mut peers: Vec<SimulatedPeer>, config: MetadataConfig) -> (Option<Duration>, BTreeSet<u32>) {
    let serve = MetadataServe::new(metadata.clone());
    let mut fetch = MetadataFetch::new(InfoHash::of(metadata), config);
    let mut now = START;
    let true_size = metadata.len() as u32;
    let claim = |manner| match manner {
        Manner::WrongSize(size) => Some(size),
        Manner::KnowsNothing => None,
        _ => Some(true_size),
    };
    for (number, peer) in peers.iter().enumerate() {
        fetch.add_peer(now, number as u32, claim(peer.manner));
    }
    let mut liars = BTreeSet::new();
    let mut under_way: BTreeSet<(Instant, u32, u32)> = BTreeSet::new();
    let mut steps = 0;
    while now < after(24 * 3600) {
        steps += 1;
        if steps > MOST_STEPS {
            break;
        }
        for (peer, piece) in requests(&mut fetch, now) {
            under_way.insert((now + peers[peer as usize].latency, peer, piece));
        }
        while let Some(event) = fetch.poll_event() {
            match event {
                MetadataEvent::Liar(peer) => _ = liars.insert(peer),
                MetadataEvent::Complete(bytes) => {
                    assert_eq!(bytes, metadata);
                    return (Some(now.since(START)), liars);
                }
            }
        }
        let deadline = fetch.next_deadline();
        assert!(deadline.is_none_or(|deadline| deadline > now), "nothing is due after everything was polled");
        let arrival = under_way.first().map(|(at, ..)| *at);
        let Some(next) = [deadline, arrival].into_iter().flatten().min() else { break };
        now = next;
        while let Some((at, number, piece)) = under_way.first().copied().filter(|(at, ..)| *at <= now) {
            under_way.remove(&(at, number, piece));
            let peer = &mut peers[number as usize];
            let size = claim(peer.manner).unwrap_or(true_size);
            let wrong = vec![0xee; fetch::piece_length(size, piece) as usize];
            match peer.manner {
                Manner::Silent => {}
                Manner::Rejects | Manner::KnowsNothing => fetch.handle_reject(now, number, piece),
                Manner::WrongSize(size) => fetch.handle_data(now, number, piece, Some(size), &wrong),
                Manner::WrongLength => fetch.handle_data(now, number, piece, Some(size), &[&wrong[..], b"x"].concat()),
                Manner::WrongBytes(which) if which & 1 << (piece % 8) != 0 => {
                    fetch.handle_data(now, number, piece, Some(size), &wrong);
                }
                Manner::FallsSilent(answers) if peer.answers >= answers => {}
                Manner::Leaves => {
                    fetch.remove_peer(now, number);
                    fetch.add_peer(now, number, Some(size));
                }
                Manner::Honest | Manner::WrongBytes(_) | Manner::FallsSilent(_) => {
                    peer.answers = peer.answers.saturating_add(1);
                    match serve.answer(now, &mut peer.quota, piece) {
                        MetadataMessage::Data { piece, total_size, data } => fetch.handle_data(now, number, piece, total_size, &data),
                        _ => fetch.handle_reject(now, number, piece),
                    }
                }
            }
        }
    }
    (None, liars)
}

fn any_liar() -> impl Strategy<Value = SimulatedPeer> {
    let manner = prop_oneof![
        (1..40_000_000u32).prop_map(Manner::WrongSize),
        (1..100_000u32).prop_map(Manner::WrongSize),
        (1..=255u8).prop_map(Manner::WrongBytes),
        Just(Manner::WrongLength),
        Just(Manner::Silent),
        Just(Manner::Rejects),
        Just(Manner::KnowsNothing),
        (0..10u8).prop_map(Manner::FallsSilent),
        Just(Manner::Leaves),
    ];
    (manner, 1..20_000u64).prop_map(|(manner, latency)| peer(manner, latency))
}

fn peer(manner: Manner, milliseconds: u64) -> SimulatedPeer {
    SimulatedPeer { manner, latency: Duration::from_millis(milliseconds), answers: 0, quota: MetadataQuota::default() }
}

#[test]
fn one_honest_peer_alone_takes_as_long_as_its_answers() {
    let metadata = metadata(8 * PIECE);
    let (took, liars) = simulate(&metadata, vec![peer(Manner::Honest, 100)], MetadataConfig::default());
    assert_eq!((took, liars), (Some(Duration::from_millis(200)), BTreeSet::new()));
}

#[test]
fn who_comes_again_and_again_keeps_no_honest_peer_from_being_asked() {
    // As many of them as are asked for one piece at a time, all of whom came first.
    let metadata = metadata(100);
    let leaves = || peer(Manner::Leaves, 1);
    let peers = vec![leaves(), leaves(), leaves(), peer(Manner::Honest, 1_000)];
    let (took, liars) = simulate(&metadata, peers, MetadataConfig::default());
    assert_eq!(liars, BTreeSet::new());
    assert!(took.is_some_and(|took| took < Duration::from_secs(10)), "{took:?}");
}

#[test]
fn an_honest_peer_slower_than_the_timeout_gets_there() {
    let metadata = metadata(8 * PIECE);
    let (took, _) = simulate(&metadata, vec![peer(Manner::Honest, 15_000)], MetadataConfig::default());
    assert!(took.is_some_and(|took| took < Duration::from_secs(300)), "{took:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever liars there are, one honest peer is enough, and is never called a liar.
    #[test]
    fn one_honest_peer_among_any_liars_is_enough(
        length in 1..12 * PIECE,
        liars in proptest::collection::vec(any_liar(), 0..12),
        at in 0..12usize,
        latency in 1..5_000u64,
        candidate_limit in 1..4usize,
    ) {
        let metadata = metadata(length);
        let mut peers = liars;
        let honest = at.min(peers.len());
        peers.insert(honest, peer(Manner::Honest, latency));
        let innocent: Vec<u32> = peers
            .iter()
            .zip(0..)
            .filter(|(peer, _)| !matches!(peer.manner, Manner::WrongSize(_) | Manner::WrongBytes(_) | Manner::WrongLength))
            .map(|(_, number)| number)
            .collect();
        let config = MetadataConfig { candidate_limit, ..MetadataConfig::default() };
        let (took, liars) = simulate(&metadata, peers, config);
        prop_assert!(took.is_some_and(|took| took < Duration::from_secs(3 * 3600)), "{:?}", took);
        prop_assert!(innocent.iter().all(|peer| !liars.contains(peer)), "{:?} of {:?}", liars, innocent);
    }
}
