//! When this node counts its trees and with whom it compares them: ranges known to differ first, then every peer and every
//! partition in turn, for ever, within a bound of bytes a second that an operator can change (`Work::AntiEntropy`).
//!
//! ```text
//! idle ──every 5 s, when a peer comes up, or asked for──▶ round: dirty ranges, then all peers ──one at a time──▶ idle
//! ```

use std::collections::{BTreeSet, VecDeque};

use crate::background::{Runs, Work};
use crate::entropy::answer::{Answers, LISTED_BYTES_MAX, LISTED_RECORDS_MAX};
use crate::entropy::exchange::{Answered, Exchange};
use crate::entropy::talk::{EntropyTalk, Group, Level};
use crate::entropy::trees::TreeId;
use crate::id::{BucketId, NodeId, OpId, PartitionId, Token};
use crate::random::Random;
use crate::site::Site;
use crate::storage::{Page, StoreError, StoreOp, StoreReply};
use crate::time::Time;

/// A round begins at most this often, in milliseconds.
const ROUND_MS: u64 = 5_000;
/// A peer that has come up is compared with this soon, in milliseconds: what waits for it is delivered first.
const UP_MS: u64 = 1_000;
/// Partitions whose roots go into one message.
const ROOTS_MAX: usize = 512;
/// How long after a store that could not read it is asked again, in milliseconds.
const RETRY_MS: u64 = 5_000;
/// A run gives up when so many passes in a row got no further than one before: with a peer that never counts its trees (it is
/// paused), with copies that contradict each other, or under writes that go on and on.
const VAIN_PASSES_MAX: u8 = 12;
/// Anti-entropy draws its numbers from a generator of its own, so that what it does moves no other choice.
const SEED: u64 = 0x656e_7472_6f70_7921;

/// What an operator may know of anti-entropy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EntropyProgress {
    /// Trees that are counted.
    pub trees_counted: usize,
    /// All trees of this node.
    pub trees: usize,
    /// Partitions known to differ from another home's, one for each such home and each group of buckets.
    pub dirty_ranges: usize,
    /// A comparison is under way.
    pub is_comparing: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Entropy {
    op: u64,
    counting: Option<Token>,
    count_due: Time,
    round_at: Time,
    /// What operators ask for: every partition is compared with every peer, and counted first if it must be.
    runs: Runs,
    /// Rounds since a peer came up: says whose turn it is to compare what.
    rounds: u16,
    left: VecDeque<(NodeId, Group, Vec<PartitionId>)>,
    exchange: Option<Exchange>,
    answers: Answers,
    dirty: BTreeSet<(TreeId, NodeId)>,
    /// What the pass at hand has not found equal so far: one for each partition, group and peer that it took on.
    open: usize,
    /// The fewest that were left open by a pass of the run.
    open_min: usize,
    /// Passes of the run since that.
    vain_passes: u8,
}

impl Entropy {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(seed: u64, now: Time) -> Self {
        Self {
            op: Random::new(seed ^ SEED).next_u64(),
            counting: None,
            count_due: now,
            round_at: now.plus_ms(ROUND_MS),
            runs: Runs::default(),
            rounds: 0,
            left: VecDeque::new(),
            exchange: None,
            answers: Answers::default(),
            dirty: BTreeSet::new(),
            open: 0,
            open_min: usize::MAX,
            vain_passes: 0,
        }
    }

    /// A partition of a bucket is known to differ from a peer's copy: it is compared before others.
    pub fn mark_dirty(&mut self, partition: PartitionId, bucket: BucketId, peer: NodeId, site: &Site) {
        if let Some(group) = site.trees.group(bucket) {
            self.dirty.insert((TreeId { partition, group }, peer));
        }
    }

    /// Where anti-entropy is.
    #[must_use]
    pub fn progress(&self, site: &Site) -> EntropyProgress {
        let (trees_counted, trees) = site.trees.progress();
        EntropyProgress {
            trees_counted,
            trees,
            dirty_ranges: self.dirty.len(),
            is_comparing: self.exchange.is_some(),
        }
    }

    /// A run that was asked for is not over.
    #[must_use]
    pub fn is_run_going(&self) -> bool {
        self.runs.is_going()
    }

    /// When something is due.
    #[must_use]
    pub fn due(&self, site: &Site) -> Time {
        let count = if self.counting.is_none() && site.trees.is_counting() {
            self.count_due
        } else {
            Time::NEVER
        };
        let exchange = match &self.exchange {
            Some(exchange) if exchange.is_waiting() => exchange.deadline,
            Some(exchange) => exchange.due,
            None => self.round_at,
        };
        count.min(exchange)
    }

