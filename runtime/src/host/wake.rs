//! Who woke the host, and for what: wake-ups that name their source, so that a turn costs what is ready and not what is open.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use rustor_core::{id::ConnectionId, input::Input};

use super::request::Request;

/// What can have something for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A connection's stream: opened, readable or writable.
    Stream(ConnectionId),
    /// The listener at this place.
    Listener(usize),
    /// The datagram socket at this place.
    Datagram(usize),
    /// The timer.
    Timer,
}

/// What other tasks and threads leave for the host. Sockets are not among them: their bytes go straight to the engine, and
/// only the names of those that are ready pass here.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    mail: Mail,
    waker: Option<Waker>,
    /// The host is being polled, or about to be: it will look here again by itself.
    awake: bool,
    /// There is no host any more.
    closed: bool,
}

/// Everything left since the host looked last.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// Sources that were woken, each once.
    pub(crate) ready: Vec<Source>,
    /// Answers of disk workers, HTTP requests and name look-ups.
    pub(crate) inputs: Vec<Input>,
    /// What clients ask for, in order.
    pub(crate) requests: Vec<Request>,
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.inputs.is_empty() && self.requests.is_empty()
    }
}

impl Mailbox {
    pub(crate) fn new() -> Mailbox {
        // Whoever got the new host polls it in any case.
        Mailbox { state: Mutex::new(State { awake: true, ..State::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock, and if it did: no half-done change is possible.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the answer to an action. Without a host it is dropped.
    pub(crate) fn complete(&self, input: Input) {
        self.leave(|mail| mail.inputs.push(input));
    }

    /// Leaves a request; without a host it is dropped, and so is the sender of its answer.
    pub(crate) fn request(&self, request: Request) {
        self.leave(|mail| mail.requests.push(request));
    }

    fn leave(&self, put: impl FnOnce(&mut Mail)) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        put(&mut state.mail);
        let waker = if mem::replace(&mut state.awake, true) { None } else { state.waker.clone() };
        // Waking under the lock could deadlock with an executor that polls at once.
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// A poll of the host begins: until [`Mailbox::sleep`] nobody needs to wake it.
    pub(crate) fn wake_up(&self, waker: &Waker) {
        let mut state = self.lock();
        state.awake = true;
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Swaps what was left against `mail`, which must be empty and lends its room.
    pub(crate) fn take(&self, mail: &mut Mail) {
        debug_assert!(mail.is_empty());
        mem::swap(&mut self.lock().mail, mail);
    }

    /// From here on the host must be woken; `false` if something was left meanwhile, and it stays awake.
    pub(crate) fn sleep(&self) -> bool {
        let mut state = self.lock();
        state.awake = !state.mail.is_empty();
        !state.awake
    }

    /// The host is gone: what was left is dropped, and so is what comes later.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let left = (state.waker.take(), mem::take(&mut state.mail));
        // Dropping a request wakes who waits for its answer: not under the lock.
        drop(state);
        drop(left);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

/// The waker of one source.
#[derive(Debug)]
pub(crate) struct SourceWaker {
    source: Source,
    /// Its name is in the mailbox already.
    queued: AtomicBool,
    mailbox: Arc<Mailbox>,
}

impl SourceWaker {
    pub(crate) fn new(mailbox: &Arc<Mailbox>, source: Source) -> Arc<SourceWaker> {
        Arc::new(SourceWaker { source, queued: AtomicBool::new(false), mailbox: mailbox.clone() })
    }

    /// To be called before the source is polled: a wake-up from here on counts anew.
    pub(crate) fn clear(&self) {
        // Acquire: what the waking thread wrote before it set the flag is seen by the poll that follows.
        self.queued.swap(false, Ordering::Acquire);
    }
}

impl Wake for SourceWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.mailbox.leave(|mail| mail.ready.push(self.source));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn sleeping() -> (Arc<Mailbox>, Arc<Count>) {
        let (mailbox, count) = (Arc::new(Mailbox::new()), Arc::new(Count::default()));
        mailbox.wake_up(&Waker::from(count.clone()));
        assert!(mailbox.sleep());
        (mailbox, count)
    }

    #[test]
    fn a_source_is_named_once_until_it_is_cleared() {
        let (mailbox, _) = sleeping();
        let timer = SourceWaker::new(&mailbox, Source::Timer);
        let waker = Waker::from(timer.clone());
        waker.wake_by_ref();
        waker.wake_by_ref();
        let mut mail = Mail::default();
        mailbox.take(&mut mail);
        assert_eq!(mail.ready, [Source::Timer]);
        mail.ready.clear();
        timer.clear();
        waker.wake();
        mailbox.take(&mut mail);
        assert_eq!(mail.ready, [Source::Timer]);
    }

    #[test]
    fn many_wake_ups_of_a_sleeping_host_wake_its_task_once() {
        let (mailbox, count) = sleeping();
        for place in 0..10 {
            Waker::from(SourceWaker::new(&mailbox, Source::Listener(place))).wake();
        }
        mailbox.complete(Input::Timeout);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        let mut mail = Mail::default();
        mailbox.take(&mut mail);
        assert_eq!((mail.ready.len(), mail.inputs.len()), (10, 1));
    }

    #[test]
    fn a_host_at_work_is_not_woken_but_does_not_fall_asleep_over_mail() {
        let (mailbox, count) = sleeping();
        mailbox.wake_up(&Waker::from(count.clone()));
        mailbox.complete(Input::Timeout);
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        assert!(!mailbox.sleep());
        mailbox.take(&mut Mail::default());
        assert!(mailbox.sleep());
        mailbox.complete(Input::Timeout);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_closed_mailbox_keeps_nothing() {
        let (mailbox, count) = sleeping();
        mailbox.close();
        mailbox.complete(Input::Timeout);
        let mut mail = Mail::default();
        mailbox.take(&mut mail);
        assert!(mail.is_empty() && mailbox.is_closed());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
    }
}
