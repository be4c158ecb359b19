//! Whole swarms of [RusTor engines](rustor_core) in one thread and in virtual time, decided by one seed.
//!
//! This is a first, small version, and honest about it: streams with latency and upload rates, datagrams that get lost, disks that
//! never fail unless told to, a tracker over HTTP and UDP, a running hash over everything said, and recordings of what each engine was
//! told. More faults, adversaries and scenario files are still to come.
//!
//! ```
//! use rustor_sim::{Link, Payload, World};
//!
//! let payload = Payload::new("file", 300_000, 32_768, 1);
//! let mut world = World::new(7);
//! let seed = world.node(Link::default());
//! let leecher = world.node(Link::default());
//! let torrent = world.add_seed(seed, &payload);
//! world.add(leecher, &payload, &[world.address(seed)]);
//! assert!(world.run_until(|world| world.is_complete(leecher, &payload), 60));
//! # let _ = torrent;
//! ```

mod disk;
mod network;
mod payload;
mod world;

pub use disk::{Disk, DiskFault};
pub use network::Link;
pub use payload::Payload;
pub use world::{NodeId, World};
