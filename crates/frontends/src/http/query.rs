//! Query parameters: each is known by name, has one shape, and is allowed only where the table says so. Anything else is
//! refused with its name and with what is allowed (RULINGS 33).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use torc_core::causality::{ClientContext, token};
use torc_core::command::Options;
use torc_core::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX, TIMEOUT_MS_MAX, TTL_SECONDS_MAX};
use torc_core::quorum::QuorumSize;

use crate::http::percent;
use crate::http::problem::{Code, Problem};

/// Characters of a client's own text that an error repeats.
const ECHO_CHARS_MAX: usize = 64;

/// Every query parameter there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parameter {
    /// `sort`: the sort key.
    Sort,
    /// `r`.
    R,
    /// `w`.
    W,
    /// `strict`.
    Strict,
    /// `consistency`.
    Consistency,
    /// `ttl`, in seconds.
    Ttl,
    /// `timeout_ms`.
    TimeoutMs,
    /// `blind`: a delete without a context.
    Blind,
    /// `key`: the partition key.
    Key,
    /// `prefix` of sort keys.
    Prefix,
    /// `start`: a sort key.
    StartSort,
    /// `start`: the cursor of a page of keys.
    StartCursor,
    /// `limit` of items.
    Limit,
    /// `bucket`, by name.
    Bucket,
    /// `context`: a token to be looked into.
    Context,
}

impl Parameter {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sort => "sort",
            Self::R => "r",
            Self::W => "w",
            Self::Strict => "strict",
            Self::Consistency => "consistency",
            Self::Ttl => "ttl",
            Self::TimeoutMs => "timeout_ms",
            Self::Blind => "blind",
            Self::Key => "key",
            Self::Prefix => "prefix",
            Self::StartSort | Self::StartCursor => "start",
            Self::Limit => "limit",
            Self::Bucket => "bucket",
            Self::Context => "context",
        }
    }

    /// True if the request means nothing without it.
    #[must_use]
    pub fn is_required(self) -> bool {
        match self {
            Self::Key | Self::Bucket | Self::Context => true,
            Self::Sort
            | Self::R
            | Self::W
            | Self::Strict
            | Self::Consistency
            | Self::Ttl
            | Self::TimeoutMs
            | Self::Blind
            | Self::Prefix
            | Self::StartSort
            | Self::StartCursor
            | Self::Limit => false,
        }
    }

    /// What a legal value looks like, for errors and the OpenAPI document.
    #[must_use]
    pub fn shape(self) -> String {
        match self {
            Self::Sort | Self::Prefix | Self::StartSort => "percent-encoded bytes".into(),
            Self::Key => "percent-encoded bytes, 1 to 2,048 of them".into(),
            Self::R | Self::W => "1 to 9, or one, quorum, all, local_one, local_quorum, each_quorum".into(),
            Self::Strict | Self::Blind => "true or false".into(),
            Self::Consistency => "eventual, quorum or strong".into(),
            Self::Ttl => format!("whole seconds, 1 to {TTL_SECONDS_MAX}"),
            Self::TimeoutMs => format!("milliseconds, 1 to {TIMEOUT_MS_MAX}"),
            Self::StartCursor => "the `next` of the page before".into(),
            Self::Limit => format!("1 to {PAGE_ITEMS_MAX}"),
            Self::Bucket => "a bucket's name".into(),
            Self::Context => "a context token".into(),
        }
    }
}

/// `consistency` on available buckets (RULINGS 36).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consistency {
    /// One answer.
    Eventual,
    /// A quorum.
    Quorum,
    /// A strict quorum.
    Strong,
}

/// The parameters of one request.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Query {
    /// `sort`.
    pub sort: Bytes,
    /// `r`.
    pub r: Option<QuorumSize>,
    /// `w`.
    pub w: Option<QuorumSize>,
    /// `strict`.
    pub strict: Option<bool>,
    /// `consistency`.
    pub consistency: Option<Consistency>,
    /// `ttl`.
    pub ttl_seconds: Option<u64>,
    /// `timeout_ms`.
    pub timeout_ms: Option<u32>,
    /// `blind`.
    pub blind: bool,
    /// `key`.
    pub key: Bytes,
    /// `prefix`.
    pub prefix: Bytes,
    /// `start`, decoded.
    pub start: Bytes,
    /// `limit`.
    pub limit: Option<u32>,
    /// `bucket`.
    pub bucket: String,
    /// `context`.
    pub context: Option<ClientContext>,
}

