//! Drives the core: hands it inputs and does what it asks. Everything here runs on the node's thread, that of its first shard.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use tokio::sync::Notify;
use torc_core::admission::AdmissionLimits;
use torc_core::background::{PaceChange, Work};
use torc_core::command::{Command, Options, PutAction, Request};
use torc_core::effect::{Effect, Input, Notice, Outbox};
use torc_core::id::{BucketId, NodeId, OpId, RequestId, Token};
use torc_core::message::{Envelope, ForwardReply, Message};
use torc_core::node::Node;
use torc_core::outcome::{Cause, Certainty, Failure, Outcome};
use torc_core::storage::{CleanMarker, StoreError, StoreHealth, StoreReply};
use torc_core::time::{Now, Time};
use torc_store::Store;

use super::clock::Clock;
use super::hot_keys::HotKeys;
use super::links::{Links, Postponed, Resumed};
use super::measures::{Measures, Operation};
use super::notices;
use super::waiters::{Slots, Waiter, Waiting};

/// How long a client should wait before it tries again when too many bytes are in flight, in milliseconds.
const RETRY_AFTER_MS: u32 = 100;

/// A node's core with its store, its peers and its clients.
pub struct Engine {
    node: Node,
    store: Store,
    /// The connections to the other nodes.
    pub links: Links,
    /// What is measured of requests.
    pub measures: Measures,
    /// The keys that clients of this node ask for most.
    pub hot_keys: HotKeys,
    out: Outbox,
    answered_at_once: VecDeque<(Token, StoreReply)>,
    /// Messages that found too long a queue, for whoever waits for them.
    unsent: VecDeque<Input>,
    waiters: Slots<Waiting>,
    clock: Clock,
    now: Now,
    bytes_in_flight: usize,
    bytes_in_flight_max: usize,
    shed_for_bytes: u64,
    slow_us: u64,
    armed: Time,
    rearm: Rc<Notify>,
    health: StoreHealth,
}

impl Engine {
    /// An engine around a node that has just been made, whose first effects are in `out`.
    pub fn new(node: Node, store: Store, links: Links, clock: Clock, out: Outbox, settings: Settings) -> Self {
        let mut engine = Self {
            node,
            store,
            links,
            measures: Measures::default(),
            hot_keys: HotKeys::default(),
            out,
            answered_at_once: VecDeque::new(),
            unsent: VecDeque::new(),
            waiters: Slots::default(),
            clock,
            now: clock.now(),
            bytes_in_flight: 0,
            bytes_in_flight_max: settings.bytes_in_flight_max,
            shed_for_bytes: 0,
            slow_us: settings.slow_ms.saturating_mul(1_000),
            armed: Time::NEVER,
            rearm: Rc::default(),
            health: StoreHealth::default(),
        };
        engine.run_effects();
        engine
    }

    /// Reads the clocks: at the start of every turn, before the first input.
    pub fn begin_turn(&mut self) {
        self.now = self.clock.now();
    }

    /// The clocks of this turn.
    pub fn now(&self) -> Now {
        self.now
    }

    /// The outcome of a read that needs nothing but what is in memory; `None`: it must be a [`Self::request`].
    pub fn answer_now(&mut self, command: &Command) -> Option<Outcome> {
        let outcome = self.node.answer_now(self.now, command, &mut self.store)?;
        note_keys(command, &mut self.hot_keys, self.now.time);
        self.measures.answered(Operation::of(command), &outcome, 0);
        Some(outcome)
    }

    /// Shows a string that is in memory, without a copy of it; false: it must be a [`Self::request`].
    pub fn show_now(
        &mut self,
        bucket: BucketId,
        key: &[u8],
        options: &Options,
        show: &mut dyn FnMut(Option<&Bytes>),
    ) -> bool {
        let Some(value) = self.node.string_now(self.now, bucket, key, options, &mut self.store) else {
            return false;
        };
        self.hot_keys.note(bucket, key, self.now.time);
        self.measures.shown(value.is_some());
        show(value.map(|value| &value.data));
        true
    }

    /// A client of another thread has asked at `since`; that thread could not look for itself what is in memory.
    pub fn answer_or_request(&mut self, command: Command, waiter: Waiter, since: Time) {
        match self.answer_now(&command) {
            Some(outcome) => waiter.answer(outcome),
            None => self.request_of(command, waiter, since),
        }
    }

    /// A client asks; the answer goes to `waiter`, perhaps before this returns.
    pub fn request(&mut self, command: Command, waiter: Waiter) {
        self.request_of(command, waiter, self.now.time);
    }

