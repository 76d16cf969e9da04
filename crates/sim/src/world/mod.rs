//! The simulated world: hosts with a node, a disk and clocks each, and a network between them, driven by one queue of
//! events in virtual time. Everything that happens follows from the seed.

pub mod clock;
pub mod disk;
pub mod image;
pub mod lifecycle;
pub mod network;
mod storing;
pub mod trace;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use torc_core::bucket::{Catalog, Durability, StorageClass};
use torc_core::causality::Record;
use torc_core::command::{Command, Request};
use torc_core::effect::{Effect, Input, Notice, Outbox};
use torc_core::id::{NodeId, RequestId, Token};
use torc_core::key::RecordKey;
use torc_core::message::Envelope;
use torc_core::node::Node;
use torc_core::outcome::Outcome;
use torc_core::ring::{Member, Ring};
use torc_core::storage::{HintMemory, StoreError, StoreOp, StoreReply};
use torc_core::time::Time;
use torc_core::wire::{Frame, FrameDecoder, encode_frame};

use crate::chance::Chance;
use crate::places::dc_of;
use crate::scenario::Scenario;
use crate::world::clock::Clock;
use crate::world::disk::{Changed, Disk};
use crate::world::image::{Image, Records};
use crate::world::network::Network;
use crate::world::trace::Trace;

/// One machine.
#[derive(Debug)]
pub struct Host {
    /// Of its node.
    pub id: NodeId,
    /// The running node.
    pub node: Option<Node>,
    /// Outlives the node.
    pub disk: Disk,
    /// Its clocks.
    pub clock: Clock,
    /// Counts starts: news for an earlier one is dropped.
    pub boot: u32,
    /// The process stands still; what comes in waits.
    pub is_paused: bool,
    /// No client is let in: it is being stopped, or nobody but its peers should speak to it.
    pub is_closed: bool,
    /// The next start is with another configuration.
    pub is_misconfigured: bool,
    /// When the process stood still last, or started.
    pub undisturbed_since_us: u64,
    /// Its disk was replaced by an older copy, or lied.
    pub has_old_disk: bool,
    /// An old copy of its disk.
    pub copy: Option<Image>,
    inbox: VecDeque<Input>,
    tick_at_us: u64,
    requests: BTreeSet<RequestId>,
}

/// What a host knows of what it has lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// It rebuilds, or knows that a record is damaged.
    Known,
    /// Its disk had lied about syncs: of synced buckets it knows nothing.
    Lied,
    /// Its disk is an older copy: it knows nothing until a peer tells it.
    Replaced,
}

/// Something that those outside a node can see, or that checkers must know.
#[derive(Debug)]
pub enum Happening {
    /// A client's request is answered.
    Replied(RequestId, Outcome),
    /// The node that had a client's request is gone.
    HungUp(RequestId),
    /// A host asks its store for a record with siblings, its own or one that it keeps for another. In runs in which puts
    /// read first.
    Asked(RecordKey, Arc<Record>),
    /// A record changed in a store.
    Applied(usize, Changed),
    /// A host keeps a record for another.
    Kept(usize, Changed),
    /// A record is no more in a store, as it was.
    Removed(usize, RecordKey, Arc<Record>),
    /// A host does not keep this for another any more.
    Delivered(usize, HintMemory),
    /// A host lost some of what it was believed to hold.
    Lost {
        /// Who.
        host: usize,
        /// What it was believed to hold.
        before: Records,
        /// Records that it was believed to keep for others and does not keep any more, as they were.
        hints: Vec<RecordKey>,
        /// What it knows of that.
        loss: Loss,
    },
    /// A node says something to its operator.
    Noticed(usize, Notice),
}

/// What waits in the queue.
#[derive(Debug)]
pub enum Event {
    /// A message arrives.
    Deliver(usize, NodeId, Parcel),
    /// A node's deadline.
    Tick(usize, u32),
    /// A read reaches the store.
    Read(usize, u32, Token, StoreOp),
    /// The committer takes what was asked for.
    Commit(usize, u32),
    /// A sync is over.
    Synced(usize, u32),
    /// The periodic sync.
    Background(usize, u32),
    /// One end of a connection hears of it: host, its boot, peer, the peer's boot, generation, up.
    Link(usize, u32, usize, u32, u32, bool),
    /// A host starts.
    Boot(usize, u32),
    /// A paused host goes on.
    Resume(usize, u32),
    /// A stopping host looks whether it is drained; how often it has.
    Drain(usize, u32, u32),
    /// For whoever drives the world: clients, faults.
    Outside(Alarm),
}

