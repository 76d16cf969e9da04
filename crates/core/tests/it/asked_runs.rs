//! Runs of background work that an operator asks for while it is paused: they do all there is to do, and can be called off.

use std::sync::Arc;

use bytes::Bytes;
use torc_core::background::{PaceChange, Work};
use torc_core::command::{Command, Options, PutContext, UpdateKey};
use torc_core::effect::Input;
use torc_core::id::NodeId;
use torc_core::keyspace::Update;
use torc_core::outcome::Outcome;
use torc_core::quorum::QuorumSize;
use torc_core::storage::{BootState, COPIES_KNOWN, HintMemory};
use torc_core::time::Wall;

use crate::cluster::{Cluster, DEFAULT, PAUSE, REDIS, RESUME, RUN, delete, put, target};

const KEYS: usize = 1_000;

fn pause(cluster: &mut Cluster, work: Work) {
    for node in cluster.names.clone() {
        cluster.control(node, work, PAUSE);
    }
}

/// A node that is cut off starts anew, and has counted no tree.
fn restart(cluster: &mut Cluster, node: NodeId, life: u64) {
    let boot = BootState {
        incarnation: 2,
        lineage: vec![life, life + 10],
        rebuilding: vec![COPIES_KNOWN],
        ..BootState::default()
    };
    cluster.restart(node, boot);
}

