use crate::{run::Run, scenario::Scenario};
use std::fmt;

/// How far a run has come, and what happens next in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// How much has happened.
    pub happenings: u64,
    /// A hash over everything that engines were told and said until then.
    pub hash: String,
    /// What happens next; empty at the end of the run.
    pub next: String,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} happenings: {}\nnext: {}", self.happenings, self.hash, self.next)
    }
}

impl Scenario {
    /// Runs it until so much has happened, or to its end.
    pub fn until(&self, happenings: u64) -> Moment {
        let mut run = Run::new(self);
        while run.world().statistics().happenings < happenings && run.advance() {}
        let world = run.world();
        let next = world.agenda.peek().map(|next| format!("{next:?}")).unwrap_or_default();
        Moment { happenings: world.statistics().happenings, hash: world.hash(), next }
    }
}

/// The first moment after which two runs differ, told by both, or `None` if they are the same up to `most` happenings.
///
/// Each is asked about some thirty moments: what [`Scenario::until`] says, here or in another build, or on another machine.
pub fn first_difference(most: u64, mut one: impl FnMut(u64) -> Moment, mut other: impl FnMut(u64) -> Moment) -> Option<(Moment, Moment)> {
    let mut differ = |at: u64| one(at).hash != other(at).hash;
    if !differ(most) {
        return None;
    }
    let (mut same, mut different) = (0, most);
    while different - same > 1 {
        let middle = same + (different - same) / 2;
        if differ(middle) {
            different = middle;
        } else {
            same = middle;
        }
    }
    Some((one(same), other(same)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found() {
        let scenario = Scenario::draw(5);
        let most = scenario.run().happenings;
        assert_eq!(first_difference(most, |at| scenario.until(at), |at| scenario.until(at)), None);
        // As if another build did something else from the hundredth happening on.
        let other = |at: u64| Moment { hash: format!("{}{}", scenario.until(at).hash, at >= 100), ..scenario.until(at) };
        let one = |at: u64| Moment { hash: format!("{}false", scenario.until(at).hash), ..scenario.until(at) };
        let (here, there) = first_difference(most, one, other).expect("they differ");
        assert_eq!((here.happenings, there.happenings), (99, 99));
        assert!(!here.next.is_empty());
    }
}
