//! Trackers: announce policy, HTTP and UDP clients, and a small tracker.
//!
//! Each file is a machine or codec of its own: [`Announcer`] decides when which tracker is told what, [`http`] writes requests as URLs
//! and reads the answers, [`udp`] speaks the other protocol, [`Scrape`] asks without joining, [`TrackerServer`] is the other side of
//! all that.

mod announcer;
mod compact;
pub mod http;
mod message;
mod query;
mod scrape;
mod server;
pub mod udp;

pub use announcer::*;
pub use message::*;
pub use scrape::*;
pub use server::*;
