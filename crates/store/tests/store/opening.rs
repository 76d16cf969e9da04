//! Whose directory it is, and who may open it.

use torc_core::storage::StoreReply;
use torc_store::{OpenError, StoreOptions};

use crate::harness::{Tested, directory, key, open, open_with, options};

/// Why a directory that was written under `options(dir)` is refused when `change` is made to them.
fn refusal(change: impl FnOnce(&mut StoreOptions)) -> OpenError {
    let dir = directory();
    let mut tested = open(dir.path());
    assert_eq!(tested.put(&key(1), b"kept"), StoreReply::Done);
    drop(tested);
    let mut changed = options(dir.path());
    change(&mut changed);
    let error = refused(open_with(changed));
    let mut tested = open(dir.path());
    assert_eq!(
        tested.get(&key(1)),
        Ok(Some(b"kept".to_vec())),
        "a refusal changes nothing"
    );
    error
}

fn refused(opened: Result<Tested, OpenError>) -> OpenError {
    match opened {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[test]
fn a_directory_in_use_names_the_process_that_uses_it() {
    let dir = directory();
    let first = open(dir.path());
    let error = refused(open_with(options(dir.path())));
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(
        error.to_string().contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    drop(first);
    open(dir.path());
}

#[test]
fn another_ring_is_refused_and_both_are_shown() {
    let error = refusal(|options| {
        options.epoch.hash = 8;
        options.ring_description = "2 nodes, 256 partitions".into();
    });
    assert!(matches!(error, OpenError::OtherRing { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("1 node, 256 partitions") && text.contains("2 nodes, 256 partitions"),
        "{text}"
    );
}

#[test]
fn another_epoch_number_is_refused() {
    let error = refusal(|options| options.epoch.number = 2);
    assert!(matches!(error, OpenError::OtherRing { .. }), "{error}");
}

#[test]
fn the_directory_of_another_cluster_or_node_is_refused() {
    for (kind, change) in [
        (
            "cluster",
            (|options| options.cluster = "other".into()) as fn(&mut StoreOptions),
        ),
        ("node", |options| options.node = "other".into()),
    ] {
        let error = refusal(change);
        assert!(
            matches!(&error, OpenError::OtherOwner { kind: found, .. } if *found == kind),
            "{error}"
        );
    }
}

#[test]
fn a_newer_format_is_refused_whatever_else_it_says() {
    let dir = directory();
    drop(open(dir.path()));
    std::fs::write(dir.path().join("identity"), "torc-store\nformat 2\nsomething new\n").expect("writable");
    let error = refused(open_with(options(dir.path())));
    assert!(
        matches!(error, OpenError::NewerFormat { found: 2, known: 1, .. }),
        "{error}"
    );
}

#[test]
fn data_without_an_identity_or_with_a_damaged_one_are_refused() {
    let dir = directory();
    drop(open(dir.path()));
    let file = dir.path().join("identity");
    let mut bytes = std::fs::read(&file).expect("readable");
    bytes[30] ^= 1;
    std::fs::write(&file, bytes).expect("writable");
    let error = refused(open_with(options(dir.path())));
    assert!(matches!(error, OpenError::DamagedIdentity { .. }), "{error}");
    std::fs::remove_file(&file).expect("removable");
    let error = refused(open_with(options(dir.path())));
    assert!(matches!(error, OpenError::DamagedIdentity { .. }), "{error}");
}

/// A crash while the directory is being created leaves an identity and half an engine, which holds nothing.
#[test]
fn a_creation_that_was_interrupted_begins_again() {
    let dir = directory();
    drop(open(dir.path()));
    std::fs::remove_file(dir.path().join("engine/version")).expect("removable");
    let mut tested = open(dir.path());
    assert_eq!(tested.boot.incarnation, 1);
    assert_eq!(tested.put(&key(1), b"v"), StoreReply::Done);
}

#[test]
fn other_files_may_live_in_the_directory() {
    let dir = directory();
    std::fs::write(dir.path().join("torc.toml"), "").expect("writable");
    std::fs::create_dir(dir.path().join("log")).expect("writable");
    open(dir.path()).stop();
    open(dir.path());
    assert!(dir.path().join("torc.toml").exists() && dir.path().join("log").exists());
}
