//! The tracker's HTTP side: targets of GET requests in, bodies out (BEP 3, 7, 23, 24, 48).

use super::{super::http::event_name, *};
use crate::{
    bencode::{self, DictionaryEncoder},
    tracker::{
        compact,
        query::{parameters, percent_decode},
    },
};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use sha1::{Digest, Sha1};

/// An answer to an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpReply {
    /// The HTTP status.
    pub status: u16,
    /// What the body is, for the header of that name.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl TrackerServer {
    /// Answers a GET of `target`, the path and query of a request, made from `remote`.
    ///
    /// Serves `/announce`, `/scrape` and, for people, `/stats`. Requests that make no sense get a failure reason, as clients expect,
    /// with status 200.
    pub fn handle_http(&mut self, now: Instant, remote: IpAddr, target: &str) -> HttpReply {
        let target = target.split('#').next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match path {
            "/announce" => bencoded(self.announce_http(now, remote, query)),
            "/scrape" => bencoded(self.scrape_http(query)),
            "/stats" => self.stats_http(now),
            _ => {
                HttpReply { status: 404, content_type: TEXT, body: b"This is a BitTorrent tracker: /announce, /scrape, /stats\n".to_vec() }
            }
        }
    }

    fn announce_http(&mut self, now: Instant, remote: IpAddr, query: &str) -> Result<Vec<u8>, String> {
        let Query { request, form } = parse_announce(query)?;
        let response = self.announce(now, remote, &request, Families::Both).map_err(|refusal| refusal.to_string())?;
        Ok(encode_announce(&response, form))
    }

    fn scrape_http(&self, query: &str) -> Result<Vec<u8>, String> {
        let mut swarms = BTreeMap::new();
        let hashes = parameters(query).filter(|(name, _)| *name == "info_hash");
        let mut asked = 0;
        for (_, value) in hashes.take(self.config.max_scrape) {
            asked += 1;
            let info_hash = InfoHash(twenty_bytes("info_hash", value)?);
            if let Some(counts) = self.scrape(&info_hash) {
                swarms.insert(info_hash, counts);
            }
        }
        if asked == 0 {
            return Err("info_hash is missing: this tracker does not list all its torrents".into());
        }
        Ok(bencode::dictionary(|entries| {
            entries.key(b"files").dictionary(|files| {
                for (info_hash, counts) in &swarms {
                    files.key(info_hash.as_bytes()).dictionary(|entries| encode_counts(entries, counts));
                }
            });
        }))
    }

    fn stats_http(&mut self, now: Instant) -> HttpReply {
        self.expire(now);
        let TrackerServerTotals { torrents, peers } = self.totals();
        let body = format!("{{\"torrents\":{torrents},\"peers\":{peers}}}\n").into_bytes();
        HttpReply { status: 200, content_type: "application/json", body }
    }
}

/// An announce as it stands in a query.
struct Query {
    request: AnnounceRequest,
    form: Form,
}

/// How the asker wants peers listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Compact,
    Dictionaries { peer_ids: bool },
}

fn parse_announce(query: &str) -> Result<Query, String> {
    let (mut info_hash, mut peer_id, mut port) = (None, None, None);
    let (mut compact, mut peer_ids) = (true, true);
    let mut request = AnnounceRequest {
        info_hash: InfoHash([0; 20]),
        peer_id: [0; 20],
        port: 0,
        uploaded: 0,
        downloaded: 0,
        // Who does not say that nothing is missing is no seed.
        left: u64::MAX,
        event: AnnounceEvent::None,
        peers_wanted: None,
        key: None,
        tracker_id: None,
    };
    for (name, value) in parameters(query) {
        match name {
            "info_hash" => info_hash = Some(twenty_bytes(name, value)?),
            "peer_id" => peer_id = Some(twenty_bytes(name, value)?),
            "port" => port = Some(number::<u16>(name, value)?),
            "uploaded" => request.uploaded = number(name, value)?,
            "downloaded" => request.downloaded = number(name, value)?,
            // Some that do not know yet say -1.
            "left" => request.left = number::<i128>(name, value)?.try_into().unwrap_or(u64::MAX),
            "event" => request.event = event(value),
            // Negative numbers mean the default.
            "numwant" => request.peers_wanted = number::<i64>(name, value)?.try_into().ok(),
            "key" => request.key = percent_decode(value).filter(|key| !key.is_empty()).map(|key| key_of(&key)),
            "trackerid" => request.tracker_id = percent_decode(value).filter(|id| !id.is_empty()),
            "compact" => compact = value != "0",
            "no_peer_id" => peer_ids = value != "1",
            _ => {}
        }
    }
    request.info_hash = InfoHash(info_hash.ok_or("info_hash is missing")?);
    request.peer_id = peer_id.ok_or("peer_id is missing")?;
    request.port = port.ok_or("port is missing")?;
    let form = if compact { Form::Compact } else { Form::Dictionaries { peer_ids } };
    Ok(Query { request, form })
}

