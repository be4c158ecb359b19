use crate::{
    config::Config,
    id::DiskJobId,
    time::Instant,
    util::{RateMeter, push},
    wire::Block,
};
use alloc::{collections::VecDeque, vec::Vec};
use bytes::Bytes;
use core::{mem, ops::Range};

/// The blocks that one peer fetches from us: asked for, being read from disk, ready to be written.
///
/// Choke and cancel reach everything here; what was handed to the host for writing is gone.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    asked: VecDeque<Block>,
    reading: Vec<Reading>,
    /// What was read, none of it without blocks.
    ready: VecDeque<Ready>,
    /// Blocks in all three.
    pending: usize,
    /// It stands in its torrent's lane until a rate limit lets it write on.
    pub(crate) waits: bool,
    /// Requests that will not be answered by a block: peers with the fast extension are told (BEP 6).
    rejects: VecDeque<Block>,
    /// Bytes being read or ready, and what cancelled blocks still take up beside those that were read with them.
    buffered: u32,
    meter: RateMeter,
    /// Bytes of payload handed out since the connection stands.
    pub(crate) total: u64,
}

/// One disk read: contiguous blocks.
#[derive(Debug)]
struct Reading {
    job: DiskJobId,
    /// Each with where it begins in what is read; cancelled ones are taken out.
    blocks: Vec<(Block, u32)>,
    length: u32,
}

/// What one disk read brought.
#[derive(Debug)]
struct Ready {
    data: Bytes,
    /// As in the [`Reading`].
    blocks: VecDeque<(Block, u32)>,
    /// Bytes of `data` whose blocks were cancelled. They are held until the last block has gone, and count until then.
    unwanted: u32,
}

/// Contiguous blocks that one disk read can serve.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first byte's piece.
    pub(crate) piece: u32,
    /// The first byte's place in it.
    pub(crate) offset: u32,
    /// Bytes in all.
    pub(crate) length: u32,
    blocks: Vec<(Block, u32)>,
}

impl Upload {
    /// The peer asks for a block.
    pub(crate) fn ask(&mut self, block: Block) {
        self.asked.push_back(block);
        self.pending += 1;
    }

    /// How many requests of the peer have not been answered.
    pub(crate) fn pending(&self) -> usize {
        self.pending + self.rejects.len()
    }

    /// A request is not served.
    pub(crate) fn refuse(&mut self, block: Block) {
        self.rejects.push_back(block);
    }

    /// The peer no longer wants a block. If it was asked for twice, one request is left.
    pub(crate) fn cancel(&mut self, block: Block) {
        if let Some(at) = self.asked.iter().position(|asked| *asked == block) {
            self.asked.remove(at);
            self.pending = self.pending.saturating_sub(1);
        } else if let Some((run, at)) = self.find_ready(block) {
            if let Some(run) = self.ready.get_mut(run) {
                run.blocks.remove(at);
                run.unwanted = run.unwanted.saturating_add(block.length);
            }
            self.drop_empty();
            self.pending = self.pending.saturating_sub(1);
        } else {
            let find = |reading: &mut Reading| {
                let at = reading.blocks.iter().position(|(asked, _)| *asked == block)?;
                Some(reading.blocks.remove(at))
            };
            if self.reading.iter_mut().find_map(find).is_none() {
                // It was answered already, or never asked for.
                return;
            }
            self.pending = self.pending.saturating_sub(1);
        }
        self.rejects.push_back(block);
    }

    /// The peer is choked: rejects all that it asked for, but for what may go in spite of that.
    pub(crate) fn choke(&mut self, mut may_go: impl FnMut(Block) -> bool) {
        let rejects = &mut self.rejects;
        let mut stays = |block: &Block| {
            let stays = may_go(*block);
            if !stays {
                rejects.push_back(*block);
            }
            stays
        };
        for run in &mut self.ready {
            let before = run.bytes();
            run.blocks.retain(|(block, _)| stays(block));
            run.unwanted = run.unwanted.saturating_add(before.saturating_sub(run.bytes()));
        }
        for reading in &mut self.reading {
            reading.blocks.retain(|(block, _)| stays(block));
        }
        self.asked.retain(stays);
        self.drop_empty();
        let reading: usize = self.reading.iter().map(|reading| reading.blocks.len()).sum();
        self.pending = self.asked.len() + self.ready_blocks().count() + reading;
    }

