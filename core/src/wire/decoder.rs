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
        if matches!(self.partial.as_deref(), Some(Partial::Failed(_))) {
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
        loop {
            let message = if self.partial.is_none() { self.cut() } else { self.resume() };
            if self.input.is_empty() {
                self.refill();
            }
            match message {
                Ok(None) if !self.input.is_empty() => {}
                Err(error) => return Err(self.fail(error)),
                message => return message,
            }
        }
    }

    /// The block that is coming in now, and how many of its bytes came: a slow block is progress too.
    ///
    /// It is known once [`next`](Self::next) has seen the 13 bytes before the payload.
    pub fn pending_piece(&self) -> Option<(Block, u32)> {
        match self.partial.as_deref()? {
            Partial::Body(Body { kind: Kind::Piece { piece, offset }, length, received, .. }) => {
                Some((Block { piece: *piece, offset: *offset, length: *length }, *received))
            }
            _ => None,
        }
    }

    /// Whether all that was pushed has come out in whole messages: nothing is held, and the stream may end here.
    pub fn is_idle(&self) -> bool {
        self.partial.is_none() && self.input.is_empty()
    }

    /// A message from the front of the input alone, or what there is of it into `partial`.
    #[inline]
    fn cut(&mut self) -> Result<Option<Message>, WireError> {
        match read_head(&self.input, &self.limits)? {
            Head::Small { message, end } => {
                self.input.advance(end);
                Ok(Some(message))
            }
            Head::Body { kind, start, length } => {
                self.input.advance(start);
                if length as usize <= self.input.len() {
                    let body = self.input.split_to(length as usize);
                    return Ok(Some(kind.finish(length, body.into())));
                }
                self.partial = Some(Box::new(Partial::body(kind, length)));
                self.resume()
            }
            Head::Incomplete { .. } if self.input.is_empty() => Ok(None),
            Head::Incomplete { .. } => {
                self.partial = Some(Box::new(Partial::Head(SmallVec::from_slice(&mem::take(&mut self.input)))));
                Ok(None)
            }
        }
    }

    /// Goes on with the message under way: to its end, or to the end of the input.
    #[cold]
    fn resume(&mut self) -> Result<Option<Message>, WireError> {
        while let Some(partial) = self.partial.as_deref_mut() {
            match partial {
                Partial::Failed(error) => return Err(*error),
                Partial::Head(bytes) => match read_head(bytes, &self.limits)? {
                    Head::Small { message, .. } => {
                        self.partial = None;
                        return Ok(Some(message));
                    }
                    Head::Body { kind, length, .. } => *partial = Partial::body(kind, length),
                    Head::Incomplete { .. } if self.input.is_empty() => return Ok(None),
                    Head::Incomplete { needed } => {
                        let missing = needed.saturating_sub(bytes.len()).min(self.input.len());
                        bytes.extend_from_slice(&self.input.split_to(missing));
                    }
                },
                Partial::Body(body) => {
                    body.receive(&mut self.input);
                    if body.received < body.length {
                        return Ok(None);
                    }
                    let payload = mem::take(&mut body.assembly).into_payload();
                    let message = body.kind.finish(body.length, payload);
                    self.partial = None;
                    return Ok(Some(message));
                }
            }
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

    /// The longest length that any message may announce.
    fn longest(&self) -> u32 {
        let longest = self.bitfield.max(self.block.saturating_add(8)).max(self.extended.saturating_add(1)).max(self.unknown);
        longest.saturating_add(1).max(REQUEST_LENGTH)
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
    Head(SmallVec<[u8; LONGEST_HEAD]>),
    /// Its head.
    Body(Body),
    /// It cannot be taken.
    Failed(WireError),
}

impl Partial {
    fn body(kind: Kind, length: u32) -> Partial {
        Partial::Body(Body { kind, length, received: 0, assembly: Assembly::default() })
    }
}

#[derive(Debug)]
struct Body {
    kind: Kind,
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
        match self.kind {
            Kind::Piece { .. } => self.assembly.add(fragment, missing),
            Kind::Bitfield | Kind::Extended { .. } => self.assembly.copy(&fragment, missing),
            Kind::Unknown { .. } => {}
        }
    }
}

#[derive(Debug, Default)]
struct Backlog(VecDeque<Bytes>);

/// What the first bytes of a message say.
enum Head {
    /// Too little: it takes so many bytes to say more.
    Incomplete { needed: usize },
    /// The whole message, which goes up to `end`.
    Small { message: Message, end: usize },
    /// A message with a body of `length` bytes, which begins at `start`.
    Body { kind: Kind, start: usize, length: u32 },
}

/// A message that has a body, and what stands before it.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Bitfield,
    Piece { piece: u32, offset: u32 },
    Extended { id: u8 },
    Unknown { id: MessageId },
}

impl Kind {
    fn finish(self, length: u32, body: Payload) -> Message {
        match self {
            Kind::Bitfield => Message::Bitfield(body.into_bytes()),
            Kind::Piece { piece, offset } => Message::Piece { piece, offset, data: body },
            Kind::Extended { id } => Message::Extended { id, payload: body.into_bytes() },
            Kind::Unknown { id } => Message::Unknown { id, length },
        }
    }
}

/// The most bytes that [`read_head`] needs: a request.
const LONGEST_HEAD: usize = 17;

