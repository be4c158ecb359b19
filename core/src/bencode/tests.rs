use super::*;
use proptest::prelude::*;
use std::{collections::BTreeMap, format, string::ToString, vec, vec::Vec};

fn expected(input: &[u8]) -> (usize, Expected) {
    let error = decode(input).expect_err("not bencode");
    (error.offset, error.expected)
}

#[test]
fn numbers_have_one_form_only() {
    for (input, value) in [(&b"i0e"[..], 0), (b"i-1e", -1), (b"i9223372036854775807e", i64::MAX), (b"i-9223372036854775808e", i64::MIN)] {
        assert_eq!(decode(input).unwrap().as_integer(), Some(value));
    }
    assert_eq!(expected(b"i-0e"), (1, Expected::NoNegativeZero));
    assert_eq!(expected(b"i-01e"), (2, Expected::NoLeadingZero));
    assert_eq!(expected(b"i007e"), (1, Expected::NoLeadingZero));
    assert_eq!(expected(b"ie"), (1, Expected::Integer));
    assert_eq!(expected(b"i-e"), (2, Expected::Integer));
    assert_eq!(expected(b"i+1e"), (1, Expected::Integer));
    assert_eq!(expected(b"i1.5e"), (2, Expected::IntegerEnd));
    assert_eq!(expected(b"i12"), (3, Expected::IntegerEnd));
    assert_eq!(expected(b"01:a"), (0, Expected::NoLeadingZero));
    assert_eq!(expected(b"00:"), (0, Expected::NoLeadingZero));
}

#[test]
fn numbers_beyond_64_bits_are_bencode_but_fit_no_type() {
    let value = decode(b"i18446744073709551615e").unwrap();
    assert_eq!((value.as_integer(), value.as_unsigned()), (None, Some(u64::MAX)));
    let value = decode(b"i-99999999999999999999999e").unwrap();
    assert_eq!((value.kind(), value.as_integer(), value.as_unsigned()), (Kind::Integer, None, None));
}

#[test]
fn a_string_cannot_promise_more_than_there_is() {
    assert_eq!(decode(b"0:").unwrap().as_bytes(), Some(&b""[..]));
    assert_eq!(decode(b"3:a:b").unwrap().as_str(), Some("a:b"));
    assert_eq!(expected(b"4:abc"), (2, Expected::StringBytes { length: 4 }));
    assert_eq!(expected(b"99999999999999999999999999:a"), (27, Expected::StringBytes { length: usize::MAX }));
    assert_eq!(expected(b"3abc"), (1, Expected::Colon));
    assert_eq!(expected(b"3"), (1, Expected::Colon));
    assert_eq!(expected(b"-1:a"), (0, Expected::Value));
}

#[test]
fn dictionaries_are_sorted_and_have_distinct_keys_unless_lenient() {
    assert_eq!(expected(b"d1:bi0e1:ai1ee"), (7, Expected::SortedKey));
    assert_eq!(expected(b"d1:ai0e1:ai1ee"), (7, Expected::DistinctKey));
    assert_eq!(decode_lenient(b"d1:bi0e1:ai1ee").unwrap().get(b"a").unwrap().as_integer(), Some(1));
    assert_eq!(decode_lenient(b"d1:ai0e1:ai1ee").unwrap().get(b"a").unwrap().as_integer(), Some(0));
    // Keys compare as bytes, each dictionary for itself.
    assert!(decode(b"d1:Ai0e1:ade1:bd1:ai0eee").is_ok());
    assert_eq!(expected(b"di1e1:ae"), (1, Expected::KeyOrEnd));
    assert_eq!(expected(b"d1:ae"), (4, Expected::Value));
    assert_eq!(expected(b"d1:a"), (4, Expected::Value));
    assert_eq!(expected(b"d"), (1, Expected::KeyOrEnd));
    assert_eq!(expected(b"l1:ax"), (4, Expected::ValueOrEnd));
}

#[test]
fn bytes_after_the_value_are_refused_ignored_or_counted() {
    assert_eq!(expected(b"i1e\n"), (3, Expected::EndOfInput));
    assert_eq!(decode_lenient(b"i1e\n").unwrap().raw(), b"i1e");
    // BEP 9: a dictionary, then raw bytes that look like anything.
    let (value, length) = decode_prefix(b"d8:msg_typei1e5:piecei0eedeadbeef").unwrap();
    assert_eq!(value.get(b"msg_type").unwrap().as_integer(), Some(1));
    assert_eq!(length, 25);
}

