use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use rustor_runtime::{adapter::Listener, disk::DiskConfig, tracker};
use rustor_tokio::{
    AddOptions, Client, ClientConfig, TokioRuntime,
    core::{id::TorrentId, metainfo::Metainfo, status::TorrentStatus, tracker::TrackerServerConfig},
};
use tokio::task::JoinSet;

use super::{payload::Payload, uplink::SlowUplink};
use crate::{
    failure::Failure,
    output::{Bytes, Output, Rate, Span, bar_style, percent},
    tracker::{Running, announce_url},
};

/// Between two lines where nothing can move.
const INTERVAL: Duration = Duration::from_millis(500);

/// A tracker, a seeder and leechers, all in this process and on this machine's loopback.
pub(super) struct Swarm {
    tracker: Running,
    url: String,
    seeder: Member,
    leechers: Vec<Member>,
}

struct Member {
    client: Client,
    torrent: TorrentId,
}

/// How far everybody is.
pub(super) struct Progress {
    pub(super) seeder: TorrentStatus,
    pub(super) leechers: Vec<TorrentStatus>,
}

/// Which folder a leecher downloads to.
pub(super) fn leecher_folder(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("leecher {}", number + 1))
}

impl Swarm {
    pub(super) async fn start(folder: &Path, payload: &Payload, leechers: usize, uplink: u64) -> Result<Swarm, Failure> {
        let failed = |error: std::io::Error| Failure::about("cannot listen on this machine's loopback", error);
        let sockets = tracker::open(&TokioRuntime::current(), (Ipv4Addr::LOCALHOST, 0).into()).map_err(failed)?;
        let url = announce_url("http", sockets.0.local_address().map_err(failed)?);
        let tracker = Running::start(vec![sockets], TrackerServerConfig::default())?;
        let metainfo = Metainfo { trackers: vec![vec![url.clone()]], ..payload.metainfo.clone() };
        let seeder = Member::start(Role::Seeder, metainfo.clone(), &payload.folder, uplink).await?;
        // Leechers that come first find nobody, and trackers are not asked often.
        seeder.client.wait_finished(seeder.torrent).await.map_err(Failure::new)?;
        tracker.until_peers(1).await;
        let mut swarm = Swarm { tracker, url, seeder, leechers: Vec::new() };
        for number in 0..leechers {
            let leecher = Member::start(Role::Leecher(number), metainfo.clone(), &leecher_folder(folder, number), u64::MAX).await?;
            swarm.leechers.push(leecher);
        }
        Ok(swarm)
    }

    pub(super) fn announce_url(&self) -> &str {
        &self.url
    }

    pub(super) async fn progress(&self) -> Result<Progress, Failure> {
        let mut leechers = Vec::with_capacity(self.leechers.len());
        for leecher in &self.leechers {
            leechers.push(leecher.status().await?);
        }
        Ok(Progress { seeder: self.seeder.status().await?, leechers })
    }

    /// Notes what each leecher has had from whom so far.
    pub(super) async fn sample(&self, shares: &mut Shares) -> Result<(), Failure> {
        for (number, leecher) in self.leechers.iter().enumerate() {
            for peer in leecher.client.peers(leecher.torrent).await.map_err(Failure::new)? {
                let Some(role) = Role::of(&peer.peer_id) else { continue };
                shares.note(number, role, peer.remote, peer.downloaded);
            }
        }
        Ok(())
    }

    /// Ends everything, in any order and at once.
    pub(super) async fn stop(self) {
        let mut ends = JoinSet::new();
        for member in self.leechers.into_iter().chain([self.seeder]) {
            ends.spawn(async move { member.client.shutdown().await });
        }
        while ends.join_next().await.is_some() {}
        self.tracker.stop().await;
    }
}

impl Member {
    /// A client that sends no more than `uplink` bytes a second.
    async fn start(role: Role, metainfo: Metainfo, folder: &Path, uplink: u64) -> Result<Member, Failure> {
        let mut config = ClientConfig { listen: vec![Ipv4Addr::LOCALHOST.into()], port: 0, state_folder: None, ..ClientConfig::default() };
        config.disk = DiskConfig { threads: std::num::NonZeroUsize::MIN, ..DiskConfig::default() };
        config.engine.peer_id_prefix = role.prefix();
        config.engine.announcer.stop_timeout = Duration::from_secs(1);
        // For a swarm that lives for seconds, not hours.
        config.engine.choke_interval = Duration::from_secs(1);
        if role == Role::Seeder {
            // Who is not served must look to the others.
            config.engine.limits.upload_slots = 2;
        }
        let (client, host) = Client::start(SlowUplink::new(TokioRuntime::current(), uplink), config).map_err(Failure::new)?;
        drop(tokio::spawn(host));
        let torrent = client.add(AddOptions::new(metainfo, folder)).await.map_err(Failure::new)?;
        Ok(Member { client, torrent })
    }

