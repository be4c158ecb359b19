//! The engine: owns the parts, routes inputs, drains actions.

use crate::{
    action::Action,
    command::{Command, CommandError, Reply},
    config::Config,
    event::Event,
    id::TorrentId,
    input::Input,
    rng::{Rng, Seed},
    status::{PeerStatus, TorrentStatus},
    time::Instant,
};
use alloc::{collections::VecDeque, vec::Vec};

/// A BitTorrent engine: any number of torrents, all their peers and trackers. Does no I/O itself.
pub struct Engine {
    config: Config,
    rng: Rng,
    now: Instant,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
}

impl Engine {
    /// An engine without torrents. The same seed and the same inputs give the same actions.
    pub fn new(config: Config, seed: Seed, now: Instant) -> Engine {
        Engine { config, rng: Rng::new(seed), now, actions: VecDeque::new(), events: VecDeque::new() }
    }

    /// Tells the engine what happened, and when.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        let _ = (input, &self.config, &self.rng);
    }

    /// Tells the engine what its owner wants.
    pub fn command(&mut self, now: Instant, command: Command) -> Result<Reply, CommandError> {
        self.now = self.now.max(now);
        let _ = command;
        Ok(Reply::Done)
    }

    /// What the host must do next; `None` once all is said.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What the owner may want to know next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Engine::handle`] with [`Input::Timeout`] at the latest. After [`Engine::poll_action`] has said `None`
    /// this lies in the future.
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// All torrents, in the order of their places.
    pub fn torrents(&self) -> Vec<TorrentStatus> {
        Vec::new()
    }

    /// One torrent.
    pub fn torrent(&self, torrent: TorrentId) -> Option<TorrentStatus> {
        let _ = torrent;
        None
    }

    /// The connected peers of a torrent; empty if there is no such torrent.
    pub fn peers(&self, torrent: TorrentId) -> Vec<PeerStatus> {
        let _ = torrent;
        Vec::new()
    }
}
