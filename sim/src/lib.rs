//! Whole swarms of [RusTor engines](rustor_core) in one thread and in virtual time, decided by one seed.
//!
//! # How it works
//!
//! Real engines run here, as many as you like; everything around them is simulated. There is one [`Agenda`]: a queue of what will
//! happen, in microseconds. Nothing sleeps, nothing is random that the seed does not decide, and so a run is repeated exactly from
//! its [`Scenario`].
//!
//! ```text
//!   seed ──► Scenario ──► World ────────────────────────────────────────► Report
//!            (TOML)       agenda ─► node: engine, adversary or tracker      times, use of links, fairness,
//!                           ▲         │ actions                            a hash over everything said,
//!                           │         ▼                                    and what did not hold
//!                           └── network, disk, services      checks look at all that goes past
//! ```
//!
//! - A [`Scenario`] says who is there, with which links, disks and configuration, what they share, and what goes wrong when. It is
//!   plain data: written by hand, [drawn](Scenario::draw) from a seed, [shrunk](Scenario::shrink) when it fails.
//! - The [`World`] holds the nodes and lets time pass. It tells an engine what happens and does what the engine wants, as any host does.
//! - The [`network`] carries streams and datagrams over links that are slow, lose, delay and break.
//! - A [`disk`] keeps apart what is written and what is durable.
//! - [Adversaries](Mischief) speak to engines in raw bytes.
//! - [Invariants](Invariant) are checked as it runs; the [`Report`] says how often, and which did not hold.
//!
//! # Where two runs part
//!
//! The same scenario comes out the same, byte for byte, here and elsewhere. Where it does not, [`first_difference`] bisects two runs to the
//! first thing that engines were told or said in one and not in the other, and shows it: two builds with `rustor sim compare`, a run and
//! its repetition in the tests.
//!
//! ```
//! use rustor_sim::{Scenario, first_difference};
//!
//! let scenario = Scenario::draw(5);
//! // As another build would do it, whose engines begin with more requests.
//! let mut other = scenario.clone();
//! other.groups.iter_mut().for_each(|group| group.policy.request_initial = Some(31));
//! let difference = first_difference::<String>(u64::MAX, |at| Ok(scenario.until(at)), |at| Ok(other.until(at)))?;
//! println!("{}", difference.expect("they differ"));
//! # Ok::<(), String>(())
//! ```
//!
//! # By hand
//!
//! Tests that want one particular thing build their world step by step:
//!
//! ```
//! use rustor_sim::{Link, Payload, World};
//!
//! let payload = Payload::new("file", 300_000, 32_768, 1);
//! let mut world = World::new(7);
//! let seed = world.node(Link::default());
//! let leecher = world.node(Link::default());
//! world.add_seed(seed, &payload);
//! world.add(leecher, &payload, &[world.address(seed)]);
//! assert!(world.run_until(|world| world.is_complete(leecher, &payload), 60));
//! ```

#![forbid(unsafe_code)]

mod adversary;
mod agenda;
mod checks;
mod difference;
pub mod disk;
mod host;
pub mod network;
mod node;
mod payload;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod plot;
mod report;
mod run;
pub mod scenario;
mod services;
mod study;
pub mod units;
mod world;

pub use adversary::Mischief;
pub use agenda::Agenda;
pub use checks::{Checks, Invariant, Violation};
pub use difference::{Difference, Moment, first_difference, until_in};
pub use disk::{Disk, DiskFault};
pub use network::Link;
pub use payload::Payload;
pub use report::{Comparison, Cost, Distribution, Multiple, Report, Sample};
pub use run::Run;
pub use scenario::{Bound, Scenario, ScenarioError};
pub use services::{NameFault, TrackerFault, WebFault, WebSeed};
pub use study::{Measure, Study, StudyRun};
pub use world::{NodeId, Options, Statistics, World};
