//! The connection itself: protocol, name, bucket.

use crate::resp::call::{Call, Plan};
use crate::resp::commands::about::REDIS_VERSION;
use crate::resp::number;
use crate::resp::refused::Refused;
use crate::resp::writer::Protocol;

/// `SELECT index`
pub fn select(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let name = match call.args.integer(1)? {
        0 => "redis",
        1 => "strong",
        _ => return Err(Refused::of("ERR DB index is out of range")),
    };
    call.session.use_bucket(name, call.host.catalog())?;
    call.reply.ok();
    Ok(Plan::Replied)
}

/// `AUTH [user] password`: as a Redis without a password.
pub fn auth(call: &mut Call<'_>) -> Result<Plan, Refused> {
    match call.args.len() {
        2 => Err(Refused::of(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
             configuration is correct?",
        )),
        3 => {
            check_user(call, 1)?;
            call.reply.ok();
            Ok(Plan::Replied)
        }
        _ => Err(Refused::SYNTAX),
    }
}

/// The default user needs no password, and there is no other.
fn check_user(call: &Call<'_>, index: usize) -> Result<(), Refused> {
    if call.args.at(index) == b"default" {
        return Ok(());
    }
    Err(Refused::of(
        "WRONGPASS invalid username-password pair or user is disabled.",
    ))
}

