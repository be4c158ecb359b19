//! What lies between the nodes. Every node has one [`Link`] to the middle; from middle to node nothing is lost.
//!
//! - **Streams** are reliable and ordered. Each direction is a `Way`: what was written waits there, leaves in segments as the sender's
//!   link has room, flies, and is read. At most [`Settings::window`] bytes fly or lie unread, which holds back the writer.
//! - **Long segments** stand for trains of packets: a link that lies idle passes them on as they come, not once they are complete; and
//!   short messages need not wait until a long segment has left.
//! - **When a segment leaves** is for the [`Level`] to say: link by link, in turns, or all flows of the world at their fair shares.
//! - **Datagrams** stand in a queue of their own for the way out, behind what streams have handed to the link, and may be lost, doubled,
//!   late, or too long. Where flows share links, they have each link to themselves.
//!
//! The network does not know who uses it: a socket is a number that its node chose, and what happens to it is a [`Notice`].

mod datagrams;
mod fluid;
mod link;
mod nat;
mod parts;
mod streams;
#[cfg(test)]
mod tests;
mod turns;

pub use link::Link;
pub use nat::{Nat, NatKind};
pub use streams::{End, StreamKey};

use crate::{agenda::Agenda, payload::Framed, units::Size};
use bytes::Bytes;
use fluid::Fluid;
use rustor_core::{
    error::StreamError,
    rng::Rng,
    time::{Duration, Instant},
    util::Slab,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
};
use streams::Stream;

/// All links, and everything that is under way on them.
#[derive(Debug)]
pub struct Network {
    settings: Settings,
    places: Vec<Place>,
    by_ip: BTreeMap<IpAddr, usize>,
    streams: Slab<streams::StreamKind, Stream>,
    fluid: Fluid,
    cuts: Vec<Cut>,
    rng: Rng,
    /// What the nodes have not been told yet.
    notices: VecDeque<Notice>,
    /// What streams mostly carry; nothing if what is read is cut at random.
    known: Vec<Framed>,
    traffic: Traffic,
    /// A planted bug: so many segments are still to be lost without a trace.
    #[cfg(feature = "planted-bugs")]
    pub(crate) leaks: u32,
    /// They are of blocks, and counted as lost, as if their stream had ended.
    #[cfg(feature = "planted-bugs")]
    pub(crate) owns_up: bool,
}

/// What holds for all links.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// What decides when bytes of a stream leave.
    pub level: Level,
    /// The most bytes of a stream that leave at once.
    pub segment: Size,
    /// Bytes that a socket takes from its writer before they leave.
    pub send_buffer: Size,
    /// Bytes of a stream that fly or wait to be read; more are not sent.
    pub window: Size,
    /// Cuts what is read at random places: nobody may depend on how a stream is cut.
    pub split: bool,
    /// Nobody reaches an address of a family of which it has none itself. Otherwise all reach all, as if a router translated.
    pub families_apart: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        let (segment, send_buffer, window) = (Size(16 << 10), Size(64 << 10), Size(512 << 10));
        Settings { level: Level::Streams, segment, send_buffer, window, split: false, families_apart: false }
    }
}

/// How exactly streams share links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Each link carries one segment after the other, the streams of a node in turns.
    #[default]
    Streams,
    /// Each stream flows at its max-min fair share of the two links it takes: fewer events, for large swarms.
    Fluid,
}

/// One node's end of the network.
#[derive(Debug)]
struct Place {
    address: SocketAddr,
    /// Its address of the other family.
    other: Option<SocketAddr>,
    link: Link,
    /// Switched off, or its link cut: neither answers nor says goodbye.
    dark: bool,
    /// Nobody listens; connects are refused.
    deaf: bool,
    uplink: turns::Uplink,
    /// How many streams it has opened.
    opened: u16,
    /// When the way in is free again.
    inbound_free: Instant,
    /// Datagrams that wait for the way out: when each has left, and its length.
    datagrams: VecDeque<(Instant, u64)>,
    /// How many more are lost in a row.
    burst_left: u32,
    lost_at: Instant,
    mappings: nat::Mappings,
}

/// No bytes get from any of `from` to any of `to`.
#[derive(Clone, Debug)]
struct Cut {
    name: usize,
    from: Vec<usize>,
    to: Vec<usize>,
}

/// What the network itself waits for.
#[derive(Debug)]
pub enum Event {
    /// The first packet of a stream reaches whom it is for.
    Knock(StreamKey),
    /// The answer to it is back.
    Answer(StreamKey, Result<(), StreamError>),
    /// The foremost segment on its way is due.
    Due(StreamKey, usize),
    /// A node's link has room for the next segment.
    Free(usize),
    /// A segment has flowed out, if the flow is still in this state.
    Flowed(StreamKey, usize, u32),
    /// Shares are to be computed anew.
    Settle,
    /// There is room again at the end of a way that was full.
    Room(StreamKey, usize),
    /// The other end is gone, or seems to be: says so to whoever still writes.
    Reset(StreamKey, usize, StreamError),
    /// A datagram arrives.
    Datagram(Box<Datagram>),
}

