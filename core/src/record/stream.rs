//! What of a stream between peers is payload: the bytes of blocks, which nobody looks into.

use super::{
    ReplayError,
    form::{Form, Reader, Writer, put_bytes},
};
use crate::{
    id::ConnectionId,
    wire::{Handshake, MessageId, PROTOCOL},
};
use alloc::{collections::BTreeMap, vec::Vec};
use bytes::Bytes;

/// The longest run of bytes out of which payload is left, so that reading a recording takes bounded memory. Far more than a
/// read brings; what is longer is kept whole.
pub(super) const LONGEST: usize = 16 << 20;

/// How far one direction of a connection has come: which of its next bytes are payload.
///
/// It follows the lengths of the messages and nothing else. What does not begin with BitTorrent's name is kept whole.
#[derive(Clone, Copy, Debug)]
pub(super) enum Framing {
    /// Within the handshake, of which so many bytes came.
    Handshake(u8),
    /// Within the length and the id of a message, of which so many bytes came.
    Head { filled: u8, length: u32 },
    /// So many bytes of a message still to be kept, and then so many of payload.
    Body { kept: u32, payload: u32 },
    /// Another protocol.
    Unknown,
    /// Nothing but payload.
    Payload,
}

impl Framing {
    pub(super) const HEAD: Framing = Framing::Head { filled: 0, length: 0 };

    /// Within the body of a message, or behind its end.
    fn body(kept: u32, payload: u32) -> Framing {
        if kept == 0 && payload == 0 { Framing::HEAD } else { Framing::Body { kept, payload } }
    }

    /// Behind the id of a message that has so many bytes from there on, or behind a length of zero: a keep-alive has no id.
    fn after_head(length: u32, id: u8) -> Framing {
        let body = length.saturating_sub(1);
        let kept = if MessageId(id) == MessageId::PIECE { body.min(8) } else { body };
        Framing::body(kept, body - kept)
    }

    /// Splits the front of `data`, which comes next: so many bytes that are kept, and then so many of payload.
    fn split(&mut self, data: &[u8]) -> (usize, usize) {
        let mut kept = 0;
        loop {
            let rest = data.get(kept..).unwrap_or_default();
            match *self {
                _ if rest.is_empty() => return (kept, 0),
                Framing::Payload => return (kept, rest.len()),
                Framing::Body { kept: 0, payload } => {
                    let taken = rest.len().min(payload as usize);
                    *self = Framing::body(0, payload.saturating_sub(taken as u32));
                    return (kept, taken);
                }
                _ => kept += self.keep(rest),
            }
        }
    }

    /// Goes on over bytes that are kept; says how many.
    fn keep(&mut self, data: &[u8]) -> usize {
        // Most messages come whole.
        if let (Framing::Head { filled: 0, .. }, Some(&[a, b, c, d, id])) = (*self, data.first_chunk()) {
            let length = u32::from_be_bytes([a, b, c, d]);
            *self = Framing::after_head(length, id);
            return if length == 0 { 4 } else { 5 };
        }
        match *self {
            Framing::Handshake(seen) => {
                let taken = data.len().min(Handshake::LENGTH.saturating_sub(seen.into()));
                let name = PROTOCOL.iter().skip(seen.into());
                *self = match usize::from(seen) + taken {
                    _ if data.iter().zip(name).any(|(ours, theirs)| ours != theirs) => Framing::Unknown,
                    Handshake::LENGTH => Framing::HEAD,
                    seen => Framing::Handshake(seen as u8),
                };
                taken
            }
            Framing::Head { filled, length } => {
                let byte = data.first().copied().unwrap_or_default();
                *self = match (filled, length << 8 | u32::from(byte)) {
                    (3, 0) => Framing::HEAD,
                    (..4, length) => Framing::Head { filled: filled + 1, length },
                    _ => Framing::after_head(length, byte),
                };
                1
            }
            Framing::Body { kept, payload } => {
                let taken = data.len().min(kept as usize);
                *self = Framing::body(kept.saturating_sub(taken as u32), payload);
                taken
            }
            Framing::Unknown | Framing::Payload => data.len(),
        }
    }
}

/// Both directions of all connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    /// By the connection's place.
    dense: Vec<Stream>,
    /// Those whose place is [`DENSE`] or beyond.
    sparse: BTreeMap<usize, Stream>,
}

/// So many places are looked up directly. A made-up recording may name any place, and shall not take memory for all before it.
const DENSE: usize = 1 << 14;

#[derive(Clone, Copy, Debug)]
struct Stream {
    generation: u32,
    /// What comes in, what goes out.
    directions: [Framing; 2],
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    Incoming = 0,
    Outgoing = 1,
}

impl Streams {
    /// Where a connection's stream stands.
    ///
    /// A connection takes over the place of one that is gone, so that there are never more than were open at once. What comes for
    /// the one that is gone means nothing to the engine, and counts as payload.
    pub(super) fn framing(&mut self, connection: ConnectionId, direction: Direction) -> Option<&mut Framing> {
        let generation = (connection.to_bits() >> 32) as u32;
        let fresh = Stream { generation, directions: [Framing::Handshake(0); 2] };
        let index = connection.index();
        if index < DENSE && index >= self.dense.len() {
            // Of those in between nothing has come yet, whatever their generation.
            self.dense.resize(index + 1, Stream { generation: 0, ..fresh });
        }
        let stream = match self.dense.get_mut(index) {
            Some(stream) => stream,
            None => self.sparse.entry(index).or_insert(fresh),
        };
        if stream.generation < generation {
            *stream = fresh;
        }
        let [incoming, outgoing] = &mut stream.directions;
        (stream.generation == generation).then_some(match direction {
            Direction::Incoming => incoming,
            Direction::Outgoing => outgoing,
        })
    }
}

/// Writes bytes of a stream without their payload: their length, then in turns how many are kept, these, and how many are left out.
pub(super) fn put(data: &Bytes, to: &mut Writer<'_>) {
    data.len().put(to);
    let mut rest = &data[..];
    while !rest.is_empty() {
        let (mut kept, mut payload) = to.framing.split(rest);
        if data.len() > LONGEST {
            (kept, payload) = (kept + payload, 0);
        }
        let (front, back) = rest.split_at_checked(kept).unwrap_or((rest, &[]));
        put_bytes(front, to);
        if !back.is_empty() {
            payload.put(to);
        }
        rest = back.get(payload..).unwrap_or_default();
    }
}

/// Reads what [`put`] wrote, with zeros for payload.
pub(super) fn take(from: &mut Reader) -> Result<Bytes, ReplayError> {
    let length = usize::take(from)?;
    let mut data = Vec::new();
    while data.len() < length {
        let kept = Bytes::take(from)?;
        if kept.len() == length {
            return Ok(kept);
        }
        data.extend_from_slice(&kept);
        if data.len() < length {
            let payload = usize::take(from)?;
            if payload > length - data.len() || (payload > 0 && length > LONGEST) {
                return Err(from.corrupt());
            }
            data.resize(data.len() + payload, 0);
        }
    }
    if data.len() > length { Err(from.corrupt()) } else { Ok(data.into()) }
}
