//! The servers that are measured: Redis or Torc on a free port with a folder of its own, ended when dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};
use serde::Deserialize;

use super::case::Durability;
use crate::children;

const READY_TIME_MAX: Duration = Duration::from_secs(120);
const STOP_TIME_MAX: Duration = Duration::from_secs(20);

/// Where free ports are looked for: below the range that the kernel hands out.
const FIRST_PORT: u16 = 20_000;
const LAST_PORT: u16 = 31_900;

/// What stands on a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Debian's Redis with an append-only file.
    Redis,
    /// One node of Torc.
    Torc,
    /// One node of Torc with this many MiB of `memory_max`.
    TorcWithin(u64),
    /// One node of Torc with this many shards.
    TorcOfShards(u16),
    /// `torc dev` with three nodes.
    TorcDev,
    /// The same, and each node can be told to fail.
    TorcDevThatFails,
    /// Three Redises that know nothing of each other: only for trying the harness.
    ThreeRedis,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    program: PathBuf,
    folder: PathBuf,
    durability: Durability,
    base_port: u16,
    children: Vec<Child>,
    /// Where its nodes speak the Redis protocol.
    pub addresses: Vec<String>,
    /// Where the nodes of `torc dev` speak HTTP.
    pub http: Vec<String>,
    /// Its processes.
    pub pids: Vec<u32>,
}

/// `cluster.json` of `torc dev`.
#[derive(Debug, Deserialize)]
struct ClusterFile {
    nodes: Vec<ClusterNode>,
}

#[derive(Debug, Deserialize)]
struct ClusterNode {
    pid: u32,
    resp: String,
    http: String,
}

impl Server {
    /// Starts a server on a folder and waits until it answers.
    pub fn start(kind: Kind, program: &Path, folder: &Path, durability: Durability) -> anyhow::Result<Server> {
        let mut server = Server {
            kind,
            program: program.to_owned(),
            folder: folder.to_owned(),
            durability,
            base_port: free_base_port()?,
            children: Vec::new(),
            addresses: Vec::new(),
            http: Vec::new(),
            pids: Vec::new(),
        };
        server.launch()?;
        Ok(server)
    }

    /// kill -9, then the same again on the same folder.
    pub fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        for child in &mut self.children {
            children::end_group(child);
        }
        self.children.clear();
        self.launch()
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        self.addresses.clear();
        self.pids.clear();
        match self.kind {
            Kind::Redis => self.launch_redis(self.base_port, &self.folder.clone())?,
            Kind::ThreeRedis => {
                for node in 1..=3 {
                    let folder = self.folder.join(format!("n{node}"));
                    std::fs::create_dir_all(&folder)?;
                    self.launch_redis(self.base_port + node, &folder)?;
                }
            }
            Kind::Torc => self.launch_torc("")?,
            Kind::TorcWithin(mib) => self.launch_torc(&format!("memory_max = \"{mib}MiB\""))?,
            Kind::TorcOfShards(shards) => self.launch_torc(&format!("shards = {shards}"))?,
            Kind::TorcDev | Kind::TorcDevThatFails => self.launch_torc_dev()?,
        }
        for index in 0..self.addresses.len() {
            self.wait_until_it_answers(index)?;
        }
        Ok(())
    }

    fn launch_redis(&mut self, port: u16, folder: &Path) -> anyhow::Result<()> {
        let mut command = Command::new("redis-server");
        // No snapshots: the append-only file alone is what makes writes durable, as Torc's journal does.
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--appendonly",
            "yes",
        ]);
        command
            .args(["--appendfsync", self.durability.redis()])
            .arg("--dir")
            .arg(folder);
        self.add(&mut command, folder, "redis-server", port)
    }

    fn launch_torc(&mut self, more: &str) -> anyhow::Result<()> {
        let config = self.folder.join("torc.toml");
        std::fs::write(
            &config,
            torc_config(&self.folder.join("n1"), self.base_port, self.durability, more),
        )?;
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--config").arg(&config);
        let (folder, port) = (self.folder.clone(), self.base_port + 3);
        self.add(&mut command, &folder, "torc serve", port)
    }

    fn add(&mut self, command: &mut Command, folder: &Path, name: &str, port: u16) -> anyhow::Result<()> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("server.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = children::start(command, name)?;
        self.pids.push(child.id());
        self.children.push(child);
        self.addresses.push(format!("127.0.0.1:{port}"));
        Ok(())
    }

    fn launch_torc_dev(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command
            .args([
                "dev",
                "--nodes",
                "3",
                "--base-port",
                &self.base_port.to_string(),
                "--dir",
            ])
            .arg(&self.folder)
            .args((self.kind == Kind::TorcDevThatFails).then_some("--allow-faults"));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("dev.log"))?;
        let mut child = children::start(
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log),
            "torc dev",
        )?;
        let stdout = child.stdout.take().context("torc dev has a stdout")?;
        // Kept first, so that a cluster that never gets ready is ended too.
        self.children.push(child);
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end: a full pipe would stop the cluster.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let started = Instant::now();
        loop {
            match lines.recv_timeout(READY_TIME_MAX.saturating_sub(started.elapsed())) {
                Ok(line) if line.trim() == "ready" => break,
                Ok(_) => {}
                Err(_) => bail!("torc dev did not say `ready`; see {}/dev.log", self.folder.display()),
            }
        }
        let file = std::fs::read_to_string(self.folder.join("cluster.json")).context("cluster.json of torc dev")?;
        let cluster: ClusterFile = serde_json::from_str(&file).context("cluster.json of torc dev")?;
        self.pids = cluster.nodes.iter().map(|node| node.pid).collect();
        self.http = cluster.nodes.iter().map(|node| node.http.clone()).collect();
        self.addresses = cluster.nodes.into_iter().map(|node| node.resp).collect();
        Ok(())
    }

    fn wait_until_it_answers(&mut self, index: usize) -> anyhow::Result<()> {
        let started = Instant::now();
        while started.elapsed() < READY_TIME_MAX {
            if answers(&self.addresses[index]) {
                return Ok(());
            }
            for child in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    bail!(
                        "the server ended at once ({status}); its log is in {}",
                        self.folder.display()
                    );
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!(
            "the server at {} does not answer; its log is in {}",
            self.addresses[index],
            self.folder.display()
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in &self.children {
            if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
                let _ = rustix::process::kill_process(pid, Signal::TERM);
            }
        }
        let asked = Instant::now();
        for child in &mut self.children {
            while asked.elapsed() < STOP_TIME_MAX && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(20));
            }
            children::end_group(child);
        }
    }
}

