//! Where two runs part: the first thing that engines were told or said in one and not in the other, found by bisection.

use crate::{
    run::{Run, said},
    scenario::Scenario,
};
use sha1::{Digest, Sha1};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::Command,
    str::FromStr,
};

/// How far a run has come, what happened last in it, and what happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// How much has happened.
    pub happenings: u64,
    /// A hash over everything that engines were told and said until then.
    pub hash: String,
    /// What engines were told and said in what happened last, a line each.
    pub last: Vec<String>,
    /// What happens next; empty at the end of the run.
    pub next: String,
}

impl Moment {
    /// Whether all that was told and said until then is the same.
    fn agrees(&self, other: &Moment) -> bool {
        (self.happenings, &self.hash) == (other.happenings, &other.hash)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "after {} happenings: {}", self.happenings, self.hash)?;
        self.last.iter().try_for_each(|line| writeln!(f, "last: {line}"))?;
        write!(f, "next: {}", self.next)
    }
}

impl FromStr for Moment {
    type Err = String;

    /// Reads what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Moment, String> {
        let wrong = || format!("expected \"after … happenings: …\", not \"{}\"", shorten(text));
        let mut lines = text.lines();
        let (happenings, hash) =
            lines.next().and_then(|line| line.strip_prefix("after ")?.split_once(" happenings: ")).ok_or_else(wrong)?;
        let happenings = happenings.parse().map_err(|_| wrong())?;
        let mut moment = Moment { happenings, hash: hash.to_owned(), last: Vec::new(), next: String::new() };
        for line in lines {
            match line.split_once(": ").unwrap_or((line.trim_end_matches(':'), "")) {
                ("last", line) => moment.last.push(line.to_owned()),
                ("next", line) => moment.next = line.to_owned(),
                _ => return Err(wrong()),
            }
        }
        Ok(moment)
    }
}

impl Scenario {
    /// Runs it until so much has happened, or to its end.
    pub fn until(&self, happenings: u64) -> Moment {
        until(Run::new(self), happenings)
    }

    /// The same, with engines that make a mistake.
    #[cfg(feature = "planted-bugs")]
    pub fn until_planted(&self, bug: crate::planted::PlantedBug, happenings: u64) -> Moment {
        until(Run::planted(self, bug), happenings)
    }
}

fn until(mut run: Run<'_>, happenings: u64) -> Moment {
    let mut last = Vec::new();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut goes_on = true;
        while goes_on && run.world().statistics().happenings + 1 < happenings {
            goes_on = run.advance();
        }
        if goes_on && happenings > 0 {
            last = run.overhear();
        }
    }));
    let world = run.world();
    let next = match result {
        Ok(()) => world.agenda.peek().map(shorten).unwrap_or_default(),
        Err(panic) => format!("a panic: {}", shorten(&said(&*panic))),
    };
    Moment { happenings: world.statistics().happenings, hash: world.hash(), last, next }
}

/// What another build of the command says that a scenario has come to: `rustor sim run SCENARIO --seed SEED --until HAPPENINGS`.
///
/// # Errors
///
/// If the command cannot be run, or says something else.
pub fn until_in(command: &Path, scenario: &Path, seed: u64, happenings: u64) -> Result<Moment, String> {
    let about = |what: &dyn fmt::Display| format!("{}: {what}", command.display());
    let (seed, happenings) = (seed.to_string(), happenings.to_string());
    let arguments = ["--seed", &seed, "--until", &happenings];
    let run = Command::new(command).args(["sim", "run"]).arg(scenario).args(arguments).output().map_err(|error| about(&error))?;
    if !run.status.success() {
        return Err(about(&String::from_utf8_lossy(&run.stderr).trim_end()));
    }
    String::from_utf8_lossy(&run.stdout).parse().map_err(|error: String| about(&error))
}

