//! Every cause of failure, as clients are told of it.

use http::Method;
use serde_json::Value;
use torc_core::outcome::{Cause, Certainty, Failure, Outcome};

use crate::http::tests::hold::hold;
use crate::http::tests::server::{Server, header, json};
use crate::http::{Code, HttpReply, Problem, Route, limits_of, too_large};

fn told(method: Method, target: &str, cause: Cause, certainty: Certainty) -> HttpReply {
    let server = Server::new();
    let Route::Command(planned) = server.route(&method, target, &[("torc-request-id", "id")], b"") else {
        panic!("{target} is a command");
    };
    let outcome = Outcome::Failed(Failure { cause, certainty });
    let reply = planned.rendering.reply(outcome, &*server.ring);
    hold(&method, target, &reply);
    reply
}

#[test]
fn every_cause_of_a_put_has_its_status_and_code() {
    let text = || "because".to_owned();
    let causes = [
        (Cause::BadRequest(text()), 400, "bad_request"),
        (Cause::BadContext(text()), 400, "bad_context"),
        (Cause::NoSuchBucket, 404, "no_such_bucket"),
        (Cause::WrongMode(text()), 409, "wrong_mode"),
        (Cause::NotInThisVersion(text()), 501, "not_in_this_version"),
        (
            Cause::TooManySiblings {
                limit: 100,
                actual: 101,
            },
            409,
            "too_many_siblings",
        ),
        (Cause::ValueTooLarge { limit: 5, actual: 6 }, 413, "value_too_large"),
        (
            Cause::KeyTooLarge {
                limit: 2_048,
                actual: 2_049,
            },
            413,
            "key_too_large",
        ),
        (Cause::Busy { retry_after_ms: 100 }, 429, "busy"),
        (Cause::DiskFull, 507, "disk_full"),
        (Cause::RequestIdReused, 409, "request_id_reused"),
        (Cause::Unavailable(text()), 503, "unavailable"),
    ];
    for (cause, status, code) in causes {
        let reply = told(Method::PUT, "/v1/kv/default/k", cause.clone(), Certainty::NotApplied);
        let body = json(&reply);
        assert_eq!(
            (reply.status.as_u16(), &body["error"]),
            (status, &code.into()),
            "{cause:?}"
        );
        assert_eq!(body["outcome"], "not_applied");
        assert_eq!(
            header(&reply, "torc-request-id"),
            Some("id"),
            "an error echoes the request id too"
        );
        assert_eq!(header(&reply, "torc-answered"), None, "nobody was asked: {cause:?}");
        let has_sizes = body.get("limit").is_some() && body.get("actual").is_some();
        assert_eq!(has_sizes, status == 413 || code == "too_many_siblings", "{body}");
    }
}

#[test]
fn too_few_answers_say_how_many_and_whether_the_write_may_appear() {
    let few = |certainty| {
        (
            Cause::NotEnoughReplicas {
                needed: 3,
                answered: 2,
                n: 3,
            },
            certainty,
            503,
            "not_enough_replicas",
        )
    };
    let late = |certainty| {
        (
            Cause::Deadline {
                needed: 3,
                answered: 2,
                n: 3,
            },
            certainty,
            504,
            "deadline",
        )
    };
    for (cause, certainty, status, code) in [
        few(Certainty::NotApplied),
        few(Certainty::Unknown),
        late(Certainty::NotApplied),
        late(Certainty::Unknown),
    ] {
        let reply = told(Method::PUT, "/v1/kv/default/k?w=3&strict=true", cause, certainty);
        let body = json(&reply);
        assert_eq!((reply.status.as_u16(), &body["error"]), (status, &code.into()));
        assert_eq!((&body["needed"], &body["answered"]), (&3.into(), &2.into()));
        assert_eq!(header(&reply, "torc-answered"), Some("2/3"));
        let (outcome, words) = match certainty {
            Certainty::NotApplied => ("not_applied", "nothing was changed"),
            Certainty::Unknown => ("unknown", "may still appear"),
        };
        assert_eq!(body["outcome"], outcome);
        assert!(
            body["message"].as_str().is_some_and(|text| text.contains(words)),
            "{body}"
        );
    }
}

