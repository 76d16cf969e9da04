//! How many steps a core takes per second of CPU time: three nodes that talk without delay, disks that answer at once,
//! clients that ask as fast as they are answered, nobody who checks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use torc_core::bucket::{Bucket, Catalog};
use torc_core::causality::{Record, Value};
use torc_core::command::{Command, Get, Options, Put, PutAction, PutContext, Request, Target, Ttl};
use torc_core::effect::{Effect, Input, Outbox};
use torc_core::id::{BucketId, NodeId, RequestId};
use torc_core::key::RecordKey;
use torc_core::map::FastMap;
use torc_core::node::{Node, NodeConfig};
use torc_core::ring::{Member, Ring};
use torc_core::storage::{BootState, COPIES_KNOWN, Page, Range, Scrubbed, StoreOp, StoreReply};
use torc_core::time::{Now, Time, Wall};

use crate::chance::Chance;

const NODES: usize = 3;
/// The bucket of Redis clients.
const BUCKET: BucketId = BucketId(2);
/// Clients of each node.
const CLIENTS: u64 = 50;
const KEYS: u64 = 10_000;
const VALUE_BYTES: usize = 100;
/// Bytes of a key as clients write it.
const KEY_BYTES: usize = 12;

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Calls of `Node::step`.
    pub steps: u64,
    /// Requests answered.
    pub requests: u64,
}

struct Cluster {
    nodes: Vec<Node>,
    disks: Vec<FastMap<RecordKey, Arc<Record>>>,
    index_of: BTreeMap<NodeId, usize>,
    ids: Vec<NodeId>,
    inputs: VecDeque<(usize, Input)>,
    now: Now,
    chance: Chance,
    rate: Rate,
    value: Bytes,
}

/// Lets the cluster take at least this many steps.
#[must_use]
pub fn measure(steps: u64, seed: u64) -> Rate {
    let mut cluster = Cluster::new(seed);
    cluster.connect();
    for node in 0..NODES {
        for _ in 0..CLIENTS {
            cluster.ask(node);
        }
    }
    let start = cluster.rate;
    while cluster.rate.steps - start.steps < steps {
        // A turn of the shell: what came in meanwhile shares one reading of the clock.
        cluster.now.time.0 += 100;
        cluster.now.wall.0 += u64::from(cluster.now.time.0.is_multiple_of(1_000));
        for _ in 0..cluster.inputs.len() {
            let Some((node, input)) = cluster.inputs.pop_front() else {
                break;
            };
            cluster.step(node, input);
        }
        for node in 0..NODES {
            if cluster.nodes[node].next_deadline() <= cluster.now.time {
                cluster.step(node, Input::Tick);
            }
        }
    }
    Rate {
        steps: cluster.rate.steps - start.steps,
        requests: cluster.rate.requests - start.requests,
    }
}

impl Cluster {
    fn new(seed: u64) -> Self {
        let catalog = Arc::new(Catalog::new(Bucket::initial()));
        let members: Vec<Member> = (1..=NODES).map(member).collect();
        let ids: Vec<NodeId> = members.iter().map(|member| member.id).collect();
        let ring = Arc::new(Ring::new(members, 256, &catalog));
        let now = Now {
            time: Time(1_000_000),
            wall: Wall(1_800_000_000_000),
        };
        let mut nodes = Vec::new();
        for &id in &ids {
            let config = NodeConfig {
                id,
                ring: Arc::clone(&ring),
                catalog: Arc::clone(&catalog),
                seed: seed ^ u64::from(id.0),
            };
            let boot = BootState {
                incarnation: 2,
                rebuilding: vec![COPIES_KNOWN],
                ..BootState::default()
            };
            nodes.push(Node::new(config, boot, now, &mut Outbox::new()));
        }
        Self {
            nodes,
            disks: (0..NODES).map(|_| FastMap::default()).collect(),
            index_of: ids.iter().enumerate().map(|(index, &id)| (id, index)).collect(),
            ids,
            inputs: VecDeque::new(),
            now,
            chance: Chance::new(seed, 9),
            rate: Rate { steps: 0, requests: 0 },
            value: Bytes::from(vec![b'x'; VALUE_BYTES]),
        }
    }

