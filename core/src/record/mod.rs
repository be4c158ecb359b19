//! Recordings: all that an engine was told, in a stable binary form, so that anyone can replay it exactly; and transcripts, hashes
//! over all that was said.
//!
//! The engine never looks into a block, nor into what a web seed sends of a file, so a recording leaves these bytes out and a replay puts
//! zeros in their place: it stays small, and tells what was transferred, but not its content. It is not anonymous: the addresses of peers, the torrents' names, trackers'
//! answers and local paths stand in it.
//!
//! ```
//! use rustor_core::{config::Config, engine::Engine, input::Input, record::{Recorder, Replay}, rng::Seed, time::Instant};
//!
//! let (seed, config, start) = (Seed::from_u64(1), Config::default(), Instant::ZERO);
//! let mut file = Vec::new();
//! let mut recorder = Recorder::new(seed, &config, start, &mut file);
//! let mut engine = Engine::new(config, seed, start);
//!
//! // The host's loop: before the engine gets an input, the recorder does.
//! let (now, input) = (Instant::from_micros(5), Input::Timeout);
//! recorder.input(now, &input, &mut file);
//! engine.handle(now, input);
//! while let Some(action) = engine.poll_action() {
//!     recorder.action(&action);
//! }
//! recorder.drained();
//! recorder.checkpoint(&mut file);
//!
//! // Fails if the engine says anything else than it did.
//! Replay::new(file.into())?.transcript()?;
//! # Ok::<(), rustor_core::record::ReplayError>(())
//! ```

mod form;
mod mask;
mod replay;
mod rerun;
mod stream;
#[cfg(test)]
mod tests;
mod transcript;
mod vocabulary;

pub use mask::AddressMask;
pub use replay::{Entry, Replay, ReplayError, Told};
pub use rerun::Rerun;
pub use transcript::Transcript;

use crate::{action::Action, command::Command, config::Config, event::Event, input::Input, rng::Seed, time::Instant};
use alloc::vec::Vec;
use form::{Form, Writer};
use stream::{Direction, Framing, Streams};

/// What a recording begins with.
const MAGIC: &[u8; 8] = b"RusTor\x0d\x0a";

/// Raised whenever an older recording would be read differently: a field more in [`Config`] is enough. Numbers of new variants
/// are not.
const VERSION: u64 = 2;

/// Writes down what an engine is told. Whoever holds it appends what it writes to a file or a buffer.
#[derive(Clone, Debug)]
pub struct Recorder {
    scribe: Scribe,
    drained: bool,
    /// What was said so far: checkpoints tell it.
    transcript: Transcript,
}

impl Recorder {
    /// Begins the recording of an engine made with these arguments: appends its beginning to `out`.
    ///
    /// A recording is of one engine, from its first input on.
    pub fn new(seed: Seed, config: &Config, start: Instant, out: &mut Vec<u8>) -> Recorder {
        out.extend_from_slice(MAGIC);
        let mut scribe = Scribe::default();
        scribe.beginning(seed, config, start, out);
        Recorder { scribe, drained: false, transcript: Transcript::new(seed, config, start) }
    }

    /// Appends an input to `out`.
    pub fn input(&mut self, now: Instant, input: &Input, out: &mut Vec<u8>) {
        let kind = Kind::Input as u8 | self.take_drained();
        self.scribe.input(kind, now, input, out);
        self.transcript.input(now, input);
    }

    /// Appends a command to `out`.
    pub fn command(&mut self, now: Instant, command: &Command, out: &mut Vec<u8>) {
        let kind = Kind::Command as u8 | self.take_drained();
        self.scribe.entry(kind, now, command, None, out);
        self.transcript.command(now, command);
    }

    /// Takes note of what the engine wants done. Nothing is written, but checkpoints tell it.
    pub fn action(&mut self, action: &Action) {
        self.transcript.action(self.scribe.last, action);
    }

    /// Takes note of what the engine tells. Nothing is written, but checkpoints tell it.
    pub fn event(&mut self, event: &Event) {
        self.transcript.event(self.scribe.last, event);
    }

    /// Appends the hash of all that was said so far to `out`: a replay that comes by here and has another one has gone another way.
    ///
    /// Only for hosts that take note of every action and event.
    pub fn checkpoint(&mut self, out: &mut Vec<u8>) {
        let kind = Kind::Checkpoint as u8 | self.take_drained();
        self.scribe.entry(kind, self.scribe.last, &self.transcript.hash(), None, out);
    }

    /// Notes that the host took all actions: [`Engine::poll_action`](crate::engine::Engine::poll_action) has said `None`.
    ///
    /// It matters because the engine decides as late as then what it says to its peers.
    pub fn drained(&mut self) {
        self.drained = true;
    }

    fn take_drained(&mut self) -> u8 {
        if core::mem::take(&mut self.drained) { DRAINED } else { 0 }
    }
}

/// What an entry is.
#[derive(Clone, Copy)]
enum Kind {
    Input = 0,
    Command = 1,
    Action = 2,
    Event = 3,
    Checkpoint = 4,
}

/// Added to the kind of an entry before which all actions were taken.
const DRAINED: u8 = 0x80;

/// Writes entries: their kind, the time since the entry before, and what was said.
#[derive(Clone, Debug, Default)]
struct Scribe {
    last: Instant,
    streams: Streams,
}

impl Scribe {
    fn beginning(&mut self, seed: Seed, config: &Config, start: Instant, out: &mut Vec<u8>) {
        self.last = start;
        let to = &mut Writer { bytes: out, framing: &mut Framing::Unknown };
        VERSION.put(to);
        seed.put(to);
        config.put(to);
        start.put(to);
    }

    fn input(&mut self, kind: u8, now: Instant, input: &Input, out: &mut Vec<u8>) {
        let stream = match input {
            Input::Read { connection, .. } => Some((*connection, Direction::Incoming)),
            _ => None,
        };
        self.entry(kind, now, input, stream, out);
    }

    fn action(&mut self, now: Instant, action: &Action, out: &mut Vec<u8>) {
        let stream = match action {
            Action::Write { connection, .. } => Some((*connection, Direction::Outgoing)),
            _ => None,
        };
        self.entry(Kind::Action as u8, now, action, stream, out);
    }

    fn event(&mut self, now: Instant, event: &Event, out: &mut Vec<u8>) {
        self.entry(Kind::Event as u8, now, event, None, out);
    }

    fn entry(&mut self, kind: u8, now: Instant, what: &impl Form, stream: Option<(crate::id::ConnectionId, Direction)>, out: &mut Vec<u8>) {
        let (mut none, mut gone) = (Framing::Unknown, Framing::Payload);
        let framing = match stream {
            Some((connection, direction)) => self.streams.framing(connection, direction).unwrap_or(&mut gone),
            None => &mut none,
        };
        let to = &mut Writer { bytes: out, framing };
        to.bytes.push(kind);
        // As the engine does, an earlier moment is taken as the latest one seen.
        (now.since(self.last).as_micros() as u64).put(to);
        self.last = self.last.max(now);
        what.put(to);
    }
}
