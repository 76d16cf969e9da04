//! Redis clients, one to a key: each does one thing at a time, so as long as it is told every outcome and no home has lost
//! anything, each reply must be exactly what one Redis server would give. After an outcome that nobody can tell, it goes
//! on with a new key. Sometimes one clears the whole bucket: then the other's key is gone as well, unless it was being
//! asked something at the same time.

use std::collections::BTreeMap;

use bytes::Bytes;
use torc_core::command::{Clear, Command, Options, Target, UpdateKey, ViewKey};
use torc_core::id::{BucketId, RequestId};
use torc_core::key::RecordKey;
use torc_core::keyspace::{ExpireIf, ExpiryChange, Update, Want};
use torc_core::outcome::{Cause, Certainty, Outcome};
use torc_core::time::Wall;

use crate::chance::Chance;
use crate::checkers::{Violation, bounds};
use crate::history::{Fate, Flush, History, answers_of};
use crate::redis_model::{Expected, FAR, FIELDS, Model, apply, view_of};
use crate::world::{Alarm, Event, World};

const CLIENTS: usize = 2;
const TIMEOUT_MS: u32 = 1_000;
const PATIENCE_US: u64 = 2_000_000;
/// A client that has lost track this often has seen enough.
const KEYS_MAX: u64 = 40;

#[derive(Debug)]
struct Busy {
    request: RequestId,
    host: usize,
    sent_us: u64,
    asked: String,
    expected: Expected,
    after: (Model, bool),
    /// Only that is known of the key, and that much for sure.
    is_cleared: bool,
    /// It clears the bucket: which one of the history's.
    flush: Option<usize>,
}

#[derive(Debug, Default)]
struct Client {
    wait: u64,
    key: u64,
    model: Model,
    expires: bool,
    busy: Option<Busy>,
    told: Vec<String>,
    /// It was being asked something while another client cleared the bucket.
    overlaps: bool,
    /// It was answered then what only that clear explains.
    doubt: Option<String>,
    /// The key is gone, whatever else befell the bucket: nothing was asked of it since a clear was acknowledged.
    is_cleared: bool,
}

/// See the module.
#[derive(Debug)]
pub struct RedisClients {
    clients: Vec<Client>,
    asked: BTreeMap<RequestId, usize>,
    bucket: BucketId,
    /// Only homes count. In some runs others may stand in, and nothing is expected of what is read.
    is_strict: bool,
    /// Quorums of homes that meet: only then each read sees the write before.
    is_quorate: bool,
    /// The same, as long as nobody can tell what became of a clear.
    is_exact: bool,
    /// Of each of those quorums.
    r: u8,
    w: u8,
    chance: Chance,
    flush_chance: Chance,
    until_us: u64,
}

impl RedisClients {
    /// Clients that begin soon and stop asking at `until_us`.
    #[must_use]
    pub fn new(world: &mut World, until_us: u64) -> Self {
        let bucket = world.scenario.buckets[1].clone();
        let n = world.ring.effective_n(bucket.n);
        let mut chance = Chance::new(world.scenario.seed, 6);
        for client in 0..CLIENTS {
            let at = 400_000 + chance.below(1_000_000);
            world.schedule(at, Event::Outside(Alarm::Redis(client, 0)));
        }
        let is_strict = !world.scenario.seed.is_multiple_of(4);
        let is_quorate = is_strict && answers_of(bucket.r, n) + answers_of(bucket.w, n) > n;
        Self {
            is_strict,
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            asked: BTreeMap::new(),
            bucket: bucket.id,
            is_quorate,
            is_exact: is_quorate,
            r: answers_of(bucket.r, n),
            w: answers_of(bucket.w, n),
            chance,
            flush_chance: Chance::new(world.scenario.seed, 12),
            until_us,
        }
    }

    /// True once nobody waits for anything.
    #[must_use]
    pub fn are_done(&self) -> bool {
        self.clients.iter().all(|client| client.busy.is_none())
    }

