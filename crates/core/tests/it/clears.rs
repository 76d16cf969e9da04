//! FLUSHDB against clocks that are far ahead: it hides what was acknowledged before it, and nothing that comes after.

use bytes::Bytes;
use torc_core::causality::ClientContext;
use torc_core::command::{Clear, Command, Options};
use torc_core::id::NodeId;
use torc_core::outcome::{Certainty, Outcome};
use torc_core::storage::BootState;
use torc_core::time::{Hlc, Wall};

use crate::cluster::{Cluster, REDIS, put};

const STRICT: Options = Options {
    read: None,
    write: None,
    strict: true,
    timeout_ms: None,
};

/// An hour after the clocks of these clusters.
const FAST: ClientContext = ClientContext::Clock(Hlc::at(Wall(1_700_003_600_000)));

fn clear(cluster: &mut Cluster, node: NodeId) -> Outcome {
    let bucket = REDIS;
    let options = STRICT;
    cluster.ask(node, Command::Clear(Clear { bucket, options }))
}

fn values(cluster: &mut Cluster, node: NodeId, key: &str) -> Vec<Bytes> {
    let found = cluster.get(node, REDIS, key);
    found.siblings.into_iter().map(|sibling| sibling.value.data).collect()
}

/// A clear was signed by its home's clock alone, and whatever a faster clock had signed outlived it.
#[test]
fn a_clear_hides_what_a_fast_clock_had_signed() {
    let mut cluster = Cluster::new(3);
    let [fast, other, third] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.put(fast, REDIS, "k", "old", Some(FAST));
    cluster.run_for_ms(1_000);
    assert_eq!(values(&mut cluster, third, "k"), ["old"]);
    let cleared = clear(&mut cluster, other);
    assert!(matches!(cleared, Outcome::Written(_)), "{cleared:?}");
    for node in [fast, other, third] {
        assert!(values(&mut cluster, node, "k").is_empty(), "at {node:?}");
    }
}

/// The clear stands an hour ahead: a home that missed it signed below it, was acknowledged, and showed nothing.
#[test]
fn a_put_after_a_clear_that_its_home_has_missed_is_signed_above_it() {
    let mut cluster = Cluster::new(3);
    let [fast, other, away] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.put(fast, REDIS, "k", "old", Some(FAST));
    cluster.run_for_ms(1_000);
    cluster.cut(away);
    let cleared = clear(&mut cluster, other);
    assert!(matches!(cleared, Outcome::Written(_)), "{cleared:?}");
    cluster.mend();
    assert!(matches!(
        cluster.ask(away, put(REDIS, "k2", "new", None, STRICT)),
        Outcome::Written(_)
    ));
    cluster.run_for_ms(1_000);
    for node in [fast, other, away] {
        assert_eq!(values(&mut cluster, node, "k2"), ["new"], "at {node:?}");
    }
}

/// Its clock starts at what the wall says: only the records themselves know that it was ahead before.
#[test]
fn a_node_that_has_forgotten_how_far_its_clock_was_clears_what_it_signed() {
    let mut cluster = Cluster::new(1);
    let node = cluster.names[0];
    cluster.put(node, REDIS, "k", "old", Some(FAST));
    let boot = BootState {
        incarnation: 2,
        lineage: vec![100, 200],
        ..BootState::default()
    };
    cluster.restart(node, boot);
    cluster.run_for_ms(1_000);
    assert_eq!(values(&mut cluster, node, "k"), ["old"]);
    assert!(matches!(clear(&mut cluster, node), Outcome::Written(_)));
    assert!(values(&mut cluster, node, "k").is_empty());
    cluster.put(node, REDIS, "k", "new", None);
    assert_eq!(values(&mut cluster, node, "k"), ["new"]);
    // What is written after the first clear is known without another look at the disk.
    cluster.put(node, REDIS, "k", "newer", Some(FAST));
    assert!(matches!(clear(&mut cluster, node), Outcome::Written(_)));
    assert!(values(&mut cluster, node, "k").is_empty());
}

/// With too few homes to ask, nothing is signed.
#[test]
fn a_clear_that_cannot_ask_a_quorum_was_not_applied() {
    let mut cluster = Cluster::new(3);
    let [node, other, third] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.put(node, REDIS, "k", "v", None);
    cluster.cut(other);
    cluster.cut(third);
    match clear(&mut cluster, node) {
        Outcome::Failed(failure) => assert_eq!(failure.certainty, Certainty::NotApplied),
        other => panic!("{other:?}"),
    }
    cluster.mend();
    assert_eq!(values(&mut cluster, node, "k"), ["v"]);
}

/// The first clear reads every partition at every home: all at once, nothing else was done meanwhile.
#[test]
fn a_clear_takes_a_few_partitions_at_a_time() {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    let (bucket, options) = (REDIS, STRICT);
    let id = cluster.begin(node, Command::Clear(Clear { bucket, options }));
    assert_eq!(cluster.reads_on_the_wire(), 8 * 2);
    cluster.run_for_ms(1_000);
    assert!(matches!(cluster.outcome(id), Some(Outcome::Written(_))));
}
