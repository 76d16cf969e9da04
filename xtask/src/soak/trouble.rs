//! What goes wrong, one thing after another: each begins, lasts, ends, and the cluster gets time to mend before the next.
//! Troubles that destroy a node's data come only when all nodes are whole, as more would be owed by nobody.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::Signal;
use serde::Serialize;

use super::Draw;
use super::cluster::{Cluster, Node};
use super::writer::Tally;

/// How long the nodes may take to be ready again after a trouble.
const READY_TIME_MAX: Duration = Duration::from_secs(180);

/// Kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kill,
    KillTwo,
    KillAll,
    Restart,
    Pause,
    Cut,
    CutOneWay,
    Loss,
    Delay,
    SlowSync,
    FailingSync,
    DiskFull,
    Wipe,
    FlipBits,
}

const KINDS: [Kind; 14] = [
    Kind::Kill,
    Kind::KillTwo,
    Kind::KillAll,
    Kind::Restart,
    Kind::Pause,
    Kind::Cut,
    Kind::CutOneWay,
    Kind::Loss,
    Kind::Delay,
    Kind::SlowSync,
    Kind::FailingSync,
    Kind::DiskFull,
    Kind::Wipe,
    Kind::FlipBits,
];

/// A trouble that was, for the report.
#[derive(Debug, Clone, Serialize)]
pub struct Mark {
    pub what: String,
    pub began_s: f64,
    pub ended_s: f64,
    /// All nodes were ready again.
    pub whole_s: f64,
}

/// See the module.
pub struct Troubles {
    draw: Draw,
    cluster: Arc<Cluster>,
    started: Instant,
    marks: Vec<Mark>,
    /// Kinds that are still to come before one comes again.
    left: Vec<Kind>,
}

