use super::outline::Entry;
use core::{fmt, iter::FusedIterator, ops::Range};

/// One bencoded value: a view of its bytes as they stand, checked when it was decoded.
///
/// Two values are equal if their bytes are, wherever they stand.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    raw: &'a [u8],
    offset: usize,
    /// Of a list or dictionary: its own entry and those of all inside it. Nothing if no outline was made.
    outline: &'a [Entry],
}

/// The four kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Integer,
    /// A string of bytes; often, but not always, text.
    Bytes,
    /// A sequence of values.
    List,
    /// Values under keys.
    Dictionary,
}

impl<'a> Value<'a> {
    /// `raw` is exactly one checked value, the first of its input.
    pub(super) fn trusted(raw: &'a [u8], outline: &'a [Entry]) -> Value<'a> {
        Value { raw, offset: 0, outline }
    }

    /// The bytes of this value exactly as they stand in the input: what an info-hash is taken of.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Where [`Value::raw`] stands in the input that was decoded, in bytes.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.raw.len()
    }

    /// What kind of value this is.
    pub fn kind(&self) -> Kind {
        match self.raw.first() {
            Some(b'i') => Kind::Integer,
            Some(b'l') => Kind::List,
            Some(b'd') => Kind::Dictionary,
            _ => Kind::Bytes,
        }
    }

    /// The integer; `None` if this is none or does not fit 64 bits with sign.
    pub fn as_integer(&self) -> Option<i64> {
        core::str::from_utf8(self.inside(b'i')?).ok()?.parse().ok()
    }

    /// The integer; `None` if this is none, is negative or does not fit 64 bits.
    pub fn as_unsigned(&self) -> Option<u64> {
        core::str::from_utf8(self.inside(b'i')?).ok()?.parse().ok()
    }

    /// The content of the byte string; `None` if this is none.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match self.kind() {
            Kind::Bytes => self.raw.get(string(self.raw, 0).start..),
            _ => None,
        }
    }

    /// The content of the byte string as text; `None` if this is none or not UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The list; `None` if this is none.
    pub fn as_list(&self) -> Option<List<'a>> {
        (self.kind() == Kind::List).then_some(List(Some(*self)))
    }

    /// The dictionary; `None` if this is none.
    pub fn as_dictionary(&self) -> Option<Dictionary<'a>> {
        (self.kind() == Kind::Dictionary).then_some(Dictionary(Some(*self)))
    }

    /// What stands under `key`; `None` if this is no dictionary or has no such key.
    pub fn get(&self, key: &[u8]) -> Option<Value<'a>> {
        self.as_dictionary()?.get(key)
    }

    /// The bytes between an opening `open` and the final `e`.
    fn inside(&self, open: u8) -> Option<&'a [u8]> {
        match self.raw {
            [first, inside @ .., b'e'] if *first == open => Some(inside),
            _ => None,
        }
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}
impl Eq for Value<'_> {}

/// For people: text in quotes, other bytes as their number.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            Kind::Integer => f.write_str(core::str::from_utf8(self.inside(b'i').unwrap_or_default()).unwrap_or_default()),
            Kind::Bytes => Text(self.as_bytes().unwrap_or_default()).fmt(f),
            Kind::List => f.debug_list().entries(self.as_list().unwrap_or_default()).finish(),
            Kind::Dictionary => {
                let entries = self.as_dictionary().unwrap_or_default();
                f.debug_map().entries(entries.iter().map(|(key, value)| (Text(key), value))).finish()
            }
        }
    }
}

struct Text<'a>(&'a [u8]);

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match core::str::from_utf8(self.0) {
            Ok(text) => text.fmt(f),
            Err(_) => write!(f, "<{} bytes>", self.0.len()),
        }
    }
}

/// A list: values in order. The default one is empty and stands nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct List<'a>(Option<Value<'a>>);

impl<'a> List<'a> {
    /// The list as a value; `None` for the default one.
    pub fn value(&self) -> Option<Value<'a>> {
        self.0
    }

    /// The values in order.
    pub fn iter(&self) -> ListIter<'a> {
        ListIter(Cursor::inside(self.0))
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for List<'a> {
    type Item = Value<'a>;
    type IntoIter = ListIter<'a>;

    fn into_iter(self) -> ListIter<'a> {
        self.iter()
    }
}

