//! Hints: records that this node keeps for homes that could not take them, and delivers when they are back (RULINGS 23).
//!
//! ```text
//! a write for a home that is away ──merge, durable──▶ kept ──home is up: send──▶ durable there ──unchanged since?──▶ forgotten
//!                                                       ▲ no answer, or merged with a newer write meanwhile ──┘
//! ```
//! A hint is in no tree and no listing, and never evicted: a node that has no room refuses to stand in.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::smallvec;

use crate::background::Work;
use crate::causality::Record;
use crate::id::{NodeId, OpId, Token};
use crate::key::RecordKey;
use crate::limits::HINTS_BYTES_MAX;
use crate::message::{Message, WriteRecords, WriteReply, WriteResult};
use crate::mutants::{Mutant, active};
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
/// Hints draw their numbers from a generator of their own, so that what they do moves no other choice.
const SEED: u64 = 0x6869_6e74_7300_0001;
/// The weight of a hint beside its name and record, in bytes.
const OVERHEAD_BYTES: usize = 96;

/// One record for one home.
#[derive(Debug)]
struct Hint {
    record: Arc<Record>,
    /// What of it is durable here; `None` while nothing is.
    durable: Option<Arc<Record>>,
    since: Wall,
}

/// Who waits for hints to be durable.
#[derive(Debug)]
struct Keeping {
    asker: NodeId,
    op: Option<OpId>,
    attempt: u16,
    home: NodeId,
    records: Vec<(RecordKey, Arc<Record>)>,
}

/// One home's hints on their way.
#[derive(Debug)]
struct Delivery {
    op: OpId,
    sent_at: Time,
    records: Vec<(RecordKey, Arc<Record>)>,
    bytes: u64,
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
    bytes: usize,
    delivered: u64,
    /// Puts on their way to the store, and by the last of each who waits.
    keeping: BTreeMap<Token, Keeping>,
    deliveries: BTreeMap<NodeId, Delivery>,
    /// When each home may be sent hints again.
    due: BTreeMap<NodeId, Time>,
    op: u64,
    runs_seen: u64,
    /// Homes for which a run was asked for while hints are paused.
    forced_until: Time,
}

impl Hints {
    /// What the disk held.
    #[must_use]
    pub fn new(stored: Vec<HintMemory>, seed: u64) -> Self {
        let mut hints = Self {
            kept: BTreeMap::new(),
            bytes: 0,
            delivered: 0,
            keeping: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            due: BTreeMap::new(),
            op: Random::new(seed ^ SEED).next_u64(),
            runs_seen: 0,
            forced_until: Time(0),
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
            let hint = Hint { record, durable, since };
            hints.kept.entry(home).or_default().insert(key, hint);
        }
        hints
    }

