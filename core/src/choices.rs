//! What the owner chooses for a torrent, before it starts and at any time after.

use crate::time::Duration;
pub use crate::torrent::picker::Priority;
use alloc::collections::BTreeMap;

/// The owner's choices for one torrent. They are kept in its resume data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices {
    /// How much files are wanted, by their places in the torrent, padding files included, from 0. Places that the torrent does not
    /// have mean nothing.
    pub files: BTreeMap<u32, Priority>,
    /// How much all the other files are wanted. Default [`Priority::Normal`].
    pub other_files: Priority,
    /// Fetch pieces in their order, for whoever reads along. Default no.
    pub sequential: bool,
    /// Fetch the first and the last piece of each file before the others: players need them to begin. Default no.
    pub first_and_last: bool,
    /// While nobody else has the whole torrent, show each peer one piece at a time, and the next once it has given that one on
    /// (BEP 16). Default no.
    pub super_seeding: bool,
    /// Tell peers of peers, and hear of peers from them (BEP 11). Never done for private torrents. Default yes.
    pub peer_exchange: bool,
    /// Find peers in the local network (BEP 14). Never done for private torrents. Default yes.
    pub local_discovery: bool,
    /// How fast this torrent may be. Default: as fast as it goes.
    pub rates: RateLimits,
    /// When to stop seeding. Default: never.
    pub goal: SeedingGoal,
}

impl Default for Choices {
    fn default() -> Choices {
        Choices {
            files: BTreeMap::new(),
            other_files: Priority::Normal,
            sequential: false,
            first_and_last: false,
            super_seeding: false,
            peer_exchange: true,
            local_discovery: true,
            rates: RateLimits::default(),
            goal: SeedingGoal::default(),
        }
    }
}

impl Choices {
    /// These choices, and where they are as by default those of an earlier session: what the owner says anew counts, what they do not
    /// speak of is as it was. Which files are wanted is one choice; so are the rates, and the goal.
    pub fn or(self, earlier: Choices) -> Choices {
        let default = Choices::default();
        let says_files = !self.files.is_empty() || self.other_files != default.other_files;
        let (files, other_files) = if says_files { (self.files, self.other_files) } else { (earlier.files, earlier.other_files) };
        fn pick<T: PartialEq>(anew: T, earlier: T, default: T) -> T {
            if anew == default { earlier } else { anew }
        }
        Choices {
            files,
            other_files,
            sequential: pick(self.sequential, earlier.sequential, default.sequential),
            first_and_last: pick(self.first_and_last, earlier.first_and_last, default.first_and_last),
            super_seeding: pick(self.super_seeding, earlier.super_seeding, default.super_seeding),
            peer_exchange: pick(self.peer_exchange, earlier.peer_exchange, default.peer_exchange),
            local_discovery: pick(self.local_discovery, earlier.local_discovery, default.local_discovery),
            rates: pick(self.rates, earlier.rates, default.rates),
            goal: pick(self.goal, earlier.goal, default.goal),
        }
    }

    /// How much the file at `place` is wanted.
    pub fn file(&self, place: u32) -> Priority {
        self.files.get(&place).copied().unwrap_or(self.other_files)
    }
}

/// The most payload and protocol that may go by, in bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// From peers and web seeds to us; `None` is no limit.
    pub download: Option<u64>,
    /// From us to peers; `None` is no limit.
    pub upload: Option<u64>,
}

/// When a torrent that has everything has given enough. What is reached first counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeedingGoal {
    /// Payload sent, in all sessions, for each 1,000 bytes of the wanted files.
    pub ratio_permille: Option<u32>,
    /// Time spent seeding in this session.
    pub time: Option<Duration>,
}
