//! What the node thread hands to the committer: a list under a lock that is held for a push or a swap, never longer.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use torc_core::bucket::Durability;
use torc_core::id::Token;
use torc_core::storage::{Meta, Write};

/// One thing to make durable or to apply.
#[derive(Debug)]
pub enum Entry {
    /// Records.
    Writes {
        /// Given back.
        token: Token,
        /// What.
        writes: Vec<Write>,
        /// When to answer.
        durability: Durability,
    },
    /// A fact; always durable before it is answered.
    Meta {
        /// Given back.
        token: Token,
        /// What.
        meta: Meta,
    },
}

impl Entry {
    /// The token to answer.
    pub fn token(&self) -> Token {
        match self {
            Self::Writes { token, .. } | Self::Meta { token, .. } => *token,
        }
    }

    /// True if it must be durable before it is answered.
    pub fn must_sync(&self) -> bool {
        match self {
            Self::Writes { durability, .. } => *durability == Durability::Synced,
            Self::Meta { .. } => true,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Entry>,
    stopping: bool,
    /// The committer sleeps until so many entries wait.
    wake_at: Option<usize>,
}

/// Entries on their way to the committer. Bounded by the operations that the core admits (`OPERATIONS_MAX`).
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

/// What the committer found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// Entries.
    Some,
    /// Nothing until the deadline.
    Deadline,
    /// Nothing, and nothing will come any more.
    Closed,
}

impl Queue {
    /// Adds an entry and wakes the committer if that is what it sleeps for.
    pub fn push(&self, entry: Entry) {
        let mut state = self.lock();
        state.entries.push(entry);
        let must_wake = state.wake_at.is_some_and(|wake_at| state.entries.len() >= wake_at);
        if must_wake {
            state.wake_at = None;
        }
        drop(state);
        if must_wake {
            self.arrived.notify_one();
        }
    }

    /// No more entries; those in the queue are still committed.
    pub fn close(&self) {
        self.lock().stopping = true;
        self.arrived.notify_one();
    }

    /// Entries that wait.
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Adds what comes to `into`, until it has `wanted` entries or the patience is over.
    pub fn gather(&self, into: &mut Vec<Entry>, wanted: usize, patience: Duration) {
        let missing = wanted.saturating_sub(into.len());
        let is_short = |state: &mut State| state.entries.len() < missing && !state.stopping;
        let mut state = self.lock();
        if is_short(&mut state) {
            state.wake_at = Some(missing);
            let waited = self.arrived.wait_timeout_while(state, patience, is_short);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.wake_at = None;
        }
        into.append(&mut state.entries);
    }

    /// Swaps everything that waits into `into`, which is empty; sleeps until there is something, or until `deadline`.
    pub fn take(&self, into: &mut Vec<Entry>, deadline: Option<Instant>) -> Taken {
        let mut state = self.lock();
        loop {
            if !state.entries.is_empty() {
                std::mem::swap(&mut state.entries, into);
                return Taken::Some;
            }
            if state.stopping {
                return Taken::Closed;
            }
            let wait = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if wait == Some(Duration::ZERO) {
                return Taken::Deadline;
            }
            state.wake_at = Some(1);
            state = match wait {
                Some(wait) => {
                    self.arrived
                        .wait_timeout(state, wait)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.wake_at = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn entry(token: u64) -> Entry {
        Entry::Writes {
            token: Token(token),
            writes: Vec::new(),
            durability: Durability::Synced,
        }
    }

    fn tokens(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.token().0).collect()
    }

    #[test]
    fn what_is_gathered_is_awaited_and_comes_in_order() {
        let queue = Queue::default();
        let mut taken = Vec::new();
        queue.push(entry(1));
        assert_eq!(queue.take(&mut taken, None), Taken::Some);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for token in 2..=4 {
                    std::thread::sleep(Duration::from_millis(5));
                    queue.push(entry(token));
                }
            });
            let begun = Instant::now();
            queue.gather(&mut taken, 4, LONG);
            assert!(begun.elapsed() < LONG / 2, "it does not wait for more");
        });
        assert_eq!(tokens(&taken), [1, 2, 3, 4]);
    }

    #[test]
    fn gathering_ends_with_its_patience_and_takes_what_has_come() {
        let queue = Queue::default();
        let mut taken = vec![entry(1)];
        queue.push(entry(2));
        let patience = Duration::from_millis(5);
        let begun = Instant::now();
        queue.gather(&mut taken, 10, patience);
        assert!(begun.elapsed() >= patience);
        assert_eq!(tokens(&taken), [1, 2]);
    }

    #[test]
    fn gathering_ends_when_nothing_will_come_any_more() {
        let queue = Queue::default();
        let mut taken = vec![entry(1)];
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(5));
                queue.close();
            });
            queue.gather(&mut taken, 2, LONG);
        });
        assert!(begun.elapsed() < LONG / 2);
        assert_eq!(queue.take(&mut Vec::new(), None), Taken::Closed);
    }
}
