use super::*;
use crate::{
    rng::Seed,
    tracker::{Retry, TrackerPeer},
};
use alloc::{format, string::ToString, vec};
use std::collections::BTreeMap;

const MINUTE: u64 = 60;
const DOWNLOADING: Statistics = Statistics { uploaded: 1, downloaded: 2, left: 3, peers_wanted: 50, peers_known: 100, partial_seed: false };
const COMPLETE: Statistics = Statistics { left: 0, ..DOWNLOADING };
const LONELY: Statistics = Statistics { peers_known: 0, ..DOWNLOADING };

/// An announcer at a moment, and the torrent's statistics.
struct Scene {
    announcer: Announcer,
    now: Instant,
    statistics: Statistics,
}

impl Scene {
    fn new(reach: Reach, tiers: &[&[&str]]) -> Scene {
        let config = AnnouncerConfig { reach, jitter_percent: 0, ..AnnouncerConfig::default() };
        Scene::with(config, tiers, 0)
    }

    fn with(config: AnnouncerConfig, tiers: &[&[&str]], seed: u64) -> Scene {
        let mut announcer = Announcer::new(urls(tiers), config, Rng::new(Seed::from_u64(seed)));
        let now = Instant::ZERO + Duration::from_secs(1000);
        announcer.start(now);
        Scene { announcer, now, statistics: DOWNLOADING }
    }

    fn announces(&mut self) -> Vec<Announce> {
        let announces: Vec<_> = core::iter::from_fn(|| self.announcer.poll(self.now, &self.statistics)).collect();
        if self.announcer.under_way == 0 {
            assert!(
                self.announcer.next_deadline().is_none_or(|deadline| deadline > self.now),
                "a drained machine wants to be woken at once"
            );
        }
        announces
    }

    /// What is announced now, as "host event".
    fn said(&mut self) -> Vec<String> {
        self.announces().iter().map(describe).collect()
    }

    /// The one announce made now.
    fn only(&mut self) -> Announce {
        let mut announces = self.announces();
        assert_eq!(announces.len(), 1, "{announces:?}");
        announces.remove(0)
    }

    fn answer(&mut self, announce: &Announce) -> Handled {
        self.answer_with(announce, &response(30 * MINUTE))
    }

    fn answer_with(&mut self, announce: &Announce, response: &AnnounceResponse) -> Handled {
        self.announcer.handle(self.now, announce.id, Ok(response))
    }

    fn fail(&mut self, announce: &Announce) -> Handled {
        self.fail_with(announce, &TrackerFailure::Unreachable("connection refused".into()))
    }

    fn fail_with(&mut self, announce: &Announce, failure: &TrackerFailure) -> Handled {
        self.announcer.handle(self.now, announce.id, Err(failure))
    }

    /// Announces what is due, answered as `up` says by the URL.
    fn round(&mut self, up: impl Fn(&str) -> bool) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let announces = self.announces();
            if announces.is_empty() {
                return said;
            }
            for announce in announces {
                said.push(describe(&announce));
                if up(&announce.url) {
                    self.answer(&announce)
                } else {
                    self.fail(&announce)
                };
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// Seconds until the next deadline, in full.
    fn wait(&self) -> Option<u64> {
        self.announcer.next_deadline().map(|deadline| (deadline - self.now).as_secs())
    }
}

fn describe(announce: &Announce) -> String {
    format!("{} {:?}", announce.url.trim_start_matches("http://"), announce.event).to_lowercase()
}

fn urls(tiers: &[&[&str]]) -> Vec<Vec<String>> {
    tiers.iter().map(|tier| tier.iter().map(|host| format!("http://{host}")).collect()).collect()
}

/// An answer that names as many peers as anybody wants.
fn response(interval: u64) -> AnnounceResponse {
    AnnounceResponse { interval: Some(Duration::from_secs(interval)), ..naming(50) }
}

fn naming(peers: u8) -> AnnounceResponse {
    let peers = (0..peers).map(|number| TrackerPeer { address: ([10, 0, 0, number], 6881).into(), peer_id: None });
    AnnounceResponse { peers: peers.collect(), ..AnnounceResponse::default() }
}

fn refusal(retry: Retry) -> TrackerFailure {
    TrackerFailure::Refused { reason: "not registered".into(), retry }
}

#[test]
fn the_first_announce_is_started_and_later_ones_have_no_event() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    assert_eq!(scene.round(|_| true), ["a started"]);
    assert_eq!(scene.wait(), Some(5 * MINUTE), "to see whether peers are few");
    scene.pass(30 * MINUTE - 1);
    assert!(scene.said().is_empty());
    scene.pass(1);
    assert_eq!(scene.round(|_| true), ["a none"]);
}

