//! One client: writes, deletes and reads keys that nobody else writes, at any node, and judges every answer by what it
//! knows. Half of the clients ask for `strict` and are owed their own writes at once, the others when all is mended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::Draw;
use super::cluster::{COPIES, Cluster};
use super::known::Known;
use crate::client::{Answer, Client};

const KEYS: u64 = 100;
/// Between two requests of a client.
const THINK: Duration = Duration::from_millis(4);
const VALUE_BYTES_MAX: u64 = 2_000;
/// How often a key is looked up at the end before a node that does not answer counts as a broken promise.
const LAST_TRIES: u32 = 40;
/// Broken promises that are kept in words.
const BROKEN_MAX: usize = 50;
/// Keys of each client that are compared at all homes.
const INSPECTED_KEYS: u64 = 25;

/// What happened so far, at all clients.
#[derive(Debug, Default)]
pub struct Tally {
    pub reads: u64,
    pub writes: u64,
    pub sloppy: u64,
    pub siblings: u64,
    pub slowest_ms: u64,
    /// By kind, in words.
    pub errors: BTreeMap<String, u64>,
    /// In words; not all if there are many.
    pub broken: Vec<String>,
    pub broken_count: u64,
}

impl Tally {
    fn breaks(&mut self, words: String) {
        eprintln!("soak: BROKEN: {words}");
        self.broken_count += 1;
        if self.broken.len() < BROKEN_MAX {
            self.broken.push(words);
        }
    }
}

/// See the module.
pub struct Writer {
    number: usize,
    strict: bool,
    draw: Draw,
    client: Client,
    cluster: Arc<Cluster>,
    tally: Arc<Mutex<Tally>>,
    keys: Vec<Known>,
}

impl Writer {
    pub fn new(number: usize, seed: u64, cluster: &Arc<Cluster>, tally: &Arc<Mutex<Tally>>) -> Self {
        Self {
            number,
            strict: number.is_multiple_of(2),
            draw: Draw::new(seed, 1 + number as u64),
            client: Client::new(),
            cluster: Arc::clone(cluster),
            tally: Arc::clone(tally),
            keys: vec![Known::default(); KEYS as usize],
        }
    }

    /// Works until it is over.
    pub fn work(&mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let key = self.draw.below(KEYS) as usize;
            match self.draw.below(100) {
                0..50 => self.read(key),
                50..90 => self.write(key, false),
                _ => self.write(key, true),
            }
            std::thread::sleep(THINK);
        }
    }

    fn name(&self, key: usize) -> String {
        format!("/v1/kv/default/soak-{}-{key}", self.number)
    }

    fn url(&mut self, key: usize) -> String {
        let node = self.draw.below(self.cluster.nodes.len() as u64) as usize;
        let path = format!("{}?strict={}", self.name(key), self.strict);
        self.cluster.nodes[node].url(&path)
    }

    fn write(&mut self, key: usize, deletes: bool) {
        // What was never seen can't be deleted.
        let deletes = deletes && self.keys[key].context.is_some();
        let number = self.keys[key].next(deletes);
        let url = self.url(key);
        let started = Instant::now();
        let context = self.keys[key].context.clone();
        let answer = if deletes {
            self.client.delete(&url, context.as_deref())
        } else {
            let padding = "x".repeat(self.draw.below(VALUE_BYTES_MAX) as usize);
            self.client
                .put(&url, context.as_deref(), &format!("{number} {padding}"))
        };
        let mut tally = self.tally.lock().expect("no holder panics");
        tally.slowest_ms = tally.slowest_ms.max(started.elapsed().as_millis() as u64);
        match answer {
            Ok(answer) if answer.status < 300 => {
                tally.writes += 1;
                tally.sloppy += u64::from(answer.sloppy);
                self.keys[key].acknowledged(number, deletes, answer.context);
            }
            Ok(answer) => {
                let certainty = if answer.is_unknown() { "unknown" } else { "not applied" };
                let error = format!("write: {} ({certainty})", answer.error());
                *tally.errors.entry(error).or_default() += 1;
            }
            Err(error) => *tally.errors.entry(format!("write: {error}")).or_default() += 1,
        }
    }

    fn read(&mut self, key: usize) {
        let url = self.url(key);
        let started = Instant::now();
        let answer = self.client.get(&url);
        let mut tally = self.tally.lock().expect("no holder panics");
        tally.slowest_ms = tally.slowest_ms.max(started.elapsed().as_millis() as u64);
        match answer {
            Ok(answer) if is_shown(&answer) => {
                tally.reads += 1;
                let shown = numbers(&answer);
                tally.siblings += u64::from(shown.len() > 1);
                if self.strict
                    && let Err(broken) = self.keys[key].judge(&shown)
                {
                    tally.breaks(format!("{url}: {broken:?}"));
                }
                self.keys[key].shown(&shown, answer.context);
            }
            Ok(answer) => *tally.errors.entry(format!("read: {}", answer.error())).or_default() += 1,
            Err(error) => *tally.errors.entry(format!("read: {error}")).or_default() += 1,
        }
    }

    /// Everything is mended: whoever is asked must answer, and nothing may be missing.
    pub fn check_everything(&mut self) {
        for key in 0..self.keys.len() {
            let node = key % self.cluster.nodes.len();
            let path = format!("{}?strict=true", self.name(key));
            let url = self.cluster.nodes[node].url(&path);
            let mut last = String::new();
            let mut tries = 0..LAST_TRIES;
            let found = tries.find_map(|_| match self.client.get(&url) {
                Ok(answer) if is_shown(&answer) => Some(answer),
                other => {
                    last = format!("{other:?}");
                    std::thread::sleep(Duration::from_millis(250));
                    None
                }
            });
            let mut tally = self.tally.lock().expect("no holder panics");
            match found.map(|answer| self.keys[key].judge(&numbers(&answer))) {
                None => tally.breaks(format!("{url}: unreadable at the end: {last}")),
                Some(Err(broken)) => tally.breaks(format!("{url}, at the end: {broken:?}")),
                Some(Ok(())) => {}
            }
        }
    }
}

