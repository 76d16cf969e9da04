//! Damaged records and damaged files: found by whoever meets them, mended from the other homes, never absent.

use bytes::Bytes;
use torc_core::background::{PaceChange, Work};
use torc_core::causality::Value;
use torc_core::command::{Clear, Command, Options, PutAction, Ttl, UpdateKey};
use torc_core::id::{ClientRequestId, NodeId};
use torc_core::key::RecordKey;
use torc_core::keyspace::{Update, UpdateReply};
use torc_core::outcome::Outcome;
use torc_core::quorum::QuorumSize;
use torc_core::storage::Spoiled;

use crate::cluster::{Cluster, DEFAULT, PAUSE, REDIS, RUN, get, put, target};

const R_ALL: Options = Options {
    read: Some(QuorumSize::All),
    write: None,
    strict: false,
    timeout_ms: None,
};

fn name_of(cluster: &Cluster, node: NodeId, key: &str) -> RecordKey {
    let records = &cluster.disks[&node].records;
    let name = records.keys().find(|name| *name.partition_key() == *key.as_bytes());
    name.expect("written").clone()
}

fn damage(cluster: &mut Cluster, node: NodeId, key: &str) -> RecordKey {
    let name = name_of(cluster, node, key);
    cluster
        .disks
        .get_mut(&node)
        .expect("a disk")
        .damaged
        .insert(name.clone());
    name
}

#[test]
fn a_scrub_finds_a_damaged_record_and_mends_it_from_the_other_homes() {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    for number in 0..50 {
        cluster.put(node, DEFAULT, &format!("key-{number}"), "value", None);
    }
    let name = damage(&mut cluster, node, "key-7");
    cluster.control(node, Work::Scrub, RUN);
    cluster.run_for_ms(5_000);
    assert!(cluster.disks[&node].damaged.is_empty(), "mended on disk");
    let other = cluster.names[1];
    assert_eq!(
        cluster.disks[&node].records[&name],
        cluster.disks[&other].records[&name]
    );
    let stats = cluster.nodes[&node].stats();
    assert_eq!((stats.damaged_records, stats.mended_records, stats.scrubs), (1, 1, 1));
    let progress = cluster.nodes[&node].scrub();
    assert!(!progress.is_running && progress.ended.is_some(), "{progress:?}");
    assert_eq!((progress.records, progress.damaged), (50, 1));
    assert!(
        cluster.nodes[&node].rebuilding().is_empty(),
        "one record is no reason to rebuild"
    );
}

/// A read at all homes failed at once when one home's record was damaged, mended nothing, and so failed for ever.
#[test]
fn a_read_that_needs_the_damaged_home_fails_once_and_is_answered_soon_after() {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    cluster.put(node, DEFAULT, "k", "v", None);
    cluster.run_for_ms(100);
    damage(&mut cluster, node, "k");
    let refused = cluster.ask(cluster.names[1], get(DEFAULT, "k", R_ALL));
    assert!(
        matches!(refused, Outcome::Failed(_)),
        "unknown is not absent: {refused:?}"
    );
    cluster.run_for_ms(100);
    let found = cluster.ask(cluster.names[1], get(DEFAULT, "k", R_ALL));
    assert!(
        matches!(&found, Outcome::Found(found) if found.siblings.len() == 1),
        "{found:?}"
    );
}

/// Each waited for the other to say what it held, and none was ever mended.
#[test]
fn a_record_that_is_damaged_at_two_homes_is_mended_from_the_third() {
    let mut cluster = Cluster::new(3);
    let [node, other, third] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.put(node, DEFAULT, "k", "v", None);
    cluster.run_for_ms(100);
    damage(&mut cluster, node, "k");
    damage(&mut cluster, other, "k");
    let refused = cluster.ask(third, get(DEFAULT, "k", R_ALL));
    assert!(matches!(refused, Outcome::Failed(_)), "{refused:?}");
    cluster.run_for_ms(1_000);
    for home in [node, other] {
        assert!(cluster.disks[&home].damaged.is_empty(), "{home:?} is mended");
    }
    let found = cluster.ask(third, get(DEFAULT, "k", R_ALL));
    assert!(
        matches!(&found, Outcome::Found(found) if found.siblings.len() == 1),
        "{found:?}"
    );
}

