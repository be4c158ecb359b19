//! Peers that mean ill, or are broken: they speak in raw bytes and hold a whole copy of the torrent.
//!
//! All of them behave like a seed where their [`Mischief`] does not say otherwise.

mod world;

use crate::{network::End, payload::Payload};
use bytes::Bytes;
use rustor_core::{
    error::StreamError,
    rng::Rng,
    wire::{
        BLOCK_LENGTH, Block, Decoder, Handshake, HandshakeDecoder, Limits, Message, PeerId, Reserved,
        extension::{Extension, METADATA_PIECE_LENGTH, MetadataMessage},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
};

/// What an adversary does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mischief {
    /// Of so many blocks that it sends, one has a wrong byte.
    Corrupt(u32),
    /// Claims to have everything, unchokes, and answers no request.
    Liar,
    /// Says a have for each piece as if it came, again and again, and sends nothing.
    LyingHaves,
    /// Has everything and never unchokes.
    NeverUnchoke,
    /// Chokes, unchokes, wants and does not want, all the time; ends connections and comes again.
    Flapper,
    /// Asks for everything, again and again, without waiting.
    Flood,
    /// Sends blocks that nobody asked for.
    Unasked,
    /// Sends blocks at one byte a second.
    Dribble,
    /// Claims metadata of 4 GiB, and sends wrong parts of it.
    HugeMetadata,
    /// Claims to have the metadata, and sends something else of the same length.
    WrongMetadata,
    /// Tells of peers in messages that are broken, or name nobody.
    GarbagePeerExchange,
    /// Takes pieces back that it said it had, and has them again (BEP 54).
    TakesBack,
    /// Connects many times under the same peer id.
    Twins,
    /// Asks for blocks and cancels them at once, by the hundred.
    CancelStorm,
    /// Random bytes after the handshake.
    Noise,
    /// Names pieces and blocks that do not exist.
    OutOfRange,
    /// Sends half of each block, and the rest a minute later or never.
    HalfBlocks,
    /// Says that messages are longer than any may be.
    GiantMessages,
}

impl Mischief {
    /// One of each.
    pub const ALL: &[Mischief] = &[
        Mischief::Corrupt(5),
        Mischief::Liar,
        Mischief::LyingHaves,
        Mischief::NeverUnchoke,
        Mischief::Flapper,
        Mischief::Flood,
        Mischief::Unasked,
        Mischief::Dribble,
        Mischief::HugeMetadata,
        Mischief::WrongMetadata,
        Mischief::GarbagePeerExchange,
        Mischief::TakesBack,
        Mischief::Twins,
        Mischief::CancelStorm,
        Mischief::Noise,
        Mischief::OutOfRange,
        Mischief::HalfBlocks,
        Mischief::GiantMessages,
    ];
}

/// Somebody who means ill.
#[derive(Debug)]
pub(crate) struct Adversary {
    mischief: Mischief,
    payload: Payload,
    /// Whom it goes to, and how often it has.
    victims: Vec<(SocketAddr, usize)>,
    rng: Rng,
    peer_id: PeerId,
    sockets: BTreeMap<u64, Victim>,
    opened: u64,
    blocks_sent: u64,
}

/// One connection.
#[derive(Debug)]
struct Victim {
    end: Option<End>,
    stands: bool,
    greeted: bool,
    handshake: HandshakeDecoder,
    decoder: Option<Decoder>,
    /// What is to go out one byte at a time.
    slow: VecDeque<u8>,
    choking: bool,
    ticks: u64,
    address: Option<SocketAddr>,
}

/// What an adversary wants done.
#[derive(Debug)]
enum Deed {
    Connect(u64, SocketAddr),
    Write(u64, Bytes),
    Close(u64),
}

/// By this number victims are to ask for metadata.
const METADATA: u8 = 2;

/// Connections to one victim at once.
const TWINS: usize = 4;

impl Adversary {
    pub(crate) fn new(mischief: Mischief, payload: Payload, mut rng: Rng) -> Adversary {
        let peer_id = PeerId::random(*b"-XX0666-", &mut rng);
        Adversary { mischief, payload, victims: Vec::new(), rng, peer_id, sockets: BTreeMap::new(), opened: 0, blocks_sent: 0 }
    }

    /// Somebody can be reached here.
    pub(crate) fn learn(&mut self, victim: SocketAddr) {
        self.victims.push((victim, 0));
    }

    /// All that it has open, which it forgets.
    pub(crate) fn close_all(&mut self) -> Vec<End> {
        std::mem::take(&mut self.sockets).into_values().filter_map(|victim| victim.end).collect()
    }

