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
    /// There is more padding to go on with than is done at once.
    pub(crate) padding_due: Option<Instant>,
}

impl WebSource {
    pub(crate) fn new(seed: WebSeed) -> WebSource {
        WebSource { seed, fetch: None, cutter: BlockCutter::default(), claimed: 0..0, robbed: false, padding_due: None }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        [self.seed.next_deadline(), self.padding_due].into_iter().flatten().min()
    }
}
