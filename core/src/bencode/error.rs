use core::fmt;

/// Why bytes are no bencode: where, what was expected, and what stood there instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Bytes from the start of the input to the place of the mistake.
    pub offset: usize,
    /// What should have been there.
    pub expected: Expected,
    /// The byte that stood there; `None` if the input ended.
    pub found: Option<u8>,
}

/// What the decoder was looking for when it gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// An integer, a byte string, a list or a dictionary.
    Value,
    /// A value or the end of the list around it.
    ValueOrEnd,
    /// A byte string as a dictionary's key, or the end of the dictionary.
    KeyOrEnd,
    /// A digit of an integer, or its minus.
    Integer,
    /// A further digit of an integer, or the `e` that ends it.
    IntegerEnd,
    /// A further digit of a byte string's length, or the colon after it.
    Colon,
    /// As many bytes as a byte string's length promises.
    StringBytes {
        /// The promised length in bytes; `usize::MAX` stands for anything from there up.
        length: usize,
    },
    /// A number without leading zeros.
    NoLeadingZero,
    /// A number other than -0.
    NoNegativeZero,
    /// A key that sorts after the one before it.
    SortedKey,
    /// A key that is not the one before it again.
    DistinctKey,
    /// At most this many lists and dictionaries inside each other.
    Depth(u8),
    /// Nothing after the value.
    EndOfInput,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::Value => "an integer, a string, a list or a dictionary",
            Expected::ValueOrEnd => "a value or the end of the list",
            Expected::KeyOrEnd => "a string as key or the end of the dictionary",
            Expected::Integer => "an integer's digits",
            Expected::IntegerEnd => "a digit or the integer's end 'e'",
            Expected::Colon => "a digit or ':' in a string's length",
            Expected::StringBytes { length } => return write!(f, "the {length} bytes that a string's length promises"),
            Expected::NoLeadingZero => "a number without leading zeros",
            Expected::NoNegativeZero => "a number other than -0",
            Expected::SortedKey => "a key that sorts after the one before it",
            Expected::DistinctKey => "a key that differs from the one before it",
            Expected::Depth(depth) => return write!(f, "at most {depth} lists and dictionaries inside each other"),
            Expected::EndOfInput => "nothing after the value",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: expected {}", self.offset, self.expected)?;
        match (self.expected, self.found) {
            // These say everything by themselves: the byte that happens to stand there would only confuse.
            (
                Expected::NoLeadingZero
                | Expected::NoNegativeZero
                | Expected::SortedKey
                | Expected::DistinctKey
                | Expected::Depth(_)
                | Expected::EndOfInput,
                _,
            ) => Ok(()),
            (Expected::StringBytes { .. }, _) | (_, None) => write!(f, ", found the end of the input"),
            (_, Some(byte)) if byte.is_ascii_graphic() => write!(f, ", found '{}'", char::from(byte)),
            (_, Some(byte)) => write!(f, ", found byte {byte:#04x}"),
        }
    }
}

impl core::error::Error for Error {}
