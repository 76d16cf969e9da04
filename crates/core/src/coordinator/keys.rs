//! A walk over a bucket's keys in ring order: partitions with the same homes are read as one range, r homes at a time,
//! merged, then filtered. Pages are cut where the first home's answer ends (RULINGS 22).

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::bucket::Bucket;
use crate::causality::{LwwRecord, Payload, Record};
use crate::command::{self, KeysStart, KeysWant};
use crate::coordinator::found::found;
use crate::coordinator::list::weaker;
use crate::coordinator::merged::Merged;
use crate::coordinator::read_round::{ReadRound, RoundState};
use crate::coordinator::validate;
use crate::coordinator::{Event, Meta, Progress};
use crate::id::PartitionId;
use crate::key::RecordKey;
use crate::keyspace::KeyKind;
use crate::limits::{GATHER_BYTES_MAX, PAGE_BYTES_MAX, PAGE_ITEMS_MAX, RANGE_RECORDS_MAX};
use crate::message::ReadWant;
use crate::outcome::{Answered, Cause, Failure, KeyItem, KeysPage, Outcome};
use crate::quorum::{Home, Need};
use crate::ring::partition_of;
use crate::site::Site;
use crate::storage::Range;
use crate::time::{Hlc, Wall};

/// Ranges read for one page before it is answered as it is, empty or not: a page over a desert of tombstones must end.
const ROUNDS_PER_PAGE_MAX: u32 = 64;

/// True if a field of a Redis hash is to be seen, given the key's head (RULINGS 8).
#[must_use]
pub fn field_is_visible(field: &LwwRecord, head: Option<&LwwRecord>, cleared_at: Hlc, wall: Wall) -> bool {
    let under_head = head.is_none_or(|head| {
        let is_string = matches!(head.payload, Payload::Value(_)) && head.is_visible(wall, cleared_at);
        field.stamp.hlc > head.cleared_at && !head.is_expired(wall) && !is_string
    });
    under_head && field.is_visible(wall, cleared_at)
}

/// A walk in flight.
#[derive(Debug)]
pub struct Keys {
    meta: Meta,
    bucket: Arc<Bucket>,
    command: command::Keys,
    need: Need,
    round: ReadRound,
    rounds: u32,
    /// The first partition after the range being read; `None` at the end of the ring.
    window_end: Option<PartitionId>,
    /// The partition key being looked at, its head, and whether it was given already.
    group: Bytes,
    head: Option<Arc<LwwRecord>>,
    is_given: bool,
    items: Vec<KeyItem>,
    count: u64,
    bytes: usize,
    last_hash: u64,
    last_name: Bytes,
    /// The cursor stood inside a hash: its head is read again, and what the page before gave is passed over.
    skip_through: Bytes,
    wrapped: bool,
    answered: Option<Answered>,
}

impl Keys {
    /// Asks for the first range.
    pub fn start(meta: Meta, command: command::Keys, site: &mut Site) -> Option<Self> {
        match Self::prepare(meta, command, site) {
            Ok(mut walk) => {
                let state = walk.round.state(site);
                (walk.advance(state, site) == Progress::Continue).then_some(walk)
            }
            Err(failure) => validate::fail(meta, failure, site),
        }
    }

    /// An answer, a loss, or the deadline.
    pub fn on(&mut self, event: Event, site: &mut Site) -> Progress {
        let state = self.round.on(event, site);
        self.advance(state, site)
    }

    fn prepare(meta: Meta, command: command::Keys, site: &mut Site) -> Result<Self, Failure> {
        let bucket = validate::bucket(command.bucket, site)?;
        if let KeysWant::Records(limit) | KeysWant::Keys(limit) = command.want
            && (limit == 0 || limit > PAGE_ITEMS_MAX * 100)
        {
            return Err(Failure::refused(Cause::BadRequest(format!(
                "limit is {limit}; it can be 1 to {PAGE_ITEMS_MAX}"
            ))));
        }
        let mut wrapped = true;
        let mut skip_through = Bytes::new();
        let start = match (&command.want, &command.start) {
            (KeysWant::Random, _) => {
                wrapped = false;
                hash_start(site.random.next_u64(), &bucket, site)
            }
            (_, KeysStart::Beginning) => RecordKey::range_start(PartitionId(0), bucket.id),
            (_, KeysStart::After(name)) => {
                let (start, skip) = after_name(name, &bucket)?;
                skip_through = skip;
                start
            }
            (_, KeysStart::AboveHash(hash)) => match hash.checked_add(1) {
                Some(next) => hash_start(next, &bucket, site),
                None => RecordKey::range_start(PartitionId((site.ring.partitions() - 1) as u16), bucket.id),
            },
        };
        let (round, need, window_end) = window(meta, &bucket, &command, start, site)?;
        Ok(Self {
            meta,
            bucket,
            command,
            need,
            round,
            rounds: 1,
            window_end,
            group: Bytes::new(),
            head: None,
            is_given: false,
            items: Vec::new(),
            count: 0,
            bytes: 0,
            last_hash: 0,
            last_name: Bytes::new(),
            skip_through,
            wrapped,
            answered: None,
        })
    }

