//! What fails is made smaller, and fails in the same way.

use rustor_sim::{
    Invariant, Scenario,
    planted::PlantedBug,
    scenario::{Policy, Role},
    units::{Rate, Span},
};

/// The first of these scenarios, drawn from seeds, that is large and fails of a bug.
fn large(bug: PlantedBug, invariant: Invariant) -> Scenario {
    let is_large = |scenario: &Scenario| scenario.faults.len() >= 3 && scenario.groups.len() >= 4 && scenario.length() > 1 << 20;
    let fails = |scenario: &Scenario| scenario.run_planted(bug).violations.first().is_some_and(|found| found.invariant == invariant);
    (0..1000).map(Scenario::draw).filter(is_large).find(fails).expect("some are large")
}

fn nodes(scenario: &Scenario) -> u32 {
    scenario.groups.iter().map(|group| group.count).sum()
}

#[test]
fn a_failing_scenario_shrinks_to_little_more_than_the_failure() {
    for (bug, invariant) in [(PlantedBug::SendsTwice, Invariant::OnlyWhatWasAsked), (PlantedBug::SpoilsBlocks, Invariant::HonestNotBanned)]
    {
        let scenario = large(bug, invariant);
        let mut runs = 0;
        let shrunk = scenario.shrink_by(600, |scenario| {
            runs += 1;
            scenario.run_planted(bug)
        });
        let shrunk = shrunk.expect("it fails");
        assert_eq!(shrunk.violation.invariant, invariant);
        assert_eq!(shrunk.tried, runs);
        assert!(runs <= 600 && shrunk.steps > 5, "{} steps in {runs} runs", shrunk.steps);

        let left = &shrunk.scenario;
        println!("{bug:?}, {runs} runs:\n{left}");
        assert_eq!(left.faults, []);
        assert!(nodes(left) <= 3 && left.groups.iter().any(|group| group.role == Role::Seed), "{left}");
        assert!(left.length() <= scenario.length() / 2, "{left}");
        assert!(left.groups.iter().all(|group| group.policy == Policy::default()), "{left}");
        // It ends right behind the failure.
        assert_eq!(left.ends, Some(Span(shrunk.violation.at + 1)));

        // What a person is given to read fails again.
        let text = left.to_string();
        assert!(text.lines().count() <= 40 && text.len() * 2 < scenario.to_string().len(), "{text}");
        let read: Scenario = text.parse().expect("it can be read");
        assert_eq!(read, *left);
        assert_eq!(read.run_planted(bug).violations.first(), Some(&shrunk.violation));
    }
}

#[test]
fn of_a_policy_only_what_matters_is_left() {
    let text = r#"
        name = "a policy of many fields"
        torrent = { files = ["1 MiB"], piece = "64 KiB" }
        group = [
            { name = "seed", role = "seed" },
            { name = "leecher", policy = { upload-slots = 3, request-initial = 5, download-limit = "64 KiB/s", have-delay = "10 ms" } },
        ]
    "#;
    let scenario: Scenario = text.parse().expect("it makes sense");
    let shrunk = scenario.shrink_by(300, |scenario| scenario.run_planted(PlantedBug::IgnoresLimits)).expect("it fails");
    assert_eq!(shrunk.violation.invariant, Invariant::RateLimits);
    let leecher = shrunk.scenario.groups.iter().find(|group| group.name == "leecher").expect("it is needed");
    assert_eq!(leecher.policy, Policy { download_limit: Some(Rate(64 << 10)), ..Policy::default() });
}

#[test]
fn shrinking_ends_when_its_tries_are_used_up() {
    let scenario = large(PlantedBug::SendsTwice, Invariant::OnlyWhatWasAsked);
    for tries in [1, 2, 7] {
        let mut runs = 0;
        let shrunk = scenario.shrink_by(tries, |scenario| {
            runs += 1;
            scenario.run_planted(PlantedBug::SendsTwice)
        });
        assert_eq!((runs, shrunk.map(|shrunk| shrunk.tried)), (tries, Some(tries)));
    }
}

#[test]
fn what_does_not_fail_is_not_shrunk() {
    let scenario = Scenario::draw(1);
    assert!(scenario.shrink(10).is_none());
}
