use super::{Early, Fast};
use crate::{
    config::Config,
    time::{Duration, Instant},
    util::RateMeter,
    wire::{BLOCK_LENGTH, Block},
};
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::mem;

/// The blocks that we fetch from one peer: which it owes us, and how many to ask for ahead.
///
/// The window doubles with each round trip until the rate no longer grows, then follows the rate: enough requests for
/// [`Config::request_queue_time`].
#[derive(Debug)]
pub(crate) struct Download {
    /// The blocks asked for, oldest first: most peers answer in order.
    outstanding: VecDeque<Block>,
    /// To be told to the peer.
    pub(crate) cancels: Vec<Block>,
    /// Blocks that may still come, or be rejected, although they are no longer asked for: cancelled, or dropped by a choke that crossed
    /// them.
    forgiven: u32,
    /// The most of them.
    forgiven_limit: u32,
    /// Pieces of which the peer rejected blocks although it let us ask. They are not asked of it until `refused_until`.
    refused: Vec<u32>,
    refused_until: Instant,
    /// How often that came to its end without a block between: each time the peer is left alone for longer.
    refusals: u32,
    /// Requests were rejected: others may be asked.
    pub(crate) freed: bool,
    meter: RateMeter,
    window: u32,
    ramp: Ramp,
    /// When a part of a block last came, or the first of a new batch was asked for.
    progress: Instant,
    /// When a whole block last came, or the first of a new batch was asked for.
    last_block: Instant,
    pub(crate) snubbed: bool,
    /// Since when we do not read what the peer sends.
    unheard_since: Option<Instant>,
    /// Somebody reads along: silence is borne for a sixth of the time only.
    pub(crate) hurried: bool,
    /// What the peer said of its pieces before we knew how many there are.
    pub(crate) early: Option<Box<Early>>,
    /// What the fast extension adds; here because an idle connection does without it.
    pub(crate) fast: Option<Box<Fast>>,
    /// Bytes of payload that came, of use or not.
    pub(crate) total: u64,
    /// What `total` was at the last choke round and at the one before.
    total_at_round: [u64; 2],
}

/// The search for the window of a peer whose rate is not known yet.
#[derive(Clone, Copy, Debug)]
enum Ramp {
    /// Growing; what the rate was when it was last compared, and when that was.
    Growing {
        rate: u64,
        compared: Option<Instant>,
    },
    Done,
}

/// What a block that came was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Asked for.
    Expected,
    /// Asked for once, no longer: of no use, but no fault either.
    Late,
    /// Never asked for.
    Unasked,
}

impl Download {
    pub(crate) fn new(config: &Config) -> Download {
        Download {
            outstanding: VecDeque::new(),
            cancels: Vec::new(),
            forgiven: 0,
            forgiven_limit: config.request_maximum.saturating_mul(FORGIVEN_WINDOWS).max(FORGIVEN),
            refused: Vec::new(),
            refused_until: Instant::ZERO,
            refusals: 0,
            freed: false,
            meter: RateMeter::default(),
            window: config.request_initial,
            ramp: Ramp::Growing { rate: 0, compared: None },
            progress: Instant::ZERO,
            last_block: Instant::ZERO,
            snubbed: false,
            unheard_since: None,
            hurried: false,
            early: None,
            fast: None,
            total: 0,
            total_at_round: [0; 2],
        }
    }

    /// How many more blocks to ask for now. Zero until a quarter of the window is free, so that requests go out in batches.
    pub(crate) fn room(&self, config: &Config) -> usize {
        if self.refused.len() >= REFUSED {
            return 0;
        }
        let window = if self.snubbed { 1 } else { self.window.clamp(config.request_minimum, config.request_maximum) } as usize;
        let free = window.saturating_sub(self.outstanding.len());
        if free * 4 >= window { free } else { 0 }
    }

    /// `blocks` are asked for now.
    pub(crate) fn requested(&mut self, now: Instant, blocks: &[Block]) {
        if self.outstanding.is_empty() {
            (self.progress, self.last_block) = (now, now);
        }
        self.outstanding.extend(blocks);
    }

    /// A block has come.
    pub(crate) fn arrived(&mut self, now: Instant, block: Block, config: &Config) -> Arrival {
        let Some(at) = self.outstanding.iter().position(|outstanding| *outstanding == block) else {
            if self.forgiven == 0 {
                return Arrival::Unasked;
            }
            self.forgiven -= 1;
            return Arrival::Late;
        };
        self.strike(at);
        (self.progress, self.last_block) = (now, now);
        self.snubbed = false;
        self.refusals = 0;
        self.meter.add(now, u64::from(block.length));
        self.adapt(now, config);
        Arrival::Expected
    }

