//! A request as raw bytes, for fuzzing: no socket and no hyper between the fuzzer and the frontend. What hyper would
//! refuse (illegal methods, header names and values) is refused here too.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};

/// A request's parts, as the shell would hand them to `route`.
#[derive(Clone, Debug)]
pub struct RawRequest {
    /// The method.
    pub method: Method,
    /// The raw path and query.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Reads `METHOD target\nName: value\n…\n\nbody`; line ends may be `\r\n`. `None` for what no HTTP server would let in.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<RawRequest> {
    let (first, mut rest) = line(bytes)?;
    let first = std::str::from_utf8(first).ok()?;
    let (method, target) = first.split_once(' ')?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let is_legal = |byte: u8| byte > 0x20 && byte != 0x7f && byte != b'#';
    if target.is_empty() || !target.bytes().all(is_legal) {
        return None;
    }
    let mut headers = HeaderMap::new();
    while let Some((header, after)) = line(rest) {
        rest = after;
        if header.is_empty() {
            break;
        }
        let colon = memchr::memchr(b':', header)?;
        let name = HeaderName::from_bytes(&header[..colon]).ok()?;
        let value = HeaderValue::from_bytes(header[colon + 1..].trim_ascii()).ok()?;
        headers.append(name, value);
    }
    Some(RawRequest {
        method,
        target: target.to_owned(),
        headers,
        body: Bytes::copy_from_slice(rest),
    })
}

/// The first line without its end, and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    let text = &bytes[..end];
    Some((text.strip_suffix(b"\r").unwrap_or(text), &bytes[end + 1..]))
}
