use super::*;
use alloc::{string::ToString, vec::Vec};
use std::collections::BTreeSet as Set;

const SECOND: Duration = Duration::from_secs(1);
const HASH: InfoHash = InfoHash([7; 20]);

/// A tracker, the time, and requests made short.
struct Scene {
    tracker: TrackerServer,
    now: Instant,
}

impl Scene {
    fn new() -> Scene {
        Scene::with(TrackerServerConfig::default())
    }

    fn with(config: TrackerServerConfig) -> Scene {
        Scene { tracker: TrackerServer::new(config, Seed::from_u64(1)), now: Instant::ZERO }
    }

    fn announce(&mut self, ip: &str, request: &AnnounceRequest) -> Result<AnnounceResponse, Refusal> {
        self.tracker.announce(self.now, ip.parse().unwrap(), request, Families::Both)
    }

    fn peers(&mut self, ip: &str, request: &AnnounceRequest) -> Vec<String> {
        let peers = self.announce(ip, request).unwrap().peers;
        let mut peers: Vec<_> = peers.iter().map(|peer| peer.address.to_string()).collect();
        peers.sort();
        peers
    }

    fn counts(&self) -> Option<(u32, u32, u32, u32)> {
        let SwarmCounts { complete, incomplete, downloaded, downloaders } = self.tracker.scrape(&HASH)?;
        Some((complete?, incomplete?, downloaded?, downloaders?))
    }

    /// Everything that is said twice is said the same.
    fn check(&self) {
        let tracker = &self.tracker;
        let mut listed = 0;
        for (info_hash, key) in &tracker.torrents {
            let swarm = tracker.swarms.get(*key).unwrap();
            assert_eq!(swarm.info_hash, *info_hash);
            assert!(swarm.len() > 0, "an empty swarm is kept");
            listed += swarm.len();
        }
        assert_eq!(listed, tracker.peers.len());
        assert_eq!(tracker.torrents.len(), tracker.swarms.len());
        let mut chained = 0;
        let mut next = tracker.oldest;
        let (mut before, mut latest) = (None, Instant::ZERO);
        while let Some(key) = next {
            let peer = tracker.peers.get(key).unwrap();
            assert!(peer.announced >= latest);
            assert_eq!(peer.older, before);
            (before, latest, next) = (Some(key), peer.announced, peer.newer);
            chained += 1;
        }
        assert_eq!((chained, before), (tracker.peers.len(), tracker.newest));
    }
}

use alloc::string::String;

fn leecher(number: u8) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: HASH,
        peer_id: [number; 20],
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: AnnounceEvent::None,
        peers_wanted: None,
        key: Some(number.into()),
        tracker_id: None,
    }
}

fn seed(number: u8) -> AnnounceRequest {
    AnnounceRequest { left: 0, ..leecher(number) }
}

fn stopped(number: u8) -> AnnounceRequest {
    AnnounceRequest { event: AnnounceEvent::Stopped, ..leecher(number) }
}

fn paused(number: u8) -> AnnounceRequest {
    AnnounceRequest { event: AnnounceEvent::Paused, ..leecher(number) }
}

#[test]
fn members_are_told_of_each_other_but_never_of_themselves() {
    let mut scene = Scene::new();
    assert!(scene.peers("1.0.0.1", &leecher(1)).is_empty());
    assert_eq!(scene.peers("1.0.0.2", &leecher(2)), ["1.0.0.1:6881"]);
    assert_eq!(scene.peers("1.0.0.1", &leecher(1)), ["1.0.0.2:6881"]);
    let elsewhere = AnnounceRequest { info_hash: InfoHash([8; 20]), ..leecher(1) };
    assert!(scene.peers("1.0.0.1", &elsewhere).is_empty());
    assert_eq!(scene.tracker.totals(), TrackerServerTotals { torrents: 2, peers: 3 });
}

#[test]
fn seeds_and_partial_seeds_are_given_downloaders_only() {
    let mut scene = Scene::new();
    for (ip, request) in [("1.0.0.1", leecher(1)), ("1.0.0.2", seed(2)), ("1.0.0.3", paused(3))] {
        scene.announce(ip, &request).unwrap();
    }
    assert_eq!(scene.peers("1.0.0.9", &seed(9)), ["1.0.0.1:6881"]);
    assert_eq!(scene.peers("1.0.0.8", &paused(8)), ["1.0.0.1:6881"]);
    assert_eq!(scene.peers("1.0.0.7", &leecher(7)).len(), 5);
    assert_eq!(scene.counts(), Some((2, 4, 0, 2)), "partial seeds are incomplete, but not downloading");
}

