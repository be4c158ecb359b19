use super::{Event, Events, Level, Network, Notice, parts::Parts, transmission};
use bytes::Bytes;
use rustor_core::{
    error::StreamError,
    time::{Duration, Instant},
    util::Key,
};
use std::{
    collections::VecDeque,
    mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Marks the keys of streams.
#[derive(Debug)]
pub enum StreamKind {}
/// Which stream.
pub type StreamKey = Key<StreamKind>;

/// One end of a stream: side 0 opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// Of which stream.
    pub stream: StreamKey,
    /// Which end.
    pub side: usize,
}

/// A stream between two nodes.
#[derive(Debug)]
pub(super) struct Stream {
    sockets: [Socket; 2],
    /// `ways[side]` carries what `sockets[side]` writes.
    ways: [Way; 2],
    /// The port that it was opened from, and whether over IPv6.
    port: u16,
    v6: bool,
    /// How often the first packet was sent, and since when it is not sent again.
    knocks: u32,
    given_up: Option<Instant>,
    /// When something last got through, for routers that forget.
    used: Instant,
}

/// What one end sees of a stream.
#[derive(Debug)]
struct Socket {
    node: u32,
    /// The node's name for it; none before it has one, and after it is closed.
    name: Option<u64>,
    /// It waits for up to so many bytes.
    reading: Option<u32>,
    broken: Option<StreamError>,
}

/// One direction of a stream.
#[derive(Debug, Default)]
struct Way {
    /// Written, and still at the sender.
    waiting: Parts,
    unsent: u64,
    /// The writer has not been told that all was taken.
    writing: bool,
    /// It stands in its link's queue, or flows.
    scheduled: bool,
    /// Nothing more will be written.
    closing: bool,
    /// What left, in segments; then what arrived and was not read.
    flying: VecDeque<Segment>,
    arrived: Parts,
    /// Bytes in both.
    unread: u64,
    last_arrival: Instant,
    /// Since when the foremost segment does not get through.
    stalled: Option<Instant>,
    /// The end has arrived.
    ended: bool,
}

#[derive(Debug)]
struct Segment {
    arrives: Instant,
    parts: Parts,
    bytes: u64,
    /// Room on the receiver's link has been taken for it.
    booked: bool,
    last: bool,
}

/// The first retransmission comes after this, each further one after twice as long.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// The ports from which streams are opened, one after the other.
const FIRST_PORT: u16 = 40_000;
const PORTS: u16 = 20_000;
/// Who gets nothing through for so long gives up.
const GIVE_UP: Duration = Duration::from_secs(100);

impl Stream {
    /// Bytes written and neither read nor lost.
    pub(super) fn held(&self) -> u64 {
        self.ways.iter().map(|way| way.unsent + way.unread).sum()
    }

    /// Bytes that wait to leave on one side.
    pub(super) fn unsent(&self, side: usize) -> u64 {
        self.ways[side].unsent
    }
}

impl Network {
    /// A node opens a stream, which it names `name`.
    pub fn connect<W: From<Event>>(&mut self, node: usize, name: u64, to: SocketAddr, agenda: &mut Events<W>) -> Option<End> {
        let Some(target) = self.at_address(to) else {
            self.notices.push_back(Notice::Connected { node, socket: name, result: Err(StreamError::Refused) });
            return None;
        };
        if self.source(node, to.ip()).is_none() {
            self.notices.push_back(Notice::Connected { node, socket: name, result: Err(StreamError::Unreachable) });
            return None;
        }
        let socket = |node: usize, name| Socket { node: node as u32, name, reading: None, broken: None };
        let sockets = [socket(node, Some(name)), socket(target, None)];
        let place = &mut self.places[node];
        place.opened = place.opened.wrapping_add(1);
        let port = FIRST_PORT + place.opened % PORTS;
        let (v6, used) = (to.is_ipv6(), agenda.now());
        let stream = self.streams.insert(Stream { sockets, ways: Default::default(), port, v6, knocks: 0, given_up: None, used });
        self.nat_connects(node, to.ip(), agenda.now());
        let delay = self.delay(node, target);
        agenda.after(delay, target, Event::Knock(stream).into());
        Some(End { stream, side: 0 })
    }

