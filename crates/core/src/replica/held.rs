//! The records that writes hold in memory: loaded once, changed by every write in turn, kept until the last commit that
//! touches them is answered. A write therefore never works on a state that another one has already replaced.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::causality::Record;
pub use crate::id::CommitId;
use crate::key::RecordKey;
use crate::map::FastMap;

/// A write or read of the replica that waits for something.
pub type JobId = u64;

/// What is known of a held record.
#[derive(Clone, Debug)]
pub enum Current {
    /// Being read from the store.
    Loading,
    /// The latest state, durable or not.
    Known(Option<Arc<Record>>),
    /// The stored record is damaged: unknown, not absent.
    Damaged,
    /// The store could not say; it may say another time.
    Unreadable,
}

/// One held record.
#[derive(Debug)]
pub struct Held {
    /// The latest state.
    pub current: Current,
    /// Jobs that rely on the entry.
    pub users: u32,
    /// The last commit that wrote the record; 0 if none did since it is held.
    pub last_commit: CommitId,
    /// Writes that wait for the record to be loaded.
    pub waiting: SmallVec<[JobId; 1]>,
}

/// All held records.
#[derive(Debug, Default)]
pub struct HeldRecords {
    held: FastMap<RecordKey, Held>,
}

impl HeldRecords {
    /// The entry, if the record is held.
    #[must_use]
    pub fn find(&self, key: &RecordKey) -> Option<&Held> {
        self.held.get(key)
    }

    /// The entry, if the record is held.
    pub fn find_mut(&mut self, key: &RecordKey) -> Option<&mut Held> {
        self.held.get_mut(key)
    }

    /// Holds a record for one more job. True if it must be loaded: nobody held it.
    pub fn hold(&mut self, key: &RecordKey) -> bool {
        if let Some(held) = self.held.get_mut(key) {
            held.users += 1;
            return false;
        }
        let held = Held {
            current: Current::Loading,
            users: 1,
            last_commit: 0,
            waiting: SmallVec::new(),
        };
        self.held.insert(key.clone(), held);
        true
    }

    /// Holds for one more job a record that a commit has just written.
    pub fn hold_written(&mut self, key: &RecordKey, record: &Arc<Record>, commit: CommitId) {
        let current = Current::Known(Some(Arc::clone(record)));
        if let Some(held) = self.held.get_mut(key) {
            held.users += 1;
            held.current = current;
            held.last_commit = commit;
            return;
        }
        let held = Held {
            current,
            users: 1,
            last_commit: commit,
            waiting: SmallVec::new(),
        };
        self.held.insert(key.clone(), held);
    }

    /// One job less; the last one lets go of the record.
    pub fn release(&mut self, key: &RecordKey) {
        if let Some(held) = self.held.get_mut(key) {
            held.users -= 1;
            if held.users == 0 {
                self.held.remove(key);
            }
        }
    }

    /// Every entry.
    pub fn iter(&self) -> impl Iterator<Item = (&RecordKey, &Held)> {
        self.held.iter()
    }

    /// How many records are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// True if none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}
