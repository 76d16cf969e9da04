//! Hints on their way to their homes: sent when a home is back, sent again until it and w homes hold them, then forgotten.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    ANSWER_MS, BATCH_BYTES_MAX, BATCH_RECORDS_MAX, Delivery, Hint, Hints, LOOK_MS, LOOK_ON_MS, LOOKED_AT_MAX, REST_MS,
    RETRY_MS, RUN_TRIES, weight,
};
use crate::background::Work;
use crate::causality::Record;
use crate::id::{NodeId, OpId};
use crate::key::RecordKey;
use crate::message::{Space, WriteReply, WriteResult};
use crate::mutants::{Mutant, active};
use crate::quorum::{DcId, Home, Need, Tally, Verdict};
use crate::site::Site;
use crate::storage::{Meta, StoreOp};
use crate::time::{Time, Wall};

impl Hints {
    /// When something is due.
    #[must_use]
    pub fn next_deadline(&self, site: &Site) -> Time {
        let waiting = self.kept.keys().filter(|home| self.may_be_sent(**home, site));
        let of_home = |home: &NodeId| match self.deliveries.get(home) {
            Some(delivery) => delivery.sent_at.plus_ms(ANSWER_MS),
            None => self.due.get(home).copied().unwrap_or(Time(0)),
        };
        waiting.map(of_home).min().unwrap_or(Time::NEVER)
    }

    /// Its home is back, or the oldest of its hints has waited for too long.
    fn may_be_sent(&self, home: NodeId, site: &Site) -> bool {
        site.peers.is_up(home) || self.given_up.contains(&home)
    }

    /// Looks for hints that need not wait any longer.
    fn look_for_given_up(&mut self, site: &Site) {
        if self.look_at > site.now.time {
            return;
        }
        self.look_at = site.now.time.plus_ms(LOOK_MS);
        let age_ms = site.reap_age_ms;
        self.sent_at.retain(|_, at| at.plus_ms(age_ms) > site.now.time);
        let has_some = |(&home, hints): (&NodeId, &BTreeMap<RecordKey, Hint>)| {
            let mut hints = hints.iter();
            let is_any = hints.any(|(key, hint)| self.is_given_up(home, key, hint.since, site));
            is_any.then_some(home)
        };
        self.given_up = self.kept.iter().filter_map(has_some).collect();
    }

    /// A hint need not wait for its home: it is away for too long, or no home of the record any more.
    fn is_given_up(&self, home: NodeId, key: &RecordKey, since: Wall, site: &Site) -> bool {
        let age_ms = site.now.wall.0.saturating_sub(since.0);
        let bucket = site.catalog.bucket(key.bucket());
        let has_left = bucket.is_none_or(|bucket| !site.ring.is_home(home, key.partition(), bucket.n));
        has_left || (age_ms > self.limits.age_ms_max && !site.peers.is_up(home))
    }

    /// Sends what is due.
    pub fn go_on(&mut self, site: &mut Site) {
        let pace = *site.background.pace(Work::Hints);
        let now = site.now.time;
        if self.runs.begins(&pace) {
            self.due.clear();
            self.cover();
        } else if self.of_run == 0 {
            self.runs.end();
        }
        self.wake(site);
        let silent = |delivery: &Delivery| delivery.sent_at.plus_ms(ANSWER_MS) <= now;
        let over: Vec<NodeId> = self
            .deliveries
            .iter()
            .filter(|entry| silent(entry.1))
            .map(|entry| *entry.0)
            .collect();
        for home in over {
            self.end(home, site);
        }
        self.look_for_given_up(site);
        let may_begin = !site.out_of_service && !site.is_unsettled && !self.runs.is_paused(&pace);
        let homes: Vec<NodeId> = self.kept.keys().copied().collect();
        for home in homes {
            let is_due = self.due.get(&home).is_none_or(|&due| due <= now);
            let may_be_sent = self.may_be_sent(home, site);
            // A run does not wait for a home that stays away.
            let is_in_vain = !may_be_sent && may_begin && self.runs.is_going();
            if !is_due || self.deliveries.contains_key(&home) || !(may_be_sent || is_in_vain) {
                continue;
            }
            if may_begin && may_be_sent {
                self.deliver(home, site);
                continue;
            }
            if is_in_vain {
                self.tried_all(home);
            }
            self.due.insert(home, now.plus_ms(RETRY_MS));
        }
    }

