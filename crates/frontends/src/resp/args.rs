//! A command's words: offsets into the bytes that it came in, so that taking one out copies nothing.

use bytes::Bytes;

use crate::resp::number;
use crate::resp::parser::Span;
use crate::resp::refused::Refused;

/// The words of one command, its name first.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    frame: &'a Bytes,
    /// Where in the frame the command begins.
    base: usize,
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// The words at `spans`, which count from `base`.
    pub fn new(frame: &'a Bytes, base: usize, spans: &'a [Span]) -> Self {
        Self { frame, base, spans }
    }

    /// How many, the name included.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The word's bytes. A handler asks only for words that the command's arity promises, or that `len` shows.
    pub fn at(&self, index: usize) -> &'a [u8] {
        let (start, end) = self.bounds(index);
        &self.frame[start..end]
    }

    /// The word, sharing the frame's memory.
    pub fn bytes(&self, index: usize) -> Bytes {
        let (start, end) = self.bounds(index);
        self.frame.slice(start..end)
    }

    /// True if the word is `lower`, in any case.
    pub fn is(&self, index: usize, lower: &str) -> bool {
        self.at(index).eq_ignore_ascii_case(lower.as_bytes())
    }

    /// The word as a number.
    ///
    /// # Errors
    /// Redis's words.
    pub fn integer(&self, index: usize) -> Result<i64, Refused> {
        number::integer(self.at(index)).ok_or(Refused::NOT_AN_INTEGER)
    }

    /// The word as text, cut for an error message.
    pub fn shown(&self, index: usize) -> String {
        let word = self.at(index);
        String::from_utf8_lossy(&word[..word.len().min(128)]).replace(['\r', '\n'], " ")
    }

    /// Words that outlive the frame's turn. They are copied: a slice of a read buffer would pin all of it, and a client
    /// could make a few queued bytes hold megabytes.
    pub fn to_owned(self) -> OwnedArgs {
        let (first, last) = (self.spans[0], self.spans[self.spans.len() - 1]);
        let offset = first.start;
        let start = self.base + first.start as usize;
        let end = self.base + (last.start + last.length) as usize;
        let moved = |span: &Span| Span {
            start: span.start - offset,
            length: span.length,
        };
        OwnedArgs {
            frame: Bytes::copy_from_slice(&self.frame[start..end]),
            spans: self.spans.iter().map(moved).collect(),
        }
    }

    fn bounds(&self, index: usize) -> (usize, usize) {
        let span = self.spans[index];
        let start = self.base + span.start as usize;
        (start, start + span.length as usize)
    }
}

/// The words of a command that waits for EXEC.
#[derive(Clone, Debug)]
pub struct OwnedArgs {
    frame: Bytes,
    spans: Box<[Span]>,
}

impl OwnedArgs {
    /// Words that are not next to one another.
    pub fn of_words(words: &[Vec<u8>]) -> Self {
        let mut frame = Vec::with_capacity(words.iter().map(Vec::len).sum());
        let mut spans = Vec::with_capacity(words.len());
        for word in words {
            spans.push(Span {
                start: frame.len() as u32,
                length: word.len() as u32,
            });
            frame.extend_from_slice(word);
        }
        Self {
            frame: Bytes::from(frame),
            spans: spans.into(),
        }
    }

    /// The words.
    pub fn args(&self) -> Args<'_> {
        Args::new(&self.frame, 0, &self.spans)
    }

    /// What they weigh, with what holds them: a transaction of short commands is mostly that.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.frame.len() + self.spans.len() * size_of::<Span>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_kept_do_not_pin_the_buffer_they_came_in() {
        let frame = Bytes::from(b"*1\r\n$4\r\nPING\r\n".repeat(1_000));
        let spans = [Span { start: 8, length: 4 }];
        let owned = Args::new(&frame, 14, &spans).to_owned();
        assert_eq!(owned.args().at(0), b"PING");
        assert!(frame.is_unique(), "the copy shares nothing with the frame");
        assert!(owned.weight() >= size_of::<OwnedArgs>() + 4);
    }
}