    fn advance(&mut self, mut state: RoundState, site: &mut Site) -> Progress {
        loop {
            match state {
                RoundState::Pending => return Progress::Continue,
                RoundState::Failed(cause) => return self.fail(cause, site),
                RoundState::Ready => {}
            }
            let merged = self.round.merged();
            self.round.repair(site);
            self.answered = weaker(self.answered, self.round.answered());
            if let Some(progress) = self.add(&merged, site) {
                return progress;
            }
            let next = match (&merged.complete_up_to, self.window_end) {
                (Some(next), _) => next.clone(),
                (None, Some(partition)) => RecordKey::range_start(partition, self.bucket.id),
                (None, None) if self.wrapped => return self.finish(None, 0, site),
                (None, None) => {
                    self.wrapped = true;
                    RecordKey::range_start(PartitionId(0), self.bucket.id)
                }
            };
            if let Some(progress) = self.rest(&next, site) {
                return progress;
            }
            self.rounds += 1;
            match window(self.meta, &self.bucket, &self.command, next, site) {
                Ok((round, need, window_end)) => {
                    self.round = round;
                    self.need = need;
                    self.window_end = window_end;
                }
                Err(failure) => {
                    site.finish(self.meta.origin, Outcome::Failed(failure));
                    return Progress::Done;
                }
            }
            state = self.round.state(site);
        }
    }

    /// Takes up a merged range; `Some` if the walk ends here.
    fn add(&mut self, merged: &Merged, site: &mut Site) -> Option<Progress> {
        let wall = site.expiry_wall();
        for (name, record) in &merged.records {
            if name.is_partition_head() || name.bucket() != self.bucket.id {
                continue;
            }
            if name.group() != &self.group[..] {
                if self.is_full() && name.hash64() != self.last_hash {
                    return Some(self.finish(Some(self.last_name.clone()), self.last_hash, site));
                }
                self.group = Bytes::copy_from_slice(name.group());
                self.head = None;
                self.is_given = false;
            }
            if let KeysWant::Records(limit) = self.command.want
                && self.items.len() >= limit as usize
            {
                return Some(self.finish(Some(self.last_name.clone()), self.last_hash, site));
            }
            self.take_up(name, record, merged.cleared_at(name), wall);
            if self.command.want == KeysWant::AllKeys && self.bytes > GATHER_BYTES_MAX {
                return Some(self.fail(
                    Cause::ResultTooLarge {
                        limit: GATHER_BYTES_MAX as u64,
                    },
                    site,
                ));
            }
            if self.command.want == KeysWant::Random && !self.items.is_empty() {
                return Some(self.finish(None, 0, site));
            }
        }
        None
    }

    fn take_up(&mut self, name: &RecordKey, record: &Arc<Record>, cleared_at: Hlc, wall: Wall) {
        self.last_name = name.to_bytes();
        self.last_hash = name.hash64();
        if name.sort_key().is_empty()
            && let Record::Lww(head) = &**record
        {
            self.head = Some(Arc::new(head.clone()));
        }
        let kind = match &**record {
            Record::Lww(field) if name.is_field() => {
                field_is_visible(field, self.head.as_deref(), cleared_at, wall).then_some(KeyKind::Hash)
            }
            Record::Lww(_) | Record::Siblings(_) => {
                let shown = found(Some(record), cleared_at, wall, Answered::default());
                (!shown.siblings.is_empty()).then_some(KeyKind::String)
            }
        };
        let Some(kind) = kind else { return };
        if self.last_name <= self.skip_through {
            return;
        }
        let sort = if let KeysWant::Records(_) = self.command.want {
            name.sort_key_bytes()
        } else {
            if self.is_given {
                return;
            }
            self.is_given = true;
            Bytes::new()
        };
        self.count += 1;
        if self.command.want != KeysWant::Count {
            let key = Bytes::copy_from_slice(&name.partition_key());
            self.bytes += key.len() + sort.len() + 64;
            self.items.push(KeyItem { key, sort, kind });
        }
    }

    fn is_full(&self) -> bool {
        match self.command.want {
            KeysWant::Keys(limit) => self.items.len() >= limit as usize || self.bytes >= PAGE_BYTES_MAX,
            KeysWant::Records(_) => self.bytes >= PAGE_BYTES_MAX,
            KeysWant::AllKeys | KeysWant::Count | KeysWant::Random => false,
        }
    }

