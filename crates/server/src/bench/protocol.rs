//! What the generator needs of a protocol: encode a read or a write, and find the next whole reply in a buffer.
//!
//! Replies are judged where they lie: nothing is copied and nothing allocated.

/// What a reply says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Done, or the value is here.
    Done,
    /// There is no such key.
    Missing,
    /// An error that the server chose to answer.
    Refused(Refusal<'a>),
}

/// An error reply, by its kind and in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// The HTTP status; 0 over RESP.
    pub status: u16,
    /// The RESP error prefix, or the `error` code of an HTTP body (empty if it has none).
    pub code: &'a [u8],
    /// The error line or body.
    pub text: &'a [u8],
}

/// One whole reply at the start of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// How many bytes of the buffer it takes.
    pub length: usize,
    /// What it says.
    pub verdict: Verdict<'a>,
    /// The causal context that a write of the same key should carry (HTTP only).
    pub context: &'a [u8],
    /// The server closes the connection after this reply.
    pub closes: bool,
}

/// The bytes are not this protocol: the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// A protocol that the generator speaks.
pub trait Protocol: Send + Sync {
    /// Appends what a new connection says first; returns how many replies that brings.
    fn append_greeting(&self, out: &mut Vec<u8>) -> usize;

    /// Appends a read of a key.
    fn append_get(&self, out: &mut Vec<u8>, key: u64);

    /// Appends a write of a key; `context` is empty or what a read of it answered.
    fn append_set(&self, out: &mut Vec<u8>, key: u64, value: &[u8], context: &[u8]);

    /// The reply at the start of `bytes`; `None` if it is not all there yet.
    fn parse<'a>(&self, bytes: &'a [u8]) -> Result<Option<Reply<'a>>, Malformed>;
}
