//! Runs the scenarios of a range of seeds: `cargo run -p rustor-sim --example seeds -- 0 200`. `rustor sim random` does the same, and more.

use rustor_sim::Scenario;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let (first, last) = (numbers.first().copied().unwrap_or(0), numbers.get(1).copied().unwrap_or(200));
    for seed in first..last {
        let report = Scenario::draw(seed).run();
        if report.cost.seconds > 2.0 || !report.is_good() {
            println!("{report}");
            if numbers.len() > 2 {
                if let Some(shrunk) = Scenario::draw(seed).shrink(500) {
                    println!("{}\n# {}\n# {} tried, {} steps", shrunk.scenario, shrunk.violation, shrunk.tried, shrunk.steps);
                }
            }
        }
    }
}
