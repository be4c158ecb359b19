//! Trackers: announce policy, HTTP codec, and a small tracker.
//!
//! Each file is a machine or codec of its own: [`Announcer`] decides when which tracker is told what, [`http`] writes requests as URLs
//! and reads the answers, [`TrackerServer`] is the other side.

mod announcer;
mod compact;
pub mod http;
mod message;
mod query;
mod server;

pub use announcer::*;
pub use message::*;
pub use server::*;
