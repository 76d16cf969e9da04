//! Reaping to its prost form and back; lists as in `entropy`.

use bytes::Bytes;

use crate::cursor::Cursor;
use crate::id::{BucketId, OpId, PartitionId};
use crate::reaping::talk::ReapTalk;
use crate::wire::entropy::{numbers, push_numbers, small, u128_of};
use crate::wire::{WireError, lists, v1};

const ASK: u32 = 1;
const ANSWER: u32 = 2;
const OUTSTANDING: u32 = 3;
const CLEAR: u32 = 4;
const REAP: u32 = 5;

/// The prost form.
pub(super) fn pack(talk: &ReapTalk) -> v1::Reaping {
    let mut packed = v1::Reaping::default();
    match talk {
        ReapTalk::Ask {
            op,
            partition,
            bucket,
            generation,
            entries,
        } => {
            packed.talk_code = ASK;
            packed.op = op.0;
            packed.partition = u32::from(partition.0);
            packed.bucket = bucket.0;
            packed.generation = *generation;
            packed.key_list = lists::push_items(entries.iter().map(|entry| entry.0.as_bytes()));
            packed.digest_list = entries
                .iter()
                .flat_map(|entry| entry.1.to_le_bytes())
                .collect::<Bytes>();
        }
        ReapTalk::Answer {
            op,
            differing,
            unable,
            generation,
        } => {
            packed.talk_code = ANSWER;
            packed.op = op.0;
            packed.number_list = push_numbers(differing);
            packed.is_refused = *unable;
            packed.generation = *generation;
        }
        ReapTalk::Outstanding {
            op,
            partition,
            bucket,
            generation,
        } => {
            packed.talk_code = OUTSTANDING;
            packed.op = op.0;
            packed.partition = u32::from(partition.0);
            packed.bucket = bucket.0;
            packed.generation = *generation;
        }
        ReapTalk::Clear { op, is_clear } => {
            packed.talk_code = CLEAR;
            packed.op = op.0;
            packed.is_refused = !is_clear;
        }
        ReapTalk::Reap {
            partition,
            bucket,
            generation,
            spared,
        } => {
            packed.talk_code = REAP;
            packed.partition = u32::from(partition.0);
            packed.bucket = bucket.0;
            packed.generation = *generation;
            packed.number_list = push_numbers(spared);
        }
    }
    packed
}

/// Reads the prost form.
pub(super) fn unpack(packed: &v1::Reaping) -> Result<ReapTalk, WireError> {
    let op = OpId(packed.op);
    let partition = PartitionId(small(packed.partition)?);
    let bucket = BucketId(packed.bucket);
    let generation = packed.generation;
    Ok(match packed.talk_code {
        ASK => {
            let keys = lists::keys(&packed.key_list)?;
            if packed.digest_list.len() != keys.len() * 16 {
                return Err(WireError::Malformed);
            }
            let mut cursor = Cursor::new(&packed.digest_list);
            let mut entries = Vec::with_capacity(keys.len());
            for key in keys {
                entries.push((key, u128_of(&mut cursor)?));
            }
            ReapTalk::Ask {
                op,
                partition,
                bucket,
                generation,
                entries,
            }
        }
        ANSWER => ReapTalk::Answer {
            op,
            differing: numbers(&packed.number_list)?,
            unable: packed.is_refused,
            generation,
        },
        OUTSTANDING => ReapTalk::Outstanding {
            op,
            partition,
            bucket,
            generation,
        },
        CLEAR => ReapTalk::Clear {
            op,
            is_clear: !packed.is_refused,
        },
        REAP => ReapTalk::Reap {
            partition,
            bucket,
            generation,
            spared: numbers(&packed.number_list)?,
        },
        _ => return Err(WireError::Malformed),
    })
}
