//! HTTP/1.1 with keep-alive and pipelining: `PUT` and `GET /v1/kv/{bucket}/{key}`, and any reply with a length or in chunks.

use memchr::memchr;
use memchr::memmem;

use super::keys::append_digits;
use super::protocol::{Malformed, Protocol, Refusal, Reply, Verdict};
use super::resp::append_number;

/// A head larger than this is not a reply of a sane server.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// The largest body that is believed.
const BODY_BYTES_MAX: usize = 1 << 30;

/// HTTP with everything constant encoded beforehand.
#[derive(Debug, Clone)]
pub struct Http {
    get_prefix: Vec<u8>,
    set_prefix: Vec<u8>,
    get_suffix: Vec<u8>,
    set_suffix: Vec<u8>,
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn percent_encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

impl Http {
    /// Speaks to one bucket; `query` is appended to every target (as `w=1&strict=true`), `host` is the Host header.
    pub fn new(key_prefix: &[u8], bucket: &str, get_query: &str, set_query: &str, host: &str) -> Http {
        let target = format!(
            "/v1/kv/{}/{}",
            percent_encode(bucket.as_bytes()),
            percent_encode(key_prefix)
        );
        let suffix = |query: &str| {
            let separator = if query.is_empty() { "" } else { "?" };
            format!("{separator}{query} HTTP/1.1\r\nhost: {host}\r\n")
        };
        Http {
            get_prefix: format!("GET {target}").into_bytes(),
            set_prefix: format!("PUT {target}").into_bytes(),
            get_suffix: format!("{}\r\n", suffix(get_query)).into_bytes(),
            set_suffix: format!("{}content-length: ", suffix(set_query)).into_bytes(),
        }
    }
}

impl Protocol for Http {
    fn append_greeting(&self, _out: &mut Vec<u8>) -> usize {
        0
    }

    fn append_get(&self, out: &mut Vec<u8>, key: u64) {
        out.extend_from_slice(&self.get_prefix);
        append_digits(out, key);
        out.extend_from_slice(&self.get_suffix);
    }

    fn append_set(&self, out: &mut Vec<u8>, key: u64, value: &[u8], context: &[u8]) {
        out.extend_from_slice(&self.set_prefix);
        append_digits(out, key);
        out.extend_from_slice(&self.set_suffix);
        append_number(out, value.len());
        if !context.is_empty() {
            out.extend_from_slice(b"\r\ntorc-context: ");
            out.extend_from_slice(context);
        }
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(value);
    }

    fn parse<'a>(&self, bytes: &'a [u8]) -> Result<Option<Reply<'a>>, Malformed> {
        let known = bytes.len().min(9);
        if bytes[..known] != b"HTTP/1.1 "[..known] {
            return Err(Malformed);
        }
        let Some(head_end) = memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > HEAD_BYTES_MAX {
                Err(Malformed)
            } else {
                Ok(None)
            };
        };
        let head = &bytes[..head_end + 2];
        let status = status(head)?;
        let head = Head::read(head)?;
        let body_start = head_end + 4;
        let (body, length) = if (100..200).contains(&status) || status == 204 || status == 304 {
            (&[][..], body_start)
        } else if head.chunked {
            let Some(length) = chunks_length(&bytes[body_start..])? else {
                return Ok(None);
            };
            (&bytes[body_start..body_start + length], body_start + length)
        } else {
            let length = body_start + head.content_length;
            let Some(body) = bytes.get(body_start..length) else {
                return Ok(None);
            };
            (body, length)
        };
        let verdict = match status {
            // Several siblings are an answer, not an error.
            200..=300 => Verdict::Done,
            _ => {
                let code = error_code(body);
                if status == 404 && code != b"no_such_bucket" {
                    Verdict::Missing
                } else {
                    Verdict::Refused(Refusal {
                        status,
                        code,
                        text: body,
                    })
                }
            }
        };
        Ok(Some(Reply {
            length,
            verdict,
            context: head.context,
            closes: head.closes,
        }))
    }
}

