//! Puts that read what they replace: SET and DEL of Redis in a bucket with siblings.

use bytes::Bytes;
use torc_core::causality::{ClientContext, Context, Value};
use torc_core::command::{Command, Options, Put, PutAction, PutContext, Ttl};
use torc_core::id::{ClientRequestId, NodeId};
use torc_core::outcome::Outcome;
use torc_core::quorum::QuorumSize;

use crate::cluster::{Cluster, DEFAULT, target};
use crate::stories::values;

fn set(value: &'static str, request: Option<&str>, options: Options) -> Command {
    Command::Put(Put {
        target: target(DEFAULT, "k"),
        action: PutAction::Value(Value::plain(Bytes::from_static(value.as_bytes())), Ttl::Never),
        context: PutContext::ReadFirst,
        request: request.and_then(ClientRequestId::parse),
        options,
    })
}

fn written(cluster: &mut Cluster, node: NodeId, command: Command) -> Context {
    match cluster.ask(node, command) {
        Outcome::Written(written) => match written.context {
            ClientContext::Dots(context) => context,
            ClientContext::Clock(_) => panic!("a bucket with siblings"),
        },
        outcome => panic!("{outcome:?}"),
    }
}

/// The answer named all that its home had found, and that to a repeat also what had been written since: whoever used it
/// dropped a value that nobody had been shown.
#[test]
fn a_repeat_is_answered_as_the_first_was_and_names_nothing_that_came_since() {
    let mut cluster = Cluster::new(3);
    let names = cluster.names.clone();
    cluster.put(names[0], DEFAULT, "k", "old", None);
    let first = written(&mut cluster, names[0], set("set", Some("once"), Options::default()));
    assert_eq!(values(&cluster.get(names[1], DEFAULT, "k")), ["set"]);
    cluster.put(names[1], DEFAULT, "k", "beside", None);
    for &node in &names {
        let again = written(&mut cluster, node, set("set", Some("once"), Options::default()));
        assert_eq!(again, first);
    }
    cluster.put(names[2], DEFAULT, "k", "next", Some(ClientContext::Dots(first)));
    assert_eq!(values(&cluster.get(names[0], DEFAULT, "k")), ["beside", "next"]);
}

/// Looking for an earlier answer to the request, which takes one home where all were to write it, was taken for the read of
/// what it replaces.
#[test]
fn a_request_id_does_not_make_the_read_smaller() {
    let mut cluster = Cluster::new(3);
    let [a, b, c] = <[_; 3]>::try_from(cluster.names.clone()).expect("three");
    cluster.cut(c);
    cluster.put(a, DEFAULT, "k", "old", None);
    cluster.mend();
    let all = Options {
        write: Some(QuorumSize::All),
        ..Options::default()
    };
    written(&mut cluster, c, set("set", Some("once"), all));
    assert_eq!(values(&cluster.get(b, DEFAULT, "k")), ["set"]);
}
