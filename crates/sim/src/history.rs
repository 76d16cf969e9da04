//! What the clients know: every put with what its client had seen, how it ended, and what is promised of it. Built from
//! commands and outcomes; of the core's own reasoning it uses nothing.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use torc_core::bucket::{Bucket, Conflict, Durability, StorageClass};
use torc_core::causality::{ClientContext, Context, Dot, Payload, Record, Stamp};
use torc_core::command::Target;
use torc_core::id::ActorId;
use torc_core::key::RecordKey;
use torc_core::quorum::QuorumSize;
use torc_core::ring::{partition_of, placement_hash};
use torc_core::time::Hlc;

use crate::shown::put_of;
use crate::signatures::Signature;
use crate::world::disk::Changed;
use crate::world::image::Records;
use crate::world::{Loss, World};

/// What orders lww writes (RULINGS 5): clock, then the actor's node, life and birth, then its counter.
pub type Order = (u64, u32, u64, u64, u64);

fn order_of(stamp: Stamp) -> Order {
    let actor = stamp.dot.actor;
    (stamp.hlc.0, actor.node.0, actor.life.0, actor.birth, stamp.dot.counter)
}

/// Index of a put or delete.
pub type PutId = usize;
/// Index of a key.
pub type KeyId = usize;

/// How a put ended, as far as its client knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Not yet.
    Pending,
    /// Its quorum has it.
    Acknowledged,
    /// It certainly was not applied.
    NotApplied,
    /// Nobody can tell.
    Unknown,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its bucket.
    pub bucket: Arc<Bucket>,
    /// Copies.
    pub n: u8,
    /// The bucket's w, as a number.
    pub w: u8,
    /// Its record's name.
    pub name: RecordKey,
    /// As commands name it.
    pub target: Target,
    /// Hosts of its homes.
    pub homes: Vec<usize>,
    /// Who may stand in for them: the nodes that follow, as many as there are homes at most.
    pub stand_ins: Vec<usize>,
    /// All puts and deletes.
    pub puts: Vec<PutId>,
    /// When a home last lost something of it.
    pub lost_at_us: Option<u64>,
    /// Client request ids used so far.
    pub request_ids: usize,
    /// Whose entries of its context an operator was told had been pruned, and at which host (RULINGS 3): old versions of
    /// theirs may come back.
    pub pruned: BTreeSet<(usize, ActorId)>,
}

impl Key {
    /// Some context of it was pruned.
    #[must_use]
    pub fn is_pruned(&self) -> bool {
        !self.pruned.is_empty()
    }

    /// Acknowledged means synced.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.bucket.durability == Durability::Synced && self.bucket.storage == StorageClass::Disk
    }

    /// Keeps siblings.
    #[must_use]
    pub fn keeps_siblings(&self) -> bool {
        self.bucket.conflict == Conflict::Siblings
    }
}

/// One put or delete.
#[derive(Debug)]
pub struct Put {
    /// Which key.
    pub key: KeyId,
    /// Writes a tombstone.
    pub is_delete: bool,
    /// It replaces what a quorum read at its home finds.
    pub reads_first: bool,
    /// No record is left that has seen what it replaced.
    pub is_cover_void: bool,
    /// What its client had been shown; of a put that reads first, what it replaced that its read could find.
    pub saw: Vec<PutId>,
    /// The token that went with it.
    pub sent: Option<ClientContext>,
    /// For retries.
    pub request: Option<String>,
    /// Its time to live, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// Answers that it waits for, at least.
    pub w: u8,
    /// By which name or number.
    pub size: QuorumSize,
    /// Homes only.
    pub strict: bool,
    /// When its first attempt was sent.
    pub started_us: u64,
    /// When its client knew how it had ended.
    pub ended_us: u64,
    /// How it ended.
    pub fate: Fate,
    /// How often it was sent.
    pub attempts: u32,
    /// An attempt's outcome is unknown.
    pub may_be_applied: bool,
    /// The token it was answered, each time.
    pub answers: Vec<ClientContext>,
    /// Dots under which it was seen in a store, or which its answers name.
    pub dots: BTreeSet<Dot>,
    /// Stamps under which its value was seen in a store (lww).
    pub stamps: BTreeSet<Order>,
    /// Every copy that was promised is gone by a fault that no store can survive.
    pub is_void: bool,
    /// It was dead, and a home has forgotten it for good.
    pub is_reaped: bool,
    /// More homes have forgotten it than a read quorum can bridge.
    pub is_quorum_void: bool,
    /// Homes that held it, lost it and knew that they had lost something.
    pub lost_by: BTreeSet<usize>,
    /// Puts whose clients had been shown this one.
    pub seen_by: Vec<PutId>,
}

