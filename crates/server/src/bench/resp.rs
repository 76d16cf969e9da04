//! The Redis protocol, as much of it as a load generator meets: GET, SET, a greeting, and every kind of reply that those bring in RESP2 or RESP3.
//!
//! Nested replies are skipped by counting what is still missing, never by recursion.

use memchr::memchr;

use super::keys::{KEY_DIGITS, append_digits};
use super::protocol::{Malformed, Protocol, Refusal, Reply, Verdict};

/// The largest length a header may announce: a sane server never sends more.
const LENGTH_MAX: i64 = 1 << 30;

/// RESP with everything constant encoded beforehand.
#[derive(Debug, Clone)]
pub struct Resp {
    get_prefix: Vec<u8>,
    set_prefix: Vec<u8>,
    greeting: Vec<u8>,
    greeting_replies: usize,
}

fn append_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

impl Resp {
    /// Speaks to the bucket (`TORC.USE`) or database (`SELECT`) named, or to what a connection starts with;
    /// `quorums` are r and w (`TORC.QUORUM`).
    pub fn new(key_prefix: &[u8], bucket: Option<&str>, database: Option<u32>, quorums: Option<(&str, &str)>) -> Resp {
        let mut greeting = Vec::new();
        let mut greeting_replies = 0;
        if let Some(database) = database {
            append_command(&mut greeting, &[b"SELECT", database.to_string().as_bytes()]);
            greeting_replies += 1;
        }
        if let Some(bucket) = bucket {
            append_command(&mut greeting, &[b"TORC.USE", bucket.as_bytes()]);
            greeting_replies += 1;
        }
        if let Some((r, w)) = quorums {
            append_command(&mut greeting, &[b"TORC.QUORUM", r.as_bytes(), w.as_bytes()]);
            greeting_replies += 1;
        }
        let key_length = key_prefix.len() + KEY_DIGITS;
        let prefix = |command: &str| {
            let mut bytes = format!("{command}${key_length}\r\n").into_bytes();
            bytes.extend_from_slice(key_prefix);
            bytes
        };
        Resp {
            get_prefix: prefix("*2\r\n$3\r\nGET\r\n"),
            set_prefix: prefix("*3\r\n$3\r\nSET\r\n"),
            greeting,
            greeting_replies,
        }
    }
}

impl Protocol for Resp {
    fn append_greeting(&self, out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(&self.greeting);
        self.greeting_replies
    }

    fn append_get(&self, out: &mut Vec<u8>, key: u64) {
        out.extend_from_slice(&self.get_prefix);
        append_digits(out, key);
        out.extend_from_slice(b"\r\n");
    }

    fn append_set(&self, out: &mut Vec<u8>, key: u64, value: &[u8], _context: &[u8]) {
        out.extend_from_slice(&self.set_prefix);
        append_digits(out, key);
        out.extend_from_slice(b"\r\n$");
        append_number(out, value.len());
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }

    fn parse<'a>(&self, bytes: &'a [u8]) -> Result<Option<Reply<'a>>, Malformed> {
        let mut position = 0;
        // How many replies must still be skipped until the first one is whole: one, and more once it is an aggregate.
        let mut missing: u64 = 1;
        let mut verdict = None;
        while missing > 0 {
            let Some((&marker, rest)) = bytes[position..].split_first() else {
                return Ok(None);
            };
            let Some(end) = memchr(b'\n', rest) else {
                return Ok(None);
            };
            if end == 0 || rest[end - 1] != b'\r' {
                return Err(Malformed);
            }
            let line = &rest[..end - 1];
            position += 1 + end + 1;
            missing -= 1;
            let mut found = Verdict::Done;
            match marker {
                b'+' | b':' | b',' | b'#' | b'(' => {}
                b'_' => found = Verdict::Missing,
                b'-' => {
                    let code = &line[..memchr(b' ', line).unwrap_or(line.len())];
                    found = Verdict::Refused(Refusal {
                        status: 0,
                        code,
                        text: line,
                    });
                }
                b'$' | b'=' | b'!' => match length(line)? {
                    None => found = Verdict::Missing,
                    Some(length) => {
                        let end = position + length as usize + 2;
                        if bytes.len() < end {
                            return Ok(None);
                        }
                        if &bytes[end - 2..end] != b"\r\n" {
                            return Err(Malformed);
                        }
                        if marker == b'!' {
                            let text = &bytes[position..end - 2];
                            let code = &text[..memchr(b' ', text).unwrap_or(text.len())];
                            found = Verdict::Refused(Refusal { status: 0, code, text });
                        }
                        position = end;
                    }
                },
                b'*' | b'~' => match length(line)? {
                    None => found = Verdict::Missing,
                    Some(length) => missing += length,
                },
                b'%' => missing += 2 * length(line)?.ok_or(Malformed)?,
                // Attributes and pushes among them: nothing was sent that would bring one.
                _ => return Err(Malformed),
            }
            verdict.get_or_insert(found);
        }
        let verdict = verdict.unwrap_or(Verdict::Done);
        Ok(Some(Reply {
            length: position,
            verdict,
            context: &[],
            closes: false,
        }))
    }
}

