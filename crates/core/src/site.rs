//! What every protocol of a node can reach: its clocks, ring, buckets and peers, the effects it asks for, and the
//! answers that wait to be handed to local operations. Decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::background::Background;
use crate::bucket::{Bucket, Catalog};
use crate::causality::{ContextLimits, Record};
use crate::change::{Change, Put};
use crate::circuit::Circuits;
use crate::command::{Command, PutAction};
use crate::coordinator::locks::{KeyLocks, Waiting};
use crate::coordinator::{Origin, Place};
use crate::damage::{Damage, Mended};
use crate::deadlines::Deadlines;
use crate::effect::{Effect, Notice, Outbox};
use crate::entropy::Trees;
use crate::event::Event;
use crate::hedging::Hedging;
use crate::id::{ActorId, BucketId, Life, NodeId, OpId, PartitionId, Token};
use crate::key::RecordKey;
use crate::life::Minter;
use crate::limits::CLOCK_AHEAD_MS_MAX;
use crate::message::{Envelope, Message, Read, ReadWant, Refusal, Refused, Space, WriteRecords};
use crate::outcome::Outcome;
use crate::peers::Peers;
use crate::quorum::Home;
use crate::random::Random;
use crate::ring::{Ring, partition_of, placement_hash};
use crate::stats::Stats;
use crate::storage::{Generation, Meta, Spoiled, StoreHealth, StoreOp};
use crate::time::{HlcClock, Now, Time, Wall};

/// A wall clock that moves this much more or less than the monotonic one has jumped.
const CLOCK_JUMP_MS: i64 = 500;

/// Writes of one operation are numbered from 1 to at most this.
const WRITE_ATTEMPTS_MAX: u16 = 2 * crate::limits::REMINTS_MAX;

/// True if the attempt is that of a client's write: not of a read that writes back, nor of what nobody waits for.
#[must_use]
pub fn is_of_a_write(attempt: u16) -> bool {
    (1..=WRITE_ATTEMPTS_MAX).contains(&attempt)
}

/// Work of a node for itself, done before the step ends: the local replica is asked and answers like any other, without
/// a message.
#[derive(Debug)]
pub enum Local {
    /// A local operation asks the local replica to read.
    Read(OpId, u16, ReadWant),
    /// A local operation asks the local replica to merge records; nobody waits if there is no operation.
    Merge(Option<(OpId, u16)>, Vec<(RecordKey, Arc<Record>)>, Space),
    /// A local operation asks the local replica to make and commit changes.
    Change(OpId, u16, Vec<(RecordKey, Change)>, Space),
    /// Something happened to an operation.
    Event(OpId, Event),
    /// A local operation asks for a signature on what this node keeps for a home, as its stand-in.
    SignFor(NodeId, OpId, u16, RecordKey, Box<Put>),
    /// Begin a command for somebody.
    Begin(Origin, Command, Time, Place),
    /// Nothing of a command was done here, for this node's copy can't be read: another home is to run it.
    HandOver(Origin, Command, Time),
    /// An operation is over: answer whoever asked for it.
    Finished(Origin, Outcome),
}

/// A context above its bound, for operators.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LongContext {
    /// Of which record.
    pub key: RecordKey,
    /// How many entries it had.
    pub entries: usize,
    /// When that was.
    pub at: Time,
}

