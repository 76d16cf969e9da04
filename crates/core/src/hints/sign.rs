//! A put that no home can sign is signed on what this node keeps of its key for one of them (RULINGS 15). Then it is a hint
//! like any other: durable before it counts, read like one, handed over to the home through merge.

use std::sync::Arc;

use super::{Hints, Keeping, answer, merged, store, weight};
use crate::causality::{Dot, Payload, Record};
use crate::change::{self, Changed, Put, Signed};
use crate::event::Event;
use crate::id::{NodeId, OpId};
use crate::key::RecordKey;
use crate::life::Lineage;
use crate::message::WriteResult;
use crate::mutants::{Mutant, active};
use crate::outcome::{Cause, Failure};
use crate::site::Site;

/// When a client may try again to write what there was no room for: hints go when a home is back.
const RETRY_AFTER_MS: u32 = 1_000;
/// Keys whose last dot is remembered, so that the next put of one goes on from it. With more, all are forgotten, and the next
/// puts draw new births: an entry more in their contexts each.
pub(super) const SIGNED_MAX: usize = 16_384;

impl Hints {
    /// Signs for `home`. What was signed comes as `Event::Changed`, and `Event::Wrote` when it is durable here.
    pub fn sign(&mut self, home: NodeId, (op, attempt): (OpId, u16), key: RecordKey, put: Put, site: &mut Site) {
        if let Some(result) = reason_not_to_sign(&put, site) {
            answer(site.id, Some(op), attempt, result, site);
            return;
        }
        let before = merged(self.kept_of(&key).map(|hint| &hint.record));
        let lineage = Lineage::Kept(self.signed.get(&key).copied());
        let changed = match change::signed(&key, put, before.as_ref(), lineage, site) {
            Changed::New { ref record, .. }
            | Changed::Unchanged {
                record: Some(ref record),
                ..
            } if !self.has_room_for(home, &key, record) => {
                site.stats.hints_refused += 1;
                let retry_after_ms = RETRY_AFTER_MS;
                Changed::Refused(Failure::refused(Cause::Busy { retry_after_ms }))
            }
            changed => changed,
        };
        if let Changed::New {
            signed: Signed::Dot(dot, _),
            ..
        } = &changed
        {
            self.remember(&key, *dot);
        }
        let record = match &changed {
            Changed::New { record, .. } => Some(Arc::clone(record)),
            Changed::Unchanged { record, .. } => record.clone(),
            Changed::Removed | Changed::Refused(_) | Changed::Unreadable => None,
        };
        site.notify(op, Event::Changed(vec![(key.clone(), changed)]));
        if let Some(record) = record {
            self.keep_signed(home, (op, attempt), &key, &record, site);
        }
    }

    fn remember(&mut self, key: &RecordKey, dot: Dot) {
        if self.signed.len() >= SIGNED_MAX && !self.signed.contains_key(key) {
            self.signed.clear();
        }
        self.signed.insert(key.clone(), dot);
    }

    fn keep_signed(
        &mut self,
        home: NodeId,
        (op, attempt): (OpId, u16),
        key: &RecordKey,
        record: &Arc<Record>,
        site: &mut Site,
    ) {
        let Some((record, since)) = self.merge(home, key, record, site.now.wall) else {
            // What is kept for this home is of another kind than what is kept for others: it came from elsewhere.
            answer(site.id, Some(op), attempt, WriteResult::Failed, site);
            return;
        };
        site.stats.hints_signed += 1;
        let token = store(home, key.clone(), Arc::clone(&record), since, site);
        let keeping = Keeping {
            asker: site.id,
            op: Some(op).filter(|_| !active(Mutant::StandInCountsUndurable)),
            attempt,
            home,
            records: vec![(key.clone(), record)],
            winner: None,
        };
        self.keeping.insert(token, keeping);
        if active(Mutant::StandInCountsUndurable) {
            answer(site.id, Some(op), attempt, WriteResult::Done { winner: None }, site);
        }
    }

    fn has_room_for(&self, home: NodeId, key: &RecordKey, record: &Record) -> bool {
        let hint = self.kept.get(&home).and_then(|of_home| of_home.get(key));
        let before = hint.map_or(0, |hint| weight(key, &hint.record));
        (self.bytes + weight(key, record)).saturating_sub(before) as u64 <= self.limits.bytes_max
    }
}

fn reason_not_to_sign(put: &Put, site: &Site) -> Option<WriteResult> {
    if site.out_of_service || site.is_unsettled {
        Some(WriteResult::Failed)
    } else if site.health.full && !matches!(put.payload, Payload::Tombstone) {
        Some(WriteResult::DiskFull)
    } else {
        None
    }
}
