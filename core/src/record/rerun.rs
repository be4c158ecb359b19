use super::{Entry, Replay, ReplayError, Told, Transcript};
use crate::{engine::Engine, event::Event, time::Instant};

/// An engine that goes through a recording again, as far as one likes: see [`Replay::rerun`].
///
/// ```
/// # use rustor_core::{config::Config, record::{Recorder, Replay}, rng::Seed, time::Instant};
/// # let mut recording = Vec::new();
/// # Recorder::new(Seed::from_u64(1), &Config::default(), Instant::ZERO, &mut recording);
/// let mut rerun = Replay::new(recording.into())?.rerun();
/// // Ten seconds in: how did things stand?
/// rerun.advance(Instant::from_micros(10_000_000), |_, _| {})?;
/// for torrent in rerun.engine().torrents() {
///     let _why = rerun.engine().explain(torrent.torrent);
/// }
/// // And on to the end.
/// rerun.advance(Instant::MAX, |_, _| {})?;
/// # Ok::<(), rustor_core::record::ReplayError>(())
/// ```
#[derive(Debug)]
pub struct Rerun {
    engine: Engine,
    transcript: Transcript,
    entries: Replay,
    /// Read, but later than one wanted to go.
    next: Option<Entry>,
    start: Instant,
    now: Instant,
    checkpoints: u64,
}

impl Rerun {
    pub(super) fn new(entries: Replay) -> Rerun {
        let start = entries.start();
        Rerun {
            engine: entries.engine(),
            transcript: Transcript::new(entries.seed(), entries.config(), start),
            entries,
            next: None,
            start,
            now: start,
            checkpoints: 0,
        }
    }

    /// Tells the engine all that it was told up to `until`; `watch` sees the events on the way. Whether there is more.
    ///
    /// # Errors
    ///
    /// What is wrong with the recording. After [`ReplayError::Truncated`] the engine is as it was when the recording ends; after
    /// any other error it is as it was before.
    pub fn advance(&mut self, until: Instant, mut watch: impl FnMut(Instant, &Event)) -> Result<bool, ReplayError> {
        loop {
            let entry = match self.next.take().map_or_else(|| self.entries.next().transpose(), |entry| Ok(Some(entry))) {
                Ok(Some(entry)) => entry,
                Ok(None) => {
                    self.drain(&mut watch);
                    return Ok(false);
                }
                Err(error) => {
                    self.drain(&mut watch);
                    return Err(error);
                }
            };
            if entry.drained {
                self.drain(&mut watch);
            }
            if entry.now > until {
                self.next = Some(Entry { drained: false, ..entry });
                return Ok(true);
            }
            self.take(entry)?;
        }
    }

    /// The engine, as it was after the last thing that it was told.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine, to go another way with it.
    pub fn into_engine(self) -> Engine {
        self.engine
    }

    /// All that was said so far.
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// When the engine was made.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// When the engine was last told something.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// When it is told something next; `None` at the end, and before the first [`Rerun::advance`].
    pub fn next_at(&self) -> Option<Instant> {
        self.next.as_ref().map(|entry| entry.now)
    }

    /// Moments at which all that was said was compared with what had been said, and agreed.
    pub fn checkpoints(&self) -> u64 {
        self.checkpoints
    }

    fn take(&mut self, entry: Entry) -> Result<(), ReplayError> {
        self.now = entry.now;
        match entry.what {
            Told::Input(input) => {
                self.transcript.input(self.now, &input);
                self.engine.handle(self.now, input);
            }
            Told::Command(command) => {
                self.transcript.command(self.now, &command);
                // That it was refused shows in what follows.
                let _ = self.engine.command(self.now, command);
            }
            Told::Checkpoint(hash) if self.transcript.hash() != hash => {
                return Err(ReplayError::Diverged { entries: self.transcript.entries() });
            }
            Told::Checkpoint(_) => self.checkpoints = self.checkpoints.saturating_add(1),
        }
        Ok(())
    }

    fn drain(&mut self, watch: &mut impl FnMut(Instant, &Event)) {
        while let Some(action) = self.engine.poll_action() {
            self.transcript.action(self.now, &action);
        }
        while let Some(event) = self.engine.poll_event() {
            self.transcript.event(self.now, &event);
            watch(self.now, &event);
        }
    }
}
