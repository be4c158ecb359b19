use rustor_core::bencode::{Encoder, Expected, Kind, MAX_DEPTH, Options, Outline, Value, decode, decode_lenient};
use std::collections::BTreeMap;

/// Decodes `data` strictly, leniently and naively, compares, and writes what came out again.
pub fn bencode(data: &[u8]) {
    let strict = Options::STRICT.decode_prefix(data);
    let lenient = Options::LENIENT.decode_prefix(data);
    let naive = Naive { data, at: 0 }.value(MAX_DEPTH.into());

    match strict {
        Ok((value, length)) => {
            let (tree, naive_length) = naive.expect("strict decoding accepts what the naive one refuses");
            assert_eq!(length, naive_length);
            assert_eq!(Tree::read(value), tree);
            assert_eq!(lenient, Ok((value, length)), "lenient decoding must not change what is correct");
            assert_eq!(rewrite(value), value.raw(), "a correct value has one form only");
            assert_eq!(decode(data).is_ok(), length == data.len());
        }
        Err(error) => {
            assert!(naive.is_none(), "strict decoding refuses what the naive one accepts: {error}");
            assert!(error.offset <= data.len());
            assert_eq!(error.found, data.get(error.offset).copied());
            assert!(!error.to_string().is_empty());
        }
    }

    match lenient {
        Ok((value, length)) => {
            assert_eq!(value.range(), 0..length);
            assert_eq!(decode_lenient(data), Ok(value));
            visit(value, data, 0);
            let mut outline = Outline::new();
            let outlined = outline.decode(data, Options::LENIENT).expect("an outline changes nothing");
            visit(outlined, data, 0);
            assert_eq!(Tree::read(outlined), Tree::read(value));
            // Its canonical form is correct, and the same again when rewritten.
            let canonical = rewrite(value);
            let again = decode(&canonical).expect("the encoder writes only what is correct");
            assert_eq!(rewrite(again), canonical);
            assert_eq!(Tree::read(again), Tree::read(value));
        }
        Err(error) => assert!(strict.is_err() && error.offset <= data.len()),
    }

    let shallow = Options { max_depth: 3, ..Options::STRICT }.decode_prefix(data);
    match (shallow, strict) {
        (Err(error), Ok(_)) => assert_eq!(error.expected, Expected::Depth(3)),
        (Err(shallow), Err(error)) => assert!(shallow == error || shallow.expected == Expected::Depth(3)),
        (shallow, strict) => assert_eq!(shallow, strict),
    }
}

/// Checks that a value and all inside lie where they say, each behind the one before.
fn visit(value: Value<'_>, data: &[u8], depth: usize) {
    assert!(depth <= MAX_DEPTH.into());
    assert_eq!(&data[value.range()], value.raw());
    let kinds = [value.as_bytes().is_some(), value.as_list().is_some(), value.as_dictionary().is_some(), value.kind() == Kind::Integer];
    assert_eq!(kinds.iter().filter(|is| **is).count(), 1);
    let mut end = value.range().start;
    for item in value.as_list().unwrap_or_default() {
        assert!(item.range().start > end - usize::from(end > value.range().start) && item.range().end < value.range().end);
        end = item.range().end;
        visit(item, data, depth + 1);
    }
    for (key, item) in value.as_dictionary().unwrap_or_default() {
        assert!(item.range().start > end && item.range().end < value.range().end);
        end = item.range().end;
        let first = value.get(key).expect("every key is found");
        assert!(first.range().start <= item.range().start, "of a repeated key the first counts");
        visit(item, data, depth + 1);
    }
}

/// A value written anew, piece by piece.
fn rewrite(value: Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, Encoder::new(&mut out));
    out
}