/// A datagram on its way.
#[derive(Debug)]
pub struct Datagram {
    /// Which node it is for.
    to: usize,
    /// Where it was sent to.
    at: SocketAddr,
    /// From where, as it says.
    from: SocketAddr,
    /// What it says.
    payload: Bytes,
    /// Room on the receiver's link has been taken for it.
    booked: bool,
}

/// What a node is told. Sockets are numbers that it gave.
#[derive(Debug)]
pub enum Notice {
    /// Somebody connects; answered by [`Network::accept`] or [`Network::refuse`].
    Incoming {
        /// The node.
        node: usize,
        /// Its end of the stream.
        end: End,
        /// Who.
        from: SocketAddr,
    },
    /// A stream that the node opened stands, or does not.
    Connected {
        /// The node.
        node: usize,
        /// Its name for the stream.
        socket: u64,
        /// What became of it.
        result: Result<(), StreamError>,
    },
    /// Bytes came; none at the end of the stream.
    Read {
        /// The node.
        node: usize,
        /// Its name for the stream.
        socket: u64,
        /// What came.
        result: Result<Bytes, StreamError>,
    },
    /// All that was written was taken.
    Written {
        /// The node.
        node: usize,
        /// Its name for the stream.
        socket: u64,
        /// Whether it was.
        result: Result<(), StreamError>,
    },
    /// A datagram came.
    Datagram {
        /// The node.
        node: usize,
        /// From where, as it says.
        from: SocketAddr,
        /// What it says.
        payload: Bytes,
    },
}

/// Bytes of all streams so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Taken from writers.
    pub written: u64,
    /// Handed to readers.
    pub read: u64,
    /// Given up with their streams.
    pub lost: u64,
}

/// Messages up to this length do not wait for long segments.
const NEGLIGIBLE: u64 = 1024;

/// Where the network puts what it waits for.
pub(crate) type Events<W> = Agenda<W>;

impl Network {
    /// A network without nodes.
    pub fn new(settings: Settings, rng: Rng) -> Network {
        Network {
            settings,
            places: Vec::new(),
            by_ip: BTreeMap::new(),
            streams: Slab::new(),
            fluid: Fluid::default(),
            cuts: Vec::new(),
            rng,
            notices: VecDeque::new(),
            known: Vec::new(),
            traffic: Traffic::default(),
            #[cfg(feature = "planted-bugs")]
            leaks: 0,
            #[cfg(feature = "planted-bugs")]
            owns_up: false,
        }
    }

    /// Connects a node; they are numbered in the order in which they come.
    pub fn join(&mut self, address: SocketAddr, link: Link) {
        self.by_ip.insert(address.ip(), self.places.len());
        self.places.push(Place {
            address,
            other: None,
            link,
            dark: false,
            deaf: false,
            uplink: turns::Uplink::default(),
            opened: 0,
            inbound_free: Instant::ZERO,
            datagrams: VecDeque::new(),
            burst_left: 0,
            lost_at: Instant::ZERO,
            mappings: nat::Mappings::default(),
        });
    }

    /// Gives a node an address of the other family, too.
    pub fn also_at(&mut self, node: usize, address: SocketAddr) {
        self.by_ip.insert(address.ip(), node);
        self.places[node].other = Some(address);
    }

    /// Where a node can be reached.
    pub fn addresses(&self, node: usize) -> impl Iterator<Item = SocketAddr> + use<> {
        let Place { address, other, .. } = self.places[node];
        std::iter::once(address).chain(other)
    }

    /// From which of its addresses a node speaks to another; `None` if no way leads there.
    pub(crate) fn source(&self, node: usize, to: IpAddr) -> Option<SocketAddr> {
        let own = self.addresses(node).find(|own| own.is_ipv4() == to.is_ipv4());
        own.or_else(|| (!self.settings.families_apart).then(|| self.places[node].address))
    }

    /// Blocks of this payload, sent as slices of it behind their heads, are read together with them, without a copy.
    pub(crate) fn knows(&mut self, framed: Framed) {
        if !self.settings.split {
            self.known.push(framed);
        }
    }

    /// A node's link.
    pub fn link(&self, node: usize) -> &Link {
        &self.places[node].link
    }

    /// Changes a node's link from now on. What is on its way stays as slow as it began; what is to wait for that does not.
    pub fn set_link<W: From<Event>>(&mut self, node: usize, link: Link, agenda: &mut Events<W>) {
        let (place, now) = (&mut self.places[node], agenda.now());
        let waits = place.inbound_free.since(now).as_micros();
        let waits = match (place.link.down, link.down) {
            (_, None) => 0,
            (Some(before), Some(after)) => waits * u128::from(before.0) / u128::from(after.0.max(1)),
            (None, Some(_)) => waits,
        };
        place.inbound_free = place.inbound_free.min(now) + Duration::from_micros(u64::try_from(waits).unwrap_or(u64::MAX / 4));
        place.link = link;
        self.unsettle(agenda);
    }

    /// Switches a node's link off without a word, or on again.
    pub fn set_dark(&mut self, node: usize, dark: bool) {
        self.places[node].dark = dark;
    }

