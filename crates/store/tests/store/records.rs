//! Records, facts and scans, in one life and the next.

use torc_core::bucket::{Durability, StorageClass};
use torc_core::causality::{Context, Dot, LwwRecord, Payload, Record, SiblingsRecord, Value, Version};
use torc_core::id::{ActorId, BucketId, Life, NodeId, PartitionId};
use torc_core::key::RecordKey;
use torc_core::storage::{HintMemory, Meta, PeerMemory, Range, StoreError, StoreOp, StoreReply, Write};
use torc_core::time::{Hlc, Wall};

use crate::harness::{
    MIB, all_of, commit, commit_in_memory, directory, key, key_in, marker, open, open_with, options, record,
};

#[test]
fn what_is_committed_is_read_back_now_and_after_a_restart() {
    let dir = directory();
    let mut tested = open(dir.path());
    assert_eq!(tested.get(&key(1)), Ok(None));
    assert_eq!(tested.put(&key(1), b"one"), StoreReply::Done);
    assert_eq!(tested.put(&key(2), b""), StoreReply::Done);
    assert_eq!(tested.put(&key(1), b"other"), StoreReply::Done);
    assert_eq!(tested.get(&key(1)), Ok(Some(b"other".to_vec())));
    tested.stop();
    let mut tested = open(dir.path());
    assert_eq!(tested.get(&key(1)), Ok(Some(b"other".to_vec())));
    assert_eq!(tested.get(&key(2)), Ok(Some(Vec::new())));
    assert_eq!(tested.get(&key(3)), Ok(None));
}

#[test]
fn a_record_with_siblings_comes_back_whole() {
    let dir = directory();
    let mut siblings = SiblingsRecord::default();
    for counter in 1..=3 {
        let actor = ActorId {
            node: NodeId(counter),
            life: Life(8),
            birth: 1,
        };
        let payload = Payload::Value(Value {
            data: format!("value {counter}").into(),
            content_type: "text/plain".into(),
        });
        let version = Version {
            payload,
            written_at: Hlc(u64::from(counter)),
            expires_at: None,
        };
        siblings.put(&Context::new(), Dot { actor, counter: 2 }, version);
    }
    let record = std::sync::Arc::new(Record::Siblings(siblings));
    let get = || StoreOp::Get {
        key: key(1),
        class: StorageClass::Disk,
    };
    let mut tested = open(dir.path());
    let writes = vec![Write {
        key: key(1),
        record: Some(record.clone()),
        class: StorageClass::Disk,
    }];
    let durability = Durability::Synced;
    assert_eq!(tested.ask(StoreOp::Commit { writes, durability }), StoreReply::Done);
    assert_eq!(tested.ask(get()), StoreReply::Record(Some(record.clone())), "cached");
    drop(tested);
    let mut tested = open(dir.path());
    assert_eq!(tested.ask(get()), StoreReply::Record(Some(record)), "from disk");
}

#[test]
fn of_two_writes_of_a_key_in_one_batch_the_later_one_stays() {
    let dir = directory();
    let mut tested = open(dir.path());
    tested
        .store
        .faults()
        .set_fsync(torc_store::FsyncFault::Slow(std::time::Duration::from_millis(50)));
    // The first commit keeps the committer busy, so that the others meet in one batch.
    let tokens: Vec<_> = (0..20)
        .map(|round: u8| {
            tested.submit(commit(
                &[(&key(1), &[round, 1]), (&key(1), &[round, 2])],
                Durability::Synced,
            ))
        })
        .collect();
    for token in tokens {
        assert_eq!(tested.wait(token), StoreReply::Done);
    }
    assert!(tested.store.stats().coalesced > 20, "{:?}", tested.store.stats());
    drop(tested);
    let mut tested = open(dir.path());
    assert_eq!(tested.get(&key(1)), Ok(Some(vec![19, 2])));
}

#[test]
fn a_large_value_comes_back_from_memtable_and_from_disk() {
    let dir = directory();
    let large: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    let mut small_options = options(dir.path());
    small_options.memory_bytes_max = 8 * MIB;
    let mut tested = open_with(small_options).expect("opens");
    for number in 0..20 {
        assert_eq!(tested.put(&key(number), &large), StoreReply::Done);
    }
    tested.stop();
    let mut tested = open(dir.path());
    assert!(tested.store.stats().disk_bytes > 0);
    for number in 0..20 {
        assert_eq!(tested.get(&key(number)), Ok(Some(large.clone())), "{number}");
    }
}