    /// A client's wait is over.
    pub fn on_alarm(
        &mut self,
        client: usize,
        wait: u64,
        history: &mut History,
        world: &mut World,
    ) -> Result<(), Violation> {
        if self.clients[client].wait != wait {
            return Ok(());
        }
        if let Some(busy) = self.clients[client].busy.take() {
            bounds::check_time(busy.host, busy.sent_us, u64::from(TIMEOUT_MS), world)?;
            self.asked.remove(&busy.request);
            self.on_silence(client, &busy, history, world);
            self.rest(client, world);
        } else if world.now_us < self.until_us && self.clients[client].key < KEYS_MAX {
            self.ask(client, history, world);
        }
        Ok(())
    }

    /// A node hung up.
    pub fn on_hung_up(&mut self, request: RequestId, history: &mut History, world: &mut World) {
        if let Some(client) = self.asked.remove(&request) {
            if let Some(busy) = self.clients[client].busy.take() {
                self.on_silence(client, &busy, history, world);
            }
            self.rest(client, world);
        }
    }

    /// Nobody can tell what became of what was asked.
    fn on_silence(&mut self, client: usize, busy: &Busy, history: &mut History, world: &World) {
        match busy.flush {
            Some(flush) => self.end_flush(client, flush, Fate::Unknown, history, world),
            None => self.start_over(client),
        }
    }

    /// A home lost something of a record.
    pub fn on_lost(&mut self, name: &RecordKey) {
        for client in 0..self.clients.len() {
            let is_its_own = name.partition_key() == self.key(client).as_bytes();
            if name.bucket() == self.bucket && (is_its_own || name.is_partition_head()) {
                self.start_over(client);
            }
        }
    }

    /// A node answered; `None` if the request is not one of these.
    pub fn on_reply(
        &mut self,
        request: RequestId,
        outcome: &Outcome,
        history: &mut History,
        world: &mut World,
    ) -> Option<Result<(), Violation>> {
        let client = self.asked.remove(&request)?;
        let busy = self.clients[client].busy.take()?;
        let judged =
            bounds::check_time(busy.host, busy.sent_us, u64::from(TIMEOUT_MS), world).and_then(|()| match busy.flush {
                Some(flush) => self.judge_flush(client, flush, outcome, history, world),
                None => self.judge(client, &busy, outcome),
            });
        self.rest(client, world);
        Some(judged)
    }

    fn judge(&mut self, client: usize, busy: &Busy, outcome: &Outcome) -> Result<(), Violation> {
        let got = match outcome {
            Outcome::Updated(reply, _) => Expected::Reply(reply.clone()),
            Outcome::View(view, _) => view_of(view),
            Outcome::Failed(failure) if failure.cause == Cause::WrongType => Expected::WrongType,
            Outcome::Failed(failure) => {
                if failure.certainty == Certainty::Unknown {
                    self.start_over(client);
                }
                return Ok(());
            }
            other => return Violation::new("redis", format!("{} was answered {other:?}", busy.asked)),
        };
        let this = &mut self.clients[client];
        this.told.push(format!("{} → {got:?}", busy.asked));
        let is_sure = self.is_quorate && busy.is_cleared;
        if (self.is_exact || is_sure) && got != busy.expected {
            let words = format!("expected {:?} of\n  {}", busy.expected, this.told.join("\n  "));
            if !this.overlaps || is_sure {
                return Violation::new("redis", words);
            }
            this.doubt.get_or_insert(words);
        }
        (this.model, this.expires) = busy.after.clone();
        Ok(())
    }

