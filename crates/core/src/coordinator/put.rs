//! A put or delete at a home of its key (or a node that stands in for one): sign the new version here, send the whole record
//! to the other homes while the local commit syncs, answer when w homes hold it durably.
//!
//! ```text
//! (reads first: request ids, Redis SET on siblings) ─▶ signing ─▶ spreading ─w durable─▶ answered
//!                                                        ▲  outbid (lww) │
//!                                                        └───────────────┘
//! ```

use std::sync::Arc;

use twox_hash::XxHash3_64;

use crate::bucket::{Bucket, Conflict};
use crate::causality::{ClientContext, Payload, Record};
use crate::change::{Change, Changed, Put as SignedPut, PutKind, Signed};
use crate::command::{self, Command, PutAction, PutContext, Ttl};
use crate::coordinator::read_round::{ReadRound, RoundState};
use crate::coordinator::spread::{Signer, Spread, SpreadState};
use crate::coordinator::validate::{self, Plan};
use crate::coordinator::{Event, Meta, Place, Progress};
use crate::id::{ClientRequestId, NodeId};
use crate::key::RecordKey;
use crate::limits::{CONTENT_TYPE_BYTES_MAX, REMINTS_MAX};
use crate::message::{ReadWant, Space, WriteResult};
use crate::mutants::{Mutant, active};
use crate::outcome::{Cause, Certainty, Failure, Outcome, Written};
use crate::quorum::{Home, Need};
use crate::ring::{partition_of, placement_hash};
use crate::site::Site;
use crate::time::{Hlc, Wall};

/// A put in flight.
#[derive(Debug)]
pub struct Put {
    meta: Meta,
    plan: Plan,
    need: Need,
    command: command::Put,
    /// This node is no home of the key: it signs in the place of this one.
    stands_in_for: Option<NodeId>,
    body: u64,
    expires_at: Option<Wall>,
    base: Option<Arc<Record>>,
    floor: Hlc,
    /// Counts what was signed: 1, and one more each time it was outbid.
    attempt: u16,
    signed: Signed,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Reading(Box<ReadRound>),
    Signing,
    Spreading(Spread),
}

impl Put {
    /// Checks, then reads first if the put needs it, else signs.
    pub fn start(meta: Meta, command: command::Put, place: Place, site: &mut Site) -> Option<Self> {
        match Self::prepare(meta, command, place, site) {
            Ok(mut put) => {
                let progress = if put.reads_first() {
                    put.read(site)
                } else {
                    put.sign(site)
                };
                (progress == Progress::Continue).then_some(put)
            }
            Err(failure) => validate::fail(meta, failure, site),
        }
    }

    /// An answer, a loss, or the deadline.
    pub fn on(&mut self, event: Event, site: &mut Site) -> Progress {
        match (&mut self.stage, event) {
            (Stage::Reading(round), event) => {
                let state = round.on(event, site);
                self.on_read(state, site)
            }
            (Stage::Signing, Event::Changed(changes)) => self.on_signed(changes, site),
            (Stage::Signing, Event::Deadline) => {
                // The local replica may still sign it.
                let cause = Cause::Deadline {
                    needed: self.need.count(),
                    answered: 0,
                    n: self.plan.homes.len() as u8,
                };
                self.finish(
                    Outcome::Failed(Failure {
                        cause,
                        certainty: Certainty::Unknown,
                    }),
                    site,
                )
            }
            (Stage::Signing, Event::Wrote(from, attempt, result)) if from == site.id && attempt == self.attempt => {
                self.refused_locally(&result, site)
            }
            (Stage::Signing, _) => Progress::Continue,
            (Stage::Spreading(spread), event) => {
                let state = spread.on(event, site);
                self.on_spread(state, site)
            }
        }
    }

