//! Trackers, name servers and web servers that do not do what they should: what a host tells its engine, and what becomes of it.

use rustor_core::{config::Config, event::Event, status::WebSeedState};
use rustor_sim::{
    Link, NameFault, NodeId, Payload, Run, Scenario, WebFault, WebSeed, World,
    scenario::Role,
    units::{Rate, Size, Span},
};
use std::collections::BTreeMap;

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
        WebFault::Slow(Span::seconds(2)),
        WebFault::WrongBytes,
        WebFault::Missing,
        WebFault::Busy { retry: 5 },
        WebFault::IgnoresRanges,
        WebFault::Truncated,
        WebFault::Endless,
        WebFault::WrongLength,
        WebFault::Moved,
    ];
    let mut hashes = BTreeMap::new();
    for fault in faults {
        let (mut world, leecher, payload) = two_servers(fault);
        assert!(world.run_until(|world| world.is_complete(leecher, &payload), 60), "{fault:?}");
        assert_eq!(hashes.insert(world.hash(), fault), None, "{fault:?} does nothing of its own");
    }
    let (mut world, leecher, payload) = two_servers(WebFault::Absent);
    world.set_web_fault("bad", None);
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 60));
    assert_eq!(hashes.get(&world.hash()), None, "this is how it is if nothing is wrong");
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
        assert!(!world.run_until(|world| world.is_complete(leecher, &payload), 60), "{fault:?}");
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
    assert!(report.is_good() && report.finished == 1, "{fault}, {tracker}: {report}");
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
    let faults = ["absent", "garbage", "lying", "boasting", "unasked", "refusing", "moved", "truncated", "huge", "no-address"];
    let faults = faults.map(|fault| format!("\"{fault}\""));
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

#[test]
fn who_is_cut_off_from_the_tracker_is_known_to_nobody_until_it_is_not() {
    for tracker in ["http", "udp"] {
        let payload = Payload::with_tracker("file", 100_000, 16_384, 1, &format!("{tracker}://tracker.sim:6969/announce"));
        let mut world = World::new(3);
        world.add_tracker();
        let tracker = world.tracker().expect("it was added").into();
        let [seed, near, far] = [(); 3].map(|()| world.node(Link::default()));
        world.network().cut(0, vec![far.into()], vec![tracker]);
        world.add_seed(seed, &payload);
        for leecher in [near, far] {
            world.add(leecher, &payload, &[]);
        }
        assert!(world.run_until(|world| world.is_complete(near, &payload), 100));
        assert!(!world.run_until(|world| world.is_complete(far, &payload), 200));
        world.network().mend(0);
        assert!(world.run_until(|world| world.is_complete(far, &payload), 1900));
    }
}

/// How long a leecher takes that has nobody but a service, from which it is cut off a little after it has come.
fn seconds_cut_off(tracker: &str, service: &str, roles: &str) -> f64 {
    let scenario = format!(
        r#"
            name = "cut off"
            torrent = {{ files = ["100 KiB"], piece = "16 KiB", tracker = "{tracker}" }}
            group = [{roles}{{ name = "leecher", arrives = "1 s" }}]
            web-seed = [{{ name = "mirror" }}]
            fault = [
                {{ at = "0 s", lasts = "2 min", web = {{ server = "mirror", fault = "missing" }} }},
                {{ at = "1005 ms", lasts = "1 min", partition = {{ from = "leecher", to = "{service}" }} }},
            ]
        "#
    );
    let mut scenario: Scenario = scenario.parse().expect("it makes sense");
    if service == "mirror" {
        scenario.faults.remove(0);
    }
    let report = scenario.run();
    assert!(report.is_good() && report.finished == 1, "{report}");
    report.completion.expect("it finished").last
}

#[test]
fn partitions_may_name_the_tracker_and_web_seeds() {
    let seed = r#"{ name = "seed", role = "seed" }, "#;
    for tracker in ["http", "udp"] {
        let seconds = seconds_cut_off(tracker, "tracker", seed);
        assert!((60.0..1900.0).contains(&seconds), "{tracker}: {seconds}");
    }
    let seconds = seconds_cut_off("none", "mirror", "");
    assert!((60.0..1900.0).contains(&seconds), "{seconds}");
    let nobody = r#"
        name = "nobody"
        torrent = { files = ["1 KiB"], piece = "16 KiB", tracker = "none" }
        group = [{ name = "leecher" }]
        fault = [{ at = "0 s", partition = { from = "leecher", to = "tracker" } }]
    "#;
    assert!(nobody.parse::<Scenario>().is_err(), "there is none");
}

