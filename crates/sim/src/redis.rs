//! Redis clients, one to a key: each does one thing at a time, so as long as it is told every outcome and no home has lost
//! anything, each reply must be exactly what one Redis server would give. After an outcome that nobody can tell, it goes
//! on with a new key.

use std::collections::BTreeMap;

use bytes::Bytes;
use torc_core::command::{Command, Options, Target, UpdateKey, ViewKey};
use torc_core::id::{BucketId, RequestId};
use torc_core::key::RecordKey;
use torc_core::keyspace::{ExpireIf, ExpiryChange, KeyView, Update, UpdateReply, Want};
use torc_core::outcome::{Cause, Certainty, Outcome};
use torc_core::time::Wall;

use crate::chance::Chance;
use crate::checkers::{Violation, bounds};
use crate::history::answers_of;
use crate::world::clock::EPOCH_MS;
use crate::world::{Alarm, Event, World};

const CLIENTS: usize = 2;
const TIMEOUT_MS: u32 = 1_000;
const PATIENCE_US: u64 = 2_000_000;
/// A client that has lost track this often has seen enough.
const KEYS_MAX: u64 = 40;
const FIELDS: [&str; 3] = ["f0", "f1", "f2"];
/// Decades away.
const FAR: Wall = Wall(EPOCH_MS + 1_000_000_000_000);

/// A key as one Redis server would hold it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
enum Model {
    #[default]
    Absent,
    Text(Vec<u8>),
    Hash(BTreeMap<&'static str, Vec<u8>>),
}

/// What a server would answer.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Expected {
    Reply(UpdateReply),
    WrongType,
    View(Model, bool),
}

#[derive(Debug)]
struct Busy {
    request: RequestId,
    host: usize,
    sent_us: u64,
    asked: String,
    expected: Expected,
    after: (Model, bool),
}

