//! The clients: each does one thing at a time at a node of its choice, keeps the contexts that it was given (and
//! sometimes another client's), retries by request id elsewhere, and gives up on nodes that stay silent.

use std::collections::BTreeMap;

use bytes::Bytes;
use torc_core::causality::Value;
use torc_core::command::{
    self, Batch, Command, Get, Keys, KeysStart, KeysWant, List, Options, PutAction, PutContext, Ttl,
};
use torc_core::id::{ClientRequestId, RequestId};
use torc_core::outcome::{Certainty, Failure, Found, Listed, Outcome};
use torc_core::quorum::QuorumSize;

use crate::chance::Chance;
use crate::checkers::quorums::StrictRead;
use crate::checkers::{
    Violation, acknowledged, bounds, clearing, durable_reads, expiry, outcomes, quorums, reading_first, request_ids,
};
use crate::history::{Fate, History, Key, KeyId, Put, PutId};
use crate::places;
use crate::shown::{Shown, value_of};
use crate::world::{Alarm, Event, World};

/// How long a client waits beyond a request's timeout before it hangs up, in microseconds.
const PATIENCE_US: u64 = 2_000_000;
/// Request ids used on one key: a record remembers sixteen, and a retry may leave two.
const REQUEST_IDS_MAX: usize = 5;
/// Where something is to be forgotten, clients end with deleting what they see, for as long as this, in microseconds.
const CLEANING_US: u64 = 6_000_000;
/// A batch names no timeout: it has the default.
const BATCH_TIMEOUT_MS: u64 = 5_000;
/// Of [`Clients::reading_chance`].
const READING_STREAM: u64 = 14;
/// Decides who counts by data centre.
const PLACES_STREAM: u64 = 19;
/// As good as for ever.
const TTL_LONG_MS: u64 = 315_360_000_000;

/// A context and what its owner was shown.
#[derive(Clone, Debug)]
struct Token {
    context: torc_core::causality::ClientContext,
    saw: Vec<PutId>,
}

/// One thing that was asked.
#[derive(Clone, Debug)]
enum Part {
    Get { key: KeyId, r: u8, strict: bool },
    Put(PutId),
    List,
    Keys,
}

#[derive(Clone, Debug)]
struct Busy {
    request: RequestId,
    host: usize,
    sent_us: u64,
    timeout_ms: u64,
    is_batch: bool,
    parts: Vec<Part>,
}

#[derive(Debug, Default)]
struct Client {
    /// Counts waits, so that an alarm for an old one is known.
    wait: u64,
    busy: Option<Busy>,
    tokens: BTreeMap<KeyId, Token>,
    retry: Option<PutId>,
}

/// See the module.
#[derive(Debug)]
pub struct Clients {
    clients: Vec<Client>,
    asked: BTreeMap<RequestId, usize>,
    /// The last token anybody had of each key.
    shared: BTreeMap<KeyId, Token>,
    reads: Vec<Vec<StrictRead>>,
    chance: Chance,
    /// Decides who reads first: of its own, so that it moves nothing else.
    reading_chance: Chance,
    /// Decides which quorums count by data centre, where there are several.
    places_chance: Chance,
    until_us: u64,
}

impl Clients {
    /// Clients that begin soon and stop asking at `until_us`.
    #[must_use]
    pub fn new(world: &mut World, history: &History, until_us: u64) -> Self {
        let mut chance = Chance::new(world.scenario.seed, 4);
        let clients: Vec<Client> = (0..world.scenario.load.clients).map(|_| Client::default()).collect();
        for index in 0..clients.len() {
            let at = 300_000 + chance.below(1_000_000);
            world.schedule(at, Event::Outside(Alarm::Client(index, 0)));
        }
        Self {
            clients,
            asked: BTreeMap::new(),
            shared: BTreeMap::new(),
            reads: history.keys.iter().map(|_| Vec::new()).collect(),
            chance,
            reading_chance: Chance::new(world.scenario.seed, READING_STREAM),
            places_chance: Chance::new(world.scenario.seed, PLACES_STREAM),
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
            bounds::check_time(busy.host, busy.sent_us, busy.timeout_ms, world)?;
            self.asked.remove(&busy.request);
            self.on_silence(client, &busy, history, world);
            self.rest(client, world);
            return Ok(());
        }
        if world.now_us < self.until_us {
            self.ask(client, history, world);
        }
        Ok(())
    }