    /// The peer says that it will not send `block`.
    pub(crate) fn rejected(&mut self, block: Block) -> Arrival {
        if let Some(at) = self.outstanding.iter().position(|outstanding| *outstanding == block) {
            self.strike(at);
            self.freed = true;
            return Arrival::Expected;
        }
        match self.forgiven.checked_sub(1) {
            Some(forgiven) => {
                self.forgiven = forgiven;
                Arrival::Late
            }
            None => Arrival::Unasked,
        }
    }

    /// It rejected a block of `piece` although it let us ask: another request would only be rejected, too.
    pub(crate) fn refuses(&mut self, now: Instant, piece: u32, config: &Config) {
        if self.refused.is_empty() {
            self.refused_until = now + config.reject_interval * (1 << self.refusals.min(REFUSALS));
        }
        if self.refused.len() < REFUSED && !self.refused.contains(&piece) {
            self.refused.push(piece);
        }
    }

    /// The pieces not to be asked of the peer now.
    pub(crate) fn refused(&self) -> &[u32] {
        &self.refused
    }

    /// Lets them be asked for again, if it is time.
    pub(crate) fn end_refusals(&mut self, now: Instant) {
        if !self.refused.is_empty() && now >= self.refused_until {
            self.refused.clear();
            self.refusals = self.refusals.saturating_add(1);
        }
    }

    /// When [`Download::end_refusals`] is due.
    pub(crate) fn refusal_deadline(&self) -> Option<Instant> {
        (!self.refused.is_empty()).then_some(self.refused_until)
    }

    /// How many bytes came in this choke round and the one before.
    pub(crate) fn in_rounds(&self) -> u64 {
        self.total.saturating_sub(self.total_at_round[1])
    }

    /// Ends a choke round.
    pub(crate) fn end_round(&mut self) {
        self.total_at_round = [self.total, self.total_at_round[0]];
    }

    /// Whether any byte came in this choke round or in the last one.
    pub(crate) fn came_lately(&self) -> bool {
        self.total > self.total_at_round[1]
    }

    /// A part of a block has come: slow is not silent.
    pub(crate) fn progressed(&mut self, now: Instant) {
        self.progress = now;
    }

    /// We do not read what the peer sends.
    pub(crate) fn not_heard(&mut self, now: Instant) {
        self.unheard_since = Some(now);
    }

    /// We read again: what the peer did not say meanwhile is not its fault.
    pub(crate) fn heard_again(&mut self, now: Instant) {
        if let Some(since) = self.unheard_since.take() {
            self.progress = now;
            self.last_block += now.since(since);
        }
    }

    /// No longer wants `block`, which another peer has sent; `true` if the peer must be told.
    pub(crate) fn cancel(&mut self, block: Block) -> bool {
        let Some(at) = self.outstanding.iter().position(|outstanding| *outstanding == block) else { return false };
        self.strike(at);
        self.forgive(1);
        self.cancels.push(block);
        true
    }

    /// No longer wants any block of `pieces`, which are in ascending order. Returns the blocks.
    pub(crate) fn cancel_pieces(&mut self, pieces: &[u32]) -> Vec<Block> {
        let unwanted = |block: &&Block| pieces.binary_search(&block.piece).is_ok();
        let blocks: Vec<Block> = self.outstanding.iter().filter(unwanted).copied().collect();
        for block in &blocks {
            self.cancel(*block);
        }
        blocks
    }

    /// Gives the blocks of `piece` up, as after a choke: the peer no longer has it (BEP 54).
    pub(crate) fn release_piece(&mut self, piece: u32) -> Vec<Block> {
        let released: Vec<Block> = self.outstanding.iter().filter(|block| block.piece == piece).copied().collect();
        self.outstanding.retain(|block| block.piece != piece);
        self.forgive(released.len());
        released
    }

    /// Gives all blocks up, as after a choke; the peer owes them no longer.
    pub(crate) fn release(&mut self) -> Vec<Block> {
        self.forgive(self.outstanding.len());
        self.cancels = Vec::new();
        mem::take(&mut self.outstanding).into()
    }

