//! Keys of any type: whether they are there, when they expire, and an end to them.

use torc_core::command::{Command, Get};
use torc_core::keyspace::{ExpireIf, Update, Want};

use crate::resp::answer::{Answer, Gather, Gathering, TtlForm};
use crate::resp::call::{Call, Plan};
use crate::resp::commands::expiry::{self, AT_MS, AT_SECONDS, IN_MS, IN_SECONDS, TimeForm};
use crate::resp::refused::Refused;

/// What only a consistent bucket can do: INCR, SETNX and their kin.
pub fn agreed(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let name = call.spec.name;
    if name == "msetnx" && call.args.len().is_multiple_of(2) {
        return Err(Refused::arity(name));
    }
    Err(Refused::needs_agreement(name, call.bucket()?))
}

/// `DEL key …`, `UNLINK key …`
pub fn del(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let keeps_siblings = call.keeps_siblings()?;
    if call.args.len() == 2 {
        if keeps_siblings {
            return call.get(Answer::DeleteFound);
        }
        return call.update(Update::Del, Answer::Integer);
    }
    let options = call.session.options;
    let mut commands = Vec::with_capacity(call.args.len() - 1);
    for index in 1..call.args.len() {
        let target = call.target(index)?;
        commands.push(if keeps_siblings {
            Command::Get(Get { target, options })
        } else {
            call.update_of(target, Update::Del)
        });
    }
    let what = if keeps_siblings {
        Gathering::DeleteFound
    } else {
        Gathering::Sum
    };
    let (command, answer) = Gather::start(what, commands);
    Ok(Plan::Barrier(command, answer))
}

/// `EXISTS key …`, `TOUCH key …`
pub fn exists(call: &mut Call<'_>) -> Result<Plan, Refused> {
    if call.args.len() == 2 {
        return look(call, Answer::Exists);
    }
    let keeps_siblings = call.keeps_siblings()?;
    let options = call.session.options;
    let mut commands = Vec::with_capacity(call.args.len() - 1);
    for index in 1..call.args.len() {
        let target = call.target(index)?;
        commands.push(if keeps_siblings {
            Command::Get(Get { target, options })
        } else {
            call.view_of(target, Want::Head)
        });
    }
    let (command, answer) = Gather::start(Gathering::Sum, commands);
    Ok(Plan::Barrier(command, answer))
}

/// `TYPE key`
pub fn kind(call: &mut Call<'_>) -> Result<Plan, Refused> {
    look(call, Answer::Kind)
}

/// Looks at the key at word 1 as its bucket keeps it.
fn look(call: &mut Call<'_>, answer: Answer) -> Result<Plan, Refused> {
    if call.keeps_siblings()? {
        return call.get(|_| answer);
    }
    call.view(Want::Head, answer)
}

/// `OBJECT ENCODING|FREQ|IDLETIME|REFCOUNT key`
pub fn object(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let answer = match call.args.at(1).to_ascii_lowercase().as_slice() {
        b"help" if call.args.len() == 2 => {
            let lines = [
                "OBJECT ENCODING <key>",
                "OBJECT FREQ <key>",
                "OBJECT IDLETIME <key>",
                "OBJECT REFCOUNT <key>",
            ];
            call.reply.array(lines.len());
            for line in lines {
                call.reply.simple(line);
            }
            return Ok(Plan::Replied);
        }
        b"encoding" | b"refcount" | b"idletime" | b"freq" if call.args.len() != 3 => {
            return Err(call.subcommand_arity());
        }
        b"encoding" => {
            let target = call.target(2)?;
            return Ok(Plan::Key(call.view_of(target, Want::AllFields), Answer::Encoding));
        }
        b"refcount" => Answer::IfThere(1),
        b"idletime" => Answer::IfThere(0),
        b"freq" => {
            return Err(Refused::of(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked.",
            ));
        }
        _ => return Err(call.unknown_subcommand()),
    };
    let target = call.target(2)?;
    Ok(Plan::Key(call.view_of(target, Want::Head), answer))
}

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub fn expire(call: &mut Call<'_>) -> Result<Plan, Refused> {
    expire_at(call, IN_SECONDS)
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub fn pexpire(call: &mut Call<'_>) -> Result<Plan, Refused> {
    expire_at(call, IN_MS)
}

/// `EXPIREAT key seconds [NX | XX | GT | LT]`
pub fn expireat(call: &mut Call<'_>) -> Result<Plan, Refused> {
    expire_at(call, AT_SECONDS)
}

/// `PEXPIREAT key milliseconds [NX | XX | GT | LT]`
pub fn pexpireat(call: &mut Call<'_>) -> Result<Plan, Refused> {
    expire_at(call, AT_MS)
}

#[derive(Default)]
struct ExpireOptions {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_earlier: bool,
}

impl ExpireOptions {
    fn read(call: &Call<'_>) -> Result<Self, Refused> {
        let mut options = Self::default();
        for index in 3..call.args.len() {
            match call.args.at(index).to_ascii_lowercase().as_slice() {
                b"nx" => options.if_none = true,
                b"xx" => options.if_some = true,
                b"gt" => options.if_later = true,
                b"lt" => options.if_earlier = true,
                _ => {
                    return Err(Refused::of(format!(
                        "ERR Unsupported option {}",
                        call.args.shown(index)
                    )));
                }
            }
        }
        if options.if_none && (options.if_some || options.if_later || options.if_earlier) {
            let words = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(Refused::of(words));
        }
        if options.if_later && options.if_earlier {
            let words = "ERR GT and LT options at the same time are not compatible";
            return Err(Refused::of(words));
        }
        Ok(options)
    }
}

fn expire_at(call: &mut Call<'_>, form: TimeForm) -> Result<Plan, Refused> {
    let options = ExpireOptions::read(call)?;
    let at = expiry::moment(call, 2, form)?;
    let condition = match options {
        ExpireOptions { if_none: true, .. } => ExpireIf::None,
        // A key without an expiry is never later: XX says nothing more.
        ExpireOptions { if_later: true, .. } => ExpireIf::Later,
        ExpireOptions {
            if_earlier: true,
            if_some: true,
            ..
        } => ExpireIf::SomeEarlier,
        ExpireOptions { if_earlier: true, .. } => ExpireIf::Earlier,
        ExpireOptions { if_some: true, .. } => ExpireIf::Some,
        ExpireOptions { .. } => ExpireIf::Always,
    };
    call.update(Update::Expire { at, condition }, Answer::Integer)
}

/// `PERSIST key`
pub fn persist(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.update(Update::Persist, Answer::Integer)
}

/// `TTL key`
pub fn ttl(call: &mut Call<'_>) -> Result<Plan, Refused> {
    shown_as(call, false, false)
}

/// `PTTL key`
pub fn pttl(call: &mut Call<'_>) -> Result<Plan, Refused> {
    shown_as(call, true, false)
}

/// `EXPIRETIME key`
pub fn expiretime(call: &mut Call<'_>) -> Result<Plan, Refused> {
    shown_as(call, false, true)
}

/// `PEXPIRETIME key`
pub fn pexpiretime(call: &mut Call<'_>) -> Result<Plan, Refused> {
    shown_as(call, true, true)
}

fn shown_as(call: &mut Call<'_>, in_ms: bool, is_absolute: bool) -> Result<Plan, Refused> {
    call.view(Want::Head, Answer::Ttl(TtlForm { in_ms, is_absolute }))
}
