//! An answer as values: status, headers, body. The shell adds what belongs to the connection (date, length, framing).

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::Serialize;
use torc_core::causality::{ClientContext, token};
use torc_core::outcome::Answered;

use crate::http::problem::{Code, Problem};

/// The headers that are Torc's own.
pub mod names {
    use http::header::HeaderName;

    /// What the client has seen of a key; given with answers, given back with puts.
    pub static TORC_CONTEXT: HeaderName = HeaderName::from_static("torc-context");
    /// `answered/n`.
    pub static TORC_ANSWERED: HeaderName = HeaderName::from_static("torc-answered");
    /// `true` where stand-ins counted.
    pub static TORC_SLOPPY: HeaderName = HeaderName::from_static("torc-sloppy");
    /// When the value expires, RFC 3339.
    pub static TORC_EXPIRES: HeaderName = HeaderName::from_static("torc-expires");
    /// The client's id of a put or delete, answered back.
    pub static TORC_REQUEST_ID: HeaderName = HeaderName::from_static("torc-request-id");
}

/// `0/0`, `0/1` … `9/9`, three characters each: an answer's header costs no allocation.
const FRACTIONS: [u8; 300] = {
    let mut text = [b'/'; 300];
    let mut index = 0;
    while index < 100 {
        text[index * 3] = b'0' + (index / 10) as u8;
        text[index * 3 + 2] = b'0' + (index % 10) as u8;
        index += 1;
    }
    text
};
static FRACTIONS_TEXT: &[u8; 300] = &FRACTIONS;

/// A whole answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpReply {
    /// The status.
    pub status: StatusCode,
    /// The headers, without `Content-Length` (except where [`HttpReply::for_method`] set it for a HEAD).
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; empty for 204.
    pub body: Bytes,
}

impl HttpReply {
    /// An answer without a body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::with_capacity(4),
            body: Bytes::new(),
        }
    }

    /// An answer of JSON text.
    #[must_use]
    pub fn json(status: StatusCode, body: String) -> Self {
        Self::of(status, HeaderValue::from_static("application/json"), Bytes::from(body))
    }

    /// 200 with a document.
    ///
    /// # Panics
    /// If `document` can't be JSON, which the views of this module always can.
    #[must_use]
    pub fn document(document: &impl Serialize) -> Self {
        let body = serde_json::to_string(document).expect("views are JSON");
        Self::json(StatusCode::OK, body)
    }

    /// 200 with text of this type, for `/metrics`.
    #[must_use]
    pub fn text(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self::of(StatusCode::OK, HeaderValue::from_static(content_type), body.into())
    }

    /// `/healthz`: the process answers.
    #[must_use]
    pub fn healthy() -> Self {
        Self::json(StatusCode::OK, "{\"status\":\"ok\"}".to_owned())
    }

    /// `/readyz`: 200 if this node's data can be relied on, else 503 with what it waits for.
    #[must_use]
    pub fn readiness(readiness: Result<(), String>) -> Self {
        match readiness {
            Ok(()) => Self::json(StatusCode::OK, "{\"status\":\"ready\"}".to_owned()),
            Err(reason) => Problem::new(Code::Unavailable, reason).reply(),
        }
    }

    /// This answer as `method` gets it: for HEAD the body's length is kept as a header and the body goes.
    #[must_use]
    pub fn for_method(mut self, method: &Method) -> Self {
        if method == Method::HEAD && !self.body.is_empty() {
            self.headers.push((CONTENT_LENGTH, HeaderValue::from(self.body.len())));
            self.body = Bytes::new();
        }
        self
    }

    /// The value of a header, if it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.headers
            .iter()
            .find(|header| header.0 == name)
            .map(|header| &header.1)
    }

    pub(crate) fn of(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Self {
        let mut headers = Vec::with_capacity(6);
        headers.push((CONTENT_TYPE, content_type));
        Self { status, headers, body }
    }

    pub(crate) fn push_answered(&mut self, answered: Answered) {
        self.headers.push((names::TORC_ANSWERED.clone(), fraction(answered)));
        if answered.sloppy {
            let sloppy = (names::TORC_SLOPPY.clone(), HeaderValue::from_static("true"));
            self.headers.push(sloppy);
        }
    }

    pub(crate) fn push_context(&mut self, context: &ClientContext) {
        let token = HeaderValue::try_from(token::encode(context)).expect("base64url is a legal header value");
        self.headers.push((names::TORC_CONTEXT.clone(), token));
    }
}

/// `a/n`. At most nine copies there are.
fn fraction(answered: Answered) -> HeaderValue {
    let at = usize::from(answered.answered.min(9)) * 10 + usize::from(answered.n.min(9));
    let text = std::str::from_utf8(&FRACTIONS_TEXT[at * 3..at * 3 + 3]).expect("digits and a slash");
    HeaderValue::from_static(text)
}
