//! Every command: its name, arity, keys and handler.

use super::plan::{Call, Planned};
use super::session::Session;
use super::{hashes, keys, server, strings, torc};

/// One command.
pub struct Spec {
    /// Upper case.
    pub name: &'static str,
    /// Words, the name included; negative: at least so many.
    pub arity: i32,
    /// First key, last key, step, as COMMAND tells them.
    pub keys: (i64, i64, i64),
    /// What it does.
    pub handler: fn(&mut Call<'_>) -> Planned,
}

const NONE: (i64, i64, i64) = (0, 0, 0);
const ONE: (i64, i64, i64) = (1, 1, 1);
const ALL: (i64, i64, i64) = (1, -1, 1);
const PAIRS: (i64, i64, i64) = (1, -1, 2);

const fn spec(name: &'static str, arity: i32, keys: (i64, i64, i64), handler: fn(&mut Call<'_>) -> Planned) -> Spec {
    Spec {
        name,
        arity,
        keys,
        handler,
    }
}

/// All commands, by name.
pub const COMMANDS: &[Spec] = &[
    spec("APPEND", 3, ONE, strings::append),
    spec("AUTH", -2, NONE, server::auth),
    spec("CLIENT", -2, NONE, server::client),
    spec("COMMAND", -1, NONE, server::command),
    spec("CONFIG", -2, NONE, server::config),
    spec("DBSIZE", 1, NONE, keys::dbsize),
    spec("DEBUG", -2, NONE, server::debug),
    spec("DECR", 2, ONE, agreement),
    spec("DECRBY", 3, ONE, agreement),
    spec("DEL", -2, ALL, keys::del),
    spec("DISCARD", 1, NONE, outside),
    spec("ECHO", 2, NONE, server::echo),
    spec("EXEC", 1, NONE, outside),
    spec("EXISTS", -2, ALL, keys::exists),
    spec("EXPIRE", -3, ONE, keys::expire),
    spec("EXPIREAT", -3, ONE, keys::expireat),
    spec("EXPIRETIME", 2, ONE, keys::expiretime),
    spec("FLUSHALL", -1, NONE, keys::flush),
    spec("FLUSHDB", -1, NONE, keys::flush),
    spec("FUNCTION", -2, NONE, server::function),
    spec("GET", 2, ONE, strings::get),
    spec("GETDEL", 2, ONE, strings::getdel),
    spec("GETEX", -2, ONE, strings::getex),
    spec("GETRANGE", 4, ONE, strings::getrange),
    spec("GETSET", 3, ONE, strings::getset),
    spec("HDEL", -3, ONE, hashes::hdel),
    spec("HELLO", -1, NONE, server::hello),
    spec("HEXISTS", 3, ONE, hashes::hexists),
    spec("HGET", 3, ONE, hashes::hget),
    spec("HGETALL", 2, ONE, hashes::hgetall),
    spec("HINCRBY", 4, ONE, agreement),
    spec("HINCRBYFLOAT", 4, ONE, agreement),
    spec("HKEYS", 2, ONE, hashes::hkeys),
    spec("HLEN", 2, ONE, hashes::hlen),
    spec("HMGET", -3, ONE, hashes::hmget),
    spec("HMSET", -4, ONE, hashes::hmset),
    spec("HRANDFIELD", -2, ONE, hashes::hrandfield),
    spec("HSCAN", -3, ONE, hashes::hscan),
    spec("HSET", -4, ONE, hashes::hset),
    spec("HSETNX", 4, ONE, agreement),
    spec("HSTRLEN", 3, ONE, hashes::hstrlen),
    spec("HVALS", 2, ONE, hashes::hvals),
    spec("INCR", 2, ONE, agreement),
    spec("INCRBY", 3, ONE, agreement),
    spec("INCRBYFLOAT", 3, ONE, agreement),
    spec("INFO", -1, NONE, server::info),
    spec("KEYS", 2, NONE, keys::keys),
    spec("MGET", -2, ALL, strings::mget),
    spec("MSET", -3, PAIRS, strings::mset),
    spec("MSETNX", -3, PAIRS, agreement),
    spec("MULTI", 1, NONE, outside),
    spec("OBJECT", -2, (2, 2, 1), server::object),
    spec("PERSIST", 2, ONE, keys::persist),
    spec("PEXPIRE", -3, ONE, keys::pexpire),
    spec("PEXPIREAT", -3, ONE, keys::pexpireat),
    spec("PEXPIRETIME", 2, ONE, keys::pexpiretime),
    spec("PING", -1, NONE, strings::ping),
    spec("PSETEX", 4, ONE, strings::psetex),
    spec("PTTL", 2, ONE, keys::pttl),
    spec("QUIT", -1, NONE, server::quit),
    spec("RANDOMKEY", 1, NONE, keys::randomkey),
    spec("RESET", 1, NONE, server::reset),
    spec("SCAN", -2, NONE, keys::scan),
    spec("SELECT", 2, NONE, torc::select),
    spec("SET", -3, ONE, strings::set),
    spec("SETEX", 4, ONE, strings::setex),
    spec("SETNX", 3, ONE, agreement),
    spec("SETRANGE", 4, ONE, strings::setrange),
    spec("STRLEN", 2, ONE, strings::strlen),
    spec("SUBSTR", 4, ONE, strings::getrange),
    spec("TIME", 1, NONE, server::time),
    spec("TORC.GET", 2, ONE, torc::get),
    spec("TORC.LOCK", 4, ONE, locks),
    spec("TORC.PUT", 4, ONE, torc::put),
    spec("TORC.QUORUM", 3, NONE, torc::quorum),
    spec("TORC.RENEW", -3, ONE, locks),
    spec("TORC.UNLOCK", -3, ONE, locks),
    spec("TORC.USE", 2, NONE, torc::use_named),
    spec("TOUCH", -2, ALL, keys::exists),
    spec("TTL", 2, ONE, keys::ttl),
    spec("TYPE", 2, ONE, keys::kind),
    spec("UNLINK", -2, ALL, keys::del),
    spec("UNWATCH", 1, NONE, unwatch),
    spec("WAIT", 3, NONE, server::wait),
    spec("WATCH", -2, ALL, agreement),
];

