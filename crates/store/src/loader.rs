//! Reads of records that are not in the cache, on threads of their own: a page that must come from the disk holds up
//! nobody else. What the node thread knows of them is in [`crate::loads`].

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use torc_core::id::Token;
use torc_core::key::RecordKey;
use torc_core::storage::{StoreError, StoreReply};

use crate::engine::Engine;
use crate::shared::Shared;
use crate::stats::add;

/// Threads that load: as many reads of the disk are under way at most.
pub(crate) const LOADERS: usize = 4;
/// So many records may wait for each loader that is awake before another one is woken, which costs more than a read that
/// finds its page in memory.
const WAITING_EACH: usize = 2;
/// Answers are handed over together, at most so many.
const ANSWERS_MAX: usize = 8;
/// Or once the first of them is this old.
const ANSWER_AGE_MAX: Duration = Duration::from_micros(50);

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Token, RecordKey)>,
    /// Loaders that sleep, and that nobody has woken yet.
    idle: usize,
    /// Loaders that were woken and do not run yet.
    woken: usize,
    is_closed: bool,
}

/// Records on their way to the loaders. Bounded by the operations that the core admits.
#[derive(Debug, Default)]
pub(crate) struct LoadQueue {
    state: Mutex<State>,
    arrived: Condvar,
}

impl LoadQueue {
    /// Asks for a record.
    pub fn push(&self, token: Token, key: RecordKey) {
        let mut state = self.lock();
        state.waiting.push_back((token, key));
        let awake = LOADERS - state.idle;
        let must_wake = state.idle > 0 && state.waiting.len() > awake * WAITING_EACH;
        if must_wake {
            state.idle -= 1;
            state.woken += 1;
        }
        drop(state);
        if must_wake {
            self.arrived.notify_one();
        }
    }

    /// Nobody asks any more; what waits is still loaded.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_all();
    }

    /// The next record, if one waits.
    fn try_take(&self) -> Option<(Token, RecordKey)> {
        self.lock().waiting.pop_front()
    }

    /// The next record, as soon as there is one; `None`: there will be no more.
    fn take(&self) -> Option<(Token, RecordKey)> {
        let mut state = self.lock();
        loop {
            if let Some(next) = state.waiting.pop_front() {
                return Some(next);
            }
            if state.is_closed {
                return None;
            }
            state.idle += 1;
            while state.woken == 0 && !state.is_closed {
                state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            // Whoever woke a loader has counted it.
            if state.woken > 0 {
                state.woken -= 1;
            } else {
                state.idle -= 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One loader thread.
pub(crate) struct Loader {
    pub engine: Engine,
    pub shared: Arc<Shared>,
}

impl Loader {
    /// Loads until the queue is closed and empty.
    pub fn run(self) {
        let queue = &self.shared.loads;
        let mut answers = Vec::with_capacity(ANSWERS_MAX);
        let mut next = queue.take();
        while let Some((token, key)) = next {
            let begun = Instant::now();
            answers.push((token, self.load(&key)));
            next = loop {
                if answers.len() >= ANSWERS_MAX || begun.elapsed() > ANSWER_AGE_MAX {
                    break None;
                }
                match queue.try_take() {
                    Some((token, key)) => answers.push((token, self.load(&key))),
                    None => break None,
                }
            };
            self.shared.completions.stored(&mut answers);
            answers.clear();
            next = next.or_else(|| queue.take());
        }
    }

    fn load(&self, key: &RecordKey) -> StoreReply {
        if self.shared.is_out_of_service() {
            return StoreReply::Failed(StoreError::OutOfService);
        }
        // The engine meets some of what it does not expect with a panic.
        let begun = Instant::now();
        let loaded = catch_unwind(AssertUnwindSafe(|| self.engine.get(key))).unwrap_or_else(|_| {
            tracing::error!(?key, "the engine failed on what it read: the record is unknown for now");
            // Nothing is proven by it: a scrub compares the file with its sum.
            Err(StoreError::Unreadable)
        });
        self.shared.faults.delay_read();
        self.shared.pace.note(begun.elapsed());
        match loaded {
            Ok(record) => StoreReply::Record(record.map(Arc::new)),
            Err(error) => {
                add(
                    &self.shared.counters.damaged_records,
                    u64::from(error == StoreError::Damaged),
                );
                StoreReply::Failed(error)
            }
        }
    }
}