#[test]
fn a_busy_node_says_when_to_come_back() {
    for (ms, seconds) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (u32::MAX, "4294968")] {
        let reply = told(
            Method::GET,
            "/v1/kv/default/k",
            Cause::Busy { retry_after_ms: ms },
            Certainty::NotApplied,
        );
        assert_eq!(header(&reply, "retry-after"), Some(seconds));
        assert_eq!(json(&reply)["retry_after_ms"], ms);
    }
}

#[test]
fn each_code_has_its_own_text() {
    let mut texts: Vec<&str> = Code::ALL.iter().map(|code| code.text()).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), Code::ALL.len());
    assert!(
        Code::ALL
            .iter()
            .all(|code| code.status().is_client_error() || code.status().is_server_error())
    );
}

#[test]
fn a_message_of_any_text_is_json() {
    for text in ["\"\\\n\u{1}\u{7f}", "ünï", "\u{2028}"] {
        let reply = Problem::bad_request(text).reply();
        assert_eq!(json(&reply)["message"], Value::from(text));
    }
}

#[test]
fn a_body_that_is_too_long_is_refused_unread_with_the_limit_of_its_request() {
    let server = Server::new();
    let catalog = &server.catalog;
    let cases = [
        (Method::PUT, "/v1/kv/default/k?ttl=5", 1 << 20, "value_too_large"),
        (Method::PUT, "/v1/kv/small/k", 64, "value_too_large"),
        (Method::PUT, "/v1/kv/sm%61ll/k", 64, "value_too_large"),
        (Method::POST, "/v1/batch", 8 << 20, "body_too_large"),
        (Method::POST, "/v1/faults", 64 << 10, "body_too_large"),
    ];
    for (method, target, limit, code) in cases {
        assert_eq!(limits_of(&method, target, catalog), limit, "{target}");
        let reply = too_large(&method, target, catalog, Some(limit as u64 + 1));
        hold(&method, target, &reply);
        let body = json(&reply);
        assert_eq!((reply.status.as_u16(), &body["error"]), (413, &code.into()));
        assert_eq!((&body["limit"], &body["actual"]), (&limit.into(), &(limit + 1).into()));
        let unknown = json(&too_large(&method, target, catalog, None));
        assert_eq!((&unknown["limit"], unknown.get("actual")), (&limit.into(), None));
    }
    let wrong = [
        (Method::GET, "/v1/kv/default/k", 413),
        (Method::PUT, "/v1/kv/nosuch/k", 404),
        (Method::PUT, "/nowhere", 404),
        (Method::PATCH, "/v1/kv/default/k", 405),
    ];
    for (method, target, status) in wrong {
        assert_eq!(limits_of(&method, target, catalog), 64 << 10);
        let reply = too_large(&method, target, catalog, Some(1 << 30));
        assert_eq!(
            reply.status.as_u16(),
            status,
            "what is wrong with the request comes first: {target}"
        );
    }
}

#[test]
fn a_refusal_before_the_core_is_asked_echoes_the_request_id() {
    let mut server = Server::new();
    for target in ["/v1/kv/nosuch/k", "/v1/kv/default/k?ttl=0", "/v1/kv/default/%zz"] {
        let reply = server.ask("PUT", target, &[("torc-request-id", "id-7")], b"v");
        assert!(reply.status.is_client_error());
        assert_eq!(header(&reply, "torc-request-id"), Some("id-7"), "{target}");
    }
}

/// A node that stops leaves the outcome of everything in flight unknown, and says so of writes alone.
#[test]
fn a_read_is_never_unknown() {
    for (method, target, outcome) in [
        (Method::GET, "/v1/kv/default/k", "not_applied"),
        (Method::GET, "/v1/kv/default?key=k", "not_applied"),
        (Method::GET, "/v1/keys/default", "not_applied"),
        (Method::GET, "/v1/inspect/default/k", "not_applied"),
        (Method::PUT, "/v1/kv/default/k", "unknown"),
        (Method::DELETE, "/v1/kv/redis/k", "unknown"),
    ] {
        let cause = Cause::Unavailable("the node is stopping".into());
        let reply = told(method, target, cause, Certainty::Unknown);
        assert_eq!(
            (reply.status.as_u16(), &json(&reply)["outcome"]),
            (503, &outcome.into()),
            "{target}"
        );
    }
}
