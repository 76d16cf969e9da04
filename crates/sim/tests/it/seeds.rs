//! Seeds that found something, each with its story; each was seen to fail without its fix. A change of the scenarios gives
//! them other runs: then they are only seeds among others.

use torc_sim::run::run;

fn is_clean(seed: u64) {
    let violation = run(seed, false).violation;
    assert_eq!(violation, None, "cargo xtask repro {seed}");
}

/// The network doubled a forwarded put, and its home signed it twice. Forwards are remembered now for as long as the
/// session token that they carry is accepted.
#[test]
fn a_repeated_forward_is_run_once() {
    is_clean(7);
    is_clean(9);
}

/// A read's look into the store overlapped a commit: it found the new record, which was not on disk yet, and said so.
#[test]
fn a_read_that_overlaps_a_commit_waits_for_it() {
    is_clean(29);
    is_clean(38);
}

/// A wiped node was killed again two milliseconds after its first start: its boot had been counted, that its copies were
/// being rebuilt had not. It came back empty and counted for reads.
#[test]
fn a_new_directory_that_is_left_at_once_is_still_new() {
    is_clean(997);
}

/// A node was stopped in order, and the record of a memory bucket was gone with it. Its life went on; a client put with a
/// context that had seen the first eleven dots of the record's actor, and the next put became the twelfth once more.
#[test]
fn a_life_that_signed_in_memory_ends_with_the_stop() {
    is_clean(102_536);
}

/// A node started with a clock 29 minutes slow and signed a put 345 ms later: clocks were compared half a second after a
/// start. Then it was wiped, and the retry was signed by another home. The merge keeps one version of one request only if
/// both marks lie within ten minutes of each other, so the put stood twice.
#[test]
fn a_node_that_starts_with_a_wrong_clock_signs_nothing_by_it() {
    is_clean(72_760);
}

/// A SET that had read first was replaced by its own client, whose context names that SET alone. Then the one disk whose record
/// had seen what the SET replaced was exchanged for an older one: what had been replaced came back, and no promise was broken.
#[test]
fn what_a_set_replaced_may_come_back_with_the_only_record_that_had_seen_it() {
    is_clean(1_154);
}

/// A hint for a memory bucket is on the disk of the node that keeps it. That disk was exchanged for an older one, when all homes had
/// forgotten the key: the node asked nobody what had been forgotten in a memory bucket, and handed the hint over.
#[test]
fn an_old_hint_of_a_memory_bucket_is_dropped() {
    is_clean(11_995);
}

/// A node was wiped, and while it was rebuilt its reads failed: what a page brought could not be merged with what could not be read, and
/// was left out. The copy was called complete, and a strict read at it found nothing where three homes had acknowledged a delete.
#[test]
fn a_rebuild_that_could_not_merge_all_begins_again() {
    is_clean(10_462);
}

/// A clear outbid the head of a hash, and HSET was computed anew over the fields that it had itself written: it said that none of them
/// was new. A story of its own is in `core/tests/it/outbid_updates.rs`.
#[test]
fn an_update_that_is_outbid_does_not_count_its_own_fields() {
    is_clean(3_671);
}

/// A node of one data centre stood in for a home of another, and its answer was counted in its own: a put with `each_quorum` was
/// acknowledged although nobody held it in one of three. A story of its own is in `core/tests/it/data_centres.rs`.
#[test]
fn who_stands_in_for_a_home_elsewhere_counts_nowhere() {
    is_clean(4_743);
}
