//! Rebuilding this node's copies: a replica that was wiped, has forgotten something, or lost unsynced writes reads its
//! partitions whole from at least N−W+1 complete other homes, or from all of them, merges them, and counts for no read
//! until it has (RULINGS 19). A home that is rebuilding too gives what it has, but proves nothing.
//!
//! ```text
//! rebuilding ──every range pulled from N−W+1 other homes──▶ complete
//! ```

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::bucket::{Bucket, Mode};
use crate::effect::Notice;
use crate::id::{BucketId, NodeId, OpId, PartitionId};
use crate::key::RecordKey;
use crate::message::{Message, Pull, PullReply};
use crate::site::Site;
use crate::storage::Range;
use crate::time::Time;

/// How long an unanswered pull is waited for, in milliseconds.
const PULL_TIMEOUT_MS: u64 = 5_000;
/// How long a rebuild rests of which something could not be merged, in milliseconds.
const AGAIN_MS: u64 = 5_000;

/// Partitions of one bucket that have the same other homes, to be pulled from one of them.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Stretch {
    bucket: BucketId,
    first: PartitionId,
    /// The first partition after it.
    end: u32,
}

#[derive(Debug)]
struct Pulling {
    stretch: Stretch,
    op: OpId,
    deadline: Time,
    /// A page so far came from a copy that is not complete.
    is_partial: bool,
}

/// What is left to pull.
#[derive(Debug, Default)]
pub struct Rebuild {
    /// For each stretch, the homes still needed and the homes to choose from.
    left: Vec<(Stretch, usize, BTreeSet<NodeId>)>,
    pulling: BTreeMap<NodeId, Pulling>,
    totals: BTreeMap<BucketId, usize>,
    began: BTreeMap<BucketId, Time>,
    /// Nothing of these is pulled before then.
    rests: BTreeMap<BucketId, Time>,
    next_op: u64,
}

impl Rebuild {
    /// Plans a bucket's rebuild; true if there is nothing to pull: no other node holds copies.
    pub fn begin(&mut self, bucket: &Bucket, site: &Site) -> bool {
        self.forget(bucket.id);
        if bucket.mode == Mode::Consistent {
            return true;
        }
        for (first, end, others) in stretches(bucket, site) {
            let n = others.len() + 1;
            let w = bucket
                .w
                .need(&site.ring.homes(first, bucket.n), site.ring.dc_of(site.id));
            let w = w.map_or(1, |need| usize::from(need.count()));
            let needed = (n + 1)
                .saturating_sub(w)
                .clamp(1, others.len().max(1))
                .min(others.len());
            if needed > 0 {
                *self.totals.entry(bucket.id).or_default() += needed;
                self.began.insert(bucket.id, site.now.time);
                self.left.push((
                    Stretch {
                        bucket: bucket.id,
                        first,
                        end,
                    },
                    needed,
                    others,
                ));
            }
        }
        !self.left.iter().any(|entry| entry.0.bucket == bucket.id)
    }

    /// Plans a bucket's rebuild once more, after a rest: some of what came could not be merged.
    pub fn begin_again(&mut self, bucket: &Bucket, site: &Site) {
        self.begin(bucket, site);
        self.rests.insert(bucket.id, site.now.time.plus_ms(AGAIN_MS));
    }

    /// Drops the plan of a bucket's rebuild.
    pub fn forget(&mut self, bucket: BucketId) {
        self.rests.remove(&bucket);
        self.left.retain(|entry| entry.0.bucket != bucket);
        self.pulling.retain(|_, pulling| pulling.stretch.bucket != bucket);
        self.totals.remove(&bucket);
    }

    /// Gives up on pulls that stay unanswered.
    pub fn on_tick(&mut self, site: &Site) {
        self.pulling.retain(|_, pulling| pulling.deadline > site.now.time);
    }

    /// Starts a pull at every reachable home that has none in flight.
    pub fn go_on(&mut self, site: &mut Site) {
        if self.left.is_empty() {
            return;
        }
        let up: Vec<NodeId> = site
            .peers
            .up()
            .filter(|node| !self.pulling.contains_key(node))
            .collect();
        for node in up {
            let busy = |stretch: &Stretch| self.pulling.values().filter(|pull| pull.stretch == *stretch).count();
            let rests = |bucket| self.rests.get(&bucket).is_some_and(|&until| until > site.now.time);
            let next = self.left.iter().find(|(stretch, needed, homes)| {
                homes.contains(&node) && busy(stretch) < *needed && !rests(stretch.bucket)
            });
            if let Some((stretch, ..)) = next {
                let stretch = stretch.clone();
                let from = RecordKey::range_start(stretch.first, stretch.bucket);
                self.pull(stretch, node, from, false, site);
            }
        }
    }