#[test]
fn a_damaged_record_stays_unknown_while_another_home_is_away() {
    let mut cluster = Cluster::new(3);
    let [node, other, away] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.put(node, DEFAULT, "k", "v", None);
    cluster.run_for_ms(100);
    damage(&mut cluster, node, "k");
    cluster.cut(away);
    cluster.control(node, Work::Scrub, RUN);
    cluster.run_for_ms(20_000);
    assert_eq!(
        cluster.disks[&node].damaged.len(),
        1,
        "what the third home holds is not known"
    );
    let quorum = cluster.ask(other, get(DEFAULT, "k", Options::default()));
    assert!(matches!(quorum, Outcome::Failed(_)), "one answer counts: {quorum:?}");
    cluster.mend();
    cluster.run_for_ms(12_000);
    assert!(cluster.disks[&node].damaged.is_empty());
}

/// Dots that only the damaged record held must not be signed a second time.
#[test]
fn what_a_node_signs_after_a_mend_it_signs_under_a_new_actor() {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    let before = cluster.put(node, DEFAULT, "k", "v", None);
    damage(&mut cluster, node, "k");
    let life = cluster.nodes[&node].life();
    cluster.control(node, Work::Scrub, RUN);
    cluster.run_for_ms(5_000);
    assert!(cluster.disks[&node].damaged.is_empty());
    let after = cluster.put(node, DEFAULT, "k", "v2", Some(before.clone()));
    assert_ne!(before, after);
    // Whoever minted it: if it was this node, it has another life now.
    if cluster.nodes[&node].life() == life {
        let found = cluster.get(node, DEFAULT, "k");
        assert!(found.siblings.iter().all(|sibling| sibling.dot.actor.node != node));
    }
}

#[test]
fn a_paused_scrub_reads_nothing_until_it_is_asked_for_or_goes_on() {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    cluster.put(node, DEFAULT, "k", "v", None);
    cluster.control(node, Work::Scrub, PAUSE);
    cluster.run_for_ms(120_000);
    assert_eq!(cluster.nodes[&node].stats().scrubs, 0);
    assert!(
        cluster.nodes[&cluster.names[1]].stats().scrubs > 0,
        "the others began by themselves"
    );
    cluster.control(node, Work::Scrub, RUN);
    cluster.run_for_ms(2_000);
    assert_eq!(cluster.nodes[&node].stats().scrubs, 1);
}

#[test]
fn a_scrub_keeps_to_its_rate() {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    for number in 0..40 {
        cluster.put(node, DEFAULT, &format!("key-{number}"), &"v".repeat(4_000), None);
    }
    let slow = PaceChange {
        bytes_per_second: Some(16_000),
        ..RUN
    };
    cluster.control(node, Work::Scrub, slow);
    cluster.run_for_ms(5_000);
    let bytes = cluster.nodes[&node].stats().scrubbed_bytes;
    assert!((60_000..=100_000).contains(&bytes), "{bytes} bytes in five seconds");
    assert!(cluster.nodes[&node].scrub().is_running);
}

#[test]
fn a_spoiled_file_is_given_up_and_its_copies_are_rebuilt_from_the_others() {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    for number in 0..50 {
        cluster.put(node, DEFAULT, &format!("key-{number}"), "value", None);
    }
    cluster.run_for_ms(100);
    let life = cluster.nodes[&node].life();
    let everything = Spoiled {
        first: Bytes::new(),
        last: Bytes::from_static(&[0xff; 20]),
        file: "table 1".into(),
    };
    cluster.disks.get_mut(&node).expect("a disk").spoiled.push(everything);
    cluster.control(node, Work::Scrub, RUN);
    cluster.run_for_ms(500);
    assert_ne!(
        cluster.nodes[&node].life(),
        life,
        "older versions may show: nothing is signed twice"
    );
    cluster.run_for_ms(20_000);
    assert!(cluster.disks[&node].spoiled.is_empty(), "given up");
    assert!(cluster.nodes[&node].rebuilding().is_empty(), "and complete again");
    let records = cluster.disks[&node].records.len();
    assert_eq!(records, 50, "every record is back");
    let all = cluster.ask(node, get(DEFAULT, "key-3", R_ALL));
    assert!(
        matches!(&all, Outcome::Found(found) if found.siblings.len() == 1),
        "{all:?}"
    );
}

