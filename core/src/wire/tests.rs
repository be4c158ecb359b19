use super::*;
use crate::metainfo::InfoHash;
use alloc::{string::ToString, sync::Arc, vec, vec::Vec};
use bytes::Bytes;
use proptest::prelude::*;

#[test]
fn each_message_has_the_bytes_that_its_specification_gives() {
    let block = Block { piece: 1, offset: 0x4000, length: 0x2000 };
    let table: [(Message, &[u8]); 18] = [
        (Message::KeepAlive, &[0, 0, 0, 0]),
        (Message::Choke, &[0, 0, 0, 1, 0]),
        (Message::Unchoke, &[0, 0, 0, 1, 1]),
        (Message::Interested, &[0, 0, 0, 1, 2]),
        (Message::NotInterested, &[0, 0, 0, 1, 3]),
        (Message::Have(0x01020304), &[0, 0, 0, 5, 4, 1, 2, 3, 4]),
        (Message::Bitfield(Bytes::from_static(&[0xf0, 0x80])), &[0, 0, 0, 3, 5, 0xf0, 0x80]),
        (Message::Request(block), &[0, 0, 0, 13, 6, 0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 0x20, 0]),
        (piece(1, 0x4000, b"abc"), &[0, 0, 0, 12, 7, 0, 0, 0, 1, 0, 0, 0x40, 0, b'a', b'b', b'c']),
        (Message::Cancel(block), &[0, 0, 0, 13, 8, 0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 0x20, 0]),
        (Message::Port(6881), &[0, 0, 0, 3, 9, 0x1a, 0xe1]),
        (Message::Suggest(7), &[0, 0, 0, 5, 13, 0, 0, 0, 7]),
        (Message::HaveAll, &[0, 0, 0, 1, 14]),
        (Message::HaveNone, &[0, 0, 0, 1, 15]),
        (Message::Reject(block), &[0, 0, 0, 13, 16, 0, 0, 0, 1, 0, 0, 0x40, 0, 0, 0, 0x20, 0]),
        (Message::AllowedFast(7), &[0, 0, 0, 5, 17, 0, 0, 0, 7]),
        (Message::Extended { id: 0, payload: Bytes::from_static(b"de") }, &[0, 0, 0, 4, 20, 0, b'd', b'e']),
        (Message::Unknown { id: MessageId(99), length: 2 }, &[0, 0, 0, 3, 99, 0, 0]),
    ];
    for (message, bytes) in table {
        assert_eq!(encoded(core::slice::from_ref(&message)), bytes, "{message:?}");
        assert_eq!(message.wire_length(), bytes.len() as u64, "{message:?}");
        assert_eq!(message.id().map(|id| id.0), bytes.get(4).copied(), "{message:?}");
        assert_eq!(decoded([Bytes::from_static(bytes)]), (vec![message], None));
    }
}

mod splits {
    use super::*;

    #[test]
    fn a_conversation_cut_anywhere_is_the_same_conversation() {
        let conversation = conversation();
        let bytes = Bytes::from(encoded(&conversation));
        for at in 0..=bytes.len() {
            assert_eq!(decoded([bytes.slice(..at), bytes.slice(at..)]), (conversation.clone(), None), "cut at {at}");
        }
        for size in 1..60 {
            let reads = bytes.chunks(size).map(Bytes::copy_from_slice);
            assert_eq!(decoded(reads), (conversation.clone(), None), "reads of {size}");
        }
    }

    #[test]
    fn reads_that_pile_up_before_anyone_asks_come_out_in_order() {
        let conversation = conversation();
        let mut decoder = Decoder::new(Limits::default());
        for read in encoded(&conversation).chunks(7) {
            decoder.push(Bytes::copy_from_slice(read));
            decoder.push(Bytes::new());
        }
        assert_eq!(drained(&mut decoder), (conversation, None));
        assert!(decoder.is_idle());
    }