/// Three nodes of which the third has missed what was written and has counted no tree since it started.
fn with_one_behind() -> (Cluster, NodeId) {
    let mut cluster = Cluster::new(3);
    let [a, _, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.cut(c);
    for number in 0..KEYS {
        cluster.put(a, DEFAULT, &format!("k{number}"), "v", None);
    }
    restart(&mut cluster, c, 102);
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
    cluster.control(c, Work::AntiEntropy, RUN);
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
    cluster.control(c, Work::AntiEntropy, RUN);
    cluster.run_until(|cluster| cluster.nodes[&c].entropy().trees_counted > 0);
    cluster.control(c, Work::AntiEntropy, RUN);
    cluster.run_for_ms(60_000);
    assert_eq!(cluster.disks[&c].records.len(), KEYS);
}

#[test]
fn a_run_that_was_asked_for_ends_when_the_work_is_paused_once_more() {
    let (mut cluster, c) = with_one_behind();
    cluster.control(c, Work::AntiEntropy, RUN);
    let held = |cluster: &Cluster| cluster.disks[&c].records.len();
    cluster.run_until(|cluster| held(cluster) > 0);
    pause(&mut cluster, Work::AntiEntropy);
    cluster.run_for_ms(2_000);
    let part = held(&cluster);
    assert!(part < KEYS, "what is in flight ends, and is not all");
    cluster.run_for_ms(60_000);
    assert_eq!(held(&cluster), part);
}

/// A round that was cut short for want of an answer was taken for whole.
#[test]
fn a_run_whose_questions_are_lost_asks_them_again() {
    let (mut cluster, c) = with_one_behind();
    cluster.loses_comparisons = true;
    cluster.control(c, Work::AntiEntropy, RUN);
    cluster.run_for_ms(20_000);
    assert_eq!(cluster.disks[&c].records.len(), 0);
    cluster.loses_comparisons = false;
    cluster.run_for_ms(60_000);
    assert_eq!(cluster.disks[&c].records.len(), KEYS);
}

/// What a comparison had found to differ was only taken for equal by the comparison after it, which a paused node does not have.
#[test]
fn a_run_that_has_mended_everything_knows_of_no_difference() {
    let (mut cluster, c) = with_one_behind();
    let dirty = |cluster: &Cluster| {
        cluster
            .names
            .iter()
            .map(|node| cluster.nodes[node].entropy().dirty_ranges)
            .sum::<usize>()
    };
    assert!(dirty(&cluster) > 0, "who wrote knows that it was not taken everywhere");
    cluster.control(c, Work::AntiEntropy, RUN);
    cluster.run_for_ms(60_000);
    assert_eq!(cluster.disks[&c].records.len(), KEYS);
    assert_eq!(dirty(&cluster), 0);
    assert!(!cluster.nodes[&c].is_run_going(Work::AntiEntropy));
}

/// What the peers had not counted was taken for equal.
#[test]
fn a_run_goes_on_until_its_peers_have_counted_and_gives_up_if_they_never_do() {
    let (mut cluster, c) = with_one_behind();
    let peers: Vec<NodeId> = cluster.names[..2].to_vec();
    peers.iter().for_each(|&peer| cluster.cut(peer));
    restart(&mut cluster, peers[0], 100);
    restart(&mut cluster, peers[1], 101);
    pause(&mut cluster, Work::AntiEntropy);
    cluster.mend();
    let is_going = |cluster: &Cluster| cluster.nodes[&c].is_run_going(Work::AntiEntropy);
    cluster.control(c, Work::AntiEntropy, RUN);
    cluster.run_for_ms(300_000);
    assert!(!is_going(&cluster), "they are paused for good");
    cluster.unheard = peers.clone();
    cluster.control(c, Work::AntiEntropy, RUN);
    cluster.run_for_ms(20_000);
    assert_eq!((cluster.disks[&c].records.len(), is_going(&cluster)), (0, true));
    for peer in peers {
        cluster.control(peer, Work::AntiEntropy, RESUME);
    }
    cluster.run_for_ms(60_000);
    assert_eq!((cluster.disks[&c].records.len(), is_going(&cluster)), (KEYS, false));
}

/// A peer that went away while another one was compared with, and was back at once, was left out.
#[test]
fn a_run_compares_with_a_peer_that_was_away_for_a_moment() {
    let mut cluster = Cluster::new(3);
    cluster.names.sort_unstable();
    let [first, second, behind] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    pause(&mut cluster, Work::AntiEntropy);
    cluster.cut(behind);
    for number in 0..KEYS {
        cluster.put(first, DEFAULT, &format!("k{number}"), "v", None);
    }
    cluster.cut(first);
    let one = Options {
        write: Some(QuorumSize::One),
        ..Options::default()
    };
    for number in 0..10 {
        cluster.ask(second, put(DEFAULT, &format!("only-{number}"), "v", None, one));
    }
    cluster.mend();
    cluster.run_for_ms(2_000);
    let slowly = PaceChange {
        bytes_per_second: Some(100_000),
        ..RUN
    };
    cluster.control(behind, Work::AntiEntropy, slowly);
    let held = |cluster: &Cluster| cluster.disks[&behind].records.len();
    cluster.run_until(|cluster| held(cluster) > 0);
    cluster.cut(second);
    cluster.mend();
    assert!(held(&cluster) < KEYS, "it is at the first");
    cluster.run_for_ms(120_000);
    assert_eq!(held(&cluster), KEYS + 10);
}

/// What its own disk could not read was left out.
#[test]
fn a_run_on_a_disk_that_can_not_be_read_for_a_while_compares_everything() {
    let (mut cluster, c) = with_one_behind();
    cluster.loses_comparisons = true;
    cluster.control(c, Work::AntiEntropy, RESUME);
    cluster.run_until(|cluster| {
        let progress = cluster.nodes[&c].entropy();
        progress.trees_counted == progress.trees
    });
    pause(&mut cluster, Work::AntiEntropy);
    cluster.run_for_ms(10_000);
    cluster.loses_comparisons = false;
    let key = cluster.disks[&cluster.names[0]].records.keys().next().cloned();
    cluster.disks.get_mut(&c).expect("a disk").unreadable.extend(key);
    cluster.control(c, Work::AntiEntropy, RUN);
    cluster.run_for_ms(10_000);
    assert_eq!(cluster.disks[&c].records.len(), 0);
    cluster.disks.get_mut(&c).expect("a disk").unreadable.clear();
    cluster.run_for_ms(60_000);
    assert_eq!(cluster.disks[&c].records.len(), KEYS);
}

/// Writes a key and deletes what it holds.
fn write_and_delete(cluster: &mut Cluster, key: &str) {
    let node = cluster.names[0];
    let seen = cluster.put(node, DEFAULT, key, "v", None);
    cluster.ask(node, delete(DEFAULT, key, PutContext::Seen(seen)));
}

/// A walk that was asked for did not begin while reaping was paused.
#[test]
fn paused_reaping_forgets_what_is_dead_when_a_run_is_asked_for_and_then_rests() {
    let mut cluster = Cluster::new(3);
    for node in cluster.nodes.values_mut() {
        node.set_reap_age_ms(1_000);
    }
    pause(&mut cluster, Work::Reaping);
    let left = |cluster: &Cluster| cluster.disks.values().map(|disk| disk.records.len()).sum::<usize>();
    for round in 1..=2 {
        for key in ["one", "two", "three"] {
            write_and_delete(&mut cluster, key);
        }
        cluster.run_for_ms(400_000);
        assert_eq!(left(&cluster), 9, "paused, round {round}");
        for node in cluster.names.clone() {
            cluster.control(node, Work::Reaping, RUN);
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
        write_and_delete(&mut cluster, &format!("k{number}"));
    }
    let slowly = PaceChange {
        bytes_per_second: Some(1_000),
        ..RUN
    };
    cluster.nodes.get_mut(&node).expect("one").set_reap_age_ms(1_000);
    cluster.control(node, Work::Reaping, slowly);
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

/// What a walk found beyond what may be on its way at a time was left to the next walk, which paused reaping does not have.
#[test]
fn paused_reaping_forgets_more_than_has_room_at_a_time() {
    let mut cluster = Cluster::with_partitions(1, 1_024);
    let node = cluster.names[0];
    cluster.nodes.get_mut(&node).expect("one").set_reap_age_ms(1_000);
    pause(&mut cluster, Work::Reaping);
    for number in 0..KEYS {
        write_and_delete(&mut cluster, &format!("k{number}"));
    }
    cluster.control(node, Work::Reaping, RUN);
    cluster.run_for_ms(60_000);
    assert_eq!(cluster.disks[&node].records.len(), 0);
    assert!(cluster.nodes[&node].reaping().walks > 1, "they had room");
}

/// What the lead had dropped was left to the next walk, which paused reaping does not have.
#[test]
fn paused_reaping_forgets_what_was_dropped_as_a_home_was_away_for_a_moment() {
    let mut cluster = Cluster::new(3);
    for node in cluster.nodes.values_mut() {
        node.set_reap_age_ms(1_000);
    }
    pause(&mut cluster, Work::Reaping);
    for number in 0..20 {
        write_and_delete(&mut cluster, &format!("k{number}"));
    }
    cluster.run_for_ms(400_000);
    for node in cluster.names.clone() {
        cluster.control(node, Work::Reaping, RUN);
    }
    let under_way = |cluster: &Cluster| cluster.nodes.values().map(|node| node.reaping().records).sum::<usize>();
    assert!(under_way(&cluster) > 0);
    cluster.cut(cluster.names[2]);
    cluster.mend();
    let dropped = 20 - under_way(&cluster);
    cluster.run_for_ms(60_000);
    let left: usize = cluster.disks.values().map(|disk| disk.records.len()).sum();
    assert_eq!(left, 0, "of {dropped} that were dropped");
    let is_going = |node: &NodeId| cluster.nodes[node].is_run_going(Work::Reaping);
    assert!(!cluster.names.iter().any(is_going));
}

/// A page that could not be read was left to the next walk.
#[test]
fn paused_reaping_forgets_what_could_not_be_read_for_a_while() {
    let mut cluster = Cluster::new(1);
    let node = cluster.names[0];
    cluster.nodes.get_mut(&node).expect("one").set_reap_age_ms(1_000);
    pause(&mut cluster, Work::Reaping);
    write_and_delete(&mut cluster, "k");
    cluster.run_for_ms(10_000);
    let disk = cluster.disks.get_mut(&node).expect("a disk");
    disk.unreadable = disk.records.keys().cloned().collect();
    cluster.control(node, Work::Reaping, RUN);
    cluster.run_for_ms(5_000);
    cluster.disks.get_mut(&node).expect("a disk").unreadable.clear();
    cluster.run_for_ms(30_000);
    assert_eq!(cluster.disks[&node].records.len(), 0);
    assert!(!cluster.nodes[&node].is_run_going(Work::Reaping));
}

/// The head of a hash can go only after its fields, and was left to the next walk.
#[test]
fn paused_reaping_forgets_a_deleted_hash_with_its_head() {
    let mut cluster = Cluster::new(3);
    for node in cluster.nodes.values_mut() {
        node.set_reap_age_ms(1_000);
    }
    pause(&mut cluster, Work::Reaping);
    let node = cluster.names[0];
    let hash = Command::Update(UpdateKey {
        target: target(REDIS, "hash"),
        update: Update::HashSet(vec![(Bytes::from_static(b"f"), Bytes::from_static(b"v"))]),
        options: Options::default(),
    });
    assert!(matches!(cluster.ask(node, hash), Outcome::Updated(..)));
    cluster.ask(node, delete(REDIS, "hash", PutContext::Blind));
    let left = |cluster: &Cluster| cluster.disks.values().map(|disk| disk.records.len()).sum::<usize>();
    cluster.run_for_ms(400_000);
    assert_eq!(left(&cluster), 6, "a head and a field at each home");
    for node in cluster.names.clone() {
        cluster.control(node, Work::Reaping, RUN);
    }
    cluster.run_for_ms(60_000);
    assert_eq!(left(&cluster), 0);
}

/// Walks followed upon the one that was asked for while what it had found was on its way.
#[test]
fn paused_reaping_walks_once_when_a_run_is_asked_for() {
    let mut cluster = Cluster::new(1);
    let node = cluster.names[0];
    cluster.nodes.get_mut(&node).expect("one").set_reap_age_ms(700_000);
    pause(&mut cluster, Work::Reaping);
    write_and_delete(&mut cluster, "k");
    cluster.control(node, Work::Reaping, RUN);
    cluster.run_for_ms(690_000);
    assert_eq!(cluster.nodes[&node].reaping().walks, 1);
    assert_eq!(cluster.nodes[&node].reaping().records, 1, "it is on its way");
    cluster.run_for_ms(700_000);
    assert_eq!(cluster.disks[&node].records.len(), 0);
    assert_eq!(cluster.nodes[&node].reaping().walks, 1);
}

/// A pass that was nearly through was taken for the run.
#[test]
fn a_scrub_asked_for_within_a_pass_reads_everything_after_it() {
    let mut cluster = Cluster::new(1);
    let node = cluster.names[0];
    for number in 0..KEYS {
        cluster.put(node, DEFAULT, &format!("k{number}"), "v", None);
    }
    let slowly = PaceChange {
        bytes_per_second: Some(100_000),
        ..RUN
    };
    pause(&mut cluster, Work::Scrub);
    cluster.control(node, Work::Scrub, slowly);
    cluster.run_until(|cluster| cluster.nodes[&node].scrub().is_running);
    cluster.control(node, Work::Scrub, RUN);
    cluster.run_for_ms(60_000);
    assert_eq!(cluster.nodes[&node].stats().scrubs, 2);
}

/// One answer that was lost ended the run.
#[test]
fn paused_hints_are_sent_again_within_the_run_that_was_asked_for() {
    let mut cluster = Cluster::new(5);
    let (homes, others) = cluster.preference_list(DEFAULT, "k");
    pause(&mut cluster, Work::Hints);
    pause(&mut cluster, Work::AntiEntropy);
    cluster.cut(homes[2]);
    cluster.ask(homes[0], put(DEFAULT, "k", "v", None, ALL));
    let pending = |cluster: &Cluster| -> u64 {
        let hints = others.iter().map(|node| cluster.nodes[node].hints().pending());
        hints.sum()
    };
    assert_eq!(pending(&cluster), 1);
    cluster.mend();
    cluster.run_for_ms(10_000);
    cluster.silent.push(homes[2]);
    for &node in &others {
        cluster.control(node, Work::Hints, RUN);
    }
    cluster.run_for_ms(3_000);
    cluster.silent.clear();
    assert_eq!(pending(&cluster), 1, "the answer was lost");
    cluster.run_for_ms(10_000);
    assert_eq!(pending(&cluster), 0);
}

/// Keys that all have the same homes, and the same nodes to stand in for them.
pub fn keys_alike(cluster: &Cluster, count: usize) -> Vec<String> {
    let list = cluster.preference_list(DEFAULT, "k0");
    let keys = (0..).map(|number| format!("k{number}"));
    let alike = keys.filter(|key| cluster.preference_list(DEFAULT, key) == list);
    alike.take(count).collect()
}

const ALL: Options = Options {
    read: None,
    write: Some(QuorumSize::Count(3)),
    strict: false,
    timeout_ms: None,
};

/// Every hint that was delivered put the end of the run off, also those that were kept since.
#[test]
fn a_run_of_paused_hints_covers_what_was_kept_when_it_was_asked_for() {
    let mut cluster = Cluster::new(5);
    let (homes, others) = cluster.preference_list(DEFAULT, "k0");
    pause(&mut cluster, Work::Hints);
    pause(&mut cluster, Work::AntiEntropy);
    let keys = keys_alike(&cluster, 40);
    // Only the coordinator can't reach it.
    let away = homes[2];
    cluster.step(homes[0], Input::Peer { node: away, up: false });
    cluster.ask(homes[0], put(DEFAULT, &keys[0], "v", None, ALL));
    let pending = |cluster: &Cluster| cluster.nodes[&others[0]].hints().pending();
    assert_eq!(pending(&cluster), 1);
    cluster.control(others[0], Work::Hints, RUN);
    for key in &keys[1..] {
        cluster.ask(homes[0], put(DEFAULT, key, "v", None, ALL));
        cluster.run_for_ms(1_000);
    }
    assert_eq!(pending(&cluster), 39);
    assert!(!cluster.nodes[&others[0]].is_run_going(Work::Hints));
}

/// The second lost answer in a row ended the run.
#[test]
fn a_run_of_paused_hints_tries_more_than_twice() {
    let mut cluster = Cluster::new(5);
    let (homes, others) = cluster.preference_list(DEFAULT, "k0");
    pause(&mut cluster, Work::Hints);
    pause(&mut cluster, Work::AntiEntropy);
    cluster.cut(homes[2]);
    cluster.ask(homes[0], put(DEFAULT, "k0", "v", None, ALL));
    cluster.mend();
    cluster.run_for_ms(10_000);
    cluster.silent.push(homes[2]);
    let pending = |cluster: &Cluster| cluster.nodes[&others[0]].hints().pending();
    cluster.control(others[0], Work::Hints, RUN);
    cluster.run_for_ms(11_500);
    assert_eq!(pending(&cluster), 1);
    cluster.silent.clear();
    cluster.run_for_ms(10_000);
    assert_eq!(pending(&cluster), 0);
    assert!(!cluster.nodes[&others[0]].is_run_going(Work::Hints));
}

/// A node that might not deliver anything yet ended the run all the same.
#[test]
fn a_run_of_paused_hints_waits_until_the_node_has_settled() {
    let mut cluster = Cluster::new(5);
    let (homes, others) = cluster.preference_list(DEFAULT, "k0");
    pause(&mut cluster, Work::AntiEntropy);
    let stand_in = others[0];
    cluster.cut(homes[2]);
    cluster.ask(homes[0], put(DEFAULT, "k0", "v", None, ALL));
    let (key, record) = cluster.disks[&homes[0]].records.first_key_value().expect("one");
    let hint = HintMemory {
        home: homes[2],
        key: key.clone(),
        record: Arc::clone(record),
        since: Wall(1_700_000_000_000),
    };
    for node in [stand_in, homes[1], others[1]] {
        cluster.cut(node);
    }
    // Its disk is an older one, and without those two it does not learn what was reaped.
    let boot = BootState {
        incarnation: 9,
        lineage: vec![21, 22],
        rebuilding: vec![COPIES_KNOWN],
        hints: vec![hint],
        ..BootState::default()
    };
    cluster.restart(stand_in, boot);
    pause(&mut cluster, Work::Hints);
    pause(&mut cluster, Work::AntiEntropy);
    cluster.bring_back(homes[2]);
    cluster.bring_back(stand_in);
    cluster.run_for_ms(2_000);
    cluster.control(stand_in, Work::Hints, RUN);
    cluster.run_for_ms(30_000);
    let node = &cluster.nodes[&stand_in];
    assert!(node.is_settling() && node.is_run_going(Work::Hints));
    assert_eq!(node.hints().pending(), 1);
    cluster.bring_back(homes[1]);
    cluster.bring_back(others[1]);
    cluster.run_for_ms(20_000);
    let node = &cluster.nodes[&stand_in];
    assert!(!node.is_settling() && !node.is_run_going(Work::Hints));
    assert_eq!(node.hints().pending(), 0);
}
