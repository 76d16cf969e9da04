//! Nodes that talk without delay or loss, over disks that keep everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use torc_core::background::{PaceChange, Work};
use torc_core::bucket::{Bucket, Catalog, StorageClass};
use torc_core::causality::{ClientContext, Record, Value};
use torc_core::command::{Command, Get, Options, Put, PutAction, PutContext, Request, Target, Ttl};
use torc_core::effect::{Effect, Input, Outbox};
use torc_core::entropy::talk::EntropyTalk;
use torc_core::id::{BucketId, NodeId, RequestId};
use torc_core::key::RecordKey;
use torc_core::message::{Envelope, Message};
use torc_core::node::{Node, NodeConfig};
use torc_core::outcome::{Found, Outcome};
use torc_core::reaping::talk::ReapTalk;
use torc_core::ring::{Member, Ring, partition_of, placement_hash};
use torc_core::storage::{AtHand, BootState, Page, Scrubbed, Spoiled, StoreError, StoreOp, StoreReply};
use torc_core::time::{Now, Time, Wall};

pub const DEFAULT: BucketId = BucketId(1);
pub const REDIS: BucketId = BucketId(2);
/// Background work begins nothing new, but for runs.
pub const PAUSE: PaceChange = PaceChange {
    paused: Some(true),
    bytes_per_second: None,
    run_now: false,
};

/// It goes on.
pub const RESUME: PaceChange = PaceChange {
    paused: Some(false),
    bytes_per_second: None,
    run_now: false,
};

/// Start a run of background work.
pub const RUN: PaceChange = PaceChange {
    paused: None,
    bytes_per_second: None,
    run_now: true,
};

#[derive(Default)]
pub struct Disk {
    pub records: BTreeMap<RecordKey, Arc<Record>>,
    pub damaged: BTreeSet<RecordKey>,
    /// Sound, and not to be read for now.
    pub unreadable: BTreeSet<RecordKey>,
    pub spoiled: Vec<Spoiled>,
}

impl Disk {
    fn scrub(&mut self, from: &[u8], bytes_max: u64) -> Scrubbed {
        let mut part = Scrubbed {
            spoiled: self.spoiled.clone(),
            ..Scrubbed::default()
        };
        for (key, record) in self.records.iter().filter(|entry| entry.0.as_bytes() >= from) {
            if part.bytes >= bytes_max {
                part.next = Some(key.to_bytes());
                break;
            }
            part.bytes += record.weight() as u64;
            part.records += 1;
            part.damaged.extend(self.damaged.get(key).cloned());
        }
        part
    }

    fn is_damaged(&self, key: &RecordKey) -> bool {
        let is_within = |part: &Spoiled| (&part.first[..]..=&part.last[..]).contains(&key.as_bytes());
        self.damaged.contains(key) || self.spoiled.iter().any(is_within)
    }

    fn discard(&mut self, spoiled: &Spoiled) {
        self.records
            .retain(|key, _| key.as_bytes() < &spoiled.first[..] || key.as_bytes() > &spoiled.last[..]);
        self.damaged.retain(|key| self.records.contains_key(key));
        self.spoiled.retain(|other| other != spoiled);
    }
}

impl AtHand for Disk {
    fn at_hand(&mut self, key: &RecordKey, _: StorageClass) -> Option<Option<&Arc<Record>>> {
        if self.is_damaged(key) || self.unreadable.contains(key) {
            return None;
        }
        Some(self.records.get(key))
    }
}

pub struct Cluster {
    pub nodes: BTreeMap<NodeId, Node>,
    pub disks: BTreeMap<NodeId, Disk>,
    pub names: Vec<NodeId>,
    pub down: Vec<NodeId>,
    /// Every message arrives twice.
    pub repeats: bool,
    /// What these answer to reads and writes is lost, though they are connected and live.
    pub silent: Vec<NodeId>,
    /// The stores of these take nothing.
    pub failing: Vec<NodeId>,
    /// These are not told that contexts may be folded.
    pub misses_folds: Vec<NodeId>,
    ring: Arc<Ring>,
    catalog: Arc<Catalog>,
    now: Now,
    next_request: u64,
    outcomes: BTreeMap<RequestId, Outcome>,
    /// What is on its way: from whom, to whom.
    pub wire: VecDeque<(NodeId, NodeId, Envelope)>,
    /// How often one home named its records to another, and how many.
    pub listings: usize,
    pub named: usize,
    /// What comparisons say is lost.
    pub loses_comparisons: bool,
    /// What these ask in comparisons is lost.
    pub unheard: Vec<NodeId>,
}

impl Cluster {
    pub fn new(count: usize) -> Self {
        Self::with_partitions(count, 16)
    }

    pub fn with_partitions(count: usize, partitions: u32) -> Self {
        Self::with_buckets(count, partitions, Bucket::initial())
    }

