//! The one table of what can be asked: paths, methods, parameters, headers, answers and errors. Requests are matched
//! against it and the OpenAPI document is written from it, so that the two can't disagree.

mod resources;

use http::Method;
use torc_core::background::Work;

use crate::http::problem::Code;
use crate::http::query::Parameter;

pub use resources::RESOURCES;

/// What a request asks for, before its parameters are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// GET of a key.
    GetValue,
    /// PUT of a key.
    PutValue,
    /// DELETE of a key.
    DeleteValue,
    /// The sort keys of a key.
    ListSortKeys,
    /// The keys of a bucket.
    ListKeys,
    /// Several operations.
    Batch,
    /// What each home holds for a key.
    Inspect,
    /// A whole record in its stored form.
    ExportRecord,
    /// The same, merged into what is there.
    ImportRecord,
    /// What a context token says.
    InspectContext,
    /// All buckets.
    ListBuckets,
    /// One bucket.
    ShowBucket,
    /// Not in this version.
    PutBucket,
    /// Not in this version.
    DropBucket,
    /// The members.
    Cluster,
    /// Where a key lives.
    Ring,
    /// This node.
    Status,
    /// How a kind of background work goes.
    ShowPace(Work),
    /// How it shall go.
    SetPace(Work),
    /// The faults in force.
    ShowFaults,
    /// Other faults.
    SetFaults,
    /// Alive.
    Healthz,
    /// Safe to rely on.
    Readyz,
    /// Prometheus text.
    Metrics,
    /// The OpenAPI document.
    OpenApi,
    /// Not in this version.
    Console,
}

impl Endpoint {
    /// Its `operationId`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::GetValue => "getValue",
            Self::PutValue => "putValue",
            Self::DeleteValue => "deleteValue",
            Self::ListSortKeys => "listSortKeys",
            Self::ListKeys => "listKeys",
            Self::Batch => "batch",
            Self::Inspect => "inspect",
            Self::ExportRecord => "exportRecord",
            Self::ImportRecord => "importRecord",
            Self::InspectContext => "inspectContext",
            Self::ListBuckets => "listBuckets",
            Self::ShowBucket => "showBucket",
            Self::PutBucket => "putBucket",
            Self::DropBucket => "dropBucket",
            Self::Cluster => "cluster",
            Self::Ring => "ring",
            Self::Status => "status",
            Self::ShowPace(Work::Hints) => "showHintsPace",
            Self::ShowPace(Work::AntiEntropy) => "showAntiEntropyPace",
            Self::ShowPace(Work::Scrub) => "showScrubPace",
            Self::ShowPace(Work::Reaping) => "showReapingPace",
            Self::SetPace(Work::Hints) => "setHintsPace",
            Self::SetPace(Work::AntiEntropy) => "setAntiEntropyPace",
            Self::SetPace(Work::Scrub) => "setScrubPace",
            Self::SetPace(Work::Reaping) => "setReapingPace",
            Self::ShowFaults => "showFaults",
            Self::SetFaults => "setFaults",
            Self::Healthz => "healthz",
            Self::Readyz => "readyz",
            Self::Metrics => "metrics",
            Self::OpenApi => "openapi",
            Self::Console => "console",
        }
    }
}

/// What follows the fixed part of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    /// Nothing.
    Nothing,
    /// A bucket's name.
    Bucket,
    /// A bucket's name, `/`, and a key of any bytes, slashes included.
    BucketAndKey,
}

/// A path and what can be asked of it.
#[derive(Debug)]
pub struct Resource {
    /// The fixed part.
    pub prefix: &'static str,
    /// What follows.
    pub tail: Tail,
    /// By method. HEAD is answered wherever GET is.
    pub operations: &'static [Operation],
}

/// A header that a request may carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestHeader {
    /// What the client has seen.
    Context,
    /// For safe retries.
    RequestId,
    /// Kept and returned.
    ContentType,
    /// JSON or raw.
    Accept,
    /// Consistent buckets only.
    IfMatch,
    /// Consistent buckets only.
    IfNoneMatch,
}

/// A header that an answer may carry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplyHeader {
    /// To be given back with the next write.
    Context,
    /// `answered/n`.
    Answered,
    /// Stand-ins counted.
    Sloppy,
    /// When the value expires.
    Expires,
    /// The request's id.
    RequestId,
}

/// What a body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// No body.
    Nothing,
    /// Raw bytes of any type.
    Raw,
    /// Raw bytes, or JSON of this schema if asked for.
    RawOr(&'static str),
    /// JSON of this schema (`openapi/schemas.rs`).
    Json(&'static str),
    /// Text.
    Text,
}

/// One way to succeed.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// When.
    pub about: &'static str,
    /// With what headers.
    pub headers: &'static [ReplyHeader],
    /// And what body.
    pub content: Content,
}

/// One method of a resource.
#[derive(Debug)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// What it is.
    pub endpoint: Endpoint,
    /// In one line.
    pub summary: &'static str,
    /// Query parameters; all others are refused.
    pub parameters: &'static [Parameter],
    /// Headers that it looks at.
    pub headers: &'static [RequestHeader],
    /// What it is sent.
    pub body: Content,
    /// How it succeeds.
    pub answers: &'static [Answer],
    /// How it fails.
    pub errors: &'static [Code],
}

impl Resource {
    /// The path as OpenAPI writes it.
    #[must_use]
    pub fn template(&self) -> String {
        let tail = match self.tail {
            Tail::Nothing => "",
            Tail::Bucket => "{bucket}",
            Tail::BucketAndKey => "{bucket}/{key}",
        };
        format!("{}{tail}", self.prefix)
    }

    /// The operation of `method`.
    #[must_use]
    pub fn operation(&self, method: &Method) -> Option<&'static Operation> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.operations.iter().find(|operation| operation.method == method)
    }

    /// The `Allow` header.
    #[must_use]
    pub fn allow(&self) -> String {
        let mut methods = Vec::new();
        for operation in self.operations {
            methods.push(operation.method.as_str());
            if operation.method == Method::GET {
                methods.push("HEAD");
            }
        }
        methods.join(", ")
    }
}

/// The resource of a path, with the bucket and key still percent-encoded. The bucket ends at the first `/`; all after it
/// is the key (RULINGS 33).
#[must_use]
pub fn find(path: &str) -> Option<(&'static Resource, &str, &str)> {
    for resource in RESOURCES {
        let Some(rest) = path.strip_prefix(resource.prefix) else {
            continue;
        };
        match (resource.tail, rest.split_once('/')) {
            (Tail::Nothing, _) if rest.is_empty() => return Some((resource, "", "")),
            (Tail::Bucket, None) => return Some((resource, rest, "")),
            (Tail::BucketAndKey, Some((bucket, key))) => return Some((resource, bucket, key)),
            (Tail::Nothing | Tail::Bucket | Tail::BucketAndKey, _) => {}
        }
    }
    None
}
