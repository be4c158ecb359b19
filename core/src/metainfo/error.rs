use crate::bencode::{self, Kind};
use core::fmt;

/// What is wrong with a torrent file or an info dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There are no bytes.
    Empty,
    /// The bytes look like HTML or XML.
    WebPage,
    /// The bytes are the text of a magnet link.
    MagnetLink,
    /// The bytes are compressed with gzip.
    Compressed,
    /// The bytes are no bencode.
    Bencode(bencode::Error),
    /// The outermost value is no dictionary.
    NotADictionary,
    /// A key that a torrent cannot do without is missing.
    Missing(Key),
    /// The value of a key is of another kind.
    Kind(Key, Kind),
    /// The info dictionary has both `length` and `files`, so it would be another torrent to each client.
    LengthAndFiles,
    /// The list of files is empty.
    NoFiles,
    /// A file's `path` is empty, so it would be the root itself. The files count from 1.
    EmptyPath {
        /// The file's place in the list, from 1.
        file: usize,
    },
    /// A length below 0.
    NegativeLength(Key),
    /// A length of 2⁶³ or more.
    LengthTooLarge(Key),
    /// The lengths add up to 2⁶³ or more.
    TotalTooLarge,
    /// The piece length is not between 1 and 2³² − 1.
    PieceLength {
        /// What it is, if that fits.
        found: Option<i64>,
    },
    /// The length of `pieces` is no multiple of a hash's 20 bytes.
    PiecesNotHashes {
        /// The length in bytes.
        length: usize,
    },
    /// There are more or fewer hashes than pieces.
    PieceCount {
        /// How many pieces the files make.
        expected: u64,
        /// How many hashes there are.
        found: u64,
    },
    /// A symbolic link has content, on which clients would not agree.
    SymlinkWithLength {
        /// The link's place in the list, from 1.
        file: usize,
    },
    /// A symbolic link leads out of the torrent.
    SymlinkEscapes {
        /// The link's place in the list, from 1.
        file: usize,
    },
    /// The torrent has no version 1 part (BEP 52).
    Version2Only,
}

/// A key of a torrent, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key as it is spelled in the file.
    pub name: &'static str,
    /// The place in the list of files, from 1, of the one it belongs to.
    pub file: Option<usize>,
}

impl Key {
    pub(super) fn top(name: &'static str) -> Key {
        Key { name, file: None }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file {
            Some(file) => write!(f, "'{}' of file {file}", self.name),
            None => write!(f, "'{}'", self.name),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Empty => f.write_str("this is empty, not a torrent"),
            Error::WebPage => f.write_str("this looks like a web page, not a torrent"),
            Error::MagnetLink => f.write_str("this is a magnet link, not a torrent"),
            Error::Compressed => f.write_str("this is compressed with gzip: unpack it first"),
            Error::Bencode(error) => write!(f, "not a torrent: {error}"),
            Error::NotADictionary => f.write_str("not a torrent: its outermost value is not a dictionary"),
            Error::Missing(key) => write!(f, "{key} is missing"),
            Error::Kind(key, kind) => {
                let kind = match kind {
                    Kind::Integer => "an integer",
                    Kind::Bytes => "a string",
                    Kind::List => "a list",
                    Kind::Dictionary => "a dictionary",
                };
                write!(f, "{key} is not {kind}")
            }
            Error::LengthAndFiles => f.write_str("the torrent has both 'length' and 'files', which contradict each other"),
            Error::NoFiles => f.write_str("the torrent has no files"),
            Error::EmptyPath { file } => write!(f, "the path of file {file} is empty"),
            Error::NegativeLength(key) => write!(f, "{key} is negative"),
            Error::LengthTooLarge(key) => write!(f, "{key} is above the limit of 2^63 - 1 bytes"),
            Error::TotalTooLarge => f.write_str("the files' total length is above the limit of 2^63 - 1 bytes"),
            Error::PieceLength { found: Some(found) } => {
                write!(f, "the piece length is {found}, which is not between 1 and {} bytes", u32::MAX)
            }
            Error::PieceLength { found: None } => write!(f, "the piece length is not between 1 and {} bytes", u32::MAX),
            Error::PiecesNotHashes { length } => write!(f, "'pieces' is {length} bytes long, which is no multiple of 20"),
            Error::PieceCount { expected, found } => {
                write!(f, "the number of hashes does not fit: {found} hashes for {expected} pieces")
            }
            Error::SymlinkWithLength { file } => write!(f, "file {file} is a symbolic link, but has a length"),
            Error::SymlinkEscapes { file } => write!(f, "file {file} is a symbolic link that leads out of the torrent"),
            Error::Version2Only => f.write_str("this torrent is of version 2 only (BEP 52), which is not supported yet"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Error::Bencode(error) => Some(error),
            _ => None,
        }
    }
}

impl From<bencode::Error> for Error {
    fn from(error: bencode::Error) -> Error {
        Error::Bencode(error)
    }
}
