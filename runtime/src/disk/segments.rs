use bytes::Bytes;
use std::io::IoSlice;

/// What is left to be written of a piece's bytes, which lie in any number of segments.
pub(crate) struct Rest<'a> {
    segments: std::slice::Iter<'a, Bytes>,
    segment: &'a [u8],
}

impl<'a> Rest<'a> {
    pub(crate) fn of(segments: &'a [Bytes]) -> Rest<'a> {
        Rest { segments: segments.iter(), segment: &[] }
    }

    /// Adds the next `length` bytes to `slices`, or as many as there are; never an empty slice.
    pub(crate) fn take(&mut self, mut length: u64, slices: &mut Vec<IoSlice<'a>>) {
        while length > 0 {
            if self.segment.is_empty() {
                let Some(next) = self.segments.next() else { break };
                self.segment = next;
                continue;
            }
            let now = length.min(self.segment.len() as u64) as usize;
            let (taken, rest) = self.segment.split_at(now);
            slices.push(IoSlice::new(taken));
            self.segment = rest;
            length -= now as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cutting_a_piece_loses_and_moves_nothing(
            segments in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..10),
            cuts in prop::collection::vec(1u64..8, 0..12),
        ) {
            let whole = segments.concat();
            let segments: Vec<Bytes> = segments.into_iter().map(Bytes::from).collect();
            let mut rest = Rest::of(&segments);
            let mut at = 0;
            for cut in cuts {
                let mut slices = Vec::new();
                rest.take(cut, &mut slices);
                prop_assert!(slices.iter().all(|slice| !slice.is_empty()));
                let end = whole.len().min(at + cut as usize);
                prop_assert_eq!(slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<_>>(), &whole[at..end]);
                at = end;
            }
        }
    }
}
