//! What a write does to one record, as a pure step from the current record to the next. Minting happens here and nowhere
//! else, on state that includes what is not yet durable, so that two puts in one batch never share a dot (RULINGS 20).

use std::sync::Arc;

use crate::bucket::StorageClass;
use crate::causality::codec::record_hash;
use crate::causality::{
    ClientContext, Context, Dot, Expiry, Lives, LwwRecord, Payload, Record, RequestMark, SiblingsRecord, Stamp, Version,
};
use crate::id::ClientRequestId;
use crate::key::RecordKey;
use crate::life::Lineage;
use crate::mutants::{Mutant, active};
use crate::outcome::{Cause, Failure};
use crate::site::Site;
use crate::time::{Hlc, Wall};

/// What to do to one record.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Merge another replica's record.
    Merge(Arc<Record>),
    /// Merge what another home has signed for a client's put: a context that is too long is pruned here as it was there.
    /// Otherwise the next comparison would bring back what the put had dropped.
    TakePut(Arc<Record>),
    /// Sign a new version.
    Put(Box<Put>),
    /// Merge registers whose stamps were minted by the operation (Redis updates).
    Registers(Registers),
    /// Remove the record if it still hashes to this (RULINGS 24).
    Reap(u128),
    /// Take the entries of lives that are over out of its context, if it still hashes to this (RULINGS 3).
    Fold(u128, Arc<Lives>),
}

impl Change {
    /// True for a put that needs to know nothing of the record that it changes.
    #[must_use]
    pub fn reads_nothing(&self) -> bool {
        let Self::Put(put) = self else { return false };
        let is_blind = match &put.kind {
            PutKind::Siblings { context, .. } => context.is_some(),
            PutKind::Lww { .. } => true,
            PutKind::ClearPartition { .. } => false,
        };
        // Whether a request was answered before, the damaged record alone could tell.
        is_blind && put.base.is_none() && put.request.is_none()
    }
}

/// Registers to merge, and what a quorum read found under the same key: the replica may have missed it.
#[derive(Clone, PartialEq, Debug)]
pub struct Registers {
    /// What the quorum holds.
    pub base: Option<Arc<Record>>,
    /// What the operation writes.
    pub registers: LwwRecord,
}

/// A put to sign.
#[derive(Clone, PartialEq, Debug)]
pub struct Put {
    /// What a quorum read found, for puts that read first.
    pub base: Option<Arc<Record>>,
    /// Value or tombstone.
    pub payload: Payload,
    /// Absolute expiry.
    pub expires_at: Option<Wall>,
    /// By the bucket's conflict policy.
    pub kind: PutKind,
    /// The client's request id and the hash of what it asked for.
    pub request: Option<(ClientRequestId, u64)>,
}

/// The part of a put that depends on the bucket's conflict policy.
#[derive(Clone, PartialEq, Debug)]
pub enum PutKind {
    /// Replaces what `context` covers; `None`: exactly what `base` holds.
    Siblings {
        /// What the client has seen.
        context: Option<Context>,
        /// The bucket's limit.
        siblings_max: u32,
    },
    /// Writes above `floor` and everything the record holds.
    Lww {
        /// The clock of the client's token, or of a stamp that won without being seen (RULINGS 5).
        floor: Hlc,
        /// Clear the fields of the key too (it is a head).
        is_head: bool,
    },
    /// `cleared_at` of a partition head.
    ClearPartition {
        /// No record of the partition that was acknowledged before is above it.
        floor: Hlc,
    },
}

/// What became of a change.
#[derive(Clone, PartialEq, Debug)]
pub enum Changed {
    /// The record is now this.
    New {
        /// The whole record.
        record: Arc<Record>,
        /// What the change signed.
        signed: Signed,
    },
    /// The record holds all of it already.
    Unchanged {
        /// The whole record; `None` if an empty change met an absent record.
        record: Option<Arc<Record>>,
        /// For a repeated request id: what it signed the first time.
        signed: Signed,
    },
    /// There is no record any more.
    Removed,
    /// Nothing was done.
    Refused(Failure),
    /// Nothing was done: this node's copy can't be read. Another home can sign it.
    Unreadable,
}

/// What a change signed.
#[derive(Clone, PartialEq, Debug)]
pub enum Signed {
    /// Nothing: it merged.
    Nothing,
    /// A dot; the context that the client gets is what it sent and this.
    Dot(Dot, Context),
    /// The dot of the first answer to this request, which is answered again.
    Repeat(Dot, Context),
    /// A stamp.
    Stamp(Stamp),
}

