use std::collections::BTreeMap;

/// Ranges of bytes, by file.
#[derive(Debug, Default)]
pub(super) struct Ranges(BTreeMap<String, BTreeMap<u64, u64>>);

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, path: &str, mut start: u64, mut end: u64) {
        if start >= end {
            return;
        }
        let ranges = self.0.entry(path.to_owned()).or_default();
        while let Some((known, stop)) =
            ranges.range(..=end).next_back().map(|(known, stop)| (*known, *stop)).filter(|(_, stop)| *stop >= start)
        {
            ranges.remove(&known);
            (start, end) = (start.min(known), end.max(stop));
        }
        ranges.insert(start, end);
    }

    /// Takes over all of another, and leaves nothing there.
    pub(super) fn append(&mut self, other: &mut Ranges) {
        for (path, ranges) in std::mem::take(&mut other.0) {
            ranges.into_iter().for_each(|(start, end)| self.add(&path, start, end));
        }
    }

    pub(super) fn remove(&mut self, path: &str, start: u64, end: u64) {
        let Some(ranges) = self.0.get_mut(path) else { return };
        while let Some((known, stop)) =
            ranges.range(..end).next_back().map(|(known, stop)| (*known, *stop)).filter(|(_, stop)| *stop > start)
        {
            ranges.remove(&known);
            if known < start {
                ranges.insert(known, start);
            }
            if stop > end {
                ranges.insert(end, stop);
            }
            // What is cut off on the left side lies before `start`, and ends the search.
        }
        if ranges.is_empty() {
            self.0.remove(path);
        }
    }

    /// Whether any byte of a range is among them.
    pub(super) fn touch(&self, path: &str, start: u64, end: u64) -> bool {
        self.0.get(path).is_some_and(|ranges| ranges.range(..end).next_back().is_some_and(|(_, stop)| *stop > start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranges_are_the_bytes_that_were_added_and_not_removed(changes in proptest::collection::vec((any::<bool>(), 0u64..60, 0u64..20), 0..40)) {
            let (mut ranges, mut plain) = (Ranges::default(), [false; 80]);
            for (add, start, length) in changes {
                if add { ranges.add("file", start, start + length) } else { ranges.remove("file", start, start + length) }
                plain[start as usize..(start + length) as usize].fill(add);
            }
            prop_assert_eq!(ranges.is_empty(), plain.iter().all(|set| !set));
            for start in 0..80u64 {
                for end in start + 1..=80 {
                    prop_assert_eq!(ranges.touch("file", start, end), plain[start as usize..end as usize].contains(&true));
                }
            }
        }
    }
}
