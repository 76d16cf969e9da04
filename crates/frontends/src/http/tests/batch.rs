//! `POST /v1/batch`.

use bytes::Bytes;
use serde_json::{Value, json};
use torc_core::causality::{Dot, Value as Stored};
use torc_core::id::{ActorId, Life, NodeId};
use torc_core::outcome::{Answered, Found, Outcome, Sibling};
use torc_core::time::Hlc;

use crate::http::batch::{Slot, reply};

use crate::http::tests::server::{Server, error, header, json as body_of};

fn ask(server: &mut Server, body: &Value) -> Value {
    let reply = server.ask("POST", "/v1/batch", &[], body.to_string().as_bytes());
    assert_eq!(reply.status.as_u16(), 200, "{reply:?}");
    body_of(&reply)["results"].clone()
}

#[test]
fn operations_on_one_key_run_in_order_and_each_has_its_result() {
    let mut server = Server::new();
    let body = json!({ "operations": [
        { "op": "put", "bucket": "default", "key": "a%20b", "sort": "%00", "value": "aGk=", "content_type": "text/plain", "ttl": 60 },
        { "op": "get", "bucket": "default", "key": "a%20b", "sort": "%00" },
        { "op": "get", "bucket": "default", "key": "absent" },
        { "op": "put", "bucket": "default", "key": "a%20b", "sort": "%00", "value": "" },
        { "op": "get", "bucket": "default", "key": "a%20b", "sort": "%00" },
        { "op": "delete", "bucket": "redis", "key": "k" },
    ], "r": 1, "w": "quorum" });
    let reply = server.ask("POST", "/v1/batch", &[], body.to_string().as_bytes());
    assert_eq!(header(&reply, "torc-answered"), Some("1/1"));
    let results = body_of(&reply)["results"].clone();
    let statuses: Vec<u64> = (0..6).filter_map(|i| results[i]["status"].as_u64()).collect();
    assert_eq!(statuses, [204, 200, 404, 204, 300, 204]);
    assert_eq!(results[1]["siblings"][0]["value"], "aGk=");
    assert_eq!(results[1]["siblings"][0]["content_type"], "text/plain");
    assert_eq!(results[1]["context"], results[0]["context"]);
    assert_eq!((&results[0]["answered"], &results[0]["n"]), (&1.into(), &1.into()));
    assert_eq!(results[2]["error"], "not_found");
    assert_eq!(&server.get("/v1/kv/default/a%20b?sort=%00").status.as_u16(), &300);
}

#[test]
fn what_is_wrong_with_one_operation_is_its_own_result() {
    let mut server = Server::new();
    let long = "k".repeat(2_049);
    let wrong = [
        (
            json!({ "op": "get", "bucket": "none", "key": "k" }),
            404,
            "no_such_bucket",
        ),
        (
            json!({ "op": "get", "bucket": "default", "key": "%z" }),
            400,
            "bad_request",
        ),
        (
            json!({ "op": "get", "bucket": "default", "key": "" }),
            400,
            "bad_request",
        ),
        (
            json!({ "op": "get", "bucket": "default", "key": long }),
            413,
            "key_too_large",
        ),
        (
            json!({ "op": "get", "bucket": "strong", "key": "k" }),
            501,
            "not_in_this_version",
        ),
        (
            json!({ "op": "get", "bucket": "default", "key": "k", "value": "" }),
            400,
            "bad_request",
        ),
        (
            json!({ "op": "put", "bucket": "default", "key": "k" }),
            400,
            "bad_request",
        ),
        (
            json!({ "op": "put", "bucket": "default", "key": "k", "value": "a" }),
            400,
            "bad_request",
        ),
        (
            json!({ "op": "put", "bucket": "default", "key": "k", "value": "", "ttl": 0 }),
            400,
            "bad_request",
        ),
        (
            json!({ "op": "put", "bucket": "default", "key": "k", "value": "", "content_type": "a\nb" }),
            400,
            "bad_request",
        ),
        (
            json!({ "op": "put", "bucket": "default", "key": "k", "value": "", "context": "zz" }),
            400,
            "bad_context",
        ),
        (
            json!({ "op": "put", "bucket": "default", "key": "k", "value": "", "blind": true }),
            400,
            "bad_request",
        ),
        (
            json!({ "op": "put", "bucket": "small", "key": "k", "value": "A".repeat(88) }),
            413,
            "value_too_large",
        ),
        (
            json!({ "op": "delete", "bucket": "default", "key": "k" }),
            400,
            "bad_context",
        ),
        (
            json!({ "op": "delete", "bucket": "default", "key": "k", "ttl": 1 }),
            400,
            "bad_request",
        ),
    ];
    let mut operations: Vec<Value> = wrong.iter().map(|case| case.0.clone()).collect();
    operations.insert(
        0,
        json!({ "op": "put", "bucket": "default", "key": "good", "value": "" }),
    );
    operations.push(json!({ "op": "delete", "bucket": "default", "key": "good", "blind": true }));
    let results = ask(&mut server, &json!({ "operations": operations }));
    assert_eq!(results.as_array().map(Vec::len), Some(wrong.len() + 2));
    assert_eq!(results[0]["status"], 204);
    assert_eq!(results[wrong.len() + 1]["status"], 204);
    for (index, (operation, status, code)) in wrong.iter().enumerate() {
        let result = &results[index + 1];
        assert_eq!(
            (&result["status"], &result["error"]),
            (&(*status).into(), &(*code).into()),
            "{operation}"
        );
        assert_eq!(result["outcome"], "not_applied");
    }
}

