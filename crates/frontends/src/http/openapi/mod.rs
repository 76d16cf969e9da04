//! The OpenAPI 3.1 document, written from the table of routes. Made once and kept.

mod schemas;

use std::sync::OnceLock;

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderValue;
use serde_json::{Map, Value, json};

use crate::http::problem::Code;
use crate::http::query::Parameter;
use crate::http::reply::HttpReply;
use crate::http::table::{Answer, Content, Operation, RESOURCES, ReplyHeader, RequestHeader, Resource, Tail};

static TEXT: OnceLock<Bytes> = OnceLock::new();

/// `GET /openapi.json`.
pub(crate) fn reply() -> HttpReply {
    let text = TEXT.get_or_init(|| Bytes::from(document().to_string()));
    HttpReply::of(
        StatusCode::OK,
        HeaderValue::from_static("application/json"),
        text.clone(),
    )
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let mut paths = Map::new();
    for resource in RESOURCES {
        let mut methods = Map::new();
        for operation in resource.operations {
            let name = operation.method.as_str().to_ascii_lowercase();
            methods.insert(name, of_operation(resource, operation));
        }
        paths.insert(resource.template(), Value::Object(methods));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Torc",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A distributed key-value store.",
            "description": "Keys in paths and queries are percent-encoded bytes, decoded once; '+' is literal, and a key \
                may hold slashes. HEAD is answered wherever GET is.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "schemas": schemas::all() },
    })
}

fn of_operation(resource: &Resource, operation: &Operation) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    let in_path = |name: &str, about: &str| json!({ "name": name, "in": "path", "required": true, "description": about, "schema": { "type": "string" } });
    match resource.tail {
        Tail::Nothing => {}
        Tail::Bucket => parameters.push(in_path("bucket", "The bucket's name.")),
        Tail::BucketAndKey => {
            parameters.push(in_path("bucket", "The bucket's name."));
            parameters.push(in_path("key", "The key, percent-encoded; 1 to 2,048 bytes."));
        }
    }
    for &parameter in operation.parameters {
        parameters.push(json!({
            "name": parameter.name(),
            "in": "query",
            "required": parameter.is_required(),
            "description": about(parameter),
            "schema": schemas::of_parameter(parameter),
        }));
    }
    for &header in operation.headers {
        let (name, about) = request_header(header);
        parameters.push(json!({
            "name": name,
            "in": "header",
            "required": false,
            "description": about,
            "schema": { "type": "string" },
        }));
    }
    let mut described = json!({
        "operationId": operation.endpoint.id(),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses(operation),
    });
    if operation.body != Content::Nothing {
        described["requestBody"] = json!({ "required": true, "content": content(operation.body) });
    }
    described
}

fn responses(operation: &Operation) -> Value {
    let mut responses = Map::new();
    for answer in operation.answers {
        responses.insert(answer.status.to_string(), of_answer(answer));
    }
    for &code in operation.errors {
        let status = code.status().as_u16().to_string();
        let named = format!("`{}`", code.text());
        let known = responses
            .get_mut(&status)
            .and_then(|response| response.get_mut("description"));
        if let Some(Value::String(description)) = known {
            description.push_str(", ");
            description.push_str(&named);
            continue;
        }
        let mut response = json!({
            "description": named,
            "content": { "application/json": { "schema": schemas::reference("Error") } },
        });
        let headers = error_headers(operation, code);
        if !headers.is_empty() {
            response["headers"] = Value::Object(headers);
        }
        responses.insert(status, response);
    }
    Value::Object(responses)
}

fn of_answer(answer: &Answer) -> Value {
    let mut response = json!({ "description": answer.about });
    let headers: Map<String, Value> = answer.headers.iter().map(|&header| reply_header(header)).collect();
    if !headers.is_empty() {
        response["headers"] = Value::Object(headers);
    }
    if answer.content != Content::Nothing {
        response["content"] = content(answer.content);
    }
    response
}

