//! The side of reaping that every home has: it says whether it holds records exactly so, pins them, and forgets them when
//! all homes have. Its generations are durable: whoever has a lower one than another home had when records were reaped
//! works on an older disk.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::bucket::StorageClass;
use crate::causality::codec::record_hash;
use crate::id::{BucketId, NodeId, OpId, PartitionId, Token};
use crate::key::{FIELD_PREFIX, RecordKey};
use crate::message::Message;
use crate::mutants::{Mutant, active};
use crate::reaping::copies::Copies;
use crate::reaping::talk::ReapTalk;
use crate::site::Site;
use crate::storage::{Generation, Page, Range, StoreOp, StoreReply};
use crate::time::Time;

/// Entries of one question, at most.
pub const ENTRIES_MAX: usize = 256;
/// Questions that are being looked into at a time; further ones are dropped, and asked again.
const CHECKS_MAX: usize = 64;
/// How long what is pinned stays so, in milliseconds.
const PIN_MS: u64 = 30_000;

/// What becomes of records of which all homes hold the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Goal {
    /// They are dead, and are forgotten.
    Reap,
    /// They live, and their contexts are rid of the entries of lives that are over.
    Fold,
}

/// A partition of a bucket.
pub type Place = (PartitionId, BucketId);

#[derive(Debug)]
struct Check {
    asker: NodeId,
    op: OpId,
    place: Place,
    generation: u64,
    entries: Vec<(RecordKey, u128)>,
    waiting: usize,
    differing: BTreeSet<u16>,
}

/// What a read of a check is for: the record itself, or the fields under a head.
#[derive(Clone, Copy, Debug)]
struct Looking {
    check: u64,
    entry: u16,
    is_for_fields: bool,
}

#[derive(Debug)]
struct Pin {
    lead: NodeId,
    generation: u64,
    entries: Vec<(RecordKey, u128)>,
    until: Time,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Home {
    checks: BTreeMap<u64, Check>,
    looking: BTreeMap<Token, Looking>,
    saving: BTreeMap<Token, Check>,
    /// Who is to hear, once a generation is durable, that nothing is kept.
    clearing: BTreeMap<Token, (NodeId, OpId)>,
    /// Places whose generation is not known to be durable, with the last attempt to make it so.
    unsaved: BTreeMap<Place, Token>,
    pins: BTreeMap<Place, Pin>,
    next: u64,
}

impl Home {
    /// Looks into a question; the answer goes to whoever asked.
    pub(super) fn on_ask(
        &mut self,
        asker: NodeId,
        op: OpId,
        place: Place,
        generation: u64,
        entries: Vec<(RecordKey, u128)>,
        copies: &impl Copies,
        site: &mut Site,
    ) -> Option<ReapTalk> {
        let (partition, bucket) = place;
        let is_sound = entries.len() <= ENTRIES_MAX
            && entries.iter().all(|entry| {
                let key = &entry.0;
                key.partition() == partition && key.bucket() == bucket && !key.is_partition_head()
            });
        let found = site.bucket(bucket);
        let is_home = found
            .as_ref()
            .is_some_and(|bucket| site.is_home_of(partition, bucket.n));
        let is_able = !copies.is_rebuilding(bucket) && !site.out_of_service;
        let is_new = generation == 0 || generation > site.generation(partition, bucket).pinned;
        if !is_sound || !is_home || !is_able || !is_new || self.checks.len() >= CHECKS_MAX {
            return Some(ReapTalk::Answer {
                op,
                differing: Vec::new(),
                unable: true,
                generation: site.generation(partition, bucket).pinned,
                life: site.minter.settled_life(),
            });
        }
        self.next += 1;
        let class = found.map_or(StorageClass::Disk, |bucket| bucket.storage);
        let mut waiting = 0;
        for (at, (key, _)) in entries.iter().enumerate() {
            let is_head = key.sort_key().is_empty();
            let ranges = [Some((exactly(key), false)), is_head.then(|| (fields_of(key), true))];
            for ((start, end), is_for_fields) in ranges.into_iter().flatten() {
                let range = Range {
                    bucket,
                    start,
                    end: Some(end),
                };
                let token = site.ask_store(StoreOp::Scan {
                    range,
                    class,
                    records_max: 1,
                    bytes_max: 1,
                    may_wait: false,
                });
                let looking = Looking {
                    check: self.next,
                    entry: at as u16,
                    is_for_fields,
                };
                self.looking.insert(token, looking);
                waiting += 1;
            }
        }
        let check = Check {
            asker,
            op,
            place,
            generation,
            entries,
            waiting,
            differing: BTreeSet::new(),
        };
        if waiting == 0 {
            return self.looked(check, site);
        }
        self.checks.insert(self.next, check);
        None
    }

