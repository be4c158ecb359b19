use crate::payload::Framed;
use bytes::{Bytes, BytesMut};
use std::{collections::VecDeque, mem};

/// Bytes of a stream, in the buffers in which they were written.
///
/// Messages that carry blocks of a known payload are noted down as such, however many follow one another, and handed out as one slice of
/// all such messages: most of what streams carry takes next to no room here, and is never copied.
#[derive(Debug, Default)]
pub(super) struct Parts(VecDeque<Part>);

#[derive(Debug)]
enum Part {
    Buffer(Bytes),
    /// Each message stands for two buffers, its head and its block.
    Messages(Run),
}

/// Messages with blocks that follow one another in their payload.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Which of the known payloads.
    payload: u32,
    /// The number of the first block, and of the one behind the last.
    first: u32,
    end: u32,
}

/// Buffers up to this length are read together with their neighbours.
const SHORT: usize = 1024;

impl Parts {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes in all.
    pub(super) fn bytes(&self, known: &[Framed]) -> u64 {
        self.0.iter().map(|part| part.bytes(known)).sum()
    }

    /// Appends a buffer.
    pub(super) fn push(&mut self, buffer: Bytes, known: &[Framed]) {
        if let Some(Part::Buffer(head)) = self.0.back()
            && head.len() == Framed::HEAD
            && let Some(run) = Run::of(head, &buffer, known)
        {
            self.0.pop_back();
            return self.push_run(run);
        }
        self.0.push_back(Part::Buffer(buffer));
    }

    fn push_run(&mut self, run: Run) {
        match self.0.back_mut() {
            Some(Part::Messages(before)) if before.payload == run.payload && before.end == run.first => before.end = run.end,
            _ => self.0.push_back(Part::Messages(run)),
        }
    }

    /// Puts a head in front of its block, if that is what it is and what is there first; says whether it did.
    fn pair(&mut self, head: &[u8], known: &[Framed]) -> bool {
        let Some(Part::Buffer(block)) = self.0.front() else { return false };
        let Some(run) = Run::of(head, block, known) else { return false };
        self.0.pop_front();
        match self.0.front_mut() {
            Some(Part::Messages(next)) if next.payload == run.payload && next.first == run.end => next.first = run.first,
            _ => self.0.push_front(Part::Messages(run)),
        }
        true
    }

    /// Appends all of another, and leaves nothing there.
    pub(super) fn append(&mut self, other: Parts, known: &[Framed]) {
        if self.is_empty() {
            *self = other;
            return;
        }
        for part in other.0 {
            match part {
                Part::Buffer(buffer) => self.push(buffer, known),
                Part::Messages(run) => self.push_run(run),
            }
        }
    }

    /// How many bytes leave at once if about `limit` may: whole buffers, if they are not too long.
    pub(super) fn leave_at_once(&self, limit: u64, known: &[Framed]) -> u64 {
        let mut bytes = 0;
        // Whether that is all.
        let mut add = |length: u64| {
            let too_long = bytes > 0 && bytes + length > limit + limit / 16;
            bytes += if too_long { 0 } else { length.min(limit) };
            too_long || bytes >= limit
        };
        for part in &self.0 {
            let full = match part {
                Part::Buffer(buffer) => add(buffer.len() as u64),
                Part::Messages(run) => (run.first..run.end)
                    .any(|block| add(Framed::HEAD as u64) || add(known[run.payload as usize].block_length(block) as u64)),
            };
            if full {
                break;
            }
        }
        bytes
    }

    /// Takes the first `left` bytes.
    pub(super) fn split_to(&mut self, mut left: u64, known: &[Framed]) -> Parts {
        let mut front = Parts::default();
        while left > 0
            && let Some(part) = self.0.pop_front()
        {
            let length = part.bytes(known);
            match part {
                part if length <= left => front.0.push_back(part),
                Part::Messages(run) => {
                    let (whole, rest) = run.split(left as usize, known);
                    left -= whole.bytes(known);
                    if whole.first < whole.end {
                        front.0.push_back(Part::Messages(whole));
                    }
                    self.0.push_front(Part::Messages(rest));
                    if left > 0
                        && let Some(head) = self.pop_buffer(known)
                    {
                        self.0.push_front(Part::Buffer(head));
                    }
                    continue;
                }
                Part::Buffer(mut buffer) => {
                    self.0.push_front(Part::Buffer(buffer.split_off(left as usize)));
                    front.0.push_back(Part::Buffer(buffer));
                }
            }
            left = left.saturating_sub(length);
        }
        front
    }

