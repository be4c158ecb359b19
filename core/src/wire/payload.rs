use alloc::vec::Vec;
use bytes::Bytes;
use core::{fmt, mem};
use smallvec::SmallVec;

/// A block's bytes as they were read: one slice of the read buffer, two where the block straddles two reads, seldom more.
///
/// Two payloads are equal if their bytes are, however they are cut.
#[derive(Clone, Default)]
pub struct Payload(SmallVec<[Bytes; 2]>);

impl Payload {
    /// The most slices that a payload out of a [`Decoder`](super::Decoder) has, however the peer dribbled it.
    pub const MAX_SLICES: usize = 8;

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The slices in their order, none of them empty.
    pub fn slices(&self) -> &[Bytes] {
        &self.0
    }

    /// All bytes in one slice; copied if there was more than one.
    pub fn into_bytes(mut self) -> Bytes {
        match self.0.len() {
            0 | 1 => self.0.pop().unwrap_or_default(),
            _ => self.0.concat().into(),
        }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Payload {
        let mut slices = SmallVec::new();
        if !bytes.is_empty() {
            slices.push(bytes);
        }
        Payload(slices)
    }
}

impl FromIterator<Bytes> for Payload {
    fn from_iter<I: IntoIterator<Item = Bytes>>(slices: I) -> Payload {
        Payload(slices.into_iter().filter(|slice| !slice.is_empty()).collect())
    }
}

impl IntoIterator for Payload {
    type Item = Bytes;
    type IntoIter = smallvec::IntoIter<[Bytes; 2]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        self.len() == other.len() && self.0.iter().flatten().eq(other.0.iter().flatten())
    }
}
impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in {} slices", self.len(), self.0.len())
    }
}

/// A payload under way: it keeps the long fragments as they are and copies the short ones together.
///
/// However a peer cuts its sends, this pins fewer than [`Payload::MAX_SLICES`] read buffers and copies each byte at most a few
/// times.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    /// What came before `tail`.
    slices: SmallVec<[Bytes; 2]>,
    /// Fragments copied together, after all slices.
    tail: Vec<u8>,
}

impl Assembly {
    /// A fragment shorter than this is copied: a slice pins the whole buffer it lies in.
    pub(super) const SHORTEST_SLICE: usize = 1024;

    /// Adds `fragment`, of which `missing` bytes can still come, this one included.
    pub(crate) fn add(&mut self, fragment: Bytes, missing: usize) {
        // One place is left for a tail after the last slice, and one for what a tail becomes before it.
        if fragment.len() < Self::SHORTEST_SLICE || self.slices.len() + 2 >= Payload::MAX_SLICES {
            self.copy(&fragment, missing);
        } else {
            self.close_tail();
            self.slices.push(fragment);
        }
    }

    /// Adds a copy of `fragment`, of which `missing` bytes can still come, this one included.
    pub(super) fn copy(&mut self, fragment: &[u8], missing: usize) {
        if self.tail.capacity() - self.tail.len() < fragment.len() {
            // Memory follows what came, not what was announced.
            self.tail.reserve_exact(fragment.len().max(self.tail.len()).min(missing));
        }
        self.tail.extend_from_slice(fragment);
    }

    /// What came, as a block's payload.
    pub(crate) fn into_payload(mut self) -> Payload {
        self.close_tail();
        Payload(self.slices)
    }

    /// How much memory the copied fragments take, in bytes.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.tail.capacity()
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.slices.push(mem::take(&mut self.tail).into());
        }
    }
}