/// See the module.
#[derive(Debug)]
pub struct Site {
    /// This node.
    pub id: NodeId,
    /// The clocks of this step.
    pub now: Now,
    /// The ring.
    pub ring: Arc<Ring>,
    /// The buckets.
    pub catalog: Arc<Catalog>,
    /// Hybrid logical clock.
    pub clock: HlcClock,
    /// Signs dots and stamps.
    pub minter: Minter,
    /// Peers, sessions, clock skew.
    pub peers: Peers,
    /// Every random choice.
    pub random: Random,
    /// When to wake operations.
    pub deadlines: Deadlines,
    /// When to wake reads that hold a home back.
    pub hedges: Deadlines,
    /// How many of them may ask it.
    pub hedging: Hedging,
    /// How each peer answers reads.
    pub circuits: Circuits,
    /// As the shell last said.
    pub health: StoreHealth,
    /// A commit failed: no write is taken until the node is restarted.
    pub out_of_service: bool,
    /// Something of this life was forgotten: every copy must be rebuilt.
    pub has_regressed: bool,
    /// How fast background work may go.
    pub background: Background,
    /// Digests of this node's records.
    pub trees: Trees,
    /// Partitions that homes were found to lack something of, for anti-entropy to begin with.
    pub dirty: Vec<(PartitionId, BucketId, NodeId)>,
    /// Counters.
    pub stats: Stats,
    /// Who updates which key.
    pub locks: KeyLocks,
    /// Damaged records.
    pub damage: Damage,
    /// What scrubs found damaged beyond records in this step.
    pub spoiled: Vec<Spoiled>,
    /// Work for this step.
    pub local: VecDeque<Local>,
    /// Effects of this step.
    pub out: Outbox,
    /// Reap generations.
    pub generations: BTreeMap<(PartitionId, BucketId), Generation>,
    /// How long all homes must have held a dead record before it is forgotten, in milliseconds.
    pub reap_age_ms: u64,
    /// What contexts may hold.
    pub context_limits: ContextLimits,
    /// The last put that met a context above its bound.
    pub long_context: Option<LongContext>,
    /// This node's disk is an older one, and it is not known yet what was reaped since: it signs and keeps nothing.
    pub is_unsettled: bool,
    clock_sound: bool,
    attempts: u16,
    next_token: u64,
}

impl Site {
    /// A site with nothing to do.
    #[must_use]
    pub fn new(id: NodeId, ring: Arc<Ring>, catalog: Arc<Catalog>, clock: HlcClock, seed: u64, now: Now) -> Self {
        let mut random = Random::new(seed);
        let others = ring
            .members()
            .iter()
            .map(|member| member.id)
            .filter(|&node| node != id)
            .collect::<Vec<_>>();
        let minter = Minter::new(id, Life(random.next_u64()));
        let circuits = Circuits::new(others.iter().copied(), now.time);
        let peers = Peers::new(others.into_iter(), now, &mut random);
        let trees = Trees::new(id, &ring, &catalog);
        Self {
            id,
            now,
            ring,
            catalog,
            clock,
            minter,
            peers,
            random,
            deadlines: Deadlines::default(),
            hedges: Deadlines::default(),
            hedging: Hedging::default(),
            circuits,
            health: StoreHealth::default(),
            out_of_service: false,
            has_regressed: false,
            background: Background::default(),
            trees,
            dirty: Vec::new(),
            stats: Stats::default(),
            locks: KeyLocks::default(),
            damage: Damage::default(),
            spoiled: Vec::new(),
            local: VecDeque::new(),
            out: Outbox::new(),
            generations: BTreeMap::new(),
            reap_age_ms: crate::reaping::AGE_MS,
            context_limits: ContextLimits::default(),
            long_context: None,
            is_unsettled: false,
            clock_sound: true,
            attempts: 0,
            next_token: 0,
        }
    }

    /// The record's name for a key of a bucket.
    #[must_use]
    pub fn record_key(&self, bucket: &Bucket, partition_key: &[u8], sort_key: &[u8]) -> RecordKey {
        let hash = placement_hash(&bucket.name, partition_key);
        RecordKey::new(
            partition_of(hash, self.ring.partitions()),
            bucket.id,
            hash,
            partition_key,
            sort_key,
        )
    }

    /// True if this node is a home of the record.
    #[must_use]
    pub fn is_home(&self, key: &RecordKey) -> bool {
        self.catalog
            .bucket(key.bucket())
            .is_some_and(|bucket| self.is_home_of(key.partition(), bucket.n))
    }

