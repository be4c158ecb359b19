//! Routers that translate addresses: what they let in, and how they forget.
//!
//! A node behind one is seen at the address of its router, which here is its own. Datagrams that go out open a mapping, and what lets
//! datagrams in depends on the [`NatKind`]. Streams get in only from where the node itself has tried to open one, which is what hole
//! punching needs. A mapping over which nothing went for too long is forgotten: datagrams that would need it vanish, and a stream is a
//! black hole for the far side, while who is behind the router is told that there is no such stream as soon as it sends.

use super::Network;
use crate::units::Span;
use rustor_core::time::Instant;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// A router that translates addresses, and what it does with what comes from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Nat {
    /// What it lets in.
    pub kind: NatKind,
    /// Datagrams get in for so long after the last that went out.
    pub udp_idle: Span,
    /// A stream over which nothing went for longer is forgotten.
    pub tcp_idle: Span,
}

impl Default for Nat {
    /// Two minutes for datagrams (RFC 4787) and a little more than two hours for streams (RFC 5382).
    fn default() -> Nat {
        Nat { kind: NatKind::default(), udp_idle: Span::seconds(120), tcp_idle: Span::seconds(7440) }
    }
}

/// What a router lets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NatKind {
    /// Datagrams of everybody, as soon as the node has sent any.
    FullCone,
    /// Datagrams of those to whose address and port the node has sent some.
    #[default]
    PortRestricted,
    /// The same, and everybody sees the node at another port: nobody can tell another where it is. No stream gets in at all.
    Symmetric,
}

/// What one router remembers.
#[derive(Debug, Default)]
pub(super) struct Mappings {
    /// To whom datagrams went, from which port of the router's, and when last.
    datagrams: BTreeMap<SocketAddr, (u16, Instant)>,
    /// With whom the node has tried to open streams, and when last.
    streams: BTreeMap<IpAddr, Instant>,
    ports: u16,
}

/// The first port that a symmetric router gives out.
const FIRST_PORT: u16 = 20_000;

impl Network {
    /// A datagram leaves a node from one of its addresses: from where it seems to come.
    pub(super) fn nat_out(&mut self, node: usize, from: SocketAddr, to: SocketAddr, now: Instant) -> SocketAddr {
        let place = &mut self.places[node];
        let Some(nat) = &place.link.nat else { return from };
        let (own, ports) = (from.port(), &mut place.mappings.ports);
        let mut next = || {
            if nat.kind != NatKind::Symmetric {
                return own;
            }
            *ports = (*ports + 1) % 40_000;
            FIRST_PORT + *ports
        };
        let (port, used) = place.mappings.datagrams.entry(to).or_insert_with(|| (next(), now));
        if now.since(*used) > nat.udp_idle.duration() {
            *port = next();
        }
        *used = now;
        SocketAddr::new(from.ip(), *port)
    }

    /// Whether a datagram for `to` gets to the node that has that address.
    pub(super) fn nat_in(&self, node: usize, to: SocketAddr, from: SocketAddr, now: Instant) -> bool {
        let place = &self.places[node];
        let Some(nat) = &place.link.nat else { return true };
        let lives = |(port, used): &(u16, Instant)| *port == to.port() && now.since(*used) <= nat.udp_idle.duration();
        match nat.kind {
            NatKind::FullCone => place.mappings.datagrams.values().any(lives),
            NatKind::PortRestricted | NatKind::Symmetric => place.mappings.datagrams.get(&from).is_some_and(lives),
        }
    }

    /// A node tries to open a stream.
    pub(super) fn nat_connects(&mut self, node: usize, to: IpAddr, now: Instant) {
        let place = &mut self.places[node];
        if place.link.nat.is_some() {
            place.mappings.streams.insert(to, now);
        }
    }

    /// Whether a stream that another node opens gets in.
    pub(super) fn nat_lets_in(&self, node: usize, from: usize, now: Instant) -> bool {
        let place = &self.places[node];
        let Some(nat) = &place.link.nat else { return true };
        let tried = self.addresses(from).filter_map(|address| place.mappings.streams.get(&address.ip())).max();
        let from_elsewhere = self.places[from].link.nat.as_ref().is_some_and(|nat| nat.kind == NatKind::Symmetric);
        let matches = match nat.kind {
            NatKind::FullCone => true,
            // Whoever has another port for everybody comes from another than was tried.
            NatKind::PortRestricted => !from_elsewhere,
            NatKind::Symmetric => false,
        };
        matches && tried.is_some_and(|tried| now.since(*tried) <= nat.tcp_idle.duration())
    }

