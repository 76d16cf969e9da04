//! Nodes that know one another, in a directory of their own.

use std::fmt::Write;
use std::ops::{Index, IndexMut};
use std::path::Path;

use tempfile::TempDir;

use super::node::Node;
use super::small_disk::usual;
use super::turn::Turn;

/// What a cluster differs in from three nodes with faults allowed.
pub struct Settings<'a> {
    pub nodes: u16,
    /// Lines of `torc.toml` before its tables.
    pub top: &'a str,
    /// Tables of `torc.toml`: `[[buckets]]`, `[limits]`.
    pub tables: &'a str,
    /// Where its directory is made.
    pub below: &'a Path,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            nodes: 3,
            top: "",
            tables: "",
            below: usual(),
        }
    }
}

/// A running cluster. Its fields are dropped in order: processes, then files, then the turn.
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub dir: TempDir,
    _turn: Turn,
}

impl Cluster {
    /// Three nodes, ready.
    pub fn of_three() -> Self {
        Self::start(&Settings::default())
    }

    /// Starts a cluster and waits until all of it is ready.
    pub fn start(settings: &Settings<'_>) -> Self {
        let turn = Turn::take();
        let dir = tempfile::Builder::new()
            .prefix("it-")
            .tempdir_in(settings.below)
            .expect("a directory of its own");
        let base = turn.base_port();
        let nodes = (1..=settings.nodes).map(|i| Node::new(&format!("n{i}"), base + 10 * (i - 1), dir.path()));
        let mut cluster = Self {
            nodes: nodes.collect(),
            dir,
            _turn: turn,
        };
        cluster.write_configurations(settings);
        cluster.start_all();
        cluster
    }

    fn write_configurations(&self, settings: &Settings<'_>) {
        let mut members = String::new();
        for node in &self.nodes {
            let _ = write!(
                members,
                "[[members]]\nname = \"{}\"\nbase_port = {}\n",
                node.name, node.base_port
            );
        }
        let Settings { top, tables, .. } = settings;
        let memory = if top.contains("memory_max") {
            ""
        } else {
            "memory_max = \"96MiB\""
        };
        for (at, node) in self.nodes.iter().enumerate() {
            // Nodes of one, two and three threads: nothing that others see depends on their number.
            let shards = if top.contains("shards") {
                String::new()
            } else {
                format!("shards = {}", at % 3 + 1)
            };
            let text = format!(
                "name = \"{}\"\ndir = \"{}\"\nbase_port = {}\nallow_faults = true\n{shards}\n{memory}\n{top}\n{tables}\n{members}",
                node.name,
                node.dir.display(),
                node.base_port
            );
            std::fs::write(&node.config, text).expect("a configuration file");
        }
    }

    /// Starts every node that is down, and waits for all of them.
    pub fn start_all(&mut self) {
        self.nodes.iter_mut().for_each(Node::start);
        self.await_ready();
    }

    pub fn await_ready(&mut self) {
        self.nodes.iter_mut().for_each(Node::await_ready);
    }

    /// Stops every node cleanly, all at once.
    pub fn stop_all(&mut self) {
        std::thread::scope(|scope| {
            for node in &mut self.nodes {
                scope.spawn(|| node.stop());
            }
        });
    }

    /// kill -9 of every node, before any of them can notice that another is gone.
    pub fn kill_all(&mut self) {
        for node in &self.nodes {
            node.signal(rustix::process::Signal::KILL);
        }
        self.nodes.iter_mut().for_each(Node::kill);
    }
}

impl Index<usize> for Cluster {
    type Output = Node;
    fn index(&self, at: usize) -> &Node {
        &self.nodes[at]
    }
}

impl IndexMut<usize> for Cluster {
    fn index_mut(&mut self, at: usize) -> &mut Node {
        &mut self.nodes[at]
    }
}