    /// True if this node is a home of the partition for buckets of `n` copies.
    #[must_use]
    pub fn is_home_of(&self, partition: PartitionId, n: u8) -> bool {
        self.ring.is_home(self.id, partition, n)
    }

    /// The bucket of an id.
    #[must_use]
    pub fn bucket(&self, id: BucketId) -> Option<Arc<Bucket>> {
        self.catalog.bucket(id).cloned()
    }

    /// True if this node may sign what the command writes: its store takes it and its clock is near its peers'. On a full
    /// disk deletes pass.
    #[must_use]
    pub fn can_mint(&self, command: &Command) -> bool {
        !self.health.slow && self.is_able_to_sign(command)
    }

    /// The same at one of these homes of the key. A node whose syncs are slow signs if no other home is known to be better:
    /// a write is refused only if too few can take it (RULINGS 15).
    #[must_use]
    pub fn can_sign(&self, command: &Command, homes: &[Home]) -> bool {
        self.is_able_to_sign(command) && self.is_fast_enough(homes)
    }

    /// True unless this node's syncs are slow, and another of these homes is known to be better.
    #[must_use]
    pub fn is_fast_enough(&self, homes: &[Home]) -> bool {
        let is_better =
            |home: &Home| home.node != self.id && self.peers.is_up(home.node) && !self.circuits.says_slow(home.node);
        !self.health.slow || !homes.iter().any(is_better)
    }

    /// True if nothing but slow syncs keeps this node from signing.
    #[must_use]
    pub fn is_merely_slow(&self, command: &Command) -> bool {
        self.health.slow && self.is_able_to_sign(command)
    }

    /// True if this node may sign what the command writes, be its syncs slow or not.
    #[must_use]
    pub fn is_able_to_sign(&self, command: &Command) -> bool {
        let has_room = !self.health.full || command.frees_space();
        has_room && !self.out_of_service && !self.is_unsettled && self.clock_sound && !self.is_unreadable_here(command)
    }

    /// True if what the command changes is known to be damaged on this node, and other homes have copies.
    #[must_use]
    pub fn is_unreadable_here(&self, command: &Command) -> bool {
        if self.damage.is_empty() {
            return false;
        }
        let is_clear = matches!(command, Command::Put(put) if put.action == PutAction::ClearPartition);
        let Some((target, _)) = command.write().filter(|_| !is_clear) else {
            return false;
        };
        let Some(bucket) = self.catalog.bucket(target.bucket) else {
            return false;
        };
        // The only copy is written anew, or the write is refused where it runs.
        if self.ring.effective_n(bucket.n) == 1 {
            return false;
        }
        let key = self.record_key(bucket, &target.key, &target.sort);
        // An update writes a head and fields together.
        let is_update = matches!(command, Command::Update(_));
        if is_update {
            self.damage.is_known_under(&key)
        } else {
            self.damage.is_known(&key)
        }
    }

    /// True if this node's copy of a record is the only one there is.
    #[must_use]
    pub fn is_only_copy(&self, key: &RecordKey) -> bool {
        let bucket = self.catalog.bucket(key.bucket());
        bucket.is_some_and(|bucket| self.ring.effective_n(bucket.n) == 1)
    }

    /// A command of which nothing was done here goes to another home. False if none is known to be better.
    pub fn hand_over(&mut self, origin: Origin, command: Command, deadline: Time) -> bool {
        let is_better_elsewhere = self.is_unreadable_here(&command);
        if is_better_elsewhere {
            self.local.push_back(Local::HandOver(origin, command, deadline));
        }
        is_better_elsewhere
    }

    /// True if this node may sign a put as a stand-in: slow syncs are better than no write.
    #[must_use]
    pub fn can_stand_in(&self, command: &Command) -> bool {
        self.is_able_to_sign(command)
    }

    /// A step begins. If the wall clock jumped, its soundness is judged anew before anything is minted by it.
    pub fn enter(&mut self, now: Now) {
        let jumped = self.has_jumped(now);
        self.now = now;
        if jumped {
            self.judge_clock();
        }
    }

