//! What engines were told, recorded and replayed.

use rustor_core::{
    record::Replay,
    status::TorrentState,
    time::{Duration, Instant},
};
use rustor_sim::{Link, Payload, Scenario, World};
use std::{collections::BTreeSet, fs};

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
fn a_replay_can_stop_and_explain_at_any_moment_and_go_on() {
    let payload = Payload::with_tracker("file", 2 << 20, 65_536, 1, "http://tracker.sim/announce");
    let mut world = World::new(1).recorded();
    world.add_tracker();
    let (seed, leecher) = (world.node(Link::uploading(1 << 20)), world.node(Link::default()));
    world.add_seed(seed, &payload);
    world.add(leecher, &payload, &[]);
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 120));
    let recording = world.recording(leecher).expect("the world is recorded").to_vec();
    let mut rerun = Replay::new(recording.into()).expect("the recording is sound").rerun();
    let (mut moment, mut reasons) = (Instant::ZERO, BTreeSet::new());
    while rerun.advance(moment, |_, _| {}).expect("it goes the same way") {
        assert!(rerun.now() <= moment && rerun.next_at().is_some_and(|next| next > moment));
        for torrent in rerun.engine().torrents() {
            let why = rerun.engine().explain(torrent.torrent).expect("it is there");
            reasons.extend(why.torrent.iter().map(|reason| reason.to_string().replace(|c: char| c.is_ascii_digit(), "")));
            (0..torrent.pieces).for_each(|piece| assert!(rerun.engine().explain_piece(torrent.torrent, piece).is_some()));
        }
        moment += Duration::from_millis(7);
    }
    assert!(reasons.len() >= 3, "{reasons:?}");
    assert_eq!(rerun.transcript().hash(), world.transcript(leecher).hash());
}

#[test]
fn the_node_of_a_scenario_that_is_recorded_can_be_replayed() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/disk-crash.toml")).expect("it is there");
    let scenario: Scenario = text.parse().expect("it makes sense");
    let plain = scenario.run();
    for node in ["seed", "dies/0"] {
        let (report, recording) = scenario.run_recording(node, |_| {}).expect("there is such a node");
        assert_eq!(report.hash, plain.hash, "to be recorded changes nothing");
        let mut rerun = Replay::new(recording.into()).expect("the recording is sound").rerun();
        assert_eq!(rerun.advance(Instant::MAX, |_, _| {}), Ok(false));
        assert_eq!((rerun.checkpoints(), rerun.engine().torrents()[0].state), (1, TorrentState::Seeding), "{node}");
    }
    assert!(scenario.run_recording("nobody", |_| {}).is_err());
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
