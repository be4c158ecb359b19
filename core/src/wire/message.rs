use super::Payload;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes};
use core::{fmt, iter};

/// One message between peers, after the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Nothing, said to keep the connection open.
    KeepAlive,
    /// The sender will answer no more requests.
    Choke,
    /// The sender will answer requests.
    Unchoke,
    /// The receiver holds pieces that the sender wants.
    Interested,
    /// The receiver holds nothing that the sender wants.
    NotInterested,
    /// The sender now holds this piece.
    Have(u32),
    /// The pieces that the sender holds, one bit each, in the order of [`Bitfield`](crate::util::Bitfield). Unchecked.
    Bitfield(Bytes),
    /// The sender asks for a block.
    Request(Block),
    /// A block.
    Piece {
        /// The piece's index.
        piece: u32,
        /// Where in the piece the block begins, in bytes.
        offset: u32,
        /// The block.
        data: Payload,
    },
    /// The sender no longer asks for the block.
    Cancel(Block),
    /// The UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// The receiver might want to download this piece (BEP 6).
    Suggest(u32),
    /// The sender holds every piece; instead of a bitfield (BEP 6).
    HaveAll,
    /// The sender holds no piece; instead of a bitfield (BEP 6).
    HaveNone,
    /// The sender will not answer this request (BEP 6).
    Reject(Block),
    /// The receiver may ask for this piece even while choked (BEP 6).
    AllowedFast(u32),
    /// A message of an extension (BEP 10).
    Extended {
        /// Which extension: 0 is the extension handshake, all else is what the receiver's own handshake assigned.
        id: u8,
        /// What the extension says.
        payload: Bytes,
    },
    /// A message that this engine does not know. Its payload was skipped.
    Unknown {
        /// Its kind.
        id: MessageId,
        /// How long its payload was, without the id, in bytes.
        length: u32,
    },
}

impl Message {
    /// Which kind of message it is; `None` for a keep-alive, which has no id.
    pub fn id(&self) -> Option<MessageId> {
        Some(match self {
            Message::KeepAlive => return None,
            Message::Choke => MessageId::CHOKE,
            Message::Unchoke => MessageId::UNCHOKE,
            Message::Interested => MessageId::INTERESTED,
            Message::NotInterested => MessageId::NOT_INTERESTED,
            Message::Have(_) => MessageId::HAVE,
            Message::Bitfield(_) => MessageId::BITFIELD,
            Message::Request(_) => MessageId::REQUEST,
            Message::Piece { .. } => MessageId::PIECE,
            Message::Cancel(_) => MessageId::CANCEL,
            Message::Port(_) => MessageId::PORT,
            Message::Suggest(_) => MessageId::SUGGEST,
            Message::HaveAll => MessageId::HAVE_ALL,
            Message::HaveNone => MessageId::HAVE_NONE,
            Message::Reject(_) => MessageId::REJECT,
            Message::AllowedFast(_) => MessageId::ALLOWED_FAST,
            Message::Extended { .. } => MessageId::EXTENDED,
            Message::Unknown { id, .. } => *id,
        })
    }

    /// How many bytes the message takes on the wire, its length prefix included.
    pub fn wire_length(&self) -> u64 {
        4 + match self {
            Message::KeepAlive => 0,
            Message::Choke | Message::Unchoke | Message::Interested | Message::NotInterested => 1,
            Message::HaveAll | Message::HaveNone => 1,
            Message::Have(_) | Message::Suggest(_) | Message::AllowedFast(_) => 5,
            Message::Request(_) | Message::Cancel(_) | Message::Reject(_) => 13,
            Message::Port(_) => 3,
            Message::Bitfield(bits) => 1 + bits.len() as u64,
            Message::Piece { data, .. } => 9 + data.len() as u64,
            Message::Extended { payload, .. } => 2 + payload.len() as u64,
            Message::Unknown { length, .. } => 1 + u64::from(*length),
        }
    }