impl Troubles {
    pub fn new(seed: u64, cluster: &Arc<Cluster>, started: Instant) -> Self {
        Self {
            draw: Draw::new(seed, 0),
            cluster: Arc::clone(cluster),
            started,
            marks: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Makes trouble until then.
    ///
    /// # Errors
    /// A node does not start, refuses a fault, or is not ready again in time.
    pub fn work(&mut self, until: Instant, tally: &Arc<Mutex<Tally>>) -> anyhow::Result<()> {
        self.sleep(10_000, 10_000, until);
        while Instant::now() < until {
            let kind = self.next_kind();
            let began_s = self.started.elapsed().as_secs_f64();
            let mut what = self.trouble(kind, until).with_context(|| format!("{kind:?}"))?;
            let ended_s = self.started.elapsed().as_secs_f64();
            let rebuilt = self
                .cluster
                .await_ready(READY_TIME_MAX)
                .with_context(|| format!("after {what}"))?;
            if !rebuilt.is_empty() {
                what.push_str(&format!(", {} rebuilt by its operator", rebuilt.join(" and ")));
            }
            let whole_s = self.started.elapsed().as_secs_f64();
            let (operations, errors, broken) = {
                let tally = tally.lock().expect("no holder panics");
                let errors: u64 = tally.errors.values().sum();
                (tally.reads + tally.writes, errors, tally.broken_count)
            };
            println!(
                "soak: {began_s:>6.0} s: {what} for {:.0} s, whole after {:.1} s more; so far {operations} operations, {errors} errors, {broken} broken promises",
                ended_s - began_s,
                whole_s - ended_s
            );
            self.marks.push(Mark {
                what,
                began_s,
                ended_s,
                whole_s,
            });
            self.sleep(3_000, 12_000, until);
        }
        Ok(())
    }

    /// What was.
    pub fn into_marks(self) -> Vec<Mark> {
        self.marks
    }

    fn next_kind(&mut self) -> Kind {
        if self.left.is_empty() {
            self.left = KINDS.to_vec();
        }
        let at = self.draw.below(self.left.len() as u64) as usize;
        self.left.swap_remove(at)
    }

    fn sleep(&mut self, low_ms: u64, high_ms: u64, until: Instant) {
        let wanted = Duration::from_millis(low_ms + self.draw.below(high_ms - low_ms + 1));
        std::thread::sleep(wanted.min(until.saturating_duration_since(Instant::now())));
    }

    fn last(&mut self, until: Instant) {
        self.sleep(4_000, 25_000, until);
    }

    fn trouble(&mut self, kind: Kind, until: Instant) -> anyhow::Result<String> {
        let cluster = Arc::clone(&self.cluster);
        let count = cluster.nodes.len();
        let at = self.draw.below(count as u64) as usize;
        let node = &cluster.nodes[at];
        let other = &cluster.nodes[(at + 1 + self.draw.below(count as u64 - 1) as usize) % count];
        let name = &node.name;
        match kind {
            Kind::Kill => {
                node.kill();
                self.last(until);
                node.start()?;
                Ok(format!("{name} killed"))
            }
            Kind::KillTwo => {
                node.kill();
                other.kill();
                self.last(until);
                node.start()?;
                other.start()?;
                Ok(format!("{name} and {} killed", other.name))
            }
            Kind::KillAll => {
                for node in &cluster.nodes {
                    node.signal(Signal::KILL);
                }
                cluster.nodes.iter().for_each(Node::kill);
                for node in &cluster.nodes {
                    node.start()?;
                }
                Ok("all killed at once".to_owned())
            }
            Kind::Restart => {
                node.stop()?;
                self.last(until);
                node.start()?;
                Ok(format!("{name} stopped in order"))
            }
            Kind::Pause => {
                node.signal(Signal::STOP);
                self.last(until);
                node.signal(Signal::CONT);
                Ok(format!("{name} paused"))
            }
            Kind::Cut | Kind::CutOneWay => {
                let peers: Vec<String> = cluster
                    .nodes
                    .iter()
                    .filter(|peer| peer.name != *name)
                    .map(|peer| format!("\"{}\"", peer.name))
                    .collect();
                let one_way = kind == Kind::CutOneWay;
                self.faulty(
                    node,
                    &format!("{{\"cut\":[{}],\"one_way\":{one_way}}}", peers.join(",")),
                    until,
                )?;
                Ok(format!("{name} cut off{}", if one_way { " one way" } else { "" }))
            }
            Kind::Loss => {
                for node in &cluster.nodes {
                    node.faults("{\"drop\":0.05}")?;
                }
                self.last(until);
                for node in &cluster.nodes {
                    node.faults("{}")?;
                }
                Ok("5 % of messages lost everywhere".to_owned())
            }
            Kind::Delay => {
                self.faulty(node, "{\"delay_ms\":[0,400]}", until)?;
                Ok(format!("{name}'s messages late by up to 400 ms"))
            }
            Kind::SlowSync => {
                self.faulty(node, "{\"fsync\":\"slow\",\"fsync_ms\":500}", until)?;
                Ok(format!("{name} syncs in 500 ms"))
            }
            Kind::FailingSync => {
                self.faulty(node, "{\"fsync\":\"fail\"}", until)?;
                // Its store is out of service until it is opened again.
                node.kill();
                node.start()?;
                Ok(format!("{name}'s syncs fail"))
            }
            Kind::DiskFull => {
                self.faulty(node, "{\"free_bytes\":1000}", until)?;
                Ok(format!("{name}'s disk full"))
            }
            Kind::Wipe => {
                cluster.heal(READY_TIME_MAX)?;
                node.kill();
                std::fs::remove_dir_all(&node.dir)?;
                self.last(until);
                node.start()?;
                Ok(format!("{name} lost its directory"))
            }
            Kind::FlipBits => {
                cluster.heal(READY_TIME_MAX)?;
                node.stop()?;
                let flipped = self.flip_bits(node)?;
                node.start()?;
                Ok(format!("{name}: {flipped}"))
            }
        }
    }

    fn faulty(&mut self, node: &Node, set: &str, until: Instant) -> anyhow::Result<()> {
        node.faults(set)?;
        self.last(until);
        node.faults("{}")
    }

    /// Flips a bit in the middle of one of a stopped node's tables.
    fn flip_bits(&mut self, node: &Node) -> anyhow::Result<String> {
        let mut tables = Vec::new();
        let mut folders = vec![node.dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.parent().is_some_and(|parent| parent.ends_with("tables")) {
                    tables.push(path);
                }
            }
        }
        tables.sort();
        if tables.is_empty() {
            return Ok("no table to flip a bit of yet".to_owned());
        }
        let table = &tables[self.draw.below(tables.len() as u64) as usize];
        let mut bytes = std::fs::read(table)?;
        let at = self.draw.below(bytes.len() as u64 / 2) as usize;
        bytes[at] ^= 1 << self.draw.below(8);
        std::fs::write(table, bytes)?;
        Ok("a bit flipped in a table".to_owned())
    }
}