    /// Once a second: connects to all victims that it is not connected to, and does what it does unprompted.
    fn tick(&mut self) -> Vec<Deed> {
        let mut deeds = Vec::new();
        let wanted = if self.mischief == Mischief::Twins { TWINS } else { 1 };
        for index in 0..self.victims.len() {
            let (address, times) = self.victims[index];
            let open = self.sockets.values().filter(|victim| victim.address == Some(address)).count();
            // Who is not let in does not come back at once.
            if open < wanted && (times < 3 * wanted || self.rng.below(20) == 0) {
                self.victims[index].1 += 1;
                deeds.push(Deed::Connect(self.name(None, Some(address)), address));
            }
        }
        for socket in self.sockets.keys().copied().collect::<Vec<_>>() {
            self.unprompted(socket, &mut deeds);
        }
        deeds
    }

    fn name(&mut self, end: Option<End>, address: Option<SocketAddr>) -> u64 {
        self.opened += 1;
        let victim = Victim {
            end,
            stands: end.is_some(),
            greeted: false,
            handshake: HandshakeDecoder::new(),
            decoder: None,
            slow: VecDeque::new(),
            choking: true,
            ticks: 0,
            address,
        };
        self.sockets.insert(self.opened, victim);
        self.opened
    }

    fn connected(&mut self, socket: u64, result: Result<(), StreamError>) -> Vec<Deed> {
        let mut deeds = Vec::new();
        match self.sockets.get_mut(&socket) {
            Some(victim) if result.is_ok() => {
                victim.stands = true;
                self.greet(socket, &mut deeds);
            }
            _ => drop(self.sockets.remove(&socket)),
        }
        deeds
    }

    /// The handshake, and what is said first.
    fn greet(&mut self, socket: u64, deeds: &mut Vec<Deed>) {
        let reserved = match self.mischief {
            Mischief::HugeMetadata | Mischief::WrongMetadata | Mischief::GarbagePeerExchange | Mischief::TakesBack => {
                Reserved::default().with_extension()
            }
            _ => Reserved::default(),
        };
        let peer_id = match self.mischief {
            Mischief::Twins => PeerId(*b"-XX0666-twintwintwin"),
            _ => self.peer_id,
        };
        let handshake = Handshake { reserved, info_hash: self.payload.metainfo.info_hash(), peer_id };
        self.send(socket, Bytes::copy_from_slice(&handshake.encode()), deeds);
        let pieces = self.payload.pieces();
        let mut bits = vec![0xff; pieces.div_ceil(8) as usize];
        if let Some(last) = bits.last_mut()
            && !pieces.is_multiple_of(8)
        {
            *last <<= 8 - pieces % 8;
        }
        match self.mischief {
            Mischief::LyingHaves => {}
            Mischief::OutOfRange => self.speak(socket, Message::Bitfield(vec![0xff; bits.len() + 3].into()), deeds),
            Mischief::Noise => {
                let mut noise = vec![0; 500];
                self.rng.fill(&mut noise);
                self.send(socket, noise.into(), deeds);
            }
            Mischief::GiantMessages => self.send(socket, Bytes::from_static(&[0xff, 0xff, 0xff, 0xfe, 5]), deeds),
            Mischief::HugeMetadata => {
                let shake = "d1:md11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei4294967296ee";
                self.speak(socket, Message::Extended { id: 0, payload: shake.into() }, deeds);
                let part = [&b"d8:msg_typei1e5:piecei0e10:total_sizei4294967296ee"[..], &[b'x'; 16384]].concat();
                self.speak(socket, Message::Extended { id: Extension::Metadata.our_id(), payload: part.into() }, deeds);
                self.speak(socket, Message::Bitfield(bits.into()), deeds);
            }
            Mischief::WrongMetadata => {
                let size = self.payload.metainfo.info.raw().len();
                let shake = format!("d1:md11:ut_metadatai{METADATA}ee13:metadata_sizei{size}ee");
                self.speak(socket, Message::Extended { id: 0, payload: shake.into() }, deeds);
                self.speak(socket, Message::Bitfield(bits.into()), deeds);
            }
            _ => self.speak(socket, Message::Bitfield(bits.into()), deeds),
        }
        if let Some(victim) = self.sockets.get_mut(&socket) {
            victim.greeted = true;
        }
    }

