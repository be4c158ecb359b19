use super::*;
use alloc::{format, string::ToString, vec, vec::Vec};
use core::net::{IpAddr, SocketAddr};
use proptest::prelude::*;

fn parse(id: u8, payload: &[u8]) -> Result<Option<ExtensionMessage>, ExtensionError> {
    ExtensionMessage::parse(id, &Bytes::copy_from_slice(payload))
}

fn handshake(payload: &[u8]) -> ExtensionHandshake {
    ExtensionHandshake::parse(payload).unwrap()
}

#[test]
fn the_handshake_of_the_specification_is_read() {
    let handshake = handshake(b"d1:md11:LT_metadatai1e6:ut_pexi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e");
    assert_eq!(handshake.ids.get(Extension::PeerExchange), Some(2));
    assert_eq!(handshake.ids.get(Extension::Metadata), None);
    assert_eq!(handshake.listen_port, Some(6881));
    assert_eq!(handshake.client.as_deref(), Some("µTorrent 1.2"));
    assert_eq!(handshake.metadata_size, None);
}

#[test]
fn an_empty_dictionary_is_a_handshake() {
    assert_eq!(handshake(b"de"), ExtensionHandshake::default());
    assert_eq!(handshake(b"d1:mdee"), ExtensionHandshake::default());
}

#[test]
fn yourip_has_4_or_16_bytes_and_any_other_length_says_nothing() {
    assert_eq!(handshake(b"d6:yourip4:\x01\x02\x03\x04e").your_ip, Some(IpAddr::from([1, 2, 3, 4])));
    let v6 = [b"d6:yourip16:", &[0x20; 16][..], b"e"].concat();
    assert_eq!(handshake(&v6).your_ip, Some(IpAddr::from([0x20; 16])));
    assert_eq!(handshake(b"d6:yourip5:\x01\x02\x03\x04\x05e").your_ip, None);
    assert_eq!(handshake(b"d6:yourip4:\0\0\0\0e").your_ip, None);
}

#[test]
fn upload_only_stands_beside_m() {
    assert_eq!(handshake(b"d1:mde11:upload_onlyi1ee").upload_only, Some(true));
    assert_eq!(handshake(b"d1:mde11:upload_onlyi0ee").upload_only, Some(false));
    assert_eq!(handshake(b"d1:md11:upload_onlyi3eee").upload_only, None);
}

#[test]
fn odd_values_say_nothing_and_are_no_errors() {
    let odd = handshake(b"d1:m3:abc1:pi70000e4:reqqi0e13:metadata_sizei-5e1:vi3e4:ipv43:abc4:ipv6le11:upload_only1:1e");
    assert_eq!(odd, ExtensionHandshake::default());
    assert_eq!(handshake(b"d13:metadata_sizei99999999999eed").metadata_size, None);
    assert_eq!(handshake(b"d4:reqqi99999999999ee").request_queue, Some(u32::MAX));
    let ids = handshake(b"d1:md6:ut_pexi256e11:ut_metadatai-1e11:lt_donthave1:3ee").ids;
    assert_eq!(ids, ExtensionIds::default());
}

#[test]
fn unsorted_keys_and_trailing_bytes_are_what_real_clients_send() {
    let handshake = handshake(b"d1:v1:x1:md6:ut_pexi1e11:ut_metadatai2eeejunk");
    assert_eq!(handshake.client.as_deref(), Some("x"));
    assert_eq!(handshake.ids.get(Extension::Metadata), Some(2));
}

#[test]
fn a_client_name_is_printable_and_short() {
    let long = [b"d1:v300:", &[b'x'; 300][..], b"e"].concat();
    assert_eq!(handshake(&long).client.unwrap().chars().count(), MAX_CLIENT_LENGTH);
    assert_eq!(handshake(b"d1:v10:\x1b[31mred\xff\ne").client.as_deref(), Some("[31mred\u{fffd}"));
    assert_eq!(handshake(b"d1:v3:\n \te").client, None);
}

