//! Bencode (BEP 3): a borrowed decoder and a canonical encoder.
//!
//! Decoding is one pass that checks everything and allocates nothing, whatever the input holds. What comes out is a [`Value`]: a
//! view of the bytes as they stand, to be copied freely, that knows its exact place in the input. An info-hash is the hash of
//! [`Value::raw`].
//!
//! ```
//! use rustor_core::bencode::{self, decode};
//!
//! let value = decode(b"d5:filesl1:a1:be6:lengthi7ee")?;
//! assert_eq!(value.get(b"length").and_then(|length| length.as_integer()), Some(7));
//! let files = value.get(b"files").and_then(|files| files.as_list()).unwrap_or_default();
//! assert_eq!(files.iter().filter_map(|file| file.as_str()).collect::<Vec<_>>(), ["a", "b"]);
//! assert_eq!(files.value().map(|list| list.range()), Some(8..16));
//!
//! let bytes = bencode::dictionary(|entries| {
//!     entries.key(b"length").integer(7);
//!     entries.key(b"files").list(|files| {
//!         files.item().bytes(b"a");
//!         files.item().bytes(b"b");
//!     });
//! });
//! assert_eq!(bytes, value.raw());
//!
//! let error = decode(b"i-0e").unwrap_err();
//! assert_eq!(error.to_string(), "byte 1: expected a number other than -0");
//! # Ok::<(), rustor_core::bencode::Error>(())
//! ```
//!
//! There is no recursion: nesting is limited by [`Options::max_depth`]. Looking things up scans the bytes again, but skips what it
//! does not visit, so that reading a whole tree costs at most its size times its depth, and hostile input cannot make it quadratic. An
//! [`Outline`] saves most of that, too, for a little memory.

mod decode;
mod encode;
mod error;
mod outline;
#[cfg(test)]
mod tests;
mod value;

pub use decode::{MAX_DEPTH, Options, decode, decode_lenient, decode_prefix};
pub use encode::{DictionaryEncoder, Encoder, ListEncoder, dictionary};
pub use error::{Error, Expected};
pub use outline::Outline;
pub use value::{Dictionary, DictionaryIter, Kind, List, ListIter, Value};
