//! One read at a replica: collects the records asked for, each in a durable state. A read that meets a commit in flight
//! keeps the state of that moment and answers when it has become durable (RULINGS 20).

use std::sync::Arc;

use crate::bucket::Bucket;
use crate::causality::Record;
use crate::event::Event;
use crate::key::RecordKey;
use crate::message::{Message, ReadAnswer, ReadReply, ReadWant, Refusal};
use crate::mutants::{Mutant, active};
use crate::replica::held::{CommitId, Current, Held, JobId};
use crate::replica::service::{Asker, Awaited, Job, Replica, class_of};
use crate::site::Site;
use crate::storage::{AtHand, Page, StoreError, StoreOp};
use crate::time::Hlc;

/// A read that waits for the store or for commits.
#[derive(Debug)]
pub struct ReadJob {
    /// Who asked.
    pub asker: Asker,
    /// What is known so far.
    pub answer: ReadAnswer,
    /// Records, pages and commits still awaited.
    pub awaited: u32,
    /// The store could not say: the read is refused as a whole.
    pub failed: bool,
}

impl ReadJob {
    /// A read of which nothing is known yet.
    #[must_use]
    pub fn new(asker: Asker) -> Self {
        Self {
            asker,
            answer: ReadAnswer::default(),
            awaited: 0,
            failed: false,
        }
    }

    /// Adds one record, or its absence.
    pub fn add(&mut self, key: RecordKey, record: Option<Arc<Record>>) {
        if let Some(record) = record {
            self.answer.records.push((key, record));
        }
    }

    /// Adds what the store said of one record.
    pub fn add_result(&mut self, key: RecordKey, result: Result<Option<Arc<Record>>, StoreError>) {
        match result {
            Ok(record) => self.add(key, record),
            Err(StoreError::Damaged) if active(Mutant::DamagedIsAbsent) => {}
            Err(StoreError::Damaged) => self.answer.damaged.push(key),
            Err(StoreError::Unreadable) if active(Mutant::UnreadableIsAbsent) => {}
            Err(StoreError::Unreadable | StoreError::DiskFull | StoreError::OutOfService) => self.failed = true,
        }
    }
}

impl Replica {
    /// Reads; answers the asker with a `ReadAnswer` or refuses.
    pub fn read(&mut self, asker: Asker, want: ReadWant, site: &mut Site) {
        let mut job = ReadJob::new(asker);
        let id = self.new_job_id();
        match want {
            ReadWant::Records(keys) => {
                for key in keys {
                    self.note_bucket(id, &mut job, &key);
                    if key.is_partition_head() {
                        self.survey(id, &mut job, (key.partition(), key.bucket()), site);
                    }
                    self.read_record(id, &mut job, key, site);
                }
            }
            ReadWant::Range {
                range,
                records_max,
                bytes_max,
            } => {
                let class = class_of(range.bucket, site);
                job.answer.rebuilding = self.rebuilding.contains(&range.bucket);
                job.awaited = 1;
                let clears: Vec<_> = self.cleared.of_range(&range).collect();
                for (partition, at, commit) in clears {
                    job.answer.cleared.push((partition, range.bucket, at));
                    self.wait_if_unanswered(id, &mut job, commit);
                }
                let bytes_max = bytes_max as usize;
                let token = site.ask_store(StoreOp::Scan {
                    range,
                    class,
                    records_max,
                    bytes_max,
                    may_wait: false,
                });
                self.awaited.insert(token, Awaited::ReadPage(id));
            }
        }
        if job.awaited == 0 {
            self.answer_read(job, site);
        } else {
            self.jobs.insert(id, Job::Read(job));
        }
    }

    pub(super) fn read_record(&mut self, id: JobId, job: &mut ReadJob, key: RecordKey, site: &mut Site) {
        if let Some(held) = self.held.find(&key)
            && let Current::Known(record) = &held.current
        {
            let commit = self.unanswered_commit_of(held);
            job.add(key, record.clone());
            if let Some(commit) = commit {
                job.awaited += 1;
                self.waiting_for_commit.entry(commit).or_default().push(id);
            }
            return;
        }
        let class = class_of(key.bucket(), site);
        job.awaited += 1;
        let token = site.ask_store(StoreOp::Get {
            key: key.clone(),
            class,
        });
        self.awaited.insert(token, Awaited::ReadRecord(id, key));
    }

