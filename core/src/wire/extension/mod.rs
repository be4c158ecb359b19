//! What the extended messages of BEP 10 say: pure codecs.
//!
//! Each side of a connection names the extensions it knows in its [`ExtensionHandshake`] and gives each an id, by which *it* wants to
//! be spoken to. So a message is read by [our ids](ExtensionIds::OURS) and written with the peer's:
//!
//! ```
//! use rustor_core::wire::{
//!     Message,
//!     extension::{Extension, ExtensionIds, ExtensionMessage, MetadataMessage},
//! };
//!
//! let mut theirs = ExtensionIds::default();
//! let request = ExtensionMessage::Metadata(MetadataMessage::Request { piece: 0 });
//! assert_eq!(request.encode(&theirs), None, "the peer does not know the extension");
//!
//! let handshake = ExtensionMessage::parse(0, &"d1:md11:ut_metadatai3eee".into())?;
//! let Some(ExtensionMessage::Handshake(handshake)) = handshake else { unreachable!() };
//! theirs.merge(&handshake.ids);
//! let message = request.encode(&theirs);
//! assert_eq!(message, Some(Message::Extended { id: 3, payload: "d8:msg_typei0e5:piecei0ee".into() }));
//! # Ok::<(), rustor_core::wire::extension::ExtensionError>(())
//! ```
//!
//! Whatever a peer sends, nothing is allocated that is larger than its message, and lists end at their caps.

mod handshake;
mod ids;
mod metadata;
mod peer_exchange;
#[cfg(test)]
mod tests;

pub use handshake::{ExtensionHandshake, MAX_CLIENT_LENGTH};
pub use ids::{Extension, ExtensionIds};
pub use metadata::{METADATA_PIECE_LENGTH, MetadataMessage};
pub use peer_exchange::{MAX_PEX_ADDRESSES, PexFlags, PexMessage, PexPeer};

use super::Message;
use crate::bencode::{self, Options, Value};
use alloc::boxed::Box;
use bytes::Bytes;
use core::fmt;

/// What an extended message says (BEP 10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtensionMessage {
    /// What the sender knows, and by which ids. May come again at any time.
    Handshake(Box<ExtensionHandshake>),
    /// The metadata exchange (BEP 9).
    Metadata(MetadataMessage),
    /// Peers that the sender met or lost (BEP 11).
    PeerExchange(PexMessage),
    /// The sender no longer holds this piece (BEP 54). Not checked against the torrent.
    DontHave(u32),
}

impl ExtensionMessage {
    /// Reads a message that came under `id`, which is one of [ours](ExtensionIds::OURS) or 0. `None` if it is of no known extension, or of
    /// an unknown kind within one (which BEP 9 wants ignored).
    ///
    /// An id is understood even if our handshake did not offer it: whether a message is allowed now is not known here.
    ///
    /// # Errors
    ///
    /// The payload is not what its extension prescribes.
    pub fn parse(id: u8, payload: &Bytes) -> Result<Option<ExtensionMessage>, ExtensionError> {
        if id == 0 {
            let handshake = ExtensionHandshake::parse(payload)?;
            return Ok(Some(ExtensionMessage::Handshake(Box::new(handshake))));
        }
        Ok(match Extension::from_our_id(id) {
            Some(Extension::Metadata) => MetadataMessage::parse(payload)?.map(ExtensionMessage::Metadata),
            Some(Extension::PeerExchange) => Some(ExtensionMessage::PeerExchange(PexMessage::parse(payload)?)),
            Some(Extension::DontHave) => match payload.first_chunk() {
                Some(piece) if payload.len() == 4 => Some(ExtensionMessage::DontHave(u32::from_be_bytes(*piece))),
                _ => return Err(ExtensionError::DontHaveLength(payload.len())),
            },
            None => None,
        })
    }

    /// The message for a peer that gave the ids `theirs`; `None` if it does not know the extension, or switched it off.
    pub fn encode(&self, theirs: &ExtensionIds) -> Option<Message> {
        let (id, payload) = match self {
            ExtensionMessage::Handshake(handshake) => (0, handshake.encode()),
            ExtensionMessage::Metadata(message) => (theirs.get(Extension::Metadata)?, message.encode()),
            ExtensionMessage::PeerExchange(message) => (theirs.get(Extension::PeerExchange)?, message.encode()),
            ExtensionMessage::DontHave(piece) => (theirs.get(Extension::DontHave)?, piece.to_be_bytes().to_vec()),
        };
        Some(Message::Extended { id, payload: payload.into() })
    }
}

/// What is wrong with an extended message. The peer is to blame; the text leaves out who it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtensionError {
    /// The payload does not begin with a bencoded value.
    Bencode(bencode::Error),
    /// The payload begins with a bencoded value that is no dictionary.
    NoDictionary,
    /// A message of the metadata exchange without `msg_type` or with an impossible `piece` (BEP 9).
    Metadata,
    /// A list of addresses that does not divide into them (BEP 11).
    PexLength {
        /// How long it is, in bytes.
        length: usize,
        /// How long an address is.
        stride: usize,
    },
    /// A message that takes a piece back has 4 bytes, this one has another number (BEP 54).
    DontHaveLength(usize),
}

impl fmt::Display for ExtensionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExtensionError::Bencode(error) => write!(f, "sent a garbled extended message: {error}"),
            ExtensionError::NoDictionary => f.write_str("sent an extended message that is no dictionary"),
            ExtensionError::Metadata => f.write_str("sent an impossible message about metadata"),
            ExtensionError::PexLength { length, stride } => {
                write!(f, "sent {length} bytes of peer addresses, which is no multiple of {stride}")
            }
            ExtensionError::DontHaveLength(length) => write!(f, "took a piece back in {length} bytes instead of 4"),
        }
    }
}

impl core::error::Error for ExtensionError {}

/// The dictionary at the start of `payload`, and how many bytes it takes. Clients send unsorted keys, so that is allowed.
fn dictionary(payload: &[u8]) -> Result<(Value<'_>, usize), ExtensionError> {
    let options = Options { lenient: true, max_depth: 16 };
    let (value, length) = options.decode_prefix(payload).map_err(ExtensionError::Bencode)?;
    match value.as_dictionary() {
        Some(_) => Ok((value, length)),
        None => Err(ExtensionError::NoDictionary),
    }
}
