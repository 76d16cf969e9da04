//! Hints: records that this node keeps for homes that could not take them, and delivers when they are back (RULINGS 23).
//! ```text
//! a write for a home that is away ──merge, durable──▶ kept ──home is up: send──▶ durable there and at w homes,
//!                                                       ▲                        unchanged since? ──▶ forgotten
//!                                                       └── no answer, too few homes, or a newer write was merged ──┘
//! ```
//! A hint is in no tree and no listing, and never evicted: a node that has no room refuses to stand in. One that has waited
//! for too long goes when w other homes hold it: what its home lacks is then left to anti-entropy.

mod delivery;
mod sign;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::background::Runs;
use crate::causality::{Dot, Record, Stamp};
use crate::event::Event;
use crate::id::{BucketId, NodeId, OpId, PartitionId, Token};
use crate::key::RecordKey;
use crate::limits::{HINT_AGE_MS_MAX, HINTS_BYTES_MAX};
use crate::message::{Message, Space, WriteRecords, WriteReply, WriteResult};
use crate::random::Random;
use crate::site::Site;
use crate::storage::{HintMemory, Meta, StoreOp};
use crate::time::{Time, Wall};

/// Records of one delivery.
const BATCH_RECORDS_MAX: usize = 64;
/// Payload bytes of one delivery.
const BATCH_BYTES_MAX: usize = 256 << 10;
/// An answer that stays out this long counts as lost, in milliseconds.
const ANSWER_MS: u64 = 5_000;
/// How soon a home that did not take its hints is tried again, in milliseconds.
const RETRY_MS: u64 = 1_000;
/// How often a run that was asked for tries each hint: home and answers may be away for a moment.
const RUN_TRIES: u8 = 3;
/// Hints of a home looked at in one step to find what can be sent: each costs a look at the homes of its record.
const LOOKED_AT_MAX: usize = 1_000;
/// How soon the next ones are looked at if none of these can be sent, in milliseconds.
const LOOK_ON_MS: u64 = 20;
/// When all are looked at again if none of them can be sent, in milliseconds; at once, if a peer has come up.
const REST_MS: u64 = 30_000;
/// How often it is looked whether hints have waited for too long, in milliseconds.
const LOOK_MS: u64 = 10_000;
/// Hints draw their numbers from a generator of their own, so that what they do moves no other choice.
const SEED: u64 = 0x6869_6e74_7300_0001;
/// The weight of a hint beside its name and record, in bytes.
const OVERHEAD_BYTES: usize = 96;

/// What a node takes on for others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HintLimits {
    /// Most bytes of all hints together.
    pub bytes_max: u64,
    /// How long a hint waits for a home that is away, in milliseconds, before it goes as soon as w other homes hold it.
    pub age_ms_max: u64,
}

impl Default for HintLimits {
    fn default() -> Self {
        Self {
            bytes_max: HINTS_BYTES_MAX as u64,
            age_ms_max: HINT_AGE_MS_MAX,
        }
    }
}

/// One record for one home.
#[derive(Debug)]
struct Hint {
    record: Arc<Record>,
    /// What of it is durable here; `None` while nothing is.
    durable: Option<Arc<Record>>,
    /// It was on the disk when this node started.
    is_old: bool,
    since: Wall,
    /// Homes that have said that they hold `record` durably.
    confirmed: SmallVec<[NodeId; 3]>,
    /// How often the run at hand still tries it; 0 if it was kept since.
    tries_left: u8,
}

/// Who waits for hints to be durable.
#[derive(Debug)]
struct Keeping {
    asker: NodeId,
    op: Option<OpId>,
    attempt: u16,
    home: NodeId,
    records: Vec<(RecordKey, Arc<Record>)>,
    /// The greatest stamp that is kept above one that was sent (RULINGS 5).
    winner: Option<Stamp>,
}

/// One home's hints on their way.
#[derive(Debug)]
struct Delivery {
    op: OpId,
    sent_at: Time,
    records: Vec<(RecordKey, Arc<Record>)>,
    /// Bytes sent, to all who were asked.
    bytes: u64,
    /// Who was asked and has not answered.
    waiting: SmallVec<[NodeId; 3]>,
    /// Somebody who was asked does not hold it.
    failed: bool,
}

