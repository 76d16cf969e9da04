//! The name of a record, in the one form used in memory, on the wire and on disk. Its bytes sort in the order in which
//! listings, Merkle exchange and scrub walk the data (RULINGS 28):
//!
//! ```text
//! | partition u16 BE | bucket u32 BE | placement hash u64 BE | partition key, escaped | 00 01 | sort key |
//! ```
//!
//! In the partition key `00` is written `00 FF`, so that `00 01` ends it and the order stays that of the bytes.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::id::{BucketId, PartitionId};
use crate::limits::{PARTITION_KEY_BYTES_MAX, SORT_KEY_BYTES_MAX};

const FIXED_BYTES: usize = 14;
const END: [u8; 2] = [0x00, 0x01];

/// The first byte of the sort key under which a field of a Redis hash lives (RULINGS 8).
pub const FIELD_PREFIX: u8 = 0x01;

/// Names up to this length are kept in place: they are cloned, hashed and compared without following a pointer.
const IN_PLACE_BYTES: usize = 40;

/// A record's name: partition, bucket, placement hash, partition key and sort key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordKey(SmallVec<[u8; IN_PLACE_BYTES]>);

impl RecordKey {
    /// Builds the name; `hash` is the placement hash and `partition` the partition that it falls into.
    #[must_use]
    pub fn new(partition: PartitionId, bucket: BucketId, hash: u64, partition_key: &[u8], sort_key: &[u8]) -> Self {
        let zeros = partition_key.iter().filter(|&&byte| byte == 0).count();
        let length = FIXED_BYTES + partition_key.len() + zeros + END.len() + sort_key.len();
        let mut bytes = SmallVec::with_capacity(length);
        push_fixed(&mut bytes, partition, bucket, hash);
        if zeros == 0 {
            bytes.extend_from_slice(partition_key);
        } else {
            for &byte in partition_key {
                bytes.push(byte);
                if byte == 0 {
                    bytes.push(0xff);
                }
            }
        }
        bytes.extend_from_slice(&END);
        bytes.extend_from_slice(sort_key);
        Self(bytes)
    }

    /// Checks bytes that came from a disk or another node.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < FIXED_BYTES + END.len() || bytes.len() > Self::BYTES_MAX {
            return None;
        }
        end_of_partition_key(bytes)?;
        Some(Self(SmallVec::from_slice(bytes)))
    }

    /// The longest legal name, in bytes: every byte of the partition key escaped.
    pub const BYTES_MAX: usize = FIXED_BYTES + 2 * PARTITION_KEY_BYTES_MAX + 2 + SORT_KEY_BYTES_MAX + 1;

    /// The whole name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The whole name, copied.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }

    /// The partition that holds the record.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        PartitionId(u16::from_be_bytes([self.0[0], self.0[1]]))
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> BucketId {
        BucketId(u32::from_be_bytes([self.0[2], self.0[3], self.0[4], self.0[5]]))
    }

    /// The placement hash.
    #[must_use]
    pub fn hash64(&self) -> u64 {
        u64::from_be_bytes(self.0[6..14].try_into().expect("eight bytes"))
    }

    /// The partition key as the client wrote it.
    #[must_use]
    pub fn partition_key(&self) -> Cow<'_, [u8]> {
        let escaped = &self.0[FIXED_BYTES..self.group_end() - END.len()];
        if !escaped.contains(&0) {
            return Cow::Borrowed(escaped);
        }
        let mut plain = Vec::with_capacity(escaped.len());
        let mut after_zero = false;
        for &byte in escaped {
            if !after_zero {
                plain.push(byte);
            }
            after_zero = byte == 0 && !after_zero;
        }
        Cow::Owned(plain)
    }

    /// The sort key; empty for the key itself.
    #[must_use]
    pub fn sort_key(&self) -> &[u8] {
        &self.0[self.group_end()..]
    }

    /// The sort key, copied.
    #[must_use]
    pub fn sort_key_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.sort_key())
    }

    /// The part that all sort keys of one partition key share.
    #[must_use]
    pub fn group(&self) -> &[u8] {
        &self.0[..self.group_end()]
    }

    /// The name of another sort key under the same partition key.
    #[must_use]
    pub fn with_sort_key(&self, sort_key: &[u8]) -> Self {
        let group = self.group();
        let mut bytes = SmallVec::with_capacity(group.len() + sort_key.len());
        bytes.extend_from_slice(group);
        bytes.extend_from_slice(sort_key);
        Self(bytes)
    }

    /// The name of the partition's own record in `bucket`, which holds what concerns all of it (`cleared_at` of
    /// FLUSHDB). Its partition key is empty, which no client's can be.
    #[must_use]
    pub fn partition_head(partition: PartitionId, bucket: BucketId) -> Self {
        Self::new(partition, bucket, 0, &[], &[])
    }

    /// True for the name that [`RecordKey::partition_head`] builds.
    #[must_use]
    pub fn is_partition_head(&self) -> bool {
        self.0.len() == FIXED_BYTES + END.len() && self.0[6..] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    }

    /// True for a field of a Redis hash.
    #[must_use]
    pub fn is_field(&self) -> bool {
        self.sort_key().first() == Some(&FIELD_PREFIX)
    }

    /// The first name of a partition of a bucket, for range reads.
    #[must_use]
    pub fn range_start(partition: PartitionId, bucket: BucketId) -> Bytes {
        let mut bytes = SmallVec::<[u8; IN_PLACE_BYTES]>::new();
        push_fixed(&mut bytes, partition, bucket, 0);
        Bytes::copy_from_slice(&bytes[..6])
    }

    /// The first name of a bucket's records in a partition whose placement hash is `hash` or more.
    #[must_use]
    pub fn hash_start(partition: PartitionId, bucket: BucketId, hash: u64) -> Bytes {
        let mut bytes = SmallVec::<[u8; IN_PLACE_BYTES]>::new();
        push_fixed(&mut bytes, partition, bucket, hash);
        Bytes::copy_from_slice(&bytes)
    }

    fn group_end(&self) -> usize {
        end_of_partition_key(&self.0).expect("checked when the name was made")
    }
}

