//! `GET /v1/status`: what this node knows of itself. Sections of what a version does not have yet are null.

use serde::Serialize;

/// The whole document.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct StatusView {
    /// This node's name.
    pub name: String,
    /// Writes kept for other nodes.
    pub hints: HintsView,
    /// Partitions known to differ from another home's, one for each such home and each group of buckets that share trees.
    pub dirty_ranges: u64,
    /// The comparison with other homes, in the background and for ever.
    pub anti_entropy: AntiEntropyView,
    /// The verification of everything on disk.
    pub scrub: ScrubView,
    /// How deleted and expired records are forgotten.
    pub reaping: ReapingView,
    /// Copies that are being rebuilt or moved.
    pub transfers: Vec<TransferView>,
    /// What waits.
    pub queues: QueuesView,
    /// The store.
    pub store: StoreView,
    /// Who signs this node's writes.
    pub actor: ActorView,
    /// The clock.
    pub clock: ClockView,
    /// The keys asked for most; empty where that is not measured.
    pub hot_keys: Vec<HotKey>,
    /// What somebody should look at, in sentences.
    pub warnings: Vec<String>,
}

/// Hints.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct HintsView {
    /// A run that an operator asked for is not over.
    pub run_going: bool,
    /// Waiting for their home.
    pub pending: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many bytes there may be: beyond that the node refuses to stand in.
    pub bytes_max: u64,
    /// Delivered since the start.
    pub delivered: u64,
    /// The same by home; empty if nothing waits.
    pub homes: Vec<HintsForView>,
}

/// What is kept for one node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HintsForView {
    /// Its name.
    pub home: String,
    /// Records.
    pub records: u64,
    /// When the oldest was taken.
    pub oldest_at: String,
}

/// Anti-entropy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct AntiEntropyView {
    /// A comparison is under way.
    pub running: bool,
    /// A run that an operator asked for is not over.
    pub run_going: bool,
    /// Comparisons since the start, whole or broken off.
    pub exchanges: u64,
    /// Records found to differ and merged, here or at the other home, since the start.
    pub keys_repaired: u64,
    /// Bytes sent and read by comparisons that this node began.
    pub bytes: u64,
    /// Trees of this node.
    pub trees: u64,
    /// Those that are known; the others are being counted, and not compared meanwhile.
    pub trees_counted: u64,
}

/// The scrub: its pass, or the last one.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ScrubView {
    /// A pass is under way.
    pub running: bool,
    /// A run that an operator asked for is not over.
    pub run_going: bool,
    /// How far it has come, 0 to 1.
    pub share_done: f64,
    /// When it began; null if none ever did.
    pub began_at: Option<String>,
    /// When the last whole pass ended; null if none ever did.
    pub ended_at: Option<String>,
    /// Records that it has verified.
    pub records: u64,
    /// Bytes that it has read.
    pub bytes: u64,
    /// Damaged records and files that it has found.
    pub damaged: u64,
    /// Damaged records that are known now and not mended.
    pub damaged_now: u64,
    /// Damaged records mended since the start.
    pub mended: u64,
}

/// Reaping.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ReapingView {
    /// A run that an operator asked for is not over.
    pub run_going: bool,
    /// Dead records found and on their way to be forgotten, of partitions that this node leads.
    pub waiting: u64,
    /// Records forgotten here since the start.
    pub reaped: u64,
    /// Records removed since the start because this node's disk was older than what the other homes had forgotten.
    pub quarantined: u64,
    /// Whole walks over the partitions that this node leads, since the start.
    pub walks: u64,
    /// Who is in the way; empty if nobody is.
    pub blocked_by: Vec<BlockView>,
}

/// A node that keeps dead records from being forgotten.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct BlockView {
    /// Its name.
    pub node: String,
    /// `away`: it can't be asked; `hints`: it keeps hints, has lately delivered some, or was started lately.
    pub reason: &'static str,
    /// Since when.
    pub since: String,
}

/// One copy on its way.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TransferView {
    /// `rebuild`.
    pub kind: &'static str,
    /// The bucket's name.
    pub bucket: String,
    /// 0 to 1.
    pub share_done: f64,
    /// How long it will take at the pace so far, in seconds; null while nothing is done yet.
    pub eta_seconds: Option<u64>,
}

/// Queues.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct QueuesView {
    /// Client operations that this node coordinates now.
    pub operations: u64,
    /// And how many there can be.
    pub operations_max: u64,
    /// Client requests that run now.
    pub running: u64,
    /// And how many may (`limits.running_max`).
    pub running_max: u64,
    /// Client requests that wait their turn.
    pub waiting: u64,
    /// How long the first of them has waited, in milliseconds.
    pub waiting_ms: u64,
    /// Requests turned away since the start.
    pub shed: u64,
    /// Commits handed to the store and not yet durable.
    pub commits: u64,
    /// Client connections.
    pub connections: u64,
    /// What waits for each peer.
    pub peers: Vec<PeerQueue>,
}

/// What waits for one peer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PeerQueue {
    /// Its name.
    pub node: String,
    /// A connection is up.
    pub up: bool,
    /// Bytes waiting to be sent.
    pub bytes: u64,
    /// `closed`: reads ask it; `open` and `probing`: they avoid it while others are enough.
    pub circuit: &'static str,
    /// Nineteen of twenty reads are answered sooner, in microseconds.
    pub read_p95_us: u64,
    /// Reads that may be in flight to it.
    pub reads_max: u64,
    /// It says of itself that its syncs are slow.
    pub says_slow: bool,
}

/// The store.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct StoreView {
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes free on its file system; null where that can't be told.
    pub free_bytes: Option<u64>,
    /// Free space is under the watermark: writes are refused.
    pub full: bool,
    /// Syncs are slow: writes are forwarded where they can be.
    pub slow: bool,
    /// Group commits since the start.
    pub commits: u64,
    /// Syncs since the start.
    pub syncs: u64,
    /// The record cache.
    pub cache: CacheView,
}

/// The record cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct CacheView {
    /// Its bytes.
    pub bytes: u64,
    /// And how many there can be.
    pub bytes_max: u64,
    /// Reads answered by it.
    pub hits: u64,
    /// Reads that went on to the tables.
    pub misses: u64,
}

/// The actor.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ActorView {
    /// The node's life, 16 hex digits.
    pub life: String,
    /// This boot's number.
    pub incarnation: u64,
}

/// The clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ClockView {
    /// Milliseconds off the median of the nodes; positive is ahead.
    pub skew_ms: i64,
    /// Within its bound: this node signs writes and lets keys expire.
    pub sound: bool,
}

/// A key that is asked for often.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HotKey {
    /// The bucket's name.
    pub bucket: String,
    /// Percent-encoded.
    pub key: String,
    /// Requests counted.
    pub requests: u64,
}
