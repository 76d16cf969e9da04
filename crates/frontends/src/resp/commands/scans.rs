//! Walks over a bucket's keys, and its end.

use bytes::Bytes;
use torc_core::command::{Clear, Command, Keys, KeysStart, KeysWant};
use torc_core::keyspace::KeyKind;
use torc_core::limits::PAGE_ITEMS_MAX;

use crate::resp::answer::{Answer, Scan};
use crate::resp::call::{Call, Plan};
use crate::resp::number;
use crate::resp::refused::Refused;

/// Keys of a page that names no COUNT, as in Redis.
const COUNT_DEFAULT: u32 = 10;

/// What SCAN and HSCAN have in common.
pub struct Page {
    /// From where.
    pub cursor: u64,
    /// MATCH.
    pub pattern: Option<Bytes>,
    /// COUNT, within what one page may have.
    pub count: u32,
    /// TYPE; `None` inside is a type that no key has.
    pub kind: Option<Option<KeyKind>>,
}

impl Page {
    /// Reads the cursor at word `index`, and the options behind it.
    ///
    /// # Errors
    /// Redis's words.
    pub fn read(call: &Call<'_>, index: usize, takes_type: bool) -> Result<Self, Refused> {
        let cursor = number::cursor(call.args.at(index)).ok_or_else(|| Refused::of("ERR invalid cursor"))?;
        let mut page = Self {
            cursor,
            pattern: None,
            count: COUNT_DEFAULT,
            kind: None,
        };
        let mut at = index + 1;
        while at < call.args.len() {
            if at + 1 >= call.args.len() {
                return Err(Refused::SYNTAX);
            }
            if call.args.is(at, "count") {
                let count = call.args.integer(at + 1)?;
                if count < 1 {
                    return Err(Refused::SYNTAX);
                }
                page.count = u32::try_from(count).unwrap_or(u32::MAX).min(PAGE_ITEMS_MAX);
            } else if call.args.is(at, "match") {
                let pattern = call.args.bytes(at + 1);
                page.pattern = (&pattern[..] != b"*").then_some(pattern);
            } else if takes_type && call.args.is(at, "type") {
                page.kind = Some(match call.args.at(at + 1).to_ascii_lowercase().as_slice() {
                    b"string" => Some(KeyKind::String),
                    b"hash" => Some(KeyKind::Hash),
                    _ => None,
                });
            } else {
                return Err(Refused::SYNTAX);
            }
            at += 2;
        }
        Ok(page)
    }
}

fn walk(call: &mut Call<'_>, start: KeysStart, want: KeysWant, answer: Answer) -> Result<Plan, Refused> {
    let command = Keys {
        bucket: call.bucket()?.id,
        start,
        want,
        options: call.session.options,
    };
    Ok(Plan::Barrier(Command::Keys(command), answer))
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub fn scan(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let page = Page::read(call, 1, true)?;
    let start = match page.cursor {
        0 => KeysStart::Beginning,
        hash => KeysStart::AboveHash(hash),
    };
    let scan = Scan {
        pattern: page.pattern,
        kind: page.kind,
    };
    walk(call, start, KeysWant::Keys(page.count), Answer::Scan(Box::new(scan)))
}

/// `KEYS pattern`
pub fn keys(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let pattern = call.args.bytes(1);
    walk(call, KeysStart::Beginning, KeysWant::AllKeys, Answer::Keys(pattern))
}

/// `RANDOMKEY`
pub fn randomkey(call: &mut Call<'_>) -> Result<Plan, Refused> {
    walk(call, KeysStart::Beginning, KeysWant::Random, Answer::RandomKey)
}

/// `DBSIZE`
pub fn dbsize(call: &mut Call<'_>) -> Result<Plan, Refused> {
    count(call, Answer::Integer)
}

/// How many keys the bucket has.
///
/// # Errors
/// NOBUCKET.
pub fn count(call: &mut Call<'_>, answer: Answer) -> Result<Plan, Refused> {
    walk(call, KeysStart::Beginning, KeysWant::Count, answer)
}

/// `FLUSHDB [ASYNC | SYNC]`, `FLUSHALL [ASYNC | SYNC]`
pub fn flush(call: &mut Call<'_>) -> Result<Plan, Refused> {
    match call.args.len() {
        1 => {}
        2 if call.args.is(1, "async") || call.args.is(1, "sync") => {}
        _ => return Err(Refused::SYNTAX),
    }
    let command = Clear {
        bucket: call.bucket()?.id,
        options: call.session.options,
    };
    Ok(Plan::Barrier(Command::Clear(command), Answer::Ok))
}