impl Put {
    /// A put that is about to be sent for the first time.
    #[must_use]
    pub fn new(key: KeyId, now_us: u64) -> Self {
        Self {
            key,
            is_delete: false,
            reads_first: false,
            is_cover_void: false,
            saw: Vec::new(),
            sent: None,
            request: None,
            ttl_ms: None,
            w: 1,
            size: QuorumSize::One,
            strict: false,
            started_us: now_us,
            ended_us: now_us,
            fate: Fate::Pending,
            attempts: 1,
            may_be_applied: false,
            answers: Vec::new(),
            dots: BTreeSet::new(),
            stamps: BTreeSet::new(),
            is_void: false,
            is_reaped: false,
            is_quorum_void: false,
            lost_by: BTreeSet::new(),
            seen_by: Vec::new(),
        }
    }

    /// The clock that an lww bucket answered.
    #[must_use]
    pub fn clock(&self) -> Option<Hlc> {
        self.answers.iter().filter_map(clock_of).max()
    }

    /// May be anywhere.
    #[must_use]
    pub fn may_exist(&self) -> bool {
        self.fate != Fate::NotApplied || self.may_be_applied
    }

    /// Its time may have come by `now_us`, on the fastest sound clock.
    #[must_use]
    pub fn may_have_expired(&self, now_us: u64) -> bool {
        const SKEW_MS_MAX: u64 = 30_000;
        self.ttl_ms
            .is_some_and(|ttl_ms| self.started_us / 1_000 + ttl_ms <= now_us / 1_000 + SKEW_MS_MAX)
    }
}

/// One clear of the bucket of registers.
#[derive(Debug)]
pub struct Flush {
    /// When it was sent.
    pub started_us: u64,
    /// When its client knew how it had ended.
    pub ended_us: u64,
    /// How it ended.
    pub fate: Fate,
    /// Homes that it asks for what they hold.
    pub r: u8,
    /// Homes that hold it.
    pub w: u8,
    /// Homes only.
    pub is_strict: bool,
    /// A home lost what had cleared a partition.
    pub is_void: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct History {
    /// All keys.
    pub keys: Vec<Key>,
    /// All puts and deletes.
    pub puts: Vec<Put>,
    /// All clears.
    pub flushes: Vec<Flush>,
    /// Signatures of tombstones of which nobody knows yet whose they are.
    pub unclaimed: BTreeMap<(KeyId, Dot), Signature>,
    by_name: BTreeMap<RecordKey, KeyId>,
}

impl History {
    /// The keys of a scenario.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let mut history = Self::default();
        for bucket in world.catalog.iter() {
            for number in 0..world.scenario.load.keys {
                // Some are sort keys of one key.
                let (key, sort) = match number % 3 {
                    2 => (format!("k{}", number - 1), format!("s{number}")),
                    _ => (format!("k{number}"), String::new()),
                };
                history.add_key(bucket, &key, &sort, world);
            }
        }
        history
    }

    fn add_key(&mut self, bucket: &Arc<Bucket>, key: &str, sort: &str, world: &World) {
        let hash = placement_hash(&bucket.name, key.as_bytes());
        let partition = partition_of(hash, world.ring.partitions());
        let name = RecordKey::new(partition, bucket.id, hash, key.as_bytes(), sort.as_bytes());
        let homes: Vec<usize> = world
            .ring
            .homes(partition, bucket.n)
            .iter()
            .map(|home| world.index_of(home.node))
            .collect();
        let n = homes.len() as u8;
        let fallbacks = world.ring.preference_list(partition, bucket.n).fallbacks;
        let stand_ins = fallbacks.iter().map(|&node| world.index_of(node)).collect();
        self.by_name.insert(name.clone(), self.keys.len());
        self.keys.push(Key {
            bucket: Arc::clone(bucket),
            n,
            w: answers_of(bucket.w, n),
            name,
            target: Target {
                bucket: bucket.id,
                key: Bytes::copy_from_slice(key.as_bytes()),
                sort: Bytes::copy_from_slice(sort.as_bytes()),
            },
            homes,
            stand_ins,
            puts: Vec::new(),
            lost_at_us: None,
            request_ids: 0,
            pruned: BTreeSet::new(),
        });
    }

    /// The key of a record, if clients use it.
    #[must_use]
    pub fn key_of(&self, name: &RecordKey) -> Option<KeyId> {
        self.by_name.get(name).copied()
    }

