//! Documents about the node and the cluster, faults, and inspection.

use serde::Serialize;
use serde_json::{Value, json};
use torc_core::background::{Background, PaceChange, Work};
use torc_core::causality::token;
use torc_core::id::NodeId;
use torc_core::outcome::{Holding, HoldingState, Inspected, Outcome};

use crate::http::tests::schema;
use crate::http::tests::server::{Server, catalog, context, error, json as body_of, message, ring};
use crate::http::{
    AntiEntropyView, BlockView, BucketView, BucketsView, ClusterView, FaultSet, FsyncFault, HintsView, HotKey,
    HttpReply, Liveness, NodeRequest, NodeRow, PaceView, PeerQueue, ReapingView, RingView, Route, StatusView,
    TransferView, inspect_context,
};

fn held(document: &impl Serialize, name: &str) -> Value {
    let body = body_of(&HttpReply::document(document));
    let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
    schema::check(&body, &schema).expect("as documented");
    body
}

#[test]
fn buckets_are_shown_with_the_copies_there_are() {
    let server = Server::new();
    assert_eq!(server.node_request("GET", "/v1/buckets", b""), NodeRequest::Buckets);
    let body = held(&BucketsView::of(&server.catalog, &server.ring), "Buckets");
    let names: Vec<&str> = body["buckets"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|b| b["name"].as_str())
        .collect();
    assert_eq!(names, ["default", "redis", "strong", "small", "session"]);
    let NodeRequest::Bucket(bucket) = server.node_request("GET", "/v1/buckets/default", b"") else {
        panic!("a bucket")
    };
    let body = held(&BucketView::of(&bucket, &server.ring), "Bucket");
    let expected = json!({
        "name": "default", "mode": "available", "n": 1, "n_wanted": 3, "r": "quorum", "w": "quorum",
        "conflict": "siblings", "durability": "synced", "storage": "disk", "ttl": null,
        "value_bytes_max": 1_048_576, "siblings_max": 100, "placement": "spread",
    });
    assert_eq!(body, expected);
}

#[test]
fn a_pace_says_whether_a_run_is_going() {
    let mut background = Background::default();
    let paused = PaceChange {
        paused: Some(true),
        ..PaceChange::default()
    };
    background.change(Work::Scrub, paused);
    for run_going in [true, false] {
        let body = held(&PaceView::of(background.pace(Work::Scrub), run_going), "Pace");
        let expected = json!({ "paused": true, "bytes_per_second": 4_194_304, "run_going": run_going });
        assert_eq!(body, expected);
    }
}

