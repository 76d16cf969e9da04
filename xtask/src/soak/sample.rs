//! Once a second: what clients did, and what the nodes say of themselves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::cluster::Cluster;
use super::writer::Tally;
use crate::client::Client;

const PERIOD: Duration = Duration::from_secs(1);

/// One second. Counters of nodes are summed; a node that starts anew begins at 0, so rises are counted and falls are not.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sample {
    pub at_s: f64,
    pub operations: u64,
    pub errors: u64,
    pub sloppy: u64,
    pub siblings: u64,
    pub hints: u64,
    pub repairs: u64,
    pub memory_bytes: u64,
    pub memory_bytes_max: u64,
}

/// See the module.
pub struct Sampler {
    cluster: Arc<Cluster>,
    tally: Arc<Mutex<Tally>>,
    started: Instant,
    client: Client,
    before: Sample,
    repairs: BTreeMap<String, u64>,
    samples: Vec<Sample>,
}

/// What counts as repair.
const REPAIRS: [&str; 5] = [
    "torc_read_repairs_total",
    "torc_write_backs_total",
    "torc_rebuilt_records_total",
    "torc_mended_records_total",
    "torc_anti_entropy_keys_repaired_total",
];
const HINTS: &str = "torc_hints_pending";

impl Sampler {
    pub fn new(cluster: &Arc<Cluster>, tally: &Arc<Mutex<Tally>>, started: Instant) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            tally: Arc::clone(tally),
            started,
            client: Client::new(),
            before: Sample::default(),
            repairs: BTreeMap::new(),
            samples: Vec::new(),
        }
    }

    /// Takes samples until it is over.
    pub fn work(&mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            self.take();
            std::thread::sleep(PERIOD);
        }
    }

    /// Takes one.
    pub fn take(&mut self) {
        let mut sample = {
            let tally = self.tally.lock().expect("no holder panics");
            Sample {
                operations: tally.reads + tally.writes,
                errors: tally.errors.values().sum(),
                sloppy: tally.sloppy,
                siblings: tally.siblings,
                ..Sample::default()
            }
        };
        let totals = (sample.operations, sample.errors, sample.sloppy, sample.siblings);
        sample.operations -= self.before.operations;
        sample.errors -= self.before.errors;
        sample.sloppy -= self.before.sloppy;
        sample.siblings -= self.before.siblings;
        (
            self.before.operations,
            self.before.errors,
            self.before.sloppy,
            self.before.siblings,
        ) = totals;
        for node in &self.cluster.nodes {
            let memory = node.memory_bytes();
            sample.memory_bytes += memory;
            sample.memory_bytes_max = sample.memory_bytes_max.max(memory);
            let metrics = self
                .client
                .get(&node.url("/metrics"))
                .map(|answer| answer.body)
                .unwrap_or_default();
            let (mut repairs, mut hints) = (None, 0);
            for line in metrics.lines().filter(|line| !line.starts_with('#')) {
                let Some((name, value)) = line.rsplit_once(' ') else {
                    continue;
                };
                let name = name.split('{').next().unwrap_or_default();
                let value = value.parse::<f64>().unwrap_or(0.0) as u64;
                if REPAIRS.contains(&name) {
                    *repairs.get_or_insert(0) += value;
                } else if name == HINTS {
                    hints += value;
                }
            }
            sample.hints += hints;
            if let Some(repairs) = repairs {
                let before = self.repairs.insert(node.name.clone(), repairs).unwrap_or(0);
                sample.repairs += if repairs >= before { repairs - before } else { repairs };
            }
        }
        sample.at_s = self.started.elapsed().as_secs_f64();
        self.samples.push(sample);
    }

    /// All of them.
    pub fn into_samples(self) -> Vec<Sample> {
        self.samples
    }
}
