//! Addresses in what peers say to each other: peer exchange and the extension handshake, wherever reads and writes cut them.

use super::address::{Family, Permutation, Way};
use crate::wire::{Handshake, MessageId, PROTOCOL};
use bytes::Bytes;

/// One direction of a connection.
///
/// It follows the lengths of messages, and the bencode of extended ones, byte by byte: an address may come in several parts, and what
/// came of it cannot wait for the rest.
#[derive(Clone, Debug)]
pub(super) struct StreamMask {
    at: At,
}

#[derive(Clone, Debug)]
enum At {
    /// Within the handshake, of which so many bytes came.
    Handshake(usize),
    /// Within the length and the id of a message, of which so many bytes came.
    Head { filled: u8, length: u32 },
    /// So many bytes without an address.
    Plain(u32),
    /// Within an extended message, of which so many bytes are to come.
    Extended { left: u32, parser: Parser },
    /// Another protocol.
    Unknown,
}

impl StreamMask {
    pub(super) fn new() -> StreamMask {
        StreamMask { at: At::Handshake(0) }
    }

    /// The next bytes of the stream. They are copied only if there is an extended message among them.
    pub(super) fn rewrite(&mut self, permutation: &Permutation, way: Way, data: &Bytes) -> Bytes {
        let mut changed: Option<alloc::vec::Vec<u8>> = None;
        let mut at = 0;
        while let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) {
            let taken = match &mut self.at {
                At::Extended { left, parser } => {
                    let taken = rest.len().min(*left as usize);
                    let out = changed.get_or_insert_with(|| data.to_vec());
                    for byte in out.iter_mut().skip(at).take(taken) {
                        *byte = parser.byte(permutation, way, *byte);
                    }
                    *left = left.saturating_sub(taken as u32);
                    taken
                }
                _ => self.pass(rest),
            };
            if matches!(self.at, At::Extended { left: 0, .. } | At::Plain(0)) {
                self.at = At::Head { filled: 0, length: 0 };
            }
            at = at.saturating_add(taken.max(1));
        }
        changed.map_or_else(|| data.clone(), Bytes::from)
    }

    /// Goes on over bytes that hold no address; says how many.
    fn pass(&mut self, data: &[u8]) -> usize {
        match self.at {
            At::Handshake(seen) => {
                let taken = data.len().min(Handshake::LENGTH.saturating_sub(seen));
                let name = PROTOCOL.iter().skip(seen);
                self.at = match seen.saturating_add(taken) {
                    _ if data.iter().zip(name).any(|(ours, theirs)| ours != theirs) => At::Unknown,
                    Handshake::LENGTH => At::Plain(0),
                    seen => At::Handshake(seen),
                };
                taken
            }
            At::Head { filled, length } => {
                let byte = data.first().copied().unwrap_or_default();
                self.at = match (filled, length << 8 | u32::from(byte)) {
                    (3, 0) => At::Plain(0),
                    (..4, length) => At::Head { filled: filled.saturating_add(1), length },
                    _ if MessageId(byte) == MessageId::EXTENDED => {
                        At::Extended { left: length.saturating_sub(1), parser: Parser::default() }
                    }
                    _ => At::Plain(length.saturating_sub(1)),
                };
                1
            }
            At::Plain(left) => {
                let taken = data.len().min(left as usize);
                self.at = At::Plain(left.saturating_sub(taken as u32));
                taken
            }
            At::Extended { .. } | At::Unknown => data.len(),
        }
    }
}

/// What stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// Addresses, each with its port.
    List(Family),
    /// One address of this family.
    One(Family),
    /// One address, whose length tells its family.
    Either,
}

fn field(key: &[u8]) -> Option<Field> {
    Some(match key {
        b"added" | b"dropped" => Field::List(Family::V4),
        b"added6" | b"dropped6" => Field::List(Family::V6),
        b"ipv4" => Field::One(Family::V4),
        b"ipv6" => Field::One(Family::V6),
        b"yourip" => Field::Either,
        _ => return None,
    })
}

/// The longest key that has addresses.
const LONGEST_KEY: usize = 8;

