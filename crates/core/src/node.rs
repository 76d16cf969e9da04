//! One node's core: where the protocols meet. Inputs are handed to the operation, replica or protocol that they concern;
//! what these ask of one another is done before the step ends.

mod admitted;
mod at_once;
mod copies;
mod liveness;
mod messages;
mod reaping;
mod request;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::admission::Admission;
use crate::boot::Boots;
use crate::bucket::{Bucket, Catalog};
use crate::command::Command;
use crate::coordinator::forward::Forward;
use crate::coordinator::{Event, Meta, Operation, Origin, Place, Progress, validate};
use crate::effect::{Effect, Input, Outbox};
use crate::entropy::Entropy;
use crate::gossip::Gossip;
use crate::hints::Hints;
use crate::id::{BucketId, NodeId, OpId, RequestId, Token};
use crate::limits::OPERATIONS_MAX;
use crate::message::{self, Message, PullReply, Refusal};
use crate::node::admitted::Waiting;
use crate::operations::Operations;
use crate::outcome::{Cause, Failure, Outcome};
use crate::reaping::Reaping;
use crate::reaping::quarantine::Quarantine;
use crate::rebuild::Rebuild;
use crate::replica::{Asker, Replica};
use crate::ring::Ring;
use crate::scrub::Scrub;
use crate::site::{Local, Site};
use crate::storage::{BootState, COPIES_KNOWN, Meta as StoredMeta, StoreError, StoreOp, StoreReply};
use crate::time::{HlcClock, Now, Time};

/// How often an idle node says something to its peers, in milliseconds.
const PULSE_MS: u64 = 5_000;
/// Gossip draws from a generator of its own, so that what it does moves no other choice.
const GOSSIP_SEED: u64 = 0x676f_7373_6970;
/// How often the housekeeping of peers and rebuilds runs, in milliseconds.
const HOUSEKEEPING_MS: u64 = 500;

/// What a node is told at its start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Itself.
    pub id: NodeId,
    /// The ring, computed from the configured members.
    pub ring: Arc<Ring>,
    /// The buckets.
    pub catalog: Arc<Catalog>,
    /// Seeds every random choice of the node.
    pub seed: u64,
}

/// A node's core state.
#[derive(Debug)]
pub struct Node {
    site: Site,
    operations: Operations,
    admission: Admission<Waiting>,
    replica: Replica,
    boots: Boots,
    rebuild: Rebuild,
    gossip: Gossip,
    entropy: Entropy,
    hints: Hints,
    reaping: Reaping,
    quarantine: Quarantine,
    scrub: Scrub,
    pulls: BTreeMap<Token, (NodeId, OpId, BucketId)>,
    housekeeping_at: Time,
    pulse_at: Time,
}

impl Node {
    /// A node that has just started with what its disk held. Effects of starting go to `out`.
    #[must_use]
    pub fn new(config: NodeConfig, boot: BootState, now: Now, out: &mut Outbox) -> Self {
        let NodeConfig {
            id,
            ring,
            catalog,
            seed,
        } = config;
        let hlc = boot.marker.map_or(crate::time::Hlc::ZERO, |marker| marker.hlc);
        let mut site = Site::new(id, ring, catalog, HlcClock::resume(hlc), seed, now);
        let operations = Operations::new(&mut site.random);
        if boot.marker.is_some() {
            site.minter.await_resumption();
        }
        let boots = Boots::new(&boot, now.time);
        let members = site.ring.members().iter().map(|member| member.id);
        let gossip = Gossip::new(id, boots.incarnation(), members, seed ^ GOSSIP_SEED, now.time);
        let mut node = Self {
            replica: Replica::new(&boot.cleared, []),
            scrub: Scrub::new(boot.scrub.clone(), &site),
            site,
            operations,
            admission: Admission::default(),
            boots,
            rebuild: Rebuild::default(),
            gossip,
            entropy: Entropy::new(seed, now.time),
            hints: Hints::new(boot.hints.clone(), seed, now.time),
            reaping: Reaping::new(seed, now.time),
            quarantine: Quarantine::default(),
            pulls: BTreeMap::new(),
            housekeeping_at: now.time,
            pulse_at: now.time.plus_ms(PULSE_MS),
        };
        let generations = boot.generations.iter();
        node.site.generations = generations.map(|entry| ((entry.0, entry.1), entry.2)).collect();
        node.site.trees.restore(&boot.trees);
        let buckets: Vec<Arc<Bucket>> = node.site.catalog.iter().cloned().collect();
        for bucket in buckets {
            if copies::must_rebuild(&bucket, &boot) {
                node.begin_rebuild(&bucket);
            }
        }
        if !boot.rebuilding.contains(&COPIES_KNOWN) {
            node.site
                .ask_store(StoreOp::PutMeta(StoredMeta::Rebuilding(COPIES_KNOWN, true)));
        }
        std::mem::swap(out, &mut node.site.out);
        node
    }

