//! Which records nobody can see any more (RULINGS 7, 8): deleted, expired, or covered by what cleared their key or partition.

use crate::causality::{LwwRecord, Payload, Record, RequestMark};
use crate::key::RecordKey;
use crate::limits::REQUEST_MARK_AGE_MS_MAX;
use crate::time::{Hlc, Wall};

/// A head that has expired hides its fields; a PERSIST that was sent before may still be under way for this long, in
/// milliseconds.
const EXPIRED_HEAD_MS: u64 = 10 * 60 * 1_000;

/// True if a record shows nothing, now and for ever, given the head above it and what cleared its partition. A head is
/// dead only without fields, which is for its homes to see.
#[must_use]
pub fn is_dead(key: &RecordKey, record: &Record, head: Option<&LwwRecord>, cleared: Hlc, wall: Wall) -> bool {
    if key.is_partition_head() {
        return false;
    }
    match record {
        Record::Siblings(record) => {
            let is_shown = record.siblings.iter().any(|sibling| sibling.1.is_visible(wall));
            !is_shown && are_old(record.marks.as_slice(), wall)
        }
        Record::Lww(record) => {
            let head = head.filter(|_| key.is_field());
            let cleared = head.map_or(cleared, |head| cleared.max(head.cleared_at));
            let is_hidden = match head.and_then(LwwRecord::expires_at) {
                Some(at) => at.0 + EXPIRED_HEAD_MS <= wall.0,
                None => false,
            };
            let is_empty = matches!(record.payload, Payload::HashHead);
            (is_hidden || is_empty || !record.is_visible(wall, cleared)) && are_old(record.marks.as_slice(), wall)
        }
    }
}

/// A request that may still be repeated must find its answer.
fn are_old(marks: &[RequestMark], wall: Wall) -> bool {
    marks
        .iter()
        .all(|mark| mark.at.wall().0 + REQUEST_MARK_AGE_MS_MAX < wall.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causality::{Dot, Expiry, Stamp, Value};
    use crate::id::{ActorId, BucketId, Life, NodeId, PartitionId};
    use crate::key::FIELD_PREFIX;

    fn stamp(hlc: u64) -> Stamp {
        let actor = ActorId {
            node: NodeId(1),
            life: Life(1),
            birth: 0,
        };
        Stamp {
            hlc: Hlc(hlc),
            dot: Dot { actor, counter: 1 },
        }
    }

    fn key(sort: &[u8]) -> RecordKey {
        RecordKey::new(PartitionId(0), BucketId(2), 7, b"k", sort)
    }

    fn value(hlc: u64) -> LwwRecord {
        LwwRecord {
            stamp: stamp(hlc),
            payload: Payload::Value(Value::plain("v".into())),
            ..LwwRecord::default()
        }
    }

    fn deleted(hlc: u64) -> LwwRecord {
        LwwRecord {
            stamp: stamp(hlc),
            cleared_at: Hlc(hlc),
            ..LwwRecord::default()
        }
    }

    #[test]
    fn a_deleted_head_is_dead_and_so_are_the_fields_that_it_cleared() {
        let head = deleted(10);
        let dead = |sort: &[u8], record: LwwRecord, head: Option<&LwwRecord>| {
            is_dead(&key(sort), &Record::Lww(record), head, Hlc::ZERO, Wall(1))
        };
        let field = [FIELD_PREFIX, b'f'];
        assert!(dead(b"", head.clone(), None));
        assert!(!dead(b"", value(3), None));
        assert!(dead(&field, value(10), Some(&head)), "cleared with its key");
        assert!(!dead(&field, value(11), Some(&head)), "set again after that");
        assert!(dead(&field, deleted(12), Some(&head)), "deleted itself");
    }

    #[test]
    fn what_a_flush_cleared_is_dead_and_the_flush_itself_is_kept() {
        let flushed = |key: &RecordKey, hlc| is_dead(key, &Record::Lww(value(hlc)), None, Hlc(10), Wall(1));
        assert!(flushed(&key(b""), 10) && !flushed(&key(b""), 11));
        assert!(!flushed(&RecordKey::partition_head(PartitionId(0), BucketId(2)), 5));
    }

    #[test]
    fn fields_of_an_expired_hash_are_dead_once_no_persist_can_come() {
        let mut head = LwwRecord {
            stamp: stamp(5),
            payload: Payload::HashHead,
            ..LwwRecord::default()
        };
        head.expiry = Expiry {
            stamp: stamp(6),
            at: Some(Wall(1_000)),
        };
        let field = key(&[FIELD_PREFIX, b'f']);
        let at = |wall| is_dead(&field, &Record::Lww(value(5)), Some(&head), Hlc::ZERO, Wall(wall));
        assert!(!at(1_000) && at(1_000 + EXPIRED_HEAD_MS));
    }
}