/// The configuration of one node whose `redis` bucket has a durability; `more` is a line of it.
fn torc_config(folder: &Path, base_port: u16, durability: Durability, more: &str) -> String {
    let folder = toml::Value::String(folder.display().to_string());
    format!(
        "name = \"n1\"\ndir = {folder}\nhost = \"127.0.0.1\"\nbase_port = {base_port}\n{more}\n\
         [[buckets]]\nname = \"redis\"\nmode = \"available\"\nconflict = \"lww\"\ndurability = \"{}\"\n",
        durability.torc()
    )
}

/// Whether a server says PONG: one that still loads its data says something else.
fn answers(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let mut reply = [0; 7];
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").is_ok() && stream.read_exact(&mut reply).is_ok() && reply == *b"+PONG\r\n"
}

/// A base port with forty free ports from it on: three nodes use up to 10 · 3 + 5.
fn free_base_port() -> anyhow::Result<u16> {
    // Started at a place of its own, so that two runs on one machine rarely meet.
    let offset = (std::process::id() % 200) as u16 * 40;
    let places = (LAST_PORT - FIRST_PORT) / 40;
    for place in 0..places {
        let base = FIRST_PORT + (offset + place * 40) % (places * 40);
        let all_free = (0..40).all(|port| TcpListener::bind(("127.0.0.1", base + port)).is_ok());
        if all_free {
            return Ok(base);
        }
    }
    bail!("no forty free ports in a row between {FIRST_PORT} and {LAST_PORT}")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::Path;

    use super::super::case::Durability;
    use super::{free_base_port, torc_config};

    #[test]
    fn the_configuration_is_toml_whatever_the_folder_is_called() {
        let text = torc_config(
            Path::new("/a \"b\"\\c"),
            20_000,
            Durability::EverySecond,
            "memory_max = \"64MiB\"",
        );
        let parsed: toml::Table = toml::from_str(&text).expect("valid");
        assert_eq!(parsed["dir"].as_str(), Some("/a \"b\"\\c"));
        assert_eq!(parsed["buckets"][0]["durability"].as_str(), Some("buffered"));
        assert_eq!(parsed["memory_max"].as_str(), Some("64MiB"));
    }

    #[test]
    fn an_occupied_block_of_ports_is_passed_over() {
        let base = free_base_port().expect("free ports");
        let _occupied = TcpListener::bind(("127.0.0.1", base + 39)).expect("it was free");
        assert_ne!(free_base_port().expect("free ports"), base);
    }
}