    /// The durable record, if it is at hand and this copy of its bucket is complete. While a write holds the record, only
    /// [`Self::read`] can tell what of it is durable.
    pub fn at_hand<'a>(
        &self,
        key: &RecordKey,
        bucket: &Bucket,
        site: &Site,
        storage: &'a mut impl AtHand,
    ) -> Option<Option<&'a Arc<Record>>> {
        let is_held = self.held.find(key).is_some() && !active(Mutant::AtOnceUndurable);
        // What clears the partition must be durable before it hides anything.
        let is_held = is_held || self.unanswered.contains(&self.cleared.commit_of(key));
        if site.out_of_service || is_held || self.rebuilding.contains(&bucket.id) {
            return None;
        }
        storage.at_hand(key, bucket.storage)
    }

    /// Everything of the key's partition and bucket up to this is gone.
    #[must_use]
    pub fn cleared_at(&self, key: &RecordKey) -> Hlc {
        self.cleared.at(key)
    }

    /// The commit that the held state waits for, if it is not durable.
    pub(super) fn unanswered_commit_of(&self, held: &Held) -> Option<CommitId> {
        let commit = held.last_commit;
        (self.unanswered.contains(&commit) && !active(Mutant::ReadUndurable)).then_some(commit)
    }

    /// Makes a read wait for one thing more.
    pub(super) fn wait_for_commit(&mut self, id: JobId, commit: Option<CommitId>) {
        if let (Some(commit), Some(Job::Read(job))) = (commit, self.jobs.get_mut(&id)) {
            job.awaited += 1;
            self.waiting_for_commit.entry(commit).or_default().push(id);
        }
    }

    /// What the answer must say of the partition and bucket that it touches.
    fn note_bucket(&mut self, id: JobId, job: &mut ReadJob, key: &RecordKey) {
        job.answer.rebuilding |= self.rebuilding.contains(&key.bucket());
        let at = self.cleared.at(key);
        let entry = (key.partition(), key.bucket(), at);
        if at > Hlc::ZERO && !job.answer.cleared.contains(&entry) {
            job.answer.cleared.push(entry);
            self.wait_if_unanswered(id, job, self.cleared.commit_of(key));
        }
    }

    /// A clear that is not durable may be shown to nobody: who reads what it hides waits for it.
    fn wait_if_unanswered(&mut self, id: JobId, job: &mut ReadJob, commit: CommitId) {
        if self.unanswered.contains(&commit) && !active(Mutant::ReadUndurable) {
            job.awaited += 1;
            self.waiting_for_commit.entry(commit).or_default().push(id);
        }
    }

    pub(super) fn on_page(&mut self, id: JobId, page: Option<Page>, site: &mut Site) {
        // Commits of one bucket are answered in order: the last one speaks for all that the page may show.
        let records = page.iter().flat_map(|page| &page.records);
        let held = records.filter_map(|record| self.held.find(&record.0));
        let commit = held.filter_map(|held| self.unanswered_commit_of(held)).max();
        let Some(Job::Read(job)) = self.jobs.get_mut(&id) else {
            return;
        };
        let Some(page) = page else {
            job.failed = true;
            self.progress_read(id, site, |_| {});
            return;
        };
        job.answer.complete_up_to = page.next;
        for key in page.damaged {
            site.note_damage(&key);
            if !active(Mutant::DamagedIsAbsent) {
                job.answer.damaged.push(key);
            }
        }
        for (key, record) in page.records {
            // As the answer says it: a clear that came since may never become durable.
            let cleared = &job.answer.cleared;
            let at = cleared.binary_search_by_key(&key.partition(), |entry| entry.0);
            let cleared_at = at.map_or(Hlc::ZERO, |at| cleared[at].2);
            let is_gone = record.as_lww().is_some_and(|lww| lww.highest() <= cleared_at);
            if !is_gone || key.is_partition_head() {
                job.answer.records.push((key, record));
            }
        }
        self.wait_for_commit(id, commit);
        self.progress_read(id, site, |_| {});
    }

    /// One awaited part of a read has come.
    pub(super) fn progress_read(&mut self, id: JobId, site: &mut Site, add: impl FnOnce(&mut ReadJob)) {
        let Some(Job::Read(job)) = self.jobs.get_mut(&id) else {
            return;
        };
        add(job);
        job.awaited = job.awaited.saturating_sub(1);
        if job.awaited == 0
            && let Some(Job::Read(job)) = self.jobs.remove(&id)
        {
            self.answer_read(job, site);
        }
    }

    pub(super) fn answer_read(&self, mut job: ReadJob, site: &mut Site) {
        let Asker { node, op, attempt } = job.asker;
        if job.failed || (site.out_of_service && !active(Mutant::ReadUndurable)) {
            if node == site.id {
                site.notify(op, Event::Refused(node, attempt, Refusal::CannotMint));
            } else {
                site.refuse(node, Some(op), attempt, Refusal::CannotMint);
            }
            return;
        }
        job.answer.records.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if node == site.id {
            site.notify(op, Event::Read(node, attempt, job.answer));
        } else {
            site.send(
                &[node],
                Message::ReadReply(ReadReply {
                    op,
                    attempt,
                    answer: job.answer,
                }),
            );
        }
    }
}
