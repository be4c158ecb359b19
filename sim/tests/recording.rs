//! What engines were told, recorded and replayed.

use rustor_core::record::Replay;
use rustor_sim::{Link, Payload, World};

#[test]
fn a_recorded_download_replays_to_the_same_transcript() {
    let payload = Payload::new("file", 4 << 20, 65_536, 1);
    let mut world = World::new(1).recorded();
    let (seed, leecher) = (world.node(Link::default()), world.node(Link::default()));
    world.add_seed(seed, &payload);
    let address = world.address(seed);
    world.add(leecher, &payload, &[address]);
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 60));

    for node in [seed, leecher] {
        let recording = world.recording(node).expect("the world is recorded");
        let replayed = Replay::new(recording.to_vec().into()).and_then(Replay::transcript).expect("the recording is sound");
        assert_eq!(replayed.entries(), world.transcript(node).entries());
        assert_eq!(replayed.hash(), world.transcript(node).hash());

        // It is small, and nothing of the payload is in it.
        assert!(recording.len() * 100 < payload.data.len() * 3, "{} bytes", recording.len());
        let parts: std::collections::BTreeSet<&[u8]> = payload.data.chunks_exact(16).collect();
        assert!(recording.windows(16).all(|window| !parts.contains(window)));
    }
}
