use rustor_core::id::TorrentId;
use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A file of a torrent: whose, and its place in the layout.
pub(crate) type Name = (TorrentId, u32);

/// The files that are open, of all torrents together: at most so many, the least recently used are closed first.
///
/// A file that was taken out while a worker uses it is closed when that worker is done.
pub(crate) struct OpenFiles {
    most: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    files: HashMap<Name, Entry>,
    /// The files by their last use, oldest first.
    uses: BTreeMap<u64, Name>,
    next_use: u64,
}

struct Entry {
    file: Arc<File>,
    writable: bool,
    used: u64,
}

impl OpenFiles {
    /// Keeps at most `most` files, and at least one.
    pub(crate) fn new(most: usize) -> OpenFiles {
        OpenFiles { most: most.max(1), open: Mutex::default() }
    }

    /// The file, if it is open and, where that is asked for, may be written.
    pub(crate) fn get(&self, name: Name, writable: bool) -> Option<Arc<File>> {
        let mut guard = self.lock();
        let open = &mut *guard;
        let entry = open.files.get_mut(&name).filter(|entry| entry.writable || !writable)?;
        open.uses.remove(&entry.used);
        entry.used = open.next_use;
        open.next_use += 1;
        open.uses.insert(entry.used, name);
        Some(Arc::clone(&entry.file))
    }

    /// The open files of one torrent.
    pub(crate) fn of_torrent(&self, torrent: TorrentId) -> Vec<(u32, Arc<File>)> {
        let open = self.lock();
        let files = open.files.iter().filter(|(name, _)| name.0 == torrent);
        files.map(|(name, entry)| (name.1, Arc::clone(&entry.file))).collect()
    }

    /// Keeps `file`, in place of what there was under its name. That, and what made room for it, is returned: it is no longer kept.
    pub(crate) fn insert(&self, name: Name, file: File, writable: bool) -> (Arc<File>, Vec<(Name, Arc<File>)>) {
        let file = Arc::new(file);
        let mut closing = Vec::new();
        let mut guard = self.lock();
        let open = &mut *guard;
        closing.extend(open.remove(name).map(|file| (name, file)));
        while open.files.len() >= self.most {
            let Some((_, oldest)) = open.uses.first_key_value().map(|(used, name)| (*used, *name)) else { break };
            closing.extend(open.remove(oldest).map(|file| (oldest, file)));
        }
        let used = open.next_use;
        open.next_use += 1;
        open.uses.insert(used, name);
        open.files.insert(name, Entry { file: Arc::clone(&file), writable, used });
        (file, closing)
    }

    /// Closes one file.
    pub(crate) fn close(&self, name: Name) {
        let closing = self.lock().remove(name);
        drop(closing);
    }

    /// Closes the files of one torrent.
    pub(crate) fn close_torrent(&self, torrent: TorrentId) {
        let mut open = self.lock();
        let names: Vec<Name> = open.files.keys().filter(|name| name.0 == torrent).copied().collect();
        let closing: Vec<_> = names.into_iter().filter_map(|name| open.remove(name)).collect();
        drop(open);
        drop(closing);
    }

    /// Keeps nothing any more; what it was is returned.
    pub(crate) fn close_all(&self) -> Vec<(Name, Arc<File>)> {
        let closing = std::mem::take(&mut *self.lock());
        closing.files.into_iter().map(|(name, entry)| (name, entry.file)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn remove(&mut self, name: Name) -> Option<Arc<File>> {
        let entry = self.files.remove(&name)?;
        self.uses.remove(&entry.used);
        Some(entry.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file() -> File {
        File::open(".").unwrap()
    }

    fn torrent(number: u64) -> TorrentId {
        TorrentId::from_bits(number)
    }

    #[test]
    fn the_least_recently_used_file_is_closed_first() {
        let files = OpenFiles::new(2);
        let names = [(torrent(1), 0), (torrent(1), 1), (torrent(2), 0)];
        let (first, _) = files.insert(names[0], file(), true);
        let (second, _) = files.insert(names[1], file(), false);
        assert!(Arc::ptr_eq(&first, &files.get(names[0], true).unwrap()));
        let (_, closed) = files.insert(names[2], file(), false);
        assert!(closed.len() == 1 && closed[0].0 == names[1] && Arc::ptr_eq(&closed[0].1, &second));
        drop(closed);
        assert!(files.get(names[1], false).is_none());
        assert_eq!(Arc::strong_count(&second), 1);
        assert!(files.get(names[0], false).is_some() && files.get(names[2], false).is_some());
    }

    #[test]
    fn a_file_that_was_opened_for_reading_is_not_given_to_a_writer() {
        let files = OpenFiles::new(2);
        let name = (torrent(1), 0);
        files.insert(name, file(), false);
        assert!(files.get(name, true).is_none());
        files.insert(name, file(), true);
        assert!(files.get(name, true).is_some() && files.get(name, false).is_some());
    }

    #[test]
    fn closing_a_torrent_leaves_the_others() {
        let files = OpenFiles::new(8);
        for name in [(torrent(1), 0), (torrent(1), 1), (torrent(2), 0)] {
            files.insert(name, file(), false);
        }
        files.close_torrent(torrent(1));
        assert!(files.get((torrent(1), 0), false).is_none() && files.get((torrent(1), 1), false).is_none());
        assert!(files.get((torrent(2), 0), false).is_some());
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_and_never_an_orphan(
            most in 0usize..5,
            steps in prop::collection::vec((0u8..4, 0u64..3, 0u32..4), 0..60),
        ) {
            let files = OpenFiles::new(most);
            for (step, owner, number) in steps {
                let name = (torrent(owner), number);
                match step {
                    0 => drop(files.insert(name, file(), number % 2 == 0)),
                    1 => drop(files.get(name, false)),
                    2 => files.close(name),
                    _ => files.close_torrent(name.0),
                }
                let open = files.lock();
                prop_assert!(open.files.len() <= most.max(1));
                prop_assert_eq!(open.files.len(), open.uses.len());
                prop_assert!(open.uses.iter().all(|(used, name)| open.files[name].used == *used));
            }
        }
    }
}
