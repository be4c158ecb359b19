//! The announce policy of one torrent: when which tracker is told what (BEP 3, 7, 12, 21, 27).

mod tracker;

use self::tracker::{Tracker, UnderWay};
use super::{AnnounceEvent, AnnounceRequest, AnnounceResponse, SwarmCounts, TrackerFailure};
use crate::{
    metainfo::InfoHash,
    rng::Rng,
    time::{Duration, Instant},
    util::{Key, Slab},
};
use alloc::{borrow::ToOwned, string::String, vec::Vec};

/// Decides when each of a torrent's trackers hears from us, and what.
///
/// The owner calls [`poll`](Announcer::poll) until it returns `None`, whenever [`next_deadline`](Announcer::next_deadline) has come
/// and after every command; it makes the announces and answers each by one [`handle`](Announcer::handle), in any order.
///
/// # Several address families
///
/// An [`Announce`] is meant for every local address family that the tracker resolves to, from an address of that family each, all with
/// the same key (BEP 7). The owner [merges](AnnounceResponse::merge) the responses and reports a failure only where all families failed.
///
/// # Tiers
///
/// Each tier is shuffled once, a tracker that answered moves to the front of its tier, and the next is asked as soon as one fails
/// (BEP 12). How many are kept informed at a time is [`AnnouncerConfig::reach`].
#[derive(Debug)]
pub struct Announcer {
    config: AnnouncerConfig,
    rng: Rng,
    key: u32,
    trackers: Slab<TrackerMark, Tracker>,
    /// The trackers listed, tier by tier, in the order in which they are tried.
    order: Vec<Listed>,
    state: State,
    /// [`Announcer::complete`] was called since the start.
    completed: bool,
    /// The number of the next announce.
    sequence: u64,
    under_way: usize,
    last_answered: Option<TrackerKey>,
}

/// What the policy can be tuned by.
#[derive(Clone, Debug)]
pub struct AnnouncerConfig {
    /// How many trackers are kept informed at a time.
    pub reach: Reach,
    /// What holds where a tracker states no interval. 30 minutes, as most state.
    pub default_interval: Duration,
    /// What holds where a tracker states no minimum interval (never more than its interval). 5 minutes.
    pub default_min_interval: Duration,
    /// No tracker gets regular announces more often than this, whatever it states. 30 seconds.
    pub shortest_interval: Duration,
    /// No tracker waits longer than this for a regular announce, whatever it states. 1 day.
    pub longest_interval: Duration,
    /// Each wait is prolonged by a random part of this many percent, so that clients that were told the same do not return together. 5.
    pub jitter_percent: u32,
    /// How long a tracker that could not be reached or understood is left alone at first; doubles with each failure. 5 seconds.
    pub first_retry: Duration,
    /// How long a tracker that refused is left alone at first, if it did not say; doubles with each failure. 1 minute.
    pub first_retry_refused: Duration,
    /// The longest that doubling leads to. 30 minutes.
    pub longest_retry: Duration,
    /// A download that knows fewer peers than this announces at the minimum interval, and asks for at least twice as many, however few
    /// connections it may have: not all can be reached. A seed that knows fewer and has room for one asks for as many. 10.
    pub few_peers: u32,
    /// The most peers to ask a tracker for. 200, as most give no more.
    pub max_peers_wanted: u32,
    /// The most announces under way at a time. 16.
    pub max_under_way: usize,
    /// The most trackers to keep; of longer lists the rest is ignored. 100.
    pub max_trackers: usize,
    /// How long `stopped` announces may take before [`Announcer::is_stopped`] no longer waits for them. 10 seconds.
    pub stop_timeout: Duration,
}

