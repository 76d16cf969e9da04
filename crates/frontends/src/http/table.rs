//! The one table of what can be asked: paths, methods, parameters, headers, answers and errors. Requests are matched
//! against it and the OpenAPI document is written from it, so that the two can't disagree.

use http::Method;

use crate::http::problem::Code;
use crate::http::query::Parameter;
use crate::http::query::Parameter as P;

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
            Self::InspectContext => "inspectContext",
            Self::ListBuckets => "listBuckets",
            Self::ShowBucket => "showBucket",
            Self::PutBucket => "putBucket",
            Self::DropBucket => "dropBucket",
            Self::Cluster => "cluster",
            Self::Ring => "ring",
            Self::Status => "status",
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

const READ_ERRORS: &[Code] = &[
    Code::BadRequest,
    Code::NoSuchBucket,
    Code::KeyTooLarge,
    Code::Busy,
    Code::NotInThisVersion,
    Code::NotEnoughReplicas,
    Code::Unavailable,
    Code::Deadline,
];
const GET_ERRORS: &[Code] = &[
    Code::BadRequest,
    Code::NotFound,
    Code::NoSuchBucket,
    Code::KeyTooLarge,
    Code::Busy,
    Code::NotInThisVersion,
    Code::NotEnoughReplicas,
    Code::Unavailable,
    Code::Deadline,
];
const PUT_ERRORS: &[Code] = &[
    Code::BadRequest,
    Code::BadContext,
    Code::NoSuchBucket,
    Code::WrongMode,
    Code::TooManySiblings,
    Code::RequestIdReused,
    Code::ValueTooLarge,
    Code::KeyTooLarge,
    Code::Busy,
    Code::NotInThisVersion,
    Code::NotEnoughReplicas,
    Code::Unavailable,
    Code::Deadline,
    Code::DiskFull,
];
const DELETE_ERRORS: &[Code] = &[
    Code::BadRequest,
    Code::BadContext,
    Code::NoSuchBucket,
    Code::WrongMode,
    Code::TooManySiblings,
    Code::RequestIdReused,
    Code::KeyTooLarge,
    Code::Busy,
    Code::NotInThisVersion,
    Code::NotEnoughReplicas,
    Code::Unavailable,
    Code::Deadline,
    Code::DiskFull,
];
const BUCKET_CHANGE_ERRORS: &[Code] = &[Code::BadRequest, Code::NotInThisVersion];
const WRITTEN: &[Answer] = &[Answer {
    status: 204,
    about: "Acknowledged by w homes.",
    headers: &[
        ReplyHeader::Context,
        ReplyHeader::Answered,
        ReplyHeader::Sloppy,
        ReplyHeader::RequestId,
    ],
    content: Content::Nothing,
}];
const FOUND_HEADERS: &[ReplyHeader] = &[
    ReplyHeader::Context,
    ReplyHeader::Answered,
    ReplyHeader::Sloppy,
    ReplyHeader::Expires,
    ReplyHeader::RequestId,
];
const LIST_HEADERS: &[ReplyHeader] = &[ReplyHeader::Answered, ReplyHeader::Sloppy];

/// A GET that takes no parameters and answers with one JSON document.
const fn show(
    endpoint: Endpoint,
    summary: &'static str,
    answers: &'static [Answer],
    errors: &'static [Code],
) -> Operation {
    Operation {
        method: Method::GET,
        endpoint,
        summary,
        parameters: &[],
        headers: &[],
        body: Content::Nothing,
        answers,
        errors,
    }
}

const fn ok(about: &'static str, headers: &'static [ReplyHeader], content: Content) -> Answer {
    Answer {
        status: 200,
        about,
        headers,
        content,
    }
}

