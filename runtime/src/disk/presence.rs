//! Which files of a torrent were there once, and which of them are no longer what they were.

use std::{
    collections::BTreeMap,
    fs::{File, Metadata},
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Files by their numbers, since the torrent was opened.
///
/// What was verified is true of the files that were there then. Should one of them be taken away, a new one in its place would be full of
/// gaps; so none is made, and what is there instead is not believed, until the torrent is opened again and looked at.
#[derive(Default)]
pub(super) struct Presence(Mutex<BTreeMap<u32, State>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    There,
    Gone,
    /// Gone, and the owner was told.
    Told,
}

impl Presence {
    /// It is there: it was found, or made.
    pub(super) fn found(&self, number: u32) {
        self.lock().entry(number).or_insert(State::There);
    }

    /// Whether it was there, whatever became of it since.
    pub(super) fn was_there(&self, number: u32) -> bool {
        self.lock().contains_key(&number)
    }

    /// It was taken away, or replaced.
    pub(super) fn lost(&self, number: u32) {
        self.lock().entry(number).and_modify(|state| *state = if *state == State::Told { State::Told } else { State::Gone });
    }

    pub(super) fn is_gone(&self, number: u32) -> bool {
        self.lock().get(&number).is_some_and(|state| *state != State::There)
    }

    /// One of the files that went away since this was asked before.
    pub(super) fn tell(&self) -> Option<u32> {
        let mut states = self.lock();
        let gone = states.iter_mut().filter(|(_, state)| **state == State::Gone);
        let told: Vec<u32> = gone.map(|(number, state)| (*state = State::Told, *number).1).collect();
        told.first().copied()
    }

    /// We deleted it ourselves.
    pub(super) fn forget(&self, number: u32) {
        self.lock().remove(&number);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a path leads to now, compared with the file that was opened there earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The very file.
    Same,
    /// Another one of the same size and time: the file was moved to another disk, and nothing has been written to it since.
    #[cfg_attr(not(unix), expect(dead_code, reason = "a file is not told from its replacement there"))]
    Copy,
    /// Nothing, or something else.
    Other,
}

/// What stands in the place of `opened`: `found`, if anything.
#[cfg(unix)]
pub(super) fn place_of(opened: &File, found: Option<&Metadata>) -> io::Result<Place> {
    use super::plain::stamp_of;
    use std::os::unix::fs::MetadataExt;
    let Some(found) = found else { return Ok(Place::Other) };
    let opened = opened.metadata()?;
    Ok(match (opened.dev(), opened.ino()) == (found.dev(), found.ino()) {
        true => Place::Same,
        // Times are coarse: what was written a moment before the copy was made may have come a moment after.
        false if stamp_of(&opened) == stamp_of(found) && found.ctime() >= found.mtime().saturating_add(2) => Place::Copy,
        false => Place::Other,
    })
}

/// What stands in the place of `opened`: `found`, if anything. Elsewhere than on Unix a file is not told from its replacement; Windows
/// refuses to replace one that is open, unless whoever does it insists.
#[cfg(not(unix))]
pub(super) fn place_of(_opened: &File, found: Option<&Metadata>) -> io::Result<Place> {
    Ok(if found.is_some() { Place::Same } else { Place::Other })
}

/// Whether no path leads to the file any more: it was deleted, or another one was put in its place. Some file systems say so of all files.
#[cfg(unix)]
pub(super) fn seems_deleted(opened: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    opened.metadata().is_ok_and(|opened| opened.nlink() == 0)
}

/// Whether no path leads to the file any more: elsewhere than on Unix nobody can tell.
#[cfg(not(unix))]
pub(super) fn seems_deleted(_opened: &File) -> bool {
    false
}
