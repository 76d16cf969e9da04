//! The network between hosts: how long each message takes, which are lost or doubled, which ways are cut, and what each
//! end believes of its connections. A message once sent may arrive whatever has happened to both ends since.

use std::collections::BTreeSet;

use crate::chance::Chance;
use crate::scenario::NetworkPlan;

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct End {
    /// What this end believes.
    pub is_up: bool,
    /// Counts connections, so that news of an old one is not taken for news of the current one.
    pub generation: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Network {
    /// How messages travel now; calm once faults have stopped.
    pub plan: NetworkPlan,
    ends: Vec<Vec<End>>,
    /// Ways on which everything is dropped while connections stay up.
    cuts: BTreeSet<(usize, usize)>,
    /// Pairs that can't connect.
    severed: BTreeSet<(usize, usize)>,
    /// How much longer each host's messages take, in microseconds.
    slow_us: Vec<u64>,
    chance: Chance,
}

impl Network {
    /// Nobody is connected.
    #[must_use]
    pub fn new(hosts: usize, plan: NetworkPlan, seed: u64) -> Self {
        Self {
            plan,
            ends: vec![vec![End::default(); hosts]; hosts],
            cuts: BTreeSet::new(),
            severed: BTreeSet::new(),
            slow_us: vec![0; hosts],
            chance: Chance::new(seed, 2),
        }
    }

    /// After how many microseconds each copy of a message arrives.
    pub fn arrivals(&mut self, from: usize, to: usize) -> Vec<u64> {
        let lost = self.cuts.contains(&(from, to)) || self.is_severed(from, to) || !self.ends[from][to].is_up;
        if lost || self.chance.per_mille(self.plan.loss) {
            return Vec::new();
        }
        let slow_us = self.slow_us[from] + self.slow_us[to];
        let mut arrivals = vec![self.delay_us() + slow_us];
        while self.chance.per_mille(self.plan.duplicates) && arrivals.len() < 4 {
            arrivals.push(self.delay_us() + slow_us);
        }
        arrivals
    }

    /// What `host` believes of its connection to `peer`.
    #[must_use]
    pub fn end(&self, host: usize, peer: usize) -> End {
        self.ends[host][peer]
    }

    /// Changes what one end believes.
    pub fn set_end(&mut self, host: usize, peer: usize, end: End) {
        self.ends[host][peer] = end;
    }

    /// Drops messages on one way.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
    }

    /// Lets messages pass again.
    pub fn mend(&mut self, from: usize, to: usize) {
        self.cuts.remove(&(from, to));
    }

    /// Makes every message from and to a host take so much longer.
    pub fn slow_down(&mut self, host: usize, more_us: u64) {
        self.slow_us[host] = more_us;
    }

    /// Keeps two hosts from connecting.
    pub fn sever(&mut self, a: usize, b: usize) {
        self.severed.insert((a.min(b), a.max(b)));
    }

    /// Lets them connect again.
    pub fn join(&mut self, a: usize, b: usize) {
        self.severed.remove(&(a.min(b), a.max(b)));
    }

    /// True if two hosts can't connect.
    #[must_use]
    pub fn is_severed(&self, a: usize, b: usize) -> bool {
        self.severed.contains(&(a.min(b), a.max(b)))
    }

    /// No cut, loss, copy or tail from now on.
    pub fn calm(&mut self) {
        self.cuts.clear();
        self.severed.clear();
        self.slow_us.fill(0);
        self.plan.loss = 0;
        self.plan.duplicates = 0;
        self.plan.tail = 0;
    }

    fn delay_us(&mut self) -> u64 {
        let (low, high) = self.plan.delay_us;
        if self.chance.per_mille(self.plan.tail) {
            self.chance.log_between(high, self.plan.tail_us_max.max(high))
        } else {
            self.chance.between(low, high)
        }
    }
}
