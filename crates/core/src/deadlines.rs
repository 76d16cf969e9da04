//! Deadlines of operations, in slots of 16 ms. Operations that finish leave their entry behind: looking up an operation
//! that is gone costs less than removing each entry would.

use std::collections::BTreeMap;

use crate::id::OpId;
use crate::time::Time;

const SLOT_US: u64 = 16_000;

/// Which operation to wake when.
#[derive(Debug, Default)]
pub struct Deadlines {
    slots: BTreeMap<u64, Vec<OpId>>,
}

impl Deadlines {
    /// Wakes `op` at or up to one slot after `at`.
    pub fn insert(&mut self, at: Time, op: OpId) {
        let slot = at.0.div_ceil(SLOT_US);
        match self.slots.last_entry() {
            Some(mut last) if *last.key() == slot => last.get_mut().push(op),
            Some(_) | None => self.slots.entry(slot).or_default().push(op),
        }
    }

    /// The next time at which something is due.
    #[must_use]
    pub fn next(&self) -> Time {
        self.slots
            .first_key_value()
            .map_or(Time::NEVER, |(slot, _)| Time(slot * SLOT_US))
    }

    /// Takes the earliest slot if it is due.
    pub fn pop_due(&mut self, now: Time) -> Option<Vec<OpId>> {
        let entry = self.slots.first_entry()?;
        (entry.key() * SLOT_US <= now.0).then(|| entry.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_fires_at_or_just_after_its_time_and_never_before() {
        let mut deadlines = Deadlines::default();
        deadlines.insert(Time(20_000), OpId(1));
        deadlines.insert(Time(90_000), OpId(2));
        assert_eq!(deadlines.pop_due(Time(19_999)), None);
        assert!(deadlines.next() >= Time(20_000) && deadlines.next() < Time(20_000 + SLOT_US));
        assert_eq!(deadlines.pop_due(deadlines.next()), Some(vec![OpId(1)]));
        assert_eq!(deadlines.pop_due(Time(u64::MAX / 2)), Some(vec![OpId(2)]));
        assert_eq!(deadlines.next(), Time::NEVER);
    }
}
