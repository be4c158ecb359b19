use super::{
    error::{Error, Expected},
    outline::Notes,
    value::Value,
};

/// The deepest nesting that any [`Options`] allow: far above real torrents, far below what could trouble a stack.
pub const MAX_DEPTH: u8 = 64;

/// How strictly to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Accept what trackers and careless tools really send: keys unsorted or repeated, and bytes after the value.
    ///
    /// Nothing becomes ambiguous: of a repeated key the first counts, bytes after the value are ignored, and numbers stay strict.
    pub lenient: bool,
    /// How many lists and dictionaries may stand inside each other, 0 to [`MAX_DEPTH`] (more counts as that).
    pub max_depth: u8,
}

impl Options {
    /// Exactly what BEP 3 allows: each value has one form only, so re-encoding gives the same bytes.
    pub const STRICT: Options = Options { lenient: false, max_depth: MAX_DEPTH };
    /// Unsorted and repeated keys and trailing bytes are accepted.
    pub const LENIENT: Options = Options { lenient: true, max_depth: MAX_DEPTH };

    /// Decodes one value that fills `input`; if lenient, bytes after it are ignored.
    pub fn decode<'a>(&self, input: &'a [u8]) -> Result<Value<'a>, Error> {
        let length = check(input, *self, &mut ())?;
        Ok(Value::trusted(self.whole(input, length)?, &[]))
    }

    /// Decodes the value at the start of `input` and says how many bytes it takes; what follows is not looked at.
    ///
    /// For data messages of the metadata exchange (BEP 9), where a dictionary is followed by raw bytes.
    pub fn decode_prefix<'a>(&self, input: &'a [u8]) -> Result<(Value<'a>, usize), Error> {
        let length = check(input, *self, &mut ())?;
        Ok((Value::trusted(input.get(..length).unwrap_or_default(), &[]), length))
    }

    /// The first `length` bytes of `input`, which must be all, unless lenient.
    pub(super) fn whole<'a>(&self, input: &'a [u8], length: usize) -> Result<&'a [u8], Error> {
        match input.get(..length) {
            Some(value) if length == input.len() || self.lenient => Ok(value),
            _ => Err(error(input, length, Expected::EndOfInput)),
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::STRICT
    }
}

/// Decodes one value that fills `input`, strictly.
pub fn decode(input: &[u8]) -> Result<Value<'_>, Error> {
    Options::STRICT.decode(input)
}

/// Decodes the value at the start of `input`, accepting unsorted and repeated keys and ignoring bytes after it.
pub fn decode_lenient(input: &[u8]) -> Result<Value<'_>, Error> {
    Options::LENIENT.decode(input)
}

/// Decodes the value at the start of `input`, strictly, and says how many bytes it takes.
pub fn decode_prefix(input: &[u8]) -> Result<(Value<'_>, usize), Error> {
    Options::STRICT.decode_prefix(input)
}