/// What an operator may know of one home's hints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HintsFor {
    /// Whose they are.
    pub home: NodeId,
    /// Records.
    pub records: u64,
    /// When the oldest was taken.
    pub oldest: Wall,
}

/// See the module.
#[derive(Debug)]
pub struct Hints {
    kept: BTreeMap<NodeId, BTreeMap<RecordKey, Hint>>,
    /// The last dot that this node signed as a stand-in, by key; at most [`sign::SIGNED_MAX`].
    signed: BTreeMap<RecordKey, Dot>,
    bytes: usize,
    delivered: u64,
    /// Puts on their way to the store, and by the last of each who waits.
    keeping: BTreeMap<Token, Keeping>,
    deliveries: BTreeMap<NodeId, Delivery>,
    /// When each home may be sent hints again.
    due: BTreeMap<NodeId, Time>,
    /// Where the last delivery to each home ended: those that come after are sent first, so that none holds up the others.
    sent_up_to: BTreeMap<NodeId, RecordKey>,
    /// Removals on their way to the store: until they are durable, a restart brings those hints back.
    forgetting: BTreeMap<Token, (NodeId, RecordKey)>,
    limits: HintLimits,
    started: Time,
    /// When something of a partition was last on its way to a home.
    sent_at: BTreeMap<PartitionId, Time>,
    /// Homes with hints that need not wait for them, as far as was looked.
    given_up: BTreeSet<NodeId>,
    look_at: Time,
    op: u64,
    runs: Runs,
    /// Hints that the run at hand has neither delivered nor tried often enough.
    of_run: usize,
    /// Hints looked at, by home, since something was sent or all were looked at.
    looked_at: BTreeMap<NodeId, usize>,
    /// Homes to which none of their hints can be sent for now: their other homes are away.
    resting: BTreeSet<NodeId>,
    /// Who was up when the last of them was found to be so.
    up_then: BTreeSet<NodeId>,
}

impl Hints {
    /// What the disk held.
    #[must_use]
    pub fn new(stored: Vec<HintMemory>, seed: u64, started: Time) -> Self {
        let mut hints = Self {
            kept: BTreeMap::new(),
            signed: BTreeMap::new(),
            bytes: 0,
            delivered: 0,
            keeping: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            due: BTreeMap::new(),
            sent_up_to: BTreeMap::new(),
            forgetting: BTreeMap::new(),
            limits: HintLimits::default(),
            started,
            sent_at: BTreeMap::new(),
            given_up: BTreeSet::new(),
            look_at: Time(0),
            op: Random::new(seed ^ SEED).next_u64(),
            runs: Runs::default(),
            of_run: 0,
            looked_at: BTreeMap::new(),
            resting: BTreeSet::new(),
            up_then: BTreeSet::new(),
        };
        for HintMemory {
            home,
            key,
            record,
            since,
        } in stored
        {
            hints.bytes += weight(&key, &record);
            let durable = Some(Arc::clone(&record));
            let hint = Hint {
                record,
                durable,
                is_old: true,
                since,
                confirmed: SmallVec::new(),
                tries_left: 0,
            };
            hints.kept.entry(home).or_default().insert(key, hint);
        }
        hints
    }

    /// Changes the bounds.
    pub fn limit(&mut self, limits: HintLimits) {
        self.limits = limits;
    }

    /// The bounds.
    #[must_use]
    pub fn limits(&self) -> HintLimits {
        self.limits
    }

    /// A run that was asked for is not over.
    #[must_use]
    pub fn is_run_going(&self) -> bool {
        self.runs.is_going()
    }

    /// Hints that are not gone for good.
    #[must_use]
    pub fn pending(&self) -> u64 {
        let kept: usize = self.kept.values().map(BTreeMap::len).sum();
        (kept + self.forgetting.len()) as u64
    }

    /// True if there may be a hint for a partition: what it says may be older than what its homes agree on.
    #[must_use]
    pub fn has_for(&self, partition: PartitionId) -> bool {
        let mut kept = self.kept.values().flat_map(BTreeMap::keys);
        let mut forgetting = self.forgetting.values().map(|forgotten| &forgotten.1);
        kept.any(|key| key.partition() == partition) || forgetting.any(|key| key.partition() == partition)
    }

