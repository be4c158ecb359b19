use super::{Download, Extended, Fast, Holdings, Upload};
use crate::{
    config::Config,
    id::TorrentId,
    time::{Duration, Instant},
    torrent::picker::PeerCursor,
    util::{Armed, Bitfield},
    wire::{Decoder, HandshakeDecoder, Limits, PeerId},
};
use alloc::boxed::Box;
use core::net::SocketAddr;

/// One connection, from the wish to open it to its end.
///
/// What only a busy connection needs is boxed: an idle one is to cost no more than 512 bytes in all.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) remote: SocketAddr,
    /// Known from the start for those that we open, from the handshake for those that come in.
    pub(crate) torrent: Option<TorrentId>,
    pub(crate) stage: Stage,
    pub(crate) incoming: bool,
    /// It came where there was no room: it stays if it turns out to be worth more than another.
    pub(crate) on_trial: bool,
    pub(crate) peer_id: PeerId,
    /// The fast extension is on (BEP 6): we offer it always, so that is up to the peer.
    pub(crate) is_fast: bool,
    pub(crate) decoder: Decoder,

    /// What the peer has.
    pub(crate) holdings: Holdings,
    /// Whether the list of peers knows it as a seed, if it was told.
    pub(crate) listed_seed: Option<bool>,
    /// Where the picker's last search for this peer ended.
    pub(crate) cursor: PeerCursor,
    /// How many of them we want and have not told it that we have.
    pub(crate) interesting: u32,

    pub(crate) am_choking: bool,
    pub(crate) am_interested: bool,
    pub(crate) peer_choking: bool,
    pub(crate) peer_interested: bool,
    /// What of this the peer has been told. It may differ until the next write: what flickers in between is never sent.
    pub(crate) told_choking: bool,
    pub(crate) told_interested: bool,
    /// When `am_choking` last changed.
    pub(crate) choke_changed: Instant,

    /// How many of the torrent's announced pieces the peer has been told of.
    pub(crate) have_cursor: u32,
    pub(crate) handshake_due: bool,
    pub(crate) greeting_due: bool,

    pub(crate) download: Option<Box<Download>>,
    pub(crate) upload: Option<Box<Upload>>,
    /// There if the peer speaks the extension protocol.
    pub(crate) extended: Option<Box<Extended>>,

    /// When the connection was begun; once it is open, when that was.
    pub(crate) since: Instant,
    pub(crate) last_received: Instant,
    pub(crate) last_sent: Instant,
    /// When a block last went by that was of use, either way, or an interest ended.
    pub(crate) last_useful: Instant,
    /// A write is under way; it was handed out at `last_sent`.
    pub(crate) writing: bool,
    /// There may be something to say that could not go into the last write.
    pub(crate) unsaid: bool,
    pub(crate) reading: bool,
    /// Why nothing is read now, if that is our doing.
    pub(crate) withheld: Option<Withheld>,
    /// How many bytes of the read under way are paid for.
    pub(crate) read_granted: u32,
    /// How often a rate-limited read is doubled: it came back full as often.
    pub(crate) read_doublings: u8,
    /// It stands in the engine's list of those with something to say.
    pub(crate) dirty: bool,
    pub(crate) armed: Armed,
}

/// Why we do not read what a peer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withheld {
    /// The disk is to catch up first.
    Disk,
    /// A rate limit.
    Rate,
    /// It has asked for more than it takes.
    Requests,
}

/// For so long a write may be under way before we listen to a peer that asks too much.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many times more it may ask for then.
const PATIENT_FACTOR: usize = 4;

/// From the share of one of 256 connections to all there is.
const MOST_DOUBLINGS: u8 = 8;

/// How far a connection has come.
#[derive(Debug)]
pub(crate) enum Stage {
    /// The stream does not stand yet.
    Connecting,
    /// The peer's handshake is awaited.
    Handshake(Box<HandshakeDecoder>),
    /// Messages go both ways.
    Open,
}

impl Connection {
    /// A connection that is to be opened to `remote`.
    pub(crate) fn outgoing(now: Instant, remote: SocketAddr, torrent: TorrentId) -> Connection {
        Connection { torrent: Some(torrent), ..Connection::new(now, remote, Stage::Connecting) }
    }

