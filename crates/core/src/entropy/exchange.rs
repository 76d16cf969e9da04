//! One comparison with one peer, from the side that asks: roots, a pause for what is in flight, roots again; then blocks,
//! leaves and the records of leaves that differ, neighbours together. Records are only ever merged, and only where they change something.
//!
//! ```text
//! roots ──differ──▶ pause ──▶ roots ──differ──▶ blocks ──▶ leaves ──▶ list own leaf ──▶ keys ──▶ records: merge, send
//!   └──equal: done              └──equal: done                          └─ nothing differs: both count the leaf again
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use smallvec::smallvec;

use crate::causality::Record;
use crate::causality::codec::record_hash;
use crate::effect::Notice;
use crate::entropy::answer::{LISTED_BYTES_MAX, LISTED_RECORDS_MAX};
use crate::entropy::talk::{EntropyTalk, Group, Level};
use crate::entropy::tree::{FANOUT, LEAVES, names_of_leaf};
use crate::entropy::trees::TreeId;
use crate::id::{NodeId, OpId, PartitionId, Token};
use crate::key::RecordKey;
use crate::message::{Message, Space, WriteRecords};
use crate::site::{Local, Site};
use crate::storage::{Page, Range, StoreOp};
use crate::time::Time;

/// How long after roots were found to differ they are compared again, in milliseconds: writes in flight arrive meanwhile.
const PAUSE_MS: u64 = 500;
/// An answer that stays out this long ends the comparison, in milliseconds.
const ANSWER_MS: u64 = 5_000;
/// After a listing, nothing is asked for this many times as long as it took: comparing many records leaves most of both
/// nodes' time to clients, and ever more of it the slower they are.
const REST_FACTOR: u64 = 5;
/// But not for longer, in milliseconds: over a long way most of that time is spent travelling.
const REST_MS_MAX: u64 = 50;
/// Leaves that differ are listed together if so many leaves or fewer between them don't, however full these are.
const GAP_LEAVES: usize = 3;
/// Where leaves are empty as a rule, they are listed together if about so many records or fewer lie between them: naming those
/// costs less than a question more.
const GAP_RECORDS: usize = 16;
/// Most leaves listed together.
const RUN_MAX: usize = 64;
/// Blocks whose leaves are asked for at once: 512 digests.
const BLOCKS_MAX: usize = 8;
/// Bytes of one digest in a message.
const DIGEST_BYTES: u64 = 18;

/// What is waited for.
#[derive(Debug)]
enum Awaited {
    Nothing,
    Roots(Vec<PartitionId>),
    Blocks(PartitionId),
    Leaves(PartitionId),
    OwnPage(Token, Range),
    Records(Range, BTreeMap<RecordKey, Arc<Record>>, u64),
}

/// Leaves that differ, in order and close together, and so listed together.
type Run = Vec<u16>;

/// The run being listed.
#[derive(Debug)]
struct Listing {
    partition: PartitionId,
    run: Run,
    ranges: VecDeque<Range>,
    differing: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) peer: NodeId,
    pub(super) group: Group,
    /// Of this comparison's questions and writes, the one before the first and the last.
    first_op: OpId,
    op: OpId,
    awaited: Awaited,
    pub(super) deadline: Time,
    /// Nothing is asked before.
    pub(super) due: Time,
    roots_left: Option<(Vec<PartitionId>, bool)>,
    partitions_left: VecDeque<PartitionId>,
    blocks_left: VecDeque<(PartitionId, Vec<u16>)>,
    runs_left: VecDeque<(PartitionId, Run)>,
    listing: Option<Listing>,
    /// When the last page of a listing was asked for.
    listed_at: Time,
    /// Partitions whose roots were found equal.
    pub(super) equal: Vec<PartitionId>,
    /// Partitions whose roots differed twice.
    pub(super) differing: Vec<PartitionId>,
}

impl Exchange {
    pub(super) fn new(peer: NodeId, group: Group, partitions: Vec<PartitionId>, op: OpId, now: Time) -> Self {
        Self {
            peer,
            group,
            first_op: op,
            op,
            awaited: Awaited::Nothing,
            deadline: Time::NEVER,
            due: now,
            roots_left: Some((partitions, false)),
            partitions_left: VecDeque::new(),
            blocks_left: VecDeque::new(),
            runs_left: VecDeque::new(),
            listing: None,
            listed_at: now,
            equal: Vec::new(),
            differing: Vec::new(),
        }
    }

    /// True while an answer is out.
    pub(super) fn is_waiting(&self) -> bool {
        !matches!(self.awaited, Awaited::Nothing)
    }

    /// True if this answer or page is the one waited for.
    pub(super) fn is_reading(&self, token: Token) -> bool {
        matches!(&self.awaited, Awaited::OwnPage(asked, _) if *asked == token)
    }

