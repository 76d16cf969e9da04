//! What a Redis key looks like, given the records that a quorum holds of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::causality::LwwRecord;
use crate::key::RecordKey;
use crate::keyspace::{KeyView, Update, Want};
use crate::message::ReadWant;
use crate::time::{Hlc, Wall};

/// A key's merged records, as far as they were asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Gathered {
    /// Under the empty sort key.
    pub head: Option<Arc<LwwRecord>>,
    /// By field name (without the prefix byte); absent fields are left out.
    pub fields: BTreeMap<Bytes, Arc<LwwRecord>>,
    /// `cleared_at` of the whole partition.
    pub partition_cleared_at: Hlc,
}

/// What to read for a view: the head alone, the head and some fields, or the whole key from the head on.
#[must_use]
pub fn records_wanted(head: &RecordKey, want: &Want) -> ReadWant {
    let _ = (head, want);
    ReadWant::Records(Vec::new())
}

/// What to read for an update.
#[must_use]
pub fn want_of(update: &Update) -> Want {
    let _ = update;
    Want::Head
}

/// The key as a client sees it.
#[must_use]
pub fn view(gathered: &Gathered, want: &Want, wall: Wall) -> KeyView {
    let _ = (gathered, want, wall);
    KeyView::Absent
}
