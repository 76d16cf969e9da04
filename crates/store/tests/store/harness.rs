//! A store with its answers collected, and shorthands for records and operations.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use torc_core::bucket::{Durability, StorageClass};
use torc_core::causality::{Dot, LwwRecord, Payload, Record, Stamp, Value};
use torc_core::id::{ActorId, BucketId, Life, NodeId, PartitionId, Token};
use torc_core::key::RecordKey;
use torc_core::message::RingEpoch;
use torc_core::storage::{
    BootState, CleanMarker, Meta, Page, Range, StoreError, StoreHealth, StoreOp, StoreReply, Write,
};
use torc_core::time::Hlc;
use torc_store::{Completions, OpenError, Opened, Store, StoreOptions};

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const MIB: u64 = 1 << 20;

struct Collector {
    replies: Mutex<Sender<(Token, StoreReply)>>,
    health: Mutex<Sender<StoreHealth>>,
}

impl Completions for Collector {
    fn stored(&self, batch: &mut Vec<(Token, StoreReply)>) {
        let replies = self.replies.lock().expect("no panics");
        for reply in batch.drain(..) {
            // Nobody listens any more when a test drops its store.
            let _ = replies.send(reply);
        }
    }

    fn health(&self, health: StoreHealth) {
        let _ = self.health.lock().expect("no panics").send(health);
    }
}

/// A store under test.
pub struct Tested {
    pub store: Store,
    pub boot: BootState,
    replies: Receiver<(Token, StoreReply)>,
    pub health: Receiver<StoreHealth>,
    answered: BTreeMap<Token, StoreReply>,
    next_token: u64,
}

/// A directory under `target/`, removed at the end.
pub fn directory() -> tempfile::TempDir {
    let parent = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    tempfile::Builder::new()
        .prefix("store-")
        .tempdir_in(parent)
        .expect("target is writable")
}

pub fn options(dir: &Path) -> StoreOptions {
    StoreOptions {
        dir: dir.to_owned(),
        cluster: "test".into(),
        node: "n1".into(),
        epoch: RingEpoch { number: 1, hash: 7 },
        ring_description: "1 node, 256 partitions".into(),
        memory_bytes_max: 64 * MIB,
        sync_interval: Duration::from_millis(20),
        free_space_bytes_min: 0,
    }
}

pub fn open(dir: &Path) -> Tested {
    open_with(options(dir)).unwrap_or_else(|error| panic!("{error}"))
}

pub fn open_with(options: StoreOptions) -> Result<Tested, OpenError> {
    let (reply_to, replies) = channel();
    let (health_to, health) = channel();
    let collector = Collector {
        replies: Mutex::new(reply_to),
        health: Mutex::new(health_to),
    };
    let Opened { store, boot } = Store::open(options, Arc::new(collector))?;
    Ok(Tested {
        store,
        boot,
        replies,
        health,
        answered: BTreeMap::new(),
        next_token: 0,
    })
}

impl Tested {
    /// Submits and gives the token; an inline answer is kept for `wait`.
    pub fn submit(&mut self, op: StoreOp) -> Token {
        self.next_token += 1;
        let token = Token(self.next_token);
        if let Some(reply) = self.store.submit(token, op) {
            self.answered.insert(token, reply);
        }
        token
    }

    /// True if the store answered as it was asked.
    pub fn is_answered_on_the_spot(&self, token: Token) -> bool {
        self.answered.contains_key(&token)
    }

