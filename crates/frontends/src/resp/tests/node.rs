//! One node over a store in memory, and a client of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use torc_core::bucket::{Bucket, Catalog, StorageClass};
use torc_core::causality::Record;
use torc_core::command::{Command, Options, Request};
use torc_core::effect::{Effect, Input, Outbox};
use torc_core::id::{BucketId, NodeId, RequestId};
use torc_core::key::RecordKey;
use torc_core::node::{Node, NodeConfig};
use torc_core::outcome::Outcome;
use torc_core::ring::{Member, Ring};
use torc_core::storage::{AtHand, BootState, Page, StoreOp, StoreReply};
use torc_core::time::{Now, Time, Wall};

use crate::resp::{Connection, Host, ServerFacts, Ticket};

/// A node by itself: n is 1, every command ends in the step that begins it or in the next.
pub struct World {
    node: Node,
    catalog: Arc<Catalog>,
    records: BTreeMap<RecordKey, Arc<Record>>,
    pub now: Now,
    /// Reads are answered on the spot where they can be, as in a running node.
    pub answers_now: bool,
    /// Commands in the order in which they were submitted.
    pub submitted: Vec<(Ticket, Command)>,
    waiting: VecDeque<(Ticket, Command)>,
    outcomes: BTreeMap<RequestId, Outcome>,
    next_request: u64,
    random: u64,
}

impl World {
    pub fn new() -> Self {
        Self::of(Bucket::initial())
    }

    /// A node with these buckets.
    pub fn of(buckets: Vec<Bucket>) -> Self {
        let catalog = Arc::new(Catalog::new(buckets));
        let id = NodeId::of_name("n1");
        let member = Member {
            id,
            name: "n1".into(),
            dc: "dc1".into(),
            rack: "r1".into(),
            capacity: 1,
        };
        let ring = Arc::new(Ring::new(vec![member], 4, &catalog));
        let now = Now {
            time: Time(1_000_000),
            wall: Wall(1_700_000_000_000),
        };
        let config = NodeConfig {
            id,
            ring,
            catalog: Arc::clone(&catalog),
            seed: 1,
        };
        let boot = BootState {
            incarnation: 1,
            ..BootState::default()
        };
        let mut out = Outbox::new();
        let node = Node::new(config, boot, now, &mut out);
        let mut world = Self {
            node,
            catalog,
            records: BTreeMap::new(),
            now,
            answers_now: false,
            submitted: Vec::new(),
            waiting: VecDeque::new(),
            outcomes: BTreeMap::new(),
            next_request: 0,
            random: 1,
        };
        world.perform(out);
        world.pass_ms(2_000);
        world
    }

    pub fn pass_ms(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(20) {
            self.now.time = self.now.time.plus_ms(20);
            self.now.wall.0 += 20;
            if self.node.next_deadline() <= self.now.time {
                self.step(Input::Tick);
            }
        }
    }

    fn step(&mut self, input: Input) {
        let mut out = Outbox::new();
        self.node.step(self.now, input, &mut out);
        self.perform(out);
    }

    fn perform(&mut self, mut out: Outbox) {
        let mut answers = Vec::new();
        while let Some(effect) = out.pop() {
            match effect {
                Effect::Send { .. } | Effect::Reconnect { .. } | Effect::Notice(_) => {}
                Effect::Store { token, op } => {
                    let reply = self.store(op);
                    answers.push(Input::Stored { token, reply });
                }
                Effect::Reply { request, outcome } => {
                    self.outcomes.insert(request, outcome);
                }
            }
        }
        for answer in answers {
            self.step(answer);
        }
    }

    fn store(&mut self, op: StoreOp) -> StoreReply {
        match op {
            StoreOp::Get { key, .. } => StoreReply::Record(self.records.get(&key).cloned()),
            StoreOp::Scan { range, records_max, .. } => {
                let mut page = Page::default();
                for (key, record) in &self.records {
                    let name = key.as_bytes();
                    let past_end = range.end.as_ref().is_some_and(|end| name >= &end[..]);
                    if name < &range.start[..] || past_end || key.bucket() != range.bucket {
                        continue;
                    }
                    if page.records.len() >= records_max as usize {
                        page.next = Some(key.to_bytes());
                        break;
                    }
                    page.records.push((key.clone(), Arc::clone(record)));
                }
                StoreReply::Page(page)
            }
            StoreOp::Commit { writes, .. } => {
                for write in writes {
                    match write.record {
                        Some(record) => self.records.insert(write.key, record),
                        None => self.records.remove(&write.key),
                    };
                }
                StoreReply::Done
            }
            StoreOp::PutMeta(_) => StoreReply::Done,
            StoreOp::Scrub { .. } | StoreOp::Discard(_) => unreachable!("it is over before a scrub begins"),
        }
    }

