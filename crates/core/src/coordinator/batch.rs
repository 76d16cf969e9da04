//! Several commands at once: items on one key run in order, each after the one before has its outcome; items on
//! different keys overlap. No atomicity is promised and none implied.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::causality::ClientContext;
use crate::command::{self, Command, Put, PutAction, PutContext, Target};
use crate::coordinator::{Event, Meta, Origin, Progress, validate};
use crate::id::BucketId;
use crate::map::FastMap;
use crate::outcome::{Answered, Cause, Certainty, Failure, Outcome, Written};
use crate::site::Site;
use crate::time::Hlc;

/// Partitions that are cleared at one time: the first clear of each reads its records, at every home.
const CLEARS_MAX: usize = 8;

/// A batch in flight.
#[derive(Debug)]
pub struct Batch {
    meta: Meta,
    waiting: Vec<Option<Command>>,
    /// For each item, the next one on the same key.
    next_on_key: Vec<Option<usize>>,
    /// First items on their keys that wait for room.
    later: VecDeque<usize>,
    outcomes: Vec<Option<Outcome>>,
    left: usize,
    is_clear: bool,
}

impl Batch {
    /// Starts the first item of every key.
    pub fn start(meta: Meta, command: command::Batch, site: &mut Site) -> Option<Self> {
        if command
            .commands
            .iter()
            .any(|item| matches!(item, Command::Batch(_) | Command::Clear(_)))
        {
            let cause = Cause::BadRequest("a batch holds gets, puts and deletes, no batches".into());
            return validate::fail(meta, Failure::refused(cause), site);
        }
        Self::run(meta, command.commands, false, site)
    }

    /// Clears every partition of a bucket.
    pub fn start_clear(meta: Meta, command: command::Clear, site: &mut Site) -> Option<Self> {
        let checked = validate::bucket(command.bucket, site)
            .and_then(|bucket| validate::lww_only(&bucket, "clearing a whole bucket"));
        if let Err(failure) = checked {
            return validate::fail(meta, failure, site);
        }
        let puts = (0..site.ring.partitions()).map(|partition| {
            let key = Bytes::copy_from_slice(&(partition as u16).to_be_bytes());
            Command::Put(Put {
                target: Target {
                    bucket: command.bucket,
                    key,
                    sort: Bytes::new(),
                },
                action: PutAction::ClearPartition,
                context: PutContext::Blind,
                request: None,
                options: command.options,
            })
        });
        Self::run(meta, puts.collect(), true, site)
    }

    /// An item is done, or time is up.
    pub fn on(&mut self, event: Event, site: &mut Site) -> Progress {
        let is_late = matches!(event, Event::Deadline);
        if let Event::Child(index, outcome) = event
            && self.outcomes.get(index).is_some_and(Option::is_none)
        {
            self.outcomes[index] = Some(outcome);
            self.left -= 1;
            if let Some(next) = self.next_on_key[index].or_else(|| self.later.pop_front()) {
                self.begin(next, site);
            }
        }
        // What waits for room is not begun any more.
        if is_late {
            while let Some(index) = self.later.pop_front() {
                let (needed, answered, n) = (1, 0, 1);
                let cause = Cause::Deadline { needed, answered, n };
                self.outcomes[index] = Some(Outcome::Failed(Failure::refused(cause)));
                self.left -= 1;
            }
        }
        // Every other item has the batch's deadline and answers by itself; the batch only gathers.
        if self.left == 0 {
            self.finish(site)
        } else {
            Progress::Continue
        }
    }

    fn run(meta: Meta, commands: Vec<Command>, is_clear: bool, site: &mut Site) -> Option<Self> {
        let count = commands.len();
        let mut last_on_key: FastMap<(BucketId, Bytes), usize> = FastMap::default();
        let mut next_on_key = vec![None; count];
        let mut first = VecDeque::with_capacity(count);
        for (index, item) in commands.iter().enumerate() {
            let key = item
                .key()
                .zip(bucket_of(item))
                .map(|(key, bucket)| (bucket, key.clone()));
            match key.and_then(|key| last_on_key.insert(key, index)) {
                Some(before) => next_on_key[before] = Some(index),
                None => first.push_back(index),
            }
        }
        let waiting = commands.into_iter().map(Some).collect();
        let mut batch = Self {
            meta,
            waiting,
            next_on_key,
            later: first,
            outcomes: vec![None; count],
            left: count,
            is_clear,
        };
        let at_once = if is_clear { CLEARS_MAX } else { count };
        for _ in 0..at_once {
            let Some(index) = batch.later.pop_front() else { break };
            batch.begin(index, site);
        }
        if batch.left == 0 {
            batch.finish(site);
            return None;
        }
        Some(batch)
    }