/// The length that a request announces: the longest of fixed length.
const REQUEST_LENGTH: u32 = 13;

/// What `bytes`, the front of a message, say. A length that cannot be is refused as soon as it is known.
#[inline]
fn read_head(bytes: &[u8], limits: &Limits) -> Result<Head, WireError> {
    let Some((prefix, rest)) = bytes.split_first_chunk() else { return Ok(Head::Incomplete { needed: 4 }) };
    let length = u32::from_be_bytes(*prefix);
    if length == 0 {
        return Ok(Head::Small { message: Message::KeepAlive, end: 4 });
    }
    let Some((id, rest)) = rest.split_first() else {
        let longest = limits.longest();
        return if length > longest { Err(too_long(None, length, longest)) } else { Ok(Head::Incomplete { needed: 5 }) };
    };
    let announced = Announced { id: MessageId(*id), length, limits };
    match announced.id {
        MessageId::CHOKE => announced.bare(Message::Choke),
        MessageId::UNCHOKE => announced.bare(Message::Unchoke),
        MessageId::INTERESTED => announced.bare(Message::Interested),
        MessageId::NOT_INTERESTED => announced.bare(Message::NotInterested),
        MessageId::HAVE => announced.piece(rest, Message::Have),
        MessageId::BITFIELD => announced.body(rest, limits.bitfield, |[]| Kind::Bitfield),
        MessageId::REQUEST => announced.block(rest, Message::Request),
        MessageId::PIECE => announced.body(rest, limits.block, |[a, b, c, d, e, f, g, h]| Kind::Piece {
            piece: u32::from_be_bytes([a, b, c, d]),
            offset: u32::from_be_bytes([e, f, g, h]),
        }),
        MessageId::CANCEL => announced.block(rest, Message::Cancel),
        MessageId::PORT => announced.fixed(rest, |port| Message::Port(u16::from_be_bytes(port))),
        MessageId::SUGGEST => announced.piece(rest, Message::Suggest),
        MessageId::HAVE_ALL => announced.bare(Message::HaveAll),
        MessageId::HAVE_NONE => announced.bare(Message::HaveNone),
        MessageId::REJECT => announced.block(rest, Message::Reject),
        MessageId::ALLOWED_FAST => announced.piece(rest, Message::AllowedFast),
        MessageId::EXTENDED => announced.body(rest, limits.extended, |[id]| Kind::Extended { id }),
        id => announced.body(rest, limits.unknown, |[]| Kind::Unknown { id }),
    }
}

/// The first five bytes of a message.
#[derive(Clone, Copy)]
struct Announced<'a> {
    id: MessageId,
    length: u32,
    limits: &'a Limits,
}

impl Announced<'_> {
    /// A message of nothing but its id.
    #[inline]
    fn bare(self, message: Message) -> Result<Head, WireError> {
        self.fixed(&[], |[]| message)
    }

    /// A message that names a piece.
    #[inline]
    fn piece(self, rest: &[u8], make: fn(u32) -> Message) -> Result<Head, WireError> {
        self.fixed(rest, |piece| make(u32::from_be_bytes(piece)))
    }

    /// A message that names a block.
    #[inline]
    fn block(self, rest: &[u8], make: fn(Block) -> Message) -> Result<Head, WireError> {
        self.fixed(rest, |[a, b, c, d, e, f, g, h, i, j, k, l]| {
            let [piece, offset, length] = [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_be_bytes);
            make(Block { piece, offset, length })
        })
    }

    /// A message with exactly `N` bytes after its id.
    #[inline]
    fn fixed<const N: usize>(self, rest: &[u8], make: impl FnOnce([u8; N]) -> Message) -> Result<Head, WireError> {
        if self.length as usize != 1 + N {
            return Err(self.wrong_length(1 + N as u32, 1 + N as u32));
        }
        Ok(match rest.first_chunk() {
            Some(bytes) => Head::Small { message: make(*bytes), end: 5 + N },
            None => Head::Incomplete { needed: 5 + N },
        })
    }

    /// A message with `N` bytes and up to `limit` more after its id.
    #[inline]
    fn body<const N: usize>(self, rest: &[u8], limit: u32, make: impl FnOnce([u8; N]) -> Kind) -> Result<Head, WireError> {
        let shortest = 1 + N as u32;
        match self.length.checked_sub(shortest) {
            Some(length) if length <= limit => Ok(match rest.first_chunk() {
                Some(bytes) => Head::Body { kind: make(*bytes), start: 5 + N, length },
                None => Head::Incomplete { needed: 5 + N },
            }),
            _ => Err(self.wrong_length(shortest, shortest.saturating_add(limit))),
        }
    }

    /// Why the length, which is not within `shortest..=longest`, cannot be.
    #[cold]
    fn wrong_length(self, shortest: u32, longest: u32) -> WireError {
        let Announced { id, length, limits } = self;
        // What could be refused before the id came is the same error after it: it may not depend on how the stream was cut.
        if length > limits.longest() {
            too_long(None, length, limits.longest())
        } else if shortest == longest {
            WireError::WrongLength { id, length, expected: shortest }
        } else if length < shortest {
            WireError::MessageTooShort { id, length, minimum: shortest }
        } else {
            too_long(Some(id), length, longest)
        }
    }
}

fn too_long(id: Option<MessageId>, length: u32, limit: u32) -> WireError {
    WireError::MessageTooLong { id, length, limit }
}
