//! From a request to what it asks for: found in the table, its parameters read, its bucket looked up. What is wrong with
//! it by itself is answered here; the rest the core decides.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use torc_core::background::{PaceChange, Work};
use torc_core::bucket::{Bucket, Catalog};
use torc_core::causality::ClientContext;
use torc_core::command::Command;
use torc_core::limits::{BATCH_BYTES_MAX, IMPORT_BYTES_MAX, PARTITION_KEY_BYTES_MAX};
use torc_core::outcome::{Cause, Failure};
use torc_core::time::Wall;

use crate::http::admin::parse_pace;
use crate::http::faults::FaultSet;
use crate::http::problem::{Code, Problem, value_too_large};
use crate::http::query::Query;
use crate::http::rendering::Rendering;
use crate::http::reply::{HttpReply, names};
use crate::http::table::{Endpoint, Operation, Resource, find};
use crate::http::{batch, openapi, percent, plan};

/// Most bytes of a body that nothing asks for: read and ignored, so that the connection can go on.
const UNUSED_BODY_BYTES_MAX: usize = 64 << 10;

/// What a request asks for.
#[derive(Debug)]
pub enum Route {
    /// A command for the core.
    Command(Planned),
    /// Something that this node answers by itself. Its reply goes through [`HttpReply::for_method`].
    Node(NodeRequest),
    /// An answer at once.
    Answer(HttpReply),
}

/// What the shell answers by itself.
#[derive(Clone, PartialEq, Debug)]
pub enum NodeRequest {
    /// `BucketsView::of`.
    Buckets,
    /// `BucketView::of`.
    Bucket(Arc<Bucket>),
    /// `ClusterView`.
    Cluster,
    /// `RingView::of`.
    Ring {
        /// Its bucket.
        bucket: Arc<Bucket>,
        /// The partition key, of legal length.
        key: Bytes,
    },
    /// `StatusView`.
    Status,
    /// `HttpReply::healthy`.
    Healthz,
    /// `HttpReply::readiness`.
    Readyz,
    /// `HttpReply::text`.
    Metrics,
    /// `inspect_context`.
    InspectContext(ClientContext),
    /// How a kind of background work goes: `PaceView`.
    ShowPace(Work),
    /// The same, changed first.
    SetPace(Work, PaceChange),
    /// The faults in force; `Problem::no_such_path` without `--allow-faults`.
    ShowFaults,
    /// Other faults; `Problem::no_such_path` without `--allow-faults`, whatever the body is.
    SetFaults(Result<FaultSet, Problem>),
}

/// A command, and how its outcome is told.
#[derive(Debug)]
pub struct Planned {
    /// For the core.
    pub command: Command,
    /// For its outcome.
    pub rendering: Rendering,
}

/// What a request asks for. `target` is the raw path and query as they stood in the request line; `now` fixes the expiry
/// of what is written (RULINGS 7).
#[must_use]
pub fn route(
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    body: Bytes,
    catalog: &Arc<Catalog>,
    now: Wall,
) -> Route {
    let request = Request {
        headers,
        body,
        catalog,
        now,
        is_head: method == Method::HEAD,
    };
    match try_route(method, target, request) {
        Ok(Route::Answer(reply)) => Route::Answer(reply.for_method(method)),
        Ok(route) => route,
        Err(problem) => {
            let mut reply = problem.reply();
            if let Ok((_, Some(id))) = plan::request_id(headers) {
                reply.headers.push((names::TORC_REQUEST_ID.clone(), id));
            }
            Route::Answer(reply.for_method(method))
        }
    }
}

/// The most bytes of body that the shell reads for a request. Beyond it the answer is [`too_large`], without reading on.
#[must_use]
pub fn limits_of(method: &Method, target: &str, catalog: &Catalog) -> usize {
    match operation_of(method, target) {
        // A bucket that isn't there is found out after a body of the default length at most.
        Some((Endpoint::PutValue, bucket)) => {
            bucket_of(bucket, catalog).map_or(UNUSED_BODY_BYTES_MAX, |bucket| bucket.value_bytes_max as usize)
        }
        Some((Endpoint::Batch, _)) => BATCH_BYTES_MAX,
        Some((Endpoint::ImportRecord, _)) => IMPORT_BYTES_MAX,
        Some(_) | None => UNUSED_BODY_BYTES_MAX,
    }
}

/// The answer to a request whose body is longer than [`limits_of`] allows: 413, or what is wrong with the request
/// whatever its body is. `actual` is the body's length if the client said it.
#[must_use]
pub fn too_large(method: &Method, target: &str, catalog: &Catalog, actual: Option<u64>) -> HttpReply {
    body_refused(method, target, catalog, actual).reply().for_method(method)
}

fn body_refused(method: &Method, target: &str, catalog: &Catalog, actual: Option<u64>) -> Problem {
    let path = target.split_once('?').map_or(target, |parts| parts.0);
    let Some((resource, bucket, _)) = find(path) else {
        return Problem::no_such_path();
    };
    let Some(operation) = resource.operation(method) else {
        return no_such_method(method, resource);
    };
    let limit = limits_of(method, target, catalog) as u64;
    if operation.endpoint == Endpoint::PutValue {
        return match bucket_of(bucket, catalog) {
            Ok(_) => value_too_large(limit, actual),
            Err(problem) => problem,
        };
    }
    Problem::new(
        Code::BodyTooLarge,
        format!("the body of this request can have {limit} bytes; send it in several requests"),
    )
    .with_size(limit, actual)
}

