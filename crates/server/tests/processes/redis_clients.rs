//! Redis's own tools and redis-py on a cluster of three: they find what they expect. `cargo xtask clients` installs them.

use std::path::Path;
use std::process::Command;

use crate::cluster::Cluster;

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask clients` installs what is missing"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?} failed:\n{text}\n{errors}"
    );
    text
}

#[test]
fn redis_cli_writes_at_one_node_and_reads_at_another() {
    let cluster = Cluster::start(3);
    let ports: Vec<String> = (1..=3).map(|node| cluster.resp(node).to_string()).collect();
    let ask = |node: usize, words: &[&str]| run("redis-cli", &[&["-p", &ports[node - 1]], words].concat());
    assert_eq!(ask(1, &["SET", "k", "v", "EX", "100"]), "OK\n");
    assert_eq!(ask(2, &["GET", "k"]), "v\n");
    assert_eq!(ask(3, &["TTL", "k"]), "100\n");
    assert_eq!(ask(3, &["HSET", "h", "a", "1", "b", "2"]), "2\n");
    assert_eq!(ask(1, &["HGET", "h", "b"]), "2\n");
    assert_eq!(ask(2, &["DEL", "k", "h"]), "2\n");
    assert_eq!(ask(1, &["DBSIZE"]), "0\n");
    assert!(ask(1, &["INCR", "n"]).starts_with("WRONGMODE"));
    assert!(ask(1, &["-n", "1", "GET", "k"]).contains("not in this version"));
}

#[test]
fn redis_benchmark_runs_with_and_without_pipelines() {
    let cluster = Cluster::start(3);
    let port = cluster.resp(1).to_string();
    for pipeline in ["1", "16"] {
        let arguments = [
            "-p",
            &port,
            "-t",
            "set,get,mset,hset",
            "-n",
            "2000",
            "-r",
            "1000",
            "-P",
            pipeline,
            "--csv",
        ];
        let table = run("redis-benchmark", &arguments);
        for test in ["SET", "GET", "MSET (10 keys)", "HSET"] {
            assert!(table.contains(&format!("\"{test}\"")), "{test} is not in:\n{table}");
        }
        assert!(!table.contains("Error"), "{table}");
    }
}

#[test]
fn redis_py_speaks_both_dialects_and_pipelines() {
    const SCRIPT: &str = r#"
import sys, redis
port, other = int(sys.argv[1]), int(sys.argv[2])
for protocol in (2, 3):
    client = redis.Redis(port=port, protocol=protocol)
    at_other = redis.Redis(port=other, protocol=protocol)
    assert client.ping()
    assert client.set("k", "v", ex=100)
    assert at_other.get("k") == b"v"
    assert 0 < client.ttl("k") <= 100
    assert client.hset("h", mapping={"a": 1, "b": 2}) == 2
    assert at_other.hgetall("h") == {b"a": b"1", b"b": b"2"}
    for transaction in (False, True):
        with client.pipeline(transaction=transaction) as pipe:
            for number in range(100):
                pipe.set(f"p{number}", number)
            for number in range(100):
                pipe.get(f"p{number}")
            assert pipe.execute() == [True] * 100 + [str(n).encode() for n in range(100)]
    assert sorted(client.scan_iter("p*", count=7)) == sorted(f"p{n}".encode() for n in range(100))
    assert client.mget("p1", "p2", "none") == [b"1", b"2", None]
    try:
        client.incr("n")
        assert False, "INCR needs agreement"
    except redis.ResponseError as error:
        assert "WRONGMODE" in str(error)
    assert client.info()["redis_version"]
    assert client.flushdb()
    assert at_other.dbsize() == 0
print("done")
"#;
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/clients/bin/python3");
    let cluster = Cluster::start(3);
    let (port, other) = (cluster.resp(1).to_string(), cluster.resp(3).to_string());
    let said = run(&python.display().to_string(), &["-c", SCRIPT, &port, &other]);
    assert_eq!(said, "done\n");
}