#[test]
fn a_single_node_gives_nothing_up() {
    let mut cluster = Cluster::new(1);
    let node = cluster.names[0];
    assert!(matches!(
        cluster.ask(node, put(DEFAULT, "k", "v", None, Options::default())),
        Outcome::Written(_)
    ));
    let everything = Spoiled {
        first: Bytes::new(),
        last: Bytes::from_static(&[0xff; 20]),
        file: "table 1".into(),
    };
    cluster.disks.get_mut(&node).expect("a disk").spoiled.push(everything);
    cluster.control(node, Work::Scrub, RUN);
    cluster.run_for_ms(10_000);
    assert_eq!(cluster.disks[&node].records.len(), 1, "it is all there is");
    let unknown = cluster.ask(node, get(DEFAULT, "k", Options::default()));
    assert!(
        matches!(unknown, Outcome::Failed(_)),
        "and still not absent: {unknown:?}"
    );
}

/// A peer whose table was damaged failed every page of another node's rebuild, and nobody told it to look: both waited for
/// ever. Found by the simulator.
#[test]
fn a_page_that_cannot_be_read_begins_a_scrub() {
    let mut cluster = Cluster::new(3);
    let [node, other, third] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    for number in 0..20 {
        cluster.put(node, DEFAULT, &format!("key-{number}"), "value", None);
    }
    // Everybody has scrubbed by itself, and will again in a day.
    cluster.run_for_ms(130_000);
    let everything = Spoiled {
        first: Bytes::new(),
        last: Bytes::from_static(&[0xff; 20]),
        file: "table 1".into(),
    };
    for id in [node, other] {
        cluster
            .disks
            .get_mut(&id)
            .expect("a disk")
            .spoiled
            .push(everything.clone());
    }
    cluster.control(node, Work::Scrub, RUN);
    cluster.run_for_ms(60_000);
    for id in [node, other] {
        assert!(cluster.disks[&id].spoiled.is_empty(), "found without anybody asking");
        assert!(cluster.nodes[&id].rebuilding().is_empty());
        assert_eq!(cluster.disks[&id].records.len(), cluster.disks[&third].records.len());
    }
}

/// The home that met the damage refused the put, although two others could have signed it.
#[test]
fn a_put_at_a_home_whose_copy_is_damaged_is_signed_by_another_home() {
    let mut cluster = Cluster::new(3);
    let [node, other, third] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    for home in [node, other, third] {
        let key = format!("k-{home:?}");
        let context = cluster.put(node, DEFAULT, &key, "old", None);
        cluster.run_for_ms(100);
        // Nobody knows of it yet: the put finds out.
        damage(&mut cluster, home, &key);
        let written = cluster.ask(home, put(DEFAULT, &key, "new", Some(context), Options::default()));
        assert!(matches!(written, Outcome::Written(_)), "{written:?}");
        cluster.run_for_ms(3_000);
        let found = cluster.get(other, DEFAULT, &key);
        assert_eq!(found.siblings.len(), 1);
        assert_eq!(found.siblings[0].value.data, "new");
        assert_ne!(found.siblings[0].dot.actor.node, home, "signed elsewhere");
        assert!(cluster.disks[&home].damaged.is_empty(), "and mended meanwhile");
    }
}

/// What was handed over said when it expires, and no more what had been asked for: a true repeat was told that its request
/// id had been used for something else.
#[test]
fn a_put_that_was_handed_over_is_known_again_by_its_request_id() {
    let mut cluster = Cluster::new(3);
    let [home, other, _] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.put(other, DEFAULT, "k", "old", None);
    cluster.run_for_ms(100);
    damage(&mut cluster, home, "k");
    let mut ask = |node| {
        let Command::Put(mut put) = put(DEFAULT, "k", "new", None, Options::default()) else {
            unreachable!()
        };
        put.action = PutAction::Value(Value::plain(Bytes::from_static(b"new")), Ttl::AfterMs(60_000));
        put.request = ClientRequestId::parse("order-1");
        let outcome = cluster.ask(node, Command::Put(put));
        cluster.run_for_ms(3_000);
        let Outcome::Written(written) = outcome else {
            panic!("{outcome:?}")
        };
        written.context
    };
    let first = ask(home);
    assert_eq!(ask(other), first);
    assert_eq!(ask(home), first);
}