#[test]
fn nothing_is_said_before_the_start() {
    let mut announcer = Announcer::new(urls(&[&["a"]]), AnnouncerConfig::default(), Rng::new(Seed::from_u64(0)));
    assert_eq!(announcer.poll(Instant::MAX, &DOWNLOADING), None);
    assert_eq!(announcer.next_deadline(), None);
    assert!(announcer.is_stopped());
}

#[test]
fn announces_carry_the_statistics_of_their_moment_and_the_same_key_everywhere() {
    let mut scene = Scene::new(Reach::EveryTracker, &[&["a"], &["b"]]);
    scene.statistics.peers_wanted = 100_000;
    let announces = scene.announces();
    assert_eq!(announces.len(), 2);
    for announce in &announces {
        assert_eq!((announce.uploaded, announce.downloaded, announce.left), (1, 2, 3));
        assert_eq!(announce.peers_wanted, 200);
        assert_eq!(announce.key, scene.announcer.key());
    }
    let other = Scene::with(AnnouncerConfig::default(), &[], 1);
    assert_ne!(other.announcer.key(), scene.announcer.key());
}

#[test]
fn a_tracker_never_has_two_announces_under_way() {
    let mut scene = Scene::new(Reach::EveryTracker, &[&["a"]]);
    let announce = scene.only();
    scene.announcer.complete(scene.now);
    scene.announcer.update(scene.now);
    scene.pass(100 * MINUTE);
    assert!(scene.said().is_empty());
    assert_eq!(scene.announcer.next_deadline(), None);
    scene.answer(&announce);
    assert_eq!(scene.said(), ["a completed"]);
}

#[test]
fn every_tier_has_one_working_tracker_by_default() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"], &["b1", "b2"], &["c"]]);
    let said = scene.round(|url| !url.ends_with('c'));
    assert_eq!(said.len(), 3);
    assert_eq!(said.iter().filter(|said| said.starts_with('b')).count(), 1);
    scene.pass(5);
    assert_eq!(scene.round(|_| true), ["c started"]);
}

#[test]
fn a_tier_is_shuffled_once() {
    let mut firsts = BTreeMap::new();
    for seed in 0..100 {
        let mut scene = Scene::with(AnnouncerConfig::default(), &[&["a", "b", "c"]], seed);
        *firsts.entry(scene.said().concat()).or_insert(0) += 1;
    }
    assert_eq!(firsts.len(), 3);
    assert!(firsts.values().all(|count| *count > 15), "{firsts:?}");
}

#[test]
fn a_tracker_that_answered_moves_to_the_front_of_its_tier() {
    let mut scene = Scene::new(Reach::OneTracker, &[&["a", "b", "c"], &["backup"]]);
    let order = |scene: &Scene| scene.announcer.status().map(|tracker| tracker.url.to_string()).collect::<Vec<_>>();
    let before = order(&scene);
    let [first, second, third, backup] = before.as_slice() else { panic!("{before:?}") };
    assert_eq!(backup, "http://backup");
    let second_and_third = scene.round(|url| url == second);
    assert_eq!(second_and_third.len(), 2);
    assert_eq!(order(&scene).iter().collect::<Vec<_>>(), [second, first, third, backup]);
    scene.pass(30 * MINUTE);
    // The text's example: neither of the first two can be reached, the third moves before them.
    scene.round(|url| url == third);
    assert_eq!(order(&scene).iter().collect::<Vec<_>>(), [third, second, first, backup]);
}

