//! The stored form of a record: what is on disk, in frames between nodes and in Merkle hashes. Canonical: equal records
//! have equal bytes, and bytes that are not the one form of a record are refused.
//!
//! ```text
//! | version u8 | form u8 | body (v1, v2) | CRC32C u32 LE of everything before |
//! ```
//!
//! Version 2 is that of siblings records that say when their entries grew, and of no others: a record has one version.

use bytes::Bytes;
use twox_hash::XxHash3_128;

use crate::causality::Record;
use crate::cursor::{Malformed, crc32c};
use crate::key::RecordKey;

pub(crate) mod v1;
mod v2;

/// The version of a record without moments of growth.
pub const VERSION: u8 = 1;
/// The version of a record with them.
pub const VERSION_TIMED: u8 = 2;
const CHECKSUM_BYTES: usize = 4;

/// Why bytes are no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CodecError {
    /// The checksum does not match: the bytes are not what was written.
    #[error("the record's checksum does not match")]
    BadChecksum,
    /// Written by a version of Torc that this one does not know.
    #[error("the record has version {0}, which this node does not know")]
    BadVersion(u8),
    /// The checksum matches, but this is not the form of a record: whoever wrote it has a bug.
    #[error("the record is malformed")]
    Malformed,
}

impl From<Malformed> for CodecError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// The stored form of `record`.
#[must_use]
pub fn encode(record: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(v1::bytes_expected(record));
    append(record, &mut out);
    out
}

/// Appends the stored form of `record` to `out`.
pub fn encode_into(record: &Record, out: &mut Vec<u8>) {
    out.reserve(v1::bytes_expected(record));
    append(record, out);
}

/// Reads a stored form. Values are slices of `bytes` and keep all of it in memory: who keeps a record for long copies
/// them first.
///
/// # Errors
/// [`CodecError`]: the record is unknown, which is not the same as absent (RULINGS 19).
pub fn decode(bytes: &Bytes) -> Result<Record, CodecError> {
    let version = *bytes.first().ok_or(CodecError::Malformed)?;
    if version != VERSION && version != VERSION_TIMED {
        return Err(CodecError::BadVersion(version));
    }
    let end = bytes
        .len()
        .checked_sub(CHECKSUM_BYTES)
        .filter(|&end| end >= 2)
        .ok_or(CodecError::Malformed)?;
    if crc32c(&bytes[..end]).to_le_bytes() != bytes[end..] {
        return Err(CodecError::BadChecksum);
    }
    if version == VERSION_TIMED {
        return Ok(Record::Siblings(v2::read(bytes, end)?));
    }
    Ok(v1::read(bytes, end)?)
}

/// What a Merkle leaf XORs (RULINGS 25): XXH3-128 of `bucket id u32 LE ‖ length of the name u32 LE ‖ name ‖ stored form`.
/// Frozen for ever: two nodes that hashed differently would repair one another without end.
#[must_use]
pub fn record_hash(key: &RecordKey, record: &Record) -> u128 {
    let mut bytes = Vec::with_capacity(8 + key.as_bytes().len() + v1::bytes_expected(record));
    bytes.extend_from_slice(&key.bucket().0.to_le_bytes());
    bytes.extend_from_slice(&(key.as_bytes().len() as u32).to_le_bytes());
    bytes.extend_from_slice(key.as_bytes());
    append(record, &mut bytes);
    XxHash3_128::oneshot(&bytes)
}

