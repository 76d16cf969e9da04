//! The rows of the table.

use http::Method;
use torc_core::background::Work;

use crate::http::problem::Code;
use crate::http::query::Parameter as P;
use crate::http::table::{Answer, Content, Endpoint, Operation, ReplyHeader, RequestHeader, Resource, Tail};

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
const IMPORT_ERRORS: &[Code] = &[
    Code::BadRequest,
    Code::NoSuchBucket,
    Code::BodyTooLarge,
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
            errors: &[Code::BadRequest, Code::BodyTooLarge, Code::Busy, Code::Unavailable],
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
                Code::Unavailable,
            ],
        }],
    },
    Resource {
        prefix: "/v1/records/",
        tail: Tail::BucketAndKey,
        operations: &[
            Operation {
                method: Method::GET,
                endpoint: Endpoint::ExportRecord,
                summary: "A whole record in its stored form, merged from all homes that answer.",
                parameters: &[P::Sort, P::TimeoutMs],
                headers: &[],
                body: Content::Nothing,
                answers: &[ok("The record.", LIST_HEADERS, Content::Raw)],
                errors: GET_ERRORS,
            },
            Operation {
                method: Method::PUT,
                endpoint: Endpoint::ImportRecord,
                summary: "Merges a whole record, as GET gave it, into what is there; again changes nothing.",
                parameters: &[P::Sort, P::W, P::TimeoutMs],
                headers: &[],
                body: Content::Raw,
                answers: WRITTEN,
                errors: IMPORT_ERRORS,
            },
        ],
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
        prefix: "/v1/admin/hints",
        tail: Tail::Nothing,
        operations: &pace(
            Work::Hints,
            "How the delivery of hints goes at this node.",
            "Pauses the delivery of hints at this node, bounds its rate, or starts a run at once.",
        ),
    },
    Resource {
        prefix: "/v1/admin/anti_entropy",
        tail: Tail::Nothing,
        operations: &pace(
            Work::AntiEntropy,
            "How the comparison of trees goes at this node.",
            "Pauses the comparison of trees at this node, bounds its rate, or starts a run at once.",
        ),
    },
    Resource {
        prefix: "/v1/admin/scrub",
        tail: Tail::Nothing,
        operations: &pace(
            Work::Scrub,
            "How the scrub goes at this node.",
            "Pauses the scrub at this node, bounds its rate, or starts a run at once.",
        ),
    },
    Resource {
        prefix: "/v1/admin/reaping",
        tail: Tail::Nothing,
        operations: &pace(
            Work::Reaping,
            "How the forgetting of deleted records goes at this node.",
            "Pauses the forgetting of deleted records at this node, bounds the rate at which they are looked for, or looks at once.",
        ),
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

/// What can be asked of a kind of background work.
const fn pace(work: Work, shown: &'static str, set: &'static str) -> [Operation; 2] {
    const SETTINGS: &[Answer] = &[ok("The settings in force.", &[], Content::Json("Pace"))];
    [
        show(Endpoint::ShowPace(work), shown, SETTINGS, &[Code::BadRequest]),
        Operation {
            method: Method::POST,
            endpoint: Endpoint::SetPace(work),
            summary: set,
            parameters: &[],
            headers: &[],
            body: Content::Json("PaceChange"),
            answers: SETTINGS,
            errors: &[Code::BadRequest, Code::BodyTooLarge],
        },
    ]
}