    #[test]
    fn empty_reads_change_nothing() {
        let reads = encoded(&conversation()).chunks(5).flat_map(|read| [Bytes::new(), Bytes::copy_from_slice(read)]).collect::<Vec<_>>();
        assert_eq!(decoded(reads), (conversation(), None));
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(Bytes::new());
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.is_idle());
    }

    #[test]
    fn a_flood_of_keep_alives_is_only_keep_alives() {
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(vec![0; 400_002].into());
        for _ in 0..100_000 {
            assert_eq!(decoder.next(), Ok(Some(Message::KeepAlive)));
        }
        assert_eq!(decoder.next(), Ok(None));
        assert!(!decoder.is_idle(), "half a keep-alive is left");
        decoder.push(vec![0; 2].into());
        assert_eq!(drained(&mut decoder), (vec![Message::KeepAlive], None));
        assert!(decoder.is_idle());
    }

    fn conversation() -> Vec<Message> {
        let block = Block { piece: 1, offset: 0x4000, length: 0x4000 };
        vec![
            Message::Bitfield(Bytes::from_static(&[0xff, 0xff, 0xf0])),
            Message::Extended { id: 0, payload: Bytes::from_static(b"d1:md11:ut_metadatai3eee") },
            Message::Port(6881),
            Message::Unchoke,
            Message::Interested,
            Message::Request(block),
            Message::KeepAlive,
            piece(1, 0x4000, &[0x77; 100]),
            piece(2, 0, &[]),
            Message::Unknown { id: MessageId(21), length: 48 },
            Message::Unknown { id: MessageId(255), length: 0 },
            Message::Have(1),
            Message::Extended { id: 3, payload: Bytes::new() },
            Message::Bitfield(Bytes::new()),
            Message::HaveAll,
            Message::HaveNone,
            Message::Suggest(9),
            Message::AllowedFast(10),
            Message::Reject(block),
            Message::Cancel(block),
            Message::NotInterested,
            Message::Choke,
            Message::KeepAlive,
        ]
    }
}

mod payloads {
    use super::*;

    #[test]
    fn a_block_within_one_read_is_a_slice_of_it() {
        let read = Bytes::from(encoded(&[Message::Unchoke, piece(0, 0, &[1; 16384]), Message::Choke]));
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(read.clone());
        assert_eq!(decoder.next(), Ok(Some(Message::Unchoke)));
        let data = data(decoder.next());
        assert_eq!(data.slices().len(), 1);
        assert_eq!(data.slices()[0].as_ptr(), read[18..].as_ptr());
    }

    #[test]
    fn a_block_that_straddles_two_reads_is_a_slice_of_each() {
        let bytes = Bytes::from(encoded(&[piece(0, 0, &[1; 16384])]));
        let mut decoder = Decoder::new(Limits::default());
        decoder.push(bytes.slice(..5000));
        assert_eq!(decoder.next(), Ok(None));
        decoder.push(bytes.slice(5000..));
        let data = data(decoder.next());
        assert_eq!(data.slices().iter().map(|slice| slice.as_ptr()).collect::<Vec<_>>(), [bytes[13..].as_ptr(), bytes[5000..].as_ptr()]);
        assert_eq!(data.into_bytes(), [1; 16384][..]);
    }

    #[test]
    fn a_slow_block_shows_its_progress() {
        let block = Block { piece: 4, offset: 0x8000, length: 100 };
        let bytes = Bytes::from(encoded(&[piece(4, 0x8000, &[1; 100])]));
        let mut decoder = Decoder::new(Limits::default());
        for at in 0..bytes.len() {
            let expected = (at >= 13).then(|| (block, at as u32 - 13));
            assert_eq!(decoder.pending_piece(), expected, "after {at} bytes");
            decoder.push(bytes.slice(at..=at));
            assert_eq!(decoder.next().unwrap().is_some(), at == 112);
        }
        assert_eq!(decoder.pending_piece(), None);
    }

    #[test]
    fn only_a_block_under_way_is_pending() {
        for message in [Message::Bitfield(vec![0; 100].into()), Message::Unknown { id: MessageId(99), length: 100 }] {
            let mut decoder = Decoder::new(Limits::default());
            decoder.push(Bytes::from(encoded(&[message])).slice(..50));
            assert_eq!(decoder.next(), Ok(None));
            assert_eq!(decoder.pending_piece(), None);
        }
    }

