//! The nodes: processes of this tree's own `torc` in a directory of their own.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};

use crate::children;

use crate::client::Client;

/// Two of them may be away and a stand-in is left.
pub const NODES: u16 = 5;
/// Homes of a key.
pub const COPIES: usize = 3;
const READY_TIME_MAX: Duration = Duration::from_secs(60);
const STOP_TIME_MAX: Duration = Duration::from_secs(30);

/// One node, running or not.
pub struct Node {
    pub name: String,
    pub base_port: u16,
    pub dir: PathBuf,
    config: PathBuf,
    program: PathBuf,
    process: Mutex<Option<Child>>,
}

/// See the module.
pub struct Cluster {
    pub nodes: Vec<Node>,
}

impl Cluster {
    /// Five nodes, all ready.
    pub fn start(program: &Path, dir: &Path) -> anyhow::Result<Self> {
        let base = free_base_port()?;
        let nodes: Vec<Node> = (0..NODES)
            .map(|number| {
                let name = format!("n{}", number + 1);
                Node {
                    base_port: base + 10 * number,
                    dir: dir.join(&name),
                    config: dir.join(format!("{name}.toml")),
                    program: program.to_owned(),
                    process: Mutex::new(None),
                    name,
                }
            })
            .collect();
        let members: String = nodes
            .iter()
            .map(|node| {
                format!(
                    "[[members]]\nname = \"{}\"\nbase_port = {}\n",
                    node.name, node.base_port
                )
            })
            .collect();
        for node in &nodes {
            let text = format!(
                "name = \"{}\"\ndir = \"{}\"\nbase_port = {}\nallow_faults = true\nmemory_max = \"96MiB\"\n{members}",
                node.name,
                node.dir.display(),
                node.base_port
            );
            std::fs::write(&node.config, text)?;
        }
        let cluster = Self { nodes };
        for node in &cluster.nodes {
            node.start()?;
        }
        cluster.await_ready(READY_TIME_MAX)?;
        Ok(cluster)
    }

    /// Waits until every node says that its data can be relied on. Does what its operator is told to do if a damaged table
    /// was met before a scrub found it, so that a store can't be opened or is out of service; says at which nodes.
    pub fn await_ready(&self, time_max: Duration) -> anyhow::Result<Vec<String>> {
        let started = Instant::now();
        let mut rebuilt = Vec::new();
        for node in &self.nodes {
            loop {
                let (is_ready, why) = node.readiness();
                if is_ready {
                    break;
                }
                if started.elapsed() > time_max {
                    bail!("{} is not ready after {} s: {why}", node.name, time_max.as_secs());
                }
                if node.asks_to_be_rebuilt() && !rebuilt.contains(&node.name) {
                    node.kill();
                    node.start_with(&["--rebuild"])?;
                    rebuilt.push(node.name.clone());
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        Ok(rebuilt)
    }

    /// Waits until all nodes are ready and no hint waits for delivery.
    pub fn heal(&self, time_max: Duration) -> anyhow::Result<()> {
        let started = Instant::now();
        self.await_ready(time_max)?;
        loop {
            let waiting: u64 = self.nodes.iter().map(Node::hints).sum();
            if waiting == 0 {
                return Ok(());
            }
            if started.elapsed() > time_max {
                bail!("{waiting} hints are not delivered after {} s", time_max.as_secs());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Stops all nodes in order.
    pub fn stop(&self) -> anyhow::Result<()> {
        for node in &self.nodes {
            node.stop().with_context(|| format!("{} does not stop", node.name))?;
        }
        Ok(())
    }
}

impl Node {
    pub fn start(&self) -> anyhow::Result<()> {
        self.start_with(&[])
    }

    fn start_with(&self, flags: &[&str]) -> anyhow::Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.config.with_extension("log"))?;
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--exit-with-parent", "--config"])
            .arg(&self.config)
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        let child = children::start(&mut command, "torc serve")?;
        *self.process.lock().expect("no holder panics") = Some(child);
        Ok(())
    }

    /// True if the node has marked its data as damaged, or its process has ended and its last words name the command that
    /// rebuilds its copies.
    fn asks_to_be_rebuilt(&self) -> bool {
        if self.dir.join("damage").exists() {
            return true;
        }
        let mut process = self.process.lock().expect("no holder panics");
        let has_ended = process
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
        has_ended && self.last_words().contains("--rebuild")
    }

    /// The last line of its log.
    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.config.with_extension("log")).unwrap_or_default();
        log.lines().last().unwrap_or_default().to_owned()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.base_port + 2)
    }

    fn readiness(&self) -> (bool, String) {
        match Client::new().get(&self.url("/readyz")) {
            Ok(answer) => (answer.status == 200, answer.body),
            Err(error) => (false, error),
        }
    }

    /// Hints that this node holds for others.
    fn hints(&self) -> u64 {
        let answer = Client::new().get(&self.url("/v1/status"));
        let status: serde_json::Value = answer
            .ok()
            .and_then(|answer| serde_json::from_str(&answer.body).ok())
            .unwrap_or_default();
        status["hints"]["pending"].as_u64().unwrap_or(0)
    }

    /// Replaces the faults in force; `{}` heals.
    pub fn faults(&self, set: &str) -> anyhow::Result<()> {
        let answer = Client::new().post(&self.url("/v1/faults"), set);
        match answer {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => bail!("{} refuses {set}: {}", self.name, answer.body),
            Err(error) => bail!("{} does not answer: {error}", self.name),
        }
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(child) = &*self.process.lock().expect("no holder panics")
            && let Some(pid) = Pid::from_raw(child.id().cast_signed())
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// kill -9.
    pub fn kill(&self) {
        if let Some(mut child) = self.process.lock().expect("no holder panics").take() {
            children::end_group(&mut child);
        }
    }

    /// SIGTERM, and waits for its end: a clean one, unless a compaction met a damaged table, so that the store is out of
    /// service. The node says so and fails; its operator is needed after the next start (`Cluster::await_ready`).
    pub fn stop(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM);
        let Some(mut child) = self.process.lock().expect("no holder panics").take() else {
            return Ok(());
        };
        let stdin = child.stdin.take();
        let asked = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                drop(stdin);
                if !status.success() && !self.last_words().contains("the store is out of service") {
                    bail!("it ended with {status}: {}", self.last_words());
                }
                return Ok(());
            }
            if asked.elapsed() > STOP_TIME_MAX {
                children::end_group(&mut child);
                bail!("it had not ended {} s after SIGTERM", STOP_TIME_MAX.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Resident memory in bytes; 0 while it is down.
    pub fn memory_bytes(&self) -> u64 {
        let process = self.process.lock().expect("no holder panics");
        let Some(child) = &*process else { return 0 };
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.unwrap_or(0) * 1_024
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A base port whose whole block is free; below the range from which systems hand out ports.
fn free_base_port() -> anyhow::Result<u16> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let block_is_free = |base: &u16| (*base..*base + 10 * NODES).all(is_free);
    (24_000..32_000)
        .step_by(100)
        .find(block_is_free)
        .context("no free block of ports between 24000 and 32000")
}
