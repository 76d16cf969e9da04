//! Small durable facts about this node. An empty value: no longer so. Nothing is ever removed, because a compaction that
//! dropped the engine's highest sequence number would let it be used again; the journals' check relies on their order.
//! ```text
//! key:   'i' incarnation, 'n' slot u32 BE: one of the last boots, 'm' clean marker, 'p' node u32 BE: a peer's boots, 'r' bucket u32 BE: rebuilding, 'h' partition u16 BE, bucket u32 BE: has a head, 's' scrub, 'k' home u32 BE, name of the record: kept for that home; 'g' partition u16 BE, bucket u32 BE: reap generation, 'f': the last removal
//! value: | version u8 | body, all integers LE | CRC32C u32 LE of version and body |
//! body:  'i' incarnation u64; 'n' incarnation, nonce u64; 'm' life, birth, hlc, incarnation u64; 'p' incarnation, nonce, before, heard 4 × u64; 'r', 'h' nothing;
//!        's' begun, ended u64 (all ones: never), has a position u8, position; 'k' since u64, 1 u8, the stored form of the record; 'g' pinned, reaped u64; 'f' nothing
//! ```

use std::sync::Arc;

use bytes::Bytes;
use torc_core::causality::codec;
use torc_core::id::{BucketId, Life, NodeId, PartitionId};
use torc_core::key::RecordKey;
use torc_core::storage::{CleanMarker, Generation, HEARD_MAX, HintMemory, LINEAGE_MAX, Meta, PeerMemory, ScrubMemory};
use torc_core::time::{Hlc, Wall};

/// The version that is written.
pub(crate) const VERSION: u8 = 1;
pub(crate) const INCARNATION_KEY: &[u8] = b"i";
pub(crate) const MARKER_KEY: &[u8] = b"m";
const SCRUB_KEY: &[u8] = b"s";
/// Written with every removal, in the same batch and so with the same sequence number: the highest one stays in use.
pub(crate) const REMOVAL_KEY: &[u8] = b"f";

/// What a fact becomes on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stored {
    pub key: Vec<u8>,
    /// Empty: no longer so.
    pub value: Vec<u8>,
}

/// A fact that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fact {
    Incarnation(u64),
    /// A boot's number and nonce.
    Boot(u64, u64),
    Marker(CleanMarker),
    Peer(NodeId, PeerMemory),
    Rebuilding(BucketId),
    Head(PartitionId, BucketId),
    Scrub(ScrubMemory),
    Hint(HintMemory),
    Generation(PartitionId, BucketId, Generation),
}

/// True if a fact that no longer holds is removed: those that come in any number.
pub(crate) fn is_removed(stored: &Stored) -> bool {
    stored.value.is_empty() && stored.key.first() == Some(&b'k')
}

/// The stored form of what the core asks to keep.
pub(crate) fn stored(meta: &Meta) -> Stored {
    match meta {
        Meta::Incarnation(incarnation) => Stored {
            key: INCARNATION_KEY.to_vec(),
            value: sealed(&[*incarnation]),
        },
        Meta::Peer(node, memory) => Stored {
            key: keyed(b'p', node.0),
            value: sealed_peer(memory),
        },
        Meta::Rebuilding(bucket, is_rebuilding) => Stored {
            key: keyed(b'r', bucket.0),
            value: if *is_rebuilding { sealed(&[]) } else { Vec::new() },
        },
        Meta::Hint(hint) => Stored {
            key: hint_key(hint.home, &hint.key),
            value: sealed_with(&[hint.since.0], Some(&codec::encode(&hint.record))),
        },
        Meta::Delivered(home, key) => Stored {
            key: hint_key(*home, key),
            value: Vec::new(),
        },
        Meta::Reaped(partition, bucket, generation) => Stored {
            key: placed(b'g', *partition, *bucket),
            value: sealed(&[generation.pinned, generation.reaped]),
        },
        Meta::Scrub(memory) => {
            let times = [memory.begun.0, memory.ended.map_or(u64::MAX, |ended| ended.0)];
            Stored {
                key: SCRUB_KEY.to_vec(),
                value: sealed_with(&times, memory.position.as_deref()),
            }
        }
    }
}

/// The stored form of a boot: it takes the place of one long ago.
pub(crate) fn stored_boot(incarnation: u64, nonce: u64) -> Stored {
    Stored {
        key: keyed(b'n', (incarnation % LINEAGE_MAX as u64) as u32),
        value: sealed(&[incarnation, nonce]),
    }
}

