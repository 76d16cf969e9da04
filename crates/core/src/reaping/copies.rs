//! What reaping must know of this node's copies, and of what it keeps for others.

use std::sync::Arc;

use crate::causality::Lives;
use crate::id::{BucketId, PartitionId};
use crate::key::RecordKey;
use crate::site::Site;
use crate::time::{Hlc, Time};

/// See the module. The node is where these meet.
pub trait Copies {
    /// The bucket's copy can't be relied on.
    fn is_rebuilding(&self, bucket: BucketId) -> bool;
    /// A read or write of the record is under way.
    fn is_busy_with(&self, key: &RecordKey) -> bool;
    /// No read or write is under way.
    fn is_idle(&self) -> bool;
    /// Everything of the key's partition and bucket up to this is gone.
    fn cleared_at(&self, key: &RecordKey) -> Hlc;
    /// Nothing of a partition is kept for others, and what was sent of it is older than this, in milliseconds.
    fn is_clear_of_hints(&self, partition: PartitionId, age_ms: u64, now: Time) -> bool;
    /// Folds the contexts of records that still hash to this.
    fn fold(&mut self, records: Vec<(RecordKey, u128)>, lives: &Arc<Lives>, site: &mut Site);
    /// Removes records that still hash to this.
    fn reap(&mut self, records: Vec<(RecordKey, u128)>, site: &mut Site);
}
