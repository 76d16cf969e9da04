//! RULINGS 9: what overlaps, what waits, and that replies keep the order of the requests.

use crate::resp::tests::node::{Client, command};

fn give(client: &mut Client, lines: &[&str]) {
    for line in lines {
        client.give(format!("{line}\r\n").as_bytes());
    }
}

#[test]
fn commands_on_different_keys_overlap_and_on_the_same_key_wait() {
    let mut client = Client::new();
    give(&mut client, &["SET a 1", "SET b 2", "GET a", "SET a 3", "GET c"]);
    assert_eq!(client.world.waiting(), 3, "a, b and c; the rest of a waits");
    // c and b answer first: nothing may be sent before a's answer.
    assert!(client.settle_nth(2) && client.settle_nth(1));
    assert_eq!(client.taken(), "");
    assert_eq!(client.world.waiting(), 1);
    assert!(client.settle_nth(0));
    assert_eq!(client.taken(), "+OK\r\n+OK\r\n");
    assert_eq!(client.world.waiting(), 1, "GET a, and SET a still waits");
    assert!(client.settle_nth(0));
    assert_eq!(client.taken(), "$1\r\n1\r\n");
    client.settle();
    assert_eq!(client.taken(), "+OK\r\n$-1\r\n");
    assert_eq!(client.connection.in_flight(), 0);
}

#[test]
fn what_is_answered_on_the_spot_overtakes_neither_its_key_nor_the_replies_before_it() {
    let mut client = Client::new();
    client.world.answers_now = true;
    give(&mut client, &["SET a 1", "HSET h f v"]);
    client.settle();
    assert_eq!(client.taken(), "+OK\r\n:1\r\n");
    give(&mut client, &["GET a", "STRLEN a", "HGET h f", "GET none"]);
    assert_eq!(client.taken(), "$1\r\n1\r\n:1\r\n$1\r\nv\r\n$-1\r\n");
    assert_eq!(client.connection.in_flight(), 0, "nothing waits");
    // A write of another key goes before: the answers are there, and wait for its own.
    give(&mut client, &["SET b 2", "GET a", "GET b", "GETRANGE a 0 0"]);
    assert_eq!(client.world.waiting(), 1, "SET b; the read of it waits for it");
    assert_eq!((client.taken().as_str(), client.connection.in_flight()), ("", 4));
    client.settle();
    assert_eq!(client.taken(), "+OK\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n1\r\n");
    // A hash is no string, however it is asked.
    give(&mut client, &["GET h"]);
    client.settle();
    assert!(client.taken().starts_with("-WRONGTYPE"));
    // Barriers are kept.
    give(&mut client, &["SET a 9", "MGET a b", "GET a"]);
    assert_eq!(client.world.waiting(), 1);
    client.settle();
    assert_eq!(client.taken(), "+OK\r\n*2\r\n$1\r\n9\r\n$1\r\n2\r\n$1\r\n9\r\n");
}

#[test]
fn the_same_key_in_two_buckets_is_two_keys() {
    let mut client = Client::new();
    give(&mut client, &["SET a 1", "TORC.USE default", "SET a 2"]);
    assert_eq!(client.world.waiting(), 2);
}

