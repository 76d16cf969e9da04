//! `cargo xtask bench`: Torc against Debian's Redis at the same durability, three Torc nodes at quorum, one that has five
//! times more data than memory, three that mend what differs between them, and one with more threads.
//!
//! Runs alternate (Redis, Torc, Redis, Torc, …), so that a machine that slows down slows both; what is compared are
//! medians. Every result stands beside the disk's fdatasync rate; directories in memory are refused.

mod case;
mod comparison;
mod load;
mod memory;
mod repair;
mod server;
mod shards;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::children;
use crate::packages::{self, Program};
use case::{Case, Durability, Operation};
use comparison::{Cluster, Comparison};
use load::{Disk, Generator};
use repair::Repair;
use server::{Kind, Server};
use shards::Sharded;

const BUILD_TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// How many keys both sides hold.
const KEYS: u64 = 100_000;

/// Options of the comparison.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// A short run: 50 connections only, three pairs of one second.
    #[arg(long)]
    quick: bool,
    /// Try the harness itself: Redis on both sides, so all ratios should be near 1.
    #[arg(long)]
    self_check: bool,
    /// Pairs of runs of each case [default: 5, quick: 3].
    #[arg(long)]
    pairs: Option<usize>,
    /// Measured seconds of each run [default: 3, quick: 1].
    #[arg(long)]
    seconds: Option<f64>,
    /// Where the servers keep their data; must be on a disk [default: target/bench/data].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// One part alone.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Keys of the nodes that mend.
    #[arg(long, default_value_t = 1_000_000)]
    repair_keys: u64,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One node against Redis.
    Single,
    /// Three nodes at quorum.
    Cluster,
    /// Reads from five times more data than memory.
    Memory,
    /// Three nodes whose copies differ.
    Repair,
    /// One node with more threads.
    Shards,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }

    fn pairs(&self) -> usize {
        self.pairs.unwrap_or(if self.quick { 3 } else { 5 }).max(1)
    }

    fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 1.0 } else { 3.0 })
    }
}

/// All that was measured, as written to the JSON file.
#[derive(Debug, Serialize)]
pub struct Results {
    /// Redis stood on both sides.
    pub self_check: bool,
    /// Why some results are missing.
    pub ended_early: Option<String>,
    /// Pairs of runs of each case.
    pub pairs: usize,
    /// Measured seconds of each run.
    pub seconds: f64,
    /// Processors of the machine.
    pub processors: usize,
    /// What `redis-server --version` says.
    pub redis_version: String,
    /// The disk, once before each part.
    pub disks: Vec<Disk>,
    /// One node against Redis.
    pub comparisons: Vec<Comparison>,
    /// The same after both were killed and started again.
    pub after_kill: Vec<Comparison>,
    /// Three nodes.
    pub cluster: Vec<Cluster>,
    /// One node with memory for all of the data (in Redis's place) against one with memory for a fifth.
    pub memory: Vec<Comparison>,
    /// Three nodes that mend.
    pub repair: Option<Repair>,
    /// One node with one, two and three shards.
    pub shards: Vec<Sharded>,
}