    /// A put is about to be sent.
    pub fn begin(&mut self, put: Put) -> PutId {
        let id = self.puts.len();
        let key = &mut self.keys[put.key];
        key.puts.push(id);
        key.request_ids += usize::from(put.request.is_some());
        for &seen in &put.saw {
            self.puts[seen].seen_by.push(id);
        }
        self.puts.push(put);
        id
    }

    /// An attempt of a put is over.
    pub fn end(&mut self, id: PutId, fate: Fate, answer: Option<ClientContext>, world: &World) {
        let put = &mut self.puts[id];
        put.ended_us = world.now_us;
        put.may_be_applied |= fate == Fate::Unknown;
        put.fate = match (put.fate, fate) {
            (Fate::Acknowledged, _) | (_, Fate::Acknowledged) => Fate::Acknowledged,
            (_, Fate::NotApplied) if !put.may_be_applied => Fate::NotApplied,
            _ => Fate::Unknown,
        };
        let Some(answer) = answer else { return };
        // No home may have it yet: others may have taken it for them.
        if let Some(dot) = own_dot(put.sent.as_ref(), &answer) {
            put.dots.insert(dot);
        }
        put.answers.push(answer);
        let key = &self.keys[put.key];
        put.is_quorum_void |= key.lost_at_us.is_some_and(|at| at >= put.started_us);
        self.void_if_gone(id, world);
    }

    /// A record changed in a store: learn under which dots values travel.
    pub fn learn(&mut self, changed: &Changed) {
        match &*changed.after {
            Record::Siblings(record) => {
                for (dot, version) in &record.siblings {
                    if let Some(put) = payload_of(&version.payload)
                        && let Some(put) = self.puts.get_mut(put)
                    {
                        put.dots.insert(*dot);
                    }
                }
            }
            Record::Lww(record) => {
                if let Some(put) = payload_of(&record.payload)
                    && let Some(put) = self.puts.get_mut(put)
                {
                    put.stamps.insert(order_of(record.stamp));
                }
            }
        }
    }

    /// A host lost some of what it was believed to hold.
    pub fn on_lost(&mut self, host: usize, before: &Records, loss: Loss, world: &World) {
        for (name, record) in before {
            let after = world.believed(host, name);
            if after == Some(record) {
                continue;
            }
            if name.is_partition_head() {
                self.on_clear_lost(name, world);
            }
            let Some(key_id) = self.key_of(name) else { continue };
            let is_on_disk = self.keys[key_id].bucket.storage == StorageClass::Disk;
            let is_silent = match loss {
                Loss::Known => false,
                Loss::Lied => self.keys[key_id].is_synced(),
                Loss::Replaced => is_on_disk,
            };
            self.on_lost_record(key_id, host, record, is_silent, world);
        }
        if loss != Loss::Known {
            self.on_mark_lost(host, world);
            self.on_rolled_back(host, world);
        }
    }

    /// A home lost what had cleared a partition: what that hides is as if the home had lost it.
    fn on_clear_lost(&mut self, head: &RecordKey, world: &World) {
        self.flushes.iter_mut().for_each(|flush| flush.is_void = true);
        let place = (head.partition(), head.bucket());
        let hidden = |key: &&mut Key| (key.name.partition(), key.name.bucket()) == place;
        for key in self.keys.iter_mut().filter(hidden) {
            key.lost_at_us = Some(world.now_us);
        }
    }

    /// The only copy of some keys is an older one: nobody else remembers what had been forgotten of them.
    fn on_rolled_back(&mut self, host: usize, world: &World) {
        for key in self.keys.iter_mut().filter(|key| key.homes == [host]) {
            key.lost_at_us = Some(world.now_us);
            for &id in &key.puts {
                self.puts[id].is_reaped = false;
            }
        }
    }

    /// A home has forgotten a dead record: nothing of it is promised any more, but that it does not come back.
    pub fn on_reaped(&mut self, name: &RecordKey, record: &Record) {
        let Some(key) = self.key_of(name) else { return };
        for id in self.keys[key].puts.clone() {
            if self.holds(id, Some(record)) {
                let put = &mut self.puts[id];
                put.is_reaped = true;
                put.is_void = true;
                put.is_quorum_void = true;
            }
        }
    }

    /// A home has taken entries out of a context because all homes hold the same. What they stood for is promised no more,
    /// but that it does not come back.
    pub fn on_folded(&mut self, changed: &Changed) {
        let Some(key) = self.key_of(&changed.key) else { return };
        for id in self.keys[key].puts.clone() {
            if self.holds(id, changed.before.as_deref()) && !self.holds(id, Some(&changed.after)) {
                let put = &mut self.puts[id];
                put.is_reaped = true;
                put.is_void = true;
                put.is_quorum_void = true;
            }
        }
    }

