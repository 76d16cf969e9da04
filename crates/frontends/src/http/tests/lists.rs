//! Pages of sort keys and of keys.

use std::collections::BTreeSet;

use crate::http::tests::server::{Server, error, header, json};

#[test]
fn sort_keys_come_in_byte_order_page_by_page() {
    let mut server = Server::new();
    for i in [3, 1, 2, 0, 4] {
        server.put(&format!("/v1/kv/default/k%00?sort=s%20{i}"), format!("v{i}").as_bytes());
    }
    server.put("/v1/kv/default/k%00", b"the key itself");
    let mut sorts = Vec::new();
    let mut start = String::new();
    loop {
        let page = server.get(&format!("/v1/kv/default?key=k%00&limit=2&start={start}"));
        assert_eq!(
            (page.status.as_u16(), header(&page, "torc-answered")),
            (200, Some("1/1"))
        );
        let body = json(&page);
        for item in body["items"].as_array().expect("items") {
            assert_eq!(item["key"], "k%00");
            assert!(item["context"].is_string());
            sorts.push(item["sort"].as_str().expect("a sort key").to_owned());
        }
        match body["next"].as_str() {
            Some(next) => start = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(sorts, ["", "s%200", "s%201", "s%202", "s%203", "s%204"]);
    let page = json(&server.get("/v1/kv/default?key=k%00&prefix=s%20&start=s%203"));
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(page["items"][0]["siblings"][0]["value"], "djM=");
    assert!(page["next"].is_null());
}

#[test]
fn every_key_of_a_bucket_is_listed_once() {
    let mut server = Server::new();
    let mut expected = BTreeSet::new();
    for i in 0..40 {
        server.put(&format!("/v1/kv/default/k{i}"), b"v");
        server.put(&format!("/v1/kv/default/k{i}?sort=%FF"), b"v");
        expected.extend([(format!("k{i}"), String::new()), (format!("k{i}"), "%FF".to_owned())]);
    }
    server.put("/v1/kv/redis/other", b"v");
    let mut listed = BTreeSet::new();
    let mut start = String::new();
    let mut pages = 0;
    loop {
        let page = server.get(&format!("/v1/keys/default?limit=7{start}"));
        assert_eq!(header(&page, "torc-answered"), Some("1/1"));
        let body = json(&page);
        for item in body["items"].as_array().expect("items") {
            let text = |name: &str| item[name].as_str().expect("text").to_owned();
            assert!(listed.insert((text("key"), text("sort"))), "{item} was listed twice");
        }
        pages += 1;
        match body["next"].as_str() {
            Some(next) => start = format!("&start={next}"),
            None => break,
        }
    }
    assert_eq!(listed, expected);
    assert!(pages >= 12, "{pages} pages of 7 for 80 records");
}

#[test]
fn what_is_wrong_with_a_listing_is_named() {
    let mut server = Server::new();
    for target in [
        "/v1/kv/default",
        "/v1/kv/default?key=",
        "/v1/kv/default?key=k&limit=0",
        "/v1/kv/default?key=k&limit=1001",
        "/v1/kv/default?key=k&limit=x",
        "/v1/keys/default?limit=1001",
        "/v1/keys/default?start=***",
        "/v1/keys/default?start=AAAA",
        "/v1/keys/default?key=k",
    ] {
        assert_eq!(error(&server.get(target)), (400, "bad_request".into()), "{target}");
    }
    assert_eq!(error(&server.get("/v1/keys/none")), (404, "no_such_bucket".into()));
    assert_eq!(error(&server.get("/v1/kv/none?key=k")), (404, "no_such_bucket".into()));
    let long = "k".repeat(2_049);
    assert_eq!(
        error(&server.get(&format!("/v1/kv/default?key={long}"))),
        (413, "key_too_large".into())
    );
    assert_eq!(
        json(&server.get("/v1/kv/default?key=absent"))["items"],
        serde_json::json!([])
    );
}