#[test]
fn a_barrier_waits_for_all_before_it_and_all_after_it_wait() {
    let mut client = Client::new();
    give(
        &mut client,
        &["SET a 1", "SET b 2", "MGET a b", "SET c 3", "PING", "DBSIZE", "GET c"],
    );
    assert_eq!(client.world.waiting(), 2);
    client.settle_nth(1);
    assert_eq!(client.world.waiting(), 1);
    client.settle_nth(0);
    assert_eq!(client.world.waiting(), 1, "MGET alone");
    assert_eq!(client.taken(), "+OK\r\n+OK\r\n");
    client.settle_nth(0);
    assert_eq!(client.taken(), "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    assert_eq!(client.world.waiting(), 1, "SET c");
    client.settle_nth(0);
    assert_eq!(client.taken(), "+OK\r\n+PONG\r\n");
    client.settle();
    assert_eq!(client.taken(), ":3\r\n$1\r\n3\r\n");
}

#[test]
fn a_transaction_is_one_barrier_and_its_commands_answer_in_order() {
    let mut client = Client::new();
    give(
        &mut client,
        &[
            "SET a 0", "MULTI", "SET a 1", "SET b 2", "GET a", "MGET a b", "EXEC", "SET a 9", "GET a",
        ],
    );
    assert_eq!(client.world.waiting(), 1);
    client.settle_nth(0);
    assert_eq!(client.world.waiting(), 2, "SET a 1 and SET b 2");
    client.settle();
    let expected = "+OK|+OK|+QUEUED|+QUEUED|+QUEUED|+QUEUED|*4|+OK|+OK|$1|1|*2|$1|1|$1|2|+OK|$1|9|";
    assert_eq!(client.taken().replace("\r\n", "|"), expected);
    client.story(
        "MULTI => +OK
         MULTI => -ERR MULTI calls can not be nested
         NOSUCH => -ERR unknown command 'NOSUCH', with args beginning with:
         GET a => +QUEUED
         EXEC => -EXECABORT Transaction discarded because of previous errors.
         EXEC => -ERR EXEC without MULTI
         DISCARD => -ERR DISCARD without MULTI
         MULTI => +OK
         SET a 5 => +QUEUED
         DISCARD => +OK
         GET a => $1|9
         MULTI => +OK
         EXEC => *0
         MULTI => +OK
         WATCH a => -ERR WATCH inside MULTI is not allowed
         INCR a => +QUEUED
         GET a => +QUEUED
         EXEC => *2|-WRONGMODE 'incr' needs agreement; bucket 'redis' is available; use SELECT 1|$1|9",
    );
}

#[test]
fn a_long_transaction_and_what_follows_it_keep_their_order() {
    let mut client = Client::new();
    let mut bytes = command(&[b"MULTI"]);
    for number in 0..3_000 {
        bytes.extend(command(&[b"SET", format!("k{number}").as_bytes(), b"v"]));
    }
    bytes.extend(command(&[b"EXEC"]));
    bytes.extend(command(&[b"MULTI"]));
    bytes.extend(command(&[b"GET", b"k2999"]));
    bytes.extend(command(&[b"EXEC"]));
    bytes.extend(command(&[b"PING"]));
    client.give(&bytes);
    assert!(client.world.waiting() <= 1_024, "bounded");
    client.settle();
    let answer = client.taken();
    assert_eq!(answer.matches("+QUEUED").count(), 3_001);
    assert!(
        answer.ends_with("+OK\r\n+QUEUED\r\n*1\r\n$1\r\nv\r\n+PONG\r\n"),
        "{}",
        &answer[answer.len() - 60..]
    );
}

#[test]
fn too_much_in_flight_stops_the_input_and_goes_on_later() {
    let mut client = Client::new();
    let mut bytes = Vec::new();
    for number in 0..5_000 {
        bytes.extend(command(&[b"SET", format!("k{number}").as_bytes(), b"v"]));
    }
    client.give(&bytes);
    assert!(!client.connection.wants_input());
    assert_eq!(client.connection.in_flight(), 1_024);
    client.settle();
    assert_eq!(client.taken(), "+OK\r\n".repeat(5_000));
    assert!(client.connection.wants_input());
}

#[test]
fn large_values_in_flight_stop_the_input_too() {
    let mut client = Client::new();
    let value = vec![b'v'; 1 << 20];
    for number in 0..100 {
        client.give(&command(&[b"SET", format!("k{number}").as_bytes(), &value]));
    }
    assert!(client.connection.in_flight() <= 17, "{}", client.connection.in_flight());
    client.settle();
    assert_eq!(client.taken(), "+OK\r\n".repeat(100));
}

/// A pipeline of reads of values of 1 MiB had 1,024 of them on their way at once, and their answers in memory.
#[test]
fn reads_of_large_values_in_flight_stop_the_input_before_the_values_are_known() {
    let mut client = Client::new();
    let value = vec![b'v'; 1 << 20];
    let names: Vec<String> = (0..100).map(|number| format!("k{number}")).collect();
    for name in &names {
        client.give(&command(&[b"SET", name.as_bytes(), &value]));
        client.settle();
    }
    assert_eq!(client.taken(), "+OK\r\n".repeat(100));
    let reads = |client: &mut Client| {
        for name in &names {
            client.give(&command(&[b"GET", name.as_bytes()]));
        }
    };
    // As the client reads its answers, the rest of the pipeline is run.
    let all_answered = |client: &mut Client| {
        let mut bytes = 0;
        while client.connection.in_flight() > 0 {
            client.settle();
            bytes += client.taken().len();
            client.give(b"");
        }
        bytes
    };
    reads(&mut client);
    assert!(client.world.waiting() <= 32, "{}", client.world.waiting());
    let reply_bytes = value.len() + "$1048576\r\n\r\n".len();
    assert_eq!(all_answered(&mut client), 100 * reply_bytes);
    reads(&mut client);
    assert!(client.world.waiting() <= 16, "{}", client.world.waiting());
    assert_eq!(all_answered(&mut client), 100 * reply_bytes);
    // After short replies it expects short ones, and is wrong: then a thousand long ones were on their way.
    for _ in 0..200 {
        assert_eq!(client.ask("GET none"), "$-1\r\n");
    }
    for _ in 0..10 {
        reads(&mut client);
    }
    assert_eq!(client.world.waiting(), 64);
    assert_eq!(all_answered(&mut client), 1_000 * reply_bytes);
}

#[test]
fn nothing_is_read_after_quit_and_what_came_before_is_answered() {
    let mut client = Client::new();
    give(&mut client, &["SET a 1", "QUIT", "SET a 2"]);
    assert!(!client.connection.is_closing(), "SET a has no answer yet");
    assert!(!client.connection.wants_input());
    client.settle();
    assert_eq!(client.taken(), "+OK\r\n+OK\r\n");
    assert!(client.connection.is_closing());
    assert_eq!(client.world.submitted.len(), 1);
}
