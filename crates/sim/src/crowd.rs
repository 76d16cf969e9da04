//! Many Redis clients that update one key at the same moment: whoever takes turns there, and whoever shares a turn, the replies
//! must be those of one server that did them one after another, and what was acknowledged must be there afterwards.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use torc_core::command::{Command, Options, Target, UpdateKey, ViewKey};
use torc_core::id::{ActorId, BucketId, RequestId};
use torc_core::key::RecordKey;
use torc_core::keyspace::{KeyView, Update, UpdateReply, Want};
use torc_core::outcome::{Certainty, Outcome};

use crate::chance::Chance;
use crate::checkers::{Violation, bounds};
use crate::history::answers_of;
use crate::world::disk::Changed;
use crate::world::{Alarm, Event, World};

/// Some wait less than the one that they go along with, some more.
const TIMEOUTS_MS: [u32; 4] = [400, 1_000, 1_500, 3_000];
const PATIENCE_US: u64 = 2_000_000;
const REST_US_MAX: u64 = 2_000_000;
/// Bytes of what one appends: so the length that it is answered says where it stands.
const TOKEN_BYTES: usize = 6;
/// A field that all of them write.
const HOT: &str = "hot";

/// What all of a crowd do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doing {
    /// Each appends a token of its own.
    Append,
    /// Each sets a field of its own, and one that all set.
    Set,
    /// Each deletes the field that all have set.
    Delete,
}

/// What became of one's update.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Number(i64),
    NotApplied,
    Unknown,
}

#[derive(Clone, Debug)]
struct Ask {
    host: usize,
    sent_us: u64,
    timeout_ms: u32,
    token: String,
    told: Option<Told>,
}

/// See the module.
#[derive(Debug)]
pub struct Crowd {
    is_there: bool,
    bucket: BucketId,
    chance: Chance,
    until_us: u64,
    turn: u64,
    key: u64,
    tokens: u64,
    doing: Doing,
    asks: Vec<Ask>,
    pending: BTreeMap<RequestId, usize>,
    look: Option<RequestId>,
    /// Who has signed what was applied to the key since they asked.
    signers: BTreeSet<ActorId>,
    /// What the key held before.
    text: String,
    fields: BTreeSet<String>,
}

impl Crowd {
    /// A crowd that begins soon and stops asking at `until_us`. It is there in three of ten runs, if each read of the bucket meets each
    /// write and nobody clears it.
    #[must_use]
    pub fn new(world: &mut World, until_us: u64) -> Self {
        let bucket = world.scenario.buckets[1].clone();
        let n = world.ring.effective_n(bucket.n);
        let is_quorate = answers_of(bucket.r, n) + answers_of(bucket.w, n) > n;
        let is_chosen = matches!(world.scenario.seed % 10, 1 | 4 | 5);
        let is_there = is_chosen && is_quorate && world.scenario.load.clears == 0;
        if is_there {
            world.schedule(500_000, Event::Outside(Alarm::Crowd(0)));
        }
        Self {
            is_there,
            bucket: bucket.id,
            chance: Chance::new(world.scenario.seed, 17),
            until_us,
            turn: 0,
            key: 0,
            tokens: 0,
            doing: Doing::Append,
            asks: Vec::new(),
            pending: BTreeMap::new(),
            look: None,
            signers: BTreeSet::new(),
            text: String::new(),
            fields: BTreeSet::new(),
        }
    }

