//! Hints: records that this node keeps for homes that could not take them, and delivers when they are back (RULINGS 23).
//!
//! ```text
//! a write for a home that is away ──merge, durable──▶ kept ──home is up: send──▶ durable there and at w homes,
//!                                                       ▲                        unchanged since? ──▶ forgotten
//!                                                       └── no answer, too few homes, or a newer write was merged ──┘
//! ```
//! A hint is in no tree and no listing, and never evicted: a node that has no room refuses to stand in. One that has waited
//! for too long goes when w other homes hold it: what its home lacks is then left to anti-entropy.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::background::Work;
use crate::causality::{Record, Stamp};
use crate::id::{NodeId, OpId, PartitionId, Token};
use crate::key::RecordKey;
use crate::limits::{HINT_AGE_MS_MAX, HINTS_BYTES_MAX};
use crate::message::{Message, WriteRecords, WriteReply, WriteResult};
use crate::mutants::{Mutant, active};
use crate::quorum::{DcId, Home, Need, Tally, Verdict};
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
    since: Wall,
    /// Homes that have said that they hold `record` durably.
    confirmed: SmallVec<[NodeId; 3]>,
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
    /// Homes with hints that need not wait for them, as far as was looked.
    given_up: BTreeSet<NodeId>,
    look_at: Time,
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
            sent_up_to: BTreeMap::new(),
            forgetting: BTreeMap::new(),
            limits: HintLimits::default(),
            given_up: BTreeSet::new(),
            look_at: Time(0),
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
            let hint = Hint {
                record,
                durable,
                since,
                confirmed: SmallVec::new(),
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
            op, attempt, records, ..
        } = write;
        let bytes: usize = records.iter().map(|(key, record)| weight(key, record)).sum();
        let result = if site.out_of_service {
            Some(WriteResult::Failed)
        } else if site.health.full && !records.iter().all(|record| record.1.is_tombstone()) {
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
                since: now,
                confirmed: SmallVec::new(),
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
        }
        let result = if done {
            WriteResult::Done { winner: keeping.winner }
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
        let waiting = self.kept.keys().filter(|home| self.may_be_sent(**home, site));
        let of_home = |home: &NodeId| match self.deliveries.get(home) {
            Some(delivery) => delivery.sent_at.plus_ms(ANSWER_MS),
            None => self.due.get(home).copied().unwrap_or(Time(0)),
        };
        waiting.map(of_home).min().unwrap_or(Time::NEVER)
    }

    /// Its home is back, or the oldest of its hints has waited for too long.
    fn may_be_sent(&self, home: NodeId, site: &Site) -> bool {
        site.peers.is_up(home) || self.given_up.contains(&home)
    }

    /// Looks for hints that need not wait any longer.
    fn look_for_given_up(&mut self, site: &Site) {
        if self.look_at > site.now.time {
            return;
        }
        self.look_at = site.now.time.plus_ms(LOOK_MS);
        let has_some = |(&home, hints): (&NodeId, &BTreeMap<RecordKey, Hint>)| {
            let mut hints = hints.iter();
            let is_any = hints.any(|(key, hint)| self.is_given_up(home, key, hint.since, site));
            is_any.then_some(home)
        };
        self.given_up = self.kept.iter().filter_map(has_some).collect();
    }

    /// A hint need not wait for its home: it is away for too long, or no home of the record any more.
    fn is_given_up(&self, home: NodeId, key: &RecordKey, since: Wall, site: &Site) -> bool {
        let age_ms = site.now.wall.0.saturating_sub(since.0);
        let bucket = site.catalog.bucket(key.bucket());
        let has_left = bucket.is_none_or(|bucket| !site.ring.is_home(home, key.partition(), bucket.n));
        has_left || (age_ms > self.limits.age_ms_max && !site.peers.is_up(home))
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
        let silent = |delivery: &Delivery| delivery.sent_at.plus_ms(ANSWER_MS) <= now;
        let over: Vec<NodeId> = self
            .deliveries
            .iter()
            .filter(|entry| silent(entry.1))
            .map(|entry| *entry.0)
            .collect();
        for home in over {
            self.end(home, site);
        }
        self.look_for_given_up(site);
        let may_begin = !site.out_of_service && (!pace.paused || self.forced_until > now);
        let homes: Vec<NodeId> = self.kept.keys().copied().collect();
        for home in homes {
            let is_due = self.due.get(&home).is_none_or(|&due| due <= now);
            if !is_due || self.deliveries.contains_key(&home) || !self.may_be_sent(home, site) {
                continue;
            }
            if may_begin {
                self.deliver(home, site);
            } else {
                self.due.insert(home, now.plus_ms(RETRY_MS));
            }
        }
    }

    /// Sends the next hints of one partition to their home, and to as many other homes as w asks for: who holds them already
    /// writes nothing.
    fn deliver(&mut self, home: NodeId, site: &mut Site) {
        let mut records: Vec<(RecordKey, Arc<Record>)> = Vec::new();
        let mut to: SmallVec<[NodeId; 3]> = SmallVec::new();
        let mut bytes = 0;
        let mut served: Vec<(RecordKey, Arc<Record>)> = Vec::new();
        let is_home_up = site.peers.is_up(home);
        for (key, hint) in self.in_turn(home) {
            if records.len() >= BATCH_RECORDS_MAX || bytes >= BATCH_BYTES_MAX {
                break;
            }
            let is_for_now = is_home_up || self.is_given_up(home, key, hint.since, site);
            if hint.durable.as_ref() != Some(&hint.record) || !is_for_now {
                continue;
            }
            if let Some((first, _)) = records.first()
                && (first.partition(), first.bucket()) != (key.partition(), key.bucket())
            {
                break;
            }
            let missing = self.missing(home, key, hint, site);
            if missing.is_empty() && self.may_go(home, key, hint, site) {
                served.push((key.clone(), Arc::clone(&hint.record)));
            }
            if missing.is_empty() || (!records.is_empty() && missing != to) {
                continue;
            }
            to = missing;
            bytes += weight(key, &hint.record);
            records.push((key.clone(), Arc::clone(&hint.record)));
        }
        for (key, record) in served {
            self.delivered += u64::from(self.forget(home, &key, &record, site));
        }
        let Some((last, _)) = records.last() else {
            self.sent_up_to.remove(&home);
            self.due.insert(home, site.now.time.plus_ms(RETRY_MS));
            return;
        };
        self.sent_up_to.insert(home, last.clone());
        self.op = self.op.wrapping_add(1);
        let op = OpId(self.op);
        site.ask_merge(&to, Some((op, 0)), records.clone());
        let delivery = Delivery {
            op,
            sent_at: site.now.time,
            records,
            bytes: (bytes * to.len()) as u64,
            waiting: to,
            failed: false,
        };
        if active(Mutant::HintDroppedWhenSent) {
            for (key, record) in &delivery.records {
                self.forget(home, key, record, site);
            }
        }
        self.deliveries.insert(home, delivery);
    }

    /// The hints of a home, those first that come after the last that was sent.
    fn in_turn(&self, home: NodeId) -> impl Iterator<Item = (&RecordKey, &Hint)> {
        let of_home = self.kept.get(&home);
        let from = self.sent_up_to.get(&home);
        let after = of_home.into_iter().flat_map(move |hints| {
            let start = from.map_or(Bound::Unbounded, Bound::Excluded);
            hints.range::<RecordKey, _>((start, Bound::Unbounded))
        });
        let before = of_home.into_iter().flat_map(move |hints| {
            let end = from.map(|from| hints.range::<RecordKey, _>((Bound::Unbounded, Bound::Included(from))));
            end.into_iter().flatten()
        });
        after.chain(before)
    }

    /// Whom to send a hint to: its home, if that has not confirmed it, and other homes until w would hold it.
    fn missing(&self, home: NodeId, key: &RecordKey, hint: &Hint, site: &Site) -> SmallVec<[NodeId; 3]> {
        let (homes, need) = homes_and_need(key, site);
        let mut tally = Tally::new(&homes, need);
        hint.confirmed.iter().for_each(|&node| tally.count(node));
        let mut to: SmallVec<[NodeId; 3]> = SmallVec::new();
        let own = homes.iter().filter(|other| other.node == home);
        for other in own.chain(homes.iter().filter(|other| other.node != home)) {
            let is_wanted = other.node == home || tally.verdict() != Verdict::Reached;
            if is_wanted && !hint.confirmed.contains(&other.node) && site.peers.is_up(other.node) {
                tally.count(other.node);
                to.push(other.node);
            }
        }
        to
    }

    /// A node answers a write; true if it was a delivery of hints.
    pub fn on_reply(&mut self, from: NodeId, reply: &WriteReply, site: &mut Site) -> bool {
        let Some(home) = self.delivery_of(reply.op) else {
            return false;
        };
        match reply.result {
            WriteResult::Done { .. } => self.on_confirmed(home, from),
            WriteResult::DiskFull | WriteResult::Failed => self.on_failed(home, from),
        }
        self.end_if_answered(home, site);
        true
    }

    /// A node refuses an operation; true if it was a delivery of hints.
    pub fn on_refused(&mut self, from: NodeId, op: OpId, site: &mut Site) -> bool {
        let Some(home) = self.delivery_of(op) else {
            return false;
        };
        self.on_failed(home, from);
        self.end_if_answered(home, site);
        true
    }

    /// A node went away: what was sent to it may or may not have arrived, and is sent again.
    pub fn on_peer_down(&mut self, node: NodeId, site: &mut Site) {
        let homes: Vec<NodeId> = self.deliveries.keys().copied().collect();
        for home in homes {
            self.on_failed(home, node);
            self.end_if_answered(home, site);
        }
        self.due.remove(&node);
    }

    fn delivery_of(&self, op: OpId) -> Option<NodeId> {
        let found = self.deliveries.iter().find(|delivery| delivery.1.op == op);
        found.map(|delivery| *delivery.0)
    }

    /// A home holds durably what was sent. Of hints that have changed since it says nothing.
    fn on_confirmed(&mut self, home: NodeId, by: NodeId) {
        let Some(delivery) = self.deliveries.get_mut(&home) else {
            return;
        };
        if !delivery.waiting.contains(&by) {
            return;
        }
        delivery.waiting.retain(|node| *node != by);
        let Some(of_home) = self.kept.get_mut(&home) else {
            return;
        };
        for (key, record) in &delivery.records {
            if let Some(hint) = of_home.get_mut(key)
                && (hint.record == *record || active(Mutant::NewerHintDropped))
                && !hint.confirmed.contains(&by)
            {
                hint.confirmed.push(by);
            }
        }
    }

    fn on_failed(&mut self, home: NodeId, by: NodeId) {
        if let Some(delivery) = self.deliveries.get_mut(&home) {
            delivery.failed |= delivery.waiting.contains(&by);
            delivery.waiting.retain(|node| *node != by);
        }
    }

    fn end_if_answered(&mut self, home: NodeId, site: &mut Site) {
        let delivery = self.deliveries.get(&home);
        if delivery.is_some_and(|delivery| delivery.waiting.is_empty()) {
            self.end(home, site);
        }
    }

    /// A delivery is over: what enough homes hold is forgotten.
    fn end(&mut self, home: NodeId, site: &mut Site) {
        let Some(delivery) = self.deliveries.remove(&home) else {
            return;
        };
        let now = site.now.time;
        if delivery.failed || !delivery.waiting.is_empty() {
            self.due.insert(home, now.plus_ms(RETRY_MS));
        } else {
            // A home that takes long is given as much time again: it has clients too.
            let took_us = now.0.saturating_sub(delivery.sent_at.0);
            let pause_us = site.background.hints.microseconds_for(delivery.bytes).max(took_us);
            self.due.insert(home, Time(now.0.saturating_add(pause_us)));
        }
        for (key, record) in &delivery.records {
            let hint = self.kept.get(&home).and_then(|of_home| of_home.get(key));
            if hint.is_some_and(|hint| self.may_go(home, key, hint, site)) {
                self.delivered += u64::from(self.forget(home, key, record, site));
            }
        }
    }

    /// Its home holds it, or is not waited for any longer; and w homes hold it.
    fn may_go(&self, home: NodeId, key: &RecordKey, hint: &Hint, site: &Site) -> bool {
        let (homes, need) = homes_and_need(key, site);
        let mut tally = Tally::new(&homes, need);
        hint.confirmed.iter().for_each(|&node| tally.count(node));
        let is_home_served = hint.confirmed.contains(&home) || self.is_given_up(home, key, hint.since, site);
        is_home_served && tally.verdict() == Verdict::Reached
    }

    /// Forgets a hint that is still exactly what was delivered.
    fn forget(&mut self, home: NodeId, key: &RecordKey, record: &Arc<Record>, site: &mut Site) -> bool {
        let Some(of_home) = self.kept.get_mut(&home) else {
            return false;
        };
        let is_unchanged = of_home.get(key).is_some_and(|hint| hint.record == *record);
        if !is_unchanged && !active(Mutant::NewerHintDropped) {
            return false;
        }
        let Some(hint) = of_home.remove(key) else { return false };
        self.bytes -= weight(key, &hint.record);
        if of_home.is_empty() {
            self.kept.remove(&home);
            self.sent_up_to.remove(&home);
        }
        let token = site.ask_store(StoreOp::PutMeta(Meta::Delivered(home, key.clone())));
        self.forgetting.insert(token, (home, key.clone()));
        true
    }
}

/// The homes of a record, and how many of them its bucket wants to hold a write. A bucket that is gone wants none.
fn homes_and_need(key: &RecordKey, site: &Site) -> (SmallVec<[Home; 3]>, Need) {
    let Some(bucket) = site.catalog.bucket(key.bucket()) else {
        return (SmallVec::new(), Need::Any(0));
    };
    let homes = site.ring.homes(key.partition(), bucket.n);
    let local = homes.first().map_or(DcId::default(), |home| home.dc);
    let need = bucket.w.need(&homes, local);
    let need = need.unwrap_or(Need::Any(homes.len() as u8));
    (homes, need)
}

fn weight(key: &RecordKey, record: &Record) -> usize {
    key.as_bytes().len() + record.weight() + OVERHEAD_BYTES
}

fn answer(to: NodeId, op: Option<OpId>, attempt: u16, result: WriteResult, site: &mut Site) {
    if let Some(op) = op {
        site.send(&[to], Message::WriteReply(WriteReply { op, attempt, result }));
    }
}
