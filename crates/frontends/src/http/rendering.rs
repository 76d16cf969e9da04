//! How an outcome is told to the client that asked: status, headers, and raw bytes or JSON.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::HeaderValue;
use http::{Method, StatusCode};
use torc_core::bucket::Bucket;
use torc_core::causality::codec;
use torc_core::limits::GATHER_BYTES_MAX;
use torc_core::outcome::{
    Answered, Cause, Certainty, Failure, Found, HoldingState, Inspected, KeysPage, Listed, Outcome, Written,
};

use crate::http::batch::{self, Slot};
use crate::http::json::{self, OCTET_STREAM};
use crate::http::names::NodeNames;
use crate::http::problem::{Code, Problem};
use crate::http::reply::{HttpReply, names};
use crate::http::{dates, inspect};

/// What a client is waiting for.
#[derive(Debug)]
pub struct Rendering {
    kind: Kind,
    request_id: Option<HeaderValue>,
    is_head: bool,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Value {
        wants_json: bool,
    },
    Written,
    SortKeys,
    Keys,
    Batch(Vec<Slot>),
    Export,
    Inspect {
        bucket: Arc<Bucket>,
        key: Bytes,
        sort: Bytes,
    },
}

impl Rendering {
    pub(crate) fn new(kind: Kind, request_id: Option<HeaderValue>, is_head: bool) -> Self {
        Self {
            kind,
            request_id,
            is_head,
        }
    }

    /// The answer.
    ///
    /// # Panics
    /// If `outcome` is not one of the command that this was planned with: that is the caller's bug.
    #[must_use]
    pub fn reply(self, outcome: Outcome, nodes: &impl NodeNames) -> HttpReply {
        let mut reply = match (self.kind, outcome) {
            (Kind::Batch(slots), Outcome::Batch(outcomes)) => batch::reply(slots, outcomes, GATHER_BYTES_MAX, nodes),
            (kind, Outcome::Failed(failure)) => failed(&kind, failure).reply(),
            (Kind::Value { wants_json }, Outcome::Found(found)) => value(*found, wants_json, nodes),
            (Kind::Written, Outcome::Written(written)) => acknowledged(&written),
            (Kind::SortKeys, Outcome::Listed(listed)) => sort_keys(&listed, nodes),
            (Kind::Keys, Outcome::Keys(page)) => keys(&page),
            (Kind::Export, Outcome::Inspected(inspected)) => exported(&inspected),
            (Kind::Inspect { bucket, key, sort }, Outcome::Inspected(inspected)) => {
                inspect::reply(&bucket, &key, &sort, &inspected, nodes)
            }
            (kind, outcome) => panic!("{outcome:?} is no outcome of what was asked ({kind:?})"),
        };
        if let Some(id) = self.request_id {
            reply.headers.push((names::TORC_REQUEST_ID.clone(), id));
        }
        if self.is_head {
            return reply.for_method(&Method::HEAD);
        }
        reply
    }
}

/// What became of a read is never unknown: it changed nothing.
fn failed(kind: &Kind, failure: Failure) -> Problem {
    let certainty = match kind {
        Kind::Written | Kind::Batch(_) => failure.certainty,
        Kind::Value { .. } | Kind::SortKeys | Kind::Keys | Kind::Export | Kind::Inspect { .. } => Certainty::NotApplied,
    };
    Problem::from(Failure {
        cause: failure.cause,
        certainty,
    })
}

/// 404 for a key that holds nothing to show.
pub(crate) fn nothing_there(found: &Found) -> Problem {
    let message = if found.is_hash {
        "the key is a Redis hash and has no value of its own; list its fields with GET /v1/kv/{bucket}?key=…"
    } else if found.tombstones > 0 {
        "the key was deleted or has expired; a write replaces what is left of it with the Torc-Context of this answer"
    } else {
        "the key was never written"
    };
    Problem::new(Code::NotFound, message)
}

