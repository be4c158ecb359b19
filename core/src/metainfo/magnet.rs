use super::{
    HostPort, InfoHash,
    hash::{from_hex, hex},
};
use alloc::{borrow::ToOwned, format, string::String, vec::Vec};
use core::{
    fmt::{self, Write},
    ops::RangeInclusive,
    str::FromStr,
};

/// The longest magnet link that is read, in bytes: with hundreds of trackers it is still far shorter.
pub const MAX_MAGNET_LENGTH: usize = 32 * 1024;

/// A magnet link (BEP 9): names a torrent by hash alone, and may say where to find it.
///
/// Reading what [`Magnet`]'s `Display` writes gives the same link.
///
/// ```
/// use rustor_core::metainfo::Magnet;
///
/// let link: Magnet = "magnet:?xt=urn:btih:aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d&dn=a+b%26c&so=0,2,4-6".parse()?;
/// assert_eq!(link.info_hash().unwrap().to_string(), "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
/// assert_eq!(link.name.as_deref(), Some("a b&c"));
/// assert!(link.selects(5) && !link.selects(3));
/// # Ok::<(), rustor_core::metainfo::MagnetError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Magnet {
    /// What the link names (`xt`), each once: one torrent by one or two kinds of hash, or, rarely, several torrents.
    pub topics: Vec<Topic>,
    /// A name to show until the metadata is there (`dn`).
    pub name: Option<String>,
    /// Trackers (`tr`), each in a tier of its own.
    pub trackers: Vec<String>,
    /// Web servers that have the files (`ws`, BEP 19).
    pub web_seeds: Vec<String>,
    /// Peers to begin with (`x.pe`).
    pub peers: Vec<HostPort>,
    /// The files to download alone (`so`, BEP 53), as ranges of their places in the torrent from 0; all if empty.
    pub selected: Vec<RangeInclusive<u32>>,
    /// All other parameters, key and value, in their order.
    pub other: Vec<(String, String)>,
}

/// A hash that a magnet link names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Version 1: `urn:btih:` and 40 hexadecimal or 32 base32 digits.
    Version1(InfoHash),
    /// Version 2: `urn:btmh:1220` and 64 hexadecimal digits, a SHA-256 as multihash (BEP 52).
    Version2([u8; 32]),
}

impl Magnet {
    /// The version 1 info-hash; the first of several.
    pub fn info_hash(&self) -> Option<InfoHash> {
        self.topics.iter().find_map(|topic| match topic {
            Topic::Version1(hash) => Some(*hash),
            Topic::Version2(_) => None,
        })
    }

    /// Whether the link asks for the file at `index` of the torrent.
    pub fn selects(&self, index: u32) -> bool {
        self.selected.is_empty() || self.selected.iter().any(|range| range.contains(&index))
    }

    fn take(&mut self, key: &str, value: String) -> Result<(), MagnetError> {
        // Where a key comes several times, some programs number it: tr.1, tr.2.
        let kind = match key.split_once('.') {
            Some((kind, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => kind,
            _ => key,
        };
        match kind {
            "xt" => match topic(&value)? {
                Some(topic) if !self.topics.contains(&topic) => self.topics.push(topic),
                Some(_) => {}
                None => self.other.push((key.to_owned(), value)),
            },
            "dn" if self.name.is_none() => self.name = Some(value),
            "tr" => push_url(&mut self.trackers, value),
            "ws" => push_url(&mut self.web_seeds, value),
            "x.pe" => match value.parse() {
                Ok(peer) if !self.peers.contains(&peer) => self.peers.push(peer),
                _ => {}
            },
            "so" => {
                for part in value.split(',').filter(|part| !part.is_empty()) {
                    self.selected.push(range(part).ok_or(MagnetError::Selection)?);
                }
            }
            _ => self.other.push((key.to_owned(), value)),
        }
        Ok(())
    }
}

impl FromStr for Magnet {
    type Err = MagnetError;

    fn from_str(text: &str) -> Result<Magnet, MagnetError> {
        let text = text.trim();
        if text.len() > MAX_MAGNET_LENGTH {
            return Err(MagnetError::TooLong);
        }
        let parameters = match text.split_at_checked("magnet:?".len()) {
            Some((scheme, parameters)) if scheme.eq_ignore_ascii_case("magnet:?") => parameters,
            _ => return Err(MagnetError::NotAMagnet),
        };
        let mut magnet = Magnet::default();
        // Links copied from web pages come with the page's spelling of "&".
        let parameters = parameters.replace("&amp;", "&");
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            magnet.take(&unescape(key), unescape(value))?;
        }
        if magnet.topics.is_empty() { Err(MagnetError::NoTopic) } else { Ok(magnet) }
    }
}

impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "magnet:?";
        let mut parameter = |key: &str, value: &str| {
            write!(f, "{separator}{}={}", Escaped(key), Escaped(value))?;
            separator = "&";
            Ok(())
        };
        for topic in &self.topics {
            match topic {
                Topic::Version1(hash) => parameter("xt", &format!("urn:btih:{hash}")),
                Topic::Version2(hash) => parameter("xt", &format!("urn:btmh:1220{}", hex(hash))),
            }?;
        }
        if let Some(name) = &self.name {
            parameter("dn", name)?;
        }
        self.trackers.iter().try_for_each(|tracker| parameter("tr", tracker))?;
        self.web_seeds.iter().try_for_each(|seed| parameter("ws", seed))?;
        self.peers.iter().try_for_each(|peer| parameter("x.pe", &format!("{peer}")))?;
        if !self.selected.is_empty() {
            let mut ranges = String::new();
            for range in &self.selected {
                let separator = if ranges.is_empty() { "" } else { "," };
                match range.start() == range.end() {
                    true => write!(ranges, "{separator}{}", range.start())?,
                    false => write!(ranges, "{separator}{}-{}", range.start(), range.end())?,
                }
            }
            parameter("so", &ranges)?;
        }
        self.other.iter().try_for_each(|(key, value)| parameter(key, value))
    }
}