fn error_headers(operation: &Operation, code: Code) -> Map<String, Value> {
    let mut headers = Map::new();
    match code {
        Code::NotEnoughReplicas | Code::Deadline => headers.extend([reply_header(ReplyHeader::Answered)]),
        Code::NotFound if operation.errors.contains(&Code::Deadline) => {
            headers.extend([reply_header(ReplyHeader::Answered), reply_header(ReplyHeader::Context)])
        }
        Code::Busy => {
            let about = "Seconds after which to try again.";
            headers.insert(
                "Retry-After".into(),
                json!({ "description": about, "schema": { "type": "integer" } }),
            );
        }
        _ => {}
    }
    headers
}

fn content(content: Content) -> Value {
    let text = json!({ "schema": { "type": "string" } });
    let json_of = |name: &str| json!({ "schema": schemas::reference(name) });
    match content {
        Content::Nothing => json!({}),
        Content::Raw => json!({ "*/*": {} }),
        Content::RawOr(name) => json!({ "*/*": {}, "application/json": json_of(name) }),
        Content::Json(name) => json!({ "application/json": json_of(name) }),
        Content::Text => json!({ "text/*": text }),
    }
}

fn about(parameter: Parameter) -> String {
    let meaning = match parameter {
        Parameter::Sort => "The sort key; empty if absent.",
        Parameter::R => "Answers to await.",
        Parameter::W => "Homes that must hold the write.",
        Parameter::Strict => "Only homes count; a strict read writes back before it answers.",
        Parameter::Consistency => {
            "eventual: r is one; quorum: r is a quorum; strong: a strict quorum. Not together with r."
        }
        Parameter::Ttl => "How long the value lives.",
        Parameter::TimeoutMs => "The deadline; 5,000 if absent.",
        Parameter::Blind => "Delete without a context: a tombstone beside what is there.",
        Parameter::Key => "The partition key.",
        Parameter::Prefix => "Only sort keys that start so.",
        Parameter::StartSort => "From this sort key on, included.",
        Parameter::StartCursor => "After the page before.",
        Parameter::Limit => "Most items; 100 if absent. A page has at most 1 MiB.",
        Parameter::Bucket => "The bucket.",
        Parameter::Context => "The token.",
    };
    format!("{meaning} Form: {}.", parameter.shape())
}

fn request_header(header: RequestHeader) -> (&'static str, &'static str) {
    match header {
        RequestHeader::Context => (
            "Torc-Context",
            "What the client has seen of the key, from an earlier answer.",
        ),
        RequestHeader::RequestId => (
            "Torc-Request-Id",
            "1 to 64 of A-Z a-z 0-9 _ -; a repeat within ten minutes answers the first result. Answered back.",
        ),
        RequestHeader::ContentType => ("Content-Type", "Kept and returned; at most 256 bytes."),
        RequestHeader::Accept => ("Accept", "Exactly application/json for the JSON form."),
        RequestHeader::IfMatch => ("If-Match", "Consistent buckets only: 409 wrong_mode on available ones."),
        RequestHeader::IfNoneMatch => (
            "If-None-Match",
            "Consistent buckets only: 409 wrong_mode on available ones.",
        ),
    }
}

fn reply_header(header: ReplyHeader) -> (String, Value) {
    let (name, about) = match header {
        ReplyHeader::Context => ("Torc-Context", "To be sent with the next write of the key."),
        ReplyHeader::Answered => (
            "Torc-Answered",
            "Distinct nodes whose answer counted, over n: for example 2/3.",
        ),
        ReplyHeader::Sloppy => ("Torc-Sloppy", "`true` where stand-ins counted."),
        ReplyHeader::Expires => ("Torc-Expires", "When the value expires, RFC 3339."),
        ReplyHeader::RequestId => ("Torc-Request-Id", "The request's own."),
    };
    (
        name.to_owned(),
        json!({ "description": about, "schema": { "type": "string" } }),
    )
}
