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

#[cfg(test)]
mod tests {
    use super::*;

    // Known answers of XXH3-64, seed 0, from the reference implementation (python-xxhash 3).
    #[test]
    fn placement_hashes_are_these_for_ever() {
        assert_eq!(placement_hash("default", b"a"), 0x38fc_cb43_52ff_0db2);
        assert_eq!(placement_hash("redis", b"user:1"), 0xa4e4_a3a0_1fb6_f7b7);
        assert_eq!(placement_hash("default", b""), 0xf3e7_9ee9_9857_e557);
        assert_eq!(placement_hash("redis", b"\0\xff"), 0xb185_044d_9a3b_4d68);
        assert_eq!(placement_hash("default", &[b'x'; 300]), 0x5f34_77fd_fa4d_491d);
        let every_byte: Vec<u8> = (0..=255).cycle().take(2_048).collect();
        assert_eq!(placement_hash(&"b".repeat(64), &every_byte), 0x5e0c_95c3_dbab_9d11);
    }

    #[test]
    fn partitions_are_these_for_ever() {
        assert_eq!(partition_of(0, 256), PartitionId(0));
        assert_eq!(partition_of(0x00ff_ffff_ffff_ffff, 256), PartitionId(0));
        assert_eq!(partition_of(0x0100_0000_0000_0000, 256), PartitionId(1));
        assert_eq!(partition_of(u64::MAX, 256), PartitionId(255));
        assert_eq!(partition_of(u64::MAX, 16_384), PartitionId(16_383));
        assert_eq!(partition_of(u64::MAX, 1), PartitionId(0));
        assert_eq!(partition_of(1 << 63, 3), PartitionId(1));
        assert_eq!(partition_of(0xaaaa_aaaa_aaaa_aaab, 3), PartitionId(2));
    }
}
