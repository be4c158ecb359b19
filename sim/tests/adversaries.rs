//! Those who mean ill, one at a time: that they do what they are said to do, and that it keeps nobody from finishing.

use rustor_core::{
    command::Command,
    engine::Engine,
    event::Event,
    status::TorrentState,
    time::{Duration, Instant},
};
use rustor_sim::{Link, Mischief, Payload, Run, Scenario, World, scenario::Role};
use std::collections::{BTreeMap, BTreeSet};

/// A seed that comes late, and three leechers, of which one has a magnet link only, with somebody who means ill among them.
fn swarm_with(mischief: Mischief) -> Scenario {
    let text = r#"
        name = "one who means ill"
        torrent = { files = ["2 MiB"], piece = "32 KiB", interval = "1 min" }
        group = [
            { name = "rogue", role = { adversary = "liar" } },
            { name = "seed", role = "seed", arrives = "20 s", link = { up = "512 KiB/s" } },
            { name = "leechers", count = 2, link = { up = "256 KiB/s", down = "1 MiB/s" } },
            { name = "magnet", magnet = true, link = { up = "256 KiB/s", down = "1 MiB/s" } },
        ]
    "#;
    let mut scenario: Scenario = text.parse().expect("it makes sense");
    scenario.groups[0].role = Role::Adversary(mischief);
    scenario
}

#[test]
fn nobody_who_means_ill_keeps_a_swarm_from_finishing() {
    let mut idle = swarm_with(Mischief::Noise);
    // It knows nobody but itself.
    idle.groups[0].knows = vec!["rogue".into()];
    // One that sends nothing wrong before all have finished.
    let tame = swarm_with(Mischief::Corrupt(1_000_000));
    let mut hashes = BTreeMap::from([(idle.run().hash, "idle".to_owned()), (tame.run().hash, "tame".to_owned())]);
    for mischief in Mischief::ALL {
        let report = swarm_with(*mischief).run();
        assert!(report.is_good() && report.finished == 3, "{mischief:?}: {report}");
        assert!(report.seconds < 400.0, "{mischief:?}: {report}");
        let alike = hashes.insert(report.hash, format!("{mischief:?}"));
        assert_eq!(alike, None, "{mischief:?} does nothing of its own");
    }
}

#[test]
fn where_families_are_apart_they_reach_their_own() {
    let most_peers = |v6| {
        let mut scenario = swarm_with(Mischief::Liar);
        scenario.network.families_apart = true;
        scenario.groups.iter_mut().for_each(|group| group.v6 = true);
        scenario.groups[0].v6 = v6;
        let mut run = Run::new(&scenario);
        // The seed comes later: here are three leechers, and perhaps somebody else.
        while run.world().now() < Instant::ZERO + Duration::from_secs(15) && run.advance() {}
        let peers = |engine: &Engine| engine.torrents().iter().map(|torrent| torrent.peers).sum::<u32>();
        run.world().engines().map(|(_, engine)| peers(engine)).max()
    };
    assert_eq!((most_peers(true), most_peers(false)), (Some(3), Some(2)));
}

#[test]
fn who_takes_pieces_back_and_has_them_again_is_followed() {
    let payload = Payload::with_tracker("file", 2_000_000, 32_768, 1, "");
    let mut world = World::new(1);
    let leecher = world.node(Link::default());
    let torrent = world.add(leecher, &payload, &[]);
    let victim = world.address(leecher);
    world.add_adversary("rogue", Link::uploading(64 << 10), &payload, Mischief::TakesBack, &[victim]);
    let mut counts = BTreeSet::new();
    for _ in 0..20 {
        world.run_until(|_| false, 1);
        counts.extend(world.engine(leecher).peers(torrent).first().map(|peer| peer.pieces));
    }
    assert!(counts.len() > 3, "{counts:?}");
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 600));
}

#[test]
fn who_sends_a_block_at_a_byte_a_second_holds_nobody_up() {
    let payload = Payload::with_tracker("file", 2_000_000, 32_768, 1, "");
    let mut world = World::new(1);
    let leecher = world.node(Link::default());
    let torrent = world.add(leecher, &payload, &[]);
    let victim = world.address(leecher);
    world.add_adversary("rogue", Link::default(), &payload, Mischief::Dribble, &[victim]);
    // It is asked for blocks, has begun the first of them, and nobody else is there.
    assert!(!world.run_until(|world| world.engine(leecher).torrents()[0].pieces_verified > 0, 120));
    let peers = world.engine(leecher).peers(torrent);
    let [slow] = &peers[..] else { panic!("{peers:?}") };
    assert!(!slow.peer_choking && slow.requests > 0 && !slow.snubbed && slow.downloaded == 0, "{slow:?}");
    let seed = world.node(Link::uploading(200 << 10));
    world.add_seed(seed, &payload);
    let address = world.address(seed);
    world.command(leecher, Command::AddPeers { torrent, peers: vec![address] });
    // Ten seconds by the seed's link: what the slow one was asked for comes from there, too.
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 20), "{:?}", world.engine(leecher).peers(torrent));
    let slow = world.engine(leecher).peers(torrent);
    assert!(slow.iter().all(|peer| peer.downloaded == 0 || peer.remote == address), "{slow:?}");
}

#[test]
fn wrong_metadata_makes_no_torrent_and_its_giver_is_not_asked_for_ever() {
    let payload = Payload::with_tracker("file", 100_000, 32_768, 1, "");
    let mut world = World::new(1);
    let leecher = world.node(Link::default());
    let torrent = world.add_by_magnet(leecher, &payload, &[]);
    let victim = world.address(leecher);
    world.add_adversary("rogue", Link::default(), &payload, Mischief::WrongMetadata, &[victim]);
    assert!(!world.run_until(|world| world.engine(leecher).torrents()[0].metadata, 100));
    assert_eq!(world.engine(leecher).torrents()[0].state, TorrentState::FetchingMetadata);
    let sent_away = |event: &Event| matches!(event, Event::PeerBanned { .. } | Event::PeerDisconnected { .. });
    assert!(world.events(leecher).iter().any(sent_away));
    let seed = world.node(Link::default());
    world.add_seed(seed, &payload);
    let address = world.address(seed);
    world.command(leecher, Command::AddPeers { torrent, peers: vec![address] });
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 100));
}
