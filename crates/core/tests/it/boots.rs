//! Nodes that start: what their peers remember of them decides what they may do.

use torc_core::command::Options;
use torc_core::effect::Input;
use torc_core::outcome::Outcome;
use torc_core::quorum::QuorumSize;
use torc_core::storage::{BootState, COPIES_KNOWN};

use crate::cluster::{Cluster, DEFAULT, put};

const W_ALL: Options = Options {
    read: None,
    write: Some(QuorumSize::All),
    strict: true,
    timeout_ms: None,
};

fn boot(incarnation: u64, lineage: &[u64]) -> BootState {
    BootState {
        incarnation,
        lineage: lineage.to_vec(),
        rebuilding: vec![COPIES_KNOWN],
        ..BootState::default()
    }
}

#[test]
fn two_nodes_have_no_dealings_until_both_know_whose_disk_the_other_works_on() {
    let mut cluster = Cluster::new(3);
    let [a, _, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    // A new connection that only one side has noticed, and its greeting is lost.
    cluster.down.push(c);
    cluster.step(a, Input::Peer { node: c, up: true });
    cluster.run_for_ms(20);
    cluster.down.clear();
    for node in [a, c] {
        let outcome = cluster.ask(node, put(DEFAULT, "k", "v", None, W_ALL));
        assert!(matches!(outcome, Outcome::Failed(_)), "at {node:?}: {outcome:?}");
    }
    cluster.run_for_ms(1_000);
    for node in [a, c] {
        let outcome = cluster.ask(node, put(DEFAULT, "k", "v", None, W_ALL));
        assert!(matches!(outcome, Outcome::Written(_)), "at {node:?}: {outcome:?}");
    }
}

#[test]
fn a_disk_that_was_replaced_by_an_older_copy_is_rebuilt_however_often_it_was_booted() {
    let mut cluster = Cluster::new(3);
    let [a, _, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.cut(c);
    cluster.restart(c, boot(2, &[102, 7]));
    cluster.mend();
    cluster.run_for_ms(2_000);
    assert!(cluster.nodes[&c].rebuilding().is_empty(), "the disk that it was");
    let outcome = cluster.ask(a, put(DEFAULT, "k", "v", None, W_ALL));
    assert!(matches!(outcome, Outcome::Written(_)), "{outcome:?}");
    cluster.cut(c);
    cluster.disks.get_mut(&c).expect("a disk").records.clear();
    cluster.restart(c, boot(9, &[102, 21, 22, 23]));
    assert!(cluster.nodes[&c].rebuilding().is_empty(), "alone it can't know");
    cluster.mend();
    assert!(!cluster.nodes[&c].rebuilding().is_empty(), "its peers do");
    cluster.run_for_ms(5_000);
    assert!(cluster.nodes[&c].rebuilding().is_empty());
    assert_eq!(cluster.disks[&c].records, cluster.disks[&a].records);
}

/// What a rebuild brings is merged with what stands on the disk, and that could not be read: the record was left out, and the copy
/// called complete.
#[test]
fn a_rebuild_that_cannot_read_its_own_disk_begins_again() {
    let mut cluster = Cluster::new(3);
    let [a, _, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    let outcome = cluster.ask(a, put(DEFAULT, "k", "v", None, W_ALL));
    assert!(matches!(outcome, Outcome::Written(_)), "{outcome:?}");
    cluster.cut(c);
    let disk = cluster.disks.get_mut(&c).expect("a disk");
    disk.unreadable = disk.records.keys().cloned().collect();
    disk.records.clear();
    cluster.restart(c, BootState::default());
    cluster.mend();
    cluster.run_for_ms(20_000);
    assert!(!cluster.nodes[&c].rebuilding().is_empty(), "a record is missing");
    cluster.disks.get_mut(&c).expect("a disk").unreadable.clear();
    cluster.run_for_ms(10_000);
    assert!(cluster.nodes[&c].rebuilding().is_empty());
    assert_eq!(cluster.disks[&c].records, cluster.disks[&a].records);
}
