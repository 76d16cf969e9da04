//! Replies in RESP2 and RESP3.

use bytes::{BufMut, BytesMut};

/// The dialect that a connection speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialect {
    /// Until HELLO 3.
    #[default]
    Resp2,
    /// After it.
    Resp3,
}

/// `+text`.
pub fn simple(out: &mut BytesMut, text: &str) {
    out.reserve(text.len() + 3);
    out.put_u8(b'+');
    out.put_slice(text.as_bytes());
    out.put_slice(b"\r\n");
}

/// `-text`; line ends inside would end the reply.
pub fn error(out: &mut BytesMut, text: &str) {
    out.reserve(text.len() + 3);
    out.put_u8(b'-');
    out.extend(
        text.bytes()
            .map(|byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }),
    );
    out.put_slice(b"\r\n");
}

/// `:number`.
pub fn integer(out: &mut BytesMut, number: i64) {
    line(out, b':', number);
}

/// `$length` and the bytes.
pub fn bulk(out: &mut BytesMut, bytes: &[u8]) {
    out.reserve(bytes.len() + 24);
    line(out, b'$', bytes.len() as i64);
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

/// No value.
pub fn nil(out: &mut BytesMut, dialect: Dialect) {
    out.put_slice(match dialect {
        Dialect::Resp2 => b"$-1\r\n",
        Dialect::Resp3 => b"_\r\n",
    });
}

/// A value or none.
pub fn bulk_or_nil(out: &mut BytesMut, bytes: Option<&[u8]>, dialect: Dialect) {
    match bytes {
        Some(bytes) => bulk(out, bytes),
        None => nil(out, dialect),
    }
}

/// The head of an array of `length` replies.
pub fn array(out: &mut BytesMut, length: usize) {
    line(out, b'*', length as i64);
}

/// The head of a map of `length` pairs.
pub fn map(out: &mut BytesMut, length: usize, dialect: Dialect) {
    match dialect {
        Dialect::Resp2 => line(out, b'*', 2 * length as i64),
        Dialect::Resp3 => line(out, b'%', length as i64),
    }
}

/// Text for people to read (INFO), without escapes.
pub fn verbatim(out: &mut BytesMut, text: &str, dialect: Dialect) {
    match dialect {
        Dialect::Resp2 => bulk(out, text.as_bytes()),
        Dialect::Resp3 => {
            line(out, b'=', text.len() as i64 + 4);
            out.put_slice(b"txt:");
            out.put_slice(text.as_bytes());
            out.put_slice(b"\r\n");
        }
    }
}

fn line(out: &mut BytesMut, kind: u8, number: i64) {
    out.reserve(24);
    out.put_u8(kind);
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reply_has_its_form_in_each_dialect() {
        let mut out = BytesMut::new();
        simple(&mut out, "OK");
        error(&mut out, "ERR a\r\nb");
        integer(&mut out, -1);
        bulk(&mut out, b"");
        for dialect in [Dialect::Resp2, Dialect::Resp3] {
            nil(&mut out, dialect);
            map(&mut out, 1, dialect);
            verbatim(&mut out, "a", dialect);
        }
        let expected = "+OK\r\n-ERR a  b\r\n:-1\r\n$0\r\n\r\n$-1\r\n*2\r\n$1\r\na\r\n_\r\n%1\r\n=5\r\ntxt:a\r\n";
        assert_eq!(out, expected);
    }
}
