//! Torn tails and damaged middles of journals; flipped bytes in tables.

use std::io::Read;
use std::path::{Path, PathBuf};

use torc_core::storage::{StoreError, StoreReply};
use torc_store::OpenError;

use crate::harness::{all_of, copy_dir, directory, journals, key, newest_journal, open, open_with, options};

/// A store that was killed after it had acknowledged key 0, 1, … `count - 1`, each in a batch of its own; the offsets at
/// which these batches end in its journal.
fn killed(dir: &Path, count: u64) -> Vec<usize> {
    let mut tested = open(dir);
    let journal = newest_journal(dir);
    let mut ends = Vec::new();
    for number in 0..count {
        assert_eq!(
            tested.put(&key(number), format!("value-{number}").as_bytes()),
            StoreReply::Done
        );
        ends.push(written(&journal).len());
    }
    ends
}

/// A journal without the zeros that it is filled with.
fn written(journal: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    // All that these tests write is far shorter than this.
    let file = std::fs::File::open(journal).expect("readable");
    file.take(1 << 16).read_to_end(&mut bytes).expect("readable");
    bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
    bytes
}

/// Opens a copy of `dir` whose newest journal is changed.
fn open_changed(dir: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<u64>, OpenError> {
    let copy = directory();
    copy_dir(dir, copy.path());
    let journal = newest_journal(copy.path());
    let mut bytes = written(&journal);
    change(&mut bytes);
    // Short again, as after a recovery, which leaves no zeros behind.
    std::fs::write(&journal, bytes).expect("writable");
    let mut tested = open_with(options(copy.path()))?;
    let mut found = Vec::new();
    for number in 0..10 {
        if let Some(value) = tested.get(&key(number)).expect("readable") {
            assert_eq!(value, format!("value-{number}").as_bytes());
            found.push(number);
        }
    }
    // What is written after such a recovery must survive the next one.
    assert_eq!(tested.put(&key(100), b"after"), StoreReply::Done);
    drop(tested);
    let mut tested = open(copy.path());
    assert_eq!(tested.get(&key(100)), Ok(Some(b"after".to_vec())));
    Ok(found)
}

fn damaged_at(result: Result<Vec<u64>, OpenError>) -> (PathBuf, u64) {
    match result {
        Err(OpenError::DamagedJournal { file, offset, .. }) => (file, offset),
        Err(error) => panic!("another error: {error}"),
        Ok(found) => panic!("opened with {found:?}"),
    }
}

#[test]
fn a_journal_cut_anywhere_in_its_last_batch_loses_that_batch_alone() {
    let dir = directory();
    let ends = killed(dir.path(), 3);
    for length in (ends[1]..ends[2]).step_by(3) {
        let found = open_changed(dir.path(), |bytes| bytes.truncate(length));
        assert_eq!(found.expect("a torn tail"), [0, 1], "cut at {length}");
    }
    let whole = open_changed(dir.path(), |bytes| bytes.truncate(ends[2]));
    assert_eq!(whole.expect("whole"), [0, 1, 2]);
}

/// A file system may have made some pages of the last batch durable and not others.
#[test]
fn a_last_batch_with_zeros_or_rubbish_in_it_is_a_torn_tail() {
    let dir = directory();
    let ends = killed(dir.path(), 3);
    for hole in (ends[1]..ends[2]).step_by(9) {
        let to = (hole + 8).min(ends[2]);
        let zeros = open_changed(dir.path(), |bytes| bytes[hole..to].fill(0));
        let zeros = zeros.unwrap_or_else(|error| panic!("zeros at {hole}: {error}"));
        assert!(zeros == [0, 1] || zeros == [0, 1, 2], "zeros at {hole}: {zeros:?}");
        let rubbish = open_changed(dir.path(), |bytes| bytes[hole..to].fill(0xa5));
        assert_eq!(rubbish.expect("a torn tail"), [0, 1], "rubbish at {hole}");
    }
}

/// RocksDB's default recovery and NATS JetStream silently dropped everything behind one flipped bit.
#[test]
fn one_flipped_byte_in_the_middle_of_a_journal_is_damage_and_says_where() {
    let dir = directory();
    let ends = killed(dir.path(), 4);
    for at in (0..ends[2]).step_by(5) {
        let (file, offset) = damaged_at(open_changed(dir.path(), |bytes| bytes[at] ^= 0x40));
        assert_eq!(file.file_name(), newest_journal(dir.path()).file_name());
        let offset = offset as usize;
        let begin = ends.iter().rev().find(|&&end| end <= at).copied().unwrap_or(0);
        let end = ends.iter().find(|&&end| end > at).copied().expect("in a batch");
        // A wrong sequence number shows at the next batch; before ours stands the one that counts the boot.
        let is_told = offset == begin || offset == end || at < ends[0];
        assert!(is_told, "byte {at}: said {offset}, batches end at {ends:?}");
    }
}

/// The engine's checksum does not cover a batch's number. A number raised by a flipped bit made the next batch look out of
/// order, and the check took that whole, acknowledged batch for a torn tail.
#[test]
fn a_raised_sequence_number_before_the_last_batch_is_damage() {
    let dir = directory();
    let ends = killed(dir.path(), 3);
    let (_, offset) = damaged_at(open_changed(dir.path(), |bytes| bytes[ends[0] + 6] ^= 0x40));
    assert_eq!(offset as usize, ends[1]);
}

#[test]
fn a_missing_page_in_the_middle_of_a_journal_is_damage() {
    let dir = directory();
    let ends = killed(dir.path(), 6);
    let (_, offset) = damaged_at(open_changed(dir.path(), |bytes| bytes[ends[1] + 4..ends[3]].fill(0)));
    assert_eq!(offset as usize, ends[1]);
    let (_, offset) = damaged_at(open_changed(dir.path(), |bytes| bytes[ends[1]..ends[3]].fill(0)));
    assert_eq!(offset as usize, ends[1], "a hole from batch to batch");
}

#[test]
fn a_refused_directory_is_left_as_it_is() {
    let dir = directory();
    let ends = killed(dir.path(), 3);
    let journal = newest_journal(dir.path());
    let good = written(&journal);
    let mut bad = good.clone();
    bad[ends[0] + 20] ^= 1;
    std::fs::write(&journal, &bad).expect("writable");
    assert!(open_with(options(dir.path())).is_err());
    assert_eq!(std::fs::read(&journal).expect("readable"), bad);
    std::fs::write(&journal, &good).expect("writable");
    let mut tested = open(dir.path());
    assert_eq!(
        tested.get(&key(2)),
        Ok(Some(b"value-2".to_vec())),
        "mended from outside, it opens"
    );
}

#[test]
fn a_bad_end_of_a_sealed_journal_is_damage() {
    let dir = directory();
    killed(dir.path(), 3);
    let journal = newest_journal(dir.path());
    let mut bytes = written(&journal);
    let end = bytes.len();
    bytes[end - 6] ^= 1;
    std::fs::write(&journal, bytes).expect("writable");
    let number: u64 = journal.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let newer = journal.with_file_name(format!("{}.jnl", number + 1));
    std::fs::write(newer, []).expect("writable");
    assert_eq!(journals(dir.path()).len(), 2);
    let error = open_with(options(dir.path())).err().expect("refused");
    assert!(
        matches!(&error, OpenError::DamagedJournal { file, .. } if *file == journal),
        "{error}"
    );
}

#[test]
fn a_flipped_byte_in_a_table_makes_records_unknown_and_leaves_the_others() {
    let dir = directory();
    let mut small = options(dir.path());
    small.memory_bytes_max = 8 << 20;
    let count = 10_000;
    let mut tested = open_with(small.clone()).expect("opens");
    for number in 0..count {
        let token = tested.submit(crate::harness::commit(
            &[(&key(number), format!("value-{number:0>100}").as_bytes())],
            torc_core::bucket::Durability::Buffered,
        ));
        if number % 500 == 0 {
            assert_eq!(tested.wait(token), StoreReply::Done);
        }
    }
    tested.stop();
    let table = table_with(dir.path(), b"value-0000").expect("a flushed table");
    let mut bytes = std::fs::read(&table).expect("readable");
    let needle = b"value-0000";
    let at = bytes
        .windows(needle.len())
        .position(|window| window == needle)
        .expect("found");
    bytes[at + 2] ^= 1;
    std::fs::write(&table, bytes).expect("writable");
    let mut tested = open_with(small).expect("opens: the damage is in one block");
    let mut damaged = 0;
    for number in 0..count {
        match tested.get(&key(number)) {
            Ok(value) => assert_eq!(value, Some(format!("value-{number:0>100}").into_bytes())),
            Err(error) => {
                assert_eq!(error, StoreError::Damaged);
                damaged += 1;
            }
        }
    }
    assert!(
        (1..=100).contains(&damaged),
        "{damaged} of {count}: one block holds a few dozen"
    );
    assert_eq!(tested.store.stats().damaged_records, damaged);
    assert!(
        !tested.store.stats().out_of_service,
        "a damaged record is no reason to stop"
    );
    let scan = torc_core::storage::StoreOp::Scan {
        range: all_of(torc_core::id::BucketId(2)),
        class: torc_core::bucket::StorageClass::Disk,
        records_max: u32::MAX,
        bytes_max: usize::MAX,
        may_wait: false,
    };
    assert_eq!(
        tested.ask(scan),
        StoreReply::Failed(StoreError::Damaged),
        "not a page with a hole in it"
    );
}

/// A table that holds `needle`, somewhere under `dir`.
pub fn table_with(dir: &Path, needle: &[u8]) -> Option<PathBuf> {
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            if let Some(found) = table_with(&path, needle) {
                return Some(found);
            }
        } else if path.extension().is_none() {
            let bytes = std::fs::read(&path).expect("readable");
            if bytes.windows(needle.len()).any(|window| window == needle) {
                return Some(path);
            }
        }
    }
    None
}
