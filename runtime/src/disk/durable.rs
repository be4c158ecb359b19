//! Which files of a torrent hold what a failure of the power may take.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, ErrorKind},
    mem::take,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Makes a file's content durable: [`sync`], or in tests something else.
pub(super) type Sync = dyn Fn(&File) -> io::Result<()> + Send + std::marker::Sync;

/// Makes a file's content durable, as far as its file system can.
pub(super) fn sync(file: &File) -> io::Result<()> {
    let synced = file.sync_all();
    // There it asks the drive itself to write back, which file systems of other machines do not know. Who hears of a write that failed must
    // not ask again: it would be told that all is well.
    #[cfg(target_vendor = "apple")]
    let synced = synced.or_else(|error| match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::NOTSUP | rustix::io::Errno::INVAL | rustix::io::Errno::NOTTY | rustix::io::Errno::NOSYS) => {
            rustix::fs::fsync(file).map_err(io::Error::from)
        }
        _ => Err(error),
    });
    synced.or_else(|error| if has_no_sync(&error) { Ok(()) } else { Err(error) })
}

/// Whether a file system does not know of such a thing, or is never written to.
fn has_no_sync(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::ReadOnlyFilesystem | ErrorKind::Unsupported)
}

/// How a file's content came to be in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    /// It was there already. A process that was killed a moment ago may have written it.
    Found,
    /// We wrote to it.
    Written,
}

/// What came of a sync.
pub(super) enum Synced {
    Yes,
    /// It could not be tried now.
    NotYet,
    /// What was written is gone.
    Lost,
}

/// Files by their numbers, as far as their content may not be durable.
#[derive(Default)]
pub(super) struct Doubtful {
    open: Mutex<BTreeMap<u32, Doubt>>,
    /// Those whose sync failed. A system tells of a write that failed once, and says afterwards that all is well (Linux marks the pages
    /// as clean), so they stay in doubt.
    lost: Mutex<BTreeSet<u32>>,
    /// Held while something is synced, which may take seconds; neither of the others is.
    settling: Mutex<()>,
}

impl Doubtful {
    /// To be said once a file was written to, and not before, or a sync may run ahead of the write.
    pub(super) fn add(&self, number: u32, doubt: Doubt) {
        let mut open = lock(&self.open);
        let known = open.entry(number).or_insert(doubt);
        *known = doubt.max(*known);
    }

    /// A file was put together from what another one held.
    pub(super) fn follows(&self, number: u32, source: u32) {
        let mut lost = lock(&self.lost);
        if lost.contains(&source) {
            lost.insert(number);
        }
    }

    /// Syncs what is in doubt, and keeps others who want to know waiting meanwhile. What stays in doubt is returned.
    pub(super) fn settle(&self, mut sync: impl FnMut(u32, Doubt) -> Synced) -> BTreeSet<u32> {
        let _settling = lock(&self.settling);
        let mut left = BTreeSet::new();
        let open = take(&mut *lock(&self.open));
        for (number, doubt) in open {
            match sync(number, doubt) {
                Synced::Yes => {}
                Synced::NotYet => {
                    self.add(number, doubt);
                    left.insert(number);
                }
                Synced::Lost => drop(lock(&self.lost).insert(number)),
            }
        }
        left.extend(&*lock(&self.lost));
        left
    }

    /// All of it, for the same files opened anew.
    pub(super) fn hand_over(&self) -> Doubtful {
        let (open, lost) = (lock(&self.open).clone(), lock(&self.lost).clone());
        Doubtful { open: Mutex::new(open), lost: Mutex::new(lost), settling: Mutex::default() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_synced_once() {
        let (doubtful, mut synced) = (Doubtful::default(), Vec::new());
        for (number, doubt) in [(3, Doubt::Written), (1, Doubt::Found), (3, Doubt::Found)] {
            doubtful.add(number, doubt);
        }
        for _ in 0..2 {
            let left = doubtful.settle(|number, doubt| {
                synced.push((number, doubt));
                Synced::Yes
            });
            assert!(left.is_empty());
        }
        assert_eq!(synced, [(1, Doubt::Found), (3, Doubt::Written)]);
    }

    #[test]
    fn what_failed_once_stays_in_doubt_and_what_could_not_be_tried_is_tried_again() {
        let doubtful = Doubtful::default();
        (1..4).for_each(|number| doubtful.add(number, Doubt::Written));
        let outcome = |number, _| match number {
            1 => Synced::Lost,
            2 => Synced::NotYet,
            _ => Synced::Yes,
        };
        assert_eq!(doubtful.settle(outcome), BTreeSet::from([1, 2]));
        doubtful.add(1, Doubt::Written);
        doubtful.follows(7, 1);
        doubtful.follows(8, 3);
        let anew = doubtful.hand_over();
        assert_eq!(anew.settle(|_, _| Synced::Yes), BTreeSet::from([1, 7]), "the system says that all is well, but it is not");
    }

    #[test]
    fn nobody_waits_for_a_sync() {
        let doubtful = Doubtful::default();
        doubtful.add(1, Doubt::Written);
        let left = doubtful.settle(|_, _| {
            // As jobs on other threads do meanwhile.
            doubtful.add(2, Doubt::Written);
            doubtful.follows(3, 1);
            assert!(doubtful.hand_over().settle(|_, _| Synced::NotYet).contains(&2));
            Synced::Yes
        });
        assert!(left.is_empty());
        assert_eq!(doubtful.settle(|_, _| Synced::NotYet), BTreeSet::from([2]));
    }

    #[test]
    fn a_file_system_without_such_a_thing_is_as_good_as_it_gets() {
        let answer = |kind: ErrorKind| has_no_sync(&kind.into());
        assert!(answer(ErrorKind::InvalidInput) && answer(ErrorKind::ReadOnlyFilesystem) && answer(ErrorKind::Unsupported));
        assert!(!answer(ErrorKind::StorageFull) && !answer(ErrorKind::PermissionDenied) && !answer(ErrorKind::Other));
    }
}
