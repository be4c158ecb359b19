//! The named scenarios, and what each must show.

use rustor_sim::{Report, Scenario, Study, units::Span};
use std::{fs, num::NonZeroUsize};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");

/// Too large for every test run; see `BENCHMARKS.md`.
const LARGE: &[&str] = &["flash crowd", "thousand", "unequal links", "ten thousand"];

fn scenario(name: &str) -> Scenario {
    let text = fs::read_to_string(format!("{FOLDER}/{name}.toml")).expect("the scenario is there");
    text.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn run(scenario: &Scenario) -> Report {
    let report = scenario.run();
    assert!(report.is_good(), "{report}\n{scenario}");
    // Nobody can finish with less than it needs.
    assert!(report.waste >= 0.0, "{report}");
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
fn everything_that_goes_wrong_in_a_named_scenario_makes_a_difference() {
    for entry in fs::read_dir(FOLDER).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        let mut scenario = scenario(&path.file_stem().expect("it has a name").to_string_lossy());
        if LARGE.contains(&scenario.name.as_str()) || scenario.faults.is_empty() {
            continue;
        }
        // All run equally long.
        scenario.finish_within = None;
        let last = scenario.faults.iter().map(|fault| fault.at).max().unwrap_or_default();
        scenario.ends = Some(Span(last.0 + Span::seconds(60).0));
        let all = scenario.run().hash;
        for fault in 0..scenario.faults.len() {
            let mut without = scenario.clone();
            without.faults.remove(fault);
            assert_ne!(without.run().hash, all, "{}: {:?} changes nothing", scenario.name, scenario.faults[fault]);
        }
    }
}

#[test]
fn whoever_gives_finishes_before_those_who_do_not() {
    let mut scenario = scenario("free-riders");
    for seed in 1..=3 {
        scenario.seed = seed;
        let report = run(&scenario);
        let (contributors, free_riders) = (&report.groups["contributors"], &report.groups["free-riders"]);
        assert!(contributors.median * 1.3 < free_riders.median && contributors.last < free_riders.first, "{report}");
        let comparison = &report.comparisons[0];
        assert_eq!((comparison.earlier.as_str(), comparison.later.as_str()), ("contributors", "free-riders"));
        assert_eq!(comparison.part, 1.0, "{report}");
    }
}

#[test]
fn what_free_riders_keep_to_themselves_the_seed_gives_to_others_again() {
    let mut scenario = scenario("free-riders");
    scenario.torrent.files = vec!["48 MiB".parse().expect("a size")];
    let report = run(&scenario);
    let (contributors, free_riders) = (&report.groups["contributors"], &report.groups["free-riders"]);
    // Of their own uplinks and the seed's: 171 s. While the seed did not know who passes things on it took them 323 s.
    assert!(contributors.last < 240.0 && contributors.last < free_riders.first, "{report}");
}

/// Lets a leecher die at each of its disk jobs, in one run after the other.
fn dies_at_every_disk_job(takes_power: bool) {
    let mut scenario = scenario("disk-crash");
    scenario.groups.retain(|group| group.name != "fails");
    scenario.groups[1].disk.crash_takes_power = takes_power;
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
fn a_leecher_that_dies_at_any_disk_job_goes_on_and_finishes() {
    dies_at_every_disk_job(false);
}

#[test]
fn a_leecher_whose_power_fails_at_any_disk_job_claims_nothing_that_was_not_durable() {
    dies_at_every_disk_job(true);
}

/// The large scenarios with fewer leechers and a smaller file.
fn smaller(name: &str, length: &str) -> Scenario {
    let mut scenario = scenario(name);
    scenario.torrent.files = vec![length.parse().expect("a size")];
    scenario.groups.iter_mut().for_each(|group| group.count = group.count.div_ceil(25));
    scenario
}

#[test]
fn equal_and_unequal_links_finish_near_what_theory_allows() {
    for (name, bounds) in [("flash-crowd", 2), ("unequal-links", 1)] {
        let report = run(&smaller(name, "25 MiB"));
        let multiples: Vec<f64> = report.bounds.iter().filter_map(|bound| bound.multiple).collect();
        assert_eq!(multiples.len(), bounds, "{report}");
        assert!(multiples.iter().all(|multiple| (1.0..1.8).contains(multiple)), "{report}");
        let used = report.upload_utilisation.expect("all have limits");
        assert!((0.6..=1.0).contains(&used), "{report}");
    }
}

#[test]
fn a_study_measures_the_same_however_many_threads_it_has() {
    let study =
        |jobs| smaller("flash-crowd", "6 MiB").study(3, NonZeroUsize::new(jobs).expect("a number"), |_| {}).expect("everything holds");
    let (alone, together) = (study(1), study(3));
    let without_cpu = |study: &Study| study.measures.iter().filter(|measure| measure.name != "CPU, s").cloned().collect::<Vec<_>>();
    assert_eq!(without_cpu(&alone), without_cpu(&together));
    let hashes = |study: &Study| study.runs.iter().map(|run| (run.seed, run.hash.clone())).collect::<Vec<_>>();
    assert_eq!(hashes(&alone), hashes(&together));
    assert_eq!(alone.runs.iter().map(|run| run.seed).collect::<Vec<_>>(), [1, 2, 3]);
    let last = alone.measure("last leecher, s").expect("it is measured");
    assert!(last.count == 3 && last.least < last.mean && last.mean < last.greatest, "{alone}");
}

#[test]
fn a_study_ends_with_the_first_seed_that_fails() {
    let mut scenario = smaller("flash-crowd", "6 MiB");
    scenario.finish_within = Some("1 s".parse().expect("a span"));
    for jobs in [1, 3] {
        let mut seen = 0;
        let failed = scenario.study(20, NonZeroUsize::new(jobs).expect("a number"), |_| seen += 1).expect_err("that is too little time");
        assert_eq!((failed.seed, failed.is_good()), (1, false));
        assert!(seen <= jobs, "{seen} runs with {jobs} threads");
    }
}
