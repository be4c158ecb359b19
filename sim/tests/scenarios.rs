//! The named scenarios, and what each must show.

use rustor_sim::{Report, Scenario};
use std::fs;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");

/// Too large for every test run; see `BENCHMARKS.md`.
const LARGE: &[&str] = &["flash crowd", "ten thousand"];

fn scenario(name: &str) -> Scenario {
    let text = fs::read_to_string(format!("{FOLDER}/{name}.toml")).expect("the scenario is there");
    text.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn run(scenario: &Scenario) -> Report {
    let report = scenario.run();
    assert!(report.is_good(), "{report}\n{scenario}");
    report
}

#[test]
fn every_named_scenario_holds() {
    for entry in fs::read_dir(FOLDER).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let scenario = scenario(&path.file_stem().expect("it has a name").to_string_lossy());
        assert!(scenario.about.ends_with('.'), "{} says what it is about", scenario.name);
        if !LARGE.contains(&scenario.name.as_str()) {
            let report = run(&scenario);
            assert_eq!(report.finished, report.leechers, "{report}");
        }
    }
}

#[test]
fn free_riders_finish_after_contributors() {
    let report = run(&scenario("free-riders"));
    let (contributors, free_riders) = (&report.groups["contributors"], &report.groups["free-riders"]);
    assert!(contributors.last < free_riders.first, "{report}");
}

#[test]
fn a_leecher_that_dies_at_any_disk_job_goes_on_and_finishes() {
    let mut scenario = scenario("disk-crash");
    scenario.groups.retain(|group| group.name != "fails");
    let crashes = |scenario: &mut Scenario, job| {
        scenario.groups[1].disk.crash_at = Some(job);
        run(scenario)
    };
    let undisturbed = crashes(&mut scenario, u64::MAX);
    let mut job = 1;
    // Beyond its last job it does not die, and the run is as if nothing had been planned.
    loop {
        let report = crashes(&mut scenario, job);
        assert_eq!(report.finished, 1, "died at job {job}: {report}");
        if report.hash == undisturbed.hash {
            break;
        }
        job += 1;
    }
    assert!(job > 50, "there were only {job} jobs");
}

#[test]
fn unequal_links_and_equal_ones_finish_near_the_bound_of_their_links() {
    let mut scenario = scenario("flash-crowd");
    scenario.torrent.files = vec!["25 MiB".parse().expect("a size")];
    scenario.groups[1].count = 30;
    let report = run(&scenario);
    let last = report.completion.expect("all finished").last;
    assert!(last < 2.5 * report.ideal_seconds, "{report}");
}
