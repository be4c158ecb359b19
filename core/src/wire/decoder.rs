use super::{Block, MAX_BLOCK_LENGTH, Message, MessageId, Payload, WireError, payload::Assembly};
use alloc::{boxed::Box, collections::VecDeque};
use bytes::{Buf, Bytes};
use core::mem;
use smallvec::SmallVec;

/// Cuts the byte stream after the handshake into messages, without copying what is long.
///
/// Hand in what was read with [`push`](Self::push), then call [`next`](Self::next) until it has no more. However the stream was
/// cut into reads, the same messages come out, and the same error, if there is one. A block is a slice of each read it lies in;
/// all else that straddles reads is copied together, so that a few bytes do not keep a read buffer alive. A call does work for
/// one message, and memory follows what came, never what a peer announced. Between messages a decoder takes 64 bytes.
#[derive(Debug)]
pub struct Decoder {
    /// What is left of the oldest read; holds no buffer once empty.
    input: Bytes,
    limits: Limits,
    /// The message under way, if a part of it was taken from `input`.
    partial: Option<Box<Partial>>,
    /// Later reads: only there if the caller pushed before `next` had no more.
    backlog: Option<Box<Backlog>>,
}

impl Decoder {
    /// A decoder at the beginning of a message.
    pub fn new(limits: Limits) -> Decoder {
        Decoder { input: Bytes::new(), limits, partial: None, backlog: None }
    }

    /// Changes the limits for the messages to come: once a torrent's number of pieces is known, say.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Hands in what was read next.
    pub fn push(&mut self, read: Bytes) {
        if read.is_empty() || matches!(self.partial.as_deref(), Some(Partial::Failed(_))) {
            return;
        }
        if self.input.is_empty() {
            self.input = read;
        } else {
            self.backlog.get_or_insert_default().0.push_back(read);
        }
    }

    /// The next message; `None` if more must be read for it.
    ///
    /// # Errors
    ///
    /// What the peer did wrong. It is for good: all later calls say the same, and all input is dropped.
    #[allow(clippy::should_implement_trait, reason = "an iterator that ends and then goes on would mislead")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Message>, WireError> {
        // What lies in one read as a whole takes this way. It is short, and the message is built where the caller wants it.
        if self.partial.is_none()
            && let Ok(Head::Complete { id, fields, start, length }) = read_head(&self.input, &self.limits)
            && let end = start.saturating_add(length as usize)
            && end <= self.input.len()
        {
            let result = Ok(Some(message(id, fields, length, || self.input.slice(start..end).into())));
            self.input.advance(end);
            if self.input.is_empty() {
                self.refill();
            }
            return result;
        }
        self.next_in_parts()
    }

    /// The block that is coming in now, and how many of its bytes came: a slow block is progress too.
    ///
    /// It is known once [`next`](Self::next) has seen the 13 bytes before the payload.
    pub fn pending_piece(&self) -> Option<(Block, u32)> {
        match self.partial.as_deref()? {
            Partial::Body(Body { id: MessageId::PIECE, fields, length, received, .. }) => {
                Some((Block { piece: word(fields, 0), offset: word(fields, 4), length: *length }, *received))
            }
            _ => None,
        }
    }

    /// Whether all that was pushed has come out in whole messages: nothing is held, and the stream may end here.
    pub fn is_idle(&self) -> bool {
        self.partial.is_none() && self.input.is_empty()
    }

    /// The next message, piece by piece, from as many reads as there are.
    fn next_in_parts(&mut self) -> Result<Option<Message>, WireError> {
        loop {
            if self.partial.is_none() {
                if self.input.is_empty() {
                    return Ok(None);
                }
                self.partial = Some(Box::new(Partial::Head(SmallVec::new())));
            }
            let result = self.resume();
            if self.input.is_empty() {
                self.refill();
            }
            match result {
                Ok(None) if !self.input.is_empty() => {}
                Err(error) => return Err(self.fail(error)),
                result => return result,
            }
        }
    }

    /// Goes on with the message under way: to its end, or to the end of the input.
    fn resume(&mut self) -> Result<Option<Message>, WireError> {
        while let Some(partial) = self.partial.as_deref_mut() {
            let message = match partial {
                Partial::Failed(error) => return Err(*error),
                Partial::Head(bytes) => match read_head(bytes, &self.limits)? {
                    Head::KeepAlive => Message::KeepAlive,
                    Head::Complete { id, fields, length, .. } => {
                        *partial = Partial::body(id, fields, length);
                        continue;
                    }
                    Head::Incomplete { .. } if self.input.is_empty() => return Ok(None),
                    Head::Incomplete { needed } => {
                        let missing = needed.saturating_sub(bytes.len()).min(self.input.len());
                        bytes.extend_from_slice(&self.input.split_to(missing));
                        continue;
                    }
                },
                Partial::Body(body) => {
                    body.receive(&mut self.input);
                    if body.received < body.length {
                        return Ok(None);
                    }
                    let payload = mem::take(&mut body.assembly).into_payload();
                    message(body.id, &body.fields, body.length, || payload)
                }
            };
            self.partial = None;
            return Ok(Some(message));
        }
        Ok(None)
    }

    /// Lets go of the buffer that was read to its end, and turns to the next.
    fn refill(&mut self) {
        self.input = self.backlog.as_mut().and_then(|backlog| backlog.0.pop_front()).unwrap_or_default();
        if self.input.is_empty() {
            self.backlog = None;
        }
    }

    #[cold]
    fn fail(&mut self, error: WireError) -> WireError {
        self.partial = Some(Box::new(Partial::Failed(error)));
        self.input = Bytes::new();
        self.backlog = None;
        error
    }
}