fn value(found: Found, wants_json: bool, nodes: &impl NodeNames) -> HttpReply {
    let mut reply = match &found.siblings[..] {
        [] => nothing_there(&found).reply(),
        [only] if !wants_json => HttpReply::of(
            StatusCode::OK,
            content_type(&only.value.content_type),
            only.value.data.clone(),
        ),
        siblings => {
            let status = if wants_json || siblings.len() == 1 {
                StatusCode::OK
            } else {
                StatusCode::MULTIPLE_CHOICES
            };
            let mut body = String::with_capacity(256);
            body.push('{');
            json::push_found(&found, nodes, &mut body);
            body.push('}');
            HttpReply::json(status, body)
        }
    };
    if let Some(context) = &found.context {
        reply.push_context(context);
    }
    reply.push_answered(found.answered);
    if let [only] = &found.siblings[..]
        && let Some(at) = only.expires_at
    {
        let text = HeaderValue::try_from(dates::rfc3339(at)).expect("a date is a legal header value");
        reply.headers.push((names::TORC_EXPIRES.clone(), text));
    }
    reply
}

/// The record that all homes hold together, in its stored form. More than half of them must have answered: an export of
/// less could be an old state of the key.
fn exported(inspected: &Inspected) -> HttpReply {
    let spoke = |state: &HoldingState| matches!(state, HoldingState::Record(_) | HoldingState::Absent);
    let n = inspected.homes.len() as u8;
    let answered = inspected.homes.iter().filter(|home| spoke(&home.state)).count() as u8;
    let needed = n / 2 + 1;
    if answered < needed {
        return Problem::from(Failure::refused(Cause::NotEnoughReplicas { needed, answered, n })).reply();
    }
    let mut reply = match &inspected.merged {
        Some(record) => HttpReply::of(
            StatusCode::OK,
            HeaderValue::from_static(OCTET_STREAM),
            codec::encode(record).into(),
        ),
        None => Problem::new(Code::NotFound, "the key was never written").reply(),
    };
    reply.push_answered(Answered {
        answered,
        n,
        sloppy: false,
    });
    reply
}

fn acknowledged(written: &Written) -> HttpReply {
    let mut reply = HttpReply::empty(StatusCode::NO_CONTENT);
    reply.push_context(&written.context);
    reply.push_answered(written.answered);
    reply
}

/// As the client gave it. Bytes that no header may hold (they came by another protocol) are not repeated.
fn content_type(stored: &Bytes) -> HeaderValue {
    if stored.is_empty() {
        return HeaderValue::from_static(OCTET_STREAM);
    }
    HeaderValue::from_maybe_shared(stored.clone()).unwrap_or(HeaderValue::from_static(OCTET_STREAM))
}

fn sort_keys(listed: &Listed, nodes: &impl NodeNames) -> HttpReply {
    let mut body = String::with_capacity(64 + listed.items.len() * 256);
    body.push_str("{\"items\":[");
    for (index, item) in listed.items.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str("{\"key\":");
        json::push_key(&item.key, &mut body);
        body.push_str(",\"sort\":");
        json::push_key(&item.sort, &mut body);
        body.push(',');
        json::push_found(&item.found, nodes, &mut body);
        body.push('}');
    }
    body.push_str("],\"next\":");
    match &listed.next {
        Some(sort) => json::push_key(sort, &mut body),
        None => body.push_str("null"),
    }
    body.push('}');
    let mut reply = HttpReply::json(StatusCode::OK, body);
    reply.push_answered(listed.answered);
    reply
}

fn keys(page: &KeysPage) -> HttpReply {
    let mut body = String::with_capacity(64 + page.items.len() * 48);
    body.push_str("{\"items\":[");
    for (index, item) in page.items.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str("{\"key\":");
        json::push_key(&item.key, &mut body);
        body.push_str(",\"sort\":");
        json::push_key(&item.sort, &mut body);
        body.push('}');
    }
    body.push_str("],\"next\":");
    match &page.next {
        Some(name) => {
            body.push('"');
            URL_SAFE_NO_PAD.encode_string(name, &mut body);
            body.push('"');
        }
        None => body.push_str("null"),
    }
    body.push('}');
    let mut reply = HttpReply::json(StatusCode::OK, body);
    reply.push_answered(page.answered);
    reply
}
