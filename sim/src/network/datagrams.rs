use super::{Datagram, Event, Events, Network, Notice};
use bytes::Bytes;
use rustor_core::time::Duration;
use std::net::SocketAddr;

impl Network {
    /// Sends a datagram from a node to whoever has the address: best effort, no word of what became of it.
    pub fn send_datagram<W: From<Event>>(&mut self, node: usize, to: SocketAddr, payload: Bytes, agenda: &mut Events<W>) {
        let Some(target) = self.by_ip.get(&to.ip()).copied() else { return };
        let Some(own) = self.source(node, to.ip()) else { return };
        let (now, length) = (agenda.now(), payload.len() as u64);
        let from = self.nat_out(node, own, to, now);
        let lost = self.lost(node, now);
        // A router on either side may not say that it is too long.
        let too_long = [node, target].iter().any(|end| self.places[*end].link.largest_datagram.is_some_and(|most| length > most.0));
        if too_long || self.queue_is_full(node, agenda) {
            return;
        }
        let leaves = self.occupy(node, length, now);
        let place = &mut self.places[node];
        let link = &place.link;
        if link.up.is_some() {
            place.datagrams.push_back((leaves, length));
        }
        let (reorder, duplicate, detour) = (link.reorder, link.duplicate, link.jitter.0 * 2 + 10_000);
        if lost || !self.passable(node, target) {
            return;
        }
        let copies = if self.rng.below(100) < u64::from(duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            let late = self.rng.below(100) < u64::from(reorder);
            let delay = self.delay(node, target) + Duration::from_micros(if late { detour } else { 0 });
            let datagram = Datagram { to: target, at: to, from, payload: payload.clone(), booked: false };
            agenda.at(leaves + delay, target, Event::Datagram(Box::new(datagram)).into());
        }
    }

    /// Whether more than the queue may hold waits for a node's way out, after that which has left is gone from it.
    fn queue_is_full<W>(&mut self, node: usize, agenda: &Events<W>) -> bool {
        let place = &mut self.places[node];
        while place.datagrams.front().is_some_and(|(leaves, _)| *leaves <= agenda.now()) {
            place.datagrams.pop_front();
        }
        place.datagrams.iter().map(|(_, length)| length).sum::<u64>() > place.link.queue.0
    }

    pub(super) fn datagram_arrives<W: From<Event>>(&mut self, mut datagram: Box<Datagram>, agenda: &mut Events<W>) {
        let (now, to) = (agenda.now(), datagram.to);
        if self.places[to].dark {
            return;
        }
        if !datagram.booked {
            let passed = self.passes(to, datagram.payload.len() as u64, now);
            if passed > now {
                datagram.booked = true;
                return agenda.at(passed, to, Event::Datagram(datagram).into());
            }
        }
        let Datagram { at, from, payload, .. } = *datagram;
        if !self.places[to].deaf && self.nat_in(to, at, from, now) {
            self.notices.push_back(Notice::Datagram { node: to, from, payload });
        }
    }
}
