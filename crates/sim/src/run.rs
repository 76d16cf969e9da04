//! One seed from beginning to end: clients and faults go on for a while, faults stop, the cluster comes to rest, every
//! key is read at all homes, the checkers judge.

use std::panic::{AssertUnwindSafe, catch_unwind};

use torc_core::background::{PaceChange, Work};
use torc_core::effect::Notice;
use torc_core::id::RequestId;
use torc_core::node::Node;
use torc_core::outcome::Outcome;

use crate::checkers::dots::Dots;
use crate::checkers::forgetting::Forgot;
use crate::checkers::quorums::StrictRead;
use crate::checkers::reading_first::Signatures;
use crate::checkers::{
    Violation, bounds, causality, clearing, convergence, damage, durability, expiry, forgetting, hints, liveness,
    outcomes, reaping, request_ids, resurrection, scrubbing,
};
use crate::clients::Clients;
use crate::crowd::Crowd;
use crate::faults::Faults;
use crate::history::{Fate, History};
use crate::redis::RedisClients;
use crate::scenario::{ReapingPlan, Scenario};
use crate::shown::Shown;
use crate::world::disk::{Changed, SyncMode};
use crate::world::image::Records;
use crate::world::lifecycle::Death;
use crate::world::{Alarm, Event, Happening, Loss, World};

/// A node trusts its clock again this long after its peers' clocks have come right, in microseconds.
const CLOCKS_SETTLE_US: u64 = 45_000_000;
/// How long anti-entropy is given to make copies equal, in microseconds: rounds begin every five seconds.
const HEAL_US_MAX: u64 = 60_000_000;
/// How often it is looked whether they are.
const ROUND_US: u64 = 1_000_000;
/// Everything must be rebuilt this long after that, in microseconds.
const REBUILD_US_MAX: u64 = 200_000_000;
/// How long it takes at most to forget what is dead in a calm cluster, in microseconds.
const REAP_US: u64 = 260_000_000;
/// How much longer than clients go on a host is away, in microseconds.
const AWAY_US: u64 = 230_000_000;
/// A run with more steps than this does not end.
const STEPS_MAX: u64 = 3_000_000;

/// What became of a seed.
#[derive(Debug)]
pub struct Report {
    /// Which.
    pub seed: u64,
    /// Of everything that happened.
    pub hash: u64,
    /// Of all nodes.
    pub steps: u64,
    /// What was broken, if anything.
    pub violation: Option<Violation>,
    /// The last steps of each node, if words were kept.
    pub last_steps: Vec<Vec<String>>,
    /// All that befell the nodes, if words were asked for.
    pub befell: Vec<String>,
    /// Every key's puts, if words were kept.
    pub stories: Vec<String>,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, keeps_words: bool) -> Report {
    let scenario = Scenario::draw(seed);
    let world = World::new(scenario, keeps_words);
    let mut run = Run::new(world);
    let ended = catch_unwind(AssertUnwindSafe(|| run.play()));
    let violation = match ended {
        Ok(result) => result.err(),
        Err(panic) => Some(Violation {
            property: "panic",
            what: words_of(&*panic),
        }),
    };
    let trace = &run.world.trace;
    Report {
        seed,
        hash: trace.hash(),
        steps: trace.steps(),
        violation,
        stories: if keeps_words {
            (0..run.history.keys.len())
                .map(|key| run.history.story_of(key))
                .collect()
        } else {
            Vec::new()
        },
        last_steps: (0..run.world.hosts.len()).map(|host| trace.last_steps(host)).collect(),
        befell: trace.befell().to_vec(),
    }
}

/// A seed being run.
pub(crate) struct Run {
    pub(crate) world: World,
    pub(crate) history: History,
    clients: Clients,
    redis: RedisClients,
    crowd: Crowd,
    faults: Faults,
    dots: Dots,
    signatures: Signatures,
    hostile_until_us: u64,
    is_half_over: bool,
    pub(crate) last_reply: Option<(RequestId, Outcome)>,
}

