//! Which files of a torrent hold what a failure of the power may take.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    mem::take,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Makes a file's content durable: [`File::sync_all`], or in tests something else.
pub(super) type Sync = dyn Fn(&File) -> io::Result<()> + Send + std::marker::Sync;

/// Files by their numbers, as far as their content may not be durable.
#[derive(Default)]
pub(super) struct Doubtful {
    written: Mutex<BTreeSet<u32>>,
    /// Those for which that failed. A system tells of a write that failed once, and says afterwards that all is well (Linux marks the
    /// pages as clean), so they stay in doubt.
    lost: Mutex<BTreeSet<u32>>,
}

impl Doubtful {
    /// To be said once a file was written to, and not before, or a sync may run ahead of the write; and of one whose content was
    /// looked at: a process that was killed may have left it.
    pub(super) fn add(&self, number: u32) {
        lock(&self.written).insert(number);
    }

    /// Syncs what is in doubt, and keeps others who want to know waiting meanwhile. What stays in doubt is returned.
    pub(super) fn settle(&self, mut sync: impl FnMut(u32) -> io::Result<()>) -> BTreeSet<u32> {
        let mut lost = lock(&self.lost);
        let written = take(&mut *lock(&self.written));
        lost.extend(written.into_iter().filter(|number| match sync(*number) {
            Ok(()) => false,
            Err(error) => !has_no_sync(&error),
        }));
        lost.clone()
    }
}

/// Whether the file system does not know of such a thing, or has no use for it because it is never written to.
fn has_no_sync(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | ReadOnlyFilesystem | Unsupported)
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
        for number in [3, 1, 3] {
            doubtful.add(number);
        }
        for _ in 0..2 {
            let left = doubtful.settle(|number| {
                synced.push(number);
                Ok(())
            });
            assert!(left.is_empty());
        }
        assert_eq!(synced, [1, 3]);
    }

    #[test]
    fn what_failed_once_stays_in_doubt() {
        let doubtful = Doubtful::default();
        (1..4).for_each(|number| doubtful.add(number));
        let failing = |number| match number {
            1 => Err(io::ErrorKind::StorageFull.into()),
            2 => Err(io::ErrorKind::InvalidInput.into()),
            _ => Ok(()),
        };
        assert_eq!(doubtful.settle(failing), BTreeSet::from([1]));
        doubtful.add(1);
        assert_eq!(doubtful.settle(|_| Ok(())), BTreeSet::from([1]), "the system says that all is well, but it is not");
    }
}