    fn judge_flush(
        &mut self,
        client: usize,
        flush: usize,
        outcome: &Outcome,
        history: &mut History,
        world: &World,
    ) -> Result<(), Violation> {
        let fate = match outcome {
            Outcome::Written(_) => Fate::Acknowledged,
            Outcome::Failed(failure) if failure.certainty == Certainty::NotApplied => Fate::NotApplied,
            Outcome::Failed(_) => Fate::Unknown,
            other => return Violation::new("redis", format!("a clear was answered {other:?}")),
        };
        self.end_flush(client, flush, fate, history, world);
        match self
            .clients
            .iter()
            .find(|client| !client.overlaps && client.doubt.is_some())
        {
            Some(client) if self.is_exact => Violation::new(
                "redis",
                format!("a clear was answered as not applied, and {:?}", client.doubt),
            ),
            Some(_) | None => Ok(()),
        }
    }

    fn end_flush(&mut self, client: usize, flush: usize, fate: Fate, history: &mut History, world: &World) {
        history.flushes[flush].fate = fate;
        history.flushes[flush].ended_us = world.now_us;
        match fate {
            Fate::Acknowledged => {
                for other in 0..self.clients.len() {
                    if self.clients[other].overlaps && other != client {
                        self.start_over(other);
                    } else {
                        let this = &mut self.clients[other];
                        this.told.push("the bucket is cleared".into());
                        (this.model, this.expires) = (Model::Absent, false);
                        this.is_cleared = true;
                    }
                }
            }
            Fate::NotApplied => {}
            // It may hide, at any time from now on, whatever is signed by a slower clock.
            Fate::Unknown | Fate::Pending => self.is_exact = false,
        }
        let is_flushing = |client: &Client| client.busy.as_ref().is_some_and(|busy| busy.flush.is_some());
        if !self.clients.iter().any(is_flushing) {
            self.clients.iter_mut().for_each(|client| client.overlaps = false);
        }
    }

    /// Nobody can tell what the key holds: the next one.
    fn start_over(&mut self, client: usize) {
        let this = &mut self.clients[client];
        this.key += 1;
        (this.model, this.expires) = (Model::Absent, false);
        this.told.clear();
        this.doubt = None;
        this.is_cleared = false;
        // What is under way concerns the old key, unless it clears them all.
        if let Some(busy) = this.busy.take_if(|busy| busy.flush.is_none()) {
            self.asked.remove(&busy.request);
        }
    }

    fn key(&self, client: usize) -> String {
        format!("r{client}-{}", self.clients[client].key)
    }

    fn rest(&mut self, client: usize, world: &mut World) {
        let at = world.now_us + 1 + self.chance.log_between(0, world.scenario.load.think_us_max);
        self.wait(client, at, world);
    }

    fn wait(&mut self, client: usize, at_us: u64, world: &mut World) {
        self.clients[client].wait += 1;
        let wait = self.clients[client].wait;
        world.schedule(at_us, Event::Outside(Alarm::Redis(client, wait)));
    }

    fn ask(&mut self, client: usize, history: &mut History, world: &mut World) {
        let clears = world.scenario.load.clears;
        if clears > 0 && self.flush_chance.percent(clears) {
            self.flush(client, history, world);
            return;
        }
        let host = self.chance.index(world.hosts.len());
        let has_jumps = world.scenario.faults.contains(&crate::scenario::FaultKind::ClockJump);
        let key = self.key(client);
        let target = Target {
            bucket: self.bucket,
            key: Bytes::from(key.clone().into_bytes()),
            sort: Bytes::new(),
        };
        let options = Options {
            timeout_ms: Some(TIMEOUT_MS),
            strict: self.is_strict,
            ..Options::default()
        };
        let (model, expires) = (self.clients[client].model.clone(), self.clients[client].expires);
        let (command, expected, after) = if self.chance.percent(30) {
            let want = Want::AllFields;
            let view = Expected::View(model.clone(), expires);
            (Command::View(ViewKey { target, want, options }), view, (model, expires))
        } else {
            let update = self.draw(has_jumps);
            let (expected, after) = apply(&update, &model, expires);
            (
                Command::Update(UpdateKey {
                    target,
                    update,
                    options,
                }),
                expected,
                after,
            )
        };
        let asked = match &command {
            Command::Update(update) => format!("{key} {:?}", update.update),
            _ => format!("{key} view"),
        };
        let sent_us = world.now_us;
        let Some(request) = world.request(host, command) else {
            self.rest(client, world);
            return;
        };
        let is_cleared = std::mem::take(&mut self.clients[client].is_cleared);
        self.begin(
            client,
            Busy {
                request,
                host,
                sent_us,
                asked,
                expected,
                after,
                is_cleared,
                flush: None,
            },
            world,
        );
    }