#[test]
fn both_families_are_one_swarm_and_the_askers_own_comes_first() {
    let mut scene = Scene::new();
    for number in 1..=4 {
        scene.announce(&alloc::format!("1.0.0.{number}"), &leecher(number)).unwrap();
        scene.announce(&alloc::format!("2001:db8::{number}"), &leecher(100 + number)).unwrap();
    }
    let asker = |wanted| AnnounceRequest { peers_wanted: Some(wanted), ..leecher(50) };
    let v6 = scene.announce("2001:db8::50", &asker(4)).unwrap().peers;
    assert!(v6.len() == 4 && v6.iter().all(|peer| peer.address.is_ipv6()));
    let both = scene.announce("2001:db8::50", &asker(6)).unwrap().peers;
    assert_eq!(both.iter().filter(|peer| peer.address.is_ipv6()).count(), 4);
    assert_eq!(both.len(), 6);
    let own = scene.tracker.announce(scene.now, "9.9.9.9".parse().unwrap(), &asker(50), Families::Own).unwrap().peers;
    assert!(own.len() == 4 && own.iter().all(|peer| peer.address.is_ipv4()));
    // An IPv4 client that a dual-stack socket shows as IPv6 is one.
    let mapped = scene.announce("::ffff:1.0.0.1", &leecher(1)).unwrap();
    assert_eq!(mapped.external_ip, Some("1.0.0.1".parse().unwrap()));
}

#[test]
fn a_client_on_both_families_is_counted_once() {
    let mut scene = Scene::new();
    scene.announce("1.0.0.1", &leecher(1)).unwrap();
    scene.announce("2001:db8::1", &leecher(1)).unwrap();
    assert_eq!(scene.counts(), Some((0, 1, 0, 1)));
    let completed = AnnounceRequest { event: AnnounceEvent::Completed, ..seed(1) };
    scene.announce("1.0.0.1", &completed).unwrap();
    scene.announce("2001:db8::1", &completed).unwrap();
    assert_eq!(scene.counts(), Some((1, 0, 1, 0)));
    scene.announce("2001:db8::1", &stopped(1)).unwrap();
    assert_eq!(scene.counts(), Some((1, 0, 1, 0)));
    scene.announce("2001:db8::1", &AnnounceRequest { key: Some(99), ..seed(1) }).unwrap();
    assert_eq!(scene.counts(), Some((2, 0, 1, 0)), "another key is another client");
    assert!(!scene.peers("1.0.0.1", &leecher(1)).contains(&"1.0.0.1:6881".into()));
}

#[test]
fn stopped_removes_at_once_and_is_given_no_peers() {
    let mut scene = Scene::new();
    scene.announce("1.0.0.1", &leecher(1)).unwrap();
    scene.announce("1.0.0.2", &leecher(2)).unwrap();
    assert!(scene.peers("1.0.0.1", &stopped(1)).is_empty());
    assert!(scene.peers("1.0.0.2", &leecher(2)).is_empty());
    scene.announce("1.0.0.2", &stopped(2)).unwrap();
    assert_eq!(scene.counts(), None);
    assert_eq!(scene.tracker.totals(), TrackerServerTotals::default());
    assert_eq!(scene.tracker.next_deadline(), None);
    // From one that was never there.
    scene.announce("1.0.0.3", &stopped(3)).unwrap();
    assert_eq!(scene.tracker.totals(), TrackerServerTotals::default());
}

#[test]
fn nobody_can_stop_another() {
    let mut scene = Scene::new();
    scene.announce("1.0.0.1", &leecher(1)).unwrap();
    let forged = AnnounceRequest { key: Some(1000), ..stopped(1) };
    scene.announce("6.6.6.6", &forged).unwrap();
    assert_eq!(scene.announce("1.0.0.1", &forged), Err(Refusal::WrongKey));
    assert_eq!(scene.announce("1.0.0.1", &AnnounceRequest { key: None, ..stopped(1) }), Err(Refusal::WrongKey));
    assert_eq!(scene.counts(), Some((0, 1, 0, 1)));
}

#[test]
fn a_client_whose_address_changes_is_known_by_its_key() {
    let mut scene = Scene::new();
    scene.announce("1.0.0.1", &leecher(1)).unwrap();
    assert!(scene.peers("1.0.0.2", &leecher(1)).is_empty());
    assert_eq!(scene.tracker.totals().peers, 1);
    assert_eq!(scene.peers("1.0.0.3", &leecher(3)), ["1.0.0.2:6881"]);
    scene.announce("1.0.0.4", &stopped(1)).unwrap();
    assert_eq!(scene.tracker.totals().peers, 1);
    scene.check();
}

