//! Requests for data made into commands: the bucket is looked up, the key decoded, headers read.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use torc_core::bucket::{Bucket, Conflict, Mode};
use torc_core::causality::{Value, codec, token};
use torc_core::command::{
    Command, Get, Import, Inspect, Keys, KeysStart, KeysWant, List, Put, PutAction, PutContext, Target, Ttl,
};
use torc_core::id::ClientRequestId;
use torc_core::time::Wall;

use crate::http::json::OCTET_STREAM;
use crate::http::percent;
use crate::http::problem::{Code, Problem};
use crate::http::query::Query;
use crate::http::rendering::{Kind, Rendering};
use crate::http::reply::names;
use crate::http::route::{Planned, Request};

/// `GET /v1/kv/{bucket}/{key}`.
pub(crate) fn get(bucket: &str, key: &str, query: Query, request: &Request<'_>) -> Result<Planned, Problem> {
    let bucket = request.bucket(bucket)?;
    let options = query.options()?;
    let (_, echoed) = request_id(request.headers)?;
    let wants_json = wants_json(request.headers);
    Ok(Planned {
        command: Command::Get(Get {
            target: target(&bucket, key, query.sort)?,
            options,
        }),
        rendering: Rendering::new(Kind::Value { wants_json }, echoed, request.is_head),
    })
}

/// `PUT /v1/kv/{bucket}/{key}`.
pub(crate) fn put(bucket: &str, key: &str, query: Query, request: &Request<'_>) -> Result<Planned, Problem> {
    let bucket = request.bucket(bucket)?;
    refuse_conditions(&bucket, request.headers)?;
    let ttl = query
        .ttl_seconds
        .map_or(Ttl::BucketDefault, |seconds| ttl_at(request.now, seconds));
    let value = Value {
        data: request.body.clone(),
        content_type: content_type(request.headers)?,
    };
    let context = context(request.headers)?.unwrap_or(PutContext::Blind);
    write(&bucket, key, query, PutAction::Value(value, ttl), context, request)
}

/// `DELETE /v1/kv/{bucket}/{key}`.
pub(crate) fn delete(bucket: &str, key: &str, query: Query, request: &Request<'_>) -> Result<Planned, Problem> {
    let bucket = request.bucket(bucket)?;
    refuse_conditions(&bucket, request.headers)?;
    let context = delete_context(&bucket, context(request.headers)?, query.blind)?;
    write(&bucket, key, query, PutAction::Delete, context, request)
}

/// What a delete replaces. In a siblings bucket a delete that has seen nothing would only add a tombstone beside the
/// values: it must be asked for by name.
pub(crate) fn delete_context(
    bucket: &Bucket,
    context: Option<PutContext>,
    is_blind: bool,
) -> Result<PutContext, Problem> {
    match context {
        Some(_) if is_blind => Err(Problem::new(
            Code::BadContext,
            "blind=true says that there is no context, and one is given; leave one of them out",
        )),
        Some(context) => Ok(context),
        None if bucket.conflict == Conflict::Siblings && bucket.mode == Mode::Available && !is_blind => {
            Err(Problem::new(
                Code::BadContext,
                "a delete in a bucket that keeps siblings removes what its context has seen, and none is given; GET the \
                 key and send its Torc-Context, or say blind=true to add a tombstone beside what is there",
            ))
        }
        None => Ok(PutContext::Blind),
    }
}

/// `GET /v1/kv/{bucket}?key=…`.
pub(crate) fn list(bucket: &str, query: Query, request: &Request<'_>) -> Result<Planned, Problem> {
    let bucket = request.bucket(bucket)?;
    let options = query.options()?;
    let limit = query.limit();
    let command = Command::List(List {
        bucket: bucket.id,
        key: query.key,
        prefix: query.prefix,
        start: query.start,
        limit,
        options,
    });
    Ok(Planned {
        command,
        rendering: Rendering::new(Kind::SortKeys, None, request.is_head),
    })
}

/// `GET /v1/keys/{bucket}`.
pub(crate) fn keys(bucket: &str, query: Query, request: &Request<'_>) -> Result<Planned, Problem> {
    let bucket = request.bucket(bucket)?;
    let options = query.options()?;
    let want = KeysWant::Records(query.limit());
    let start = if query.start.is_empty() {
        KeysStart::Beginning
    } else {
        KeysStart::After(query.start)
    };
    let command = Command::Keys(Keys {
        bucket: bucket.id,
        start,
        want,
        options,
    });
    Ok(Planned {
        command,
        rendering: Rendering::new(Kind::Keys, None, request.is_head),
    })
}

/// `GET /v1/inspect/{bucket}/{key}`.
pub(crate) fn inspect(bucket: &str, key: &str, query: Query, request: &Request<'_>) -> Result<Planned, Problem> {
    let bucket = request.bucket(bucket)?;
    let options = query.options()?;
    let target = target(&bucket, key, query.sort)?;
    let kind = Kind::Inspect {
        bucket,
        key: target.key.clone(),
        sort: target.sort.clone(),
    };
    Ok(Planned {
        command: Command::Inspect(Inspect { target, options }),
        rendering: Rendering::new(kind, None, request.is_head),
    })
}

