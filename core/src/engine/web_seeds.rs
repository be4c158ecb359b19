//! Web seeds (BEP 19): runs of pieces that are fetched from servers, beside what peers send.

use super::{Engine, download::speed};
use crate::{
    action::Action,
    error::HttpError,
    event::Event,
    id::{FetchId, TorrentId},
    input::{FetchHead, ReadBuffer},
    time::Duration,
    torrent::{
        Source, SourceId, Torrent, WebSource,
        picker::{self, Received},
    },
    web_seed::{WebSeed, WebSeedConfig, WebSeedFault, WebSeedStep},
    wire::{Block, Payload},
};
use alloc::{string::ToString, vec::Vec};
use bytes::Bytes;
use core::ops::Range;

/// What nobody needs is read over rather than asked around, if it is no more than this or a tenth of a second's worth: a request costs more.
const SKIP: u64 = 128 << 10;

/// Less than this of another's run is not worth a request.
const SHARED: u64 = 512 << 10;

/// Download limits are looked at again after this: they may have changed.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Bytes of padding that are made at once. A torrent may consist of little else.
const PADDING_AT_ONCE: u64 = 4 << 20;

static ZEROS: [u8; 16 << 10] = [0; 16 << 10];

impl Engine {
    /// The torrent is active: its web seeds may be asked.
    pub(super) fn start_web_seeds(&mut self, id: TorrentId) {
        let config = self.config.web_seed;
        let Some(torrent) = self.torrents.get_mut(id).filter(|torrent| !torrent.is_complete()) else { return };
        if torrent.web_seeds.is_empty()
            && let Some(metainfo) = torrent.metainfo()
        {
            let seeds = metainfo.web_seeds.iter().filter_map(|url| WebSeed::new(url, config));
            torrent.web_seeds = seeds.take(config.url_limit as usize).map(WebSource::new).collect();
        }
        torrent.picker.set_keeps_gaps(torrent.web_seeds.iter().any(|web| !web.seed.is_banned()));
    }

    /// Ends all traffic with a torrent's web seeds. What is known of them stays known.
    pub(super) fn stop_web_seeds(&mut self, id: TorrentId) {
        for place in self.web_seed_places(id) {
            let Some(web) = self.web_source(id, place) else { return };
            web.seed.end();
            web.rests_until = None;
            self.settle_web_seed(id, place);
        }
    }

    /// Lets every web seed of a torrent go on as far as it can.
    pub(super) fn pump_web_seeds(&mut self, id: TorrentId) {
        let places = self.web_seed_places(id);
        if places.is_empty() {
            return;
        }
        places.for_each(|place| self.pump_web_seed(id, place));
        self.arm_torrent(id);
    }

    /// Lets happen what is due.
    pub(super) fn web_seeds_due(&mut self, id: TorrentId) {
        let now = self.now;
        for place in self.web_seed_places(id) {
            let Some(web) = self.web_source(id, place) else { return };
            web.rests_until.take_if(|at| *at <= now);
            if let Err(fault) = web.seed.handle_timeout(now) {
                self.web_seed_failed(id, place, &fault);
            }
        }
        self.pump_web_seeds(id);
    }

    pub(super) fn on_fetch_head(&mut self, fetch: FetchId, result: Result<FetchHead, HttpError>) {
        let now = self.now;
        let Some((id, place)) = self.fetching(fetch, result.is_err()) else { return };
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let Some(web) = torrent.web_seeds.get_mut(place as usize) else { return };
        if let Err(fault) = web.seed.handle_head(now, &torrent.layout, result) {
            self.web_seed_failed(id, place, &fault);
        }
        self.pump_web_seed(id, place);
        self.arm_torrent(id);
    }

    pub(super) fn on_fetch_body(&mut self, fetch: FetchId, result: Result<ReadBuffer, HttpError>) {
        let now = self.now;
        let is_last = result.as_ref().map_or(true, |buffer| buffer.data.is_empty());
        let Some((id, place)) = self.fetching(fetch, is_last) else { return };
        let Some(web) = self.web_source(id, place) else { return };
        let allocation = result.as_ref().map_or(0, |buffer| u64::from(buffer.allocation));
        let length = result.as_ref().map_or(0, |buffer| buffer.data.len() as u64);
        let granted = core::mem::take(&mut web.granted);
        self.pay_download(id, length, granted);
        let length = length.max(1);
        let Some(web) = self.web_source(id, place) else { return };
        match web.seed.handle_body(now, result.map(|buffer| buffer.data)) {
            Ok((offset, data)) => self.web_data(id, place, offset, data, (allocation.max(length) << 8) / length),
            Err(fault) => self.web_seed_failed(id, place, &fault),
        }
        self.pump_web_seed(id, place);
        self.arm_torrent(id);
    }

