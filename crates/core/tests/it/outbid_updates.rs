//! Updates that a home outbids with something that their read had not seen: computed anew, they do not take what they
//! wrote before for somebody else's.

use bytes::Bytes;
use torc_core::causality::ClientContext;
use torc_core::command::{Command, Options, UpdateKey};
use torc_core::id::NodeId;
use torc_core::keyspace::{Update, UpdateReply};
use torc_core::outcome::Outcome;
use torc_core::quorum::QuorumSize;
use torc_core::time::{Hlc, Wall};

use crate::cluster::{Cluster, REDIS, put, target};

/// An hour after the clocks of these clusters.
const FAST: ClientContext = ClientContext::Clock(Hlc::at(Wall(1_700_003_600_000)));

/// Reads its own copy and writes all of them.
const ONE_AND_ALL: Options = Options {
    read: Some(QuorumSize::One),
    write: Some(QuorumSize::All),
    strict: true,
    timeout_ms: None,
};

/// A home of the key `k`, when another one has acknowledged alone what a fast clock signed under this sort key.
fn with_a_greater_record(mut cluster: Cluster, sort: &'static [u8]) -> (Cluster, NodeId) {
    let [home, other, ..] = cluster.preference_list(REDIS, "k").0[..] else {
        panic!("three homes")
    };
    let alone = Options {
        write: Some(QuorumSize::One),
        strict: true,
        ..Options::default()
    };
    let Command::Put(mut greater) = put(REDIS, "k", "greater", Some(FAST), alone) else {
        panic!("a put")
    };
    greater.target.sort = Bytes::from_static(sort);
    cluster.cut(other);
    let outcome = cluster.ask(other, Command::Put(greater));
    assert!(matches!(outcome, Outcome::Written(_)), "{outcome:?}");
    cluster.mend();
    (cluster, home)
}

fn update(cluster: &mut Cluster, home: NodeId, update: Update, options: Options) -> UpdateReply {
    let command = UpdateKey {
        target: target(REDIS, "k"),
        update,
        options,
    };
    match cluster.ask(home, Command::Update(command)) {
        Outcome::Updated(reply, _) => reply,
        other => panic!("{other:?}"),
    }
}

fn string(cluster: &mut Cluster, home: NodeId) -> UpdateReply {
    update(cluster, home, Update::Append(Bytes::new()), Options::default())
}

#[test]
fn a_hash_set_counts_the_fields_that_others_had_not_set() {
    let (mut cluster, home) = with_a_greater_record(Cluster::new(3), b"\x01a");
    let pair = |field: &'static str| (Bytes::from_static(field.as_bytes()), Bytes::from_static(b"v"));
    let set = Update::HashSet(vec![pair("a"), pair("b"), pair("c")]);
    let reply = update(&mut cluster, home, set, ONE_AND_ALL);
    assert_eq!(reply, UpdateReply::Integer(3), "its own read had found none");
    assert_eq!(cluster.nodes[&home].stats().remints, 1, "it was outbid");
}

#[test]
fn what_is_appended_is_appended_once() {
    let (mut cluster, home) = with_a_greater_record(Cluster::new(3), b"");
    let append = Update::Append(Bytes::from_static(b"xy"));
    let reply = update(&mut cluster, home, append, ONE_AND_ALL);
    assert_eq!(reply, UpdateReply::Integer(2));
    assert_eq!(cluster.nodes[&home].stats().remints, 1, "it was outbid");
    assert_eq!(string(&mut cluster, home), UpdateReply::Integer(2));
}

#[test]
fn a_delete_says_that_there_was_something() {
    let mut cluster = Cluster::new(3);
    let first = cluster.names[0];
    cluster.put(first, REDIS, "k", "old", None);
    cluster.run_for_ms(1_000);
    let (mut cluster, home) = with_a_greater_record(cluster, b"");
    let reply = update(&mut cluster, home, Update::Del, ONE_AND_ALL);
    assert_eq!(reply, UpdateReply::Integer(1));
    assert_eq!(cluster.nodes[&home].stats().remints, 1, "it was outbid");
    assert_eq!(string(&mut cluster, home), UpdateReply::Integer(0), "it is gone");
}