    /// True if the wall clock has moved otherwise than the monotonic one since the last step.
    #[must_use]
    pub fn has_jumped(&self, now: Now) -> bool {
        let offset = |now: Now| now.wall.0 as i64 - (now.time.0 / 1_000) as i64;
        (offset(now) - offset(self.now)).abs() > CLOCK_JUMP_MS
    }

    /// True if this node's clock is near enough to its peers'.
    #[must_use]
    pub fn is_clock_sound(&self) -> bool {
        self.clock_sound
    }

    /// Runs every half second.
    pub fn on_housekeeping(&mut self) {
        self.peers.on_tick(self.now, &mut self.random);
        self.circuits.on_tick(self.now.time);
        self.judge_clock();
    }

    /// Compares the clock with those of the peers; an unsound one signs nothing and lets nothing expire.
    pub fn judge_clock(&mut self) {
        let sound = self.peers.is_clock_sound(self.now);
        if self.clock_sound && !sound {
            let ms = self.peers.clock_skew_ms(self.now);
            self.notice(Notice::ClockSkew { ms });
        }
        self.clock_sound = sound;
    }

    /// True if the node itself, or a peer that can be asked now.
    #[must_use]
    pub fn is_reachable(&self, node: NodeId) -> bool {
        node == self.id || self.peers.is_up(node)
    }

    /// A number for the next read of an operation: different from that of its last 65,000 reads, and from those of its
    /// own writes, which count from 1.
    pub fn next_attempt(&mut self) -> u16 {
        self.attempts = self.attempts.wrapping_add(1).max(WRITE_ATTEMPTS_MAX + 1);
        self.attempts
    }

    /// Asks replicas to read the same; each answer comes as `Event::Read`.
    pub fn ask_reads(&mut self, to: &[NodeId], op: OpId, attempt: u16, want: &ReadWant) {
        if to.contains(&self.id) {
            self.local.push_back(Local::Read(op, attempt, want.clone()));
        }
        let others: SmallVec<[NodeId; 3]> = to.iter().copied().filter(|&node| node != self.id).collect();
        if !others.is_empty() {
            // How long a range takes says more of its length than of the peer.
            if matches!(want, ReadWant::Records(_)) {
                for &node in &others {
                    self.circuits.on_asked(node, op, attempt, self.now.time);
                }
            }
            self.send(
                &others,
                Message::Read(Read {
                    op,
                    attempt,
                    want: want.clone(),
                }),
            );
        }
    }

    /// Asks replicas to merge records; with an operation, each answer comes as `Event::Wrote`.
    pub fn ask_merge(
        &mut self,
        to: &[NodeId],
        write: Option<(OpId, u16)>,
        records: Vec<(RecordKey, Arc<Record>)>,
        space: Space,
    ) {
        let others: SmallVec<[NodeId; 3]> = to.iter().copied().filter(|&node| node != self.id).collect();
        if to.contains(&self.id) {
            self.local.push_back(Local::Merge(write, records.clone(), space));
        }
        if !others.is_empty() {
            let sessions = others.iter().map(|&node| (node, self.peers.session_of(node))).collect();
            let (op, attempt) = write.map_or((None, 0), |(op, attempt)| (Some(op), attempt));
            self.send(
                &others,
                Message::Write(WriteRecords {
                    op,
                    attempt,
                    sessions,
                    stand_in_for: None,
                    space,
                    records,
                }),
            );
        }
    }

    /// Nodes that can stand in for homes of a key now, in order: of the first 2N of its preference list those that are none
    /// of its homes and can be asked.
    #[must_use]
    pub fn stand_ins(&self, key: &RecordKey) -> SmallVec<[Home; 3]> {
        let Some(bucket) = self.catalog.bucket(key.bucket()) else {
            return SmallVec::new();
        };
        let fallbacks = self.ring.preference_list(key.partition(), bucket.n).fallbacks;
        let reachable = fallbacks.into_iter().filter(|&node| self.is_reachable(node));
        let home_at = |node| Home {
            node,
            dc: self.ring.dc_of(node),
        };
        reachable.map(home_at).collect()
    }