    /// A store effect is answered; gives it back if it was not asked for here. With it comes an answer that is due, and to
    /// whom.
    pub(super) fn on_stored(
        &mut self,
        token: Token,
        reply: StoreReply,
        copies: &impl Copies,
        site: &mut Site,
    ) -> Result<Option<(NodeId, ReapTalk)>, StoreReply> {
        if reply == StoreReply::Done {
            // Facts become durable in order: the last speaks for those before it.
            self.unsaved.retain(|_, last| *last != token);
        }
        if let Some((asker, op)) = self.clearing.remove(&token) {
            let is_clear = reply == StoreReply::Done;
            let life = site.minter.settled_life();
            return Ok(Some((asker, ReapTalk::Clear { op, is_clear, life })));
        }
        if let Some(check) = self.saving.remove(&token) {
            let is_durable = reply == StoreReply::Done;
            return Ok(Some((check.asker, self.pin(check, is_durable, site))));
        }
        let Some(looking) = self.looking.remove(&token) else {
            return Err(reply);
        };
        let Some(check) = self.checks.get_mut(&looking.check) else {
            return Ok(None);
        };
        check.waiting -= 1;
        let (key, hash) = &check.entries[usize::from(looking.entry)];
        let page = match reply {
            StoreReply::Page(page) if page.damaged.is_empty() => Some(page),
            StoreReply::Page(_)
            | StoreReply::Record(_)
            | StoreReply::Done
            | StoreReply::Scrubbed(_)
            | StoreReply::Failed(_) => None,
        };
        // What is being written is not durable, and may be something else in a moment.
        let is_held = page.is_some_and(|page| !copies.is_busy_with(key) && shows(&page, looking, key, *hash));
        if !is_held {
            check.differing.insert(looking.entry);
        }
        if check.waiting > 0 {
            return Ok(None);
        }
        let Some(check) = self.checks.remove(&looking.check) else {
            return Ok(None);
        };
        let asker = check.asker;
        Ok(self.looked(check, site).map(|answer| (asker, answer)))
    }

    /// Everything was looked at: answer, or make the generation durable first.
    fn looked(&mut self, check: Check, site: &mut Site) -> Option<ReapTalk> {
        let (partition, bucket) = check.place;
        let own = site.generation(partition, bucket);
        if check.generation == 0 {
            return Some(answer_to(&check, false, own.pinned, site));
        }
        if check.generation <= own.pinned {
            return Some(answer_to(&check, true, own.pinned, site));
        }
        let pinned = Generation {
            pinned: check.generation,
            ..own
        };
        let token = site.keep_generation(partition, bucket, pinned);
        self.unsaved.insert(check.place, token);
        self.saving.insert(token, check);
        None
    }

    fn pin(&mut self, check: Check, is_durable: bool, site: &Site) -> ReapTalk {
        let own = site.generation(check.place.0, check.place.1).pinned;
        if !is_durable || own != check.generation {
            return answer_to(&check, true, own, site);
        }
        let answer = answer_to(&check, false, own, site);
        let pin = Pin {
            lead: check.asker,
            generation: check.generation,
            entries: check.entries,
            until: site.now.time.plus_ms(PIN_MS),
        };
        self.pins.insert(check.place, pin);
        answer
    }

    /// Nothing of a place is kept here for others. That is said once the generation is durable: a disk that does not know
    /// it may hold hints.
    pub(super) fn on_clear(
        &mut self,
        asker: NodeId,
        op: OpId,
        place: Place,
        generation: u64,
        site: &mut Site,
    ) -> Option<ReapTalk> {
        let own = site.generation(place.0, place.1);
        if own.pinned >= generation && !self.unsaved.contains_key(&place) {
            let life = site.minter.settled_life();
            return Some(ReapTalk::Clear {
                op,
                is_clear: true,
                life,
            });
        }
        let promised = Generation {
            pinned: generation.max(own.pinned),
            ..own
        };
        let token = site.keep_generation(place.0, place.1, promised);
        self.unsaved.insert(place, token);
        self.clearing.insert(token, (asker, op));
        None
    }