    /// Hints that wait for their home.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.kept.values().map(|of_home| of_home.len() as u64).sum()
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
            op, attempt, records, ..
        } = write;
        let bytes: usize = records.iter().map(|(key, record)| weight(key, record)).sum();
        let result = if site.out_of_service {
            Some(WriteResult::Failed)
        } else if site.health.full {
            Some(WriteResult::DiskFull)
        } else if self.bytes + bytes > HINTS_BYTES_MAX {
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
        let mut kept = Vec::with_capacity(records.len());
        for (key, record) in records {
            let Some(record) = self.merge(home, &key, &record, site.now.wall) else {
                continue;
            };
            kept.push((key.clone(), Arc::clone(&record)));
            let since = site.now.wall;
            let memory = HintMemory {
                home,
                key,
                record,
                since,
            };
            last = Some(site.ask_store(StoreOp::PutMeta(Meta::Hint(Box::new(memory)))));
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
        };
        self.keeping.insert(token, keeping);
    }

    /// What is kept for this home and key from now on; `None` if the two can't be merged.
    fn merge(&mut self, home: NodeId, key: &RecordKey, record: &Arc<Record>, now: Wall) -> Option<Arc<Record>> {
        let of_home = self.kept.entry(home).or_default();
        let Some(hint) = of_home.get_mut(key) else {
            let hint = Hint {
                record: Arc::clone(record),
                durable: None,
                since: now,
            };
            self.bytes += weight(key, record);
            of_home.insert(key.clone(), hint);
            return Some(Arc::clone(record));
        };
        let before = weight(key, &hint.record);
        Arc::make_mut(&mut hint.record).merge(record).ok()?;
        self.bytes = self.bytes + weight(key, &hint.record) - before;
        Some(Arc::clone(&hint.record))
    }

    /// A fact is durable, or could not be made so; true if it was a hint.
    pub fn on_stored(&mut self, token: Token, done: bool, site: &mut Site) -> bool {
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
        }
        let result = if done {
            WriteResult::Done { winner: None }
        } else {
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
            let kept = self
                .kept
                .values()
                .filter_map(|of_home| of_home.get(key)?.durable.as_ref());
            let mut merged: Option<Arc<Record>> = None;
            for record in kept {
                match &mut merged {
                    None => merged = Some(Arc::clone(record)),
                    Some(mine) if mine == record => {}
                    Some(mine) => {
                        // Kinds of one bucket are the same, so nothing is left out.
                        let _ = Arc::make_mut(mine).merge(record);
                    }
                }
            }
            found.extend(merged.map(|record| (key.clone(), record)));
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// When something is due.
    #[must_use]
    pub fn next_deadline(&self, site: &Site) -> Time {
        let waiting = self.kept.keys().filter(|home| site.peers.is_up(**home));
        let of_home = |home: &NodeId| match self.deliveries.get(home) {
            Some(delivery) => delivery.sent_at.plus_ms(ANSWER_MS),
            None => self.due.get(home).copied().unwrap_or(Time(0)),
        };
        waiting.map(of_home).min().unwrap_or(Time::NEVER)
    }

    /// Sends what is due.
    pub fn go_on(&mut self, site: &mut Site) {
        let pace = *site.background.pace(Work::Hints);
        let now = site.now.time;
        if pace.runs_asked > self.runs_seen {
            self.runs_seen = pace.runs_asked;
            self.due.clear();
            self.forced_until = now.plus_ms(RETRY_MS);
        }
        self.deliveries
            .retain(|_, delivery| delivery.sent_at.plus_ms(ANSWER_MS) > now);
        let may_begin = !pace.paused || self.forced_until > now;
        let homes: Vec<NodeId> = self.kept.keys().copied().collect();
        for home in homes {
            let is_due = self.due.get(&home).is_none_or(|&due| due <= now);
            if !is_due || !site.peers.is_up(home) || self.deliveries.contains_key(&home) {
                continue;
            }
            if may_begin {
                self.deliver(home, site);
            } else {
                self.due.insert(home, now.plus_ms(RETRY_MS));
            }
        }
    }

    fn deliver(&mut self, home: NodeId, site: &mut Site) {
        let Some(of_home) = self.kept.get(&home) else { return };
        let mut records = Vec::new();
        let mut bytes = 0;
        for (key, hint) in of_home {
            let Some(record) = &hint.durable else { continue };
            if records.len() >= BATCH_RECORDS_MAX || bytes >= BATCH_BYTES_MAX {
                break;
            }
            bytes += weight(key, record);
            records.push((key.clone(), Arc::clone(record)));
        }
        if records.is_empty() {
            self.due.insert(home, site.now.time.plus_ms(RETRY_MS));
            return;
        }
        self.op = self.op.wrapping_add(1);
        let op = OpId(self.op);
        let write = WriteRecords {
            op: Some(op),
            attempt: 0,
            sessions: smallvec![(home, site.peers.session_of(home))],
            stand_in_for: None,
            records: records.clone(),
        };
        site.send(&[home], Message::Write(write));
        let delivery = Delivery {
            op,
            sent_at: site.now.time,
            records,
            bytes: bytes as u64,
        };
        if active(Mutant::HintDroppedWhenSent) {
            self.forget(home, &delivery.records, site);
        }
        self.deliveries.insert(home, delivery);
    }

    /// A node answers a write; true if it was a delivery of hints.
    pub fn on_reply(&mut self, from: NodeId, reply: &WriteReply, site: &mut Site) -> bool {
        let Some(delivery) = self.deliveries.remove(&from) else {
            return false;
        };
        if delivery.op != reply.op {
            self.deliveries.insert(from, delivery);
            return false;
        }
        let now = site.now.time;
        if !matches!(reply.result, WriteResult::Done { .. }) {
            self.due.insert(from, now.plus_ms(RETRY_MS));
            return true;
        }
        self.delivered += delivery.records.len() as u64;
        self.forget(from, &delivery.records, site);
        // A home that takes long is given as much time again: it has clients too.
        let took_us = now.0.saturating_sub(delivery.sent_at.0);
        let pause_us = site.background.hints.microseconds_for(delivery.bytes).max(took_us);
        self.due.insert(from, Time(now.0.saturating_add(pause_us)));
        true
    }

    /// A node refuses an operation; true if it was a delivery of hints.
    pub fn on_refused(&mut self, from: NodeId, op: OpId, now: Time) -> bool {
        let is_mine = self.deliveries.get(&from).is_some_and(|delivery| delivery.op == op);
        if is_mine {
            self.deliveries.remove(&from);
            self.due.insert(from, now.plus_ms(RETRY_MS));
        }
        is_mine
    }

    /// A node went away: what was sent to it may or may not have arrived, and is sent again.
    pub fn on_peer_down(&mut self, node: NodeId) {
        self.deliveries.remove(&node);
        self.due.remove(&node);
    }

    /// Forgets hints that are still exactly what was delivered.
    fn forget(&mut self, home: NodeId, records: &[(RecordKey, Arc<Record>)], site: &mut Site) {
        let Some(of_home) = self.kept.get_mut(&home) else {
            return;
        };
        for (key, record) in records {
            let is_unchanged = of_home.get(key).is_some_and(|hint| hint.record == *record);
            if is_unchanged || active(Mutant::NewerHintDropped) {
                if let Some(hint) = of_home.remove(key) {
                    self.bytes -= weight(key, &hint.record);
                }
                site.ask_store(StoreOp::PutMeta(Meta::Delivered(home, key.clone())));
            }
        }
        if of_home.is_empty() {
            self.kept.remove(&home);
        }
    }
}

fn weight(key: &RecordKey, record: &Record) -> usize {
    key.as_bytes().len() + record.weight() + OVERHEAD_BYTES
}

fn answer(to: NodeId, op: Option<OpId>, attempt: u16, result: WriteResult, site: &mut Site) {
    if let Some(op) = op {
        site.send(&[to], Message::WriteReply(WriteReply { op, attempt, result }));
    }
}
