//! Writes JSON by hand where it is written often: what is pushed here is legal JSON text, in the key order that the
//! reference shows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use torc_core::causality::{ClientContext, token};
use torc_core::outcome::{Found, Sibling};

use crate::http::names::{NodeNames, push_dot};
use crate::http::{dates, percent};

/// What a value without a content type is.
pub(crate) const OCTET_STREAM: &str = "application/octet-stream";

/// Appends a JSON string of any text.
pub(crate) fn push_text(text: &str, out: &mut String) {
    let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\' && byte != 0x7f;
    if text.bytes().all(is_plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::to_string(text).expect("a string is JSON"));
    }
}

/// Appends a JSON string of percent-encoded bytes.
pub(crate) fn push_key(bytes: &[u8], out: &mut String) {
    out.push('"');
    percent::encode_into(bytes, out);
    out.push('"');
}

/// Appends a number.
pub(crate) fn push_number(number: u64, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// Appends `"context":…,"siblings":[…],"tombstones":…`.
pub(crate) fn push_found(found: &Found, names: &impl NodeNames, out: &mut String) {
    out.push_str("\"context\":");
    push_context(found.context.as_ref(), out);
    out.push_str(",\"siblings\":[");
    for (index, sibling) in found.siblings.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_sibling(sibling, names, out);
    }
    out.push_str("],\"tombstones\":");
    push_number(u64::from(found.tombstones), out);
}

/// Appends a context's token, or null.
pub(crate) fn push_context(context: Option<&ClientContext>, out: &mut String) {
    match context {
        Some(context) => {
            out.push('"');
            token::encode_into(context, out);
            out.push('"');
        }
        None => out.push_str("null"),
    }
}

fn push_sibling(sibling: &Sibling, names: &impl NodeNames, out: &mut String) {
    out.reserve(sibling.value.data.len() / 3 * 4 + 200);
    out.push_str("{\"value\":\"");
    STANDARD.encode_string(&sibling.value.data, out);
    out.push_str("\",\"content_type\":");
    push_content_type(&sibling.value.content_type, out);
    out.push_str(",\"dot\":\"");
    push_dot(sibling.dot, names, out);
    out.push_str("\",\"written_at\":\"");
    dates::push_rfc3339(sibling.written_at.wall(), out);
    out.push('"');
    if let Some(at) = sibling.expires_at {
        out.push_str(",\"expires_at\":\"");
        dates::push_rfc3339(at, out);
        out.push('"');
    }
    out.push('}');
}

/// Appends a content type; bytes outside of UTF-8, which headers may hold, are replaced.
pub(crate) fn push_content_type(content_type: &[u8], out: &mut String) {
    if content_type.is_empty() {
        push_text(OCTET_STREAM, out);
    } else {
        push_text(&String::from_utf8_lossy(content_type), out);
    }
}
