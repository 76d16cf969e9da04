//! Scrubs of a real engine: sound files, flipped bytes anywhere in a table, files given up.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use torc_core::bucket::Durability;
use torc_core::storage::{Scrubbed, StoreError, StoreOp, StoreReply};
use torc_store::{FsyncFault, StoreOptions};

use crate::damage::table_with;
use crate::harness::{Tested, commit, copy_dir, directory, key, open_with, options};

const COUNT: u64 = 3_000;

fn small(dir: &Path) -> StoreOptions {
    let mut small = options(dir);
    small.memory_bytes_max = 8 << 20;
    small
}

fn value(number: u64) -> Vec<u8> {
    // Some long enough to live in a blob file.
    let length = if number.is_multiple_of(100) { 6_000 } else { 200 };
    let mut value = format!("value-{number:06}-").into_bytes();
    let mut random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    while value.len() < length {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        value.push((random >> 56) as u8);
    }
    value
}

/// A store whose records are in tables, stopped.
fn written(dir: &Path) {
    let mut tested = open_with(small(dir)).expect("opens");
    for number in 0..COUNT {
        let token = tested.submit(commit(&[(&key(number), &value(number))], Durability::Buffered));
        if number % 200 == 0 {
            assert_eq!(tested.wait(token), StoreReply::Done);
        }
    }
    tested.stop();
}

/// A whole pass, in parts of `bytes_max`.
fn scrub(tested: &mut Tested, bytes_max: u64) -> Result<Scrubbed, StoreError> {
    let mut sum = Scrubbed::default();
    let mut from = Bytes::new();
    loop {
        let part = match tested.ask(StoreOp::Scrub { from, bytes_max }) {
            StoreReply::Scrubbed(part) => part,
            StoreReply::Failed(error) => return Err(error),
            other => panic!("a scrub was answered {other:?}"),
        };
        assert!(part.bytes <= bytes_max + (64 << 10), "{} bytes in one part", part.bytes);
        assert!(part.done_per_mille >= sum.done_per_mille, "a pass goes forward");
        sum.bytes += part.bytes;
        sum.records += part.records;
        sum.damaged.extend(part.damaged);
        sum.spoiled.extend(part.spoiled);
        sum.done_per_mille = part.done_per_mille;
        match part.next {
            Some(next) => from = next,
            None => return Ok(sum),
        }
    }
}

#[test]
fn a_scrub_of_sound_files_reads_every_file_and_every_record() {
    let dir = directory();
    written(dir.path());
    let mut tested = open_with(small(dir.path())).expect("opens");
    for bytes_max in [10_000, 1 << 20] {
        let found = scrub(&mut tested, bytes_max).expect("readable");
        assert_eq!((found.records, found.damaged.len(), found.spoiled.len()), (COUNT, 0, 0));
        assert_eq!(found.done_per_mille, 1_000);
        let payload: u64 = (0..COUNT).map(|number| value(number).len() as u64).sum();
        assert!(
            found.bytes > payload,
            "the tables, and the records again: {}",
            found.bytes
        );
    }
}

fn table_of(dir: &Path) -> PathBuf {
    table_with(dir, b"value-000001-").expect("a flushed table")
}

/// Filters, indexes and trailers count too: a bad filter makes records absent.
#[test]
fn a_byte_flipped_anywhere_in_a_table_is_found_by_the_scrub_or_refused_at_once() {
    let dir = directory();
    written(dir.path());
    let length = std::fs::metadata(table_of(dir.path())).expect("a table").len() as usize;
    let mut refused = 0;
    for step in 0..24 {
        let copy = directory();
        copy_dir(dir.path(), copy.path());
        let table = table_of(copy.path());
        let mut bytes = std::fs::read(&table).expect("readable");
        let at = step * (length - 1) / 23;
        bytes[at] ^= 0x10;
        std::fs::write(&table, bytes).expect("writable");
        let mut tested = match open_with(small(copy.path())) {
            Ok(tested) => tested,
            Err(error) => {
                assert!(error.is_damage(), "{error}");
                refused += 1;
                continue;
            }
        };
        let found = scrub(&mut tested, 1 << 20).expect("goes on");
        assert!(!found.spoiled.is_empty(), "byte {at} of {length}");
        assert!(found.spoiled[0].file.contains("tables"), "{:?}", found.spoiled[0].file);
        for number in 0..COUNT {
            match tested.get(&key(number)) {
                Ok(found) => assert_eq!(found, Some(value(number)), "byte {at}: key {number}"),
                Err(error) => assert_eq!(error, StoreError::Damaged),
            }
        }
    }
    assert!(
        refused < 12,
        "most damage is found while the node serves, {refused} of 24 was not"
    );
}

/// An I/O error was taken for damage: the file was given up, and what was written since replaced the only copy.
#[test]
fn what_can_not_be_read_for_a_while_is_neither_damaged_nor_given_up() {
    let dir = directory();
    written(dir.path());
    let mut tested = open_with(small(dir.path())).expect("opens");
    let table = table_of(dir.path());
    let aside = table.with_extension("aside");
    // A directory can be opened, and every read of it fails.
    std::fs::rename(&table, &aside).expect("renamed");
    std::fs::create_dir(&table).expect("made");
    let (mut from, bytes_max) = (Bytes::new(), 1 << 20);
    let error = loop {
        match tested.ask(StoreOp::Scrub { from, bytes_max }) {
            StoreReply::Scrubbed(part) => {
                assert!(part.spoiled.is_empty() && part.damaged.is_empty(), "{part:?}");
                from = part.next.expect("no pass ends that could not read everything");
            }
            StoreReply::Failed(error) => break error,
            other => panic!("a scrub was answered {other:?}"),
        }
    };
    assert_eq!(error, StoreError::Unreadable);
    for number in (0..COUNT).step_by(50) {
        match tested.get(&key(number)) {
            Ok(found) => assert_eq!(found, Some(value(number)), "read past the directory by an open handle"),
            Err(error) => assert_eq!(error, StoreError::Unreadable),
        }
    }
    std::fs::remove_dir(&table).expect("removed");
    std::fs::rename(&aside, &table).expect("renamed");
    let found = scrub(&mut tested, 1 << 20).expect("readable again");
    assert_eq!((found.records, found.damaged.len(), found.spoiled.len()), (COUNT, 0, 0));
}

