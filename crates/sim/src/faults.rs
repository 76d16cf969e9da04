//! What goes wrong, and when. Every kind of fault that the scenario allows strikes at random hosts at random times; the
//! history works out what each destroys, so no fault has to be forbidden for an oracle's sake, with four exceptions:
//! at most a minority of clocks is off at once (a median is all that a node can trust), at most one home's copy of a
//! record is damaged at once, only one host's disk is ever replaced by an older copy (two such disks may vouch for one
//! another's lives: RULINGS 2 rests on peers that remember), and nobody but its peers speaks to a misconfigured node (the real one refuses to start).

use torc_core::storage::StoreError;

use crate::chance::Chance;
use crate::history::History;
use crate::places::dc_of;
use crate::scenario::FaultKind;
use crate::world::disk::SyncMode;
use crate::world::image::Records;
use crate::world::lifecycle::Death;
use crate::world::{Alarm, Event, Happening, Loss, World};

/// How much more seldom faults strike while clients rest.
const REST_FACTOR: u64 = 100;

/// Decides when a whole data centre is cut off.
const PLACES_STREAM: u64 = 20;

/// A fault that lasts.
#[derive(Debug)]
enum Ongoing {
    Cut(Vec<(usize, usize)>),
    Severed(Vec<(usize, usize)>),
    Clock(usize, i64),
    Sync(usize),
    Slow(usize),
    Reads(usize),
    Full(usize),
    Misconfigured(usize),
}

/// See the module.
#[derive(Debug)]
pub struct Faults {
    chance: Chance,
    /// Decides when a whole data centre is cut off.
    places_chance: Chance,
    ongoing: Vec<Option<Ongoing>>,
    until_us: u64,
}

impl Faults {
    /// Faults that begin soon and end at `until_us`.
    #[must_use]
    pub fn new(world: &mut World, until_us: u64) -> Self {
        let mut chance = Chance::new(world.scenario.seed, 5);
        if !world.scenario.faults.is_empty() {
            let at = 500_000 + chance.below(2_000_000);
            world.schedule(at, Event::Outside(Alarm::Fault));
        }
        Self {
            places_chance: Chance::new(world.scenario.seed, PLACES_STREAM),
            chance,
            ongoing: Vec::new(),
            until_us,
        }
    }

    /// The next fault strikes.
    pub fn strike(&mut self, history: &History, world: &mut World) {
        if world.now_us >= self.until_us {
            return;
        }
        let kind = self.chance.pick(&world.scenario.faults);
        self.begin(kind, history, world);
        let (low, high) = world.scenario.fault_gap_us;
        // While clients rest it is seldom.
        let factor = if world.now_us < world.scenario.hostile_us {
            1
        } else {
            REST_FACTOR
        };
        let at = world.now_us + self.chance.between(low, high) * factor;
        world.schedule(at, Event::Outside(Alarm::Fault));
    }

    /// A fault ends.
    pub fn mend(&mut self, index: usize, world: &mut World) {
        match self.ongoing[index].take() {
            None => {}
            Some(Ongoing::Cut(ways)) => ways.iter().for_each(|&(from, to)| world.network.mend(from, to)),
            Some(Ongoing::Severed(pairs)) => {
                for (a, b) in pairs {
                    world.network.join(a, b);
                    world.connect(a, b);
                }
            }
            Some(Ongoing::Clock(host, by_ms)) => world.hosts[host].clock.offset_ms -= by_ms,
            Some(Ongoing::Sync(host)) => {
                world.hosts[host].disk.mode = SyncMode::Honest;
                if world.hosts[host].disk.is_out_of_service {
                    world.kill(host, Death::Process, 50_000);
                } else {
                    world.tell_health(host);
                }
            }
            Some(Ongoing::Slow(host)) => world.network.slow_down(host, 0),
            Some(Ongoing::Reads(host)) => world.hosts[host].disk.failing_reads = 0,
            Some(Ongoing::Full(host)) => {
                world.hosts[host].disk.is_full = false;
                world.tell_health(host);
            }
            Some(Ongoing::Misconfigured(host)) => {
                world.hosts[host].is_misconfigured = false;
                world.kill(host, Death::Process, 50_000);
            }
        }
    }

    /// Everything that lasts ends.
    pub fn stop(&mut self, world: &mut World) {
        for index in 0..self.ongoing.len() {
            self.mend(index, world);
        }
    }

