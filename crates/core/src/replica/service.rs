//! The replica: everything one node does to its own records, for local operations and for other nodes alike. It keeps
//! two rules: what it answers is durable, and a write works on the latest state, durable or not (RULINGS 20).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::bucket::{Durability, StorageClass};
use crate::causality::{Record, Stamp};
use crate::change::{self, Change, Changed};
use crate::effect::Notice;
use crate::entropy::trees::Delta;
use crate::event::Event;
use crate::id::{BucketId, NodeId, OpId, Token};
use crate::key::RecordKey;
use crate::map::FastMap;
use crate::message::{Message, Space, WriteReply, WriteResult};
use crate::mutants::{Mutant, active};
use crate::replica::clears::{Cleared, Place, above_clear};
use crate::replica::held::{CommitId, Current, HeldRecords, JobId};
use crate::replica::reads::ReadJob;
use crate::replica::writes::{Purpose, WriteJob};
use crate::site::{Site, is_of_a_write};
use crate::storage::{StoreError, StoreOp, StoreReply, Write};
use crate::time::Hlc;

/// Who asked the replica for something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asker {
    /// This node or another.
    pub node: NodeId,
    /// Its operation.
    pub op: OpId,
    /// Which of the operation's reads or writes.
    pub attempt: u16,
}

/// What a store effect was for.
#[derive(Debug)]
pub(super) enum Awaited {
    Load(RecordKey),
    ReadRecord(JobId, RecordKey),
    ReadPage(JobId),
    Commit(CommitId, JobId),
    Survey(Place),
}