fn write(value: Value<'_>, to: Encoder<'_>) {
    match (value.kind(), value.as_integer(), value.as_unsigned()) {
        (Kind::Integer, Some(number), _) => to.integer(number),
        (Kind::Integer, _, Some(number)) => to.unsigned(number),
        (Kind::Integer, ..) => to.verbatim(value),
        (Kind::Bytes, ..) => to.bytes(value.as_bytes().unwrap_or_default()),
        (Kind::List, ..) => to.list(|list| value.as_list().unwrap_or_default().iter().for_each(|item| write(item, list.item()))),
        (Kind::Dictionary, ..) => to.dictionary(|entries| {
            // Backwards, so that the encoder has to sort, and that of a repeated key the first is written last and stays.
            let all: Vec<_> = value.as_dictionary().unwrap_or_default().iter().collect();
            all.into_iter().rev().for_each(|(key, item)| write(item, entries.key(key)));
        }),
    }
}

#[derive(Debug, PartialEq)]
enum Tree {
    Integer(Vec<u8>),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Dictionary(BTreeMap<Vec<u8>, Tree>),
}

impl Tree {
    fn read(value: Value<'_>) -> Tree {
        match value.kind() {
            Kind::Integer => Tree::Integer(value.raw().into()),
            Kind::Bytes => Tree::Bytes(value.as_bytes().unwrap_or_default().into()),
            Kind::List => Tree::List(value.as_list().unwrap_or_default().iter().map(Tree::read).collect()),
            Kind::Dictionary => {
                let mut entries = BTreeMap::new();
                for (key, item) in value.as_dictionary().unwrap_or_default() {
                    entries.entry(key.into()).or_insert_with(|| Tree::read(item));
                }
                Tree::Dictionary(entries)
            }
        }
    }
}

/// The grammar of BEP 3 written down as plainly as possible, to compare with.
struct Naive<'a> {
    data: &'a [u8],
    at: usize,
}

impl Naive<'_> {
    fn value(mut self, depth: usize) -> Option<(Tree, usize)> {
        let tree = self.tree(depth)?;
        Some((tree, self.at))
    }

    fn tree(&mut self, depth: usize) -> Option<Tree> {
        let start = self.at;
        match self.data.get(self.at)? {
            b'i' => {
                self.at += 1;
                let end = self.at + self.data[self.at..].iter().position(|byte| *byte == b'e')?;
                let digits = std::str::from_utf8(&self.data[self.at..end]).ok()?;
                let magnitude = digits.strip_prefix('-').unwrap_or(digits);
                let plain = !magnitude.is_empty() && magnitude.bytes().all(|byte| byte.is_ascii_digit());
                if !plain || digits == "-0" || magnitude.len() > 1 && magnitude.starts_with('0') {
                    return None;
                }
                self.at = end + 1;
                Some(Tree::Integer(self.data[start..self.at].into()))
            }
            b'l' => {
                let depth = depth.checked_sub(1)?;
                self.at += 1;
                let mut items = Vec::new();
                while *self.data.get(self.at)? != b'e' {
                    items.push(self.tree(depth)?);
                }
                self.at += 1;
                Some(Tree::List(items))
            }
            b'd' => {
                let depth = depth.checked_sub(1)?;
                self.at += 1;
                let mut entries = BTreeMap::new();
                while *self.data.get(self.at)? != b'e' {
                    let key = self.string()?;
                    if entries.last_key_value().is_some_and(|(last, _)| *last >= key) {
                        return None;
                    }
                    entries.insert(key, self.tree(depth)?);
                }
                self.at += 1;
                Some(Tree::Dictionary(entries))
            }
            _ => self.string().map(Tree::Bytes),
        }
    }

    fn string(&mut self) -> Option<Vec<u8>> {
        let colon = self.at + self.data[self.at..].iter().position(|byte| *byte == b':')?;
        let digits = std::str::from_utf8(&self.data[self.at..colon]).ok()?;
        let length: usize = digits.parse().ok()?;
        // This way a plus and leading zeros do not pass.
        if digits != length.to_string() {
            return None;
        }
        let end = (colon + 1).checked_add(length)?;
        let content = self.data.get(colon + 1..end)?;
        self.at = end;
        Some(content.into())
    }
}
