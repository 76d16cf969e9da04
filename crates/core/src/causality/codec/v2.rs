//! Version 2 of the stored form: a siblings record that says when its entries grew. Nothing here may change what was
//! written once.
//!
//! ```text
//! form 0 and body as in v1, then | moments: count v, at least 1, (actor index v, milliseconds since the Unix epoch v)* |
//! ```
//!
//! Moments are sorted by actor, one each, and of actors in the context only.

use bytes::Bytes;

use crate::causality::codec::v1;
use crate::causality::{Growth, SiblingsRecord};
use crate::cursor::{Cursor, Malformed, push_varint};
use crate::time::Wall;

const MOMENT_BYTES_MIN: usize = 2;
const SIBLINGS: u8 = 0;

pub(super) fn push(record: &SiblingsRecord, out: &mut Vec<u8>) {
    let actors = v1::push_siblings(record, out);
    push_varint(out, record.growth.as_slice().len() as u64);
    for &(actor, at) in record.growth.as_slice() {
        push_varint(out, v1::index_of(actor, &actors));
        push_varint(out, at.0);
    }
}

/// Reads form and body of `bytes[..end]`; the version has been looked at.
pub(super) fn read(bytes: &Bytes, end: usize) -> Result<SiblingsRecord, Malformed> {
    let mut cursor = Cursor::new(&bytes[..end]);
    let _version = cursor.u8()?;
    if cursor.u8()? != SIBLINGS {
        return Err(Malformed);
    }
    let (mut record, mut table) = v1::read_siblings(bytes, &mut cursor)?;
    let count = cursor.count(MOMENT_BYTES_MIN)?;
    let mut moments = Vec::with_capacity(count);
    // Of use to a moment is not enough: each actor must be named by something else.
    let is_used = !table.used.contains(&false);
    for _ in 0..count {
        let actor = v1::read_index(&mut cursor, &table.actors, &mut table.used)?;
        if record.seen.entries_of(actor) == 0 {
            return Err(Malformed);
        }
        moments.push((actor, Wall(cursor.varint()?)));
    }
    if cursor.left() != 0 || !is_used || moments.is_empty() {
        return Err(Malformed);
    }
    record.growth = Growth::from_sorted(moments).ok_or(Malformed)?;
    Ok(record)
}
