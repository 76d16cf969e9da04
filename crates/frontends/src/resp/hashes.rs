//! Commands on hashes.

use bytes::Bytes;
use torc_core::command::{Command, ViewKey};
use torc_core::keyspace::{Update, Want};

use super::keys::count_of;
use super::plan::{Call, Planned, read, write};
use super::session::Session;
use super::shape::Shape;
use super::strings::change;

/// HRANDFIELD repeats fields up to so many times.
const REPETITIONS_MAX: i64 = 1 << 20;

/// HSET key field value [field value ...]
pub fn hset(call: &mut Call<'_>) -> Planned {
    let update = Update::HashSet(pairs(call)?);
    change(call, update)
}

/// HMSET key field value [field value ...]
pub fn hmset(call: &mut Call<'_>) -> Planned {
    let update = Update::HashSet(pairs(call)?);
    let planned = change(call, update)?;
    match planned {
        super::plan::Plan::One(command, _, _) => write(command, Shape::Ok),
        other => Ok(other),
    }
}

fn pairs(call: &Call<'_>) -> Result<Vec<(Bytes, Bytes)>, String> {
    if !call.arguments.len().is_multiple_of(2) {
        let name = call.name.to_ascii_lowercase();
        return Err(format!("ERR wrong number of arguments for '{name}' command"));
    }
    let pairs = call.arguments[2..].chunks_exact(2);
    Ok(pairs.map(|pair| (pair[0].clone(), pair[1].clone())).collect())
}

/// HDEL key field [field ...]
pub fn hdel(call: &mut Call<'_>) -> Planned {
    let fields = call.arguments[2..].to_vec();
    change(call, Update::HashDel(fields))
}

/// HGET key field
pub fn hget(call: &mut Call<'_>) -> Planned {
    one_field(call, Shape::Field)
}

/// HEXISTS key field
pub fn hexists(call: &mut Call<'_>) -> Planned {
    one_field(call, Shape::FieldExists)
}

/// HSTRLEN key field
pub fn hstrlen(call: &mut Call<'_>) -> Planned {
    one_field(call, Shape::FieldLength)
}

/// HMGET key field [field ...]
pub fn hmget(call: &mut Call<'_>) -> Planned {
    let fields = call.arguments[2..].to_vec();
    let shape = Shape::Fields(fields.len());
    view(call, Want::Fields(fields), shape)
}

/// HGETALL key
pub fn hgetall(call: &mut Call<'_>) -> Planned {
    view(call, Want::AllFields, Shape::AllPairs)
}

/// HKEYS key
pub fn hkeys(call: &mut Call<'_>) -> Planned {
    view(call, Want::AllFields, Shape::FieldNames)
}

/// HVALS key
pub fn hvals(call: &mut Call<'_>) -> Planned {
    view(call, Want::AllFields, Shape::FieldValues)
}

/// HLEN key
pub fn hlen(call: &mut Call<'_>) -> Planned {
    view(call, Want::AllFields, Shape::FieldCount)
}

/// HRANDFIELD key [count [WITHVALUES]]
pub fn hrandfield(call: &mut Call<'_>) -> Planned {
    let count = if call.arguments.len() > 2 {
        Some(call.integer(2)?)
    } else {
        None
    };
    let with_values = match (call.arguments.len(), &call.word(3)[..]) {
        (2 | 3, _) => false,
        (4, "WITHVALUES") => true,
        _ => return Err("ERR syntax error".into()),
    };
    if count.is_some_and(|count| !(-REPETITIONS_MAX..=i64::MAX / 2).contains(&count)) {
        return Err("ERR value is out of range".into());
    }
    let seed = call.host.random();
    view(call, Want::AllFields, Shape::RandomFields(count, with_values, seed))
}

/// HSCAN key cursor [MATCH pattern] [COUNT count]
pub fn hscan(call: &mut Call<'_>) -> Planned {
    let cursor = std::str::from_utf8(call.argument(2))
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    cursor.ok_or("ERR invalid cursor")?;
    let mut pattern = None;
    let mut place = 3;
    while place < call.arguments.len() {
        let has_value = place + 1 < call.arguments.len();
        match &call.word(place)[..] {
            "MATCH" if has_value => pattern = Some(call.argument(place + 1).clone()),
            "COUNT" if has_value => {
                count_of(call, place + 1)?;
            }
            _ => return Err("ERR syntax error".into()),
        }
        place += 2;
    }
    view(call, Want::AllFields, Shape::FieldScan(pattern))
}

fn one_field(call: &mut Call<'_>, shape: Shape) -> Planned {
    let field = call.argument(2).clone();
    view(call, Want::Fields(vec![field]), shape)
}

fn view(call: &mut Call<'_>, want: Want, shape: Shape) -> Planned {
    let bucket = call.session.redis_bucket(&call.name.to_ascii_lowercase(), call.host)?;
    let command = Command::View(ViewKey {
        target: Session::target(bucket, call.argument(1)),
        want,
        options: call.session.options(),
    });
    read(command, shape)
}
