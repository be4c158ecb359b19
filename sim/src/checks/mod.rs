//! What must hold in every run, checked as it runs.
//!
//! Each [`Invariant`] has a name that stands in reports. [`contract`] looks at actions and inputs alone, [`wire`] at the bytes of each
//! connection; the rest compares what engines say with what the world knows. With the feature `planted-bugs`, `PlantedBug` has a
//! mistake for each that the checks must find.

pub(crate) mod contract;
pub(crate) mod limits;
pub(crate) mod named;
pub(crate) mod wire;

use rustor_core::time::Instant;
use serde::Serialize;
use std::fmt;

/// What must hold in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// No engine panics, whatever it is told.
    NoPanic,
    /// One answer for each action: at most one read and one write under way on a connection, files open before they are used.
    Contract,
    /// Nothing is done on a connection that is closed or was never opened.
    ClosedConnection,
    /// After a drain the next deadline lies in the future.
    Deadline,
    /// One input leads to a bounded number of actions.
    BoundedWork,
    /// What is held, handed out, read and asked for ahead stays under its cap, by the engine's own configuration.
    BoundedBuffers,
    /// A piece that is counted as verified is on the disk and is the true piece.
    TruePieces,
    /// What is claimed after a crash is on the disk.
    CrashConsistency,
    /// No block goes to a peer that was told it is choked, unless the piece is allowed fast.
    NoBlockToChoked,
    /// A block goes out only if it was asked for, and once.
    OnlyWhatWasAsked,
    /// Each request is answered, unless it ends otherwise; before that nothing is asked for again, nor of a peer that chokes us.
    RequestsEndOnce,
    /// What an engine counts of a peer is what was said on the wire: its pieces, its requests, the payload both ways.
    Recount,
    /// How many peers hold a piece, by an engine's count, is how many have said so.
    Availability,
    /// What is received and sent in any span of time is what the rate limit allows.
    RateLimits,
    /// A peer that is honest, and whose disk is sound, is never banned.
    HonestNotBanned,
    /// Bytes written are bytes read, lost or under way, and what one engine counts as sent the other counts as received.
    Conservation,
    /// A private torrent's peers come from its tracker alone: nobody is told of them, or of it, in another way.
    PrivateStaysPrivate,
    /// Once the network is whole and no fault is left, every honest leecher finishes in time.
    Liveness,
}

/// Each with its name and what it says.
const TABLE: &[(Invariant, &str, &str)] = &[
    (Invariant::NoPanic, "no-panic", "No engine panics, whatever it is told."),
    (
        Invariant::Contract,
        "contract",
        "One answer for each action: at most one read and one write under way on a connection, files open before they are used.",
    ),
    (Invariant::ClosedConnection, "closed-connection", "Nothing is done on a connection that is closed or was never opened."),
    (Invariant::Deadline, "deadline", "After a drain the next deadline lies in the future."),
    (Invariant::BoundedWork, "bounded-work", "One input leads to a bounded number of actions."),
    (
        Invariant::BoundedBuffers,
        "bounded-buffers",
        "What is held, handed out, read and asked for ahead stays under its cap, by the engine's own configuration.",
    ),
    (Invariant::TruePieces, "true-pieces", "A piece that is counted as verified is on the disk and is the true piece."),
    (Invariant::CrashConsistency, "crash-consistency", "What is claimed after a crash is on the disk."),
    (
        Invariant::NoBlockToChoked,
        "no-block-to-choked",
        "No block goes to a peer that was told it is choked, unless the piece is allowed fast.",
    ),
    (Invariant::OnlyWhatWasAsked, "only-what-was-asked", "A block goes out only if it was asked for, and once."),
    (
        Invariant::RequestsEndOnce,
        "requests-end-once",
        "Each request is answered, unless it ends otherwise; before that nothing is asked for again, nor of a peer that chokes us.",
    ),
    (
        Invariant::Recount,
        "recount",
        "What an engine counts of a peer is what was said on the wire: its pieces, its requests, the payload both ways.",
    ),
    (Invariant::Availability, "availability", "How many peers hold a piece, by an engine's count, is how many have said so."),
    (Invariant::RateLimits, "rate-limits", "What is received and sent in any span of time is what the rate limit allows."),
    (Invariant::HonestNotBanned, "honest-not-banned", "A peer that is honest, and whose disk is sound, is never banned."),
    (
        Invariant::Conservation,
        "conservation",
        "Bytes written are bytes read, lost or under way, and what one engine counts as sent the other counts as received.",
    ),
    (
        Invariant::PrivateStaysPrivate,
        "private-stays-private",
        "A private torrent's peers come from its tracker alone: nobody is told of them, or of it, in another way.",
    ),
    (Invariant::Liveness, "liveness", "Once the network is whole and no fault is left, every honest leecher finishes in time."),
];

impl Invariant {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Invariant> {
        TABLE.iter().map(|(invariant, _, _)| *invariant)
    }

    /// Its name, as reports have it.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// What it says, in a sentence.
    pub fn about(self) -> &'static str {
        TABLE[self as usize].2
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Invariant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Something that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// What should have held.
    pub invariant: Invariant,
    /// Where: a node's name, or nothing if it is about the world.
    pub node: String,
    /// When, in microseconds.
    pub at: u64,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { invariant, node, at, what } = self;
        write!(f, "{invariant} at {}.{:06} s, {node}: {what}", at / 1_000_000, at % 1_000_000)
    }
}

/// What one check found.
pub(crate) type Finding = Result<(), (Invariant, String)>;

/// How often each invariant was looked at, and what did not hold.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    looked: [u64; TABLE.len()],
    violations: Vec<Violation>,
}

/// Further violations are mostly consequences.
const MOST: usize = 20;

impl Checks {
    /// Looks at what a check found.
    pub(crate) fn take(&mut self, now: Instant, node: &str, invariant: Invariant, finding: Finding) {
        self.looked[invariant as usize] += 1;
        if let Err((invariant, what)) = finding
            && self.violations.len() < MOST
        {
            self.violations.push(Violation { invariant, node: node.to_owned(), at: now.as_micros(), what });
        }
    }

    /// Looks whether something holds.
    pub(crate) fn hold(&mut self, now: Instant, node: &str, invariant: Invariant, holds: bool, what: impl FnOnce() -> String) {
        let finding = if holds { Ok(()) } else { Err((invariant, what())) };
        self.take(now, node, invariant, finding);
    }

    /// What did not hold.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How often an invariant was looked at.
    pub fn looked(&self, invariant: Invariant) -> u64 {
        self.looked[invariant as usize]
    }
}

/// Finds that `invariant` does not hold, unless `holds`.
pub(crate) fn check(holds: bool, invariant: Invariant, what: impl FnOnce() -> String) -> Finding {
    if holds { Ok(()) } else { Err((invariant, what())) }
}