impl Default for AnnouncerConfig {
    fn default() -> Self {
        AnnouncerConfig {
            reach: Reach::EveryTier,
            default_interval: Duration::from_secs(30 * 60),
            default_min_interval: Duration::from_secs(5 * 60),
            shortest_interval: Duration::from_secs(30),
            longest_interval: Duration::from_secs(24 * 60 * 60),
            jitter_percent: 5,
            first_retry: Duration::from_secs(5),
            first_retry_refused: Duration::from_secs(60),
            longest_retry: Duration::from_secs(30 * 60),
            few_peers: 10,
            max_peers_wanted: 200,
            max_under_way: 16,
            max_trackers: 100,
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// How many trackers are kept informed at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// One tracker of all, as private torrents demand (BEP 27). It stays the one until it fails, then all are tried in order.
    ///
    /// BEP 12 alone would try the first tier again at every announce; BEP 27 forbids that to private torrents.
    OneTracker,
    /// One working tracker in each tier. Published torrents use tiers for trackers that do not share their peers, so this finds
    /// swarms that BEP 12's one tracker would miss.
    #[default]
    EveryTier,
    /// Every tracker.
    EveryTracker,
}

/// What the owner tells of the torrent when it polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes of payload uploaded since [`Announcer::start`].
    pub uploaded: u64,
    /// Bytes of payload downloaded since [`Announcer::start`].
    pub downloaded: u64,
    /// Bytes missing of the whole torrent. 0 where all is there; unequal to 0 where that is unknown yet.
    pub left: u64,
    /// How many peers the torrent could make use of.
    pub peers_wanted: u32,
    /// How many peers the torrent knows.
    pub peers_known: u32,
    /// All that is wanted is there, but not all there is (BEP 21).
    pub partial_seed: bool,
}

impl Statistics {
    fn wants_more_than(&self, few_peers: u32) -> bool {
        self.left > 0 && !self.partial_seed && self.peers_wanted > 0 && self.peers_known < few_peers
    }
}

/// An announce to be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// By which to report how it went.
    pub id: AnnounceId,
    /// The tracker's URL, as the torrent has it.
    pub url: String,
    /// What happened.
    pub event: AnnounceEvent,
    /// Bytes uploaded since the start.
    pub uploaded: u64,
    /// Bytes downloaded since the start.
    pub downloaded: u64,
    /// Bytes missing.
    pub left: u64,
    /// How many peers to ask for; 0 asks for none.
    pub peers_wanted: u32,
    /// By which trackers know us across addresses.
    pub key: u32,
    /// What the tracker asked to be told.
    pub tracker_id: Option<Vec<u8>>,
}

impl Announce {
    /// The request to be made, on behalf of a torrent and a client.
    pub fn request(&self, info_hash: InfoHash, peer_id: [u8; 20], port: u16) -> AnnounceRequest {
        AnnounceRequest {
            info_hash,
            peer_id,
            port,
            uploaded: self.uploaded,
            downloaded: self.downloaded,
            left: self.left,
            event: self.event,
            peers_wanted: Some(self.peers_wanted),
            key: Some(self.key),
            tracker_id: self.tracker_id.clone(),
        }
    }
}

/// An announce made; never the same for two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnnounceId {
    tracker: TrackerKey,
    sequence: u64,
}

/// What a session leaves to the next about a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedTracker {
    /// Its URL.
    pub url: String,
    /// What it asked to be told.
    pub tracker_id: Option<Vec<u8>>,
}

/// What an answer meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled {
    /// The announce is one that no longer matters.
    Stale,
    /// The tracker answered.
    Answered {
        /// Another one answered before, and only one is used at a time: a private torrent must now drop all its peers (BEP 27).
        switched: bool,
    },
    /// The announce failed.
    Failed,
}

/// How a tracker fares, for people to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackerStatus<'a> {
    /// Its URL.
    pub url: &'a str,
    /// Its tier, from 0.
    pub tier: usize,
    /// What it is doing.
    pub state: TrackerState,
    /// Why the last announce failed; `None` once one succeeded.
    pub last_error: Option<&'a str>,
    /// The warning in its last answer.
    pub last_warning: Option<&'a str>,
    /// The swarm as it counts it.
    pub counts: SwarmCounts,
    /// When it will be announced to, if that is planned.
    pub next_announce: Option<Instant>,
}

/// What a tracker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerState {
    /// Nothing: another of its tier is used, or the torrent is stopped.
    Unused,
    /// An announce is under way.
    Announcing,
    /// The last announce was answered.
    Working,
    /// The last announce failed, another will follow.
    Failing,
    /// It refused for ever.
    Disabled,
}