    /// Does what is due.
    pub fn go_on(&mut self, site: &mut Site) {
        let pace = *site.background.pace(Work::AntiEntropy);
        let now = site.now.time;
        if self.runs.begins(&pace) {
            self.left.clear();
            self.end(site);
            self.open_min = usize::MAX;
            self.vain_passes = 0;
            self.round_at = now;
            self.count_due = now;
        }
        if self.due(site) > now {
            return;
        }
        let may_begin = !site.out_of_service && !self.runs.is_paused(&pace);
        if !may_begin {
            self.count_due = self.count_due.max(now.plus_ms(RETRY_MS));
            if self.exchange.is_none() {
                self.round_at = self.round_at.max(now.plus_ms(RETRY_MS));
            }
        }
        if may_begin && self.counting.is_none() && self.count_due <= now {
            self.count(site);
        }
        self.compare(may_begin, site);
    }

    fn count(&mut self, site: &mut Site) {
        let Some((range, group)) = site.trees.next_page() else {
            return;
        };
        let token = site.ask_store(StoreOp::Scan {
            range,
            class: group.class,
            records_max: LISTED_RECORDS_MAX,
            bytes_max: LISTED_BYTES_MAX,
            may_wait: true,
        });
        self.counting = Some(token);
    }

    fn compare(&mut self, may_begin: bool, site: &mut Site) {
        let now = site.now.time;
        loop {
            match &mut self.exchange {
                Some(exchange) if exchange.is_waiting() => {
                    if exchange.deadline > now {
                        return;
                    }
                    self.end(site);
                }
                // It may have a million records before it.
                Some(_) if !may_begin => {
                    self.left.clear();
                    self.end(site);
                }
                Some(exchange) => {
                    if exchange.due > now || exchange.go_on(site) {
                        return;
                    }
                    self.end(site);
                }
                None => {
                    if !may_begin || self.round_at > now {
                        return;
                    }
                    if self.left.is_empty() {
                        self.plan(site);
                    }
                    let Some((peer, group, partitions)) = self.left.pop_front() else {
                        self.end_round(site);
                        return;
                    };
                    self.op = self.op.wrapping_add(1 << 32);
                    self.exchange = Some(Exchange::new(peer, group, partitions, OpId(self.op), now));
                }
            }
        }
    }

    /// The comparison at hand is over, or is broken off.
    fn end(&mut self, site: &mut Site) {
        let Some(exchange) = self.exchange.take() else { return };
        site.stats.entropy_exchanges += 1;
        let (group, peer) = (exchange.group, exchange.peer);
        self.open = self.open.saturating_sub(exchange.equal.len());
        for partition in exchange.equal {
            self.dirty.remove(&(TreeId { partition, group }, peer));
        }
        for partition in exchange.differing {
            self.dirty.insert((TreeId { partition, group }, peer));
        }
        if self.left.is_empty() {
            self.end_round(site);
        }
    }

    fn end_round(&mut self, site: &Site) {
        if self.needs_another_pass(site) {
            self.runs.miss();
        }
        self.runs.end_pass();
        self.rounds = self.rounds.wrapping_add(1);
        self.round_at = site.now.time.plus_ms(ROUND_MS);
    }

    /// What a run is to compare it must have found equal, also what it has mended: some of that may not have arrived.
    fn needs_another_pass(&mut self, site: &Site) -> bool {
        let (counted, trees) = site.trees.progress();
        if counted < trees {
            return true;
        }
        if self.open < self.open_min {
            self.open_min = self.open;
            self.vain_passes = 0;
        } else {
            self.vain_passes = self.vain_passes.saturating_add(1);
        }
        self.open > 0 && self.vain_passes < VAIN_PASSES_MAX
    }

    /// What this node shares with peers that can be asked: dirty ranges first, then half of the rest.
    fn plan(&mut self, site: &mut Site) {
        self.runs.begin_pass();
        self.open = 0;
        let peers: Vec<NodeId> = site.peers.up().collect();
        let groups = site.trees.groups();
        for is_dirty in [true, false] {
            for &peer in &peers {
                for &group in &groups {
                    let partitions: Vec<PartitionId> = site.ring.partitions_of(site.id, group.n).collect();
                    let wanted: Vec<PartitionId> = partitions
                        .into_iter()
                        .filter(|&partition| {
                            self.dirty.contains(&(TreeId { partition, group }, peer)) == is_dirty
                                && (is_dirty || self.runs.is_going() || is_turn(partition, self.rounds, site.id < peer))
                                && site.ring.is_home(peer, partition, group.n)
                                && site.trees.find(TreeId { partition, group }).is_some()
                        })
                        .collect();
                    self.open += wanted.len();
                    let chunks = wanted.chunks(ROOTS_MAX);
                    self.left.extend(chunks.map(|chunk| (peer, group, chunk.to_vec())));
                }
            }
        }
    }