#[test]
fn a_scan_gives_one_bucket_in_order_and_pages_meet() {
    let dir = directory();
    let mut tested = open(dir.path());
    let mut expected = Vec::new();
    for number in 0..500 {
        for bucket in [1, 2, 3] {
            tested.submit(commit(
                &[(&key_in(BucketId(bucket), number), b"v")],
                Durability::Buffered,
            ));
        }
        expected.push(key_in(BucketId(2), number));
    }
    assert_eq!(tested.put(&key_in(BucketId(9), 1), b"last"), StoreReply::Done);
    expected.sort();
    for records_max in [1, 7, 500, 1_000] {
        let mut range = all_of(BucketId(2));
        let mut found = Vec::new();
        loop {
            let page = tested.page(range.clone(), records_max, 1 << 20);
            assert!(page.records.len() <= records_max as usize);
            found.extend(page.records.into_iter().map(|record| record.0));
            match page.next {
                Some(next) => range.start = next,
                None => break,
            }
        }
        assert_eq!(found, expected, "{records_max} a page");
    }
    let none = tested.page(all_of(BucketId(4)), 10, 1 << 20);
    assert_eq!((none.records.len(), none.next), (0, None));
}

#[test]
fn a_scan_ends_before_its_end_and_gives_one_record_however_large() {
    let dir = directory();
    let mut tested = open(dir.path());
    let bucket = BucketId(2);
    let name = |sort: &[u8]| RecordKey::new(PartitionId(3), bucket, 5, b"pk", sort);
    for sort in [&b"a"[..], b"b", b"c"] {
        assert_eq!(tested.put(&name(sort), &[7; 5_000]), StoreReply::Done);
    }
    let range = Range {
        bucket,
        start: name(b"a").to_bytes(),
        end: Some(name(b"c").to_bytes()),
    };
    let page = tested.page(range.clone(), 100, 1);
    assert_eq!(page.records.len(), 1);
    assert_eq!(page.next, Some(name(b"b").to_bytes()));
    let page = tested.page(range, 100, 1 << 20);
    let found: Vec<_> = page.records.iter().map(|record| record.0.clone()).collect();
    assert_eq!((found, page.next), (vec![name(b"a"), name(b"b")], None));
}

#[test]
fn memory_buckets_are_scanned_as_well_and_keep_nothing() {
    let dir = directory();
    let mut tested = open(dir.path());
    let bytes_before = bytes_under(dir.path(), b"in memory only");
    for number in 0..100 {
        let op = commit_in_memory(&key(number), b"in memory only");
        assert_eq!(tested.ask(op), StoreReply::Done);
    }
    let get = |number| StoreOp::Get {
        key: key(number),
        class: StorageClass::Memory,
    };
    assert_eq!(tested.ask(get(5)), StoreReply::Record(Some(record(b"in memory only"))));
    assert_eq!(tested.get(&key(5)), Ok(None), "the disk knows nothing of it");
    let scan = StoreOp::Scan {
        range: all_of(BucketId(2)),
        class: StorageClass::Memory,
        records_max: 60,
        bytes_max: 1 << 20,
        may_wait: false,
    };
    let StoreReply::Page(page) = tested.ask(scan) else {
        panic!("a page")
    };
    assert_eq!(page.records.len(), 60);
    assert!(page.records.is_sorted_by(|a, b| a.0 < b.0) && page.next.is_some());
    assert_eq!(tested.store.stats().memory_entries, 100);
    tested.stop();
    assert_eq!((bytes_before, bytes_under(dir.path(), b"in memory only")), (0, 0));
    let mut tested = open(dir.path());
    assert_eq!(tested.ask(get(5)), StoreReply::Record(None));
}

/// How many files under `dir` hold `needle`.
fn bytes_under(dir: &std::path::Path, needle: &[u8]) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            count += bytes_under(&path, needle);
        } else {
            let bytes = std::fs::read(&path).expect("readable");
            count += usize::from(bytes.windows(needle.len()).any(|window| window == needle));
        }
    }
    count
}

