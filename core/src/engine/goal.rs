//! When a torrent has given enough, it stops by itself.

use super::Engine;
use crate::{event::Event, id::TorrentId};

impl Engine {
    /// A torrent began to seed, or its owner chose anew: finds out when it has given enough.
    pub(super) fn watch_goal(&mut self, id: TorrentId) {
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        torrent.goal.choose(torrent.choices.goal);
        if torrent.is_seeding() {
            let (wanted, before) = (torrent.wanted_length(), torrent.earlier.uploaded);
            torrent.goal.start(now, wanted, before, torrent.uploaded);
        } else {
            torrent.goal.stop(now);
        }
        self.arm_torrent(id);
    }

    /// Payload goes out.
    pub(super) fn count_payload(&mut self, id: TorrentId, bytes: u64) {
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(id).filter(|_| bytes > 0) else { return };
        torrent.uploaded += bytes;
        torrent.upload_meter.add(now, bytes);
        if torrent.goal.sent(now, torrent.uploaded) {
            self.arm_torrent(id);
        }
    }

    /// Pauses a torrent that has given enough.
    pub(super) fn goal_due(&mut self, id: TorrentId) {
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        if torrent.goal.is_reached(now) {
            self.event(Event::GoalReached { torrent: id });
            // It is there, and pausing cannot fail otherwise.
            let _ = self.pause(id);
        }
    }
}
