//! The ring's version: a number, and a hash of everything that two nodes must agree about before they may exchange data
//! (RULINGS 21). The bytes that are hashed are written out here and nowhere else:
//!
//! ```text
//! | 01 | placement version u8 | number u64 | partitions u32 | members u32 | member … | buckets u32 | bucket … |
//! member: | id u32 | name | dc | rack | capacity u32 |        text: | bytes u32 | UTF-8 |        all big-endian
//! bucket: | id u32 | name | mode u8 | n u8 | r | w | conflict u8 | durability u8 | storage u8 | ttl u64 | value max u32 | siblings max u32 |
//! ```

use twox_hash::XxHash3_64;

use crate::bucket::{Bucket, Catalog, Conflict, Durability, Mode, StorageClass};
use crate::message::RingEpoch;
use crate::ring::{Member, PLACEMENT_VERSION};

/// The epoch of a ring; `members` are sorted by id.
#[must_use]
pub fn epoch_of(number: u64, partitions: u32, members: &[Member], catalog: &Catalog) -> RingEpoch {
    let mut bytes = vec![1, PLACEMENT_VERSION];
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(&partitions.to_be_bytes());
    push_u32(&mut bytes, members.len());
    for member in members {
        bytes.extend_from_slice(&member.id.0.to_be_bytes());
        push_text(&mut bytes, &member.name);
        push_text(&mut bytes, &member.dc);
        push_text(&mut bytes, &member.rack);
        bytes.extend_from_slice(&member.capacity.to_be_bytes());
    }
    push_u32(&mut bytes, catalog.iter().count());
    for bucket in catalog.iter() {
        push_bucket(&mut bytes, bucket);
    }
    RingEpoch {
        number,
        hash: XxHash3_64::oneshot(&bytes),
    }
}

fn push_bucket(bytes: &mut Vec<u8>, bucket: &Bucket) {
    // Taken apart in full, so that a field that is added to buckets can't be forgotten here.
    let Bucket {
        id,
        name,
        mode,
        n,
        r,
        w,
        conflict,
        durability,
        storage,
        ttl_seconds,
        value_bytes_max,
        siblings_max,
    } = bucket;
    bytes.extend_from_slice(&id.0.to_be_bytes());
    push_text(bytes, name);
    bytes.push(match mode {
        Mode::Available => 0,
        Mode::Consistent => 1,
    });
    bytes.push(*n);
    push_text(bytes, &r.as_text());
    push_text(bytes, &w.as_text());
    bytes.push(match conflict {
        Conflict::Siblings => 0,
        Conflict::Lww => 1,
    });
    bytes.push(match durability {
        Durability::Synced => 0,
        Durability::Buffered => 1,
    });
    bytes.push(match storage {
        StorageClass::Disk => 0,
        StorageClass::Memory => 1,
    });
    // No time to live is shorter than a second, so 0 is free to say "none".
    bytes.extend_from_slice(&ttl_seconds.unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(&value_bytes_max.to_be_bytes());
    bytes.extend_from_slice(&siblings_max.to_be_bytes());
}

fn push_u32(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&(count as u32).to_be_bytes());
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    push_u32(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}
