use crate::{
    choices::SeedingGoal,
    time::{Duration, Instant},
};

/// Watches for the moment when a torrent has given enough (see [`SeedingGoal`]).
#[derive(Debug, Default)]
pub(crate) struct GoalWatch {
    goal: SeedingGoal,
    /// It was reached before. If the owner lets the torrent go on all the same, that is what he wants.
    reached: bool,
    /// Time spent seeding before `since`.
    seeded: Duration,
    /// Since when it seeds, if it does.
    since: Option<Instant>,
    /// What it must have sent in this session, in bytes, while it seeds.
    target: Option<u64>,
    due: Option<Instant>,
}

/// What was sent last is to arrive before the torrent stops.
const GRACE: Duration = Duration::from_secs(2);

impl GoalWatch {
    /// The owner wants another goal, or the same.
    pub(crate) fn choose(&mut self, goal: SeedingGoal) {
        if self.goal != goal {
            (self.goal, self.reached) = (goal, false);
        }
    }

    /// The torrent seeds: it has all of `wanted` bytes, and sent so many in earlier sessions and in this one.
    pub(crate) fn start(&mut self, now: Instant, wanted: u64, sent_before: u64, sent: u64) {
        let since = *self.since.get_or_insert(now);
        let target = |permille: u32| u128::from(wanted) * u128::from(permille) / 1000;
        let target = self.goal.ratio_permille.map(|permille| u64::try_from(target(permille)).unwrap_or(u64::MAX));
        self.target = target.map(|target| target.saturating_sub(sent_before));
        let time = self.goal.time.map(|time| since + time.saturating_sub(self.seeded));
        let ratio = self.target.filter(|target| sent >= *target).map(|_| now);
        self.due = [time, ratio].into_iter().flatten().min().filter(|_| !self.reached);
    }

    /// It seeds no longer.
    pub(crate) fn stop(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.seeded += now.since(since);
        }
        (self.target, self.due) = (None, None);
    }

    /// It has sent so many bytes in this session; `true` if it is to stop earlier because of that.
    pub(crate) fn sent(&mut self, now: Instant, sent: u64) -> bool {
        let enough = self.target.is_some_and(|target| sent >= target) && !self.reached;
        let earlier = enough && self.due.is_none_or(|due| due > now + GRACE);
        if earlier {
            self.due = Some(now + GRACE);
        }
        earlier
    }

    /// When it has given enough, as far as is known.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it has given enough; said once.
    pub(crate) fn is_reached(&mut self, now: Instant) -> bool {
        let reached = self.due.is_some_and(|due| due <= now);
        if reached {
            (self.reached, self.due) = (true, None);
        }
        reached
    }
}
