//! What a development cluster will be: its directory, its nodes' names and ports, and their configuration files.

use std::fs::{self, File, TryLockError};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use toml::{Table, Value};

use crate::config::{HTTP_PORT, PEER_PORT, RESP_PORT};

use super::DevArgs;

pub(super) const NODES_MAX: u16 = 64;
const NODES_DEFAULT: u16 = 3;
/// Ports from one node's base port to the next.
const PORTS_APART: u16 = 10;
const MIB: u64 = 1 << 20;

/// One node of the plan.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// `n1`, `n2`, …
    pub name: String,
    /// Its base port.
    pub base_port: u16,
    /// Its data directory, with `torc.toml` and `log`.
    pub dir: PathBuf,
}

/// The cluster that is to run.
#[derive(Debug)]
pub struct Plan {
    /// Where everything lives.
    pub dir: PathBuf,
    /// The directory is ours to remove at the end.
    pub temporary: bool,
    /// The nodes.
    pub nodes: Vec<NodePlan>,
    /// Held while the cluster runs, so that no second one uses the directory.
    _lock: File,
}

impl NodePlan {
    /// `127.0.0.1:port` of one of the node's ports.
    pub fn address(&self, port: u16) -> String {
        format!("127.0.0.1:{}", self.base_port + port)
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("torc.toml")
    }
}

impl Plan {
    /// Checks everything that could go wrong before a process starts, and writes the configuration files.
    pub fn make(args: &DevArgs) -> anyhow::Result<Self> {
        let (dir, temporary) = match &args.dir {
            Some(dir) => {
                fs::create_dir_all(dir).with_context(|| format!("cannot make the directory {}", dir.display()))?;
                (dir.canonicalize()?, false)
            }
            None => (tempfile::Builder::new().prefix("torc-dev-").tempdir()?.keep(), true),
        };
        match Self::make_in(args, &dir, temporary) {
            Ok(plan) => Ok(plan),
            Err(error) => {
                if temporary {
                    let _ = fs::remove_dir_all(&dir);
                }
                Err(error)
            }
        }
    }

    fn make_in(args: &DevArgs, dir: &Path, temporary: bool) -> anyhow::Result<Self> {
        let lock = lock(dir)?;
        let held = (1..=NODES_MAX)
            .take_while(|i| dir.join(format!("n{i}/torc.toml")).exists())
            .count() as u16;
        let count = args.nodes.unwrap_or(if held > 0 { held } else { NODES_DEFAULT });
        ensure!(
            held == 0 || held == count,
            "{} holds a cluster of {held} nodes, not {count}: nodes can't join or leave in this version; leave out --nodes or name another --dir",
            dir.display()
        );
        let last = u32::from(args.base_port) + u32::from(PORTS_APART) * u32::from(count) + u32::from(PORTS_APART);
        ensure!(
            last <= 65_535,
            "--base-port is {}: the ports of {count} nodes would end at {last}, above 65535",
            args.base_port
        );
        let node = |i: u16| NodePlan {
            name: format!("n{i}"),
            base_port: args.base_port + PORTS_APART * i,
            dir: dir.join(format!("n{i}")),
        };
        let plan = Self {
            dir: dir.to_owned(),
            temporary,
            nodes: (1..=count).map(node).collect(),
            _lock: lock,
        };
        plan.check_ports()?;
        for node in &plan.nodes {
            plan.write_config(node, args)?;
        }
        Ok(plan)
    }

    /// Every port of every node has to be free before the first one starts.
    fn check_ports(&self) -> anyhow::Result<()> {
        let mut busy = Vec::new();
        for node in &self.nodes {
            for port in [PEER_PORT, HTTP_PORT, RESP_PORT] {
                if let Err(error) = TcpListener::bind(node.address(port)) {
                    busy.push(format!("{} of {} ({error})", node.address(port), node.name));
                }
            }
        }
        if !busy.is_empty() {
            bail!(
                "cannot bind {}; stop what uses it or choose another --base-port",
                busy.join(", ")
            );
        }
        Ok(())
    }

    /// Writes a node's file; what somebody changed by hand in an existing one stays, addresses and members aside.
    fn write_config(&self, node: &NodePlan, args: &DevArgs) -> anyhow::Result<()> {
        fs::create_dir_all(&node.dir)?;
        let path = node.config();
        let mut table: Table = match fs::read_to_string(&path) {
            Ok(text) => text
                .parse()
                .with_context(|| format!("{} can't be read as TOML", path.display()))?,
            Err(_) => self.new_config(args),
        };
        let text = |text: &str| Value::String(text.to_owned());
        table.insert("name".into(), text(&node.name));
        table.insert("dir".into(), text(&node.dir.display().to_string()));
        table.insert("base_port".into(), Value::Integer(node.base_port.into()));
        table.insert("allow_faults".into(), Value::Boolean(args.allow_faults));
        let members = self.nodes.iter().map(|member| {
            let fields = [
                ("name", text(&member.name)),
                ("base_port", Value::Integer(member.base_port.into())),
            ];
            Value::Table(
                fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
            )
        });
        table.insert("members".into(), Value::Array(members.collect()));
        fs::write(&path, toml::to_string(&table)?).with_context(|| format!("cannot write {}", path.display()))
    }

    fn new_config(&self, args: &DevArgs) -> Table {
        let mut table = Table::new();
        table.insert("log".into(), Value::String("file".into()));
        table.insert(
            "memory_max".into(),
            Value::String(format!("{}MiB", self.memory_share_mib())),
        );
        if args.memory {
            let bucket = |name: &str| {
                let fields = [("name", name), ("storage", "memory")];
                Value::Table(
                    fields
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), Value::String(value.into())))
                        .collect(),
                )
            };
            table.insert("buckets".into(), Value::Array(vec![bucket("default"), bucket("redis")]));
        }
        table
    }

    /// A quarter of the machine's memory, shared by all nodes, at most 1 GiB each.
    fn memory_share_mib(&self) -> u64 {
        let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = info.lines().find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u64>()
                .ok()
        });
        let total_mib = total.map_or(1_024, |kib| kib * 1_024 / MIB);
        (total_mib / 4 / self.nodes.len() as u64).clamp(64, 1_024)
    }
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let path = dir.join("dev.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot write to {}", dir.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "{} is in use by another `torc dev`; stop that one or name another --dir",
                dir.display()
            )
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}