const NAME_BYTES_MAX: usize = 16;

/// The command of this name, in whatever case.
pub fn find(name: &[u8]) -> Option<&'static Spec> {
    let mut upper = [0_u8; NAME_BYTES_MAX];
    let upper = upper.get_mut(..name.len())?;
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    let place = COMMANDS.binary_search_by(|spec| spec.name.as_bytes().cmp(upper)).ok()?;
    Some(&COMMANDS[place])
}

/// True if the command takes so many words.
pub fn fits(spec: &Spec, words: usize) -> bool {
    match usize::try_from(spec.arity) {
        Ok(exactly) => words == exactly,
        Err(_) => words >= spec.arity.unsigned_abs() as usize,
    }
}

/// What an available bucket answers to commands that can't be right without agreement (RULINGS 11).
pub fn needs_agreement(name: &str, session: &Session) -> String {
    let name = name.to_ascii_lowercase();
    format!(
        "WRONGMODE '{name}' needs agreement; bucket '{}' is available; use SELECT 1",
        session.bucket
    )
}

fn agreement(call: &mut Call<'_>) -> Planned {
    call.session.bucket(call.host)?;
    Err(needs_agreement(call.name, call.session))
}

fn locks(call: &mut Call<'_>) -> Planned {
    Err(format!(
        "ERR {} needs consistent buckets, which are not in this version",
        call.name
    ))
}

fn outside(call: &mut Call<'_>) -> Planned {
    Err(format!("ERR {} without MULTI", call.name))
}

fn unwatch(call: &mut Call<'_>) -> Planned {
    super::reply::simple(call.out, "OK");
    Ok(super::plan::Plan::Answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_in_order_and_are_found_in_any_case() {
        assert!(COMMANDS.is_sorted_by(|a, b| a.name < b.name));
        for spec in COMMANDS {
            assert!(spec.name.len() <= NAME_BYTES_MAX);
            assert_eq!(
                find(spec.name.to_ascii_lowercase().as_bytes()).map(|found| found.name),
                Some(spec.name)
            );
        }
        assert!(find(b"").is_none() && find(b"LPUSH").is_none() && find(&[b'G'; 100]).is_none());
    }

    #[test]
    fn an_arity_is_exact_or_a_minimum() {
        let get = find(b"get").expect("there");
        assert!(fits(get, 2) && !fits(get, 1) && !fits(get, 3));
        let mget = find(b"mget").expect("there");
        assert!(fits(mget, 2) && fits(mget, 9) && !fits(mget, 1));
    }
}
