//! What to read of a key, and when enough has been read. A field's record tells nothing without the head's, so every
//! read includes the head; whether a hash exists takes one field that shows, or the end of the key.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::causality::{LwwRecord, Record};
use crate::key::{FIELD_PREFIX, RecordKey, after_prefix};
use crate::keyspace::head::{Head, Kind};
use crate::keyspace::{ExpiryChange, Update, Want};
use crate::limits::{PAGE_BYTES_MAX, RANGE_RECORDS_MAX, SORT_KEY_BYTES_MAX};
use crate::message::ReadWant;
use crate::storage::Range;
use crate::time::{Hlc, Wall};

/// Records of one read that only asks whether a key exists: the head and, in nearly every hash, a field that shows.
const EXISTENCE_RECORDS_MAX: u32 = 8;

/// A key's merged records, as far as they were asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Gathered {
    /// Under the empty sort key.
    pub head: Option<Arc<LwwRecord>>,
    /// By field name (without the prefix byte); absent fields are left out.
    pub fields: BTreeMap<Bytes, Arc<LwwRecord>>,
    /// `cleared_at` of the whole partition.
    pub partition_cleared_at: Hlc,
    /// True once a range read has reached the end of the key: `fields` has all there are.
    pub whole: bool,
}

impl Gathered {
    /// Merges a record that one replica holds under `key`. Records that are neither head nor field, or of the other kind of
    /// bucket, say nothing about a Redis key.
    pub fn absorb(&mut self, key: &RecordKey, record: &Record) {
        let Record::Lww(record) = record else { return };
        let sort_key = key.sort_key();
        if sort_key.is_empty() {
            match &mut self.head {
                Some(head) => Arc::make_mut(head).merge(record),
                None => self.head = Some(Arc::new(record.clone())),
            }
        } else if sort_key[0] == FIELD_PREFIX {
            let name = Bytes::copy_from_slice(&sort_key[1..]);
            match self.fields.get_mut(&name) {
                Some(field) => Arc::make_mut(field).merge(record),
                None => {
                    self.fields.insert(name, Arc::new(record.clone()));
                }
            }
        }
    }

    /// How long the string is, if the head has one.
    #[must_use]
    pub fn string_bytes(&self) -> usize {
        self.head.as_ref().map_or(0, |head| head.payload.bytes())
    }

    /// True if what was gathered under `key` is what this record says, and nothing later.
    #[must_use]
    pub fn shows(&self, key: &RecordKey, record: &Record) -> bool {
        let found = match key.sort_key() {
            [] => self.head.as_ref(),
            [FIELD_PREFIX, name @ ..] => self.fields.get(name),
            _ => None,
        };
        let same = |found: &LwwRecord, wrote: &LwwRecord| found.stamp == wrote.stamp && found.expiry == wrote.expiry;
        record
            .as_lww()
            .zip(found)
            .is_some_and(|(wrote, found)| same(found, wrote))
    }

    /// The highest clock in what was gathered: what an update's stamps must exceed.
    #[must_use]
    pub fn highest(&self) -> Hlc {
        let records = self.head.iter().chain(self.fields.values());
        records
            .map(|record| record.highest())
            .max()
            .unwrap_or(Hlc::ZERO)
            .max(self.partition_cleared_at)
    }
}

/// The sort key of a field; `None` if the name is too long for one to exist.
#[must_use]
pub fn field_sort_key(field: &[u8]) -> Option<Bytes> {
    if field.len() > SORT_KEY_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(1 + field.len());
    bytes.push(FIELD_PREFIX);
    bytes.extend_from_slice(field);
    Some(Bytes::from(bytes))
}

/// What to read for a view. A range is read page by page until [`decides`] says that it is enough; at its end the reader
/// sets [`Gathered::whole`].
#[must_use]
pub fn records_wanted(head: &RecordKey, want: &Want) -> ReadWant {
    let whole_key = |records_max| {
        let fields = head.with_sort_key(&[FIELD_PREFIX]);
        let range = Range {
            bucket: head.bucket(),
            start: head.to_bytes(),
            end: after_prefix(fields.as_bytes()),
        };
        ReadWant::Range {
            range,
            records_max,
            bytes_max: PAGE_BYTES_MAX as u32,
        }
    };
    match want {
        Want::Head => whole_key(EXISTENCE_RECORDS_MAX),
        Want::AllFields => whole_key(RANGE_RECORDS_MAX),
        Want::Fields(fields) => {
            let mut keys: Vec<RecordKey> = fields
                .iter()
                .filter_map(|field| field_sort_key(field))
                .map(|sort_key| head.with_sort_key(&sort_key))
                .collect();
            keys.push(head.clone());
            keys.sort_unstable();
            keys.dedup();
            ReadWant::Records(keys)
        }
    }
}

/// True if what was gathered answers `want`, so that no further page need be read.
#[must_use]
pub fn decides(gathered: &Gathered, want: &Want, wall: Wall) -> bool {
    let head = Head::of(gathered, wall);
    let fields_are_hidden = matches!(head.kind, Kind::Expired | Kind::String(_));
    match want {
        Want::Fields(_) => true,
        Want::Head => gathered.whole || fields_are_hidden || head.any_field(gathered),
        Want::AllFields => gathered.whole || fields_are_hidden,
    }
}

/// What to read for an update.
#[must_use]
pub fn want_of(update: &Update) -> Want {
    match update {
        // Whatever was there goes.
        Update::Set {
            expiry: ExpiryChange::Clear | ExpiryChange::At(_),
            return_old: false,
            ..
        } => Want::Fields(Vec::new()),
        Update::Set { .. }
        | Update::Append(_)
        | Update::SetRange { .. }
        | Update::GetDel
        | Update::GetEx(_)
        | Update::Del
        | Update::Expire { .. }
        | Update::Persist => Want::Head,
        Update::HashSet(pairs) => Want::Fields(pairs.iter().map(|(field, _)| field.clone()).collect()),
        Update::HashDel(fields) => Want::Fields(fields.clone()),
    }
}

/// What else to read before [`crate::keyspace::apply`]: HSET on a hash with an expiry must know whether the hash still
/// exists. If its last field is gone the key is gone, and its expiry must not come back with the new field. Rare: nothing
/// to read if there is no expiry or one of the named fields shows.
#[must_use]
pub fn look_again(update: &Update, gathered: &Gathered, wall: Wall) -> Option<Want> {
    match update {
        Update::HashSet(_) => {
            let head = Head::of(gathered, wall);
            let keeps_expiry = head.kind == Kind::HashHead && head.expires_at.is_some();
            (keeps_expiry && !decides(gathered, &Want::Head, wall)).then_some(Want::Head)
        }
        Update::Set { .. }
        | Update::Append(_)
        | Update::SetRange { .. }
        | Update::GetDel
        | Update::GetEx(_)
        | Update::Del
        | Update::Expire { .. }
        | Update::Persist
        | Update::HashDel(_) => None,
    }
}
