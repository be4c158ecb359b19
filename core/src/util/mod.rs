//! The few containers that no crate offers in the shape needed here.

mod bitfield;
mod deadlines;
mod lane;
mod rate;
mod slab;
mod token_bucket;

pub use bitfield::Bitfield;
pub use deadlines::{Armed, Deadlines};
pub(crate) use lane::Lane;
pub use rate::RateMeter;
pub use slab::{Key, Slab};
pub use token_bucket::TokenBucket;
