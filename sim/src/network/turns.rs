//! [`Level::Streams`](super::Level): a link carries one segment after the other, the streams of a node taking turns.

use super::{Event, Events, Network, StreamKey, transmission};
use std::collections::VecDeque;

/// The way out of a node.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    /// Ways with something to send, in the order of their turns.
    queue: VecDeque<(StreamKey, usize)>,
    busy: bool,
}

impl Network {
    pub(super) fn take_turns<W: From<Event>>(&mut self, node: usize, key: StreamKey, side: usize, agenda: &mut Events<W>) {
        self.places[node].uplink.queue.push_back((key, side));
        if !self.places[node].uplink.busy {
            self.uplink_free(node, agenda);
        }
    }

    /// The link carries what is next, if anything is.
    pub(super) fn uplink_free<W: From<Event>>(&mut self, node: usize, agenda: &mut Events<W>) {
        self.places[node].uplink.busy = true;
        while let Some((key, side)) = self.places[node].uplink.queue.pop_front() {
            let Some(bytes) = self.next_segment(key, side) else { continue };
            let leaves = agenda.now() + transmission(bytes, self.places[node].link.up);
            self.segment_leaves(key, side, bytes, leaves, agenda);
            self.send_more(key, side, agenda);
            if leaves > agenda.now() {
                return agenda.at(leaves, Event::Free(node).into());
            }
        }
        self.places[node].uplink.busy = false;
    }
}
