//! [`Level::Streams`](super::Level): a link carries one segment after the other, the streams of a node taking turns. Short messages
//! slip in between, as packets of a quiet stream do where each stream has its share.

use super::{Event, Events, NEGLIGIBLE, Network, StreamKey, transmission};
use rustor_core::time::{Duration, Instant};
use std::collections::VecDeque;

/// The way out of a node.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    /// Ways with something to send, in the order of their turns.
    queue: VecDeque<(StreamKey, usize)>,
    /// Somebody is at it, or it is known when to go on.
    busy: bool,
    /// When all that was sent has left, what slipped in between included.
    free_at: Instant,
    /// Bytes that have slipped in since the link was last idle or carried a long segment.
    ahead: u64,
}

/// Once so many bytes have slipped in, short messages wait for their turns, too.
const MOST_AHEAD: u64 = 16 << 10;
/// The link counts as free a little early, so that what slipped in between costs no event.
const SLACK: Duration = Duration::from_millis(2);

impl Network {
    pub(super) fn take_turns<W: From<Event>>(&mut self, node: usize, key: StreamKey, side: usize, agenda: &mut Events<W>) {
        let now = agenda.now();
        let short = self.streams.get(key).is_some_and(|stream| stream.unsent(side) <= NEGLIGIBLE);
        let place = &mut self.places[node];
        if place.uplink.free_at <= now {
            place.uplink.ahead = 0;
        }
        if short && place.uplink.ahead <= MOST_AHEAD {
            let Some(bytes) = self.next_segment(key, side) else { return };
            self.occupy(node, bytes, now);
            let place = &mut self.places[node];
            place.uplink.ahead += bytes;
            let leaves = now + transmission(bytes, place.link.up);
            self.segment_leaves(key, side, bytes, leaves, agenda);
            return self.send_more(key, side, agenda);
        }
        place.uplink.queue.push_back((key, side));
        if !place.uplink.busy {
            self.uplink_free(node, agenda);
        }
    }

    /// The link carries what is next, if anything is.
    pub(super) fn uplink_free<W: From<Event>>(&mut self, node: usize, agenda: &mut Events<W>) {
        let now = agenda.now();
        self.places[node].uplink.busy = true;
        while let Some((key, side)) = self.places[node].uplink.queue.pop_front() {
            let uplink = &mut self.places[node].uplink;
            if uplink.free_at > now + SLACK {
                uplink.queue.push_front((key, side));
                return agenda.at(uplink.free_at, node, Event::Free(node).into());
            }
            let Some(bytes) = self.next_segment(key, side) else { continue };
            let leaves = self.occupy(node, bytes, now);
            if bytes > NEGLIGIBLE {
                self.places[node].uplink.ahead = 0;
            }
            self.segment_leaves(key, side, bytes, leaves, agenda);
            self.send_more(key, side, agenda);
        }
        self.places[node].uplink.busy = false;
    }

    /// So many bytes stand behind what the link carries already: when the last of them has left.
    pub(super) fn occupy(&mut self, node: usize, bytes: u64, now: Instant) -> Instant {
        let place = &mut self.places[node];
        place.uplink.free_at = now.max(place.uplink.free_at) + transmission(bytes, place.link.up);
        place.uplink.free_at
    }
}