    /// A run begins: it delivers, or tries, what is kept by now.
    fn cover(&mut self) {
        self.of_run = 0;
        for hint in self.kept.values_mut().flat_map(BTreeMap::values_mut) {
            hint.tries_left = RUN_TRIES;
            self.of_run += 1;
        }
    }

    /// A try of each hint of a home was in vain.
    fn tried_all(&mut self, home: NodeId) {
        let of_home = self.kept.get_mut(&home);
        for hint in of_home.into_iter().flat_map(BTreeMap::values_mut) {
            self.of_run -= usize::from(hint.tries_left == 1);
            hint.tries_left = hint.tries_left.saturating_sub(1);
        }
    }

    /// A hint was tried; what the run has tried often enough is not waited for.
    fn tried(&mut self, home: NodeId, key: &RecordKey) {
        if let Some(hint) = self.kept.get_mut(&home).and_then(|of_home| of_home.get_mut(key)) {
            self.of_run -= usize::from(hint.tries_left == 1);
            hint.tries_left = hint.tries_left.saturating_sub(1);
        }
    }

    /// What waits for other homes is looked at again once a peer has come up.
    fn wake(&mut self, site: &Site) {
        if !self.resting.is_empty() && site.peers.up().any(|peer| !self.up_then.contains(&peer)) {
            for home in std::mem::take(&mut self.resting) {
                self.due.remove(&home);
            }
        }
    }

    /// Something of a home's hints has changed: if none of them could be sent, one may be now.
    pub(super) fn look_soon(&mut self, home: NodeId, now: Time) {
        if self.resting.remove(&home) {
            self.due.insert(home, now.plus_ms(RETRY_MS));
        }
    }

    /// Nothing of so many hints could be sent, of which this was the last: the next ones have their turn, and all of them
    /// once more after a rest.
    fn look_on(&mut self, home: NodeId, count: usize, last: Option<RecordKey>, kept: usize, site: &Site) {
        let now = site.now.time;
        let looked_at = self.looked_at.entry(home).or_default();
        *looked_at += count;
        if let Some(last) = last
            && *looked_at < kept
        {
            self.sent_up_to.insert(home, last);
            self.due.insert(home, now.plus_ms(LOOK_ON_MS));
            return;
        }
        self.looked_at.remove(&home);
        self.sent_up_to.remove(&home);
        if !self.kept.contains_key(&home) {
            return;
        }
        self.resting.insert(home);
        self.up_then = site.peers.up().collect();
        let rest_ms = if self.runs.is_going() { RETRY_MS } else { REST_MS };
        self.due.insert(home, now.plus_ms(rest_ms));
    }

    /// Sends the next hints of one partition to their home, and to as many other homes as w asks for: who holds them already
    /// writes nothing.
    fn deliver(&mut self, home: NodeId, site: &mut Site) {
        let mut records: Vec<(RecordKey, Arc<Record>)> = Vec::new();
        let mut to: SmallVec<[NodeId; 3]> = SmallVec::new();
        let mut bytes = 0;
        let mut served: Vec<(RecordKey, Arc<Record>)> = Vec::new();
        let is_home_up = site.peers.is_up(home);
        let is_paused = site.background.hints.paused;
        let kept = self.kept.get(&home).map_or(0, BTreeMap::len);
        let (mut looked_at, mut last) = (0, None);
        let mut in_vain: Vec<RecordKey> = Vec::new();
        self.resting.remove(&home);
        for (key, hint) in self.in_turn(home).take(LOOKED_AT_MAX) {
            if records.len() >= BATCH_RECORDS_MAX || bytes >= BATCH_BYTES_MAX {
                break;
            }
            looked_at += 1;
            last = Some(key);
            if is_paused && hint.tries_left == 0 {
                continue;
            }
            let is_for_now = is_home_up || self.is_given_up(home, key, hint.since, site);
            if hint.durable.as_ref() != Some(&hint.record) || !is_for_now {
                in_vain.extend((hint.tries_left > 0).then(|| key.clone()));
                continue;
            }
            if let Some((first, _)) = records.first()
                && (first.partition(), first.bucket()) != (key.partition(), key.bucket())
            {
                break;
            }
            let missing = self.missing(home, key, hint, site);
            if missing.is_empty() {
                if self.may_go(home, key, hint, site) {
                    served.push((key.clone(), Arc::clone(&hint.record)));
                } else {
                    in_vain.extend((hint.tries_left > 0).then(|| key.clone()));
                }
                continue;
            }
            if !records.is_empty() && missing != to {
                continue;
            }
            to = missing;
            bytes += weight(key, &hint.record);
            records.push((key.clone(), Arc::clone(&hint.record)));
        }
        let last = last.cloned();
        site.stats.hints_looked_at += looked_at as u64;
        in_vain.iter().for_each(|key| self.tried(home, key));
        for (key, record) in served {
            self.delivered += u64::from(self.forget(home, &key, &record, site));
        }
        let Some((last, _)) = records.last() else {
            self.look_on(home, looked_at, last, kept, site);
            return;
        };
        self.looked_at.remove(&home);
        self.sent_up_to.insert(home, last.clone());
        self.op = self.op.wrapping_add(1);
        let op = OpId(self.op);
        for (key, _) in &records {
            self.sent_at.insert(key.partition(), site.now.time);
        }
        site.ask_merge(&to, Some((op, 0)), records.clone(), Space::NotNeeded);
        let delivery = Delivery {
            op,
            sent_at: site.now.time,
            records,
            bytes: (bytes * to.len()) as u64,
            waiting: to,
            failed: false,
        };
        if active(Mutant::HintDroppedWhenSent) {
            for (key, record) in &delivery.records {
                self.forget(home, key, record, site);
            }
        }
        self.deliveries.insert(home, delivery);
    }

