//! `cargo xtask soak`: five nodes under load for an hour, while everything that may go wrong on one machine does: killed,
//! paused, cut off, slow and full disks, lost directories, flipped bits. Clients know what they were promised; nothing of it
//! may be missing, nothing deleted may come back, and at the end all homes hold the same.

mod cluster;
mod known;
mod plot;
mod report;
mod sample;
mod trouble;
mod writer;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::children;

use self::cluster::Cluster;
use self::report::Report;
use self::sample::Sampler;
use self::trouble::Troubles;
use self::writer::{Tally, Writer};

const BUILD_TIME_MAX: Duration = Duration::from_secs(30 * 60);
/// How long the nodes may take to be whole again after the last trouble.
const HEAL_TIME_MAX: Duration = Duration::from_secs(10 * 60);
/// How long anti-entropy may take after that to make all homes equal.
const EQUAL_TIME_MAX: Duration = Duration::from_secs(5 * 60);

#[derive(clap::Args)]
pub struct Options {
    /// How long the load runs, in minutes.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Of which troubles and keys are drawn; the time by default, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Clients, each with keys of its own.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Where soak.json and soak.svg go.
    #[arg(long, default_value = "target/soak")]
    out: PathBuf,
}

/// Runs it, writes the report, and fails if a promise was broken.
pub fn run(root: &Path, options: &Options) -> anyhow::Result<()> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .current_dir(root)
        .args(["build", "--release", "--locked", "--package", "torc"]);
    children::run(&mut build, BUILD_TIME_MAX)?;
    children::adopt_orphans()?;
    let seed = options.seed.unwrap_or_else(now_ms);
    println!("soak: seed {seed}, {} minutes", options.minutes);
    let out = root.join(&options.out);
    std::fs::create_dir_all(&out)?;
    let dir = root.join("target/soak/nodes");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir)?;
    let cluster = Arc::new(Cluster::start(&root.join("target/release/torc"), &dir)?);
    let started = Instant::now();
    let until = started + Duration::from_secs(options.minutes * 60);
    let is_over = Arc::new(AtomicBool::new(false));
    let tally = Arc::new(Mutex::new(Tally::default()));

    let mut writers: Vec<Writer> = (0..options.clients)
        .map(|number| Writer::new(number, seed, &cluster, &tally))
        .collect();
    let mut sampler = Sampler::new(&cluster, &tally, started);
    let (marks, troubles_ended) = std::thread::scope(|scope| {
        for writer in &mut writers {
            let is_over = Arc::clone(&is_over);
            scope.spawn(move || writer.work(&is_over));
        }
        let sampling = {
            let (sampler, is_over) = (&mut sampler, Arc::clone(&is_over));
            scope.spawn(move || sampler.work(&is_over))
        };
        let mut troubles = Troubles::new(seed, &cluster, started);
        let ended = troubles.work(until, &tally);
        is_over.store(true, Ordering::Relaxed);
        let _ = sampling.join();
        (troubles.into_marks(), ended)
    });
    let healed = troubles_ended.and_then(|()| cluster.heal(HEAL_TIME_MAX));
    println!("soak: the load has ended, what was promised is looked up");
    let unequal = healed
        .is_ok()
        .then(|| writer::await_equal(&writers, &cluster, EQUAL_TIME_MAX));
    for writer in &mut writers {
        writer.check_everything();
    }
    sampler.take();
    let stopped = cluster.stop();
    let survivors = children::survivors(Duration::from_secs(5));
    let report = Report::new(seed, started.elapsed(), &tally, sampler.into_samples(), marks, unequal);
    report.write(&out).context("cannot write the report")?;
    print!("{}", report.summary());
    println!("soak: report in {}", options.out.display());
    healed.context("the cluster did not become whole")?;
    stopped.context("a node did not stop in order")?;
    if !survivors.is_empty() {
        bail!("processes left behind: {survivors:?}");
    }
    if !report.is_clean() {
        bail!(
            "soak: promises were broken, see {}",
            options.out.join("soak.json").display()
        );
    }
    let _ = std::fs::remove_dir_all(&dir);
    Ok(())
}

fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    since.as_millis() as u64
}

/// A small generator (SplitMix64), so that a seed draws the same troubles and keys again.
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    /// Another stream of numbers for each `stream`.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Less than `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound.max(1)
    }
}
