use super::{Connection, OwnAddresses, canonical_priority};
use crate::{config::Config, time::Instant};

/// What a connection is worth. When there is room for fewer, the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Standing {
    worth: Worth,
    /// Bytes a second that go by.
    rate: u64,
    /// Bytes of payload that went by.
    total: u64,
    /// BEP 40; breaks ties.
    priority: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Nothing ever went by, in all that time.
    NeverUseful,
    /// It owes us blocks, and nothing went by for long.
    Snubbed,
    /// Neither side lacks anything.
    Finished,
    /// Neither side has wanted anything of the other for long.
    NoInterest,
    /// Nothing went by for very long.
    Stale,
    /// We are downloading, the peer as well, and for a while neither side gave the other anything.
    NoTrade,
    /// It has not had the time to be of use.
    New,
    Useful,
}

/// So many times longer than [`Config::useless_time`] nothing may go by where there is interest.
const STALE_FACTOR: u32 = 3;

impl Standing {
    /// Whether it makes room for a peer of which nothing is known.
    pub(crate) fn is_replaceable(&self) -> bool {
        self.worth < Worth::New
    }
}

impl Connection {
    pub(crate) fn standing(&self, now: Instant, seeding: bool, own: &OwnAddresses, config: &Config) -> Standing {
        let long = config.useless_time;
        let unused = now.since(self.last_useful);
        let total = self.downloaded().saturating_add(self.uploaded());
        let upload_only = self.holdings.is_seed() || self.extended.as_ref().is_some_and(|extended| extended.upload_only);
        let known = now.since(self.since);
        // A seed gives nothing until it is our turn.
        let no_trade = !seeding && !upload_only && known.min(unused) >= config.trade_time;
        let worth = if !self.is_open() {
            Worth::New
        } else if known < long {
            if no_trade { Worth::NoTrade } else { Worth::New }
        } else if seeding && self.peer_interested {
            // It waits for its turn.
            Worth::Useful
        } else if unused < long {
            if no_trade { Worth::NoTrade } else { Worth::Useful }
        } else if total == 0 {
            Worth::NeverUseful
        } else if self.is_snubbed() && !seeding {
            Worth::Snubbed
        } else if seeding && upload_only {
            Worth::Finished
        } else if !self.am_interested && !self.peer_interested {
            Worth::NoInterest
        } else if unused >= long * STALE_FACTOR {
            Worth::Stale
        } else if no_trade {
            Worth::NoTrade
        } else {
            Worth::Useful
        };
        let down = self.download.as_ref().map_or(0, |download| download.rate(now));
        let up = self.upload.as_ref().map_or(0, |upload| upload.rate(now));
        let at = self.listens_at().unwrap_or(self.remote);
        let priority = own.toward(at).and_then(|own| canonical_priority(own, at)).unwrap_or(0);
        Standing { worth, rate: down.saturating_add(up), total, priority }
    }
}
