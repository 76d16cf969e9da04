//! A strict put that reads first (SET and DEL of Redis in a bucket with siblings) replaces every strict write that was
//! acknowledged before it was sent, where its r and that write's w meet (RULINGS 11). That it replaces nothing that no read
//! could have found when it was signed, `causality` judges: only what could be found it is taken to have seen.

use std::collections::BTreeSet;
use std::sync::Arc;

use torc_core::causality::{Dot, Record};
use torc_core::key::RecordKey;

use crate::checkers::Violation;
use crate::history::{Fate, History, KeyId, PutId, answers_of, payload_of};
use crate::signatures::Signature;
use crate::world::World;

/// Which versions have been signed so far.
#[derive(Debug, Default)]
pub struct Signatures {
    known: BTreeSet<(KeyId, Dot)>,
}

impl Signatures {
    /// Notes what a host asks its store for: a version that nobody has asked for before was signed there just now.
    pub fn check(
        &mut self,
        history: &mut History,
        name: &RecordKey,
        record: &Arc<Record>,
        world: &World,
    ) -> Result<(), Violation> {
        let (Some(key), Some(record)) = (history.key_of(name), record.as_siblings()) else {
            return Ok(());
        };
        for (dot, version) in &record.siblings {
            if !self.known.insert((key, *dot)) {
                continue;
            }
            match payload_of(&version.payload) {
                Some(id) if id < history.puts.len() => {
                    history.puts[id].dots.insert(*dot);
                    if history.puts[id].reads_first {
                        let since_us = history.puts[id].started_us;
                        let signature = history.signature_of(key, record, since_us, world);
                        check_signed(history, id, signature)?;
                    }
                }
                Some(_) => {}
                // Whose it is its answer will tell.
                None => {
                    let since_us = history.first_unclaimed_us(key).unwrap_or(world.now_us);
                    let signature = history.signature_of(key, record, since_us, world);
                    history.unclaimed.insert((key, *dot), signature);
                }
            }
        }
        Ok(())
    }
}

/// Judges a put that was just acknowledged: if it is a delete, it is known now what it signed.
pub fn check_answered(history: &mut History, id: PutId) -> Result<(), Violation> {
    let put = &history.puts[id];
    if !put.is_delete {
        return Ok(());
    }
    let (key, reads_first) = (put.key, put.reads_first);
    for dot in put.dots.clone() {
        if let Some(signature) = history.unclaimed.remove(&(key, dot))
            && reads_first
        {
            check_signed(history, id, signature)?;
        }
    }
    Ok(())
}

fn check_signed(history: &mut History, id: PutId, signature: Signature) -> Result<(), Violation> {
    history.found(id, &signature.found);
    let put = &history.puts[id];
    let key = &history.keys[put.key];
    let r = answers_of(key.bucket.r, key.n);
    let is_owed = |other: PutId| {
        let before = &history.puts[other];
        before.fate == Fate::Acknowledged
            && before.strict
            && before.ended_us < put.started_us
            && before.w + r > key.n
            && !before.is_quorum_void
            && !history.was_pruned(other)
    };
    let missed = key
        .puts
        .iter()
        .find(|&&other| is_owed(other) && !signature.covered.contains(&other));
    match missed {
        Some(missed) if put.strict => Violation::new(
            "reading first",
            format!(
                "put {id} of {:?} read first at r={r} and did not find put {missed}, acknowledged before at w={}, n={}",
                key.name, history.puts[*missed].w, key.n
            ),
        ),
        Some(_) | None => Ok(()),
    }
}