#[derive(Debug)]
enum TrackerMark {}
type TrackerKey = Key<TrackerMark>;

#[derive(Clone, Copy, Debug)]
struct Listed {
    tier: usize,
    key: TrackerKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Stopped,
    Running,
    /// The `stopped` announces are going out, given up at `deadline`.
    Stopping {
        deadline: Instant,
    },
}

impl Announcer {
    /// A policy for the trackers in `tiers`, not started yet. Duplicates, and URLs that are not `http`, `https` or `udp`, are left out.
    pub fn new(tiers: Vec<Vec<String>>, config: AnnouncerConfig, mut rng: Rng) -> Announcer {
        let key = rng.next_u32();
        let mut announcer = Announcer {
            config,
            rng,
            key,
            trackers: Slab::new(),
            order: Vec::new(),
            completed: false,
            state: State::Stopped,
            sequence: 0,
            under_way: 0,
            last_answered: None,
        };
        announcer.set_trackers(Instant::ZERO, tiers);
        announcer
    }

    /// By which trackers know us across addresses; the same as long as the announcer lives.
    pub fn key(&self) -> u32 {
        self.key
    }

    /// Joins the swarm: every tracker in reach hears `started` at once.
    pub fn start(&mut self, now: Instant) {
        if self.state == State::Running {
            return;
        }
        self.state = State::Running;
        self.completed = false;
        for (_, tracker) in self.trackers.iter_mut() {
            tracker.owes_stopped &= !tracker.listed;
            tracker.owes_completed = false;
            tracker.answered = false;
            tracker.disabled = false;
            (tracker.failures, tracker.refusals) = (0, 0);
            tracker.due_at_once(now);
        }
    }

    /// What the next session should know of the trackers that answered, in the order in which they are to be tried.
    pub fn saved(&self) -> Vec<SavedTracker> {
        let trackers = self.order.iter().filter_map(|listed| self.trackers.get(listed.key));
        let known = trackers.filter(|tracker| tracker.answered || tracker.tracker_id.is_some());
        known.map(|tracker| SavedTracker { url: tracker.url.clone(), tracker_id: tracker.tracker_id.clone() }).collect()
    }

    /// What an earlier session knew, before the first start: who answered then is asked first, and by its tracker id. At once: a minimum
    /// interval is for who is in the swarm, and that session has left it.
    pub fn restore(&mut self, saved: &[SavedTracker]) {
        for saved in saved.iter().rev() {
            let Some(key) = self.trackers.iter().find(|(_, tracker)| tracker.url == saved.url).map(|(key, _)| key) else { continue };
            self.move_to_front(key);
            if let Some(tracker) = self.trackers.get_mut(key) {
                tracker.tracker_id.clone_from(&saved.tracker_id);
            }
        }
    }

    /// The download has just completed: each tracker in use that heard of us before hears `completed`, once.
    pub fn complete(&mut self, now: Instant) {
        if self.state != State::Running || self.completed {
            return;
        }
        self.completed = true;
        for (_, tracker) in self.trackers.iter_mut() {
            tracker.owes_completed = tracker.counts_us();
            if tracker.is_working() {
                tracker.due_at_once(now);
            }
        }
    }

    /// Leaves the swarm: each tracker that counts us hears `stopped`, without another try where that fails. A `completed` not yet said
    /// is said before.
    pub fn stop(&mut self, now: Instant) {
        if self.state != State::Running {
            return;
        }
        self.state = State::Stopping { deadline: now + self.config.stop_timeout };
        for (_, tracker) in self.trackers.iter_mut() {
            tracker.owes_completed &= tracker.is_working();
            tracker.owes_stopped |= tracker.counts_us();
        }
        self.settle();
    }

    /// Whether nothing more will be said until [`Announcer::start`].
    pub fn is_stopped(&self) -> bool {
        self.state == State::Stopped
    }

    /// The user wants peers now: announces as soon as each tracker's minimum interval allows, without regard to back-off.
    ///
    /// Not for timers: a torrent that knows few peers announces at the minimum interval anyway.
    pub fn update(&mut self, now: Instant) {
        for (_, tracker) in self.trackers.iter_mut() {
            tracker.due = tracker.due.min(tracker.earliest.max(now));
        }
    }