    /// Runs the oldest command that waits; its outcome.
    pub fn run_one(&mut self) -> Option<(Ticket, Outcome)> {
        self.run_nth(0)
    }

    /// Runs one of the commands that wait, whatever came before it.
    pub fn run_nth(&mut self, nth: usize) -> Option<(Ticket, Outcome)> {
        let (ticket, command) = self.waiting.remove(nth)?;
        self.next_request += 1;
        let id = RequestId(self.next_request);
        self.step(Input::Request(Request { id, command }));
        for _ in 0..1_000 {
            if let Some(outcome) = self.outcomes.remove(&id) {
                return Some((ticket, outcome));
            }
            self.pass_ms(20);
        }
        panic!("no outcome within twenty seconds");
    }

    /// How many commands wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

struct InMemory<'a>(&'a BTreeMap<RecordKey, Arc<Record>>);

impl AtHand for InMemory<'_> {
    fn at_hand(&mut self, key: &RecordKey, _: StorageClass) -> Option<Option<&Arc<Record>>> {
        Some(self.0.get(key))
    }
}

impl Host for World {
    fn answer_now(&mut self, command: &Command) -> Option<Outcome> {
        if !self.answers_now {
            return None;
        }
        self.node.answer_now(self.now, command, &mut InMemory(&self.records))
    }

    fn show_now(
        &mut self,
        bucket: BucketId,
        key: &[u8],
        options: &Options,
        show: &mut dyn FnMut(Option<&Bytes>),
    ) -> bool {
        if !self.answers_now {
            return false;
        }
        let mut at_hand = InMemory(&self.records);
        let found = self.node.string_now(self.now, bucket, key, options, &mut at_hand);
        found.map(|value| show(value.map(|value| &value.data))).is_some()
    }

    fn submit(&mut self, ticket: Ticket, command: Command) {
        self.submitted.push((ticket, command.clone()));
        self.waiting.push_back((ticket, command));
    }

    fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    fn now(&self) -> Wall {
        self.now.wall
    }

    fn facts(&self) -> ServerFacts {
        ServerFacts {
            version: "0.1.0".into(),
            node: "n1".into(),
            process_id: 7,
            port: 6379,
            uptime_seconds: 86_400,
            used_memory_bytes: 1_000,
            memory_bytes_max: 2_000,
            requests: 3,
            connections: 2,
            disk_bytes: 5,
            clients: vec![(1, "127.0.0.1:1".into()), (2, "127.0.0.1:2".into())],
        }
    }

    fn random(&mut self) -> u64 {
        self.random = self
            .random
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        self.random ^ self.random >> 31
    }
}

/// A connection, driven as the shell drives it.
pub struct Client {
    pub connection: Connection,
    pub world: World,
    input: BytesMut,
}

impl Client {
    pub fn new() -> Self {
        Self::of(World::new())
    }

    /// A client of this node.
    pub fn of(world: World) -> Self {
        Self {
            connection: Connection::new(2, "127.0.0.1:2".into()),
            world,
            input: BytesMut::new(),
        }
    }

    /// Gives bytes; nothing of the core runs yet.
    pub fn give(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.connection.receive(&mut self.input, &mut self.world);
    }

    /// Runs the core until nothing is left to do.
    pub fn settle(&mut self) {
        while self.settle_nth(0) {
            if self.connection.wants_input() && !self.input.is_empty() {
                self.connection.receive(&mut self.input, &mut self.world);
            }
        }
    }

    /// Runs one of the submitted commands. False if there is none.
    pub fn settle_nth(&mut self, nth: usize) -> bool {
        let Some((ticket, outcome)) = self.world.run_nth(nth) else {
            return false;
        };
        self.connection.on_outcome(ticket, outcome, &mut self.world);
        true
    }

    /// What was answered so far.
    pub fn taken(&mut self) -> String {
        let output = self.connection.output().split();
        String::from_utf8_lossy(&output).into_owned()
    }

    /// One inline command, its whole answer.
    pub fn ask(&mut self, line: &str) -> String {
        self.give(format!("{line}\r\n").as_bytes());
        self.settle();
        self.taken()
    }

    /// Each line is a command, ` => `, its answer with `|` for each line end (the last one left out).
    pub fn story(&mut self, story: &str) {
        for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (command, expected) = line.split_once(" => ").expect("a command and its answer");
            let answer = self.ask(command.trim());
            let shown = answer.strip_suffix("\r\n").unwrap_or(&answer).replace("\r\n", "|");
            assert_eq!(shown.trim_end(), expected, "{command}");
        }
    }
}

/// Words as an array of bulk strings.
pub fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