    /// True once nobody waits for anything.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.pending.is_empty() && self.look.is_none()
    }

    /// A wait is over.
    pub fn on_alarm(&mut self, turn: u64, world: &mut World) -> Result<(), Violation> {
        if !self.is_there || turn != self.turn {
            return Ok(());
        }
        if self.look.take().is_some() {
            self.look_later(world);
        } else if !self.pending.is_empty() {
            for (_, at) in std::mem::take(&mut self.pending) {
                self.asks[at].told = Some(Told::Unknown);
            }
            self.look_at_it(world);
        } else if !self.asks.is_empty() {
            self.look_at_it(world);
        } else if world.now_us < self.until_us {
            self.burst(world);
        }
        Ok(())
    }

    /// A home lost something of a record.
    pub fn on_lost(&mut self, name: &RecordKey, world: &mut World) {
        if self.is_there && name.bucket() == self.bucket && name.partition_key() == self.name().as_bytes() {
            self.start_over(world);
        }
    }

    /// A record changed in a store.
    pub fn on_applied(&mut self, changed: &Changed) {
        let is_there = self.is_there && changed.key.bucket() == self.bucket;
        if is_there
            && changed.key.partition_key() == self.name().as_bytes()
            && let Some(record) = changed.after.as_lww()
        {
            self.signers.insert(record.stamp.dot.actor);
        }
    }

    /// A node hung up.
    pub fn on_hung_up(&mut self, request: RequestId, world: &mut World) {
        if self.look == Some(request) {
            self.look = None;
            self.look_later(world);
        } else if let Some(at) = self.pending.remove(&request) {
            self.told(at, Told::Unknown, world);
        }
    }

    /// A node answered; `None` if the request is not one of these.
    pub fn on_reply(
        &mut self,
        request: RequestId,
        outcome: &Outcome,
        world: &mut World,
    ) -> Option<Result<(), Violation>> {
        if self.look == Some(request) {
            self.look = None;
            return Some(match outcome {
                Outcome::View(view, _) => self.judge(view, world),
                _ => {
                    self.look_later(world);
                    Ok(())
                }
            });
        }
        let at = self.pending.remove(&request)?;
        let ask = &self.asks[at];
        let in_time = bounds::check_time(ask.host, ask.sent_us, u64::from(ask.timeout_ms), world);
        let told = match outcome {
            Outcome::Updated(UpdateReply::Integer(number), _) => Told::Number(*number),
            Outcome::Failed(failure) if failure.certainty == Certainty::NotApplied => Told::NotApplied,
            Outcome::Failed(_) => Told::Unknown,
            other => return Some(Violation::new("crowd", format!("an update was answered {other:?}"))),
        };
        self.told(at, told, world);
        Some(in_time)
    }

    fn told(&mut self, at: usize, told: Told, world: &mut World) {
        self.asks[at].told = Some(told);
        if self.pending.is_empty() {
            self.look_at_it(world);
        }
    }

    fn name(&self) -> String {
        format!("crowd-{}", self.key)
    }

    fn target(&self) -> Target {
        Target {
            bucket: self.bucket,
            key: Bytes::from(self.name().into_bytes()),
            sort: Bytes::new(),
        }
    }

    /// All ask at once, and at one node: as long as it can, it sends them all to the same home.
    fn burst(&mut self, world: &mut World) {
        let is_hash = self.key % 2 == 1;
        self.doing = match is_hash {
            true if self.fields.contains(HOT) && self.chance.percent(30) => Doing::Delete,
            true => Doing::Set,
            false => Doing::Append,
        };
        let host = self.chance.index(world.hosts.len());
        self.signers.clear();
        for _ in 0..self.chance.between(2, 8) {
            self.tokens += 1;
            let token = format!("<{:0width$}>", self.tokens, width = TOKEN_BYTES - 2);
            let bytes = Bytes::from(token.clone().into_bytes());
            let hot = Bytes::from_static(HOT.as_bytes());
            let update = match self.doing {
                Doing::Append => Update::Append(bytes),
                Doing::Set => Update::HashSet(vec![(bytes.clone(), bytes.clone()), (hot, bytes)]),
                Doing::Delete => Update::HashDel(vec![hot]),
            };
            let timeout_ms = TIMEOUTS_MS[self.chance.index(TIMEOUTS_MS.len())];
            let options = Options {
                timeout_ms: Some(timeout_ms),
                strict: true,
                ..Options::default()
            };
            let target = self.target();
            let command = Command::Update(UpdateKey {
                target,
                update,
                options,
            });
            let sent_us = world.now_us;
            let Some(request) = world.request(host, command) else {
                continue;
            };
            self.pending.insert(request, self.asks.len());
            self.asks.push(Ask {
                host,
                sent_us,
                timeout_ms,
                token,
                told: None,
            });
        }
        let longest_us = u64::from(TIMEOUTS_MS[TIMEOUTS_MS.len() - 1]) * 1_000;
        self.wait(longest_us + PATIENCE_US, world);
    }

    /// All have been told: what is there?
    fn look_at_it(&mut self, world: &mut World) {
        if world.now_us >= self.until_us {
            self.start_over(world);
            return;
        }
        let host = self.chance.index(world.hosts.len());
        let options = Options {
            timeout_ms: Some(TIMEOUTS_MS[1]),
            strict: true,
            ..Options::default()
        };
        let (target, want) = (self.target(), Want::AllFields);
        self.look = world.request(host, Command::View(ViewKey { target, want, options }));
        match self.look {
            Some(_) => self.wait(u64::from(TIMEOUTS_MS[1]) * 1_000 + PATIENCE_US, world),
            None => self.look_later(world),
        }
    }

    fn look_later(&mut self, world: &mut World) {
        let at = 1 + self.chance.below(REST_US_MAX);
        self.wait(at, world);
    }

    fn wait(&mut self, for_us: u64, world: &mut World) {
        self.turn += 1;
        world.schedule(world.now_us + for_us, Event::Outside(Alarm::Crowd(self.turn)));
    }

    /// On with another key.
    fn start_over(&mut self, world: &mut World) {
        self.key += 1;
        self.text.clear();
        self.fields.clear();
        self.rest(world);
    }

    fn rest(&mut self, world: &mut World) {
        self.asks.clear();
        self.pending.clear();
        self.look = None;
        self.look_later(world);
    }

    fn judge(&mut self, view: &KeyView, world: &mut World) -> Result<(), Violation> {
        let asks = std::mem::take(&mut self.asks);
        let is_exact = asks.iter().all(|ask| ask.told != Some(Told::Unknown));
        if self.signers.len() > 1 {
            // At two homes they may not have seen one another's, which is what an available bucket is allowed.
            self.start_over(world);
            return Ok(());
        }
        let judged = match self.doing {
            Doing::Append => self.judge_text(&asks, view),
            Doing::Set => self.judge_fields(&asks, is_exact, view),
            Doing::Delete => self.judge_deletes(&asks, is_exact, view),
        };
        if let Err(why) = judged {
            let told: Vec<String> = asks
                .iter()
                .map(|ask| format!("{}: {:?}", ask.token, ask.told))
                .collect();
            let words = format!(
                "{}: {why}\n  {:?} were told {}\n  and it is {view:?}",
                self.name(),
                self.doing,
                told.join(", ")
            );
            return Violation::new("crowd", words);
        }
        // What nobody could tell may still come.
        if is_exact && !self.chance.percent(20) {
            self.rest(world);
        } else {
            self.start_over(world);
        }
        Ok(())
    }

    /// Each token stands once, where the length that was answered says.
    fn judge_text(&mut self, asks: &[Ask], view: &KeyView) -> Result<(), String> {
        let text = match view {
            KeyView::String { value, .. } => String::from_utf8_lossy(value).into_owned(),
            KeyView::Absent => String::new(),
            KeyView::Hash { .. } => return Err("it is a hash".into()),
        };
        if !text.starts_with(&self.text) {
            return Err(format!("it began with {:?}", self.text));
        }
        for ask in asks {
            let found: Vec<usize> = text.match_indices(&ask.token).map(|found| found.0).collect();
            let is_right = match ask.told {
                Some(Told::Number(length)) => found == [(length as usize).saturating_sub(TOKEN_BYTES)],
                Some(Told::NotApplied) => found.is_empty(),
                Some(Told::Unknown) | None => found.len() <= 1,
            };
            if !is_right {
                return Err(format!("{} stands at {found:?}", ask.token));
            }
        }
        self.text = text;
        Ok(())
    }

    /// Each has its field, and one of them was the first to set the one that all set.
    fn judge_fields(&mut self, asks: &[Ask], is_exact: bool, view: &KeyView) -> Result<(), String> {
        let fields = fields_of(view)?;
        if let Some(gone) = self.fields.iter().find(|name| !fields.contains_key(*name)) {
            return Err(format!("{gone} is gone"));
        }
        let mut were_first = 0;
        for ask in asks {
            let is_there = fields.get(&ask.token) == Some(&ask.token);
            let is_right = match ask.told {
                Some(Told::Number(new)) => {
                    were_first += new - 1;
                    is_there && (1..=2).contains(&new)
                }
                Some(Told::NotApplied) => !is_there,
                Some(Told::Unknown) | None => true,
            };
            if !is_right {
                return Err(format!("{} is there: {is_there}", ask.token));
            }
        }
        let is_done = |ask: &Ask| matches!(ask.told, Some(Told::Number(_)));
        let expected = i64::from(!self.fields.contains(HOT) && asks.iter().any(is_done));
        if were_first > expected || (is_exact && were_first < expected) {
            return Err(format!(
                "{were_first} were told that they set {HOT} first, not {expected}"
            ));
        }
        let may_stand = |ask: &Ask| ask.told != Some(Told::NotApplied) && fields.get(HOT) == Some(&ask.token);
        if asks.iter().any(is_done) && !asks.iter().any(may_stand) {
            return Err(format!("{HOT} is {:?}", fields.get(HOT)));
        }
        self.fields = fields.into_keys().collect();
        Ok(())
    }

    /// One of them deleted the field.
    fn judge_deletes(&mut self, asks: &[Ask], is_exact: bool, view: &KeyView) -> Result<(), String> {
        let fields = fields_of(view)?;
        let numbers: Vec<i64> = asks
            .iter()
            .filter_map(|ask| match ask.told {
                Some(Told::Number(number)) => Some(number),
                Some(Told::NotApplied | Told::Unknown) | None => None,
            })
            .collect();
        let deleted: i64 = numbers.iter().sum();
        if deleted > 1 || (is_exact && !numbers.is_empty() && deleted != 1) {
            return Err(format!("{deleted} were told that they deleted {HOT}"));
        }
        if !numbers.is_empty() && fields.contains_key(HOT) {
            return Err(format!("{HOT} is there"));
        }
        let others = self.fields.iter().filter(|name| *name != HOT);
        if let Some(gone) = others.into_iter().find(|name| !fields.contains_key(*name)) {
            return Err(format!("{gone} is gone"));
        }
        self.fields = fields.into_keys().collect();
        Ok(())
    }
}

fn fields_of(view: &KeyView) -> Result<BTreeMap<String, String>, String> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    match view {
        KeyView::Hash { fields, .. } => Ok(fields
            .iter()
            .filter_map(|(name, value)| Some((text(name), text(value.as_ref()?))))
            .collect()),
        KeyView::Absent => Ok(BTreeMap::new()),
        KeyView::String { .. } => Err("it is a string".into()),
    }
}
