//! What programs are told of torrents on their way, a line of JSON for each step. Keys may be added, never renamed.

use rustor_tokio::core::{
    metainfo::Info,
    status::{TorrentState, TorrentStatus},
};
use serde_json::{Value, json};

/// That a step was taken, with what more there is to say of it.
pub(crate) fn step(event: &str, name: &str, info_hash: &str, more: Value) -> Value {
    let mut step = json!({ "event": event, "name": name, "info_hash": info_hash });
    if let (Value::Object(step), Value::Object(more)) = (&mut step, more) {
        step.extend(more);
    }
    step
}

/// That something went wrong for good.
pub(crate) fn failed(message: &str) -> Value {
    json!({ "event": "failed", "message": message })
}

/// What a magnet link has turned out to be.
pub(crate) fn metadata(info: &Info) -> Value {
    json!({
        "total": info.total_length(),
        "files": info.files().iter().filter(|file| !file.is_padding()).count(),
        "private": info.is_private(),
    })
}

/// How far a torrent is.
pub(crate) fn progress(status: &TorrentStatus) -> Value {
    let state = match status.state {
        TorrentState::FetchingMetadata => "fetching metadata",
        TorrentState::Checking => "checking",
        TorrentState::Downloading => "downloading",
        TorrentState::Seeding => "seeding",
        TorrentState::Paused => "paused",
        TorrentState::Failed => "failed",
        TorrentState::Stopping => "stopping",
    };
    json!({
        "event": "progress",
        "name": status.name,
        "info_hash": status.info_hash.to_string(),
        "state": state,
        "verified": status.verified,
        "total": status.total,
        "wanted": status.wanted,
        "wanted_verified": status.wanted_verified,
        "downloaded": status.downloaded,
        "uploaded": status.uploaded,
        "download_rate": status.download_rate,
        "upload_rate": status.upload_rate,
        "peers": status.peers,
    })
}