    /// Appends the message as it goes on the wire: the simple way, which copies. An [`Encoder`](super::Encoder) does not.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_head(out);
        match self {
            Message::Bitfield(bytes) | Message::Extended { payload: bytes, .. } => out.extend_from_slice(bytes),
            Message::Piece { data, .. } => data.slices().iter().for_each(|slice| out.extend_from_slice(slice)),
            // What it said was not kept: zeros keep its place.
            Message::Unknown { length, .. } => out.extend(iter::repeat_n(0, *length as usize)),
            _ => {}
        }
    }

    /// Appends all but the payload of variable length.
    #[inline]
    pub(super) fn encode_head(&self, out: &mut impl BufMut) {
        match *self {
            Message::KeepAlive => out.put_slice(&[0; 4]),
            Message::Have(piece) => put_piece(out, MessageId::HAVE, piece),
            Message::Suggest(piece) => put_piece(out, MessageId::SUGGEST, piece),
            Message::AllowedFast(piece) => put_piece(out, MessageId::ALLOWED_FAST, piece),
            Message::Request(block) => put_block(out, MessageId::REQUEST, block),
            Message::Cancel(block) => put_block(out, MessageId::CANCEL, block),
            Message::Reject(block) => put_block(out, MessageId::REJECT, block),
            Message::Port(port) => {
                put_prefix(out, MessageId::PORT, 2);
                out.put_u16(port);
            }
            Message::Bitfield(ref bits) => put_prefix(out, MessageId::BITFIELD, bits.len()),
            Message::Piece { piece, offset, ref data } => {
                put_prefix(out, MessageId::PIECE, 8 + data.len());
                out.put_u64(u64::from(piece) << 32 | u64::from(offset));
            }
            Message::Extended { id, ref payload } => {
                put_prefix(out, MessageId::EXTENDED, 1 + payload.len());
                out.put_u8(id);
            }
            Message::Unknown { id, length } => put_prefix(out, id, length as usize),
            Message::Choke => put_prefix(out, MessageId::CHOKE, 0),
            Message::Unchoke => put_prefix(out, MessageId::UNCHOKE, 0),
            Message::Interested => put_prefix(out, MessageId::INTERESTED, 0),
            Message::NotInterested => put_prefix(out, MessageId::NOT_INTERESTED, 0),
            Message::HaveAll => put_prefix(out, MessageId::HAVE_ALL, 0),
            Message::HaveNone => put_prefix(out, MessageId::HAVE_NONE, 0),
        }
    }
}

/// A block of a piece, as requests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The piece's index.
    pub piece: u32,
    /// Where in the piece the block begins, in bytes.
    pub offset: u32,
    /// How long the block is, in bytes.
    pub length: u32,
}

/// The byte that says which kind a message is. Its `Display` is the kind's name with an article: "a request".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u8);

#[allow(missing_docs, reason = "each is the id of the message of that name")]
impl MessageId {
    pub const CHOKE: MessageId = MessageId(0);
    pub const UNCHOKE: MessageId = MessageId(1);
    pub const INTERESTED: MessageId = MessageId(2);
    pub const NOT_INTERESTED: MessageId = MessageId(3);
    pub const HAVE: MessageId = MessageId(4);
    pub const BITFIELD: MessageId = MessageId(5);
    pub const REQUEST: MessageId = MessageId(6);
    pub const PIECE: MessageId = MessageId(7);
    pub const CANCEL: MessageId = MessageId(8);
    pub const PORT: MessageId = MessageId(9);
    pub const SUGGEST: MessageId = MessageId(13);
    pub const HAVE_ALL: MessageId = MessageId(14);
    pub const HAVE_NONE: MessageId = MessageId(15);
    pub const REJECT: MessageId = MessageId(16);
    pub const ALLOWED_FAST: MessageId = MessageId(17);
    pub const EXTENDED: MessageId = MessageId(20);
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            MessageId::CHOKE => "a choke",
            MessageId::UNCHOKE => "an unchoke",
            MessageId::INTERESTED => "an interested",
            MessageId::NOT_INTERESTED => "a not-interested",
            MessageId::HAVE => "a have",
            MessageId::BITFIELD => "a bitfield",
            MessageId::REQUEST => "a request",
            MessageId::PIECE => "a piece",
            MessageId::CANCEL => "a cancel",
            MessageId::PORT => "a port",
            MessageId::SUGGEST => "a suggest",
            MessageId::HAVE_ALL => "a have-all",
            MessageId::HAVE_NONE => "a have-none",
            MessageId::REJECT => "a reject",
            MessageId::ALLOWED_FAST => "an allowed-fast",
            MessageId::EXTENDED => "an extended",
            MessageId(id) => return write!(f, "an unknown ({id})"),
        })
    }
}

/// Appends the length prefix of a message with `payload` bytes after its id, and the id.
#[inline]
fn put_prefix(out: &mut impl BufMut, id: MessageId, payload: usize) {
    let length = u32::try_from(payload).unwrap_or(u32::MAX).saturating_add(1);
    let [a, b, c, d] = length.to_be_bytes();
    out.put_slice(&[a, b, c, d, id.0]);
}

#[inline]
fn put_piece(out: &mut impl BufMut, id: MessageId, piece: u32) {
    let [a, b, c, d] = piece.to_be_bytes();
    out.put_slice(&[0, 0, 0, 5, id.0, a, b, c, d]);
}

#[inline]
fn put_block(out: &mut impl BufMut, id: MessageId, block: Block) {
    let [a, b, c, d] = block.piece.to_be_bytes();
    let [e, f, g, h] = block.offset.to_be_bytes();
    let [i, j, k, l] = block.length.to_be_bytes();
    out.put_slice(&[0, 0, 0, 13, id.0, a, b, c, d, e, f, g, h, i, j, k, l]);
}