/// The longest messages that a [`Decoder`] takes, by the length of their payload in bytes. Longer ones are an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A bitfield. Default: 256 KiB, for two million pieces, more than any metadata that a magnet link can lead to.
    pub bitfield: u32,
    /// A block. Default: [`MAX_BLOCK_LENGTH`]; whoever asks for shorter ones only may set less.
    pub block: u32,
    /// A message of an extension. Default: 1 MiB; what extensions really send is some 16 KiB.
    pub extended: u32,
    /// A message of unknown kind, of which nothing is kept. Default: 1 MiB.
    pub unknown: u32,
}

impl Limits {
    /// The same, for a torrent of so many pieces: its bitfields are no longer than needed.
    #[must_use]
    pub fn for_pieces(self, pieces: u32) -> Limits {
        Limits { bitfield: pieces.div_ceil(8), ..self }
    }

    /// How long the fields of fixed length are in a message of this kind, and how long at most is the body after them.
    #[inline]
    fn shape(&self, id: MessageId) -> (usize, u32) {
        match id {
            MessageId::CHOKE | MessageId::UNCHOKE | MessageId::INTERESTED | MessageId::NOT_INTERESTED => (0, 0),
            MessageId::HAVE_ALL | MessageId::HAVE_NONE => (0, 0),
            MessageId::HAVE | MessageId::SUGGEST | MessageId::ALLOWED_FAST => (4, 0),
            MessageId::REQUEST | MessageId::CANCEL | MessageId::REJECT => (12, 0),
            MessageId::PORT => (2, 0),
            MessageId::BITFIELD => (0, self.bitfield),
            MessageId::PIECE => (8, self.block),
            MessageId::EXTENDED => (1, self.extended),
            _ => (0, self.unknown),
        }
    }

    /// The longest length that any message may announce.
    fn longest(&self) -> u32 {
        let longest = self.bitfield.max(self.block.saturating_add(8)).max(self.extended.saturating_add(1)).max(self.unknown);
        longest.max(12).saturating_add(1)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bitfield: 256 * 1024, block: MAX_BLOCK_LENGTH, extended: 1024 * 1024, unknown: 1024 * 1024 }
    }
}

/// A message of which a part came.
#[derive(Debug)]
enum Partial {
    /// Less than its head.
    Head(SmallVec<[u8; 17]>),
    /// Its head.
    Body(Body),
    /// It cannot be taken.
    Failed(WireError),
}

impl Partial {
    fn body(id: MessageId, fields: &[u8], length: u32) -> Partial {
        Partial::Body(Body { id, fields: SmallVec::from_slice(fields), length, received: 0, assembly: Assembly::default() })
    }
}

/// A message of which the head came.
#[derive(Debug)]
struct Body {
    id: MessageId,
    fields: SmallVec<[u8; 12]>,
    length: u32,
    received: u32,
    assembly: Assembly,
}

