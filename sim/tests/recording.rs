//! What engines were told, recorded and replayed.

use rustor_core::record::Replay;
use rustor_sim::{Link, Payload, World};
use std::collections::BTreeSet;

#[test]
fn a_recorded_download_replays_to_the_same_transcript() {
    for tracker in ["http://tracker.sim/announce", "udp://tracker.sim:6969/announce"] {
        let payload = Payload::with_tracker("file", 2 << 20, 65_536, 1, tracker);
        let mut world = World::new(1).recorded();
        world.add_tracker();
        let (seed, leecher) = (world.node(Link::default()), world.node(Link::default()));
        world.add_seed(seed, &payload);
        world.add(leecher, &payload, &[]);
        assert!(world.run_until(|world| world.is_complete(leecher, &payload), 120));

        for node in [seed, leecher] {
            let recording = world.recording(node).expect("the world is recorded");
            let replayed = Replay::new(recording.to_vec().into()).and_then(Replay::transcript).expect("the recording is sound");
            assert_eq!(replayed.entries(), world.transcript(node).entries());
            assert_eq!(replayed.hash(), world.transcript(node).hash());

            // It is small, and nothing of the payload is in it.
            assert!(recording.len() * 100 < payload.data.len() * 3, "{} bytes", recording.len());
            let parts: BTreeSet<&[u8]> = payload.data.chunks_exact(16).collect();
            assert!(recording.windows(16).all(|window| !parts.contains(window)));
        }
    }
}

#[test]
fn an_engine_started_again_begins_another_recording() {
    let payload = Payload::new("file", 1 << 20, 65_536, 1);
    let mut world = World::new(2).recorded();
    let (seed, leecher) = (world.node(Link::default()), world.node(Link::default()));
    world.add_seed(seed, &payload);
    let address = world.address(seed);
    world.add(leecher, &payload, &[address]);
    assert!(world.run_until(|world| world.engine(leecher).torrents()[0].pieces_verified > 5, 60));
    world.kill(leecher);
    world.restart(leecher);
    world.add(leecher, &payload, &[address]);
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 60));
    for node in [seed, leecher] {
        let recording = world.recording(node).expect("the world is recorded").to_vec();
        let replayed = Replay::new(recording.into()).and_then(Replay::transcript).expect("the recording is sound");
        assert_eq!(replayed.hash(), world.transcript(node).hash());
    }
}