    fn connect(&mut self) {
        for a in 0..NODES {
            for b in 0..NODES {
                if a != b {
                    let node = self.ids[b];
                    self.step(a, Input::Peer { node, up: true });
                }
            }
        }
        while let Some((node, input)) = self.inputs.pop_front() {
            self.step(node, input);
        }
    }

    /// The next request of a client: half reads, half writes, as plain Redis clients send them.
    fn ask(&mut self, node: usize) {
        let key = format!("key:{:0width$}", self.chance.below(KEYS), width = KEY_BYTES - 4);
        let target = Target {
            bucket: BUCKET,
            key: Bytes::from(key.into_bytes()),
            sort: Bytes::new(),
        };
        let options = Options::default();
        let command = if self.chance.percent(50) {
            Command::Get(Get { target, options })
        } else {
            Command::Put(Put {
                target,
                action: PutAction::Value(Value::plain(self.value.clone()), Ttl::Never),
                context: PutContext::Blind,
                request: None,
                options,
            })
        };
        let id = RequestId(node as u64);
        self.inputs.push_back((node, Input::Request(Request { id, command })));
    }

    fn step(&mut self, index: usize, input: Input) {
        self.rate.steps += 1;
        let mut out = Outbox::new();
        self.nodes[index].step(self.now, input, &mut out);
        while let Some(effect) = out.pop() {
            match effect {
                Effect::Send { to, envelope } => {
                    let from = self.ids[index];
                    let (last, others) = to.split_last().expect("a message has a receiver");
                    for node in others {
                        let envelope = envelope.clone();
                        self.inputs
                            .push_back((self.index_of[node], Input::Message { from, envelope }));
                    }
                    self.inputs
                        .push_back((self.index_of[last], Input::Message { from, envelope }));
                }
                Effect::Store { token, op } => {
                    let reply = self.store(index, op);
                    self.inputs.push_back((index, Input::Stored { token, reply }));
                }
                Effect::Reply { .. } => {
                    self.rate.requests += 1;
                    self.ask(index);
                }
                Effect::Notice(_) | Effect::Reconnect { .. } => {}
            }
        }
    }

    fn store(&mut self, index: usize, op: StoreOp) -> StoreReply {
        let disk = &mut self.disks[index];
        match op {
            StoreOp::Get { key, .. } => StoreReply::Record(disk.get(&key).cloned()),
            StoreOp::Commit { writes, .. } => {
                for write in writes {
                    match write.record {
                        Some(record) => disk.insert(write.key, record),
                        None => disk.remove(&write.key),
                    };
                }
                StoreReply::Done
            }
            StoreOp::PutMeta(_) => StoreReply::Done,
            StoreOp::Scan { range, records_max, .. } => StoreReply::Page(scan(disk, &range, records_max as usize)),
            StoreOp::Scrub { .. } => StoreReply::Scrubbed(Scrubbed::default()),
            StoreOp::Discard(_) => StoreReply::Done,
        }
    }
}

/// Trees are counted and compared now and then; seldom enough that a disk need not be in order for it.
fn scan(disk: &FastMap<RecordKey, Arc<Record>>, range: &Range, records_max: usize) -> Page {
    let is_within = |key: &RecordKey| {
        let name = key.as_bytes();
        key.bucket() == range.bucket && name >= &range.start[..] && range.end.as_ref().is_none_or(|end| name < &end[..])
    };
    let found = disk.iter().filter(|entry| is_within(entry.0));
    let mut records: Vec<(RecordKey, Arc<Record>)> =
        found.map(|(key, record)| (key.clone(), Arc::clone(record))).collect();
    records.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    let next = records.get(records_max).map(|entry| entry.0.to_bytes());
    records.truncate(records_max);
    Page {
        records,
        next,
        ..Page::default()
    }
}

fn member(number: usize) -> Member {
    let name = format!("n{number}");
    Member {
        id: NodeId::of_name(&name),
        name: name.as_str().into(),
        dc: "dc1".into(),
        rack: "r1".into(),
        capacity: 1,
    }
}
