//! What one seed is about: the cluster, its buckets, how its network, disks and clocks behave, which faults strike, and
//! what the clients do. Drawn once, before the run begins.

use torc_core::bucket::{Bucket, Conflict, Durability, StorageClass};
use torc_core::causality::ContextLimits;
use torc_core::id::BucketId;
use torc_core::limits::RUNNING_MAX_DEFAULT;
use torc_core::quorum::QuorumSize;

use crate::chance::Chance;

/// Runs in which one host restarts in quick succession, in percent.
const RESTARTS_PERCENT: u64 = 8;

/// Of its own, so that it moves nothing else; this one leaves the seeds that tell a story their runs.
const CLEARS_STREAM: u64 = 272;

/// As above.
const FAILING_READS_STREAM: u64 = 15;
/// As above.
const READS_FIRST_STREAM: u64 = 72;
/// As above.
const DATA_CENTRES_STREAM: u64 = 18;

/// The kinds of faults that a seed may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultKind {
    /// A process dies; what its disk had not synced may be lost.
    Crash,
    /// Every process dies at once.
    PowerLoss,
    /// A process is stopped in order and started again.
    CleanStop,
    /// A process stands still for a while (SIGSTOP).
    Pause,
    /// Messages between two nodes are dropped, one way or both, while the connection stays up.
    Cut,
    /// The connection between two nodes breaks and comes back.
    Disconnect,
    /// A wall clock jumps.
    ClockJump,
    /// A process dies and its disk with it.
    Wipe,
    /// A process dies and its disk is replaced by a copy that was made earlier.
    Restore,
    /// A record's checksum does not match any more.
    BitFlip,
    /// The disk says that it synced and has not.
    LyingSync,
    /// A sync fails: the store is out of service until it is restarted.
    FailingSync,
    /// Syncs take long.
    SlowSync,
    /// Everything that a host says or is told takes long, although it lives: slow and not dead.
    SlowPeer,
    /// Some or all reads of a disk fail for a while, with an error that proves no damage.
    FailingReads,
    /// Free space is under the watermark.
    DiskFull,
    /// A node is started with another configuration than its peers; nobody but its peers speaks to it.
    Misconfigured,
}

/// How messages travel.
#[derive(Clone, Debug)]
pub struct NetworkPlan {
    /// Lost, per mille.
    pub loss: u64,
    /// Delivered twice or more, per mille.
    pub duplicates: u64,
    /// Shortest and usual longest delay, in microseconds.
    pub delay_us: (u64, u64),
    /// Delayed far beyond that, per mille.
    pub tail: u64,
    /// The longest such delay, in microseconds.
    pub tail_us_max: u64,
    /// Messages are encoded and decoded on the way.
    pub is_encoded: bool,
}

/// How disks behave.
#[derive(Clone, Debug)]
pub struct DiskPlan {
    /// Shortest and longest sync, in microseconds.
    pub sync_us: (u64, u64),
    /// Longest read, in microseconds; 0: reads are answered at once.
    pub read_us_max: u64,
    /// Buffered commits are synced this often, in microseconds.
    pub interval_us: u64,
}

/// What the clients do.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// How many there are.
    pub clients: usize,
    /// Keys of each bucket.
    pub keys: usize,
    /// Longest pause between two operations, in microseconds.
    pub think_us_max: u64,
    /// Clients begin at multiples of this many microseconds: often at one instant.
    pub beat_us: u64,
    /// Puts with a request id, in percent.
    pub request_ids: u64,
    /// Operations that ask for `strict`, in percent.
    pub strict: u64,
    /// Operations that name their own r or w, in percent.
    pub own_quorums: u64,
    /// Puts with a time to live, in percent.
    pub ttl: u64,
    /// What Redis clients do that clears their bucket, in percent.
    pub clears: u64,
    /// Puts and deletes of keys with siblings that read first what they replace (Redis SET and DEL), in percent.
    pub reads_first: u64,
}