impl Signed {
    /// What the client is handed back.
    #[must_use]
    pub fn client_context(&self) -> ClientContext {
        match self {
            Self::Dot(_, context) | Self::Repeat(_, context) => ClientContext::Dots(context.clone()),
            Self::Stamp(stamp) => ClientContext::Clock(stamp.hlc),
            Self::Nothing => ClientContext::Clock(Hlc::ZERO),
        }
    }
}

/// Applies one change to the current record.
pub fn apply(key: &RecordKey, change: Change, current: Option<&Arc<Record>>, site: &mut Site) -> Changed {
    match change {
        Change::Merge(incoming) => {
            let changed = merged(current, &incoming, None);
            if active(Mutant::PruneInMerge) {
                return pruned(key, changed, current, site);
            }
            changed
        }
        Change::TakePut(incoming) => {
            let changed = merged(current, &incoming, None);
            if brings_a_sibling(&changed, current) {
                return pruned(key, changed, current, site);
            }
            changed
        }
        Change::Registers(registers) => {
            let incoming = Arc::new(Record::Lww(registers.registers));
            merged(current, &incoming, registers.base.as_ref())
        }
        Change::Put(put) => signed(key, *put, current, Lineage::Record, site),
        Change::Reap(hash) => match current {
            Some(record) if record_hash(key, record) == hash => Changed::Removed,
            record => Changed::Unchanged {
                record: record.cloned(),
                signed: Signed::Nothing,
            },
        },
        Change::Fold(hash, lives) => folded(key, hash, &lives, current, site),
    }
}

fn folded(key: &RecordKey, hash: u128, lives: &Lives, current: Option<&Arc<Record>>, site: &mut Site) -> Changed {
    let held = current.filter(|record| record_hash(key, record) == hash);
    let folded = match held.map(AsRef::as_ref) {
        Some(Record::Siblings(record)) => record.folded(lives, &site.context_limits),
        Some(Record::Lww(_)) | None => None,
    };
    let Some(folded) = folded else {
        return Changed::Unchanged {
            record: current.cloned(),
            signed: Signed::Nothing,
        };
    };
    site.stats.folded_contexts += 1;
    Changed::New {
        record: Arc::new(Record::Siblings(folded)),
        signed: Signed::Nothing,
    }
}

/// What was merged, with a context that is too long pruned.
fn pruned(key: &RecordKey, changed: Changed, current: Option<&Arc<Record>>, site: &mut Site) -> Changed {
    let Changed::New { record, signed } = changed else {
        return changed;
    };
    let entries = match &*record {
        Record::Siblings(merged) => merged.seen.entries(),
        Record::Lww(_) => 0,
    };
    if entries <= site.context_limits.entries_max {
        return Changed::New { record, signed };
    }
    let mut record = (*record).clone();
    if let Record::Siblings(merged) = &mut record {
        let before = current.and_then(|held| held.as_siblings()).cloned().unwrap_or_default();
        let mut fresh = merged.grown_since(&before.seen);
        let is_held = |dot: Dot| merged.siblings.iter().any(|sibling| sibling.0 == dot);
        let replaced = before.siblings.iter().filter(|sibling| !is_held(sibling.0));
        fresh.extend(replaced.map(|sibling| sibling.0.actor));
        // What has no moment yet grew no later than now, but it may be the newest of all.
        merged.note_growth(&merged.seen.clone(), site.now.wall);
        let dropped = merged.prune(&site.context_limits, &fresh);
        site.note_long_context(key, entries, dropped);
    }
    Changed::New {
        record: Arc::new(record),
        signed,
    }
}

/// True if a merge brought a version that this replica had not seen: the put itself, as a rule.
fn brings_a_sibling(changed: &Changed, current: Option<&Arc<Record>>) -> bool {
    let Changed::New { record, .. } = changed else {
        return false;
    };
    let Record::Siblings(merged) = &**record else {
        return false;
    };
    let seen = current.and_then(|held| held.as_siblings()).map(|held| &held.seen);
    let mut siblings = merged.siblings.iter();
    siblings.any(|sibling| seen.is_none_or(|seen| !seen.covers(sibling.0)))
}

