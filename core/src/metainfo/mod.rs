//! Torrent files: reading, checking and creating them. Magnet links.
//!
//! A [`Metainfo`] that exists is sound: its hashes fit its lengths, and its paths are safe to use on any system.
//!
//! ```
//! use rustor_core::metainfo::{Error, Metainfo};
//!
//! let torrent = "d8:announce19:http://tracker:6969\
//!     4:infod6:lengthi5e4:name11:../evil.txt12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
//! let metainfo = Metainfo::parse(torrent.into())?;
//! assert_eq!(metainfo.info.name(), ".._evil.txt");
//! assert_eq!(metainfo.info.piece_count(), 1);
//! assert_eq!(metainfo.trackers, [["http://tracker:6969"]]);
//!
//! assert_eq!(Metainfo::parse("<!doctype html>".into()), Err(Error::WebPage));
//! # Ok::<(), Error>(())
//! ```

mod create;
mod error;
mod hash;
mod host_port;
mod info;
mod magnet;
mod path;
#[cfg(test)]
mod tests;
mod torrent;

pub use create::{Draft, DraftError, DraftFile, PIECE_LENGTHS, automatic_piece_length};
pub use error::{Error, Key};
pub use hash::{InfoHash, InfoHashError};
pub use host_port::{HostPort, HostPortError};
pub use info::{Attributes, File, Info};
pub use magnet::{MAX_MAGNET_LENGTH, Magnet, MagnetError, Topic};
pub use path::sanitise;
pub use torrent::Metainfo;
