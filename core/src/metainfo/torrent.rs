use super::{
    HostPort, Info, InfoHash,
    error::{Error, Key},
    info::text,
};
use crate::bencode::{self, List, Options, Outline, Value};
use alloc::{
    borrow::ToOwned,
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use bytes::Bytes;

/// A torrent file: an info dictionary, and where to find peers and data.
///
/// Only `info` decides which torrent it is; all else may be changed freely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metainfo {
    /// The files and the hashes of their pieces.
    pub info: Info,
    /// Trackers in tiers (BEP 12), each URL once; neither they nor the tiers are empty.
    pub trackers: Vec<Vec<String>>,
    /// Web servers that have the files (`url-list`, BEP 19), each URL once.
    pub web_seeds: Vec<String>,
    /// Web servers of the older kind (`httpseeds`, BEP 17), kept but not used.
    pub http_seeds: Vec<String>,
    /// Nodes of the DHT to begin with (BEP 5).
    pub nodes: Vec<HostPort>,
    /// A comment for people.
    pub comment: Option<String>,
    /// The program that made the file.
    pub created_by: Option<String>,
    /// When the file was made, in seconds since 1970 (UTC).
    pub creation_date: Option<i64>,
    /// The encoding that texts without `.utf-8` in their key are said to have. Practice is UTF-8, and it is not used here.
    pub encoding: Option<String>,
    /// All other entries: under each key its bencoded value, as it stood. What is no bencode is not written.
    pub other: BTreeMap<Bytes, Bytes>,
}

impl Metainfo {
    /// Reads a torrent file, strictly.
    ///
    /// What a torrent cannot do without is checked; what is merely useful, such as trackers and comments, is ignored where it is
    /// not what it should be.
    pub fn parse(bytes: Bytes) -> Result<Metainfo, Error> {
        Metainfo::parse_with(bytes, Options::STRICT)
    }

    /// Like [`Metainfo::parse`], as strictly as `options` say.
    pub fn parse_with(bytes: Bytes, options: Options) -> Result<Metainfo, Error> {
        let mut outline = Outline::new();
        let value = outline.decode(&bytes, options).map_err(|error| look_again(&bytes, error))?;
        let entries = value.as_dictionary().ok_or(Error::NotADictionary)?;

        let (mut info, mut announce, mut announce_list) = (None, None, None);
        let (mut url_list, mut http_seeds, mut nodes) = (None, None, None);
        let (mut comment, mut comment_utf8, mut created_by, mut creation_date, mut encoding) = (None, None, None, None, None);
        let mut other = BTreeMap::new();
        for (key, value) in entries {
            let slot = match key {
                b"info" => &mut info,
                b"announce" => &mut announce,
                b"announce-list" => &mut announce_list,
                b"url-list" => &mut url_list,
                b"httpseeds" => &mut http_seeds,
                b"nodes" => &mut nodes,
                b"comment" => &mut comment,
                b"comment.utf-8" => &mut comment_utf8,
                b"created by" => &mut created_by,
                b"creation date" => &mut creation_date,
                b"encoding" => &mut encoding,
                _ => {
                    other.entry(bytes.slice_ref(key)).or_insert_with(|| bytes.slice(value.range()));
                    continue;
                }
            };
            slot.get_or_insert(value);
        }

        let info = Info::read(&bytes, info.ok_or(Error::Missing(Key::top("info")))?)?;
        Ok(Metainfo {
            info,
            trackers: trackers(announce, announce_list),
            web_seeds: urls(url_list),
            http_seeds: urls(http_seeds),
            nodes: nodes.and_then(|nodes| nodes.as_list()).unwrap_or_default().iter().filter_map(node).collect(),
            comment: comment_utf8.and_then(text).filter(|text| !text.is_empty()).or_else(|| comment.and_then(text)),
            created_by: created_by.and_then(text),
            creation_date: creation_date.and_then(|date| date.as_integer()),
            encoding: encoding.and_then(text),
            other,
        })
    }

    /// A torrent file of an info dictionary alone, as a magnet link's metadata gives it.
    pub fn from_info(info: Info) -> Metainfo {
        Metainfo {
            info,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            http_seeds: Vec::new(),
            nodes: Vec::new(),
            comment: None,
            created_by: None,
            creation_date: None,
            encoding: None,
            other: BTreeMap::new(),
        }
    }

