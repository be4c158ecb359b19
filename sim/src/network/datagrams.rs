use super::{Datagram, Event, Events, Network, Notice, transmission};
use bytes::Bytes;
use rustor_core::time::{Duration, Instant};
use std::net::SocketAddr;

impl Network {
    /// Sends a datagram from a node to whoever has the address: best effort, no word of what became of it.
    pub fn send_datagram<W: From<Event>>(&mut self, node: usize, to: SocketAddr, payload: Bytes, agenda: &mut Events<W>) {
        let Some(target) = self.by_ip.get(&to.ip()).copied() else { return };
        let now = agenda.now();
        let from = self.nat_out(node, to, now);
        let lost = self.lost(node, now);
        let place = &mut self.places[node];
        let link = &place.link;
        let waiting = place.datagrams_free.since(now);
        let full = link.up.is_some_and(|rate| waiting > transmission(link.queue.0, Some(rate)));
        let too_long = link.largest_datagram.is_some_and(|largest| payload.len() as u64 > largest.0);
        if full || too_long {
            return;
        }
        place.datagrams_free = now.max(place.datagrams_free) + transmission(payload.len() as u64, link.up);
        let leaves = place.datagrams_free;
        let (reorder, duplicate, detour) = (link.reorder, link.duplicate, link.jitter.0 * 2 + 10_000);
        if lost || !self.passable(node, target) {
            return;
        }
        let copies = if self.rng.below(100) < u64::from(duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let late = self.rng.below(100) < u64::from(reorder);
            let delay = self.delay(node, target) + Duration::from_micros(if late { detour } else { 0 });
            let datagram = Datagram { to: target, at: to, from, payload: payload.clone() };
            agenda.at(leaves + delay, target, Event::Datagram(Box::new(datagram)).into());
        }
    }

    pub(super) fn datagram_arrives(&mut self, Datagram { to, at, from, payload }: Datagram, now: Instant) {
        if !self.places[to].dark && !self.places[to].deaf && self.nat_in(to, at, from, now) {
            self.notices.push_back(Notice::Datagram { node: to, from, payload });
        }
    }
}
