//! What a store does while its disk pretends to be slow, to fail or to be full.

use std::time::{Duration, Instant};

use torc_core::bucket::Durability;
use torc_core::storage::{StoreError, StoreReply};
use torc_store::FsyncFault;

use crate::harness::{MIB, PATIENCE, commit, directory, key, open, open_with, options};

#[test]
fn a_slow_sync_holds_its_acknowledgement_back() {
    let dir = directory();
    let mut store = open(dir.path());
    let slow = Duration::from_millis(300);
    store.store.faults().set_fsync(FsyncFault::Slow(slow));
    let started = Instant::now();
    let token = store.submit(commit(&[(&key(1), b"v")], Durability::Synced));
    assert_eq!(store.answer_so_far(token), None);
    assert_eq!(store.wait(token), StoreReply::Done);
    assert!(started.elapsed() >= slow);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_the_store_is_opened_again() {
    let dir = directory();
    let mut store = open(dir.path());
    assert_eq!(store.put(&key(1), b"before"), StoreReply::Done);
    store.store.faults().set_fsync(FsyncFault::Fail);
    let failed = StoreReply::Failed(StoreError::OutOfService);
    assert_eq!(store.put(&key(2), b"lost?"), failed);
    store.store.faults().set_fsync(FsyncFault::Ok);
    assert_eq!(store.put(&key(3), b"after"), failed);
    drop(store);
    let mut store = open(dir.path());
    assert_eq!(store.get(&key(1)), Ok(Some(b"before".to_vec())));
    assert_eq!(store.get(&key(3)), Ok(None));
}

#[test]
fn a_full_disk_is_told_and_so_is_its_end() {
    let dir = directory();
    let mut watched = options(dir.path());
    watched.free_space_bytes_min = MIB;
    let store = open_with(watched).expect("a new directory");
    let until = |wanted: bool| {
        let give_up = Instant::now() + PATIENCE;
        while let Ok(health) = store
            .health
            .recv_timeout(give_up.saturating_duration_since(Instant::now()))
        {
            if health.full == wanted {
                return true;
            }
        }
        false
    };
    store.store.faults().set_free_bytes(Some(1));
    assert!(until(true));
    store.store.faults().set_free_bytes(None);
    assert!(until(false));
}

/// Nobody is left to flush: memory must not fill up, and nobody may wait for ever.
#[test]
fn a_flush_that_fails_takes_the_store_out_of_service_instead_of_hanging_it() {
    let dir = directory();
    let mut small = options(dir.path());
    small.memory_bytes_max = 8 * MIB;
    let mut store = open_with(small).expect("a new directory");
    for keyspace in std::fs::read_dir(dir.path().join("engine/keyspaces")).expect("readable") {
        std::fs::remove_dir_all(keyspace.expect("readable").path()).expect("removable");
    }
    let value = vec![1; 100_000];
    let refused = (0..200).find(|&number| store.put_buffered(&key(number), &value) != StoreReply::Done);
    assert!(refused.is_some(), "20 MB went into 8 MiB of memory");
    let failed = StoreReply::Failed(StoreError::OutOfService);
    assert_eq!(store.put(&key(1), b"after"), failed);
}
