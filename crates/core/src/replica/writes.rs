//! One write at a replica: waits until its records are loaded, changes them, commits, and answers when that is durable
//! (or applied, in buffered buckets).

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::bucket::Bucket;
use crate::causality::{Lives, Record, Stamp};
use crate::change::{self, Change, Changed, Put, PutKind, Signed};
use crate::event::Event;
use crate::id::{BucketId, OpId};
use crate::key::RecordKey;
use crate::life::Lineage;
use crate::message::{Space, WriteResult};
use crate::replica::held::Current;
use crate::replica::service::{Asker, Replica};
use crate::site::Site;
use crate::storage::{AtHand, Write};

/// What a write is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A local operation signs: it is told what was signed before that is durable, so that it can send the record to the
    /// other homes in parallel.
    Sign,
    /// Another replica's record, for an operation that counts it.
    Merge,
    /// A repair, which nobody counts. It may replace a damaged record: its sender merged it from all other homes.
    Repair,
    /// A page of a rebuild: the copy is complete only once all of them are durable.
    Rebuild,
    /// All homes have agreed that the record may go.
    Reap,
}

/// A write that waits for its records or for its commit.
#[derive(Debug)]
pub struct WriteJob {
    /// Who asked; without an operation nobody waits for the answer.
    pub asker: Option<Asker>,
    /// What it is for.
    pub purpose: Purpose,
    /// What to do; taken when it is done.
    pub changes: Vec<(RecordKey, Change)>,
    /// Records held for this job.
    pub held: SmallVec<[RecordKey; 1]>,
    /// Records still being loaded.
    pub loading: u32,
    /// The greatest stamp that stands above what was sent.
    pub winner: Option<Stamp>,
    /// What to answer once everything is durable.
    pub result: WriteResult,
}

impl Replica {
    /// Merges a page of a rebuild.
    pub fn merge_rebuilt(&mut self, records: Vec<(RecordKey, Arc<Record>)>, site: &mut Site) {
        self.rebuild_jobs += 1;
        let changes = records
            .into_iter()
            .map(|(key, record)| (key, Change::Merge(record)))
            .collect();
        self.write(None, Purpose::Rebuild, changes, Space::NotNeeded, site);
    }

    /// True while a page of a rebuild is not durable.
    #[must_use]
    pub fn is_merging_rebuilt(&self) -> bool {
        self.rebuild_jobs > 0
    }

    /// True if something that a bucket's rebuild brought since this was last asked could not be merged.
    pub fn take_missed(&mut self, bucket: BucketId) -> bool {
        self.missed.remove(&bucket)
    }

    /// Removes records that are still exactly what was agreed upon; nobody waits.
    pub fn reap(&mut self, records: Vec<(RecordKey, u128)>, site: &mut Site) {
        let changes = records
            .into_iter()
            .map(|(key, hash)| (key, Change::Reap(hash)))
            .collect();
        self.write(None, Purpose::Reap, changes, Space::NotNeeded, site);
    }

    /// Takes the entries of lives that are over out of records that are still exactly what was agreed upon; nobody waits.
    pub fn fold(&mut self, records: Vec<(RecordKey, u128)>, lives: &Arc<Lives>, site: &mut Site) {
        let changes = records
            .into_iter()
            .map(|(key, hash)| (key, Change::Fold(hash, Arc::clone(lives))))
            .collect();
        self.write(None, Purpose::Reap, changes, Space::NotNeeded, site);
    }

    /// Signs a put of a last-writer-wins record that is at hand, and commits it: what [`Self::change`] does once the
    /// record is loaded. `Event::Wrote` comes when it is durable, with attempt 1. `None`: nothing was done.
    pub fn sign_at_hand(
        &mut self,
        op: OpId,
        key: &RecordKey,
        mut put: Put,
        bucket: &Bucket,
        site: &mut Site,
        storage: &mut impl AtHand,
    ) -> Option<Stamp> {
        let current = match self.held.find(key).map(|held| &held.current) {
            Some(Current::Known(record)) => record.clone(),
            Some(Current::Loading | Current::Damaged | Current::Unreadable) => return None,
            None => storage.at_hand(key, bucket.storage)?.cloned(),
        };
        // A record of another kind is refused, which is left to the operation.
        if current.as_ref().is_some_and(|record| record.as_lww().is_none()) {
            return None;
        }
        if let PutKind::Lww { floor, .. } = &mut put.kind {
            *floor = (*floor).max(self.cleared.at(key));
        }
        let Changed::New {
            record,
            signed: Signed::Stamp(stamp),
        } = change::signed(key, put, current.as_ref(), Lineage::Record, site)
        else {
            unreachable!("a put without a request id is new, and a register's signature is a stamp")
        };
        self.cleared.note_record(key, &record);
        self.held.hold_written(key, &record, self.last_commit + 1);
        let write = Write {
            key: key.clone(),
            record: Some(Arc::clone(&record)),
            class: bucket.storage,
        };
        let job = WriteJob {
            asker: Some(Asker {
                node: site.id,
                op,
                attempt: 1,
            }),
            purpose: Purpose::Sign,
            changes: Vec::new(),
            held: smallvec![key.clone()],
            loading: 0,
            winner: None,
            result: WriteResult::Done { winner: None },
        };
        let id = self.new_job_id();
        self.commit(id, job, vec![write], bucket.durability, site);
        Some(stamp)
    }

    /// True if what a change works on is known here, or if nobody will ever know it and the change needs nothing of it.
    pub(super) fn can_change(&self, (key, change): &(RecordKey, Change), site: &Site) -> bool {
        match self.held.find(key).map(|held| &held.current) {
            Some(Current::Known(_)) | None => true,
            Some(Current::Damaged) => site.is_only_copy(key) && change.reads_nothing(),
            Some(Current::Loading | Current::Unreadable) => false,
        }
    }

    pub(super) fn refuse_unreadable(&mut self, mut job: WriteJob, site: &mut Site) {
        let changes = std::mem::take(&mut job.changes);
        if let Some(asker) = job.asker {
            let refused = changes.into_iter().map(|(key, _)| (key, Changed::Unreadable));
            site.notify(asker.op, Event::Changed(refused.collect()));
        }
        self.complete(job, true, site);
    }
}