    /// The hints of a home, those first that come after the last that was sent.
    fn in_turn(&self, home: NodeId) -> impl Iterator<Item = (&RecordKey, &Hint)> {
        let of_home = self.kept.get(&home);
        let from = self.sent_up_to.get(&home);
        let after = of_home.into_iter().flat_map(move |hints| {
            let start = from.map_or(Bound::Unbounded, Bound::Excluded);
            hints.range::<RecordKey, _>((start, Bound::Unbounded))
        });
        let before = of_home.into_iter().flat_map(move |hints| {
            let end = from.map(|from| hints.range::<RecordKey, _>((Bound::Unbounded, Bound::Included(from))));
            end.into_iter().flatten()
        });
        after.chain(before)
    }

    /// Whom to send a hint to: its home, if that has not confirmed it, and other homes until w would hold it.
    fn missing(&self, home: NodeId, key: &RecordKey, hint: &Hint, site: &Site) -> SmallVec<[NodeId; 3]> {
        let (homes, need) = homes_and_need(key, site);
        let mut tally = Tally::new(&homes, need);
        hint.confirmed.iter().for_each(|&node| tally.count(node));
        let mut to: SmallVec<[NodeId; 3]> = SmallVec::new();
        let own = homes.iter().filter(|other| other.node == home);
        for other in own.chain(homes.iter().filter(|other| other.node != home)) {
            let is_wanted = other.node == home || tally.verdict() != Verdict::Reached;
            if is_wanted && !hint.confirmed.contains(&other.node) && site.peers.is_up(other.node) {
                tally.count(other.node);
                to.push(other.node);
            }
        }
        to
    }

    /// A node answers a write; true if it was a delivery of hints.
    pub fn on_reply(&mut self, from: NodeId, reply: &WriteReply, site: &mut Site) -> bool {
        let Some(home) = self.delivery_of(reply.op) else {
            return false;
        };
        match reply.result {
            WriteResult::Done { .. } => self.on_confirmed(home, from),
            WriteResult::DiskFull | WriteResult::Failed => self.on_failed(home, from),
        }
        self.end_if_answered(home, site);
        true
    }

    /// A node refuses an operation; true if it was a delivery of hints.
    pub fn on_refused(&mut self, from: NodeId, op: OpId, site: &mut Site) -> bool {
        let Some(home) = self.delivery_of(op) else {
            return false;
        };
        self.on_failed(home, from);
        self.end_if_answered(home, site);
        true
    }

    /// A node went away: what was sent to it may or may not have arrived, and is sent again.
    pub fn on_peer_down(&mut self, node: NodeId, site: &mut Site) {
        let homes: Vec<NodeId> = self.deliveries.keys().copied().collect();
        for home in homes {
            self.on_failed(home, node);
            self.end_if_answered(home, site);
        }
        self.due.remove(&node);
    }

    fn delivery_of(&self, op: OpId) -> Option<NodeId> {
        let found = self.deliveries.iter().find(|delivery| delivery.1.op == op);
        found.map(|delivery| *delivery.0)
    }