    async fn status(&self) -> Result<TorrentStatus, Failure> {
        let status = self.client.status(self.torrent).await.map_err(Failure::new)?;
        match &status.error {
            Some(error) => Err(Failure::new(error)),
            None => Ok(status),
        }
    }
}

/// Who somebody is, as its peer id tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Seeder,
    Leecher(usize),
}

impl Role {
    fn prefix(self) -> [u8; 8] {
        let mut prefix = *b"-RuS000-";
        if let Role::Leecher(number) = self {
            prefix[3] = b'L';
            for (place, divisor) in [(4, 100), (5, 10), (6, 1)] {
                prefix[place] = b'0' + (number / divisor % 10) as u8;
            }
        }
        prefix
    }

    fn of(peer_id: &[u8; 20]) -> Option<Role> {
        let number = std::str::from_utf8(&peer_id[4..7]).ok()?.parse().ok()?;
        match peer_id[3] {
            b'S' => Some(Role::Seeder),
            b'L' => Some(Role::Leecher(number)),
            _ => None,
        }
    }
}

/// What each leecher had from whom.
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// By leecher, source, and the connection's address: the most that was seen.
    received: BTreeMap<(usize, Role, SocketAddr), u64>,
}

impl Shares {
    fn note(&mut self, leecher: usize, from: Role, connection: SocketAddr, bytes: u64) {
        let received = self.received.entry((leecher, from, connection)).or_default();
        *received = bytes.max(*received);
    }

    /// Bytes that a leecher had from the seeder, and from other leechers.
    pub(super) fn of(&self, leecher: usize) -> (u64, u64) {
        let (mut seeder, mut others) = (0, 0);
        for ((_, from, _), bytes) in self.received.iter().filter(|((receiver, ..), _)| *receiver == leecher) {
            match from {
                Role::Seeder => seeder += bytes,
                Role::Leecher(_) => others += bytes,
            }
        }
        (seeder, others)
    }
}

/// The swarm as it is seen: a bar for each member on a terminal, a line for all of them now and then elsewhere.
pub(super) struct View<'a> {
    output: &'a Output,
    bars: Vec<ProgressBar>,
    last: Instant,
}

impl<'a> View<'a> {
    pub(super) fn new(output: &'a Output) -> View<'a> {
        View { output, bars: Vec::new(), last: Instant::now() }
    }

    pub(super) fn show(&mut self, progress: &Progress, time: Duration) {
        if self.output.is_live() {
            self.draw(progress);
        } else if self.last.elapsed() >= INTERVAL {
            self.last = Instant::now();
            let percents = progress.leechers.iter().map(|leecher| format!("{:>3}%", percent(leecher.verified, leecher.total)));
            let sent = Bytes(progress.seeder.uploaded);
            let percents = percents.collect::<Vec<_>>().join(" ");
            self.output.note(format_args!("   {:>5}  leechers have {percents}; the seeder has sent {sent}", Span(time)));
        }
    }

    fn draw(&mut self, progress: &Progress) {
        if self.bars.is_empty() {
            let style = bar_style(self.output, "   {prefix:11} {bar} {msg}");
            for number in 0..=progress.leechers.len() {
                let name = if number == 0 { "seeder".into() } else { format!("leecher {number}") };
                let bar = self.output.bars().add(ProgressBar::new(1).with_prefix(name));
                bar.set_style(style.clone());
                self.bars.push(bar);
            }
        }
        for (bar, status) in self.bars.iter().zip([&progress.seeder].into_iter().chain(&progress.leechers)) {
            bar.set_length(status.total);
            bar.set_position(status.verified);
            let percent = percent(status.verified, status.total);
            let (down, up) = (Rate(status.download_rate).to_string(), Rate(status.upload_rate).to_string());
            bar.set_message(format!("{percent:>3}%  ↓ {down:>11}  ↑ {up:>11}  {} peers", status.peers));
        }
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        for bar in &self.bars {
            bar.finish_and_clear();
        }
    }
}