    /// True if this node is one of those that keep a key's records for its homes: one of the first 2N of its preference
    /// list, and no home itself.
    #[must_use]
    pub fn is_stand_in(&self, key: &RecordKey) -> bool {
        self.catalog.bucket(key.bucket()).is_some_and(|bucket| {
            let list = self.ring.preference_list(key.partition(), bucket.n);
            list.fallbacks.contains(&self.id)
        })
    }

    /// True if this node may keep a key's records for `home`, which is one of the key's.
    #[must_use]
    pub fn may_stand_in(&self, home: NodeId, key: &RecordKey) -> bool {
        let bucket = self.catalog.bucket(key.bucket());
        let is_home = bucket.is_some_and(|bucket| self.ring.is_home(home, key.partition(), bucket.n));
        is_home && self.is_stand_in(key)
    }

    /// Asks a node to keep records for a home that can't be reached; the answer comes as `Event::Wrote`.
    pub fn ask_to_keep(
        &mut self,
        stand_in: NodeId,
        home: NodeId,
        (op, attempt): (OpId, u16),
        records: Vec<(RecordKey, Arc<Record>)>,
        space: Space,
    ) {
        let write = WriteRecords {
            op: Some(op),
            attempt,
            sessions: SmallVec::from_slice(&[(stand_in, self.peers.session_of(stand_in))]),
            stand_in_for: Some(home),
            space,
            records,
        };
        self.send(&[stand_in], Message::Write(write));
    }

    /// Asks the local replica to make changes; the answer comes as `Event::Changed` when they are signed and as
    /// `Event::Wrote` when they are durable (or if the store took none of them).
    pub fn ask_change(&mut self, op: OpId, attempt: u16, changes: Vec<(RecordKey, Change)>, space: Space) {
        self.local.push_back(Local::Change(op, attempt, changes, space));
    }

    /// Asks this node to sign a put on what it keeps of the key for `home`; the answers come as those of
    /// [`Self::ask_change`].
    pub fn ask_signature_for(&mut self, home: NodeId, op: OpId, attempt: u16, key: RecordKey, put: Box<Put>) {
        self.local.push_back(Local::SignFor(home, op, attempt, key, put));
    }

    /// How far reaping has come in a place.
    #[must_use]
    pub fn generation(&self, partition: PartitionId, bucket: BucketId) -> Generation {
        self.generations.get(&(partition, bucket)).copied().unwrap_or_default()
    }

    /// Keeps a generation durably; the answer comes under the token.
    pub fn keep_generation(&mut self, partition: PartitionId, bucket: BucketId, generation: Generation) -> Token {
        self.generations.insert((partition, bucket), generation);
        self.ask_store(StoreOp::PutMeta(Meta::Reaped(partition, bucket, generation)))
    }

    /// The moment by which expiry is judged: nothing expires while this node's clock is unsound (RULINGS 6).
    #[must_use]
    pub fn expiry_wall(&self) -> Wall {
        if self.clock_sound { self.now.wall } else { Wall(0) }
    }

    /// Queues for a key's lock; true if it is held at once, else `Event::LockGranted` or `Event::Carried` comes.
    pub fn lock(&mut self, group: &Bytes, op: OpId, waiting: impl FnOnce() -> Waiting) -> bool {
        self.locks.acquire(group, op, waiting)
    }

    /// Leaves a key's lock, held or not.
    pub fn unlock(&mut self, group: &Bytes, op: OpId) {
        if let Some(next) = self.locks.release(group, op) {
            self.notify(next, Event::LockGranted);
        }
    }

    /// Starts a command whose outcome goes to `origin`.
    pub fn begin(&mut self, origin: Origin, command: Command, deadline: Time) {
        self.begin_at(Place::Anywhere, origin, command, deadline);
    }

