//! What a key's registers say together (RULINGS 7, 8), in one place for views and updates:
//!
//! ```text
//! expired    the expiry register counts and its time has come: the key is absent, whatever else there is
//! string     the head holds a value above the partition's clear: fields don't show
//! otherwise  a hash, if a field's clock is above `cleared_at` and the partition's clear. The head may be a hash head,
//!            a tombstone (a concurrent HSET outlived the DEL) or missing.
//! ```

use bytes::Bytes;

use crate::causality::{LwwRecord, Payload};
use crate::keyspace::Gathered;
use crate::time::{Hlc, Wall};

/// The type that the head gives its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Absent, and its fields are hidden.
    Expired,
    /// A string.
    String(Bytes),
    /// A hash if it has fields; the head was written for one and says so.
    HashHead,
    /// A hash if it has fields; the head is missing, deleted or flushed.
    NoHead,
}

/// The head, read.
pub(super) struct Head {
    pub(super) kind: Kind,
    /// The time of the expiry register, if it counts. It may have passed.
    pub(super) expires_at: Option<Wall>,
    /// Fields at or below this clock are gone.
    fields_cleared_at: Hlc,
    wall: Wall,
}

impl Head {
    pub(super) fn of(gathered: &Gathered, wall: Wall) -> Self {
        let cleared = gathered.partition_cleared_at;
        let Some(record) = &gathered.head else {
            return Self {
                kind: Kind::NoHead,
                expires_at: None,
                fields_cleared_at: cleared,
                wall,
            };
        };
        // An expiry that was set before the partition was cleared went with the key.
        let expires_at = record.expires_at().filter(|_| record.expiry.stamp.hlc > cleared);
        let kind = match &record.payload {
            _ if expires_at.is_some_and(|at| at <= wall) => Kind::Expired,
            Payload::Value(value) if record.stamp.hlc > cleared => Kind::String(value.data.clone()),
            Payload::HashHead if record.stamp.hlc > cleared => Kind::HashHead,
            Payload::Value(_) | Payload::HashHead | Payload::Tombstone => Kind::NoHead,
        };
        Self {
            kind,
            expires_at,
            fields_cleared_at: record.cleared_at.max(cleared),
            wall,
        }
    }

    /// The bytes of a field, if it shows.
    pub(super) fn field(&self, record: Option<&LwwRecord>) -> Option<Bytes> {
        match self.kind {
            Kind::Expired | Kind::String(_) => return None,
            Kind::HashHead | Kind::NoHead => {}
        }
        let record = record?;
        match &record.payload {
            Payload::Value(value) if record.is_visible(self.wall, self.fields_cleared_at) => Some(value.data.clone()),
            Payload::Value(_) | Payload::HashHead | Payload::Tombstone => None,
        }
    }

    /// True if one of the gathered fields shows.
    pub(super) fn any_field(&self, gathered: &Gathered) -> bool {
        gathered
            .fields
            .values()
            .any(|record| self.field(Some(record)).is_some())
    }
}
