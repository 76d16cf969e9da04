//! One node on a disk in memory, asked through the frontend.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde_json::Value;
use torc_core::bucket::{Bucket, Catalog, Conflict};
use torc_core::causality::Record;
use torc_core::command::Request;
use torc_core::effect::{Effect, Input, Outbox};
use torc_core::id::{BucketId, NodeId, RequestId};
use torc_core::key::RecordKey;
use torc_core::node::{Node, NodeConfig};
use torc_core::outcome::Outcome;
use torc_core::ring::{Member, Ring};
use torc_core::storage::{BootState, Page, StoreOp, StoreReply};
use torc_core::time::{Now, Time, Wall};

use crate::http::tests::hold::hold;
use crate::http::{HttpReply, NodeRequest, Planned, Route, route};

/// `default`, `redis`, `strong` as in every cluster, `small` (values to 64 bytes) and `session` (a ttl of a minute).
pub(crate) fn catalog() -> Arc<Catalog> {
    let mut buckets = Bucket::initial();
    buckets.push(Bucket {
        value_bytes_max: 64,
        siblings_max: 3,
        ..Bucket::available(BucketId(4), "small", Conflict::Siblings)
    });
    buckets.push(Bucket {
        ttl_seconds: Some(60),
        ..Bucket::available(BucketId(5), "session", Conflict::Siblings)
    });
    Arc::new(Catalog::new(buckets))
}

pub(crate) fn ring(count: usize, catalog: &Catalog) -> Ring {
    let members = (1..=count).map(|i| Member {
        id: NodeId::of_name(&format!("n{i}")),
        name: format!("n{i}").into(),
        dc: "dc1".into(),
        rack: "r1".into(),
        capacity: 1,
    });
    Ring::new(members.collect(), 16, catalog)
}

pub(crate) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a legal name");
        headers.append(name, HeaderValue::from_str(value).expect("a legal value"));
    }
    headers
}

/// One node.
pub(crate) struct Server {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) ring: Arc<Ring>,
    pub(crate) now: Now,
    node: Node,
    records: BTreeMap<RecordKey, Arc<Record>>,
    outcome: Option<Outcome>,
}

impl Server {
    pub(crate) fn new() -> Self {
        let catalog = catalog();
        let ring = Arc::new(ring(1, &catalog));
        let now = Now {
            time: Time(1_000_000),
            wall: Wall(1_700_000_000_000),
        };
        let config = NodeConfig {
            id: NodeId::of_name("n1"),
            ring: Arc::clone(&ring),
            catalog: Arc::clone(&catalog),
            seed: 7,
        };
        let boot = BootState {
            incarnation: 1,
            ..BootState::default()
        };
        let mut out = Outbox::new();
        let node = Node::new(config, boot, now, &mut out);
        let mut server = Self {
            catalog,
            ring,
            now,
            node,
            records: BTreeMap::new(),
            outcome: None,
        };
        server.perform(out);
        server.sleep_ms(2_000);
        server
    }

    pub(crate) fn sleep_ms(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(20) {
            self.now.time = self.now.time.plus_ms(20);
            self.now.wall.0 += 20;
            if self.node.next_deadline() <= self.now.time {
                self.step(Input::Tick);
            }
        }
    }

    /// The route of a request.
    pub(crate) fn route(&self, method: &Method, target: &str, pairs: &[(&str, &str)], body: &[u8]) -> Route {
        let body = Bytes::copy_from_slice(body);
        route(method, target, &headers(pairs), body, &self.catalog, self.now.wall)
    }

    /// The answer to a request, held against the table and the document.
    pub(crate) fn ask(&mut self, method: &str, target: &str, pairs: &[(&str, &str)], body: &[u8]) -> HttpReply {
        let method = Method::from_bytes(method.as_bytes()).expect("a legal method");
        let reply = match self.route(&method, target, pairs, body) {
            Route::Answer(reply) => reply,
            Route::Command(planned) => self.run(planned),
            Route::Node(request) => panic!("{method} {target} asks the shell: {request:?}"),
        };
        hold(&method, target, &reply);
        reply
    }

