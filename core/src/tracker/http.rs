//! The client's side of HTTP trackers: requests as URLs, answers out of bodies (BEP 3, 7, 23, 24, 31, 48).

use super::{
    AnnounceEvent, AnnounceRequest, AnnounceResponse, GarbledResponse, Retry, ScrapeResponse, SwarmCounts, TrackerFailure, TrackerPeer,
    compact, query::percent_encode,
};
use crate::{
    bencode::{Dictionary, Kind, Value, decode_lenient},
    metainfo::InfoHash,
    time::Duration,
};
use alloc::{string::String, vec::Vec};
use core::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Of these, each answer to an announce has some.
const ANNOUNCE_KEYS: [&[u8]; 9] =
    [b"interval", b"min interval", b"peers", b"peers6", b"complete", b"incomplete", b"warning message", b"tracker id", b"external ip"];

/// The URL whose GET makes `request` to the tracker at `tracker`. A query that the tracker's URL has (a passkey, say) is kept.
pub fn announce_url(tracker: &str, request: &AnnounceRequest) -> String {
    let mut url = with_query(tracker);
    let mut hash = |name, bytes| {
        url.push_str(name);
        percent_encode(&mut url, bytes);
    };
    hash("info_hash=", request.info_hash.as_bytes());
    hash("&peer_id=", &request.peer_id);
    let AnnounceRequest { port, uploaded, downloaded, left, .. } = request;
    // Writing to a string cannot fail.
    let _ = write!(url, "&port={port}&uploaded={uploaded}&downloaded={downloaded}&left={left}&compact=1");
    if let Some(peers_wanted) = request.peers_wanted {
        let _ = write!(url, "&numwant={peers_wanted}");
    }
    if let Some(key) = request.key {
        let _ = write!(url, "&key={key:08X}");
    }
    if let Some(event) = event_name(request.event) {
        let _ = write!(url, "&event={event}");
    }
    if let Some(tracker_id) = &request.tracker_id {
        url.push_str("&trackerid=");
        percent_encode(&mut url, tracker_id);
    }
    url
}

/// The URL whose GET asks the tracker at `tracker` about several torrents; `None` if it does not support scrapes (BEP 48).
pub fn scrape_url(tracker: &str, info_hashes: &[InfoHash]) -> Option<String> {
    let authority = tracker.find("://")? + 3;
    let end = tracker.find(['?', '#']).unwrap_or(tracker.len());
    let (path_start, path) = (authority + tracker.get(authority..end)?.find('/')?, tracker.get(..end)?);
    let file = path.rfind('/').filter(|slash| *slash >= path_start)? + 1;
    let suffix = tracker.get(file..)?.strip_prefix("announce")?;
    let mut scrape = String::from(tracker.get(..file)?);
    scrape.push_str("scrape");
    scrape.push_str(suffix);
    let mut url = with_query(&scrape);
    for (number, info_hash) in info_hashes.iter().enumerate() {
        url.push_str(if number == 0 { "info_hash=" } else { "&info_hash=" });
        percent_encode(&mut url, info_hash.as_bytes());
    }
    Some(url)
}

/// What a tracker's answer to an announce means: its HTTP status and its body, decompressed. Peers beyond `max_peers` are dropped.
///
/// Lenient in what real trackers get wrong; a bad list of peers is an error all the same.
pub fn decode_announce(status: u16, body: &[u8], max_peers: usize) -> Result<AnnounceResponse, TrackerFailure> {
    let entries = decode_dictionary(status, body)?;
    let get = |key: &[u8]| entries.get(key);
    let bytes = |key: &[u8]| entries.get(key).and_then(|value| value.as_bytes());
    // Some say nothing at all to who leaves.
    if !entries.is_empty() && !ANNOUNCE_KEYS.iter().any(|key| get(key).is_some()) {
        return Err(TrackerFailure::Garbled(GarbledResponse::NoAnnounce));
    }
    let mut response = AnnounceResponse {
        interval: get(b"interval").and_then(seconds),
        min_interval: get(b"min interval").and_then(seconds),
        tracker_id: bytes(b"tracker id").filter(|id| id.len() <= MAX_TRACKER_ID).map(<[u8]>::to_vec),
        peers: Vec::new(),
        counts: counts(entries),
        external_ip: bytes(b"external ip").and_then(packed_ip),
        warning: bytes(b"warning message").map(readable),
    };
    if let Some(peers) = get(b"peers") {
        decode_peers(peers, &mut response.peers, max_peers).map_err(TrackerFailure::Garbled)?;
    }
    if let Some(peers) = get(b"peers6") {
        let bytes = peers.as_bytes().ok_or(TrackerFailure::Garbled(GarbledResponse::Value("peers6")))?;
        compact::decode_v6(bytes, &mut response.peers, max_peers).map_err(TrackerFailure::Garbled)?;
    }
    Ok(response)
}

/// What a tracker's answer to a scrape means: its HTTP status and its body, decompressed. Swarms beyond `max_swarms` are dropped.
pub fn decode_scrape(status: u16, body: &[u8], max_swarms: usize) -> Result<ScrapeResponse, TrackerFailure> {
    let entries = decode_dictionary(status, body)?;
    let files = entries.get(b"files").and_then(|files| files.as_dictionary());
    let Some(files) = files else { return Err(TrackerFailure::Garbled(GarbledResponse::Value("files"))) };
    let flags = entries.get(b"flags");
    let mut response =
        ScrapeResponse { swarms: Vec::new(), min_interval: flags.and_then(|flags| flags.get(b"min_request_interval")).and_then(seconds) };
    for (key, value) in files {
        let (Ok(hash), Some(swarm)) = (<[u8; 20]>::try_from(key), value.as_dictionary()) else { continue };
        if response.swarms.len() == max_swarms {
            break;
        }
        response.swarms.push((InfoHash(hash), counts(swarm)));
    }
    Ok(response)
}

