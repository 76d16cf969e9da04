//! `torc dev` and the commands for people.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cluster::free_base_port;

fn torc(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_torc"))
        .args(arguments)
        .output()
        .expect("torc runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Starts a cluster and waits for its line `ready`.
fn dev(dir: &Path, base_port: u16) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_torc"))
        .args(["dev", "--base-port", &base_port.to_string(), "--dir"])
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("torc runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(
        lines.any(|line| line.is_ok_and(|line| line == "ready")),
        "dev ended before it was ready"
    );
    child
}

/// Ctrl-C.
fn interrupt(mut child: Child) {
    let pid = rustix::process::Pid::from_raw(child.id() as i32).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let give_up = Instant::now() + Duration::from_secs(20);
    while child.try_wait().expect("our child").is_none() {
        assert!(Instant::now() < give_up, "dev does not stop");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_kept_cluster_is_found_again_with_its_data_and_nothing_is_left_running() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let base = free_base_port();
    let http = format!("127.0.0.1:{}", base + 12);
    let first = dev(dir.path(), base);
    let text = std::fs::read_to_string(dir.path().join("cluster.json")).expect("cluster.json");
    let described: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let nodes = described["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 3);
    assert_eq!(nodes[0]["http"].as_str(), Some(&http[..]));
    let pids: Vec<u64> = nodes.iter().filter_map(|node| node["pid"].as_u64()).collect();

    let common = ["--addr", &http[..]];
    let with = |arguments: &[&str]| torc(&[&common[..], arguments].concat());
    assert_eq!(with(&["put", "default", "k", "v"]).0, Some(0));
    assert_eq!(with(&["get", "default", "k"]).1, "v");
    assert_eq!(with(&["put", "default", "k", "beside", "--blind"]).0, Some(0));
    let (code, _, words) = with(&["get", "default", "k"]);
    assert_eq!(code, Some(1), "two siblings are no one value: {words}");
    assert_eq!(with(&["put", "default", "k", "merged"]).0, Some(0));
    assert_eq!(with(&["delete", "default", "missing"]).0, Some(0));
    assert_eq!(with(&["get", "default", "missing"]).0, Some(1));
    assert_eq!(with(&["get", "nowhere", "k"]).0, Some(1));
    assert_eq!(with(&["get"]).0, Some(2));
    assert!(with(&["cluster", "status"]).1.contains("alive"));
    assert!(with(&["bucket", "show", "redis"]).1.contains("lww"));
    assert!(with(&["inspect", "default", "k"]).1.contains("\"homes\""));

    interrupt(first);
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is left");
    }
    let second = dev(dir.path(), base);
    assert_eq!(with(&["get", "default", "k"]).1, "merged");
    interrupt(second);
}

#[test]
fn a_configuration_is_judged_as_a_whole_and_nothing_is_started() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("torc.toml");
    std::fs::write(&file, "base_port = 70000\ncapacity = 0\nnonsense = 1\n").expect("written");
    let file = file.display().to_string();
    let (code, _, words) = torc(&["serve", "--check", "--config", &file]);
    assert_eq!(code, Some(1));
    for field in ["base_port", "capacity", "nonsense"] {
        assert!(words.contains(field), "{field} is not in: {words}");
    }
}