    /// Lets go of what was read of which nothing is wanted any longer.
    fn drop_empty(&mut self) {
        self.ready.retain(|run| {
            if run.blocks.is_empty() {
                self.buffered = self.buffered.saturating_sub(run.unwanted);
            }
            !run.blocks.is_empty()
        });
    }

    /// Takes out requests to be rejected now: not more than go well into one write.
    pub(crate) fn take_rejects(&mut self) -> impl Iterator<Item = Block> {
        let rest = self.rejects.split_off(self.rejects.len().min(REJECT_BATCH));
        mem::replace(&mut self.rejects, rest).into_iter()
    }

    /// The peer does not know what a reject is.
    pub(crate) fn drop_rejects(&mut self) {
        self.rejects = VecDeque::new();
    }

    /// The next contiguous blocks to read from disk, if there is room for them. `piece_length` tells which blocks of neighbouring
    /// pieces touch.
    pub(crate) fn next_run(&mut self, piece_length: u32, config: &Config) -> Option<Run> {
        let first = *self.asked.front().filter(|_| self.buffered < config.upload_buffer)?;
        let start = |block: &Block| u64::from(block.piece) * u64::from(piece_length) + u64::from(block.offset);
        let mut run = Run { piece: first.piece, offset: first.offset, length: 0, blocks: Vec::new() };
        while let Some(next) = self.asked.front() {
            let contiguous = start(next) == start(&first) + u64::from(run.length);
            if !contiguous || (run.length > 0 && run.length.saturating_add(next.length) > config.upload_read_limit) {
                break;
            }
            run.blocks.push((*next, run.length));
            run.length += next.length;
            self.asked.pop_front();
        }
        if self.asked.is_empty() {
            // An idle connection keeps no room for requests.
            self.asked = VecDeque::new();
        }
        Some(run)
    }

    /// `job` reads `run`.
    pub(crate) fn reading(&mut self, job: DiskJobId, run: Run) {
        self.buffered = self.buffered.saturating_add(run.length);
        push(&mut self.reading, 1, Reading { job, blocks: run.blocks, length: run.length });
    }

    /// What `job` read; blocks that nobody wants any more are dropped here.
    pub(crate) fn read(&mut self, job: DiskJobId, data: &Bytes) {
        let Some(at) = self.reading.iter().position(|reading| reading.job == job) else { return };
        let mut reading = self.reading.remove(at);
        if self.reading.is_empty() {
            self.reading = Vec::new();
        }
        reading.blocks.retain(|(block, start)| {
            let came = range(*block, *start).end <= data.len();
            if !came {
                self.pending = self.pending.saturating_sub(1);
                self.rejects.push_back(*block);
            }
            came
        });
        if reading.blocks.is_empty() {
            self.buffered = self.buffered.saturating_sub(reading.length);
            return;
        }
        if self.ready.is_empty() {
            // Nearly always there is only one.
            self.ready.reserve_exact(1);
        }
        let mut run = Ready { data: data.clone(), blocks: reading.blocks.into(), unwanted: 0 };
        run.unwanted = reading.length.saturating_sub(run.bytes());
        self.ready.push_back(run);
    }

    /// Bytes that are worth writing now, heads of messages left aside.
    pub(crate) fn sendable(&self, now: Instant) -> u64 {
        let limit = self.batch(now);
        let mut bytes = 0;
        for block in self.ready_blocks() {
            if bytes >= limit {
                break;
            }
            bytes += u64::from(block.length);
        }
        bytes
    }

    /// How long the next block is that can be written, in bytes.
    pub(crate) fn next_ready(&self) -> Option<u64> {
        self.ready_blocks().next().map(|block| u64::from(block.length))
    }

    /// Takes the next block out that can be written.
    pub(crate) fn take_ready(&mut self) -> Option<(Block, Bytes)> {
        let run = self.ready.front_mut()?;
        let (block, start) = run.blocks.pop_front()?;
        let data = run.data.slice(range(block, start));
        self.buffered = self.buffered.saturating_sub(block.length);
        if run.blocks.is_empty() {
            self.buffered = self.buffered.saturating_sub(run.unwanted);
            self.ready.pop_front();
        }
        self.pending = self.pending.saturating_sub(1);
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
        Some((block, data))
    }

