//! The table of routes, the router and the OpenAPI document are one thing.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;
use torc_core::causality::{Record, SiblingsRecord, codec};

use crate::http::query::Parameter;
use crate::http::table::{Endpoint, Operation, RESOURCES, Resource, Tail, find};
use crate::http::tests::server::{Server, error, header, json, message};
use crate::http::{NodeRequest, Route, openapi_document};

const EVERY_PARAMETER: [Parameter; 15] = [
    Parameter::Sort,
    Parameter::R,
    Parameter::W,
    Parameter::Strict,
    Parameter::Consistency,
    Parameter::Ttl,
    Parameter::TimeoutMs,
    Parameter::Blind,
    Parameter::Key,
    Parameter::Prefix,
    Parameter::StartSort,
    Parameter::StartCursor,
    Parameter::Limit,
    Parameter::Bucket,
    Parameter::Context,
];

fn path(resource: &Resource) -> String {
    match resource.tail {
        Tail::Nothing => resource.prefix.to_owned(),
        Tail::Bucket => format!("{}default", resource.prefix),
        Tail::BucketAndKey => format!("{}default/some/key", resource.prefix),
    }
}

fn good(parameter: Parameter) -> &'static str {
    match parameter {
        Parameter::Sort | Parameter::Prefix | Parameter::StartSort | Parameter::Key => "%00a",
        Parameter::R | Parameter::W => "one",
        Parameter::Strict | Parameter::Blind => "true",
        Parameter::Consistency => "quorum",
        Parameter::Ttl | Parameter::TimeoutMs | Parameter::Limit => "7",
        Parameter::StartCursor => "",
        Parameter::Bucket => "default",
        Parameter::Context => "AQAAAH_hIpU",
    }
}

fn bad(parameter: Parameter) -> &'static [&'static str] {
    match parameter {
        Parameter::Sort | Parameter::Prefix | Parameter::StartSort => &["%", "%g0"],
        Parameter::Key => &["", "%"],
        Parameter::R | Parameter::W => &["", "0", "10", "Quorum", "two", "-1", "+1"],
        Parameter::Strict | Parameter::Blind => &["", "yes", "TRUE", "2"],
        Parameter::Consistency => &["", "linearizable", "Strong"],
        Parameter::Ttl => &["", "0", "-1", "1.5", "315360001", "+1", "18446744073709551616"],
        Parameter::TimeoutMs => &["", "0", "60001", "1s"],
        Parameter::Limit => &["", "0", "1001", "ten"],
        Parameter::StartCursor => &["*", "A"],
        Parameter::Bucket => &["%"],
        Parameter::Context => &["", "!", "AAAA"],
    }
}

/// The query that an operation needs, without `except`.
fn needed(operation: &Operation, except: &str) -> String {
    let needed = operation.parameters.iter().filter(|parameter| parameter.is_required());
    let pairs: Vec<String> = needed
        .filter(|parameter| parameter.name() != except)
        .map(|&parameter| format!("{}={}", parameter.name(), good(parameter)))
        .collect();
    pairs.join("&")
}

/// A body that is legal for the operation.
fn body_of(operation: &Operation) -> Vec<u8> {
    match operation.endpoint {
        Endpoint::ImportRecord => codec::encode(&Record::Siblings(SiblingsRecord::default())),
        _ => b"{\"operations\":[]}".to_vec(),
    }
}

fn refusal(server: &Server, operation: &Operation, target: &str) -> (u16, String) {
    match server.route(&operation.method, target, &[], &body_of(operation)) {
        Route::Answer(reply) if !reply.status.is_success() => (reply.status.as_u16(), message(&reply)),
        route => panic!("{} {target} was taken: {route:?}", operation.method),
    }
}

#[test]
fn every_row_is_routed_to_what_it_says() {
    let server = Server::new();
    let mut endpoints = Vec::new();
    for resource in RESOURCES {
        let path = path(resource);
        let (found, ..) = find(&path).expect("a path of the table is found");
        assert_eq!(found.template(), resource.template());
        for operation in resource.operations {
            endpoints.push(operation.endpoint.id());
            let target = format!("{path}?{}", needed(operation, ""));
            let context = [("torc-context", "AQAAAH_hIpU")];
            let route = server.route(&operation.method, &target, &context, &body_of(operation));
            let is_planned = matches!(route, Route::Command(_) | Route::Node(_));
            match operation.endpoint {
                Endpoint::PutBucket | Endpoint::DropBucket | Endpoint::Console => {
                    let Route::Answer(reply) = route else {
                        panic!("{route:?}")
                    };
                    assert_eq!(error(&reply), (501, "not_in_this_version".into()));
                }
                Endpoint::OpenApi => assert!(matches!(route, Route::Answer(reply) if reply.status == 200)),
                Endpoint::SetPace(work) => {
                    let route = server.route(&operation.method, &target, &[], b"{\"run_now\":true}");
                    let wanted = matches!(&route, Route::Node(NodeRequest::SetPace(set, change)) if *set == work && change.run_now);
                    assert!(wanted, "{route:?}");
                    for bad in [&b"{\"speed\":1}"[..], b"{\"bytes_per_second\":0}", b"", b"{"] {
                        let route = server.route(&operation.method, &target, &[], bad);
                        assert!(matches!(route, Route::Answer(reply) if reply.status == 400));
                    }
                }
                Endpoint::SetFaults => {
                    let route = server.route(&operation.method, &target, &[], b"{}");
                    assert!(matches!(route, Route::Node(_)), "{route:?}");
                }
                _ => assert!(is_planned, "{} {target}: {route:?}", operation.method),
            }
        }
    }
    let distinct: BTreeSet<&str> = endpoints.iter().copied().collect();
    assert_eq!(
        (distinct.len(), endpoints.len()),
        (32, 32),
        "each endpoint stands in the table once"
    );
}

