//! Strings. What needs no read writes the head alone (RULINGS 8); what reads runs at a home of the key (RULINGS 10).

use bytes::Bytes;
use torc_core::causality::Value;
use torc_core::command::{Command, Get, Put, PutAction, PutContext, Target, Ttl};
use torc_core::keyspace::{ExpiryChange, Update};

use crate::resp::answer::{Answer, Gather, Gathering, StringPart};
use crate::resp::call::{Call, Plan};
use crate::resp::commands::expiry::{self, IN_MS, IN_SECONDS, TimeForm};
use crate::resp::refused::Refused;

/// Redis's bound on a string's length.
const STRING_BYTES_MAX: i64 = 512 << 20;

/// `GET key`
pub fn get(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.string(StringPart::Whole)
}

/// `STRLEN key`
pub fn strlen(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.string(StringPart::Length)
}

/// `GETRANGE key start end`, `SUBSTR`
pub fn getrange(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let part = StringPart::Range(call.args.integer(2)?, call.args.integer(3)?);
    call.string(part)
}

/// Writes a string whatever was there.
fn write(call: &mut Call<'_>, target: Target, data: Bytes, ttl: Ttl) -> Result<Command, Refused> {
    let context = if call.keeps_siblings()? {
        PutContext::ReadFirst
    } else {
        PutContext::Blind
    };
    Ok(Command::Put(Put {
        target,
        action: PutAction::Value(Value::plain(data), ttl),
        context,
        request: None,
        options: call.session.options,
    }))
}

/// What SET was asked for besides the value.
#[derive(Default)]
struct SetOptions {
    expiry: Option<(TimeForm, usize)>,
    keeps_ttl: bool,
    returns_old: bool,
    condition: Option<&'static str>,
}

impl SetOptions {
    fn read(call: &Call<'_>) -> Result<Self, Refused> {
        let mut options = Self::default();
        let mut index = 3;
        while index < call.args.len() {
            let word = call.args.at(index);
            if word.eq_ignore_ascii_case(b"get") {
                options.returns_old = true;
            } else if word.eq_ignore_ascii_case(b"keepttl") && options.expiry.is_none() {
                options.keeps_ttl = true;
            } else if word.eq_ignore_ascii_case(b"nx") && options.condition != Some("set xx") {
                options.condition = Some("set nx");
            } else if word.eq_ignore_ascii_case(b"xx") && options.condition != Some("set nx") {
                options.condition = Some("set xx");
            } else if let Some(form) = expiry::form_of(word)
                && options.expiry.is_none()
                && !options.keeps_ttl
                && index + 1 < call.args.len()
            {
                index += 1;
                options.expiry = Some((form, index));
            } else {
                return Err(Refused::SYNTAX);
            }
            index += 1;
        }
        Ok(options)
    }
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub fn set(call: &mut Call<'_>) -> Result<Plan, Refused> {
    if call.args.len() == 3 {
        return set_until(call, 2, Ttl::BucketDefault);
    }
    let options = SetOptions::read(call)?;
    let at = match options.expiry {
        Some((form, index)) => Some(expiry::later(call, index, form)?),
        None => None,
    };
    if let Some(name) = options.condition {
        return Err(Refused::needs_agreement(name, call.bucket()?));
    }
    if !options.returns_old && !options.keeps_ttl {
        return set_until(call, 2, at.map_or(Ttl::BucketDefault, Ttl::At));
    }
    let change = match at {
        Some(at) => ExpiryChange::At(at),
        None if options.keeps_ttl => ExpiryChange::Keep,
        None => call.default_expiry()?,
    };
    let answer = if options.returns_old { Answer::Value } else { Answer::Ok };
    let update = Update::Set {
        value: call.args.bytes(2),
        expiry: change,
        return_old: options.returns_old,
    };
    call.update(update, answer)
}

fn set_until(call: &mut Call<'_>, value: usize, ttl: Ttl) -> Result<Plan, Refused> {
    let target = call.target(1)?;
    let data = call.args.bytes(value);
    Ok(Plan::Key(write(call, target, data, ttl)?, Answer::Ok))
}

/// `SETEX key seconds value`
pub fn setex(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let at = expiry::later(call, 2, IN_SECONDS)?;
    set_until(call, 3, Ttl::At(at))
}

/// `PSETEX key milliseconds value`
pub fn psetex(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let at = expiry::later(call, 2, IN_MS)?;
    set_until(call, 3, Ttl::At(at))
}

/// `GETSET key value`
pub fn getset(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let update = Update::Set {
        value: call.args.bytes(2),
        expiry: call.default_expiry()?,
        return_old: true,
    };
    call.update(update, Answer::Value)
}

/// `GETDEL key`
pub fn getdel(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.update(Update::GetDel, Answer::Value)
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub fn getex(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let change = match call.args.len() {
        2 => return get(call),
        3 if call.args.is(2, "persist") => ExpiryChange::Clear,
        4 => {
            let form = expiry::form_of(call.args.at(2)).ok_or(Refused::SYNTAX)?;
            ExpiryChange::At(expiry::later(call, 3, form)?)
        }
        _ => return Err(Refused::SYNTAX),
    };
    call.update(Update::GetEx(change), Answer::Value)
}

/// `APPEND key value`
pub fn append(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.update(Update::Append(call.args.bytes(2)), Answer::Integer)
}

/// `SETRANGE key offset value`
pub fn setrange(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let offset = call.args.integer(2)?;
    let data = call.args.bytes(3);
    if offset < 0 {
        return Err(Refused::of("ERR offset is out of range"));
    }
    // With nothing to write the length is answered, whatever the offset.
    let offset = if data.is_empty() { 0 } else { offset };
    if offset.saturating_add(data.len() as i64) > STRING_BYTES_MAX {
        let words = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
        return Err(Refused::of(words));
    }
    let update = Update::SetRange {
        offset: offset as u32,
        data,
    };
    call.update(update, Answer::Integer)
}

/// `MGET key …`
pub fn mget(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let options = call.session.options;
    let mut commands = Vec::with_capacity(call.args.len() - 1);
    for index in 1..call.args.len() {
        let target = call.target(index)?;
        commands.push(Command::Get(Get { target, options }));
    }
    let (command, answer) = Gather::start(Gathering::Strings, commands);
    Ok(Plan::Barrier(command, answer))
}

/// `MSET key value …`
pub fn mset(call: &mut Call<'_>) -> Result<Plan, Refused> {
    if call.args.len().is_multiple_of(2) {
        return Err(Refused::arity(call.spec.name));
    }
    if call.args.len() == 3 {
        return set_until(call, 2, Ttl::BucketDefault);
    }
    let mut commands = Vec::with_capacity(call.args.len() / 2);
    for index in (1..call.args.len()).step_by(2) {
        let target = call.target(index)?;
        let data = call.args.bytes(index + 1);
        commands.push(write(call, target, data, Ttl::BucketDefault)?);
    }
    let (command, answer) = Gather::start(Gathering::AllWritten, commands);
    Ok(Plan::Barrier(command, answer))
}
