use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use rustor_tokio::core::{
    engine::{Engine, Explanation, PeerExplanation, PieceExplanation, PieceState, UploadReason},
    event::Event,
    record::{Replay as Recording, ReplayError, Rerun},
    status::{PeerStatus, TorrentStatus},
    time::Instant,
    torrent::{choker::Stance, picker::Priority},
};
use serde_json::{Value, json};

use crate::{
    failure::{Exit, Failure},
    output::{Bytes, Count, Output, Rate, Span, percent, plural, safe},
};

/// Run a recorded session again, and explain any moment of it: why this peer is choked, why this piece, why nothing happens.
///
/// The engine does again exactly what it did: a difference is an error. 'download --record' and 'seed --record' make recordings, and so
/// does 'sim run --record'.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Stop so long after the beginning, such as 12.5s or 3m, and explain how things stand there [default: the end]
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    at: Option<Duration>,
    /// Explain more of this peer: its address and port, or its address alone
    #[arg(long, value_name = "ADDR")]
    peer: Option<String>,
    /// Explain this piece: its number, from 0
    #[arg(long, value_name = "NUMBER")]
    piece: Option<u32>,
    /// Show what happened on the way
    #[arg(long)]
    events: bool,
    /// Write JSON, for programs
    #[arg(long)]
    json: bool,
}

/// A time as [`Replay::at`] takes it: seconds, with or without their unit, or whole days, hours, minutes and seconds.
fn parse_moment(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().trim_end_matches('s').trim();
    match seconds.parse().map(Duration::try_from_secs_f64) {
        Ok(Ok(moment)) => Ok(moment),
        Ok(Err(_)) => Err("a moment is from 0 s on, and not too far away".to_owned()),
        Err(_) => crate::output::parse_span(text).map_err(|_| "expected a time such as 12.5s, 90 or 1h30m".to_owned()),
    }
}