/// `GET /v1/records/{bucket}/{key}`: what all homes together hold, whole.
pub(crate) fn export(bucket: &str, key: &str, query: Query, request: &Request<'_>) -> Result<Planned, Problem> {
    let bucket = request.bucket(bucket)?;
    let options = query.options()?;
    let target = target(&bucket, key, query.sort)?;
    Ok(Planned {
        command: Command::Inspect(Inspect { target, options }),
        rendering: Rendering::new(Kind::Export, None, request.is_head),
    })
}

/// `PUT /v1/records/{bucket}/{key}`.
pub(crate) fn import(bucket: &str, key: &str, query: Query, request: &Request<'_>) -> Result<Planned, Problem> {
    let bucket = request.bucket(bucket)?;
    let options = query.options()?;
    let record = codec::decode(&request.body).map_err(|error| {
        Problem::bad_request(format!(
            "the body is no record in its stored form: {error}; send one exactly as GET gave it"
        ))
    })?;
    let command = Command::Import(Import {
        target: target(&bucket, key, query.sort)?,
        record: Box::new(record),
        options,
    });
    Ok(Planned {
        command,
        rendering: Rendering::new(Kind::Written, None, request.is_head),
    })
}

/// The moment `seconds` from now: fixed here, once, so that every home and every retry of the forward stores the same.
pub(crate) fn ttl_at(now: Wall, seconds: u64) -> Ttl {
    Ttl::counted(seconds.saturating_mul(1_000), now)
}

/// The stored form of a content type: none for the one that is told of values without one.
pub(crate) fn content_type_of(text: &[u8]) -> Bytes {
    match text {
        b"application/json" => Bytes::from_static(b"application/json"),
        b"text/plain" => Bytes::from_static(b"text/plain"),
        _ if text == OCTET_STREAM.as_bytes() => Bytes::new(),
        _ => Bytes::copy_from_slice(text),
    }
}

fn write(
    bucket: &Arc<Bucket>,
    key: &str,
    query: Query,
    action: PutAction,
    context: PutContext,
    request: &Request<'_>,
) -> Result<Planned, Problem> {
    let options = query.options()?;
    let (request_id, echoed) = request_id(request.headers)?;
    Ok(Planned {
        command: Command::Put(Put {
            target: target(bucket, key, query.sort)?,
            action,
            context,
            request: request_id,
            options,
        }),
        rendering: Rendering::new(Kind::Written, echoed, request.is_head),
    })
}

fn target(bucket: &Bucket, key: &str, sort: Bytes) -> Result<Target, Problem> {
    let key = percent::decode(key).map_err(|error| Problem::bad_request(format!("the key: {error}")))?;
    Ok(Target {
        bucket: bucket.id,
        key,
        sort,
    })
}

/// The one value of a header.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Problem::bad_request(format!(
            "the header {name} is given more than once"
        )));
    }
    Ok(first)
}

/// Exactly `application/json`: a browser's or a library's list of everything it knows is no wish (RULINGS 34).
fn wants_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(ACCEPT).iter();
    let is_json = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"application/json");
    values.next().is_some_and(is_json) && values.next().is_none()
}

fn context(headers: &HeaderMap) -> Result<Option<PutContext>, Problem> {
    let Some(value) = only(headers, &names::TORC_CONTEXT)? else {
        return Ok(None);
    };
    match token::decode(value.as_bytes()) {
        Ok(context) => Ok(Some(PutContext::Seen(context))),
        Err(error) => Err(Problem::new(
            Code::BadContext,
            format!("Torc-Context: {error}; send one exactly as an answer gave it"),
        )),
    }
}

/// The client's id of a request, and the same to be answered back.
pub(crate) fn request_id(headers: &HeaderMap) -> Result<(Option<ClientRequestId>, Option<HeaderValue>), Problem> {
    let Some(value) = only(headers, &names::TORC_REQUEST_ID)? else {
        return Ok((None, None));
    };
    match value.to_str().ok().and_then(ClientRequestId::parse) {
        Some(id) => Ok((Some(id), Some(value.clone()))),
        None => Err(Problem::bad_request(
            "Torc-Request-Id can be 1 to 64 of A-Z, a-z, 0-9, '_' and '-'",
        )),
    }
}

fn content_type(headers: &HeaderMap) -> Result<Bytes, Problem> {
    let value = only(headers, &CONTENT_TYPE)?;
    Ok(value.map_or_else(Bytes::new, |value| content_type_of(value.as_bytes())))
}

/// Conditions need agreement on what is there, which an available bucket never has.
fn refuse_conditions(bucket: &Bucket, headers: &HeaderMap) -> Result<(), Problem> {
    let name = [IF_MATCH, IF_NONE_MATCH]
        .into_iter()
        .find(|name| headers.contains_key(name));
    match (name, bucket.mode) {
        (Some(name), Mode::Available) => Err(Problem::new(
            Code::WrongMode,
            format!(
                "the header {name} needs agreement, and bucket '{}' is available; use Torc-Context, or a consistent bucket",
                bucket.name
            ),
        )),
        // The core says that consistent buckets are not in this version.
        (Some(_), Mode::Consistent) | (None, _) => Ok(()),
    }
}
