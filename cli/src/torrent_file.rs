//! Torrent files as the caller names them.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use rustor_tokio::core::{
    bencode::{self, Options},
    metainfo::{self, Magnet, Metainfo},
};

use crate::{
    failure::Failure,
    output::{Output, safe},
};

/// The largest torrent file that is read: far above real ones.
pub(crate) const LARGEST: usize = 32 << 20;

/// What names a torrent.
pub(crate) enum Named {
    Torrent(Box<Metainfo>),
    Magnet(Box<Magnet>),
}

/// Reads the torrent file at `path`, or `path` itself where it is a magnet link.
pub(crate) fn load_named(output: &Output, path: &Path) -> Result<Named, Failure> {
    match path.to_str().filter(|text| is_magnet(text)) {
        Some(link) => link.parse().map(|magnet| Named::Magnet(Box::new(magnet))).map_err(Failure::new),
        None => load(output, path).map(|metainfo| Named::Torrent(Box::new(metainfo))),
    }
}

fn is_magnet(text: &str) -> bool {
    text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("magnet:"))
}

/// Reads the torrent file at `path`; `-` is standard input.
pub(crate) fn load(output: &Output, path: &Path) -> Result<Metainfo, Failure> {
    let name = if path.as_os_str() == "-" { "standard input".into() } else { safe(&path.to_string_lossy()).into_owned() };
    if path.to_str().is_some_and(is_magnet) {
        return Err(Failure::new("a magnet link does not say what is in the torrent; the torrent file is needed here"));
    }
    let bytes = if path.as_os_str() == "-" { read(io::stdin().lock()) } else { File::open(path).and_then(read) };
    let bytes = bytes.map_err(|error| Failure::about(&name, words(&error)))?;
    if bytes.len() > LARGEST {
        return Err(Failure::about(name, "larger than 32 MiB, which no torrent file is"));
    }
    parse(output, &name, bytes.into())
}

/// All there is, up to one byte more than a torrent file may have.
fn read(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the bytes of a torrent file that is called `name`.
///
/// Careless tools write keys in any order. That leaves no doubt about what is meant, and is taken; all else is read strictly.
pub(crate) fn parse(output: &Output, name: &str, bytes: bytes::Bytes) -> Result<Metainfo, Failure> {
    let strict = Metainfo::parse(bytes.clone());
    let error = match strict {
        Ok(metainfo) => return Ok(metainfo),
        Err(error) => error,
    };
    if let metainfo::Error::Bencode(bencode::Error { expected: bencode::Expected::SortedKey, .. }) = error
        && Options::LENIENT.decode_prefix(&bytes).is_ok_and(|(_, length)| length == bytes.len())
        && let Ok(metainfo) = Metainfo::parse_with(bytes, Options::LENIENT)
    {
        output.detail(format_args!("{name}: read although its keys are not in order"));
        return Ok(metainfo);
    }
    Err(Failure::about(name, error))
}

/// The operating system's reason in plain words, without its number.
pub(crate) fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "this is a folder, not a file".into(),
        io::ErrorKind::NotADirectory => "this is a file, not a folder".into(),
        io::ErrorKind::StorageFull => "no space left on the disk".into(),
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only".into(),
        _ => {
            let text = error.to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            text[..end].to_owned()
        }
    }
}