    /// Never asks again who is to blame for bad data.
    pub(super) fn ban_source(&mut self, id: TorrentId, source: Source) {
        let place = match source {
            Source::Peer(remote) => return self.ban(id, remote),
            Source::WebSeed(place) => place,
        };
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let Some(web) = torrent.web_seeds.get_mut(place as usize) else { return };
        if !web.seed.ban() {
            return;
        }
        let url = web.seed.url().into();
        torrent.picker.peer_gone(SourceId::WebSeed(place), []);
        torrent.picker.set_keeps_gaps(torrent.web_seeds.iter().any(|web| !web.seed.is_banned()));
        self.event(Event::WebSeedBanned { torrent: id, url });
        self.settle_web_seed(id, place);
        self.blocks_freed(id, true);
    }

    /// A web seed that can send `piece` at once, and did not send any of `bad`.
    pub(super) fn able_web_seed(&self, id: TorrentId, piece: u32, bad: &[Option<Source>]) -> Option<SourceId> {
        let able = |(place, web): &(u32, &WebSource)| {
            let ready = web.seed.is_idle() || web.seed.is_running();
            ready && web.seed.holdings().contains(piece) && !bad.contains(&Some(Source::WebSeed(*place)))
        };
        let torrent = self.torrents.get(id)?;
        (0..).zip(&torrent.web_seeds).find(able).map(|(place, _)| SourceId::WebSeed(place))
    }

    /// Whether so many blocks wait for the disk that nothing more is to be read.
    pub(super) fn budget_is_used_up(&self) -> bool {
        self.blocks_held >= self.config.block_budget && self.storing > 0
    }

    fn web_seed_places(&self, id: TorrentId) -> Range<u32> {
        0..self.torrents.get(id).map_or(0, |torrent| torrent.web_seeds.len() as u32)
    }

    fn web_source(&mut self, id: TorrentId, place: u32) -> Option<&mut WebSource> {
        self.torrents.get_mut(id)?.web_seeds.get_mut(place as usize)
    }

    /// Whose download this is. The `last` answer ends it.
    fn fetching(&mut self, fetch: FetchId, last: bool) -> Option<(TorrentId, u32)> {
        let (id, place) = *self.fetches.get(fetch)?;
        if last {
            self.fetches.remove(fetch);
            self.web_source(id, place)?.fetch = None;
        }
        Some((id, place))
    }

    /// Lets a web seed go on until it waits for something.
    fn pump_web_seed(&mut self, id: TorrentId, place: u32) {
        let now = self.now;
        let mut padding = 0;
        loop {
            self.settle_web_seed(id, place);
            let idle = |torrent: &Torrent| torrent.web_seeds.get(place as usize).is_some_and(|web| web.seed.is_idle());
            let Some(torrent) = self.torrents.get(id).filter(|torrent| torrent.is_active() && !torrent.picker.is_finished()) else {
                return;
            };
            if idle(torrent) && !self.begin_run(id, place) {
                return;
            }
            if self.budget_is_used_up() {
                self.withheld_web_seeds.insert(id);
                return;
            }
            let goes_on = |web: &&mut WebSource| web.seed.is_running() && !web.seed.waits_for_server() && web.rests_until.is_none();
            if self.web_source(id, place).filter(goes_on).is_none() {
                return;
            }
            let batch = match self.may_download(id) {
                Ok(batch) => batch,
                Err(at) => {
                    // Limits may change meanwhile.
                    let until = at.min(now + LONGEST_REST);
                    self.web_source(id, place).into_iter().for_each(|web| web.rests_until = Some(until));
                    return;
                }
            };
            let limit = u64::from(self.config.read_limit.max(1)).min(batch.max(1)) as u32;
            let Some(torrent) = self.torrents.get_mut(id) else { return };
            let Torrent { web_seeds, source, layout, .. } = torrent;
            let crate::command::TorrentSource::Metainfo(metainfo) = source else { return };
            let Some(web) = web_seeds.get_mut(place as usize) else { return };
            match web.seed.poll(now, &metainfo.info, layout) {
                None => return self.settle_web_seed(id, place),
                Some(WebSeedStep::Fetch { url, range }) => {
                    let fetch = self.fetches.insert((id, place));
                    web.fetch = Some(fetch);
                    self.actions.push_back(Action::Fetch { fetch, url, range });
                    return;
                }
                Some(WebSeedStep::Read) => {
                    let Some(fetch) = web.fetch else { return };
                    web.granted = limit.into();
                    self.pay_download(id, limit.into(), 0);
                    self.actions.push_back(Action::FetchRead { fetch, limit });
                    return;
                }
                Some(WebSeedStep::Padding { offset, length }) => {
                    padding += u64::from(length);
                    if padding >= PADDING_AT_ONCE {
                        web.rests_until = Some(now + Duration::from_millis(1));
                    }
                    let zeros = Bytes::from_static(ZEROS.get(..length as usize).unwrap_or(&ZEROS));
                    self.web_data(id, place, offset, zeros, 0);
                }
            }
        }
    }