#[test]
fn a_body_that_is_no_batch_is_refused_as_a_whole() {
    let mut server = Server::new();
    let item = json!({ "op": "get", "bucket": "default", "key": "k" });
    let many = json!({ "operations": vec![&item; 1_001] }).to_string();
    let nested = "[".repeat(100_000);
    for body in [
        "",
        "[]",
        "{}",
        "{\"operations\":{}}",
        "{\"operations\":[],\"more\":1}",
        "{\"operations\":[{\"op\":\"swap\",\"bucket\":\"default\",\"key\":\"k\"}]}",
        "{\"operations\":[{\"op\":\"get\",\"bucket\":\"default\"}]}",
        "{\"operations\":[{\"op\":\"get\",\"bucket\":\"default\",\"key\":\"k\",\"r\":1}]}",
        "{\"operations\":[],\"r\":0}",
        "{\"operations\":[],\"w\":\"most\"}",
        &many,
        &nested,
    ] {
        let reply = server.ask("POST", "/v1/batch", &[], body.as_bytes());
        assert_eq!(
            error(&reply),
            (400, "bad_request".into()),
            "{}",
            &body[..body.len().min(80)]
        );
    }
    assert_eq!(ask(&mut server, &json!({ "operations": [] })), json!([]));
    assert_eq!(
        ask(&mut server, &json!({ "operations": vec![&item; 1_000] }))
            .as_array()
            .map(Vec::len),
        Some(1_000)
    );
    let long = vec![b' '; (8 << 20) + 1];
    let reply = server.ask("POST", "/v1/batch", &[], &long);
    assert_eq!(error(&reply), (413, "body_too_large".into()));
    assert_eq!(
        (&body_of(&reply)["limit"], &body_of(&reply)["actual"]),
        (&(8 << 20).into(), &((8 << 20) + 1).into())
    );
}

#[test]
fn quorums_of_a_batch_hold_for_its_operations() {
    let mut server = Server::new();
    let item = json!({ "op": "get", "bucket": "default", "key": "k" });
    let results = ask(&mut server, &json!({ "operations": [item], "r": 2 }));
    assert_eq!(
        (&results[0]["status"], &results[0]["error"]),
        (&400.into(), &"bad_request".into())
    );
}

#[test]
fn values_past_the_bound_of_an_answer_are_left_out_and_their_results_say_so() {
    let server = Server::new();
    let actor = ActorId {
        node: NodeId::of_name("n1"),
        life: Life(1),
        birth: 1,
    };
    let found = |bytes: usize| {
        let sibling = Sibling {
            dot: Dot { actor, counter: 1 },
            value: Stored::plain(Bytes::from(vec![7; bytes])),
            written_at: Hlc::ZERO,
            expires_at: None,
        };
        Outcome::Found(Box::new(Found {
            context: None,
            siblings: vec![sibling],
            tombstones: 0,
            is_hash: false,
            answered: Answered::default(),
        }))
    };
    let slots = vec![Slot::Asked, Slot::Asked, Slot::Asked];
    let outcomes = vec![found(3_000), found(3_000), found(3)];
    let answer = reply(slots, outcomes, 5_000, &*server.ring);
    assert!(answer.body.len() <= 5_000, "{} bytes", answer.body.len());
    let results = body_of(&answer)["results"].clone();
    let statuses: Vec<u64> = (0..3).filter_map(|i| results[i]["status"].as_u64()).collect();
    assert_eq!(statuses, [200, 413, 200]);
    assert_eq!(
        (&results[1]["error"], &results[1]["limit"]),
        (&"result_too_large".into(), &5_000.into())
    );
}
