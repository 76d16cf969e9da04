//! What a Redis key looks like, given the records that a quorum holds of it.

use bytes::Bytes;

use crate::keyspace::head::{Head, Kind};
use crate::keyspace::{Gathered, KeyView, Want};
use crate::time::Wall;

/// The key as a client sees it. For `Want::Fields` a hash is told from no key by what was asked for alone: `Absent` if
/// neither the head nor one of the fields says that there is a hash.
#[must_use]
pub fn view(gathered: &Gathered, want: &Want, wall: Wall) -> KeyView {
    let head = Head::of(gathered, wall);
    let expires_at = head.expires_at;
    let is_hash_head = match &head.kind {
        Kind::Expired => return KeyView::Absent,
        Kind::String(value) => {
            return KeyView::String {
                value: value.clone(),
                expires_at,
            };
        }
        Kind::HashHead => true,
        Kind::NoHead => false,
    };
    let shown = |field: &Bytes| head.field(gathered.fields.get(field).map(AsRef::as_ref));
    match want {
        Want::Head if head.any_field(gathered) => KeyView::Hash {
            fields: Vec::new(),
            expires_at,
        },
        Want::Head => KeyView::Absent,
        Want::Fields(wanted) => {
            let fields: Vec<_> = wanted.iter().map(|field| (field.clone(), shown(field))).collect();
            if is_hash_head || fields.iter().any(|(_, value)| value.is_some()) {
                KeyView::Hash { fields, expires_at }
            } else {
                KeyView::Absent
            }
        }
        Want::AllFields => {
            let present = |field: &Bytes| shown(field).map(|value| (field.clone(), Some(value)));
            let fields: Vec<_> = gathered.fields.keys().filter_map(present).collect();
            if fields.is_empty() {
                KeyView::Absent
            } else {
                KeyView::Hash { fields, expires_at }
            }
        }
    }
}