/// An appointment of somebody outside the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alarm {
    /// A client, and which of its waits this is.
    Client(usize, u64),
    /// A Redis client, and which of its waits this is.
    Redis(usize, u64),
    /// A crowd of them, and which of its waits this is.
    Crowd(u64),
    /// Operators look for what may be forgotten.
    Reap,
    /// The next fault begins.
    Fault,
    /// A fault ends; which one.
    Mend(usize),
}

/// A message on its way, as it is or as bytes.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// As it is.
    Envelope(Box<Envelope>),
    /// As a frame.
    Frame(Bytes),
}

#[derive(Debug)]
struct Queued {
    at_us: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_us, self.order).cmp(&(other.at_us, other.order))
    }
}

/// See the module.
#[derive(Debug)]
pub struct World {
    /// What it was drawn from.
    pub scenario: Scenario,
    /// The machines.
    pub hosts: Vec<Host>,
    /// Between them.
    pub network: Network,
    /// What happened so far.
    pub trace: Trace,
    /// For the driver to look at after each event.
    pub happenings: Vec<Happening>,
    /// The buckets.
    pub catalog: Arc<Catalog>,
    /// Where keys live.
    pub ring: Arc<Ring>,
    /// The true time, in microseconds.
    pub now_us: u64,
    index_of: BTreeMap<NodeId, usize>,
    queue: BinaryHeap<Reverse<Queued>>,
    order: u64,
    chance: Chance,
    /// Decides which reads fail: of its own, so that it moves nothing else.
    read_chance: Chance,
    next_request: u64,
    generation: u32,
    last_boot_us: Vec<u64>,
}

impl World {
    /// Hosts that are all about to start.
    #[must_use]
    pub fn new(scenario: Scenario, keeps_words: bool) -> Self {
        let mut chance = Chance::new(scenario.seed, 3);
        let read_chance = Chance::new(scenario.seed, 16);
        let catalog = Arc::new(Catalog::new(scenario.buckets.iter().cloned()));
        let members: Vec<Member> = (1..=scenario.nodes)
            .map(|number| member(number, scenario.dcs))
            .collect();
        let ring = Arc::new(Ring::new(members.clone(), scenario.partitions, &catalog));
        let hosts: Vec<Host> = members
            .iter()
            .map(|member| host(member.id, &scenario, &mut chance))
            .collect();
        let index_of = hosts.iter().enumerate().map(|(index, host)| (host.id, index)).collect();
        let count = hosts.len();
        let mut world = Self {
            network: Network::new(count, scenario.network.clone(), scenario.seed),
            trace: Trace::new(count, keeps_words),
            scenario,
            hosts,
            happenings: Vec::new(),
            catalog,
            ring,
            now_us: 0,
            index_of,
            queue: BinaryHeap::new(),
            order: 0,
            chance,
            read_chance,
            next_request: 0,
            generation: 0,
            last_boot_us: vec![0; count],
        };
        for index in 0..count {
            let at = world.chance.between(0, 200_000);
            world.schedule(at, Event::Boot(index, 0));
        }
        world
    }

    /// Queues an event at a true time.
    pub fn schedule(&mut self, at_us: u64, event: Event) {
        self.order += 1;
        let order = self.order;
        self.queue.push(Reverse(Queued { at_us, order, event }));
    }

    /// The host of a node.
    #[must_use]
    pub fn index_of(&self, node: NodeId) -> usize {
        self.index_of[&node]
    }

    /// Lets the next event happen, unless it is later than `until_us`; an alarm is handed out.
    pub fn advance(&mut self, until_us: u64) -> Option<Option<Alarm>> {
        if self.queue.peek()?.0.at_us > until_us {
            self.now_us = until_us;
            return None;
        }
        let Reverse(Queued { at_us, event, .. }) = self.queue.pop()?;
        self.now_us = at_us;
        if let Event::Outside(alarm) = event {
            return Some(Some(alarm));
        }
        self.on_event(event);
        Some(None)
    }

    /// Hands a client's command to a node; `None` if nobody listens there.
    pub fn request(&mut self, host: usize, command: Command) -> Option<RequestId> {
        if self.hosts[host].node.is_none() || self.hosts[host].is_closed {
            return None;
        }
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.hosts[host].requests.insert(id);
        if !self.answer_now(host, id, &command) {
            self.step(host, Input::Request(Request { id, command }));
        }
        Some(id)
    }