#[test]
fn a_commit_may_mix_disk_and_memory() {
    let dir = directory();
    let mut tested = open(dir.path());
    let writes = vec![
        Write {
            key: key(1),
            record: Some(record(b"disk")),
            class: StorageClass::Disk,
        },
        Write {
            key: key(2),
            record: Some(record(b"memory")),
            class: StorageClass::Memory,
        },
    ];
    let durability = Durability::Synced;
    assert_eq!(tested.ask(StoreOp::Commit { writes, durability }), StoreReply::Done);
    tested.stop();
    let mut tested = open(dir.path());
    assert_eq!(tested.get(&key(1)), Ok(Some(b"disk".to_vec())));
    assert_eq!(tested.get(&key(2)), Ok(None));
}

#[test]
fn facts_and_heads_are_found_at_the_next_boot() {
    let dir = directory();
    let mut tested = open(dir.path());
    assert_eq!(tested.boot.incarnation, 1);
    assert_eq!(tested.boot.marker, None);
    let memory = PeerMemory {
        incarnation: 4,
        nonce: 5,
        before: 3,
        heard: [5, 6, 0, 0],
    };
    let first = tested.boot.lineage.clone();
    assert_eq!(first.len(), 1);
    tested.put_meta(Meta::Peer(NodeId(8), memory));
    let hint = |number: u64, text: &[u8]| HintMemory {
        home: NodeId(8),
        key: key(number),
        record: record(text),
        since: Wall(7),
    };
    tested.put_meta(Meta::Hint(Box::new(hint(1, b"first"))));
    tested.put_meta(Meta::Hint(Box::new(hint(2, b"delivered"))));
    tested.put_meta(Meta::Hint(Box::new(hint(1, b"changed"))));
    tested.put_meta(Meta::Delivered(NodeId(8), key(2)));
    tested.put_meta(Meta::Rebuilding(BucketId(1), true));
    tested.put_meta(Meta::Rebuilding(BucketId(2), true));
    tested.put_meta(Meta::Rebuilding(BucketId(1), false));
    let mut heads = Vec::new();
    for (partition, bucket, at) in [(0, 2, 11), (0, 3, 12), (200, 2, 13), (u16::MAX, u32::MAX, 14)] {
        let head = RecordKey::partition_head(PartitionId(partition), BucketId(bucket));
        let record = Record::Lww(LwwRecord {
            cleared_at: Hlc(at),
            ..LwwRecord::default()
        });
        let writes = vec![Write {
            key: head.clone(),
            record: Some(record.into()),
            class: StorageClass::Disk,
        }];
        let durability = Durability::Synced;
        assert_eq!(tested.ask(StoreOp::Commit { writes, durability }), StoreReply::Done);
        heads.push((head, Hlc(at)));
    }
    for number in 0..300 {
        tested.submit(commit(&[(&key(number), b"v")], Durability::Synced));
    }
    tested.stop();
    let tested = open(dir.path());
    assert_eq!(tested.boot.incarnation, 2);
    let second = tested.boot.lineage.clone();
    assert_eq!(
        (second.len(), second[0]),
        (2, first[0]),
        "boots before this one, and this one"
    );
    assert_ne!(second[0], second[1]);
    assert_eq!(tested.boot.marker, Some(marker()));
    assert_eq!(tested.boot.trees, b"trees");
    assert_eq!(tested.boot.peers, [(NodeId(8), memory)]);
    assert_eq!(tested.boot.hints, [hint(1, b"changed")]);
    assert_eq!(tested.boot.rebuilding, [BucketId(2)]);
    assert_eq!(tested.boot.cleared, heads);
    drop(tested);
    let tested = open(dir.path());
    assert_eq!(tested.boot.incarnation, 3);
    assert_eq!(
        tested.boot.marker, None,
        "taken by the boot before, which did not stop cleanly"
    );
    assert!(tested.boot.trees.is_empty(), "they went with the marker");
}

#[test]
fn a_higher_incarnation_that_a_peer_has_seen_is_kept() {
    let dir = directory();
    let mut tested = open(dir.path());
    tested.put_meta(Meta::Incarnation(41));
    tested.stop();
    assert_eq!(open(dir.path()).boot.incarnation, 42);
}