    #[test]
    fn a_dribbled_block_pins_few_buffers_and_has_few_slices() {
        let content = (0..131_072u32).map(|at| at as u8).collect::<Vec<_>>();
        let bytes = encoded(&[piece(0, 0, &content)]);
        for sizes in [&[1][..], &[1023], &[1024], &[1500, 1], &[1, 5000], &[2000, 3000, 10]] {
            let (mut decoder, buffers) = (Decoder::new(Limits::default()), Pool::default());
            let mut rest = &bytes[..];
            let mut message = None;
            for size in sizes.iter().cycle() {
                assert_eq!(message, None);
                let (read, later) = rest.split_at(rest.len().min(*size));
                rest = later;
                decoder.push(buffers.make(read));
                message = decoder.next().unwrap();
                assert!(buffers.alive() < Payload::MAX_SLICES, "{} buffers are pinned", buffers.alive());
                if rest.is_empty() {
                    break;
                }
            }
            let data = data(Ok(message));
            assert!(data.slices().len() <= Payload::MAX_SLICES, "{data:?} from reads of {sizes:?}");
            assert_eq!(data.into_bytes(), content);
        }
    }

    #[test]
    fn how_a_payload_is_cut_does_not_matter_to_equality() {
        let cut = |parts: &[&'static [u8]]| parts.iter().map(|part| Bytes::from_static(part)).collect::<Payload>();
        assert_eq!(cut(&[b"ab", b"c"]), cut(&[b"a", b"", b"bc"]));
        assert_ne!(cut(&[b"ab", b"c"]), cut(&[b"ab", b"d"]));
        assert_ne!(cut(&[b"ab", b"c"]), cut(&[b"ab"]));
        assert!(cut(&[b"", b""]).is_empty());
        assert_eq!(cut(&[b"ab", b"c"]).len(), 3);
    }
}

mod memory {
    use super::*;

    #[test]
    fn an_idle_decoder_is_small() {
        assert!(size_of::<Decoder>() <= 64, "{}", size_of::<Decoder>());
    }

    #[test]
    fn a_read_buffer_is_let_go_once_its_last_message_came_out() {
        let (mut decoder, buffers) = (Decoder::new(Limits::default()), Pool::default());
        decoder.push(buffers.make(&encoded(&[Message::Have(1), piece(0, 0, &[1; 3000])])));
        assert_eq!(decoder.next(), Ok(Some(Message::Have(1))));
        let block = decoder.next();
        assert!(decoder.is_idle());
        assert_eq!(buffers.alive(), 1, "the block is a slice of it");
        drop(block);
        assert_eq!(buffers.alive(), 0);
    }

    #[test]
    fn nothing_but_a_block_under_way_keeps_a_read_buffer() {
        let straddling = [
            Message::Have(1),
            Message::Request(Block { piece: 0, offset: 0, length: 1 }),
            Message::Bitfield(vec![0xff; 3000].into()),
            Message::Extended { id: 1, payload: vec![b'x'; 3000].into() },
            Message::Unknown { id: MessageId(99), length: 3000 },
        ];
        for message in straddling {
            let bytes = encoded(&[Message::Unchoke, message.clone()]);
            for at in [6, bytes.len() - 1] {
                let (mut decoder, buffers) = (Decoder::new(Limits::default()), Pool::default());
                decoder.push(buffers.make(&bytes[..at]));
                assert_eq!(decoder.next(), Ok(Some(Message::Unchoke)));
                assert_eq!(decoder.next(), Ok(None));
                assert_eq!(buffers.alive(), 0, "{message:?} cut at {at}");
                decoder.push(buffers.make(&bytes[at..]));
                assert_eq!(drained(&mut decoder), (vec![message.clone()], None));
            }
        }
    }

