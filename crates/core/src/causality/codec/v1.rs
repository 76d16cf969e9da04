//! Version 1 of the stored form: the layout is drawn below the imports. Nothing here may change what was written once.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::causality::{
    Context, Dot, Expiry, Growth, LwwRecord, Payload, Record, RequestMark, RequestMarks, SiblingsRecord, Stamp, Value,
    Version,
};
use crate::cursor::{Cursor, Malformed, Sink, push_bytes, push_varint};
use crate::id::{ActorId, ClientRequestId, Life, NodeId};
use crate::limits::REQUEST_MARKS_MAX;
use crate::time::{Hlc, Wall};

// form:   bit 0: 0 siblings, 1 last-writer-wins. The other bits of a siblings record are 0; of an lww record:
//         bits 1-2 payload (0 tombstone, 1 hash head, 2 value), bit 3 a content type follows, bit 4 cleared_at
//         follows, bits 5-6 expiry (0 never set, 1 with its own stamp, 2 with the value's), bit 7 a moment follows
// stamp:  | hlc u64 | actor | counter v |
// lww:    | stamp | [cleared_at u64] | [stamp of the expiry] | [expires at v] | marks
//         | [length v, content type] | value, up to the checksum
// siblings: | actors: count v, (actor, vector counter v)* | single dots: count v, (actor index v, counter v)*
//         | siblings: count v, (actor index v, counter v, flags u8, written_at u64, [expires at v],
//           [length v, content type], [length v, value])* | marks
// flags:  bits 0-1 payload as above, bit 2 a content type follows, bit 3 a moment of expiry follows
// marks:  | count v, (at u64, length u8, id, body u64, actor or its index v, counter v)*
// actor:  | node u32 | life u64 | birth v |
// Numbers are little-endian, `v` is LEB128. Actors, dots, siblings and marks are sorted and unique; every actor of the
// table is used.

const LWW: u8 = 1;
const LWW_PAYLOAD_SHIFT: u8 = 1;
const LWW_CONTENT_TYPE: u8 = 1 << 3;
const LWW_CLEARED: u8 = 1 << 4;
const LWW_EXPIRY_SHIFT: u8 = 5;
const LWW_EXPIRES: u8 = 1 << 7;

const EXPIRY_NEVER_SET: u8 = 0;
const EXPIRY_OWN_STAMP: u8 = 1;
const EXPIRY_SAME_STAMP: u8 = 2;

const TOMBSTONE: u8 = 0;
const HASH_HEAD: u8 = 1;
const VALUE: u8 = 2;

const VERSION_CONTENT_TYPE: u8 = 1 << 2;
const VERSION_EXPIRES: u8 = 1 << 3;

const ACTOR_BYTES_MIN: usize = 13;
const DOT_BYTES_MIN: usize = 2;
const SIBLING_BYTES_MIN: usize = DOT_BYTES_MIN + 9;
const MARK_BYTES_MIN: usize = 20;

pub(super) type Actors = SmallVec<[ActorId; 4]>;

/// A little more than the stored form takes.
pub(super) fn bytes_expected(record: &Record) -> usize {
    let marks = |marks: &RequestMarks| marks.as_slice().len() * 128;
    match record {
        Record::Lww(record) => 72 + record.payload.bytes() + marks(&record.marks),
        Record::Siblings(record) => {
            let versions: usize = record
                .siblings
                .iter()
                .map(|sibling| 48 + sibling.1.payload.bytes())
                .sum();
            let moments = record.growth.as_slice().len() * 8;
            32 + versions + record.seen.entries() * 40 + marks(&record.marks) + moments
        }
    }
}

pub(super) fn push(record: &Record, out: &mut Vec<u8>) {
    match record {
        Record::Lww(record) => push_lww(record, out),
        Record::Siblings(record) => {
            push_siblings(record, out);
        }
    }
}

/// Reads form and body of `bytes[..end]`; the version has been looked at.
pub(super) fn read(bytes: &Bytes, end: usize) -> Result<Record, Malformed> {
    let mut cursor = Cursor::new(&bytes[..end]);
    let _version = cursor.u8()?;
    let form = cursor.u8()?;
    if form & LWW != 0 {
        return read_lww(bytes, cursor, form).map(Record::Lww);
    }
    if form != 0 {
        return Err(Malformed);
    }
    let (record, table) = read_siblings(bytes, &mut cursor)?;
    if cursor.left() != 0 || table.used.contains(&false) {
        return Err(Malformed);
    }
    Ok(Record::Siblings(record))
}

