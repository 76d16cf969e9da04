//! A node that works on an older disk than it had (a restored backup) may hold records that were deleted since, and that
//! all homes have forgotten: to merge them would bring them back. Before it has dealings with anybody it learns the reap
//! generations of the other homes, and puts aside what it holds of places whose generation it had not reached.
//!
//! ```text
//! regressed ──every place: one complete other home has said its generation──▶ known ──what is behind is removed──▶ settled
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::bucket::{Bucket, Mode, StorageClass};
use crate::causality::codec::record_hash;
use crate::entropy::tree::end_of_bucket;
use crate::id::{NodeId, PartitionId, Token};
use crate::key::RecordKey;
use crate::message::Generations;
use crate::mutants::{Mutant, active};
use crate::reaping::copies::Copies;
use crate::reaping::home::Place;
use crate::site::Site;
use crate::storage::{Range, StoreOp, StoreReply};
use crate::time::Time;

/// Records of a page.
const PAGE_RECORDS_MAX: u32 = 500;
/// Payload bytes of a page.
const PAGE_BYTES_MAX: usize = 1 << 20;
/// How soon a page that could not be read is asked for again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Quarantine {
    is_open: bool,
    /// The directory is new: nothing in it is older than anything, and nothing is removed.
    is_new: bool,
    /// Places of which no complete home has said anything, with the homes that have said nothing at all.
    unknown: BTreeMap<Place, BTreeSet<NodeId>>,
    /// Places of which others have said that they have a generation.
    heard: BTreeSet<Place>,
    /// Places whose records here are older than what was reaped, with the generation to take over.
    behind: BTreeMap<Place, u64>,
    /// Places of which nothing is left to remove.
    cleared: Vec<(Place, u64)>,
    reading: Option<Token>,
    /// No page is read before.
    due: Time,
    /// Removed so far.
    removed: u64,
}

impl Quarantine {
    /// This node has forgotten something: everything that it holds with others is in doubt, and what it keeps for them, of
    /// these places.
    pub fn open(&mut self, is_new: bool, kept: &BTreeSet<Place>, site: &Site) {
        self.is_open = true;
        self.is_new = is_new;
        for bucket in site.catalog.iter() {
            if bucket.mode != Mode::Available {
                continue;
            }
            // Of a memory bucket nothing is on the disk but what is kept for others.
            let is_on_disk = bucket.storage == StorageClass::Disk;
            for number in 0..site.ring.partitions() {
                let partition = PartitionId(number as u16);
                let homes = site.ring.homes(partition, bucket.n);
                let others = homes.iter().map(|home| home.node).filter(|&node| node != site.id);
                let others: BTreeSet<NodeId> = others.collect();
                let is_home = others.len() < homes.len();
                let is_concerned = (is_on_disk && is_home) || kept.contains(&(partition, bucket.id));
                if is_concerned && !others.is_empty() {
                    self.unknown.insert((partition, bucket.id), others);
                }
            }
        }
    }

    /// True while this node does not know what was reaped.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Homes that have yet to say what was reaped, while it matters.
    #[must_use]
    pub fn waits_for(&self) -> BTreeSet<NodeId> {
        self.unknown.values().flatten().copied().collect()
    }

