use crate::{
    id::FetchId,
    time::Instant,
    web_seed::{BlockCutter, WebSeed},
};
use core::ops::Range;

/// A web seed together with what its torrent keeps for it.
#[derive(Debug)]
pub(crate) struct WebSource {
    pub(crate) seed: WebSeed,
    /// The download that is under way.
    pub(crate) fetch: Option<FetchId>,
    pub(crate) cutter: BlockCutter,
    /// The pieces of the run that it comes to next and that were claimed for it, as far as they were free.
    pub(crate) claimed: Range<u32>,
    /// Others sent something that was asked of it.
    pub(crate) robbed: bool,
    /// What of the download limits was taken for the read that is under way, in bytes.
    pub(crate) granted: u64,
    /// It goes on then: download limits want that, or there is more padding than is made at once.
    pub(crate) rests_until: Option<Instant>,
}

impl WebSource {
    pub(crate) fn new(seed: WebSeed) -> WebSource {
        WebSource { seed, fetch: None, cutter: BlockCutter::default(), claimed: 0..0, robbed: false, granted: 0, rests_until: None }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        [self.seed.next_deadline(), self.rests_until].into_iter().flatten().min()
    }
}