    /// A node hung up.
    pub fn on_hung_up(&mut self, request: RequestId, history: &mut History, world: &mut World) {
        let Some(client) = self.asked.remove(&request) else {
            return;
        };
        if let Some(busy) = self.clients[client].busy.take() {
            self.on_silence(client, &busy, history, world);
            self.rest(client, world);
        }
    }

    /// A node answered.
    pub fn on_reply(
        &mut self,
        request: RequestId,
        outcome: Outcome,
        history: &mut History,
        world: &mut World,
    ) -> Result<(), Violation> {
        let Some(client) = self.asked.remove(&request) else {
            return Ok(());
        };
        let Some(busy) = self.clients[client].busy.take() else {
            return Ok(());
        };
        bounds::check_time(busy.host, busy.sent_us, busy.timeout_ms, world)?;
        let outcomes = match outcome {
            Outcome::Batch(outcomes) if busy.is_batch => outcomes,
            Outcome::Failed(failure) if busy.is_batch => vec![Outcome::Failed(failure); busy.parts.len()],
            outcome => vec![outcome],
        };
        if outcomes.len() != busy.parts.len() {
            return Violation::new(
                "outcomes",
                format!("{} items were answered {}", busy.parts.len(), outcomes.len()),
            );
        }
        for (part, outcome) in busy.parts.iter().zip(outcomes) {
            match (part, outcome) {
                (Part::Get { key, r, strict }, Outcome::Found(found)) => {
                    self.on_found(client, &busy, (*key, *r, *strict), &found, history, world)?;
                }
                (Part::Put(id), Outcome::Written(written)) => {
                    history.end(*id, Fate::Acknowledged, Some(written.context.clone()), world);
                    acknowledged::check(history, *id, busy.host, world)?;
                    request_ids::check_answers(history, *id)?;
                    reading_first::check_answered(history, *id)?;
                    let put = &history.puts[*id];
                    // What a put found that read first, its answer does not name.
                    let mut saw = if put.reads_first { Vec::new() } else { put.saw.clone() };
                    saw.push(*id);
                    self.keep(
                        client,
                        put.key,
                        Token {
                            context: written.context,
                            saw,
                        },
                    );
                }
                (Part::Put(id), Outcome::Failed(failure)) => self.on_failed(client, *id, &failure, history, world),
                (Part::List, Outcome::Listed(page)) => self.on_listed(&busy, &page, history, world)?,
                (Part::Keys, Outcome::Keys(_)) => {}
                (Part::Get { .. } | Part::List | Part::Keys, Outcome::Failed(_)) => {}
                (part, outcome) => {
                    return Violation::new("outcomes", format!("{part:?} was answered {outcome:?}"));
                }
            }
        }
        self.rest(client, world);
        Ok(())
    }

    fn on_found(
        &mut self,
        client: usize,
        busy: &Busy,
        (key, r, strict): (KeyId, u8, bool),
        found: &Found,
        history: &History,
        world: &World,
    ) -> Result<(), Violation> {
        let shown = Shown::of(found);
        outcomes::check(history, key, &shown)?;
        expiry::check(history, key, &shown, world)?;
        durable_reads::check(history, key, &shown, busy.sent_us, world)?;
        if strict {
            let read = StrictRead {
                started_us: busy.sent_us,
                ended_us: world.now_us,
                r,
                shown: shown.clone(),
            };
            quorums::check(history, key, &read, &self.reads[key])?;
            clearing::check_read(history, key, &read)?;
            self.reads[key].push(read);
        }
        if let Some(context) = shown.context {
            self.keep(
                client,
                key,
                Token {
                    context,
                    saw: shown.puts,
                },
            );
        }
        Ok(())
    }

    fn on_listed(&self, busy: &Busy, page: &Listed, history: &History, world: &World) -> Result<(), Violation> {
        for item in &page.items {
            let is_it = |key: &Key| key.keeps_siblings() && key.target.key == item.key && key.target.sort == item.sort;
            let Some(key) = history.keys.iter().position(is_it) else {
                return Violation::new("listing", format!("{item:?} was never written"));
            };
            let shown = Shown::of(&item.found);
            outcomes::check(history, key, &shown)?;
            expiry::check(history, key, &shown, world)?;
            durable_reads::check(history, key, &shown, busy.sent_us, world)?;
        }
        Ok(())
    }

