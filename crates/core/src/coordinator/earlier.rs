//! What an update has written in attempts that were outbid. Some of it stands: at homes that had nothing greater, or in other records
//! of the same key. Computed anew on top of that, the update would take its own writes for somebody else's: HSET would find
//! its fields there, APPEND append twice. So it is computed on what it had found in their place.

use std::borrow::Cow;
use std::sync::Arc;

use crate::causality::{LwwRecord, Record, Stamp};
use crate::id::NodeId;
use crate::key::RecordKey;
use crate::keyspace::Gathered;
use crate::time::Hlc;

/// See the module.
#[derive(Debug, Default)]
pub struct Earlier {
    /// The first and the last clock that each attempt signed with. Nothing else is signed by this node meanwhile.
    signed: Vec<(Hlc, Hlc)>,
    /// What the last attempt was computed on.
    found: Gathered,
    /// The records that the last attempt spread.
    pub records: Vec<(RecordKey, Arc<Record>)>,
}

impl Earlier {
    /// An attempt of this node, which read and spread these, was outbid.
    pub fn add(
        &mut self,
        node: NodeId,
        signed: Option<(Hlc, Hlc)>,
        read: &[(RecordKey, Arc<Record>)],
        spread: &[(RecordKey, Arc<Record>)],
    ) {
        let mut found = Gathered::default();
        read.iter().for_each(|(key, record)| found.absorb(key, record));
        self.found = self.taken_back(node, &found).into_owned();
        self.signed.extend(signed);
        self.records = spread.to_vec();
    }

    /// What was gathered now, with what was there before wherever it shows what this update wrote.
    #[must_use]
    pub fn taken_back<'a>(&self, node: NodeId, gathered: &'a Gathered) -> Cow<'a, Gathered> {
        if self.signed.is_empty() {
            return Cow::Borrowed(gathered);
        }
        let mut before = gathered.clone();
        before.head = before
            .head
            .map(|head| self.before(node, &head, self.found.head.as_deref()));
        for (name, field) in &mut before.fields {
            *field = self.before(node, field, self.found.fields.get(name).map(AsRef::as_ref));
        }
        Cow::Owned(before)
    }

    /// One record, likewise: register by register.
    fn before(&self, node: NodeId, shown: &Arc<LwwRecord>, found: Option<&LwwRecord>) -> Arc<LwwRecord> {
        let is_own = |stamp: Stamp| stamp.dot.actor.node == node && self.has_signed(stamp.hlc);
        let owns = (
            is_own(shown.stamp),
            is_own(shown.expiry.stamp),
            self.has_signed(shown.cleared_at),
        );
        if owns == (false, false, false) {
            return Arc::clone(shown);
        }
        let nothing = LwwRecord::default();
        let found = found.unwrap_or(&nothing);
        let mut before = LwwRecord::clone(shown);
        if owns.0 {
            (before.stamp, before.payload) = (found.stamp, found.payload.clone());
        }
        if owns.1 {
            before.expiry = found.expiry;
        }
        if owns.2 {
            before.cleared_at = found.cleared_at;
        }
        Arc::new(before)
    }

    fn has_signed(&self, hlc: Hlc) -> bool {
        self.signed.iter().any(|&(first, last)| (first..=last).contains(&hlc))
    }
}
