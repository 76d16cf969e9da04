//! Several updates of a key, each applied to what the one before makes of it, over one read and for one batch of writes.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::causality::{LwwRecord, Record};
use crate::key::RecordKey;
use crate::keyspace::{Applied, Gathered, MintStamp, Update, UpdateReply, Want, apply, want_of};
use crate::mutants::{Mutant, active};
use crate::outcome::Cause;
use crate::time::Wall;

/// True if two updates may share a read: the same kind, which asks for the same part of the key. Then a second look
/// ([`crate::keyspace::look_again`]) that does for one does for both.
#[must_use]
pub fn may_share(one: &Update, other: &Update) -> bool {
    let wants = (want_of(one), want_of(other));
    let reads_alike = matches!(wants, (Want::Fields(_), Want::Fields(_))) || wants.0 == wants.1;
    std::mem::discriminant(one) == std::mem::discriminant(other) && reads_alike
}

/// What is wanted for one and for another that may share its read.
pub fn add_want(want: &mut Want, other: &Update) {
    if let (Want::Fields(fields), Want::Fields(more)) = (want, want_of(other)) {
        fields.extend(more);
    }
}

/// Updates being applied one after another.
#[derive(Debug)]
pub struct Chain<'a> {
    /// The key of the head.
    pub head: &'a RecordKey,
    /// What is read of the key, with what has been written since.
    pub gathered: &'a mut Gathered,
    /// When.
    pub wall: Wall,
    /// The bucket's bound.
    pub value_bytes_max: u32,
    /// By sort key: the registers to merge into the record there.
    pub writes: BTreeMap<Bytes, LwwRecord>,
}

impl Chain<'_> {
    /// Applies the next one; its reply. `is_last`: no other will see what it leaves.
    ///
    /// # Errors
    /// As [`apply`]; nothing of it is written.
    pub fn apply(&mut self, update: &Update, is_last: bool, stamps: &mut dyn MintStamp) -> Result<UpdateReply, Cause> {
        let applied = apply(update, self.gathered, self.wall, self.value_bytes_max, stamps)?;
        let Applied { writes, reply } = applied;
        for (sort, registers) in writes {
            if !is_last && !active(Mutant::RiderSeesOld) {
                let key = self.head.with_sort_key(&sort);
                self.gathered.absorb(&key, &Record::Lww(registers.clone()));
            }
            let known = self.writes.entry(sort).or_default();
            known.merge(&registers);
        }
        Ok(reply)
    }
}