    /// A peer says something.
    pub fn on_talk(&mut self, from: NodeId, talk: EntropyTalk, site: &mut Site) {
        let exchange = self.exchange.as_mut().filter(|exchange| exchange.peer == from);
        match talk {
            EntropyTalk::Digests {
                op,
                group,
                level,
                digests,
            } => {
                let equal = Answers::on_digests(from, op, group, level, &digests, site);
                if level == Level::Roots {
                    // The peer has mended what this node knew to differ, which itself may be paused.
                    for partition in equal.into_iter().map(PartitionId) {
                        self.dirty.remove(&(TreeId { partition, group }, from));
                    }
                }
            }
            EntropyTalk::Differing { op, numbers, uncounted } => {
                if let Some(exchange) = exchange {
                    exchange.on_differing(op, numbers, &uncounted, site);
                }
            }
            EntropyTalk::Keys { op, range, entries } => self.answers.on_keys(from, op, range, entries, site),
            EntropyTalk::Records {
                op,
                complete_up_to,
                records,
                missing,
                failed,
            } => {
                let answered = Answered {
                    complete_up_to,
                    records,
                    missing,
                    failed,
                };
                if let Some(exchange) = exchange {
                    exchange.on_records(op, answered, site);
                }
            }
            EntropyTalk::Recount { group, partition, leaf } => {
                if leaf < super::tree::LEAVES {
                    site.trees.recount(TreeId { partition, group }, leaf);
                }
            }
        }
    }

    /// A peer did not take what it was sent, or refuses to answer: whatever is sent next would be for nothing, too. The
    /// partition stays known to differ.
    pub fn on_refused(&mut self, from: NodeId, op: OpId, site: &mut Site) {
        let exchange = self.exchange.as_ref().filter(|exchange| exchange.peer == from);
        if exchange.is_some_and(|exchange| exchange.is_own(op)) {
            self.end(site);
        }
    }

    /// A store effect is answered; gives it back if it was not asked for here.
    pub fn on_stored(&mut self, token: Token, reply: StoreReply, site: &mut Site) -> Option<StoreReply> {
        let is_exchange = self
            .exchange
            .as_ref()
            .is_some_and(|exchange| exchange.is_reading(token));
        if self.counting == Some(token) {
            self.counting = None;
            let page = page_of(reply, site);
            self.on_counted(page, site);
        } else if is_exchange {
            if let Some(exchange) = &mut self.exchange {
                let page = page_of(reply, site);
                exchange.on_page(page, site);
            }
        } else if self.answers.is_reading(token) {
            let page = page_of(reply, site);
            self.answers.on_page(token, page, site);
        } else {
            return Some(reply);
        }
        None
    }

    fn on_counted(&mut self, page: Option<Page>, site: &mut Site) {
        let Some(page) = page else {
            site.trees.on_page(None);
            self.count_due = site.now.time.plus_ms(RETRY_MS);
            return;
        };
        for key in &page.damaged {
            site.note_damage(key);
        }
        let bytes: usize = page.records.iter().map(|entry| entry.1.weight()).sum();
        site.stats.entropy_records_counted += page.records.len() as u64;
        let pause_us = site.background.anti_entropy.microseconds_for(bytes as u64);
        self.count_due = Time(site.now.time.0.saturating_add(pause_us));
        site.trees.on_page(Some(&page));
    }

    /// A peer can be asked: it may lack what was written without it.
    pub fn on_peer_up(&mut self, now: Time) {
        // The peer's rounds begin now, too.
        self.rounds = 0;
        self.round_at = self.round_at.min(now.plus_ms(UP_MS));
    }

    /// A peer went away: what was asked of it stays unanswered.
    pub fn on_peer_down(&mut self, node: NodeId, site: &mut Site) {
        self.left.retain(|entry| entry.0 != node);
        if self.exchange.as_ref().is_some_and(|exchange| exchange.peer == node) {
            self.end(site);
        }
    }
}

/// True if it is the turn of the home with the lower id, or of the other one, to begin a comparison of a partition: it mends
/// both, so two at a time would find and send everything twice. Turns change with every round, so that a node that begins
/// none (they are paused there) is compared all the same.
fn is_turn(partition: PartitionId, rounds: u16, is_lower: bool) -> bool {
    partition.0.wrapping_add(rounds).is_multiple_of(2) == is_lower
}

/// A page, unless it could not be read; if that was for damage, a scrub must find out what is damaged.
fn page_of(reply: StoreReply, site: &mut Site) -> Option<Page> {
    match reply {
        StoreReply::Page(page) => Some(page),
        StoreReply::Failed(StoreError::Damaged) => {
            site.damage.note_somewhere();
            None
        }
        StoreReply::Record(_) | StoreReply::Done | StoreReply::Scrubbed(_) | StoreReply::Failed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_homes_take_turns_and_each_of_them_compares_everything_in_two_rounds() {
        for partition in [0, 1, 254, 255].map(PartitionId) {
            for rounds in [0, 1, u16::MAX] {
                assert_ne!(is_turn(partition, rounds, true), is_turn(partition, rounds, false));
                let next = rounds.wrapping_add(1);
                assert_ne!(is_turn(partition, rounds, true), is_turn(partition, next, true));
            }
        }
    }
}