    #[test]
    fn a_few_bytes_of_a_block_are_not_worth_a_read_buffer() {
        let bytes = encoded(&[piece(0, 0, &[1; 5000])]);
        for (came, kept) in [(1023, 0), (1024, 1)] {
            let (mut decoder, buffers) = (Decoder::new(Limits::default()), Pool::default());
            decoder.push(buffers.make(&bytes[..13 + came]));
            assert_eq!(decoder.next(), Ok(None));
            assert_eq!(buffers.alive(), kept);
        }
    }

    #[test]
    fn what_is_announced_is_not_allocated_until_it_comes() {
        let mut assembly = payload::Assembly::default();
        let announced = 1_000_000;
        for came in 0..5000 {
            assembly.copy(&[1], announced - came);
            assert!(assembly.capacity() <= 2 * (came + 1));
        }
        for came in 5000..announced {
            assembly.copy(&[1], announced - came);
        }
        assert_eq!(assembly.capacity(), announced, "and never more than announced");
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_before_anything_is_kept() {
        let (mut decoder, buffers) = (Decoder::new(Limits::default()), Pool::default());
        decoder.push(buffers.make(&[[0, 0, 0, 1, 1].as_slice(), &(1_u32 << 31).to_be_bytes(), &[7; 5000]].concat()));
        decoder.push(buffers.make(&[0; 100]));
        let expected = WireError::MessageTooLong { id: None, length: 1 << 31, limit: 1024 * 1024 + 2 };
        assert_eq!(decoder.next(), Ok(Some(Message::Unchoke)));
        assert_eq!(decoder.next(), Err(expected));
        assert_eq!(buffers.alive(), 0);
        decoder.push(buffers.make(&[0; 100]));
        assert_eq!(decoder.next(), Err(expected), "an error is for good");
        assert_eq!(buffers.alive(), 0);
    }
}

mod lengths {
    use super::*;

    #[test]
    fn a_message_of_2_gib_is_refused_with_its_prefix() {
        for at in 0..4 {
            let prefix = Bytes::from_static(&[0x80, 0, 0, 0]);
            let error = WireError::MessageTooLong { id: None, length: 1 << 31, limit: 1024 * 1024 + 2 };
            assert_eq!(decoded([prefix.slice(..at), prefix.slice(at..)]), (vec![], Some(error)));
        }
    }

    #[test]
    fn a_prefix_alone_is_held_to_the_longest_of_all_messages() {
        let short = Limits { bitfield: 1, block: 1, extended: 1, unknown: 1 };
        let table = [
            (Limits { bitfield: 100, ..short }, 101),
            (Limits { block: 100, ..short }, 109),
            (Limits { extended: 100, ..short }, 102),
            (Limits { unknown: 100, ..short }, 101),
            (short, 13),
        ];
        for (limits, longest) in table {
            for (length, error) in
                [(longest, None), (longest + 1, Some(WireError::MessageTooLong { id: None, length: longest + 1, limit: longest }))]
            {
                let mut decoder = Decoder::new(limits);
                decoder.push(Bytes::copy_from_slice(&u32::to_be_bytes(length)));
                assert_eq!(decoder.next().err(), error, "{limits:?}");
            }
        }
    }

    #[test]
    fn messages_of_fixed_length_have_no_other() {
        for (id, expected) in
            [(0, 1), (1, 1), (2, 1), (3, 1), (4, 5), (6, 13), (8, 13), (9, 3), (13, 5), (14, 1), (15, 1), (16, 13), (17, 5)]
        {
            for length in (1..20).filter(|length| *length != expected) {
                let error = WireError::WrongLength { id: MessageId(id), length, expected };
                assert_eq!(refusal(id, length), Some(error));
            }
            assert_eq!(refusal(id, expected), None);
        }
    }

