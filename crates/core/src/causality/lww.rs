//! A record of a `conflict = "lww"` bucket (RULINGS 5, 7, 8): three registers, each merged by its own clock, and no
//! vector. The value is always whole; of concurrent writes the greatest stamp stays.

use crate::causality::{Dot, Payload, RequestMark, RequestMarks};
use crate::id::{ActorId, Life, NodeId};
use crate::mutants::{Mutant, active};
use crate::time::{Hlc, Wall};

/// What orders writes: (hybrid logical clock, actor, counter).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stamp {
    /// Decides first.
    pub hlc: Hlc,
    /// The tie-break.
    pub dot: Dot,
}

impl Stamp {
    /// Before every write: the value register of a record that holds only an expiry.
    pub const ZERO: Self = Self {
        hlc: Hlc::ZERO,
        dot: Dot {
            actor: ActorId {
                node: NodeId(0),
                life: Life(0),
                birth: 0,
            },
            counter: 0,
        },
    };
}

/// The expiry register: counts only if its stamp is at or above the value's. A clock alone would not do: of two writes
/// in one millisecond at two nodes, the time to live of one would count for the value of the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Expiry {
    /// When and by which write it was set.
    pub stamp: Stamp,
    /// When the key expires; `None` for a PERSIST.
    pub at: Option<Wall>,
}

impl Default for Expiry {
    fn default() -> Self {
        Self {
            stamp: Stamp::ZERO,
            at: None,
        }
    }
}

/// One key's registers. For the empty sort key this is a Redis key's head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LwwRecord {
    /// Orders `payload`.
    pub stamp: Stamp,
    /// Value, tombstone or hash head.
    pub payload: Payload,
    /// Fields of the key with a clock at or below this are gone. On a partition head: all records of the partition.
    pub cleared_at: Hlc,
    /// The expiry register.
    pub expiry: Expiry,
    /// Answered client request ids.
    pub marks: RequestMarks,
}

impl Default for LwwRecord {
    fn default() -> Self {
        Self {
            stamp: Stamp::ZERO,
            payload: Payload::Tombstone,
            cleared_at: Hlc::ZERO,
            expiry: Expiry::default(),
            marks: RequestMarks::new(),
        }
    }
}

impl LwwRecord {
    /// Merges register by register; nothing but clocks decides (the payload itself only where stamps are equal, which no
    /// two writes are).
    pub fn merge(&mut self, other: &Self) {
        let is_tie = active(Mutant::TieBreakDiffers) && other.stamp.hlc == self.stamp.hlc;
        if (other.stamp, &other.payload) > (self.stamp, &self.payload) && !is_tie {
            self.stamp = other.stamp;
            self.payload = other.payload.clone();
        }
        self.cleared_at = self.cleared_at.max(other.cleared_at);
        self.expiry = self.expiry.max(other.expiry);
        self.marks.merge(&other.marks);
    }

    /// The highest clock in the record: what a token carries and the next write must exceed.
    #[must_use]
    pub fn highest(&self) -> Hlc {
        self.stamp.hlc.max(self.cleared_at).max(self.expiry.stamp.hlc)
    }

    /// When the record expires, if its expiry register counts.
    #[must_use]
    pub fn expires_at(&self) -> Option<Wall> {
        if self.expiry.stamp >= self.stamp {
            self.expiry.at
        } else {
            None
        }
    }

    /// True if the record's time has come.
    #[must_use]
    pub fn is_expired(&self, wall: Wall) -> bool {
        self.expires_at().is_some_and(|at| at <= wall)
    }

    /// True if there is something to show, given that everything up to `cleared_at` of the whole partition is gone.
    #[must_use]
    pub fn is_visible(&self, wall: Wall, partition_cleared_at: Hlc) -> bool {
        !matches!(self.payload, Payload::Tombstone) && self.stamp.hlc > partition_cleared_at && !self.is_expired(wall)
    }

    /// Remembers an answered request.
    pub fn mark(&mut self, mark: RequestMark) {
        self.marks.insert(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causality::Value;

    fn stamp(node: u32) -> Stamp {
        Stamp {
            hlc: Hlc(7),
            dot: Dot {
                actor: ActorId {
                    node: NodeId(node),
                    life: Life(1),
                    birth: 0,
                },
                counter: 1,
            },
        }
    }

    /// Two nodes wrote one key in one millisecond, one of them with a time to live. The other's value won by its actor,
    /// and went when that time had come: the clock alone could not tell whose expiry it was.
    #[test]
    fn a_time_to_live_counts_for_the_value_it_came_with() {
        let lasting = LwwRecord {
            stamp: stamp(2),
            payload: Payload::Value(Value::plain("lasting".into())),
            ..LwwRecord::default()
        };
        let mut record = LwwRecord {
            stamp: stamp(1),
            payload: Payload::Value(Value::plain("passing".into())),
            expiry: Expiry {
                stamp: stamp(1),
                at: Some(Wall(9)),
            },
            ..LwwRecord::default()
        };
        assert_eq!(record.expires_at(), Some(Wall(9)));
        record.merge(&lasting);
        assert_eq!(record.payload, lasting.payload);
        assert_eq!(record.expires_at(), None);
    }
}