#[test]
fn a_client_that_restarts_at_its_address_takes_its_place_over() {
    let mut scene = Scene::new();
    scene.announce("1.0.0.1", &leecher(1)).unwrap();
    scene.announce("1.0.0.1", &leecher(2)).unwrap();
    assert_eq!(scene.counts(), Some((0, 1, 0, 1)));
    let peers = scene.announce("1.0.0.3", &leecher(3)).unwrap().peers;
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].peer_id, Some([2; 20]));
    scene.check();
}

#[test]
fn completed_is_counted_once_for_each_client() {
    let mut scene = Scene::new();
    let completed = AnnounceRequest { event: AnnounceEvent::Completed, ..seed(1) };
    scene.announce("1.0.0.1", &leecher(1)).unwrap();
    scene.announce("1.0.0.1", &completed).unwrap();
    scene.announce("1.0.0.1", &completed).unwrap();
    scene.announce("1.0.0.2", &AnnounceRequest { left: 5, ..completed.clone() }).unwrap();
    assert_eq!(scene.counts(), Some((0, 1, 1, 1)), "who says completed while bytes are missing did not complete");
}

#[test]
fn members_that_fall_silent_for_two_intervals_are_dropped() {
    let mut scene = Scene::new();
    scene.announce("1.0.0.1", &leecher(1)).unwrap();
    scene.now += SECOND * 600;
    scene.announce("1.0.0.2", &leecher(2)).unwrap();
    assert_eq!(scene.tracker.next_deadline(), Some(Instant::ZERO + SECOND * 1200));
    scene.now += SECOND * 599;
    assert_eq!(scene.peers("1.0.0.3", &leecher(3)).len(), 2);
    scene.now += SECOND;
    assert_eq!(scene.peers("1.0.0.3", &leecher(3)), ["1.0.0.2:6881"]);
    // An announce in between is a new lease.
    scene.announce("1.0.0.2", &leecher(2)).unwrap();
    scene.now += SECOND * 1199;
    scene.tracker.expire(scene.now);
    assert_eq!(scene.tracker.totals().peers, 2);
    scene.now += SECOND;
    scene.tracker.expire(scene.now);
    assert_eq!(scene.tracker.totals(), TrackerServerTotals::default());
}

#[test]
fn a_crowd_that_falls_silent_together_is_dropped_a_few_at_a_time() {
    let mut scene = Scene::new();
    for number in 0..1000_u16 {
        scene.announce(&alloc::format!("1.0.{}.{}", number / 250, number % 250), &AnnounceRequest { key: None, ..leecher(1) }).unwrap();
    }
    scene.now += SECOND * 3600;
    scene.tracker.expire(scene.now);
    assert_eq!(scene.tracker.totals().peers, 1000 - MAX_EXPIRED_AT_ONCE);
    while scene.tracker.next_deadline().is_some_and(|deadline| deadline <= scene.now) {
        scene.tracker.expire(scene.now);
        scene.check();
    }
    assert_eq!(scene.tracker.totals().peers, 0);
}

#[test]
fn the_choice_is_random_bounded_and_without_repetition() {
    let mut scene = Scene::new();
    for number in 0..=255 {
        scene.announce(&alloc::format!("1.0.0.{number}"), &if number < 100 { seed(number) } else { leecher(number) }).unwrap();
    }
    let mut ever = Set::new();
    for _ in 0..100 {
        let peers = scene.peers("1.0.0.200", &leecher(200));
        assert_eq!(peers.len(), 50, "the default");
        assert_eq!(peers.iter().collect::<Set<_>>().len(), 50);
        ever.extend(peers);
    }
    assert_eq!(ever.len(), 255, "everybody but the asker");
    let wanting = |wanted| AnnounceRequest { peers_wanted: Some(wanted), ..leecher(200) };
    assert_eq!(scene.peers("1.0.0.200", &wanting(u32::MAX)).len(), 200);
    assert_eq!(scene.peers("1.0.0.200", &wanting(0)).len(), 0);
    assert_eq!(scene.peers("1.0.0.200", &wanting(7)).len(), 7);
    scene.check();
}

