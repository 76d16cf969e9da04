//! A whole record from elsewhere, merged at w homes: nothing is signed, so its dots, context and expiry stay as they are,
//! and importing it again changes nothing.

use std::sync::Arc;

use crate::bucket::{Bucket, Conflict};
use crate::causality::{ClientContext, Payload, Record};
use crate::command;
use crate::coordinator::spread::{Signer, Spread, SpreadState};
use crate::coordinator::validate;
use crate::coordinator::{Event, Meta, Progress};
use crate::message::Space;
use crate::outcome::{Cause, Failure, Outcome, Written};
use crate::site::Site;

/// The number of the only write of an import: none of a client's put, which may prune a context.
const ATTEMPT: u16 = u16::MAX;

/// An import in flight.
#[derive(Debug)]
pub struct Import {
    meta: Meta,
    spread: Spread,
    context: ClientContext,
}

impl Import {
    /// Sends the record to every reachable home, this node included.
    pub fn start(meta: Meta, command: command::Import, site: &mut Site) -> Option<Self> {
        let command::Import {
            target,
            record,
            options,
        } = command;
        let checked = validate::plan(&target, site).and_then(|plan| {
            fits(&plan.bucket, &record)?;
            let need = plan.write_need(&options, site)?;
            validate::reachable(&plan, &need, true, site)?;
            Ok((plan, need))
        });
        let (plan, need) = match checked {
            Ok(checked) => checked,
            Err(failure) => return validate::fail(meta, failure, site),
        };
        let context = match &*record {
            Record::Siblings(record) => ClientContext::Dots(record.context().clone()),
            Record::Lww(record) => ClientContext::Clock(record.highest()),
        };
        let space = Space::of_write(record.is_tombstone());
        let records = vec![(plan.key.clone(), Arc::new(*record))];
        let mut spread = Spread::start(
            meta,
            ATTEMPT,
            &plan.homes,
            need,
            Signer::Home { strict: true },
            space,
            records.clone(),
            site,
        );
        // A home that holds something newer keeps it: that is what a merge is.
        spread.yield_to_winner();
        if plan.homes.iter().any(|home| home.node == site.id) {
            site.ask_merge(&[site.id], Some((meta.id, ATTEMPT)), records, space);
        }
        Some(Self { meta, spread, context })
    }

    /// Acknowledgements, losses, the deadline.
    pub fn on(&mut self, event: Event, site: &mut Site) -> Progress {
        let outcome = match self.spread.on(event, site) {
            SpreadState::Pending | SpreadState::Outbid(_) => return Progress::Continue,
            SpreadState::Reached => Outcome::Written(Written {
                context: self.context.clone(),
                answered: self.spread.answered(),
            }),
            SpreadState::Failed(failure) => Outcome::Failed(failure),
        };
        site.finish(self.meta.origin, outcome);
        Progress::Done
    }
}

/// The record is of the bucket's kind, and its values are no longer than the bucket allows.
fn fits(bucket: &Bucket, record: &Record) -> Result<(), Failure> {
    let payload_bytes_max = match (bucket.conflict, record) {
        (Conflict::Siblings, Record::Siblings(record)) => record
            .siblings
            .iter()
            .map(|(_, version)| value_bytes(&version.payload))
            .max()
            .unwrap_or(0),
        (Conflict::Lww, Record::Lww(record)) => value_bytes(&record.payload),
        (Conflict::Siblings, Record::Lww(_)) => return Err(other_kind(bucket, "keeps siblings", "last-writer-wins")),
        (Conflict::Lww, Record::Siblings(_)) => return Err(other_kind(bucket, "is last-writer-wins", "siblings")),
    };
    let limit = u64::from(bucket.value_bytes_max);
    if payload_bytes_max > limit {
        return Err(Failure::refused(Cause::ValueTooLarge {
            limit,
            actual: payload_bytes_max,
        }));
    }
    Ok(())
}

fn value_bytes(payload: &Payload) -> u64 {
    match payload {
        Payload::Value(value) => value.data.len() as u64,
        Payload::Tombstone | Payload::HashHead => 0,
    }
}

fn other_kind(bucket: &Bucket, is: &str, other: &str) -> Failure {
    let text = format!(
        "bucket '{}' {is}, and the record comes from a {other} bucket; import it into one of its own kind",
        bucket.name
    );
    Failure::refused(Cause::BadRequest(text))
}
