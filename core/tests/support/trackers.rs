use bytes::Bytes;
use rustor_core::{id::HttpId, input::HttpReply};
use std::net::SocketAddr;

/// An announce that a tracker has not answered yet.
#[derive(Clone, Debug)]
pub struct Announce {
    pub request: HttpId,
    pub url: String,
}

impl Announce {
    pub(super) fn new(request: HttpId, url: String) -> Announce {
        Announce { request, url }
    }

    /// A parameter of the query, as it stands there.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.url.split_once('?')?;
        query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
    }

    pub fn event(&self) -> Option<&str> {
        self.parameter("event")
    }

    pub fn number(&self, name: &str) -> u64 {
        self.parameter(name).and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no number {name} in {}", self.url))
    }
}

/// An answer with a compact list of IPv4 peers (BEP 23).
pub(super) fn response(interval: u32, peers: &[&str]) -> Bytes {
    let mut compact = Vec::new();
    for peer in peers {
        let SocketAddr::V4(address) = peer.parse().expect("an address") else { panic!("an IPv4 address") };
        compact.extend(address.ip().octets());
        compact.extend(address.port().to_be_bytes());
    }
    let mut body = format!("d8:intervali{interval}e5:peers{}:", compact.len()).into_bytes();
    body.extend(compact);
    body.push(b'e');
    body.into()
}

pub(super) fn reply(body: Bytes) -> HttpReply {
    HttpReply { status: 200, body }
}
