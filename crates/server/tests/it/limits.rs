//! Sizes from one byte to the limit, one byte more, keys of any bytes, many sort keys.

use serde_json::Value;

use crate::harness::{Cluster, Reply, Settings, percent};

const KEY_MAX: usize = 2_048;
const SORT_MAX: usize = 1_024;
const VALUE_MAX: usize = 1 << 20;

fn assert_too_large(answer: &crate::harness::Answer, code: &str, limit: usize, actual: usize) {
    assert_eq!(answer.status, 413, "{}", answer.text());
    let error = answer.json();
    assert_eq!(error["error"], code, "{error}");
    assert_eq!(
        (&error["limit"], &error["actual"]),
        (&limit.into(), &actual.into()),
        "{error}"
    );
    assert_eq!(error["outcome"], "not_applied", "{error}");
}

#[test]
fn values_from_nothing_to_the_limit_are_kept_and_one_byte_more_is_refused_by_name() {
    let cluster = Cluster::of_three();
    for length in [0, 1, 100, 9_999, 65_536, VALUE_MAX - 1, VALUE_MAX] {
        let value: Vec<u8> = (0..length).map(|at| (at * 31 % 251) as u8).collect();
        cluster[0]
            .ask("PUT", &format!("/v1/kv/default/v{length}"), &[], &value)
            .expect(204);
        let answer = cluster[1].get(&format!("/v1/kv/default/v{length}")).expect(200);
        assert!(answer.body == value, "{length} bytes came back otherwise");
    }
    let answer = cluster[0].ask("PUT", "/v1/kv/default/big", &[], &vec![7; VALUE_MAX + 1]);
    assert_too_large(&answer, "value_too_large", VALUE_MAX, VALUE_MAX + 1);
    cluster[0].get("/v1/kv/default/big").expect(404);

    let mut resp = cluster[0].resp();
    let most = vec![b'x'; VALUE_MAX];
    assert_eq!(resp.try_call(&[b"SET", b"v", &most]).expect("a reply"), Reply::ok());
    assert_eq!(resp.call("STRLEN v"), Reply::Integer(VALUE_MAX as i64));
    let refused = resp
        .try_call(&[b"SET", b"v", &vec![b'x'; VALUE_MAX + 1]])
        .expect("a reply");
    assert!(
        matches!(&refused, Reply::Error(text) if text.starts_with("TOOLARGE")),
        "{refused:?}"
    );
    assert_eq!(resp.call("PING"), Reply::Simple("PONG".into()));
}

/// A connection that is closed over bytes that nobody has read is reset, and a client that sends first and reads afterwards
/// then meets a broken pipe instead of the answer.
#[test]
fn a_client_that_sends_on_after_a_refusal_still_gets_the_answer() {
    let node = &Cluster::of_three()[0];
    let far_too_much = vec![7; 16 * VALUE_MAX];
    let answer = node.ask("PUT", "/v1/kv/default/big", &[], &far_too_much);
    assert_too_large(&answer, "value_too_large", VALUE_MAX, far_too_much.len());
    let mut resp = node.resp();
    let told = b"*1\r\n$4\r\nPING\r\n*1\r\n!4\r\n".to_vec();
    resp.send_raw(&[told, far_too_much].concat())
        .expect("all of it is taken");
    assert_eq!(resp.reply().expect("a reply"), Reply::Simple("PONG".into()));
    let refused = resp.reply().expect("a reply");
    assert!(
        matches!(&refused, Reply::Error(text) if text.starts_with("ERR Protocol error")),
        "{refused:?}"
    );
}

