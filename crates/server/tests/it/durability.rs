//! An acknowledgement means durable on W disks. kill -9 keeps the page cache and says nothing about that; syncs that are
//! made slow or made to fail do, and so does the order of system calls.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Cluster, Reply, Settings, eventually};

const SLOW: Duration = Duration::from_millis(400);

fn one_node() -> Cluster {
    Cluster::start(&Settings {
        nodes: 1,
        ..Settings::default()
    })
}

#[test]
fn a_write_is_acknowledged_no_sooner_than_its_sync_returns() {
    let cluster = one_node();
    let node = &cluster[0];
    let put = |at: u32| {
        let started = Instant::now();
        node.ask("PUT", &format!("/v1/kv/default/k{at}"), &[], b"v").expect(204);
        started.elapsed()
    };
    put(0);
    node.faults(&format!(r#"{{"fsync":"slow","fsync_ms":{}}}"#, SLOW.as_millis()));
    for at in 1..4 {
        let took = put(at);
        assert!(
            took >= SLOW,
            "acknowledged after {took:?}, with syncs that take {SLOW:?}"
        );
    }
    let started = Instant::now();
    assert_eq!(node.resp().call("SET k v"), Reply::ok());
    assert!(started.elapsed() >= SLOW, "SET after {:?}", started.elapsed());
    let started = Instant::now();
    node.get("/v1/kv/default/k1").expect(200);
    assert!(
        started.elapsed() < SLOW,
        "a read waits for no sync: {:?}",
        started.elapsed()
    );
    node.faults("{}");
    assert!(put(9) < SLOW);
}

/// Two slow disks of three: no quorum of two can be faster than them. One slow disk of three holds up nobody.
#[test]
fn a_quorum_waits_for_w_disks_and_not_for_all() {
    let cluster = Cluster::of_three();
    let slow = format!(r#"{{"fsync":"slow","fsync_ms":{}}}"#, SLOW.as_millis());
    let put = |target: &str| {
        let started = Instant::now();
        cluster[0].ask("PUT", target, &[], b"v").expect(204);
        started.elapsed()
    };
    cluster[1].faults(&slow);
    let took = put("/v1/kv/default/a?w=2");
    assert!(took < SLOW, "one slow disk of three held up a quorum of two: {took:?}");
    let took = put("/v1/kv/default/b?w=3");
    assert!(took >= SLOW, "w=3 acknowledged after {took:?}");
    cluster[2].faults(&slow);
    let took = put("/v1/kv/default/c?w=2");
    assert!(took >= SLOW, "w=2 acknowledged after {took:?}");
}

#[test]
fn a_failed_sync_is_never_acknowledged() {
    let cluster = one_node();
    let node = &cluster[0];
    node.ask("PUT", "/v1/kv/default/before", &[], b"v").expect(204);
    node.faults(r#"{"fsync":"fail"}"#);
    for at in 0..3 {
        let answer = node.ask("PUT", &format!("/v1/kv/default/k{at}?timeout_ms=1000"), &[], b"v");
        assert!(answer.status >= 500, "acknowledged with {}", answer.status);
    }
    // What failed to sync may be gone from the page cache: it must not be read back as if it were there.
    let answer = node.get("/v1/kv/default/k0?timeout_ms=1000");
    assert_ne!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_failing_disk_of_three_costs_no_acknowledgement_at_quorum() {
    let cluster = Cluster::of_three();
    cluster[2].faults(r#"{"fsync":"fail"}"#);
    for at in 0..20 {
        cluster[at % 2]
            .ask("PUT", &format!("/v1/kv/default/k{at}"), &[], b"v")
            .expect(204);
    }
    for at in 0..20 {
        let answer = cluster[at % 2].ask("PUT", &format!("/v1/kv/default/k{at}?w=3&timeout_ms=500"), &[], b"w");
        assert!(
            answer.status >= 500,
            "w=3 acknowledged with a disk that can't sync: {}",
            answer.status
        );
    }
}

/// Seen from the kernel's side: between reading a request and writing its answer, an fdatasync began and returned.
#[test]
fn an_fdatasync_returns_between_a_request_and_its_acknowledgement() {
    let cluster = one_node();
    let node = &cluster[0];
    node.ask("PUT", "/v1/kv/default/warm", &[], b"v").expect(204);
    let trace = cluster.dir.path().join("trace");
    let mut strace = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-s",
            "120",
            "-e",
            "trace=fdatasync,fsync,read,recvfrom,write,writev,sendto,sendmsg",
            "-o",
        ])
        .arg(&trace)
        .args(["-p", &node.pid().to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace is installed");
    let text = || std::fs::read_to_string(&trace).unwrap_or_default();
    eventually("strace is attached", Duration::from_secs(10), || {
        node.get("/healthz").expect(200);
        text().contains("GET /healthz")
    });
    let written: Vec<_> = (0..10)
        .map(|at| {
            let id = format!("seen-by-the-kernel-{at}");
            node.ask(
                "PUT",
                &format!("/v1/kv/default/{id}"),
                &[("torc-request-id", &id)],
                b"v",
            )
            .expect(204);
            id
        })
        .collect();
    eventually("the trace holds the last answer", Duration::from_secs(10), || {
        text().matches("204 No Content").count() >= written.len()
    });
    let pid = rustix::process::Pid::from_raw(strace.id() as i32).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a child of ours");
    strace.wait().expect("a child of ours");

    let text = text();
    let lines: Vec<&str> = text.lines().collect();
    for id in &written {
        let asked = lines
            .iter()
            .position(|line| line.contains(&format!("PUT /v1/kv/default/{id} ")));
        let asked = asked.unwrap_or_else(|| panic!("the request of {id} is not in the trace"));
        let answered = lines[asked..].iter().position(|line| line.contains("204 No Content"));
        let answered = asked + answered.unwrap_or_else(|| panic!("no answer after {id}"));
        let is_sync_done = |line: &&&str| line.contains("sync") && line.trim_end().ends_with("= 0");
        let synced = lines[asked..answered].iter().find(is_sync_done);
        assert!(
            synced.is_some(),
            "no sync between request and answer:\n{}",
            lines[asked..=answered].join("\n")
        );
    }
}
