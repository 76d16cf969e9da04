//! `torc dev`: two commands from nothing to a cluster, and nothing left behind.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{Http, TORC, Turn, eventually};

/// A running `torc dev`.
struct Dev {
    process: Child,
    lines: Vec<String>,
    nodes: Vec<Value>,
}

impl Dev {
    fn start(dir: &Path, base_port: u16, more: &[&str]) -> Self {
        let errors = std::fs::File::create(dir.with_extension("stderr")).expect("a file");
        let mut process = Command::new(TORC)
            .args(["dev", "--base-port", &base_port.to_string(), "--dir"])
            .arg(dir)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .expect("torc starts");
        let out = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut lines = Vec::new();
        for line in out.lines() {
            lines.push(line.expect("text"));
            if lines.last().is_some_and(|line| line == "ready") {
                break;
            }
        }
        if lines.last().is_none_or(|line| line != "ready") {
            let _ = process.kill();
            let _ = process.wait();
            let errors = std::fs::read_to_string(dir.with_extension("stderr")).unwrap_or_default();
            panic!("never ready: {lines:?}\n{errors}");
        }
        let file = std::fs::read_to_string(dir.join("cluster.json")).expect("cluster.json is there when it is ready");
        let file: Value = serde_json::from_str(&file).expect("JSON");
        Self {
            process,
            lines,
            nodes: file["nodes"].as_array().expect("nodes").clone(),
        }
    }

    fn text(&self, node: usize, field: &str) -> &str {
        self.nodes[node][field].as_str().expect("a text")
    }

    fn pids(&self) -> Vec<Pid> {
        let pid = |node: &Value| Pid::from_raw(node["pid"].as_i64().expect("a number") as i32).expect("a pid");
        self.nodes.iter().map(pid).collect()
    }

    fn http(&self, node: usize) -> Http {
        Http::connect(self.text(node, "http")).expect("the node takes clients")
    }

    fn end(mut self, signal: Signal) -> Option<i32> {
        let pids = self.pids();
        let pid = Pid::from_raw(self.process.id() as i32).expect("a pid");
        kill_process(pid, signal).expect("a child of ours");
        let status = self.process.wait().expect("a child of ours");
        eventually("all nodes are gone", Duration::from_secs(2), || {
            pids.iter().all(|pid| has_ended(*pid))
        });
        status.code()
    }
}

/// True for a process that is gone, or that has ended and only waits for whoever has adopted it to take note.
fn has_ended(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    // `pid (name) state …`
    stat.map_or(true, |stat| {
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
    })
}