    /// The hash that names the torrent.
    pub fn info_hash(&self) -> InfoHash {
        self.info.info_hash()
    }

    /// The bytes of a torrent file with this content: always the same for the same content. The info dictionary stands in it as it
    /// was read.
    pub fn to_bytes(&self) -> Vec<u8> {
        bencode::dictionary(|entries| {
            let mut verbatim = |key: &[u8], raw: &[u8]| {
                if let Ok(value) = bencode::decode_lenient(raw) {
                    entries.key(key).verbatim(value);
                }
            };
            self.other.iter().for_each(|(key, raw)| verbatim(key, raw));
            verbatim(b"info", self.info.raw());
            if let Some(first) = self.trackers.iter().flatten().next() {
                entries.key(b"announce").str(first);
            }
            if self.trackers.iter().flatten().nth(1).is_some() {
                entries.key(b"announce-list").list(|tiers| {
                    for tier in self.trackers.iter().filter(|tier| !tier.is_empty()) {
                        tiers.item().list(|urls| tier.iter().for_each(|url| urls.item().str(url)));
                    }
                });
            }
            for (key, urls) in [(&b"url-list"[..], &self.web_seeds), (b"httpseeds", &self.http_seeds)] {
                if !urls.is_empty() {
                    entries.key(key).list(|list| urls.iter().for_each(|url| list.item().str(url)));
                }
            }
            if !self.nodes.is_empty() {
                entries.key(b"nodes").list(|list| {
                    for node in &self.nodes {
                        list.item().list(|pair| {
                            pair.item().str(&node.host);
                            pair.item().integer(node.port.into());
                        });
                    }
                });
            }
            for (key, text) in [(&b"comment"[..], &self.comment), (b"created by", &self.created_by), (b"encoding", &self.encoding)] {
                if let Some(text) = text {
                    entries.key(key).str(text);
                }
            }
            if let Some(date) = self.creation_date {
                entries.key(b"creation date").integer(date);
            }
        })
    }
}

/// What bytes that are no bencode are instead, where that can be told.
fn look_again(bytes: &[u8], error: bencode::Error) -> Error {
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    match start {
        [] => Error::Empty,
        [b'<', ..] => Error::WebPage,
        [0x1f, 0x8b, ..] => Error::Compressed,
        _ if start.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"magnet:")) => Error::MagnetLink,
        _ => Error::Bencode(error),
    }
}

/// The tiers of `announce-list`, which overrides `announce` unless it is empty (BEP 12).
fn trackers(announce: Option<Value<'_>>, announce_list: Option<Value<'_>>) -> Vec<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut tiers = Vec::new();
    for tier in announce_list.and_then(|list| list.as_list()).unwrap_or_default() {
        // Some tools write the URLs themselves where tiers should be.
        let urls = match tier.as_list() {
            Some(list) => distinct(list, &mut seen),
            None => url(tier).filter(|url| seen.insert(*url)).into_iter().map(ToOwned::to_owned).collect(),
        };
        if !urls.is_empty() {
            tiers.push(urls);
        }
    }
    if tiers.is_empty() {
        tiers.extend(announce.and_then(url).map(|url| Vec::from([url.to_owned()])));
    }
    tiers
}

/// A URL or a list of them (BEP 19).
fn urls(value: Option<Value<'_>>) -> Vec<String> {
    let Some(value) = value else { return Vec::new() };
    match value.as_list() {
        Some(list) => distinct(list, &mut BTreeSet::new()),
        None => url(value).into_iter().map(ToOwned::to_owned).collect(),
    }
}

/// The URLs of `list` that were not seen before.
fn distinct<'a>(list: List<'a>, seen: &mut BTreeSet<&'a str>) -> Vec<String> {
    list.iter().filter_map(url).filter(|url| seen.insert(url)).map(ToOwned::to_owned).collect()
}

fn url(value: Value<'_>) -> Option<&str> {
    value.as_str().map(str::trim).filter(|url| !url.is_empty())
}

fn node(pair: Value<'_>) -> Option<HostPort> {
    let mut pair = pair.as_list()?.iter();
    let (host, port) = (pair.next()?.as_str()?, pair.next()?.as_integer()?);
    let port = u16::try_from(port).ok().filter(|port| *port != 0)?;
    Some(HostPort { host: host.trim().to_owned(), port }).filter(|node| !node.host.is_empty())
}
