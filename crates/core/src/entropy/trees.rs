//! This node's trees: kept up to date by every commit once it is durable, and counted from the store where they are not
//! known: after a boot, after a damaged record was replaced, after a file was given up. Counting goes page by page while
//! writes go on, and is exact: what was being written while a page was read counts as it is when the page has come.
//!
//! ```text
//! uncounted ──scan, page by page──▶ counted ──commit durable: leaf ^= h(old) ^ h(new)──▶ counted
//!     ▲──────── forgotten ─────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::bucket::{Bucket, Catalog, Mode};
use crate::causality::Record;
use crate::causality::codec::record_hash;
use crate::entropy::checkpoint;
use crate::entropy::talk::Group;
use crate::entropy::tree::{Tree, end_of_bucket, leaf_of, names_of_leaf};
use crate::id::{BucketId, CommitId, NodeId, PartitionId};
use crate::key::RecordKey;
use crate::mutants::{Mutant, active};
use crate::ring::Ring;
use crate::storage::{Page, Range};

/// Names one tree of this node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TreeId {
    /// The partition.
    pub partition: PartitionId,
    /// The buckets.
    pub group: Group,
}

/// What a commit changes of a tree.
#[derive(Clone, Debug)]
pub struct Delta {
    id: TreeId,
    leaf: u16,
    key: RecordKey,
    /// `None`: the old record was damaged, nobody knows what it hashed to.
    old: Option<u128>,
    new: u128,
}

/// A tree, or one leaf of it, being counted.
#[derive(Debug)]
struct Count {
    id: TreeId,
    leaf: Option<u16>,
    sums: Tree,
    /// Buckets after the one that is being read.
    buckets: Vec<BucketId>,
    range: Range,
    /// Records written while the page is being read, as they are durably.
    touched: Option<BTreeMap<RecordKey, u128>>,
    /// A damaged record in what was counted already was replaced.
    is_spoiled: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Trees {
    counted: BTreeMap<TreeId, Tree>,
    uncounted: BTreeSet<TreeId>,
    stale: BTreeSet<(TreeId, u16)>,
    groups: BTreeMap<BucketId, Group>,
    pending: BTreeMap<CommitId, SmallVec<[Delta; 1]>>,
    count: Option<Count>,
    partitions: u32,
    corrected: u64,
}

impl Trees {
    /// The trees of a node that has just started: nothing is counted. A partition without other homes has none.
    #[must_use]
    pub fn new(node: NodeId, ring: &Ring, catalog: &Catalog) -> Self {
        let mut trees = Self {
            partitions: ring.partitions(),
            ..Self::default()
        };
        for bucket in catalog.iter() {
            if bucket.mode != Mode::Available || ring.effective_n(bucket.n) < 2 {
                continue;
            }
            let group = group_of(bucket);
            trees.groups.insert(bucket.id, group);
            for partition in ring.partitions_of(node, bucket.n) {
                trees.uncounted.insert(TreeId { partition, group });
            }
        }
        trees
    }

    /// What is known, to be kept over a clean stop: nothing is in flight.
    #[must_use]
    pub fn checkpoint(&self) -> Vec<u8> {
        let is_counted_anew = |id: &TreeId| self.count.as_ref().is_some_and(|count| count.id == *id);
        let is_sure = |id: &TreeId| !is_counted_anew(id) && !self.stale.iter().any(|stale| stale.0 == *id);
        checkpoint::encode(self.counted.iter().filter(|entry| is_sure(entry.0)))
    }

    /// What was kept over a clean stop need not be counted.
    pub fn restore(&mut self, kept: &[u8]) {
        for (id, tree) in checkpoint::decode(kept).into_iter().flatten() {
            if self.uncounted.remove(&id) {
                self.counted.insert(id, tree);
            }
        }
    }

    /// The group of a bucket whose records are compared.
    #[must_use]
    pub fn group(&self, bucket: BucketId) -> Option<Group> {
        self.groups.get(&bucket).copied()
    }

    /// All groups.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<Group> {
        self.groups.values().copied().collect()
    }