    /// Gives an idle web seed a run, if there is anything that it had best fetch.
    fn begin_run(&mut self, id: TorrentId, place: u32) -> bool {
        let (now, config) = (self.now, self.config.web_seed);
        let Some(torrent) = self.torrents.get_mut(id) else { return false };
        if torrent.web_seeds.iter().filter(|web| web.seed.is_running()).count() >= config.active_limit as usize {
            return false;
        }
        // Where a run ends with what was claimed, nobody is heading on.
        let length = u64::from(torrent.geometry.piece_length());
        let goes_on = |web: &&WebSource| web.seed.run().is_some_and(|run| run.end > u64::from(web.claimed.end) * length);
        let heading: Vec<u32> = torrent.web_seeds.iter().filter(goes_on).map(|web| web.claimed.end).collect();
        let ready = torrent.web_seeds.iter().filter(|web| web.seed.is_idle() || web.seed.is_running()).count();
        let is_alone = torrent.open == 0 && ready <= 1;
        let is_newcomer = torrent.verified.is_empty() && torrent.open > 0;
        let geometry = torrent.geometry;
        let Torrent { web_seeds, picker, picker_rng, layout, .. } = torrent;
        let Some(web) = web_seeds.get_mut(place as usize) else { return false };
        let source = web.as_source(place, now, geometry.piece_length());
        let begin = |block: Block| u64::from(block.piece) * u64::from(geometry.piece_length()) + u64::from(block.offset);
        let total = geometry.total_length();

        let Some(mut run) = picker.choose_run(&source, &heading) else {
            if share_run(torrent, place) {
                return self.begin_run(id, place);
            }
            let Torrent { web_seeds, picker, picker_rng, .. } = torrent;
            let Some(web) = web_seeds.get_mut(place as usize) else { return false };
            let source = web.as_source(place, now, geometry.piece_length());
            // Nothing is free; but a peer may be slow with what it was asked for.
            let again = if web.seed.ignores_ranges() { None } else { picker.claim_again(&source, picker_rng) };
            let Some(piece) = again else { return false };
            let (first, last) = (picker.next_asked(source.peer, piece..piece + 1, 0), picker.last_asked(source.peer, piece));
            let Some((first, last)) = first.zip(last) else { return false };
            web.claimed = piece..piece + 1;
            web.seed.begin(now, begin(first)..begin(last) + u64::from(last.length));
            return true;
        };
        if web.seed.ignores_ranges() {
            let Some(bytes) = whole_files(layout, &run) else { return false };
            let length = u64::from(geometry.piece_length());
            let pieces = (bytes.start / length) as u32..bytes.end.div_ceil(length) as u32;
            let useful = pieces.clone().filter(|piece| picker.can_claim(*piece, &source)).count() as u64 * length;
            if useful.saturating_mul(2) < bytes.end - bytes.start && !is_alone {
                let fault = web.seed.set_aside(now);
                self.web_seed_failed(id, place, &fault);
                return false;
            }
            web.claimed = pieces.start..pieces.start;
            web.seed.begin(now, bytes);
            extend_claims(torrent, place, now, &config);
            return true;
        }
        if is_newcomer {
            // What comes first is to be what peers do not have yet (BEP 19).
            run.start += picker_rng.index(run.len()).unwrap_or(0) as u32;
        }
        picker.claim(&source, run.start);
        let Some(first) = picker.next_asked(source.peer, run.start..run.start + 1, 0) else { return false };
        web.claimed = run.start..run.start + 1;
        web.seed.begin(now, begin(first)..(u64::from(run.end) * u64::from(geometry.piece_length())).min(total));
        extend_claims(torrent, place, now, &config);
        true
    }