fn append(record: &Record, out: &mut Vec<u8>) {
    let start = out.len();
    match record {
        Record::Siblings(timed) if !timed.growth.is_empty() => {
            out.push(VERSION_TIMED);
            v2::push(timed, out);
        }
        Record::Siblings(_) | Record::Lww(_) => {
            out.push(VERSION);
            v1::push(record, out);
        }
    }
    let checksum = crc32c(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::causality::arbitrary::{record, record_key};
    use crate::causality::{
        Context, Dot, Expiry, LwwRecord, Payload, RequestMark, SiblingsRecord, Stamp, Value, Version,
    };
    use crate::id::{ActorId, BucketId, ClientRequestId, Life, NodeId, PartitionId};
    use crate::time::{Hlc, Wall};

    fn actor(node: u32) -> ActorId {
        ActorId {
            node: NodeId(node),
            life: Life(0x1112_1314_1516_1718),
            birth: 300,
        }
    }

    fn mark(node: u32) -> RequestMark {
        let id = ClientRequestId::parse("req-1").expect("legal");
        RequestMark {
            at: Hlc(0x10),
            id,
            body: 0x2122_2324_2526_2728,
            dot: Dot {
                actor: actor(node),
                counter: 1,
            },
        }
    }

    fn lww(data: &'static [u8]) -> LwwRecord {
        let stamp = Stamp {
            hlc: Hlc(0x0102_0304_0506_0708),
            dot: Dot {
                actor: actor(1),
                counter: 5,
            },
        };
        LwwRecord {
            stamp,
            payload: Payload::Value(Value::plain(Bytes::from_static(data))),
            ..LwwRecord::default()
        }
    }

    fn full_lww() -> Record {
        let mut record = lww(b"v");
        record.payload = Payload::Value(Value {
            data: "v".into(),
            content_type: "text/plain".into(),
        });
        record.cleared_at = Hlc(3);
        record.expiry = Expiry {
            stamp: Stamp {
                hlc: Hlc(4),
                dot: Dot {
                    actor: actor(2),
                    counter: 6,
                },
            },
            at: Some(Wall(1_000)),
        };
        record.mark(mark(1));
        Record::Lww(record)
    }

    fn full_siblings() -> Record {
        let mut record = SiblingsRecord::default();
        let version = |payload, expires_at| Version {
            payload,
            written_at: Hlc(0x55),
            expires_at,
        };
        let value = Payload::Value(Value {
            data: "red".into(),
            content_type: "text/plain".into(),
        });
        record.put(
            &Context::new(),
            Dot {
                actor: actor(1),
                counter: 1,
            },
            version(value, Some(Wall(1_000))),
        );
        record.put(
            &Context::new(),
            Dot {
                actor: actor(2),
                counter: 7,
            },
            version(Payload::Tombstone, None),
        );
        record.mark(mark(1));
        Record::Siblings(record)
    }

    fn timed_siblings() -> SiblingsRecord {
        let Record::Siblings(mut record) = full_siblings() else {
            panic!("another kind")
        };
        record.growth.note(actor(1), Wall(1_000));
        record.growth.note(actor(2), Wall(300));
        record
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn records_have_these_bytes_for_ever() {
        assert_eq!(
            hex(&encode(&Record::Lww(lww(b"hello")))),
            "01050807060504030201010000001817161514131211ac02050068656c6c6f1c0468d9"
        );
        assert_eq!(
            hex(&encode(&full_lww())),
            "01bd0807060504030201010000001817161514131211ac020503000000000000000400000000000000020000001817161514131211ac0206e807011000000000000000057265712d312827262524232221010000001817161514131211ac02010a746578742f706c61696e76fbdca04a"
        );
        assert_eq!(
            hex(&encode(&full_siblings())),
            "010002010000001817161514131211ac0201020000001817161514131211ac02000101070200010e5500000000000000e8070a746578742f706c61696e037265640107005500000000000000011000000000000000057265712d3128272625242322210001e5d32931"
        );
    }

    #[test]
    fn a_record_that_says_when_it_grew_has_these_bytes_for_ever() {
        assert_eq!(
            hex(&encode(&Record::Siblings(timed_siblings()))),
            "020002010000001817161514131211ac0201020000001817161514131211ac02000101070200010e5500000000000000e8070a746578742f706c61696e037265640107005500000000000000011000000000000000057265712d31282726252423222100010200e80701ac0224ad01c5"
        );
    }

    #[test]
    fn moments_of_growth_are_of_the_context_and_there_is_one() {
        let good = encode(&Record::Siblings(timed_siblings()));
        let body = |bytes: &[u8]| bytes[..bytes.len() - CHECKSUM_BYTES].to_vec();
        let untimed = encode(&full_siblings());
        let mut empty = body(&untimed);
        empty[0] = VERSION_TIMED;
        empty.push(0);
        assert_eq!(decode(&sealed(empty)), Err(CodecError::Malformed), "no moment");
        let mut twice = body(&good);
        let last = twice.len() - 1;
        // The second moment is of the first actor too.
        twice[last - 2] = 0;
        assert_eq!(decode(&sealed(twice)), Err(CodecError::Malformed), "not sorted");
        let mut stranger = timed_siblings();
        stranger.mark(mark(3));
        stranger.growth.note(actor(3), Wall(5));
        let bytes = Bytes::from(encode(&Record::Siblings(stranger)));
        assert_eq!(
            decode(&bytes),
            Err(CodecError::Malformed),
            "of an actor that the context does not name"
        );
    }

    #[test]
    fn a_merkle_hash_is_the_same_for_ever() {
        let key = RecordKey::new(PartitionId(3), BucketId(7), 9, b"key", b"sort");
        assert_eq!(
            format!("{:032x}", record_hash(&key, &full_siblings())),
            "58a120d2bbf32c7db8c185febe291461"
        );
    }

    #[test]
    fn a_small_value_costs_less_than_forty_bytes_of_overhead() {
        let data = &[7_u8; 100];
        let mut record = lww(data);
        assert!(encode(&Record::Lww(record.clone())).len() - data.len() < 40);
        record.expiry = Expiry {
            stamp: record.stamp,
            at: Some(Wall(1_800_000_000_000)),
        };
        assert!(encode(&Record::Lww(record)).len() - data.len() < 40);
    }

    #[test]
    fn bytes_are_refused_by_cause() {
        let good = encode(&full_siblings());
        let mut flipped = good.clone();
        flipped[20] ^= 1;
        assert_eq!(decode(&Bytes::from(flipped)), Err(CodecError::BadChecksum));
        let mut newer = good.clone();
        newer[0] = 3;
        assert_eq!(decode(&Bytes::from(newer)), Err(CodecError::BadVersion(3)));
        assert_eq!(decode(&Bytes::new()), Err(CodecError::Malformed));
        let mut longer = good[..good.len() - 4].to_vec();
        longer.push(0);
        assert_eq!(decode(&sealed(longer)), Err(CodecError::Malformed));
    }

    #[test]
    fn values_are_slices_of_the_input() {
        let bytes = Bytes::from(encode(&Record::Lww(lww(b"some value"))));
        let Record::Lww(record) = decode(&bytes).expect("just encoded") else {
            panic!("another kind")
        };
        let Payload::Value(value) = record.payload else {
            panic!("another payload")
        };
        assert!(bytes.as_ptr_range().contains(&value.data.as_ptr()));
    }

    fn sealed(mut bytes: Vec<u8>) -> Bytes {
        bytes.extend_from_slice(&crc32c(&bytes).to_le_bytes());
        Bytes::from(bytes)
    }

    proptest! {
        #[test]
        fn a_record_gives_itself_back(record in record()) {
            prop_assert_eq!(decode(&Bytes::from(encode(&record))), Ok(record));
        }

        #[test]
        fn encoding_into_a_buffer_appends_the_same_bytes(record in record()) {
            let mut out = b"before".to_vec();
            encode_into(&record, &mut out);
            prop_assert_eq!(&out[6..], &encode(&record)[..]);
        }

        #[test]
        fn one_flipped_bit_is_noticed(record in record(), at: prop::sample::Index, bit in 0_u8..8) {
            let mut bytes = encode(&record);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(decode(&Bytes::from(bytes)).is_err());
        }

        /// Bytes whose checksum fits but that nobody encoded: they may be read only if they are the one form of a record.
        #[test]
        fn altered_bytes_are_refused_or_canonical(record in record(), at: prop::sample::Index, to in prop_oneof![0_u8..8, any::<u8>()], how in 0..3) {
            let mut bytes = encode(&record);
            bytes.truncate(bytes.len() - CHECKSUM_BYTES);
            let at = 1 + at.index(bytes.len() - 1);
            match how {
                0 => bytes[at] = to,
                1 => bytes.insert(at, to),
                _ => bytes.truncate(at),
            }
            let bytes = sealed(bytes);
            if let Ok(record) = decode(&bytes) {
                prop_assert_eq!(encode(&record), bytes);
            }
        }

        #[test]
        fn no_sealed_bytes_panic(version in VERSION..=VERSION_TIMED, form in prop_oneof![Just(0_u8), any::<u8>()], rest in prop::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..200)) {
            let mut bytes = vec![version, form];
            bytes.extend_from_slice(&rest);
            let bytes = sealed(bytes);
            if let Ok(record) = decode(&bytes) {
                prop_assert_eq!(encode(&record), bytes);
            }
        }

        #[test]
        fn different_records_hash_differently(a in record(), b in record(), key in record_key()) {
            prop_assert_eq!(a == b, record_hash(&key, &a) == record_hash(&key, &b));
        }
    }
}