    /// A node takes a stream in that somebody opened.
    pub fn accept<W: From<Event>>(&mut self, end: End, name: u64, agenda: &mut Events<W>) {
        let Some(stream) = self.streams.get_mut(end.stream) else { return };
        stream.sockets[end.side].name = Some(name);
        self.reply(end, Ok(()), agenda);
    }

    /// A node does not take it in.
    pub fn refuse<W: From<Event>>(&mut self, end: End, agenda: &mut Events<W>) {
        self.reply(end, Err(StreamError::Reset), agenda);
    }

    /// Reads up to `limit` bytes, as soon as there are any.
    pub fn read<W: From<Event>>(&mut self, end: End, limit: u32, agenda: &mut Events<W>) {
        let Some(stream) = self.streams.get_mut(end.stream) else { return };
        let socket = &mut stream.sockets[end.side];
        socket.reading = Some(limit);
        match (socket.broken, socket.name) {
            (Some(error), Some(name)) => {
                socket.reading = None;
                self.notices.push_back(Notice::Read { node: socket.node as usize, socket: name, result: Err(error) });
            }
            _ => self.pump(end.stream, 1 - end.side, agenda),
        }
    }

    /// Writes all buffers; the answer comes when the socket has taken them.
    pub fn write<W: From<Event>>(&mut self, end: End, buffers: impl IntoIterator<Item = Bytes>, agenda: &mut Events<W>) {
        let Some(stream) = self.streams.get_mut(end.stream) else { return };
        let (socket, way) = (&stream.sockets[end.side], &mut stream.ways[end.side]);
        let Some(name) = socket.name else { return };
        if let Some(error) = socket.broken {
            return self.notices.push_back(Notice::Written { node: socket.node as usize, socket: name, result: Err(error) });
        }
        let before = way.unsent;
        // Nothing is no bytes, and must not be read as the end.
        for buffer in buffers.into_iter().filter(|buffer| !buffer.is_empty()) {
            way.unsent += buffer.len() as u64;
            way.waiting.push(buffer, &self.known);
        }
        self.traffic.written += way.unsent - before;
        way.writing = true;
        self.taken(end.stream, end.side);
        self.send_more(end.stream, end.side, agenda);
    }

    /// Closes an end. What was written still goes out.
    pub fn close<W: From<Event>>(&mut self, end: End, agenda: &mut Events<W>) {
        let Some(stream) = self.streams.get_mut(end.stream) else { return };
        let socket = &mut stream.sockets[end.side];
        (socket.name, socket.reading) = (None, None);
        stream.ways[end.side].closing = true;
        if end.side == 0 {
            stream.given_up = Some(agenda.now());
        }
        self.send_more(end.stream, end.side, agenda);
        self.forget_if_over(end.stream, agenda);
    }

    /// An end is gone from one moment to the next: nobody is told, and what was written and did not leave is lost.
    pub fn vanish<W: From<Event>>(&mut self, end: End, agenda: &mut Events<W>) {
        let Some(stream) = self.streams.get_mut(end.stream) else { return };
        let socket = &mut stream.sockets[end.side];
        (socket.name, socket.reading) = (None, None);
        let way = &mut stream.ways[end.side];
        way.waiting = Parts::default();
        self.traffic.lost += mem::take(&mut way.unsent);
        self.forget_if_over(end.stream, agenda);
    }

    /// Who opened the stream of an end, as the other side sees it.
    pub fn opener(&self, end: End) -> Option<SocketAddr> {
        let stream = self.streams.get(end.stream)?;
        let family = if stream.v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let own = self.source(stream.sockets[0].node as usize, family)?;
        Some(SocketAddr::new(own.ip(), stream.port))
    }

    /// Every byte that was written and neither read nor lost is where it is counted.
    pub fn counts_agree(&self) -> bool {
        let whole = |way: &Way| {
            let flying: u64 = way.flying.iter().map(|segment| segment.parts.bytes(&self.known)).sum();
            way.waiting.bytes(&self.known) == way.unsent && flying + way.arrived.bytes(&self.known) == way.unread
        };
        let under_way = self.under_way();
        self.traffic.written == self.traffic.read + self.traffic.lost + under_way
            && self.streams.iter().all(|(_, stream)| stream.ways.iter().all(whole))
    }

    fn at_address(&self, address: SocketAddr) -> Option<usize> {
        self.by_ip.get(&address.ip()).copied().filter(|node| self.addresses(*node).any(|own| own == address))
    }