/// A header's number; `None` for the null of RESP2.
fn length(line: &[u8]) -> Result<Option<u64>, Malformed> {
    if line == b"-1" {
        return Ok(None);
    }
    if line.is_empty() || line.len() > 10 {
        return Err(Malformed);
    }
    let mut number: i64 = 0;
    for byte in line {
        if !byte.is_ascii_digit() {
            return Err(Malformed);
        }
        number = number * 10 + i64::from(byte - b'0');
    }
    if number > LENGTH_MAX {
        Err(Malformed)
    } else {
        Ok(Some(number as u64))
    }
}

/// Appends a number in decimal.
pub fn append_number(out: &mut Vec<u8>, number: usize) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{Malformed, Protocol, Refusal, Verdict};
    use super::Resp;

    fn resp() -> Resp {
        Resp::new(b"key:", None, None, None)
    }

    #[test]
    fn a_stream_split_at_every_byte_gives_the_same_replies() {
        let stream: &[u8] = b"+OK\r\n-WRONGMODE no\r\n$5\r\nhe\r\no\r\n$-1\r\n_\r\n$0\r\n\r\n:42\r\n*2\r\n$1\r\na\r\n*1\r\n:1\r\n%1\r\n+k\r\n#t\r\n!9\r\nBUSY wait\r\n*-1\r\n*0\r\n+\r\n-X\r\n";
        let refused = |code: &'static [u8], text: &'static [u8]| Verdict::Refused(Refusal { status: 0, code, text });
        let expected: [(usize, Verdict<'_>); 14] = [
            (5, Verdict::Done),
            (15, refused(b"WRONGMODE", b"WRONGMODE no")),
            (11, Verdict::Done),
            (5, Verdict::Missing),
            (3, Verdict::Missing),
            (6, Verdict::Done),
            (5, Verdict::Done),
            (19, Verdict::Done),
            (12, Verdict::Done),
            (15, refused(b"BUSY", b"BUSY wait")),
            (5, Verdict::Missing),
            (4, Verdict::Done),
            (3, Verdict::Done),
            (4, refused(b"X", b"X")),
        ];
        let mut start = 0;
        for (length, verdict) in expected {
            for end in start..start + length {
                assert_eq!(resp().parse(&stream[start..end]), Ok(None), "{start}..{end}");
            }
            let reply = resp().parse(&stream[start..]).expect("well-formed").expect("whole");
            assert_eq!((reply.length, reply.verdict), (length, verdict), "at {start}");
            start += length;
        }
        assert_eq!(start, stream.len());
    }

    #[test]
    fn bytes_that_are_not_resp_are_refused() {
        for bytes in [
            &b"HTTP/1.1 400\r\n"[..],
            b"$x\r\n",
            b"$5\r\nhelloXX",
            b"*99999999999\r\n",
            b"+OK\n",
            b"$-2\r\n",
            b"%-1\r\n",
            b"$\r\n",
        ] {
            assert_eq!(resp().parse(bytes), Err(Malformed), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let mut bytes = b"*1\r\n".repeat(1_000_000);
        assert_eq!(resp().parse(&bytes), Ok(None));
        bytes.extend_from_slice(b":1\r\n");
        assert_eq!(
            resp().parse(&bytes).map(|reply| reply.map(|reply| reply.length)),
            Ok(Some(bytes.len()))
        );
    }

    #[test]
    fn commands_are_encoded_as_redis_reads_them() {
        let resp = Resp::new(b"key:", Some("redis"), Some(3), Some(("1", "quorum")));
        let mut out = Vec::new();
        assert_eq!(resp.append_greeting(&mut out), 3);
        let greeting = b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*2\r\n$8\r\nTORC.USE\r\n$5\r\nredis\r\n\
            *3\r\n$11\r\nTORC.QUORUM\r\n$1\r\n1\r\n$6\r\nquorum\r\n";
        assert_eq!(out, greeting);
        out.clear();
        resp.append_get(&mut out, 7);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000007\r\n");
        out.clear();
        resp.append_set(&mut out, 8, b"0123456789", b"");
        assert_eq!(
            out,
            b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000008\r\n$10\r\n0123456789\r\n"
        );
    }
}