/// What is wrong with a magnet link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MagnetError {
    /// The text does not begin with `magnet:?`.
    NotAMagnet,
    /// The text is longer than [`MAX_MAGNET_LENGTH`].
    TooLong,
    /// No parameter names a torrent.
    NoTopic,
    /// What should be a torrent's hash is none.
    Hash,
    /// The selection of files is no list of numbers and ranges.
    Selection,
}

impl fmt::Display for MagnetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MagnetError::NotAMagnet => "a magnet link begins with 'magnet:?'",
            MagnetError::TooLong => "the magnet link is longer than 32 KiB",
            MagnetError::NoTopic => "the magnet link names no torrent (it has no 'xt=urn:btih:' or 'xt=urn:btmh:')",
            MagnetError::Hash => "the magnet link's hash is neither 40 hexadecimal or 32 base32 digits nor 1220 and 64 hexadecimal digits",
            MagnetError::Selection => "the magnet link's selection of files is no list like 0,2,4-6",
        })
    }
}

impl core::error::Error for MagnetError {}

/// The torrent that `xt` names; `None` if it names something else.
fn topic(urn: &str) -> Result<Option<Topic>, MagnetError> {
    let Some((kind, hash)) = urn.split_at_checked("urn:btih:".len()) else { return Ok(None) };
    let topic = if kind.eq_ignore_ascii_case("urn:btih:") {
        hash.parse().ok().map(Topic::Version1)
    } else if kind.eq_ignore_ascii_case("urn:btmh:") {
        hash.strip_prefix("1220").and_then(from_hex).map(Topic::Version2)
    } else {
        return Ok(None);
    };
    topic.map(Some).ok_or(MagnetError::Hash)
}

fn push_url(urls: &mut Vec<String>, url: String) {
    let url = url.trim();
    // A link is short, so that looking through all costs little.
    if !url.is_empty() && !urls.iter().any(|known| known == url) {
        urls.push(url.to_owned());
    }
}

/// A number, or two of them in order with a dash between.
fn range(text: &str) -> Option<RangeInclusive<u32>> {
    let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let range = number(start)?..=number(end)?;
    (!range.is_empty()).then_some(range)
}