    /// Replaces the list of trackers. Those listed before and now keep their state; those no longer listed hear `stopped`.
    pub fn set_trackers(&mut self, now: Instant, tiers: Vec<Vec<String>>) {
        for (_, tracker) in self.trackers.iter_mut() {
            tracker.listed = false;
        }
        self.order.clear();
        for (tier, urls) in tiers.iter().enumerate() {
            let start = self.order.len();
            for url in urls.iter().map(|url| url.trim()).filter(|url| is_supported(url)) {
                if self.order.len() == self.config.max_trackers {
                    break;
                }
                let known = self.trackers.iter().find(|(_, tracker)| tracker.url == url).map(|(key, _)| key);
                let key = known.unwrap_or_else(|| self.trackers.insert(Tracker::new(url.to_owned(), now)));
                let Some(tracker) = self.trackers.get_mut(key) else { continue };
                if !tracker.listed {
                    tracker.listed = true;
                    tracker.owes_stopped &= self.state != State::Running;
                    self.order.push(Listed { tier, key });
                }
            }
            self.rng.shuffle(self.order.get_mut(start..).unwrap_or_default());
        }
        for (_, tracker) in self.trackers.iter_mut().filter(|(_, tracker)| !tracker.listed) {
            tracker.owes_completed = false;
            tracker.owes_stopped |= self.state == State::Running && tracker.counts_us();
        }
        self.forget_unlisted();
        self.settle();
    }

    /// From now on one tracker alone is used, as [`Reach::OneTracker`] says: the torrent has turned out to be private. It is the first that
    /// works, or the first that is being asked; the others hear `stopped`. Whether it is the only one that has answered so far: if not, the
    /// peers known may be other trackers'.
    pub fn use_one_tracker(&mut self, now: Instant) -> bool {
        self.config.reach = Reach::OneTracker;
        let listed = || self.order.iter().filter_map(|listed| Some((listed.key, self.trackers.get(listed.key)?)));
        let works = listed().find(|(_, tracker)| tracker.is_working());
        let used = works.or_else(|| listed().find(|(_, tracker)| tracker.is_asked())).map(|(key, _)| key);
        let alone = self.trackers.iter().all(|(key, tracker)| Some(key) == used || !tracker.has_named_peers);
        self.last_answered = works.map(|(key, _)| key);
        for (_, tracker) in self.trackers.iter_mut().filter(|(key, _)| Some(*key) != used) {
            tracker.set_aside(now, self.state == State::Running);
        }
        alone
    }

    /// Whether the answer to this announce still matters, the peers that it names included.
    pub fn awaits(&self, id: AnnounceId) -> bool {
        let tracker = self.trackers.get(id.tracker).filter(|tracker| tracker.is_asked());
        tracker.and_then(|tracker| tracker.under_way).is_some_and(|under_way| under_way.sequence == id.sequence)
    }

    /// The next announce to be made now, if there is one. `statistics` should be fresh: they are what is announced.
    pub fn poll(&mut self, now: Instant, statistics: &Statistics) -> Option<Announce> {
        if let State::Stopping { deadline } = self.state
            && deadline <= now
        {
            self.abandon_stopping();
        }
        if self.state == State::Stopped || self.under_way >= self.config.max_under_way {
            return None;
        }
        let leaving = self.trackers.iter().find(|(_, tracker)| tracker.can_stop()).map(|(key, _)| key);
        if let Some(key) = leaving {
            return self.announce(key, true, statistics);
        }
        if self.state != State::Running {
            return None;
        }
        let few = statistics.wants_more_than(self.config.few_peers);
        if !few {
            for (_, tracker) in self.trackers.iter_mut() {
                tracker.look_again(now, statistics.left == 0);
            }
        }
        let key = self.groups().find_map(|group| self.choose(group, now, few))?;
        self.announce(key, false, statistics)
    }

