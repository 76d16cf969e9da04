//! `/v1/kv/{bucket}/{key}`: values, contexts, headers.

use crate::http::tests::server::{Server, context, error, header, json, message};

#[test]
fn a_value_comes_back_with_its_type_and_context() {
    let mut server = Server::new();
    let put = server.ask(
        "PUT",
        "/v1/kv/default/hello",
        &[
            ("content-type", "text/html; charset=utf-8"),
            ("torc-request-id", "a-1_Z"),
        ],
        b"<p>hi</p>",
    );
    assert_eq!((put.status.as_u16(), &put.body[..]), (204, &b""[..]));
    assert_eq!(header(&put, "torc-answered"), Some("1/1"));
    assert_eq!(header(&put, "torc-request-id"), Some("a-1_Z"));
    let got = server.get("/v1/kv/default/hello");
    assert_eq!((got.status.as_u16(), &got.body[..]), (200, &b"<p>hi</p>"[..]));
    assert_eq!(header(&got, "content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(header(&got, "torc-answered"), Some("1/1"));
    assert_eq!(header(&got, "torc-expires"), None);
    assert_eq!(header(&got, "torc-sloppy"), None);
    assert_eq!(context(&got), context(&put));
}

#[test]
fn a_value_without_a_type_is_an_octet_stream() {
    let mut server = Server::new();
    for (key, pairs) in [
        ("a", &[][..]),
        ("b", &[("content-type", "application/octet-stream")][..]),
    ] {
        let target = format!("/v1/kv/default/{key}");
        server.ask("PUT", &target, pairs, b"\0\xff");
        let got = server.get(&target);
        assert_eq!(header(&got, "content-type"), Some("application/octet-stream"));
        assert_eq!(&got.body[..], b"\0\xff");
    }
}

/// DESIGN §3, as far as one node can tell it: what was not seen stays, what was seen goes.
#[test]
fn the_story_of_d1_to_d5_holds_through_http() {
    let mut server = Server::new();
    let target = "/v1/kv/default/cart";
    let put = |server: &mut Server, value: &str, seen: Option<&str>| {
        let pairs: Vec<(&str, &str)> = seen.map(|seen| ("torc-context", seen)).into_iter().collect();
        context(&server.ask("PUT", target, &pairs, value.as_bytes()))
    };
    let d1 = put(&mut server, "D1", None);
    let d2 = put(&mut server, "D2", Some(&d1));
    let _d3 = put(&mut server, "D3", Some(&d2));
    let _d4 = put(&mut server, "D4", Some(&d2));
    let both = server.get(target);
    assert_eq!(both.status.as_u16(), 300);
    let siblings = &json(&both)["siblings"];
    assert_eq!(siblings[0]["value"], "RDM=");
    assert_eq!(siblings[1]["value"], "RDQ=");
    let dots: Vec<&str> = (0..2).filter_map(|i| siblings[i]["dot"].as_str()).collect();
    assert!(dots[0].starts_with("n1-") && dots[0].ends_with(":3"), "{dots:?}");
    assert!(dots[1].ends_with(":4"), "{dots:?}");
    assert_eq!(json(&both)["context"], context(&both));
    let d5 = put(&mut server, "D5", Some(&context(&both)));
    let resolved = server.get(target);
    assert_eq!((resolved.status.as_u16(), &resolved.body[..]), (200, &b"D5"[..]));
    assert_eq!(context(&resolved), d5);
}

#[test]
fn json_is_given_only_if_accept_is_exactly_that() {
    let mut server = Server::new();
    server.ask("PUT", "/v1/kv/default/k", &[("content-type", "text/plain")], b"v");
    for accept in ["*/*", "application/json, */*", "application/json;q=1", "text/plain"] {
        let got = server.ask("GET", "/v1/kv/default/k", &[("accept", accept)], b"");
        assert_eq!(&got.body[..], b"v", "{accept}");
    }
    let twice = [("accept", "application/json"), ("accept", "text/plain")];
    let got = server.ask("GET", "/v1/kv/default/k", &twice, b"");
    assert_eq!(&got.body[..], b"v", "two Accept headers are one list");
    let got = server.ask("GET", "/v1/kv/default/k", &[("accept", "application/json")], b"");
    assert_eq!(got.status.as_u16(), 200);
    let body = json(&got);
    assert_eq!(body["siblings"][0]["value"], "dg==");
    assert_eq!(body["siblings"][0]["content_type"], "text/plain");
    assert_eq!(body["tombstones"], 0);
    let written_at = body["siblings"][0]["written_at"].as_str().expect("a date");
    assert!(
        written_at.starts_with("2023-11-14T22:13:2") && written_at.ends_with('Z'),
        "{written_at}"
    );
    server.put("/v1/kv/default/k", b"w");
    let both = server.ask("GET", "/v1/kv/default/k", &[("accept", "application/json")], b"");
    assert_eq!(
        (both.status.as_u16(), json(&both)["siblings"].as_array().map(Vec::len)),
        (200, Some(2))
    );
}

#[test]
fn a_deleted_key_is_404_with_its_context_and_one_never_written_without() {
    let mut server = Server::new();
    let never = server.get("/v1/kv/default/k");
    assert_eq!(error(&never), (404, "not_found".into()));
    assert_eq!(
        (header(&never, "torc-context"), header(&never, "torc-answered")),
        (None, Some("1/1"))
    );
    let put = context(&server.put("/v1/kv/default/k", b"v"));
    let gone = server.ask("DELETE", "/v1/kv/default/k", &[("torc-context", &put)], b"");
    assert_eq!(gone.status.as_u16(), 204);
    let got = server.get("/v1/kv/default/k");
    assert_eq!(error(&got), (404, "not_found".into()));
    assert_eq!(context(&got), context(&gone));
}

#[test]
fn a_delete_of_siblings_needs_a_context_or_says_blind() {
    let mut server = Server::new();
    server.put("/v1/kv/default/k", b"v");
    let refused = server.ask("DELETE", "/v1/kv/default/k", &[], b"");
    assert_eq!(error(&refused), (400, "bad_context".into()));
    assert_eq!(
        error(&server.ask("DELETE", "/v1/kv/default/k?blind=false", &[], b"")).0,
        400
    );
    assert_eq!(
        server
            .ask("DELETE", "/v1/kv/default/k?blind=true", &[], b"")
            .status
            .as_u16(),
        204
    );
    let got = server.ask("GET", "/v1/kv/default/k", &[("accept", "application/json")], b"");
    assert_eq!((&got.status.as_u16(), &json(&got)["tombstones"]), (&200, &1.into()));
    let seen = context(&got);
    let both = server.ask("DELETE", "/v1/kv/default/k?blind=true", &[("torc-context", &seen)], b"");
    assert_eq!(error(&both), (400, "bad_context".into()));
    // Last-writer-wins buckets need none, and what is not there can be deleted.
    assert_eq!(
        server.ask("DELETE", "/v1/kv/redis/absent", &[], b"").status.as_u16(),
        204
    );
    assert_eq!(
        server
            .ask("DELETE", "/v1/kv/default/absent?blind=1", &[], b"")
            .status
            .as_u16(),
        204
    );
}

#[test]
fn a_head_is_a_get_without_its_body() {
    let mut server = Server::new();
    server.put("/v1/kv/default/k", b"12345");
    let head = server.ask("HEAD", "/v1/kv/default/k", &[("torc-request-id", "x")], b"");
    assert_eq!((head.status.as_u16(), &head.body[..]), (200, &b""[..]));
    assert_eq!(header(&head, "content-length"), Some("5"));
    assert_eq!(header(&head, "torc-answered"), Some("1/1"));
    assert_eq!(header(&head, "torc-request-id"), Some("x"));
    let missing = server.ask("HEAD", "/v1/kv/default/none", &[], b"");
    assert_eq!(missing.status.as_u16(), 404);
    assert!(missing.body.is_empty());
    let path = server.ask("HEAD", "/nothing", &[], b"");
    assert_eq!((path.status.as_u16(), path.body.len()), (404, 0));
}

#[test]
fn a_ttl_is_shown_and_ends_the_value() {
    let mut server = Server::new();
    server.put("/v1/kv/default/k?ttl=10", b"v");
    let expires_at = crate::http::dates::rfc3339(torc_core::time::Wall(server.now.wall.0 + 10_000));
    let got = server.get("/v1/kv/default/k");
    assert_eq!(header(&got, "torc-expires"), Some(&expires_at[..]));
    let got = server.ask("GET", "/v1/kv/default/k", &[("accept", "application/json")], b"");
    assert_eq!(json(&got)["siblings"][0]["expires_at"], expires_at);
    server.sleep_ms(9_900);
    assert_eq!(server.get("/v1/kv/default/k").status.as_u16(), 200);
    server.sleep_ms(200);
    let got = server.get("/v1/kv/default/k");
    assert_eq!(error(&got), (404, "not_found".into()));
    assert!(
        header(&got, "torc-context").is_some(),
        "an expired version is a tombstone"
    );
    server.put("/v1/kv/session/k", b"v");
    assert!(
        header(&server.get("/v1/kv/session/k"), "torc-expires").is_some(),
        "the bucket's own ttl"
    );
}

#[test]
fn sort_keys_and_keys_of_any_bytes_are_told_apart() {
    let mut server = Server::new();
    let targets = [
        "/v1/kv/default/a",
        "/v1/kv/default/a/",
        "/v1/kv/default//a",
        "/v1/kv/default/.",
        "/v1/kv/default/..",
        "/v1/kv/default/a%2520b",
        "/v1/kv/default/a%20b",
        "/v1/kv/default/a+b",
        "/v1/kv/default/%00%ff",
        "/v1/kv/default/a?sort=1",
        "/v1/kv/default/a?sort=%31%00",
        "/v1/kv/redis/a",
    ];
    for target in targets {
        server.put(target, target.as_bytes());
    }
    for target in targets {
        assert_eq!(&server.get(target).body[..], target.as_bytes());
    }
    // One key however it is spelled.
    assert_eq!(&server.get("/v1/kv/def%61ult/%61%2F").body[..], b"/v1/kv/default/a/");
    assert_eq!(&server.get("/v1/kv/default/a?sort=").body[..], b"/v1/kv/default/a");
}

#[test]
fn conditions_are_refused_where_nothing_is_agreed() {
    let mut server = Server::new();
    for method in ["PUT", "DELETE"] {
        for name in ["if-match", "if-none-match"] {
            let reply = server.ask(method, "/v1/kv/default/k?", &[(name, "*")], b"");
            assert_eq!(error(&reply), (409, "wrong_mode".into()), "{method} {name}");
            let reply = server.ask(method, "/v1/kv/strong/k", &[(name, "*")], b"");
            assert_eq!(error(&reply), (501, "not_in_this_version".into()), "{method} {name}");
        }
    }
    for (method, target) in [
        ("GET", "/v1/kv/strong/k"),
        ("PUT", "/v1/kv/strong/k"),
        ("DELETE", "/v1/kv/strong/k"),
        ("GET", "/v1/kv/strong?key=k"),
        ("GET", "/v1/keys/strong"),
        ("GET", "/v1/inspect/strong/k"),
    ] {
        let reply = server.ask(method, target, &[], b"");
        assert_eq!(error(&reply), (501, "not_in_this_version".into()), "{method} {target}");
    }
}

#[test]
fn a_repeated_request_id_answers_the_first_result() {
    let mut server = Server::new();
    let id = [("torc-request-id", "pay-42")];
    let first = server.ask("PUT", "/v1/kv/default/k", &id, b"v");
    let again = server.ask("PUT", "/v1/kv/default/k", &id, b"v");
    assert_eq!((again.status.as_u16(), context(&again)), (204, context(&first)));
    assert_eq!(
        server.get("/v1/kv/default/k").status.as_u16(),
        200,
        "one version, not two"
    );
    let other = server.ask("PUT", "/v1/kv/default/k", &id, b"w");
    assert_eq!(error(&other), (409, "request_id_reused".into()));
    assert_eq!(header(&other, "torc-request-id"), Some("pay-42"));
}

#[test]
fn contexts_are_refused_by_cause() {
    let mut server = Server::new();
    let dots = context(&server.put("/v1/kv/default/k", b"v"));
    let clock = context(&server.put("/v1/kv/redis/k", b"v"));
    let damaged = dots.replacen('A', "B", 1);
    for (target, token) in [
        ("/v1/kv/default/k", "nonsense!"),
        ("/v1/kv/default/k", ""),
        ("/v1/kv/default/k", &damaged),
        ("/v1/kv/default/k", &clock),
        ("/v1/kv/redis/k", &dots),
    ] {
        for method in ["PUT", "DELETE"] {
            let reply = server.ask(method, target, &[("torc-context", token)], b"");
            assert_eq!(error(&reply), (400, "bad_context".into()), "{method} {target} {token}");
        }
    }
    let twice = [("torc-context", &dots[..]), ("torc-context", &dots[..])];
    assert_eq!(error(&server.ask("PUT", "/v1/kv/default/k", &twice, b"")).0, 400);
    let good = server.ask("PUT", "/v1/kv/redis/k", &[("torc-context", &clock)], b"w");
    assert_eq!(good.status.as_u16(), 204);
}

#[test]
fn one_byte_more_than_each_limit_is_named() {
    let mut server = Server::new();
    let at_limit = "k".repeat(2_048);
    assert_eq!(
        server.put(&format!("/v1/kv/default/{at_limit}"), b"v").status.as_u16(),
        204
    );
    let over = server.put(&format!("/v1/kv/default/{at_limit}k"), b"v");
    assert_eq!(error(&over), (413, "key_too_large".into()));
    assert_eq!(
        (&json(&over)["limit"], &json(&over)["actual"]),
        (&2_048.into(), &2_049.into())
    );
    let encoded = "%ff".repeat(2_048);
    assert_eq!(
        server.put(&format!("/v1/kv/default/{encoded}"), b"v").status.as_u16(),
        204
    );
    let sort = "s".repeat(1_024);
    assert_eq!(
        server
            .put(&format!("/v1/kv/default/k?sort={sort}"), b"v")
            .status
            .as_u16(),
        204
    );
    let over = server.get(&format!("/v1/kv/default/k?sort={sort}s"));
    assert_eq!(error(&over), (413, "key_too_large".into()));
    assert_eq!(
        (&json(&over)["limit"], &json(&over)["actual"]),
        (&1_024.into(), &1_025.into())
    );
    assert_eq!(server.put("/v1/kv/small/k", &[0; 64]).status.as_u16(), 204);
    let over = server.put("/v1/kv/small/k", &[0; 65]);
    assert_eq!(error(&over), (413, "value_too_large".into()));
    assert_eq!(
        (&json(&over)["limit"], &json(&over)["actual"]),
        (&64.into(), &65.into())
    );
    assert!(message(&over).contains("value_bytes_max"), "{}", message(&over));
    assert_eq!(server.put("/v1/kv/default/empty", b"").status.as_u16(), 204);
    let empty = server.get("/v1/kv/default/empty");
    assert_eq!((empty.status.as_u16(), empty.body.len()), (200, 0));
    assert_eq!(error(&server.put("/v1/kv/default/", b"v")), (400, "bad_request".into()));
    let long_type = "t".repeat(257);
    let reply = server.ask("PUT", "/v1/kv/default/k", &[("content-type", &long_type)], b"v");
    assert_eq!(error(&reply), (400, "bad_request".into()));
    for i in 0..2 {
        assert_eq!(server.put("/v1/kv/small/s", &[i]).status.as_u16(), 204);
    }
    assert_eq!(server.put("/v1/kv/small/s", &[2]).status.as_u16(), 204);
    let over = server.put("/v1/kv/small/s", &[3]);
    assert_eq!(error(&over), (409, "too_many_siblings".into()));
    assert_eq!((&json(&over)["limit"], &json(&over)["actual"]), (&3.into(), &4.into()));
}

#[test]
fn quorums_above_n_are_refused_and_names_fit_any_n() {
    let mut server = Server::new();
    for target in ["/v1/kv/default/k?w=2", "/v1/kv/default/k?w=9"] {
        assert_eq!(error(&server.put(target, b"v")), (400, "bad_request".into()));
    }
    assert_eq!(error(&server.get("/v1/kv/default/k?r=3")), (400, "bad_request".into()));
    for w in ["1", "one", "quorum", "all", "local_one", "local_quorum", "each_quorum"] {
        let target = format!("/v1/kv/default/k?w={w}&strict=true&timeout_ms=60000");
        assert_eq!(server.put(&target, b"v").status.as_u16(), 204, "{w}");
        let target = format!("/v1/kv/default/k?r={w}&strict=1");
        assert_eq!(
            server.get(&target).status.as_u16() / 100,
            if w == "1" { 2 } else { 3 },
            "{w}"
        );
    }
    for consistency in ["eventual", "quorum", "strong"] {
        let target = format!("/v1/kv/default/other?consistency={consistency}");
        assert_eq!(server.get(&target).status.as_u16(), 404);
        let with_r = server.get(&format!("{target}&r=1"));
        assert_eq!(error(&with_r), (400, "bad_request".into()));
    }
    let contradiction = server.get("/v1/kv/default/k?consistency=strong&strict=false");
    assert_eq!(error(&contradiction), (400, "bad_request".into()));
}

#[test]
fn request_ids_have_their_alphabet() {
    let mut server = Server::new();
    for id in ["", "a b", "é", &"x".repeat(65), "a/b"] {
        let headers = http::HeaderValue::from_bytes(id.as_bytes()).expect("legal in HTTP");
        let mut map = http::HeaderMap::new();
        map.insert("torc-request-id", headers);
        let route = crate::http::route(
            &http::Method::PUT,
            "/v1/kv/default/k",
            &map,
            bytes::Bytes::new(),
            &server.catalog,
            server.now.wall,
        );
        let crate::http::Route::Answer(reply) = route else {
            panic!("{id:?} was taken: {route:?}")
        };
        assert_eq!(error(&reply), (400, "bad_request".into()));
        assert_eq!(header(&reply, "torc-request-id"), None);
    }
    let longest = "x".repeat(64);
    let reply = server.ask("PUT", "/v1/kv/default/k", &[("torc-request-id", &longest)], b"v");
    assert_eq!(header(&reply, "torc-request-id"), Some(&longest[..]));
}