    /// Buckets of which nothing is left to pull.
    pub fn take_done(&mut self) -> Vec<BucketId> {
        let is_done = |bucket: &BucketId| !self.left.iter().any(|entry| entry.0.bucket == *bucket);
        let done: Vec<BucketId> = self.totals.keys().copied().filter(is_done).collect();
        for bucket in &done {
            self.totals.remove(bucket);
        }
        done
    }

    /// A peer went away: what it was giving is asked of another, or of it again.
    pub fn on_peer_down(&mut self, node: NodeId) {
        self.pulling.remove(&node);
    }

    /// A peer refused: try later.
    pub fn on_refused(&mut self, node: NodeId, op: OpId) {
        if self.pulling.get(&node).is_some_and(|pull| pull.op == op) {
            self.pulling.remove(&node);
        }
    }

    /// A page has come; its records are the caller's to merge. True if it belongs to a pull in flight.
    pub fn on_page(&mut self, from: NodeId, reply: &PullReply, site: &mut Site) -> bool {
        // A page that was read long ago may hold what all homes have forgotten since.
        if self
            .pulling
            .get(&from)
            .is_none_or(|pull| pull.op != reply.op || pull.deadline <= site.now.time)
        {
            return false;
        }
        let Some(pull) = self.pulling.remove(&from) else {
            return false;
        };
        match (&reply.next, reply.failed) {
            // Its store can't read: it is asked again when the pull's time is up, not at once and for ever.
            (_, true) => {
                self.pulling.insert(from, pull);
            }
            (Some(next), false) => {
                let is_partial = pull.is_partial || reply.partial;
                self.pull(pull.stretch, from, next.clone(), is_partial, site);
            }
            (None, false) => {
                if let Some(entry) = self.left.iter_mut().find(|entry| entry.0 == pull.stretch) {
                    entry.1 -= usize::from(!pull.is_partial && !reply.partial);
                    entry.2.remove(&from);
                }
                // Once all others have given what they have, there is nothing more to learn.
                self.left.retain(|entry| entry.1 > 0 && !entry.2.is_empty());
            }
        }
        true
    }

    /// Share of a bucket's ranges that are pulled, 0 to 1; `None` if it is not being rebuilt.
    #[must_use]
    pub fn progress(&self, bucket: BucketId) -> Option<f64> {
        let total = *self.totals.get(&bucket)?;
        let left: usize = self
            .left
            .iter()
            .filter(|entry| entry.0.bucket == bucket)
            .map(|entry| entry.1)
            .sum();
        Some(1.0 - left as f64 / total.max(1) as f64)
    }

    /// How long a bucket's rebuild will take at the pace so far, in milliseconds; `None` while nothing of it is done.
    #[must_use]
    pub fn eta_ms(&self, bucket: BucketId, now: Time) -> Option<u64> {
        let share = self.progress(bucket).filter(|&share| share > 0.0)?;
        let elapsed_us = now.0.saturating_sub(self.began.get(&bucket)?.0);
        Some((elapsed_us as f64 / 1_000.0 * (1.0 - share) / share) as u64)
    }

    fn pull(&mut self, stretch: Stretch, from: NodeId, next: Bytes, is_partial: bool, site: &mut Site) {
        self.next_op += 1;
        // Pulls are told apart from a late page of an earlier boot by a random half.
        let op = OpId((site.random.next_u64() << 32) | self.next_op);
        let is_last = stretch.end >= site.ring.partitions();
        let end = (!is_last).then(|| RecordKey::range_start(PartitionId(stretch.end as u16), BucketId(0)));
        let range = Range {
            bucket: stretch.bucket,
            start: next.clone(),
            end,
        };
        site.send(&[from], Message::Pull(Pull { op, range }));
        let deadline = site.now.time.plus_ms(PULL_TIMEOUT_MS);
        let pulling = Pulling {
            stretch,
            op,
            deadline,
            is_partial,
        };
        self.pulling.insert(from, pulling);
    }
}

/// The partitions that this node is home to, joined while the other homes are the same.
fn stretches(bucket: &Bucket, site: &Site) -> Vec<(PartitionId, u32, BTreeSet<NodeId>)> {
    let mut stretches: Vec<(PartitionId, u32, BTreeSet<NodeId>)> = Vec::new();
    for number in 0..site.ring.partitions() {
        let partition = PartitionId(number as u16);
        let homes = site.ring.homes(partition, bucket.n);
        if !homes.iter().any(|home| home.node == site.id) {
            continue;
        }
        let others: BTreeSet<NodeId> = homes
            .iter()
            .map(|home| home.node)
            .filter(|&node| node != site.id)
            .collect();
        match stretches.last_mut() {
            Some(last) if last.1 == number && last.2 == others => last.1 += 1,
            Some(_) | None => stretches.push((partition, number + 1, others)),
        }
    }
    stretches
}

/// Says that a bucket's copy is being rebuilt, or complete.
pub fn announce(bucket: BucketId, rebuilding: bool, site: &mut Site) {
    site.notice(if rebuilding {
        Notice::Rebuilding { bucket }
    } else {
        Notice::Rebuilt { bucket }
    });
}
