use super::MessageId;
use core::fmt;

/// What a peer sent that the wire protocol does not allow. Its connection cannot go on.
///
/// The text leaves out who it was: "announced a message of …".
///
/// Lengths are those that a message's prefix announces: the id and all after it, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireError {
    /// The first 20 bytes are not those of a handshake: another protocol, or an encrypted connection.
    NotBitTorrent,
    /// The message is longer than its kind may be here; refused before any of it was kept.
    MessageTooLong {
        /// Its kind; `None` if no message may be that long, which is told before the id came.
        id: Option<MessageId>,
        /// The length announced.
        length: u32,
        /// The longest allowed.
        limit: u32,
    },
    /// The message is shorter than the shortest of its kind.
    MessageTooShort {
        /// Its kind.
        id: MessageId,
        /// The length announced.
        length: u32,
        /// The shortest possible.
        minimum: u32,
    },
    /// The message's kind has one length, and this is another.
    WrongLength {
        /// Its kind.
        id: MessageId,
        /// The length announced.
        length: u32,
        /// The only length possible.
        expected: u32,
    },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            WireError::NotBitTorrent => f.write_str("does not speak the BitTorrent protocol"),
            WireError::MessageTooLong { id: Some(id), length, limit } => {
                write!(f, "announced {id} message of {length} bytes, where {limit} are allowed")
            }
            WireError::MessageTooLong { id: None, length, limit } => {
                write!(f, "announced a message of {length} bytes, where no message may pass {limit}")
            }
            WireError::MessageTooShort { id, length, minimum } => {
                write!(f, "sent {id} message of {length} bytes, where {minimum} are the least")
            }
            WireError::WrongLength { id, length, expected } => {
                write!(f, "sent {id} message of {length} bytes instead of {expected}")
            }
        }
    }
}

impl core::error::Error for WireError {}
