//! Scenarios drawn from seeds: nothing that must hold may fail.

use rustor_sim::{Moment, Scenario, first_difference};
use std::convert::Infallible;

#[test]
fn two_hundred_drawn_scenarios_violate_nothing() {
    for seed in 0..200 {
        let scenario = Scenario::draw(seed);
        let report = scenario.run();
        assert!(report.is_good(), "{report}\n{scenario}\nrustor sim random --first {seed} --seeds 1");
    }
}

#[test]
fn a_scenario_runs_the_same_twice() {
    for seed in [3, 14, 15] {
        let scenario = Scenario::draw(seed);
        if scenario.run().hash != scenario.run().hash {
            let until = |at| -> Result<Moment, Infallible> { Ok(scenario.until(at)) };
            let Ok(difference) = first_difference(u64::MAX, until, until);
            panic!("two runs of seed {seed} differ: {}", difference.map_or_else(|| "but not always".to_owned(), |found| found.to_string()));
        }
    }
}
