//! What passes where no disk has room: deletes, and what makes copies equal.

use torc_core::command::{Options, PutContext};
use torc_core::effect::Input;
use torc_core::outcome::{Cause, Outcome};
use torc_core::quorum::QuorumSize;
use torc_core::storage::StoreHealth;

use crate::cluster::{Cluster, DEFAULT, delete, get, put};
use crate::stories::values;

fn fill(cluster: &mut Cluster) {
    for node in cluster.names.clone() {
        let full = StoreHealth {
            full: true,
            ..StoreHealth::default()
        };
        cluster.step(node, Input::StoreHealth(full));
    }
}

/// The other homes looked at the record that it left, not at what was asked for: beside a value a tombstone was refused,
/// and stood at the home that had signed it alone.
#[test]
fn a_delete_that_leaves_a_value_passes_on_full_disks() {
    let mut cluster = Cluster::new(3);
    let [a, b, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    let first = cluster.put(a, DEFAULT, "k", "first", None);
    cluster.put(b, DEFAULT, "k", "second", None);
    fill(&mut cluster);
    for context in [PutContext::Blind, PutContext::Seen(first)] {
        let outcome = cluster.ask(c, delete(DEFAULT, "k", context));
        assert!(matches!(outcome, Outcome::Written(_)), "{outcome:?}");
    }
    assert_eq!(values(&cluster.get(a, DEFAULT, "k")), ["second"]);
    assert_eq!(cluster.disks[&a].records, cluster.disks[&b].records);
    assert_eq!(cluster.disks[&a].records, cluster.disks[&c].records);
    let outcome = cluster.ask(c, put(DEFAULT, "k", "third", None, Options::default()));
    assert!(matches!(outcome, Outcome::Failed(failure) if failure.cause == Cause::DiskFull));
}

/// A strict read that finds homes to differ makes them equal before it answers, and was refused.
#[test]
fn a_strict_read_writes_back_on_full_disks() {
    let mut cluster = Cluster::new(3);
    let [a, b, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.cut(c);
    cluster.put(a, DEFAULT, "k", "v", None);
    fill(&mut cluster);
    cluster.mend();
    let strict = Options {
        read: Some(QuorumSize::One),
        strict: true,
        ..Options::default()
    };
    let Outcome::Found(found) = cluster.ask(b, get(DEFAULT, "k", strict)) else {
        panic!("what differs is written back")
    };
    assert_eq!(values(&found), ["v"]);
    assert_eq!(cluster.disks[&a].records, cluster.disks[&c].records);
}
