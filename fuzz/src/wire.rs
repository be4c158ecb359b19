use bytes::Bytes;
use rustor_core::wire::{Block, Decoder, Encoder, HandshakeDecoder, Limits, Message, MessageId, Payload, WireError};

/// Reads what a peer sends, once as a whole, once naively, and once in the reads that `data` itself gives, and writes it again.
///
/// The first byte says how many more say how long the reads are; the rest is what the peer sends, with or without a handshake.
pub fn wire(data: &[u8]) {
    let Some((count, rest)) = data.split_first() else { return };
    let (sizes, stream) = rest.split_at(rest.len().min(usize::from(*count)));
    let reads = cut(stream, sizes);

    let whole = shake_hands(vec![Bytes::copy_from_slice(stream)]);
    let (result, rest) = shake_hands(reads.clone());
    assert_eq!(result, whole.0, "a handshake must not depend on how it was cut");
    assert_eq!(rest.concat(), whole.1.concat());
    // What is no handshake is as good as any other for messages.
    let (stream, reads) = if matches!(result, Ok(Some(_))) { (rest.concat(), rest) } else { (stream.to_vec(), reads) };

    let (messages, error) = decode(vec![Bytes::copy_from_slice(&stream)]);
    assert_eq!(decode(reads), (messages.clone(), error), "messages must not depend on how they were cut");
    let (naive, refused) = naive(&stream);
    assert_eq!((&messages, error.is_some()), (&naive, refused));
    if let Some(error) = error {
        assert!(!error.to_string().is_empty());
    }
    rewrite(&messages, &stream);
}

/// Small, so that a short input can reach past them.
const LIMITS: Limits = Limits { bitfield: 64, block: 16 * 1024, extended: 2000, unknown: 300 };

/// `stream` in reads of these sizes, over and over: one byte to 128, or some KiB.
fn cut(mut stream: &[u8], sizes: &[u8]) -> Vec<Bytes> {
    let mut reads = Vec::new();
    for size in sizes.iter().chain([&0]).cycle() {
        if stream.is_empty() {
            break;
        }
        let size = if *size < 128 { usize::from(*size) + 1 } else { usize::from(*size - 127) * 64 };
        let (read, rest) = stream.split_at(stream.len().min(size));
        reads.push(Bytes::copy_from_slice(read));
        stream = rest;
    }
    reads
}

/// What a handshake decoder says of these reads, and what it leaves of them.
fn shake_hands(mut reads: Vec<Bytes>) -> (Result<Option<[u8; 68]>, WireError>, Vec<Bytes>) {
    let mut decoder = HandshakeDecoder::new();
    let mut result = Ok(None);
    for read in &mut reads {
        result = decoder.push(read).map(|handshake| handshake.map(|handshake| handshake.encode()));
        let received = decoder.received().len();
        assert_eq!(decoder.reserved().is_some(), received >= 28);
        assert_eq!(decoder.info_hash().is_some(), received >= 48);
        match &result {
            Ok(None) => assert!(read.is_empty() && received < 68),
            Ok(Some(bytes)) => {
                assert_eq!(bytes, decoder.received());
                break;
            }
            // Where it failed depends on the reads: nothing else may.
            Err(_) => return (result, Vec::new()),
        }
    }
    (result, reads)
}

fn decode(reads: Vec<Bytes>) -> (Vec<Message>, Option<WireError>) {
    let mut decoder = Decoder::new(LIMITS);
    let mut messages = Vec::new();
    let (mut pushed, mut decoded) = (0, 0);
    for read in reads {
        let before = decoder.pending_piece();
        let (count, length) = (messages.len(), read.len());
        pushed += length as u64;
        decoder.push(read);
        loop {
            match decoder.next() {
                Ok(Some(message)) => {
                    decoded += message.wire_length();
                    if let Message::Piece { data, .. } = &message {
                        assert!(data.slices().len() <= Payload::MAX_SLICES && data.slices().iter().all(|slice| !slice.is_empty()));
                    }
                    messages.push(message);
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next(), Err(error), "an error is for good");
                    return (messages, Some(error));
                }
            }
        }
        assert_eq!(decoder.is_idle(), pushed == decoded);
        if let Some((block, received)) = decoder.pending_piece() {
            assert!(received < block.length);
            assert_eq!(u64::from(received) + 13, pushed - decoded);
            if let (Some((same, earlier)), true) = (before, messages.len() == count) {
                assert_eq!((block, received), (same, earlier + length as u32));
            }
        }
    }
    (messages, None)
}