/// Where two runs part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Both before it: the same but for what comes next, perhaps.
    pub before: [Moment; 2],
    /// Both after it: what engines were told and said last differs.
    pub after: [Moment; 2],
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { before: [one, other], after } = self;
        writeln!(f, "the same for {} happenings: {}", one.happenings, one.hash)?;
        if one.next == other.next {
            writeln!(f, "then in both: {}", one.next)?;
        }
        let common = after[0].last.iter().zip(&after[1].last).take_while(|(one, other)| one == other).count();
        after[0].last[..common].iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        for (name, before, after) in [("one", one, &after[0]), ("other", other, &after[1])] {
            match (one.next == other.next, after.happenings > before.happenings) {
                (_, false) => writeln!(f, "{name}: it ends")?,
                (true, true) => writeln!(f, "{name}:")?,
                (false, true) => writeln!(f, "{name}: {}", before.next)?,
            }
            after.last[common..].iter().try_for_each(|line| writeln!(f, "  {line}"))?;
            if after.last.len() == common {
                writeln!(f, "  nothing more is told or said")?;
            }
        }
        Ok(())
    }
}

/// Where two runs part, or `None` if they are the same up to `most` happenings.
///
/// Each is asked about some thirty moments: what [`Scenario::until`] says here, or [`until_in`] of another build.
///
/// # Errors
///
/// The first of those who are asked.
pub fn first_difference<E>(
    most: u64,
    mut one: impl FnMut(u64) -> Result<Moment, E>,
    mut other: impl FnMut(u64) -> Result<Moment, E>,
) -> Result<Option<Difference>, E> {
    let mut both = |at: u64| Ok([one(at)?, other(at)?]);
    let agree = |[one, other]: &[Moment; 2]| one.agrees(other);
    let ends = both(most)?;
    if agree(&ends) {
        return Ok(None);
    }
    // The first of them that ends was the same until then at the most.
    let (mut same, mut different) = (0, ends[0].happenings.max(ends[1].happenings));
    while different - same > 1 {
        let middle = same + (different - same) / 2;
        if agree(&both(middle)?) {
            same = middle;
        } else {
            different = middle;
        }
    }
    Ok(Some(Difference { before: both(same)?, after: both(different)? }))
}

/// What something is, in a line that can be read: of much content both ends, and a hash that tells it from other content.
pub(crate) fn shorten(what: &(impl fmt::Debug + ?Sized)) -> String {
    const MOST: usize = 400;
    let text = format!("{what:?}");
    if text.len() <= MOST {
        return text;
    }
    let hash: String = Sha1::digest(&text).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let beginning: String = text.chars().take(MOST / 2).collect();
    let end: Vec<char> = text.chars().rev().take(MOST / 4).collect();
    let end: String = end.into_iter().rev().collect();
    format!("{beginning} … {hash} … {end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    type Asked = Result<Moment, Infallible>;

    #[test]
    fn the_first_difference_is_found_between_the_last_moment_that_is_the_same_and_the_next() {
        let scenario = Scenario::draw(5);
        let until = |at| -> Asked { Ok(scenario.until(at)) };
        let most = scenario.run().happenings;
        assert_eq!(first_difference(most, until, until), Ok(None));
        // As if another build did something else from the hundredth happening on.
        let other = |at: u64| -> Asked {
            let moment = scenario.until(at);
            Ok(if at >= 100 { Moment { hash: "another".to_owned(), ..moment } } else { moment })
        };
        let Ok(Some(found)) = first_difference(most, until, other) else { panic!("they differ") };
        assert_eq!(found.before.map(|moment| moment.happenings), [99, 99]);
        assert_eq!(found.after.map(|moment| moment.happenings), [100, 100]);
    }

    #[test]
    fn a_run_that_ends_sooner_differs_where_it_ends() {
        let scenario = Scenario::draw(5);
        let whole = |at: u64| -> Asked { Ok(scenario.until(at)) };
        let part = |at: u64| -> Asked { Ok(scenario.until(at.min(200))) };
        let Ok(Some(found)) = first_difference(u64::MAX, whole, part) else { panic!("they differ") };
        assert_eq!(found.after.each_ref().map(|moment| moment.happenings), [201, 200]);
        assert!(found.to_string().contains("other: it ends"), "{found}");
    }

    #[test]
    fn a_moment_can_be_written_and_read() {
        let scenario = Scenario::draw(5);
        let spoken = (1..300).map(|at| scenario.until(at)).find(|moment| moment.last.len() > 1).expect("somebody says something");
        let end = scenario.until(u64::MAX);
        assert!(end.happenings > 300);
        for moment in [scenario.until(0), spoken, end] {
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
        assert!("error: what?".parse::<Moment>().is_err() && "".parse::<Moment>().is_err());
        // As builds before this one say it.
        assert!("after 3 happenings: 00\nnext: Wake(1, 0)".parse::<Moment>().is_ok());
    }
}
