use crate::payload::Payload;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;

/// A file of a torrent: where it holds what it ought to, and where something else. What was never written is zero.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// Where in the payload the file begins.
    pub(super) base: u64,
    pub(super) length: u64,
    pub(super) modified: i64,
    /// By offset; they do not overlap.
    pub(super) runs: BTreeMap<u64, Run>,
}

#[derive(Clone, Debug)]
pub(super) enum Run {
    /// So many bytes as in the payload.
    True(u64),
    Other(Bytes),
}

impl Run {
    fn length(&self) -> u64 {
        match self {
            Run::True(length) => *length,
            Run::Other(bytes) => bytes.len() as u64,
        }
    }

    fn part(&self, from: u64, to: u64) -> Run {
        match self {
            Run::True(_) => Run::True(to - from),
            Run::Other(bytes) => Run::Other(bytes.slice(from as usize..to as usize)),
        }
    }
}

impl File {
    /// Writes what the payload has at this place.
    pub(super) fn write_true(&mut self, mut offset: u64, mut length: u64) {
        self.make_room(offset, length);
        if let Some((start, Run::True(before))) = self.runs.range(..offset).next_back()
            && start + before == offset
        {
            (offset, length) = (*start, length + before);
        }
        if let Some(Run::True(after)) = self.runs.get(&(offset + length)) {
            let after = *after;
            self.runs.remove(&(offset + length));
            length += after;
        }
        self.runs.insert(offset, Run::True(length));
    }

    /// Writes anything.
    pub(super) fn write(&mut self, offset: u64, data: Bytes) {
        if !data.is_empty() {
            self.make_room(offset, data.len() as u64);
            self.runs.insert(offset, Run::Other(data));
        }
    }

    /// Gives the file this length; what comes to be behind its end is gone.
    pub(super) fn cut(&mut self, length: u64) {
        if self.length > length || self.runs.last_key_value().is_some_and(|(start, run)| start + run.length() > length) {
            self.make_room(length, u64::MAX - length);
        }
        self.length = length;
    }

    /// Cuts all runs out of a range.
    fn make_room(&mut self, offset: u64, length: u64) {
        let end = offset + length;
        self.length = self.length.max(end);
        let first = self.runs.range(..offset).next_back().map_or(offset, |(start, _)| *start);
        let overlapping: Vec<u64> =
            self.runs.range(first..end).filter(|(start, run)| *start + run.length() > offset).map(|(start, _)| *start).collect();
        for start in overlapping {
            let Some(run) = self.runs.remove(&start) else { continue };
            let stop = start + run.length();
            if start < offset {
                self.runs.insert(start, run.part(0, offset - start));
            }
            if stop > end {
                self.runs.insert(end, run.part(end - start, stop - start));
            }
        }
    }

    /// The bytes of a range; of the shared copy, if they are true.
    pub(super) fn read(&self, offset: u64, length: u64, payload: &Payload) -> Bytes {
        let end = offset + length;
        if let Some((start, Run::True(run))) = self.runs.range(..=offset).next_back()
            && start + run >= end
        {
            return payload.slice(self.base + offset, length);
        }
        let mut data = BytesMut::zeroed(length as usize);
        let first = self.runs.range(..offset).next_back().map_or(offset, |(start, _)| *start);
        for (start, run) in self.runs.range(first..end) {
            let (from, to) = (offset.max(*start), end.min(start + run.length()));
            if from < to {
                let bytes = match run {
                    Run::True(_) => payload.slice(self.base + from, to - from),
                    Run::Other(bytes) => bytes.slice((from - start) as usize..(to - start) as usize),
                };
                data[(from - offset) as usize..(to - offset) as usize].copy_from_slice(&bytes);
            }
        }
        data.freeze()
    }

    /// Whether a range holds what the payload has there. Nothing is copied to find out.
    pub(super) fn is_true(&self, offset: u64, length: u64, payload: &Payload) -> bool {
        let end = offset + length;
        let zeros = |from: u64, to: u64| from >= to || payload.slice(self.base + from, to - from).iter().all(|byte| *byte == 0);
        let mut at = offset;
        let first = self.runs.range(..offset).next_back().map_or(offset, |(start, _)| *start);
        for (start, run) in self.runs.range(first..end) {
            let (from, to) = (offset.max(*start), end.min(start + run.length()));
            if from < to {
                let same = match run {
                    Run::True(_) => true,
                    Run::Other(bytes) => payload.is_true(self.base + from, [&bytes[(from - start) as usize..(to - start) as usize]]),
                };
                if !same || !zeros(at, from) {
                    return false;
                }
                at = to;
            }
        }
        end <= self.length && zeros(at, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However it was written, a file reads as a plain vector would.
        #[test]
        fn a_file_is_what_was_written(writes in proptest::collection::vec((0usize..900, 1usize..200, any::<bool>(), any::<u8>()), 0..30)) {
            let payload = Payload::new("file", 1200, 1024, 1);
            let (mut file, mut plain) = (File::default(), vec![0; 1200]);
            for (offset, length, truth, byte) in writes {
                let range = offset..offset + length;
                if truth {
                    file.write_true(offset as u64, length as u64);
                    plain[range.clone()].copy_from_slice(&payload.data[range]);
                } else {
                    file.write(offset as u64, vec![byte; length].into());
                    plain[range].fill(byte);
                }
            }
            prop_assert_eq!(&file.read(0, 1200, &payload)[..], &plain[..]);
            for offset in (0..1100).step_by(90) {
                let (from, to) = (offset as u64, offset + 100);
                prop_assert_eq!(&file.read(from, 100, &payload)[..], &plain[offset..to]);
                let fits = to as u64 <= file.length && plain[offset..to] == payload.data[offset..to];
                prop_assert_eq!(file.is_true(from, 100, &payload), fits);
            }
        }
    }
}