fn is_shown(answer: &Answer) -> bool {
    matches!(answer.status, 200 | 300 | 404)
}

/// The numbers of all values that an answer shows: the text itself, or JSON with all siblings in base64.
fn numbers(answer: &Answer) -> Vec<u64> {
    let number = |text: &str| text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
    match answer.status {
        200 => vec![number(&answer.body)],
        300 => {
            let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
            let siblings = body["siblings"].as_array().cloned().unwrap_or_default();
            let values = siblings
                .iter()
                .map(|sibling| sibling["value"].as_str().unwrap_or_default().to_owned());
            values.map(|value| number(&from_base64(&value))).collect()
        }
        _ => Vec::new(),
    }
}

fn from_base64(text: &str) -> String {
    let bytes = BASE64_STANDARD.decode(text).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until the homes of a share of all keys hold the same, without anybody reading them; how many do not in the end.
pub fn await_equal(writers: &[Writer], cluster: &Cluster, time_max: Duration) -> u64 {
    let started = Instant::now();
    loop {
        let unequal = count_unequal(writers, cluster);
        if unequal == 0 || started.elapsed() > time_max {
            return unequal;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn count_unequal(writers: &[Writer], cluster: &Cluster) -> u64 {
    let client = Client::new();
    let mut unequal = 0;
    for writer in writers {
        for key in 0..INSPECTED_KEYS {
            let path = format!("/v1/inspect/default/soak-{}-{key}", writer.number);
            let answer = client.get(&cluster.nodes[0].url(&path));
            let body: serde_json::Value = answer
                .ok()
                .and_then(|answer| serde_json::from_str(&answer.body).ok())
                .unwrap_or_default();
            let homes = body["homes"].as_array().cloned().unwrap_or_default();
            let checksum = |home: &serde_json::Value| home["record"]["checksum"].clone();
            let is_equal = homes.len() == COPIES && homes.iter().all(|home| checksum(home) == checksum(&homes[0]));
            unequal += u64::from(!is_equal);
        }
    }
    unequal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_are_read_from_json() {
        let answer = Answer {
            status: 300,
            context: None,
            sloppy: false,
            body: r#"{"siblings":[{"value":"MTIgeHh4"},{"value":"NyB4"}]}"#.to_owned(),
        };
        assert_eq!(numbers(&answer), [12, 7]);
    }
}
