//! Holds an answer against what is documented for the request it answers.

use http::Method;
use serde_json::Value;

use crate::http::tests::schema;
use crate::http::{HttpReply, openapi_document, table};

/// Headers that every HTTP answer may have.
const PLAIN: [&str; 4] = ["content-type", "content-length", "allow", "retry-after"];

/// Fails if the status, a header or a field of the body is not documented.
pub(crate) fn hold(method: &Method, target: &str, reply: &HttpReply) {
    let what = format!("{method} {target} → {reply:?}");
    let path = target.split_once('?').map_or(target, |parts| parts.0);
    let status = reply.status.as_str();
    let found = table::find(path).and_then(|(resource, ..)| Some((resource, resource.operation(method)?)));
    if method == Method::HEAD {
        assert!(reply.body.is_empty(), "an answer to HEAD has no body: {what}");
    }
    let Some((resource, operation)) = found else {
        let fits = [404, 405].contains(&reply.status.as_u16());
        assert!(fits, "a request that is not in the table: {what}");
        return hold_error(method, reply, &what);
    };
    let document = openapi_document();
    let name = operation.method.as_str().to_ascii_lowercase();
    let response = &document["paths"][resource.template()][name]["responses"][status];
    assert!(response.is_object(), "the status is not documented: {what}");
    for (name, _) in &reply.headers {
        let documented = response["headers"].as_object().into_iter().flatten();
        let is_known = documented
            .map(|header| header.0.to_ascii_lowercase())
            .any(|known| known == name.as_str());
        let is_echo = name == "torc-request-id";
        assert!(
            is_known || is_echo || PLAIN.contains(&name.as_str()),
            "the header {name} is not documented: {what}"
        );
    }
    if reply.status.is_success() || status == "300" {
        hold_body(method, reply, response, &what);
    } else {
        hold_error(method, reply, &what);
        let code = serde_json::from_slice::<Value>(&reply.body).ok();
        if let Some(code) = code.as_ref().and_then(|body| body["error"].as_str()) {
            let codes = operation.errors.iter().map(|code| code.text());
            assert!(codes.into_iter().any(|known| known == code), "not documented: {what}");
        }
    }
}

fn hold_body(method: &Method, reply: &HttpReply, response: &Value, what: &str) {
    let is_json = reply
        .header("content-type")
        .is_some_and(|value| value == "application/json");
    let is_raw = response["content"]["*/*"].is_object() && reply.header("content-type").is_some();
    let schema = &response["content"]["application/json"]["schema"];
    if !is_json || method == Method::HEAD {
        assert!(is_raw || reply.body.is_empty(), "an undocumented body: {what}");
        return;
    }
    // A raw value may call itself JSON as well.
    if let Ok(body) = serde_json::from_slice(&reply.body) {
        let fits = schema::check(&body, schema);
        assert!(is_raw || fits.is_ok(), "{fits:?}: {what}");
    } else {
        assert!(is_raw, "no JSON: {what}");
    }
}

fn hold_error(method: &Method, reply: &HttpReply, what: &str) {
    assert_eq!(
        reply.header("content-type").map(|value| value.as_bytes()),
        Some(&b"application/json"[..]),
        "{what}"
    );
    if method != Method::HEAD {
        let body: Value = serde_json::from_slice(&reply.body).expect(what);
        let error = serde_json::json!({ "$ref": "#/components/schemas/Error" });
        schema::check(&body, &error).expect(what);
    }
}
