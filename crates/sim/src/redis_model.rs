//! A Redis key as one server would hold it, and what that server would answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use torc_core::keyspace::{ExpiryChange, KeyView, Update, UpdateReply};
use torc_core::time::Wall;

use crate::world::clock::EPOCH_MS;

/// All fields there are.
pub const FIELDS: [&str; 3] = ["f0", "f1", "f2"];
/// Decades away.
pub const FAR: Wall = Wall(EPOCH_MS + 1_000_000_000_000);

/// A key as one Redis server would hold it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Model {
    /// No such key.
    #[default]
    Absent,
    /// A string.
    Text(Vec<u8>),
    /// A hash.
    Hash(BTreeMap<&'static str, Vec<u8>>),
}

/// What a server would answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// To an update.
    Reply(UpdateReply),
    /// The key is of the other type.
    WrongType,
    /// What the key is, and whether it expires.
    View(Model, bool),
}

/// What a view shows.
#[must_use]
pub fn view_of(view: &KeyView) -> Expected {
    match view {
        KeyView::Absent => Expected::View(Model::Absent, false),
        KeyView::String { value, expires_at } => Expected::View(Model::Text(value.to_vec()), expires_at.is_some()),
        KeyView::Hash { fields, expires_at } => {
            let known = |name: &Bytes| {
                FIELDS
                    .iter()
                    .copied()
                    .find(|field| field.as_bytes() == &name[..])
                    .unwrap_or("?")
            };
            let fields = fields
                .iter()
                .filter_map(|(name, value)| Some((known(name), value.as_ref()?.to_vec())));
            Expected::View(Model::Hash(fields.collect()), expires_at.is_some())
        }
    }
}

/// What one Redis server would do.
#[must_use]
pub fn apply(update: &Update, model: &Model, expires: bool) -> (Expected, (Model, bool)) {
    let same = (model.clone(), expires);
    let number = |number: usize| Expected::Reply(UpdateReply::Integer(number as i64));
    let text = match model {
        Model::Absent => Some(Vec::new()),
        Model::Text(text) => Some(text.clone()),
        Model::Hash(_) => None,
    };
    let fields = match model {
        Model::Absent => Some(BTreeMap::new()),
        Model::Text(_) => None,
        Model::Hash(fields) => Some(fields.clone()),
    };
    let old = || match model {
        Model::Text(text) => Some(Bytes::from(text.clone())),
        Model::Absent | Model::Hash(_) => None,
    };
    let exists = *model != Model::Absent;
    match update {
        Update::Set {
            value,
            expiry,
            return_old,
        } => {
            if *return_old && matches!(model, Model::Hash(_)) {
                return (Expected::WrongType, same);
            }
            let reply = if *return_old {
                UpdateReply::Value(old())
            } else {
                UpdateReply::Done
            };
            let after = (Model::Text(value.to_vec()), matches!(expiry, ExpiryChange::At(_)));
            (Expected::Reply(reply), after)
        }
        Update::Append(data) => match text {
            Some(mut text) => {
                text.extend_from_slice(data);
                (number(text.len()), (Model::Text(text), expires))
            }
            None => (Expected::WrongType, same),
        },
        Update::GetDel => match text {
            Some(_) => (Expected::Reply(UpdateReply::Value(old())), (Model::Absent, false)),
            None => (Expected::WrongType, same),
        },
        Update::Del => (number(usize::from(exists)), (Model::Absent, false)),
        Update::Expire { at, .. } => match (exists, *at == FAR) {
            (false, _) => (number(0), same),
            (true, true) => (number(1), (model.clone(), true)),
            (true, false) => (number(1), (Model::Absent, false)),
        },
        Update::Persist => (number(usize::from(exists && expires)), (model.clone(), false)),
        Update::HashSet(new) => match fields {
            Some(mut fields) => {
                let mut added = 0;
                for (name, value) in new {
                    let name = FIELDS
                        .iter()
                        .copied()
                        .find(|field| field.as_bytes() == &name[..])
                        .expect("drawn from these");
                    added += usize::from(fields.insert(name, value.to_vec()).is_none());
                }
                (number(added), (Model::Hash(fields), expires))
            }
            None => (Expected::WrongType, same),
        },
        Update::HashDel(gone) => match fields {
            Some(mut fields) => {
                let before = fields.len();
                fields.retain(|field, _| gone.iter().all(|name| field.as_bytes() != &name[..]));
                let reply = number(before - fields.len());
                if fields.is_empty() {
                    (reply, (Model::Absent, false))
                } else {
                    (reply, (Model::Hash(fields), expires))
                }
            }
            None => (Expected::WrongType, same),
        },
        Update::SetRange { .. } | Update::GetEx(_) => unreachable!("not drawn"),
    }
}