fn push_lww(record: &LwwRecord, out: &mut Vec<u8>) {
    let expiry = match record.expiry {
        expiry if expiry == Expiry::default() => EXPIRY_NEVER_SET,
        expiry if expiry.stamp == record.stamp => EXPIRY_SAME_STAMP,
        _ => EXPIRY_OWN_STAMP,
    };
    let mut form = LWW | payload_tag(&record.payload) << LWW_PAYLOAD_SHIFT | expiry << LWW_EXPIRY_SHIFT;
    if has_content_type(&record.payload) {
        form |= LWW_CONTENT_TYPE;
    }
    if record.cleared_at != Hlc::ZERO {
        form |= LWW_CLEARED;
    }
    if record.expiry.at.is_some() {
        form |= LWW_EXPIRES;
    }
    out.push(form);
    push_stamp(record.stamp, out);
    if record.cleared_at != Hlc::ZERO {
        out.extend_from_slice(&record.cleared_at.0.to_le_bytes());
    }
    if expiry == EXPIRY_OWN_STAMP {
        push_stamp(record.expiry.stamp, out);
    }
    if let Some(at) = record.expiry.at {
        push_varint(out, at.0);
    }
    push_marks(&record.marks, out, push_actor);
    if let Payload::Value(value) = &record.payload {
        if !value.content_type.is_empty() {
            push_bytes(out, &value.content_type);
        }
        out.extend_from_slice(&value.data);
    }
}

fn push_stamp(stamp: Stamp, out: &mut Vec<u8>) {
    out.extend_from_slice(&stamp.hlc.0.to_le_bytes());
    push_actor(stamp.dot.actor, out);
    push_varint(out, stamp.dot.counter);
}

fn read_stamp(cursor: &mut Cursor<'_>) -> Result<Stamp, Malformed> {
    let hlc = Hlc(cursor.u64()?);
    let actor = read_actor(cursor)?;
    let counter = cursor.varint()?;
    Ok(Stamp {
        hlc,
        dot: Dot { actor, counter },
    })
}

fn read_lww(bytes: &Bytes, mut cursor: Cursor<'_>, form: u8) -> Result<LwwRecord, Malformed> {
    let stamp = read_stamp(&mut cursor)?;
    let cleared_at = if form & LWW_CLEARED != 0 {
        Hlc(cursor.u64()?)
    } else {
        Hlc::ZERO
    };
    let own_stamp = (form >> LWW_EXPIRY_SHIFT) & 3;
    let expiry_stamp = match own_stamp {
        EXPIRY_NEVER_SET => Stamp::ZERO,
        EXPIRY_OWN_STAMP => read_stamp(&mut cursor)?,
        EXPIRY_SAME_STAMP => stamp,
        _ => return Err(Malformed),
    };
    let expires_at = if form & LWW_EXPIRES != 0 {
        Some(Wall(cursor.varint()?))
    } else {
        None
    };
    let expiry = Expiry {
        stamp: expiry_stamp,
        at: expires_at,
    };
    let is_one_form = match own_stamp {
        EXPIRY_NEVER_SET => expiry == Expiry::default(),
        EXPIRY_OWN_STAMP => expiry_stamp != stamp && expiry != Expiry::default(),
        _ => expiry != Expiry::default(),
    };
    if !is_one_form || (form & LWW_CLEARED != 0 && cleared_at == Hlc::ZERO) {
        return Err(Malformed);
    }
    let marks = read_marks(&mut cursor, read_actor)?;
    let has_type = form & LWW_CONTENT_TYPE != 0;
    let payload = match (form >> LWW_PAYLOAD_SHIFT) & 3 {
        TOMBSTONE if !has_type => Payload::Tombstone,
        HASH_HEAD if !has_type => Payload::HashHead,
        VALUE => {
            let content_type = read_content_type(bytes, &mut cursor, has_type)?;
            let rest = cursor.at()..cursor.at() + cursor.left();
            cursor.take(rest.len())?;
            Payload::Value(Value {
                data: slice(bytes, rest),
                content_type,
            })
        }
        _ => return Err(Malformed),
    };
    if cursor.left() != 0 {
        return Err(Malformed);
    }
    Ok(LwwRecord {
        stamp,
        payload,
        cleared_at,
        expiry,
        marks,
    })
}

/// Form and body of a siblings record; gives its table of actors.
pub(super) fn push_siblings(record: &SiblingsRecord, out: &mut Vec<u8>) -> Actors {
    out.push(0);
    let dots = record.siblings.iter().map(|sibling| sibling.0);
    let marked = record.marks.as_slice().iter().map(|mark| mark.dot);
    let actors = actors_of(&record.seen, dots.chain(marked));
    push_context(&record.seen, &actors, out);
    push_varint(out, record.siblings.len() as u64);
    for (dot, version) in &record.siblings {
        push_indexed(*dot, &actors, out);
        push_version(version, out);
    }
    push_marks(&record.marks, out, |actor, out| {
        push_varint(out, index_of(actor, &actors))
    });
    actors
}