#[test]
fn a_tier_is_exhausted_before_the_next() {
    let mut scene = Scene::new(Reach::OneTracker, &[&["a1", "a2"], &["b"]]);
    let said = scene.round(|url| url.ends_with('b'));
    assert_eq!(said.len(), 3);
    assert!(said[0].starts_with('a') && said[1].starts_with('a') && said[2].starts_with('b'), "{said:?}");
}

#[test]
fn a_private_torrent_stays_with_its_tracker_until_that_fails_and_is_told_of_the_switch() {
    let mut scene = Scene::new(Reach::OneTracker, &[&["a"], &["b"]]);
    let announce = scene.only();
    scene.fail(&announce);
    let announce = scene.only();
    assert_eq!(describe(&announce), "b started");
    assert_eq!(scene.answer(&announce), Handled::Answered { switched: false });
    for _ in 0..3 {
        scene.pass(30 * MINUTE);
        let announce = scene.only();
        assert_eq!(describe(&announce), "b none");
        assert_eq!(scene.answer(&announce), Handled::Answered { switched: false });
    }
    scene.pass(30 * MINUTE);
    let announce = scene.only();
    assert_eq!(scene.fail(&announce), Handled::Failed);
    let announce = scene.only();
    assert_eq!(describe(&announce), "a started");
    assert_eq!(scene.answer(&announce), Handled::Answered { switched: true });
}

#[test]
fn all_trackers_failing_are_retried_after_waits_that_double() {
    let mut scene = Scene::new(Reach::OneTracker, &[&["a"], &["b"]]);
    let mut waits = Vec::new();
    for _ in 0..12 {
        assert_eq!(scene.round(|_| false), ["a started", "b started"]);
        let wait = scene.wait().unwrap();
        waits.push(wait);
        scene.pass(wait);
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800, 1800]);
    assert_eq!(scene.round(|_| true), ["a started"]);
    assert!(scene.wait().unwrap() >= 300);
}

#[test]
fn how_often_a_tracker_could_not_be_reached_does_not_count_when_it_refuses() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    for wait in [5, 10, 20, 40] {
        let announce = scene.only();
        scene.fail(&announce);
        scene.pass(wait);
    }
    for wait in [60, 120] {
        let announce = scene.only();
        scene.fail_with(&announce, &refusal(Retry::Unstated));
        assert_eq!(scene.wait(), Some(wait));
        scene.pass(wait);
    }
}

#[test]
fn a_refusal_waits_longer_than_a_network_failure_and_honours_retry_in() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    let announce = scene.only();
    scene.fail_with(&announce, &refusal(Retry::Unstated));
    assert_eq!(scene.wait(), Some(60));
    scene.pass(60);
    let announce = scene.only();
    scene.fail_with(&announce, &refusal(Retry::After(Duration::from_secs(17 * MINUTE))));
    assert_eq!(scene.wait(), Some(17 * MINUTE));
    scene.announcer.update(scene.now);
    assert_eq!(scene.wait(), Some(17 * MINUTE));
    scene.pass(17 * MINUTE);
    let announce = scene.only();
    scene.fail_with(&announce, &refusal(Retry::Never));
    assert_eq!(scene.announcer.next_deadline(), None);
    let status = scene.announcer.status().next().unwrap();
    assert_eq!((status.state, status.last_error), (TrackerState::Disabled, Some("the tracker refused: not registered")));
}