    /// A host has said that it pruned a context.
    pub fn on_pruned(&mut self, host: usize, name: &RecordKey, dropped: &[ActorId]) {
        let Some(key) = self.key_of(name) else { return };
        self.keys[key].pruned.extend(dropped.iter().map(|actor| (host, *actor)));
    }

    /// True if some home has pruned a dot of this put: whether others hold it does not show any more.
    #[must_use]
    pub fn was_pruned(&self, id: PutId) -> bool {
        let put = &self.puts[id];
        let mut pruned = self.keys[put.key].pruned.iter();
        pruned.any(|(_, actor)| put.dots.iter().any(|dot| dot.actor == *actor))
    }

    /// A host lost what it kept of these records for others. That may have been all there was.
    pub fn on_hints_lost(&mut self, names: &[RecordKey], world: &World) {
        for key in names.iter().filter_map(|name| self.key_of(name)).collect::<Vec<_>>() {
            self.keys[key].lost_at_us = Some(world.now_us);
            self.look_for_covers(key, world);
            for id in self.keys[key].puts.clone() {
                if self.puts[id].fate == Fate::Acknowledged {
                    self.void_if_gone(id, world);
                }
            }
        }
    }

    /// A host keeps a hint no longer. Where the homes have lost the record since, that was all there was: a host on an older
    /// disk delivers nothing that it finds there.
    pub fn on_hint_gone(&mut self, name: &RecordKey, world: &World) {
        let Some(key) = self.key_of(name) else { return };
        if self.keys[key].lost_at_us.is_none() {
            return;
        }
        self.look_for_covers(key, world);
        for id in self.keys[key].puts.clone() {
            if self.puts[id].fate == Fate::Acknowledged {
                self.void_if_gone(id, world);
            }
        }
    }

    /// What a host knew to have lost it knows no longer: its disk is one that had not lost it yet, or never had it.
    fn on_mark_lost(&mut self, host: usize, world: &World) {
        for id in 0..self.puts.len() {
            let name = &self.keys[self.puts[id].key].name;
            let is_back = self.holds(id, world.believed(host, name).map(AsRef::as_ref));
            let put = &mut self.puts[id];
            put.is_quorum_void |= put.lost_by.contains(&host) && !is_back;
        }
    }

    fn on_lost_record(&mut self, key_id: KeyId, host: usize, before: &Record, is_silent: bool, world: &World) {
        self.keys[key_id].lost_at_us = Some(world.now_us);
        self.look_for_covers(key_id, world);
        for id in self.keys[key_id].puts.clone() {
            if self.puts[id].fate != Fate::Acknowledged || !self.holds(id, Some(before)) {
                continue;
            }
            if self.holds(id, world.believed(host, &self.keys[key_id].name).map(AsRef::as_ref)) {
                continue;
            }
            let key = &self.keys[key_id];
            let holders = self.holders(id, world).into_iter().filter(|&home| home != host).count();
            // A rebuild reads n−w+1 complete homes, or all others. If w homes had it, those who have lost it are rebuilding,
            // and of the others fewer than n−w+1 never had it. A put of its own, smaller w leaves more of those: then the
            // rebuild is sure to meet w−1 holders.
            let had_w = self.puts[id].w >= key.w;
            let is_bridged = !is_silent && holders > 0 && (had_w || holders + 1 >= usize::from(key.w));
            self.puts[id].is_quorum_void |= !is_bridged;
            self.puts[id].lost_by.insert(host);
            self.void_if_gone(id, world);
        }
    }

    fn void_if_gone(&mut self, id: PutId, world: &World) {
        if self.holders(id, world).is_empty() && self.keepers(id, world).next().is_none() {
            self.puts[id].is_void = true;
            self.puts[id].is_quorum_void = true;
        }
    }

    /// The homes that hold a put, or something that replaced it.
    #[must_use]
    pub fn holders(&self, id: PutId, world: &World) -> Vec<usize> {
        let key = &self.keys[self.puts[id].key];
        let holds = |&&home: &&usize| self.holds(id, world.believed(home, &key.name).map(AsRef::as_ref));
        key.homes.iter().filter(holds).copied().collect()
    }

    /// The stand-ins that keep a put, or something that replaced it, for some home.
    pub fn keepers<'a>(&'a self, id: PutId, world: &'a World) -> impl Iterator<Item = usize> + 'a {
        self.keepers_for(id, world, |_| true)
    }

