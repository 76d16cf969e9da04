//! Data far larger than memory.

use torc_core::bucket::Durability;
use torc_core::storage::StoreReply;

use crate::harness::{MIB, commit, commit_in_memory, directory, key, open_with, options};

#[test]
fn data_five_times_the_memory_budget_are_written_and_read_and_the_caches_keep_their_bounds() {
    let dir = directory();
    let mut small = options(dir.path());
    small.memory_bytes_max = 8 * MIB;
    let value = |number: u64| format!("{number:0>1000}").into_bytes();
    let count = 42_000;
    let mut tested = open_with(small.clone()).expect("opens");
    let mut tokens = std::collections::VecDeque::new();
    for number in 0..count {
        tokens.push_back(tested.submit(commit(&[(&key(number), &value(number))], Durability::Synced)));
        if tokens.len() > 500 {
            let token = tokens.pop_front().expect("some");
            assert_eq!(tested.wait(token), StoreReply::Done);
        }
    }
    for token in tokens {
        assert_eq!(tested.wait(token), StoreReply::Done);
    }
    let stats = tested.store.stats();
    assert!(stats.memtables_rotated > 10, "{stats:?}");
    assert!(stats.cache_bytes <= 4 * MIB, "{stats:?}");
    assert!(stats.memtable_bytes <= 4 * MIB, "{stats:?}");
    for round in 0..2 {
        for number in (0..count).step_by(7) {
            assert_eq!(tested.get(&key(number)), Ok(Some(value(number))), "round {round}");
        }
    }
    assert!(tested.store.stats().cache_bytes <= 4 * MIB);
    tested.stop();
    let mut tested = open_with(small).expect("opens");
    for number in (0..count).step_by(11) {
        assert_eq!(tested.get(&key(number)), Ok(Some(value(number))));
    }
}

#[test]
fn memory_buckets_beyond_their_share_make_the_store_full_and_take_from_the_cache() {
    let dir = directory();
    let mut small = options(dir.path());
    small.memory_bytes_max = 8 * MIB;
    let mut tested = open_with(small).expect("opens");
    for number in 0..5_000 {
        assert_eq!(tested.put_buffered(&key(number), &[1; 1_000]), StoreReply::Done);
    }
    let cached = tested.store.stats().cache_bytes;
    for number in 10_000..14_500 {
        assert_eq!(
            tested.ask(commit_in_memory(&key(number), &[2; 1_000])),
            StoreReply::Done
        );
    }
    assert!(
        tested.store.stats().cache_bytes < cached / 4,
        "{cached}: {:?}",
        tested.store.stats()
    );
    let health = tested.health.recv_timeout(crate::harness::PATIENCE).expect("told");
    assert!(health.full);
}