#[test]
fn a_later_handshake_adds_to_the_earlier_and_0_switches_off() {
    let mut peer = handshake(b"d1:md11:ut_metadatai3e6:ut_pexi1ee13:metadata_sizei100e4:reqqi250ee");
    peer.merge(handshake(b"d1:md11:lt_donthavei7e6:ut_pexi0eee"));
    assert_eq!(peer.ids.get(Extension::Metadata), Some(3));
    assert_eq!(peer.ids.get(Extension::PeerExchange), None);
    assert_eq!(peer.ids.get(Extension::DontHave), Some(7));
    assert_eq!((peer.metadata_size, peer.request_queue), (Some(100), Some(250)));
    peer.merge(handshake(b"d1:md6:ut_pexi9ee4:reqqi500e11:upload_onlyi1ee"));
    assert_eq!(peer.ids.get(Extension::PeerExchange), Some(9));
    assert_eq!((peer.request_queue, peer.upload_only), (Some(500), Some(true)));
}

#[test]
fn messages_go_out_under_the_ids_of_the_peer_and_come_in_under_ours() {
    let message = ExtensionMessage::DontHave(7);
    let theirs = ExtensionIds::default().with(Extension::DontHave, 200);
    let sent = message.encode(&theirs).unwrap();
    assert_eq!(sent, Message::Extended { id: 200, payload: Bytes::from_static(&[0, 0, 0, 7]) });
    assert_eq!(parse(Extension::DontHave.our_id(), &[0, 0, 0, 7]), Ok(Some(message.clone())));
    assert_eq!(message.encode(&theirs.with(Extension::DontHave, 0)), None);
    assert_eq!(message.encode(&ExtensionIds::default()), None);
}

#[test]
fn our_ids_differ_and_are_what_our_handshake_says() {
    for extension in Extension::ALL {
        assert_eq!(ExtensionIds::OURS.get(extension), Some(extension.our_id()));
        assert_eq!(Extension::from_our_id(extension.our_id()), Some(extension));
        assert_eq!(Extension::from_name(extension.name().as_bytes()), Some(extension));
    }
    assert_eq!(Extension::from_our_id(0), None);
    assert_eq!(Extension::from_our_id(4), None);
}

#[test]
fn a_message_of_an_unknown_extension_is_ignored() {
    assert_eq!(parse(4, b"whatever"), Ok(None));
    assert_eq!(parse(255, b""), Ok(None));
}

#[test]
fn switching_an_extension_off_keeps_the_wrapper_that_the_text_forgot() {
    let off = ExtensionHandshake { ids: ExtensionIds::default().with(Extension::PeerExchange, 0), ..Default::default() };
    assert_eq!(off.encode(), b"d1:md6:ut_pexi0eee");
}

#[test]
fn metadata_messages_are_those_of_the_specification_with_its_mistakes_mended() {
    let request = MetadataMessage::Request { piece: 0 };
    assert_eq!(request.encode(), b"d8:msg_typei0e5:piecei0ee");
    let reject = MetadataMessage::Reject { piece: 0 };
    assert_eq!(reject.encode(), b"d8:msg_typei2e5:piecei0ee");
    let data = MetadataMessage::Data { piece: 0, total_size: Some(3425), data: Bytes::from_static(b"xxxxxxxx") };
    assert_eq!(data.encode(), b"d8:msg_typei1e5:piecei0e10:total_sizei3425eexxxxxxxx");
    for message in [request, reject, data] {
        assert_eq!(MetadataMessage::parse(&message.encode().into()), Ok(Some(message)));
    }
}

#[test]
fn an_unknown_metadata_message_is_ignored_whatever_else_it_says() {
    assert_eq!(parse(1, b"d8:msg_typei3ee"), Ok(None));
    assert_eq!(parse(1, b"d8:msg_typei-1e5:piece3:abce"), Ok(None));
}

#[test]
fn a_metadata_message_without_type_or_piece_is_an_error() {
    assert_eq!(parse(1, b"d5:piecei0ee"), Err(ExtensionError::Metadata));
    assert_eq!(parse(1, b"d8:msg_typei0ee"), Err(ExtensionError::Metadata));
    assert_eq!(parse(1, b"d8:msg_typei0e5:piecei-1ee"), Err(ExtensionError::Metadata));
    assert_eq!(parse(1, b"le"), Err(ExtensionError::NoDictionary));
    assert!(matches!(parse(1, b"d"), Err(ExtensionError::Bencode(_))));
    assert!(matches!(parse(1, b""), Err(ExtensionError::Bencode(_))));
}

