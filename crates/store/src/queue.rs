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
    committer_waits: bool,
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
    /// Adds an entry and wakes the committer if it sleeps.
    pub fn push(&self, entry: Entry) {
        let mut state = self.lock();
        state.entries.push(entry);
        let must_wake = std::mem::take(&mut state.committer_waits);
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

    /// Adds everything that waits to `into`, without sleeping.
    pub fn take_more(&self, into: &mut Vec<Entry>) {
        let mut state = self.lock();
        if into.is_empty() {
            std::mem::swap(&mut state.entries, into);
        } else {
            into.append(&mut state.entries);
        }
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
            state.committer_waits = true;
            state = match wait {
                Some(wait) => {
                    self.arrived
                        .wait_timeout(state, wait)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.committer_waits = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
