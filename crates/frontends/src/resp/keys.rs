//! Commands on keys of whatever type.

use bytes::Bytes;
use torc_core::bucket::Conflict;
use torc_core::command::{Clear, Command, Get, KeysStart, KeysWant, UpdateKey, ViewKey};
use torc_core::keyspace::{ExpireIf, Update, Want};

use super::plan::{Call, Planned, barrier, read};
use super::session::Session;
use super::shape::{Moment, Shape, walk};
use super::strings::{change, wall};

/// Most keys of one page of SCAN.
const COUNT_MAX: i64 = 1_000;

/// DEL key [key ...], UNLINK
pub fn del(call: &mut Call<'_>) -> Planned {
    let bucket = call.session.bucket(call.host)?;
    let options = call.session.options();
    let keys = &call.arguments[1..];
    if bucket.conflict == Conflict::Siblings {
        let targets: Vec<_> = keys.iter().map(|key| Session::target(bucket, key)).collect();
        let gets = targets
            .iter()
            .cloned()
            .map(|target| Command::Get(Get { target, options }));
        return barrier(gets.collect(), Shape::DeleteFound(targets));
    }
    if keys.len() == 1 {
        return change(call, Update::Del);
    }
    let deletes = keys.iter().map(|key| {
        Command::Update(UpdateKey {
            target: Session::target(bucket, key),
            update: Update::Del,
            options,
        })
    });
    barrier(deletes.collect(), Shape::Sum)
}

/// EXISTS key [key ...], TOUCH
pub fn exists(call: &mut Call<'_>) -> Planned {
    let keys = call.arguments.len() - 1;
    if keys == 1 {
        return look(call, Shape::Exists);
    }
    let commands = call.arguments[1..]
        .iter()
        .map(|key| head(call, key))
        .collect::<Result<_, _>>()?;
    barrier(commands, Shape::Exists)
}

/// TYPE key
pub fn kind(call: &mut Call<'_>) -> Planned {
    look(call, Shape::Type)
}

/// TTL key
pub fn ttl(call: &mut Call<'_>) -> Planned {
    expiry(call, Moment::SecondsLeft)
}

/// PTTL key
pub fn pttl(call: &mut Call<'_>) -> Planned {
    expiry(call, Moment::MillisecondsLeft)
}

/// EXPIRETIME key
pub fn expiretime(call: &mut Call<'_>) -> Planned {
    expiry(call, Moment::AtSeconds)
}

/// PEXPIRETIME key
pub fn pexpiretime(call: &mut Call<'_>) -> Planned {
    expiry(call, Moment::AtMilliseconds)
}

fn expiry(call: &mut Call<'_>, moment: Moment) -> Planned {
    call.session.redis_bucket(&call.name.to_ascii_lowercase(), call.host)?;
    look(call, Shape::Expiry(moment))
}

fn look(call: &mut Call<'_>, shape: Shape) -> Planned {
    let command = head(call, call.argument(1))?;
    match (&command, &shape) {
        // A siblings bucket has strings alone.
        (Command::Get(_), Shape::Exists) => barrier(vec![command], shape),
        _ => read(command, shape),
    }
}

/// What shows whether a key is there.
fn head(call: &Call<'_>, key: &Bytes) -> Result<Command, String> {
    let bucket = call.session.bucket(call.host)?;
    let target = Session::target(bucket, key);
    let options = call.session.options();
    Ok(match bucket.conflict {
        Conflict::Siblings => Command::Get(Get { target, options }),
        Conflict::Lww => Command::View(ViewKey {
            target,
            want: Want::Head,
            options,
        }),
    })
}

/// EXPIRE key seconds [NX | XX | GT | LT]
pub fn expire(call: &mut Call<'_>) -> Planned {
    expire_at(call, 1_000, true)
}

/// PEXPIRE key milliseconds [NX | XX | GT | LT]
pub fn pexpire(call: &mut Call<'_>) -> Planned {
    expire_at(call, 1, true)
}

/// EXPIREAT key seconds [NX | XX | GT | LT]
pub fn expireat(call: &mut Call<'_>) -> Planned {
    expire_at(call, 1_000, false)
}

/// PEXPIREAT key milliseconds [NX | XX | GT | LT]
pub fn pexpireat(call: &mut Call<'_>) -> Planned {
    expire_at(call, 1, false)
}

