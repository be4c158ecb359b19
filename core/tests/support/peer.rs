use super::{Content, World};
use bytes::Bytes;
use rustor_core::{
    error::StreamError,
    id::ConnectionId,
    input::{Input, ReadBuffer},
    peer::CloseReason,
    wire::{
        Block, Decoder, Handshake, HandshakeDecoder, Limits, Message, PeerId, Reserved,
        extension::{ExtensionHandshake, ExtensionMessage},
    },
};
use std::{collections::VecDeque, net::SocketAddr};

/// One end of a stream; the other one is the engine's.
#[derive(Clone)]
pub struct Peer {
    world: World,
    number: usize,
}

/// What the world knows of a stream.
pub(super) struct Stream {
    pub(super) connection: Option<ConnectionId>,
    pub(super) remote: SocketAddr,
    /// The engine reads at most so many bytes.
    pub(super) reading: Option<u32>,
    /// Said and not yet read by the engine; an empty entry is the end.
    outbox: VecDeque<Bytes>,
    has_spoken: bool,
    pub(super) takes_writes: bool,
    /// A write that the peer has not taken.
    pub(super) writing: Option<Vec<Bytes>>,
    handshake: HandshakeDecoder,
    heard_handshake: Option<Handshake>,
    decoder: Decoder,
    heard: Vec<Message>,
    heard_bytes: usize,
    read_bytes: usize,
    /// The engine closed it.
    pub(super) is_closed: bool,
}

impl Stream {
    pub(super) fn new(remote: SocketAddr) -> Stream {
        Stream {
            connection: None,
            remote,
            reading: None,
            outbox: VecDeque::new(),
            has_spoken: false,
            takes_writes: true,
            writing: None,
            handshake: HandshakeDecoder::new(),
            heard_handshake: None,
            decoder: Decoder::new(Limits::default()),
            heard: Vec::new(),
            heard_bytes: 0,
            read_bytes: 0,
            is_closed: false,
        }
    }

    /// The engine wrote this.
    pub(super) fn hear(&mut self, buffers: &[Bytes]) {
        for mut data in buffers.iter().cloned() {
            self.heard_bytes += data.len();
            if self.heard_handshake.is_none() {
                self.heard_handshake = self.handshake.push(&mut data).expect("the engine says a proper handshake first");
            }
            self.decoder.push(data);
            while let Some(message) = self.decoder.next().expect("the engine says proper messages") {
                self.heard.push(message);
            }
        }
    }

    /// What the engine reads next.
    pub(super) fn takes(&mut self, limit: usize) -> Option<Bytes> {
        let mut data = self.outbox.pop_front()?;
        if data.len() > limit {
            self.outbox.push_front(data.split_off(limit));
        }
        self.read_bytes += data.len();
        Some(data)
    }

    pub(super) fn close(&mut self) {
        (self.is_closed, self.reading, self.writing, self.connection) = (true, None, None, None);
    }
}

/// The handshake that the peer at `remote` says: its id follows from its address, which cannot be read in it.
pub fn handshake(content: &Content, remote: SocketAddr) -> Handshake {
    Handshake { reserved: Reserved::default(), info_hash: content.info_hash(), peer_id: peer_id(remote) }
}

fn peer_id(remote: SocketAddr) -> PeerId {
    let mut id = [b'p'; 20];
    let text = remote.to_string();
    id.iter_mut().zip(text.bytes()).for_each(|(to, byte)| *to = byte ^ 0x80);
    PeerId(id)
}

impl Peer {
    pub(super) fn new(world: World, number: usize) -> Peer {
        Peer { world, number }
    }

    fn stream<R>(&self, f: impl FnOnce(&mut Stream) -> R) -> R {
        f(&mut self.world.0.borrow_mut().streams[self.number])
    }

    pub fn remote(&self) -> SocketAddr {
        self.stream(|stream| stream.remote)
    }

    // Speaking

    pub fn has_spoken(&self) -> bool {
        self.stream(|stream| stream.has_spoken)
    }

    /// Says raw bytes, which the engine reads as one piece.
    pub fn says_bytes(&self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.stream(|stream| {
            stream.has_spoken = true;
            stream.outbox.push_back(bytes);
        });
        self.world.0.borrow_mut().deliver(self.number);
        self.world.settles();
    }

    pub fn says(&self, message: Message) {
        self.says_all([message]);
    }

    /// Says messages in one go.
    pub fn says_all(&self, messages: impl IntoIterator<Item = Message>) {
        let mut bytes = Vec::new();
        messages.into_iter().for_each(|message| message.encode(&mut bytes));
        self.says_bytes(bytes);
    }

    pub fn shakes_hands(&self, content: &Content) {
        self.says_bytes(handshake(content, self.remote()).encode().to_vec());
    }

    /// Shakes hands and names its extensions.
    pub fn shakes_hands_with(&self, content: &Content, reserved: Reserved) {
        self.says_bytes(Handshake { reserved, ..handshake(content, self.remote()) }.encode().to_vec());
    }

    /// Says what it speaks (BEP 10).
    pub fn introduces_itself(&self, handshake: ExtensionHandshake) {
        self.says(Message::Extended { id: 0, payload: handshake.encode().into() });
    }

    /// Shakes hands under another peer id.
    pub fn shakes_hands_as(&self, content: &Content, peer_id: PeerId) {
        self.says_bytes(Handshake { peer_id, ..handshake(content, self.remote()) }.encode().to_vec());
    }

    pub fn has_all(&self, content: &Content) {
        self.says(content.bitfield(0..content.pieces()));
    }

    /// Sends blocks as they should be.
    pub fn sends(&self, content: &Content, blocks: &[Block]) {
        blocks.iter().for_each(|block| self.says(content.message(*block)));
    }

