use super::{
    InfoHash,
    error::{Error, Key},
    path::{Names, sanitise, sanitise_all},
};
use crate::bencode::{Dictionary, Kind, Options, Outline, Value};
use alloc::{boxed::Box, format, string::String, vec::Vec};
use bytes::Bytes;

/// The info dictionary of a torrent (BEP 3): its files and the hashes of their pieces, checked to fit each other.
///
/// Names and hashes are slices of the bytes it was read from, which it keeps as they stood.
#[derive(Clone, PartialEq, Eq)]
pub struct Info {
    raw: Bytes,
    info_hash: InfoHash,
    name: Box<str>,
    has_root: bool,
    piece_length: u32,
    pieces: Bytes,
    files: Box<[File]>,
    total_length: u64,
    private: bool,
    source: Option<Box<str>>,
}

/// One file of a torrent. Its bytes are `length` bytes of the torrent from `offset` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    path: Box<str>,
    length: u64,
    offset: u64,
    attributes: Attributes,
    symlink: Option<Box<str>>,
}

/// What BEP 47 says about a file beyond its name and length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The file only fills up a piece: its bytes are zeros, and it is never written.
    pub padding: bool,
    /// The file is to be executable.
    pub executable: bool,
    /// The file is to be hidden, where the system knows such a thing.
    pub hidden: bool,
    /// The file is a symbolic link, and has no content: see [`File::symlink`].
    pub symlink: bool,
}

impl Info {
    /// Reads an info dictionary alone, as peers send it (BEP 9), strictly.
    pub fn parse(bytes: Bytes) -> Result<Info, Error> {
        Info::parse_with(bytes, Options::STRICT)
    }

    /// Like [`Info::parse`], as strictly as `options` say. The info-hash is of the dictionary alone, without bytes after it.
    pub fn parse_with(bytes: Bytes, options: Options) -> Result<Info, Error> {
        let mut outline = Outline::new();
        let value = outline.decode(&bytes, options)?;
        Info::read(&bytes, value)
    }

    /// Reads the info dictionary that is `value`, decoded from `input`.
    pub(super) fn read(input: &Bytes, value: Value<'_>) -> Result<Info, Error> {
        let entries = value.as_dictionary().ok_or(Error::Kind(Key::top("info"), Kind::Dictionary))?;
        let keys = Keys::read(entries);
        if keys.pieces.is_none() && (keys.meta_version.is_some() || keys.file_tree) {
            return Err(Error::Version2Only);
        }

        let name = required(keys.name, "name", Kind::Bytes)?.as_bytes().unwrap_or_default();
        let piece_length = required(keys.piece_length, "piece length", Kind::Integer)?.as_integer();
        let piece_length = match piece_length.and_then(|length| u32::try_from(length).ok()) {
            None | Some(0) => return Err(Error::PieceLength { found: piece_length }),
            Some(length) => length,
        };
        let pieces = required(keys.pieces, "pieces", Kind::Bytes)?;
        let hashes = pieces.as_bytes().unwrap_or_default();
        if hashes.len() % 20 != 0 {
            return Err(Error::PiecesNotHashes { length: hashes.len() });
        }

        let name = sanitise(name);
        let mut files = match (keys.length, keys.files) {
            (Some(_), Some(_)) => return Err(Error::LengthAndFiles),
            (Some(_), None) => Vec::from([single_file(&name, &keys)?]),
            (None, Some(files)) => read_files(files.as_list().ok_or(Error::Kind(Key::top("files"), Kind::List))?)?,
            (None, None) => return Err(Error::Missing(Key::top("length"))),
        };
        let total_length = lay_out(&mut files)?;
        let (expected, found) = (total_length.div_ceil(u64::from(piece_length)), hashes.len() as u64 / 20);
        if expected != found || u32::try_from(found).is_err() {
            return Err(Error::PieceCount { expected, found });
        }

        let end = pieces.range().end;
        Ok(Info {
            raw: input.slice(value.range()),
            info_hash: InfoHash::of(value.raw()),
            name: name.into(),
            has_root: keys.files.is_some(),
            piece_length,
            pieces: input.slice(end - hashes.len()..end),
            files: files.into(),
            total_length,
            private: keys.private,
            source: keys.source.and_then(|source| text(source)).map(String::into_boxed_str),
        })
    }

    /// The dictionary's bytes exactly as they stood: what the info-hash is of, and what peers may ask for (BEP 9).
    ///
    /// Keys that are not known here are found by decoding them again.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The hash that names the torrent.
    pub fn info_hash(&self) -> InfoHash {
        self.info_hash
    }

    /// The suggested name of the file, or of the folder around all files; safe as the name of either.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder around all files; `None` if the torrent is a single file.
    pub fn root(&self) -> Option<&str> {
        self.has_root.then_some(&self.name)
    }

    /// The files in the torrent's order; at least one.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Where `file` belongs below the folder for downloads: its path with the torrent's root before it, separated by `/`.
    pub fn path(&self, file: &File) -> String {
        match self.root() {
            Some(root) => format!("{root}/{}", file.path),
            None => file.path.as_ref().into(),
        }
    }