#[derive(Debug)]
pub(super) enum Job {
    Read(ReadJob),
    Write(WriteJob),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Replica {
    pub(super) held: HeldRecords,
    pub(super) awaited: FastMap<Token, Awaited>,
    pub(super) jobs: FastMap<JobId, Job>,
    pub(super) next_job: JobId,
    pub(super) last_commit: CommitId,
    /// Commits that are not answered. Those of buffered buckets are answered before older ones of synced buckets are
    /// durable, so the newest answer says nothing of the others.
    pub(super) unanswered: BTreeSet<CommitId>,
    /// Jobs that wait for a commit to become durable.
    pub(super) waiting_for_commit: BTreeMap<CommitId, SmallVec<[JobId; 1]>>,
    /// What clears each partition of each `lww` bucket.
    pub(super) cleared: Cleared,
    pub(super) rebuilding: BTreeSet<BucketId>,
    /// Pages of rebuilds that are not durable yet.
    pub(super) rebuild_jobs: usize,
    /// Buckets whose rebuilds brought something that could not be merged: it may stand here, or on this disk, as it was.
    pub(super) missed: BTreeSet<BucketId>,
}

impl Replica {
    /// A replica with what its disk holds.
    #[must_use]
    pub fn new(cleared: &[(RecordKey, Hlc)], rebuilding: impl IntoIterator<Item = BucketId>) -> Self {
        Self {
            cleared: Cleared::new(cleared),
            rebuilding: rebuilding.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Merges records from another replica or from a local operation's write-back.
    pub fn merge(
        &mut self,
        asker: Option<Asker>,
        records: Vec<(RecordKey, Arc<Record>)>,
        space: Space,
        site: &mut Site,
    ) {
        let is_put = asker.is_some_and(|asker| is_of_a_write(asker.attempt));
        let change = if is_put { Change::TakePut } else { Change::Merge };
        let changes = records.into_iter().map(|(key, record)| (key, change(record))).collect();
        let purpose = if asker.is_some() {
            Purpose::Merge
        } else {
            Purpose::Repair
        };
        self.write(asker, purpose, changes, space, site);
    }

    /// True if a read or write of the record is under way here: what the store shows of it may not be all.
    #[must_use]
    pub fn is_busy_with(&self, key: &RecordKey) -> bool {
        self.held.find(key).is_some()
    }

    /// Makes changes for a local operation: tells it what was signed as soon as that is known, and again when durable.
    pub fn change(&mut self, op: OpId, attempt: u16, changes: Vec<(RecordKey, Change)>, space: Space, site: &mut Site) {
        self.write(
            Some(Asker {
                node: site.id,
                op,
                attempt,
            }),
            Purpose::Sign,
            changes,
            space,
            site,
        );
    }

    /// A store effect is answered; false if it was not asked for here.
    pub fn on_stored(&mut self, token: Token, reply: StoreReply, site: &mut Site) -> Option<StoreReply> {
        let Some(awaited) = self.awaited.remove(&token) else {
            return Some(reply);
        };
        match awaited {
            Awaited::Load(key) => self.on_loaded(&key, reply, site),
            Awaited::ReadRecord(id, key) => {
                let result = match reply {
                    StoreReply::Record(record) => Ok(record),
                    StoreReply::Failed(error) => Err(error),
                    StoreReply::Page(_) | StoreReply::Done | StoreReply::Scrubbed(_) => Err(StoreError::OutOfService),
                };
                if result == Err(StoreError::Damaged) {
                    site.note_damage(&key);
                }
                // A write may have begun while the store was looking: what it found may not be durable yet.
                let commit = self.held.find(&key).and_then(|held| self.unanswered_commit_of(held));
                self.wait_for_commit(id, commit);
                self.progress_read(id, site, |job| job.add_result(key, result));
            }
            Awaited::ReadPage(id) => {
                if reply == StoreReply::Failed(StoreError::Damaged) {
                    site.damage.note_somewhere();
                }
                let page = match reply {
                    StoreReply::Page(page) => Some(page),
                    StoreReply::Record(_) | StoreReply::Done | StoreReply::Scrubbed(_) | StoreReply::Failed(_) => None,
                };
                self.on_page(id, page, site);
            }
            Awaited::Commit(commit, id) => self.on_committed(commit, id, &reply, site),
            Awaited::Survey(place) => self.on_survey_page(place, reply, site),
        }
        None
    }

    /// Buckets whose copy on this node is being rebuilt.
    #[must_use]
    pub fn rebuilding(&self) -> &BTreeSet<BucketId> {
        &self.rebuilding
    }

    /// Notes that a bucket's copy is being rebuilt, or is complete.
    pub fn set_rebuilding(&mut self, bucket: BucketId, rebuilding: bool) {
        if rebuilding {
            self.rebuilding.insert(bucket);
        } else {
            self.rebuilding.remove(&bucket);
        }
    }

    /// Jobs and held records: zero on an idle node.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.jobs.len() + self.held.len() + self.awaited.len() + self.waiting_for_commit.len()
    }

    pub(super) fn new_job_id(&mut self) -> JobId {
        self.next_job += 1;
        self.next_job
    }

    pub(super) fn write(
        &mut self,
        asker: Option<Asker>,
        purpose: Purpose,
        changes: Vec<(RecordKey, Change)>,
        space: Space,
        site: &mut Site,
    ) {
        if site.out_of_service || (site.health.full && space == Space::Needed) {
            let full = !site.out_of_service;
            let result = if full {
                WriteResult::DiskFull
            } else {
                WriteResult::Failed
            };
            if purpose == Purpose::Rebuild {
                self.rebuild_jobs -= 1;
                self.missed.extend(changes.iter().map(|(key, _)| key.bucket()));
            }
            answer_write(asker, result, site);
            return;
        }
        let id = self.new_job_id();
        let mut loading = 0;
        let mut held = SmallVec::new();
        for (key, _) in &changes {
            held.push(key.clone());
            if self.held.hold(key) {
                let class = class_of(key.bucket(), site);
                let token = site.ask_store(StoreOp::Get {
                    key: key.clone(),
                    class,
                });
                self.awaited.insert(token, Awaited::Load(key.clone()));
            }
            if let Some(entry) = self.held.find_mut(key)
                && matches!(entry.current, Current::Loading)
            {
                entry.waiting.push(id);
                loading += 1;
            }
        }
        let result = WriteResult::Done { winner: None };
        let job = WriteJob {
            asker,
            purpose,
            changes,
            held,
            loading,
            winner: None,
            result,
        };
        if job.loading == 0 {
            self.perform(id, job, site);
        } else {
            self.jobs.insert(id, Job::Write(job));
        }
    }

    fn on_loaded(&mut self, key: &RecordKey, reply: StoreReply, site: &mut Site) {
        let Some(held) = self.held.find_mut(key) else { return };
        held.current = match reply {
            StoreReply::Record(record) => Current::Known(record),
            StoreReply::Failed(StoreError::Damaged) if active(Mutant::DamagedIsAbsent) => Current::Known(None),
            StoreReply::Failed(StoreError::Unreadable) if active(Mutant::UnreadableIsAbsent) => Current::Known(None),
            StoreReply::Failed(StoreError::Damaged) => {
                site.note_damage(key);
                Current::Damaged
            }
            StoreReply::Failed(_) | StoreReply::Page(_) | StoreReply::Done | StoreReply::Scrubbed(_) => {
                Current::Unreadable
            }
        };
        for id in std::mem::take(&mut held.waiting) {
            let Some(Job::Write(job)) = self.jobs.get_mut(&id) else {
                continue;
            };
            job.loading -= 1;
            if job.loading == 0
                && let Some(Job::Write(job)) = self.jobs.remove(&id)
            {
                self.perform(id, job, site);
            }
        }
    }

    /// All records are loaded: change them, commit what changed, and answer when all of it is durable.
    fn perform(&mut self, id: JobId, mut job: WriteJob, site: &mut Site) {
        let mut writes = Vec::new();
        let mut deltas: SmallVec<[Delta; 1]> = SmallVec::new();
        let mut durability = Durability::Buffered;
        let mut wait_for = 0;
        let mut results = Vec::with_capacity(if job.purpose == Purpose::Sign {
            job.changes.len()
        } else {
            0
        });
        let mut has_regressed = false;
        let mut lost_dots = false;
        // What an operation signs, it signs whole or not at all.
        if job.purpose == Purpose::Sign && job.changes.iter().any(|change| !self.can_change(change, site)) {
            self.refuse_unreadable(job, site);
            return;
        }
        for (key, change) in std::mem::take(&mut job.changes) {
            let Some(held) = self.held.find_mut(&key) else { continue };
            let is_damaged = matches!(held.current, Current::Damaged);
            let current = match &held.current {
                Current::Known(record) => record.clone(),
                Current::Damaged if matches!(job.purpose, Purpose::Repair | Purpose::Rebuild) => None,
                Current::Damaged if job.purpose == Purpose::Sign => {
                    site.note_only_copy_replaced(&key);
                    None
                }
                Current::Damaged | Current::Loading | Current::Unreadable => {
                    if job.purpose == Purpose::Rebuild {
                        self.missed.insert(key.bucket());
                    }
                    job.result = WriteResult::Failed;
                    continue;
                }
            };
            let forgot = has_forgotten(&change, current.as_deref(), site);
            // Of a damaged record it is known what was forgotten: it alone.
            has_regressed |= forgot && !is_damaged;
            lost_dots |= forgot && is_damaged;
            let sent = sent_stamp(&change);
            let change = above_clear(change, self.cleared.at(&key));
            let changed = change::apply(&key, change, current.as_ref(), site);
            match &changed {
                Changed::New { record, .. } => {
                    self.cleared.note_record(&key, record);
                    site.stats.mended_records += u64::from(is_damaged && job.purpose != Purpose::Sign);
                    let old = (!is_damaged).then_some(current.as_deref());
                    deltas.extend(site.trees.delta(&key, old, Some(record)));
                    held.current = Current::Known(Some(Arc::clone(record)));
                    held.last_commit = self.last_commit + 1;
                    let bucket = site.bucket(key.bucket());
                    if bucket
                        .as_ref()
                        .is_some_and(|bucket| bucket.durability == Durability::Synced)
                    {
                        durability = Durability::Synced;
                    }
                    let class = bucket.map_or(StorageClass::Disk, |bucket| bucket.storage);
                    writes.push(Write {
                        key: key.clone(),
                        record: Some(Arc::clone(record)),
                        class,
                    });
                    self.note_winner(&mut job, &key, sent, record);
                }
                // What others still hold may have come from a file that was given up since: on disk it is no more.
                Changed::Unchanged {
                    record: Some(record), ..
                } if job.purpose == Purpose::Rebuild && held.users > 1 && held.last_commit == 0 => {
                    held.last_commit = self.last_commit + 1;
                    let bucket = site.bucket(key.bucket());
                    durability = Durability::Synced;
                    writes.push(Write {
                        key: key.clone(),
                        record: Some(Arc::clone(record)),
                        class: bucket.map_or(StorageClass::Disk, |bucket| bucket.storage),
                    });
                }
                Changed::Unchanged { record, .. } => {
                    wait_for = wait_for.max(held.last_commit);
                    if let Some(record) = record {
                        self.note_winner(&mut job, &key, sent, record);
                    }
                }
                Changed::Removed => {
                    let old = current.as_deref();
                    deltas.extend(site.trees.delta(&key, Some(old), None));
                    if let Some(old) = old {
                        site.minter.note_reaped(old);
                    }
                    site.stats.reaped_records += 1;
                    held.current = Current::Known(None);
                    held.last_commit = self.last_commit + 1;
                    durability = Durability::Synced;
                    writes.push(Write {
                        class: class_of(key.bucket(), site),
                        key: key.clone(),
                        record: None,
                    });
                }
                Changed::Refused(_) | Changed::Unreadable => job.result = WriteResult::Failed,
            }
            if job.purpose == Purpose::Sign {
                results.push((key, changed));
            }
        }
        if has_regressed {
            self.regress(site);
        } else if lost_dots {
            // What the others hold of it may lack a dot of this life that nobody else ever got: none is minted again.
            site.new_life("a damaged record was mended");
        }
        let refused = results.iter().any(|result| matches!(result.1, Changed::Refused(_)));
        if job.purpose == Purpose::Sign
            && let Some(asker) = job.asker
        {
            site.notify(asker.op, Event::Changed(results));
        }
        if matches!(job.result, WriteResult::Done { .. }) {
            job.result = WriteResult::Done { winner: job.winner };
        }
        if writes.is_empty() {
            if self.unanswered.contains(&wait_for) {
                self.waiting_for_commit.entry(wait_for).or_default().push(id);
                self.jobs.insert(id, Job::Write(job));
            } else {
                self.complete(job, refused, site);
            }
            return;
        }
        site.trees.on_asked(self.last_commit + 1, deltas);
        self.commit(id, job, writes, durability, site);
    }

    /// Asks the store to commit what a job wrote; the job is answered when that is done.
    pub(super) fn commit(
        &mut self,
        id: JobId,
        mut job: WriteJob,
        writes: Vec<Write>,
        durability: Durability,
        site: &mut Site,
    ) {
        self.last_commit += 1;
        self.unanswered.insert(self.last_commit);
        let token = site.ask_store(StoreOp::Commit { writes, durability });
        self.awaited.insert(token, Awaited::Commit(self.last_commit, id));
        site.stats.commits += 1;
        if active(Mutant::AcknowledgeBeforeDurable) {
            answer_write(job.asker.take(), job.result.clone(), site);
        }
        self.jobs.insert(id, Job::Write(job));
    }

    fn note_winner(&mut self, job: &mut WriteJob, key: &RecordKey, sent: Option<Stamp>, record: &Arc<Record>) {
        let Some(lww) = record.as_lww() else { return };
        if key.is_partition_head() {
            self.cleared.note_head(key, lww.cleared_at, self.last_commit + 1);
            return;
        }
        let Some(sent) = sent else { return };
        if lww.stamp > sent {
            job.winner = job.winner.max(Some(lww.stamp));
        }
        // What cleared the partition hides what was sent, although it may have been acknowledged before this began.
        let cleared_at = self.cleared.at(key);
        if sent.hlc <= cleared_at && sent != Stamp::ZERO {
            let dot = Stamp::ZERO.dot;
            job.winner = job.winner.max(Some(Stamp { hlc: cleared_at, dot }));
        }
    }

    fn on_committed(&mut self, commit: CommitId, id: JobId, reply: &StoreReply, site: &mut Site) {
        if matches!(reply, StoreReply::Failed(_)) {
            site.on_commit_failed();
        }
        self.unanswered.remove(&commit);
        site.trees.on_answered(commit, !site.out_of_service);
        if let Some(Job::Write(mut job)) = self.jobs.remove(&id) {
            if site.out_of_service {
                job.result = WriteResult::Failed;
            }
            self.complete(job, false, site);
        }
        for waiting in self.waiting_for_commit.remove(&commit).unwrap_or_default() {
            self.on_commit_reached(waiting, site);
        }
    }

    fn on_commit_reached(&mut self, id: JobId, site: &mut Site) {
        match self.jobs.get(&id) {
            Some(Job::Read(_)) => self.progress_read(id, site, |_| {}),
            Some(Job::Write(_)) => {
                if let Some(Job::Write(mut job)) = self.jobs.remove(&id) {
                    if site.out_of_service {
                        job.result = WriteResult::Failed;
                    }
                    self.complete(job, false, site);
                }
            }
            None => {}
        }
    }

    pub(super) fn complete(&mut self, job: WriteJob, refused: bool, site: &mut Site) {
        for key in &job.held {
            self.held.release(key);
        }
        self.rebuild_jobs -= usize::from(job.purpose == Purpose::Rebuild);
        // A refused signature was already told, with its reason.
        if !refused {
            answer_write(job.asker, job.result, site);
        }
    }

    fn regress(&mut self, site: &mut Site) {
        site.new_life("a peer holds a write of this life that is not held here");
        site.notice(Notice::Regressed);
        site.has_regressed = true;
    }
}

pub(super) fn class_of(bucket: BucketId, site: &Site) -> StorageClass {
    site.catalog
        .bucket(bucket)
        .map_or(StorageClass::Disk, |bucket| bucket.storage)
}

fn sent_stamp(change: &Change) -> Option<Stamp> {
    match change {
        Change::Merge(record) | Change::TakePut(record) => record.as_lww().map(|lww| lww.stamp),
        // An expiry alone has no value that could lose.
        Change::Registers(registers) => Some(registers.registers.stamp).filter(|stamp| *stamp != Stamp::ZERO),
        Change::Put(_) | Change::Reap(_) | Change::Fold(..) => None,
    }
}

fn has_forgotten(change: &Change, current: Option<&Record>, site: &Site) -> bool {
    let (Change::Merge(record) | Change::TakePut(record)) = change else {
        return false;
    };
    let Record::Siblings(incoming) = &**record else {
        return false;
    };
    let held = match current {
        Some(Record::Siblings(held)) => Some(&held.seen),
        Some(Record::Lww(_)) | None => None,
    };
    site.minter.has_forgotten(&incoming.seen, held)
}

fn answer_write(asker: Option<Asker>, result: WriteResult, site: &mut Site) {
    let Some(Asker { node, op, attempt }) = asker else {
        return;
    };
    if node == site.id {
        site.notify(op, Event::Wrote(node, attempt, result));
    } else {
        site.send(&[node], Message::WriteReply(WriteReply { op, attempt, result }));
    }
}
