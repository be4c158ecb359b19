use super::{ExtensionError, dictionary};
use crate::bencode;
use alloc::vec::Vec;
use bytes::Bytes;

/// The length of every piece of metadata but the last, in bytes (BEP 9).
pub const METADATA_PIECE_LENGTH: u32 = 16 * 1024;

/// One message of the metadata exchange, `ut_metadata` (BEP 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// The sender asks for a piece of the metadata.
    Request {
        /// The piece's index.
        piece: u32,
    },
    /// A piece of the metadata.
    Data {
        /// The piece's index.
        piece: u32,
        /// How long the whole metadata is, in bytes, if the sender says so. Unchecked.
        total_size: Option<u32>,
        /// The piece; of any length.
        data: Bytes,
    },
    /// The sender will not give the piece now.
    Reject {
        /// The piece's index.
        piece: u32,
    },
}

impl MetadataMessage {
    /// Reads the payload of an extended message; `None` if its type is unknown, which is to be ignored.
    ///
    /// # Errors
    ///
    /// No dictionary at the start, or one that says no type, or of a known type no piece.
    pub fn parse(payload: &Bytes) -> Result<Option<MetadataMessage>, ExtensionError> {
        let (root, length) = dictionary(payload)?;
        let kind = root.get(b"msg_type").and_then(|kind| kind.as_integer()).ok_or(ExtensionError::Metadata)?;
        if !matches!(kind, REQUEST | DATA | REJECT) {
            return Ok(None);
        }
        let number = |key: &[u8]| root.get(key).and_then(|value| u32::try_from(value.as_unsigned()?).ok());
        let piece = number(b"piece").ok_or(ExtensionError::Metadata)?;
        Ok(Some(match kind {
            REQUEST => MetadataMessage::Request { piece },
            DATA => MetadataMessage::Data { piece, total_size: number(b"total_size"), data: payload.slice(length..) },
            _ => MetadataMessage::Reject { piece },
        }))
    }

    /// The payload of an extended message.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, piece) = match self {
            MetadataMessage::Request { piece } => (REQUEST, piece),
            MetadataMessage::Data { piece, .. } => (DATA, piece),
            MetadataMessage::Reject { piece } => (REJECT, piece),
        };
        let mut out = bencode::dictionary(|entries| {
            entries.key(b"msg_type").integer(kind);
            entries.key(b"piece").unsigned((*piece).into());
            if let MetadataMessage::Data { total_size: Some(size), .. } = self {
                entries.key(b"total_size").unsigned((*size).into());
            }
        });
        if let MetadataMessage::Data { data, .. } = self {
            out.extend_from_slice(data);
        }
        out
    }
}

const REQUEST: i64 = 0;
const DATA: i64 = 1;
const REJECT: i64 = 2;