    /// Bytes of all files together, padding included; below 2⁶³.
    pub fn total_length(&self) -> u64 {
        self.total_length
    }

    /// Bytes of every piece but the last; not 0.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// How many pieces there are; 0 if all files are empty.
    pub fn piece_count(&self) -> u32 {
        (self.pieces.len() / 20) as u32
    }

    /// Bytes of the piece `index`; `None` past the last one.
    pub fn piece_size(&self, index: u32) -> Option<u32> {
        let start = u64::from(index) * u64::from(self.piece_length);
        let rest = self.total_length.checked_sub(start).filter(|rest| *rest > 0)?;
        Some(u32::try_from(rest).map_or(self.piece_length, |rest| rest.min(self.piece_length)))
    }

    /// The SHA-1 of the piece `index`; `None` past the last one.
    pub fn piece_hash(&self, index: u32) -> Option<&[u8; 20]> {
        self.pieces.as_chunks().0.get(index as usize)
    }

    /// The hashes of `count` pieces from `first` on, 20 bytes each, as a slice of the torrent file. `None` past the end.
    pub fn piece_hashes(&self, first: u32, count: u32) -> Option<Bytes> {
        let (first, end) = (first as usize, (first as usize).checked_add(count as usize)?);
        (end <= self.piece_count() as usize).then(|| self.pieces.slice(first * 20..end * 20))
    }

    /// The hashes of all pieces, 20 bytes each; a slice of [`Info::raw`].
    pub fn pieces(&self) -> &Bytes {
        &self.pieces
    }

    /// Whether peers may come from the trackers alone (BEP 27).
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// The site the torrent was made for, which gives it an info-hash of its own there.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }
}

impl core::fmt::Debug for Info {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Info")
            .field("info_hash", &self.info_hash)
            .field("name", &self.name)
            .field("total_length", &self.total_length)
            .field("piece_length", &self.piece_length)
            .field("pieces", &self.piece_count())
            .field("files", &self.files.len())
            .field("private", &self.private)
            .field("source", &self.source)
            .finish()
    }
}

impl File {
    /// The path as in the torrent, without its root, each component safe and none the same as another file's; separated by `/`.
    ///
    /// A single file's is its name. Files that only pad may share one.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The components of [`File::path`].
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.path.split('/')
    }

    /// Bytes of this file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of the torrent before this file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What BEP 47 says about it.
    pub fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// Whether the file only pads (BEP 47): its bytes are zeros, and it is never written.
    pub fn is_padding(&self) -> bool {
        self.attributes.padding
    }

    /// What a symbolic link points to: the path of a file or folder of this torrent, in the same form as [`File::path`].
    ///
    /// `None` for all other files, and for links to nothing in the torrent, which are not to be made.
    pub fn symlink(&self) -> Option<&str> {
        self.symlink.as_deref()
    }
}

/// The entries of an info dictionary that are used here; of a repeated one, the first.
#[derive(Default)]
struct Keys<'a> {
    name: Option<Value<'a>>,
    piece_length: Option<Value<'a>>,
    pieces: Option<Value<'a>>,
    length: Option<Value<'a>>,
    files: Option<Value<'a>>,
    attributes: Option<Value<'a>>,
    meta_version: Option<Value<'a>>,
    file_tree: bool,
    private: bool,
    source: Option<Value<'a>>,
}

