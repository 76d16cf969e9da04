//! Comparisons of homes that do not go as they should.

use torc_core::bucket::{Bucket, Conflict, StorageClass};
use torc_core::command::{Command, Options};
use torc_core::id::BucketId;
use torc_core::storage::{BootState, COPIES_KNOWN};

use crate::cluster::{Cluster, DEFAULT, put};

const KEYS: usize = 2_000;

/// A home whose store takes nothing was sent everything that it lacks, again in every round.
#[test]
fn a_home_that_takes_nothing_is_not_sent_everything_that_it_lacks() {
    let mut cluster = Cluster::new(3);
    let [a, b, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.cut(c);
    for number in 0..KEYS {
        cluster.put(a, DEFAULT, &format!("k{number}"), "v", None);
    }
    cluster.failing.push(c);
    cluster.mend();
    cluster.run_for_ms(30_000);
    let sent = [a, b].map(|node| cluster.nodes[&node].stats().entropy_keys_repaired);
    assert!(sent.iter().sum::<u64>() > 0, "they did compare");
    assert!(sent.iter().sum::<u64>() < KEYS as u64 / 4, "{sent:?}");
    cluster.failing.clear();
    let boot = BootState {
        incarnation: 2,
        lineage: vec![102, 103],
        rebuilding: vec![COPIES_KNOWN],
        ..Default::default()
    };
    cluster.cut(c);
    cluster.restart(c, boot);
    cluster.mend();
    cluster.run_for_ms(60_000);
    assert_eq!(
        cluster.disks[&c].records.len(),
        KEYS,
        "once it takes them they are sent"
    );
}

/// One leaf at a time was listed where leaves are almost empty: a question and its answer for each key.
#[test]
fn far_fewer_questions_are_asked_than_keys_differ() {
    let mut cluster = Cluster::new(3);
    let [a, _, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    for number in 0..KEYS {
        cluster.put(a, DEFAULT, &format!("both-{number}"), "v", None);
    }
    cluster.cut(c);
    for number in 0..KEYS / 4 {
        cluster.put(a, DEFAULT, &format!("one-{number}"), "v", None);
    }
    cluster.mend();
    cluster.run_until(|cluster| cluster.disks[&c].records.len() == KEYS + KEYS / 4);
    let listings = cluster.listings;
    assert!(listings < KEYS / 8, "{listings} listings for {} keys", KEYS / 4);
}

/// Equal leaves between two that differ are listed with them: a hash with many fields in one of them was listed whole.
#[test]
fn a_large_hash_between_keys_that_differ_is_not_named() {
    let mut cluster = Cluster::new(3);
    let [a, _, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    for number in 0..KEYS {
        let Command::Put(mut field) = put(DEFAULT, "hash", "v", None, Options::default()) else {
            unreachable!()
        };
        field.target.sort = format!("field-{number}").into();
        cluster.ask(a, Command::Put(field));
    }
    cluster.cut(c);
    for number in 0..KEYS / 4 {
        cluster.put(a, DEFAULT, &format!("one-{number}"), "v", None);
    }
    cluster.mend();
    cluster.run_until(|cluster| cluster.disks[&c].records.len() == KEYS + KEYS / 4);
    let named = cluster.named;
    assert!(named < KEYS, "{named} records named for {} that differ", KEYS / 4);
}

/// That the partition was equal in a bucket in memory was taken for all of it.
#[test]
fn what_differs_on_disk_is_known_whatever_is_in_memory() {
    let mut buckets = Bucket::initial();
    buckets.push(Bucket {
        storage: StorageClass::Memory,
        ..Bucket::available(BucketId(4), "cache", Conflict::Lww)
    });
    let mut cluster = Cluster::with_buckets(3, 16, buckets);
    let [a, _, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.cut(c);
    cluster.put(a, DEFAULT, "k", "v", None);
    cluster.failing.push(c);
    cluster.mend();
    for second in 0..30 {
        cluster.run_for_ms(1_000);
        assert!(cluster.nodes[&a].entropy().dirty_ranges > 0, "after {second} s");
    }
}
