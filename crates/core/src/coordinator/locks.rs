//! Read-modify-writes of one key take turns at their home (RULINGS 10).

use std::collections::VecDeque;

use bytes::Bytes;

use crate::command::UpdateKey;
use crate::id::OpId;
use crate::map::FastMap;
use crate::time::Time;

/// An update that waits for its key.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Whose it is.
    pub op: OpId,
    /// What it is.
    pub command: UpdateKey,
    /// When it gives up.
    pub deadline: Time,
}

#[derive(Debug)]
struct Queue {
    holder: OpId,
    waiting: VecDeque<Waiting>,
}

/// Who holds and who waits for each key.
#[derive(Debug, Default)]
pub struct KeyLocks {
    queues: FastMap<Bytes, Queue>,
}

impl KeyLocks {
    /// Queues for a key; true if the lock is held at once.
    pub fn acquire(&mut self, group: &Bytes, op: OpId, waiting: impl FnOnce() -> Waiting) -> bool {
        if let Some(queue) = self.queues.get_mut(group) {
            queue.waiting.push_back(waiting());
            return false;
        }
        let (holder, waiting) = (op, VecDeque::new());
        self.queues.insert(group.clone(), Queue { holder, waiting });
        true
    }

    /// One that was taken out of the queue waits again, before all others.
    pub fn wait_first(&mut self, group: &Bytes, waiting: Waiting) {
        if let Some(queue) = self.queues.get_mut(group) {
            queue.waiting.push_front(waiting);
        }
    }

    /// Those who wait, the first to come first.
    pub fn waiting(&self, group: &Bytes) -> impl Iterator<Item = &Waiting> {
        self.queues.get(group).into_iter().flat_map(|queue| &queue.waiting)
    }

    /// Takes one who waits out of the queue; false if it does not wait any more.
    pub fn take(&mut self, group: &Bytes, op: OpId) -> bool {
        let Some(queue) = self.queues.get_mut(group) else {
            return false;
        };
        let at = queue.waiting.iter().position(|waiting| waiting.op == op);
        at.is_some_and(|at| queue.waiting.remove(at).is_some())
    }

    /// True if the operation holds the lock or waits for it.
    #[must_use]
    pub fn knows(&self, group: &Bytes, op: OpId) -> bool {
        let queue = self.queues.get(group);
        queue.is_some_and(|queue| queue.holder == op || queue.waiting.iter().any(|waiting| waiting.op == op))
    }

    /// Leaves the queue; the operation returned holds the lock now.
    pub fn release(&mut self, group: &Bytes, op: OpId) -> Option<OpId> {
        let queue = self.queues.get_mut(group)?;
        if queue.holder != op {
            self.take(group, op);
            return None;
        }
        let next = queue.waiting.pop_front().map(|waiting| waiting.op);
        match next {
            Some(next) => queue.holder = next,
            None => drop(self.queues.remove(group)),
        }
        next
    }

    /// How many keys are locked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queues.len()
    }

    /// True if none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Options, Target};
    use crate::id::BucketId;
    use crate::keyspace::Update;

    fn waiting(op: u64) -> Waiting {
        let target = Target {
            bucket: BucketId(1),
            key: Bytes::from_static(b"k"),
            sort: Bytes::new(),
        };
        let (update, options) = (Update::Del, Options::default());
        Waiting {
            op: OpId(op),
            command: UpdateKey {
                target,
                update,
                options,
            },
            deadline: Time::default(),
        }
    }

    #[test]
    fn a_lock_passes_on_in_order_and_a_waiter_that_leaves_or_is_taken_does_not_pass_it_on() {
        let mut locks = KeyLocks::default();
        let key = Bytes::from_static(b"k");
        assert!(locks.acquire(&key, OpId(1), || unreachable!("it need not wait")));
        for op in 2..=5 {
            assert!(!locks.acquire(&key, OpId(op), || waiting(op)));
        }
        assert!(locks.waiting(&key).map(|waiting| waiting.op.0).eq(2..=5));
        assert_eq!(locks.release(&key, OpId(2)), None);
        assert!(locks.take(&key, OpId(4)) && !locks.take(&key, OpId(4)), "it waits once");
        assert!(!locks.take(&key, OpId(1)), "it holds the lock");
        assert!(!locks.knows(&key, OpId(4)) && locks.knows(&key, OpId(1)) && locks.knows(&key, OpId(5)));
        locks.wait_first(&key, waiting(4));
        assert_eq!(locks.release(&key, OpId(1)), Some(OpId(4)));
        assert_eq!(locks.release(&key, OpId(4)), Some(OpId(3)));
        assert_eq!(locks.release(&key, OpId(3)), Some(OpId(5)));
        assert_eq!(locks.release(&key, OpId(5)), None);
        assert!(locks.is_empty());
    }
}