    /// The peer owes us blocks, and for so long sent none, or only parts, that others shall fetch them. Returns the blocks; they are cancelled, and
    /// until one comes only a single request at a time goes out.
    pub(crate) fn snub(&mut self, now: Instant) -> Vec<Block> {
        // What is yet to be cancelled stays so: the peer has not heard of it.
        let blocks = Vec::from(mem::take(&mut self.outstanding));
        self.forgive(blocks.len());
        self.cancels.extend(&blocks);
        self.snubbed = true;
        self.ramp = Ramp::Done;
        (self.progress, self.last_block) = (now, now);
        blocks
    }

    /// When [`Download::snub`] is due, if the peer owes us anything and may be silent for `patience`, and for `block_timeout` bring no
    /// whole block.
    pub(crate) fn snub_deadline(&self, patience: Duration, block_timeout: Duration) -> Option<Instant> {
        let patience = if self.hurried { patience / 6 } else { patience };
        let (silent, slow) = (self.progress + patience, self.last_block + block_timeout);
        (!self.outstanding.is_empty()).then(|| silent.min(slow))
    }

    /// How long it will take until the peer has sent what it owes us, and how many of the latest blocks others could have sent by then: half of
    /// all, and none that is due within `soon`; of who snubs us all. `None` if it was asked just now and nobody can say.
    pub(crate) fn backlog(&self, now: Instant, soon: Duration) -> Option<(Duration, usize)> {
        let blocks = self.outstanding.len() as u64;
        if self.snubbed && blocks > 0 {
            return Some((Duration::from_secs(3600), blocks as usize));
        }
        let (wait, due) = match self.meter.rate(now) {
            0 if now.since(self.last_block) < RAMP_STEP * 2 => return None,
            0 => (Duration::from_secs(3600), 0),
            rate => {
                let block_time = u64::from(BLOCK_LENGTH) * 1_000_000 / rate;
                (Duration::from_micros(blocks * block_time), soon.as_micros() as u64 / block_time.max(1) + 1)
            }
        };
        Some((wait, blocks.saturating_sub(due).min(blocks / 2) as usize))
    }

    /// The blocks that the peer owes us, those first that it was asked for last.
    pub(crate) fn latest(&self) -> impl Iterator<Item = Block> {
        self.outstanding.iter().rev().copied()
    }

    /// Blocks that the peer owes us.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// The pieces of which it owes us blocks, and how many, in the order in which they were asked for.
    pub(crate) fn owed(&self) -> Vec<(u32, u32)> {
        let mut owed: Vec<(u32, u32)> = Vec::new();
        for block in &self.outstanding {
            match owed.iter_mut().find(|(piece, _)| *piece == block.piece) {
                Some((_, blocks)) => *blocks = blocks.saturating_add(1),
                None => owed.push((block.piece, 1)),
            }
        }
        owed
    }

    /// Blocks of `piece` that it owes us.
    pub(crate) fn owed_of(&self, piece: u32) -> u32 {
        self.outstanding.iter().filter(|block| block.piece == piece).count() as u32
    }

    /// Bytes a second that come from the peer.
    pub(crate) fn rate(&self, now: Instant) -> u64 {
        self.meter.rate(now)
    }

    /// So many blocks more may come unasked. Who unchokes and chokes us by turns does not save up what it once was asked for.
    fn forgive(&mut self, blocks: usize) {
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        self.forgiven = self.forgiven.saturating_add(blocks).min(self.forgiven_limit);
    }

    /// Takes out a block that was asked for. Who is asked for nothing holds no memory for it: most peers choke us most of the time.
    fn strike(&mut self, at: usize) {
        self.outstanding.remove(at);
        if self.outstanding.is_empty() {
            self.outstanding = VecDeque::new();
        }
    }

    fn adapt(&mut self, now: Instant, config: &Config) {
        let rate = self.meter.rate(now);
        if let Ramp::Growing { rate: before, compared } = self.ramp {
            self.window = self.window.saturating_add(1).min(config.request_maximum);
            match compared {
                None => self.ramp = Ramp::Growing { rate, compared: Some(now) },
                Some(at) if now.since(at) < RAMP_STEP => {}
                // More requests brought no more: the path is full.
                Some(_) if rate <= before + before / 8 => self.ramp = Ramp::Done,
                Some(_) => self.ramp = Ramp::Growing { rate, compared: Some(now) },
            }
            return;
        }
        let ahead = u128::from(rate) * config.request_queue_time.as_micros() / 1_000_000 / u128::from(BLOCK_LENGTH);
        self.window = u32::try_from(ahead).unwrap_or(u32::MAX).clamp(config.request_minimum, config.request_maximum);
    }
}