    pub(crate) fn get(&mut self, target: &str) -> HttpReply {
        self.ask("GET", target, &[], b"")
    }

    pub(crate) fn put(&mut self, target: &str, body: &[u8]) -> HttpReply {
        self.ask("PUT", target, &[], body)
    }

    /// What the shell is asked to answer.
    pub(crate) fn node_request(&self, method: &str, target: &str, body: &[u8]) -> NodeRequest {
        let method = Method::from_bytes(method.as_bytes()).expect("a legal method");
        match self.route(&method, target, &[], body) {
            Route::Node(request) => request,
            route => panic!("{method} {target} gave {route:?}"),
        }
    }

    pub(crate) fn run(&mut self, planned: Planned) -> HttpReply {
        let request = Request {
            id: RequestId(1),
            command: planned.command,
        };
        self.step(Input::Request(request));
        for _ in 0..400 {
            if let Some(outcome) = self.outcome.take() {
                let ring = Arc::clone(&self.ring);
                return planned.rendering.reply(outcome, &*ring);
            }
            self.sleep_ms(20);
        }
        panic!("no outcome within eight seconds");
    }

    fn step(&mut self, input: Input) {
        let mut out = Outbox::new();
        self.node.step(self.now, input, &mut out);
        self.perform(out);
    }

    fn perform(&mut self, mut out: Outbox) {
        while let Some(effect) = out.pop() {
            match effect {
                Effect::Store { token, op } => {
                    let reply = self.store(op);
                    self.step(Input::Stored { token, reply });
                }
                Effect::Reply { outcome, .. } => self.outcome = Some(outcome),
                Effect::Send { .. } | Effect::Reconnect { .. } | Effect::Notice(_) => {}
            }
        }
    }

    fn store(&mut self, op: StoreOp) -> StoreReply {
        match op {
            StoreOp::Get { key, .. } => StoreReply::Record(self.records.get(&key).cloned()),
            StoreOp::Scan { range, records_max, .. } => {
                let mut page = Page::default();
                for (key, record) in &self.records {
                    let name = key.as_bytes();
                    let is_past = range.end.as_ref().is_some_and(|end| name >= &end[..]);
                    if name < &range.start[..] || is_past || key.bucket() != range.bucket {
                        continue;
                    }
                    if page.records.len() >= records_max as usize {
                        page.next = Some(key.to_bytes());
                        break;
                    }
                    page.records.push((key.clone(), Arc::clone(record)));
                }
                StoreReply::Page(page)
            }
            StoreOp::Commit { writes, .. } => {
                for write in writes {
                    match write.record {
                        Some(record) => self.records.insert(write.key, record),
                        None => self.records.remove(&write.key),
                    };
                }
                StoreReply::Done
            }
            StoreOp::PutMeta(_) => StoreReply::Done,
            StoreOp::Scrub { .. } | StoreOp::Discard(_) => unreachable!("it is over before a scrub begins"),
        }
    }
}

/// The text of a header.
pub(crate) fn header<'a>(reply: &'a HttpReply, name: &str) -> Option<&'a str> {
    reply.header(name).map(|value| value.to_str().expect("text"))
}

/// The context that an answer gave.
pub(crate) fn context(reply: &HttpReply) -> String {
    header(reply, "torc-context").expect("a context").to_owned()
}

/// The JSON of a body.
pub(crate) fn json(reply: &HttpReply) -> Value {
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// The code of an error.
pub(crate) fn error(reply: &HttpReply) -> (u16, String) {
    let body = json(reply);
    (
        reply.status.as_u16(),
        body["error"].as_str().expect("a code").to_owned(),
    )
}

/// The message of an error.
pub(crate) fn message(reply: &HttpReply) -> String {
    json(reply)["message"].as_str().expect("a message").to_owned()
}
