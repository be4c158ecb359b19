//! Announces: events, tiers, and what becomes of the peers that trackers tell of (BEP 3, 12, 23, 27).

use crate::{
    BLOCK,
    support::{Content, World},
};
use rustor_core::{command::Command, event::Event, input::Input, status::TorrentState, wire::Message};

const ONE: &str = "http://one.test/announce";
const TWO: &str = "http://two.test/announce";

fn content() -> Content {
    Content::tracked(4 * BLOCK as usize, BLOCK, &[&[ONE]])
}

#[test]
fn the_first_announce_says_started_and_all_that_trackers_want_to_know() {
    let (world, content) = (World::new(), content());
    world.has(&content, [2]);
    world.leeches(&content);
    let announces = world.announces();
    let [announce] = &announces[..] else { panic!("{announces:?}") };
    assert!(announce.url.starts_with(ONE));
    assert_eq!((announce.event(), announce.number("port")), (Some("started"), 6881));
    assert_eq!((announce.number("left"), announce.number("downloaded"), announce.number("uploaded")), (3 * u64::from(BLOCK), 0, 0));
    assert_eq!(announce.number("compact"), 1);
}

#[test]
fn who_may_have_few_connections_hears_of_more_peers_all_the_same() {
    let (world, content) = (World::with(|config| config.limits.connections_per_torrent = 3), content());
    world.leeches(&content);
    assert_eq!(world.announces()[0].number("numwant"), 20, "not all of them can be reached");
}

#[test]
fn a_seed_that_may_have_few_connections_hears_of_more_peers_than_that() {
    let (world, content) = (World::with(|config| config.limits.connections_per_torrent = 1), content());
    world.seeds(&content);
    assert_eq!(world.announces()[0].number("numwant"), 10, "not all of them can be reached");
}

#[test]
fn nothing_is_announced_before_the_disk_was_looked_at() {
    let (world, content) = (World::new(), content());
    world.has(&content, 0..4);
    world.disk_holds();
    world.leeches(&content);
    assert!(world.announces().is_empty());
    world.disk_catches_up();
    assert_eq!(world.announces()[0].number("left"), 0);
}

#[test]
fn completed_is_announced_once_and_only_on_the_transition() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    world.tracker_answers(ONE, &[]);
    let seed = world.seed_joins(&content, "10.0.0.1:5000");
    seed.says(Message::Unchoke);
    seed.serves(&content);
    let announces = world.announces();
    assert_eq!(announces.iter().map(|announce| announce.event()).collect::<Vec<_>>(), [Some("completed")]);
    assert_eq!((announces[0].number("left"), announces[0].number("downloaded")), (0, 4 * u64::from(BLOCK)));
    world.tracker_answers(ONE, &[]);
    for _ in 0..10 {
        world.seconds(1900);
        world.announces().iter().for_each(|announce| {
            assert_eq!(announce.event(), None);
            world.tracker_answers(ONE, &[]);
        });
    }
    world.does(Command::Pause(torrent));
    world.tracker_answers(ONE, &[]);
    world.does(Command::Resume(torrent));
    assert_eq!(world.announces()[0].event(), Some("started"));
}

#[test]
fn who_has_everything_from_the_start_never_says_completed() {
    let (world, content) = (World::new(), content());
    world.seeds(&content);
    for event in [Some("started"), None, None] {
        assert_eq!(world.announces()[0].event(), event);
        world.tracker_answers(ONE, &[]);
        world.seconds(1900);
    }
}

#[test]
fn pausing_says_stopped_and_a_later_answer_of_the_start_changes_nothing() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    world.does(Command::Pause(torrent));
    assert_eq!(world.announces().len(), 1, "the start is still under way");
    world.tracker_answers(ONE, &["10.0.0.1:6881"]);
    assert_eq!(world.announces()[0].event(), Some("stopped"));
    assert!(world.dials().is_empty());
    world.tracker_answers(ONE, &[]);
    world.seconds(7200);
    assert!(world.announces().is_empty());
    assert_eq!(world.state(torrent), TorrentState::Paused);
}

#[test]
fn peers_of_a_tracker_are_tried_and_bad_addresses_are_not() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    world.tracker_answers(ONE, &["10.0.0.1:6881", "0.0.0.0:5", "10.0.0.2:0", "224.0.0.1:5", "10.0.0.1:6881", "10.0.0.3:1"]);
    let mut dials: Vec<String> = world.dials().iter().map(|remote| remote.to_string()).collect();
    dials.sort();
    assert_eq!(dials, ["10.0.0.1:6881", "10.0.0.3:1"]);
}

#[test]
fn the_dictionary_form_of_the_peer_list_is_understood() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    world.tracker_says(ONE, (&b"d8:intervali900e5:peersld2:ip8:10.0.0.17:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti7eeee"[..]).into());
    assert_eq!(world.dials(), ["10.0.0.1:7".parse().unwrap()]);
}

#[test]
fn a_peer_list_of_a_length_that_no_list_has_is_the_trackers_failure() {
    let (world, content) = (World::new(), content());
    let torrent = world.leeches(&content);
    world.tracker_says(ONE, (&b"d8:intervali900e5:peers5:abcdee"[..]).into());
    assert!(world.dials().is_empty());
    assert_eq!(world.count_events(|event| matches!(event, Event::TrackerFailed { .. })), 1);
    assert_eq!(world.state(torrent), TorrentState::Downloading);
}

