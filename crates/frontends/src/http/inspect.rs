//! What each home holds for a key, and what a context token says: for operators, and for doubting the rest (RULINGS 38).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use torc_core::bucket::Bucket;
use torc_core::causality::{
    ClientContext, Context, LwwRecord, Payload, Record, RequestMarks, SiblingsRecord, codec, token,
};
use torc_core::outcome::{HoldingState, Inspected};
use torc_core::time::{Hlc, Wall};

use crate::http::json::OCTET_STREAM;
use crate::http::names::{self, NodeNames};
use crate::http::reply::HttpReply;
use crate::http::{dates, percent};

/// Longer values are told by their length alone: an inspection may show a hundred of them for each home.
const VALUE_BYTES_SHOWN_MAX: usize = 4_096;

/// `GET /v1/inspect?context=…`.
#[must_use]
pub fn inspect_context(context: &ClientContext, nodes: &impl NodeNames) -> HttpReply {
    HttpReply::document(&match context {
        ClientContext::Dots(context) => {
            let mut parts = context_parts(context, nodes);
            parts.insert("kind".into(), "dots".into());
            Value::Object(parts)
        }
        ClientContext::Clock(hlc) => json!({ "kind": "clock", "clock": clock(*hlc) }),
    })
}

/// `GET /v1/inspect/{bucket}/{key}`.
pub(crate) fn reply(
    bucket: &Bucket,
    key: &[u8],
    sort: &[u8],
    inspected: &Inspected,
    nodes: &impl NodeNames,
) -> HttpReply {
    let homes: Vec<Value> = inspected
        .homes
        .iter()
        .map(|holding| {
            let (state, held) = match &holding.state {
                HoldingState::Record(held) => ("record", record(held, nodes)),
                HoldingState::Absent => ("absent", Value::Null),
                HoldingState::Damaged => ("damaged", Value::Null),
                HoldingState::Silent => ("silent", Value::Null),
            };
            json!({ "node": names::node(holding.node, nodes), "state": state, "record": held })
        })
        .collect();
    let merged = inspected.merged.as_ref().map(|merged| record(merged, nodes));
    HttpReply::document(&json!({
        "bucket": &*bucket.name,
        "key": encoded(key),
        "sort": encoded(sort),
        "homes": homes,
        "merged": merged,
    }))
}

fn record(record: &Record, nodes: &impl NodeNames) -> Value {
    let stored = codec::encode(record);
    let mut parts = match record {
        Record::Siblings(record) => siblings(record, nodes),
        Record::Lww(record) => register(record, nodes),
    };
    let (body, checksum) = stored.split_at(stored.len() - 4);
    let checksum = u32::from_le_bytes(checksum.try_into().expect("the stored form ends with a CRC32C"));
    parts.insert("stored_bytes".into(), (body.len() + 4).into());
    parts.insert("checksum".into(), format!("{checksum:08x}").into());
    Value::Object(parts)
}

fn siblings(record: &SiblingsRecord, nodes: &impl NodeNames) -> Map<String, Value> {
    let versions: Vec<Value> = record
        .siblings
        .iter()
        .map(|(dot, version)| {
            let mut parts = payload(&version.payload);
            parts.insert("dot".into(), names::dot(*dot, nodes).into());
            parts.insert("written_at".into(), dates::rfc3339(version.written_at.wall()).into());
            parts.insert("expires_at".into(), moment(version.expires_at));
            Value::Object(parts)
        })
        .collect();
    let mut context = context_parts(&record.seen, nodes);
    let token = token::encode(&ClientContext::Dots(record.seen.clone()));
    context.insert("token".into(), token.into());
    let parts = [
        ("kind", Value::from("siblings")),
        ("context", Value::Object(context)),
        ("siblings", Value::Array(versions)),
        ("requests", requests(&record.marks, nodes)),
    ];
    parts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn register(record: &LwwRecord, nodes: &impl NodeNames) -> Map<String, Value> {
    let mut parts = payload(&record.payload);
    let token = token::encode(&ClientContext::Clock(record.highest()));
    let more = [
        ("kind", Value::from("lww")),
        ("context", json!({ "token": token })),
        ("dot", names::dot(record.stamp.dot, nodes).into()),
        ("clock", clock(record.stamp.hlc)),
        ("written_at", dates::rfc3339(record.stamp.hlc.wall()).into()),
        ("expires_at", moment(record.expires_at())),
        ("expiry_clock", clock(record.expiry.stamp.hlc)),
        ("cleared_at", clock(record.cleared_at)),
        ("requests", requests(&record.marks, nodes)),
    ];
    parts.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    parts
}

fn payload(payload: &Payload) -> Map<String, Value> {
    let mut parts = Map::new();
    match payload {
        Payload::Tombstone => {
            parts.insert("holds".into(), "tombstone".into());
        }
        Payload::HashHead => {
            parts.insert("holds".into(), "hash".into());
        }
        Payload::Value(value) => {
            let content_type = if value.content_type.is_empty() {
                OCTET_STREAM.into()
            } else {
                String::from_utf8_lossy(&value.content_type)
            };
            let shown = (value.data.len() <= VALUE_BYTES_SHOWN_MAX).then(|| STANDARD.encode(&value.data));
            parts.insert("holds".into(), "value".into());
            parts.insert("content_type".into(), content_type.into());
            parts.insert("value_bytes".into(), value.data.len().into());
            parts.insert("value".into(), shown.into());
        }
    }
    parts
}

fn context_parts(context: &Context, nodes: &impl NodeNames) -> Map<String, Value> {
    let vector: Vec<Value> = context
        .vector()
        .iter()
        .map(|&(actor, counter)| json!({ "actor": names::actor(actor, nodes), "counter": counter }))
        .collect();
    let dots: Vec<Value> = context
        .dots()
        .iter()
        .map(|&dot| names::dot(dot, nodes).into())
        .collect();
    let mut parts = Map::new();
    parts.insert("vector".into(), vector.into());
    parts.insert("dots".into(), dots.into());
    parts
}

fn requests(marks: &RequestMarks, nodes: &impl NodeNames) -> Value {
    let marks = marks.as_slice().iter().map(|mark| {
        json!({
            "id": mark.id.as_str(),
            "dot": names::dot(mark.dot, nodes),
            "at": dates::rfc3339(mark.at.wall()),
        })
    });
    marks.collect()
}

fn clock(hlc: Hlc) -> Value {
    json!({ "at": dates::rfc3339(hlc.wall()), "count": hlc.0 & 0xffff })
}

fn moment(at: Option<Wall>) -> Value {
    at.map(dates::rfc3339).into()
}

fn encoded(bytes: &[u8]) -> String {
    let mut out = String::new();
    percent::encode_into(bytes, &mut out);
    out
}
