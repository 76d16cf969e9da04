//! What nodes say to one another before records are forgotten. The first home of a partition asks; the others answer each
//! question by itself, but for what they have pinned.

use crate::causality::Lives;
use crate::id::{BucketId, Life, OpId, PartitionId};
use crate::key::RecordKey;

/// A message of reaping.
#[derive(Clone, PartialEq, Debug)]
pub enum ReapTalk {
    /// Do you hold exactly these, durably, and no field under a head among them?
    Ask {
        /// Given back.
        op: OpId,
        /// Of one partition.
        partition: PartitionId,
        /// Of one bucket.
        bucket: BucketId,
        /// Above 0: pin them under this generation, which you have durably before you answer.
        generation: u64,
        /// Names and hashes.
        entries: Vec<(RecordKey, u128)>,
    },
    /// I do, but for some.
    Answer {
        /// Whose answer it is.
        op: OpId,
        /// Which are held otherwise, or not for sure, by their place in the question.
        differing: Vec<u16>,
        /// This copy can't be relied on now: nothing was pinned.
        unable: bool,
        /// The highest generation that this home has.
        generation: u64,
        /// This home's life, unless an earlier one may still go on.
        life: Option<Life>,
    },
    /// Do you keep, or have you lately sent, anything of this partition for a home that was away?
    Outstanding {
        /// Given back.
        op: OpId,
        /// The partition.
        partition: PartitionId,
        /// The bucket.
        bucket: BucketId,
        /// Have this durably before you say that you do not: an older disk of yours may.
        generation: u64,
    },
    /// That.
    Clear {
        /// Whose answer it is.
        op: OpId,
        /// Nothing is kept, and what was sent can't be taken any more.
        is_clear: bool,
        /// As in an answer.
        life: Option<Life>,
    },
    /// All homes have pinned: forget what is still exactly that.
    Reap {
        /// The partition.
        partition: PartitionId,
        /// The bucket.
        bucket: BucketId,
        /// Under which all have pinned.
        generation: u64,
        /// What one of them could not pin, by its place in the question.
        spared: Vec<u16>,
    },
    /// The same, of records that live on: take the entries of lives that are over out of their contexts.
    Fold {
        /// The partition.
        partition: PartitionId,
        /// The bucket.
        bucket: BucketId,
        /// Under which all have pinned.
        generation: u64,
        /// What one of them could not pin, by its place in the question.
        spared: Vec<u16>,
        /// Who lives which life, as each has said after it held the records as they are.
        lives: Lives,
    },
}