fn status(head: &[u8]) -> Result<u16, Malformed> {
    let digits = head.get(9..12).ok_or(Malformed)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    Ok(digits
        .iter()
        .fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

/// The headers that matter.
struct Head<'a> {
    content_length: usize,
    chunked: bool,
    closes: bool,
    context: &'a [u8],
}

impl<'a> Head<'a> {
    fn read(head: &'a [u8]) -> Result<Head<'a>, Malformed> {
        let mut found = Head {
            content_length: 0,
            chunked: false,
            closes: false,
            context: &[],
        };
        let mut rest = head;
        while let Some(end) = memchr(b'\n', rest) {
            let line = rest[..end].trim_ascii_end();
            rest = &rest[end + 1..];
            // Most lines are told apart by their first letter: this runs once per reply.
            let Some(first) = line.first() else { continue };
            match first.to_ascii_lowercase() {
                b'c' => {
                    if let Some(value) = header(line, b"content-length") {
                        found.content_length = content_length(value)?;
                    } else if let Some(value) = header(line, b"connection") {
                        found.closes = value.eq_ignore_ascii_case(b"close");
                    }
                }
                b't' => {
                    if let Some(value) = header(line, b"torc-context") {
                        found.context = value;
                    } else if let Some(value) = header(line, b"transfer-encoding") {
                        found.chunked = value.eq_ignore_ascii_case(b"chunked");
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The value of a header line, if it has this (lower-case) name.
fn header<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name) || rest.first() != Some(&b':') {
        return None;
    }
    Some(rest[1..].trim_ascii())
}

fn content_length(value: &[u8]) -> Result<usize, Malformed> {
    if value.is_empty() || value.len() > 10 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    let length = value
        .iter()
        .fold(0usize, |number, digit| number * 10 + usize::from(digit - b'0'));
    if length > BODY_BYTES_MAX {
        Err(Malformed)
    } else {
        Ok(length)
    }
}

/// How many bytes a chunked body takes, its last chunk and trailers included; `None` if it is not all there.
fn chunks_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut position = 0;
    loop {
        let Some(end) = memchr(b'\n', &bytes[position..]) else {
            return Ok(None);
        };
        let line = bytes[position..position + end].trim_ascii_end();
        let digits = &line[..memchr(b';', line).unwrap_or(line.len())];
        let text = std::str::from_utf8(digits).map_err(|_| Malformed)?;
        let size = usize::from_str_radix(text.trim(), 16).map_err(|_| Malformed)?;
        if size > BODY_BYTES_MAX {
            return Err(Malformed);
        }
        position += end + 1;
        if size == 0 {
            // Trailers, if any, then an empty line.
            loop {
                let Some(end) = memchr(b'\n', &bytes[position..]) else {
                    return Ok(None);
                };
                let empty = bytes[position..position + end].trim_ascii_end().is_empty();
                position += end + 1;
                if empty {
                    return Ok(Some(position));
                }
            }
        }
        position += size + 2;
        if position > bytes.len() {
            return Ok(None);
        }
    }
}

/// The `error` member of an error body, which comes first in it; empty if the body is not of that form.
fn error_code(body: &[u8]) -> &[u8] {
    const MEMBER: &[u8] = b"\"error\":\"";
    let Some(start) = memmem::find(body, MEMBER) else {
        return &[];
    };
    let rest = &body[start + MEMBER.len()..];
    &rest[..memchr(b'"', rest).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{Malformed, Protocol, Refusal, Verdict};
    use super::Http;

    fn http() -> Http {
        Http::new(b"key:", "redis", "", "w=1", "127.0.0.1:7002")
    }

    #[test]
    fn a_stream_split_at_every_byte_gives_the_same_replies() {
        let busy: &[u8] = br#"{"error":"busy","message":"later"}"#;
        let gone: &[u8] = br#"{"error":"no_such_bucket"}"#;
        let replies: [(&[u8], Verdict<'_>, &[u8], bool); 9] = [
            (b"HTTP/1.1 204 No Content\r\nTorc-Context: abc_-\r\n\r\n", Verdict::Done, b"abc_-", false),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ntorc-answered: 2/3\r\n\r\nhello", Verdict::Done, b"", false),
            (b"HTTP/1.1 200 OK\r\ncontent-length:0\r\nconnection: close\r\n\r\n", Verdict::Done, b"", true),
            (b"HTTP/1.1 404 Not Found\r\ncontent-length: 21\r\n\r\n{\"error\":\"not_found\"}", Verdict::Missing, b"", false),
            (
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 26\r\n\r\n{\"error\":\"no_such_bucket\"}",
                Verdict::Refused(Refusal { status: 404, code: b"no_such_bucket", text: gone }),
                b"",
                false,
            ),
            (
                b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 34\r\n\r\n{\"error\":\"busy\",\"message\":\"later\"}",
                Verdict::Refused(Refusal { status: 429, code: b"busy", text: busy }),
                b"",
                false,
            ),
            (
                b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 3\r\n\r\nno\n",
                Verdict::Refused(Refusal { status: 502, code: b"", text: b"no\n" }),
                b"",
                false,
            ),
            (b"HTTP/1.1 300 M\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\na;x=1\r\n0123456789\r\n0\r\nT: x\r\n\r\n", Verdict::Done, b"", false),
            (b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n", Verdict::Done, b"", false),
        ];
        for (bytes, verdict, context, closes) in replies {
            for end in 0..bytes.len() {
                assert_eq!(http().parse(&bytes[..end]), Ok(None), "{}", bytes[..end].escape_ascii());
            }
            let mut followed = bytes.to_vec();
            followed.extend_from_slice(b"HTTP/1.1 2");
            let reply = http().parse(&followed).expect("well-formed").expect("whole");
            assert_eq!(
                (reply.length, reply.verdict, reply.context, reply.closes),
                (bytes.len(), verdict, context, closes)
            );
        }
    }

    #[test]
    fn bytes_that_are_not_http_are_refused() {
        for bytes in [
            &b"+OK\r\n"[..],
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200\r\ncontent-length: -1\r\n\r\n",
            b"HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert_eq!(http().parse(bytes), Err(Malformed), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn requests_name_the_key_percent_encoded_and_carry_the_context() {
        let mut out = Vec::new();
        http().append_get(&mut out, 5);
        assert_eq!(
            out,
            b"GET /v1/kv/redis/key%3A000000000005 HTTP/1.1\r\nhost: 127.0.0.1:7002\r\n\r\n"
        );
        out.clear();
        http().append_set(&mut out, 5, b"abc", b"token");
        assert_eq!(
            out,
            b"PUT /v1/kv/redis/key%3A000000000005?w=1 HTTP/1.1\r\nhost: 127.0.0.1:7002\r\ncontent-length: 3\r\ntorc-context: token\r\n\r\nabc"
        );
    }
}