    /// True if nothing is kept for a partition, and what was sent can't be taken any more: it carries a session token that
    /// has gone by now. Of what it sent before it was started a node knows nothing, only how long ago that is at least.
    #[must_use]
    pub fn is_clear(&self, partition: PartitionId, age_ms: u64, now: Time) -> bool {
        let sent_at = self.sent_at.get(&partition).copied().unwrap_or(self.started);
        !self.has_for(partition) && sent_at.max(self.started).plus_ms(age_ms) <= now
    }

    /// Places of which something was kept when this node started.
    #[must_use]
    pub fn old_places(&self) -> BTreeSet<(PartitionId, BucketId)> {
        let kept = self.kept.values().flatten().filter(|entry| entry.1.is_old);
        kept.map(|(key, _)| (key.partition(), key.bucket())).collect()
    }

    /// This node works on an older disk: what it kept then may long have been delivered, since been deleted, and forgotten
    /// by all homes. Nothing of places where they have forgotten anything is delivered again.
    pub fn drop_old(&mut self, is_reaped: impl Fn((PartitionId, BucketId)) -> bool, site: &mut Site) {
        let is_doubtful = |(key, hint): (&RecordKey, &Hint)| hint.is_old && is_reaped((key.partition(), key.bucket()));
        let mut doubtful = Vec::new();
        for (&home, hints) in &self.kept {
            let of_home = hints.iter().filter(|entry| is_doubtful(*entry));
            doubtful.extend(of_home.map(|(key, hint)| (home, key.clone(), Arc::clone(&hint.record))));
        }
        for (home, key, record) in doubtful {
            self.forget(home, &key, &record, site);
            site.stats.hints_dropped += 1;
        }
    }