    /// Whether a node's link is off.
    pub(crate) fn is_dark(&self, node: usize) -> bool {
        self.places[node].dark
    }

    /// Books room on a node's way in for what comes from beyond the network; when it is all there.
    pub(crate) fn book_inbound(&mut self, node: usize, bytes: u64, now: Instant) -> Instant {
        let place = &mut self.places[node];
        place.inbound_free = now.max(place.inbound_free) + transmission(bytes, place.link.down);
        place.inbound_free
    }

    /// Lets a node refuse all that connect, or not any more.
    pub fn set_deaf(&mut self, node: usize, deaf: bool) {
        self.places[node].deaf = deaf;
    }

    /// Lets nothing through from any of `from` to any of `to`, until [`Network::mend`] is called with the same name.
    pub fn cut(&mut self, name: usize, from: Vec<usize>, to: Vec<usize>) {
        self.cuts.push(Cut { name, from, to });
    }

    /// Ends what [`Network::cut`] began.
    pub fn mend(&mut self, name: usize) {
        self.cuts.retain(|cut| cut.name != name);
    }

    /// Lets everything through again between these nodes; what they are cut off from otherwise, they still are.
    pub fn heal(&mut self, nodes: &[usize]) {
        for Cut { name, from, to } in std::mem::take(&mut self.cuts) {
            let (inner, outer) = from.into_iter().partition(|node| nodes.contains(node));
            let beyond = to.iter().copied().filter(|node| !nodes.contains(node)).collect();
            self.cuts.extend([Cut { name, from: outer, to }, Cut { name, from: inner, to: beyond }]);
        }
    }

    /// What a node is to be told next.
    pub fn notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Bytes so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Bytes on all streams that were written, and neither read nor given up.
    pub fn under_way(&self) -> u64 {
        self.streams.iter().map(|(_, stream)| stream.held()).sum()
    }

    /// Something that the network waited for has come.
    pub fn happen<W: From<Event>>(&mut self, event: Event, agenda: &mut Events<W>) {
        match event {
            Event::Knock(key) => self.knock(key, agenda),
            Event::Answer(key, result) => self.answer(key, result),
            Event::Due(key, side) => self.due(key, side, agenda),
            Event::Free(node) => self.uplink_free(node, agenda),
            Event::Flowed(key, side, stamp) => self.flowed(key, side, stamp, agenda),
            Event::Settle => self.settle(agenda),
            Event::Room(key, side) => self.send_more(key, side, agenda),
            Event::Reset(key, side, error) => {
                self.reset(key, side, error);
                self.forget_if_over(key, agenda);
            }
            Event::Datagram(datagram) => self.datagram_arrives(datagram, agenda),
        }
    }

    /// Whether bytes get from one node to the other now.
    pub(crate) fn passable(&self, from: usize, to: usize) -> bool {
        !self.places[from].dark && !self.places[to].dark && !self.is_cut(from, to) && self.have_a_family_in_common(from, to)
    }

    /// Whether one is cut off from the other. Both may be numbers that nobody has here, of what is beyond the network.
    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.iter().any(|cut| cut.from.contains(&from) && cut.to.contains(&to))
    }

    /// Whether two nodes have addresses at which they reach each other.
    pub(crate) fn have_a_family_in_common(&self, one: usize, other: usize) -> bool {
        let mut addresses = self.addresses(other);
        !self.settings.families_apart || addresses.any(|address| self.source(one, address.ip()).is_some())
    }

    /// How long a packet takes this time.
    fn delay(&mut self, from: usize, to: usize) -> Duration {
        let [a, b] = [from, to].map(|node| &self.places[node].link);
        let (fixed, jitter) = (a.delay.0 + b.delay.0, a.jitter.0 + b.jitter.0);
        Duration::from_micros(fixed + if jitter > 0 { self.rng.below(jitter + 1) } else { 0 })
    }

    /// Whether what leaves a node now is lost. Losses come in bursts of the length that the link says, on average.
    fn lost(&mut self, node: usize, now: Instant) -> bool {
        let place = &mut self.places[node];
        // What is sent again much later meets another state of the link.
        let goes_on = now.since(place.lost_at) < BURST;
        if place.burst_left > 0 && goes_on {
            (place.burst_left, place.lost_at) = (place.burst_left - 1, now);
            return true;
        }
        let burst = u64::from(place.link.burst.max(1));
        let begins = place.link.loss > 0 && self.rng.below(100 * burst) < u64::from(place.link.loss);
        if begins {
            (place.burst_left, place.lost_at) = (self.rng.below(2 * burst - 1) as u32, now);
        }
        begins
    }
}

/// A burst of losses is over when nothing left for so long.
const BURST: Duration = Duration::from_millis(100);

/// How long so many bytes take at a rate; no time where there is no limit.
fn transmission(bytes: u64, rate: Option<crate::units::Rate>) -> Duration {
    rate.map_or(Duration::ZERO, |rate| Duration::from_micros((u128::from(bytes) * 1_000_000 / u128::from(rate.0.max(1))) as u64))
}
