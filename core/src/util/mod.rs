//! The few containers that no crate offers in the shape needed here.

use alloc::vec::Vec;

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

/// Appends to a list of which there are many, each of them short: it grows by an eighth, and by `least` places, where
/// [`Vec::push`] doubles it.
pub(crate) fn push<T>(list: &mut Vec<T>, least: usize, value: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 8).max(least));
    }
    list.push(value);
}