/// The stored form of a clean marker.
pub(crate) fn stored_marker(marker: &CleanMarker) -> Stored {
    let words = [marker.life.0, marker.birth, marker.hlc.0, marker.incarnation];
    Stored {
        key: MARKER_KEY.to_vec(),
        value: sealed(&words),
    }
}

/// That a partition has a head: written with it, so that a boot need not look for it among all records.
pub(crate) fn stored_head(head: &RecordKey) -> Stored {
    Stored {
        key: placed(b'h', head.partition(), head.bucket()),
        value: sealed(&[]),
    }
}

/// Reads a fact, `None` if it is no longer so; `Err` names what is damaged.
pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<Option<Fact>, &'static str> {
    if value.is_empty() {
        return Ok(None);
    }
    read_fact(key, value).map(Some)
}

fn read_fact(key: &[u8], value: &[u8]) -> Result<Fact, &'static str> {
    let number = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).map(u32::from_be_bytes).ok();
    match key.split_first() {
        Some((b'i', [])) => {
            let [incarnation] = opened(value).ok_or("this node's incarnation")?;
            Ok(Fact::Incarnation(incarnation))
        }
        Some((b'n', [_, _, _, _])) => {
            let [incarnation, nonce] = opened(value).ok_or("one of this node's boots")?;
            Ok(Fact::Boot(incarnation, nonce))
        }
        Some((b'm', [])) => {
            let [life, birth, hlc, incarnation] = opened(value).ok_or("the clean marker")?;
            Ok(Fact::Marker(CleanMarker {
                life: Life(life),
                birth,
                hlc: Hlc(hlc),
                incarnation,
            }))
        }
        Some((b's', [])) => {
            let ([begun, ended], position) = opened_with(value).ok_or("where the scrub is")?;
            Ok(Fact::Scrub(ScrubMemory {
                position,
                begun: Wall(begun),
                ended: (ended != u64::MAX).then_some(Wall(ended)),
            }))
        }
        Some((b'k', name)) => {
            let damaged = "a record that is kept for another node";
            let (home, name) = name.split_first_chunk::<4>().ok_or(damaged)?;
            let ([since], stored) = opened_with(value).ok_or(damaged)?;
            let record = codec::decode(&stored.ok_or(damaged)?).map_err(|_| damaged)?;
            Ok(Fact::Hint(HintMemory {
                home: NodeId(u32::from_be_bytes(*home)),
                key: RecordKey::from_bytes(name).ok_or(damaged)?,
                record: Arc::new(record),
                since: Wall(since),
            }))
        }
        Some((b'p', node)) => {
            let node = number(node).ok_or("a peer's name")?;
            let [incarnation, nonce, before, heard @ ..] =
                opened::<{ 3 + HEARD_MAX }>(value).ok_or("what is remembered of a peer")?;
            let memory = PeerMemory {
                incarnation,
                nonce,
                before,
                heard,
            };
            Ok(Fact::Peer(NodeId(node), memory))
        }
        Some((b'r', bucket)) => {
            let bucket = number(bucket).ok_or("the name of a bucket that is rebuilt")?;
            let [] = opened(value).ok_or("that a bucket is rebuilt")?;
            Ok(Fact::Rebuilding(BucketId(bucket)))
        }
        Some((b'h', &[p0, p1, b0, b1, b2, b3])) => {
            let [] = opened(value).ok_or("that a partition has a head")?;
            let partition = PartitionId(u16::from_be_bytes([p0, p1]));
            Ok(Fact::Head(partition, BucketId(u32::from_be_bytes([b0, b1, b2, b3]))))
        }
        Some((b'g', &[p0, p1, b0, b1, b2, b3])) => {
            let [pinned, reaped] = opened(value).ok_or("a reap generation")?;
            let partition = PartitionId(u16::from_be_bytes([p0, p1]));
            let bucket = BucketId(u32::from_be_bytes([b0, b1, b2, b3]));
            Ok(Fact::Generation(partition, bucket, Generation { pinned, reaped }))
        }
        Some(_) | None => Err("an unknown kind of fact"),
    }
}

fn placed(kind: u8, partition: PartitionId, bucket: BucketId) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&partition.0.to_be_bytes());
    key.extend_from_slice(&bucket.0.to_be_bytes());
    key
}

fn keyed(kind: u8, number: u32) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn hint_key(home: NodeId, name: &RecordKey) -> Vec<u8> {
    let mut key = keyed(b'k', home.0);
    key.extend_from_slice(name.as_bytes());
    key
}

