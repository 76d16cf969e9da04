//! Fields of a hash.

use std::borrow::Cow;

use bytes::Bytes;
use torc_core::limits::GATHER_BYTES_MAX;
use torc_core::outcome::{Cause, Failure};

use crate::resp::answer::{Answer, Next, Turn};
use crate::resp::glob;
use crate::resp::writer::{Protocol, Writer};

/// A hash of at most this many fields is scanned in one page, as Redis does with one that it keeps as a listpack.
const WHOLE_SCAN_FIELDS_MAX: usize = 512;

/// Which part of a hash is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HashPart {
    /// HGETALL.
    Both,
    /// HKEYS.
    Names,
    /// HVALS.
    Values,
    /// HLEN.
    Count,
}

/// HRANDFIELD.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FieldsByChance {
    /// Not given: one field, as a string. Negative: so many, and one may come twice.
    pub count: Option<i64>,
    /// WITHVALUES.
    pub with_values: bool,
}

/// HSCAN. The cursor is the hash of the last field shown: fields are walked in the order of their hashes, so one that is
/// there during the whole walk is shown exactly once.
#[derive(Debug)]
pub struct HashScan {
    /// From where.
    pub cursor: u64,
    /// MATCH.
    pub pattern: Option<Bytes>,
    /// COUNT.
    pub count: usize,
}

type Fields = [(Bytes, Option<Bytes>)];

/// The reply of an answer about fields. None: no such key.
pub fn reply(answer: Answer, fields: &Fields, turn: &mut Turn<'_>) -> Result<Next, Cow<'static, str>> {
    let reply = &mut turn.reply;
    let value = || fields.first().and_then(|field| field.1.as_deref());
    match answer {
        Answer::Field => reply.bulk_or_nil(value()),
        Answer::FieldExists => reply.integer(i64::from(value().is_some())),
        Answer::FieldLength => reply.integer(value().map_or(0, |value| value.len() as i64)),
        Answer::Fields(count) => {
            reply.array(count);
            for index in 0..count {
                reply.bulk_or_nil(fields.get(index).and_then(|field| field.1.as_deref()));
            }
        }
        Answer::Hash(part) => all(part, fields, reply),
        Answer::FieldsByChance(chance) => return by_chance(chance, fields, turn),
        Answer::HashScan(scan) => scan.reply(fields, reply),
        other => return Err(super::misfit(&other)),
    }
    Ok(Next::Done)
}

fn all(part: HashPart, fields: &Fields, reply: &mut Writer<'_>) {
    match part {
        HashPart::Both => reply.map(fields.len()),
        HashPart::Names | HashPart::Values => reply.array(fields.len()),
        HashPart::Count => return reply.integer(fields.len() as i64),
    }
    for (name, value) in fields {
        if part != HashPart::Values {
            reply.bulk(name);
        }
        if part != HashPart::Names {
            reply.bulk(value.as_deref().unwrap_or_default());
        }
    }
}

fn by_chance(chance: FieldsByChance, fields: &Fields, turn: &mut Turn<'_>) -> Result<Next, Cow<'static, str>> {
    let Some(count) = chance.count else {
        let index = below(turn, fields.len());
        let name = fields.get(index).map(|field| &field.0[..]);
        turn.reply.bulk_or_nil(name);
        return Ok(Next::Done);
    };
    if fields.is_empty() {
        turn.reply.array(0);
        return Ok(Next::Done);
    }
    let chosen: Vec<usize> = if count < 0 {
        let count = count.unsigned_abs() as usize;
        (0..count).map(|_| below(turn, fields.len())).collect()
    } else {
        // The first `count` of a shuffle.
        let mut order: Vec<usize> = (0..fields.len()).collect();
        let count = (count as usize).min(order.len());
        for index in 0..count {
            let other = index + below(turn, order.len() - index);
            order.swap(index, other);
        }
        order.truncate(count);
        order
    };
    let weight = |&index: &usize| {
        let (name, value) = &fields[index];
        name.len() + value.as_ref().map_or(0, Bytes::len)
    };
    if chosen.iter().map(weight).sum::<usize>() > GATHER_BYTES_MAX {
        let limit = GATHER_BYTES_MAX as u64;
        return Err(super::line_of(&Failure::refused(Cause::ResultTooLarge { limit })));
    }
    let in_pairs = chance.with_values && turn.reply.protocol == Protocol::Resp3;
    let flat = if chance.with_values && !in_pairs { 2 } else { 1 };
    turn.reply.array(chosen.len() * flat);
    for index in chosen {
        let (name, value) = &fields[index];
        if in_pairs {
            turn.reply.array(2);
        }
        turn.reply.bulk(name);
        if chance.with_values {
            turn.reply.bulk(value.as_deref().unwrap_or_default());
        }
    }
    Ok(Next::Done)
}

/// A number below `bound`, each about as likely.
fn below(turn: &mut Turn<'_>, bound: usize) -> usize {
    ((u128::from(turn.host.random()) * bound as u128) >> 64) as usize
}

impl HashScan {
    fn reply(&self, fields: &Fields, reply: &mut Writer<'_>) {
        let mut order: Vec<(u64, usize)> = fields.iter().map(|field| place(&field.0)).zip(0..).collect();
        order.retain(|entry| self.cursor == 0 || entry.0 > self.cursor);
        order.sort_unstable();
        let mut end = order.len();
        if fields.len() > WHOLE_SCAN_FIELDS_MAX {
            end = self.count.min(end);
            // Equal hashes are never split between two pages.
            while end > 0 && end < order.len() && order[end].0 == order[end - 1].0 {
                end += 1;
            }
        }
        let cursor = if end < order.len() { order[end - 1].0 } else { 0 };
        let matches = |name: &[u8]| self.pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, name));
        order.truncate(end);
        order.retain(|entry| matches(&fields[entry.1].0));
        let mut digits = itoa::Buffer::new();
        reply.array(2);
        reply.bulk(digits.format(cursor).as_bytes());
        reply.array(order.len() * 2);
        for (_, index) in order {
            let (name, value) = &fields[index];
            reply.bulk(name);
            reply.bulk(value.as_deref().unwrap_or_default());
        }
    }
}

/// Where a field stands in a walk; never 0. Any node must give the same, so this is FNV-1a, finished by multiplication.
fn place(name: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in name {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash ^ hash >> 29).max(1)
}