    fn reply<W: From<Event>>(&mut self, end: End, result: Result<(), StreamError>, agenda: &mut Events<W>) {
        let Some([from, to]) = self.nodes_of(end.stream, end.side) else { return };
        let delay = self.delay(from, to);
        agenda.after(delay, to, Event::Answer(end.stream, result).into());
    }

    /// Which nodes a way leads from and to.
    pub(super) fn nodes_of(&self, key: StreamKey, side: usize) -> Option<[usize; 2]> {
        let stream = self.streams.get(key)?;
        Some([side, 1 - side].map(|side| stream.sockets[side].node as usize))
    }

    pub(super) fn knock<W: From<Event>>(&mut self, key: StreamKey, agenda: &mut Events<W>) {
        let Some([from, to]) = self.nodes_of(key, 0) else { return };
        let sent = agenda.now().since(Instant::ZERO).saturating_sub(self.delay(from, to));
        let Some(stream) = self.streams.get_mut(key) else { return };
        if stream.given_up.is_some_and(|at| at.since(Instant::ZERO) < sent) {
            return;
        }
        stream.knocks += 1;
        let knocks = stream.knocks;
        if !self.passable(from, to) || !self.nat_lets_in(to, from, agenda.now()) {
            // As operating systems do: again after 1, 3, 7, 15 … seconds.
            if knocks < 6 {
                agenda.after(Duration::from_secs(1 << (knocks - 1)), to, Event::Knock(key).into());
            } else {
                self.reply(End { stream: key, side: 1 }, Err(StreamError::TimedOut), agenda);
            }
        } else if self.places[to].deaf {
            self.reply(End { stream: key, side: 1 }, Err(StreamError::Refused), agenda);
        } else {
            let end = End { stream: key, side: 1 };
            if let Some(from) = self.opener(end) {
                self.notices.push_back(Notice::Incoming { node: to, end, from });
            }
        }
    }

    pub(super) fn answer(&mut self, key: StreamKey, result: Result<(), StreamError>) {
        let Some(stream) = self.streams.get(key) else { return };
        let socket = &stream.sockets[0];
        if let Some(name) = socket.name {
            self.notices.push_back(Notice::Connected { node: socket.node as usize, socket: name, result });
        }
        if result.is_err() {
            self.streams.remove(key);
        }
    }

    /// Lets a way have its part of the link, if it has something to send and the receiver has room.
    pub(super) fn send_more<W: From<Event>>(&mut self, key: StreamKey, side: usize, agenda: &mut Events<W>) {
        let window = self.settings.window.0;
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (node, way) = (stream.sockets[side].node as usize, &mut stream.ways[side]);
        if way.scheduled || !way.has_something(window) {
            return;
        }
        way.scheduled = true;
        match self.settings.level {
            Level::Streams => self.take_turns(node, key, side, agenda),
            Level::Fluid => self.flow(key, side, agenda),
        }
    }

    /// How long the segment is that leaves next: whole buffers, if they are not too long. `None` if there is none, and then the way
    /// has to be scheduled anew.
    pub(super) fn next_segment(&mut self, key: StreamKey, side: usize) -> Option<u64> {
        let way = &mut self.streams.get_mut(key)?.ways[side];
        way.scheduled = way.has_something(self.settings.window.0);
        if !way.scheduled {
            return None;
        }
        let bytes = way.waiting.leave_at_once(self.settings.segment.0.max(1), &self.known);
        Some(if self.settings.split && bytes > 1 { 1 + self.rng.below(bytes) } else { bytes })
    }

    /// `bytes` bytes of a way leave at `leaves`, and are scheduled no longer.
    pub(super) fn segment_leaves<W: From<Event>>(
        &mut self,
        key: StreamKey,
        side: usize,
        bytes: u64,
        leaves: Instant,
        agenda: &mut Events<W>,
    ) {
        let Some([from, to]) = self.nodes_of(key, side) else { return };
        let delay = self.delay(from, to);
        let Some(stream) = self.streams.get_mut(key) else { return };
        let way = &mut stream.ways[side];
        way.scheduled = false;
        // Less than was decided, if the stream was broken meanwhile.
        let bytes = bytes.min(way.unsent);
        // Mostly all that was written leaves, or arrives, or is read at once: then its room goes with it, and idle streams take none.
        let all = bytes == way.unsent;
        let parts = if all { mem::take(&mut way.waiting) } else { way.waiting.split_to(bytes, &self.known) };
        #[cfg(feature = "planted-bugs")]
        if self.leaks > 0 && bytes > if self.owns_up { 16_384 } else { 0 } {
            self.leaks -= 1;
            way.unsent -= bytes;
            self.traffic.lost += if self.owns_up { bytes } else { 0 };
            return;
        }
        way.unsent -= bytes;
        way.unread += bytes;
        let last = way.closing && way.unsent == 0;
        way.last_arrival = way.last_arrival.max(leaves + delay);
        if way.flying.is_empty() {
            agenda.decided_by(from, way.last_arrival, to, Event::Due(key, side).into());
        }
        way.flying.push_back(Segment { arrives: way.last_arrival, parts, bytes, booked: false, last });
        self.taken(key, side);
    }