#[test]
fn ten_thousand_nested_lists_are_one_clean_error() {
    for open in [&b"l"[..], b"d1:a"] {
        let input = open.repeat(10_000);
        let error = decode(&input).unwrap_err();
        assert_eq!((error.offset, error.expected), (open.len() * 64, Expected::Depth(64)));
        assert_eq!(decode_lenient(&input).unwrap_err().expected, Expected::Depth(64));
        assert!(error.to_string().ends_with("expected at most 64 lists and dictionaries inside each other"));
    }
    let nested = |depth: usize| [b"l".repeat(depth), b"e".repeat(depth)].concat();
    assert!(decode(&nested(64)).is_ok());
    let options = Options { max_depth: 2, ..Options::STRICT };
    assert!(options.decode(&nested(2)).is_ok());
    assert_eq!(options.decode(&nested(3)).unwrap_err().expected, Expected::Depth(2));
    let scalars_only = Options { max_depth: 0, ..Options::STRICT };
    assert!(scalars_only.decode(b"i1e").is_ok());
    assert!(scalars_only.decode(b"le").is_err());
    assert!(Options { max_depth: 255, ..Options::STRICT }.decode(&nested(65)).is_err());
}

#[test]
fn every_value_knows_its_exact_place() {
    let input = b"d4:infod6:lengthi7e4:name1:xe4:listl2:abi-3elee1:zdee";
    let value = decode(input).unwrap();
    assert_eq!(value.range(), 0..input.len());
    visit(value, &mut |value| assert_eq!(&input[value.range()], value.raw()));
    assert_eq!(value.get(b"info").unwrap().raw(), b"d6:lengthi7e4:name1:xe");
    assert_eq!(value.get(b"info").unwrap().range(), 7..29);
}

#[test]
fn an_outline_is_used_where_it_pays_and_only_there() {
    let spread = [&b"l"[..], &b"l20:aaaaaaaaaaaaaaaaaaaae".repeat(50), b"e"].concat();
    let dense = [&b"l"[..], &b"le".repeat(500), b"e"].concat();
    let mut outline = Outline::new();
    for (input, count) in [(&spread, 51), (&dense, 501), (&spread, 51)] {
        let value = outline.decode(input, Options::STRICT).unwrap();
        assert_eq!(places(value), places(decode(input).unwrap()));
        assert_eq!(value.as_list().unwrap().iter().count() + 1, count);
    }
    assert!(outline.decode(b"lee", Options::STRICT).is_err());
}

#[test]
fn errors_read_like_sentences() {
    let say = |input: &[u8]| decode(input).unwrap_err().to_string();
    assert_eq!(say(b""), "byte 0: expected an integer, a string, a list or a dictionary, found the end of the input");
    assert_eq!(say(b"<html>"), "byte 0: expected an integer, a string, a list or a dictionary, found '<'");
    assert_eq!(say(b"l\n"), "byte 1: expected a value or the end of the list, found byte 0x0a");
    assert_eq!(say(b"9:short"), "byte 2: expected the 9 bytes that a string's length promises, found the end of the input");
    assert_eq!(say(b"d1:b0:1:a0:e"), "byte 6: expected a key that sorts after the one before it");
}

#[test]
fn debug_output_is_readable() {
    let value = decode(b"d1:ai1e1:bl1:x2:\xff\xffee").unwrap();
    assert_eq!(format!("{value:?}"), r#"{"a": 1, "b": ["x", <2 bytes>]}"#);
}

#[test]
fn the_encoder_sorts_keys_and_replaces_repeated_ones() {
    let bytes = dictionary(|entries| {
        entries.key(b"b").integer(1);
        let _ = entries.key(b"never given a value");
        entries.key(b"a").list(|_| ());
        entries.key(b"c").dictionary(|inner| {
            assert!(inner.is_empty());
            inner.key(b"z").str("");
            inner.key(b"y").unsigned(u64::MAX);
        });
        entries.key(b"b").integer(i64::MIN);
    });
    assert_eq!(bytes, b"d1:ale1:bi-9223372036854775808e1:cd1:yi18446744073709551615e1:z0:ee");
    let mut copy = b"before".to_vec();
    Encoder::new(&mut copy).dictionary(|entries| entries.extend(decode(&bytes).unwrap().as_dictionary().unwrap()));
    assert_eq!(copy, [b"before", &bytes[..]].concat());
}

/// A tree to compare with.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Integer(i64),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Dictionary(BTreeMap<Vec<u8>, Tree>),
}

impl Tree {
    fn write(&self, encoder: Encoder<'_>) {
        match self {
            Tree::Integer(number) => encoder.integer(*number),
            Tree::Bytes(bytes) => encoder.bytes(bytes),
            Tree::List(items) => encoder.list(|list| items.iter().for_each(|item| item.write(list.item()))),
            // Backwards, so that sorting has something to do.
            Tree::Dictionary(entries) => {
                encoder.dictionary(|to| entries.iter().rev().for_each(|(key, value)| value.write(to.key(key))));
            }
        }
    }