    /// The same, at a place: no better one would take it.
    pub fn begin_at(&mut self, place: Place, origin: Origin, command: Command, deadline: Time) {
        self.local.push_back(Local::Begin(origin, command, deadline, place));
    }

    /// Sends a message to other nodes.
    pub fn send(&mut self, to: &[NodeId], message: Message) {
        debug_assert!(!to.contains(&self.id), "a node does not send to itself");
        let envelope = self.envelope(message);
        self.out.push(Effect::Send {
            to: to.iter().copied().collect(),
            envelope,
        });
    }

    /// A message with what every message carries.
    #[must_use]
    pub fn envelope(&self, message: Message) -> Envelope {
        Envelope {
            epoch: self.ring.epoch(),
            hlc: self.clock.last(),
            wall: self.now.wall,
            session: self.peers.session(),
            message,
        }
    }

    /// Says that nothing was done with a message.
    pub fn refuse(&mut self, to: NodeId, op: Option<OpId>, attempt: u16, reason: Refusal) {
        self.stats.refusals += 1;
        self.send(&[to], Message::Refused(Refused { op, attempt, reason }));
    }

    /// Asks the store for something; the token names the answer.
    pub fn ask_store(&mut self, op: StoreOp) -> Token {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.out.push(Effect::Store { token, op });
        token
    }

    /// Ends an operation with its outcome.
    pub fn finish(&mut self, origin: Origin, outcome: Outcome) {
        self.local.push_back(Local::Finished(origin, outcome));
    }

    /// Tells an operation something at the end of this step's queue.
    pub fn notify(&mut self, op: OpId, event: Event) {
        self.local.push_back(Local::Event(op, event));
    }

    /// Something an operator should know.
    pub fn notice(&mut self, notice: Notice) {
        self.out.push(Effect::Notice(notice));
    }

    /// A put has met a context above its bound, and dropped these actors' entries of it.
    pub fn note_long_context(&mut self, key: &RecordKey, entries: usize, dropped: Vec<ActorId>) {
        self.long_context = Some(LongContext {
            key: key.clone(),
            entries,
            at: self.now.time,
        });
        if dropped.is_empty() {
            return;
        }
        self.stats.context_entries_pruned += dropped.len() as u64;
        for &actor in &dropped {
            self.minter.note_gone(actor);
        }
        let key = key.clone();
        self.notice(Notice::ContextPruned { key, dropped });
    }

    /// A record of this node is damaged: it is told once, and mended.
    pub fn note_damage(&mut self, key: &RecordKey) {
        if self.damage.note(key) {
            self.stats.damaged_records += 1;
            self.notice(Notice::DamagedRecord { key: key.clone() });
        }
    }

    /// The only copy of a damaged record is replaced by a write that needed nothing of it: what it held is lost.
    pub fn note_only_copy_replaced(&mut self, key: &RecordKey) {
        self.damage.on_mended(key, Mended::Readable, self.now.time);
        self.stats.lost_records += 1;
        self.notice(Notice::LostRecord { key: key.clone() });
    }

    /// Takes note of a clock reading from another node.
    pub fn observe_hlc(&mut self, hlc: crate::time::Hlc) {
        self.clock.observe(self.now.wall, hlc, CLOCK_AHEAD_MS_MAX);
    }

    /// What the disk holds of a commit is unknown: a dot that it signed must not be signed again, and nothing more is
    /// written until this node is restarted.
    pub fn on_commit_failed(&mut self) {
        if !self.out_of_service {
            self.out_of_service = true;
            self.new_life("a commit failed");
            self.notice(Notice::StoreOutOfService);
        }
    }

    /// Ends this life and begins another.
    pub fn new_life(&mut self, reason: &'static str) {
        let life = Life(self.random.next_u64());
        self.minter.begin(life);
        self.notice(Notice::NewLife { reason });
    }
}
