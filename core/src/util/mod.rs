//! The few containers that no crate offers in the shape needed here.

mod bitfield;
mod slab;

pub use bitfield::Bitfield;
pub use slab::{Key, Slab};