    fn ready_blocks(&self) -> impl Iterator<Item = Block> + '_ {
        self.ready.iter().flat_map(|run| &run.blocks).map(|(block, _)| *block)
    }

    /// In which run, and where there, `block` is ready.
    fn find_ready(&self, block: Block) -> Option<(usize, usize)> {
        let in_run = |run: &Ready| run.blocks.iter().position(|(ready, _)| *ready == block);
        self.ready.iter().enumerate().find_map(|(index, run)| Some((index, in_run(run)?)))
    }

    /// Bytes of payload to hand out at once: a quarter of a second's worth, so that a choke or a new request waits no longer than
    /// that behind them; at least a block, at most 256 KiB.
    pub(crate) fn batch(&self, now: Instant) -> u64 {
        (self.meter.rate(now) / 4).clamp(32 << 10, 256 << 10)
    }

    /// `bytes` of payload were handed out.
    pub(crate) fn sent(&mut self, now: Instant, bytes: u64) {
        self.meter.add(now, bytes);
        self.total = self.total.saturating_add(bytes);
    }

    /// Bytes a second that go to the peer.
    pub(crate) fn rate(&self, now: Instant) -> u64 {
        self.meter.rate(now)
    }

    /// Bytes that are being read, or were and are kept, counted anew: all that a read brought, until its last block has gone.
    pub(crate) fn held(&self) -> u64 {
        let reading = self.reading.iter().map(|reading| u64::from(reading.length));
        let ready = self.ready.iter().map(|run| run.data.len() as u64);
        reading.chain(ready).sum()
    }

    /// Requests that wait for an answer, counted anew.
    pub(crate) fn waiting(&self) -> usize {
        let reading: usize = self.reading.iter().map(|reading| reading.blocks.len()).sum();
        self.asked.len() + reading + self.ready_blocks().count() + self.rejects.len()
    }

    /// Whether the peer waits for nothing.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.asked.is_empty() && self.reading.is_empty() && self.ready.is_empty() && self.rejects.is_empty()
    }
}

impl Ready {
    /// Bytes of the blocks that are still to go.
    fn bytes(&self) -> u32 {
        self.blocks.iter().map(|(block, _)| block.length).sum()
    }
}

/// The bytes of a block that begins at `start` of what was read.
fn range(block: Block, start: u32) -> Range<usize> {
    start as usize..(start as usize).saturating_add(block.length as usize)
}

