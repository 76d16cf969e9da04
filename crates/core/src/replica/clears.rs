//! What clears whole partitions (FLUSHDB, RULINGS 8), and what a clear must be signed above. A clear hides every record of
//! its partition up to its clock, so it has to be above all that was acknowledged before, on whatever clock. The first
//! clear since the boot therefore reads the partition once; from then on every write is noted.
//!
//! ```text
//! unknown ──asked for──▶ counting ──last page──▶ known ──a record is written──▶ known
//!    ▲────────────────────────┘ a record was damaged: its clock is unknown; or the store failed
//! ```

use std::collections::BTreeMap;

use crate::causality::Record;
use crate::change::{Change, PutKind};
use crate::entropy::tree::end_of_bucket;
use crate::id::{BucketId, PartitionId};
use crate::key::RecordKey;
use crate::limits::{PAGE_BYTES_MAX, RANGE_RECORDS_MAX};
use crate::map::FastMap;
use crate::replica::held::{CommitId, Current, JobId};
use crate::replica::reads::ReadJob;
use crate::replica::service::{Awaited, Replica, class_of};
use crate::site::Site;
use crate::storage::{Range, StoreError, StoreOp, StoreReply};
use crate::time::Hlc;

/// A partition of a bucket.
pub type Place = (PartitionId, BucketId);

#[derive(Debug)]
struct Clear {
    /// Everything up to this is gone.
    at: Hlc,
    /// The commit that brought it; 0: it was there at the boot.
    commit: CommitId,
}

#[derive(Debug)]
struct Survey {
    highest: Hlc,
    state: State,
}

#[derive(Debug)]
enum State {
    Counting {
        range: Range,
        waiting: Vec<JobId>,
        is_sound: bool,
    },
    Known,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Cleared {
    clears: BTreeMap<Place, Clear>,
    surveys: FastMap<Place, Survey>,
}

impl Cleared {
    /// What the disk holds.
    #[must_use]
    pub fn new(heads: &[(RecordKey, Hlc)]) -> Self {
        let clears = heads
            .iter()
            .map(|(key, at)| (place_of(key), Clear { at: *at, commit: 0 }));
        Self {
            clears: clears.collect(),
            surveys: FastMap::default(),
        }
    }

    /// Everything of the key's partition and bucket up to this is gone.
    #[must_use]
    pub fn at(&self, key: &RecordKey) -> Hlc {
        self.clear_of(key).map_or(Hlc::ZERO, |clear| clear.at)
    }

    /// The commit that must be answered before that is durable.
    #[must_use]
    pub fn commit_of(&self, key: &RecordKey) -> CommitId {
        self.clear_of(key).map_or(0, |clear| clear.commit)
    }

    /// The clears of the partitions that a range touches, in their order.
    pub fn of_range(&self, range: &Range) -> impl Iterator<Item = (PartitionId, Hlc, CommitId)> + '_ {
        let bucket = range.bucket;
        let touched = range.partitions().into_iter();
        let clears = touched.flat_map(move |(first, last)| self.clears.range((first, bucket)..=(last, bucket)));
        let of_bucket = clears.filter(move |entry| entry.0.1 == bucket);
        of_bucket.map(|(place, clear)| (place.0, clear.at, clear.commit))
    }

    /// A partition's head was written.
    pub fn note_head(&mut self, key: &RecordKey, at: Hlc, commit: CommitId) {
        let clear = self.clears.entry(place_of(key)).or_insert(Clear {
            at: Hlc::ZERO,
            commit: 0,
        });
        if at > clear.at {
            *clear = Clear { at, commit };
        }
    }

    /// A record was written.
    pub fn note_record(&mut self, key: &RecordKey, record: &Record) {
        if !self.surveys.is_empty()
            && let Some(survey) = self.surveys.get_mut(&place_of(key))
        {
            survey.highest = survey.highest.max(record.highest_hlc());
        }
    }

    fn clear_of(&self, key: &RecordKey) -> Option<&Clear> {
        if self.clears.is_empty() {
            return None;
        }
        self.clears.get(&place_of(key))
    }
}

impl Replica {
    /// Adds to an answer the highest clock of a partition's records, as soon as that is known.
    pub(super) fn survey(&mut self, id: JobId, job: &mut ReadJob, place: Place, site: &mut Site) {
        match self.cleared.surveys.get_mut(&place) {
            Some(Survey {
                highest,
                state: State::Known,
            }) => job.answer.highest = *highest,
            Some(Survey {
                state: State::Counting { waiting, .. },
                ..
            }) => {
                waiting.push(id);
                job.awaited += 1;
            }
            None => {
                job.awaited += 1;
                self.begin_survey(id, place, site);
            }
        }
    }

