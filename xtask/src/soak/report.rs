//! What the hour was like, as JSON and in a few lines.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use serde::Serialize;

use super::plot;
use super::sample::Sample;
use super::trouble::Mark;
use super::writer::Tally;

/// More than this at one node is a leak: its budget is 96 MiB.
const MEMORY_BYTES_MAX: u64 = 512 << 20;

/// See the module.
#[derive(Debug, Serialize)]
pub struct Report {
    pub seed: u64,
    pub seconds: f64,
    pub reads: u64,
    pub writes: u64,
    pub sloppy_writes: u64,
    pub reads_with_siblings: u64,
    pub slowest_ms: u64,
    pub errors: BTreeMap<String, u64>,
    pub broken_promises: u64,
    pub broken: Vec<String>,
    /// Keys whose homes differed at the end, of those that were compared; none were if the nodes did not become whole.
    pub unequal_keys: Option<u64>,
    pub memory_bytes_max_of_a_node: u64,
    pub troubles: Vec<Mark>,
    pub samples: Vec<Sample>,
}

impl Report {
    pub fn new(
        seed: u64,
        took: Duration,
        tally: &Mutex<Tally>,
        samples: Vec<Sample>,
        troubles: Vec<Mark>,
        unequal_keys: Option<u64>,
    ) -> Self {
        let tally = tally.lock().expect("no holder panics");
        Self {
            seed,
            seconds: took.as_secs_f64(),
            reads: tally.reads,
            writes: tally.writes,
            sloppy_writes: tally.sloppy,
            reads_with_siblings: tally.siblings,
            slowest_ms: tally.slowest_ms,
            errors: tally.errors.clone(),
            broken_promises: tally.broken_count,
            broken: tally.broken.clone(),
            unequal_keys,
            memory_bytes_max_of_a_node: samples.iter().map(|sample| sample.memory_bytes_max).max().unwrap_or(0),
            troubles,
            samples,
        }
    }

    /// True if every promise was kept.
    pub fn is_clean(&self) -> bool {
        self.broken_promises == 0 && self.unequal_keys == Some(0) && self.memory_bytes_max_of_a_node < MEMORY_BYTES_MAX
    }

    /// `soak.json` and `soak.svg` in a folder.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(folder.join("soak.json"), text)?;
        std::fs::write(folder.join("soak.svg"), plot::draw(self))?;
        Ok(())
    }

    /// A few lines.
    pub fn summary(&self) -> String {
        let errors: u64 = self.errors.values().sum();
        let mut text = format!(
            "soak: {:.0} s, {} reads, {} writes ({} by stand-ins), {errors} errors, {} troubles; slowest {} ms, at most {} MiB a node\n",
            self.seconds,
            self.reads,
            self.writes,
            self.sloppy_writes,
            self.troubles.len(),
            self.slowest_ms,
            self.memory_bytes_max_of_a_node >> 20
        );
        for (kind, count) in &self.errors {
            text.push_str(&format!("soak:   {count:>7} {kind}\n"));
        }
        text.push_str(&format!(
            "soak: {} broken promises; keys that differ between homes: {}\n",
            self.broken_promises,
            self.unequal_keys
                .map_or("not compared".to_owned(), |count| count.to_string())
        ));
        text
    }
}
