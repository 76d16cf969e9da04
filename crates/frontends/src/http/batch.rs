//! `POST /v1/batch`: JSON in, one result for each operation out, in order. What is wrong with one operation is that
//! operation's result; what is wrong with the body as a whole refuses all of it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderValue;
use serde::Deserialize;
use torc_core::causality::{Value, token};
use torc_core::command::{Batch, Command, Get, Options, Put, PutAction, PutContext, Target, Ttl};
use torc_core::limits::{BATCH_BYTES_MAX, BATCH_ITEMS_MAX, TTL_SECONDS_MAX};
use torc_core::outcome::{Answered, Found, Outcome};
use torc_core::quorum::QuorumSize;

use crate::http::json;
use crate::http::names::NodeNames;
use crate::http::percent;
use crate::http::plan::{content_type_of, delete_context, ttl_at};
use crate::http::problem::{Code, Problem, result_too_large};
use crate::http::rendering::{Kind, Rendering, nothing_there};
use crate::http::reply::HttpReply;
use crate::http::route::{Planned, Request};

/// What became of an operation before the core saw it.
#[derive(Debug)]
pub(crate) enum Slot {
    /// It was asked; its outcome comes.
    Asked,
    /// It was refused.
    Refused(Problem),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow)]
    operations: Vec<Item<'a>>,
    r: Option<Size<'a>>,
    w: Option<Size<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    op: Op,
    #[serde(borrow)]
    bucket: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    sort: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    context: Option<Cow<'a, str>>,
    ttl: Option<u64>,
    blind: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Put,
    Get,
    Delete,
}

/// A quorum as a number or a name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Size<'a> {
    Number(u64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

/// Reads the body.
pub(crate) fn plan(request: &Request<'_>) -> Result<Planned, Problem> {
    if request.body.len() > BATCH_BYTES_MAX {
        let text = format!("a batch can have {BATCH_BYTES_MAX} bytes; send it in several");
        let actual = request.body.len() as u64;
        return Err(Problem::new(Code::BodyTooLarge, text).with_size(BATCH_BYTES_MAX as u64, Some(actual)));
    }
    let body: Body<'_> = serde_json::from_slice(&request.body).map_err(|error| {
        let error: String = error.to_string().chars().take(200).collect();
        Problem::bad_request(format!(
            "the body is no batch: {error}; it is {{\"operations\":[{{\"op\":\"put\",\"bucket\":…,\"key\":…,\"value\":…}}]}}"
        ))
    })?;
    if body.operations.len() > BATCH_ITEMS_MAX {
        let text = format!("a batch can have {BATCH_ITEMS_MAX} operations; send them in several");
        let actual = body.operations.len() as u64;
        return Err(Problem::bad_request(text).with_size(BATCH_ITEMS_MAX as u64, Some(actual)));
    }
    let options = Options {
        read: size("r", body.r.as_ref())?,
        write: size("w", body.w.as_ref())?,
        ..Options::default()
    };
    let mut slots = Vec::with_capacity(body.operations.len());
    let mut commands = Vec::with_capacity(body.operations.len());
    for item in &body.operations {
        slots.push(match command(item, options, request) {
            Ok(command) => {
                commands.push(command);
                Slot::Asked
            }
            Err(problem) => Slot::Refused(problem),
        });
    }
    Ok(Planned {
        command: Command::Batch(Batch { commands }),
        rendering: Rendering::new(Kind::Batch(slots), None, request.is_head),
    })
}

/// One result for each slot. Values past `bytes_max` of answer are not told; their results say so.
pub(crate) fn reply(slots: Vec<Slot>, outcomes: Vec<Outcome>, bytes_max: usize, nodes: &impl NodeNames) -> HttpReply {
    let mut outcomes = outcomes.into_iter();
    let mut weakest: Option<Answered> = None;
    let mut body = String::with_capacity(64 + slots.len() * 128);
    body.push_str("{\"results\":[");
    for (index, slot) in slots.into_iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        let answered = match slot {
            Slot::Refused(problem) => push_problem(&problem, &mut body),
            Slot::Asked => {
                let outcome = outcomes.next().expect("every operation that was asked has an outcome");
                push_outcome(outcome, bytes_max, nodes, &mut body)
            }
        };
        if let Some(answered) = answered
            && weakest.is_none_or(|known| answered.answered < known.answered)
        {
            weakest = Some(answered);
        }
    }
    body.push_str("]}");
    let mut reply = HttpReply::json(StatusCode::OK, body);
    if let Some(answered) = weakest {
        reply.push_answered(answered);
    }
    reply
}

fn push_outcome(outcome: Outcome, bytes_max: usize, nodes: &impl NodeNames, out: &mut String) -> Option<Answered> {
    match outcome {
        Outcome::Written(written) => {
            push_status(StatusCode::NO_CONTENT, out);
            out.push_str(",\"context\":");
            json::push_context(Some(&written.context), out);
            push_answered(written.answered, out);
            Some(written.answered)
        }
        Outcome::Found(found) => {
            push_found(&found, bytes_max, nodes, out);
            Some(found.answered)
        }
        Outcome::Failed(failure) => push_problem(&Problem::from(failure), out),
        outcome => panic!("{outcome:?} is no outcome of a put, get or delete"),
    }
}

