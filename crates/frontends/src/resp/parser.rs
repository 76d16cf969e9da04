//! Bytes to commands: RESP arrays of bulk strings, and inline commands. Arguments are slices of the bytes that were read;
//! nothing is allocated by a length that a client claims, nothing recurses, and what was looked at is not looked at twice.

use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;

/// A command's arguments, its name first.
pub type Arguments = SmallVec<[Bytes; 4]>;

/// Longest inline command and longest length line, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Most arguments of one command.
const ARGUMENTS_MAX: u32 = 1 << 20;
/// Longest argument. Values have their own, smaller limit with a clearer error.
const ARGUMENT_BYTES_MAX: usize = 64 << 20;
/// Most bytes of one command: what a client can make this node hold.
const COMMAND_BYTES_MAX: usize = 128 << 20;

/// What makes a stream unreadable. The connection is closed after it was told.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProtocolError {
    /// A line without an end.
    #[error("too big inline request")]
    InlineTooLong,
    /// Not a number, or too many arguments.
    #[error("invalid multibulk length")]
    BadCount,
    /// Not a number, or too long.
    #[error("invalid bulk length")]
    BadLength,
    /// An argument that does not begin with `$`.
    #[error("expected '$', got '{0}'")]
    NoBulk(char),
    /// An inline command with a quote that does not end.
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
    /// More than this node holds for one command.
    #[error("the command is longer than {COMMAND_BYTES_MAX} bytes")]
    CommandTooLong,
}

/// Where an argument stands in the bytes of its command.
type Place = (u32, u32);

/// Remembers how far a command that is not complete was understood.
#[derive(Debug, Default)]
pub struct Parser {
    places: SmallVec<[Place; 8]>,
    /// Arguments still to come; `None` between commands.
    missing: Option<u32>,
    /// Bytes of the command that are understood.
    at: usize,
}

impl Parser {
    /// Takes the next whole command off `input`; `None` if more must be read first. An empty command has no arguments.
    ///
    /// # Errors
    /// [`ProtocolError`]: the stream can't be read any further.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Arguments>, ProtocolError> {
        let missing = match self.missing {
            Some(missing) => missing,
            None => match input.first() {
                None => return Ok(None),
                Some(b'*') => {
                    let Some((count, next)) = number(input, 1, ProtocolError::BadCount)? else {
                        return Ok(None);
                    };
                    self.at = next;
                    match u32::try_from(count) {
                        Ok(count) if count > ARGUMENTS_MAX => return Err(ProtocolError::BadCount),
                        Ok(count) => count,
                        // As Redis: nothing is asked and nothing answered.
                        Err(_) if count >= -1 => 0,
                        Err(_) => return Err(ProtocolError::BadCount),
                    }
                }
                Some(_) => return inline(input),
            },
        };
        self.missing = Some(missing);
        self.arguments(input)
    }

    fn arguments(&mut self, input: &mut BytesMut) -> Result<Option<Arguments>, ProtocolError> {
        while let Some(missing @ 1..) = self.missing {
            match input.get(self.at) {
                None => return Ok(None),
                Some(b'$') => {}
                Some(&other) => return Err(ProtocolError::NoBulk(char::from(other))),
            }
            let Some((length, start)) = number(input, self.at + 1, ProtocolError::BadLength)? else {
                return Ok(None);
            };
            let length = usize::try_from(length).map_err(|_| ProtocolError::BadLength)?;
            if length > ARGUMENT_BYTES_MAX {
                return Err(ProtocolError::BadLength);
            }
            let end = start + length;
            if end + 2 > COMMAND_BYTES_MAX {
                return Err(ProtocolError::CommandTooLong);
            }
            if input.len() < end + 2 {
                return Ok(None);
            }
            self.places.push((start as u32, end as u32));
            // As Redis, the two bytes at the end are skipped and not looked at.
            self.at = end + 2;
            self.missing = Some(missing - 1);
        }
        let command = input.split_to(self.at).freeze();
        let places = std::mem::take(&mut self.places);
        self.missing = None;
        self.at = 0;
        Ok(Some(
            places
                .iter()
                .map(|&(start, end)| command.slice(start as usize..end as usize))
                .collect(),
        ))
    }
}

/// A number and the end of its line; `None` if the line is not complete.
fn number(input: &[u8], start: usize, error: ProtocolError) -> Result<Option<(i64, usize)>, ProtocolError> {
    let line = &input[start.min(input.len())..];
    let Some(length) = memchr::memchr(b'\r', &line[..line.len().min(32)]) else {
        return if line.len() >= 32 { Err(error) } else { Ok(None) };
    };
    if line.len() < length + 2 {
        return Ok(None);
    }
    let (digits, is_negative) = match &line[..length] {
        [b'-', digits @ ..] => (digits, true),
        digits => (digits, false),
    };
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(error);
    }
    let value = digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Ok(Some((if is_negative { -value } else { value }, start + length + 2)))
}