fn push_fixed(bytes: &mut SmallVec<[u8; IN_PLACE_BYTES]>, partition: PartitionId, bucket: BucketId, hash: u64) {
    bytes.extend_from_slice(&partition.0.to_be_bytes());
    bytes.extend_from_slice(&bucket.0.to_be_bytes());
    bytes.extend_from_slice(&hash.to_be_bytes());
}

/// The offset just after the `00 01` that ends the partition key.
fn end_of_partition_key(bytes: &[u8]) -> Option<usize> {
    let mut at = FIXED_BYTES;
    while at + 1 < bytes.len() {
        match (bytes[at], bytes[at + 1]) {
            (0, 1) => return Some(at + 2),
            (0, 0xff) => at += 2,
            (0, _) => return None,
            _ => at += 1,
        }
    }
    None
}

/// The smallest byte string above every string that starts with `prefix`; `None` if there is none.
#[must_use]
pub fn after_prefix(prefix: &[u8]) -> Option<Bytes> {
    let kept = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut bytes = prefix[..=kept].to_vec();
    bytes[kept] += 1;
    Some(Bytes::from(bytes))
}

impl Hash for RecordKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.partition_key();
        write!(f, "p{}/b{}/{}", self.partition().0, self.bucket().0, key.escape_ascii())?;
        if !self.sort_key().is_empty() {
            write!(f, "/{}", self.sort_key().escape_ascii())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(partition_key: &[u8], sort_key: &[u8]) -> RecordKey {
        RecordKey::new(
            PartitionId(3),
            BucketId(7),
            0x0102_0304_0506_0708,
            partition_key,
            sort_key,
        )
    }

    #[test]
    fn a_name_has_these_bytes_for_ever() {
        let name = key(b"a\0b", b"s");
        assert_eq!(
            name.as_bytes(),
            b"\0\x03\0\0\0\x07\x01\x02\x03\x04\x05\x06\x07\x08a\0\xffb\0\x01s"
        );
    }

    #[test]
    fn a_partition_head_is_told_apart_from_every_client_key() {
        assert!(RecordKey::partition_head(PartitionId(9), BucketId(2)).is_partition_head());
        assert!(!key(b"\0", b"").is_partition_head());
        assert!(!key(b"a", b"").is_partition_head());
    }

    proptest! {
        #[test]
        fn a_name_gives_back_its_parts(pk in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(255), any::<u8>()], 1..40),
                                       sort in proptest::collection::vec(any::<u8>(), 0..20)) {
            let name = RecordKey::from_bytes(key(&pk, &sort).as_bytes()).expect("legal");
            let plain = name.partition_key().into_owned();
            prop_assert_eq!(&plain, &pk);
            prop_assert_eq!(name.sort_key(), &sort[..]);
            prop_assert_eq!(name.partition(), PartitionId(3));
            prop_assert_eq!(name.bucket(), BucketId(7));
            prop_assert_eq!(name.hash64(), 0x0102_0304_0506_0708);
        }

        #[test]
        fn names_sort_by_partition_key_then_sort_key(a in proptest::collection::vec(0_u8..3, 1..5), b in proptest::collection::vec(0_u8..3, 1..5),
                                                     s in proptest::collection::vec(any::<u8>(), 0..3), t in proptest::collection::vec(any::<u8>(), 0..3)) {
            prop_assert_eq!(key(&a, &s).cmp(&key(&b, &t)), (&a, &s).cmp(&(&b, &t)));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..60)) {
            if let Some(name) = RecordKey::from_bytes(&bytes) {
                let _ = (name.partition_key(), name.sort_key(), name.group(), format!("{name:?}"));
            }
        }
    }
}
