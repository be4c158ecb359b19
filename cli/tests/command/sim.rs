//! Simulated swarms.

use serde_json::Value;

use crate::lab::Lab;

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
fn drawn_scenarios_are_run() {
    let lab = Lab::new();
    lab.succeed(&["sim", "random", "--seeds", "5", "--first", "7"]);
}
