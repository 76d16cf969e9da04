//! Everything that can go wrong, as clients are told: `{"error","message","outcome",…}` with the status of its code. A
//! message says what is wrong and what to do about it.

use http::StatusCode;
use http::header::{ALLOW, HeaderValue, RETRY_AFTER};
use torc_core::limits::{PARTITION_KEY_BYTES_MAX, SORT_KEY_BYTES_MAX};
use torc_core::outcome::{Answered, Cause, Certainty, Failure};

use crate::http::json;
use crate::http::reply::HttpReply;

/// The codes of INTERFACES.md; each has one status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// The request can't be understood.
    BadRequest,
    /// The context is damaged, missing where one is needed, or of another kind of bucket.
    BadContext,
    /// Nothing is there.
    NotFound,
    /// No bucket has this name.
    NoSuchBucket,
    /// The path is there, the method is not.
    MethodNotAllowed,
    /// The bucket's mode can't honour the request.
    WrongMode,
    /// A put would leave too many siblings.
    TooManySiblings,
    /// A request id was used for two different requests.
    RequestIdReused,
    /// The value is longer than its bucket allows.
    ValueTooLarge,
    /// The key or sort key is too long.
    KeyTooLarge,
    /// The body is longer than this request may have.
    BodyTooLarge,
    /// The answer would be longer than one may be.
    ResultTooLarge,
    /// A queue is full.
    Busy,
    /// Planned, and not there yet.
    NotInThisVersion,
    /// Too few replicas can answer, and that is known.
    NotEnoughReplicas,
    /// This node can't serve.
    Unavailable,
    /// Somebody stayed silent until the deadline.
    Deadline,
    /// All homes are full.
    DiskFull,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 18] = [
        Self::BadRequest,
        Self::BadContext,
        Self::NotFound,
        Self::NoSuchBucket,
        Self::MethodNotAllowed,
        Self::WrongMode,
        Self::TooManySiblings,
        Self::RequestIdReused,
        Self::ValueTooLarge,
        Self::KeyTooLarge,
        Self::BodyTooLarge,
        Self::ResultTooLarge,
        Self::Busy,
        Self::NotInThisVersion,
        Self::NotEnoughReplicas,
        Self::Unavailable,
        Self::Deadline,
        Self::DiskFull,
    ];

    /// As it stands in `error`.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::BadContext => "bad_context",
            Self::NotFound => "not_found",
            Self::NoSuchBucket => "no_such_bucket",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::WrongMode => "wrong_mode",
            Self::TooManySiblings => "too_many_siblings",
            Self::RequestIdReused => "request_id_reused",
            Self::ValueTooLarge => "value_too_large",
            Self::KeyTooLarge => "key_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::ResultTooLarge => "result_too_large",
            Self::Busy => "busy",
            Self::NotInThisVersion => "not_in_this_version",
            Self::NotEnoughReplicas => "not_enough_replicas",
            Self::Unavailable => "unavailable",
            Self::Deadline => "deadline",
            Self::DiskFull => "disk_full",
        }
    }

    /// Its status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::BadContext => StatusCode::BAD_REQUEST,
            Self::NotFound | Self::NoSuchBucket => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::WrongMode | Self::TooManySiblings | Self::RequestIdReused => StatusCode::CONFLICT,
            Self::ValueTooLarge | Self::KeyTooLarge | Self::BodyTooLarge | Self::ResultTooLarge => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::NotInThisVersion => StatusCode::NOT_IMPLEMENTED,
            Self::NotEnoughReplicas | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

/// A refusal or failure, ready to be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Decides the status.
    pub code: Code,
    /// For people: what is wrong and what to do.
    pub message: String,
    /// Whether a write may still appear.
    pub certainty: Certainty,
    /// Answers needed, and those that came over n (503, 504).
    pub quorum: Option<(u8, Answered)>,
    /// The limit and what was given, where that is known (413 and other bounds).
    pub size: Option<(u64, Option<u64>)>,
    /// When to try again (429).
    pub retry_after_ms: Option<u32>,
    /// The methods there are (405).
    pub allow: Option<String>,
}