#[test]
fn the_ring_names_homes_then_stand_ins() {
    let server = Server::new();
    let request = server.node_request("GET", "/v1/ring?key=a%2Fb&bucket=default", b"");
    let NodeRequest::Ring { bucket, key } = request else {
        panic!("{request:?}")
    };
    assert_eq!(&key[..], b"a/b");
    let body = held(&RingView::of(&bucket, &key, &server.ring), "Ring");
    assert_eq!(
        (&body["homes"], &body["fallbacks"], &body["ring_epoch"]),
        (&json!(["n1"]), &json!([]), &1.into())
    );
    let catalog = catalog();
    let five = ring(5, &catalog);
    let body = held(&RingView::of(&bucket, &key, &five), "Ring");
    assert_eq!(body["homes"].as_array().map(Vec::len), Some(3));
    assert_eq!(body["fallbacks"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_shells_documents_are_as_documented() {
    let cluster = ClusterView {
        cluster: "torc".into(),
        ring_epoch: 1,
        partitions: 256,
        nodes: vec![NodeRow {
            id: NodeId(0x0a),
            name: "n1".into(),
            host: "127.0.0.1".into(),
            base_port: 7_010,
            dc: "dc1".into(),
            rack: "r1".into(),
            capacity: 1,
            liveness: Liveness::Alive,
            virtual_nodes: 256,
            bytes: None,
        }],
    };
    let body = held(&cluster, "Cluster");
    assert_eq!(
        (&body["nodes"][0]["id"], &body["nodes"][0]["liveness"]),
        (&"0000000a".into(), &"alive".into())
    );
    let body = held(&StatusView::default(), "Status");
    for work in Work::ALL {
        assert_eq!(body[work.name()]["run_going"], false, "{work:?}");
    }
    let mut status = StatusView {
        hints: HintsView::default(),
        anti_entropy: AntiEntropyView::default(),
        dirty_ranges: 0,
        transfers: vec![TransferView {
            kind: "rebuild",
            bucket: "default".into(),
            share_done: 0.5,
            eta_seconds: Some(9),
        }],
        hot_keys: vec![HotKey {
            bucket: "default".into(),
            key: "a%20b".into(),
            requests: 9,
        }],
        reaping: ReapingView {
            blocked_by: vec![BlockView {
                node: "n2".into(),
                reason: "away",
                since: "2026-01-01T00:00:00.000Z".into(),
            }],
            ..ReapingView::default()
        },
        ..StatusView::default()
    };
    status.queues.peers.push(PeerQueue {
        node: "n2".into(),
        up: true,
        bytes: 0,
        circuit: "closed",
        read_p95_us: 900,
        reads_max: 256,
        says_slow: false,
    });
    held(&status, "Status");
    assert_eq!(HttpReply::healthy().status.as_u16(), 200);
    assert_eq!(HttpReply::readiness(Ok(())).status.as_u16(), 200);
    let waiting = HttpReply::readiness(Err("a copy is being rebuilt".into()));
    assert_eq!(
        (error(&waiting), message(&waiting)),
        ((503, "unavailable".into()), "a copy is being rebuilt".into())
    );
}

#[test]
fn faults_are_read_checked_and_shown() {
    let parse = |body: &str| FaultSet::parse(body.as_bytes());
    assert!(parse("{}").expect("heals").is_healed());
    let set = parse(r#"{"cut":["n2"],"one_way":true,"drop":0.1,"delay_ms":[0,200],"fsync":"fail","free_bytes":7}"#);
    let set = set.expect("legal");
    assert_eq!(
        (set.fsync, set.delay_ms, set.free_bytes),
        (FsyncFault::Fail, [0, 200], Some(7))
    );
    let shown = held(&set, "Faults");
    assert_eq!(parse(&shown.to_string()).expect("what is shown can be sent"), set);
    let slow = parse(r#"{"fsync":"slow"}"#).expect("legal");
    assert_eq!(slow.fsync_ms, Some(1_000));
    assert_eq!(
        parse(&held(&slow, "Faults").to_string()).expect("what is shown can be sent"),
        slow
    );
    assert!(set.check_names(|name| name == "n2").is_ok());
    assert!(
        set.check_names(|name| name == "n3")
            .expect_err("unknown")
            .message
            .contains("'n2'")
    );
    for (body, word) in [
        ("", "body"),
        ("[1]", "body"),
        (r#"{"cuts":[]}"#, "cuts"),
        (r#"{"cut":"n2"}"#, "string"),
        (r#"{"one_way":true}"#, "one_way"),
        (r#"{"drop":1.5}"#, "drop"),
        (r#"{"drop":-0.1}"#, "drop"),
        (r#"{"delay_ms":[5,1]}"#, "delay_ms"),
        (r#"{"delay_ms":[0,60001]}"#, "delay_ms"),
        (r#"{"delay_ms":5}"#, "5"),
        (r#"{"fsync":"never"}"#, "never"),
        (r#"{"fsync":"ok","fsync_ms":5}"#, "fsync_ms"),
        (r#"{"fsync":"slow","fsync_ms":60001}"#, "fsync_ms"),
        (r#"{"free_bytes":-1}"#, "-1"),
    ] {
        let problem = parse(body).expect_err(body);
        assert_eq!(problem.code.status().as_u16(), 400);
        assert!(problem.message.contains(word), "{body}: {}", problem.message);
    }
    let server = Server::new();
    assert_eq!(server.node_request("GET", "/v1/faults", b""), NodeRequest::ShowFaults);
    assert!(matches!(
        server.node_request("POST", "/v1/faults", b"{}"),
        NodeRequest::SetFaults(Ok(_))
    ));
    assert!(matches!(
        server.node_request("POST", "/v1/faults", b"{"),
        NodeRequest::SetFaults(Err(_))
    ));
}

#[test]
fn an_inspection_shows_each_homes_record_and_what_they_make_together() {
    let mut server = Server::new();
    server.ask("PUT", "/v1/kv/default/k?ttl=60", &[("torc-request-id", "id-1")], b"one");
    server.put("/v1/kv/default/k", &[7; 5_000]);
    let body = body_of(&server.get("/v1/inspect/default/k"));
    assert_eq!(
        (&body["bucket"], &body["key"], &body["sort"]),
        (&"default".into(), &"k".into(), &"".into())
    );
    let home = &body["homes"][0];
    assert_eq!((&home["node"], &home["state"]), (&"n1".into(), &"record".into()));
    let record = &home["record"];
    assert_eq!(*record, body["merged"]);
    assert_eq!(record["siblings"][0]["value"], "b25l");
    assert!(record["siblings"][0]["expires_at"].is_string());
    assert!(record["siblings"][1]["value"].is_null(), "long values are not repeated");
    assert_eq!(record["siblings"][1]["value_bytes"], 5_000);
    assert_eq!(record["requests"][0]["id"], "id-1");
    assert_eq!(record["checksum"].as_str().map(str::len), Some(8));
    assert_eq!(record["context"]["vector"][0]["counter"], 2);
    let lww = server.put("/v1/kv/redis/k?sort=%01f", b"v");
    let body = body_of(&server.get("/v1/inspect/redis/k?sort=%01f&timeout_ms=5"));
    let record = &body["homes"][0]["record"];
    assert_eq!((&record["kind"], &record["holds"]), (&"lww".into(), &"value".into()));
    assert_eq!(record["context"]["token"], context(&lww));
    let absent = body_of(&server.get("/v1/inspect/default/none"));
    assert_eq!(
        (&absent["homes"][0]["state"], &absent["merged"]),
        (&"absent".into(), &Value::Null)
    );
}

#[test]
fn homes_that_are_silent_or_damaged_are_shown_so() {
    let server = Server::new();
    let Route::Command(planned) = server.route(&http::Method::GET, "/v1/inspect/default/k", &[], b"") else {
        panic!("a command")
    };
    let homes = [("n1", HoldingState::Damaged), ("n9", HoldingState::Silent)].map(|(name, state)| Holding {
        node: NodeId::of_name(name),
        state,
    });
    let outcome = Outcome::Inspected(Inspected {
        homes: homes.into(),
        merged: None,
    });
    let body = body_of(&planned.rendering.reply(outcome, &*server.ring));
    assert_eq!(
        (&body["homes"][0]["node"], &body["homes"][0]["state"]),
        (&"n1".into(), &"damaged".into())
    );
    let unknown = NodeId::of_name("n9").to_string();
    assert_eq!(
        (&body["homes"][1]["node"], &body["homes"][1]["state"]),
        (&unknown.into(), &"silent".into())
    );
}

#[test]
fn a_token_is_taken_apart() {
    let mut server = Server::new();
    let first = context(&server.put("/v1/kv/default/k", b"v"));
    server.put("/v1/kv/default/k", b"w");
    let third = context(&server.ask("PUT", "/v1/kv/default/k", &[("torc-context", &first)], b"x"));
    let request = server.node_request("GET", &format!("/v1/inspect?context={third}"), b"");
    let NodeRequest::InspectContext(parts) = request else {
        panic!("{request:?}")
    };
    assert_eq!(token::encode(&parts), third);
    let body = body_of(&inspect_context(&parts, &*server.ring));
    schema::check(&body, &json!({ "$ref": "#/components/schemas/ContextParts" })).expect("as documented");
    assert_eq!(
        (&body["kind"], &body["vector"][0]["counter"]),
        (&"dots".into(), &1.into())
    );
    assert!(
        body["dots"][0]
            .as_str()
            .is_some_and(|dot| dot.starts_with("n1-") && dot.ends_with(":3")),
        "{body}"
    );
    let clock = token::decode(context(&server.put("/v1/kv/redis/k", b"v"))).expect("a token");
    let body = body_of(&inspect_context(&clock, &*server.ring));
    schema::check(&body, &json!({ "$ref": "#/components/schemas/ContextParts" })).expect("as documented");
    assert!(
        body["clock"]["at"]
            .as_str()
            .is_some_and(|at| at.starts_with("2023-11-14T")),
        "{body}"
    );
    assert_eq!(error(&server.get("/v1/inspect?context=!")), (400, "bad_context".into()));
}
