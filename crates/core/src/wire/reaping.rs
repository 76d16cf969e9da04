//! Reaping to its prost form and back; lists as in `entropy`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::causality::Lives;
use crate::cursor::Cursor;
use crate::id::{BucketId, Life, NodeId, OpId, PartitionId};
use crate::reaping::talk::ReapTalk;
use crate::wire::entropy::{numbers, push_numbers, small, u128_of};
use crate::wire::{WireError, lists, v1};

const ASK: u32 = 1;
const ANSWER: u32 = 2;
const OUTSTANDING: u32 = 3;
const CLEAR: u32 = 4;
const REAP: u32 = 5;
const FOLD: u32 = 6;

/// Node and life.
const LIFE_BYTES: usize = 12;

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
            life,
        } => {
            packed.talk_code = ANSWER;
            packed.op = op.0;
            packed.number_list = push_numbers(differing);
            packed.is_refused = *unable;
            packed.generation = *generation;
            packed.life = life.map(|life| life.0);
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
        ReapTalk::Clear { op, is_clear, life } => {
            packed.talk_code = CLEAR;
            packed.op = op.0;
            packed.life = life.map(|life| life.0);
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
        ReapTalk::Fold {
            partition,
            bucket,
            generation,
            spared,
            lives,
        } => {
            packed.talk_code = FOLD;
            packed.partition = u32::from(partition.0);
            packed.bucket = bucket.0;
            packed.generation = *generation;
            packed.number_list = push_numbers(spared);
            packed.life_list = push_lives(lives);
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
            life: packed.life.map(Life),
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
            life: packed.life.map(Life),
        },
        REAP => ReapTalk::Reap {
            partition,
            bucket,
            generation,
            spared: numbers(&packed.number_list)?,
        },
        FOLD => ReapTalk::Fold {
            partition,
            bucket,
            generation,
            spared: numbers(&packed.number_list)?,
            lives: lives_of(&packed.life_list)?,
        },
        _ => return Err(WireError::Malformed),
    })
}

fn push_lives(lives: &Lives) -> Bytes {
    let mut list = BytesMut::with_capacity(lives.len() * LIFE_BYTES);
    for (node, life) in lives {
        list.put_u32_le(node.0);
        list.put_u64_le(life.0);
    }
    list.freeze()
}

fn lives_of(list: &Bytes) -> Result<Lives, WireError> {
    if !list.len().is_multiple_of(LIFE_BYTES) {
        return Err(WireError::Malformed);
    }
    let mut cursor = Cursor::new(list);
    let mut lives = Lives::with_capacity(list.len() / LIFE_BYTES);
    while cursor.left() > 0 {
        lives.push((NodeId(cursor.u32()?), Life(cursor.u64()?)));
    }
    Ok(lives)
}
