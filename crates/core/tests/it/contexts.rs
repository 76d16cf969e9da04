//! Contexts that lives and births make long: what keeps them short (RULINGS 3).

use torc_core::causality::{ClientContext, Context, ContextLimits, SiblingsRecord};
use torc_core::id::NodeId;
use torc_core::storage::{BootState, COPIES_KNOWN};

use crate::cluster::{Cluster, DEFAULT};

const LIMITS: ContextLimits = ContextLimits {
    entries_max: 3,
    spare: 1,
    timed_from: 0,
    folded_from: 100,
};

/// What each home holds of the one key there is.
fn held(cluster: &Cluster) -> Vec<SiblingsRecord> {
    let records = cluster.disks.values().map(|disk| {
        let record = disk.records.values().next().expect("one key");
        record.as_siblings().expect("a siblings bucket").clone()
    });
    records.collect()
}

/// Crashes a node that comes back on the disk it had, under a new life.
fn crash(cluster: &mut Cluster, node: NodeId, lineage: &[u64]) {
    cluster.cut(node);
    let boot = BootState {
        incarnation: lineage.len() as u64,
        lineage: lineage.to_vec(),
        rebuilding: vec![COPIES_KNOWN],
        ..BootState::default()
    };
    cluster.restart(node, boot);
    cluster.mend();
    cluster.run_for_ms(2_000);
}

/// A key that one node has signed in this many lives, each of which replaced what was there.
fn after_lives(lives: u64) -> (Cluster, NodeId, ClientContext) {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    let mut lineage = vec![100];
    let mut context = cluster.put(node, DEFAULT, "k", "v1", None);
    for life in 2..=lives {
        lineage.push(100 + life);
        crash(&mut cluster, node, &lineage);
        context = cluster.put(node, DEFAULT, "k", &format!("v{life}"), Some(context));
    }
    (cluster, node, context)
}

#[test]
fn entries_of_lives_that_are_over_are_folded_at_all_homes_together() {
    let (mut cluster, node, context) = after_lives(12);
    assert!(held(&cluster).iter().all(|record| record.seen.entries() == 12));
    // A walk, the age that all homes must have held it for, and three words of the lead.
    cluster.run_for_ms(600_000);
    let held_after = held(&cluster);
    assert!(held_after.iter().all(|record| *record == held_after[0]));
    assert_eq!(held_after[0].seen.entries(), 1);
    assert!(
        held_after[0].growth.is_empty(),
        "a short context says nothing of its growth"
    );
    let folded: u64 = cluster.nodes.values().map(|node| node.stats().folded_contexts).sum();
    assert_eq!(folded, 3);
    // Whoever read before that replaces what it read, and brings back no value.
    cluster.put(node, DEFAULT, "k", "last", Some(context));
    let found = cluster.get(cluster.names[1], DEFAULT, "k");
    assert_eq!(found.siblings.len(), 1);
}

/// It holds what the others have folded. A comparison gives them all of it back; it holds nothing that anybody had
/// replaced. The next walk folds it everywhere.
#[test]
fn a_home_that_misses_the_last_word_gives_the_entries_back_until_the_next_walk() {
    let (mut cluster, node, _) = after_lives(12);
    let deaf = *cluster.names.iter().find(|name| **name != node).expect("three nodes");
    cluster.misses_folds.push(deaf);
    cluster.run_for_ms(600_000);
    let lengths = |cluster: &Cluster| -> Vec<usize> { held(cluster).iter().map(|r| r.seen.entries()).collect() };
    let folded: u64 = cluster.nodes.values().map(|node| node.stats().folded_contexts).sum();
    assert!(folded >= 2, "the others folded");
    assert_eq!(lengths(&cluster), [12, 12, 12]);
    cluster.misses_folds.clear();
    cluster.run_for_ms(900_000);
    assert_eq!(lengths(&cluster), [1, 1, 1]);
}

#[test]
fn a_short_context_is_not_folded() {
    let (mut cluster, ..) = after_lives(4);
    cluster.run_for_ms(600_000);
    assert!(held(&cluster).iter().all(|record| record.seen.entries() == 4));
}

/// The put drops them at the home that signs and at those that take it: at one alone, the others would give them back.
#[test]
fn a_context_above_its_bound_is_pruned_by_a_put_at_all_homes_and_told_of() {
    let (mut cluster, node, context) = after_lives(6);
    for node in cluster.nodes.values_mut() {
        assert!(node.long_context().is_none());
        node.set_context_limits(LIMITS);
    }
    cluster.run_for_ms(10_000);
    assert!(
        held(&cluster).iter().all(|record| record.seen.entries() == 6),
        "no merge prunes"
    );
    let newest = cluster.put(node, DEFAULT, "k", "last", Some(context.clone()));
    let held_after = held(&cluster);
    assert!(held_after.iter().all(|record| *record == held_after[0]));
    assert_eq!(held_after[0].seen.entries(), 3);
    let ClientContext::Dots(newest) = newest else {
        panic!("a siblings bucket")
    };
    let own = |context: &Context| context.vector().len();
    assert_eq!(own(&newest), 6, "the client is answered what it sent and its own dot");
    for node in cluster.nodes.values() {
        assert_eq!(node.stats().context_entries_pruned, 3);
        assert_eq!(node.long_context().map(|long| long.entries), Some(6));
    }
    cluster.run_for_ms(60_000);
    assert!(
        held(&cluster).iter().all(|record| record.seen.entries() == 3),
        "nobody gives them back"
    );
    cluster.run_for_ms(600_000);
    assert!(
        cluster.nodes.values().all(|node| node.long_context().is_none()),
        "told of for a while"
    );
}

/// What a put replaces had not grown for longest, as a rule, and was the first to be dropped by the same put: the other
/// homes kept it beside what had replaced it.
#[test]
fn a_put_that_prunes_replaces_what_it_replaces_everywhere() {
    let (mut cluster, node, context) = after_lives(6);
    let other = *cluster.names.iter().find(|name| **name != node).expect("three nodes");
    let beside = cluster.put(other, DEFAULT, "k", "beside", None);
    for node in cluster.nodes.values_mut() {
        node.set_context_limits(LIMITS);
    }
    // Entries grow after that of the sibling, which stays for long.
    let mut latest = context;
    let mut lineage: Vec<u64> = (100..=106).collect();
    for life in 7..=9 {
        lineage.push(100 + life);
        crash(&mut cluster, node, &lineage);
        for name in cluster.nodes.values_mut() {
            name.set_context_limits(LIMITS);
        }
        latest = cluster.put(node, DEFAULT, "k", &format!("v{life}"), Some(latest));
    }
    let ClientContext::Dots(mut all) = latest else {
        panic!("a siblings bucket")
    };
    let ClientContext::Dots(beside) = beside else {
        panic!("a siblings bucket")
    };
    all.merge(&beside);
    cluster.put(node, DEFAULT, "k", "last", Some(ClientContext::Dots(all)));
    cluster.run_for_ms(60_000);
    for name in cluster.names.clone() {
        let found = cluster.get(name, DEFAULT, "k");
        assert_eq!(crate::stories::values(&found), ["last"]);
    }
    assert!(held(&cluster).iter().all(|record| record.siblings.len() == 1));
}
