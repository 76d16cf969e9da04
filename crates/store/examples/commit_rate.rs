//! Measures the store alone: group commits by closed-loop writers, and reads with and without the record cache.
//!
//! `cargo run --release -p torc-store --example commit_rate -- [DIR [WRITERS [SECONDS]]]`

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use torc_core::bucket::{Durability, StorageClass};
use torc_core::causality::{Dot, LwwRecord, Payload, Record, Stamp, Value};
use torc_core::id::{ActorId, BucketId, Life, NodeId, PartitionId, Token};
use torc_core::key::RecordKey;
use torc_core::message::RingEpoch;
use torc_core::storage::{Storage, StoreHealth, StoreOp, StoreReply, Write};
use torc_core::time::Hlc;
use torc_store::{Completions, Opened, Store, StoreOptions};

const KEYS: u64 = 200_000;
const VALUE_BYTES: usize = 100;

#[derive(Default)]
struct Answers {
    waiting: Mutex<Vec<(Token, StoreReply)>>,
    arrived: Condvar,
}

impl Completions for Answers {
    fn stored(&self, batch: &mut Vec<(Token, StoreReply)>) {
        self.waiting.lock().expect("no panics").append(batch);
        self.arrived.notify_one();
    }

    fn health(&self, health: StoreHealth) {
        println!("health: {health:?}");
    }
}

impl Answers {
    fn take(&self, into: &mut Vec<(Token, StoreReply)>) {
        let waiting = self.waiting.lock().expect("no panics");
        let mut waiting = self
            .arrived
            .wait_while(waiting, |waiting| waiting.is_empty())
            .expect("no panics");
        std::mem::swap(&mut *waiting, into);
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args
        .next()
        .map_or_else(|| PathBuf::from("target/commit-rate"), PathBuf::from);
    let writers: u64 = args
        .next()
        .map_or(64, |text| text.parse().expect("a number of writers"));
    let seconds: u64 = args.next().map_or(5, |text| text.parse().expect("a number of seconds"));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("a directory to write to");
    println!(
        "fdatasync of 4 KiB appended: {:.0}/s on {}",
        sync_rate(&dir),
        dir.display()
    );

    let (mut store, answers) = open(&dir, 1 << 30);
    for (name, durability, writers) in [
        ("synced", Durability::Synced, writers),
        ("synced", Durability::Synced, 1),
        ("buffered", Durability::Buffered, writers),
    ] {
        write_for(
            &mut store,
            &answers,
            name,
            durability,
            writers,
            Duration::from_secs(seconds),
        );
    }
    fill(&mut store, &answers);
    let keys: Vec<RecordKey> = shuffled().map(key).collect();
    read_all(&mut store, &answers, "first reads", &keys);
    read_all(
        &mut store,
        &answers,
        "reads from the record cache",
        &keys[..keys.len().min(100_000)],
    );
    let absent: Vec<RecordKey> = (KEYS..2 * KEYS).map(key).collect();
    read_all(&mut store, &answers, "first reads of absent keys", &absent);
    store.stop(None, b"").expect("stops");
    drop(store);

    let (mut store, answers) = open(&dir, 8 << 20);
    read_all(
        &mut store,
        &answers,
        "reads with a small budget, after a restart",
        &keys,
    );
    read_all(&mut store, &answers, "the same again", &keys);
    write_for(
        &mut store,
        &answers,
        "synced, small budget",
        Durability::Synced,
        writers,
        Duration::from_secs(seconds),
    );
    store.stop(None, b"").expect("stops");
    drop(store);
    std::fs::remove_dir_all(&dir).expect("removes");
}

fn open(dir: &Path, memory_bytes_max: u64) -> (Store, Arc<Answers>) {
    let answers = Arc::new(Answers::default());
    let options = StoreOptions {
        dir: dir.join("store"),
        cluster: "bench".into(),
        node: "n1".into(),
        epoch: RingEpoch { number: 1, hash: 1 },
        ring_description: "bench".into(),
        memory_bytes_max,
        sync_interval: Duration::from_millis(100),
        free_space_bytes_min: 0,
    };
    let begun = Instant::now();
    let Opened { store, boot } = Store::open(options, answers.clone()).unwrap_or_else(|error| panic!("{error}"));
    println!("opened in {:?}, boot {}", begun.elapsed(), boot.incarnation);
    (store, answers)
}

/// Each writer reads a key, as the core does, and commits it; the next time when that is answered.
fn write_for(store: &mut Store, answers: &Answers, name: &str, durability: Durability, writers: u64, time: Duration) {
    let before = store.stats();
    let cpu_before = cpu_by_thread();
    let begun = Instant::now();
    let mut random = 1;
    let mut next_token = 0;
    let mut done = 0_u64;
    let mut batch = Vec::new();
    for _ in 0..writers {
        write_one(store, &mut random, &mut next_token, durability);
    }
    while begun.elapsed() < time {
        answers.take(&mut batch);
        for (_, reply) in batch.drain(..) {
            assert_eq!(reply, StoreReply::Done);
            done += 1;
            write_one(store, &mut random, &mut next_token, durability);
        }
    }
    let mut left = writers;
    while left > 0 {
        answers.take(&mut batch);
        left -= batch.drain(..).count() as u64;
    }
    let took = begun.elapsed().as_secs_f64();
    let after = store.stats();
    let batches = after.batches - before.batches;
    println!(
        "{name}, {writers} writers: {:.0} commits/s in {:.0} batches/s of {:.1}, {:.0} us a batch; {} stalls",
        done as f64 / took,
        batches as f64 / took,
        done as f64 / batches as f64,
        (after.sync_times.sum_us - before.sync_times.sum_us) as f64 / (after.syncs - before.syncs).max(1) as f64,
        after.stalls - before.stalls,
    );
    for (thread, cpu) in cpu_by_thread() {
        let used = cpu
            - cpu_before
                .iter()
                .find(|other| other.0 == thread)
                .map_or(0.0, |other| other.1);
        if used > 0.01 {
            println!("    {thread:<16} {:>6.2} us CPU a commit", used * 1e6 / done as f64);
        }
    }
}

fn write_one(store: &mut Store, random: &mut u64, next_token: &mut u64, durability: Durability) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *next_token += 1;
    let key = key(*random % KEYS);
    let class = StorageClass::Disk;
    let found = Storage::get(store, &key, class);
    assert!(found.is_ok(), "{found:?}");
    let writes = vec![Write {
        key,
        record: Some(record()),
        class,
    }];
    store.submit(Token(*next_token), StoreOp::Commit { writes, durability });
}