/// What may still come of earlier requests: so many times as many blocks as are asked ahead at most, but no fewer than the other.
const FORGIVEN_WINDOWS: u32 = 4;
const FORGIVEN: u32 = 256;

/// Pieces that a peer rejects before it is asked for nothing at all for a while.
const REFUSED: usize = 16;

/// A peer that rejects and never sends is left alone for twice as long each time, so many times.
const REFUSALS: u32 = 6;

/// The rate is compared this often while the window grows: longer than any usual round trip.
const RAMP_STEP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u32) -> Block {
        Block { piece: 0, offset: number * BLOCK_LENGTH, length: BLOCK_LENGTH }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn the_window_grows_with_each_block_and_then_holds_a_second_of_the_rate() {
        let config = Config::default();
        let mut download = Download::new(&config);
        assert_eq!(download.room(&config), 16);
        // 64 blocks a second, for ten seconds.
        for number in 0..640 {
            download.requested(at(0), &[block(number)]);
            assert_eq!(download.arrived(at(u64::from(number) * 1000 / 64), block(number), &config), Arrival::Expected);
        }
        assert!((60..=66).contains(&download.room(&config)), "{}", download.room(&config));
    }

    #[test]
    fn a_snubbing_peer_is_asked_for_one_block_at_a_time_until_it_sends() {
        let config = Config::default();
        let mut download = Download::new(&config);
        download.requested(at(0), &[block(0), block(1)]);
        let deadline = |download: &Download| download.snub_deadline(config.snub_timeout, config.block_timeout);
        assert_eq!(deadline(&download), Some(at(60_000)));
        download.progressed(at(150_000));
        assert_eq!(deadline(&download), Some(at(180_000)), "bytes alone are not enough");
        download.not_heard(at(150_000));
        download.heard_again(at(160_000));
        assert_eq!(deadline(&download), Some(at(190_000)), "time in which we do not read does not count");
        assert_eq!(download.snub(at(60_000)), [block(0), block(1)]);
        assert_eq!(download.room(&config), 1);
        assert_eq!(download.arrived(at(60_001), block(0), &config), Arrival::Late);
        download.requested(at(60_001), &[block(2)]);
        assert_eq!(download.arrived(at(60_002), block(2), &config), Arrival::Expected);
        assert!(download.room(&config) > 1);
    }

    #[test]
    fn what_was_never_asked_for_is_told_from_what_came_late() {
        let config = Config::default();
        let mut download = Download::new(&config);
        assert_eq!(download.arrived(at(0), block(0), &config), Arrival::Unasked);
        download.requested(at(0), &[block(0)]);
        assert!(download.cancel(block(0)));
        assert!(!download.cancel(block(0)));
        assert_eq!(download.arrived(at(0), block(0), &config), Arrival::Late);
        assert_eq!(download.arrived(at(0), block(0), &config), Arrival::Unasked);
    }

    #[test]
    fn a_reject_answers_one_request_and_no_more() {
        let config = Config::default();
        let mut download = Download::new(&config);
        assert_eq!(download.rejected(block(0)), Arrival::Unasked);
        download.requested(at(0), &[block(0), block(1)]);
        assert_eq!(download.rejected(block(0)), Arrival::Expected);
        assert_eq!(download.rejected(block(0)), Arrival::Unasked);
        assert!(download.cancel(block(1)));
        assert_eq!(download.rejected(block(1)), Arrival::Late);
        assert_eq!(download.rejected(block(1)), Arrival::Unasked);
    }

    #[test]
    fn a_peer_that_only_rejects_is_left_alone_for_longer_and_longer() {
        let config = Config::default();
        let mut download = Download::new(&config);
        download.refuses(at(0), 3, &config);
        download.end_refusals(at(9_999));
        assert_eq!(download.refused(), [3]);
        assert!(download.room(&config) > 0, "for other pieces");
        download.end_refusals(at(10_000));
        assert_eq!(download.refused(), []);
        (0..100).for_each(|piece| download.refuses(at(10_000), piece, &config));
        assert_eq!(download.room(&config), 0);
        assert_eq!(download.refusal_deadline(), Some(at(30_000)));
        download.end_refusals(at(30_000));
        assert_eq!(download.refused(), []);
        download.requested(at(30_000), &[block(0)]);
        download.arrived(at(30_000), block(0), &config);
        download.refuses(at(30_000), 1, &config);
        assert_eq!(download.refusal_deadline(), Some(at(40_000)), "it has sent something");
    }
}
