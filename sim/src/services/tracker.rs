use super::ROUND_TRIP;
use crate::units::Span;
use rustor_core::{
    error::HttpError,
    input::HttpReply,
    rng::Seed,
    time::{Duration, Instant},
    tracker::{TrackerServer, TrackerServerConfig},
};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// A tracker, and what is wrong with it now.
#[derive(Debug)]
pub(crate) struct Tracker {
    server: TrackerServer,
    pub(crate) fault: Option<TrackerFault>,
}

/// What is wrong with a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrackerFault {
    /// It is not there.
    Absent,
    /// It takes so long.
    Slow(Span),
    /// It answers with what is no answer.
    Garbage,
    /// It names peers that are none, and says that the swarm is empty.
    Lying,
    /// It refuses everybody.
    Refusing,
    /// It is elsewhere, and whoever looks there is sent on without end.
    Moved,
    /// It answers with this status.
    Status(u16),
    /// It closes the connection in the middle of its answer.
    Truncated,
    /// Its answer is longer than anybody wants to read.
    Huge,
    /// It has no address of the family that it is asked in.
    NoAddress,
}

impl Tracker {
    pub(crate) fn new(seed: Seed, interval: Span) -> Tracker {
        let interval = interval.duration();
        let min_interval = interval.min(Duration::from_secs(60));
        let config = TrackerServerConfig { interval, min_interval, ..TrackerServerConfig::default() };
        Tracker { server: TrackerServer::new(config, seed), fault: None }
    }

    /// Answers a request over HTTP, and says how long that takes.
    pub(crate) fn http(&mut self, now: Instant, from: IpAddr, target: &str, timeout: Duration) -> (Duration, Result<HttpReply, HttpError>) {
        let failed = |message: &str| Err(HttpError::Failed(message.to_owned()));
        let ok = |status: u16, body: Vec<u8>| Ok(HttpReply { status, body: body.into() });
        match self.fault {
            Some(TrackerFault::Absent) => (ROUND_TRIP, failed("connection refused")),
            Some(TrackerFault::Slow(span)) if span.duration() >= timeout => (timeout, failed("timed out")),
            Some(TrackerFault::Garbage) => (ROUND_TRIP, ok(200, b"<html>Welcome to this hotel's network</html>".to_vec())),
            Some(TrackerFault::Moved) => (ROUND_TRIP * 10, failed("too many redirects")),
            Some(TrackerFault::Status(status)) => (ROUND_TRIP, ok(status, b"<html>Sorry</html>".to_vec())),
            Some(TrackerFault::Truncated) => (ROUND_TRIP, failed("the connection was closed in the middle of the answer")),
            Some(TrackerFault::Huge) => (ROUND_TRIP, failed("the answer is too long")),
            Some(TrackerFault::NoAddress) => (ROUND_TRIP / 2, Err(HttpError::NoAddress)),
            Some(TrackerFault::Refusing) => (ROUND_TRIP, ok(200, b"d14:failure reason12:go away nowee".to_vec())),
            Some(TrackerFault::Lying) => {
                let mut body = b"d8:completei0e10:incompletei0e8:intervali60e5:peers60:".to_vec();
                (0..10u8).for_each(|number| body.extend([10, 200, number, 1, 0x1a, 0xe1]));
                body.extend(b"e");
                (ROUND_TRIP, ok(200, body))
            }
            fault => {
                let extra = if let Some(TrackerFault::Slow(span)) = fault { span.duration() } else { Duration::ZERO };
                let reply = self.server.handle_http(now, from, target);
                (ROUND_TRIP + extra, ok(reply.status, reply.body))
            }
        }
    }

    /// Answers a datagram after a while, or not.
    pub(crate) fn udp(&mut self, now: Instant, from: SocketAddr, payload: &[u8]) -> Option<(Duration, Vec<u8>)> {
        let reply = match self.fault {
            Some(TrackerFault::Absent | TrackerFault::Moved | TrackerFault::Status(_) | TrackerFault::Huge | TrackerFault::NoAddress) => {
                None
            }
            Some(TrackerFault::Garbage) => Some(payload.iter().rev().copied().collect()),
            Some(TrackerFault::Truncated) => self.server.handle_udp(now, from, payload).map(|mut reply| {
                reply.truncate(reply.len() / 2);
                reply
            }),
            // The head of an error, for the transaction that was asked about.
            Some(TrackerFault::Refusing | TrackerFault::Lying) => {
                let transaction = payload.get(12..16)?;
                Some([&[0, 0, 0, 3], transaction, b"go away"].concat())
            }
            Some(TrackerFault::Slow(_)) | None => self.server.handle_udp(now, from, payload),
        };
        let extra = if let Some(TrackerFault::Slow(span)) = self.fault { span.duration() } else { Duration::ZERO };
        reply.map(|reply| (extra, reply))
    }
}