    fn prepare(meta: Meta, mut command: command::Put, place: Place, site: &mut Site) -> Result<Self, Failure> {
        let plan = plan_of(&command, site)?;
        check(&command, &plan.bucket)?;
        let need = plan.write_need(&command.options, site)?;
        validate::reachable(&plan, &need, command.options.strict, site)?;
        let stands_in_for = match place {
            Place::StandIn => home_to_stand_in_for(&plan.homes, site),
            Place::Here | Place::Anywhere => None,
        };
        // Fixed here and in what another home is handed: what is signed there ends at the same moment, and a repeat of a
        // request id is told by what was asked for.
        let expires_at = match &mut command.action {
            PutAction::Value(_, ttl) => {
                *ttl = ttl.fixed(plan.bucket.ttl_seconds, site.now.wall);
                ttl.moment()
            }
            PutAction::Delete | PutAction::ClearPartition => None,
        };
        let floor = match &command.context {
            PutContext::Seen(ClientContext::Clock(hlc)) => *hlc,
            PutContext::Seen(ClientContext::Dots(_)) | PutContext::Blind | PutContext::ReadFirst => Hlc::ZERO,
        };
        let body = body_hash(&command);
        let stage = Stage::Signing;
        let (base, attempt, signed) = (None, 0, Signed::Nothing);
        Ok(Self {
            meta,
            plan,
            need,
            command,
            stands_in_for,
            body,
            expires_at,
            base,
            floor,
            attempt,
            signed,
            stage,
        })
    }

    /// A client request id may have been answered by another home; Redis SET on siblings replaces what a quorum holds; what
    /// clears a partition must be above all that a quorum holds there.
    fn reads_first(&self) -> bool {
        self.command.request.is_some() || self.is_read_first() || self.is_clear()
    }

    fn is_read_first(&self) -> bool {
        self.command.context == PutContext::ReadFirst
    }

    fn is_clear(&self) -> bool {
        self.command.action == PutAction::ClearPartition
    }

    fn read(&mut self, site: &mut Site) -> Progress {
        let n = self.plan.homes.len() as u8;
        // A request may be repeated in another data centre, where fewer count.
        let w = match self.command.options.write.unwrap_or(self.plan.bucket.w) {
            size if size.is_local() => 1,
            _ => self.need.count(),
        };
        let overlap = (n + 1).saturating_sub(w).max(1);
        let need = match self.plan.read_need(&self.command.options, site) {
            Ok(need) if self.command.request.is_none() => need,
            // As many as meet any w homes, or all that can be reached: a first put must not fail for want of a lookup.
            Ok(need) => {
                let homes = self.plan.homes.iter();
                let reachable = homes.filter(|home| site.is_reachable(home.node)).count() as u8;
                let lookup = overlap.min(reachable);
                // What it replaces it must find all the same.
                if self.is_read_first() && need.count() >= lookup {
                    need
                } else {
                    Need::Any(lookup)
                }
            }
            Err(failure) => return self.finish(Outcome::Failed(failure), site),
        };
        let want = ReadWant::Records(vec![self.plan.key.clone()]);
        // A lookup alone needs no homes: what it finds of a request it answers once that is spread again.
        let strict = self.command.options.strict && (self.is_clear() || self.is_read_first());
        let round = ReadRound::start(self.meta, &self.plan.homes, need, &want, strict, site);
        self.stage = Stage::Reading(Box::new(round));
        let Stage::Reading(round) = &mut self.stage else {
            return Progress::Continue;
        };
        let state = round.state(site);
        self.on_read(state, site)
    }

    fn on_read(&mut self, state: RoundState, site: &mut Site) -> Progress {
        let Stage::Reading(round) = &self.stage else {
            return Progress::Continue;
        };
        match state {
            RoundState::Pending => Progress::Continue,
            RoundState::Failed(cause) => self.fail(cause, site),
            // No home can say whether the request was answered before: whoever keeps something for them is waited for.
            RoundState::Ready if self.stands_in_for.is_some() && !round.is_complete() => Progress::Continue,
            RoundState::Ready => {
                let merged = round.merged();
                self.base = merged.record(&self.plan.key).cloned();
                self.floor = self.floor.max(merged.cleared_at(&self.plan.key)).max(merged.highest);
                self.sign(site)
            }
        }
    }