    /// As a running node: a read that needs no step is answered without one.
    fn answer_now(&mut self, host: usize, request: RequestId, command: &Command) -> bool {
        let now = self.hosts[host].clock.now(self.now_us);
        let Host {
            node: Some(node),
            disk,
            is_paused: false,
            ..
        } = &mut self.hosts[host]
        else {
            return false;
        };
        let Some(outcome) = node.answer_now(now, command, disk) else {
            return false;
        };
        let mut out = Outbox::new();
        out.push(Effect::Reply { request, outcome });
        self.perform(host, out);
        true
    }

    /// What a host would read of a record, whether it is durable or not.
    #[must_use]
    pub fn current(&self, host: usize, key: &RecordKey) -> Option<&Arc<Record>> {
        self.hosts[host].disk.current(key, self.class_of(key))
    }

    /// What a host's answers so far let others believe that it holds of a record: what it said was durable; in buffered
    /// and memory buckets what it applied.
    #[must_use]
    pub fn believed(&self, host: usize, key: &RecordKey) -> Option<&Arc<Record>> {
        let disk = &self.hosts[host].disk;
        let bucket = self.catalog.bucket(key.bucket());
        let is_synced = bucket
            .is_some_and(|bucket| bucket.durability == Durability::Synced && bucket.storage == StorageClass::Disk);
        if is_synced {
            disk.believed(key)
        } else {
            disk.current(key, self.class_of(key))
        }
    }

    /// What a host keeps of a record for its homes, and is believed to be durable.
    pub fn kept<'a>(&'a self, host: usize, key: &'a RecordKey) -> impl Iterator<Item = &'a Record> {
        self.kept_for(host, key).map(|(_, record)| record)
    }

    /// The same, with the home that it is kept for.
    pub fn kept_for<'a>(&'a self, host: usize, key: &'a RecordKey) -> impl Iterator<Item = (usize, &'a Record)> {
        let hints = self.hosts[host].disk.believed_hints();
        let of_key = hints.iter().filter(move |hint| hint.0.1 == *key);
        of_key.map(|hint| (self.index_of(hint.0.0), &**hint.1))
    }

    /// Where a record's bucket lives.
    #[must_use]
    pub fn class_of(&self, key: &RecordKey) -> StorageClass {
        let bucket = self.catalog.bucket(key.bucket());
        bucket.map_or(StorageClass::Disk, |bucket| bucket.storage)
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Deliver(to, from, parcel) => {
                if self.hosts[to].node.is_some() {
                    let envelope = open(parcel);
                    self.step(to, Input::Message { from, envelope });
                }
            }
            Event::Tick(host, boot) => {
                if self.is_boot(host, boot) && self.hosts[host].tick_at_us <= self.now_us {
                    self.hosts[host].tick_at_us = u64::MAX;
                    self.step(host, Input::Tick);
                }
            }
            Event::Read(host, boot, token, op) => {
                if self.is_boot(host, boot) {
                    let reply = match &op {
                        _ if self.is_read_lost(host, &op) => StoreReply::Failed(StoreError::Unreadable),
                        StoreOp::Discard(spoiled) => self.discard(host, spoiled),
                        StoreOp::Get { .. }
                        | StoreOp::Scan { .. }
                        | StoreOp::Scrub { .. }
                        | StoreOp::Commit { .. }
                        | StoreOp::PutMeta(_) => self.hosts[host].disk.read(&op),
                    };
                    self.step(host, Input::Stored { token, reply });
                }
            }
            Event::Commit(host, boot) => self.commit(host, boot),
            Event::Synced(host, boot) => {
                if self.is_boot(host, boot) {
                    let (answers, has_more) = self.hosts[host].disk.finish_sync();
                    if has_more {
                        self.schedule(self.now_us, Event::Commit(host, boot));
                    }
                    self.answer(host, answers);
                }
            }
            Event::Background(host, boot) => {
                if self.is_boot(host, boot) {
                    self.hosts[host].disk.sync_in_background();
                    let at = self.now_us + self.scenario.disk.interval_us;
                    self.schedule(at, Event::Background(host, boot));
                }
            }
            Event::Link(host, boot, peer, peer_boot, generation, up) => {
                self.on_link(host, boot, peer, peer_boot, generation, up);
            }
            Event::Boot(host, boot) => {
                if self.is_boot(host, boot) {
                    self.boot(host);
                }
            }
            Event::Resume(host, boot) => {
                if self.is_boot(host, boot) {
                    self.resume(host);
                }
            }
            Event::Drain(host, boot, times) => self.drain(host, boot, times),
            Event::Outside(_) => {}
        }
    }

    fn is_boot(&self, host: usize, boot: u32) -> bool {
        self.hosts[host].boot == boot
    }

    /// Hands an input to a node, now or when it goes on.
    pub(crate) fn step(&mut self, host: usize, input: Input) {
        if self.hosts[host].is_paused {
            self.hosts[host].inbox.push_back(input);
            return;
        }
        let now = self.hosts[host].clock.now(self.now_us);
        let Host {
            node: Some(node), disk, ..
        } = &mut self.hosts[host]
        else {
            return;
        };
        self.trace.input(self.now_us, host, &input);
        let mut out = Outbox::new();
        match input {
            // As a running node: with what its store has at hand.
            Input::Request(request) => node.request(now, request, disk, &mut out),
            input => node.step(now, input, &mut out),
        }
        let deadline = node.next_deadline();
        self.perform(host, out);
        self.schedule_tick(host, deadline);
    }

    fn schedule_tick(&mut self, host: usize, deadline: Time) {
        let Host {
            clock,
            tick_at_us,
            boot,
            ..
        } = &mut self.hosts[host];
        if deadline == Time::NEVER {
            return;
        }
        let at = clock.true_us(deadline).max(self.now_us);
        if at < *tick_at_us {
            *tick_at_us = at;
            let boot = *boot;
            self.schedule(at, Event::Tick(host, boot));
        }
    }

    fn perform(&mut self, host: usize, mut out: Outbox) {
        while let Some(effect) = out.pop() {
            self.trace.effect(self.now_us, host, &effect);
            match effect {
                Effect::Send { to, envelope } => {
                    let parcel = self.pack(envelope);
                    for node in to {
                        self.send(host, node, &parcel);
                    }
                }
                Effect::Store { token, op } => self.store(host, token, op),
                Effect::Reply { request, outcome } => {
                    assert!(
                        self.hosts[host].requests.remove(&request),
                        "a request is answered once, by the node that got it"
                    );
                    self.happenings.push(Happening::Replied(request, outcome));
                }
                Effect::Reconnect { node } => {
                    let peer = self.index_of(node);
                    self.disconnect(host, peer);
                    self.connect(host, peer);
                }
                Effect::Notice(notice) => self.happenings.push(Happening::Noticed(host, notice)),
            }
        }
    }

    fn pack(&self, envelope: Envelope) -> Parcel {
        if !self.scenario.network.is_encoded {
            return Parcel::Envelope(Box::new(envelope));
        }
        let mut bytes = BytesMut::new();
        encode_frame(&envelope, &mut bytes).expect("what a node sends can be encoded");
        Parcel::Frame(bytes.freeze())
    }

    fn send(&mut self, from: usize, to: NodeId, parcel: &Parcel) {
        let to = self.index_of[&to];
        let sender = self.hosts[from].id;
        for delay_us in self.network.arrivals(from, to) {
            let at = self.now_us + delay_us;
            self.schedule(at, Event::Deliver(to, sender, parcel.clone()));
        }
    }
}