    /// How the announce `id` went. Peers and the rest of a response are the owner's to use.
    pub fn handle(&mut self, now: Instant, id: AnnounceId, result: Result<&AnnounceResponse, &TrackerFailure>) -> Handled {
        let Some(tracker) = self.trackers.get_mut(id.tracker) else { return Handled::Stale };
        let Some(under_way) = tracker.under_way.take_if(|under_way| under_way.sequence == id.sequence) else { return Handled::Stale };
        self.under_way = self.under_way.saturating_sub(1);
        let handled = match result {
            // All that matters is that it will have to hear that we left.
            Ok(_) if under_way.aside => {
                tracker.joined |= under_way.event != AnnounceEvent::Stopped;
                Handled::Stale
            }
            Err(_) if under_way.aside => {
                tracker.owes_stopped &= tracker.joined;
                Handled::Stale
            }
            Ok(_) if under_way.event == AnnounceEvent::Stopped => Handled::Answered { switched: false },
            Ok(response) => {
                tracker.succeed(now, under_way, response, &self.config, &mut self.rng);
                let listed = tracker.listed;
                Handled::Answered { switched: listed && self.promote(id.tracker) }
            }
            Err(failure) => {
                tracker.fail(now, under_way.event, failure, &self.config, &mut self.rng);
                if self.state != State::Running {
                    tracker.owes_completed = false;
                    tracker.owes_stopped = false;
                }
                Handled::Failed
            }
        };
        self.forget_unlisted();
        self.settle();
        handled
    }

