//! The wire protocol between peers: pure codecs of handshake and messages (BEP 3, and the shapes of BEP 5, 6 and 10). What the messages
//! of extensions say is in [`extension`].
//!
//! A connection begins with a [`Handshake`] from each side, read by a [`HandshakeDecoder`]; what follows it is read by a
//! [`Decoder`] and written by an [`Encoder`]. None of them knows a torrent: whether a piece index is in range, a block was asked
//! for or a message is allowed now is for [`peer`](crate::peer) to say.
//!
//! Payload is never copied on its way through, except for fragments so short that the buffer they pin would cost more. Whatever
//! the reads were, the messages that come out are the same.
//!
//! ```
//! use bytes::Bytes;
//! use rustor_core::wire::{Block, Decoder, Encoder, Limits, Message};
//!
//! let mut encoder = Encoder::new();
//! encoder.push(Message::Interested);
//! encoder.push(Message::Request(Block { piece: 3, offset: 16384, length: 16384 }));
//!
//! let mut decoder = Decoder::new(Limits::default());
//! for buffer in encoder.take() {
//!     decoder.push(buffer);
//! }
//! assert_eq!(decoder.next()?, Some(Message::Interested));
//! assert_eq!(decoder.next()?, Some(Message::Request(Block { piece: 3, offset: 16384, length: 16384 })));
//! assert_eq!(decoder.next()?, None);
//! # Ok::<(), rustor_core::wire::WireError>(())
//! ```

mod decoder;
mod encoder;
mod error;
pub mod extension;
mod handshake;
mod message;
mod payload;
#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Limits};
pub use encoder::Encoder;
pub use error::WireError;
pub(crate) use handshake::PROTOCOL;
pub use handshake::{Handshake, HandshakeDecoder, PeerId, Reserved};
pub use message::{Block, Message, MessageId};
pub(crate) use payload::Assembly as PayloadAssembly;
pub use payload::Payload;

/// The length of the blocks in which pieces are asked for, in bytes; only a torrent's last block is shorter (BEP 3).
pub const BLOCK_LENGTH: u32 = 16 * 1024;

/// The longest block that anyone may ask for, in bytes: clients close a connection over a longer one.
pub const MAX_BLOCK_LENGTH: u32 = 128 * 1024;