    /// A home holds durably what was sent. Of hints that have changed since it says nothing.
    fn on_confirmed(&mut self, home: NodeId, by: NodeId) {
        let Some(delivery) = self.deliveries.get_mut(&home) else {
            return;
        };
        if !delivery.waiting.contains(&by) {
            return;
        }
        delivery.waiting.retain(|node| *node != by);
        let Some(of_home) = self.kept.get_mut(&home) else {
            return;
        };
        for (key, record) in &delivery.records {
            if let Some(hint) = of_home.get_mut(key)
                && (hint.record == *record || active(Mutant::NewerHintDropped))
                && !hint.confirmed.contains(&by)
            {
                hint.confirmed.push(by);
            }
        }
    }

    fn on_failed(&mut self, home: NodeId, by: NodeId) {
        if let Some(delivery) = self.deliveries.get_mut(&home) {
            delivery.failed |= delivery.waiting.contains(&by);
            delivery.waiting.retain(|node| *node != by);
        }
    }

    fn end_if_answered(&mut self, home: NodeId, site: &mut Site) {
        let delivery = self.deliveries.get(&home);
        if delivery.is_some_and(|delivery| delivery.waiting.is_empty()) {
            self.end(home, site);
        }
    }

    /// A delivery is over: what enough homes hold is forgotten.
    fn end(&mut self, home: NodeId, site: &mut Site) {
        let Some(delivery) = self.deliveries.remove(&home) else {
            return;
        };
        let now = site.now.time;
        if delivery.failed || !delivery.waiting.is_empty() {
            self.due.insert(home, now.plus_ms(RETRY_MS));
        } else {
            // A home that takes long is given as much time again: it has clients too.
            let took_us = now.0.saturating_sub(delivery.sent_at.0);
            let pause_us = site.background.hints.microseconds_for(delivery.bytes).max(took_us);
            self.due.insert(home, Time(now.0.saturating_add(pause_us)));
        }
        for (key, record) in &delivery.records {
            let hint = self.kept.get(&home).and_then(|of_home| of_home.get(key));
            if hint.is_some_and(|hint| self.may_go(home, key, hint, site)) {
                self.delivered += u64::from(self.forget(home, key, record, site));
            }
            self.tried(home, key);
        }
    }

    /// Its home holds it, or is not waited for any longer; and w homes hold it.
    fn may_go(&self, home: NodeId, key: &RecordKey, hint: &Hint, site: &Site) -> bool {
        let (homes, need) = homes_and_need(key, site);
        let mut tally = Tally::new(&homes, need);
        hint.confirmed.iter().for_each(|&node| tally.count(node));
        let is_home_served = hint.confirmed.contains(&home) || self.is_given_up(home, key, hint.since, site);
        is_home_served && tally.verdict() == Verdict::Reached
    }

    /// Forgets a hint that is still exactly what was delivered.
    pub(super) fn forget(&mut self, home: NodeId, key: &RecordKey, record: &Arc<Record>, site: &mut Site) -> bool {
        let Some(of_home) = self.kept.get_mut(&home) else {
            return false;
        };
        let is_unchanged = of_home.get(key).is_some_and(|hint| hint.record == *record);
        if !is_unchanged && !active(Mutant::NewerHintDropped) {
            return false;
        }
        let Some(hint) = of_home.remove(key) else { return false };
        self.bytes -= weight(key, &hint.record);
        self.of_run -= usize::from(hint.tries_left > 0);
        if of_home.is_empty() {
            self.kept.remove(&home);
            self.sent_up_to.remove(&home);
            self.looked_at.remove(&home);
            self.resting.remove(&home);
        }
        // Until now it may have been read.
        self.sent_at.insert(key.partition(), site.now.time);
        let token = site.ask_store(StoreOp::PutMeta(Meta::Delivered(home, key.clone())));
        self.forgetting.insert(token, (home, key.clone()));
        true
    }
}

/// The homes of a record, and how many of them its bucket wants to hold a write. A bucket that is gone wants none.
fn homes_and_need(key: &RecordKey, site: &Site) -> (SmallVec<[Home; 3]>, Need) {
    let Some(bucket) = site.catalog.bucket(key.bucket()) else {
        return (SmallVec::new(), Need::Any(0));
    };
    let homes = site.ring.homes(key.partition(), bucket.n);
    let local = homes.first().map_or(DcId::default(), |home| home.dc);
    let need = bucket.w.need(&homes, local);
    let need = need.unwrap_or(Need::Any(homes.len() as u8));
    (homes, need)
}
