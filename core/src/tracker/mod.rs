//! Trackers: announce policy, HTTP codec, and a small tracker.
//!
//! Each file is a machine or codec of its own: [`Announcer`] decides when which tracker is told what.

mod announcer;
mod message;

pub use announcer::*;
pub use message::*;
