//! Strings, keys and hashes in bucket `redis`, in Redis's words.

use crate::resp::tests::node::Client;

#[test]
fn strings_are_written_read_and_cut() {
    Client::new().story(
        "GET k => $-1
         SET k Hello => +OK
         GET k => $5|Hello
         get k => $5|Hello
         STRLEN k => :5
         STRLEN none => :0
         APPEND k World => :10
         APPEND new x => :1
         GETRANGE k 0 3 => $4|Hell
         SUBSTR k -3 -1 => $3|rld
         GETRANGE none 0 -1 => $0|
         SETRANGE k 5 _____! => :11
         GET k => $11|Hello_____!
         SETRANGE gap 3 x => :4
         STRLEN gap => :4
         SETRANGE none 9 '' => :0
         EXISTS none => :0
         SETRANGE k -1 x => -ERR offset is out of range
         SETRANGE k 536870912 x => -ERR string exceeds maximum allowed size (proto-max-bulk-len)
         GETSET k two => $11|Hello_____!
         GETSET fresh x => $-1
         GETDEL k => $3|two
         GETDEL k => $-1
         MSET a 1 b 2 a 3 => +OK
         MGET a none b a => *4|$1|3|$-1|$1|2|$1|3
         MSET a => -ERR wrong number of arguments for 'mset' command
         MSET a 1 b => -ERR wrong number of arguments for 'mset' command
         GET => -ERR wrong number of arguments for 'get' command
         SET k => -ERR wrong number of arguments for 'set' command",
    );
}

#[test]
fn set_takes_its_options_in_any_order_and_refuses_those_that_contradict() {
    Client::new().story(
        "SET k 1 EX 100 => +OK
         TTL k => :100
         SET k 2 KEEPTTL => +OK
         TTL k => :100
         SET k 3 GET => $1|2
         TTL k => :-1
         SET k 4 px 1500 get => $1|3
         PTTL k => :1500
         SET k 5 EXAT 1700000100 => +OK
         EXPIRETIME k => :1700000100
         SET k 6 PXAT 1700000100123 => +OK
         PEXPIRETIME k => :1700000100123
         SET k 7 EX 10 PX 10 => -ERR syntax error
         SET k 7 KEEPTTL EX 10 => -ERR syntax error
         SET k 7 EX => -ERR syntax error
         SET k 7 NX XX => -ERR syntax error
         SET k 7 FOO => -ERR syntax error
         SET k 7 EX 0 => -ERR invalid expire time in 'set' command
         SET k 7 EX -1 => -ERR invalid expire time in 'set' command
         SET k 7 EX 9223372036854775807 => -ERR invalid expire time in 'set' command
         SET k 7 PX 9223372036854775807 => -ERR invalid expire time in 'set' command
         SET k 7 EX abc => -ERR value is not an integer or out of range
         GET k => $1|6
         SETEX k 10 v => +OK
         TTL k => :10
         PSETEX k 10000 v => +OK
         PTTL k => :10000
         SETEX k 0 v => -ERR invalid expire time in 'setex' command
         PSETEX k -5 v => -ERR invalid expire time in 'psetex' command
         GETEX k PERSIST => $1|v
         TTL k => :-1
         GETEX k EX 50 => $1|v
         TTL k => :50
         GETEX k => $1|v
         GETEX k EX 0 => -ERR invalid expire time in 'getex' command
         GETEX k KEEPTTL => -ERR syntax error",
    );
}

/// What Redis 7 does (`parseExtendedExpireArgumentsOrReply` and `expireGenericCommand` in its expire.c), for every set of
/// flags, with and without an expiry before, which is later, the same or earlier than the new one.
#[test]
fn every_set_of_flags_of_expire_does_what_it_does_in_redis() {
    let (before, news) = (1_700_000_100_u64, [1_700_000_050_u64, 1_700_000_100, 1_700_000_200]);
    let mut client = Client::new();
    for set in 0..16_u32 {
        let [nx, xx, gt, lt] = [1, 2, 4, 8].map(|bit| set & bit != 0);
        let named = [(nx, " NX"), (xx, " xx"), (gt, " Gt"), (lt, " LT")];
        let mut words: Vec<&str> = named.iter().filter(|flag| flag.0).map(|flag| flag.1).collect();
        for _ in 0..2 {
            words.reverse();
            let flags = words.concat();
            for (current, new) in [None, Some(before)]
                .into_iter()
                .flat_map(|current| news.map(|new| (current, new)))
            {
                client.ask("SET k v");
                if let Some(current) = current {
                    assert_eq!(client.ask(&format!("EXPIREAT k {current}")), ":1\r\n");
                }
                let answer = client.ask(&format!("EXPIREAT k {new}{flags}"));
                let is_refused = if nx && (xx || gt || lt) {
                    Some("NX and XX, GT or LT options at the same time are not compatible")
                } else if gt && lt {
                    Some("GT and LT options at the same time are not compatible")
                } else {
                    None
                };
                let is_set = !(nx && current.is_some()
                    || xx && current.is_none()
                    || gt && current.is_none_or(|current| new <= current)
                    || lt && current.is_some_and(|current| new >= current));
                let expected = is_refused.map_or(format!(":{}\r\n", u8::from(is_set)), |why| format!("-ERR {why}\r\n"));
                assert_eq!(answer, expected, "{current:?} then {new}{flags}");
                let stands = if is_refused.is_none() && is_set {
                    Some(new)
                } else {
                    current
                };
                let stands = stands.map_or(":-1\r\n".to_owned(), |at| format!(":{at}\r\n"));
                assert_eq!(client.ask("EXPIRETIME k"), stands, "{current:?} then {new}{flags}");
            }
        }
    }
    for refused in ["NX XX", "NX GT", "LT NX", "GT LT", "AB"] {
        let answer = client.ask(&format!("EXPIRE none x {refused}"));
        assert!(
            answer.starts_with("-ERR") && !answer.contains("integer"),
            "flags first: {answer}"
        );
    }
}

