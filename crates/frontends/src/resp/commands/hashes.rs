//! Hashes.

use torc_core::keyspace::{Update, Want};

use crate::resp::answer::{Answer, FieldsByChance, HashPart, HashScan};
use crate::resp::call::{Call, Plan};
use crate::resp::commands::scans::Page;
use crate::resp::refused::Refused;

/// Most fields that HRANDFIELD gives with repetition.
const REPEATED_FIELDS_MAX: i64 = 1 << 20;

/// `HSET key field value …`, `HMSET`
pub fn hset(call: &mut Call<'_>) -> Result<Plan, Refused> {
    if !call.args.len().is_multiple_of(2) {
        return Err(Refused::arity(call.spec.name));
    }
    let pairs = (2..call.args.len()).step_by(2);
    let fields = pairs
        .map(|index| (call.args.bytes(index), call.args.bytes(index + 1)))
        .collect();
    let answer = if call.spec.name == "hmset" {
        Answer::Ok
    } else {
        Answer::Integer
    };
    call.update(Update::HashSet(fields), answer)
}

/// `HDEL key field …`
pub fn hdel(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.update(Update::HashDel(call.words_from(2)), Answer::Integer)
}

/// `HGET key field`
pub fn hget(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.view(Want::Fields(call.words_from(2)), Answer::Field)
}

/// `HMGET key field …`
pub fn hmget(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let fields = call.words_from(2);
    let count = fields.len();
    call.view(Want::Fields(fields), Answer::Fields(count))
}

/// `HEXISTS key field`
pub fn hexists(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.view(Want::Fields(call.words_from(2)), Answer::FieldExists)
}

/// `HSTRLEN key field`
pub fn hstrlen(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.view(Want::Fields(call.words_from(2)), Answer::FieldLength)
}

/// `HGETALL key`
pub fn hgetall(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.view(Want::AllFields, Answer::Hash(HashPart::Both))
}

/// `HKEYS key`
pub fn hkeys(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.view(Want::AllFields, Answer::Hash(HashPart::Names))
}

/// `HVALS key`
pub fn hvals(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.view(Want::AllFields, Answer::Hash(HashPart::Values))
}

/// `HLEN key`
pub fn hlen(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.view(Want::AllFields, Answer::Hash(HashPart::Count))
}

/// `HRANDFIELD key [count [WITHVALUES]]`
pub fn hrandfield(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let count = match call.args.len() {
        2 => None,
        _ => Some(call.args.integer(2)?),
    };
    let with_values = call.args.len() == 4 && call.args.is(3, "withvalues");
    if call.args.len() > 4 || (call.args.len() == 4 && !with_values) {
        return Err(Refused::SYNTAX);
    }
    if count.is_some_and(|count| count < -REPEATED_FIELDS_MAX) {
        return Err(Refused::of("ERR value is out of range"));
    }
    let chance = FieldsByChance { count, with_values };
    call.view(Want::AllFields, Answer::FieldsByChance(chance))
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count]`
pub fn hscan(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let page = Page::read(call, 2, false)?;
    let scan = HashScan {
        cursor: page.cursor,
        pattern: page.pattern,
        count: page.count as usize,
    };
    call.view(Want::AllFields, Answer::HashScan(Box::new(scan)))
}
