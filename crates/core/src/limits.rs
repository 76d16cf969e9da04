//! Every bound of the system, with its reason. A request that meets one is told its name and value.

/// Bytes of records that a node keeps for homes that are away; with more it refuses to stand in.
pub const HINTS_BYTES_MAX: usize = 64 << 20;
/// How long a hint waits for a home that is away, in milliseconds, before it goes as soon as w other homes hold it: three
/// hours. From then on comparing the homes costs less than what is kept.
pub const HINT_AGE_MS_MAX: u64 = 3 * 60 * 60 * 1_000;

/// Longest partition key, in bytes: long enough for URLs, short enough for an index block.
pub const PARTITION_KEY_BYTES_MAX: usize = 2_048;
/// Longest sort key, in bytes.
pub const SORT_KEY_BYTES_MAX: usize = 1_024;
/// Longest value of a bucket that says nothing else, in bytes. Torc is tuned for values under 10 KB.
pub const VALUE_BYTES_MAX: u32 = 1 << 20;
/// Longest content type, in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 256;
/// A client put that would leave more siblings than this is refused (riak_kv #1648).
pub const SIBLINGS_MAX: u32 = 100;
/// Context entries past which a key is reported and, on client puts only, pruned (RULINGS 3).
pub const CONTEXT_ENTRIES_MAX: usize = 50;
/// Entries that a pruned context may have beside those of live siblings, if these alone are near the limit.
pub const CONTEXT_ENTRIES_SPARE: usize = 10;
/// With more entries than this a context says when each of them grew: five times before pruning needs to know it, and far
/// above what a key has whose nodes seldom crash.
pub const CONTEXT_ENTRIES_TIMED_FROM: usize = 10;
/// With more entries than this a context is worth the proof that folding takes.
pub const CONTEXT_ENTRIES_FOLDED_FROM: usize = 10;
/// Longest context token, in characters.
pub const CONTEXT_TOKEN_CHARS_MAX: usize = 4_096;
/// Client request ids that a record remembers (RULINGS 17).
pub const REQUEST_MARKS_MAX: usize = 16;
/// How long a repeated client request id answers the first result, in milliseconds.
pub const REQUEST_MARK_AGE_MS_MAX: u64 = 10 * 60 * 1_000;
/// Deadline of a request that names none, in milliseconds.
pub const TIMEOUT_MS_DEFAULT: u32 = 5_000;
/// Longest deadline a request may ask for: one session-token rotation (RULINGS 24).
pub const TIMEOUT_MS_MAX: u32 = 60_000;
/// Longest time to live, in seconds: ten years.
pub const TTL_SECONDS_MAX: u64 = 315_360_000;
/// Most items of one page of a listing.
pub const PAGE_ITEMS_MAX: u32 = 1_000;
/// Items of a page when the client names no limit.
pub const PAGE_ITEMS_DEFAULT: u32 = 100;
/// Most payload bytes of one page.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// Most operations of one batch.
pub const BATCH_ITEMS_MAX: usize = 1_000;
/// Most bytes of one batch request.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
/// Most bytes of one imported record: with room to spare in one frame between nodes.
pub const IMPORT_BYTES_MAX: usize = 24 << 20;
/// Most records, values and payload bytes that one replica answers to one range read.
pub const RANGE_RECORDS_MAX: u32 = 2_000;
/// Most payload bytes gathered for one command that answers a whole key or bucket at once (HGETALL, KEYS).
pub const GATHER_BYTES_MAX: usize = 64 << 20;
/// A node whose clock is further than this off the median of its peers neither mints nor expires (RULINGS 6).
pub const CLOCK_SKEW_MS_MAX: u64 = 10_000;
/// A stamp further ahead than this is merged but does not move the local clock (RULINGS 6).
pub const CLOCK_AHEAD_MS_MAX: u64 = 60_000;
/// How often one put may mint anew above a winning stamp that it had not seen (RULINGS 5).
pub const REMINTS_MAX: u16 = 8;
/// Operations in flight that one node coordinates; one more is answered `busy`.
pub const OPERATIONS_MAX: usize = 65_536;
/// Client requests that run at a time on a node whose configuration says nothing else: enough to fill every sync of a fast
/// disk, few enough that each is answered in time. More wait to begin.
pub const RUNNING_MAX_DEFAULT: usize = 4_096;
/// The longest that a client request waits to begin where the configuration says nothing else, in milliseconds: a tenth
/// of the default deadline, so that who is turned away can still go elsewhere.
pub const WAITING_MS_MAX_DEFAULT: u64 = 500;
/// A queue that has not been empty for this long is no burst, in milliseconds.
pub const STANDING_QUEUE_MS: u64 = 2_000;
/// The longest wait in such a queue, in milliseconds: what is served is served at the same rate, and sooner.
pub const WAITING_MS_STANDING: u64 = 100;
/// Client requests that may wait to begin. Their bytes are bounded by the shell.
pub const WAITING_MAX: usize = 16_384;
/// Reads in flight to one peer at first, at least and at most; between these the limit follows how soon it answers.
pub const PEER_READS_START: f64 = 256.0;
/// See [`PEER_READS_START`].
pub const PEER_READS_MIN: f64 = 8.0;
/// See [`PEER_READS_START`].
pub const PEER_READS_MAX: f64 = 16_384.0;
/// A peer that answers none of several reads for this long is stalled, in milliseconds: long for a network, short for a
/// person.
pub const PEER_STALL_MS: u64 = 250;
/// Hedges per hundred reads, at most.
pub const HEDGES_PERCENT: u64 = 5;
/// A read that still has too few answers after this long asks whom it held back, whatever the budget, in milliseconds.
pub const HOLD_BACK_MS_MAX: u64 = 1_000;
/// Forwarded commands remembered for one rotation of session tokens, so that none runs twice; further ones are dropped.
pub const FORWARDS_SEEN_MAX: usize = 1 << 20;
/// How often a receiver changes the session token that writes must carry, in milliseconds (RULINGS 24).
pub const SESSION_ROTATION_MS: u64 = 60_000;
/// Largest frame between nodes, in bytes: a batch of whole records fits.
pub const FRAME_BYTES_MAX: usize = 32 << 20;
/// Fewest and most partitions of a ring.
pub const PARTITIONS_MIN: u32 = 1;
/// See [`PARTITIONS_MIN`]: the partition is two bytes of the key on disk.
pub const PARTITIONS_MAX: u32 = 16_384;
/// Partitions of a cluster whose configuration says nothing else.
pub const PARTITIONS_DEFAULT: u32 = 256;
/// Most copies of a key.
pub const REPLICAS_MAX: u8 = 9;
