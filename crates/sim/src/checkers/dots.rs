//! A dot names one write: it is never signed twice, whatever was lost or restored.

use std::collections::BTreeMap;

use torc_core::causality::{Dot, Payload, Record};
use torc_core::id::{ActorId, Life, NodeId};
use torc_core::key::RecordKey;

use crate::checkers::Violation;
use crate::world::disk::Changed;

/// What each dot of each key was first seen to name.
#[derive(Debug, Default)]
pub struct Dots {
    known: BTreeMap<(RecordKey, Dot), Payload>,
}

impl Dots {
    /// Judges one change in a store.
    pub fn check(&mut self, changed: &Changed) -> Result<(), Violation> {
        match &*changed.after {
            Record::Siblings(record) => {
                for (dot, version) in &record.siblings {
                    self.check_one(&changed.key, *dot, &version.payload)?;
                }
                Ok(())
            }
            Record::Lww(record) if record.stamp.dot != NOBODY => {
                self.check_one(&changed.key, record.stamp.dot, &record.payload)
            }
            Record::Lww(_) => Ok(()),
        }
    }

    fn check_one(&mut self, key: &RecordKey, dot: Dot, payload: &Payload) -> Result<(), Violation> {
        let known = self.known.entry((key.clone(), dot)).or_insert_with(|| payload.clone());
        if known == payload {
            return Ok(());
        }
        Violation::new(
            "dots",
            format!("{dot:?} of {key:?} names both {known:?} and {payload:?}"),
        )
    }
}

const NOBODY: Dot = Dot {
    actor: ActorId {
        node: NodeId(0),
        life: Life(0),
        birth: 0,
    },
    counter: 0,
};