/// Unknown events count as none, as trackers do.
fn event(value: &str) -> AnnounceEvent {
    use AnnounceEvent::{Completed, None, Paused, Started, Stopped};
    [Started, Completed, Stopped, Paused].into_iter().find(|event| event_name(*event) == Some(value)).unwrap_or(None)
}

/// Most clients send their key as up to eight hexadecimal digits; any other string is hashed to 32 bits.
fn key_of(key: &[u8]) -> u32 {
    let hexadecimal = (key.len() <= 8).then(|| core::str::from_utf8(key).ok().and_then(|key| u32::from_str_radix(key, 16).ok()));
    hexadecimal.flatten().unwrap_or_else(|| {
        let [a, b, c, d, ..]: [u8; 20] = Sha1::digest(key).into();
        u32::from_be_bytes([a, b, c, d])
    })
}

fn twenty_bytes(name: &str, value: &str) -> Result<[u8; 20], String> {
    let bytes = percent_decode(value).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| format!("{name} is not 20 bytes, percent-encoded"))
}

fn number<T: core::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name} is not a number in its range"))
}

fn bencoded(result: Result<Vec<u8>, String>) -> HttpReply {
    let body = result.unwrap_or_else(|reason| bencode::dictionary(|entries| entries.key(b"failure reason").str(&reason)));
    HttpReply { status: 200, content_type: TEXT, body }
}

fn encode_announce(response: &AnnounceResponse, form: Form) -> Vec<u8> {
    bencode::dictionary(|entries| {
        encode_counts(entries, &response.counts);
        match response.external_ip {
            Some(IpAddr::V4(ip)) => entries.key(b"external ip").bytes(&ip.octets()),
            Some(IpAddr::V6(ip)) => entries.key(b"external ip").bytes(&ip.octets()),
            None => {}
        }
        for (key, interval) in [(&b"interval"[..], response.interval), (b"min interval", response.min_interval)] {
            if let Some(interval) = interval {
                entries.key(key).unsigned(interval.as_secs());
            }
        }
        match form {
            Form::Compact => {
                let packed = |v6| {
                    let mut out = Vec::new();
                    let peers = response.peers.iter().filter(|peer| peer.address.is_ipv6() == v6);
                    peers.for_each(|peer| compact::encode(&mut out, peer.address));
                    out
                };
                entries.key(b"peers").bytes(&packed(false));
                let v6 = packed(true);
                if !v6.is_empty() {
                    entries.key(b"peers6").bytes(&v6);
                }
            }
            Form::Dictionaries { peer_ids } => entries.key(b"peers").list(|peers| {
                for peer in &response.peers {
                    peers.item().dictionary(|entries| {
                        entries.key(b"ip").str(&peer.address.ip().to_string());
                        if let Some(id) = peer.peer_id.filter(|_| peer_ids) {
                            entries.key(b"peer id").bytes(&id);
                        }
                        entries.key(b"port").unsigned(peer.address.port().into());
                    });
                }
            }),
        }
    })
}

fn encode_counts(entries: &mut DictionaryEncoder<'_>, counts: &SwarmCounts) {
    let SwarmCounts { complete, incomplete, downloaded, downloaders } = *counts;
    let counts: [(&[u8], _); 4] =
        [(b"complete", complete), (b"downloaded", downloaded), (b"downloaders", downloaders), (b"incomplete", incomplete)];
    for (key, count) in counts {
        if let Some(count) = count {
            entries.key(key).unsigned(count.into());
        }
    }
}

/// Trackers have always called their answers plain text.
const TEXT: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests;
