//! A bucket: a named set of keys with one mode and one set of defaults. The catalog is the set of all buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::BucketId;
use crate::limits::{SIBLINGS_MAX, VALUE_BYTES_MAX};
use crate::quorum::QuorumSize;

/// The side of CAP that a bucket took at creation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Leaderless: never refuses a write while enough replicas can take it.
    Available,
    /// A Raft group per partition: linearizable, refuses what a majority has not agreed to.
    Consistent,
}

/// What happens to concurrent writes of one key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conflict {
    /// All are kept until a client resolves them.
    Siblings,
    /// The highest hybrid logical clock wins; the others are lost.
    Lww,
}

/// When a write of a bucket counts as done on a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// After its group commit was synced to disk.
    Synced,
    /// Once applied; synced every `sync_interval_ms`.
    Buffered,
}

/// Where a bucket's records live.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum StorageClass {
    /// On disk, hot records cached.
    Disk,
    /// In memory alone: a replicated cache.
    Memory,
}

/// One bucket's definition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// Never reused.
    pub id: BucketId,
    /// `[a-z0-9_-]{1,64}`; placement hashes it.
    pub name: Arc<str>,
    /// Available or consistent.
    pub mode: Mode,
    /// Copies wanted. The ring says how many there are (`Ring::effective_n`): 1 on one node, 2 on two.
    pub n: u8,
    /// Answers awaited by reads that name none.
    pub r: QuorumSize,
    /// Answers awaited by writes that name none.
    pub w: QuorumSize,
    /// Fixed at creation.
    pub conflict: Conflict,
    /// When a write counts.
    pub durability: Durability,
    /// Disk or memory.
    pub storage: StorageClass,
    /// Time to live of writes that name none, in seconds.
    pub ttl_seconds: Option<u64>,
    /// Longest value, in bytes.
    pub value_bytes_max: u32,
    /// Most siblings that a client put may leave.
    pub siblings_max: u32,
}

impl Bucket {
    /// An available bucket with the defaults of `INTERFACES.md`.
    #[must_use]
    pub fn available(id: BucketId, name: &str, conflict: Conflict) -> Self {
        Self {
            id,
            name: name.into(),
            mode: Mode::Available,
            n: 3,
            r: QuorumSize::Quorum,
            w: QuorumSize::Quorum,
            conflict,
            durability: Durability::Synced,
            storage: StorageClass::Disk,
            ttl_seconds: None,
            value_bytes_max: VALUE_BYTES_MAX,
            siblings_max: SIBLINGS_MAX,
        }
    }

    /// What every new cluster has: `default`, `redis` and `strong`, with ids 1, 2 and 3.
    #[must_use]
    pub fn initial() -> Vec<Self> {
        let strong = Self {
            mode: Mode::Consistent,
            ..Self::available(BucketId(3), "strong", Conflict::Lww)
        };
        vec![
            Self::available(BucketId(1), "default", Conflict::Siblings),
            Self::available(BucketId(2), "redis", Conflict::Lww),
            strong,
        ]
    }

    /// True if `name` may name a bucket.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
    }
}

/// All buckets, by id and by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Catalog {
    by_id: BTreeMap<BucketId, Arc<Bucket>>,
    by_name: BTreeMap<Arc<str>, BucketId>,
}

impl Catalog {
    /// A catalog of these buckets. Two with one id or one name: the later replaces the earlier, so `config` refuses them first.
    #[must_use]
    pub fn new(buckets: impl IntoIterator<Item = Bucket>) -> Self {
        let mut catalog = Self::default();
        for bucket in buckets {
            catalog.by_name.insert(bucket.name.clone(), bucket.id);
            catalog.by_id.insert(bucket.id, Arc::new(bucket));
        }
        catalog
    }

    /// The bucket with this id.
    #[must_use]
    pub fn bucket(&self, id: BucketId) -> Option<&Arc<Bucket>> {
        self.by_id.get(&id)
    }

    /// The bucket of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Bucket>> {
        self.by_name.get(name).and_then(|id| self.by_id.get(id))
    }

    /// All buckets, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Bucket>> {
        self.by_id.values()
    }
}