/// Reads an extended message: its id, then a dictionary, and whatever comes behind it.
#[derive(Clone, Debug, Default)]
struct Parser {
    token: Token,
    /// Lists and dictionaries around this place.
    depth: u32,
    /// Of the outermost dictionary: a value is next, under a key that means this.
    value: Option<Option<Field>>,
    key: [u8; LONGEST_KEY],
    /// The real bytes of an address that have come.
    real: [u8; 16],
}

#[derive(Clone, Copy, Debug, Default)]
enum Token {
    /// The message's id.
    #[default]
    Id,
    /// A value, a key or an end.
    Next,
    Integer,
    /// The length of a string, as far as it came.
    Length(u32),
    /// Within a string: so many bytes have come, of so many.
    String {
        seen: u32,
        length: u32,
    },
    /// Behind the dictionary, or what is none.
    Rest,
}

impl Parser {
    fn byte(&mut self, permutation: &Permutation, way: Way, byte: u8) -> u8 {
        match self.token {
            Token::Id => self.token = Token::Next,
            Token::Next => match byte {
                b'd' | b'l' if self.depth > 0 || byte == b'd' => self.depth = self.depth.saturating_add(1),
                b'i' if self.depth > 0 => self.token = Token::Integer,
                b'0'..=b'9' if self.depth > 0 => self.token = Token::Length(u32::from(byte & 0xf)),
                b'e' if self.depth > 0 => {
                    self.depth = self.depth.saturating_sub(1);
                    self.value_ends();
                    if self.depth == 0 {
                        self.token = Token::Rest;
                    }
                }
                _ => self.token = Token::Rest,
            },
            Token::Integer if byte == b'e' => self.value_ends(),
            Token::Integer | Token::Rest => {}
            Token::Length(length) => match byte {
                b'0'..=b'9' => self.token = Token::Length(length.saturating_mul(10).saturating_add(u32::from(byte & 0xf))),
                b':' if length == 0 => self.string_ends(0),
                b':' => self.token = Token::String { seen: 0, length },
                _ => self.token = Token::Rest,
            },
            Token::String { seen, length } => {
                let out = self.content(permutation, way, seen, length, byte);
                match seen.saturating_add(1) {
                    seen if seen == length => self.string_ends(length as usize),
                    seen => self.token = Token::String { seen, length },
                }
                return out;
            }
        }
        byte
    }

    /// One byte of a string.
    fn content(&mut self, permutation: &Permutation, way: Way, seen: u32, length: u32, byte: u8) -> u8 {
        if self.depth != 1 {
            return byte;
        }
        let (family, place) = match self.value {
            None => {
                if let Some(place) = self.key.get_mut(seen as usize) {
                    *place = byte;
                }
                return byte;
            }
            Some(None) => return byte,
            Some(Some(Field::List(family))) => (family, seen as usize % (family.length() + 2)),
            Some(Some(Field::One(family))) => (family, seen as usize),
            Some(Some(Field::Either)) if length == 16 => (Family::V6, seen as usize),
            Some(Some(Field::Either)) => (Family::V4, seen as usize),
        };
        if place >= family.length() {
            return byte;
        }
        let (out, real) = permutation.byte(way, family, self.real.get(..place).unwrap_or_default(), byte);
        if let Some(to) = self.real.get_mut(place) {
            *to = real;
        }
        out
    }

    fn string_ends(&mut self, length: usize) {
        if self.depth == 1 && self.value.is_none() {
            self.value = Some(self.key.get(..length).and_then(field));
            self.token = Token::Next;
        } else {
            self.value_ends();
        }
    }