    /// The buckets of a group, in order.
    #[must_use]
    pub fn buckets(&self, group: Group) -> Vec<BucketId> {
        let of_group = self.groups.iter().filter(|entry| *entry.1 == group);
        of_group.map(|entry| *entry.0).collect()
    }

    /// A tree; `None` if it is not counted.
    pub fn find(&mut self, id: TreeId) -> Option<&mut Tree> {
        self.counted.get_mut(&id)
    }

    /// Trees that are counted, and all.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        let counted = self.counted.len();
        (counted, counted + self.uncounted.len())
    }

    /// Leaves that a count found other than they were kept.
    #[must_use]
    pub fn corrected(&self) -> u64 {
        self.corrected
    }

    /// What a commit changes, if the record is compared with other homes. `new` of `None`: it is removed.
    #[must_use]
    pub fn delta(&self, key: &RecordKey, old: Option<Option<&Record>>, new: Option<&Record>) -> Option<Delta> {
        let group = self.group(key.bucket())?;
        if active(Mutant::LeafForgetsDeletes) && new.is_some_and(Record::is_tombstone) {
            return None;
        }
        Some(Delta {
            id: TreeId {
                partition: key.partition(),
                group,
            },
            leaf: leaf_of(key, self.partitions),
            key: key.clone(),
            old: old.map(|old| old.map_or(0, |old| record_hash(key, old))),
            new: new.map_or(0, |new| record_hash(key, new)),
        })
    }

    /// A commit is asked for.
    pub fn on_asked(&mut self, commit: CommitId, deltas: SmallVec<[Delta; 1]>) {
        if deltas.is_empty() {
            return;
        }
        if let Some(count) = &mut self.count {
            for delta in &deltas {
                count.touch(delta);
            }
        }
        self.pending.insert(commit, deltas);
    }

    /// A commit is durable, or has failed.
    pub fn on_answered(&mut self, commit: CommitId, is_durable: bool) {
        let Some(deltas) = self.pending.remove(&commit) else {
            return;
        };
        if !is_durable {
            return;
        }
        for delta in deltas {
            if let Some(count) = &mut self.count {
                count.apply(&delta);
            }
            let Some(tree) = self.counted.get_mut(&delta.id) else {
                continue;
            };
            match delta.old {
                Some(old) => tree.toggle(delta.leaf, old ^ delta.new),
                None => {
                    self.stale.insert((delta.id, delta.leaf));
                }
            }
        }
    }

    /// A leaf is to be counted again.
    pub fn recount(&mut self, id: TreeId, leaf: u16) {
        if self.counted.contains_key(&id) {
            self.stale.insert((id, leaf));
        }
    }

    /// What the trees say of a bucket is no more: they are counted again.
    pub fn forget(&mut self, bucket: BucketId) {
        let Some(group) = self.group(bucket) else { return };
        let ids: Vec<TreeId> = self.counted.keys().copied().filter(|id| id.group == group).collect();
        for id in ids {
            self.counted.remove(&id);
            self.uncounted.insert(id);
        }
        self.stale.retain(|entry| entry.0.group != group);
        if let Some(count) = &mut self.count
            && count.id.group == group
        {
            count.is_spoiled = true;
        }
    }

    /// True if something is to be counted.
    #[must_use]
    pub fn is_counting(&self) -> bool {
        self.count.is_some() || !self.uncounted.is_empty() || !self.stale.is_empty()
    }

    /// The next page to read for a count; `None` if there is nothing to count or a page is being read.
    pub fn next_page(&mut self) -> Option<(Range, Group)> {
        if self.count.is_none() {
            let stale = self.stale.pop_first().map(|(id, leaf)| (id, Some(leaf)));
            let (id, leaf) = stale.or_else(|| self.uncounted.first().map(|id| (*id, None)))?;
            let buckets = self.buckets(id.group);
            self.count = Count::begin(id, leaf, buckets, self.partitions);
        }
        let count = self.count.as_mut().filter(|count| count.touched.is_none())?;
        count.touched = Some(BTreeMap::new());
        for delta in self.pending.values().flatten() {
            count.touch(delta);
        }
        Some((count.range.clone(), count.id.group))
    }

    /// The page has come; `None`: it could not be read.
    pub fn on_page(&mut self, page: Option<&Page>) {
        let Some(mut count) = self.count.take() else { return };
        let Some(touched) = count.touched.take() else { return };
        let Some(page) = page else {
            self.count = Some(count);
            return;
        };
        for (key, record) in &page.records {
            if !touched.contains_key(key) {
                count
                    .sums
                    .toggle(leaf_of(key, self.partitions), record_hash(key, record));
            }
        }
        let end = page.next.as_ref().or(count.range.end.as_ref());
        for (key, hash) in touched {
            if end.is_none_or(|end| key.as_bytes() < &end[..]) {
                count.sums.toggle(leaf_of(&key, self.partitions), hash);
            }
        }
        if let Some(next) = &page.next {
            count.range.start = next.clone();
        } else if !count.next_bucket(self.partitions) {
            self.end(count);
            return;
        }
        self.count = Some(count);
    }

    fn end(&mut self, count: Count) {
        if count.is_spoiled {
            if let Some(leaf) = count.leaf {
                self.recount(count.id, leaf);
            }
            return;
        }
        match count.leaf {
            None => {
                self.uncounted.remove(&count.id);
                self.counted.insert(count.id, count.sums);
            }
            Some(leaf) => {
                if let Some(tree) = self.counted.get_mut(&count.id) {
                    let difference = tree.leaf(leaf) ^ count.sums.leaf(leaf);
                    self.corrected += u64::from(difference != 0);
                    tree.toggle(leaf, difference);
                }
            }
        }
    }
}