#[test]
fn an_update_of_a_hash_with_a_damaged_record_is_run_whole_by_another_home() {
    let mut cluster = Cluster::new(3);
    let node = cluster.names[0];
    let set = |value: &'static str| {
        let fields = ["f", "g"].map(|field| {
            (
                Bytes::from_static(field.as_bytes()),
                Bytes::from_static(value.as_bytes()),
            )
        });
        Command::Update(UpdateKey {
            target: target(REDIS, "h"),
            update: Update::HashSet(fields.to_vec()),
            options: Options::default(),
        })
    };
    cluster.ask(node, set("old"));
    cluster.run_for_ms(100);
    for home in cluster.names.clone() {
        let names = cluster.disks[&home].records.keys();
        let field = names.filter(|name| name.is_field()).max().expect("a field").clone();
        cluster.disks.get_mut(&home).expect("a disk").damaged.insert(field);
        let reply = cluster.ask(home, set("new"));
        assert!(
            matches!(reply, Outcome::Updated(UpdateReply::Integer(0), _)),
            "{reply:?}"
        );
        cluster.run_for_ms(3_000);
        assert!(cluster.disks[&home].damaged.is_empty());
    }
}

/// It could never be written again: the node waited for another home to mend it, and there is none.
#[test]
fn the_only_copy_of_a_damaged_record_is_replaced_by_a_put_that_reads_nothing() {
    for bucket in [DEFAULT, REDIS] {
        let mut cluster = Cluster::new(1);
        let node = cluster.names[0];
        cluster.put(node, bucket, "k", "old", None);
        damage(&mut cluster, node, "k");
        let unknown = cluster.ask(node, get(bucket, "k", Options::default()));
        assert!(
            matches!(unknown, Outcome::Failed(_)),
            "unknown is not absent: {unknown:?}"
        );
        cluster.put(node, bucket, "k", "new", None);
        let found = cluster.get(node, bucket, "k");
        assert_eq!(found.siblings.len(), 1);
        assert_eq!(found.siblings[0].value.data, "new");
        let stats = cluster.nodes[&node].stats();
        assert_eq!(
            (stats.damaged_records, stats.lost_records, stats.mended_records),
            (1, 1, 0)
        );
    }
}

/// What an update would answer depends on what is lost.
#[test]
fn an_update_of_the_only_copy_of_a_damaged_record_is_refused() {
    let mut cluster = Cluster::new(1);
    let node = cluster.names[0];
    cluster.put(node, REDIS, "k", "old", None);
    damage(&mut cluster, node, "k");
    let append = Command::Update(UpdateKey {
        target: target(REDIS, "k"),
        update: Update::Append(Bytes::from_static(b"x")),
        options: Options::default(),
    });
    let refused = cluster.ask(node, append);
    assert!(matches!(refused, Outcome::Failed(_)), "{refused:?}");
    assert_eq!(cluster.nodes[&node].stats().lost_records, 0);
}

/// A read that failed for want of a file handle was taken for damage, and a put replaced acknowledged siblings.
#[test]
fn the_only_copy_of_a_record_that_can_not_be_read_now_is_not_overwritten() {
    for bucket in [DEFAULT, REDIS] {
        let mut cluster = Cluster::new(1);
        let node = cluster.names[0];
        cluster.put(node, bucket, "k", "old", None);
        let name = name_of(&cluster, node, "k");
        let unreadable = |cluster: &mut Cluster, yes: bool| {
            let disk = cluster.disks.get_mut(&node).expect("a disk");
            disk.unreadable = yes.then(|| name.clone()).into_iter().collect();
        };
        unreadable(&mut cluster, true);
        for command in [
            get(bucket, "k", Options::default()),
            put(bucket, "k", "new", None, Options::default()),
            Command::Clear(Clear {
                bucket,
                options: Options::default(),
            }),
        ] {
            let refused = cluster.ask(node, command.clone());
            assert!(matches!(refused, Outcome::Failed(_)), "{command:?}: {refused:?}");
        }
        unreadable(&mut cluster, false);
        let found = cluster.get(node, bucket, "k");
        assert_eq!(found.siblings.len(), 1);
        assert_eq!(found.siblings[0].value.data, "old");
        cluster.put(node, bucket, "k", "new", None);
        let stats = cluster.nodes[&node].stats();
        assert_eq!((stats.damaged_records, stats.lost_records), (0, 0));
    }
}