/// How dead records are forgotten in a run. It takes minutes, so not every run is about it.
#[derive(Clone, Debug)]
pub struct ReapingPlan {
    /// Every host looks for what may be forgotten this often, in microseconds.
    pub every_us: u64,
    /// How long clients rest while faults go on, in microseconds.
    pub faulty_us: u64,
    /// A host that goes away while clients are busy, for minutes.
    pub away: Option<usize>,
    /// Operators keep hints from being handed over.
    pub hints_are_paused: bool,
    /// Every other key is not deleted in the end: there is something to fold.
    pub keys_live_on: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it was drawn from.
    pub seed: u64,
    /// 1 to 7.
    pub nodes: usize,
    /// Data centres that they stand in, in turn; often 1.
    pub dcs: usize,
    /// Of the ring.
    pub partitions: u32,
    /// Buckets with siblings first.
    pub buckets: Vec<Bucket>,
    /// Messages.
    pub network: NetworkPlan,
    /// Disks.
    pub disk: DiskPlan,
    /// Largest difference of two clocks at the start, in milliseconds.
    pub skew_ms_max: u64,
    /// Fastest drift of a clock, in parts per million.
    pub drift_ppm_max: u64,
    /// Clients.
    pub load: LoadPlan,
    /// Requests that a node runs at a time; fewer than there are clients in some runs.
    pub running_max: usize,
    /// What may happen.
    pub faults: Vec<FaultKind>,
    /// The host whose disk may be replaced by an older copy.
    pub restored: usize,
    /// All faults strike this host, and those who are down come back soon: restarts in quick succession.
    pub victim: Option<usize>,
    /// Shortest and longest time between two faults, in microseconds.
    pub fault_gap_us: (u64, u64),
    /// How long clients and faults go on, in microseconds.
    pub hostile_us: u64,
    /// Whether and how dead records are forgotten.
    pub reaping: Option<ReapingPlan>,
    /// What contexts may hold: in some runs so little that they are pruned and folded.
    pub contexts: ContextLimits,
}

impl Scenario {
    /// What this seed is about.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 1);
        let nodes = chance.pick(&[1, 2, 3, 3, 3, 3, 4, 5, 5, 7]);
        let mut faults = draw_faults(&mut chance);
        // Of its own, so that it moves nothing else.
        let mut overload = Chance::new(seed, 6);
        if !faults.is_empty() && overload.percent(25) {
            faults.push(FaultKind::SlowPeer);
        }
        if !faults.is_empty() && Chance::new(seed, FAILING_READS_STREAM).percent(20) {
            faults.push(FaultKind::FailingReads);
        }
        let mut contexts = Chance::new(seed, 11);
        let mut reaping = Chance::new(seed, 7);
        let reaping = reaping.percent(15).then(|| ReapingPlan {
            every_us: reaping.pick(&[2_000_000, 10_000_000]),
            faulty_us: reaping.between(200, 600) * 1_000_000,
            away: reaping.percent(40).then(|| reaping.index(nodes)),
            hints_are_paused: reaping.percent(60),
            keys_live_on: contexts.percent(60),
        });
        let contexts = draw_contexts(&mut contexts, reaping.is_some());
        let mut clears = Chance::new(seed, CLEARS_STREAM);
        let is_calm = faults.is_empty();
        let network = draw_network(&mut chance, is_calm);
        let victim = chance.percent(35).then(|| chance.index(nodes));
        let hostile_us = chance.between(10, 60) * 1_000_000;
        let mut scenario = Self {
            seed,
            nodes,
            dcs: draw_data_centres(seed, nodes),
            partitions: chance.pick(&[1, 4, 16]),
            buckets: vec![
                draw_bucket(1, "default", Conflict::Siblings, &mut chance),
                draw_bucket(2, "redis", Conflict::Lww, &mut chance),
            ],
            network,
            disk: DiskPlan {
                sync_us: chance.pick(&[(50, 300), (200, 2_000), (1_000, 20_000)]),
                read_us_max: chance.pick(&[0, 100, 3_000]),
                interval_us: chance.pick(&[20_000, 100_000, 2_000_000]),
            },
            skew_ms_max: if is_calm {
                0
            } else {
                chance.pick(&[0, 0, 5, 200, 4_000])
            },
            drift_ppm_max: chance.pick(&[0, 0, 50, 500]),
            load: LoadPlan {
                clients: chance.between(2, 6) as usize,
                keys: chance.between(1, 5) as usize,
                think_us_max: chance.pick(&[20_000, 200_000, 1_000_000]),
                beat_us: chance.pick(&[1, 1_000, 20_000, 50_000]),
                // What a request may be repeated for is kept for ten minutes.
                request_ids: chance.pick(&[0, 20, 60]) * u64::from(reaping.is_none()),
                strict: chance.pick(&[0, 40, 100]),
                own_quorums: chance.pick(&[0, 0, 30]),
                ttl: chance.pick(&[0, 0, 25]),
                clears: clears.pick(&[0, 0, 2, 8]),
                reads_first: Chance::new(seed, READS_FIRST_STREAM).pick(&[0, 0, 0, 20, 60]),
            },
            running_max: overload.pick(&[RUNNING_MAX_DEFAULT, RUNNING_MAX_DEFAULT, 4, 2, 1]),
            fault_gap_us: if victim.is_some() {
                chance.pick(&[
                    (20_000, 200_000),
                    (50_000, 600_000),
                    (300_000, 1_200_000),
                    (200_000, 4_000_000),
                ])
            } else {
                chance.pick(&[(50_000, 1_000_000), (200_000, 4_000_000), (2_000_000, 10_000_000)])
            },
            restored: chance.index(nodes),
            victim,
            faults,
            hostile_us,
            reaping,
            contexts,
        };
        if Chance::new(seed, 8).percent(RESTARTS_PERCENT) {
            scenario.restart_quickly();
        }
        if scenario.load.clears > 0 && !is_calm && clears.percent(50) {
            scenario.forget_clocks();
        }
        scenario
    }

    /// Clocks differ by as much as still counts as sound, and all nodes forget again and again what the others' had said: a
    /// clear must learn from the records themselves what was signed before.
    fn forget_clocks(&mut self) {
        self.skew_ms_max = 8_000;
        self.faults = vec![
            FaultKind::PowerLoss,
            FaultKind::PowerLoss,
            FaultKind::Crash,
            FaultKind::Disconnect,
        ];
        self.victim = None;
        self.fault_gap_us = (500_000, 4_000_000);
        self.load.clears = 8;
        self.load.think_us_max = 200_000;
    }

    /// One busy host restarts again and again, in less time than its messages may take: what was meant for an earlier life
    /// arrives while a later one waits for something like it.
    fn restart_quickly(&mut self) {
        self.victim.get_or_insert(0);
        self.fault_gap_us = (20_000, 200_000);
        self.faults = vec![FaultKind::Crash];
        self.network.delay_us = (200, 20_000);
        self.network.tail = 150;
        self.network.tail_us_max = 3_000_000;
        self.load.think_us_max = 20_000;
    }

    /// Nothing goes wrong in this run, not even a message.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.faults.is_empty() && self.network.loss == 0 && self.network.tail == 0
    }
}

