//! Anti-entropy to its prost form and back; lists are single fields, little-endian, as in `lists`:
//!
//! ```text
//! digests:  (number u16, digest u128)*      numbers:  (u16)*      hashes:  (u128)*, one for each key
//! ```

use bytes::Bytes;

use crate::bucket::StorageClass;
use crate::cursor::{Cursor, Malformed};
use crate::entropy::talk::{EntropyTalk, Group, Level};
use crate::id::{OpId, PartitionId};
use crate::wire::message::{byte, pack_range, unpack_range};
use crate::wire::{WireError, lists, v1};

const DIGESTS: u32 = 1;
const DIFFERING: u32 = 2;
const KEYS: u32 = 3;
const RECORDS: u32 = 4;
const RECOUNT: u32 = 5;

const ROOTS: u32 = 1;
const BLOCKS: u32 = 2;
const LEAVES: u32 = 3;

const ON_DISK: u32 = 1;
const IN_MEMORY: u32 = 2;

/// The prost form.
pub(super) fn pack(talk: &EntropyTalk) -> v1::Entropy {
    let mut packed = v1::Entropy::default();
    match talk {
        EntropyTalk::Digests {
            op,
            group,
            level,
            digests,
        } => {
            packed.talk_code = DIGESTS;
            packed.op = op.0;
            push_group(*group, &mut packed);
            let (code, partition) = match level {
                Level::Roots => (ROOTS, PartitionId(0)),
                Level::Blocks(partition) => (BLOCKS, *partition),
                Level::Leaves(partition) => (LEAVES, *partition),
            };
            packed.level_code = code;
            packed.partition = u32::from(partition.0);
            let mut out = Vec::with_capacity(digests.len() * 18);
            for (number, digest) in digests {
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(&digest.to_le_bytes());
            }
            packed.digest_list = Bytes::from(out);
        }
        EntropyTalk::Differing { op, numbers, uncounted } => {
            packed.talk_code = DIFFERING;
            packed.op = op.0;
            packed.number_list = push_numbers(numbers);
            packed.uncounted_list = push_numbers(uncounted);
        }
        EntropyTalk::Keys { op, range, entries } => {
            packed.talk_code = KEYS;
            packed.op = op.0;
            packed.range = Some(pack_range(range));
            packed.key_list = lists::push_items(entries.iter().map(|entry| entry.0.as_bytes()));
            packed.digest_list = entries.iter().flat_map(|entry| entry.1.to_le_bytes()).collect();
        }
        EntropyTalk::Records {
            op,
            complete_up_to,
            records,
            missing,
            failed,
        } => {
            packed.talk_code = RECORDS;
            packed.op = op.0;
            packed.complete_up_to.clone_from(complete_up_to);
            packed.record_list = lists::push_records(records);
            packed.key_list = lists::push_keys(missing);
            packed.is_failed = *failed;
        }
        EntropyTalk::Recount { group, partition, leaf } => {
            packed.talk_code = RECOUNT;
            push_group(*group, &mut packed);
            packed.partition = u32::from(partition.0);
            packed.leaf = u32::from(*leaf);
        }
    }
    packed
}

/// Reads the prost form.
pub(super) fn unpack(packed: v1::Entropy) -> Result<EntropyTalk, WireError> {
    let op = OpId(packed.op);
    Ok(match packed.talk_code {
        DIGESTS => {
            let partition = PartitionId(small(packed.partition)?);
            let level = match packed.level_code {
                ROOTS => Level::Roots,
                BLOCKS => Level::Blocks(partition),
                LEAVES => Level::Leaves(partition),
                _ => return Err(WireError::Malformed),
            };
            let mut cursor = Cursor::new(&packed.digest_list);
            let mut digests = Vec::with_capacity(packed.digest_list.len() / 18);
            while cursor.left() > 0 {
                digests.push((cursor.u16()?, u128_of(&mut cursor)?));
            }
            EntropyTalk::Digests {
                op,
                group: group(&packed)?,
                level,
                digests,
            }
        }
        DIFFERING => EntropyTalk::Differing {
            op,
            numbers: numbers(&packed.number_list)?,
            uncounted: numbers(&packed.uncounted_list)?,
        },
        KEYS => {
            let keys = lists::keys(&packed.key_list)?;
            if packed.digest_list.len() != keys.len() * 16 {
                return Err(WireError::Malformed);
            }
            let mut cursor = Cursor::new(&packed.digest_list);
            let mut entries = Vec::with_capacity(keys.len());
            for key in keys {
                entries.push((key, u128_of(&mut cursor)?));
            }
            EntropyTalk::Keys {
                op,
                range: unpack_range(packed.range.ok_or(WireError::Malformed)?),
                entries,
            }
        }
        RECORDS => EntropyTalk::Records {
            op,
            complete_up_to: packed.complete_up_to,
            records: lists::records(&packed.record_list)?,
            missing: lists::keys(&packed.key_list)?,
            failed: packed.is_failed,
        },
        RECOUNT => EntropyTalk::Recount {
            group: group(&packed)?,
            partition: PartitionId(small(packed.partition)?),
            leaf: small(packed.leaf)?,
        },
        _ => return Err(WireError::Malformed),
    })
}

fn push_group(group: Group, packed: &mut v1::Entropy) {
    packed.copies = u32::from(group.n);
    packed.class_code = match group.class {
        StorageClass::Disk => ON_DISK,
        StorageClass::Memory => IN_MEMORY,
    };
}

fn group(packed: &v1::Entropy) -> Result<Group, WireError> {
    let class = match packed.class_code {
        ON_DISK => StorageClass::Disk,
        IN_MEMORY => StorageClass::Memory,
        _ => return Err(WireError::Malformed),
    };
    let n = byte(packed.copies)?;
    Ok(Group { n, class })
}

pub(super) fn push_numbers(numbers: &[u16]) -> Bytes {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(super) fn numbers(list: &Bytes) -> Result<Vec<u16>, Malformed> {
    let mut cursor = Cursor::new(list);
    let mut numbers = Vec::with_capacity(list.len() / 2);
    while cursor.left() > 0 {
        numbers.push(cursor.u16()?);
    }
    Ok(numbers)
}

pub(super) fn u128_of(cursor: &mut Cursor<'_>) -> Result<u128, Malformed> {
    let (low, high) = (cursor.u64()?, cursor.u64()?);
    Ok(u128::from(high) << 64 | u128::from(low))
}

pub(super) fn small(number: u32) -> Result<u16, WireError> {
    u16::try_from(number).map_err(|_| WireError::Malformed)
}