    fn unprompted(&mut self, socket: u64, deeds: &mut Vec<Deed>) {
        let Some(victim) = self.sockets.get_mut(&socket).filter(|victim| victim.greeted) else { return };
        victim.ticks += 1;
        let ticks = victim.ticks;
        let pieces = self.payload.pieces();
        let piece = self.rng.below(pieces.into()) as u32;
        match self.mischief {
            Mischief::Dribble => {
                if let Some(byte) = victim.slow.pop_front() {
                    deeds.push(Deed::Write(socket, vec![byte].into()));
                }
            }
            Mischief::LyingHaves => (0..pieces.min(50)).for_each(|piece| self.speak(socket, Message::Have(piece), deeds)),
            Mischief::Flapper => {
                victim.choking = !victim.choking;
                let choke = if victim.choking { Message::Choke } else { Message::Unchoke };
                self.speak(socket, choke, deeds);
                self.speak(socket, Message::Interested, deeds);
                self.speak(socket, Message::NotInterested, deeds);
                if ticks.is_multiple_of(15) {
                    deeds.push(Deed::Close(socket));
                }
            }
            Mischief::Flood => {
                self.speak(socket, Message::Interested, deeds);
                for _ in 0..500 {
                    let block = self.any_block();
                    self.speak(socket, Message::Request(block), deeds);
                }
            }
            Mischief::CancelStorm => {
                self.speak(socket, Message::Interested, deeds);
                for _ in 0..100 {
                    let block = self.any_block();
                    self.speak(socket, Message::Request(block), deeds);
                    self.speak(socket, Message::Cancel(block), deeds);
                }
            }
            Mischief::Unasked => {
                let data = self.payload.slice(u64::from(piece) * u64::from(self.payload.piece_length()), BLOCK_LENGTH.into());
                self.speak(socket, Message::Piece { piece, offset: 0, data: data.into() }, deeds);
            }
            Mischief::OutOfRange => {
                let beyond = Block { piece: u32::MAX, offset: u32::MAX, length: u32::MAX };
                match self.rng.below(3) {
                    0 => self.speak(socket, Message::Have(pieces), deeds),
                    1 => self.speak(socket, Message::Request(beyond), deeds),
                    _ => self.speak(socket, Message::Cancel(beyond), deeds),
                }
            }
            Mischief::TakesBack => {
                let news = match self.rng.below(2) {
                    0 => Message::Have(piece),
                    _ => Message::Extended { id: Extension::DontHave.our_id(), payload: piece.to_be_bytes().to_vec().into() },
                };
                self.speak(socket, news, deeds);
            }
            Mischief::GarbagePeerExchange => {
                // Fifty neighbours, none of whom is there.
                let mut strangers = b"d5:added300:".to_vec();
                (0..50).for_each(|number| strangers.extend([10, 201, ticks as u8, number, 0x1a, 0xe1]));
                strangers.extend(b"e");
                let bodies: [&[u8]; 4] = [
                    &strangers,
                    b"d5:added7:garbage7:added.f1:xe",
                    b"d5:added12:\x7f\0\0\x01\x1a\xe1\0\0\0\0\0\0e",
                    b"d5:addedi-99999999999999999999e",
                ];
                let body = bodies[self.rng.below(4) as usize];
                let id = Extension::PeerExchange.our_id();
                self.speak(socket, Message::Extended { id, payload: Bytes::copy_from_slice(body) }, deeds);
            }
            Mischief::HalfBlocks if ticks.is_multiple_of(60) && !victim.slow.is_empty() => {
                let rest: Vec<u8> = std::mem::take(&mut victim.slow).into();
                deeds.push(Deed::Write(socket, rest.into()));
            }
            _ => {}
        }
    }

    /// The victim has sent something.
    fn heard(&mut self, socket: u64, mut data: Bytes) -> Vec<Deed> {
        let mut deeds = Vec::new();
        let Some(victim) = self.sockets.get_mut(&socket) else { return deeds };
        if data.is_empty() {
            deeds.push(Deed::Close(socket));
            return deeds;
        }
        if victim.decoder.is_none() {
            match victim.handshake.push(&mut data) {
                Ok(Some(_)) => {
                    victim.decoder = Some(Decoder::new(Limits::default().for_pieces(self.payload.pieces())));
                    if !victim.greeted {
                        self.greet(socket, &mut deeds);
                    }
                }
                Ok(None) => return deeds,
                Err(_) => {
                    deeds.push(Deed::Close(socket));
                    return deeds;
                }
            }
        }
        if let Some(decoder) = self.sockets.get_mut(&socket).and_then(|victim| victim.decoder.as_mut()) {
            decoder.push(data);
        }
        while let Some(decoder) = self.sockets.get_mut(&socket).and_then(|victim| victim.decoder.as_mut()) {
            match decoder.next() {
                Ok(Some(message)) => self.answer(socket, &message, &mut deeds),
                Ok(None) => break,
                Err(_) => {
                    deeds.push(Deed::Close(socket));
                    break;
                }
            }
        }
        deeds
    }