/// `HELLO [protover [AUTH username password] [SETNAME clientname]]`
pub fn hello(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let mut protocol = call.session.protocol;
    let mut name = None;
    if call.args.len() > 1 {
        protocol = match number::integer(call.args.at(1)) {
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(Refused::of("NOPROTO unsupported protocol version")),
            None => {
                return Err(Refused::of("ERR Protocol version is not an integer or out of range"));
            }
        };
        let mut index = 2;
        while index < call.args.len() {
            let left = call.args.len() - index - 1;
            if call.args.is(index, "auth") && left >= 2 {
                check_user(call, index + 1)?;
                index += 3;
            } else if call.args.is(index, "setname") && left >= 1 {
                name = Some(name_at(call, index + 1)?);
                index += 2;
            } else {
                let option = call.args.shown(index);
                return Err(Refused::of(format!("ERR Syntax error in HELLO option '{option}'")));
            }
        }
    }
    call.session.protocol = protocol;
    if let Some(name) = name {
        call.session.name = name;
    }
    let reply = &mut call.reply;
    reply.protocol = protocol;
    reply.map(7);
    for (key, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(if protocol == Protocol::Resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(call.session.id as i64);
    for (key, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(key.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    Ok(Plan::Replied)
}

/// `RESET`
pub fn reset(call: &mut Call<'_>) -> Result<Plan, Refused> {
    call.session.reset();
    call.reply.protocol = Protocol::Resp2;
    call.reply.simple("RESET");
    Ok(Plan::Replied)
}

/// `CLIENT ID|INFO|LIST|GETNAME|SETNAME|SETINFO|NO-EVICT|NO-TOUCH`
pub fn client(call: &mut Call<'_>) -> Result<Plan, Refused> {
    let words = call.args.len();
    let subcommand = call.args.at(1).to_ascii_lowercase();
    let expected = match subcommand.as_slice() {
        b"id" | b"info" | b"getname" | b"help" => 2..=2,
        b"setname" | b"no-evict" | b"no-touch" => 3..=3,
        b"setinfo" => 4..=4,
        b"list" => 2..=usize::MAX,
        _ => return Err(call.unknown_subcommand()),
    };
    if !expected.contains(&words) {
        return Err(call.subcommand_arity());
    }
    match subcommand.as_slice() {
        b"id" => call.reply.integer(call.session.id as i64),
        b"info" => {
            let line = own_line(call);
            call.reply.verbatim(&line);
        }
        b"list" => {
            let text = list(call)?;
            call.reply.verbatim(&text);
        }
        b"getname" if call.session.name.is_empty() => call.reply.nil(),
        b"getname" => call.reply.bulk(call.session.name.as_bytes()),
        b"setname" => {
            call.session.name = name_at(call, 2)?;
            call.reply.ok();
        }
        b"setinfo" => {
            let value = name_at(call, 3).map_err(|_| {
                let option = call.args.shown(2);
                Refused::of(format!(
                    "ERR {option} cannot contain spaces, newlines or special characters."
                ))
            })?;
            if call.args.is(2, "lib-name") {
                call.session.library = value;
            } else if call.args.is(2, "lib-ver") {
                call.session.library_version = value;
            } else {
                let option = call.args.shown(2);
                return Err(Refused::of(format!("ERR Unrecognized option '{option}'")));
            }
            call.reply.ok();
        }
        // Nothing evicts connections or keys, and nothing is touched.
        b"no-evict" | b"no-touch" if call.args.is(2, "on") || call.args.is(2, "off") => call.reply.ok(),
        b"no-evict" | b"no-touch" => return Err(Refused::SYNTAX),
        _ => {
            let lines = [
                "CLIENT GETNAME",
                "CLIENT ID",
                "CLIENT INFO",
                "CLIENT LIST",
                "CLIENT NO-EVICT (ON|OFF)",
                "CLIENT NO-TOUCH (ON|OFF)",
                "CLIENT SETINFO (LIB-NAME|LIB-VER) <value>",
                "CLIENT SETNAME <name>",
            ];
            call.reply.array(lines.len());
            for line in lines {
                call.reply.simple(line);
            }
        }
    }
    Ok(Plan::Replied)
}

fn name_at(call: &Call<'_>, index: usize) -> Result<String, Refused> {
    let word = call.args.at(index);
    let text = std::str::from_utf8(word)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.map(str::to_owned)
        .ok_or_else(|| Refused::of("ERR Client names cannot contain spaces, newlines or special characters."))
}

fn own_line(call: &Call<'_>) -> String {
    let session = &*call.session;
    format!(
        "id={} addr={} laddr= fd=0 name={} age=0 idle=0 flags=N db={} sub=0 psub=0 multi={} qbuf=0 qbuf-free=0 events=r \
         cmd={} user=default resp={} lib-name={} lib-ver={}\n",
        session.id,
        session.address,
        session.name,
        if session.bucket_name() == "strong" { 1 } else { 0 },
        session
            .transaction
            .as_ref()
            .map_or(-1, |transaction| transaction.commands.len() as i64),
        call.spec.name,
        if session.protocol == Protocol::Resp3 { 3 } else { 2 },
        session.library,
        session.library_version,
    )
}

/// This connection in full; of others the shell knows number and address.
fn list(call: &Call<'_>) -> Result<String, Refused> {
    let mut only: Option<Vec<i64>> = None;
    if call.args.len() > 2 {
        if call.args.is(2, "id") && call.args.len() > 3 {
            let ids: Result<Vec<i64>, Refused> = (3..call.args.len()).map(|index| call.args.integer(index)).collect();
            only = Some(ids.map_err(|_| Refused::of("ERR Invalid client ID"))?);
        } else if call.args.is(2, "type") && call.args.len() == 4 {
            if !call.args.is(3, "normal") {
                only = Some(Vec::new());
            }
        } else {
            return Err(Refused::SYNTAX);
        }
    }
    let is_shown = |id: u64| only.as_ref().is_none_or(|ids| ids.contains(&(id as i64)));
    let own = call.session.id;
    let mut text = String::new();
    let mut others = call.host.facts().clients;
    if !others.iter().any(|client| client.0 == own) {
        others.push((own, call.session.address.clone()));
    }
    others.sort_unstable();
    for (id, address) in others {
        if !is_shown(id) {
            continue;
        }
        if id == own {
            text.push_str(&own_line(call));
        } else {
            text.push_str(&format!("id={id} addr={address} fd=0 name= flags=N user=default\n"));
        }
    }
    Ok(text)
}