fn open(parcel: Parcel) -> Envelope {
    match parcel {
        Parcel::Envelope(envelope) => *envelope,
        Parcel::Frame(bytes) => {
            let mut buffer = BytesMut::from(&bytes[..]);
            match FrameDecoder::new().next_frame(&mut buffer) {
                Ok(Some(Frame::Envelope(envelope))) => *envelope,
                other => panic!("a frame that a node sent is read as {other:?}"),
            }
        }
    }
}

fn member(number: usize, dcs: usize) -> Member {
    let name = format!("n{number}");
    Member {
        id: NodeId::of_name(&name),
        name: name.as_str().into(),
        dc: format!("dc{}", dc_of(number - 1, dcs) + 1).as_str().into(),
        // Neighbours stand in different racks, also those of one data centre.
        rack: format!("r{}", if dcs == 1 { number % 3 } else { number / dcs % 3 })
            .as_str()
            .into(),
        capacity: 1,
    }
}

fn host(id: NodeId, scenario: &Scenario, chance: &mut Chance) -> Host {
    let skew = chance.below(scenario.skew_ms_max + 1) as i64;
    let drift = chance.below(2 * scenario.drift_ppm_max + 1) as i64 - scenario.drift_ppm_max as i64;
    Host {
        id,
        node: None,
        disk: Disk::default(),
        clock: Clock {
            offset_ms: skew,
            drift_ppm: drift,
            origin_us: 0,
            booted_us: 0,
        },
        boot: 0,
        is_paused: false,
        is_closed: false,
        is_misconfigured: false,
        undisturbed_since_us: 0,
        has_old_disk: false,
        copy: None,
        inbox: VecDeque::new(),
        tick_at_us: u64::MAX,
        requests: BTreeSet::new(),
    }
}