    /// Takes one input; effects go to `out`, which the driver drains before the next step.
    pub fn step(&mut self, now: Now, input: Input, out: &mut Outbox) {
        self.enter(now, out);
        match input {
            Input::Request(request) => {
                if let Some(request) = self.admit(request) {
                    let deadline = self.deadline_of(&request.command);
                    self.begin(Origin::Client(request.id), request.command, deadline, Place::Anywhere);
                }
            }
            Input::Message { from, envelope } => self.on_message(from, envelope),
            Input::Stored { token, reply } => self.on_stored(token, reply),
            Input::Peer { node, up } => self.on_peer(node, up),
            Input::Unsent { node, op, attempt } => self.on_refused(node, op, attempt, Refusal::Busy),
            Input::Unanswered { node, op, attempt } => self.site.refuse(node, Some(op), attempt, Refusal::Busy),
            Input::StoreHealth(health) => self.on_health(health),
            Input::Control { work, change } => self.site.background.change(work, change),
            Input::Tick => {}
        }
        self.leave(out);
    }

    fn enter(&mut self, now: Now, out: &mut Outbox) {
        std::mem::swap(out, &mut self.site.out);
        self.site.enter(now);
        self.gossip.enter(now.time);
    }

    fn leave(&mut self, out: &mut Outbox) {
        self.on_time();
        self.gossip_to_world();
        self.settle();
        self.let_in();
        std::mem::swap(out, &mut self.site.out);
    }