#[test]
fn a_file_that_was_given_up_is_gone_and_the_cache_with_it() {
    let dir = directory();
    written(dir.path());
    let table = table_of(dir.path());
    let mut bytes = std::fs::read(&table).expect("readable");
    let at = bytes.len() / 3;
    bytes[at] ^= 0x10;
    std::fs::write(&table, bytes).expect("writable");
    let mut tested = open_with(small(dir.path())).expect("opens");
    // What can be read is in the cache now.
    let readable = (0..COUNT).filter(|&number| tested.get(&key(number)).is_ok()).count();
    let found = scrub(&mut tested, 1 << 20).expect("goes on");
    for spoiled in found.spoiled {
        assert_eq!(tested.ask(StoreOp::Discard(spoiled)), StoreReply::Done);
    }
    let left = (0..COUNT)
        .filter(|&number| tested.get(&key(number)).expect("nothing is damaged any more").is_some())
        .count();
    assert!(
        left < readable,
        "{left} of {readable} left: the cache answers for the dropped file"
    );
    assert_eq!(tested.put(&key(1), b"again"), StoreReply::Done);
    let sound = scrub(&mut tested, 1 << 20).expect("readable");
    assert_eq!((sound.damaged.len(), sound.spoiled.len()), (0, 0));
    tested.stop();
    let mut tested = open_with(small(dir.path())).expect("opens");
    assert_eq!(tested.get(&key(1)), Ok(Some(b"again".to_vec())));
}

#[test]
fn a_flipped_byte_in_a_blob_file_is_found() {
    let dir = directory();
    written(dir.path());
    let blobs = blob_file(dir.path()).expect("long values");
    let mut bytes = std::fs::read(&blobs).expect("readable");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&blobs, bytes).expect("writable");
    let mut tested = open_with(small(dir.path())).expect("opens");
    let found = scrub(&mut tested, 1 << 20).expect("goes on");
    assert!(!found.spoiled.is_empty());
    assert!(found.spoiled[0].file.contains("blobs"), "{:?}", found.spoiled[0].file);
}

fn blob_file(dir: &Path) -> Option<PathBuf> {
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            if let Some(found) = blob_file(&path) {
                return Some(found);
            }
        } else if path.parent().is_some_and(|parent| parent.ends_with("blobs")) {
            return Some(path);
        }
    }
    None
}

/// The engine's compactions stop at the first damaged block, and the store with them. It opened again and failed again.
#[test]
fn a_store_that_failed_on_a_damaged_table_says_so_at_the_next_start_until_its_data_are_set_aside() {
    let dir = directory();
    written(dir.path());
    let table = table_of(dir.path());
    let mut bytes = std::fs::read(&table).expect("readable");
    bytes[10_000] ^= 0x10;
    std::fs::write(&table, bytes).expect("writable");
    let mark = dir.path().join("damage");

    let mut tested = open_with(small(dir.path())).expect("the damage is in the middle of a table");
    // Tables of the same keys, until they are compacted together.
    let mut is_out_of_service = false;
    for number in (0..COUNT).cycle().take(40 * COUNT as usize) {
        let token = tested.submit(commit(&[(&key(number), &value(number))], Durability::Buffered));
        if number % 50 == 0 && tested.wait(token) == StoreReply::Failed(StoreError::OutOfService) {
            is_out_of_service = true;
            break;
        }
    }
    assert!(is_out_of_service, "no compaction met the damage");
    let began = std::time::Instant::now();
    while !mark.exists() {
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "no mark");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    drop(tested);

    for _ in 0..2 {
        let refused = open_with(small(dir.path())).map(drop).expect_err("marked");
        assert!(refused.is_damage(), "{refused}");
        let words = refused.to_string();
        assert!(words.contains(&table.display().to_string()), "it says what: {words}");
        assert!(words.contains("torc serve --rebuild"), "and what to do: {words}");
    }
    let aside = torc_store::set_aside(dir.path()).expect("nobody has it open");
    assert!(aside.join("damage").exists() && aside.join("engine").exists() && !mark.exists());
    let tested = open_with(small(dir.path())).expect("an empty directory");
    tested.stop();
}

/// A sync that fails says nothing of the data: they are opened again as ever.
#[test]
fn a_store_that_failed_for_another_reason_has_no_mark() {
    let dir = directory();
    written(dir.path());
    let mut tested = open_with(small(dir.path())).expect("opens");
    tested.store.faults().set_fsync(FsyncFault::Fail);
    assert_eq!(tested.put(&key(1), b"v"), StoreReply::Failed(StoreError::OutOfService));
    drop(tested);
    assert!(!dir.path().join("damage").exists());
    open_with(small(dir.path())).expect("opens").stop();
}
