//! Mistakes that an engine could make, one for each invariant. They are planted around real engines, in what these are told and in what
//! they want done, to show that the checks find them.

use crate::checks::Invariant;
use bytes::Bytes;
use rustor_core::{
    action::Action,
    id::ConnectionId,
    input::{Input, ReadBuffer},
    storage::DiskOutput,
    time::Instant,
};
use std::net::SocketAddr;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// Panics at the fiftieth read.
    Panics,
    /// Reads a second time while a read is under way.
    ReadsTwice,
    /// Writes to a connection that it has closed.
    WritesAfterClose,
    /// Wants to be woken at once, always.
    WakesNow,
    /// Sends datagrams without end.
    Babbles,
    /// Hands out megabytes in one write.
    WritesTooMuch,
    /// Takes a piece that does not fit its hash for good.
    BelievesBadPieces,
    /// Takes what it finds after a crash for good.
    BelievesItsDisk,
    /// Sends a block right after a choke.
    SendsToChoked,
    /// Sends a block twice.
    SendsTwice,
    /// Asks for a block twice.
    AsksTwice,
    /// Overhears haves.
    MissesHaves,
    /// Spoils blocks that come in.
    SpoilsBlocks,
    /// Loses bytes in the network, where nobody counts them.
    LosesBytes,
    /// Offers to exchange peers, whatever the torrent.
    OffersPeers,
    /// Connects to somebody of whom nobody has told it.
    FollowsRumours,
    /// Counts a peer twice for the first piece.
    CountsTwice,
    /// Forgets its rate limits.
    IgnoresLimits,
    /// Overhears that it may ask.
    MissesUnchokes,
    /// Counts a piece that nobody has sent.
    CountsUnfetched,
}

impl PlantedBug {
    /// All of them, and what must notice each.
    pub const ALL: &[(PlantedBug, Invariant)] = &[
        (PlantedBug::Panics, Invariant::NoPanic),
        (PlantedBug::ReadsTwice, Invariant::Contract),
        (PlantedBug::WritesAfterClose, Invariant::ClosedConnection),
        (PlantedBug::WakesNow, Invariant::Deadline),
        (PlantedBug::Babbles, Invariant::BoundedWork),
        (PlantedBug::WritesTooMuch, Invariant::BoundedBuffers),
        (PlantedBug::BelievesBadPieces, Invariant::TruePieces),
        (PlantedBug::BelievesItsDisk, Invariant::CrashConsistency),
        (PlantedBug::SendsToChoked, Invariant::NoBlockToChoked),
        (PlantedBug::SendsTwice, Invariant::OnlyWhatWasAsked),
        (PlantedBug::AsksTwice, Invariant::RequestsEndOnce),
        (PlantedBug::MissesHaves, Invariant::Recount),
        (PlantedBug::SpoilsBlocks, Invariant::HonestNotBanned),
        (PlantedBug::LosesBytes, Invariant::Conservation),
        (PlantedBug::OffersPeers, Invariant::PrivateStaysPrivate),
        (PlantedBug::FollowsRumours, Invariant::PrivateStaysPrivate),
        (PlantedBug::CountsTwice, Invariant::Availability),
        (PlantedBug::IgnoresLimits, Invariant::RateLimits),
        (PlantedBug::MissesUnchokes, Invariant::Liveness),
        (PlantedBug::CountsUnfetched, Invariant::TruePieces),
    ];
}

/// Stands between an engine and its host, and makes the engine's mistake.
#[derive(Debug)]
pub(crate) struct Tamper {
    bug: PlantedBug,
    reads: u64,
    /// How often the engine was started.
    lives: u32,
}

impl Tamper {
    pub(crate) fn new(bug: PlantedBug) -> Tamper {
        Tamper { bug, reads: 0, lives: 0 }
    }

    pub(crate) fn restarted(&mut self) {
        self.lives += 1;
    }