    fn sign(&mut self, site: &mut Site) -> Progress {
        self.stage = Stage::Signing;
        self.attempt += 1;
        let payload = match &self.command.action {
            PutAction::Value(value, _) => Payload::Value(value.clone()),
            PutAction::Delete | PutAction::ClearPartition => Payload::Tombstone,
        };
        let kind = match (&self.command.action, self.plan.bucket.conflict) {
            (PutAction::ClearPartition, _) => PutKind::ClearPartition { floor: self.floor },
            (_, Conflict::Lww) => PutKind::Lww {
                floor: self.floor,
                is_head: self.command.target.sort.is_empty(),
            },
            (_, Conflict::Siblings) => PutKind::Siblings {
                context: match &self.command.context {
                    PutContext::ReadFirst => None,
                    context => Some(context.dots().cloned().unwrap_or_default()),
                },
                siblings_max: self.plan.bucket.siblings_max,
            },
        };
        let request = self.command.request.clone().map(|id| (id, self.body));
        let put = SignedPut {
            base: self.base.clone(),
            payload,
            expires_at: self.expires_at,
            kind,
            request,
        };
        let (id, attempt, key) = (self.meta.id, self.attempt, self.plan.key.clone());
        match self.stands_in_for {
            Some(home) => site.ask_signature_for(home, id, attempt, key, Box::new(put)),
            None => site.ask_change(id, attempt, vec![(key, Change::Put(Box::new(put)))], self.space()),
        }
        Progress::Continue
    }

    fn on_signed(&mut self, changes: Vec<(RecordKey, Changed)>, site: &mut Site) -> Progress {
        let Some((key, changed)) = changes.into_iter().next() else {
            return Progress::Continue;
        };
        let (record, signed) = match changed {
            Changed::New { record, signed } => (record, signed),
            Changed::Unchanged {
                record: Some(record),
                signed,
            } => (record, signed),
            Changed::Unchanged { record: None, .. } | Changed::Removed => {
                return self.refused_locally(&WriteResult::Failed, site);
            }
            Changed::Refused(failure) => return self.fail(failure.cause, site),
            Changed::Unreadable => return self.hand_over(site),
        };
        self.signed = signed;
        let record = self.as_sent(record);
        let spread = Spread::start(
            self.meta,
            self.attempt,
            &self.plan.homes,
            self.need.clone(),
            match self.stands_in_for {
                Some(home) => Signer::StandIn(home),
                None => Signer::Home {
                    strict: self.command.options.strict,
                },
            },
            self.space(),
            vec![(key, record)],
            site,
        );
        let state = spread.state();
        self.stage = Stage::Spreading(spread);
        self.on_spread(state, site)
    }

    fn on_spread(&mut self, state: SpreadState, site: &mut Site) -> Progress {
        let Stage::Spreading(spread) = &mut self.stage else {
            return Progress::Continue;
        };
        match state {
            SpreadState::Pending => Progress::Continue,
            SpreadState::Reached => {
                let answered = spread.answered();
                let written = Written {
                    context: self.context(),
                    answered,
                };
                self.finish(Outcome::Written(written), site)
            }
            SpreadState::Outbid(stamp) if self.attempt <= REMINTS_MAX && self.command.request.is_none() => {
                self.floor = self.floor.max(stamp.hlc);
                site.stats.remints += 1;
                self.sign(site)
            }
            // Others write faster than this put can pass them: it is one of several concurrent writes, and it lost.
            SpreadState::Outbid(_) => {
                let state = spread.yield_to_winner();
                self.on_spread(state, site)
            }
            SpreadState::Failed(failure) => self.finish(Outcome::Failed(failure), site),
        }
    }

    fn space(&self) -> Space {
        Space::of_write(self.command.action.frees_space())
    }

    /// What the client has seen plus its own dot, and nothing of what it has not (RULINGS 1).
    fn context(&self) -> ClientContext {
        match (&self.signed, self.plan.bucket.conflict) {
            (Signed::Nothing, Conflict::Siblings) => ClientContext::Dots(crate::causality::Context::new()),
            (signed, _) => signed.client_context(),
        }
    }

