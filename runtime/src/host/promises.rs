//! What the engine and the host owe each other, checked in debug builds: exactly one answer for each action that asks for one.

use rustor_core::{action::Action, input::Input};

/// The answers that are owed. Empty, and costs nothing, in a release build.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    #[cfg(debug_assertions)]
    owed: std::collections::BTreeSet<Promise>,
    /// Of connections closed since: may still be answered, or not.
    #[cfg(debug_assertions)]
    excused: std::collections::BTreeSet<Promise>,
}

#[cfg(debug_assertions)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Promise {
    Connect(u64),
    Read(u64),
    Write(u64),
    Disk(u64),
    Http(u64),
    /// A download's head, or what a read of its body brings: never both at once.
    Fetch(u64),
    Resolve(u64),
}

#[cfg(debug_assertions)]
impl Promises {
    /// The engine wants this done.
    ///
    /// # Panics
    ///
    /// If it is under way already.
    #[track_caller]
    pub(crate) fn asked(&mut self, action: &Action) {
        let promise = match action {
            Action::Connect { connection, .. } => Promise::Connect(connection.to_bits()),
            Action::Read { connection, .. } => Promise::Read(connection.to_bits()),
            Action::Write { connection, .. } => Promise::Write(connection.to_bits()),
            Action::Disk { job, .. } => Promise::Disk(job.to_bits()),
            Action::Http { request, .. } => Promise::Http(request.to_bits()),
            Action::Fetch { fetch, .. } | Action::FetchRead { fetch, .. } => Promise::Fetch(fetch.to_bits()),
            // Its answers do not get this far.
            Action::FetchCancel { fetch } => {
                self.owed.remove(&Promise::Fetch(fetch.to_bits()));
                return;
            }
            Action::Resolve { resolve, .. } => Promise::Resolve(resolve.to_bits()),
            Action::Close { connection } => {
                for promise in [Promise::Connect, Promise::Read, Promise::Write] {
                    let promise = promise(connection.to_bits());
                    if self.owed.remove(&promise) {
                        self.excused.insert(promise);
                    }
                }
                return;
            }
            Action::Accept { .. } | Action::Refuse { .. } | Action::SendDatagram { .. } | Action::Multicast { .. } => return,
        };
        assert!(self.owed.insert(promise), "{promise:?} was asked for twice");
    }

    /// The host answers.
    ///
    /// # Panics
    ///
    /// If it did so before, or was never asked.
    #[track_caller]
    pub(crate) fn answered(&mut self, input: &Input) {
        let promise = match input {
            Input::Connected { connection, .. } => Promise::Connect(connection.to_bits()),
            Input::Read { connection, .. } => Promise::Read(connection.to_bits()),
            Input::Written { connection, .. } => Promise::Write(connection.to_bits()),
            Input::Disk { job, .. } => Promise::Disk(job.to_bits()),
            Input::Http { request, .. } => Promise::Http(request.to_bits()),
            Input::FetchHead { fetch, .. } | Input::FetchBody { fetch, .. } => Promise::Fetch(fetch.to_bits()),
            Input::Resolved { resolve, .. } => Promise::Resolve(resolve.to_bits()),
            Input::Timeout | Input::Listening(_) | Input::Incoming { .. } | Input::Datagram { .. } | Input::Multicast { .. } => return,
        };
        let owed = self.owed.remove(&promise) || self.excused.remove(&promise);
        assert!(owed, "{promise:?} was answered twice, or never asked for");
    }

    /// The answers that were given at once are all told: nothing of a closed connection can follow.
    pub(crate) fn settled(&mut self) {
        self.excused.clear();
    }

    /// The engine has shut down.
    ///
    /// # Panics
    ///
    /// If it left a disk job behind: a torrent is gone only after its last one.
    #[track_caller]
    pub(crate) fn ended(&self) {
        let disk = self.owed.iter().find(|promise| matches!(promise, Promise::Disk(_)));
        assert!(disk.is_none(), "the engine shut down over {disk:?}");
    }
}

#[cfg(not(debug_assertions))]
impl Promises {
    pub(crate) fn asked(&mut self, _: &Action) {}

    pub(crate) fn answered(&mut self, _: &Input) {}

    pub(crate) fn settled(&mut self) {}

    pub(crate) fn ended(&self) {}
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;
    use rustor_core::{error::StreamError, id::ConnectionId};

    const CONNECTION: ConnectionId = ConnectionId::from_bits(7);

    fn read() -> Action {
        Action::Read { connection: CONNECTION, limit: 1 }
    }

    fn answer() -> Input {
        Input::Read { connection: CONNECTION, result: Err(StreamError::Other) }
    }

    #[test]
    fn one_answer_for_each_question() {
        let mut promises = Promises::default();
        for _ in 0..2 {
            promises.asked(&read());
            promises.answered(&answer());
        }
    }

    #[test]
    #[should_panic(expected = "Read(7) was asked for twice")]
    fn a_second_question_before_the_answer_is_found() {
        let mut promises = Promises::default();
        promises.asked(&read());
        promises.asked(&read());
    }

    #[test]
    #[should_panic(expected = "Read(7) was answered twice, or never asked for")]
    fn a_second_answer_is_found() {
        let mut promises = Promises::default();
        promises.asked(&read());
        promises.answered(&answer());
        promises.answered(&answer());
    }

    #[test]
    fn a_closed_connection_may_still_be_answered() {
        let mut promises = Promises::default();
        promises.asked(&read());
        promises.asked(&Action::Close { connection: CONNECTION });
        promises.answered(&answer());
    }

    #[test]
    #[should_panic(expected = "Read(7) was answered twice, or never asked for")]
    fn but_not_for_long() {
        let mut promises = Promises::default();
        promises.asked(&read());
        promises.asked(&Action::Close { connection: CONNECTION });
        promises.settled();
        promises.answered(&answer());
    }
}
