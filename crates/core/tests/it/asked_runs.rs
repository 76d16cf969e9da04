//! Runs of background work that an operator asks for while it is paused: they do all there is to do, and can be called off.

use torc_core::background::{PaceChange, Work};
use torc_core::command::{Command, Options, Put, PutAction, PutContext};
use torc_core::effect::Input;
use torc_core::id::NodeId;

use torc_core::storage::{BootState, COPIES_KNOWN};

use crate::cluster::{Cluster, DEFAULT, target};

const KEYS: usize = 1_000;

fn change(cluster: &mut Cluster, node: NodeId, work: Work, change: PaceChange) {
    cluster.step(node, Input::Control { work, change });
}

fn pause(cluster: &mut Cluster, work: Work) {
    let paused = PaceChange {
        paused: Some(true),
        ..PaceChange::default()
    };
    for node in cluster.names.clone() {
        change(cluster, node, work, paused);
    }
}

fn run(cluster: &mut Cluster, node: NodeId, work: Work) {
    let run_now = PaceChange {
        run_now: true,
        ..PaceChange::default()
    };
    change(cluster, node, work, run_now);
}

/// Three nodes of which the third has missed what was written and has counted no tree since it started.
fn with_one_behind() -> (Cluster, NodeId) {
    let mut cluster = Cluster::new(3);
    let [a, _, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.cut(c);
    for number in 0..KEYS {
        cluster.put(a, DEFAULT, &format!("k{number}"), "v", None);
    }
    let boot = BootState {
        incarnation: 2,
        lineage: vec![102, 103],
        rebuilding: vec![COPIES_KNOWN],
        ..BootState::default()
    };
    cluster.restart(c, boot);
    pause(&mut cluster, Work::AntiEntropy);
    cluster.mend();
    (cluster, c)
}

/// The round that was asked for was over before any tree was counted, and compared nothing.
#[test]
fn a_paused_node_that_has_counted_nothing_counts_and_compares_when_a_run_is_asked_for() {
    let (mut cluster, c) = with_one_behind();
    cluster.run_for_ms(30_000);
    assert_eq!(cluster.disks[&c].records.len(), 0, "it is paused");
    run(&mut cluster, c, Work::AntiEntropy);
    cluster.run_for_ms(60_000);
    assert_eq!(cluster.disks[&c].records.len(), KEYS);
    let compared = |cluster: &Cluster| cluster.nodes[&c].stats().entropy_exchanges;
    let at_the_end = compared(&cluster);
    cluster.run_for_ms(60_000);
    assert_eq!(compared(&cluster), at_the_end, "the run is over, and it is paused");
}

/// A round at hand, of half of the partitions, was taken for the run that was asked for.
#[test]
fn a_run_asked_for_within_a_round_compares_everything() {
    let (mut cluster, c) = with_one_behind();
    run(&mut cluster, c, Work::AntiEntropy);
    cluster.run_until(|cluster| cluster.nodes[&c].entropy().trees_counted > 0);
    run(&mut cluster, c, Work::AntiEntropy);
    cluster.run_for_ms(60_000);
    assert_eq!(cluster.disks[&c].records.len(), KEYS);
}

#[test]
fn a_run_that_was_asked_for_ends_when_the_work_is_paused_once_more() {
    let (mut cluster, c) = with_one_behind();
    run(&mut cluster, c, Work::AntiEntropy);
    let held = |cluster: &Cluster| cluster.disks[&c].records.len();
    cluster.run_until(|cluster| held(cluster) > 0);
    pause(&mut cluster, Work::AntiEntropy);
    cluster.run_for_ms(2_000);
    let part = held(&cluster);
    assert!(part < KEYS, "what is in flight ends, and is not all");
    cluster.run_for_ms(60_000);
    assert_eq!(held(&cluster), part);
}

fn delete(cluster: &mut Cluster, key: &str) {
    let node = cluster.names[0];
    let seen = cluster.get(node, DEFAULT, key).context.expect("it is there");
    let deletion = Command::Put(Put {
        target: target(DEFAULT, key),
        action: PutAction::Delete,
        context: PutContext::Seen(seen),
        request: None,
        options: Options::default(),
    });
    cluster.ask(node, deletion);
}

/// A walk that was asked for did not begin while reaping was paused.
#[test]
fn paused_reaping_forgets_what_is_dead_when_a_run_is_asked_for_and_then_rests() {
    let mut cluster = Cluster::new(3);
    let [a, ..] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    for node in cluster.nodes.values_mut() {
        node.set_reap_age_ms(1_000);
    }
    pause(&mut cluster, Work::Reaping);
    let left = |cluster: &Cluster| cluster.disks.values().map(|disk| disk.records.len()).sum::<usize>();
    for round in 1..=2 {
        for key in ["one", "two", "three"] {
            cluster.put(a, DEFAULT, key, "v", None);
            delete(&mut cluster, key);
        }
        cluster.run_for_ms(400_000);
        assert_eq!(left(&cluster), 9, "paused, round {round}");
        for node in cluster.names.clone() {
            run(&mut cluster, node, Work::Reaping);
        }
        cluster.run_for_ms(30_000);
        assert_eq!(left(&cluster), 0, "asked for, round {round}");
    }
}

/// A walk under way went on through a pause.
#[test]
fn a_walk_stands_still_while_reaping_is_paused() {
    let mut cluster = Cluster::new(1);
    let node = cluster.names[0];
    for number in 0..KEYS {
        let key = format!("k{number}");
        cluster.put(node, DEFAULT, &key, "v", None);
        delete(&mut cluster, &key);
    }
    let slowly = PaceChange {
        bytes_per_second: Some(1_000),
        run_now: true,
        ..PaceChange::default()
    };
    cluster.nodes.get_mut(&node).expect("one").set_reap_age_ms(1_000);
    change(&mut cluster, node, Work::Reaping, slowly);
    let left = |cluster: &Cluster| cluster.disks[&node].records.len();
    cluster.run_until(|cluster| left(cluster) < KEYS);
    pause(&mut cluster, Work::Reaping);
    cluster.run_for_ms(5_000);
    let part = left(&cluster);
    let walks = |cluster: &Cluster| cluster.nodes[&node].reaping().walks;
    assert!(part > 0 && walks(&cluster) == 0, "it is under way");
    cluster.run_for_ms(400_000);
    assert_eq!((left(&cluster), walks(&cluster)), (part, 0));
}