impl Replay {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let name = safe(&self.file.to_string_lossy()).into_owned();
        let about = |error: &dyn std::fmt::Display| Failure::about(&name, error);
        let recording = fs::read(&self.file).map_err(|error| about(&error))?;
        let mut rerun = Recording::new(recording.into()).map_err(|error| about(&error))?.rerun();
        let start = rerun.start();
        let until = self.at.map_or(Instant::MAX, |after| start + after);
        let mut told = Ok(());
        let reached = rerun.advance(until, |now, event| {
            if self.events && told.is_ok() && !matches!(event, Event::PieceVerified { .. }) {
                told = self.tell_event(now.since(start), event, output);
            }
        });
        told?;
        match reached {
            // Whoever wrote it was killed: all before is sound.
            Err(ReplayError::Truncated) => output.note("the recording is cut short; this is how far it goes"),
            Err(error) => return Err(about(&error)),
            Ok(_) => {}
        }
        if self.json {
            output.result(self.to_json(&rerun))?
        } else {
            self.tell(&rerun, output)?
        }
        Ok(Exit::Done)
    }

    fn tell_event(&self, at: Duration, event: &Event, output: &Output) -> Result<(), Failure> {
        let (at, event) = (at.as_secs_f64(), format!("{event:?}"));
        match self.json {
            true => output.result(json!({ "at": at, "event": event })),
            false => output.result(format_args!("{at:>12.6} s  {}", safe(&event))),
        }
    }

    fn is_meant(&self, remote: SocketAddr) -> bool {
        let meant = |peer: &String| *peer == remote.to_string() || *peer == remote.ip().to_string();
        self.peer.as_ref().is_some_and(meant)
    }

    // For people

    fn tell(&self, rerun: &Rerun, output: &Output) -> Result<(), Failure> {
        let engine = rerun.engine();
        let mut found = self.peer.is_none();
        for status in engine.torrents() {
            let Some(why) = engine.explain(status.torrent) else { continue };
            tell_torrent(&status, &why, output)?;
            let peers = engine.peers(status.torrent);
            for (peer, status) in why.peers.iter().zip(&peers) {
                if self.is_meant(peer.remote) {
                    found = true;
                    tell_peer(peer, status, &why, output)?;
                } else if self.peer.is_none() && self.piece.is_none() {
                    let (down, up) = (Rate(status.download_rate), Rate(status.upload_rate));
                    output.result(format_args!("  {}: {}, {down}; {}, {up}", peer.remote, peer.download, peer.upload))?;
                }
            }
            match self.piece.map(|piece| (piece, engine.explain_piece(status.torrent, piece))) {
                Some((_, Some(why))) => tell_piece(&why, peers.len(), output)?,
                Some((piece, None)) => output.result(format_args!("  piece {piece}: it has none of that number"))?,
                None => {}
            }
        }
        if let Some(peer) = self.peer.as_ref().filter(|_| !found) {
            output.result(format_args!("{}: not connected at that time", safe(peer)))?;
        }
        let now = rerun.now();
        if let Some(deadline) = engine.next_deadline() {
            output.result(format_args!("unless something happens, it acts next in {:.1} s", deadline.since(now).as_secs_f64()))?;
        }
        if let Some(next) = rerun.next_at() {
            output.result(format_args!("the next that happens is in {:.6} s", next.since(now).as_secs_f64()))?;
        }
        let transcript = rerun.transcript();
        let (entries, checkpoints) = (Count(transcript.entries()), Count(rerun.checkpoints()));
        let passed = Span(now.since(rerun.start()));
        output.result(format_args!("{passed} replayed: {entries} entries, {checkpoints} checkpoints agree, hash {transcript}"))
    }

    // For programs

    fn to_json(&self, rerun: &Rerun) -> Value {
        let engine = rerun.engine();
        let seconds_to = |at: Instant| at.since(rerun.now()).as_secs_f64();
        let torrents: Vec<_> = engine.torrents().iter().filter_map(|status| self.torrent_to_json(engine, status)).collect();
        json!({
            "at": rerun.now().since(rerun.start()).as_secs_f64(),
            "next_deadline": engine.next_deadline().map(seconds_to),
            "next_told": rerun.next_at().map(seconds_to),
            "entries": rerun.transcript().entries(),
            "hash": rerun.transcript().to_string(),
            "checkpoints": rerun.checkpoints(),
            "torrents": torrents,
        })
    }

    fn torrent_to_json(&self, engine: &Engine, status: &TorrentStatus) -> Option<Value> {
        let why = engine.explain(status.torrent)?;
        let statuses = engine.peers(status.torrent);
        let peers = why.peers.iter().zip(&statuses).filter(|(peer, _)| self.peer.is_none() || self.is_meant(peer.remote));
        let peers: Vec<_> = peers.map(|(peer, status)| peer_to_json(peer, status)).collect();
        let piece = self.piece.and_then(|piece| engine.explain_piece(status.torrent, piece));
        Some(json!({
            "name": status.name,
            "info_hash": status.info_hash.to_string(),
            "verified": status.verified,
            "total": status.total,
            "why": why.torrent.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "next_choke_round": why.next_choke_round.map(|wait| wait.as_secs_f64()),
            "peers": peers,
            "piece": piece.as_ref().map(piece_to_json),
        }))
    }
}

fn tell_torrent(status: &TorrentStatus, why: &Explanation, output: &Output) -> Result<(), Failure> {
    let done = percent(status.verified, status.total);
    output.result(format_args!("{}: {done}% of {}", safe(&status.name), Bytes(status.total)))?;
    why.torrent.iter().try_for_each(|reason| output.result(format_args!("  {reason}")))
}