    /// The whole record; the mutant sends the new version alone.
    fn as_sent(&self, record: Arc<Record>) -> Arc<Record> {
        if active(Mutant::OnlyNewVersionSent)
            && let (Record::Siblings(whole), Signed::Dot(dot, _)) = (&*record, &self.signed)
        {
            let mut alone = whole.clone();
            alone.siblings.retain(|sibling| sibling.0 == *dot);
            return Arc::new(Record::Siblings(alone));
        }
        record
    }

    /// This node's copy can't be read, and so nothing was signed on it: another home has one that can (RULINGS 15).
    fn hand_over(&mut self, site: &mut Site) -> Progress {
        let command = Command::Put(self.command.clone());
        let is_first = self.attempt == 1;
        if is_first && site.hand_over(self.meta.origin, command, self.meta.deadline) {
            return Progress::Done;
        }
        self.fail(unreadable().cause, site)
    }

    /// The local store refused: nothing was signed.
    fn refused_locally(&mut self, result: &WriteResult, site: &mut Site) -> Progress {
        match result {
            WriteResult::Done { .. } => Progress::Continue,
            WriteResult::DiskFull => self.fail(Cause::DiskFull, site),
            WriteResult::Failed => self.fail(Cause::Unavailable("this node's store is out of service".into()), site),
        }
    }

    fn fail(&mut self, cause: Cause, site: &mut Site) -> Progress {
        // What was signed before it was outbid is on its way.
        let certainty = if self.attempt > 1 {
            Certainty::Unknown
        } else {
            Certainty::NotApplied
        };
        self.finish(Outcome::Failed(Failure { cause, certainty }), site)
    }

    fn finish(&mut self, outcome: Outcome, site: &mut Site) -> Progress {
        site.finish(self.meta.origin, outcome);
        Progress::Done
    }
}

/// The home in whose place a stand-in signs: the first that is away, of this node's data centre if one is.
fn home_to_stand_in_for(homes: &[Home], site: &Site) -> Option<NodeId> {
    let own = site.ring.dc_of(site.id);
    let mut away = homes.iter().filter(|home| !site.is_reachable(home.node));
    let near = away.clone().find(|home| home.dc == own);
    near.or_else(|| away.next()).or(homes.first()).map(|home| home.node)
}

/// True if a node that stands in for a home may sign the command. A read-modify-write needs the homes that it reads, and
/// `strict` counts homes alone.
#[must_use]
pub fn may_be_signed_by_stand_in(command: &Command) -> bool {
    matches!(command, Command::Put(put) if !put.options.strict && put.action != PutAction::ClearPartition)
}

/// The homes of a put's key, if it has any: where it may run. Cheaper than a plan, which follows where it does run.
#[must_use]
pub fn homes_of<'a>(command: &command::Put, site: &'a Site) -> Option<&'a [Home]> {
    let bucket = site.catalog.bucket(command.target.bucket)?;
    let partition = if command.action == PutAction::ClearPartition {
        plan_of(command, site).ok()?.key.partition()
    } else {
        partition_of(
            placement_hash(&bucket.name, &command.target.key),
            site.ring.partitions(),
        )
    };
    Some(site.ring.home_slice(partition, bucket.n))
}

/// Checks a put's target, which for a partition head is the partition's number.
///
/// # Errors
/// As `validate::plan`.
pub fn plan_of(command: &command::Put, site: &Site) -> Result<Plan, Failure> {
    if command.action != PutAction::ClearPartition {
        return validate::plan(&command.target, site);
    }
    let bucket = validate::bucket(command.target.bucket, site)?;
    let Ok(number) = <[u8; 2]>::try_from(&command.target.key[..]) else {
        return Err(Failure::refused(Cause::BadRequest(
            "a partition is named by two bytes".into(),
        )));
    };
    let partition = crate::id::PartitionId(u16::from_be_bytes(number));
    if u32::from(partition.0) >= site.ring.partitions() {
        return Err(Failure::refused(Cause::BadRequest(format!(
            "there is no partition {}",
            partition.0
        ))));
    }
    let homes = site.ring.homes(partition, bucket.n);
    Ok(Plan {
        key: RecordKey::partition_head(partition, bucket.id),
        bucket,
        homes,
    })
}

