//! What an update of a Redis key writes, given the records that a quorum holds of it. Writes are registers to merge, never
//! whole records: what an update does not mean to change it does not send.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::causality::{Expiry, LwwRecord, Payload, Stamp, Value};
use crate::keyspace::gathered::field_sort_key;
use crate::keyspace::head::{Head, Kind};
use crate::keyspace::{ExpireIf, ExpiryChange, Gathered, Update, UpdateReply};
use crate::limits::SORT_KEY_BYTES_MAX;
use crate::outcome::Cause;
use crate::time::Wall;

/// What to write and what to answer. Nothing to write: the answer alone.
#[derive(Clone, PartialEq, Debug)]
pub struct Applied {
    /// Sort key (empty for the head, `01 ‖ field` for a field) and the registers to merge into the record there. All of
    /// them go into one batch.
    pub writes: Vec<(Bytes, LwwRecord)>,
    /// The answer.
    pub reply: UpdateReply,
}

/// Mints stamps for an update: each call gives one above everything in the key and everything minted before.
pub trait MintStamp {
    /// The next stamp.
    fn mint(&mut self) -> Stamp;
}

/// The registers of a head that replaces everything under its key: SET (a value) and DEL (a tombstone).
#[must_use]
pub fn head_write(stamp: Stamp, payload: Payload, expires_at: Option<Wall>) -> LwwRecord {
    LwwRecord {
        payload,
        cleared_at: stamp.hlc,
        ..hash_head(stamp, expires_at)
    }
}

/// The registers of a hash's head. An older expiry ends with the new stamp.
fn hash_head(stamp: Stamp, expires_at: Option<Wall>) -> LwwRecord {
    let expiry = match expires_at {
        Some(at) => Expiry { stamp, at: Some(at) },
        None => Expiry::default(),
    };
    LwwRecord {
        stamp,
        payload: Payload::HashHead,
        expiry,
        ..LwwRecord::default()
    }
}

/// Applies `update` to what was gathered.
///
/// # Errors
/// `WrongType`, `ValueTooLarge`, or the command's own refusal. Nothing is to be written.
pub fn apply(
    update: &Update,
    gathered: &Gathered,
    wall: Wall,
    value_bytes_max: u32,
    stamps: &mut dyn MintStamp,
) -> Result<Applied, Cause> {
    let head = Head::of(gathered, wall);
    let exists = matches!(head.kind, Kind::String(_)) || head.any_field(gathered);
    let mut key = Key {
        gathered,
        head,
        exists,
        wall,
        value_bytes_max,
        stamps,
        writes: Vec::new(),
    };
    let reply = match update {
        Update::Set {
            value,
            expiry,
            return_old,
        } => key.set(value, *expiry, *return_old)?,
        Update::Append(data) => key.append(data)?,
        Update::SetRange { offset, data } => key.set_range(*offset, data)?,
        Update::GetDel => {
            let old = key.string()?;
            if old.is_some() {
                key.delete();
            }
            UpdateReply::Value(old)
        }
        Update::GetEx(change) => key.get_and_expire(*change)?,
        Update::Del => {
            if key.exists {
                key.delete();
            }
            UpdateReply::Integer(i64::from(key.exists))
        }
        Update::Expire { at, condition } => key.expire(*at, *condition),
        Update::Persist => key.persist(),
        Update::HashSet(pairs) => key.hash_set(pairs)?,
        Update::HashDel(fields) => key.hash_delete(fields)?,
    };
    Ok(Applied {
        writes: key.writes,
        reply,
    })
}

/// A key while an update is applied to it.
struct Key<'a> {
    gathered: &'a Gathered,
    head: Head,
    /// As far as was gathered: whether there is a string or a field that shows.
    exists: bool,
    wall: Wall,
    value_bytes_max: u32,
    stamps: &'a mut dyn MintStamp,
    writes: Vec<(Bytes, LwwRecord)>,
}

