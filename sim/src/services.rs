//! What is not a peer: trackers, and names.

use crate::units::Span;
use rustor_core::{
    error::HttpError,
    input::HttpReply,
    rng::Seed,
    time::{Duration, Instant},
    tracker::{TrackerServer, TrackerServerConfig},
};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The name of the world's tracker.
pub(crate) const TRACKER_HOST: &str = "tracker.sim";
pub(crate) const TRACKER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 254);
/// From a node to the tracker and to name servers, there and back.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(40);

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

    /// Answers a datagram, or not.
    pub(crate) fn udp(&mut self, now: Instant, from: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
        match self.fault {
            Some(TrackerFault::Absent | TrackerFault::Slow(_)) => None,
            Some(TrackerFault::Garbage) => Some(payload.iter().rev().copied().collect()),
            // The head of an error, for the transaction that was asked about.
            Some(TrackerFault::Refusing | TrackerFault::Lying) => {
                let transaction = payload.get(12..16)?;
                Some([&[0, 0, 0, 3], transaction, b"go away"].concat())
            }
            None => self.server.handle_udp(now, from, payload),
        }
    }
}
