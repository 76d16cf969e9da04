//! A cluster of real processes in a temporary directory, ended with the test whatever becomes of it.

use std::fmt::Write as _;
use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::http::{Answer, ask, try_ask};

const PATIENCE: Duration = Duration::from_secs(30);

/// One cluster at a time: the machines that run these tests are small.
static TURN: Mutex<()> = Mutex::new(());
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A cluster of n nodes, `n1` and so on.
pub struct Cluster {
    dir: TempDir,
    nodes: Vec<Node>,
    _turn: MutexGuard<'static, ()>,
}

struct Node {
    base_port: u16,
    dir: PathBuf,
    process: Option<Child>,
}

impl Cluster {
    /// Starts a cluster and waits until it serves.
    pub fn start(nodes: usize) -> Self {
        Self::start_with_lists(nodes, "", "")
    }

    /// The same with more settings, and more lists, in each node's configuration.
    pub fn start_with_lists(count: usize, settings: &str, lists: &str) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ports: Vec<u16> = (0..count).map(|_| free_base_port()).collect();
        let mut members = String::new();
        for (place, port) in ports.iter().enumerate() {
            writeln!(members, "[[members]]\nname = \"n{}\"\nbase_port = {port}", place + 1).expect("a String grows");
        }
        let mut nodes = Vec::new();
        for (place, &base_port) in ports.iter().enumerate() {
            let name = format!("n{}", place + 1);
            let dir = dir.path().join(&name);
            std::fs::create_dir(&dir).expect("a directory");
            let text = format!(
                "name = \"{name}\"\ndir = {dir:?}\nbase_port = {base_port}\nallow_faults = true\nlog = \"file\"\n{settings}\n{members}{lists}"
            );
            std::fs::write(dir.join("torc.toml"), text).expect("a configuration");
            let process = None;
            nodes.push(Node {
                base_port,
                dir,
                process,
            });
        }
        let mut cluster = Self {
            dir,
            nodes,
            _turn: turn,
        };
        cluster.start_all();
        cluster
    }

    /// Starts every node that does not run, and waits until all serve.
    pub fn start_all(&mut self) {
        for node in 1..=self.nodes.len() {
            if self.nodes[node - 1].process.is_none() {
                self.spawn(node);
            }
        }
        for node in 1..=self.nodes.len() {
            self.wait_until_ready(node);
        }
    }

    /// Starts one node and waits until it serves.
    pub fn restart(&mut self, node: usize) {
        self.spawn(node);
        self.wait_until_ready(node);
    }

    fn spawn(&mut self, node: usize) {
        let node = &mut self.nodes[node - 1];
        let errors = File::create(node.dir.join("stderr")).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_torc"))
            .args(["serve", "--config"])
            .arg(node.dir.join("torc.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn();
        node.process = Some(child.expect("torc starts"));
    }

    fn wait_until_ready(&mut self, node: usize) {
        let give_up = Instant::now() + PATIENCE;
        let port = self.http(node);
        while try_ask(port, "GET", "/readyz", &[], b"").is_none_or(|answer| answer.status != 200) {
            let words = std::fs::read_to_string(self.nodes[node - 1].dir.join("stderr")).unwrap_or_default();
            assert!(Instant::now() < give_up, "n{node} is not ready: {words}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// kill -9.
    pub fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.nodes[node - 1].process.take() {
            child.kill().expect("it ran");
            child.wait().expect("it ended");
        }
    }

    /// SIGTERM, and the process has to end well.
    pub fn stop(&mut self, node: usize) {
        let mut child = self.nodes[node - 1].process.take().expect("it runs");
        let pid = rustix::process::Pid::from_raw(child.id() as i32).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("our child") {
                assert!(status.success(), "n{node} ended with {status}");
                return;
            }
            assert!(Instant::now() < give_up, "n{node} does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The HTTP port.
    pub fn http(&self, node: usize) -> u16 {
        self.nodes[node - 1].base_port + 2
    }

    /// The port of the Redis protocol.
    pub fn resp(&self, node: usize) -> u16 {
        self.nodes[node - 1].base_port + 3
    }

    /// The port for peers.
    pub fn peer(&self, node: usize) -> u16 {
        self.nodes[node - 1].base_port + 1
    }

    /// The process of a node that runs.
    pub fn pid(&self, node: usize) -> u32 {
        self.nodes[node - 1].process.as_ref().expect("it runs").id()
    }

    /// Asks a node that has to answer.
    pub fn ask(&self, node: usize, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.http(node), method, target, headers, body)
    }

    /// Puts faults in force at a node.
    pub fn fault(&self, node: usize, faults: &str) {
        let answer = self.ask(node, "POST", "/v1/faults", &[], faults.as_bytes());
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 1..=self.nodes.len() {
            self.kill(node);
        }
        if std::thread::panicking() {
            for node in &self.nodes {
                let log = std::fs::read_to_string(node.dir.join("log")).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let last = &lines[lines.len().saturating_sub(10)..];
                eprintln!("{}:\n{}", node.dir.display(), last.join("\n"));
            }
        }
        let _ = &self.dir;
    }
}

/// A base port whose four ports are free, below the range that outgoing connections use.
pub fn free_base_port() -> u16 {
    let start = (std::process::id() % 900) as u16 * 10;
    loop {
        let base = 21_000 + (start + NEXT_PORT.fetch_add(10, Ordering::Relaxed)) % 11_000;
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (base + 1..=base + 3).all(is_free) {
            return base;
        }
    }
}
