//! What a request asks of the core.

use http::Method;
use torc_core::command::{Command, KeysStart, KeysWant, Options, PutAction, PutContext, Ttl};
use torc_core::outcome::{Answered, Outcome, Written};
use torc_core::quorum::QuorumSize;
use torc_core::time::Wall;

use crate::http::tests::hold::hold;
use crate::http::tests::server::{Server, context, header};
use crate::http::{Planned, Route};

fn plan(server: &Server, method: Method, target: &str, pairs: &[(&str, &str)]) -> Planned {
    match server.route(&method, target, pairs, b"value") {
        Route::Command(planned) => planned,
        route => panic!("{target} gave {route:?}"),
    }
}

fn options(server: &Server, method: Method, target: &str) -> Options {
    match plan(server, method, target, &[]).command {
        Command::Get(get) => get.options,
        Command::Put(put) => put.options,
        Command::List(list) => list.options,
        Command::Keys(keys) => keys.options,
        Command::Inspect(inspect) => inspect.options,
        command => panic!("{target} gave {command:?}"),
    }
}

#[test]
fn consistency_is_a_name_for_quorums() {
    let server = Server::new();
    let of = |read, strict| Options {
        read,
        strict,
        ..Options::default()
    };
    let cases = [
        ("", of(None, false)),
        ("strict=true", of(None, true)),
        ("strict=false", of(None, false)),
        ("r=2", of(Some(QuorumSize::Count(2)), false)),
        ("consistency=eventual", of(Some(QuorumSize::One), false)),
        ("consistency=quorum", of(Some(QuorumSize::Quorum), false)),
        ("consistency=quorum&strict=1", of(Some(QuorumSize::Quorum), true)),
        ("consistency=strong", of(Some(QuorumSize::Quorum), true)),
    ];
    for (query, expected) in cases {
        for path in ["/v1/kv/default/k?", "/v1/kv/default?key=k&", "/v1/keys/default?"] {
            let target = format!("{path}{query}");
            assert_eq!(options(&server, Method::GET, &target), expected, "{target}");
        }
    }
}

#[test]
fn deadlines_and_w_reach_the_core() {
    let server = Server::new();
    for method in [Method::PUT, Method::DELETE] {
        let got = options(&server, method, "/v1/kv/redis/k?w=all&timeout_ms=7&strict=true");
        let expected = Options {
            read: None,
            write: Some(QuorumSize::All),
            strict: true,
            timeout_ms: Some(7),
        };
        assert_eq!(got, expected);
    }
    for target in [
        "/v1/kv/default/k",
        "/v1/kv/default?key=k",
        "/v1/keys/default",
        "/v1/inspect/default/k",
    ] {
        let separator = if target.contains('?') { '&' } else { '?' };
        let target = format!("{target}{separator}timeout_ms=60000");
        assert_eq!(options(&server, Method::GET, &target).timeout_ms, Some(60_000));
    }
}

/// A relative time to live would be fixed anew by each home that a forward reaches.
#[test]
fn a_ttl_becomes_a_moment_when_the_request_arrives() {
    let server = Server::new();
    let ttl = |target: &str| match plan(&server, Method::PUT, target, &[]).command {
        Command::Put(put) => match put.action {
            PutAction::Value(value, ttl) => {
                assert_eq!(&value.data[..], b"value");
                ttl
            }
            action => panic!("{action:?}"),
        },
        command => panic!("{command:?}"),
    };
    let now = server.now.wall.0;
    let counted = |after_ms| Ttl::Counted {
        after_ms,
        at: Wall(now + after_ms),
    };
    assert_eq!(ttl("/v1/kv/default/k"), Ttl::BucketDefault);
    assert_eq!(ttl("/v1/kv/default/k?ttl=1"), counted(1_000));
    assert_eq!(ttl("/v1/kv/default/k?ttl=315360000"), counted(315_360_000_000));
}

#[test]
fn a_write_carries_its_context_and_request_id() {
    let mut server = Server::new();
    let seen = context(&server.put("/v1/kv/default/k", b"v"));
    for method in [Method::PUT, Method::DELETE] {
        let pairs = [("torc-context", &seen[..]), ("torc-request-id", "id-9")];
        let Command::Put(put) = plan(&server, method, "/v1/kv/default/k", &pairs).command else {
            panic!("a write")
        };
        let PutContext::Seen(context) = &put.context else {
            panic!("{:?}", put.context)
        };
        assert_eq!(torc_core::causality::token::encode(context), seen);
        assert_eq!(put.request.as_ref().map(|id| id.as_str()), Some("id-9"));
    }
    let Command::Put(put) = plan(&server, Method::PUT, "/v1/kv/default/k", &[]).command else {
        panic!("a write")
    };
    assert_eq!((put.context, put.request), (PutContext::Blind, None));
}

#[test]
fn lists_have_their_bounds_and_starts() {
    let server = Server::new();
    let target = "/v1/kv/default?key=%00k&prefix=a%2F&start=a%2Fb&limit=7";
    let Command::List(list) = plan(&server, Method::GET, target, &[]).command else {
        panic!("a list")
    };
    assert_eq!(
        (&list.key[..], &list.prefix[..], &list.start[..]),
        (&b"\0k"[..], &b"a/"[..], &b"a/b"[..])
    );
    assert_eq!(list.limit, 7);
    let keys = |target: &str| match plan(&server, Method::GET, target, &[]).command {
        Command::Keys(keys) => (keys.start, keys.want),
        command => panic!("{command:?}"),
    };
    assert_eq!(keys("/v1/keys/default"), (KeysStart::Beginning, KeysWant::Records(100)));
    let after = KeysStart::After(bytes::Bytes::from_static(b"\0\xff"));
    assert_eq!(
        keys("/v1/keys/default?start=AP8&limit=1000"),
        (after, KeysWant::Records(1_000))
    );
}

#[test]
fn stand_ins_that_counted_are_told() {
    let mut server = Server::new();
    let put = server.put("/v1/kv/redis/k", b"v");
    let seen = torc_core::causality::token::decode(context(&put)).expect("a token");
    let planned = plan(&server, Method::PUT, "/v1/kv/redis/k", &[]);
    let answered = Answered {
        answered: 2,
        n: 3,
        sloppy: true,
    };
    let outcome = Outcome::Written(Written {
        context: seen,
        answered,
    });
    let reply = planned.rendering.reply(outcome, &*server.ring);
    hold(&Method::PUT, "/v1/kv/redis/k", &reply);
    assert_eq!(
        (header(&reply, "torc-answered"), header(&reply, "torc-sloppy")),
        (Some("2/3"), Some("true"))
    );
}