    fn value_ends(&mut self) {
        self.token = Token::Next;
        if self.depth == 1 {
            self.value = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rng::Seed,
        wire::{
            Encoder, Message, PeerId, Reserved,
            extension::{ExtensionHandshake, PexFlags, PexMessage, PexPeer},
        },
    };
    use proptest::prelude::*;
    use std::{net::SocketAddr, vec, vec::Vec};

    fn rewritten(way: Way, key: u64, stream: &[u8], cuts: &[usize]) -> Vec<u8> {
        let (mut mask, permutation) = (StreamMask::new(), Permutation::new(Seed::from_u64(key)));
        let (mut out, mut rest) = (Vec::new(), stream);
        for cut in cuts.iter().copied().chain([usize::MAX]) {
            let (part, after) = rest.split_at(cut.min(rest.len()));
            out.extend(mask.rewrite(&permutation, way, &Bytes::copy_from_slice(part)));
            rest = after;
        }
        out
    }

    /// A stream with all that holds addresses, and something of what does not.
    fn stream(pex: &PexMessage, hello: &ExtensionHandshake) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.push_handshake(&Handshake { reserved: Reserved::default(), info_hash: [7; 20].into(), peer_id: PeerId([8; 20]) });
        encoder.push(Message::Extended { id: 0, payload: hello.encode().into() });
        encoder.push(Message::Have(9));
        encoder.push(Message::Piece { piece: 0, offset: 0, data: Bytes::from(vec![b'd'; 1 << 14]).into() });
        encoder.push(Message::KeepAlive);
        encoder.push(Message::Extended { id: 1, payload: pex.encode().into() });
        encoder.push(Message::Extended { id: 2, payload: b"d8:msg_typei1e5:piecei0eed5:added6:abcdefe"[..].into() });
        encoder.take().concat()
    }

    #[test]
    fn the_addresses_of_a_stream_are_masked_and_nothing_else() {
        let [one, other, six]: [SocketAddr; 3] = ["81.2.69.142:6881", "81.2.69.143:51413", "[2a00:1450::5]:80"].map(|a| a.parse().unwrap());
        let permutation = Permutation::new(Seed::from_u64(5));
        let mask = |address: SocketAddr| permutation.socket(Way::Mask, address);
        let peer = |address| PexPeer { address, flags: PexFlags(3) };
        let message = |[one, other, six]: [SocketAddr; 3]| PexMessage { added: vec![peer(one), peer(six)], dropped: vec![other] };
        let hello = |[one, _, six]: [SocketAddr; 3]| {
            let (SocketAddr::V4(one), SocketAddr::V6(six)) = (one, six) else { panic!("one of each") };
            ExtensionHandshake {
                your_ip: Some((*one.ip()).into()),
                ipv4: Some(*one.ip()),
                ipv6: Some(*six.ip()),
                client: Some("added 6:abcdef".into()),
                ..ExtensionHandshake::default()
            }
        };
        let (real, masked) = ([one, other, six], [one, other, six].map(mask));
        let plain = stream(&message(real), &hello(real));
        let expected = stream(&message(masked), &hello(masked));
        assert_ne!(plain, expected);
        assert!(rewritten(Way::Mask, 5, &plain, &[]) == expected);
        assert!(rewritten(Way::Unmask, 5, &expected, &[1; 200]) == plain);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_a_stream_is_cut(
            peers in prop::collection::vec(any::<SocketAddr>(), 0..6),
            cuts in prop::collection::vec(0usize..200, 0..40),
            key: u64,
        ) {
            let added = peers.iter().map(|address| PexPeer { address: *address, flags: PexFlags(0) }).collect();
            let plain = stream(&PexMessage { added, dropped: peers }, &ExtensionHandshake::default());
            let whole = rewritten(Way::Mask, key, &plain, &[]);
            prop_assert!(whole == rewritten(Way::Mask, key, &plain, &cuts));
            prop_assert!(plain == rewritten(Way::Unmask, key, &whole, &cuts));
        }

        #[test]
        fn whatever_comes_keeps_its_length(bytes in prop::collection::vec(any::<u8>(), 0..300), proper: bool) {
            let mut stream = Vec::new();
            if proper {
                stream.extend(PROTOCOL);
                stream.extend([0; 48]);
                stream.extend([0, 0, 1, 0, 20, 0, b'd']);
            }
            stream.extend(bytes);
            let masked = rewritten(Way::Mask, 1, &stream, &[80, 3, 9]);
            prop_assert_eq!(masked.len(), stream.len());
        }
    }
}