#[test]
fn keys_expire_when_and_only_if_they_are_told_to() {
    let mut client = Client::new();
    client.story(
        "EXPIRE none 10 => :0
         TTL none => :-2
         SET k v => +OK
         TTL k => :-1
         EXPIRE k 10 GT => :0
         EXPIRE k 10 XX => :0
         EXPIRE k 10 XX LT => :0
         EXPIRE k 10 NX => :1
         EXPIRE k 20 NX => :0
         EXPIRE k 5 GT => :0
         EXPIRE k 20 GT => :1
         EXPIRE k 30 LT => :0
         EXPIRE k 15 LT XX => :1
         EXPIRE k 15 LT XX => :0
         EXPIRE k 16 XX LT => :0
         TTL k => :15
         PEXPIRE k 2500 => :1
         PTTL k => :2500
         PERSIST k => :1
         PERSIST k => :0
         EXPIREAT k 1700000100 => :1
         EXPIRETIME k => :1700000100
         PEXPIREAT k 1700000100500 => :1
         PEXPIRETIME k => :1700000100500
         EXPIRE k 10 NX GT => -ERR NX and XX, GT or LT options at the same time are not compatible
         EXPIRE k 10 GT LT => -ERR GT and LT options at the same time are not compatible
         EXPIRE k 10 AB => -ERR Unsupported option AB
         EXPIRE k 9223372036854775807 => -ERR invalid expire time in 'expire' command
         EXPIRE k x => -ERR value is not an integer or out of range
         EXPIRE k -1 => :1
         EXISTS k => :0
         SET k v PX 1000 => +OK",
    );
    client.world.pass_ms(980);
    client.story("GET k => $1|v");
    client.world.pass_ms(40);
    client.story(
        "GET k => $-1
         PTTL k => :-2
         EXISTS k => :0",
    );
}

#[test]
fn keys_are_counted_typed_deleted_and_walked() {
    let mut client = Client::new();
    client.story(
        "MSET a 1 b 2 c 3 => +OK
         HSET h f v => :1
         EXISTS a b none a => :3
         TOUCH a none => :1
         TYPE a => +string
         TYPE h => +hash
         TYPE none => +none
         DBSIZE => :4
         DEL a none b => :2
         UNLINK c => :1
         DEL c => :0
         KEYS * => *1|$1|h
         RANDOMKEY => $1|h
         OBJECT ENCODING h => $8|listpack
         SET n 12 => +OK
         OBJECT ENCODING n => $3|int
         OBJECT ENCODING none => $-1
         SCAN 0 TYPE string => *2|$1|0|*1|$1|n
         SCAN 0 MATCH h* COUNT 100 => *2|$1|0|*1|$1|h
         SCAN 0 TYPE list => *2|$1|0|*0
         SCAN x => -ERR invalid cursor
         SCAN 0 COUNT 0 => -ERR syntax error
         SCAN 0 COUNT x => -ERR value is not an integer or out of range
         FLUSHDB => +OK
         DBSIZE => :0
         RANDOMKEY => $-1
         FLUSHALL WHAT => -ERR syntax error",
    );
}

#[test]
fn a_scan_shows_every_key_exactly_once() {
    let mut client = Client::new();
    for number in 0..150 {
        assert_eq!(client.ask(&format!("SET key:{number} v")), "+OK\r\n");
    }
    let mut seen = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let answer = client.ask(&format!("SCAN {cursor} COUNT 7"));
        let mut lines = answer.split("\r\n");
        cursor = lines.nth(2).expect("a cursor").to_owned();
        seen.extend(lines.filter(|line| line.starts_with("key:")).map(str::to_owned));
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 150);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 150);
    assert_eq!(client.ask("KEYS key:1?").matches("key:1").count(), 10);
}

