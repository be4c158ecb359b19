//! Whole downloads between engines in virtual time.

use rustor_core::{choices::Choices, command::Command, event::Event};
use rustor_sim::{DiskFault, Link, Payload, World};

fn payload() -> Payload {
    Payload::new("file", 3_000_000, 65_536, 1)
}

fn two_engines(seed: u64) -> World {
    let payload = payload();
    let mut world = World::new(seed);
    let (seed, leecher) = (world.node(Link::default()), world.node(Link::default()));
    world.add_seed(seed, &payload);
    let address = world.address(seed);
    world.add(leecher, &payload, &[address]);
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 60));
    assert!(world.events(leecher).iter().any(|event| matches!(event, Event::Finished { .. })));
    world
}

#[test]
fn a_file_goes_from_a_seed_to_a_leecher() {
    two_engines(1);
}

#[test]
fn the_same_seed_and_inputs_give_the_same_actions_and_another_seed_others() {
    let (first, second, other) = (two_engines(1), two_engines(1), two_engines(2));
    assert_eq!(first.hash(), second.hash());
    assert_ne!(first.hash(), other.hash());
}

#[test]
fn four_leechers_share_what_one_slow_seed_gives() {
    let payload = Payload::new("file", 4 << 20, 65_536, 1);
    let mut world = World::new(3);
    let slow = Link::uploading(256 << 10);
    let seed = world.node(slow.clone());
    let leechers: Vec<_> = (0..4).map(|_| world.node(slow.clone())).collect();
    world.add_seed(seed, &payload);
    let addresses: Vec<_> = leechers.iter().chain([&seed]).map(|node| world.address(*node)).collect();
    for leecher in &leechers {
        world.add(*leecher, &payload, &addresses);
    }
    assert!(world.run_until(|world| leechers.iter().all(|leecher| world.is_complete(*leecher, &payload)), 120));
    // The seed alone would take 64 s for four copies; a swarm that shares takes little more than one copy's 16 s.
    assert!(world.now().as_micros() < 40_000_000, "{:?}", world.now());
}

#[test]
fn a_full_disk_stops_the_torrent_and_room_lets_it_go_on() {
    let payload = payload();
    let mut world = World::new(4);
    let (seed, leecher) = (world.node(Link::default()), world.node(Link::default()));
    world.add_seed(seed, &payload);
    let address = world.address(seed);
    let torrent = world.add(leecher, &payload, &[address]);
    world.run_until(|world| world.engine(leecher).torrents()[0].pieces_verified > 5, 60);
    world.disk(leecher).set_fault(Some(DiskFault::Full));
    let failed = |world: &World| world.events(leecher).iter().any(|event| matches!(event, Event::Failed { .. }));
    assert!(world.run_until(failed, 60));
    world.disk(leecher).set_fault(None);
    world.command(leecher, Command::Resume(torrent));
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 60));
}

#[test]
fn a_killed_leecher_goes_on_where_it_was() {
    let payload = payload();
    let mut world = World::new(5);
    let (seed, leecher) = (world.node(Link::default()), world.node(Link::default()));
    world.add_seed(seed, &payload);
    let address = world.address(seed);
    world.add(leecher, &payload, &[address]);
    world.run_until(|world| world.engine(leecher).torrents()[0].pieces_verified > 20, 60);
    world.kill(leecher);
    let written = world.disk(leecher).written;
    world.restart(leecher);
    world.add(leecher, &payload, &[address]);
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 60));
    // What was on disk before is not fetched again.
    assert_eq!(world.disk(leecher).written, payload.data.len() as u64);
    assert!(written > 20 * 65_536);
}

#[test]
fn peers_find_each_other_through_http_and_udp_trackers() {
    for tracker in ["http://tracker.sim/announce", "udp://tracker.sim:6969/announce"] {
        let payload = Payload::with_tracker("file", 300_000, 32_768, 1, tracker);
        let mut world = World::new(6);
        world.add_tracker();
        let (seed, leecher) = (world.node(Link::default()), world.node(Link::default()));
        world.add_seed(seed, &payload);
        world.add(leecher, &payload, &[]);
        assert!(world.run_until(|world| world.is_complete(leecher, &payload), 120), "{tracker}");
    }
}

#[test]
fn a_udp_tracker_is_reached_through_heavy_loss() {
    let payload = Payload::with_tracker("file", 300_000, 32_768, 1, "udp://tracker.sim:6969/announce");
    let mut world = World::new(8);
    world.add_tracker();
    let (seed, leecher) = (world.node(Link::lossy(50)), world.node(Link::lossy(50)));
    world.add_seed(seed, &payload);
    world.add(leecher, &payload, &[]);
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 3600));
}

/// The leecher will not ask its tracker again for minutes; so the seed must ask, and call it.
#[test]
fn a_leecher_that_came_before_its_seed_is_called_by_it() {
    let payload = Payload::new("file", 300_000, 32_768, 1);
    let mut world = World::new(9);
    world.add_tracker();
    let (seed, leecher) = (world.node(Link::default()), world.node(Link::default()));
    world.add(leecher, &payload, &[]);
    assert!(!world.run_until(|world| world.is_complete(leecher, &payload), 10));
    world.add_seed(seed, &payload);
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 20));
}

/// What a seed sends until another one is there, in thousandths of the payload.
fn uploaded_until_there_is_another_seed(super_seeding: bool, leechers: usize) -> u64 {
    let payload = Payload::new("file", 4 << 20, 65_536, 1);
    let mut world = World::new(11);
    let slow = Link::uploading(256 << 10);
    let seed = world.node(slow.clone());
    let leechers: Vec<_> = (0..leechers).map(|_| world.node(slow.clone())).collect();
    let torrent = world.add_seed(seed, &payload);
    world.command(seed, Command::Choose { torrent, choices: Box::new(Choices { super_seeding, ..Choices::default() }) });
    let addresses: Vec<_> = leechers.iter().chain([&seed]).map(|node| world.address(*node)).collect();
    for leecher in &leechers {
        world.add(*leecher, &payload, &addresses);
    }
    assert!(world.run_until(|world| leechers.iter().any(|leecher| world.is_complete(*leecher, &payload)), 600));
    let uploaded = world.engine(seed).torrents()[0].uploaded;
    assert!(world.run_until(|world| leechers.iter().all(|leecher| world.is_complete(*leecher, &payload)), 600));
    uploaded * 1000 / payload.data.len() as u64
}

/// BEP 16: 105 % of the data where others take 150 to 200 %.
#[test]
fn a_super_seed_sends_little_more_than_one_copy_until_there_is_another_seed() {
    for leechers in [1, 2, 5, 12] {
        let sent = uploaded_until_there_is_another_seed(true, leechers);
        assert!((1000..=1100).contains(&sent), "{sent} thousandths to {leechers} leechers");
    }
}
