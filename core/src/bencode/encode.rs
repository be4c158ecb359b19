use super::value::{Value, string};
use alloc::{collections::BTreeMap, vec::Vec};

/// Encodes a dictionary.
pub fn dictionary(write: impl FnOnce(&mut DictionaryEncoder<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(&mut out).dictionary(write);
    out
}

/// A place for one value: each method writes it and uses the place up. Unused, it leaves nothing behind.
#[must_use = "nothing is written before a value is given"]
#[derive(Debug)]
pub struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    key: Option<&'o [u8]>,
}

impl<'o> Encoder<'o> {
    /// Writes at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Encoder<'o> {
        Encoder { out, key: None }
    }

    /// Writes a number.
    pub fn integer(self, number: i64) {
        let (out, sign) = (self.begin(), if number < 0 { &b"i-"[..] } else { b"i" });
        out.extend_from_slice(sign);
        digits(out, number.unsigned_abs());
        out.push(b'e');
    }

    /// Writes a number that is not negative.
    pub fn unsigned(self, number: u64) {
        let out = self.begin();
        out.push(b'i');
        digits(out, number);
        out.push(b'e');
    }

    /// Writes a byte string.
    pub fn bytes(self, bytes: &[u8]) {
        byte_string(self.begin(), bytes);
    }

    /// Writes a byte string.
    pub fn str(self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Writes a list of what `write` gives it.
    pub fn list(self, write: impl FnOnce(&mut ListEncoder<'_>)) {
        let out = self.begin();
        out.push(b'l');
        write(&mut ListEncoder { out });
        out.push(b'e');
    }

    /// Writes a dictionary of what `write` gives it.
    pub fn dictionary(self, write: impl FnOnce(&mut DictionaryEncoder<'_>)) {
        let out = self.begin();
        out.push(b'd');
        let start = out.len();
        let mut entries = DictionaryEncoder { out, start, last: None, next: start, sorted: true };
        write(&mut entries);
        let sorted = entries.sorted;
        out.push(b'e');
        if !sorted {
            sort(out, start);
        }
    }

    /// Writes a decoded value exactly as it stood, so that its hash stays the same. What was decoded leniently may not be canonical.
    pub fn verbatim(self, value: Value<'_>) {
        self.begin().extend_from_slice(value.raw());
    }

    /// The key is written together with its value only: a key alone would be no bencode.
    fn begin(self) -> &'o mut Vec<u8> {
        if let Some(key) = self.key {
            byte_string(self.out, key);
        }
        self.out
    }
}

/// Writes the items of a list.
#[derive(Debug)]
pub struct ListEncoder<'o> {
    out: &'o mut Vec<u8>,
}

impl ListEncoder<'_> {
    /// A place for the next item.
    pub fn item(&mut self) -> Encoder<'_> {
        Encoder { out: self.out, key: None }
    }
}

/// Writes the entries of a dictionary, in any order: they are sorted at the end if they must be.
#[derive(Debug)]
pub struct DictionaryEncoder<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    /// Where the last key stands that certainly was written.
    last: Option<usize>,
    /// Where the key asked for most lately stands, if its value was given.
    next: usize,
    sorted: bool,
}

impl DictionaryEncoder<'_> {
    /// A place for the value of `key`. If the key was there before, the new value takes the old one's place.
    pub fn key<'k>(&'k mut self, key: &'k [u8]) -> Encoder<'k> {
        if self.out.len() > self.next {
            self.last = Some(self.next);
        }
        if let Some(last) = self.last {
            let last = self.out.get(last..).unwrap_or_default();
            let last = last.get(string(last)).unwrap_or_default();
            self.sorted &= last < key;
        }
        self.next = self.out.len();
        Encoder { out: self.out, key: Some(key) }
    }

    /// Adds all entries of another dictionary, exactly as they stand.
    pub fn extend(&mut self, entries: super::Dictionary<'_>) {
        for (key, value) in entries {
            self.key(key).verbatim(value);
        }
    }

    /// Whether there are no entries so far.
    pub fn is_empty(&self) -> bool {
        self.out.len() == self.start
    }
}

/// Puts the entries from `start` to the final `e` in order; of equal keys the last stays.
fn sort(out: &mut Vec<u8>, start: usize) {
    let raw = out.get(start.saturating_sub(1)..).unwrap_or_default().to_vec();
    let entries: BTreeMap<_, _> = Value::trusted(&raw, &[]).as_dictionary().into_iter().flatten().collect();
    out.truncate(start);
    for (key, value) in entries {
        byte_string(out, key);
        out.extend_from_slice(value.raw());
    }
    out.push(b'e');
}

fn byte_string(out: &mut Vec<u8>, bytes: &[u8]) {
    digits(out, bytes.len() as u64);
    out.push(b':');
    out.extend_from_slice(bytes);
}

fn digits(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.get_mut(start..).unwrap_or_default().reverse();
}