    /// Asks the next question; false if nothing is left to ask.
    pub(super) fn go_on(&mut self, site: &mut Site) -> bool {
        loop {
            if let Some(listing) = &mut self.listing {
                if let Some(range) = listing.ranges.pop_front() {
                    let token = site.ask_store(StoreOp::Scan {
                        range: range.clone(),
                        class: self.group.class,
                        records_max: LISTED_RECORDS_MAX,
                        bytes_max: LISTED_BYTES_MAX,
                        may_wait: true,
                    });
                    self.listed_at = site.now.time;
                    self.wait(Awaited::OwnPage(token, range), site);
                    return true;
                }
                self.end_listing(site);
                continue;
            }
            if let Some((partition, run)) = self.runs_left.pop_front() {
                self.begin_listing(partition, run, site);
                continue;
            }
            if let Some((partition, blocks)) = self.blocks_left.pop_front() {
                let leaves = blocks.iter().flat_map(|block| block * FANOUT..(block + 1) * FANOUT);
                if self.ask_digests(Level::Leaves(partition), leaves.collect(), site) {
                    self.wait(Awaited::Leaves(partition), site);
                    return true;
                }
                continue;
            }
            if let Some(partition) = self.partitions_left.pop_front() {
                if self.ask_digests(Level::Blocks(partition), (0..FANOUT).collect(), site) {
                    self.wait(Awaited::Blocks(partition), site);
                    return true;
                }
                continue;
            }
            let Some((partitions, _)) = &self.roots_left else {
                return false;
            };
            // What is to be counted again meanwhile is not asked about, and so not answered.
            let group = self.group;
            let partitions: Vec<PartitionId> = partitions
                .iter()
                .copied()
                .filter(|&partition| site.trees.find(TreeId { partition, group }).is_some())
                .collect();
            let numbers = partitions.iter().map(|partition| partition.0).collect();
            if !self.ask_digests(Level::Roots, numbers, site) {
                return false;
            }
            self.wait(Awaited::Roots(partitions), site);
            return true;
        }
    }

    fn wait(&mut self, awaited: Awaited, site: &Site) {
        self.awaited = awaited;
        self.deadline = site.now.time.plus_ms(ANSWER_MS);
    }

    /// Bytes that were sent or read count against the rate.
    fn spend(&mut self, bytes: u64, site: &mut Site) {
        site.stats.entropy_bytes += bytes;
        let pause_us = site.background.anti_entropy.microseconds_for(bytes);
        self.due = Time(self.due.max(site.now.time).0.saturating_add(pause_us));
    }

    /// False if none of these is counted here.
    fn ask_digests(&mut self, level: Level, numbers: Vec<u16>, site: &mut Site) -> bool {
        let group = self.group;
        let mut digests = Vec::with_capacity(numbers.len());
        for number in numbers {
            let partition = match level {
                Level::Roots => PartitionId(number),
                Level::Blocks(partition) | Level::Leaves(partition) => partition,
            };
            let Some(tree) = site.trees.find(TreeId { partition, group }) else {
                continue;
            };
            let digest = match level {
                Level::Roots => tree.root(),
                Level::Blocks(_) => tree.block(number),
                Level::Leaves(_) => tree.leaf(number),
            };
            digests.push((number, digest));
        }
        if digests.is_empty() {
            return false;
        }
        self.spend(digests.len() as u64 * DIGEST_BYTES, site);
        let op = self.next_op();
        let talk = EntropyTalk::Digests {
            op,
            group,
            level,
            digests,
        };
        site.send(&[self.peer], Message::Entropy(talk));
        true
    }

    /// Every question has a number of its own: a late or repeated answer to another one is dropped.
    fn next_op(&mut self) -> OpId {
        self.op.0 = self.op.0.wrapping_add(1);
        self.op
    }

    /// True if this comparison asked or sent something under this number.
    pub(super) fn is_own(&self, op: OpId) -> bool {
        let since = |op: OpId| op.0.wrapping_sub(self.first_op.0);
        since(op) <= since(self.op)
    }