    fn begin(&mut self, kind: FaultKind, history: &History, world: &mut World) {
        let host = world
            .scenario
            .victim
            .unwrap_or_else(|| self.chance.index(world.hosts.len()));
        let down_us_max = if world.scenario.victim.is_some() {
            60_000
        } else {
            10_000_000
        };
        let down_us = self.chance.log_between(5_000, down_us_max);
        match kind {
            FaultKind::Crash => {
                let death = self.chance.pick(&[Death::Process, Death::Machine, Death::Machine]);
                world.kill(host, death, down_us);
            }
            FaultKind::PowerLoss => {
                for host in 0..world.hosts.len() {
                    let down_us = self.chance.log_between(5_000, 5_000_000);
                    world.kill(host, Death::Machine, down_us);
                }
            }
            FaultKind::CleanStop => world.stop(host),
            FaultKind::Pause => {
                let high = if self.chance.percent(5) {
                    150_000_000
                } else {
                    10_000_000
                };
                let for_us = self.chance.log_between(10_000, high);
                world.pause(host, for_us);
            }
            FaultKind::Cut => self.cut(host, world),
            FaultKind::Disconnect => self.sever(host, world),
            FaultKind::ClockJump => self.jump(host, world),
            FaultKind::Wipe => world.kill(host, Death::Wipe, down_us),
            FaultKind::Restore => self.restore(down_us, world),
            FaultKind::BitFlip if self.chance.percent(30) => self.spoil(host, world),
            FaultKind::BitFlip => self.flip(history, world),
            FaultKind::LyingSync => self.sync(host, SyncMode::Lying, world),
            FaultKind::FailingSync => self.sync(host, SyncMode::Failing, world),
            FaultKind::SlowSync => {
                let more_us = self.chance.log_between(20_000, 2_000_000);
                self.sync(host, SyncMode::Slow(more_us), world);
                world.tell_health(host);
            }
            FaultKind::SlowPeer => {
                let more_us = self.chance.log_between(20_000, 2_000_000);
                world
                    .trace
                    .event(world.now_us, host, || format!("its messages take {more_us} us more"));
                world.network.slow_down(host, more_us);
                self.last(Ongoing::Slow(host), 8_000_000, world);
            }
            FaultKind::FailingReads => self.fail_reads(host, world),
            FaultKind::DiskFull => {
                world.hosts[host].disk.is_full = true;
                world.tell_health(host);
                self.last(Ongoing::Full(host), 8_000_000, world);
            }
            FaultKind::Misconfigured => {
                // Two with the same mistake would take one another for sound.
                let mut others = self.ongoing.iter().flatten();
                let is_alone = !others.any(|fault| matches!(fault, Ongoing::Misconfigured(_)));
                if is_alone && world.hosts[host].node.is_some() {
                    world.hosts[host].is_misconfigured = true;
                    world.kill(host, Death::Process, 20_000);
                    self.last(Ongoing::Misconfigured(host), 6_000_000, world);
                }
            }
        }
    }

    /// The one host whose disk is ever replaced by an older copy.
    fn restore(&mut self, down_us: u64, world: &mut World) {
        let host = world.scenario.restored;
        match world.hosts[host].copy {
            // A copy that was made after a clean stop has the marker in it.
            None if self.chance.percent(70) => world.stop(host),
            None => world.hosts[host].copy = Some(world.hosts[host].disk.copy()),
            Some(_) => world.kill(host, Death::Restore, down_us),
        }
    }

    fn last(&mut self, ongoing: Ongoing, us_max: u64, world: &mut World) {
        let index = self.ongoing.len();
        self.ongoing.push(Some(ongoing));
        let at = world.now_us + self.chance.log_between(50_000, us_max);
        world.schedule(at, Event::Outside(Alarm::Mend(index)));
    }

    /// Some or all of a host's peers.
    fn peers(&mut self, host: usize, world: &World) -> Vec<usize> {
        let others = (0..world.hosts.len()).filter(|&other| other != host);
        if self.chance.percent(40) {
            others.collect()
        } else {
            others.filter(|_| self.chance.percent(50)).collect()
        }
    }

    fn cut(&mut self, host: usize, world: &mut World) {
        let way = self.chance.below(3);
        let mut ways = Vec::new();
        let mut pairs: Vec<(usize, usize)> = self.peers(host, world).into_iter().map(|peer| (host, peer)).collect();
        let dcs = world.scenario.dcs;
        if dcs > 1 && self.places_chance.percent(50) {
            // All of its data centre from all others.
            let is_near = |other: &usize| dc_of(*other, dcs) == dc_of(host, dcs);
            let (near, far): (Vec<usize>, Vec<usize>) = (0..world.hosts.len()).partition(is_near);
            pairs = near
                .iter()
                .flat_map(|&one| far.iter().map(move |&other| (one, other)))
                .collect();
        }
        for (one, other) in pairs {
            if way != 1 {
                ways.push((one, other));
            }
            if way != 0 {
                ways.push((other, one));
            }
        }
        ways.iter().for_each(|&(from, to)| world.network.cut(from, to));
        self.last(Ongoing::Cut(ways), 10_000_000, world);
    }