    fn answer(&mut self, socket: u64, message: &Message, deeds: &mut Vec<Deed>) {
        match message {
            Message::Interested if self.mischief != Mischief::NeverUnchoke => {
                if let Some(victim) = self.sockets.get_mut(&socket) {
                    victim.choking = false;
                }
                self.speak(socket, Message::Unchoke, deeds);
            }
            Message::Request(block) => self.serve(socket, *block, deeds),
            Message::Extended { id: METADATA, payload } if self.mischief == Mischief::WrongMetadata => {
                let Ok(Some(MetadataMessage::Request { piece })) = MetadataMessage::parse(payload) else { return };
                let mut wrong = self.payload.metainfo.info.raw().to_vec();
                if let Some(byte) = wrong.last_mut() {
                    *byte ^= 1;
                }
                let total_size = u32::try_from(wrong.len()).ok();
                let Some(part) = wrong.chunks(METADATA_PIECE_LENGTH as usize).nth(piece as usize) else { return };
                let part = MetadataMessage::Data { piece, total_size, data: Bytes::copy_from_slice(part) };
                self.speak(socket, Message::Extended { id: Extension::Metadata.our_id(), payload: part.encode().into() }, deeds);
            }
            _ => {}
        }
    }

    fn serve(&mut self, socket: u64, block: Block, deeds: &mut Vec<Deed>) {
        let Block { piece, offset, length } = block;
        let start = u64::from(piece) * u64::from(self.payload.piece_length()) + u64::from(offset);
        let mut data = self.payload.slice(start, length.into());
        self.blocks_sent += 1;
        match self.mischief {
            Mischief::Liar | Mischief::LyingHaves | Mischief::NeverUnchoke | Mischief::Noise => return,
            Mischief::Corrupt(one_in) if self.blocks_sent.is_multiple_of(one_in.max(1).into()) => {
                let mut wrong = data.to_vec();
                if let Some(byte) = wrong.last_mut() {
                    *byte ^= 1;
                }
                data = wrong.into();
            }
            Mischief::HalfBlocks => {
                let mut whole = Vec::new();
                Message::Piece { piece, offset, data: data.into() }.encode(&mut whole);
                let Some(victim) = self.sockets.get_mut(&socket) else { return };
                if victim.slow.is_empty() {
                    let rest = whole.split_off(whole.len() / 2);
                    deeds.push(Deed::Write(socket, whole.into()));
                    victim.slow.extend(rest);
                } else if victim.slow.len() < 1 << 20 {
                    victim.slow.extend(whole);
                }
                return;
            }
            _ => {}
        }
        self.speak(socket, Message::Piece { piece, offset, data: data.into() }, deeds);
    }

    fn any_block(&mut self) -> Block {
        let piece = self.rng.below(self.payload.pieces().into()) as u32;
        let start = u64::from(piece) * u64::from(self.payload.piece_length());
        let size = (self.payload.data.len() as u64 - start).min(self.payload.piece_length().into()) as u32;
        let offset = self.rng.below(size.div_ceil(BLOCK_LENGTH).into()) as u32 * BLOCK_LENGTH;
        Block { piece, offset, length: BLOCK_LENGTH.min(size - offset) }
    }

    fn speak(&mut self, socket: u64, message: Message, deeds: &mut Vec<Deed>) {
        let mut bytes = Vec::new();
        if let Message::Piece { piece, offset, data } = message {
            // The payload goes out as the shared copy that it is.
            bytes.extend((9 + data.len() as u32).to_be_bytes());
            bytes.push(7);
            bytes.extend(piece.to_be_bytes());
            bytes.extend(offset.to_be_bytes());
            if let (Mischief::Dribble, Some(victim)) = (self.mischief, self.sockets.get_mut(&socket)) {
                // More than this it never gets to.
                if victim.slow.len() < 100_000 {
                    victim.slow.extend(bytes);
                    data.into_iter().for_each(|slice| victim.slow.extend(slice));
                }
                return;
            }
            self.send(socket, bytes.into(), deeds);
            data.into_iter().for_each(|slice| self.send(socket, slice, deeds));
        } else {
            message.encode(&mut bytes);
            self.send(socket, bytes.into(), deeds);
        }
    }

    fn send(&mut self, socket: u64, bytes: Bytes, deeds: &mut Vec<Deed>) {
        let Some(victim) = self.sockets.get_mut(&socket) else { return };
        match self.mischief {
            // Nothing can be said in the midst of a block.
            Mischief::Dribble if !victim.slow.is_empty() => victim.slow.extend(bytes),
            _ => deeds.push(Deed::Write(socket, bytes)),
        }
    }
}