#[test]
fn a_tracker_that_refuses_for_ever_leaves_room_for_the_next() {
    let mut scene = Scene::new(Reach::OneTracker, &[&["a"], &["b"]]);
    let announce = scene.only();
    scene.fail_with(&announce, &refusal(Retry::Never));
    assert_eq!(scene.round(|_| false), ["b started"]);
    scene.pass(5);
    assert_eq!(scene.round(|_| true), ["b started"]);
}

#[test]
fn completed_is_announced_once_on_the_transition() {
    let mut scene = Scene::new(Reach::EveryTracker, &[&["a"], &["b"]]);
    scene.round(|url| url.ends_with('a'));
    scene.statistics = COMPLETE;
    scene.announcer.complete(scene.now);
    assert_eq!(scene.round(|_| true), ["a completed"], "b has never heard of us");
    scene.announcer.complete(scene.now);
    scene.pass(5);
    assert_eq!(scene.round(|_| true), ["b started"]);
    scene.pass(31 * MINUTE);
    assert_eq!(scene.round(|_| true), ["a none", "b none"]);
}

#[test]
fn completed_waits_for_the_answer_to_started() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    let started = scene.only();
    scene.statistics = COMPLETE;
    scene.announcer.complete(scene.now);
    scene.answer(&started);
    assert_eq!(scene.round(|_| true), ["a completed"]);
}

#[test]
fn completed_is_repeated_until_it_is_heard() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    scene.round(|_| true);
    scene.announcer.complete(scene.now);
    assert_eq!(scene.round(|_| false), ["a completed"]);
    scene.pass(5);
    assert_eq!(scene.round(|_| true), ["a completed"]);
    scene.pass(30 * MINUTE);
    assert_eq!(scene.round(|_| true), ["a none"]);
}

#[test]
fn a_seed_never_announces_completed() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    scene.statistics = COMPLETE;
    assert_eq!(scene.round(|_| true), ["a started"]);
    assert_eq!(scene.wait(), Some(5 * MINUTE));
    scene.pass(5 * MINUTE);
    assert!(scene.said().is_empty());
    assert_eq!(scene.wait(), Some(25 * MINUTE), "a seed does not look for peers");
    scene.pass(25 * MINUTE);
    assert_eq!(scene.round(|_| true), ["a none"]);
}

#[test]
fn partial_seeds_say_paused_in_every_announce_but_the_last() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    scene.statistics.partial_seed = true;
    assert_eq!(scene.round(|_| true), ["a paused"]);
    scene.pass(30 * MINUTE);
    assert_eq!(scene.round(|_| true), ["a paused"]);
    scene.statistics.partial_seed = false;
    scene.pass(30 * MINUTE);
    assert_eq!(scene.round(|_| true), ["a none"]);
    scene.statistics.partial_seed = true;
    scene.announcer.stop(scene.now);
    assert_eq!(scene.round(|_| true), ["a stopped"]);
}

#[test]
fn stopped_goes_to_each_tracker_that_answered_and_to_no_other() {
    let mut scene = Scene::new(Reach::EveryTracker, &[&["a"], &["b"], &["c"]]);
    scene.round(|url| !url.ends_with('b'));
    scene.announcer.stop(scene.now);
    assert!(!scene.announcer.is_stopped());
    let stops = scene.announces();
    assert_eq!(stops.iter().map(describe).collect::<Vec<_>>(), ["a stopped", "c stopped"]);
    assert!(stops.iter().all(|stop| stop.peers_wanted == 0));
    scene.answer(&stops[0]);
    assert!(!scene.announcer.is_stopped());
    scene.fail(&stops[1]);
    assert!(scene.announcer.is_stopped());
    assert_eq!(scene.announcer.next_deadline(), None);
    scene.pass(100 * MINUTE);
    assert!(scene.said().is_empty());
}