    pub fn with_buckets(count: usize, partitions: u32, buckets: Vec<Bucket>) -> Self {
        Self::over_data_centres(&[count], partitions, buckets)
    }

    /// Nodes in data centres of these sizes: the first ones in the first.
    pub fn over_data_centres(sizes: &[usize], partitions: u32, buckets: Vec<Bucket>) -> Self {
        let catalog = Arc::new(Catalog::new(buckets));
        let places = sizes.iter().enumerate();
        let dcs = places.flat_map(|(dc, &size)| std::iter::repeat_n(dc + 1, size));
        let members: Vec<Member> = (1..)
            .zip(dcs)
            .map(|(i, dc)| {
                let name = format!("n{i}");
                Member {
                    id: NodeId::of_name(&name),
                    name: name.as_str().into(),
                    dc: format!("dc{dc}").as_str().into(),
                    rack: "r1".into(),
                    capacity: 1,
                }
            })
            .collect();
        let names: Vec<NodeId> = members.iter().map(|member| member.id).collect();
        let ring = Arc::new(Ring::new(members, partitions, &catalog));
        let now = Now {
            time: Time(1_000_000),
            wall: Wall(1_700_000_000_000),
        };
        let mut cluster = Self {
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            names: names.clone(),
            down: Vec::new(),
            repeats: false,
            silent: Vec::new(),
            failing: Vec::new(),
            misses_folds: Vec::new(),
            ring: Arc::clone(&ring),
            catalog: Arc::clone(&catalog),
            now,
            next_request: 0,
            outcomes: BTreeMap::new(),
            wire: VecDeque::new(),
            listings: 0,
            named: 0,
            loses_comparisons: false,
            unheard: Vec::new(),
        };
        for (i, &id) in names.iter().enumerate() {
            let config = NodeConfig {
                id,
                ring: Arc::clone(&ring),
                catalog: Arc::clone(&catalog),
                seed: i as u64 + 1,
            };
            let mut out = Outbox::new();
            let boot = BootState {
                incarnation: 1,
                lineage: vec![100 + i as u64],
                ..BootState::default()
            };
            let node = Node::new(config, boot, now, &mut out);
            cluster.nodes.insert(id, node);
            cluster.disks.insert(id, Disk::default());
            cluster.perform(id, out);
        }
        for &a in &names {
            for &b in &names {
                if a != b {
                    cluster.step(a, Input::Peer { node: b, up: true });
                }
            }
        }
        cluster.run_for_ms(2_000);
        cluster
    }

    pub fn run_for_ms(&mut self, ms: u64) {
        let end = self.now.time.plus_ms(ms);
        while self.now.time < end {
            self.now.time = self.now.time.plus_ms(20);
            self.now.wall.0 += 20;
            for id in self.names.clone() {
                if !self.down.contains(&id) && self.nodes[&id].next_deadline() <= self.now.time {
                    self.step(id, Input::Tick);
                }
            }
            self.deliver();
        }
    }

    /// An operator changes the settings of a kind of background work.
    pub fn control(&mut self, node: NodeId, work: Work, change: PaceChange) {
        self.step(node, Input::Control { work, change });
    }

    /// At most a minute.
    pub fn run_until(&mut self, holds: impl Fn(&Self) -> bool) {
        let give_up = self.now.time.plus_ms(60_000);
        while !holds(self) {
            assert!(self.now.time < give_up, "not within a minute");
            self.run_for_ms(20);
        }
    }

    /// The homes of a key, in order, and the nodes that may stand in for them.
    pub fn preference_list(&self, bucket: BucketId, key: &str) -> (Vec<NodeId>, Vec<NodeId>) {
        let bucket = self.catalog.bucket(bucket).expect("a bucket");
        let hash = placement_hash(&bucket.name, key.as_bytes());
        let list = self
            .ring
            .preference_list(partition_of(hash, self.ring.partitions()), bucket.n);
        (
            list.homes.iter().map(|home| home.node).collect(),
            list.fallbacks.to_vec(),
        )
    }

    pub fn cut(&mut self, node: NodeId) {
        self.down.push(node);
        for other in self.names.clone() {
            if other != node {
                self.step(other, Input::Peer { node, up: false });
                self.step(node, Input::Peer { node: other, up: false });
            }
        }
    }

    /// A node that is cut off starts anew, on the disk it has.
    pub fn restart(&mut self, id: NodeId, boot: BootState) {
        let config = NodeConfig {
            id,
            ring: Arc::clone(&self.ring),
            catalog: Arc::clone(&self.catalog),
            seed: boot.lineage.iter().sum(),
        };
        let mut out = Outbox::new();
        let node = Node::new(config, boot, self.now, &mut out);
        self.nodes.insert(id, node);
        self.perform(id, out);
    }