    /// When `Input::Tick` is due next.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        self.site
            .deadlines
            .next()
            .min(self.site.hedges.next())
            .min(self.admission.due())
            .min(self.housekeeping_at)
            .min(self.gossip.next_deadline())
            .min(self.scrub.due())
            .min(self.entropy.due(&self.site))
            .min(self.hints.next_deadline(&self.site))
            .min(self.reaping.due())
    }

    /// Begins a command for somebody: here, or at a home if this node may not run it.
    fn begin(&mut self, origin: Origin, command: Command, deadline: Time, place: Place) {
        let operations_max = match origin {
            Origin::Client(_) | Origin::Forwarder(..) => OPERATIONS_MAX,
            // The parts of a batch that was let in are let in.
            Origin::Child(..) | Origin::Nobody => usize::MAX,
        };
        let Some(id) = self.operations.reserve(operations_max) else {
            self.site.stats.busy += 1;
            let failure = Failure::refused(Cause::Busy { retry_after_ms: 100 });
            self.site.finish(origin, Outcome::Failed(failure));
            return;
        };
        let meta = Meta { id, origin, deadline };
        let forward_to = match place {
            Place::Anywhere => self.homes_to_forward_to(&command),
            Place::Here | Place::StandIn => None,
        };
        let operation = match forward_to {
            Some(homes) => {
                Forward::start(meta, command, &homes, &mut self.site).map(|begun| Operation::Forward(Box::new(begun)))
            }
            None => Operation::start(meta, command, place, &mut self.site),
        };
        match operation {
            Some(operation) => {
                self.operations.insert(id, operation);
                self.site.deadlines.insert(deadline, id);
            }
            None => self.operations.remove(id),
        }
    }

    /// The homes to try for a command that signs, if this node is not the one to run it. Commands that fail their checks
    /// run here, to say so.
    fn homes_to_forward_to(&self, command: &Command) -> Option<Vec<crate::quorum::Home>> {
        let site = &self.site;
        if let Command::Put(put) = command {
            let homes = crate::coordinator::put::homes_of(put, site)?;
            if homes.iter().any(|home| home.node == site.id) && site.can_sign(command, homes) {
                return None;
            }
            let plan = crate::coordinator::put::plan_of(put, site).ok()?;
            return Some(plan.homes.to_vec());
        }
        let (target, _) = command.write()?;
        let plan = validate::plan(target, site).ok()?;
        let is_able = plan.homes.iter().any(|home| home.node == site.id) && site.is_able_to_sign(command);
        let can_run = |node: NodeId, is_slow_enough: bool| {
            if node == site.id {
                is_able && (!site.health.slow || (is_slow_enough && site.is_fast_enough(&plan.homes)))
            } else {
                site.peers.is_up(node) && (is_slow_enough || !site.circuits.says_slow(node))
            }
        };
        let mut homes = plan.homes.iter().map(|home| home.node);
        let first = homes
            .clone()
            .find(|&node| can_run(node, false))
            .or_else(|| homes.find(|&node| can_run(node, true)));
        (first != Some(site.id)).then(|| plan.homes.to_vec())
    }

    fn on_stored(&mut self, token: Token, reply: StoreReply) {
        if let Some((node, op, bucket)) = self.pulls.remove(&token) {
            match &reply {
                StoreReply::Failed(StoreError::Damaged) => self.site.damage.note_somewhere(),
                StoreReply::Page(page) => page.damaged.iter().for_each(|key| self.site.note_damage(key)),
                StoreReply::Record(_) | StoreReply::Done | StoreReply::Scrubbed(_) | StoreReply::Failed(_) => {}
            }
            let is_rebuilding = self.replica.rebuilding().contains(&bucket);
            let reply = match reply {
                StoreReply::Page(page) => PullReply {
                    op,
                    partial: is_rebuilding || !page.damaged.is_empty(),
                    records: page.records,
                    next: page.next,
                    failed: false,
                },
                StoreReply::Record(_) | StoreReply::Done | StoreReply::Scrubbed(_) | StoreReply::Failed(_) => {
                    PullReply {
                        op,
                        partial: true,
                        records: Vec::new(),
                        next: None,
                        failed: true,
                    }
                }
            };
            self.site.send(&[node], Message::PullReply(reply));
            return;
        }
        let Some(reply) = self.entropy.on_stored(token, reply, &mut self.site) else {
            return;
        };
        let Some(reply) = self.replica.on_stored(token, reply, &mut self.site) else {
            return;
        };
        let Some(reply) = self.on_stored_for_reaping(token, reply) else {
            return;
        };
        match self.scrub.on_stored(token, reply, &mut self.site) {
            Ok(buckets) => self.pull(&buckets),
            Err(reply) => {
                let done = reply == StoreReply::Done;
                if !self.hints.on_stored(token, done, &mut self.site) {
                    self.boots.on_stored(token, done, &mut self.site);
                }
            }
        }
    }

    /// Everything that waits for time alone.
    fn on_time(&mut self) {
        let now = self.site.now;
        while let Some(due) = self.site.deadlines.pop_due(now.time) {
            for id in due {
                self.site.notify(id, Event::Deadline);
            }
        }
        self.turn_away_late();
        self.site.background.set_yielding(self.admission.is_pressed(now.time));
        while let Some(due) = self.site.hedges.pop_due(now.time) {
            for id in due {
                self.site.notify(id, Event::Hedge);
            }
        }
        self.go_on_gossiping();
        self.scrub.go_on(&mut self.site);
        self.entropy.go_on(&mut self.site);
        self.hints.go_on(&mut self.site);
        self.go_on_reaping();
        self.go_on_settling();
        if now.time < self.housekeeping_at {
            return;
        }
        self.housekeeping_at = now.time.plus_ms(HOUSEKEEPING_MS);
        self.site.on_housekeeping();
        self.boots.go_on(&mut self.site);
        self.reaping.on_tick(&mut self.site);
        self.rebuild.on_tick(&self.site);
        self.go_on_rebuilding();
        self.mend();
        if now.time >= self.pulse_at {
            self.pulse_at = now.time.plus_ms(PULSE_MS);
            // Digests keep the others fresh.
            let is_stale = |node: &NodeId| self.gossip.said_at(*node).plus_ms(PULSE_MS / 2) <= now.time;
            let peers: Vec<NodeId> = self.site.peers.connected().filter(is_stale).collect();
            if !peers.is_empty() {
                self.site.send(&peers, Message::Pulse);
            }
        }
    }

    /// Does what the parts of this node asked of one another, until nothing is left.
    fn settle(&mut self) {
        loop {
            if self.site.damage.is_pressing() {
                self.scrub.on_damage(&self.site);
                self.mend();
            }
            for spoiled in std::mem::take(&mut self.site.spoiled) {
                self.give_up(spoiled);
            }
            for (partition, bucket, home) in std::mem::take(&mut self.site.dirty) {
                self.entropy.mark_dirty(partition, bucket, home, &self.site);
            }
            let Some(local) = self.site.local.pop_front() else {
                return;
            };
            match local {
                Local::Read(op, attempt, want) => {
                    let node = self.site.id;
                    self.read(Asker { node, op, attempt }, want);
                }
                Local::Merge(write, records, space) => {
                    let asker = write.map(|(op, attempt)| Asker {
                        node: self.site.id,
                        op,
                        attempt,
                    });
                    self.replica.merge(asker, records, space, &mut self.site);
                }
                Local::Change(op, attempt, changes, space) => {
                    self.replica.change(op, attempt, changes, space, &mut self.site);
                }
                Local::SignFor(home, op, attempt, key, put) => {
                    self.hints.sign(home, (op, attempt), key, *put, &mut self.site);
                }
                Local::Begin(origin, command, deadline, place) => self.begin(origin, command, deadline, place),
                Local::HandOver(Origin::Forwarder(node, op), _, _) => {
                    self.admission.leave_forwarded();
                    self.site.refuse(node, Some(op), 0, Refusal::CannotMint);
                }
                Local::HandOver(origin, command, deadline) => self.begin(origin, command, deadline, Place::Anywhere),
                Local::Event(op, event) => self.hand(op, event),
                Local::Finished(origin, outcome) => self.answer(origin, outcome),
            }
            if self.site.has_regressed {
                self.site.has_regressed = false;
                self.rebuild_everything();
            }
        }
    }

    fn hand(&mut self, id: OpId, event: Event) {
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        if operation.on(event, &mut self.site) == Progress::Done {
            self.operations.remove(id);
        }
    }

    fn answer(&mut self, origin: Origin, outcome: Outcome) {
        match origin {
            Origin::Client(request) => {
                self.admission.leave();
                self.reply(request, outcome);
            }
            Origin::Forwarder(node, op) => {
                self.admission.leave_forwarded();
                self.site
                    .send(&[node], Message::ForwardReply(message::ForwardReply { op, outcome }));
            }
            Origin::Child(parent, index) => self.site.notify(parent, Event::Child(index, outcome)),
            Origin::Nobody => {}
        }
    }

    fn reply(&mut self, request: RequestId, outcome: Outcome) {
        self.site.out.push(Effect::Reply { request, outcome });
    }
}