    fn sever(&mut self, host: usize, world: &mut World) {
        let pairs: Vec<(usize, usize)> = self.peers(host, world).into_iter().map(|peer| (host, peer)).collect();
        for &(a, b) in &pairs {
            world.network.sever(a, b);
            world.disconnect(a, b);
        }
        self.last(Ongoing::Severed(pairs), 10_000_000, world);
    }

    fn jump(&mut self, host: usize, world: &mut World) {
        let is_off = |ongoing: &Option<Ongoing>| matches!(ongoing, Some(Ongoing::Clock(..)));
        let off = self.ongoing.iter().filter(|ongoing| is_off(ongoing)).count();
        if off + 1 > (world.hosts.len() - 1) / 2 {
            return;
        }
        let far_ms = self.chance.log_between(500, 3_600_000) as i64;
        let by_ms = if self.chance.percent(50) { far_ms } else { -far_ms };
        world
            .trace
            .event(world.now_us, host, || format!("its clock jumps by {by_ms} ms"));
        world.hosts[host].clock.offset_ms += by_ms;
        self.last(Ongoing::Clock(host, by_ms), 20_000_000, world);
    }

    fn sync(&mut self, host: usize, mode: SyncMode, world: &mut World) {
        if world.hosts[host].disk.mode == SyncMode::Honest && !world.hosts[host].disk.is_out_of_service {
            world
                .trace
                .event(world.now_us, host, || format!("its syncs become {mode:?}"));
            world.hosts[host].disk.mode = mode;
            self.last(Ongoing::Sync(host), 8_000_000, world);
        }
    }

    /// An I/O error, too many open files: what is on the disk is sound, and can't be read for a while, or not every time.
    fn fail_reads(&mut self, host: usize, world: &mut World) {
        if world.hosts[host].disk.failing_reads > 0 {
            return;
        }
        let percent = self.chance.pick(&[20, 60, 100]);
        world
            .trace
            .event(world.now_us, host, || format!("{percent} of 100 reads fail"));
        world.hosts[host].disk.failing_reads = percent;
        self.last(Ongoing::Reads(host), 8_000_000, world);
    }

    /// A file of the store is damaged: many records at once, and what is absent can't be told either.
    fn spoil(&mut self, host: usize, world: &mut World) {
        let has_copies = world.scenario.buckets.iter().all(|bucket| bucket.n > 1) && world.hosts.len() > 1;
        let is_damaged = world.hosts.iter().any(|host| host.disk.has_damage());
        let names: Vec<_> = world.hosts[host].disk.copy().records.into_keys().collect();
        if !has_copies || is_damaged || names.is_empty() {
            return;
        }
        let (one, other) = (self.chance.index(names.len()), self.chance.index(names.len()));
        let (first, last) = (
            names[one].clone().min(names[other].clone()),
            names[one].clone().max(names[other].clone()),
        );
        let before: Records = names
            .iter()
            .filter(|name| (&first..=&last).contains(name))
            .filter_map(|name| Some((name.clone(), world.believed(host, name)?.clone())))
            .collect();
        if world.hosts[host].disk.spoil(&first, &last) {
            world.trace.event(world.now_us, host, || {
                format!("a file with {first:?} to {last:?} is damaged")
            });
            let loss = Loss::Known;
            world.happenings.push(Happening::Lost {
                host,
                before,
                hints: Vec::new(),
                loss,
            });
            if self.chance.percent(40) {
                world.scrub(host);
            }
        }
    }

    fn flip(&mut self, history: &History, world: &mut World) {
        let key = &history.keys[self.chance.index(history.keys.len())];
        let host = key.homes[self.chance.index(key.homes.len())];
        let is_damaged = key
            .homes
            .iter()
            .any(|&home| world.hosts[home].disk.is_damaged(&key.name));
        if is_damaged || key.homes.len() == 1 {
            return;
        }
        let Some(record) = world.current(host, &key.name).cloned() else {
            return;
        };
        if world.hosts[host].disk.flip_bit(&key.name) {
            world.trace.event(world.now_us, host, || {
                format!("{:?}: {}", key.name, StoreError::Damaged)
            });
            let before = Records::from([(key.name.clone(), record)]);
            world.happenings.push(Happening::Lost {
                host,
                before,
                hints: Vec::new(),
                loss: Loss::Known,
            });
            if self.chance.percent(40) {
                world.scrub(host);
            }
        }
    }
}
