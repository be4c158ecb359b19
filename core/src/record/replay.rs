use super::{
    DRAINED, Kind, MAGIC, Rerun, Transcript, VERSION,
    form::{Form, Reader},
};
use crate::{command::Command, config::Config, engine::Engine, input::Input, rng::Seed, time::Instant};
use bytes::Bytes;
use core::fmt;

/// Reads a recording: what the engine was made with, and one after the other what it was told.
#[derive(Clone, Debug)]
pub struct Replay {
    seed: Seed,
    config: Config,
    start: Instant,
    now: Instant,
    entries: Reader,
}

impl Replay {
    /// Reads the beginning of a recording.
    ///
    /// # Errors
    ///
    /// If it is none, or one of another version.
    pub fn new(recording: Bytes) -> Result<Replay, ReplayError> {
        let mut from = Reader::new(recording);
        if from.array().ok().as_ref() != Some(MAGIC) {
            return Err(ReplayError::NotARecording);
        }
        let version = u64::take(&mut from)?;
        if version != VERSION {
            return Err(ReplayError::Version(version));
        }
        let (seed, config, start) = (Form::take(&mut from)?, Form::take(&mut from)?, Form::take(&mut from)?);
        Ok(Replay { seed, config, start, now: start, entries: from })
    }

    /// An engine as it was before the first entry.
    pub fn engine(&self) -> Engine {
        Engine::new(self.config.clone(), self.seed, self.start)
    }

    /// The engine's seed.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// The engine's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// When the engine was made.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// An engine that is told all that is left, as far as one likes.
    pub fn rerun(self) -> Rerun {
        Rerun::new(self)
    }

    /// Tells an engine all that is left, and writes down what is said.
    ///
    /// # Errors
    ///
    /// What is wrong with the recording.
    pub fn transcript(self) -> Result<Transcript, ReplayError> {
        let mut rerun = self.rerun();
        rerun.advance(Instant::MAX, |_, _| {})?;
        Ok(rerun.transcript().clone())
    }

    fn entry(&mut self) -> Result<Entry, ReplayError> {
        let kind = self.entries.byte()?;
        let passed = u64::take(&mut self.entries)?;
        let micros = self.now.as_micros().checked_add(passed).ok_or_else(|| self.entries.corrupt())?;
        self.now = Instant::from_micros(micros);
        let what = match kind & !DRAINED {
            kind if kind == Kind::Input as u8 => Told::Input(Form::take(&mut self.entries)?),
            kind if kind == Kind::Command as u8 => Told::Command(Form::take(&mut self.entries)?),
            kind if kind == Kind::Checkpoint as u8 => Told::Checkpoint(Form::take(&mut self.entries)?),
            _ => return Err(self.entries.corrupt()),
        };
        Ok(Entry { drained: kind & DRAINED != 0, now: self.now, what })
    }
}

impl Iterator for Replay {
    type Item = Result<Entry, ReplayError>;

    /// The next entry. After an error there is none.
    fn next(&mut self) -> Option<Result<Entry, ReplayError>> {
        if self.entries.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.entries = Reader::new(Bytes::new());
        }
        Some(entry)
    }
}

/// One thing that an engine was told.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whether the host took all actions after the entry before, and so must whoever replays this.
    pub drained: bool,
    /// When.
    pub now: Instant,
    /// What.
    pub what: Told,
}

/// What an engine is told.
#[derive(Clone, Debug)]
pub enum Told {
    /// For [`Engine::handle`].
    Input(Input),
    /// For [`Engine::command`].
    Command(Command),
    /// Nothing; but by now all that was said had this hash.
    Checkpoint([u8; 20]),
}

/// Why a recording cannot be replayed, or not to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// It does not begin as a recording does.
    NotARecording,
    /// It has the form of this other version.
    Version(u64),
    /// It ends within an entry: whoever wrote it was stopped. All before is sound.
    Truncated,
    /// The engine said something else than it did when it was recorded: it is another version, or not as deterministic as it should be.
    Diverged {
        /// How many inputs, commands, actions and events there were at the checkpoint that shows it.
        entries: u64,
    },
    /// It is damaged.
    Corrupt {
        /// About so many bytes after its beginning.
        offset: usize,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::NotARecording => f.write_str("not a recording"),
            ReplayError::Version(version) => write!(f, "a recording of version {version}, where this program reads {VERSION}"),
            ReplayError::Truncated => f.write_str("the recording is cut short"),
            ReplayError::Diverged { entries } => write!(f, "the replay went another way before entry {entries}"),
            ReplayError::Corrupt { offset } => write!(f, "the recording is damaged near byte {offset}"),
        }
    }
}

impl core::error::Error for ReplayError {}
