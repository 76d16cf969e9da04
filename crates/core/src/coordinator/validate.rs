//! Whether a command may run at all: sizes, bucket, mode, quorums. What fails here was certainly not applied.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::bucket::{Bucket, Conflict, Mode};
use crate::command::{Options, Target};
use crate::coordinator::Meta;
use crate::id::BucketId;
use crate::key::RecordKey;
use crate::limits::{PARTITION_KEY_BYTES_MAX, SORT_KEY_BYTES_MAX};
use crate::outcome::{Cause, Failure, Outcome};
use crate::quorum::{Home, Need, QuorumSize, QuorumTooLarge, Tally, Verdict, take_stand_ins};
use crate::site::Site;

/// A checked target: its bucket, its name, its homes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The bucket.
    pub bucket: Arc<Bucket>,
    /// The record's name.
    pub key: RecordKey,
    /// The homes in preference order.
    pub homes: SmallVec<[Home; 3]>,
}

impl Plan {
    /// What the request's or the bucket's r asks of the homes.
    ///
    /// # Errors
    /// `BadRequest` if r can never be met.
    pub fn read_need(&self, options: &Options, site: &Site) -> Result<Need, Failure> {
        need("r", options.read.unwrap_or(self.bucket.r), &self.homes, site)
    }

    /// What the request's or the bucket's w asks of the homes.
    ///
    /// # Errors
    /// `BadRequest` if w can never be met.
    pub fn write_need(&self, options: &Options, site: &Site) -> Result<Need, Failure> {
        need("w", options.write.unwrap_or(self.bucket.w), &self.homes, site)
    }
}

/// The bucket, if data commands may use it.
///
/// # Errors
/// `NoSuchBucket`, or `NotInThisVersion` for a consistent bucket.
pub fn bucket(id: BucketId, site: &Site) -> Result<Arc<Bucket>, Failure> {
    let bucket = site.bucket(id).ok_or_else(|| Failure::refused(Cause::NoSuchBucket))?;
    match bucket.mode {
        Mode::Available => Ok(bucket),
        Mode::Consistent => Err(Failure::refused(Cause::NotInThisVersion(format!(
            "bucket '{}' is consistent, and consistent buckets are not in this version; use an available bucket",
            bucket.name
        )))),
    }
}

/// Checks a target.
///
/// # Errors
/// As [`bucket`], and `KeyTooLarge`.
pub fn plan(target: &Target, site: &Site) -> Result<Plan, Failure> {
    let bucket = bucket(target.bucket, site)?;
    key_fits(&target.key, PARTITION_KEY_BYTES_MAX)?;
    if target.key.is_empty() {
        return Err(Failure::refused(Cause::BadRequest(
            "the key is empty; a key has 1 to 2,048 bytes".into(),
        )));
    }
    key_fits(&target.sort, SORT_KEY_BYTES_MAX)?;
    let key = site.record_key(&bucket, &target.key, &target.sort);
    let homes = site.ring.homes(key.partition(), bucket.n);
    Ok(Plan { bucket, key, homes })
}

/// What a quorum asks of these homes.
///
/// # Errors
/// `BadRequest` if it can never be met.
pub fn need(name: &str, size: QuorumSize, homes: &[Home], site: &Site) -> Result<Need, Failure> {
    size.need(homes, site.ring.dc_of(site.id))
        .map_err(|QuorumTooLarge { asked, n }| {
            let place = if size.is_local() {
                " in the data centre that was asked"
            } else {
                ""
            };
            let text = format!(
                "{name}={} asks for {asked} answers, but the bucket has {n} copies{place}",
                size.as_text()
            );
            Failure::refused(Cause::BadRequest(text))
        })
}

/// Refuses at once if fewer nodes can be reached than a write needs: nothing is sent (RULINGS 16). Unless it is `strict`,
/// others stand in for homes that are away.
///
/// # Errors
/// `NotEnoughReplicas`.
pub fn reachable(plan: &Plan, need: &Need, strict: bool, site: &Site) -> Result<(), Failure> {
    let homes = &plan.homes[..];
    let mut tally = Tally::new(homes, need.clone());
    let away: SmallVec<[Home; 3]> = homes
        .iter()
        .filter(|home| !site.is_reachable(home.node))
        .copied()
        .collect();
    let mut reachable = (homes.len() - away.len()) as u8;
    away.iter().for_each(|home| tally.fail(home.node));
    if !strict && !away.is_empty() {
        for (stand_in, home) in take_stand_ins(&mut site.stand_ins(&plan.key), &away) {
            tally.add_stand_in(stand_in, home.dc);
            reachable += 1;
        }
    }
    match tally.verdict() {
        Verdict::Unreachable => Err(Failure::refused(Cause::NotEnoughReplicas {
            needed: need.count(),
            answered: reachable.min(need.count().saturating_sub(1)),
            n: homes.len() as u8,
        })),
        Verdict::Pending | Verdict::Reached => Ok(()),
    }
}

/// Refuses Redis updates and views where records are not registers.
///
/// # Errors
/// `WrongMode`.
pub fn lww_only(bucket: &Bucket, what: &str) -> Result<(), Failure> {
    match bucket.conflict {
        Conflict::Lww => Ok(()),
        Conflict::Siblings => Err(Failure::refused(Cause::WrongMode(format!(
            "{what} needs a last-writer-wins bucket; bucket '{}' keeps siblings: use GET, SET, DEL, TORC.GET and TORC.PUT",
            bucket.name
        )))),
    }
}

/// Ends an operation that has not begun.
pub fn fail<T>(meta: Meta, failure: Failure, site: &mut Site) -> Option<T> {
    site.finish(meta.origin, Outcome::Failed(failure));
    None
}

fn key_fits(bytes: &[u8], limit: usize) -> Result<(), Failure> {
    if bytes.len() > limit {
        return Err(Failure::refused(Cause::KeyTooLarge {
            limit: limit as u64,
            actual: bytes.len() as u64,
        }));
    }
    Ok(())
}
