//! Processes that are killed while they write.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use torc_core::bucket::Durability;
use torc_core::id::Token;
use torc_core::storage::StoreReply;
use torc_store::FsyncFault;

use crate::harness::{MIB, Tested, commit, copy_dir, directory, key, open, open_with, options};

const DIR_VARIABLE: &str = "TORC_STORE_TEST_DIR";

fn value(number: u64) -> Vec<u8> {
    // Long enough that the engine begins new journals meanwhile.
    format!("{number:0>3900}").into_bytes()
}

fn small(dir: &Path) -> Tested {
    let mut small = options(dir);
    small.memory_bytes_max = 8 * MIB;
    open_with(small).unwrap_or_else(|error| panic!("{error}"))
}

/// Run by the test below in a process of its own: writes keys upwards and says which are acknowledged, until it is killed.
#[test]
#[ignore = "the process that `acknowledged_commits_survive_a_kill` kills"]
fn writes_until_it_is_killed() {
    let dir = std::env::var_os(DIR_VARIABLE).expect("started by the test below");
    let mut tested = small(Path::new(&dir));
    let mut next: u64 = 0;
    while tested.get(&key(next)) != Ok(None) {
        next += 1;
    }
    let mut waiting: std::collections::VecDeque<(u64, Token)> = std::collections::VecDeque::new();
    loop {
        while waiting.len() < 64 {
            let token = tested.submit(commit(&[(&key(next), &value(next))], Durability::Synced));
            waiting.push_back((next, token));
            next += 1;
        }
        let (number, token) = waiting.pop_front().expect("some");
        assert_eq!(tested.wait(token), StoreReply::Done);
        println!("acknowledged {number}");
    }
}

#[test]
fn acknowledged_commits_survive_a_kill() {
    let dir = directory();
    for round in 0..4 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "crash::writes_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(DIR_VARIABLE, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut acknowledged = None;
        let mut kill_at = None;
        for line in lines {
            let Ok(line) = line else { break };
            // The test runner's own words may stand before the first.
            let Some((_, number)) = line.rsplit_once("acknowledged ") else {
                continue;
            };
            acknowledged = Some(number.parse::<u64>().expect("a number"));
            let at = *kill_at.get_or_insert_with(|| Instant::now() + Duration::from_millis(150 + 170 * round));
            if Instant::now() >= at {
                // Again and again is harmless: it is our child, and not waited for yet.
                child.kill().expect("kills");
            }
        }
        child.wait().expect("ends");
        let acknowledged = acknowledged.expect("something was acknowledged");
        let mut tested = small(dir.path());
        for number in 0..=acknowledged {
            assert_eq!(
                tested.get(&key(number)),
                Ok(Some(value(number))),
                "round {round}: {number} of {acknowledged}"
            );
        }
        assert_eq!(tested.boot.incarnation, 2 * round + 2, "every boot is counted");
        assert_eq!(tested.boot.marker, None);
    }
}

/// What the operating system holds of the files when a commit is acknowledged: all of it, since the commit was synced.
#[test]
fn files_copied_at_an_acknowledgement_hold_the_commit() {
    let dir = directory();
    let mut tested = open(dir.path());
    for number in 0..20 {
        assert_eq!(tested.put(&key(number), &value(number)), StoreReply::Done);
        let copy = directory();
        copy_dir(dir.path(), copy.path());
        let mut copied = open(copy.path());
        for number in 0..=number {
            assert_eq!(copied.get(&key(number)), Ok(Some(value(number))));
        }
    }
}

/// The same with a disk that lies: the test above could fail.
#[test]
fn files_copied_at_an_acknowledgement_of_a_lying_sync_lack_the_commit() {
    let dir = directory();
    let mut tested = open(dir.path());
    assert_eq!(tested.put(&key(1), b"true"), StoreReply::Done);
    tested.store.faults().set_fsync(FsyncFault::Lie);
    assert_eq!(tested.put(&key(2), b"a lie"), StoreReply::Done);
    assert_eq!(
        tested.get(&key(2)),
        Ok(Some(b"a lie".to_vec())),
        "it looks well while the process lives"
    );
    let copy = directory();
    copy_dir(dir.path(), copy.path());
    let mut copied = open(copy.path());
    assert_eq!(copied.get(&key(1)), Ok(Some(b"true".to_vec())));
    assert_eq!(copied.get(&key(2)), Ok(None));
}

/// A kill loses nothing that was applied; only a power failure may.
#[test]
fn files_copied_after_a_buffered_commit_hold_it_before_it_is_synced() {
    let dir = directory();
    let mut patient = options(dir.path());
    patient.sync_interval = Duration::from_secs(3_600);
    let mut tested = open_with(patient).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(tested.put_buffered(&key(1), b"v"), StoreReply::Done);
    assert_eq!(tested.store.stats().syncs, 0);
    let copy = directory();
    copy_dir(dir.path(), copy.path());
    assert_eq!(open(copy.path()).get(&key(1)), Ok(Some(b"v".to_vec())));
}

#[test]
fn buffered_commits_are_synced_after_the_interval() {
    let dir = directory();
    let mut tested = open(dir.path());
    let before = tested.store.stats().syncs;
    assert_eq!(tested.put_buffered(&key(1), b"v"), StoreReply::Done);
    let until = Instant::now() + crate::harness::PATIENCE;
    while tested.store.stats().syncs == before {
        assert!(Instant::now() < until, "never synced");
        std::thread::sleep(Duration::from_millis(2));
    }
}