    /// Takes up to `limit` bytes that are read at once. Long buffers are passed on as they are, blocks with their heads; short ones are
    /// copied together.
    pub(super) fn read(&mut self, limit: usize, known: &[Framed]) -> Bytes {
        let data = match self.0.front_mut() {
            Some(Part::Messages(run)) if run.length_of_first(known) <= limit => {
                let (whole, rest) = run.split(limit, known);
                *run = rest;
                if rest.first == rest.end {
                    self.0.pop_front();
                }
                whole.messages(known)
            }
            _ => self.read_buffers(limit, known),
        };
        if self.is_empty() {
            // Idle streams take no room.
            self.0 = VecDeque::new();
        }
        data
    }

    fn read_buffers(&mut self, limit: usize, known: &[Framed]) -> Bytes {
        let Some(mut first) = self.pop_buffer(known) else { return Bytes::new() };
        if first.len() > limit {
            let rest = first.split_off(limit);
            if rest.len() != Framed::HEAD || !self.pair(&rest, known) {
                self.0.push_front(Part::Buffer(rest));
            }
            return first;
        }
        let mut together = BytesMut::new();
        loop {
            // A head that stands behind something else is for the next read, with its block.
            let long = |next: &Part| matches!(next, Part::Buffer(next) if next.len() > SHORT);
            if first.len() > Framed::HEAD
                && first.len() <= SHORT
                && self.0.front().is_some_and(long)
                && self.pair(&first[first.len() - Framed::HEAD..], known)
            {
                first.truncate(first.len() - Framed::HEAD);
            }
            let fits = |next: &Bytes| next.len() <= SHORT && together.len() + first.len() + next.len() <= limit;
            let follows = matches!(self.0.front(), Some(Part::Buffer(next)) if first.len() <= SHORT && fits(next));
            let Some(next) = follows.then(|| self.pop_buffer(known)).flatten() else { break };
            together.extend_from_slice(&mem::replace(&mut first, next));
        }
        if together.is_empty() {
            return first;
        }
        together.extend_from_slice(&first);
        together.freeze()
    }

    /// Takes the first buffer; of messages, the head of the first.
    fn pop_buffer(&mut self, known: &[Framed]) -> Option<Bytes> {
        match self.0.pop_front()? {
            Part::Buffer(buffer) => Some(buffer),
            Part::Messages(Run { payload, first, end }) => {
                let [head, block] = known[payload as usize].parts(first);
                if first + 1 < end {
                    self.0.push_front(Part::Messages(Run { payload, first: first + 1, end }));
                }
                self.0.push_front(Part::Buffer(block));
                Some(head)
            }
        }
    }
}

impl Part {
    fn bytes(&self, known: &[Framed]) -> u64 {
        match self {
            Part::Buffer(buffer) => buffer.len() as u64,
            Part::Messages(run) => run.bytes(known),
        }
    }
}

impl Run {
    /// The message that these two are, if the block is one of a known payload.
    fn of(head: &[u8], block: &[u8], known: &[Framed]) -> Option<Run> {
        let (payload, first) = known.iter().enumerate().find_map(|(payload, framed)| Some((payload, framed.find(head, block)?)))?;
        Some(Run { payload: payload as u32, first, end: first + 1 })
    }

    fn bytes(&self, known: &[Framed]) -> u64 {
        known[self.payload as usize].range(self.first, self.end).len() as u64
    }

    fn length_of_first(&self, known: &[Framed]) -> usize {
        known[self.payload as usize].range(self.first, self.first + 1).len()
    }

    /// As many messages as fit into `limit` bytes, and the rest.
    fn split(self, limit: usize, known: &[Framed]) -> (Run, Run) {
        let fitting = if self.bytes(known) <= limit as u64 { self.end - self.first } else { (limit / Framed::MESSAGE) as u32 };
        let middle = self.first + fitting;
        (Run { end: middle, ..self }, Run { first: middle, ..self })
    }