    #[test]
    fn messages_of_variable_length_have_a_least_and_a_most() {
        for (id, minimum, limit) in [(5, 1, 101), (7, 9, 209), (20, 2, 302), (10, 1, 401), (99, 1, 401)] {
            let kind = Some(MessageId(id));
            for length in 1..minimum {
                assert_eq!(refusal(id, length), Some(WireError::MessageTooShort { id: MessageId(id), length, minimum }));
            }
            for length in minimum..=limit {
                assert_eq!(refusal(id, length), None);
            }
            for length in limit + 1..=401 {
                assert_eq!(refusal(id, length), Some(WireError::MessageTooLong { id: kind, length, limit }));
            }
            for length in [402, 1 << 31, u32::MAX] {
                assert_eq!(refusal(id, length), Some(WireError::MessageTooLong { id: None, length, limit: 401 }));
            }
        }
    }

    /// Why a message of this kind and length is refused, which must not depend on how its first five bytes come.
    fn refusal(id: u8, length: u32) -> Option<WireError> {
        let bytes = [&length.to_be_bytes()[..], &[id]].concat();
        let errors = [5, 4, 1].map(|size| {
            let mut decoder = Decoder::new(Limits { bitfield: 100, block: 200, extended: 300, unknown: 400 });
            bytes.chunks(size).find_map(|read| {
                decoder.push(Bytes::copy_from_slice(read));
                decoder.next().err()
            })
        });
        assert_eq!([errors[0], errors[0]], errors[1..]);
        errors[0]
    }

    #[test]
    fn a_bitfield_is_no_longer_than_the_torrent_needs() {
        let limits = Limits::default().for_pieces(17);
        let mut decoder = Decoder::new(limits);
        decoder.push(Bytes::from_static(&[0, 0, 0, 4, 5, 1, 2, 3, 0, 0, 0, 5, 5]));
        let error = WireError::MessageTooLong { id: Some(MessageId::BITFIELD), length: 5, limit: 4 };
        assert_eq!(drained(&mut decoder), (vec![Message::Bitfield(Bytes::from_static(&[1, 2, 3]))], Some(error)));
        assert_eq!(Limits::default().for_pieces(16).bitfield, 2);
        assert_eq!(Limits::default().for_pieces(u32::MAX).bitfield, 1 << 29);
    }

    #[test]
    fn limits_apply_from_when_they_are_set() {
        let mut decoder = Decoder::new(Limits { bitfield: 1, ..Limits::default() });
        decoder.set_limits(Limits { bitfield: 2, ..Limits::default() });
        decoder.push(Bytes::from_static(&[0, 0, 0, 3, 5, 1, 2]));
        assert_eq!(decoder.next(), Ok(Some(Message::Bitfield(Bytes::from_static(&[1, 2])))));
    }

