//! Requests as they arrive: arrays of bulk strings, or inline lines. Incremental: what was understood of an unfinished
//! command is kept, so bytes that trickle in are not read twice. A command's arguments are offsets into the input; memory
//! grows with bytes that have arrived, never with a length that a client claims.

use std::borrow::Cow;

use crate::resp::inline;

/// Most arguments of one command, as in Redis.
pub const ARGUMENTS_MAX: i64 = 1 << 20;
/// Longest inline command, in bytes, as in Redis.
pub const INLINE_BYTES_MAX: usize = 64 << 10;
/// Most bytes of one command: far above one value, far below what would hurt the node.
pub const COMMAND_BYTES_MAX: usize = 64 << 20;
/// Longest `*…` or `$…` line: a sign, twenty digits and a little.
const HEADER_BYTES_MAX: usize = 32;

/// One argument, counted from the first byte of its command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Offset of its first byte.
    pub start: u32,
    /// Its bytes.
    pub length: u32,
}

/// What the input begins with.
#[derive(PartialEq, Eq, Debug)]
pub enum Parsed {
    /// A whole command of this many bytes; its arguments are the last `arguments` spans.
    Command {
        /// Bytes that it takes.
        bytes: usize,
        /// How many arguments.
        arguments: usize,
    },
    /// A whole inline command of this many bytes, with its arguments unquoted.
    Inline {
        /// Bytes that it takes.
        bytes: usize,
        /// Its arguments; at least one.
        arguments: Vec<Vec<u8>>,
    },
    /// Bytes that say nothing: an empty line, an empty array.
    Nothing {
        /// How many.
        bytes: usize,
    },
    /// The command goes on beyond the input.
    Incomplete,
    /// Not the protocol: answer this and close.
    Broken(Cow<'static, str>),
}

/// How far the command at the front of the input was read.
#[derive(Debug, Default)]
pub struct Parser {
    /// Arguments of all commands since `clear`, then those of the unfinished one.
    spans: Vec<Span>,
    /// Arguments that the unfinished command still lacks; 0: it has not begun.
    lacking: u32,
    /// Its arguments so far.
    read: u32,
    /// Where it goes on, counted from its first byte.
    at: usize,
}

enum Header {
    Value(i64, usize),
    Incomplete,
    Invalid,
}

impl Parser {
    /// Reads one command from the front of `input`, which must begin where the last whole command ended.
    pub fn next(&mut self, input: &[u8], bulk_bytes_max: usize) -> Parsed {
        if self.lacking == 0 {
            match input.first() {
                None => return Parsed::Incomplete,
                Some(b'*') => {}
                Some(_) => return inline_command(input),
            }
            match header(input, 0) {
                Header::Incomplete => return Parsed::Incomplete,
                Header::Invalid => return Parsed::Broken("invalid multibulk length".into()),
                Header::Value(count, _) if count > ARGUMENTS_MAX => {
                    return Parsed::Broken("invalid multibulk length".into());
                }
                Header::Value(count, bytes) if count <= 0 => return Parsed::Nothing { bytes },
                Header::Value(count, bytes) => {
                    self.lacking = count as u32;
                    self.read = 0;
                    self.at = bytes;
                }
            }
        }
        while self.lacking > 0 {
            match input.get(self.at) {
                None => return Parsed::Incomplete,
                Some(b'$') => {}
                Some(&byte) => {
                    let shown = char::from(byte).escape_default();
                    return Parsed::Broken(format!("expected '$', got '{shown}'").into());
                }
            }
            let (length, start) = match header(input, self.at) {
                Header::Incomplete => return Parsed::Incomplete,
                Header::Value(length, start) if (0..=bulk_bytes_max as i64).contains(&length) => {
                    (length as usize, start)
                }
                Header::Value(..) | Header::Invalid => return Parsed::Broken("invalid bulk length".into()),
            };
            let end = start + length;
            if end + 2 > COMMAND_BYTES_MAX {
                let text = format!("a command may have {COMMAND_BYTES_MAX} bytes");
                return Parsed::Broken(text.into());
            }
            match input.get(end..end + 2) {
                None => return Parsed::Incomplete,
                Some(b"\r\n") => {}
                Some(_) => return Parsed::Broken("expected CRLF after a bulk string".into()),
            }
            self.spans.push(Span {
                start: start as u32,
                length: length as u32,
            });
            self.at = end + 2;
            self.read += 1;
            self.lacking -= 1;
        }
        let arguments = self.read as usize;
        let bytes = self.at;
        self.read = 0;
        self.at = 0;
        Parsed::Command { bytes, arguments }
    }

    /// Lends the spans of the whole commands that were read, in order; `give_back` must follow.
    pub fn lend(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.spans)
    }

