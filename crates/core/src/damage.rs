//! Records known to be damaged on this node. Whoever meets one, a read, a write or a scrub, notes it here; each is mended
//! from all other homes together (`coordinator/mend.rs`), again and again until that has worked. Until then it is unknown,
//! not absent: what it held may have been acknowledged (RULINGS 19).
//!
//! ```text
//! noted ──▶ waiting ──due──▶ being mended ──it can be read──▶ forgotten
//!              ▲─────────────────────┘ a home was missing, or what all held was only now sent to be written
//! ```

use std::collections::BTreeMap;

use crate::key::RecordKey;
use crate::time::Time;

/// More are not remembered: the next scrub finds them again.
const DAMAGED_MAX: usize = 10_000;
/// Mends at one time.
const MENDS_MAX: usize = 16;
/// How long after a mend for which a home was missing the next one begins, in milliseconds.
const RETRY_MS: u64 = 5_000;

/// How long after a repair was sent the record is looked at again, in milliseconds.
const CONFIRM_MS: u64 = 1_000;

/// What a mend came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mended {
    /// The record can be read.
    Readable,
    /// What all other homes hold is being written.
    Sent,
    /// A home was missing.
    HomeMissing,
    /// There are no other homes: the record stays unknown.
    Never,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting(Time),
    BeingMended,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Damage {
    records: BTreeMap<RecordKey, State>,
    being_mended: usize,
    is_pressing: bool,
    found: u64,
}

impl Damage {
    /// Notes a damaged record; true if it was not known.
    pub fn note(&mut self, key: &RecordKey) -> bool {
        if self.records.contains_key(key) {
            return false;
        }
        self.found += 1;
        if self.records.len() < DAMAGED_MAX {
            self.records.insert(key.clone(), State::Waiting(Time(0)));
            self.is_pressing = true;
        }
        true
    }

    /// Something is damaged, and nobody can tell which records: a scrub must find out.
    pub fn note_somewhere(&mut self) {
        self.is_pressing = true;
    }

    /// Records that are to be mended now.
    pub fn take_due(&mut self, now: Time) -> Vec<RecordKey> {
        let room = MENDS_MAX - self.being_mended;
        let is_due = |state: &State| matches!(state, State::Waiting(at) if *at <= now);
        let due = self.records.iter().filter(|(_, state)| is_due(state)).take(room);
        let due: Vec<RecordKey> = due.map(|(key, _)| key.clone()).collect();
        for key in &due {
            self.records.insert(key.clone(), State::BeingMended);
        }
        self.being_mended += due.len();
        self.is_pressing = false;
        due
    }

    /// A mend is over.
    pub fn on_mended(&mut self, key: &RecordKey, mended: Mended, now: Time) {
        let Some(state) = self.records.get_mut(key) else { return };
        if *state == State::BeingMended {
            self.being_mended -= 1;
            self.is_pressing = true;
        }
        *state = State::Waiting(match mended {
            Mended::Readable => {
                self.records.remove(key);
                return;
            }
            Mended::Sent => now.plus_ms(CONFIRM_MS),
            Mended::HomeMissing => now.plus_ms(RETRY_MS),
            Mended::Never => Time::NEVER,
        });
    }

    /// True if `take_due` may have something to give before the next tick.
    #[must_use]
    pub fn is_pressing(&self) -> bool {
        self.is_pressing
    }

    /// True if the record is damaged.
    #[must_use]
    pub fn is_known(&self, key: &RecordKey) -> bool {
        self.records.contains_key(key)
    }

    /// True if a record of the same partition key is damaged.
    #[must_use]
    pub fn is_known_under(&self, key: &RecordKey) -> bool {
        // Names are in the order of their bytes, and that without a sort key is the first.
        let group = key.with_sort_key(&[]);
        let first = self.records.range(&group..).next();
        first.is_some_and(|(found, _)| found.as_bytes().starts_with(group.as_bytes()))
    }

    /// How many damaged records are known now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True if none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many were found since the start.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BucketId, PartitionId};

    fn key(number: u8) -> RecordKey {
        RecordKey::new(PartitionId(1), BucketId(1), 1, &[number], &[])
    }

    #[test]
    fn a_record_is_mended_until_that_has_worked() {
        let mut damage = Damage::default();
        assert!(damage.note(&key(1)));
        assert!(!damage.note(&key(1)), "known already");
        assert_eq!(damage.take_due(Time(0)), [key(1)]);
        damage.on_mended(&key(1), Mended::HomeMissing, Time(0));
        assert_eq!(damage.take_due(Time(0)), []);
        assert_eq!(damage.take_due(Time(0).plus_ms(RETRY_MS)), [key(1)]);
        damage.on_mended(&key(1), Mended::Readable, Time(0));
        assert!(damage.is_empty());
        assert!(damage.note(&key(1)), "damaged again");
    }

    #[test]
    fn damage_of_one_partition_key_is_not_that_of_its_neighbours() {
        let mut damage = Damage::default();
        damage.note(&key(1));
        damage.note(&key(3));
        damage.note(&key(2).with_sort_key(b"field"));
        assert!(damage.is_known_under(&key(2)), "the head of what is damaged");
        assert!(
            damage.is_known_under(&key(2).with_sort_key(b"zzz")),
            "another field of it"
        );
        damage.on_mended(&key(2).with_sort_key(b"field"), Mended::Readable, Time(0));
        assert!(!damage.is_known_under(&key(2)));
        assert!(!damage.is_known_under(&key(4)), "nothing comes after it");
        assert!(
            damage.is_known_under(&key(3).with_sort_key(b"field")),
            "its head is damaged"
        );
    }

    #[test]
    fn few_are_mended_at_one_time_and_a_bound_is_remembered() {
        let mut damage = Damage::default();
        for number in 0..100 {
            damage.note(&key(number));
        }
        let first = damage.take_due(Time(0));
        assert_eq!(first.len(), MENDS_MAX);
        assert_eq!(damage.take_due(Time(0)), []);
        damage.on_mended(&first[0], Mended::Readable, Time(0));
        assert_eq!(damage.take_due(Time(0)).len(), 1);
        assert_eq!(damage.found(), 100);
    }
}