    /// The peer says what differs.
    pub(super) fn on_differing(&mut self, op: OpId, numbers: Vec<u16>, uncounted: &[u16], site: &mut Site) {
        if op != self.op {
            return;
        }
        match std::mem::replace(&mut self.awaited, Awaited::Nothing) {
            Awaited::Roots(asked) => {
                let is_second = self.roots_left.take().is_some_and(|roots| roots.1);
                let differs = |partition: &PartitionId| numbers.contains(&partition.0);
                let is_equal = |partition: &&PartitionId| !differs(partition) && !uncounted.contains(&partition.0);
                self.equal.extend(asked.iter().filter(is_equal));
                let differing: Vec<PartitionId> = asked.into_iter().filter(differs).collect();
                if is_second {
                    self.differing.extend(&differing);
                    self.partitions_left.extend(differing);
                } else if !differing.is_empty() {
                    self.roots_left = Some((differing, true));
                    self.due = self.due.max(site.now.time.plus_ms(PAUSE_MS));
                }
            }
            Awaited::Blocks(partition) => {
                let blocks: Vec<u16> = numbers.into_iter().filter(|&number| number < FANOUT).collect();
                let parts = blocks.chunks(BLOCKS_MAX).map(|part| (partition, part.to_vec()));
                self.blocks_left.extend(parts);
            }
            Awaited::Leaves(partition) => {
                let gap = self.gap(partition, site);
                let runs = runs_of(numbers, gap).into_iter();
                self.runs_left.extend(runs.map(|run| (partition, run)));
            }
            other @ (Awaited::Nothing | Awaited::OwnPage(..) | Awaited::Records(..)) => self.awaited = other,
        }
    }

    /// How many equal leaves may lie between two that are listed together.
    fn gap(&self, partition: PartitionId, site: &mut Site) -> usize {
        let group = self.group;
        let tree = site.trees.find(TreeId { partition, group });
        let full = tree.map_or(usize::from(LEAVES), |tree| tree.full_leaves());
        GAP_LEAVES + GAP_RECORDS * (usize::from(LEAVES) - full) / full.max(1)
    }

    fn begin_listing(&mut self, partition: PartitionId, run: Run, site: &Site) {
        let (Some(&first), Some(&last)) = (run.first(), run.last()) else {
            return;
        };
        let buckets = site.trees.buckets(self.group);
        let partitions = site.ring.partitions();
        let range_of = |bucket| {
            let (start, _) = names_of_leaf(partition, bucket, first, partitions);
            let (_, end) = names_of_leaf(partition, bucket, last, partitions);
            let end = Some(end);
            Range { bucket, start, end }
        };
        self.listing = Some(Listing {
            partition,
            ranges: buckets.into_iter().map(range_of).collect(),
            run,
            differing: 0,
        });
    }

    fn end_listing(&mut self, site: &mut Site) {
        let Some(listing) = self.listing.take() else { return };
        if listing.differing > 0 {
            return;
        }
        let (group, partition) = (self.group, listing.partition);
        for leaf in listing.run {
            site.trees.recount(TreeId { partition, group }, leaf);
            let talk = EntropyTalk::Recount { group, partition, leaf };
            site.send(&[self.peer], Message::Entropy(talk));
        }
    }

    /// This node's own records of the range have been read; `None`: they could not be.
    pub(super) fn on_page(&mut self, page: Option<Page>, site: &mut Site) {
        let Awaited::OwnPage(_, mut range) = std::mem::replace(&mut self.awaited, Awaited::Nothing) else {
            return;
        };
        let Some(page) = page else {
            if let Some(listing) = &mut self.listing {
                listing.differing += 1;
            }
            return;
        };
        for key in &page.damaged {
            site.note_damage(key);
        }
        if let Some(next) = &page.next {
            self.list_later(&range, next.clone(), site);
            range.end = Some(next.clone());
        }
        let entries: Vec<(RecordKey, u128)> = page
            .records
            .iter()
            .map(|(key, record)| (key.clone(), record_hash(key, record)))
            .collect();
        let bytes: usize = entries.iter().map(|entry| entry.0.as_bytes().len() + 20).sum();
        let read: usize = page.records.iter().map(|entry| entry.1.weight()).sum();
        self.spend((bytes + read) as u64, site);
        let session = site.peers.session_of(self.peer);
        let op = self.next_op();
        let asked = range.clone();
        self.wait(
            Awaited::Records(range, page.records.into_iter().collect(), session),
            site,
        );
        let talk = EntropyTalk::Keys {
            op,
            range: asked,
            entries,
        };
        site.send(&[self.peer], Message::Entropy(talk));
    }

    /// What comes behind the page that ends at `next`. Equal leaves are listed where they cost no page: what is left of one
    /// is not, which may be a hash of a million fields.
    fn list_later(&mut self, range: &Range, next: Bytes, site: &Site) {
        let Some(listing) = &mut self.listing else { return };
        let names = |leaf| names_of_leaf(listing.partition, range.bucket, leaf, site.ring.partitions());
        let at = listing.run.partition_point(|&leaf| names(leaf).1 <= next);
        let Some(&leaf) = listing.run.get(at) else { return };
        let start = names(leaf).0.max(next);
        if range.end.as_ref().is_none_or(|end| start < *end) {
            listing.ranges.push_front(Range { start, ..range.clone() });
        }
    }

