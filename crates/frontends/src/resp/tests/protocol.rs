//! The bytes: split anywhere, malformed, in both versions of the protocol; and what clients ask before they work.

use bytes::BytesMut;
use proptest::prelude::*;
use torc_core::bucket::{Bucket, Conflict, Durability, StorageClass};
use torc_core::id::BucketId;

use crate::resp::session::TRANSACTION_BYTES_MAX;
use crate::resp::tests::node::{Client, World, command};
use crate::resp::{Connection, parser};

fn answers(parts: &[&[u8]]) -> (String, bool) {
    let mut client = Client::new();
    for part in parts {
        client.give(part);
    }
    client.settle();
    (client.taken(), client.connection.is_closing())
}

#[test]
fn a_stream_split_at_any_byte_gives_the_same_answers() {
    let mut stream = Vec::new();
    stream.extend(command(&[b"SET", b"k", b"a\r\n$3\r\nb"]));
    stream.extend(b"PING\r\n\r\n*0\r\n");
    stream.extend(command(&[b"GET", b"k"]));
    stream.extend(b"SET q \"x\\r\\n\" \n");
    stream.extend(command(&[b"MULTI"]));
    stream.extend(command(&[b"MGET", b"k", b"q", b""]));
    stream.extend(command(&[b"EXEC"]));
    stream.extend(command(&[b"HELLO", b"3"]));
    stream.extend(command(&[b"GET", b"none"]));
    stream.extend(b"*1\r\n$x\r\n");
    let whole = answers(&[&stream]);
    assert!(
        whole.1 && whole.0.ends_with("_\r\n-ERR Protocol error: invalid bulk length\r\n"),
        "{whole:?}"
    );
    for at in 0..=stream.len() {
        assert_eq!(answers(&[&stream[..at], &stream[at..]]), whole, "split at {at}");
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(answers(&bytes), whole);
}

#[test]
fn a_protocol_error_is_answered_after_what_came_before_it_and_closes() {
    for (input, words) in [
        (&b"*1\r\n$2147483648\r\n"[..], "invalid bulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*1\r\n!", "expected '$', got '!'"),
        (b"SET 'k\r\n", "unbalanced quotes in request"),
    ] {
        let mut stream = command(&[b"SET", b"k", b"v"]);
        stream.extend(input);
        let (answer, is_closing) = answers(&[&stream]);
        assert_eq!(answer, format!("+OK\r\n-ERR Protocol error: {words}\r\n"));
        assert!(is_closing);
    }
}

#[test]
fn clients_are_answered_what_they_ask_first() {
    let mut client = Client::new();
    client.story(
        "PING => +PONG
         PING hi => $2|hi
         PING a b => -ERR wrong number of arguments for 'ping' command
         ECHO hi => $2|hi
         CLIENT ID => :2
         CLIENT SETNAME me => +OK
         CLIENT GETNAME => $2|me
         CLIENT SETINFO lib-name redis-py => +OK
         CLIENT SETINFO lib-ver 5.0 => +OK
         CLIENT NO-EVICT on => +OK
         CLIENT SETNAME 'a b' => -ERR Client names cannot contain spaces, newlines or special characters.
         CLIENT NONSENSE => -ERR unknown subcommand 'NONSENSE'. Try CLIENT HELP.
         CLIENT ID x => -ERR wrong number of arguments for 'client|id' command
         CONFIG GET save => *2|$4|save|$0|
         CONFIG GET nothing => *0
         CONFIG SET hash-max-listpack-entries 3 => +OK
         CONFIG SET nothing 3 => -ERR Unknown option or number of arguments for CONFIG SET - 'nothing'
         FUNCTION FLUSH => +OK
         AUTH default x => +OK
         AUTH other x => -WRONGPASS invalid username-password pair or user is disabled.
         HELLO 9 => -NOPROTO unsupported protocol version
         HELLO x => -ERR Protocol version is not an integer or out of range
         HELLO 2 WHAT => -ERR Syntax error in HELLO option 'WHAT'
         HELLO 2 AUTH default x SETNAME you => *14|$6|server|$5|redis|$7|version|$6|7.0.15|$5|proto|:2|$2|id|:2|$4|mode|$10|standalone|$4|role|$6|master|$7|modules|*0
         CLIENT GETNAME => $3|you
         COMMAND COUNT EXTRA => -ERR wrong number of arguments for 'command|count' command
         COMMAND INFO get nosuch => *2|*10|$3|get|:2|*2|+readonly|+fast|:1|:1|:1|*0|*0|*0|*0|*-1
         COMMAND GETKEYS MSET a 1 b 2 => *2|$1|a|$1|b
         UNWATCH => +OK
         nosuch a b => -ERR unknown command 'nosuch', with args beginning with: 'a' 'b'
         DEBUG RELOAD => -ERR DEBUG is not in Torc; see torc inspect and GET /v1/status",
    );
    let info = client.ask("INFO");
    for line in [
        "redis_version:7.0.15",
        "role:master",
        "uptime_in_seconds:86400",
        "connected_clients:2",
        "used_memory:1000",
        "# Keyspace",
    ] {
        assert!(info.contains(&format!("{line}\r\n")), "{line}: {info}");
    }
    client.ask("SET k v");
    assert!(client.ask("INFO keyspace").contains("# Keyspace\r\ndb0:keys=1,"));
    let list = client.ask("CLIENT LIST");
    assert!(
        list.contains("id=1 addr=127.0.0.1:1") && list.contains("id=2 addr=127.0.0.1:2") && list.contains("name=you")
    );
    let time = client.ask("TIME");
    assert!(time.starts_with("*2\r\n$10\r\n17000000"), "{time}");
    assert!(client.ask("COMMAND DOCS get").contains("summary"));
}

#[test]
fn version_3_has_maps_nulls_and_pairs() {
    let mut client = Client::new();
    assert!(client.ask("HELLO 3").starts_with("%7\r\n"));
    client.story(
        "GET none => _
         HSET h a 1 => :1
         HGETALL h => %1|$1|a|$1|1
         HGETALL none => %0
         HRANDFIELD h 1 WITHVALUES => *1|*2|$1|a|$1|1
         HMGET h a b => *2|$1|1|_
         CONFIG GET save => %1|$4|save|$0|
         RESET => +RESET
         GET none => $-1",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(prop_oneof![
        Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'"'), Just(b'-'), b'0'..=b'3', any::<u8>()
    ], 0..200)) {
        let mut world = World::new();
        let mut connection = Connection::new(1, String::new());
        let mut input = BytesMut::from(&bytes[..]);
        connection.receive(&mut input, &mut world);
        while let Some((ticket, outcome)) = world.run_one() {
            connection.on_outcome(ticket, outcome, &mut world);
        }
        prop_assert_eq!(connection.in_flight(), 0);
    }

    #[test]
    fn no_words_panic_and_every_command_is_answered(commands in proptest::collection::vec(
        (any::<prop::sample::Index>(), proptest::collection::vec(prop_oneof![
            Just("k"), Just("h"), Just("0"), Just("-1"), Just("9223372036854775807"), Just("EX"), Just("GET"), Just("MATCH"),
            Just("COUNT"), Just("WITHVALUES"), Just(""), Just("SET"), Just("*[")
        ], 0..5)), 1..20), split in any::<prop::sample::Index>()) {
        let mut stream = Vec::new();
        let mut expected = 0;
        for (index, words) in &commands {
            let spec = &crate::resp::table::COMMANDS[index.index(crate::resp::table::COMMANDS.len())];
            if matches!(spec.name, "quit" | "hello" | "exec") {
                continue;
            }
            let words: Vec<&[u8]> = [spec.name].iter().chain(words).map(|word| word.as_bytes()).collect();
            stream.extend(command(&words));
            expected += 1;
        }
        let at = split.index(stream.len() + 1);
        let mut client = Client::new();
        client.give(&stream[..at]);
        client.give(&stream[at..]);
        client.settle();
        prop_assert_eq!(client.connection.in_flight(), 0);
        let output = client.connection.output().split();
        let mut rest = &output[..];
        for _ in 0..expected {
            rest = after_reply(rest).expect("a whole reply for every command");
        }
        prop_assert!(rest.is_empty());
    }
}