fn fill(store: &mut Store, answers: &Answers) {
    let mut batch = Vec::new();
    let mut left = 0;
    for number in 0..KEYS {
        let writes = vec![Write {
            key: key(number),
            record: Some(record()),
            class: StorageClass::Disk,
        }];
        let durability = Durability::Buffered;
        store.submit(Token(number), StoreOp::Commit { writes, durability });
        left += 1;
    }
    while left > 0 {
        answers.take(&mut batch);
        left -= batch.drain(..).count();
    }
}

fn read_all(store: &mut Store, answers: &Answers, name: &str, keys: &[RecordKey]) {
    let before = store.stats();
    let begun = Instant::now();
    let mut batch = Vec::new();
    for key in keys {
        let op = StoreOp::Get {
            key: key.clone(),
            class: StorageClass::Disk,
        };
        let reply = store.submit(Token(0), op).unwrap_or_else(|| {
            answers.take(&mut batch);
            let (token, reply) = batch.pop().expect("one was asked for");
            let others = store.answered(token, &reply);
            assert!(others.is_empty(), "nobody else asks");
            reply
        });
        assert!(matches!(reply, StoreReply::Record(_)), "{reply:?}");
    }
    let ns = begun.elapsed().as_nanos() as f64 / keys.len() as f64;
    let hits = store.stats().cache_hits - before.cache_hits;
    println!(
        "{name}: {ns:.0} ns, {:.0} % from the record cache",
        100.0 * hits as f64 / keys.len() as f64
    );
}

fn shuffled() -> impl Iterator<Item = u64> {
    // KEYS and the step have no common factor, so every key comes once.
    (0..KEYS).map(|i| i * 77_773 % KEYS)
}

fn key(number: u64) -> RecordKey {
    let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    RecordKey::new(
        PartitionId((hash >> 56) as u16),
        BucketId(2),
        hash,
        format!("key-{number}").as_bytes(),
        b"",
    )
}

fn record() -> Arc<Record> {
    let actor = ActorId {
        node: NodeId(1),
        life: Life(2),
        birth: 3,
    };
    let dot = Dot { actor, counter: 4 };
    Arc::new(Record::Lww(LwwRecord {
        stamp: Stamp { hlc: Hlc(9), dot },
        payload: Payload::Value(Value::plain(Bytes::from(vec![7; VALUE_BYTES]))),
        ..LwwRecord::default()
    }))
}

fn sync_rate(dir: &Path) -> f64 {
    let path = dir.join("sync-rate");
    let mut file = std::fs::File::create(&path).expect("a file to write to");
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < Duration::from_secs(1) {
        file.write_all(&[1; 4_096]).expect("writes");
        file.sync_data().expect("syncs");
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// CPU seconds of each thread so far, by name.
fn cpu_by_thread() -> Vec<(String, f64)> {
    let mut threads: Vec<(String, f64)> = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let schedstat = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let ns: f64 = schedstat
            .split(' ')
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0.0);
        match threads.iter_mut().find(|thread| thread.0 == name.trim()) {
            Some(thread) => thread.1 += ns / 1e9,
            None => threads.push((name.trim().to_owned(), ns / 1e9)),
        }
    }
    threads
}
