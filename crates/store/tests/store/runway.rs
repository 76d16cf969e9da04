//! The zeros that are laid ahead in journals: there, and never over what was written.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{SeekFrom, seek};
use torc_core::storage::StoreReply;

use crate::harness::{MIB, Tested, directory, journals, key, newest_journal, open, open_with, options};

/// How long a journal is made, and where what was written into it ends.
fn lengths(journal: &Path) -> (u64, u64) {
    let file = File::open(journal).expect("readable");
    let length = file.metadata().expect("readable").len();
    let mut end = length;
    let mut buffer = vec![0; 1 << 16];
    while end > 0 {
        let begin = end.saturating_sub(buffer.len() as u64);
        let part = &mut buffer[..(end - begin) as usize];
        file.read_exact_at(part, begin).expect("readable");
        if let Some(last) = part.iter().rposition(|&byte| byte != 0) {
            return (length, begin + last as u64 + 1);
        }
        end = begin;
    }
    (length, 0)
}

/// Where the first hole of a journal begins.
fn hole(journal: &Path) -> u64 {
    seek(File::open(journal).expect("readable"), SeekFrom::Hole(0)).expect("a file system that knows holes")
}

fn value(number: u64, bytes: usize) -> Vec<u8> {
    format!("{number:0>bytes$}").into_bytes()
}

fn put(tested: &mut Tested, numbers: std::ops::Range<u64>, bytes: usize) {
    for number in numbers {
        assert_eq!(
            tested.put_buffered(&key(number), &value(number, bytes)),
            StoreReply::Done
        );
    }
}

fn assert_has(tested: &mut Tested, numbers: std::ops::Range<u64>, bytes: usize) {
    for number in numbers {
        assert_eq!(tested.get(&key(number)), Ok(Some(value(number, bytes))), "{number}");
    }
}

#[test]
fn there_are_zeros_ahead_of_whatever_is_appended() {
    let dir = directory();
    let mut tested = open(dir.path());
    let journal = newest_journal(dir.path());
    for round in 0..20 {
        // The zeros of a commit are laid once it is answered, so before the next one is.
        put(&mut tested, round * 101..round * 101 + 101, 1_000);
        let (length, written) = lengths(&journal);
        assert_eq!(length, 64 * MIB);
        let laid = hole(&journal).saturating_sub(written);
        assert!(
            (100 << 10..1 << 20).contains(&laid),
            "{laid} bytes of zeros after {written} written ones"
        );
    }
    drop(tested);
    assert_has(&mut open(dir.path()), 0..2_020, 1_000);
}

/// The engine appends to the end of such a journal: zeros there would end it for the next recovery.
#[test]
fn a_journal_that_was_found_is_not_touched() {
    let dir = directory();
    for boot in 0..4 {
        let mut tested = open(dir.path());
        assert_has(&mut tested, 0..boot * 300, 1_000);
        put(&mut tested, boot * 300..boot * 300 + 300, 1_000);
        let (length, written) = lengths(&newest_journal(dir.path()));
        assert_eq!(boot > 0, length == written, "boot {boot}: {length}, {written}");
        drop(tested);
    }
    assert_eq!(journals(dir.path()).len(), 1);
    assert_has(&mut open(dir.path()), 0..1_200, 1_000);
}

#[test]
fn a_journal_that_follows_another_has_its_zeros_too() {
    let dir = directory();
    let small = |dir: &Path| {
        let mut small = options(dir);
        small.memory_bytes_max = 8 * MIB;
        open_with(small).unwrap_or_else(|error| panic!("{error}"))
    };
    let mut tested = small(dir.path());
    let first = newest_journal(dir.path());
    let mut next = 0;
    while newest_journal(dir.path()) == first {
        put(&mut tested, next..next + 100, 10_000);
        next += 100;
        assert!(next < 20_000, "no journal follows");
    }
    put(&mut tested, next..next + 100, 10_000);
    next += 100;
    let journal = newest_journal(dir.path());
    let laid = hole(&journal).saturating_sub(lengths(&journal).1);
    assert!(
        (100 << 10..1 << 20).contains(&laid),
        "{laid} bytes of zeros in the journal that follows"
    );
    drop(tested);
    assert_has(&mut small(dir.path()), 0..next, 10_000);
}
