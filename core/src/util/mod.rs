//! The few containers that no crate offers in the shape needed here.

mod bitfield;
mod deadlines;
mod rate;
mod slab;

pub use bitfield::Bitfield;
pub use deadlines::{Armed, Deadlines};
pub use rate::RateMeter;
pub use slab::{Key, Slab};