    /// Records put aside so far.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.removed
    }

    /// Another home says what was reaped.
    pub fn on_generations(&mut self, from: NodeId, reaped: &Generations, site: &Site) {
        if !self.is_open {
            return;
        }
        for &(partition, bucket, generation) in &reaped.known {
            let place = (partition, bucket);
            // Of a place with one home nobody else can say what it holds: those who stand in for it have promised as well.
            let is_home = |bucket: &Bucket| site.ring.is_home(from, partition, bucket.n);
            if !site.bucket(bucket).is_some_and(|bucket| is_home(&bucket)) {
                continue;
            }
            self.heard.insert(place);
            let is_behind = generation > site.generation(partition, bucket).pinned;
            if is_behind && is_concerned(place, site) {
                let known = self.behind.entry(place).or_insert(generation);
                *known = generation.max(*known);
            }
        }
        self.unknown.retain(|place, homes| {
            let was_there = homes.remove(&from);
            let is_complete = !reaped.rebuilding.contains(&place.1);
            let is_known = was_there && is_complete;
            !is_known && !homes.is_empty()
        });
    }

    /// True if another home has said that something of the place was forgotten.
    #[must_use]
    pub fn is_reaped(&self, place: Place) -> bool {
        self.heard.contains(&place)
    }

    /// Goes on removing. Once nothing is left to learn or remove: the generations to take over.
    pub fn go_on(&mut self, copies: &impl Copies, site: &mut Site) -> Option<Vec<(Place, u64)>> {
        let is_removing = self.reading.is_some() || !copies.is_idle();
        let is_early = self.due > site.now.time;
        if !self.is_open || !self.unknown.is_empty() || is_removing || is_early || site.out_of_service {
            return None;
        }
        if self.is_new {
            self.cleared.extend(std::mem::take(&mut self.behind));
        }
        let next = self.behind.first_key_value().map(|entry| *entry.0);
        let Some((partition, bucket)) = next else {
            self.is_open = false;
            return Some(std::mem::take(&mut self.cleared));
        };
        let range = Range {
            bucket,
            start: RecordKey::range_start(partition, bucket),
            end: Some(end_of_bucket(partition, bucket)),
        };
        let scan = StoreOp::Scan {
            range,
            class: StorageClass::Disk,
            records_max: PAGE_RECORDS_MAX,
            bytes_max: PAGE_BYTES_MAX,
            may_wait: true,
        };
        self.reading = Some(site.ask_store(scan));
        None
    }

    /// A store effect is answered; gives it back if it was not asked for here.
    pub fn on_stored(
        &mut self,
        token: Token,
        reply: StoreReply,
        copies: &mut impl Copies,
        site: &mut Site,
    ) -> Option<StoreReply> {
        if self.reading != Some(token) {
            return Some(reply);
        }
        self.reading = None;
        let StoreReply::Page(page) = reply else {
            self.due = site.now.time.plus_ms(RETRY_MS);
            return None;
        };
        // What cleared the partition rises only, and removing it would show what it covers.
        let records = page.records.iter().filter(|entry| !entry.0.is_partition_head());
        let old: Vec<_> = records
            .map(|(key, record)| (key.clone(), record_hash(key, record)))
            .collect();
        if old.is_empty() || active(Mutant::NoQuarantine) {
            self.cleared.extend(self.behind.pop_first());
            return None;
        }
        self.removed += old.len() as u64;
        site.stats.quarantined_records += old.len() as u64;
        copies.reap(old, site);
        None
    }
}

/// True if this node is a home of a place, or may stand in for one: then it has promised, or would have.
fn is_concerned((partition, bucket): Place, site: &Site) -> bool {
    site.bucket(bucket).is_some_and(|bucket| {
        let list = site.ring.preference_list(partition, bucket.n);
        list.fallbacks.contains(&site.id) || list.homes.iter().any(|home| home.node == site.id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::BucketId;
    use crate::reaping::tests::{NoCopies, alone};
    use crate::storage::StoreError;

    /// It was asked for again in the same step, and in every other while the store could not read it.
    #[test]
    fn a_page_that_can_not_be_read_is_asked_for_again_after_a_while() {
        let mut site = alone();
        let mut quarantine = Quarantine {
            is_open: true,
            behind: BTreeMap::from([((PartitionId(3), BucketId(1)), 1)]),
            ..Quarantine::default()
        };
        let mut asked = 0;
        for _ in 0..100 {
            quarantine.go_on(&NoCopies, &mut site);
            if let Some(token) = quarantine.reading {
                asked += 1;
                quarantine.on_stored(
                    token,
                    StoreReply::Failed(StoreError::Unreadable),
                    &mut NoCopies,
                    &mut site,
                );
            }
            site.now.time = site.now.time.plus_ms(20);
        }
        assert_eq!(asked, 2);
    }
}
