use super::*;
use alloc::vec;
use proptest::prelude::*;

fn address(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([10, 1, high, low], 6881))
}

fn after(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

const RECEIVER: u16 = 60_000;

fn poll(log: &mut PexLog, cursor: &mut PexCursor, seconds: u64) -> Option<(Vec<SocketAddr>, Vec<SocketAddr>)> {
    let message = log.poll_message(after(seconds), cursor, address(RECEIVER))?;
    Some((message.added.iter().map(|peer| peer.address).collect(), message.dropped))
}

fn connect(log: &mut PexLog, numbers: impl IntoIterator<Item = u16>) {
    numbers.into_iter().for_each(|number| log.connected(address(number), PexFlags::default()));
}

fn addresses(numbers: impl IntoIterator<Item = u16>) -> Vec<SocketAddr> {
    numbers.into_iter().map(address).collect()
}

#[test]
fn a_peer_is_told_who_is_connected_and_then_what_changes() {
    let mut log = PexLog::new();
    connect(&mut log, 1..=2);
    let mut cursor = log.join();
    assert_eq!(poll(&mut log, &mut cursor, 0), Some((addresses(1..=2), vec![])));
    assert_eq!(log.next_deadline(&cursor), None);
    connect(&mut log, [3]);
    log.disconnected(address(1));
    assert_eq!(poll(&mut log, &mut cursor, 60), Some((addresses([3]), addresses([1]))));
    assert_eq!(poll(&mut log, &mut cursor, 120), None);
}

#[test]
fn there_is_at_most_one_message_a_minute() {
    let mut log = PexLog::new();
    let mut cursor = log.join();
    connect(&mut log, [1]);
    assert_eq!(log.next_deadline(&cursor), Some(Instant::ZERO));
    assert!(poll(&mut log, &mut cursor, 5).is_some());
    connect(&mut log, [2]);
    assert_eq!(log.next_deadline(&cursor), Some(after(65)));
    assert_eq!(poll(&mut log, &mut cursor, 64), None);
    assert_eq!(poll(&mut log, &mut cursor, 65), Some((addresses([2]), vec![])));
}

#[test]
fn after_the_first_message_at_most_fifty_are_added_and_fifty_dropped() {
    let mut log = PexLog::new();
    connect(&mut log, 0..130);
    let mut cursor = log.join();
    assert_eq!(poll(&mut log, &mut cursor, 0).unwrap().0.len(), 100);
    assert_eq!(poll(&mut log, &mut cursor, 60).unwrap().0, addresses(100..130));
    (0..120).for_each(|number| log.disconnected(address(number)));
    connect(&mut log, 200..260);
    assert_eq!(poll(&mut log, &mut cursor, 120), Some((vec![], addresses(0..50))));
    assert_eq!(poll(&mut log, &mut cursor, 180), Some((vec![], addresses(50..100))));
    assert_eq!(poll(&mut log, &mut cursor, 240), Some((addresses(200..250), addresses(100..120))));
    assert_eq!(poll(&mut log, &mut cursor, 300), Some((addresses(250..260), vec![])));
    assert_eq!(log.next_deadline(&cursor), None);
}

#[test]
fn who_came_and_went_between_two_messages_is_not_mentioned() {
    let mut log = PexLog::new();
    let mut cursor = log.join();
    connect(&mut log, [1]);
    log.disconnected(address(1));
    assert_eq!(poll(&mut log, &mut cursor, 0), None);
    assert_eq!(log.next_deadline(&cursor), None);
}

#[test]
fn who_went_and_came_back_between_two_messages_is_not_mentioned() {
    let mut log = PexLog::new();
    connect(&mut log, [1]);
    let mut cursor = log.join();
    poll(&mut log, &mut cursor, 0);
    log.disconnected(address(1));
    connect(&mut log, [1]);
    assert_eq!(poll(&mut log, &mut cursor, 60), None);
    log.disconnected(address(1));
    assert_eq!(poll(&mut log, &mut cursor, 61), Some((vec![], addresses([1]))), "the loss after that is");
}

#[test]
fn nobody_is_told_of_itself() {
    let mut log = PexLog::new();
    connect(&mut log, [RECEIVER, 1]);
    let mut cursor = log.join();
    assert_eq!(poll(&mut log, &mut cursor, 0), Some((addresses([1]), vec![])));
    log.disconnected(address(RECEIVER));
    assert_eq!(poll(&mut log, &mut cursor, 60), None);
}

#[test]
fn the_log_forgets_what_everyone_knows() {
    let mut log = PexLog::new();
    let (mut quick, slow) = (log.join(), log.join());
    connect(&mut log, 1..10);
    poll(&mut log, &mut quick, 0);
    (1..10).for_each(|number| log.disconnected(address(number)));
    poll(&mut log, &mut quick, 60);
    assert_eq!(log.departures.len(), 9, "one peer has not heard of it");
    log.leave(slow);
    assert_eq!(log.departures.len(), 0);
    log.leave(quick);
    connect(&mut log, [1]);
    log.disconnected(address(1));
    assert_eq!((log.departures.len(), log.readers.len()), (0, 0));
}

#[test]
fn messages_before_their_time_are_ignored_and_in_the_end_not_borne() {
    let mut filter = PexFilter::new();
    let message = PexMessage { added: vec![peer("1.2.3.4:5")], dropped: vec![] };
    let sender = IpAddr::from([1, 1, 1, 1]);
    let mut accept = |seconds| filter.accept(after(seconds), sender, &message).map(|peers| peers.len());
    assert_eq!(accept(0), Ok(1));
    assert_eq!(accept(1), Ok(1), "a first message and one of changes may come together");
    assert_eq!(accept(2), Ok(0));
    assert_eq!(accept(60), Ok(1));
    assert_eq!(accept(119), Ok(1));
    for _ in 0..FORGIVEN {
        assert_eq!(accept(120), Ok(0));
    }
    assert_eq!(accept(120), Err(TooManyMessages));
}

#[test]
fn who_keeps_to_the_minute_roughly_is_always_heard() {
    let mut filter = PexFilter::new();
    let message = PexMessage { added: vec![peer("1.2.3.4:5")], dropped: vec![] };
    for minute in 0..1000u64 {
        let seconds = minute * 60 + [0, 7, 3, 9][minute as usize % 4];
        assert_eq!(filter.accept(after(seconds), IpAddr::from([1, 1, 1, 1]), &message).unwrap().len(), 1);
    }
}

#[test]
fn one_peer_for_an_address_is_taken() {
    let mut filter = PexFilter::new();
    let added = ["1.2.3.4:5", "1.2.3.4:6", "[::ffff:1.2.3.4]:7", "[2001:db8::1]:5", "[2001:db8::1]:6"].map(peer).to_vec();
    let message = PexMessage { added, dropped: vec![] };
    let peers = filter.accept(after(0), IpAddr::from([1, 1, 1, 1]), &message);
    assert_eq!(peers, Ok(["1.2.3.4:5", "[2001:db8::1]:5"].map(peer).to_vec()));
}

#[test]
fn only_a_neighbour_can_tell_of_neighbours() {
    let added = ["127.0.0.1:5", "127.0.0.1:6", "[::1]:5", "169.254.1.1:5", "[fe80::1]:5", "10.0.0.1:5"].map(peer).to_vec();
    let message = PexMessage { added, dropped: vec![] };
    let accept = |sender: [u8; 4]| PexFilter::new().accept(after(0), IpAddr::from(sender), &message).unwrap().len();
    assert_eq!(accept([8, 8, 8, 8]), 1);
    assert_eq!(accept([127, 0, 0, 1]), 6, "on one machine the ports tell peers apart");
}

fn peer(text: &str) -> PexPeer {
    PexPeer { address: text.parse().unwrap(), flags: PexFlags::default() }
}

#[derive(Clone, Debug)]
enum Step {
    Connect(u16),
    Disconnect(u16),
    Tell,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![4 => (0..150u16).prop_map(Step::Connect), 3 => (0..150u16).prop_map(Step::Disconnect), 1 => Just(Step::Tell)];
    proptest::collection::vec(step, 0..1500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes and goes, each message keeps the rules, and in the end the receiver knows exactly who is connected.
    #[test]
    fn a_receiver_that_believes_everything_knows_the_truth(steps in steps(), join_at in 0..300usize) {
        let mut log = PexLog::new();
        let mut connected = BTreeSet::new();
        let mut believed = BTreeSet::new();
        let mut cursor = None;
        let mut seconds = 0;
        let mut first = true;
        for (at, step) in steps.into_iter().chain((0..30).map(|_| Step::Tell)).enumerate() {
            if at >= join_at && cursor.is_none() {
                cursor = Some(log.join());
            }
            match (step, &mut cursor) {
                (Step::Connect(number), _) => {
                    connect(&mut log, [number]);
                    connected.insert(address(number));
                }
                (Step::Disconnect(number), _) => {
                    log.disconnected(address(number));
                    connected.remove(&address(number));
                }
                (Step::Tell, Some(cursor)) => {
                    seconds += 60;
                    let Some((added, dropped)) = poll(&mut log, cursor, seconds) else { continue };
                    let limit = if first { 100 } else { 50 };
                    prop_assert!(added.len() <= limit && dropped.len() <= 50);
                    prop_assert!(added.iter().all(|peer| connected.contains(peer) && !dropped.contains(peer)));
                    for peer in dropped {
                        prop_assert!(believed.remove(&peer), "dropped without having been added: {peer}");
                    }
                    for peer in added {
                        prop_assert!(believed.insert(peer), "added twice: {peer}");
                    }
                    first = false;
                }
                (Step::Tell, None) => {}
            }
        }
        if let Some(cursor) = cursor {
            prop_assert_eq!(log.next_deadline(&cursor), None);
            prop_assert_eq!(believed, connected);
            log.leave(cursor);
            prop_assert_eq!(log.departures.len(), 0);
        }
    }
}