    /// When to call [`Announcer::poll`] at the latest, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        let polled = self.under_way < self.config.max_under_way;
        if polled && self.trackers.iter().any(|(_, tracker)| tracker.can_stop()) {
            return Some(Instant::ZERO);
        }
        match self.state {
            State::Stopped => None,
            State::Stopping { deadline } => Some(deadline),
            State::Running if !polled => None,
            State::Running => self.groups().filter_map(|group| self.group_deadline(group)).min(),
        }
    }

    /// All listed trackers, in the order in which they are tried.
    pub fn status(&self) -> impl Iterator<Item = TrackerStatus<'_>> {
        self.order.iter().filter_map(|listed| {
            let tracker = self.trackers.get(listed.key)?;
            Some(TrackerStatus {
                url: &tracker.url,
                tier: listed.tier,
                state: tracker.state(),
                last_error: tracker.last_error.as_deref(),
                last_warning: tracker.last_warning.as_deref(),
                counts: tracker.counts,
                next_announce: (self.state == State::Running && matches!(tracker.state(), TrackerState::Working | TrackerState::Failing))
                    .then_some(tracker.due),
            })
        })
    }

    /// The trackers in groups, in each of which one is kept informed.
    fn groups(&self) -> impl Iterator<Item = &[Listed]> {
        let reach = self.config.reach;
        self.order.chunk_by(move |one, next| match reach {
            Reach::OneTracker => true,
            Reach::EveryTier => one.tier == next.tier,
            Reach::EveryTracker => false,
        })
    }

    fn members(&self, group: &[Listed]) -> impl Iterator<Item = (TrackerKey, &Tracker)> {
        group.iter().filter_map(|listed| Some((listed.key, self.trackers.get(listed.key)?)))
    }

    /// Which of a group to announce to now.
    fn choose(&self, group: &[Listed], now: Instant, few: bool) -> Option<TrackerKey> {
        if self.members(group).any(|(_, tracker)| tracker.is_asked()) {
            return None;
        }
        match self.members(group).find(|(_, tracker)| tracker.is_working()) {
            Some((key, tracker)) => {
                let due = if few { tracker.due.min(tracker.due_with_few_peers) } else { tracker.due };
                (due <= now && tracker.under_way.is_none()).then_some(key)
            }
            None => self.members(group).find(|(_, tracker)| tracker.may_be_asked() && tracker.due <= now).map(|(key, _)| key),
        }
    }

    fn group_deadline(&self, group: &[Listed]) -> Option<Instant> {
        if self.members(group).any(|(_, tracker)| tracker.is_asked()) {
            return None;
        }
        match self.members(group).find(|(_, tracker)| tracker.is_working()) {
            Some((_, tracker)) => tracker.under_way.is_none().then(|| tracker.due.min(tracker.due_with_few_peers)),
            None => self.members(group).filter(|(_, tracker)| tracker.may_be_asked()).map(|(_, tracker)| tracker.due).min(),
        }
    }

    fn announce(&mut self, key: TrackerKey, stop: bool, statistics: &Statistics) -> Option<Announce> {
        let tracker = self.trackers.get_mut(key)?;
        let event = match () {
            _ if stop && !tracker.owes_completed => AnnounceEvent::Stopped,
            _ if statistics.partial_seed => AnnounceEvent::Paused,
            _ if !tracker.joined => AnnounceEvent::Started,
            _ if tracker.owes_completed => AnnounceEvent::Completed,
            _ => AnnounceEvent::None,
        };
        if event == AnnounceEvent::Stopped {
            tracker.owes_stopped = false;
            tracker.joined = false;
        }
        let sequence = self.sequence;
        self.sequence += 1;
        self.under_way += 1;
        let few = self.config.few_peers;
        let at_least = match statistics.peers_wanted {
            _ if statistics.wants_more_than(few) => few.saturating_mul(2),
            // A seed behind a router reaches those alone that are not behind one.
            1.. if statistics.peers_known < few => few,
            _ => 0,
        };
        let peers_wanted = if stop { 0 } else { statistics.peers_wanted.max(at_least).min(self.config.max_peers_wanted) };
        let downloads = statistics.left > 0 && !statistics.partial_seed;
        tracker.under_way = Some(UnderWay { sequence, event, hopes_for: if downloads { peers_wanted } else { 0 }, aside: false });
        Some(Announce {
            id: AnnounceId { tracker: key, sequence },
            url: tracker.url.clone(),
            event,
            uploaded: statistics.uploaded,
            downloaded: statistics.downloaded,
            left: statistics.left,
            peers_wanted,
            key: self.key,
            tracker_id: tracker.tracker_id.clone(),
        })
    }

    /// Moves a tracker that answered to the front of its tier. Whether it took over from another where only one is used.
    fn promote(&mut self, key: TrackerKey) -> bool {
        self.move_to_front(key);
        let before = self.last_answered.replace(key);
        self.config.reach == Reach::OneTracker && before.is_some_and(|before| before != key)
    }

    /// Moves a tracker to the front of its tier.
    fn move_to_front(&mut self, key: TrackerKey) {
        for tier in self.order.chunk_by_mut(|one, next| one.tier == next.tier) {
            if let Some(place) = tier.iter().position(|listed| listed.key == key)
                && let Some(front) = tier.get_mut(..=place)
            {
                front.rotate_right(1);
            }
        }
    }

    /// Drops trackers that are neither listed nor owed anything.
    fn forget_unlisted(&mut self) {
        let done = |tracker: &Tracker| !tracker.listed && tracker.under_way.is_none() && !tracker.owes_stopped;
        let keys: Vec<_> = self.trackers.iter().filter(|(_, tracker)| done(tracker)).map(|(key, _)| key).collect();
        for key in keys {
            self.trackers.remove(key);
        }
    }

    /// Ends stopping once everybody heard it.
    fn settle(&mut self) {
        let pending = |tracker: &Tracker| tracker.owes_stopped || tracker.under_way.is_some();
        if matches!(self.state, State::Stopping { .. }) && !self.trackers.iter().any(|(_, tracker)| pending(tracker)) {
            self.state = State::Stopped;
        }
    }

    fn abandon_stopping(&mut self) {
        self.state = State::Stopped;
        self.under_way = 0;
        for (_, tracker) in self.trackers.iter_mut() {
            tracker.owes_stopped = false;
            tracker.under_way = None;
            tracker.joined = false;
        }
        self.forget_unlisted();
    }
}

/// Whether `url` is of a scheme that carries the protocol, without anything that could break out of a request line or a log.
fn is_supported(url: &str) -> bool {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let known = ["http", "https", "udp"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    known && url.len() <= MAX_URL && !url.chars().any(|character| character.is_control() || character.is_whitespace())
}

/// Longer URLs than this many bytes are no trackers'.
const MAX_URL: usize = 2048;

#[cfg(test)]
mod tests;