    /// All homes have pinned: what may be forgotten now, or folded. Empty if it is not pinned here.
    pub(super) fn on_agreed(
        &mut self,
        lead: NodeId,
        place: Place,
        generation: u64,
        spared: &[u16],
        site: &mut Site,
    ) -> Vec<(RecordKey, u128)> {
        let is_pinned = |pin: &Pin| pin.lead == lead && pin.generation == generation && pin.until > site.now.time;
        if !self.pins.get(&place).is_some_and(is_pinned) {
            return Vec::new();
        }
        let Some(pin) = self.pins.remove(&place) else {
            return Vec::new();
        };
        let reaped = Generation {
            pinned: site.generation(place.0, place.1).pinned,
            reaped: generation,
        };
        // Facts and commits become durable in order: nothing is forgotten before this is known.
        site.keep_generation(place.0, place.1, reaped);
        let is_spared = |at: usize| spared.contains(&(at as u16));
        let agreed = pin.entries.into_iter().enumerate().filter(|(at, _)| !is_spared(*at));
        agreed.map(|entry| entry.1).collect()
    }

    /// Pins whose time is up are no more.
    pub(super) fn on_tick(&mut self, now: Time) {
        self.pins.retain(|_, pin| pin.until > now);
    }

    /// Questions that are being looked into.
    pub(super) fn in_flight(&self) -> usize {
        self.checks.len() + self.saving.len() + self.clearing.len()
    }
}

fn answer_to(check: &Check, unable: bool, generation: u64, site: &Site) -> ReapTalk {
    ReapTalk::Answer {
        op: check.op,
        differing: check.differing.iter().copied().collect(),
        unable,
        generation,
        life: site.minter.settled_life(),
    }
}

fn shows(page: &Page, looking: Looking, key: &RecordKey, hash: u128) -> bool {
    if looking.is_for_fields {
        return page.records.is_empty() && page.next.is_none();
    }
    match page.records.first() {
        Some((found, record)) => found == key && record_hash(key, record) == hash,
        None => false,
    }
}

/// The names from this one up to the next.
fn exactly(key: &RecordKey) -> (Bytes, Bytes) {
    let mut after = key.as_bytes().to_vec();
    after.push(0);
    (key.to_bytes(), Bytes::from(after))
}

/// The names of all fields under a head.
fn fields_of(head: &RecordKey) -> (Bytes, Bytes) {
    let start = head.with_sort_key(&[FIELD_PREFIX]);
    (start.to_bytes(), head.with_sort_key(&[FIELD_PREFIX + 1]).to_bytes())
}

/// Says something to a node that is not this one.
pub(super) fn say(to: NodeId, talk: ReapTalk, site: &mut Site) {
    site.send(&[to], Message::Reaping(talk));
}

/// True if a planted bug lets a node forget what has expired by its own clock alone, or fold what it alone holds.
pub(super) fn decides_alone(goal: Goal) -> bool {
    match goal {
        Goal::Reap => active(Mutant::ExpiryDecidedLocally),
        Goal::Fold => active(Mutant::FoldAlone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Effect;
    use crate::reaping::tests::{NoCopies, alone};

    fn tokens(site: &mut Site) -> Vec<Token> {
        let effects = std::iter::from_fn(|| site.out.pop());
        let token = |effect| match effect {
            Effect::Store { token, .. } => Some(token),
            _ => None,
        };
        effects.filter_map(token).collect()
    }

    /// The second was told at once what was being made durable for the first: after a power loss that disk knew of nothing.
    #[test]
    fn nothing_is_said_to_be_clear_before_the_generation_is_durable_whoever_asked_for_it() {
        let mut site = alone();
        let mut home = Home::default();
        let place = (PartitionId(3), BucketId(1));
        let (first, second) = ((NodeId(8), OpId(1)), (NodeId(9), OpId(2)));
        for (asker, op) in [first, second] {
            assert_eq!(home.on_clear(asker, op, place, 5, &mut site), None);
        }
        let tokens = tokens(&mut site);
        assert_eq!(tokens.len(), 2);
        for (token, (asker, op)) in tokens.into_iter().zip([first, second]) {
            let answer = home.on_stored(token, StoreReply::Done, &NoCopies, &mut site);
            let is_clear =
                |talk: &ReapTalk| matches!(talk, ReapTalk::Clear { op: of, is_clear: true, .. } if *of == op);
            assert!(matches!(answer, Ok(Some((to, talk))) if to == asker && is_clear(&talk)));
        }
        let known = home.on_clear(NodeId(8), OpId(3), place, 5, &mut site);
        assert!(matches!(known, Some(ReapTalk::Clear { is_clear: true, .. })));
    }
}
