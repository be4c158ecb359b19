//! Each invariant finds the mistake that was planted for it, within a thousand seeds.

#![cfg(feature = "planted-bugs")]

use rustor_sim::{Invariant, Scenario, planted::PlantedBug};

#[test]
fn every_planted_bug_is_found_by_its_invariant() {
    let mut missed = Vec::new();
    for (bug, invariant) in PlantedBug::ALL {
        let finds = |seed: &u64| Scenario::draw(*seed).run_planted(*bug).violations.iter().any(|found| found.invariant == *invariant);
        match (0..1000).find(finds) {
            Some(seed) => println!("{bug:?}: {invariant} at seed {seed}"),
            None => missed.push((bug, invariant.name())),
        }
    }
    assert_eq!(missed, []);
}

#[test]
fn every_invariant_has_its_bug() {
    for invariant in Invariant::all() {
        assert!(PlantedBug::ALL.iter().any(|(_, noticed_by)| *noticed_by == invariant), "{invariant}");
    }
}