impl Query {
    /// Reads the part of a target after `?`.
    ///
    /// # Errors
    /// 400 naming the parameter that is unknown, repeated, missing or malformed.
    pub fn read(text: &str, allowed: &[Parameter]) -> Result<Self, Problem> {
        let mut query = Self::default();
        let mut seen = 0_u32;
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (pair, None),
            };
            let Some(&parameter) = allowed.iter().find(|parameter| parameter.name() == name) else {
                return Err(unknown(name, allowed));
            };
            let bit = 1 << parameter as u32;
            if seen & bit != 0 {
                let text = format!("the query parameter '{name}' is given twice");
                return Err(Problem::bad_request(text));
            }
            seen |= bit;
            query.set(parameter, value.ok_or_else(|| malformed(parameter, ""))?)?;
        }
        for parameter in allowed {
            if parameter.is_required() && seen & (1 << *parameter as u32) == 0 {
                let text = format!(
                    "the query parameter '{}' is missing: {}",
                    parameter.name(),
                    parameter.shape()
                );
                return Err(Problem::bad_request(text));
            }
        }
        Ok(query)
    }

    /// Quorums, strictness and deadline.
    ///
    /// # Errors
    /// 400 where `consistency` and another parameter contradict each other.
    pub fn options(&self) -> Result<Options, Problem> {
        let mut options = Options {
            read: self.r,
            write: self.w,
            strict: self.strict == Some(true),
            timeout_ms: self.timeout_ms,
        };
        if let Some(consistency) = self.consistency {
            if self.r.is_some() {
                return Err(Problem::bad_request(
                    "the query parameters 'consistency' and 'r' both say how many answers to await; give one of them",
                ));
            }
            match consistency {
                Consistency::Eventual => options.read = Some(QuorumSize::One),
                Consistency::Quorum => options.read = Some(QuorumSize::Quorum),
                Consistency::Strong if self.strict == Some(false) => {
                    return Err(Problem::bad_request(
                        "the query parameter 'consistency=strong' is strict; 'strict=false' contradicts it",
                    ));
                }
                Consistency::Strong => {
                    options.read = Some(QuorumSize::Quorum);
                    options.strict = true;
                }
            }
        }
        Ok(options)
    }

    /// `limit`, or its default.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.unwrap_or(PAGE_ITEMS_DEFAULT)
    }

    fn set(&mut self, parameter: Parameter, value: &str) -> Result<(), Problem> {
        let bad = || malformed(parameter, value);
        let bytes = || {
            percent::decode(value)
                .map_err(|error| Problem::bad_request(format!("the query parameter '{}': {error}", parameter.name())))
        };
        match parameter {
            Parameter::Sort => self.sort = bytes()?,
            Parameter::Prefix => self.prefix = bytes()?,
            Parameter::StartSort => self.start = bytes()?,
            Parameter::StartCursor => {
                self.start = URL_SAFE_NO_PAD.decode(value).map_err(|_| bad())?.into();
            }
            Parameter::Key => {
                self.key = bytes()?;
                if self.key.is_empty() {
                    return Err(bad());
                }
            }
            Parameter::Bucket => self.bucket = String::from_utf8_lossy(&bytes()?).into_owned(),
            Parameter::R => self.r = Some(QuorumSize::parse(value).ok_or_else(bad)?),
            Parameter::W => self.w = Some(QuorumSize::parse(value).ok_or_else(bad)?),
            Parameter::Strict => self.strict = Some(boolean(value).ok_or_else(bad)?),
            Parameter::Blind => self.blind = boolean(value).ok_or_else(bad)?,
            Parameter::Consistency => {
                self.consistency = Some(match value {
                    "eventual" => Consistency::Eventual,
                    "quorum" => Consistency::Quorum,
                    "strong" => Consistency::Strong,
                    _ => return Err(bad()),
                });
            }
            Parameter::Ttl => self.ttl_seconds = Some(number(value, TTL_SECONDS_MAX).ok_or_else(bad)?),
            Parameter::TimeoutMs => {
                self.timeout_ms = Some(number(value, u64::from(TIMEOUT_MS_MAX)).ok_or_else(bad)? as u32);
            }
            Parameter::Limit => self.limit = Some(number(value, u64::from(PAGE_ITEMS_MAX)).ok_or_else(bad)? as u32),
            Parameter::Context => {
                let context =
                    token::decode(value).map_err(|error| Problem::new(Code::BadContext, error.to_string()))?;
                self.context = Some(context);
            }
        }
        Ok(())
    }
}

/// A whole number from 1 to `max`, in decimal digits alone.
fn number(text: &str, max: u64) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_digits.then(|| text.parse::<u64>().ok())??;
    (1..=max).contains(&number).then_some(number)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn unknown(name: &str, allowed: &[Parameter]) -> Problem {
    let name: String = name.chars().take(ECHO_CHARS_MAX).collect();
    let takes = if allowed.is_empty() {
        "takes none".to_owned()
    } else {
        let names: Vec<&str> = allowed.iter().map(|parameter| parameter.name()).collect();
        format!("takes {}", names.join(", "))
    };
    Problem::bad_request(format!("unknown query parameter '{name}'; this request {takes}"))
}

fn malformed(parameter: Parameter, value: &str) -> Problem {
    let value: String = value.chars().take(ECHO_CHARS_MAX).collect();
    Problem::bad_request(format!(
        "the query parameter '{}' is '{value}'; it can be {}",
        parameter.name(),
        parameter.shape()
    ))
}
