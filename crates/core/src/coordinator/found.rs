//! What a reader is shown of a record: visible versions, the context, and how many tombstones stand behind it. Expiry is
//! applied here, after merging, and changes nothing that is stored (RULINGS 4, 7).

use crate::causality::{ClientContext, LwwRecord, Payload, Record, Value};
use crate::outcome::{Answered, Found, Sibling};
use crate::time::{Hlc, Wall};

/// What a string's reader sees of a last-writer-wins record.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Shown<'a> {
    /// Nothing: no record, a tombstone, or one that has expired or was cleared.
    Nothing,
    /// This value.
    Value(&'a Value),
    /// The head of a hash.
    HashHead,
}

/// What a reader sees of a last-writer-wins record. `cleared_at` as for [`found`].
#[must_use]
pub fn shown(record: &LwwRecord, cleared_at: Hlc, wall: Wall) -> Shown<'_> {
    if !record.is_visible(wall, cleared_at) {
        return Shown::Nothing;
    }
    match &record.payload {
        Payload::Value(value) => Shown::Value(value),
        Payload::HashHead => Shown::HashHead,
        Payload::Tombstone => Shown::Nothing,
    }
}

/// What a read of this record shows. `cleared_at`: everything of the partition up to it is gone.
#[must_use]
pub fn found(record: Option<&Record>, cleared_at: Hlc, wall: Wall, answered: Answered) -> Found {
    let mut found = Found {
        context: None,
        siblings: Vec::new(),
        tombstones: 0,
        is_hash: false,
        answered,
    };
    match record {
        None => {
            if cleared_at > Hlc::ZERO {
                found.context = Some(ClientContext::Clock(cleared_at));
            }
        }
        Some(Record::Siblings(record)) => {
            found.context = Some(ClientContext::Dots(record.seen.clone()));
            for (dot, version) in &record.siblings {
                match &version.payload {
                    Payload::Value(value) if version.is_visible(wall) => found.siblings.push(Sibling {
                        dot: *dot,
                        value: value.clone(),
                        written_at: version.written_at,
                        expires_at: version.expires_at,
                    }),
                    Payload::Value(_) | Payload::Tombstone | Payload::HashHead => found.tombstones += 1,
                }
            }
        }
        Some(Record::Lww(record)) => {
            found.context = Some(ClientContext::Clock(record.highest().max(cleared_at)));
            match shown(record, cleared_at, wall) {
                Shown::Value(value) => found.siblings.push(Sibling {
                    dot: record.stamp.dot,
                    value: value.clone(),
                    written_at: record.stamp.hlc,
                    expires_at: record.expires_at(),
                }),
                Shown::HashHead => found.is_hash = true,
                Shown::Nothing => found.tombstones += 1,
            }
        }
    }
    found
}
