//! Mistakes that an engine could make, one for each invariant. They are planted around real engines, in what these are told and in what
//! they want done, to show that the checks find them.

use crate::checks::Invariant;
use bytes::{Buf, Bytes};
use rustor_core::{
    action::Action,
    id::ConnectionId,
    input::{Input, ReadBuffer},
    storage::DiskOutput,
    time::{Duration, Instant},
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
    /// Its clock is a second late.
    IsLate,
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
    /// Loses bytes of a stream that goes on.
    LosesBlocks,
    /// Leaves out that it rejects what it was asked for, where it says something else with it.
    DropsRequests,
    /// Overhears requests.
    MissesRequests,
    /// Believes that requests are rejected that are not.
    ImaginesRejects,
    /// Offers to exchange peers, whatever the torrent.
    OffersPeers,
    /// Connects to somebody of whom nobody has told it.
    FollowsRumours,
    /// Tells of peers, whatever the torrent.
    TellsOfPeers,
    /// Takes haves for those of the piece before.
    MishearsHaves,
    /// Forgets its rate limits.
    IgnoresLimits,
    /// Overhears that it may ask.
    MissesUnchokes,
    /// Counts a piece that nobody has sent.
    CountsUnfetched,
    /// Oversleeps by minutes, and does everything that it should, late.
    Oversleeps,
}

impl PlantedBug {
    /// All of them, and what must notice each.
    pub const ALL: &[(PlantedBug, Invariant)] = &[
        (PlantedBug::Panics, Invariant::NoPanic),
        (PlantedBug::ReadsTwice, Invariant::Contract),
        (PlantedBug::WritesAfterClose, Invariant::ClosedConnection),
        (PlantedBug::IsLate, Invariant::Deadline),
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
        (PlantedBug::LosesBlocks, Invariant::Conservation),
        (PlantedBug::DropsRequests, Invariant::RequestsEndOnce),
        (PlantedBug::MissesRequests, Invariant::RequestsEndOnce),
        (PlantedBug::ImaginesRejects, Invariant::Recount),
        (PlantedBug::TellsOfPeers, Invariant::PrivateStaysPrivate),
        (PlantedBug::OffersPeers, Invariant::PrivateStaysPrivate),
        (PlantedBug::FollowsRumours, Invariant::PrivateStaysPrivate),
        (PlantedBug::MishearsHaves, Invariant::Availability),
        (PlantedBug::IgnoresLimits, Invariant::RateLimits),
        (PlantedBug::MissesUnchokes, Invariant::Liveness),
        (PlantedBug::CountsUnfetched, Invariant::TruePieces),
        (PlantedBug::Oversleeps, Invariant::Liveness),
    ];
}

/// Stands between an engine and its host, and makes the engine's mistake.
#[derive(Debug)]
pub(crate) struct Tamper {
    bug: PlantedBug,
    reads: u64,
    /// How often the engine was started.
    lives: u32,
    /// What it asked for last, as it said it, and of whom.
    request: Option<(ConnectionId, Bytes)>,
}