/// Builds, measures, prints, and writes `target/bench/bench.json` and `bench.md`.
pub fn run(root: &Path, options: &Options) -> anyhow::Result<()> {
    if !packages::is_present("redis-server") {
        println!(
            "redis-server is missing: installing Debian's package (it may start a service of its own on port 6379)"
        );
    }
    packages::ensure(&[Program {
        command: "redis-server",
        package: "redis-server",
    }])?;
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .current_dir(root)
        .args(["build", "--release", "--locked", "--package", "torc"]);
    children::run(&mut build, BUILD_TIME_MAX)?;

    let folder = root.join("target/bench");
    let data = options.dir.clone().unwrap_or_else(|| folder.join("data"));
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let program = root.join("target/release/torc");
    let generator = Generator {
        program: program.clone(),
        seconds: options.seconds(),
        keys: KEYS,
        value_bytes: 100,
        directory: data.clone(),
    };
    let bench = Bench {
        program,
        data,
        generator,
        pairs: options.pairs(),
        self_check: options.self_check,
    };

    let mut results = Results {
        self_check: options.self_check,
        ended_early: None,
        pairs: options.pairs(),
        seconds: options.seconds(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        redis_version: children::ask("redis-server", &["--version"]).unwrap_or_default(),
        disks: Vec::new(),
        comparisons: Vec::new(),
        after_kill: Vec::new(),
        cluster: Vec::new(),
        memory: Vec::new(),
        repair: None,
        shards: Vec::new(),
    };
    // What was measured before a failure is still written.
    let measured = bench.measure(options, &mut results);
    results.ended_early = measured.as_ref().err().map(|error| format!("{error:#}"));
    std::fs::create_dir_all(&folder)?;
    let text = table::markdown(&results);
    std::fs::write(folder.join("bench.json"), serde_json::to_string_pretty(&results)?)?;
    std::fs::write(folder.join("bench.md"), &text)?;
    println!("\n{text}\nwritten: {0}/bench.json and {0}/bench.md", folder.display());
    measured
}

struct Bench {
    program: PathBuf,
    data: PathBuf,
    generator: Generator,
    pairs: usize,
    self_check: bool,
}

impl Bench {
    fn measure(&self, options: &Options, results: &mut Results) -> anyhow::Result<()> {
        if options.wants(Part::Single) {
            for durability in [Durability::Always, Durability::EverySecond] {
                self.compare(durability, &Case::all(durability, options.quick), results)?;
            }
        }
        if options.wants(Part::Cluster) {
            self.three_nodes(results)?;
        }
        // The others have nothing of Redis's to be checked against.
        if options.wants(Part::Memory) && !self.self_check {
            memory::measure(self, results)?;
        }
        if options.wants(Part::Repair) && !self.self_check {
            repair::measure(self, options.repair_keys, results)?;
        }
        if options.wants(Part::Shards) && !self.self_check {
            shards::measure(self, results)?;
        }
        Ok(())
    }

    /// One durability: all cases on fresh directories, then a few again after kill -9 of both servers.
    fn compare(&self, durability: Durability, cases: &[Case], results: &mut Results) -> anyhow::Result<()> {
        let torc = if self.self_check { Kind::Redis } else { Kind::Torc };
        let folders = [
            self.fresh(&format!("{}-redis", durability.redis()))?,
            self.fresh(&format!("{}-torc", durability.redis()))?,
        ];
        let mut redis = Server::start(Kind::Redis, &self.program, &folders[0], durability)?;
        let mut torc = Server::start(torc, &self.program, &folders[1], durability)?;
        results.disks.push(self.generator.fill(&redis)?);
        self.generator.fill(&torc)?;
        for case in cases {
            results
                .comparisons
                .push(comparison::run(&self.generator, case, self.pairs, &redis, &torc)?);
        }
        redis.kill_and_restart()?;
        torc.kill_and_restart()?;
        for case in cases.iter().filter(|case| case.connections == 50 && case.pipeline == 1) {
            results
                .after_kill
                .push(comparison::run(&self.generator, case, self.pairs, &redis, &torc)?);
        }
        Ok(())
    }

    /// Three nodes of Torc at quorum, synced.
    fn three_nodes(&self, results: &mut Results) -> anyhow::Result<()> {
        let folder = self.fresh("cluster")?;
        let kind = if self.self_check {
            Kind::ThreeRedis
        } else {
            Kind::TorcDev
        };
        let server = Server::start(kind, &self.program, &folder, Durability::Always)?;
        results.disks.push(self.generator.fill(&server)?);
        // Three Redises share no keys: reads would miss.
        let is_measured = |case: &Case| !self.self_check || case.operation == Operation::Set;
        for case in Case::of_cluster().into_iter().filter(is_measured) {
            results
                .cluster
                .push(comparison::run_cluster(&self.generator, &case, self.pairs, &server)?);
        }
        Ok(())
    }

    fn fresh(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.data.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}
