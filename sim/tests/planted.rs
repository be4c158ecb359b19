//! Each invariant finds the mistake that was planted for it, within a thousand seeds.

use rustor_sim::{Invariant, Moment, Scenario, first_difference, planted::PlantedBug};
use std::convert::Infallible;

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

#[test]
fn the_first_thing_that_another_build_does_otherwise_is_shown() {
    let scenario = Scenario::draw(0);
    let sound = |at| -> Result<Moment, Infallible> { Ok(scenario.until(at)) };
    let buggy = |at| -> Result<Moment, Infallible> { Ok(scenario.until_planted(PlantedBug::AsksTwice, at)) };
    let Ok(Some(found)) = first_difference(u64::MAX, sound, buggy) else { panic!("they differ") };
    let [sound, buggy] = &found.before;
    assert_eq!((sound.happenings, &sound.hash, &sound.next), (buggy.happenings, &buggy.hash, &buggy.next));
    // Both are told the same, and the one asks for something again.
    let written = |moment: &Moment| moment.last.iter().filter(|line| line.contains(" wants: Write")).cloned().collect::<Vec<_>>();
    let [sound, buggy] = found.after.each_ref().map(written);
    assert!(!sound.is_empty() && sound.len() == buggy.len() && sound != buggy, "{found}");
    let told = found.after.each_ref().map(|moment| moment.last.iter().find(|line| line.contains(" is told: ")));
    assert!(told[0].is_some() && told[0] == told[1]);
}
