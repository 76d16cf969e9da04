//! A Merkle tree over one partition's records: 4,096 leaves, each the XOR of the hashes of the records in one slice of the
//! partition's placement hashes (RULINGS 25); so are blocks and the root: a write costs three XORs, a question none. A
//! record's hash covers its key, so no two leaves hold the same hash. Slices of placement hashes lie together on disk, so
//! listing a leaf is one short scan for each bucket; the price is that all sort keys of one key share a leaf.
//!
//! ```text
//! root ── 64 blocks ── 64 leaves each        leaf = fraction of the hash within its partition × 4,096
//! ```

use bytes::Bytes;

use crate::id::{BucketId, PartitionId};
use crate::key::RecordKey;

/// Leaves of a tree.
pub const LEAVES: u16 = 4_096;
/// Leaves of a block, and blocks of a tree.
pub const FANOUT: u16 = 64;

/// See the module. A block that never held a record takes no memory.
#[derive(Clone, Debug)]
pub struct Tree {
    leaves: Vec<Option<Box<[u128; FANOUT as usize]>>>,
    blocks: [u128; FANOUT as usize],
    root: u128,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            leaves: vec![None; usize::from(FANOUT)],
            blocks: [0; FANOUT as usize],
            root: 0,
        }
    }
}

impl Tree {
    /// Adds or removes what hashes to `hash`.
    pub fn toggle(&mut self, leaf: u16, hash: u128) {
        if hash == 0 {
            return;
        }
        let block = usize::from(leaf / FANOUT);
        let leaves = self.leaves[block].get_or_insert_with(|| Box::new([0; FANOUT as usize]));
        leaves[usize::from(leaf % FANOUT)] ^= hash;
        self.blocks[block] ^= hash;
        self.root ^= hash;
    }

    /// A leaf.
    #[must_use]
    pub fn leaf(&self, leaf: u16) -> u128 {
        self.leaves[usize::from(leaf / FANOUT)]
            .as_ref()
            .map_or(0, |leaves| leaves[usize::from(leaf % FANOUT)])
    }

    /// Leaves that hold a record.
    #[must_use]
    pub fn full_leaves(&self) -> usize {
        let leaves = self.leaves.iter().flatten().flat_map(|block| block.iter());
        leaves.filter(|&&leaf| leaf != 0).count()
    }

    /// All records of a block's leaves.
    #[must_use]
    pub fn block(&self, block: u16) -> u128 {
        self.blocks[usize::from(block)]
    }

    /// All records.
    #[must_use]
    pub fn root(&self) -> u128 {
        self.root
    }
}

/// The leaf of a record in a ring of so many partitions. A partition's own record, whose hash is 0, is in the first.
#[must_use]
pub fn leaf_of(key: &RecordKey, partitions: u32) -> u16 {
    let fraction = (u128::from(key.hash64()) * u128::from(partitions)) as u64;
    (fraction >> 52) as u16
}

/// The names of a leaf's records in one bucket: from the first included to the second excluded.
#[must_use]
pub fn names_of_leaf(partition: PartitionId, bucket: BucketId, leaf: u16, partitions: u32) -> (Bytes, Bytes) {
    let start = if leaf == 0 {
        RecordKey::range_start(partition, bucket)
    } else {
        RecordKey::hash_start(partition, bucket, first_hash(partition, leaf, partitions))
    };
    let end = if leaf + 1 == LEAVES {
        end_of_bucket(partition, bucket)
    } else {
        RecordKey::hash_start(partition, bucket, first_hash(partition, leaf + 1, partitions))
    };
    (start, end)
}

/// The first name after all of a partition's records of a bucket.
#[must_use]
pub fn end_of_bucket(partition: PartitionId, bucket: BucketId) -> Bytes {
    // The last bucket id names no bucket (`COPIES_KNOWN`).
    RecordKey::range_start(partition, BucketId(bucket.0.saturating_add(1)))
}

fn first_hash(partition: PartitionId, leaf: u16, partitions: u32) -> u64 {
    let scaled = (u128::from(partition.0) << 64) + (u128::from(leaf) << 52);
    scaled.div_ceil(u128::from(partitions)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ring::partition_of;

    #[test]
    fn what_is_added_and_removed_leaves_no_trace() {
        let mut tree = Tree::default();
        assert_eq!(tree.root(), 0);
        tree.toggle(7, 0xabc);
        let root = tree.root();
        assert_ne!(root, 0);
        tree.toggle(4_095, 0xdef);
        assert_ne!(tree.root(), root);
        assert_eq!(tree.full_leaves(), 2);
        tree.toggle(4_095, 0xdef);
        assert_eq!(tree.root(), root);
        tree.toggle(7, 0xabc);
        assert_eq!((tree.root(), tree.block(0), tree.leaf(7)), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn a_record_lies_between_the_names_of_its_leaf(hash: u64, partitions in 1_u32..=16_384) {
            let partition = partition_of(hash, partitions);
            let key = RecordKey::new(partition, BucketId(3), hash, b"k", b"s");
            let leaf = leaf_of(&key, partitions);
            prop_assert!(leaf < LEAVES);
            let (start, end) = names_of_leaf(partition, BucketId(3), leaf, partitions);
            prop_assert!(key.as_bytes() >= &start[..] && key.as_bytes() < &end[..]);
        }
    }

    #[test]
    fn a_partitions_own_record_is_in_its_first_leaf() {
        let head = RecordKey::partition_head(PartitionId(200), BucketId(3));
        let (start, end) = names_of_leaf(PartitionId(200), BucketId(3), leaf_of(&head, 256), 256);
        assert!(head.as_bytes() >= &start[..] && head.as_bytes() < &end[..]);
    }
}
