//! Simulated swarms.

use serde_json::Value;

use crate::lab::{Lab, Outcome};

const SCENARIO: &str = r#"
name = "small"
seed = 3

[torrent]
files = ["300 KiB"]
piece = "32 KiB"

[[group]]
name = "seed"
role = "seed"

[[group]]
name = "leechers"
count = 2
link = { up = "256 KiB/s" }
"#;

#[test]
fn a_scenario_is_run_reported_and_drawn() {
    let lab = Lab::new();
    lab.file("small.toml", SCENARIO.as_bytes());
    let report: Value = serde_json::from_str(&lab.succeed(&["sim", "run", "small.toml", "--json", "--plot", "small.svg"])).unwrap();
    assert_eq!((&report["leechers"], &report["finished"], &report["seed"]), (&2.into(), &2.into(), &3.into()));
    assert!(report["checked"]["true-pieces"].as_u64().unwrap() >= 20);
    assert!(std::fs::read_to_string(lab.path("small.svg")).unwrap().starts_with("<svg"));
    let text = lab.succeed(&["sim", "run", "small.toml"]);
    assert!(text.contains(report["hash"].as_str().unwrap()), "{text}");
}

#[test]
fn the_node_of_a_scenario_is_recorded_and_explained() {
    let lab = Lab::new();
    lab.file("small.toml", SCENARIO.as_bytes());
    lab.succeed(&["sim", "run", "small.toml", "--record", "leechers/1", "session"]);
    let end = lab.succeed(&["replay", "session"]);
    assert!(end.contains("it has everything") && end.contains("1 checkpoints agree"), "{end}");
    let moment: Value = serde_json::from_str(&lab.succeed(&["replay", "session", "--at", "0.2s", "--json", "--piece", "3"])).unwrap();
    let (torrent, piece) = (&moment["torrents"][0], &moment["torrents"][0]["piece"]);
    assert!(piece["state"].is_string() && piece["order"].is_string() && moment["next_told"].is_f64(), "{moment}");
    let peer = torrent["peers"][0]["peer"].as_str().unwrap();
    let text = lab.succeed(&["replay", "session", "--at", "0.2s", "--peer", peer, "--piece", "3"]);
    assert!(text.contains("from it: ") && text.contains("to it: ") && text.contains("piece 3: "), "{text}");
    let nobody = lab.succeed(&["replay", "session", "--at", "0.2s", "--peer", "1.2.3.4"]);
    assert!(nobody.contains("1.2.3.4: not connected at that time"), "{nobody}");
    lab.run(&["sim", "run", "small.toml", "--record", "nobody", "session"]).is_one_line(1, "names no single node");
}

#[test]
fn drawn_scenarios_are_run() {
    let lab = Lab::new();
    lab.succeed(&["sim", "random", "--seeds", "5", "--first", "7"]);
}

#[test]
fn many_seeds_give_means_and_intervals_and_a_failure_its_seed() {
    let lab = Lab::new();
    lab.file("small.toml", SCENARIO.as_bytes());
    let study: Value = serde_json::from_str(&lab.succeed(&["sim", "run", "small.toml", "--seeds", "3", "--jobs", "2", "--json"])).unwrap();
    assert_eq!((&study["first"], &study["seeds"]), (&3.into(), &3.into()));
    let last = &study["measures"][1];
    assert_eq!((&last["name"], &last["count"]), (&"last leecher, s".into(), &3.into()));
    assert!(last["least"].as_f64().unwrap() <= last["mean"].as_f64().unwrap() && last["margin"].is_f64(), "{study}");
    let text = lab.succeed(&["sim", "run", "small.toml", "--seeds", "3"]);
    assert!(text.contains("seeds 3 to 5") && text.contains("95 % interval"), "{text}");

    let late = SCENARIO.replace("seed = 3", "seed = 3\nfinish-within = \"1 ms\"");
    lab.file("late.toml", late.as_bytes());
    let failed = lab.run(&["sim", "run", "late.toml", "--seeds", "3"]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stdout.contains("FAILED") && failed.stderr.contains("late.toml --seed 3"), "{failed:?}");
}

#[test]
fn what_fails_is_made_smaller_and_fails_again_when_repeated() {
    let lab = Lab::new();
    let failed = lab.run(&["sim", "random", "--first", "11", "--finish-within", "1 ms", "--tries", "60", "-o", "left.toml"]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert!(failed.stdout.contains("FAILED        liveness"), "{failed:?}");
    let behind = |text: &str| failed.stderr.lines().find_map(|line| line.strip_prefix(text)).expect("it is said").trim().to_owned();

    // The command that is given finds the same, and so does what is left.
    let again = behind("Repeat it with:  rustor sim random ");
    assert_eq!(again, "--first 11 --seeds 1 --finish-within \"1 ms\"");
    let again = lab.run(&["sim", "random", "--first", "11", "--seeds", "1", "--finish-within", "1 ms", "--tries", "1", "-o", "same.toml"]);
    let hash = |outcome: &Outcome| outcome.stdout.lines().find(|line| line.contains("hash")).map(str::to_owned);
    assert_eq!((again.code, hash(&again)), (Some(1), hash(&failed)), "{again:?}");
    assert_eq!(behind("What is left of it:  "), "rustor sim run left.toml");
    let [left, whole] = ["left.toml", "same.toml"].map(|name| std::fs::read_to_string(lab.path(name)).unwrap());
    assert!(left.contains("finish-within = \"1 ms\"") && left.len() * 2 < whole.len(), "{left}");
    let left = lab.run(&["sim", "run", "left.toml"]);
    assert!(left.code == Some(1) && left.stdout.contains("FAILED        liveness"), "{left:?}");
}

#[cfg(unix)]
#[test]
fn two_builds_are_compared_and_their_first_difference_is_shown() {
    use std::{fs, os::unix::fs::PermissionsExt};

    let lab = Lab::new();
    lab.file("small.toml", SCENARIO.as_bytes());
    let this = env!("CARGO_BIN_EXE_rustor");
    let same = lab.succeed(&["sim", "compare", "small.toml", this]);
    assert!(same.starts_with("no difference in "), "{same}");

    // As a build would say it whose network is slower.
    let slower = SCENARIO.replace("up = \"256 KiB/s\"", "up = \"256 KiB/s\", delay = \"31 ms\"");
    let (slower, other) = (lab.file("slower.toml", slower.as_bytes()), lab.path("other"));
    lab.file("other", format!("#!/bin/sh\nshift 3\nexec '{this}' sim run '{}' \"$@\"\n", slower.display()).as_bytes());
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    let differ = lab.run(&["sim", "compare", "small.toml", "other"]);
    assert_eq!(differ.code, Some(1), "{differ:?}");
    let (before, after) = differ.stdout.split_once("\none:").expect("it says where they part");
    let (one, other) = after.split_once("\nother:").expect("it says what both do");
    assert!(before.contains("the same for ") && one.contains(" is told: ") && other.contains(" is told: "), "{differ:?}");
    assert_ne!(one, other);

    lab.run(&["sim", "compare", "small.toml", "nobody"]).is_one_line(1, "nobody: ");
    lab.run(&["sim", "compare", "small.toml", "/bin/echo"]).is_one_line(1, "expected \"after ");
}
