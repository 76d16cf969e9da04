//! Redis keys over last-writer-wins records (RULINGS 8, 10): a key's head lives under the empty sort key, field `f` of a
//! hash under `01 ‖ f`. Pure functions: what a key looks like, and what an update writes.

use bytes::Bytes;

use crate::time::Wall;

pub mod chain;
pub mod gathered;
mod head;
pub mod update;
pub mod view;

#[cfg(test)]
mod model;
#[cfg(test)]
mod rules;

pub use chain::{Chain, add_want, may_share};
pub use gathered::{Gathered, decides, look_again, records_wanted, want_of};
pub use update::{Applied, MintStamp, apply, head_write};
pub use view::view;

/// The type of a Redis key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyKind {
    /// A string.
    String,
    /// A hash.
    Hash,
}

/// Which part of a key a view needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Want {
    /// The head, and whether the key exists: for a hash, whether any field is visible.
    Head,
    /// The head and these fields.
    Fields(Vec<Bytes>),
    /// The head and every field, with values.
    AllFields,
}

/// A key as a client sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyView {
    /// No such key.
    Absent,
    /// A string.
    String {
        /// Its bytes.
        value: Bytes,
        /// When it expires.
        expires_at: Option<Wall>,
    },
    /// A hash.
    Hash {
        /// For `Want::Fields`: one per field asked for, in that order. For `Want::AllFields`: all visible fields, by name.
        /// For `Want::Head`: empty.
        fields: Vec<(Bytes, Option<Bytes>)>,
        /// When the key expires.
        expires_at: Option<Wall>,
    },
}

/// What to do with a key's expiry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExpiryChange {
    /// Leave it as it is (KEEPTTL).
    Keep,
    /// The key never expires (plain SET, PERSIST).
    Clear,
    /// It expires then; a moment that has passed deletes the key at once.
    At(Wall),
}

/// EXPIRE's conditions (Redis 7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExpireIf {
    /// No condition.
    Always,
    /// NX: the key has no expiry.
    None,
    /// XX: it has one.
    Some,
    /// GT: the new one is later (no expiry counts as infinitely late).
    Later,
    /// LT: the new one is earlier.
    Earlier,
    /// XX and LT: it has one, and the new one is earlier.
    SomeEarlier,
}

/// A read-modify-write of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Update {
    /// SET with GET or KEEPTTL, GETSET, SETEX in a pipeline: writes the value whatever was there.
    Set {
        /// The new value.
        value: Bytes,
        /// The new expiry.
        expiry: ExpiryChange,
        /// Answer the old string (WRONGTYPE if the key is a hash, and then nothing is written).
        return_old: bool,
    },
    /// APPEND; answers the new length.
    Append(Bytes),
    /// SETRANGE; answers the new length.
    SetRange {
        /// Where to write; the gap is filled with zero bytes.
        offset: u32,
        /// What; if empty, nothing changes.
        data: Bytes,
    },
    /// GETDEL; answers the old string.
    GetDel,
    /// GETEX; answers the string.
    GetEx(ExpiryChange),
    /// DEL and UNLINK; answers whether the key was there.
    Del,
    /// EXPIRE and its kin; answers whether the expiry was set.
    Expire {
        /// When; a moment that has passed deletes the key.
        at: Wall,
        /// Only if.
        condition: ExpireIf,
    },
    /// PERSIST; answers whether there was an expiry to remove.
    Persist,
    /// HSET and HMSET; answers how many fields are new.
    HashSet(Vec<(Bytes, Bytes)>),
    /// HDEL; answers how many fields were there.
    HashDel(Vec<Bytes>),
}

impl Update {
    /// The bytes of values and fields that the update carries.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::Set { value, .. } => value.len(),
            Self::Append(data) | Self::SetRange { data, .. } => data.len(),
            Self::HashSet(fields) => fields.iter().map(|(field, value)| field.len() + value.len()).sum(),
            Self::HashDel(fields) => fields.iter().map(Bytes::len).sum(),
            Self::GetDel | Self::GetEx(_) | Self::Del | Self::Expire { .. } | Self::Persist => 0,
        }
    }
}

/// What an update answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UpdateReply {
    /// OK.
    Done,
    /// A number: a length, a count, or 0 and 1 for no and yes.
    Integer(i64),
    /// A string, or nil.
    Value(Option<Bytes>),
}
