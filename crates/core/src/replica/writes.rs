//! One write at a replica: waits until its records are loaded, changes them, commits, and answers when that is durable
//! (or applied, in buffered buckets).

use smallvec::SmallVec;

use crate::causality::Stamp;
use crate::change::Change;
use crate::key::RecordKey;
use crate::message::WriteResult;
use crate::replica::service::Asker;

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