fn push_found(found: &Found, bytes_max: usize, nodes: &impl NodeNames, out: &mut String) {
    let bytes: usize = found.siblings.iter().map(|sibling| sibling.value.data.len()).sum();
    if out.len() + bytes / 3 * 4 > bytes_max {
        push_problem(&result_too_large(bytes_max as u64), out);
        return;
    }
    match found.siblings.len() {
        0 => {
            let problem = nothing_there(found);
            push_status(problem.code.status(), out);
            out.push(',');
            problem.push_fields(out);
            out.push_str(",\"context\":");
            json::push_context(found.context.as_ref(), out);
        }
        count => {
            push_status(
                if count == 1 {
                    StatusCode::OK
                } else {
                    StatusCode::MULTIPLE_CHOICES
                },
                out,
            );
            out.push(',');
            json::push_found(found, nodes, out);
        }
    }
    push_answered(found.answered, out);
}

fn push_problem(problem: &Problem, out: &mut String) -> Option<Answered> {
    push_status(problem.code.status(), out);
    out.push(',');
    problem.push_fields(out);
    out.push('}');
    problem.quorum.map(|quorum| quorum.1)
}

fn push_status(status: StatusCode, out: &mut String) {
    out.push_str("{\"status\":");
    json::push_number(u64::from(status.as_u16()), out);
}

/// The answers that count; closes the result.
fn push_answered(answered: Answered, out: &mut String) {
    out.push_str(",\"answered\":");
    json::push_number(u64::from(answered.answered), out);
    out.push_str(",\"n\":");
    json::push_number(u64::from(answered.n), out);
    out.push_str(if answered.sloppy { ",\"sloppy\":true}" } else { "}" });
}

fn command(item: &Item<'_>, options: Options, request: &Request<'_>) -> Result<Command, Problem> {
    refuse_fields(item)?;
    let bucket = request
        .catalog
        .named(&item.bucket)
        .ok_or_else(|| Problem::no_such_bucket(&item.bucket))?;
    let target = Target {
        bucket: bucket.id,
        key: bytes("key", &item.key)?,
        sort: bytes("sort", item.sort.as_deref().unwrap_or_default())?,
    };
    let context = match &item.context {
        Some(text) => match token::decode(text.as_bytes()) {
            Ok(context) => Some(PutContext::Seen(context)),
            Err(error) => return Err(Problem::new(Code::BadContext, error.to_string())),
        },
        None => None,
    };
    let (action, context) = match item.op {
        Op::Get => return Ok(Command::Get(Get { target, options })),
        Op::Put => (value(item, request)?, context.unwrap_or(PutContext::Blind)),
        Op::Delete => {
            let context = delete_context(bucket, context, item.blind == Some(true))?;
            (PutAction::Delete, context)
        }
    };
    Ok(Command::Put(Put {
        target,
        action,
        context,
        request: None,
        options,
    }))
}

fn value(item: &Item<'_>, request: &Request<'_>) -> Result<PutAction, Problem> {
    let text = item
        .value
        .as_deref()
        .ok_or_else(|| Problem::bad_request("a put needs 'value', in standard base64 with padding"))?;
    let data = STANDARD
        .decode(text)
        .map_err(|error| Problem::bad_request(format!("'value' is not standard base64 with padding: {error}")))?;
    let content_type = item.content_type.as_deref().unwrap_or_default();
    if HeaderValue::from_str(content_type).is_err() {
        return Err(Problem::bad_request("'content_type' is not a legal header value"));
    }
    let ttl = match item.ttl {
        None => Ttl::BucketDefault,
        Some(seconds @ 1..=TTL_SECONDS_MAX) => ttl_at(request.now, seconds),
        Some(seconds) => {
            let text = format!("'ttl' is {seconds}; it can be whole seconds, 1 to {TTL_SECONDS_MAX}");
            return Err(Problem::bad_request(text));
        }
    };
    let value = Value {
        data: Bytes::from(data),
        content_type: content_type_of(content_type.as_bytes()),
    };
    Ok(PutAction::Value(value, ttl))
}

/// A field that its operation would ignore is a mistake that somebody should hear of.
fn refuse_fields(item: &Item<'_>) -> Result<(), Problem> {
    let is_put = item.op == Op::Put;
    let surplus = [
        ("value", item.value.is_some() && !is_put),
        ("content_type", item.content_type.is_some() && !is_put),
        ("ttl", item.ttl.is_some() && !is_put),
        ("context", item.context.is_some() && item.op == Op::Get),
        ("blind", item.blind.is_some() && item.op != Op::Delete),
    ];
    match surplus.iter().find(|field| field.1) {
        Some((name, _)) => {
            let op = match item.op {
                Op::Put => "put",
                Op::Get => "get",
                Op::Delete => "delete",
            };
            Err(Problem::bad_request(format!("a {op} takes no '{name}'")))
        }
        None => Ok(()),
    }
}

fn bytes(name: &str, text: &str) -> Result<Bytes, Problem> {
    percent::decode(text).map_err(|error| Problem::bad_request(format!("'{name}': {error}")))
}

fn size(name: &str, size: Option<&Size<'_>>) -> Result<Option<QuorumSize>, Problem> {
    let text = match size {
        None => return Ok(None),
        Some(Size::Number(number)) => number.to_string(),
        Some(Size::Text(text)) => text.to_string(),
    };
    QuorumSize::parse(&text).map(Some).ok_or_else(|| {
        let text: String = text.chars().take(64).collect();
        Problem::bad_request(format!(
            "'{name}' is '{text}'; it can be 1 to 9, or one, quorum, all, local_one, local_quorum, each_quorum"
        ))
    })
}
