use super::Source;
use crate::storage::Fingerprint;
use alloc::{collections::BTreeMap, vec::Vec};

/// Bad copies of pieces, kept until a good one shows which of their blocks were wrong.
///
/// A bad piece whose blocks all came from one peer is that peer's fault. Otherwise nobody is blamed until the true piece is
/// known: whoever sent a block that differs from it is guilty, and nobody else is.
#[derive(Debug, Default)]
pub(crate) struct Blame {
    copies: BTreeMap<u32, Vec<BadCopy>>,
}

#[derive(Debug)]
struct BadCopy {
    sources: Vec<Source>,
    fingerprints: Vec<Fingerprint>,
}

/// Copies of one piece that are kept: more would only be memory for a hostile swarm to fill.
const COPIES: usize = 8;

impl Blame {
    /// A copy of `piece` did not fit its hash. Returns the one peer that sent all of it, if it was one.
    pub(crate) fn bad_copy(&mut self, piece: u32, sources: Vec<Source>, fingerprints: Vec<Fingerprint>) -> Option<Source> {
        let first = *sources.first()?;
        if sources.iter().all(|source| *source == first) {
            return Some(first);
        }
        let copies = self.copies.entry(piece).or_default();
        if copies.len() < COPIES && sources.len() == fingerprints.len() {
            copies.push(BadCopy { sources, fingerprints });
        }
        None
    }

    /// The true `piece` is known, and `fingerprints` are those of its blocks. Returns who sent others.
    pub(crate) fn good_copy(&mut self, piece: u32, fingerprints: &[Fingerprint]) -> Vec<Source> {
        let copies = self.copies.remove(&piece).unwrap_or_default();
        let mut guilty: Vec<Source> = copies
            .iter()
            .flat_map(|copy| copy.sources.iter().zip(&copy.fingerprints).zip(fingerprints))
            .filter(|((_, sent), good)| sent != good)
            .map(|((source, _), _)| *source)
            .collect();
        guilty.sort();
        guilty.dedup();
        guilty
    }

    /// Whether a bad copy of `piece` waits for its judgement.
    pub(crate) fn suspects(&self, piece: u32) -> bool {
        self.copies.contains_key(&piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::net::SocketAddr;

    fn source(number: u8) -> Source {
        Source::Peer(SocketAddr::from(([10, 0, 0, number], 1)))
    }

    #[test]
    fn only_who_sent_a_wrong_block_is_guilty() {
        let mut blame = Blame::default();
        let bad = vec![[1; 8], [2; 8], [9; 8]];
        assert_eq!(blame.bad_copy(5, vec![source(1), source(2), source(3)], bad), None);
        assert!(blame.suspects(5));
        assert_eq!(blame.good_copy(5, &[[1; 8], [2; 8], [3; 8]]), [source(3)]);
        assert!(!blame.suspects(5));
    }

    #[test]
    fn who_sent_all_of_a_bad_piece_is_guilty_at_once() {
        let mut blame = Blame::default();
        assert_eq!(blame.bad_copy(5, vec![source(1); 3], vec![[0; 8]; 3]), Some(source(1)));
        assert!(!blame.suspects(5));
    }
}