impl Drop for Dev {
    fn drop(&mut self) {
        // The nodes go with it: their standard input closes.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix("dev-")
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .expect("a directory")
}

fn fails(dir: &Path, base_port: u16) -> Output {
    let output = Command::new(TORC)
        .args(["dev", "--base-port", &base_port.to_string(), "--dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .output()
        .expect("torc starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    output
}

#[test]
fn a_cluster_in_a_directory_is_found_again_with_its_data() {
    let turn = Turn::take();
    let (parent, base) = (folder(), turn.base_port());
    let dir: PathBuf = parent.path().join("cluster");
    let dev = Dev::start(&dir, base, &[]);
    assert_eq!(dev.nodes.len(), 3);
    let table = dev.lines.join("\n");
    for (at, node) in dev.nodes.iter().enumerate() {
        let base = base + 10 * (at as u16 + 1);
        assert_eq!(node["name"], format!("n{}", at + 1));
        assert_eq!(node["peer"], format!("127.0.0.1:{}", base + 1));
        assert_eq!(node["http"], format!("127.0.0.1:{}", base + 2));
        assert_eq!(node["resp"], format!("127.0.0.1:{}", base + 3));
        assert!(table.contains(dev.text(at, "http")), "{table}");
        assert!(Path::new(dev.text(at, "dir")).join("torc.toml").exists());
    }
    assert_eq!(dev.lines.iter().filter(|line| *line == "ready").count(), 1);
    let put = dev.http(0).send("PUT", "/v1/kv/default/k", &[], b"kept");
    put.expect("an answer").expect(204);
    let get = dev.http(2).send("GET", "/v1/kv/default/k", &[], b"");
    assert_eq!(get.expect("an answer").expect(200).text(), "kept");

    // A second one in the same directory, and one on the same ports, are refused and disturb nobody.
    let told = fails(&dir, base + 50);
    assert!(String::from_utf8_lossy(&told.stderr).contains("in use"), "{told:?}");
    let told = fails(&parent.path().join("other"), base);
    let text = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(text.contains(dev.text(0, "peer")), "the busy port is not named: {text}");

    assert_eq!(dev.end(Signal::INT), Some(0));
    let dev = Dev::start(&dir, base, &[]);
    assert_eq!(dev.nodes.len(), 3);
    let get = dev.http(1).send("GET", "/v1/kv/default/k", &[], b"");
    assert_eq!(get.expect("an answer").expect(200).text(), "kept");
    assert_eq!(dev.end(Signal::TERM), Some(0));
}

/// Clients that write on and on, each as soon as it has its answer; ended when dropped.
struct Load(Child);

impl Load {
    fn on(dev: &Dev) -> Self {
        let mut bench = Command::new(TORC);
        // So many that at no time none is in flight.
        bench.args(["bench", "--mix", "set", "-c", "500", "--duration", "60", "--json"]);
        bench.args(["--resp", dev.text(0, "resp")]);
        let quiet = bench.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let load = Self(quiet.spawn().expect("torc starts"));
        eventually("there is load", Duration::from_secs(20), || {
            let metrics = dev.http(0).send("GET", "/metrics", &[], b"").expect("an answer");
            metrics.metric("torc_store_commits_total") > 1_000.0
        });
        load
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Nodes waited ten seconds for requests in flight to end, and read new ones meanwhile.
#[test]
fn nodes_do_not_outlive_a_killed_supervisor_whatever_clients_do() {
    let turn = Turn::take();
    let parent = folder();
    let dev = Dev::start(&parent.path().join("cluster"), turn.base_port(), &[]);
    let _load = Load::on(&dev);
    // `end` waits two seconds at most for the nodes to be gone.
    assert_eq!(dev.end(Signal::KILL), None);
}

#[test]
fn a_cluster_under_load_stops_cleanly() {
    let turn = Turn::take();
    let parent = folder();
    let dir = parent.path().join("cluster");
    let dev = Dev::start(&dir, turn.base_port(), &[]);
    let _load = Load::on(&dev);
    assert_eq!(dev.end(Signal::TERM), Some(0));
    for node in ["n1", "n2", "n3"] {
        let log = std::fs::read_to_string(dir.join(node).join("log")).expect("a log");
        assert!(log.contains("stopped cleanly"), "{node}: {log}");
    }
}

#[test]
fn a_killed_node_stays_dead_is_started_by_hand_and_comes_back_by_itself_if_asked() {
    let turn = Turn::take();
    let (parent, base) = (folder(), turn.base_port());
    let dir = parent.path().join("cluster");
    let dev = Dev::start(&dir, base, &[]);
    let put = dev.http(0).send("PUT", "/v1/kv/default/k?w=3", &[], b"v");
    put.expect("an answer").expect(204);
    kill_process(dev.pids()[1], Signal::KILL).expect("a node of ours");
    let errors = || std::fs::read_to_string(dir.with_extension("stderr")).unwrap_or_default();
    eventually("the death is reported", Duration::from_secs(10), || {
        errors().contains("n2")
    });
    assert!(errors().contains("torc serve --config"), "{}", errors());
    let get = dev.http(0).send("GET", "/v1/kv/default/k", &[], b"");
    get.expect("an answer").expect(200);

    let mut by_hand = Command::new(TORC)
        .args(["serve", "--exit-with-parent", "--config"])
        .arg(dir.join("n2/torc.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("torc starts");
    eventually("n2 serves again", Duration::from_secs(30), || {
        Http::connect(dev.text(1, "http"))
            .and_then(|mut http| http.send("GET", "/v1/kv/default/k", &[], b""))
            .is_ok_and(|answer| answer.status == 200)
    });
    let _ = by_hand.kill();
    let _ = by_hand.wait();
    dev.end(Signal::INT);

    let dev = Dev::start(&dir, base, &["--restart"]);
    let old = dev.pids()[1];
    kill_process(old, Signal::KILL).expect("a node of ours");
    eventually(
        "n2 comes back by itself, and cluster.json says so",
        Duration::from_secs(30),
        || {
            let file = std::fs::read_to_string(dir.join("cluster.json")).unwrap_or_default();
            let file: Value = serde_json::from_str(&file).unwrap_or_default();
            let pid = file["nodes"][1]["pid"].as_i64();
            pid.is_some_and(|pid| pid != i64::from(old.as_raw_nonzero().get()))
                && Http::connect(dev.text(1, "http"))
                    .and_then(|mut http| http.send("GET", "/readyz", &[], b""))
                    .is_ok_and(|answer| answer.status == 200)
        },
    );
    dev.end(Signal::INT);
}
