//! Finds dead records, and contexts worth folding: walks, page by page, over the partitions whose first home this node is.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::bucket::{Mode, StorageClass};
use crate::causality::codec::record_hash;
use crate::causality::{LwwRecord, Record};
use crate::entropy::tree::end_of_bucket;
use crate::id::{ActorId, NodeId, PartitionId, Token};
use crate::key::RecordKey;
use crate::mutants::{Mutant, active};
use crate::quorum::Home;
use crate::reaping::copies::Copies;
use crate::reaping::dead::is_dead;
use crate::reaping::home::{ENTRIES_MAX, Goal, Place};
use crate::site::Site;
use crate::storage::{Page, Range, StoreOp};
use crate::time::Time;

/// Walks begin this long after one another, in milliseconds.
const WALK_MS: u64 = 5 * 60 * 1_000;
/// Records of a page.
const PAGE_RECORDS_MAX: u32 = 1_000;
/// Payload bytes of a page.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// A record that may be led to its end.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: RecordKey,
    pub(super) hash: u128,
    /// If it lives: the actors of its context without a sibling.
    pub(super) idle: Vec<ActorId>,
}

/// Records of one place for one goal.
pub(super) type Finds = (Place, Goal, Vec<Found>);

/// See the module.
#[derive(Debug)]
pub(super) struct Walk {
    left: VecDeque<Place>,
    range: Option<Range>,
    reading: Option<Token>,
    /// The head seen last: fields follow it.
    head: Option<(RecordKey, Arc<Record>)>,
    dead: Vec<Found>,
    long: Vec<Found>,
    begin_at: Time,
    due: Time,
    /// Whole walks.
    pub(super) walks: u64,
}

impl Walk {
    pub(super) fn new(now: Time) -> Self {
        Self {
            left: VecDeque::new(),
            range: None,
            reading: None,
            head: None,
            dead: Vec::new(),
            long: Vec::new(),
            begin_at: now.plus_ms(WALK_MS / 5),
            due: now,
            walks: 0,
        }
    }

    /// A walk is to begin then.
    pub(super) fn begin_at(&mut self, at: Time) {
        self.begin_at = at;
        self.due = at;
    }

    /// The next page is not read before that, and no walk begins.
    pub(super) fn wait(&mut self, until: Time) {
        self.due = self.due.max(until);
        self.begin_at = self.begin_at.max(until);
    }

    /// When something is due.
    pub(super) fn due(&self) -> Time {
        if self.reading.is_some() {
            return Time::NEVER;
        }
        if self.is_walking() { self.due } else { self.begin_at }
    }

    /// A walk is under way.
    pub(super) fn is_walking(&self) -> bool {
        self.reading.is_some() || self.range.is_some() || !self.left.is_empty()
    }

    /// Asks for the next page. Places of which a home is away are left out, as none of their records could go: `away` is
    /// told of them. True if a walk begins.
    pub(super) fn go_on(&mut self, site: &mut Site, mut away: impl FnMut(NodeId)) -> bool {
        let now = site.now.time;
        if self.reading.is_some() || self.due() > now {
            return false;
        }
        let begins = !self.is_walking();
        if begins {
            self.begin_at = now.plus_ms(WALK_MS);
            self.left = places(site);
        }
        while self.range.is_none() {
            let Some((partition, bucket)) = self.left.pop_front() else {
                return begins;
            };
            let Some(found) = site.bucket(bucket) else { continue };
            let homes = site.ring.homes(partition, found.n);
            let is_away = |home: &&Home| !site.is_reachable(home.node) && !active(Mutant::ReapWithoutAHome);
            if let Some(home) = homes.iter().find(is_away) {
                away(home.node);
                continue;
            }
            self.head = None;
            self.range = Some(Range {
                bucket,
                start: RecordKey::range_start(partition, bucket),
                end: Some(end_of_bucket(partition, bucket)),
            });
        }
        let Some(range) = &self.range else { return begins };
        let class = site
            .bucket(range.bucket)
            .map_or(StorageClass::Disk, |bucket| bucket.storage);
        let scan = StoreOp::Scan {
            range: range.clone(),
            class,
            records_max: PAGE_RECORDS_MAX,
            bytes_max: PAGE_BYTES_MAX,
            may_wait: true,
        };
        self.reading = Some(site.ask_store(scan));
        begins
    }

    /// True if the page was asked for here.
    pub(super) fn is_reading(&self, token: Token) -> bool {
        self.reading == Some(token)
    }

    /// The page has come: what was found in it.
    pub(super) fn on_page(&mut self, page: Option<Page>, copies: &impl Copies, site: &Site) -> Vec<Finds> {
        self.reading = None;
        let Some(range) = self.range.take() else {
            return Vec::new();
        };
        // What can't be read is for the scrub to find; the walk goes on with the next place.
        let Some(page) = page else { return Vec::new() };
        let bytes: usize = page.records.iter().map(|entry| entry.1.weight()).sum();
        let pause_us = site.background.reaping.microseconds_for(bytes as u64);
        self.due = Time(site.now.time.0.saturating_add(pause_us));
        let mut batches = Vec::new();
        let mut place = None;
        let wall = site.expiry_wall();
        for (key, record) in &page.records {
            if key.sort_key().is_empty() {
                self.head = Some((key.clone(), Arc::clone(record)));
            }
            let of_place = (key.partition(), key.bucket());
            place = Some(of_place);
            let head = self
                .head
                .as_ref()
                .filter(|head| head.0.group() == key.group() && head.0 != *key);
            let head: Option<&LwwRecord> = head.and_then(|head| head.1.as_lww());
            let cleared = copies.cleared_at(key);
            let (goal, idle) = if is_dead(key, record, head, cleared, wall) {
                (Goal::Reap, Vec::new())
            } else {
                let idle = idle_actors(record, site);
                if idle.is_empty() {
                    continue;
                }
                (Goal::Fold, idle)
            };
            let found = match goal {
                Goal::Reap => &mut self.dead,
                Goal::Fold => &mut self.long,
            };
            found.push(Found {
                key: key.clone(),
                hash: record_hash(key, record),
                idle,
            });
            if found.len() >= ENTRIES_MAX {
                batches.push((of_place, goal, std::mem::take(found)));
            }
        }
        match page.next {
            Some(next) => {
                self.range = Some(Range { start: next, ..range });
            }
            None if self.left.is_empty() => self.walks += 1,
            None => {}
        }
        // A batch is of one page, so that it is of one place.
        for (goal, found) in [(Goal::Reap, &mut self.dead), (Goal::Fold, &mut self.long)] {
            if let Some(place) = place
                && !found.is_empty()
            {
                batches.push((place, goal, std::mem::take(found)));
            }
        }
        batches
    }
}

/// The actors without a sibling in a context that is long enough to fold; none in others.
fn idle_actors(record: &Record, site: &Site) -> Vec<ActorId> {
    match record {
        Record::Siblings(record) if record.seen.entries() > site.context_limits.folded_from => record.idle_actors(),
        Record::Siblings(_) | Record::Lww(_) => Vec::new(),
    }
}

/// The partitions of all buckets whose first home this node is.
fn places(site: &Site) -> VecDeque<Place> {
    let mut places = VecDeque::new();
    for bucket in site.catalog.iter().filter(|bucket| bucket.mode == Mode::Available) {
        for number in 0..site.ring.partitions() {
            let partition = PartitionId(number as u16);
            let homes = site.ring.homes(partition, bucket.n);
            if homes.first().is_some_and(|home| home.node == site.id) {
                places.push_back((partition, bucket.id));
            }
        }
    }
    places
}
