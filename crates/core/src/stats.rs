//! What a node counts of its own work.

/// Plain counters, read by the shell when it is scraped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests begun.
    pub requests: u64,
    /// Requests turned away because too many were in flight.
    pub busy: u64,
    /// Commits asked of the store.
    pub commits: u64,
    /// Homes that a read found behind and sent what they lacked.
    pub read_repairs: u64,
    /// Strict reads that wrote back before they answered.
    pub write_backs: u64,
    /// Puts and updates signed anew above a stamp that they had not seen.
    pub remints: u64,
    /// Updates that went along with another of the same key.
    pub updates_carried: u64,
    /// Commands sent to a home.
    pub forwards: u64,
    /// Messages that were refused.
    pub refusals: u64,
    /// Messages dropped because their sender's ring differs.
    pub wrong_epoch: u64,
    /// Messages of gossip that came.
    pub gossip_messages: u64,
    /// Damaged records found, each once until it is mended.
    pub damaged_records: u64,
    /// Damaged records replaced by what the other homes hold.
    pub mended_records: u64,
    /// Damaged records of which this node had the only copy, replaced by what a client wrote: what they held is lost.
    pub lost_records: u64,
    /// Files of the store that were given up, so that what they held is rebuilt.
    pub discarded_files: u64,
    /// Bytes read by scrubs.
    pub scrubbed_bytes: u64,
    /// Records verified by scrubs.
    pub scrubbed_records: u64,
    /// Whole scrubs.
    pub scrubs: u64,
    /// Records merged from a rebuild.
    pub rebuilt_records: u64,
    /// Records taken to keep them for a home that was away.
    pub hints_kept: u64,
    /// Puts that this node signed as a stand-in, since no home could.
    pub hints_signed: u64,
    /// Writes that this node refused to keep for a home, for want of room.
    pub hints_refused: u64,
    /// Hints looked at to find what can be sent.
    pub hints_looked_at: u64,
    /// Records kept for homes that were dropped because this node works on an older disk.
    pub hints_dropped: u64,
    /// Comparisons with other homes, whole or broken off.
    pub entropy_exchanges: u64,
    /// Records merged here or at another home because a comparison found them to differ.
    pub entropy_keys_repaired: u64,
    /// Bytes sent and read by the comparisons that this node began.
    pub entropy_bytes: u64,
    /// Records read to count trees.
    pub entropy_records_counted: u64,
    /// Records removed because all homes had agreed to.
    pub reaped_records: u64,
    /// Records put aside because the other homes had reaped what this disk still held.
    pub quarantined_records: u64,
    /// Records rid of the entries of lives that are over.
    pub folded_contexts: u64,
    /// Entries dropped from contexts that had grown too long (RULINGS 3).
    pub context_entries_pruned: u64,
    /// Client puts that left a context above its bound.
    pub contexts_over_limit: u64,
    /// The largest context that a client put left, in entries.
    pub context_entries_max: u64,
}