impl Problem {
    /// A refusal: nothing was done.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            certainty: Certainty::NotApplied,
            quorum: None,
            size: None,
            retry_after_ms: None,
            allow: None,
        }
    }

    /// 400.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// 404 for a path that leads nowhere. Also the answer to `/v1/faults` on a node without `--allow-faults`.
    #[must_use]
    pub fn no_such_path() -> Self {
        Self::new(
            Code::NotFound,
            "there is nothing at this path; /openapi.json lists every path",
        )
    }

    /// 404 for a bucket.
    #[must_use]
    pub fn no_such_bucket(name: &str) -> Self {
        let name: String = name.chars().take(64).collect();
        Self::new(
            Code::NoSuchBucket,
            format!("no bucket is named '{name}'; GET /v1/buckets lists those there are"),
        )
    }

    /// 413 with the limit and what was given.
    #[must_use]
    pub fn with_size(mut self, limit: u64, actual: Option<u64>) -> Self {
        self.size = Some((limit, actual));
        self
    }

    /// The whole answer.
    #[must_use]
    pub fn reply(&self) -> HttpReply {
        let mut body = String::with_capacity(160);
        body.push('{');
        self.push_fields(&mut body);
        body.push('}');
        let mut reply = HttpReply::json(self.code.status(), body);
        if let Some((_, answered)) = self.quorum {
            reply.push_answered(answered);
        }
        if let Some(allow) = self.allow.as_ref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            reply.headers.push((ALLOW, allow));
        }
        if let Some(ms) = self.retry_after_ms {
            reply
                .headers
                .push((RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000).max(1))));
        }
        reply
    }

    /// Appends `"error":…,"message":…,"outcome":…` and the numbers, without braces.
    pub(crate) fn push_fields(&self, out: &mut String) {
        out.push_str("\"error\":\"");
        out.push_str(self.code.text());
        out.push_str("\",\"message\":");
        json::push_text(&self.message, out);
        out.push_str(",\"outcome\":\"");
        out.push_str(match self.certainty {
            Certainty::NotApplied => "not_applied",
            Certainty::Unknown => "unknown",
        });
        out.push('"');
        let mut number = |name: &str, value: u64| {
            out.push_str(",\"");
            out.push_str(name);
            out.push_str("\":");
            json::push_number(value, out);
        };
        if let Some((needed, answered)) = self.quorum {
            number("needed", u64::from(needed));
            number("answered", u64::from(answered.answered));
        }
        if let Some((limit, actual)) = self.size {
            number("limit", limit);
            if let Some(actual) = actual {
                number("actual", actual);
            }
        }
        if let Some(ms) = self.retry_after_ms {
            number("retry_after_ms", u64::from(ms));
        }
    }

    fn of_quorum(code: Code, needed: u8, answered: u8, n: u8, certainty: Certainty) -> Self {
        let came = match code {
            Code::Deadline => "had come when the time was up",
            _ => "came and no more can",
        };
        let advice = match certainty {
            Certainty::NotApplied => {
                "nothing was changed; wait for the nodes to return, or ask for fewer answers (r, w)"
            }
            Certainty::Unknown => {
                "the write may still appear: read before you write again, or repeat it with the same Torc-Request-Id"
            }
        };
        let answers = Answered {
            answered,
            n,
            sloppy: false,
        };
        let message = format!("{needed} answers were needed of {n} copies, {answered} {came}; {advice}");
        Self {
            quorum: Some((needed, answers)),
            ..Self::new(code, message)
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let certainty = failure.certainty;
        let problem = match failure.cause {
            Cause::BadRequest(text) => Self::bad_request(text),
            Cause::BadContext(text) => Self::new(Code::BadContext, text),
            Cause::NoSuchBucket => Self::new(
                Code::NoSuchBucket,
                "the bucket is gone; GET /v1/buckets lists those there are",
            ),
            Cause::WrongMode(text) => Self::new(Code::WrongMode, text),
            Cause::NotInThisVersion(text) => Self::new(Code::NotInThisVersion, text),
            Cause::TooManySiblings { limit, actual } => Self::new(
                Code::TooManySiblings,
                format!(
                    "the put would leave {actual} siblings and the bucket allows {limit}; read the key and put with the \
                     Torc-Context of that answer, which replaces them all"
                ),
            )
            .with_size(u64::from(limit), Some(u64::from(actual))),
            Cause::ValueTooLarge { limit, actual } => value_too_large(limit, Some(actual)),
            Cause::KeyTooLarge { limit, actual } => Self::new(
                Code::KeyTooLarge,
                format!(
                    "the key has {actual} bytes and can have {limit}: a key has 1 to {PARTITION_KEY_BYTES_MAX} bytes, a \
                     sort key at most {SORT_KEY_BYTES_MAX}. The limit is part of the stored format and can't be raised; \
                     use a hash of the name as the key"
                ),
            )
            .with_size(limit, Some(actual)),
            Cause::Busy { retry_after_ms } => Self {
                retry_after_ms: Some(retry_after_ms),
                ..Self::new(
                    Code::Busy,
                    format!("too many requests are in flight; try again after {retry_after_ms} ms"),
                )
            },
            Cause::NotEnoughReplicas { needed, answered, n } => {
                Self::of_quorum(Code::NotEnoughReplicas, needed, answered, n, certainty)
            }
            Cause::Deadline { needed, answered, n } => Self::of_quorum(Code::Deadline, needed, answered, n, certainty),
            Cause::DiskFull => Self::new(
                Code::DiskFull,
                "the disk of every home is full; deletes still work; free space, or add nodes",
            ),
            Cause::RequestIdReused => Self::new(
                Code::RequestIdReused,
                "this Torc-Request-Id was used within ten minutes for another value or context; use a new one",
            ),
            Cause::WrongType => Self::new(Code::WrongMode, "the key holds a Redis value of the other type"),
            Cause::Redis(text) => Self::bad_request(text),
            Cause::Siblings => Self::new(
                Code::WrongMode,
                "the key has several siblings, which this command can't show",
            ),
            Cause::ResultTooLarge { limit } => result_too_large(limit),
            Cause::Unavailable(text) => Self::new(Code::Unavailable, text),
        };
        Self { certainty, ..problem }
    }
}

/// 413 for a value.
pub(crate) fn value_too_large(limit: u64, actual: Option<u64>) -> Problem {
    let has = actual.map_or_else(|| "too many bytes".to_owned(), |actual| format!("{actual} bytes"));
    Problem::new(
        Code::ValueTooLarge,
        format!(
            "the value has {has} and the bucket allows {limit}; raise the bucket's value_bytes_max in the configuration, \
             or store it in parts"
        ),
    )
    .with_size(limit, actual)
}

/// 413 for an answer.
pub(crate) fn result_too_large(limit: u64) -> Problem {
    Problem::new(
        Code::ResultTooLarge,
        format!("the answer would be longer than {limit} bytes; ask for less at once"),
    )
    .with_size(limit, None)
}