    /// After many ranges a page is answered as it is. SCAN's cursor is a hash, so it can stop only between partitions or
    /// once the hash has moved on.
    fn rest(&mut self, next: &Bytes, site: &mut Site) -> Option<Progress> {
        if self.rounds < ROUNDS_PER_PAGE_MAX {
            return None;
        }
        match self.command.want {
            KeysWant::Records(_) if !self.last_name.is_empty() => {
                Some(self.finish(Some(self.last_name.clone()), self.last_hash, site))
            }
            KeysWant::Keys(_) => {
                let next_hash = RecordKey::from_bytes(next).map(|name| name.hash64())?;
                (next_hash > self.last_hash && self.last_hash > 0)
                    .then(|| self.finish(Some(self.last_name.clone()), self.last_hash, site))
            }
            KeysWant::Records(_) | KeysWant::AllKeys | KeysWant::Count | KeysWant::Random => None,
        }
    }

    fn finish(&mut self, next: Option<Bytes>, next_hash: u64, site: &mut Site) -> Progress {
        let outcome = if self.command.want == KeysWant::Count {
            Outcome::Count(self.count)
        } else {
            let items = std::mem::take(&mut self.items);
            Outcome::Keys(KeysPage {
                items,
                next,
                next_hash,
                answered: self.answered.unwrap_or_default(),
            })
        };
        site.finish(self.meta.origin, outcome);
        Progress::Done
    }

    fn fail(&mut self, cause: Cause, site: &mut Site) -> Progress {
        site.finish(self.meta.origin, Outcome::Failed(Failure::refused(cause)));
        Progress::Done
    }
}

fn hash_start(hash: u64, bucket: &Bucket, site: &Site) -> Bytes {
    let partition = partition_of(hash, site.ring.partitions());
    let mut name = RecordKey::range_start(partition, bucket.id).to_vec();
    name.extend_from_slice(&hash.to_be_bytes());
    Bytes::from(name)
}

/// The cursor of the page before, made into where to read from, and what to pass over there.
fn after_name(name: &Bytes, bucket: &Bucket) -> Result<(Bytes, Bytes), Failure> {
    match RecordKey::from_bytes(name) {
        Some(key) if key.bucket() == bucket.id && key.is_field() => {
            Ok((key.with_sort_key(&[]).to_bytes(), name.clone()))
        }
        Some(key) if key.bucket() == bucket.id => {
            let mut after = name.to_vec();
            after.push(0);
            Ok((Bytes::from(after), Bytes::new()))
        }
        Some(_) | None => Err(Failure::refused(Cause::BadRequest(
            "the cursor is not one that a page of this bucket gave; start without it".into(),
        ))),
    }
}

/// Starts the read of the partitions from `start` on that have the same homes.
fn window(
    meta: Meta,
    bucket: &Bucket,
    command: &command::Keys,
    start: Bytes,
    site: &mut Site,
) -> Result<(ReadRound, Need, Option<PartitionId>), Failure> {
    let first = PartitionId(u16::from_be_bytes([start[0], start[1]]));
    let homes = site.ring.homes(first, bucket.n);
    let end = end_of_same_homes(first, &homes, bucket.n, site);
    let size = command.options.read.unwrap_or(bucket.r);
    let need = validate::need("r", size, &homes, site)?;
    let records_max = match command.want {
        KeysWant::Random => 64,
        KeysWant::Records(limit) | KeysWant::Keys(limit) => limit.saturating_add(1).clamp(64, RANGE_RECORDS_MAX),
        KeysWant::AllKeys | KeysWant::Count => RANGE_RECORDS_MAX,
    };
    let range_end = end.map(|partition| RecordKey::range_start(partition, crate::id::BucketId(0)));
    let range = Range {
        bucket: bucket.id,
        start,
        end: range_end,
    };
    let want = ReadWant::Range {
        range,
        records_max,
        bytes_max: PAGE_BYTES_MAX as u32,
    };
    let round = ReadRound::start(meta, &homes, need.clone(), &want, command.options.strict, site);
    Ok((round, need, end))
}

fn end_of_same_homes(first: PartitionId, homes: &[Home], n: u8, site: &Site) -> Option<PartitionId> {
    let set = |homes: &[Home]| -> SmallVec<[u32; 8]> {
        let mut nodes: SmallVec<[u32; 8]> = homes.iter().map(|home| home.node.0).collect();
        nodes.sort_unstable();
        nodes
    };
    let wanted = set(homes);
    let partitions = site.ring.partitions();
    let same = |partition: &u32| set(&site.ring.homes(PartitionId(*partition as u16), n)) == wanted;
    let end = (u32::from(first.0) + 1..partitions).find(|partition| !same(partition))?;
    Some(PartitionId(end as u16))
}
