//! Reads of what only this node holds, answered inside the call from records that are at hand: no operation, no message,
//! no quorum of one (RULINGS 43). Whatever is not plain (other homes, a commit under way, a record that must be fetched, a
//! command that is at fault) is left to the operation, which answers the same.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::bucket::{Bucket, Conflict, Mode};
use crate::causality::{Record, Value};
use crate::command::{Command, Get, Options, Target, ViewKey};
use crate::coordinator::found::{Shown, found, shown};
use crate::coordinator::put_alone::ALONE;
use crate::id::BucketId;
use crate::key::RecordKey;
use crate::keyspace::{Gathered, Want, records_wanted, view};
use crate::limits::{GATHER_BYTES_MAX, PARTITION_KEY_BYTES_MAX, SORT_KEY_BYTES_MAX};
use crate::message::ReadWant;
use crate::node::Node;
use crate::outcome::Outcome;
use crate::quorum::QuorumSize;
use crate::replica::Replica;
use crate::site::Site;
use crate::storage::AtHand;
use crate::time::Now;

impl Node {
    /// Answers a read that takes no step: this node alone holds what it asks for, and `storage` has it at hand. `None`: make
    /// it an `Input::Request`, whose outcome is the same.
    pub fn answer_now(&mut self, now: Now, command: &Command, storage: &mut impl AtHand) -> Option<Outcome> {
        // A clock that jumped is judged by a step, before anything expires by it.
        if self.site.has_jumped(now) {
            return None;
        }
        self.site.now = now;
        let outcome = match command {
            Command::Get(command) => get(command, &self.replica, &self.site, storage),
            Command::View(command) => fields(command, &self.replica, &self.site, storage),
            Command::Put(_)
            | Command::Update(_)
            | Command::List(_)
            | Command::Keys(_)
            | Command::Clear(_)
            | Command::Batch(_)
            | Command::Inspect(_)
            | Command::Import(_) => None,
        }?;
        self.site.stats.requests += 1;
        Some(outcome)
    }

    /// The value of a string without a copy of it, as [`Self::answer_now`] would find it: `Some(None)` if there is none.
    pub fn string_now<'a>(
        &mut self,
        now: Now,
        bucket: BucketId,
        key: &[u8],
        options: &Options,
        storage: &'a mut impl AtHand,
    ) -> Option<Option<&'a Value>> {
        if self.site.has_jumped(now) {
            return None;
        }
        self.site.now = now;
        let value = string(bucket, key, options, &self.replica, &self.site, storage)?;
        self.site.stats.requests += 1;
        Some(value)
    }
}

/// The value of a string, borrowed from where it lies: `Some(None)` if there is none, `None`: it takes a get.
fn string<'a>(
    bucket: BucketId,
    key: &[u8],
    options: &Options,
    replica: &Replica,
    site: &Site,
    storage: &'a mut impl AtHand,
) -> Option<Option<&'a Value>> {
    let (bucket, key) = alone(bucket, key, &[], options.read, |bucket| bucket.r, site)?;
    match replica.at_hand(&key, bucket, site, storage)?.map(AsRef::as_ref) {
        None => Some(None),
        Some(Record::Lww(record)) => match shown(record, replica.cleared_at(&key), site.expiry_wall()) {
            Shown::Nothing => Some(None),
            Shown::Value(value) => Some(Some(value)),
            Shown::HashHead => None,
        },
        Some(Record::Siblings(_)) => None,
    }
}

/// Answers a get; `None`: it takes an operation.
fn get(command: &Get, replica: &Replica, site: &Site, storage: &mut impl AtHand) -> Option<Outcome> {
    let (bucket, key) = alone_at(&command.target, command.options.read, |bucket| bucket.r, site)?;
    let record = replica.at_hand(&key, bucket, site, storage)?;
    let cleared_at = replica.cleared_at(&key);
    let found = found(record.map(AsRef::as_ref), cleared_at, site.expiry_wall(), ALONE);
    Some(Outcome::Found(Box::new(found)))
}

/// Answers a view of named fields; `None`: it takes an operation.
fn fields(command: &ViewKey, replica: &Replica, site: &Site, storage: &mut impl AtHand) -> Option<Outcome> {
    let Want::Fields(_) = &command.want else { return None };
    let (bucket, head) = alone_at(&command.target, command.options.read, |bucket| bucket.r, site)?;
    if bucket.conflict != Conflict::Lww {
        return None;
    }
    let ReadWant::Records(keys) = records_wanted(&head, &command.want) else {
        return None;
    };
    let mut gathered = Gathered {
        partition_cleared_at: replica.cleared_at(&head),
        ..Gathered::default()
    };
    let mut records: SmallVec<[_; 4]> = SmallVec::new();
    let mut bytes = 0;
    for key in &keys {
        let record = replica.at_hand(key, bucket, site, storage)?.cloned();
        bytes += record.as_ref().map_or(0, |record| record.weight());
        records.push(record);
    }
    // Too much to gather is refused, and a refusal is left to the operation.
    if bytes > GATHER_BYTES_MAX {
        return None;
    }
    for (key, record) in keys.iter().zip(records) {
        if let Some(record) = record {
            gathered.absorb(key, &record);
        }
    }
    let seen = view(&gathered, &command.want, site.expiry_wall());
    Some(Outcome::View(Box::new(seen), ALONE))
}

/// As [`alone`], of a target.
pub(super) fn alone_at<'a>(
    target: &Target,
    asked: Option<QuorumSize>,
    of_bucket: fn(&Bucket) -> QuorumSize,
    site: &'a Site,
) -> Option<(&'a Arc<Bucket>, RecordKey)> {
    alone(target.bucket, &target.key, &target.sort, asked, of_bucket, site)
}

/// The bucket and name of a target whose one home is this node and whose quorum it meets by itself.
fn alone<'a>(
    bucket: BucketId,
    key: &[u8],
    sort: &[u8],
    asked: Option<QuorumSize>,
    of_bucket: fn(&Bucket) -> QuorumSize,
    site: &'a Site,
) -> Option<(&'a Arc<Bucket>, RecordKey)> {
    let bucket = site.catalog.bucket(bucket)?;
    let is_legal = bucket.mode == Mode::Available
        && (1..=PARTITION_KEY_BYTES_MAX).contains(&key.len())
        && sort.len() <= SORT_KEY_BYTES_MAX;
    if !is_legal || site.ring.effective_n(bucket.n) != 1 {
        return None;
    }
    let key = site.record_key(bucket, key, sort);
    let homes = site.ring.home_slice(key.partition(), bucket.n);
    let [home] = homes else { return None };
    let size = asked.unwrap_or_else(|| of_bucket(bucket));
    let is_met = home.node == site.id
        && size
            .need(homes, site.ring.dc_of(site.id))
            .is_ok_and(|need| need.count() == 1);
    is_met.then_some((bucket, key))
}