#[test]
fn a_tracker_that_does_not_answer_cannot_hold_up_the_end() {
    let mut scene = Scene::new(Reach::EveryTracker, &[&["a"], &["b"]]);
    let announces = scene.announces();
    scene.answer(&announces[0]);
    scene.announcer.stop(scene.now);
    assert_eq!(scene.said(), ["a stopped"]);
    assert_eq!(scene.wait(), Some(10));
    scene.pass(10);
    assert!(scene.said().is_empty());
    assert!(scene.announcer.is_stopped());
    assert_eq!(scene.answer(&announces[1]), Handled::Stale);
}

#[test]
fn a_tracker_that_answers_while_stopping_hears_stopped() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    let started = scene.only();
    scene.announcer.stop(scene.now);
    assert!(scene.said().is_empty());
    scene.answer(&started);
    assert_eq!(scene.round(|_| true), ["a stopped"]);
    assert!(scene.announcer.is_stopped());
}

#[test]
fn completed_is_said_before_stopped_even_if_both_come_at_once() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    scene.round(|_| true);
    scene.statistics = COMPLETE;
    scene.announcer.complete(scene.now);
    scene.announcer.stop(scene.now);
    assert_eq!(scene.round(|_| true), ["a completed", "a stopped"]);
    assert!(scene.announcer.is_stopped());
}

#[test]
fn a_stop_with_nobody_to_tell_is_over_at_once() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    scene.round(|_| false);
    scene.announcer.stop(scene.now);
    assert!(scene.announcer.is_stopped());
}

#[test]
fn a_new_start_says_started_again_after_what_was_under_way() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    scene.round(|_| true);
    scene.announcer.stop(scene.now);
    let stopped = scene.only();
    scene.announcer.start(scene.now);
    assert!(scene.said().is_empty(), "one announce a tracker at a time");
    scene.answer(&stopped);
    assert_eq!(scene.round(|_| true), ["a started"]);
}

#[test]
fn few_peers_bring_the_minimum_interval_instead_of_the_interval() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    scene.statistics = LONELY;
    let answer = AnnounceResponse { min_interval: Some(Duration::from_secs(2 * MINUTE)), ..response(30 * MINUTE) };
    let announce = scene.only();
    scene.answer_with(&announce, &answer);
    scene.pass(2 * MINUTE - 1);
    assert!(scene.said().is_empty());
    scene.pass(1);
    let announce = scene.only();
    scene.answer_with(&announce, &answer);
    scene.statistics = DOWNLOADING;
    scene.pass(2 * MINUTE);
    assert!(scene.said().is_empty());
    assert_eq!(scene.wait(), Some(2 * MINUTE), "looks again at the peers");
    scene.statistics = LONELY;
    scene.pass(2 * MINUTE);
    assert_eq!(scene.said(), ["a none"]);
}

#[test]
fn a_young_swarm_is_looked_at_once_more_after_the_minimum_interval() {
    let young = AnnounceResponse { interval: Some(Duration::from_secs(30 * MINUTE)), ..naming(20) };
    for (statistics, waits) in [(DOWNLOADING, [5, 30, 30]), (COMPLETE, [30, 30, 30])] {
        let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
        scene.statistics = statistics;
        for (count, minutes) in waits.into_iter().enumerate() {
            let announce = scene.only();
            scene.answer_with(&announce, &young);
            scene.pass(minutes * MINUTE - 1);
            assert!(scene.said().is_empty(), "announce {count}");
            scene.pass(1);
        }
    }
}

#[test]
fn an_update_honours_the_minimum_interval() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    let announce = scene.only();
    scene.answer_with(&announce, &AnnounceResponse { min_interval: Some(Duration::from_secs(10 * MINUTE)), ..response(30 * MINUTE) });
    scene.pass(MINUTE);
    scene.announcer.update(scene.now);
    assert!(scene.said().is_empty());
    scene.pass(9 * MINUTE);
    assert_eq!(scene.said(), ["a none"]);
}

#[test]
fn an_update_tries_failing_trackers_again() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    for wait in [5, 10, 20, 40, 80] {
        scene.round(|_| false);
        scene.pass(wait);
    }
    scene.round(|_| false);
    assert_eq!(scene.wait(), Some(160));
    scene.announcer.update(scene.now);
    assert_eq!(scene.wait(), Some(5));
}