    #[test]
    fn the_highest_limits_do_not_overflow() {
        let limits = Limits { bitfield: u32::MAX, block: u32::MAX, extended: u32::MAX, unknown: u32::MAX };
        for id in [5, 7, 20, 99] {
            let mut decoder = Decoder::new(limits);
            decoder.push(Bytes::copy_from_slice(&[0xff, 0xff, 0xff, 0xff, id, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
            assert_eq!(decoder.next(), Ok(None));
        }
    }

    #[test]
    fn errors_say_what_the_peer_did() {
        let texts = [
            (WireError::NotBitTorrent, "does not speak the BitTorrent protocol"),
            (
                WireError::MessageTooLong { id: None, length: 1 << 31, limit: 100 },
                "announced a message of 2147483648 bytes, where no message may pass 100",
            ),
            (
                WireError::MessageTooLong { id: Some(MessageId::BITFIELD), length: 9, limit: 8 },
                "announced a bitfield message of 9 bytes, where 8 are allowed",
            ),
            (WireError::WrongLength { id: MessageId::HAVE, length: 4, expected: 5 }, "sent a have message of 4 bytes instead of 5"),
            (
                WireError::MessageTooShort { id: MessageId(20), length: 1, minimum: 2 },
                "sent an extended message of 1 bytes, where 2 are the least",
            ),
        ];
        for (error, text) in texts {
            assert_eq!(error.to_string(), text);
        }
        assert_eq!(MessageId(77).to_string(), "an unknown (77)");
    }
}

mod encoding {
    use super::*;

    #[test]
    fn small_messages_share_one_buffer() {
        let requests = (0..1000).map(|piece| Message::Request(Block { piece, offset: 0, length: 16384 })).collect::<Vec<_>>();
        let mut encoder = Encoder::new();
        requests.iter().cloned().for_each(|request| encoder.push(request));
        assert_eq!(encoder.len(), 17_000);
        let buffers = encoder.take();
        assert_eq!(buffers.len(), 1);
        assert_eq!(buffers[0], encoded(&requests));
    }

    #[test]
    fn blocks_go_out_as_they_are_behind_their_heads() {
        let block = Bytes::from(vec![1; 16384]);
        let data = [block.slice(..100), block.slice(100..)].into_iter().collect::<Payload>();
        let messages = [Message::Unchoke, Message::Piece { piece: 1, offset: 2, data }, Message::Have(3), Message::Have(4)];
        let mut encoder = Encoder::new();
        messages.iter().cloned().for_each(|message| encoder.push(message));
        assert_eq!(encoder.len(), 5 + 13 + 16384 + 18);
        let buffers = encoder.take();
        assert_eq!(buffers.iter().map(Bytes::len).collect::<Vec<_>>(), [18, 100, 16284, 18]);
        assert_eq!([buffers[1].as_ptr(), buffers[2].as_ptr()], [block.as_ptr(), block[100..].as_ptr()]);
        assert_eq!(buffers.concat(), encoded(&messages));
    }

    #[test]
    fn long_bitfields_are_not_copied_and_short_ones_are_not_worth_a_buffer() {
        for (length, buffers) in [(0, 1), (511, 1), (512, 2)] {
            let mut encoder = Encoder::new();
            encoder.push(Message::Bitfield(vec![0; length].into()));
            assert_eq!(encoder.len(), 5 + length);
            assert_eq!(encoder.take().len(), buffers);
        }
    }

    #[test]
    fn a_batch_taken_is_gone_and_the_next_goes_on_in_the_same_memory() {
        let mut encoder = Encoder::new();
        assert!(encoder.is_empty() && encoder.take().is_empty());
        encoder.push(Message::Choke);
        let first = encoder.take();
        assert!(encoder.is_empty() && encoder.take().is_empty());
        encoder.push(Message::Unchoke);
        let second = encoder.take();
        assert_eq!((&first[0][..], &second[0][..]), (&[0, 0, 0, 1, 0][..], &[0, 0, 0, 1, 1][..]));
        assert_eq!(first[0].as_ptr().wrapping_add(5), second[0].as_ptr());
    }

    #[test]
    fn a_handshake_and_the_first_messages_are_one_write() {
        let handshake = Handshake { reserved: Reserved::default(), info_hash: InfoHash([1; 20]), peer_id: PeerId([2; 20]) };
        let mut encoder = Encoder::new();
        encoder.push_handshake(&handshake);
        encoder.push(Message::HaveNone);
        assert_eq!(encoder.len(), 73);
        assert_eq!(encoder.take().concat(), [&handshake.encode()[..], &[0, 0, 0, 1, 15]].concat());
    }
}

proptest! {
    #[test]
    fn messages_survive_any_cut(messages in prop::collection::vec(any_message(), 0..12), sizes in sizes()) {
        let bytes = encoded(&messages);
        prop_assert_eq!(bytes.len() as u64, messages.iter().map(Message::wire_length).sum::<u64>());
        prop_assert_eq!(decoded(cut(&bytes, &sizes)), (messages, None));
    }

    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(bytes in likely_bytes(), sizes in sizes()) {
        prop_assert_eq!(decoded(cut(&bytes, &sizes)), decoded([Bytes::from(bytes)]));
    }

    #[test]
    fn an_encoder_writes_what_the_simple_way_writes(batches in prop::collection::vec(prop::collection::vec(any_message(), 0..8), 0..5)) {
        let mut encoder = Encoder::new();
        for messages in batches {
            messages.iter().cloned().for_each(|message| encoder.push(message));
            let (length, buffers) = (encoder.len(), encoder.take());
            prop_assert!(buffers.iter().all(|buffer| !buffer.is_empty()));
            prop_assert_eq!(length, buffers.iter().map(Bytes::len).sum::<usize>());
            prop_assert_eq!(buffers.concat(), encoded(&messages));
        }
    }
}

fn any_message() -> impl Strategy<Value = Message> {
    let block = || (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(piece, offset, length)| Block { piece, offset, length });
    let bytes = |most: usize| prop::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from);
    prop_oneof![
        Just(Message::KeepAlive),
        Just(Message::Choke),
        Just(Message::Unchoke),
        Just(Message::Interested),
        Just(Message::NotInterested),
        Just(Message::HaveAll),
        Just(Message::HaveNone),
        any::<u32>().prop_map(Message::Have),
        any::<u32>().prop_map(Message::Suggest),
        any::<u32>().prop_map(Message::AllowedFast),
        any::<u16>().prop_map(Message::Port),
        block().prop_map(Message::Request),
        block().prop_map(Message::Cancel),
        block().prop_map(Message::Reject),
        bytes(2000).prop_map(Message::Bitfield),
        (any::<u8>(), bytes(2000)).prop_map(|(id, payload)| Message::Extended { id, payload }),
        (any::<u32>(), any::<u32>(), prop::collection::vec(bytes(5000), 0..4)).prop_map(|(piece, offset, data)| Message::Piece {
            piece,
            offset,
            data: data.into_iter().collect(),
        }),
        (prop_oneof![10u8..13, 18u8..20, 21u8..], 0u32..2000).prop_map(|(id, length)| Message::Unknown { id: MessageId(id), length }),
    ]
}

/// Bytes among which there are lengths and ids that exist.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => any_message().prop_map(|message| encoded(&[message])),
        2 => (0u32..20, 0u8..22).prop_map(|(length, id)| [&length.to_be_bytes()[..], &[id]].concat()),
        1 => any::<u32>().prop_map(|length| length.to_be_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// How long reads are: tiny ones, and those of real life.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1usize..20, 1usize..1500, 1usize..20_000], 1..20)
}

fn cut(mut bytes: &[u8], sizes: &[usize]) -> Vec<Bytes> {
    let mut reads = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (read, rest) = bytes.split_at(bytes.len().min(*size));
        reads.push(Bytes::copy_from_slice(read));
        bytes = rest;
    }
    reads
}

fn encoded(messages: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    messages.iter().for_each(|message| message.encode(&mut bytes));
    bytes
}

fn decoded(reads: impl IntoIterator<Item = Bytes>) -> (Vec<Message>, Option<WireError>) {
    let mut decoder = Decoder::new(Limits::default());
    let mut messages = Vec::new();
    for read in reads {
        decoder.push(read);
        let (more, error) = drained(&mut decoder);
        messages.extend(more);
        if error.is_some() {
            return (messages, error);
        }
    }
    (messages, None)
}

fn drained(decoder: &mut Decoder) -> (Vec<Message>, Option<WireError>) {
    let mut messages = Vec::new();
    loop {
        match decoder.next() {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(error) => return (messages, Some(error)),
        }
    }
}

fn piece(piece: u32, offset: u32, data: &[u8]) -> Message {
    Message::Piece { piece, offset, data: Bytes::copy_from_slice(data).into() }
}

fn data(message: Result<Option<Message>, WireError>) -> Payload {
    match message {
        Ok(Some(Message::Piece { data, .. })) => data,
        other => panic!("{other:?} is no block"),
    }
}

/// Read buffers of which it is known how many are still held by someone.
#[derive(Default)]
struct Pool(Arc<()>);

impl Pool {
    fn make(&self, content: &[u8]) -> Bytes {
        struct Buffer(Vec<u8>, #[allow(dead_code, reason = "only counted")] Arc<()>);
        impl AsRef<[u8]> for Buffer {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        Bytes::from_owner(Buffer(content.to_vec(), self.0.clone()))
    }

    fn alive(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}