/// Reads the body of a siblings record. The caller sees to it that nothing follows and that every actor was of use.
pub(super) fn read_siblings(bytes: &Bytes, cursor: &mut Cursor<'_>) -> Result<(SiblingsRecord, Table), Malformed> {
    let (seen, Table { actors, mut used }) = read_context(cursor)?;
    let count = cursor.count(SIBLING_BYTES_MIN)?;
    let mut siblings: SmallVec<[(Dot, Version); 1]> = SmallVec::with_capacity(count);
    for _ in 0..count {
        let dot = read_indexed(cursor, &actors, &mut used)?;
        if dot.counter == 0 || siblings.last().is_some_and(|last| last.0 >= dot) {
            return Err(Malformed);
        }
        siblings.push((dot, read_version(bytes, cursor)?));
    }
    let marks = read_marks(cursor, |cursor| read_index(cursor, &actors, &mut used))?;
    let record = SiblingsRecord {
        seen,
        siblings,
        marks,
        growth: Growth::default(),
    };
    Ok((record, Table { actors, used }))
}

fn push_version(version: &Version, out: &mut Vec<u8>) {
    let mut flags = payload_tag(&version.payload);
    if has_content_type(&version.payload) {
        flags |= VERSION_CONTENT_TYPE;
    }
    if version.expires_at.is_some() {
        flags |= VERSION_EXPIRES;
    }
    out.push(flags);
    out.extend_from_slice(&version.written_at.0.to_le_bytes());
    if let Some(at) = version.expires_at {
        push_varint(out, at.0);
    }
    if let Payload::Value(value) = &version.payload {
        if !value.content_type.is_empty() {
            push_bytes(out, &value.content_type);
        }
        push_bytes(out, &value.data);
    }
}

fn read_version(bytes: &Bytes, cursor: &mut Cursor<'_>) -> Result<Version, Malformed> {
    let flags = cursor.u8()?;
    let written_at = Hlc(cursor.u64()?);
    let expires_at = if flags & VERSION_EXPIRES != 0 {
        Some(Wall(cursor.varint()?))
    } else {
        None
    };
    let has_type = flags & VERSION_CONTENT_TYPE != 0;
    if flags >= 1 << 4 {
        return Err(Malformed);
    }
    let payload = match flags & 3 {
        TOMBSTONE if !has_type => Payload::Tombstone,
        HASH_HEAD if !has_type => Payload::HashHead,
        VALUE => {
            let content_type = read_content_type(bytes, cursor, has_type)?;
            Payload::Value(Value {
                data: slice(bytes, cursor.range()?),
                content_type,
            })
        }
        _ => return Err(Malformed),
    };
    Ok(Version {
        payload,
        written_at,
        expires_at,
    })
}

fn payload_tag(payload: &Payload) -> u8 {
    match payload {
        Payload::Tombstone => TOMBSTONE,
        Payload::HashHead => HASH_HEAD,
        Payload::Value(_) => VALUE,
    }
}

fn has_content_type(payload: &Payload) -> bool {
    matches!(payload, Payload::Value(value) if !value.content_type.is_empty())
}

fn read_content_type(bytes: &Bytes, cursor: &mut Cursor<'_>, is_there: bool) -> Result<Bytes, Malformed> {
    if !is_there {
        return Ok(Bytes::new());
    }
    let range = cursor.range()?;
    if range.is_empty() {
        Err(Malformed)
    } else {
        Ok(slice(bytes, range))
    }
}

/// Empty slices hold no reference to the whole.
fn slice(bytes: &Bytes, range: std::ops::Range<usize>) -> Bytes {
    if range.is_empty() {
        Bytes::new()
    } else {
        bytes.slice(range)
    }
}

fn push_marks(marks: &RequestMarks, out: &mut Vec<u8>, push_mark_actor: impl Fn(ActorId, &mut Vec<u8>)) {
    push_varint(out, marks.as_slice().len() as u64);
    for mark in marks.as_slice() {
        out.extend_from_slice(&mark.at.0.to_le_bytes());
        out.push(mark.id.as_str().len() as u8);
        out.extend_from_slice(mark.id.as_str().as_bytes());
        out.extend_from_slice(&mark.body.to_le_bytes());
        push_mark_actor(mark.dot.actor, out);
        push_varint(out, mark.dot.counter);
    }
}