    /// Writes on their way to the store.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.keeping.len() + self.forgetting.len()
    }

    /// Their bytes, with what keeping them costs.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// Delivered since the start.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// By home.
    pub fn homes(&self) -> impl Iterator<Item = HintsFor> + '_ {
        self.kept.iter().map(|(&home, of_home)| HintsFor {
            home,
            records: of_home.len() as u64,
            oldest: of_home.values().map(|hint| hint.since).min().unwrap_or(Wall(0)),
        })
    }

    /// Every record kept, as it is durably.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &RecordKey, &Arc<Record>)> {
        self.kept.iter().flat_map(|(&home, of_home)| {
            let durable = of_home
                .iter()
                .filter_map(|(key, hint)| Some((key, hint.durable.as_ref()?)));
            durable.map(move |(key, record)| (home, key, record))
        })
    }

    /// Keeps records for a home that the coordinator could not reach; answered when they are durable here.
    pub fn keep(&mut self, asker: NodeId, home: NodeId, write: WriteRecords, site: &mut Site) {
        let WriteRecords {
            op,
            attempt,
            records,
            space,
            ..
        } = write;
        let bytes: usize = records.iter().map(|(key, record)| weight(key, record)).sum();
        let result = if site.out_of_service {
            Some(WriteResult::Failed)
        } else if site.health.full && space == Space::Needed {
            Some(WriteResult::DiskFull)
        } else if (self.bytes + bytes) as u64 > self.limits.bytes_max {
            site.stats.hints_refused += 1;
            Some(WriteResult::Failed)
        } else {
            None
        };
        if let Some(result) = result {
            answer(asker, op, attempt, result, site);
            return;
        }
        let mut last = None;
        let mut winner: Option<Stamp> = None;
        let mut kept = Vec::with_capacity(records.len());
        for (key, record) in records {
            let sent = record.as_lww().map(|lww| lww.stamp);
            let Some((record, since)) = self.merge(home, &key, &record, site.now.wall) else {
                continue;
            };
            if let (Some(sent), Some(stands)) = (sent, record.as_lww().map(|lww| lww.stamp))
                && stands > sent
            {
                winner = winner.max(Some(stands));
            }
            kept.push((key.clone(), Arc::clone(&record)));
            last = Some(store(home, key, record, since, site));
        }
        let Some(token) = last else {
            answer(asker, op, attempt, WriteResult::Failed, site);
            return;
        };
        site.stats.hints_kept += kept.len() as u64;
        let keeping = Keeping {
            asker,
            op,
            attempt,
            home,
            records: kept,
            winner,
        };
        self.keeping.insert(token, keeping);
    }

    /// What is kept for this home and key from now on, and since when; `None` if the two can't be merged.
    fn merge(&mut self, home: NodeId, key: &RecordKey, record: &Arc<Record>, now: Wall) -> Option<(Arc<Record>, Wall)> {
        let of_home = self.kept.entry(home).or_default();
        let Some(hint) = of_home.get_mut(key) else {
            let hint = Hint {
                record: Arc::clone(record),
                durable: None,
                is_old: false,
                since: now,
                confirmed: SmallVec::new(),
                tries_left: 0,
            };
            self.bytes += weight(key, record);
            of_home.insert(key.clone(), hint);
            return Some((Arc::clone(record), now));
        };
        let before = weight(key, &hint.record);
        Arc::make_mut(&mut hint.record).merge(record).ok()?;
        hint.confirmed.clear();
        self.bytes = self.bytes + weight(key, &hint.record) - before;
        Some((Arc::clone(&hint.record), hint.since))
    }

    /// A fact is durable, or could not be made so; true if it was a hint.
    pub fn on_stored(&mut self, token: Token, done: bool, site: &mut Site) -> bool {
        if self.forgetting.remove(&token).is_some() {
            return true;
        }
        let Some(keeping) = self.keeping.remove(&token) else {
            return false;
        };
        if done {
            // Facts become durable in order: with the last of them all are.
            for (key, record) in keeping.records {
                if let Some(hint) = self
                    .kept
                    .get_mut(&keeping.home)
                    .and_then(|of_home| of_home.get_mut(&key))
                {
                    hint.durable = Some(record);
                }
            }
            self.look_soon(keeping.home, site.now.time);
        }
        let result = if done {
            WriteResult::Done { winner: keeping.winner }
        } else {
            if keeping.asker == site.id {
                site.on_commit_failed();
            }
            WriteResult::Failed
        };
        answer(keeping.asker, keeping.op, keeping.attempt, result, site);
        true
    }

    /// What is kept durably of these records, whoever they are for.
    #[must_use]
    pub fn read(&self, keys: &[RecordKey]) -> Vec<(RecordKey, Arc<Record>)> {
        let mut found: Vec<(RecordKey, Arc<Record>)> = Vec::new();
        for key in keys {
            let kept = self.kept_of(key).filter_map(|hint| hint.durable.as_ref());
            found.extend(merged(kept).map(|record| (key.clone(), record)));
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// What is kept of one record, for each home.
    fn kept_of(&self, key: &RecordKey) -> impl Iterator<Item = &Hint> {
        self.kept.values().filter_map(|of_home| of_home.get(key))
    }
}

/// What several hints of one record say together.
fn merged<'a>(records: impl Iterator<Item = &'a Arc<Record>>) -> Option<Arc<Record>> {
    let mut merged: Option<Arc<Record>> = None;
    for record in records {
        match &mut merged {
            None => merged = Some(Arc::clone(record)),
            Some(mine) if mine == record => {}
            Some(mine) => {
                // Kinds of one bucket are the same, so nothing is left out.
                let _ = Arc::make_mut(mine).merge(record);
            }
        }
    }
    merged
}

fn store(home: NodeId, key: RecordKey, record: Arc<Record>, since: Wall, site: &mut Site) -> Token {
    let memory = HintMemory {
        home,
        key,
        record,
        since,
    };
    site.ask_store(StoreOp::PutMeta(Meta::Hint(Box::new(memory))))
}

fn weight(key: &RecordKey, record: &Record) -> usize {
    key.as_bytes().len() + record.weight() + OVERHEAD_BYTES
}

fn answer(to: NodeId, op: Option<OpId>, attempt: u16, result: WriteResult, site: &mut Site) {
    let Some(op) = op else { return };
    if to == site.id {
        site.notify(op, Event::Wrote(to, attempt, result));
    } else {
        site.send(&[to], Message::WriteReply(WriteReply { op, attempt, result }));
    }
}