    /// Those that keep it for homes of a kind.
    pub fn keepers_for<'a>(
        &'a self,
        id: PutId,
        world: &'a World,
        is_for: impl Fn(usize) -> bool + 'a,
    ) -> impl Iterator<Item = usize> + 'a {
        let key = &self.keys[self.puts[id].key];
        let keeps = move |&host: &usize| {
            let mut kept = world.kept_for(host, &key.name);
            kept.any(|(home, record)| is_for(home) && self.holds(id, Some(record)))
        };
        key.stand_ins.iter().copied().filter(keeps)
    }

    /// True if a record holds a put, or something that replaced it.
    #[must_use]
    pub fn holds(&self, id: PutId, record: Option<&Record>) -> bool {
        let put = &self.puts[id];
        match record {
            None => false,
            Some(Record::Siblings(record)) => put.dots.iter().any(|&dot| covers(&record.seen, dot)),
            Some(Record::Lww(record)) => put.clock().is_some_and(|clock| {
                let answered = put.stamps.iter().rev().find(|stamp| stamp.0 == clock.0);
                let stands = order_of(record.stamp);
                answered.map_or(stands.0 >= clock.0, |answered| stands >= *answered)
            }),
        }
    }

    /// Every put of a key, in words.
    #[must_use]
    pub fn story_of(&self, key: KeyId) -> String {
        let mut story = format!(
            "{:?}, n={}, homes {:?}:",
            self.keys[key].name, self.keys[key].n, self.keys[key].homes
        );
        for &id in &self.keys[key].puts {
            let put = &self.puts[id];
            let dots: Vec<String> = put.dots.iter().map(|dot| short(*dot)).collect();
            story.push_str(&format!(
                "\n  {:.6}–{:.6} {} {id} w={} {:?} ×{} saw {:?} as {dots:?}{}{}{}",
                put.started_us as f64 / 1e6,
                put.ended_us as f64 / 1e6,
                if put.is_delete { "delete" } else { "put" },
                put.w,
                put.fate,
                put.attempts,
                put.saw,
                put.request.as_ref().map_or("", |_| ", with an id"),
                put.ttl_ms.map_or(String::new(), |ms| format!(", for {ms} ms")),
                if put.is_void { ", all copies destroyed" } else { "" },
            ));
        }
        story
    }

    /// True if some put that may have been applied had seen this one.
    #[must_use]
    pub fn was_seen(&self, id: PutId) -> bool {
        self.puts[id].seen_by.iter().any(|&other| self.puts[other].may_exist()) || self.may_be_found(id)
    }
}

/// A dot in a few characters.
#[must_use]
pub fn short(dot: Dot) -> String {
    let Dot { actor, counter } = dot;
    format!(
        "{:02x}-{:04x}.{}:{counter}",
        actor.node.0 & 0xff,
        actor.life.0 & 0xffff,
        actor.birth
    )
}

/// The put that wrote a version.
#[must_use]
pub fn payload_of(payload: &Payload) -> Option<PutId> {
    match payload {
        Payload::Value(value) => put_of(&value.data),
        Payload::Tombstone | Payload::HashHead => None,
    }
}

/// The clock of an lww token.
#[must_use]
pub fn clock_of(context: &ClientContext) -> Option<Hlc> {
    match context {
        ClientContext::Clock(hlc) => Some(*hlc),
        ClientContext::Dots(_) => None,
    }
}

/// Whether a context has seen a dot, by the definition of RULINGS 1.
#[must_use]
pub fn covers(context: &Context, dot: Dot) -> bool {
    context
        .vector()
        .iter()
        .any(|&(actor, counter)| actor == dot.actor && dot.counter <= counter)
        || context.dots().contains(&dot)
}

/// How many answers a quorum asks for, of `n` in one data centre.
#[must_use]
pub fn answers_of(size: QuorumSize, n: u8) -> u8 {
    match size {
        QuorumSize::Count(count) => count,
        QuorumSize::One | QuorumSize::LocalOne | QuorumSize::OneIn(_) => 1,
        QuorumSize::Quorum | QuorumSize::LocalQuorum | QuorumSize::EachQuorum | QuorumSize::QuorumIn(_) => n / 2 + 1,
        QuorumSize::All => n,
    }
}

/// The dot that an answer names beyond what was sent.
fn own_dot(sent: Option<&ClientContext>, answer: &ClientContext) -> Option<Dot> {
    let ClientContext::Dots(answer) = answer else {
        return None;
    };
    let empty = Context::new();
    let sent = match sent {
        Some(ClientContext::Dots(sent)) => sent,
        Some(ClientContext::Clock(_)) | None => &empty,
    };
    let tops = answer.vector().iter().map(|&(actor, counter)| Dot { actor, counter });
    tops.chain(answer.dots().iter().copied())
        .find(|&dot| !covers(sent, dot))
}
