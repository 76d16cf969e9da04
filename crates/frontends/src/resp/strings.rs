//! Commands on strings.

use bytes::Bytes;
use torc_core::bucket::{Bucket, Conflict};
use torc_core::causality::Value;
use torc_core::command::{Command, Get, Put, PutAction, PutContext, Ttl, UpdateKey};
use torc_core::keyspace::{ExpiryChange, Update};
use torc_core::time::Wall;

use super::plan::{Call, Plan, Planned, barrier, read, write};
use super::reply;
use super::session::Session;
use super::shape::Shape;

/// Longest string that SETRANGE may make, as in Redis; the bucket's own limit is smaller.
const STRING_BYTES_MAX: i64 = 512 << 20;

/// GET key
pub fn get(call: &mut Call<'_>) -> Planned {
    read_string(call, Shape::Value)
}

/// STRLEN key
pub fn strlen(call: &mut Call<'_>) -> Planned {
    read_string(call, Shape::Length)
}

/// GETRANGE key start end
pub fn getrange(call: &mut Call<'_>) -> Planned {
    let (start, end) = (call.integer(2)?, call.integer(3)?);
    read_string(call, |target| Shape::Range(target, start, end))
}

fn read_string(call: &mut Call<'_>, shape: impl FnOnce(torc_core::command::Target) -> Shape) -> Planned {
    let bucket = call.session.bucket(call.host)?;
    let target = Session::target(bucket, call.argument(1));
    let options = call.session.options();
    let shape = shape(target.clone());
    read(Command::Get(Get { target, options }), shape)
}

/// MGET key [key ...]
pub fn mget(call: &mut Call<'_>) -> Planned {
    let bucket = call.session.bucket(call.host)?;
    let options = call.session.options();
    let gets = call.arguments[1..].iter().map(|key| {
        let target = Session::target(bucket, key);
        Command::Get(Get { target, options })
    });
    barrier(gets.collect(), Shape::Values)
}

/// SET key value [NX | XX] [GET] [EX seconds | PX ms | EXAT seconds | PXAT ms | KEEPTTL]
pub fn set(call: &mut Call<'_>) -> Planned {
    let mut expiry: Option<ExpiryChange> = None;
    let (mut is_conditional, mut returns_old) = (false, false);
    let mut place = 3;
    while place < call.arguments.len() {
        match &call.word(place)[..] {
            "NX" | "XX" if !is_conditional => is_conditional = true,
            "GET" => returns_old = true,
            "KEEPTTL" if expiry.is_none() => expiry = Some(ExpiryChange::Keep),
            unit @ ("EX" | "PX" | "EXAT" | "PXAT") if expiry.is_none() && place + 1 < call.arguments.len() => {
                expiry = Some(ExpiryChange::At(moment(call, unit, place + 1)?));
                place += 1;
            }
            _ => return Err("ERR syntax error".into()),
        }
        place += 1;
    }
    if is_conditional {
        return Err(super::table::needs_agreement(call.name, call.session));
    }
    if returns_old || expiry == Some(ExpiryChange::Keep) {
        let update = Update::Set {
            value: call.argument(2).clone(),
            expiry: expiry.unwrap_or(ExpiryChange::Clear),
            return_old: returns_old,
        };
        return change(call, update);
    }
    let ttl = match expiry {
        Some(ExpiryChange::At(at)) => Ttl::At(at),
        Some(ExpiryChange::Keep | ExpiryChange::Clear) | None => Ttl::BucketDefault,
    };
    put(call, 2, ttl)
}

/// SETEX key seconds value
pub fn setex(call: &mut Call<'_>) -> Planned {
    let at = moment(call, "EX", 2)?;
    put(call, 3, Ttl::At(at))
}

/// PSETEX key milliseconds value
pub fn psetex(call: &mut Call<'_>) -> Planned {
    let at = moment(call, "PX", 2)?;
    put(call, 3, Ttl::At(at))
}

fn put(call: &mut Call<'_>, place: usize, ttl: Ttl) -> Planned {
    let bucket = call.session.bucket(call.host)?;
    let put = put_of(bucket, call.argument(1), call.argument(place), ttl, call.session);
    write(put, Shape::Ok)
}