/// The current record with `base` merged in.
fn on_base(current: Option<&Arc<Record>>, base: Option<&Arc<Record>>) -> Option<Arc<Record>> {
    match (current, base) {
        (Some(current), Some(base)) if current != base => {
            let mut record = (**current).clone();
            record.merge(base).ok()?;
            Some(Arc::new(record))
        }
        (Some(current), _) => Some(Arc::clone(current)),
        (None, base) => base.cloned(),
    }
}

fn merged(current: Option<&Arc<Record>>, incoming: &Arc<Record>, base: Option<&Arc<Record>>) -> Changed {
    let Some(start) = on_base(current, base) else {
        return Changed::New {
            record: Arc::clone(incoming),
            signed: Signed::Nothing,
        };
    };
    let mut record = (*start).clone();
    if record.merge(incoming).is_err() {
        return mismatch();
    }
    if current.is_some_and(|current| **current == record) {
        return Changed::Unchanged {
            record: current.cloned(),
            signed: Signed::Nothing,
        };
    }
    Changed::New {
        record: Arc::new(record),
        signed: Signed::Nothing,
    }
}

/// Signs a put on the current record, or on what is kept of it for a home.
pub fn signed(key: &RecordKey, put: Put, current: Option<&Arc<Record>>, lineage: Lineage, site: &mut Site) -> Changed {
    let start = on_base(current, put.base.as_ref());
    match &put.kind {
        PutKind::Siblings { .. } => {
            let record = match start.as_deref() {
                Some(Record::Siblings(record)) => record.clone(),
                Some(Record::Lww(_)) => return mismatch(),
                None => SiblingsRecord::default(),
            };
            put_sibling(key, put, record, start, current, lineage, site)
        }
        PutKind::Lww { .. } | PutKind::ClearPartition { .. } => {
            let record = match start.as_deref() {
                // All but the value, which is replaced.
                Some(Record::Lww(record)) => LwwRecord {
                    stamp: record.stamp,
                    payload: Payload::Tombstone,
                    cleared_at: record.cleared_at,
                    expiry: record.expiry,
                    marks: record.marks.clone(),
                },
                Some(Record::Siblings(_)) => return mismatch(),
                None => LwwRecord::default(),
            };
            put_lww(put, record, start, current, site)
        }
    }
}

fn put_sibling(
    key: &RecordKey,
    put: Put,
    mut record: SiblingsRecord,
    start: Option<Arc<Record>>,
    current: Option<&Arc<Record>>,
    lineage: Lineage,
    site: &mut Site,
) -> Changed {
    let PutKind::Siblings { context, siblings_max } = put.kind else {
        unreachable!("checked by the caller")
    };
    // A client that had its put read first has sent nothing and was shown nothing of what that found: its answer names the
    // put alone, and so does the answer to a repeat of it, whatever came since.
    let (context, sent) = match (context, put.base.as_deref()) {
        (Some(context), _) => (context, None),
        (None, _) if active(Mutant::UnreadReplaced) => (record.seen.clone(), Some(Context::new())),
        (None, Some(Record::Siblings(base))) => (base.seen.clone(), Some(Context::new())),
        (None, Some(Record::Lww(_)) | None) => (Context::new(), None),
    };
    if let Some((id, body)) = &put.request
        && let Some(mark) = record.marks.find(id, site.now.wall)
    {
        if mark.body != *body {
            return Changed::Refused(Failure::refused(Cause::RequestIdReused));
        }
        let dot = mark.dot;
        let sent = sent.unwrap_or(context);
        return repeated(start, current, Signed::Repeat(dot, with_dot(sent, dot)));
    }
    let limit = siblings_max;
    let after = record.siblings_after_put(&context) as u32;
    if after > limit && after > record.siblings.len() as u32 {
        return Changed::Refused(Failure::refused(Cause::TooManySiblings { limit, actual: after }));
    }
    let dot = site.minter.mint_dot(&record.seen, lineage);
    let bucket = site.catalog.bucket(key.bucket());
    if bucket.is_some_and(|bucket| bucket.storage == StorageClass::Memory) {
        site.minter.note_signed_in_memory();
    }
    let written_at = site.clock.mint(site.now.wall, Hlc::ZERO);
    let limits = site.context_limits;
    let long_from = limits.timed_from.min(limits.entries_max);
    let may_be_long = record.seen.entries() + context.entries() + 1 > long_from || !record.growth.is_empty();
    let replaced_by_put = |sibling: &&(Dot, Version)| context.covers(sibling.0);
    let replaced = record
        .siblings
        .iter()
        .filter(replaced_by_put)
        .map(|sibling| sibling.0.actor);
    let before = may_be_long.then(|| (record.seen.clone(), replaced.collect::<Vec<_>>()));
    record.put(
        &context,
        dot,
        Version {
            payload: put.payload,
            written_at,
            expires_at: put.expires_at,
        },
    );
    if let Some((id, body)) = put.request {
        record.mark(RequestMark {
            // Not by the clock of versions: a stamp from a fast clock drags that ahead, at one home by more than an id counts.
            at: Hlc::at(site.now.wall),
            id,
            body,
            dot,
        });
    }
    let entries = record.seen.entries();
    if let Some((before, replaced)) = before {
        if entries > limits.timed_from || !record.growth.is_empty() {
            let at = written_at.wall();
            record.note_growth(&before, at);
            // Until other homes hear of this put they hold what it replaces: what says so must not be the next to go.
            replaced.iter().for_each(|&actor| record.growth.note(actor, at));
        }
        if entries > limits.entries_max {
            let fresh = [record.grown_since(&before), replaced].concat();
            // A stand-in does not know which siblings the homes hold: they prune what it signed.
            let dropped = match lineage {
                Lineage::Record => record.prune(&limits, &fresh),
                Lineage::Kept(_) => Vec::new(),
            };
            site.stats.contexts_over_limit += 1;
            site.note_long_context(key, entries, dropped);
        }
    }
    site.stats.context_entries_max = site.stats.context_entries_max.max(record.seen.entries() as u64);
    let sent = if active(Mutant::PutAnswersRecordContext) {
        record.seen.clone()
    } else {
        sent.unwrap_or(context)
    };
    Changed::New {
        record: Arc::new(Record::Siblings(record)),
        signed: Signed::Dot(dot, with_dot(sent, dot)),
    }
}

