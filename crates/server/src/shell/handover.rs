//! Queues between the threads of a node. What a thread has for another is left there a turn at a time: one lock and at most
//! one wake, however many items (RULINGS 43).

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// A queue that any thread fills and one task empties, all at once.
#[derive(Debug)]
pub struct Handover<T> {
    waiting: Mutex<Vec<T>>,
    wake: Notify,
}

impl<T> Default for Handover<T> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            wake: Notify::new(),
        }
    }
}

impl<T> Handover<T> {
    /// Leaves a batch, which is empty afterwards.
    pub fn leave(&self, batch: &mut Vec<T>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = waiting.is_empty();
        if was_empty {
            std::mem::swap(&mut *waiting, batch);
        } else {
            waiting.append(batch);
        }
        drop(waiting);
        // Whoever found it empty has woken the taker, which takes what came later too.
        if was_empty {
            self.wake();
        }
    }

    /// Has [`Self::take`] return, even with nothing.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until something was left and takes it all. `batch` is to be empty; its room is used again.
    pub async fn take(&self, batch: &mut Vec<T>) {
        self.wake.notified().await;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *waiting, batch);
    }
}

/// What the tasks of one thread gather for another thread in a turn.
#[derive(Debug)]
pub struct Turn<T> {
    gathered: RefCell<Vec<T>>,
    begun: Notify,
}

impl<T> Default for Turn<T> {
    fn default() -> Self {
        Self {
            gathered: RefCell::default(),
            begun: Notify::new(),
        }
    }
}

impl<T> Turn<T> {
    /// Adds to this turn.
    pub fn push(&self, item: T) {
        let mut gathered = self.gathered.borrow_mut();
        if gathered.is_empty() {
            self.begun.notify_one();
        }
        gathered.push(item);
    }

    /// Hands over each turn, for ever. The first item of a turn has this run after all tasks that were ready by then.
    pub async fn hand_over(&self, to: &Handover<T>) {
        loop {
            self.begun.notified().await;
            to.leave(&mut self.gathered.borrow_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn everything_arrives_once_and_in_order() {
        const ITEMS: u32 = 100_000;
        let handover = Arc::new(Handover::default());
        let filler = {
            let handover = Arc::clone(&handover);
            std::thread::spawn(move || {
                let mut batch = Vec::new();
                for item in 0..ITEMS {
                    batch.push(item);
                    if item % 7 == 0 {
                        handover.leave(&mut batch);
                        assert!(batch.is_empty());
                    }
                }
                handover.leave(&mut batch);
            })
        };
        let runtime = tokio::runtime::LocalRuntime::new().expect("a runtime");
        let taken = runtime.block_on(async {
            let mut taken = Vec::new();
            let mut batch = Vec::new();
            while taken.len() < ITEMS as usize {
                handover.take(&mut batch).await;
                taken.append(&mut batch);
            }
            taken
        });
        filler.join().expect("the filler ends");
        assert!(taken.into_iter().eq(0..ITEMS));
    }

    #[test]
    fn tasks_that_are_ready_together_make_one_turn() {
        let runtime = tokio::runtime::LocalRuntime::new().expect("a runtime");
        let turns = runtime.block_on(async {
            let (turn, handover) = (std::rc::Rc::new(Turn::default()), Arc::new(Handover::default()));
            {
                let (turn, handover) = (std::rc::Rc::clone(&turn), Arc::clone(&handover));
                tokio::task::spawn_local(async move { turn.hand_over(&handover).await });
            }
            // The task that hands over waits from here on.
            tokio::task::yield_now().await;
            for item in 0..50 {
                let turn = std::rc::Rc::clone(&turn);
                tokio::task::spawn_local(async move { turn.push(item) });
            }
            let mut first = Vec::new();
            handover.take(&mut first).await;
            first.len()
        });
        assert_eq!(turns, 50);
    }
}
