use std::{fs, path::PathBuf, time::Duration};

use clap::Args;
use rustor_tokio::core::{
    engine::Engine,
    event::Event,
    record::{Replay as Recording, ReplayError, Told, Transcript},
    time::Instant,
};
use serde_json::json;

use crate::{
    failure::{Exit, Failure},
    output::{Bytes, Count, Output, Rate, Span, percent, safe},
};

/// Run a recorded session again, and explain any moment of it.
///
/// The engine does again exactly what it did: a difference is an error. 'download --record' and 'seed --record' make recordings.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Stop so many seconds after the beginning, and explain how things stand there [default: the end]
    #[arg(long, value_name = "SECONDS")]
    at: Option<f64>,
    /// Show what happened on the way
    #[arg(long)]
    events: bool,
    /// Write JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Replay {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let name = safe(&self.file.to_string_lossy()).into_owned();
        let about = |error: &dyn std::fmt::Display| Failure::about(&name, error);
        let recording = fs::read(&self.file).map_err(|error| about(&error))?;
        let recording = Recording::new(recording.into()).map_err(|error| about(&error))?;
        let until = match self.at {
            Some(seconds) => {
                let after = Duration::try_from_secs_f64(seconds).map_err(|_| about(&"--at takes seconds from 0 on"))?;
                recording.start() + after
            }
            None => Instant::MAX,
        };
        let start = recording.start();
        let mut transcript = Transcript::new(recording.seed(), recording.config(), start);
        let mut engine = recording.engine();
        let (mut now, mut checkpoints, mut cut_short) = (start, 0, false);
        for entry in recording {
            let entry = match entry {
                Ok(entry) => entry,
                // Whoever wrote it was killed: all before is sound.
                Err(ReplayError::Truncated) => {
                    cut_short = true;
                    break;
                }
                Err(error) => return Err(about(&error)),
            };
            if entry.drained {
                self.drain(output, start, now, &mut engine, &mut transcript)?;
            }
            if entry.now > until {
                break;
            }
            now = entry.now;
            match entry.what {
                Told::Input(input) => {
                    transcript.input(now, &input);
                    engine.handle(now, input);
                }
                Told::Command(command) => {
                    transcript.command(now, &command);
                    let _ = engine.command(now, command);
                }
                Told::Checkpoint(hash) if hash != transcript.hash() => {
                    return Err(about(&ReplayError::Diverged { entries: transcript.entries() }));
                }
                Told::Checkpoint(_) => checkpoints += 1,
            }
        }
        self.drain(output, start, now, &mut engine, &mut transcript)?;
        if cut_short {
            output.note("the recording is cut short; this is how far it goes");
        }
        self.explain(output, &engine, &Summary { passed: now.since(start), checkpoints, transcript })?;
        Ok(Exit::Done)
    }

    fn drain(
        &self,
        output: &Output,
        start: Instant,
        now: Instant,
        engine: &mut Engine,
        transcript: &mut Transcript,
    ) -> Result<(), Failure> {
        while let Some(action) = engine.poll_action() {
            transcript.action(now, &action);
        }
        while let Some(event) = engine.poll_event() {
            transcript.event(now, &event);
            if self.events && !matches!(event, Event::PieceVerified { .. }) {
                let (at, event) = (seconds(now.since(start)), format!("{event:?}"));
                match self.json {
                    true => output.result(json!({ "at": at, "event": event }))?,
                    false => output.result(format_args!("{at:>12.6} s  {}", safe(&event)))?,
                }
            }
        }
        Ok(())
    }

    fn explain(&self, output: &Output, engine: &Engine, summary: &Summary) -> Result<(), Failure> {
        let Summary { passed, checkpoints, transcript } = summary;
        if self.json {
            let torrents: Vec<_> = engine.torrents().iter().map(|status| torrent_to_json(engine, status.torrent)).collect();
            return output.result(json!({
                "at": seconds(*passed),
                "entries": transcript.entries(),
                "hash": transcript.to_string(),
                "checkpoints": checkpoints,
                "torrents": torrents,
            }));
        }
        for status in engine.torrents() {
            let Some(why) = engine.explain(status.torrent) else { continue };
            let done = percent(status.verified, status.total);
            output.result(format_args!("{}: {done}% of {}", safe(&status.name), Bytes(status.total)))?;
            for reason in why.torrent {
                output.result(format_args!("  {reason}"))?;
            }
            for (peer, status) in why.peers.iter().zip(engine.peers(status.torrent)) {
                let (down, up) = (Rate(status.download_rate), Rate(status.upload_rate));
                output.result(format_args!("  {}: {}, {down}; {}, {up}", peer.remote, peer.download, peer.upload))?;
            }
        }
        let (entries, checked) = (Count(transcript.entries()), Count(*checkpoints));
        output.result(format_args!("{} replayed: {entries} entries, {checked} checkpoints agree, hash {transcript}", Span(*passed)))
    }
}

/// What came of a replay.
struct Summary {
    passed: Duration,
    checkpoints: u64,
    transcript: Transcript,
}

fn torrent_to_json(engine: &Engine, torrent: rustor_tokio::core::id::TorrentId) -> serde_json::Value {
    let (Some(status), Some(why)) = (engine.torrent(torrent), engine.explain(torrent)) else { return json!(null) };
    let peers = why
        .peers
        .iter()
        .map(|peer| json!({ "peer": peer.remote.to_string(), "download": peer.download.to_string(), "upload": peer.upload.to_string() }));
    json!({
        "name": status.name,
        "info_hash": status.info_hash.to_string(),
        "verified": status.verified,
        "total": status.total,
        "why": why.torrent.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "peers": peers.collect::<Vec<_>>(),
    })
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
