use bytes::Bytes;
use rustor_core::time::{Duration, Instant};
use std::collections::VecDeque;

/// How a node is connected to the others.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Time from this node to the middle of the network, each way.
    pub delay: Duration,
    /// Bytes a second that leave; `None` for no limit.
    pub upload: Option<u64>,
}

impl Default for Link {
    fn default() -> Link {
        Link { delay: Duration::from_millis(10), upload: None }
    }
}

/// One direction of a stream: bytes that were taken from the writer and not yet by the reader.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// What has arrived.
    arrived: VecDeque<Bytes>,
    /// Bytes on the way or arrived.
    held: usize,
    /// The writer is gone; nothing more will come once what is on the way has arrived.
    pub(crate) ended: bool,
}

/// What a pipe holds before a write waits, as a socket's buffers do.
pub(crate) const CAPACITY: usize = 512 << 10;

impl Pipe {
    pub(crate) fn has_room(&self) -> bool {
        self.held < CAPACITY
    }

    pub(crate) fn send(&mut self, bytes: usize) {
        self.held += bytes;
    }

    pub(crate) fn arrive(&mut self, data: Bytes) {
        self.arrived.push_back(data);
    }

    /// Takes up to `limit` bytes of what has arrived, in one slice if possible: payload is passed on, not copied.
    pub(crate) fn take(&mut self, limit: usize) -> Option<Bytes> {
        let mut first = self.arrived.pop_front()?;
        if first.len() > limit {
            let rest = first.split_off(limit);
            self.arrived.push_front(rest);
        }
        self.held -= first.len();
        Some(first)
    }
}

/// When bytes that leave a node now have all left it: one after the other at the node's rate.
pub(crate) fn departure(now: Instant, free_at: &mut Instant, link: &Link, bytes: usize) -> Instant {
    let start = now.max(*free_at);
    let micros = link.upload.map_or(0, |rate| bytes as u64 * 1_000_000 / rate.max(1));
    *free_at = start + Duration::from_micros(micros);
    *free_at
}
