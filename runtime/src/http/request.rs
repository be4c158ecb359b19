use core::num::NonZeroU64;
use core::time::Duration;

use bytes::Bytes;
use ureq_proto::http::HeaderMap;
use ureq_proto::http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER};

use super::AddressFamily;

/// What to get, and how much trouble to go to for it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The absolute `http` or `https` URL. A user and password in it are sent as basic authentication.
    pub url: String,
    /// The `User-Agent` header; `RusTor/` and the version unless changed.
    pub user_agent: String,
    /// The part of the file to ask for; the whole where `None`. A server may send the whole all the same (status 200).
    pub range: Option<ByteRange>,
    /// The only address family to use (BEP 7: announce once for each); both where `None`.
    pub address_family: Option<AddressFamily>,
    /// How long all of it may take, redirects and body included. 30 s unless changed.
    pub timeout: Duration,
    /// How long a single address may take to accept the connection. 10 s unless changed.
    pub connect_timeout: Duration,
    /// The largest body to take, in bytes, after unpacking. 1 MiB unless changed.
    pub maximum_body: usize,
    /// How many redirects to follow. 5 unless changed.
    pub maximum_redirects: u8,
}

impl Request {
    /// A request for `url` with the defaults that each field names.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            user_agent: concat!("RusTor/", env!("CARGO_PKG_VERSION")).to_owned(),
            range: None,
            address_family: None,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            maximum_body: 1 << 20,
            maximum_redirects: 5,
        }
    }
}

/// A part of a file, not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Where it begins, in bytes from the file's start.
    pub start: u64,
    /// How many bytes it has.
    pub length: NonZeroU64,
}

impl ByteRange {
    /// The value of the `Range` header (RFC 9110, section 14.1.2).
    pub(super) fn header(self) -> String {
        format!("bytes={}-{}", self.start, self.start.saturating_add(self.length.get() - 1))
    }
}

/// An answer with its whole body.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status and headers.
    pub head: ResponseHead,
    /// The body, unpacked.
    pub body: Bytes,
}

/// What an answer says before its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status code, 200 to 999. Errors such as 404 are answers too: trackers explain themselves in their bodies.
    pub status: u16,
    /// The URL that answered, after redirects.
    pub url: String,
    /// The length that the body is announced with, in bytes, before unpacking.
    pub content_length: Option<u64>,
    /// The part of the file that the body is (with status 206).
    pub content_range: Option<ContentRange>,
    /// The kind of the body, for example `text/plain`; at most 128 bytes of it.
    pub content_type: Option<String>,
    /// How long to stay away (with status 503 or 429), where the server gave it in seconds.
    pub retry_after: Option<Duration>,
}

impl ResponseHead {
    pub(super) fn new(status: u16, url: String, headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        Self {
            status,
            url,
            content_length: text(CONTENT_LENGTH).and_then(|value| value.parse().ok()),
            content_range: text(CONTENT_RANGE).and_then(ContentRange::parse),
            content_type: text(CONTENT_TYPE).map(|value| value.chars().take(128).collect()),
            retry_after: text(RETRY_AFTER).and_then(|value| value.parse().ok()).map(Duration::from_secs),
        }
    }
}

/// The part of a file that an answer carries (RFC 9110, section 14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// Where in the file it lies.
    pub range: ByteRange,
    /// The whole file's length in bytes, where the server knows it.
    pub total: Option<u64>,
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.strip_prefix("bytes ")?.trim_start().split_once('/')?;
        let (start, last) = range.split_once('-')?;
        let (start, last): (u64, u64) = (start.parse().ok()?, last.parse().ok()?);
        let length = NonZeroU64::new(last.checked_sub(start)?.checked_add(1)?)?;
        let total = if total == "*" { None } else { Some(total.parse().ok()?) };
        if total.is_some_and(|total| last >= total) {
            return None;
        }
        Some(Self { range: ByteRange { start, length }, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, length: u64) -> ByteRange {
        ByteRange { start, length: NonZeroU64::new(length).unwrap() }
    }

    #[test]
    fn a_range_is_sent_with_its_last_byte() {
        assert_eq!(range(0, 1).header(), "bytes=0-0");
        assert_eq!(range(16384, 16384).header(), "bytes=16384-32767");
        assert_eq!(range(u64::MAX, u64::MAX).header(), format!("bytes={0}-{0}", u64::MAX));
    }

    #[test]
    fn content_ranges_are_read_or_ignored() {
        let read = ContentRange::parse;
        assert_eq!(read("bytes 0-0/1"), Some(ContentRange { range: range(0, 1), total: Some(1) }));
        assert_eq!(read("bytes 16384-32767/*"), Some(ContentRange { range: range(16384, 16384), total: None }));
        for nonsense in [
            "",
            "bytes */100",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "bytes 0-1",
            "items 0-1/2",
            "bytes 0-18446744073709551615/*",
            "bytes -1-2/3",
        ] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }
}