impl Body {
    /// Takes what belongs to this body from the front of `input`.
    fn receive(&mut self, input: &mut Bytes) {
        let missing = self.length.saturating_sub(self.received) as usize;
        let fragment = input.split_to(missing.min(input.len()));
        self.received = self.received.saturating_add(fragment.len() as u32);
        match self.id {
            MessageId::PIECE => self.assembly.add(fragment, missing),
            MessageId::BITFIELD | MessageId::EXTENDED => self.assembly.copy(&fragment, missing),
            _ => {}
        }
    }
}

#[derive(Debug, Default)]
struct Backlog(VecDeque<Bytes>);

/// What the first bytes of a message say.
enum Head<'a> {
    /// Too little: it takes so many bytes to say more.
    Incomplete { needed: usize },
    /// All there is.
    KeepAlive,
    /// A message with `fields` of fixed length, and a body of `length` bytes that begins at `start`.
    Complete { id: MessageId, fields: &'a [u8], start: usize, length: u32 },
}

/// Reads the front of a message. A length that cannot be is refused as soon as it is known.
#[inline]
fn read_head<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Head<'a>, WireError> {
    let Some((prefix, rest)) = bytes.split_first_chunk() else { return Ok(Head::Incomplete { needed: 4 }) };
    let announced = u32::from_be_bytes(*prefix);
    let Some(after_id) = announced.checked_sub(1) else { return Ok(Head::KeepAlive) };
    let Some((id, rest)) = rest.split_first() else {
        let limit = limits.longest();
        let too_long = WireError::MessageTooLong { id: None, length: announced, limit };
        return if announced > limit { Err(too_long) } else { Ok(Head::Incomplete { needed: 5 }) };
    };
    let id = MessageId(*id);
    let (fixed, limit) = limits.shape(id);
    match after_id.checked_sub(fixed as u32) {
        Some(length) if length <= limit => Ok(match rest.get(..fixed) {
            Some(fields) => Head::Complete { id, fields, start: 5 + fixed, length },
            None => Head::Incomplete { needed: 5 + fixed },
        }),
        _ => Err(wrong_length(id, announced, limits)),
    }
}

/// Why a message of this kind cannot announce this length.
#[cold]
fn wrong_length(id: MessageId, length: u32, limits: &Limits) -> WireError {
    let (fixed, body) = limits.shape(id);
    let minimum = 1 + fixed as u32;
    if length > limits.longest() {
        // As before the id came: an error may not depend on how the stream was cut.
        WireError::MessageTooLong { id: None, length, limit: limits.longest() }
    } else if body == 0 {
        WireError::WrongLength { id, length, expected: minimum }
    } else if length < minimum {
        WireError::MessageTooShort { id, length, minimum }
    } else {
        WireError::MessageTooLong { id: Some(id), length, limit: minimum.saturating_add(body) }
    }
}

/// The message with these fields, all of which are there, and this body of `length` bytes.
#[inline]
fn message(id: MessageId, fields: &[u8], length: u32, body: impl FnOnce() -> Payload) -> Message {
    let block = || Block { piece: word(fields, 0), offset: word(fields, 4), length: word(fields, 8) };
    match id {
        MessageId::CHOKE => Message::Choke,
        MessageId::UNCHOKE => Message::Unchoke,
        MessageId::INTERESTED => Message::Interested,
        MessageId::NOT_INTERESTED => Message::NotInterested,
        MessageId::HAVE => Message::Have(word(fields, 0)),
        MessageId::BITFIELD => Message::Bitfield(body().into_bytes()),
        MessageId::REQUEST => Message::Request(block()),
        MessageId::PIECE => Message::Piece { piece: word(fields, 0), offset: word(fields, 4), data: body() },
        MessageId::CANCEL => Message::Cancel(block()),
        MessageId::PORT => Message::Port(fields.first_chunk().map_or(0, |port| u16::from_be_bytes(*port))),
        MessageId::SUGGEST => Message::Suggest(word(fields, 0)),
        MessageId::HAVE_ALL => Message::HaveAll,
        MessageId::HAVE_NONE => Message::HaveNone,
        MessageId::REJECT => Message::Reject(block()),
        MessageId::ALLOWED_FAST => Message::AllowedFast(word(fields, 0)),
        MessageId::EXTENDED => Message::Extended { id: fields.first().copied().unwrap_or(0), payload: body().into_bytes() },
        id => Message::Unknown { id, length },
    }
}

/// The number at `at`.
#[inline]
fn word(fields: &[u8], at: usize) -> u32 {
    fields.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
