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
    action::{Action, AddressFamily},
    error::{HttpError, ResolveError},
    id::HttpId,
    input::{HttpReply, Input},
    time::{Duration, Instant},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The name of the world's tracker.
const TRACKER_HOST: &str = "tracker.sim";
/// How partitions call it.
pub(crate) const TRACKER_NAME: &str = "tracker";
/// Its addresses. As everything that has a name here, it has one of each family.
pub(crate) const TRACKER_ADDRESSES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 255, 255, 254)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0xffff, 0, 1))];
pub(crate) const TRACKER_PORT: u16 = 6969;
/// What is beyond the network, and can be cut off all the same, is numbered from here on.
const BEYOND: usize = usize::MAX / 2;
/// From a node to a service and back.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(40);

/// A node's request on its way to the tracker.
#[derive(Debug)]
pub(crate) struct Get {
    node: usize,
    life: u32,
    /// From which of the node's addresses it comes.
    from: IpAddr,
    request: HttpId,
    url: String,
    gives_up: Instant,
}

impl World {
    /// A node asks a service for something.
    pub(crate) fn ask(&mut self, node: usize, action: Action) {
        let life = self.nodes[node].life;
        let (delay, input) = match action {
            Action::Http { request, url, family, timeout_millis, .. } => {
                let timeout = Duration::from_millis(timeout_millis.into());
                let (host, _) = parts(&url);
                let (looked_up, found) = self.resolve(host);
                let found = found.map(|addresses| self.usable(node, addresses, family).next());
                match (found, self.tracker) {
                    (Ok(None), _) => (looked_up, Input::Http { request, result: Err(HttpError::NoAddress) }),
                    (Ok(Some((from, to))), Some(tracker)) if TRACKER_ADDRESSES.contains(&to) => {
                        let gives_up = self.now() + timeout;
                        let get = Get { node, life, from, request, url, gives_up };
                        let arrives = looked_up + self.tracker_round_trip();
                        return self.agenda.after(arrives, tracker, Happening::Asked(Box::new(get)));
                    }
                    (Ok(_), _) => (timeout, Input::Http { request, result: failed("timed out") }),
                    (Err(message), _) if looked_up < timeout => (looked_up, Input::Http { request, result: failed(message) }),
                    (Err(_), _) => (timeout, Input::Http { request, result: failed("timed out") }),
                }
            }
            Action::Resolve { resolve, host, port } => {
                let (delay, result) = self.resolve(&host);
                let usable = |addresses| self.usable(node, addresses, None).map(|(_, ip)| SocketAddr::new(ip, port)).collect();
                let result = result.map(usable).map_err(|message| ResolveError(message.to_owned()));
                (delay, Input::Resolved { resolve, result })
            }
            _ => return,
        };
        self.agenda.after(delay, node, Happening::Input(node, life, Box::new(input)));
    }

    /// Lets the tracker believe that so many more leech a torrent; nobody is where they are.
    pub fn crowd_tracker(&mut self, payload: &Payload, count: u16) {
        let now = self.now();
        if let Some(Brain::Tracker(tracker)) = self.tracker.map(|node| &mut self.nodes[node].brain) {
            tracker.crowd(now, payload.metainfo.info_hash(), count);
        }
    }

    /// Only of private torrents it matters of whom a tracker has told.
    fn something_is_private(&self) -> bool {
        self.payloads.iter().any(Payload::is_private)
    }

    /// A request has reached the tracker, over a connection that had to be opened first.
    pub(crate) fn asked(&mut self, get: Get) {
        let Get { node, life, from, request, url, gives_up } = get;
        let now = self.now();
        let further = self.tracker_round_trip() - ROUND_TRIP;
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
        let delay = delay + further;
        let (delay, result) = if delay < timeout { (delay, result) } else { (timeout, failed("timed out")) };
        self.agenda.after(delay, node, Happening::Input(node, life, Box::new(Input::Http { request, result })));
    }

    /// What a name server says of a name, an address of each family, and how long that takes.
    pub(crate) fn resolve(&self, host: &str) -> (Duration, Result<[IpAddr; 2], &'static str>) {
        let tracker = self.tracker.filter(|_| host == TRACKER_HOST).map(|_| TRACKER_ADDRESSES);
        let web = self.web_servers.iter().find(|server| server.host == host).map(|server| server.addresses);
        NameFault::resolve(self.names, tracker.or(web))
    }

    /// From where and to where a node's host speaks to what has these addresses: in the families that it has itself, if they are what
    /// was asked for.
    pub(crate) fn usable(
        &self,
        node: usize,
        addresses: [IpAddr; 2],
        family: Option<AddressFamily>,
    ) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let wanted = move |own: &SocketAddr| family.is_none_or(|family| AddressFamily::of(own) == family);
        let pair = move |own: SocketAddr| (own.ip(), addresses[usize::from(own.is_ipv6())]);
        self.network.addresses(node).filter(wanted).map(pair)
    }

    /// From a node to the tracker and back.
    fn tracker_round_trip(&self) -> Duration {
        ROUND_TRIP + self.tracker_delay.duration().saturating_mul(2)
    }

    /// How partitions call a service: the tracker, or a web server by its name.
    pub(crate) fn service(&self, name: &str) -> Option<usize> {
        let web = || self.web_servers.iter().position(|server| server.is_called(name)).map(|number| BEYOND + number);
        self.tracker.filter(|_| name == TRACKER_NAME).or_else(web)
    }

    /// All services, as partitions call them.
    pub(crate) fn services(&self) -> impl Iterator<Item = usize> {
        self.tracker.into_iter().chain((0..self.web_servers.len()).map(|number| BEYOND + number))
    }

    /// Whether a node and a web server hear of each other.
    fn reaches_web(&self, node: usize, server: usize) -> bool {
        let server = BEYOND + server;
        !self.network.is_dark(node) && !self.network.is_cut(node, server) && !self.network.is_cut(server, node)
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
        if TRACKER_ADDRESSES.contains(&from.ip()) && self.something_is_private() {
            self.nodes[node].named.extend(named::by_udp(payload, from.is_ipv6()));
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
