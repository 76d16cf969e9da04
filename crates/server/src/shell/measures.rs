//! What is counted of requests and events: plain numbers on the hot path, given their names when they are scraped.

use std::collections::BTreeMap;

use torc_core::command::{Command, PutAction};
use torc_core::effect::Notice;
use torc_core::liveness::Liveness;
use torc_core::outcome::{Cause, Certainty, Outcome};

/// The operations that are told apart in metrics and logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    /// Read one record.
    Get,
    /// Write one record.
    Put,
    /// Delete one record.
    Delete,
    /// Read-modify-write of a Redis key.
    Update,
    /// Read of a Redis key.
    View,
    /// Sort keys of a key.
    List,
    /// Keys of a bucket.
    Keys,
    /// Clear a bucket.
    Clear,
    /// Several at once.
    Batch,
    /// What each home holds.
    Inspect,
    /// A whole record from elsewhere.
    Import,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Get,
        Self::Put,
        Self::Delete,
        Self::Update,
        Self::View,
        Self::List,
        Self::Keys,
        Self::Clear,
        Self::Batch,
        Self::Inspect,
        Self::Import,
    ];

    /// The operation of a command.
    pub fn of(command: &Command) -> Self {
        match command {
            Command::Get(_) => Self::Get,
            Command::Put(put) if put.action == PutAction::Delete => Self::Delete,
            Command::Put(_) => Self::Put,
            Command::Update(_) => Self::Update,
            Command::View(_) => Self::View,
            Command::List(_) => Self::List,
            Command::Keys(_) => Self::Keys,
            Command::Clear(_) => Self::Clear,
            Command::Batch(_) => Self::Batch,
            Command::Inspect(_) => Self::Inspect,
            Command::Import(_) => Self::Import,
        }
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Update => "update",
            Self::View => "view",
            Self::List => "list",
            Self::Keys => "keys",
            Self::Clear => "clear",
            Self::Batch => "batch",
            Self::Inspect => "inspect",
            Self::Import => "import",
        }
    }
}

/// What became of a request, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Done.
    Done,
    /// The request itself was at fault.
    Refused,
    /// The cluster could not, and nothing was applied.
    Failed,
    /// Nobody can tell whether it was applied.
    Unknown,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Done, Self::Refused, Self::Failed, Self::Unknown];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// The verdict on an outcome.
    pub fn of(outcome: &Outcome) -> Self {
        let Outcome::Failed(failure) = outcome else {
            return Self::Done;
        };
        if failure.certainty == Certainty::Unknown {
            return Self::Unknown;
        }
        match failure.cause {
            Cause::Busy { .. }
            | Cause::NotEnoughReplicas { .. }
            | Cause::Deadline { .. }
            | Cause::DiskFull
            | Cause::Unavailable(_) => Self::Failed,
            Cause::BadRequest(_)
            | Cause::BadContext(_)
            | Cause::NoSuchBucket
            | Cause::WrongMode(_)
            | Cause::NotInThisVersion(_)
            | Cause::TooManySiblings { .. }
            | Cause::ValueTooLarge { .. }
            | Cause::KeyTooLarge { .. }
            | Cause::RequestIdReused
            | Cause::WrongType
            | Cause::Redis(_)
            | Cause::Siblings
            | Cause::ResultTooLarge { .. } => Self::Refused,
        }
    }
}

/// Upper bounds of the latency buckets, in microseconds.
pub const LATENCY_BOUNDS_US: [u64; 14] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000,
];

/// How long requests took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    /// Requests of each bucket; the last holds what is above all bounds.
    pub counts: [u64; LATENCY_BOUNDS_US.len() + 1],
    /// The sum, in microseconds.
    pub sum_us: u64,
}

impl Latency {
    fn add(&mut self, took_us: u64) {
        let bucket = LATENCY_BOUNDS_US.partition_point(|&bound| bound < took_us);
        self.counts[bucket] += 1;
        self.sum_us += took_us;
    }
}

