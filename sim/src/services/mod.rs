//! What is not a peer: trackers, web servers, and names.

mod names;
mod tracker;
mod web;

pub use names::NameFault;
pub(crate) use tracker::Tracker;
pub use tracker::TrackerFault;
pub(crate) use web::WebServer;
pub use web::{WebFault, WebSeed};

use crate::{
    network::Notice,
    node::Brain,
    payload::Payload,
    world::{Happening, World},
};
use rustor_core::{
    action::Action,
    error::{HttpError, ResolveError},
    input::{HttpReply, Input},
    time::Duration,
    tracker::{http, udp},
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The name of the world's tracker.
const TRACKER_HOST: &str = "tracker.sim";
pub(crate) const TRACKER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 254);
/// From a node to a service and back.
const ROUND_TRIP: Duration = Duration::from_millis(40);

impl World {
    /// A node asks a service for something.
    pub(crate) fn ask(&mut self, node: usize, action: Action) {
        let life = self.nodes[node].life;
        let (delay, input) = match action {
            Action::Http { request, url, timeout_millis, .. } => {
                let timeout = Duration::from_millis(timeout_millis.into());
                let (delay, result) = self.get(node, &url, timeout);
                if self.something_is_private()
                    && let Ok(HttpReply { status, body }) = &result
                    && let Ok(answer) = http::decode_announce(*status, body, usize::MAX)
                {
                    self.nodes[node].named.extend(answer.peers.iter().map(|peer| peer.address.ip()));
                }
                if delay < timeout {
                    (delay, Input::Http { request, result })
                } else {
                    (timeout, Input::Http { request, result: Err(HttpError::Failed("timed out".to_owned())) })
                }
            }
            Action::Resolve { resolve, host, port } => {
                let (delay, result) = self.resolve(&host);
                let result = result.map(|ip| vec![SocketAddr::new(ip, port)]).map_err(|message| ResolveError(message.to_owned()));
                (delay, Input::Resolved { resolve, result })
            }
            _ => return,
        };
        self.agenda.after(delay, Happening::Input(node, life, Box::new(input)));
    }

    /// Only of private torrents it matters of whom a tracker has told.
    fn something_is_private(&self) -> bool {
        self.payloads.iter().any(Payload::is_private)
    }

    /// What a GET brings, and how long it takes.
    fn get(&mut self, node: usize, url: &str, timeout: Duration) -> (Duration, Result<HttpReply, HttpError>) {
        let failed = |message: &str| Err(HttpError::Failed(message.to_owned()));
        let (host, target) = parts(url);
        let (looked_up, found) = self.resolve(host);
        let now = self.now();
        let ip = match found {
            Ok(ip) => ip,
            Err(message) => return (looked_up, failed(message)),
        };
        let from = self.nodes[node].address.ip();
        let Some(tracker) = self.tracker.filter(|_| ip == IpAddr::from(TRACKER_ADDRESS)) else { return (timeout, failed("timed out")) };
        if !self.network.passable(node, tracker) || !self.network.passable(tracker, node) {
            return (timeout, failed("timed out"));
        }
        let Brain::Tracker(tracker) = &mut self.nodes[tracker].brain else { return (ROUND_TRIP, failed("connection refused")) };
        let (delay, result) = tracker.http(now, from, target, timeout);
        (looked_up + delay, result)
    }

    /// What a name server says of a name, and how long that takes.
    pub(crate) fn resolve(&self, host: &str) -> (Duration, Result<IpAddr, &'static str>) {
        let tracker = self.tracker.filter(|_| host == TRACKER_HOST).map(|_| IpAddr::from(TRACKER_ADDRESS));
        let web = self.web_servers.iter().find(|server| server.host == host).map(|server| server.address);
        NameFault::resolve(self.names, tracker.or(web))
    }

    /// A datagram reaches a tracker.
    pub(crate) fn ask_tracker(&mut self, node: usize, notice: Notice) {
        let now = self.now();
        let (Brain::Tracker(tracker), Notice::Datagram { from, payload, .. }) = (&mut self.nodes[node].brain, notice) else { return };
        if let Some((delay, reply)) = tracker.udp(now, from, &payload) {
            self.agenda.after(delay, Happening::Reply(node, Box::new((from, reply.into()))));
        }
    }

    /// A node is told by datagram of peers.
    pub(crate) fn told(&mut self, node: usize, from: SocketAddr, payload: &[u8]) {
        if from.ip() == IpAddr::from(TRACKER_ADDRESS)
            && self.something_is_private()
            && let Some((udp::Response::Announce(answer), _)) = udp::Response::decode(payload, false, usize::MAX)
        {
            self.nodes[node].named.extend(answer.peers.iter().map(|peer| peer.address.ip()));
        }
    }
}

/// The host of a URL, without its port, and all from the path on.
fn parts(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (authority.split(':').next().unwrap_or_default(), target)
}