fn sealed_peer(memory: &PeerMemory) -> Vec<u8> {
    let mut words = vec![memory.incarnation, memory.nonce, memory.before];
    words.extend_from_slice(&memory.heard);
    sealed(&words)
}

fn sealed(words: &[u64]) -> Vec<u8> {
    sealed_bytes(words, &[])
}

/// Words, whether there is more, and what.
fn sealed_with(words: &[u64], rest: Option<&[u8]>) -> Vec<u8> {
    let mut tail = vec![u8::from(rest.is_some())];
    tail.extend_from_slice(rest.unwrap_or_default());
    sealed_bytes(words, &tail)
}

fn sealed_bytes(words: &[u64], tail: &[u8]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for word in words {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(tail);
    let checksum = crc_fast::crc32_iscsi(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn opened<const N: usize>(value: &[u8]) -> Option<[u64; N]> {
    let (words, rest) = opened_bytes(value)?;
    rest.is_empty().then_some(words)
}

fn opened_with<const N: usize>(value: &[u8]) -> Option<([u64; N], Option<Bytes>)> {
    let (words, rest) = opened_bytes(value)?;
    match rest.split_first()? {
        (0, []) => Some((words, None)),
        (1, rest) => Some((words, Some(Bytes::copy_from_slice(rest)))),
        _ => None,
    }
}

fn opened_bytes<const N: usize>(value: &[u8]) -> Option<([u64; N], &[u8])> {
    let (body, checksum) = value.split_last_chunk::<4>()?;
    if crc_fast::crc32_iscsi(body).to_le_bytes() != *checksum {
        return None;
    }
    let (&version, mut rest) = body.split_first()?;
    if version != VERSION {
        return None;
    }
    let mut words = [0; N];
    for word in &mut words {
        let (bytes, after) = rest.split_first_chunk::<8>()?;
        *word = u64::from_le_bytes(*bytes);
        rest = after;
    }
    Some((words, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker() -> CleanMarker {
        CleanMarker {
            life: Life(0x0102_0304_0506_0708),
            birth: 9,
            hlc: Hlc(10),
            incarnation: 11,
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn facts_have_these_bytes_for_ever() {
        let incarnation = stored(&Meta::Incarnation(7));
        assert_eq!(incarnation.key, b"i");
        assert_eq!(hex(&incarnation.value), "010700000000000000efbb82b5");
        let marker = stored_marker(&marker());
        assert_eq!(
            hex(&marker.value),
            "01080706050403020109000000000000000a000000000000000b00000000000000ba249883"
        );
    }

    #[test]
    fn facts_are_read_back() {
        let memory = PeerMemory {
            incarnation: 1,
            nonce: 2,
            before: 3,
            heard: [2, 9, 0, 0],
        };
        let cases = [
            (stored_boot(66, 17), Fact::Boot(66, 17)),
            (stored(&Meta::Incarnation(7)), Fact::Incarnation(7)),
            (stored_marker(&marker()), Fact::Marker(marker())),
            (stored(&Meta::Peer(NodeId(5), memory)), Fact::Peer(NodeId(5), memory)),
            (
                stored(&Meta::Rebuilding(BucketId(6), true)),
                Fact::Rebuilding(BucketId(6)),
            ),
            (
                stored_head(&RecordKey::partition_head(PartitionId(300), BucketId(70_000))),
                Fact::Head(PartitionId(300), BucketId(70_000)),
            ),
        ];
        let generation = Generation { pinned: 9, reaped: 8 };
        let reaped = stored(&Meta::Reaped(PartitionId(300), BucketId(70_000), generation));
        let expected = Fact::Generation(PartitionId(300), BucketId(70_000), generation);
        assert_eq!(read(&reaped.key, &reaped.value), Ok(Some(expected)));
        for position in [None, Some(Bytes::new()), Some(Bytes::from_static(b"\x01\x02"))] {
            let memory = ScrubMemory {
                position,
                begun: Wall(5),
                ended: None,
            };
            let stored = stored(&Meta::Scrub(memory.clone()));
            assert_eq!(read(&stored.key, &stored.value), Ok(Some(Fact::Scrub(memory))));
        }
        for (stored, fact) in cases {
            assert_eq!(read(&stored.key, &stored.value), Ok(Some(fact)));
        }
        let ended = stored(&Meta::Rebuilding(BucketId(6), false));
        assert_eq!(read(&ended.key, &ended.value), Ok(None));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let stored = stored_marker(&marker());
        let good = stored.value;
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&stored.key, &bad), Err("the clean marker"), "bit {bit}");
        }
    }
}
