//! What two homes say to one another to find where their records differ. The side that asks holds the state; the other
//! answers each question by itself.

use std::sync::Arc;

use bytes::Bytes;

use crate::bucket::StorageClass;
use crate::causality::Record;
use crate::id::{OpId, PartitionId};
use crate::key::RecordKey;
use crate::storage::Range;

/// Buckets that share trees: as many copies, in the same kind of store (RULINGS 25).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Group {
    /// Copies.
    pub n: u8,
    /// Disk or memory.
    pub class: StorageClass,
}

/// What digests are of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Whole trees; the numbers are partitions.
    Roots,
    /// Blocks of a partition's tree.
    Blocks(PartitionId),
    /// Leaves of a partition's tree.
    Leaves(PartitionId),
}

/// A message of anti-entropy.
#[derive(Clone, PartialEq, Debug)]
pub enum EntropyTalk {
    /// Which of these differ from yours?
    Digests {
        /// Given back.
        op: OpId,
        /// Whose trees.
        group: Group,
        /// What the digests are of.
        level: Level,
        /// By number.
        digests: Vec<(u16, u128)>,
    },
    /// These.
    Differing {
        /// Whose answer it is.
        op: OpId,
        /// Those that differ.
        numbers: Vec<u16>,
        /// Those of which the answering node has not counted its records yet: nothing is known.
        uncounted: Vec<u16>,
    },
    /// These are my records between two names: what of yours differs?
    Keys {
        /// Given back.
        op: OpId,
        /// From where to where.
        range: Range,
        /// Names and hashes, in order.
        entries: Vec<(RecordKey, u128)>,
    },
    /// That.
    Records {
        /// Whose answer it is.
        op: OpId,
        /// The answer covers the range up to this name; `None`: all of it.
        complete_up_to: Option<Bytes>,
        /// Records that the asking node lacks, or holds otherwise.
        records: Vec<(RecordKey, Arc<Record>)>,
        /// Records that the answering node lacks.
        missing: Vec<RecordKey>,
        /// The answering node's store could not read the range.
        failed: bool,
    },
    /// A leaf differs although no record does: count yours again, as I do mine.
    Recount {
        /// Whose tree.
        group: Group,
        /// Of which partition.
        partition: PartitionId,
        /// Which leaf.
        leaf: u16,
    },
}