/// `event` as HTTP trackers know it.
pub(super) fn event_name(event: AnnounceEvent) -> Option<&'static str> {
    match event {
        AnnounceEvent::None => None,
        AnnounceEvent::Started => Some("started"),
        AnnounceEvent::Completed => Some("completed"),
        AnnounceEvent::Stopped => Some("stopped"),
        AnnounceEvent::Paused => Some("paused"),
    }
}

/// A tracker's words, fit to be printed: of bounded length, without control characters that a terminal would obey.
pub(super) fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..MAX_TEXT).unwrap_or(bytes));
    let text: String = text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    String::from(text.trim())
}

/// `url` without its fragment, ready to have parameters appended.
fn with_query(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let mut out = String::with_capacity(url.len() + 256);
    out.push_str(url);
    match url.split_once('?') {
        None => out.push('?'),
        Some((_, query)) if query.is_empty() || query.ends_with('&') => {}
        Some(_) => out.push('&'),
    }
    out
}

fn decode_dictionary(status: u16, body: &[u8]) -> Result<Dictionary<'_>, TrackerFailure> {
    // Some trackers answer 400 or 404 with a failure reason in the body, so that is looked at first.
    let garbled = match decode_lenient(body) {
        Ok(value) => match value.as_dictionary() {
            Some(entries) => match refusal(entries) {
                Some(refusal) => return Err(refusal),
                None if (200..300).contains(&status) => return Ok(entries),
                None => return Err(TrackerFailure::Status(status)),
            },
            None => GarbledResponse::NotDictionary,
        },
        Err(_) if body.is_empty() => GarbledResponse::Empty,
        Err(_) if is_web_page(body) => GarbledResponse::WebPage,
        Err(_) => GarbledResponse::NotBencode,
    };
    Err(if (200..300).contains(&status) { TrackerFailure::Garbled(garbled) } else { TrackerFailure::Status(status) })
}

fn refusal(entries: Dictionary<'_>) -> Option<TrackerFailure> {
    let reason = entries.get(b"failure reason")?.as_bytes().map(readable).unwrap_or_default();
    let retry = match entries.get(b"retry in") {
        Some(retry) if retry.as_bytes() == Some(b"never") => Retry::Never,
        // In minutes, as a number; some write it as a string.
        Some(retry) => {
            let minutes = retry.as_unsigned().or_else(|| retry.as_str()?.parse().ok());
            minutes.map_or(Retry::Unstated, |minutes| Retry::After(Duration::from_secs(minutes.saturating_mul(60))))
        }
        None => Retry::Unstated,
    };
    Some(TrackerFailure::Refused { reason, retry })
}

fn decode_peers(value: Value<'_>, peers: &mut Vec<TrackerPeer>, max_peers: usize) -> Result<(), GarbledResponse> {
    match value.kind() {
        Kind::Bytes => compact::decode_v4(value.as_bytes().unwrap_or_default(), peers, max_peers),
        Kind::List => {
            let found = value.as_list().unwrap_or_default().iter().filter_map(|entry| dictionary_peer(entry.as_dictionary()?));
            let room = max_peers.saturating_sub(peers.len());
            peers.extend(found.take(room));
            Ok(())
        }
        _ => Err(GarbledResponse::Value("peers")),
    }
}

/// A peer in the older form. Names instead of addresses are skipped: whoever resolves them for a tracker can be made to attack others.
fn dictionary_peer(entry: Dictionary<'_>) -> Option<TrackerPeer> {
    let ip: IpAddr = entry.get(b"ip")?.as_str()?.parse().ok()?;
    let port = u16::try_from(entry.get(b"port")?.as_unsigned()?).ok()?;
    let peer_id = entry.get(b"peer id").and_then(|id| id.as_bytes()?.try_into().ok());
    Some(TrackerPeer { peer_id, ..compact::peer_at(ip.to_canonical(), port)? })
}

fn counts(entries: Dictionary<'_>) -> SwarmCounts {
    let count = |key: &[u8]| entries.get(key)?.as_unsigned().map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    SwarmCounts {
        complete: count(b"complete"),
        incomplete: count(b"incomplete"),
        downloaded: count(b"downloaded"),
        downloaders: count(b"downloaders"),
    }
}

/// A negative number of seconds is none.
fn seconds(value: Value<'_>) -> Option<Duration> {
    let seconds = value.as_integer().or_else(|| value.as_str()?.parse().ok())?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn packed_ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::from(Ipv4Addr::from(bytes)));
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| Ipv6Addr::from(bytes).to_canonical())).ok()
}

fn is_web_page(body: &[u8]) -> bool {
    let start = body.iter().position(|byte| *byte == b'<').and_then(|start| body.get(start..)).unwrap_or_default();
    let leading_space = body.len() - start.len();
    let opens = |tag: &[u8]| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    // A byte order mark or white space may come first.
    leading_space <= 16 && [&b"<!doctype"[..], b"<html", b"<head", b"<body", b"<?xml", b"<!--", b"<script"].iter().any(|tag| opens(tag))
}

/// Longer tracker ids than this many bytes are ignored.
const MAX_TRACKER_ID: usize = 512;
/// Of longer texts than this many bytes the rest is dropped.
const MAX_TEXT: usize = 500;

#[cfg(test)]
mod tests;