    /// Bytes of the torrent have come.
    fn web_data(&mut self, id: TorrentId, place: u32, offset: u64, data: Bytes, share: u64) {
        let mut blocks = Vec::new();
        let Some(torrent) = self.torrents.get_mut(id).filter(|torrent| torrent.is_active()) else { return };
        let Some(web) = torrent.web_seeds.get_mut(place as usize) else { return };
        let length = data.len() as u64;
        web.cutter.push(&torrent.geometry, offset, data, share, |block, data, charge| blocks.push((block, data, charge)));
        let piece_length = u64::from(torrent.geometry.piece_length());
        let enters_piece = offset / piece_length != offset.saturating_add(length) / piece_length;
        for (block, data, charge) in blocks {
            self.web_block(id, place, block, data, charge);
        }
        if self.web_source(id, place).is_some_and(|web| core::mem::take(&mut web.robbed) || enters_piece) {
            self.look_ahead(id, place);
        }
    }

    fn web_block(&mut self, id: TorrentId, place: u32, block: Block, data: Payload, charge: u64) {
        let now = self.now;
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let length = u64::from(block.length);
        torrent.downloaded += length;
        torrent.download_meter.add(now, length);
        // What passes by is taken even if it was asked of somebody else.
        let Received::New { piece_complete, cancel } = torrent.picker.received_late(SourceId::WebSeed(place), block) else {
            torrent.wasted += length;
            return;
        };
        self.keep_block(id, block, data, Source::WebSeed(place), charge);
        self.cancel_elsewhere(id, block, &cancel);
        if piece_complete {
            self.store(id, block.piece);
        }
    }

    /// A web seed comes to another piece: claims what lies ahead, and ends the run if that is too little.
    fn look_ahead(&mut self, id: TorrentId, place: u32) {
        let (now, config) = (self.now, self.config.web_seed);
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        extend_claims(torrent, place, now, &config);
        let Torrent { web_seeds, picker, geometry, .. } = torrent;
        let Some(web) = web_seeds.get_mut(place as usize) else { return };
        let Some(run) = web.seed.run() else { return };
        let length = u64::from(geometry.piece_length());
        let ahead = (run.start / length) as u32..web.claimed.end;
        let next = picker.next_asked(SourceId::WebSeed(place), ahead, (run.start % length) as u32);
        let distance = next.map(|block| (u64::from(block.piece) * length + u64::from(block.offset)).saturating_sub(run.start));
        let worth = match distance {
            // All of a file is read in any case, as long as it may hold something.
            _ if web.seed.ignores_ranges() => distance.is_some() || u64::from(web.claimed.end) * length < run.end,
            Some(distance) => distance <= SKIP.max(web.seed.rate(now) / 10),
            None => false,
        };
        if !worth {
            web.seed.end();
            self.settle_web_seed(id, place);
        }
    }

    /// The run of a web seed is over because of what the server did, and it is not asked for a while.
    fn web_seed_failed(&mut self, id: TorrentId, place: u32, fault: &WebSeedFault) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let Some(web) = torrent.web_seeds.get(place as usize) else { return };
        let (url, reason) = (web.seed.url().into(), fault.to_string());
        torrent.picker.peer_gone(SourceId::WebSeed(place), []);
        self.event(Event::WebSeedFailed { torrent: id, url, reason });
        self.settle_web_seed(id, place);
        self.blocks_freed(id, true);
    }

    /// Gives back what a run that is over had claimed, and ends a download that is not needed any more.
    fn settle_web_seed(&mut self, id: TorrentId, place: u32) {
        let Some(torrent) = self.torrents.get_mut(id) else { return };
        let Some(web) = torrent.web_seeds.get_mut(place as usize) else { return };
        let mut freed = false;
        if !web.seed.is_running() && !web.claimed.is_empty() {
            let claimed = core::mem::replace(&mut web.claimed, 0..0);
            freed = torrent.picker.release_run(SourceId::WebSeed(place), claimed);
            (web.cutter, web.robbed) = (Default::default(), false);
        }
        if !web.seed.is_requesting()
            && let Some(fetch) = web.fetch.take()
        {
            let granted = core::mem::take(&mut web.granted);
            self.fetches.remove(fetch);
            self.actions.push_back(Action::FetchCancel { fetch });
            self.pay_download(id, 0, granted);
        }
        self.wake_peers(id, freed);
    }
}

impl WebSource {
    fn as_source(&self, place: u32, now: crate::time::Instant, piece_length: u32) -> picker::Source<'_, SourceId> {
        let speed = speed(self.seed.rate(now), piece_length);
        picker::Source { peer: SourceId::WebSeed(place), has: self.seed.holdings(), speed }
    }
}