    fn begin(&mut self, index: usize, site: &mut Site) {
        if let Some(command) = self.waiting[index].take() {
            site.begin(Origin::Child(self.meta.id, index), command, self.meta.deadline);
        }
    }

    fn finish(&mut self, site: &mut Site) -> Progress {
        let outcomes: Vec<Outcome> = std::mem::take(&mut self.outcomes).into_iter().flatten().collect();
        let outcome = if self.is_clear {
            clear_outcome(outcomes)
        } else {
            Outcome::Batch(outcomes)
        };
        site.finish(self.meta.origin, outcome);
        Progress::Done
    }
}

fn bucket_of(command: &Command) -> Option<BucketId> {
    match command {
        Command::Get(get) => Some(get.target.bucket),
        Command::Put(put) => Some(put.target.bucket),
        Command::Update(update) => Some(update.target.bucket),
        Command::View(view) => Some(view.target.bucket),
        Command::List(list) => Some(list.bucket),
        Command::Inspect(inspect) => Some(inspect.target.bucket),
        Command::Import(import) => Some(import.target.bucket),
        Command::Keys(_) | Command::Clear(_) | Command::Batch(_) => None,
    }
}

/// A bucket is cleared once every partition is; the first failure speaks for all. It was not applied only if it was applied
/// nowhere: one partition that is empty, or may be, makes it unknown.
fn clear_outcome(outcomes: Vec<Outcome>) -> Outcome {
    let mut least: Option<Answered> = None;
    let mut failed: Option<Failure> = None;
    let mut certainty = Certainty::NotApplied;
    for outcome in outcomes {
        match outcome {
            Outcome::Failed(failure) => {
                if failure.certainty == Certainty::Unknown {
                    certainty = Certainty::Unknown;
                }
                failed = failed.or(Some(failure));
            }
            Outcome::Written(written) => {
                certainty = Certainty::Unknown;
                let fewer = least.is_none_or(|known| written.answered.answered < known.answered);
                least = if fewer { Some(written.answered) } else { least };
            }
            // Of a peer that ran something else than a put, if anything: who knows what.
            Outcome::Found(_)
            | Outcome::View(..)
            | Outcome::Updated(..)
            | Outcome::Listed(_)
            | Outcome::Keys(_)
            | Outcome::Count(_)
            | Outcome::Batch(_)
            | Outcome::Inspected(_) => {
                certainty = Certainty::Unknown;
                let cause = Cause::Unavailable("a peer answered a put with something else".into());
                failed = failed.or(Some(Failure { cause, certainty }));
            }
        }
    }
    match failed {
        Some(failure) => Outcome::Failed(Failure { certainty, ..failure }),
        None => Outcome::Written(Written {
            context: ClientContext::Clock(Hlc::ZERO),
            answered: least.unwrap_or_default(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One partition had been cleared, another had refused: the client was told that nothing had happened.
    #[test]
    fn a_clear_that_some_partition_took_is_not_called_not_applied() {
        let refused = || Outcome::Failed(Failure::refused(Cause::NoSuchBucket));
        let written = Outcome::Written(Written {
            context: ClientContext::Clock(Hlc::ZERO),
            answered: Answered::default(),
        });
        let certainty = |outcomes| match clear_outcome(outcomes) {
            Outcome::Failed(failure) => failure.certainty,
            other => panic!("{other:?}"),
        };
        assert_eq!(certainty(vec![refused(), refused()]), Certainty::NotApplied);
        assert_eq!(certainty(vec![refused(), written.clone()]), Certainty::Unknown);
        assert_eq!(certainty(vec![written, refused()]), Certainty::Unknown);
    }

    /// It panicked at what a peer had sent.
    #[test]
    fn a_partition_answered_with_something_else_is_not_known_to_be_cleared() {
        let strange = Outcome::Updated(crate::keyspace::UpdateReply::Done, Answered::default());
        match clear_outcome(vec![strange]) {
            Outcome::Failed(failure) => assert_eq!(failure.certainty, Certainty::Unknown),
            other => panic!("{other:?}"),
        }
    }
}