/// What is counted of one operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct OperationMeasures {
    /// By verdict.
    pub verdicts: [u64; Verdict::ALL.len()],
    /// From the first byte understood to the answer.
    pub latency: Latency,
}

/// Everything that is counted in the shell.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    operations: [OperationMeasures; Operation::ALL.len()],
    notices: BTreeMap<&'static str, u64>,
    /// How many siblings reads found, by bucket: 0, 1, 2, up to 10, more.
    pub siblings: [u64; 5],
}

impl Measures {
    /// A request was answered.
    pub fn answered(&mut self, operation: Operation, outcome: &Outcome, took_us: u64) {
        let measures = &mut self.operations[operation as usize];
        measures.verdicts[Verdict::of(outcome) as usize] += 1;
        measures.latency.add(took_us);
        if let Outcome::Found(found) = outcome {
            let bucket = match found.siblings.len() {
                few @ 0..=2 => few,
                3..=10 => 3,
                _ => 4,
            };
            self.siblings[bucket] += 1;
        }
    }

    /// A read was answered on the spot, by one value or none.
    pub fn shown(&mut self, is_there: bool) {
        let measures = &mut self.operations[Operation::Get as usize];
        measures.verdicts[Verdict::Done as usize] += 1;
        measures.latency.counts[0] += 1;
        self.siblings[usize::from(is_there)] += 1;
    }

    /// A request was turned away before the core saw it.
    pub fn turned_away(&mut self, operation: Operation) {
        self.operations[operation as usize].verdicts[Verdict::Failed as usize] += 1;
    }

    /// The core noticed something.
    pub fn noticed(&mut self, notice: &Notice) {
        *self.notices.entry(notice_name(notice)).or_default() += 1;
    }

    /// By operation.
    pub fn operations(&self) -> impl Iterator<Item = (Operation, &OperationMeasures)> {
        Operation::ALL.into_iter().zip(&self.operations)
    }

    /// How often each event was noticed.
    pub fn notices(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.notices.iter().map(|(&name, &count)| (name, count))
    }
}

fn notice_name(notice: &Notice) -> &'static str {
    match notice {
        Notice::RingConflict { .. } => "ring_conflict",
        Notice::NewLife { .. } => "new_life",
        Notice::Regressed => "regressed",
        Notice::Rebuilding { .. } => "rebuilding",
        Notice::Rebuilt { .. } => "rebuilt",
        Notice::DamagedRecord { .. } => "damaged_record",
        Notice::LostRecord { .. } => "lost_record",
        Notice::Spoiled { .. } => "spoiled_file",
        Notice::Contradiction { .. } => "contradiction",
        Notice::ScrubEnded { .. } => "scrub_ended",
        Notice::ContextPruned { .. } => "context_pruned",
        Notice::StoreOutOfService => "store_out_of_service",
        Notice::ClockSkew { .. } => "clock_skew",
        Notice::Liveness { to, .. } => match to {
            Liveness::Alive => "peer_alive",
            Liveness::Suspect => "peer_suspect",
            Liveness::Dead => "peer_dead",
        },
        Notice::Reachable { is_reachable, .. } => {
            if *is_reachable {
                "peer_reachable"
            } else {
                "peer_unreachable"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_and_verdicts_stand_at_their_own_place_in_their_lists() {
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place);
        }
        for (place, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, place);
        }
    }

    #[test]
    fn a_latency_falls_into_the_first_bucket_whose_bound_it_does_not_exceed() {
        let mut latency = Latency::default();
        for took_us in [0, 50, 51, 5_000_000, 5_000_001] {
            latency.add(took_us);
        }
        assert_eq!(latency.counts[0], 2);
        assert_eq!(latency.counts[1], 1);
        assert_eq!(latency.counts[13], 1);
        assert_eq!(latency.counts[14], 1);
        assert_eq!(latency.sum_us, 10_000_102);
    }
}
