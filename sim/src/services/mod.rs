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
    checks::named,
    network::Notice,
    node::Brain,
    payload::Payload,
    world::{Happening, World},
};
use rustor_core::{
    action::Action,
    error::{HttpError, ResolveError},
    id::HttpId,
    input::{HttpReply, Input},
    time::{Duration, Instant},
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The name of the world's tracker.
const TRACKER_HOST: &str = "tracker.sim";
pub(crate) const TRACKER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 254);
/// From a node to a service and back.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(40);

/// A node's request on its way to the tracker.
#[derive(Debug)]
pub(crate) struct Get {
    node: usize,
    life: u32,
    request: HttpId,
    url: String,
    gives_up: Instant,
}

impl World {
    /// A node asks a service for something.
    pub(crate) fn ask(&mut self, node: usize, action: Action) {
        let life = self.nodes[node].life;
        let (delay, input) = match action {
            Action::Http { request, url, timeout_millis, .. } => {
                let timeout = Duration::from_millis(timeout_millis.into());
                let (host, _) = parts(&url);
                let (looked_up, found) = self.resolve(host);
                let is_tracker = |ip: &IpAddr| *ip == IpAddr::from(TRACKER_ADDRESS);
                match (found, self.tracker) {
                    (Ok(ip), Some(tracker)) if is_tracker(&ip) => {
                        let gives_up = self.now() + timeout;
                        let get = Get { node, life, request, url, gives_up };
                        return self.agenda.after(looked_up + ROUND_TRIP, tracker, Happening::Asked(Box::new(get)));
                    }
                    (Ok(_), _) => (timeout, Input::Http { request, result: failed("timed out") }),
                    (Err(message), _) if looked_up < timeout => (looked_up, Input::Http { request, result: failed(message) }),
                    (Err(_), _) => (timeout, Input::Http { request, result: failed("timed out") }),
                }
            }
            Action::Resolve { resolve, host, port } => {
                let (delay, result) = self.resolve(&host);
                let result = result.map(|ip| vec![SocketAddr::new(ip, port)]).map_err(|message| ResolveError(message.to_owned()));
                (delay, Input::Resolved { resolve, result })
            }
            _ => return,
        };
        self.agenda.after(delay, node, Happening::Input(node, life, Box::new(input)));
    }

    /// Only of private torrents it matters of whom a tracker has told.
    fn something_is_private(&self) -> bool {
        self.payloads.iter().any(Payload::is_private)
    }

    /// A request has reached the tracker, over a connection that had to be opened first.
    pub(crate) fn asked(&mut self, get: Get) {
        let Get { node, life, request, url, gives_up } = get;
        let now = self.now();
        let from = self.nodes[node].address.ip();
        let timeout = gives_up.since(now);
        let Some(index) = self.tracker else { return };
        let passable = self.network.passable(node, index) && self.network.passable(index, node);
        let (delay, result) = match &mut self.nodes[index].brain {
            Brain::Tracker(tracker) if passable => tracker.http(now, from, parts(&url).1, timeout),
            _ => (timeout, failed("timed out")),
        };
        if self.something_is_private()
            && let Ok(HttpReply { status: 200, body }) = &result
        {
            self.nodes[node].named.extend(named::by_http(body));
        }
        let (delay, result) = if delay < timeout { (delay, result) } else { (timeout, failed("timed out")) };
        self.agenda.after(delay, node, Happening::Input(node, life, Box::new(Input::Http { request, result })));
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
            self.agenda.after(delay, node, Happening::Reply(node, Box::new((from, reply.into()))));
        }
    }

    /// A node is told by datagram of peers.
    pub(crate) fn told(&mut self, node: usize, from: SocketAddr, payload: &[u8]) {
        if from.ip() == IpAddr::from(TRACKER_ADDRESS) && self.something_is_private() {
            self.nodes[node].named.extend(named::by_udp(payload));
        }
    }
}

fn failed(message: &str) -> Result<HttpReply, HttpError> {
    Err(HttpError::Failed(message.to_owned()))
}

/// The host of a URL, without its port, and all from the path on.
fn parts(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (authority.split(':').next().unwrap_or_default(), target)
}