/// A line of words, as somebody types it.
fn inline(input: &mut BytesMut) -> Result<Option<Arguments>, ProtocolError> {
    let Some(end) = memchr::memchr(b'\n', &input[..input.len().min(LINE_BYTES_MAX)]) else {
        return if input.len() >= LINE_BYTES_MAX {
            Err(ProtocolError::InlineTooLong)
        } else {
            Ok(None)
        };
    };
    let mut line = input.split_to(end).freeze();
    input.advance(1);
    if line.last() == Some(&b'\r') {
        line.truncate(line.len() - 1);
    }
    words(&line).map(Some)
}

fn words(line: &[u8]) -> Result<Arguments, ProtocolError> {
    let mut words = Arguments::new();
    let mut rest = line.trim_ascii_start();
    while let Some(&first) = rest.first() {
        let (word, after) = match first {
            b'"' => double_quoted(&rest[1..])?,
            b'\'' => single_quoted(&rest[1..])?,
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                (rest[..end].to_vec(), &rest[end..])
            }
        };
        if after.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return Err(ProtocolError::UnbalancedQuotes);
        }
        words.push(Bytes::from(word));
        rest = after.trim_ascii_start();
    }
    Ok(words)
}

fn single_quoted(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), ProtocolError> {
    let mut word = Vec::new();
    loop {
        match rest {
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                rest = after;
            }
            [b'\'', after @ ..] => return Ok((word, after)),
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [] => return Err(ProtocolError::UnbalancedQuotes),
        }
    }
}

fn double_quoted(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), ProtocolError> {
    let hex = |digit: u8| (digit as char).to_digit(16).map(|value| value as u8);
    let mut word = Vec::new();
    loop {
        match rest {
            [b'\\', b'x', high, low, after @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                word.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = after;
            }
            [b'"', after @ ..] => return Ok((word, after)),
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [] => return Err(ProtocolError::UnbalancedQuotes),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(pieces: &[&[u8]]) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
        let mut parser = Parser::default();
        let mut input = BytesMut::new();
        let mut commands = Vec::new();
        for piece in pieces {
            input.extend_from_slice(piece);
            loop {
                match parser.next(&mut input) {
                    Ok(Some(arguments)) => commands.push(arguments.iter().map(|word| word.to_vec()).collect()),
                    Ok(None) => break,
                    Err(error) => return (commands, Some(error)),
                }
            }
        }
        (commands, None)
    }

    #[test]
    fn arrays_and_lines_of_words_are_commands() {
        let (commands, error) = all(&[b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nset  k \"a\\x41\\n\" 'b c'\r\n*0\r\n\r\n"]);
        let text = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        let expected = vec![
            text(&["GET", "k"]),
            text(&["set", "k", "aA\n", "b c"]),
            text(&[]),
            text(&[]),
        ];
        assert_eq!((commands, error), (expected, None));
    }

    #[test]
    fn what_redis_refuses_is_refused_in_its_words() {
        for (input, words) in [
            ("*1\r\n:3\r\n", "expected '$', got ':'"),
            ("*x\r\n", "invalid multibulk length"),
            ("*99999999\r\n", "invalid multibulk length"),
            ("*1\r\n$-2\r\n", "invalid bulk length"),
            ("*1\r\n$9999999999\r\n", "invalid bulk length"),
            ("get \"a\r\n", "unbalanced quotes in request"),
        ] {
            assert_eq!(
                all(&[input.as_bytes()]).1.map(|error| error.to_string()).as_deref(),
                Some(words)
            );
        }
        assert_eq!(all(&[&[b'a'; LINE_BYTES_MAX]]).1, Some(ProtocolError::InlineTooLong));
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        let mut parser = Parser::default();
        let mut input = BytesMut::from(&b"*1048576\r\n$60000000\r\nx"[..]);
        assert_eq!(parser.next(&mut input), Ok(None));
        assert!(input.capacity() < 1_000 && parser.places.capacity() < 100);
    }

    proptest! {
        #[test]
        fn cutting_the_stream_anywhere_changes_nothing(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5),
            cut in 0_usize..200,
        ) {
            let mut stream = format!("*{}\r\n", words.len()).into_bytes();
            for word in &words {
                stream.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
                stream.extend_from_slice(word);
                stream.extend_from_slice(b"\r\n");
            }
            let cut = cut.min(stream.len());
            prop_assert_eq!(all(&[&stream[..cut], &stream[cut..]]), (vec![words], None));
        }

        #[test]
        fn no_bytes_panic(stream in prop::collection::vec(prop::sample::select(b"*$1230-\r\n \"'\\xab".to_vec()), 0..60)) {
            all(&[&stream]);
        }
    }
}