#[test]
fn reads_of_known_and_of_absent_keys_are_answered_from_the_cache() {
    let dir = directory();
    let mut tested = open(dir.path());
    tested.put(&key(1), b"v");
    for _ in 0..10 {
        assert_eq!(tested.get(&key(1)), Ok(Some(b"v".to_vec())));
        assert_eq!(tested.get(&key(2)), Ok(None));
    }
    let stats = tested.store.stats();
    assert_eq!((stats.cache_hits, stats.cache_misses), (19, 1));
}

#[test]
fn a_store_out_of_service_refuses_everything() {
    let dir = directory();
    let mut tested = open(dir.path());
    tested.put(&key(1), b"v");
    tested.store.faults().set_fsync(torc_store::FsyncFault::Fail);
    let failed = StoreReply::Failed(StoreError::OutOfService);
    assert_eq!(tested.put(&key(2), b"v"), failed);
    tested.store.faults().set_fsync(torc_store::FsyncFault::Ok);
    assert_eq!(tested.put(&key(3), b"v"), failed);
    assert_eq!(tested.get(&key(1)), Err(StoreError::OutOfService));
    let meta = StoreOp::PutMeta(Meta::Incarnation(9));
    assert_eq!(tested.ask(meta), failed);
    let scan = StoreOp::Scan {
        range: all_of(BucketId(2)),
        class: StorageClass::Disk,
        records_max: 1,
        bytes_max: 1,
        may_wait: false,
    };
    assert_eq!(tested.ask(scan), failed);
    assert_eq!(tested.store.stop(Some(marker()), b""), Err(StoreError::OutOfService));
    drop(tested);
    let mut tested = open(dir.path());
    assert_eq!(tested.boot.marker, None, "a store that failed has not ended cleanly");
    assert_eq!(tested.get(&key(1)), Ok(Some(b"v".to_vec())));
}

/// Of a scan that may wait, nothing is read by whoever asks for it.
#[test]
fn a_scan_that_may_wait_is_left_to_the_reader() {
    let dir = directory();
    let mut tested = open(dir.path());
    let name = RecordKey::new(PartitionId(3), BucketId(2), 5, b"k", b"");
    assert_eq!(tested.put(&name, b"v"), StoreReply::Done);
    for may_wait in [false, true] {
        let token = tested.submit(StoreOp::Scan {
            range: Range {
                bucket: BucketId(2),
                start: name.to_bytes(),
                end: torc_core::key::after_prefix(name.group()),
            },
            class: StorageClass::Disk,
            records_max: 10,
            bytes_max: 1 << 20,
            may_wait,
        });
        assert_eq!(tested.is_answered_on_the_spot(token), !may_wait);
        assert!(matches!(tested.wait(token), StoreReply::Page(page) if page.records.len() == 1));
    }
}

/// Few sort keys are read on the spot, many by the reader; both give the same page.
#[test]
fn a_key_with_few_or_many_sort_keys_is_listed_whole() {
    let dir = directory();
    let mut tested = open(dir.path());
    let bucket = BucketId(2);
    for (key, count) in [(&b"few"[..], 64_u16), (b"many", 300)] {
        let name = |sort: u16| RecordKey::new(PartitionId(3), bucket, 5, key, &sort.to_be_bytes());
        let names: Vec<RecordKey> = (0..count).map(name).collect();
        let writes: Vec<_> = names.iter().map(|name| (name, &b"v"[..])).collect();
        assert_eq!(tested.ask(commit(&writes, Durability::Synced)), StoreReply::Done);
        let range = Range {
            bucket,
            start: names[0].to_bytes(),
            end: torc_core::key::after_prefix(names[0].group()),
        };
        let page = tested.page(range.clone(), 1_000, 1 << 20);
        let found: Vec<RecordKey> = page.records.into_iter().map(|record| record.0).collect();
        assert_eq!((found, page.next), (names.clone(), None));
        let page = tested.page(range, 50, 1 << 20);
        assert_eq!((page.records.len(), page.next), (50, Some(names[50].to_bytes())));
    }
}
