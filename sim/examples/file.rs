//! Runs a scenario file: `cargo run --release -p rustor-sim --example file -- sim/scenarios/flash-crowd.toml`. `rustor sim run` does the same,
//! and more.

use rustor_sim::Scenario;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let scenario: Scenario = std::fs::read_to_string(path)?.parse()?;
        print!("{}", scenario.run());
    }
    Ok(())
}