    fn on_failed(&mut self, client: usize, id: PutId, failure: &Failure, history: &mut History, world: &World) {
        let fate = match failure.certainty {
            Certainty::NotApplied => Fate::NotApplied,
            Certainty::Unknown => Fate::Unknown,
        };
        history.end(id, fate, None, world);
        self.consider_retry(client, id, history);
    }

    /// Nobody can tell what became of what was asked.
    fn on_silence(&mut self, client: usize, busy: &Busy, history: &mut History, world: &World) {
        for part in &busy.parts {
            if let Part::Put(id) = part {
                history.end(*id, Fate::Unknown, None, world);
                self.consider_retry(client, *id, history);
            }
        }
    }

    fn consider_retry(&mut self, client: usize, id: PutId, history: &History) {
        let put = &history.puts[id];
        if put.request.is_some() && put.attempts < 3 && self.chance.percent(85) {
            self.clients[client].retry = Some(id);
        }
    }

    fn keep(&mut self, client: usize, key: KeyId, token: Token) {
        self.shared.insert(key, token.clone());
        self.clients[client].tokens.insert(key, token);
    }

    /// Thinks before the next thing.
    fn rest(&mut self, client: usize, world: &mut World) {
        let think_us_max = world.scenario.load.think_us_max;
        let think_us = self.chance.log_between(0, think_us_max);
        let at = (world.now_us + think_us + 1).next_multiple_of(world.scenario.load.beat_us);
        self.wait(client, at, world);
    }

    fn wait(&mut self, client: usize, at_us: u64, world: &mut World) {
        self.clients[client].wait += 1;
        let wait = self.clients[client].wait;
        world.schedule(at_us, Event::Outside(Alarm::Client(client, wait)));
    }