    /// One of those that are cut off is back.
    pub fn bring_back(&mut self, node: NodeId) {
        self.down.retain(|other| *other != node);
        for other in self.names.clone() {
            if other != node && !self.down.contains(&other) {
                self.step(other, Input::Peer { node, up: true });
                self.step(node, Input::Peer { node: other, up: true });
            }
        }
        self.deliver();
    }

    pub fn mend(&mut self) {
        for node in std::mem::take(&mut self.down) {
            for other in self.names.clone() {
                if other != node {
                    self.step(other, Input::Peer { node, up: true });
                    self.step(node, Input::Peer { node: other, up: true });
                }
            }
        }
        self.deliver();
    }

    pub fn ask(&mut self, node: NodeId, command: Command) -> Outcome {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.step(node, Input::Request(Request { id, command }));
        self.deliver();
        for _ in 0..400 {
            if let Some(outcome) = self.outcomes.remove(&id) {
                return outcome;
            }
            self.run_for_ms(20);
        }
        panic!("no outcome within eight seconds");
    }

    /// Asks without waiting for anything.
    pub fn begin(&mut self, node: NodeId, command: Command) -> RequestId {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.step(node, Input::Request(Request { id, command }));
        id
    }

    /// What became of it so far.
    pub fn outcome(&mut self, id: RequestId) -> Option<Outcome> {
        self.outcomes.remove(&id)
    }

    /// True if it is answered.
    pub fn is_answered(&self, id: RequestId) -> bool {
        self.outcomes.contains_key(&id)
    }

    /// Reads that nobody has heard yet.
    pub fn reads_on_the_wire(&self) -> usize {
        let is_read = |envelope: &Envelope| matches!(envelope.message, Message::Read(_));
        self.wire.iter().filter(|(.., envelope)| is_read(envelope)).count()
    }

    /// As [`Self::ask`], with the records that the node's disk holds at hand.
    pub fn ask_at_hand(&mut self, node: NodeId, command: Command) -> Option<Outcome> {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        let asked = self.nodes.get_mut(&node).expect("a node");
        let mut out = Outbox::new();
        asked.request(
            self.now,
            Request { id, command },
            self.disks.get_mut(&node).expect("a disk"),
            &mut out,
        );
        self.perform(node, out);
        self.deliver();
        self.outcomes.remove(&id)
    }

    /// What a node answers without a step.
    pub fn ask_now(&mut self, node: NodeId, command: &Command) -> Option<Outcome> {
        let asked = self.nodes.get_mut(&node).expect("a node");
        asked.answer_now(self.now, command, self.disks.get_mut(&node).expect("a disk"))
    }

    /// The string that a node shows without a step.
    pub fn string_now(&mut self, node: NodeId, bucket: BucketId, key: &str) -> Option<Option<Value>> {
        let asked = self.nodes.get_mut(&node).expect("a node");
        let options = Options::default();
        let shown = asked.string_now(
            self.now,
            bucket,
            key.as_bytes(),
            &options,
            self.disks.get_mut(&node).expect("a disk"),
        );
        shown.map(|value| value.cloned())
    }

    pub fn get(&mut self, node: NodeId, bucket: BucketId, key: &str) -> Found {
        match self.ask(node, get(bucket, key, Options::default())) {
            Outcome::Found(found) => *found,
            other => panic!("a get gave {other:?}"),
        }
    }

    pub fn put(
        &mut self,
        node: NodeId,
        bucket: BucketId,
        key: &str,
        value: &str,
        context: Option<ClientContext>,
    ) -> ClientContext {
        match self.ask(node, put(bucket, key, value, context, Options::default())) {
            Outcome::Written(written) => written.context,
            other => panic!("a put gave {other:?}"),
        }
    }

    pub fn step(&mut self, id: NodeId, input: Input) {
        let mut out = Outbox::new();
        self.nodes.get_mut(&id).expect("a node").step(self.now, input, &mut out);
        self.perform(id, out);
    }

    /// Does what a node wants done; its disk answers at once, and it goes on with the answers.
    fn perform(&mut self, id: NodeId, out: Outbox) {
        let mut answers = self.carry_out(id, out);
        while let Some(answer) = answers.pop() {
            let mut out = Outbox::new();
            self.nodes
                .get_mut(&id)
                .expect("a node")
                .step(self.now, answer, &mut out);
            answers.append(&mut self.carry_out(id, out));
        }
    }