/// The parts of a request that planning looks at.
pub(crate) struct Request<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) catalog: &'a Catalog,
    pub(crate) now: Wall,
    pub(crate) is_head: bool,
}

/// The bucket of a percent-encoded name.
pub(crate) fn bucket_of(name: &str, catalog: &Catalog) -> Result<Arc<Bucket>, Problem> {
    if let Some(bucket) = catalog.named(name) {
        return Ok(Arc::clone(bucket));
    }
    let decoded = percent::decode(name).map_err(|error| Problem::bad_request(format!("the bucket: {error}")))?;
    let decoded = String::from_utf8_lossy(&decoded);
    let bucket = catalog.named(&decoded).cloned();
    bucket.ok_or_else(|| Problem::no_such_bucket(&decoded))
}

impl Request<'_> {
    /// The bucket of a percent-encoded name.
    pub(crate) fn bucket(&self, name: &str) -> Result<Arc<Bucket>, Problem> {
        bucket_of(name, self.catalog)
    }
}

fn try_route(method: &Method, target: &str, request: Request<'_>) -> Result<Route, Problem> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (resource, bucket, key) = find(path).ok_or_else(Problem::no_such_path)?;
    let operation = resource
        .operation(method)
        .ok_or_else(|| no_such_method(method, resource))?;
    let query = Query::read(query, operation.parameters)?;
    dispatch(operation, bucket, key, query, request)
}

fn dispatch(
    operation: &Operation,
    bucket: &str,
    key: &str,
    query: Query,
    request: Request<'_>,
) -> Result<Route, Problem> {
    Ok(match operation.endpoint {
        Endpoint::GetValue => Route::Command(plan::get(bucket, key, query, &request)?),
        Endpoint::PutValue => Route::Command(plan::put(bucket, key, query, &request)?),
        Endpoint::DeleteValue => Route::Command(plan::delete(bucket, key, query, &request)?),
        Endpoint::ListSortKeys => Route::Command(plan::list(bucket, query, &request)?),
        Endpoint::ListKeys => Route::Command(plan::keys(bucket, query, &request)?),
        Endpoint::Inspect => Route::Command(plan::inspect(bucket, key, query, &request)?),
        Endpoint::ExportRecord => Route::Command(plan::export(bucket, key, query, &request)?),
        Endpoint::ImportRecord => Route::Command(plan::import(bucket, key, query, &request)?),
        Endpoint::Batch => Route::Command(batch::plan(&request)?),
        Endpoint::InspectContext => match query.context {
            Some(context) => Route::Node(NodeRequest::InspectContext(context)),
            None => return Err(Problem::bad_request("the query parameter 'context' is missing")),
        },
        Endpoint::ListBuckets => Route::Node(NodeRequest::Buckets),
        Endpoint::ShowBucket => Route::Node(NodeRequest::Bucket(request.bucket(bucket)?)),
        Endpoint::PutBucket | Endpoint::DropBucket => return Err(buckets_are_configured()),
        Endpoint::Cluster => Route::Node(NodeRequest::Cluster),
        Endpoint::Ring => {
            let bucket = request.bucket(&query.bucket)?;
            if query.key.len() > PARTITION_KEY_BYTES_MAX {
                return Err(Problem::from(Failure::refused(Cause::KeyTooLarge {
                    limit: PARTITION_KEY_BYTES_MAX as u64,
                    actual: query.key.len() as u64,
                })));
            }
            Route::Node(NodeRequest::Ring { bucket, key: query.key })
        }
        Endpoint::Status => Route::Node(NodeRequest::Status),
        Endpoint::ShowPace(work) => Route::Node(NodeRequest::ShowPace(work)),
        Endpoint::SetPace(work) => Route::Node(NodeRequest::SetPace(work, parse_pace(&request.body)?)),
        Endpoint::ShowFaults => Route::Node(NodeRequest::ShowFaults),
        Endpoint::SetFaults => Route::Node(NodeRequest::SetFaults(FaultSet::parse(&request.body))),
        Endpoint::Healthz => Route::Node(NodeRequest::Healthz),
        Endpoint::Readyz => Route::Node(NodeRequest::Readyz),
        Endpoint::Metrics => Route::Node(NodeRequest::Metrics),
        Endpoint::OpenApi => Route::Answer(openapi::reply()),
        Endpoint::Console => {
            return Err(Problem::new(
                Code::NotInThisVersion,
                "the console is not in this version; /v1/cluster and /v1/status show what it will",
            ));
        }
    })
}

fn operation_of<'a>(method: &Method, target: &'a str) -> Option<(Endpoint, &'a str)> {
    let path = target.split_once('?').map_or(target, |parts| parts.0);
    let (resource, bucket, _) = find(path)?;
    let operation = resource.operation(method)?;
    Some((operation.endpoint, bucket))
}

fn no_such_method(method: &Method, resource: &Resource) -> Problem {
    let allow = resource.allow();
    let method: String = method.as_str().chars().take(32).collect();
    Problem {
        allow: Some(allow.clone()),
        ..Problem::new(
            Code::MethodNotAllowed,
            format!("{} does not take {method}; it takes {allow}", resource.template()),
        )
    }
}

fn buckets_are_configured() -> Problem {
    Problem::new(
        Code::NotInThisVersion,
        "buckets can't be changed while a cluster runs in this version; they come from [[buckets]] in each node's \
         configuration",
    )
}
