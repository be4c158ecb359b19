//! What the announcer knows of one tracker, and how an answer changes it.

use super::{
    super::{AnnounceEvent, AnnounceResponse, Retry, SwarmCounts, TrackerFailure},
    AnnouncerConfig, TrackerState,
};
use crate::{
    rng::Rng,
    time::{Duration, Instant},
};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};

#[derive(Debug)]
pub(super) struct Tracker {
    pub(super) url: String,
    /// Whether the torrent still lists it.
    pub(super) listed: bool,
    pub(super) under_way: Option<UnderWay>,
    /// It counts us as a member of the swarm, as far as we know.
    pub(super) joined: bool,
    /// The download completed since it heard from us.
    pub(super) owes_completed: bool,
    pub(super) owes_stopped: bool,
    /// It answered since the start.
    pub(super) answered: bool,
    /// It answered at any time, so that the peers known may be those that it named.
    pub(super) has_named_peers: bool,
    pub(super) disabled: bool,
    pub(super) failures: u32,
    /// How many of the failures were refusals.
    pub(super) refusals: u32,
    /// Of the next announce.
    pub(super) due: Instant,
    /// When a torrent with few peers may announce earlier than that.
    pub(super) due_with_few_peers: Instant,
    /// No announce at the owner's wish before this.
    pub(super) earliest: Instant,
    pub(super) min_interval: Duration,
    pub(super) tracker_id: Option<Vec<u8>>,
    pub(super) counts: SwarmCounts,
    pub(super) last_error: Option<String>,
    pub(super) last_warning: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct UnderWay {
    pub(super) sequence: u64,
    pub(super) event: AnnounceEvent,
    /// How many peers a download would like to hear of.
    pub(super) hopes_for: u32,
    /// Another tracker is used by now.
    pub(super) aside: bool,
}

impl Tracker {
    pub(super) fn new(url: String, now: Instant) -> Tracker {
        Tracker {
            url,
            listed: false,
            under_way: None,
            joined: false,
            owes_completed: false,
            owes_stopped: false,
            answered: false,
            has_named_peers: false,
            disabled: false,
            failures: 0,
            refusals: 0,
            due: now,
            due_with_few_peers: now,
            earliest: now,
            min_interval: Duration::ZERO,
            tracker_id: None,
            counts: SwarmCounts::default(),
            last_error: None,
            last_warning: None,
        }
    }

    pub(super) fn is_working(&self) -> bool {
        self.answered && self.failures == 0
    }

    /// Whether it does, or will once it answers.
    pub(super) fn counts_us(&self) -> bool {
        self.joined || self.under_way.is_some_and(|under_way| under_way.event != AnnounceEvent::Stopped)
    }

    pub(super) fn can_stop(&self) -> bool {
        self.owes_stopped && self.under_way.is_none()
    }

    /// An answer is awaited that matters.
    pub(super) fn is_asked(&self) -> bool {
        self.under_way.is_some_and(|under_way| !under_way.aside && under_way.event != AnnounceEvent::Stopped)
    }

    pub(super) fn may_be_asked(&self) -> bool {
        !self.disabled && self.under_way.is_none()
    }

    pub(super) fn state(&self) -> TrackerState {
        match () {
            _ if self.under_way.is_some() => TrackerState::Announcing,
            _ if self.disabled => TrackerState::Disabled,
            _ if self.failures > 0 => TrackerState::Failing,
            _ if self.answered => TrackerState::Working,
            _ => TrackerState::Unused,
        }
    }

    pub(super) fn due_at_once(&mut self, now: Instant) {
        self.due = now;
        self.due_with_few_peers = now;
    }

    /// Another tracker is used instead. Should this one's turn come again, it is as if it had never been asked; until then it is told, if
    /// need be, that we left.
    pub(super) fn set_aside(&mut self, now: Instant, running: bool) {
        self.owes_stopped |= running && self.counts_us();
        self.owes_completed = false;
        if let Some(under_way) = &mut self.under_way {
            under_way.aside = true;
        }
        self.answered = false;
        self.has_named_peers = false;
        (self.failures, self.refusals) = (0, 0);
        self.due_at_once(now);
    }

    /// Plans the next look at whether the torrent has too few peers; it has not now.
    pub(super) fn look_again(&mut self, now: Instant, complete: bool) {
        if self.due_with_few_peers <= now {
            self.due_with_few_peers = if complete { self.due } else { self.due.min(now + self.min_interval) };
        }
    }

    pub(super) fn succeed(
        &mut self,
        now: Instant,
        UnderWay { event, hopes_for, .. }: UnderWay,
        response: &AnnounceResponse,
        config: &AnnouncerConfig,
        rng: &mut Rng,
    ) {
        self.joined = true;
        self.answered = true;
        self.has_named_peers = true;
        (self.failures, self.refusals) = (0, 0);
        self.owes_completed &= event != AnnounceEvent::Completed;
        let clamp = |interval: Duration| interval.max(config.shortest_interval).min(config.longest_interval);
        let interval = response.interval.unwrap_or(config.default_interval);
        let min_interval = response.min_interval.unwrap_or(config.default_min_interval.min(interval));
        self.min_interval = clamp(min_interval);
        self.earliest = now + self.min_interval;
        self.due_with_few_peers = now + with_jitter(self.min_interval, config, rng);
        self.due = now + with_jitter(clamp(interval).max(self.min_interval), config, rng);
        // Who comes first to a swarm would otherwise know of nobody else who comes early for half an hour.
        if event == AnnounceEvent::Started && response.peers.len() < hopes_for as usize {
            self.due = self.due_with_few_peers;
        }
        if self.owes_completed {
            self.due_at_once(now);
        }
        if response.tracker_id.is_some() {
            self.tracker_id.clone_from(&response.tracker_id);
        }
        self.counts = response.counts;
        self.last_error = None;
        self.last_warning.clone_from(&response.warning);
    }

    pub(super) fn fail(&mut self, now: Instant, event: AnnounceEvent, failure: &TrackerFailure, config: &AnnouncerConfig, rng: &mut Rng) {
        self.last_error = Some(failure.to_string());
        if event == AnnounceEvent::Stopped {
            return;
        }
        self.owes_completed &= self.joined;
        self.owes_stopped &= self.joined;
        self.failures = self.failures.saturating_add(1);
        let doubled = |first: Duration, times: u32| first.saturating_mul(1 << times.saturating_sub(1).min(30)).min(config.longest_retry);
        self.earliest = now + config.first_retry;
        let wait = match failure {
            TrackerFailure::Refused { retry: Retry::After(wait), .. } => {
                let wait = (*wait).max(config.first_retry).min(config.longest_interval);
                self.earliest = now + wait;
                wait
            }
            TrackerFailure::Refused { retry, .. } => {
                self.disabled = *retry == Retry::Never;
                // That it could not be reached before is no reason to leave it alone for longer now.
                self.refusals = self.refusals.saturating_add(1);
                doubled(config.first_retry_refused, self.refusals)
            }
            _ => doubled(config.first_retry, self.failures),
        };
        self.due = now + with_jitter(wait, config, rng);
        self.due_with_few_peers = self.due;
    }
}

fn with_jitter(wait: Duration, config: &AnnouncerConfig, rng: &mut Rng) -> Duration {
    let most = wait.saturating_mul(config.jitter_percent) / 100;
    let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    wait.saturating_add(Duration::from_micros(rng.below(most.saturating_add(1))))
}
