use super::{ROUND_TRIP, TRACKER_ADDRESSES, TRACKER_PORT};
use crate::units::Span;
use rustor_core::{
    error::HttpError,
    input::HttpReply,
    metainfo::InfoHash,
    rng::Seed,
    time::{Duration, Instant},
    tracker::{
        AnnounceEvent, AnnounceRequest, AnnounceResponse, Families, SwarmCounts, TrackerPeer, TrackerServer, TrackerServerConfig,
        udp::{Request, Response},
    },
};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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
    /// It counts billions of peers, and names those that it should not: the asker, itself, and addresses that are nobody's.
    Boasting,
    /// It answers what nobody asked: over HTTP something else, over UDP with another transaction's number.
    Unasked,
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

    /// Takes in so many peers that are nowhere, of either family.
    pub(crate) fn crowd(&mut self, now: Instant, info_hash: InfoHash, count: u16) {
        for number in 0..count {
            let [high, low] = number.to_be_bytes();
            let mut peer_id = *b"-XX0000-phantom     ";
            peer_id[18..].copy_from_slice(&[high, low]);
            let (event, peers_wanted) = (AnnounceEvent::Started, Some(0));
            let request = AnnounceRequest {
                info_hash,
                peer_id,
                port: 6881,
                uploaded: 0,
                downloaded: 0,
                left: 1,
                event,
                peers_wanted,
                key: None,
                tracker_id: None,
            };
            let addresses: [IpAddr; 2] =
                [Ipv4Addr::new(10, 201, high, low).into(), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0xfffc, 0, number).into()];
            for address in addresses {
                // Nobody waits for the answer.
                let _ = self.server.announce(now, address, &request, Families::Own);
            }
        }
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
            Some(TrackerFault::Boasting) => {
                let mut body = b"d8:completei4294967295e10:incompletei-7e8:intervali60e".to_vec();
                let wrong = wrong_peers(from);
                let bytes: Vec<u8> = wrong.iter().flat_map(|peer| octets(peer.ip()).into_iter().chain(peer.port().to_be_bytes())).collect();
                let key = if from.is_ipv6() { "6:peers6" } else { "5:peers" };
                body.extend([key.as_bytes(), bytes.len().to_string().as_bytes(), b":", &bytes, b"e"].concat());
                (ROUND_TRIP, ok(200, body))
            }
            Some(TrackerFault::Unasked) => (ROUND_TRIP, ok(200, b"d5:filesdee".to_vec())),
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
            Some(TrackerFault::Refusing) => {
                let transaction = payload.get(12..16)?;
                Some([&[0, 0, 0, 3], transaction, b"go away"].concat())
            }
            Some(fault @ (TrackerFault::Lying | TrackerFault::Boasting)) => match Request::decode(payload)? {
                (Request::Announce { .. }, transaction) => Some(lie(fault, from.ip()).encode(transaction)),
                _ => self.server.handle_udp(now, from, payload),
            },
            Some(TrackerFault::Unasked) => self.server.handle_udp(now, from, payload).map(|mut reply| {
                reply[7] ^= 1;
                reply
            }),
            Some(TrackerFault::Slow(_)) | None => self.server.handle_udp(now, from, payload),
        };
        let extra = if let Some(TrackerFault::Slow(span)) = self.fault { span.duration() } else { Duration::ZERO };
        reply.map(|reply| (extra, reply))
    }
}

/// What a tracker answers over UDP that does not tell the truth.
fn lie(fault: TrackerFault, asker: IpAddr) -> Response {
    let nowhere = |number: u8| {
        let ip: IpAddr = match asker {
            IpAddr::V4(_) => Ipv4Addr::new(10, 200, number, 1).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0xfffd, 0, number.into()).into(),
        };
        SocketAddr::new(ip, 6881)
    };
    let (peers, count) = match fault {
        TrackerFault::Boasting => (wrong_peers(asker), u32::MAX),
        _ => ((0..10).map(nowhere).collect(), 0),
    };
    Response::Announce(AnnounceResponse {
        interval: Some(Duration::from_secs(60)),
        counts: SwarmCounts { complete: Some(count), incomplete: Some(count), ..SwarmCounts::default() },
        peers: peers.into_iter().map(TrackerPeer::new).collect(),
        ..AnnounceResponse::default()
    })
}

/// Addresses of the asker's family that no tracker should name: its own, the tracker's, and nobody's.
fn wrong_peers(asker: IpAddr) -> Vec<SocketAddr> {
    let no_peers: [IpAddr; 4] = match asker {
        IpAddr::V4(_) => [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, Ipv4Addr::LOCALHOST, Ipv4Addr::new(224, 0, 0, 1)].map(IpAddr::from),
        IpAddr::V6(_) => [
            Ipv6Addr::UNSPECIFIED,
            Ipv6Addr::LOCALHOST,
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1),
        ]
        .map(IpAddr::from),
    };
    let tracker = SocketAddr::new(TRACKER_ADDRESSES[usize::from(asker.is_ipv6())], TRACKER_PORT);
    let own = [6881, 6881, 0].map(|port| SocketAddr::new(asker, port));
    own.into_iter().chain([tracker]).chain(no_peers.map(|ip| SocketAddr::new(ip, 6881))).collect()
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