    fn ask(&mut self, client: usize, history: &mut History, world: &mut World) {
        let host = self.chance.index(world.hosts.len());
        if world.hosts[host].node.is_none() || world.hosts[host].is_closed {
            self.rest(client, world);
            return;
        }
        let timeout_ms = self.chance.pick(&[300_u64, 1_000, 3_000]);
        let (command, parts) = if let Some(id) = self.clients[client].retry.take() {
            let options = self.put_options(id, timeout_ms, history);
            history.puts[id].attempts += 1;
            history.puts[id].fate = Fate::Pending;
            (put_command(id, options, history), vec![Part::Put(id)])
        } else if self.chance.percent(6) {
            let count = self.chance.between(2, 5);
            let (commands, parts) = (0..count)
                .map(|_| self.draw(client, host, timeout_ms, history, world))
                .unzip();
            (Command::Batch(Batch { commands }), parts)
        } else {
            let (command, part) = self.draw(client, host, timeout_ms, history, world);
            (command, vec![part])
        };
        let is_batch = matches!(command, Command::Batch(_));
        let timeout_ms = if is_batch { BATCH_TIMEOUT_MS } else { timeout_ms };
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
            timeout_ms,
            is_batch,
            parts,
        });
        self.wait(client, sent_us + timeout_ms * 1_000 + PATIENCE_US, world);
    }

    fn draw(
        &mut self,
        client: usize,
        host: usize,
        timeout_ms: u64,
        history: &mut History,
        world: &World,
    ) -> (Command, Part) {
        let key = self.chance.index(history.keys.len());
        let load = &world.scenario.load;
        let strict = self.chance.percent(load.strict);
        let own = self.chance.percent(load.own_quorums);
        let n = history.keys[key].n;
        let own = own.then(|| QuorumSize::Count(self.chance.between(1, u64::from(n)) as u8));
        let own = self.draw_place(world.scenario.dcs).or(own);
        let dcs = world.scenario.dcs;
        if self.chance.percent(4) {
            return self.draw_listing(key, timeout_ms, history);
        }
        if self.chance.percent(40) {
            let options = Options {
                read: own,
                write: None,
                strict,
                timeout_ms: Some(timeout_ms as u32),
            };
            let target = history.keys[key].target.clone();
            let size = own.unwrap_or(history.keys[key].bucket.r);
            let asks = places::asks(size, &history.keys[key].homes, host, dcs);
            let r = asks.iter().map(|ask| ask.1).sum();
            return (Command::Get(Get { target, options }), Part::Get { key, r, strict });
        }
        let plan = world.scenario.reaping.as_ref();
        let is_deleted = plan.is_some_and(|plan| !plan.keys_live_on || key.is_multiple_of(2));
        let is_cleaning = is_deleted && world.now_us + CLEANING_US >= self.until_us;
        let token = if is_cleaning {
            self.clients[client].tokens.get(&key).cloned()
        } else {
            self.token(client, key)
        };
        let may_read_first = load.reads_first > 0 && history.keys[key].keeps_siblings();
        let reads_first = may_read_first && self.reading_chance.percent(load.reads_first);
        let token = token.filter(|_| !reads_first);
        let deletes = if is_cleaning { 100 } else { 15 };
        let may_delete = token.is_some() || reads_first || !history.keys[key].keeps_siblings();
        let is_delete = self.chance.percent(deletes) && may_delete;
        let may_have_id = history.keys[key].request_ids < REQUEST_IDS_MAX;
        let has_id = may_have_id && self.chance.percent(load.request_ids);
        let has_ttl = !is_delete && self.chance.percent(load.ttl);
        let ttl_ms = has_ttl.then(|| {
            if self.chance.percent(70) {
                self.chance.between(200, 4_000)
            } else {
                TTL_LONG_MS
            }
        });
        let id = history.puts.len();
        let size = own.unwrap_or(history.keys[key].bucket.w);
        let homes = &history.keys[key].homes;
        let w = if has_id {
            // It may be repeated at any host.
            places::least(size, homes, dcs)
        } else {
            places::asks(size, homes, host, dcs).iter().map(|ask| ask.1).sum()
        };
        let (sent, saw) = token.map_or((None, Vec::new()), |token| (Some(token.context), token.saw));
        history.begin(Put {
            is_delete,
            reads_first,
            saw,
            sent,
            request: has_id.then(|| format!("request-{id}")),
            ttl_ms,
            w,
            size,
            strict,
            ..Put::new(key, world.now_us)
        });
        (
            put_command(id, self.put_options(id, timeout_ms, history), history),
            Part::Put(id),
        )
    }

    /// A quorum that counts by data centre, now and then where there are several.
    fn draw_place(&mut self, dcs: usize) -> Option<QuorumSize> {
        let is_drawn = dcs > 1 && self.places_chance.percent(50);
        is_drawn.then(|| {
            self.places_chance.pick(&[
                QuorumSize::LocalQuorum,
                QuorumSize::LocalQuorum,
                QuorumSize::LocalOne,
                QuorumSize::EachQuorum,
            ])
        })
    }

    /// Sort keys of a key, or a page of the bucket.
    fn draw_listing(&mut self, key: KeyId, timeout_ms: u64, history: &History) -> (Command, Part) {
        let bucket = history.keys[0].bucket.id;
        let options = Options {
            timeout_ms: Some(timeout_ms as u32),
            ..Options::default()
        };
        if self.chance.percent(50) {
            let (start, want) = (KeysStart::Beginning, KeysWant::Records(3));
            return (
                Command::Keys(Keys {
                    bucket,
                    start,
                    want,
                    options,
                }),
                Part::Keys,
            );
        }
        let list = List {
            bucket,
            key: history.keys[key].target.key.clone(),
            prefix: Bytes::new(),
            start: Bytes::new(),
            limit: self.chance.between(1, 3) as u32,
            options,
        };
        (Command::List(list), Part::List)
    }

    /// The context that the next put carries: the client's own, another's, or none.
    fn token(&mut self, client: usize, key: KeyId) -> Option<Token> {
        match self.chance.below(100) {
            0..60 => self.clients[client].tokens.get(&key).cloned(),
            60..78 => self.shared.get(&key).cloned(),
            _ => None,
        }
    }

    fn put_options(&self, id: PutId, timeout_ms: u64, history: &History) -> Options {
        let put = &history.puts[id];
        Options {
            read: None,
            write: Some(put.size),
            strict: put.strict,
            timeout_ms: Some(timeout_ms as u32),
        }
    }
}

fn put_command(id: PutId, options: Options, history: &History) -> Command {
    let put = &history.puts[id];
    let ttl = put.ttl_ms.map_or(Ttl::Never, Ttl::AfterMs);
    let action = if put.is_delete {
        PutAction::Delete
    } else {
        PutAction::Value(Value::plain(value_of(id, id * 7 % 60)), ttl)
    };
    Command::Put(command::Put {
        target: history.keys[put.key].target.clone(),
        action,
        context: match &put.sent {
            Some(sent) => PutContext::Seen(sent.clone()),
            None if put.reads_first => PutContext::ReadFirst,
            None => PutContext::Blind,
        },
        request: put.request.as_deref().and_then(ClientRequestId::parse),
        options,
    })
}
