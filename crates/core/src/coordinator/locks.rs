//! Read-modify-writes of one key take turns at their home (RULINGS 10).

use std::collections::VecDeque;

use bytes::Bytes;

use crate::id::OpId;
use crate::map::FastMap;

/// Who holds and who waits for each key.
#[derive(Debug, Default)]
pub struct KeyLocks {
    queues: FastMap<Bytes, VecDeque<OpId>>,
}

impl KeyLocks {
    /// Queues for a key; true if the lock is held at once.
    pub fn acquire(&mut self, group: &Bytes, op: OpId) -> bool {
        let queue = self.queues.entry(group.clone()).or_default();
        queue.push_back(op);
        queue.len() == 1
    }

    /// Leaves the queue; the operation returned holds the lock now.
    pub fn release(&mut self, group: &Bytes, op: OpId) -> Option<OpId> {
        let queue = self.queues.get_mut(group)?;
        let was_holder = queue.front() == Some(&op);
        queue.retain(|&waiting| waiting != op);
        let next = queue.front().copied();
        if queue.is_empty() {
            self.queues.remove(group);
        }
        if was_holder { next } else { None }
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

    #[test]
    fn a_lock_passes_on_in_order_and_a_waiter_that_leaves_does_not_pass_it_on() {
        let mut locks = KeyLocks::default();
        let key = Bytes::from_static(b"k");
        assert!(locks.acquire(&key, OpId(1)));
        assert!(!locks.acquire(&key, OpId(2)));
        assert!(!locks.acquire(&key, OpId(3)));
        assert_eq!(locks.release(&key, OpId(2)), None);
        assert_eq!(locks.release(&key, OpId(1)), Some(OpId(3)));
        assert_eq!(locks.release(&key, OpId(3)), None);
        assert!(locks.is_empty());
    }
}