    /// What the engine is told in place of this.
    pub(crate) fn input(&mut self, input: Input) -> Input {
        match input {
            Input::Read { connection, result: Ok(ReadBuffer { data, allocation }) } => {
                self.reads += 1;
                assert!(self.bug != PlantedBug::Panics || self.reads < 50, "a planted panic");
                Input::Read { connection, result: Ok(ReadBuffer { data: self.read(data), allocation }) }
            }
            Input::Disk { job, result: Ok(DiskOutput::Mismatch(_)) } if self.bug == PlantedBug::BelievesBadPieces => {
                Input::Disk { job, result: Ok(DiskOutput::Stored(Vec::new())) }
            }
            Input::Disk { job, result: Ok(DiskOutput::Verified(valid)) } if self.bug == PlantedBug::BelievesItsDisk && self.lives > 0 => {
                Input::Disk { job, result: Ok(DiskOutput::Verified(vec![true; valid.len()])) }
            }
            input => input,
        }
    }

    fn read(&mut self, data: Bytes) -> Bytes {
        const KEEP_ALIVE: Bytes = Bytes::from_static(&[0; 4]);
        match self.bug {
            PlantedBug::MissesHaves if data.len() == 9 && data[..5] == [0, 0, 0, 5, 4] => KEEP_ALIVE,
            PlantedBug::MissesUnchokes if data[..] == [0, 0, 0, 1, 1] => KEEP_ALIVE,
            PlantedBug::SpoilsBlocks if data.len() > 1024 && self.reads.is_multiple_of(3) => {
                let mut spoilt = data.to_vec();
                spoilt[data.len() / 2] ^= 1;
                spoilt.into()
            }
            _ => data,
        }
    }

    /// What the engine says in place of this.
    pub(crate) fn action(&mut self, action: Action) -> Vec<Action> {
        match action {
            Action::Read { .. } if self.bug == PlantedBug::ReadsTwice => vec![action.clone(), action],
            Action::Close { connection } if self.bug == PlantedBug::WritesAfterClose => {
                vec![action, write(connection, vec![Bytes::from_static(&[0; 4])])]
            }
            Action::Connect { remote, .. } | Action::SendDatagram { remote, .. } if self.bug == PlantedBug::Babbles => {
                let datagram = Action::SendDatagram { remote, payload: Bytes::from_static(b"hello") };
                std::iter::once(action).chain(std::iter::repeat_n(datagram, 100_000)).collect()
            }
            Action::Connect { connection, .. } if self.bug == PlantedBug::FollowsRumours => {
                vec![Action::Connect { connection, remote: SocketAddr::from(([10, 200, 0, 1], 6881)) }]
            }
            Action::Write { connection, buffers } => vec![write(connection, self.write(buffers))],
            action => vec![action],
        }
    }

    fn write(&mut self, mut buffers: Vec<Bytes>) -> Vec<Bytes> {
        let first = buffers.first().cloned().unwrap_or_default();
        let block = first.len() == 13 && first[4] == 7 && buffers.len() >= 2;
        match self.bug {
            PlantedBug::WritesTooMuch if first.len() < 68 => buffers.push(vec![0; 3 << 20].into()),
            PlantedBug::OffersPeers if first.len() == 68 => {
                buffers.push(Bytes::from_static(b"\0\0\0\x16\x14\0d1:md6:ut_pexi1eee"));
            }
            PlantedBug::SendsToChoked if block => buffers.insert(0, Bytes::from_static(&[0, 0, 0, 1, 0])),
            PlantedBug::SendsTwice if block => buffers.extend([first, buffers[1].clone()]),
            PlantedBug::AsksTwice if first.len() >= 17 && first[..5] == [0, 0, 0, 13, 6] => buffers.push(first.slice(..17)),
            _ => {}
        }
        buffers
    }

    /// How many peers hold each piece in place of this.
    pub(crate) fn availability(&self, availability: &mut [u32]) {
        if let (PlantedBug::CountsTwice, Some(first)) = (self.bug, availability.first_mut()) {
            *first += 1;
        }
    }

    /// Which of so many pieces are verified in place of these. Nothing is said of it when it happens.
    pub(crate) fn verified(&self, pieces: u32, verified: &mut Vec<u32>) {
        if self.bug == PlantedBug::CountsUnfetched && !verified.is_empty() {
            verified.extend((0..pieces).find(|piece| !verified.contains(piece)));
        }
    }

    /// When the engine wants to be woken in place of this.
    pub(crate) fn deadline(&mut self, now: Instant, deadline: Option<Instant>) -> Option<Instant> {
        if self.bug == PlantedBug::WakesNow { Some(now) } else { deadline }
    }
}

fn write(connection: ConnectionId, buffers: Vec<Bytes>) -> Action {
    Action::Write { connection, buffers }
}
