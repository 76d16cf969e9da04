//! Where a key falls: XXH3-64, seed 0, of `bucket name ‖ 00 ‖ partition key`, frozen for ever. Changing one bit here
//! would move every key of every cluster.

use smallvec::SmallVec;
use twox_hash::XxHash3_64;

use crate::id::PartitionId;

/// The placement hash. Bucket names have no zero byte, so the pair is unambiguous.
#[must_use]
pub fn placement_hash(bucket_name: &str, partition_key: &[u8]) -> u64 {
    let mut bytes: SmallVec<[u8; 256]> = SmallVec::new();
    bytes.extend_from_slice(bucket_name.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(partition_key);
    XxHash3_64::oneshot(&bytes)
}

/// The partition of a hash: the hash space is cut into `partitions` equal slices, in order, so that names sorted by
/// (partition, hash) are sorted by hash.
#[must_use]
pub fn partition_of(hash: u64, partitions: u32) -> PartitionId {
    PartitionId(((u128::from(hash) * u128::from(partitions)) >> 64) as u16)
}