    /// Tells the writer once the socket holds no more than it may.
    fn taken(&mut self, key: StreamKey, side: usize) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (socket, way) = (&stream.sockets[side], &mut stream.ways[side]);
        if way.writing && way.unsent <= self.settings.send_buffer.0 {
            way.writing = false;
            if let Some(name) = socket.name {
                self.notices.push_back(Notice::Written { node: socket.node as usize, socket: name, result: Ok(()) });
            }
        }
    }

    /// The foremost segment of a way is due: it gets through, or is sent again later.
    pub(super) fn due<W: From<Event>>(&mut self, key: StreamKey, side: usize, agenda: &mut Events<W>) {
        let now = agenda.now();
        let Some([from, to]) = self.nodes_of(key, side) else { return };
        let Some(used) = self.streams.get(key).map(|stream| stream.used) else { return };
        let passable = self.passable(from, to);
        if passable && self.nat_forgot(from, used, now) {
            // The router takes it for a new stream, and the other end knows of none.
            let delay = self.delay(from, to);
            return agenda.after(delay, from, Event::Reset(key, side, StreamError::Reset).into());
        }
        let reachable = passable && !self.nat_forgot(to, used, now);
        let mut next = None;
        while next.is_none() {
            let Some(way) = self.streams.get(key).map(|stream| &stream.ways[side]) else { return };
            let Some(Segment { booked, bytes, .. }) = way.flying.front() else { break };
            if !booked {
                let (bytes, through) = (*bytes, reachable && !self.lost(from, now));
                let Some(stream) = self.streams.get_mut(key) else { return };
                let way = &mut stream.ways[side];
                if !through {
                    let since = *way.stalled.get_or_insert(now);
                    if now.since(since) >= GIVE_UP {
                        let delay = self.delay(to, from);
                        return agenda.after(delay, from, Event::Reset(key, side, StreamError::TimedOut).into());
                    }
                    next = Some(now + RETRANSMISSION.max(now.since(since)).min(Duration::from_secs(20)));
                    continue;
                }
                way.stalled = None;
                stream.used = now;
                // What nobody reads any more takes no room: whether it still comes should not depend on when the sender forgets it.
                let open = stream.sockets[1 - side].name.is_some();
                let passed = if open { self.passes(to, bytes, now) } else { now };
                if passed > now {
                    next = Some(passed);
                    if let Some(way) = self.streams.get_mut(key).map(|stream| &mut stream.ways[side])
                        && let Some(segment) = way.flying.front_mut()
                    {
                        segment.booked = true;
                    }
                    continue;
                }
            }
            let Some(stream) = self.streams.get_mut(key) else { return };
            let way = &mut stream.ways[side];
            let Some(segment) = way.flying.pop_front() else { break };
            if way.flying.is_empty() {
                way.flying = VecDeque::new();
            }
            next = way.flying.front().map(|next| next.arrives).filter(|at| *at > now);
            way.ended |= segment.last;
            if stream.sockets[1 - side].name.is_none() {
                // Nobody is there any more, and whoever goes on writing learns of it.
                way.unread -= segment.bytes;
                self.traffic.lost += segment.bytes;
                let delay = self.delay(to, from);
                agenda.after(delay, from, Event::Reset(key, side, StreamError::Reset).into());
            } else {
                way.arrived.append(segment.parts, &self.known);
            }
        }
        match next {
            Some(at) => agenda.decided_by(from, at, to, Event::Due(key, side).into()),
            None => self.forget_if_over(key, agenda),
        }
        self.pump(key, side, agenda);
    }

    /// When a segment has passed a node's way in, on which it takes room behind those before it. It comes in as fast as it left its
    /// sender, so that a link that was idle meanwhile has passed it on by now.
    pub(super) fn passes(&mut self, to: usize, bytes: u64, now: Instant) -> Instant {
        let place = &mut self.places[to];
        if self.settings.level != Level::Streams || place.link.down.is_none() {
            return now;
        }
        place.inbound_free = now.max(place.inbound_free + transmission(bytes, place.link.down));
        place.inbound_free
    }

    /// Lets whoever waits at the end of a way read what has arrived.
    fn pump<W: From<Event>>(&mut self, key: StreamKey, side: usize, agenda: &mut Events<W>) {
        let window = self.settings.window.0;
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (socket, way) = (&mut stream.sockets[1 - side], &mut stream.ways[side]);
        let (Some(limit), Some(name)) = (socket.reading, socket.name) else { return };
        if way.arrived.is_empty() && !way.ended {
            return;
        }
        socket.reading = None;
        let node = socket.node as usize;
        let limit = if self.settings.split { 1 + self.rng.below(limit.min(1 << 15).into()) as usize } else { limit as usize };
        let data = way.arrived.read(limit, &self.known);
        let was_full = way.unread >= window;
        way.unread -= data.len() as u64;
        self.traffic.read += data.len() as u64;
        self.notices.push_back(Notice::Read { node, socket: name, result: Ok(data) });
        if was_full && let Some([from, to]) = self.nodes_of(key, side) {
            let delay = self.delay(to, from);
            agenda.after(delay, from, Event::Room(key, side).into());
        }
    }

    /// An end learns that its stream is broken.
    pub(super) fn reset(&mut self, key: StreamKey, side: usize, error: StreamError) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        let (socket, way) = (&mut stream.sockets[side], &mut stream.ways[side]);
        if socket.broken.is_some() {
            // Only word of the end can still fly.
            return way.flying.clear();
        }
        socket.broken = Some(error);
        way.waiting = Parts::default();
        way.flying.clear();
        let arrived = way.arrived.bytes(&self.known);
        self.traffic.lost += mem::take(&mut way.unsent) + way.unread - arrived;
        way.unread = arrived;
        let (node, writing, reading) = (socket.node as usize, mem::take(&mut way.writing), socket.reading.take());
        if let Some(socket) = socket.name {
            if reading.is_some() {
                self.notices.push_back(Notice::Read { node, socket, result: Err(error) });
            }
            if writing {
                self.notices.push_back(Notice::Written { node, socket, result: Err(error) });
            }
        }
    }

    /// Breaks the stream of an end: both sides learn of it.
    pub fn sever(&mut self, end: End) {
        self.reset(end.stream, 0, StreamError::Reset);
        self.reset(end.stream, 1, StreamError::Reset);
    }

    /// All streams that stand at both ends: the nodes there, their names for it, and whether nothing is under way from each of them.
    pub(crate) fn standing(&self) -> impl Iterator<Item = ([(usize, u64); 2], [bool; 2])> + '_ {
        self.streams.iter().filter_map(|(_, stream)| {
            let [one, other] = &stream.sockets;
            let whole = one.broken.is_none() && other.broken.is_none();
            let ends = [(one.node as usize, one.name.filter(|_| whole)?), (other.node as usize, other.name?)];
            let [forth, back] = &stream.ways;
            Some((ends, [forth, back].map(|way| way.unsent == 0 && way.unread == 0)))
        })
    }

    /// Forgets a stream once both ends are closed and nothing is under way any more: neither end knows sooner that the other is closed.
    pub(super) fn forget_if_over<W: From<Event>>(&mut self, key: StreamKey, agenda: &mut Events<W>) {
        let over = |way: &Way| way.unsent == 0 && way.flying.is_empty();
        let over = |stream: &Stream| stream.sockets.iter().all(|socket| socket.name.is_none()) && stream.ways.iter().all(over);
        if self.streams.get(key).is_some_and(over)
            && let Some(stream) = self.streams.remove(key)
        {
            self.traffic.lost += stream.held();
            (0..2).for_each(|side| self.end_flow(key, side, agenda));
        }
    }
}

impl Way {
    fn has_something(&self, window: u64) -> bool {
        let end_due = self.closing && !self.ended && self.flying.back().is_none_or(|segment| !segment.last);
        (!self.waiting.is_empty() || end_due) && self.unread < window
    }
}