#[test]
fn intervals_are_clamped() {
    for (stated, followed) in [(0, 30), (1, 30), (29, 30), (MINUTE, MINUTE), (u64::MAX / 2_000_000, 24 * 60 * MINUTE)] {
        let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
        scene.statistics = COMPLETE;
        let announce = scene.only();
        scene.answer_with(&announce, &response(stated));
        scene.pass(followed - 1);
        assert!(scene.said().is_empty());
        scene.pass(1);
        assert_eq!(scene.said(), ["a none"]);
    }
}

#[test]
fn a_minimum_interval_above_the_interval_wins() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    scene.statistics = LONELY;
    let announce = scene.only();
    scene.answer_with(&announce, &AnnounceResponse { min_interval: Some(Duration::from_secs(20 * MINUTE)), ..response(MINUTE) });
    assert_eq!(scene.wait(), Some(20 * MINUTE));
}

#[test]
fn jitter_only_prolongs_waits_and_differs() {
    let mut waits = Vec::new();
    for seed in 0..20 {
        let mut scene = Scene::with(AnnouncerConfig::default(), &[&["a"]], seed);
        scene.statistics = COMPLETE;
        scene.round(|_| true);
        scene.pass(6 * MINUTE);
        assert!(scene.said().is_empty());
        let wait = scene.wait().unwrap() + 6 * MINUTE;
        assert!((30 * MINUTE..=30 * MINUTE * 105 / 100).contains(&wait), "{wait}");
        waits.push(wait);
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 10);
}

#[test]
fn a_tracker_id_is_sent_back_until_another_comes() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    let announce = scene.only();
    assert_eq!(announce.tracker_id, None);
    scene.answer_with(&announce, &AnnounceResponse { tracker_id: Some(vec![1]), ..response(30 * MINUTE) });
    for answer in [None, Some(vec![2])] {
        scene.pass(30 * MINUTE);
        let announce = scene.only();
        assert_eq!(announce.tracker_id, Some(vec![1]));
        scene.answer_with(&announce, &AnnounceResponse { tracker_id: answer, ..response(30 * MINUTE) });
    }
    scene.pass(30 * MINUTE);
    assert_eq!(scene.only().tracker_id, Some(vec![2]));
}

#[test]
fn an_answer_counts_once() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    let announce = scene.only();
    scene.answer(&announce);
    assert_eq!(scene.fail(&announce), Handled::Stale);
    assert_eq!(scene.announcer.status().next().unwrap().state, TrackerState::Working);
}

#[test]
fn trackers_no_longer_listed_hear_stopped_and_kept_ones_keep_their_state() {
    let mut scene = Scene::new(Reach::EveryTracker, &[&["a"], &["b"]]);
    scene.round(|_| true);
    scene.announcer.set_trackers(scene.now, urls(&[&["c"], &["b"]]));
    assert_eq!(scene.round(|_| true), ["a stopped", "c started"]);
    let trackers: Vec<_> = scene.announcer.status().map(|tracker| (tracker.url, tracker.tier)).collect();
    assert_eq!(trackers, [("http://c", 0), ("http://b", 1)]);
    scene.announcer.stop(scene.now);
    assert_eq!(scene.round(|_| true).len(), 2);
    assert!(scene.announcer.is_stopped());
}

#[test]
fn an_answer_of_a_tracker_no_longer_listed_is_followed_by_stopped() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"]]);
    let announce = scene.only();
    scene.announcer.set_trackers(scene.now, urls(&[&["b"]]));
    assert_eq!(scene.round(|_| true), ["b started"]);
    scene.answer(&announce);
    assert_eq!(scene.round(|_| true), ["a stopped"]);
    assert_eq!(scene.announcer.trackers.len(), 1);
}