#[test]
fn a_distant_tracker_answers_later() {
    let took = |tracker: &str, delay: u64| {
        let payload = Payload::with_tracker("file", 100_000, 16_384, 1, &format!("{tracker}://tracker.sim:6969/announce"));
        let mut world = World::new(4);
        world.add_tracker();
        world.set_tracker_delay(Span::millis(delay));
        let node = world.node(Link::default());
        world.add_seed(node, &payload);
        let replied = |event: &Event| matches!(event, Event::TrackerReplied { .. });
        assert!(world.run_until(|world| world.events(node).iter().any(replied), 14));
        world.now()
    };
    for tracker in ["http", "udp"] {
        let (near, far) = (took(tracker, 0), took(tracker, 500));
        assert_eq!(far.since(near).as_millis(), 2000, "{tracker}: two round trips each, to connect and to ask");
    }
}

/// One family alone, the other alone, and in between nodes that have both; the seed is of IPv4.
fn families(tracker: &str, both: u32) -> Scenario {
    let scenario = format!(
        r#"
            name = "families"
            torrent = {{ files = ["300 KiB"], piece = "16 KiB", tracker = "{tracker}", interval = "2 min" }}
            network = {{ families-apart = true }}
            group = [
                {{ name = "seed", role = "seed" }},
                {{ name = "old", count = 2, arrives = "1 s" }},
                {{ name = "new", count = 2, arrives = "1 s", v6 = true }},
                {{ name = "both", count = {both}, arrives = "2 s", dual = true }},
            ]
        "#
    );
    scenario.parse().expect("it makes sense")
}

#[test]
fn a_node_of_both_families_brings_together_those_that_never_meet() {
    for tracker in ["http", "udp"] {
        let scenario = families(tracker, 1);
        let mut run = Run::new(&scenario);
        let mut met = 0;
        while run.advance() {
            for (name, engine) in run.world().engines() {
                let Some(torrent) = engine.torrents().first().map(|torrent| torrent.torrent) else { continue };
                for peer in engine.peers(torrent) {
                    met += 1;
                    let fits = name.starts_with("both") || peer.remote.is_ipv6() == name.starts_with("new");
                    assert!(fits, "{tracker}: {name} is connected to {}", peer.remote);
                }
            }
        }
        let report = scenario.run();
        assert!(report.is_good() && report.finished == 5 && met > 0, "{tracker}: {report}");
        let report = families(tracker, 0).run();
        assert!(report.is_good() && report.finished == 2, "without it those of IPv6 have nobody: {report}");
    }
}

#[test]
fn a_node_of_both_families_announces_over_each() {
    for tracker in ["http", "udp"] {
        let mut scenario = families(tracker, 1);
        scenario.groups.retain(|group| group.name != "seed");
        scenario.groups[2].role = Role::Seed;
        let report = scenario.run();
        assert!(
            report.is_good() && report.finished == 4,
            "those of either family learn of it by the tracker alone, over {tracker}: {report}"
        );
    }
}

#[test]
fn who_gets_no_long_answers_asks_a_udp_tracker_for_fewer_peers() {
    for (largest, expected) in [(None, 200), (Some(1200), 30), (Some(576), 30)] {
        let payload = Payload::with_tracker("file", 100_000, 16_384, 1, "udp://tracker.sim:6969/announce");
        let mut world = World::new(5);
        world.add_tracker();
        world.crowd_tracker(&payload, 300);
        let mut config = Config::default();
        config.limits.connections_per_torrent = 300;
        let leecher = world.node_with(Link { largest_datagram: largest.map(Size), ..Link::default() }, config);
        world.add(leecher, &payload, &[]);
        let told = |world: &World| {
            let peers = |event: &Event| if let Event::TrackerReplied { peers, .. } = event { Some(*peers) } else { None };
            world.events(leecher).iter().find_map(peers)
        };
        let heard = world.run_until(|world| told(world).is_some(), 40);
        assert_eq!((heard, told(&world)), (true, Some(expected)), "{largest:?}: {:?}", world.events(leecher));
    }
}
