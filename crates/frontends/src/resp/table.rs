//! Every command, once: its name, how many words it has, where its keys are, what it does. COMMAND and docs/redis.md say
//! what stands here. A name is found by one look into a hash table that the compiler fills.

use crate::resp::call::{Call, Plan};
use crate::resp::commands::{about, client, config, hashes, keys, scans, server, strings, torc, transactions};
use crate::resp::refused::Refused;

/// What runs a command.
pub type Handler = fn(&mut Call<'_>) -> Result<Plan, Refused>;

/// Longest command name.
const NAME_BYTES_MAX: usize = 16;
const SLOTS: usize = 512;

/// Changes data.
pub const WRITE: u8 = 1;
/// Reads data.
pub const READ: u8 = 2;
/// Constant time.
pub const FAST: u8 = 4;
/// Is never queued by MULTI.
pub const AT_ONCE: u8 = 8;
/// Only consistent buckets have it.
pub const AGREED: u8 = 16;

/// A command.
#[derive(Debug)]
pub struct CommandSpec {
    /// In lower case.
    pub name: &'static str,
    /// Words with the name; negative: at least as many.
    pub arity: i8,
    /// `WRITE`, `READ`, `FAST`, `AT_ONCE`, `AGREED`.
    pub flags: u8,
    /// First key, last key (negative: from the end), step; zeros: none.
    pub keys: (i8, i8, i8),
    /// As Redis groups them.
    pub group: &'static str,
    /// One line.
    pub summary: &'static str,
    /// What runs it.
    pub handler: Handler,
}

impl CommandSpec {
    /// True if it may have this many words.
    pub fn takes(&self, words: usize) -> bool {
        let arity = usize::from(self.arity.unsigned_abs());
        if self.arity < 0 { words >= arity } else { words == arity }
    }

    /// True if all the flags are set.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }
}

const NONE: (i8, i8, i8) = (0, 0, 0);
const ONE: (i8, i8, i8) = (1, 1, 1);
const ALL: (i8, i8, i8) = (1, -1, 1);
const PAIRS: (i8, i8, i8) = (1, -1, 2);

const fn spec(
    name: &'static str,
    arity: i8,
    flags: u8,
    keys: (i8, i8, i8),
    group: &'static str,
    handler: Handler,
    summary: &'static str,
) -> CommandSpec {
    CommandSpec {
        name,
        arity,
        flags,
        keys,
        group,
        summary,
        handler,
    }
}

/// All commands.
#[rustfmt::skip]
pub static COMMANDS: &[CommandSpec] = &[
    spec("append", 3, WRITE | FAST, ONE, "string", strings::append, "Appends to a string; creates it if there is none"),
    spec("get", 2, READ | FAST, ONE, "string", strings::get, "The string at a key"),
    spec("getdel", 2, WRITE | FAST, ONE, "string", strings::getdel, "The string at a key, which is deleted"),
    spec("getex", -2, WRITE | FAST, ONE, "string", strings::getex, "The string at a key, whose expiry is changed"),
    spec("getrange", 4, READ, ONE, "string", strings::getrange, "A part of a string"),
    spec("getset", 3, WRITE | FAST, ONE, "string", strings::getset, "Writes a string, answers the old one"),
    spec("mget", -2, READ | FAST, ALL, "string", strings::mget, "The strings at several keys"),
    spec("mset", -3, WRITE, PAIRS, "string", strings::mset, "Writes several strings, one after the other"),
    spec("psetex", 4, WRITE, ONE, "string", strings::psetex, "Writes a string that expires, in milliseconds"),
    spec("set", -3, WRITE, ONE, "string", strings::set, "Writes a string: EX PX EXAT PXAT KEEPTTL GET"),
    spec("setex", 4, WRITE, ONE, "string", strings::setex, "Writes a string that expires, in seconds"),
    spec("setrange", 4, WRITE, ONE, "string", strings::setrange, "Overwrites a part of a string"),
    spec("strlen", 2, READ | FAST, ONE, "string", strings::strlen, "The length of a string"),
    spec("substr", 4, READ, ONE, "string", strings::getrange, "GETRANGE by its old name"),
    spec("decr", 2, WRITE | FAST | AGREED, ONE, "string", keys::agreed, "Needs a consistent bucket"),
    spec("decrby", 3, WRITE | FAST | AGREED, ONE, "string", keys::agreed, "Needs a consistent bucket"),
    spec("incr", 2, WRITE | FAST | AGREED, ONE, "string", keys::agreed, "Needs a consistent bucket"),
    spec("incrby", 3, WRITE | FAST | AGREED, ONE, "string", keys::agreed, "Needs a consistent bucket"),
    spec("incrbyfloat", 3, WRITE | FAST | AGREED, ONE, "string", keys::agreed, "Needs a consistent bucket"),
    spec("msetnx", -3, WRITE | AGREED, PAIRS, "string", keys::agreed, "Needs a consistent bucket"),
    spec("setnx", 3, WRITE | FAST | AGREED, ONE, "string", keys::agreed, "Needs a consistent bucket"),
    spec("hdel", -3, WRITE | FAST, ONE, "hash", hashes::hdel, "Deletes fields"),
    spec("hexists", 3, READ | FAST, ONE, "hash", hashes::hexists, "Whether a field is there"),
    spec("hget", 3, READ | FAST, ONE, "hash", hashes::hget, "The value of a field"),
    spec("hgetall", 2, READ, ONE, "hash", hashes::hgetall, "All fields and values"),
    spec("hincrby", 4, WRITE | FAST | AGREED, ONE, "hash", keys::agreed, "Needs a consistent bucket"),
    spec("hincrbyfloat", 4, WRITE | FAST | AGREED, ONE, "hash", keys::agreed, "Needs a consistent bucket"),
    spec("hkeys", 2, READ, ONE, "hash", hashes::hkeys, "All fields"),
    spec("hlen", 2, READ | FAST, ONE, "hash", hashes::hlen, "How many fields there are"),
    spec("hmget", -3, READ | FAST, ONE, "hash", hashes::hmget, "The values of some fields"),
    spec("hmset", -4, WRITE | FAST, ONE, "hash", hashes::hset, "HSET that answers OK"),
    spec("hrandfield", -2, READ, ONE, "hash", hashes::hrandfield, "Fields by chance"),
    spec("hscan", -3, READ, ONE, "hash", hashes::hscan, "Fields and values, a page at a time"),
    spec("hset", -4, WRITE | FAST, ONE, "hash", hashes::hset, "Writes fields; answers how many are new"),
    spec("hsetnx", 4, WRITE | FAST | AGREED, ONE, "hash", keys::agreed, "Needs a consistent bucket"),
    spec("hstrlen", 3, READ | FAST, ONE, "hash", hashes::hstrlen, "The length of a field's value"),
    spec("hvals", 2, READ, ONE, "hash", hashes::hvals, "All values"),
    spec("del", -2, WRITE, ALL, "generic", keys::del, "Deletes keys; answers how many were there"),
    spec("exists", -2, READ | FAST, ALL, "generic", keys::exists, "How many of the keys are there"),
    spec("expire", -3, WRITE | FAST, ONE, "generic", keys::expire, "Sets the expiry, in seconds from now: NX XX GT LT"),
    spec("expireat", -3, WRITE | FAST, ONE, "generic", keys::expireat, "Sets the expiry, in seconds since 1970"),
    spec("expiretime", 2, READ | FAST, ONE, "generic", keys::expiretime, "When a key expires, in seconds since 1970"),
    spec("keys", 2, READ, NONE, "generic", scans::keys, "All keys that match a pattern"),
    spec("object", -2, READ, (2, 2, 1), "generic", keys::object, "ENCODING as Redis would choose it"),
    spec("persist", 2, WRITE | FAST, ONE, "generic", keys::persist, "Takes the expiry away"),
    spec("pexpire", -3, WRITE | FAST, ONE, "generic", keys::pexpire, "Sets the expiry, in milliseconds from now"),
    spec("pexpireat", -3, WRITE | FAST, ONE, "generic", keys::pexpireat, "Sets the expiry, in milliseconds since 1970"),
    spec("pexpiretime", 2, READ | FAST, ONE, "generic", keys::pexpiretime, "When a key expires, in milliseconds since 1970"),
    spec("pttl", 2, READ | FAST, ONE, "generic", keys::pttl, "Milliseconds until a key expires"),
    spec("randomkey", 1, READ, NONE, "generic", scans::randomkey, "A key by chance"),
    spec("scan", -2, READ, NONE, "generic", scans::scan, "Keys, a page at a time: MATCH COUNT TYPE"),
    spec("touch", -2, READ | FAST, ALL, "generic", keys::exists, "How many of the keys are there"),
    spec("ttl", 2, READ | FAST, ONE, "generic", keys::ttl, "Seconds until a key expires"),
    spec("type", 2, READ | FAST, ONE, "generic", keys::kind, "string, hash or none"),
    spec("unlink", -2, WRITE | FAST, ALL, "generic", keys::del, "DEL by another name"),
    spec("wait", 3, 0, NONE, "generic", server::wait, "How many more nodes hold this connection's last write"),
    spec("dbsize", 1, READ | FAST, NONE, "server", scans::dbsize, "How many keys the bucket has"),
    spec("flushall", -1, WRITE, NONE, "server", scans::flush, "Empties the connection's bucket"),
    spec("flushdb", -1, WRITE, NONE, "server", scans::flush, "Empties the connection's bucket"),
    spec("command", -1, 0, NONE, "server", about::command, "What commands there are: COUNT DOCS INFO LIST GETKEYS"),
    spec("config", -2, 0, NONE, "server", config::config, "GET of what clients ask for; torc.toml is the configuration"),
    spec("debug", -2, 0, NONE, "server", server::debug, "Not in Torc"),
    spec("function", -2, 0, NONE, "server", server::function, "FLUSH alone"),
    spec("info", -1, 0, NONE, "server", about::info, "About this node"),
    spec("time", 1, FAST, NONE, "server", server::time, "Seconds since 1970 and microseconds"),
    spec("auth", -2, FAST, NONE, "connection", client::auth, "As a Redis without a password"),
    spec("client", -2, 0, NONE, "connection", client::client, "About connections: ID INFO LIST GETNAME SETNAME SETINFO"),
    spec("echo", 2, FAST, NONE, "connection", server::echo, "Its word"),
    spec("hello", -1, FAST, NONE, "connection", client::hello, "Chooses the protocol: 2 or 3, AUTH, SETNAME"),
    spec("ping", -1, FAST, NONE, "connection", server::ping, "PONG"),
    spec("quit", -1, FAST | AT_ONCE, NONE, "connection", server::quit, "Closes the connection"),
    spec("reset", 1, FAST | AT_ONCE, NONE, "connection", client::reset, "As if just connected"),
    spec("select", 2, FAST, NONE, "connection", client::select, "0: bucket redis, 1: bucket strong"),
    spec("discard", 1, FAST | AT_ONCE, NONE, "transactions", transactions::discard, "Forgets what MULTI queued"),
    spec("exec", 1, AT_ONCE, NONE, "transactions", transactions::exec, "Runs what MULTI queued, without isolation"),
    spec("multi", 1, FAST | AT_ONCE, NONE, "transactions", transactions::multi, "Queues commands for EXEC"),
    spec("unwatch", 1, FAST, NONE, "transactions", transactions::unwatch, "OK"),
    spec("watch", -2, FAST | AT_ONCE | AGREED, ALL, "transactions", transactions::watch, "Needs a consistent bucket"),
    spec("torc.get", 2, READ, ONE, "torc", torc::get, "Context and values of a key"),
    spec("torc.lock", 4, WRITE | AGREED, ONE, "torc", keys::agreed, "Needs a consistent bucket"),
    spec("torc.put", 4, WRITE, ONE, "torc", torc::put, "Replaces what the context has seen; answers the new context"),
    spec("torc.quorum", 3, FAST, NONE, "torc", torc::quorum, "This connection's r and w"),
    spec("torc.renew", -3, WRITE | AGREED, ONE, "torc", keys::agreed, "Needs a consistent bucket"),
    spec("torc.unlock", -3, WRITE | AGREED, ONE, "torc", keys::agreed, "Needs a consistent bucket"),
    spec("torc.use", 2, FAST, NONE, "torc", torc::use_bucket, "Chooses this connection's bucket"),
];

static INDEX: [u8; SLOTS] = index();

/// Slot → number of the command plus one; 0 is empty. Collisions go to the next slot.
const fn index() -> [u8; SLOTS] {
    let mut slots = [0_u8; SLOTS];
    let mut number = 0;
    while number < COMMANDS.len() {
        let name = COMMANDS[number].name.as_bytes();
        assert!(name.len() <= NAME_BYTES_MAX, "NAME_BYTES_MAX is too small");
        let mut slot = hash(name);
        while slots[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot] = number as u8 + 1;
        number += 1;
    }
    slots
}

/// Of a name in any case: `| 0x20` makes letters small and moves nothing else that names have onto another.
const fn hash(name: &[u8]) -> usize {
    let mut hash = name.len() as u32;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ (name[at] | 0x20) as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    ((hash >> 15) ^ hash) as usize % SLOTS
}

/// The command of this name, in any case.
pub fn find(name: &[u8]) -> Option<&'static CommandSpec> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut slot = hash(name);
    loop {
        let number = INDEX[slot];
        if number == 0 {
            return None;
        }
        let spec = &COMMANDS[usize::from(number) - 1];
        if spec.name.len() == name.len() && name.eq_ignore_ascii_case(spec.name.as_bytes()) {
            return Some(spec);
        }
        slot = (slot + 1) % SLOTS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case_and_nothing_else_is() {
        for spec in COMMANDS {
            let found = |name: &str| find(name.as_bytes()).map(|found| found.name);
            assert_eq!(found(spec.name), Some(spec.name));
            assert_eq!(found(&spec.name.to_uppercase()), Some(spec.name));
            assert_eq!(found(&format!("{}x", spec.name)), None);
            assert!(spec.arity != 0, "{} is one word at least", spec.name);
        }
        for name in ["", "ge", "a name that is far too long", "g\x05t"] {
            assert!(find(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn a_name_stands_once() {
        let mut names: Vec<_> = COMMANDS.iter().map(|spec| spec.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len());
    }
}