/// Rejects of one write: 136 KiB.
const REJECT_BATCH: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::Key;

    fn block(piece: u32, offset: u32) -> Block {
        Block { piece, offset, length: 16384 }
    }

    #[test]
    fn contiguous_requests_become_one_read_even_across_pieces() {
        let config = Config::default();
        let mut upload = Upload::default();
        for wanted in [block(0, 0), block(0, 16384), block(1, 0), block(3, 0)] {
            upload.ask(wanted);
        }
        let run = upload.next_run(32768, &config).unwrap();
        assert_eq!((run.piece, run.offset, run.length), (0, 0, 3 * 16384));
        let run = upload.next_run(32768, &config).unwrap();
        assert_eq!((run.piece, run.offset, run.length), (3, 0, 16384));
        assert_eq!(upload.next_run(32768, &config), None);
    }

    #[test]
    fn what_is_cancelled_while_it_is_read_is_not_sent() {
        let config = Config::default();
        let mut upload = Upload::default();
        upload.ask(block(0, 0));
        upload.ask(block(0, 16384));
        let run = upload.next_run(32768, &config).unwrap();
        upload.reading(Key::from_bits(1), run);
        upload.cancel(block(0, 0));
        assert_eq!(upload.take_rejects().collect::<Vec<_>>(), [block(0, 0)]);
        upload.read(Key::from_bits(1), &Bytes::from(alloc::vec![7; 32768]));
        assert_eq!(upload.take_ready().map(|(block, data)| (block.offset, data.len())), Some((16384, 16384)));
        assert!(upload.take_ready().is_none() && upload.is_idle());
        assert_eq!(upload.buffered, 0);
    }

    #[test]
    fn a_choke_drops_everything_not_yet_handed_out() {
        let config = Config::default();
        let mut upload = Upload::default();
        for offset in [0, 16384, 40000] {
            upload.ask(block(0, offset));
        }
        let run = upload.next_run(1 << 20, &config).unwrap();
        upload.reading(Key::from_bits(1), run);
        upload.choke(|_| false);
        assert_eq!(upload.take_rejects().collect::<Vec<_>>(), [block(0, 0), block(0, 16384), block(0, 40000)]);
        upload.read(Key::from_bits(1), &Bytes::from(alloc::vec![7; 32768]));
        assert!(upload.take_ready().is_none() && upload.is_idle());
        assert_eq!(upload.buffered, 0);
    }

    #[test]
    fn a_full_buffer_makes_the_disk_wait() {
        let config = Config { upload_buffer: 16384, ..Config::default() };
        let mut upload = Upload::default();
        upload.ask(block(0, 0));
        upload.ask(block(5, 0));
        let run = upload.next_run(1 << 20, &config).unwrap();
        upload.reading(Key::from_bits(1), run);
        assert_eq!(upload.next_run(1 << 20, &config), None);
    }

    #[test]
    fn what_is_cancelled_counts_as_long_as_it_is_held() {
        let config = Config { upload_buffer: 32768, ..Config::default() };
        let mut upload = Upload::default();
        (0..4).for_each(|at| upload.ask(block(at, 0)));
        // The first read brings two blocks, of which one is cancelled on the way and one after; the next waits for their memory.
        for (cancelled, job) in [(0, 1), (2, 2)] {
            let run = upload.next_run(16384, &Config { upload_read_limit: 32768, ..config.clone() }).unwrap();
            assert_eq!(run.length, 32768);
            upload.reading(Key::from_bits(job), run);
            assert_eq!(upload.next_run(16384, &config), None, "the buffer is full");
            if job == 1 {
                upload.cancel(block(cancelled, 0));
            }
            upload.read(Key::from_bits(job), &Bytes::from(alloc::vec![7; 32768]));
            if job == 2 {
                upload.cancel(block(cancelled, 0));
            }
            assert_eq!((upload.held(), upload.buffered), (32768, 32768));
            assert_eq!(upload.next_run(16384, &config), None, "all that was read is still held");
            assert_eq!(upload.take_ready().map(|(block, _)| block.piece), Some(cancelled + 1));
            assert_eq!((upload.held(), upload.buffered), (0, 0));
        }
    }

    #[test]
    fn what_may_go_while_choked_stays_wherever_it_is() {
        let config = Config::default();
        let mut upload = Upload::default();
        for wanted in [block(0, 0), block(1, 0), block(3, 0)] {
            upload.ask(wanted);
        }
        let run = upload.next_run(16384, &config).unwrap();
        upload.reading(Key::from_bits(1), run);
        assert_eq!(upload.pending(), 3);
        upload.choke(|block| block.piece != 0);
        assert_eq!(upload.pending(), 3, "a reject is an answer once it goes out");
        assert_eq!(upload.take_rejects().collect::<Vec<_>>(), [block(0, 0)]);
        upload.read(Key::from_bits(1), &Bytes::from(alloc::vec![7; 32768]));
        upload.choke(|_| true);
        assert_eq!(upload.buffered, 32768, "what was read with it is held as long");
        assert_eq!(upload.take_ready().map(|(block, _)| block), Some(block(1, 0)));
        assert_eq!(upload.pending(), 1);
        assert_eq!(upload.next_run(16384, &config).map(|run| run.piece), Some(3));
    }

    #[test]
    fn a_read_that_brings_too_little_is_a_reject() {
        let config = Config::default();
        let mut upload = Upload::default();
        upload.ask(block(0, 0));
        let run = upload.next_run(16384, &config).unwrap();
        upload.reading(Key::from_bits(1), run);
        upload.read(Key::from_bits(1), &Bytes::new());
        assert_eq!(upload.take_rejects().collect::<Vec<_>>(), [block(0, 0)]);
    }
}