    fn read(value: Value<'_>) -> Tree {
        match value.kind() {
            Kind::Integer => Tree::Integer(value.as_integer().unwrap()),
            Kind::Bytes => Tree::Bytes(value.as_bytes().unwrap().to_vec()),
            Kind::List => Tree::List(value.as_list().unwrap().iter().map(Tree::read).collect()),
            Kind::Dictionary => {
                Tree::Dictionary(value.as_dictionary().unwrap().iter().map(|(key, value)| (key.to_vec(), Tree::read(value))).collect())
            }
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let leaf = prop_oneof![any::<i64>().prop_map(Tree::Integer), bytes().prop_map(Tree::Bytes)];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::List),
            prop::collection::btree_map(bytes(), inner, 0..6).prop_map(Tree::Dictionary),
        ]
    })
}

/// Bytes that look like bencode often enough to get past its first digit.
fn nearly_bencode() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..60), prop::collection::vec(prop::sample::select(&b"ilde0123:-ab"[..]), 0..40)]
}

fn visit<'a>(value: Value<'a>, see: &mut impl FnMut(Value<'a>)) {
    see(value);
    value.as_list().unwrap_or_default().iter().for_each(|item| visit(item, see));
    value.as_dictionary().unwrap_or_default().iter().for_each(|(_, item)| visit(item, see));
}

fn places(value: Value<'_>) -> Vec<core::ops::Range<usize>> {
    let mut places = vec![];
    visit(value, &mut |value| places.push(value.range()));
    places
}

fn encode(write: impl FnOnce(Encoder<'_>)) -> Vec<u8> {
    let mut out = vec![];
    write(Encoder::new(&mut out));
    out
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(tree in trees()) {
        let bytes = encode(|to| tree.write(to));
        let value = decode(&bytes).unwrap();
        prop_assert_eq!(Tree::read(value), tree);
        visit(value, &mut |value| assert_eq!(&bytes[value.range()], value.raw()));
    }

    #[test]
    fn an_outline_changes_nothing(trees in prop::collection::vec(trees(), 1..4), other in nearly_bencode()) {
        let mut outline = Outline::new();
        for bytes in trees.iter().map(|tree| encode(|to| tree.write(to))).chain([other]) {
            let outlined = outline.decode(&bytes, Options::LENIENT);
            prop_assert_eq!(outlined, decode_lenient(&bytes));
            if let Ok(value) = outlined {
                prop_assert_eq!(places(value), places(decode_lenient(&bytes).unwrap()));
            }
        }
    }

    #[test]
    fn a_truncated_value_is_an_error_inside_the_input(tree in trees(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(|to| tree.write(to));
        let cut = cut.index(bytes.len());
        let error = decode(&bytes[..cut]).unwrap_err();
        prop_assert!(error.offset <= cut);
    }

    #[test]
    fn bytes_behind_a_value_do_not_change_it(tree in trees(), behind in nearly_bencode()) {
        let bytes = encode(|to| tree.write(to));
        let both = [&bytes[..], &behind].concat();
        let (value, length) = decode_prefix(&both).unwrap();
        prop_assert_eq!((value.raw(), length), (&bytes[..], bytes.len()));
    }

    #[test]
    fn whatever_strict_accepts_has_one_form_only_and_lenient_agrees(bytes in nearly_bencode()) {
        match decode(&bytes) {
            Ok(value) => {
                prop_assert_eq!(encode(|to| rewrite(value, to)), &bytes[..]);
                prop_assert_eq!(decode_lenient(&bytes), Ok(value));
            }
            Err(error) => {
                prop_assert!(error.offset <= bytes.len());
                prop_assert!(!error.to_string().is_empty());
            }
        }
        if let Ok(value) = decode_lenient(&bytes) {
            visit(value, &mut |value| assert_eq!(&bytes[value.range()], value.raw()));
            // Of equal keys the first counts, also for the encoder's sorting: it is given them backwards.
            let canonical = encode(|to| rewrite(value, to));
            prop_assert!(decode(&canonical).is_ok());
        }
    }
}

/// Writes a value anew, piece by piece; integers beyond 64 bits as they stand.
fn rewrite(value: Value<'_>, to: Encoder<'_>) {
    match value.kind() {
        Kind::Integer => match value.as_integer() {
            Some(number) => to.integer(number),
            None => to.verbatim(value),
        },
        Kind::Bytes => to.bytes(value.as_bytes().unwrap()),
        Kind::List => to.list(|list| value.as_list().unwrap().iter().for_each(|item| rewrite(item, list.item()))),
        Kind::Dictionary => to.dictionary(|entries| {
            let mut all: Vec<_> = value.as_dictionary().unwrap().iter().collect();
            all.reverse();
            all.into_iter().for_each(|(key, item)| rewrite(item, entries.key(key)));
        }),
    }
}
