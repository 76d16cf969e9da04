//! Removed records are gone for reads, scans and restarts, and their space comes back.

use torc_core::bucket::{Durability, StorageClass};
use torc_core::id::{BucketId, PartitionId};
use torc_core::key::RecordKey;
use torc_core::storage::{StoreOp, StoreReply, Write};

use crate::harness::{MIB, all_of, directory, key, open, open_with, options, record};

fn write(key: RecordKey, is_removal: bool) -> Write {
    Write {
        key,
        record: (!is_removal).then(|| record(b"v")),
        class: StorageClass::Disk,
    }
}

fn removal(key: &RecordKey) -> StoreOp {
    StoreOp::Commit {
        writes: vec![write(key.clone(), true)],
        durability: Durability::Synced,
    }
}

#[test]
fn what_was_removed_is_absent_now_and_after_a_restart() {
    let dir = directory();
    let mut tested = open(dir.path());
    for number in 0..4 {
        assert_eq!(tested.put(&key(number), b"v"), StoreReply::Done);
    }
    assert_eq!(tested.ask(removal(&key(1))), StoreReply::Done);
    // In one batch the later write of a key stays.
    let writes = vec![
        write(key(2), true),
        write(key(2), false),
        write(key(3), false),
        write(key(3), true),
    ];
    let durability = Durability::Synced;
    assert_eq!(tested.ask(StoreOp::Commit { writes, durability }), StoreReply::Done);
    for round in 0..2 {
        let left: Vec<bool> = (0..4)
            .map(|number| tested.get(&key(number)).expect("sound").is_some())
            .collect();
        assert_eq!(left, [true, false, true, false], "round {round}");
        let page = tested.page(all_of(key(0).bucket()), 100, 1 << 20);
        assert_eq!(page.records.len(), 2, "round {round}");
        if round == 0 {
            drop(tested);
            tested = open(dir.path());
        }
    }
}

#[test]
fn a_memory_record_that_was_removed_weighs_nothing() {
    let dir = directory();
    let mut tested = open(dir.path());
    let in_memory = |is_removal| StoreOp::Commit {
        writes: vec![Write {
            class: StorageClass::Memory,
            ..write(key(1), is_removal)
        }],
        durability: Durability::Buffered,
    };
    assert_eq!(tested.ask(in_memory(false)), StoreReply::Done);
    assert_eq!(tested.store.stats().memory_entries, 1);
    assert_eq!(tested.ask(in_memory(true)), StoreReply::Done);
    assert_eq!(tested.ask(in_memory(true)), StoreReply::Done, "of what is not there");
    assert_eq!(tested.store.stats().memory_entries, 0);
}

/// Tombstones are as large as their names. Without removals a store that is written and deleted for ever grows for ever.
#[test]
fn a_store_whose_records_come_and_go_does_not_grow() {
    const ROUNDS: u64 = 12;
    const KEYS: u64 = 4_000;
    let dir = directory();
    let mut small = options(dir.path());
    small.memory_bytes_max = 64 * MIB;
    let mut tested = open_with(small).expect("a new store");
    let name = |number: u64| {
        // Two kilobytes that no compression shortens.
        let mut noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let bytes = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (noise >> 57) as u8 | 0x80
        });
        let partition_key: Vec<u8> = bytes.take(2_000).collect();
        RecordKey::new(PartitionId(number as u16 % 8), BucketId(1), number, &partition_key, b"")
    };
    let mut tables = Vec::new();
    for round in 0..ROUNDS {
        for is_removal in [false, true] {
            for chunk in 0..KEYS / 500 {
                let numbers = (0..500).map(|at| (round * KEYS) + chunk * 500 + at);
                let writes = numbers.map(|number| write(name(number), is_removal)).collect();
                let durability = Durability::Buffered;
                assert_eq!(tested.ask(StoreOp::Commit { writes, durability }), StoreReply::Done);
            }
        }
        let stats = tested.store.stats();
        tables.push(stats.disk_bytes.saturating_sub(stats.journal_bytes));
    }
    let written = ROUNDS * KEYS * 2_000;
    let most = tables.iter().max().copied().unwrap_or_default();
    assert!(
        most < written / 3,
        "{written} bytes of names came and went; in tables: {tables:?}"
    );
}
