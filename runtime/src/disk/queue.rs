use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// How soon a job is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// A peer waits for it.
    Upload,
    /// Memory is freed by it, or the engine waits for it.
    Normal,
    /// It can wait.
    Background,
}

/// Jobs on their way to the workers.
///
/// The more urgent go first, but each fourth time the oldest one goes whatever it is, so none waits for ever. Bounded by
/// those who put in: the engine has a budget for each kind of job.
pub(crate) struct Queue<J> {
    state: Mutex<State<J>>,
    ready: Condvar,
}

struct State<J> {
    /// By [`Urgency`], each with the number that tells its age.
    lanes: [VecDeque<(u64, J)>; 3],
    added: u64,
    taken: u64,
    closed: bool,
}

impl<J> Queue<J> {
    pub(crate) fn new() -> Queue<J> {
        let lanes = [VecDeque::new(), VecDeque::new(), VecDeque::new()];
        Queue { state: Mutex::new(State { lanes, added: 0, taken: 0, closed: false }), ready: Condvar::new() }
    }

    pub(crate) fn push(&self, urgency: Urgency, job: J) {
        let mut state = self.lock();
        let age = state.added;
        state.added += 1;
        state.lanes[urgency as usize].push_back((age, job));
        drop(state);
        self.ready.notify_one();
    }

    /// Waits for a job; `None` once the queue is closed and empty.
    pub(crate) fn pop(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.take() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What is in it is still handed out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J> State<J> {
    fn take(&mut self) -> Option<J> {
        let waiting = self.lanes.iter_mut().filter(|lane| !lane.is_empty());
        let lane =
            if self.taken % 4 == 3 { waiting.min_by_key(|lane| lane.front().map(|(age, _)| *age)) } else { waiting.into_iter().next() };
        let (_, job) = lane?.pop_front()?;
        self.taken += 1;
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_go_first_and_background_last() {
        let queue = Queue::new();
        queue.push(Urgency::Normal, "store");
        queue.push(Urgency::Background, "verify");
        queue.push(Urgency::Upload, "read");
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some("read"), Some("store"), Some("verify")]);
    }

    #[test]
    fn a_flood_of_urgent_jobs_does_not_starve_the_others() {
        let queue = Queue::new();
        queue.push(Urgency::Background, 0);
        let mut taken = Vec::new();
        for number in 1..=8 {
            queue.push(Urgency::Upload, number);
            taken.extend(queue.pop());
        }
        assert!(taken.contains(&0), "{taken:?}");
        assert!(taken.windows(2).all(|pair| pair[0] < pair[1] || pair[1] == 0), "in order within a lane: {taken:?}");
    }

    #[test]
    fn a_closed_queue_is_emptied_before_it_ends() {
        let queue = Queue::new();
        queue.push(Urgency::Normal, 1);
        queue.close();
        assert_eq!((queue.pop(), queue.pop()), (Some(1), None));
    }
}