    /// Clears the bucket.
    fn flush(&mut self, client: usize, history: &mut History, world: &mut World) {
        let host = self.flush_chance.index(world.hosts.len());
        let options = Options {
            timeout_ms: Some(TIMEOUT_MS),
            strict: self.is_strict,
            ..Options::default()
        };
        let bucket = self.bucket;
        let sent_us = world.now_us;
        let Some(request) = world.request(host, Command::Clear(Clear { bucket, options })) else {
            self.rest(client, world);
            return;
        };
        let flush = history.flushes.len();
        history.flushes.push(Flush {
            started_us: sent_us,
            ended_us: sent_us,
            fate: Fate::Pending,
            r: self.r,
            w: self.w,
            is_strict: self.is_strict,
            is_void: false,
        });
        for other in (0..self.clients.len()).filter(|&other| other != client) {
            self.clients[other].overlaps |= self.clients[other].busy.is_some();
        }
        self.begin(
            client,
            Busy {
                request,
                host,
                sent_us,
                asked: String::new(),
                expected: Expected::WrongType,
                after: (Model::Absent, false),
                is_cleared: false,
                flush: Some(flush),
            },
            world,
        );
    }

    fn begin(&mut self, client: usize, busy: Busy, world: &mut World) {
        let flushes = |other: &(usize, &Client)| {
            other.0 != client && other.1.busy.as_ref().is_some_and(|busy| busy.flush.is_some())
        };
        let overlaps = self.clients.iter().enumerate().any(|other| flushes(&other));
        self.clients[client].overlaps |= overlaps;
        let give_up_us = busy.sent_us + u64::from(TIMEOUT_MS) * 1_000 + PATIENCE_US;
        self.asked.insert(busy.request, client);
        self.clients[client].busy = Some(busy);
        self.wait(client, give_up_us, world);
    }

    fn draw(&mut self, has_jumps: bool) -> Update {
        let bytes = |chance: &mut Chance| Bytes::from(format!("v{}", chance.below(1_000)));
        let field = |chance: &mut Chance| Bytes::from_static(FIELDS[chance.index(FIELDS.len())].as_bytes());
        match self.chance.below(100) {
            0..12 => Update::Set {
                value: bytes(&mut self.chance),
                expiry: ExpiryChange::Clear,
                return_old: self.chance.percent(40),
            },
            12..18 => Update::Set {
                value: bytes(&mut self.chance),
                expiry: ExpiryChange::At(FAR),
                return_old: false,
            },
            18..30 => Update::Append(bytes(&mut self.chance)),
            30..34 => Update::GetDel,
            34..40 => Update::Del,
            40..48 => {
                let is_past = !has_jumps && self.chance.percent(30);
                Update::Expire {
                    at: if is_past { Wall(1_000) } else { FAR },
                    condition: ExpireIf::Always,
                }
            }
            48..54 => Update::Persist,
            54..86 => {
                let count = self.chance.between(1, 2);
                let mut fields: Vec<(Bytes, Bytes)> = Vec::new();
                for _ in 0..count {
                    let name = field(&mut self.chance);
                    if fields.iter().all(|known| known.0 != name) {
                        fields.push((name, bytes(&mut self.chance)));
                    }
                }
                Update::HashSet(fields)
            }
            _ => Update::HashDel(vec![field(&mut self.chance)]),
        }
    }
}
