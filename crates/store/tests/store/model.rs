//! Random operations against a map, across restarts, stops and memory budgets.

use std::collections::BTreeMap;

use proptest::prelude::*;
use torc_core::bucket::Durability;
use torc_core::id::BucketId;
use torc_core::key::RecordKey;
use torc_core::storage::StoreReply;

use crate::harness::{MIB, Tested, all_of, commit, directory, key_in, open_with, options, value_of};

#[derive(Clone, Debug)]
enum Step {
    Commit {
        keys: Vec<(u32, u64)>,
        bytes: usize,
        synced: bool,
    },
    Get(u32, u64),
    Scan {
        bucket: u32,
        records_max: u32,
        bytes_max: usize,
    },
    Stop,
    Drop,
}

fn name() -> impl Strategy<Value = (u32, u64)> {
    (1_u32..4, 0_u64..60)
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = prop_oneof![4 => 0_usize..200, 2 => 3_900_usize..4_300, 1 => 60_000_usize..70_000];
    prop_oneof![
        12 => (proptest::collection::vec(name(), 1..6), bytes, any::<bool>())
            .prop_map(|(keys, bytes, synced)| Step::Commit { keys, bytes, synced }),
        8 => name().prop_map(|(bucket, number)| Step::Get(bucket, number)),
        3 => (1_u32..4, 1_u32..40, prop_oneof![Just(1_usize), Just(10_000), Just(1 << 20)])
            .prop_map(|(bucket, records_max, bytes_max)| Step::Scan { bucket, records_max, bytes_max }),
        1 => Just(Step::Stop),
        1 => Just(Step::Drop),
    ]
}

/// What a store must hold.
type Model = BTreeMap<RecordKey, Vec<u8>>;

fn check_scan(tested: &mut Tested, model: &Model, bucket: BucketId, records_max: u32, bytes_max: usize) {
    let mut range = all_of(bucket);
    let mut found = Vec::new();
    loop {
        let page = tested.page(range.clone(), records_max, bytes_max);
        assert!(
            !page.records.is_empty() || page.next.is_none(),
            "a page without progress"
        );
        found.extend(page.records.into_iter().map(|(key, record)| (key, value_of(&record))));
        match page.next {
            Some(next) => range.start = next,
            None => break,
        }
    }
    let expected: Vec<_> = model
        .iter()
        .filter(|entry| entry.0.bucket() == bucket)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    assert_eq!(found, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_holds_what_a_map_would_hold(steps in proptest::collection::vec(step(), 1..120)) {
        let dir = directory();
        let mut small = options(dir.path());
        small.memory_bytes_max = 8 * MIB;
        let mut model = Model::new();
        let mut tested = open_with(small.clone()).expect("opens");
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Commit { keys, bytes, synced } => {
                    let value = vec![number as u8; bytes];
                    let keys: Vec<_> = keys.into_iter().map(|(bucket, number)| key_in(BucketId(bucket), number)).collect();
                    let writes: Vec<_> = keys.iter().map(|key| (key, &value[..])).collect();
                    let durability = if synced { Durability::Synced } else { Durability::Buffered };
                    prop_assert_eq!(tested.ask(commit(&writes, durability)), StoreReply::Done);
                    model.extend(keys.into_iter().map(|key| (key, value.clone())));
                }
                Step::Get(bucket, number) => {
                    let key = key_in(BucketId(bucket), number);
                    prop_assert_eq!(tested.get(&key), Ok(model.get(&key).cloned()));
                }
                Step::Scan { bucket, records_max, bytes_max } => {
                    check_scan(&mut tested, &model, BucketId(bucket), records_max, bytes_max);
                }
                Step::Stop => {
                    tested.stop();
                    tested = open_with(small.clone()).expect("opens");
                    prop_assert!(tested.boot.marker.is_some());
                }
                Step::Drop => {
                    drop(tested);
                    tested = open_with(small.clone()).expect("opens");
                    prop_assert!(tested.boot.marker.is_none());
                }
            }
        }
        for bucket in 1..4 {
            check_scan(&mut tested, &model, BucketId(bucket), 7, 20_000);
        }
    }
}