impl<'a> Keys<'a> {
    fn read(entries: Dictionary<'a>) -> Keys<'a> {
        let mut keys = Keys::default();
        let (mut name_utf8, mut private) = (None, None);
        for (key, value) in entries {
            let slot = match key {
                b"name" => &mut keys.name,
                b"name.utf-8" => &mut name_utf8,
                b"piece length" => &mut keys.piece_length,
                b"pieces" => &mut keys.pieces,
                b"length" => &mut keys.length,
                b"files" => &mut keys.files,
                b"attr" => &mut keys.attributes,
                b"meta version" => &mut keys.meta_version,
                b"private" => &mut private,
                b"source" => &mut keys.source,
                b"file tree" => {
                    keys.file_tree = true;
                    continue;
                }
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        keys.name = name_utf8.filter(is_text).or(keys.name);
        // What a careless tool writes instead of 1 still asks for privacy; only 0 does not.
        keys.private = private.is_some_and(|value| value.as_integer() != Some(0));
        keys
    }
}

fn single_file(name: &str, keys: &Keys<'_>) -> Result<File, Error> {
    let attributes = read_attributes(keys.attributes);
    let length = length(required(keys.length, "length", Kind::Integer)?, Key::top("length"))?;
    if attributes.symlink {
        // A link can only lead to another file of the torrent, and there is none.
        return Err(Error::SymlinkEscapes { file: 1 });
    }
    Ok(File { path: name.into(), length, offset: 0, attributes, symlink: None })
}

fn read_files(list: crate::bencode::List<'_>) -> Result<Vec<File>, Error> {
    let mut files = Vec::new();
    let mut names = Names::default();
    let mut links = Vec::new();
    for (at, entry) in list.iter().enumerate() {
        let number = at + 1;
        let key = |name| Key { name, file: Some(number) };
        let entries = entry.as_dictionary().ok_or(Error::Kind(key("files"), Kind::Dictionary))?;
        let (mut length_value, mut path, mut path_utf8, mut attributes, mut symlink_path) = (None, None, None, None, None);
        for (key, value) in entries {
            let slot = match key {
                b"length" => &mut length_value,
                b"path" => &mut path,
                b"path.utf-8" => &mut path_utf8,
                b"attr" => &mut attributes,
                b"symlink path" => &mut symlink_path,
                _ => continue,
            };
            slot.get_or_insert(value);
        }

        let attributes = read_attributes(attributes);
        let length = match length_value {
            Some(value) => length(value, key("length"))?,
            None if attributes.symlink => 0,
            None => return Err(Error::Missing(key("length"))),
        };
        let path = path_utf8.filter(|path| path.as_list().is_some_and(|list| list.iter().next().as_ref().is_some_and(is_text))).or(path);
        let components = match path {
            Some(path) => components(path, key("path"))?,
            None if attributes.padding => Vec::from([".pad".into(), format!("{length}")]),
            None => return Err(Error::Missing(key("path"))),
        };
        if components.is_empty() {
            return Err(Error::EmptyPath { file: number });
        }
        if attributes.symlink {
            if length > 0 {
                return Err(Error::SymlinkWithLength { file: number });
            }
            if let Some(target) = symlink_path {
                links.push((at, link_target(target, key("symlink path"), number)?));
            }
        }
        // Padding is never written, so it cannot be in anybody's way, and its names repeat by design.
        let path = if attributes.padding { components.join("/") } else { names.place(&components) };
        files.push(File { path: path.into(), length, offset: 0, attributes, symlink: None });
    }
    for (at, target) in links {
        if let Some(file) = files.get_mut(at)
            && names.contains(&target)
        {
            file.symlink = Some(target.join("/").into()).filter(|target| *target != file.path);
        }
    }
    Ok(files)
}

/// Sets every file's offset; returns the total length.
fn lay_out(files: &mut [File]) -> Result<u64, Error> {
    if files.is_empty() {
        return Err(Error::NoFiles);
    }
    let mut total = 0i64;
    for file in files {
        file.offset = total.unsigned_abs();
        total = total.checked_add_unsigned(file.length).ok_or(Error::TotalTooLarge)?;
    }
    Ok(total.unsigned_abs())
}

/// The safe components of a path.
fn components(path: Value<'_>, key: Key) -> Result<Vec<String>, Error> {
    let list = path.as_list().ok_or(Error::Kind(key, Kind::List))?;
    if list.iter().any(|component| component.kind() != Kind::Bytes) {
        return Err(Error::Kind(Key { name: "a component of the path", ..key }, Kind::Bytes));
    }
    Ok(sanitise_all(list.iter().filter_map(|component| component.as_bytes())))
}

/// The safe components of what a link points to, which must not even try to lead elsewhere (BEP 47).
fn link_target(target: Value<'_>, key: Key, file: usize) -> Result<Vec<String>, Error> {
    let components = components(target, key)?;
    let escapes = |component: &[u8]| matches!(component, b"" | b"." | b"..") || component.iter().any(|byte| b"/\\\0".contains(byte));
    if components.is_empty() || target.as_list().unwrap_or_default().iter().any(|value| value.as_bytes().is_none_or(escapes)) {
        return Err(Error::SymlinkEscapes { file });
    }
    Ok(components)
}

fn read_attributes(value: Option<Value<'_>>) -> Attributes {
    let letters = value.and_then(|value| value.as_bytes()).unwrap_or_default();
    let has = |letter| letters.contains(&letter);
    Attributes { padding: has(b'p'), executable: has(b'x'), hidden: has(b'h'), symlink: has(b'l') }
}

fn length(value: Value<'_>, key: Key) -> Result<u64, Error> {
    match value.as_integer() {
        Some(length) => u64::try_from(length).map_err(|_| Error::NegativeLength(key)),
        None if value.kind() != Kind::Integer => Err(Error::Kind(key, Kind::Integer)),
        None if value.raw().starts_with(b"i-") => Err(Error::NegativeLength(key)),
        None => Err(Error::LengthTooLarge(key)),
    }
}

fn required<'a>(value: Option<Value<'a>>, name: &'static str, kind: Kind) -> Result<Value<'a>, Error> {
    let value = value.ok_or(Error::Missing(Key::top(name)))?;
    if value.kind() == kind { Ok(value) } else { Err(Error::Kind(Key::top(name), kind)) }
}

fn is_text(value: &Value<'_>) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// A string as text, whatever its bytes; `None` if it is none.
pub(super) fn text(value: Value<'_>) -> Option<String> {
    value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}