#[test]
fn every_documented_parameter_is_taken_and_all_others_are_refused_by_name() {
    let server = Server::new();
    for resource in RESOURCES {
        for operation in resource.operations {
            for parameter in EVERY_PARAMETER {
                let name = parameter.name();
                let is_documented = operation.parameters.contains(&parameter);
                let same_name = operation.parameters.iter().any(|known| known.name() == name);
                let base = format!("{}?{}", path(resource), needed(operation, name));
                let target = format!("{base}&{name}={}", good(parameter));
                if is_documented {
                    let context = [("torc-context", "AQAAAH_hIpU")];
                    let context = if parameter == Parameter::Blind {
                        &[][..]
                    } else {
                        &context[..]
                    };
                    let route = server.route(&operation.method, &target, context, &body_of(operation));
                    if let Route::Answer(reply) = &route {
                        panic!("{target}: {reply:?}");
                    }
                    for value in bad(parameter) {
                        let target = format!("{base}&{name}={value}");
                        let (status, text) = refusal(&server, operation, &target);
                        assert_eq!(status, 400, "{target}");
                        assert!(
                            parameter == Parameter::Context || text.contains(name),
                            "{target}: {text}"
                        );
                    }
                    let (status, text) = refusal(&server, operation, &format!("{target}&{name}={}", good(parameter)));
                    assert_eq!((status, text.contains("twice")), (400, true), "{text}");
                    let (status, _) = refusal(&server, operation, &format!("{base}&{name}"));
                    assert_eq!(status, 400, "a parameter without a value");
                    if parameter.is_required() {
                        let (status, text) = refusal(&server, operation, &base);
                        assert_eq!((status, text.contains(name)), (400, true), "{text}");
                    }
                } else if !same_name {
                    let (status, text) = refusal(&server, operation, &target);
                    assert_eq!((status, text.contains(name)), (400, true), "{target}: {text}");
                    for allowed in operation.parameters {
                        assert!(text.contains(allowed.name()), "{text} lists what is allowed");
                    }
                }
            }
            let target = format!("{}?{}&colour=red", path(resource), needed(operation, ""));
            let (status, text) = refusal(&server, operation, &target);
            assert_eq!((status, text.contains("'colour'")), (400, true), "{target}: {text}");
        }
    }
}

#[test]
fn other_methods_are_405_with_those_there_are() {
    let mut server = Server::new();
    for resource in RESOURCES {
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "BREW"] {
            let name = Method::from_bytes(method.as_bytes()).expect("a method");
            if resource.operation(&name).is_some() {
                continue;
            }
            let reply = server.ask(method, &path(resource), &[], b"");
            assert_eq!(reply.status.as_u16(), 405, "{method} {}", path(resource));
            assert_eq!(header(&reply, "allow"), Some(&resource.allow()[..]));
            if method != "HEAD" {
                assert_eq!(error(&reply).1, "method_not_allowed");
            }
        }
    }
    let reply = server.ask("POST", "/v1/kv/default/k", &[], b"");
    assert_eq!(header(&reply, "allow"), Some("GET, HEAD, PUT, DELETE"));
    let reply = server.ask("GET", "/v1/batch", &[], b"");
    assert_eq!(header(&reply, "allow"), Some("POST"));
}

#[test]
fn paths_that_lead_nowhere_are_404() {
    let mut server = Server::new();
    for target in [
        "/",
        "",
        "*",
        "/v1",
        "/v1/",
        "/v2/kv/default/k",
        "/v1/cluster/",
        "/healthz/x",
        "/v1/keys/default/k",
        "/V1/kv/default/k",
    ] {
        assert_eq!(error(&server.get(target)), (404, "not_found".into()), "{target}");
    }
    for target in [
        "/v1/kv/",
        "/v1/kv//k",
        "/v1/kv/nosuch/k",
        "/v1/kv/UPPER/k",
        "/v1/kv/%ff/k",
        "/v1/buckets/",
    ] {
        let target = if target == "/v1/kv/" { "/v1/kv/?key=k" } else { target };
        assert_eq!(error(&server.get(target)), (404, "no_such_bucket".into()), "{target}");
    }
    assert_eq!(error(&server.get("/v1/kv/%zz/k")), (400, "bad_request".into()));
    assert_eq!(error(&server.get("/v1/kv/default/%zz")), (400, "bad_request".into()));
}

#[test]
fn the_document_is_served_and_its_references_lead_somewhere() {
    let mut server = Server::new();
    let reply = server.get("/openapi.json");
    assert_eq!(header(&reply, "content-type"), Some("application/json"));
    let document = json(&reply);
    assert_eq!(document, openapi_document());
    assert_eq!(document["openapi"], "3.1.0");
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    for reference in &used {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    for resource in RESOURCES {
        for operation in resource.operations {
            let name = operation.method.as_str().to_ascii_lowercase();
            let described = &document["paths"][resource.template()][name];
            assert_eq!(described["operationId"], operation.endpoint.id());
            let listed = described["parameters"].as_array().expect("parameters").iter();
            let queries: Vec<&str> = listed
                .filter(|parameter| parameter["in"] == "query")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            let known: Vec<&str> = operation.parameters.iter().map(|parameter| parameter.name()).collect();
            assert_eq!(queries, known);
            assert!(!described["responses"].as_object().expect("responses").is_empty());
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                found.insert(reference.to_owned());
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}