fn put_lww(
    put: Put,
    mut record: LwwRecord,
    start: Option<Arc<Record>>,
    current: Option<&Arc<Record>>,
    site: &mut Site,
) -> Changed {
    if let Some((id, body)) = &put.request
        && let Some(mark) = record.marks.find(id, site.now.wall)
    {
        if mark.body != *body {
            return Changed::Refused(Failure::refused(Cause::RequestIdReused));
        }
        let stamp = Stamp {
            hlc: mark.at,
            dot: mark.dot,
        };
        return repeated(start, current, Signed::Stamp(stamp));
    }
    let (floor, is_head) = match put.kind {
        PutKind::Lww { floor, is_head } => (floor, is_head),
        PutKind::ClearPartition { floor } => (floor, true),
        PutKind::Siblings { .. } => unreachable!("checked by the caller"),
    };
    let stamp = site
        .minter
        .mint_stamp(&mut site.clock, site.now.wall, floor.max(record.highest()));
    record.stamp = stamp;
    record.payload = put.payload;
    if is_head {
        record.cleared_at = stamp.hlc;
    }
    if put.expires_at.is_some() {
        record.expiry = Expiry {
            stamp,
            at: put.expires_at,
        };
    }
    if let Some((id, body)) = put.request {
        record.mark(RequestMark {
            at: stamp.hlc,
            id,
            body,
            dot: stamp.dot,
        });
    }
    Changed::New {
        record: Arc::new(Record::Lww(record)),
        signed: Signed::Stamp(stamp),
    }
}

/// A request that was answered before. Where only the other homes know of it, this one takes it over from them: it must
/// not count as a holder of what it does not hold.
fn repeated(start: Option<Arc<Record>>, current: Option<&Arc<Record>>, signed: Signed) -> Changed {
    match start {
        Some(record) if current != Some(&record) => Changed::New { record, signed },
        record => Changed::Unchanged { record, signed },
    }
}

fn with_dot(mut context: Context, dot: Dot) -> Context {
    if active(Mutant::ContextRoundedUp) {
        context.merge(&Context::from_parts([(dot.actor, dot.counter)], []));
    }
    context.insert(dot);
    context
}

fn mismatch() -> Changed {
    Changed::Refused(Failure::refused(Cause::BadRequest(
        "the stored record is of another kind than its bucket: the data directory belongs to another configuration"
            .into(),
    )))
}