#[test]
fn garbage_from_a_tracker_is_the_trackers_failure() {
    for body in [&b""[..], b"<html>", b"d", b"i5e", b"d14:failure reason4:nope!e", b"d14:failure reason4:nopee"] {
        let (world, content) = (World::new(), content());
        let torrent = world.leeches(&content);
        world.tracker_says(ONE, body.into());
        assert_eq!(world.count_events(|event| matches!(event, Event::TrackerFailed { .. })), 1, "{body:?}");
        assert_eq!(world.state(torrent), TorrentState::Downloading);
    }
}

#[test]
fn when_a_tracker_fails_the_next_of_its_tier_is_asked() {
    let content = Content::tracked(4 * BLOCK as usize, BLOCK, &[&[ONE, TWO]]);
    let world = World::new();
    world.leeches(&content);
    let first = world.announces()[0].url.clone();
    let (first, second) = if first.starts_with(ONE) { (ONE, TWO) } else { (TWO, ONE) };
    assert_eq!(world.announces().len(), 1);
    world.tracker_fails(first);
    let announces = world.announces();
    assert!(announces.len() == 1 && announces[0].url.starts_with(second));
    assert_eq!(announces[0].event(), Some("started"));
    world.tracker_answers(second, &["10.0.0.1:6881"]);
    assert_eq!(world.dials().len(), 1);
}

#[test]
fn a_tracker_that_cannot_be_reached_is_tried_again_ever_more_seldom() {
    let (world, content) = (World::new(), content());
    world.leeches(&content);
    let mut waits = Vec::new();
    for _ in 0..6 {
        world.tracker_fails(ONE);
        let failed = world.now();
        while world.announces().is_empty() {
            world.seconds(1);
        }
        waits.push(world.now().since(failed).as_secs());
        assert_eq!(world.announces()[0].event(), Some("started"));
    }
    assert!(waits.windows(2).all(|pair| pair[1] > pair[0]), "{waits:?}");
}

#[test]
fn announces_come_at_the_trackers_interval() {
    let content = Content::tracked(4 * BLOCK as usize, BLOCK, &[&[ONE]]);
    let world = World::new();
    world.seeds(&content);
    world.tracker_answers(ONE, &[]);
    world.seconds(1799);
    assert!(world.announces().is_empty());
    world.seconds(100);
    assert_eq!(world.announces().len(), 1);
}

#[test]
fn both_families_are_announced_to_where_we_listen_on_both() {
    let (world, content) = (World::new(), content());
    world.input(Input::Listening("[::]:6881".parse().unwrap()));
    let torrent = world.leeches(&content);
    assert_eq!(world.announces().len(), 2);
    world.tracker_fails(ONE);
    assert_eq!(world.count_events(|event| matches!(event, Event::TrackerFailed { .. })), 0, "one family may fail");
    world.tracker_answers(ONE, &["10.0.0.1:6881"]);
    assert_eq!(world.count_events(|event| matches!(event, Event::TrackerReplied { .. })), 1);
    assert_eq!(world.status(torrent).known_peers, 1);
}

#[test]
fn a_udp_tracker_is_looked_up_and_never_asked_over_http() {
    for url in ["udp://tracker.test:6969/announce", "UDP://tracker.test:6969"] {
        let content = Content::tracked(BLOCK as usize, BLOCK, &[&[url]]);
        let world = World::new();
        let torrent = world.leeches(&content);
        assert!(world.announces().is_empty(), "{url}");
        let [(resolve, host, port)] = &world.look_ups()[..] else { panic!("one look-up") };
        assert_eq!((host.as_str(), *port), ("tracker.test", 6969));
        world.does(Command::Remove { torrent, delete_data: false });
        world.input(Input::Resolved { resolve: *resolve, result: Ok(vec!["10.0.0.9:6969".parse().unwrap()]) });
        world.seconds(20);
        assert_eq!(world.count_events(|event| *event == Event::Removed { torrent }), 1);
    }
}

#[test]
fn a_udp_tracker_without_a_port_fails() {
    let content = Content::tracked(BLOCK as usize, BLOCK, &[&["udp://tracker.test/announce", "udp://other.test", "udp://third.test"]]);
    let world = World::new();
    world.leeches(&content);
    assert_eq!(world.count_events(|event| matches!(event, Event::TrackerFailed { .. })), 3);
    world.seconds(600);
}

#[test]
fn a_private_torrents_peers_are_dropped_when_another_tracker_takes_over() {
    let content = Content::private(4 * BLOCK as usize, BLOCK, &[&[ONE], &[TWO]]);
    let world = World::new();
    let torrent = world.leeches(&content);
    assert_eq!(world.announces().len(), 1, "one tracker at a time");
    world.tracker_answers(ONE, &["10.0.0.1:6881"]);
    let peer = world.answers("10.0.0.1:6881");
    peer.shakes_hands(&content);
    // The first tracker falls silent, the second takes over.
    while !world.announces().iter().any(|announce| announce.url.starts_with(TWO)) {
        world.announces().iter().for_each(|_| world.tracker_fails(ONE));
        world.seconds(30);
        if !peer.is_closed() {
            peer.says(Message::KeepAlive);
        }
    }
    world.tracker_answers(TWO, &["10.0.0.2:6881"]);
    assert!(peer.is_closed());
    world.seconds(1);
    assert_eq!(world.dials(), ["10.0.0.2:6881".parse().unwrap()], "only who the new tracker names");
    assert_eq!(world.status(torrent).known_peers, 1);
}

#[test]
fn an_owner_may_ask_for_peers_but_not_more_often_than_the_tracker_allows() {
    let (world, content) = (World::new(), content());
    let torrent = world.seeds(&content);
    world.tracker_answers(ONE, &[]);
    world.does(Command::Announce(torrent));
    assert!(world.announces().is_empty());
    world.seconds(310);
    world.does(Command::Announce(torrent));
    assert_eq!(world.announces().len(), 1);
}