    /// The answers of the disk, the first one last.
    fn carry_out(&mut self, id: NodeId, mut out: Outbox) -> Vec<Input> {
        let mut answers = Vec::new();
        while let Some(effect) = out.pop() {
            match effect {
                Effect::Send { to, envelope } => {
                    for node in to {
                        self.wire.push_back((id, node, envelope.clone()));
                    }
                }
                Effect::Store { token, op } => answers.push(Input::Stored {
                    token,
                    reply: self.store(id, op),
                }),
                Effect::Reply { request, outcome } => {
                    assert!(
                        self.outcomes.insert(request, outcome).is_none(),
                        "a request is answered once"
                    );
                }
                Effect::Notice(_) | Effect::Reconnect { .. } => {}
            }
        }
        answers.reverse();
        answers
    }

    fn store(&mut self, id: NodeId, op: StoreOp) -> StoreReply {
        let disk = self.disks.get_mut(&id).expect("a disk");
        match op {
            StoreOp::Get { key, .. } if disk.unreadable.contains(&key) => StoreReply::Failed(StoreError::Unreadable),
            StoreOp::Get { key, .. } if disk.is_damaged(&key) => StoreReply::Failed(StoreError::Damaged),
            StoreOp::Get { key, .. } => StoreReply::Record(disk.records.get(&key).cloned()),
            StoreOp::Scan { .. } if !disk.spoiled.is_empty() => StoreReply::Failed(StoreError::Damaged),
            StoreOp::Scan { .. } if !disk.unreadable.is_empty() => StoreReply::Failed(StoreError::Unreadable),
            StoreOp::Scan { range, records_max, .. } => {
                let mut page = Page::default();
                for (key, record) in &disk.records {
                    let name = key.as_bytes();
                    let past_end = range.end.as_ref().is_some_and(|end| name >= &end[..]);
                    if name < &range.start[..] || past_end || key.bucket() != range.bucket {
                        continue;
                    }
                    if page.records.len() >= records_max as usize {
                        page.next = Some(key.to_bytes());
                        break;
                    }
                    if disk.damaged.contains(key) {
                        page.damaged.push(key.clone());
                        continue;
                    }
                    page.records.push((key.clone(), Arc::clone(record)));
                }
                StoreReply::Page(page)
            }
            StoreOp::Commit { .. } if self.failing.contains(&id) => StoreReply::Failed(StoreError::OutOfService),
            StoreOp::Commit { writes, .. } => {
                for write in writes {
                    disk.damaged.remove(&write.key);
                    match write.record {
                        Some(record) => disk.records.insert(write.key, record),
                        None => disk.records.remove(&write.key),
                    };
                }
                StoreReply::Done
            }
            StoreOp::PutMeta(_) => StoreReply::Done,
            StoreOp::Scrub { from, bytes_max } => StoreReply::Scrubbed(disk.scrub(&from, bytes_max)),
            StoreOp::Discard(spoiled) => {
                disk.discard(&spoiled);
                StoreReply::Done
            }
        }
    }

    pub fn deliver(&mut self) {
        while let Some((from, to, envelope)) = self.wire.pop_front() {
            if let Message::Entropy(talk) = &envelope.message {
                let is_unheard = matches!(talk, EntropyTalk::Digests { .. }) && self.unheard.contains(&from);
                if self.loses_comparisons || is_unheard {
                    continue;
                }
                if let EntropyTalk::Keys { entries, .. } = talk {
                    self.listings += 1;
                    self.named += entries.len();
                }
            }
            let is_answer = matches!(envelope.message, Message::ReadReply(_) | Message::WriteReply(_));
            if is_answer && self.silent.contains(&from) {
                continue;
            }
            let is_fold = matches!(envelope.message, Message::Reaping(ReapTalk::Fold { .. }));
            if is_fold && self.misses_folds.contains(&to) {
                continue;
            }
            if !self.down.contains(&from) && !self.down.contains(&to) {
                if self.repeats {
                    let envelope = envelope.clone();
                    self.step(to, Input::Message { from, envelope });
                }
                self.step(to, Input::Message { from, envelope });
            }
        }
    }
}

pub fn target(bucket: BucketId, key: &str) -> Target {
    Target {
        bucket,
        key: Bytes::copy_from_slice(key.as_bytes()),
        sort: Bytes::new(),
    }
}

pub fn get(bucket: BucketId, key: &str, options: Options) -> Command {
    Command::Get(Get {
        target: target(bucket, key),
        options,
    })
}

pub fn put(bucket: BucketId, key: &str, value: &str, context: Option<ClientContext>, options: Options) -> Command {
    let value = Value::plain(Bytes::copy_from_slice(value.as_bytes()));
    Command::Put(Put {
        target: target(bucket, key),
        action: PutAction::Value(value, Ttl::Never),
        context: context.map_or(PutContext::Blind, PutContext::Seen),
        request: None,
        options,
    })
}

pub fn delete(bucket: BucketId, key: &str, context: PutContext) -> Command {
    Command::Put(Put {
        target: target(bucket, key),
        action: PutAction::Delete,
        context,
        request: None,
        options: Options::default(),
    })
}