    /// Takes the spans back, without the first `used`.
    pub fn give_back(&mut self, mut spans: Vec<Span>, used: usize) {
        spans.drain(..used);
        if spans.capacity() > 1_024 && spans.len() < 64 {
            spans.shrink_to(64);
        }
        self.spans = spans;
    }
}

/// Reads `*123\r\n` or `$123\r\n` at `at`: the number and the offset after it.
fn header(input: &[u8], at: usize) -> Header {
    let mut index = at + 1;
    let mut value = 0_i64;
    let is_negative = input.get(index) == Some(&b'-');
    if is_negative {
        index += 1;
    }
    let first_digit = index;
    while let Some(&byte) = input.get(index) {
        if byte.is_ascii_digit() {
            value = match value
                .checked_mul(10)
                .and_then(|v| v.checked_add(i64::from(byte - b'0')))
            {
                Some(value) => value,
                None => return Header::Invalid,
            };
            index += 1;
            if index - at > HEADER_BYTES_MAX {
                return Header::Invalid;
            }
        } else if byte == b'\r' && index > first_digit {
            return match input.get(index + 1) {
                None => Header::Incomplete,
                Some(b'\n') if is_negative => Header::Value(-value, index + 2),
                Some(b'\n') => Header::Value(value, index + 2),
                Some(_) => Header::Invalid,
            };
        } else {
            return Header::Invalid;
        }
    }
    Header::Incomplete
}

fn inline_command(input: &[u8]) -> Parsed {
    let within = &input[..input.len().min(INLINE_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\n', within) else {
        return if input.len() >= INLINE_BYTES_MAX {
            Parsed::Broken("too big inline request".into())
        } else {
            Parsed::Incomplete
        };
    };
    let bytes = end + 1;
    let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
    match inline::split(line) {
        None => Parsed::Broken("unbalanced quotes in request".into()),
        Some(arguments) if arguments.is_empty() => Parsed::Nothing { bytes },
        Some(arguments) => Parsed::Inline { bytes, arguments },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<Parsed> {
        let mut parser = Parser::default();
        let mut at = 0;
        let mut found = Vec::new();
        loop {
            let parsed = parser.next(&input[at..], 100);
            match &parsed {
                Parsed::Command { bytes, .. } | Parsed::Inline { bytes, .. } | Parsed::Nothing { bytes } => at += bytes,
                Parsed::Incomplete => return found,
                Parsed::Broken(_) => {
                    found.push(parsed);
                    return found;
                }
            }
            found.push(parsed);
        }
    }

    #[test]
    fn a_command_gives_the_offsets_of_its_arguments() {
        let mut parser = Parser::default();
        let input = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n";
        let parsed = parser.next(input, 100);
        assert_eq!(
            parsed,
            Parsed::Command {
                bytes: 20,
                arguments: 2
            }
        );
        assert_eq!(
            parser.lend(),
            vec![Span { start: 8, length: 3 }, Span { start: 17, length: 1 }]
        );
    }

    #[test]
    fn what_is_not_the_protocol_is_refused_in_the_words_of_redis() {
        let broken = |input: &[u8], words: &'static str| {
            assert_eq!(
                all(input),
                vec![Parsed::Broken(words.into())],
                "{}",
                input.escape_ascii()
            );
        };
        broken(b"*3000000000\r\n", "invalid multibulk length");
        broken(b"*1048577\r\n", "invalid multibulk length");
        broken(b"*x\r\n", "invalid multibulk length");
        broken(b"*1\r\nfoo\r\n", "expected '$', got 'f'");
        broken(b"*1\r\n$-1\r\n", "invalid bulk length");
        broken(b"*1\r\n$blah\r\n", "invalid bulk length");
        broken(b"*1\r\n$101\r\n", "invalid bulk length");
        broken(b"*1\r\n$99999999999999999999999\r\n", "invalid bulk length");
        broken(b"*1\r\n$1\r\nabc", "expected CRLF after a bulk string");
        broken(b"\"x\r\n", "unbalanced quotes in request");
        broken(&[b'a'; INLINE_BYTES_MAX], "too big inline request");
    }

    #[test]
    fn empty_lines_and_arrays_say_nothing() {
        assert_eq!(
            all(b"\r\n*0\r\n*-10\r\n\n"),
            [2, 4, 6, 1].map(|bytes| Parsed::Nothing { bytes })
        );
    }

    #[test]
    fn a_claimed_length_allocates_nothing() {
        let mut parser = Parser::default();
        assert_eq!(parser.next(b"*1048576\r\n$1\r\nx\r\n", 100), Parsed::Incomplete);
        assert!(parser.spans.capacity() < 64);
    }
}