impl Key<'_> {
    /// The string; `None` if there is no key.
    fn string(&self) -> Result<Option<Bytes>, Cause> {
        match &self.head.kind {
            Kind::String(value) => Ok(Some(value.clone())),
            Kind::Expired | Kind::HashHead | Kind::NoHead if self.exists => Err(Cause::WrongType),
            Kind::Expired | Kind::HashHead | Kind::NoHead => Ok(None),
        }
    }

    /// When the key that exists expires.
    fn expires_at(&self) -> Option<Wall> {
        self.head.expires_at.filter(|_| self.exists)
    }

    fn check_size(&self, bytes: usize) -> Result<(), Cause> {
        let (limit, actual) = (u64::from(self.value_bytes_max), bytes as u64);
        if actual > limit {
            Err(Cause::ValueTooLarge { limit, actual })
        } else {
            Ok(())
        }
    }

    fn write_head(&mut self, record: LwwRecord) {
        self.writes.push((Bytes::new(), record));
    }

    fn write_string(&mut self, data: Bytes, expires_at: Option<Wall>) {
        let stamp = self.stamps.mint();
        self.write_head(head_write(stamp, Payload::Value(Value::plain(data)), expires_at));
    }

    fn delete(&mut self) {
        let stamp = self.stamps.mint();
        self.write_head(head_write(stamp, Payload::Tombstone, None));
    }

    /// Sets the expiry register alone, so that a concurrent write of the value keeps its own.
    fn write_expiry(&mut self, at: Option<Wall>) {
        let expiry = Expiry {
            stamp: self.stamps.mint(),
            at,
        };
        self.write_head(LwwRecord {
            expiry,
            ..LwwRecord::default()
        });
    }

    fn expire_at(&mut self, at: Wall) {
        if at <= self.wall {
            self.delete();
        } else if self.head.kind == Kind::NoHead {
            // Fields that outlived their head: the expiry needs a head that it belongs to.
            let stamp = self.stamps.mint();
            self.write_head(hash_head(stamp, Some(at)));
        } else {
            self.write_expiry(Some(at));
        }
    }

    fn set(&mut self, value: &Bytes, expiry: ExpiryChange, return_old: bool) -> Result<UpdateReply, Cause> {
        let old = if return_old { self.string()? } else { None };
        self.check_size(value.len())?;
        match expiry {
            ExpiryChange::Keep => self.write_string(value.clone(), self.expires_at()),
            ExpiryChange::Clear => self.write_string(value.clone(), None),
            ExpiryChange::At(at) if at <= self.wall => self.delete(),
            ExpiryChange::At(at) => self.write_string(value.clone(), Some(at)),
        }
        Ok(if return_old {
            UpdateReply::Value(old)
        } else {
            UpdateReply::Done
        })
    }

    fn append(&mut self, data: &Bytes) -> Result<UpdateReply, Cause> {
        let old = self.string()?;
        let bytes = old.as_ref().map_or(0, Bytes::len) + data.len();
        // Nothing to add to what is there: no write, as the key would look the same.
        if old.is_none() || !data.is_empty() {
            self.check_size(bytes)?;
            let mut joined = BytesMut::with_capacity(bytes);
            joined.extend_from_slice(&old.unwrap_or_default());
            joined.extend_from_slice(data);
            self.write_string(joined.freeze(), self.expires_at());
        }
        Ok(UpdateReply::Integer(bytes as i64))
    }

    fn set_range(&mut self, offset: u32, data: &Bytes) -> Result<UpdateReply, Cause> {
        let old = self.string()?.unwrap_or_default();
        if data.is_empty() {
            return Ok(UpdateReply::Integer(old.len() as i64));
        }
        let (start, end) = (offset as usize, offset as usize + data.len());
        self.check_size(end)?;
        let mut bytes = BytesMut::zeroed(end.max(old.len()));
        bytes[..old.len()].copy_from_slice(&old);
        bytes[start..end].copy_from_slice(data);
        let length = bytes.len() as i64;
        self.write_string(bytes.freeze(), self.expires_at());
        Ok(UpdateReply::Integer(length))
    }

    fn get_and_expire(&mut self, change: ExpiryChange) -> Result<UpdateReply, Cause> {
        let value = self.string()?;
        if value.is_some() {
            match change {
                ExpiryChange::Keep => {}
                ExpiryChange::Clear => {
                    self.persist();
                }
                ExpiryChange::At(at) => self.expire_at(at),
            }
        }
        Ok(UpdateReply::Value(value))
    }

    fn expire(&mut self, at: Wall, condition: ExpireIf) -> UpdateReply {
        let current = self.expires_at();
        let holds = match condition {
            ExpireIf::Always => true,
            ExpireIf::None => current.is_none(),
            ExpireIf::Some => current.is_some(),
            ExpireIf::Later => current.is_some_and(|current| at > current),
            ExpireIf::Earlier => current.is_none_or(|current| at < current),
            ExpireIf::SomeEarlier => current.is_some_and(|current| at < current),
        };
        let done = self.exists && holds;
        if done {
            self.expire_at(at);
        }
        UpdateReply::Integer(i64::from(done))
    }

    fn persist(&mut self) -> UpdateReply {
        let done = self.expires_at().is_some();
        if done {
            self.write_expiry(None);
        }
        UpdateReply::Integer(i64::from(done))
    }

    fn shows(&self, field: &Bytes) -> bool {
        self.head
            .field(self.gathered.fields.get(field).map(AsRef::as_ref))
            .is_some()
    }

    fn write_field(&mut self, field: &Bytes, payload: Payload) {
        let sort_key = field_sort_key(field).expect("field names were checked");
        let stamp = self.stamps.mint();
        self.writes.push((
            sort_key,
            LwwRecord {
                stamp,
                payload,
                ..LwwRecord::default()
            },
        ));
    }

    fn hash_set(&mut self, pairs: &[(Bytes, Bytes)]) -> Result<UpdateReply, Cause> {
        let mut fields: BTreeMap<&Bytes, &Bytes> = BTreeMap::new();
        for (field, value) in pairs {
            if field.len() > SORT_KEY_BYTES_MAX {
                let (limit, actual) = (SORT_KEY_BYTES_MAX as u64, field.len() as u64);
                return Err(Cause::KeyTooLarge { limit, actual });
            }
            self.check_size(value.len())?;
            fields.insert(field, value);
        }
        match self.head.kind {
            Kind::String(_) => return Err(Cause::WrongType),
            Kind::HashHead if !self.is_surely_gone() => {}
            Kind::HashHead | Kind::NoHead => {
                let stamp = self.stamps.mint();
                self.write_head(hash_head(stamp, None));
            }
            Kind::Expired => {
                // The new stamp ends the expiry that hides the old fields: they must go by clock. The fields' own stamps
                // are minted after this one.
                let stamp = self.stamps.mint();
                self.write_head(LwwRecord {
                    cleared_at: stamp.hlc,
                    ..hash_head(stamp, None)
                });
            }
        }
        let mut added = 0;
        for (field, value) in fields {
            added += i64::from(!self.shows(field));
            self.write_field(field, Payload::Value(Value::plain(value.clone())));
        }
        Ok(UpdateReply::Integer(added))
    }

    /// True if the head's expiry is that of a hash whose last field is gone (see [`crate::keyspace::look_again`]).
    fn is_surely_gone(&self) -> bool {
        self.head.expires_at.is_some() && self.gathered.whole && !self.exists
    }

    fn hash_delete(&mut self, fields: &[Bytes]) -> Result<UpdateReply, Cause> {
        if let Kind::String(_) = self.head.kind {
            return Err(Cause::WrongType);
        }
        let mut shown: Vec<&Bytes> = fields.iter().filter(|field| self.shows(field)).collect();
        shown.sort_unstable();
        shown.dedup();
        for field in &shown {
            self.write_field(field, Payload::Tombstone);
        }
        Ok(UpdateReply::Integer(shown.len() as i64))
    }
}
