//! The side of reaping that the first home of each partition has: it finds dead records, and leads them to their end; and
//! records that live, whose contexts it has folded in the same steps.
//!
//! ```text
//! found ─all homes hold exactly this─▶ aging ─185 s─▶ clearing ─nobody keeps hints─▶ pinning ─all homes have─▶ reaped, or folded
//!   ▲ a home was away, or holds something else: dropped, and found again by the next walk
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use smallvec::SmallVec;

use crate::causality::Lives;
use crate::causality::bounds::is_over;
use crate::id::{ActorId, Life, NodeId, OpId};
use crate::key::RecordKey;
use crate::limits::{SESSION_ROTATION_MS, TIMEOUT_MS_MAX};
use crate::mutants::{Mutant, active};
use crate::random::Random;
use crate::reaping::home::{Goal, Place};
use crate::reaping::talk::ReapTalk;
use crate::reaping::walk::Found;
use crate::site::Site;
use crate::time::Time;

/// How long all homes must have held a record before it may be forgotten, in milliseconds: an operation that has read
/// something older ends within its deadline, and what it sent then carries a session token that is two rotations old
/// by now. Clocks that run at different speeds are given some seconds.
pub const AGE_MS: u64 = TIMEOUT_MS_MAX as u64 + 2 * SESSION_ROTATION_MS + 5_000;
/// Batches on their way at a time.
const BATCHES_MAX: usize = 256;
/// How long answers are waited for, in milliseconds.
const ANSWER_MS: u64 = 5_000;
/// How long a batch waits before it asks again whether hints are outstanding, in milliseconds.
const CLEAR_RETRY_MS: u64 = 10_000;
/// How long a batch waits for those who keep hints, in milliseconds; then it is dropped, to be found again.
const CLEAR_MS_MAX: u64 = 30 * 60 * 1_000;
/// How often homes are told to forget: a lost message leaves a tombstone behind, no more.
const TELLS: u8 = 3;
/// How long after one another, in milliseconds.
const TELL_MS: u64 = 2_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Comparing,
    Aging,
    Clearing,
    Pinning { generation: u64 },
    Telling { generation: u64, left: u8 },
}

#[derive(Debug)]
struct Batch {
    op: OpId,
    place: Place,
    homes: SmallVec<[NodeId; 3]>,
    /// Who may keep hints for them.
    keepers: SmallVec<[NodeId; 3]>,
    goal: Goal,
    entries: Vec<(RecordKey, u128)>,
    /// To be folded: the actors without a sibling, of each entry.
    idle: Vec<Vec<ActorId>>,
    /// What each has said of its life since all homes were seen to hold the entries.
    lives: BTreeMap<NodeId, Life>,
    stage: Stage,
    since: Time,
    waiting: SmallVec<[NodeId; 3]>,
    differing: BTreeSet<u16>,
    /// Of those who have answered, one could not, or keeps hints.
    is_refused: bool,
    /// The highest generation heard of.
    highest: u64,
    /// Under which it is to be pinned.
    generation: u64,
    due: Time,
}

/// Why nothing can be forgotten for now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Block {
    /// The node can't be asked.
    Away,
    /// It keeps hints, or has lately delivered some, or was started lately.
    KeepsHints,
}

/// Questions to be sent.
pub(super) type Questions = Vec<(NodeId, ReapTalk)>;

/// See the module.
#[derive(Debug)]
pub(super) struct Lead {
    batches: VecDeque<Batch>,
    next_op: u64,
    /// What nodes last said of their lives: it spares questions, and decides nothing.
    lives: BTreeMap<NodeId, Life>,
    blocks: BTreeMap<NodeId, (Block, Time)>,
    /// Another walk finds more: something was dropped that may go, or what is forgotten has hidden something.
    pub(super) has_left_some: bool,
}

