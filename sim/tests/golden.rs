//! Hashes over everything said in a few runs, kept in the repository: the same in debug and release, on every platform.
//!
//! A change of what engines do or say changes them. If that was meant, write them anew, and say in the commit why they changed:
//!
//! ```text
//! UPDATE_GOLDEN=1 cargo test -p rustor-sim --test golden
//! ```
//!
//! If it was not meant, a build of the command from before tells where it began: the first thing that engines do otherwise is found by
//! bisection, and shown.
//!
//! ```text
//! RUSTOR_BEFORE=/path/to/rustor cargo test -p rustor-sim --test golden
//! ```

use bytes::Bytes;
use rustor_sim::{Link, Payload, Scenario, World, first_difference, until_in};
use std::{env, fs, path::Path};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/hashes.txt");

#[test]
fn runs_are_the_same_everywhere() {
    let runs = [("udp tracker", udp_tracker()), ("slow swarm", slow_swarm()), ("restart after damage", restart_after_damage())];
    let mut hashes: String = runs.iter().map(|(name, world)| format!("{} {name}\n", world.hash())).collect();
    for seed in 0..20 {
        hashes += &format!("{} drawn {seed}\n", Scenario::draw(seed).run().hash);
    }
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(FILE, &hashes).expect("the file can be written");
    }
    let golden = fs::read_to_string(FILE).expect("the hashes are there");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (hashes, golden) = (lines(&hashes), lines(&golden));
    let moved = hashes.iter().find(|line| !golden.contains(line)).and_then(|line| line.split_once(" drawn ")?.1.parse().ok());
    let difference = moved.map(where_it_began).unwrap_or_default();
    assert_eq!(hashes, golden, "{difference}\nif this was meant: UPDATE_GOLDEN=1 cargo test -p rustor-sim --test golden");
}

/// Where the run of a drawn scenario leaves what a build from before does, or how to find out.
fn where_it_began(seed: u64) -> String {
    let scenario = Scenario::draw(seed);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("drawn-{seed}.toml"));
    fs::write(&file, scenario.to_string()).expect("the file can be written");
    let Some(before) = env::var_os("RUSTOR_BEFORE") else {
        return format!("to see where it began, with a build from before: rustor sim compare {} RUSTOR-BEFORE", file.display());
    };
    let found = first_difference(u64::MAX, |at| Ok(scenario.until(at)), |at| until_in(before.as_ref(), &file, seed, at));
    match found {
        Ok(Some(found)) => format!("one is this build, the other {}\n{found}", before.display()),
        Ok(None) => format!("{} does the same with this scenario: it draws another", before.display()),
        Err(error) => error,
    }
}

fn udp_tracker() -> World {
    let payload = Payload::with_tracker("file", 1_000_000, 32_768, 1, "udp://tracker.sim:6969/announce");
    let mut world = World::new(1);
    world.add_tracker();
    let (seed, leecher) = (world.node(Link::lossy(20)), world.node(Link::lossy(20)));
    world.add_seed(seed, &payload);
    world.add(leecher, &payload, &[]);
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 600));
    world
}

fn slow_swarm() -> World {
    let payload = Payload::new("file", 1_000_000, 32_768, 2);
    let mut world = World::new(2);
    let slow = Link::uploading(128 << 10);
    let seed = world.node(slow.clone());
    let leechers = [(); 3].map(|()| world.node(slow.clone()));
    world.add_seed(seed, &payload);
    let addresses: Vec<_> = leechers.iter().chain([&seed]).map(|node| world.address(*node)).collect();
    for leecher in &leechers {
        world.add(*leecher, &payload, &addresses);
    }
    assert!(world.run_until(|world| leechers.iter().all(|leecher| world.is_complete(*leecher, &payload)), 60));
    world
}

fn restart_after_damage() -> World {
    let payload = Payload::new("file", 1_000_000, 32_768, 3);
    let mut world = World::new(3);
    let (seed, leecher) = (world.node(Link::default()), world.node(Link::default()));
    world.add_seed(seed, &payload);
    let address = world.address(seed);
    world.add(leecher, &payload, &[address]);
    assert!(world.run_until(|world| world.engine(leecher).torrents()[0].pieces_verified > 10, 60));
    world.kill(leecher);
    world.disk(leecher).damage("downloads/file", 100, Bytes::from_static(b"damage"));
    world.restart(leecher);
    world.add(leecher, &payload, &[address]);
    assert!(world.run_until(|world| world.is_complete(leecher, &payload), 60));
    world
}
