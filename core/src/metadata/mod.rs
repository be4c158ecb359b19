//! The metadata exchange (BEP 9): a torrent's info dictionary, got from peers and given to peers.
//!
//! [`MetadataFetch`] gets it, given nothing but the info-hash; [`MetadataServe`] gives it. Neither knows connections: what they want said is
//! returned, and the caller says it with [`wire::extension`](crate::wire::extension).
//!
//! ```
//! use rustor_core::{
//!     metadata::{MetadataConfig, MetadataEvent, MetadataFetch, MetadataQuota, MetadataServe},
//!     metainfo::InfoHash,
//!     time::Instant,
//!     wire::extension::MetadataMessage,
//! };
//!
//! let info = bytes::Bytes::from_static(b"d6:lengthi5e4:name5:hello12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae");
//! let seed = MetadataServe::new(info.clone());
//! let mut quota = MetadataQuota::default();
//!
//! let mut fetch = MetadataFetch::new(InfoHash::of(&info), MetadataConfig::default());
//! let now = Instant::ZERO;
//! fetch.add_peer(now, "the seed", Some(info.len() as u32));
//! while let Some((peer, piece)) = fetch.poll_request(now) {
//!     match seed.answer(now, &mut quota, piece) {
//!         MetadataMessage::Data { piece, total_size, data } => fetch.handle_data(now, peer, piece, total_size, &data),
//!         _ => fetch.handle_reject(now, peer, piece),
//!     }
//! }
//! assert_eq!(fetch.poll_event(), Some(MetadataEvent::Complete(info)));
//! ```

mod candidate;
mod fetch;
mod serve;
#[cfg(test)]
mod tests;

pub use fetch::{MetadataConfig, MetadataEvent, MetadataFetch};
pub use serve::{MetadataQuota, MetadataServe};
