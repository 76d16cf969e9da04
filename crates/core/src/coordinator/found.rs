//! What a reader is shown of a record: visible versions, the context, and how many tombstones stand behind it. Expiry is
//! applied here, after merging, and changes nothing that is stored (RULINGS 4, 7).

use crate::causality::{ClientContext, Payload, Record};
use crate::outcome::{Answered, Found, Sibling};
use crate::time::{Hlc, Wall};

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
            let is_visible = record.is_visible(wall, cleared_at);
            match &record.payload {
                Payload::Value(value) if is_visible => found.siblings.push(Sibling {
                    dot: record.stamp.dot,
                    value: value.clone(),
                    written_at: record.stamp.hlc,
                    expires_at: record.expires_at(),
                }),
                Payload::HashHead if is_visible => found.is_hash = true,
                Payload::Value(_) | Payload::HashHead | Payload::Tombstone => found.tombstones += 1,
            }
        }
    }
    found
}
