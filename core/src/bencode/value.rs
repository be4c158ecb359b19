use super::outline::Entry;
use core::{fmt, iter::FusedIterator, ops::Range};

/// One bencoded value: a view of its bytes as they stand, checked when it was decoded.
///
/// Two values are equal if their bytes are, wherever they stand.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    raw: &'a [u8],
    offset: usize,
    /// Of a byte string: where its content starts in `raw`.
    content: u8,
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
        Value { raw, offset: 0, content: string(raw).start as u8, outline }
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
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.raw.first() {
            Some(b'i') => Kind::Integer,
            Some(b'l') => Kind::List,
            Some(b'd') => Kind::Dictionary,
            _ => Kind::Bytes,
        }
    }

    /// The integer; `None` if this is none or does not fit 64 bits with sign.
    #[inline]
    pub fn as_integer(&self) -> Option<i64> {
        match self.inside(b'i')? {
            [b'-', digits @ ..] => {
                digits.iter().try_fold(0i64, |number, digit| number.checked_mul(10)?.checked_sub(i64::from(digit - b'0')))
            }
            digits => i64::try_from(unsigned(digits)?).ok(),
        }
    }

    /// The integer; `None` if this is none, is negative or does not fit 64 bits.
    #[inline]
    pub fn as_unsigned(&self) -> Option<u64> {
        self.inside(b'i').filter(|digits| !digits.starts_with(b"-")).and_then(unsigned)
    }

    /// The content of the byte string; `None` if this is none.
    #[inline]
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match self.kind() {
            Kind::Bytes => self.raw.get(usize::from(self.content)..),
            _ => None,
        }
    }

    /// The content of the byte string as text; `None` if this is none or not UTF-8.
    #[inline]
    pub fn as_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The list; `None` if this is none.
    #[inline]
    pub fn as_list(&self) -> Option<List<'a>> {
        (self.kind() == Kind::List).then_some(List(Some(*self)))
    }

    /// The dictionary; `None` if this is none.
    #[inline]
    pub fn as_dictionary(&self) -> Option<Dictionary<'a>> {
        (self.kind() == Kind::Dictionary).then_some(Dictionary(Some(*self)))
    }

    /// What stands under `key`; `None` if this is no dictionary or has no such key.
    pub fn get(&self, key: &[u8]) -> Option<Value<'a>> {
        self.as_dictionary()?.get(key)
    }

    /// The bytes between an opening `open` and the final `e`.
    #[inline]
    fn inside(&self, open: u8) -> Option<&'a [u8]> {
        match self.raw {
            [first, inside @ .., b'e'] if *first == open => Some(inside),
            _ => None,
        }
    }
}

#[inline]
fn unsigned(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
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
    #[inline]
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

    #[inline]
    fn into_iter(self) -> ListIter<'a> {
        self.iter()
    }
}

/// The values of a list, in order.
#[derive(Clone, Debug)]
pub struct ListIter<'a>(Cursor<'a>);

impl<'a> Iterator for ListIter<'a> {
    type Item = Value<'a>;

    #[inline]
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
    #[inline]
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

    #[inline]
    fn into_iter(self) -> DictionaryIter<'a> {
        self.iter()
    }
}

/// The keys and values of a dictionary, in the order in which they stand.
#[derive(Clone, Debug)]
pub struct DictionaryIter<'a>(Cursor<'a>);

impl<'a> Iterator for DictionaryIter<'a> {
    type Item = (&'a [u8], Value<'a>);

    #[inline]
    fn next(&mut self) -> Option<(&'a [u8], Value<'a>)> {
        Some((self.0.key()?, self.0.value()?))
    }
}
impl FusedIterator for DictionaryIter<'_> {}

/// A place among the values inside a list or dictionary.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    /// What comes after this place.
    rest: &'a [u8],
    /// Where `rest` ends in the input.
    end: usize,
    /// The entries of the lists and dictionaries in `rest`.
    outline: &'a [Entry],
}

impl<'a> Cursor<'a> {
    #[inline]
    fn inside(container: Option<Value<'a>>) -> Cursor<'a> {
        match container.map(|value| (value.raw, value)) {
            Some(([_, rest @ .., b'e'], Value { offset, outline, .. })) => {
                Cursor { rest, end: offset + 1 + rest.len(), outline: outline.get(1..).unwrap_or_default() }
            }
            _ => Cursor { rest: &[], end: 0, outline: &[] },
        }
    }

    #[inline]
    fn key(&mut self) -> Option<&'a [u8]> {
        let Range { start, end } = string(self.rest);
        self.take(end)?.get(start..)
    }

    #[inline]
    fn value(&mut self) -> Option<Value<'a>> {
        let offset = self.end - self.rest.len();
        let (mut outline, mut content) = (&[][..], 0);
        let length = match self.rest.first()? {
            b'0'..=b'9' => {
                let Range { start, end } = string(self.rest);
                // A length of 20 digits is the longest that any input can keep.
                content = start as u8;
                end
            }
            b'l' | b'd' if !self.outline.is_empty() => {
                let entry = self.outline.first()?;
                (outline, self.outline) = self.outline.split_at_checked(entry.count())?;
                entry.length()
            }
            b'i' => integer(self.rest),
            _ => container(self.rest),
        };
        Some(Value { raw: self.take(length)?, offset, content, outline })
    }

    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

/// The bytes of the checked list or dictionary at the start of `raw`.
fn container(raw: &[u8]) -> usize {
    let (mut rest, mut depth) = (raw, 0u32);
    loop {
        let length = match rest.first() {
            Some(b'l' | b'd') => {
                depth += 1;
                1
            }
            Some(b'e') => {
                depth = depth.saturating_sub(1);
                1
            }
            Some(b'i') => integer(rest),
            Some(_) => string(rest).end,
            None => return raw.len(),
        };
        rest = rest.get(length..).unwrap_or_default();
        if depth == 0 {
            return raw.len() - rest.len();
        }
    }
}

/// The bytes of the checked integer at the start of `raw`.
#[inline]
fn integer(raw: &[u8]) -> usize {
    raw.iter().take_while(|byte| **byte != b'e').count() + 1
}

/// Where the content of the checked byte string at the start of `raw` stands; past the end if there is none.
#[inline]
pub(super) fn string(raw: &[u8]) -> Range<usize> {
    let (start, length) = match raw {
        [ones, b':', ..] => (2, digit(*ones)),
        [tens, ones, b':', ..] => (3, digit(*tens) * 10 + digit(*ones)),
        _ => {
            let digits = raw.iter().take_while(|byte| byte.is_ascii_digit());
            let number = |(count, number): (usize, usize), byte: &u8| (count + 1, number.wrapping_mul(10).wrapping_add(digit(*byte)));
            let (count, length) = digits.fold((0, 0), number);
            (count + 1, length)
        }
    };
    start..start.saturating_add(length)
}

#[inline]
fn digit(byte: u8) -> usize {
    usize::from(byte.wrapping_sub(b'0'))
}
