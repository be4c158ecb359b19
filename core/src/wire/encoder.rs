use super::{Handshake, Message};
use alloc::{vec, vec::Vec};
use bytes::{BufMut, Bytes, BytesMut};
use core::mem;

/// Gathers outgoing messages into as few buffers as one vectored write needs.
///
/// Small messages and the heads of large ones share a chunk of memory; blocks, and other payloads too long to be worth a copy,
/// stand between as they are. What a chunk has left serves the next batch, so that one encoder for all connections of an engine
/// allocates once in many writes.
#[derive(Debug, Default)]
pub struct Encoder {
    /// What came after the last of `buffers`.
    chunk: BytesMut,
    buffers: Vec<Bytes>,
    length: usize,
}

impl Encoder {
    /// An empty encoder; allocates nothing.
    pub fn new() -> Encoder {
        Encoder::default()
    }

    /// Appends `message`.
    #[inline]
    pub fn push(&mut self, message: Message) {
        self.reserve(LONGEST_HEAD);
        let before = self.chunk.len();
        message.encode_head(&mut self.chunk);
        self.length += self.chunk.len() - before;
        match message {
            Message::Piece { data, .. } => data.into_iter().for_each(|slice| self.push_slice(slice)),
            Message::Bitfield(bytes) | Message::Extended { payload: bytes, .. } => self.push_bytes(bytes),
            // What it said was not kept: zeros keep its place.
            Message::Unknown { length, .. } => self.push_bytes(vec![0; length as usize].into()),
            _ => {}
        }
    }

    /// Appends a handshake.
    pub fn push_handshake(&mut self, handshake: &Handshake) {
        self.reserve(Handshake::LENGTH);
        self.chunk.put_slice(&handshake.encode());
        self.length += Handshake::LENGTH;
    }

    /// How many bytes wait to be taken.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes all that waits, none of the buffers empty, and leaves the encoder ready for the next batch.
    pub fn take(&mut self) -> Vec<Bytes> {
        self.close_chunk();
        self.length = 0;
        mem::take(&mut self.buffers)
    }

    fn push_bytes(&mut self, bytes: Bytes) {
        if bytes.len() < SHORTEST_SLICE {
            self.reserve(bytes.len());
            self.chunk.put_slice(&bytes);
            self.length += bytes.len();
        } else {
            self.push_slice(bytes);
        }
    }

    fn push_slice(&mut self, slice: Bytes) {
        self.close_chunk();
        self.length += slice.len();
        self.buffers.push(slice);
    }

    fn close_chunk(&mut self) {
        if !self.chunk.is_empty() {
            self.buffers.push(self.chunk.split().freeze());
        }
    }

    #[inline]
    fn reserve(&mut self, more: usize) {
        if self.chunk.capacity() - self.chunk.len() < more {
            self.chunk.reserve(CHUNK.max(more));
        }
    }
}

/// How much memory small messages share, in bytes: some 30 requests. A write that is under way holds all of it, however little it says.
const CHUNK: usize = 512;

/// A payload shorter than this is copied into the chunk, which is cheaper than another buffer in the write.
const SHORTEST_SLICE: usize = 512;

/// The most that [`Message::encode_head`] appends: a request.
const LONGEST_HEAD: usize = 17;