#[test]
fn the_caps_hold() {
    let mut scene = Scene::with(TrackerServerConfig { max_torrents: 2, max_peers_per_torrent: 2, max_peers: 3, ..Default::default() });
    let of = |torrent: u8, number| AnnounceRequest { info_hash: InfoHash([torrent; 20]), ..leecher(number) };
    scene.announce("1.0.0.1", &of(1, 1)).unwrap();
    scene.announce("1.0.0.2", &of(1, 2)).unwrap();
    let served = scene.announce("1.0.0.3", &of(1, 3)).unwrap();
    assert_eq!((served.peers.len(), served.counts.incomplete), (2, Some(2)), "served, but not listed");
    scene.announce("1.0.0.1", &of(2, 1)).unwrap();
    assert_eq!(scene.announce("1.0.0.1", &of(3, 1)), Err(Refusal::Full));
    scene.announce("1.0.0.2", &of(2, 2)).unwrap();
    assert_eq!(scene.tracker.totals(), TrackerServerTotals { torrents: 2, peers: 3 });
    scene.announce("1.0.0.1", &of(2, 1)).unwrap();
    scene.announce("1.0.0.1", &AnnounceRequest { event: AnnounceEvent::Stopped, ..of(2, 1) }).unwrap();
    scene.announce("1.0.0.1", &of(3, 1)).unwrap();
    scene.check();
}

#[test]
fn only_allowed_torrents_are_tracked() {
    let mut scene = Scene::with(TrackerServerConfig { allowed: Some([HASH].into()), ..Default::default() });
    scene.announce("1.0.0.1", &leecher(1)).unwrap();
    let other = AnnounceRequest { info_hash: InfoHash([0; 20]), ..leecher(1) };
    assert_eq!(scene.announce("1.0.0.1", &other), Err(Refusal::NotTracked));
}

#[test]
fn who_listens_nowhere_is_served_but_not_listed() {
    let mut scene = Scene::new();
    scene.announce("1.0.0.1", &leecher(1)).unwrap();
    assert_eq!(scene.peers("1.0.0.2", &AnnounceRequest { port: 0, ..leecher(2) }), ["1.0.0.1:6881"]);
    assert_eq!(scene.tracker.totals().peers, 1);
}

#[test]
fn the_same_seed_and_requests_give_the_same_answers() {
    let run = |seed| {
        let mut tracker = TrackerServer::new(TrackerServerConfig::default(), Seed::from_u64(seed));
        let mut answers = Vec::new();
        for number in 0..200 {
            let ip = IpAddr::from([1, 0, 0, number]);
            let request = AnnounceRequest { peers_wanted: Some(10), ..leecher(number) };
            answers.push(tracker.announce(Instant::ZERO, ip, &request, Families::Both).unwrap());
        }
        answers
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn requests() -> impl Strategy<Value = (u64, IpAddr, AnnounceRequest)> {
        let events = prop_oneof![
            Just(AnnounceEvent::None),
            Just(AnnounceEvent::Started),
            Just(AnnounceEvent::Completed),
            Just(AnnounceEvent::Stopped),
            Just(AnnounceEvent::Paused),
        ];
        let ips = prop_oneof![
            (0..3_u8).prop_map(|last| IpAddr::from([1, 0, 0, last])),
            (0..3_u16).prop_map(|last| IpAddr::from([0x2001, 0, 0, 0, 0, 0, 0, last])),
        ];
        (0..900_u64, ips, 0..2_u8, 0..4_u8, 1..3_u16, 0..2_u64, events, proptest::option::of(0..2_u32)).prop_map(
            |(wait, ip, torrent, id, port, left, event, key)| {
                let request =
                    AnnounceRequest { info_hash: InfoHash([torrent; 20]), peer_id: [id; 20], port, left, event, key, ..leecher(0) };
                (wait, ip, request)
            },
        )
    }

    proptest! {
        #[test]
        fn lists_counts_and_chains_agree_whatever_is_announced(requests in proptest::collection::vec(requests(), 0..120)) {
            let mut scene = Scene::new();
            for (wait, ip, request) in requests {
                scene.now += SECOND * wait as u32;
                let address = SocketAddr::new(ip, request.port);
                if let Ok(response) = scene.tracker.announce(scene.now, ip, &request, Families::Both) {
                    let members: Set<_> = response.peers.iter().map(|peer| peer.address).collect();
                    prop_assert_eq!(members.len(), response.peers.len());
                    prop_assert!(!members.contains(&address));
                    let counts = response.counts;
                    prop_assert!(counts.downloaders <= counts.incomplete);
                }
                scene.check();
            }
            while let Some(deadline) = scene.tracker.next_deadline() {
                scene.tracker.expire(deadline);
                scene.check();
            }
            prop_assert!(scene.tracker.torrents.is_empty());
        }
    }
}