    fn begin_survey(&mut self, id: JobId, place: Place, site: &mut Site) {
        let (partition, bucket) = place;
        let range = Range {
            bucket,
            start: RecordKey::range_start(partition, bucket),
            end: Some(end_of_bucket(partition, bucket)),
        };
        // What is being written may not be in the store's pages.
        let held = self.held.iter().filter(|(key, _)| place_of(key) == place);
        let highest = held.filter_map(|(_, held)| match &held.current {
            Current::Known(record) => record.as_ref().map(|record| record.highest_hlc()),
            Current::Loading | Current::Damaged | Current::Unreadable => None,
        });
        let survey = Survey {
            highest: highest.max().unwrap_or(Hlc::ZERO),
            state: State::Counting {
                range: range.clone(),
                waiting: vec![id],
                is_sound: true,
            },
        };
        self.cleared.surveys.insert(place, survey);
        self.ask_survey_page(place, range, site);
    }

    fn ask_survey_page(&mut self, place: Place, range: Range, site: &mut Site) {
        let token = site.ask_store(StoreOp::Scan {
            class: class_of(range.bucket, site),
            range,
            records_max: RANGE_RECORDS_MAX,
            bytes_max: PAGE_BYTES_MAX,
            may_wait: true,
        });
        self.awaited.insert(token, Awaited::Survey(place));
    }

    pub(super) fn on_survey_page(&mut self, place: Place, reply: StoreReply, site: &mut Site) {
        let Some(Survey {
            highest,
            state: State::Counting { range, is_sound, .. },
        }) = self.cleared.surveys.get_mut(&place)
        else {
            return;
        };
        let page = match reply {
            StoreReply::Page(page) => page,
            StoreReply::Failed(StoreError::Damaged) => {
                site.damage.note_somewhere();
                return self.end_survey(place, true, site);
            }
            StoreReply::Failed(_) | StoreReply::Record(_) | StoreReply::Done | StoreReply::Scrubbed(_) => {
                return self.end_survey(place, true, site);
            }
        };
        // Other homes may hold what is damaged here, and give it back. Where there are none it is lost.
        let has_others = site
            .catalog
            .bucket(place.1)
            .is_some_and(|bucket| site.ring.effective_n(bucket.n) > 1);
        *is_sound &= page.damaged.is_empty() || !has_others;
        page.damaged.iter().for_each(|key| site.note_damage(key));
        let found = page.records.iter().map(|(_, record)| record.highest_hlc()).max();
        *highest = (*highest).max(found.unwrap_or(Hlc::ZERO));
        match page.next {
            Some(next) => {
                range.start = next;
                let range = range.clone();
                self.ask_survey_page(place, range, site);
            }
            None => self.end_survey(place, false, site),
        }
    }

    fn end_survey(&mut self, place: Place, has_failed: bool, site: &mut Site) {
        let Some(Survey {
            highest,
            state: State::Counting { waiting, is_sound, .. },
        }) = self.cleared.surveys.remove(&place)
        else {
            return;
        };
        if is_sound && !has_failed {
            let state = State::Known;
            self.cleared.surveys.insert(place, Survey { highest, state });
        }
        for id in waiting {
            self.progress_read(id, site, |job| {
                job.answer.highest = highest;
                // It holds a record of which nobody knows the clock: it counts for no r (RULINGS 19).
                job.answer.rebuilding |= !is_sound;
                job.failed |= has_failed;
            });
        }
    }
}

fn place_of(key: &RecordKey) -> Place {
    (key.partition(), key.bucket())
}

/// A put is signed above what cleared the partition, or it would be hidden.
pub(super) fn above_clear(mut change: Change, cleared_at: Hlc) -> Change {
    if let Change::Put(put) = &mut change
        && let PutKind::Lww { floor, .. } = &mut put.kind
    {
        *floor = (*floor).max(cleared_at);
    }
    change
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// After a FLUSHDB every read of a range carried the clears of all partitions.
    #[test]
    fn a_range_is_told_what_clears_its_own_partitions() {
        let bucket = BucketId(2);
        let places =
            (0..16).flat_map(|partition| [(partition, BucketId(1)), (partition, bucket), (partition, BucketId(3))]);
        let heads: Vec<_> = places
            .map(|(partition, bucket)| RecordKey::partition_head(PartitionId(partition), bucket))
            .map(|head| (head, Hlc(5)))
            .collect();
        let cleared = Cleared::new(&heads);
        let told = |start: Bytes, end: Option<Bytes>| {
            let range = Range { bucket, start, end };
            let clears = cleared.of_range(&range);
            clears.map(|(partition, ..)| partition.0).collect::<Vec<u16>>()
        };
        let start_of = |partition| RecordKey::range_start(PartitionId(partition), bucket);
        let end_of = |partition| Some(end_of_bucket(PartitionId(partition), bucket));
        assert_eq!(told(start_of(3), end_of(3)), [3]);
        let within = RecordKey::new(PartitionId(3), bucket, 9, b"k", b"");
        assert_eq!(told(within.to_bytes(), end_of(5)), [3, 4, 5]);
        assert_eq!(told(start_of(3), Some(start_of(5))), [3, 4], "it ends before the head");
        assert_eq!(told(start_of(14), None), [14, 15]);
        assert!(told(start_of(4), Some(start_of(3))).is_empty());
        assert!(told(Bytes::new(), None).is_empty(), "no name is so short");
    }
}