impl Run {
    fn new(mut world: World) -> Self {
        let history = History::new(&world);
        let hostile_until_us = world.scenario.hostile_us;
        let faulty_us = world.scenario.reaping.as_ref().map_or(0, |plan| plan.faulty_us);
        if let Some(plan) = &world.scenario.reaping {
            let at = plan.every_us;
            world.schedule(at, Event::Outside(Alarm::Reap));
        }
        Self {
            clients: Clients::new(&mut world, &history, hostile_until_us),
            redis: RedisClients::new(&mut world, hostile_until_us),
            crowd: Crowd::new(&mut world, hostile_until_us),
            faults: Faults::new(&mut world, hostile_until_us + faulty_us),
            world,
            history,
            dots: Dots::default(),
            signatures: Signatures::default(),
            hostile_until_us,
            is_half_over: false,
            last_reply: None,
        }
    }

    fn play(&mut self) -> Result<(), Violation> {
        self.go_on_until(self.hostile_until_us)?;
        // Clients rest, while now and then something goes on going wrong, for as long as it takes to forget something.
        let faulty_us = self.world.scenario.reaping.as_ref().map_or(0, |plan| plan.faulty_us);
        self.go_on_for(faulty_us)?;
        self.calm()?;
        self.heal_unread()?;
        if self.world.scenario.reaping.is_some() {
            self.reap_in_calm()?;
        }
        self.scrub_everything()?;
        let shown = self.read_everything()?;
        self.judge(&shown)?;
        self.list_everything(&shown)
    }

    /// Everything dead is forgotten; then the one disk that is ever replaced is replaced by the copy of long ago.
    fn reap_in_calm(&mut self) -> Result<(), Violation> {
        self.go_on_for(REAP_US)?;
        let host = self.world.scenario.restored;
        if self.world.hosts[host].copy.is_some() {
            self.world.kill(host, Death::Restore, 1_000_000);
            self.look()?;
            self.go_on_for(5_000_000)?;
        }
        self.become_whole()?;
        self.heal_unread()
    }

    /// Operators look for what may be forgotten, again and again.
    fn look_for_dead(&mut self) {
        let Some(plan) = self.world.scenario.reaping.clone() else {
            return;
        };
        let is_hostile = self.world.now_us < self.hostile_until_us + plan.faulty_us;
        if is_hostile && self.world.now_us >= self.hostile_until_us / 2 {
            self.begin_absences(&plan);
        }
        for host in 0..self.world.hosts.len() {
            if is_hostile && plan.hints_are_paused {
                self.pause_hints(host, true);
            }
            self.world.reap(host);
        }
        let at = self.world.now_us + plan.every_us;
        self.world.schedule(at, Event::Outside(Alarm::Reap));
    }

    /// A copy of a disk is put away for long, and a host goes away for long.
    fn begin_absences(&mut self, plan: &ReapingPlan) {
        let restored = self.world.scenario.restored;
        if self.is_half_over {
            return;
        }
        self.is_half_over = true;
        if self.world.hosts[restored].copy.is_none() {
            self.world.hosts[restored].copy = Some(self.world.hosts[restored].disk.copy());
        }
        if let Some(host) = plan.away {
            self.world
                .kill(host, Death::Process, self.hostile_until_us / 2 + AWAY_US);
        }
    }

    /// Nobody hands over what this host keeps for others, or it does again.
    fn pause_hints(&mut self, host: usize, paused: bool) {
        let change = PaceChange {
            paused: Some(paused),
            ..PaceChange::default()
        };
        self.world.control(host, Work::Hints, change);
    }

    /// Lets everything happen until a time.
    fn go_on_until(&mut self, until_us: u64) -> Result<(), Violation> {
        while let Some(alarm) = self.world.advance(until_us) {
            match alarm {
                None => {}
                Some(Alarm::Client(client, wait)) => {
                    self.clients
                        .on_alarm(client, wait, &mut self.history, &mut self.world)?;
                }
                Some(Alarm::Redis(client, wait)) => {
                    self.redis.on_alarm(client, wait, &mut self.history, &mut self.world)?
                }
                Some(Alarm::Crowd(turn)) => self.crowd.on_alarm(turn, &mut self.world)?,
                Some(Alarm::Fault) => self.faults.strike(&self.history, &mut self.world),
                Some(Alarm::Reap) => self.look_for_dead(),
                Some(Alarm::Mend(index)) => self.faults.mend(index, &mut self.world),
            }
            self.look()?;
            if self.world.trace.steps() > STEPS_MAX {
                return Violation::new("bounds", format!("the run has taken {STEPS_MAX} steps and goes on"));
            }
        }
        Ok(())
    }