fn draw_data_centres(seed: u64, nodes: usize) -> usize {
    let mut chance = Chance::new(seed, DATA_CENTRES_STREAM);
    if chance.percent(15) {
        chance.pick(&[2, 2, 3]).min(nodes)
    } else {
        1
    }
}

/// Nodes that crash leave an entry for each life; in these runs few of them are many.
fn draw_contexts(chance: &mut Chance, folds: bool) -> ContextLimits {
    let usual = ContextLimits::default();
    let is_pruned = chance.percent(30);
    ContextLimits {
        entries_max: if is_pruned {
            chance.pick(&[2, 3, 5])
        } else {
            usual.entries_max
        },
        spare: if is_pruned { 1 } else { usual.spare },
        timed_from: chance.pick(&[0, 2, usual.timed_from]),
        folded_from: if folds {
            chance.pick(&[0, 1, 3])
        } else {
            usual.folded_from
        },
    }
}

fn draw_faults(chance: &mut Chance) -> Vec<FaultKind> {
    use FaultKind as F;
    let network = [F::Cut, F::Disconnect, F::Pause];
    let process = [F::Crash, F::CleanStop, F::PowerLoss];
    let damage = [F::Wipe, F::Restore, F::BitFlip];
    let disk = [F::LyingSync, F::FailingSync, F::SlowSync, F::DiskFull];
    let odd = [F::ClockJump, F::Misconfigured];
    let mut faults = Vec::new();
    if chance.percent(12) {
        return faults;
    }
    for (group, percent) in [
        (&network[..], 60),
        (&process[..], 70),
        (&damage[..], 30),
        (&disk[..], 30),
        (&odd[..], 20),
    ] {
        if chance.percent(percent) {
            faults.extend(group.iter().filter(|_| chance.percent(75)));
        }
    }
    faults
}

fn draw_network(chance: &mut Chance, is_calm: bool) -> NetworkPlan {
    let is_clean = is_calm || chance.percent(25);
    NetworkPlan {
        loss: if is_clean { 0 } else { chance.pick(&[0, 5, 30, 100]) },
        duplicates: if is_calm { 0 } else { chance.pick(&[0, 20, 200]) },
        delay_us: chance.pick(&[(10, 100), (50, 1_000), (200, 20_000), (5_000, 40_000)]),
        tail: if is_clean { 0 } else { chance.pick(&[0, 10, 50, 150]) },
        tail_us_max: chance.pick(&[200_000, 3_000_000, 15_000_000, 150_000_000]),
        is_encoded: chance.percent(30),
    }
}

fn draw_bucket(id: u32, name: &str, conflict: Conflict, chance: &mut Chance) -> Bucket {
    let n = chance.pick(&[1_u8, 2, 3, 3, 3, 3, 5]);
    let is_buffered = chance.percent(20);
    let is_memory = chance.percent(8);
    Bucket {
        n,
        r: draw_quorum(chance),
        w: draw_quorum(chance),
        durability: if is_buffered {
            Durability::Buffered
        } else {
            Durability::Synced
        },
        storage: if is_memory {
            StorageClass::Memory
        } else {
            StorageClass::Disk
        },
        ..Bucket::available(BucketId(id), name, conflict)
    }
}

fn draw_quorum(chance: &mut Chance) -> QuorumSize {
    chance.pick(&[
        QuorumSize::Quorum,
        QuorumSize::Quorum,
        QuorumSize::Quorum,
        QuorumSize::One,
        QuorumSize::All,
    ])
}