/// The values of a list, in order.
#[derive(Clone, Debug)]
pub struct ListIter<'a>(Cursor<'a>);

impl<'a> Iterator for ListIter<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.0.value()
    }
}
impl FusedIterator for ListIter<'_> {}

/// A dictionary: values under keys. The default one is empty and stands nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Dictionary<'a>(Option<Value<'a>>);

impl<'a> Dictionary<'a> {
    /// The dictionary as a value; `None` for the default one.
    pub fn value(&self) -> Option<Value<'a>> {
        self.0
    }

    /// What stands under `key`; the first of several, which only a lenient decoder lets pass.
    ///
    /// This walks the entries: to read many keys of a wide dictionary, iterate once instead.
    pub fn get(&self, key: &[u8]) -> Option<Value<'a>> {
        self.iter().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// Keys and values in the order in which they stand.
    pub fn iter(&self) -> DictionaryIter<'a> {
        DictionaryIter(Cursor::inside(self.0))
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl fmt::Debug for Dictionary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(key, value)| (Text(key), value))).finish()
    }
}

impl<'a> IntoIterator for Dictionary<'a> {
    type Item = (&'a [u8], Value<'a>);
    type IntoIter = DictionaryIter<'a>;

    fn into_iter(self) -> DictionaryIter<'a> {
        self.iter()
    }
}

/// The keys and values of a dictionary, in the order in which they stand.
#[derive(Clone, Debug)]
pub struct DictionaryIter<'a>(Cursor<'a>);

impl<'a> Iterator for DictionaryIter<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<(&'a [u8], Value<'a>)> {
        Some((self.0.key()?, self.0.value()?))
    }
}
impl FusedIterator for DictionaryIter<'_> {}

/// A place among the values inside a list or dictionary.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    inside: &'a [u8],
    at: usize,
    offset: usize,
    /// The entries of the lists and dictionaries from `at` on.
    outline: &'a [Entry],
}

impl<'a> Cursor<'a> {
    fn inside(container: Option<Value<'a>>) -> Cursor<'a> {
        match container.map(|value| (value.raw, value)) {
            Some(([_, inside @ .., b'e'], Value { offset, outline, .. })) => {
                Cursor { inside, at: 0, offset: offset + 1, outline: outline.get(1..).unwrap_or_default() }
            }
            _ => Cursor { inside: &[], at: 0, offset: 0, outline: &[] },
        }
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let Range { start, end } = string(self.inside, self.at);
        let key = self.inside.get(start..end)?;
        self.at = end;
        Some(key)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let start = self.at;
        let mut outline = &[][..];
        self.at = match (self.inside.get(start)?, self.outline.first()) {
            (b'l' | b'd', Some(entry)) => {
                (outline, self.outline) = self.outline.split_at_checked(entry.count())?;
                start + entry.length()
            }
            _ => end_of_value(self.inside, start),
        };
        Some(Value { raw: self.inside.get(start..self.at)?, offset: self.offset + start, outline })
    }
}

/// Where the checked value at `at` ends.
fn end_of_value(raw: &[u8], mut at: usize) -> usize {
    let mut depth = 0u32;
    loop {
        match raw.get(at) {
            Some(b'l' | b'd') => {
                depth += 1;
                at += 1;
            }
            Some(b'e') => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            Some(b'i') => at += raw.get(at..).unwrap_or_default().iter().take_while(|byte| **byte != b'e').count() + 1,
            Some(_) => at = string(raw, at).end,
            None => return raw.len(),
        }
        if depth == 0 {
            return at;
        }
    }
}

/// Where the content of the checked byte string at `at` stands; past the end, an empty range that no slice has.
pub(super) fn string(raw: &[u8], at: usize) -> Range<usize> {
    let mut length = 0usize;
    let mut cursor = at;
    while let Some(digit @ b'0'..=b'9') = raw.get(cursor) {
        length = length.wrapping_mul(10).wrapping_add(usize::from(digit - b'0'));
        cursor += 1;
    }
    let start = cursor + 1;
    start..start.saturating_add(length)
}