#[test]
fn the_list_is_cleaned_of_duplicates_other_schemes_and_excess() {
    let tiers = vec![
        vec!["HTTP://a/".to_string(), " http://b/ ".into(), "wss://c/".into(), "dht://d".into(), String::new()],
        vec!["http://b/".into(), "http://e/\r\nX: y".into(), "udp://f:1".into(), format!("http://{}", "x".repeat(3000))],
        vec!["https://g/".into(); 5],
    ];
    let config = AnnouncerConfig { max_trackers: 4, ..AnnouncerConfig::default() };
    let announcer = Announcer::new(tiers, config, Rng::new(Seed::from_u64(0)));
    let mut trackers: Vec<_> = announcer.status().map(|tracker| (tracker.tier, tracker.url)).collect();
    trackers.sort_unstable();
    assert_eq!(trackers, [(0, "HTTP://a/"), (0, "http://b/"), (1, "udp://f:1"), (2, "https://g/")]);
    let many = vec![(0..1000).map(|number| format!("http://{number}/")).collect()];
    let announcer = Announcer::new(many, AnnouncerConfig::default(), Rng::new(Seed::from_u64(0)));
    assert_eq!(announcer.status().count(), 100);
}

#[test]
fn a_long_list_is_not_announced_to_all_at_once() {
    let config = AnnouncerConfig { max_under_way: 2, jitter_percent: 0, ..AnnouncerConfig::default() };
    let mut scene = Scene::with(config, &[&["a"], &["b"], &["c"]], 0);
    let announces = scene.announces();
    assert_eq!(announces.len(), 2);
    assert_eq!(scene.announcer.next_deadline(), None);
    scene.fail(&announces[0]);
    assert_eq!(scene.said(), ["c started"]);
}

#[test]
fn the_same_seed_and_answers_give_the_same_announces() {
    let run = |seed| {
        let mut scene = Scene::with(AnnouncerConfig::default(), &[&["a1", "a2", "a3"], &["b1", "b2"]], seed);
        let mut said = Vec::new();
        for step in 0..200 {
            said.extend(scene.round(|url| (url.len() + step) % 3 != 0 || url.ends_with('2')));
            said.push(format!("{:?}", scene.announcer.next_deadline()));
            scene.now = scene.announcer.next_deadline().unwrap().max(scene.now);
        }
        said
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Pass(u64),
        Poll,
        Answer(usize, bool),
        Start,
        Stop,
        Complete,
        Update,
        Replace(u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..4000_u64).prop_map(Step::Pass),
            Just(Step::Poll),
            Just(Step::Poll),
            (any::<usize>(), any::<bool>()).prop_map(|(which, up)| Step::Answer(which, up)),
            (any::<usize>(), any::<bool>()).prop_map(|(which, up)| Step::Answer(which, up)),
            Just(Step::Start),
            Just(Step::Stop),
            Just(Step::Complete),
            Just(Step::Update),
            any::<u8>().prop_map(Step::Replace),
        ];
        proptest::collection::vec(step, 0..60)
    }

    proptest! {
        /// Whatever happens: one announce a tracker, `stopped` only after something else, nothing more once stopped, and the end comes.
        #[test]
        fn the_rules_hold_in_any_order_of_events(steps in steps(), reach in 0..3) {
            let reach = [Reach::OneTracker, Reach::EveryTier, Reach::EveryTracker][reach as usize];
            let mut scene = Scene::new(reach, &[&["a", "b"], &["c"]]);
            let mut open: Vec<Announce> = Vec::new();
            let mut joined = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Pass(seconds) => scene.pass(seconds),
                    Step::Poll => {
                        for announce in scene.announces() {
                            if announce.event == AnnounceEvent::Stopped {
                                prop_assert_eq!(joined.insert(announce.url.clone(), false), Some(true));
                            }
                            if announce.event == AnnounceEvent::Completed {
                                prop_assert_eq!(joined.get(&announce.url), Some(&true));
                            }
                            open.push(announce);
                        }
                        let live = open.iter().filter(|one| {
                            scene.announcer.trackers.get(one.id.tracker).and_then(|tracker| tracker.under_way).is_some_and(|under_way| under_way.sequence == one.id.sequence)
                        });
                        prop_assert_eq!(live.count(), scene.announcer.under_way);
                    }
                    Step::Answer(which, up) if !open.is_empty() => {
                        let announce = open.remove(which % open.len());
                        let handled = if up { scene.answer(&announce) } else { scene.fail(&announce) };
                        if matches!(handled, Handled::Answered { .. }) && announce.event != AnnounceEvent::Stopped {
                            joined.insert(announce.url, true);
                        }
                    }
                    Step::Answer(..) => {}
                    Step::Start => scene.announcer.start(scene.now),
                    Step::Stop => scene.announcer.stop(scene.now),
                    Step::Complete => scene.announcer.complete(scene.now),
                    Step::Update => scene.announcer.update(scene.now),
                    Step::Replace(which) => {
                        let lists: [&[&[&str]]; 3] = [&[&["a"]], &[&["c", "d"], &["a", "b"]], &[]];
                        scene.announcer.set_trackers(scene.now, urls(lists[which as usize % 3]));
                    }
                }
            }
            scene.announcer.stop(scene.now);
            scene.announces();
            scene.pass(10);
            scene.announces();
            prop_assert!(scene.announcer.is_stopped());
            prop_assert_eq!(scene.announcer.next_deadline(), None);
        }
    }
}