/// What follows the first reply.
fn after_reply(input: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'\n', input)?;
    let (line, mut rest) = (&input[1..end - 1], &input[end + 1..]);
    let number = || std::str::from_utf8(line).ok()?.parse::<i64>().ok();
    match input[0] {
        b'+' | b'-' | b':' => Some(rest),
        b'$' => match number()? {
            -1 => Some(rest),
            length => rest.get(length as usize + 2..),
        },
        b'*' => {
            for _ in 0..number()?.max(0) {
                rest = after_reply(rest)?;
            }
            Some(rest)
        }
        _ => None,
    }
}

#[test]
fn a_connection_that_sends_one_endless_command_holds_what_it_sent_and_is_cut_off() {
    let mut client = Client::new();
    let header = b"*1048576\r\n";
    client.give(header);
    let chunk = command(&[&[b'x'; 1 << 20]])[4..].to_vec();
    let mut given = header.len();
    while !client.connection.is_closing() {
        client.give(&chunk);
        given += chunk.len();
        assert!(given <= parser::COMMAND_BYTES_MAX + 2 * chunk.len(), "cut off in time");
    }
    assert!(client.taken().starts_with("-ERR Protocol error: a command may have "));
}

#[test]
fn a_transaction_holds_its_bound_and_once_it_is_refused_nothing_more() {
    let queue = command(&[b"SET", b"k", &[b'x'; 1 << 20]]);
    let count = (TRANSACTION_BYTES_MAX >> 20) + 1;
    let mut client = Client::new();
    client.ask("MULTI");
    let mut answers = String::new();
    for _ in 0..count {
        client.give(&queue);
        answers.push_str(&client.taken());
    }
    let error = "-ERR a transaction may have 67108864 bytes\r\n";
    assert_eq!(answers.matches(error).count(), 1, "the bound is met once");
    assert!(client.ask("EXEC").starts_with("-EXECABORT "));
    client.ask("MULTI");
    client.ask("NOSUCH");
    for _ in 0..count {
        client.give(&queue);
        assert_eq!(client.taken(), "+QUEUED\r\n", "answered, and not kept");
    }
    assert!(client.ask("EXEC").starts_with("-EXECABORT "));
}

#[test]
fn config_says_how_durable_the_connections_own_bucket_is() {
    let loose = Bucket {
        durability: Durability::Buffered,
        ..Bucket::available(BucketId(7), "loose", Conflict::Lww)
    };
    let cache = Bucket {
        storage: StorageClass::Memory,
        ..Bucket::available(BucketId(8), "cache", Conflict::Lww)
    };
    let mut buckets = Bucket::initial();
    buckets.extend([loose, cache]);
    let mut client = Client::of(World::of(buckets));
    client.story(
        "CONFIG GET appendfsync => *2|$11|appendfsync|$6|always
         CONFIG SET appendfsync always => +OK
         TORC.USE loose => +OK
         CONFIG GET append* => *4|$11|appendfsync|$8|everysec|$10|appendonly|$3|yes
         CONFIG SET appendfsync everysec => +OK
         CONFIG SET appendfsync always => -ERR CONFIG SET failed (possibly related to argument 'appendfsync') - the node is configured by torc.toml
         TORC.USE cache => +OK
         CONFIG GET append* => *4|$11|appendfsync|$2|no|$10|appendonly|$2|no
         TORC.USE default => +OK
         CONFIG GET appendfsync => *2|$11|appendfsync|$6|always",
    );
}
