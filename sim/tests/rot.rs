//! What a disk holds changes behind an engine's back: nobody can know at once, and everybody must once they have looked.

use bytes::Bytes;
use rustor_core::{
    command::Command,
    event::Event,
    id::TorrentId,
    rng::{Purpose, Rng, Seed},
};
use rustor_sim::{Link, NodeId, Payload, World};

const FOLDER: &str = "downloads";

/// A world with a seed and a leecher that has finished, some bits of whose file have changed since; and how many of its pieces that spoilt.
fn rotten() -> (World, Payload, [NodeId; 2], TorrentId, u32) {
    let payload = Payload::new("file", 3_000_000, 65_536, 1);
    let mut world = World::new(1);
    let (seed, leecher) = (world.node(Link::default()), world.node(Link::default()));
    world.add_seed(seed, &payload);
    let address = world.address(seed);
    let torrent = world.add(leecher, &payload, &[address]);
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 60));
    // So that what has happened since its resume data was saved is in there.
    world.run_until(|_| false, 120);
    let mut rng = Rng::new(Seed::from_u64(1)).fork(Purpose::Simulation, 0);
    world.disk(leecher).rot(5, &payload, &mut rng);
    let spoilt = spoilt(&mut world, leecher, &payload);
    assert!((1..=5).contains(&spoilt) && !world.is_complete(leecher, &payload));
    (world, payload, [seed, leecher], torrent, spoilt)
}

fn spoilt(world: &mut World, node: NodeId, payload: &Payload) -> u32 {
    (0..payload.pieces()).filter(|piece| !world.disk(node).holds_piece(FOLDER, *piece, payload)).count() as u32
}

/// What the last look at a node's files found.
fn found(world: &World, node: NodeId) -> Option<u32> {
    let found = |event: &Event| if let Event::Checked { verified, .. } = event { Some(*verified) } else { None };
    world.events(node).iter().rev().find_map(found)
}

#[test]
fn a_recheck_notices_what_has_rotten_and_fetches_it_again() {
    let (mut world, payload, [_, leecher], torrent, spoilt) = rotten();
    assert!(!world.disk(leecher).is_sound());
    world.command(leecher, Command::Recheck(torrent));
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 600));
    assert_eq!(found(&world, leecher), Some(payload.pieces() - spoilt));
    assert!(world.disk(leecher).is_sound() && world.disk(leecher).holds(FOLDER, &payload));
}

#[test]
fn after_a_restart_unchanged_times_are_believed_and_changed_ones_are_not() {
    let (mut world, payload, [seed, leecher], _, spoilt) = rotten();
    let again = |world: &mut World| {
        world.restart(leecher);
        let address = world.address(seed);
        world.add(leecher, &payload, &[address]);
        assert!(world.run_until(|world| found(world, leecher).is_some(), 60));
        found(world, leecher)
    };
    world.kill(leecher);
    assert_eq!(again(&mut world), Some(payload.pieces()), "nothing tells of it");
    assert!(!world.disk(leecher).is_sound());
    world.kill(leecher);
    // The same byte, and another time.
    world.disk(leecher).damage("downloads/file", 0, payload.slice(0, 1));
    assert_eq!(again(&mut world), Some(payload.pieces() - spoilt));
    assert!(world.disk(leecher).is_sound());
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 600));
}

#[test]
fn damage_while_nobody_has_the_files_open_is_noticed() {
    let (mut world, payload, [seed, leecher], _, _) = rotten();
    world.kill(leecher);
    world.disk(leecher).damage("downloads/file", 70_000, Bytes::from_static(b"damage"));
    world.restart(leecher);
    let address = world.address(seed);
    world.add(leecher, &payload, &[address]);
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 600));
}
