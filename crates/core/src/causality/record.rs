//! What a replica holds for one key, in either kind of bucket.

use crate::causality::{LwwRecord, Payload, SiblingsRecord};
use crate::time::Hlc;

/// A whole record; replication always sends all of it (RULINGS 1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// Of a `siblings` bucket.
    Siblings(SiblingsRecord),
    /// Of an `lww` bucket.
    Lww(LwwRecord),
}

/// Two records of one key are of different kinds: the bucket's conflict policy is fixed at creation, so one of them is
/// damaged or meant for another bucket. Nothing was merged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a siblings record and a last-writer-wins record of the same key cannot be merged")]
pub struct KindMismatch;

impl Record {
    /// Merges `other` into this record.
    ///
    /// # Errors
    /// [`KindMismatch`]; nothing was changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), KindMismatch> {
        match (self, other) {
            (Self::Siblings(mine), Self::Siblings(theirs)) => mine.merge(theirs),
            (Self::Lww(mine), Self::Lww(theirs)) => mine.merge(theirs),
            (Self::Siblings(_), Self::Lww(_)) | (Self::Lww(_), Self::Siblings(_)) => return Err(KindMismatch),
        }
        Ok(())
    }

    /// The highest clock in the record.
    #[must_use]
    pub fn highest_hlc(&self) -> Hlc {
        match self {
            Self::Siblings(record) => record
                .siblings
                .iter()
                .map(|sibling| sibling.1.written_at)
                .max()
                .unwrap_or(Hlc::ZERO),
            Self::Lww(record) => record.highest(),
        }
    }

    /// Approximate bytes in memory and on the wire, for budgets.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Siblings(record) => {
                let versions: usize = record
                    .siblings
                    .iter()
                    .map(|sibling| sibling.1.payload.bytes() + 64)
                    .sum();
                let moments = 24 * record.growth.as_slice().len();
                versions + 32 * record.seen.entries() + 96 * record.marks.as_slice().len() + moments + 96
            }
            Self::Lww(record) => record.payload.bytes() + 96 * record.marks.as_slice().len() + 128,
        }
    }

    /// The last-writer-wins registers.
    #[must_use]
    pub fn as_lww(&self) -> Option<&LwwRecord> {
        match self {
            Self::Lww(record) => Some(record),
            Self::Siblings(_) => None,
        }
    }

    /// The siblings.
    #[must_use]
    pub fn as_siblings(&self) -> Option<&SiblingsRecord> {
        match self {
            Self::Siblings(record) => Some(record),
            Self::Lww(_) => None,
        }
    }

    /// True if no version holds a value or hash head (expiry aside).
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        match self {
            Self::Siblings(record) => record
                .siblings
                .iter()
                .all(|sibling| matches!(sibling.1.payload, Payload::Tombstone)),
            Self::Lww(record) => matches!(record.payload, Payload::Tombstone),
        }
    }
}