impl Tamper {
    pub(crate) fn new(bug: PlantedBug) -> Tamper {
        Tamper { bug, reads: 0, lives: 0, request: None }
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
                Input::Read { connection, result: Ok(ReadBuffer { data: self.read(connection, data), allocation }) }
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

    fn read(&mut self, connection: ConnectionId, data: Bytes) -> Bytes {
        const KEEP_ALIVE: Bytes = Bytes::from_static(&[0; 4]);
        match self.bug {
            PlantedBug::MissesHaves if data.len() == 9 && data[..5] == [0, 0, 0, 5, 4] => KEEP_ALIVE,
            PlantedBug::MissesUnchokes if data[..] == [0, 0, 0, 1, 1] => KEEP_ALIVE,
            PlantedBug::MissesRequests if data.len() == 17 && data[..5] == REQUEST => KEEP_ALIVE,
            PlantedBug::MishearsHaves if data.len() == 9 && data[..5] == [0, 0, 0, 5, 4] && data[5..] != [0; 4] => {
                let piece = data.slice(5..).get_u32() - 1;
                [&data[..5], &piece.to_be_bytes()].concat().into()
            }
            // A have comes as a message of its own.
            PlantedBug::ImaginesRejects if data.len() == 9 && data[..5] == [0, 0, 0, 5, 4] => {
                let request = self.request.take_if(|(of, _)| *of == connection).map(|(_, request)| request);
                let reject = request.map(|request| [&[0, 0, 0, 13, 16], &request[5..]].concat()).unwrap_or_default();
                [&data[..], &reject].concat().into()
            }
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
            Action::Write { connection, buffers } => vec![write(connection, self.write(connection, buffers))],
            action => vec![action],
        }
    }

    fn write(&mut self, connection: ConnectionId, mut buffers: Vec<Bytes>) -> Vec<Bytes> {
        let first = buffers.first().cloned().unwrap_or_default();
        let block = first.len() == 13 && first[4] == 7 && buffers.len() >= 2;
        match self.bug {
            PlantedBug::WritesTooMuch if first.len() < 68 => buffers.push(vec![0; 3 << 20].into()),
            PlantedBug::OffersPeers if first.len() == 68 => {
                buffers.push(Bytes::from_static(b"\0\0\0\x14\x14\0d1:md6:ut_pexi1eee"));
            }
            // To whoever has chosen other numbers it means nothing.
            PlantedBug::TellsOfPeers if first.len() >= 17 && first[..5] == REQUEST => {
                buffers.insert(0, Bytes::from_static(b"\0\0\0\x12\x14\x63d5:added6:abcdefe"));
            }
            PlantedBug::DropsRequests => {
                let left = without_rejects(first);
                if !left.is_empty() {
                    buffers[0] = left;
                }
            }
            PlantedBug::ImaginesRejects if first.len() >= 17 && first[..5] == REQUEST => {
                self.request = Some((connection, first.slice(..17)));
            }
            PlantedBug::SendsToChoked if block => buffers.insert(0, Bytes::from_static(&[0, 0, 0, 1, 0])),
            PlantedBug::SendsTwice if block => buffers.extend([first, buffers[1].clone()]),
            PlantedBug::AsksTwice if first.len() >= 17 && first[..5] == REQUEST => buffers.push(first.slice(..17)),
            _ => {}
        }
        buffers
    }

    /// What the engine takes for the time.
    pub(crate) fn clock(&self, now: Instant) -> Instant {
        let late = if self.bug == PlantedBug::IsLate { 1_000_000 } else { 0 };
        Instant::from_micros(now.as_micros().saturating_sub(late))
    }

    /// Which of so many pieces are verified in place of these. Nothing is said of it when it happens.
    pub(crate) fn verified(&self, pieces: u32, verified: &mut Vec<u32>) {
        if self.bug == PlantedBug::CountsUnfetched && !verified.is_empty() {
            verified.extend((0..pieces).find(|piece| !verified.contains(piece)));
        }
    }

    /// When the engine is woken in place of this.
    pub(crate) fn deadline(&self, deadline: Option<Instant>) -> Option<Instant> {
        if self.bug == PlantedBug::Oversleeps { deadline.map(|at| at + Duration::from_secs(300)) } else { deadline }
    }
}

/// How a request begins.
const REQUEST: [u8; 5] = [0, 0, 0, 13, 6];

/// Messages but for rejects; what ends in the midst of one goes on.
fn without_rejects(buffer: Bytes) -> Bytes {
    let (mut rest, mut left) = (&buffer[..], Vec::new());
    while let Some((length, _)) = rest.split_first_chunk() {
        let (message, others) = rest.split_at((4 + u32::from_be_bytes(*length) as usize).min(rest.len()));
        if message[..5.min(message.len())] != [0, 0, 0, 13, 16] {
            left.extend_from_slice(message);
        }
        rest = others;
    }
    left.into()
}

fn write(connection: ConnectionId, buffers: Vec<Bytes>) -> Action {
    Action::Write { connection, buffers }
}