    /// A connection that `remote` has opened.
    pub(crate) fn incoming(now: Instant, remote: SocketAddr) -> Connection {
        let stage = Stage::Handshake(Box::default());
        Connection { incoming: true, ..Connection::new(now, remote, stage) }
    }

    fn new(now: Instant, remote: SocketAddr, stage: Stage) -> Connection {
        Connection {
            remote,
            torrent: None,
            stage,
            incoming: false,
            on_trial: false,
            peer_id: PeerId([0; 20]),
            is_fast: false,
            decoder: Decoder::new(Limits::default()),
            holdings: Holdings::Some(Bitfield::new(0)),
            listed_seed: None,
            cursor: PeerCursor::default(),
            interesting: 0,
            am_choking: true,
            am_interested: false,
            peer_choking: true,
            peer_interested: false,
            told_choking: true,
            told_interested: false,
            choke_changed: now,
            have_cursor: 0,
            handshake_due: false,
            greeting_due: false,
            download: None,
            upload: None,
            extended: None,
            since: now,
            last_received: now,
            last_sent: now,
            last_useful: now,
            writing: false,
            unsaid: false,
            reading: false,
            withheld: None,
            read_granted: 0,
            read_doublings: 0,
            dirty: false,
            armed: None,
        }
    }

    /// Where the peer accepts connections, as far as is known.
    pub(crate) fn listens_at(&self) -> Option<SocketAddr> {
        if !self.incoming {
            return Some(self.remote);
        }
        let port = self.extended.as_ref()?.listen_port?;
        Some(SocketAddr::new(self.remote.ip(), port))
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// What the fast extension adds, if it was used yet.
    pub(crate) fn fast(&self) -> Option<&Fast> {
        self.download.as_ref()?.fast.as_deref()
    }

    /// The same, to be changed.
    pub(crate) fn fast_mut(&mut self) -> Option<&mut Fast> {
        self.download.as_mut()?.fast.as_deref_mut()
    }

    /// The part for the fast extension, made at its first use.
    pub(crate) fn make_fast(&mut self, config: &Config) -> &mut Fast {
        self.download(config).fast.get_or_insert_default()
    }

    /// Whether it lets us ask for anything now.
    pub(crate) fn lets_us_ask(&self) -> bool {
        !self.peer_choking || self.fast().is_some_and(|fast| !fast.allowed().is_empty())
    }

    /// The part for blocks that we fetch, made at its first use.
    pub(crate) fn download(&mut self, config: &Config) -> &mut Download {
        self.download.get_or_insert_with(|| Box::new(Download::new(config)))
    }

    /// The part for blocks that the peer fetches, made at its first use.
    pub(crate) fn upload(&mut self) -> &mut Upload {
        self.upload.get_or_insert_default()
    }

    /// Chokes or unchokes from now on; `true` if that is a change.
    pub(crate) fn set_choking(&mut self, now: Instant, choking: bool) -> bool {
        let changed = self.am_choking != choking;
        if changed {
            (self.am_choking, self.choke_changed) = (choking, now);
        }
        changed
    }

    /// It has nothing to ask us for, or may ask and does not: a new piece of ours may change that, unless it has everything.
    pub(crate) fn waits_for_haves(&self) -> bool {
        if self.holdings.is_seed() {
            return false;
        }
        let asks = self.upload.as_ref().is_some_and(|upload| upload.pending() > 0);
        !self.peer_interested || (!self.am_choking && !asks)
    }

    /// Bytes of payload that came since the connection stands.
    pub(crate) fn downloaded(&self) -> u64 {
        self.download.as_ref().map_or(0, |download| download.total)
    }

    /// Bytes of payload that went out since the connection stands.
    pub(crate) fn uploaded(&self) -> u64 {
        self.upload.as_ref().map_or(0, |upload| upload.total)
    }

    pub(crate) fn is_snubbed(&self) -> bool {
        self.download.as_ref().is_some_and(|download| download.snubbed)
    }

    /// Whether the peer has asked for so much that it is not listened to until it has taken some. If it takes nothing, it may be that
    /// it waits for us to listen.
    pub(crate) fn asks_too_much(&self, now: Instant, config: &Config) -> bool {
        let Some(upload) = &self.upload else { return false };
        let limit = config.upload_queue_limit as usize;
        let stuck = self.writing && now.since(self.last_sent) >= PATIENCE;
        upload.pending() > if stuck { limit.saturating_mul(PATIENT_FACTOR) } else { limit }
    }

    /// When a peer that asks too much is listened to although it takes nothing.
    fn patience_deadline(&self, config: &Config) -> Option<Instant> {
        let pending = self.upload.as_ref().filter(|_| self.writing && self.withheld == Some(Withheld::Requests))?.pending();
        let may_ask = pending <= (config.upload_queue_limit as usize).saturating_mul(PATIENT_FACTOR);
        may_ask.then(|| self.last_sent + PATIENCE)
    }

    /// A read that was paid for `granted` bytes brought `came`.
    pub(crate) fn read_came(&mut self, granted: u32, came: usize) {
        let granted = granted as usize;
        self.read_doublings = match self.read_doublings {
            _ if granted == 0 => 0,
            doublings if came >= granted => doublings.saturating_add(1).min(MOST_DOUBLINGS),
            doublings if came >= granted / 2 => doublings,
            doublings => doublings / 2,
        };
    }

    /// We do not read for a while. The peer's silence means nothing then, unless it has itself to blame: what it owes us may stand behind
    /// requests without end.
    pub(crate) fn withhold(&mut self, now: Instant, reason: Withheld) {
        self.withheld = Some(reason);
        if let Some(download) = self.download.as_mut().filter(|_| reason != Withheld::Requests) {
            download.not_heard(now);
        }
    }

    /// We read again: the peer's time begins anew.
    pub(crate) fn listen_again(&mut self, now: Instant) {
        self.withheld = None;
        self.last_received = now;
        if let Some(download) = &mut self.download {
            download.heard_again(now);
        }
    }

    /// When the peer's silence becomes snubbing, if it owes us blocks and we listen, or would if it asked for less. Who chokes us owes us at
    /// least rejects.
    pub(crate) fn snub_deadline(&self, config: &Config) -> Option<Instant> {
        let patience = if self.peer_choking { config.reject_timeout } else { config.snub_timeout };
        let counts = self.withheld.is_none_or(|reason| reason == Withheld::Requests);
        self.download.as_ref().filter(|_| counts)?.snub_deadline(patience, config.block_timeout)
    }

    /// When pieces that the peer has rejected may be asked for again.
    pub(crate) fn refusal_deadline(&self) -> Option<Instant> {
        self.download.as_ref()?.refusal_deadline()
    }

    /// What the peer has sent in this choke round and the one before.
    pub(crate) fn received_in_rounds(&self) -> u64 {
        self.download.as_ref().map_or(0, |download| download.in_rounds())
    }

    /// Ends a choke round.
    pub(crate) fn end_round(&mut self) {
        if let Some(download) = &mut self.download {
            download.end_round();
        }
    }

    /// The earliest moment at which silence means something.
    pub(crate) fn deadline(&self, config: &Config) -> Instant {
        match self.stage {
            Stage::Connecting => self.since + config.connect_timeout,
            Stage::Handshake(_) => self.since + config.handshake_timeout,
            Stage::Open => {
                let idle = if self.withheld.is_some() { Instant::MAX } else { self.last_received + config.idle_timeout };
                let snub = self.snub_deadline(config).unwrap_or(Instant::MAX);
                let keep_alive = if self.writing { Instant::MAX } else { self.last_sent + config.keep_alive_interval };
                let write = if self.writing { self.last_sent + config.write_timeout } else { Instant::MAX };
                let patience = self.patience_deadline(config).unwrap_or(Instant::MAX);
                let refusal = self.refusal_deadline().unwrap_or(Instant::MAX);
                idle.min(keep_alive).min(write).min(snub).min(patience).min(refusal)
            }
        }
    }
}