    /// Whether a node's router has forgotten a stream over which nothing went since `used`.
    pub(super) fn nat_forgot(&self, node: usize, used: Instant, now: Instant) -> bool {
        self.places[node].link.nat.as_ref().is_some_and(|nat| now.since(used) > nat.tcp_idle.duration())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        agenda::Agenda,
        network::{End, Event, Link, Notice, Settings},
    };
    use bytes::Bytes;
    use rustor_core::{error::StreamError, rng::Rng, time::Duration};

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 6881))
    }

    /// Two in the open, and one behind a router.
    struct Three {
        network: Network,
        agenda: Agenda<Event>,
    }

    const OPEN: usize = 0;
    const OTHER: usize = 1;
    const BEHIND: usize = 2;

    impl Three {
        fn new(kind: NatKind) -> Three {
            let mut network = Network::new(Settings::default(), Rng::new(rustor_core::rng::Seed::from_u64(1)));
            let nat = Nat { kind, udp_idle: Span::seconds(30), tcp_idle: Span::seconds(60) };
            network.join(address(0), Link::default());
            network.join(address(1), Link::default());
            network.join(address(2), Link { nat: Some(nat), ..Link::default() });
            Three { network, agenda: Agenda::new(None) }
        }

        /// What is told until `seconds` have passed.
        fn pass(&mut self, seconds: u64) -> Vec<Notice> {
            let end = self.agenda.now() + Duration::from_secs(seconds);
            while let Some(event) = self.agenda.next(end) {
                self.network.happen(event, &mut self.agenda);
            }
            std::iter::from_fn(|| self.network.notice()).collect()
        }

        fn send(&mut self, from: usize, to: SocketAddr) -> Option<SocketAddr> {
            self.network.send_datagram(from, to, Bytes::from_static(b"hello"), &mut self.agenda);
            self.pass(1).into_iter().find_map(|notice| match notice {
                Notice::Datagram { from, .. } => Some(from),
                _ => None,
            })
        }

        /// A stream from one to another, both ends; `None` if it does not come to be.
        fn stream(&mut self, from: usize, to: usize) -> Option<[End; 2]> {
            let opened = self.network.connect(from, 1, address(to as u8), &mut self.agenda)?;
            let incoming = self.pass(5).into_iter().find_map(|notice| match notice {
                Notice::Incoming { end, .. } => Some(end),
                _ => None,
            });
            let Some(incoming) = incoming else {
                self.network.close(opened, &mut self.agenda);
                return None;
            };
            self.network.accept(incoming, 2, &mut self.agenda);
            self.pass(1);
            Some([opened, incoming])
        }

        /// What becomes of a byte that is sent on a stream: whether the other end read it, and what the sender is told.
        fn say(&mut self, [from, to]: [End; 2], seconds: u64) -> (bool, Option<StreamError>) {
            self.network.read(to, 100, &mut self.agenda);
            self.network.read(from, 100, &mut self.agenda);
            self.network.write(from, [Bytes::from_static(b"x")], &mut self.agenda);
            let (mut came, mut error) = (false, None);
            for notice in self.pass(seconds) {
                if let Notice::Read { socket, result, .. } = notice {
                    came |= result.is_ok();
                    error = error.or(result.err().filter(|_| socket == from.side as u64 + 1));
                }
            }
            (came, error)
        }
    }

    #[test]
    fn a_full_cone_lets_everybody_in_once_it_has_sent() {
        let mut three = Three::new(NatKind::FullCone);
        assert_eq!(three.send(OPEN, address(2)), None);
        assert_eq!(three.send(BEHIND, address(0)), Some(address(2)));
        assert_eq!(three.send(OTHER, address(2)), Some(address(1)));
        three.pass(30);
        assert_eq!(three.send(OTHER, address(2)), None, "the mapping was idle for too long");
    }

    #[test]
    fn a_restricted_router_lets_in_whom_it_has_sent_to() {
        let mut three = Three::new(NatKind::PortRestricted);
        three.send(BEHIND, address(0));
        assert_eq!(three.send(OTHER, address(2)), None);
        assert_eq!(three.send(OPEN, address(2)), Some(address(0)));
        three.pass(30);
        assert_eq!(three.send(OPEN, address(2)), None);
    }

    #[test]
    fn a_symmetric_router_shows_everybody_another_port() {
        let mut three = Three::new(NatKind::Symmetric);
        let seen = [OPEN, OTHER].map(|node| three.send(BEHIND, address(node as u8)).expect("it comes out"));
        assert_ne!(seen[0].port(), seen[1].port());
        assert_eq!(three.send(OTHER, seen[0]), None);
        assert_eq!(three.send(OPEN, address(2)), None);
        assert!(three.send(OPEN, seen[0]).is_some());
    }

    #[test]
    fn streams_get_in_from_where_one_was_tried_unless_the_router_is_symmetric() {
        for (kind, gets_in) in [(NatKind::FullCone, true), (NatKind::PortRestricted, true), (NatKind::Symmetric, false)] {
            let mut three = Three::new(kind);
            assert!(three.stream(OPEN, BEHIND).is_none());
            three.stream(BEHIND, OPEN).expect("the way out is open");
            assert!(three.stream(OTHER, BEHIND).is_none());
            assert_eq!(three.stream(OPEN, BEHIND).is_some(), gets_in, "{kind:?}");
        }
    }

    #[test]
    fn a_forgotten_stream_is_a_black_hole_from_outside_and_broken_from_inside() {
        let mut three = Three::new(NatKind::PortRestricted);
        let [inner, outer] = three.stream(BEHIND, OPEN).expect("the way out is open");
        for _ in 0..5 {
            three.pass(50);
            assert_eq!(three.say([inner, outer], 5), (true, None), "what is used is not forgotten");
        }
        three.pass(61);
        assert_eq!(three.say([outer, inner], 20), (false, None));
        assert_eq!(three.say([inner, outer], 1), (false, Some(StreamError::Reset)));
        assert_eq!(three.say([outer, inner], 200), (false, Some(StreamError::TimedOut)));
    }
}
