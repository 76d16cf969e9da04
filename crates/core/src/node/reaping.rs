//! Where reaping meets the replica and the hints.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Node;
use crate::causality::Lives;
use crate::hints::Hints;
use crate::id::{BucketId, NodeId, PartitionId, Token};
use crate::key::RecordKey;
use crate::reaping::Copies;
use crate::reaping::talk::ReapTalk;
use crate::replica::Replica;
use crate::site::Site;
use crate::storage::{Generation, StoreReply};
use crate::time::{Hlc, Time};

/// What this node holds for itself and for others.
struct Held<'a> {
    replica: &'a mut Replica,
    hints: &'a Hints,
}

impl Copies for Held<'_> {
    fn is_rebuilding(&self, bucket: BucketId) -> bool {
        self.replica.rebuilding().contains(&bucket)
    }

    fn is_busy_with(&self, key: &RecordKey) -> bool {
        self.replica.is_busy_with(key)
    }

    fn is_idle(&self) -> bool {
        self.replica.in_flight() == 0
    }

    fn cleared_at(&self, key: &RecordKey) -> Hlc {
        self.replica.cleared_at(key)
    }

    fn is_clear_of_hints(&self, partition: PartitionId, age_ms: u64, now: Time) -> bool {
        self.hints.is_clear(partition, age_ms, now)
    }

    fn fold(&mut self, records: Vec<(RecordKey, u128)>, lives: &Arc<Lives>, site: &mut Site) {
        self.replica.fold(records, lives, site);
    }

    fn reap(&mut self, records: Vec<(RecordKey, u128)>, site: &mut Site) {
        self.replica.reap(records, site);
    }
}

impl Node {
    pub(super) fn go_on_reaping(&mut self) {
        let mut held = Held {
            replica: &mut self.replica,
            hints: &self.hints,
        };
        self.reaping.go_on(&mut held, &mut self.site);
    }

    pub(super) fn on_reap_talk(&mut self, from: NodeId, talk: ReapTalk) {
        let mut held = Held {
            replica: &mut self.replica,
            hints: &self.hints,
        };
        self.reaping.on_talk(from, talk, &mut held, &mut self.site);
    }

    /// A store effect is answered; gives it back if neither reaping nor the quarantine has asked for it.
    pub(super) fn on_stored_for_reaping(&mut self, token: Token, reply: StoreReply) -> Option<StoreReply> {
        let mut held = Held {
            replica: &mut self.replica,
            hints: &self.hints,
        };
        let reply = self.reaping.on_stored(token, reply, &mut held, &mut self.site)?;
        self.quarantine.on_stored(token, reply, &mut held, &mut self.site)
    }

    /// This node's disk is not the one that it had. What it holds may have been forgotten by all others since, so that it
    /// must know before it says that it is settled.
    pub(super) fn begin_settling(&mut self) {
        // In a new directory there is nothing older: it settles at once, and learns what others may ask it for.
        let is_new = !self.boots.has_a_past();
        self.quarantine.open(is_new, &self.hints.old_places(), &self.site);
        self.site.is_unsettled = !is_new;
        if is_new {
            self.boots.settle(&mut self.site);
            self.boots.ask_generations(true);
        } else {
            self.boots.learn(&mut self.site);
        }
    }

    /// Buckets of which this node can't say what was reaped.
    pub(super) fn unsure_of(&self) -> BTreeSet<BucketId> {
        if self.quarantine.is_open() {
            return self.site.catalog.iter().map(|bucket| bucket.id).collect();
        }
        self.replica.rebuilding().clone()
    }

    /// Settles once everything is known.
    pub(super) fn go_on_settling(&mut self) {
        let held = Held {
            replica: &mut self.replica,
            hints: &self.hints,
        };
        let Some(reaped) = self.quarantine.go_on(&held, &mut self.site) else {
            return;
        };
        for ((partition, bucket), generation) in reaped {
            let known = Generation {
                pinned: generation,
                reaped: generation,
            };
            let is_news = generation > self.site.generation(partition, bucket).pinned;
            if is_news {
                self.site.keep_generation(partition, bucket, known);
            }
        }
        self.boots.ask_generations(false);
        if !self.site.is_unsettled {
            return;
        }
        let quarantine = &self.quarantine;
        self.hints.drop_old(|place| quarantine.is_reaped(place), &mut self.site);
        self.site.is_unsettled = false;
        self.boots.settle(&mut self.site);
    }
}
