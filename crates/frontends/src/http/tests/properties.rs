//! No request panics, and keys and values of any bytes come back.

use bytes::Bytes;
use proptest::prelude::*;
use torc_core::causality::{ClientContext, Context};
use torc_core::command::Command;
use torc_core::outcome::{Answered, Cause, Failure, Found, Inspected, KeysPage, Listed, Outcome, Written};
use torc_core::time::Wall;

use crate::http::tests::server::{Server, catalog, ring};
use crate::http::{Route, parse_raw, percent_encode_into, route};

fn encoded(bytes: &[u8]) -> String {
    let mut out = String::new();
    percent_encode_into(bytes, &mut out);
    out
}

/// An outcome that a core could give to `command`.
fn outcome_of(command: &Command) -> Outcome {
    match command {
        Command::Get(_) => Outcome::Found(Box::new(Found {
            context: Some(ClientContext::Dots(Context::new())),
            siblings: Vec::new(),
            tombstones: 1,
            is_hash: true,
            answered: Answered::default(),
        })),
        Command::Put(_) | Command::Import(_) => Outcome::Written(Written {
            context: ClientContext::Dots(Context::new()),
            answered: Answered::default(),
        }),
        Command::List(_) => Outcome::Listed(Listed {
            items: Vec::new(),
            next: Some(Bytes::from_static(b"\xff")),
            answered: Answered::default(),
        }),
        Command::Keys(_) => Outcome::Keys(KeysPage {
            items: Vec::new(),
            next: Some(Bytes::from_static(b"\xff")),
            next_hash: 1,
            answered: Answered::default(),
        }),
        Command::Batch(batch) => Outcome::Batch(batch.commands.iter().map(outcome_of).collect()),
        Command::Inspect(_) => Outcome::Inspected(Inspected {
            homes: Vec::new(),
            merged: None,
        }),
        Command::Update(_) | Command::View(_) | Command::Clear(_) => {
            Outcome::Failed(Failure::refused(Cause::NoSuchBucket))
        }
    }
}

fn survive(bytes: &[u8]) {
    let catalog = catalog();
    let Some(raw) = parse_raw(bytes) else { return };
    let planned = route(
        &raw.method,
        &raw.target,
        &raw.headers,
        raw.body,
        &catalog,
        Wall(1_700_000_000_000),
    );
    if let Route::Command(planned) = planned {
        let outcome = outcome_of(&planned.command);
        let reply = planned.rendering.reply(outcome, &ring(1, &catalog));
        assert!(reply.status.as_u16() >= 200);
    }
}

proptest! {
    #[test]
    fn keys_and_values_of_any_bytes_come_back(key in prop::collection::vec(any::<u8>(), 1..60), sort in prop::collection::vec(any::<u8>(), 0..20),
                                              value in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut server = Server::new();
        let target = format!("/v1/kv/default/{}?sort={}", encoded(&key), encoded(&sort));
        prop_assert_eq!(server.put(&target, &value).status.as_u16(), 204);
        let got = server.get(&target);
        prop_assert_eq!((got.status.as_u16(), &got.body[..]), (200, &value[..]));
        let page = crate::http::tests::server::json(&server.get(&format!("/v1/kv/default?key={}", encoded(&key))));
        prop_assert_eq!(&page["items"][0]["key"], &serde_json::Value::from(encoded(&key)));
        prop_assert_eq!(&page["items"][0]["sort"], &serde_json::Value::from(encoded(&sort)));
        let keys = crate::http::tests::server::json(&server.get("/v1/keys/default"));
        prop_assert_eq!(&keys["items"][0]["key"], &serde_json::Value::from(encoded(&key)));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survive(&bytes);
    }

    #[test]
    fn no_target_panics(method in "(GET|PUT|DELETE|POST|HEAD|PATCH)",
                        path in "/(v1/(kv|keys|batch|buckets|inspect|ring|faults)|healthz)?[/a-z%0-9]{0,30}",
                        query in "(\\?((key|sort|r|w|ttl|limit|start|strict|context|bucket|blind|consistency|timeout_ms|x)=[%0-9a-zA-Z+]{0,12}&?){0,4})?",
                        header in "(torc-context|torc-request-id|accept|content-type|if-match): ?[ -~]{0,20}",
                        body in "\\PC{0,60}") {
        survive(format!("{method} {path}{query}\n{header}\n\n{body}").as_bytes());
    }

    #[test]
    fn no_batch_panics(op in "(put|get|delete|x)", bucket in "(default|redis|strong|none)", key in "\\PC{0,10}", value in "[A-Za-z0-9+/=]{0,12}",
                       ttl in any::<i64>(), r in any::<u8>()) {
        let item = serde_json::json!({ "op": op, "bucket": bucket, "key": key, "value": value, "ttl": ttl });
        let body = serde_json::json!({ "operations": [item], "r": r });
        survive(format!("POST /v1/batch\n\n{body}").as_bytes());
    }
}