    /// The answer to `token`.
    pub fn wait(&mut self, token: Token) -> StoreReply {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(reply) = self.answered.remove(&token) {
                return reply;
            }
            let left = until.saturating_duration_since(Instant::now());
            let (other, reply) = self.replies.recv_timeout(left).expect("an answer in time");
            self.take(other, reply);
        }
    }

    /// As the shell: the store is told first.
    fn take(&mut self, token: Token, reply: StoreReply) {
        for other in self.store.answered(token, &reply) {
            self.answered.insert(other, reply.clone());
        }
        self.answered.insert(token, reply);
    }

    /// An answer that has already come.
    pub fn answer_so_far(&mut self, token: Token) -> Option<StoreReply> {
        while let Ok((other, reply)) = self.replies.try_recv() {
            self.take(other, reply);
        }
        self.answered.remove(&token)
    }

    pub fn ask(&mut self, op: StoreOp) -> StoreReply {
        let token = self.submit(op);
        self.wait(token)
    }

    pub fn put(&mut self, key: &RecordKey, value: &[u8]) -> StoreReply {
        self.ask(commit(&[(key, value)], Durability::Synced))
    }

    pub fn put_buffered(&mut self, key: &RecordKey, value: &[u8]) -> StoreReply {
        self.ask(commit(&[(key, value)], Durability::Buffered))
    }

    pub fn get(&mut self, key: &RecordKey) -> Result<Option<Vec<u8>>, StoreError> {
        let reply = self.ask(StoreOp::Get {
            key: key.clone(),
            class: StorageClass::Disk,
        });
        match reply {
            StoreReply::Record(record) => Ok(record.map(|record| value_of(&record))),
            StoreReply::Failed(error) => Err(error),
            StoreReply::Page(_) | StoreReply::Done | StoreReply::Scrubbed(_) => {
                panic!("not an answer to a get: {reply:?}")
            }
        }
    }

    pub fn page(&mut self, range: Range, records_max: u32, bytes_max: usize) -> Page {
        let reply = self.ask(StoreOp::Scan {
            range,
            class: StorageClass::Disk,
            records_max,
            bytes_max,
            may_wait: false,
        });
        match reply {
            StoreReply::Page(page) => page,
            other => panic!("not a page: {other:?}"),
        }
    }

    pub fn put_meta(&mut self, meta: Meta) {
        assert_eq!(self.ask(StoreOp::PutMeta(meta)), StoreReply::Done);
    }

    pub fn stop(mut self) {
        self.store.stop(Some(marker()), b"trees").expect("a clean stop");
    }
}

pub fn marker() -> CleanMarker {
    CleanMarker {
        life: Life(77),
        birth: 5,
        hlc: Hlc(123),
        incarnation: 1,
    }
}

pub fn commit(writes: &[(&RecordKey, &[u8])], durability: Durability) -> StoreOp {
    let writes = writes
        .iter()
        .map(|(key, value)| Write {
            key: (*key).clone(),
            record: Some(record(value)),
            class: StorageClass::Disk,
        })
        .collect();
    StoreOp::Commit { writes, durability }
}

pub fn commit_in_memory(key: &RecordKey, value: &[u8]) -> StoreOp {
    StoreOp::Commit {
        writes: vec![Write {
            key: key.clone(),
            record: Some(record(value)),
            class: StorageClass::Memory,
        }],
        durability: Durability::Synced,
    }
}

/// A record that holds `value`.
pub fn record(value: &[u8]) -> Arc<Record> {
    let actor = ActorId {
        node: NodeId(1),
        life: Life(2),
        birth: 3,
    };
    let stamp = Stamp {
        hlc: Hlc(9),
        dot: Dot { actor, counter: 4 },
    };
    Arc::new(Record::Lww(LwwRecord {
        stamp,
        payload: Payload::Value(Value::plain(Bytes::copy_from_slice(value))),
        ..LwwRecord::default()
    }))
}

pub fn value_of(record: &Record) -> Vec<u8> {
    match record.as_lww().map(|lww| &lww.payload) {
        Some(Payload::Value(value)) => value.data.to_vec(),
        other => panic!("not a value: {other:?}"),
    }
}

/// A name in bucket 2, in the partition that its number falls into.
pub fn key(number: u64) -> RecordKey {
    key_in(BucketId(2), number)
}

pub fn key_in(bucket: BucketId, number: u64) -> RecordKey {
    let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let partition = PartitionId((hash >> 56) as u16);
    RecordKey::new(partition, bucket, hash, format!("key-{number}").as_bytes(), b"")
}

/// Everything of a bucket.
pub fn all_of(bucket: BucketId) -> Range {
    Range {
        bucket,
        start: RecordKey::range_start(PartitionId(0), bucket),
        end: None,
    }
}
/// Copies a directory as it is now: what a kill would leave, the page cache included.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("readable").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            // A table that a compaction has just removed is not needed by what it has put in its place.
            // Holes stay holes: a journal is 64 MiB of them.
            let _ = copy_sparse(&entry.path(), &target);
        }
    }
}

fn copy_sparse(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut from = File::open(from)?;
    let to = File::create(to)?;
    let length = from.metadata()?.len();
    let mut buffer = vec![0; 1 << 16];
    let mut at = 0;
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return to.set_len(length);
        }
        // A journal's zeros are all at its end.
        if buffer[..count].iter().all(|&byte| byte == 0) && length == 1 << 26 {
            return to.set_len(length);
        }
        to.write_all_at(&buffer[..count], at)?;
        at += count as u64;
    }
}

/// The newest journal of a store's directory.
pub fn newest_journal(dir: &Path) -> PathBuf {
    journals(dir).pop().expect("a journal")
}

/// All journals, oldest first.
pub fn journals(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u64, PathBuf)> = std::fs::read_dir(dir.join("engine"))
        .expect("readable")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().parse().unwrap(), path))
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}