#[derive(Debug, Default)]
struct Client {
    wait: u64,
    key: u64,
    model: Model,
    expires: bool,
    busy: Option<Busy>,
    told: Vec<String>,
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
    is_exact: bool,
    chance: Chance,
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
        Self {
            is_strict,
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            asked: BTreeMap::new(),
            bucket: bucket.id,
            is_exact: is_strict && answers_of(bucket.r, n) + answers_of(bucket.w, n) > n,
            chance,
            until_us,
        }
    }

    /// True once nobody waits for anything.
    #[must_use]
    pub fn are_done(&self) -> bool {
        self.clients.iter().all(|client| client.busy.is_none())
    }

    /// A client's wait is over.
    pub fn on_alarm(&mut self, client: usize, wait: u64, world: &mut World) -> Result<(), Violation> {
        if self.clients[client].wait != wait {
            return Ok(());
        }
        if let Some(busy) = self.clients[client].busy.take() {
            bounds::check_time(busy.host, busy.sent_us, u64::from(TIMEOUT_MS), world)?;
            self.asked.remove(&busy.request);
            self.start_over(client);
            self.rest(client, world);
        } else if world.now_us < self.until_us && self.clients[client].key < KEYS_MAX {
            self.ask(client, world);
        }
        Ok(())
    }

    /// A node hung up.
    pub fn on_hung_up(&mut self, request: RequestId, world: &mut World) {
        if let Some(client) = self.asked.remove(&request) {
            self.clients[client].busy = None;
            self.start_over(client);
            self.rest(client, world);
        }
    }

    /// A home lost something of a record.
    pub fn on_lost(&mut self, name: &RecordKey) {
        for client in 0..self.clients.len() {
            if name.bucket() == self.bucket && name.partition_key() == self.key(client).as_bytes() {
                self.start_over(client);
            }
        }
    }

    /// A node answered; `None` if the request is not one of these.
    pub fn on_reply(
        &mut self,
        request: RequestId,
        outcome: &Outcome,
        world: &mut World,
    ) -> Option<Result<(), Violation>> {
        let client = self.asked.remove(&request)?;
        let busy = self.clients[client].busy.take()?;
        let judged = bounds::check_time(busy.host, busy.sent_us, u64::from(TIMEOUT_MS), world)
            .and_then(|()| self.judge(client, &busy, outcome));
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
        if self.is_exact && got != busy.expected {
            return Violation::new(
                "redis",
                format!("expected {:?} of\n  {}", busy.expected, this.told.join("\n  ")),
            );
        }
        (this.model, this.expires) = busy.after.clone();
        Ok(())
    }

    /// Nobody can tell what the key holds: the next one.
    fn start_over(&mut self, client: usize) {
        let this = &mut self.clients[client];
        this.key += 1;
        (this.model, this.expires) = (Model::Absent, false);
        this.told.clear();
        // What is under way concerns the old key.
        if let Some(busy) = &mut this.busy {
            self.asked.remove(&busy.request);
            this.busy = None;
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

    fn ask(&mut self, client: usize, world: &mut World) {
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
        self.asked.insert(request, client);
        self.clients[client].busy = Some(Busy {
            request,
            host,
            sent_us,
            asked,
            expected,
            after,
        });
        self.wait(client, sent_us + u64::from(TIMEOUT_MS) * 1_000 + PATIENCE_US, world);
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

fn view_of(view: &KeyView) -> Expected {
    match view {
        KeyView::Absent => Expected::View(Model::Absent, false),
        KeyView::String { value, expires_at } => Expected::View(Model::Text(value.to_vec()), expires_at.is_some()),
        KeyView::Hash { fields, expires_at } => {
            let known = |name: &Bytes| {
                FIELDS
                    .iter()
                    .copied()
                    .find(|field| field.as_bytes() == &name[..])
                    .unwrap_or("?")
            };
            let fields = fields
                .iter()
                .filter_map(|(name, value)| Some((known(name), value.as_ref()?.to_vec())));
            Expected::View(Model::Hash(fields.collect()), expires_at.is_some())
        }
    }
}

/// What one Redis server would do.
fn apply(update: &Update, model: &Model, expires: bool) -> (Expected, (Model, bool)) {
    let same = (model.clone(), expires);
    let number = |number: usize| Expected::Reply(UpdateReply::Integer(number as i64));
    let text = match model {
        Model::Absent => Some(Vec::new()),
        Model::Text(text) => Some(text.clone()),
        Model::Hash(_) => None,
    };
    let fields = match model {
        Model::Absent => Some(BTreeMap::new()),
        Model::Text(_) => None,
        Model::Hash(fields) => Some(fields.clone()),
    };
    let old = || match model {
        Model::Text(text) => Some(Bytes::from(text.clone())),
        Model::Absent | Model::Hash(_) => None,
    };
    let exists = *model != Model::Absent;
    match update {
        Update::Set {
            value,
            expiry,
            return_old,
        } => {
            if *return_old && matches!(model, Model::Hash(_)) {
                return (Expected::WrongType, same);
            }
            let reply = if *return_old {
                UpdateReply::Value(old())
            } else {
                UpdateReply::Done
            };
            let after = (Model::Text(value.to_vec()), matches!(expiry, ExpiryChange::At(_)));
            (Expected::Reply(reply), after)
        }
        Update::Append(data) => match text {
            Some(mut text) => {
                text.extend_from_slice(data);
                (number(text.len()), (Model::Text(text), expires))
            }
            None => (Expected::WrongType, same),
        },
        Update::GetDel => match text {
            Some(_) => (Expected::Reply(UpdateReply::Value(old())), (Model::Absent, false)),
            None => (Expected::WrongType, same),
        },
        Update::Del => (number(usize::from(exists)), (Model::Absent, false)),
        Update::Expire { at, .. } => match (exists, *at == FAR) {
            (false, _) => (number(0), same),
            (true, true) => (number(1), (model.clone(), true)),
            (true, false) => (number(1), (Model::Absent, false)),
        },
        Update::Persist => (number(usize::from(exists && expires)), (model.clone(), false)),
        Update::HashSet(new) => match fields {
            Some(mut fields) => {
                let mut added = 0;
                for (name, value) in new {
                    let name = FIELDS
                        .iter()
                        .copied()
                        .find(|field| field.as_bytes() == &name[..])
                        .expect("drawn from these");
                    added += usize::from(fields.insert(name, value.to_vec()).is_none());
                }
                (number(added), (Model::Hash(fields), expires))
            }
            None => (Expected::WrongType, same),
        },
        Update::HashDel(gone) => match fields {
            Some(mut fields) => {
                let before = fields.len();
                fields.retain(|field, _| gone.iter().all(|name| field.as_bytes() != &name[..]));
                let reply = number(before - fields.len());
                if fields.is_empty() {
                    (reply, (Model::Absent, false))
                } else {
                    (reply, (Model::Hash(fields), expires))
                }
            }
            None => (Expected::WrongType, same),
        },
        Update::SetRange { .. } | Update::GetEx(_) => unreachable!("not drawn"),
    }
}