fn expire_at(call: &mut Call<'_>, unit_ms: i64, is_relative: bool) -> Planned {
    let number = call.integer(2)?;
    let name = call.name.to_ascii_lowercase();
    let invalid = || format!("ERR invalid expire time in '{name}' command");
    let start = if is_relative { call.host.now().0 as i64 } else { 0 };
    let at = number
        .checked_mul(unit_ms)
        .and_then(|milliseconds| milliseconds.checked_add(start))
        .ok_or_else(invalid)?;
    let condition = condition(call)?;
    change(
        call,
        Update::Expire {
            at: wall(at),
            condition,
        },
    )
}

fn condition(call: &Call<'_>) -> Result<ExpireIf, String> {
    let mut words = Vec::new();
    for place in 3..call.arguments.len() {
        let word = call.word(place);
        if !["NX", "XX", "GT", "LT"].contains(&&word[..]) {
            let given = String::from_utf8_lossy(call.argument(place)).into_owned();
            return Err(format!("ERR Unsupported option {given}"));
        }
        words.push(word);
    }
    let has = |word: &str| words.iter().any(|other| other == word);
    if has("NX") && (has("XX") || has("GT") || has("LT")) {
        return Err("ERR NX and XX, GT or LT options at the same time are not compatible".into());
    }
    if has("GT") && has("LT") {
        return Err("ERR GT and LT options at the same time are not compatible".into());
    }
    Ok(if has("NX") {
        ExpireIf::None
    } else if has("GT") {
        // Without an expiry a key lives for ever, which nothing is later than: XX adds nothing.
        ExpireIf::Later
    } else if has("LT") {
        ExpireIf::Earlier
    } else if has("XX") {
        ExpireIf::Some
    } else {
        ExpireIf::Always
    })
}

/// PERSIST key
pub fn persist(call: &mut Call<'_>) -> Planned {
    change(call, Update::Persist)
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
pub fn scan(call: &mut Call<'_>) -> Planned {
    let cursor = std::str::from_utf8(call.argument(1))
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    let cursor = cursor.ok_or("ERR invalid cursor")?;
    let (mut pattern, mut kind, mut count) = (None, None, 10);
    let mut place = 2;
    while place < call.arguments.len() {
        let has_value = place + 1 < call.arguments.len();
        match &call.word(place)[..] {
            "MATCH" if has_value => pattern = Some(call.argument(place + 1).clone()),
            "TYPE" if has_value => kind = Some(Bytes::from(call.argument(place + 1).to_ascii_lowercase())),
            "COUNT" if has_value => count = count_of(call, place + 1)?,
            _ => return Err("ERR syntax error".into()),
        }
        place += 2;
    }
    let bucket = call.session.bucket(call.host)?;
    let start = if cursor == 0 {
        KeysStart::Beginning
    } else {
        KeysStart::AboveHash(cursor)
    };
    let command = walk(bucket.id, start, KeysWant::Keys(count), call.session);
    barrier(
        vec![command],
        Shape::Scan(pattern.filter(|pattern| pattern != "*"), kind),
    )
}

/// COUNT's number, at most what a page can have.
pub fn count_of(call: &Call<'_>, place: usize) -> Result<u32, String> {
    match call.integer(place)? {
        1.. => Ok(call.integer(place)?.min(COUNT_MAX) as u32),
        _ => Err("ERR syntax error".into()),
    }
}

/// KEYS pattern
pub fn keys(call: &mut Call<'_>) -> Planned {
    let pattern = call.argument(1).clone();
    whole(call, KeysWant::AllKeys, Shape::Matching(pattern))
}

/// DBSIZE
pub fn dbsize(call: &mut Call<'_>) -> Planned {
    whole(call, KeysWant::Count, Shape::Count)
}

/// RANDOMKEY
pub fn randomkey(call: &mut Call<'_>) -> Planned {
    whole(call, KeysWant::Random, Shape::Random)
}

fn whole(call: &mut Call<'_>, want: KeysWant, shape: Shape) -> Planned {
    let bucket = call.session.bucket(call.host)?;
    let command = walk(bucket.id, KeysStart::Beginning, want, call.session);
    barrier(vec![command], shape)
}

/// FLUSHDB [ASYNC | SYNC], FLUSHALL: the selected bucket
pub fn flush(call: &mut Call<'_>) -> Planned {
    if call.arguments.len() > 2 || !["", "ASYNC", "SYNC"].contains(&&call.word(1)[..]) {
        return Err("ERR syntax error".into());
    }
    let bucket = call.session.redis_bucket(&call.name.to_ascii_lowercase(), call.host)?;
    let clear = Command::Clear(Clear {
        bucket: bucket.id,
        options: call.session.options(),
    });
    barrier(vec![clear], Shape::Ok)
}
