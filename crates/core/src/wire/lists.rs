//! Lists as single byte fields, little-endian. A repeated prost field would let a frame of a few megabytes ask for
//! gigabytes of empty items; here every item costs its length, and the first malformed one ends the reading.
//!
//! ```text
//! keys, fields:  (length u32, bytes)*            cleared:   (partition u16, bucket u32, hlc u64)*
//! records:       (length u32, name, length u32, stored form)*    sessions:  (node u32, token u64)*
//! ```

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::causality::{Record, codec};
use crate::cursor::{Cursor, Malformed};
use crate::id::{BucketId, NodeId, PartitionId};
use crate::key::RecordKey;
use crate::time::Hlc;
use crate::wire::WireError;

const SESSION_BYTES: usize = 12;
const CLEARED_BYTES: usize = 14;

/// Byte strings.
pub(super) fn push_items<'a>(items: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut out = Vec::new();
    for item in items {
        push_item(item, &mut out);
    }
    Bytes::from(out)
}

/// Byte strings, as slices of the frame.
pub(super) fn items(list: &Bytes) -> Result<Vec<Bytes>, Malformed> {
    let mut cursor = Cursor::new(list);
    let mut items = Vec::new();
    while cursor.left() > 0 {
        items.push(item(list, &mut cursor)?);
    }
    Ok(items)
}

/// Names.
pub(super) fn push_keys(keys: &[RecordKey]) -> Bytes {
    push_items(keys.iter().map(RecordKey::as_bytes))
}

/// Names, each checked.
pub(super) fn keys(list: &Bytes) -> Result<Vec<RecordKey>, Malformed> {
    let mut cursor = Cursor::new(list);
    let mut keys = Vec::new();
    while cursor.left() > 0 {
        keys.push(RecordKey::from_bytes(&item(list, &mut cursor)?).ok_or(Malformed)?);
    }
    Ok(keys)
}

/// Records under their names.
pub(super) fn push_records(records: &[(RecordKey, Arc<Record>)]) -> Bytes {
    let payload: usize = records
        .iter()
        .map(|(key, record)| 64 + key.as_bytes().len() + record.weight())
        .sum();
    let mut out = Vec::with_capacity(payload);
    for (key, record) in records {
        push_item(key.as_bytes(), &mut out);
        let length_at = out.len();
        out.extend_from_slice(&[0; 4]);
        codec::encode_into(record, &mut out);
        let length = (out.len() - length_at - 4) as u32;
        out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }
    Bytes::from(out)
}

/// Records under their names; values are slices of the frame.
pub(super) fn records(list: &Bytes) -> Result<Vec<(RecordKey, Arc<Record>)>, WireError> {
    let mut cursor = Cursor::new(list);
    let mut records = Vec::new();
    while cursor.left() > 0 {
        let key = RecordKey::from_bytes(&item(list, &mut cursor)?).ok_or(Malformed)?;
        let record = codec::decode(&item(list, &mut cursor)?)?;
        records.push((key, Arc::new(record)));
    }
    Ok(records)
}

/// Session tokens by receiver.
pub(super) fn push_sessions(sessions: &[(NodeId, u64)]) -> Bytes {
    let mut out = Vec::with_capacity(sessions.len() * SESSION_BYTES);
    for (node, token) in sessions {
        out.extend_from_slice(&node.0.to_le_bytes());
        out.extend_from_slice(&token.to_le_bytes());
    }
    Bytes::from(out)
}

/// Session tokens by receiver.
pub(super) fn sessions(list: &Bytes) -> Result<SmallVec<[(NodeId, u64); 3]>, Malformed> {
    let mut cursor = Cursor::new(list);
    let mut sessions = SmallVec::with_capacity(list.len() / SESSION_BYTES);
    while cursor.left() > 0 {
        sessions.push((NodeId(cursor.u32()?), cursor.u64()?));
    }
    Ok(sessions)
}

/// `cleared_at` by partition and bucket.
pub(super) fn push_cleared(cleared: &[(PartitionId, BucketId, Hlc)]) -> Bytes {
    let mut out = Vec::with_capacity(cleared.len() * CLEARED_BYTES);
    for (partition, bucket, hlc) in cleared {
        out.extend_from_slice(&partition.0.to_le_bytes());
        out.extend_from_slice(&bucket.0.to_le_bytes());
        out.extend_from_slice(&hlc.0.to_le_bytes());
    }
    Bytes::from(out)
}

/// `cleared_at` by partition and bucket.
pub(super) fn cleared(list: &Bytes) -> Result<Vec<(PartitionId, BucketId, Hlc)>, Malformed> {
    let mut cursor = Cursor::new(list);
    let mut cleared = Vec::with_capacity(list.len() / CLEARED_BYTES);
    while cursor.left() > 0 {
        cleared.push((PartitionId(cursor.u16()?), BucketId(cursor.u32()?), Hlc(cursor.u64()?)));
    }
    Ok(cleared)
}

fn push_item(item: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(item.len() as u32).to_le_bytes());
    out.extend_from_slice(item);
}

fn item(list: &Bytes, cursor: &mut Cursor<'_>) -> Result<Bytes, Malformed> {
    let length = cursor.u32()? as usize;
    let start = cursor.at();
    cursor.take(length)?;
    // An empty slice would keep the whole frame for nothing.
    Ok(if length == 0 {
        Bytes::new()
    } else {
        list.slice(start..start + length)
    })
}
