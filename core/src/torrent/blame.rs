use super::Source;
use crate::{
    storage::Fingerprint,
    time::{Duration, Instant},
};
use alloc::{collections::BTreeMap, vec::Vec};

/// Bad copies of pieces, kept until a good one shows which of their blocks were wrong.
///
/// A bad piece whose blocks all came from one peer is that peer's fault. Otherwise nobody is blamed until the true piece is
/// known: whoever sent a block that differs from it is guilty, and nobody else is.
#[derive(Debug, Default)]
pub(crate) struct Blame {
    copies: BTreeMap<u32, Vec<BadCopy>>,
    /// The pieces that are fetched from one source alone.
    trials: BTreeMap<u32, Trial>,
}

/// A piece is fetched from one source alone after it failed.
#[derive(Debug)]
struct Trial {
    /// Blocks that were missing when somebody last looked.
    missing: u32,
    /// When to look again.
    due: Instant,
    /// Who had it before and was too slow.
    tried: Vec<Source>,
}

#[derive(Debug)]
struct BadCopy {
    /// Nobody is to blame for what came in an earlier session.
    sources: Vec<Option<Source>>,
    fingerprints: Vec<Fingerprint>,
}

/// Copies of one piece that are kept: more would only be memory for a hostile swarm to fill.
const COPIES: usize = 8;

impl Blame {
    /// A copy of `piece` did not fit its hash. Returns the one peer that sent all of it, if it was one.
    pub(crate) fn bad_copy(&mut self, piece: u32, sources: Vec<Option<Source>>, fingerprints: Vec<Fingerprint>) -> Option<Source> {
        let first = *sources.first()?;
        if sources.iter().all(|source| *source == first) {
            return first;
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
            .filter_map(|((source, _), _)| *source)
            .collect();
        guilty.sort();
        guilty.dedup();
        guilty
    }

    /// Whether `source` sent anything of a bad copy of `piece`, or had it to itself and was too slow.
    pub(crate) fn is_doubtful(&self, piece: u32, source: Source) -> bool {
        let sent = self.copies.get(&piece).is_some_and(|copies| copies.iter().any(|copy| copy.sources.contains(&Some(source))));
        sent || self.trials.get(&piece).is_some_and(|trial| trial.tried.contains(&source))
    }

    /// `piece`, of which `missing` blocks have not come, is fetched from one source alone; `slow` was too slow before.
    pub(crate) fn on_trial(&mut self, now: Instant, patience: Duration, piece: u32, missing: u32, slow: Option<Source>) {
        let trial = self.trials.entry(piece).or_insert(Trial { missing, due: now, tried: Vec::new() });
        (trial.missing, trial.due) = (missing, now + patience);
        trial.tried.extend(slow);
    }

    /// `piece` is no longer fetched from one source alone.
    pub(crate) fn end_trial(&mut self, piece: u32) {
        self.trials.remove(&piece);
    }

    /// Whether at least half of the blocks have come that were missing when somebody last looked.
    pub(crate) fn goes_well(&self, piece: u32, missing: u32) -> bool {
        self.trials.get(&piece).is_some_and(|trial| missing <= trial.missing / 2)
    }

    /// The pieces to look at.
    pub(crate) fn trials_due(&self, now: Instant) -> Vec<u32> {
        self.trials.iter().filter(|(_, trial)| trial.due <= now).map(|(piece, _)| *piece).collect()
    }

    /// When there is the next one.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.trials.values().map(|trial| trial.due).min()
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

    fn source(number: u8) -> Option<Source> {
        Some(Source::Peer(SocketAddr::from(([10, 0, 0, number], 1))))
    }

    #[test]
    fn only_who_sent_a_wrong_block_is_guilty() {
        let mut blame = Blame::default();
        let bad = vec![[1; 8], [2; 8], [9; 8]];
        assert_eq!(blame.bad_copy(5, vec![source(1), source(2), source(3)], bad), None);
        assert!(blame.suspects(5));
        assert_eq!(blame.good_copy(5, &[[1; 8], [2; 8], [3; 8]]), [source(3).unwrap()]);
        assert!(!blame.suspects(5));
    }

    #[test]
    fn nobody_is_guilty_of_an_earlier_sessions_blocks() {
        let mut blame = Blame::default();
        assert_eq!(blame.bad_copy(5, vec![None, None], vec![[0; 8]; 2]), None);
        assert_eq!(blame.bad_copy(6, vec![None, source(1), source(2)], vec![[9; 8], [1; 8], [8; 8]]), None);
        assert_eq!(blame.good_copy(6, &[[0; 8], [1; 8], [2; 8]]), [source(2).unwrap()]);
    }

    #[test]
    fn who_sent_all_of_a_bad_piece_is_guilty_at_once() {
        let mut blame = Blame::default();
        assert_eq!(blame.bad_copy(5, vec![source(1); 3], vec![[0; 8]; 3]), source(1));
        assert!(!blame.suspects(5));
    }
}