impl Lead {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            batches: VecDeque::new(),
            next_op: Random::new(seed).next_u64(),
            lives: BTreeMap::new(),
            blocks: BTreeMap::new(),
            has_left_some: false,
        }
    }

    /// True if there is room for another batch.
    pub(super) fn has_room(&self) -> bool {
        self.batches.len() < BATCHES_MAX
    }

    /// True if the record is on its way already.
    pub(super) fn has(&self, key: &RecordKey) -> bool {
        let place = (key.partition(), key.bucket());
        let mut of_place = self.batches.iter().filter(|batch| batch.place == place);
        of_place.any(|batch| batch.entries.iter().any(|entry| entry.0 == *key))
    }

    /// Records of one place, to be led to their end.
    pub(super) fn add(&mut self, place: Place, goal: Goal, found: Vec<Found>, site: &Site) {
        let Some(bucket) = site.bucket(place.1) else { return };
        let list = site.ring.preference_list(place.0, bucket.n);
        let (entries, idle) = found
            .into_iter()
            .map(|found| ((found.key, found.hash), found.idle))
            .unzip();
        self.batches.push_back(Batch {
            op: OpId(0),
            place,
            homes: list.homes.iter().map(|home| home.node).collect(),
            keepers: list.fallbacks.iter().copied().collect(),
            goal,
            entries,
            idle,
            lives: BTreeMap::new(),
            stage: Stage::Comparing,
            since: site.now.time,
            waiting: SmallVec::new(),
            differing: BTreeSet::new(),
            is_refused: false,
            highest: 0,
            generation: 0,
            due: site.now.time,
        });
    }

    /// Dead records on their way.
    pub(super) fn records(&self) -> usize {
        let dead = self.batches.iter().filter(|batch| batch.goal == Goal::Reap);
        dead.map(|batch| batch.entries.len()).sum()
    }

    /// True if nothing is on its way to its end.
    pub(super) fn is_idle(&self) -> bool {
        self.batches.is_empty()
    }

    /// Who is in the way, why and since when.
    pub(super) fn blocks(&self) -> impl Iterator<Item = (NodeId, Block, Time)> + '_ {
        self.blocks.iter().map(|(node, (block, since))| (*node, *block, *since))
    }

    /// When something is due.
    pub(super) fn due(&self) -> Time {
        let due = self.batches.iter().map(|batch| batch.due).min();
        due.unwrap_or(Time::NEVER)
    }

    /// Goes on with what is due; gives the questions to be asked.
    pub(super) fn go_on(&mut self, is_paused: bool, site: &Site) -> Questions {
        let now = site.now.time;
        let mut questions = Vec::new();
        // Each in turn, with all others in sight.
        for _ in 0..self.batches.len() {
            let Some(mut batch) = self.batches.pop_front() else {
                break;
            };
            if batch.due > now {
                self.batches.push_back(batch);
                continue;
            }
            let is_kept = match batch.stage {
                // Nobody was asked yet.
                Stage::Comparing if batch.op == OpId(0) => self.ask(&mut batch, 0, site, &mut questions),
                // Somebody stayed silent.
                Stage::Comparing | Stage::Pinning { .. } => {
                    self.has_left_some = true;
                    false
                }
                Stage::Aging | Stage::Clearing if is_paused => {
                    batch.due = now.plus_ms(CLEAR_RETRY_MS);
                    true
                }
                Stage::Aging => {
                    batch.stage = Stage::Clearing;
                    batch.since = now;
                    self.clear(&mut batch, site, &mut questions)
                }
                Stage::Clearing => {
                    let is_early = now < batch.since.plus_ms(CLEAR_MS_MAX);
                    is_early && self.clear(&mut batch, site, &mut questions)
                }
                Stage::Telling { generation, left } => tell(&mut batch, generation, left, site, &mut questions),
            };
            if is_kept {
                self.batches.push_back(batch);
            }
        }
        questions
    }

    fn next_op(&mut self) -> OpId {
        self.next_op = self.next_op.wrapping_add(1).max(1);
        OpId(self.next_op)
    }

    /// Asks all homes whether they hold exactly these; false if one is away.
    fn ask(&mut self, batch: &mut Batch, generation: u64, site: &Site, questions: &mut Questions) -> bool {
        let homes: SmallVec<[NodeId; 3]> = batch
            .homes
            .iter()
            .copied()
            .filter(|&node| !active(Mutant::ReapWithoutAHome) || site.is_reachable(node))
            .collect();
        if let Some(&away) = homes.iter().find(|&&node| !site.is_reachable(node)) {
            self.block(away, Block::Away, site.now.time);
            return false;
        }
        batch.op = self.next_op();
        batch.waiting.clone_from(&homes);
        batch.differing.clear();
        batch.is_refused = false;
        batch.due = site.now.time.plus_ms(ANSWER_MS);
        for &node in &homes {
            let ask = ReapTalk::Ask {
                op: batch.op,
                partition: batch.place.0,
                bucket: batch.place.1,
                generation,
                entries: batch.entries.clone(),
            };
            questions.push((node, ask));
        }
        true
    }

    /// One batch of a place at a time has its pins: those of another would take their place, or their generation.
    fn must_wait(&self, batch: &mut Batch, site: &Site) -> bool {
        let is_pinning = |other: &Batch| {
            other.place == batch.place && matches!(other.stage, Stage::Pinning { .. } | Stage::Telling { .. })
        };
        let must_wait = self.batches.iter().any(is_pinning);
        if must_wait {
            batch.due = site.now.time.plus_ms(TELL_MS);
        }
        must_wait
    }

    /// Asks those who may keep hints.
    fn clear(&mut self, batch: &mut Batch, site: &Site, questions: &mut Questions) -> bool {
        batch.due = site.now.time.plus_ms(CLEAR_RETRY_MS);
        if self.must_wait(batch, site) {
            return true;
        }
        if let Some(&away) = batch.keepers.iter().find(|&&node| !site.is_reachable(node)) {
            self.block(away, Block::Away, site.now.time);
            return true;
        }
        let (partition, bucket) = batch.place;
        batch.generation = batch.highest.max(site.generation(partition, bucket).pinned) + 1;
        if batch.keepers.is_empty() || active(Mutant::ReapWithHint) {
            return self.pin(batch, site, questions);
        }
        batch.op = self.next_op();
        batch.waiting = batch.keepers.clone();
        batch.is_refused = false;
        for &node in &batch.keepers {
            let ask = ReapTalk::Outstanding {
                op: batch.op,
                partition,
                bucket,
                generation: batch.generation,
            };
            questions.push((node, ask));
        }
        true
    }

    /// Asks all homes to pin; first those who may keep hints once more if another batch has taken the generation.
    fn pin(&mut self, batch: &mut Batch, site: &Site, questions: &mut Questions) -> bool {
        let generation = batch.generation;
        if site.generation(batch.place.0, batch.place.1).pinned >= generation {
            batch.due = site.now.time;
            return true;
        }
        batch.stage = Stage::Pinning { generation };
        self.ask(batch, generation, site, questions)
    }

    /// A home has looked.
    pub(super) fn on_answer(
        &mut self,
        from: NodeId,
        op: OpId,
        differing: &[u16],
        unable: bool,
        generation: u64,
        life: Option<Life>,
        site: &Site,
    ) -> Questions {
        let mut questions = Vec::new();
        note_life(&mut self.lives, from, life);
        let Some(at) = self
            .batches
            .iter()
            .position(|batch| batch.op == op && batch.waiting.contains(&from))
        else {
            return questions;
        };
        let batch = &mut self.batches[at];
        batch.waiting.retain(|node| *node != from);
        batch.is_refused |= unable;
        batch.highest = batch.highest.max(generation);
        batch.differing.extend(differing);
        note_life(&mut batch.lives, from, life);
        if !batch.waiting.is_empty() {
            return questions;
        }
        let now = site.now.time;
        if batch.is_refused || batch.differing.len() == batch.entries.len() {
            self.has_left_some |= batch.is_refused;
            self.batches.remove(at);
            return questions;
        }
        match batch.stage {
            Stage::Comparing => {
                let differing = std::mem::take(&mut batch.differing);
                let mut number = 0..;
                batch
                    .entries
                    .retain(|_| number.next().is_none_or(|at: u16| !differing.contains(&at)));
                let mut number = 0..;
                batch
                    .idle
                    .retain(|_| number.next().is_none_or(|at: u16| !differing.contains(&at)));
                if batch.goal == Goal::Fold {
                    keep_foldable(batch, &self.lives);
                    if batch.entries.is_empty() {
                        self.batches.remove(at);
                        return questions;
                    }
                }
                batch.stage = Stage::Aging;
                batch.since = now;
                batch.due = if active(Mutant::ReapEarly) {
                    now
                } else {
                    now.plus_ms(site.reap_age_ms)
                };
            }
            Stage::Pinning { generation } => {
                // The head of a hash goes once its fields are gone.
                self.has_left_some |= batch.goal == Goal::Reap && batch.entries.iter().any(|entry| entry.0.is_field());
                if !tell(batch, generation, TELLS, site, &mut questions) {
                    self.batches.remove(at);
                }
            }
            Stage::Aging | Stage::Clearing | Stage::Telling { .. } => {}
        }
        questions
    }

    /// A node has said whether it keeps hints.
    pub(super) fn on_clear(
        &mut self,
        from: NodeId,
        op: OpId,
        is_clear: bool,
        life: Option<Life>,
        site: &Site,
    ) -> Questions {
        let mut questions = Vec::new();
        note_life(&mut self.lives, from, life);
        let Some(at) = self
            .batches
            .iter()
            .position(|batch| batch.op == op && batch.waiting.contains(&from))
        else {
            return questions;
        };
        if !is_clear {
            self.block(from, Block::KeepsHints, site.now.time);
        }
        let batch = &mut self.batches[at];
        batch.waiting.retain(|node| *node != from);
        batch.is_refused |= !is_clear;
        note_life(&mut batch.lives, from, life);
        if !batch.waiting.is_empty() || batch.is_refused || batch.stage != Stage::Clearing {
            return questions;
        }
        let Some(mut batch) = self.batches.remove(at) else {
            return questions;
        };
        for node in &batch.keepers {
            self.blocks.remove(node);
        }
        if self.must_wait(&mut batch, site) || self.pin(&mut batch, site, &mut questions) {
            self.batches.push_back(batch);
        }
        questions
    }

    /// A peer went away: who knows on which disk it comes back. Its batches are begun anew by the next walk.
    pub(super) fn on_peer_down(&mut self, node: NodeId) {
        self.lives.remove(&node);
        if active(Mutant::ReapWithoutAHome) {
            return;
        }
        let before = self.batches.len();
        self.batches
            .retain(|batch| matches!(batch.stage, Stage::Telling { .. }) || !batch.homes.contains(&node));
        self.has_left_some |= self.batches.len() < before;
    }

    /// This node is in the way of reaping.
    pub(super) fn block(&mut self, node: NodeId, block: Block, now: Time) {
        let entry = self.blocks.entry(node).or_insert((block, now));
        if entry.0 != block {
            *entry = (block, now);
        }
    }

    /// Nodes that were away and are back are in nobody's way.
    pub(super) fn on_tick(&mut self, site: &Site) {
        self.blocks
            .retain(|node, (block, _)| *block != Block::Away || !site.is_reachable(*node));
    }
}

