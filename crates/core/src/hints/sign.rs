//! A put that no home can sign is signed on what this node keeps of its key for one of them (RULINGS 15). Then it is a hint
//! like any other: durable before it counts, read like one, handed over to the home through merge.

use std::sync::Arc;

use super::{Hints, Keeping, answer, merged, store, weight};
use crate::causality::{Payload, Record};
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

impl Hints {
    /// Signs for `home`. What was signed comes as `Event::Changed`, and `Event::Wrote` when it is durable here.
    pub fn sign(&mut self, home: NodeId, (op, attempt): (OpId, u16), key: RecordKey, put: Put, site: &mut Site) {
        if let Some(result) = reason_not_to_sign(&put, site) {
            answer(site.id, Some(op), attempt, result, site);
            return;
        }
        let before = merged(self.kept_of(&key).map(|hint| &hint.record));
        let own = self.kept.get(&home).and_then(|of_home| of_home.get(&key));
        let lineage = Lineage::Kept(own.and_then(|hint| hint.signed));
        let base = put.base.clone();
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
        site.notify(op, Event::Changed(vec![(key.clone(), changed.clone())]));
        if let Changed::New { record, signed }
        | Changed::Unchanged {
            record: Some(record),
            signed,
        } = &changed
        {
            self.keep_signed(home, (op, attempt), &key, record, site);
            // A repeated request is answered a dot of long ago, which says nothing of the last.
            let is_known =
                |record: &Option<Arc<Record>>| record.as_ref().is_some_and(|record| has_seen(record, signed));
            let hint = self.kept.get_mut(&home).and_then(|of_home| of_home.get_mut(&key));
            if let (Signed::Dot(dot, _), Some(hint)) = (signed, hint)
                && !is_known(&before)
                && !is_known(&base)
            {
                hint.signed = Some(*dot);
            }
        }
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
            unreachable!("what was signed on a record is of its kind")
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

fn has_seen(record: &Record, signed: &Signed) -> bool {
    match (record, signed) {
        (Record::Siblings(record), Signed::Dot(dot, _)) => record.seen.covers(*dot),
        (Record::Siblings(_) | Record::Lww(_), Signed::Dot(..) | Signed::Stamp(_) | Signed::Nothing) => false,
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