#[test]
fn hashes_hold_fields() {
    Client::new().story(
        "HSET h a 1 b 2 => :2
         HSET h b 3 c 4 => :1
         HMSET h d 5 => +OK
         HGET h b => $1|3
         HGET h none => $-1
         HGET none f => $-1
         HMGET h a none d => *3|$1|1|$-1|$1|5
         HMGET none a b => *2|$-1|$-1
         HGETALL h => *8|$1|a|$1|1|$1|b|$1|3|$1|c|$1|4|$1|d|$1|5
         HKEYS h => *4|$1|a|$1|b|$1|c|$1|d
         HVALS h => *4|$1|1|$1|3|$1|4|$1|5
         HLEN h => :4
         HEXISTS h a => :1
         HEXISTS h none => :0
         HSTRLEN h a => :1
         HSTRLEN h none => :0
         HDEL h a none b => :2
         HRANDFIELD h -3 WITHVALUES WHAT => -ERR syntax error
         HRANDFIELD h 0 => *0
         HRANDFIELD none => $-1
         HRANDFIELD none 3 => *0
         HSCAN h 0 MATCH c* => *2|$1|0|*2|$1|c|$1|4
         HSCAN none 0 => *2|$1|0|*0
         HGETALL none => *0
         HSET h a => -ERR wrong number of arguments for 'hset' command
         HSET h a 1 b => -ERR wrong number of arguments for 'hset' command
         HMSET h a 1 b => -ERR wrong number of arguments for 'hmset' command
         HDEL h c d => :2
         EXISTS h => :0
         TYPE h => +none
         GET h => $-1",
    );
}

#[test]
fn a_hash_of_many_fields_is_scanned_whole_and_each_field_once() {
    let mut client = Client::new();
    for number in 0..600 {
        client.ask(&format!("HSET h field:{number} {number}"));
    }
    let mut seen = Vec::new();
    let mut cursor = "0".to_owned();
    let mut pages = 0;
    loop {
        let answer = client.ask(&format!("HSCAN h {cursor} COUNT 50"));
        let mut lines = answer.split("\r\n");
        cursor = lines.nth(2).expect("a cursor").to_owned();
        seen.extend(lines.filter(|line| line.starts_with("field:")).map(str::to_owned));
        pages += 1;
        if cursor == "0" {
            break;
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), pages), (600, 12));
    let some = client.ask("HRANDFIELD h 20");
    let mut names: Vec<_> = some.split("\r\n").filter(|line| line.starts_with("field:")).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 20, "without repetition");
    assert_eq!(client.ask("HRANDFIELD h -700").matches("field:").count(), 700);
}

#[test]
fn commands_on_a_key_of_the_other_type_say_so() {
    let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let mut client = Client::new();
    client.story("SET s v => +OK\nHSET h f v => :1");
    for line in [
        "GET h",
        "STRLEN h",
        "GETRANGE h 0 1",
        "APPEND h x",
        "SETRANGE h 0 x",
        "GETSET h x",
        "GETDEL h",
        "GETEX h",
        "GETEX h PERSIST",
        "SET h x GET",
        "HSET s f v",
        "HGET s f",
        "HMGET s f",
        "HGETALL s",
        "HKEYS s",
        "HLEN s",
        "HDEL s f",
        "HEXISTS s f",
        "HSCAN s 0",
        "HRANDFIELD s",
        "TORC.GET h",
    ] {
        client.story(&format!("{line} => {wrong}"));
    }
    client.story(
        "MGET h s => *2|$-1|$1|v
         SET h now => +OK
         GET h => $3|now
         HLEN h => -WRONGTYPE Operation against a key holding the wrong kind of value
         DEL h => :1
         HGETALL h => *0",
    );
}

#[test]
fn what_needs_agreement_is_refused_by_name() {
    let mut client = Client::new();
    for (line, name) in [
        ("INCR k", "incr"),
        ("DECR k", "decr"),
        ("INCRBY k 2", "incrby"),
        ("DECRBY k 2", "decrby"),
        ("INCRBYFLOAT k 2", "incrbyfloat"),
        ("SETNX k v", "setnx"),
        ("MSETNX k v", "msetnx"),
        ("HSETNX h f v", "hsetnx"),
        ("HINCRBY h f 1", "hincrby"),
        ("SET k v NX", "set nx"),
        ("SET k v XX", "set xx"),
        ("WATCH k", "watch"),
        ("TORC.LOCK l 10 me", "torc.lock"),
    ] {
        let words = format!("-WRONGMODE '{name}' needs agreement; bucket 'redis' is available; use SELECT 1");
        client.story(&format!("{line} => {words}"));
    }
    client.story("SELECT 1 => +OK");
    for line in [
        "INCR k",
        "GET k",
        "SET k v",
        "SET k v NX",
        "TTL k",
        "DBSIZE",
        "HGETALL k",
        "MGET a b",
    ] {
        let answer = client.ask(line);
        assert!(
            answer.starts_with("-ERR ") && answer.contains("not in this version"),
            "{line}: {answer}"
        );
    }
}