    /// The peer gives what it holds otherwise. Contradictions are told by the caller: their keys are given back.
    pub(super) fn on_records(&mut self, op: OpId, talk: Answered, site: &mut Site) {
        if op != self.op || !matches!(self.awaited, Awaited::Records(..)) {
            return;
        }
        let Awaited::Records(range, own, session) = std::mem::replace(&mut self.awaited, Awaited::Nothing) else {
            return;
        };
        let now = site.now.time.0;
        let rest_us = REST_FACTOR.saturating_mul(now.saturating_sub(self.listed_at.0));
        self.due = self.due.max(Time(now.saturating_add(rest_us.min(REST_MS_MAX * 1_000))));
        let Some(listing) = &mut self.listing else { return };
        listing.differing += talk.records.len() + talk.missing.len() + usize::from(talk.failed);
        if let Some(next) = talk.complete_up_to
            && next > range.start
        {
            self.list_later(&range, next, site);
        }
        let within = |key: &RecordKey| {
            key.bucket() == range.bucket
                && key.as_bytes() >= &range.start[..]
                && range.end.as_ref().is_none_or(|end| key.as_bytes() < &end[..])
        };
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for (key, theirs) in talk.records.into_iter().filter(|entry| within(&entry.0)) {
            let Some(mine) = own.get(&key) else {
                here.push((key, theirs));
                continue;
            };
            let (Some(merged), Some(reversed)) = (merged(mine, &theirs), merged(&theirs, mine)) else {
                site.notice(Notice::Contradiction { key });
                continue;
            };
            if merged != reversed {
                site.notice(Notice::Contradiction { key });
                continue;
            }
            if merged != *mine {
                here.push((key.clone(), Arc::clone(&theirs)));
            }
            if merged != theirs {
                there.push((key, merged));
            }
        }
        for key in talk.missing {
            if let Some(mine) = own.get(&key) {
                let mine = Arc::clone(mine);
                there.push((key, mine));
            }
        }
        self.mend(here, there, session, site);
    }

    /// Nobody waits for these writes; they carry an operation all the same, since what one home holds must not replace a
    /// damaged record (RULINGS 19). Writes of operations are numbered from 1: the answers to number 0 concern nobody.
    fn mend(
        &mut self,
        here: Vec<(RecordKey, Arc<Record>)>,
        there: Vec<(RecordKey, Arc<Record>)>,
        session: u64,
        site: &mut Site,
    ) {
        let records = here.iter().chain(&there);
        let bytes: usize = records
            .map(|(key, record)| key.as_bytes().len() + record.weight())
            .sum();
        self.spend(bytes as u64, site);
        site.stats.entropy_keys_repaired += (here.len() + there.len()) as u64;
        if !here.is_empty() {
            site.local
                .push_back(Local::Merge(Some((self.op, 0)), here, Space::NotNeeded));
        }
        if !there.is_empty() {
            let write = WriteRecords {
                op: Some(self.op),
                attempt: 0,
                sessions: smallvec![(self.peer, session)],
                stand_in_for: None,
                space: Space::NotNeeded,
                records: there,
            };
            site.send(&[self.peer], Message::Write(write));
        }
    }
}

/// What a peer answers to a list of keys.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) complete_up_to: Option<Bytes>,
    pub(super) records: Vec<(RecordKey, Arc<Record>)>,
    pub(super) missing: Vec<RecordKey>,
    pub(super) failed: bool,
}

/// Leaves that differ, as a peer says, together with their neighbours; those that don't exist are dropped. At most `gap`
/// equal leaves lie between two of a run.
fn runs_of(mut leaves: Vec<u16>, gap: usize) -> Vec<Run> {
    leaves.retain(|&leaf| leaf < LEAVES);
    leaves.sort_unstable();
    leaves.dedup();
    let are_close = |one: &u16, next: &u16| usize::from(next - one) <= gap + 1;
    let runs = leaves.chunk_by(are_close).flat_map(|run| run.chunks(RUN_MAX));
    runs.map(<[u16]>::to_vec).collect()
}

fn merged(one: &Arc<Record>, other: &Record) -> Option<Arc<Record>> {
    let mut merged = (**one).clone();
    merged.merge(other).ok()?;
    Some(Arc::new(merged))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_that_differ_are_listed_with_their_neighbours() {
        let far = [0, 1, 5, 10, 4_095, 4_096, 9, 1];
        assert_eq!(runs_of(far.to_vec(), 3), [vec![0, 1, 5, 9, 10], vec![4_095]]);
        assert_eq!(runs_of(vec![3, 8], 3), [vec![3], vec![8]]);
        assert_eq!(runs_of(far.to_vec(), 255), [vec![0, 1, 5, 9, 10], vec![4_095]]);
        let all = runs_of((0..LEAVES).collect(), 3);
        assert!(all.iter().all(|run| run.len() == RUN_MAX));
        assert_eq!(all.concat(), (0..LEAVES).collect::<Vec<_>>());
        assert_eq!(runs_of(Vec::new(), 3), Vec::<Run>::new());
    }
}
