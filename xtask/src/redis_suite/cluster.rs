//! A cluster of this tree's own `torc`, started for the suite and stopped after it.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};

use crate::children;
use crate::redis_suite::drive::Address;

const NODES: u16 = 3;
const READY_TIME_MAX: Duration = Duration::from_secs(60);
const STOP_TIME_MAX: Duration = Duration::from_secs(20);
const BUILD_TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// A running `torc dev`, ended when dropped.
pub struct Cluster {
    child: Child,
    /// The Redis port of its first node.
    pub address: Address,
}

impl Cluster {
    /// Builds `torc` and starts a cluster of three nodes in a temporary folder.
    pub fn start(root: &Path) -> anyhow::Result<Cluster> {
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build
            .current_dir(root)
            .args(["build", "--release", "--locked", "--package", "torc"]);
        children::run(&mut build, BUILD_TIME_MAX)?;
        let base_port = free_base_port()?;
        let mut command = Command::new(root.join("target/release/torc"));
        command.args([
            "dev",
            "--nodes",
            &NODES.to_string(),
            "--base-port",
            &base_port.to_string(),
        ]);
        let mut child = children::start(command.stdin(Stdio::null()).stdout(Stdio::piped()), "torc dev")?;
        let stdout = child.stdout.take().context("torc dev has a stdout")?;
        // Made first, so that a cluster that never gets ready is ended too.
        let address = Address {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: base_port + 13,
        };
        let cluster = Cluster { child, address };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            // Read to the end: a full pipe would stop the cluster.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let started = Instant::now();
        loop {
            let left = READY_TIME_MAX.saturating_sub(started.elapsed());
            match lines.recv_timeout(left) {
                Ok(line) if line.trim() == "ready" => return Ok(cluster),
                Ok(_) => {}
                Err(_) => bail!("torc dev did not say `ready` within {} s", READY_TIME_MAX.as_secs()),
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, Signal::INT);
        }
        let asked = Instant::now();
        while asked.elapsed() < STOP_TIME_MAX && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        children::end_group(&mut self.child);
    }
}

/// A base port whose whole block is free; below the range from which systems hand out ports.
fn free_base_port() -> anyhow::Result<u16> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let block_is_free = |base: &u16| (base + 10..=base + 10 * NODES + 9).all(is_free);
    (21_000..32_000)
        .step_by(100)
        .find(block_is_free)
        .context("no free block of ports between 21000 and 32000")
}