/// Text without its percent and plus escapes; what is no escape stays, what is not UTF-8 is replaced.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(match (first, tail) {
            (b'%', [high, low, after @ ..]) => match from_hex::<1>(core::str::from_utf8(&[*high, *low]).unwrap_or_default()) {
                Some([byte]) => {
                    rest = after;
                    byte
                }
                None => b'%',
            },
            (b'+', _) => b' ',
            _ => *first,
        });
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Text with percent escapes for all but what a parameter may hold as it is.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b',' => f.write_char(char::from(byte)),
            _ => write!(f, "%{byte:02X}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{string::ToString, vec};

    const HEX: &str = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
    const BASE32: &str = "VL2MMHO4YXUKFWV63YHTWSBM3GXKSQ2N";

    fn parse(text: &str) -> Result<Magnet, MagnetError> {
        text.parse()
    }

    #[test]
    fn a_link_says_everything_that_links_say() {
        let v2 = "e".repeat(64);
        let text = format!(
            "MAGNET:?xt=urn:btih:{HEX}&xt=urn:btmh:1220{v2}&dn=%E6%97%A5+%26&tr=http%3A%2F%2Fa%2Fannounce&tr.1=udp://b:1&tr=&tr=udp://b:1\
             &ws=http%3a%2f%2fseed&x.pe=192.0.2.1:6881&x.pe=[2001:db8::1]:1&x.pe=garbage&so=0,2,4,6-8&xl=10&kt=&flag"
        );
        let magnet = parse(&text).unwrap();
        assert_eq!(magnet.topics, [Topic::Version1(HEX.parse().unwrap()), Topic::Version2([0xee; 32])]);
        assert_eq!(magnet.name.as_deref(), Some("日 &"));
        assert_eq!(magnet.trackers, ["http://a/announce", "udp://b:1"]);
        assert_eq!(magnet.web_seeds, ["http://seed"]);
        assert_eq!(magnet.peers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.1:6881", "[2001:db8::1]:1"]);
        assert_eq!(magnet.selected, [0..=0, 2..=2, 4..=4, 6..=8]);
        let other = [("xl", "10"), ("kt", ""), ("flag", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(magnet.other, other);
        assert_eq!(
            magnet.to_string(),
            format!(
                "magnet:?xt=urn:btih:{HEX}&xt=urn:btmh:1220{v2}&dn=%E6%97%A5%20%26&tr=http:%2F%2Fa%2Fannounce&tr=udp:%2F%2Fb:1\
                 &ws=http:%2F%2Fseed&x.pe=192.0.2.1:6881&x.pe=%5B2001:db8::1%5D:1&so=0,2,4,6-8&xl=10&kt=&flag="
            )
        );
    }

    #[test]
    fn a_hash_comes_in_hexadecimal_in_base32_and_several_times() {
        let hash = Topic::Version1(HEX.parse().unwrap());
        assert_eq!(parse(&format!("magnet:?xt=urn:btih:{BASE32}")).unwrap().topics, [hash]);
        let several = parse(&format!("magnet:?xt.1=urn:btih:{HEX}&amp;xt.2=urn:btih:{}&xt.3=urn:BTIH:{BASE32}", "0".repeat(40))).unwrap();
        assert_eq!(several.topics, [hash, Topic::Version1(InfoHash([0; 20]))]);
        let other = parse(&format!("magnet:?xt=urn:sha1:x&xt=urn:btih:{HEX}")).unwrap();
        assert_eq!((other.info_hash(), other.other.len()), (Some(HEX.parse().unwrap()), 1));
        let v2 = parse(&format!("magnet:?xt=urn:btmh:1220{}", "0".repeat(64))).unwrap();
        assert_eq!(v2.info_hash(), None);
    }

    #[test]
    fn what_is_no_link_is_refused() {
        for (text, error) in [
            ("", MagnetError::NotAMagnet),
            ("magnet:", MagnetError::NotAMagnet),
            ("http://example/", MagnetError::NotAMagnet),
            ("magnet:?", MagnetError::NoTopic),
            ("magnet:?xt=urn:sha1:x", MagnetError::NoTopic),
            ("magnet:?xt=urn:btih:", MagnetError::Hash),
            ("magnet:?xt=urn:btih:zz", MagnetError::Hash),
            ("magnet:?xt=urn:btmh:1120aa", MagnetError::Hash),
            (&"magnet:?xt=".repeat(6000), MagnetError::TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        for selection in ["a", "1-", "-1", "3-2", "1-2-3", "4294967296", "+1", "1,,a"] {
            assert_eq!(parse(&format!("magnet:?xt=urn:btih:{HEX}&so={selection}")), Err(MagnetError::Selection), "{selection}");
        }
    }

    #[test]
    fn a_selection_of_everything_costs_nothing() {
        let magnet = parse(&format!("magnet:?xt=urn:btih:{HEX}&so=0-4294967295")).unwrap();
        assert!(magnet.selects(u32::MAX));
        assert!(parse(&format!("magnet:?xt=urn:btih:{HEX}")).unwrap().selects(7));
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(unescape("%zz%4%+%c3%a9%ff"), "%zz%4% é\u{fffd}");
        assert_eq!(unescape("%+1"), "% 1");
    }

    proptest! {
        #[test]
        fn links_read_back(
            hashes in prop::collection::btree_set(any::<[u8; 20]>(), 1..3),
            v2: [u8; 32],
            name in prop::option::of(any::<String>()),
            trackers in prop::collection::btree_set("[!-~é][ -~é]{0,10}[!-~é]", 0..4),
            selected in prop::collection::vec((any::<u32>(), any::<u32>()), 0..4),
            other in prop::collection::vec(("[xy][a-z&= ]{1,4}", any::<String>()), 0..4),
        ) {
            let mut topics: Vec<Topic> = hashes.into_iter().map(|hash| Topic::Version1(InfoHash(hash))).collect();
            topics.push(Topic::Version2(v2));
            let selected = selected.into_iter().map(|(one, other)| one.min(other)..=one.max(other)).collect();
            let peers = vec!["peer.example:1".parse().unwrap()];
            let other = other.into_iter().filter(|(key, _)| key != "xt").collect();
            let magnet = Magnet { topics, name, trackers: trackers.into_iter().collect(), web_seeds: vec![], peers, selected, other };
            prop_assert_eq!(magnet.to_string().parse(), Ok(magnet));
        }

        #[test]
        fn arbitrary_links_never_panic_and_read_back_if_they_read(text in "magnet:\\?(xt|so|tr|x.pe|dn|&|=|%[0-9a-f]{2}|urn:btih:|[a-f0-9]{40}|\\PC){0,40}") {
            if let Ok(magnet) = parse(&text) {
                prop_assert_eq!(magnet.to_string().parse(), Ok(magnet));
            }
        }
    }
}
