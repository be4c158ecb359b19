use super::{Engine, rates::Direction};
use crate::{
    id::{ConnectionId, TorrentId},
    peer::{CloseReason, Stage},
    time::{Duration, Instant},
    torrent::{Phase, WebSource},
};

/// What a deadline belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// Silence on a connection, or a peer that snubs us: [`Connection::deadline`](crate::peer::Connection::deadline).
    Connection(ConnectionId),
    /// Announces, choke rounds, haves, peers to try again, resume data: see [`Engine::torrent_deadline`].
    Torrent(TorrentId),
    /// Retransmissions to UDP trackers.
    Udp,
    /// A rate limit of the whole engine.
    Rate(Direction),
    /// A rate limit of a torrent.
    TorrentRate(Direction, TorrentId),
    /// Announces to the local network.
    Local,
}

/// Whatever is due again is due no sooner than this, so that after a drain the next deadline lies in the future.
pub(super) const STEP: Duration = Duration::from_millis(1);

impl Engine {
    /// Lets everything happen that is due. Each object fires once and arms itself for later.
    pub(super) fn fire_timers(&mut self) {
        while let Some(timer) = self.timers.pop(self.now) {
            match timer {
                Timer::Connection(id) => self.connection_due(id),
                Timer::Torrent(id) => self.torrent_due(id),
                Timer::Udp => self.udp_due(),
                Timer::Rate(direction) => self.rate_due(direction),
                Timer::TorrentRate(direction, id) => self.torrent_rate_due(direction, id),
                Timer::Local => self.local_due(),
            }
        }
    }

    /// The earliest moment that anything may be due again.
    pub(super) fn soonest(&self) -> Instant {
        self.now + STEP
    }

    pub(super) fn arm_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let at = connection.deadline(&self.config).max(self.now + STEP);
        self.timers.arm(&mut connection.armed, Timer::Connection(id), at);
    }

    pub(super) fn arm_torrent(&mut self, id: TorrentId) {
        let Some(at) = self.torrent_deadline(id) else { return };
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        self.timers.arm(&mut torrent.armed, Timer::Torrent(id), at.max(self.now + STEP));
    }

    pub(super) fn arm_udp(&mut self, at: Instant) {
        self.timers.arm(&mut self.udp_armed, Timer::Udp, at.max(self.now + STEP));
    }

    fn connection_due(&mut self, id: ConnectionId) {
        let (now, config) = (self.now, &self.config);
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.armed = None;
        let silent = now.since(connection.last_received) >= config.idle_timeout && connection.withheld.is_none();
        let stuck = connection.writing && now.since(connection.last_sent) >= config.write_timeout;
        let reason = match connection.stage {
            Stage::Connecting if now.since(connection.since) >= config.connect_timeout => Some(CloseReason::ConnectTimeout),
            Stage::Handshake(_) if now.since(connection.since) >= config.handshake_timeout => Some(CloseReason::HandshakeTimeout),
            Stage::Open if silent => Some(CloseReason::IdleTimeout),
            Stage::Open if stuck => Some(CloseReason::WriteTimeout),
            _ => None,
        };
        if let Some(reason) = reason {
            return self.close(id, reason);
        }
        if connection.snub_deadline(config).is_some_and(|at| at <= now) {
            self.snub(id);
        }
        self.listen_on(id);
        if let Some(download) = self.connections.get_mut(id).and_then(|connection| connection.download.as_mut()) {
            download.end_refusals(now);
        }
        // A keep-alive, if it is due, is for the next write to find.
        self.mark_dirty(id);
        self.arm_connection(id);
    }

    fn torrent_due(&mut self, id: TorrentId) {
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.armed = None;
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        torrent.room_due = torrent.room_due.filter(|at| *at > now);
        let (choke, resume) = (due(torrent.choke_due), due(torrent.resume_due));
        let (have, have_rest) = (due(torrent.have_due), due(torrent.have_rest_due));
        if have {
            self.announce_haves(id);
        }
        if have_rest {
            self.announce_to_the_rest(id);
        }
        if choke {
            self.choke_round(id);
        }
        if resume {
            self.save_resume(id);
        }
        self.trials_due(id);
        self.goal_due(id);
        self.super_seed_due(id);
        self.pump_metadata(id);
        self.web_seeds_due(id);
        self.exchange_round(id);
        self.announce(id);
        self.connect_peers(id);
        self.arm_torrent(id);
    }

    fn torrent_deadline(&self, id: TorrentId) -> Option<Instant> {
        let torrent = self.torrents.get(id)?;
        let connect = torrent.peers.next_deadline().filter(|_| torrent.takes_peers() && !self.wanting.contains(&id));
        let connect = connect.map(|at| at.max(torrent.next_connect()));
        let metadata = match &torrent.phase {
            Phase::Metadata(fetch) => fetch.next_deadline(),
            _ => None,
        };
        let exchange = torrent.exchange.as_ref().and_then(|exchange| exchange.next_deadline());
        let web_seeds = if torrent.is_active() { torrent.web_seeds.iter().filter_map(WebSource::next_deadline).min() } else { None };
        let super_seed = torrent.super_seed.as_ref().and_then(|seed| seed.next_deadline());
        [
            torrent.choke_due,
            super_seed,
            torrent.room_due,
            torrent.goal.deadline(),
            torrent.blame.next_deadline(),
            metadata,
            exchange,
            web_seeds,
            torrent.have_due,
            torrent.have_rest_due,
            torrent.resume_due,
            torrent.announcer.next_deadline(),
            connect,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