fn put_of(bucket: &Bucket, key: &Bytes, value: &Bytes, ttl: Ttl, session: &Session) -> Command {
    let context = match bucket.conflict {
        Conflict::Lww => PutContext::Blind,
        Conflict::Siblings => PutContext::ReadFirst,
    };
    Command::Put(Put {
        target: Session::target(bucket, key),
        action: PutAction::Value(Value::plain(value.clone()), ttl),
        context,
        request: None,
        options: session.options(),
    })
}

/// MSET key value [key value ...]
pub fn mset(call: &mut Call<'_>) -> Planned {
    if call.arguments.len().is_multiple_of(2) {
        return Err("ERR wrong number of arguments for 'mset' command".into());
    }
    let bucket = call.session.bucket(call.host)?;
    let pairs = call.arguments[1..].chunks_exact(2);
    let puts = pairs.map(|pair| put_of(bucket, &pair[0], &pair[1], Ttl::BucketDefault, call.session));
    barrier(puts.collect(), Shape::Ok)
}

/// GETSET key value
pub fn getset(call: &mut Call<'_>) -> Planned {
    let update = Update::Set {
        value: call.argument(2).clone(),
        expiry: ExpiryChange::Clear,
        return_old: true,
    };
    change(call, update)
}

/// GETDEL key
pub fn getdel(call: &mut Call<'_>) -> Planned {
    change(call, Update::GetDel)
}

/// GETEX key [EX seconds | PX ms | EXAT seconds | PXAT ms | PERSIST]
pub fn getex(call: &mut Call<'_>) -> Planned {
    let expiry = match (call.arguments.len(), &call.word(2)[..]) {
        (2, _) => return get(call),
        (3, "PERSIST") => ExpiryChange::Clear,
        (4, unit @ ("EX" | "PX" | "EXAT" | "PXAT")) => ExpiryChange::At(moment(call, unit, 3)?),
        _ => return Err("ERR syntax error".into()),
    };
    change(call, Update::GetEx(expiry))
}

/// APPEND key value
pub fn append(call: &mut Call<'_>) -> Planned {
    let data = call.argument(2).clone();
    change(call, Update::Append(data))
}

/// SETRANGE key offset value
pub fn setrange(call: &mut Call<'_>) -> Planned {
    let offset = call.integer(2)?;
    if offset < 0 {
        return Err("ERR offset is out of range".into());
    }
    let data = call.argument(3).clone();
    if !data.is_empty() && offset.saturating_add(data.len() as i64) > STRING_BYTES_MAX {
        return Err("ERR string exceeds maximum allowed size (proto-max-bulk-len)".into());
    }
    let offset = u32::try_from(offset).unwrap_or(u32::MAX);
    change(call, Update::SetRange { offset, data })
}

/// A read-modify-write of the command's first key.
pub fn change(call: &mut Call<'_>, update: Update) -> Planned {
    let bucket = call.session.redis_bucket(&call.name.to_ascii_lowercase(), call.host)?;
    let command = Command::Update(UpdateKey {
        target: Session::target(bucket, call.argument(1)),
        update,
        options: call.session.options(),
    });
    write(command, Shape::Updated)
}

/// The moment that `EX 10` and its kin name.
fn moment(call: &Call<'_>, unit: &str, place: usize) -> Result<Wall, String> {
    let number = call.integer(place)?;
    let name = call.name.to_ascii_lowercase();
    let invalid = || format!("ERR invalid expire time in '{name}' command");
    if number <= 0 {
        return Err(invalid());
    }
    let milliseconds = match unit {
        "EX" | "EXAT" => number.checked_mul(1_000).ok_or_else(invalid)?,
        _ => number,
    };
    let at = match unit {
        "EX" | "PX" => milliseconds.checked_add(call.host.now().0 as i64).ok_or_else(invalid)?,
        _ => milliseconds,
    };
    Ok(wall(at))
}

/// A moment as the core has it: 48 bits of milliseconds.
pub fn wall(milliseconds: i64) -> Wall {
    Wall((milliseconds.max(0) as u64).min((1 << 48) - 1))
}

/// PING [message]
pub fn ping(call: &mut Call<'_>) -> Planned {
    match call.arguments.get(1) {
        Some(text) if call.arguments.len() == 2 => reply::bulk(call.out, text),
        Some(_) => return Err("ERR wrong number of arguments for 'ping' command".into()),
        None => reply::simple(call.out, "PONG"),
    }
    Ok(Plan::Answered)
}