    /// Looks at what the last event brought about.
    pub(crate) fn look(&mut self) -> Result<(), Violation> {
        while !self.world.happenings.is_empty() {
            for happening in std::mem::take(&mut self.world.happenings) {
                self.on_happening(happening)?;
            }
        }
        Ok(())
    }

    fn on_happening(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Replied(request, outcome) => {
                if let Some(judged) = self
                    .redis
                    .on_reply(request, &outcome, &mut self.history, &mut self.world)
                {
                    return judged;
                }
                if let Some(judged) = self.crowd.on_reply(request, &outcome, &mut self.world) {
                    return judged;
                }
                self.last_reply = Some((request, outcome.clone()));
                self.clients
                    .on_reply(request, outcome, &mut self.history, &mut self.world)
            }
            Happening::HungUp(request) => {
                self.redis.on_hung_up(request, &mut self.history, &mut self.world);
                self.crowd.on_hung_up(request, &mut self.world);
                self.clients.on_hung_up(request, &mut self.history, &mut self.world);
                Ok(())
            }
            Happening::Asked(name, record) => self.signatures.check(&mut self.history, &name, &record, &self.world),
            Happening::Applied(host, changed) | Happening::Kept(host, changed) => {
                self.history.learn(&changed);
                self.dots.check(&changed)?;
                self.crowd.on_applied(&changed);
                causality::check(&self.history, host, &changed, &self.world)?;
                let forgot = forgetting::check(&self.history, host, &changed, &self.world)?;
                self.on_forgotten(forgot, host, &changed);
                Ok(())
            }
            Happening::Removed(host, name, record) => {
                let is_settling = self.world.hosts[host].node.as_ref().is_some_and(Node::is_settling);
                if is_settling {
                    // Put aside by a host on an older disk: to it, and so to the cluster, this is lost.
                    self.redis.on_lost(&name);
                    self.crowd.on_lost(&name, &mut self.world);
                    let before = Records::from([(name, record)]);
                    self.history.on_lost(host, &before, Loss::Known, &self.world);
                    return Ok(());
                }
                self.history.on_reaped(&name, &record);
                reaping::check_removed(&self.history, host, &name, &record, &self.world)
            }
            Happening::Delivered(host, hint) => {
                hints::check_delivered(&self.history, host, &hint, &self.world)?;
                self.history.on_hint_gone(&hint.key, &self.world);
                Ok(())
            }
            Happening::Lost {
                host,
                before,
                hints,
                loss,
            } => {
                for (name, record) in &before {
                    if self.world.believed(host, name) != Some(record) {
                        self.redis.on_lost(name);
                        self.crowd.on_lost(name, &mut self.world);
                    }
                }
                self.history.on_lost(host, &before, loss, &self.world);
                self.history.on_hints_lost(&hints, &self.world);
                Ok(())
            }
            Happening::Noticed(host, notice) => {
                damage::check(host, &notice, &self.world)?;
                if let Notice::ContextPruned { key, dropped } = notice {
                    self.history.on_pruned(host, &key, &dropped);
                }
                Ok(())
            }
        }
    }

    fn on_forgotten(&mut self, forgot: Forgot, host: usize, changed: &Changed) {
        let now_us = self.world.now_us;
        let trace = &mut self.world.trace;
        match forgot {
            Forgot::Nothing => {}
            Forgot::Pruned => trace.event(now_us, host, || format!("prunes {:?}", changed.key)),
            Forgot::Folded => {
                trace.event(now_us, host, || format!("folds {:?}", changed.key));
                self.history.on_folded(changed);
            }
        }
    }

    /// Faults stop, everybody is started, the cluster comes to rest.
    fn calm(&mut self) -> Result<(), Violation> {
        let world = &mut self.world;
        world.network.calm();
        self.faults.stop(world);
        for host in 0..world.hosts.len() {
            world.resume(host);
            world.hosts[host].clock.offset_ms = 0;
            world.hosts[host].disk.mode = SyncMode::Honest;
            world.hosts[host].disk.is_full = false;
            world.hosts[host].disk.failing_reads = 0;
            if world.hosts[host].disk.is_out_of_service {
                world.kill(host, Death::Process, 50_000);
            }
            world.tell_health(host);
        }
        for host in 0..self.world.hosts.len() {
            self.pause_hints(host, false);
        }
        self.look()?;
        let late_us = self.world.scenario.network.tail_us_max.max(CLOCKS_SETTLE_US);
        let tail_is_used = self.world.scenario.network.tail > 0;
        let rest_us = if tail_is_used { late_us } else { CLOCKS_SETTLE_US };
        // Whoever was being stopped or was down has come back by now.
        self.go_on_for(15_000_000)?;
        self.mend_connections();
        self.go_on_for(rest_us)?;
        self.become_whole()
    }

    /// Waits until everybody is ready and every client has its answer.
    pub(crate) fn become_whole(&mut self) -> Result<(), Violation> {
        let give_up_us = self.world.now_us + REBUILD_US_MAX;
        while !self.is_whole() {
            if self.world.now_us > give_up_us {
                return Violation::new("availability", self.why_not_whole());
            }
            self.restart_failed();
            self.go_on_for(1_000_000)?;
        }
        Ok(())
    }

    pub(crate) fn go_on_for(&mut self, us: u64) -> Result<(), Violation> {
        self.go_on_until(self.world.now_us + us)
    }

    /// All homes come to hold the same without anybody reading a key: anti-entropy alone must see to that.
    fn heal_unread(&mut self) -> Result<(), Violation> {
        let give_up_us = self.world.now_us + HEAL_US_MAX;
        loop {
            self.go_on_for(ROUND_US)?;
            self.become_whole()?;
            match hints::check_rest(&self.world).and_then(|()| convergence::check(&self.history, &self.world)) {
                Err(found) if self.world.now_us >= give_up_us => {
                    return Violation::new("healing", format!("without any read {}", found.what));
                }
                Err(_) => {}
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Everybody reads all that it has on disk. In half of the runs nobody asks for it: then reads alone must mend.
    fn scrub_everything(&mut self) -> Result<(), Violation> {
        if self.world.scenario.seed.is_multiple_of(2) {
            return Ok(());
        }
        for host in 0..self.world.hosts.len() {
            self.world.scrub(host);
        }
        self.go_on_for(20_000_000)?;
        self.become_whole()?;
        scrubbing::check(&self.world)
    }

    fn mend_connections(&mut self) {
        for a in 0..self.world.hosts.len() {
            for b in a + 1..self.world.hosts.len() {
                let both_up = self.world.network.end(a, b).is_up && self.world.network.end(b, a).is_up;
                if !both_up {
                    self.world.connect(a, b);
                }
            }
        }
    }

    /// A store that failed while the faults were ending: its operator restarts the node.
    fn restart_failed(&mut self) {
        for host in 0..self.world.hosts.len() {
            if self.world.hosts[host].disk.is_out_of_service {
                self.world.kill(host, Death::Process, 50_000);
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.clients.are_done()
            && self.redis.are_done()
            && self.crowd.is_done()
            && self
                .world
                .hosts
                .iter()
                .all(|host| host.node.as_ref().is_some_and(|node| node.readiness().is_ok()))
    }

    fn why_not_whole(&self) -> String {
        let mut words = String::from("the cluster does not come to rest:");
        for (index, host) in self.world.hosts.iter().enumerate() {
            let why = host
                .node
                .as_ref()
                .map_or_else(|| Err("is down".to_owned()), |node| node.readiness());
            if let Err(why) = why {
                words.push_str(&format!(" host {index}: {why};"));
            }
        }
        words
    }

    fn judge(&mut self, shown: &[Shown]) -> Result<(), Violation> {
        bounds::check_rest(&self.world)?;
        liveness::check_rest(&self.world)?;
        hints::check_rest(&self.world)?;
        convergence::check_mended(&self.history, &self.world)?;
        let n = self.world.ring.effective_n(self.world.scenario.buckets[1].n);
        for (key, shown) in shown.iter().enumerate() {
            let read = StrictRead {
                started_us: self.world.now_us,
                ended_us: self.world.now_us,
                r: n,
                shown: shown.clone(),
            };
            clearing::check_read(&self.history, key, &read)?;
            outcomes::check(&self.history, key, shown)?;
            expiry::check(&self.history, key, shown, &self.world)?;
            durability::check(&self.history, key, shown, self.world.now_us)?;
            resurrection::check(&self.history, key, shown)?;
            request_ids::check_end(&self.history, key, shown)?;
        }
        for id in 0..self.history.puts.len() {
            request_ids::check_once(&self.history, id)?;
            if self.history.puts[id].fate == Fate::Pending {
                return Violation::new("bounds", format!("put {id} was never answered"));
            }
            self.world.trace.fold(self.history.puts[id].fate as u64);
        }
        Ok(())
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".into())
}
