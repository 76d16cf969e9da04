//! Replies in RESP2 or RESP3: the same calls, the form that the connection asked for by HELLO.

use bytes::BytesMut;

/// The version of the protocol that a reply is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// What every client speaks.
    #[default]
    Resp2,
    /// With maps, nulls and verbatim strings.
    Resp3,
}

/// Writes replies at the end of a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    /// Where to.
    pub out: &'a mut BytesMut,
    /// In which form.
    pub protocol: Protocol,
}

impl Writer<'_> {
    /// `+text`; the text has no line break.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// `-text`, on one line whatever the text holds.
    pub fn error(&mut self, text: &str) {
        self.out.reserve(text.len() + 3);
        self.out.extend_from_slice(b"-");
        for part in text.split(['\r', '\n']).filter(|part| !part.is_empty()) {
            if self.out.last() != Some(&b'-') {
                self.out.extend_from_slice(b" ");
            }
            self.out.extend_from_slice(part.as_bytes());
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// `:number`.
    pub fn integer(&mut self, number: i64) {
        match number {
            0 => self.out.extend_from_slice(b":0\r\n"),
            1 => self.out.extend_from_slice(b":1\r\n"),
            _ => self.header(b':', number),
        }
    }

    /// A string of any bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 24);
        self.header(b'$', bytes.len() as i64);
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A string, or nil.
    pub fn bulk_or_nil(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.nil(),
        }
    }

    /// Text for people: a verbatim string in RESP3.
    pub fn verbatim(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.header(b'=', text.len() as i64 + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// No string.
    pub fn nil(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// No array.
    pub fn nil_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// An array of this many replies, which follow.
    pub fn array(&mut self, items: usize) {
        self.header(b'*', items as i64);
    }

    /// A map of this many pairs, which follow; in RESP2 an array of twice as many.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', pairs as i64 * 2),
            Protocol::Resp3 => self.header(b'%', pairs as i64),
        }
    }

    /// A set of this many replies, which follow; in RESP2 an array.
    pub fn set(&mut self, items: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', items as i64),
            Protocol::Resp3 => self.header(b'~', items as i64),
        }
    }

    fn header(&mut self, kind: u8, number: i64) {
        let mut digits = itoa::Buffer::new();
        self.line(kind, digits.format(number).as_bytes());
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.extend_from_slice(&[kind]);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = BytesMut::new();
        write(&mut Writer {
            out: &mut out,
            protocol,
        });
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn each_version_has_its_own_maps_and_nils() {
        let both = |write: fn(&mut Writer<'_>)| [Protocol::Resp2, Protocol::Resp3].map(|p| written(p, write));
        assert_eq!(both(|w| w.nil()), ["$-1\r\n", "_\r\n"]);
        assert_eq!(both(|w| w.nil_array()), ["*-1\r\n", "_\r\n"]);
        assert_eq!(both(|w| w.map(2)), ["*4\r\n", "%2\r\n"]);
        assert_eq!(both(|w| w.set(2)), ["*2\r\n", "~2\r\n"]);
        assert_eq!(both(|w| w.verbatim("a")), ["$1\r\na\r\n", "=5\r\ntxt:a\r\n"]);
        assert_eq!(both(|w| w.bulk(b"")), ["$0\r\n\r\n", "$0\r\n\r\n"]);
        assert_eq!(both(|w| w.integer(-7)), [":-7\r\n", ":-7\r\n"]);
    }

    #[test]
    fn an_error_stays_on_one_line() {
        assert_eq!(
            written(Protocol::Resp2, |w| w.error("ERR a\r\n+OK\n")),
            "-ERR a +OK\r\n"
        );
    }
}
