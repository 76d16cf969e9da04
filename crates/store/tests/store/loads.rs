//! Reads that wait for the disk leave the node thread, and what they bring never hides what was written meanwhile.

use std::time::{Duration, Instant};

use torc_core::bucket::{Durability, StorageClass};
use torc_core::key::RecordKey;
use torc_core::storage::{AtHand, StoreOp, StoreReply};

use crate::harness::{Tested, commit, directory, key, open, value_of};

const DELAY: Duration = Duration::from_millis(40);

fn get(key: &RecordKey) -> StoreOp {
    StoreOp::Get {
        key: key.clone(),
        class: StorageClass::Disk,
    }
}

fn value(reply: &StoreReply) -> Vec<u8> {
    match reply {
        StoreReply::Record(Some(record)) => value_of(record),
        other => panic!("not a record: {other:?}"),
    }
}

/// A store just opened on keys 0 to 99, whose reads have turned out to be slow.
fn slow(dir: &std::path::Path) -> Tested {
    let mut tested = open(dir);
    for number in 0..100 {
        tested.put_buffered(&key(number), b"old");
    }
    tested.store.stop(None, b"").expect("stops");
    drop(tested);
    let mut tested = open(dir);
    tested.store.faults().set_read_delay(DELAY);
    for number in 0..5 {
        tested.ask(get(&key(number)));
    }
    tested
}

#[test]
fn reads_that_wait_for_the_disk_hold_up_nobody_and_wait_together() {
    let dir = directory();
    let mut tested = slow(dir.path());
    let begun = Instant::now();
    let tokens: Vec<_> = (50..58).map(|number| tested.submit(get(&key(number)))).collect();
    assert_eq!(
        tested.store.at_hand(&key(60), StorageClass::Disk),
        None,
        "it would take long"
    );
    let known = tested.submit(get(&key(0)));
    assert!(
        tested.answer_so_far(known).is_some(),
        "what is in memory is answered at once"
    );
    assert!(begun.elapsed() < DELAY, "{:?}", begun.elapsed());
    for token in tokens {
        assert_eq!(value(&tested.wait(token)), b"old");
    }
    assert!(begun.elapsed() < 6 * DELAY, "several at once: {:?}", begun.elapsed());
    // They are kept, and reads that turn out to be quick again are done on the spot.
    let known = tested.submit(get(&key(57)));
    assert!(tested.answer_so_far(known).is_some());
    tested.store.faults().set_read_delay(Duration::ZERO);
    for number in 0..100 {
        for far in 0..10 {
            tested.ask(get(&key(1_000 + number * 10 + far)));
        }
    }
    assert_eq!(
        tested
            .store
            .at_hand(&key(90), StorageClass::Disk)
            .flatten()
            .map(|record| value_of(record)),
        Some(b"old".to_vec())
    );
}

#[test]
fn a_record_that_is_written_while_it_is_loaded_is_shown_as_written() {
    let dir = directory();
    let mut tested = slow(dir.path());
    let (first, second) = (tested.submit(get(&key(70))), tested.submit(get(&key(70))));
    let written = tested.submit(commit(&[(&key(70), b"new")], Durability::Synced));
    assert_eq!(tested.wait(written), StoreReply::Done);
    let third = tested.submit(get(&key(70)));
    assert_eq!(value(&tested.wait(third)), b"new", "it was asked for after the write");
    // Those who asked before may be told either; what they are told is kept for nobody.
    let told = [first, second].map(|token| value(&tested.wait(token)));
    assert_eq!(told[0], told[1]);
    assert_eq!(tested.get(&key(70)), Ok(Some(b"new".to_vec())));
}