fn tell_peer(peer: &PeerExplanation, status: &PeerStatus, why: &Explanation, output: &Output) -> Result<(), Failure> {
    let (down, up) = (Rate(status.download_rate), Rate(status.upload_rate));
    let client = status.client.as_deref().unwrap_or("an unknown client");
    let (has, interesting) = (Count(status.pieces.into()), Count(peer.interesting.into()));
    output.result(format_args!("  {}: {}", peer.remote, safe(client)))?;
    output.result(format_args!("    has {has} piece{}, {interesting} of which we want", plural(status.pieces.into())))?;
    output.result(format_args!("    from it: {}; {} so far, {down}", peer.download, Bytes(status.downloaded)))?;
    if !peer.owes.is_empty() {
        let owes = peer.owes.iter().map(|(piece, blocks)| format!("{blocks} of piece {piece}"));
        output.result(format_args!("      blocks: {}", owes.collect::<Vec<_>>().join(", ")))?;
    }
    output.result(format_args!("    to it: {}; {} so far, {up}", peer.upload, Bytes(status.uploaded)))?;
    if matches!(peer.upload, UploadReason::NoSlot { .. } | UploadReason::GivesNothing | UploadReason::Snubs) {
        output.result(format_args!("      slots: {}; it: {}", slots_go(why.stance), merit(why.stance, peer.merit)))?;
        for other in &why.peers {
            if matches!(other.upload, UploadReason::HasSlot | UploadReason::Optimistic) {
                let trial = if other.upload == UploadReason::Optimistic { ", on trial" } else { "" };
                output.result(format_args!("      a slot has {}: {}{trial}", other.remote, merit(why.stance, other.merit)))?;
            }
        }
    }
    if let Some(wait) = why.next_choke_round {
        output.result(format_args!("    slots are given anew in {:.1} s", wait.as_secs_f64()))?;
    }
    Ok(())
}

/// What slots are given for.
fn slots_go(stance: Stance) -> &'static str {
    match stance {
        Stance::Leeching => "to those that send us most, the last one round all",
        Stance::Seeding => "round, first among those that gave us something before we had finished",
        Stance::First => "to those that pass on what nobody else has, the last one round all",
    }
}

/// What a peer did for a slot.
fn merit(stance: Stance, merit: u64) -> String {
    match stance {
        Stance::Leeching => format!("sent {} in the last two rounds", Bytes(merit)),
        Stance::Seeding => format!("gave {} in all", Bytes(merit)),
        Stance::First => format!("passed on {merit} piece{} in the last two rounds", plural(merit)),
    }
}

fn tell_piece(why: &PieceExplanation, peers: usize, output: &Output) -> Result<(), Failure> {
    output.result(format_args!("  piece {}: {}", why.piece, why.state))?;
    if why.state == PieceState::Verified {
        return Ok(());
    }
    let (with, rarest) = (why.rarest.availability, Count(why.rarest.pieces.into()));
    output
        .result(format_args!("    held by {} of {peers} connected; the rarest are held by {with} ({rarest} of them)", why.availability))?;
    let priority = match why.priority {
        Priority::High => "before all others, as its owner wants; ",
        Priority::Low => "after all others, as its owner wants; ",
        Priority::Normal | Priority::Skip => "",
    };
    output.result(format_args!("    {priority}{}", why.order))?;
    why.asked.iter().try_for_each(|(remote, blocks)| output.result(format_args!("    {remote} owes us {blocks} of its blocks")))
}

fn peer_to_json(peer: &PeerExplanation, status: &PeerStatus) -> Value {
    json!({
        "peer": peer.remote.to_string(),
        "client": status.client,
        "download": peer.download.to_string(),
        "upload": peer.upload.to_string(),
        "pieces": status.pieces,
        "interesting": peer.interesting,
        "owes": peer.owes.iter().map(|(piece, blocks)| json!({ "piece": piece, "blocks": blocks })).collect::<Vec<_>>(),
        "downloaded": status.downloaded,
        "uploaded": status.uploaded,
        "download_rate": status.download_rate,
        "upload_rate": status.upload_rate,
    })
}

fn piece_to_json(why: &PieceExplanation) -> Value {
    json!({
        "piece": why.piece,
        "state": why.state.to_string(),
        "order": why.order.to_string(),
        "priority": format!("{:?}", why.priority).to_lowercase(),
        "availability": why.availability,
        "rarest": { "availability": why.rarest.availability, "pieces": why.rarest.pieces },
        "asked": why.asked.iter().map(|(remote, blocks)| json!({ "peer": remote.to_string(), "blocks": blocks })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_seconds_or_spans() {
        let millis = |text: &str| parse_moment(text).map(|moment| moment.as_millis());
        for (text, expected) in [("12.5s", 12_500), ("0", 0), ("90", 90_000), ("0.25", 250), ("1h30m", 5_400_000), ("3m", 180_000)] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
        for wrong in ["-1", "soon", "", "1e300", "nan"] {
            assert!(millis(wrong).is_err(), "{wrong}");
        }
    }
}
