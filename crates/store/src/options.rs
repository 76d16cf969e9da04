//! How a store is opened.

use std::path::PathBuf;
use std::time::Duration;

use torc_core::message::RingEpoch;

/// What [`crate::Store::open`] needs to know.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The data directory; created if it is missing. Other files may live in it.
    pub dir: PathBuf,
    /// The cluster's name; a directory of another cluster is refused.
    pub cluster: String,
    /// This node's name; a directory of another node is refused.
    pub node: String,
    /// What places data: a directory written under another ring is refused (RULINGS 21, 31).
    pub epoch: RingEpoch,
    /// The same for people: both descriptions are shown when they differ.
    pub ring_description: String,
    /// One budget for record cache, block cache, memtables and `memory` buckets, in bytes.
    pub memory_bytes_max: u64,
    /// How often `buffered` commits are synced.
    pub sync_interval: Duration,
    /// Below this much free space the store reports itself full.
    pub free_space_bytes_min: u64,
}