#[test]
fn keys_up_to_their_limits_are_kept_and_one_byte_more_is_refused_by_name() {
    let cluster = Cluster::of_three();
    let (key, sort) = ("k".repeat(KEY_MAX), "s".repeat(SORT_MAX));
    cluster[0]
        .ask("PUT", &format!("/v1/kv/default/{key}?sort={sort}"), &[], b"v")
        .expect(204);
    assert_eq!(
        cluster[1]
            .get(&format!("/v1/kv/default/{key}?sort={sort}"))
            .expect(200)
            .text(),
        "v"
    );
    let answer = cluster[0].ask("PUT", &format!("/v1/kv/default/{key}k"), &[], b"v");
    assert_too_large(&answer, "key_too_large", KEY_MAX, KEY_MAX + 1);
    let answer = cluster[0].ask("PUT", &format!("/v1/kv/default/k?sort={sort}s"), &[], b"v");
    assert_too_large(&answer, "key_too_large", SORT_MAX, SORT_MAX + 1);
    let answer = cluster[0].ask("PUT", "/v1/kv/default/", &[], b"v");
    assert!((400..500).contains(&answer.status), "an empty key: {}", answer.status);
}

#[test]
fn keys_of_any_bytes_are_keys() {
    let cluster = Cluster::of_three();
    let mut keys: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    keys.extend([
        b"..".to_vec(),
        b"a/b".to_vec(),
        b"a%2Fb".to_vec(),
        b"a+b".to_vec(),
        b"\r\n\0".to_vec(),
    ]);
    let mut http = cluster[0].http();
    for key in &keys {
        let answer = http.send("PUT", &format!("/v1/kv/default/{}", percent(key)), &[], key);
        answer.expect("an answer").expect(204);
    }
    let mut http = cluster[2].http();
    for key in &keys {
        let answer = http.send("GET", &format!("/v1/kv/default/{}", percent(key)), &[], b"");
        assert_eq!(answer.expect("an answer").expect(200).body, *key);
    }
    let mut resp = cluster[1].resp();
    for key in &keys {
        assert_eq!(resp.try_call(&[b"SET", key, key]).expect("a reply"), Reply::ok());
        assert_eq!(resp.try_call(&[b"GET", key]).expect("a reply"), Reply::bulk(key));
    }
    assert_eq!(
        listed(&cluster, "/v1/keys/default?limit=50", |item| item["key"].clone()).len(),
        keys.len()
    );
}

/// All items of a listing, page after page.
fn listed(cluster: &Cluster, target: &str, field: impl Fn(&Value) -> Value) -> Vec<Value> {
    let mut items = Vec::new();
    let mut start = String::new();
    loop {
        let page = cluster[1].json(&format!("{target}{start}"));
        items.extend(page["items"].as_array().expect("items").iter().map(&field));
        match page["next"].as_str() {
            Some(next) => start = format!("&start={next}"),
            None => return items,
        }
    }
}

#[test]
fn ten_thousand_sort_keys_under_one_key_are_listed_in_byte_order_each_once() {
    const COUNT: usize = 10_000;
    let cluster = Cluster::start(&Settings {
        tables: "[[buckets]]\nname = \"loose\"\ndurability = \"buffered\"\n",
        ..Settings::default()
    });
    let addresses = [cluster[0].http_address(), cluster[1].http_address()];
    std::thread::scope(|scope| {
        for (part, address) in addresses.iter().cycle().take(8).enumerate() {
            scope.spawn(move || {
                let mut http = crate::harness::Http::connect(address).expect("the node takes clients");
                for at in (part..COUNT).step_by(8) {
                    let target = format!("/v1/kv/loose/many?sort={at:05}");
                    let answer = http.send("PUT", &target, &[], at.to_string().as_bytes());
                    answer.expect("an answer").expect(204);
                }
            });
        }
    });
    let expected: Vec<Value> = (0..COUNT).map(|at| format!("{at:05}").into()).collect();
    let sorts = listed(&cluster, "/v1/kv/loose?key=many&limit=1000", |item| {
        item["sort"].clone()
    });
    assert!(sorts == expected, "{} sort keys", sorts.len());
    let some = listed(&cluster, "/v1/kv/loose?key=many&prefix=012&limit=7", |item| {
        item["sort"].clone()
    });
    assert_eq!(some, expected[1_200..1_300]);
    let one = cluster[2].get("/v1/kv/loose/many?sort=07777").expect(200);
    assert_eq!(one.text(), "7777");
    cluster[2].get("/v1/kv/loose/many").expect(404);
}