#[test]
fn metadata_is_not_copied_out_of_its_message() {
    let payload = Bytes::from_static(b"d8:msg_typei1e5:piecei4e10:total_sizei70000eei3edata");
    let Ok(Some(MetadataMessage::Data { data, .. })) = MetadataMessage::parse(&payload) else { panic!() };
    assert_eq!(data, "i3edata");
    assert_eq!(data.as_ptr_range().end, payload.as_ptr_range().end);
}

#[test]
fn dropped_ipv4_peers_stand_under_dropped() {
    let message = PexMessage { added: Vec::new(), dropped: vec![address("1.2.3.4:5"), address("[2001:db8::1]:6")] };
    let bytes = message.encode();
    assert!(bytes.starts_with(b"d5:added0:7:dropped6:\x01\x02\x03\x04\x00\x058:dropped618:"));
    assert_eq!(PexMessage::parse(&bytes), Ok(message));
}

#[test]
fn each_added_peer_has_one_byte_of_flags() {
    let peer = |text, flags| PexPeer { address: address(text), flags };
    let message = PexMessage {
        added: vec![
            peer("1.2.3.4:5", PexFlags::SEED),
            peer("[2001:db8::1]:6", PexFlags::REACHABLE | PexFlags::UTP),
            peer("1.2.3.5:5", PexFlags::default()),
        ],
        dropped: Vec::new(),
    };
    let bytes = message.encode();
    assert!(bytes.starts_with(b"d5:added12:\x01\x02\x03\x04\x00\x05\x01\x02\x03\x05\x00\x057:added.f2:\x02\x006:added618:"));
    assert!(bytes.ends_with(b"8:added6.f1:\x14e"));
    let mut read = PexMessage::parse(&bytes).unwrap();
    read.added.sort_by_key(|peer| message.added.iter().position(|sent| sent == peer));
    assert_eq!(read, message);
    assert!(read.added[1].flags.contains(PexFlags::UTP) && !read.added[1].flags.contains(PexFlags::SEED));
}

#[test]
fn missing_flags_are_off_and_surplus_ones_ignored() {
    let bytes = b"d5:added12:\x01\x02\x03\x04\x00\x05\x01\x02\x03\x05\x00\x057:added.f1:\x026:added60:8:added6.f3:abce";
    let flags: Vec<_> = PexMessage::parse(bytes).unwrap().added.iter().map(|peer| peer.flags).collect();
    assert_eq!(flags, [PexFlags::SEED, PexFlags(0)]);
}

#[test]
fn a_hundred_addresses_are_taken_and_no_more() {
    let list: Vec<u8> = (0..150u8).flat_map(|number| [10, 0, 0, number, 1, 1]).collect();
    let bytes = bencode::dictionary(|entries| {
        entries.key(b"added").bytes(&list);
        entries.key(b"dropped").bytes(&list);
    });
    let message = PexMessage::parse(&bytes).unwrap();
    assert_eq!((message.added.len(), message.dropped.len()), (100, 100));
}

#[test]
fn addresses_without_a_peer_are_left_out() {
    let list: Vec<u8> = ["0.0.0.0:1", "1.2.3.4:0", "224.0.0.1:5", "255.255.255.255:9", "9.9.9.9:9"]
        .into_iter()
        .flat_map(|text| match address(text) {
            SocketAddr::V4(address) => [&address.ip().octets()[..], &address.port().to_be_bytes()].concat(),
            SocketAddr::V6(_) => unreachable!(),
        })
        .collect();
    let mapped = [&[0; 10][..], &[0xff, 0xff, 8, 8, 8, 8, 0, 1]].concat();
    let bytes = bencode::dictionary(|entries| {
        entries.key(b"added").bytes(&list);
        entries.key(b"added6").bytes(&mapped);
    });
    let added: Vec<_> = PexMessage::parse(&bytes).unwrap().added.iter().map(|peer| peer.address).collect();
    assert_eq!(added, [address("9.9.9.9:9"), address("8.8.8.8:1")]);
}