/// Takes the second half of what another web seed has still before it, for the one at `place`, which has nothing to do: of several servers
/// none is to wait for the slowest.
fn share_run(torrent: &mut Torrent, place: u32) -> bool {
    let Some(idle) = torrent.web_seeds.get(place as usize).filter(|idle| !idle.seed.ignores_ranges()) else { return false };
    let Some((other, ahead)) = busiest(torrent, Some(place)) else { return false };
    let middle = ahead.start + ahead.len() as u32 / 2;
    let is_asked = torrent.picker.next_asked(SourceId::WebSeed(other), middle..middle + 1, 0).is_some();
    if !is_asked || !idle.seed.holdings().contains(middle) {
        return false;
    }
    cut_run(torrent, other, middle..ahead.end);
    true
}

/// Lets a peer that holds `has` and has nothing to do take the last quarter of what a web seed has still before it.
pub(super) fn give_way(torrent: &mut Torrent, has: picker::PeerPieces<'_>) {
    let Some((place, ahead)) = busiest(torrent, None) else { return };
    let from = ahead.end - (ahead.len() as u32 / 4).max(1);
    if (from..ahead.end).any(|piece| has.contains(piece)) {
        cut_run(torrent, place, from..ahead.end);
    }
}

/// The web seed that most was claimed for, and the pieces that it will come to, if that is worth a cut.
fn busiest(torrent: &Torrent, but: Option<u32>) -> Option<(u32, Range<u32>)> {
    let length = u64::from(torrent.geometry.piece_length());
    let ahead = |web: &WebSource| Some((web.seed.run()?.start / length) as u32 + 1..web.claimed.end);
    let others = (0..).zip(&torrent.web_seeds).filter(|(place, _)| Some(*place) != but);
    let busiest = others.filter_map(|(place, web)| Some((place, ahead(web)?))).max_by_key(|(_, ahead)| ahead.len())?;
    Some(busiest).filter(|(_, ahead)| ahead.len() > 1 && ahead.len() as u64 * length >= SHARED)
}

/// Takes the pieces `tail`, the last ones of those claimed for it, off a web seed's run.
fn cut_run(torrent: &mut Torrent, place: u32, tail: Range<u32>) {
    let Torrent { web_seeds, picker, geometry, .. } = torrent;
    let Some(web) = web_seeds.get_mut(place as usize) else { return };
    web.claimed.end = tail.start;
    web.seed.shorten(u64::from(tail.start) * u64::from(geometry.piece_length()));
    picker.release_run(SourceId::WebSeed(place), tail);
}

/// Claims as much of a run as comes soon.
fn extend_claims(torrent: &mut Torrent, place: u32, now: crate::time::Instant, config: &WebSeedConfig) {
    let Torrent { web_seeds, picker, geometry, .. } = torrent;
    let Some(web) = web_seeds.get_mut(place as usize) else { return };
    let Some(run) = web.seed.run() else { return };
    let length = u64::from(geometry.piece_length());
    let soon = u128::from(web.seed.rate(now)) * config.claim_time.as_micros() / 1_000_000;
    let soon = u64::try_from(soon).unwrap_or(u64::MAX).clamp(config.claim_minimum, config.claim_maximum.max(config.claim_minimum));
    let end = run.start.saturating_add(soon).min(run.end).div_ceil(length) as u32;
    let source = picker::Source {
        peer: SourceId::WebSeed(place),
        has: web.seed.holdings(),
        speed: speed(web.seed.rate(now), geometry.piece_length()),
    };
    for piece in web.claimed.end..end {
        picker.claim(&source, piece);
    }
    web.claimed.end = web.claimed.end.max(end);
}

/// The bytes of the files that `run` lies in, from the first byte of the first to the last of the last.
fn whole_files(layout: &crate::storage::Layout, run: &Range<u32>) -> Option<Range<u64>> {
    let length = u64::from(layout.piece_length());
    let last = run.end.checked_sub(1)?;
    let end = layout.piece_size(last).checked_sub(1)?;
    let first_span = *layout.spans(run.start, 0, 1).first()?;
    let last_span = *layout.spans(last, end, 1).first()?;
    let begin = (u64::from(run.start) * length).checked_sub(first_span.offset)?;
    let last_begin = (u64::from(last) * length + u64::from(end)).checked_sub(last_span.offset)?;
    Some(begin..last_begin + layout.files().get(last_span.file as usize)?.length)
}
