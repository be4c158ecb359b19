//! One connection to a peer: what each side has and wants, the requests in both directions, and the moments that matter.
//!
//! A `Connection` holds state and answers questions about it. What follows from a message for the torrent is decided in
//! [`engine`](crate::engine), which knows both.

mod client_name;
mod close_reason;
mod connection;
mod download;
mod extended;
mod fast;
mod holdings;
mod own_addresses;
mod priority;
mod standing;
mod upload;

pub use client_name::client_name;
pub use close_reason::{CloseReason, ProtocolError};
pub(crate) use connection::{Connection, Stage, Withheld};
pub(crate) use download::{Arrival, Download};
pub(crate) use extended::{Early, Extended};
pub(crate) use fast::Fast;
pub(crate) use holdings::Holdings;
pub use own_addresses::OwnAddresses;
pub use priority::canonical_priority;
pub(crate) use standing::Standing;
pub(crate) use upload::Upload;