    fn request_of(&mut self, command: Command, waiter: Waiter, started: Time) {
        let operation = Operation::of(&command);
        let bytes = payload_bytes(&command);
        if self.bytes_in_flight + bytes > self.bytes_in_flight_max && self.bytes_in_flight > 0 {
            self.measures.turned_away(operation);
            self.shed_for_bytes += 1;
            waiter.answer(busy());
            return;
        }
        self.bytes_in_flight += bytes;
        note_keys(&command, &mut self.hot_keys, self.now.time);
        let client_id = if let Command::Put(put) = &command {
            put.request.clone()
        } else {
            None
        };
        let id = self.waiters.insert(Waiting {
            waiter,
            operation,
            started,
            bytes,
            client_id,
        });
        let id = RequestId(u64::from(id));
        let request = Request { id, command };
        self.node.request(self.now, request, &mut self.store, &mut self.out);
        self.stepped();
    }

    /// A peer says something. Its reads wait while earlier answers to it have not left.
    pub fn message(&mut self, from: NodeId, envelope: Envelope) {
        match self.links.postpone(from, envelope, self.now.time) {
            Postponed::No(envelope) => self.step(Input::Message { from, envelope }),
            Postponed::Yes => {}
            Postponed::Full(op, attempt) => self.step(Input::Unanswered {
                node: from,
                op,
                attempt,
            }),
        }
    }

    /// Something was written to a peer: its reads that had to wait go on, as far as there is room for their answers; those
    /// that have waited too long are refused.
    pub fn go_on_reading(&mut self, from: NodeId) {
        while let Some(resumed) = self.links.next_postponed(from, self.now.time) {
            self.step(match resumed {
                Resumed::Read(envelope) => Input::Message { from, envelope },
                Resumed::TooLate(op, attempt) => Input::Unanswered {
                    node: from,
                    op,
                    attempt,
                },
            });
        }
    }

    /// A connection to a peer came up or went away.
    pub fn peer(&mut self, node: NodeId, up: bool) {
        self.step(Input::Peer { node, up });
    }

    /// An operator changes how background work goes.
    pub fn control(&mut self, work: Work, change: PaceChange) {
        self.step(Input::Control { work, change });
    }

    /// Changes how many client requests run at a time.
    pub fn set_admission(&mut self, limits: AdmissionLimits) {
        self.node.set_admission(limits);
    }

    /// Changes how long all homes must have held a dead record before it is forgotten, in milliseconds.
    pub fn set_reap_age_ms(&mut self, age_ms: u64) {
        self.node.set_reap_age_ms(age_ms);
    }

    /// A store effect is answered.
    pub fn stored(&mut self, token: Token, reply: StoreReply) {
        for other in self.store.answered(token, &reply) {
            let reply = reply.clone();
            self.step(Input::Stored { token: other, reply });
        }
        self.step(Input::Stored { token, reply });
    }

    /// The store's health has changed.
    pub fn store_health(&mut self, health: StoreHealth) {
        let bytes = self.health.bytes;
        let health = StoreHealth { bytes, ..health };
        if health != self.health {
            notices::store_health(self.health, health);
            self.health = health;
            self.step(Input::StoreHealth(health));
        }
    }

    /// How large the store is now, for the other nodes to know; in whole mebibytes, so that it does not change all the time.
    pub fn measure_store(&mut self) {
        let bytes = self.store.stats().disk_bytes >> 20 << 20;
        if bytes != self.health.bytes {
            self.health.bytes = bytes;
            self.step(Input::StoreHealth(self.health));
        }
    }

    /// Lets time pass, if something is due.
    pub fn tick(&mut self) {
        if self.now.time >= self.node.next_deadline() {
            self.step(Input::Tick);
        }
    }

    /// When `tick` is due next. The timer that waits for it is woken if an earlier deadline comes up meanwhile.
    pub fn arm(&mut self) -> (std::time::Instant, Rc<Notify>) {
        self.armed = self.node.next_deadline();
        (self.clock.instant(self.armed), Rc::clone(&self.rearm))
    }

    /// The core.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The store's health as told last.
    pub fn health(&self) -> StoreHealth {
        self.health
    }

    /// Client requests in flight.
    pub fn requests_in_flight(&self) -> usize {
        self.waiters.len()
    }

    /// Payload bytes of the client requests in flight.
    pub fn bytes_in_flight(&self) -> usize {
        self.bytes_in_flight
    }

    /// Requests turned away because those in flight were too many bytes.
    pub fn shed_for_bytes(&self) -> u64 {
        self.shed_for_bytes
    }

    /// Ends the node's life: the marker of a clean stop is written only if nothing was in flight.
    ///
    /// # Errors
    /// The store's.
    pub fn stop(&mut self) -> Result<Option<CleanMarker>, StoreError> {
        let idle = self.node.in_flight() == 0;
        let marker = if idle { self.node.clean_marker() } else { None };
        self.store.stop(marker, &self.node.checkpoint())?;
        Ok(marker)
    }

    fn step(&mut self, input: Input) {
        self.node.step(self.now, input, &mut self.out);
        self.stepped();
    }

    fn stepped(&mut self) {
        self.run_effects();
        if self.node.next_deadline() < self.armed {
            self.armed = Time(0);
            self.rearm.notify_one();
        }
    }