#[test]
fn a_list_that_does_not_divide_into_addresses_is_an_error() {
    assert_eq!(PexMessage::parse(b"d5:added7:1234567e"), Err(ExtensionError::PexLength { length: 7, stride: 6 }));
    assert_eq!(PexMessage::parse(b"d8:dropped66:123456e"), Err(ExtensionError::PexLength { length: 6, stride: 18 }));
    assert_eq!(PexMessage::parse(b"d5:addedlee"), Ok(PexMessage::default()));
}

#[test]
fn a_donthave_has_four_bytes() {
    assert_eq!(parse(3, &[0, 0, 1, 0]), Ok(Some(ExtensionMessage::DontHave(256))));
    assert_eq!(parse(3, &[0, 0, 1]), Err(ExtensionError::DontHaveLength(3)));
    assert_eq!(parse(3, &[0; 5]), Err(ExtensionError::DontHaveLength(5)));
    assert_eq!(ExtensionError::DontHaveLength(3).to_string(), "took a piece back in 3 bytes instead of 4");
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn any_handshake() -> impl Strategy<Value = ExtensionHandshake> {
    let ids = any::<[Option<u8>; 3]>().prop_map(|ids| {
        Extension::ALL.into_iter().zip(ids).fold(ExtensionIds::default(), |table, (extension, id)| match id {
            Some(id) => table.with(extension, id),
            None => table,
        })
    });
    let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
        .prop_map(|ip| ip.to_canonical())
        .prop_filter("an address", |ip| !ip.is_unspecified());
    let numbers = (proptest::option::of(1..=u16::MAX), proptest::option::of(1..=u32::MAX), proptest::option::of(1..=u32::MAX));
    let client = proptest::option::of("[a-zA-Z][a-zA-Zµ 0-9.]{0,20}[a-z]");
    let rest = (any::<Option<bool>>(), any::<Option<bool>>(), any::<Option<[u8; 4]>>(), any::<Option<[u8; 16]>>());
    (ids, proptest::option::of(ip), numbers, client, rest).prop_map(|(ids, your_ip, numbers, client, rest)| ExtensionHandshake {
        ids,
        client: client.map(Into::into),
        listen_port: numbers.0,
        your_ip,
        ipv4: rest.2.map(Into::into),
        ipv6: rest.3.map(Into::into),
        request_queue: numbers.1,
        metadata_size: numbers.2,
        upload_only: rest.0,
        prefers_encryption: rest.1,
    })
}

proptest! {
    #[test]
    fn every_handshake_reads_back_and_is_canonical(handshake in any_handshake()) {
        let bytes = handshake.encode();
        prop_assert!(bencode::decode(&bytes).is_ok());
        prop_assert_eq!(ExtensionHandshake::parse(&bytes), Ok(handshake));
    }

    #[test]
    fn merging_keeps_what_is_not_mentioned(first in any_handshake(), second in any_handshake()) {
        let mut merged = first.clone();
        merged.merge(ExtensionHandshake::default());
        prop_assert_eq!(&merged, &first);
        merged.merge(second.clone());
        for extension in Extension::ALL {
            let expected = second.ids.mentioned(extension).or(first.ids.mentioned(extension));
            prop_assert_eq!(merged.ids.mentioned(extension), expected);
        }
        prop_assert_eq!(merged.request_queue, second.request_queue.or(first.request_queue));
    }

    #[test]
    fn every_metadata_message_reads_back(piece: u32, total_size: Option<u32>, data: Vec<u8>) {
        let data = MetadataMessage::Data { piece, total_size, data: data.into() };
        for message in [MetadataMessage::Request { piece }, data, MetadataMessage::Reject { piece }] {
            prop_assert_eq!(MetadataMessage::parse(&message.encode().into()), Ok(Some(message)));
        }
    }

    #[test]
    fn no_payload_panics(id in 0..5u8, payload: Vec<u8>) {
        let _ = parse(id, &payload);
        let _ = parse(id, &[b"d5:added", format!("{}:", payload.len()).as_bytes(), &payload, b"e"].concat());
    }
}