/// Checks what a put writes.
///
/// # Errors
/// `ValueTooLarge`, `BadRequest`, or `BadContext` for a context of the other kind of bucket.
pub fn check(command: &command::Put, bucket: &Bucket) -> Result<(), Failure> {
    if let PutAction::Value(value, _) = &command.action {
        let limit = u64::from(bucket.value_bytes_max);
        let actual = value.data.len() as u64;
        if actual > limit {
            return Err(Failure::refused(Cause::ValueTooLarge { limit, actual }));
        }
        if value.content_type.len() > CONTENT_TYPE_BYTES_MAX {
            let text = format!("the content type is longer than {CONTENT_TYPE_BYTES_MAX} bytes");
            return Err(Failure::refused(Cause::BadRequest(text)));
        }
    }
    match (&command.context, bucket.conflict) {
        (PutContext::Seen(ClientContext::Dots(_)), Conflict::Lww) => Err(Failure::refused(Cause::BadContext(
            "the context is of a bucket that keeps siblings; this bucket is last-writer-wins".into(),
        ))),
        (PutContext::Seen(ClientContext::Clock(_)), Conflict::Siblings) => Err(Failure::refused(Cause::BadContext(
            "the context is of a last-writer-wins bucket; this bucket keeps siblings".into(),
        ))),
        (PutContext::Seen(_) | PutContext::Blind | PutContext::ReadFirst, _) => Ok(()),
    }
}

/// What a repeated request id must repeat: the action, the value, the context, and the expiry as it was asked for: a time
/// to live that is counted from now ends later when it is asked for again, and is the same. The command's is fixed.
fn body_hash(command: &command::Put) -> u64 {
    if command.request.is_none() {
        return 0;
    }
    let mut bytes = Vec::new();
    match &command.action {
        PutAction::Value(value, ttl) => {
            bytes.push(1);
            for part in [&value.content_type, &value.data] {
                bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
                bytes.extend_from_slice(part);
            }
            let (code, ms) = match *ttl {
                Ttl::At(at) => (2, at.0),
                Ttl::AfterMs(ms) | Ttl::Counted { after_ms: ms, .. } => (1, ms),
                Ttl::BucketDefault | Ttl::Never => (0, 0),
            };
            bytes.push(code);
            bytes.extend_from_slice(&ms.to_le_bytes());
        }
        PutAction::Delete => bytes.push(2),
        PutAction::ClearPartition => bytes.push(3),
    }
    match &command.context {
        PutContext::Seen(ClientContext::Dots(context)) => {
            // Or an entry of the one part could be one of the other.
            bytes.extend_from_slice(&(context.vector().len() as u32).to_le_bytes());
            let singles = context.dots().iter().map(|dot| (dot.actor, dot.counter));
            for (actor, counter) in context.vector().iter().copied().chain(singles) {
                for number in [actor.life.0, actor.birth, counter] {
                    bytes.extend_from_slice(&number.to_le_bytes());
                }
            }
        }
        PutContext::Seen(ClientContext::Clock(hlc)) => bytes.extend_from_slice(&hlc.0.to_le_bytes()),
        PutContext::Blind => bytes.push(1),
        PutContext::ReadFirst => bytes.push(2),
    }
    XxHash3_64::oneshot(&bytes)
}

/// The only copy of what a write is to change is damaged, or nothing better is known.
pub fn unreadable() -> Failure {
    let text = "this node's copy of the record can't be read; another home must run the write";
    Failure::refused(Cause::Unavailable(text.into()))
}

/// True if a retry of this put at another home can be told from a second put.
#[must_use]
pub fn is_idempotent(request: Option<&ClientRequestId>) -> bool {
    request.is_some() || active(Mutant::ForwardMintedTwice)
}