    /// Answers every request, also those that follow from the answers, until none comes.
    pub fn serves(&self, content: &Content) {
        loop {
            let requests = self.hears_requests();
            if requests.is_empty() {
                return;
            }
            self.sends(content, &requests);
        }
    }

    /// Answers the first requests that wait, so many at most; the others stay to be heard.
    pub fn serves_some(&self, content: &Content, most: usize) {
        let mut requests = self.hears_requests();
        let later = requests.split_off(most.min(requests.len()));
        self.stream(|stream| stream.heard.splice(0..0, later.into_iter().map(Message::Request)).for_each(drop));
        self.sends(content, &requests);
    }

    pub fn ends(&self) {
        self.says_bytes(Bytes::new());
    }

    /// The stream breaks.
    pub fn breaks(&self) {
        let Some(connection) = self.stream(|stream| stream.connection) else { return };
        self.world.input(Input::Read { connection, result: Err(StreamError::Reset) });
    }

    /// Says bytes that came in a buffer which takes so much memory.
    pub fn says_in_buffer(&self, data: Bytes, allocation: u32) {
        let connection = self.stream(|stream| {
            assert!(stream.reading.take().is_some(), "the engine does not read");
            stream.connection.expect("it stands")
        });
        self.world.input(Input::Read { connection, result: Ok(ReadBuffer { data, allocation }) });
    }

    // Hearing

    /// All messages since the last call.
    pub fn hears(&self) -> Vec<Message> {
        self.stream(|stream| std::mem::take(&mut stream.heard))
    }

    /// All requests since the last call; other messages stay to be heard.
    pub fn hears_requests(&self) -> Vec<Block> {
        self.hears_some(|message| match message {
            Message::Request(block) => Some(*block),
            _ => None,
        })
    }

    /// All cancels since the last call; other messages stay to be heard.
    pub fn hears_cancels(&self) -> Vec<Block> {
        self.hears_some(|message| match message {
            Message::Cancel(block) => Some(*block),
            _ => None,
        })
    }

    /// All haves since the last call; other messages stay to be heard.
    pub fn hears_haves(&self) -> Vec<u32> {
        self.hears_some(|message| match message {
            Message::Have(piece) => Some(*piece),
            _ => None,
        })
    }

    /// All rejects since the last call; other messages stay to be heard.
    pub fn hears_rejects(&self) -> Vec<Block> {
        self.hears_some(|message| match message {
            Message::Reject(block) => Some(*block),
            _ => None,
        })
    }

    /// The pieces that it may ask for while choked, as told since the last call; other messages stay to be heard.
    pub fn hears_allowed_fast(&self) -> Vec<u32> {
        self.hears_some(|message| match message {
            Message::AllowedFast(piece) => Some(*piece),
            _ => None,
        })
    }

    /// What the engine has said of itself since the last call (BEP 10); other messages stay to be heard.
    pub fn hears_introductions(&self) -> Vec<ExtensionHandshake> {
        self.hears_some(|message| match message {
            Message::Extended { id: 0, payload } => match ExtensionMessage::parse(0, payload) {
                Ok(Some(ExtensionMessage::Handshake(handshake))) => Some(*handshake),
                other => panic!("the engine introduced itself by {other:?}"),
            },
            _ => None,
        })
    }

    /// The blocks that came since the last call, where they belong; other messages stay to be heard.
    pub fn hears_blocks(&self) -> Vec<Block> {
        self.hears_some(|message| match message {
            Message::Piece { piece, offset, data } => Some(Block { piece: *piece, offset: *offset, length: data.len() as u32 }),
            _ => None,
        })
    }

    /// Whether `message` came since the last call; other messages stay to be heard.
    pub fn heard(&self, message: &Message) -> bool {
        !self.hears_some(|heard| (heard == message).then_some(())).is_empty()
    }

    pub(super) fn hears_some<T>(&self, pick: impl Fn(&Message) -> Option<T>) -> Vec<T> {
        self.stream(|stream| {
            let picked = stream.heard.iter().filter_map(&pick).collect();
            stream.heard.retain(|message| pick(message).is_none());
            picked
        })
    }

    pub fn heard_handshake(&self) -> Option<Handshake> {
        self.stream(|stream| stream.heard_handshake)
    }

    pub fn heard_bytes(&self) -> usize {
        self.stream(|stream| stream.heard_bytes)
    }

    /// Bytes that the engine has read.
    pub fn read_bytes(&self) -> usize {
        self.stream(|stream| stream.read_bytes)
    }

    pub fn is_closed(&self) -> bool {
        self.stream(|stream| stream.is_closed)
    }

    /// Why the engine let this peer go; only for peers that had shaken hands.
    pub fn reason(&self) -> Option<CloseReason> {
        assert!(self.is_closed(), "the connection still stands");
        self.world.reason(self.remote())
    }

    /// Whether the engine wants to read from this peer.
    pub fn is_read(&self) -> bool {
        self.stream(|stream| stream.reading.is_some())
    }

    /// Takes nothing more from the engine until [`Peer::takes_writes`].
    pub fn takes_no_writes(&self) {
        self.stream(|stream| stream.takes_writes = false);
    }

    /// Takes what waits and whatever comes.
    pub fn takes_writes(&self) {
        self.stream(|stream| stream.takes_writes = true);
        self.takes_one_write();
    }

    /// Takes only the write that waits.
    pub fn takes_one_write(&self) {
        let written = self.stream(|stream| {
            let buffers = stream.writing.take()?;
            stream.hear(&buffers);
            stream.connection
        });
        if let Some(connection) = written {
            self.world.input(Input::Written { connection, result: Ok(()) });
        }
    }

    pub fn connection(&self) -> Option<ConnectionId> {
        self.stream(|stream| stream.connection)
    }
}
