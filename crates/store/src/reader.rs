//! The thread that performs long scans, so that they do not hold up the node thread. Short ones, inside one partition,
//! are cheaper on the spot than two thread hops, unless there are many of them at a time.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use torc_core::id::Token;
use torc_core::storage::{Page, Range, Spoiled, StoreError, StoreReply};

use crate::engine::Engine;
use crate::scrub::Scrubber;
use crate::shared::Shared;
use crate::stats::add;

/// A scan inside one partition reads this many records on the spot before it is handed over.
const ON_THE_SPOT_RECORDS: u32 = 64;

/// One scan.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    pub range: Range,
    pub records_max: u32,
    pub bytes_max: usize,
}

impl Scan {
    /// The page, if it takes few records of one partition; `None` if the reader should read it.
    pub fn on_the_spot(&self, engine: &Engine, shared: &Shared) -> Option<Result<Page, StoreError>> {
        let end = self.range.end.as_ref()?;
        if self.range.start.get(..2)? != end.get(..2)? {
            return None;
        }
        let first = Self {
            records_max: self.records_max.min(ON_THE_SPOT_RECORDS),
            ..self.clone()
        };
        let page = first.perform(engine, shared);
        let is_cut = |page: &Page| page.next.is_some() && first.records_max < self.records_max;
        let too_long = page.as_ref().is_ok_and(is_cut);
        (!too_long).then_some(page)
    }

    /// The page, however long it takes.
    pub fn perform(&self, engine: &Engine, shared: &Shared) -> Result<Page, StoreError> {
        let damaged = &shared.counters.damaged_records;
        match engine.scan(&self.range, self.records_max, self.bytes_max) {
            Ok(page) => {
                add(damaged, page.damaged.len() as u64);
                Ok(page)
            }
            Err(error) => {
                add(damaged, u64::from(error == StoreError::Damaged));
                Err(error)
            }
        }
    }
}

/// What the reader is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    /// Records.
    Scan(Scan),
    /// A part of a scrub.
    Scrub { from: Bytes, bytes_max: u64 },
    /// To give up a damaged file: waits for compactions.
    Discard(Spoiled),
}

/// The reader's end; it ends when the other one is dropped.
pub(crate) struct Reader {
    engine: Engine,
    shared: Arc<Shared>,
    jobs: Receiver<(Token, Job)>,
}

impl Reader {
    /// A reader, and where its jobs come from. Bounded by the operations that the core admits.
    pub fn new(engine: Engine, shared: Arc<Shared>) -> (Sender<(Token, Job)>, Self) {
        let (sender, jobs) = channel();
        let reader = Self { engine, shared, jobs };
        (sender, reader)
    }

    /// Answers until nobody can ask any more.
    pub fn run(self) {
        let mut scrubber = Scrubber::default();
        while let Ok((token, job)) = self.jobs.recv() {
            let result = if self.shared.is_out_of_service() {
                Err(StoreError::OutOfService)
            } else {
                match job {
                    Job::Scan(scan) => scan.perform(&self.engine, &self.shared).map(StoreReply::Page),
                    Job::Discard(spoiled) => self.discard(&spoiled),
                    Job::Scrub { from, bytes_max } => {
                        scrubber.part(&self.engine, &from, bytes_max).map(StoreReply::Scrubbed)
                    }
                }
            };
            let reply = result.unwrap_or_else(StoreReply::Failed);
            self.shared.completions.stored(&mut vec![(token, reply)]);
        }
    }

    fn discard(&self, spoiled: &Spoiled) -> Result<StoreReply, StoreError> {
        let discarded = self.engine.discard(spoiled);
        self.shared.make_cache_stale();
        match discarded {
            Ok(()) => {
                tracing::warn!(file = spoiled.file, "a damaged file was given up");
                Ok(StoreReply::Done)
            }
            Err(error) => {
                tracing::error!(%error, file = spoiled.file, "a damaged file can't be given up");
                Err(StoreError::Unreadable)
            }
        }
    }
}
