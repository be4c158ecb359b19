use super::{Kind, Scribe};
use crate::{action::Action, command::Command, config::Config, engine::Engine, event::Event, input::Input, rng::Seed, time::Instant};
use alloc::vec::Vec;
use core::fmt;
use sha1::{Digest, Sha1};

/// A running SHA-1 over all that one engine was told and said, and when: equal hashes mean equal runs.
///
/// Of payload it takes the length only, so that a run and its replay have the same hash.
#[derive(Clone, Debug)]
pub struct Transcript {
    hash: Sha1,
    entries: u64,
    scribe: Scribe,
    /// Kept for its room.
    scratch: Vec<u8>,
}

impl Transcript {
    /// Begins the transcript of an engine made with these arguments.
    pub fn new(seed: Seed, config: &Config, start: Instant) -> Transcript {
        let mut transcript = Transcript { hash: Sha1::new(), entries: 0, scribe: Scribe::default(), scratch: Vec::new() };
        transcript.add(|scribe, out| scribe.beginning(seed, config, start, out));
        transcript.entries = 0;
        transcript
    }

    /// Adds what the engine is told.
    pub fn input(&mut self, now: Instant, input: &Input) {
        self.add(|scribe, out| scribe.input(Kind::Input as u8, now, input, out));
    }

    /// Adds what its owner wants.
    pub fn command(&mut self, now: Instant, command: &Command) {
        self.add(|scribe, out| scribe.entry(Kind::Command as u8, now, command, None, out));
    }

    /// Adds what it wants done.
    pub fn action(&mut self, now: Instant, action: &Action) {
        self.add(|scribe, out| scribe.action(now, action, out));
    }

    /// Adds what it tells.
    pub fn event(&mut self, now: Instant, event: &Event) {
        self.add(|scribe, out| scribe.event(now, event, out));
    }

    /// Adds all actions that wait in an engine, then all events, and drops them.
    pub fn drain(&mut self, now: Instant, engine: &mut Engine) {
        while let Some(action) = engine.poll_action() {
            self.action(now, &action);
        }
        while let Some(event) = engine.poll_event() {
            self.event(now, &event);
        }
    }

    /// The hash so far.
    pub fn hash(&self) -> [u8; 20] {
        self.hash.clone().finalize().into()
    }

    /// How many inputs, commands, actions and events were added.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    fn add(&mut self, write: impl FnOnce(&mut Scribe, &mut Vec<u8>)) {
        self.scratch.clear();
        self.scratch.shrink_to(SCRATCH);
        write(&mut self.scribe, &mut self.scratch);
        self.hash.update(&self.scratch);
        self.entries += 1;
    }
}

/// The longest entry that leaves its room to the next one, in bytes: few are longer.
const SCRATCH: usize = 1024;

impl fmt::Display for Transcript {
    /// The hash in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hash().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
