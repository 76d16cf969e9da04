//! One read at a replica: collects the records asked for, each in a durable state. A read that meets a commit in flight
//! keeps the state of that moment and answers when it has become durable (RULINGS 20).

use std::sync::Arc;

use crate::causality::Record;
use crate::key::RecordKey;
use crate::message::ReadAnswer;
use crate::replica::service::Asker;
use crate::storage::StoreError;

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
            Err(StoreError::Damaged) => self.answer.damaged.push(key),
            Err(StoreError::DiskFull | StoreError::OutOfService) => self.failed = true,
        }
    }
}