/// Checks the value at the start of `input` from end to end; returns its length.
pub(super) fn check(input: &[u8], options: Options, notes: &mut impl Notes) -> Result<usize, Error> {
    let max_depth = options.max_depth.min(MAX_DEPTH);
    // What is open around the cursor: how many, which of them are dictionaries (the innermost in bit 0), and the last key of each.
    let mut depth = 0u8;
    let mut dictionaries = 0u64;
    let mut keys: [Option<&[u8]>; MAX_DEPTH as usize] = [None; MAX_DEPTH as usize];
    let mut at = 0;
    loop {
        let mut byte = input.get(at).copied();
        if depth > 0 && byte == Some(b'e') {
            at += 1;
            depth -= 1;
            dictionaries >>= 1;
            notes.close(at);
            if depth == 0 {
                return Ok(at);
            }
            continue;
        }
        let mut expected = if depth > 0 { Expected::ValueOrEnd } else { Expected::Value };
        if dictionaries & 1 == 1 {
            if !byte.is_some_and(|byte| byte.is_ascii_digit()) {
                return Err(error(input, at, Expected::KeyOrEnd));
            }
            let (start, end) = check_string(input, at)?;
            if !options.lenient {
                let key = input.get(start..end).unwrap_or_default();
                if let Some(last) = keys.get_mut(usize::from(depth - 1)) {
                    match last.map_or(core::cmp::Ordering::Less, |last| last.cmp(key)) {
                        core::cmp::Ordering::Less => *last = Some(key),
                        core::cmp::Ordering::Equal => return Err(error(input, at, Expected::DistinctKey)),
                        core::cmp::Ordering::Greater => return Err(error(input, at, Expected::SortedKey)),
                    }
                }
            }
            at = end;
            byte = input.get(at).copied();
            expected = Expected::Value;
        }
        match byte {
            Some(b'0'..=b'9') => (_, at) = check_string(input, at)?,
            Some(b'i') => at = check_integer(input, at)?,
            Some(open @ (b'l' | b'd')) => {
                if depth >= max_depth {
                    return Err(error(input, at, Expected::Depth(max_depth)));
                }
                if let Some(last) = keys.get_mut(usize::from(depth)) {
                    *last = None;
                }
                notes.open(at);
                at += 1;
                depth += 1;
                dictionaries = dictionaries << 1 | u64::from(open == b'd');
                continue;
            }
            _ => return Err(error(input, at, expected)),
        }
        if depth == 0 {
            return Ok(at);
        }
    }
}

/// Checks the byte string whose first digit is at `at`; returns where its content starts and ends.
#[inline]
fn check_string(input: &[u8], at: usize) -> Result<(usize, usize), Error> {
    // Nearly all strings are shorter than 100 bytes.
    let (start, length) = match input.get(at..).unwrap_or_default() {
        [ones @ b'0'..=b'9', b':', ..] => (at + 2, usize::from(ones - b'0')),
        [tens @ b'1'..=b'9', ones @ b'0'..=b'9', b':', ..] => (at + 3, usize::from(tens - b'0') * 10 + usize::from(ones - b'0')),
        _ => check_length(input, at)?,
    };
    match start.checked_add(length) {
        Some(end) if end <= input.len() => Ok((start, end)),
        _ => Err(error(input, start, Expected::StringBytes { length })),
    }
}

/// Checks the length of a byte string whose first digit is at `at`; returns where the content starts, and the length.
fn check_length(input: &[u8], at: usize) -> Result<(usize, usize), Error> {
    let mut cursor = at;
    let mut length = 0usize;
    while let Some(digit @ b'0'..=b'9') = input.get(cursor).copied() {
        length = length.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
        cursor += 1;
    }
    if cursor > at + 1 && input.get(at) == Some(&b'0') {
        return Err(error(input, at, Expected::NoLeadingZero));
    }
    if input.get(cursor) != Some(&b':') {
        return Err(error(input, cursor, Expected::Colon));
    }
    Ok((cursor + 1, length))
}

/// Checks the integer whose `i` is at `at`; returns where it ends. Its size is not limited (BEP 3).
fn check_integer(input: &[u8], at: usize) -> Result<usize, Error> {
    let start = at + 1;
    let digits = if input.get(start) == Some(&b'-') { start + 1 } else { start };
    let count = input.get(digits..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return Err(error(input, digits, Expected::Integer));
    }
    if input.get(digits) == Some(&b'0') {
        if count > 1 {
            return Err(error(input, digits, Expected::NoLeadingZero));
        }
        if digits > start {
            return Err(error(input, start, Expected::NoNegativeZero));
        }
    }
    let end = digits + count;
    if input.get(end) != Some(&b'e') {
        return Err(error(input, end, Expected::IntegerEnd));
    }
    Ok(end + 1)
}

#[cold]
fn error(input: &[u8], offset: usize, expected: Expected) -> Error {
    Error { offset, expected, found: input.get(offset).copied() }
}
