//! Torc's own commands, and Redis's in a bucket that keeps siblings.

use crate::resp::tests::node::Client;

/// The context of a TORC.PUT's or TORC.GET's answer.
fn token(answer: &str) -> String {
    let line = answer.split("\r\n").find(|line| !line.starts_with(['$', '*']));
    line.expect("a token").to_owned()
}

#[test]
fn values_are_replaced_by_context_and_stand_beside_each_other_without() {
    let mut client = Client::new();
    client.story("TORC.USE default => +OK\nGET k => $-1\nTORC.GET none => *1|$0|");
    let first = token(&client.ask("TORC.PUT k '' one"));
    let both = client.ask("TORC.PUT k '' two");
    assert!(both.starts_with('$'), "{both}");
    client.story(
        "GET k => -SIBLINGS use TORC.GET
         STRLEN k => -SIBLINGS use TORC.GET
         MGET k none => -SIBLINGS use TORC.GET
         EXISTS k => :1
         TYPE k => +string
         DBSIZE => :1",
    );
    let answer = client.ask("TORC.GET k");
    assert!(
        answer.starts_with("*3\r\n") && answer.contains("one") && answer.contains("two"),
        "{answer}"
    );
    let context = token(&answer);
    assert!(client.ask(&format!("TORC.PUT k {context} three")).starts_with('$'));
    client.story("GET k => $5|three");
    // A context that has seen the first alone leaves the third beside the fourth.
    assert!(client.ask(&format!("TORC.PUT k {first} four")).starts_with('$'));
    client.story(
        "GET k => -SIBLINGS use TORC.GET
         SET k five => +OK
         GET k => $4|five
         SET k six EX 100 => +OK
         GET k => $3|six
         DEL k => :1
         DEL k => :0
         GET k => $-1
         MSET a 1 b 2 => +OK
         MGET a b c => *3|$1|1|$1|2|$-1
         EXISTS a b c => :2
         DEL a b c => :2
         EXISTS a b c => :0",
    );
    let answer = client.ask("EXPIRE k 10");
    assert!(answer.starts_with("-WRONGMODE "), "{answer}");
    assert!(client.ask("TORC.PUT k nonsense x").starts_with("-ERR the context "));
}

#[test]
fn buckets_and_quorums_are_the_connections_own() {
    let mut client = Client::new();
    client.story(
        "TORC.USE nothing => -NOBUCKET there is no bucket 'nothing'
         SELECT 2 => -ERR DB index is out of range
         SELECT x => -ERR value is not an integer or out of range
         TORC.QUORUM one all => +OK
         TORC.QUORUM 1 1 => +OK
         TORC.QUORUM 0 1 => -ERR '0' is no quorum; use 1 to 9, one, quorum, all, local_one, local_quorum, each_quorum or default
         SET k v => +OK
         WAIT 0 100 => :0
         TORC.QUORUM 3 1 => +OK
         TORC.USE default => +OK
         SELECT 0 => +OK",
    );
    assert!(client.ask("GET k").starts_with("-ERR r=3 asks for 3 answers"));
    client.story(
        "TORC.QUORUM default default => +OK
         GET k => $1|v
         TORC.USE default => +OK
         GET k => $-1
         RESET => +RESET
         GET k => $1|v",
    );
}

#[test]
fn a_value_or_key_beyond_its_limit_is_refused_by_name() {
    let mut client = Client::new();
    let value = "v".repeat(1 << 20);
    for (value, starts) in [(value.clone(), "+OK"), (value + "v", "-TOOLARGE ")] {
        client.give(&super::node::command(&[b"SET", b"k", value.as_bytes()]));
        client.settle();
        let answer = client.taken();
        assert!(answer.starts_with(starts), "{answer}");
    }
    for (length, starts) in [(2_048, "+OK"), (2_049, "-TOOLARGE ")] {
        let answer = client.ask(&format!("SET {} v", "k".repeat(length)));
        assert!(answer.starts_with(starts), "{answer}");
    }
    assert!(client.ask("SET '' v").starts_with("-ERR the key is empty"));
    for (length, starts) in [(1_024, ":1"), (1_025, "-TOOLARGE ")] {
        let answer = client.ask(&format!("HSET h {} v", "f".repeat(length)));
        assert!(answer.starts_with(starts), "{answer}");
    }
}