/// The messages in `stream`, and whether something in it must be refused, as plainly as possible.
fn naive(mut stream: &[u8]) -> (Vec<Message>, bool) {
    let mut messages = Vec::new();
    while let Some((prefix, rest)) = stream.split_first_chunk() {
        let length = u32::from_be_bytes(*prefix) as usize;
        // The longest of all is a block.
        if length > 9 + LIMITS.block as usize {
            return (messages, true);
        }
        if let (1.., Some(id)) = (length, rest.first()) {
            let allowed = match id {
                0..=3 | 14 | 15 => 1..=1,
                4 | 13 | 17 => 5..=5,
                6 | 8 | 16 => 13..=13,
                9 => 3..=3,
                5 => 1..=1 + LIMITS.bitfield as usize,
                7 => 9..=9 + LIMITS.block as usize,
                20 => 2..=2 + LIMITS.extended as usize,
                _ => 1..=1 + LIMITS.unknown as usize,
            };
            if !allowed.contains(&length) {
                return (messages, true);
            }
        }
        let Some((body, rest)) = rest.split_at_checked(length) else { break };
        stream = rest;
        let number = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
        let block = || Block { piece: number(1), offset: number(5), length: number(9) };
        let tail = |at: usize| Bytes::copy_from_slice(&body[at..]);
        messages.push(match body.first() {
            None => Message::KeepAlive,
            Some(0) => Message::Choke,
            Some(1) => Message::Unchoke,
            Some(2) => Message::Interested,
            Some(3) => Message::NotInterested,
            Some(4) => Message::Have(number(1)),
            Some(5) => Message::Bitfield(tail(1)),
            Some(6) => Message::Request(block()),
            Some(7) => Message::Piece { piece: number(1), offset: number(5), data: tail(9).into() },
            Some(8) => Message::Cancel(block()),
            Some(9) => Message::Port(u16::from_be_bytes([body[1], body[2]])),
            Some(13) => Message::Suggest(number(1)),
            Some(14) => Message::HaveAll,
            Some(15) => Message::HaveNone,
            Some(16) => Message::Reject(block()),
            Some(17) => Message::AllowedFast(number(1)),
            Some(20) => Message::Extended { id: body[1], payload: tail(2) },
            Some(id) => Message::Unknown { id: MessageId(*id), length: length as u32 - 1 },
        });
    }
    (messages, false)
}

/// Each message has one form only: the one it came in.
fn rewrite(messages: &[Message], mut stream: &[u8]) {
    let mut encoder = Encoder::new();
    let mut simple = Vec::new();
    for message in messages {
        let start = simple.len();
        message.encode(&mut simple);
        encoder.push(message.clone());
        let written = &simple[start..];
        assert_eq!(written.len() as u64, message.wire_length());
        let (came, rest) = stream.split_at(written.len());
        // Of an unknown message only kind and length are kept.
        let kept = if matches!(message, Message::Unknown { .. }) { 5 } else { written.len() };
        assert_eq!(written[..kept], came[..kept]);
        stream = rest;
    }
    assert_eq!(encoder.len(), simple.len());
    let buffers = encoder.take();
    assert!(encoder.is_empty() && buffers.iter().all(|buffer| !buffer.is_empty()));
    assert_eq!(buffers.concat(), simple);
}