/// What a node says of its life; nothing, if an earlier one may still go on.
fn note_life(lives: &mut BTreeMap<NodeId, Life>, node: NodeId, life: Option<Life>) {
    match life {
        Some(life) => lives.insert(node, life),
        None => lives.remove(&node),
    };
}

/// Keeps the entries of which something can be folded: of the homes it is known by now, of those who may have stood in for
/// them as far as they were heard.
fn keep_foldable(batch: &mut Batch, heard: &BTreeMap<NodeId, Life>) {
    let lives: Lives = batch.lives.iter().map(|(node, life)| (*node, *life)).collect();
    let may_go = |actor: &ActorId| {
        let is_keeper = batch.keepers.contains(&actor.node);
        is_over(*actor, &lives) || (is_keeper && heard.get(&actor.node) != Some(&actor.life))
    };
    let keeps: Vec<bool> = batch.idle.iter().map(|idle| idle.iter().any(may_go)).collect();
    let mut at = keeps.iter();
    batch.entries.retain(|_| at.next() == Some(&true));
    let mut at = keeps.iter();
    batch.idle.retain(|_| at.next() == Some(&true));
}

/// Tells all homes to forget, or to fold; false once that was said often enough.
fn tell(batch: &mut Batch, generation: u64, left: u8, site: &Site, questions: &mut Questions) -> bool {
    if left == 0 {
        return false;
    }
    for &node in batch.homes.iter().filter(|&&node| site.is_reachable(node)) {
        let (partition, bucket) = batch.place;
        let spared = batch.differing.iter().copied().collect();
        let agreed = match batch.goal {
            Goal::Reap => ReapTalk::Reap {
                partition,
                bucket,
                generation,
                spared,
            },
            Goal::Fold => ReapTalk::Fold {
                partition,
                bucket,
                generation,
                spared,
                lives: batch.lives.iter().map(|(node, life)| (*node, *life)).collect(),
            },
        };
        questions.push((node, agreed));
    }
    batch.stage = Stage::Telling {
        generation,
        left: left - 1,
    };
    batch.due = site.now.time.plus_ms(TELL_MS);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{BucketId, PartitionId};
    use crate::reaping::tests::alone;

    const PLACE: Place = (PartitionId(3), BucketId(1));
    const KEEPER: NodeId = NodeId(99);

    /// Of which all homes hold the same, and of which only hints may keep something else.
    fn aged(number: u8, site: &Site, lead: &mut Lead) {
        let key = RecordKey::new(PLACE.0, PLACE.1, 7, &[number], &[]);
        let found = Found {
            key,
            hash: 0,
            idle: Vec::new(),
        };
        lead.add(PLACE, Goal::Reap, vec![found], site);
        let batch = lead.batches.back_mut().expect("added");
        batch.op = OpId(u64::from(number));
        batch.stage = Stage::Aging;
    }

    fn pinning(questions: &Questions) -> usize {
        let is_pinning = |talk: &ReapTalk| matches!(talk, ReapTalk::Ask { generation, .. } if *generation > 0);
        questions.iter().filter(|(_, talk)| is_pinning(talk)).count()
    }

    /// Both took the same generation: one took the pin of the other, or was thrown away after three minutes.
    #[test]
    fn of_two_batches_of_one_place_that_are_due_one_pins() {
        let mut site = alone();
        let mut lead = Lead::new(1);
        aged(1, &site, &mut lead);
        aged(2, &site, &mut lead);
        assert_eq!(pinning(&lead.go_on(false, &site)), 1);
        assert_eq!(lead.batches.len(), 2, "the other waits");
        // The first stays without an answer and is dropped: now it is the other's turn.
        site.now.time = site.now.time.plus_ms(ANSWER_MS);
        let mut asked = 0;
        for _ in 0..2 {
            asked += pinning(&lead.go_on(false, &site));
            site.now.time = site.now.time.plus_ms(TELL_MS);
        }
        assert_eq!(asked, 1);
    }

    /// The same where both had asked those who keep hints before either pinned.
    #[test]
    fn of_two_batches_of_one_place_that_are_cleared_one_pins() {
        let site = alone();
        let mut lead = Lead::new(1);
        for number in [1, 2] {
            aged(number, &site, &mut lead);
            let batch = lead.batches.back_mut().expect("added");
            batch.stage = Stage::Clearing;
            batch.generation = 1;
            batch.keepers.push(KEEPER);
            batch.waiting.push(KEEPER);
        }
        let asked = [1, 2].map(|op| pinning(&lead.on_clear(KEEPER, OpId(op), true, None, &site)));
        assert_eq!(asked, [1, 0]);
        assert_eq!(lead.batches.len(), 2, "the other waits");
    }
}
