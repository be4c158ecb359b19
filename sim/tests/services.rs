//! Trackers, name servers and web servers that do not do what they should: what a host tells its engine, and what becomes of it.

use rustor_core::{event::Event, status::WebSeedState};
use rustor_sim::{
    Link, NameFault, NodeId, Payload, Scenario, WebFault, WebSeed, World,
    units::{Rate, Span},
};

/// A leecher, and two web servers that have everything; one of them does wrong.
fn two_servers(fault: WebFault) -> (World, NodeId, Payload) {
    let servers = ["bad", "good"].map(|name| WebSeed { name: name.to_owned(), up: Some(Rate(400_000)), delay: Span::ZERO });
    let urls = servers.each_ref().map(WebSeed::url);
    let payload = Payload::with_web_seeds("files", &[700_000, 0, 1_300_000], 65_536, 1, "", false, &urls);
    let mut world = World::new(1);
    servers.iter().for_each(|server| world.add_web_seed(server, &payload));
    world.set_web_fault("bad", Some(fault));
    let leecher = world.node(Link::default());
    world.add(leecher, &payload, &[]);
    (world, leecher, payload)
}

/// What the leecher makes of the server that does wrong, and what went wrong last.
fn bad_one(world: &World, leecher: NodeId) -> Option<(WebSeedState, Option<String>)> {
    let torrent = world.engine(leecher).torrents()[0].torrent;
    let seed = world.engine(leecher).web_seeds(torrent).into_iter().next()?;
    Some((seed.state, seed.fault))
}

#[test]
fn a_leecher_completes_from_web_servers_alone_at_their_rate() {
    let (mut world, leecher, payload) = two_servers(WebFault::Absent);
    assert!(!world.run_until(|world| world.is_complete(leecher, &payload), 4));
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 4), "2 MB at 400 kB/s");
}

#[test]
fn whatever_one_web_server_does_the_other_serves() {
    let faults = [
        WebFault::Absent,
        WebFault::Silent,
        WebFault::Slow(Span::seconds(20)),
        WebFault::WrongBytes,
        WebFault::Missing,
        WebFault::Busy { retry: 5 },
        WebFault::IgnoresRanges,
        WebFault::Truncated,
        WebFault::Endless,
        WebFault::WrongLength,
        WebFault::Moved,
    ];
    for fault in faults {
        let (mut world, leecher, payload) = two_servers(fault);
        assert!(world.run_until(|world| world.is_complete(leecher, &payload), 60), "{fault:?}");
    }
}

#[test]
fn a_web_server_that_sends_wrong_bytes_is_banned_and_no_other() {
    let (mut world, leecher, payload) = two_servers(WebFault::WrongBytes);
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 60));
    let banned = |event: &&Event| matches!(event, Event::WebSeedBanned { .. });
    assert_eq!(world.events(leecher).iter().filter(banned).count(), 1);
    assert!(matches!(bad_one(&world, leecher), Some((WebSeedState::Banned, _))));
}

#[test]
fn a_silent_web_server_is_given_up_after_half_a_minute() {
    let (mut world, leecher, _) = two_servers(WebFault::Silent);
    world.set_web_fault("good", Some(WebFault::Missing));
    let given_up = |world: &World| bad_one(world, leecher).is_some_and(|(_, fault)| fault.is_some());
    assert!(!world.run_until(given_up, 29));
    assert!(world.run_until(given_up, 2));
}

#[test]
fn a_web_server_that_is_cured_is_asked_again() {
    for fault in [WebFault::Absent, WebFault::Silent, WebFault::Busy { retry: 30 }, WebFault::Truncated, WebFault::Moved] {
        let (mut world, leecher, payload) = two_servers(fault);
        world.set_web_fault("good", Some(WebFault::Absent));
        world.run_until(|_| false, 60);
        world.set_web_fault("bad", None);
        assert!(world.run_until(|world| world.is_complete(leecher, &payload), 600), "{fault:?}");
    }
}

/// How long two take that know each other by their tracker alone, if nobody can look up its name for a minute.
fn seconds_with(fault: &str, tracker: &str) -> f64 {
    let scenario = format!(
        r#"
            name = "names"
            torrent = {{ files = ["100 KiB"], piece = "16 KiB", tracker = "{tracker}" }}
            group = [{{ name = "seed", role = "seed" }}, {{ name = "leecher", arrives = "1 s" }}]
            fault = [{{ at = "0 s", lasts = "1 min", {fault} }}]
        "#
    );
    let scenario: Scenario = scenario.parse().expect("it makes sense");
    let report = scenario.run();
    assert!(report.is_good() && report.finished == 1, "{report}");
    report.completion.expect("it finished").last
}

#[test]
fn names_that_nobody_knows_are_asked_for_again() {
    for tracker in ["http", "udp"] {
        for fault in ["absent", "unknown", "wrong"] {
            let seconds = seconds_with(&format!("names = \"{fault}\""), tracker);
            assert!((59.0..1900.0).contains(&seconds), "{tracker}, {fault}: {seconds}");
        }
        let seconds = seconds_with("names = { slow = \"10 s\" }", tracker);
        assert!((10.0..20.0).contains(&seconds), "{tracker}: {seconds}");
    }
}

#[test]
fn a_tracker_that_fails_in_any_way_is_asked_again() {
    let faults = ["absent", "garbage", "refusing", "moved", "truncated", "huge", "no-address"].map(|fault| format!("\"{fault}\""));
    for fault in faults.into_iter().chain(["{ status = 503 }".to_owned()]) {
        for tracker in ["http", "udp"] {
            let seconds = seconds_with(&format!("tracker = {fault}"), tracker);
            assert!((59.0..1900.0).contains(&seconds), "{tracker}, {fault}: {seconds}");
        }
    }
}

#[test]
fn the_worst_name_server_names_a_tracker_where_nobody_is() {
    let payload = Payload::new("file", 100_000, 16_384, 1);
    let mut world = World::new(2);
    world.add_tracker();
    world.set_name_fault(Some(NameFault::Wrong));
    let (seed, leecher) = (world.node(Link::default()), world.node(Link::default()));
    world.add_seed(seed, &payload);
    world.add(leecher, &payload, &[]);
    assert!(!world.run_until(|world| world.is_complete(leecher, &payload), 100));
    assert!(world.events(leecher).iter().any(|event| matches!(event, Event::TrackerFailed { .. })));
}
