//! The clients that people have: redis-cli, redis-benchmark and redis-py, on three nodes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::harness::{Cluster, Node};

fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{command:?}: {error}; `cargo xtask clients` makes the clients ready"))
}

#[track_caller]
fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn port(node: &Node) -> String {
    (node.base_port + 3).to_string()
}

fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join("target/clients/bin/python3")
}

#[test]
fn redis_cli_writes_at_one_node_and_reads_at_another() {
    let cluster = Cluster::of_three();
    let cli = |node: usize, words: &[&str]| {
        text(&run(Command::new("redis-cli")
            .args(["-p", &port(&cluster[node])])
            .args(words)))
    };
    assert_eq!(cli(0, &["PING"]), "PONG");
    assert_eq!(cli(0, &["SET", "k", "v", "EX", "100"]), "OK");
    assert_eq!(cli(1, &["GET", "k"]), "v");
    let seconds: i64 = cli(2, &["TTL", "k"]).parse().expect("a number");
    assert!((90..=100).contains(&seconds), "{seconds}");
    assert_eq!(cli(0, &["HSET", "h", "a", "1", "b", "2"]), "2");
    assert_eq!(cli(1, &["HGETALL", "h"]), "a\n1\nb\n2");
    assert_eq!(cli(2, &["DBSIZE"]), "2");
    assert!(
        cli(0, &["INCR", "n"]).starts_with("WRONGMODE"),
        "{}",
        cli(0, &["INCR", "n"])
    );
    assert_eq!(cli(1, &["DEL", "k", "h"]), "2");
    assert_eq!(cli(2, &["EXISTS", "k", "h"]), "0");
    assert!(cli(0, &["-3", "HELLO", "3"]).starts_with("server"));
    assert!(cli(0, &["INFO"]).contains("redis_version:"));
}

#[test]
fn redis_benchmark_runs_with_and_without_pipelining() {
    let cluster = Cluster::of_three();
    for more in [&["-P", "1"], &["-P", "16"]] {
        let mut command = Command::new("redis-benchmark");
        command.args([
            "-p",
            &port(&cluster[0]),
            "-t",
            "set,get,mset,hset",
            "-n",
            "4000",
            "-c",
            "20",
            "-d",
            "100",
            "--csv",
        ]);
        let told = text(&run(command.args(more)));
        for test in ["\"SET\"", "\"GET\"", "\"HSET\"", "\"MSET (10 keys)\""] {
            assert!(told.contains(test), "{more:?}: {test} is missing:\n{told}");
        }
        assert!(!told.contains("Error") && !told.contains("ERR"), "{told}");
    }
    let get = Command::new("redis-cli")
        .args(["-p", &port(&cluster[1]), "STRLEN", "key:__rand_int__"])
        .output();
    assert_eq!(text(&get.expect("redis-cli runs")), "100");
}

const SCRIPT: &str = r#"
import sys, redis
protocol, ports = int(sys.argv[1]), [int(port) for port in sys.argv[2:]]
a, b, c = (redis.Redis(port=port, protocol=protocol) for port in ports)
assert a.ping()
assert a.set("k", b"\x00\xff", ex=100) and b.get("k") == b"\x00\xff" and 90 <= c.ttl("k") <= 100
assert b.mset({"m1": "1", "m2": "2"}) and c.mget("m1", "m2", "none") == [b"1", b"2", None]
assert a.hset("h", mapping={"x": "1", "y": "2"}) == 2 and b.hgetall("h") == {b"x": b"1", b"y": b"2"}
assert c.hdel("h", "x") == 1 and a.hlen("h") == 1
assert b.append("k2", "abc") == 3 and a.getrange("k2", 1, 2) == b"bc" and c.strlen("k2") == 3
for transaction in (False, True):
    with a.pipeline(transaction=transaction) as pipe:
        for i in range(200):
            pipe.set(f"p{i}", i)
        pipe.get("p7")
        pipe.hget("h", "y")
        answers = pipe.execute()
    assert answers == [True] * 200 + [b"7", b"2"], answers[-2:]
assert sorted(b.scan_iter("p1?", count=10)) == sorted(b"p1%d" % i for i in range(10))
assert c.dbsize() == 205, c.dbsize()
assert c.delete("k", "none") == 1 and a.exists("k") == 0
try:
    a.incr("n")
    raise SystemExit("INCR needs agreement and was done")
except redis.ResponseError as error:
    assert str(error).startswith("WRONGMODE"), error
try:
    a.hget("k2", "f")
    raise SystemExit("a string was taken for a hash")
except redis.ResponseError as error:
    assert str(error).startswith("WRONGTYPE"), error
d = redis.Redis(port=ports[0], protocol=protocol, client_name="tester", decode_responses=True)
assert d.client_getname() == "tester" and d.get("m1") == "1"
assert a.flushall() and b.dbsize() == 0
print("done")
"#;

#[test]
fn redis_py_works_in_both_protocols_with_its_pipelines() {
    let cluster = Cluster::of_three();
    let python = python();
    assert!(
        python.exists(),
        "{} is missing: `cargo xtask clients` makes it",
        python.display()
    );
    let ports: Vec<String> = cluster.nodes.iter().map(port).collect();
    for protocol in ["2", "3"] {
        let output = run(Command::new(&python).args(["-c", SCRIPT, protocol]).args(&ports));
        assert_eq!(text(&output), "done", "protocol {protocol}");
    }
}