impl Count {
    fn begin(id: TreeId, leaf: Option<u16>, mut buckets: Vec<BucketId>, partitions: u32) -> Option<Self> {
        buckets.reverse();
        let mut count = Self {
            id,
            leaf,
            sums: Tree::default(),
            buckets,
            range: Range {
                bucket: BucketId(0),
                start: Bytes::new(),
                end: None,
            },
            touched: None,
            is_spoiled: false,
        };
        count.next_bucket(partitions).then_some(count)
    }

    /// Turns to the next bucket; false if there is none.
    fn next_bucket(&mut self, partitions: u32) -> bool {
        let Some(bucket) = self.buckets.pop() else { return false };
        let partition = self.id.partition;
        let (start, end) = match self.leaf {
            Some(leaf) => names_of_leaf(partition, bucket, leaf, partitions),
            None => (
                RecordKey::range_start(partition, bucket),
                end_of_bucket(partition, bucket),
            ),
        };
        self.range = Range {
            bucket,
            start,
            end: Some(end),
        };
        true
    }

    fn concerns(&self, delta: &Delta) -> bool {
        self.id == delta.id && self.leaf.is_none_or(|leaf| leaf == delta.leaf)
    }

    fn is_counted(&self, key: &RecordKey) -> bool {
        key.as_bytes() < &self.range.start[..]
    }

    /// A record may change while the page is read: whichever state the page shows, it counts as it is durably.
    fn touch(&mut self, delta: &Delta) {
        if !self.concerns(delta) || self.is_counted(&delta.key) {
            return;
        }
        if let Some(touched) = &mut self.touched {
            touched.entry(delta.key.clone()).or_insert(delta.old.unwrap_or(0));
        }
    }

    fn apply(&mut self, delta: &Delta) {
        if !self.concerns(delta) {
            return;
        }
        let old = delta.old.unwrap_or(0);
        if self.is_counted(&delta.key) {
            self.is_spoiled |= delta.old.is_none();
            self.sums.toggle(delta.leaf, old ^ delta.new);
        } else if let Some(hash) = self.touched.as_mut().and_then(|touched| touched.get_mut(&delta.key)) {
            // Answers of buffered and synced commits may come out of order; differences do not mind.
            *hash ^= old ^ delta.new;
        }
    }
}

/// The group of a bucket.
#[must_use]
pub fn group_of(bucket: &Bucket) -> Group {
    Group {
        n: bucket.n,
        class: bucket.storage,
    }
}