#[test]
fn a_torrent_that_turns_out_private_keeps_the_first_tracker_that_works_and_leaves_the_others() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"], &["b"], &["c"]]);
    let announces = scene.announces();
    scene.fail(&announces[0]);
    scene.answer(&announces[1]);
    assert!(scene.announcer.use_one_tracker(scene.now), "only b has named peers");
    assert_eq!(scene.answer(&announces[2]), Handled::Stale);
    assert_eq!(scene.round(|_| true), ["c stopped"]);
    scene.pass(30 * MINUTE);
    assert_eq!(scene.round(|_| true), ["b none"]);
    // The one in use fails: now the others' turn comes, as if they were new.
    scene.pass(30 * MINUTE);
    let announce = scene.only();
    scene.fail(&announce);
    let announce = scene.only();
    assert_eq!(describe(&announce), "a started");
    assert_eq!(scene.answer(&announce), Handled::Answered { switched: true });
}

#[test]
fn a_torrent_that_turns_out_private_while_several_answered_or_none_did() {
    let mut scene = Scene::new(Reach::EveryTier, &[&["a"], &["b"]]);
    assert_eq!(scene.round(|_| true), ["a started", "b started"]);
    assert!(!scene.announcer.use_one_tracker(scene.now), "b has named peers, too");
    assert_eq!(scene.round(|_| true), ["b stopped"]);

    let mut scene = Scene::new(Reach::EveryTier, &[&["a"], &["b"]]);
    let announces = scene.announces();
    assert!(announces.iter().all(|announce| scene.announcer.awaits(announce.id)));
    assert!(scene.announcer.use_one_tracker(scene.now));
    assert_eq!(announces.iter().map(|announce| scene.announcer.awaits(announce.id)).collect::<Vec<_>>(), [true, false]);
    assert_eq!(scene.fail(&announces[1]), Handled::Stale);
    assert_eq!(scene.answer(&announces[0]), Handled::Answered { switched: false });
    assert!(scene.said().is_empty());

    let mut announcer = Announcer::new(urls(&[&["a"], &["b"]]), AnnouncerConfig::default(), Rng::new(Seed::from_u64(0)));
    assert!(announcer.use_one_tracker(scene.now));
    announcer.start(scene.now);
    assert!(announcer.poll(scene.now, &DOWNLOADING).is_some());
    assert_eq!(announcer.poll(scene.now, &DOWNLOADING), None, "one at a time");
}