    fn run_effects(&mut self) {
        loop {
            while let Some(effect) = self.out.pop() {
                match effect {
                    Effect::Store { token, op } => {
                        if let Some(reply) = self.store.submit(token, op) {
                            self.answered_at_once.push_back((token, reply));
                        }
                    }
                    Effect::Send { to, envelope } => self.send(&to, &envelope),
                    Effect::Reply { request, outcome } => self.reply(request, outcome),
                    Effect::Reconnect { node } => self.links.renew(node),
                    Effect::Notice(notice) => self.notice(&notice),
                }
            }
            let input = if let Some((token, reply)) = self.answered_at_once.pop_front() {
                Input::Stored { token, reply }
            } else if let Some(unsent) = self.unsent.pop_front() {
                unsent
            } else {
                return;
            };
            self.node.step(self.now, input, &mut self.out);
        }
    }

    /// Queues a message. Whoever waits for one that finds too long a queue is told, here or at the peer.
    fn send(&mut self, to: &[NodeId], envelope: &Envelope) {
        for node in self.links.send(to, envelope) {
            if let Message::ReadReply(reply) = &envelope.message {
                self.unsent.push_back(Input::Unanswered {
                    node,
                    op: reply.op,
                    attempt: reply.attempt,
                });
            } else if let Message::ForwardReply(reply) = &envelope.message {
                // Short, and so taken whatever waits.
                let unknown = Envelope {
                    message: Message::ForwardReply(without_answer(reply.op)),
                    ..envelope.clone()
                };
                let refused = self.links.send(&[node], &unknown);
                debug_assert!(refused.is_empty(), "a short outcome is always queued");
            } else if let Some(Some(op)) = envelope.message.awaited_op() {
                let attempt = envelope.message.attempt();
                self.unsent.push_back(Input::Unsent { node, op, attempt });
            }
        }
    }

    fn reply(&mut self, request: RequestId, outcome: Outcome) {
        let Some(waiting) = self.waiters.take(request.0 as u32) else {
            tracing::error!(request = request.0, "the core answered a request that nobody waits for");
            return;
        };
        self.bytes_in_flight -= waiting.bytes;
        let took_us = self.now.time.0.saturating_sub(waiting.started.0);
        self.measures.answered(waiting.operation, &outcome, took_us);
        if self.slow_us > 0 && took_us >= self.slow_us {
            notices::slow(request, &waiting, took_us, &outcome);
        }
        waiting.waiter.answer(outcome);
    }

    fn notice(&mut self, notice: &Notice) {
        self.measures.noticed(notice);
        notices::log(notice, self.node.ring());
    }
}

/// What the engine takes from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most payload bytes of all requests in flight.
    pub bytes_in_flight_max: usize,
    /// Requests that take longer are logged; 0 logs none.
    pub slow_ms: u64,
}

/// What the node that forwarded a command is told when the outcome is too long for what waits already: it was run, and
/// nobody will know how that went.
pub(super) fn without_answer(op: OpId) -> ForwardReply {
    let cause = Cause::Unavailable("the answer was too long for the queue between two nodes".into());
    let certainty = Certainty::Unknown;
    let outcome = Outcome::Failed(Failure { cause, certainty });
    ForwardReply { op, outcome }
}

/// Counts the keys that a client names.
fn note_keys(command: &Command, hot_keys: &mut HotKeys, now: Time) {
    let target = match command {
        Command::Get(get) => &get.target,
        Command::Put(put) => &put.target,
        Command::Update(update) => &update.target,
        Command::View(view) => &view.target,
        Command::Batch(batch) => {
            batch
                .commands
                .iter()
                .for_each(|command| note_keys(command, hot_keys, now));
            return;
        }
        Command::List(list) => {
            hot_keys.note(list.bucket, &list.key, now);
            return;
        }
        Command::Keys(_) | Command::Clear(_) | Command::Inspect(_) | Command::Import(_) => return,
    };
    hot_keys.note(target.bucket, &target.key, now);
}

/// The answer to a request that is turned away because too many bytes are in flight.
pub(super) fn busy() -> Outcome {
    Outcome::Failed(Failure::refused(Cause::Busy {
        retry_after_ms: RETRY_AFTER_MS,
    }))
}

/// What a request holds in memory while it is in flight, roughly.
pub(super) fn payload_bytes(command: &Command) -> usize {
    const OVERHEAD: usize = 256;
    OVERHEAD
        + match command {
            Command::Put(put) => match &put.action {
                PutAction::Value(value, _) => put.target.key.len() + put.target.sort.len() + value.data.len(),
                PutAction::Delete | PutAction::ClearPartition => put.target.key.len() + put.target.sort.len(),
            },
            Command::Update(update) => update.target.key.len() + update.update.payload_bytes(),
            Command::Import(import) => import.target.key.len() + import.record.weight(),
            Command::Batch(batch) => batch.commands.iter().map(payload_bytes).sum(),
            Command::Get(_)
            | Command::View(_)
            | Command::List(_)
            | Command::Keys(_)
            | Command::Clear(_)
            | Command::Inspect(_) => 0,
        }
}