fn read_marks(
    cursor: &mut Cursor<'_>,
    mut read_mark_actor: impl FnMut(&mut Cursor<'_>) -> Result<ActorId, Malformed>,
) -> Result<RequestMarks, Malformed> {
    let count = cursor.count(MARK_BYTES_MIN)?;
    if count == 0 {
        return Ok(RequestMarks::new());
    }
    if count > REQUEST_MARKS_MAX {
        return Err(Malformed);
    }
    let mut marks = Vec::with_capacity(count);
    for _ in 0..count {
        let at = Hlc(cursor.u64()?);
        let length = usize::from(cursor.u8()?);
        let id = str::from_utf8(cursor.take(length)?)
            .ok()
            .and_then(ClientRequestId::parse)
            .ok_or(Malformed)?;
        let body = cursor.u64()?;
        let actor = read_mark_actor(cursor)?;
        marks.push(RequestMark {
            at,
            id,
            body,
            dot: Dot {
                actor,
                counter: cursor.varint()?,
            },
        });
    }
    RequestMarks::from_sorted(marks).ok_or(Malformed)
}

fn push_actor(actor: ActorId, out: &mut impl Sink) {
    out.extend_from_slice(&actor.node.0.to_le_bytes());
    out.extend_from_slice(&actor.life.0.to_le_bytes());
    push_varint(out, actor.birth);
}

fn read_actor(cursor: &mut Cursor<'_>) -> Result<ActorId, Malformed> {
    Ok(ActorId {
        node: NodeId(cursor.u32()?),
        life: Life(cursor.u64()?),
        birth: cursor.varint()?,
    })
}

/// Every actor that the context or `more` names, sorted, once.
pub(crate) fn actors_of(context: &Context, more: impl Iterator<Item = Dot>) -> Actors {
    let mut actors: Actors = context.vector().iter().map(|entry| entry.0).collect();
    // A record usually names in dots only whom its vector names already.
    for dot in context.dots().iter().copied().chain(more) {
        if let Err(at) = actors.binary_search(&dot.actor) {
            actors.insert(at, dot.actor);
        }
    }
    actors
}

pub(super) fn index_of(actor: ActorId, actors: &Actors) -> u64 {
    actors
        .binary_search(&actor)
        .expect("the table holds every actor of the record") as u64
}

fn push_indexed(dot: Dot, actors: &Actors, out: &mut impl Sink) {
    push_varint(out, index_of(dot.actor, actors));
    push_varint(out, dot.counter);
}

/// The actor table with the vector, then the single dots. Tokens hold the same bytes.
pub(crate) fn push_context(context: &Context, actors: &Actors, out: &mut impl Sink) {
    push_varint(out, actors.len() as u64);
    let mut vector = context.vector().iter().peekable();
    for &actor in actors {
        push_actor(actor, out);
        let counter = vector.next_if(|entry| entry.0 == actor).map_or(0, |entry| entry.1);
        push_varint(out, counter);
    }
    push_varint(out, context.dots().len() as u64);
    for &dot in context.dots() {
        push_indexed(dot, actors, out);
    }
}

/// The actors that bytes named, and which of them were of any use yet.
pub(crate) struct Table {
    pub(crate) actors: Actors,
    pub(crate) used: SmallVec<[bool; 8]>,
}

pub(crate) fn read_context(cursor: &mut Cursor<'_>) -> Result<(Context, Table), Malformed> {
    let count = cursor.count(ACTOR_BYTES_MIN + 1)?;
    let mut table = Table {
        actors: Actors::with_capacity(count),
        used: SmallVec::with_capacity(count),
    };
    let mut vector = Vec::with_capacity(count);
    for _ in 0..count {
        let actor = read_actor(cursor)?;
        if table.actors.last().is_some_and(|last| *last >= actor) {
            return Err(Malformed);
        }
        let counter = cursor.varint()?;
        table.actors.push(actor);
        table.used.push(counter > 0);
        if counter > 0 {
            vector.push((actor, counter));
        }
    }
    let count = cursor.count(DOT_BYTES_MIN)?;
    let mut dots = Vec::with_capacity(count);
    for _ in 0..count {
        dots.push(read_indexed(cursor, &table.actors, &mut table.used)?);
    }
    let context = Context::from_canonical(vector, dots).ok_or(Malformed)?;
    Ok((context, table))
}

pub(super) fn read_index(cursor: &mut Cursor<'_>, actors: &Actors, used: &mut [bool]) -> Result<ActorId, Malformed> {
    let index = usize::try_from(cursor.varint()?).map_err(|_| Malformed)?;
    let actor = *actors.get(index).ok_or(Malformed)?;
    used[index] = true;
    Ok(actor)
}

fn read_indexed(cursor: &mut Cursor<'_>, actors: &Actors, used: &mut [bool]) -> Result<Dot, Malformed> {
    Ok(Dot {
        actor: read_index(cursor, actors, used)?,
        counter: cursor.varint()?,
    })
}