    fn messages(&self, known: &[Framed]) -> Bytes {
        let framed = &known[self.payload as usize];
        framed.messages.slice(framed.range(self.first, self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Payload;
    use proptest::{collection::vec, prelude::*};

    const MESSAGE: usize = Framed::MESSAGE;

    fn payload() -> Payload {
        Payload::new("file", 5 * 32_768 + 500, 32_768, 1)
    }

    /// A block as an engine writes it: behind `before` and its head, which it encodes by itself.
    fn written(payload: &Payload, before: &[u8], block: u32) -> [Bytes; 2] {
        let [head, block] = payload.framed.parts(block);
        [[before, &head].concat().into(), block]
    }

    fn parts(buffers: impl IntoIterator<Item = Bytes>, known: &[Framed]) -> Parts {
        let mut parts = Parts::default();
        buffers.into_iter().for_each(|buffer| parts.push(buffer, known));
        parts
    }

    #[test]
    fn blocks_that_follow_one_another_are_read_together_and_never_copied() {
        let payload = payload();
        let known = [payload.framed.clone()];
        let mut parts = parts([0, 1, 2, 4].into_iter().flat_map(|block| written(&payload, b"", block)), &known);
        let read = parts.read(2 * MESSAGE + 100, &known);
        assert_eq!((read.len(), read.as_ptr()), (2 * MESSAGE, payload.framed.messages.as_ptr()));
        assert_eq!(parts.read(MESSAGE, &known), payload.framed.messages.slice(2 * MESSAGE..3 * MESSAGE));
        assert_eq!(parts.read(1 << 20, &known), payload.framed.messages.slice(4 * MESSAGE..5 * MESSAGE));
        assert!(parts.is_empty());
    }

    #[test]
    fn what_stands_before_a_head_is_read_by_itself() {
        let payload = payload();
        let known = [payload.framed.clone()];
        let mut parts = parts([Bytes::from_static(b"one"), Bytes::from_static(b"two")], &known);
        written(&payload, b"three", 7).into_iter().chain(written(&payload, b"", 8)).for_each(|buffer| parts.push(buffer, &known));
        assert_eq!(parts.read(1 << 20, &known), b"onetwothree"[..]);
        assert_eq!(parts.read(1 << 20, &known).len(), 2 * MESSAGE);
    }

    proptest! {
        /// However it is cut on its way, what is read is what was written.
        #[test]
        fn what_is_read_was_written(
            written_blocks in vec((0u32..11, vec(any::<u8>(), 0..30)), 1..8),
            cuts in vec(1u64..40_000, 1..6),
            limits in vec(1usize..40_000, 1..6),
        ) {
            let payload = payload();
            let known = [payload.framed.clone()];
            let buffers: Vec<Bytes> = written_blocks.iter().flat_map(|(block, before)| written(&payload, before, *block)).collect();
            let mut waiting = parts(buffers.clone(), &known);
            let all = buffers.concat();
            prop_assert_eq!(waiting.bytes(&known), all.len() as u64);
            let (mut arrived, mut left) = (Parts::default(), all.len() as u64);
            for cut in cuts.iter().cycle() {
                if left == 0 {
                    break;
                }
                let at_once = waiting.leave_at_once(*cut, &known);
                prop_assert!(0 < at_once && at_once <= (cut + cut / 16).min(left));
                let segment = waiting.split_to(at_once, &known);
                prop_assert_eq!(segment.bytes(&known), at_once);
                arrived.append(segment, &known);
                left -= at_once;
            }
            prop_assert!(waiting.is_empty());
            let mut read = Vec::new();
            for limit in limits.iter().cycle() {
                if arrived.is_empty() {
                    break;
                }
                let data = arrived.read(*limit, &known);
                prop_assert!(!data.is_empty() && data.len() <= *limit);
                read.extend_from_slice(&data);
            }
            prop_assert_eq!(read.len(), all.len());
            prop_assert!(read == all);
        }
    }
}
