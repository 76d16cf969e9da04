//! What is answered without a step is what an operation answers.

use bytes::Bytes;
use torc_core::causality::{ClientContext, Value};
use torc_core::command::{Command, Options, Put, PutAction, PutContext, Ttl, UpdateKey, ViewKey};
use torc_core::id::{BucketId, ClientRequestId};
use torc_core::keyspace::{Update, Want};
use torc_core::outcome::Outcome;
use torc_core::quorum::QuorumSize;
use torc_core::time::{Hlc, Wall};

use crate::cluster::{Cluster, DEFAULT, REDIS, get, target};

fn write(bucket: BucketId, key: &str, action: PutAction) -> Command {
    Command::Put(Put {
        target: target(bucket, key),
        action,
        context: PutContext::Blind,
        request: None,
        options: Options::default(),
    })
}

fn value(text: &'static str, ttl: Ttl) -> PutAction {
    PutAction::Value(Value::plain(Bytes::from_static(text.as_bytes())), ttl)
}

fn reads(bucket: BucketId) -> Vec<Command> {
    let keys = ["never", "value", "expired", "deleted", "twice", "hash", "cleared"];
    let mut reads: Vec<Command> = keys.iter().map(|key| get(bucket, key, Options::default())).collect();
    for key in keys {
        for field in ["f", "none"] {
            reads.push(Command::View(ViewKey {
                target: target(bucket, key),
                want: Want::Fields(vec![Bytes::from_static(field.as_bytes())]),
                options: Options::default(),
            }));
        }
    }
    reads
}

/// One node with something of everything.
fn alone() -> Cluster {
    let mut cluster = Cluster::new(1);
    let node = cluster.names[0];
    for bucket in [DEFAULT, REDIS] {
        for command in [
            write(bucket, "cleared", value("before", Ttl::Never)),
            write(bucket, "value", value("v", Ttl::Never)),
            write(bucket, "expired", value("v", Ttl::AfterMs(1_000))),
            write(bucket, "deleted", value("v", Ttl::Never)),
            write(bucket, "deleted", PutAction::Delete),
            write(bucket, "twice", value("one", Ttl::Never)),
            write(bucket, "twice", value("two", Ttl::AfterMs(1_000_000))),
        ] {
            assert!(matches!(cluster.ask(node, command), Outcome::Written(_)));
        }
    }
    let update = Update::HashSet(vec![(Bytes::from_static(b"f"), Bytes::from_static(b"v"))]);
    let (target, options) = (target(REDIS, "hash"), Options::default());
    let hash = Command::Update(UpdateKey {
        target,
        update,
        options,
    });
    assert!(matches!(cluster.ask(node, hash), Outcome::Updated(..)));
    cluster.run_for_ms(2_000);
    cluster
}

#[test]
fn a_lone_home_answers_at_once_what_its_operations_answer() {
    let mut cluster = alone();
    let node = cluster.names[0];
    for bucket in [DEFAULT, REDIS] {
        for command in reads(bucket) {
            let at_once = cluster.ask_now(node, &command);
            let slowly = cluster.ask(node, command.clone());
            if matches!(slowly, Outcome::Failed(_)) {
                assert_eq!(at_once, None, "{command:?}: a refusal is left to the operation");
            } else {
                assert_eq!(at_once, Some(slowly), "{command:?}");
            }
        }
    }
}

#[test]
fn a_string_shown_at_once_is_the_one_that_a_get_finds() {
    let mut cluster = alone();
    let node = cluster.names[0];
    for key in ["never", "value", "expired", "deleted", "twice", "cleared"] {
        let found = cluster.get(node, REDIS, key);
        let value = found.siblings.first().map(|sibling| sibling.value.clone());
        assert_eq!(cluster.string_now(node, REDIS, key), Some(value), "{key}");
    }
    assert_eq!(
        cluster.string_now(node, REDIS, "hash"),
        None,
        "a hash takes a look at its fields"
    );
    assert_eq!(
        cluster.string_now(node, DEFAULT, "value"),
        None,
        "siblings are not strings"
    );
    assert_eq!(cluster.string_now(node, BucketId(77), "value"), None);
    assert_eq!(
        cluster.string_now(node, REDIS, ""),
        None,
        "refusals are left to the operation"
    );
}

#[test]
fn what_other_homes_or_another_quorum_must_say_is_never_answered_at_once() {
    let mut cluster = alone();
    let node = cluster.names[0];
    let options = Options {
        read: Some(QuorumSize::Count(2)),
        ..Options::default()
    };
    assert_eq!(cluster.ask_now(node, &get(REDIS, "value", options)), None);
    let mut three = Cluster::new(3);
    let node = three.names[0];
    three.put(node, REDIS, "value", "v", None);
    assert_eq!(three.ask_now(node, &get(REDIS, "value", Options::default())), None);
    assert_eq!(three.string_now(node, REDIS, "value"), None);
}

/// Puts of every kind that a lone home takes, among them some that it must refuse.
fn puts(bucket: BucketId) -> Vec<Command> {
    let mut puts = vec![
        write(bucket, "new", value("one", Ttl::Never)),
        write(bucket, "new", value("two", Ttl::AfterMs(5_000))),
        write(bucket, "new", value("three", Ttl::BucketDefault)),
        write(bucket, "new", PutAction::Delete),
        write(bucket, "absent", PutAction::Delete),
        write(bucket, "hash", value("no hash any more", Ttl::Never)),
        write(bucket, "", value("no key", Ttl::Never)),
        write(BucketId(77), "key", value("no bucket", Ttl::Never)),
    ];
    let Command::Put(plain) = puts[0].clone() else {
        unreachable!()
    };
    let [mut marked, mut clocked, mut sorted, mut first, mut quorum] = std::array::from_fn(|_| plain.clone());
    marked.request = ClientRequestId::parse("once");
    clocked.context = PutContext::Seen(ClientContext::Clock(Hlc::at(Wall(9_000_000_000_000))));
    sorted.target.sort = Bytes::from_static(b"sort");
    first.context = PutContext::ReadFirst;
    quorum.options.write = Some(QuorumSize::Count(2));
    puts.extend([marked.clone(), marked, clocked, sorted, first, quorum].map(Command::Put));
    puts
}

#[test]
fn a_lone_home_writes_with_the_record_at_hand_what_it_writes_once_it_is_read() {
    for bucket in [DEFAULT, REDIS] {
        let (mut slow, mut quick) = (alone(), alone());
        let node = slow.names[0];
        for command in puts(bucket) {
            let slowly = slow.ask(node, command.clone());
            let quickly = quick.ask_at_hand(node, command.clone());
            assert_eq!(quickly, Some(slowly), "{command:?}");
        }
        assert_eq!(quick.disks[&node].records, slow.disks[&node].records);
        assert_eq!(
            quick.nodes[&node].in_flight(),
            0,
            "nothing is left of a put that is done"
        );
    }
}