/// All of it; what is asked most stands first.
pub static RESOURCES: &[Resource] = &[
    Resource {
        prefix: "/v1/kv/",
        tail: Tail::BucketAndKey,
        operations: &[
            Operation {
                method: Method::GET,
                endpoint: Endpoint::GetValue,
                summary: "Read one key.",
                parameters: &[P::Sort, P::R, P::Strict, P::Consistency, P::TimeoutMs],
                headers: &[RequestHeader::Accept, RequestHeader::RequestId],
                body: Content::Nothing,
                answers: &[
                    ok(
                        "One value: raw, or as JSON if Accept is exactly application/json (then also for several).",
                        FOUND_HEADERS,
                        Content::RawOr("Siblings"),
                    ),
                    Answer {
                        status: 300,
                        about: "Several siblings.",
                        headers: FOUND_HEADERS,
                        content: Content::Json("Siblings"),
                    },
                ],
                errors: GET_ERRORS,
            },
            Operation {
                method: Method::PUT,
                endpoint: Endpoint::PutValue,
                summary: "Write one key.",
                parameters: &[P::Sort, P::W, P::Strict, P::Ttl, P::TimeoutMs],
                headers: &[
                    RequestHeader::Context,
                    RequestHeader::RequestId,
                    RequestHeader::ContentType,
                    RequestHeader::IfMatch,
                    RequestHeader::IfNoneMatch,
                ],
                body: Content::Raw,
                answers: WRITTEN,
                errors: PUT_ERRORS,
            },
            Operation {
                method: Method::DELETE,
                endpoint: Endpoint::DeleteValue,
                summary: "Delete one key, or what the context has seen of it.",
                parameters: &[P::Sort, P::W, P::Strict, P::TimeoutMs, P::Blind],
                headers: &[
                    RequestHeader::Context,
                    RequestHeader::RequestId,
                    RequestHeader::IfMatch,
                    RequestHeader::IfNoneMatch,
                ],
                body: Content::Nothing,
                answers: WRITTEN,
                errors: DELETE_ERRORS,
            },
        ],
    },
    Resource {
        prefix: "/v1/kv/",
        tail: Tail::Bucket,
        operations: &[Operation {
            method: Method::GET,
            endpoint: Endpoint::ListSortKeys,
            summary: "The sort keys of one key, in byte order, with their values.",
            parameters: &[
                P::Key,
                P::Prefix,
                P::StartSort,
                P::Limit,
                P::R,
                P::Strict,
                P::Consistency,
                P::TimeoutMs,
            ],
            headers: &[],
            body: Content::Nothing,
            answers: &[ok("A page.", LIST_HEADERS, Content::Json("SortKeysPage"))],
            errors: READ_ERRORS,
        }],
    },
    Resource {
        prefix: "/v1/keys/",
        tail: Tail::Bucket,
        operations: &[Operation {
            method: Method::GET,
            endpoint: Endpoint::ListKeys,
            summary: "The keys of a bucket, in ring order.",
            parameters: &[P::StartCursor, P::Limit, P::R, P::Strict, P::Consistency, P::TimeoutMs],
            headers: &[],
            body: Content::Nothing,
            answers: &[ok("A page.", LIST_HEADERS, Content::Json("KeysPage"))],
            errors: READ_ERRORS,
        }],
    },
    Resource {
        prefix: "/v1/batch",
        tail: Tail::Nothing,
        operations: &[Operation {
            method: Method::POST,
            endpoint: Endpoint::Batch,
            summary: "Several puts, gets and deletes; each has its own result, and there is no atomicity.",
            parameters: &[],
            headers: &[],
            body: Content::Json("BatchRequest"),
            answers: &[ok(
                "One result for each operation, in order.",
                LIST_HEADERS,
                Content::Json("BatchResults"),
            )],
            errors: &[Code::BadRequest, Code::BodyTooLarge, Code::Busy],
        }],
    },
    Resource {
        prefix: "/v1/inspect/",
        tail: Tail::BucketAndKey,
        operations: &[Operation {
            method: Method::GET,
            endpoint: Endpoint::Inspect,
            summary: "What each home holds for a key.",
            parameters: &[P::Sort, P::TimeoutMs],
            headers: &[],
            body: Content::Nothing,
            answers: &[ok("Per home, and merged.", &[], Content::Json("Inspected"))],
            errors: &[
                Code::BadRequest,
                Code::NoSuchBucket,
                Code::KeyTooLarge,
                Code::Busy,
                Code::NotInThisVersion,
            ],
        }],
    },
    Resource {
        prefix: "/v1/inspect",
        tail: Tail::Nothing,
        operations: &[Operation {
            method: Method::GET,
            endpoint: Endpoint::InspectContext,
            summary: "What a context token says.",
            parameters: &[P::Context],
            headers: &[],
            body: Content::Nothing,
            answers: &[ok("Its parts.", &[], Content::Json("ContextParts"))],
            errors: &[Code::BadRequest, Code::BadContext],
        }],
    },
    Resource {
        prefix: "/v1/buckets",
        tail: Tail::Nothing,
        operations: &[show(
            Endpoint::ListBuckets,
            "All buckets.",
            &[ok("All of them.", &[], Content::Json("Buckets"))],
            &[Code::BadRequest],
        )],
    },
    Resource {
        prefix: "/v1/buckets/",
        tail: Tail::Bucket,
        operations: &[
            show(
                Endpoint::ShowBucket,
                "One bucket.",
                &[ok("Its settings.", &[], Content::Json("Bucket"))],
                &[Code::BadRequest, Code::NoSuchBucket],
            ),
            Operation {
                method: Method::PUT,
                endpoint: Endpoint::PutBucket,
                summary: "Not in this version: buckets come from the configuration.",
                parameters: &[],
                headers: &[],
                body: Content::Nothing,
                answers: &[],
                errors: BUCKET_CHANGE_ERRORS,
            },
            Operation {
                method: Method::DELETE,
                endpoint: Endpoint::DropBucket,
                summary: "Not in this version: buckets come from the configuration.",
                parameters: &[],
                headers: &[],
                body: Content::Nothing,
                answers: &[],
                errors: BUCKET_CHANGE_ERRORS,
            },
        ],
    },
    Resource {
        prefix: "/v1/cluster",
        tail: Tail::Nothing,
        operations: &[show(
            Endpoint::Cluster,
            "The members and how this node sees them.",
            &[ok("The cluster.", &[], Content::Json("Cluster"))],
            &[Code::BadRequest],
        )],
    },
    Resource {
        prefix: "/v1/ring",
        tail: Tail::Nothing,
        operations: &[Operation {
            method: Method::GET,
            endpoint: Endpoint::Ring,
            summary: "Where a key lives.",
            parameters: &[P::Key, P::Bucket],
            headers: &[],
            body: Content::Nothing,
            answers: &[ok("Homes, then stand-ins.", &[], Content::Json("Ring"))],
            errors: &[Code::BadRequest, Code::NoSuchBucket, Code::KeyTooLarge],
        }],
    },
    Resource {
        prefix: "/v1/status",
        tail: Tail::Nothing,
        operations: &[show(
            Endpoint::Status,
            "This node.",
            &[ok("Its state.", &[], Content::Json("Status"))],
            &[Code::BadRequest],
        )],
    },
    Resource {
        prefix: "/v1/faults",
        tail: Tail::Nothing,
        operations: &[
            show(
                Endpoint::ShowFaults,
                "The faults in force (only with --allow-faults).",
                &[ok("The set in force.", &[], Content::Json("Faults"))],
                &[Code::BadRequest, Code::NotFound],
            ),
            Operation {
                method: Method::POST,
                endpoint: Endpoint::SetFaults,
                summary: "Replaces the faults in force (only with --allow-faults); {} heals.",
                parameters: &[],
                headers: &[],
                body: Content::Json("Faults"),
                answers: &[ok("The set in force.", &[], Content::Json("Faults"))],
                errors: &[Code::BadRequest, Code::NotFound, Code::BodyTooLarge],
            },
        ],
    },
    Resource {
        prefix: "/healthz",
        tail: Tail::Nothing,
        operations: &[show(
            Endpoint::Healthz,
            "Whether the process answers.",
            &[ok("It does.", &[], Content::Json("State"))],
            &[Code::BadRequest],
        )],
    },
    Resource {
        prefix: "/readyz",
        tail: Tail::Nothing,
        operations: &[show(
            Endpoint::Readyz,
            "Whether this node's data can be relied on.",
            &[ok("It can.", &[], Content::Json("State"))],
            &[Code::BadRequest, Code::Unavailable],
        )],
    },
    Resource {
        prefix: "/metrics",
        tail: Tail::Nothing,
        operations: &[show(
            Endpoint::Metrics,
            "Prometheus text.",
            &[ok("The metrics.", &[], Content::Text)],
            &[Code::BadRequest],
        )],
    },
    Resource {
        prefix: "/openapi.json",
        tail: Tail::Nothing,
        operations: &[show(
            Endpoint::OpenApi,
            "This document.",
            &[ok("OpenAPI 3.1.", &[], Content::Json("Document"))],
            &[Code::BadRequest],
        )],
    },
    Resource {
        prefix: "/console",
        tail: Tail::Nothing,
        operations: &[show(
            Endpoint::Console,
            "Not in this version.",
            &[],
            &[Code::BadRequest, Code::NotInThisVersion],
        )],
    },
];
